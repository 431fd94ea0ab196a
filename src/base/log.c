/*
 * log.c -- the process's one log sink behind <brisk/log.h>.
 *
 * A line is formatted on the caller's stack and handed to the sink under one mutex; nothing
 * allocates, so that running out of memory can be logged.  The rate limit keeps a small table by
 * the address of the format string, which is cheaper than its text and tells call sites apart:
 *
 *     slot = {format, start of its second, lines let through, lines left out}
 *
 * A format hashes to one slot; another one that lands there takes the slot over, its count of left
 * out lines is lost.  That can let a line too many through, never one too few.
 *
 * Locks: `state.lock`, a leaf: a sink must not log.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "base/text.h"

enum { SLOT_BITS = 8, SLOTS = 1 << SLOT_BITS, NOTE_MAX = 48 };

static const uint64_t window_ns = UINT64_C(1000000000);

typedef struct slot {
    const char *format;
    uint64_t since_ns;
    uint32_t passed;
    uint32_t left_out;
} slot;

/* File-scope state: the log is the process's, so that any layer can reach it in trouble. */
static struct {
    pthread_mutex_t lock;
    _Atomic int level; /* read without the lock: a dropped line costs one load */
    brisk_log_sink sink;
    void *ctx;
    const brisk_clock *clock;
    slot slots[SLOTS];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = BRISK_LOG_WARNING};

static void lock(void)
{
    int failed = pthread_mutex_lock(&state.lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(void)
{
    int failed = pthread_mutex_unlock(&state.lock);
    BRISK_ASSERT(failed == 0);
}

/* One write, so that lines of several processes do not mix.  Nowhere to report its failure. */
static void default_sink(const char *area, const char *line)
{
    char text[BRISK_LOG_LINE_MAX + 128];
    int size = snprintf(text, sizeof text - 1, "brisk: %.64s: %s", area, line);
    if (size < 0) {
        return;
    }
    size_t used = (size_t)size < sizeof text - 1 ? (size_t)size : sizeof text - 2;
    text[used] = '\n';
    brisk_err ignored = brisk_file_write_all(STDERR_FILENO, text, used + 1);
    (void)ignored;
}

void brisk_log_set_sink(brisk_log_sink sink, void *ctx, const brisk_clock *clock)
{
    lock();
    state.sink = sink;
    state.ctx = ctx;
    state.clock = clock;
    for (int i = 0; i < SLOTS; i++) {
        state.slots[i] = (slot){0}; /* another clock: old times mean nothing */
    }
    unlock();
}

void brisk_log_set_level(brisk_log_level level)
{
    atomic_store_explicit(&state.level, (int)level, memory_order_relaxed);
}

static slot *slot_of(const char *format)
{
    uint64_t mixed = (uint64_t)(uintptr_t)format * UINT64_C(0x9e3779b97f4a7c15);
    return &state.slots[mixed >> (64 - SLOT_BITS)];
}

/* Under the lock: may this line pass, and how many did not since the last one that did? */
static bool admit(const char *format, uint32_t *left_out)
{
    uint64_t now_ns = brisk_clock_now_ns(state.clock);
    slot *s = slot_of(format);
    if (s->format != format) {
        *s = (slot){.format = format, .since_ns = now_ns};
    } else if (now_ns - s->since_ns >= window_ns) {
        s->since_ns = now_ns;
        s->passed = 0;
    }
    if (s->passed >= BRISK_LOG_BURST) {
        s->left_out += s->left_out < UINT32_MAX ? 1 : 0;
        return false;
    }
    s->passed++;
    *left_out = s->left_out;
    s->left_out = 0;
    return true;
}

void brisk_log(brisk_log_level level, const char *area, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&state.level, memory_order_relaxed)) {
        return;
    }
    char line[BRISK_LOG_LINE_MAX + NOTE_MAX];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, BRISK_LOG_LINE_MAX, format, args);
    va_end(args);
    if (size < 0) {
        return;
    }
    size_t used = (size_t)size < BRISK_LOG_LINE_MAX ? (size_t)size : BRISK_LOG_LINE_MAX - 1;
    brisk_text_make_plain(line, used);
    uint32_t left_out = 0;
    lock();
    if (admit(format, &left_out)) {
        if (left_out != 0) {
            (void)snprintf(line + used, sizeof line - used, " (%u like it left out)", left_out);
        }
        if (state.sink != NULL) {
            state.sink(state.ctx, level, area, line);
        } else {
            default_sink(area, line);
        }
    }
    unlock();
}
