/*
 * tape.h -- a body that grows while others read it, each at its own pace and in its own thread.
 *
 *     first ─► piece ─► piece ─► last         one writer puts bytes behind the last
 *                ▲         ▲
 *              reader    reader               who has read a piece to its end lets it go
 *
 * A piece never moves; bytes in it never change once `filled` counts them.  Each piece is kept by the one in front of
 * it, by readers that are at it and by the tape; so once the tape gives up its beginning, what all readers have passed
 * is freed.
 *
 * Threads: tape_* by the writer's; a reader by its own.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_TAPE_H
#define BRISK_SRC_DAEMON_PROXY_TAPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <brisk/alloc.h>
#include <brisk/value.h>

typedef struct tape_piece {
    const brisk_alloc *alloc;
    _Atomic uint32_t refs;
    _Atomic(struct tape_piece *) next; /* set when this one is full */
    _Atomic size_t filled;
    size_t capacity;
    unsigned char *data;
    brisk_value *value; /* whose memory `data` is; NULL: behind the piece */
} tape_piece;

typedef struct tape {
    tape_piece *first; /* NULL: it was given up */
    tape_piece *last;  /* NULL: there is none yet */
} tape;

typedef struct tape_reader {
    tape_piece *piece; /* NULL: it reads nothing */
    size_t at;
} tape_reader;

/* A tape of pieces, or (with `value`) in the `size` bytes at `data` that belong to it.  False: no memory. */
bool tape_open(tape *t, const brisk_alloc *alloc, brisk_value *value, unsigned char *data,
               size_t size);
/* All of it or nothing, since readers see it at once.  False: no memory, or `value` is full. */
bool tape_put(tape *t, const void *data, size_t size);
/* Nobody begins to read any more. */
void tape_forget(tape *t);
/* Give all up; what readers have not read stays for them.  One that was not opened is accepted. */
void tape_close(tape *t);

/* From the start of what begins with `first`. */
void tape_read(tape_reader *r, tape_piece *first);
/* Bytes that are there and not yet read; 0: none. */
size_t tape_next(tape_reader *r, const unsigned char **data);
void tape_took(tape_reader *r, size_t size);
void tape_leave(tape_reader *r);

tape_piece *tape_piece_ref(tape_piece *piece);
void tape_piece_unref(tape_piece *piece); /* NULL is accepted */

#endif /* BRISK_SRC_DAEMON_PROXY_TAPE_H */
