/*
 * open_cache.c -- the table of entries, and how a file becomes one.
 *
 * Entries are immutable but for the time they were last looked at: a file that changed is another
 * entry.  A shard's lock is held to find, put and drop; opening and reading are done without it, so
 * two threads may load the same file, and the later one's entry stays.
 *
 * Invariants of a shard: its sums are those of its entries; an entry in it has the shard's reference.
 */
#include "daemon/files/open_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/http/carrier.h"

enum {
    SHARDS = 8,
    SLOTS = 1024,
    OPEN_TRIES = 4,
    READ_TRIES = 3,
    ENTRY_OVERHEAD = 256,
    RAN_OUT_DROPS = 16, /* entries with a descriptor that go when none is left */
};

#ifndef RESOLVE_CACHED /* Linux 5.12 */
#    define RESOLVE_CACHED 0x20
#endif

typedef struct file_private {
    const brisk_alloc *alloc;
    struct file_private *chain;
    struct file_private *newer;
    struct file_private *older;
    file_entry *entry;
    uint64_t hash;
    size_t path_size;
    _Atomic uint64_t checked_ns;
    struct stat seen;
    uint32_t root;
    bool links;
    char path[];
} file_private;

typedef struct shard {
    pthread_mutex_t lock;
    file_private *slots[SLOTS];
    file_private *newest;
    file_private *oldest;
    uint64_t entries;
    uint64_t descriptors;
    uint64_t memory;
    uint64_t hits;
    uint64_t misses;
} shard;

struct open_cache {
    open_cache_opts opts;
    uint64_t seed;
    shard shards[SHARDS];
};

/* --- entries ---------------------------------------------------------------------------------- */

file_entry *file_entry_ref(file_entry *entry)
{
    /* Relaxed: who calls this owns a reference already. */
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return entry;
}

void file_entry_unref(file_entry *entry)
{
    /* Both: our reads are over before the last owner frees; it sees those of all others so. */
    if (entry == NULL || atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    file_private *p = entry->private_;
    const brisk_alloc *alloc = p->alloc;
    if (entry->fd >= 0) {
        (void)close(entry->fd);
    }
    brisk_value_unref(entry->value);
    alloc->release(alloc->ctx, p, sizeof *p + p->path_size + 1, _Alignof(file_private));
    alloc->release(alloc->ctx, entry, sizeof *entry, _Alignof(file_entry));
}

static file_entry *entry_create(const open_cache *cache, const file_place *place, const char *path)
{
    const brisk_alloc *alloc = cache->opts.alloc;
    size_t path_size = strlen(path);
    file_entry *entry = alloc->acquire(alloc->ctx, sizeof *entry, _Alignof(file_entry));
    file_private *p = alloc->acquire(alloc->ctx, sizeof *p + path_size + 1, _Alignof(file_private));
    if (entry == NULL || p == NULL) {
        if (entry != NULL) {
            alloc->release(alloc->ctx, entry, sizeof *entry, _Alignof(file_entry));
        }
        if (p != NULL) {
            alloc->release(alloc->ctx, p, sizeof *p + path_size + 1, _Alignof(file_private));
        }
        return NULL;
    }
    memset(entry, 0, sizeof *entry);
    memset(p, 0, sizeof *p);
    atomic_init(&entry->refs, 1);
    entry->fd = -1;
    entry->private_ = p;
    p->alloc = alloc;
    p->entry = entry;
    p->path_size = path_size;
    p->root = place->root;
    p->links = place->links;
    p->hash = brisk_hash64(path, path_size, cache->seed + place->root);
    memcpy(p->path, path, path_size + 1);
    return entry;
}

static uint64_t memory_of(const file_entry *entry)
{
    return ENTRY_OVERHEAD + entry->private_->path_size + (entry->value != NULL ? entry->size : 0);
}

/* --- opening ---------------------------------------------------------------------------------- */

int file_open_beneath(const file_place *place, const char *path, int flags, bool cached_only)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                   (place->links ? 0u : (uint64_t)RESOLVE_NO_SYMLINKS) |
                   (cached_only ? (uint64_t)RESOLVE_CACHED : 0u),
    };
    for (int tries = 0;; tries++) {
        long fd =
            syscall(SYS_openat2, place->root_fd, path[0] != '\0' ? path : ".", &how, sizeof how);
        /* EAGAIN without CACHED: something was moved meanwhile. */
        bool again = fd < 0 && (errno == EINTR || (errno == EAGAIN && !cached_only));
        if (!again || tries == OPEN_TRIES) {
            return (int)fd;
        }
    }
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
           a->st_mode == b->st_mode;
}

