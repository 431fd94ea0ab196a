/*
 * memo.c -- a loader whose key is built from the arguments: <brisk/memo.h>.
 *
 * Keys are built in the caller's frame; only those that do not fit KEY_ROOM go to the allocator.
 *
 * A check computes beside the flight table, so that it never holds up who asks for the same key.
 * Two results are the same when flags, meta data and bytes are.
 *
 * Threads: any; the counters are all that changes.
 */
#include <stdatomic.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/log.h>
#include <brisk/memo.h>

#include "base/assert.h"

enum { KEY_ROOM = 512, CHUNK_BYTES = 65536 };

struct brisk_memo {
    brisk_memo_opts opts;
    const brisk_alloc *alloc;
    brisk_loader *loader;
    size_t bytes; /* of this block */
    _Atomic uint64_t calls, runs, hits, checks, differences, damaged;
    char name[];
};

typedef struct memo_run {
    brisk_memo *memo;
    const void *args;
} memo_run;

/* An allocator that begins in a frame. */
typedef struct memo_room {
    brisk_alloc base;
    const brisk_alloc *rest;
    size_t used;
    _Alignas(16) unsigned char bytes[KEY_ROOM];
} memo_room;

static void *room_acquire(void *ctx, size_t size, size_t align)
{
    memo_room *room = ctx;
    size_t at = (room->used + align - 1) & ~(align - 1);
    if (align <= 16 && size <= sizeof room->bytes && at <= sizeof room->bytes - size) {
        room->used = at + size;
        return room->bytes + at;
    }
    return room->rest->acquire(room->rest->ctx, size, align);
}

static void room_release(void *ctx, void *ptr, size_t size, size_t align)
{
    memo_room *room = ctx;
    uintptr_t at = (uintptr_t)ptr;
    uintptr_t begin = (uintptr_t)room->bytes;
    if (at < begin || at >= begin + sizeof room->bytes) {
        room->rest->release(room->rest->ctx, ptr, size, align);
    }
}

static uint64_t add_one(_Atomic uint64_t *counter)
{
    return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
}

static brisk_err load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    (void)key;
    const memo_run *run = ret->arg;
    brisk_memo *memo = ctx;
    (void)add_one(&memo->runs);
    return memo->opts.run(memo->opts.ctx, run->args, ret);
}

/* --- life ------------------------------------------------------------------------------------ */

brisk_err brisk_memo_create(const brisk_memo_opts *opts, brisk_memo **ret)
{
    BRISK_ASSERT(ret != NULL);
    if (opts == NULL || opts->cache == NULL || opts->name == NULL || opts->name[0] == '\0' ||
        opts->key == NULL || opts->run == NULL) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    size_t name_bytes = strlen(opts->name) + 1;
    size_t bytes = sizeof(brisk_memo) + name_bytes;
    brisk_memo *memo = alloc->acquire(alloc->ctx, bytes, _Alignof(brisk_memo));
    if (memo == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(memo, 0, sizeof *memo);
    memo->opts = *opts;
    memo->alloc = alloc;
    memo->bytes = bytes;
    memcpy(memo->name, opts->name, name_bytes);
    memo->opts.name = memo->name;
    brisk_loader_opts loader = {
        .cache = opts->cache,
        .load = load,
        .ctx = memo,
        .tiers = opts->tiers,
        .refresh_beta = -1,
        .clock = opts->clock,
        .alloc = alloc,
    };
    brisk_err err = brisk_loader_create(&loader, &memo->loader);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, memo, bytes, _Alignof(brisk_memo));
        return err;
    }
    *ret = memo;
    return BRISK_OK;
}

void brisk_memo_destroy(brisk_memo *memo)
{
    if (memo != NULL) {
        brisk_loader_destroy(memo->loader);
        memo->alloc->release(memo->alloc->ctx, memo, memo->bytes, _Alignof(brisk_memo));
    }
}

/* --- a call ------------------------------------------------------------------------------------ */

static void room_init(memo_room *room, const brisk_memo *memo)
{
    room->base = (brisk_alloc){.acquire = room_acquire, .release = room_release, .ctx = room};
    room->rest = memo->alloc;
    room->used = 0;
}

static brisk_err build_key(const brisk_memo *memo, const void *args, brisk_key_builder *builder,
                           brisk_key *ret)
{
    brisk_key_str(builder, "function", memo->name);
    brisk_key_u64(builder, "version", memo->opts.version);
    memo->opts.key(memo->opts.ctx, args, builder);
    return brisk_key_builder_finish(builder, ret);
}

/* A large value is what was stored: its hash came with the hit.  OK, CORRUPT, or why it is unread. */
static brisk_err check_content(const brisk_hit *hit)
{
    uint64_t size = brisk_value_size(hit->value);
    int fd = brisk_value_fd(hit->value);
    brisk_hash128 found;
    if (fd < 0) {
        found = brisk_hash128_of(brisk_value_data(hit->value), (size_t)size, 0);
    } else {
        brisk_hasher hasher;
        brisk_hasher_init(&hasher, 0);
        unsigned char buffer[CHUNK_BYTES];
        for (uint64_t at = 0; at < size;) {
            size_t part = size - at < sizeof buffer ? (size_t)(size - at) : sizeof buffer;
            brisk_err err = brisk_file_pread_all(fd, buffer, part, at);
            if (err != BRISK_OK) {
                return err;
            }
            brisk_hasher_update(&hasher, buffer, part);
            at += part;
        }
        found = brisk_hasher_digest128(&hasher);
    }
    bool same = found.lo == hit->content.lo && found.hi == hit->content.hi;
    return same ? BRISK_OK : BRISK_ERR_CORRUPT;
}

