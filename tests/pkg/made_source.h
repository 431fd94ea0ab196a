/*
 * made_source.h -- a registry from a few words, for tests.
 *
 *     made_source_init(&source, arena);
 *     made_source_add(&source, "a@1.0.0", "b@^1 peer:c@2");
 *     pkg_source s = made_source_of(&source);
 *
 * Of a package's versions the last added is its "latest".  `order` of the requests is kept.
 */
#ifndef BRISK_TESTS_PKG_MADE_SOURCE_H
#define BRISK_TESTS_PKG_MADE_SOURCE_H

#include "made.h"
#include "workload/pkg/packument.h"

enum { MADE_PACKAGES_MAX = 4096 };

typedef struct made_package {
    pkg_text name;
    const char *versions; /* the inside of an object */
    pkg_text latest;
    const pkg_package *package; /* once it was asked for */
    bool wanted;
} made_package;

typedef struct made_source {
    brisk_arena *arena;
    made_package *items;
    uint32_t count;
    uint32_t asked;
    uint32_t wants;
    uint32_t unannounced; /* gets without a want before them */
} made_source;

static inline void made_source_init(made_source *s, brisk_arena *arena)
{
    *s = (made_source){.arena = arena};
    s->items = brisk_arena_calloc(arena, MADE_PACKAGES_MAX, sizeof *s->items);
    assert_non_null(s->items);
}

static inline made_package *made_source_find(const made_source *s, pkg_text name)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (pkg_text_equal(s->items[i].name, name)) {
            return &s->items[i];
        }
    }
    return NULL;
}

/* A member of dependencies for each of one kind. */
static inline const char *made_deps_json(brisk_arena *arena, const pkg_manifest *m, uint32_t kinds,
                                         bool meta)
{
    const char *text = "";
    for (uint32_t i = 0; i < m->dep_count; i++) {
        const pkg_dep *d = &m->deps[i];
        if ((kinds & 1U << d->kind) == 0) {
            continue;
        }
        const char *comma = text[0] != '\0' ? "," : "";
        text = meta ? brisk_arena_printf(arena, "%s%s\"%.*s\":{\"optional\":true}", text, comma,
                                         (int)d->name.size, d->name.data)
                    : brisk_arena_printf(arena, "%s%s\"%.*s\":\"%.*s\"", text, comma,
                                         (int)d->name.size, d->name.data, (int)d->spec.size,
                                         d->spec.data);
        assert_non_null(text);
    }
    return text;
}

static inline void made_source_add(made_source *s, const char *id, const char *deps)
{
    const pkg_manifest *m = made(s->arena, id, deps);
    made_package *p = made_source_find(s, m->name);
    if (p == NULL) {
        assert_true(s->count < MADE_PACKAGES_MAX);
        p = &s->items[s->count++];
        *p = (made_package){.name = m->name, .versions = ""};
    }
    const uint32_t both_peers = 1U << PKG_DEP_PEER | 1U << PKG_DEP_PEER_OPTIONAL;
    p->versions = brisk_arena_printf(
        s->arena,
        "%s%s\"%.*s\":{\"name\":\"%.*s\",\"version\":\"%.*s\",\"dependencies\":{%s},"
        "\"optionalDependencies\":{%s},\"peerDependencies\":{%s},\"peerDependenciesMeta\":{%s},"
        "\"dist\":{\"tarball\":\"https://registry.test/%s.tgz\",\"integrity\":\"sha512-%s\"}}",
        p->versions, p->versions[0] != '\0' ? "," : "", (int)m->version.size, m->version.data,
        (int)m->name.size, m->name.data, (int)m->version.size, m->version.data,
        made_deps_json(s->arena, m, 1U << PKG_DEP_PROD, false),
        made_deps_json(s->arena, m, 1U << PKG_DEP_OPTIONAL, false),
        made_deps_json(s->arena, m, both_peers, false),
        made_deps_json(s->arena, m, 1U << PKG_DEP_PEER_OPTIONAL, true), id, id);
    assert_non_null(p->versions);
    p->latest = m->version;
}

static inline brisk_err made_source_get(void *ctx, pkg_text name, const pkg_package **ret,
                                        brisk_errinfo *info)
{
    made_source *s = ctx;
    made_package *p = made_source_find(s, name);
    s->asked++;
    if (p == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "there is no such package");
    }
    s->unannounced += !p->wanted;
    if (p->package == NULL) {
        const char *json = brisk_arena_printf(
            s->arena, "{\"name\":\"%.*s\",\"dist-tags\":{\"latest\":\"%.*s\"},\"versions\":{%s}}",
            (int)p->name.size, p->name.data, (int)p->latest.size, p->latest.data, p->versions);
        assert_non_null(json);
        brisk_errinfo why = {0};
        if (pkg_packument_parse(p->name, pkg_text_of(json), s->arena, &p->package, &why) !=
            BRISK_OK) {
            fail_msg("%s", why.text);
        }
    }
    *ret = p->package;
    return BRISK_OK;
}

static inline void made_source_want(void *ctx, pkg_text name, const semver_range *range,
                                    bool peers_only)
{
    (void)range;
    (void)peers_only;
    made_source *s = ctx;
    made_package *p = made_source_find(s, name);
    s->wants++;
    if (p != NULL) {
        p->wanted = true;
    }
}

static inline pkg_source made_source_of(made_source *s)
{
    return (pkg_source){.ctx = s, .get = made_source_get, .want = made_source_want};
}

#endif /* BRISK_TESTS_PKG_MADE_SOURCE_H */
