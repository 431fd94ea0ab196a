/*
 * pick.c -- which version of a package npm would take.
 *
 * The rules, as npm-pick-manifest has them:
 *   1. A tag means exactly the version it names; if that is too young, the best one not above it.
 *   2. An exact version means that one, deprecated or not.
 *   3. A range: the version of the tag "latest" if it is in the range, not deprecated, its engines
 *      fit and it is not too young; "*" and "" take it also when it is a pre-release.
 *   4. Otherwise the highest in the range of those that are not deprecated and whose engines fit;
 *      if there is none, of those whose engines fit; then of those not deprecated; then of all.
 *
 * Versions are sorted, so the search begins at the upper end of the range, found by halving, and
 * ends at its lower end or with the first version that nothing speaks against.  Nothing is
 * allocated for a candidate; an engine's range is read once for a run of versions with the same.
 *
 * `before_ms` only takes versions away.  So the choice is made without it first, and made again
 * only when that one is too young; this also says what was skipped.
 *
 * Threads: no state.  Source: behaviour of npm-pick-manifest 11.0.3 in npm 11.19.1.
 */
#include "workload/pkg/package.h"

#include <string.h>

#include "workload/pkg/project.h"
#include "workload/pkg/semver_scan.h"

enum { CLASSES = 4 }; /* of rule 4, the best first */

typedef struct picker {
    const pkg_package *package;
    const semver_range *range;
    const pkg_pick_opts *opts;
    brisk_arena *scratch;
    int64_t before_ms;
    pkg_text engine; /* whose range was asked last, and the answer */
    bool engine_fits;
    brisk_err err; /* NOMEM while an engine's range was read */
} picker;

/* --- one version --------------------------------------------------------------------------- */

static bool is_old_enough(const picker *p, const pkg_version *version)
{
    return version->published_ms <= p->before_ms; /* unknown times are the smallest number */
}

static bool engine_fits(picker *p, const pkg_version *version)
{
    const semver *node = &p->opts->node;
    if (version->engine_node.size == 0 ||
        (node->major == 0 && node->minor == 0 && node->patch == 0)) {
        return true;
    }
    if (p->engine.data != NULL && pkg_text_equal(p->engine, version->engine_node)) {
        return p->engine_fits;
    }
    const semver_range *range;
    brisk_err err =
        semver_range_parse(p->scratch, version->engine_node, SEMVER_PRERELEASES, &range);
    if (err == BRISK_ERR_NOMEM) {
        p->err = err;
        return false;
    }
    p->engine = version->engine_node;
    p->engine_fits = err == BRISK_OK && semver_range_has(range, node);
    return p->engine_fits;
}

static uint32_t class_of(picker *p, const pkg_version *version)
{
    return (engine_fits(p, version) ? 0U : 2U) + (version->deprecated ? 1U : 0U);
}

/* --- the ends of a range ------------------------------------------------------------------- */

/* Nothing in the range is below `low` or above `high`; NULL: no such end. */
typedef struct range_ends {
    const semver *low;
    const semver *high;
} range_ends;

static range_ends alternative_ends(const semver_comparator *items, uint32_t count)
{
    range_ends ends = {0};
    for (uint32_t i = 0; i < count; i++) {
        const semver *v = &items[i].version;
        semver_op op = items[i].op;
        if (op == SEMVER_EQ || op == SEMVER_GT || op == SEMVER_GE) {
            ends.low = ends.low == NULL || semver_compare(v, ends.low) > 0 ? v : ends.low;
        }
        if (op == SEMVER_EQ || op == SEMVER_LT || op == SEMVER_LE) {
            ends.high = ends.high == NULL || semver_compare(v, ends.high) < 0 ? v : ends.high;
        }
    }
    return ends;
}

