/*
 * test_disk_walk.c -- walks through the keys on disk: each once, whatever happens meanwhile.
 */
#include "cache/disk_test.h"

#include <stdio.h>

enum { KEYS = 3000, LONG = 60000 };

typedef struct seen {
    uint32_t times[KEYS];
    uint32_t others;
    uint32_t long_ones;
} seen;

static void see(void *ctx, const brisk_disk_visit *entry)
{
    seen *s = ctx;
    unsigned number;
    char text[16] = "";
    if (entry->key_size == LONG) {
        s->long_ones++;
        return;
    }
    CHECK_U64(entry->key_size, <, sizeof text);
    memcpy(text, entry->key, entry->key_size);
    if (sscanf(text, "k%u", &number) == 1 && number < KEYS) {
        s->times[number]++;
    } else {
        s->others++;
    }
}

static void put_number(brisk_tier *tier, unsigned number, size_t size)
{
    static unsigned char data[5000];
    char name[16];
    (void)snprintf(name, sizeof name, "k%u", number);
    CHECK_OK(disk_put_bytes(tier, name, data, size));
}

static void check_each_once(const seen *s, uint32_t from)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        if (s->times[i] != (i >= from)) {
            fail_msg("k%u was visited %u times", i, s->times[i]);
        }
    }
}

static void test_walk_sees_each_once(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_small(temp_dir_path(dir, "cache"));
    static char long_key[LONG + 1];
    memset(long_key, 'x', LONG);
    for (unsigned i = 0; i < KEYS; i++) {
        put_number(tier, i, i % 700);
    }
    CHECK_OK(disk_put_text(tier, long_key, "v"));
    seen s = {0};
    uint64_t cursor = 0;
    uint32_t steps = 0;
    do { /* replaced, and moved by the tier, while the walk goes on */
        cursor = brisk_disk_tier_scan(tier, cursor, 10, see, &s);
        put_number(tier, steps * 17 % KEYS, 1500);
        (void)brisk_disk_tier_tend(tier, 1 << 20);
        steps++;
    } while (cursor != 0);
    CHECK_U64(steps, >, 100);
    check_each_once(&s, 0);
    CHECK_U64(s.long_ones, ==, 1);
    CHECK_U64(s.others, ==, 0);
    CHECK_U64(brisk_disk_tier_count(tier), ==, KEYS + 1);
    CHECK_U64(brisk_disk_tier_scan(tier, UINT64_C(1) << 50, 10, see, &s), ==, 0);
    brisk_tier_destroy(tier);
}

static void test_walk_sees_nothing_that_is_gone(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_small(temp_dir_path(dir, "cache"));
    char name[16];
    seen none = {0};
    CHECK(!brisk_disk_tier_random(tier, 7, see, &none));
    for (unsigned i = 0; i < KEYS; i++) {
        put_number(tier, i, 300);
    }
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "k%u", i);
        CHECK_OK(disk_remove_key(tier, name));
    }
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy("v", 1, NULL, &value));
    static unsigned char meta[4]; /* of a large and of a small one: only the head is read */
    brisk_entry_opts over = {.expires_at_ns = 1, .meta = meta, .meta_size = sizeof meta};
    brisk_key key = brisk_key_of("over", 4);
    CHECK_OK(tier->ops->put(tier, &key, value, &over));
    brisk_value_unref(value);
    static unsigned char data[6000];
    CHECK_OK(brisk_value_copy(data, sizeof data, NULL, &value));
    key = brisk_key_of("over too", 8);
    CHECK_OK(tier->ops->put(tier, &key, value, &over));
    brisk_value_unref(value);
    seen s = {0};
    for (uint64_t cursor = 0; (cursor = brisk_disk_tier_scan(tier, cursor, 100, see, &s)) != 0;) {
    }
    check_each_once(&s, 1000);
    CHECK_U64(s.others, ==, 0);
    uint64_t rng = check_seed();
    memset(&s, 0, sizeof s);
    for (int i = 0; i < 2000; i++) {
        CHECK(brisk_disk_tier_random(tier, check_random(&rng), see, &s));
    }
    uint32_t different = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        different += s.times[i] != 0;
        CHECK(i >= 1000 || s.times[i] == 0);
    }
    CHECK_U64(different, >, 1000); /* 1,264 of 2,000 */
    CHECK_OK(tier->ops->clear(tier));
    CHECK(!brisk_disk_tier_random(tier, 7, see, &s));
    CHECK_U64(brisk_disk_tier_count(tier), ==, 0);
    brisk_tier_destroy(tier);
}

/* A record that is damaged in its key is nobody's key. */
static void test_damaged_keys_are_not_shown(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = disk_open_small(temp_dir_path(dir, "cache"));
    for (unsigned i = 0; i < 100; i++) {
        put_number(tier, i, 4000); /* larger than what a walk reads */
    }
    disk_tier *disk = (disk_tier *)tier;
    for (uint64_t i = 0; i < (disk->bucket_mask + 1) * DISK_BUCKET_SLOTS; i++) {
        uint64_t word = atomic_load(&disk->slots[i]);
        if (word != 0) {
            disk_slot slot = disk_slot_unpack(word);
            disk_pin pin;
            CHECK_OK(disk_fd_pin(disk, slot.segment, &pin));
            CHECK(pwrite(pin.fd, "j", 1, (off_t)slot.offset + DISK_RECORD_FIXED) == 1);
            disk_fd_unpin(&pin);
        }
    }
    seen s = {0};
    for (uint64_t cursor = 0; (cursor = brisk_disk_tier_scan(tier, cursor, 100, see, &s)) != 0;) {
    }
    CHECK_U64(s.others, ==, 0);
    brisk_tier_destroy(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_sees_each_once),
        cmocka_unit_test(test_walk_sees_nothing_that_is_gone),
        cmocka_unit_test(test_damaged_keys_are_not_shown),
    };
    return cmocka_run_group_tests(tests, disk_use_memory, NULL);
}
