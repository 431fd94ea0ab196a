/*
 * wordcount.c -- a whole workload in one file: counts the words and lines of a text.
 *
 *     reading ─► key ─► counting_words ─┬─► answer ─► reporting
 *     PREPARE           counting_lines ─┘             DELIVER
 *
 * The two counting stages run at the same time, and the words are counted in pieces that do, too.
 * The answer is two numbers; asked for again, they come from the cache and nothing is counted.
 *
 * A word begins at a letter with no letter before it.  So every word is counted by the piece that
 * holds its first letter, however the text is cut.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <brisk/brisk.h>

#include "wordcount.h"

enum { PARTS_DEFAULT = 4, PARTS_MAX = 64, ANSWER_BYTES = 16 };

typedef struct wordcount_state {
    wordcount_result result; /* first: what brisk_job_state gives */
    const wordcount_request *request;
    brisk_hash128 hash;
    uint64_t part_words[PARTS_MAX];
} wordcount_state;

static void tell(const wordcount_state *state, const char *what)
{
    if (state->request->progress != NULL) {
        state->request->progress(state->request->ctx, what);
    }
}

static uint32_t part_count(const wordcount_state *state)
{
    return state->request->parts != 0 ? state->request->parts : PARTS_DEFAULT;
}

static brisk_err init(brisk_stage_ctx *ctx, void *opaque, const void *request)
{
    wordcount_state *state = opaque;
    state->request = request;
    if (part_count(state) > PARTS_MAX) {
        return brisk_stage_fail(ctx, BRISK_ERR_LIMIT, "at most %d parts, not %" PRIu32, PARTS_MAX,
                                part_count(state));
    }
    return BRISK_OK;
}

static brisk_err reading(brisk_stage_ctx *ctx, void *opaque)
{
    wordcount_state *state = opaque;
    tell(state, "reading");
    state->hash = brisk_hash128_of(state->request->text, state->request->size, 0);
    brisk_stage_add_bytes(ctx, state->request->size);
    return BRISK_OK;
}

/* The number of parts cannot change the answer, so it is not in the key. */
static brisk_err key(brisk_stage_ctx *ctx, void *opaque, brisk_key_builder *builder)
{
    const wordcount_state *state = opaque;
    (void)ctx;
    brisk_key_content(builder, "text", state->hash, state->request->size);
    return BRISK_OK;
}

static int is_word(const wordcount_state *state, size_t at)
{
    return isalnum((unsigned char)state->request->text[at]);
}

static const char *part_name(void *opaque, uint32_t index)
{
    static const char *const names[] = {"part 0", "part 1", "part 2", "part 3"};
    (void)opaque;
    return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

static brisk_err count_part(brisk_stage_ctx *ctx, void *opaque, uint32_t index)
{
    wordcount_state *state = opaque;
    tell(state, "part");
    size_t size = state->request->size;
    size_t each = size / part_count(state) + 1;
    size_t begin = each * index < size ? each * index : size;
    size_t end = size - begin < each ? size : begin + each;
    uint64_t words = 0;
    for (size_t i = begin; i < end; i++) {
        words += is_word(state, i) && (i == 0 || !is_word(state, i - 1)) ? 1 : 0;
    }
    state->part_words[index] = words;
    brisk_stage_add_bytes(ctx, end - begin);
    return BRISK_OK;
}

static brisk_err counting_words(brisk_stage_ctx *ctx, void *opaque)
{
    wordcount_state *state = opaque;
    tell(state, "counting_words");
    uint32_t parts = part_count(state);
    brisk_err err = brisk_stage_for(ctx, parts, part_name, count_part, state);
    if (err != BRISK_OK) {
        return err;
    }
    state->result.words = 0;
    for (uint32_t i = 0; i < parts; i++) {
        state->result.words += state->part_words[i];
    }
    brisk_stage_note(ctx, "%" PRIu32 " parts", parts);
    return BRISK_OK;
}

static brisk_err counting_lines(brisk_stage_ctx *ctx, void *opaque)
{
    wordcount_state *state = opaque;
    tell(state, "counting_lines");
    uint64_t lines = 0;
    for (size_t i = 0; i < state->request->size; i++) {
        lines += state->request->text[i] == '\n' ? 1 : 0;
        if (i % 65536 == 0 && brisk_stage_cancelled(ctx)) {
            return BRISK_ERR_CANCELLED;
        }
    }
    state->result.lines = lines;
    brisk_stage_add_bytes(ctx, state->request->size);
    return BRISK_OK;
}

static void put_u64(unsigned char *to, uint64_t number)
{
    for (int i = 0; i < 8; i++) {
        to[i] = (unsigned char)(number >> (8 * i));
    }
}

static uint64_t get_u64(const unsigned char *from)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number |= (uint64_t)from[i] << (8 * i);
    }
    return number;
}

