/*
 * disk_dict.c -- dictionaries for zstd, trained on what is put: <number>.dict.
 *
 *     head { magic, number, size, checksum }  bytes
 *
 * A number is used once under one seed: `state` counts them, durably, before the file is made.  The
 * file's checksum has the seed and the number in it, and the record's checksum covers its number.
 * So a number leads to the very bytes that the record was squeezed with, or to nothing, and then
 * the record is a miss.  The newest DISK_DICTS files are kept.
 *
 * Training: values are kept until there are enough; three quarters of them make two dictionaries, the
 * last quarter tells which is better and whether it is a tenth better than what is used now, and only then it becomes
 * the folder's.  Afterwards the ratio is watched, and samples are taken again when it has become an
 * eighth worse than it was at first.  Tries are an eighth of the bound apart, twice that after each
 * that was in vain; so when a dictionary's file goes, most of its segments are gone too.
 *
 * Threads: the trainer's lock is only tried by puts; dict_lock is held while a file is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    FILE_BYTES_MAX = 1 << 20,
    SAMPLES_FEW = 64,
    SAMPLE_BYTES_MIN = 32,
    SAMPLES_BYTES_FEW = 32 << 10,
    SAMPLES_ALIGN = 64,
    WINDOW_BYTES = 4 << 20,
    AGAIN_EVERY = 8, /* after the first one: every eighth value is a sample */
};

typedef struct disk_dict_head {
    uint64_t magic;
    uint32_t number;
    uint32_t size;
    uint64_t checksum; /* of the bytes; the seed has the rest in it */
} disk_dict_head;

static uint64_t sum_of(const disk_tier *tier, const disk_dict_head *head, const void *bytes)
{
    return brisk_hash64(bytes, head->size,
                        brisk_hash64(head, offsetof(disk_dict_head, checksum), tier->seed));
}

/* --- files -------------------------------------------------------------------------------------- */

