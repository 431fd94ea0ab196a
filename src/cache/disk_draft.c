/*
 * disk_draft.c -- a record before it has a place.
 *
 * The scratch buffer while it is made; the head's size is known last, so the record begins where it
 * must for its value to lie where it was squeezed to:
 *
 *     [ spare | head key meta ] value, squeezed | room to measure | the value, if it was in a file
 */
#include <string.h>

#include <brisk/file.h>

#include "base/assert.h"
#include "cache/disk.h"

/* Head, key, meta data and padding around the value at `at`. */
static void finish(disk_draft *draft, codec_bytes key, codec_bytes meta, unsigned char *at)
{
    const disk_record *record = &draft->record;
    draft->size = disk_record_bytes(record);
    BRISK_ASSERT(draft->size != 0);
    unsigned char *meta_at = at - meta.size;
    if (meta.size != 0) {
        memcpy(meta_at, meta.data, meta.size);
    }
    memcpy(meta_at - key.size, key.data, key.size);
    draft->bytes = meta_at - key.size - disk_record_head_bytes(record);
    disk_record_write_head(draft->bytes, record);
    unsigned char *end = at + record->stored_size;
    memset(end, 0, (size_t)(draft->bytes + draft->size - end));
}

/* Room for a value of `size` bytes and where it begins; `spare`: and for its own bytes, there. */
static brisk_err reserve(const disk_tier *tier, disk_draft *draft, size_t size,
                         unsigned char **ret_at, unsigned char **ret_spare)
{
    size_t before = DISK_RECORD_HEAD_MAX + draft->record.key_size + draft->record.meta_size;
    size_t room = draft->large ? DISK_FILE_REF_BYTES : disk_squeeze_bound(tier, size);
    size_t spare = before + room + DISK_RECORD_ALIGN;
    brisk_err err = disk_scratch_reserve(tier, draft->scratch,
                                         spare + (draft->large ? DISK_RECORD_ALIGN : size));
    if (err == BRISK_OK) {
        *ret_at = draft->scratch->buffer + before;
        *ret_spare = draft->scratch->buffer + spare;
    }
    return err;
}

static brisk_err squeeze(disk_tier *tier, disk_draft *draft, brisk_value *value, unsigned char *at,
                         unsigned char *spare)
{
    codec_bytes bytes = {brisk_value_data(value), (size_t)brisk_value_size(value)};
    if (bytes.data == NULL) {
        brisk_err err = brisk_file_pread_all(brisk_value_fd(value), spare, bytes.size, 0);
        if (err != BRISK_OK) {
            return err;
        }
        bytes.data = spare;
    }
    disk_squeeze(tier, draft->scratch, bytes, at, &draft->record);
    disk_dict_sample(tier, bytes, &draft->record);
    return BRISK_OK;
}

brisk_err disk_draft_make(disk_tier *tier, const brisk_key *key, brisk_value *value,
                          const brisk_entry_opts *opts, disk_draft *draft)
{
    uint64_t size = brisk_value_size(value);
    draft->large = size > tier->large_bytes;
    draft->record = (disk_record){.key_size = (uint32_t)key->size,
                                  .meta_size = opts->meta_size,
                                  .flags = (uint8_t)opts->flags,
                                  .era = opts->era,
                                  .cost_ns = opts->cost_ns,
                                  .expires_at_ns = opts->expires_at_ns};
    unsigned char *at;
    unsigned char *spare;
    brisk_err err = reserve(tier, draft, (size_t)size, &at, &spare);
    if (err != BRISK_OK) {
        return err;
    }
    if (draft->large) {
        draft->record.codec = DISK_FILE;
        draft->record.stored_size = DISK_FILE_REF_BYTES;
        err = disk_large_store(tier, value, opts->expires_at_ns, &draft->ref);
        memcpy(at, &draft->ref, sizeof draft->ref);
    } else {
        err = squeeze(tier, draft, value, at, spare);
    }
    if (err == BRISK_OK) {
        finish(draft, (codec_bytes){key->bytes, key->size},
               (codec_bytes){opts->meta, opts->meta_size}, at);
    }
    return err;
}

brisk_err disk_draft_again(disk_tier *tier, const disk_record *old, disk_draft *draft)
{
    draft->large = false;
    draft->record = *old;
    unsigned char *at;
    unsigned char *raw;
    brisk_err err = reserve(tier, draft, old->raw_size, &at, &raw);
    if (err == BRISK_OK) {
        err = disk_expand(tier, draft->scratch, old, (disk_span){raw, old->raw_size});
    }
    if (err == BRISK_OK) {
        disk_squeeze(tier, draft->scratch, (codec_bytes){raw, old->raw_size}, at, &draft->record);
        finish(draft, (codec_bytes){old->key, old->key_size},
               (codec_bytes){old->meta, old->meta_size}, at);
    }
    return err;
}
