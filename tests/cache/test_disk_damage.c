/*
 * test_disk_damage.c -- damaged, swapped, truncated, foreign and lost files.
 *
 * Whatever is done to the files while nobody has them open, opening works and every key is answered
 * with its newest value or a miss.
 */
#include <errno.h>

#include "disk_test.h"

enum { ENTRIES = 6 };

static const brisk_disk_tier_opts base_opts = {
    .bytes_max = 1 << 20, .segment_bytes = 16 << 10, .zstd_level = 1};

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static int plain_openat(int dir, const char *name, int flags, mode_t mode)
{
    return openat(dir, name, flags, mode);
}

static const disk_sys calls = {.openat = plain_openat,
                               .pread = pread,
                               .pwrite = pwrite,
                               .fallocate = posix_fallocate,
                               .fdatasync = no_sync,
                               .maps = true};

static brisk_tier *open_in(const char *path)
{
    brisk_disk_tier_opts opts = base_opts;
    opts.path = path;
    brisk_tier *tier = NULL;
    brisk_errinfo info = {0};
    if (disk_tier_open_with(&opts, &calls, &tier, &info) != BRISK_OK) {
        fail_msg("open: %s", info.text);
    }
    return tier;
}

static void make_key(char key[16], int i)
{
    (void)snprintf(key, 16, "key %d", i);
}

/* Values 0 and 3 compress, 1 and 4 do not, 2 is short; the last one is a file of its own. */
static size_t make_value(char *text, int i)
{
    static const size_t sizes[] = {300, 150, 5, 900, 400, 5000};
    uint64_t random = (uint64_t)i;
    for (size_t at = 0; at < sizes[i]; at++) {
        text[at] = (char)(i % 3 == 0 ? 'a' + i : (int)(check_random(&random) & 0xff));
    }
    return sizes[i];
}

/* A folder with old values overwritten and removed, and ENTRIES newest ones. */
static void fill(const char *path)
{
    char key[16];
    char text[8192];
    brisk_tier *tier = open_in(path);
    CHECK_OK(disk_put_text(tier, "removed", "must never come back"));
    for (int i = 0; i < ENTRIES; i++) {
        make_key(key, i);
        CHECK_OK(disk_put_text(tier, key, "an old value"));
    }
    for (int i = 0; i < ENTRIES; i++) {
        make_key(key, i);
        CHECK_OK(disk_put_bytes(tier, key, text, make_value(text, i)));
    }
    CHECK_OK(disk_remove_key(tier, "removed"));
    brisk_tier_destroy(tier);
}

/* Newest value or miss, for every key; the number of hits.  Large values are the reader's to check,
 * by the hash that comes with them. */
static int check_folder(const char *path)
{
    char key[16];
    char text[8192];
    int hits = 0;
    brisk_tier *tier = open_in(path);
    CHECK(disk_misses(tier, "removed"));
    for (int i = 0; i < ENTRIES; i++) {
        brisk_hit hit;
        make_key(key, i);
        size_t size = make_value(text, i);
        if (disk_get_key(tier, key, &hit) != BRISK_OK) {
            continue;
        }
        hits++;
        CHECK_U64(brisk_value_size(hit.value), ==, size);
        if (brisk_value_data(hit.value) != NULL) {
            CHECK(memcmp(brisk_value_data(hit.value), text, size) == 0);
        } else {
            brisk_hash128 content = brisk_hash128_of(text, size, 0);
            CHECK(hit.has_content && hit.content.lo == content.lo && hit.content.hi == content.hi);
        }
        brisk_value_unref(hit.value);
    }
    brisk_tier_destroy(tier);
    return hits;
}

/* A pristine folder to copy from: opening changes files. */
typedef struct folder_copy {
    unsigned char *state, *index, *segment, *large;
    size_t state_size, index_size, segment_size, large_size;
} folder_copy;

static const char segment_name[] = "00000001.seg";
static const char large_files[] = "00000001.files";
static const char large_name[] = "00000001.files/1";

