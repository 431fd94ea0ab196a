/*
 * store_view.c -- the store's file: opened, found in, written anew.
 *
 * Nothing that is read from the file is believed: places are checked against `used` and the mapping,
 * an entry against its slot, its sizes against each other.  Layout: store_file.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/hash.h>

#include "base/assert.h"
#include "workload/pkg/record.h"
#include "workload/pkg/store_file.h"

/* --- inside a view ---------------------------------------------------------------------------- */

uint64_t store_hash(uint64_t registry, pkg_text name)
{
    return brisk_hash64(name.data != NULL ? name.data : "", name.size, registry);
}

pkg_text store_entry_name(const store_entry *entry)
{
    return (pkg_text){.data = (const char *)(entry + 1), .size = entry->name_size};
}

static uint64_t texts_bytes(const store_entry *entry)
{
    uint64_t texts = (uint64_t)entry->name_size + entry->etag_size + entry->last_modified_size;
    return (texts + STORE_ALIGN - 1) / STORE_ALIGN * STORE_ALIGN;
}

const char *store_entry_record(const store_entry *entry)
{
    return (const char *)(entry + 1) + texts_bytes(entry);
}

uint64_t store_entry_checksum(const store_entry *entry)
{
    size_t skip = offsetof(store_entry, hash);
    return brisk_hash64((const char *)entry + skip, entry->size - skip, STORE_FORMAT);
}

const store_entry *store_entry_at(const store_view *view, uint64_t place)
{
    /* Relaxed: the caller has acquired the place, which was published after `used`. */
    uint64_t used = atomic_load_explicit(&view->head->used, memory_order_relaxed);
    uint64_t end = used < view->mapped ? used : view->mapped;
    if (place > end / STORE_ALIGN || place * STORE_ALIGN < view->head_bytes ||
        end - place * STORE_ALIGN < sizeof(store_entry)) {
        return NULL;
    }
    const store_entry *entry = (const void *)(view->base + place * STORE_ALIGN);
    bool good = entry->magic == STORE_ENTRY_MAGIC && entry->size <= end - place * STORE_ALIGN &&
                entry->size == sizeof *entry + texts_bytes(entry) + entry->record_size;
    return good ? entry : NULL;
}

static bool is_of(const store_entry *entry, uint64_t registry, pkg_text name)
{
    return entry->registry == registry && pkg_text_equal(store_entry_name(entry), name);
}

store_slot *store_slot_find(const store_view *view, uint64_t registry, pkg_text name,
                            const store_entry **ret)
{
    uint64_t hash = store_hash(registry, name);
    for (uint64_t i = 0; i <= view->slot_mask; i++) {
        store_slot *slot = &view->slots[(hash + i) & view->slot_mask];
        /* Acquire: pairs with the release in store_publish. */
        uint64_t place = atomic_load_explicit(&slot->place, memory_order_acquire);
        if (place == 0) {
            return NULL;
        }
        if (atomic_load_explicit(&slot->hash, memory_order_relaxed) != hash) {
            continue;
        }
        const store_entry *entry = store_entry_at(view, place);
        if (entry != NULL && is_of(entry, registry, name)) {
            *ret = entry;
            return slot;
        }
    }
    return NULL;
}

store_slot *store_slot_for(const store_view *view, uint64_t registry, pkg_text name)
{
    uint64_t hash = store_hash(registry, name);
    for (uint64_t i = 0; i <= view->slot_mask; i++) {
        store_slot *slot = &view->slots[(hash + i) & view->slot_mask];
        uint64_t place = atomic_load_explicit(&slot->place, memory_order_relaxed);
        if (place == 0) {
            return slot;
        }
        if (atomic_load_explicit(&slot->hash, memory_order_relaxed) == hash) {
            const store_entry *entry = store_entry_at(view, place);
            if (entry == NULL || is_of(entry, registry, name)) {
                return slot;
            }
        }
    }
    return NULL;
}

void store_publish(store_view *view, uint64_t hash, store_slot *slot, const pkg_stored *times,
                   uint64_t place)
{
    BRISK_ASSERT(slot >= view->slots && slot <= view->slots + view->slot_mask);
    atomic_store_explicit(&slot->hash, hash, memory_order_relaxed);
    atomic_store_explicit(&slot->fetched_ms, times->fetched_ms, memory_order_relaxed);
    atomic_store_explicit(&slot->fresh_until_ms, times->fresh_until_ms, memory_order_relaxed);
    /* Release: who sees the place sees the entry, `used` and the slot's other fields. */
    atomic_store_explicit(&slot->place, place / STORE_ALIGN, memory_order_release);
}

/* --- opening ---------------------------------------------------------------------------------- */

