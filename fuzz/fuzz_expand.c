/*
 * fuzz_expand.c -- any bytes as a compressed body; the first byte chooses codec and limit.  Oracle:
 * nothing beyond the limit, the tail is zero, the same again with room that is there already and with a
 * limit of exactly what came out; one byte less is LIMIT.
 */
#include <string.h>

#include "base/assert.h"
#include "wire/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_room(const expand_room *room, size_t max)
{
    BRISK_ASSERT(room->size <= max && room->size <= room->capacity);
    for (size_t i = 0; i < EXPAND_TAIL; i++) {
        BRISK_ASSERT(room->data[room->size + i] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const codec_id ids[] = {CODEC_GZIP, CODEC_DEFLATE, CODEC_BROTLI, CODEC_ZSTD};
    if (size == 0) {
        return 0;
    }
    codec_id id = ids[data[0] % 4];
    size_t max = (size_t)1 << (data[0] / 4 % 18);
    codec_bytes src = {data + 1, size - 1};
    expander *e = NULL;
    expand_room room = {.alloc = brisk_alloc_libc()};
    expand_room exact = {.alloc = brisk_alloc_libc()};
    brisk_err err = expander_create(brisk_alloc_libc(), &e);
    BRISK_ASSERT(err == BRISK_OK);
    err = expander_run(e, id, src, max, &room);
    if (err == BRISK_OK) {
        check_room(&room, max);
        err = expander_run(e, id, src, room.size, &exact);
        BRISK_ASSERT(err == BRISK_OK && exact.size == room.size);
        BRISK_ASSERT(memcmp(exact.data, room.data, room.size) == 0);
        if (room.size > 0) {
            err = expander_run(e, id, src, room.size - 1, &exact);
            BRISK_ASSERT(err == BRISK_ERR_LIMIT && exact.size == 0);
        }
        err = expander_run(e, id, src, max, &room);
        BRISK_ASSERT(err == BRISK_OK);
        check_room(&room, max);
    } else {
        BRISK_ASSERT(room.size == 0);
    }
    expand_room_deinit(&room);
    expand_room_deinit(&exact);
    expander_destroy(e);
    return 0;
}
