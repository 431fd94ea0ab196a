/*
 * disk_scan.c -- reading a segment from its beginning, and what is in a folder.
 *
 * Segments are looked at through a mapping, or read in chunks that stay in the second cache while
 * their records are summed; only a record larger than that takes the whole buffer.
 *
 * A scan that glances sums nothing: a record is one if its head makes sense and the next one begins
 * where it ends, or the segment ends there.  Only where that is not so the record is summed, and if it
 * is damaged the next one is searched from there on.  So damage to a head is found, as its state word
 * or its size leads nowhere, and damage to a key or value is not: the index then names a record that
 * every get refuses, since gets sum (a miss, as it should be).  What the bytes of a damaged record
 * or of a value could feign is no more than that, at worst instead of a good record of the same key
 * (a miss too).  Glancing is for segments that were closed in order: up to their noted end every
 * record was complete and published.  In others the last record matters (disk.c, rule 7), so there
 * all are summed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/disk.h"

enum { CHUNK_BYTES = 256 << 10, AHEAD = 8, LINE_BYTES = 64 };

/* --- scanning -------------------------------------------------------------------------------- */

/* Bytes from scan->at on, at least `want` of them if the file has them; returns how many. */
static size_t window(disk_scan *scan, size_t want, const unsigned char **ret)
{
    if (scan->map != NULL) {
        *ret = scan->map + scan->at;
        return (size_t)(scan->end - scan->at);
    }
    uint64_t skip = scan->at - scan->buffer_at;
    if (scan->at < scan->buffer_at || skip > scan->buffer_have ||
        scan->buffer_have - (size_t)skip < want) {
        uint64_t left = scan->end - scan->at;
        size_t size = want > CHUNK_BYTES ? scan->buffer_size : CHUNK_BYTES;
        size = size < scan->buffer_size ? size : scan->buffer_size;
        size = left < size ? (size_t)left : size;
        brisk_err err = BRISK_OK; /* an unreadable page ends the segment */
        scan->buffer_have =
            disk_pread_some(scan->tier, scan->fd, (disk_span){scan->buffer, size}, scan->at, &err);
        scan->buffer_at = scan->at;
        skip = 0;
    }
    *ret = scan->buffer + skip;
    return scan->buffer_have - (size_t)skip;
}

/* Whether a head could begin behind the `size` bytes of a record, or the segment ends there. */
static bool is_followed(const disk_scan *scan, const unsigned char *bytes, uint64_t size)
{
    uint64_t left = scan->end - scan->at - size;
    if (left < DISK_RECORD_FIXED) {
        return left == 0;
    }
    uint32_t state = disk_record_state(bytes + size);
    return state == DISK_RECORD_LIVE || state == DISK_RECORD_DEAD;
}

/* The damaged record is one that a glance believes, or would have: what it covers was not seen then. */
static bool is_glanced_over(disk_scan *scan, disk_record *ret)
{
    const unsigned char *bytes;
    uint64_t end = scan->end < scan->closed_end ? scan->end : scan->closed_end;
    if (scan->at >= end) {
        return false;
    }
    size_t left = (size_t)(end - scan->at);
    size_t want = left < DISK_RECORD_HEAD_MAX ? left : DISK_RECORD_HEAD_MAX;
    if (window(scan, want, &bytes) < want ||
        disk_record_glance(bytes, left, (uint32_t)scan->at, ret) != DISK_RECORD_OK) {
        return false;
    }
    unsigned char next[sizeof(uint32_t)] = {0};
    uint64_t at = scan->at + ret->size;
    if (end - at < DISK_RECORD_FIXED) {
        return end == at;
    }
    if (scan->map != NULL) {
        memcpy(next, scan->map + at, sizeof next);
    } else {
        brisk_err err = BRISK_OK; /* an unreadable page leads nowhere */
        (void)disk_pread_some(scan->tier, scan->fd, (disk_span){next, sizeof next}, at, &err);
    }
    uint32_t state = disk_record_state(next);
    return state == DISK_RECORD_LIVE || state == DISK_RECORD_DEAD;
}

