/*
 * semver_range.c -- from the text of a range to its comparators.
 *
 * node-semver rewrites the text step by step with regular expressions until only comparators are
 * left.  Here the same language is read in one pass.  A text with anything unusual in it (a build,
 * white space that is no single blank, a blank behind an operator) is first brought into the form
 * that those rewriting steps give it (semver_tidy.c); then alternatives are cut at "||", tried as hyphen
 * ranges, and cut at blanks into tokens:
 *
 *     ^1.2.3     >=1.2.3 <2.0.0-0       1.2.x      >=1.2.0 <1.3.0-0
 *     ~1.2.3     >=1.2.3 <1.3.0-0       >1.2       >=1.3.0
 *     1 - 2.3    >=1.0.0 <2.4.0-0       x, *, ""   any
 *
 * Read strictly, a token that is none of these makes the range invalid; read loosely it is left
 * out, and only an alternative of nothing but such tokens disappears.  A number above 2^53 - 1
 * where it counts makes the range invalid either way.
 *
 * Threads: no state.  Sources: node-semver's grammar (range.bnf), behaviour and cases,
 * https://github.com/npm/node-semver.
 */
#include "workload/pkg/semver.h"

#include <string.h>

#include "workload/pkg/semver_scan.h"

enum {
    ITEMS_FEW = 16,
    ENDS_FEW = 8,
    DISTINCT_MAX = 64, /* doubles are looked for among so many comparators of an alternative */
};

typedef struct range_builder {
    brisk_arena *arena;
    uint32_t flags;
    brisk_err err; /* the first failure: INVALID, NOMEM */
    semver_comparator *items;
    uint32_t item_count;
    uint32_t item_capacity;
    uint32_t *ends;
    uint32_t end_count;
    uint32_t end_capacity;
    uint32_t begin; /* of the alternative that is being read */
    semver_comparator few_items[ITEMS_FEW];
    uint32_t few_ends[ENDS_FEW];
} range_builder;

static bool fail(range_builder *b, brisk_err err)
{
    if (b->err == BRISK_OK) {
        b->err = err;
    }
    return false;
}

/* --- comparators --------------------------------------------------------------------------- */

static void *grown(range_builder *b, const void *old, uint32_t *capacity, size_t size)
{
    uint32_t doubled = *capacity * 2;
    void *more = brisk_arena_alloc(b->arena, doubled * size);
    if (more == NULL) {
        (void)fail(b, BRISK_ERR_NOMEM);
        return NULL;
    }
    memcpy(more, old, *capacity * size);
    *capacity = doubled;
    return more;
}

/* npm takes no longer versions in ranges either. */
static bool is_too_long(const semver *version)
{
    char text[SEMVER_PRINT_MAX];
    return version->prerelease.size > SEMVER_LENGTH_MAX / 2 &&
           (version->prerelease.size > SEMVER_LENGTH_MAX ||
            semver_print(version, text) > SEMVER_LENGTH_MAX);
}

static void add(range_builder *b, semver_op op, const semver *version)
{
    if (version->major > SEMVER_NUMBER_MAX || version->minor > SEMVER_NUMBER_MAX ||
        version->patch > SEMVER_NUMBER_MAX || is_too_long(version) ||
        b->item_count == SEMVER_COMPARATORS_MAX) {
        (void)fail(b, BRISK_ERR_INVALID);
        return;
    }
    if (b->item_count == b->item_capacity) {
        semver_comparator *more = grown(b, b->items, &b->item_capacity, sizeof *more);
        if (more == NULL) {
            return;
        }
        b->items = more;
    }
    b->items[b->item_count++] = (semver_comparator){.op = op, .version = *version};
}

static void add_any(range_builder *b)
{
    add(b, SEMVER_ANY, &(semver){0});
}

/* `pre`: "-0" behind the numbers, the lowest of all versions with them. */
static void add_numbers(range_builder *b, semver_op op, const uint64_t numbers[3], bool pre)
{
    semver version = {.major = numbers[0],
                      .minor = numbers[1],
                      .patch = numbers[2],
                      .prerelease = pre ? PKG_TEXT("0") : (pkg_text){0}};
    add(b, op, &version);
}

