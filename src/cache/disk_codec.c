/*
 * disk_codec.c -- codecs and record buffers, kept for reuse, and which codec a value gets.
 *
 * There are as many sets as threads were ever at work at once.  A thread finds its last one in a
 * place of its own, with one exchange; a list behind a mutex has the others.
 */
#include "base/assert.h"
#include "cache/disk.h"

enum {
    BUFFER_ALIGN = 64,
    BUFFER_BYTES_FIRST = 16384,
    BYTES_MIN = 64,      /* below, nothing is gained ... */
    BYTES_MIN_DICT = 32, /* ... and with a dictionary */
    DICT_VALUE_MAX = 64 << 10,
};

/* --- sets --------------------------------------------------------------------------------------- */

static _Thread_local uint32_t place_plus_one __attribute__((tls_model("initial-exec")));

static uint32_t place_of_thread(void)
{
    static _Atomic uint32_t next;
    if (place_plus_one == 0) {
        place_plus_one =
            atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % DISK_SCRATCHES + 1;
    }
    return place_plus_one - 1;
}

static void scratch_free(const disk_tier *tier, disk_scratch *scratch)
{
    if (scratch->buffer != NULL) {
        tier->alloc->release(tier->alloc->ctx, scratch->buffer, scratch->buffer_size, BUFFER_ALIGN);
    }
    codec_dict_unref(scratch->dicts[0].dict);
    codec_dict_unref(scratch->dicts[1].dict);
    codec_kit_destroy(scratch->kit);
    tier->alloc->release(tier->alloc->ctx, scratch, sizeof *scratch, _Alignof(disk_scratch));
}

static disk_scratch *scratch_new(const disk_tier *tier)
{
    disk_scratch *scratch =
        tier->alloc->acquire(tier->alloc->ctx, sizeof *scratch, _Alignof(disk_scratch));
    if (scratch == NULL) {
        return NULL;
    }
    *scratch = (disk_scratch){0};
    if (codec_kit_create(tier->alloc, &scratch->kit) != BRISK_OK) {
        scratch_free(tier, scratch);
        return NULL;
    }
    return scratch;
}

disk_scratch *disk_scratch_take(disk_tier *tier)
{
    /* Acquire: pairs with the release of who gave it, so that its content is ours. */
    disk_scratch *scratch =
        atomic_exchange_explicit(&tier->kept[place_of_thread()], NULL, memory_order_acquire);
    if (scratch != NULL) {
        return scratch;
    }
    pthread_mutex_lock(&tier->scratch_lock);
    scratch = tier->scratches;
    if (scratch != NULL) {
        tier->scratches = scratch->next;
    }
    pthread_mutex_unlock(&tier->scratch_lock);
    return scratch != NULL ? scratch : scratch_new(tier);
}

void disk_scratch_give(disk_tier *tier, disk_scratch *scratch)
{
    disk_scratch *none = NULL;
    if (scratch == NULL ||
        atomic_compare_exchange_strong_explicit(&tier->kept[place_of_thread()], &none, scratch,
                                                memory_order_release, memory_order_relaxed)) {
        return;
    }
    pthread_mutex_lock(&tier->scratch_lock);
    scratch->next = tier->scratches;
    tier->scratches = scratch;
    pthread_mutex_unlock(&tier->scratch_lock);
}

void disk_scratch_free_all(disk_tier *tier)
{
    for (uint32_t i = 0; i < DISK_SCRATCHES; i++) {
        disk_scratch *scratch =
            atomic_exchange_explicit(&tier->kept[i], NULL, memory_order_acquire);
        if (scratch != NULL) {
            scratch_free(tier, scratch);
        }
    }
    while (tier->scratches != NULL) {
        disk_scratch *scratch = tier->scratches;
        tier->scratches = scratch->next;
        scratch_free(tier, scratch);
    }
}

