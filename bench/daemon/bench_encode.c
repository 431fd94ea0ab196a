/*
 * bench_encode.c -- the chooser against what is best: prints JSON.
 *
 *     bench_encode [-o] FILE...
 *
 * Each file is cut into bodies (1, 4, 16, 64, 256 KiB and 1 MiB, from places spread over it).  Half of them teach
 * the chooser, as bodies that were served do: all methods measured (-o: those of every other file, so that the
 * judged ones are of files never seen).  Of the other half it sees what it sees of
 * any body: the sample.  Then all methods are measured on them, the least time of three, and for each
 * bandwidth the sum 1/C + r/B + 1/D of what it chose is set against the least sum of all (the oracle), and
 * against always plain, and gzip at level 6 as servers commonly do.
 *
 *     excess_permille   (sum of the choice / sum of the oracle - 1) x 1000, mean over bodies
 *     within_5_percent  share of bodies whose choice is within 5 % of the oracle
 *     gzip6, plain      the same ratio for these, mean
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/file.h>

#include "daemon/encode/squeeze.h"

enum { BODIES_MAX = 512, ROUNDS = 3, PLACES = 6, BANDS = 9 };

static const uint64_t bands[BANDS] = {
    UINT64_C(1000000),    UINT64_C(4000000),    UINT64_C(10000000),
    UINT64_C(50000000),   UINT64_C(100000000),  UINT64_C(500000000),
    UINT64_C(1000000000), UINT64_C(2500000000), UINT64_C(10000000000)};

typedef struct body {
    codec_bytes bytes;
    encode_probe probe;
    encode_measure measures[ENCODE_METHODS];
    bool there[ENCODE_METHODS];
    bool teaches;
} body;

static body bodies[BODIES_MAX];
static uint32_t count;
static encode_chooser chooser;

static bool is_quick(int method)
{
    return method != ENCODE_ZSTD_19 && method != ENCODE_BROTLI_9 && method != ENCODE_BROTLI_11 &&
           method < ENCODE_DCZ_3;
}

/* `half`: which of them teach; 2: every other one. */
static void cut(const brisk_file_view *view, int half)
{
    for (size_t size = 1024; size <= 1 << 20; size *= 4) {
        if (size > view->size) {
            break;
        }
        size_t places = view->size / size < PLACES ? view->size / size : (size_t)PLACES;
        for (size_t i = 0; i < places && count < BODIES_MAX; i++) {
            size_t at = places > 1 ? (view->size - size) / (places - 1) * i : 0;
            bool teaches = half == 2 ? count % 2 == 0 : half == 0;
            bodies[count++] = (body){.bytes = {view->data + at, size}, .teaches = teaches};
        }
    }
}

static void measure(encode_bench *bench, body *b)
{
    b->measures[ENCODE_PLAIN] = (encode_measure){ENCODE_RATIO_ONE, 0, 0};
    b->there[ENCODE_PLAIN] = true;
    for (int i = ENCODE_PLAIN + 1; i < ENCODE_DCZ_3; i++) {
        for (int round = 0; is_quick(i) && round < ROUNDS; round++) {
            encode_task task = {.method = (encode_method)i, .body = b->bytes, .expand = true};
            encode_measure seen;
            brisk_value *value;
            if (encode_squeeze(bench, &task, &seen, &value) != BRISK_OK) {
                break;
            }
            brisk_value_unref(value);
            encode_measure *least = &b->measures[i];
            if (!b->there[i]) {
                *least = seen;
                b->there[i] = true;
            }
            least->squeeze_ns =
                seen.squeeze_ns < least->squeeze_ns ? seen.squeeze_ns : least->squeeze_ns;
            least->expand_ns =
                seen.expand_ns < least->expand_ns ? seen.expand_ns : least->expand_ns;
        }
    }
}

/* The sum of a method on this body: what it does not shrink goes plain, after the try. */
static double sum_of(const body *b, encode_method method, uint64_t bps)
{
    const encode_measure *m = &b->measures[b->there[method] ? method : ENCODE_PLAIN];
    return encode_sum_ns(m, bps, 1);
}

