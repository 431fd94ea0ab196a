/*
 * form_kit.h -- asks a workload through its form, as a node does.
 *
 *     form_kit kit;
 *     form_kit_ask(&kit, engine, &rom_workload, json, parts, count);   kit.err, kit.info, kit.output
 *     form_kit_end(&kit);
 */
#ifndef BRISK_TESTS_FORM_KIT_H
#define BRISK_TESTS_FORM_KIT_H

#include <string.h>

#include <brisk/brisk.h>

#include "support/check.h"

typedef struct form_kit {
    brisk_arena *arena;
    const brisk_workload *workload;
    const void *request;
    brisk_job *job;
    brisk_err err; /* of parse, then of the job */
    bool parsed;
    brisk_errinfo info; /* of parse */
    brisk_form_output output;
    char details[65536];
    size_t details_size;
} form_kit;

static inline brisk_err form_kit_write(void *ctx, const char *data, size_t size)
{
    form_kit *kit = ctx;
    CHECK(kit->details_size + size < sizeof kit->details);
    memcpy(kit->details + kit->details_size, data, size);
    kit->details_size += size;
    kit->details[kit->details_size] = '\0';
    return BRISK_OK;
}

static inline void form_kit_ask(form_kit *kit, brisk_engine *engine, const brisk_workload *workload,
                                const char *json, const brisk_form_part *parts, uint32_t count)
{
    memset(kit, 0, sizeof *kit);
    kit->workload = workload;
    CHECK_OK(brisk_engine_register(engine, workload, NULL));
    CHECK_OK(brisk_arena_create(NULL, &kit->arena));
    brisk_form_input in = {
        .parts = parts, .part_count = count, .arena = kit->arena, .engine = engine};
    CHECK_OK(brisk_json_read(json, strlen(json), brisk_arena_as_alloc(kit->arena), &in.request,
                             &kit->info));
    kit->err = workload->form->parse(&in, &kit->request, &kit->info);
    if (kit->err != BRISK_OK) {
        return;
    }
    kit->parsed = true;
    kit->err = brisk_job_create(engine, workload, kit->request, NULL, &kit->job);
    if (kit->err == BRISK_OK) {
        kit->err = brisk_job_run(kit->job);
    }
    if (kit->err == BRISK_OK) {
        CHECK_OK(workload->form->result(kit->job, kit->request, &kit->output));
    }
    brisk_json details;
    brisk_json_init(&details, (brisk_out){.write = form_kit_write, .ctx = kit}, 0);
    brisk_json_object_begin(&details, NULL);
    workload->form->details(kit->job, kit->request, &details);
    brisk_json_object_end(&details);
    CHECK_OK(brisk_json_finish(&details));
}

static inline void form_kit_end(form_kit *kit)
{
    brisk_value_unref(kit->output.value);
    brisk_job_destroy(kit->job);
    if (kit->parsed && kit->workload->form->release != NULL) {
        kit->workload->form->release(kit->request);
    }
    brisk_arena_destroy(kit->arena);
}

/* The schema is JSON, and the object it describes is closed. */
static inline void form_kit_check_schema(const brisk_form *form)
{
    brisk_arena *arena = NULL;
    const brisk_json_node *root = NULL;
    CHECK_OK(brisk_arena_create(NULL, &arena));
    CHECK_OK(brisk_json_read(form->schema, strlen(form->schema), brisk_arena_as_alloc(arena), &root,
                             NULL));
    CHECK(brisk_json_is(brisk_json_get(root, "type"), "object"));
    const brisk_json_node *more = brisk_json_get(root, "additionalProperties");
    CHECK(more != NULL && more->kind == BRISK_JSON_BOOL && !more->boolean);
    brisk_arena_destroy(arena);
}

#endif /* BRISK_TESTS_FORM_KIT_H */
