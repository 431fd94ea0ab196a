/*
 * store.c -- opening, reading and writing the store.
 *
 * Contract: store.h.  Layout and the order of writing: store_file.h.  Files: store_view.c.
 */
#include "workload/pkg/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/hash.h>

#include "base/assert.h"
#include "workload/pkg/store_file.h"

/* --- locks ------------------------------------------------------------------------------------ */

static brisk_err open_lock_file(pkg_store *store, brisk_errinfo *info)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s.lock", store->path) >= (int)sizeof path) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: the path is too long", store->path);
    }
    char *slash = strrchr(path, '/');
    if (slash != NULL && slash != path) {
        *slash = '\0';
        brisk_err err = brisk_file_make_dirs(path, info);
        if (err != BRISK_OK) {
            return err;
        }
        *slash = '/';
    }
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd);
    }
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return store->lock_fd >= 0 ? BRISK_OK
                               : brisk_errinfo_set_errno(info, errno, "%s: cannot open", path);
}

/* Whether the file that is locked is the one that others would lock: its folder may have gone. */
static bool is_lock_file(const pkg_store *store)
{
    char path[4096];
    struct stat held;
    struct stat there;
    (void)snprintf(path, sizeof path, "%s.lock", store->path);
    return fstat(store->lock_fd, &held) == 0 && stat(path, &there) == 0 &&
           held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

/* Another writer has it for microseconds, or for the time of writing anew. */
static brisk_err take_file_lock(pkg_store *store, brisk_errinfo *info)
{
    for (uint32_t waited_ms = 0;; waited_ms++) {
        bool held = store->lock_fd >= 0 && flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0;
        if (held && is_lock_file(store)) {
            return BRISK_OK;
        }
        if (!held && store->lock_fd >= 0 && errno != EWOULDBLOCK && errno != EINTR) {
            return brisk_errinfo_set_errno(info, errno, "%s.lock: cannot lock", store->path);
        }
        if (waited_ms >= store->lock_wait_ms) {
            return brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                     "%s: another process has been writing for %u ms", store->path,
                                     store->lock_wait_ms);
        }
        if (held || store->lock_fd < 0) { /* of a file that was removed: it keeps nobody out */
            brisk_err err = open_lock_file(store, info);
            if (err != BRISK_OK) {
                return err;
            }
            continue;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static brisk_err lock(pkg_store *store, brisk_errinfo *info)
{
    if (store->read_only) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION, "%s: opened for reading only",
                                 store->path);
    }
    (void)pthread_mutex_lock(&store->lock);
    brisk_err err = take_file_lock(store, info);
    if (err != BRISK_OK) {
        (void)pthread_mutex_unlock(&store->lock);
    }
    return err;
}

static void unlock(pkg_store *store)
{
    (void)flock(store->lock_fd, LOCK_UN);
    (void)pthread_mutex_unlock(&store->lock);
}

/* --- open ------------------------------------------------------------------------------------- */

/* What is there, or (CORRUPT, NOT_FOUND) a new file; under the lock, as another may do the same. */
static brisk_err open_or_make(pkg_store *store, brisk_errinfo *info)
{
    store_view *view = NULL;
    brisk_err err = store_view_open(store, &view, info);
    bool can_be_made = err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_CORRUPT;
    if (can_be_made && !store->read_only) {
        err = lock(store, info);
        if (err != BRISK_OK) {
            return err;
        }
        err = store_view_open(store, &view, info);
        if (err == BRISK_ERR_NOT_FOUND || err == BRISK_ERR_CORRUPT) {
            store_keep all = {.slots = STORE_SLOTS_FIRST, .after_ms = INT64_MIN};
            err = store_view_replace(store, all, info);
        }
        unlock(store);
    }
    if (view != NULL) {
        atomic_store_explicit(&store->view, view, memory_order_release);
    }
    return err;
}

brisk_err pkg_store_open(const char *path, const pkg_store_opts *opts, pkg_store **ret,
                         brisk_errinfo *info)
{
    pkg_store_opts o = opts != NULL ? *opts : (pkg_store_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    uint64_t bytes_max = o.bytes_max != 0 ? o.bytes_max : PKG_STORE_BYTES_MAX;
    if (bytes_max < STORE_BYTES_MIN) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: less than 1 MiB is no store", path);
    }
    size_t size = strlen(path) + 1;
    pkg_store *store = alloc->acquire(alloc->ctx, sizeof *store + size, _Alignof(pkg_store));
    if (store == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", path);
    }
    *store = (pkg_store){.alloc = alloc,
                         .bytes_max = bytes_max,
                         .lock_wait_ms = o.lock_wait_ms != 0 ? o.lock_wait_ms : STORE_LOCK_WAIT_MS,
                         .read_only = o.read_only,
                         .lock = PTHREAD_MUTEX_INITIALIZER,
                         .lock_fd = -1,
                         .path_size = size};
    memcpy(store->path, path, size);
    brisk_err err = o.read_only ? BRISK_OK : open_lock_file(store, info);
    err = err == BRISK_OK ? open_or_make(store, info) : err;
    if (err != BRISK_OK) {
        pkg_store_close(store);
        return err;
    }
    *ret = store;
    return BRISK_OK;
}

void pkg_store_close(pkg_store *store)
{
    if (store == NULL) {
        return;
    }
    store_view *view = atomic_load_explicit(&store->view, memory_order_acquire);
    while (view != NULL) {
        store_view *older = view->older;
        store_view_close(store, view);
        view = older;
    }
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd);
    }
    (void)pthread_mutex_destroy(&store->lock);
    store->alloc->release(store->alloc->ctx, store, sizeof *store + store->path_size,
                          _Alignof(pkg_store));
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Once for each entry and view; a slot that has another entry meanwhile is looked at again. */
static bool is_whole(const store_view *view, const store_slot *slot, const store_entry *entry)
{
    uint64_t place = (uint64_t)((const char *)entry - view->base);
    _Atomic uint64_t *verified = &view->verified[slot - view->slots];
    /* Relaxed: the bytes of an entry never change, so any thread's answer is everybody's. */
    if (atomic_load_explicit(verified, memory_order_relaxed) == place) {
        return true;
    }
    if (store_entry_checksum(entry) != entry->checksum) {
        return false;
    }
    atomic_store_explicit(verified, place, memory_order_relaxed);
    return true;
}

