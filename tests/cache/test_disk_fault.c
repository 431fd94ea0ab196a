/*
 * test_disk_fault.c -- system calls that fail, and a file system without room.
 *
 * The n-th call of a kind fails, for every n, once or from then on.  A tier that cannot store says
 * so once, answers a miss or the newest value, and works again when the trouble is over.
 */
#include <errno.h>
#include <sys/mount.h>

#include "disk_test.h"
#include "support/fake_clock.h"

enum kind { OPENAT, PREAD, PWRITE, PWRITE_SHORT, FALLOCATE, FDATASYNC, KINDS };

static struct {
    enum kind kind;
    uint64_t at; /* the call that fails; 0: none */
    uint64_t count;
    bool for_good;
    int os_errno;
} plan;

static bool fails(enum kind kind)
{
    if (plan.kind != kind || plan.at == 0) {
        return false;
    }
    plan.count++;
    errno = plan.os_errno;
    return plan.for_good ? plan.count >= plan.at : plan.count == plan.at;
}

static int faulty_openat(int dir, const char *name, int flags, mode_t mode)
{
    return fails(OPENAT) ? -1 : openat(dir, name, flags, mode);
}

static ssize_t faulty_pread(int fd, void *data, size_t size, off_t offset)
{
    return fails(PREAD) ? -1 : pread(fd, data, size, offset);
}

static ssize_t faulty_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (fails(PWRITE)) {
        return -1;
    }
    if (fails(PWRITE_SHORT)) {
        plan.at = plan.count + 1; /* the rest fails */
        plan.kind = PWRITE;
        plan.count = plan.at - 1;
        return pwrite(fd, data, size / 2, offset);
    }
    return pwrite(fd, data, size, offset);
}

static int faulty_fallocate(int fd, off_t offset, off_t size)
{
    return fails(FALLOCATE) ? plan.os_errno : posix_fallocate(fd, offset, size);
}

static int faulty_fdatasync(int fd)
{
    (void)fd;
    return fails(FDATASYNC) ? -1 : 0;
}

static const disk_sys faulty_calls = {.openat = faulty_openat,
                                      .pread = faulty_pread,
                                      .pwrite = faulty_pwrite,
                                      .fallocate = faulty_fallocate,
                                      .fdatasync = faulty_fdatasync};

/* The same with records that are stored through mappings. */
static const disk_sys mapped_calls = {.openat = faulty_openat,
                                      .pread = faulty_pread,
                                      .pwrite = faulty_pwrite,
                                      .fallocate = faulty_fallocate,
                                      .fdatasync = faulty_fdatasync,
                                      .maps = true};

static const disk_sys *now_used = &faulty_calls;

enum { KEYS = 4, UNKNOWN = -2, NONE = -1 };

/* What each key may answer: a value or NONE; UNKNOWN values may be a miss as well. */
static int newest[KEYS];

static int read_key(brisk_tier *tier, int key)
{
    char name[16];
    brisk_hit hit;
    (void)snprintf(name, sizeof name, "key %d", key);
    if (disk_get_key(tier, name, &hit) != BRISK_OK) {
        return NONE;
    }
    char text[16] = {0};
    size_t size = (size_t)brisk_value_size(hit.value);
    if (brisk_value_data(hit.value) != NULL) {
        memcpy(text, brisk_value_data(hit.value), size < 15 ? size : 15);
    } else {
        CHECK(pread(brisk_value_fd(hit.value), text, 15, 0) == 15);
    }
    brisk_value_unref(hit.value);
    return (int)strtol(text, NULL, 10);
}

static void check_keys(brisk_tier *tier)
{
    for (int key = 0; key < KEYS; key++) {
        int value = read_key(tier, key);
        if (value != NONE && value != newest[key]) {
            fail_msg("kind %d, call %llu%s: key %d has %d, newest is %d", (int)plan.kind,
                     (unsigned long long)plan.at, plan.for_good ? " and on" : "", key, value,
                     newest[key]);
        }
    }
}

static void put_key(brisk_tier *tier, int key, int value)
{
    static char text[3000];
    char name[16];
    (void)snprintf(name, sizeof name, "key %d", key);
    size_t size = value % 3 == 0 ? sizeof text : 200; /* 3000 is a file of its own */
    memset(text, 'x', size);
    (void)snprintf(text, size, "%d.", value);
    newest[key] = value;
    /* An error that could neither store nor withdraw would be told apart from one that did. */
    brisk_err err = disk_put_bytes(tier, name, text, size);
    /* Durable, an error may also say that nobody knows whether the new value will last. */
    bool may_stay = disk_is_durable((disk_tier *)tier);
    int now = read_key(tier, key);
    CHECK(err == BRISK_OK || now == NONE || (may_stay && now == value));
}

