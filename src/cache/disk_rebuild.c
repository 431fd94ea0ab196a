/*
 * disk_rebuild.c -- a new index from the segments, when the old one is gone or damaged.
 *
 * Only while nobody else uses the folder.  What is believed: whole, undamaged, live records up to
 * the end that a clean close noted; without such an end all but the last one, which its writer may
 * not have published (disk.c, rule 7).  What is not believed is killed, so that no later rebuild
 * believes it.  Two live records of one key should not be: both are killed, and the slot is
 * poisoned until the end of the rebuild, so that a third one goes the same way.  Only if they say the
 * same, as after a power loss during a move, one is kept.
 *
 * Segments that were closed in order are only glanced at (disk_scan.c), the others are summed.
 *
 * Some threads scan a segment each, which is where the time goes.  What they
 * find they insert in batches under one lock, with the buckets on their way into the cache before
 * they are needed.  A key itself is needed only if its tag is there already, and is then read again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "base/thread.h"
#include "cache/disk.h"

enum {
    WORKERS_MAX = 4,
    BATCH = 256,
    PREFETCH_AHEAD = 12,
    THREADS_FROM = 8 << 20, /* bytes; with fewer, starting them takes longer than the work */
    IDS_FIRST = 64,
    READ_FIRST = 4096,
    RECORD_GUESS = 512,
};

/* A live record that waits for its slot. */
typedef struct pending {
    brisk_hash128 hash;
    uint32_t offset;
    bool large;
} pending;

typedef struct rebuild {
    disk_tier *tier;
    uint32_t *ids;
    uint32_t count;
    uint32_t room;
    uint64_t bytes;
    _Atomic uint32_t next; /* of them, to be scanned */
    pthread_mutex_t lock;  /* slots, kills, the table and what follows */
    brisk_err err;         /* the first that ends it all */
    bool has_poison;
} rebuild;

typedef struct worker {
    rebuild *job;
    brisk_thread thread;
    unsigned char *buffer;
    uint32_t segment;
    uint32_t count;
    pending batch[BATCH];
} worker;

/* --- rebuilding ------------------------------------------------------------------------------ */

/* A word that names no segment but keeps its tag: everything that meets it is killed. */
static uint64_t poison_of(const disk_tier *tier, uint16_t tag)
{
    return disk_slot_pack(tier, (disk_slot){.offset = DISK_RECORD_ALIGN, .tag = tag});
}

static void clear_poison(disk_tier *tier)
{
    uint64_t count = (tier->bucket_mask + 1) * DISK_BUCKET_SLOTS;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&tier->slots[i], memory_order_relaxed);
        if (word != 0 && disk_slot_unpack(word).segment == 0) {
            atomic_store_explicit(&tier->slots[i], 0, memory_order_relaxed);
        }
    }
}

/* A slot for the record: the key's or a poisoned one (*ret_same), an empty one or the oldest. */
static _Atomic uint64_t *choose(disk_tier *tier, const disk_ways *ways, bool *ret_same)
{
    _Atomic uint64_t *empty = NULL;
    _Atomic uint64_t *oldest = disk_way(ways, 0);
    for (uint32_t i = 0; i < ways->count; i++) {
        _Atomic uint64_t *slot = disk_way(ways, i);
        uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
        if (word == 0) {
            empty = empty != NULL ? empty : slot;
            continue;
        }
        if (disk_slot_tag(word) == ways->tag &&
            (disk_slot_unpack(word).segment == 0 || !disk_is_other_key(tier, word, ways->key))) {
            *ret_same = true;
            return slot;
        }
        if (disk_slot_unpack(word).segment <
            disk_slot_unpack(atomic_load_explicit(oldest, memory_order_relaxed)).segment) {
            oldest = slot;
        }
    }
    return empty != NULL ? empty : oldest;
}

