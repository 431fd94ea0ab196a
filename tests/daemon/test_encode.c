/*
 * test_encode.c -- encoded bodies come back; the chooser picks the least sum of what it was told;
 * dictionaries; memory that runs out.
 */
#include <string.h>

#include "daemon/encode/squeeze.h"
#include "support/check.h"
#include "support/fault_alloc.h"

enum { BODY = 50000 };

/* Text of words, so that it shrinks about as English does. */
static size_t make_text(char *to, size_t size, uint64_t seed)
{
    static const char *const words[] = {
        "loop ",  "cache ", "of ",       "the ",   "measured ", "value ", "\n",
        "client", "42, ",   "\"key\": ", "server", " answer",   "bytes "};
    size_t at = 0;
    while (at + 16 < size) {
        const char *word = words[check_random(&seed) % (sizeof words / sizeof words[0])];
        memcpy(to + at, word, strlen(word));
        at += strlen(word);
    }
    return at;
}

static void fill_random(unsigned char *to, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (unsigned char)check_random(&seed);
    }
}

static void expect_same(encode_bench *bench, const encode_task *task, const brisk_value *value)
{
    char *back = malloc(task->body.size);
    encode_way way = encode_ways[task->method];
    codec_bytes bytes = {brisk_value_data(value), brisk_value_size(value)};
    CHECK(back != NULL);
    if (way.coding == ENCODE_DCZ) {
        CHECK_OK(
            encode_dictionary_expand(task->dictionary, bytes, (codec_room){back, task->body.size}));
    } else {
        codec_id id = way.coding == ENCODE_GZIP     ? CODEC_GZIP
                      : way.coding == ENCODE_BROTLI ? CODEC_BROTLI
                                                    : CODEC_ZSTD;
        if (id == CODEC_ZSTD) {
            CHECK(memcmp(bytes.data, "\x28\xb5\x2f\xfd", 4) == 0);
            bytes = (codec_bytes){(const char *)bytes.data + 4, bytes.size - 4};
        }
        codec_how how = {.id = id};
        CHECK_OK(codec_expand(bench->kit, &how, bytes, (codec_room){back, task->body.size}));
    }
    CHECK(memcmp(back, task->body.data, task->body.size) == 0);
    free(back);
}

static void test_every_method_comes_back(void **state)
{
    (void)state;
    static char text[BODY];
    size_t size = make_text(text, sizeof text, check_seed());
    encode_bench *bench;
    encode_dictionary *dictionary;
    brisk_value *old;
    CHECK_OK(encode_bench_create(brisk_alloc_libc(), &bench));
    CHECK_OK(brisk_value_copy(text + 100, size / 2, NULL, &old));
    CHECK_OK(encode_dictionary_create(old, brisk_alloc_libc(), &dictionary));
    for (int method = ENCODE_PLAIN + 1; method < ENCODE_METHODS; method++) {
        for (size_t part = 64; part <= size; part = part * 5 + 3) {
            encode_task task = {.method = (encode_method)method,
                                .body = {text, part},
                                .dictionary = dictionary,
                                .expand = true,
                                .forced = true};
            encode_measure measure;
            brisk_value *value;
            CHECK_OK(encode_squeeze(bench, &task, &measure, &value));
            expect_same(bench, &task, value);
            if (part > 2000) {
                CHECK_U64(measure.permille, <, 800);
                CHECK(measure.squeeze_ns > 0 && measure.expand_ns > 0);
            }
            brisk_value_unref(value);
        }
    }
    encode_dictionary_unref(dictionary);
    brisk_value_unref(old);
    encode_bench_destroy(bench);
}

