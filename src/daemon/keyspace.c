/*
 * keyspace.c -- commands' view of the memory tier.
 *
 * Tiers are used directly, since a batch of commands is one step for everybody; the cache around
 * them keeps the generations that tags, dependencies and prefixes need.
 *
 * The tier hashes keys with XXH3 over the raw bytes.  Keys of a batch are hashed before the lock is
 * taken, to prefetch what their lookups need; the hashes are kept as hints and recognised by the
 * address of the key's bytes.
 *
 * An empty key is legal in Redis and not in the tier: it is kept as one zero byte behind a mark that
 * no other key can have, because longer keys that begin with it are stored with one more in front.
 */
#include "daemon/keyspace.h"

#include <stdatomic.h>
#include <string.h>

#include <brisk/cache.h>

#include "base/assert.h"

enum {
    VALUE_GUESS = 512,
    HEAD_MAX = 16,
    DROP_HEAD = 5,
    DROPS_BYTES_MAX = 64 << 20,
    DROPS_KEPT = 65536
};

#define USED_BYTES (KEYSPACE_USE_SLOTS * sizeof(uint32_t))

/* --- time --------------------------------------------------------------------------------- */

static uint64_t wall_now(void *ctx)
{
    keyspace *keys = ctx;
    return atomic_load_explicit(&keys->wall_ns, memory_order_relaxed);
}

static uint64_t mono_now(void *ctx)
{
    keyspace *keys = ctx;
    return atomic_load_explicit(&keys->mono_ns, memory_order_relaxed);
}

void keyspace_set_time(keyspace *keys, uint64_t wall_ns, uint64_t mono_ns)
{
    /* Relaxed: written and read under the server's lock, but for statistics. */
    atomic_store_explicit(&keys->wall_ns, wall_ns, memory_order_relaxed);
    atomic_store_explicit(&keys->mono_ns, mono_ns, memory_order_relaxed);
    keys->wall_s = (uint32_t)(wall_ns / 1000000000);
}

/* --- what leaves by itself ---------------------------------------------------------------- */

static void on_drop(void *ctx, const void *key, size_t key_size, brisk_drop_reason reason)
{
    keyspace *keys = ctx;
    if (reason == BRISK_DROP_EXPIRED) {
        keys->expired++;
    } else {
        keys->evicted++;
    }
    size_t wanted = keys->drops.count + DROP_HEAD + key_size;
    if (!keys->drops_wanted || wanted > DROPS_BYTES_MAX ||
        !BRISK_VEC_RESERVE(&keys->drops, wanted)) {
        return;
    }
    unsigned char *at = keys->drops.items + keys->drops.count;
    uint32_t size = (uint32_t)key_size;
    at[0] = reason == BRISK_DROP_EXPIRED ? 1 : 0;
    memcpy(at + 1, &size, sizeof size);
    memcpy(at + DROP_HEAD, key, key_size);
    keys->drops.count = wanted;
}

resp_bytes keyspace_shown(const void *key, size_t size)
{
    const unsigned char *bytes = key;
    bool marked = size > 0 && bytes[0] == '\0';
    return (resp_bytes){.data = bytes + (marked ? 1 : 0), .size = size - (marked ? 1 : 0)};
}

static void tell_all(const unsigned char *drops, size_t size,
                     void (*fn)(void *ctx, resp_bytes key, brisk_drop_reason reason), void *ctx)
{
    for (size_t at = 0; at < size;) {
        uint32_t bytes;
        memcpy(&bytes, drops + at + 1, sizeof bytes);
        fn(ctx, keyspace_shown(drops + at + DROP_HEAD, bytes),
           drops[at] != 0 ? BRISK_DROP_EXPIRED : BRISK_DROP_EVICTED);
        at += DROP_HEAD + bytes;
    }
}