brisk_err disk_scratch_reserve(const disk_tier *tier, disk_scratch *scratch, size_t size)
{
    if (size <= scratch->buffer_size) {
        return BRISK_OK;
    }
    size_t grown = BUFFER_BYTES_FIRST;
    while (grown < size) {
        grown *= 2;
    }
    void *buffer = tier->alloc->acquire(tier->alloc->ctx, grown, BUFFER_ALIGN);
    if (buffer == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (scratch->buffer != NULL) {
        tier->alloc->release(tier->alloc->ctx, scratch->buffer, scratch->buffer_size, BUFFER_ALIGN);
    }
    scratch->buffer = buffer;
    scratch->buffer_size = grown;
    return BRISK_OK;
}

/* --- squeezing ------------------------------------------------------------------------------------ */

static size_t bound_of(const disk_tier *tier, size_t size)
{
    size_t zstd = codec_bound(CODEC_ZSTD, size);
    size_t other = codec_bound(tier->codec_auto ? CODEC_LZ4 : tier->codec, size);
    return zstd > other ? zstd : other;
}

size_t disk_squeeze_bound(const disk_tier *tier, size_t size)
{
    return bound_of(tier, size) + (tier->codec_auto ? size : 0); /* to measure expanding */
}

static codec_choice choose(const disk_tier *tier, disk_scratch *scratch, codec_bytes value,
                           bool has_dict)
{
    if (tier->codec_auto) {
        return codec_choose(&scratch->chooser, value, has_dict);
    }
    codec_choice choice = {.id = tier->codec, .with_dict = has_dict && tier->codec == CODEC_ZSTD};
    bool hopeless =
        value.size < (choice.with_dict ? BYTES_MIN_DICT : BYTES_MIN) ||
        (codec_chooser_doubts(&scratch->chooser, value.size) && codec_seems_random(value));
    return hopeless ? (codec_choice){.id = CODEC_PLAIN} : choice;
}

/* One value, and what is tried with it. */
typedef struct attempt {
    codec_choice choice;
    codec_how how;
    codec_bytes value;
    unsigned char *dst; /* of bound_of bytes, and to measure of the value's size more */
} attempt;

/*
 * What an entry of this kind costs, for the chooser.  It became `size` bytes just now; all is done
 * once more, since a codec that was not used lately is slow the first time.
 */
static void measure(disk_tier *tier, disk_scratch *scratch, const attempt *a, size_t size)
{
    size_t raw = a->value.size;
    size_t bound = bound_of(tier, raw);
    codec_room spare = {a->dst + bound, raw};
    codec_bytes squeezed = {a->dst, size};
    size_t done = 0;
    uint64_t begin = brisk_clock_now_ns(tier->clock);
    brisk_err err =
        codec_squeeze(scratch->kit, &a->how, a->value, (codec_room){a->dst, bound}, &done);
    uint64_t middle = brisk_clock_now_ns(tier->clock);
    if (err == BRISK_OK) {
        err = codec_expand(scratch->kit, &a->how, squeezed, spare);
    }
    uint64_t expand_begin = brisk_clock_now_ns(tier->clock);
    if (err == BRISK_OK) {
        err = codec_expand(scratch->kit, &a->how, squeezed, spare);
    }
    uint64_t end = brisk_clock_now_ns(tier->clock);
    if (err != BRISK_OK) {
        return; /* no memory; the reader will see */
    }
    codec_record seen = {.size_permille =
                             (uint32_t)(size <= raw - raw / 8 ? size * 1000 / raw : 1000),
                         .squeeze_ns_per_kib = (uint32_t)((middle - begin) * 1024 / raw),
                         .expand_ns_per_kib = (uint32_t)((end - expand_begin) * 1024 / raw)};
    codec_chooser_learn(&scratch->chooser, &a->choice, seen, raw);
}

/* Squeezed size; 0: not worth it. */
static size_t squeeze(disk_tier *tier, disk_scratch *scratch, const attempt *a)
{
    size_t done = 0;
    size_t raw = a->value.size;
    codec_room dst = {a->dst, bound_of(tier, raw)};
    if (codec_squeeze(scratch->kit, &a->how, a->value, dst, &done) != BRISK_OK) {
        return 0; /* stored as it is */
    }
    if (a->choice.measure) {
        measure(tier, scratch, a, done);
    }
    return done <= raw - raw / 8 ? done : 0;
}

void disk_squeeze(disk_tier *tier, disk_scratch *scratch, codec_bytes value, unsigned char *dst,
                  disk_record *record)
{
    uint32_t number = tier->has_dicts && value.size <= DICT_VALUE_MAX ? disk_dict_newest(tier) : 0;
    brisk_err ignored = BRISK_OK;
    const codec_dict *dict = number != 0 ? disk_dict_get(tier, scratch, number, &ignored) : NULL;
    codec_choice choice = choose(tier, scratch, value, dict != NULL);
    attempt a = {
        .choice = choice,
        .how = {.id = choice.id, .level = tier->level, .dict = choice.with_dict ? dict : NULL},
        .value = value,
        .dst = dst};
    size_t done = 0;
    if (choice.id != CODEC_PLAIN) {
        done = squeeze(tier, scratch, &a);
        codec_chooser_tried(&scratch->chooser, value.size, done != 0);
    }
    if (done == 0 && value.size != 0) {
        memcpy(dst, value.data, value.size);
    }
    record->raw_size = (uint32_t)value.size;
    record->stored_size = (uint32_t)(done != 0 ? done : value.size);
    record->codec = (uint8_t)(done != 0 ? a.how.id : CODEC_PLAIN);
    record->dict = (uint16_t)(done != 0 && a.how.dict != NULL ? number : 0);
}

brisk_err disk_expand(disk_tier *tier, disk_scratch *scratch, const disk_record *record,
                      disk_span to)
{
    codec_how how = {.id = (codec_id)record->codec};
    if (record->dict != 0) {
        brisk_err err = BRISK_ERR_NOT_FOUND;
        how.dict = disk_dict_get(tier, scratch, record->dict, &err);
        if (how.dict == NULL) {
            return err;
        }
    }
    return codec_expand(scratch->kit, &how, (codec_bytes){record->value, record->stored_size},
                        (codec_room){to.data, to.size});
}
