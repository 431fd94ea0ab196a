/*
 * cache_entry.h -- what the commands on single entries share: their keys, tiers and values.
 *
 * Keys of the command line live in a namespace of their own: the key KEY is the bytes "cli:KEY".
 * Jobs' keys are built from typed fields and never look like that, so nothing that is done here can
 * touch a job's entry by its key.  Tags are not divided: a tag is the same for everybody.
 */
#ifndef BRISK_SRC_CLI_CACHE_ENTRY_H
#define BRISK_SRC_CLI_CACHE_ENTRY_H

#include <brisk/cache.h>
#include <brisk/hash.h>

#include "cli/cli.h"

/** A key of the command line; `bytes` begin with the namespace and live in the arena. */
typedef struct cache_key {
    const char *text;
    brisk_key key;
} cache_key;

/** False after saying why: empty, too long, no memory. */
bool cache_key_make(const brisk_invocation *invocation, const char *text, cache_key *ret);
/** The namespace with `prefix` behind it, as bytes. */
bool cache_prefix_make(const brisk_invocation *invocation, const char *prefix, brisk_tag *ret);
/** The tags of a list; false after saying why. */
bool cache_tags_make(const brisk_invocation *invocation, const brisk_option_list *list,
                     const brisk_tag **ret);
/** The tiers of a list as bits, 0 for an empty list; false after saying which is none. */
bool cache_tiers_make(const brisk_invocation *invocation, const brisk_cache *cache,
                      const brisk_option_list *list, uint32_t *ret);
/** Tiers that outlive this process, as bits. */
uint32_t cache_lasting_tiers(const brisk_cache *cache);
/** The engine's cache, or NULL when the program has already said why. */
brisk_cache *cache_of(const brisk_invocation *invocation);

/** The bytes of a file, or of standard input for "-"; the caller owns the reference. */
bool cache_value_read(const brisk_invocation *invocation, const char *path, brisk_value **ret);
/** A value from its bytes. */
bool cache_value_copy(const brisk_invocation *invocation, const char *bytes, size_t size,
                      brisk_value **ret);
/**
 * Are these the bytes that were stored?  Large values come unchecked from the disk tier; what is
 * not right is removed.  Says nothing.
 */
bool cache_hit_is_sound(brisk_cache *cache, const brisk_key *key, const brisk_hit *hit);

#endif /* BRISK_SRC_CLI_CACHE_ENTRY_H */
