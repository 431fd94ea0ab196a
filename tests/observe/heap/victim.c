/*
 * victim.c -- programs whose heap is known, one for each first argument.
 *
 *     known MIB        so much is live at the end, in blocks of many sizes, half of what was got
 *     leak MS          a leak of 100 bytes to 4 KiB beside a cache with a bound and short-lived blocks
 *     cache MS         the same without the leak
 *     threads N        N threads that allocate, free each other's blocks, and end
 *     fork             a child that allocates, one that executes, one that only ends
 *     realloc          blocks that grow, shrink and vanish by realloc
 *     all              each allocating function once, large enough to be sampled
 *     signal           a handler that allocates and frees while the program does
 *     deep             stacks deeper than are kept, and one on a stack of its own
 *     exec             executes itself as `known 8`
 *     kill             allocates and ends by a signal
 *     grow MIB         keeps all it gets
 *     cancel           a thread that is to be cancelled allocates first; then others do
 *     timer            `known 32` under a timer's signal each 100 us
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PLACE __attribute__((noinline, noclone))

static uint64_t state = 1;

static uint32_t next(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + 1;
    return (uint32_t)(state >> 33) % below;
}

static void *use(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t number(const char *text)
{
    return text != NULL ? strtoull(text, NULL, 10) : 0;
}

/* --- places ---------------------------------------------------------------------------------- */

PLACE static void *place_kept(size_t size)
{
    return use(malloc(size));
}

PLACE static void *place_freed(size_t size)
{
    return use(malloc(size));
}

PLACE static void *place_leak(size_t size)
{
    return use(calloc(1, size));
}

PLACE static void *place_cache(size_t size)
{
    return use(malloc(size));
}

static int run_known(uint64_t mib)
{
    uint64_t kept = 0;
    void *passing[256] = {NULL};
    while (kept < mib << 20) {
        size_t size = (size_t)16 << next(10);
        size += next((uint32_t)size);
        void **block = place_kept(size);
        kept += size;
        uint32_t at = next(256);
        free(passing[at]);
        passing[at] = place_freed(size);
        if (block == NULL) {
            return 1;
        }
    }
    for (uint32_t i = 0; i < 256; i++) {
        free(passing[i]);
    }
    printf("%llu\n", (unsigned long long)kept);
    return 0;
}

enum { CACHE_SLOTS = 4096 };

/* A cache that fills early and then replaces, and, perhaps, a leak. */
static int run_cache(uint64_t length_ms, bool leaks)
{
    static void *slots[CACHE_SLOTS];
    uint64_t begin = now_ms();
    uint64_t turn = 0;
    while (now_ms() - begin < length_ms) {
        for (uint32_t i = 0; i < 400; i++, turn++) {
            uint32_t at = next(CACHE_SLOTS);
            free(slots[at]);
            slots[at] = place_cache(1000 + next(4000));
            free(place_freed(1 + next(10000)));
            if (leaks && turn % 8 == 0) {
                (void)place_leak(100 + next(4000));
            }
        }
        (void)usleep(1000);
    }
    return 0;
}

static int run_grow(uint64_t mib)
{
    for (uint64_t i = 0; i < mib * 16; i++) {
        memset(place_leak(65536), 1, 65536);
        if (i % 16 == 0) {
            (void)usleep(1000);
        }
    }
    return 0;
}

/* --- threads --------------------------------------------------------------------------------- */

enum { BOX = 1024 };
static void *boxes[BOX];

static void *work(void *arg)
{
    uint64_t mine = (uint64_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < 20000; i++) {
        mine = mine * UINT64_C(6364136223846793005) + 1;
        void *fresh = place_freed(16 + (mine >> 33) % 5000);
        free(__atomic_exchange_n(&boxes[(mine >> 50) % BOX], fresh, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static int run_threads(uint64_t count)
{
    pthread_t threads[64];
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < count && i < 64; i++) {
            if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)) != 0) {
                return 1;
            }
        }
        for (uint64_t i = 0; i < count && i < 64; i++) {
            (void)pthread_join(threads[i], NULL);
        }
    }
    for (uint32_t i = 0; i < BOX; i++) {
        free(boxes[i]);
    }
    return 0;
}

/* --- processes ------------------------------------------------------------------------------- */

static int run_fork(char **argv)
{
    (void)run_known(8);
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (child == 0) {
            if (kind == 0) {
                (void)run_known(16);
                (void)fflush(stdout);
            } else if (kind == 1) {
                char *const again[] = {argv[0], (char[]){"known"}, (char[]){"4"}, NULL};
                (void)execv("/proc/self/exe", again);
            }
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            return 1;
        }
    }
    return run_known(8);
}

/* --- the rest -------------------------------------------------------------------------------- */

static int run_realloc(void)
{
    char *blocks[64] = {NULL};
    size_t sizes[64] = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t at = next(64);
        size_t size = next(20) == 0 ? 0 : 1 + next(200000);
        char *block = use(realloc(blocks[at], size));
        if (block == NULL && size > 0) {
            return 1;
        }
        size_t both = size < sizes[at] ? size : sizes[at];
        if (both > 0 && (block[0] != (char)at || block[both - 1] != (char)at)) {
            return 2;
        }
        if (size > 0) {
            memset(block, (int)at, size);
        }
        blocks[at] = size > 0 ? block : NULL;
        sizes[at] = size;
    }
    if (realloc(blocks[0], SIZE_MAX / 4) != NULL) { // one that fails leaves the block
        return 3;
    }
    for (uint32_t i = 0; i < 64; i++) {
        free(blocks[i]);
    }
    return 0;
}

enum { LARGE = 3 << 20 };

