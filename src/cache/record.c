/*
 * record.c -- the recorder behind <brisk/record.h>.
 *
 *     note ─► ring[thread] ─┐
 *     note ─► ring[thread] ─┴► worker: merge by time ─► raw block ─► compress ─► append
 *
 * The worker looks every POLL_NS, or when a ring is half full.  It keeps the oldest note of each
 * ring beside it and takes the oldest of those, so that records are in the order of time as far as
 * notes had arrived.
 *
 * A block is written when it is full, when it is flush_ns old, and at the end.  Appending happens
 * under flock(2) on the file: what another recorder wrote stays whole.  A write that came out short
 * is cut off again; whatever stands there that is no block, a reader skips.
 *
 * Threads: any.  `lock` protects figures and sleep, never held while writing.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <brisk/counter.h>
#include <brisk/file.h>

#include "base/assert.h"
#include "base/thread.h"
#include "cache/note_ring.h"
#include "cache/record_file.h"
#include "metrics/thread_id.h"
#include "wire/codec.h"

enum {
    RINGS = 8, /* power of two */
    POLL_NS = 5000000,
    NS_PER_S = 1000000000,
    ZSTD_LEVEL = 3,
};

static_assert((int)BRISK_RECORD_KEY_MAX <= (int)NOTE_KEY_MAX, "a key fits into a note");

static const uint64_t bytes_max_default = UINT64_C(1) << 30;
static const uint64_t ring_bytes_default = UINT64_C(2) << 20;
static const uint64_t ring_bytes_min = 65536;
static const uint64_t ring_bytes_max = UINT64_C(1) << 30;

typedef struct record_note {
    uint64_t time_ns;
    uint64_t hash;
    uint64_t size;
    uint32_t tier;
    uint32_t op;
} record_note;

/* The oldest note of a ring, taken out. */
typedef struct record_staged {
    bool full;
    record_note note;
    uint32_t key_size;
    unsigned char key[NOTE_KEY_MAX];
} record_staged;

struct brisk_recorder {
    brisk_recorder_opts opts;
    const brisk_alloc *alloc;
    int fd;
    uint32_t ring_capacity;
    codec_kit *kit;
    note_ring rings[RINGS];
    unsigned char *ring_bytes;
    brisk_counter noted;
    brisk_counter dropped;
    brisk_thread worker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;                  /* under `lock` */
    _Atomic bool half_full;     /* wake the worker once */
    brisk_recorder_stats stats; /* under `lock` */
    /* The worker's: */
    uint64_t dropped_told; /* in blocks so far */
    uint64_t begun_ns;     /* monotonic; of the block */
    uint64_t first_ns;     /* wall; of its first record */
    uint64_t last_ns;
    uint32_t count;
    size_t raw_size;
    record_staged staged[RINGS];
    unsigned char raw[RECORD_RAW_MAX];
    unsigned char packed[RECORD_BLOCK_HEAD + RECORD_PACKED_MAX];
};

static void lock(brisk_recorder *r)
{
    int failed = pthread_mutex_lock(&r->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(brisk_recorder *r)
{
    int failed = pthread_mutex_unlock(&r->lock);
    BRISK_ASSERT(failed == 0);
}

/* --- the file ------------------------------------------------------------------------------ */

static brisk_err err_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR: return BRISK_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS: return BRISK_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return BRISK_ERR_FULL;
    case EISDIR:
    case ENXIO: return BRISK_ERR_INVALID;
    default: return BRISK_ERR_IO;
    }
}

/* Under the file's lock: a new file gets its head, an old one must be a recording. */
static brisk_err check_head(brisk_recorder *r, brisk_errinfo *info)
{
    unsigned char head[RECORD_FILE_HEAD];
    uint32_t flags = 0;
    struct stat st;
    if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a regular file", r->opts.path);
    }
    if (st.st_size == 0) {
        record_file_head_write(head, r->opts.keys ? RECORD_FLAG_KEYS : 0);
        brisk_err err = brisk_file_write_all(r->fd, head, sizeof head);
        if (err != BRISK_OK) {
            (void)!ftruncate(r->fd, 0);
            return brisk_errinfo_set(info, err, "%s: %s", r->opts.path, brisk_err_message(err));
        }
        return BRISK_OK;
    }
    if (brisk_file_pread_all(r->fd, head, sizeof head, 0) != BRISK_OK ||
        !record_file_head_read(head, &flags)) {
        return brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                 "%s: is there, and is no recording; not touched", r->opts.path);
    }
    r->opts.keys = r->opts.keys && (flags & RECORD_FLAG_KEYS) != 0;
    return BRISK_OK;
}