static void remove_key(brisk_tier *tier, int key)
{
    char name[16];
    (void)snprintf(name, sizeof name, "key %d", key);
    newest[key] = NONE;
    (void)disk_remove_key(tier, name); /* whatever it says: the slot is empty */
    CHECK(read_key(tier, key) == NONE);
}

/* The script under the plan; false when the plan's call was never reached. */
static bool run_once(const brisk_disk_tier_opts *opts, fake_clock *clock)
{
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    uint64_t at = plan.at;
    plan.at = 0;
    CHECK_OK(disk_tier_open_with(opts, now_used, &tier, &info));
    for (int key = 0; key < KEYS; key++) {
        put_key(tier, key, 10 + key);
    }
    brisk_tier_destroy(tier);
    tier = NULL;
    plan.at = at;
    plan.count = 0;
    if (disk_tier_open_with(opts, now_used, &tier, &info) == BRISK_OK) {
        for (int value = 20; value < 50; value++) {
            int key = value * 7 % KEYS;
            if (value % 5 == 0) {
                remove_key(tier, key);
            } else {
                put_key(tier, key, value);
            }
            check_keys(tier);
            if (value % 6 == 0) {
                (void)brisk_disk_tier_tend(tier, 1 << 16);
                check_keys(tier);
            }
        }
        brisk_tier_destroy(tier);
    } else {
        CHECK(strstr(info.text, opts->path) != NULL);
    }
    bool reached = plan.count >= at;
    plan.at = 0;
    /* The trouble is over. */
    fake_clock_advance(clock, 10 * FAKE_CLOCK_SECOND);
    CHECK_OK(disk_tier_open_with(opts, now_used, &tier, &info));
    check_keys(tier);
    put_key(tier, 0, 100);
    CHECK(read_key(tier, 0) == 100);
    brisk_tier_destroy(tier);
    disk_unlink(opts->path, "index");
    CHECK_OK(disk_tier_open_with(opts, now_used, &tier, &info));
    plan.at = at;
    check_keys(tier);
    brisk_tier_destroy(tier);
    return reached;
}

static void run_mode(enum kind kind, int os_errno, brisk_disk_sync sync)
{
    disk_count_log(NULL);
    for (int for_good = 0; for_good < 2; for_good++) {
        bool reached = true;
        uint64_t at = 1;
        for (; reached; at++) {
            BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
            fake_clock clock;
            fake_clock_init(&clock, 1);
            brisk_disk_tier_opts opts = {.path = dir->path,
                                         .bytes_max = 64 << 10,
                                         .segment_bytes = 8 << 10,
                                         .zstd_level = -1,
                                         .sync = sync,
                                         .clock = &clock.base};
            plan.kind = kind;
            plan.at = at;
            plan.for_good = for_good != 0;
            plan.os_errno = os_errno;
            reached = run_once(&opts, &clock);
        }
        CHECK_U64(at, >, 1);
    }
}

static void run_all(enum kind kind, int os_errno)
{
    for (int maps = 0; maps < 2; maps++) {
        now_used = maps != 0 ? &mapped_calls : &faulty_calls;
        run_mode(kind, os_errno, BRISK_DISK_SYNC_NONE);
        run_mode(kind, os_errno, BRISK_DISK_SYNC_GROUP);
    }
}

static void test_openat(void **state)
{
    (void)state;
    run_all(OPENAT, EMFILE);
    run_all(OPENAT, EACCES);
    run_all(OPENAT, ENOSPC);
}

static void test_pread(void **state)
{
    (void)state;
    run_all(PREAD, EIO);
}

static void test_pwrite(void **state)
{
    (void)state;
    run_all(PWRITE, ENOSPC);
    run_all(PWRITE, EIO);
}

static void test_pwrite_short(void **state)
{
    (void)state;
    run_all(PWRITE_SHORT, ENOSPC);
}

static void test_sync(void **state)
{
    (void)state;
    run_all(FDATASYNC, EIO);
}

