/*
 * fetch_guess.c -- what will be wanted next, as far as it can be told from what is here.
 *
 * For each range that was wanted of a package the version npm would take is chosen and what it
 * needs is wanted: the builder's choice, nearly always (overrides and peers may make it another).
 * A stored package, however old, is as good as a new one for this.
 *
 * Threads: an entry is followed by one worker at a time.
 */
#include <string.h>

#include "workload/pkg/fetch_internal.h"

enum { WANTS_AT_ONCE = 32 };

static void want(pkg_fetch *f, pkg_text name, fetch_want wanted, uint32_t round)
{
    if (!pkg_name_is_valid(name)) {
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    fetch_entry *entry = f->closing ? NULL : fetch_entry_of(f, name);
    if (entry != NULL) {
        if (entry->state == FETCH_NEW) {
            fetch_look(f, entry, round, BRISK_HTTP_NORMAL);
        }
        fetch_note_want(f, entry, wanted);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

static bool is_bundled(const pkg_manifest *manifest, const pkg_dep *dep)
{
    if ((manifest->flags & PKG_BUNDLES_ALL) != 0) {
        return dep->kind == PKG_DEP_PROD || dep->kind == PKG_DEP_OPTIONAL;
    }
    for (uint32_t i = 0; i < manifest->bundled.count; i++) {
        if (pkg_text_equal(manifest->bundled.items[i], dep->name)) {
            return true;
        }
    }
    return false;
}

static bool is_followed(const pkg_fetch *f, const pkg_manifest *manifest, const pkg_dep *dep,
                        bool peers_only)
{
    if (dep->kind == PKG_DEP_PEER || dep->kind == PKG_DEP_PEER_OPTIONAL) {
        return !f->opts.legacy_peer_deps;
    }
    return !peers_only && (dep->kind == PKG_DEP_PROD || dep->kind == PKG_DEP_OPTIONAL) &&
           !is_bundled(manifest, dep);
}

static void want_dep(fetch_worker *w, const pkg_dep *dep, bool peers_only, uint32_t round)
{
    peers_only = peers_only || dep->kind == PKG_DEP_PEER_OPTIONAL;
    if (dep->range != NULL || dep->spec.size == 0) {
        const fetch_want wanted = {.range = dep->range, .peers_only = peers_only};
        want(w->fetch, dep->name, wanted, round);
        return;
    }
    pkg_spec spec;
    if (pkg_spec_parse(dep->name, dep->spec, w->arena, &spec) == BRISK_OK &&
        (spec.type == PKG_SPEC_RANGE || spec.type == PKG_SPEC_TAG || spec.type == PKG_SPEC_ALIAS)) {
        const fetch_want wanted = {.range = spec.range, .peers_only = peers_only};
        want(w->fetch, spec.name, wanted, round);
    }
}

/* Whether there is more to follow of the version than was followed; remembers it. */
static bool is_new(fetch_worker *w, fetch_entry *entry, uint32_t version, bool peers_only)
{
    uint32_t whole = version * 2;
    uint32_t what = whole + peers_only;
    for (uint32_t i = 0; i < entry->chosen_count; i++) {
        if (entry->chosen[i] == what || entry->chosen[i] == whole) {
            return false;
        }
    }
    if (entry->chosen_count == entry->chosen_capacity) {
        uint32_t capacity = entry->chosen_capacity > 0 ? entry->chosen_capacity * 2 : 4;
        uint32_t *more = brisk_arena_calloc(w->arena, capacity, sizeof *more);
        if (more == NULL) {
            return false; /* a guess less */
        }
        if (entry->chosen_count > 0) {
            memcpy(more, entry->chosen, entry->chosen_count * sizeof *more);
        }
        entry->chosen = more;
        entry->chosen_capacity = capacity;
    }
    entry->chosen[entry->chosen_count++] = what;
    return true;
}

static void follow(fetch_worker *w, fetch_entry *entry, const pkg_package *package,
                   fetch_want wanted, uint32_t round)
{
    pkg_picked picked;
    brisk_err err =
        pkg_pick(package, PKG_TEXT("-"), wanted.range, &w->fetch->opts.pick, w->scratch, &picked);
    brisk_arena_reset(w->scratch);
    const pkg_manifest *manifest;
    if (err != BRISK_OK || picked.index == PKG_NO_VERSION ||
        !is_new(w, entry, picked.index, wanted.peers_only) ||
        pkg_package_manifest(package, picked.index, w->arena, &manifest) != BRISK_OK) {
        return; /* the builder will find out, and say it */
    }
    for (uint32_t i = 0; i < manifest->dep_count; i++) {
        if (is_followed(w->fetch, manifest, &manifest->deps[i], wanted.peers_only)) {
            want_dep(w, &manifest->deps[i], wanted.peers_only, round);
        }
    }
}

void fetch_guess(fetch_worker *w, fetch_entry *entry)
{
    pkg_fetch *f = w->fetch;
    fetch_want wants[WANTS_AT_ONCE];
    uint32_t count = 0;
    (void)pthread_mutex_lock(&f->lock);
    const pkg_package *package =
        entry->state == FETCH_READY ? entry->package : entry->stored.package;
    uint32_t round =
        entry->state == FETCH_READY && entry->requested ? entry->round + 1 : entry->round;
    if (entry->eaten != package) {
        entry->eaten = package;
        entry->wants_done = 0;
        entry->chosen_count = 0;
    }
    while (count < WANTS_AT_ONCE && entry->wants_done < entry->want_count) {
        wants[count++] = entry->wants[entry->wants_done++];
    }
    (void)pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 0; i < count && package != NULL; i++) {
        follow(w, entry, package, wants[i], round);
    }
    (void)pthread_mutex_lock(&f->lock);
    entry->hungry = false;
    fetch_make_hungry(f, entry);
    (void)pthread_mutex_unlock(&f->lock);
}
