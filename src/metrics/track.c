/*
 * track.c -- the slow halves of operations: making their metrics, details for listeners.
 *
 * A detail is taken from a list of the thread's own, so that a nested operation costs no allocation after
 * the first of its depth; details are chained to the one around them.  Where there is no memory for one the
 * operation is timed and nobody is told of it.
 *
 * `slow_` of an operation has bit 0 until its metrics are made, and bit 1 for its life when its flags want
 * more than time; it is stored with release, so that whoever reads 0 there sees the metrics.
 *
 * Locks: `making` (an operation's metrics are made once; the registry's come after it), `listeners.lock`
 * (read while telling, so that stop waits for those who are told).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brisk/track.h>

#include "base/assert.h"
#include "metrics/thread_id.h"

enum { SLOW_UNPREPARED = 1, SLOW_FLAGS = 2, DEPTH_MAX = 64 };

typedef struct brisk_track_detail {
    struct brisk_track_detail *outer; /* the one around it; or the next that is free */
    uint64_t id;
    uint64_t parent;
    uint64_t root;
    uint64_t start_ns;
    uint64_t start_wall_ns;
    uint64_t start_cpu_ns;
    int64_t start_memory;
    uint32_t context_count;
    uint32_t marker_count;
    uint32_t left_out;
    brisk_track_pair context[BRISK_TRACK_CONTEXT_MAX];
    brisk_track_marker markers[BRISK_TRACK_MARKERS_MAX];
} detail;

uint32_t brisk_private_track_listening;

static _Atomic uint64_t last_id;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* File-scope state: who is told, in the process. */
static struct {
    pthread_rwlock_t lock;
    brisk_track_listener run[BRISK_TRACK_LISTENERS_MAX];
    void *ctx[BRISK_TRACK_LISTENERS_MAX];
    uint32_t count;
} listeners = {.lock = PTHREAD_RWLOCK_INITIALIZER};

/* The thread's own: what runs, what is free, and whether a listener runs. */
static _Thread_local struct {
    detail *inner;
    detail *spare;
    uint32_t depth;
    bool telling;
    bool registered; /* its details are freed when it ends */
} here;

static pthread_key_t key;
static bool has_key;

static void free_list(detail *first)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    while (first != NULL) {
        detail *next = first->outer;
        alloc->release(alloc->ctx, first, sizeof *first, _Alignof(detail));
        first = next;
    }
}

static void free_details(void *unused)
{
    (void)unused;
    free_list(here.spare);
    free_list(here.inner); /* forgotten ones: their tracks are gone with the stack */
    here.spare = NULL;
    here.inner = NULL;
    here.depth = 0;
    here.registered = false;
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, free_details) == 0;
}

/* ---- metrics of an operation --------------------------------------------------------------- */

static brisk_err make_metrics(brisk_operation *operation)
{
    brisk_metrics *metrics =
        operation->metrics != NULL ? operation->metrics : brisk_metrics_default();
    char name[BRISK_METRIC_NAME_MAX + 16];
    brisk_metric_desc desc = {.name = name, .help = "Time of an operation", .unit = BRISK_UNIT_NS};
    (void)snprintf(name, sizeof name, "%s.time", operation->name);
    brisk_err err = brisk_metrics_histogram(metrics, &desc, &operation->time_);
    if (err == BRISK_OK && (operation->flags & BRISK_TRACK_CPU) != 0) {
        desc.help = "Processor time of an operation's thread";
        (void)snprintf(name, sizeof name, "%s.cpu", operation->name);
        err = brisk_metrics_histogram(metrics, &desc, &operation->cpu_);
    }
    desc.unit = BRISK_UNIT_NONE;
    if (err == BRISK_OK) {
        desc.help = "Operations that failed";
        (void)snprintf(name, sizeof name, "%s.failures", operation->name);
        err = brisk_metrics_counter(metrics, &desc, &operation->failures_);
    }
    if (err == BRISK_OK) {
        desc.help = "Operations that took too long";
        (void)snprintf(name, sizeof name, "%s.timeouts", operation->name);
        err = brisk_metrics_counter(metrics, &desc, &operation->timeouts_);
    }
    return err;
}

