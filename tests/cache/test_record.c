/*
 * The recorder and its reader: what was noted comes back, a killed recorder leaves whole blocks,
 * damage is skipped, full disks and limits are told.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <brisk/record.h>

#include "base/thread.h"
#include "cache/record_file.h"
#include "support/check.h"
#include "support/child.h"
#include "support/fake_clock.h"
#include "support/fault_alloc.h"
#include "support/temp_dir.h"

static brisk_recorder *open_recorder(const char *path, bool keys)
{
    brisk_recorder *recorder = NULL;
    brisk_errinfo info = {0};
    CHECK_OK(brisk_recorder_create(&(brisk_recorder_opts){.path = path, .keys = keys}, &recorder,
                                   &info));
    return recorder;
}

/* Note `count` requests of keys "k<first>" ...; request i of them is a hit in tier i % 4 - 1. */
static void note_some(brisk_recorder *recorder, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "k%llu", (unsigned long long)i);
        brisk_key key = brisk_key_of(text, (size_t)size);
        brisk_recorder_note(recorder, i % 10 == 9 ? BRISK_RECORD_PUT : BRISK_RECORD_GET, &key,
                            (uint32_t)(i % 4) - 1, i * 100);
    }
}

static bool is_record(const brisk_record *record, uint64_t i, bool keys)
{
    char text[32];
    int size = snprintf(text, sizeof text, "k%llu", (unsigned long long)i);
    brisk_key key = brisk_key_of(text, (size_t)size);
    bool key_is = keys ? record->key != NULL && record->key_size == key.size &&
                             memcmp(record->key, text, key.size) == 0
                       : record->key == NULL;
    return record->hash == key.hash.lo && record->tier == (uint32_t)(i % 4) - 1 &&
           record->hit == (i % 4 != 0) && record->size == i * 100 && key_is &&
           record->op == (i % 10 == 9 ? BRISK_RECORD_PUT : BRISK_RECORD_GET);
}

/* Read everything; every record must be one that was noted.  Returns how many. */
static uint64_t read_all(const char *path, bool keys, brisk_recording_stats *stats)
{
    brisk_recording *recording = NULL;
    brisk_record record;
    brisk_errinfo info = {0};
    uint64_t count = 0;
    CHECK_OK(brisk_recording_open(path, NULL, &recording, &info));
    brisk_err err;
    while ((err = brisk_recording_next(recording, &record)) == BRISK_OK) {
        CHECK(is_record(&record, record.size / 100, keys));
        count++;
    }
    assert_int_equal(err, BRISK_ERR_NOT_FOUND);
    brisk_recording_read_stats(recording, stats);
    CHECK_U64(stats->records, ==, count);
    brisk_recording_close(recording);
    return count;
}

static void test_what_was_noted_comes_back(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    for (int keys = 0; keys < 2; keys++) {
        const char *path = temp_dir_path(dir, keys != 0 ? "keys.rec" : "hashes.rec");
        brisk_recorder *recorder = open_recorder(path, keys != 0);
        note_some(recorder, 0, 5000);
        CHECK_OK(brisk_recorder_destroy(recorder, NULL));
        brisk_recording *recording = NULL;
        CHECK_OK(brisk_recording_open(path, NULL, &recording, NULL));
        brisk_record record;
        uint64_t time_ns = 0;
        for (uint64_t i = 0; i < 5000; i++) {
            CHECK_OK(brisk_recording_next(recording, &record));
            CHECK(is_record(&record, i, keys != 0));
            CHECK_U64(record.time_ns, >=, time_ns);
            time_ns = record.time_ns;
        }
        assert_int_equal(brisk_recording_next(recording, &record), BRISK_ERR_NOT_FOUND);
        assert_int_equal(brisk_recording_next(recording, &record), BRISK_ERR_NOT_FOUND);
        brisk_recording_stats stats;
        brisk_recording_read_stats(recording, &stats);
        CHECK(stats.has_keys == (keys != 0) && !stats.torn && stats.damaged == 0);
        CHECK_U64(stats.dropped, ==, 0);
        brisk_recording_close(recording);
    }
}

