/*
 * parts.c -- bytes, values and files in one stream.
 *
 * A file goes by sendfile to other machines, through the worker's room to this one.  Sendfile saves a copy, which is
 * half of the processor's time when the network is the limit (10 MiB at 10 Gbit/s: 1.3 to 1.6 ms against 2.9).  A reader
 * on this machine copies once more itself, out of pages of the file instead of memory that was written a moment ago, and
 * is woken for each 64 KiB that sendfile moves at a time: 8 connections took 284 answers of 10 MiB a second from
 * sendfile, 340 from a room of 64 KiB, 366 of 256 KiB, 420 of 1 MiB.  Mapping the file while it is open gave 450, but
 * shows as memory of the process and fails in the middle when the file is cut; mapping a piece at a time is no better
 * than reading it.
 *
 * How much is read follows how much the kernel took: a slow peer's small buffer must not cost a room each time.
 *
 * Invariants: `gaps` and `left` are the sums over the list; bytes behind the last part are not in any gap.
 */
#include "daemon/parts.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "daemon/held.h"

enum {
    IOV_MAX_USED = 16,
    POOL_KEPT = 256,
    TURN_MAX = 4 << 20, /* a connection sends no more while others wait */
    ROOM_BYTES = 1 << 20,
    STEP_FIRST = ROOM_BYTES / 4,
    STEP_LEAST = 16384, /* also of the room when there is no memory for one */
};

/* --- lists -------------------------------------------------------------------------------- */

conn_part *part_take(part_pool *pool, const brisk_alloc *alloc)
{
    conn_part *p = pool->free;
    if (p != NULL) {
        pool->free = p->next;
        pool->count--;
    } else {
        p = alloc->acquire(alloc->ctx, sizeof *p, _Alignof(conn_part));
    }
    if (p != NULL) {
        *p = (conn_part){.fd = -1};
    }
    return p;
}

void part_pool_deinit(part_pool *pool, const brisk_alloc *alloc)
{
    while (pool->free != NULL) {
        conn_part *p = pool->free;
        pool->free = p->next;
        alloc->release(alloc->ctx, p, sizeof *p, _Alignof(conn_part));
    }
    pool->count = 0;
    if (pool->room != NULL) {
        alloc->release(alloc->ctx, pool->room, ROOM_BYTES, 1);
    }
    pool->room = NULL;
}

void part_pool_tidy(part_pool *pool, const brisk_alloc *alloc)
{
    if (pool->room != NULL && !pool->room_used) {
        alloc->release(alloc->ctx, pool->room, ROOM_BYTES, 1);
        pool->room = NULL;
    }
    pool->room_used = false;
}

void parts_add(conn_parts *to, conn_part *p, size_t bytes)
{
    BRISK_ASSERT(bytes >= to->gaps);
    p->gap = bytes - to->gaps;
    p->next = NULL;
    if (to->last != NULL) {
        to->last->next = p;
    } else {
        to->first = p;
    }
    to->last = p;
    to->gaps = bytes;
    to->left += p->left;
}

void parts_move(conn_parts *to, conn_parts *from, size_t bytes)
{
    if (from->first == NULL) {
        return;
    }
    BRISK_ASSERT(bytes >= to->gaps);
    from->first->gap += bytes - to->gaps;
    if (to->last != NULL) {
        to->last->next = from->first;
    } else {
        to->first = from->first;
    }
    to->last = from->last;
    to->gaps = bytes + from->gaps;
    to->left += from->left;
    *from = (conn_parts){.first = NULL};
}

void parts_hold(const conn_parts *list, part_pool *pool)
{
    for (conn_part *p = list->first; p != NULL; p = p->next) {
        if (!p->held && p->fd < 0 && pool->held != NULL) {
            p->held = held_hold(pool->held, p->value);
        }
    }
}

uint64_t parts_in_memory(const conn_parts *list)
{
    uint64_t bytes = 0;
    for (const conn_part *p = list->first; p != NULL; p = p->next) {
        bytes += p->fd < 0 ? brisk_value_size(p->value) : 0;
    }
    return bytes;
}

/* The first one is done with. */
static void drop_first(conn_parts *list, part_pool *pool, const brisk_alloc *alloc)
{
    conn_part *p = list->first;
    list->first = p->next;
    list->last = p->next != NULL ? list->last : NULL;
    list->gaps -= p->gap;
    list->left -= p->left;
    if (p->held) {
        held_let_go(pool->held, p->value);
    }
    if (p->value != NULL) {
        brisk_value_unref(p->value);
    } else if (p->release != NULL) {
        p->release(p->ctx);
    }
    if (pool->count < POOL_KEPT) {
        p->next = pool->free;
        pool->free = p;
        pool->count++;
    } else {
        alloc->release(alloc->ctx, p, sizeof *p, _Alignof(conn_part));
    }
}

void parts_drop(conn_parts *list, part_pool *pool, const brisk_alloc *alloc)
{
    while (list->first != NULL) {
        drop_first(list, pool, alloc);
    }
}

/* `size` bytes of the stream's start are sent; returns how many of them were bytes, not of parts. */
static size_t advance(conn_parts *list, uint64_t size, part_pool *pool, const brisk_alloc *alloc)
{
    size_t bytes = 0;
    while (list->first != NULL) {
        conn_part *p = list->first;
        size_t gap = size < p->gap ? (size_t)size : p->gap;
        p->gap -= gap;
        list->gaps -= gap;
        bytes += gap;
        size -= gap;
        uint64_t taken = size < p->left ? size : p->left;
        p->left -= taken;
        p->offset += taken;
        list->left -= taken;
        size -= taken;
        if (p->gap > 0 || p->left > 0) {
            break;
        }
        drop_first(list, pool, alloc);
    }
    return bytes + (size_t)size;
}