brisk_err brisk_operation_prepare(brisk_operation *operation)
{
    brisk_clock_calibrate();
    int failed = pthread_mutex_lock(&making);
    BRISK_ASSERT(failed == 0);
    brisk_err err = BRISK_OK;
    if ((operation->slow_ & SLOW_UNPREPARED) != 0) {
        err = make_metrics(operation);
        if (err == BRISK_OK) {
            /* Release: pairs with the acquire in brisk_private_track_is_slow. */
            __atomic_store_n(&operation->slow_, operation->flags != 0 ? SLOW_FLAGS : 0,
                             __ATOMIC_RELEASE);
        }
    }
    failed = pthread_mutex_unlock(&making);
    BRISK_ASSERT(failed == 0);
    return err;
}

/* ---- details ------------------------------------------------------------------------------- */

/* The process's resident bytes; 0 when the kernel does not say. */
static int64_t resident_bytes(void)
{
    char text[64];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *second = strchr(text, ' ');
    return second != NULL ? (int64_t)strtoull(second, NULL, 10) * sysconf(_SC_PAGESIZE) : 0;
}

static detail *take_detail(void)
{
    if (here.depth == DEPTH_MAX) {
        return NULL;
    }
    detail *d = here.spare;
    if (d != NULL) {
        here.spare = d->outer;
    } else {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        (void)pthread_once(&once, make_key);
        if (!here.registered) {
            here.registered = has_key && pthread_setspecific(key, &here) == 0;
        }
        const brisk_alloc *alloc = brisk_alloc_libc();
        d = here.registered ? alloc->acquire(alloc->ctx, sizeof *d, _Alignof(detail)) : NULL;
        if (d == NULL) {
            return NULL;
        }
    }
    d->outer = here.inner;
    here.inner = d;
    here.depth++;
    return d;
}

struct brisk_track_detail *brisk_private_track_open(brisk_operation *operation)
{
    if ((__atomic_load_n(&operation->slow_, __ATOMIC_ACQUIRE) & SLOW_UNPREPARED) != 0 &&
        brisk_operation_prepare(operation) != BRISK_OK) {
        return NULL; /* tried again at the next begin */
    }
    bool told =
        __atomic_load_n(&brisk_private_track_listening, __ATOMIC_RELAXED) != 0 && !here.telling;
    if (!told && operation->flags == 0) {
        return NULL;
    }
    detail *d = take_detail();
    if (d == NULL) {
        return NULL;
    }
    d->context_count = 0;
    d->marker_count = 0;
    d->left_out = 0;
    d->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    d->parent = d->outer != NULL ? d->outer->id : 0;
    d->root = d->outer != NULL ? d->outer->root : d->id;
    d->start_memory = (operation->flags & BRISK_TRACK_MEMORY) != 0 ? resident_bytes() : 0;
    d->start_ns = brisk_clock_now_ns(NULL);
    d->start_wall_ns = brisk_clock_wall_ns(NULL);
    d->start_cpu_ns = (operation->flags & BRISK_TRACK_CPU) != 0 ? brisk_clock_thread_cpu_ns() : 0;
    return d;
}

/* Is it one of those that run?  Else it was given back when one around it ended. */
static bool is_open(const detail *wanted)
{
    for (const detail *d = here.inner; d != NULL; d = d->outer) {
        if (d == wanted) {
            return true;
        }
    }
    return false;
}

/* Give back `wanted` and whatever was forgotten within it. */
static void give_back(const detail *wanted)
{
    for (bool last = false; !last;) {
        detail *d = here.inner;
        last = d == wanted;
        here.inner = d->outer;
        here.depth--;
        d->outer = here.spare;
        here.spare = d;
    }
}

static void tell(const brisk_track_record *record)
{
    if (__atomic_load_n(&brisk_private_track_listening, __ATOMIC_RELAXED) == 0 || here.telling) {
        return;
    }
    here.telling = true;
    int failed = pthread_rwlock_rdlock(&listeners.lock);
    BRISK_ASSERT(failed == 0);
    for (uint32_t i = 0; i < listeners.count; i++) {
        listeners.run[i](listeners.ctx[i], record);
    }
    failed = pthread_rwlock_unlock(&listeners.lock);
    BRISK_ASSERT(failed == 0);
    here.telling = false;
}

static void add_detail(const brisk_operation *operation, const detail *d,
                       brisk_track_record *record)
{
    record->id = d->id;
    record->parent = d->parent;
    record->root = d->root;
    record->start_ns = d->start_ns;
    record->start_wall_ns = d->start_wall_ns;
    record->context = d->context;
    record->context_count = d->context_count;
    record->markers = d->markers;
    record->marker_count = d->marker_count;
    record->left_out = d->left_out;
    if ((operation->flags & BRISK_TRACK_CPU) != 0) {
        record->cpu_ns = brisk_clock_thread_cpu_ns() - d->start_cpu_ns;
        if (operation->cpu_ != NULL) {
            brisk_histogram_record(operation->cpu_, record->cpu_ns);
        }
    }
    if ((operation->flags & BRISK_TRACK_MEMORY) != 0) {
        record->memory_bytes = resident_bytes() - d->start_memory;
    }
}

