/*
 * cmd_cache_record.c -- `brisk cache record`: record what COMMAND, or a server's clients, ask the cache for.
 *
 * The recording itself is made by every brisk engine that COMMAND runs: here the knobs are set in
 * its environment, and the file is tried before.  COMMAND keeps its streams and its terminal; the
 * exit code is its own.  Signals that ask to stop are passed on, and the end is awaited.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/json.h>
#include <brisk/record.h>
#include <brisk/text.h>

#include "cli/cache_entry.h"
#include "cli/commands.h"
#include "cli/node.h"

enum {
    RECORD_OUTPUT,
    RECORD_KEYS,
    RECORD_BYTES,
    RECORD_PRINT,
    RECORD_JSON,
    RECORD_NODE,
    RECORD_START,
    RECORD_STOP,
    RECORD_STATUS,
    RECORD_PASSWORD,
    RECORD_COUNT,
};

enum { EXIT_NO_COMMAND = 127, EXIT_SIGNAL = 128, NUMBER_MAX = 32, PATH_BYTES = 4096 };

static const brisk_option record_options[RECORD_COUNT] = {
    [RECORD_OUTPUT] = {.name = "output",
                       .letter = 'o',
                       .type = BRISK_OPTION_FILE,
                       .metavar = "FILE",
                       .summary = "the recording; appended to when it is one"},
    [RECORD_KEYS] = {.name = "keys", .summary = "the keys too, not only their hashes"},
    [RECORD_BYTES] = {.name = "bytes",
                      .type = BRISK_OPTION_BYTES,
                      .metavar = "SIZE",
                      .summary = "most bytes of FILE; 1 GiB without"},
    [RECORD_PRINT] = {.name = "print",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "show a recording instead"},
    [RECORD_JSON] = {.name = "json", .summary = "with --print: the sums as one JSON object"},
    [RECORD_NODE] = {.name = "node",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "HOST:PORT",
                     .summary = "let a running 'brisk serve' record, also the path of its unix "
                                "socket (" NODE_DEFAULT ")"},
    [RECORD_START] = {.name = "start",
                      .type = BRISK_OPTION_TEXT,
                      .metavar = "NAME",
                      .summary = "the server begins, in its serve.record_dir"},
    [RECORD_STOP] = {.name = "stop", .summary = "the server ends its recording"},
    [RECORD_STATUS] = {.name = "status", .summary = "how the server's recording goes, as JSON"},
    [RECORD_PASSWORD] = {.name = "password-file",
                         .type = BRISK_OPTION_FILE,
                         .metavar = "FILE",
                         .summary = "the server's password is its first line"},
};

/* --- print --------------------------------------------------------------------------------- */

static const char *op_name(const brisk_record *record)
{
    switch (record->op) {
    case BRISK_RECORD_GET: return record->hit ? "hit" : "miss";
    case BRISK_RECORD_PUT: return "put";
    case BRISK_RECORD_REMOVE: return "remove";
    }
    return "?";
}

/** Not a byte of a key obeys the terminal: what is not plain ASCII is escaped, blanks too. */
static void print_key(FILE *out, const brisk_record *record)
{
    const unsigned char *bytes = record->key;
    for (size_t i = 0; i < record->key_size; i++) {
        if (bytes[i] <= 0x20 || bytes[i] >= 0x7f || bytes[i] == '\\') {
            (void)fprintf(out, "\\x%02x", bytes[i]);
        } else {
            (void)fputc(bytes[i], out);
        }
    }
}

/** HASH SIZE TIME OPERATION TIER [KEY]: the first two are what trace readers want. */
static void print_record(FILE *out, const brisk_record *record)
{
    (void)fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 ".%09" PRIu64 " %s ", record->hash,
                  record->size, record->time_ns / 1000000000, record->time_ns % 1000000000,
                  op_name(record));
    if (record->tier != UINT32_MAX) {
        (void)fprintf(out, "%" PRIu32, record->tier);
    } else {
        (void)fputc('-', out);
    }
    if (record->key != NULL) {
        (void)fputc(' ', out);
        print_key(out, record);
    }
    (void)fputc('\n', out);
}

