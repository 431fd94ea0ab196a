/*
 * lock_entry.c -- the members of "packages" in a lock, each as a manifest.
 *
 * Nothing is copied that stands in the text as it is meant: names, versions and specs point into
 * it, and bin, engines and funding stay raw JSON.  A range that many packages ask for is parsed
 * once.
 *
 * Invariant: a manifest's dependencies are as manifest.h wants them.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/lock_entry.h"

#include <stdlib.h>

#include "workload/pkg/lock.h"

enum { RANGES_AT_FIRST = 1024, INSERTION_MAX = 48 };

static bool no_memory(lock_reader *r)
{
    return pkg_scan_fail(&r->scan, BRISK_ERR_NOMEM, "out of memory");
}

void *lock_grow(lock_reader *r, void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity) {
        return items;
    }
    uint32_t wanted = *capacity != 0 ? *capacity * 2 : 64;
    void *more = brisk_arena_alloc(r->scratch, (size_t)wanted * size);
    if (more == NULL) {
        (void)no_memory(r);
        return NULL;
    }
    if (count > 0) {
        memcpy(more, items, (size_t)count * size);
    }
    *capacity = wanted;
    return more;
}

/* --- ranges -------------------------------------------------------------------------------- */

static lock_range *range_slot(lock_range *ranges, uint32_t slots, uint64_t hash, pkg_text spec)
{
    uint32_t i = (uint32_t)hash & (slots - 1);
    while (ranges[i].spec.data != NULL &&
           (ranges[i].hash != hash || !pkg_text_equal(ranges[i].spec, spec))) {
        i = (i + 1) & (slots - 1);
    }
    return &ranges[i];
}

static bool grow_ranges(lock_reader *r)
{
    if (r->range_count * 2 < r->range_slots) {
        return true;
    }
    uint32_t slots = r->range_slots != 0 ? r->range_slots * 2 : RANGES_AT_FIRST;
    lock_range *more = brisk_arena_calloc(r->scratch, slots, sizeof *more);
    if (more == NULL) {
        return no_memory(r);
    }
    for (uint32_t i = 0; i < r->range_slots; i++) {
        if (r->ranges[i].spec.data != NULL) {
            *range_slot(more, slots, r->ranges[i].hash, r->ranges[i].spec) = r->ranges[i];
        }
    }
    r->ranges = more;
    r->range_slots = slots;
    return true;
}

/* The range that `spec` is, or NULL when it is none. */
static bool find_range(lock_reader *r, pkg_text spec, const semver_range **ret)
{
    if (!grow_ranges(r)) {
        return false;
    }
    uint64_t hash = pkg_text_hash(spec);
    lock_range *slot = range_slot(r->ranges, r->range_slots, hash, spec);
    if (slot->spec.data == NULL) {
        const semver_range *range = NULL;
        if (semver_range_parse(r->arena, spec, SEMVER_LOOSE, &range) == BRISK_ERR_NOMEM) {
            return no_memory(r);
        }
        *slot = (lock_range){.spec = spec, .hash = hash, .range = range};
        if (slot->spec.data == NULL) {
            slot->spec.data = "";
        }
        r->range_count++;
    }
    *ret = slot->range;
    return true;
}

/* --- values -------------------------------------------------------------------------------- */

static bool take_text(lock_reader *r, pkg_text *ret)
{
    pkg_text raw;
    bool plain;
    return pkg_scan_string(&r->scan, &raw, &plain) &&
           (pkg_scan_unescape(r->arena, raw, plain, ret) || no_memory(r));
}

/* null counts as not there. */
static bool take_null(lock_reader *r, bool *ret)
{
    pkg_text raw;
    *ret = pkg_scan_peek(&r->scan) == 'n';
    return !*ret || pkg_scan_value(&r->scan, &raw);
}

static bool text_or_null(lock_reader *r, pkg_text *ret)
{
    bool null;
    *ret = (pkg_text){0};
    return take_null(r, &null) && (null || take_text(r, ret));
}

static bool take_flag(lock_reader *r, uint32_t *flags, uint32_t bit)
{
    bool set;
    if (!pkg_scan_bool(&r->scan, &set)) {
        return false;
    }
    *flags = set ? *flags | bit : *flags & ~bit;
    return true;
}