static void test_random_bytes_are_left(void **state)
{
    (void)state;
    static unsigned char noise[BODY];
    fill_random(noise, sizeof noise, check_seed());
    encode_bench *bench;
    CHECK_OK(encode_bench_create(brisk_alloc_libc(), &bench));
    encode_probe probe;
    CHECK_OK(encode_probe_bytes(bench->kit, (codec_bytes){noise, sizeof noise}, &probe));
    CHECK(probe.hopeless && !probe.text);
    for (int method = ENCODE_PLAIN + 1; method < ENCODE_DCZ_3; method++) {
        encode_task task = {.method = (encode_method)method, .body = {noise, sizeof noise}};
        encode_measure measure;
        brisk_value *value;
        CHECK(encode_squeeze(bench, &task, &measure, &value) == BRISK_ERR_LIMIT);
    }
    encode_task nothing = {.method = ENCODE_ZSTD_1, .body = {noise, 0}};
    encode_measure measure;
    brisk_value *value;
    CHECK(encode_squeeze(bench, &nothing, &measure, &value) == BRISK_ERR_LIMIT);
    encode_bench_destroy(bench);
}

/* --- the chooser ------------------------------------------------------------------------------ */

static encode_question question_of(uint32_t codings, uint64_t bps)
{
    return (encode_question){.size = 16384,
                             .probe = {.permille = 480, .text = true},
                             .codings = codings,
                             .bps = bps,
                             .uses = 1};
}

static void test_only_what_is_accepted(void **state)
{
    (void)state;
    encode_chooser *chooser = malloc(sizeof *chooser);
    CHECK(chooser != NULL);
    encode_chooser_init(chooser);
    for (uint32_t codings = 0; codings < 1u << ENCODE_CODINGS; codings++) {
        for (uint64_t bps = 1000000; bps <= UINT64_C(10000000000); bps *= 10) {
            encode_question q = question_of(codings, bps);
            encode_method method = encode_choose(chooser, &q);
            bool allowed = (codings & 1u << encode_ways[method].coding) != 0;
            bool nothing_is = (codings & ~1u) == 0;
            CHECK(allowed || (nothing_is && method == ENCODE_PLAIN));
        }
    }
    encode_question hopeless = question_of(ENCODE_ANY, 1000000);
    hopeless.probe.hopeless = true;
    CHECK(encode_choose(chooser, &hopeless) == ENCODE_PLAIN);
    hopeless.codings = 1u << ENCODE_GZIP; /* identity;q=0 */
    CHECK(encode_ways[encode_choose(chooser, &hopeless)].coding == ENCODE_GZIP);
    encode_chooser_deinit(chooser);
    free(chooser);
}

/* Told figures of every method, it takes the least sum, which is computed here once more. */
static void test_least_sum_of_what_was_learnt(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    encode_chooser *chooser = malloc(sizeof *chooser);
    CHECK(chooser != NULL);
    for (int round = 0; round < 300; round++) {
        encode_chooser_init(chooser);
        encode_question q =
            question_of(ENCODE_ANY, UINT64_C(1000000) << (check_random(&random) % 14));
        q.uses = (uint32_t)(check_random(&random) % 5 + 1);
        double least = 1024 * 8e9 / (double)q.bps;
        encode_method best = ENCODE_PLAIN;
        for (int i = ENCODE_PLAIN + 1; i < ENCODE_METHODS; i++) {
            encode_measure told = {100 + (uint32_t)(check_random(&random) % 800),
                                   100 + (uint32_t)(check_random(&random) % 100000),
                                   100 + (uint32_t)(check_random(&random) % 5000)};
            encode_learn(chooser, q.size, &q.probe, (encode_method)i, &told);
            double sum = (double)told.squeeze_ns / q.uses +
                         1024 * 8e9 / (double)q.bps * told.permille / 1000 + told.expand_ns;
            if (sum < least) {
                least = sum;
                best = (encode_method)i;
            }
        }
        CHECK_U64(encode_choose(chooser, &q), ==, best);
        encode_chooser_deinit(chooser);
    }
    free(chooser);
}