static brisk_err open_file(brisk_recorder *r, brisk_errinfo *info)
{
    /* Not waiting for the other side of a FIFO; keys may be private: nobody else's. */
    r->fd =
        open(r->opts.path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (r->fd < 0) {
        int number = errno;
        return brisk_errinfo_set(info, err_of(number), "%s: %s", r->opts.path, strerror(number));
    }
    while (flock(r->fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            int number = errno;
            return brisk_errinfo_set(info, BRISK_ERR_IO, "%s: %s", r->opts.path, strerror(number));
        }
    }
    brisk_err err = check_head(r, info);
    (void)flock(r->fd, LOCK_UN);
    return err;
}

/* LIMIT: the file is as large as it may become. */
static brisk_err append(brisk_recorder *r, size_t size)
{
    static const unsigned char zeros[8] = {0};
    struct stat st;
    while (flock(r->fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            return BRISK_ERR_IO;
        }
    }
    brisk_err err = fstat(r->fd, &st) == 0 ? BRISK_OK : BRISK_ERR_IO;
    uint64_t end = err == BRISK_OK ? (uint64_t)st.st_size : 0;
    size_t gap = (size_t)(-end & 7); /* somebody was killed while writing */
    if (err == BRISK_OK && end + gap + size > r->opts.bytes_max) {
        err = BRISK_ERR_LIMIT;
    }
    if (err == BRISK_OK && gap > 0) {
        err = brisk_file_write_all(r->fd, zeros, gap);
    }
    if (err == BRISK_OK) {
        err = brisk_file_write_all(r->fd, r->packed, size);
        if (err != BRISK_OK) {
            (void)!ftruncate(r->fd, st.st_size);
        }
    }
    (void)flock(r->fd, LOCK_UN);
    return err;
}

/* --- blocks: the worker -------------------------------------------------------------------- */

static size_t pack(brisk_recorder *r, uint32_t dropped)
{
    codec_how how = {.id = CODEC_ZSTD, .level = ZSTD_LEVEL};
    unsigned char *body = r->packed + RECORD_BLOCK_HEAD;
    size_t size = 0;
    if (codec_squeeze(r->kit, &how, (codec_bytes){r->raw, r->raw_size},
                      (codec_room){body, RECORD_PACKED_MAX}, &size) != BRISK_OK) {
        how.id = CODEC_PLAIN;
        size = r->raw_size;
        memcpy(body, r->raw, size);
    }
    record_block block = {
        .raw_size = (uint32_t)r->raw_size,
        .packed_size = (uint32_t)size,
        .count = r->count,
        .dropped = dropped,
        .codec = (uint32_t)how.id,
        .time_ns = r->first_ns,
        .packed_hash = brisk_hash64(body, size, 0),
    };
    record_block_write(r->packed, &block);
    while ((size & 7) != 0) {
        body[size++] = 0;
    }
    return RECORD_BLOCK_HEAD + size;
}

/* Write the block, if there is anything to tell. */
static void flush(brisk_recorder *r)
{
    uint64_t dropped = brisk_counter_read(&r->dropped) - r->dropped_told;
    dropped = dropped < UINT32_MAX ? dropped : UINT32_MAX;
    if (r->count == 0 && dropped == 0) {
        return;
    }
    brisk_err err = r->stats.error; /* only the worker writes it */
    size_t size = 0;
    if (err == BRISK_OK) {
        size = pack(r, (uint32_t)dropped);
        err = append(r, size);
    }
    lock(r);
    if (err == BRISK_OK) {
        r->stats.written += r->count;
        r->stats.blocks++;
        r->stats.bytes += size;
    } else {
        r->stats.error = r->stats.error != BRISK_OK ? r->stats.error : err;
    }
    unlock(r);
    if (err == BRISK_OK) {
        r->dropped_told += dropped;
    } else {
        brisk_counter_add(&r->dropped, r->count);
    }
    r->count = 0;
    r->raw_size = 0;
}

static void add(brisk_recorder *r, const record_staged *staged)
{
    const record_note *note = &staged->note;
    if (r->count == 0) {
        r->first_ns = note->time_ns;
        r->last_ns = note->time_ns;
        r->begun_ns = brisk_clock_now_ns(NULL);
    }
    brisk_record record = {
        .time_ns = note->time_ns,
        .hash = note->hash,
        .size = note->size,
        .tier = note->tier,
        .op = (brisk_record_op)note->op,
        .hit = note->tier != UINT32_MAX,
        .key = staged->key_size > 0 ? staged->key : NULL,
        .key_size = staged->key_size,
    };
    r->raw_size += record_write(r->raw + r->raw_size, &record, &r->last_ns);
    r->count++;
    if (r->raw_size + RECORD_ONE_MAX > RECORD_RAW_MAX) {
        flush(r);
    }
}

/* Take the oldest note of all rings; false: there is none. */
static bool take_oldest(brisk_recorder *r)
{
    record_staged *oldest = NULL;
    for (uint32_t i = 0; i < RINGS; i++) {
        record_staged *staged = &r->staged[i];
        staged->full =
            staged->full || note_ring_pop(&r->rings[i], &staged->note, sizeof staged->note,
                                          staged->key, &staged->key_size);
        if (staged->full && (oldest == NULL || staged->note.time_ns < oldest->note.time_ns)) {
            oldest = staged;
        }
    }
    if (oldest == NULL) {
        return false;
    }
    add(r, oldest);
    oldest->full = false;
    return true;
}

/* False: it is over. */
static bool sleep_a_little(brisk_recorder *r)
{
    uint64_t until = brisk_clock_now_ns(NULL) + POLL_NS;
    struct timespec time = {.tv_sec = (time_t)(until / NS_PER_S),
                            .tv_nsec = (long)(until % NS_PER_S)};
    lock(r);
    if (!r->stop) {
        (void)pthread_cond_timedwait(&r->wake, &r->lock, &time);
    }
    bool go_on = !r->stop;
    unlock(r);
    atomic_store_explicit(&r->half_full, false, memory_order_relaxed);
    return go_on;
}

static void run_worker(void *ctx)
{
    brisk_recorder *r = ctx;
    bool go_on = true;
    while (go_on) {
        go_on = sleep_a_little(r);
        while (take_oldest(r)) {
        }
        if (r->count > 0 && brisk_clock_now_ns(NULL) - r->begun_ns >= r->opts.flush_ns) {
            flush(r);
        }
    }
    flush(r);
}

/* --- notes --------------------------------------------------------------------------------- */

void brisk_recorder_note(brisk_recorder *r, brisk_record_op op, const brisk_key *key, uint32_t tier,
                         uint64_t size)
{
    bool with_key = r->opts.keys && key->size <= BRISK_RECORD_KEY_MAX;
    record_note note = {
        .time_ns = brisk_clock_wall_ns(r->opts.clock),
        .hash = key->hash.lo,
        .size = size,
        .tier = tier,
        .op = (uint32_t)op,
    };
    note_parts parts = {.head = &note,
                        .head_size = sizeof note,
                        .key = key->bytes,
                        .key_size = with_key ? (uint32_t)key->size : 0};
    note_ring *ring = &r->rings[metrics_thread_id() & (RINGS - 1)];
    bool pushed = note_ring_push(ring, &parts);
    brisk_counter_add(pushed ? &r->noted : &r->dropped, 1);
    if (note_ring_is_half_full(ring) &&
        !atomic_load_explicit(&r->half_full, memory_order_relaxed) &&
        !atomic_exchange_explicit(&r->half_full, true, memory_order_relaxed)) {
        (void)pthread_cond_signal(&r->wake);
    }
}

void brisk_recorder_tap(void *recorder, const brisk_request *request)
{
    brisk_recorder_note(recorder, BRISK_RECORD_GET, request->key,
                        request->hit ? request->tier : UINT32_MAX, request->size);
}

void brisk_recorder_read_stats(brisk_recorder *r, brisk_recorder_stats *ret)
{
    lock(r);
    *ret = r->stats;
    unlock(r);
    ret->noted = brisk_counter_read(&r->noted);
    ret->dropped = brisk_counter_read(&r->dropped);
}

/* --- life ---------------------------------------------------------------------------------- */

static uint32_t capacity_of(uint64_t ring_bytes)
{
    uint32_t capacity = NOTE_RING_MIN;
    while ((uint64_t)capacity * 2 * RINGS <= ring_bytes) {
        capacity *= 2;
    }
    return capacity;
}

static brisk_err init(brisk_recorder *r, brisk_errinfo *info)
{
    r->ring_capacity = capacity_of(r->opts.ring_bytes);
    r->ring_bytes = r->alloc->acquire(r->alloc->ctx, (size_t)r->ring_capacity * RINGS, 64);
    brisk_err err = r->ring_bytes != NULL ? codec_kit_create(r->alloc, &r->kit) : BRISK_ERR_NOMEM;
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "recorder: %s", brisk_err_message(err));
    }
    for (uint32_t i = 0; i < RINGS; i++) {
        note_ring_init(&r->rings[i], r->ring_bytes + (size_t)i * r->ring_capacity,
                       r->ring_capacity);
    }
    err = open_file(r, info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_thread_opts worker = {.name = "brisk-record", .run = run_worker, .ctx = r};
    err = brisk_thread_start(&r->worker, &worker);
    return err == BRISK_OK ? err
                           : brisk_errinfo_set(info, err, "recorder: %s", brisk_err_message(err));
}