static void test_appends_to_a_recording(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    brisk_recorder *first = open_recorder(path, true);
    brisk_recorder *second = open_recorder(path, true); /* two at once */
    note_some(first, 0, 3000);
    note_some(second, 10000, 3000);
    CHECK_OK(brisk_recorder_destroy(first, NULL));
    CHECK_OK(brisk_recorder_destroy(second, NULL));
    brisk_recorder *third = open_recorder(path, false);
    note_some(third, 20000, 10);
    CHECK_OK(brisk_recorder_destroy(third, NULL));
    brisk_recording *recording = NULL;
    brisk_record record;
    uint64_t count = 0;
    CHECK_OK(brisk_recording_open(path, NULL, &recording, NULL));
    while (brisk_recording_next(recording, &record) == BRISK_OK) {
        CHECK(is_record(&record, record.size / 100, record.size < 2000000));
        count++;
    }
    CHECK_U64(count, ==, 6010);
    brisk_recording_close(recording);
}

static void test_refuses_what_is_no_recording(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *text = temp_dir_path(dir, "letter.txt");
    temp_write_text(text, "Dear reader, this is a text that matters to somebody.");
    const char *fifo = temp_dir_path(dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *path;
        brisk_err err;
    } bad[] = {
        {text, BRISK_ERR_CONFLICT},
        {dir->path, BRISK_ERR_INVALID},
        {temp_dir_path(dir, "none/a.rec"), BRISK_ERR_NOT_FOUND},
        {fifo, BRISK_ERR_INVALID},
        {"", BRISK_ERR_INVALID},
        {NULL, BRISK_ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        brisk_recorder *recorder = NULL;
        brisk_errinfo info = {0};
        brisk_recorder_opts opts = {.path = bad[i].path};
        assert_int_equal(brisk_recorder_create(&opts, &recorder, &info), bad[i].err);
        CHECK(recorder == NULL && info.text[0] != '\0');
    }
    CHECK(temp_holds(text, "Dear reader, this is a text that matters to somebody.", 53));
    brisk_recording *recording = NULL;
    brisk_errinfo info = {0};
    assert_int_equal(brisk_recording_open(text, NULL, &recording, &info), BRISK_ERR_CORRUPT);
    assert_int_equal(brisk_recording_open(temp_dir_path(dir, "none"), NULL, &recording, &info),
                     BRISK_ERR_NOT_FOUND);
}

/* Cut at every length: everything up to the last whole block is there, and nothing else. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    for (uint64_t block = 0; block < 3; block++) {
        brisk_recorder *recorder = open_recorder(path, true);
        note_some(recorder, block * 20, 20);
        CHECK_OK(brisk_recorder_destroy(recorder, NULL));
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    static unsigned char bytes[65536];
    size_t size = (size_t)st.st_size;
    CHECK(size < sizeof bytes);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, bytes, size), (ssize_t)size);
    (void)close(fd);
    uint64_t most = 0;
    for (size_t cut = 0; cut <= size; cut++) {
        brisk_recording *recording = NULL;
        brisk_record record;
        brisk_err err = brisk_recording_open_bytes(bytes, cut, NULL, &recording);
        assert_int_equal(err, cut < RECORD_FILE_HEAD ? BRISK_ERR_CORRUPT : BRISK_OK);
        uint64_t count = 0;
        while (err == BRISK_OK && brisk_recording_next(recording, &record) == BRISK_OK) {
            CHECK(is_record(&record, count, true));
            count++;
        }
        CHECK(count % 20 == 0 && count >= most);
        most = count;
        if (err == BRISK_OK) {
            brisk_recording_stats stats;
            brisk_recording_read_stats(recording, &stats);
            bool whole = cut == size || cut == RECORD_FILE_HEAD;
            CHECK(!whole || !stats.torn);
            CHECK_U64(stats.damaged, ==, 0);
        }
        brisk_recording_close(err == BRISK_OK ? recording : NULL);
    }
    CHECK_U64(most, ==, 60);
}

/* Flip every bit: records of at most one block are missing, and those that come are right. */
static void test_every_bit_flipped(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    for (uint64_t block = 0; block < 3; block++) {
        brisk_recorder *recorder = open_recorder(path, true);
        note_some(recorder, block * 10, 10);
        CHECK_OK(brisk_recorder_destroy(recorder, NULL));
    }
    static unsigned char bytes[65536];
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    CHECK(size > 0 && (size_t)size < sizeof bytes);
    for (size_t bit = RECORD_FILE_HEAD * 8; bit < (size_t)size * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        brisk_recording *recording = NULL;
        brisk_record record;
        uint64_t count = 0;
        CHECK_OK(brisk_recording_open_bytes(bytes, (size_t)size, NULL, &recording));
        while (brisk_recording_next(recording, &record) == BRISK_OK) {
            CHECK(is_record(&record, record.size / 100, true));
            count++;
        }
        CHECK(count == 20 || count == 30); /* 30: padding */
        brisk_recording_close(recording);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static int record_until_killed(void *ctx)
{
    brisk_recorder *recorder = NULL;
    brisk_recorder_opts opts = {.path = ctx, .keys = true, .flush_ns = 1000000};
    if (brisk_recorder_create(&opts, &recorder, NULL) != BRISK_OK) {
        return 1;
    }
    for (uint64_t i = 0;; i += 100) {
        note_some(recorder, i, 100);
        (void)usleep(200);
    }
}

/* Two recorders of one file, killed again and again: the rest is whole. */
static void test_killed_recorders(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    union {
        const char *text;
        void *ctx;
    } arg = {.text = path};
    uint64_t seed = check_seed();
    uint64_t before = 0;
    for (uint32_t round = 0; round < 10; round++) {
        pid_t one = child_start(record_until_killed, arg.ctx);
        pid_t two = child_start(record_until_killed, arg.ctx);
        (void)usleep((useconds_t)(20000 + check_random(&seed) % 20000));
        (void)kill(one, SIGKILL);
        (void)child_wait(one);
        (void)usleep(10000);
        (void)kill(two, SIGKILL);
        (void)child_wait(two);
        struct stat st;
        if (stat(path, &st) == 0 && st.st_size >= RECORD_FILE_HEAD) {
            brisk_recording_stats stats;
            uint64_t count = read_all(path, true, &stats);
            CHECK_U64(count, >=, before);
            before = count;
        }
    }
    CHECK_U64(before, >, 0);
}

/* Until all that was noted is in the file, or is known to be lost. */
static void wait_until_written(brisk_recorder *recorder)
{
    brisk_recorder_stats stats;
    do {
        (void)usleep(1000);
        brisk_recorder_read_stats(recorder, &stats);
    } while (stats.error == BRISK_OK && stats.written < stats.noted);
}

static void test_limit_and_full_file(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    brisk_recorder *recorder = NULL;
    brisk_recorder_opts opts = {.path = path, .keys = true, .bytes_max = 3000, .flush_ns = 1};
    CHECK_OK(brisk_recorder_create(&opts, &recorder, NULL));
    for (uint32_t i = 0; i < 50; i++) {
        note_some(recorder, i * 20, 20);
        wait_until_written(recorder);
    }
    brisk_recorder_stats stats;
    brisk_recorder_read_stats(recorder, &stats);
    brisk_errinfo info = {0};
    assert_int_equal(brisk_recorder_destroy(recorder, &info), BRISK_ERR_LIMIT);
    CHECK(strstr(info.text, path) != NULL);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    CHECK(st.st_size <= 3000);
    brisk_recording_stats read_stats;
    uint64_t count = read_all(path, true, &read_stats);
    CHECK(count > 0 && count < 1000 && !read_stats.torn);
    CHECK_U64(stats.noted, ==, 1000);
    CHECK_U64(stats.written, <=, count);
}

/* The disk is full (a limit of the process): what is there stays readable. */
static int record_into_a_limit(void *ctx)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    brisk_recorder *recorder = NULL;
    brisk_recorder_opts opts = {.path = ctx, .keys = true, .flush_ns = 1};
    struct rlimit limit = {.rlim_cur = 2500, .rlim_max = 2500};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        brisk_recorder_create(&opts, &recorder, NULL) != BRISK_OK) {
        return 1;
    }
    for (uint64_t i = 0; i < 50; i++) {
        note_some(recorder, i * 20, 20);
        wait_until_written(recorder);
    }
    return brisk_recorder_destroy(recorder, NULL) == BRISK_ERR_FULL ? 0 : 2;
}

static void test_full_disk(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    union {
        const char *text;
        void *ctx;
    } arg = {.text = temp_dir_path(dir, "a.rec")};
    assert_int_equal(child_run(record_into_a_limit, arg.ctx), 0);
    brisk_recording_stats stats;
    uint64_t count = read_all(arg.text, true, &stats);
    CHECK(count > 0 && count < 1000 && !stats.torn && stats.damaged == 0);
}

/* More than the rings hold: dropped, counted, and said in the file. */
static void test_drops_are_counted(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    brisk_recorder *recorder = NULL;
    brisk_recorder_opts opts = {.path = path, .ring_bytes = 65536};
    CHECK_OK(brisk_recorder_create(&opts, &recorder, NULL));
    note_some(recorder, 0, 200000);
    brisk_recorder_stats stats;
    brisk_recorder_read_stats(recorder, &stats);
    CHECK_OK(brisk_recorder_destroy(recorder, NULL));
    CHECK_U64(stats.noted + stats.dropped, ==, 200000);
    brisk_recording_stats read_stats;
    CHECK_U64(read_all(path, false, &read_stats), ==, stats.noted);
    CHECK_U64(read_stats.dropped, ==, stats.dropped);
}

static void note_thread(void *ctx)
{
    note_some(ctx, 0, 20000);
}

static void test_threads(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    brisk_recorder *recorder = open_recorder(path, true);
    brisk_thread threads[4];
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_OK(brisk_thread_start(&threads[i],
                                    &(brisk_thread_opts){.run = note_thread, .ctx = recorder}));
    }
    for (uint32_t i = 0; i < 4; i++) {
        brisk_thread_join(&threads[i]);
    }
    brisk_recorder_stats stats;
    brisk_recorder_read_stats(recorder, &stats);
    CHECK_U64(stats.noted + stats.dropped, ==, 80000);
    CHECK_OK(brisk_recorder_destroy(recorder, NULL));
    brisk_recording_stats read_stats;
    CHECK_U64(read_all(path, true, &read_stats), ==, stats.noted);
}

