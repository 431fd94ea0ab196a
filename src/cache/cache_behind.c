/*
 * cache_behind.c -- the queue of writes that wait.
 *
 *     table   key ──► item: the latest write for it
 *     heap    items by when they are due (a failed one waits longer each time)
 *     list    items by age of their oldest write that is neither in place nor being applied: what a
 *             flush waits for, besides what is being applied
 *
 * One thread takes the item that is due first, applies its write without the lock, and then either
 * takes the item out, or lets it wait again: since it failed, or since another write came for its key
 * meanwhile (then `version` has changed).  So the writes of one key reach their place in order, and
 * all but the last of those that came together never do: they are coalesced.
 *
 * Bounded by number and bytes: a push that finds no room fails, which is the caller's to handle.
 * What waits when the process ends without destroy is lost; destroy tries for a while.
 *
 * A failed write is tried again after backoff * 2^tries, up to 10 s, times a random factor of
 * 0.5 .. 1, so that many that failed together do not come back together.
 *
 * A forked child has no thread: nothing is queued there, and what was, is the parent's.
 *
 * Invariant: an item is in the table and the list from push to its end, and in the heap except while
 * it is applied.
 * Threads: any.  `lock` is a leaf.
 */
#include "cache/cache_behind.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <brisk/rng.h>

#include "base/assert.h"
#include "base/thread.h"

enum {
    ENTRIES_DEFAULT = 65536,
    ENTRIES_LIMIT = 1 << 24,
    TRIES_DEFAULT = 8,
    BUCKETS_MIN = 64,
    DOUBLINGS_MAX = 32,
    ITEM_OVERHEAD = 64, /* bytes charged for one besides key, value and payload */
    PAYLOAD_ALIGN = 16,
    FAKE_CLOCK_LOOK_NS = 1000000,
    NS_PER_S = 1000000000,
};

static const uint64_t bytes_default = UINT64_C(64) << 20;
static const uint64_t backoff_default_ns = 10000000;
static const uint64_t backoff_max_ns = UINT64_C(10000000000);
static const uint64_t flush_default_ns = UINT64_C(5000000000);

struct behind_item {
    behind_item *next; /* in the bucket */
    behind_item *newer;
    behind_item *older; /* the list */
    brisk_value *value;
    void *payload;
    size_t payload_size;
    void *applied; /* the payload that is being applied, which is not to be freed meanwhile */
    uint64_t due_ns;
    uint64_t since;   /* sequence of the oldest push that is neither in place nor being applied */
    uint64_t version; /* changes with every push and drop */
    uint64_t taken;   /* the version that is being applied */
    uint64_t charged;
    uint32_t heap_at; /* position + 1; 0: is being applied */
    uint32_t tries;
    bool dropped;
    bool hidden;   /* not to be read */
    brisk_key key; /* its bytes follow */
};

struct behind_queue {
    behind_queue_opts opts;
    pthread_mutex_t lock;
    pthread_cond_t work;   /* something is due, or stop */
    pthread_cond_t change; /* an item ended, or was applied */
    _Atomic uint64_t entries;
    behind_item **buckets;
    behind_item **heap;
    uint32_t bucket_count; /* power of two */
    uint32_t heap_count;
    uint32_t entries_max;
    behind_item *oldest;
    behind_item *newest;
    uint64_t sequence;
    uint64_t applying; /* `since` of what is being applied; 0: nothing is */
    uint64_t stop_ns;
    pid_t owner;
    bool started;
    bool stop;
    brisk_rng rng;
    brisk_thread thread;
    behind_stats stats;
};

static uint64_t or_default(uint64_t value, uint64_t by_default)
{
    return value != 0 ? value : by_default;
}

static void lock(behind_queue *queue)
{
    int failed = pthread_mutex_lock(&queue->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(behind_queue *queue)
{
    int failed = pthread_mutex_unlock(&queue->lock);
    BRISK_ASSERT(failed == 0);
}

static uint64_t now_of(const behind_queue *queue)
{
    return brisk_clock_now_ns(queue->opts.clock);
}

/* Wait for `cond` until the queue's clock says `until_ns` (UINT64_MAX: for ever), or a bit less. */
static void wait_for(behind_queue *queue, pthread_cond_t *cond, uint64_t until_ns)
{
    const brisk_clock *clock = queue->opts.clock;
    if (until_ns == UINT64_MAX) {
        (void)pthread_cond_wait(cond, &queue->lock);
        return;
    }
    if (clock != NULL && clock != brisk_clock_system()) {
        /* An injected clock moves when it likes: look again soon in real time. */
        until_ns = brisk_clock_now_ns(NULL) + FAKE_CLOCK_LOOK_NS;
    }
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / NS_PER_S),
        .tv_nsec = (long)(until_ns % NS_PER_S),
    };
    (void)pthread_cond_timedwait(cond, &queue->lock, &until);
}

