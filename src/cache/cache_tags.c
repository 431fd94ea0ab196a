/*
 * cache_tags.c -- what an entry comes from: sealed into its meta data, and judged on a hit.
 *
 * A tier keeps meta data and does not look at it.  Behind the user's, an entry with the flag TAGGED
 * has a trailer, read from its end:
 *
 *     slots, 3 bytes each | epoch 6 | table's id 4            | number of slots 1 | kind 1
 *     in a shared tier    | hash of the slots' counters 8 | 0 |
 *
 * Slots: one for each tag; for each key that the entry depends on, the key's slot, the slots of its
 * first bytes (generation_prefix.c) and everything that the key's own entry had in its trailer, so
 * that there is nothing to follow when something changes: the transitive closure goes with one
 * bump.  If the key is in no tier of this machine, what it depended on is not known: then the entry
 * has the slot ANY, which every bump of any slot bumps.  So does an entry with more slots than fit.
 *
 * Why inheriting is enough: let E depend on K, and K on X.  While K's entry stands, E has X's slot.
 * When K is stored anew with other dependencies, K's slot is bumped, and E is outdated.  K's trailer
 * is inherited even when K is outdated by now: then E is, too, unless its token is younger than
 * that, and so are the bumps that it has seen.  But an outdated entry may be one that a tier could
 * not forget, and K's latest one elsewhere: then what K comes from is not known either.
 *
 * Threads: any.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

enum {
    KIND_LOCAL = 0xb1,
    KIND_SHARED = 0xb2,
    SLOT_BYTES = 3,
    TAIL_BYTES = 12,
};

static_assert(CACHE_SLOTS_MAX * SLOT_BYTES + TAIL_BYTES <= CACHE_TRAILER_MAX, "trailers fit");
static_assert((GENERATION_ANY | GENERATION_KEY) < 1 << 24, "slots are three bytes");
static_assert((GENERATION_ANY & GENERATION_KEY) == 0 && GENERATION_KEY > GENERATION_ANY, "a flag");

static uint64_t read_bytes(const unsigned char *from, uint32_t count)
{
    uint64_t number = 0;
    for (uint32_t i = count; i-- > 0;) {
        number = number << 8 | from[i];
    }
    return number;
}

static unsigned char *write_bytes(unsigned char *to, uint64_t number, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        *to++ = (unsigned char)(number >> 8 * i);
    }
    return to;
}

bool cache_trailer_read(const unsigned char *meta, uint32_t meta_size, cache_trailer *ret)
{
    if (meta_size < TAIL_BYTES || meta_size > BRISK_TIER_META_MAX) {
        return false;
    }
    const unsigned char *tail = meta + meta_size - TAIL_BYTES;
    uint32_t count = tail[10];
    bool shared = tail[11] == KIND_SHARED;
    if ((!shared && tail[11] != KIND_LOCAL) || count > CACHE_SLOTS_MAX ||
        count * SLOT_BYTES > meta_size - TAIL_BYTES) {
        return false;
    }
    *ret = (cache_trailer){
        .slots = tail - count * SLOT_BYTES,
        .sum = read_bytes(tail, shared ? 8 : 6),
        .id = shared ? 0 : (uint32_t)read_bytes(tail + 6, 4),
        .count = count,
        .shared = shared,
    };
    return true;
}

uint32_t cache_trailer_slot(const cache_trailer *from, uint32_t index)
{
    uint32_t slot = (uint32_t)read_bytes(from->slots + index * SLOT_BYTES, SLOT_BYTES);
    return cache_slot_index(slot) <= GENERATION_ANY ? slot : UINT32_MAX;
}

/* --- judging -------------------------------------------------------------------------------- */

bool cache_tagged_current(const brisk_cache *cache, const brisk_entry_mark *mark)
{
    cache_trailer found;
    if (!cache_trailer_read(mark->meta, mark->meta_size, &found) || found.shared ||
        found.id != (uint32_t)cache->table->head->id ||
        found.sum >= atomic_load_explicit(&cache->table->head->epoch, memory_order_relaxed)) {
        return false;
    }
    for (uint32_t i = 0; i < found.count; i++) {
        uint32_t slot = cache_trailer_slot(&found, i);
        if (slot == UINT32_MAX ||
            generations_newer(cache->table, cache_slot_index(slot), found.sum)) {
            return false;
        }
    }
    return true;
}

bool brisk_cache_is_current(brisk_cache *cache, const brisk_key *key, const brisk_entry_mark *mark)
{
    return cache_is_current(cache, key, mark);
}

