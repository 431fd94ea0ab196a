/*
 * loader_entry.c -- what a loader adds to an entry, and when an entry is old.
 *
 * A tier knows one end of an entry's life, after which it is gone.  An answer that may be given
 * beyond its ttl has two: the tier gets the later one, and the end of the ttl goes in front of the
 * user's meta data:
 *
 *     0xb7 'L' 'd' 1 | end of ttl, 8 bytes, little endian | the user's
 *
 * Entries that have one end only have nothing added, except those whose user's meta data begins
 * with the four bytes above, so that an entry of the loader's is never misread.
 *
 * Early refresh (Vattani et al.): with x uniform in (0, 1], refresh when
 * now - cost * beta * ln(x) >= end.  -ln(x) is exponentially distributed with mean 1, which makes
 * the k-th of many askers refresh about when, on average, the load is done just before the end.
 * x comes from 53 random bits, so -ln(x) <= 36.8: an answer with more time left needs no draw.
 *
 * Times are the wall clock's, since entries outlive the process.  When it jumps back by d, an
 * answer lives up to d longer; differences are taken only where they are not negative.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "cache/loader_internal.h"

enum { MARK_BYTES = 4 };

static const unsigned char mark[MARK_BYTES] = {0xb7, 'L', 'd', 1};

#define LOG_MAX 36.8 /* more than 53 * ln(2) */

static bool begins_with_mark(const void *meta, uint32_t size)
{
    return size >= MARK_BYTES && memcmp(meta, mark, MARK_BYTES) == 0;
}

static uint64_t read_u64(const unsigned char *from)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) {
        value = value << 8 | from[i];
    }
    return value;
}

