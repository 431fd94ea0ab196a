/*
 * shared_entry.c -- writing and judging the entries of shared tiers.
 *
 * Order of judging: the size of the head, magic, version and kind of seal, then that all sizes
 * together are exactly the bytes that are there (in 64 bits, so that no sum wraps), then the seal,
 * then the key, then everything that the sealer of the entry is responsible for.  Before the seal
 * nothing is followed, allocated or decompressed.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "engine/shared_entry.h"

#include <endian.h>
#include <string.h>
#include <sys/mman.h>

#include <zstd.h>

#include "base/assert.h"

enum {
    VERSION = 1,
    SEAL_HMAC = 1,
    SEAL_XXH3 = 2,
    WORKSPACE_ALIGN = 64,
    COPY_MAX = 4096, /* smaller values are copied, so that a block never holds less than it costs */
};

static const uint64_t value_bytes_default = UINT64_C(64) << 20;

/* zstd's contexts in memory that we give it: it never allocates. */
typedef struct shared_workspace {
    struct shared_workspace *next;
    void *compressor;
    void *decompressor;
    size_t compressor_size;
    size_t decompressor_size;
} shared_workspace;

/* --- sealer ------------------------------------------------------------------------------- */

brisk_err shared_sealer_init(shared_sealer *sealer, const void *key, size_t key_size,
                             const brisk_alloc *alloc)
{
    *sealer = (shared_sealer){
        .alloc = alloc != NULL ? alloc : brisk_alloc_libc(),
        .keyed = key != NULL,
        .value_bytes_max = value_bytes_default,
    };
    if (key != NULL) {
        wire_hmac_init(&sealer->hmac, key, key_size);
    }
    return pthread_mutex_init(&sealer->lock, NULL) == 0 ? BRISK_OK : BRISK_ERR_NOMEM;
}

static void free_workspace(const brisk_alloc *alloc, shared_workspace *w)
{
    if (w->compressor != NULL) {
        alloc->release(alloc->ctx, w->compressor, w->compressor_size, WORKSPACE_ALIGN);
    }
    if (w->decompressor != NULL) {
        alloc->release(alloc->ctx, w->decompressor, w->decompressor_size, WORKSPACE_ALIGN);
    }
    alloc->release(alloc->ctx, w, sizeof *w, _Alignof(shared_workspace));
}

void shared_sealer_deinit(shared_sealer *sealer)
{
    while (sealer->workspaces != NULL) {
        shared_workspace *w = sealer->workspaces;
        sealer->workspaces = w->next;
        free_workspace(sealer->alloc, w);
    }
    wire_hmac_wipe(&sealer->hmac);
    (void)pthread_mutex_destroy(&sealer->lock);
}

static shared_workspace *take_workspace(shared_sealer *sealer)
{
    (void)pthread_mutex_lock(&sealer->lock);
    shared_workspace *w = sealer->workspaces;
    if (w != NULL) {
        sealer->workspaces = w->next;
        sealer->workspace_count--;
    }
    (void)pthread_mutex_unlock(&sealer->lock);
    if (w == NULL) {
        const brisk_alloc *alloc = sealer->alloc;
        w = alloc->acquire(alloc->ctx, sizeof *w, _Alignof(shared_workspace));
        if (w != NULL) {
            *w = (shared_workspace){0};
        }
    }
    return w;
}

static void give_workspace(shared_sealer *sealer, shared_workspace *w)
{
    (void)pthread_mutex_lock(&sealer->lock);
    bool keep = sealer->workspace_count < SHARED_WORKSPACES;
    if (keep) {
        w->next = sealer->workspaces;
        sealer->workspaces = w;
        sealer->workspace_count++;
    }
    (void)pthread_mutex_unlock(&sealer->lock);
    if (!keep) {
        free_workspace(sealer->alloc, w);
    }
}

/* --- blocks ------------------------------------------------------------------------------- */

shared_block *shared_block_create(const brisk_alloc *alloc, size_t capacity)
{
    if (capacity > SIZE_MAX - sizeof(shared_block)) {
        return NULL;
    }
    shared_block *block =
        alloc->acquire(alloc->ctx, sizeof *block + capacity, _Alignof(shared_block));
    if (block != NULL) {
        *block = (shared_block){.alloc = alloc, .capacity = capacity};
    }
    return block;
}

