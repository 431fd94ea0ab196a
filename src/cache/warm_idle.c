/*
 * warm_idle.c -- keys that will perhaps be wanted, loaded while there is nothing better to do.
 *
 *     add ─► [ oldest ─► ... ─► newest ] ─► a job that takes one after another while is_idle
 *                └ full, or waited too long: dropped
 *
 * A queue of fixed size whose entries are found by key, too, so that a key waits once.  is_idle is
 * asked before every load, without the lock; a load that has begun is not stopped.
 *
 * Locks: `lock`, a leaf; no callback and no load runs under it.
 */
#include <pthread.h>
#include <string.h>

#include <brisk/warm.h>

#include "base/assert.h"

enum { ENTRIES_DEFAULT = 1024, ENTRIES_MAX = 1048576 };

#define NONE UINT32_MAX

#define WAIT_DEFAULT_NS UINT64_C(60000000000)

typedef struct idle_entry {
    void *bytes; /* the key's, our own copy */
    brisk_key key;
    uint64_t added_ns;
    uint32_t older, newer; /* `newer` of a free one: the next free one */
    uint32_t next;         /* in its chain */
} idle_entry;

struct brisk_idle {
    brisk_idle_opts opts;
    brisk_background background; /* run NULL: there is none */
    const brisk_alloc *alloc;
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t quiet;
    uint32_t running; /* jobs that were started or are queued */
    bool closing;
    uint32_t capacity;
    uint32_t mask; /* chains - 1 */
    uint32_t oldest, newest, free;
    idle_entry *entries;
    uint32_t *chains;
    brisk_idle_stats stats;
};