static brisk_err answer(brisk_stage_ctx *ctx, void *opaque, brisk_answer *ret)
{
    const wordcount_state *state = opaque;
    (void)ctx;
    unsigned char bytes[ANSWER_BYTES];
    put_u64(bytes, state->result.words);
    put_u64(bytes + 8, state->result.lines);
    return brisk_value_copy(bytes, sizeof bytes, NULL, &ret->value);
}

static brisk_err accept(brisk_stage_ctx *ctx, void *opaque, const brisk_hit *hit)
{
    wordcount_state *state = opaque;
    const unsigned char *bytes = brisk_value_data(hit->value);
    if (bytes == NULL || brisk_value_size(hit->value) != ANSWER_BYTES) {
        return brisk_stage_fail(ctx, BRISK_ERR_CORRUPT, "an answer of %" PRIu64 " bytes",
                                brisk_value_size(hit->value));
    }
    state->result.words = get_u64(bytes);
    state->result.lines = get_u64(bytes + 8);
    return BRISK_OK;
}

static brisk_err reporting(brisk_stage_ctx *ctx, void *opaque)
{
    wordcount_state *state = opaque;
    (void)ctx;
    tell(state, "reporting");
    (void)snprintf(state->result.text, sizeof state->result.text,
                   "%" PRIu64 " lines, %" PRIu64 " words", state->result.lines,
                   state->result.words);
    return BRISK_OK;
}

static const brisk_stage stages[] = {
    {.name = "reading", .flags = BRISK_STAGE_PREPARE, .run = reading},
    {.name = "counting_words", .after = {"reading"}, .run = counting_words},
    {.name = "counting_lines", .after = {"reading"}, .run = counting_lines},
    {.name = "reporting",
     .after = {"counting_words", "counting_lines"},
     .flags = BRISK_STAGE_DELIVER,
     .run = reporting},
};

/* --- the form: how strangers ask, over HTTP ----------------------------------------------- */

/* {"text": {"text": "..."}, "parts": 4} */
static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"text\":" BRISK_FORM_BYTES_SCHEMA ","
    "\"parts\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":64}},"
    "\"required\":[\"text\"],\"additionalProperties\":false}";