brisk_err pkg_store_get(pkg_store *store, uint64_t registry, pkg_text name, pkg_stored *ret)
{
    const store_view *view = store_view_now(store);
    const store_entry *entry;
    const store_slot *slot = store_slot_find(view, registry, name, &entry);
    if (slot == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    const pkg_package *package;
    if (!is_whole(view, slot, entry) ||
        pkg_package_open(store_entry_record(entry), entry->record_size, &package) != BRISK_OK) {
        return BRISK_ERR_CORRUPT;
    }
    const char *texts = store_entry_name(entry).data + entry->name_size;
    *ret = (pkg_stored){
        .package = package,
        .etag = {.data = texts, .size = entry->etag_size},
        .last_modified = {.data = texts + entry->etag_size, .size = entry->last_modified_size},
        .registry = registry,
        .generation = entry->generation,
        .fetched_ms = atomic_load_explicit(&slot->fetched_ms, memory_order_relaxed),
        .fresh_until_ms = atomic_load_explicit(&slot->fresh_until_ms, memory_order_relaxed),
    };
    return BRISK_OK;
}

uint64_t pkg_store_generation(pkg_store *store)
{
    const store_view *view = store_view_now(store);
    return atomic_load_explicit(&view->head->generation, memory_order_acquire);
}

void pkg_store_stats_of(pkg_store *store, pkg_store_stats *ret)
{
    const store_head *head = store_view_now(store)->head;
    *ret = (pkg_store_stats){
        .packages = atomic_load_explicit(&head->packages, memory_order_relaxed),
        .bytes_used = atomic_load_explicit(&head->used, memory_order_relaxed),
        .bytes_dead = atomic_load_explicit(&head->dead, memory_order_relaxed),
        .generation = atomic_load_explicit(&head->generation, memory_order_relaxed),
    };
}

/* --- writing ---------------------------------------------------------------------------------- */

/* An entry in memory, as it is written. */
typedef struct draft {
    char *data;
    size_t size;
} draft;

static char *append(char *to, pkg_text text)
{
    if (text.size > 0) {
        memcpy(to, text.data, text.size);
    }
    return to + text.size;
}

static brisk_err draft_make(const pkg_store *store, const pkg_stored *stored, uint64_t generation,
                            draft *ret, brisk_errinfo *info)
{
    pkg_text name = pkg_package_name(stored->package);
    if (name.size > STORE_NAME_MAX || stored->etag.size > STORE_HEADER_TEXT_MAX ||
        stored->last_modified.size > STORE_HEADER_TEXT_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: a name or header is too long to keep",
                                 store->path);
    }
    size_t texts = name.size + stored->etag.size + stored->last_modified.size;
    size_t pad = (STORE_ALIGN - texts % STORE_ALIGN) % STORE_ALIGN;
    size_t record = pkg_package_bytes(stored->package);
    size_t size = sizeof(store_entry) + texts + pad + record;
    char *data = store->alloc->acquire(store->alloc->ctx, size, STORE_ALIGN);
    if (data == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", store->path);
    }
    store_entry *entry = (void *)data;
    *entry = (store_entry){
        .magic = STORE_ENTRY_MAGIC,
        .size = (uint32_t)size,
        .hash = store_hash(stored->registry, name),
        .registry = stored->registry,
        .generation = generation,
        .record_size = (uint32_t)record,
        .name_size = (uint16_t)name.size,
        .etag_size = (uint16_t)stored->etag.size,
        .last_modified_size = (uint16_t)stored->last_modified.size,
    };
    char *to = append(data + sizeof *entry, name);
    to = append(append(to, stored->etag), stored->last_modified);
    memset(to, 0, pad);
    memcpy(to + pad, stored->package, record);
    entry->checksum = store_entry_checksum(entry);
    *ret = (draft){.data = data, .size = size};
    return BRISK_OK;
}

