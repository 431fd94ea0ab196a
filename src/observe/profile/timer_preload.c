/*
 * timer_preload.c -- profile_timer.so, which a command loads (LD_PRELOAD) when the kernel does not let us
 * sample: a timer of the process's own time, whose signal's handler copies registers and a piece of the
 * stack to the shared file.  Nothing is unwound here: the handler makes three system calls and takes no
 * memory and no lock.
 *
 * The kernel's timers of processor time tick with its HZ (250 mostly): that is the most that can be had.
 * A program that uses SIGPROF itself is left alone.  Children of fork get a timer of their own.
 *
 * The kernel keeps an interval timer across exec but not the handler, and SIGPROF kills who has none: a program that
 * does not load this library (static, setuid, an environment without LD_PRELOAD), or has not come so far, would die
 * of the profiler.  So exec's functions stand here before libc's: they take the timer away, and give it back when
 * there was no exec.  Who makes the system call itself is not helped.
 *
 * What is in the ring is the program's to write: what was checked is copied first.  errno is the program's, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
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

enum { FREQUENCY_MAX = 1000000, ARGUMENTS_MAX = 4096 };

/* File-scope state: a signal's handler has no other. */
static timer_ring *ring;
static uint32_t frequency;
static int active; /* the handler and the timer are ours */

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
    int saved = errno; /* the copy ends in EFAULT wherever the stack is shorter than the slot */
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
    errno = saved;
}

/* --- exec ------------------------------------------------------------------------------------ */

#define EXPORT __attribute__((visibility("default")))

/*
 * `call` without the timer.  It is given back when there was no exec; a child of vfork has a process's timers of its
 * own, which are none, and so are not touched.
 */
#define WITHOUT_TIMER(call)                                                                        \
    do {                                                                                           \
        static const struct itimerval none_;                                                       \
        struct itimerval before_ = {0};                                                            \
        if (__atomic_load_n(&active, __ATOMIC_RELAXED)) {                                          \
            (void)setitimer(ITIMER_PROF, &none_, &before_);                                        \
        }                                                                                          \
        int result_ = (call);                                                                      \
        int saved_ = errno;                                                                        \
        if (__atomic_load_n(&active, __ATOMIC_RELAXED)) {                                          \
            (void)setitimer(ITIMER_PROF, &before_, NULL);                                          \
        }                                                                                          \
        errno = saved_;                                                                            \
        return result_;                                                                            \
    } while (0)

/* libc's function.  Found by the constructor: between fork and exec nobody may wait for the loader's lock. */
#define FIND(name)                                                                                 \
    do {                                                                                           \
        void *found_ = dlsym(RTLD_NEXT, #name);                                                    \
        memcpy(&next_##name, &found_, sizeof found_);                                              \
    } while (0)

#define NEXT(name, ...)                                                                            \
    do {                                                                                           \
        if (next_##name == NULL) { /* an exec of a constructor that came before ours */            \
            FIND(name);                                                                            \
        }                                                                                          \
        if (next_##name == NULL) {                                                                 \
            errno = ENOSYS;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        WITHOUT_TIMER(next_##name(__VA_ARGS__));                                                   \
    } while (0)

static int (*next_execve)(const char *, char *const[], char *const[]);
static int (*next_execvpe)(const char *, char *const[], char *const[]);
static int (*next_fexecve)(int, char *const[], char *const[]);

static void find_exec(void)
{
    FIND(execve);
    FIND(execvpe);
    FIND(fexecve);
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    NEXT(execve, path, argv, envp);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    NEXT(execvpe, file, argv, envp);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    NEXT(fexecve, fd, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

/* Arguments up to their NULL; false: more than there is room for. */
static int collect(const char *first, va_list *rest, char *argv[ARGUMENTS_MAX])
{
    int count = 0;
    memcpy(&argv[count++], &first, sizeof first);
    while (argv[count - 1] != NULL && count < ARGUMENTS_MAX) {
        argv[count++] = va_arg(*rest, char *);
    }
    errno = E2BIG;
    return argv[count - 1] == NULL;
}

EXPORT int execl(const char *path, const char *arg, ...)
{
    char *argv[ARGUMENTS_MAX];
    va_list rest;
    va_start(rest, arg);
    int good = collect(arg, &rest, argv);
    va_end(rest);
    return good ? execve(path, argv, environ) : -1;
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
    char *argv[ARGUMENTS_MAX];
    va_list rest;
    va_start(rest, arg);
    int good = collect(arg, &rest, argv);
    va_end(rest);
    return good ? execvpe(file, argv, environ) : -1;
}

EXPORT int execle(const char *path, const char *arg, ...)
{
    char *argv[ARGUMENTS_MAX];
    va_list rest;
    va_start(rest, arg);
    int good = collect(arg, &rest, argv);
    char *const *envp = va_arg(rest, char *const *);
    va_end(rest);
    return good ? execve(path, argv, envp) : -1;
}

/* --- the beginning --------------------------------------------------------------------------- */

static void start_timer(void)
{
    long interval = 1000000 / (long)frequency;
    struct itimerval timer = {.it_interval = {interval / 1000000, interval % 1000000},
                              .it_value = {interval / 1000000, interval % 1000000}};
    (void)setitimer(ITIMER_PROF, &timer, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv(TIMER_ENV);
    struct sigaction before;
    find_exec();
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
    frequency = ring->head.frequency;
    if (ring->head.magic != TIMER_MAGIC || frequency == 0 || frequency > FREQUENCY_MAX ||
        sigaction(SIGPROF, NULL, &before) != 0 || before.sa_handler != SIG_DFL) {
        return;
    }
    struct sigaction act = {.sa_sigaction = on_timer,
                            .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    (void)sigfillset(&act.sa_mask);
    if (sigaction(SIGPROF, &act, NULL) == 0) {
        (void)pthread_atfork(NULL, NULL, start_timer);
        __atomic_store_n(&active, 1, __ATOMIC_RELAXED);
        start_timer();
    }
}
