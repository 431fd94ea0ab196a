/*
 * index_build.c -- lists to an index: stanzas, packages, what is provided.  index_relations.c has
 * what relations mean; index_image.c puts all into one file.
 *
 * Packages are numbered as their names first appear in the lists, which are sorted by name; the
 * same lists give the same file.  Of two stanzas of the same package and version the first counts.
 * A stanza that cannot be used (no name, a bad version) is left out, counted, and the first of them
 * is named with file and line.
 *
 * Threads: one.
 */
#include "workload/pkg/deb/index_build.h"

#include <stdlib.h>

#include <brisk/hash.h>

enum { SIZE_DIGITS_MAX = 18 };

/* --- names -------------------------------------------------------------------------------- */

static brisk_err grow_buckets(deb_builder *b)
{
    uint32_t count = b->bucket_count != 0 ? b->bucket_count * 2 : 1 << 12;
    uint32_t *buckets = brisk_arena_calloc(b->arena, count, sizeof *buckets);
    if (buckets == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < b->names.count; i++) {
        uint32_t at = (uint32_t)deb_builder_name(b, i)->hash & (count - 1);
        while (buckets[at] != 0) {
            at = (at + 1) & (count - 1);
        }
        buckets[at] = i + 1;
    }
    b->buckets = buckets;
    b->bucket_count = count;
    return BRISK_OK;
}

/* The bucket of `text`: it, or the free one where it belongs. */
static uint32_t bucket_of(const deb_builder *b, pkg_text text, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (b->bucket_count - 1);
    while (b->buckets[at] != 0) {
        const build_name *name = deb_builder_name(b, b->buckets[at] - 1);
        if (name->hash == hash && pkg_text_equal(name->text, text)) {
            break;
        }
        at = (at + 1) & (b->bucket_count - 1);
    }
    return at;
}

uint32_t deb_builder_find(const deb_builder *b, pkg_text text)
{
    if (b->bucket_count == 0) {
        return SOLVE_NONE;
    }
    uint32_t found = b->buckets[bucket_of(b, text, brisk_hash64(text.data, text.size, 0))];
    return found != 0 ? found - 1 : SOLVE_NONE;
}

static brisk_err intern(deb_builder *b, pkg_text text, uint32_t *ret)
{
    if (b->names.count * 2 >= b->bucket_count) {
        brisk_err err = grow_buckets(b);
        if (err != BRISK_OK) {
            return err;
        }
    }
    uint64_t hash = brisk_hash64(text.data, text.size, 0);
    uint32_t at = bucket_of(b, text, hash);
    if (b->buckets[at] == 0) {
        build_name *name = pkg_array_push(&b->names, sizeof *name, b->arena);
        if (name == NULL) {
            return BRISK_ERR_NOMEM;
        }
        *name = (build_name){.text = text,
                             .hash = hash,
                             .stanza = SOLVE_NONE,
                             .last_stanza = SOLVE_NONE,
                             .replaces = SOLVE_NONE};
        b->buckets[at] = b->names.count;
    }
    *ret = b->buckets[at] - 1;
    return BRISK_OK;
}

/* --- stanzas ------------------------------------------------------------------------------ */

static brisk_err skip(deb_builder *b, const deb_input *input, uint32_t line, const char *why)
{
    if (b->skipped++ == 0) {
        b->skip_why = brisk_arena_printf(b->arena, "%s:%u: %s", input->name, line, why);
        return b->skip_why != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    return BRISK_OK;
}

static uint64_t number_of(pkg_text text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && i < SIZE_DIGITS_MAX; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            break;
        }
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    return number;
}

static uint8_t priority_of(pkg_text text)
{
    static const char *const names[] = {"required", "important", "standard", "optional"};
    uint8_t i = 0;
    while (i < sizeof names / sizeof names[0] && !pkg_text_is(text, names[i])) {
        i++;
    }
    return i;
}

static deb_multi_arch multi_arch_of(pkg_text text)
{
    return pkg_text_is(text, "same")      ? DEB_MULTI_ARCH_SAME
           : pkg_text_is(text, "foreign") ? DEB_MULTI_ARCH_FOREIGN
           : pkg_text_is(text, "allowed") ? DEB_MULTI_ARCH_ALLOWED
                                          : DEB_MULTI_ARCH_NO;
}

/* Which of the architectures asked for; SOLVE_NONE: none. */
static uint32_t arch_of(const deb_builder *b, pkg_text text)
{
    if (pkg_text_is(text, "all")) {
        return 0;
    }
    for (uint32_t i = 0; i < b->arch_count; i++) {
        if (pkg_text_equal(b->archs[i], text)) {
            return i;
        }
    }
    return SOLVE_NONE;
}

