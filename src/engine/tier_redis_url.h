/*
 * tier_redis_url.h -- where a Redis is: redis://user:password@host:port/db and its kin.
 */
#ifndef BRISK_SRC_ENGINE_TIER_REDIS_URL_H
#define BRISK_SRC_ENGINE_TIER_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>

enum {
    REDIS_HOST_MAX = 256,
    REDIS_SEEDS_MAX = 8,
    REDIS_SECRET_MAX = 512,
    REDIS_PORT_DEFAULT = 6379,
    REDIS_DB_MAX = 1 << 20,
};

/* A host and port, or with port 0 the path of a unix socket. */
typedef struct redis_address {
    char host[REDIS_HOST_MAX];
    uint16_t port;
} redis_address;

typedef struct redis_url {
    bool tls;
    bool cluster;
    uint32_t seed_count; /* 1, or more with a cluster */
    uint32_t db;
    redis_address seeds[REDIS_SEEDS_MAX];
    char user[REDIS_SECRET_MAX]; /* "" when there is none */
    char password[REDIS_SECRET_MAX];
} redis_url;

/* Errors: INVALID; `info` says what is wrong and never shows the password. */
BRISK_NODISCARD brisk_err redis_url_parse(const char *text, redis_url *ret, brisk_errinfo *info);

/* "host:port" or "[v6]:port", as CLUSTER and MOVED have it; false when it is none. */
bool redis_address_parse(const char *text, size_t size, uint16_t default_port, redis_address *ret);

#endif /* BRISK_SRC_ENGINE_TIER_REDIS_URL_H */
