/*
 * opportunities.c -- what a hot spot promises, and how sure that is.
 *
 * Making a function free saves at most its own share of the time: that is the upper end of the gain, 0
 * the lower, and no number between is claimed.  The confidence is the chance that the function's true
 * share is above the threshold, given as many samples as were taken (normal approximation of the
 * binomial).
 */
#include "observe/profile/opportunities.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "observe/profile/report_words.h"
#include "observe/profile/tally.h"

enum { EVIDENCE_MAX = 16384, CALLERS = 3 };

/* The chance that the true share is above the threshold; both are 0 .. 1. */
static double confidence_of(double share, double threshold, uint64_t samples)
{
    double n = samples > 0 ? (double)samples : 1.0;
    double deviation = sqrt(share * (1.0 - share) / n) + 0.5 / n;
    return 0.5 * erfc(-(share - threshold) / (deviation * sqrt(2.0)));
}

static brisk_err write_evidence(brisk_str *to, const prof_model *model, const prof_tally *tally,
                                uint32_t row)
{
    const prof_row *r = &tally->rows.items[row];
    prof_caller callers[CALLERS];
    brisk_json json;
    size_t count = prof_tally_callers(tally, model, row, callers, CALLERS);
    brisk_json_init(&json, brisk_str_out(to), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "function", prof_text(model, r->name));
    brisk_json_str(&json, "module", prof_text(model, r->module));
    brisk_json_str(&json, "file", prof_text(model, r->file));
    brisk_json_u64(&json, "line", r->line);
    brisk_json_u64(&json, "self_ns", r->self);
    brisk_json_u64(&json, "total_ns", tally->total);
    brisk_json_u64(&json, "samples", model->meta.samples);
    brisk_json_str(&json, "command", prof_text(model, model->meta.command));
    brisk_json_array_begin(&json, "callers");
    for (size_t i = 0; i < count; i++) {
        brisk_json_str(&json, NULL,
                       callers[i].row == PROF_NO_ID
                           ? ""
                           : prof_text(model, tally->rows.items[callers[i].row].name));
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

typedef struct putter {
    const prof_model *model;
    const prof_tally *tally;
    double threshold;
    brisk_history *history;
} putter;

static brisk_err put_row(const putter *p, uint32_t row, brisk_errinfo *info)
{
    const prof_model *model = p->model;
    const prof_tally *tally = p->tally;
    const prof_row *r = &tally->rows.items[row];
    double share = (double)r->self / (double)tally->total;
    char key[512];
    char description[512];
    char shown[PROF_SHOWN_MAX];
    const char *command = prof_text(model, model->meta.command);
    (void)snprintf(key, sizeof key, "hotspot:%.*s:%.300s", (int)strcspn(command, " "), command,
                   prof_text(model, r->name));
    (void)snprintf(
        description, sizeof description,
        "%.200s takes %.1f %% of the processor time itself; making it faster saves at most that.",
        prof_shown_name(prof_text(model, r->name), shown), 100.0 * share);
    brisk_str evidence;
    brisk_str_init(&evidence, model->alloc, EVIDENCE_MAX);
    brisk_err err = write_evidence(&evidence, model, tally, row);
    if (err == BRISK_OK) {
        brisk_history_opportunity one = {
            .key = key,
            .category = "hotspot",
            .priority = share >= 0.5   ? "high"
                        : share >= 0.2 ? "medium"
                                       : "low",
            .gain = (double)NAN,
            .gain_low = 0,
            .gain_high = share,
            .confidence = confidence_of(share, p->threshold / 100.0, model->meta.samples),
            .complexity = "medium",
            .description = description,
            .evidence = brisk_str_text(&evidence),
            .source = "hotspots",
            .subject = command,
            .state = ""};
        err = brisk_history_put_opportunity(p->history, &one, NULL, info);
    }
    brisk_str_deinit(&evidence);
    return err;
}

brisk_err prof_opportunities_put(const prof_model *model, double threshold, brisk_history *history,
                                 uint32_t *ret, brisk_errinfo *info)
{
    prof_tally tally;
    uint32_t type = prof_default_type(model);
    brisk_err err = prof_tally_make(model, type, false, &tally);
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < tally.rows.count && tally.total > 0 && err == BRISK_OK; i++) {
        const prof_row *r = &tally.rows.items[i];
        if (100.0 * (double)r->self < threshold * (double)tally.total) {
            break;
        }
        /* What the kernel does is not the program's to make faster. */
        if ((r->flags & (PROF_FRAME_KERNEL | PROF_FRAME_UNKNOWN)) == 0) {
            err = put_row(&(putter){model, &tally, threshold, history}, i, info);
            count += err == BRISK_OK;
        }
    }
    prof_tally_deinit(&tally);
    if (err == BRISK_OK) {
        *ret = count;
    }
    return err;
}
