/*
 * stack.h -- what the library does with a stack of tiers that its users cannot.
 */
#ifndef BRISK_SRC_CACHE_STACK_H
#define BRISK_SRC_CACHE_STACK_H

#include <brisk/cache.h>

/*
 * Put `tier` behind all others; the cache owns it.  Before the first use of the cache.
 * Errors: the generations in the tier's folder cannot be used; the tier is the caller's.
 */
BRISK_NODISCARD brisk_err cache_append(brisk_cache *cache, brisk_tier *tier);

#endif /* BRISK_SRC_CACHE_STACK_H */