void keyspace_drops(keyspace *keys, void (*fn)(void *ctx, resp_bytes key, brisk_drop_reason reason),
                    void *ctx)
{
    __typeof__(keys->drops) empty = BRISK_VEC_INIT(keys->alloc);
    while (keys->drops.count > 0) { /* `fn` may cause more */
        __typeof__(keys->drops) drops = keys->drops;
        keys->drops = empty;
        tell_all(drops.items, drops.count, fn, ctx);
        if (keys->drops.capacity == 0 && drops.capacity <= DROPS_KEPT) {
            keys->drops = drops;
            keys->drops.count = 0;
        } else {
            BRISK_VEC_DEINIT(&drops);
        }
    }
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err keyspace_open(keyspace *keys, const keyspace_opts *opts)
{
    *keys = (keyspace){.alloc = opts->alloc};
    keys->drops.alloc = opts->alloc;
    keys->clock = (brisk_clock){.now_ns = mono_now, .wall_ns = wall_now, .ctx = keys};
    keyspace_set_time(keys, brisk_clock_wall_ns(NULL), brisk_clock_now_ns(NULL));
    keys->bytes_reserve =
        opts->bytes_reserve > opts->bytes_max ? opts->bytes_reserve : opts->bytes_max;
    keys->odd_key = opts->alloc->acquire(opts->alloc->ctx, BRISK_KEY_BYTES_MAX, 1);
    keys->used_s = opts->alloc->acquire(opts->alloc->ctx, USED_BYTES, 64);
    if (keys->odd_key == NULL || keys->used_s == NULL) {
        brisk_tier_destroy(opts->disk);
        keyspace_close(keys);
        return BRISK_ERR_NOMEM;
    }
    memset(keys->used_s, 0, USED_BYTES);
    for (uint32_t i = 0; i < 2; i++) {
        keys->scratch[i] = opts->alloc->acquire(opts->alloc->ctx, KEYSPACE_SCRATCH, 1);
        if (keys->scratch[i] == NULL) {
            brisk_tier_destroy(opts->disk);
            keyspace_close(keys);
            return BRISK_ERR_NOMEM;
        }
    }
    brisk_memory_tier_opts tier = {
        .bytes_max = opts->bytes_max,
        .bytes_reserve = keys->bytes_reserve,
        .shards = 1, /* the server's lock is around every call */
        .policy = opts->policy,
        .track_use = opts->track_use,
        .on_drop = on_drop,
        .on_drop_ctx = keys,
        .clock = &keys->clock,
        .alloc = library_alloc(opts->alloc),
    };
    brisk_err err = brisk_memory_tier_create(&tier, &keys->tier);
    if (err == BRISK_OK) {
        brisk_tier *tiers[] = {keys->tier, opts->disk};
        brisk_cache_opts cache = {.tiers = tiers,
                                  .tier_count = opts->disk != NULL ? 2 : 1,
                                  .clock = &keys->clock,
                                  .alloc = library_alloc(opts->alloc)};
        err = brisk_cache_create(&cache, &keys->cache);
    }
    keys->may_be_outdated =
        opts->disk != NULL; /* its folder knows of earlier runs, and of others */
    if (err != BRISK_OK) {
        brisk_tier_destroy(opts->disk);
        keyspace_close(keys);
    }
    return err;
}

void keyspace_close(keyspace *keys)
{
    if (keys->cache != NULL) {
        brisk_cache_destroy(keys->cache); /* and its tier */
    } else {
        brisk_tier_destroy(keys->tier);
    }
    keys->cache = NULL;
    keys->tier = NULL;
    BRISK_VEC_DEINIT(&keys->drops);
    if (keys->odd_key != NULL) {
        keys->alloc->release(keys->alloc->ctx, keys->odd_key, BRISK_KEY_BYTES_MAX, 1);
    }
    keys->odd_key = NULL;
    if (keys->used_s != NULL) {
        keys->alloc->release(keys->alloc->ctx, keys->used_s, USED_BYTES, 64);
    }
    keys->used_s = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        if (keys->scratch[i] != NULL) {
            keys->alloc->release(keys->alloc->ctx, keys->scratch[i], KEYSPACE_SCRATCH, 1);
        }
        keys->scratch[i] = NULL;
    }
}

/* --- keys --------------------------------------------------------------------------------- */

brisk_key keyspace_key(keyspace *keys, resp_bytes bytes)
{
    /* Commands come in the order in which they were hashed. */
    for (uint32_t i = keys->hint_next; i < keys->hint_count; i++) {
        if (keys->hints[i].bytes == bytes.data && keys->hints[i].size == bytes.size) {
            keys->hint_next = i;
            return keys->hints[i];
        }
    }
    return brisk_key_of(bytes.data, bytes.size);
}