static void report(uint64_t bps, bool last)
{
    double excess = 0;
    double gzip = 0;
    double plain = 0;
    double chosen_ns = 0;
    double oracle_ns = 0;
    uint32_t near = 0;
    uint32_t judged = 0;
    uint32_t used[ENCODE_METHODS] = {0};
    for (uint32_t i = 0; i < count; i++) {
        const body *b = &bodies[i];
        if (b->teaches) {
            continue;
        }
        encode_question q = {.size = b->bytes.size,
                             .probe = b->probe,
                             .codings = ENCODE_ANY & ~(1u << ENCODE_DCZ),
                             .bps = bps,
                             .cheap = true};
        encode_method choice = encode_choose(&chooser, &q);
        double least = sum_of(b, ENCODE_PLAIN, bps);
        for (int m = 0; m < ENCODE_METHODS; m++) {
            double sum = b->there[m] ? sum_of(b, (encode_method)m, bps) : least;
            least = sum < least ? sum : least;
        }
        double got = sum_of(b, choice, bps);
        excess += got / least - 1;
        near += got <= least * 1.05 ? 1 : 0;
        gzip += sum_of(b, ENCODE_GZIP_6, bps) / least;
        plain += sum_of(b, ENCODE_PLAIN, bps) / least;
        chosen_ns += got * (double)b->bytes.size;
        oracle_ns += least * (double)b->bytes.size;
        used[choice]++;
        judged++;
    }
    printf("  "
           "{\"mbit\":%g,\"excess_permille\":%.1f,\"within_5_percent\":%.3f,\"time_of_all_to_"
           "oracle\":%.4f,"
           "\"gzip6\":%.2f,\"plain\":%.2f,\"chosen\":[",
           (double)bps / 1e6, excess / judged * 1000, (double)near / judged, chosen_ns / oracle_ns,
           gzip / judged, plain / judged);
    const char *comma = "";
    for (int m = 0; m < ENCODE_METHODS; m++) {
        if (used[m] > 0) {
            http_text name = encode_coding_name(encode_ways[m].coding);
            printf("%s\"%.*s %d: %u\"", comma, (int)name.size, name.data, encode_ways[m].level,
                   used[m]);
            comma = ",";
        }
    }
    printf("]}%s\n", last ? "" : ",");
}

int main(int argc, char **argv)
{
    encode_bench *bench;
    if (encode_bench_create(brisk_alloc_libc(), &bench) != BRISK_OK) {
        return 1;
    }
    encode_chooser_init(&chooser);
    bool others = argc > 1 && strcmp(argv[1], "-o") == 0;
    for (int i = others ? 2 : 1; i < argc; i++) {
        brisk_file_view view;
        brisk_errinfo info = {.text = ""};
        if (brisk_file_view_open(argv[i], UINT64_MAX, &view, &info) == BRISK_OK) {
            cut(&view, others ? i % 2 : 2); /* the view stays until the end */
        } else {
            (void)fprintf(stderr, "bench_encode: %s\n", info.text);
        }
    }
    uint64_t probe_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        body *b = &bodies[i];
        if (encode_probe_bytes(bench->kit, b->bytes, &b->probe) != BRISK_OK) {
            return 1;
        }
        uint64_t begin = brisk_clock_now_ns(NULL);
        (void)!encode_probe_bytes(bench->kit, b->bytes, &b->probe);
        probe_ns += brisk_clock_now_ns(NULL) - begin;
        encode_chooser_note(&chooser, &b->probe);
        measure(bench, b);
        for (int m = ENCODE_PLAIN + 1; b->teaches && m < ENCODE_DCZ_3; m++) {
            if (b->there[m]) {
                encode_learn(&chooser, b->bytes.size, &b->probe, (encode_method)m, &b->measures[m]);
            }
        }
    }
    if (count < 2) {
        return 1;
    }
    printf("{\"bodies\":%u,\"probe_us\":%.1f,\"by_bandwidth\":[\n", count,
           (double)probe_ns / count / 1000);
    for (int i = 0; i < BANDS; i++) {
        report(bands[i], i + 1 == BANDS);
    }
    printf("]}\n");
    encode_chooser_deinit(&chooser);
    encode_bench_destroy(bench);
    return 0;
}
