/*
 * measure.c -- the order of the runs: warm-up, then blocks.
 *
 *     block     A C B  B C A      a random order, and once more backwards
 *     block     B A C  C A B
 *
 * Within a block every command has the same mean position, so that a drift of the machine (clock,
 * neighbours, temperature) cancels out; the random order keeps any fixed neighbour from favouring
 * one.  Run number i of all commands belongs to the same half of the same block: they are pairs,
 * and comparisons use the ratios of pairs.
 *
 * Source: A B B A designs, D. R. Cox, Planning of Experiments, 1958.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/rng.h>

#include "base/text.h"
#include "observe/bench/bench.h"

enum { PROGRESS_AFTER_NS = 1000000000 };

/** What the loop carries. */
typedef struct loop {
    bench_measurement *m;
    bench_outcome outcome;
    uint32_t order[BENCH_COMMANDS_MAX];
    brisk_rng rng;
    uint64_t started_ns;
    bool terminal;
    bool shown;
} loop;

bool bench_measure_room(brisk_arena *arena, bench_subject *subject, uint32_t runs)
{
    double **series[] = {&subject->wall_ns, &subject->user_ns, &subject->system_ns,
                         &subject->cpu_ns, &subject->busy_ns};
    for (size_t i = 0; i < sizeof series / sizeof series[0]; i++) {
        *series[i] = brisk_arena_alloc(arena, (size_t)runs * sizeof(double));
        if (*series[i] == NULL) {
            return false;
        }
    }
    return true;
}

void bench_print_failure(FILE *err, const bench_subject *subject, const bench_outcome *outcome)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    const char *name = brisk_text_quote(quoted, subject->text);
    (void)fwrite(outcome->errors, 1, outcome->errors_size, err);
    if (outcome->errors_size > 0 && outcome->errors[outcome->errors_size - 1] != '\n') {
        (void)fputc('\n', err);
    }
    if (outcome->timed_out) {
        (void)fprintf(err, "brisk: bench: '%s' took longer than --timeout\n", name);
    } else if (WIFSIGNALED(outcome->status)) {
        (void)fprintf(err, "brisk: bench: '%s' was ended by signal %d\n", name,
                      WTERMSIG(outcome->status));
    } else {
        (void)fprintf(err, "brisk: bench: '%s' failed with exit code %d\n", name,
                      WEXITSTATUS(outcome->status));
    }
}

static void clear_progress(loop *l)
{
    if (l->shown) {
        (void)fputs("\r\033[K", l->m->err);
        l->shown = false;
    }
}

static void show_progress(loop *l, const char *what, const bench_subject *subject)
{
    if (!l->terminal || brisk_clock_now_ns(NULL) - l->started_ns < PROGRESS_AFTER_NS) {
        return;
    }
    char quoted[BRISK_TEXT_QUOTED_MAX];
    char last[BRISK_TEXT_SHORT_MAX] = "";
    if (subject->run_count > 0) {
        brisk_text_duration(last, subject->wall_ns[subject->run_count - 1]);
    }
    (void)fprintf(l->m->err, "\r\033[K%s %u", what, subject->run_count + 1);
    if (l->m->plan->duration_ns == 0) {
        (void)fprintf(l->m->err, " of %u", l->m->plan->runs_max);
    }
    (void)fprintf(l->m->err, "  %.40s  %s", brisk_text_quote(quoted, subject->name), last);
    (void)fflush(l->m->err);
    l->shown = true;
}

