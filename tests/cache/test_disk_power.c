/*
 * test_disk_power.c -- the power fails.
 *
 * A script runs on a tier whose system calls are watched: for every file the test keeps what was in
 * it at its last fdatasync, for the folder which names were there.  At the n-th call the "disk" is
 * taken: each page of each file is what it is now or what was synced, by chance, each by itself; names
 * that were not synced are there or not.  The folder that comes of this is opened as after a reboot,
 * and every key must have its newest acknowledged value, the one in flight, or none, also after
 * more puts and removes and the loss of the index.
 *
 * In a durable folder, where nothing is evicted, every acknowledged value must be there.
 */
#include <fcntl.h>

#include "disk_test.h"

enum {
    KEYS = 24,
    VALUE_MAX = 1500,
    FILES_MAX = 512,
    PAGE = 4096,
    OPS = 120,
    ROUNDS = CHECK_ROUNDS(400)
};

/* --- what the disk has ------------------------------------------------------------------------ */

typedef struct file {
    ino_t inode;
    int fd; /* of ours, so that it can be read after it was removed */
    unsigned char *synced;
    size_t synced_size;
    char name[64];
    bool name_synced;
} file;

static struct {
    const char *path;
    file files[FILES_MAX];
    int count;
    uint64_t calls;
    uint64_t at; /* the call at which the power fails; 0: never */
    void (*fails)(void);
} disk;

static file *find_file(ino_t inode)
{
    for (int i = 0; i < disk.count; i++) {
        if (disk.files[i].inode == inode) {
            return &disk.files[i];
        }
    }
    return NULL;
}

/* Learn of files that are new in the folder. */
static void look_at_folder(void)
{
    DIR *dir = opendir(disk.path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode)) {
            continue;
        }
        file *f = find_file(st.st_ino);
        if (f == NULL) {
            CHECK(disk.count < FILES_MAX);
            f = &disk.files[disk.count++];
            *f = (file){.inode = st.st_ino,
                        .fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC)};
            CHECK(f->fd >= 0);
        }
        (void)snprintf(f->name, sizeof f->name, "%.63s", entry->d_name); /* index.tmp is renamed */
    }
    (void)closedir(dir);
}

static bool has_name(const file *f)
{
    struct stat st;
    char path[512];
    disk_join(path, disk.path, f->name);
    return stat(path, &st) == 0 && st.st_ino == f->inode;
}

static unsigned char *read_now(const file *f, size_t *ret_size)
{
    struct stat st;
    CHECK(fstat(f->fd, &st) == 0);
    unsigned char *bytes = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(bytes);
    CHECK(pread(f->fd, bytes, (size_t)st.st_size, 0) == (ssize_t)st.st_size);
    *ret_size = (size_t)st.st_size;
    return bytes;
}

static void tick(void)
{
    if (++disk.calls == disk.at) {
        disk.fails();
    }
}

static int watched_openat(int dir, const char *name, int flags, mode_t mode)
{
    int fd = openat(dir, name, flags, mode);
    tick();
    return fd;
}

static ssize_t watched_pread(int fd, void *data, size_t size, off_t offset)
{
    return pread(fd, data, size, offset);
}

static ssize_t watched_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t done = pwrite(fd, data, size, offset);
    tick();
    return done;
}

static int watched_fallocate(int fd, off_t offset, off_t size)
{
    return posix_fallocate(fd, offset, size);
}

static int watched_fdatasync(int fd)
{
    struct stat st;
    tick();
    look_at_folder();
    CHECK(fstat(fd, &st) == 0);
    if (S_ISDIR(st.st_mode)) {
        for (int i = 0; i < disk.count; i++) {
            disk.files[i].name_synced = has_name(&disk.files[i]);
        }
    } else {
        file *f = find_file(st.st_ino);
        if (f != NULL) {
            free(f->synced);
            f->synced = read_now(f, &f->synced_size);
        }
    }
    tick();
    return 0;
}

/* Records are appended and read with calls, or through mappings: fewer calls then. */
static disk_sys watched_calls = {.openat = watched_openat,
                                 .pread = watched_pread,
                                 .pwrite = watched_pwrite,
                                 .fallocate = watched_fallocate,
                                 .fdatasync = watched_fdatasync};

static void forget_files(void)
{
    for (int i = 0; i < disk.count; i++) {
        (void)close(disk.files[i].fd);
        free(disk.files[i].synced);
    }
    disk.count = 0;
}

/* --- the script --------------------------------------------------------------------------------- */

typedef struct known {
    int acked[KEYS]; /* 0: none */
    int flying[KEYS];
} known;

static struct {
    known now;
    known then; /* when the power failed */
    bool failed;
    const char *after;
    uint64_t chance;
    brisk_disk_tier_opts opts;
} run;

