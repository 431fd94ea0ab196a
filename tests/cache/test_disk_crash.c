/*
 * test_disk_crash.c -- a process dies, or is overtaken, at each of its system calls.
 *
 * A child runs a fixed script of puts and removes on a tier whose system calls count; at the n-th
 * one it dies: before the call, after it, or in the middle of a write.  This is done for every n.
 * Instead of dying it may also let another process in: a second tier then overwrites or removes all
 * keys right there.  What happens to the folder afterwards varies too: it is read through a tier
 * that was open all the time, read anew, or read after the index was lost; keys are removed or
 * overwritten before that.  Nothing but the newest acknowledged value, the one in flight, or a miss
 * may ever be seen.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "disk_test.h"

enum { KEYS = 3, NO_VALUE = -1, CALLS_MAX = 4000, FILLERS = 20 };

enum mode { DIE_BEFORE, DIE_AFTER, DIE_TORN, LET_PUT, LET_REMOVE, LET_CLEAR, MODES };
enum after { READ_ON, REOPEN, LOSE_INDEX, REMOVE_LOSE_INDEX, PUT_REMOVE_LOSE_INDEX, AFTERS };

/* Shared with the child.  A value is a number; it is put as a text. */
typedef struct board {
    int acked[KEYS];     /* NO_VALUE: removed or never there */
    int in_flight[KEYS]; /* what the running operation would make of it */
    bool finished;
    uint64_t calls;
    uint64_t moved;
} board;

static board *the_board;

/* --- counted calls --------------------------------------------------------------------------- */

static struct {
    uint64_t at;
    enum mode mode;
    void (*let_in)(void);
    bool moves; /* the script also fills the folder and tends it */
} plan;

static disk_tier *script_tier; /* once it is open */

/* Others are let in only where they can come in: not under the lock of the structure. */
static bool is_time(void)
{
    the_board->calls++;
    if (plan.mode < LET_PUT) {
        return the_board->calls == plan.at;
    }
    return plan.let_in != NULL && the_board->calls >= plan.at && script_tier != NULL &&
           script_tier->structure_depth == 0;
}

static void strike_before(void)
{
    if (plan.mode == DIE_BEFORE) {
        _exit(0);
    }
}

static void strike_after(void)
{
    if (plan.mode == DIE_AFTER || plan.mode == DIE_TORN) {
        _exit(0);
    }
    if (plan.let_in != NULL) {
        void (*let_in)(void) = plan.let_in;
        plan.let_in = NULL; /* what it does is not overtaken in turn */
        let_in();
    }
}

static int counted_openat(int dir, const char *name, int flags, mode_t mode)
{
    bool now = is_time();
    if (now) {
        strike_before();
    }
    int fd = openat(dir, name, flags, mode);
    if (now) {
        strike_after();
    }
    return fd;
}

static ssize_t counted_pread(int fd, void *data, size_t size, off_t offset)
{
    bool now = is_time();
    if (now) {
        strike_before();
    }
    ssize_t done = pread(fd, data, size, offset);
    if (now) {
        strike_after();
    }
    return done;
}

static ssize_t counted_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    bool now = is_time();
    if (now) {
        strike_before();
    }
    if (now && plan.mode == DIE_TORN) {
        size = size / 2;
    }
    ssize_t done = pwrite(fd, data, size, offset);
    if (now) {
        strike_after();
    }
    return done;
}

static int counted_fallocate(int fd, off_t offset, off_t size)
{
    bool now = is_time();
    if (now) {
        strike_before();
    }
    int failed = posix_fallocate(fd, offset, size);
    if (now) {
        strike_after();
    }
    return failed;
}

static int counted_fdatasync(int fd)
{
    (void)fd; /* the machine does not die here */
    bool now = is_time();
    if (now) {
        strike_before();
        strike_after();
    }
    return 0;
}