void store_view_close(const pkg_store *store, store_view *view)
{
    if (view->base != NULL) {
        (void)munmap(view->base, view->mapped);
    }
    if (view->head != NULL) {
        (void)munmap(view->head, view->head_bytes);
    }
    if (view->verified_memory != NULL) {
        store->alloc->release(store->alloc->ctx, view->verified_memory,
                              (view->slot_mask + 1) * sizeof *view->verified, STORE_ALIGN);
    }
    if (view->fd >= 0) {
        (void)close(view->fd);
    }
    store->alloc->release(store->alloc->ctx, view, sizeof *view, _Alignof(store_view));
}

static brisk_err not_ours(const pkg_store *store, const char *why, brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: %s", store->path, why);
}

/* Looks at the head by reading, before anything is mapped. */
static brisk_err check_head(const pkg_store *store, store_view *view, uint64_t file_bytes,
                            brisk_errinfo *info)
{
    union {
        store_head head;
        char bytes[sizeof(store_head)];
    } start;
    if (file_bytes < STORE_HEAD_BYTES ||
        brisk_file_pread_all(view->fd, start.bytes, sizeof start.bytes, 0) != BRISK_OK) {
        return not_ours(store, "too short for a store", info);
    }
    const store_head *head = &start.head;
    if (head->magic != STORE_MAGIC || head->format != STORE_FORMAT ||
        head->record_format != RECORD_FORMAT) {
        return not_ours(store, "not a store of this format", info);
    }
    uint64_t slots = head->slot_count;
    uint64_t used = atomic_load_explicit(&head->used, memory_order_relaxed);
    if (slots < 2 || slots > STORE_SLOTS_MAX || (slots & (slots - 1)) != 0) {
        return not_ours(store, "its index is damaged", info);
    }
    view->slot_mask = slots - 1;
    view->head_bytes = STORE_HEAD_BYTES + slots * sizeof(store_slot);
    if (used < view->head_bytes || used > file_bytes || used % STORE_ALIGN != 0) {
        return not_ours(store, "it was cut, or its head is damaged", info);
    }
    return BRISK_OK;
}

/* The whole of what the file may become where addresses allow it, else twice what it is. */
static brisk_err map_view(const pkg_store *store, store_view *view, uint64_t file_bytes,
                          brisk_errinfo *info)
{
    uint64_t most = store->bytes_max > file_bytes ? store->bytes_max : file_bytes;
    void *base = mmap(NULL, most, PROT_READ, MAP_SHARED | MAP_NORESERVE, view->fd, 0);
    if (base == MAP_FAILED) {
        most = file_bytes * 2;
        base = mmap(NULL, most, PROT_READ, MAP_SHARED | MAP_NORESERVE, view->fd, 0);
    }
    if (base == MAP_FAILED) {
        return brisk_errinfo_set_errno(info, errno, "%s: cannot map", store->path);
    }
    view->base = base;
    view->mapped = most;
    int access = store->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *head = mmap(NULL, view->head_bytes, access, MAP_SHARED, view->fd, 0);
    if (head == MAP_FAILED) {
        return brisk_errinfo_set_errno(info, errno, "%s: cannot map", store->path);
    }
    view->head = head;
    view->slots = (void *)((char *)head + STORE_HEAD_BYTES);
    return BRISK_OK;
}