static bool read_all(int fd, unsigned char *to, size_t size, bool wait)
{
    size_t at = 0;
    while (at < size) {
        struct iovec piece = {to + at, size - at};
        ssize_t got = preadv2(fd, &piece, 1, (off_t)at, wait ? 0 : RWF_NOWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? ESTALE : errno; /* it became shorter */
            return false;
        }
        at += (size_t)got;
    }
    return true;
}

static void set_names(file_entry *entry, brisk_hash128 hash)
{
    entry->identity = hash;
    (void)snprintf(entry->tag, sizeof entry->tag, "%016llx%016llx", (unsigned long long)hash.hi,
                   (unsigned long long)hash.lo);
    entry->modified_s = entry->private_->seen.st_mtim.tv_sec;
    http_date_format(entry->modified, (uint64_t)(entry->modified_s > 0 ? entry->modified_s : 0));
}

/* Take a small file's bytes.  NOT_FOUND: it does not hold still. */
static file_found read_small(file_entry *entry, int fd, bool wait)
{
    file_private *p = entry->private_;
    for (int tries = 0; tries < READ_TRIES; tries++) {
        void *bytes;
        struct stat after;
        size_t size = (size_t)p->seen.st_size;
        if (brisk_value_reserve(size, p->alloc, &bytes, &entry->value) != BRISK_OK) {
            entry->value = NULL;
            return FILE_NO_ROOM;
        }
        bool whole = read_all(fd, bytes, size, wait);
        int why = errno;
        if (whole && fstat(fd, &after) == 0 && same_file(&after, &p->seen)) {
            entry->size = size;
            set_names(entry, brisk_hash128_of(bytes, size, 0));
            return FILE_FOUND;
        }
        brisk_value_unref(entry->value);
        entry->value = NULL;
        if (!whole && why != ESTALE) {
            bool later = why == EAGAIN || why == EOPNOTSUPP;
            return later && !wait ? FILE_WOULD_WAIT : FILE_FAILED;
        }
        if (fstat(fd, &p->seen) != 0) {
            return FILE_FAILED;
        }
    }
    return FILE_FAILED;
}

static void take_large(file_entry *entry, int fd)
{
    const struct stat *seen = &entry->private_->seen;
    uint64_t version[] = {(uint64_t)seen->st_dev,          (uint64_t)seen->st_ino,
                          (uint64_t)seen->st_size,         (uint64_t)seen->st_mtim.tv_sec,
                          (uint64_t)seen->st_mtim.tv_nsec, (uint64_t)seen->st_ctim.tv_sec,
                          (uint64_t)seen->st_ctim.tv_nsec};
    entry->fd = fd;
    entry->size = (uint64_t)seen->st_size;
    set_names(entry, brisk_hash128_of(version, sizeof version, 1));
}

/* What is open becomes an entry; `fd` is taken over. */
static file_found take_open(const open_cache *cache, file_entry *entry, int fd, bool wait)
{
    const struct stat *seen = &entry->private_->seen;
    if (!S_ISREG(seen->st_mode)) {
        (void)close(fd);
        entry->kind = S_ISDIR(seen->st_mode) ? FILE_FOLDER : FILE_SPECIAL;
        return FILE_FOUND;
    }
    entry->kind = FILE_REGULAR;
    if ((uint64_t)seen->st_size > cache->opts.small_max) {
        take_large(entry, fd);
        return FILE_FOUND;
    }
    file_found found = read_small(entry, fd, wait);
    if (found == FILE_FAILED && entry->value == NULL && S_ISREG(seen->st_mode)) {
        take_large(entry, fd); /* somebody writes to it: what is sent is what is there then */
        return FILE_FOUND;
    }
    (void)close(fd);
    return found;
}

/* Does this errno say that there is nothing to be had, now and for a while? */
static bool kind_of_errno(int os_errno, file_kind *ret)
{
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
    case EINVAL:
    case EISDIR: *ret = FILE_MISSING; return true;
    case EACCES:
    case EPERM: *ret = FILE_DENIED; return true;
    case ENXIO:
    case ENODEV: *ret = FILE_SPECIAL; return true;
    default: return false;
    }
}

