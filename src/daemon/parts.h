/*
 * parts.h -- what a connection sends that lies elsewhere: values and files, between its bytes.
 *
 *     bytes:  |head 1|head 2|head 3|            a part knows how many bytes stand between it and the one before
 *     parts:         ^v1    ^file  ^v3          it (`gap`), so that the buffer may move and grow
 *
 * A part holds a reference (a value) or a file with a function that gives it back; nothing is kept twice.  Values go
 * with bytes in one system call (sendmsg), files by sendfile or through a room of the worker's; parts.c says when.
 *
 * Threads: the worker's.
 */
#ifndef BRISK_SRC_DAEMON_PARTS_H
#define BRISK_SRC_DAEMON_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/value.h>

typedef struct conn_part {
    struct conn_part *next;
    size_t gap;         /* bytes before it, behind the part before it */
    uint64_t left;      /* of it, to be sent */
    uint64_t offset;    /* where that begins */
    brisk_value *value; /* NULL: a file of somebody else's */
    int fd;             /* -1: the value's bytes */
    uint32_t step;      /* of a file that is copied: how much is read next; 0: nothing was yet */
    void (*release)(void *ctx);
    void *ctx;
    bool held; /* the value is counted in the pool's `held` */
} conn_part;

typedef struct conn_parts {
    conn_part *first;
    conn_part *last;
    size_t gaps;   /* of all of them */
    uint64_t left; /* of all of them */
} conn_parts;

/* Where parts come from and go to: each worker's. */
typedef struct part_pool {
    conn_part *free;
    uint32_t count;
    bool room_used;           /* since part_pool_tidy */
    struct held_values *held; /* counts values that wait; NULL: nobody does */
    unsigned char *room;      /* files are read into it; NULL: none was for a while */
} part_pool;

/* What is sent: bytes with parts between them. */
typedef struct outgoing {
    const unsigned char *data;
    size_t size;
    conn_parts *parts;
    bool near; /* who reads is on this machine */
} outgoing;

/* An empty part; NULL: no memory. */
conn_part *part_take(part_pool *pool, const brisk_alloc *alloc);
void part_pool_deinit(part_pool *pool, const brisk_alloc *alloc);
/* Now and then: what was not used since the last time is given back. */
void part_pool_tidy(part_pool *pool, const brisk_alloc *alloc);
/* `p` behind `bytes` bytes, which are all that stand before it in what is to be sent. */
void parts_add(conn_parts *to, conn_part *p, size_t bytes);
/* They are not sent at once: count those that are values in memory. */
void parts_hold(const conn_parts *list, part_pool *pool);
/* Of all values in memory that they have: the whole of each, as long as a byte of it is unsent. */
uint64_t parts_in_memory(const conn_parts *list);
/* All of `from` behind `to`, whose bytes `bytes` come first; `from` is empty then. */
void parts_move(conn_parts *to, conn_parts *from, size_t bytes);
/* Give all back. */
void parts_drop(conn_parts *list, part_pool *pool, const brisk_alloc *alloc);

/*
 * As much as the kernel takes, up to a turn's share (the others wait meanwhile).  *bytes becomes what was sent of the bytes, *all also what was of parts; what is sent of
 * parts is taken off them.  False: the connection died, or a file is shorter than it was.
 */
bool outgoing_send(int fd, outgoing what, part_pool *pool, const brisk_alloc *alloc, size_t *bytes,
                   uint64_t *all);
/*
 * The next bytes in order, for who has to encrypt them: `data` or a part's, or read into `room`.  0: there are none;
 * -1: a file is shorter than it was.  They are taken with outgoing_taken.
 */
ptrdiff_t outgoing_next(const outgoing *what, void *room, size_t room_size, const void **ret);
/* `size` of those are sent; true: they were of `data`. */
bool outgoing_taken(outgoing *what, size_t size, part_pool *pool, const brisk_alloc *alloc);

#endif /* BRISK_SRC_DAEMON_PARTS_H */