uint32_t brisk_entry_meta_size(const brisk_entry_mark *mark)
{
    cache_trailer found;
    if ((mark->flags & BRISK_ENTRY_TAGGED) == 0) {
        return mark->meta_size;
    }
    if (!cache_trailer_read(mark->meta, mark->meta_size, &found)) {
        return 0;
    }
    return (uint32_t)(found.slots - (const unsigned char *)mark->meta);
}

/* --- collecting ----------------------------------------------------------------------------- */

static void add_slot(cache_sources *sources, uint32_t slot)
{
    for (uint32_t i = 0; i < sources->count; i++) {
        if (cache_slot_index(sources->slots[i]) == cache_slot_index(slot)) {
            sources->slots[i] |= slot & GENERATION_KEY;
            return;
        }
    }
    if (sources->count < CACHE_SLOTS_MAX) {
        sources->slots[sources->count++] = slot;
    } else {
        sources->slots[CACHE_SLOTS_MAX - 1] = GENERATION_ANY; /* in place of all that do not fit */
    }
}

static void add_trailer(cache_sources *sources, const brisk_hit *hit)
{
    cache_trailer found;
    if (!cache_trailer_read(hit->meta, hit->meta_size, &found)) {
        add_slot(sources, GENERATION_ANY);
        return;
    }
    for (uint32_t i = 0; i < found.count; i++) {
        uint32_t slot = cache_trailer_slot(&found, i);
        add_slot(sources, slot != UINT32_MAX ? slot : GENERATION_ANY);
    }
}

bool cache_sources_of_hit(const brisk_hit *hit, cache_sources *ret)
{
    cache_trailer found;
    if (!cache_trailer_read(hit->meta, hit->meta_size, &found)) {
        return false;
    }
    *ret = (cache_sources){.token = found.sum << 16 | hit->era};
    add_trailer(ret, hit);
    return true;
}

/* What the key's own entry comes from. */
static void inherit(brisk_cache *cache, const brisk_key *key, cache_sources *sources)
{
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_slot *slot = &cache->slots[i];
        brisk_hit hit;
        hit.era = 0;
        if ((slot->tier->flags & (BRISK_TIER_SHARED | BRISK_TIER_KEYED)) != 0 ||
            cache_is_off(slot) || slot->tier->ops->get(slot->tier, key, &hit) != BRISK_OK) {
            continue;
        }
        brisk_entry_mark mark = {
            .flags = hit.flags, .meta_size = hit.meta_size, .meta = hit.meta, .era = hit.era};
        if ((hit.flags & BRISK_ENTRY_TAGGED) != 0) {
            add_trailer(sources, &hit);
        }
        if (!cache_is_current(cache, key, &mark)) {
            add_slot(sources, GENERATION_ANY); /* not the key's latest entry, perhaps */
        }
        brisk_value_unref(hit.value);
        return;
    }
    add_slot(sources, GENERATION_ANY);
}

static bool add_key(brisk_cache *cache, const brisk_key *key, bool is_name, cache_sources *sources)
{
    uint32_t levels[GENERATION_LEVELS];
    if (generations_arm(cache->table, key) != BRISK_OK) {
        return false;
    }
    add_slot(sources, generation_slot_of_key(key) | GENERATION_KEY);
    uint32_t count = generation_levels_of_key(key, levels);
    for (uint32_t i = 0; i < count; i++) {
        add_slot(sources, levels[i]);
    }
    if (!is_name) {
        inherit(cache, key, sources);
    }
    return true;
}

bool cache_sources_collect(brisk_cache *cache, const brisk_entry_opts *opts, cache_sources *ret)
{
    BRISK_ASSERT(opts->tag_count <= BRISK_TAGS_MAX && opts->depends_count <= BRISK_TAGS_MAX);
    bool tagged = opts->tag_count + opts->depends_count != 0;
    ret->count = 0;
    ret->given = opts->as_of != 0;
    ret->token = opts->as_of;
    if (!ret->given) {
        ret->token =
            tagged ? generations_token(cache->table) : (uint16_t)generations_eras(cache->table);
    }
    if (!tagged) {
        return true;
    }
    if (generations_mark(cache->table) != BRISK_OK) {
        return false;
    }
    for (uint32_t i = 0; i < opts->tag_count; i++) {
        add_slot(ret, generation_slot_of_tag(opts->tags[i].bytes, opts->tags[i].size));
    }
    bool are_names = (opts->depends_flags & BRISK_DEPENDS_NAMES) != 0;
    for (uint32_t i = 0; i < opts->depends_count; i++) {
        if (!add_key(cache, &opts->depends_on[i], are_names, ret)) {
            return false;
        }
    }
    return true;
}

