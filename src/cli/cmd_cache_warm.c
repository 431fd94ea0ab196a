/*
 * cmd_cache_warm.c -- `brisk cache warm`: fill the nearer tiers before they are asked.
 *
 * What outlives the command is what counts: an entry is brought from a shared tier to disk, its
 * bytes on disk into the system's memory, and a line of the list that names a file is stored.
 * Keys come from a list, or from a recording, the most popular first.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/record.h>
#include <brisk/text.h>
#include <brisk/warm.h>

#include "cli/cache_entry.h"
#include "cli/commands.h"

enum { WARM_RECORD, WARM_TAG, WARM_TOP, WARM_PARALLEL, WARM_JSON, WARM_COUNT };

enum { TOP_DEFAULT = 1000, TOP_MAX = 1048576, PARALLEL_MAX = 64, EXIT_SIGNAL = 128 };

static const brisk_option warm_options[WARM_COUNT] = {
    [WARM_RECORD] = {.name = "from-record",
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = "the keys that a recording has most often"},
    [WARM_TAG] = {.name = "tag",
                  .type = BRISK_OPTION_LIST,
                  .metavar = "TAG",
                  .summary = "what is stored from files goes with TAG; may be repeated"},
    [WARM_TOP] = {.name = "top",
                  .type = BRISK_OPTION_U64,
                  .metavar = "N",
                  .summary = "at most N keys of a recording; 1000 without"},
    [WARM_PARALLEL] = {.name = "parallel",
                       .type = BRISK_OPTION_U64,
                       .metavar = "N",
                       .summary = "N at a time; 4 without"},
    [WARM_JSON] = {.name = "json", .summary = "report as one JSON object"},
};

/** A job of the pool: brisk_warm_run starts at most PARALLEL_MAX - 1 and waits for them. */
typedef struct warm_task {
    brisk_task task;
    void (*fn)(void *arg);
    void *arg;
} warm_task;

typedef struct warm {
    const brisk_invocation *invocation;
    brisk_cache *cache;
    brisk_executor *executor;
    FILE *list;
    uint64_t line_number;
    brisk_recording *recording;
    const brisk_tag *tags;
    uint32_t lasting;
    uint32_t tasks_used;
    warm_task tasks[PARALLEL_MAX];
    char line[BRISK_KEY_BYTES_MAX - 8];
    char bytes[BRISK_KEY_BYTES_MAX]; /* of the key that was read last, and its file behind it */
} warm;

static volatile sig_atomic_t stopped_by;

static void on_stop(int number)
{
    stopped_by = number;
}

static bool is_cancelled(void *ctx)
{
    (void)ctx;
    return stopped_by != 0;
}

static void run_task(brisk_task *task)
{
    warm_task *own = task->ctx;
    own->fn(own->arg);
}

static bool run_in_pool(void *ctx, void (*fn)(void *arg), void *arg)
{
    warm *w = ctx;
    if (w->tasks_used == PARALLEL_MAX) {
        return false;
    }
    warm_task *own = &w->tasks[w->tasks_used++];
    *own = (warm_task){.task = {.run = run_task, .ctx = own}, .fn = fn, .arg = arg};
    brisk_executor_submit(w->executor, &own->task);
    return true;
}

/* --- keys ---------------------------------------------------------------------------------- */

/**
 * "KEY" or "KEY<TAB>FILE".  The key's bytes are "cli:KEY", NUL, FILE: what follows the NUL is the
 * command's own and cut off before the cache sees it.
 */
