/*
 * codec_choose.c -- which codec for which bytes: by size, a look at them, and measured speed.
 *
 * Bytes cost room and codecs cost time; one price makes them comparable.  For each size (powers of
 * two) and each of zstd, lz4 and zstd with a dictionary, moving averages say what a KiB becomes and
 * what squeezing and expanding it takes.  The cheapest wins:
 *
 *     squeeze + 2 x expand + stored bytes x 32 ns
 *
 * (an entry that is kept is read more often than written; 32 ns a byte is half a minute of one core
 * for a GiB).  With that price 1 KB of JSON goes to lz4 without a dictionary and to zstd with one,
 * 16 KB goes to zstd.  One entry in 64 of each size measures one of the candidates in turn, so that
 * the averages follow the data; the first ones of each size are measured all.
 *
 * Where tries were in vain lately, bytes that look random are stored plain without trying: their 256 sampled bytes have more
 * different values (about 162) than text (below 100) or numbers (below 130) have.
 */
#include "wire/codec.h"

#include "base/assert.h"

enum {
    SMALLEST = 64,      /* below, nothing is gained without a dictionary ... */
    SMALLEST_DICT = 32, /* ... and with one */
    LARGEST_DICT = 65536,
    LOOK_BYTES = 256,
    LOOK_PIECES = 8,
    RANDOM_VALUES = 145,
    LOOK_FROM = 16384, /* a look (0.2 us) is nothing to a try; below, only when tries are in vain */
    VAIN_MAX = 8,
    MEASURE_EVERY = 64,
    MEASURE_FIRST = 4, /* of each candidate */
    NS_PER_BYTE = 32,
    AVERAGE_SHIFT = 3,
    TRIED_ZSTD = 0,
    TRIED_LZ4 = 1,
    TRIED_DICT = 2,
};

bool codec_seems_random(codec_bytes bytes)
{
    if (bytes.size < LOOK_BYTES) {
        return false;
    }
    const unsigned char *data = bytes.data;
    size_t piece = LOOK_BYTES / LOOK_PIECES;
    size_t step = (bytes.size - piece) / (LOOK_PIECES - 1);
    uint64_t seen[4] = {0};
    for (size_t i = 0; i < LOOK_PIECES; i++) {
        for (size_t j = 0; j < piece; j++) {
            unsigned char byte = data[i * step + j];
            seen[byte >> 6] |= UINT64_C(1) << (byte & 63);
        }
    }
    int values = 0;
    for (int i = 0; i < 4; i++) {
        values += __builtin_popcountll(seen[i]);
    }
    return values >= RANDOM_VALUES;
}

static uint32_t class_of(size_t size)
{
    uint32_t c = size > SMALLEST ? 58u - (uint32_t)__builtin_clzll((size - 1) | 1) : 0;
    return c < CODEC_CLASSES - 1 ? c : CODEC_CLASSES - 1;
}

static uint64_t price_of(const codec_record *seen)
{
    return seen->squeeze_ns_per_kib + UINT64_C(2) * seen->expand_ns_per_kib +
           (uint64_t)seen->size_permille * 1024 * NS_PER_BYTE / 1000;
}

static codec_choice choice_of(uint32_t tried, bool measure)
{
    return (codec_choice){.id = tried == TRIED_LZ4 ? CODEC_LZ4 : CODEC_ZSTD,
                          .with_dict = tried == TRIED_DICT,
                          .measure = measure};
}

bool codec_chooser_doubts(const codec_chooser *chooser, size_t size)
{
    return chooser->vain[class_of(size)] != 0 || size >= LOOK_FROM;
}

void codec_chooser_tried(codec_chooser *chooser, size_t size, bool gained)
{
    uint8_t *vain = &chooser->vain[class_of(size)];
    if (!gained && *vain < VAIN_MAX) {
        (*vain)++;
    } else if (gained && *vain > 0) {
        (*vain)--;
    }
}

codec_choice codec_choose(codec_chooser *chooser, codec_bytes bytes, bool has_dict)
{
    codec_choice plain = {.id = CODEC_PLAIN};
    has_dict = has_dict && bytes.size <= LARGEST_DICT;
    if (bytes.size < (has_dict ? SMALLEST_DICT : SMALLEST) ||
        (codec_chooser_doubts(chooser, bytes.size) && codec_seems_random(bytes))) {
        return plain;
    }
    uint32_t c = class_of(bytes.size);
    codec_record *seen = chooser->seen[c];
    uint32_t candidates = has_dict ? CODEC_TRIED : CODEC_TRIED - 1;
    uint32_t tick = chooser->tick[c]++;
    if (tick % MEASURE_EVERY == 0) {
        return choice_of(tick / MEASURE_EVERY % candidates, true);
    }
    uint32_t best = CODEC_TRIED;
    uint64_t best_price = UINT64_C(1024) * NS_PER_BYTE * 7 / 8; /* it must be worth the trouble */
    for (uint32_t i = 0; i < candidates; i++) {
        if (seen[i].samples < MEASURE_FIRST) {
            return choice_of(i, true);
        }
        if (price_of(&seen[i]) < best_price) {
            best = i;
            best_price = price_of(&seen[i]);
        }
    }
    return best == CODEC_TRIED ? plain : choice_of(best, false);
}

static void average(uint32_t *into, uint32_t value)
{
    int64_t step = ((int64_t)value - (int64_t)*into) / (1 << AVERAGE_SHIFT);
    *into = (uint32_t)((int64_t)*into + step);
}

/* Times have outliers: we were not running all the time, or the context was new.  So the least of the
 * first few counts, and later ones count up to twice the average. */
static void average_time(uint32_t *into, uint32_t value, uint32_t samples)
{
    if (samples < MEASURE_FIRST) {
        *into = samples == 0 || value < *into ? value : *into;
    } else {
        average(into, value <= 2 * *into + 1 ? value : 2 * *into + 1);
    }
}

void codec_chooser_learn(codec_chooser *chooser, const codec_choice *choice, codec_record seen,
                         size_t raw)
{
    uint32_t tried = choice->id == CODEC_LZ4 ? TRIED_LZ4
                     : choice->with_dict     ? TRIED_DICT
                                             : TRIED_ZSTD;
    codec_record *record = &chooser->seen[class_of(raw)][tried];
    average_time(&record->squeeze_ns_per_kib, seen.squeeze_ns_per_kib, record->samples);
    average_time(&record->expand_ns_per_kib, seen.expand_ns_per_kib, record->samples);
    if (record->samples == 0) {
        record->size_permille = seen.size_permille;
    }
    average(&record->size_permille, seen.size_permille);
    record->samples += record->samples < MEASURE_FIRST;
}
