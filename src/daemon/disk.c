/*
 * disk.c -- write-behind to the disk tier, and fetching from it.
 *
 *     change ─► pending (key -> the newest value, or that it is gone) ─► writer ─► disk tier
 *     a key that is not in memory ─► fetches (key -> who waits) ─► readers ─► memory ─► go on
 *
 * The argument why nobody reads an older value than was acknowledged: a key's newest state is in
 * memory, or pending, or on disk, looked for in this order.  A pending change leaves the table only
 * after the disk tier has it, and only if it is still the newest (`version`).  A fetch reads the disk
 * without any lock, so what it brings may be outdated: it is taken only if the key was not changed
 * since the fetch began (`outdated`) and is not in memory; else what is pending is taken.
 *
 * What is acknowledged and not yet written is lost when the process is killed: that is what
 * write-behind means.  The queue is bounded in bytes; whoever finds it full waits for the writer
 * with the server's lock held, so that a disk slower than the clients slows them down.
 *
 * Locks: the server's, then disk.lock; never the other way round.  The tier is called without both.
 */
#include "daemon/disk_walk.h"

#include <errno.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "base/thread.h"

enum { READERS = 2, PENDING_BYTES_MAX = 64 << 20, OP_OVERHEAD = 1024, TRIES_MAX = 8 };

static const uint64_t tend_bytes = 4 << 20;

/* The newest state of a key that is not on disk yet. */
typedef struct change {
    struct change *next; /* in the order of writing */
    dict_entry *entry;
    uint64_t version;
    uint64_t number; /* in the order of writing, of all */
    bool queued;
    bool gone; /* removed */
    brisk_hit hit;
} change;

typedef struct fetch {
    struct fetch *next;
    dict_entry *entry;
    bool outdated;
    bool queued;
    BRISK_VEC(uint64_t) clients; /* their numbers */
    disk_waiter *waiters;
} fetch;

struct disk {
    server *server;
    brisk_tier *tier;
    pthread_mutex_t lock;  /* everything below */
    pthread_cond_t work;   /* for the writer, if it ... */
    bool idle;             /* ... waits: who wakes it says so, once for many changes */
    pthread_cond_t wanted; /* for readers */
    pthread_cond_t done;   /* something was written */
    dict changes;
    change *first;
    change *last;
    size_t pending_bytes;
    uint32_t clears; /* asked for and not done: before all changes that are queued */
    bool writing;    /* the writer is inside the tier ... */
    uint64_t writes; /* ... with this number; 0: clearing */
    uint64_t asked;  /* number of the last change */
    dict fetches;    /* also under the server's lock */
    fetch *fetch_first;
    fetch *fetch_last;
    bool stop;
    brisk_thread writer;
    brisk_thread readers[READERS];
    disk_walker *walker;
};

/* --- pending changes ---------------------------------------------------------------------- */

static size_t bytes_of(const change *ch)
{
    return OP_OVERHEAD + ch->entry->size + (ch->gone ? 0 : brisk_value_size(ch->hit.value));
}

static void free_change(disk *d, change *ch)
{
    const brisk_alloc *alloc = d->server->alloc;
    d->pending_bytes -= bytes_of(ch);
    if (!ch->gone) {
        brisk_value_unref(ch->hit.value);
    }
    dict_remove(&d->changes, ch->entry);
    alloc->release(alloc->ctx, ch, sizeof *ch, _Alignof(change));
}

static void wake_writer(disk *d)
{
    if (d->idle) {
        d->idle = false;
        (void)pthread_cond_signal(&d->work);
    }
}

static void enqueue_change(disk *d, change *ch)
{
    ch->next = NULL;
    ch->queued = true;
    ch->number = ++d->asked;
    if (d->last != NULL) {
        d->last->next = ch;
    } else {
        d->first = ch;
    }
    d->last = ch;
}

/* Under disk.lock: the change of `key`, made when there is none; NULL: out of memory. */
static change *change_of(disk *d, const brisk_key *key)
{
    const brisk_alloc *alloc = d->server->alloc;
    dict_entry *entry = dict_add(&d->changes, key->bytes, key->size);
    if (entry == NULL) {
        return NULL;
    }
    if (entry->value == NULL) {
        change *ch = alloc->acquire(alloc->ctx, sizeof *ch, _Alignof(change));
        if (ch == NULL) {
            dict_remove(&d->changes, entry);
            return NULL;
        }
        memset(ch, 0, sizeof *ch);
        ch->entry = entry;
        ch->gone = true;
        entry->value = ch;
        d->pending_bytes += bytes_of(ch);
    }
    return entry->value;
}

