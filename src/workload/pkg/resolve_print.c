/*
 * resolve_print.c -- the end of a resolution in words and as JSON, and a line while it runs.
 *
 * Threads: the line is a thread's own, which reads two atomics of the job and nothing else.
 */
#include "workload/pkg/resolve_print.h"

#include <pthread.h>
#include <time.h>

#include <brisk/text.h>

#include "workload/pkg/report.h"

/* --- words ------------------------------------------------------------------------------------ */

static void print_skipped(FILE *out, const pkg_resolve_job *job)
{
    for (uint32_t i = 0; i < job->skipped_count; i++) {
        const pkg_skipped *s = &job->skipped[i];
        time_t seconds = (time_t)(s->published_ms / 1000);
        struct tm tm;
        char date[16] = "?";
        if (gmtime_r(&seconds, &tm) != NULL) {
            (void)strftime(date, sizeof date, "%Y-%m-%d", &tm);
        }
        (void)fputs("  too young: ", out);
        pkg_put(out, s->name);
        (void)fputc(' ', out);
        pkg_put(out, s->version);
        (void)fprintf(out, " (%s)%s", date,
                      s->taken.size > 0 ? ", taken: " : ", and nothing older fits");
        pkg_put(out, s->taken);
        (void)fputc('\n', out);
    }
}

/* Installing from git builds; resolving does not. */
static void print_unbuilt(FILE *out, const pkg_resolve_job *job)
{
    for (uint32_t i = 0; job->remote != NULL && i < pkg_remote_note_count(job->remote); i++) {
        (void)fputs("  not built: ", out);
        pkg_put(out, pkg_remote_note(job->remote, i));
        (void)fputs(" has scripts that are run when it is installed from git\n", out);
    }
}

/* Why there is no answer, and what would help. */
static void print_advice(FILE *out, const pkg_advice *advice)
{
    for (uint32_t i = 0; i < advice->proof.count; i++) {
        (void)fputs("  ", out);
        pkg_put(out, pkg_text_of(advice->proof.items[i]));
        (void)fputc('\n', out);
    }
    if (advice->text != NULL) {
        (void)fputs("  What helps (tried): ", out);
        pkg_put(out, pkg_text_of(advice->text));
        (void)fputs(".\n", out);
    }
}

static pkg_fetch_stats stats_of(const pkg_resolve_job *job)
{
    pkg_fetch_stats stats = {0};
    if (job->fetch != NULL) {
        pkg_fetch_read_stats(job->fetch, &stats);
    }
    return stats;
}

