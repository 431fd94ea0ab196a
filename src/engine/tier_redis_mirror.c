/*
 * tier_redis_mirror.c -- counters and prefixes as this machine knows them, and what it hears.
 *
 * Values are only ever raised, so that hearing, reading and bumping may overlap in any order.
 * Everything that comes over the channel may be garbage: it is read strictly, and what is not
 * right is counted and otherwise ignored.
 */
#include "engine/tier_redis_mirror.h"

#include <string.h>

#include "base/assert.h"

enum { PREFIXES_MAX = 1 << 17, AHEAD_MAX = 4096 };

void redis_events_lock(redis_events *events)
{
    int failed = pthread_mutex_lock(&events->lock);
    BRISK_ASSERT(failed == 0);
}

void redis_events_unlock(redis_events *events)
{
    int failed = pthread_mutex_unlock(&events->lock);
    BRISK_ASSERT(failed == 0);
}

uint64_t redis_mirror_read(const redis_events *events, uint32_t index)
{
    return atomic_load_explicit(&events->counters[index], memory_order_acquire);
}

/* Values only grow.  True: it did. */
bool redis_mirror_raise(redis_events *events, uint32_t index, uint64_t value)
{
    uint64_t old = redis_mirror_read(events, index);
    while (old < value) {
        /* Release: who sees the new generation sees what the listener did before. */
        if (atomic_compare_exchange_weak_explicit(&events->counters[index], &old, value,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            return true;
        }
    }
    return false;
}

void redis_events_tell(redis_events *events, const brisk_bump *bump)
{
    (void)pthread_mutex_lock(&events->tell_lock);
    if (events->fn != NULL &&
        (bump->kind == BRISK_BUMP_PREFIX || bump->token == 0 || bump->token > events->told_to)) {
        events->fn(events->fn_ctx, bump);
    }
    (void)pthread_mutex_unlock(&events->tell_lock);
}

bool redis_events_stopping(redis_events *events)
{
    redis_events_lock(events);
    bool stop = events->stop;
    redis_events_unlock(events);
    return stop;
}

/* --- prefixes ----------------------------------------------------------------------------- */

/* Under lock. */
static bool add_prefix(redis_events *events, const redis_prefix *prefix)
{
    if (events->prefixes.count == PREFIXES_MAX) {
        return false;
    }
    return BRISK_VEC_PUSH(&events->prefixes, *prefix);
}

/* False: it was known with that era or a later one. */
bool redis_mirror_prefix(redis_events *events, const redis_prefix *prefix)
{
    bool news = true;
    bool kept = true;
    redis_events_lock(events);
    size_t i = 0;
    while (i < events->prefixes.count && (events->prefixes.items[i].hash != prefix->hash ||
                                          events->prefixes.items[i].size != prefix->size)) {
        i++;
    }
    if (i < events->prefixes.count) {
        /* Eras turn: a later one is less than half a turn ahead. */
        news = (int16_t)(prefix->era - events->prefixes.items[i].era) > 0;
        events->prefixes.items[i] = news ? *prefix : events->prefixes.items[i];
    } else {
        kept = add_prefix(events, prefix);
    }
    redis_events_unlock(events);
    if (!kept) { /* whoever listens later would not be told: so tell of everything now */
        redis_events_tell(events, &(brisk_bump){.kind = BRISK_BUMP_ALL, .token = prefix->number});
    }
    return news;
}

brisk_bump redis_bump_of(const redis_prefix *prefix)
{
    return (brisk_bump){.kind = BRISK_BUMP_PREFIX,
                        .prefix_size = prefix->size,
                        .prefix_hash = prefix->hash,
                        .era = prefix->era,
                        .token = prefix->number};
}

void redis_mirror_forget(redis_events *events)
{
    redis_events_lock(events);
    events->prefixes.count = 0;
    redis_events_unlock(events);
}

/* --- messages ----------------------------------------------------------------------------- */

/* The next word as a number; *text moves behind it and the blank. */
bool redis_take_number(resp_bytes *text, int base, uint64_t *ret)
{
    char digits[REDIS_COUNTER_TEXT];
    const unsigned char *blank = memchr(text->data, ' ', text->size);
    size_t size = blank != NULL ? (size_t)(blank - text->data) : text->size;
    if (size == 0 || size >= sizeof digits) {
        return false;
    }
    memcpy(digits, text->data, size);
    digits[size] = '\0';
    if (strspn(digits, base == 16 ? "0123456789abcdef" : "0123456789") != size) {
        return false;
    }
    *ret = strtoull(digits, NULL, base);
    size_t used = size + (blank != NULL ? 1 : 0);
    text->data += used;
    text->size -= used;
    return true;
}

/* Those that follow `base` without a gap are no longer ahead. */
static void close_gap(redis_events *events)
{
    size_t done = 0;
    while (done < events->ahead.count && events->ahead.items[done] <= events->base + 1) {
        uint64_t number = events->ahead.items[done++];
        events->base = number > events->base ? number : events->base;
    }
    events->ahead.count -= done;
    memmove(events->ahead.items, events->ahead.items + done,
            events->ahead.count * sizeof *events->ahead.items);
}

/* Into its place; one that finds none is a gap for ever, which a beat notices.  The newest are kept:
 * those that are still to come when everything is read. */
static void keep_ahead(redis_events *events, uint64_t number)
{
    size_t at = events->ahead.count;
    while (at > 0 && events->ahead.items[at - 1] > number) {
        at--;
    }
    bool twice = at > 0 && events->ahead.items[at - 1] == number;
    if (twice) {
        return;
    }
    if (events->ahead.count >= AHEAD_MAX) {
        if (at != 0) {
            memmove(events->ahead.items, events->ahead.items + 1,
                    (at - 1) * sizeof *events->ahead.items);
            events->ahead.items[at - 1] = number;
        }
        return;
    }
    if (!BRISK_VEC_PUSH(&events->ahead, number)) {
        return;
    }
    memmove(events->ahead.items + at + 1, events->ahead.items + at,
            (events->ahead.count - 1 - at) * sizeof *events->ahead.items);
    events->ahead.items[at] = number;
}

void redis_events_count(redis_events *events, uint64_t number)
{
    redis_events_lock(events);
    events->known = number > events->known ? number : events->known;
    if (number == events->base + 1) {
        events->base = number;
        if (events->ahead.count != 0) {
            close_gap(events);
        }
    } else if (number > events->base) {
        keep_ahead(events, number);
    }
    redis_events_unlock(events);
}

void redis_events_count_to(redis_events *events, uint64_t number, bool anew)
{
    redis_events_lock(events);
    if (anew || number > events->base) { /* others counted meanwhile, perhaps */
        events->base = number;
    }
    events->ahead.count = anew ? 0 : events->ahead.count;
    if (events->ahead.count != 0) {
        close_gap(events);
    }
    redis_events_unlock(events);
}

/* Told even when the mirror is further already: what we bumped ourselves came after that change,
 * but whoever put an entry here may not have seen it. */
static bool hear_slot(redis_events *events, resp_bytes text)
{
    uint64_t slot;
    uint64_t value;
    uint64_t number;
    if (!redis_take_number(&text, 10, &slot) || !redis_take_number(&text, 10, &value) ||
        !redis_take_number(&text, 10, &number) || slot >= BRISK_GENERATION_SLOTS) {
        return false;
    }
    redis_events_tell(
        events, &(brisk_bump){.kind = BRISK_BUMP_SLOT, .slot = (uint32_t)slot, .token = number});
    (void)redis_mirror_raise(events, (uint32_t)slot, value);
    redis_events_count(events, number);
    return true;
}

static bool hear_prefix(redis_events *events, resp_bytes text)
{
    uint64_t size;
    uint64_t hash;
    uint64_t era;
    uint64_t number;
    if (!redis_take_number(&text, 10, &size) || !redis_take_number(&text, 16, &hash) ||
        !redis_take_number(&text, 10, &era) || !redis_take_number(&text, 10, &number) ||
        size > BRISK_KEY_BYTES_MAX) {
        return false;
    }
    redis_prefix prefix = {
        .hash = hash, .number = number, .size = (uint32_t)size, .era = (uint16_t)era};
    (void)redis_mirror_prefix(events, &prefix);
    brisk_bump bump = redis_bump_of(&prefix);
    redis_events_tell(events, &bump);
    (void)redis_mirror_raise(events, COUNTER_ERA, era);
    redis_events_count(events, number);
    return true;
}

static bool hear_clear(redis_events *events, resp_bytes text)
{
    uint64_t value;
    uint64_t number;
    if (!redis_take_number(&text, 10, &value) || !redis_take_number(&text, 10, &number)) {
        return false;
    }
    redis_events_tell(events, &(brisk_bump){.kind = BRISK_BUMP_ALL, .token = number});
    (void)redis_mirror_raise(events, COUNTER_CLEAR, value);
    redis_mirror_forget(events);
    redis_events_count(events, number);
    return true;
}

static bool hear_key(redis_events *events, resp_bytes text)
{
    uint64_t number;
    if (!redis_take_number(&text, 10, &number) || text.size == 0 ||
        text.size > BRISK_KEY_BYTES_MAX) {
        return false;
    }
    brisk_key key = brisk_key_of(text.data, text.size);
    redis_events_tell(events, &(brisk_bump){.kind = BRISK_BUMP_KEY, .key = &key, .token = number});
    redis_events_count(events, number);
    return true;
}

/* "<who> S ..." */
void redis_events_hear(redis_events *events, resp_bytes text)
{
    bool good = text.size > REDIS_WHO_BYTES + 3 && text.data[REDIS_WHO_BYTES] == ' ' &&
                text.data[REDIS_WHO_BYTES + 2] == ' ';
    if (good && memcmp(text.data, events->who, REDIS_WHO_BYTES) == 0) {
        return; /* our own */
    }
    if (good) {
        resp_bytes rest = {text.data + REDIS_WHO_BYTES + 3, text.size - REDIS_WHO_BYTES - 3};
        switch (text.data[REDIS_WHO_BYTES + 1]) {
        case 'S': good = hear_slot(events, rest); break;
        case 'P': good = hear_prefix(events, rest); break;
        case 'A': good = hear_clear(events, rest); break;
        case 'K': good = hear_key(events, rest); break;
        default: good = false; break;
        }
    }
    atomic_fetch_add_explicit(good ? &events->heard : &events->garbage, 1, memory_order_relaxed);
}