static const disk_sys counted_calls = {
    .openat = counted_openat,
    .pread = counted_pread,
    .pwrite = counted_pwrite,
    .fallocate = counted_fallocate,
    .fdatasync = counted_fdatasync,
};

/* --- script ---------------------------------------------------------------------------------- */

static const char *folder;
static brisk_tier *intruder;

static brisk_disk_tier_opts tier_opts(void)
{
    return (brisk_disk_tier_opts){
        .path = folder, .bytes_max = 64 << 10, .segment_bytes = 8 << 10, .zstd_level = -1};
}

static int plain_openat(int dir, const char *name, int flags, mode_t mode)
{
    return openat(dir, name, flags, mode);
}

/* The real calls, but for syncing: nothing here asks for more than the death of processes. */
static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static const disk_sys plain_calls = {
    .openat = plain_openat,
    .pread = pread,
    .pwrite = pwrite,
    .fallocate = posix_fallocate,
    .fdatasync = no_sync,
};

static brisk_tier *open_plain(void)
{
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    brisk_disk_tier_opts opts = tier_opts();
    if (disk_tier_open_with(&opts, &plain_calls, &tier, &info) != BRISK_OK) {
        fail_msg("open: %s", info.text);
    }
    return tier;
}

static void key_name(char name[16], int key)
{
    (void)snprintf(name, 16, "key%d", key);
}

/* Values of very different sizes; those above 2 KiB are files of their own here. */
static size_t value_text(char *text, size_t capacity, int value)
{
    static const size_t sizes[] = {16, 700, 3000, 100};
    int head = snprintf(text, capacity, "%d.", value);
    size_t size = sizes[value % 4];
    memset(text + head, 'a' + value % 26, size - (size_t)head);
    return size;
}

static brisk_err apply(brisk_tier *tier, int key, int value)
{
    char name[16];
    char text[4096];
    key_name(name, key);
    if (value == NO_VALUE) {
        return disk_remove_key(tier, name);
    }
    return disk_put_bytes(tier, name, text, value_text(text, sizeof text, value));
}

/* The value that the tier has, NO_VALUE, or -2: something that nobody put. */
static int read_value(brisk_tier *tier, int key)
{
    char name[16];
    char text[4096];
    char expected[4096];
    brisk_hit hit;
    key_name(name, key);
    if (disk_get_key(tier, name, &hit) != BRISK_OK) {
        return NO_VALUE;
    }
    size_t size = (size_t)brisk_value_size(hit.value);
    bool whole = size < sizeof text;
    if (whole && brisk_value_data(hit.value) != NULL) {
        memcpy(text, brisk_value_data(hit.value), size);
    } else if (whole) {
        whole = pread(brisk_value_fd(hit.value), text, size, 0) == (ssize_t)size;
    }
    brisk_value_unref(hit.value);
    text[whole ? size : 0] = '\0';
    int value = (int)strtol(text, NULL, 10);
    whole = whole && value > 0 && value_text(expected, sizeof expected, value) == size &&
            memcmp(text, expected, size) == 0;
    return whole ? value : -2;
}

static void step(brisk_tier *tier, int key, int value)
{
    the_board->in_flight[key] = value;
    brisk_err err = apply(tier, key, value);
    if (err == BRISK_OK) {
        the_board->acked[key] = value;
    }
}

/* What the intruder does is acknowledged at once. */
static void intrude_put(void)
{
    for (int key = 0; key < KEYS; key++) {
        if (apply(intruder, key, 1000 + key) == BRISK_OK) {
            the_board->acked[key] = 1000 + key;
        }
    }
}

static void intrude_remove(void)
{
    for (int key = 0; key < KEYS; key++) {
        if (apply(intruder, key, NO_VALUE) == BRISK_OK) {
            the_board->acked[key] = NO_VALUE;
        }
    }
}

static void intrude_clear(void)
{
    if (intruder->ops->clear(intruder) == BRISK_OK) {
        for (int key = 0; key < KEYS; key++) {
            the_board->acked[key] = NO_VALUE;
        }
    }
}

