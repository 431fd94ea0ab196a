/*
 * test_codec.c -- what is squeezed expands to itself; what is not whole, or not with its
 * dictionary, is refused; all memory is the allocator's; a choice follows what was measured.
 */
#include "wire/codec.h"

#include "support/check.h"
#include "support/fault_alloc.h"

enum { BYTES_MAX = 70000, SAMPLES = 400 };

static unsigned char raw[BYTES_MAX];
static unsigned char squeezed[BYTES_MAX * 2];
static unsigned char expanded[BYTES_MAX + 1];

/* Something like JSON, like nothing, or all the same. */
static void make_bytes(unsigned char *bytes, size_t size, int kind, uint64_t seed)
{
    uint64_t random = seed;
    for (size_t i = 0; i < size; i++) {
        static const char text[] = "{\"name\":\"codec\",\"score\":12,\"tags\":[\"a\",\"b\"]},";
        bytes[i] = kind == 0   ? (unsigned char)text[i % (sizeof text - 1)]
                   : kind == 1 ? (unsigned char)check_random(&random)
                               : 7;
        if (kind == 0 && i % 47 >= 30 && i % 47 < 34) {
            bytes[i] = (unsigned char)('0' + check_random(&random) % 10);
        }
    }
}

static codec_dict *make_dict(uint64_t seed)
{
    enum { SIZE = 500 };
    static unsigned char samples[SAMPLES * SIZE];
    size_t sizes[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        sizes[i] = SIZE;
        make_bytes(samples + i * SIZE, SIZE, 0, seed + i);
    }
    unsigned char bytes[CODEC_DICT_BYTES];
    size_t size = 0;
    codec_samples all = {samples, sizes, SAMPLES, 256};
    CHECK_OK(codec_dict_train(&all, (codec_room){bytes, sizeof bytes}, &size));
    codec_dict *dict = NULL;
    CHECK_OK(codec_dict_create((codec_bytes){bytes, size}, 1, brisk_alloc_libc(), &dict));
    return dict;
}

static void check_round_trip(codec_kit *kit, const codec_how *how, size_t size, bool random)
{
    size_t done = 0;
    codec_bytes src = {raw, size};
    size_t bound = codec_bound(how->id, size);
    CHECK(bound <= sizeof squeezed);
    brisk_err err = codec_squeeze(kit, how, src, (codec_room){squeezed, bound}, &done);
    if (err == BRISK_ERR_LIMIT && how->dict != NULL && (random || size < 64)) {
        return; /* without a frame there is nothing for what does not shrink */
    }
    CHECK_OK(err);
    CHECK(done <= bound);
    expanded[size] = 0x5a;
    CHECK_OK(codec_expand(kit, how, (codec_bytes){squeezed, done}, (codec_room){expanded, size}));
    CHECK(memcmp(expanded, raw, size) == 0 && expanded[size] == 0x5a);
    /* Other sizes than its own are refused, and so is what was cut. */
    codec_bytes whole = {squeezed, done};
    CHECK(codec_expand(kit, how, whole, (codec_room){expanded, size + 1}) == BRISK_ERR_CORRUPT);
    if (size > 0) {
        CHECK(codec_expand(kit, how, whole, (codec_room){expanded, size - 1}) == BRISK_ERR_CORRUPT);
        codec_bytes cut = {squeezed, done - 1};
        CHECK(codec_expand(kit, how, cut, (codec_room){expanded, size}) == BRISK_ERR_CORRUPT);
        if (done > 1) {
            CHECK(codec_squeeze(kit, how, src, (codec_room){squeezed, done - 1}, &done) ==
                  BRISK_ERR_LIMIT);
        }
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 31, 64, 1000, 4096, 65536, BYTES_MAX};
    static const int levels[] = {CODEC_LEVEL_DEFAULT, 1, 3, 9, 22};
    codec_kit *kit = NULL;
    codec_dict *dict = make_dict(1);
    CHECK_OK(codec_kit_create(brisk_alloc_libc(), &kit));
    for (int kind = 0; kind < 3; kind++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            make_bytes(raw, sizes[s], kind, 99);
            for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++) {
                for (int id = 0; id < CODEC_COUNT; id++) {
                    codec_how how = {.id = (codec_id)id, .level = levels[l]};
                    check_round_trip(kit, &how, sizes[s], kind == 1);
                }
                check_round_trip(kit,
                                 &(codec_how){.id = CODEC_ZSTD, .level = levels[l], .dict = dict},
                                 sizes[s], kind == 1);
            }
        }
    }
    codec_dict_unref(dict);
    codec_kit_destroy(kit);
}