static void write_u64(unsigned char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        to[i] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* splitmix64's finalizer; source: S. Vigna, https://prng.di.unimi.it/splitmix64.c. */
static uint64_t draw(brisk_loader *loader)
{
    uint64_t n = atomic_fetch_add_explicit(&loader->draws, 1, memory_order_relaxed);
    uint64_t z = loader->opts.seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool is_due_early(brisk_loader *loader, uint64_t cost_ns, uint64_t left_ns)
{
    double scale = (double)cost_ns * loader->opts.refresh_beta;
    if (!(scale > 0) || (double)left_ns > scale * LOG_MAX) {
        return false;
    }
    double x = (double)((draw(loader) >> 11) + 1) * 0x1p-53;
    return (double)left_ns <= scale * -log(x);
}

/* Invalidated, and not gone: good for nothing but to be given instead of an error. */
static loader_age outdated(const brisk_loader *loader, const brisk_hit *hit)
{
    uint64_t end = hit->expires_at_ns;
    uint64_t now = end != 0 ? brisk_clock_wall_ns(loader->opts.clock) : 0;
    bool negative = (hit->flags & BRISK_ENTRY_NEGATIVE) != 0;
    bool good = end == 0 || now < end || now - end < loader->opts.stale_if_error_ns;
    return good && !negative ? LOADER_EXPIRED : LOADER_USELESS;
}

bool loader_entry_get_with(const brisk_loader *loader, const brisk_key *key,
                           const brisk_loader_call *call, brisk_hit *ret)
{
    const brisk_loader_opts *opts = &loader->opts;
    /* Far tiers are asked later, beside the load, unless there will be none. */
    bool far_too = opts->race_tiers == 0 || (call->flags & BRISK_CALL_CACHED) != 0;
    brisk_get_opts get = {
        .tiers = far_too ? opts->tiers : loader->near_tiers,
        .stale = (opts->flags & BRISK_LOADER_OUTDATED_IF_ERROR) != 0,
        .tags = call->tags,
        .tag_count = call->tag_count,
    };
    return brisk_cache_get_with(opts->cache, key, &get, ret);
}

loader_age loader_entry_judge(brisk_loader *loader, brisk_hit *hit)
{
    if (hit->meta_size >= BRISK_LOADER_META_BYTES && begins_with_mark(hit->meta, hit->meta_size)) {
        hit->expires_at_ns = read_u64(hit->meta + MARK_BYTES);
        hit->meta_size -= BRISK_LOADER_META_BYTES;
        memmove(hit->meta, hit->meta + BRISK_LOADER_META_BYTES, hit->meta_size);
    }
    uint64_t end = hit->expires_at_ns;
    if (hit->stale) {
        return outdated(loader, hit);
    }
    if (end == 0) {
        return LOADER_FRESH;
    }
    uint64_t now = brisk_clock_wall_ns(loader->opts.clock);
    bool negative = (hit->flags & BRISK_ENTRY_NEGATIVE) != 0;
    if (now < end) {
        return !negative && is_due_early(loader, hit->cost_ns, end - now) ? LOADER_EARLY
                                                                          : LOADER_FRESH;
    }
    if (!negative && now - end < loader->opts.stale_ns) {
        return LOADER_STALE;
    }
    if (!negative && now - end < loader->opts.stale_if_error_ns) {
        return LOADER_EXPIRED;
    }
    return LOADER_USELESS;
}

uint64_t loader_entry_end(const brisk_loader *loader, uint64_t ttl_ns)
{
    ttl_ns = ttl_ns != 0 ? ttl_ns : loader->opts.ttl_ns;
    return ttl_ns != 0 ? add(brisk_clock_wall_ns(loader->opts.clock), ttl_ns) : 0;
}

void loader_entry_store(brisk_loader *loader, const brisk_key *key, const brisk_hit *hit,
                        const brisk_entry_opts *opts)
{
    BRISK_ASSERT(hit->meta_size <= BRISK_LOAD_META_MAX);
    uint64_t stale = loader->opts.stale_ns > loader->opts.stale_if_error_ns
                         ? loader->opts.stale_ns
                         : loader->opts.stale_if_error_ns;
    uint64_t end = hit->expires_at_ns;
    unsigned char meta[BRISK_ENTRY_META_MAX];
    brisk_entry_opts entry = *opts;
    entry.flags = hit->flags;
    entry.cost_ns = hit->cost_ns;
    entry.expires_at_ns = end == 0 ? 0 : add(end, stale);
    entry.tiers = loader->opts.tiers;
    entry.meta = hit->meta;
    entry.meta_size = hit->meta_size;
    if (entry.expires_at_ns != end || begins_with_mark(hit->meta, hit->meta_size)) {
        memcpy(meta, mark, MARK_BYTES);
        write_u64(meta + MARK_BYTES, end);
        memcpy(meta + BRISK_LOADER_META_BYTES, hit->meta, hit->meta_size);
        entry.meta = meta;
        entry.meta_size += BRISK_LOADER_META_BYTES;
    }
    brisk_cache_put(loader->opts.cache, key, hit->value, &entry);
}

void loader_entry_store_none(brisk_loader *loader, const brisk_key *key,
                             const brisk_entry_opts *opts)
{
    uint64_t ttl = loader->opts.negative_ttl_ns;
    if (ttl == 0) {
        if (brisk_cache_remove(loader->opts.cache, key) == BRISK_OK) {
            return;
        }
        ttl = 1; /* a put replaces what could not be removed, or the tier is asked no more */
    }
    brisk_entry_opts entry = *opts;
    entry.flags |= BRISK_ENTRY_NEGATIVE;
    entry.meta = NULL;
    entry.meta_size = 0;
    entry.expires_at_ns = add(brisk_clock_wall_ns(loader->opts.clock), ttl);
    entry.tiers = loader->opts.tiers;
    brisk_cache_put(loader->opts.cache, key, loader->none, &entry);
}

/* Not the whole struct: most answers have a few bytes of meta data, or none. */
void loader_copy_hit(brisk_hit *to, const brisk_hit *from)
{
    to->value = brisk_value_ref(from->value);
    to->flags = from->flags;
    to->tier = from->tier;
    to->tier_name = from->tier_name;
    to->elapsed_ns = from->elapsed_ns;
    to->cost_ns = from->cost_ns;
    to->store_ns = from->store_ns;
    to->expires_at_ns = from->expires_at_ns;
    to->content = from->content;
    to->has_content = from->has_content;
    to->stale = from->stale;
    to->era = from->era;
    to->meta_size = from->meta_size;
    memcpy(to->meta, from->meta, from->meta_size);
}

void loader_drop_hit(brisk_hit *hit)
{
    brisk_value_unref(hit->value);
    hit->value = NULL;
}
