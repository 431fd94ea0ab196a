/*
 * cache_shared.c -- invalidation in tiers that other machines share.
 *
 * Tags and depended-on keys fall into the same slots on every machine, and a shared tier keeps a
 * counter for each slot that was ever bumped, and shows it in a view that lags by a second at most.
 * An entry in it carries its slots and a hash of their counters; it is current while the view gives
 * the same hash.  Prefixes are as here, with eras of the tier's own, in a table of its own
 * (slot->view.table) that is told by the tier.
 *
 * What others bump is told to this machine's generations too, so that its own tiers follow.  The
 * tier tells first and shows in the view afterwards.  So at a put: view first, then the check of
 * this machine's slots against the token; whoever finds the new counter in the view finds the bump
 * here, and the value, begun before, is not stored.
 *
 *     put     hash of the view's counters; check the sources; store
 *     get     token; ask the tier; hash of the view's counters; then it is promoted under the token
 *
 * A change of a key bumps its slot in the tier only when its counter is not 0, that is, when somebody
 * made an entry depend on it.  Whoever does that first bumps it from 0, and does not store the entry
 * this time, since changes before that told nobody.
 *
 * A tier that was not asked to forget cannot be believed: bumps that fail are kept with the keys
 * that it missed (cache_breaker.c).  A shared tier without counters keeps no entry with tags, and
 * is emptied when a prefix is invalidated.
 *
 * A KEYED tier cannot forget at all.  It is given other keys instead: behind the key's bytes stand
 * 16 digits, a hash of the generations of the key, of its first bytes and of the entry's tags, as
 * the nearest shared tier counts them, or this machine.  A get must name the same tags.
 *
 * Threads: any.
 */
#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/cache_parts.h"

#define SUM_SEED UINT64_C(0x73756d73)

static bool has_view(const cache_slot *slot)
{
    return slot->view.table != NULL;
}

/* The hash of the counters that the view shows for these slots. */
static brisk_err sum_of(const cache_slot *slot, const uint32_t *slots, uint32_t count,
                        uint64_t *ret)
{
    enum { COUNT_MAX = CACHE_SLOTS_MAX + GENERATION_LEVELS + 1 + BRISK_TAGS_MAX };
    uint64_t counters[COUNT_MAX];
    uint32_t indexes[COUNT_MAX];
    BRISK_ASSERT(count <= COUNT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        indexes[i] = cache_slot_index(slots[i]);
    }
    if (count == 0) {
        *ret = 0;
        return BRISK_OK;
    }
    brisk_err err = slot->tier->ops->generations(slot->tier, indexes, count, counters);
    if (err == BRISK_OK) {
        *ret = brisk_hash64(counters, count * sizeof counters[0], SUM_SEED);
    }
    return err;
}

static brisk_err counter_of(const cache_slot *slot, uint32_t index, uint64_t *ret)
{
    return slot->tier->ops->generations(slot->tier, &index, 1, ret);
}

/* --- what the tier tells -------------------------------------------------------------------- */

/* The key is somebody else's now: out of the tiers above. */
static void forget_above(brisk_cache *cache, uint32_t below, const brisk_key *key)
{
    cache_stripe *stripe = cache_stripe_of(cache, key);
    cache_stripe_lock(stripe);
    generation_change change = generations_change_begin(cache->table, key);
    cache_write write = {.key = key};
    for (uint32_t i = below; i-- > 0;) {
        cache_write_tier(cache, i, &write);
    }
    cache_stripe_change(stripe);
    generations_change_end(cache->table, key, change);
    cache_stripe_unlock(stripe);
    cache_count(&cache->foreign_changes);
}

static void invalidate_here(brisk_cache *cache, generation_name name)
{
    generation_era era;
    cache_warn_power(generations_invalidate(cache->table, name, &era));
    cache_purge_if(cache, era);
}

/* How many eras `to` is after `from`; negative: before. */
static int era_distance(uint32_t from, uint32_t to)
{
    return (int16_t)(uint16_t)(to - from);
}

