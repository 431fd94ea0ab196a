/*
 * pipeline.c -- checks a workload and cuts its stages into three frozen graphs.
 *
 *     phase     PREPARE     COMPUTE        DELIVER
 *     flag      PREPARE     neither        DELIVER
 *     `after`   PREPARE     PREPARE or     anything
 *                           COMPUTE
 *
 * Phases run one after the other, so an edge into an earlier phase is kept by the sequence alone
 * and only edges within a phase go into its graph; an edge into a later phase can never be kept
 * and is refused.  Hence a cycle lies within one phase, where the graph finds and prints it.
 *
 * A declaration comes from a module and is believed only after these checks.
 */
#include "engine/internal.h"

#include <string.h>

#include "base/assert.h"

enum { NAME_MAX_BYTES = 128 };

static const uint32_t flags_known =
    BRISK_STAGE_PREPARE | BRISK_STAGE_DELIVER | BRISK_STAGE_BLOCKING;

static const char *const phase_names[ENGINE_PHASES] = {"PREPARE", "computing", "DELIVER"};

static bool is_name(const char *name)
{
    return name != NULL && name[0] != '\0' && strnlen(name, NAME_MAX_BYTES) < NAME_MAX_BYTES;
}

static brisk_err check_workload(const brisk_workload *workload, brisk_errinfo *info)
{
    if (!is_name(workload->name)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "workload without a name");
    }
    if (workload->stage_count > BRISK_STAGES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "workload %s: %u stages, at most %d",
                                 workload->name, workload->stage_count, BRISK_STAGES_MAX);
    }
    if (workload->stage_count > 0 && workload->stages == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "workload %s: no stages behind its count",
                                 workload->name);
    }
    if (workload->key != NULL && workload->answer == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "workload %s: a key, but no answer",
                                 workload->name);
    }
    return BRISK_OK;
}

/* Index of the stage called `name`, or -1. */
static int find_stage(const brisk_workload *workload, const char *name)
{
    for (uint32_t i = 0; i < workload->stage_count; i++) {
        if (strcmp(workload->stages[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static brisk_err check_stage(const brisk_workload *workload, uint32_t index, brisk_errinfo *info)
{
    const brisk_stage *stage = &workload->stages[index];
    if (stage->run == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "workload %s: stage %s has no function",
                                 workload->name, stage->name);
    }
    if ((stage->flags & ~flags_known) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "workload %s: stage %s has unknown flags 0x%x", workload->name,
                                 stage->name, stage->flags);
    }
    if ((stage->flags & BRISK_STAGE_PREPARE) != 0 && (stage->flags & BRISK_STAGE_DELIVER) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "workload %s: stage %s is both PREPARE and DELIVER",
                                 workload->name, stage->name);
    }
    if (strcmp(stage->name, ENGINE_STORE_NAME) == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "workload %s: %s is the engine's own row, no stage",
                                 workload->name, stage->name);
    }
    if (find_stage(workload, stage->name) != (int)index) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "workload %s: two stages named %s",
                                 workload->name, stage->name);
    }
    return BRISK_OK;
}

static engine_phase phase_of(const brisk_stage *stage)
{
    if ((stage->flags & BRISK_STAGE_PREPARE) != 0) {
        return ENGINE_PREPARE;
    }
    return (stage->flags & BRISK_STAGE_DELIVER) != 0 ? ENGINE_DELIVER : ENGINE_COMPUTE;
}

/* Give every stage its phase and a node in that phase's graph. */
static brisk_err add_nodes(engine_pipeline *pipeline, const brisk_alloc *alloc,
                           uint32_t node_of[BRISK_STAGES_MAX], brisk_errinfo *info)
{
    const brisk_workload *workload = pipeline->workload;
    for (uint32_t i = 0; i < workload->stage_count; i++) {
        engine_phase phase = phase_of(&workload->stages[i]);
        brisk_err err = BRISK_OK;
        if (pipeline->graphs[phase] == NULL) {
            err = brisk_graph_create(alloc, &pipeline->graphs[phase]);
        }
        if (err == BRISK_OK) {
            err = brisk_graph_add(pipeline->graphs[phase], workload->stages[i].name, &node_of[i]);
        }
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "workload %s: stage %s: %s", workload->name,
                                     workload->stages[i].name, brisk_err_message(err));
        }
        BRISK_ASSERT(node_of[i] < BRISK_STAGES_MAX);
        pipeline->phase_of[i] = (uint8_t)phase;
        pipeline->blocking[phase] |= (workload->stages[i].flags & BRISK_STAGE_BLOCKING) != 0;
        pipeline->stage_of[phase][node_of[i]] = (uint8_t)i;
    }
    return BRISK_OK;
}

