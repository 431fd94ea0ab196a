/*
 * index_relations.c -- what relations mean: which versions of which packages meet them.
 *
 * The same text stands in many stanzas ("libc6 (>= 2.36)"): it is looked up once per architecture
 * and is one group.  Alternatives keep their order; where a name is provided, the packages of that
 * name come first, then the providers, the more needed ones (Priority) before the others.
 *
 *     a            a of the same architecture, or of any when it is Multi-Arch: foreign
 *     a:any        a that is Multi-Arch: allowed
 *     a (>= 2)     also what provides a in such a version, never what provides just a
 *     Conflicts: a every architecture's; never the package itself (resolve.c leaves that out)
 *
 * Threads: one.
 */
#include "workload/pkg/deb/index_build.h"

#include <brisk/hash.h>

typedef enum relation_class { CLASS_NEEDS, CLASS_FORBIDS } relation_class;

static pkg_text field_text(const build_stanza *stanza, deb_field field)
{
    return stanza->relations[field - DEB_FIELD_PRE_DEPENDS];
}

/* May a package of this architecture and Multi-Arch be meant, seen from one of `from`? */
static bool arch_fits(const deb_builder *b, const build_version *version, const deb_relation *r,
                      relation_class class, uint32_t from)
{
    uint32_t arch = version->stanza->arch;
    if (r->arch.size == 0) {
        return class == CLASS_FORBIDS || arch == from ||
               version->stanza->multi_arch == DEB_MULTI_ARCH_FOREIGN;
    }
    if (pkg_text_is(r->arch, "any")) {
        return class == CLASS_FORBIDS || version->stanza->multi_arch == DEB_MULTI_ARCH_ALLOWED;
    }
    if (pkg_text_is(r->arch, "native")) {
        return arch == 0;
    }
    return pkg_text_equal(b->archs[arch], r->arch);
}

/* Add versions of a package to the group that began at term `first`. */
static brisk_err add_term(deb_builder *b, uint32_t first, uint32_t package, uint64_t bits)
{
    uint32_t seen = b->seen[package];
    if (seen > first && seen <= b->terms.count) {
        ((solve_term *)b->terms.items)[seen - 1].set.bits |= bits;
        return BRISK_OK;
    }
    solve_term *term = pkg_array_push(&b->terms, sizeof *term, b->arena);
    if (term == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(term, 0, sizeof *term);
    term->package = package;
    term->set.bits = bits;
    b->seen[package] = b->terms.count;
    return BRISK_OK;
}

/* What one name with its version means. */
static brisk_err add_relation(deb_builder *b, uint32_t first, const deb_relation *r,
                              relation_class class, uint32_t from)
{
    uint32_t id = deb_builder_find(b, r->name);
    if (id == SOLVE_NONE) {
        return BRISK_OK;
    }
    const build_name *name = deb_builder_name(b, id);
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < name->package_count; i++) {
        const deb_package *package = deb_builder_package(b, name->packages + i);
        uint64_t bits = 0;
        for (uint32_t v = 0; v < package->version_count; v++) {
            const build_version *version = deb_builder_version(b, package->versions + v);
            if (arch_fits(b, version, r, class, from) &&
                (r->op == DEB_ANY ||
                 deb_op_holds(r->op, deb_version_compare(version->stanza->version, r->version)))) {
                bits |= UINT64_C(1) << v;
            }
        }
        err = bits != 0 ? add_term(b, first, name->packages + i, bits) : BRISK_OK;
    }
    const build_provide *provides = (const build_provide *)b->provides.items;
    for (uint32_t i = 0; err == BRISK_OK && i < name->provide_count; i++) {
        const build_provide *provide = &provides[name->provides + i];
        const build_version *version = deb_builder_version(b, provide->version);
        if (!arch_fits(b, version, r, class, from) ||
            (r->op != DEB_ANY &&
             (provide->text.size == 0 ||
              !deb_op_holds(r->op, deb_version_compare(provide->text, r->version))))) {
            continue;
        }
        uint32_t first_version = deb_builder_package(b, version->package)->versions;
        err =
            add_term(b, first, version->package, UINT64_C(1) << (provide->version - first_version));
    }
    return err;
}