/*
 * The prefix began `era` in the tier.  What is stored under an era has seen all invalidations before
 * it; so if some before this one were not told yet, everything that is being computed now is
 * outdated, to be sure.
 */
static void follow_prefix(cache_view *view, generation_name name, uint16_t era, bool is_news)
{
    (void)pthread_mutex_lock(&view->lock);
    int distance = era_distance(atomic_load_explicit(&view->era, memory_order_relaxed), era);
    generations_learn(view->table, name, era);
    if (is_news && distance > 1) {
        name.size = 0;
    }
    if (is_news) {
        invalidate_here(view->cache, name);
    }
    if (distance > 0) {
        atomic_store_explicit(&view->era, era, memory_order_release);
    }
    (void)pthread_mutex_unlock(&view->lock);
}

static void on_bump(void *ctx, const brisk_bump *bump)
{
    cache_view *view = ctx;
    brisk_cache *cache = view->cache;
    bool is_news = bump->token == 0 || bump->token > view->since;
    generation_name name = {.size = bump->prefix_size, .hash = bump->prefix_hash};
    switch (bump->kind) {
    case BRISK_BUMP_SLOT:
        if (bump->slot < BRISK_GENERATION_SLOTS && is_news) {
            cache_warn_power(generations_mark(cache->table));
            generations_bump(cache->table, bump->slot);
        }
        break;
    case BRISK_BUMP_PREFIX:
        if (name.size > BRISK_KEY_BYTES_MAX) {
            name.size = 0;
        }
        follow_prefix(view, name, bump->era, is_news);
        break;
    case BRISK_BUMP_KEY: forget_above(cache, view->index, bump->key); break;
    case BRISK_BUMP_ALL:
        if (is_news) {
            (void)generations_everything(view->table);
            invalidate_here(cache, (generation_name){.size = 0});
        }
        break;
    default: break;
    }
    if (is_news && bump->token != 0) {
        generations_see(cache->table, cache->slots[view->index].tier->name, bump->token);
    }
}