static unsigned char *slurp_in(const char *path, const char *name, size_t *ret_size)
{
    char file[512];
    disk_join(file, path, name);
    return disk_slurp(file, ret_size);
}

/* In place: making the pages of an index anew, thousands of times, takes longer than the test. */
static void write_in(const char *path, const char *name, const void *data, size_t size)
{
    char file[512];
    disk_join(file, path, name);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
    CHECK(close(fd) == 0);
}

static folder_copy copy_take(const char *path)
{
    folder_copy copy = {0};
    copy.state = slurp_in(path, "state", &copy.state_size);
    copy.index = slurp_in(path, "index", &copy.index_size);
    copy.segment = slurp_in(path, segment_name, &copy.segment_size);
    if (disk_exists(path, large_name)) {
        copy.large = slurp_in(path, large_name, &copy.large_size);
    }
    return copy;
}

static void copy_restore(const folder_copy *copy, const char *path)
{
    write_in(path, "state", copy->state, copy->state_size);
    write_in(path, "index", copy->index, copy->index_size);
    write_in(path, segment_name, copy->segment, copy->segment_size);
    char files[512];
    if (copy->large == NULL) {
        return;
    }
    disk_join(files, path, large_files);
    CHECK(mkdir(files, 0700) == 0 || errno == EEXIST);
    write_in(path, large_name, copy->large, copy->large_size);
}

static void copy_free(folder_copy *copy)
{
    free(copy->state);
    free(copy->index);
    free(copy->segment);
    free(copy->large);
}

static void test_undamaged(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    CHECK(check_folder(dir->path) == ENTRIES);
    disk_unlink(dir->path, "index");
    CHECK(check_folder(dir->path) == ENTRIES);
    CHECK(check_folder(dir->path) == ENTRIES);
}

