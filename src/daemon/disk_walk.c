/*
 * disk_walk.c -- walks through the keys on disk, for commands that wait.
 *
 *     command ─► held, walk ─► everything changed until now is written ─► the index ─► found
 *                                                                                        │
 *     reply ◄─ under the server's lock: without what is being removed ◄─ runs again ◄────┘
 *
 * Why no key is missing that was there before the command: all changes are on disk when the walk
 * begins, a key keeps its place in the tier's index while its value changes, and SCAN's later steps
 * go on where the earlier ones ended.  What the tier lost or refused (no room, a failing disk) is in
 * memory alone: then `may_lack` is set and SCAN goes through memory, too.
 *
 * Locks: the server's, then disk.lock, then walker.lock; the tier is called without any.
 */
#include "daemon/disk_walk.h"

#include <string.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/thread.h"
#include "daemon/glob.h"

enum {
    STEP = 256,
    SOME_BYTES_MAX = 16 << 20, /* then SCAN's step ends early */
    ALL_BYTES_MAX = 256 << 20, /* then KEYS is refused */
};

typedef struct walk {
    struct walk *next;
    uint64_t client;  /* its number */
    uint64_t written; /* changes that must be on disk first */
    disk_ask ask;
    unsigned char *pattern; /* the bytes of ask.pattern */
    disk_found found;
    brisk_str keys;
    uint32_t seen;
} walk;

struct disk_walker {
    server *server;
    disk *disk;
    brisk_tier *tier;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t work;
    walk *first;
    walk *last;
    bool stop;
    brisk_thread thread;
};

/* --- a walk ------------------------------------------------------------------------------- */

static void free_walk(const brisk_alloc *alloc, walk *w)
{
    if (w != NULL) {
        brisk_str_deinit(&w->keys);
        if (w->pattern != NULL) {
            alloc->release(alloc->ctx, w->pattern, w->ask.pattern.size, 1);
        }
        alloc->release(alloc->ctx, w, sizeof *w, _Alignof(walk));
    }
}

static walk *make_walk(client *c, const disk_ask *ask)
{
    const brisk_alloc *alloc = c->server->alloc;
    walk *w = alloc->acquire(alloc->ctx, sizeof *w, _Alignof(walk));
    if (w == NULL) {
        return NULL;
    }
    *w = (walk){.client = c->id, .ask = *ask, .found = {.effort = GLOB_EFFORT}};
    brisk_str_init(&w->keys, alloc, ALL_BYTES_MAX);
    if (ask->pattern.size > 0) {
        w->pattern = alloc->acquire(alloc->ctx, ask->pattern.size, 1);
        if (w->pattern == NULL) {
            free_walk(alloc, w);
            return NULL;
        }
        memcpy(w->pattern, ask->pattern.data, ask->pattern.size);
        w->ask.pattern.data = w->pattern;
    }
    return w;
}

static void see(void *ctx, const brisk_disk_visit *entry)
{
    walk *w = ctx;
    resp_bytes shown = keyspace_shown(entry->key, entry->key_size);
    w->seen++;
    if (w->ask.kind == DISK_WALK_ALL &&
        !glob_match_within(w->ask.pattern, shown, false, &w->found.effort)) {
        return;
    }
    uint32_t size = (uint32_t)entry->key_size;
    brisk_str_append(&w->keys, (const char *)&size, sizeof size);
    brisk_str_append(&w->keys, entry->key, entry->key_size);
}

/* More is to be done. */
static bool goes_on(disk_walker *walker, const walk *w)
{
    (void)pthread_mutex_lock(&walker->lock);
    bool stop = walker->stop;
    (void)pthread_mutex_unlock(&walker->lock);
    bool wanted = w->ask.kind == DISK_WALK_ALL ||
                  (w->seen < w->ask.count && brisk_str_size(&w->keys) < SOME_BYTES_MAX);
    return !stop && wanted && w->found.cursor != 0 && w->found.effort > 0 &&
           brisk_str_err(&w->keys) == BRISK_OK;
}

static void go_through(disk_walker *walker, walk *w)
{
    w->found.cursor = w->ask.cursor;
    do {
        bool few = w->ask.kind == DISK_WALK_SOME && w->ask.count - w->seen < STEP;
        uint32_t count = few ? w->ask.count - w->seen : STEP;
        w->found.cursor = brisk_disk_tier_scan(walker->tier, w->found.cursor, count, see, w);
    } while (goes_on(walker, w));
}

static bool may_lack(const brisk_tier_stats *stats)
{
    return stats->evictions + stats->rejects + stats->errors + stats->corrupt +
               stats->evicted_damaged !=
           0;
}