/* ">=0.0.0" is any version, where it is written so (or ">=0.0.0-0" with pre-releases). */
static void add_from(range_builder *b, const semver_partial *partial, int parts,
                     pkg_text prerelease)
{
    bool all = (b->flags & SEMVER_PRERELEASES) != 0;
    bool zero = true;
    uint64_t numbers[3] = {0};
    for (int i = 0; i < parts; i++) {
        numbers[i] = partial->parts[i].value;
        zero = zero && partial->parts[i].zero;
    }
    if (zero && (all ? pkg_text_is(prerelease, "0") : prerelease.size == 0)) {
        add_any(b);
        return;
    }
    semver version = {
        .major = numbers[0], .minor = numbers[1], .patch = numbers[2], .prerelease = prerelease};
    add(b, SEMVER_GE, &version);
}

/* Everything below the next one of part `step`: below 1.3.0-0 for 1.2.x and step 1. */
static void add_below_next(range_builder *b, const semver_partial *partial, int step)
{
    uint64_t numbers[3] = {0};
    for (int i = 0; i <= step; i++) {
        numbers[i] = partial->parts[i].value;
    }
    numbers[step]++;
    add_numbers(b, SEMVER_LT, numbers, true);
}

static pkg_text lowest_prerelease(const range_builder *b)
{
    return (b->flags & SEMVER_PRERELEASES) != 0 ? PKG_TEXT("0") : (pkg_text){0};
}

/* How many leading parts are numbers. */
static int known_parts(const semver_partial *partial)
{
    int known = 0;
    while (known < 3 && !partial->parts[known].x) {
        known++;
    }
    return known;
}

/* --- tokens -------------------------------------------------------------------------------- */

typedef enum token_kind {
    TOKEN_BAD,   /* no comparator */
    TOKEN_EMPTY, /* any version: npm replaces it by nothing */
    TOKEN_GOOD,
} token_kind;

static token_kind add_caret(range_builder *b, const semver_partial *partial)
{
    int known = known_parts(partial);
    if (known == 0) {
        return TOKEN_EMPTY;
    }
    add_from(b, partial, known, known == 3 ? partial->prerelease : lowest_prerelease(b));
    int step = 0;
    if (partial->parts[0].zero && known > 1) {
        step = partial->parts[1].zero && known > 2 ? 2 : 1;
    }
    add_below_next(b, partial, step);
    return TOKEN_GOOD;
}

static token_kind add_tilde(range_builder *b, const semver_partial *partial)
{
    int known = known_parts(partial);
    if (known == 0) {
        return TOKEN_EMPTY;
    }
    add_from(b, partial, known, known == 3 ? partial->prerelease : lowest_prerelease(b));
    add_below_next(b, partial, known == 1 ? 0 : 1);
    return TOKEN_GOOD;
}

/* A partial with an x in it, behind `op` (ANY: none). */
static token_kind add_xrange(range_builder *b, semver_op op, const semver_partial *partial)
{
    int known = known_parts(partial);
    if (known == 0) {
        if (op != SEMVER_LT && op != SEMVER_GT) {
            return TOKEN_EMPTY;
        }
        add_numbers(b, SEMVER_LT, (const uint64_t[3]){0}, true); /* nothing is beyond everything */
        return TOKEN_GOOD;
    }
    semver_partial next = *partial;
    next.parts[known - 1].value++;
    next.parts[known - 1].zero = false;
    uint64_t numbers[3] = {partial->parts[0].value, known == 2 ? partial->parts[1].value : 0, 0};
    switch (op) {
    case SEMVER_GT: add_from(b, &next, known, lowest_prerelease(b)); break;
    case SEMVER_GE: add_from(b, partial, known, lowest_prerelease(b)); break;
    case SEMVER_LT: add_numbers(b, SEMVER_LT, numbers, true); break;
    case SEMVER_LE: add_below_next(b, partial, known - 1); break;
    case SEMVER_ANY:
    case SEMVER_EQ:
        add_from(b, partial, known, lowest_prerelease(b));
        add_below_next(b, partial, known - 1);
        break;
    }
    return TOKEN_GOOD;
}