static range_ends ends_of(const semver_range *range)
{
    range_ends ends = alternative_ends(range->items, range->ends[0]);
    for (uint32_t i = 1; i < range->count; i++) {
        uint32_t begin = range->ends[i - 1];
        range_ends more = alternative_ends(range->items + begin, range->ends[i] - begin);
        if (ends.low != NULL && (more.low == NULL || semver_compare(more.low, ends.low) < 0)) {
            ends.low = more.low;
        }
        if (ends.high != NULL && (more.high == NULL || semver_compare(more.high, ends.high) > 0)) {
            ends.high = more.high;
        }
    }
    return ends;
}

/* How many versions, from the lowest, are not above `high`. */
static uint32_t count_up_to(const pkg_package *package, const semver *high)
{
    uint32_t low = 0;
    uint32_t end = pkg_package_count(package);
    while (high != NULL && low < end) {
        uint32_t middle = low + (end - low) / 2;
        pkg_version version;
        pkg_package_version(package, middle, &version);
        if (semver_compare(&version.semver, high) <= 0) {
            low = middle + 1;
        } else {
            end = middle;
        }
    }
    return end;
}

/* --- the rules ----------------------------------------------------------------------------- */

/* Rule 4. */
static uint32_t best_of_range(picker *p)
{
    range_ends ends = ends_of(p->range);
    uint32_t best[CLASSES] = {PKG_NO_VERSION, PKG_NO_VERSION, PKG_NO_VERSION, PKG_NO_VERSION};
    semver found[CLASSES];
    for (uint32_t i = count_up_to(p->package, ends.high); i-- > 0;) {
        pkg_version version;
        pkg_package_version(p->package, i, &version);
        const semver *v = &version.semver;
        if ((best[0] != PKG_NO_VERSION && semver_compare(v, &found[0]) < 0) ||
            (ends.low != NULL && semver_compare(v, ends.low) < 0)) {
            break;
        }
        if (!semver_range_has(p->range, v) || !is_old_enough(p, &version)) {
            continue;
        }
        uint32_t class = class_of(p, &version);
        /* of equal ones, as "1.0.0+a" and "1.0.0+b", the first counts */
        if (best[class] == PKG_NO_VERSION || semver_compare(v, &found[class]) == 0) {
            best[class] = i;
            found[class] = *v;
        }
    }
    for (uint32_t class = 0; class < CLASSES; class ++) {
        if (best[class] != PKG_NO_VERSION) {
            return best[class];
        }
    }
    return PKG_NO_VERSION;
}

/* Rule 3; `any`: the range is "*" or nothing. */
static uint32_t latest_in_range(picker *p, bool any)
{
    uint32_t latest = pkg_package_tag(p->package, PKG_TEXT("latest"));
    if (latest == PKG_NO_VERSION || p->opts->highest) {
        return PKG_NO_VERSION;
    }
    pkg_version version;
    pkg_package_version(p->package, latest, &version);
    bool good = (any || semver_range_has(p->range, &version.semver)) &&
                is_old_enough(p, &version) && class_of(p, &version) == 0;
    return good ? latest : PKG_NO_VERSION;
}

static uint32_t pick_range(picker *p, bool any)
{
    uint32_t index = latest_in_range(p, any);
    return index != PKG_NO_VERSION ? index : best_of_range(p);
}

/* Rule 1. */
static uint32_t pick_tag(picker *p, pkg_text tag)
{
    uint32_t index = pkg_package_tag(p->package, tag);
    if (index == PKG_NO_VERSION) {
        return PKG_NO_VERSION;
    }
    pkg_version version;
    pkg_package_version(p->package, index, &version);
    if (is_old_enough(p, &version)) {
        return index;
    }
    semver_comparator up_to = {.op = SEMVER_LE, .version = version.semver};
    uint32_t end = 1;
    semver_range range = {.items = &up_to,
                          .ends = &end,
                          .count = 1,
                          .flags = p->opts->prereleases ? SEMVER_PRERELEASES : 0};
    p->range = &range;
    index = pick_range(p, false);
    p->range = NULL;
    return index;
}

