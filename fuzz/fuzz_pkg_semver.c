/*
 * fuzz_pkg_semver.c -- any bytes as two ranges and three versions.
 *
 * Input: flags:1, then up to five lines: range, range, version, version, version.
 * Oracle: what is printed reads back as the same; order is antisymmetric and transitive; a range
 * contains what its printed form contains; sets agree with membership: a release that is in two
 * ranges makes them meet, one in a range is in every range that holds it.
 */
#include <string.h>

#include <brisk/arena.h>

#include "base/assert.h"
#include "workload/pkg/semver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RANGES = 2, VERSIONS = 3 };

typedef struct input {
    brisk_arena *arena;
    uint32_t flags;
    const semver_range *ranges[RANGES];
    const semver_range *again[RANGES]; /* read from what was printed; NULL: too long for that */
    semver versions[VERSIONS];
    bool valid[VERSIONS];
} input;

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static pkg_text next_line(pkg_text *rest)
{
    const char *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    pkg_text line = {.data = rest->data,
                     .size = end != NULL ? (size_t)(end - rest->data) : rest->size};
    size_t skip = end != NULL ? line.size + 1 : line.size;
    *rest = (pkg_text){.data = rest->data + skip, .size = rest->size - skip};
    return line;
}

static void read_range(input *in, pkg_text text, int i)
{
    brisk_err err = semver_range_parse(in->arena, text, in->flags, &in->ranges[i]);
    BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_INVALID);
    if (err != BRISK_OK) {
        in->ranges[i] = NULL;
        return;
    }
    const semver_range *range = in->ranges[i];
    BRISK_ASSERT(range->count > 0 && range->ends[range->count - 1] <= SEMVER_COMPARATORS_MAX);
    pkg_text printed = semver_range_format(range, in->arena);
    if (printed.size <= SEMVER_RANGE_LENGTH_MAX &&
        range->ends[range->count - 1] < SEMVER_COMPARATORS_MAX / 2) {
        BRISK_ASSERT(semver_range_parse(in->arena, printed, in->flags, &in->again[i]) == BRISK_OK);
        /* "00.x" prints as ">=0.0.0 ...", and what is written so is left out: once, not twice */
        const semver_range *third = NULL;
        pkg_text second = semver_range_format(in->again[i], in->arena);
        BRISK_ASSERT(second.size <= printed.size);
        BRISK_ASSERT(semver_range_parse(in->arena, second, in->flags, &third) == BRISK_OK);
        BRISK_ASSERT(pkg_text_equal(semver_range_format(third, in->arena), second));
    }
}

static void read_version(input *in, pkg_text text, int i)
{
    semver *v = &in->versions[i];
    in->valid[i] = semver_parse(text, in->flags & SEMVER_LOOSE, v);
    if (!in->valid[i]) {
        return;
    }
    pkg_text printed = semver_format(v, in->arena);
    semver again;
    if (printed.size <= SEMVER_LENGTH_MAX) {
        BRISK_ASSERT(semver_parse(printed, in->flags & SEMVER_LOOSE, &again));
        BRISK_ASSERT(semver_compare(v, &again) == 0);
        BRISK_ASSERT(pkg_text_equal(semver_format(&again, in->arena), printed));
    }
    for (int step = SEMVER_MAJOR; step <= SEMVER_RELEASE; step++) {
        semver next;
        if (semver_increment(v, (semver_step)step, NULL, in->arena, &next) == BRISK_OK) {
            BRISK_ASSERT(semver_compare(&next, v) > 0);
        }
    }
}

static void check_order(const input *in)
{
    for (int i = 0; i < VERSIONS; i++) {
        for (int j = 0; j < VERSIONS; j++) {
            if (!in->valid[i] || !in->valid[j]) {
                continue;
            }
            int order = sign(semver_compare(&in->versions[i], &in->versions[j]));
            BRISK_ASSERT(order == -sign(semver_compare(&in->versions[j], &in->versions[i])));
            for (int k = 0; k < VERSIONS && order <= 0; k++) {
                if (in->valid[k] && semver_compare(&in->versions[j], &in->versions[k]) <= 0) {
                    BRISK_ASSERT(semver_compare(&in->versions[i], &in->versions[k]) <= 0);
                }
            }
        }
    }
}

static void check_members(const input *in, const semver *v)
{
    const semver_range *a = in->ranges[0];
    const semver_range *b = in->ranges[1];
    for (int i = 0; i < RANGES; i++) {
        const semver_range *range = in->ranges[i];
        if (range == NULL) {
            continue;
        }
        bool has = semver_range_has(range, v);
        BRISK_ASSERT(in->again[i] == NULL || semver_range_has(in->again[i], v) == has);
        BRISK_ASSERT(!has || !semver_range_is_below(range, v));
        BRISK_ASSERT(!has || !semver_range_is_above(range, v));
    }
    if (a == NULL || b == NULL || v->prerelease.size > 0 || !semver_range_has(a, v)) {
        return;
    }
    BRISK_ASSERT(!semver_range_has(b, v) || semver_range_meets(a, b));
    BRISK_ASSERT(!semver_range_within(a, b) || semver_range_has(b, v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {0};
    if (size == 0 || brisk_arena_create(NULL, &in.arena) != BRISK_OK) {
        return 0;
    }
    in.flags = data[0] & (SEMVER_LOOSE | SEMVER_PRERELEASES);
    pkg_text rest = {.data = (const char *)data + 1, .size = size - 1};
    for (int i = 0; i < RANGES; i++) {
        read_range(&in, next_line(&rest), i);
    }
    for (int i = 0; i < VERSIONS; i++) {
        read_version(&in, next_line(&rest), i);
    }
    check_order(&in);
    for (int i = 0; i < VERSIONS; i++) {
        if (in.valid[i]) {
            check_members(&in, &in.versions[i]);
        }
    }
    if (in.ranges[0] != NULL) {
        BRISK_ASSERT(semver_range_within(in.ranges[0], in.ranges[0]));
    }
    brisk_arena_destroy(in.arena);
    return 0;
}