/* A whole version behind `op`; `plain`: nothing stood before the numbers. */
static void add_whole(range_builder *b, semver_op op, const semver_partial *partial, bool plain)
{
    if (op == SEMVER_GE && plain) {
        add_from(b, partial, 3, partial->prerelease);
        return;
    }
    semver version = {.major = partial->parts[0].value,
                      .minor = partial->parts[1].value,
                      .patch = partial->parts[2].value,
                      .prerelease = partial->prerelease};
    add(b, op == SEMVER_ANY ? SEMVER_EQ : op, &version);
}

static const char *scan_op(const char *at, const char *end, semver_op *ret)
{
    *ret = SEMVER_ANY;
    if (at < end && (*at == '<' || *at == '>')) {
        *ret = *at == '<' ? SEMVER_LT : SEMVER_GT;
        at++;
    }
    if (at < end && *at == '=') {
        *ret = *ret == SEMVER_LT ? SEMVER_LE : *ret == SEMVER_GT ? SEMVER_GE : SEMVER_EQ;
        at++;
    }
    return at;
}

/* What may stand between an operator and a number: any of "v= "; `strict`: nothing but one v. */
static const char *scan_prefix(const char *at, const char *end, bool *strict)
{
    const char *begin = at;
    while (at < end && (*at == 'v' || *at == '=' || *at == ' ')) {
        at++;
    }
    *strict = at == begin || (at == begin + 1 && *begin == 'v');
    return at;
}

/* An operator and a partial. */
static token_kind token_compare(range_builder *b, const char *at, const char *end)
{
    semver_op op;
    bool strict;
    const char *begin = scan_op(at, end, &op);
    const char *number = scan_prefix(begin, end, &strict);
    semver_partial partial;
    if (!semver_scan_partial(number, end, b->flags, &partial)) {
        return TOKEN_BAD;
    }
    const semver_part *parts = partial.parts;
    if ((parts[0].x && !parts[1].x) || (parts[1].x && !parts[2].x)) {
        return TOKEN_BAD;
    }
    if (parts[2].x) {
        return add_xrange(b, op, &partial);
    }
    if (!strict && (b->flags & SEMVER_LOOSE) == 0) {
        return TOKEN_BAD;
    }
    add_whole(b, op, &partial, number == begin);
    return TOKEN_GOOD;
}

/* npm takes one star (with an operator before it) out of what is nothing else: "1.2.3*". */
static token_kind token_with_star(range_builder *b, const char *at, const char *end)
{
    const char *star = memchr(at, '*', (size_t)(end - at));
    if (star == NULL || end - at > SEMVER_LENGTH_MAX) {
        return TOKEN_BAD;
    }
    const char *cut = star;
    cut -= cut > at && cut[-1] == '=';
    cut -= cut > at && (cut[-1] == '<' || cut[-1] == '>');
    size_t size = (size_t)(cut - at);
    size_t rest = (size_t)(end - star - 1);
    if (memchr(star + 1, '*', rest) != NULL) {
        return TOKEN_BAD;
    }
    if (size + rest == 0) {
        return TOKEN_EMPTY;
    }
    char *text = brisk_arena_copy(b->arena, at, size + rest);
    if (text == NULL) {
        (void)fail(b, BRISK_ERR_NOMEM);
        return TOKEN_BAD;
    }
    memcpy(text + size, star + 1, rest);
    semver_op op;
    bool strict;
    const char *begin = scan_op(text, text + size + rest, &op);
    const char *number = scan_prefix(begin, text + size + rest, &strict);
    semver_partial partial;
    if (!semver_scan_partial(number, text + size + rest, b->flags, &partial) ||
        known_parts(&partial) < 3 || (!strict && (b->flags & SEMVER_LOOSE) == 0)) {
        return TOKEN_BAD;
    }
    add_whole(b, op, &partial, number == begin);
    return TOKEN_GOOD;
}