static size_t value_text(char *text, int key, int number)
{
    size_t size = 20 + (size_t)((unsigned int)number * 2654435761u % (VALUE_MAX - 20));
    int head = snprintf(text, VALUE_MAX, "%d %d ", key, number);
    uint64_t random = (uint64_t)number;
    for (size_t i = (size_t)head; i < size; i++) {
        text[i] = (char)check_random(&random);
    }
    return size;
}

/* 0: a miss. */
static int read_number(brisk_tier *tier, int key)
{
    char name[32];
    char text[VALUE_MAX];
    brisk_hit hit;
    (void)snprintf(name, sizeof name, "key %d", key);
    if (disk_get_key(tier, name, &hit) != BRISK_OK) {
        return 0;
    }
    const char *data = brisk_value_data(hit.value);
    char head[21] = {0};
    memcpy(head, data, 20);
    char *end;
    CHECK(strtol(head, &end, 10) == key);
    int number = (int)strtol(end, NULL, 10);
    CHECK_U64(brisk_value_size(hit.value), ==, value_text(text, key, number));
    CHECK(memcmp(data, text, (size_t)brisk_value_size(hit.value)) == 0);
    brisk_value_unref(hit.value);
    return number;
}

static void put_number(brisk_tier *tier, int key, int number)
{
    char name[32];
    char text[VALUE_MAX];
    (void)snprintf(name, sizeof name, "key %d", key);
    run.now.flying[key] = number;
    if (number == 0) {
        CHECK_OK(disk_remove_key(tier, name));
    } else {
        CHECK_OK(disk_put_bytes(tier, name, text, value_text(text, key, number)));
    }
    run.now.acked[key] = number;
}

static brisk_tier *open_watched(const brisk_disk_tier_opts *opts)
{
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    if (disk_tier_open_with(opts, &watched_calls, &tier, &info) != BRISK_OK) {
        fail_msg("open: %s", info.text);
    }
    return tier;
}

/* Fillers, so that segments come and go; in small folders only. */
static void put_filler(brisk_tier *tier, int number)
{
    char name[32];
    char text[VALUE_MAX];
    (void)snprintf(name, sizeof name, "filler %d", number);
    CHECK_OK(disk_put_bytes(tier, name, text, value_text(text, 0, number)));
}

static void run_script(bool small, uint64_t seed)
{
    uint64_t random = seed;
    brisk_tier *tiers[2] = {open_watched(&run.opts), open_watched(&run.opts)};
    for (int i = 1; i <= OPS; i++) {
        brisk_tier *tier = tiers[check_random(&random) % 2];
        int key = (int)(check_random(&random) % KEYS);
        uint64_t what = check_random(&random) % 100;
        if (what < 55) {
            put_number(tier, key, i);
        } else if (what < 70) {
            put_number(tier, key, 0);
        } else if (what < 85) {
            int number = read_number(tier, key);
            CHECK(number == 0 || number == run.now.acked[key]);
        } else if (what < 95 && small) {
            put_filler(tier, i);
        } else if (what < 97 && small) {
            (void)brisk_disk_tier_tend(tier, 1 << 16);
        } else if (what == 97 && small) {
            memset(run.now.flying, 0, sizeof run.now.flying);
            CHECK_OK(tier->ops->clear(tier));
            memset(run.now.acked, 0, sizeof run.now.acked);
        } else if (what >= 98) {
            brisk_tier_destroy(tiers[0]);
            brisk_tier_destroy(tiers[1]);
            tiers[0] = open_watched(&run.opts);
            tiers[1] = open_watched(&run.opts);
        }
    }
    brisk_tier_destroy(tiers[0]);
    brisk_tier_destroy(tiers[1]);
}

/* --- the power failure -------------------------------------------------------------------------- */

static uint64_t coin(void)
{
    return check_random(&run.chance) & 1;
}

/* One file as the disk may have it. */
static void take_file(const file *f)
{
    size_t now_size;
    unsigned char *now = read_now(f, &now_size);
    size_t size = coin() != 0 ? now_size : f->synced_size;
    unsigned char *mixed = calloc(1, size + 1);
    uint64_t bias = check_random(&run.chance) % 3; /* all old, all new, or page by page */
    for (size_t at = 0; at < size; at += PAGE) {
        bool is_new = bias == 0 ? false : bias == 1 ? true : coin() != 0;
        const unsigned char *from = is_new ? now : f->synced;
        size_t from_size = is_new ? now_size : f->synced_size;
        size_t part = size - at < PAGE ? size - at : PAGE;
        if (at < from_size) {
            memcpy(mixed + at, from + at, from_size - at < part ? from_size - at : part);
        }
    }
    char path[512];
    disk_join(path, run.after, f->name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, mixed, size) == (ssize_t)size && close(fd) == 0);
    free(mixed);
    free(now);
}

