/*
 * memory_table.c -- the writing side of the buckets, and the search under the lock.
 *
 * Invariant: for every entry whose home is h and whose bucket is b, each bucket from h up to but
 * not including b counts it in `overflow`.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/memory_table.h"

size_t table_ready_words(uint32_t bucket_count)
{
    size_t groups = ((size_t)bucket_count + BUCKET_GROUP - 1) / BUCKET_GROUP;
    return (groups + 63) / 64;
}

void table_init(memory_table *table, memory_bucket *buckets, _Atomic uint64_t *ready,
                uint32_t bucket_count)
{
    BRISK_ASSERT(bucket_count != 0);
    *table = (memory_table){.buckets = buckets, .ready = ready, .bucket_count = bucket_count};
}

static void make_ready(memory_table *table, uint32_t bucket)
{
    uint32_t group = bucket / BUCKET_GROUP;
    uint32_t first = group * BUCKET_GROUP;
    uint32_t left = table->bucket_count - first;
    uint32_t count = left < BUCKET_GROUP ? left : BUCKET_GROUP;
    memset(&table->buckets[first], 0, count * sizeof table->buckets[0]);
    uint64_t word = atomic_load_explicit(&table->ready[group / 64], memory_order_relaxed);
    /* Release: pairs with table_is_ready. */
    atomic_store_explicit(&table->ready[group / 64], word | UINT64_C(1) << (group % 64),
                          memory_order_release);
}

static uint64_t tag_at(const memory_bucket *bucket, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(&bucket->tags[slot / 4], memory_order_relaxed);
    return word >> (slot % 4 * 16) & 0xffff;
}

static void begin_write(memory_bucket *bucket)
{
    uint32_t sequence = atomic_load_explicit(&bucket->sequence, memory_order_relaxed);
    atomic_store_explicit(&bucket->sequence, sequence + 1, memory_order_relaxed);
}

static void end_write(memory_bucket *bucket)
{
    uint32_t sequence = atomic_load_explicit(&bucket->sequence, memory_order_relaxed);
    /* Release: pairs with the acquire of the reader's first look. */
    atomic_store_explicit(&bucket->sequence, sequence + 1, memory_order_release);
}

static void set_tag(memory_bucket *bucket, uint32_t slot, uint64_t tag)
{
    uint32_t shift = slot % 4 * 16;
    uint64_t word = atomic_load_explicit(&bucket->tags[slot / 4], memory_order_relaxed);
    word = (word & ~(UINT64_C(0xffff) << shift)) | tag << shift;
    atomic_store_explicit(&bucket->tags[slot / 4], word, memory_order_release);
}

static void add_overflow(memory_bucket *bucket, uint32_t amount)
{
    uint32_t overflow = atomic_load_explicit(&bucket->overflow, memory_order_relaxed);
    atomic_store_explicit(&bucket->overflow, overflow + amount, memory_order_release);
}

bool table_find(const memory_table *table, uint64_t hash, bool (*same)(void *ctx, uint32_t line),
                void *ctx, table_place *ret)
{
    uint64_t tag = table_tag(hash);
    uint32_t at = table_home(table, hash);
    for (uint32_t probes = 0; probes < table->bucket_count && table_is_ready(table, at); probes++) {
        const memory_bucket *bucket = &table->buckets[at];
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            uint32_t line = atomic_load_explicit(&bucket->lines[slot], memory_order_relaxed);
            if (tag_at(bucket, slot) == tag && same(ctx, line)) {
                *ret = (table_place){.bucket = at, .slot = slot, .line = line};
                return true;
            }
        }
        if (atomic_load_explicit(&bucket->overflow, memory_order_relaxed) == 0) {
            return false;
        }
        at = table_next(table, at);
    }
    return false;
}

void table_insert(memory_table *table, uint64_t hash, uint32_t line)
{
    uint32_t at = table_home(table, hash);
    for (uint32_t probes = 0; probes < table->bucket_count; probes++) {
        if (!table_is_ready(table, at)) {
            make_ready(table, at);
        }
        memory_bucket *bucket = &table->buckets[at];
        begin_write(bucket);
        for (uint32_t slot = 0; slot < BUCKET_SLOTS; slot++) {
            if (tag_at(bucket, slot) == 0) {
                atomic_store_explicit(&bucket->lines[slot], line, memory_order_release);
                set_tag(bucket, slot, table_tag(hash));
                end_write(bucket);
                return;
            }
        }
        add_overflow(bucket, 1);
        end_write(bucket);
        at = table_next(table, at);
    }
    BRISK_ASSERT(false && "a table has more slots than its region has cells");
}

void table_remove(memory_table *table, uint64_t hash, table_place place)
{
    memory_bucket *bucket = &table->buckets[place.bucket];
    begin_write(bucket);
    set_tag(bucket, place.slot, 0);
    end_write(bucket);
    for (uint32_t at = table_home(table, hash); at != place.bucket; at = table_next(table, at)) {
        begin_write(&table->buckets[at]);
        add_overflow(&table->buckets[at], UINT32_MAX); /* one less */
        end_write(&table->buckets[at]);
    }
}

void table_repoint(memory_table *table, table_place place, uint32_t line)
{
    memory_bucket *bucket = &table->buckets[place.bucket];
    begin_write(bucket);
    atomic_store_explicit(&bucket->lines[place.slot], line, memory_order_release);
    end_write(bucket);
}

uint64_t table_overflows(const memory_table *table)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        if (table_is_ready(table, i)) {
            sum += atomic_load_explicit(&table->buckets[i].overflow, memory_order_relaxed);
        }
    }
    return sum;
}
