/*
 * futex.h -- sleep until a word changes; the only blocking primitive of this layer besides mutexes.
 *
 * Both calls may be spurious for the other side: a sleeper re-checks its word, and a wake on memory
 * that is no futex any more does nothing (the waiter may have left its stack frame already).
 * Source: futex(2), "spurious wake-ups".
 */
#ifndef BRISK_SRC_EXEC_FUTEX_H
#define BRISK_SRC_EXEC_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sleep while *word is `expected`; returns on a wake, a signal, or at once. */
static inline void exec_futex_wait(const _Atomic uint32_t *word, uint32_t expected)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static inline void exec_futex_wake(const _Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Tell the processor that this is a spin. */
static inline void exec_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif /* BRISK_SRC_EXEC_FUTEX_H */