static void test_bandwidth_and_use_decide(void **state)
{
    (void)state;
    encode_chooser *chooser = malloc(sizeof *chooser);
    CHECK(chooser != NULL);
    encode_chooser_init(chooser);
    encode_question q = question_of(ENCODE_ANY & ~(1u << ENCODE_DCZ), UINT64_C(40000000000));
    CHECK(encode_choose(chooser, &q) == ENCODE_PLAIN);
    q.bps = 200000;
    encode_method slow = encode_choose(chooser, &q);
    CHECK(encode_ways[slow].coding == ENCODE_BROTLI && encode_ways[slow].level >= 5);
    q.bps = 100000000;
    q.codings &= ~(1u << ENCODE_GZIP); /* level 1 of libdeflate is as good there */
    CHECK(encode_ways[encode_choose(chooser, &q)].coding == ENCODE_ZSTD);
    /* What is there costs nothing to make; what is used a million times, neither. */
    q.bps = 20000000;
    q.uses = 1000000;
    CHECK(encode_choose(chooser, &q) == ENCODE_BROTLI_11);
    q.uses = 1;
    q.made = 1u << ENCODE_BROTLI_11;
    CHECK(encode_choose(chooser, &q) == ENCODE_BROTLI_11);
    encode_chooser_deinit(chooser);
    free(chooser);
}

static void test_neighbours_and_ratios_are_used(void **state)
{
    (void)state;
    encode_chooser *chooser = malloc(sizeof *chooser);
    CHECK(chooser != NULL);
    encode_chooser_init(chooser);
    encode_question q = question_of(ENCODE_ANY, 50000000);
    encode_learn(chooser, q.size, &q.probe, ENCODE_ZSTD_3, &(encode_measure){400, 5000, 700});
    q.size = 1 << 20; /* not measured: as the nearest size, and as the sample says */
    q.probe.permille = 420;
    encode_measure known = encode_estimate(chooser, &q, ENCODE_ZSTD_3);
    CHECK_U64(known.permille, ==, 350);
    CHECK_U64(known.squeeze_ns, ==, 5000);
    CHECK_U64(known.expand_ns, ==, 700);
    /* A measurement without expanding leaves what is known of that. */
    encode_learn(chooser, q.size, &q.probe, ENCODE_ZSTD_3, &(encode_measure){300, 9000, 0});
    known = encode_estimate(chooser, &q, ENCODE_ZSTD_3);
    CHECK(known.expand_ns > 0);
    encode_chooser_deinit(chooser);
    free(chooser);
}

/* --- dictionaries ----------------------------------------------------------------------------- */

static void test_dictionary_makes_small_what_is_alike(void **state)
{
    (void)state;
    static unsigned char old[BODY];
    static unsigned char new[BODY];
    fill_random(old, sizeof old, check_seed());
    memcpy(new, old, sizeof new);
    memcpy(new + 1000, "something else", 14);
    brisk_value *value;
    encode_dictionary *dictionary;
    encode_bench *bench;
    CHECK_OK(encode_bench_create(brisk_alloc_libc(), &bench));
    CHECK_OK(brisk_value_copy(old, sizeof old, NULL, &value));
    CHECK_OK(encode_dictionary_create(value, brisk_alloc_libc(), &dictionary));
    brisk_value_unref(value);
    encode_task task = {
        .method = ENCODE_DCZ_3, .body = {new, sizeof new}, .dictionary = dictionary};
    encode_measure measure;
    CHECK_OK(encode_squeeze(bench, &task, &measure, &value));
    CHECK_U64(brisk_value_size(value), <, 400);
    const unsigned char *made = brisk_value_data(value);
    CHECK(memcmp(made, "\x5e\x2a\x4d\x18\x20\0\0\0", 8) == 0);
    CHECK(memcmp(made + 8, encode_dictionary_hash(dictionary), ENCODE_HASH_BYTES) == 0);
    expect_same(bench, &task, value);
    /* Another dictionary, or damage: refused. */
    brisk_value *other;
    encode_dictionary *wrong;
    static unsigned char back[BODY];
    codec_bytes bytes = {made, brisk_value_size(value)};
    CHECK_OK(brisk_value_copy(new, sizeof new, NULL, &other));
    CHECK_OK(encode_dictionary_create(other, brisk_alloc_libc(), &wrong));
    CHECK(encode_dictionary_expand(wrong, bytes, (codec_room){back, sizeof back}) ==
          BRISK_ERR_MISMATCH);
    bytes.size -= 3;
    CHECK(encode_dictionary_expand(dictionary, bytes, (codec_room){back, sizeof back}) ==
          BRISK_ERR_CORRUPT);
    encode_dictionary_unref(wrong);
    brisk_value_unref(other);
    brisk_value_unref(value);
    encode_dictionary_unref(dictionary);
    encode_bench_destroy(bench);
}