/** Start it and judge how it ended; `what` it is for.  Stops quietly when a signal came. */
static brisk_exit run_program(loop *l, const bench_program *program, const bench_subject *subject,
                              bool checked)
{
    bench_measurement *m = l->m;
    brisk_err err = bench_run(program, &m->plan->run, &l->outcome);
    if (err != BRISK_OK) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        clear_progress(l);
        (void)fprintf(m->err, "brisk: bench: cannot run '%s': %s\n",
                      brisk_text_quote(quoted, program->words[0]), brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    if (l->outcome.stopped_by != 0) {
        m->stopped_by = l->outcome.stopped_by;
        return BRISK_EXIT_OK;
    }
    bool ended_well = WIFEXITED(l->outcome.status) && WEXITSTATUS(l->outcome.status) == 0;
    if (l->outcome.timed_out || (!ended_well && checked)) {
        clear_progress(l);
        bench_print_failure(m->err, subject, &l->outcome);
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

static brisk_exit run_hook(loop *l, const bench_program *hook)
{
    if (hook->program == NULL) {
        return BRISK_EXIT_OK;
    }
    bench_subject as = {.text = bench_join(l->m->arena, hook->words, hook->word_count)};
    as.text = as.text != NULL ? as.text : hook->words[0];
    return run_program(l, hook, &as, true);
}

static void note_run(bench_subject *subject, const bench_outcome *outcome)
{
    uint32_t i = subject->run_count++;
    double cpu = outcome->user_ns + outcome->system_ns;
    subject->wall_ns[i] = outcome->wall_ns > 0.0 ? outcome->wall_ns : 1.0;
    subject->user_ns[i] = outcome->user_ns;
    subject->system_ns[i] = outcome->system_ns;
    subject->cpu_ns[i] = cpu > 0.0 ? cpu : 1.0;
    subject->busy_ns[i] = cpu + outcome->delay_ns > 0.0 ? cpu + outcome->delay_ns : 1.0;
    subject->last_status = outcome->status;
    bool well = WIFEXITED(outcome->status) && WEXITSTATUS(outcome->status) == 0;
    subject->failed_count += well ? 0 : 1;
    if (outcome->peak_bytes > subject->peak_bytes) {
        subject->peak_bytes = outcome->peak_bytes;
    }
}

static brisk_exit one_run(loop *l, bench_subject *subject, bool measured)
{
    const bench_plan *plan = l->m->plan;
    l->m->stopped_by = bench_signals_take(plan->run.signals);
    if (l->m->stopped_by != 0) {
        return BRISK_EXIT_OK;
    }
    show_progress(l, measured ? "run" : "warming up", subject);
    brisk_exit status = run_hook(l, &subject->prepare);
    if (status != BRISK_EXIT_OK || l->m->stopped_by != 0) {
        return status;
    }
    status = run_program(l, &subject->main, subject, !plan->ignore_failure);
    if (status == BRISK_EXIT_OK && l->m->stopped_by == 0 && measured) {
        note_run(subject, &l->outcome);
    }
    return status;
}

static void shuffle(loop *l)
{
    for (uint32_t i = 0; i < l->m->subject_count; i++) {
        l->order[i] = i;
    }
    for (uint32_t i = l->m->subject_count; i > 1; i--) {
        uint32_t other = (uint32_t)brisk_rng_below(&l->rng, i);
        uint32_t kept = l->order[i - 1];
        l->order[i - 1] = l->order[other];
        l->order[other] = kept;
    }
}

static brisk_exit run_half(loop *l, bool backwards, bool measured)
{
    uint32_t count = l->m->subject_count;
    brisk_exit status = BRISK_EXIT_OK;
    for (uint32_t i = 0; i < count && status == BRISK_EXIT_OK && l->m->stopped_by == 0; i++) {
        uint32_t at = l->order[backwards ? count - 1 - i : i];
        status = one_run(l, &l->m->subjects[at], measured);
    }
    return status;
}

static brisk_exit run_hooks(loop *l, bool setup)
{
    brisk_exit status = BRISK_EXIT_OK;
    for (uint32_t i = 0; i < l->m->subject_count && status == BRISK_EXIT_OK; i++) {
        const bench_subject *subject = &l->m->subjects[i];
        status = run_hook(l, setup ? &subject->setup : &subject->cleanup);
        if (setup && l->m->stopped_by != 0) {
            break;
        }
    }
    return status;
}

static bool wants_more(const loop *l, uint32_t runs)
{
    const bench_plan *plan = l->m->plan;
    bool time_left =
        plan->duration_ns > 0 && brisk_clock_now_ns(NULL) - l->started_ns < plan->duration_ns;
    return runs < plan->runs_min || (runs < plan->runs_max && time_left);
}

static brisk_exit run_blocks(loop *l)
{
    brisk_exit status = BRISK_EXIT_OK;
    l->started_ns = brisk_clock_now_ns(NULL);
    uint32_t runs = 0;
    while (wants_more(l, runs) && status == BRISK_EXIT_OK && l->m->stopped_by == 0) {
        shuffle(l);
        status = run_half(l, false, true);
        runs++;
        if (runs < l->m->plan->runs_max && status == BRISK_EXIT_OK && l->m->stopped_by == 0) {
            status = run_half(l, true, true);
            runs++;
        }
        l->m->blocks++;
    }
    return status;
}

/** What a run cannot be seen below: our own memory counts in, see run.c. */
static void mark_bounds(bench_measurement *m)
{
    struct rusage own = {0};
    (void)getrusage(RUSAGE_SELF, &own);
    uint64_t bytes = own.ru_maxrss > 0 ? (uint64_t)own.ru_maxrss * 1024 : 0;
    for (uint32_t i = 0; i < m->subject_count; i++) {
        m->subjects[i].peak_is_bound = m->subjects[i].peak_bytes <= bytes;
    }
}

brisk_exit bench_measure(bench_measurement *m)
{
    loop l = {.m = m, .started_ns = brisk_clock_now_ns(NULL)};
    l.terminal = isatty(STDERR_FILENO) != 0;
    l.outcome.errors = brisk_arena_alloc(m->arena, BENCH_ERRORS_MAX);
    bool room = l.outcome.errors != NULL;
    for (uint32_t i = 0; i < m->subject_count && room; i++) {
        room = bench_measure_room(m->arena, &m->subjects[i], m->plan->runs_max);
    }
    if (!room) {
        (void)fprintf(m->err, "brisk: bench: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
        return BRISK_EXIT_FAILED;
    }
    brisk_rng_init(&l.rng, m->plan->seed);
    m->seed = m->plan->seed;
    brisk_exit status = run_hooks(&l, true);
    for (uint32_t i = 0; i < m->plan->warmup && status == BRISK_EXIT_OK && m->stopped_by == 0;
         i++) {
        shuffle(&l);
        status = run_half(&l, false, false);
    }
    if (status == BRISK_EXIT_OK && m->stopped_by == 0) {
        status = run_blocks(&l);
    }
    clear_progress(&l);
    int stopped_by = m->stopped_by;
    brisk_exit cleaned = run_hooks(&l, false); /* whatever happened before */
    m->stopped_by = stopped_by != 0 ? stopped_by : m->stopped_by;
    mark_bounds(m);
    return status != BRISK_EXIT_OK ? status : cleaned;
}
