/*
 * tier_redis_greet.h -- the first words on a connection: HELLO, AUTH, SELECT, and who we are.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_GREET_H
#define BRISK_SRC_ENGINE_TIER_REDIS_GREET_H

#include "engine/tier_redis_link.h"

typedef struct redis_greeting {
    uint8_t protocol;  /* 2 or 3 */
    int64_t client_id; /* 0: the server does not tell */
} redis_greeting;

/* Errors with `info`: PERMISSION, CORRUPT (no Redis), and those of the link. */
BRISK_NODISCARD brisk_err redis_greet(redis_link *link, const redis_link_opts *opts,
                                      uint64_t deadline_ns, redis_greeting *ret,
                                      brisk_errinfo *info);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_GREET_H */