static token_kind token_read(range_builder *b, const char *at, const char *end)
{
    if (at == end) {
        return TOKEN_EMPTY;
    }
    bool caret = *at == '^';
    if (!caret && *at != '~') {
        token_kind kind = token_compare(b, at, end);
        return kind != TOKEN_BAD ? kind : token_with_star(b, at, end);
    }
    at++;
    if (!caret && at < end && *at == '>') {
        at++;
    }
    bool strict;
    at = scan_prefix(at, end, &strict);
    semver_partial partial;
    if (!semver_scan_partial(at, end, b->flags, &partial)) {
        return TOKEN_BAD;
    }
    return caret ? add_caret(b, &partial) : add_tilde(b, &partial);
}

static token_kind token(range_builder *b, const char *at, const char *end)
{
    token_kind kind = token_read(b, at, end);
    if (kind == TOKEN_BAD && (b->flags & SEMVER_LOOSE) == 0) {
        (void)fail(b, BRISK_ERR_INVALID);
    }
    return kind;
}

/* --- hyphen ranges ------------------------------------------------------------------------- */

typedef struct hyphen_side {
    const char *begin;  /* with what stands before the number */
    const char *number; /* the partial */
    const char *end;
    bool strict; /* only a "v" or nothing before the number */
    semver_partial partial;
} hyphen_side;

static bool hyphen_scan(const range_builder *b, const char *at, const char *end, hyphen_side *ret)
{
    ret->begin = at;
    ret->number = scan_prefix(at, end, &ret->strict);
    const char *blank = memchr(ret->number, ' ', (size_t)(end - ret->number));
    ret->end = blank != NULL ? blank : end;
    return semver_scan_partial(ret->number, ret->end, b->flags, &ret->partial);
}

/*
 * A whole version at one side goes on as text behind its operator, with what stood before it: a
 * blank in there cuts the operator off.
 */
static void hyphen_whole(range_builder *b, semver_op op, const hyphen_side *side)
{
    const char *blank = side->number;
    while (blank > side->begin && blank[-1] != ' ') {
        blank--;
    }
    if (blank > side->begin) {
        if ((b->flags & SEMVER_LOOSE) == 0) {
            (void)fail(b, BRISK_ERR_INVALID); /* what was cut off is no comparator */
            return;
        }
        (void)token(b, blank, side->end);
        return;
    }
    if (!side->strict && (b->flags & SEMVER_LOOSE) == 0) {
        (void)fail(b, BRISK_ERR_INVALID);
        return;
    }
    bool lowest = side->partial.prerelease.size == 0 && op == SEMVER_GE;
    semver_partial partial = side->partial;
    if (lowest) {
        partial.prerelease = lowest_prerelease(b);
    }
    add_whole(b, op, &partial, side->number == side->begin);
}

static void hyphen_to(range_builder *b, const hyphen_side *to)
{
    int known = known_parts(&to->partial);
    if (known == 0) {
        add_any(b);
    } else if (known < 3) {
        add_below_next(b, &to->partial, known - 1);
    } else if (to->partial.prerelease.size > 0) {
        add_whole(b, SEMVER_LE, &to->partial, true);
    } else if ((b->flags & SEMVER_PRERELEASES) != 0) {
        add_below_next(b, &to->partial, 2);
    } else {
        hyphen_whole(b, SEMVER_LE, to);
    }
}

/* "A - B" and nothing else. */
static bool hyphen(range_builder *b, const char *at, const char *end)
{
    hyphen_side from;
    hyphen_side to;
    at += at < end && *at == ' ';
    if (!hyphen_scan(b, at, end, &from) || end - from.end < 4 || memcmp(from.end, " - ", 3) != 0 ||
        !hyphen_scan(b, from.end + 3, end, &to) || end - to.end > 1) {
        return false;
    }
    int known = known_parts(&from.partial);
    if (known == 0) {
        add_any(b);
    } else if (known < 3) {
        add_from(b, &from.partial, known, lowest_prerelease(b));
    } else {
        hyphen_whole(b, SEMVER_GE, &from);
    }
    hyphen_to(b, &to);
    return true;
}