static void test_dictionary_gains_and_is_needed(void **state)
{
    (void)state;
    codec_kit *kit = NULL;
    codec_dict *dict = make_dict(1);
    codec_dict *other = make_dict(5000);
    CHECK_OK(codec_kit_create(brisk_alloc_libc(), &kit));
    make_bytes(raw, 600, 0, 12345);
    codec_how with = {.id = CODEC_ZSTD, .dict = dict};
    codec_how without = {.id = CODEC_ZSTD};
    size_t small = 0;
    size_t large = 0;
    codec_bytes src = {raw, 600};
    codec_room to = {squeezed, sizeof squeezed};
    CHECK_OK(codec_squeeze(kit, &without, src, to, &large));
    CHECK_OK(codec_squeeze(kit, &with, src, to, &small));
    CHECK_U64(small, <, large);
    /* Without it: refused, or other bytes; never read beyond. */
    codec_room back = {expanded, 600};
    brisk_err err = codec_expand(kit, &without, (codec_bytes){squeezed, small}, back);
    CHECK(err == BRISK_ERR_CORRUPT);
    CHECK_OK(codec_expand(kit, &with, (codec_bytes){squeezed, small}, back));
    CHECK(memcmp(expanded, raw, 600) == 0);
    /* Its bytes make the same dictionary again. */
    codec_dict *again = NULL;
    CHECK_OK(codec_dict_create(codec_dict_bytes(dict), 3, brisk_alloc_libc(), &again));
    codec_dict_unref(codec_dict_ref(again));
    CHECK_OK(codec_expand(kit, &(codec_how){.id = CODEC_ZSTD, .dict = again},
                          (codec_bytes){squeezed, small}, back));
    CHECK(memcmp(expanded, raw, 600) == 0);
    CHECK(codec_dict_create((codec_bytes){raw, 600}, 3, brisk_alloc_libc(), &again) ==
          BRISK_ERR_INVALID);
    codec_dict_unref(again);
    codec_dict_unref(other);
    codec_dict_unref(dict);
    codec_kit_destroy(kit);
}

static void test_training_needs_samples(void **state)
{
    (void)state;
    size_t sizes[4] = {10, 10, 10, 10};
    size_t size = 0;
    unsigned char bytes[CODEC_DICT_BYTES];
    codec_room room = {bytes, sizeof bytes};
    CHECK(codec_dict_train(&(codec_samples){raw, sizes, 4, 256}, room, &size) ==
          BRISK_ERR_NOT_FOUND);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < CODEC_COUNT; i++) {
        codec_id id;
        CHECK_OK(codec_find(codec_name((codec_id)i), &id));
        CHECK((int)id == i);
    }
    codec_id id = CODEC_LZ4;
    CHECK(codec_find("zip", &id) == BRISK_ERR_NOT_FOUND && id == CODEC_LZ4);
    CHECK(codec_name((codec_id)99) == NULL);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    codec_dict *dict = make_dict(1);
    make_bytes(raw, 5000, 0, 3);
    for (int id = 0; id <= CODEC_COUNT; id++) {
        codec_how how = {.id = id == CODEC_COUNT ? CODEC_ZSTD : (codec_id)id,
                         .dict = id == CODEC_COUNT ? dict : NULL};
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            codec_kit *kit = NULL;
            size_t size = 0;
            err = codec_kit_create(&fault.base, &kit);
            if (err == BRISK_OK) {
                err = codec_squeeze(kit, &how, (codec_bytes){raw, 5000},
                                    (codec_room){squeezed, sizeof squeezed}, &size);
            }
            if (err == BRISK_OK) {
                err = codec_expand(kit, &how, (codec_bytes){squeezed, size},
                                   (codec_room){expanded, 5000});
            }
            CHECK(err == BRISK_OK || err == BRISK_ERR_NOMEM);
            codec_kit_destroy(kit);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK_OK(err);
    }
    codec_dict_unref(dict);
}

static void test_random_is_seen(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 300; seed++) {
        make_bytes(raw, 4096, 1, seed);
        CHECK(codec_seems_random((codec_bytes){raw, 4096}));
        make_bytes(raw, 4096, 0, seed);
        CHECK(!codec_seems_random((codec_bytes){raw, 4096}));
    }
    for (size_t i = 0; i < 4096; i += 4) { /* counting numbers */
        uint32_t number = (uint32_t)i * 3;
        memcpy(raw + i, &number, sizeof number);
    }
    CHECK(!codec_seems_random((codec_bytes){raw, 4096}));
    CHECK(!codec_seems_random((codec_bytes){raw, 0}));
}

