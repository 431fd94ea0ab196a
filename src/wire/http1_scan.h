/*
 * http1_scan.h -- where in a head the next byte is that ends something: 32 or 64 bytes at a time.
 *
 * Every processor path gives the same answer for the same bytes, and reads none behind them.
 *
 * Threads: plain functions.
 */
#ifndef BRISK_SRC_WIRE_HTTP1_SCAN_H
#define BRISK_SRC_WIRE_HTTP1_SCAN_H

#include <stdbool.h>
#include <stddef.h>

typedef enum http1_path {
    HTTP1_BEST, /* what this processor does best */
    HTTP1_SCALAR,
    HTTP1_AVX2,
    HTTP1_AVX512,
    HTTP1_PATH_COUNT,
} http1_path;

/* Can this processor do it? */
bool http1_path_exists(http1_path path);
/* Which one HTTP1_BEST is. */
http1_path http1_path_best(void);
/* The first control character but the tabulator, or `size`. */
size_t http1_find_control(http1_path path, const unsigned char *data, size_t size);
/* The first byte that no target of a request may have (not visible ASCII, or '#'), or `size`. */
size_t http1_find_no_target(http1_path path, const unsigned char *data, size_t size);

#endif /* BRISK_SRC_WIRE_HTTP1_SCAN_H */