static void test_no_room_for_the_index(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    plan.kind = FALLOCATE;
    plan.at = 1;
    plan.count = 0;
    plan.for_good = true;
    plan.os_errno = ENOSPC;
    brisk_disk_tier_opts opts = {.path = dir->path};
    CHECK(disk_tier_open_with(&opts, &faulty_calls, &tier, &info) == BRISK_ERR_FULL);
    CHECK(strstr(info.text, dir->path) != NULL && tier == NULL);
    CHECK_U64(temp_count(dir->path), ==, 1); /* state */
    plan.at = 0;
    CHECK_OK(disk_tier_open_with(&opts, &faulty_calls, &tier, &info));
    brisk_tier_destroy(tier);
}

/* Without room an old segment goes, and the put succeeds; one that needs no room goes on. */
static void test_full_once(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fake_clock clock;
    fake_clock_init(&clock, 1);
    plan.at = 0;
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    brisk_disk_tier_opts opts = {.path = dir->path, .clock = &clock.base};
    CHECK_OK(disk_tier_open_with(&opts, &faulty_calls, &tier, &info));
    CHECK_OK(disk_put_text(tier, "k", "old"));
    plan.kind = PWRITE;
    plan.at = 1;
    plan.count = 0;
    plan.for_good = false;
    plan.os_errno = ENOSPC;
    CHECK_OK(disk_put_text(tier, "new", "value"));
    CHECK(disk_holds_text(tier, "new", "value") && disk_misses(tier, "k"));
    CHECK_U64(disk_stats(tier).evicted_room, ==, 1);
    CHECK_U64(disk_stats(tier).rejects, ==, 0);
    brisk_tier_destroy(tier);
}

