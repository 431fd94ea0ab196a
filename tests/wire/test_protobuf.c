/*
 * test_protobuf.c -- the bytes of the encoding guide's examples, and back; damage ends the reading.
 */
#include "support/check.h"

#include <string.h>

#include "wire/protobuf.h"

static bool holds(const brisk_str *str, const char *bytes, size_t size)
{
    return brisk_str_size(str) == size && memcmp(brisk_str_text(str), bytes, size) == 0;
}

static void the_guides_examples_are_written(void **state)
{
    (void)state;
    brisk_str str;
    brisk_str_init(&str, NULL, 1024);
    wire_pb_u64(&str, 1, 150);
    CHECK(holds(&str, "\x08\x96\x01", 3));
    brisk_str_cut(&str, 0);
    wire_pb_bytes(&str, 2, "testing", 7);
    CHECK(holds(&str, "\x12\x07testing", 9));
    brisk_str_cut(&str, 0);
    wire_pb_u64(&str, 1, 0);
    CHECK_U64(brisk_str_size(&str), ==, 0); /* the default */
    wire_pb_varint(&str, UINT64_MAX);
    CHECK(holds(&str, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
    brisk_str_deinit(&str);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    brisk_str str;
    brisk_str_init(&str, NULL, 1 << 20);
    uint64_t values[200];
    for (size_t i = 0; i < 200; i++) {
        values[i] = (check_random(&seed) >> (check_random(&seed) % 64)) | 1;
        wire_pb_u64(&str, (uint32_t)(1 + i), values[i]);
        wire_pb_bytes(&str, (uint32_t)(1 + i), &values[i], i % 9);
    }
    wire_pb_reader r = {(const unsigned char *)brisk_str_text(&str), NULL};
    r.end = r.at + brisk_str_size(&str);
    wire_pb_field f;
    for (size_t i = 0; i < 200; i++) {
        CHECK_OK(wire_pb_next(&r, &f));
        CHECK(f.number == 1 + i && f.type == WIRE_PB_VARINT && f.value == values[i]);
        CHECK_OK(wire_pb_next(&r, &f));
        CHECK(f.type == WIRE_PB_BYTES && f.size == i % 9 &&
              memcmp(f.data, &values[i], f.size) == 0);
    }
    CHECK(wire_pb_next(&r, &f) == BRISK_ERR_NOT_FOUND);
    brisk_str_deinit(&str);
}

static brisk_err read_all(const char *bytes, size_t size)
{
    wire_pb_reader r = {(const unsigned char *)bytes, (const unsigned char *)bytes + size};
    wire_pb_field f;
    brisk_err err;
    while ((err = wire_pb_next(&r, &f)) == BRISK_OK) {
        CHECK(f.type != WIRE_PB_BYTES ||
              (f.data >= (const unsigned char *)bytes && f.size <= size));
    }
    return err;
}

static void fixed_words_are_read(void **state)
{
    (void)state;
    wire_pb_reader r = {(const unsigned char *)"\x0d\x01\0\0\0\x11\x02\0\0\0\0\0\0\0", NULL};
    r.end = r.at + 14;
    wire_pb_field f;
    CHECK_OK(wire_pb_next(&r, &f));
    CHECK(f.type == WIRE_PB_FIXED32 && f.value == 1);
    CHECK_OK(wire_pb_next(&r, &f));
    CHECK(f.type == WIRE_PB_FIXED64 && f.value == 2);
}

static void damage_ends_the_reading(void **state)
{
    (void)state;
    CHECK(read_all("\x08", 1) == BRISK_ERR_CORRUPT);         /* no value */
    CHECK(read_all("\x08\xff\xff", 3) == BRISK_ERR_CORRUPT); /* half of one */
    CHECK(read_all("\x12\x05"
                   "abc",
                   5) == BRISK_ERR_CORRUPT);
    CHECK(read_all("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11) == BRISK_ERR_CORRUPT);
    CHECK(read_all("\x00\x01", 2) == BRISK_ERR_CORRUPT); /* field 0 */
    CHECK(read_all("\x0b", 1) == BRISK_ERR_CORRUPT);     /* a group */
    CHECK(read_all("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12) == BRISK_ERR_CORRUPT);
    uint64_t seed = check_seed();
    for (int i = 0; i < 10000; i++) {
        char bytes[32];
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (char)check_random(&seed);
        }
        brisk_err err = read_all(bytes, check_random(&seed) % sizeof bytes);
        CHECK(err == BRISK_ERR_CORRUPT || err == BRISK_ERR_NOT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guides_examples_are_written),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(fixed_words_are_read),
        cmocka_unit_test(damage_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