/* A list of texts; a single text counts as a list of one. */
static bool take_texts(lock_reader *r, pkg_texts *ret)
{
    pkg_text *items = NULL;
    uint32_t count = 0;
    uint32_t capacity = 0;
    bool list = pkg_scan_peek(&r->scan) == '[';
    bool more = !list || pkg_scan_enter(&r->scan, '[');
    while (more) {
        items = lock_grow(r, items, count, &capacity, sizeof *items);
        if (items == NULL || !take_text(r, &items[count])) {
            return false;
        }
        count++;
        more = list && pkg_scan_more(&r->scan, ']');
    }
    if (r->scan.err != BRISK_OK) {
        return false;
    }
    pkg_text *kept = brisk_arena_alloc(r->arena, count * sizeof *kept);
    if (kept == NULL) {
        return no_memory(r);
    }
    if (count > 0) {
        memcpy(kept, items, count * sizeof *kept);
    }
    *ret = (pkg_texts){.items = kept, .count = count};
    return true;
}

static bool take_bundled(lock_reader *r, pkg_manifest *m)
{
    char c = pkg_scan_peek(&r->scan);
    return c == 't' || c == 'f' ? take_flag(r, &m->flags, PKG_BUNDLES_ALL)
                                : take_texts(r, &m->bundled);
}

static bool take_deprecated(lock_reader *r, pkg_manifest *m)
{
    char c = pkg_scan_peek(&r->scan);
    m->deprecated = (pkg_text){0};
    if (c == 't' || c == 'f') {
        return take_flag(r, &m->flags, PKG_DEPRECATED);
    }
    if (!text_or_null(r, &m->deprecated)) {
        return false;
    }
    m->flags &= ~(uint32_t)PKG_DEPRECATED;
    m->flags |= m->deprecated.size > 0 ? PKG_DEPRECATED : 0;
    return true;
}

/* The text that `key` has in a raw object, or "". */
static bool member_text(lock_reader *r, pkg_text raw, const char *key, pkg_text *ret)
{
    *ret = (pkg_text){0};
    pkg_scan below;
    pkg_scan_init(&below, raw);
    if (pkg_scan_peek(&below) != '{') {
        return true;
    }
    for (bool more = pkg_scan_enter(&below, '{'); more; more = pkg_scan_more(&below, '}')) {
        pkg_text name;
        pkg_text value;
        bool plain;
        (void)pkg_scan_key(&below, &name, &plain);
        bool text = pkg_scan_peek(&below) == '"';
        if (!text || !pkg_text_is(name, key)) {
            (void)pkg_scan_value(&below, &value);
        } else if (pkg_scan_string(&below, &value, &plain) &&
                   !pkg_scan_unescape(r->arena, value, plain, ret)) {
            return no_memory(r);
        }
    }
    return true;
}

static bool take_license(lock_reader *r, pkg_manifest *m)
{
    m->license = (pkg_text){0};
    m->license_raw = (pkg_text){0};
    if (pkg_scan_peek(&r->scan) == '"') {
        return take_text(r, &m->license);
    }
    pkg_text raw;
    if (!pkg_scan_value(&r->scan, &raw) || !member_text(r, raw, "type", &m->license)) {
        return false;
    }
    if (m->license.size == 0) {
        m->license_raw = raw;
    }
    return true;
}

static bool take_engines(lock_reader *r, pkg_manifest *m)
{
    return pkg_scan_value(&r->scan, &m->engines) &&
           member_text(r, m->engines, "node", &m->engine_node) &&
           member_text(r, m->engines, "npm", &m->engine_npm);
}

/* --- dependencies -------------------------------------------------------------------------- */

static bool take_deps(lock_reader *r, pkg_dep_kind kind)
{
    for (bool more = pkg_scan_enter(&r->scan, '{'); more; more = pkg_scan_more(&r->scan, '}')) {
        r->deps = lock_grow(r, r->deps, r->dep_count, &r->dep_capacity, sizeof *r->deps);
        if (r->deps == NULL) {
            return false;
        }
        lock_dep *d = &r->deps[r->dep_count];
        *d = (lock_dep){.dep.kind = kind, .place = r->dep_count};
        pkg_text raw;
        bool plain;
        if (!pkg_scan_key(&r->scan, &raw, &plain) ||
            !(pkg_scan_unescape(r->arena, raw, plain, &d->dep.name) || no_memory(r)) ||
            !take_text(r, &d->dep.spec) || !find_range(r, d->dep.spec, &d->dep.range)) {
            return false;
        }
        d->dep.name_hash = pkg_text_hash(d->dep.name);
        r->dep_count++;
    }
    return r->scan.err == BRISK_OK;
}

