/*
 * timer_preload.c -- profile_timer.so, which a command loads (LD_PRELOAD) when the kernel does not let us
 * sample: a timer of the process's own time, whose signal's handler copies registers and a piece of the
 * stack to the shared file.  Nothing is unwound here: the handler makes three system calls and takes no
 * memory and no lock.
 *
 * The kernel's timers of processor time tick with its HZ (250 mostly): that is the most that can be had.
 * A program that uses SIGPROF itself is left alone.  Children of fork get a timer of their own.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "observe/profile/timer_ring.h"

/* File-scope state: a signal's handler has no other. */
static timer_ring *ring;

static timer_slot *take_slot(void)
{
    uint64_t number = __atomic_fetch_add(&ring->head.next, 1, __ATOMIC_RELAXED);
    timer_slot *slot = &ring->slots[number % TIMER_SLOTS];
    uint32_t is_free = TIMER_FREE;
    if (!__atomic_compare_exchange_n(&slot->state, &is_free, TIMER_WRITING, 0, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED)) {
        (void)__atomic_fetch_add(&ring->head.lost, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    return slot;
}

/* The kernel copies: a stack that ends, or a wild stack pointer, gives fewer bytes and no fault. */
static uint32_t copy_stack(pid_t pid, uint64_t sp, unsigned char *to)
{
    uint32_t got = 0;
    while (got < TIMER_STACK_BYTES) {
        /* By pages, since a copy ends before the page that is not there. */
        uint64_t at = sp + got;
        size_t part = 4096 - (size_t)(at & 4095);
        part = part < TIMER_STACK_BYTES - got ? part : TIMER_STACK_BYTES - got;
        struct iovec local = {to + got, part};
        struct iovec remote = {(void *)at, part}; // NOLINT(performance-no-int-to-ptr)
        ssize_t done = process_vm_readv(pid, &local, 1, &remote, 1, 0);
        if (done <= 0) {
            break;
        }
        got += (uint32_t)done;
    }
    return got;
}

static void on_timer(int number, siginfo_t *info, void *context)
{
    const ucontext_t *u = context;
    (void)number;
    (void)info;
    timer_slot *slot = take_slot();
    if (slot == NULL) {
        return;
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    slot->pid = (uint32_t)syscall(SYS_getpid);
    slot->tid = (uint32_t)syscall(SYS_gettid);
    slot->time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    (void)prctl(PR_GET_NAME, slot->comm);
#ifdef __x86_64__
    slot->ip = (uint64_t)u->uc_mcontext.gregs[REG_RIP];
    slot->sp = (uint64_t)u->uc_mcontext.gregs[REG_RSP];
    slot->bp = (uint64_t)u->uc_mcontext.gregs[REG_RBP];
#endif
    slot->stack_size = copy_stack((pid_t)slot->pid, slot->sp, slot->stack);
    __atomic_store_n(&slot->state, TIMER_FULL, __ATOMIC_RELEASE);
}

static void start_timer(void)
{
    long interval = 1000000 / (long)ring->head.frequency;
    struct itimerval timer = {.it_interval = {interval / 1000000, interval % 1000000},
                              .it_value = {interval / 1000000, interval % 1000000}};
    (void)setitimer(ITIMER_PROF, &timer, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(TIMER_ENV);
    struct sigaction before;
    if (path == NULL || ring != NULL) {
        return;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *map = mmap(NULL, sizeof(timer_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED) {
        return;
    }
    ring = map;
    if (ring->head.magic != TIMER_MAGIC || ring->head.frequency == 0 ||
        sigaction(SIGPROF, NULL, &before) != 0 || before.sa_handler != SIG_DFL) {
        return;
    }
    struct sigaction act = {.sa_sigaction = on_timer,
                            .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    (void)sigfillset(&act.sa_mask);
    if (sigaction(SIGPROF, &act, NULL) == 0) {
        (void)pthread_atfork(NULL, NULL, start_timer);
        start_timer();
    }
}
