/*
 * memory_create.c -- making and ending a memory tier.
 *
 * One block for the tier, its shards, readers, rings and regions.  A region serves as many shards
 * as its lines can name; nearly always there is one.
 */
#include <unistd.h>

#include "base/assert.h"
#include "cache/memory_thread.h"
#include "cache/memory_tier.h"

enum {
    SHARDS_MAX = 1024,
    SHARDS_PER_CPU = 2,
    HIST_PRECISION_BITS = 4,
    THREADS_PER_CPU = 4,
    SMALL_TIER_BYTES = 4194304, /* below: rings for few threads only */
    SMALL_TIER_THREADS = 2,
};

static const uint64_t bytes_max_default = UINT64_C(64) << 20;
static const uint64_t shard_bytes_max = UINT64_C(15) << 30;

static uint32_t cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > SHARDS_MAX ? SHARDS_MAX : (uint32_t)count;
}

/* A few for each processor, but none small. */
static uint32_t default_shards(uint64_t bytes_max, uint64_t reserve)
{
    uint32_t shards = 1;
    while (
        (shards < cpu_count() * SHARDS_PER_CPU && bytes_max / (shards * 2) > SPACE_SMALL_SHARD) ||
        (reserve / shards > shard_bytes_max && shards < SHARDS_MAX)) {
        shards *= 2;
    }
    return shards;
}

/* What the numbers of the options mean. */
typedef struct layout {
    uint64_t bytes_max;
    uint64_t reserve;
    uint32_t shards;
    uint32_t threads;
    uint32_t regions;
    uint32_t shards_per_region;
    uint32_t chunks_per_shard;
    size_t shards_at, readers_at, rings_at, regions_at, block_bytes;
    space_classes classes;
} layout;

static size_t align_line(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static void place_parts(layout *l)
{
    l->shards_at = align_line(sizeof(memory_tier));
    l->readers_at = l->shards_at + l->shards * sizeof(memory_shard) + sizeof(memory_reader);
    l->rings_at = l->readers_at + (l->threads + 1) * sizeof(memory_reader);
    l->regions_at = l->rings_at + (size_t)l->threads * l->shards * sizeof(hits_ring);
    l->block_bytes = align_line(l->regions_at + l->regions * sizeof(space_region));
}

static brisk_err choose_layout(const brisk_memory_tier_opts *opts, layout *ret)
{
    layout l = {.bytes_max = opts->bytes_max != 0 ? opts->bytes_max : bytes_max_default};
    l.reserve = opts->bytes_reserve > l.bytes_max ? opts->bytes_reserve : l.bytes_max;
    l.shards = opts->shards != 0 ? opts->shards : default_shards(l.bytes_max, l.reserve);
    if ((l.shards & (l.shards - 1)) != 0 || l.shards > SHARDS_MAX) {
        return BRISK_ERR_INVALID;
    }
    l.threads = l.bytes_max / l.shards < SMALL_TIER_BYTES ? (uint32_t)SMALL_TIER_THREADS
                                                          : cpu_count() * THREADS_PER_CPU;
    l.threads = l.threads < MEMORY_THREADS_MAX ? l.threads : MEMORY_THREADS_MAX;
    space_choose_classes(l.bytes_max / l.shards, &l.classes);
    uint64_t shard_bytes = l.reserve / l.shards;
    shard_bytes = shard_bytes < shard_bytes_max ? shard_bytes : shard_bytes_max;
    uint64_t chunks = shard_bytes / l.classes.chunk_bytes + 1;
    uint64_t ids = (uint64_t)POLICY_IDS_MAX >> l.classes.id_shift;
    l.chunks_per_shard = (uint32_t)(chunks < ids ? chunks : ids);
    uint64_t each = (uint64_t)l.chunks_per_shard * l.classes.chunk_bytes;
    l.shards_per_region = (uint32_t)((SPACE_REGION_MAX - SPACE_CHUNK_BYTES_MAX) / each);
    l.shards_per_region = l.shards_per_region < l.shards ? l.shards_per_region : l.shards;
    l.regions = (l.shards + l.shards_per_region - 1) / l.shards_per_region;
    place_parts(&l);
    *ret = l;
    return BRISK_OK;
}

static memory_tier *new_tier(const brisk_alloc *alloc, const layout *l)
{
    unsigned char *block = alloc->acquire(alloc->ctx, l->block_bytes, _Alignof(memory_shard));
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0, l->block_bytes);
    void *parts[] = {block, block + l->shards_at, block + l->readers_at, block + l->rings_at,
                     block + l->regions_at};
    memory_tier *memory = parts[0];
    memory->shards = parts[1];
    memory->readers = parts[2];
    memory->rings = parts[3];
    memory->regions = parts[4];
    memory->shard_count = l->shards;
    memory->shard_mask = l->shards - 1;
    memory->recycles = alloc == brisk_alloc_libc();
    memory->thread_count = l->threads;
    memory->region_count = l->regions;
    memory->alloc = alloc;
    memory->block_bytes = l->block_bytes;
    memory->classes = l->classes;
    memory->bytes_max = l->bytes_max;
    memory->bytes_reserve = l->reserve;
    return memory;
}