/* --- heap ------------------------------------------------------------------------------------ */

static void heap_set(behind_queue *queue, uint32_t at, behind_item *item)
{
    queue->heap[at] = item;
    item->heap_at = at + 1;
}

static bool is_before(const behind_item *a, const behind_item *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->since < b->since;
}

static void heap_up(behind_queue *queue, uint32_t at)
{
    behind_item *item = queue->heap[at];
    while (at > 0 && is_before(item, queue->heap[(at - 1) / 2])) {
        heap_set(queue, at, queue->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(queue, at, item);
}

static void heap_down(behind_queue *queue, uint32_t at)
{
    behind_item *item = queue->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= queue->heap_count) {
            break;
        }
        if (child + 1 < queue->heap_count &&
            is_before(queue->heap[child + 1], queue->heap[child])) {
            child++;
        }
        if (!is_before(queue->heap[child], item)) {
            break;
        }
        heap_set(queue, at, queue->heap[child]);
        at = child;
    }
    heap_set(queue, at, item);
}

static void heap_add(behind_queue *queue, behind_item *item)
{
    BRISK_ASSERT(queue->heap_count < queue->entries_max);
    heap_set(queue, queue->heap_count++, item);
    heap_up(queue, queue->heap_count - 1);
}

static void heap_take(behind_queue *queue, behind_item *item)
{
    uint32_t at = item->heap_at - 1;
    behind_item *last = queue->heap[--queue->heap_count];
    item->heap_at = 0;
    if (last != item) {
        heap_set(queue, at, last);
        heap_up(queue, at);
        heap_down(queue, last->heap_at - 1);
    }
}

/* --- table and list -------------------------------------------------------------------------- */

static behind_item **bucket_of(behind_queue *queue, const brisk_key *key)
{
    return &queue->buckets[key->hash.lo & (queue->bucket_count - 1)];
}

static behind_item *find(behind_queue *queue, const brisk_key *key)
{
    behind_item *item = *bucket_of(queue, key);
    while (item != NULL && (item->key.hash.hi != key->hash.hi || item->key.size != key->size ||
                            memcmp(item->key.bytes, key->bytes, key->size) != 0)) {
        item = item->next;
    }
    return item;
}

static void list_append(behind_queue *queue, behind_item *item)
{
    item->older = queue->newest;
    item->newer = NULL;
    if (queue->newest != NULL) {
        queue->newest->newer = item;
    } else {
        queue->oldest = item;
    }
    queue->newest = item;
}

static void list_take(behind_queue *queue, behind_item *item)
{
    if (item->older != NULL) {
        item->older->newer = item->newer;
    } else {
        queue->oldest = item->newer;
    }
    if (item->newer != NULL) {
        item->newer->older = item->older;
    } else {
        queue->newest = item->older;
    }
}

static void free_payload(const behind_queue *queue, void *payload, size_t size)
{
    const brisk_alloc *alloc = queue->opts.alloc;
    if (payload != NULL) {
        alloc->release(alloc->ctx, payload, size, PAYLOAD_ALIGN);
    }
}

/* What the item has of its latest write. */
static void forget_write(const behind_queue *queue, behind_item *item)
{
    brisk_value_unref(item->value);
    if (item->payload != item->applied) {
        free_payload(queue, item->payload, item->payload_size);
    }
    item->value = NULL;
    item->payload = NULL;
}

static void free_item(behind_queue *queue, behind_item *item)
{
    const brisk_alloc *alloc = queue->opts.alloc;
    BRISK_ASSERT(item->applied == NULL);
    forget_write(queue, item);
    alloc->release(alloc->ctx, item, sizeof *item + item->key.size, _Alignof(behind_item));
}

