/*
 * request.c -- the words: what a user asks for, and what a proof calls things.
 *
 * Threads: one.
 */
#include "workload/pkg/deb/resolve.h"

/* --- asking ------------------------------------------------------------------------------- */

typedef struct wish {
    pkg_text name;
    pkg_text arch;    /* "" when none */
    pkg_text version; /* "" when none */
} wish;

static bool wish_parse(pkg_text text, wish *ret)
{
    wish w = {.name = text};
    const char *equal = memchr(text.data, '=', text.size);
    if (equal != NULL) {
        w.name.size = (size_t)(equal - text.data);
        w.version = (pkg_text){.data = equal + 1, .size = text.size - w.name.size - 1};
        if (w.version.size == 0) {
            return false;
        }
    }
    deb_relation relation;
    if (text.size > DEB_TEXT_MAX || !deb_relation_parse(w.name, &relation) ||
        relation.op != DEB_ANY) {
        return false;
    }
    w.name = relation.name;
    w.arch = relation.arch;
    *ret = w;
    return true;
}

static brisk_err not_there(const deb_resolver *r, const char *text, const deb_name *name,
                           brisk_errinfo *info)
{
    if (name == NULL || (name->package_count == 0 && name->replaces == SOLVE_NONE)) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                 "there is no package '%s' in these lists", text);
    }
    if (name->package_count == 0) {
        for (uint32_t p = 0; p < r->index->package_count; p++) {
            const deb_package *package = &r->index->packages[p];
            if (name->replaces - package->versions < package->version_count) {
                pkg_text other = deb_text(r->index, r->index->names[package->name].text);
                return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                         "there is no package '%s' in these lists; '%.*s' "
                                         "replaces it",
                                         text, (int)other.size, other.data);
            }
        }
    }
    const deb_package *package = &r->index->packages[name->packages];
    uint32_t greatest = package->versions + package->version_count - 1;
    pkg_text version = deb_text(r->index, r->index->versions[greatest].text);
    pkg_text arch = r->index->archs[package->arch];
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                             "there is no '%s' in these lists; there is version %.*s of %.*s", text,
                             (int)version.size, version.data, (int)arch.size, arch.data);
}

/* Versions of `package` that are meant. */
static uint64_t meant(const deb_resolver *r, const deb_package *package, const wish *w)
{
    uint64_t bits = 0;
    for (uint32_t v = 0; v < package->version_count; v++) {
        pkg_text text = deb_text(r->index, r->index->versions[package->versions + v].text);
        bits |= w->version.size == 0 || deb_version_compare(text, w->version) == 0
                    ? UINT64_C(1) << v
                    : 0;
    }
    return bits;
}

/* Packages of the name itself: of the architecture asked for, else the first there is. */
static brisk_err find_terms(const deb_resolver *r, const deb_name *name, const wish *w,
                            pkg_array *terms)
{
    for (uint32_t i = 0; i < name->package_count && terms->count == 0; i++) {
        const deb_package *package = &r->index->packages[name->packages + i];
        if (w->arch.size > 0 && !pkg_text_equal(r->index->archs[package->arch], w->arch)) {
            continue;
        }
        uint64_t bits = meant(r, package, w);
        solve_term *term = bits != 0 ? pkg_array_push(terms, sizeof *term, r->arena) : NULL;
        if (bits != 0 && term == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (bits != 0) {
            *term = (solve_term){.package = name->packages + i, .set.bits = bits};
        }
    }
    bool provided = name->package_count == 0 && w->version.size == 0;
    for (uint32_t i = 0; provided && i < name->provide_count; i++) {
        const solve_term *from = &r->index->terms[name->provides + i];
        uint32_t arch = r->index->packages[from->package].arch;
        if (w->arch.size > 0 ? !pkg_text_equal(r->index->archs[arch], w->arch) : arch != 0) {
            continue;
        }
        solve_term *term = pkg_array_push(terms, sizeof *term, r->arena);
        if (term == NULL) {
            return BRISK_ERR_NOMEM;
        }
        *term = *from;
    }
    return BRISK_OK;
}

/* Of one package there may be only one term in a need: join those that follow another. */
static void join_terms(pkg_array *terms)
{
    solve_term *items = terms->items;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < terms->count; i++) {
        uint32_t same = 0;
        while (same < kept && items[same].package != items[i].package) {
            same++;
        }
        if (same < kept) {
            items[same].set.bits |= items[i].set.bits;
        } else {
            items[kept++] = items[i];
        }
    }
    terms->count = kept;
}

brisk_err deb_resolver_request(deb_resolver *r, const char *text, brisk_errinfo *info)
{
    wish w;
    if (text[0] == '\0' || !wish_parse(pkg_text_of(text), &w)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "'%s' is no package (name, name:arch or name=version)", text);
    }
    uint32_t id = deb_index_find(r->index, w.name);
    const deb_name *name = id != SOLVE_NONE ? &r->index->names[id] : NULL;
    pkg_array terms = {0};
    brisk_err err = name != NULL ? find_terms(r, name, &w, &terms) : BRISK_OK;
    if (err == BRISK_OK && terms.count == 0) {
        return not_there(r, text, name, info);
    }
    join_terms(&terms);
    const char *said = brisk_arena_printf(r->arena, "asks for %s", text);
    if (err != BRISK_OK || said == NULL) {
        return BRISK_ERR_NOMEM;
    }
    return deb_resolver_ask(r, terms.items, terms.count, said);
}

