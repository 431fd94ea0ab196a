/*
 * slow_module.c -- a stranger's workload for the tests of jobs: takes as long as it is told, in steps
 * that can be cancelled, fails where it is told, and gives as many bytes as it is told.
 *
 *     {"ms": 100, "steps": 10, "fail": "words", "bytes": 10, "key": "a"}
 *
 * Without "key" nothing is remembered.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <brisk/brisk.h>

enum { BYTES_MAX = 8 << 20, MS_MAX = 600000, STEPS_MAX = 1000 };

typedef struct slow_request {
    uint64_t ms;
    uint64_t steps;
    uint64_t bytes;
    const char *fail;
    const char *key;
} slow_request;

typedef struct slow_state {
    const slow_request *request;
} slow_state;

static brisk_err init(brisk_stage_ctx *ctx, void *state, const void *request)
{
    (void)ctx;
    ((slow_state *)state)->request = request;
    return BRISK_OK;
}

static brisk_err key(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder)
{
    const slow_request *r = ((slow_state *)state)->request;
    (void)ctx;
    if (r->key == NULL) {
        return BRISK_ERR_DECLINED;
    }
    brisk_key_str(builder, "key", r->key);
    brisk_key_u64(builder, "bytes", r->bytes);
    return BRISK_OK;
}

static brisk_err step(brisk_stage_ctx *ctx, void *state, uint32_t index)
{
    const slow_request *r = ((slow_state *)state)->request;
    uint64_t ns = r->ms * 1000000 / r->steps;
    (void)index;
    while (ns > 0 && !brisk_stage_cancelled(ctx)) {
        uint64_t part = ns < 5000000 ? ns : 5000000;
        struct timespec pause = {.tv_nsec = (long)part};
        (void)nanosleep(&pause, NULL);
        ns -= part;
    }
    brisk_stage_add_bytes(ctx, 1);
    return brisk_stage_cancelled(ctx) ? BRISK_ERR_CANCELLED : BRISK_OK;
}

static brisk_err first(brisk_stage_ctx *ctx, void *state)
{
    (void)ctx;
    (void)state;
    return BRISK_OK;
}

static brisk_err sleeping(brisk_stage_ctx *ctx, void *state)
{
    const slow_request *r = ((slow_state *)state)->request;
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < r->steps && err == BRISK_OK; i++) {
        err = brisk_stage_for(ctx, 1, NULL, step, state);
    }
    if (err == BRISK_OK && r->fail != NULL) {
        brisk_stage_fail_details(ctx, "{\"why\":[1,\"two\",null],\"nested\":{\"x\":true}}");
        err = brisk_stage_fail(ctx, BRISK_ERR_CONFLICT, "%s", r->fail);
    }
    return err;
}

static brisk_err answer(brisk_stage_ctx *ctx, void *state, brisk_answer *ret)
{
    const slow_request *r = ((slow_state *)state)->request;
    void *data;
    (void)ctx;
    brisk_err err = brisk_value_reserve((size_t)r->bytes, NULL, &data, &ret->value);
    if (err == BRISK_OK) {
        memset(data, 's', (size_t)r->bytes);
    }
    return err;
}

static const brisk_stage stages[] = {
    {.name = "first", .run = first},
    {.name = "sleeping", .after = {"first"}, .run = sleeping},
};

static brisk_err text_of(const brisk_form_input *in, const char *name, const char **ret,
                         brisk_errinfo *info)
{
    const brisk_json_node *node = NULL;
    brisk_err err = brisk_json_member(in->request, name, BRISK_JSON_STRING, &node, info);
    if (err == BRISK_OK && node != NULL) {
        *ret = brisk_arena_copy(in->arena, node->text, node->size);
        err = *ret != NULL ? err : BRISK_ERR_NOMEM;
    }
    return err;
}

static brisk_err parse(const brisk_form_input *in, const void **ret, brisk_errinfo *info)
{
    static const char *const members[] = {"ms", "steps", "fail", "bytes", "key", NULL};
    slow_request *r = brisk_arena_calloc(in->arena, 1, sizeof *r);
    if (r == NULL) {
        return BRISK_ERR_NOMEM;
    }
    r->steps = 1;
    brisk_err err = brisk_json_check_members(in->request, members, info);
    err = err == BRISK_OK ? brisk_json_member_u64(in->request, "ms", 0, MS_MAX, &r->ms, info) : err;
    err = err == BRISK_OK
              ? brisk_json_member_u64(in->request, "steps", 1, STEPS_MAX, &r->steps, info)
              : err;
    err = err == BRISK_OK
              ? brisk_json_member_u64(in->request, "bytes", 0, BYTES_MAX, &r->bytes, info)
              : err;
    err = err == BRISK_OK ? text_of(in, "fail", &r->fail, info) : err;
    err = err == BRISK_OK ? text_of(in, "key", &r->key, info) : err;
    *ret = r;
    return err;
}

static const brisk_form form = {
    .summary = "take as long as it is told",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"ms\":{\"type\":"
        "\"integer\"},\"steps\":{\"type\":\"integer\"},\"bytes\":{\"type\":\"integer\"},"
        "\"fail\":{\"type\":\"string\"},\"key\":{\"type\":\"string\"}}}",
    .parse = parse,
};

static const brisk_workload workload = {
    .name = "slow",
    .version = 1,
    .stages = stages,
    .stage_count = sizeof stages / sizeof stages[0],
    .state_bytes = sizeof(slow_state),
    .init = init,
    .key = key,
    .answer = answer,
    .form = &form,
};

extern BRISK_API const brisk_module brisk_module_descriptor;
const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "slow",
    .summary = "takes as long as it is told",
    .workload = &workload,
};