static void test_every_bit_of_a_segment(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    folder_copy copy = copy_take(dir->path);
    uint64_t misses = 0;
    uint64_t misses_rebuilt = 0;
    for (size_t bit = 0; bit < copy.segment_size * 8; bit++) {
        copy.segment[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        copy_restore(&copy, dir->path);
        int hits = check_folder(dir->path);
        CHECK(hits >= ENTRIES - 1);
        misses += (uint64_t)(ENTRIES - hits);
        if (bit % 3 == 0) { /* all bytes, and every bit of some */
            copy_restore(&copy, dir->path);
            disk_unlink(dir->path, "index");
            hits = check_folder(dir->path);
            misses_rebuilt += (uint64_t)(ENTRIES - hits);
        }
        copy.segment[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    CHECK_U64(misses, >, copy.segment_size); /* the flips were noticed */
    CHECK_U64(misses_rebuilt, >, copy.segment_size / 4);
    copy_free(&copy);
}

static void test_every_bit_of_the_state(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    folder_copy copy = copy_take(dir->path);
    for (size_t bit = 0; bit < copy.state_size * 8; bit++) {
        copy.state[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        copy_restore(&copy, dir->path);
        CHECK(check_folder(dir->path) == 0); /* a new seed: nothing of before can be verified */
        copy.state[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        fill(dir->path);
        copy_free(&copy);
        copy = copy_take(dir->path);
    }
    copy_free(&copy);
}

static void flip_index_bit(const char *path, size_t bit)
{
    char file[512];
    disk_join(file, path, "index");
    int fd = open(file, O_RDWR | O_CLOEXEC);
    unsigned char byte = 0;
    CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    byte ^= (unsigned char)(1u << (bit % 8));
    CHECK(pwrite(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    CHECK(close(fd) == 0);
}

/* Every bit that is not one of thousands of empty slots, and some of those. */
static void test_every_bit_of_the_index(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    folder_copy copy = copy_take(dir->path);
    uint64_t flips = 0;
    for (size_t at = 0; at < copy.index_size; at++) {
        size_t word = at / 8 * 8;
        bool used = false;
        for (size_t i = 0; i < 8; i++) {
            used = used || copy.index[word + i] != 0;
        }
        if (!used && at >= 256 && at % 7919 != 0) {
            continue;
        }
        for (size_t bit = at * 8; bit < at * 8 + 8; bit++) {
            copy_restore(&copy, dir->path);
            flip_index_bit(dir->path, bit);
            CHECK(check_folder(dir->path) >= ENTRIES - 1 || at < DISK_INDEX_PAGE + 128);
            /* And if it is lost afterwards: what the flip hid must not come back older. */
            if (at >= DISK_INDEX_PAGE) {
                disk_unlink(dir->path, "index");
                (void)check_folder(dir->path);
            }
            flips++;
        }
    }
    CHECK_U64(flips, >, 1000);
    copy_free(&copy);
}

/* A damaged slot hides a live record; overwritten meanwhile, the index lost: must not come back. */
static void test_hidden_record_stays_hidden(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 64; bit++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        brisk_tier *tier = open_in(dir->path);
        CHECK_OK(disk_put_text(tier, "k", "old"));
        CHECK_OK(disk_put_text(tier, "other", "other")); /* so that k's is not the last record */
        brisk_tier_destroy(tier);
        tier = open_in(dir->path);
        disk_tier *disk = (disk_tier *)tier;
        brisk_key key = brisk_key_of("k", 1);
        disk_ways ways = disk_ways_of(disk, &key);
        bool flipped = false;
        for (uint32_t i = 0; i < ways.count && !flipped; i++) {
            if (atomic_load(disk_way(&ways, i)) != 0) {
                atomic_fetch_xor(disk_way(&ways, i), UINT64_C(1) << bit);
                flipped = true;
            }
        }
        CHECK(flipped);
        CHECK(disk_misses(tier, "k"));
        CHECK_OK(disk_put_text(tier, "k", "new"));
        CHECK(disk_holds_text(tier, "k", "new"));
        CHECK_OK(disk_remove_key(tier, "k"));
        CHECK_U64(disk_stats(tier).corrupt, ==, 1);
        brisk_tier_destroy(tier);
        disk_unlink(dir->path, "index");
        tier = open_in(dir->path);
        CHECK(disk_misses(tier, "k"));
        brisk_tier_destroy(tier);
    }
}

/* Zeros behind the first segment's end. */
static void write_longer(const char *path, size_t size, size_t more)
{
    char file[512];
    disk_join(file, path, segment_name);
    CHECK(truncate(file, (off_t)(size + more)) == 0);
}

/* A damaged size leads over the next record, to the one behind it: a rebuild that glances does not
 * see what is between.  No later one may, when it sums: the key may be removed by then. */
static void test_skipped_record_stays_skipped(void **state)
{
    (void)state;
    static const char text[] = "thirty-nine bytes are a record of 64...";
    for (int killed = 0; killed < 3; killed++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        brisk_tier *tier = open_in(dir->path);
        CHECK_OK(disk_put_text(tier, "a", text));
        CHECK_OK(disk_put_text(tier, "b", text));
        if (killed != 2) {
            CHECK_OK(disk_put_text(tier, "c", text));
        }
        brisk_tier_destroy(tier);
        size_t size;
        unsigned char *segment = slurp_in(dir->path, segment_name, &size);
        CHECK_U64(size, ==, DISK_SEGMENT_HEAD + (killed != 2 ? 3 : 2) * 64);
        segment[DISK_SEGMENT_HEAD + 12] ^= 64; /* the size of its key */
        write_in(dir->path, segment_name, segment, size);
        free(segment);
        disk_unlink(dir->path, "index");
        tier = open_in(dir->path);
        CHECK(disk_misses(tier, "b"));
        CHECK_OK(disk_remove_key(tier, "b"));
        brisk_tier_destroy(tier);
        segment =
            slurp_in(dir->path, segment_name, &size); /* as if its next owner was killed ... */
        memset(segment + offsetof(disk_segment_head, clean_end), 0, sizeof(uint64_t));
        write_in(dir->path, segment_name, segment, size);
        if (killed != 0) { /* ... after he had made room for more */
            write_longer(dir->path, size, 4096);
        }
        free(segment);
        disk_unlink(dir->path, "index");
        tier = open_in(dir->path);
        CHECK(disk_misses(tier, "b"));
        brisk_tier_destroy(tier);
    }
}

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    folder_copy copy = copy_take(dir->path);
    size_t whole = copy.segment_size;
    for (size_t size = 0; size < whole; size++) {
        copy.segment_size = size;
        copy_restore(&copy, dir->path);
        int hits = check_folder(dir->path);
        CHECK(size < whole - 64 || hits >= ENTRIES - 1);
        copy_restore(&copy, dir->path);
        disk_unlink(dir->path, "index");
        CHECK(check_folder(dir->path) <= hits);
    }
    copy.segment_size = whole;
    for (size_t size = 0; size < copy.index_size; size += size < 40000 ? 97 : 40961) {
        copy_restore(&copy, dir->path);
        write_in(dir->path, "index", copy.index, size);
        CHECK(check_folder(dir->path) == ENTRIES); /* rebuilt */
    }
    for (size_t size = 0; size < copy.state_size; size++) {
        copy_restore(&copy, dir->path);
        write_in(dir->path, "state", copy.state, size);
        CHECK(check_folder(dir->path) == 0);
        fill(dir->path);
        copy_free(&copy);
        copy = copy_take(dir->path);
    }
    copy_free(&copy);
}

static void test_tails(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    folder_copy copy = copy_take(dir->path);
    unsigned char *longer = calloc(1, copy.segment_size * 2 + 4096);
    size_t size = copy.segment_size;
    for (int kind = 0; kind < 4; kind++) {
        memcpy(longer, copy.segment, size);
        memset(longer + size, kind == 1 ? 0xff : 0, size + 4096);
        if (kind == 2) {
            memcpy(longer + size, copy.segment, size); /* all of it once more: other offsets */
        }
        if (kind == 3) {
            memset(longer + size - 300, 0, 300);
        }
        for (int lose = 0; lose < 2; lose++) {
            copy_restore(&copy, dir->path);
            write_in(dir->path, segment_name, longer, kind == 3 ? size : size * 2);
            if (lose == 1) {
                disk_unlink(dir->path, "index");
            }
            int hits = check_folder(dir->path);
            CHECK(kind == 3 ? hits < ENTRIES : hits == ENTRIES);
        }
    }
    free(longer);
    copy_free(&copy);
}

/* Segments copied, renamed, swapped; of another folder; older than they should be. */
static void test_swapped_segments(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    BRISK_CLEANUP(temp_dir_remove) temp_dir *other = temp_dir_make();
    fill(dir->path);
    fill(other->path);
    folder_copy copy = copy_take(dir->path);
    folder_copy foreign = copy_take(other->path);
    for (int lose = 0; lose < 2; lose++) {
        copy_restore(&copy, dir->path);
        write_in(dir->path, "00000002.seg", copy.segment, copy.segment_size);
        if (lose == 1) {
            disk_unlink(dir->path, "index");
        }
        CHECK(check_folder(dir->path) == ENTRIES);
        CHECK(!disk_exists(dir->path, "00000002.seg"));

        copy_restore(&copy, dir->path);
        disk_unlink(dir->path, segment_name);
        write_in(dir->path, "00000007.seg", copy.segment, copy.segment_size);
        if (lose == 1) {
            disk_unlink(dir->path, "index");
        }
        CHECK(check_folder(dir->path) == 0);

        copy_restore(&copy, dir->path);
        write_in(dir->path, segment_name, foreign.segment, foreign.segment_size);
        if (lose == 1) {
            disk_unlink(dir->path, "index");
        }
        CHECK(check_folder(dir->path) == 0);
        copy_restore(&copy, dir->path);
        write_in(dir->path, "index", foreign.index, foreign.index_size);
        CHECK(check_folder(dir->path) == ENTRIES);
    }
    copy_free(&copy);
    copy_free(&foreign);
}

static void test_large_file_is_damaged(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    char file[512];
    disk_join(file, dir->path, large_name);
    CHECK(truncate(file, 4999) == 0);
    CHECK(check_folder(dir->path) == ENTRIES - 1);
    CHECK(check_folder(dir->path) == ENTRIES - 1);
    fill(dir->path);
    disk_join(file, dir->path, large_files);
    CHECK(nftw(file, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    CHECK(check_folder(dir->path) == ENTRIES - 1);
}

/* Segments are mapped while they are used; who cuts one costs entries, not the process. */
static void test_cut_while_open(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    disk_count_log(NULL);
    for (int cut = 0; cut < 4; cut++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
        brisk_tier *tier = disk_open_opts(&(brisk_disk_tier_opts){
            .path = dir->path, .bytes_max = 64 << 20, .codec = cut % 2 == 0 ? "plain" : "lz4"});
        static char value[1000];
        char key[16];
        char file[512];
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < COUNT; i++) {
                memset(value, 'a' + (i + round) % 26, sizeof value);
                (void)snprintf(key, sizeof key, "%d", i);
                /* Behind the end of a cut file a record is nowhere: a miss. */
                brisk_err err = disk_put_bytes(tier, key, value, sizeof value);
                CHECK(disk_misses(tier, key) ||
                      (err == BRISK_OK && disk_holds(tier, key, value, sizeof value)));
                CHECK(round != 0 || err == BRISK_OK);
            }
            disk_join(file, dir->path, segment_name);
            if (round == 0) {
                CHECK(truncate(file, cut < 2 ? 100 : 9000) == 0);
            }
            int held = 0;
            for (int i = 0; i < COUNT; i++) {
                memset(value, 'a' + (i + round) % 26, sizeof value);
                (void)snprintf(key, sizeof key, "%d", i);
                held += disk_misses(tier, key) ? 0 : 1;
                CHECK(disk_misses(tier, key) || disk_holds(tier, key, value, sizeof value));
            }
            CHECK(round != 0 || held < COUNT);
        }
        brisk_tier_destroy(tier);
    }
    brisk_log_set_sink(NULL, NULL, NULL);
}

/* The state file as another boot of the system would find it. */
static void set_state(const char *path, uint32_t flags, uint64_t boot)
{
    brisk_tier *tier = open_in(path);
    disk_tier *disk = (disk_tier *)tier;
    disk_state now;
    CHECK_OK(disk_state_read(disk, &now));
    char file[512];
    disk_join(file, path, "state");
    brisk_tier_destroy(tier);
    now.flags = flags;
    now.boot[0] = boot;
    disk_tier fake = {.sys = &calls, .state_fd = open(file, O_RDWR | O_CLOEXEC)};
    CHECK_OK(disk_state_write(&fake, &now, false));
    CHECK(close(fake.state_fd) == 0);
}

static void test_power_loss(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    fill(dir->path);
    set_state(dir->path, 0, 42); /* everything was synced: what is there counts */
    CHECK(check_folder(dir->path) == ENTRIES);
    set_state(dir->path, DISK_STATE_UNCLEAN, 42);
    CHECK(check_folder(dir->path) == 0);
    CHECK_U64(temp_count(dir->path), ==, 2);
    fill(dir->path);
    CHECK(check_folder(dir->path) == ENTRIES);
    set_state(dir->path, DISK_STATE_TAINTED, 42); /* only a rebuild is forbidden */
    CHECK(check_folder(dir->path) == ENTRIES);
    disk_unlink(dir->path, "index");
    CHECK(check_folder(dir->path) == 0);
}

/*
 * A power loss took the slot of a record, but not the record: nothing was withdrawn, so what is there
 * counts, but a rebuild would find a value that was put, lost, put again and removed.
 */
static void test_power_loss_of_a_slot(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_in(dir->path);
    CHECK_OK(disk_put_text(tier, "before", "1"));
    brisk_tier_destroy(tier);
    folder_copy copy = copy_take(dir->path);
    tier = open_in(dir->path);
    CHECK_OK(disk_put_text(tier, "key", "old"));
    CHECK_OK(disk_put_text(tier, "after", "1"));
    brisk_tier_destroy(tier);
    write_in(dir->path, "index", copy.index, copy.index_size);
    set_state(dir->path, 0, 42);
    tier = open_in(dir->path);
    CHECK(disk_holds_text(tier, "before", "1") && disk_misses(tier, "key"));
    CHECK_OK(disk_put_text(tier, "key", "new"));
    CHECK_OK(disk_remove_key(tier, "key"));
    brisk_tier_destroy(tier);
    disk_unlink(dir->path, "index");
    tier = open_in(dir->path);
    CHECK(disk_misses(tier, "key"));
    brisk_tier_destroy(tier);
    copy_free(&copy);
}

/* Withdrawals are announced to the disk before they happen, and the last close takes it back. */
static void test_unclean_is_set_first(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_in(dir->path);
    brisk_tier *second = open_in(dir->path);
    disk_state now;
    CHECK_OK(disk_put_text(tier, "k", "1"));
    CHECK_OK(disk_state_read((disk_tier *)tier, &now));
    CHECK_U64(now.flags, ==, 0); /* a new key withdraws nothing */
    CHECK_OK(disk_put_text(tier, "k", "2"));
    CHECK_OK(disk_state_read((disk_tier *)tier, &now));
    CHECK_U64(now.flags, ==, DISK_STATE_UNCLEAN);
    brisk_tier_destroy(tier);
    CHECK_OK(disk_state_read((disk_tier *)second, &now));
    CHECK_U64(now.flags, ==, DISK_STATE_UNCLEAN);
    brisk_tier_destroy(second);
    tier = open_in(dir->path);
    CHECK_OK(disk_state_read((disk_tier *)tier, &now));
    CHECK_U64(now.flags, ==, 0);
    brisk_tier_destroy(tier);
}

/* Records after a clean end were written later and may be unpublished: they are not believed. */
static void test_records_after_the_clean_end(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_in(dir->path);
    CHECK_OK(disk_put_text(tier, "first", "1"));
    brisk_tier_destroy(tier);
    folder_copy copy = copy_take(dir->path);
    tier = open_in(dir->path);
    CHECK_OK(disk_put_text(tier, "later", "1"));
    CHECK_OK(disk_put_text(tier, "last", "1"));
    brisk_tier_destroy(tier);
    size_t size;
    unsigned char *longer = slurp_in(dir->path, segment_name, &size);
    memcpy(longer, copy.segment, DISK_SEGMENT_HEAD);
    write_in(dir->path, segment_name, longer, size);
    disk_unlink(dir->path, "index");
    tier = open_in(dir->path);
    CHECK(disk_holds_text(tier, "first", "1"));
    CHECK(disk_misses(tier, "later") && disk_misses(tier, "last"));
    brisk_tier_destroy(tier);
    free(longer);
    copy_free(&copy);
}

static brisk_err put_as(brisk_tier *tier, const brisk_key *key, const char *text)
{
    brisk_value *value = NULL;
    CHECK_OK(brisk_value_copy(text, strlen(text), NULL, &value));
    brisk_err err = tier->ops->put(tier, key, value, NULL);
    brisk_value_unref(value);
    return err;
}

/* Keys with one hash: only the bytes tell them apart. */
static void test_hash_collision(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_in(dir->path);
    brisk_key one = brisk_key_of("one", 3);
    brisk_key two = brisk_key_of("two", 3);
    two.hash = one.hash;
    brisk_hit hit;
    CHECK_OK(put_as(tier, &one, "1"));
    CHECK(tier->ops->get(tier, &two, &hit) == BRISK_ERR_NOT_FOUND);
    CHECK(disk_holds_text(tier, "one", "1"));
    CHECK_OK(put_as(tier, &two, "2"));
    CHECK_OK(tier->ops->get(tier, &two, &hit));
    brisk_value_unref(hit.value);
    CHECK(disk_holds_text(tier, "one", "1"));
    CHECK_OK(put_as(tier, &one, "one again"));
    CHECK_OK(tier->ops->remove(tier, &two));
    CHECK(tier->ops->get(tier, &two, &hit) == BRISK_ERR_NOT_FOUND);
    CHECK(disk_holds_text(tier, "one", "one again"));
    /* More keys in two buckets than slots: the oldest go, and stay gone after a rebuild. */
    char names[40][8];
    for (int i = 0; i < 40; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%d", i);
        brisk_key key = brisk_key_of(names[i], strlen(names[i]));
        key.hash.lo = one.hash.lo;
        key.hash.hi = (uint64_t)(i + 1) << 48;
        CHECK_OK(put_as(tier, &key, names[i]));
        CHECK_OK(tier->ops->get(tier, &key, &hit));
        CHECK(memcmp(brisk_value_data(hit.value), names[i], strlen(names[i])) == 0);
        brisk_value_unref(hit.value);
    }
    CHECK_U64(disk_stats(tier).entries, ==, DISK_WAYS);
    CHECK_U64(disk_stats(tier).evictions, >=, 40 - DISK_WAYS);
    brisk_tier_destroy(tier);
    disk_unlink(dir->path, "index");
    tier = open_in(dir->path);
    CHECK_U64(disk_stats(tier).entries, ==, DISK_WAYS);
    brisk_tier_destroy(tier);
}

/* Two slots of one key, as two processes may leave them for a moment: the first counts, always. */
static void test_second_slot_is_withdrawn(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_in(dir->path);
    disk_tier *disk = (disk_tier *)tier;
    brisk_key key = brisk_key_of("k", 1);
    disk_ways ways = disk_ways_of(disk, &key);
    CHECK_OK(disk_put_text(tier, "k", "one"));
    _Atomic uint64_t *first = disk_way(&ways, 0);
    uint64_t one = atomic_exchange(first, 0); /* hidden, so that the next put takes the first */
    CHECK(one != 0);
    CHECK_OK(disk_put_text(tier, "k", "two"));
    atomic_store(disk_way(&ways, 3), one);
    CHECK(disk_holds_text(tier, "k", "two"));
    CHECK_U64(atomic_load(disk_way(&ways, 3)), ==, 0);
    atomic_store(first, 0); /* as if two's segment had been dropped */
    CHECK(disk_misses(tier, "k"));
    atomic_store(disk_way(&ways, 3), one);
    CHECK(disk_misses(tier, "k")); /* killed, too */
    brisk_tier_destroy(tier);
}

static int set_up(void **state)
{
    disk_count_log(NULL);
    return disk_use_memory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undamaged),
        cmocka_unit_test(test_every_bit_of_a_segment),
        cmocka_unit_test(test_every_bit_of_the_state),
        cmocka_unit_test(test_every_bit_of_the_index),
        cmocka_unit_test(test_hidden_record_stays_hidden),
        cmocka_unit_test(test_skipped_record_stays_skipped),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_cut_while_open),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_swapped_segments),
        cmocka_unit_test(test_large_file_is_damaged),
        cmocka_unit_test(test_power_loss),
        cmocka_unit_test(test_power_loss_of_a_slot),
        cmocka_unit_test(test_unclean_is_set_first),
        cmocka_unit_test(test_records_after_the_clean_end),
        cmocka_unit_test(test_hash_collision),
        cmocka_unit_test(test_second_slot_is_withdrawn),
    };
    return cmocka_run_group_tests_name("disk_damage", tests, set_up, NULL);
}