/* --- words of a proof --------------------------------------------------------------------- */

static const char *word_versions(void *ctx, uint32_t id, solve_set set, brisk_arena *arena)
{
    const deb_resolver *r = ctx;
    if (id >= r->index->package_count) {
        return "the request";
    }
    const deb_package *package = &r->index->packages[id];
    pkg_text name = deb_text(r->index, r->index->names[package->name].text);
    pkg_text arch = r->index->archs[package->arch];
    const char *text = brisk_arena_printf(arena, "%.*s%s%.*s", (int)name.size, name.data,
                                          package->arch != 0 ? ":" : "",
                                          package->arch != 0 ? (int)arch.size : 0, arch.data);
    uint64_t all = (UINT64_C(1) << package->version_count) - 1;
    if ((set.bits & all) == all && package->version_count > 1) {
        return text; /* whichever version */
    }
    bool first = true;
    for (uint32_t v = 0; v < package->version_count && text != NULL; v++) {
        if ((set.bits >> v & 1) != 0) {
            pkg_text version = deb_text(r->index, r->index->versions[package->versions + v].text);
            text = brisk_arena_printf(arena, "%s%s %.*s", text, first ? "" : " or",
                                      (int)version.size, version.data);
            first = false;
        }
    }
    return text;
}

/* Which relation a need of fill_needs (resolve.c) came from; *term: the forbidden one, or NULL. */
static const deb_group *group_of_need(const deb_index *index, uint32_t package,
                                      const deb_version *version, uint32_t need,
                                      const solve_term **term, uint32_t *at)
{
    uint32_t depends = version->counts[DEB_KIND_DEPENDS];
    *term = NULL;
    *at = need;
    if (need < depends) {
        return deb_ref(index, version, need);
    }
    uint32_t left = need - depends;
    uint32_t end = depends + version->counts[DEB_KIND_CONFLICTS] + version->counts[DEB_KIND_BREAKS];
    for (uint32_t i = depends; i < end; i++) {
        const deb_group *group = deb_ref(index, version, i);
        for (uint32_t t = 0; t < group->term_count; t++) {
            const solve_term *one = &index->terms[group->terms + t];
            if (one->package != package && left-- == 0) {
                *term = one;
                *at = i;
                return group;
            }
        }
    }
    return NULL;
}

/* Blanks and line breaks of a folded field as one blank. */
static const char *one_line(pkg_text text, brisk_arena *arena)
{
    char *line = brisk_arena_copy(arena, text.data, text.size);
    size_t size = 0;
    for (size_t i = 0; line != NULL && i < text.size; i++) {
        bool blank = line[i] == ' ' || line[i] == '\t' || line[i] == '\n' || line[i] == '\r';
        if (!blank || (size > 0 && line[size - 1] != ' ')) {
            line[size++] = blank ? ' ' : line[i];
        }
    }
    if (line != NULL) {
        line[size] = '\0';
    }
    return line;
}

static const char *word_need(void *ctx, uint32_t id, uint32_t version, uint32_t need,
                             brisk_arena *arena)
{
    const deb_resolver *r = ctx;
    if (id >= r->index->package_count) {
        return need < r->root_texts.count ? ((const char *const *)r->root_texts.items)[need] : NULL;
    }
    const deb_version *v = &r->index->versions[r->index->packages[id].versions + version];
    const solve_term *term = NULL;
    uint32_t at = 0;
    const deb_group *group = group_of_need(r->index, id, v, need, &term, &at);
    const char *text = group != NULL ? one_line(deb_text(r->index, group->text), arena) : NULL;
    if (text == NULL) {
        return NULL;
    }
    if (term == NULL) {
        return brisk_arena_printf(arena, "depends on %s", text);
    }
    const deb_package *other = &r->index->packages[term->package];
    pkg_text name = deb_text(r->index, r->index->names[other->name].text);
    uint32_t breaks = v->counts[DEB_KIND_DEPENDS] + v->counts[DEB_KIND_CONFLICTS];
    const char *verb = at < breaks ? "conflicts with" : "breaks";
    bool itself = strncmp(text, name.data, name.size) == 0 &&
                  (text[name.size] == '\0' || text[name.size] == ' ' || text[name.size] == ':');
    return itself ? brisk_arena_printf(arena, "%s %s", verb, text)
                  : brisk_arena_printf(arena, "%s %s, which %.*s provides", verb, text,
                                       (int)name.size, name.data);
}

solve_words_of deb_resolver_words(deb_resolver *r)
{
    return (solve_words_of){.ctx = r, .versions = word_versions, .need = word_need};
}