/* A codec that costs and gains this. */
static codec_choice settle(codec_chooser *chooser, const codec_record seen[CODEC_TRIED],
                           bool has_dict)
{
    codec_choice choice = {0};
    make_bytes(raw, 1000, 0, 1);
    for (int i = 0; i < 3000; i++) {
        choice = codec_choose(chooser, (codec_bytes){raw, 1000}, has_dict);
        if (choice.measure) {
            int tried = choice.id == CODEC_LZ4 ? 1 : choice.with_dict ? 2 : 0;
            codec_chooser_learn(chooser, &choice, seen[tried], 1000);
        }
    }
    while (choice.measure) {
        choice = codec_choose(chooser, (codec_bytes){raw, 1000}, has_dict);
    }
    return choice;
}

/* A measurement that was interrupted does not count for long. */
static void test_choice_forgets_outliers(void **state)
{
    (void)state;
    codec_record seen[CODEC_TRIED] = {
        {.size_permille = 417, .squeeze_ns_per_kib = 4700, .expand_ns_per_kib = 2030},
        {.size_permille = 568, .squeeze_ns_per_kib = 1250, .expand_ns_per_kib = 240},
        {.size_permille = 250, .squeeze_ns_per_kib = 2600, .expand_ns_per_kib = 1000}};
    codec_record slow = seen[2];
    slow.squeeze_ns_per_kib = 4000000;
    codec_choice dict = {.id = CODEC_ZSTD, .with_dict = true, .measure = true};
    for (int first = 0; first < 2; first++) {
        codec_chooser chooser = {0};
        if (first == 0) {
            (void)settle(&chooser, seen, true);
        }
        codec_chooser_learn(&chooser, &dict, slow, 1000);
        CHECK(settle(&chooser, seen, true).with_dict);
    }
}

static void test_choice_follows_what_is_measured(void **state)
{
    (void)state;
    /* As measured for JSON of 1 KB. */
    codec_record json[CODEC_TRIED] = {
        {.size_permille = 417, .squeeze_ns_per_kib = 4700, .expand_ns_per_kib = 2030},
        {.size_permille = 568, .squeeze_ns_per_kib = 1250, .expand_ns_per_kib = 240},
        {.size_permille = 250, .squeeze_ns_per_kib = 2600, .expand_ns_per_kib = 1000}};
    codec_chooser chooser = {0};
    CHECK(settle(&chooser, json, false).id == CODEC_LZ4);
    codec_choice choice = settle(&chooser, json, true);
    CHECK(choice.id == CODEC_ZSTD && choice.with_dict);
    /* The data changes: nothing gains any more, then zstd alone does. */
    codec_record nothing[CODEC_TRIED] = {{.size_permille = 1000, .squeeze_ns_per_kib = 900},
                                         {.size_permille = 1000, .squeeze_ns_per_kib = 300},
                                         {.size_permille = 1000, .squeeze_ns_per_kib = 900}};
    CHECK(settle(&chooser, nothing, true).id == CODEC_PLAIN);
    codec_record zstd[CODEC_TRIED] = {{.size_permille = 200, .squeeze_ns_per_kib = 900},
                                      {.size_permille = 900, .squeeze_ns_per_kib = 300},
                                      {.size_permille = 1000, .squeeze_ns_per_kib = 900}};
    choice = settle(&chooser, zstd, true);
    CHECK(choice.id == CODEC_ZSTD && !choice.with_dict);
    make_bytes(raw, 4096, 1, 5);
    CHECK(!codec_chooser_doubts(&chooser, 4096));
    codec_chooser_tried(&chooser, 4096, false);
    CHECK(codec_chooser_doubts(&chooser, 4096));
    choice = codec_choose(&chooser, (codec_bytes){raw, 4096}, true);
    CHECK(choice.id == CODEC_PLAIN && !choice.measure);
    CHECK(codec_choose(&chooser, (codec_bytes){raw, 20}, true).id == CODEC_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_dictionary_gains_and_is_needed),
        cmocka_unit_test(test_training_needs_samples),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_random_is_seen),
        cmocka_unit_test(test_choice_forgets_outliers),
        cmocka_unit_test(test_choice_follows_what_is_measured),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
