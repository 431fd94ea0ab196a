/*
 * test_shared_entry.c -- what is packed comes out again; what is not ours never does.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/shared_entry.h"
#include "support/check.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

enum { RAW_MAX = 20000 };

static const shared_now always = {.wall_ns = 1000, .clear_generation = 3};

static void make_sealer(shared_sealer *sealer, const char *key, int level)
{
    CHECK_OK(shared_sealer_init(sealer, key, key != NULL ? strlen(key) : 0, NULL));
    sealer->zstd_level = level;
}

static shared_block *pack(shared_sealer *sealer, const brisk_key *key, const void *data,
                          size_t size, const brisk_entry_opts *opts)
{
    brisk_value *value;
    shared_block *block = NULL;
    CHECK_OK(brisk_value_copy(data, size, NULL, &value));
    CHECK_OK(shared_entry_pack(sealer, key, &(shared_source){value, opts, always.clear_generation},
                               &block));
    brisk_value_unref(value);
    return block;
}

static brisk_err unpack(shared_sealer *sealer, const unsigned char *bytes, size_t size,
                        const brisk_key *key, const shared_now *now, brisk_hit *hit)
{
    return shared_entry_unpack(sealer, (shared_bytes){bytes, size, NULL}, key, now, hit);
}

static void test_what_goes_in_comes_out(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    shared_sealer sealers[4];
    make_sealer(&sealers[0], "key", 0);
    make_sealer(&sealers[1], "key", 1);
    make_sealer(&sealers[2], NULL, 0);
    make_sealer(&sealers[3], NULL, 3);
    static unsigned char raw[RAW_MAX];
    static unsigned char key_bytes[BRISK_KEY_BYTES_MAX];
    for (int round = 0; round < 2000; round++) {
        shared_sealer *sealer = &sealers[check_random(&seed) % 4];
        size_t size = check_random(&seed) % (1u << check_random(&seed) % 15);
        size_t key_size = 1 + check_random(&seed) % (round % 100 == 0 ? BRISK_KEY_BYTES_MAX : 40);
        unsigned range = check_random(&seed) % 2 == 0 ? 256 : 4;
        for (size_t i = 0; i < size; i++) {
            raw[i] = (unsigned char)(check_random(&seed) % range);
        }
        for (size_t i = 0; i < key_size; i++) {
            key_bytes[i] = (unsigned char)check_random(&seed);
        }
        unsigned char meta[BRISK_TIER_META_MAX];
        memset(meta, 7, sizeof meta);
        brisk_key key = brisk_key_of(key_bytes, key_size);
        brisk_entry_opts opts = {
            .flags = check_random(&seed) % 2 == 0 ? BRISK_ENTRY_TAGGED : BRISK_ENTRY_NEGATIVE,
            .meta = meta,
            .meta_size = (uint32_t)(check_random(&seed) % (BRISK_TIER_META_MAX + 1)),
            .era = (uint16_t)check_random(&seed),
            .cost_ns = check_random(&seed),
            .expires_at_ns = check_random(&seed) | 1u << 20,
        };
        shared_block *block = pack(sealer, &key, raw, size, &opts);
        CHECK_U64(block->size, <=, block->capacity);
        bool with_owner = check_random(&seed) % 2 == 0;
        brisk_hit hit;
        CHECK_OK(shared_entry_unpack(
            sealer, (shared_bytes){block->bytes, block->size, with_owner ? block : NULL}, &key,
            &always, &hit));
        CHECK_U64(brisk_value_size(hit.value), ==, size);
        CHECK(size == 0 || memcmp(brisk_value_data(hit.value), raw, size) == 0);
        CHECK(hit.flags == opts.flags && hit.era == opts.era && hit.cost_ns == opts.cost_ns);
        CHECK(hit.expires_at_ns == opts.expires_at_ns && hit.meta_size == opts.meta_size);
        CHECK(memcmp(hit.meta, meta, hit.meta_size) == 0);
        brisk_value_unref(hit.value);
        if (!with_owner) {
            shared_block_destroy(block);
        }
    }
    for (int i = 0; i < 4; i++) {
        shared_sealer_deinit(&sealers[i]);
    }
}

static void test_every_flipped_bit_and_every_cut_is_seen(void **state)
{
    (void)state;
    brisk_key key = brisk_key_of("a key", 5);
    unsigned char raw[400];
    memset(raw, 'x', sizeof raw);
    for (int kind = 0; kind < 4; kind++) {
        shared_sealer sealer;
        make_sealer(&sealer, kind % 2 == 0 ? "secret" : NULL, kind / 2);
        brisk_entry_opts opts = {.meta = "meta", .meta_size = 4, .expires_at_ns = 5000};
        shared_block *block = pack(&sealer, &key, raw, sizeof raw, &opts);
        brisk_hit hit;
        for (size_t bit = 0; bit < 8 * block->size; bit++) {
            block->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            CHECK(unpack(&sealer, block->bytes, block->size, &key, &always, &hit) ==
                  BRISK_ERR_CORRUPT);
            block->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        for (size_t size = 0; size < block->size; size++) {
            unsigned char *cut = malloc(size + 1); /* so that the sanitizer sees its end */
            memcpy(cut, block->bytes, size);
            CHECK(unpack(&sealer, cut, size, &key, &always, &hit) == BRISK_ERR_CORRUPT);
            free(cut);
        }
        CHECK_OK(unpack(&sealer, block->bytes, block->size, &key, &always, &hit));
        brisk_value_unref(hit.value);
        shared_block_destroy(block);
        shared_sealer_deinit(&sealer);
    }
}

