/*
 * map_guard.c -- one table of guarded mappings for the process, one handler that looks at it.
 *
 * The handler calls mmap, which POSIX does not list as safe in handlers; on Linux it is one system
 * call without state in libc.
 */
#include "base/map_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

typedef struct guarded {
    _Atomic uintptr_t begin; /* 0: free; 1: taken, not known yet */
    _Atomic uintptr_t end;
    _Atomic uint32_t hits;
} guarded;

static guarded guards[BRISK_MAP_GUARDS];
static _Atomic uint32_t next_place;
static _Atomic uintptr_t page_bytes;

/* Handlers that were there before ours; the newest counts.  A used one never changes. */
enum { BEFORE_MAX = 16 };
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction befores[BEFORE_MAX];
static _Atomic uint32_t before_count;
static _Thread_local bool is_passing __attribute__((tls_model("initial-exec")));

static guarded *find(uintptr_t at)
{
    for (uint32_t i = 0; i < BRISK_MAP_GUARDS; i++) {
        /* Acquire: pairs with the release in take, so that `end` is this mapping's. */
        uintptr_t begin = atomic_load_explicit(&guards[i].begin, memory_order_acquire);
        if (begin > 1 && at >= begin &&
            at < atomic_load_explicit(&guards[i].end, memory_order_relaxed)) {
            return &guards[i];
        }
    }
    return NULL;
}

/* Nobody's page: as if we had never been there. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    /* Acquire: pairs with the release in install. */
    uint32_t count = atomic_load_explicit(&before_count, memory_order_acquire);
    const struct sigaction *before = &befores[count != 0 ? count - 1 : 0];
    bool is_default = (before->sa_flags & SA_SIGINFO) == 0 &&
                      (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN);
    if (is_passing || is_default) { /* or it passes on to us */
        (void)signal(number, SIG_DFL);
        (void)raise(number);
        return;
    }
    is_passing = true;
    if ((before->sa_flags & SA_SIGINFO) != 0) {
        before->sa_sigaction(number, info, context);
    } else {
        before->sa_handler(number);
    }
    is_passing = false;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t at = (uintptr_t)info->si_addr;
    guarded *hit = info->si_code == BUS_ADRERR ? find(at) : NULL;
    size_t size = atomic_load_explicit(&page_bytes, memory_order_relaxed);
    void *page = (char *)info->si_addr - at % size;
    if (hit != NULL) { /* before anybody can read a zero */
        atomic_fetch_add_explicit(&hit->hits, 1, memory_order_seq_cst);
    }
    if (hit == NULL || mmap(page, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        pass_on(number, info, context);
    }
    errno = saved;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_sigbus;
}

/* See that the handler is ours, also after somebody had his own for a while. */
static bool install(void)
{
    struct sigaction now;
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    action.sa_sigaction = on_sigbus;
    (void)sigemptyset(&action.sa_mask);
    (void)pthread_mutex_lock(&install_lock);
    bool ours = sigaction(SIGBUS, NULL, &now) == 0 && is_ours(&now);
    uint32_t count = atomic_load_explicit(&before_count, memory_order_relaxed);
    if (!ours && count < BEFORE_MAX) {
        befores[count] = now;
        atomic_store_explicit(&page_bytes, (uintptr_t)sysconf(_SC_PAGESIZE), memory_order_relaxed);
        atomic_store_explicit(&before_count, count + 1, memory_order_release);
        ours = sigaction(SIGBUS, &action, NULL) == 0;
    }
    (void)pthread_mutex_unlock(&install_lock);
    return ours;
}

uint32_t brisk_map_guard_take(const void *map, size_t size)
{
    BRISK_ASSERT(map != NULL && size != 0);
    bool installed = install();
    uint32_t from = atomic_fetch_add_explicit(&next_place, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < BRISK_MAP_GUARDS && installed; i++) {
        uint32_t number = (from + i) % BRISK_MAP_GUARDS;
        uintptr_t none = 0;
        if (atomic_compare_exchange_strong_explicit(&guards[number].begin, &none, 1,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            atomic_store_explicit(&guards[number].hits, 0, memory_order_relaxed);
            atomic_store_explicit(&guards[number].end, (uintptr_t)map + size, memory_order_relaxed);
            atomic_store_explicit(&guards[number].begin, (uintptr_t)map, memory_order_release);
            return number + 1;
        }
    }
    return 0;
}

void brisk_map_guard_leave(uint32_t guard)
{
    BRISK_ASSERT(guard <= BRISK_MAP_GUARDS);
    if (guard != 0) {
        atomic_store_explicit(&guards[guard - 1].begin, 0, memory_order_relaxed);
    }
}

bool brisk_map_guard_hit(uint32_t guard)
{
    /* Acquire, after the bytes were read: a zero that was read is later than its hit. */
    atomic_thread_fence(memory_order_acquire);
    return guard != 0 && atomic_load_explicit(&guards[guard - 1].hits, memory_order_relaxed) != 0;
}