static void test_records_survive_their_bytes(void **state)
{
    (void)state;
    uint64_t seed = check_seed();
    unsigned char bytes[RECORD_ONE_MAX];
    unsigned char key[BRISK_RECORD_KEY_MAX];
    memset(key, 'k', sizeof key);
    uint64_t written_ns = 5;
    uint64_t read_ns = 5;
    for (uint32_t i = 0; i < 20000; i++) {
        brisk_record one = {
            .time_ns = check_random(&seed) >> check_random(&seed) % 64,
            .hash = check_random(&seed),
            .size = check_random(&seed) >> check_random(&seed) % 64,
            .tier = i % 3 == 0 ? UINT32_MAX : i % 15,
            .op = (brisk_record_op)(i % 3),
            .hit = i % 2 == 0,
            .key = i % 5 == 0 ? NULL : key,
            .key_size = i % 5 == 0 ? 0 : 1 + i % BRISK_RECORD_KEY_MAX,
        };
        brisk_record other;
        size_t size = record_write(bytes, &one, &written_ns);
        CHECK(size <= sizeof bytes);
        uint64_t before_ns = read_ns;
        for (size_t cut = 0; cut < size; cut++) {
            CHECK_U64(record_read(bytes, cut, &other, &read_ns), ==, 0);
            CHECK_U64(read_ns, ==, before_ns);
            cut += cut > 30 ? 97 : 0;
        }
        CHECK_U64(record_read(bytes, size, &other, &read_ns), ==, size);
        CHECK(other.time_ns == one.time_ns && other.hash == one.hash && other.size == one.size &&
              other.tier == one.tier && other.op == one.op && other.hit == one.hit &&
              other.key_size == one.key_size);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    const char *path = temp_dir_path(dir, "a.rec");
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_recorder *recorder = NULL;
        brisk_recorder_opts opts = {.path = path, .alloc = &fault.base};
        err = brisk_recorder_create(&opts, &recorder, NULL);
        if (err == BRISK_OK) {
            fault.fail_after = 0; /* packing, too: then it is stored plain */
            note_some(recorder, 0, 10);
            CHECK_OK(brisk_recorder_destroy(recorder, NULL));
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
    brisk_recording_stats stats;
    CHECK_U64(read_all(path, false, &stats), ==, 10);
    err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        brisk_recording *recording = NULL;
        brisk_record record;
        err = brisk_recording_open(path, &fault.base, &recording, NULL);
        if (err == BRISK_OK) {
            err = brisk_recording_next(recording, &record);
            brisk_recording_close(recording);
        }
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_noted_comes_back),
        cmocka_unit_test(test_appends_to_a_recording),
        cmocka_unit_test(test_refuses_what_is_no_recording),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_every_bit_flipped),
        cmocka_unit_test(test_killed_recorders),
        cmocka_unit_test(test_limit_and_full_file),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_drops_are_counted),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_records_survive_their_bytes),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