/* The record at `place`, whole and summed, in the scratch buffer.  CORRUPT: it is none. */
static brisk_err read_whole(disk_tier *tier, const disk_pin *pin, const disk_place *place,
                            disk_scratch *scratch, disk_record *ret)
{
    disk_verdict verdict = DISK_RECORD_MORE;
    size_t size = READ_FIRST;
    for (int tries = 0; tries < 2 && verdict == DISK_RECORD_MORE; tries++) {
        brisk_err err = disk_scratch_reserve(tier, scratch, size);
        if (err != BRISK_OK) {
            return err;
        }
        disk_span to = {scratch->buffer, size};
        size_t have = disk_pread_some(tier, pin->fd, to, place->offset, &err);
        if (err != BRISK_OK) {
            return err;
        }
        verdict = disk_record_check(scratch->buffer, have, place, ret);
        size = (size_t)ret->size;
    }
    return verdict == DISK_RECORD_OK ? BRISK_OK : BRISK_ERR_CORRUPT;
}

/* Whether a whole, undamaged record is behind `word`: what was only glanced at may be none. */
static bool is_good(disk_tier *tier, uint64_t word)
{
    disk_slot slot = disk_slot_unpack(word);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_pin pin;
    if (disk_fd_pin(tier, slot.segment, &pin) != BRISK_OK) {
        return false;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    disk_record record;
    bool good = scratch != NULL && read_whole(tier, &pin, &place, scratch, &record) == BRISK_OK;
    disk_scratch_give(tier, scratch);
    disk_fd_unpin(&pin);
    return good;
}

static bool is_same_entry(const disk_record *a, const disk_record *b)
{
    return a->live && b->live && a->key_size == b->key_size && a->meta_size == b->meta_size &&
           a->stored_size == b->stored_size && a->codec == b->codec && a->dict == b->dict &&
           a->flags == b->flags && a->era == b->era && a->expires_at_ns == b->expires_at_ns &&
           memcmp(a->key, b->key, (size_t)a->key_size + a->meta_size + (size_t)a->stored_size) == 0;
}

/* Whether the record behind `word` says the same as `record`: a move that the power loss cut. */
static bool is_copy(disk_tier *tier, uint64_t word, const disk_record *record)
{
    disk_slot slot = disk_slot_unpack(word);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    size_t size = (size_t)record->size;
    disk_pin pin;
    if (record->codec == DISK_FILE || disk_fd_pin(tier, slot.segment, &pin) != BRISK_OK) {
        return false;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    bool same = false;
    if (scratch != NULL && disk_scratch_reserve(tier, scratch, size) == BRISK_OK) {
        brisk_err err = BRISK_OK;
        disk_record other;
        size_t have =
            disk_pread_some(tier, pin.fd, (disk_span){scratch->buffer, size}, slot.offset, &err);
        same = disk_record_check(scratch->buffer, have, &place, &other) == DISK_RECORD_OK &&
               is_same_entry(&other, record);
    }
    disk_scratch_give(tier, scratch);
    disk_fd_unpin(&pin);
    return same;
}

/* The key is needed: perhaps it is in the index already. */
static brisk_err insert_same_tag(rebuild *job, uint64_t word, const disk_record *record)
{
    disk_tier *tier = job->tier;
    brisk_key key = brisk_key_of(record->key, record->key_size);
    disk_ways ways = disk_ways_of(tier, &key);
    bool same = false;
    _Atomic uint64_t *place = choose(tier, &ways, &same);
    uint64_t before = atomic_load_explicit(place, memory_order_relaxed);
    brisk_err err = BRISK_OK;
    bool is_twice = same && (disk_slot_unpack(before).segment == 0 || is_good(tier, before));
    if (is_twice && disk_slot_unpack(before).segment != 0 && is_copy(tier, before, record)) {
        return disk_kill(tier, word);
    }
    if (before != 0) {
        if (disk_slot_unpack(before).segment != 0) {
            err = disk_kill(tier, before);
        }
        if (err == BRISK_OK && same && is_twice) {
            err = disk_kill(tier, word);
            word = poison_of(tier, ways.tag);
            job->has_poison = true;
        }
    }
    atomic_store_explicit(place, word, memory_order_relaxed);
    return err;
}

/* Read the record of `word` again for its key. */
static brisk_err insert_slowly(rebuild *job, uint64_t word)
{
    disk_tier *tier = job->tier;
    disk_slot slot = disk_slot_unpack(word);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    disk_pin pin;
    brisk_err err = disk_fd_pin(tier, slot.segment, &pin);
    if (err != BRISK_OK) {
        return err;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    disk_record record;
    err = scratch != NULL ? read_whole(tier, &pin, &place, scratch, &record) : BRISK_ERR_NOMEM;
    disk_fd_unpin(&pin);
    if (err == BRISK_OK) {
        err = insert_same_tag(job, word, &record);
    } else if (err == BRISK_ERR_CORRUPT) {
        err = disk_kill(tier, word); /* it looked like one */
    }
    disk_scratch_give(tier, scratch);
    return err;
}

static disk_ways ways_of(const disk_tier *tier, const pending *p)
{
    brisk_key key = {.hash = p->hash};
    return disk_ways_of(tier, &key);
}

static brisk_err insert(rebuild *job, uint32_t segment, const pending *p)
{
    disk_tier *tier = job->tier;
    disk_ways ways = ways_of(tier, p);
    disk_slot slot = {.segment = segment, .offset = p->offset, .large = p->large, .tag = ways.tag};
    uint64_t word = disk_slot_pack(tier, slot);
    _Atomic uint64_t *empty = NULL;
    bool same_tag = false;
    for (uint32_t i = 0; i < ways.count; i++) {
        _Atomic uint64_t *way = disk_way(&ways, i);
        uint64_t there = atomic_load_explicit(way, memory_order_relaxed);
        if (there == 0) {
            empty = empty != NULL ? empty : way;
        } else {
            same_tag = same_tag || disk_slot_tag(there) == ways.tag;
        }
    }
    if (same_tag || empty == NULL) {
        return insert_slowly(job, word);
    }
    atomic_store_explicit(empty, word, memory_order_relaxed);
    return BRISK_OK;
}

/* Insert what the worker has found. */
static brisk_err flush(worker *w)
{
    disk_tier *tier = w->job->tier;
    brisk_err err = BRISK_OK;
    pthread_mutex_lock(&w->job->lock);
    for (uint32_t i = 0; i < w->count && err == BRISK_OK; i++) {
        if (i + PREFETCH_AHEAD < w->count) {
            disk_ways ahead = ways_of(tier, &w->batch[i + PREFETCH_AHEAD]);
            disk_ways_prefetch(&ahead);
        }
        err = insert(w->job, w->segment, &w->batch[i]);
    }
    pthread_mutex_unlock(&w->job->lock);
    w->count = 0;
    return err;
}

static brisk_err scan_segment(worker *w, disk_scan *scan, bool is_clean, uint32_t published_end)
{
    disk_tier *tier = w->job->tier;
    disk_entry *entry = &tier->entries[scan->segment % tier->header->segment_count];
    uint64_t offset;
    uint64_t last = 0;
    uint32_t dead = 0;
    disk_record record;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && disk_scan_next(scan, &offset, &record)) {
        last = offset;
        disk_entry_note(entry, record.expires_at_ns);
        if (!record.live) {
            dead++;
            continue;
        }
        w->batch[w->count++] = (pending){.hash = brisk_key_of(record.key, record.key_size).hash,
                                         .offset = (uint32_t)offset,
                                         .large = record.codec == DISK_FILE};
        err = w->count == BATCH ? flush(w) : BRISK_OK;
    }
    atomic_fetch_add_explicit(&entry->dead, dead, memory_order_relaxed);
    brisk_err flushed = flush(w);
    err = err != BRISK_OK ? err : flushed;
    if (err != BRISK_OK || is_clean || last == 0 || last < published_end) {
        return err;
    }
    /* Perhaps never published.  Its slot, if it got one, then names a dead record. */
    disk_slot slot = {.segment = scan->segment, .offset = (uint32_t)last};
    return disk_kill(tier, disk_slot_pack(tier, slot));
}

/* The entry of a segment that is about to be scanned. */
static void enter_table(disk_tier *tier, uint32_t id, uint64_t size, bool is_closed)
{
    disk_entry *entry = &tier->entries[id % tier->header->segment_count];
    atomic_store_explicit(&entry->log_bytes, size, memory_order_relaxed);
    atomic_store_explicit(&entry->file_bytes, disk_files_bytes(tier, id), memory_order_relaxed);
    atomic_fetch_add_explicit(&entry->kills, 1, memory_order_relaxed); /* perhaps not synced */
    atomic_store_explicit(&entry->word,
                          disk_entry_word(id, 0, is_closed ? DISK_CLOSED : DISK_SEALED),
                          memory_order_release);
}

/* Scan the pin's mapping if it has one. */
static void look_through_map(disk_scan *scan, const disk_pin *pin, bool is_clean)
{
    const unsigned char *map;
    if (scan->end > DISK_SEGMENT_HEAD && disk_pin_bytes(pin, 0, (size_t)scan->end, &map) != 0) {
        scan->map = map;
        scan->glances = is_clean;
        disk_pin_will_scan(pin, scan->end);
    }
}

static brisk_err rebuild_segment(worker *w, uint32_t id)
{
    disk_tier *tier = w->job->tier;
    disk_pin pin;
    brisk_err err = disk_fd_pin(tier, id, &pin);
    if (err != BRISK_OK) {
        return err;
    }
    disk_segment_head head;
    struct stat st;
    size_t have = disk_pread_some(tier, pin.fd, (disk_span){&head, sizeof head}, 0, &err);
    if (err == BRISK_OK && have == 0) {
        err = BRISK_ERR_NOT_FOUND; /* its maker was killed before he wrote the head */
    }
    if (err == BRISK_OK && (have != sizeof head || !disk_segment_head_ok(&head, id, tier->seed) ||
                            fstat(pin.fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        err = BRISK_ERR_CORRUPT;
    }
    if (err == BRISK_OK) {
        uint64_t size = (uint64_t)st.st_size;
        uint32_t clean_end = disk_clean_end_read(head.clean_end, id, tier->seed);
        uint32_t published_end = disk_clean_end_read(head.published_end, id, tier->seed);
        bool is_clean = clean_end >= DISK_SEGMENT_HEAD && clean_end <= size;
        disk_scan scan = {.tier = tier,
                          .fd = pin.fd,
                          .segment = id,
                          .at = DISK_SEGMENT_HEAD,
                          .end = is_clean ? clean_end : size,
                          .closed_end = published_end,
                          .buffer = w->buffer,
                          .buffer_size = DISK_SCAN_BYTES};
        scan.end = scan.end < DISK_SEGMENT_BYTES_MAX ? scan.end : DISK_SEGMENT_BYTES_MAX;
        look_through_map(&scan, &pin, is_clean);
        enter_table(tier, id, size, is_clean && size == clean_end);
        w->segment = id;
        w->count = 0;
        err = scan_segment(w, &scan, is_clean, published_end);
        if (err != BRISK_OK) {
            disk_entry *entry = &tier->entries[id % tier->header->segment_count];
            atomic_store_explicit(&entry->word, 0, memory_order_relaxed);
        }
    }
    disk_fd_unpin(&pin);
    return err;
}

/* A segment that cannot be used must not be believed next time either. */
static void drop_segment(rebuild *job, uint32_t id, brisk_err err)
{
    disk_tier *tier = job->tier;
    char name[DISK_NAME_MAX];
    disk_segment_name(name, id);
    if (err != BRISK_ERR_NOT_FOUND) {
        disk_count(&tier->counters.corrupt, 1);
        brisk_log(BRISK_LOG_WARNING, "cache", "%s/%s: %s, dropping it", tier->path, name,
                  brisk_err_message(err));
    }
    pthread_mutex_lock(&job->lock);
    /* A folder of that name is never believed, so it may stay. */
    if (unlinkat(tier->dir_fd, name, 0) != 0 && errno != ENOENT && errno != EISDIR) {
        job->err = brisk_err_from_errno(errno);
    }
    (void)disk_slots_clear(tier, id);
    pthread_mutex_unlock(&job->lock);
}

static void run_worker(void *ctx)
{
    worker *w = ctx;
    rebuild *job = w->job;
    uint32_t i;
    while ((i = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed)) < job->count) {
        brisk_err err = rebuild_segment(w, job->ids[i]);
        if (err != BRISK_OK) {
            drop_segment(job, job->ids[i], err);
        }
    }
}

/* --- all of them ---------------------------------------------------------------------------------- */

static brisk_err note_id(rebuild *job, uint32_t id)
{
    const brisk_alloc *alloc = job->tier->alloc;
    if (job->count == job->room) {
        uint32_t room = job->room != 0 ? job->room * 2 : IDS_FIRST;
        uint32_t *ids = alloc->acquire(alloc->ctx, room * sizeof *ids, _Alignof(uint32_t));
        if (ids == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (job->ids != NULL) {
            memcpy(ids, job->ids, job->count * sizeof *ids);
            alloc->release(alloc->ctx, job->ids, job->room * sizeof *ids, _Alignof(uint32_t));
        }
        job->ids = ids;
        job->room = room;
    }
    job->ids[job->count++] = id;
    return BRISK_OK;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Which segments there are; of two that would have one place in the table the newer one is used. */
static brisk_err list_segments(rebuild *job, DIR *dir)
{
    brisk_err err = BRISK_OK;
    for (const struct dirent *file; err == BRISK_OK && (file = readdir(dir)) != NULL;) {
        uint32_t id = 0;
        struct stat st;
        if (disk_name_read(file->d_name, &id) == DISK_NAME_SEGMENT) {
            err = note_id(job, id);
            if (fstatat(job->tier->dir_fd, file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                job->bytes += (uint64_t)st.st_size;
            }
        }
    }
    if (err != BRISK_OK || job->count == 0) {
        return err;
    }
    qsort(job->ids, job->count, sizeof *job->ids, compare_ids);
    uint32_t newest = job->ids[job->count - 1];
    uint32_t segments = job->tier->header->segment_count;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < job->count; i++) {
        if (newest - job->ids[i] < segments) {
            job->ids[kept++] = job->ids[i];
        } else {
            drop_segment(job, job->ids[i], BRISK_ERR_CONFLICT);
        }
    }
    job->count = kept;
    atomic_store_explicit(&job->tier->header->next_segment, newest + 1, memory_order_relaxed);
    return job->err;
}

static worker *worker_new(rebuild *job)
{
    const brisk_alloc *alloc = job->tier->alloc;
    worker *w = alloc->acquire(alloc->ctx, sizeof *w, _Alignof(worker));
    if (w == NULL) {
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->job = job;
    w->buffer = alloc->acquire(alloc->ctx, DISK_SCAN_BYTES, 64);
    if (w->buffer == NULL) {
        alloc->release(alloc->ctx, w, sizeof *w, _Alignof(worker));
        return NULL;
    }
    return w;
}

static void worker_free(rebuild *job, worker *w)
{
    const brisk_alloc *alloc = job->tier->alloc;
    if (w != NULL) {
        alloc->release(alloc->ctx, w->buffer, DISK_SCAN_BYTES, 64);
        alloc->release(alloc->ctx, w, sizeof *w, _Alignof(worker));
    }
}

/* One worker is this thread; others join if there are processors and work for them. */
static brisk_err scan_all(rebuild *job)
{
    worker *workers[WORKERS_MAX] = {NULL};
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t wanted = job->bytes < THREADS_FROM || processors < 2 ? 1 : (uint32_t)processors;
    wanted = wanted < job->count ? wanted : job->count;
    wanted = wanted < WORKERS_MAX ? wanted : WORKERS_MAX;
    workers[0] = worker_new(job);
    if (workers[0] == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 1; i < wanted; i++) {
        workers[i] = worker_new(job);
        brisk_thread_opts opts = {.name = "brisk-rebuild", .run = run_worker, .ctx = workers[i]};
        if (workers[i] != NULL && brisk_thread_start(&workers[i]->thread, &opts) != BRISK_OK) {
            worker_free(job, workers[i]);
            workers[i] = NULL;
        }
    }
    run_worker(workers[0]);
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        if (workers[i] != NULL) {
            brisk_thread_join(&workers[i]->thread);
            worker_free(job, workers[i]);
        }
    }
    return job->err;
}

/* The part of the index that is slots, and where it is mapped. */
typedef struct slots_part {
    unsigned char *map;
    uint64_t at;
    size_t size; /* 0: filled in place */
} slots_part;

/*
 * If most pages of the empty index will be written to, they are filled in memory of the process at
 * the same address, in large pages, and written with one call: a first store to each page of a file
 * takes ten times as long as its part of that.
 */
static slots_part take_slots(const rebuild *job)
{
    const disk_tier *tier = job->tier;
    uint64_t at =
        disk_index_shape_of(tier->header->slot_count, tier->header->segment_count).slots_at;
    slots_part part = {(unsigned char *)tier->map + at, at, (size_t)(tier->map_size - at)};
    if (!tier->sys->maps || job->bytes / RECORD_GUESS < part.size / DISK_INDEX_PAGE ||
        mmap(part.map, part.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) == MAP_FAILED) {
        return (slots_part){0};
    }
    (void)madvise(part.map, part.size, MADV_HUGEPAGE);
    return part;
}

/* Write them, and map the file again. */
static brisk_err give_slots(const disk_tier *tier, const slots_part *part, brisk_err err)
{
    if (part->size == 0) {
        return err;
    }
    if (err == BRISK_OK) {
        err = disk_pwrite_all(tier, tier->index_fd, part->map, part->size, part->at);
    }
    if (mmap(part->map, part->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, tier->index_fd,
             (off_t)part->at) == MAP_FAILED) {
        err = err != BRISK_OK ? err : BRISK_ERR_NOMEM;
    }
    return err;
}

brisk_err disk_rebuild(disk_tier *tier)
{
    DIR *dir = disk_folder_open(tier);
    if (dir == NULL) {
        return brisk_err_from_errno(errno);
    }
    rebuild job = {.tier = tier};
    pthread_mutex_init(&job.lock, NULL);
    brisk_err err = list_segments(&job, dir);
    (void)closedir(dir);
    if (err == BRISK_OK && job.count != 0) {
        slots_part part = take_slots(&job);
        err = scan_all(&job);
        if (job.has_poison) {
            clear_poison(tier);
        }
        err = give_slots(tier, &part, err);
    }
    if (job.ids != NULL) {
        tier->alloc->release(tier->alloc->ctx, job.ids, job.room * sizeof *job.ids,
                             _Alignof(uint32_t));
    }
    pthread_mutex_destroy(&job.lock);
    return err;
}

/* --- slots against records -------------------------------------------------------------------- */

static bool is_named(const disk_tier *tier, uint32_t segment, uint64_t offset,
                     const disk_record *record)
{
    brisk_key key = brisk_key_of(record->key, record->key_size);
    disk_ways ways = disk_ways_of(tier, &key);
    uint64_t word = disk_slot_pack(tier, (disk_slot){.segment = segment,
                                                     .offset = (uint32_t)offset,
                                                     .large = record->codec == DISK_FILE,
                                                     .tag = ways.tag});
    for (uint32_t i = 0; i < ways.count; i++) {
        if (atomic_load_explicit(disk_way(&ways, i), memory_order_relaxed) == word) {
            return true;
        }
    }
    return false;
}

static brisk_err reconcile_segment(disk_tier *tier, uint32_t id, const disk_scan *blank)
{
    disk_pin pin;
    struct stat st;
    brisk_err err = disk_fd_pin(tier, id, &pin);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
    }
    uint64_t size = fstat(pin.fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    disk_scan scan = {.tier = tier,
                      .fd = pin.fd,
                      .segment = id,
                      .at = DISK_SEGMENT_HEAD,
                      .end = size < DISK_SEGMENT_BYTES_MAX ? size : DISK_SEGMENT_BYTES_MAX,
                      .buffer = blank->buffer,
                      .buffer_size = blank->buffer_size};
    uint64_t offset;
    disk_record record;
    while (err == BRISK_OK && disk_scan_next(&scan, &offset, &record)) {
        if (record.live && !is_named(tier, id, offset, &record)) {
            disk_slot slot = {.segment = id, .offset = (uint32_t)offset};
            err = disk_kill(tier, disk_slot_pack(tier, slot));
        }
    }
    disk_fd_unpin(&pin);
    return err;
}

brisk_err disk_reconcile(disk_tier *tier)
{
    unsigned char *buffer = tier->alloc->acquire(tier->alloc->ctx, DISK_SCAN_BYTES, 64);
    if (buffer == NULL) {
        return BRISK_ERR_NOMEM;
    }
    disk_scan blank = {.buffer = buffer, .buffer_size = DISK_SCAN_BYTES};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < tier->header->segment_count && err == BRISK_OK; i++) {
        uint64_t word = atomic_load_explicit(&tier->entries[i].word, memory_order_relaxed);
        if (disk_entry_state(word) != DISK_FREE) {
            err = reconcile_segment(tier, disk_entry_id(word), &blank);
        }
    }
    tier->alloc->release(tier->alloc->ctx, buffer, DISK_SCAN_BYTES, 64);
    return err;
}
