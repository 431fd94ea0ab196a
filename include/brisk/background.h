/*
 * brisk/background.h -- a few threads for what can wait: refreshes, promotions, warming.
 *
 *     brisk_threads *threads;
 *     brisk_threads_create(NULL, &threads);
 *     brisk_background background = brisk_threads_background(threads);
 *
 * Unlike an executor's workers these threads may wait for disks and networks.  They start when there
 * is work for them.  What does not fit into the queue is refused, and whoever asked does without.
 *
 * Threads: every function from any thread; destroy from none of its own.
 */
#ifndef BRISK_BACKGROUND_H
#define BRISK_BACKGROUND_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_THREADS_MAX = 64, BRISK_THREADS_QUEUE_MAX = 1048576 };

typedef struct brisk_threads brisk_threads;

typedef struct brisk_threads_opts {
    uint32_t threads;         /**< At most; 0 means 4; up to BRISK_THREADS_MAX. */
    uint32_t queue_max;       /**< Jobs that wait; 0 means 1024; up to BRISK_THREADS_QUEUE_MAX. */
    const char *name;         /**< Of the threads, as ps shows it; NULL means "brisk-background". */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_threads_opts;

typedef struct brisk_threads_stats {
    uint64_t taken;
    uint64_t refused; /**< Queue full, or no thread could be started. */
    uint32_t waiting; /**< Now. */
    uint32_t running;
    uint32_t threads;
} brisk_threads_stats;

/** Errors: INVALID, NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_threads_create(const brisk_threads_opts *opts,
                                                         brisk_threads **ret);
/** Everything taken is run first; nothing more is taken.  NULL is accepted. */
BRISK_API void brisk_threads_destroy(brisk_threads *threads);
/** As caches, loaders and the rest want it; copied freely, valid until destroy. */
BRISK_API brisk_background brisk_threads_background(brisk_threads *threads);
/** Nothing waits and nothing runs here: for brisk_idle_opts.is_idle, whose `ctx` it takes. */
BRISK_API bool brisk_threads_are_idle(void *threads);
BRISK_API void brisk_threads_read_stats(brisk_threads *threads, brisk_threads_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_BACKGROUND_H */