/* Entries of no interest, so that segments fill, go, and are moved out of; some expire one day. */
static void put_filler(brisk_tier *tier, int number)
{
    char name[32];
    char text[2000];
    (void)snprintf(name, sizeof name, "filler %d", number);
    memset(text, 'a' + number % 26, sizeof text);
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, sizeof text, NULL, &value));
    brisk_key key = brisk_key_of(name, strlen(name));
    (void)tier->ops->put(tier, &key, value, NULL);
    brisk_value_unref(value);
}

/* The keys are read, so that they are worth saving; what moves them is under the same calls. */
static void move_keys(brisk_tier *tier)
{
    for (int i = 0; i < FILLERS; i++) {
        put_filler(tier, i);
        if (i % 4 == 0) {
            for (int key = 0; key < KEYS; key++) {
                int before = the_board->acked[key]; /* the intruder may strike while we read */
                int value = read_value(tier, key);
                if (value != NO_VALUE && value != before && value != the_board->acked[key]) {
                    _exit(3);
                }
            }
        }
    }
    for (int i = 0; i < FILLERS; i++) { /* and segments die */
        put_filler(tier, i % 3);
    }
    for (int i = 0; i < 4; i++) {
        (void)brisk_disk_tier_tend(tier, 1 << 16);
    }
    brisk_tier_stats stats = disk_stats(tier);
    the_board->moved += stats.reinserted + stats.compacted;
}

static void run_script(void)
{
    static const int steps[][2] = {
        {0, 1},        {0, 5},  {0, NO_VALUE}, {1, 2},        {1, 6},  {2, 9},  {2, 13}, {1, 4},
        {2, NO_VALUE}, {0, 17}, {1, 9},        {1, NO_VALUE}, {2, 21}, {0, 18}, {0, 14},
    };
    static void (*const intrusions[MODES])(void) = {
        [LET_PUT] = intrude_put, [LET_REMOVE] = intrude_remove, [LET_CLEAR] = intrude_clear};
    disk_count_log(NULL);
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    brisk_disk_tier_opts opts = tier_opts();
    if (plan.mode >= LET_PUT) {
        intruder = open_plain(); /* of this process, but with its own locks */
        plan.let_in = intrusions[plan.mode];
    }
    if (disk_tier_open_with(&opts, &counted_calls, &tier, &info) != BRISK_OK) {
        _exit(2);
    }
    script_tier = (disk_tier *)tier;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (i == sizeof steps / sizeof steps[0] / 2 && plan.moves) {
            move_keys(tier);
        }
        step(tier, steps[i][0], steps[i][1]);
    }
    brisk_tier_destroy(tier);
    the_board->finished = true;
    _exit(0);
}

/* --- what must be true afterwards -------------------------------------------------------------- */

static void check_value(int key, int value, const char *when)
{
    const board *b = the_board;
    if (value != NO_VALUE && value != b->acked[key] && value != b->in_flight[key]) {
        fail_msg("call %llu, mode %d, %s: key %d has %d, acknowledged %d, in flight %d",
                 (unsigned long long)plan.at, (int)plan.mode, when, key, value, b->acked[key],
                 b->in_flight[key]);
    }
}

static void check_keys(brisk_tier *tier, const char *when)
{
    for (int key = 0; key < KEYS; key++) {
        int value = read_value(tier, key);
        check_value(key, value, when);
        /* Who was seen once stays, or goes. */
        the_board->acked[key] = value;
        the_board->in_flight[key] = value;
    }
}

static void settle(int key, int value)
{
    the_board->acked[key] = value;
    the_board->in_flight[key] = value;
}

