/*
 * semver_sets.c -- ranges as sets: membership, overlap, containment, what lies beside them.
 *
 * Membership is a few comparisons of numbers.  Overlap and containment follow node-semver's rules
 * comparator by comparator, also where they differ from those of sets (a pre-release is in a range
 * only if a comparator names its numbers), since npm decides by them.
 *
 * Threads: no state.  Sources: node-semver's documented behaviour and cases,
 * https://github.com/npm/node-semver.
 */
#include <string.h>

#include "workload/pkg/semver.h"

typedef struct comparators {
    const semver_comparator *items;
    uint32_t count;
} comparators;

static comparators alternative_of(const semver_range *range, uint32_t i)
{
    uint32_t begin = i > 0 ? range->ends[i - 1] : 0;
    return (comparators){.items = range->items + begin, .count = range->ends[i] - begin};
}

/* --- membership ---------------------------------------------------------------------------- */

static bool fits(const semver_comparator *item, const semver *version)
{
    if (item->op == SEMVER_ANY) {
        return true;
    }
    int order = semver_compare(version, &item->version);
    switch (item->op) {
    case SEMVER_EQ: return order == 0;
    case SEMVER_LT: return order < 0;
    case SEMVER_LE: return order <= 0;
    case SEMVER_GT: return order > 0;
    case SEMVER_GE: return order >= 0;
    case SEMVER_ANY: break;
    }
    return true;
}

/* Do the comparators name a pre-release of the same major.minor.patch? */
static bool names_prerelease(comparators set, const semver *version)
{
    for (uint32_t i = 0; i < set.count; i++) {
        const semver *v = &set.items[i].version;
        if (set.items[i].op != SEMVER_ANY && v->prerelease.size > 0 && v->major == version->major &&
            v->minor == version->minor && v->patch == version->patch) {
            return true;
        }
    }
    return false;
}

static bool set_has(comparators set, const semver *version, uint32_t flags)
{
    for (uint32_t i = 0; i < set.count; i++) {
        if (!fits(&set.items[i], version)) {
            return false;
        }
    }
    return version->prerelease.size == 0 || (flags & SEMVER_PRERELEASES) != 0 ||
           names_prerelease(set, version);
}

bool semver_range_has(const semver_range *range, const semver *version)
{
    for (uint32_t i = 0; i < range->count; i++) {
        if (set_has(alternative_of(range, i), version, range->flags)) {
            return true;
        }
    }
    return false;
}

/* --- overlap ------------------------------------------------------------------------------- */

static bool goes_up(semver_op op)
{
    return op == SEMVER_GT || op == SEMVER_GE;
}

static bool goes_down(semver_op op)
{
    return op == SEMVER_LT || op == SEMVER_LE;
}

/* Nothing is below 0.0.0; with pre-releases nothing is below 0.0.0-0. */
static bool is_below_all(const semver_comparator *item, uint32_t flags)
{
    const semver *v = &item->version;
    if (item->op != SEMVER_LT || v->major != 0 || v->minor != 0 || v->patch != 0) {
        return false;
    }
    return (flags & SEMVER_PRERELEASES) == 0 ||
           semver_compare(v, &(semver){.prerelease = PKG_TEXT("0")}) == 0;
}

static bool pair_meets(const semver_comparator *a, const semver_comparator *b, uint32_t flags)
{
    if (a->op == SEMVER_ANY) {
        return true;
    }
    if (a->op == SEMVER_EQ) {
        return set_has((comparators){.items = b, .count = 1}, &a->version, flags);
    }
    if (b->op == SEMVER_ANY) {
        return true;
    }
    if (b->op == SEMVER_EQ) {
        return set_has((comparators){.items = a, .count = 1}, &b->version, flags);
    }
    if (is_below_all(a, flags) || is_below_all(b, flags)) {
        return false;
    }
    if (goes_up(a->op) == goes_up(b->op)) {
        return true;
    }
    int order = semver_compare(&a->version, &b->version);
    if (order == 0) {
        return (a->op == SEMVER_GE || a->op == SEMVER_LE) &&
               (b->op == SEMVER_GE || b->op == SEMVER_LE);
    }
    return goes_up(a->op) ? order < 0 : order > 0;
}