static uint64_t add(_Atomic uint64_t *number, uint64_t more)
{
    return atomic_fetch_add_explicit(number, more, memory_order_relaxed) + more;
}

/* Whether the file has to be written anew before `size` more bytes, and with how many slots. */
static bool is_crowded(const store_view *view, size_t size, uint64_t *ret_slots)
{
    uint64_t slots = view->slot_mask + 1;
    uint64_t used = atomic_load_explicit(&view->head->used, memory_order_relaxed);
    uint64_t dead = atomic_load_explicit(&view->head->dead, memory_order_relaxed);
    bool full = atomic_load_explicit(&view->head->packages, memory_order_relaxed) >= slots / 2;
    *ret_slots = full ? slots * 2 : slots;
    return full || (dead > STORE_DEAD_MIN && dead > used / 2) ||
           (used + size > view->mapped && dead >= size);
}

/* Steps 1 to 3 of store_file.h. */
static brisk_err write_entry(pkg_store *store, store_view *view, const draft *d,
                             const pkg_stored *stored, brisk_errinfo *info)
{
    uint64_t place = atomic_load_explicit(&view->head->used, memory_order_relaxed);
    if (place + d->size > view->mapped) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: the store is full (%llu bytes)",
                                 store->path, (unsigned long long)view->mapped);
    }
    pkg_text name = pkg_package_name(stored->package);
    store_slot *slot = store_slot_for(view, stored->registry, name);
    if (slot == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: its index is damaged", store->path);
    }
    brisk_err err = brisk_file_pwrite_all(view->fd, d->data, d->size, place);
    if (err != BRISK_OK) {
        if (ftruncate(view->fd, (off_t)place) != 0) {
            /* then the next writer cuts it */
        }
        return brisk_errinfo_set(info, err, "%s: %s", store->path, brisk_err_message(err));
    }
    atomic_store_explicit(&view->head->used, place + d->size, memory_order_release);
    uint64_t before = atomic_load_explicit(&slot->place, memory_order_relaxed);
    const store_entry *old = before != 0 ? store_entry_at(view, before) : NULL;
    (void)add(&view->head->dead, old != NULL ? old->size : 0);
    (void)add(&view->head->packages, before != 0 ? 0 : 1);
    store_publish(view, store_hash(stored->registry, name), slot, stored, place);
    return BRISK_OK;
}

