/*
 * test_disk_open.c -- folders that many processes open and close, and folders with odd content.
 */
#include "disk_test.h"
#include "support/child.h"

enum { OPENERS = 3, OPENINGS = 300 };

/* Opens and closes one folder over and over; every third time with something to sync. */
static int open_and_close(void *ctx)
{
    const char *path = ctx;
    brisk_disk_tier_opts opts = {.path = path, .bytes_max = 1 << 20};
    for (int i = 0; i < OPENINGS; i++) {
        brisk_tier *tier = NULL;
        brisk_errinfo info = {0};
        if (brisk_disk_tier_open(&opts, &tier, &info) != BRISK_OK) {
            (void)fprintf(stderr, "opening %d: %s\n", i, info.text);
            return 1;
        }
        if (i % 3 == 0) {
            brisk_key key = brisk_key_of(&i, sizeof i);
            brisk_value *value = NULL;
            if (brisk_value_copy("value", 5, NULL, &value) != BRISK_OK ||
                tier->ops->put(tier, &key, value, NULL) != BRISK_OK ||
                tier->ops->remove(tier, &key) != BRISK_OK) {
                return 2;
            }
            brisk_value_unref(value);
        }
        brisk_tier_destroy(tier);
    }
    return 0;
}

static void test_many_open_and_close(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    pid_t children[OPENERS];
    for (int i = 0; i < OPENERS; i++) {
        children[i] = child_start(open_and_close, dir->path);
    }
    for (int i = 0; i < OPENERS; i++) {
        CHECK(child_wait(children[i]) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_open_and_close),
    };
    return cmocka_run_group_tests_name("disk open", tests, disk_use_memory, NULL);
}