static void wait_for_room(disk *d)
{
    while (d->pending_bytes > PENDING_BYTES_MAX && !d->stop) {
        (void)pthread_cond_wait(&d->done, &d->lock);
    }
}

void disk_changed(server *s, resp_bytes key)
{
    disk *d = s->disk;
    brisk_hit hit;
    bool there = keyspace_get(&s->keys, key, &hit);
    brisk_key stored = keyspace_stored(&s->keys, key);
    (void)pthread_mutex_lock(&d->lock);
    dict_entry *fetching = dict_find(&d->fetches, stored.bytes, stored.size);
    if (fetching != NULL) {
        ((fetch *)fetching->value)->outdated = true;
    }
    wait_for_room(d);
    change *ch = change_of(d, &stored);
    if (ch == NULL) {
        (void)pthread_mutex_unlock(&d->lock);
        brisk_log(BRISK_LOG_ERROR, "serve", "out of memory: a change is written at once");
        if (there) {
            brisk_value_unref(hit.value);
        }
        (void)d->tier->ops->remove(d->tier, &stored); /* at least nothing old remains */
        return;
    }
    d->pending_bytes -= bytes_of(ch);
    if (!ch->gone) {
        brisk_value_unref(ch->hit.value);
    }
    ch->gone = !there;
    if (there) {
        ch->hit = hit;
    }
    ch->version++;
    d->pending_bytes += bytes_of(ch);
    if (!ch->queued) {
        enqueue_change(d, ch);
    }
    wake_writer(d);
    (void)pthread_mutex_unlock(&d->lock);
}

void disk_cleared(server *s)
{
    disk *d = s->disk;
    (void)pthread_mutex_lock(&d->lock);
    while (d->writing) { /* what is being written comes before the clearing */
        (void)pthread_cond_wait(&d->done, &d->lock);
    }
    for (dict_entry *entry = dict_next(&d->changes, NULL), *next; entry != NULL; entry = next) {
        next = dict_next(&d->changes, entry);
        free_change(d, entry->value);
    }
    d->first = NULL;
    d->last = NULL;
    d->clears++;
    for (const dict_entry *entry = dict_next(&d->fetches, NULL); entry != NULL;
         entry = dict_next(&d->fetches, entry)) {
        ((fetch *)entry->value)->outdated = true;
    }
    wake_writer(d);
    (void)pthread_mutex_unlock(&d->lock);
}

/* --- the writer --------------------------------------------------------------------------- */

static brisk_err write_one(disk *d, const brisk_key *key, const brisk_hit *hit)
{
    if (hit == NULL) {
        return d->tier->ops->remove(d->tier, key);
    }
    brisk_entry_opts opts = {.flags = hit->flags,
                             .meta_size = hit->meta_size,
                             .meta = hit->meta,
                             .cost_ns = hit->cost_ns,
                             .expires_at_ns = hit->expires_at_ns,
                             .era = hit->era};
    brisk_err err = d->tier->ops->put(d->tier, key, hit->value, &opts);
    if (err != BRISK_OK) {
        (void)d->tier->ops->remove(d->tier, key); /* nothing older must be found */
    }
    return err;
}

/* Under disk.lock, which is given back meanwhile. */
static void write_first(disk *d)
{
    change *ch = d->first;
    d->first = ch->next;
    if (d->first == NULL) {
        d->last = NULL;
    }
    ch->queued = false;
    uint64_t version = ch->version;
    bool gone = ch->gone;
    brisk_hit hit = {0};
    if (!gone) {
        hit = ch->hit;
        hit.value = brisk_value_ref(ch->hit.value);
    }
    brisk_key key = brisk_key_of(ch->entry->key, ch->entry->size);
    d->writing = true;
    d->writes = ch->number;
    (void)pthread_mutex_unlock(&d->lock);
    brisk_err err = write_one(d, &key, gone ? NULL : &hit);
    brisk_value_unref(hit.value);
    (void)pthread_mutex_lock(&d->lock);
    d->writing = false;
    if (err != BRISK_OK && err != BRISK_ERR_DECLINED) {
        brisk_log(BRISK_LOG_WARNING, "serve", "the disk tier cannot write: %s",
                  brisk_err_message(err));
    }
    if (ch->version == version) {
        if (ch->queued) { /* cannot be: a newer version would be */
            BRISK_ASSERT(false);
        }
        free_change(d, ch);
    }
    (void)pthread_cond_broadcast(&d->done);
}

