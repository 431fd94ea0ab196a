/*
 * semver_step.c -- the next version, as `npm version major|minor|...` makes it.
 *
 * A pre-release of the version that a step leads to is the step's result without its pre-release:
 * 2.0.0-beta.1 and MAJOR give 2.0.0.  PRERELEASE adds one to the last number of the pre-release.
 *
 * Threads: no state.  Source: node-semver's documented behaviour and cases.
 */
#include <string.h>

#include "workload/pkg/semver_scan.h"

/* A version that is being changed: its pre-release in memory of its own. */
typedef struct step_state {
    semver version;
    char prerelease[SEMVER_PRINT_MAX];
    size_t size;
    const semver_increment_opts *opts;
} step_state;

static bool has_prerelease(const step_state *s)
{
    return s->size > 0;
}

static void append(step_state *s, const char *data, size_t size)
{
    if (size > sizeof s->prerelease - s->size) {
        s->size = sizeof s->prerelease + 1; /* too long: refused at the end */
        return;
    }
    memcpy(s->prerelease + s->size, data, size);
    s->size += size;
}

static void bump_major(step_state *s)
{
    if (s->version.minor != 0 || s->version.patch != 0 || !has_prerelease(s)) {
        s->version.major++;
    }
    s->version.minor = 0;
    s->version.patch = 0;
    s->size = 0;
}

static void bump_minor(step_state *s)
{
    if (s->version.patch != 0 || !has_prerelease(s)) {
        s->version.minor++;
    }
    s->version.patch = 0;
    s->size = 0;
}

static void bump_patch(step_state *s)
{
    if (!has_prerelease(s)) {
        s->version.patch++;
    }
    s->size = 0;
}

/* Where the identifier that ends at `end` begins. */
static size_t identifier_begin(const step_state *s, size_t end)
{
    while (end > 0 && s->prerelease[end - 1] != '.') {
        end--;
    }
    return end;
}

/* Is [begin, end) a number that JavaScript counts exactly? */
static bool is_number(const char *begin, const char *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (const char *at = begin; at < end; at++) {
        if (!semver_is_digit(*at)) {
            return false;
        }
        value = value * 10 + (uint64_t)(*at - '0');
        value = value <= SEMVER_NUMBER_MAX ? value : SEMVER_NUMBER_MAX;
    }
    *ret = value;
    return begin < end && value < SEMVER_NUMBER_MAX;
}

/* Add one to the last number; false when there is none. */
static bool bump_last_number(step_state *s)
{
    size_t end = s->size;
    for (;;) {
        size_t begin = identifier_begin(s, end);
        uint64_t value = 0;
        if (is_number(s->prerelease + begin, s->prerelease + end, &value)) {
            char tail[SEMVER_PRINT_MAX];
            size_t tail_size = s->size - end;
            memcpy(tail, s->prerelease + end, tail_size);
            char digits[24];
            int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)(value + 1));
            s->size = begin;
            append(s, digits, (size_t)length);
            append(s, tail, tail_size);
            return true;
        }
        if (begin == 0) {
            return false;
        }
        end = begin - 1;
    }
}

/* Does the pre-release begin with the wanted identifier, and is the next part a number? */
static bool continues_identifier(const step_state *s)
{
    pkg_text wanted = s->opts->identifier;
    semver have = {.prerelease = {.data = s->prerelease, .size = s->size}};
    size_t parts = 1;
    for (size_t i = 0; i < wanted.size; i++) {
        parts += wanted.data[i] == '.';
    }
    size_t size = 0;
    size_t seen = 0;
    for (; size < s->size; size++) {
        if (s->prerelease[size] == '.' && ++seen == parts) {
            break;
        }
    }
    if (size == s->size) {
        return false; /* nothing behind the identifier: it begins anew */
    }
    have.prerelease.size = size;
    if (semver_compare(&have, &(semver){.prerelease = wanted}) != 0) {
        return false;
    }
    const char *next = s->prerelease + size + 1;
    const char *end = next;
    while (end < s->prerelease + s->size && *end != '.') {
        end++;
    }
    for (const char *at = next; at < end; at++) {
        if (!semver_is_digit(*at)) {
            return false;
        }
    }
    return true;
}

