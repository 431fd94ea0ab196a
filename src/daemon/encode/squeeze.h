/*
 * squeeze.h -- a whole body, encoded by a method.
 *
 * gzip and brotli are wire/codec's; its zstd frames are without their magic number, which comes in
 * front here.  Frames need no window above 8 MiB (RFC 9659), which level 19 keeps.  What does not
 * shrink by a hundredth is refused: it would cost the client more than it saves.
 *
 * A bench is what encoding needs of memory; it is one thread's at a time, and kept between uses.
 *
 * Threads: a bench by one at a time; dictionaries are immutable.
 * Sources: RFC 1952, RFC 7932, RFC 8878, RFC 9659, RFC 9842.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_SQUEEZE_H
#define BRISK_SRC_DAEMON_ENCODE_SQUEEZE_H

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/value.h>

#include "daemon/encode/chooser.h"
#include "daemon/encode/dictionary.h"
#include "wire/codec.h"

typedef struct encode_bench {
    const brisk_alloc *alloc;
    codec_kit *kit;
    void *room; /* NULL or room_size bytes */
    size_t room_size;
    struct encode_bench *next; /* of a pool */
} encode_bench;

BRISK_NODISCARD brisk_err encode_bench_create(const brisk_alloc *alloc, encode_bench **ret);
void encode_bench_destroy(encode_bench *bench); /* NULL is accepted */

typedef struct encode_task {
    encode_method method;
    codec_bytes body;
    encode_dictionary *dictionary; /* of dcz; otherwise NULL */
    bool expand;                   /* measure expanding, too */
    bool forced;                   /* even when it does not shrink */
} encode_task;

/*
 * Encode; *measure says what it took.  Errors: LIMIT (does not shrink), NOMEM.
 */
BRISK_NODISCARD brisk_err encode_squeeze(encode_bench *bench, const encode_task *task,
                                         encode_measure *measure, brisk_value **ret);

#endif /* BRISK_SRC_DAEMON_ENCODE_SQUEEZE_H */