static void clear_tier(disk *d)
{
    uint32_t count = d->clears;
    d->writing = true;
    d->writes = 0;
    (void)pthread_mutex_unlock(&d->lock);
    brisk_err err = d->tier->ops->clear(d->tier);
    (void)pthread_mutex_lock(&d->lock);
    d->writing = false;
    d->clears -= count;
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_ERROR, "serve", "the disk tier cannot be cleared: %s",
                  brisk_err_message(err));
    }
    (void)pthread_cond_broadcast(&d->done);
}

static void run_writer(void *ctx)
{
    disk *d = ctx;
    (void)pthread_mutex_lock(&d->lock);
    for (;;) {
        if (d->clears > 0) {
            clear_tier(d);
        } else if (d->first != NULL) {
            write_first(d);
        } else if (d->stop) {
            break;
        } else {
            struct timespec until;
            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec++;
            d->idle = true;
            int ended = pthread_cond_timedwait(&d->work, &d->lock, &until);
            d->idle = false;
            if (ended == ETIMEDOUT) {
                (void)pthread_mutex_unlock(&d->lock);
                (void)brisk_disk_tier_tend(d->tier, tend_bytes);
                (void)pthread_mutex_lock(&d->lock);
            }
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
}

/* --- fetching ----------------------------------------------------------------------------- */

static void free_fetch(disk *d, fetch *f)
{
    const brisk_alloc *alloc = d->server->alloc;
    BRISK_VEC_DEINIT(&f->clients);
    dict_remove(&d->fetches, f->entry);
    alloc->release(alloc->ctx, f, sizeof *f, _Alignof(fetch));
}

/* Under both locks.  The fetch of `key`, made when there is none; NULL: out of memory. */
static fetch *fetch_of(disk *d, const brisk_key *key)
{
    const brisk_alloc *alloc = d->server->alloc;
    dict_entry *entry = dict_add(&d->fetches, key->bytes, key->size);
    if (entry == NULL) {
        return NULL;
    }
    fetch *f = entry->value;
    if (f == NULL) {
        f = alloc->acquire(alloc->ctx, sizeof *f, _Alignof(fetch));
        if (f == NULL) {
            dict_remove(&d->fetches, entry);
            return NULL;
        }
        *f = (fetch){.entry = entry, .queued = true};
        f->clients.alloc = alloc;
        entry->value = f;
        if (d->fetch_last != NULL) {
            d->fetch_last->next = f;
        } else {
            d->fetch_first = f;
        }
        d->fetch_last = f;
    }
    return f;
}

/* Likewise.  Is `key` neither in memory nor pending, so that the disk must be asked?  What is pending
 * comes back to memory. */
static bool is_elsewhere(disk *d, const brisk_key *key)
{
    dict_entry *entry = dict_find(&d->changes, key->bytes, key->size);
    const change *ch = entry != NULL ? entry->value : NULL;
    if (ch != NULL && !ch->gone) {
        (void)!keyspace_restore(&d->server->keys, key,
                                &ch->hit); /* dropped from memory before written */
    }
    return ch == NULL && d->clears == 0;
}

/* One key of a command; true: the client has to wait for it. */
static bool need_key(disk *d, client *c, resp_bytes name)
{
    server *s = d->server;
    if (keyspace_has(&s->keys, name)) {
        return false;
    }
    brisk_key key = keyspace_stored(&s->keys, name);
    bool waits = false;
    (void)pthread_mutex_lock(&d->lock);
    if (is_elsewhere(d, &key)) {
        fetch *f = fetch_of(d, &key);
        waits = f != NULL && BRISK_VEC_PUSH(&f->clients, c->id);
    }
    if (waits) {
        c->fetches++;
        (void)pthread_cond_signal(&d->wanted);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return waits;
}

/* Under both locks: what is on its way to the disk. */
static void take_pending(disk *d, const brisk_key *key, disk_waiter *w)
{
    const dict_entry *entry = dict_find(&d->changes, key->bytes, key->size);
    const change *ch = entry != NULL ? entry->value : NULL;
    if (ch != NULL && !ch->gone && keyspace_hit_is_current(&d->server->keys, key, &ch->hit)) {
        w->value = brisk_value_ref(ch->hit.value);
        w->expires_at_ns = ch->hit.expires_at_ns;
    }
}

bool disk_want(server *s, resp_bytes name, disk_waiter *w)
{
    disk *d = s->disk;
    if (d == NULL || keyspace_has(&s->keys, name)) {
        return false;
    }
    brisk_key key = keyspace_stored(&s->keys, name);
    fetch *f = NULL;
    (void)pthread_mutex_lock(&d->lock);
    if (is_elsewhere(d, &key)) {
        f = fetch_of(d, &key);
    } else {
        take_pending(d, &key, w);
    }
    if (f != NULL) {
        w->next = f->waiters;
        f->waiters = w;
        (void)pthread_cond_signal(&d->wanted);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return f != NULL;
}

bool disk_unwant(server *s, resp_bytes name, disk_waiter *w)
{
    disk *d = s->disk;
    brisk_key key = keyspace_stored(&s->keys, name);
    bool found = false;
    (void)pthread_mutex_lock(&d->lock);
    dict_entry *entry = dict_find(&d->fetches, key.bytes, key.size);
    fetch *f = entry != NULL ? entry->value : NULL;
    for (disk_waiter **at = f != NULL ? &f->waiters : NULL; at != NULL && *at != NULL;
         at = &(*at)->next) {
        if (*at == w) {
            *at = w->next;
            found = true;
            break;
        }
    }
    (void)pthread_mutex_unlock(&d->lock);
    return found;
}

static bool need_keys(disk *d, client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    bool plain =
        (cmd->flags & CMD_OVERWRITES) != 0 && (argc <= 3 || cmd->arity != -3 || cmd->key_last < 0);
    if (cmd->key_first <= 0 || plain) {
        return false;
    }
    bool waits = false;
    int64_t last = cmd->key_last >= 0 ? cmd->key_last : (int64_t)argc + cmd->key_last;
    for (int64_t i = cmd->key_first; i <= last && i < (int64_t)argc; i += cmd->key_step) {
        waits = need_key(d, c, argv[i]) || waits;
    }
    return waits;
}

bool disk_fetch(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    disk *d = c->server->disk;
    bool waits = false;
    if (cmd->asks != NULL) {
        return disk_walk(c, cmd, argv, argc);
    }
    /* Again, when what came pushed something else out that is needed; not for what is nowhere. */
    if (c->fetch_tries == TRIES_MAX || (c->fetch_tries > 0 && !c->fetch_found)) {
        return false;
    }
    c->fetches = 0;
    if (cmd->run == command_exec) {
        for (size_t i = 0; i < c->queue.count; i++) {
            const client_held *held = &c->queue.items[i];
            waits = need_keys(d, c, held->command, held->argv, held->argc) || waits;
        }
    } else {
        waits = need_keys(d, c, cmd, argv, argc);
    }
    if (!waits) {
        return false;
    }
    if (!client_hold(c, &c->held, cmd, argv, argc)) {
        c->fetches = 0; /* out of memory: answered from memory alone */
        return false;
    }
    c->fetch_tries++;
    c->fetch_found = false;
    c->block = CLIENT_FETCHING;
    c->server->blocked_count++;
    return true;
}

void disk_forget(client *c)
{
    c->fetches = 0; /* readers look for its number in vain, and so does who walks */
}

/* Under the server's lock: what was found goes to memory, unless something newer is known. */
static void take_found(disk *d, fetch *f, const brisk_key *key, const brisk_hit *hit)
{
    server *s = d->server;
    brisk_entry_info info;
    if (brisk_memory_info(s->keys.tier, key, &info) == BRISK_OK) {
        return;
    }
    if (!f->outdated) {
        if (hit != NULL) {
            (void)!keyspace_restore(&s->keys, key, hit);
        }
        return;
    }
    dict_entry *entry = dict_find(&d->changes, key->bytes, key->size);
    const change *ch = entry != NULL ? entry->value : NULL;
    if (ch != NULL && !ch->gone) {
        (void)!keyspace_restore(&s->keys, key, &ch->hit);
    }
}

/* Likewise: they get the newest there is, whatever became of it in memory. */
static void tell_waiters(disk *d, fetch *f, const brisk_key *key, const brisk_hit *hit)
{
    const dict_entry *entry = f->outdated ? dict_find(&d->changes, key->bytes, key->size) : NULL;
    const change *ch = entry != NULL ? entry->value : NULL;
    if (f->outdated) {
        hit = ch != NULL && !ch->gone ? &ch->hit : NULL;
    }
    if (hit != NULL && !keyspace_hit_is_current(&d->server->keys, key, hit)) {
        hit = NULL;
    }
    while (f->waiters != NULL) {
        disk_waiter *w = f->waiters;
        f->waiters = w->next; /* before: its memory may be gone after the post */
        if (hit != NULL) {
            w->value = brisk_value_ref(hit->value);
            w->expires_at_ns = hit->expires_at_ns;
        }
        loop_post(w->loop, &w->task);
    }
}

static void finish_fetch(disk *d, fetch *f, const brisk_key *key, const brisk_hit *hit)
{
    server *s = d->server;
    server_lock(s);
    (void)pthread_mutex_lock(&d->lock);
    take_found(d, f, key, hit);
    for (size_t i = 0; i < f->clients.count; i++) {
        client *c = client_find(s, f->clients.items[i]);
        if (c != NULL && c->block == CLIENT_FETCHING && (hit != NULL || f->outdated)) {
            c->fetch_found = true;
        }
        if (c != NULL && c->block == CLIENT_FETCHING && c->fetches > 0 && --c->fetches == 0) {
            client_unblock(c);
        }
    }
    tell_waiters(d, f, key, hit);
    free_fetch(d, f);
    (void)pthread_mutex_unlock(&d->lock);
    server_unlock(s);
}

/* A large value is a file on disk: bring it to memory, and look whether it is what was stored. */
static bool read_file(const disk *d, brisk_hit *hit)
{
    void *data;
    brisk_value *value;
    uint64_t size = brisk_value_size(hit->value);
    if (brisk_value_reserve(size, library_alloc(d->server->alloc), &data, &value) != BRISK_OK) {
        return false;
    }
    bool good = brisk_file_pread_all(brisk_value_fd(hit->value), data, size, 0) == BRISK_OK;
    if (good && hit->has_content) {
        brisk_hash128 content = brisk_hash128_of(data, size, 0);
        good = content.lo == hit->content.lo && content.hi == hit->content.hi;
    }
    if (!good) {
        brisk_value_unref(value);
        return false;
    }
    brisk_value_unref(hit->value);
    hit->value = value;
    return true;
}

static void run_reader(void *ctx)
{
    disk *d = ctx;
    (void)pthread_mutex_lock(&d->lock);
    while (!d->stop) {
        fetch *f = d->fetch_first;
        if (f == NULL) {
            (void)pthread_cond_wait(&d->wanted, &d->lock);
            continue;
        }
        d->fetch_first = f->next;
        if (d->fetch_first == NULL) {
            d->fetch_last = NULL;
        }
        f->queued = false;
        (void)pthread_mutex_unlock(&d->lock);
        brisk_key key = brisk_key_of(f->entry->key, f->entry->size);
        brisk_hit hit;
        bool found = d->tier->ops->get(d->tier, &key, &hit) == BRISK_OK;
        bool usable = found && (brisk_value_data(hit.value) != NULL || read_file(d, &hit));
        finish_fetch(d, f, &key, usable ? &hit : NULL);
        if (found) {
            brisk_value_unref(hit.value);
        }
        (void)pthread_mutex_lock(&d->lock);
    }
    (void)pthread_mutex_unlock(&d->lock);
}

/* --- life --------------------------------------------------------------------------------- */

static brisk_err start_threads(disk *d)
{
    brisk_thread_opts opts = {.name = "serve-disk", .run = run_writer, .ctx = d};
    brisk_err err = brisk_thread_start(&d->writer, &opts);
    opts.name = "serve-fetch";
    opts.run = run_reader;
    for (int i = 0; i < READERS && err == BRISK_OK; i++) {
        err = brisk_thread_start(&d->readers[i], &opts);
    }
    return err;
}

brisk_err disk_open_tier(server *s, const char *path, uint64_t bytes_max, brisk_tier **ret,
                         brisk_errinfo *info)
{
    brisk_disk_tier_opts opts = {
        .path = path, .bytes_max = bytes_max, .alloc = library_alloc(s->alloc), .tended = true};
    return brisk_disk_tier_open(&opts, ret, info);
}

brisk_err disk_start(server *s, brisk_tier *tier, disk **ret)
{
    disk *d = s->alloc->acquire(s->alloc->ctx, sizeof *d, _Alignof(disk));
    if (d == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(d, 0, sizeof *d);
    d->server = s;
    d->tier = tier;
    dict_init(&d->changes, s->alloc);
    dict_init(&d->fetches, s->alloc);
    int failed = pthread_mutex_init(&d->lock, NULL);
    failed |= pthread_cond_init(&d->work, NULL);
    failed |= pthread_cond_init(&d->wanted, NULL);
    failed |= pthread_cond_init(&d->done, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux without attributes */
    brisk_err err = start_threads(d);
    if (err == BRISK_OK) {
        err = disk_walker_start(s, d, &d->walker);
    }
    if (err != BRISK_OK) {
        disk_stop(d);
        return err;
    }
    *ret = d;
    return BRISK_OK;
}

void disk_stop(disk *d)
{
    if (d == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&d->lock);
    d->stop = true;
    (void)pthread_cond_broadcast(&d->work);
    (void)pthread_cond_broadcast(&d->wanted);
    (void)pthread_cond_broadcast(&d->done);
    (void)pthread_mutex_unlock(&d->lock);
    disk_walker_stop(d->walker);
    brisk_thread_join(&d->writer); /* after everything is written */
    for (int i = 0; i < READERS; i++) {
        brisk_thread_join(&d->readers[i]);
    }
    for (dict_entry *entry = dict_next(&d->fetches, NULL), *next; entry != NULL; entry = next) {
        next = dict_next(&d->fetches, entry);
        free_fetch(d, entry->value);
    }
    for (dict_entry *entry = dict_next(&d->changes, NULL), *next; entry != NULL; entry = next) {
        next = dict_next(&d->changes, entry);
        free_change(d, entry->value);
    }
    dict_deinit(&d->fetches);
    dict_deinit(&d->changes);
    (void)pthread_cond_destroy(&d->done);
    (void)pthread_cond_destroy(&d->wanted);
    (void)pthread_cond_destroy(&d->work);
    (void)pthread_mutex_destroy(&d->lock);
    d->server->alloc->release(d->server->alloc->ctx, d, sizeof *d, _Alignof(disk));
}

disk_walker *disk_walker_of(const disk *d)
{
    return d->walker;
}

brisk_tier *disk_tier_of(const disk *d)
{
    return d->tier;
}

uint64_t disk_asked(disk *d)
{
    (void)pthread_mutex_lock(&d->lock);
    uint64_t asked = d->asked;
    (void)pthread_mutex_unlock(&d->lock);
    return asked;
}

bool disk_wait_written(disk *d, uint64_t number)
{
    (void)pthread_mutex_lock(&d->lock);
    while (!d->stop && (d->clears > 0 || (d->first != NULL && d->first->number <= number) ||
                        (d->writing && d->writes <= number))) {
        (void)pthread_cond_wait(&d->done, &d->lock);
    }
    bool written = !d->stop;
    (void)pthread_mutex_unlock(&d->lock);
    return written;
}

bool disk_is_gone(disk *d, const brisk_key *stored)
{
    (void)pthread_mutex_lock(&d->lock);
    dict_entry *entry = dict_find(&d->changes, stored->bytes, stored->size);
    const change *ch = entry != NULL ? entry->value : NULL;
    bool gone = d->clears > 0 || (ch != NULL && ch->gone);
    (void)pthread_mutex_unlock(&d->lock);
    return gone;
}

void disk_stats(server *s, brisk_tier_stats *ret)
{
    *ret = (brisk_tier_stats){0};
    s->disk->tier->ops->read_stats(s->disk->tier, ret);
}
