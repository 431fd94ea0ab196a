/*
 * cmd_stages.c -- `brisk profile --stages -- JOB`, `brisk profile stages WORKLOAD|FILE`, and --what-if.
 *
 * A job is run as what it is, a process of this program, which appends its stage tables to a file that this one
 * holds (engine.stage_log): a memory file, so that nothing is left behind.  Its standard output is the user's in the first
 * run, and thrown away in further ones; the report goes to standard error as that of `brisk profile` does, with
 * --json to standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/whatif.h>

#include "observe/profile/command.h"

extern char **environ;

enum {
    RUNS_MAX = BRISK_WHATIF_RUNS_MAX,
    HISTORY_RUNS = 200,
    RANKED_KEPT = 256,
    RANKED_SHOWN = 8,
    ARGS_MAX = 4096,
    LOG_BYTES_MAX = 256 << 20,
};

typedef struct stages {
    const brisk_invocation *in;
    brisk_stage_profile *profile;
    brisk_whatif_answer answers[RANKED_KEPT];
    char asked[BRISK_WHATIF_CHANGES_MAX]
              [BRISK_WHATIF_NAME_MAX + 32]; /* all changes of a question */
    uint32_t count;
    bool ranked;
    bool job; /* was run here; else its runs were kept */
} stages;

/* --- running a job ------------------------------------------------------------------------ */

static bool is_brisk(const char *word)
{
    const char *slash = strrchr(word, '/');
    return strcmp(slash != NULL ? slash + 1 : word, "brisk") == 0;
}

/* One run of the job, with its tables going to `log`; `quiet`: and its output nowhere. */
static brisk_exit run_job(const brisk_invocation *in, int log, bool quiet)
{
    char exe[] = "/proc/self/exe";
    char set[] = "--set";
    char setting[96];
    char *argv[ARGS_MAX + 4] = {exe, set, setting};
    int skip = is_brisk(in->argv[0]) ? 1 : 0;
    int count = 3;
    (void)snprintf(setting, sizeof setting, "engine.stage_log=/proc/%d/fd/%d", (int)getpid(), log);
    for (int i = skip; i < in->argc && count < ARGS_MAX + 3; i++) {
        argv[count++] = in->argv[i];
    }
    argv[count] = NULL;
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed == 0 && quiet) {
        failed =
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    }
    (void)fflush(in->out);
    failed = failed == 0 ? posix_spawn(&pid, exe, &actions, NULL, argv, environ) : failed;
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        brisk_errinfo info = {0};
        return prof_fail(in, brisk_errinfo_set_errno(&info, failed, "the job"), &info);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        (void)fprintf(in->err, "brisk: profile: the job failed (%s %d)\n",
                      WIFEXITED(status) ? "exit code" : "signal",
                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

/* All that stands in `fd`, into the profile; `name` for errors. */
static brisk_err add_file(stages *s, int fd, const char *name, brisk_errinfo *info)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", name);
    }
    if (st.st_size > LOG_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than 256 MiB", name);
    }
    size_t size = (size_t)st.st_size;
    const brisk_alloc *alloc = brisk_alloc_libc();
    char *text = alloc->acquire(alloc->ctx, size + 1, 1);
    if (text == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: no memory to read it", name);
    }
    brisk_err err = brisk_file_pread_all(fd, text, size, 0);
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(info, err, "%s: %s", name, brisk_err_message(err));
    } else {
        err = brisk_stage_profile_add_log(s->profile, name, text, size, info);
    }
    alloc->release(alloc->ctx, text, size + 1, 1);
    return err;
}

/* Beyond a second, on a terminal: how far it is. */
static void tell_progress(const brisk_invocation *in, uint64_t done, uint64_t runs,
                          uint64_t start_ns)
{
    bool wanted = !in->quiet && isatty(fileno(in->err)) == 1 && runs > 1;
    if (wanted && brisk_clock_now_ns(NULL) - start_ns > UINT64_C(1000000000)) {
        (void)fprintf(in->err, "\rrun %" PRIu64 " of %" PRIu64 "%s", done, runs,
                      done == runs ? "\n" : "");
        (void)fflush(in->err);
    }
}