/* The file of a large value must not go with the segment that makes room for its record. */
static void test_full_once_large(void **state)
{
    (void)state;
    static unsigned char bytes[100000];
    disk_count_log(NULL);
    for (int maps = 0; maps < 2; maps++) {
        for (uint64_t at = 1; at < 8; at++) {
            BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
            const brisk_disk_tier_opts opts = {.path = dir->path, .bytes_max = 1 << 20};
            plan.at = 0;
            brisk_tier *tier = NULL;
            CHECK_OK(
                disk_tier_open_with(&opts, maps != 0 ? &mapped_calls : &faulty_calls, &tier, NULL));
            plan.kind = PWRITE;
            plan.at = at;
            plan.count = 0;
            plan.for_good = false;
            plan.os_errno = ENOSPC;
            bool stored = disk_put_bytes(tier, "k", bytes, sizeof bytes) == BRISK_OK;
            plan.at = 0;
            CHECK(disk_holds(tier, "k", bytes, sizeof bytes) == stored);
            brisk_tier_destroy(tier);
        }
    }
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* After a failed write nothing is tried for a while, and one line is logged. */
static void test_backs_off(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    unsigned int lines = 0;
    disk_count_log(&lines);
    fake_clock clock;
    fake_clock_init(&clock, 1);
    plan.at = 0;
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    brisk_disk_tier_opts opts = {.path = dir->path, .clock = &clock.base};
    CHECK_OK(disk_tier_open_with(&opts, &faulty_calls, &tier, &info));
    CHECK_OK(disk_put_text(tier, "k", "old"));
    plan.kind = PWRITE;
    plan.at = 1;
    plan.count = 0;
    plan.for_good = false;
    plan.os_errno = EIO;
    CHECK(disk_put_text(tier, "new", "value") == BRISK_ERR_IO);
    CHECK(disk_put_text(tier, "new", "value") == BRISK_ERR_DECLINED);
    CHECK(disk_put_text(tier, "k", "newer") == BRISK_ERR_DECLINED);
    CHECK(disk_misses(tier, "k") && disk_misses(tier, "new"));
    CHECK_U64(lines, ==, 1);
    CHECK_U64(disk_stats(tier).rejects, ==, 3);
    CHECK_U64(disk_stats(tier).errors, ==, 1);
    fake_clock_advance(&clock, 10 * FAKE_CLOCK_SECOND);
    CHECK_OK(disk_put_text(tier, "k", "newest"));
    CHECK(disk_holds_text(tier, "k", "newest"));
    brisk_tier_destroy(tier);
}

/* Room ahead of a segment that could be made in part only is given back, too. */
static void test_room_ahead_is_given_back(void **state)
{
    (void)state;
    disk_count_log(NULL);
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const brisk_disk_tier_opts opts = {.path = dir->path};
    plan.at = 0;
    brisk_tier *tier = NULL;
    CHECK_OK(disk_tier_open_with(&opts, &mapped_calls, &tier, NULL));
    plan.kind = PWRITE_SHORT;
    plan.at = 2; /* after the head */
    plan.count = 0;
    plan.for_good = false;
    plan.os_errno = EIO;
    CHECK(disk_put_text(tier, "k", "value") == BRISK_ERR_IO);
    plan.at = 0;
    char file[512];
    struct stat st;
    disk_join(file, dir->path, "00000001.seg");
    CHECK(stat(file, &st) == 0);
    CHECK_U64(st.st_size, ==, DISK_SEGMENT_HEAD);
    brisk_tier_destroy(tier);
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* Room that was counted for a large value is given back when the value cannot be stored. */
static void test_reserved_room_is_given_back(void **state)
{
    (void)state;
    enum { FIRST = 300 << 10, SECOND = 500 << 10 };
    static unsigned char bytes[SECOND];
    disk_count_log(NULL);
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const brisk_disk_tier_opts opts = {.path = dir->path, .bytes_max = 1 << 20};
    plan.at = 0;
    for (int fault = 0; fault < 2; fault++) {
        brisk_tier *tier = NULL;
        CHECK_OK(disk_tier_open_with(&opts, &faulty_calls, &tier, NULL));
        if (fault == 0) {
            CHECK_OK(disk_put_bytes(tier, "first", bytes, FIRST));
        } else { /* needs the room of the first, which cannot be withdrawn */
            uint64_t before = disk_stats(tier).bytes;
            plan.kind = FDATASYNC;
            plan.at = 1;
            plan.count = 0;
            plan.for_good = true;
            plan.os_errno = EIO;
            CHECK(disk_put_bytes(tier, "second", bytes, SECOND) == BRISK_ERR_IO);
            CHECK_U64(disk_stats(tier).bytes, <, before + 4096);
            plan.at = 0;
        }
        brisk_tier_destroy(tier);
    }
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* A real full file system, 12 MiB with an index of 512 KiB. */
static void test_full_file_system(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    if (mount("brisk-test", dir->path, "tmpfs", 0, "size=12m,mode=0700") != 0) {
        print_message("no right to mount: %s\n", strerror(errno));
        skip();
    }
    disk_count_log(NULL);
    fake_clock clock;
    fake_clock_init(&clock, 1);
    brisk_tier *tier = disk_open_opts(&(brisk_disk_tier_opts){.path = dir->path,
                                                              .bytes_max = 64 << 20,
                                                              .segment_bytes = 1 << 20,
                                                              .codec = "plain",
                                                              .clock = &clock.base});
    static char value[100000];
    int stored = 0;
    int refused = 0;
    for (int i = 0; i < 600; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i % 450);
        memset(value, 'a' + i % 26, sizeof value);
        size_t size = i % 7 == 0 ? 100000 : 30000;
        if (disk_put_bytes(tier, key, value, size) == BRISK_OK) {
            stored++;
            CHECK(disk_holds(tier, key, value, size));
        } else {
            refused++;
            CHECK(disk_misses(tier, key));
            fake_clock_advance(&clock, FAKE_CLOCK_SECOND);
        }
    }
    CHECK(stored > 500 && refused < 100); /* old segments go, as at the bound */
    CHECK_U64(disk_stats(tier).evicted_room, >, 0);
    CHECK_OK(tier->ops->clear(tier));
    fake_clock_advance(&clock, 10 * FAKE_CLOCK_SECOND);
    CHECK_OK(disk_put_text(tier, "k", "there is room again"));
    CHECK(disk_holds_text(tier, "k", "there is room again"));
    brisk_tier_destroy(tier);
    CHECK(umount(dir->path) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openat),
        cmocka_unit_test(test_pread),
        cmocka_unit_test(test_pwrite),
        cmocka_unit_test(test_pwrite_short),
        cmocka_unit_test(test_sync),
        cmocka_unit_test(test_no_room_for_the_index),
        cmocka_unit_test(test_full_once),
        cmocka_unit_test(test_full_once_large),
        cmocka_unit_test(test_backs_off),
        cmocka_unit_test(test_reserved_room_is_given_back),
        cmocka_unit_test(test_room_ahead_is_given_back),
        cmocka_unit_test(test_full_file_system),
    };
    return cmocka_run_group_tests_name("disk_fault", tests, disk_use_memory, NULL);
}