/* Rule 2: the version is asked for by its plain text, which mostly is what is written. */
static uint32_t pick_version(picker *p, pkg_text spec, const semver *wanted)
{
    char text[SEMVER_PRINT_MAX];
    semver strict;
    bool is_plain = semver_is_digit(spec.data[0]) &&
                    semver_is_identifier(spec.data[spec.size - 1]) &&
                    semver_parse(spec, 0, &strict) && strict.build.size == 0;
    if (!is_plain) {
        spec = (pkg_text){.data = text, .size = semver_print(wanted, text)};
    }
    uint32_t index = pkg_package_find(p->package, spec);
    if (index == PKG_NO_VERSION) {
        return PKG_NO_VERSION;
    }
    pkg_version version;
    pkg_package_version(p->package, index, &version);
    return is_old_enough(p, &version) ? index : PKG_NO_VERSION;
}

/* --- what is asked ------------------------------------------------------------------------- */

typedef struct question {
    bool is_tag;
    bool is_version;
    bool any;
    semver version;
    pkg_text text;
} question;

/* A range that is one comparator "=" may be written as a version; only then it is one. */
static bool is_version(pkg_text spec, const semver_range *range, semver *ret)
{
    return range->count == 1 && range->ends[0] == 1 && range->items[0].op == SEMVER_EQ &&
           semver_parse(spec, SEMVER_LOOSE, ret);
}

static brisk_err understand(picker *p, pkg_text spec, const semver_range *range, question *ret)
{
    uint32_t flags = SEMVER_LOOSE | (p->opts->prereleases ? SEMVER_PRERELEASES : 0);
    *ret = (question){.text = spec, .any = spec.size == 0 || pkg_text_is(spec, "*")};
    if (range == NULL || (p->opts->prereleases && (range->flags & SEMVER_PRERELEASES) == 0)) {
        brisk_err err = semver_range_parse(p->scratch, spec, flags, &range);
        if (err == BRISK_ERR_INVALID) {
            ret->is_tag = true;
            return pkg_tag_is_valid(spec) ? BRISK_OK : BRISK_ERR_INVALID;
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    p->range = range;
    ret->is_version = is_version(spec, range, &ret->version);
    return BRISK_OK;
}

static uint32_t decide(picker *p, const question *q)
{
    if (q->is_tag) {
        return pick_tag(p, q->text);
    }
    return q->is_version ? pick_version(p, q->text, &q->version) : pick_range(p, q->any);
}

static bool is_excluded(const picker *p)
{
    pkg_text name = pkg_package_name(p->package);
    for (uint32_t i = 0; i < p->opts->min_age_excluded_count; i++) {
        if (pkg_text_equal(p->opts->min_age_excluded[i], name)) {
            return true;
        }
    }
    return false;
}

brisk_err pkg_pick(const pkg_package *package, pkg_text spec, const semver_range *range,
                   const pkg_pick_opts *opts, brisk_arena *scratch, pkg_picked *ret)
{
    picker p = {.package = package, .opts = opts, .scratch = scratch, .before_ms = INT64_MAX};
    *ret = (pkg_picked){.index = PKG_NO_VERSION, .too_young = PKG_NO_VERSION};
    question q;
    brisk_err err = understand(&p, spec, range, &q);
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t index = decide(&p, &q);
    if (index != PKG_NO_VERSION && opts->before_ms != INT64_MAX && !is_excluded(&p)) {
        pkg_version version;
        pkg_package_version(package, index, &version);
        p.before_ms = opts->before_ms;
        if (!is_old_enough(&p, &version)) {
            ret->too_young = index;
            index = decide(&p, &q);
        }
    }
    ret->index = index;
    if (p.err != BRISK_OK) {
        return p.err;
    }
    return index != PKG_NO_VERSION ? BRISK_OK : BRISK_ERR_NOT_FOUND;
}