static brisk_exit record_job(stages *s, uint64_t runs)
{
    const brisk_invocation *in = s->in;
    brisk_errinfo info = {0};
    if (in->argc > ARGS_MAX || (in->argc == 1 && is_brisk(in->argv[0]))) {
        (void)fprintf(in->err, "brisk: profile: --stages needs a job of brisk behind --\n");
        return BRISK_EXIT_USAGE;
    }
    int log = memfd_create("brisk-stages", MFD_CLOEXEC);
    if (log < 0) {
        return prof_fail(in, brisk_errinfo_set_errno(&info, errno, "stage tables"), &info);
    }
    uint64_t start_ns = brisk_clock_now_ns(NULL);
    bool silent = in->values[PROF_OPTION_JSON].set;
    brisk_exit result = BRISK_EXIT_OK;
    for (uint64_t i = 0; i < runs && result == BRISK_EXIT_OK; i++) {
        result = run_job(in, log, silent || i > 0);
        tell_progress(in, i + 1, runs, start_ns);
    }
    if (result == BRISK_EXIT_OK) {
        brisk_err err = add_file(s, log, "stages", &info);
        result = err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, &info);
    }
    (void)close(log);
    if (result == BRISK_EXIT_OK && brisk_stage_profile_count(s->profile) == 0) {
        (void)fprintf(in->err, "brisk: profile: the command ran no job with stages\n");
        return BRISK_EXIT_FAILED;
    }
    return result;
}

/* --- runs that were kept ------------------------------------------------------------------ */

static brisk_err open_history(bool read_only, brisk_history **ret, brisk_errinfo *info)
{
    brisk_history_opts opts = {.read_only = read_only};
    return brisk_history_open(&opts, ret, info);
}

static brisk_err add_kept(stages *s, const char *workload, uint64_t run, brisk_errinfo *info)
{
    brisk_history *history = NULL;
    brisk_err err = open_history(false, &history, info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_history_filter filter = {
        .id = run,
        .name = run != 0 ? NULL : workload,
        .machine = run != 0 ? NULL : brisk_history_machine(),
        .limit = HISTORY_RUNS,
        .newest_first = true,
    };
    err = brisk_stage_profile_add_history(s->profile, history, &filter, info);
    brisk_history_close(history);
    return err;
}

static brisk_err add_path(stages *s, const char *path, brisk_errinfo *info)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    brisk_err err = add_file(s, fd, path, info);
    (void)close(fd);
    if (err == BRISK_OK && brisk_stage_profile_count(s->profile) == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: no stage tables", path);
    }
    return err;
}

/* --- what if ------------------------------------------------------------------------------ */

/* "a:2x,workers=4" is one question with two changes. */
static brisk_err ask(stages *s, const char *text, brisk_errinfo *info)
{
    brisk_whatif_change changes[BRISK_WHATIF_CHANGES_MAX];
    char copy[1024];
    uint32_t count = 0;
    char *rest = NULL;
    if (strlen(text) >= sizeof copy || s->count == BRISK_WHATIF_CHANGES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "--what-if: too many, or too long");
    }
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (count == BRISK_WHATIF_CHANGES_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "--what-if: too many changes");
        }
        brisk_err err = brisk_whatif_parse(word, &changes[count++], info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    (void)snprintf(s->asked[s->count], sizeof s->asked[0], "%.90s", text);
    return brisk_whatif_ask(s->profile, changes, count, NULL, &s->answers[s->count++], info);
}

/* The questions, or a ranking of all single changes. */
static brisk_err answer(stages *s, brisk_errinfo *info)
{
    const brisk_option_list *list = &s->in->lists[PROF_OPTION_WHAT_IF];
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < list->count && err == BRISK_OK; i++) {
        err = ask(s, list->texts[i], info);
    }
    if (list->count == 0) {
        s->ranked = true;
        err = brisk_whatif_rank(s->profile, NULL, s->answers, RANKED_KEPT, &s->count, info);
        if (err == BRISK_ERR_NOT_FOUND) {
            s->count = 0; /* answered by a cache: there is a profile, but nothing to ask */
            err = BRISK_OK;
        }
    }
    return err;
}

