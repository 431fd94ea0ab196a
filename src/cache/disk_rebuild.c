/*
 * disk_rebuild.c -- a new index from the segments, when the old one is gone or damaged.
 *
 * Only while nobody else uses the folder.  What is believed: whole, undamaged, live records up to
 * the end that a clean close noted; without such an end all but the last one, which its writer may
 * not have published (disk.c, rule 7).  What is not believed is killed, so that no later rebuild
 * believes it.  Two live records of one key should not be: both are killed, and the slot is
 * poisoned until the end of the rebuild, so that a third one goes the same way.  Only if they say the
 * same, as after a power loss during a move, one is kept.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

/* --- scanning -------------------------------------------------------------------------------- */

/* Bytes from scan->at on, at least `want` of them if the file has them; returns how many. */
static size_t window(disk_scan *scan, size_t want, const unsigned char **ret)
{
    uint64_t skip = scan->at - scan->buffer_at;
    if (scan->at < scan->buffer_at || skip > scan->buffer_have ||
        scan->buffer_have - (size_t)skip < want) {
        uint64_t left = scan->end - scan->at;
        size_t size = left < scan->buffer_size ? (size_t)left : scan->buffer_size;
        brisk_err err = BRISK_OK; /* an unreadable page ends the segment */
        scan->buffer_have =
            disk_pread_some(scan->tier, scan->fd, (disk_span){scan->buffer, size}, scan->at, &err);
        scan->buffer_at = scan->at;
        skip = 0;
    }
    *ret = scan->buffer + skip;
    return scan->buffer_have - (size_t)skip;
}

bool disk_scan_next(disk_scan *scan, uint64_t *ret_offset, disk_record *ret)
{
    disk_place place = {.seed = scan->tier->seed, .segment = scan->segment};
    while (scan->at < scan->end && scan->end - scan->at >= DISK_RECORD_FIXED) {
        const unsigned char *bytes;
        size_t have = window(scan, DISK_RECORD_FIXED, &bytes);
        if (have < DISK_RECORD_FIXED) {
            return false;
        }
        place.offset = (uint32_t)scan->at;
        disk_verdict verdict = disk_record_check(bytes, have, &place, ret);
        if (verdict == DISK_RECORD_MORE && ret->size <= scan->buffer_size) {
            have = window(scan, (size_t)ret->size, &bytes);
            verdict = disk_record_check(bytes, have, &place, ret);
        }
        if (verdict == DISK_RECORD_OK) {
            *ret_offset = scan->at;
            scan->at += ret->size;
            return true;
        }
        scan->at += DISK_RECORD_ALIGN; /* no record of ours: perhaps one begins behind the damage */
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

/* --- rebuilding ------------------------------------------------------------------------------ */

/* A word that names no segment but keeps its tag: everything that meets it is killed. */
static uint64_t poison_of(const disk_tier *tier, uint16_t tag)
{
    return disk_slot_pack(tier, (disk_slot){.offset = DISK_RECORD_ALIGN, .tag = tag});
}

static void clear_poison(disk_tier *tier)
{
    uint64_t count = (tier->bucket_mask + 1) * DISK_BUCKET_SLOTS;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&tier->slots[i], memory_order_relaxed);
        if (word != 0 && disk_slot_unpack(word).segment == 0) {
            atomic_store_explicit(&tier->slots[i], 0, memory_order_relaxed);
        }
    }
}

/* A slot for the record: the key's or a poisoned one (*ret_same), an empty one or the oldest. */
static _Atomic uint64_t *choose(disk_tier *tier, const disk_ways *ways, bool *ret_same)
{
    _Atomic uint64_t *empty = NULL;
    _Atomic uint64_t *oldest = disk_way(ways, 0);
    for (uint32_t i = 0; i < ways->count; i++) {
        _Atomic uint64_t *slot = disk_way(ways, i);
        uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
        if (word == 0) {
            empty = empty != NULL ? empty : slot;
            continue;
        }
        if (disk_slot_tag(word) == ways->tag &&
            (disk_slot_unpack(word).segment == 0 || !disk_is_other_key(tier, word, ways->key))) {
            *ret_same = true;
            return slot;
        }
        if (disk_slot_unpack(word).segment <
            disk_slot_unpack(atomic_load_explicit(oldest, memory_order_relaxed)).segment) {
            oldest = slot;
        }
    }
    return empty != NULL ? empty : oldest;
}

