/*
 * method.c -- the table of encode_ways.
 */
#include "daemon/encode/method.h"

const encode_way encode_ways[ENCODE_METHODS] = {
    [ENCODE_PLAIN] = {ENCODE_IDENTITY, 0},  [ENCODE_GZIP_1] = {ENCODE_GZIP, 1},
    [ENCODE_GZIP_6] = {ENCODE_GZIP, 6},     [ENCODE_GZIP_9] = {ENCODE_GZIP, 9},
    [ENCODE_ZSTD_FAST] = {ENCODE_ZSTD, -4}, [ENCODE_ZSTD_1] = {ENCODE_ZSTD, 1},
    [ENCODE_ZSTD_3] = {ENCODE_ZSTD, 3},     [ENCODE_ZSTD_6] = {ENCODE_ZSTD, 6},
    [ENCODE_ZSTD_9] = {ENCODE_ZSTD, 9},     [ENCODE_ZSTD_19] = {ENCODE_ZSTD, 19},
    [ENCODE_BROTLI_1] = {ENCODE_BROTLI, 1}, [ENCODE_BROTLI_5] = {ENCODE_BROTLI, 5},
    [ENCODE_BROTLI_9] = {ENCODE_BROTLI, 9}, [ENCODE_BROTLI_11] = {ENCODE_BROTLI, 11},
    [ENCODE_DCZ_3] = {ENCODE_DCZ, 3},       [ENCODE_DCZ_9] = {ENCODE_DCZ, 9},
};