static void take_disk(void)
{
    look_at_folder();
    run.then = run.now;
    run.failed = true;
    for (int i = 0; i < disk.count; i++) {
        const file *f = &disk.files[i];
        bool there = has_name(f);
        if ((there && f->name_synced) || ((there || f->name_synced) && coin() != 0)) {
            take_file(f);
        }
    }
}

/* The state file as another boot of the system finds it. */
static void reboot(const char *path)
{
    char file_path[512];
    disk_join(file_path, path, "state");
    disk_tier fake = {.sys = &watched_calls, .state_fd = open(file_path, O_RDWR | O_CLOEXEC)};
    disk_state state;
    if (fake.state_fd >= 0 && disk_state_read(&fake, &state) == BRISK_OK) {
        state.boot[0] ^= 1;
        CHECK_OK(disk_state_write(&fake, &state, false));
    }
    if (fake.state_fd >= 0) {
        CHECK(close(fake.state_fd) == 0);
    }
}

static int check_keys(brisk_tier *tier, bool durable, const char *when)
{
    int hits = 0;
    for (int key = 0; key < KEYS; key++) {
        int number = read_number(tier, key);
        int acked = run.then.acked[key];
        int flying = run.then.flying[key];
        hits += number != 0;
        if (number != 0 && number != acked && number != flying) {
            fail_msg("%s: key %d has %d, acknowledged %d, in flight %d", when, key, number, acked,
                     flying);
        }
        if (durable && acked == flying && number != acked) {
            fail_msg("%s: key %d has %d, but %d was acknowledged", when, key, number, acked);
        }
        run.then.acked[key] = run.then.flying[key] = number;
    }
    return hits;
}

static int check_after(bool durable)
{
    brisk_disk_tier_opts opts = run.opts;
    opts.path = run.after;
    reboot(run.after);
    disk.at = 0;
    brisk_tier *tier = open_watched(&opts);
    int hits = check_keys(tier, durable, "after the reboot");
    for (int key = 0; key < KEYS; key++) {
        if (key % 3 != 0) {
            put_number(tier, key, key % 3 == 1 ? 0 : OPS + 1 + key);
            run.then.acked[key] = run.then.flying[key] = run.now.acked[key];
        }
    }
    (void)check_keys(tier, durable, "later");
    brisk_tier_destroy(tier);
    disk_unlink(run.after, "index");
    tier = open_watched(&opts);
    (void)check_keys(tier, false, "without the index");
    brisk_tier_destroy(tier);
    return hits;
}

static void run_rounds(brisk_disk_sync sync, bool small)
{
    uint64_t seed = check_seed();
    uint64_t hits = 0;
    uint64_t failures = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        BRISK_CLEANUP(temp_dir_remove) temp_dir *after = temp_dir_make();
        memset(&run, 0, sizeof run);
        run.chance = seed + round;
        run.after = after->path;
        run.opts = (brisk_disk_tier_opts){.path = dir->path,
                                          .bytes_max = small ? 128 << 10 : 2 << 20,
                                          .segment_bytes = small ? 8 << 10 : 32 << 10,
                                          .zstd_level = -1,
                                          .tended = round % 2 == 0,
                                          .sync = sync};
        disk.path = dir->path;
        disk.calls = 0;
        watched_calls.maps = round / 2 % 2 != 0;
        uint64_t calls = sync == BRISK_DISK_SYNC_NONE ? 250 : 600;
        disk.at = 20 + check_random(&run.chance) % (watched_calls.maps ? calls / 2 : calls);
        disk.fails = take_disk;
        run_script(small, seed * 31 + round);
        if (run.failed) {
            failures++;
            disk.path = after->path;
            forget_files();
            hits += (uint64_t)check_after(sync != BRISK_DISK_SYNC_NONE && !small);
        }
        forget_files();
    }
    print_message("%llu power failures, %llu hits after them\n", (unsigned long long)failures,
                  (unsigned long long)hits);
    CHECK_U64(failures, >, ROUNDS / 2);
    CHECK(hits > 10 * failures || sync == BRISK_DISK_SYNC_NONE || small);
}

static void test_not_synced(void **state)
{
    (void)state;
    run_rounds(BRISK_DISK_SYNC_NONE, false);
    run_rounds(BRISK_DISK_SYNC_NONE, true);
}

static void test_durable(void **state)
{
    (void)state;
    run_rounds(BRISK_DISK_SYNC_GROUP, false);
}

static void test_durable_and_full(void **state)
{
    (void)state;
    run_rounds(BRISK_DISK_SYNC_GROUP, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_synced),
        cmocka_unit_test(test_durable),
        cmocka_unit_test(test_durable_and_full),
    };
    disk_count_log(NULL);
    return cmocka_run_group_tests_name("disk_power", tests, disk_use_memory, NULL);
}