static bool is_same_entry(const disk_record *a, const disk_record *b)
{
    return a->live && b->live && a->key_size == b->key_size && a->meta_size == b->meta_size &&
           a->stored_size == b->stored_size && a->codec == b->codec && a->dict == b->dict &&
           a->flags == b->flags && a->era == b->era && a->expires_at_ns == b->expires_at_ns &&
           memcmp(a->key, b->key, (size_t)a->key_size + a->meta_size + (size_t)a->stored_size) == 0;
}

/* Whether the record behind `word` says the same as `record`: a move that the power loss cut. */
static bool is_copy(disk_tier *tier, uint64_t word, const disk_record *record)
{
    disk_slot slot = disk_slot_unpack(word);
    disk_place place = {.seed = tier->seed, .segment = slot.segment, .offset = slot.offset};
    size_t size = (size_t)record->size;
    disk_pin pin;
    if (record->codec == DISK_FILE || disk_fd_pin(tier, slot.segment, &pin) != BRISK_OK) {
        return false;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    bool same = false;
    if (scratch != NULL && disk_scratch_reserve(tier, scratch, size) == BRISK_OK) {
        brisk_err err = BRISK_OK;
        disk_record other;
        size_t have =
            disk_pread_some(tier, pin.fd, (disk_span){scratch->buffer, size}, slot.offset, &err);
        same = disk_record_check(scratch->buffer, have, &place, &other) == DISK_RECORD_OK &&
               is_same_entry(&other, record);
    }
    disk_scratch_give(tier, scratch);
    disk_fd_unpin(&pin);
    return same;
}

static brisk_err insert(disk_tier *tier, disk_slot slot, const disk_record *record)
{
    brisk_key key = brisk_key_of(record->key, record->key_size);
    disk_ways ways = disk_ways_of(tier, &key);
    slot.large = record->codec == DISK_FILE;
    slot.tag = ways.tag;
    uint64_t word = disk_slot_pack(tier, slot);
    bool same = false;
    _Atomic uint64_t *place = choose(tier, &ways, &same);
    uint64_t before = atomic_load_explicit(place, memory_order_relaxed);
    brisk_err err = BRISK_OK;
    if (same && disk_slot_unpack(before).segment != 0 && is_copy(tier, before, record)) {
        return disk_kill(tier, word);
    }
    if (before != 0) {
        if (disk_slot_unpack(before).segment != 0) {
            err = disk_kill(tier, before);
        }
        if (err == BRISK_OK && same) {
            err = disk_kill(tier, word);
            word = poison_of(tier, ways.tag);
        }
    }
    atomic_store_explicit(place, word, memory_order_relaxed);
    return err;
}

static brisk_err scan_segment(disk_tier *tier, disk_scan *scan, bool is_clean,
                              uint32_t published_end)
{
    uint64_t offset;
    uint64_t last = 0;
    disk_entry *entry = &tier->entries[scan->segment % tier->header->segment_count];
    disk_record record;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && disk_scan_next(scan, &offset, &record)) {
        last = offset;
        disk_entry_note(entry, record.expires_at_ns);
        if (!record.live) {
            atomic_fetch_add_explicit(&entry->dead, 1, memory_order_relaxed);
        } else {
            disk_slot slot = {.segment = scan->segment, .offset = (uint32_t)offset};
            err = insert(tier, slot, &record);
        }
    }
    if (err != BRISK_OK || is_clean || last == 0 || last < published_end) {
        return err;
    }
    /* Perhaps never published.  Its slot, if it got one, then names a dead record. */
    disk_slot slot = {.segment = scan->segment, .offset = (uint32_t)last};
    return disk_kill(tier, disk_slot_pack(tier, slot));
}