/* May all comparators of an alternative hold at once? */
static bool is_possible(comparators set, uint32_t flags)
{
    for (uint32_t i = set.count; i-- > 1;) {
        for (uint32_t j = 0; j < i; j++) {
            if (!pair_meets(&set.items[i], &set.items[j], flags)) {
                return false;
            }
        }
    }
    return true;
}

static bool sets_meet(comparators a, comparators b, uint32_t flags)
{
    for (uint32_t i = 0; i < a.count; i++) {
        for (uint32_t j = 0; j < b.count; j++) {
            if (!pair_meets(&a.items[i], &b.items[j], flags)) {
                return false;
            }
        }
    }
    return is_possible(b, flags);
}

bool semver_range_meets(const semver_range *a, const semver_range *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        comparators set = alternative_of(a, i);
        if (!is_possible(set, a->flags)) {
            continue;
        }
        for (uint32_t j = 0; j < b->count; j++) {
            if (sets_meet(set, alternative_of(b, j), a->flags)) {
                return true;
            }
        }
    }
    return false;
}

/* --- containment --------------------------------------------------------------------------- */

typedef enum verdict { INSIDE, OUTSIDE, EMPTY } verdict;

/* The tightest bounds of an alternative; NULL where it has none. */
typedef struct bounds {
    const semver_comparator *low;
    const semver_comparator *high;
    const semver_comparator *exact;
    bool contradiction;
    bool point; /* low and high are the same version */
} bounds;

static const semver_comparator *higher_low(const semver_comparator *a, const semver_comparator *b)
{
    int order = a != NULL ? semver_compare(&a->version, &b->version) : -1;
    if (order == 0) {
        return b->op == SEMVER_GT && a->op == SEMVER_GE ? b : a;
    }
    return order > 0 ? a : b;
}

static const semver_comparator *lower_high(const semver_comparator *a, const semver_comparator *b)
{
    int order = a != NULL ? semver_compare(&a->version, &b->version) : 1;
    if (order == 0) {
        return b->op == SEMVER_LT && a->op == SEMVER_LE ? b : a;
    }
    return order < 0 ? a : b;
}

static bounds bounds_of(comparators set)
{
    bounds b = {0};
    for (uint32_t i = 0; i < set.count; i++) {
        const semver_comparator *item = &set.items[i];
        if (goes_up(item->op)) {
            b.low = higher_low(b.low, item);
        } else if (goes_down(item->op)) {
            b.high = lower_high(b.high, item);
        } else {
            b.contradiction = b.contradiction || b.exact != NULL;
            b.exact = item;
        }
    }
    if (b.low != NULL && b.high != NULL) {
        int order = semver_compare(&b.low->version, &b.high->version);
        b.point = order == 0;
        b.contradiction = b.contradiction || order > 0 ||
                          (order == 0 && (b.low->op != SEMVER_GE || b.high->op != SEMVER_LE));
    }
    return b;
}

static bool item_has(const semver_comparator *item, const semver *version, uint32_t flags)
{
    return set_has((comparators){.items = item, .count = 1}, version, flags);
}

static verdict exact_within(const bounds *b, comparators outer, uint32_t flags)
{
    const semver *version = &b->exact->version;
    if ((b->low != NULL && !item_has(b->low, version, flags)) ||
        (b->high != NULL && !item_has(b->high, version, flags))) {
        return EMPTY;
    }
    for (uint32_t i = 0; i < outer.count; i++) {
        if (!item_has(&outer.items[i], version, flags)) {
            return OUTSIDE;
        }
    }
    return INSIDE;
}

