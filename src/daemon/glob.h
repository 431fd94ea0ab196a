/*
 * glob.h -- patterns of KEYS, SCAN, PSUBSCRIBE, CONFIG GET.
 */
#ifndef BRISK_SRC_DAEMON_GLOB_H
#define BRISK_SRC_DAEMON_GLOB_H

#include <stdbool.h>

#include "wire/resp.h"

enum {
    GLOB_PATTERN_MAX = 65535, /* a longer one matches nothing */
    GLOB_FREE = 64,           /* bytes of a pattern that may be compared again and again */
    GLOB_EFFORT = 1 << 26,    /* bytes beyond: a fraction of a second */
};

/* '*', '?', '[a-z]', '[^a]', '\x' as in Redis.  O(pattern * text), and no match beyond GLOB_EFFORT. */
bool glob_match(resp_bytes pattern, resp_bytes text, bool ignore_case);
/* Likewise, for many texts together; *effort is 0 when it was used up. */
bool glob_match_within(resp_bytes pattern, resp_bytes text, bool ignore_case, uint64_t *effort);

#endif /* BRISK_SRC_DAEMON_GLOB_H */
