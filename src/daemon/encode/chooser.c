/*
 * chooser.c -- samples, averages, and the least sum.
 */
#include "daemon/encode/chooser.h"

#include <string.h>

#include <brisk/clock.h>

#include "base/assert.h"

enum {
    HOPELESS_PERMILLE = 960, /* a sample that shrinks less shows a body that is not worth it */
    AVERAGE_WEIGHT = 8,      /* a new measurement counts an eighth, once there are some */
    RATIO_CLASSES = ENCODE_CONTENTS / 2,
    SIZE_FIRST_LOG2 = 8,
    MACHINE_MIN = 50, /* bounds of machine_permille: what a clock that jumps may do */
    MACHINE_MAX = 50000,
    PIECES = 2,
};

#define BPS_UNKNOWN UINT64_C(50000000)

/*
 * One machine's figures, for text of 16 KiB whose sample shrinks to `REFERENCE_PROBE`: only where
 * nothing was measured yet.
 */
enum { REFERENCE_PROBE = 480, REFERENCE_NS = 3200 };

static const encode_measure reference[ENCODE_METHODS] = {
    [ENCODE_PLAIN] = {1000, 0, 0},           [ENCODE_GZIP_1] = {472, 1880, 1080},
    [ENCODE_GZIP_6] = {456, 4950, 1050},     [ENCODE_GZIP_9] = {452, 7200, 1090},
    [ENCODE_ZSTD_FAST] = {734, 1000, 300},   [ENCODE_ZSTD_1] = {477, 2090, 730},
    [ENCODE_ZSTD_3] = {473, 2560, 850},      [ENCODE_ZSTD_6] = {454, 6200, 820},
    [ENCODE_ZSTD_9] = {454, 21200, 870},     [ENCODE_ZSTD_19] = {446, 112000, 960},
    [ENCODE_BROTLI_1] = {513, 3570, 2450},   [ENCODE_BROTLI_5] = {440, 18400, 2950},
    [ENCODE_BROTLI_9] = {439, 541000, 4390}, [ENCODE_BROTLI_11] = {384, 803000, 6330},
    [ENCODE_DCZ_3] = {300, 3000, 850},       [ENCODE_DCZ_9] = {280, 22000, 870},
};

void encode_chooser_init(encode_chooser *chooser)
{
    memset(chooser->cells, 0, sizeof chooser->cells);
    chooser->machine_permille = ENCODE_RATIO_ONE;
    (void)pthread_mutex_init(&chooser->lock, NULL);
}

