/*
 * keep.c -- suspected leaks become opportunities of the history (category "memory", source "leaks").
 *
 * Their key is program and place, so the same leak seen again renews its record.  The gain is the share of the heap
 * that the place's growth since the warm-up is: what would not be there.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <brisk/history.h>
#include <brisk/json.h>

#include "observe/heap/memory.h"

enum { EVIDENCE_MAX = 4096, TEXT_MAX = 512 };

typedef struct buffer {
    char text[EVIDENCE_MAX];
    size_t size;
} buffer;

static brisk_err append(void *ctx, const char *data, size_t size)
{
    buffer *b = ctx;
    if (size >= sizeof b->text - b->size) {
        return BRISK_ERR_LIMIT;
    }
    memcpy(b->text + b->size, data, size);
    b->size += size;
    b->text[b->size] = '\0';
    return BRISK_OK;
}

static void cut(const char *text, char to[TEXT_MAX])
{
    (void)snprintf(to, TEXT_MAX, "%.200s", text);
}

static brisk_err write_evidence(const heap_report *r, const heap_place *p, buffer *to)
{
    const prof_model *m = r->view->model;
    char name[TEXT_MAX];
    brisk_json json;
    *to = (buffer){.size = 0};
    brisk_json_init(&json, (brisk_out){.write = append, .ctx = to}, 0);
    brisk_json_object_begin(&json, NULL);
    cut(prof_text(m, p->name), name);
    brisk_json_str(&json, "function", name);
    cut(prof_text(m, p->file), name);
    brisk_json_str(&json, "file", name);
    brisk_json_u64(&json, "line", p->line);
    brisk_json_u64(&json, "live_bytes", p->live);
    brisk_json_double(&json, "growth_per_second", p->leak.slope);
    brisk_json_double(&json, "growth_per_second_low", p->leak.slope_low);
    brisk_json_double(&json, "growth_per_second_high", p->leak.slope_high);
    brisk_json_double(&json, "p", p->leak.p);
    brisk_json_double(&json, "survivors_old_share", p->leak.old_share);
    brisk_json_double(&json, "watched_seconds",
                      (double)(r->profile->head.now_ns - r->profile->head.start_ns) / 1e9);
    brisk_json_array_begin(&json, "stack");
    uint32_t shown = 0;
    for (uint32_t at = p->node; at != 0 && shown < 8; at = m->stacks.nodes.items[at].parent) {
        cut(prof_text(m, m->frames.items[m->stacks.nodes.items[at].frame].name), name);
        brisk_json_str(&json, NULL, name);
        shown++;
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static double gain_of(const heap_report *r, double slope)
{
    double seconds = (double)(r->profile->head.now_ns - r->profile->head.start_ns) / 1e9;
    double peak = (double)r->profile->head.peak_bytes;
    if (!isfinite(slope)) { /* a bound that is not known */
        return (double)NAN;
    }
    double gain = peak > 0 ? slope * seconds / peak : 0;
    return gain < 0 ? 0 : gain > 1 ? 1 : gain;
}

static brisk_err put(const heap_report *r, const heap_place *p, brisk_history *history,
                     brisk_errinfo *info)
{
    const prof_model *m = r->view->model;
    char program[HEAP_COMMAND_MAX];
    char name[TEXT_MAX];
    char key[2 * TEXT_MAX];
    char words[2 * TEXT_MAX];
    buffer evidence;
    (void)snprintf(program, sizeof program, "%s", r->profile->head.command);
    program[strcspn(program, " ")] = '\0';
    const char *slash = strrchr(program, '/');
    const char *base = slash != NULL ? slash + 1 : program;
    cut(prof_text(m, p->name), name);
    (void)snprintf(key, sizeof key, "leak:%.200s:%.300s:%" PRIu32, base, name, p->line);
    (void)snprintf(
        words, sizeof words,
        "%.300s grows by %.1f KiB a second and nothing ended it while it was watched: it "
        "may be a leak.",
        name, p->leak.slope / 1024);
    brisk_err err = write_evidence(r, p, &evidence);
    if (err != BRISK_OK) {
        return err;
    }
    double gain = gain_of(r, p->leak.slope);
    return brisk_history_put_opportunity(
        history,
        &(brisk_history_opportunity){.key = key,
                                     .category = "memory",
                                     .priority = gain > 0.5   ? "high"
                                                 : gain > 0.1 ? "medium"
                                                              : "low",
                                     .gain = gain,
                                     .gain_low = gain_of(r, p->leak.slope_low),
                                     .gain_high = gain_of(r, p->leak.slope_high),
                                     .confidence = p->leak.confidence,
                                     .complexity = "medium",
                                     .description = words,
                                     .evidence = evidence.text,
                                     .source = "leaks",
                                     .subject = base},
        NULL, info);
}

brisk_err heap_keep_leaks(const heap_report *report, uint32_t *count, brisk_errinfo *info)
{
    brisk_history *history = NULL;
    brisk_err err = BRISK_OK;
    uint32_t kept = 0;
    for (size_t i = 0; i < report->view->places.count && err == BRISK_OK; i++) {
        const heap_place *p = &report->view->places.items[i];
        if (!p->leak.suspected) {
            continue;
        }
        if (history == NULL) {
            err = brisk_history_open(&(brisk_history_opts){.path = NULL}, &history, info);
        }
        if (err == BRISK_OK) {
            err = put(report, p, history, info);
            kept += err == BRISK_OK;
        }
    }
    brisk_history_close(history);
    if (count != NULL) {
        *count = kept;
    }
    return err;
}