static brisk_err parse(const brisk_form_input *input, const void **ret, brisk_errinfo *info)
{
    static const char *const members[] = {"text", "parts", NULL};
    uint64_t parts = brisk_knobs_u64(brisk_engine_knobs(input->engine), "wordcount.parts");
    brisk_form_part text;
    brisk_err err = brisk_json_check_members(input->request, members, info);
    if (err == BRISK_OK) {
        err = brisk_json_member_u64(input->request, "parts", 1, PARTS_MAX, &parts, info);
    }
    if (err == BRISK_OK) {
        err = brisk_form_bytes(input, brisk_json_get(input->request, "text"), "text", &text, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    wordcount_request *request = brisk_arena_calloc(input->arena, 1, sizeof *request);
    if (request == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    request->text = text.data;
    request->size = text.size;
    request->parts = (uint32_t)parts;
    *ret = request;
    return BRISK_OK;
}

static brisk_err result(brisk_job *job, const void *request, brisk_form_output *ret)
{
    const wordcount_result *counted = brisk_job_state(job);
    char json[80];
    (void)request;
    int size = snprintf(json, sizeof json, "{\"lines\":%" PRIu64 ",\"words\":%" PRIu64 "}\n",
                        counted->lines, counted->words);
    ret->type = "application/json";
    return brisk_value_copy(json, (size_t)size, NULL, &ret->value);
}

static void details(brisk_job *job, const void *request, brisk_json *json)
{
    const wordcount_request *asked = request;
    (void)job;
    brisk_json_u64(json, "bytes", asked->size);
}

static const brisk_form form = {
    .summary = "count the words and lines of a text",
    .schema = schema,
    .parse = parse,
    .result = result,
    .details = details,
};

static const brisk_workload workload = {
    .name = "wordcount",
    .version = 1,
    .stages = stages,
    .stage_count = sizeof stages / sizeof stages[0],
    .state_bytes = sizeof(wordcount_state),
    .init = init,
    .key = key,
    .answer = answer,
    .accept = accept,
    .form = &form,
};

/* --- the command `brisk wordcount count FILE` --------------------------------------------- */

static brisk_exit fail(const brisk_invocation *invocation, const char *why)
{
    (void)fprintf(invocation->err, "brisk: wordcount: %s\n", why);
    return BRISK_EXIT_FAILED;
}

static brisk_exit run_job(const brisk_invocation *invocation, brisk_engine *engine,
                          const wordcount_request *request)
{
    brisk_job *job = NULL;
    brisk_err err = brisk_job_create(engine, &workload, request, NULL, &job);
    if (err == BRISK_OK) {
        err = brisk_job_run(job);
    }
    brisk_exit code = BRISK_EXIT_OK;
    if (err == BRISK_OK) {
        const wordcount_result *result = brisk_job_state(job);
        (void)fprintf(invocation->out, "%s\n", result->text);
    } else {
        code = fail(invocation, job != NULL ? brisk_job_error_text(job) : brisk_err_message(err));
    }
    brisk_job_destroy(job);
    return code;
}

static brisk_exit run_count(const brisk_invocation *invocation)
{
    brisk_engine *engine;
    if (invocation->engine(invocation, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    brisk_errinfo info = {.text = ""};
    const brisk_workload *loaded; /* this module's: now its workload and its knobs are known */
    brisk_file_view view;
    if (brisk_engine_load(engine, "wordcount", &loaded, &info) != BRISK_OK ||
        brisk_file_view_open(invocation->argv[0], UINT64_MAX, &view, &info) != BRISK_OK) {
        return fail(invocation, info.text);
    }
    wordcount_request request = {
        .text = (const char *)view.data,
        .size = view.size,
        .parts = (uint32_t)brisk_knobs_u64(brisk_engine_knobs(engine), "wordcount.parts"),
    };
    brisk_exit code = run_job(invocation, engine, &request);
    brisk_file_view_close(&view);
    return code;
}

static const brisk_command count_command = {
    .name = "count",
    .group = "Example",
    .synopsis = "FILE",
    .summary = "count the words and lines of a file",
    .args_min = 1,
    .args_max = 1,
    .run = run_count,
};

static const brisk_command *const commands[] = {&count_command};

static const brisk_knob knobs[] = {
    {.name = "wordcount.parts",
     .summary = "pieces that are counted at the same time",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = PARTS_MAX,
     .def = PARTS_DEFAULT},
};

extern BRISK_API const brisk_module brisk_module_descriptor;
const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "wordcount",
    .summary = "counts words; the example of a module",
    .workload = &workload,
    .commands = commands,
    .command_count = 1,
    .knobs = knobs,
    .knob_count = 1,
};
