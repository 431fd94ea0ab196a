/*
 * preload_file.c -- settings, the mapped file, /proc/self/maps, and dumps.
 *
 * The file is made at the first sample, so a program that allocates little leaves none.  It is FOLDER/PID-N.heap;
 * N counts what one process executed.  A forked child has the page of locks zeroed (MADV_WIPEONFORK): at its first
 * sample, or first free of what might be one, it begins a file of its own with empty tables, or stops.  A child
 * that only executes something does neither.
 *
 * The descriptor is closed once the file is mapped: a program that closes all of them, or counts them, finds none.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "observe/heap/preload.h"

enum {
    PATH_BYTES = 1024,
    FILES_MAX = 1000, /* of one process number */
    TICK_NS = 100000000,
    MAPS_AGAIN_NS = 20000000,
    FINER_MAX = HEAP_FINER_MAX, /* an eighth of the interval, while samples are few */
    COARSER_MAX = 8,            /* when the live table fills */
    ADJUST_SAMPLES = 1024,
    ADJUST_FAST_NS = 64000000, /* 16,000 samples a second are a hundredth of the time */
    ADJUST_SLOW_NS = 400000000,
    LIVE_MANY = HEAP_SHARDS * HEAP_SHARD_ENTRIES * 3 / 8,
    LIVE_FULL = HEAP_SHARDS * HEAP_SHARD_ENTRIES * 9 / 16,
    SPINS = 64,
};

heap_locks *heap_lock;
heap_map heap_file;
heap_module heap_modules[HEAP_MODULES_MAX];
uint32_t heap_module_count;

static char folder[PATH_BYTES - 64];
static uint64_t interval;
static bool fixed;       /* the interval was asked for */
static uint32_t finer;   /* powers of two */
static uint32_t coarser; /* likewise */
static uint64_t adjusted_at;
static uint64_t growth;
static uint64_t dump_at;
static uint64_t seed;
static uint64_t seeds_given;
static bool stop_in_children;
static uint32_t state; /* 0: not configured, 1: on, 2: off for good */
static uint64_t tick_at;
static uint64_t maps_read_at;
static uint32_t maps_used; /* the head's is for readers */

/* --- settings ------------------------------------------------------------------------------- */

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || *text < '0' || *text > '9') {
        return otherwise;
    }
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 ? value : otherwise;
}

/* text = a + b, cut to `size`. */
static char *append(char *at, const char *end, const char *text)
{
    while (*text != '\0' && at + 1 < end) {
        *at++ = *text++;
    }
    *at = '\0';
    return at;
}

/* An empty file, so that who allocates little is told from who has no sampler. */
static void say_loaded(void)
{
    char path[PATH_BYTES];
    char *at = append(path, path + PATH_BYTES, folder);
    (void)append(at, path + PATH_BYTES, "/" HEAP_LOADED);
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
    }
}

void heap_configure(void)
{
    const char *where = getenv(HEAP_ENV_FOLDER);
    const char *fork_rule = getenv(HEAP_ENV_FORK);
    int saved = errno;
    uint64_t asked = number(HEAP_ENV_INTERVAL, 0);
    fixed = asked != 0;
    finer = fixed ? 0 : FINER_MAX;
    interval = asked == 0 ? HEAP_INTERVAL_DEFAULT : asked > (1U << 30) ? (1U << 30) : asked;
    growth = number(HEAP_ENV_GROWTH, 0);
    dump_at = growth;
    seed = number(HEAP_ENV_SEED, 0);
    stop_in_children = fork_rule != NULL && strcmp(fork_rule, "stop") == 0;
    bool good = where != NULL && where[0] != '\0' && strlen(where) < sizeof folder;
    if (good) {
        memcpy(folder, where, strlen(where) + 1);
        const char *mark = getenv(HEAP_ENV_LOADED);
        if (mark != NULL && strcmp(mark, "1") == 0) {
            say_loaded();
        }
    }
    errno = saved;
    __atomic_store_n(&state, good ? 1 : 2, __ATOMIC_RELEASE);
}