/* NOT_FOUND: lost or damaged, for good. */
static brisk_err read_whole(const disk_tier *tier, int fd, uint32_t number, codec_dict **ret)
{
    disk_dict_head head;
    brisk_err err = BRISK_OK;
    size_t have = disk_pread_some(tier, fd, (disk_span){&head, sizeof head}, 0, &err);
    if (err != BRISK_OK) {
        return err;
    }
    if (have != sizeof head || head.magic != DISK_DICT_MAGIC || head.number != number ||
        head.size == 0 || head.size > FILE_BYTES_MAX) {
        return BRISK_ERR_NOT_FOUND;
    }
    void *bytes = tier->alloc->acquire(tier->alloc->ctx, head.size, SAMPLES_ALIGN);
    if (bytes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    have = disk_pread_some(tier, fd, (disk_span){bytes, head.size}, sizeof head, &err);
    if (err == BRISK_OK && (have != head.size || head.checksum != sum_of(tier, &head, bytes))) {
        err = BRISK_ERR_NOT_FOUND;
    }
    if (err == BRISK_OK) {
        err = codec_dict_create((codec_bytes){bytes, head.size}, tier->level, tier->alloc, ret);
        err = err == BRISK_ERR_INVALID ? BRISK_ERR_NOT_FOUND : err;
    }
    tier->alloc->release(tier->alloc->ctx, bytes, head.size, SAMPLES_ALIGN);
    return err;
}

static brisk_err load(const disk_tier *tier, uint32_t number, codec_dict **ret)
{
    char name[DISK_NAME_MAX];
    disk_dict_name(name, number);
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd = tier->sys->openat(tier->dir_fd, name, flags, 0);
    if (fd < 0) {
        brisk_err err = brisk_err_from_errno(errno);
        return err == BRISK_ERR_NOT_FOUND ? err : BRISK_ERR_IO;
    }
    brisk_err err = read_whole(tier, fd, number, ret);
    (void)close(fd);
    return err;
}

static brisk_err write_file(const disk_tier *tier, uint32_t number, codec_bytes bytes)
{
    char name[DISK_NAME_MAX];
    disk_dict_name(name, number);
    disk_dict_head head = {
        .magic = DISK_DICT_MAGIC, .number = number, .size = (uint32_t)bytes.size};
    head.checksum = sum_of(tier, &head, bytes.data);
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = tier->sys->openat(tier->dir_fd, name, flags, 0600);
    if (fd < 0) {
        return brisk_err_from_errno(errno);
    }
    brisk_err err = disk_pwrite_all(tier, fd, bytes.data, bytes.size, sizeof head);
    if (err == BRISK_OK) {
        err = disk_pwrite_all(tier, fd, &head, sizeof head, 0);
    }
    if (err == BRISK_OK && tier->sys->fdatasync(fd) != 0) {
        err = BRISK_ERR_IO;
    }
    (void)close(fd);
    if (err != BRISK_OK) {
        (void)unlinkat(tier->dir_fd, name, 0);
    }
    return err;
}

static void remove_file(const disk_tier *tier, uint32_t number)
{
    char name[DISK_NAME_MAX];
    disk_dict_name(name, number);
    (void)unlinkat(tier->dir_fd, name, 0);
}

/* --- use ------------------------------------------------------------------------------------------ */

uint32_t disk_dict_newest(const disk_tier *tier)
{
    /* Acquire: pairs with the release in publish; the file was there before. */
    return atomic_load_explicit(&tier->header->dict, memory_order_acquire);
}

/* Under dict_lock: the dictionary from the table or the folder, with a reference; NULL: none. */
static codec_dict *find_locked(disk_tier *tier, uint32_t number, brisk_err *ret_err)
{
    disk_dict *place = &tier->dicts[number % DISK_DICTS];
    if (place->number == number) {
        *ret_err = BRISK_ERR_NOT_FOUND;
        return place->dict != NULL ? codec_dict_ref(place->dict) : NULL;
    }
    codec_dict *dict = NULL;
    *ret_err = load(tier, number, &dict);
    if (*ret_err == BRISK_ERR_NOT_FOUND) { /* files are there before they are used */
        atomic_store_explicit(&tier->dict_lost, number, memory_order_relaxed);
    }
    if (*ret_err == BRISK_OK || *ret_err == BRISK_ERR_NOT_FOUND) {
        codec_dict_unref(place->dict);
        *place = (disk_dict){number, dict};
    }
    return dict != NULL ? codec_dict_ref(dict) : NULL;
}

const codec_dict *disk_dict_get(disk_tier *tier, disk_scratch *scratch, uint32_t number,
                                brisk_err *ret_err)
{
    disk_dict *mine = &scratch->dicts[number & 1];
    if (mine->number == number) {
        *ret_err = BRISK_ERR_NOT_FOUND;
        return mine->dict;
    }
    if (number == 0 || number > DISK_DICT_MAX) {
        *ret_err = BRISK_ERR_NOT_FOUND; /* a damaged index */
        return NULL;
    }
    pthread_mutex_lock(&tier->dict_lock);
    codec_dict *dict = find_locked(tier, number, ret_err);
    pthread_mutex_unlock(&tier->dict_lock);
    if (dict != NULL || *ret_err == BRISK_ERR_NOT_FOUND) {
        codec_dict_unref(mine->dict);
        *mine = (disk_dict){number, dict};
    }
    return dict;
}

void disk_dict_free_all(disk_tier *tier)
{
    for (uint32_t i = 0; i < DISK_DICTS; i++) {
        codec_dict_unref(tier->dicts[i].dict);
    }
    if (tier->trainer.samples != NULL) {
        tier->alloc->release(tier->alloc->ctx, tier->trainer.samples, DISK_SAMPLES_BYTES,
                             SAMPLES_ALIGN);
    }
}

void disk_dict_recover(disk_tier *tier, const disk_state *state)
{
    uint32_t newest = 0;
    for (int pass = 0; pass < 2; pass++) {
        DIR *dir = disk_folder_open(tier);
        if (dir == NULL) {
            return;
        }
        for (const struct dirent *file; (file = readdir(dir)) != NULL;) {
            uint32_t number = 0;
            if (disk_name_read(file->d_name, &number) != DISK_NAME_DICT) {
                continue;
            }
            if (number > state->dict_count || number + DISK_DICTS <= newest) {
                (void)unlinkat(tier->dir_fd, file->d_name, 0);
            } else if (number > newest) {
                newest = number;
            }
        }
        (void)closedir(dir);
    }
    atomic_store_explicit(&tier->header->dict, newest, memory_order_release);
}

/* --- samples ------------------------------------------------------------------------------------ */

/* Under the trainer's lock: begin, or do not. */
static void want_samples(disk_tier *tier)
{
    disk_trainer *trainer = &tier->trainer;
    if (trainer->samples == NULL) {
        trainer->samples =
            tier->alloc->acquire(tier->alloc->ctx, DISK_SAMPLES_BYTES, SAMPLES_ALIGN);
    }
    trainer->count = 0;
    trainer->bytes = 0;
    atomic_store_explicit(&trainer->ready, false, memory_order_relaxed);
    atomic_store_explicit(&trainer->wanted, trainer->samples != NULL, memory_order_relaxed);
}

static void keep_sample(disk_trainer *trainer, codec_bytes value)
{
    size_t size = value.size < DISK_SAMPLE_BYTES ? value.size : DISK_SAMPLE_BYTES;
    if (trainer->samples == NULL || atomic_load_explicit(&trainer->ready, memory_order_relaxed)) {
        return;
    }
    memcpy(trainer->samples + trainer->bytes, value.data, size);
    trainer->sizes[trainer->count++] = size;
    trainer->bytes += size;
    if (trainer->count == DISK_SAMPLES_MAX ||
        trainer->bytes + DISK_SAMPLE_BYTES > DISK_SAMPLES_BYTES) {
        atomic_store_explicit(&trainer->wanted, false, memory_order_relaxed);
        atomic_store_explicit(&trainer->ready, true, memory_order_release);
    }
}

static uint64_t given(const disk_tier *tier)
{
    return atomic_load_explicit(&tier->counters.raw_bytes, memory_order_relaxed);
}

/* Under the trainer's lock, at the end of a window: has the data changed? */
static void look_at_window(disk_tier *tier)
{
    disk_trainer *trainer = &tier->trainer;
    uint64_t raw = atomic_exchange_explicit(&trainer->raw_bytes, 0, memory_order_relaxed);
    uint64_t stored = atomic_exchange_explicit(&trainer->stored_bytes, 0, memory_order_relaxed);
    if (raw < WINDOW_BYTES) {
        return; /* somebody else was here */
    }
    uint64_t permille = stored * 1000 / raw;
    if (trainer->permille == 0) {
        trainer->permille = permille != 0 ? permille : 1;
    } else if (permille > trainer->permille + trainer->permille / 8 &&
               given(tier) >= trainer->next_at &&
               !atomic_load_explicit(&trainer->ready, memory_order_relaxed)) {
        want_samples(tier);
    }
}

/* Without a dictionary, or none that gained: is it time to try? */
static bool may_begin(const disk_tier *tier)
{
    const disk_trainer *trainer = &tier->trainer;
    uint32_t newest = disk_dict_newest(tier);
    return !atomic_load_explicit(&trainer->ready, memory_order_relaxed) &&
           (newest == 0 ||
            newest == atomic_load_explicit(&tier->dict_lost, memory_order_relaxed)) &&
           given(tier) >= trainer->next_at;
}

void disk_dict_sample(disk_tier *tier, codec_bytes value, const disk_record *record)
{
    static _Thread_local uint32_t tick;
    disk_trainer *trainer = &tier->trainer;
    if (!tier->has_dicts || value.size < SAMPLE_BYTES_MIN) {
        return;
    }
    bool window = false;
    if (record->dict != 0) {
        atomic_fetch_add_explicit(&trainer->stored_bytes, record->stored_size,
                                  memory_order_relaxed);
        window = atomic_fetch_add_explicit(&trainer->raw_bytes, value.size, memory_order_relaxed) >=
                 WINDOW_BYTES;
    }
    bool wanted = atomic_load_explicit(&trainer->wanted, memory_order_relaxed);
    bool sample = wanted && (record->dict == 0 || ++tick % AGAIN_EVERY == 0);
    bool begin = !wanted && record->dict == 0 && may_begin(tier);
    if ((window || sample || begin) && pthread_mutex_trylock(&trainer->lock) == 0) {
        if (window) {
            look_at_window(tier);
        }
        if (begin) {
            want_samples(tier);
        }
        if (sample || begin) {
            keep_sample(trainer, value);
        }
        pthread_mutex_unlock(&trainer->lock);
    }
}

/* --- training ------------------------------------------------------------------------------------- */

bool disk_dict_is_due(const disk_tier *tier)
{
    return atomic_load_explicit(&tier->trainer.ready, memory_order_acquire);
}

/* What the samples from `first` on become. */
static uint64_t squeezed_size(const disk_tier *tier, codec_kit *kit, const codec_how *how,
                              uint32_t first)
{
    const disk_trainer *trainer = &tier->trainer;
    unsigned char out[DISK_SAMPLE_BYTES + 512];
    uint64_t sum = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < trainer->count; i++) {
        size_t size = trainer->sizes[i];
        size_t done = size;
        codec_bytes sample = {trainer->samples + at, size};
        if (i >= first &&
            codec_squeeze(kit, how, sample, (codec_room){out, sizeof out}, &done) == BRISK_OK) {
            sum += done < size ? done : size;
        }
        at += size;
    }
    return sum;
}