/* Of a conflict: everything but those versions, and not being there. */
static void turn_round(deb_builder *b, uint32_t first)
{
    solve_term *terms = b->terms.items;
    for (uint32_t i = first; i < b->terms.count; i++) {
        uint32_t count = deb_builder_package(b, terms[i].package)->version_count;
        terms[i].set.bits = (UINT64_MAX >> (63 - count)) & ~terms[i].set.bits;
    }
}

static brisk_err fill_group(deb_builder *b, build_group *group, relation_class class, uint32_t from)
{
    pkg_text rest = group->text;
    pkg_text part;
    brisk_err err = BRISK_OK;
    group->terms = b->terms.count;
    while (err == BRISK_OK && deb_list_next(&rest, '|', &part)) {
        deb_relation relation;
        if (deb_relation_parse(part, &relation)) { /* another one nothing can meet */
            err = add_relation(b, group->terms, &relation, class, from);
        }
    }
    group->term_count = b->terms.count - group->terms;
    if (class == CLASS_FORBIDS) {
        turn_round(b, group->terms);
    }
    return err;
}

/* --- groups ------------------------------------------------------------------------------- */

static brisk_err grow_group_buckets(deb_builder *b)
{
    uint32_t count = b->group_bucket_count != 0 ? b->group_bucket_count * 2 : 1 << 12;
    uint32_t *buckets = brisk_arena_calloc(b->arena, count, sizeof *buckets);
    if (buckets == NULL) {
        return BRISK_ERR_NOMEM;
    }
    const build_group *groups = b->groups.items;
    for (uint32_t i = 0; i < b->groups.count; i++) {
        uint32_t at = (uint32_t)groups[i].hash & (count - 1);
        while (buckets[at] != 0) {
            at = (at + 1) & (count - 1);
        }
        buckets[at] = i + 1;
    }
    b->group_buckets = buckets;
    b->group_bucket_count = count;
    return BRISK_OK;
}