/* Does comparator `item` of the outer set leave out a part of what is between the bounds? */
static bool leaves_out(const semver_comparator *item, const bounds *b)
{
    if (b->low != NULL) {
        if (goes_up(item->op)) {
            if (item != b->low && higher_low(b->low, item) == item) {
                return true;
            }
        } else if (b->low->op == SEMVER_GE && !fits(item, &b->low->version)) {
            return true;
        }
    }
    if (b->high != NULL) {
        if (goes_down(item->op)) {
            if (item != b->high && lower_high(b->high, item) == item) {
                return true;
            }
        } else if (b->high->op == SEMVER_LE && !fits(item, &b->high->version)) {
            return true;
        }
    }
    return !goes_up(item->op) && !goes_down(item->op) && !b->point;
}

/* A bound with a pre-release lets pre-releases of its numbers in: the outer set has to as well. */
static bool prereleases_within(const bounds *b, comparators outer)
{
    if (b->low != NULL && b->low->version.prerelease.size > 0 &&
        !names_prerelease(outer, &b->low->version)) {
        return false;
    }
    if (b->high == NULL || b->high->version.prerelease.size == 0 ||
        (b->high->op == SEMVER_LT && pkg_text_is(b->high->version.prerelease, "0"))) {
        return true; /* below 1.2.3-0 is below 1.2.3 */
    }
    return names_prerelease(outer, &b->high->version);
}

static verdict ends_within(const bounds *b, comparators outer, uint32_t flags)
{
    bool outer_up = false;
    bool outer_down = false;
    for (uint32_t i = 0; i < outer.count; i++) {
        outer_up = outer_up || goes_up(outer.items[i].op);
        outer_down = outer_down || goes_down(outer.items[i].op);
        if ((b->low != NULL || b->high != NULL) && leaves_out(&outer.items[i], b)) {
            return OUTSIDE;
        }
    }
    if ((b->low != NULL && outer_down && b->high == NULL) ||
        (b->high != NULL && outer_up && b->low == NULL)) {
        return OUTSIDE;
    }
    return (flags & SEMVER_PRERELEASES) != 0 || prereleases_within(b, outer) ? INSIDE : OUTSIDE;
}

static bool is_any(comparators set)
{
    return set.count == 1 && set.items[0].op == SEMVER_ANY;
}

static bool is_equal(comparators a, comparators b)
{
    bool equal = a.count == b.count;
    for (uint32_t i = 0; equal && i < a.count; i++) {
        equal = a.items[i].op == b.items[i].op &&
                semver_compare(&a.items[i].version, &b.items[i].version) == 0;
    }
    return equal;
}

static verdict set_within(comparators inner, comparators outer, uint32_t flags)
{
    static const semver_comparator from_zero = {.op = SEMVER_GE};
    static const semver_comparator from_lowest = {
        .op = SEMVER_GE,
        .version = {.prerelease = {.data = "0", .size = 1}},
    };
    bool all = (flags & SEMVER_PRERELEASES) != 0;
    if (is_equal(inner, outer)) {
        return INSIDE; /* also where nothing is in it: so does node-semver */
    }
    if (is_any(inner)) {
        inner = (comparators){.items = all ? &from_lowest : &from_zero, .count = 1};
    }
    if (is_any(outer)) {
        if (all) {
            return INSIDE;
        }
        outer = (comparators){.items = &from_zero, .count = 1};
    }
    bounds b = bounds_of(inner);
    if (b.contradiction) {
        return EMPTY;
    }
    return b.exact != NULL ? exact_within(&b, outer, flags) : ends_within(&b, outer, flags);
}