static brisk_err next_of_list(void *ctx, brisk_key *ret)
{
    static const char name_space[] = "cli:";
    warm *w = ctx;
    size_t length = 0;
    do {
        if (fgets(w->line, sizeof w->line, w->list) == NULL) {
            return ferror(w->list) != 0 ? BRISK_ERR_IO : BRISK_ERR_NOT_FOUND;
        }
        w->line_number++;
        length = strlen(w->line);
        bool whole = (length > 0 && w->line[length - 1] == '\n') || feof(w->list) != 0;
        if (!whole || w->line[0] == '\t') { /* a NUL in it also ends here */
            (void)fprintf(w->invocation->err, "brisk: line %" PRIu64 ": no key, or too long\n",
                          w->line_number);
            return BRISK_ERR_INVALID;
        }
        while (length > 0 && (w->line[length - 1] == '\n' || w->line[length - 1] == '\r')) {
            w->line[--length] = '\0';
        }
    } while (length == 0 || w->line[0] == '#');
    size_t size = sizeof name_space - 1 + length;
    char *tab = strchr(w->line, '\t');
    if (tab != NULL) {
        *tab = '\0';
    }
    memcpy(w->bytes, name_space, sizeof name_space - 1);
    memcpy(w->bytes + sizeof name_space - 1, w->line, length);
    *ret = brisk_key_of(w->bytes, size);
    return BRISK_OK;
}

static brisk_err next_of_recording(void *ctx, brisk_key *ret)
{
    warm *w = ctx;
    brisk_record record;
    brisk_err err;
    do {
        err = brisk_recording_next(w->recording, &record);
    } while (err == BRISK_OK && (record.key == NULL || record.op != BRISK_RECORD_GET));
    if (err == BRISK_OK) {
        *ret = brisk_key_of(record.key, record.key_size);
    }
    return err;
}

/* --- one key ------------------------------------------------------------------------------- */

static brisk_err store_file(warm *w, const brisk_key *key, const char *path, uint64_t *bytes,
                            brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_value *value = NULL;
    brisk_err err = brisk_file_view_open(path, UINT64_C(1) << 40, &view, info);
    if (err != BRISK_OK) {
        return err != BRISK_ERR_NOT_FOUND ? err : BRISK_ERR_IO; /* a failure, not "no entry" */
    }
    err = brisk_value_copy(view.data, view.size, NULL, &value);
    brisk_file_view_close(&view);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    brisk_entry_opts opts = {.tags = w->tags, .tag_count = w->invocation->lists[WARM_TAG].count};
    *bytes = brisk_value_size(value);
    brisk_cache_put(w->cache, key, value, &opts);
    brisk_value_unref(value);
    return BRISK_OK;
}

/** Read it through, so that it is in the system's memory; checked like any other. */
static brisk_err warm_key(void *ctx, const brisk_key *key, bool *present, uint64_t *bytes,
                          brisk_errinfo *info)
{
    warm *w = ctx;
    const char *end = w->list != NULL ? memchr(key->bytes, 0, key->size) : NULL;
    brisk_key real = *key;
    if (end != NULL) {
        real = brisk_key_of(key->bytes, (size_t)(end - (const char *)key->bytes));
    }
    brisk_hit hit;
    bool found = brisk_cache_get(w->cache, &real, w->lasting, &hit);
    if (found) {
        uint32_t nearest = (uint32_t)__builtin_ctz(w->lasting);
        *present = hit.tier <= nearest;
        *bytes = brisk_value_size(hit.value);
        found = cache_hit_is_sound(w->cache, &real, &hit);
        brisk_value_unref(hit.value);
    }
    if (found) {
        return BRISK_OK;
    }
    if (end == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    char path[BRISK_KEY_BYTES_MAX + 1];
    size_t size = key->size - (size_t)(end + 1 - (const char *)key->bytes);
    memcpy(path, end + 1, size);
    path[size] = '\0';
    return store_file(w, &real, path, bytes, info);
}

/* --- report -------------------------------------------------------------------------------- */

static void print_progress(void *ctx, const brisk_warm_report *report)
{
    const warm *w = ctx;
    (void)fprintf(w->invocation->err, "\r%" PRIu64 " keys", report->items);
}

static void print_errors(const brisk_invocation *invocation, const brisk_warm_report *report)
{
    for (uint32_t i = 0; i < report->error_count; i++) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: %s: %s\n",
                      brisk_text_quote(quoted, report->errors[i].key), report->errors[i].text);
    }
}