brisk_key keyspace_stored(keyspace *keys, resp_bytes bytes)
{
    BRISK_ASSERT(keyspace_key_fits(bytes));
    if (bytes.size > 0 && bytes.data[0] != '\0') {
        return keyspace_key(keys, bytes);
    }
    keys->odd_key[0] = '\0';
    if (bytes.size > 0) {
        memcpy(keys->odd_key + 1, bytes.data, bytes.size);
    }
    return brisk_key_of(keys->odd_key, bytes.size + 1);
}

/* --- what was invalidated ----------------------------------------------------------------- */

static bool tagged_is_current(keyspace *keys, const brisk_key *key)
{
    brisk_hit hit;
    if (keys->tier->ops->get(keys->tier, key, &hit) != BRISK_OK) {
        return false;
    }
    brisk_entry_mark mark = {
        .flags = hit.flags, .meta_size = hit.meta_size, .meta = hit.meta, .era = hit.era};
    bool current = brisk_cache_is_current(keys->cache, key, &mark);
    brisk_value_unref(hit.value);
    return current;
}

/* An entry that was found: is it still what it should be?  If not, it goes. */
static bool is_current(keyspace *keys, const brisk_key *key, const brisk_entry_info *info)
{
    if (!keys->may_be_outdated) {
        return true;
    }
    brisk_entry_mark mark = {.flags = info->flags, .era = info->era};
    bool current = (info->flags & BRISK_ENTRY_TAGGED) != 0
                       ? tagged_is_current(keys, key)
                       : brisk_cache_is_current(keys->cache, key, &mark);
    if (!current) {
        (void)keys->tier->ops->remove(keys->tier, key); /* of memory: cannot fail */
    }
    return current;
}

static bool find(keyspace *keys, const brisk_key *key, brisk_entry_info *ret)
{
    return brisk_memory_info(keys->tier, key, ret) == BRISK_OK && is_current(keys, key, ret);
}

brisk_err keyspace_tag(keyspace *keys, resp_bytes key, const brisk_tag *tags, uint32_t tag_count,
                       const brisk_key *depends, uint32_t depends_count)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_info info;
    brisk_hit hit;
    if (!find(keys, &stored, &info) ||
        keys->tier->ops->get(keys->tier, &stored, &hit) != BRISK_OK) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_entry_opts opts = {.expires_at_ns = hit.expires_at_ns,
                             .cost_ns = hit.cost_ns,
                             .tags = tags,
                             .tag_count = tag_count,
                             .depends_on = depends,
                             .depends_count = depends_count};
    brisk_sealed sealed;
    brisk_err err = BRISK_ERR_INVALID;
    keys->may_be_outdated = true;
    if (brisk_cache_seal(keys->cache, &stored, &opts, &sealed)) {
        err = keys->tier->ops->put(keys->tier, &stored, hit.value, &sealed.opts);
    }
    brisk_value_unref(hit.value);
    return err;
}

brisk_err keyspace_invalidate_tag(keyspace *keys, resp_bytes tag)
{
    keys->may_be_outdated = true;
    return brisk_cache_invalidate_tag(keys->cache, tag.data, tag.size);
}

brisk_err keyspace_invalidate_prefix(keyspace *keys, resp_bytes prefix)
{
    keys->may_be_outdated = true;
    return brisk_cache_invalidate_prefix(keys->cache, prefix.data, prefix.size);
}

/* --- use ---------------------------------------------------------------------------------- */

static uint32_t *slot_of(keyspace *keys, const brisk_key *key)
{
    return &keys->used_s[key->hash.hi & (KEYSPACE_USE_SLOTS - 1)];
}

static void note_use(keyspace *keys, const brisk_key *key)
{
    *slot_of(keys, key) = keys->wall_s;
}

uint64_t keyspace_idle_s(keyspace *keys, resp_bytes key, const brisk_entry_info *info)
{
    brisk_key stored = keyspace_stored(keys, key);
    uint32_t last = info->last_used_ns != 0 ? (uint32_t)(info->last_used_ns / 1000000000)
                                            : *slot_of(keys, &stored);
    return last != 0 && keys->wall_s > last ? keys->wall_s - last : 0;
}

/* --- reading ------------------------------------------------------------------------------ */

bool keyspace_info(keyspace *keys, resp_bytes key, brisk_entry_info *ret)
{
    brisk_key stored = keyspace_stored(keys, key);
    return find(keys, &stored, ret);
}

bool keyspace_has(keyspace *keys, resp_bytes key)
{
    brisk_entry_info info;
    return keyspace_info(keys, key, &info);
}