void shared_block_destroy(shared_block *block)
{
    if (block != NULL) {
        block->alloc->release(block->alloc->ctx, block, sizeof *block + block->capacity,
                              _Alignof(shared_block));
    }
}

static void release_block(void *ctx)
{
    shared_block_destroy(ctx);
}

/* --- bytes -------------------------------------------------------------------------------- */

static void put16(unsigned char *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof value);
}

static void put32(unsigned char *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void put64(unsigned char *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static uint16_t get16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return le16toh(value);
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static void make_seal(const shared_sealer *sealer, const unsigned char *bytes, size_t size,
                      unsigned char seal[SHARED_ENTRY_SEAL])
{
    if (sealer->keyed) {
        wire_hmac hmac = sealer->hmac; /* a copy: the key's state is shared */
        wire_hmac_update(&hmac, bytes, size);
        wire_hmac_digest(&hmac, seal);
        return;
    }
    brisk_hash128 hash = brisk_hash128_of(bytes, size, 0);
    memset(seal, 0, SHARED_ENTRY_SEAL);
    put64(seal, hash.lo);
    put64(seal + 8, hash.hi);
}

uint64_t shared_entry_size(const shared_entry *entry)
{
    return SHARED_ENTRY_HEAD + (uint64_t)entry->key_size + entry->meta_size + entry->stored_size +
           SHARED_ENTRY_SEAL;
}

static void write_head(const shared_sealer *sealer, const shared_entry *entry, unsigned char *bytes)
{
    memcpy(bytes, "BRSE", 4);
    bytes[4] = VERSION;
    bytes[5] = sealer->keyed ? SEAL_HMAC : SEAL_XXH3;
    bytes[6] = entry->codec;
    bytes[7] = 0;
    put16(bytes + 8, entry->flags);
    put16(bytes + 10, entry->era);
    put16(bytes + 12, (uint16_t)entry->meta_size);
    put16(bytes + 14, 0);
    put64(bytes + 16, entry->raw_size);
    put64(bytes + 24, entry->stored_size);
    put64(bytes + 32, entry->expires_at_ns);
    put64(bytes + 40, entry->cost_ns);
    put64(bytes + 48, entry->clear_generation);
    put32(bytes + 56, entry->key_size);
}

void shared_entry_write(const shared_sealer *sealer, const shared_entry *entry,
                        unsigned char *bytes)
{
    BRISK_ASSERT(entry->meta_size <= BRISK_TIER_META_MAX);
    write_head(sealer, entry, bytes);
    unsigned char *at = bytes + SHARED_ENTRY_HEAD;
    memcpy(at, entry->key, entry->key_size);
    at += entry->key_size;
    if (entry->meta_size > 0) {
        memcpy(at, entry->meta, entry->meta_size);
        at += entry->meta_size;
    }
    if (entry->stored_size > 0 && entry->stored != at) { /* compressed in place */
        memcpy(at, entry->stored, entry->stored_size);
    }
    at += entry->stored_size;
    make_seal(sealer, bytes, (size_t)(at - bytes), at);
}

/* Everything but the seal that can be judged without following anything. */
static brisk_err read_head(const shared_sealer *sealer, const unsigned char *bytes, size_t size,
                           shared_entry *entry)
{
    if (size < SHARED_ENTRY_HEAD + SHARED_ENTRY_SEAL || memcmp(bytes, "BRSE", 4) != 0 ||
        bytes[4] != VERSION || bytes[5] != (sealer->keyed ? SEAL_HMAC : SEAL_XXH3) ||
        bytes[6] > SHARED_CODEC_ZSTD || bytes[7] != 0 || get16(bytes + 14) != 0) {
        return BRISK_ERR_CORRUPT;
    }
    *entry = (shared_entry){
        .codec = bytes[6],
        .flags = get16(bytes + 8),
        .era = get16(bytes + 10),
        .meta_size = get16(bytes + 12),
        .raw_size = get64(bytes + 16),
        .stored_size = get64(bytes + 24),
        .expires_at_ns = get64(bytes + 32),
        .cost_ns = get64(bytes + 40),
        .clear_generation = get64(bytes + 48),
        .key_size = get32(bytes + 56),
    };
    if (entry->key_size == 0 || entry->key_size > BRISK_KEY_BYTES_MAX ||
        entry->meta_size > BRISK_TIER_META_MAX || entry->stored_size > size ||
        shared_entry_size(entry) != size) {
        return BRISK_ERR_CORRUPT;
    }
    bool raw = entry->codec == SHARED_CODEC_RAW;
    if (raw ? entry->raw_size != entry->stored_size : entry->raw_size < entry->stored_size) {
        return BRISK_ERR_CORRUPT;
    }
    return BRISK_OK;
}

brisk_err shared_entry_read(const shared_sealer *sealer, const void *bytes, size_t size,
                            const brisk_key *key, shared_entry *ret)
{
    const unsigned char *at = bytes;
    shared_entry entry;
    brisk_err err = read_head(sealer, at, size, &entry);
    if (err != BRISK_OK) {
        return err;
    }
    unsigned char seal[SHARED_ENTRY_SEAL];
    make_seal(sealer, at, size - SHARED_ENTRY_SEAL, seal);
    if (!wire_hmac_equal(seal, at + size - SHARED_ENTRY_SEAL)) {
        return BRISK_ERR_CORRUPT;
    }
    entry.key = at + SHARED_ENTRY_HEAD;
    entry.meta = at + SHARED_ENTRY_HEAD + entry.key_size;
    entry.stored = at + SHARED_ENTRY_HEAD + entry.key_size + entry.meta_size;
    if (entry.key_size != key->size || memcmp(entry.key, key->bytes, key->size) != 0) {
        return BRISK_ERR_MISMATCH;
    }
    if (entry.raw_size > sealer->value_bytes_max) {
        return BRISK_ERR_LIMIT;
    }
    *ret = entry;
    return BRISK_OK;
}

/* --- pack --------------------------------------------------------------------------------- */

/* Compressed size in `room`, or 0 when it does not pay or cannot be done. */
static size_t compress(shared_sealer *sealer, void *room, size_t room_size, const void *data,
                       size_t size)
{
    shared_workspace *w = take_workspace(sealer);
    if (w == NULL) {
        return 0;
    }
    if (w->compressor == NULL) {
        w->compressor_size = ZSTD_estimateCCtxSize(sealer->zstd_level);
        w->compressor =
            sealer->alloc->acquire(sealer->alloc->ctx, w->compressor_size, WORKSPACE_ALIGN);
    }
    size_t result = 0;
    if (w->compressor != NULL) {
        ZSTD_CCtx *zstd = ZSTD_initStaticCCtx(w->compressor, w->compressor_size);
        result = zstd != NULL
                     ? ZSTD_compressCCtx(zstd, room, room_size, data, size, sealer->zstd_level)
                     : 0;
        result = ZSTD_isError(result) != 0 ? 0 : result;
    }
    give_workspace(sealer, w);
    return result;
}

static brisk_err pack_bytes(shared_sealer *sealer, shared_entry *entry, const void *data,
                            shared_block **ret)
{
    entry->stored = data;
    entry->stored_size = entry->raw_size;
    entry->codec = SHARED_CODEC_RAW;
    shared_block *block = shared_block_create(sealer->alloc, (size_t)shared_entry_size(entry));
    if (block == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (sealer->zstd_level != 0 && entry->raw_size >= SHARED_COMPRESS_MIN) {
        unsigned char *room = block->bytes + SHARED_ENTRY_HEAD + entry->key_size + entry->meta_size;
        size_t raw = (size_t)entry->raw_size;
        size_t size = compress(sealer, room, raw - raw / 8, data, raw);
        if (size > 0) {
            entry->stored = room;
            entry->stored_size = size;
            entry->codec = SHARED_CODEC_ZSTD;
        }
    }
    block->size = (size_t)shared_entry_size(entry);
    shared_entry_write(sealer, entry, block->bytes);
    *ret = block;
    return BRISK_OK;
}

brisk_err shared_entry_pack(shared_sealer *sealer, const brisk_key *key,
                            const shared_source *source, shared_block **ret)
{
    static const brisk_entry_opts none = {0};
    const brisk_entry_opts *opts = source->opts != NULL ? source->opts : &none;
    brisk_value *value = source->value;
    uint64_t size = brisk_value_size(value);
    if ((opts->flags & BRISK_ENTRY_LOCAL) != 0 || size > sealer->value_bytes_max ||
        opts->meta_size > BRISK_TIER_META_MAX || opts->flags > UINT16_MAX) {
        return BRISK_ERR_DECLINED;
    }
    shared_entry entry = {
        .flags = (uint16_t)opts->flags,
        .era = opts->era,
        .key = key->bytes,
        .key_size = (uint32_t)key->size,
        .meta = opts->meta,
        .meta_size = opts->meta_size,
        .raw_size = size,
        .expires_at_ns = opts->expires_at_ns,
        .cost_ns = opts->cost_ns,
        .clear_generation = source->clear_generation,
    };
    int fd = brisk_value_fd(value);
    if (fd < 0 || size == 0) {
        return pack_bytes(sealer, &entry, brisk_value_data(value), ret);
    }
    void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        return BRISK_ERR_IO;
    }
    brisk_err err = pack_bytes(sealer, &entry, map, ret);
    (void)munmap(map, (size_t)size);
    return err;
}

/* --- unpack ------------------------------------------------------------------------------- */

static brisk_err decompress(shared_sealer *sealer, const shared_entry *entry, void *room)
{
    shared_workspace *w = take_workspace(sealer);
    if (w == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (w->decompressor == NULL) {
        w->decompressor_size = ZSTD_estimateDCtxSize();
        w->decompressor =
            sealer->alloc->acquire(sealer->alloc->ctx, w->decompressor_size, WORKSPACE_ALIGN);
    }
    brisk_err err = BRISK_ERR_NOMEM;
    if (w->decompressor != NULL) {
        ZSTD_DCtx *zstd = ZSTD_initStaticDCtx(w->decompressor, w->decompressor_size);
        size_t got = ZSTD_decompressDCtx(zstd, room, (size_t)entry->raw_size, entry->stored,
                                         (size_t)entry->stored_size);
        err = got == entry->raw_size ? BRISK_OK : BRISK_ERR_CORRUPT;
    }
    give_workspace(sealer, w);
    return err;
}

static brisk_err make_value(shared_sealer *sealer, const shared_entry *entry, shared_block *owner,
                            brisk_value **ret)
{
    if (entry->codec == SHARED_CODEC_RAW) {
        if (owner != NULL && entry->stored_size > COPY_MAX) {
            return brisk_value_wrap(entry->stored, (size_t)entry->stored_size, release_block, owner,
                                    sealer->alloc, ret);
        }
        return brisk_value_copy(entry->stored, (size_t)entry->stored_size, sealer->alloc, ret);
    }
    if (ZSTD_getFrameContentSize(entry->stored, (size_t)entry->stored_size) != entry->raw_size) {
        return BRISK_ERR_CORRUPT;
    }
    void *room;
    brisk_value *value;
    brisk_err err = brisk_value_reserve((size_t)entry->raw_size, sealer->alloc, &room, &value);
    if (err != BRISK_OK) {
        return err;
    }
    err = decompress(sealer, entry, room);
    if (err != BRISK_OK) {
        brisk_value_unref(value);
        return err;
    }
    *ret = value;
    return BRISK_OK;
}

brisk_err shared_entry_unpack(shared_sealer *sealer, shared_bytes bytes, const brisk_key *key,
                              const shared_now *now, brisk_hit *ret)
{
    shared_block *owner = bytes.owner;
    shared_entry entry;
    brisk_err err = shared_entry_read(sealer, bytes.data, bytes.size, key, &entry);
    if (err != BRISK_OK) {
        return err;
    }
    if ((entry.flags & BRISK_ENTRY_LOCAL) != 0) {
        return BRISK_ERR_CORRUPT; /* whoever sent it must not have */
    }
    bool cleared = now->after != 0 ? entry.clear_generation <= now->after
                                   : entry.clear_generation != now->clear_generation;
    if (cleared || (entry.expires_at_ns != 0 && entry.expires_at_ns <= now->wall_ns)) {
        return BRISK_ERR_NOT_FOUND;
    }
    brisk_value *value;
    err = make_value(sealer, &entry, owner, &value);
    if (err != BRISK_OK) {
        return err;
    }
    *ret = (brisk_hit){
        .value = value,
        .flags = entry.flags,
        .cost_ns = entry.cost_ns,
        .expires_at_ns = entry.expires_at_ns,
        .era = entry.era,
        .meta_size = entry.meta_size,
    };
    if (entry.meta_size > 0) {
        memcpy(ret->meta, entry.meta, entry.meta_size);
    }
    if (owner != NULL && (entry.codec != SHARED_CODEC_RAW || entry.stored_size <= COPY_MAX)) {
        shared_block_destroy(owner);
    }
    return BRISK_OK;
}