static bool same_bytes(const brisk_value *a, const brisk_value *b)
{
    uint64_t size = brisk_value_size(a);
    if (size != brisk_value_size(b)) {
        return false;
    }
    unsigned char part_a[CHUNK_BYTES / 8];
    unsigned char part_b[CHUNK_BYTES / 8];
    for (uint64_t at = 0; at < size; at += sizeof part_a) {
        size_t part = size - at < sizeof part_a ? (size_t)(size - at) : sizeof part_a;
        const unsigned char *from_a = brisk_value_data(a);
        const unsigned char *from_b = brisk_value_data(b);
        if ((from_a == NULL &&
             brisk_file_pread_all(brisk_value_fd(a), part_a, part, at) != BRISK_OK) ||
            (from_b == NULL &&
             brisk_file_pread_all(brisk_value_fd(b), part_b, part, at) != BRISK_OK)) {
            return false;
        }
        if (memcmp(from_a != NULL ? from_a + at : part_a, from_b != NULL ? from_b + at : part_b,
                   part) != 0) {
            return false;
        }
    }
    return true;
}

static bool same_result(const brisk_hit *hit, const brisk_load *load)
{
    return (hit->flags & BRISK_ENTRY_LOCAL) == (load->opts.flags & BRISK_ENTRY_LOCAL) &&
           hit->meta_size == load->opts.meta_size &&
           (hit->meta_size == 0 || memcmp(hit->meta, load->opts.meta, hit->meta_size) == 0) &&
           same_bytes(hit->value, load->value);
}

/* Compute a hit again.  What is computed replaces what is not the same. */
static void check(brisk_memo *memo, const void *args, const brisk_key *key, brisk_loaded *ret)
{
    brisk_errinfo info;
    brisk_load load = {.info = &info};
    (void)add_one(&memo->checks);
    (void)add_one(&memo->runs);
    brisk_err err = memo->opts.run(memo->opts.ctx, args, &load);
    if (err == BRISK_OK && load.value != NULL && load.opts.meta_size <= BRISK_LOAD_META_MAX &&
        !same_result(&ret->hit, &load)) {
        (void)add_one(&memo->differences);
        brisk_log(BRISK_LOG_ERROR, "cache",
                  "%s, version %llu: the same arguments gave another result", memo->name,
                  (unsigned long long)memo->opts.version);
        brisk_loader_put(memo->loader, key, load.value, 0, &load.opts);
        brisk_value_unref(ret->hit.value);
        ret->hit.value = load.value;
        load.value = NULL;
        ret->hit.flags = load.opts.flags;
        ret->hit.has_content = false;
        ret->hit.meta_size = load.opts.meta_size;
        if (load.opts.meta_size != 0) {
            memcpy(ret->hit.meta, load.opts.meta, load.opts.meta_size);
        }
        ret->from = BRISK_LOADED_HERE;
    }
    brisk_value_unref(load.value);
    if (load.release != NULL) {
        load.release(load.release_ctx);
    }
}

static brisk_err call_with_key(brisk_memo *memo, const void *args, const brisk_key *key,
                               brisk_loader_call *call, brisk_loaded *ret)
{
    brisk_err err = brisk_loader_get(memo->loader, key, call, ret);
    if (err != BRISK_OK || ret->from != BRISK_LOADED_CACHE) {
        return err;
    }
    if (ret->hit.has_content && check_content(&ret->hit) != BRISK_OK) {
        (void)add_one(&memo->damaged);
        brisk_value_unref(ret->hit.value);
        call->flags |= BRISK_CALL_RELOAD;
        return brisk_loader_get(memo->loader, key, call, ret);
    }
    if (memo->opts.check_one_in != 0 && add_one(&memo->hits) % memo->opts.check_one_in == 0) {
        check(memo, args, key, ret);
    }
    return BRISK_OK;
}

brisk_err brisk_memo_call(brisk_memo *memo, const void *args, const brisk_loader_call *call,
                          brisk_loaded *ret)
{
    memo_run run = {.memo = memo, .args = args};
    brisk_loader_call own = call != NULL ? *call : (brisk_loader_call){0};
    own.flags = (own.flags & ~(uint32_t)BRISK_CALL_CACHED) | BRISK_CALL_FRESH;
    own.arg = &run;
    memo_room room;
    room_init(&room, memo);
    brisk_key_builder builder;
    brisk_key_builder_init(&builder, &room.base, "memo");
    brisk_key key;
    (void)add_one(&memo->calls);
    brisk_err err = build_key(memo, args, &builder, &key);
    err = err == BRISK_OK ? call_with_key(memo, args, &key, &own, ret) : err;
    brisk_key_builder_deinit(&builder);
    return err;
}

brisk_err brisk_memo_forget(brisk_memo *memo, const void *args)
{
    memo_room room;
    room_init(&room, memo);
    brisk_key_builder builder;
    brisk_key_builder_init(&builder, &room.base, "memo");
    brisk_key key;
    brisk_err err = build_key(memo, args, &builder, &key);
    err = err == BRISK_OK ? brisk_loader_remove(memo->loader, &key) : err;
    brisk_key_builder_deinit(&builder);
    return err;
}

void brisk_memo_read_stats(const brisk_memo *memo, brisk_memo_stats *ret)
{
    *ret = (brisk_memo_stats){
        .calls = atomic_load_explicit(&memo->calls, memory_order_relaxed),
        .runs = atomic_load_explicit(&memo->runs, memory_order_relaxed),
        .checks = atomic_load_explicit(&memo->checks, memory_order_relaxed),
        .differences = atomic_load_explicit(&memo->differences, memory_order_relaxed),
        .damaged = atomic_load_explicit(&memo->damaged, memory_order_relaxed),
    };
}
