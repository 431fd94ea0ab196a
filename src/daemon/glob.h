/*
 * glob.h -- patterns of KEYS, SCAN, PSUBSCRIBE, CONFIG GET.
 */
#ifndef BRISK_SRC_DAEMON_GLOB_H
#define BRISK_SRC_DAEMON_GLOB_H

#include <stdbool.h>

#include "wire/resp.h"

/* '*', '?', '[a-z]', '[^a]', '\x' as in Redis.  O(pattern * text). */
bool glob_match(resp_bytes pattern, resp_bytes text, bool ignore_case);

#endif /* BRISK_SRC_DAEMON_GLOB_H */