static void print_done(const resolve_told *told, brisk_job *job, const pkg_resolve_job *state)
{
    FILE *out = told->in->out;
    char time[BRISK_TEXT_SHORT_MAX];
    pkg_fetch_stats stats = stats_of(state);
    brisk_text_duration(time, (double)brisk_job_elapsed_ns(job));
    pkg_put(out, pkg_text_of(state->inputs->lock_path));
    (void)fprintf(out, ": %u package%s, %s, %s", state->facts.packages,
                  state->facts.packages == 1 ? "" : "s",
                  state->unchanged          ? "unchanged"
                  : state->request->dry_run ? "not written (--dry-run)"
                                            : "written",
                  time);
    const char *tier = brisk_job_answered_by(job);
    if (tier != NULL) {
        (void)fprintf(out, " (answered by %s)\n", tier);
    } else {
        (void)fprintf(out, " (%llu of %llu from the store, %llu request%s)\n",
                      (unsigned long long)stats.from_store, (unsigned long long)stats.asked,
                      (unsigned long long)stats.requests, stats.requests == 1 ? "" : "s");
    }
    print_skipped(out, state);
    print_unbuilt(out, state);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_stats(brisk_json *json, const pkg_fetch_stats *s)
{
    brisk_json_object_begin(json, "fetch");
    brisk_json_u64(json, "asked", s->asked);
    brisk_json_u64(json, "from_store", s->from_store);
    brisk_json_u64(json, "confirmed", s->confirmed);
    brisk_json_u64(json, "fetched", s->fetched);
    brisk_json_u64(json, "missing", s->missing);
    brisk_json_u64(json, "guessed", s->guessed);
    brisk_json_u64(json, "requests", s->requests);
    brisk_json_u64(json, "refetched", s->refetched);
    brisk_json_u64(json, "rounds", s->rounds);
    brisk_json_u64(json, "waits", s->waits);
    brisk_json_u64(json, "waited_ns", s->waited_ns);
    brisk_json_u64(json, "bytes_wire", s->bytes_wire);
    brisk_json_object_end(json);
}

static void json_skipped(brisk_json *json, const pkg_resolve_job *state)
{
    brisk_json_array_begin(json, "too_young");
    for (uint32_t i = 0; i < state->skipped_count; i++) {
        const pkg_skipped *s = &state->skipped[i];
        brisk_json_object_begin(json, NULL);
        pkg_json_put(json, "name", s->name);
        pkg_json_put(json, "version", s->version);
        pkg_json_put(json, "taken", s->taken);
        brisk_json_i64(json, "published_ms", s->published_ms);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void json_advice(brisk_json *json, const pkg_advice *advice)
{
    static const char *const changes[] = {[PKG_CHANGE_NONE] = "none",
                                          [PKG_CHANGE_VERSION] = "version",
                                          [PKG_CHANGE_OVERRIDE] = "override"};
    brisk_json_array_begin(json, "proof");
    for (uint32_t i = 0; i < advice->proof.count; i++) {
        brisk_json_str(json, NULL, advice->proof.items[i]);
    }
    brisk_json_array_end(json);
    brisk_json_object_begin(json, "fix");
    brisk_json_str(json, "change", changes[advice->change]);
    if (advice->change != PKG_CHANGE_NONE) {
        pkg_json_put(json, "name", advice->name);
        pkg_json_put(json, "from", advice->from);
        pkg_json_put(json, "to", advice->to);
        brisk_json_str(json, "text", advice->text);
    }
    brisk_json_object_end(json);
}

void resolve_json_result(brisk_json *json, const pkg_resolve_job *state, brisk_err err)
{
    if (err == BRISK_ERR_CONFLICT || state->advice.proof.count > 0) {
        json_advice(json, &state->advice);
    }
    brisk_json_u64(json, "packages", state->facts.packages);
    brisk_json_u64(json, "groups", state->facts.groups);
    brisk_json_u64(json, "critical_path", state->facts.critical);
    brisk_json_bool(json, "unchanged", state->unchanged);
}

void resolve_json_fetched(brisk_json *json, const pkg_resolve_job *state)
{
    pkg_fetch_stats stats = stats_of(state);
    json_stats(json, &stats);
    json_skipped(json, state);
}

static brisk_exit print_json(const resolve_told *told, brisk_job *job, brisk_err err)
{
    const pkg_resolve_job *state = brisk_job_state(job);
    brisk_json json;
    pkg_json_begin(&json, told->in, state->inputs != NULL ? state->inputs->lock_path : "");
    brisk_json_bool(&json, "ok", err == BRISK_OK);
    if (err != BRISK_OK) {
        brisk_json_str(&json, "error", brisk_err_name(err));
        brisk_json_str(&json, "message", brisk_job_error_text(job));
    }
    resolve_json_result(&json, state, err);
    brisk_json_bool(&json, "written", state->written);
    brisk_json_u64(&json, "elapsed_ns", brisk_job_elapsed_ns(job));
    if (brisk_job_answered_by(job) != NULL) {
        brisk_json_str(&json, "answered_by", brisk_job_answered_by(job));
    }
    resolve_json_fetched(&json, state);
    if (told->profile) {
        brisk_job_write_report_json(job, &json);
    }
    return pkg_json_end(&json, err == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED);
}

brisk_exit resolve_print(const resolve_told *told, brisk_job *job, brisk_err err)
{
    const pkg_resolve_job *state = brisk_job_state(job);
    if (err != BRISK_OK) {
        (void)fputs("brisk: ", told->in->err);
        pkg_put(told->in->err, pkg_text_of(brisk_job_error_text(job)));
        (void)fputc('\n', told->in->err);
        print_advice(told->in->err, &state->advice);
    }
    if (told->json) {
        return print_json(told, job, err);
    }
    if (err != BRISK_OK) {
        print_skipped(told->in->err, state);
        return BRISK_EXIT_FAILED;
    }
    print_done(told, job, state);
    if (told->profile && brisk_job_write_report(job, brisk_out_file(told->in->out)) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

brisk_exit resolve_print_resolved(const resolve_told *told, const pkg_inputs *inputs)
{
    uint32_t packages = inputs->packages;
    if (told->json) {
        brisk_json json;
        pkg_json_begin(&json, told->in, inputs->lock_path);
        brisk_json_bool(&json, "ok", true);
        brisk_json_u64(&json, "packages", packages);
        brisk_json_bool(&json, "unchanged", true);
        brisk_json_bool(&json, "written", false);
        return pkg_json_end(&json, BRISK_EXIT_OK);
    }
    pkg_put(told->in->out, pkg_text_of(inputs->lock_path));
    (void)fprintf(told->in->out, ": %u package%s, unchanged\n", packages, packages == 1 ? "" : "s");
    return BRISK_EXIT_OK;
}

/* --- progress --------------------------------------------------------------------------------- */

enum { FIRST_MS = 1000, EVERY_MS = 200 };

typedef struct progress {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool has_ended;
    const pkg_resolve_job *state;
    FILE *out;
} progress;

/* Wait for the end; false when `ms` passed before. */
static bool wait_for_end(progress *p, int64_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int failed = 0;
    while (!p->has_ended && failed == 0) {
        failed = pthread_cond_timedwait(&p->ended, &p->lock, &until);
    }
    return p->has_ended;
}

static void *show(void *arg)
{
    progress *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    bool ended = wait_for_end(p, FIRST_MS);
    bool shown = false;
    for (; !ended; ended = wait_for_end(p, EVERY_MS)) {
        const char *stage = atomic_load_explicit(&p->state->stage, memory_order_relaxed);
        (void)fprintf(p->out, "\r\033[K%s, %u packages", stage != NULL ? stage : "waiting",
                      atomic_load_explicit(&p->state->placed, memory_order_relaxed));
        (void)fflush(p->out);
        shown = true;
    }
    if (shown) {
        (void)fputs("\r\033[K", p->out);
        (void)fflush(p->out);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

brisk_err resolve_run_with_progress(brisk_job *job, FILE *out)
{
    progress p = {.lock = PTHREAD_MUTEX_INITIALIZER, .state = brisk_job_state(job), .out = out};
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return brisk_job_run(job);
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&p.ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (failed != 0) {
        return brisk_job_run(job);
    }
    pthread_t thread;
    bool has_thread = pthread_create(&thread, NULL, show, &p) == 0;
    brisk_err err = brisk_job_run(job);
    if (has_thread) {
        (void)pthread_mutex_lock(&p.lock);
        p.has_ended = true;
        (void)pthread_cond_signal(&p.ended);
        (void)pthread_mutex_unlock(&p.lock);
        (void)pthread_join(thread, NULL);
    }
    (void)pthread_cond_destroy(&p.ended);
    return err;
}