/* `blank`: a scan with a buffer and nothing else. */
static brisk_err rebuild_segment(disk_tier *tier, uint32_t id, const disk_scan *blank)
{
    disk_pin pin;
    brisk_err err = disk_fd_pin(tier, id, &pin);
    if (err != BRISK_OK) {
        return err;
    }
    disk_segment_head head;
    struct stat st;
    size_t have = disk_pread_some(tier, pin.fd, (disk_span){&head, sizeof head}, 0, &err);
    if (err == BRISK_OK && have == 0) {
        err = BRISK_ERR_NOT_FOUND; /* its maker was killed before he wrote the head */
    }
    if (err == BRISK_OK && (have != sizeof head || !disk_segment_head_ok(&head, id, tier->seed) ||
                            fstat(pin.fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        err = BRISK_ERR_CORRUPT;
    }
    if (err == BRISK_OK) {
        uint64_t size = (uint64_t)st.st_size;
        uint32_t clean_end = disk_clean_end_read(head.clean_end, id, tier->seed);
        uint32_t published_end = disk_clean_end_read(head.published_end, id, tier->seed);
        bool is_clean = clean_end >= DISK_SEGMENT_HEAD && clean_end <= size;
        disk_scan scan = {.tier = tier,
                          .fd = pin.fd,
                          .segment = id,
                          .at = DISK_SEGMENT_HEAD,
                          .end = is_clean ? clean_end : size,
                          .buffer = blank->buffer,
                          .buffer_size = blank->buffer_size};
        scan.end = scan.end < DISK_SEGMENT_BYTES_MAX ? scan.end : DISK_SEGMENT_BYTES_MAX;
        disk_entry *entry = &tier->entries[id % tier->header->segment_count];
        uint64_t word =
            disk_entry_word(id, 0, is_clean && size == clean_end ? DISK_CLOSED : DISK_SEALED);
        atomic_store_explicit(&entry->log_bytes, size, memory_order_relaxed);
        atomic_store_explicit(&entry->file_bytes, disk_files_bytes(tier, id), memory_order_relaxed);
        atomic_fetch_add_explicit(&entry->kills, 1, memory_order_relaxed); /* perhaps not synced */
        atomic_store_explicit(&entry->word, word, memory_order_release);
        err = scan_segment(tier, &scan, is_clean, published_end);
        if (err != BRISK_OK) {
            atomic_store_explicit(&entry->word, 0, memory_order_relaxed);
        }
    }
    disk_fd_unpin(&pin);
    return err;
}

static brisk_err rebuild_all(disk_tier *tier, DIR *dir, const disk_scan *blank)
{
    uint64_t newest = 0;
    for (const struct dirent *file; (file = readdir(dir)) != NULL;) {
        uint32_t id = 0;
        if (disk_name_read(file->d_name, &id) != DISK_NAME_SEGMENT) {
            continue;
        }
        newest = id > newest ? id : newest;
        const disk_entry *entry = &tier->entries[id % tier->header->segment_count];
        brisk_err err = BRISK_ERR_CONFLICT;
        if (atomic_load_explicit(&entry->word, memory_order_relaxed) == 0) {
            err = rebuild_segment(tier, id, blank);
        }
        if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
            disk_count(&tier->counters.corrupt, 1);
            brisk_log(BRISK_LOG_WARNING, "cache", "%s/%s: %s, dropping it", tier->path,
                      file->d_name, brisk_err_message(err));
        }
        if (err != BRISK_OK) {
            /* A folder of that name is never believed, so it may stay. */
            if (unlinkat(tier->dir_fd, file->d_name, 0) != 0 && errno != ENOENT &&
                errno != EISDIR) {
                return brisk_err_from_errno(errno); /* it must not be believed next time either */
            }
            (void)disk_slots_clear(tier, id);
        }
    }
    atomic_store_explicit(&tier->header->next_segment, newest + 1, memory_order_relaxed);
    return BRISK_OK;
}

brisk_err disk_rebuild(disk_tier *tier)
{
    DIR *dir = disk_folder_open(tier);
    if (dir == NULL) {
        return brisk_err_from_errno(errno);
    }
    brisk_err err = BRISK_ERR_NOMEM;
    unsigned char *buffer = tier->alloc->acquire(tier->alloc->ctx, DISK_SCAN_BYTES, 64);
    if (buffer != NULL) {
        disk_scan blank = {.buffer = buffer, .buffer_size = DISK_SCAN_BYTES};
        err = rebuild_all(tier, dir, &blank);
        /* Without a segment there are no slots: a new folder is spared the walk. */
        if (atomic_load_explicit(&tier->header->next_segment, memory_order_relaxed) > 1) {
            clear_poison(tier);
        }
        tier->alloc->release(tier->alloc->ctx, buffer, DISK_SCAN_BYTES, 64);
    }
    (void)closedir(dir);
    return err;
}

/* --- slots against records -------------------------------------------------------------------- */

static bool is_named(const disk_tier *tier, uint32_t segment, uint64_t offset,
                     const disk_record *record)
{
    brisk_key key = brisk_key_of(record->key, record->key_size);
    disk_ways ways = disk_ways_of(tier, &key);
    uint64_t word = disk_slot_pack(tier, (disk_slot){.segment = segment,
                                                     .offset = (uint32_t)offset,
                                                     .large = record->codec == DISK_FILE,
                                                     .tag = ways.tag});
    for (uint32_t i = 0; i < ways.count; i++) {
        if (atomic_load_explicit(disk_way(&ways, i), memory_order_relaxed) == word) {
            return true;
        }
    }
    return false;
}

static brisk_err reconcile_segment(disk_tier *tier, uint32_t id, const disk_scan *blank)
{
    disk_pin pin;
    struct stat st;
    brisk_err err = disk_fd_pin(tier, id, &pin);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
    }
    uint64_t size = fstat(pin.fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    disk_scan scan = {.tier = tier,
                      .fd = pin.fd,
                      .segment = id,
                      .at = DISK_SEGMENT_HEAD,
                      .end = size < DISK_SEGMENT_BYTES_MAX ? size : DISK_SEGMENT_BYTES_MAX,
                      .buffer = blank->buffer,
                      .buffer_size = blank->buffer_size};
    uint64_t offset;
    disk_record record;
    while (err == BRISK_OK && disk_scan_next(&scan, &offset, &record)) {
        if (record.live && !is_named(tier, id, offset, &record)) {
            disk_slot slot = {.segment = id, .offset = (uint32_t)offset};
            err = disk_kill(tier, disk_slot_pack(tier, slot));
        }
    }
    disk_fd_unpin(&pin);
    return err;
}

brisk_err disk_reconcile(disk_tier *tier)
{
    unsigned char *buffer = tier->alloc->acquire(tier->alloc->ctx, DISK_SCAN_BYTES, 64);
    if (buffer == NULL) {
        return BRISK_ERR_NOMEM;
    }
    disk_scan blank = {.buffer = buffer, .buffer_size = DISK_SCAN_BYTES};
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < tier->header->segment_count && err == BRISK_OK; i++) {
        uint64_t word = atomic_load_explicit(&tier->entries[i].word, memory_order_relaxed);
        if (disk_entry_state(word) != DISK_FREE) {
            err = reconcile_segment(tier, disk_entry_id(word), &blank);
        }
    }
    tier->alloc->release(tier->alloc->ctx, buffer, DISK_SCAN_BYTES, 64);
    return err;
}