/* Whether `new_size` is a tenth better for the samples from `first` on than what is used now. */
static bool gains(disk_tier *tier, disk_scratch *scratch, uint64_t new_size, uint32_t first)
{
    uint32_t number = disk_dict_newest(tier);
    brisk_err ignored = BRISK_OK;
    codec_how without = {.id = CODEC_ZSTD, .level = tier->level};
    codec_how now = without;
    now.dict = number != 0 ? disk_dict_get(tier, scratch, number, &ignored) : NULL;
    uint64_t now_size = squeezed_size(tier, scratch->kit, &now, first);
    uint64_t raw_size = squeezed_size(tier, scratch->kit, &without, first);
    if (new_size == 0 || new_size > now_size - now_size / 10) {
        return false;
    }
    atomic_store_explicit(&tier->trainer.gain_permille,
                          (uint32_t)(1000 - 1000 * new_size / raw_size), memory_order_relaxed);
    return true;
}

/* Under structure: a number of its own, the file, then everybody may use it. */
static brisk_err publish_locked(disk_tier *tier, codec_dict *dict, uint32_t seen)
{
    disk_state state;
    brisk_err err = disk_state_read(tier, &state);
    if (err != BRISK_OK) {
        return err;
    }
    if (disk_dict_newest(tier) != seen || state.dict_count >= DISK_DICT_MAX) {
        return BRISK_ERR_CONFLICT; /* another process was faster */
    }
    uint32_t number = ++state.dict_count;
    err = disk_state_write(tier, &state, true);
    if (err == BRISK_OK) {
        err = write_file(tier, number, codec_dict_bytes(dict));
    }
    if (err != BRISK_OK) {
        return err;
    }
    pthread_mutex_lock(&tier->dict_lock);
    disk_dict *place = &tier->dicts[number % DISK_DICTS];
    codec_dict_unref(place->dict);
    *place = (disk_dict){number, codec_dict_ref(dict)};
    pthread_mutex_unlock(&tier->dict_lock);
    atomic_store_explicit(&tier->header->dict, number, memory_order_release);
    for (uint32_t old = DISK_DICTS; old < 2 * DISK_DICTS && old < number; old++) {
        remove_file(tier, number - old);
    }
    return BRISK_OK;
}