static const char *change_text(const stages *s, uint32_t index, char buffer[128])
{
    if (!s->ranked) {
        return s->asked[index];
    }
    brisk_whatif_format(&s->answers[index].change, buffer, 128);
    return buffer;
}

static void print_answers(const stages *s, FILE *out)
{
    if (s->count == 0) {
        (void)fprintf(
            out, "\nNo run computed every stage, so that nothing can be asked: run the job with "
                 "--no-cache.\n");
        return;
    }
    (void)fprintf(out, "\n%-32s %8s  %-18s %s\n", "What if", "saves", "between", "time");
    for (uint32_t i = 0; i < s->count && (!s->ranked || i < RANKED_SHOWN); i++) {
        const brisk_whatif_answer *a = &s->answers[i];
        char change[128];
        char interval[64] = "one run";
        if (!isnan(a->low)) {
            (void)snprintf(interval, sizeof interval, "%.1f .. %.1f %%", a->low * 100,
                           a->high * 100);
        }
        (void)fprintf(out, "%-32s %6.1f %%  %-18s %.3f -> %.3f ms\n", change_text(s, i, change),
                      a->gain * 100, isnan(a->low) && a->runs > 1 ? "few runs" : interval,
                      a->before_ns / 1e6, a->after_ns / 1e6);
    }
    const brisk_whatif_answer *first = &s->answers[0];
    (void)fprintf(out, "From %u run%s, replayed within %.1f %% of what was measured.%s\n",
                  first->runs, first->runs == 1 ? "" : "s", first->replay_error * 100,
                  first->runs < 5 ? "  --runs 10 gives intervals." : "");
}