bool cache_sources_current(const brisk_cache *cache, const brisk_key *key,
                           const cache_sources *sources)
{
    uint64_t epoch = generation_token_epoch(sources->token);
    uint16_t era = generation_token_era(sources->token);
    if (sources->given && generations_key_newer(cache->table, key, epoch)) {
        return false;
    }
    for (uint32_t i = 0; i < sources->count; i++) {
        if (generations_newer(cache->table, cache_slot_index(sources->slots[i]), epoch)) {
            return false;
        }
    }
    return !generations_prefix_newer(cache->table, key, era);
}

/* --- sealing -------------------------------------------------------------------------------- */

/* The user's options, and `meta` with room for a trailer: where that begins, or NULL: none. */
static unsigned char *seal_begin(const brisk_entry_opts *opts, const cache_sources *sources,
                                 brisk_sealed *ret)
{
    BRISK_ASSERT(opts->meta_size <= BRISK_ENTRY_META_MAX);
    ret->opts = (brisk_entry_opts){
        .flags = opts->flags & ~(uint32_t)BRISK_ENTRY_TAGGED,
        .meta = opts->meta,
        .meta_size = opts->meta_size,
        .cost_ns = opts->cost_ns,
        .expires_at_ns = opts->expires_at_ns,
        .tiers = opts->tiers,
        .era = generation_token_era(sources->token),
    };
    if (sources->count == 0) {
        return NULL;
    }
    unsigned char *at = ret->meta;
    if (opts->meta_size != 0) {
        memcpy(at, opts->meta, opts->meta_size);
        at += opts->meta_size;
    }
    for (uint32_t i = 0; i < sources->count; i++) {
        at = write_bytes(at, sources->slots[i], SLOT_BYTES);
    }
    return at;
}

static void seal_end(const cache_sources *sources, unsigned char *at, int kind, brisk_sealed *ret)
{
    *at++ = (unsigned char)sources->count;
    *at++ = (unsigned char)kind;
    ret->opts.flags |= BRISK_ENTRY_TAGGED;
    ret->opts.meta = ret->meta;
    ret->opts.meta_size = (uint32_t)(at - ret->meta);
}

void cache_seal_local(const brisk_cache *cache, const brisk_entry_opts *opts,
                      const cache_sources *sources, brisk_sealed *ret)
{
    unsigned char *at = seal_begin(opts, sources, ret);
    if (at != NULL) {
        at = write_bytes(at, generation_token_epoch(sources->token), 6);
        at = write_bytes(at, cache->table->head->id, 4);
        seal_end(sources, at, KIND_LOCAL, ret);
    }
}

void cache_seal_with(const brisk_entry_opts *opts, const cache_sources *sources, uint64_t sum,
                     brisk_sealed *ret)
{
    unsigned char *at = seal_begin(opts, sources, ret);
    if (at != NULL) {
        at = write_bytes(at, sum, 8);
        at = write_bytes(at, 0, 2);
        seal_end(sources, at, KIND_SHARED, ret);
    }
}

bool brisk_cache_seal(brisk_cache *cache, const brisk_key *key, const brisk_entry_opts *opts,
                      brisk_sealed *ret)
{
    static const brisk_entry_opts none = {0};
    opts = opts != NULL ? opts : &none;
    cache_sources sources;
    if (!cache_sources_collect(cache, opts, &sources)) {
        return false;
    }
    cache_seal_local(cache, opts, &sources, ret);
    return cache_sources_current(cache, key, &sources);
}

/* --- changes -------------------------------------------------------------------------------- */

uint64_t brisk_cache_epoch(brisk_cache *cache)
{
    return generations_token(cache->table);
}

static_assert(sizeof(brisk_change) >= sizeof(generation_change), "a change fits into its ticket");

brisk_change brisk_cache_change_begin(brisk_cache *cache, const brisk_key *key)
{
    generation_change change = generations_change_begin(cache->table, key);
    return (brisk_change)(1u | (change.slotted ? 2u : 0));
}

void brisk_cache_change_end(brisk_cache *cache, const brisk_key *key, brisk_change change)
{
    generations_ring_tell(cache->table, key);
    generations_change_end(
        cache->table, key,
        (generation_change){.stamped = (change & 1) != 0, .slotted = (change & 2) != 0});
}
