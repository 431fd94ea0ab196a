/*
 * index_build.h -- what is kept while an index is built.
 *
 * Texts are borrowed from the lists until deb_builder_image copies them.
 *
 * Threads: one.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_DEB_INDEX_BUILD_H
#define BRISK_SRC_WORKLOAD_PKG_DEB_INDEX_BUILD_H

#include "workload/pkg/array.h"
#include "workload/pkg/deb/index.h"

enum { BUILD_RELATIONS = DEB_FIELD_REPLACES - DEB_FIELD_PRE_DEPENDS + 1 };

typedef struct build_stanza {
    uint32_t name;
    uint32_t arch;
    uint32_t next; /* of the same name, or SOLVE_NONE */
    uint32_t installed_kib;
    uint64_t size_bytes;
    pkg_text version;
    deb_multi_arch multi_arch;
    uint8_t priority;
    bool essential;
    bool all;
    pkg_text relations[BUILD_RELATIONS]; /* from DEB_FIELD_PRE_DEPENDS on */
} build_stanza;

typedef struct build_name {
    pkg_text text;
    uint64_t hash;
    uint32_t stanza; /* the first, or SOLVE_NONE */
    uint32_t last_stanza;
    uint32_t packages;
    uint32_t package_count;
    uint32_t provides; /* in builder.provides */
    uint32_t provide_count;
    uint32_t replaces; /* a version, or SOLVE_NONE */
} build_name;

typedef struct build_version {
    const build_stanza *stanza;
    uint32_t package;
    uint32_t relations; /* in builder.refs */
    uint32_t counts[DEB_KIND_COUNT];
    uint32_t pre_depends;
} build_version;

typedef struct build_provide {
    uint32_t name;
    uint32_t version; /* that provides it */
    uint32_t order;
    uint8_t priority;
    pkg_text text; /* the version it provides it in; "" when none */
} build_provide;

typedef struct build_group {
    pkg_text text;
    uint64_t hash;
    uint32_t terms;
    uint32_t term_count;
} build_group;

typedef struct deb_builder {
    brisk_arena *arena;
    uint64_t key;
    pkg_text archs[DEB_ARCHS_MAX];
    uint32_t arch_count;
    pkg_array names;    /* build_name */
    pkg_array stanzas;  /* build_stanza */
    pkg_array packages; /* deb_package */
    pkg_array versions; /* build_version */
    pkg_array provides; /* build_provide, sorted by name */
    pkg_array groups;   /* build_group */
    pkg_array refs;     /* uint32_t */
    pkg_array terms;    /* solve_term */
    uint32_t *buckets;  /* of names */
    uint32_t bucket_count;
    uint32_t *group_buckets;
    uint32_t group_bucket_count;
    uint32_t *seen; /* by package: 1 + its term in the group at work, when it is >= its first */
    uint32_t skipped;
    const char *skip_why;
} deb_builder;

static inline build_name *deb_builder_name(const deb_builder *b, uint32_t id)
{
    return (build_name *)b->names.items + id;
}

static inline build_stanza *deb_builder_stanza(const deb_builder *b, uint32_t id)
{
    return (build_stanza *)b->stanzas.items + id;
}

static inline build_version *deb_builder_version(const deb_builder *b, uint32_t id)
{
    return (build_version *)b->versions.items + id;
}

static inline deb_package *deb_builder_package(const deb_builder *b, uint32_t id)
{
    return (deb_package *)b->packages.items + id;
}

/* The name's number, or SOLVE_NONE. */
uint32_t deb_builder_find(const deb_builder *b, pkg_text text);
/* Read the relations of a version.  Errors: NOMEM, LIMIT. */
brisk_err deb_builder_relations(deb_builder *b, uint32_t version);
/* Everything as one file.  Errors: NOMEM, LIMIT. */
brisk_err deb_builder_image(deb_builder *b, pkg_text *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_DEB_INDEX_BUILD_H */