void encode_chooser_deinit(encode_chooser *chooser)
{
    (void)pthread_mutex_destroy(&chooser->lock);
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Control characters are no text, and other scripts in UTF-8 are. */
static bool seems_text(const unsigned char *data, size_t size)
{
    size_t odd = 0;
    for (size_t i = 0; i < size; i++) {
        odd += data[i] < 9 || (data[i] > 13 && data[i] < 32) ? 1 : 0;
    }
    return odd * 64 <= size;
}

/* The beginning and what lies behind the middle: a head of another kind decides nothing alone. */
static size_t take_sample(codec_bytes bytes, unsigned char sample[ENCODE_SAMPLE_BYTES])
{
    if (bytes.size <= ENCODE_SAMPLE_BYTES) {
        memcpy(sample, bytes.data, bytes.size);
        return bytes.size;
    }
    const unsigned char *data = bytes.data;
    size_t piece = ENCODE_SAMPLE_BYTES / PIECES;
    memcpy(sample, data, piece);
    size_t second = bytes.size / 2;
    second = second + piece > bytes.size ? bytes.size - piece : second;
    memcpy(sample + piece, data + second, piece);
    return ENCODE_SAMPLE_BYTES;
}

brisk_err encode_probe_bytes(codec_kit *kit, codec_bytes bytes, encode_probe *ret)
{
    unsigned char sample[ENCODE_SAMPLE_BYTES];
    unsigned char out[ENCODE_SAMPLE_BYTES];
    if (bytes.size == 0) {
        *ret = (encode_probe){.permille = ENCODE_RATIO_ONE, .hopeless = true};
        return BRISK_OK;
    }
    size_t size = take_sample(bytes, sample);
    encode_probe probe = {.permille = ENCODE_RATIO_ONE, .text = seems_text(sample, size)};
    if (codec_seems_random((codec_bytes){sample, size})) {
        probe.hopeless = true;
        *ret = probe;
        return BRISK_OK;
    }
    codec_how how = {.id = CODEC_ZSTD, .level = 1};
    size_t done = size;
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_err err =
        codec_squeeze(kit, &how, (codec_bytes){sample, size}, (codec_room){out, size}, &done);
    uint64_t spent = brisk_clock_now_ns(NULL) - begin;
    if (err != BRISK_OK && err != BRISK_ERR_LIMIT) {
        return err;
    }
    probe.permille = (uint16_t)(done * ENCODE_RATIO_ONE / size);
    probe.hopeless = probe.permille > HOPELESS_PERMILLE;
    uint64_t ns = spent * 1024 / size;
    probe.ns_per_kib = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
    *ret = probe;
    return BRISK_OK;
}

/* A moving average that begins with the first value. */
static uint32_t average(uint32_t old, uint32_t seen, uint32_t samples)
{
    uint64_t weight = samples < AVERAGE_WEIGHT ? samples + 1 : AVERAGE_WEIGHT;
    return (uint32_t)(((uint64_t)old * (weight - 1) + seen + weight / 2) / weight);
}

void encode_chooser_note(encode_chooser *chooser, const encode_probe *probe)
{
    if (probe->ns_per_kib == 0) {
        return;
    }
    uint64_t permille = (uint64_t)probe->ns_per_kib * ENCODE_RATIO_ONE / REFERENCE_NS;
    permille = permille < MACHINE_MIN ? MACHINE_MIN : permille;
    permille = permille > MACHINE_MAX ? MACHINE_MAX : permille;
    (void)pthread_mutex_lock(&chooser->lock);
    chooser->machine_permille =
        average(chooser->machine_permille, (uint32_t)permille, AVERAGE_WEIGHT);
    (void)pthread_mutex_unlock(&chooser->lock);
}

/* --- the table -------------------------------------------------------------------------------- */

static uint32_t content_of(const encode_probe *probe)
{
    uint32_t ratio = (uint32_t)probe->permille * RATIO_CLASSES / (ENCODE_RATIO_ONE + 1);
    return (probe->text ? 0u : (uint32_t)RATIO_CLASSES) +
           (ratio < RATIO_CLASSES ? ratio : RATIO_CLASSES - 1u);
}

static uint32_t size_of(uint64_t size)
{
    uint32_t log2 = size > 0 ? 63u - (uint32_t)__builtin_clzll(size) : 0;
    uint32_t class = log2 > SIZE_FIRST_LOG2 ? (log2 - SIZE_FIRST_LOG2) / 2 : 0;
    return class < ENCODE_SIZES ? class : ENCODE_SIZES - 1u;
}

/* The cell of the nearest size in which the method was measured, or NULL. */
static const encode_cell *find_cell(const encode_chooser *chooser, uint32_t content, uint32_t size,
                                    encode_method method)
{
    for (uint32_t off = 0; off < ENCODE_SIZES; off++) {
        if (size + off < ENCODE_SIZES &&
            chooser->cells[content][size + off].records[method].samples > 0) {
            return &chooser->cells[content][size + off];
        }
        if (off <= size && chooser->cells[content][size - off].records[method].samples > 0) {
            return &chooser->cells[content][size - off];
        }
    }
    return NULL;
}

static uint32_t scale(uint32_t value, uint32_t by, uint32_t of)
{
    uint64_t scaled = of > 0 ? (uint64_t)value * by / of : value;
    return scaled < UINT32_MAX ? (uint32_t)scaled : UINT32_MAX;
}

static encode_measure estimate(const encode_chooser *chooser, const encode_question *q,
                               encode_method method)
{
    if (method == ENCODE_PLAIN) {
        return reference[ENCODE_PLAIN];
    }
    uint32_t content = content_of(&q->probe);
    uint32_t probe = q->probe.permille > 0 ? q->probe.permille : 1u;
    const encode_cell *cell = find_cell(chooser, content, size_of(q->size), method);
    encode_measure known;
    if (cell != NULL) {
        known = cell->records[method].measure;
        known.permille = scale(known.permille, probe, cell->probe_permille);
    } else {
        known = reference[method];
        known.permille = scale(known.permille, probe, REFERENCE_PROBE);
        known.squeeze_ns = scale(known.squeeze_ns, chooser->machine_permille, ENCODE_RATIO_ONE);
        known.expand_ns = scale(known.expand_ns, chooser->machine_permille, ENCODE_RATIO_ONE);
    }
    if (known.permille == 0) {
        known.permille = 1;
    }
    return known;
}

encode_measure encode_estimate(encode_chooser *chooser, const encode_question *question,
                               encode_method method)
{
    (void)pthread_mutex_lock(&chooser->lock);
    encode_measure known = estimate(chooser, question, method);
    (void)pthread_mutex_unlock(&chooser->lock);
    return known;
}

double encode_sum_ns(const encode_measure *measure, uint64_t bps, uint32_t uses)
{
    double b = (double)(bps > 0 ? bps : BPS_UNKNOWN);
    double plain_ns = 1024.0 * 8.0 * 1e9 / b;
    return (double)measure->squeeze_ns / (double)(uses > 0 ? uses : 1) +
           plain_ns * (double)measure->permille / ENCODE_RATIO_ONE + (double)measure->expand_ns;
}

static bool is_costly(encode_method method)
{
    return method == ENCODE_ZSTD_19 || method == ENCODE_BROTLI_9 || method == ENCODE_BROTLI_11;
}

encode_method encode_choose(encode_chooser *chooser, const encode_question *question)
{
    encode_method best = ENCODE_PLAIN;
    bool plain = (question->codings & 1u << ENCODE_IDENTITY) != 0;
    double best_ns = -1.0;
    if (plain) {
        best_ns = encode_sum_ns(&reference[ENCODE_PLAIN], question->bps, 1);
        if (question->probe.hopeless && question->made == 0) {
            return ENCODE_PLAIN;
        }
    }
    (void)pthread_mutex_lock(&chooser->lock);
    for (int i = ENCODE_PLAIN + 1; i < ENCODE_METHODS; i++) {
        encode_method method = (encode_method)i;
        bool made = (question->made & 1u << i) != 0;
        if ((question->codings & 1u << encode_ways[i].coding) == 0 ||
            (question->cheap && !made && is_costly(method))) {
            continue;
        }
        encode_measure known = estimate(chooser, question, method);
        if (made) {
            known.squeeze_ns = 0;
        }
        double ns = encode_sum_ns(&known, question->bps, question->uses);
        if (best_ns < 0 || ns < best_ns) {
            best = method;
            best_ns = ns;
        }
    }
    (void)pthread_mutex_unlock(&chooser->lock);
    return best;
}

void encode_learn(encode_chooser *chooser, uint64_t size, const encode_probe *probe,
                  encode_method method, const encode_measure *measure)
{
    BRISK_ASSERT(method > ENCODE_PLAIN && method < ENCODE_METHODS);
    (void)pthread_mutex_lock(&chooser->lock);
    encode_cell *cell = &chooser->cells[content_of(probe)][size_of(size)];
    encode_record *record = &cell->records[method];
    uint32_t before = record->samples;
    encode_measure *known = &record->measure;
    known->permille = average(known->permille, measure->permille, before);
    known->squeeze_ns = average(known->squeeze_ns, measure->squeeze_ns, before);
    uint32_t expand = measure->expand_ns;
    if (expand == 0) { /* not measured: what is believed stays */
        expand = before > 0 ? known->expand_ns
                            : scale(reference[method].expand_ns, chooser->machine_permille,
                                    ENCODE_RATIO_ONE);
    }
    known->expand_ns = average(known->expand_ns, expand, before);
    cell->probe_permille = cell->probe_permille == 0
                               ? probe->permille
                               : average(cell->probe_permille, probe->permille, AVERAGE_WEIGHT);
    record->samples = before < UINT32_MAX ? before + 1 : before;
    (void)pthread_mutex_unlock(&chooser->lock);
}

uint32_t encode_samples(encode_chooser *chooser, uint64_t size, const encode_probe *probe,
                        encode_method method)
{
    (void)pthread_mutex_lock(&chooser->lock);
    uint32_t samples = chooser->cells[content_of(probe)][size_of(size)].records[method].samples;
    (void)pthread_mutex_unlock(&chooser->lock);
    return samples;
}