/* Out of everything. */
static void end_item(behind_queue *queue, behind_item *item)
{
    behind_item **link = bucket_of(queue, &item->key);
    while (*link != item) {
        BRISK_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = item->next;
    list_take(queue, item);
    if (item->heap_at != 0) {
        heap_take(queue, item);
    }
    queue->stats.bytes -= item->charged;
    (void)atomic_fetch_sub_explicit(&queue->entries, 1, memory_order_release);
    (void)pthread_cond_broadcast(&queue->change);
    free_item(queue, item);
}

/* --- the thread ------------------------------------------------------------------------------ */

static uint64_t backoff_of(behind_queue *queue, uint32_t tries)
{
    uint64_t wait = or_default(queue->opts.limits.backoff_ns, backoff_default_ns);
    for (uint32_t i = 1; i < tries && i < DOUBLINGS_MAX && wait < backoff_max_ns; i++) {
        wait *= 2;
    }
    wait = wait < backoff_max_ns ? wait : backoff_max_ns;
    return wait / 2 + brisk_rng_below(&queue->rng, wait / 2 + 1);
}

/* Under the lock: the item was applied; it ends, or waits again.  True: it is given up. */
static bool settle(behind_queue *queue, behind_item *item, brisk_err err)
{
    if (item->dropped && item->version == item->taken) {
        return false;
    }
    if (item->version != item->taken) {
        queue->stats.done += err == BRISK_OK;
        item->tries = 0;
        item->due_ns = now_of(queue);
        heap_add(queue, item);
        (void)pthread_cond_broadcast(&queue->change);
        return false;
    }
    if (err == BRISK_OK) {
        queue->stats.done++;
        return false;
    }
    if (++item->tries >= or_default(queue->opts.limits.tries_max, TRIES_DEFAULT)) {
        queue->stats.lost++;
        return true;
    }
    queue->stats.retries++;
    item->due_ns = now_of(queue) + backoff_of(queue, item->tries);
    heap_add(queue, item);
    return false;
}

/* Under the lock, which is given up meanwhile: the item is given up. */
static void give_up(behind_queue *queue, behind_item *item, const behind_write *write,
                    brisk_err err)
{
    if (queue->opts.give_up == NULL) {
        return;
    }
    unlock(queue);
    queue->opts.give_up(queue->opts.ctx, write, err);
    lock(queue);
    if (item->version != item->taken) {
        (void)settle(queue, item, err); /* written anew meanwhile */
    }
}

/* Under the lock, which is given up meanwhile. */
static brisk_err apply(behind_queue *queue, behind_item *item)
{
    const behind_queue_opts *opts = &queue->opts;
    behind_write write = {
        .key = item->key,
        .value = item->value != NULL ? brisk_value_ref(item->value) : NULL,
        .payload = item->payload,
        .payload_size = item->payload_size,
    };
    item->taken = item->version;
    item->applied = item->payload;
    queue->applying = item->since;
    unlock(queue);
    brisk_err err = opts->apply(opts->ctx, &write, item);
    lock(queue);
    if (item->payload != item->applied) {
        free_payload(queue, item->applied, write.payload_size);
    }
    item->applied = NULL;
    queue->applying = 0;
    if (settle(queue, item, err)) {
        give_up(queue, item, &write, err);
    }
    if (item->heap_at == 0) {
        end_item(queue, item);
    }
    brisk_value_unref(write.value);
    return err;
}

/* Under the lock, while stopping: real time, whatever clock the queue has. */
static void pause_stop(behind_queue *queue, uint32_t tries)
{
    uint64_t until = brisk_clock_now_ns(NULL) + backoff_of(queue, tries);
    until = until < queue->stop_ns ? until : queue->stop_ns;
    struct timespec at = {
        .tv_sec = (time_t)(until / NS_PER_S),
        .tv_nsec = (long)(until % NS_PER_S),
    };
    (void)pthread_cond_timedwait(&queue->work, &queue->lock, &at);
}

/* Under the lock: everything is due at once, and tried until the time is over. */
static void run_stop(behind_queue *queue)
{
    uint32_t failed = 0;
    while (queue->heap_count != 0 && brisk_clock_now_ns(NULL) < queue->stop_ns) {
        behind_item *item = queue->heap[0];
        heap_take(queue, item);
        failed = apply(queue, item) == BRISK_OK ? 0 : failed + 1;
        if (failed > queue->heap_count) {
            pause_stop(queue, failed); /* each of them failed */
        }
    }
}

static void run(void *ctx)
{
    behind_queue *queue = ctx;
    lock(queue);
    while (!queue->stop) {
        uint64_t due = queue->heap_count != 0 ? queue->heap[0]->due_ns : UINT64_MAX;
        if (due > now_of(queue)) {
            wait_for(queue, &queue->work, due);
        } else {
            behind_item *item = queue->heap[0];
            heap_take(queue, item);
            (void)apply(queue, item);
        }
    }
    run_stop(queue);
    unlock(queue);
}

/* --- life ------------------------------------------------------------------------------------- */

static void free_queue(behind_queue *queue)
{
    const brisk_alloc *alloc = queue->opts.alloc;
    if (queue->buckets != NULL) {
        alloc->release(alloc->ctx, queue->buckets, queue->bucket_count * sizeof *queue->buckets,
                       _Alignof(behind_item *));
    }
    if (queue->heap != NULL) {
        alloc->release(alloc->ctx, queue->heap, queue->entries_max * sizeof *queue->heap,
                       _Alignof(behind_item *));
    }
    alloc->release(alloc->ctx, queue, sizeof *queue, _Alignof(behind_queue));
}

static void init_waiting(behind_queue *queue)
{
    pthread_condattr_t attr;
    int failed = pthread_mutex_init(&queue->lock, NULL);
    failed = failed != 0 ? failed : pthread_condattr_init(&attr);
    failed = failed != 0 ? failed : pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed = failed != 0 ? failed : pthread_cond_init(&queue->work, &attr);
    failed = failed != 0 ? failed : pthread_cond_init(&queue->change, &attr);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux with these attributes */
    (void)pthread_condattr_destroy(&attr);
}

brisk_err behind_create(const behind_queue_opts *opts, behind_queue **ret)
{
    const brisk_alloc *alloc = opts->alloc;
    behind_queue *queue = alloc->acquire(alloc->ctx, sizeof *queue, _Alignof(behind_queue));
    if (queue == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t entries = or_default(opts->limits.entries_max, ENTRIES_DEFAULT);
    memset(queue, 0, sizeof *queue);
    queue->opts = *opts;
    queue->owner = getpid();
    queue->entries_max = (uint32_t)(entries < ENTRIES_LIMIT ? entries : ENTRIES_LIMIT);
    queue->bucket_count = BUCKETS_MIN;
    while (queue->bucket_count < queue->entries_max) {
        queue->bucket_count *= 2;
    }
    size_t table = queue->bucket_count * sizeof *queue->buckets;
    queue->buckets = alloc->acquire(alloc->ctx, table, _Alignof(behind_item *));
    queue->heap = alloc->acquire(alloc->ctx, queue->entries_max * sizeof *queue->heap,
                                 _Alignof(behind_item *));
    if (queue->buckets == NULL || queue->heap == NULL) {
        free_queue(queue);
        return BRISK_ERR_NOMEM;
    }
    memset(queue->buckets, 0, table);
    brisk_rng_init(&queue->rng, brisk_clock_now_ns(opts->clock));
    init_waiting(queue);
    *ret = queue;
    return BRISK_OK;
}

void behind_destroy(behind_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    bool mine = queue->owner == getpid();
    if (mine) {
        lock(queue);
        queue->stop = true;
        queue->stop_ns =
            brisk_clock_now_ns(NULL) + or_default(queue->opts.limits.flush_ns, flush_default_ns);
        (void)pthread_cond_signal(&queue->work);
        unlock(queue);
        brisk_thread_join(&queue->thread);
    }
    while (queue->oldest != NULL) {
        behind_item *item = queue->oldest;
        if (mine && queue->opts.give_up != NULL) {
            behind_write write = {.key = item->key, .value = item->value};
            queue->opts.give_up(queue->opts.ctx, &write, BRISK_ERR_DEADLINE);
        }
        end_item(queue, item);
    }
    if (mine) { /* in a child the parent's thread seems to wait for ever */
        (void)pthread_mutex_destroy(&queue->lock);
        (void)pthread_cond_destroy(&queue->work);
        (void)pthread_cond_destroy(&queue->change);
    }
    free_queue(queue);
}

/* --- pushing ---------------------------------------------------------------------------------- */

static uint64_t charge_of(const behind_write *write)
{
    uint64_t value = write->value != NULL ? brisk_value_size(write->value) : 0;
    return ITEM_OVERHEAD + write->key.size + write->payload_size + value;
}

/* Under the lock: whether a write fits that replaces what `item` (or NULL) has. */
static bool fits(const behind_queue *queue, const behind_item *item, uint64_t charge)
{
    uint64_t entries = atomic_load_explicit(&queue->entries, memory_order_relaxed);
    uint64_t before = item != NULL ? item->charged : 0;
    uint64_t most = or_default(queue->opts.limits.bytes_max, bytes_default);
    return (item != NULL || entries < queue->entries_max) &&
           queue->stats.bytes - before + charge <= most;
}

/* Under the lock. */
static brisk_err ready(behind_queue *queue)
{
    if (queue->owner != getpid()) {
        return BRISK_ERR_UNSUPPORTED;
    }
    if (queue->started) {
        return BRISK_OK;
    }
    brisk_thread_opts opts = {.name = queue->opts.name, .run = run, .ctx = queue};
    brisk_err err = brisk_thread_start(&queue->thread, &opts);
    queue->started = err == BRISK_OK;
    return err;
}

static behind_item *new_item(const behind_queue *queue, const brisk_key *key)
{
    const brisk_alloc *alloc = queue->opts.alloc;
    behind_item *item = alloc->acquire(alloc->ctx, sizeof *item + key->size, _Alignof(behind_item));
    if (item != NULL) {
        memset(item, 0, sizeof *item);
        item->key = *key;
        item->key.bytes = memcpy(item + 1, key->bytes, key->size);
    }
    return item;
}

/* Under the lock: a new item, in table and list; its write is not there yet. */
static behind_item *add_item(behind_queue *queue, const brisk_key *key)
{
    behind_item *item = new_item(queue, key);
    if (item != NULL) {
        behind_item **bucket = bucket_of(queue, key);
        item->next = *bucket;
        *bucket = item;
        item->since = queue->sequence;
        item->due_ns = now_of(queue);
        list_append(queue, item);
        heap_add(queue, item);
        (void)atomic_fetch_add_explicit(&queue->entries, 1, memory_order_release);
    }
    return item;
}

/* Under the lock. */
static brisk_err push(behind_queue *queue, const behind_write *write, void *payload)
{
    brisk_err err = ready(queue);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t charge = charge_of(write);
    behind_item *item = find(queue, &write->key);
    uint64_t before = item != NULL ? item->charged : 0;
    if (!fits(queue, item, charge)) {
        queue->stats.full++;
        return BRISK_ERR_FULL;
    }
    queue->sequence++;
    if (item == NULL) {
        item = add_item(queue, &write->key);
        if (item == NULL) {
            return BRISK_ERR_NOMEM;
        }
    } else {
        /* What waited never happens; what is under way does, and is followed by this. */
        bool waited = item->heap_at != 0 || item->version != item->taken;
        queue->stats.coalesced += waited && !item->dropped;
        if (!waited) { /* the first one after what is under way */
            item->since = queue->sequence;
            list_take(queue, item);
            list_append(queue, item);
        }
        forget_write(queue, item);
    }
    queue->stats.bytes += charge - before;
    item->charged = charge;
    item->value = write->value != NULL ? brisk_value_ref(write->value) : NULL;
    item->payload = payload;
    item->payload_size = write->payload_size;
    item->dropped = false;
    item->hidden = false;
    item->version++;
    (void)pthread_cond_signal(&queue->work);
    return BRISK_OK;
}

brisk_err behind_push(behind_queue *queue, const behind_write *write)
{
    const brisk_alloc *alloc = queue->opts.alloc;
    void *payload = NULL;
    if (write->payload_size != 0) {
        payload = alloc->acquire(alloc->ctx, write->payload_size, PAYLOAD_ALIGN);
        if (payload == NULL) {
            return BRISK_ERR_NOMEM;
        }
        memcpy(payload, write->payload, write->payload_size);
    }
    lock(queue);
    brisk_err err = push(queue, write, payload);
    unlock(queue);
    if (err != BRISK_OK) {
        free_payload(queue, payload, write->payload_size);
    }
    return err;
}

bool behind_wait_room(behind_queue *queue, const behind_write *write, uint64_t wait_ns)
{
    lock(queue);
    uint64_t until = now_of(queue) + wait_ns;
    bool has_room = fits(queue, find(queue, &write->key), charge_of(write));
    while (!has_room && now_of(queue) < until) {
        wait_for(queue, &queue->change, until);
        has_room = fits(queue, find(queue, &write->key), charge_of(write));
    }
    unlock(queue);
    return has_room;
}

/* Under the lock; an item that is being applied ends after that. */
static void drop(behind_queue *queue, behind_item *item)
{
    item->version++;
    if (item->heap_at != 0) {
        end_item(queue, item);
        return;
    }
    forget_write(queue, item);
    item->taken = item->version; /* nothing is to follow */
    item->dropped = true;
}

void behind_drop(behind_queue *queue, const brisk_key *key, bool wait)
{
    if (atomic_load_explicit(&queue->entries, memory_order_acquire) == 0) {
        return;
    }
    lock(queue);
    behind_item *item = find(queue, key);
    if (item != NULL && queue->owner == getpid()) {
        drop(queue, item);
        while (wait && (item = find(queue, key)) != NULL && item->dropped) {
            wait_for(queue, &queue->change, UINT64_MAX);
        }
    }
    unlock(queue);
}

void behind_hide(behind_queue *queue, const brisk_key *key)
{
    if (atomic_load_explicit(&queue->entries, memory_order_acquire) == 0) {
        return;
    }
    lock(queue);
    behind_item *item = find(queue, key);
    if (item != NULL) {
        item->hidden = true;
    }
    unlock(queue);
}

void behind_hide_all(behind_queue *queue)
{
    lock(queue);
    for (behind_item *item = queue->oldest; item != NULL; item = item->newer) {
        item->hidden = true;
    }
    unlock(queue);
}

void behind_drop_all(behind_queue *queue)
{
    lock(queue);
    behind_item *item = queue->oldest;
    while (item != NULL) {
        behind_item *next = item->newer;
        drop(queue, item);
        item = next;
    }
    unlock(queue);
}

bool behind_is_superseded(behind_queue *queue, const behind_item *item)
{
    lock(queue);
    bool superseded = item->version != item->taken || item->dropped;
    unlock(queue);
    return superseded;
}

/* Under the lock: something pushed no later than `last` is not in place. */
static bool is_older(const behind_queue *queue, uint64_t last)
{
    return (queue->oldest != NULL && queue->oldest->since <= last) ||
           (queue->applying != 0 && queue->applying <= last);
}

brisk_err behind_flush(behind_queue *queue, uint64_t wait_ns)
{
    brisk_err err = BRISK_OK;
    lock(queue);
    uint64_t last = queue->sequence;
    uint64_t until = now_of(queue) + wait_ns;
    until = until >= wait_ns ? until : UINT64_MAX - 1;
    uint64_t now = now_of(queue);
    for (uint32_t i = 0; i < queue->heap_count; i++) {
        if (queue->heap[i]->due_ns > now) {
            queue->heap[i]->due_ns = now; /* what failed is tried again at once */
        }
    }
    for (uint32_t i = queue->heap_count / 2; i-- > 0;) {
        heap_down(queue, i);
    }
    (void)pthread_cond_signal(&queue->work);
    while (is_older(queue, last)) {
        if (now_of(queue) >= until) {
            err = BRISK_ERR_DEADLINE;
            break;
        }
        wait_for(queue, &queue->change, until);
    }
    unlock(queue);
    return err;
}

void behind_read_stats(behind_queue *queue, behind_stats *ret)
{
    lock(queue);
    *ret = queue->stats;
    ret->entries = atomic_load_explicit(&queue->entries, memory_order_relaxed);
    unlock(queue);
}

behind_found behind_find(behind_queue *queue, const brisk_key *key, behind_read *ret)
{
    /* Acquire: who was told of a write finds it counted. */
    if (atomic_load_explicit(&queue->entries, memory_order_acquire) == 0) {
        return BEHIND_NONE;
    }
    behind_found found = BEHIND_NONE;
    lock(queue);
    const behind_item *item = find(queue, key);
    if (item != NULL && !item->dropped && (!item->hidden || ret->hidden)) {
        found = item->value != NULL ? BEHIND_VALUE : BEHIND_REMOVED;
        ret->value = item->value != NULL ? brisk_value_ref(item->value) : NULL;
        if (item->payload != NULL && ret->payload_size != 0) {
            BRISK_ASSERT(item->payload_size == ret->payload_size);
            memcpy(ret->payload, item->payload, ret->payload_size);
        }
    }
    unlock(queue);
    return found;
}