/* --- alternatives -------------------------------------------------------------------------- */

static bool is_nothing(const semver_comparator *item)
{
    const semver *v = &item->version;
    return item->op == SEMVER_LT && v->major == 0 && v->minor == 0 && v->patch == 0 &&
           v->prerelease.size > 0 && semver_compare(v, &(semver){.prerelease = PKG_TEXT("0")}) == 0;
}

static bool is_double(const semver_comparator *items, uint32_t count, const semver_comparator *item)
{
    for (uint32_t i = 0; i < count && i < DISTINCT_MAX; i++) {
        if (items[i].op == item->op && semver_compare(&items[i].version, &item->version) == 0) {
            return true;
        }
    }
    return false;
}

/* What is left of the comparators of one alternative: without doubles and needless "any". */
static void finish_alternative(range_builder *b)
{
    semver_comparator *items = b->items + b->begin;
    uint32_t count = b->item_count - b->begin;
    if (count == 0 || b->err != BRISK_OK) {
        return; /* nothing but tokens that loose reading leaves out */
    }
    uint32_t kept = 0;
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (is_nothing(&items[i])) {
            items[0] = items[i];
            any = false;
            kept = 1;
            break;
        }
        if (items[i].op == SEMVER_ANY) {
            any = true;
        } else if (!is_double(items, kept, &items[i])) {
            items[kept++] = items[i];
        }
    }
    if (kept == 0 && any) {
        items[kept++] = (semver_comparator){.op = SEMVER_ANY};
    }
    b->item_count = b->begin + kept;
    if (b->end_count == b->end_capacity) {
        uint32_t *more = grown(b, b->ends, &b->end_capacity, sizeof *more);
        if (more == NULL) {
            return;
        }
        b->ends = more;
    }
    b->ends[b->end_count++] = b->item_count;
    b->begin = b->item_count;
}

/*
 * Tokens between blanks.  An empty one stands for any version, but npm sees it only at the edges
 * of the text: between others, its blanks become one.  That matters where the others are left out.
 */
static void tokens(range_builder *b, const char *at, const char *end)
{
    bool first = true;
    for (;;) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        token_kind kind = token(b, at, blank != NULL ? blank : end);
        if (kind == TOKEN_EMPTY && (first || blank == NULL)) {
            add_any(b);
        }
        if (blank == NULL) {
            return;
        }
        first = false;
        at = blank + 1;
    }
}

static void alternative(range_builder *b, const char *at, const char *end, bool hyphens)
{
    if (!hyphens || !hyphen(b, at, end)) {
        tokens(b, at, end);
    }
    finish_alternative(b);
}

/* --- odd texts ----------------------------------------------------------------------------- */

/* An alternative of an odd text, in memory that may be changed. */
static void odd_alternative(range_builder *b, char *at, size_t size)
{
    size = semver_tidy_builds(at, size);
    if (hyphen(b, at, at + size)) {
        finish_alternative(b);
        return;
    }
    size = semver_tidy_operators(at, size);
    alternative(b, at, at + size, false);
}

/* --- the whole ----------------------------------------------------------------------------- */

static void alternatives(range_builder *b, pkg_text text, semver_look look, char *copy)
{
    const char *at = text.data;
    const char *end = at + text.size;
    for (;;) {
        const char *bar = NULL;
        for (const char *p = at; look.bars && bar == NULL && p < end; p++) {
            p = memchr(p, '|', (size_t)(end - p));
            if (p == NULL) {
                break;
            }
            bar = p + 1 < end && p[1] == '|' ? p : NULL;
        }
        const char *begin = at;
        const char *stop = bar != NULL ? bar : end;
        while (begin < stop && *begin == ' ') {
            begin++;
        }
        while (begin < stop && stop[-1] == ' ') {
            stop--;
        }
        if (copy != NULL) {
            odd_alternative(b, copy + (begin - text.data), (size_t)(stop - begin));
        } else {
            alternative(b, begin, stop, look.hyphens);
        }
        if (bar == NULL || b->err != BRISK_OK) {
            return;
        }
        at = bar + 2;
    }
}