static void lock_idle(brisk_idle *idle)
{
    int failed = pthread_mutex_lock(&idle->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock_idle(brisk_idle *idle)
{
    int failed = pthread_mutex_unlock(&idle->lock);
    BRISK_ASSERT(failed == 0);
}

/* --- the queue, under the lock ----------------------------------------------------------------- */

static uint32_t *chain_of(brisk_idle *idle, const brisk_key *key)
{
    return &idle->chains[key->hash.lo & idle->mask];
}

static uint32_t find(brisk_idle *idle, const brisk_key *key)
{
    uint32_t i = *chain_of(idle, key);
    while (i != NONE) {
        const idle_entry *entry = &idle->entries[i];
        if (entry->key.hash.lo == key->hash.lo && entry->key.hash.hi == key->hash.hi &&
            entry->key.size == key->size && memcmp(entry->bytes, key->bytes, key->size) == 0) {
            return i;
        }
        i = entry->next;
    }
    return NONE;
}

/* Out of queue and chain; its bytes are the caller's now. */
static idle_entry take(brisk_idle *idle, uint32_t index)
{
    idle_entry *entry = &idle->entries[index];
    idle_entry taken = *entry;
    *(entry->older != NONE ? &idle->entries[entry->older].newer : &idle->oldest) = entry->newer;
    *(entry->newer != NONE ? &idle->entries[entry->newer].older : &idle->newest) = entry->older;
    uint32_t *link = chain_of(idle, &entry->key);
    while (*link != index) {
        link = &idle->entries[*link].next;
    }
    *link = entry->next;
    entry->bytes = NULL;
    entry->newer = idle->free;
    idle->free = index;
    idle->stats.waiting--;
    return taken;
}

static void append(brisk_idle *idle, const brisk_key *key, void *bytes, uint64_t now_ns)
{
    uint32_t index = idle->free;
    idle_entry *entry = &idle->entries[index];
    idle->free = entry->newer;
    memcpy(bytes, key->bytes, key->size);
    *entry = (idle_entry){
        .bytes = bytes,
        .key = {.bytes = bytes, .size = key->size, .hash = key->hash},
        .added_ns = now_ns,
        .older = idle->newest,
        .newer = NONE,
        .next = *chain_of(idle, key),
    };
    *chain_of(idle, key) = index;
    *(idle->newest != NONE ? &idle->entries[idle->newest].newer : &idle->oldest) = index;
    idle->newest = index;
    idle->stats.waiting++;
    idle->stats.added++;
}

static void free_bytes(const brisk_idle *idle, const idle_entry *entry)
{
    idle->alloc->release(idle->alloc->ctx, entry->bytes, entry->key.size, 1);
}

brisk_err brisk_idle_add(brisk_idle *idle, const brisk_key *key)
{
    BRISK_ASSERT(key->size > 0 && key->size <= BRISK_KEY_BYTES_MAX);
    uint64_t now = brisk_clock_now_ns(idle->opts.clock);
    void *bytes = idle->alloc->acquire(idle->alloc->ctx, key->size, 1);
    if (bytes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    idle_entry gone = {.bytes = NULL};
    lock_idle(idle);
    if (find(idle, key) != NONE) {
        idle->stats.doubles++;
        gone = (idle_entry){.bytes = bytes, .key = *key};
    } else {
        if (idle->free == NONE) {
            gone = take(idle, idle->oldest);
            idle->stats.dropped_full++;
        }
        append(idle, key, bytes, now);
    }
    unlock_idle(idle);
    if (gone.bytes != NULL) {
        free_bytes(idle, &gone);
    }
    return BRISK_OK;
}

bool brisk_idle_drop(brisk_idle *idle, const brisk_key *key)
{
    lock_idle(idle);
    uint32_t index = find(idle, key);
    idle_entry gone = {.bytes = NULL};
    if (index != NONE) {
        gone = take(idle, index);
    }
    unlock_idle(idle);
    if (gone.bytes != NULL) {
        free_bytes(idle, &gone);
    }
    return index != NONE;
}

/* The oldest that has not waited too long. */
static bool pop(brisk_idle *idle, idle_entry *ret)
{
    uint64_t now = brisk_clock_now_ns(idle->opts.clock);
    for (;;) {
        lock_idle(idle);
        if (idle->oldest == NONE || idle->closing) {
            unlock_idle(idle);
            return false;
        }
        *ret = take(idle, idle->oldest);
        bool stale = now > ret->added_ns && now - ret->added_ns > idle->opts.wait_max_ns;
        idle->stats.dropped_stale += stale;
        unlock_idle(idle);
        if (!stale) {
            return true;
        }
        free_bytes(idle, ret);
    }
}

/* --- loading ------------------------------------------------------------------------------------ */

static void load_one(brisk_idle *idle, const idle_entry *entry)
{
    brisk_loaded got;
    brisk_err err = brisk_loader_get(idle->opts.loader, &entry->key, NULL, &got);
    bool loaded = err == BRISK_ERR_NOT_FOUND;
    bool present = false;
    if (err == BRISK_OK) {
        loaded = got.from == BRISK_LOADED_HERE;
        present = !loaded && got.from != BRISK_LOADED_STALE_ERROR;
        brisk_value_unref(got.hit.value);
    }
    lock_idle(idle);
    idle->stats.loaded += loaded;
    idle->stats.present += present;
    idle->stats.failed += !loaded && !present;
    unlock_idle(idle);
}

static uint32_t load_while_idle(brisk_idle *idle)
{
    uint32_t loads = 0;
    idle_entry entry;
    while (idle->opts.is_idle(idle->opts.ctx) && pop(idle, &entry)) {
        load_one(idle, &entry);
        free_bytes(idle, &entry);
        loads++;
    }
    return loads;
}

static void end_job(brisk_idle *idle)
{
    lock_idle(idle);
    if (--idle->running == 0) {
        (void)pthread_cond_broadcast(&idle->quiet); /* under the lock: then it may be gone */
    }
    unlock_idle(idle);
}

static void run_job(void *arg)
{
    brisk_idle *idle = arg;
    (void)load_while_idle(idle);
    end_job(idle);
}

static bool begin_job(brisk_idle *idle)
{
    lock_idle(idle);
    uint32_t jobs = idle->opts.parallel != 0 ? idle->opts.parallel : 1;
    bool begun = !idle->closing && idle->running < jobs && idle->running < idle->stats.waiting;
    idle->running += begun;
    unlock_idle(idle);
    return begun;
}

uint32_t brisk_idle_tend(brisk_idle *idle)
{
    uint32_t started = 0;
    while (idle->opts.is_idle(idle->opts.ctx) && begin_job(idle)) {
        if (idle->background.run == NULL) {
            started = load_while_idle(idle);
            end_job(idle);
            break;
        }
        if (!idle->background.run(idle->background.ctx, run_job, idle)) {
            end_job(idle);
            break;
        }
        started++;
    }
    return started;
}

/* --- life ---------------------------------------------------------------------------------------- */

static void free_idle(brisk_idle *idle)
{
    const brisk_alloc *alloc = idle->alloc;
    if (idle->entries != NULL) {
        alloc->release(alloc->ctx, idle->entries, idle->capacity * sizeof(idle_entry),
                       _Alignof(idle_entry));
    }
    if (idle->chains != NULL) {
        alloc->release(alloc->ctx, idle->chains, ((size_t)idle->mask + 1) * sizeof(uint32_t),
                       _Alignof(uint32_t));
    }
    (void)pthread_mutex_destroy(&idle->lock);
    (void)pthread_cond_destroy(&idle->quiet);
    alloc->release(alloc->ctx, idle, sizeof *idle, _Alignof(brisk_idle));
}

static brisk_err build(brisk_idle *idle)
{
    const brisk_alloc *alloc = idle->alloc;
    size_t chains = (size_t)idle->mask + 1;
    idle->entries =
        alloc->acquire(alloc->ctx, idle->capacity * sizeof(idle_entry), _Alignof(idle_entry));
    idle->chains = alloc->acquire(alloc->ctx, chains * sizeof(uint32_t), _Alignof(uint32_t));
    if (idle->entries == NULL || idle->chains == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (size_t i = 0; i < chains; i++) {
        idle->chains[i] = NONE;
    }
    for (uint32_t i = 0; i < idle->capacity; i++) {
        idle->entries[i] = (idle_entry){.newer = i + 1 < idle->capacity ? i + 1 : NONE};
    }
    return BRISK_OK;
}

brisk_err brisk_idle_create(const brisk_idle_opts *opts, brisk_idle **ret)
{
    BRISK_ASSERT(ret != NULL);
    if (opts == NULL || opts->loader == NULL || opts->is_idle == NULL ||
        opts->entries_max > ENTRIES_MAX) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    brisk_idle *idle = alloc->acquire(alloc->ctx, sizeof *idle, _Alignof(brisk_idle));
    if (idle == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *idle = (brisk_idle){
        .opts = *opts,
        .alloc = alloc,
        .capacity = opts->entries_max != 0 ? opts->entries_max : ENTRIES_DEFAULT,
        .mask = 15,
        .oldest = NONE,
        .newest = NONE,
    };
    idle->opts.wait_max_ns = opts->wait_max_ns != 0 ? opts->wait_max_ns : WAIT_DEFAULT_NS;
    if (opts->background != NULL) {
        idle->background = *opts->background;
    }
    while (idle->mask < idle->capacity) {
        idle->mask = 2 * idle->mask + 1;
    }
    int failed = pthread_mutex_init(&idle->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex and condition on Linux */
    failed = pthread_cond_init(&idle->quiet, NULL);
    BRISK_ASSERT(failed == 0);
    brisk_err err = build(idle);
    if (err != BRISK_OK) {
        free_idle(idle);
        return err;
    }
    *ret = idle;
    return BRISK_OK;
}

void brisk_idle_destroy(brisk_idle *idle)
{
    if (idle == NULL) {
        return;
    }
    lock_idle(idle);
    idle->closing = true;
    while (idle->running != 0) {
        (void)pthread_cond_wait(&idle->quiet, &idle->lock);
    }
    while (idle->oldest != NONE) {
        idle_entry entry = take(idle, idle->oldest);
        free_bytes(idle, &entry);
    }
    unlock_idle(idle);
    free_idle(idle);
}

void brisk_idle_read_stats(brisk_idle *idle, brisk_idle_stats *ret)
{
    lock_idle(idle);
    *ret = idle->stats;
    unlock_idle(idle);
}