/* A record that need not be summed. */
static bool glance(disk_scan *scan, disk_record *ret)
{
    if (!scan->glances || scan->map == NULL) {
        return false;
    }
    const unsigned char *bytes = scan->map + scan->at;
    size_t left = (size_t)(scan->end - scan->at);
    if (disk_record_glance(bytes, left, (uint32_t)scan->at, ret) != DISK_RECORD_OK ||
        !is_followed(scan, bytes, ret->size)) {
        return false;
    }
    if (ret->size < left / AHEAD) { /* records of one kind are of about one size */
        __builtin_prefetch(bytes + AHEAD * ret->size);
        __builtin_prefetch(bytes + AHEAD * ret->size + LINE_BYTES);
    }
    return true;
}

bool disk_scan_next(disk_scan *scan, uint64_t *ret_offset, disk_record *ret)
{
    disk_place place = {.seed = scan->tier->seed, .segment = scan->segment};
    while (scan->at < scan->end && scan->end - scan->at >= DISK_RECORD_FIXED) {
        const unsigned char *bytes;
        if (glance(scan, ret)) {
            *ret_offset = scan->at;
            scan->at += ret->size;
            return true;
        }
        size_t have = window(scan, DISK_RECORD_FIXED, &bytes);
        if (have < DISK_RECORD_FIXED) {
            return false;
        }
        place.offset = (uint32_t)scan->at;
        disk_verdict verdict = disk_record_check(bytes, have, &place, ret);
        if (verdict == DISK_RECORD_MORE && scan->map == NULL && ret->size <= scan->buffer_size) {
            have = window(scan, (size_t)ret->size, &bytes);
            verdict = disk_record_check(bytes, have, &place, ret);
        }
        if (verdict == DISK_RECORD_OK) {
            *ret_offset = scan->at;
            scan->at += ret->size;
            return true;
        }
        /* No record of ours: perhaps one begins behind the damage. */
        scan->at += is_glanced_over(scan, ret) ? ret->size : DISK_RECORD_ALIGN;
    }
    return false;
}

/* --- the folder ------------------------------------------------------------------------------ */

disk_name_kind disk_name_read(const char *name, uint32_t *ret_number)
{
    uint32_t number = 0;
    for (int i = 0; i < 8; i++) {
        char c = name[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) {
            return DISK_NAME_OTHER;
        }
        number = number << 4 | (uint32_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *ret_number = number;
    if (strcmp(name + 8, ".dict") == 0) {
        return number >= 1 && number <= DISK_DICT_MAX ? DISK_NAME_DICT : DISK_NAME_OTHER;
    }
    bool is_files = strcmp(name + 8, ".files") == 0;
    if ((!is_files && strcmp(name + 8, ".seg") != 0) || number == 0 ||
        number > DISK_SEGMENT_ID_MAX) {
        return DISK_NAME_OTHER;
    }
    return is_files ? DISK_NAME_FILES : DISK_NAME_SEGMENT;
}

DIR *disk_folder_open(const disk_tier *tier)
{
    int fd = openat(tier->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0) {
        (void)close(fd);
    }
    return dir;
}

void disk_folder_sweep(disk_tier *tier, bool orphans_only)
{
    DIR *dir = disk_folder_open(tier);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *file; (file = readdir(dir)) != NULL;) {
        uint32_t id = 0;
        disk_name_kind kind = disk_name_read(file->d_name, &id);
        if (kind == DISK_NAME_OTHER ||
            (orphans_only && (kind == DISK_NAME_DICT || disk_entry_find(tier, id) != NULL))) {
            continue; /* dictionaries: disk_dict_recover */
        }
        if (kind == DISK_NAME_FILES) {
            (void)disk_files_remove(tier, id);
        } else {
            (void)unlinkat(tier->dir_fd, file->d_name, 0);
        }
    }
    (void)closedir(dir);
}
