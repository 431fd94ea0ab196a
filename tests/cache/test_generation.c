/*
 * test_generation.c -- stamps: no change of a key is overlooked, and few of others are taken for it.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "cache/generation.h"

static void change(generations *table, const brisk_key *key)
{
    generation_change change = generations_change_begin(table, key);
    generations_change_end(table, key, change);
}

static brisk_key numbered(const char *kind, int number, char text[32])
{
    int size = snprintf(text, 32, "%s %d", kind, number);
    return brisk_key_of(text, (size_t)size);
}

/* Values that were begun before 10,000 other keys changed: all but a few are still good. */
static void test_changes_of_others_do_not_outdate(void **state)
{
    (void)state;
    enum { LOADS = 20000, CHANGES = 10000 };
    generations *table = NULL;
    CHECK_OK(generations_create(brisk_alloc_libc(), &table));
    char text[32];
    uint64_t epoch = generation_token_epoch(generations_token(table));
    for (int i = 0; i < CHANGES; i++) {
        brisk_key key = numbered("other", i, text);
        change(table, &key);
    }
    int lost = 0;
    for (int i = 0; i < LOADS; i++) {
        brisk_key key = numbered("loaded", i, text);
        lost += generations_key_newer(table, &key, epoch);
    }
    print_message("lost: %d of %d\n", lost, LOADS);
    CHECK_U64(lost, <, LOADS / 200); /* 0.28 % is to be expected */
    for (int i = 0; i < CHANGES; i++) {
        brisk_key key = numbered("other", i, text);
        CHECK(generations_key_newer(table, &key, epoch)); /* and no change is ever overlooked */
    }
    generations_close(table);
}

/* Three keys of one stamp, as their hashes say. */
static void test_keys_of_one_stamp(void **state)
{
    (void)state;
    generations *table = NULL;
    CHECK_OK(generations_create(brisk_alloc_libc(), &table));
    brisk_key keys[3];
    for (uint64_t i = 0; i < 3; i++) {
        keys[i] = brisk_key_of("same", 4);
        keys[i].hash.hi = (keys[i].hash.hi & ~(UINT64_C(0xffff) << 8)) | (i + 1) << 8;
    }
    uint64_t epoch = generation_token_epoch(generations_token(table));
    change(table, &keys[0]);
    CHECK(generations_key_newer(table, &keys[0], epoch));
    CHECK(!generations_key_newer(table, &keys[2], epoch)); /* the one other is told apart */
    change(table, &keys[1]);
    CHECK(generations_key_newer(table, &keys[0], epoch));
    CHECK(generations_key_newer(table, &keys[1], epoch));

    uint64_t later = generation_token_epoch(generations_token(table));
    for (int i = 0; i < 3; i++) {
        CHECK(!generations_key_newer(table, &keys[i], later));
    }
    generation_change under_way = generations_change_begin(table, &keys[0]);
    CHECK(generations_key_newer(table, &keys[0], later));
    CHECK(!generations_key_overtaken(table, &keys[0], later));
    generation_change second = generations_change_begin(table, &keys[0]);
    CHECK(generations_key_overtaken(table, &keys[0], later));
    generations_change_end(table, &keys[0], second);
    CHECK(generations_key_overtaken(table, &keys[0], later));
    generations_change_end(table, &keys[0], under_way);

    /* Arming by one key is arming for the whole slot: what the others changed counts. */
    later = generation_token_epoch(generations_token(table));
    change(table, &keys[1]);
    CHECK_OK(generations_arm(table, &keys[0]));
    CHECK(generations_newer(table, generation_slot_of_key(&keys[1]), later));
    generations_close(table);
}

enum { RACE_CHANGES = 20000, RACE_THREADS = 3 };

typedef struct stamp_race {
    generations *table;
    brisk_key key;
} stamp_race;

static void *change_and_look(void *ctx)
{
    stamp_race *race = ctx;
    for (int i = 0; i < RACE_CHANGES; i++) {
        uint64_t epoch = generation_token_epoch(generations_token(race->table));
        change(race->table, &race->key);
        if (!generations_key_newer(race->table, &race->key, epoch)) {
            return race; /* pushed out by the others and forgotten */
        }
    }
    return NULL;
}

static void test_stamp_forgets_no_change_among_threads(void **state)
{
    (void)state;
    stamp_race races[RACE_THREADS];
    pthread_t threads[RACE_THREADS];
    generations *table = NULL;
    CHECK_OK(generations_create(brisk_alloc_libc(), &table));
    for (uint64_t i = 0; i < RACE_THREADS; i++) {
        races[i] = (stamp_race){.table = table, .key = brisk_key_of("same", 4)};
        races[i].key.hash.hi = (races[i].key.hash.hi & ~(UINT64_C(0xffff) << 8)) | (i + 1) << 8;
        CHECK(pthread_create(&threads[i], NULL, change_and_look, &races[i]) == 0);
    }
    for (int i = 0; i < RACE_THREADS; i++) {
        void *failed = NULL;
        CHECK(pthread_join(threads[i], &failed) == 0);
        CHECK(failed == NULL);
    }
    generations_close(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_of_others_do_not_outdate),
        cmocka_unit_test(test_keys_of_one_stamp),
        cmocka_unit_test(test_stamp_forgets_no_change_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