static void free_recorder(brisk_recorder *r)
{
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    codec_kit_destroy(r->kit);
    if (r->ring_bytes != NULL) {
        r->alloc->release(r->alloc->ctx, r->ring_bytes, (size_t)r->ring_capacity * RINGS, 64);
    }
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->lock);
    size_t path_bytes = strlen(r->opts.path) + 1;
    union {
        const char *given;
        char *ours;
    } path = {.given = r->opts.path};
    r->alloc->release(r->alloc->ctx, path.ours, path_bytes, 1);
    r->alloc->release(r->alloc->ctx, r, sizeof *r, _Alignof(brisk_recorder));
}

static brisk_err check_opts(const brisk_recorder_opts *opts, brisk_errinfo *info)
{
    if (opts->path == NULL || opts->path[0] == '\0') {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "recorder: no file is named");
    }
    if (opts->ring_bytes != 0 &&
        (opts->ring_bytes < ring_bytes_min || opts->ring_bytes > ring_bytes_max)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "recorder: memory for notes out of range");
    }
    return BRISK_OK;
}

static void init_locks(brisk_recorder *r)
{
    pthread_condattr_t attr;
    int failed = pthread_condattr_init(&attr);
    failed |= pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&r->wake, &attr);
    failed |= pthread_mutex_init(&r->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux */
    (void)pthread_condattr_destroy(&attr);
}

