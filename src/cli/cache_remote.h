/*
 * cache_remote.h -- `brisk cache get|set|invalidate|stats --node URL`: the entries of a node.
 *
 * Keys are the node's own, those that Redis clients see: no namespace of the command line stands before them.
 */
#ifndef BRISK_SRC_CLI_CACHE_REMOTE_H
#define BRISK_SRC_CLI_CACHE_REMOTE_H

#include <brisk/cache.h>
#include <brisk/json_read.h>

#include "cli/remote.h"

typedef struct cache_remote_entry {
    const char *key;
    const brisk_value *value;
    const brisk_option_value *ttl;
    const brisk_option_list *tags;
} cache_remote_entry;

/**
 * The options of brisk/node.h begin at `first`.  Each returns OK, or the exit code after saying what is wrong.
 * The value of *ret is the caller's.
 */
brisk_exit cache_remote_get(const brisk_invocation *invocation, uint32_t first, const char *key,
                            brisk_hit *ret);
brisk_exit cache_remote_set(const brisk_invocation *invocation, uint32_t first,
                            const cache_remote_entry *entry);
/** Keys are the arguments of the invocation. */
brisk_exit cache_remote_invalidate(const brisk_invocation *invocation, uint32_t first,
                                   const brisk_option_list *prefixes,
                                   const brisk_option_list *tags);

/** Figures of a tier; the name lives in the arena of the program. */
typedef struct cache_tier_row {
    const char *name;
    brisk_tier_stats stats;
} cache_tier_row;

/** Up to BRISK_CACHE_TIERS_MAX rows. */
brisk_exit cache_remote_stats(const brisk_invocation *invocation, uint32_t first,
                              cache_tier_row *rows, uint32_t *count);

#endif /* BRISK_SRC_CLI_CACHE_REMOTE_H */
