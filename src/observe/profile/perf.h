/*
 * perf.h -- the kernel's sampler: events for threads on processors, their rings, their records.
 *
 * One ring a processor; events of all threads on it write there.  prof_perf_drain gives the records
 * of all rings in the order of time: it takes only what is older than the moment at which it began
 * to look, so that no ring can still bring something older.
 *
 * The kernel is not trusted to be of any version: records are bounded by their size, unknown ones
 * are left out.  Source: perf_event_open(2).  Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_PERF_H
#define BRISK_SRC_OBSERVE_PROFILE_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

enum { PROF_FREQUENCY_MAX = 20000, PROF_CHAIN_MAX = 512 };

typedef struct prof_perf_opts {
    const pid_t *threads; /* to attach to; none: the whole machine */
    uint32_t thread_count;
    uint32_t frequency;   /* Hz of processor time */
    uint32_t stack_bytes; /* of a sample; 0: frame pointers only */
    bool on_exec;         /* begins when the thread executes a program */
    bool off_cpu;
} prof_perf_opts;

/* What the kernel did not allow. */
typedef struct prof_perf_limits {
    bool no_kernel;       /* samples inside of the kernel are left out */
    bool no_switch_stack; /* where a thread gave up its processor is not known */
    bool no_switch;       /* nor when */
    size_t ring_bytes;
    uint32_t rings;
} prof_perf_limits;

typedef enum prof_record_kind {
    PROF_RECORD_SAMPLE,
    PROF_RECORD_SWITCH_SAMPLE, /* the stack of a thread that gives up its processor */
    PROF_RECORD_SWITCH_OUT,
    PROF_RECORD_SWITCH_IN,
    PROF_RECORD_MAP,
    PROF_RECORD_COMM,
    PROF_RECORD_FORK,
    PROF_RECORD_EXIT,
    PROF_RECORD_LOST,
} prof_record_kind;

typedef struct prof_record {
    prof_record_kind kind;
    uint32_t pid;
    uint32_t tid;
    uint64_t time_ns;
    bool preempted; /* SWITCH_OUT: it could go on */
    bool exec;      /* COMM: because of another program */
    uint32_t parent_pid;
    uint64_t lost;
    uint64_t period;
    const char *text;                            /* MAP: path; COMM: name */
    uint64_t start, size, offset, device, inode; /* MAP */
    uint64_t kernel[PROF_CHAIN_MAX];
    size_t kernel_count;
    uint64_t user[PROF_CHAIN_MAX]; /* by the kernel, along frame pointers */
    size_t user_count;
    bool has_regs;
    uint64_t ip, sp, bp;
    const unsigned char *stack;
    size_t stack_size;
} prof_record;

typedef struct prof_perf prof_perf;
typedef void (*prof_perf_fn)(void *ctx, const prof_record *record);

/*
 * Errors: PERMISSION, UNSUPPORTED (no perf events in this kernel), NOT_FOUND (no such thread),
 * LIMIT (descriptors), NOMEM; `info` says what the kernel answered.
 */
BRISK_NODISCARD brisk_err prof_perf_open(const prof_perf_opts *opts, const brisk_alloc *alloc,
                                         prof_perf **ret, brisk_errinfo *info);
void prof_perf_close(prof_perf *perf); /* NULL is accepted */
const prof_perf_limits *prof_perf_what(const prof_perf *perf);
/* Begin, when it does not begin with an exec; and stop. */
void prof_perf_enable(prof_perf *perf, bool on);
/* Descriptors to poll for reading. */
uint32_t prof_perf_fds(const prof_perf *perf, int *fds, uint32_t max);
/* All records until now, or with `all` whatever is there. */
void prof_perf_drain(prof_perf *perf, bool all, prof_perf_fn fn, void *ctx);
/* Processor time of the threads and of what they started, as the kernel counted it. */
uint64_t prof_perf_cpu_ns(const prof_perf *perf);

#endif /* BRISK_SRC_OBSERVE_PROFILE_PERF_H */