/* The group of this text; it is made when it is new. */
static brisk_err group_of(deb_builder *b, pkg_text text, relation_class class, uint32_t from,
                          uint32_t *ret)
{
    if (b->groups.count * 2 >= b->group_bucket_count) {
        brisk_err err = grow_group_buckets(b);
        if (err != BRISK_OK) {
            return err;
        }
    }
    /* The upper byte says of which class and architecture, so that equal hashes mean that too. */
    uint64_t hash =
        brisk_hash64(text.data, text.size, 0) >> 8 | (uint64_t)(class * DEB_ARCHS_MAX + from) << 56;
    uint32_t at = (uint32_t)hash & (b->group_bucket_count - 1);
    while (b->group_buckets[at] != 0) {
        const build_group *group =
            (const build_group *)b->groups.items + (b->group_buckets[at] - 1);
        if (group->hash == hash && pkg_text_equal(group->text, text)) {
            *ret = b->group_buckets[at] - 1;
            return BRISK_OK;
        }
        at = (at + 1) & (b->group_bucket_count - 1);
    }
    build_group *group = pkg_array_push(&b->groups, sizeof *group, b->arena);
    if (group == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *group = (build_group){.text = text, .hash = hash};
    b->group_buckets[at] = b->groups.count;
    *ret = b->groups.count - 1;
    return fill_group(b, group, class, from);
}

static brisk_err push_ref(deb_builder *b, uint32_t group)
{
    uint32_t *ref = pkg_array_push(&b->refs, sizeof *ref, b->arena);
    if (ref == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ref = group;
    return BRISK_OK;
}

/* All groups of one field, counted. */
static brisk_err read_field(deb_builder *b, const build_stanza *stanza, deb_field field,
                            relation_class class, uint32_t *count)
{
    pkg_text rest = field_text(stanza, field);
    pkg_text part;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && deb_list_next(&rest, ',', &part); i++) {
        if (i == DEB_RELATIONS_MAX || part.size > DEB_TEXT_MAX) {
            return BRISK_ERR_LIMIT;
        }
        uint32_t group = 0;
        err = group_of(b, part, class, stanza->arch, &group);
        if (err == BRISK_OK) {
            err = push_ref(b, group);
            *count += 1;
        }
    }
    return err;
}

/*
 * The same name in another architecture: only the very same version beside this one, and only when
 * both are Multi-Arch: same.
 */
static brisk_err forbid_siblings(deb_builder *b, build_version *version)
{
    const build_stanza *stanza = version->stanza;
    const build_name *name = deb_builder_name(b, stanza->name);
    build_group *group = pkg_array_push(&b->groups, sizeof *group, b->arena);
    const char *text = brisk_arena_printf(b->arena, "%.*s of another architecture or version",
                                          (int)name->text.size, name->text.data);
    if (group == NULL || text == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *group = (build_group){.text = pkg_text_of(text), .terms = b->terms.count};
    for (uint32_t i = 0; i < name->package_count; i++) {
        uint32_t id = name->packages + i;
        const deb_package *package = deb_builder_package(b, id);
        uint64_t bits = 0;
        for (uint32_t v = 0; v < package->version_count; v++) {
            const build_stanza *other = deb_builder_version(b, package->versions + v)->stanza;
            bool beside = stanza->multi_arch == DEB_MULTI_ARCH_SAME &&
                          other->multi_arch == DEB_MULTI_ARCH_SAME &&
                          deb_version_compare(stanza->version, other->version) == 0;
            bits |= beside ? 0 : UINT64_C(1) << v;
        }
        if (id != version->package && bits != 0 &&
            add_term(b, group->terms, id, bits) != BRISK_OK) {
            return BRISK_ERR_NOMEM;
        }
    }
    group->term_count = b->terms.count - group->terms;
    turn_round(b, group->terms);
    version->counts[DEB_KIND_CONFLICTS]++;
    return push_ref(b, b->groups.count - 1);
}

brisk_err deb_builder_relations(deb_builder *b, uint32_t id)
{
    if (b->seen == NULL) {
        b->seen = brisk_arena_calloc(b->arena, b->packages.count, sizeof *b->seen);
        if (b->seen == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    build_version *version = deb_builder_version(b, id);
    const build_stanza *stanza = version->stanza;
    uint32_t *counts = version->counts;
    version->relations = b->refs.count;
    brisk_err err =
        read_field(b, stanza, DEB_FIELD_PRE_DEPENDS, CLASS_NEEDS, &counts[DEB_KIND_DEPENDS]);
    version->pre_depends = counts[DEB_KIND_DEPENDS];
    if (err == BRISK_OK) {
        err = read_field(b, stanza, DEB_FIELD_DEPENDS, CLASS_NEEDS, &counts[DEB_KIND_DEPENDS]);
    }
    if (err == BRISK_OK) {
        err =
            read_field(b, stanza, DEB_FIELD_CONFLICTS, CLASS_FORBIDS, &counts[DEB_KIND_CONFLICTS]);
    }
    if (err == BRISK_OK && deb_builder_name(b, stanza->name)->package_count > 1) {
        err = forbid_siblings(b, version);
    }
    if (err == BRISK_OK) {
        err = read_field(b, stanza, DEB_FIELD_BREAKS, CLASS_FORBIDS, &counts[DEB_KIND_BREAKS]);
    }
    if (err == BRISK_OK) {
        err =
            read_field(b, stanza, DEB_FIELD_RECOMMENDS, CLASS_NEEDS, &counts[DEB_KIND_RECOMMENDS]);
    }
    return err;
}