static void print_report(FILE *out, const brisk_warm_report *report)
{
    char bytes[BRISK_TEXT_SHORT_MAX];
    char time[BRISK_TEXT_SHORT_MAX];
    brisk_text_bytes(bytes, report->bytes);
    brisk_text_duration(time, (double)report->elapsed_ns);
    (void)fprintf(out,
                  "%" PRIu64 " keys: %" PRIu64 " loaded, %" PRIu64 " present, %" PRIu64
                  " without entry, %" PRIu64 " failed; %s in %s\n",
                  report->items, report->loaded, report->present, report->none, report->failed,
                  bytes, time);
}

static void print_report_json(FILE *out, const brisk_warm_report *report)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "items", report->items);
    brisk_json_u64(&json, "loaded", report->loaded);
    brisk_json_u64(&json, "present", report->present);
    brisk_json_u64(&json, "none", report->none);
    brisk_json_u64(&json, "failed", report->failed);
    brisk_json_u64(&json, "bytes", report->bytes);
    brisk_json_u64(&json, "elapsed_ns", report->elapsed_ns);
    brisk_json_array_begin(&json, "errors");
    for (uint32_t i = 0; i < report->error_count; i++) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "key", report->errors[i].key);
        brisk_json_str(&json, "message", report->errors[i].text);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* main checks that the output arrived */
}

/* --- run ----------------------------------------------------------------------------------- */

static brisk_exit run_keys(warm *w, brisk_keys keys)
{
    const brisk_invocation *invocation = w->invocation;
    const brisk_option_value *parallel = &invocation->values[WARM_PARALLEL];
    brisk_background background = {.run = run_in_pool, .ctx = w};
    bool show = !invocation->quiet && !invocation->values[WARM_JSON].set && isatty(2) != 0;
    brisk_warm_opts opts = {
        .keys = keys,
        .warm = warm_key,
        .ctx = w,
        .background = &background,
        .parallel = parallel->set ? (uint32_t)parallel->number : 0,
        .cancelled = is_cancelled,
        .progress = show ? print_progress : NULL,
        .progress_every = 1000,
    };
    brisk_warm_report report = {0};
    brisk_err err = brisk_warm_run(&opts, &report);
    if (show) {
        (void)fputs("\r\033[K", invocation->err);
    }
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: cache warm: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    print_errors(invocation, &report);
    if (invocation->values[WARM_JSON].set) {
        print_report_json(invocation->out, &report);
    } else {
        print_report(invocation->out, &report);
    }
    if (stopped_by != 0) {
        return (brisk_exit)(EXIT_SIGNAL + stopped_by);
    }
    if (report.ended != BRISK_OK && report.ended != BRISK_ERR_INVALID) {
        (void)fprintf(invocation->err, "brisk: cache warm: the keys cannot be read: %s\n",
                      brisk_err_message(report.ended));
    }
    return report.failed == 0 && report.ended == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit run_list(warm *w, const char *path)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    bool is_stdin = strcmp(path, "-") == 0;
    w->list = is_stdin ? stdin : fopen(path, "re");
    if (w->list == NULL) {
        (void)fprintf(w->invocation->err, "brisk: %s: %s\n", brisk_text_quote(quoted, path),
                      strerror(errno));
        return BRISK_EXIT_FAILED;
    }
    brisk_exit status = run_keys(w, (brisk_keys){.next = next_of_list, .ctx = w});
    if (!is_stdin) {
        (void)fclose(w->list);
    }
    return status;
}