static brisk_err open_view(const pkg_store *store, store_view *view, brisk_errinfo *info)
{
    int access = store->read_only ? O_RDONLY : O_RDWR;
    struct stat st;
    view->fd = open(store->path, access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (view->fd < 0 || fstat(view->fd, &st) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s: cannot open", store->path);
    }
    view->dev = st.st_dev;
    view->ino = st.st_ino;
    if (!S_ISREG(st.st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a regular file", store->path);
    }
    brisk_err err = check_head(store, view, (uint64_t)st.st_size, info);
    if (err == BRISK_OK) {
        err = map_view(store, view, (uint64_t)st.st_size, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    size_t bytes = (view->slot_mask + 1) * sizeof *view->verified;
    view->verified_memory = store->alloc->acquire(store->alloc->ctx, bytes, STORE_ALIGN);
    view->verified = view->verified_memory;
    if (view->verified == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", store->path);
    }
    for (uint64_t i = 0; i <= view->slot_mask; i++) {
        atomic_init(&view->verified[i], 0);
    }
    return BRISK_OK;
}

brisk_err store_view_open(const pkg_store *store, store_view **ret, brisk_errinfo *info)
{
    store_view *view = store->alloc->acquire(store->alloc->ctx, sizeof *view, _Alignof(store_view));
    if (view == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", store->path);
    }
    *view = (store_view){.fd = -1};
    brisk_err err = open_view(store, view, info);
    if (err != BRISK_OK) {
        store_view_close(store, view);
        return err;
    }
    *ret = view;
    return BRISK_OK;
}

/* Opens what is at the path as the newest view; under the lock of the process. */
static brisk_err open_newer(pkg_store *store, store_view **ret, brisk_errinfo *info)
{
    store_view *newer = NULL;
    brisk_err err = store_view_open(store, &newer, info);
    if (err == BRISK_OK && newer != NULL) {
        newer->older = atomic_load_explicit(&store->view, memory_order_relaxed);
        atomic_store_explicit(&store->view, newer, memory_order_release);
        *ret = newer;
    }
    return err;
}

/* Whether another file is at the path than that of `view`; nothing at all is no other. */
static bool is_elsewhere(const pkg_store *store, const store_view *view)
{
    struct stat st;
    return stat(store->path, &st) == 0 && (st.st_dev != view->dev || st.st_ino != view->ino);
}

/*
 * A file is marked before it is replaced: whoever comes between, or finds that the writer died there,
 * goes on with it; so does who would have to wait for a writer of this process.
 */
static store_view *look_again(pkg_store *store, store_view *view)
{
    if (pthread_mutex_trylock(&store->lock) != 0) {
        return view;
    }
    store_view *now = atomic_load_explicit(&store->view, memory_order_acquire);
    if (now == view && is_elsewhere(store, view)) {
        (void)open_newer(store, &now, NULL);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return now;
}

store_view *store_view_now(pkg_store *store)
{
    store_view *view = atomic_load_explicit(&store->view, memory_order_acquire);
    /* Relaxed: a hint; the file that is opened for it is published by its own rename. */
    if (atomic_load_explicit(&view->head->moved, memory_order_relaxed) != 0) {
        view = look_again(store, view);
    }
    return view;
}

/* Whether the file of `view` still has all that it says. */
static bool is_long_enough(const store_view *view, uint64_t *ret_bytes)
{
    struct stat st;
    if (fstat(view->fd, &st) != 0 || (uint64_t)st.st_size < view->head_bytes) {
        return false; /* the head may be gone: it must not be read */
    }
    *ret_bytes = (uint64_t)st.st_size;
    return *ret_bytes >= atomic_load_explicit(&view->head->used, memory_order_relaxed);
}

static void set_moved(store_view *view, uint32_t moved)
{
    if (view != NULL) {
        atomic_store_explicit(&view->head->moved, moved, memory_order_release);
    }
}

brisk_err store_view_settle(pkg_store *store, store_view **ret, brisk_errinfo *info)
{
    store_view *view = atomic_load_explicit(&store->view, memory_order_acquire);
    bool exists = access(store->path, F_OK) == 0;
    brisk_err err = BRISK_OK;
    if (is_elsewhere(store, view)) {
        err = open_newer(store, &view, info);
    }
    uint64_t bytes = 0;
    bool good = exists && err == BRISK_OK && is_long_enough(view, &bytes);
    if (good && atomic_load_explicit(&view->head->moved, memory_order_relaxed) != 0) {
        set_moved(view, 0); /* who set it died before it was true */
    }
    if (!good && (err == BRISK_OK || err == BRISK_ERR_CORRUPT || err == BRISK_ERR_NOT_FOUND)) {
        store_keep all = {.slots = STORE_SLOTS_FIRST, .after_ms = INT64_MIN};
        err = store_view_replace(store, all, info);
        view = atomic_load_explicit(&store->view, memory_order_relaxed);
    }
    uint64_t used = good ? atomic_load_explicit(&view->head->used, memory_order_relaxed) : 0;
    if (good && bytes > used && ftruncate(view->fd, (off_t)used) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s: cannot cut its torn tail", store->path);
    }
    *ret = view;
    return err;
}

/* --- writing anew ----------------------------------------------------------------------------- */

/* A new file being filled: its head and slots in memory, entries to the descriptor. */
typedef struct anew {
    int fd;
    store_head *head;
    store_slot *slots;
    uint64_t slot_mask;
    uint64_t used;
    uint64_t packages;
    int64_t after_ms; /* what was confirmed later moves */
} anew;

/* Whether the entry of `slot` is whole: only such ones move. */
static const store_entry *live_entry(const store_view *view, const store_slot *slot)
{
    uint64_t place = atomic_load_explicit(&slot->place, memory_order_relaxed);
    const store_entry *entry = place != 0 ? store_entry_at(view, place) : NULL;
    return entry != NULL && store_entry_checksum(entry) == entry->checksum &&
                   entry->hash == atomic_load_explicit(&slot->hash, memory_order_relaxed)
               ? entry
               : NULL;
}

/* The slot for `hash` in a table that has free ones, or NULL: it is there already. */
static store_slot *new_slot(const anew *to, uint64_t hash)
{
    for (uint64_t i = hash;; i++) {
        store_slot *slot = &to->slots[i & to->slot_mask];
        if (atomic_load_explicit(&slot->place, memory_order_relaxed) == 0) {
            return slot;
        }
        if (atomic_load_explicit(&slot->hash, memory_order_relaxed) == hash) {
            return NULL;
        }
    }
}

/* Errors: LIMIT (more than half of the slots are needed: the old file counted wrongly). */
static brisk_err copy_entries(const store_view *from, anew *to)
{
    for (uint64_t i = 0; from != NULL && i <= from->slot_mask; i++) {
        const store_slot *old = &from->slots[i];
        const store_entry *entry = live_entry(from, old);
        bool moves = entry != NULL && atomic_load(&old->fetched_ms) > to->after_ms;
        store_slot *slot = moves ? new_slot(to, entry->hash) : NULL;
        if (slot == NULL) {
            continue;
        }
        if (to->packages > to->slot_mask / 2) {
            return BRISK_ERR_LIMIT;
        }
        brisk_err err = brisk_file_pwrite_all(to->fd, entry, entry->size, to->used);
        if (err != BRISK_OK) {
            return err;
        }
        atomic_init(&slot->hash, entry->hash);
        atomic_init(&slot->place, to->used / STORE_ALIGN);
        atomic_init(&slot->fetched_ms, atomic_load(&old->fetched_ms));
        atomic_init(&slot->fresh_until_ms, atomic_load(&old->fresh_until_ms));
        to->used += entry->size;
        to->packages++;
    }
    return BRISK_OK;
}

/* Generations go on; those of a store that is begun anew start at the time, in nanoseconds. */
static void fill_head(const store_view *from, const anew *a, uint64_t slots)
{
    uint64_t generation = brisk_clock_wall_ns(brisk_clock_system());
    if (from != NULL) {
        generation = atomic_load_explicit(&from->head->generation, memory_order_relaxed);
    }
    a->head->magic = STORE_MAGIC;
    a->head->format = STORE_FORMAT;
    a->head->record_format = RECORD_FORMAT;
    a->head->slot_count = slots;
    atomic_init(&a->head->used, a->used);
    atomic_init(&a->head->packages, a->packages);
    atomic_init(&a->head->generation, generation);
}

/* Blocks of head and slots first: they are written through a mapping later. */
static brisk_err write_anew(const pkg_store *store, const store_view *from, int fd, store_keep keep)
{
    uint64_t head_bytes = STORE_HEAD_BYTES + keep.slots * sizeof(store_slot);
    int os_errno = posix_fallocate(fd, 0, (off_t)head_bytes);
    if (os_errno != 0) {
        return brisk_err_from_errno(os_errno);
    }
    char *memory = store->alloc->acquire(store->alloc->ctx, head_bytes, STORE_HEAD_BYTES);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(memory, 0, head_bytes);
    anew a = {.fd = fd,
              .head = (void *)memory,
              .slots = (void *)(memory + STORE_HEAD_BYTES),
              .slot_mask = keep.slots - 1,
              .used = head_bytes,
              .after_ms = keep.after_ms};
    brisk_err err = copy_entries(from, &a);
    if (err == BRISK_OK) {
        fill_head(from, &a, keep.slots);
        err = brisk_file_pwrite_all(fd, memory, head_bytes, 0);
    }
    store->alloc->release(store->alloc->ctx, memory, head_bytes, STORE_HEAD_BYTES);
    return err;
}

/* One try with keep.slots slots. */
static brisk_err replace_with(pkg_store *store, store_view *from, store_keep keep,
                              brisk_errinfo *info)
{
    brisk_file_replace *replace;
    brisk_err err = brisk_file_replace_open(store->path, store->alloc, &replace, info);
    if (err != BRISK_OK) {
        return err;
    }
    store_view *newer;
    err = write_anew(store, from, brisk_file_replace_fd(replace), keep);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return brisk_errinfo_set(info, err, "%s: %s", store->path, brisk_err_message(err));
    }
    set_moved(from, 1); /* first, so that it is set also when this process dies now */
    err = brisk_file_replace_commit(replace, from != NULL, info);
    if (err != BRISK_OK) {
        set_moved(from, 0);
        return err;
    }
    return open_newer(store, &newer, info);
}

brisk_err store_view_replace(pkg_store *store, store_keep keep, brisk_errinfo *info)
{
    store_view *old = atomic_load_explicit(&store->view, memory_order_acquire);
    uint64_t bytes;
    store_view *from = old != NULL && is_long_enough(old, &bytes) ? old : NULL;
    brisk_err err = BRISK_ERR_LIMIT;
    for (; err == BRISK_ERR_LIMIT && keep.slots <= STORE_SLOTS_MAX; keep.slots *= 2) {
        err = replace_with(store, from, keep, info);
    }
    return err;
}
