/*
 * deb_check.h -- is an answer one?  Looked up in the stanzas themselves, without the index.
 *
 * For lists of one architecture.  Of the code under test only the readers of fields and the order of
 * versions are used; what relations mean is written down here once more, in the slowest way.
 */
#ifndef BRISK_TESTS_PKG_DEB_CHECK_H
#define BRISK_TESTS_PKG_DEB_CHECK_H

#include <stdlib.h>

#include <brisk/arena.h>

#include "workload/pkg/array.h"
#include "workload/pkg/deb/index.h"

typedef struct stanzas {
    deb_stanza *items; /* sorted by name, then version */
    uint32_t count;
} stanzas;

static inline pkg_text stanza_name(const deb_stanza *s)
{
    return s->fields[DEB_FIELD_PACKAGE];
}

static inline int stanza_compare(const void *a, const void *b)
{
    const deb_stanza *x = a;
    const deb_stanza *y = b;
    int order = pkg_text_compare(stanza_name(x), stanza_name(y));
    return order != 0
               ? order
               : pkg_text_compare(x->fields[DEB_FIELD_VERSION], y->fields[DEB_FIELD_VERSION]);
}

static inline bool stanzas_read(const deb_input *inputs, uint32_t count, brisk_arena *arena,
                                stanzas *ret)
{
    pkg_array all = {0};
    for (uint32_t i = 0; i < count; i++) {
        deb_control control = {.at = inputs[i].text.data,
                               .end = inputs[i].text.data + inputs[i].text.size};
        deb_stanza stanza;
        while (deb_control_next(&control, &stanza)) {
            deb_stanza *kept = pkg_array_push(&all, sizeof *kept, arena);
            if (kept == NULL) {
                return false;
            }
            *kept = stanza;
        }
    }
    *ret = (stanzas){.items = all.items, .count = all.count};
    if (all.count > 0) {
        qsort(ret->items, ret->count, sizeof *ret->items, stanza_compare);
    }
    return true;
}

static inline const deb_stanza *stanzas_find(const stanzas *all, pkg_text name, pkg_text version)
{
    deb_stanza key = {.fields = {[DEB_FIELD_PACKAGE] = name, [DEB_FIELD_VERSION] = version}};
    return all->count == 0
               ? NULL
               : bsearch(&key, all->items, all->count, sizeof *all->items, stanza_compare);
}

/* Names of what is chosen and of what that provides: where a relation may be met. */
typedef struct offer {
    pkg_text name;
    pkg_text version; /* "" when provided without */
    const deb_stanza *by;
    bool provided;
} offer;

static inline int offer_compare(const void *a, const void *b)
{
    return pkg_text_compare(((const offer *)a)->name, ((const offer *)b)->name);
}

typedef struct installed {
    const deb_stanza **items;
    uint32_t count;
    offer *offers;
    uint32_t offer_count;
} installed;

static inline bool offer_meets(const offer *o, const deb_relation *r, bool forbids)
{
    pkg_text multi = o->by->fields[DEB_FIELD_MULTI_ARCH];
    if (pkg_text_is(r->arch, "any") && !forbids && !pkg_text_is(multi, "allowed")) {
        return false;
    }
    if (r->arch.size > 0 && !pkg_text_is(r->arch, "any") && !pkg_text_is(r->arch, "native") &&
        !pkg_text_is(r->arch, "amd64")) {
        return false;
    }
    if (r->op == DEB_ANY) {
        return true;
    }
    return o->version.size > 0 && deb_op_holds(r->op, deb_version_compare(o->version, r->version));
}