PLACE static int run_all(void)
{
    void *aligned = NULL;
    void *blocks[] = {
        use(malloc(LARGE)),
        use(calloc(3, LARGE / 3)),
        use(realloc(use(malloc(10)), LARGE)),
        use(reallocarray(NULL, 3, LARGE / 3)),
        use(aligned_alloc(64, LARGE)),
        use(memalign(256, LARGE)),
        use(valloc(LARGE)),
        use(pvalloc(LARGE)),
        use(posix_memalign(&aligned, 1024, LARGE) == 0 ? aligned : NULL),
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        if (blocks[i] == NULL || malloc_usable_size(blocks[i]) < LARGE - 2) {
            return 1;
        }
    }
    if ((uintptr_t)blocks[4] % 64 != 0 || (uintptr_t)blocks[5] % 256 != 0 ||
        (uintptr_t)blocks[6] % 4096 != 0 || (uintptr_t)blocks[8] % 1024 != 0) {
        return 2;
    }
    volatile size_t huge = SIZE_MAX / 2 + 2;
    if (use(malloc(huge)) != NULL || use(calloc(huge, 2)) != NULL ||
        use(reallocarray(NULL, huge, 2)) != NULL || use(pvalloc(SIZE_MAX - 1)) != NULL) {
        return 3;
    }
    free(NULL);
    return 0;
}

enum { SIGNALS_MIN = 20 };

static volatile sig_atomic_t signals_seen;

static void on_timer(int number_of)
{
    (void)number_of;
    signals_seen++;
    free(place_freed(100000));
}

static int run_signal(void)
{
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 500}, {0, 500}};
    (void)sigaction(SIGALRM, &action, NULL);
    void *kept[16] = {NULL};
    (void)setitimer(ITIMER_REAL, &every, NULL);
    for (uint32_t i = 0; i < 4000 || signals_seen < SIGNALS_MIN; i++) {
        /* glibc's malloc is not for handlers; mmapped blocks and the thread's cache bear it. */
        sigset_t alarm_only;
        (void)sigemptyset(&alarm_only);
        (void)sigaddset(&alarm_only, SIGALRM);
        (void)sigprocmask(SIG_BLOCK, &alarm_only, NULL);
        uint32_t at = next(16);
        free(kept[at]);
        kept[at] = place_kept(100000 + next(100000));
        (void)sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
    }
    return 0;
}

PLACE static int dive(uint32_t depth)
{
    if (depth == 0) {
        return place_kept(8 << 20) != NULL ? 1 : 0;
    }
    int below = dive(depth - 1);
    __asm__ volatile("" : "+r"(below));
    return below + 1;
}

static ucontext_t here;
static ucontext_t there;

static void on_other_stack(void)
{
    (void)dive(5);
}

static int run_deep(void)
{
    char *stack = malloc(65536);
    if (stack == NULL || dive(1000) != 1001) {
        return 1;
    }
    (void)getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = 65536;
    there.uc_link = &here;
    makecontext(&there, on_other_stack, 0);
    return swapcontext(&here, &there) == 0 ? 0 : 2;
}

static int run_late(char **argv)
{
    (void)run_known(8);
    char *const again[] = {argv[0], (char[]){"known"}, (char[]){"8"}, NULL};
    (void)execv("/proc/self/exe", again);
    return 1;
}

static volatile bool came_back;

static void *run_cancelled(void *ctx)
{
    (void)pthread_cancel(
        pthread_self()); /* from here on each cancellation point ends the thread; malloc is none */
    for (int i = 0; i < 64; i++) {
        free(use(malloc(1 << 20)));
    }
    came_back = true;
    pthread_testcancel();
    return ctx;
}

static int run_cancel(void)
{
    pthread_t thread;
    void *ended = NULL;
    (void)alarm(20); /* a lock that is held for ever */
    if (pthread_create(&thread, NULL, run_cancelled, NULL) != 0 ||
        pthread_join(thread, &ended) != 0) {
        return 2;
    }
    return run_known(16) == 0 && came_back && ended == PTHREAD_CANCELED ? 0 : 3;
}

static void on_nothing(int number)
{
    (void)number;
}

static int run_timer(void)
{
    struct sigaction act = {.sa_handler = on_nothing, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_interval = {.tv_usec = 20}, .it_value = {.tv_usec = 20}};
    (void)sigaction(SIGALRM, &act, NULL);
    (void)setitimer(ITIMER_REAL, &often, NULL);
    return run_known(32);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint64_t value = number(argc > 2 ? argv[2] : NULL);
    if (strcmp(what, "known") == 0) {
        return run_known(value);
    }
    if (strcmp(what, "leak") == 0 || strcmp(what, "cache") == 0) {
        return run_cache(value, what[0] == 'l');
    }
    if (strcmp(what, "threads") == 0) {
        return run_threads(value);
    }
    if (strcmp(what, "grow") == 0) {
        return run_grow(value);
    }
    if (strcmp(what, "fork") == 0) {
        return run_fork(argv);
    }
    if (strcmp(what, "exec") == 0) {
        return run_late(argv);
    }
    if (strcmp(what, "realloc") == 0) {
        return run_realloc();
    }
    if (strcmp(what, "all") == 0) {
        return run_all();
    }
    if (strcmp(what, "signal") == 0) {
        return run_signal();
    }
    if (strcmp(what, "cancel") == 0) {
        return run_cancel();
    }
    if (strcmp(what, "timer") == 0) {
        return run_timer();
    }
    if (strcmp(what, "deep") == 0) {
        return run_deep();
    }
    if (strcmp(what, "kill") == 0) {
        (void)run_known(16);
        (void)kill(getpid(), SIGKILL);
    }
    return 9;
}