static void run_walk(disk_walker *walker, walk *w)
{
    if (!disk_wait_written(walker->disk, w->written)) {
        w->found.err = BRISK_ERR_CANCELLED;
        return;
    }
    if (w->ask.kind == DISK_WALK_RANDOM) {
        (void)brisk_disk_tier_random(walker->tier, w->ask.cursor, see, w);
    } else if (w->ask.kind == DISK_WALK_COUNT) {
        w->found.entries = brisk_disk_tier_count(walker->tier);
    } else {
        go_through(walker, w);
    }
    if (w->ask.kind == DISK_WALK_SOME && w->found.cursor == 0) {
        brisk_tier_stats stats;
        walker->tier->ops->read_stats(walker->tier, &stats);
        w->found.may_lack = may_lack(&stats);
    }
    w->found.err = brisk_str_err(&w->keys);
    w->found.keys = brisk_str_text(&w->keys);
    w->found.size = brisk_str_size(&w->keys);
}

/* --- the thread --------------------------------------------------------------------------- */

static void hand_over(disk_walker *walker, walk *w)
{
    server *s = walker->server;
    server_lock(s);
    client *c = client_find(s, w->client);
    if (c != NULL && c->block == CLIENT_FETCHING && c->walk == NULL) {
        c->walk = w;
        client_unblock(c);
    } else {
        free_walk(s->alloc, w);
    }
    server_unlock(s);
}

static void run_walker(void *ctx)
{
    disk_walker *walker = ctx;
    (void)pthread_mutex_lock(&walker->lock);
    while (!walker->stop) {
        walk *w = walker->first;
        if (w == NULL) {
            (void)pthread_cond_wait(&walker->work, &walker->lock);
            continue;
        }
        walker->first = w->next;
        walker->last = walker->first != NULL ? walker->last : NULL;
        (void)pthread_mutex_unlock(&walker->lock);
        run_walk(walker, w);
        hand_over(walker, w);
        (void)pthread_mutex_lock(&walker->lock);
    }
    (void)pthread_mutex_unlock(&walker->lock);
}

brisk_err disk_walker_start(server *s, disk *d, disk_walker **ret)
{
    disk_walker *walker = s->alloc->acquire(s->alloc->ctx, sizeof *walker, _Alignof(disk_walker));
    if (walker == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *walker = (disk_walker){.server = s, .disk = d, .tier = disk_tier_of(d)};
    int failed = pthread_mutex_init(&walker->lock, NULL);
    failed |= pthread_cond_init(&walker->work, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail on Linux without attributes */
    brisk_thread_opts opts = {.name = "serve-walk", .run = run_walker, .ctx = walker};
    brisk_err err = brisk_thread_start(&walker->thread, &opts);
    if (err != BRISK_OK) {
        disk_walker_stop(walker);
        return err;
    }
    *ret = walker;
    return BRISK_OK;
}

void disk_walker_stop(disk_walker *walker)
{
    if (walker == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&walker->lock);
    walker->stop = true;
    (void)pthread_cond_broadcast(&walker->work);
    (void)pthread_mutex_unlock(&walker->lock);
    brisk_thread_join(&walker->thread);
    const brisk_alloc *alloc = walker->server->alloc;
    for (walk *w = walker->first, *next; w != NULL; w = next) {
        next = w->next;
        free_walk(alloc, w);
    }
    (void)pthread_cond_destroy(&walker->work);
    (void)pthread_mutex_destroy(&walker->lock);
    alloc->release(alloc->ctx, walker, sizeof *walker, _Alignof(disk_walker));
}

/* --- commands ----------------------------------------------------------------------------- */

static void enqueue(disk_walker *walker, walk *w)
{
    (void)pthread_mutex_lock(&walker->lock);
    if (walker->last != NULL) {
        walker->last->next = w;
    } else {
        walker->first = w;
    }
    walker->last = w;
    (void)pthread_cond_signal(&walker->work);
    (void)pthread_mutex_unlock(&walker->lock);
}

bool disk_walk(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    disk_ask ask = {.kind = DISK_WALK_NONE};
    if (cmd->asks == NULL || c->walk != NULL) {
        return false;
    }
    cmd->asks(c, argv, argc, &ask);
    if (ask.kind == DISK_WALK_NONE) {
        return false;
    }
    walk *w = make_walk(c, &ask);
    if (w == NULL || !client_hold(c, &c->held, cmd, argv, argc)) {
        free_walk(s->alloc, w);
        return false; /* and the command says so: disk_walk_missing */
    }
    w->written = disk_asked(s->disk);
    c->fetches = 0;
    c->block = CLIENT_FETCHING;
    s->blocked_count++;
    enqueue(disk_walker_of(s->disk), w);
    return true;
}

const disk_found *disk_walk_found(const client *c)
{
    const walk *w = c->walk;
    return w != NULL ? &w->found : NULL;
}

bool disk_walk_missing(const client *c)
{
    return c->server->disk != NULL && c->walk == NULL && (c->flags & CLIENT_IN_EXEC) == 0;
}

bool disk_found_next(const disk_found *found, size_t *at, brisk_key *ret)
{
    uint32_t size;
    if (*at >= found->size) {
        return false;
    }
    memcpy(&size, found->keys + *at, sizeof size);
    *ret = brisk_key_of(found->keys + *at + sizeof size, size);
    *at += sizeof size + size;
    return true;
}

void disk_walk_end(client *c)
{
    free_walk(c->server->alloc, c->walk);
    c->walk = NULL;
}