static uint32_t begin_of(const range_builder *b, uint32_t i)
{
    return i > 0 ? b->ends[i - 1] : 0;
}

/* Keep alternative `from` as alternative `to`, whose items begin at `item`. */
static uint32_t keep(range_builder *b, uint32_t begin, uint32_t end, uint32_t to, uint32_t item)
{
    memmove(b->items + item, b->items + begin, (end - begin) * sizeof *b->items);
    b->ends[to] = item + (end - begin);
    return b->ends[to];
}

/* Alternatives that nothing fits are dropped unless all are; one that all fits is all. */
static void simplify(range_builder *b)
{
    uint32_t kept = 0;
    uint32_t item = 0;
    uint32_t begin = 0;
    uint32_t first = b->ends[0];
    semver_comparator nothing = b->items[0];
    bool all_nothing = true;
    for (uint32_t i = 0; i < b->end_count; i++) {
        uint32_t end = b->ends[i];
        if (!is_nothing(&b->items[begin])) {
            all_nothing = false;
            item = keep(b, begin, end, kept++, item);
        }
        begin = end;
    }
    if (all_nothing) {
        b->items[0] = nothing;
        b->ends[0] = first;
        b->end_count = 1;
        return;
    }
    b->end_count = kept;
    for (uint32_t i = 0; i < kept && kept > 1; i++) {
        if (b->ends[i] - begin_of(b, i) == 1 && b->items[begin_of(b, i)].op == SEMVER_ANY) {
            b->items[0] = (semver_comparator){.op = SEMVER_ANY};
            b->ends[0] = 1;
            b->end_count = 1;
        }
    }
}

/* One allocation for the range, its comparators and its ends. */
static brisk_err finish(range_builder *b, const semver_range **ret)
{
    if (b->err == BRISK_OK && b->end_count == 0) {
        (void)fail(b, BRISK_ERR_INVALID);
    }
    if (b->err != BRISK_OK) {
        return b->err;
    }
    if (b->end_count > 1) {
        simplify(b);
    }
    uint32_t count = b->ends[b->end_count - 1];
    size_t items_size = count * sizeof *b->items;
    char *memory = brisk_arena_alloc(b->arena, sizeof(semver_range) + items_size +
                                                   b->end_count * sizeof *b->ends);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    semver_range *range = (semver_range *)(void *)memory;
    semver_comparator *items = (semver_comparator *)(void *)(memory + sizeof *range);
    uint32_t *ends = (uint32_t *)(void *)(memory + sizeof *range + items_size);
    memcpy(items, b->items, items_size);
    memcpy(ends, b->ends, b->end_count * sizeof *ends);
    *range = (semver_range){.items = items, .ends = ends, .count = b->end_count, .flags = b->flags};
    *ret = range;
    return BRISK_OK;
}

brisk_err semver_range_parse(brisk_arena *arena, pkg_text text, uint32_t flags,
                             const semver_range **ret)
{
    if (text.size > SEMVER_RANGE_LENGTH_MAX) {
        return BRISK_ERR_INVALID;
    }
    range_builder b;
    b.arena = arena;
    b.flags = flags;
    b.err = BRISK_OK;
    b.items = b.few_items;
    b.item_count = 0;
    b.item_capacity = ITEMS_FEW;
    b.ends = b.few_ends;
    b.end_count = 0;
    b.end_capacity = ENDS_FEW;
    b.begin = 0;
    char *copy = NULL;
    if (text.data == NULL) {
        text = PKG_TEXT("");
    }
    semver_look look = semver_look_at(text);
    if (look.odd) {
        copy = brisk_arena_alloc(arena, text.size);
        if (copy == NULL) {
            return BRISK_ERR_NOMEM;
        }
        text = (pkg_text){.data = copy, .size = semver_tidy_blanks(text, copy)};
    }
    alternatives(&b, text, look, copy);
    return finish(&b, ret);
}