static void json_answers(const stages *s, brisk_json *json)
{
    brisk_json_array_begin(json, "what_if");
    for (uint32_t i = 0; i < s->count; i++) {
        const brisk_whatif_answer *a = &s->answers[i];
        char change[128];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "change", change_text(s, i, change));
        brisk_json_double(json, "gain", a->gain);
        brisk_json_double(json, "gain_low", a->low);
        brisk_json_double(json, "gain_high", a->high);
        brisk_json_double(json, "before_ns", a->before_ns);
        brisk_json_double(json, "after_ns", a->after_ns);
        brisk_json_double(json, "replay_error", a->replay_error);
        brisk_json_u64(json, "runs", a->runs);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

/* --- the command -------------------------------------------------------------------------- */

static brisk_err write_report(const stages *s)
{
    const brisk_invocation *in = s->in;
    if (in->values[PROF_OPTION_JSON].set) {
        brisk_json json;
        brisk_json_init(&json, brisk_out_file(in->out), 2);
        brisk_json_object_begin(&json, NULL);
        brisk_err err = brisk_stage_profile_write_json(s->profile, &json);
        json_answers(s, &json);
        brisk_json_object_end(&json);
        brisk_err finished = brisk_json_finish(&json);
        return err != BRISK_OK ? err : finished;
    }
    /* What was kept is the command's own output; a job has its output before it. */
    FILE *out = s->job ? in->err : in->out;
    brisk_err err = brisk_stage_profile_write_text(s->profile, brisk_out_file(out));
    if (err == BRISK_OK) {
        print_answers(s, out);
    }
    return err;
}

/* What is kept is a ranking, whatever was asked and shown before. */
static brisk_err keep(stages *s, brisk_errinfo *info)
{
    brisk_history *history = NULL;
    uint32_t count = 0;
    brisk_err err = BRISK_OK;
    if (!s->ranked) {
        err = brisk_whatif_rank(s->profile, NULL, s->answers, RANKED_KEPT, &s->count, info);
    }
    if (err == BRISK_OK) {
        err = open_history(false, &history, info);
    }
    if (err == BRISK_OK) {
        err = brisk_whatif_remember(s->profile, s->answers, s->count, history, &count, info);
    }
    brisk_history_close(history);
    if (err == BRISK_OK && !s->in->quiet) {
        (void)fprintf(s->in->err, "brisk: profile: %u opportunit%s kept in the history\n", count,
                      count == 1 ? "y" : "ies");
    }
    return err;
}

static brisk_exit deliver(stages *s)
{
    brisk_errinfo info = {0};
    brisk_err err = answer(s, &info);
    if (err == BRISK_OK) {
        err = write_report(s);
    }
    if (err == BRISK_OK && s->in->values[PROF_OPTION_KEEP].set) {
        err = keep(s, &info);
    }
    return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(s->in, err, &info);
}

static brisk_exit usage(const brisk_invocation *in, const char *what)
{
    (void)fprintf(in->err, "brisk: profile: %s\n", what);
    return BRISK_EXIT_USAGE;
}

/* Before anything is run: are the questions questions? */
static brisk_exit check_questions(const brisk_invocation *in)
{
    const brisk_option_list *list = &in->lists[PROF_OPTION_WHAT_IF];
    if (list->count > BRISK_WHATIF_CHANGES_MAX) {
        return usage(in, "too many --what-if");
    }
    for (uint32_t i = 0; i < list->count; i++) {
        char copy[1024];
        char *rest = NULL;
        (void)snprintf(copy, sizeof copy, "%s", list->texts[i]);
        char *word = strtok_r(copy, ",", &rest);
        for (; word != NULL; word = strtok_r(NULL, ",", &rest)) {
            brisk_whatif_change change;
            brisk_errinfo info = {0};
            if (brisk_whatif_parse(word, &change, &info) != BRISK_OK) {
                return usage(in, info.text);
            }
        }
    }
    return BRISK_EXIT_OK;
}

brisk_exit prof_run_stages(const brisk_invocation *in)
{
    bool job = in->argc_before_dashes == 0 || strcmp(in->argv[0], "stages") != 0;
    uint64_t run = in->values[PROF_OPTION_RUN].number;
    uint64_t runs = in->values[PROF_OPTION_RUNS].set ? in->values[PROF_OPTION_RUNS].number : 1;
    if (job && (in->argc == 0 || in->values[PROF_OPTION_RUN].set)) {
        return usage(in, "--stages needs a job of brisk behind --");
    }
    if (!job && (in->argc != 2) == (run == 0)) {
        return usage(in, "stages needs a WORKLOAD, a FILE with a '/' in its name, or --run ID");
    }
    if (runs < 1 || runs > RUNS_MAX) {
        return usage(in, "--runs is from 1 to 1000");
    }
    brisk_exit result = check_questions(in);
    if (result != BRISK_EXIT_OK) {
        return result;
    }
    const brisk_alloc *alloc = brisk_alloc_libc();
    stages *s = alloc->acquire(alloc->ctx, sizeof *s, _Alignof(stages));
    brisk_errinfo info = {0};
    if (s == NULL) {
        return prof_fail(in, BRISK_ERR_NOMEM, NULL);
    }
    memset(s, 0, sizeof *s);
    s->in = in;
    s->job = job;
    brisk_err err = brisk_stage_profile_create(NULL, &s->profile);
    if (err == BRISK_OK && job) {
        result = record_job(s, runs);
    } else if (err == BRISK_OK) {
        bool path = in->argc > 1 && strchr(in->argv[1], '/') != NULL;
        err = path ? add_path(s, in->argv[1], &info)
                   : add_kept(s, in->argc > 1 ? in->argv[1] : NULL, run, &info);
    }
    result = err != BRISK_OK ? prof_fail(in, err, &info) : result;
    result = result == BRISK_EXIT_OK ? deliver(s) : result;
    brisk_stage_profile_destroy(s->profile);
    alloc->release(alloc->ctx, s, sizeof *s, _Alignof(stages));
    return result;
}