brisk_err brisk_recorder_create(const brisk_recorder_opts *opts, brisk_recorder **ret,
                                brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL && opts != NULL);
    brisk_err err = check_opts(opts, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    size_t path_bytes = strlen(opts->path) + 1;
    brisk_recorder *r = alloc->acquire(alloc->ctx, sizeof *r, _Alignof(brisk_recorder));
    char *path = r != NULL ? alloc->acquire(alloc->ctx, path_bytes, 1) : NULL;
    if (path == NULL) {
        if (r != NULL) {
            alloc->release(alloc->ctx, r, sizeof *r, _Alignof(brisk_recorder));
        }
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "recorder: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    memset(r, 0, offsetof(brisk_recorder, raw));
    memcpy(path, opts->path, path_bytes);
    r->opts = *opts;
    r->opts.path = path;
    r->opts.bytes_max = opts->bytes_max != 0 ? opts->bytes_max : bytes_max_default;
    r->opts.ring_bytes = opts->ring_bytes != 0 ? opts->ring_bytes : ring_bytes_default;
    r->opts.flush_ns = opts->flush_ns != 0 ? opts->flush_ns : NS_PER_S;
    r->alloc = alloc;
    r->fd = -1;
    init_locks(r);
    err = init(r, info);
    if (err != BRISK_OK) {
        free_recorder(r);
        return err;
    }
    *ret = r;
    return BRISK_OK;
}

brisk_err brisk_recorder_destroy(brisk_recorder *r, brisk_errinfo *info)
{
    if (r == NULL) {
        return BRISK_OK;
    }
    lock(r);
    r->stop = true;
    (void)pthread_cond_signal(&r->wake);
    unlock(r);
    brisk_thread_join(&r->worker);
    brisk_err err = r->stats.error;
    if (err == BRISK_ERR_LIMIT) {
        (void)brisk_errinfo_set(info, err, "%s: has reached its limit of bytes", r->opts.path);
    } else if (err != BRISK_OK) {
        (void)brisk_errinfo_set(info, err, "%s: %s", r->opts.path, brisk_err_message(err));
    }
    free_recorder(r);
    return err;
}