void memory_free(memory_tier *memory, uint32_t shards)
{
    for (uint32_t i = 0; i < shards; i++) {
        shard_deinit(&memory->shards[i]);
    }
    for (uint32_t i = 0; i < memory->region_count; i++) {
        space_region_deinit(&memory->regions[i]);
    }
    brisk_hist_destroy(memory->hist);
    (void)pthread_mutex_destroy(&memory->hist_lock);
    memory_taps_free(memory);
    memory->alloc->release(memory->alloc->ctx, memory, memory->block_bytes, _Alignof(memory_shard));
}

/* Everything but the shards. */
static brisk_err make_tier(const layout *l, const brisk_alloc *alloc, memory_tier **ret)
{
    memory_tier *memory = new_tier(alloc, l);
    if (memory == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (pthread_mutex_init(&memory->hist_lock, NULL) != 0) {
        alloc->release(alloc->ctx, memory, memory->block_bytes, _Alignof(memory_shard));
        return BRISK_ERR_NOMEM;
    }
    brisk_hist_opts hist = {.precision_bits = HIST_PRECISION_BITS, .alloc = alloc};
    brisk_err err = brisk_hist_create(&hist, &memory->hist);
    uint64_t chunks = (uint64_t)l->shards_per_region * l->chunks_per_shard;
    for (uint32_t i = 0; err == BRISK_OK && i < l->regions; i++) {
        err = space_region_init(&memory->regions[i], &memory->classes, chunks, alloc);
    }
    if (err != BRISK_OK) {
        memory_free(memory, 0);
        return err;
    }
    *ret = memory;
    return BRISK_OK;
}

static brisk_err make_shards(memory_tier *memory, const layout *l, const policy_ops *policy,
                             const brisk_memory_tier_opts *opts)
{
    uint64_t bytes = memory_shard_bytes(memory, l->bytes_max);
    if (bytes < SHARD_BYTES_MIN) {
        return BRISK_ERR_INVALID;
    }
    for (uint32_t i = 0; i < memory->shard_count; i++) {
        shard_opts shard = {
            .bytes = bytes,
            .entries_max = memory_shard_entries(memory, opts->entries_max),
            .region = &memory->regions[i / l->shards_per_region],
            .classes = &memory->classes,
            .chunks_max = l->chunks_per_shard,
            .policy_ops = policy,
            .tier = opts,
            .alloc = memory->alloc,
            .rings = &memory->rings[i],
            .ring_stride = memory->shard_count,
            .ring_count = memory->thread_count,
            .number = i,
        };
        brisk_err err = shard_init(&memory->shards[i], &shard);
        if (err != BRISK_OK) {
            memory->shard_count = i; /* those that are to be ended */
            return err;
        }
    }
    return BRISK_OK;
}

/* The hit that suits the processor. */
static void choose_hit(memory_tier *memory)
{
    memory->base.ops = memory->recycles ? &memory_ops_plain : &memory_ops_slow;
    memory->read = memory_read_plain;
    memory->prefetch = memory_prefetch_plain;
    memory->batch = memory->recycles ? memory_batch_plain : memory_batch_slow;
#if MEMORY_HAS_WIDE
    if (memory->recycles && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2")) {
        memory->base.ops = &memory_ops_wide;
        memory->read = memory_read_wide;
        memory->prefetch = memory_prefetch_wide;
        memory->batch = memory_batch_wide;
    }
#endif
}

brisk_err brisk_memory_tier_create(const brisk_memory_tier_opts *opts, brisk_tier **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_memory_tier_opts defaults = {0};
    brisk_memory_tier_opts o = opts != NULL ? *opts : defaults;
    o.cold_after_ns = o.cold_after_ns != 0 ? o.cold_after_ns : MEMORY_COLD_AFTER_NS;
    const policy_ops *policy = policy_find(o.policy != NULL ? o.policy : MEMORY_POLICY_DEFAULT);
    layout l;
    memory_tier *memory = NULL;
    bool is_codec = o.cold_codec == BRISK_COLD_NONE || o.cold_codec == BRISK_COLD_LZ4 ||
                    o.cold_codec == BRISK_COLD_ZSTD;
    brisk_err err = policy != NULL && is_codec ? choose_layout(&o, &l) : BRISK_ERR_INVALID;
    if (err == BRISK_OK) {
        err = make_tier(&l, o.alloc != NULL ? o.alloc : brisk_alloc_libc(), &memory);
    }
    if (err != BRISK_OK) {
        return err;
    }
    memory->clock = o.clock;
    uint32_t shards = memory->shard_count;
    err = make_shards(memory, &l, policy, &o);
    if (err != BRISK_OK) {
        memory_free(memory, memory->shard_count == shards ? 0 : memory->shard_count);
        return err;
    }
    memory->base = (brisk_tier){.name = "memory", .flags = BRISK_TIER_FAST};
    choose_hit(memory);
    *ret = &memory->base;
    return BRISK_OK;
}