/* --- the table, under a shard's lock ---------------------------------------------------------- */

static file_private **find_link(shard *s, const open_cache *cache, const file_place *place,
                                const char *path, size_t path_size)
{
    uint64_t hash = brisk_hash64(path, path_size, cache->seed + place->root);
    file_private **link = &s->slots[hash / SHARDS % SLOTS];
    while (*link != NULL && ((*link)->hash != hash || (*link)->root != place->root ||
                             (*link)->links != place->links || (*link)->path_size != path_size ||
                             memcmp((*link)->path, path, path_size) != 0)) {
        link = &(*link)->chain;
    }
    return link;
}

static shard *lock_shard(open_cache *cache, const file_place *place, const char *path, size_t size)
{
    shard *s = &cache->shards[brisk_hash64(path, size, cache->seed + place->root) % SHARDS];
    (void)pthread_mutex_lock(&s->lock);
    return s;
}

static void unlist(shard *s, file_private *p)
{
    *(p->newer != NULL ? &p->newer->older : &s->newest) = p->older;
    *(p->older != NULL ? &p->older->newer : &s->oldest) = p->newer;
}

static void list_newest(shard *s, file_private *p)
{
    p->newer = NULL;
    p->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = p;
    s->newest = p;
}

static void drop(shard *s, file_private *p)
{
    file_private **link = &s->slots[p->hash / SHARDS % SLOTS];
    while (*link != p) {
        link = &(*link)->chain;
    }
    *link = p->chain;
    unlist(s, p);
    s->entries--;
    s->descriptors -= p->entry->fd >= 0 ? 1 : 0;
    s->memory -= memory_of(p->entry);
    file_entry_unref(p->entry);
}

static void keep_limits(const open_cache *cache, shard *s)
{
    const open_cache_opts *opts = &cache->opts;
    while (s->oldest != NULL &&
           (s->entries > opts->entries_max / SHARDS || s->memory > opts->memory_max / SHARDS)) {
        drop(s, s->oldest);
    }
    for (file_private *p = s->oldest;
         p != NULL && s->descriptors > opts->descriptors_max / SHARDS;) {
        file_private *newer = p->newer;
        if (p->entry->fd >= 0) {
            drop(s, p);
        }
        p = newer;
    }
}

/* No descriptor is left in the process: give some back. */
static void drop_descriptors(open_cache *cache)
{
    for (int i = 0; i < SHARDS; i++) {
        shard *s = &cache->shards[i];
        int dropped = 0;
        (void)pthread_mutex_lock(&s->lock);
        for (file_private *p = s->oldest; p != NULL && dropped < RAN_OUT_DROPS;) {
            file_private *newer = p->newer;
            if (p->entry->fd >= 0) {
                drop(s, p);
                dropped++;
            }
            p = newer;
        }
        (void)pthread_mutex_unlock(&s->lock);
    }
}

/* The entry is the path's from now on; the table has a reference of its own. */
static void put(open_cache *cache, const file_place *place, file_entry *entry)
{
    file_private *p = entry->private_;
    shard *s = lock_shard(cache, place, p->path, p->path_size);
    file_private *old = *find_link(s, cache, place, p->path, p->path_size);
    if (old != NULL) {
        drop(s, old);
    }
    file_private **slot = &s->slots[p->hash / SHARDS % SLOTS];
    p->chain = *slot;
    *slot = p;
    list_newest(s, p);
    s->entries++;
    s->descriptors += entry->fd >= 0 ? 1 : 0;
    s->memory += memory_of(entry);
    (void)file_entry_ref(entry);
    keep_limits(cache, s);
    (void)pthread_mutex_unlock(&s->lock);
}

/* --- finding ---------------------------------------------------------------------------------- */

