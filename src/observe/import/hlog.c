/*
 * hlog.c -- HdrHistogram's interval logs: a V2 histogram, compressed, a line.
 *
 *     [Tag=NAME,]START,LENGTH,MAX,BASE64
 *     BASE64:  cookie, size, zlib(payload)                        (numbers are big-endian)
 *     payload: cookie, size, normalizing offset, digits, lowest, highest, ratio; then the counts,
 *              ZigZag LEB128, where a negative one stands for so many empty buckets
 *
 * Bucket i of a histogram with u = floor(log2(lowest)) and 2^(h+1) sub-buckets holds
 *
 *     i < 2^(h+1)        i << u
 *     further            (2^h + i % 2^h) << (i / 2^h - 1 + u)
 *
 * For each tag the series count, max, p50, p99 and mean, a value an interval.  A bucket stands for its
 * highest value, as HdrHistogram's own reports do; the mean is of the middles.  The log does not say what
 * it measures, so values have no unit.
 *
 * Bounds: 64 KiB of base64 a line, 1 MiB unpacked, buckets as the header's digits allow (5 digits,
 * 64 bits: 8.6 million, of which no more than the payload names are kept: none, they are summed twice).
 *
 * Source: G. Tene, HdrHistogram, http://hdrhistogram.org (V2EncodingCookieBase and its layout).
 */
#include <libdeflate.h>
#include <math.h>
#include <string.h>

#include "observe/import/import.h"

enum {
    BASE64_MAX = 65536,
    PACKED_MAX = BASE64_MAX / 4 * 3,
    PAYLOAD_MAX = 1 << 20,
    HEADER = 40,
    FIELDS = 5,
    COOKIE_PLAIN = 0x1c849303,
    COOKIE_PACKED = 0x1c849304,
    COOKIE_MASK = 0x0f0, /* holds the word size, 1 */
};

typedef struct histogram {
    const unsigned char *counts;
    size_t size;
    uint32_t unit_bits; /* u */
    uint32_t half_bits; /* h */
    double ratio;
    uint64_t total;
} histogram;

typedef struct hlog {
    import_builder *b;
    size_t at; /* of the line */
    struct libdeflate_decompressor *zlib;
    unsigned char *packed;  /* PACKED_MAX */
    unsigned char *payload; /* PAYLOAD_MAX */
} hlog;