static void test_foreign_entries_are_refused(void **state)
{
    (void)state;
    shared_sealer mine;
    shared_sealer theirs;
    shared_sealer open;
    make_sealer(&mine, "mine", 0);
    make_sealer(&theirs, "theirs", 0);
    make_sealer(&open, NULL, 0);
    brisk_key key = brisk_key_of("a", 1);
    brisk_key other = brisk_key_of("b", 1);
    brisk_hit hit;
    shared_block *block = pack(&theirs, &key, "v", 1, NULL);
    CHECK(unpack(&mine, block->bytes, block->size, &key, &always, &hit) == BRISK_ERR_CORRUPT);
    CHECK(unpack(&open, block->bytes, block->size, &key, &always, &hit) == BRISK_ERR_CORRUPT);
    CHECK(unpack(&theirs, block->bytes, block->size, &other, &always, &hit) == BRISK_ERR_MISMATCH);
    shared_block_destroy(block);
    block = pack(&open, &key, "v", 1, NULL); /* a checksum is no seal where there is a key */
    CHECK(unpack(&mine, block->bytes, block->size, &key, &always, &hit) == BRISK_ERR_CORRUPT);
    shared_block_destroy(block);
    shared_sealer_deinit(&mine);
    shared_sealer_deinit(&theirs);
    shared_sealer_deinit(&open);
}

static void test_old_entries_are_misses(void **state)
{
    (void)state;
    shared_sealer sealer;
    make_sealer(&sealer, "k", 0);
    brisk_key key = brisk_key_of("a", 1);
    brisk_hit hit;
    shared_block *block = pack(&sealer, &key, "v", 1, &(brisk_entry_opts){.expires_at_ns = 2000});
    shared_now now = always;
    now.wall_ns = 1999;
    CHECK_OK(unpack(&sealer, block->bytes, block->size, &key, &now, &hit));
    brisk_value_unref(hit.value);
    now.wall_ns = 2000;
    CHECK(unpack(&sealer, block->bytes, block->size, &key, &now, &hit) == BRISK_ERR_NOT_FOUND);
    now = always;
    now.clear_generation++;
    CHECK(unpack(&sealer, block->bytes, block->size, &key, &now, &hit) == BRISK_ERR_NOT_FOUND);
    shared_block_destroy(block);
    shared_sealer_deinit(&sealer);
}

static void test_local_and_large_values_do_not_leave(void **state)
{
    (void)state;
    shared_sealer sealer;
    make_sealer(&sealer, "k", 0);
    sealer.value_bytes_max = 10;
    brisk_key key = brisk_key_of("a", 1);
    brisk_value *value;
    shared_block *block = NULL;
    CHECK_OK(brisk_value_copy("0123456789a", 11, NULL, &value));
    CHECK(shared_entry_pack(&sealer, &key, &(shared_source){value, NULL, 0}, &block) ==
          BRISK_ERR_DECLINED);
    sealer.value_bytes_max = 11;
    brisk_entry_opts local = {.flags = BRISK_ENTRY_LOCAL};
    CHECK(shared_entry_pack(&sealer, &key, &(shared_source){value, &local, 0}, &block) ==
          BRISK_ERR_DECLINED);
    CHECK(block == NULL);
    CHECK_OK(shared_entry_pack(&sealer, &key,
                               &(shared_source){value, NULL, always.clear_generation}, &block));
    brisk_hit hit;
    sealer.value_bytes_max = 10;
    CHECK(unpack(&sealer, block->bytes, block->size, &key, &always, &hit) == BRISK_ERR_LIMIT);
    sealer.value_bytes_max = 11;
    /* A LOCAL entry that somebody has sent nevertheless, with a good seal. */
    shared_entry entry;
    CHECK_OK(shared_entry_read(&sealer, block->bytes, block->size, &key, &entry));
    entry.flags = BRISK_ENTRY_LOCAL;
    unsigned char bytes[256];
    CHECK_U64(shared_entry_size(&entry), <=, sizeof bytes);
    shared_entry_write(&sealer, &entry, bytes);
    CHECK(unpack(&sealer, bytes, (size_t)shared_entry_size(&entry), &key, &always, &hit) ==
          BRISK_ERR_CORRUPT);
    shared_block_destroy(block);
    brisk_value_unref(value);
    shared_sealer_deinit(&sealer);
}

