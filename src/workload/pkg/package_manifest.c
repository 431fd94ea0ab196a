/*
 * package_manifest.c -- one version of a record as a manifest.
 *
 * Texts point into the record where they are in it as they are; digests, usual tarball addresses
 * and lists are made in the arena.  Ranges are unpacked, not parsed.
 *
 * Layout: record.h.
 */
#include <string.h>

#include "base/assert.h"
#include "workload/pkg/record.h"

/* Words of the record, taken one after the other; `bad` once there were not enough. */
typedef struct reader {
    const pkg_package *package;
    brisk_arena *arena;
    const uint32_t *words;
    uint32_t left;
    bool bad;  /* the record is damaged */
    bool full; /* no memory */
} reader;

static reader reader_at(const pkg_package *package, brisk_arena *arena, uint32_t at)
{
    bool is_in = at != 0 && at < package->words.count;
    return (reader){
        .package = package,
        .arena = arena,
        .words = RECORD_ITEMS(package, words, uint32_t) + (is_in ? at : 0),
        .left = is_in ? package->words.count - at : 0,
        .bad = !is_in,
    };
}

static uint32_t take(reader *r)
{
    if (r->left == 0) {
        r->bad = true;
        return 0;
    }
    r->left--;
    return *r->words++;
}

static pkg_text take_text(reader *r)
{
    bool ok = true;
    pkg_text text = record_text(r->package, take(r), &ok);
    r->bad |= !ok;
    return text;
}

static void *room(reader *r, size_t count, size_t size)
{
    void *memory = brisk_arena_alloc(r->arena, count * size); /* count is below 2^28 */
    r->full |= memory == NULL;
    return memory;
}

/* --- ranges ---------------------------------------------------------------------------------- */

static uint64_t take_number(reader *r, bool wide)
{
    uint64_t low = take(r);
    return wide ? low | (uint64_t)take(r) << 32 : low;
}

static void take_comparator(reader *r, semver_comparator *ret)
{
    uint32_t head = take(r);
    bool wide = (head & RECORD_COMPARATOR_WIDE) != 0;
    uint32_t op = head & RECORD_COMPARATOR_OP;
    r->bad |= op > SEMVER_GE;
    *ret = (semver_comparator){.op = op <= SEMVER_GE ? (semver_op)op : SEMVER_ANY};
    ret->version.major = take_number(r, wide);
    ret->version.minor = take_number(r, wide);
    ret->version.patch = take_number(r, wide);
    if ((head & RECORD_COMPARATOR_PRERELEASE) != 0) {
        ret->version.prerelease = take_text(r);
    }
    if ((head & RECORD_COMPARATOR_BUILD) != 0) {
        ret->version.build = take_text(r);
    }
}

static const semver_range *range_at(reader *outer, uint32_t at)
{
    reader r = reader_at(outer->package, outer->arena, at);
    uint32_t head = take(&r);
    uint32_t alternatives = head >> RECORD_RANGE_SHIFT;
    uint32_t comparators = take(&r);
    if (r.bad || alternatives == 0 || alternatives > r.left || comparators > r.left) {
        outer->bad = true;
        return NULL;
    }
    semver_range *range = room(outer, 1, sizeof *range);
    uint32_t *ends = room(outer, alternatives, sizeof *ends);
    semver_comparator *items = room(outer, comparators, sizeof *items);
    if (range == NULL || ends == NULL || items == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < alternatives; i++) {
        ends[i] = take(&r);
        r.bad |= ends[i] > comparators || (i > 0 && ends[i] < ends[i - 1]);
    }
    for (uint32_t i = 0; i < comparators && !r.bad; i++) {
        take_comparator(&r, &items[i]);
    }
    *range = (semver_range){
        .items = items, .ends = ends, .count = alternatives, .flags = head & RECORD_RANGE_FLAGS};
    outer->bad |= r.bad || ends[alternatives - 1] != comparators;
    return range;
}

/* --- dependencies and lists ------------------------------------------------------------------- */

static void take_dep(reader *r, pkg_dep *ret)
{
    const pkg_package *package = r->package;
    uint32_t name = take(r);
    uint32_t packed = take(r);
    uint32_t spec = packed >> RECORD_DEP_SHIFT;
    uint32_t kind = packed & RECORD_DEP_KIND;
    if (name >= package->names.count || spec >= package->specs.count || kind > PKG_DEP_WORKSPACE) {
        r->bad = true;
        return;
    }
    record_name stored_name = RECORD_ITEMS(package, names, record_name)[name];
    record_spec stored_spec = RECORD_ITEMS(package, specs, record_spec)[spec];
    bool ok = true;
    *ret = (pkg_dep){
        .name = record_text(package, stored_name.string, &ok),
        .spec = record_text(package, stored_spec.string, &ok),
        .name_hash = stored_name.hash,
        .kind = (pkg_dep_kind)kind,
    };
    r->bad |= !ok;
    ret->range = stored_spec.range != 0 ? range_at(r, stored_spec.range) : NULL;
}

static void take_deps(reader *r, pkg_manifest *ret)
{
    uint32_t count = take(r);
    if (r->bad || count > r->left / 2) {
        r->bad = true;
        return;
    }
    pkg_dep *deps = room(r, count, sizeof *deps);
    for (uint32_t i = 0; i < count && !r->bad && !r->full; i++) {
        take_dep(r, &deps[i]);
    }
    ret->deps = deps;
    ret->dep_count = count;
}