/* What is wrong with it, or NULL. */
static const char *flaw_of(const deb_stanza *stanza)
{
    pkg_text name = stanza->fields[DEB_FIELD_PACKAGE];
    pkg_text version = stanza->fields[DEB_FIELD_VERSION];
    deb_relation relation;
    if (name.size == 0) {
        return "a stanza without Package";
    }
    if (version.size == 0) {
        return "a stanza without Version";
    }
    if (stanza->fields[DEB_FIELD_ARCHITECTURE].size == 0) {
        return "a stanza without Architecture";
    }
    if (name.size > DEB_TEXT_MAX || !deb_relation_parse(name, &relation) ||
        relation.name.size != name.size) {
        return "what stands in Package is no name";
    }
    if (version.size > DEB_TEXT_MAX || !deb_version_is_valid(version)) {
        return "what stands in Version is no version";
    }
    return NULL;
}

static brisk_err add_stanza(deb_builder *b, const deb_input *input, const deb_stanza *stanza)
{
    const char *flaw = flaw_of(stanza);
    if (flaw != NULL) {
        return skip(b, input, stanza->line, flaw);
    }
    uint32_t arch = arch_of(b, stanza->fields[DEB_FIELD_ARCHITECTURE]);
    if (arch == SOLVE_NONE) {
        return BRISK_OK; /* of another architecture */
    }
    uint32_t name = 0;
    brisk_err err = intern(b, stanza->fields[DEB_FIELD_PACKAGE], &name);
    build_stanza *kept = pkg_array_push(&b->stanzas, sizeof *kept, b->arena);
    if (err != BRISK_OK || kept == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t installed = number_of(stanza->fields[DEB_FIELD_INSTALLED_SIZE]);
    *kept = (build_stanza){
        .name = name,
        .arch = arch,
        .next = SOLVE_NONE,
        .version = stanza->fields[DEB_FIELD_VERSION],
        .multi_arch = multi_arch_of(stanza->fields[DEB_FIELD_MULTI_ARCH]),
        .priority = priority_of(stanza->fields[DEB_FIELD_PRIORITY]),
        .essential = pkg_text_is(stanza->fields[DEB_FIELD_ESSENTIAL], "yes"),
        .all = pkg_text_is(stanza->fields[DEB_FIELD_ARCHITECTURE], "all"),
        .size_bytes = number_of(stanza->fields[DEB_FIELD_SIZE]),
        .installed_kib = installed < UINT32_MAX ? (uint32_t)installed : UINT32_MAX,
    };
    memcpy(kept->relations, &stanza->fields[DEB_FIELD_PRE_DEPENDS], sizeof kept->relations);
    build_name *of = deb_builder_name(b, name);
    uint32_t id = b->stanzas.count - 1;
    if (of->last_stanza != SOLVE_NONE) {
        deb_builder_stanza(b, of->last_stanza)->next = id;
    } else {
        of->stanza = id;
    }
    of->last_stanza = id;
    return BRISK_OK;
}

static brisk_err read_input(deb_builder *b, const deb_input *input)
{
    deb_control control = {.at = input->text.data, .end = input->text.data + input->text.size};
    deb_stanza stanza;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && deb_control_next(&control, &stanza)) {
        err = add_stanza(b, input, &stanza);
    }
    return err;
}

/* --- packages ----------------------------------------------------------------------------- */

static int compare_stanzas(const void *a, const void *b)
{
    const build_stanza *x = *(const build_stanza *const *)a;
    const build_stanza *y = *(const build_stanza *const *)b;
    if (x->arch != y->arch) {
        return x->arch < y->arch ? -1 : 1;
    }
    int order = deb_version_compare(x->version, y->version);
    return order != 0 ? order : x < y ? -1 : x > y; /* of equal ones the first in the lists */
}

/* One package: stanzas of one name and architecture, ascending. */
static brisk_err add_package(deb_builder *b, const build_stanza **items, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || deb_version_compare(items[kept - 1]->version, items[i]->version) != 0) {
            items[kept++] = items[i];
        }
    }
    uint32_t from = kept > DEB_VERSIONS_MAX ? kept - DEB_VERSIONS_MAX : 0;
    deb_package *package = pkg_array_push(&b->packages, sizeof *package, b->arena);
    if (package == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *package = (deb_package){.name = items[0]->name,
                             .arch = items[0]->arch,
                             .versions = b->versions.count,
                             .version_count = kept - from};
    for (uint32_t i = from; i < kept; i++) {
        build_version *version = pkg_array_push(&b->versions, sizeof *version, b->arena);
        if (version == NULL) {
            return BRISK_ERR_NOMEM;
        }
        *version = (build_version){.stanza = items[i], .package = b->packages.count - 1};
    }
    return BRISK_OK;
}

/* All packages of one name. */
static brisk_err add_name(deb_builder *b, build_name *name, pkg_array *scratch)
{
    scratch->count = 0;
    for (uint32_t i = name->stanza; i != SOLVE_NONE; i = deb_builder_stanza(b, i)->next) {
        const build_stanza **item = pkg_array_push(scratch, sizeof *item, b->arena);
        if (item == NULL) {
            return BRISK_ERR_NOMEM;
        }
        *item = deb_builder_stanza(b, i);
    }
    const build_stanza **items = scratch->items;
    if (scratch->count > 1) {
        qsort(items, scratch->count, sizeof(*items), compare_stanzas);
    }
    name->packages = b->packages.count;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < scratch->count;) {
        uint32_t to = i + 1;
        while (to < scratch->count && items[to]->arch == items[i]->arch) {
            to++;
        }
        err = add_package(b, items + i, to - i);
        i = to;
    }
    name->package_count = b->packages.count - name->packages;
    return err;
}

