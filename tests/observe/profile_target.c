/*
 * profile_target.c -- a program whose shares are known: 70 % in hot_part, 30 % in cold_part, below a
 * stack of some depth; built with and without frame pointers and with inlining.
 *
 *     profile_target spin MS | wait MS | exec PROGRAM... | die MS | threads MS | jit MS |
 *                    errno MS (on a stack that ends soon; fails when errno changes) |
 *                    noexec MS (after all of exec's functions have failed)
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { DEPTH = 12, UNIT = 400 };

static volatile uint64_t sink;

__attribute__((always_inline)) static inline void turn_inline(uint64_t turns)
{
    for (uint64_t i = 0; i < turns; i++) {
        sink += i;
    }
}

__attribute__((noinline)) void hot_part(uint64_t units);
__attribute__((noinline)) void cold_part(uint64_t units);

void hot_part(uint64_t units)
{
    turn_inline(units * 70 * UNIT);
    __asm__ volatile("" ::: "memory");
}

void cold_part(uint64_t units)
{
    turn_inline(units * 30 * UNIT);
    __asm__ volatile("" ::: "memory");
}

static uint64_t own_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * Whole pairs only, so that the shares are exact; of changing length, so that they have no rhythm that
 * the sampler could fall into step with.
 */
__attribute__((noinline)) static void spin(uint64_t ms)
{
    uint64_t until = own_ms() + ms;
    uint64_t chance = 1;
    while (own_ms() < until) {
        for (int i = 0; i < 10; i++) {
            chance = chance * 6364136223846793005 + 1442695040888963407;
            hot_part(1 + (chance >> 57));
            cold_part(1 + (chance >> 57));
        }
    }
}

// NOLINTNEXTLINE(misc-no-recursion)
__attribute__((noinline)) static void descend(int depth, uint64_t ms)
{
    if (depth > 0) {
        descend(depth - 1, ms);
    } else {
        spin(ms);
    }
    __asm__ volatile("" ::: "memory");
}

static void *run_thread(void *ctx)
{
    descend(DEPTH, *(uint64_t *)ctx);
    return NULL;
}

__attribute__((noinline)) static void long_wait(uint64_t ms)
{
    struct timespec length = {.tv_sec = (time_t)(ms / 1000),
                              .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&length, NULL);
    __asm__ volatile("" ::: "memory");
}

/* A function made at run time, and a perf-PID.map that names it: a loop that counts rdi down. */
static int run_jit(uint64_t ms)
{
    static const unsigned char code[] = {0x48, 0xff, 0xcf, 0x75, 0xfb, 0xc3}; /* dec; jnz; ret */
    unsigned char *at =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char path[64];
    if (at == MAP_FAILED) {
        return 1;
    }
    memcpy(at, code, sizeof code);
    if (mprotect(at, 4096, PROT_READ | PROT_EXEC) != 0) {
        return 1;
    }
    (void)snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "we");
    if (map == NULL) {
        return 1;
    }
    (void)fprintf(map, "%" PRIxPTR " %zx made_at_run_time\n", (uintptr_t)at, sizeof code);
    (void)fclose(map);
    void (*made)(uint64_t);
    memcpy(&made, &at, sizeof made);
    uint64_t until = own_ms() + ms;
    while (own_ms() < until) {
        made(1000000);
    }
    return 0;
}

static ucontext_t here;
static ucontext_t there;
static uint64_t errno_ms;
static int errno_changes;

static void watch_errno(void)
{
    uint64_t until = own_ms() + errno_ms;
    while (own_ms() < until) {
        errno = 0;
        hot_part(20);
        errno_changes += errno != 0;
    }
}

static int run_errno(uint64_t ms)
{
    enum { ROOM = 65536, PAGE = 4096 };
    char *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || mprotect(room + ROOM - PAGE, PAGE, PROT_NONE) != 0) {
        return 2;
    }
    errno_ms = ms;
    (void)getcontext(&there);
    there.uc_stack.ss_sp = room;
    there.uc_stack.ss_size = ROOM - PAGE;
    there.uc_link = &here;
    makecontext(&there, watch_errno, 0);
    (void)swapcontext(&here, &there);
    (void)munmap(room, ROOM);
    return errno_changes > 0 ? 3 : 0;
}

static int run_noexec(uint64_t ms)
{
    static const char no[] = "/nonexistent/program";
    char *const args[] = {(char[]){"x"}, (char[]){"y"}, NULL};
    char *const env[] = {NULL};
    int bad = 0;
    errno = 0;
    bad += execl(no, "x", "y", (char *)NULL) != -1 || errno != ENOENT;
    bad += execlp(no, "x", (char *)NULL) != -1 || errno != ENOENT;
    bad += execle(no, "x", "y", (char *)NULL, env) != -1 || errno != ENOENT;
    bad += execv(no, args) != -1 || errno != ENOENT;
    bad += execvp(no, args) != -1 || errno != ENOENT;
    bad += execve(no, args, env) != -1 || errno != ENOENT;
    bad += fexecve(-1, args, env) != -1;
    descend(DEPTH, ms);
    return bad > 0 ? 4 : 0;
}

int main(int argc, char **argv)
{
    uint64_t ms = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (argc < 3) {
        return 2;
    }
    if (strcmp(argv[1], "spin") == 0) {
        descend(DEPTH, ms);
    } else if (strcmp(argv[1], "wait") == 0) {
        long_wait(ms);
    } else if (strcmp(argv[1], "exec") == 0) {
        spin(20);
        (void)execv(argv[2], argv + 2);
        return 1;
    } else if (strcmp(argv[1], "die") == 0) {
        spin(ms);
        (void)raise(SIGKILL);
    } else if (strcmp(argv[1], "errno") == 0) {
        return run_errno(ms);
    } else if (strcmp(argv[1], "noexec") == 0) {
        return run_noexec(ms);
    } else if (strcmp(argv[1], "jit") == 0) {
        return run_jit(ms);
    } else if (strcmp(argv[1], "threads") == 0) {
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) {
            (void)pthread_create(&threads[i], NULL, run_thread, &ms);
        }
        for (int i = 0; i < 3; i++) {
            (void)pthread_join(threads[i], NULL);
        }
    }
    return 0;
}
