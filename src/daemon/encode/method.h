/*
 * method.h -- the ways to encode a body that are chosen among: codings with their levels.
 *
 * Levels are those that were the fastest way for some size, content and bandwidth (bench_encode);
 * the last ones of a coding are worth their time only when a result is used often.
 *
 * Threads: static data.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_METHOD_H
#define BRISK_SRC_DAEMON_ENCODE_METHOD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/encode/accept.h"

typedef enum encode_method {
    ENCODE_PLAIN = 0,
    ENCODE_GZIP_1,
    ENCODE_GZIP_6,
    ENCODE_GZIP_9,
    ENCODE_ZSTD_FAST, /* level -4: for connections of some Gbit/s */
    ENCODE_ZSTD_1,
    ENCODE_ZSTD_3,
    ENCODE_ZSTD_6,
    ENCODE_ZSTD_9,
    ENCODE_ZSTD_19,
    ENCODE_BROTLI_1,
    ENCODE_BROTLI_5,
    ENCODE_BROTLI_9,
    ENCODE_BROTLI_11,
    ENCODE_DCZ_3,
    ENCODE_DCZ_9,
    ENCODE_METHODS,
} encode_method;

typedef struct encode_way {
    encode_coding coding;
    int level;
} encode_way;

extern const encode_way encode_ways[ENCODE_METHODS];

#endif /* BRISK_SRC_DAEMON_ENCODE_METHOD_H */