bool heap_is_off(void)
{
    return __atomic_load_n(&state, __ATOMIC_ACQUIRE) == 2;
}

uint64_t heap_period(void)
{
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != 1) {
        return 0;
    }
    uint32_t less = __atomic_load_n(&finer, __ATOMIC_RELAXED);
    uint64_t period = interval << __atomic_load_n(&coarser, __ATOMIC_RELAXED) >> less;
    return period > 0 ? period : 1;
}

void heap_adjust(uint64_t samples, uint64_t live, uint64_t now_ns)
{
    if (samples % ADJUST_SAMPLES != 0) {
        return;
    }
    uint64_t took = now_ns - __atomic_exchange_n(&adjusted_at, now_ns, __ATOMIC_RELAXED);
    uint32_t less = __atomic_load_n(&finer, __ATOMIC_RELAXED);
    if (less > 0 && (took < ADJUST_FAST_NS || live > LIVE_MANY)) {
        __atomic_store_n(&finer, less - 1, __ATOMIC_RELAXED);
    } else if (!fixed && less < FINER_MAX && took > ADJUST_SLOW_NS && live < LIVE_MANY / 2) {
        __atomic_store_n(&finer, less + 1, __ATOMIC_RELAXED);
    }
    uint32_t more = __atomic_load_n(&coarser, __ATOMIC_RELAXED);
    if (live > LIVE_FULL && more < COARSER_MAX) {
        __atomic_store_n(&coarser, more + 1, __ATOMIC_RELAXED);
    }
}

uint64_t heap_seed(void)
{
    uint64_t given = __atomic_add_fetch(&seeds_given, 1, __ATOMIC_RELAXED);
    uint64_t x = seed;
    if (x == 0) {
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        x = (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 30) ^ ((uint64_t)getpid() << 44);
    }
    x += given * UINT64_C(0x9e3779b97f4a7c15); /* splitmix64, as in base/rng */
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t heap_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void heap_lock_take(uint32_t *lock)
{
    uint32_t spins = 0;
    while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(lock, __ATOMIC_RELAXED) != 0) {
            if (++spins >= SPINS) { /* its holder does not run */
                (void)sched_yield();
            }
        }
    }
}

/* --- the file ------------------------------------------------------------------------------- */