/* Sealed by somebody who has the key, but wrong inside. */
static void test_lies_about_the_compressed_size_are_refused(void **state)
{
    (void)state;
    shared_sealer sealer;
    make_sealer(&sealer, "k", 1);
    brisk_key key = brisk_key_of("a", 1);
    static unsigned char raw[5000];
    shared_block *block = pack(&sealer, &key, raw, sizeof raw, NULL);
    shared_entry entry;
    CHECK_OK(shared_entry_read(&sealer, block->bytes, block->size, &key, &entry));
    CHECK(entry.codec == SHARED_CODEC_ZSTD && entry.stored_size < 100);
    unsigned char bytes[512];
    static const uint64_t lies[] = {4999, 5001, UINT64_C(60) << 20};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        shared_entry lie = entry;
        lie.raw_size = lies[i];
        shared_entry_write(&sealer, &lie, bytes);
        brisk_hit hit;
        CHECK(unpack(&sealer, bytes, (size_t)shared_entry_size(&lie), &key, &always, &hit) ==
              BRISK_ERR_CORRUPT);
    }
    shared_block_destroy(block);
    shared_sealer_deinit(&sealer);
}

static void test_files_are_read(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    int fd = open(temp_dir_path(dir, "value"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, "from a file", 11) == 11);
    brisk_value *value;
    CHECK_OK(brisk_value_from_fd(fd, 11, NULL, &value));
    shared_sealer sealer;
    make_sealer(&sealer, "k", 0);
    brisk_key key = brisk_key_of("a", 1);
    shared_block *block;
    CHECK_OK(shared_entry_pack(&sealer, &key,
                               &(shared_source){value, NULL, always.clear_generation}, &block));
    brisk_hit hit;
    CHECK_OK(unpack(&sealer, block->bytes, block->size, &key, &always, &hit));
    CHECK(memcmp(brisk_value_data(hit.value), "from a file", 11) == 0);
    brisk_value_unref(hit.value);
    brisk_value_unref(value);
    shared_block_destroy(block);
    shared_sealer_deinit(&sealer);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    brisk_key key = brisk_key_of("a", 1);
    static unsigned char raw[RAW_MAX];
    brisk_value *value;
    CHECK_OK(brisk_value_copy(raw, sizeof raw, NULL, &value));
    for (int level = 0; level < 2; level++) {
        brisk_err err = BRISK_ERR_NOMEM;
        for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
            fault_alloc fault;
            fault_alloc_init(&fault, fail_after);
            shared_sealer sealer;
            shared_block *block = NULL;
            brisk_hit hit = {.value = NULL};
            CHECK_OK(shared_sealer_init(&sealer, "k", 1, &fault.base));
            sealer.zstd_level = level;
            err = shared_entry_pack(&sealer, &key, &(shared_source){value, NULL, 3}, &block);
            if (err == BRISK_OK) {
                err = shared_entry_unpack(&sealer, (shared_bytes){block->bytes, block->size, block},
                                          &key, &always, &hit);
                block = err == BRISK_OK ? NULL : block;
            }
            CHECK(err == BRISK_OK || hit.value == NULL);
            brisk_value_unref(hit.value);
            shared_block_destroy(block);
            shared_sealer_deinit(&sealer);
            CHECK_U64(fault.bytes_held, ==, 0);
        }
        CHECK(err == BRISK_OK);
    }
    brisk_value_unref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_in_comes_out),
        cmocka_unit_test(test_every_flipped_bit_and_every_cut_is_seen),
        cmocka_unit_test(test_foreign_entries_are_refused),
        cmocka_unit_test(test_old_entries_are_misses),
        cmocka_unit_test(test_local_and_large_values_do_not_leave),
        cmocka_unit_test(test_lies_about_the_compressed_size_are_refused),
        cmocka_unit_test(test_files_are_read),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