bool semver_range_within(const semver_range *a, const semver_range *b)
{
    bool some = false; /* an alternative of `a` that is not empty was seen */
    for (uint32_t i = 0; i < a->count; i++) {
        bool inside = false;
        for (uint32_t j = 0; j < b->count && !inside; j++) {
            verdict v = set_within(alternative_of(a, i), alternative_of(b, j), a->flags);
            some = some || v != EMPTY;
            inside = v == INSIDE;
        }
        if (!inside && some) {
            return false;
        }
    }
    return true;
}

/* --- beside -------------------------------------------------------------------------------- */

/* `sign` 1: is the version above the alternative?  -1: below? */
static bool beside_set(comparators set, const semver *version, int sign)
{
    static const semver_comparator from_zero = {.op = SEMVER_GE};
    const semver_comparator *far = NULL; /* the outermost in the direction asked for */
    const semver_comparator *near = NULL;
    for (uint32_t i = 0; i < set.count; i++) {
        const semver_comparator *item = set.items[i].op == SEMVER_ANY ? &from_zero : &set.items[i];
        far = far != NULL ? far : item;
        near = near != NULL ? near : item;
        if (sign * semver_compare(&item->version, &far->version) > 0) {
            far = item;
        } else if (sign * semver_compare(&item->version, &near->version) < 0) {
            near = item;
        }
    }
    if (sign > 0 ? goes_up(far->op) : goes_down(far->op)) {
        return false; /* open towards the version */
    }
    semver_op without = sign > 0 ? SEMVER_GT : SEMVER_LT;
    semver_op with = sign > 0 ? SEMVER_GE : SEMVER_LE;
    int order = sign * semver_compare(version, &near->version);
    if ((near->op == SEMVER_EQ || near->op == without) && order <= 0) {
        return false;
    }
    return near->op != with || order >= 0;
}

static bool beside(const semver_range *range, const semver *version, int sign)
{
    if (semver_range_has(range, version)) {
        return false;
    }
    for (uint32_t i = 0; i < range->count; i++) {
        if (!beside_set(alternative_of(range, i), version, sign)) {
            return false;
        }
    }
    return true;
}

bool semver_range_is_below(const semver_range *range, const semver *version)
{
    return beside(range, version, 1);
}

bool semver_range_is_above(const semver_range *range, const semver *version)
{
    return beside(range, version, -1);
}

/* --- text ---------------------------------------------------------------------------------- */

static const char *op_text(semver_op op)
{
    static const char *const texts[] = {
        [SEMVER_ANY] = "",  [SEMVER_EQ] = "",  [SEMVER_LT] = "<",
        [SEMVER_LE] = "<=", [SEMVER_GT] = ">", [SEMVER_GE] = ">=",
    };
    return texts[op];
}

/* The range as text at `ret`, or its size alone when `ret` is NULL. */
static size_t print_range(const semver_range *range, char *ret)
{
    size_t size = 0;
    for (uint32_t i = 0; i < range->count; i++) {
        comparators set = alternative_of(range, i);
        for (uint32_t j = 0; j < set.count; j++) {
            char version[SEMVER_PRINT_MAX] = "";
            if (set.items[j].op != SEMVER_ANY) {
                (void)semver_print(&set.items[j].version, version);
            }
            const char *pieces[] = {j > 0   ? " "
                                    : i > 0 ? "||"
                                            : "",
                                    op_text(set.items[j].op), version};
            for (size_t k = 0; k < 3; k++) {
                size_t length = strlen(pieces[k]);
                if (ret != NULL) {
                    memcpy(ret + size, pieces[k], length);
                }
                size += length;
            }
        }
    }
    return size;
}

pkg_text semver_range_format(const semver_range *range, brisk_arena *arena)
{
    if (range->count == 1 && is_any(alternative_of(range, 0))) {
        return PKG_TEXT("*");
    }
    size_t size = print_range(range, NULL);
    char *text = brisk_arena_alloc(arena, size + 1);
    if (text == NULL) {
        return (pkg_text){0};
    }
    (void)print_range(range, text);
    text[size] = '\0';
    return (pkg_text){.data = text, .size = size};
}