static char *append_number(char *at, const char *end, uint64_t value)
{
    char digits[24];
    size_t count = sizeof digits;
    digits[--count] = '\0';
    do {
        digits[--count] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return append(at, end, &digits[count]);
}

static void complain(const char *path, const char *why)
{
    char text[PATH_BYTES + 128];
    char *at = append(text, text + sizeof text, "brisk: heap profile: ");
    at = append(at, text + sizeof text, path);
    at = append(at, text + sizeof text, ": ");
    at = append(at, text + sizeof text, why);
    at = append(at, text + sizeof text, "; nothing is sampled\n");
    (void)!write(STDERR_FILENO, text, (size_t)(at - text));
}

static int open_new(char path[PATH_BYTES], const char *middle, uint32_t max)
{
    for (uint32_t i = 0; i < max; i++) {
        char *at = append(path, path + PATH_BYTES, folder);
        at = append(at, path + PATH_BYTES, "/");
        at = append_number(at, path + PATH_BYTES, (uint64_t)getpid());
        at = append(at, path + PATH_BYTES, middle);
        at = append_number(at, path + PATH_BYTES, i);
        (void)append(at, path + PATH_BYTES, ".heap");
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

/* Every block of it is there, or an error says why not. */
static int make_room(int fd)
{
    static const char zeros[4096];
    if (fallocate(fd, 0, 0, (off_t)HEAP_FILE_SIZE) == 0) {
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) {
        return errno;
    }
    for (uint64_t at = 0; at < HEAP_FILE_SIZE; at += sizeof zeros) {
        if (pwrite(fd, zeros, sizeof zeros, (off_t)at) != (ssize_t)sizeof zeros) {
            return errno != 0 ? errno : ENOSPC;
        }
    }
    return 0;
}

static void read_command(char command[HEAP_COMMAND_MAX])
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, command, HEAP_COMMAND_MAX - 1) : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    got = got > 0 && command[got - 1] == '\0' ? got - 1 : got;
    for (ssize_t i = 0; i < got; i++) {
        command[i] = command[i] == '\0' ? ' ' : command[i];
    }
    command[got > 0 ? got : 0] = '\0';
}

static void begin_head(heap_head *head)
{
    struct timespec wall;
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    head->pid = (uint32_t)getpid();
    head->interval = interval;
    head->start_ns = heap_now_ns();
    head->now_ns = head->start_ns;
    head->wall_start_ns = (uint64_t)wall.tv_sec * UINT64_C(1000000000) + (uint64_t)wall.tv_nsec;
    head->stack_count = 1; /* 0: those that do not fit */
    read_command(head->command);
    memcpy(head->magic, HEAP_MAGIC, sizeof head->magic); /* last: it is a profile from here on */
}

static bool make_file(void)
{
    char path[PATH_BYTES];
    int fd = open_new(path, "-", FILES_MAX);
    if (fd < 0) {
        complain(path, strerrordesc_np(errno));
        return false;
    }
    int error = make_room(fd);
    char *base = MAP_FAILED;
    if (error == 0) {
        base = mmap(NULL, HEAP_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = base == MAP_FAILED ? errno : 0;
    }
    (void)close(fd);
    if (error != 0) {
        (void)unlink(path);
        complain(path, strerrordesc_np(error));
        return false;
    }
    heap_reset_tables();
    heap_file = (heap_map){.head = (heap_head *)(void *)base,
                           .stacks = (heap_stack *)(void *)(base + HEAP_STACKS_AT),
                           .frames = (uint64_t *)(void *)(base + HEAP_FRAMES_AT),
                           .live = (heap_live *)(void *)(base + HEAP_LIVE_AT),
                           .maps = base + HEAP_MAPS_AT};
    begin_head(heap_file.head);
    heap_module_count = 0;
    maps_read_at = 0;
    maps_used = 0;
    tick_at = 0;
    dump_at = growth;
    adjusted_at = heap_file.head->start_ns;
    heap_read_maps();
    return true;
}

/*
 * Without signals: one that comes while room is made for the file breaks that off (EINTR), and a program with a fast
 * timer would never get it.
 */
static bool make_file_quietly(void)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    bool good = make_file();
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return good;
}

/* Under no lock; several threads may come. */
static bool set_up(void)
{
    if (heap_lock == NULL) {
        heap_locks *page =
            mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0) {
            __atomic_store_n(&state, 2, __ATOMIC_RELEASE);
            return false;
        }
        heap_locks *none = NULL;
        if (!__atomic_compare_exchange_n(&heap_lock, &none, page, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            (void)munmap(page, 4096);
        }
    }
    heap_lock_take(&heap_lock->setup);
    bool good = __atomic_load_n(&state, __ATOMIC_ACQUIRE) == 1;
    if (good && __atomic_load_n(&heap_lock->alive, __ATOMIC_ACQUIRE) == 0) {
        bool child = heap_file.head != NULL;
        good = !(child && stop_in_children) && make_file_quietly();
        if (!good) {
            heap_reset_tables();
            __atomic_store_n(&state, 2, __ATOMIC_RELEASE);
        } else {
            __atomic_store_n(&heap_lock->alive, 1, __ATOMIC_RELEASE);
        }
    }
    heap_lock_drop(&heap_lock->setup);
    return good;
}

bool heap_ready(void)
{
    uint32_t now = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    if (now != 1) {
        return false;
    }
    heap_locks *locks = __atomic_load_n(&heap_lock, __ATOMIC_ACQUIRE);
    if (HEAP_LIKELY(locks != NULL && __atomic_load_n(&locks->alive, __ATOMIC_ACQUIRE) != 0)) {
        return true;
    }
    return set_up();
}

/* --- mappings ------------------------------------------------------------------------------- */

const heap_module *heap_module_of(uintptr_t pc)
{
    uint32_t count = __atomic_load_n(&heap_module_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = count; i > 0; i--) { /* the newest first: addresses are used again */
        if (pc - heap_modules[i - 1].start < heap_modules[i - 1].end - heap_modules[i - 1].start) {
            return &heap_modules[i - 1];
        }
    }
    return NULL;
}

static uintptr_t hex(const char **at)
{
    uintptr_t value = 0;
    for (;; (*at)++) {
        char c = **at;
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uintptr_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uintptr_t)(c - 'a' + 10);
        } else {
            return value;
        }
    }
}

