/*
 * from_history.c -- runs that the history kept.
 *
 * The history keeps of each stage what everybody wants to see (brisk_history_stage): edges by name, start, duration,
 * wait.  Processor time and items are not there, so such runs are replayed with the times that they took;
 * threads are as many as were ever used at once, but at least two.
 *
 * Runs are listed first and their stages read afterwards, because a row's callback must not use its handle.
 */
#include <inttypes.h>
#include <string.h>

#include "observe/stage/profile.h"

enum { IDS_MAX = BRISK_WHATIF_RUNS_MAX };

typedef struct listed {
    uint64_t id;
    uint64_t elapsed_ns;
    char workload[BRISK_WHATIF_NAME_MAX];
    char answered_by[BRISK_WHATIF_NAME_MAX];
} listed;

typedef struct list {
    listed *items;
    uint32_t count;
} list;

/* Stages of one run, while they are read. */
typedef struct gathering {
    brisk_stage_times stages[BRISK_WHATIF_STAGES_MAX];
    char names[BRISK_WHATIF_STAGES_MAX][BRISK_WHATIF_NAME_MAX];
    char after[BRISK_WHATIF_STAGES_MAX][512];
    uint32_t count;
    bool fits;
} gathering;

static bool list_run(void *ctx, const brisk_history_run *row)
{
    list *l = ctx;
    if (strlen(row->workload) < BRISK_WHATIF_NAME_MAX) {
        listed *item = &l->items[l->count++];
        item->id = row->id;
        item->elapsed_ns = row->duration_ns;
        (void)snprintf(item->workload, sizeof item->workload, "%s", row->workload);
        (void)snprintf(item->answered_by, sizeof item->answered_by, "%.60s", row->answered_by);
    }
    return l->count < IDS_MAX;
}

static brisk_stage_how how_of(const char *outcome)
{
    if (strcmp(outcome, "computed") == 0) {
        return BRISK_HOW_COMPUTED;
    }
    if (strcmp(outcome, "answered") == 0) {
        return BRISK_HOW_ANSWERED;
    }
    return strcmp(outcome, "skipped") == 0 ? BRISK_HOW_SKIPPED : BRISK_HOW_FAILED;
}

static bool gather(void *ctx, const brisk_history_stage *row)
{
    gathering *g = ctx;
    if (g->count == BRISK_WHATIF_STAGES_MAX || strlen(row->name) >= BRISK_WHATIF_NAME_MAX ||
        strlen(row->after) >= sizeof g->after[0]) {
        g->fits = false;
        return false;
    }
    uint32_t i = g->count++;
    (void)snprintf(g->names[i], sizeof g->names[i], "%s", row->name);
    (void)snprintf(g->after[i], sizeof g->after[i], "%s", row->after);
    g->stages[i] = (brisk_stage_times){
        .name = g->names[i],
        .ready_ns = row->start_ns > row->wait_ns ? row->start_ns - row->wait_ns : 0,
        .start_ns = row->start_ns,
        .ns = row->duration_ns,
        .bytes = row->bytes,
        .worker = row->worker >= 0 && row->worker <= INT32_MAX ? (int32_t)row->worker : -1,
        .how = how_of(row->outcome),
        .critical = row->critical != 0,
    };
    return true;
}

/* Turn the names behind `after` into edges; names that are no stage of the run are passed over. */
static void set_edges(gathering *g, const brisk_stage_run *run)
{
    for (uint32_t i = 0; i < g->count; i++) {
        char *rest = NULL;
        for (char *name = strtok_r(g->after[i], ", ", &rest); name != NULL;
             name = strtok_r(NULL, ", ", &rest)) {
            uint32_t before = stage_find(run, name);
            if (before != UINT32_MAX && before != i) {
                stage_set_after(&g->stages[i], before);
            }
        }
    }
}

static uint32_t most_at_once(const brisk_stage_run *run)
{
    brisk_stage_figures figures;
    brisk_stage_run_figures(run, &figures);
    uint32_t most = 2;
    for (uint32_t level = 0; level < BRISK_STAGE_LEVELS; level++) {
        most = figures.level_ns[level] > 0 && level > most ? level : most;
    }
    return most;
}

static brisk_err add_one(brisk_stage_profile *profile, const listed *item, gathering *g,
                         brisk_errinfo *info)
{
    brisk_stage_run run = {
        .workload = item->workload,
        .answered_by = item->answered_by,
        .elapsed_ns = item->elapsed_ns,
        .threads = 1,
        .stage_count = g->count,
        .stages = g->stages,
    };
    bool other = brisk_stage_profile_count(profile) > 0 &&
                 strcmp(brisk_stage_profile_at(profile, 0)->workload, run.workload) != 0;
    if (g->count == 0 || other) {
        return BRISK_OK;
    }
    set_edges(g, &run);
    run.threads = most_at_once(&run);
    run.workers = run.threads - 1;
    brisk_errinfo why = {.text = ""};
    brisk_err err = brisk_stage_profile_add(profile, &run, &why);
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(info, err, "run %" PRIu64 " of the history: %s", item->id,
                                why.text);
    }
    return err;
}

static brisk_err add_listed(brisk_stage_profile *profile, brisk_history *history, const list *l,
                            brisk_errinfo *info)
{
    const brisk_alloc *alloc = profile->alloc;
    gathering *g = alloc->acquire(alloc->ctx, sizeof *g, _Alignof(gathering));
    if (g == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "no memory for a run's stages");
    }
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < l->count && err == BRISK_OK; i++) {
        memset(g, 0, sizeof *g);
        g->fits = true;
        brisk_history_filter filter = {.id = l->items[i].id};
        err = brisk_history_stages(history, &filter, gather, g, info);
        if (err == BRISK_OK && g->fits) {
            err = add_one(profile, &l->items[i], g, info);
        }
    }
    alloc->release(alloc->ctx, g, sizeof *g, _Alignof(gathering));
    return err;
}

brisk_err brisk_stage_profile_add_history(brisk_stage_profile *profile, brisk_history *history,
                                          const brisk_history_filter *filter, brisk_errinfo *info)
{
    const brisk_alloc *alloc = profile->alloc;
    list l = {.items = alloc->acquire(alloc->ctx, IDS_MAX * sizeof(listed), _Alignof(listed))};
    if (l.items == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "no memory for a list of runs");
    }
    uint32_t before = brisk_stage_profile_count(profile);
    brisk_err err = brisk_history_runs(history, filter, list_run, &l, info);
    if (err == BRISK_OK) {
        err = add_listed(profile, history, &l, info);
    }
    alloc->release(alloc->ctx, l.items, IDS_MAX * sizeof(listed), _Alignof(listed));
    if (err == BRISK_OK && brisk_stage_profile_count(profile) == before) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                 "the history has no such run with stages");
    }
    return err;
}