static brisk_exit run_recording(warm *w, const char *path)
{
    const brisk_option_value *top = &w->invocation->values[WARM_TOP];
    brisk_errinfo info = {0};
    brisk_recording_stats stats;
    brisk_err err = brisk_recording_open(path, NULL, &w->recording, &info);
    if (err != BRISK_OK) {
        (void)fprintf(w->invocation->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    brisk_recording_read_stats(w->recording, &stats);
    brisk_popular *popular = NULL;
    brisk_popular_opts opts = {.history = {.next = next_of_recording, .ctx = w},
                               .top = top->set ? (uint32_t)top->number : TOP_DEFAULT};
    err = stats.has_keys ? brisk_popular_create(&opts, &popular) : BRISK_ERR_UNSUPPORTED;
    brisk_recording_close(w->recording);
    if (err != BRISK_OK) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(w->invocation->err, "brisk: %s: %s\n", brisk_text_quote(quoted, path),
                      err == BRISK_ERR_UNSUPPORTED
                          ? "has hashes only; record with --keys to warm from it"
                          : brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    brisk_exit status = run_keys(w, brisk_keys_of_popular(popular));
    brisk_popular_destroy(popular);
    return status;
}

/** What is wrong with the arguments, or NULL. */
static const char *find_misuse(const brisk_invocation *invocation)
{
    const brisk_option_value *values = invocation->values;
    if ((invocation->argc == 1) == values[WARM_RECORD].set) {
        return "takes either a FILE or --from-record";
    }
    if (values[WARM_RECORD].set && values[WARM_TAG].set) {
        return "--tag is for what is stored from files";
    }
    if (values[WARM_TOP].set &&
        (values[WARM_TOP].number == 0 || values[WARM_TOP].number > TOP_MAX)) {
        return "--top takes 1 to 1048576";
    }
    if (values[WARM_PARALLEL].set &&
        (values[WARM_PARALLEL].number == 0 || values[WARM_PARALLEL].number > PARALLEL_MAX)) {
        return "--parallel takes 1 to 64";
    }
    return NULL;
}

static brisk_exit run_warm(const brisk_invocation *invocation)
{
    const char *misuse = find_misuse(invocation);
    if (misuse != NULL) {
        (void)fprintf(invocation->err, "brisk: cache warm: %s\n", misuse);
        return BRISK_EXIT_USAGE;
    }
    brisk_engine *engine = NULL;
    brisk_arena *arena = cli_arena(cli_of(invocation));
    warm *w = arena != NULL ? brisk_arena_calloc(arena, 1, sizeof *w) : NULL;
    if (w == NULL || invocation->engine(invocation, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    w->invocation = invocation;
    w->cache = brisk_engine_cache(engine);
    w->executor = brisk_engine_executor(engine);
    w->lasting = cache_lasting_tiers(w->cache);
    if (!cache_tags_make(invocation, &invocation->lists[WARM_TAG], &w->tags)) {
        return BRISK_EXIT_USAGE;
    }
    if (w->lasting == 0) {
        (void)fputs("brisk: cache warm: there is no tier that outlives this command\n",
                    invocation->err);
        return BRISK_EXIT_FAILED;
    }
    struct sigaction action = {.sa_flags = (int)SA_RESETHAND}; /* the second one ends it at once */
    action.sa_handler = on_stop;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return invocation->values[WARM_RECORD].set
               ? run_recording(w, invocation->values[WARM_RECORD].text)
               : run_list(w, invocation->argv[0]);
}

const brisk_command cmd_cache_warm = {
    .name = "warm",
    .group = "Cache",
    .synopsis = "FILE | --from-record FILE",
    .summary = "fill the nearer tiers before they are asked",
    .description =
        "FILE (or - for standard input) has a key in each line, or a key, a tab and the name of a "
        "file that is stored under it unless the key is there; lines that begin with # are left "
        "out. A key without a file is brought from the farther tiers to the nearest one that "
        "lasts, "
        "and what is on disk already into the system's memory.\n"
        "Exit code 1 when something failed; keys without an entry are no failure.",
    .examples = "brisk cache warm keys.txt\tthe keys of a list\n"
                "brisk cache warm --from-record today.rec --top 500\t"
                "what a recording has most often\n",
    .options = warm_options,
    .option_count = WARM_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run_warm,
};