static void take_list(reader *r, pkg_texts *ret)
{
    uint32_t count = take(r);
    if (r->bad || count > r->left) {
        r->bad = true;
        return;
    }
    if (count == 0) {
        return;
    }
    pkg_text *items = room(r, count, sizeof *items);
    for (uint32_t i = 0; i < count && items != NULL; i++) {
        items[i] = take_text(r);
    }
    *ret = (pkg_texts){.items = items, .count = count};
}

static void take_meta(reader *r, pkg_manifest *ret)
{
    ret->flags = take(r);
    ret->engines = take_text(r);
    ret->engine_npm = take_text(r);
    ret->bin = take_text(r);
    ret->license = take_text(r);
    ret->funding = take_text(r);
    ret->deprecated = take_text(r);
    take_list(r, &ret->bundled);
    take_list(r, &ret->os);
    take_list(r, &ret->cpu);
    take_list(r, &ret->libc);
}

/* --- integrity and tarball --------------------------------------------------------------------- */

/* Base64 with padding of `size` bytes at `to`; behind the last character. */
static char *base64(const unsigned char *data, size_t size, char *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (left > 2 ? data[i + 2] : 0);
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[bits & 63] : '=';
    }
    return to;
}

static pkg_text integrity_of(reader *r, uint32_t integrity)
{
    const pkg_package *package = r->package;
    uint32_t kind = integrity & RECORD_INTEGRITY_KIND;
    uint32_t number = integrity >> RECORD_INTEGRITY_SHIFT;
    bool ok = true;
    if (kind == RECORD_INTEGRITY_NONE || kind == RECORD_INTEGRITY_TEXT) {
        pkg_text text =
            kind == RECORD_INTEGRITY_TEXT ? record_text(package, number, &ok) : (pkg_text){0};
        r->bad |= !ok;
        return text;
    }
    bool is_512 = kind == RECORD_INTEGRITY_SHA512;
    uint64_t at = (uint64_t)number * 4;
    uint32_t size = is_512 ? RECORD_SHA512_BYTES : RECORD_SHA1_BYTES;
    if (at + size > package->digests.count) {
        r->bad = true;
        return (pkg_text){0};
    }
    char *text = room(r, 1, sizeof "sha512-" + RECORD_SHA512_BYTES * 4 / 3 + 4);
    if (text == NULL) {
        return (pkg_text){0};
    }
    size_t head = is_512 ? 7 : 5;
    memcpy(text, is_512 ? "sha512-" : "sha1-", head);
    char *end = base64(RECORD_ITEMS(package, digests, unsigned char) + at, size, text + head);
    return (pkg_text){.data = text, .size = (size_t)(end - text)};
}

static char *append(char *to, pkg_text text)
{
    if (text.size > 0) {
        memcpy(to, text.data, text.size);
    }
    return to + text.size;
}

/* Behind the scope of a name. */
static pkg_text basename_of(pkg_text name)
{
    const char *slash = name.size > 0 ? memchr(name.data, '/', name.size) : NULL;
    if (name.size == 0 || name.data[0] != '@' || slash == NULL) {
        return name;
    }
    size_t skip = (size_t)(slash + 1 - name.data);
    return (pkg_text){.data = name.data + skip, .size = name.size - skip};
}

static pkg_text tarball_of(reader *r, uint32_t tarball, pkg_text name, pkg_text version)
{
    bool ok = true;
    bool usual = tarball == RECORD_TARBALL_USUAL;
    pkg_text text = record_text(r->package, usual ? r->package->prefix : tarball, &ok);
    r->bad |= !ok;
    if (!usual || !ok) {
        return text;
    }
    pkg_text base = basename_of(name);
    size_t size = text.size + name.size + 3 + base.size + 1 + version.size + 4;
    char *address = room(r, 1, size);
    if (address == NULL) {
        return (pkg_text){0};
    }
    char *to = append(append(address, text), name);
    to = append(append(to, PKG_TEXT("/-/")), base);
    to = append(append(to, PKG_TEXT("-")), version);
    (void)append(to, PKG_TEXT(".tgz"));
    return (pkg_text){.data = address, .size = size};
}

brisk_err pkg_package_manifest(const pkg_package *package, uint32_t index, brisk_arena *arena,
                               const pkg_manifest **ret)
{
    BRISK_ASSERT(index < package->versions.count);
    pkg_version version;
    pkg_package_version(package, index, &version);
    record_rest rest = RECORD_ITEMS(package, rest, record_rest)[index];
    pkg_manifest *manifest = brisk_arena_alloc(arena, sizeof *manifest);
    if (manifest == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *manifest = (pkg_manifest){
        .name = pkg_package_name(package),
        .version = version.text,
        .semver = version.semver,
        .engine_node = version.engine_node,
        .published_ms = version.published_ms,
    };
    bool bad = version.text.size == 0;
    bool full = false;
    if (rest.deps != 0) {
        reader r = reader_at(package, arena, rest.deps);
        take_deps(&r, manifest);
        bad |= r.bad;
        full |= r.full;
    }
    reader r = reader_at(package, arena, rest.meta);
    take_meta(&r, manifest);
    manifest->integrity = integrity_of(&r, rest.integrity);
    manifest->tarball = tarball_of(&r, rest.tarball, manifest->name, manifest->version);
    if (r.bad || bad) {
        return BRISK_ERR_CORRUPT;
    }
    if (r.full || full) {
        return BRISK_ERR_NOMEM;
    }
    *ret = manifest;
    return BRISK_OK;
}
