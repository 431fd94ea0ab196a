/*
 * cache_behind.h -- writes that wait: one per key, bounded, tried again when they fail.
 *
 * The cache has two of these: values for the store (BRISK_WRITE_BEHIND), and entries for the tiers
 * behind memory (tiers_behind).
 */
#ifndef BRISK_SRC_CACHE_CACHE_BEHIND_H
#define BRISK_SRC_CACHE_CACHE_BEHIND_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/cache.h>

typedef struct behind_queue behind_queue;
typedef struct behind_item behind_item;

/* A write; everything is borrowed during the calls that take one. */
typedef struct behind_write {
    brisk_key key;
    brisk_value *value;  /* NULL: the key goes */
    const void *payload; /* bytes that go with it; may be NULL */
    size_t payload_size;
} behind_write;

typedef struct behind_queue_opts {
    const char *name; /* of the thread */
    brisk_behind_opts limits;
    /* Bring it where it belongs, in the queue's thread, without its lock. */
    brisk_err (*apply)(void *ctx, const behind_write *write, behind_item *item);
    /* It was given up: tried too often. */
    void (*give_up)(void *ctx, const behind_write *write, brisk_err err);
    void *ctx;
    const brisk_clock *clock;
    const brisk_alloc *alloc;
} behind_queue_opts;

typedef struct behind_stats {
    uint64_t entries;
    uint64_t bytes;
    uint64_t coalesced;
    uint64_t done;
    uint64_t retries;
    uint64_t lost;
    uint64_t full;
} behind_stats;

BRISK_NODISCARD brisk_err behind_create(const behind_queue_opts *opts, behind_queue **ret);
/* Tries for limits.flush_ns more.  NULL is accepted. */
void behind_destroy(behind_queue *queue);
/*
 * Takes references and copies; replaces what waits for the key.
 * Errors: FULL, NOMEM, LIMIT (no thread), UNSUPPORTED (a forked child): nothing has changed.
 */
BRISK_NODISCARD brisk_err behind_push(behind_queue *queue, const behind_write *write);
/* Wait until there is room for the write, or until `wait_ns` have passed: false. */
bool behind_wait_room(behind_queue *queue, const behind_write *write, uint64_t wait_ns);
/* What waits for the key no longer does.  `wait`: and is not under way either. */
void behind_drop(behind_queue *queue, const brisk_key *key, bool wait);
/* What waits for the key, or all that waits, is not to be read, but written all the same. */
void behind_hide(behind_queue *queue, const brisk_key *key);
void behind_hide_all(behind_queue *queue);
void behind_drop_all(behind_queue *queue);
/* Whether something else was written since `item` was taken for apply. */
bool behind_is_superseded(behind_queue *queue, const behind_item *item);
/* Errors: DEADLINE. */
BRISK_NODISCARD brisk_err behind_flush(behind_queue *queue, uint64_t wait_ns);
void behind_read_stats(behind_queue *queue, behind_stats *ret);

typedef enum behind_found { BEHIND_NONE, BEHIND_VALUE, BEHIND_REMOVED } behind_found;
typedef struct behind_read {
    brisk_value *value; /* set for BEHIND_VALUE: a reference */
    void *payload;      /* room for what was pushed, or NULL with payload_size 0 */
    size_t payload_size;
    bool hidden; /* also what was hidden */
} behind_read;
/* What was written last for the key. */
behind_found behind_find(behind_queue *queue, const brisk_key *key, behind_read *ret);

#endif /* BRISK_SRC_CACHE_CACHE_BEHIND_H */
