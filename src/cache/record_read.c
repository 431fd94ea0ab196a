/*
 * record_read.c -- the reader behind <brisk/record.h>.
 *
 * Every byte is hostile: sizes are checked against what is there before use, checksums before the
 * bytes are believed, and each byte of the file is looked at a bounded number of times: a head that
 * is whole is believed about its length, even when what it holds is damaged.
 */
#include <string.h>

#include <brisk/file.h>

#include "base/assert.h"
#include "cache/record_file.h"
#include "wire/codec.h"

static const uint64_t file_max = UINT64_C(1) << 40;

struct brisk_recording {
    const brisk_alloc *alloc;
    codec_kit *kit;
    brisk_file_view view; /* zeroed when read from memory */
    const unsigned char *data;
    size_t size;
    size_t at;        /* the next block */
    uint32_t left;    /* records of the block that was opened last */
    size_t raw_at;    /* the next of them ... */
    size_t raw_size;  /* ... of so many bytes in `raw` */
    uint64_t time_ns; /* of the record before */
    brisk_recording_stats stats;
    unsigned char raw[RECORD_RAW_MAX];
};

brisk_err brisk_recording_open_bytes(const void *data, size_t size, const brisk_alloc *alloc,
                                     brisk_recording **ret)
{
    BRISK_ASSERT(ret != NULL);
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    uint32_t flags = 0;
    if (size < RECORD_FILE_HEAD || !record_file_head_read(data, &flags)) {
        return BRISK_ERR_CORRUPT;
    }
    brisk_recording *recording =
        alloc->acquire(alloc->ctx, sizeof *recording, _Alignof(brisk_recording));
    if (recording == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(recording, 0, offsetof(brisk_recording, raw));
    recording->alloc = alloc;
    recording->data = data;
    recording->size = size;
    recording->at = RECORD_FILE_HEAD;
    recording->stats.has_keys = (flags & RECORD_FLAG_KEYS) != 0;
    brisk_err err = codec_kit_create(alloc, &recording->kit);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, recording, sizeof *recording, _Alignof(brisk_recording));
        return err;
    }
    *ret = recording;
    return BRISK_OK;
}

brisk_err brisk_recording_open(const char *path, const brisk_alloc *alloc, brisk_recording **ret,
                               brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(path, file_max, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_recording_open_bytes(view.data, view.size, alloc, ret);
    if (err != BRISK_OK) {
        brisk_file_view_close(&view);
        return brisk_errinfo_set(info, err, "%s: %s", path,
                                 err == BRISK_ERR_CORRUPT ? "no recording of a cache"
                                                          : brisk_err_message(err));
    }
    (*ret)->view = view;
    return BRISK_OK;
}

void brisk_recording_close(brisk_recording *recording)
{
    if (recording == NULL) {
        return;
    }
    codec_kit_destroy(recording->kit);
    brisk_file_view_close(&recording->view);
    const brisk_alloc *alloc = recording->alloc;
    alloc->release(alloc->ctx, recording, sizeof *recording, _Alignof(brisk_recording));
}

void brisk_recording_read_stats(const brisk_recording *recording, brisk_recording_stats *ret)
{
    *ret = recording->stats;
}

/* The next place that holds the head of a block; false: none any more. */
static bool find_block(brisk_recording *r, record_block *block)
{
    size_t begin = r->at;
    while (r->size - r->at >= RECORD_BLOCK_HEAD) {
        if (record_block_read(r->data + r->at, block)) {
            r->stats.damaged += r->at != begin ? 1 : 0;
            return true;
        }
        r->at += 8;
    }
    r->stats.torn = r->stats.torn || r->at < r->size || r->at != begin;
    r->at = r->size;
    return false;
}

/* Expand the block at `at`; its records are next. */
static brisk_err open_block(brisk_recording *r, const record_block *block)
{
    const unsigned char *packed = r->data + r->at + RECORD_BLOCK_HEAD;
    size_t padded = (block->packed_size + (size_t)7) & ~(size_t)7;
    if (r->size - r->at - RECORD_BLOCK_HEAD < padded) {
        r->stats.torn = true;
        r->at = r->size;
        return BRISK_ERR_NOT_FOUND;
    }
    r->at += RECORD_BLOCK_HEAD + padded;
    if (brisk_hash64(packed, block->packed_size, 0) != block->packed_hash ||
        block->codec >= CODEC_COUNT) {
        return BRISK_ERR_CORRUPT;
    }
    codec_how how = {.id = (codec_id)block->codec};
    brisk_err err = codec_expand(r->kit, &how, (codec_bytes){packed, block->packed_size},
                                 (codec_room){r->raw, block->raw_size});
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOMEM ? err : BRISK_ERR_CORRUPT;
    }
    r->left = block->count;
    r->raw_at = 0;
    r->raw_size = block->raw_size;
    r->time_ns = block->time_ns;
    r->stats.blocks++;
    r->stats.dropped += block->dropped;
    return BRISK_OK;
}

brisk_err brisk_recording_next(brisk_recording *r, brisk_record *ret)
{
    while (r->left == 0) {
        record_block block;
        if (!find_block(r, &block)) {
            return BRISK_ERR_NOT_FOUND;
        }
        brisk_err err = open_block(r, &block);
        if (err == BRISK_ERR_NOMEM || err == BRISK_ERR_NOT_FOUND) {
            return err;
        }
        r->stats.damaged += err != BRISK_OK ? 1 : 0;
    }
    brisk_record record;
    size_t used = record_read(r->raw + r->raw_at, r->raw_size - r->raw_at, &record, &r->time_ns);
    if (used == 0) { /* a block with a good checksum that lies: made, not damaged */
        r->stats.damaged++;
        r->left = 0;
        return brisk_recording_next(r, ret);
    }
    r->raw_at += used;
    r->left--;
    r->stats.records++;
    *ret = record;
    return BRISK_OK;
}