static void print_sums(const brisk_invocation *invocation, const brisk_recording_stats *stats,
                       uint64_t hits)
{
    if (!invocation->values[RECORD_JSON].set) {
        if (stats->damaged > 0 || stats->torn || stats->dropped > 0) {
            (void)fprintf(invocation->err,
                          "brisk: %" PRIu64 " requests were lost by the recorder, %" PRIu64
                          " damaged blocks were left out%s\n",
                          stats->dropped, stats->damaged,
                          stats->torn ? ", the last one is not whole" : "");
        }
        return;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(invocation->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "records", stats->records);
    brisk_json_u64(&json, "hits", hits);
    brisk_json_u64(&json, "blocks", stats->blocks);
    brisk_json_u64(&json, "dropped", stats->dropped);
    brisk_json_u64(&json, "damaged", stats->damaged);
    brisk_json_bool(&json, "torn", stats->torn);
    brisk_json_bool(&json, "keys", stats->has_keys);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* main checks that the output arrived */
}

static brisk_exit print_recording(const brisk_invocation *invocation, const char *path)
{
    brisk_recording *recording = NULL;
    brisk_errinfo info = {0};
    if (brisk_recording_open(path, NULL, &recording, &info) != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    brisk_record record;
    uint64_t hits = 0;
    brisk_err err = BRISK_OK;
    while (ferror(invocation->out) == 0 &&
           (err = brisk_recording_next(recording, &record)) == BRISK_OK) {
        hits += record.hit ? 1 : 0;
        if (!invocation->values[RECORD_JSON].set) {
            print_record(invocation->out, &record);
        }
    }
    brisk_recording_stats stats;
    brisk_recording_read_stats(recording, &stats);
    brisk_recording_close(recording);
    if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
        (void)fprintf(invocation->err, "brisk: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    print_sums(invocation, &stats, hits);
    return BRISK_EXIT_OK;
}

/* --- record -------------------------------------------------------------------------------- */

static uint64_t records_of(const char *path, brisk_recording_stats *stats)
{
    brisk_recording *recording = NULL;
    brisk_record record;
    *stats = (brisk_recording_stats){.records = 0};
    if (brisk_recording_open(path, NULL, &recording, NULL) != BRISK_OK) {
        return 0;
    }
    while (brisk_recording_next(recording, &record) == BRISK_OK) {
    }
    brisk_recording_read_stats(recording, stats);
    brisk_recording_close(recording);
    return stats->records;
}

/** The file can be made, and is or becomes a recording. */
static bool try_file(const brisk_invocation *invocation, const char *path)
{
    brisk_recorder *recorder = NULL;
    brisk_errinfo info = {0};
    brisk_recorder_opts opts = {.path = path, .keys = invocation->values[RECORD_KEYS].set};
    brisk_err err = brisk_recorder_create(&opts, &recorder, &info);
    if (err == BRISK_OK) {
        err = brisk_recorder_destroy(recorder, &info);
    }
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: %s\n", info.text);
    }
    return err == BRISK_OK;
}

/** COMMAND may change its folder: the file is named from the root. */
static bool set_knobs(const brisk_invocation *invocation, const char *path)
{
    char whole[PATH_BYTES];
    char number[NUMBER_MAX];
    static_assert(PATH_BYTES >= PATH_MAX, "what realpath may write");
    bool fits = realpath(path, whole) != NULL;
    const brisk_option_value *bytes = &invocation->values[RECORD_BYTES];
    (void)snprintf(number, sizeof number, "%" PRIu64, bytes->number);
    bool set = fits && setenv("BRISK_CACHE_RECORD_PATH", whole, 1) == 0 &&
               setenv("BRISK_CACHE_RECORD_KEYS", invocation->values[RECORD_KEYS].set ? "on" : "off",
                      1) == 0 &&
               (!bytes->set || setenv("BRISK_CACHE_RECORD_BYTES", number, 1) == 0);
    if (!set) {
        (void)fprintf(invocation->err, "brisk: cache record: the environment cannot be set\n");
    }
    return set;
}

static volatile sig_atomic_t child;

static void pass_on(int number)
{
    if (child > 0) {
        (void)kill((pid_t)child, number);
    }
}

/**
 * From a terminal the child gets its signals itself, and once more does no harm; `kill` reaches us
 * alone.  What whoever started us wants ignored stays so.
 */
static void pass_signals_on(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            action = (struct sigaction){.sa_flags = SA_RESTART};
            action.sa_handler = pass_on;
            (void)sigaction(signals[i], &action, NULL);
        }
    }
}

static int spawn(char *const *words, pid_t *ret)
{
    posix_spawnattr_t attributes;
    sigset_t defaults;
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE); /* main ignores these two */
    (void)sigaddset(&defaults, SIGXFSZ);
    int failed = posix_spawnattr_init(&attributes);
    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_setsigdefault(&attributes, &defaults);
    failed = failed == 0 ? posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF) : failed;
    failed = failed == 0 ? posix_spawnp(ret, words[0], NULL, &attributes, words, environ) : failed;
    (void)posix_spawnattr_destroy(&attributes);
    return failed;
}

static brisk_exit run_command(const brisk_invocation *invocation)
{
    pid_t pid = -1;
    int status = 0;
    /* Words stand at the beginning of the program's own, with others behind them. */
    size_t count = (size_t)invocation->argc;
    brisk_arena *arena = cli_arena(cli_of(invocation));
    char **words = arena != NULL ? brisk_arena_calloc(arena, count + 1, sizeof *words) : NULL;
    if (words == NULL) {
        return BRISK_EXIT_FAILED;
    }
    memcpy(words, invocation->argv, count * sizeof *words);
    (void)fflush(NULL);
    int failed = spawn(words, &pid);
    if (failed != 0) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: cache record: '%s': %s\n",
                      brisk_text_quote(quoted, invocation->argv[0]), strerror(failed));
        return (brisk_exit)EXIT_NO_COMMAND;
    }
    child = pid;
    pass_signals_on();
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return BRISK_EXIT_FAILED;
        }
    }
    child = 0;
    return (brisk_exit)(WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status));
}