static const char *skip_word(const char *at)
{
    while (*at != ' ' && *at != '\0') {
        at++;
    }
    while (*at == ' ') {
        at++;
    }
    return at;
}

/* Whether the text has the line already. */
static bool has_line(const char *line, size_t size)
{
    return memmem(heap_file.maps, maps_used, line, size) != NULL;
}

typedef struct maps_reader {
    uintptr_t base; /* of the file whose lines come */
    char file[160]; /* "fe:00 1234 /usr/lib/x.so", cut */
} maps_reader;

/* One line without its end, terminated; `line[size]` may be written to. */
static void take_line(maps_reader *r, char *line, size_t size)
{
    const char *at = line;
    uintptr_t start = hex(&at);
    at++;
    uintptr_t end = hex(&at);
    const char *rights = ++at;
    at = skip_word(at);
    uintptr_t offset = hex(&at);
    const char *file = skip_word(at);
    if (offset == 0 || strncmp(file, r->file, sizeof r->file - 1) != 0) {
        (void)append(r->file, r->file + sizeof r->file, file);
        r->base = offset == 0 ? start : 0;
    }
    if (rights[2] != 'x') {
        return;
    }
    line[size] = '\n';
    heap_head *head = heap_file.head;
    if (has_line(line, size + 1) || HEAP_MAPS_MAX - maps_used < size + 1) {
        return;
    }
    memcpy(heap_file.maps + maps_used, line, size + 1);
    maps_used += (uint32_t)size + 1;
    __atomic_store_n(&head->map_bytes, maps_used, __ATOMIC_RELEASE);
    if (heap_module_count < HEAP_MODULES_MAX) {
        heap_modules[heap_module_count] =
            (heap_module){.start = start, .end = end, .base = r->base, .eh_hdr = 1};
        __atomic_store_n(&heap_module_count, heap_module_count + 1, __ATOMIC_RELEASE);
    }
}