static void check_afterwards(brisk_tier *tier, enum after after)
{
    if (after == READ_ON || after == REOPEN) {
        check_keys(tier, "read on");
    }
    for (int key = 0; key < KEYS && after >= REMOVE_LOSE_INDEX; key++) {
        if (after == PUT_REMOVE_LOSE_INDEX) {
            CHECK_OK(apply(tier, key, 40 + key));
            CHECK(read_value(tier, key) == 40 + key);
        }
        CHECK_OK(apply(tier, key, NO_VALUE));
        settle(key, NO_VALUE);
        CHECK(read_value(tier, key) == NO_VALUE);
    }
    brisk_tier_destroy(tier);
    if (after >= LOSE_INDEX) {
        disk_unlink(folder, "index");
    }
    tier = open_plain();
    check_keys(tier, "read anew");
    for (int key = 0; key < KEYS; key++) { /* and it works as ever */
        CHECK_OK(apply(tier, key, 30 + key));
        settle(key, 30 + key);
        CHECK(read_value(tier, key) == 30 + key);
    }
    brisk_tier_destroy(tier);
    disk_unlink(folder, "index");
    tier = open_plain();
    check_keys(tier, "rebuilt");
    CHECK(plan.mode == DIE_TORN || disk_stats(tier).corrupt == 0);
    brisk_tier_destroy(tier);
}

/* One death; false when the script came to its end before it. */
static bool run_once(uint64_t at, enum mode mode, enum after after)
{
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    folder = dir->path;
    *the_board = (board){0};
    brisk_tier *tier = open_plain();
    for (int key = 0; key < KEYS; key++) {
        CHECK_OK(apply(tier, key, 20 + key));
        settle(key, 20 + key);
    }
    if (after == REOPEN || after == LOSE_INDEX) {
        brisk_tier_destroy(tier); /* the child is alone, adopts and recovers */
        tier = NULL;
    }
    plan.at = at;
    plan.mode = mode;
    pid_t child = fork();
    if (child == 0) {
        run_script();
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check_afterwards(tier != NULL ? tier : open_plain(), after);
    return the_board->calls >= at;
}

static void run_all(enum mode mode)
{
    disk_count_log(NULL);
    uint64_t deaths = 0;
    for (int run = 0; run < 2 * AFTERS; run++) {
        enum after after = (enum after)(run / 2);
        uint64_t at = 1;
        plan.moves = run % 2 != 0;
        /* The long script at every fifth call: each way of going on afterwards has its own. */
        uint64_t step_by = plan.moves ? 5 : 1;
        at += plan.moves ? (uint64_t)run / 2 : 0;
        while (run_once(at, mode, after) && at < CALLS_MAX) {
            at += step_by;
            deaths++;
        }
        CHECK(at < CALLS_MAX);
        CHECK_U64(at, >, plan.moves ? 150 : 50);
        CHECK(!plan.moves || the_board->moved > 0); /* the last run came to its end */
    }
    print_message("%llu times\n", (unsigned long long)deaths);
    brisk_log_set_sink(NULL, NULL, NULL);
}

static void test_die_before(void **state)
{
    (void)state;
    run_all(DIE_BEFORE);
}

static void test_die_after(void **state)
{
    (void)state;
    run_all(DIE_AFTER);
}

static void test_die_torn(void **state)
{
    (void)state;
    run_all(DIE_TORN);
}

static void test_overtaken_by_put(void **state)
{
    (void)state;
    run_all(LET_PUT);
}

static void test_overtaken_by_remove(void **state)
{
    (void)state;
    run_all(LET_REMOVE);
}

static void test_overtaken_by_clear(void **state)
{
    (void)state;
    run_all(LET_CLEAR);
}

static int set_up(void **state)
{
    (void)state;
    the_board =
        mmap(NULL, sizeof *the_board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return the_board == MAP_FAILED ? -1 : disk_use_memory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_die_before),
        cmocka_unit_test(test_die_after),
        cmocka_unit_test(test_die_torn),
        cmocka_unit_test(test_overtaken_by_put),
        cmocka_unit_test(test_overtaken_by_remove),
        cmocka_unit_test(test_overtaken_by_clear),
    };
    return cmocka_run_group_tests_name("disk_crash", tests, set_up, NULL);
}