/* --- a server ------------------------------------------------------------------------------ */

static bool is_for_server(const brisk_option_value *values)
{
    return values[RECORD_NODE].set || values[RECORD_START].set || values[RECORD_STOP].set ||
           values[RECORD_STATUS].set || values[RECORD_PASSWORD].set;
}

static brisk_exit ask_server(const brisk_invocation *invocation)
{
    const brisk_option_value *values = invocation->values;
    int wishes = values[RECORD_START].set + values[RECORD_STOP].set + values[RECORD_STATUS].set;
    bool sized = values[RECORD_KEYS].set || values[RECORD_BYTES].set;
    if (wishes != 1 || invocation->argc != 0 || values[RECORD_OUTPUT].set ||
        values[RECORD_PRINT].set || values[RECORD_JSON].set ||
        (sized && !values[RECORD_START].set)) {
        (void)fputs("brisk: cache record: of a server takes --start NAME [--keys] [--bytes SIZE], "
                    "--stop or --status\n",
                    invocation->err);
        return BRISK_EXIT_USAGE;
    }
    cli_node node = {
        .address = values[RECORD_NODE].set ? values[RECORD_NODE].text : NODE_DEFAULT,
        .password_file = values[RECORD_PASSWORD].set ? values[RECORD_PASSWORD].text : NULL,
    };
    char bytes[NUMBER_MAX];
    const char *words[7] = {"BRISK.RECORD"};
    uint32_t count = 1;
    words[count++] = values[RECORD_START].set  ? "START"
                     : values[RECORD_STOP].set ? "STOP"
                                               : "STATUS";
    if (values[RECORD_START].set) {
        words[count++] = values[RECORD_START].text;
    }
    if (values[RECORD_KEYS].set) {
        words[count++] = "KEYS";
    }
    if (values[RECORD_BYTES].set) {
        (void)snprintf(bytes, sizeof bytes, "%" PRIu64, values[RECORD_BYTES].number);
        words[count++] = "BYTES";
        words[count++] = bytes;
    }
    const char *text = node_ask(invocation, &node, words, count);
    if (text != NULL && values[RECORD_STATUS].set) {
        (void)fputs(text, invocation->out);
    }
    return text != NULL ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit run_record(const brisk_invocation *invocation)
{
    const brisk_option_value *values = invocation->values;
    if (is_for_server(values)) {
        return ask_server(invocation);
    }
    if (values[RECORD_PRINT].set && !values[RECORD_OUTPUT].set && invocation->argc == 0) {
        return print_recording(invocation, values[RECORD_PRINT].text);
    }
    if (!values[RECORD_OUTPUT].set || invocation->argc == 0 || values[RECORD_PRINT].set ||
        values[RECORD_JSON].set) {
        (void)fputs("brisk: cache record: takes -o FILE and a COMMAND, or --print FILE\n",
                    invocation->err);
        return BRISK_EXIT_USAGE;
    }
    const char *path = values[RECORD_OUTPUT].text;
    if (!try_file(invocation, path) || !set_knobs(invocation, path)) {
        return BRISK_EXIT_FAILED;
    }
    brisk_recording_stats stats;
    uint64_t before = records_of(path, &stats);
    uint64_t dropped = stats.dropped;
    brisk_exit status = run_command(invocation);
    uint64_t after = records_of(path, &stats);
    if (!invocation->quiet) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err,
                      "brisk: recorded %" PRIu64 " request%s in '%s', lost %" PRIu64 "\n",
                      after - before, after - before == 1 ? "" : "s",
                      brisk_text_quote(quoted, path), stats.dropped - dropped);
    }
    return status;
}

const brisk_command cmd_cache_record = {
    .name = "record",
    .group = "Cache",
    .synopsis = "-o FILE -- COMMAND [ARGUMENT...] | --print FILE | --start NAME",
    .summary = "record what a command asks the cache for",
    .description =
        "COMMAND is run as it is, with cache.record.path and its neighbours in the environment: "
        "whatever brisk job it starts appends to FILE, several at once too. A recording "
        "has times, hashes, sizes and what answered; with --keys, which may be private, also the "
        "keys. The exit code is COMMAND's.\n"
        "--start lets a running 'brisk serve' begin a recording NAME in the folder of its knob "
        "serve.record_dir, --stop end it; --node says which server.\n"
        "--print shows a recording, one request in a line: hash, size, time, what happened, tier, "
        "key.",
    .examples = "brisk cache record -o day.rec -- brisk rom apply game.sfc mod.bps -o out.sfc\t"
                "record one job\n"
                "brisk cache record --print day.rec --json\tits sums\n"
                "brisk cache record --start day.rec\tthe server at " NODE_DEFAULT " records\n",
    .options = record_options,
    .option_count = RECORD_COUNT,
    .args_min = 0,
    .args_max = -1,
    .run = run_record,
};
