/*
 * thread.h -- the one way to start a thread: named, perhaps pinned, counted, always joined.
 *
 * The object is the caller's storage and must stay where it is until brisk_thread_join.  Signals
 * are blocked in every thread started here, so that they reach the thread that waits for them; only
 * those that a thread causes itself (SIGSEGV, SIGBUS ...) are not.
 * Source: pthreads; C11 threads abort under ThreadSanitizer with both compilers.
 */
#ifndef BRISK_SRC_BASE_THREAD_H
#define BRISK_SRC_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>

typedef struct brisk_thread {
    pthread_t id_;
    void (*run_)(void *ctx);
    void *ctx_;
    bool started_;
} brisk_thread;

typedef struct brisk_thread_opts {
    const char *name;    /* shown by ps and debuggers, cut to 15 bytes; NULL: the program's */
    void (*run)(void *); /* required */
    void *ctx;           /* passed to run */
    size_t stack_bytes;  /* 0: the system's default */
    uint32_t cpu;        /* with `pin`: the only processor it may use */
    bool pin;
} brisk_thread_opts;

/*
 * Start a thread in `thread`.  A processor that does not exist is BRISK_ERR_INVALID; too many
 * threads is BRISK_ERR_LIMIT; otherwise BRISK_ERR_NOMEM.  On failure nothing needs joining.
 */
BRISK_NODISCARD brisk_err brisk_thread_start(brisk_thread *thread, const brisk_thread_opts *opts);

/* Wait for its end.  A zeroed object, or one that failed to start, is accepted. */
void brisk_thread_join(brisk_thread *thread);

/* Threads started here that have not returned from `run` yet. */
uint32_t brisk_thread_count(void);

#endif /* BRISK_SRC_BASE_THREAD_H */
