/*
 * diff.c -- functions of two profiles side by side, by how much their share of the whole has changed.
 *
 * Shares, not amounts: two recordings are never of the same length.  The amounts stand beside them.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/json.h>

#include "observe/profile/export.h"
#include "observe/profile/report.h"
#include "observe/profile/report_words.h"
#include "observe/profile/tally.h"

enum { ROWS_MAX = 30, NAME_SHOWN = 60 };

typedef struct change {
    const char *name;
    const char *module;
    uint64_t self[2];
    double share[2]; /* percent */
} change;

typedef struct comparison {
    const brisk_alloc *alloc;
    BRISK_VEC(change) changes;
    prof_index index;
    uint64_t total[2];
} comparison;

static uint32_t hash_of(const char *name)
{
    uint64_t h = 1469598103934665603U; /* FNV-1a: these are few */
    while (*name != '\0') {
        h = (h ^ (unsigned char)*name++) * 1099511628211U;
    }
    return prof_mix(h, 0);
}

static bool same_change(const void *owner, uint32_t id, const void *key)
{
    return strcmp(((const comparison *)owner)->changes.items[id].name, key) == 0;
}

static brisk_err add(comparison *c, const prof_model *model, uint32_t type, int which)
{
    prof_tally tally;
    brisk_err err = prof_tally_make(model, type, false, &tally);
    if (err != BRISK_OK) {
        return err;
    }
    c->total[which] = tally.total;
    for (size_t i = 0; i < tally.rows.count && err == BRISK_OK; i++) {
        const prof_row *row = &tally.rows.items[i];
        if (row->self == 0) {
            continue;
        }
        const char *name = prof_text(model, row->name);
        uint32_t hash = hash_of(name);
        uint32_t id = prof_index_find(&c->index, hash, same_change, c, name);
        if (id == PROF_NO_ID) {
            id = (uint32_t)c->changes.count;
            change new_one = {.name = name, .module = prof_text(model, row->module)};
            if (!BRISK_VEC_PUSH(&c->changes, new_one) ||
                !prof_index_add(&c->index, c->alloc, hash, id)) {
                err = BRISK_ERR_NOMEM;
                break;
            }
        }
        c->changes.items[id].self[which] = prof_add(c->changes.items[id].self[which], row->self);
    }
    prof_tally_deinit(&tally);
    return err;
}

static int by_change(const void *a, const void *b)
{
    const change *x = a;
    const change *y = b;
    double dx = fabs(x->share[1] - x->share[0]);
    double dy = fabs(y->share[1] - y->share[0]);
    return dx > dy ? -1 : dx < dy ? 1 : strcmp(x->name, y->name);
}

static brisk_err compare(const prof_model *before, const prof_model *after, uint32_t type,
                         comparison *c)
{
    *c = (comparison){.alloc = after->alloc, .changes = BRISK_VEC_INIT(after->alloc)};
    brisk_err err = add(c, before, prof_same_type(before, after, type), 0);
    if (err == BRISK_OK) {
        err = add(c, after, type, 1);
    }
    for (size_t i = 0; i < c->changes.count; i++) {
        change *one = &c->changes.items[i];
        for (int w = 0; w < 2; w++) {
            one->share[w] =
                c->total[w] > 0 ? 100.0 * (double)one->self[w] / (double)c->total[w] : 0.0;
        }
    }
    if (c->changes.count > 0) {
        qsort(c->changes.items, c->changes.count, sizeof *c->changes.items, by_change);
    }
    return err;
}

static void deinit(comparison *c)
{
    prof_index_deinit(&c->index, c->alloc);
    BRISK_VEC_DEINIT(&c->changes);
}

brisk_err prof_diff_text(const prof_model *before, const prof_model *after,
                         const prof_report_opts *opts, FILE *out)
{
    comparison c;
    char text[2][32];
    char shown[PROF_SHOWN_MAX];
    brisk_err err = compare(before, after, opts->type, &c);
    const char *unit = prof_text(after, after->types[opts->type].unit);
    if (err == BRISK_OK) {
        (void)fprintf(out, "%s: before %s, after %s\n%9s %9s %9s %12s  %s\n",
                      prof_text(after, after->types[opts->type].name),
                      prof_amount(c.total[0], unit, text[0]),
                      prof_amount(c.total[1], unit, text[1]), "before %", "after %", "points",
                      "self", "function");
        for (size_t i = 0; i < c.changes.count && i < ROWS_MAX; i++) {
            const change *one = &c.changes.items[i];
            (void)fprintf(out, "%9.1f %9.1f %+9.1f %12s  %.*s\n", one->share[0], one->share[1],
                          one->share[1] - one->share[0], prof_amount(one->self[1], unit, text[0]),
                          NAME_SHOWN, prof_shown_name(one->name, shown));
        }
        err = ferror(out) ? BRISK_ERR_IO : BRISK_OK;
    }
    deinit(&c);
    return err;
}

brisk_err prof_diff_json(const prof_model *before, const prof_model *after,
                         const prof_report_opts *opts, FILE *out)
{
    comparison c;
    brisk_json json;
    brisk_err err = compare(before, after, opts->type, &c);
    if (err == BRISK_OK) {
        brisk_json_init(&json, brisk_out_file(out), 2);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "schema", 1);
        brisk_json_str(&json, "type", prof_text(after, after->types[opts->type].name));
        brisk_json_str(&json, "unit", prof_text(after, after->types[opts->type].unit));
        brisk_json_u64(&json, "before_total", c.total[0]);
        brisk_json_u64(&json, "after_total", c.total[1]);
        brisk_json_array_begin(&json, "functions");
        for (size_t i = 0; i < c.changes.count; i++) {
            const change *one = &c.changes.items[i];
            brisk_json_object_begin(&json, NULL);
            brisk_json_str(&json, "function", one->name);
            brisk_json_str(&json, "module", one->module);
            brisk_json_u64(&json, "before_self", one->self[0]);
            brisk_json_u64(&json, "after_self", one->self[1]);
            brisk_json_double(&json, "before_percent", one->share[0]);
            brisk_json_double(&json, "after_percent", one->share[1]);
            brisk_json_double(&json, "points", one->share[1] - one->share[0]);
            brisk_json_object_end(&json);
        }
        brisk_json_array_end(&json);
        brisk_json_object_end(&json);
        err = brisk_json_finish(&json);
    }
    deinit(&c);
    return err;
}