static brisk_err publish(disk_tier *tier, codec_dict *dict, uint32_t seen)
{
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = disk_structure_enter(tier);
    if (err == BRISK_OK) {
        err = publish_locked(tier, dict, seen);
        disk_structure_leave(tier);
    }
    pthread_mutex_unlock(&tier->write_lock);
    return err;
}

/* A dictionary of pieces of that length from the samples before `first`; NULL: none. */
static codec_dict *make_dict(disk_tier *tier, uint32_t first, uint32_t piece_bytes)
{
    disk_trainer *trainer = &tier->trainer;
    unsigned char bytes[CODEC_DICT_BYTES];
    size_t size = 0;
    codec_dict *dict = NULL;
    codec_samples samples = {trainer->samples, trainer->sizes, first, piece_bytes};
    if (codec_dict_train(&samples, (codec_room){bytes, sizeof bytes}, &size) != BRISK_OK ||
        codec_dict_create((codec_bytes){bytes, size}, tier->level, tier->alloc, &dict) !=
            BRISK_OK) {
        return NULL;
    }
    return dict;
}

/* Under the trainer's lock: the best of some, if it gains. */
static bool train_with(disk_tier *tier, disk_scratch *scratch)
{
    static const uint32_t piece_bytes[] = {256, 2000};
    disk_trainer *trainer = &tier->trainer;
    uint32_t seen = disk_dict_newest(tier);
    uint32_t first = trainer->count / 4 * 3;
    codec_dict *best = NULL;
    uint64_t best_size = UINT64_MAX;
    for (size_t i = 0; i < sizeof piece_bytes / sizeof piece_bytes[0]; i++) {
        codec_dict *dict = make_dict(tier, first, piece_bytes[i]);
        codec_how how = {.id = CODEC_ZSTD, .level = tier->level, .dict = dict};
        uint64_t size = dict != NULL ? squeezed_size(tier, scratch->kit, &how, first) : UINT64_MAX;
        if (size < best_size) {
            codec_dict_unref(best);
            best = dict;
            best_size = size;
        } else {
            codec_dict_unref(dict);
        }
    }
    bool done = best != NULL && gains(tier, scratch, best_size, first) &&
                publish(tier, best, seen) == BRISK_OK;
    codec_dict_unref(best);
    return done;
}

