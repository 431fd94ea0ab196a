/*
 * instructions.c -- instructions of a command, counted by valgrind's cachegrind.
 *
 * A count needs no quiet machine: the same program does the same work every time, so that 0.01 %
 * more is seen in two runs.  It says nothing of caches, waiting or input and output.  Counted
 * twice; whether both agree is reported.
 *
 * valgrind's own words go to a memory file given to it as file 9, apart from the command's.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "observe/bench/bench.h"

enum {
    LOG_BYTES_MAX = 65536,
    PATH_BYTES_MAX = 4096,
    COUNTS = 2,
};

uint64_t bench_parse_refs(const char *text, size_t size)
{
    static const char mark[] = "refs:";
    uint64_t sum = 0;
    const char *end = text + size;
    const char *at = text;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)) != NULL) {
        /* "I   refs:" is what is counted, "D   refs:" would be data. */
        const char *letter = at;
        while (letter > text && letter[-1] == ' ') {
            letter--;
        }
        at += sizeof mark - 1;
        if (letter == text || letter[-1] != 'I') {
            continue;
        }
        uint64_t value = 0;
        for (; at < end && (*at == ' ' || *at == ',' || (*at >= '0' && *at <= '9')); at++) {
            if (*at >= '0' && *at <= '9' && value < UINT64_MAX / 10 - 10) {
                value = value * 10 + (uint64_t)(*at - '0');
            }
        }
        sum = value > UINT64_MAX - sum ? UINT64_MAX : sum + value;
    }
    return sum;
}

/** The command behind valgrind and its options, or no program when memory is short. */
static bench_program under_valgrind(const bench_measurement *m, const bench_subject *subject,
                                    const char *valgrind)
{
    static const char *const options[] = {"valgrind",       "--tool=cachegrind",
                                          "--cache-sim=no", "--cachegrind-out-file=/dev/null",
                                          "--log-fd=9",     "--trace-children=yes"};
    enum { OPTIONS = sizeof options / sizeof options[0] };
    const bench_program *main = &subject->main;
    char **words =
        brisk_arena_calloc(m->arena, OPTIONS + (size_t)main->word_count + 1, sizeof *words);
    char path[PATH_BYTES_MAX];
    ssize_t length = subject->job ? readlink("/proc/self/exe", path, sizeof path) : 0;
    bool known = length >= 0 && (size_t)length < sizeof path;
    for (uint32_t i = 0; words != NULL && i < OPTIONS; i++) {
        words[i] = brisk_arena_copy(m->arena, options[i], strlen(options[i]));
        known = known && words[i] != NULL;
    }
    if (words == NULL || !known) {
        return (bench_program){0};
    }
    words[OPTIONS] = subject->job
                         ? brisk_arena_copy(m->arena, path, (size_t)length)
                         : brisk_arena_copy(m->arena, main->program, strlen(main->program));
    for (uint32_t i = 1; i < main->word_count; i++) {
        words[OPTIONS + i] = main->words[i];
    }
    return (bench_program){.program = words[OPTIONS] != NULL ? valgrind : NULL,
                           .words = words,
                           .word_count = OPTIONS + main->word_count};
}

static const char *find_valgrind(void)
{
    static const char *const places[] = {"/usr/bin/valgrind", "/usr/local/bin/valgrind",
                                         "/opt/local/bin/valgrind"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], X_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

/** One run; 0 after saying what is wrong, or when a signal came. */
static uint64_t count_once(bench_measurement *m, const bench_subject *subject,
                           const bench_program *program, bench_outcome *outcome)
{
    int log = memfd_create("valgrind", MFD_CLOEXEC);
    if (log < 0) {
        (void)fprintf(m->err, "brisk: bench: --instructions: %s\n", strerror(errno));
        return 0;
    }
    bench_run_opts opts = m->plan->run;
    opts.extra_fd = log;
    opts.timeout_ns = 0; /* fifty times slower than alone */
    brisk_err err = bench_run(program, &opts, outcome);
    bool well = err == BRISK_OK && WIFEXITED(outcome->status) &&
                (WEXITSTATUS(outcome->status) == 0 || m->plan->ignore_failure);
    uint64_t count = 0;
    if (err == BRISK_OK && outcome->stopped_by != 0) {
        m->stopped_by = outcome->stopped_by;
    } else if (err != BRISK_OK) {
        (void)fprintf(m->err, "brisk: bench: cannot run valgrind: %s\n", brisk_err_message(err));
    } else if (!well) {
        bench_print_failure(m->err, subject, outcome);
    } else {
        char *text = brisk_arena_alloc(m->arena, LOG_BYTES_MAX);
        ssize_t size = text != NULL ? pread(log, text, LOG_BYTES_MAX, 0) : -1;
        count = size > 0 ? bench_parse_refs(text, (size_t)size) : 0;
        if (count == 0) {
            (void)fputs("brisk: bench: --instructions: valgrind did not say a count\n", m->err);
        }
    }
    (void)close(log);
    return count;
}

brisk_exit bench_count_instructions(bench_measurement *m)
{
    const char *valgrind = find_valgrind();
    if (valgrind == NULL) {
        (void)fputs("brisk: bench: --instructions needs valgrind, which is not installed "
                    "(Debian: apt install valgrind)\n",
                    m->err);
        return BRISK_EXIT_FAILED;
    }
    bench_outcome outcome = {.errors = brisk_arena_alloc(m->arena, BENCH_ERRORS_MAX)};
    for (uint32_t i = 0; i < m->subject_count && m->stopped_by == 0; i++) {
        bench_subject *subject = &m->subjects[i];
        bench_program program = under_valgrind(m, subject, valgrind);
        if (program.program == NULL || outcome.errors == NULL) {
            (void)fprintf(m->err, "brisk: bench: %s\n", brisk_err_message(BRISK_ERR_NOMEM));
            return BRISK_EXIT_FAILED;
        }
        uint64_t counts[COUNTS] = {0};
        for (int n = 0; n < COUNTS && m->stopped_by == 0; n++) {
            counts[n] = count_once(m, subject, &program, &outcome);
            if (counts[n] == 0 && m->stopped_by == 0) {
                return BRISK_EXIT_FAILED;
            }
        }
        if (m->stopped_by == 0) {
            subject->instructions = counts[0] < counts[1] ? counts[0] : counts[1];
            subject->instructions_repeat = counts[0] == counts[1];
        }
    }
    return BRISK_EXIT_OK;
}