/* --- plain -------------------------------------------------------------------------------- */

typedef struct gather {
    struct iovec iov[IOV_MAX_USED];
    int count;
    uint64_t size;
    bool more; /* a file follows */
} gather;

/* False: it is full. */
static bool add(gather *g, const void *data, uint64_t size)
{
    uint64_t most = TURN_MAX - g->size;
    if (size > 0) {
        uint64_t taken = size < most ? size : most;
        g->iov[g->count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = taken};
        g->size += taken;
    }
    return size < most;
}

/* Bytes and values from the start to the first file, or as many as go into one call. */
static void collect(const outgoing *what, size_t sent, gather *g)
{
    const unsigned char *at = what->data + sent;
    size_t rest = what->size - sent;
    g->count = 0;
    g->size = 0;
    g->more = false;
    const conn_part *p = what->parts->first;
    for (; p != NULL && g->count < IOV_MAX_USED - 1; p = p->next) {
        bool fits = add(g, at, p->gap);
        at += p->gap;
        rest -= p->gap;
        if (fits && p->fd >= 0) {
            g->more = true;
            return;
        }
        if (!fits || !add(g, (const char *)brisk_value_data(p->value) + p->offset, p->left)) {
            return;
        }
    }
    if (p == NULL) {
        (void)add(g, at, rest);
    }
}

/* One system call for what was collected; -1: the connection died. */
static ssize_t send_gathered(int fd, const gather *g)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)g->iov,
                             .msg_iovlen = (size_t)g->count};
    int flags = MSG_NOSIGNAL | (g->more ? MSG_MORE : 0);
    ssize_t n;
    do {
        n = g->count == 1 ? send(fd, g->iov[0].iov_base, g->iov[0].iov_len, flags)
                          : sendmsg(fd, &message, flags);
    } while (n < 0 && errno == EINTR);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

static ssize_t read_file(const conn_part *p, void *to, size_t size)
{
    ssize_t n;
    do {
        n = pread(p->fd, to, size, (off_t)p->offset);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* How much of a file goes now; -1: dead, or it is shorter than it was.  *wanted becomes what was offered. */
static ssize_t copy_file(int fd, conn_part *p, part_pool *pool, const brisk_alloc *alloc,
                         uint64_t *wanted)
{
    unsigned char small[STEP_LEAST];
    if (pool->room == NULL) {
        pool->room = alloc->acquire(alloc->ctx, ROOM_BYTES, 1);
    }
    pool->room_used = true;
    void *room = pool->room != NULL ? pool->room : small;
    size_t step = pool->room == NULL ? sizeof small : p->step != 0 ? p->step : STEP_FIRST;
    ssize_t got = read_file(p, room, p->left < step ? (size_t)p->left : step);
    if (got <= 0) {
        return -1;
    }
    gather g = {.iov = {{.iov_base = room, .iov_len = (size_t)got}},
                .count = 1,
                .more = (size_t)got < p->left};
    ssize_t n = send_gathered(fd, &g);
    if (n >= 0) {
        size_t next = n == got ? 2 * step : (size_t)n;
        next = next < STEP_LEAST ? STEP_LEAST : next;
        p->step = (uint32_t)(next < ROOM_BYTES ? next : ROOM_BYTES);
    }
    *wanted = (uint64_t)got;
    return n;
}

/* Likewise, without a copy. */
static ssize_t pass_file(int fd, const conn_part *p, uint64_t *wanted)
{
    off_t offset = (off_t)p->offset;
    *wanted = p->left < TURN_MAX ? p->left : TURN_MAX;
    ssize_t n;
    do {
        n = sendfile(fd, p->fd, &offset, (size_t)*wanted);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    return n == 0 ? -1 : n;
}

bool outgoing_send(int fd, outgoing what, part_pool *pool, const brisk_alloc *alloc, size_t *bytes,
                   uint64_t *all)
{
    *bytes = 0;
    *all = 0;
    while (*all < TURN_MAX && (*bytes < what.size || what.parts->first != NULL)) {
        conn_part *p = what.parts->first;
        bool is_file = p != NULL && p->gap == 0 && p->fd >= 0;
        gather g;
        ssize_t n;
        uint64_t wanted = 0;
        if (is_file) {
            n = what.near ? copy_file(fd, p, pool, alloc, &wanted) : pass_file(fd, p, &wanted);
        } else {
            collect(&what, *bytes, &g);
            wanted = g.size;
            n = send_gathered(fd, &g);
        }
        if (n < 0) {
            return false;
        }
        *all += (uint64_t)n;
        *bytes += advance(what.parts, (uint64_t)n, pool, alloc);
        if ((uint64_t)n < wanted) {
            break; /* the kernel is full */
        }
    }
    return true;
}

/* --- to be encrypted ---------------------------------------------------------------------- */

ptrdiff_t outgoing_next(const outgoing *what, void *room, size_t room_size, const void **ret)
{
    const conn_part *p = what->parts->first;
    if (p == NULL || p->gap > 0) {
        *ret = what->data;
        return (ptrdiff_t)(p != NULL ? p->gap : what->size);
    }
    if (p->fd < 0) {
        *ret = (const char *)brisk_value_data(p->value) + p->offset;
        return (ptrdiff_t)(p->left < room_size ? p->left : room_size);
    }
    size_t wanted = p->left < room_size ? (size_t)p->left : room_size;
    ssize_t got = read_file(p, room, wanted);
    *ret = room;
    return got > 0 ? got : -1;
}

bool outgoing_taken(outgoing *what, size_t size, part_pool *pool, const brisk_alloc *alloc)
{
    size_t bytes = advance(what->parts, size, pool, alloc);
    what->data += bytes;
    what->size -= bytes;
    return bytes > 0;
}
