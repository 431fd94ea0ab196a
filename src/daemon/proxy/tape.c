/*
 * tape.c -- see tape.h.
 *
 * The writer copies, then stores `filled` (release); it sets `next` (release) when a piece is full.  A reader that sees
 * `next` looks at `filled` once more: nothing is added to a piece that has one.
 */
#include "daemon/proxy/tape.h"

#include <string.h>

#include "base/assert.h"

enum { PIECE_FIRST = 16384, PIECE_MOST = 1048576 };

static tape_piece *make_piece(const brisk_alloc *alloc, size_t room)
{
    tape_piece *piece = alloc->acquire(alloc->ctx, sizeof *piece + room, _Alignof(tape_piece));
    if (piece != NULL) {
        *piece = (tape_piece){.alloc = alloc, .refs = 1, .capacity = room};
        piece->data = (unsigned char *)(piece + 1);
    }
    return piece;
}

tape_piece *tape_piece_ref(tape_piece *piece)
{
    (void)atomic_fetch_add_explicit(&piece->refs, 1, memory_order_relaxed);
    return piece;
}

void tape_piece_unref(tape_piece *piece)
{
    /* Acquire and release: whoever frees it sees all that was done with it.  In a loop: it may be a long tape. */
    while (piece != NULL && atomic_fetch_sub_explicit(&piece->refs, 1, memory_order_acq_rel) == 1) {
        const brisk_alloc *alloc = piece->alloc;
        tape_piece *next = atomic_load_explicit(&piece->next, memory_order_relaxed);
        size_t room = piece->value != NULL ? 0 : piece->capacity;
        brisk_value_unref(piece->value);
        alloc->release(alloc->ctx, piece, sizeof *piece + room, _Alignof(tape_piece));
        piece = next;
    }
}

bool tape_open(tape *t, const brisk_alloc *alloc, brisk_value *value, unsigned char *data,
               size_t size)
{
    tape_piece *piece = make_piece(alloc, value != NULL ? 0 : PIECE_FIRST);
    if (piece == NULL) {
        return false;
    }
    if (value != NULL) {
        piece->value = brisk_value_ref(value);
        piece->data = data;
        piece->capacity = size;
    }
    *t = (tape){.first = piece, .last = tape_piece_ref(piece)};
    return true;
}

/* Behind what is in `piece`, which has room for it. */
static void fill(tape_piece *piece, const void *data, size_t size)
{
    size_t filled = atomic_load_explicit(&piece->filled, memory_order_relaxed); /* our own */
    if (size > 0) {
        memcpy(piece->data + filled, data, size);
        atomic_store_explicit(&piece->filled, filled + size, memory_order_release);
    }
}

/* One to come behind `last`, with room for `least` bytes and more. */
static tape_piece *make_next(const tape_piece *last, size_t least)
{
    size_t room = last->capacity < PIECE_MOST ? last->capacity * 2 : PIECE_MOST;
    return last->value == NULL ? make_piece(last->alloc, room > least ? room : least) : NULL;
}

bool tape_put(tape *t, const void *data, size_t size)
{
    tape_piece *last = t->last;
    size_t room = last->capacity - atomic_load_explicit(&last->filled, memory_order_relaxed);
    size_t part = size < room ? size : room;
    tape_piece *next = NULL;
    if (size > part && (next = make_next(last, size - part)) == NULL) {
        return false;
    }
    fill(last, data, part);
    if (next != NULL) {
        fill(next, (const unsigned char *)data + part, size - part);
        t->last = tape_piece_ref(next);
        atomic_store_explicit(&last->next, next,
                              memory_order_release); /* has the first reference */
        tape_piece_unref(last);
    }
    return true;
}

void tape_forget(tape *t)
{
    tape_piece_unref(t->first);
    t->first = NULL;
}

void tape_close(tape *t)
{
    tape_forget(t);
    tape_piece_unref(t->last);
    t->last = NULL;
}

void tape_read(tape_reader *r, tape_piece *first)
{
    BRISK_ASSERT(r->piece == NULL);
    *r = (tape_reader){.piece = tape_piece_ref(first)};
}

size_t tape_next(tape_reader *r, const unsigned char **data)
{
    while (r->piece != NULL) {
        tape_piece *next = atomic_load_explicit(&r->piece->next, memory_order_acquire);
        size_t filled = atomic_load_explicit(&r->piece->filled, memory_order_acquire);
        if (filled > r->at) {
            *data = r->piece->data + r->at;
            return filled - r->at;
        }
        if (next == NULL) {
            return 0;
        }
        tape_piece *done = r->piece;
        *r = (tape_reader){.piece = tape_piece_ref(next)};
        tape_piece_unref(done);
    }
    return 0;
}

void tape_took(tape_reader *r, size_t size)
{
    r->at += size;
}

void tape_leave(tape_reader *r)
{
    tape_piece_unref(r->piece);
    *r = (tape_reader){.piece = NULL};
}