/* --- provides and replaces ---------------------------------------------------------------- */

static brisk_err add_provides(deb_builder *b, uint32_t version)
{
    const build_stanza *stanza = deb_builder_version(b, version)->stanza;
    pkg_text rest = stanza->relations[DEB_FIELD_PROVIDES - DEB_FIELD_PRE_DEPENDS];
    pkg_text part;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && deb_list_next(&rest, ',', &part); i++) {
        deb_relation relation;
        if (i == DEB_RELATIONS_MAX) {
            return BRISK_ERR_LIMIT;
        }
        if (part.size > DEB_TEXT_MAX || !deb_relation_parse(part, &relation) ||
            (relation.op != DEB_EQ && relation.op != DEB_ANY)) {
            continue; /* as dpkg: a provided version can only be one */
        }
        uint32_t name = 0;
        err = intern(b, relation.name, &name);
        build_provide *provide =
            err == BRISK_OK ? pkg_array_push(&b->provides, sizeof *provide, b->arena) : NULL;
        if (provide == NULL) {
            return BRISK_ERR_NOMEM;
        }
        *provide = (build_provide){.name = name,
                                   .version = version,
                                   .priority = stanza->priority,
                                   .order = b->provides.count - 1,
                                   .text = relation.version};
    }
    rest = stanza->relations[DEB_FIELD_REPLACES - DEB_FIELD_PRE_DEPENDS];
    while (err == BRISK_OK && deb_list_next(&rest, ',', &part)) {
        deb_relation relation;
        if (part.size <= DEB_TEXT_MAX && deb_relation_parse(part, &relation)) {
            uint32_t name = 0;
            err = intern(b, relation.name, &name);
            if (err == BRISK_OK && deb_builder_name(b, name)->replaces == SOLVE_NONE) {
                deb_builder_name(b, name)->replaces = version;
            }
        }
    }
    return err;
}

/* By name, then how needed the provider is, then its number. */
static int compare_provides(const void *a, const void *b)
{
    const build_provide *x = a;
    const build_provide *y = b;
    if (x->name != y->name) {
        return x->name < y->name ? -1 : 1;
    }
    if (x->priority != y->priority) {
        return x->priority < y->priority ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

static brisk_err add_all_provides(deb_builder *b)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < b->versions.count; i++) {
        err = add_provides(b, i);
    }
    if (err != BRISK_OK || b->provides.count == 0) {
        return err;
    }
    build_provide *items = b->provides.items;
    qsort(items, b->provides.count, sizeof *items, compare_provides);
    for (uint32_t i = 0; i < b->provides.count; i++) {
        build_name *name = deb_builder_name(b, items[i].name);
        name->provides = name->provide_count == 0 ? i : name->provides;
        name->provide_count++;
    }
    return BRISK_OK;
}

static brisk_err split_archs(deb_builder *b, const char *archs, brisk_errinfo *info)
{
    pkg_text rest = pkg_text_of(archs);
    pkg_text arch;
    while (deb_list_next(&rest, ',', &arch)) {
        if (b->arch_count == DEB_ARCHS_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "more than %d architectures: %s",
                                     (int)DEB_ARCHS_MAX, archs);
        }
        b->archs[b->arch_count++] = arch;
    }
    return b->arch_count > 0
               ? BRISK_OK
               : brisk_errinfo_set(info, BRISK_ERR_INVALID, "no architecture was named");
}

brisk_err deb_index_build(const deb_input *inputs, uint32_t count, const char *archs, uint64_t key,
                          brisk_arena *arena, pkg_text *ret, brisk_errinfo *info)
{
    deb_builder b = {.arena = arena, .key = key, .skip_why = ""};
    brisk_err err = split_archs(&b, archs, info);
    for (uint32_t i = 0; err == BRISK_OK && i < count; i++) {
        err = read_input(&b, &inputs[i]);
    }
    if (err == BRISK_OK && b.bucket_count == 0) {
        err = grow_buckets(&b);
    }
    pkg_array scratch = {0};
    uint32_t names = b.names.count; /* that have stanzas */
    for (uint32_t i = 0; err == BRISK_OK && i < names; i++) {
        err = add_name(&b, deb_builder_name(&b, i), &scratch);
    }
    if (err == BRISK_OK) {
        err = add_all_provides(&b);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < b.versions.count; i++) {
        err = deb_builder_relations(&b, i);
    }
    if (err == BRISK_OK) {
        err = deb_builder_image(&b, ret);
    }
    return err == BRISK_OK || err == BRISK_ERR_INVALID
               ? err
               : brisk_errinfo_set(info, err, "package lists: %s", brisk_err_message(err));
}