static bool train_locked(disk_tier *tier)
{
    if (tier->trainer.count < SAMPLES_FEW || tier->trainer.bytes < SAMPLES_BYTES_FEW) {
        return false;
    }
    disk_scratch *scratch = disk_scratch_take(tier);
    bool done = scratch != NULL && train_with(tier, scratch);
    disk_scratch_give(tier, scratch);
    return done;
}

void disk_dict_train(disk_tier *tier)
{
    disk_trainer *trainer = &tier->trainer;
    pthread_mutex_lock(&trainer->lock);
    if (!atomic_load_explicit(&trainer->ready, memory_order_acquire)) {
        pthread_mutex_unlock(&trainer->lock);
        return;
    }
    if (train_locked(tier)) {
        disk_count(&tier->counters.trained, 1);
        trainer->permille = 0;
        trainer->spacing = tier->data_max / 8;
    } else if (trainer->spacing < tier->data_max) {
        trainer->spacing *= 2;
    }
    trainer->next_at = given(tier) + trainer->spacing;
    tier->alloc->release(tier->alloc->ctx, trainer->samples, DISK_SAMPLES_BYTES, SAMPLES_ALIGN);
    trainer->samples = NULL;
    atomic_store_explicit(&trainer->ready, false, memory_order_relaxed);
    pthread_mutex_unlock(&trainer->lock);
}