/* When the packages were confirmed, on average: half of them about are older. */
static int64_t mean_fetched_ms(const store_view *view)
{
    double sum = 0;
    double count = 0;
    for (uint64_t i = 0; i <= view->slot_mask; i++) {
        const store_slot *slot = &view->slots[i];
        if (atomic_load_explicit(&slot->place, memory_order_relaxed) != 0) {
            sum += (double)atomic_load_explicit(&slot->fetched_ms, memory_order_relaxed);
            count += 1;
        }
    }
    return count > 0 && sum > -0x1p62 && sum / count < 0x1p62 ? (int64_t)(sum / count) : INT64_MAX;
}

/* Room for `size` more bytes where there can be: dead ones go first, then the older half. */
static brisk_err make_room(pkg_store *store, store_view **view, size_t size, brisk_errinfo *info)
{
    store_keep keep = {.after_ms = INT64_MIN};
    brisk_err err = BRISK_OK;
    if (is_crowded(*view, size, &keep.slots)) {
        err = store_view_replace(store, keep, info);
        *view = atomic_load_explicit(&store->view, memory_order_acquire);
    }
    uint64_t used = atomic_load_explicit(&(*view)->head->used, memory_order_relaxed);
    if (err == BRISK_OK && used + size > (*view)->mapped) {
        keep = (store_keep){.slots = STORE_SLOTS_FIRST, .after_ms = mean_fetched_ms(*view)};
        err = store_view_replace(store, keep, info);
        *view = atomic_load_explicit(&store->view, memory_order_acquire);
    }
    return err;
}

static brisk_err put_locked(pkg_store *store, const pkg_stored *stored, brisk_errinfo *info)
{
    store_view *view = NULL;
    size_t size = pkg_package_bytes(stored->package) + STORE_ENTRY_MAX;
    brisk_err err = store_view_settle(store, &view, info);
    if (err == BRISK_OK) {
        err = size + view->head_bytes <= store->bytes_max
                  ? make_room(store, &view, size, info)
                  : brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: the package is too large to keep",
                                      store->path);
    }
    draft d = {0};
    if (err == BRISK_OK) {
        err = draft_make(store, stored, add(&view->head->generation, 1), &d, info);
    }
    if (err == BRISK_OK) {
        err = write_entry(store, view, &d, stored, info);
        store->alloc->release(store->alloc->ctx, d.data, d.size, STORE_ALIGN);
    }
    return err;
}

brisk_err pkg_store_put(pkg_store *store, const pkg_stored *stored, brisk_errinfo *info)
{
    brisk_err err = lock(store, info);
    if (err == BRISK_OK) {
        err = put_locked(store, stored, info);
        unlock(store);
    }
    return err;
}

brisk_err pkg_store_touch(pkg_store *store, uint64_t registry, pkg_text name, int64_t fetched_ms,
                          int64_t fresh_until_ms)
{
    if (store->read_only) {
        return BRISK_ERR_PERMISSION;
    }
    const store_view *view = store_view_now(store);
    const store_entry *entry;
    store_slot *slot = store_slot_find(view, registry, name, &entry);
    if (slot == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    atomic_store_explicit(&slot->fetched_ms, fetched_ms, memory_order_relaxed);
    atomic_store_explicit(&slot->fresh_until_ms, fresh_until_ms, memory_order_relaxed);
    return BRISK_OK;
}

brisk_err pkg_store_compact(pkg_store *store, brisk_errinfo *info)
{
    brisk_err err = lock(store, info);
    if (err == BRISK_OK) {
        store_view *view = NULL;
        err = store_view_settle(store, &view, info);
        if (err == BRISK_OK) {
            store_keep all = {.slots = view->slot_mask + 1, .after_ms = INT64_MIN};
            err = store_view_replace(store, all, info);
        }
        unlock(store);
    }
    return err;
}