brisk_err cache_view_open(brisk_cache *cache, uint32_t index)
{
    cache_slot *slot = &cache->slots[index];
    const brisk_tier_ops *ops = slot->tier->ops;
    if ((slot->tier->flags & BRISK_TIER_SHARED) == 0 || ops->generations == NULL ||
        ops->bump == NULL) {
        return BRISK_OK;
    }
    brisk_err err = generations_create(cache->alloc, &slot->view.table);
    if (err != BRISK_OK) {
        return err;
    }
    /* The tier counts prefixes from 0. */
    atomic_store_explicit(&slot->view.table->head->eras, 0, memory_order_relaxed);
    int failed = pthread_mutex_init(&slot->view.lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    slot->view.cache = cache;
    slot->view.index = index;
    slot->view.since = generations_seen(cache->table, slot->tier->name);
    if (ops->listen != NULL) {
        ops->listen(slot->tier, on_bump, &slot->view, slot->view.since);
    }
    return BRISK_OK;
}

void cache_view_close(cache_slot *slot)
{
    if (has_view(slot)) {
        if (slot->tier->ops->listen != NULL) {
            slot->tier->ops->listen(slot->tier, NULL, NULL, 0);
        }
        (void)pthread_mutex_destroy(&slot->view.lock);
        generations_close(slot->view.table);
        slot->view.table = NULL;
    }
}

/* --- sealing and judging -------------------------------------------------------------------- */

static bool has_any(const cache_sources *sources)
{
    for (uint32_t i = 0; i < sources->count; i++) {
        if (cache_slot_index(sources->slots[i]) == GENERATION_ANY) {
            return true;
        }
    }
    return false;
}

/* See that changes of the keys will bump their slots.  False: until now they did not. */
static bool arm_shared(brisk_cache *cache, cache_slot *slot, const cache_sources *sources)
{
    bool armed = true;
    for (uint32_t i = 0; i < sources->count; i++) {
        uint32_t index = cache_slot_index(sources->slots[i]);
        uint64_t counter = 0;
        if (index == sources->slots[i]) {
            continue; /* a tag's: always bumped */
        }
        if (counter_of(slot, index, &counter) != BRISK_OK) {
            return false;
        }
        if (counter == 0) {
            /* Changing meanwhile: the view shows bumps by others then, perhaps untold ones. */
            brisk_bump bump = {.kind = BRISK_BUMP_SLOT, .slot = index};
            generations_slot_begin(cache->table, index);
            (void)slot->tier->ops->bump(slot->tier, &bump); /* if not, then next time */
            bool alone = counter_of(slot, index, &counter) == BRISK_OK && counter <= 1;
            generations_slot_end(cache->table, index, !alone);
            armed = false;
        }
    }
    return armed;
}

bool cache_seal_shared(brisk_cache *cache, cache_slot *slot, cache_write *write, brisk_sealed *ret)
{
    const cache_sources *sources = write->sources;
    if (!has_view(slot)) {
        cache_seal_with(write->opts, sources, 0, ret);
        ret->opts.era = 0;
        return sources->count == 0;
    }
    uint64_t sum = 0;
    uint32_t era = atomic_load_explicit(&slot->view.era, memory_order_acquire);
    if (has_any(sources) || !arm_shared(cache, slot, sources) ||
        sum_of(slot, sources->slots, sources->count, &sum) != BRISK_OK) {
        return false;
    }
    cache_seal_with(write->opts, sources, sum, ret);
    ret->opts.era = (uint16_t)era;
    /* After the view: see above. */
    return cache_sources_current(cache, write->key, sources);
}

bool cache_shared_current(const cache_slot *slot, const brisk_key *key, const brisk_hit *hit,
                          struct cache_sources *ret)
{
    bool tagged = (hit->flags & BRISK_ENTRY_TAGGED) != 0;
    uint64_t token = ret->token;
    if (!has_view(slot)) {
        return !tagged;
    }
    if (generations_prefix_newer(slot->view.table, key, hit->era)) {
        return false;
    }
    if (!tagged) {
        return true;
    }
    cache_trailer found;
    uint64_t sum = 0;
    if (!cache_trailer_read(hit->meta, hit->meta_size, &found) || !found.shared ||
        !cache_sources_of_hit(hit, ret) || has_any(ret) || ret->count != found.count) {
        return false;
    }
    ret->token = token;
    return sum_of(slot, ret->slots, ret->count, &sum) == BRISK_OK && sum == found.sum;
}

/* --- telling -------------------------------------------------------------------------------- */

/* Our own prefix is in the tier: under what era, the view says, or under one before that. */
static void follow_own(cache_slot *slot, const brisk_bump *bump)
{
    uint64_t era;
    generation_name name = {.size = bump->prefix_size, .hash = bump->prefix_hash};
    if (counter_of(slot, BRISK_GENERATION_ERA, &era) == BRISK_OK) {
        follow_prefix(&slot->view, name, (uint16_t)era, true);
    }
}

/*
 * After our bump the view shows the slot's counter, and with it bumps by others that we were not
 * told yet.  So the slot is changing here meanwhile, and bumped afterwards.
 */
brisk_err cache_call_bump(brisk_cache *cache, cache_slot *slot, const brisk_bump *bump)
{
    bool is_slot = bump->kind == BRISK_BUMP_SLOT;
    if (is_slot) {
        generations_slot_begin(cache->table, bump->slot);
    }
    uint64_t begin = brisk_clock_now_ns(cache->clock);
    brisk_err err = slot->tier->ops->bump(slot->tier, bump);
    cache_outcome(cache, slot, err, brisk_clock_now_ns(cache->clock) - begin, false);
    if (is_slot) {
        generations_slot_end(cache->table, bump->slot, true);
    } else if (err == BRISK_OK && bump->kind == BRISK_BUMP_PREFIX) {
        follow_own(slot, bump);
    }
    return err;
}

static brisk_err bump_one(brisk_cache *cache, cache_slot *slot, const brisk_bump *bump)
{
    if (!cache_admit(cache, slot, false)) {
        cache_miss_bump(cache, slot, bump);
        return BRISK_ERR_IO;
    }
    brisk_err err = cache_call_bump(cache, slot, bump);
    if (err != BRISK_OK) {
        cache_note_fault(slot, "invalidation", err);
        cache_miss_bump(cache, slot, bump);
    }
    return err;
}

brisk_err cache_bump_shared(brisk_cache *cache, const brisk_bump *bump)
{
    brisk_err first = BRISK_OK;
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_slot *slot = &cache->slots[i];
        if (has_view(slot) && !cache_is_off(slot)) {
            brisk_err err = bump_one(cache, slot, bump);
            first = first == BRISK_OK ? err : first;
        }
    }
    return first;
}