bool keyspace_get(keyspace *keys, resp_bytes key, brisk_hit *ret)
{
    brisk_entry_info info;
    brisk_key stored = keyspace_stored(keys, key);
    return find(keys, &stored, &info) && keys->tier->ops->get(keys->tier, &stored, ret) == BRISK_OK;
}

bool keyspace_view_open(keyspace *keys, resp_bytes key, keyspace_view *ret)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_info info = {0};
    unsigned char *scratch = keys->scratch[keys->scratch_next];
    brisk_err err = brisk_memory_read(keys->tier, &stored, scratch, KEYSPACE_SCRATCH, &info);
    if ((err != BRISK_OK && err != BRISK_ERR_LIMIT) || !is_current(keys, &stored, &info)) {
        return false;
    }
    note_use(keys, &stored);
    if (err == BRISK_OK) {
        keys->scratch_next ^= 1;
        *ret = (keyspace_view){
            .data = scratch, .size = info.size, .expires_at_ns = info.expires_at_ns};
        return true;
    }
    brisk_hit hit;
    if (keys->tier->ops->get(keys->tier, &stored, &hit) != BRISK_OK) {
        return false;
    }
    *ret = (keyspace_view){
        .data = brisk_value_data(hit.value),
        .size = brisk_value_size(hit.value),
        .expires_at_ns = hit.expires_at_ns,
        .held = hit.value,
    };
    return true;
}

void keyspace_view_close(keyspace_view *view)
{
    brisk_value_unref(view->held);
    view->held = NULL;
}

/* Head and tail around a value that lies HEAD_MAX behind `at`; returns the size of all. */
static size_t frame_value(unsigned char *at, size_t size)
{
    char digits[RESP_I64_TEXT];
    size_t head = resp_format_i64(digits, (int64_t)size);
    at[0] = '$';
    memcpy(at + 1, digits, head);
    at[1 + head] = '\r';
    at[2 + head] = '\n';
    memmove(at + 3 + head, at + HEAD_MAX, size);
    at[3 + head + size] = '\r';
    at[4 + head + size] = '\n';
    return 5 + head + size;
}

bool keyspace_write(keyspace *keys, resp_bytes key, resp_writer *out)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_info info = {0};
    size_t room = VALUE_GUESS;
    for (;;) {
        /* Read where it will be sent from. */
        unsigned char *at = resp_writer_room(out, HEAD_MAX + room + 2);
        if (at == NULL) {
            return true; /* the writer remembers */
        }
        size_t capacity = out->capacity - out->size - HEAD_MAX - 2;
        brisk_err err = brisk_memory_read(keys->tier, &stored, at + HEAD_MAX, capacity, &info);
        if (err == BRISK_ERR_LIMIT) {
            room = info.size;
            continue;
        }
        if (err != BRISK_OK || !is_current(keys, &stored, &info)) {
            return false;
        }
        note_use(keys, &stored);
        out->size += frame_value(at, info.size);
        return true;
    }
}

/* --- changing ----------------------------------------------------------------------------- */

/* Whatever depends on the key is outdated. */
static void tell_dependents(keyspace *keys, const brisk_key *key)
{
    if (keys->may_be_outdated) {
        brisk_cache_change_end(keys->cache, key, 0);
    }
}

brisk_err keyspace_put(keyspace *keys, resp_bytes key, resp_bytes value, uint64_t expires_at_ns)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_opts opts = {.expires_at_ns = expires_at_ns};
    brisk_err err;
    note_use(keys, &stored);
    if (keys->may_be_outdated) {
        brisk_sealed sealed;
        bool good = brisk_cache_seal(keys->cache, &stored, &opts, &sealed);
        BRISK_ASSERT(good); /* it comes from nothing that could have changed */
        err = brisk_memory_put_bytes(keys->tier, &stored, value.data, value.size, &sealed.opts);
        tell_dependents(keys, &stored);
    } else {
        err = brisk_memory_put_bytes(keys->tier, &stored, value.data, value.size,
                                     expires_at_ns != 0 ? &opts : NULL);
    }
    return err;
}