static int compare_deps(const void *a, const void *b)
{
    const lock_dep *x = a;
    const lock_dep *y = b;
    int order = pkg_text_compare(x->dep.name, y->dep.name);
    if (order == 0) {
        order = (int)x->dep.kind - (int)y->dep.kind;
    }
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

static void sort_deps(lock_dep *deps, uint32_t count)
{
    if (count > INSERTION_MAX) {
        qsort(deps, count, sizeof *deps, compare_deps);
        return;
    }
    for (uint32_t i = 1; i < count; i++) { /* nearly in order as they stand */
        lock_dep d = deps[i];
        uint32_t j = i;
        while (j > 0 && compare_deps(&deps[j - 1], &d) > 0) {
            deps[j] = deps[j - 1];
            j--;
        }
        deps[j] = d;
    }
}

/* Does the next one count instead of this one? */
static bool is_replaced(const pkg_dep *dep, const pkg_dep *next)
{
    return pkg_text_equal(dep->name, next->name) &&
           (dep->kind == next->kind ||
            (dep->kind == PKG_DEP_PROD && next->kind == PKG_DEP_OPTIONAL));
}

static void make_optional(pkg_dep *deps, uint32_t count, pkg_text name)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pkg_text_compare(deps[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < count && pkg_text_equal(deps[low].name, name); low++) {
        if (deps[low].kind == PKG_DEP_PEER) {
            deps[low].kind = PKG_DEP_PEER_OPTIONAL;
        }
    }
}

/* {"optional": true}: anything but false, null, 0 and "" is true to npm. */
static bool says_optional(pkg_text raw)
{
    pkg_scan below;
    pkg_scan_init(&below, raw);
    bool optional = false;
    if (pkg_scan_peek(&below) != '{') {
        return false;
    }
    for (bool more = pkg_scan_enter(&below, '{'); more; more = pkg_scan_more(&below, '}')) {
        pkg_text name;
        pkg_text value;
        bool plain;
        (void)pkg_scan_key(&below, &name, &plain);
        if (pkg_scan_value(&below, &value) && pkg_text_is(name, "optional")) {
            optional = !pkg_text_is(value, "false") && !pkg_text_is(value, "null") &&
                       !pkg_text_is(value, "0") && !pkg_text_is(value, "\"\"");
        }
    }
    return optional;
}

static bool apply_peer_meta(lock_reader *r, const pkg_manifest *m, pkg_dep *deps)
{
    pkg_scan below;
    pkg_scan_init(&below, m->peer_meta);
    if (pkg_scan_peek(&below) != '{') {
        return true;
    }
    for (bool more = pkg_scan_enter(&below, '{'); more; more = pkg_scan_more(&below, '}')) {
        pkg_text raw;
        pkg_text name;
        pkg_text value;
        bool plain;
        (void)pkg_scan_key(&below, &raw, &plain);
        if (!pkg_scan_unescape(r->arena, raw, plain, &name)) {
            return no_memory(r);
        }
        if (pkg_scan_value(&below, &value) && says_optional(value)) {
            make_optional(deps, m->dep_count, name);
        }
    }
    return true;
}

static bool keep_deps(lock_reader *r, pkg_manifest *m)
{
    sort_deps(r->deps, r->dep_count);
    pkg_dep *deps = brisk_arena_alloc(r->arena, r->dep_count * sizeof *deps);
    if (deps == NULL) {
        return no_memory(r);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->dep_count; i++) {
        if (i + 1 == r->dep_count || !is_replaced(&r->deps[i].dep, &r->deps[i + 1].dep)) {
            deps[count++] = r->deps[i].dep;
        }
    }
    m->deps = deps;
    m->dep_count = count;
    return m->peer_meta.size == 0 || apply_peer_meta(r, m, deps);
}

/* --- members ------------------------------------------------------------------------------- */

typedef enum member {
    MEMBER_OTHER,
    MEMBER_OS,
    MEMBER_BIN,
    MEMBER_CPU,
    MEMBER_DEV,
    MEMBER_LIBC,
    MEMBER_LINK,
    MEMBER_NAME,
    MEMBER_PEER,
    MEMBER_ENGINES,
    MEMBER_FUNDING,
    MEMBER_LICENSE,
    MEMBER_VERSION,
    MEMBER_IN_BUNDLE,
    MEMBER_OPTIONAL,
    MEMBER_RESOLVED,
    MEMBER_INTEGRITY,
    MEMBER_DEPRECATED,
    MEMBER_EXTRANEOUS,
    MEMBER_WORKSPACES,
    MEMBER_DEV_OPTIONAL,
    MEMBER_DEPENDENCIES,
    MEMBER_HAS_SHRINKWRAP,
    MEMBER_DEV_DEPENDENCIES,
    MEMBER_PEER_DEPENDENCIES,
    MEMBER_HAS_INSTALL_SCRIPT,
    MEMBER_BUNDLE_DEPENDENCIES,
    MEMBER_ACCEPT_DEPENDENCIES,
    MEMBER_OPTIONAL_DEPENDENCIES,
    MEMBER_PEER_DEPENDENCIES_META,
    MEMBER_COUNT,
} member;

#define NAMED(literal)                                                                             \
    {                                                                                              \
        .data = (literal), .size = sizeof(literal) - 1                                             \
    }
/* Sorted by length, so that few are compared with. */
static const pkg_text members[MEMBER_COUNT] = {
    [MEMBER_OS] = NAMED("os"),
    [MEMBER_BIN] = NAMED("bin"),
    [MEMBER_CPU] = NAMED("cpu"),
    [MEMBER_DEV] = NAMED("dev"),
    [MEMBER_LIBC] = NAMED("libc"),
    [MEMBER_LINK] = NAMED("link"),
    [MEMBER_NAME] = NAMED("name"),
    [MEMBER_PEER] = NAMED("peer"),
    [MEMBER_ENGINES] = NAMED("engines"),
    [MEMBER_FUNDING] = NAMED("funding"),
    [MEMBER_LICENSE] = NAMED("license"),
    [MEMBER_VERSION] = NAMED("version"),
    [MEMBER_IN_BUNDLE] = NAMED("inBundle"),
    [MEMBER_OPTIONAL] = NAMED("optional"),
    [MEMBER_RESOLVED] = NAMED("resolved"),
    [MEMBER_INTEGRITY] = NAMED("integrity"),
    [MEMBER_DEPRECATED] = NAMED("deprecated"),
    [MEMBER_EXTRANEOUS] = NAMED("extraneous"),
    [MEMBER_WORKSPACES] = NAMED("workspaces"),
    [MEMBER_DEV_OPTIONAL] = NAMED("devOptional"),
    [MEMBER_DEPENDENCIES] = NAMED("dependencies"),
    [MEMBER_HAS_SHRINKWRAP] = NAMED("hasShrinkwrap"),
    [MEMBER_DEV_DEPENDENCIES] = NAMED("devDependencies"),
    [MEMBER_PEER_DEPENDENCIES] = NAMED("peerDependencies"),
    [MEMBER_HAS_INSTALL_SCRIPT] = NAMED("hasInstallScript"),
    [MEMBER_BUNDLE_DEPENDENCIES] = NAMED("bundleDependencies"),
    [MEMBER_ACCEPT_DEPENDENCIES] = NAMED("acceptDependencies"),
    [MEMBER_OPTIONAL_DEPENDENCIES] = NAMED("optionalDependencies"),
    [MEMBER_PEER_DEPENDENCIES_META] = NAMED("peerDependenciesMeta"),
};

static member member_of(pkg_text key)
{
    /* Where the names of a length begin. */
    static const unsigned char first[] = {0,  0,  1,  2,  5,  9,  9,  9,  13, 16, 17,
                                          20, 21, 22, 23, 23, 24, 26, 26, 28, 28};
    enum { LENGTHS = sizeof first };
    if (key.size >= LENGTHS) {
        return MEMBER_OTHER;
    }
    for (unsigned i = first[key.size]; i < MEMBER_COUNT && members[i].size <= key.size; i++) {
        if (pkg_text_equal(members[i], key)) {
            return (member)i;
        }
    }
    return MEMBER_OTHER;
}

/* Dependencies and lists; others are passed over. */
static bool take_list(lock_reader *r, pkg_manifest *m, member what)
{
    pkg_text raw;
    switch ((int)what) {
    case MEMBER_OS: return take_texts(r, &m->os);
    case MEMBER_CPU: return take_texts(r, &m->cpu);
    case MEMBER_LIBC: return take_texts(r, &m->libc);
    case MEMBER_BUNDLE_DEPENDENCIES: return take_bundled(r, m);
    case MEMBER_DEPENDENCIES: return take_deps(r, PKG_DEP_PROD);
    case MEMBER_DEV_DEPENDENCIES: return take_deps(r, PKG_DEP_DEV);
    case MEMBER_OPTIONAL_DEPENDENCIES: return take_deps(r, PKG_DEP_OPTIONAL);
    case MEMBER_PEER_DEPENDENCIES: return take_deps(r, PKG_DEP_PEER);
    case MEMBER_PEER_DEPENDENCIES_META: return pkg_scan_value(&r->scan, &m->peer_meta);
    case MEMBER_ACCEPT_DEPENDENCIES: return pkg_scan_value(&r->scan, &m->accept);
    case MEMBER_WORKSPACES: return pkg_scan_value(&r->scan, &m->workspaces);
    default: return pkg_scan_value(&r->scan, &raw);
    }
}

static bool take_details(lock_reader *r, pkg_manifest *m, member what)
{
    switch ((int)what) {
    case MEMBER_NAME: return text_or_null(r, &m->name);
    case MEMBER_VERSION: return text_or_null(r, &m->version);
    case MEMBER_INTEGRITY: return text_or_null(r, &m->integrity);
    case MEMBER_BIN: return pkg_scan_value(&r->scan, &m->bin);
    case MEMBER_ENGINES: return take_engines(r, m);
    case MEMBER_FUNDING: return pkg_scan_value(&r->scan, &m->funding);
    case MEMBER_LICENSE: return take_license(r, m);
    case MEMBER_DEPRECATED: return take_deprecated(r, m);
    case MEMBER_HAS_SHRINKWRAP: return take_flag(r, &m->flags, PKG_HAS_SHRINKWRAP);
    case MEMBER_HAS_INSTALL_SCRIPT: return take_flag(r, &m->flags, PKG_HAS_INSTALL_SCRIPT);
    default: return take_list(r, m, what);
    }
}

static bool take_member(lock_reader *r, lock_entry *entry, member what)
{
    switch ((int)what) {
    case MEMBER_RESOLVED: return text_or_null(r, &entry->resolved);
    case MEMBER_LINK: return take_flag(r, &entry->flags, PKG_NODE_LINK);
    case MEMBER_DEV: return take_flag(r, &entry->flags, PKG_NODE_DEV);
    case MEMBER_PEER: return take_flag(r, &entry->flags, PKG_NODE_PEER);
    case MEMBER_OPTIONAL: return take_flag(r, &entry->flags, PKG_NODE_OPTIONAL);
    case MEMBER_DEV_OPTIONAL: return take_flag(r, &entry->flags, PKG_NODE_DEV_OPTIONAL);
    case MEMBER_IN_BUNDLE: return take_flag(r, &entry->flags, PKG_NODE_BUNDLED);
    case MEMBER_EXTRANEOUS: return take_flag(r, &entry->flags, PKG_NODE_EXTRANEOUS);
    default: return take_details(r, entry->manifest, what);
    }
}

static bool take_entry(lock_reader *r, lock_entry *entry)
{
    pkg_manifest *m = brisk_arena_calloc(r->arena, 1, sizeof *m);
    if (m == NULL) {
        return no_memory(r);
    }
    m->published_ms = INT64_MIN;
    entry->manifest = m;
    r->dep_count = 0;
    for (bool more = pkg_scan_enter(&r->scan, '{'); more; more = pkg_scan_more(&r->scan, '}')) {
        pkg_text key;
        bool plain;
        if (!pkg_scan_key(&r->scan, &key, &plain) ||
            !(pkg_scan_unescape(r->scratch, key, plain, &key) || no_memory(r)) ||
            !take_member(r, entry, member_of(key))) {
            return false;
        }
    }
    (void)semver_parse(m->version, SEMVER_LOOSE, &m->semver);
    return r->scan.err == BRISK_OK && keep_deps(r, m);
}

bool lock_read_entries(lock_reader *r)
{
    r->count = 0; /* of two members "packages" the last counts */
    for (bool more = pkg_scan_enter(&r->scan, '{'); more; more = pkg_scan_more(&r->scan, '}')) {
        r->entries = lock_grow(r, r->entries, r->count, &r->capacity, sizeof *r->entries);
        if (r->entries == NULL) {
            return false;
        }
        if (r->count == PKG_LOCK_PACKAGES_MAX) {
            return pkg_scan_fail(&r->scan, BRISK_ERR_LIMIT, "more than 1,048,576 packages");
        }
        lock_entry *entry = &r->entries[r->count];
        *entry = (lock_entry){0};
        (void)pkg_scan_peek(&r->scan);
        entry->where = r->scan.at;
        pkg_text raw;
        bool plain;
        if (!pkg_scan_key(&r->scan, &raw, &plain) ||
            !(pkg_scan_unescape(r->arena, raw, plain, &entry->path) || no_memory(r)) ||
            !take_entry(r, entry)) {
            return false;
        }
        r->count++;
    }
    return r->scan.err == BRISK_OK;
}
