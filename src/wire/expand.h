/*
 * wire/expand.h -- bodies as the web compresses them, of unknown size, expanded up to a limit.
 *
 * codec_expand knows how much will come out; an HTTP body says so at best in a place that may lie.
 * What it says is only where to begin.  Nothing is ever written beyond the limit, and no memory is
 * taken that the compressed bytes could not fill.
 *
 * CODEC_GZIP: RFC 1952, several members; CODEC_DEFLATE: RFC 1950, and RFC 1951 for servers that
 * never read the RFC; CODEC_BROTLI: RFC 7932; CODEC_ZSTD: RFC 8878, several frames, windows up to
 * 8 MiB as RFC 9659 has it.
 *
 * Threads: an expander is one thread's at a time.
 * Sources: libdeflate, brotli, zstd (libraries).
 */
#ifndef BRISK_SRC_WIRE_EXPAND_H
#define BRISK_SRC_WIRE_EXPAND_H

#include "wire/codec.h"

enum {
    EXPAND_TAIL = 64,  /* zero bytes behind what was expanded, for readers of whole vectors */
    EXPAND_ALIGN = 64, /* of room->data */
};

typedef struct expander expander;

/* What came out.  Zero it, set `alloc`; what it has is used again. */
typedef struct expand_room {
    unsigned char *data;
    size_t size;
    size_t capacity; /* without the tail */
    const brisk_alloc *alloc;
} expand_room;

/* Takes memory with the first use of each codec.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err expander_create(const brisk_alloc *alloc, expander **ret);
void expander_destroy(expander *e); /* NULL is accepted */

/*
 * Errors: LIMIT (more than `max` bytes), CORRUPT (cut short, wrong, or followed by something),
 * NOMEM, UNSUPPORTED (CODEC_LZ4).  room->size is then 0, its data worthless.
 */
BRISK_NODISCARD brisk_err expander_run(expander *e, codec_id id, codec_bytes src, size_t max,
                                       expand_room *room);
void expand_room_deinit(expand_room *room);

#endif /* BRISK_SRC_WIRE_EXPAND_H */