static bool bump_prerelease(step_state *s)
{
    const semver_increment_opts *o = s->opts;
    const char *base = o->base_one ? "1" : "0";
    if (!has_prerelease(s)) {
        append(s, base, 1);
    } else if (!bump_last_number(s)) {
        pkg_text all = {.data = s->prerelease, .size = s->size};
        if (o->base_none && pkg_text_equal(all, o->identifier)) {
            return false; /* there already */
        }
        append(s, ".", 1);
        append(s, base, 1);
    }
    if (s->size > sizeof s->prerelease) {
        return false;
    }
    if (o->identifier.size > 0 && !continues_identifier(s)) {
        s->size = 0;
        append(s, o->identifier.data, o->identifier.size);
        if (!o->base_none) {
            append(s, ".", 1);
            append(s, base, 1);
        }
    }
    return true;
}

static bool is_pre(semver_step step)
{
    return step == SEMVER_PREMAJOR || step == SEMVER_PREMINOR || step == SEMVER_PREPATCH ||
           step == SEMVER_PRERELEASE;
}

static bool identifier_is_valid(const semver_increment_opts *o)
{
    pkg_text id = o->identifier;
    if (id.size == 0) {
        return !o->base_none;
    }
    return id.size < SEMVER_LENGTH_MAX &&
           semver_scan_identifiers(id.data, id.data + id.size, o->flags);
}

static bool take_step(step_state *s, semver_step step)
{
    bool had = has_prerelease(s);
    switch (step) {
    case SEMVER_MAJOR: bump_major(s); return true;
    case SEMVER_MINOR: bump_minor(s); return true;
    case SEMVER_PATCH: bump_patch(s); return true;
    case SEMVER_RELEASE: s->size = 0; return had;
    case SEMVER_PREMAJOR:
        s->size = 0;
        s->version.major++;
        s->version.minor = 0;
        s->version.patch = 0;
        break;
    case SEMVER_PREMINOR:
        s->size = 0;
        s->version.minor++;
        s->version.patch = 0;
        break;
    case SEMVER_PREPATCH:
        s->size = 0;
        s->version.patch++;
        break;
    case SEMVER_PRERELEASE:
        if (!had) {
            s->version.patch++;
        }
        break;
    }
    return bump_prerelease(s);
}

brisk_err semver_increment(const semver *version, semver_step step,
                           const semver_increment_opts *opts, brisk_arena *arena, semver *ret)
{
    static const semver_increment_opts defaults;
    step_state s = {.version = *version, .opts = opts != NULL ? opts : &defaults};
    if (version->prerelease.size > SEMVER_LENGTH_MAX ||
        (is_pre(step) && !identifier_is_valid(s.opts))) {
        return BRISK_ERR_INVALID;
    }
    append(&s, version->prerelease.data != NULL ? version->prerelease.data : "",
           version->prerelease.size);
    if (!take_step(&s, step) || s.size > SEMVER_LENGTH_MAX || s.version.major > SEMVER_NUMBER_MAX ||
        s.version.minor > SEMVER_NUMBER_MAX || s.version.patch > SEMVER_NUMBER_MAX) {
        return BRISK_ERR_INVALID;
    }
    char *copy = brisk_arena_copy(arena, s.prerelease, s.size);
    if (copy == NULL) {
        return BRISK_ERR_NOMEM;
    }
    s.version.prerelease = (pkg_text){.data = copy, .size = s.size};
    s.version.build = (pkg_text){0};
    *ret = s.version;
    return BRISK_OK;
}

semver semver_truncate(const semver *version, semver_step step)
{
    semver v = *version;
    v.build = (pkg_text){0};
    if (is_pre(step)) {
        return v;
    }
    v.prerelease = (pkg_text){0};
    v.patch = step == SEMVER_MAJOR || step == SEMVER_MINOR ? 0 : v.patch;
    v.minor = step == SEMVER_MAJOR ? 0 : v.minor;
    return v;
}
