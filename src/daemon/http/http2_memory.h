/*
 * http2_memory.h -- what nghttp2 takes and gives back all the time, kept for the next time.
 *
 * Every stream is half a dozen blocks of a few sizes.  Those that come back wait in lists by size, of
 * which a session keeps HTTP2_MEMORY_KEPT bytes at most, and nothing while it is idle.
 *
 * Threads: the session's.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_HTTP2_MEMORY_H
#define BRISK_SRC_DAEMON_HTTP_HTTP2_MEMORY_H

#include <stddef.h>

#include <brisk/alloc.h>
#include <nghttp2/nghttp2.h>

enum {
    HTTP2_MEMORY_STEP = 64,
    HTTP2_MEMORY_CLASSES = 8, /* up to 512 bytes */
    HTTP2_MEMORY_KEPT = 262144,
};

typedef struct http2_block http2_block;

typedef struct http2_memory {
    const brisk_alloc *alloc;
    http2_block *free[HTTP2_MEMORY_CLASSES];
    size_t kept; /* bytes in those lists */
} http2_memory;

void http2_memory_init(http2_memory *memory, const brisk_alloc *alloc);
/* Give back what is kept. */
void http2_memory_drop(http2_memory *memory);
/* nghttp2's functions for memory; `memory` must outlive what uses them. */
nghttp2_mem http2_memory_calls(http2_memory *memory);

#endif /* BRISK_SRC_DAEMON_HTTP_HTTP2_MEMORY_H */