void brisk_private_track_close(brisk_track *track, uint64_t time_ns, brisk_outcome outcome,
                               brisk_track_record *ret)
{
    const brisk_operation *operation = track->operation_;
    brisk_counter *counter = outcome == BRISK_OUTCOME_FAILED    ? operation->failures_
                             : outcome == BRISK_OUTCOME_TIMEOUT ? operation->timeouts_
                                                                : NULL;
    if (counter != NULL) {
        brisk_counter_add(counter, 1);
    }
    brisk_track_record record = {.name = operation->name,
                                 .thread = metrics_thread_id(),
                                 .outcome = outcome,
                                 .time_ns = time_ns,
                                 .flags = operation->flags};
    const detail *d = track->detail_;
    if (d != NULL && is_open(d)) {
        add_detail(operation, d, &record);
        tell(&record);
        give_back(d);
    }
    track->detail_ = NULL;
    if (ret != NULL) {
        record.context = NULL; /* lives in the detail */
        record.context_count = 0;
        record.markers = NULL;
        record.marker_count = 0;
        *ret = record;
    }
}

static void copy_text(char to[BRISK_TRACK_TEXT_MAX], const char *text)
{
    size_t length = strnlen(text, BRISK_TRACK_TEXT_MAX);
    if (length == BRISK_TRACK_TEXT_MAX) {
        length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--; /* do not leave half a UTF-8 character */
        }
    }
    memcpy(to, text, length);
    to[length] = '\0';
}

void brisk_track_set(brisk_track *track, const char *key_text, const char *value)
{
    detail *d = track->detail_;
    if (d == NULL || !is_open(d)) {
        return;
    }
    if (d->context_count == BRISK_TRACK_CONTEXT_MAX) {
        d->left_out++;
        return;
    }
    brisk_track_pair *pair = &d->context[d->context_count++];
    copy_text(pair->key, key_text);
    copy_text(pair->value, value);
}

void brisk_track_mark(brisk_track *track, const char *name)
{
    detail *d = track->detail_;
    if (d == NULL || !is_open(d)) {
        return;
    }
    if (d->marker_count == BRISK_TRACK_MARKERS_MAX) {
        d->left_out++;
        return;
    }
    brisk_track_marker *marker = &d->markers[d->marker_count++];
    copy_text(marker->name, name);
    marker->at_ns = brisk_clock_ticks_to_ns(brisk_clock_ticks() - track->start_);
}

/* ---- listeners ----------------------------------------------------------------------------- */

static void change_listeners(void)
{
    BRISK_ASSERT(!here.telling);
    int failed = pthread_rwlock_wrlock(&listeners.lock);
    BRISK_ASSERT(failed == 0);
}

static void listeners_changed(void)
{
    /* Relaxed: an operation that begins meanwhile may still go untold. */
    __atomic_store_n(&brisk_private_track_listening, listeners.count, __ATOMIC_RELAXED);
    int failed = pthread_rwlock_unlock(&listeners.lock);
    BRISK_ASSERT(failed == 0);
}

brisk_err brisk_track_listen(brisk_track_listener listener, void *ctx)
{
    BRISK_ASSERT(listener != NULL);
    brisk_err err = BRISK_OK;
    change_listeners();
    for (uint32_t i = 0; i < listeners.count; i++) {
        if (listeners.run[i] == listener && listeners.ctx[i] == ctx) {
            err = BRISK_ERR_CONFLICT;
        }
    }
    if (err == BRISK_OK && listeners.count == BRISK_TRACK_LISTENERS_MAX) {
        err = BRISK_ERR_LIMIT;
    }
    if (err == BRISK_OK) {
        listeners.run[listeners.count] = listener;
        listeners.ctx[listeners.count++] = ctx;
    }
    listeners_changed();
    return err;
}

void brisk_track_listen_stop(brisk_track_listener listener, void *ctx)
{
    change_listeners();
    uint32_t kept = 0;
    for (uint32_t i = 0; i < listeners.count; i++) {
        if (listeners.run[i] != listener || listeners.ctx[i] != ctx) {
            listeners.run[kept] = listeners.run[i];
            listeners.ctx[kept++] = listeners.ctx[i];
        }
    }
    listeners.count = kept;
    listeners_changed();
}