static uint64_t big_endian(const unsigned char *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

/* False when it is not base64; the result has at most size / 4 * 3 bytes. */
static bool base64(const char *text, size_t size, unsigned char *out, size_t *ret)
{
    size_t kept = 0;
    uint32_t bits = 0;
    while (size > 0 && text[size - 1] == '=') {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0) {
            out[kept++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *ret = kept;
    return size % 4 != 1;
}

/* The next count; false at the end or when it is none.  At most nine bytes. */
static bool next_count(const histogram *h, size_t *at, int64_t *ret)
{
    uint64_t value = 0;
    for (int i = 0; i < 9 && *at < h->size; i++) {
        uint64_t byte = h->counts[(*at)++];
        value |= (i < 8 ? byte & 0x7f : byte) << (7 * i);
        if (i == 8 || (byte & 0x80) == 0) {
            *ret = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
            return true;
        }
    }
    return false;
}

/* Lowest value and width of bucket i; false beyond 63 bits. */
static bool bucket_of(const histogram *h, uint64_t i, double *low, double *width)
{
    uint64_t half = UINT64_C(1) << h->half_bits;
    uint64_t row = i < 2 * half ? 0 : i / half - 1;
    uint64_t place = row == 0 ? i : half + i % half;
    if (row + h->unit_bits + h->half_bits + 1 > 63) {
        return false;
    }
    *width = ldexp(1, (int)(row + h->unit_bits));
    *low = (double)place * *width;
    return true;
}

typedef struct figures {
    double max;
    double mean;
    double p50;
    double p99;
} figures;

/* One walk over the counts; with total known (second walk) quantiles, too.  False: damaged. */
static bool walk(histogram *h, figures *ret)
{
    size_t at = 0;
    uint64_t bucket = 0;
    uint64_t seen = 0;
    double sum = 0;
    int64_t count = 0;
    bool again = h->total > 0;
    while (next_count(h, &at, &count)) {
        double low = 0;
        double width = 1;
        if (count <= 0) {
            bucket += count < 0 ? -(uint64_t)count : 1;
            if (count == 0 || bucket < (UINT64_C(1) << 32)) {
                continue;
            }
            return false;
        }
        if (!bucket_of(h, bucket++, &low, &width) || seen + (uint64_t)count > UINT64_C(1) << 62) {
            return false;
        }
        double top = (low + width - 1) * h->ratio;
        seen += (uint64_t)count;
        sum += (low + width / 2) * h->ratio * (double)count;
        ret->max = top;
        ret->p50 = again && ret->p50 < 0 && seen >= (h->total + 1) / 2 ? top : ret->p50;
        ret->p99 = again && ret->p99 < 0 && seen >= h->total - h->total / 100 ? top : ret->p99;
    }
    h->total = seen;
    ret->mean = seen > 0 ? sum / (double)seen : 0;
    return at == h->size;
}

/* The payload's header. */
static bool histogram_open(const unsigned char *payload, size_t size, histogram *ret)
{
    if (size < HEADER || (big_endian(payload, 4) & ~(uint64_t)COOKIE_MASK) != COOKIE_PLAIN) {
        return false;
    }
    uint64_t length = big_endian(payload + 4, 4);
    uint64_t offset = big_endian(payload + 8, 4);
    uint64_t digits = big_endian(payload + 12, 4);
    uint64_t lowest = big_endian(payload + 16, 8);
    uint64_t ratio_bits = big_endian(payload + 32, 8);
    histogram h = {.counts = payload + HEADER, .size = (size_t)length};
    memcpy(&h.ratio, &ratio_bits, sizeof h.ratio);
    if (length > size - HEADER || offset != 0 || digits < 1 || digits > 5 || lowest < 1 ||
        lowest > UINT64_C(1) << 40 || !(h.ratio > 0) || !(h.ratio < 1e12)) {
        return false;
    }
    uint64_t needed = 2; /* 2 * 10^digits, rounded up to a power of two */
    for (uint64_t i = 0; i < digits; i++) {
        needed *= 10;
    }
    while ((UINT64_C(2) << h.half_bits) < needed) {
        h.half_bits++;
    }
    h.unit_bits = 63 - (uint32_t)__builtin_clzll(lowest);
    *ret = h;
    return true;
}

static brisk_err unpack(hlog *l, const char *text, size_t size, histogram *ret)
{
    size_t packed = 0;
    if (size > BASE64_MAX) {
        return import_fail(l->b, BRISK_ERR_LIMIT, l->at, "a histogram of more than 64 KiB");
    }
    if (!base64(text, size, l->packed, &packed) || packed < 8) {
        return import_fail(l->b, BRISK_ERR_CORRUPT, l->at, "not base64");
    }
    if ((big_endian(l->packed, 4) & ~(uint64_t)COOKIE_MASK) != COOKIE_PACKED) {
        return import_fail(l->b, BRISK_ERR_UNSUPPORTED, l->at, "not a compressed V2 histogram");
    }
    size_t length = big_endian(l->packed + 4, 4);
    size_t got = 0;
    if (length > packed - 8 ||
        libdeflate_zlib_decompress(l->zlib, l->packed + 8, length, l->payload, PAYLOAD_MAX, &got) !=
            LIBDEFLATE_SUCCESS ||
        !histogram_open(l->payload, got, ret)) {
        return import_fail(l->b, BRISK_ERR_CORRUPT, l->at, "a damaged histogram");
    }
    return BRISK_OK;
}

static brisk_err put_interval(hlog *l, const char *name, double start, histogram *h)
{
    figures f = {.p50 = -1, .p99 = -1};
    if (!walk(h, &f) || (h->total > 0 && !walk(h, &f))) {
        return import_fail(l->b, BRISK_ERR_CORRUPT, l->at, "damaged counts");
    }
    double total = (double)h->total;
    brisk_err err = import_add(l->b, &(import_key){name, "count", "1"}, total, &start);
    if (h->total == 0) {
        return err;
    }
    const struct {
        const char *statistic;
        double value;
    } rows[] = {{"max", f.max}, {"mean", f.mean}, {"p50", f.p50}, {"p99", f.p99}};
    for (size_t i = 0; i < 4 && err == BRISK_OK; i++) {
        err = import_add(l->b, &(import_key){name, rows[i].statistic, ""}, rows[i].value, &start);
    }
    return err;
}

static brisk_err read_line(hlog *l, const char *text, size_t size)
{
    char name[IMPORT_NAME_MAX] = "hlog";
    if (size > 4 && memcmp(text, "Tag=", 4) == 0) {
        const char *comma = memchr(text, ',', size);
        size_t length = comma != NULL ? (size_t)(comma - text) : 0;
        if (length <= 4 || length - 4 >= sizeof name) {
            return import_fail(l->b, BRISK_ERR_CORRUPT, l->at, "a tag without an end");
        }
        memcpy(name, text + 4, length - 4);
        name[length - 4] = '\0';
        text += length + 1;
        size -= length + 1;
    }
    double numbers[3];
    for (int i = 0; i < 3; i++) {
        const char *comma = memchr(text, ',', size);
        size_t length = comma != NULL ? (size_t)(comma - text) : 0;
        if (comma == NULL || !import_number(text, length, &numbers[i])) {
            return import_fail(l->b, BRISK_ERR_CORRUPT, l->at, "not START,LENGTH,MAX,HISTOGRAM");
        }
        text += length + 1;
        size -= length + 1;
    }
    histogram h = {.size = 0};
    brisk_err err = unpack(l, text, size, &h);
    return err == BRISK_OK ? put_interval(l, name, numbers[0], &h) : err;
}

static brisk_err read_lines(hlog *l)
{
    brisk_err err = BRISK_OK;
    const import_builder *b = l->b;
    while (l->at < b->size && err == BRISK_OK) {
        const char *text = b->data + l->at;
        const char *end = memchr(text, '\n', b->size - l->at);
        size_t size = end != NULL ? (size_t)(end - text) : b->size - l->at;
        size_t next = l->at + size + 1;
        while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == ' ')) {
            size--;
        }
        bool data = size > 0 && text[0] != '#' && text[0] != '"';
        err = data ? read_line(l, text, size) : BRISK_OK;
        l->at = next;
    }
    return err;
}

brisk_err import_hlog(import_builder *b)
{
    hlog l = {.b = b, .zlib = libdeflate_alloc_decompressor()};
    l.packed = b->alloc->acquire(b->alloc->ctx, PACKED_MAX + 4, 1);
    l.payload = b->alloc->acquire(b->alloc->ctx, PAYLOAD_MAX, 1);
    bool room = l.zlib != NULL && l.packed != NULL && l.payload != NULL;
    brisk_err err = room
                        ? read_lines(&l)
                        : brisk_errinfo_set(b->info, BRISK_ERR_NOMEM, "%s: out of memory", b->name);
    if (l.payload != NULL) {
        b->alloc->release(b->alloc->ctx, l.payload, PAYLOAD_MAX, 1);
    }
    if (l.packed != NULL) {
        b->alloc->release(b->alloc->ctx, l.packed, PACKED_MAX + 4, 1);
    }
    if (l.zlib != NULL) {
        libdeflate_free_decompressor(l.zlib);
    }
    return err;
}