static void test_hash_field(void **state)
{
    (void)state;
    uint8_t hash[ENCODE_HASH_BYTES];
    CHECK(encode_read_hash(HTTP_TEXT(":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:"), hash));
    CHECK_U64(hash[0], ==, 0xa5); /* of "Hello World" */
    CHECK_U64(hash[31], ==, 0x6e);
    CHECK(!encode_read_hash(HTTP_TEXT("pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4="), hash));
    CHECK(!encode_read_hash(HTTP_TEXT(":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4:"), hash));
    CHECK(!encode_read_hash(HTTP_TEXT(":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG44:"), hash));
    CHECK(!encode_read_hash(HTTP_TEXT(":pZGm1Av0 EBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:"), hash));
    CHECK(!encode_read_hash(HTTP_TEXT(":pZGm1Av0-EBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:"), hash));
    CHECK(!encode_read_hash(HTTP_TEXT(""), hash));
    CHECK(!encode_read_hash(HTTP_TEXT("::"), hash));
    char text[32];
    CHECK(encode_write_string("/a\"b\\*", text, sizeof text));
    assert_string_equal(text, "\"/a\\\"b\\\\*\"");
    CHECK(!encode_write_string("a\nb", text, sizeof text));
    CHECK(!encode_write_string("\x80", text, sizeof text));
    CHECK(!encode_write_string("0123456789012345678901234567890123", text, sizeof text));
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static char text[BODY];
    size_t size = make_text(text, sizeof text, 7);
    brisk_value *old;
    CHECK_OK(brisk_value_copy(text, size / 2, NULL, &old));
    for (int method = ENCODE_PLAIN + 1; method < ENCODE_METHODS; method++) {
        if (method == ENCODE_ZSTD_19 || method == ENCODE_BROTLI_9 || method == ENCODE_BROTLI_11) {
            continue; /* the same calls, with tens of megabytes each */
        }
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM && fail_after < 200; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            encode_bench *bench = NULL;
            encode_dictionary *dictionary = NULL;
            brisk_value *value = NULL;
            err = encode_bench_create(&fault.base, &bench);
            if (err == BRISK_OK) {
                err = encode_dictionary_create(old, &fault.base, &dictionary);
            }
            if (err == BRISK_OK) {
                encode_task task = {.method = (encode_method)method,
                                    .body = {text, 2000},
                                    .dictionary = dictionary,
                                    .expand = true};
                encode_measure measure;
                err = encode_squeeze(bench, &task, &measure, &value);
            }
            CHECK((value != NULL) == (err == BRISK_OK));
            brisk_value_unref(value);
            encode_dictionary_unref(dictionary);
            encode_bench_destroy(bench);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK_OK(err);
    }
    brisk_value_unref(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_method_comes_back),
        cmocka_unit_test(test_random_bytes_are_left),
        cmocka_unit_test(test_only_what_is_accepted),
        cmocka_unit_test(test_least_sum_of_what_was_learnt),
        cmocka_unit_test(test_bandwidth_and_use_decide),
        cmocka_unit_test(test_neighbours_and_ratios_are_used),
        cmocka_unit_test(test_dictionary_makes_small_what_is_alike),
        cmocka_unit_test(test_hash_field),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