/* Open `path`, and make an entry of what is there, or keep `old` when it is still that. */
static file_found load(open_cache *cache, const file_place *place, const char *path, bool wait,
                       file_entry *old, file_entry **ret)
{
    struct stat seen;
    uint64_t now_ns = brisk_clock_now_ns(cache->opts.clock);
    file_kind kind = FILE_MISSING;
    int fd = file_open_beneath(place, path, O_RDONLY, !wait);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        drop_descriptors(cache);
        fd = file_open_beneath(place, path, O_RDONLY, !wait);
    }
    int why = errno;
    if (fd >= 0 && fstat(fd, &seen) != 0) {
        (void)close(fd);
        return FILE_FAILED;
    }
    if (fd < 0 && !kind_of_errno(why, &kind)) {
        return why == EAGAIN && !wait                            ? FILE_WOULD_WAIT
               : why == EMFILE || why == ENFILE || why == ENOMEM ? FILE_NO_ROOM
                                                                 : FILE_FAILED;
    }
    bool same = old != NULL && (fd < 0 ? old->kind == kind
                                       : old->kind != FILE_MISSING && old->kind != FILE_DENIED &&
                                             same_file(&seen, &old->private_->seen));
    if (same) {
        if (fd >= 0) {
            (void)close(fd);
        }
        atomic_store_explicit(&old->private_->checked_ns, now_ns, memory_order_relaxed);
        *ret = file_entry_ref(old);
        return FILE_FOUND;
    }
    file_entry *entry = entry_create(cache, place, path);
    if (entry == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return FILE_NO_ROOM;
    }
    entry->kind = kind;
    atomic_init(&entry->private_->checked_ns, now_ns);
    if (fd >= 0) {
        entry->private_->seen = seen;
        file_found found = take_open(cache, entry, fd, wait);
        if (found != FILE_FOUND) {
            file_entry_unref(entry);
            return found;
        }
    }
    put(cache, place, entry);
    *ret = entry;
    return FILE_FOUND;
}

file_found open_cache_find(open_cache *cache, const file_place *place, const char *path, bool wait,
                           file_entry **ret)
{
    size_t size = strlen(path);
    shard *s = lock_shard(cache, place, path, size);
    file_private *p = *find_link(s, cache, place, path, size);
    file_entry *entry = NULL;
    bool fresh = false;
    if (p != NULL) {
        entry = file_entry_ref(p->entry);
        if (s->newest != p) {
            unlist(s, p);
            list_newest(s, p);
        }
        uint64_t age = brisk_clock_now_ns(cache->opts.clock) -
                       atomic_load_explicit(&p->checked_ns, memory_order_relaxed);
        fresh = age < place->fresh_ns;
    }
    s->hits += fresh ? 1 : 0;
    s->misses += fresh ? 0 : 1;
    (void)pthread_mutex_unlock(&s->lock);
    if (fresh) {
        *ret = entry;
        return FILE_FOUND;
    }
    file_found found = load(cache, place, path, wait, entry, ret);
    file_entry_unref(entry);
    return found;
}

/* --- the whole -------------------------------------------------------------------------------- */

brisk_err open_cache_create(const open_cache_opts *opts, open_cache **ret)
{
    open_cache *cache = opts->alloc->acquire(opts->alloc->ctx, sizeof *cache, _Alignof(open_cache));
    if (cache == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(cache, 0, sizeof *cache);
    cache->opts = *opts;
    /* So that nobody can choose paths that fall into one slot. */
    cache->seed = brisk_clock_now_ns(NULL) * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)cache;
    for (int i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&cache->shards[i].lock, NULL);
    }
    *ret = cache;
    return BRISK_OK;
}

void open_cache_destroy(open_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (int i = 0; i < SHARDS; i++) {
        shard *s = &cache->shards[i];
        while (s->oldest != NULL) {
            drop(s, s->oldest);
        }
        BRISK_ASSERT(s->entries == 0 && s->memory == 0 && s->descriptors == 0);
        (void)pthread_mutex_destroy(&s->lock);
    }
    cache->opts.alloc->release(cache->opts.alloc->ctx, cache, sizeof *cache, _Alignof(open_cache));
}

void open_cache_read_stats(open_cache *cache, open_cache_stats *ret)
{
    *ret = (open_cache_stats){.entries = 0};
    for (int i = 0; i < SHARDS; i++) {
        shard *s = &cache->shards[i];
        (void)pthread_mutex_lock(&s->lock);
        ret->entries += s->entries;
        ret->descriptors += s->descriptors;
        ret->memory += s->memory;
        ret->hits += s->hits;
        ret->misses += s->misses;
        (void)pthread_mutex_unlock(&s->lock);
    }
}