/* Does something installed, other than `except`, meet one of the alternatives? */
static inline bool installed_meets(const installed *in, pkg_text alternatives, bool forbids,
                                   const deb_stanza *except)
{
    pkg_text part;
    while (deb_list_next(&alternatives, '|', &part)) {
        deb_relation r;
        if (!deb_relation_parse(part, &r)) {
            continue;
        }
        uint32_t low = 0;
        uint32_t high = in->offer_count;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (pkg_text_compare(in->offers[middle].name, r.name) < 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for (; low < in->offer_count && pkg_text_equal(in->offers[low].name, r.name); low++) {
            if (in->offers[low].by != except && offer_meets(&in->offers[low], &r, forbids)) {
                return true;
            }
        }
    }
    return false;
}

static inline bool installed_make(const deb_index *index, const deb_answer *answer,
                                  const stanzas *all, brisk_arena *arena, installed *ret)
{
    pkg_array items = {0};
    pkg_array offers = {0};
    for (uint32_t i = 0; i < answer->choice_count; i++) {
        const deb_choice *choice = &answer->choices[i];
        pkg_text name = deb_text(index, index->names[index->packages[choice->package].name].text);
        pkg_text version = deb_text(index, index->versions[choice->version].text);
        const deb_stanza *stanza = stanzas_find(all, name, version);
        const deb_stanza **item = pkg_array_push(&items, sizeof *item, arena);
        offer *own = pkg_array_push(&offers, sizeof *own, arena);
        if (stanza == NULL || item == NULL || own == NULL) {
            return false;
        }
        *item = stanza;
        *own = (offer){.name = name, .version = version, .by = stanza};
        pkg_text rest = stanza->fields[DEB_FIELD_PROVIDES];
        pkg_text part;
        while (deb_list_next(&rest, ',', &part)) {
            deb_relation r;
            if (deb_relation_parse(part, &r) && (r.op == DEB_EQ || r.op == DEB_ANY)) {
                offer *o = pkg_array_push(&offers, sizeof *o, arena);
                if (o == NULL) {
                    return false;
                }
                *o = (offer){.name = r.name, .version = r.version, .by = stanza, .provided = true};
            }
        }
    }
    *ret = (installed){.items = items.items,
                       .count = items.count,
                       .offers = offers.items,
                       .offer_count = offers.count};
    if (offers.count > 0) {
        qsort(ret->offers, ret->offer_count, sizeof *ret->offers, offer_compare);
    }
    return true;
}

/* NULL: the answer is one.  Else what is wrong, in the arena. */
static inline const char *deb_check(const deb_index *index, const deb_answer *answer,
                                    const stanzas *all, brisk_arena *arena)
{
    static const struct {
        deb_field field;
        bool forbids;
        const char *name;
    } fields[] = {{DEB_FIELD_PRE_DEPENDS, false, "Pre-Depends"},
                  {DEB_FIELD_DEPENDS, false, "Depends"},
                  {DEB_FIELD_CONFLICTS, true, "Conflicts"},
                  {DEB_FIELD_BREAKS, true, "Breaks"}};
    installed in;
    if (!installed_make(index, answer, all, arena, &in)) {
        return "a choice that is in no list";
    }
    for (uint32_t i = 0; i < in.count; i++) {
        for (uint32_t other = i + 1; other < in.count && answer->choice_count < 300; other++) {
            if (pkg_text_equal(stanza_name(in.items[i]), stanza_name(in.items[other]))) {
                return "a name twice";
            }
        }
        for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++) {
            pkg_text rest = in.items[i]->fields[fields[f].field];
            pkg_text part;
            while (deb_list_next(&rest, ',', &part)) {
                const deb_stanza *except = fields[f].forbids ? in.items[i] : NULL;
                if (installed_meets(&in, part, fields[f].forbids, except) == fields[f].forbids) {
                    return brisk_arena_printf(
                        arena, "%.*s: %s: %.*s", (int)stanza_name(in.items[i]).size,
                        stanza_name(in.items[i]).data, fields[f].name, (int)part.size, part.data);
                }
            }
        }
    }
    return NULL;
}

#endif /* BRISK_TESTS_PKG_DEB_CHECK_H */