static brisk_err add_edges(engine_pipeline *pipeline, uint32_t index, const uint32_t *node_of,
                           brisk_errinfo *info)
{
    const brisk_workload *workload = pipeline->workload;
    const brisk_stage *stage = &workload->stages[index];
    uint8_t phase = pipeline->phase_of[index];
    for (uint32_t i = 0; i < BRISK_STAGE_AFTER_MAX; i++) {
        if (stage->after[i] == NULL) {
            continue;
        }
        int earlier = find_stage(workload, stage->after[i]);
        if (earlier < 0) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "workload %s: stage %s comes after %s, which does not exist",
                                     workload->name, stage->name, stage->after[i]);
        }
        uint8_t earlier_phase = pipeline->phase_of[earlier];
        if (earlier_phase > phase) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "workload %s: %s stage %s cannot come after %s stage %s",
                                     workload->name, phase_names[phase], stage->name,
                                     phase_names[earlier_phase], stage->after[i]);
        }
        if (earlier_phase < phase) {
            continue; /* the sequence of phases sees to it */
        }
        brisk_err err =
            brisk_graph_after(pipeline->graphs[phase], node_of[index], node_of[earlier]);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "workload %s: stage %s: %s", workload->name,
                                     stage->name, brisk_err_message(err));
        }
        pipeline->before[index] |= UINT64_C(1) << earlier;
    }
    return BRISK_OK;
}

static brisk_err build(engine_pipeline *pipeline, const brisk_alloc *alloc, brisk_errinfo *info)
{
    const brisk_workload *workload = pipeline->workload;
    brisk_err err = check_workload(workload, info);
    for (uint32_t i = 0; i < workload->stage_count && err == BRISK_OK; i++) {
        if (!is_name(workload->stages[i].name)) { /* before any name is compared */
            err = brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                    "workload %s: stage %u has no usable name", workload->name, i);
        }
    }
    for (uint32_t i = 0; i < workload->stage_count && err == BRISK_OK; i++) {
        err = check_stage(workload, i, info);
    }
    uint32_t node_of[BRISK_STAGES_MAX] = {0};
    if (err == BRISK_OK) {
        err = add_nodes(pipeline, alloc, node_of, info);
    }
    for (uint32_t i = 0; i < workload->stage_count && err == BRISK_OK; i++) {
        err = add_edges(pipeline, i, node_of, info);
    }
    for (int phase = 0; phase < ENGINE_PHASES && err == BRISK_OK; phase++) {
        brisk_errinfo why = {.text = ""};
        if (pipeline->graphs[phase] != NULL) {
            err = brisk_graph_freeze(pipeline->graphs[phase], &why);
        }
        if (err != BRISK_OK) {
            (void)brisk_errinfo_set(info, err, "workload %s: %s", workload->name,
                                    why.text[0] != '\0' ? why.text : brisk_err_message(err));
        }
    }
    return err;
}

brisk_err engine_pipeline_create(const brisk_workload *workload, const brisk_alloc *alloc,
                                 engine_pipeline **ret, brisk_errinfo *info)
{
    engine_pipeline *pipeline =
        alloc->acquire(alloc->ctx, sizeof *pipeline, _Alignof(engine_pipeline));
    if (pipeline == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "workload: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    *pipeline = (engine_pipeline){.workload = workload};
    brisk_err err = build(pipeline, alloc, info);
    if (err != BRISK_OK) {
        engine_pipeline_destroy(pipeline, alloc);
        return err;
    }
    *ret = pipeline;
    return BRISK_OK;
}

void engine_pipeline_destroy(engine_pipeline *pipeline, const brisk_alloc *alloc)
{
    if (pipeline != NULL) {
        for (int phase = 0; phase < ENGINE_PHASES; phase++) {
            brisk_graph_destroy(pipeline->graphs[phase]);
        }
        alloc->release(alloc->ctx, pipeline, sizeof *pipeline, _Alignof(engine_pipeline));
    }
}