brisk_err cache_clear_blind(brisk_cache *cache)
{
    brisk_err first = BRISK_OK;
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        cache_slot *slot = &cache->slots[i];
        uint32_t flags = slot->tier->flags & (BRISK_TIER_SHARED | BRISK_TIER_KEYED);
        if (flags != BRISK_TIER_SHARED || has_view(slot) || cache_is_off(slot)) {
            continue;
        }
        brisk_err err =
            cache_admit(cache, slot, false) ? slot->tier->ops->clear(slot->tier) : BRISK_ERR_IO;
        if (err != BRISK_OK) {
            cache_note_fault(slot, "clear", err);
            cache_miss_failed(cache, slot, NULL);
            first = first == BRISK_OK ? err : first;
        }
    }
    return first;
}

void cache_bump_key(brisk_cache *cache, cache_slot *slot, const brisk_key *key)
{
    uint64_t counter = 0;
    brisk_bump bump = {.kind = BRISK_BUMP_SLOT, .slot = generation_slot_of_key(key)};
    if (has_view(slot) && (counter_of(slot, bump.slot, &counter) != BRISK_OK || counter != 0)) {
        /* Here, too: an entry that came from the tier may depend on a key that is not armed here. */
        cache_warn_power(generations_mark(cache->table));
        generations_bump(cache->table, bump.slot);
        (void)bump_one(cache, slot, &bump);
    }
}

/* --- keyed tiers ---------------------------------------------------------------------------- */

/* Whoever counts the generations: the nearest shared tier that does, or this machine. */
static bool keyed_sum(const brisk_cache *cache, const uint32_t *slots, uint32_t count,
                      uint64_t *ret)
{
    for (uint32_t i = 0; i < cache->tier_count; i++) {
        if (has_view(&cache->slots[i])) {
            return sum_of(&cache->slots[i], slots, count, ret) == BRISK_OK;
        }
    }
    uint64_t sum = SUM_SEED;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t epoch = generations_epoch_of(cache->table, slots[i]);
        sum = brisk_hash64(&epoch, sizeof epoch, sum);
    }
    *ret = sum;
    return true;
}

bool cache_keyed(brisk_cache *cache, const brisk_key *key, const brisk_tag *tags,
                 uint32_t tag_count, void *bytes, brisk_key *ret)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t slots[GENERATION_LEVELS + 1 + BRISK_TAGS_MAX];
    uint64_t sum = 0;
    if (key->size > BRISK_KEY_BYTES_MAX - CACHE_KEYED_EXTRA || tag_count > BRISK_TAGS_MAX) {
        return false;
    }
    uint32_t count = generation_levels_of_key(key, slots);
    slots[count++] = generation_slot_of_key(key);
    for (uint32_t i = 0; i < tag_count; i++) {
        slots[count++] = generation_slot_of_tag(tags[i].bytes, tags[i].size);
    }
    if (!keyed_sum(cache, slots, count, &sum)) {
        return false;
    }
    char *to = bytes;
    memcpy(to, key->bytes, key->size);
    to += key->size;
    *to++ = '\0';
    for (uint32_t shift = 64; shift != 0; shift -= 4) {
        *to++ = digits[sum >> (shift - 4) & 15];
    }
    *ret = brisk_key_of(bytes, key->size + CACHE_KEYED_EXTRA);
    return true;
}