brisk_err keyspace_put_value(keyspace *keys, resp_bytes key, brisk_value *value,
                             const keyspace_extra *extra)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_opts opts = {
        .expires_at_ns = extra->expires_at_ns, .tags = extra->tags, .tag_count = extra->tag_count};
    brisk_sealed sealed;
    note_use(keys, &stored);
    keys->may_be_outdated = keys->may_be_outdated || extra->tag_count != 0;
    if (!keys->may_be_outdated) {
        return keys->tier->ops->put(keys->tier, &stored, value, &opts);
    }
    if (!brisk_cache_seal(keys->cache, &stored, &opts, &sealed)) {
        return BRISK_ERR_INVALID;
    }
    brisk_err err = keys->tier->ops->put(keys->tier, &stored, value, &sealed.opts);
    tell_dependents(keys, &stored);
    return err;
}

bool keyspace_hit_is_current(keyspace *keys, const brisk_key *stored, const brisk_hit *hit)
{
    brisk_entry_mark mark = {
        .flags = hit->flags, .meta_size = hit->meta_size, .meta = hit->meta, .era = hit->era};
    return (hit->expires_at_ns == 0 || hit->expires_at_ns > wall_now(keys)) &&
           brisk_cache_is_current(keys->cache, stored, &mark);
}

brisk_err keyspace_restore(keyspace *keys, const brisk_key *stored, const brisk_hit *hit)
{
    brisk_entry_mark mark = {
        .flags = hit->flags, .meta_size = hit->meta_size, .meta = hit->meta, .era = hit->era};
    if (!brisk_cache_is_current(keys->cache, stored, &mark)) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_entry_opts opts = {.flags = hit->flags,
                             .meta_size = hit->meta_size,
                             .meta = hit->meta,
                             .cost_ns = hit->cost_ns,
                             .expires_at_ns = hit->expires_at_ns,
                             .era = hit->era};
    return keys->tier->ops->put(keys->tier, stored, hit->value, &opts);
}

/* An edit, and the era of what it makes where nothing was. */
typedef struct dated_edit {
    brisk_err (*edit)(void *ctx, brisk_memory_edit *edit);
    void *ctx;
    uint16_t era;
} dated_edit;

static brisk_err edit_dated(void *ctx, brisk_memory_edit *edit)
{
    const dated_edit *dated = ctx;
    if (!edit->present) {
        edit->era = dated->era;
    }
    return dated->edit(dated->ctx, edit);
}

brisk_err keyspace_update(keyspace *keys, resp_bytes key,
                          brisk_err (*edit)(void *ctx, brisk_memory_edit *edit), void *ctx)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_info info;
    dated_edit dated = {.edit = edit, .ctx = ctx};
    if (keys->may_be_outdated) {
        (void)find(keys, &stored, &info); /* what is outdated is not there to be changed */
        brisk_sealed sealed;
        bool good = brisk_cache_seal(keys->cache, &stored, &(brisk_entry_opts){0}, &sealed);
        BRISK_ASSERT(good); /* it comes from nothing that could have changed */
        dated.era = sealed.opts.era;
    }
    note_use(keys, &stored);
    brisk_err err = brisk_memory_update(keys->tier, &stored, edit_dated, &dated);
    tell_dependents(keys, &stored);
    return err;
}

bool keyspace_remove(keyspace *keys, resp_bytes key)
{
    brisk_key stored = keyspace_stored(keys, key);
    brisk_entry_info info;
    if (!find(keys, &stored, &info)) {
        return false;
    }
    bool removed = keys->tier->ops->remove(keys->tier, &stored) == BRISK_OK;
    tell_dependents(keys, &stored);
    return removed;
}

bool keyspace_expire(keyspace *keys, resp_bytes key, uint64_t expires_at_ns)
{
    brisk_key stored = keyspace_stored(keys, key);
    return brisk_memory_expire(keys->tier, &stored, expires_at_ns) == BRISK_OK;
}

void keyspace_clear(keyspace *keys)
{
    (void)keys->tier->ops->clear(keys->tier); /* of memory: cannot fail */
}

/* --- figures ------------------------------------------------------------------------------ */

void keyspace_stats(keyspace *keys, brisk_tier_stats *ret)
{
    *ret = (brisk_tier_stats){0};
    keys->tier->ops->read_stats(keys->tier, ret);
}

uint64_t keyspace_count(keyspace *keys)
{
    brisk_tier_stats stats;
    keyspace_stats(keys, &stats);
    return stats.entries;
}

bool keyspace_resize(keyspace *keys, uint64_t bytes_max)
{
    return brisk_memory_resize(keys->tier, bytes_max, 0) == BRISK_OK;
}
