/*
 * deque.h -- the work-stealing deque of one worker: the owner works at the bottom, thieves at the
 * top.
 *
 * Threads: push and pop from the owner only; steal and is_empty from anybody; init and deinit while
 * nobody else looks.
 * Source: Chase and Lev (SPAA 2005); Le, Pop, Cohen and Zappa Nardelli (PPoPP 2013).
 */
#ifndef BRISK_SRC_EXEC_DEQUE_H
#define BRISK_SRC_EXEC_DEQUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/executor.h>

typedef struct exec_ring exec_ring;

typedef struct exec_deque {
    _Alignas(64) _Atomic int64_t top;    /* next to steal; only grows */
    _Alignas(64) _Atomic int64_t bottom; /* next free; the owner's line from here on */
    _Atomic(exec_ring *) ring;
    int64_t top_seen; /* a lower bound of top, so that push rarely reads the thieves' line */
    const brisk_alloc *alloc;
} exec_deque;

/* `alloc` must be thread-safe.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err exec_deque_init(exec_deque *deque, const brisk_alloc *alloc);
void exec_deque_deinit(exec_deque *deque);
/* False when the deque is full and there is no memory for a larger ring. */
BRISK_NODISCARD bool exec_deque_push(exec_deque *deque, brisk_task *task);
/* The youngest, or NULL. */
brisk_task *exec_deque_pop(exec_deque *deque);
/* The oldest, or NULL; *lost is set when another thread won the race for it: look again. */
brisk_task *exec_deque_steal(exec_deque *deque, bool *lost);
/* Exact for whatever was pushed before a sequentially consistent point that both sides passed. */
bool exec_deque_is_empty(const exec_deque *deque);

#endif /* BRISK_SRC_EXEC_DEQUE_H */