void heap_read_maps(void)
{
    static char text[8192]; /* guarded by the lock */
    uint64_t now = heap_now_ns();
    if (maps_read_at != 0 && now - maps_read_at < MAPS_AGAIN_NS) {
        return;
    }
    maps_read_at = now;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    maps_reader reader = {.base = 0};
    size_t have = 0;
    while (fd >= 0) {
        ssize_t got = read(fd, text + have, sizeof text - 1 - have);
        if (got <= 0) {
            break;
        }
        have += (size_t)got;
        char *line = text;
        char *line_end;
        while ((line_end = memchr(line, '\n', have - (size_t)(line - text))) != NULL) {
            *line_end = '\0';
            take_line(&reader, line, (size_t)(line_end - line));
            line = line_end + 1;
        }
        have -= (size_t)(line - text);
        have = have == sizeof text - 1 ? 0 : have; /* no path is that long */
        memmove(text, line, have);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* --- now and then --------------------------------------------------------------------------- */

static bool write_at(int fd, const void *data, size_t size, uint64_t at)
{
    const char *bytes = data;
    while (size > 0) {
        ssize_t done = pwrite(fd, bytes, size, (off_t)at);
        if (done <= 0) {
            return false;
        }
        bytes += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}

/* A copy of the file as it is now; holes where nothing is. */
static void dump(void)
{
    static uint32_t dumps;
    char path[PATH_BYTES];
    heap_head head = *heap_file.head;
    head.dump = ++dumps;
    head.stack_count = head.stack_count < HEAP_STACKS_MAX ? head.stack_count : HEAP_STACKS_MAX;
    head.frame_count = head.frame_count < HEAP_FRAMES_MAX ? head.frame_count : HEAP_FRAMES_MAX;
    head.map_bytes = head.map_bytes < HEAP_MAPS_MAX ? head.map_bytes : HEAP_MAPS_MAX;
    int fd = open_new(path, "-growth-", HEAP_DUMPS_MAX);
    if (fd < 0) {
        return;
    }
    bool good =
        ftruncate(fd, (off_t)HEAP_FILE_SIZE) == 0 && write_at(fd, &head, sizeof head, 0) &&
        write_at(fd, heap_file.stacks, head.stack_count * sizeof(heap_stack), HEAP_STACKS_AT) &&
        write_at(fd, heap_file.frames, head.frame_count * sizeof(uint64_t), HEAP_FRAMES_AT) &&
        write_at(fd, heap_file.live, HEAP_MAPS_AT - HEAP_LIVE_AT, HEAP_LIVE_AT) &&
        write_at(fd, heap_file.maps, head.map_bytes, HEAP_MAPS_AT);
    (void)close(fd);
    if (!good) {
        (void)unlink(path);
    }
}

/* Returns what it cost. */
static uint64_t ask_malloc(uint64_t now_ns)
{
    struct timespec before;
    struct timespec after;
    uint64_t system;
    uint64_t used;
    heap_head *head = heap_file.head;
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    if (heap_malloc_figures(&system, &used)) {
        __atomic_store_n(&head->malloc_system, system, __ATOMIC_RELAXED);
        __atomic_store_n(&head->malloc_used, used, __ATOMIC_RELAXED);
        __atomic_store_n(&head->malloc_at_ns, now_ns, __ATOMIC_RELAXED);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    return (uint64_t)(after.tv_sec - before.tv_sec) * UINT64_C(1000000000) +
           (uint64_t)(after.tv_nsec - before.tv_nsec);
}

void heap_finish(void)
{
    heap_locks *locks = __atomic_load_n(&heap_lock, __ATOMIC_ACQUIRE);
    if (heap_file.head != NULL && locks != NULL &&
        __atomic_load_n(&locks->alive, __ATOMIC_ACQUIRE) != 0) {
        uint64_t now = heap_now_ns();
        (void)ask_malloc(now);
        __atomic_store_n(&heap_file.head->now_ns, now, __ATOMIC_RELAXED);
    }
}

void heap_tick(uint64_t now_ns)
{
    heap_head *head = heap_file.head;
    uint64_t due = __atomic_load_n(&tick_at, __ATOMIC_RELAXED);
    if (now_ns >= due && __atomic_compare_exchange_n(&tick_at, &due, now_ns + TICK_NS, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        /* It walks malloc's lists of free blocks: never more than one part in 500 of the time. */
        uint64_t cost = ask_malloc(now_ns);
        uint64_t pause = cost * 500 > TICK_NS ? cost * 500 : TICK_NS;
        __atomic_store_n(&tick_at, now_ns + pause, __ATOMIC_RELAXED);
    }
    uint64_t limit = __atomic_load_n(&dump_at, __ATOMIC_RELAXED);
    uint64_t live = __atomic_load_n(&head->live_bytes, __ATOMIC_RELAXED);
    if (growth > 0 && live >= limit && live <= INT64_MAX &&
        __atomic_compare_exchange_n(&dump_at, &limit, live + growth, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        dump();
    }
}
