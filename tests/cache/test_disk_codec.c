/*
 * test_disk_codec.c -- codecs and dictionaries of the disk tier.
 *
 * Whatever becomes of a dictionary, an entry is answered as it was put or not at all.
 */
#include "disk_test.h"

enum { VALUES = 3000, VALUE_BYTES = 700 };

static const brisk_disk_tier_opts base_opts = {.bytes_max = 64 << 20, .segment_bytes = 1 << 20};

static brisk_tier *open_as(const char *path, const char *codec)
{
    brisk_disk_tier_opts opts = base_opts;
    opts.path = path;
    opts.codec = codec;
    return disk_open_opts(&opts);
}

/* Records of one kind with other numbers in each; `kind` changes all the words. */
static size_t make_value(char *text, int kind, int number)
{
    static const char *const words[3][4] = {{"alpha", "bravo", "charlie", "delta"},
                                            {"hydrogen", "helium", "lithium", "beryllium"},
                                            {"north", "east", "south", "west"}};
    uint64_t random = (uint64_t)number * 3 + (uint64_t)kind;
    size_t at = 0;
    while (at < VALUE_BYTES - 80) {
        uint64_t r = check_random(&random);
        unsigned int one = (unsigned int)(r % 100000);
        unsigned int two = (unsigned int)(r >> 40 & 0xffff);
        const char *word = words[kind][r / 7 % 4];
        char *to = text + at;
        size_t room = VALUE_BYTES - at;
        int done =
            kind == 0 ? snprintf(to, room, "{\"identity\":%u,\"surname\":\"%s\",\"balance\":%u},",
                                 one, word, two)
            : kind == 1
                ? snprintf(to, room, "<element z=\"%u\" name=\"%s\" mass=\"%u\"/>", one, word, two)
                : snprintf(to, room, "bearing %u wind from %s at %u knots\n", one, word, two);
        at += (size_t)done;
    }
    return at;
}

static void put_values(brisk_tier *tier, int kind, int from, int to)
{
    for (int i = from; i < to; i++) {
        char key[32];
        char text[VALUE_BYTES];
        (void)snprintf(key, sizeof key, "%d %d", kind, i);
        CHECK_OK(disk_put_bytes(tier, key, text, make_value(text, kind, i)));
    }
}

/* Right or a miss; the number of hits. */
static int count_hits(brisk_tier *tier, int kind, int from, int to)
{
    int hits = 0;
    for (int i = from; i < to; i++) {
        char key[32];
        char text[VALUE_BYTES];
        brisk_hit hit;
        (void)snprintf(key, sizeof key, "%d %d", kind, i);
        if (disk_get_key(tier, key, &hit) != BRISK_OK) {
            continue;
        }
        size_t size = make_value(text, kind, i);
        CHECK_U64(brisk_value_size(hit.value), ==, size);
        CHECK(memcmp(brisk_value_data(hit.value), text, size) == 0);
        brisk_value_unref(hit.value);
        hits++;
    }
    return hits;
}

static void test_every_codec(void **state)
{
    (void)state;
    static const char *const codecs[] = {"auto",   "plain",   "zstd", "lz4",
                                         "brotli", "deflate", "gzip", NULL};
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    for (int i = 0; i < 8; i++) { /* all in one folder: each reads what the others wrote */
        brisk_tier *tier = open_as(dir->path, codecs[i]);
        put_values(tier, 0, i * 100, i * 100 + 100);
        CHECK(count_hits(tier, 0, 0, i * 100 + 100) == i * 100 + 100);
        brisk_tier_stats stats = disk_stats(tier);
        bool is_plain = codecs[i] != NULL && strcmp(codecs[i], "plain") == 0;
        CHECK(is_plain ? stats.stored_bytes == stats.raw_bytes
                       : stats.stored_bytes < stats.raw_bytes / 4 * 3);
        unsigned char noise[5000];
        uint64_t random = 1;
        for (size_t at = 0; at < sizeof noise; at++) {
            noise[at] = (unsigned char)check_random(&random);
        }
        CHECK_OK(disk_put_bytes(tier, "noise", noise, sizeof noise)); /* stays as it is */
        CHECK_U64(disk_stats(tier).stored_bytes, ==, stats.stored_bytes + sizeof noise);
        CHECK(disk_holds(tier, "noise", noise, sizeof noise));
        brisk_tier_destroy(tier);
    }
    brisk_disk_tier_opts opts = {.path = dir->path, .codec = "zip"};
    brisk_tier *tier = NULL;
    CHECK(brisk_disk_tier_open(&opts, &tier, NULL) == BRISK_ERR_INVALID);
}

static void test_dictionary_is_trained(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_as(dir->path, "zstd");
    put_values(tier, 0, 0, VALUES);
    brisk_tier_stats stats = disk_stats(tier);
    CHECK_U64(stats.dictionary, ==, 1);
    CHECK_U64(stats.dictionary_gain_permille, >, 100);
    CHECK(disk_exists(dir->path, "00000001.dict"));
    CHECK(count_hits(tier, 0, 0, VALUES) == VALUES);
    /* Another one on the folder uses it at once, and so does the next. */
    brisk_tier *other = open_as(dir->path, "zstd");
    put_values(other, 0, VALUES, VALUES + 500);
    brisk_tier_stats theirs = disk_stats(other);
    CHECK_U64(theirs.dictionary, ==, 1);
    CHECK_U64(theirs.stored_bytes * stats.raw_bytes, <, stats.stored_bytes * theirs.raw_bytes);
    CHECK(count_hits(tier, 0, VALUES, VALUES + 500) == 500);
    brisk_tier_destroy(other);
    brisk_tier_destroy(tier);
    for (int lose = 0; lose < 2; lose++) {
        if (lose == 1) {
            disk_unlink(dir->path, "index");
        }
        tier = open_as(dir->path, "zstd");
        CHECK_U64(disk_stats(tier).dictionary, ==, 1);
        CHECK(count_hits(tier, 0, 0, VALUES + 500) == VALUES + 500);
        brisk_tier_destroy(tier);
    }
    /* None when they are not wanted, or the bound is small. */
    for (int i = 0; i < 2; i++) {
        BRISK_CLEANUP(temp_dir_remove) temp_dir *without = temp_dir_make();
        brisk_disk_tier_opts opts = base_opts;
        opts.path = without->path;
        opts.no_dictionary = i == 0;
        opts.bytes_max = i == 0 ? opts.bytes_max : 8 << 20;
        tier = disk_open_opts(&opts);
        put_values(tier, 0, 0, VALUES);
        CHECK_U64(disk_stats(tier).dictionary, ==, 0);
        brisk_tier_destroy(tier);
    }
}

/* Lost or damaged: misses, a new one under a new number, and nothing wrong. */
static void test_dictionary_is_lost(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    char file[512];
    disk_join(file, dir->path, "00000001.dict");
    brisk_tier *tier = open_as(dir->path, "zstd");
    put_values(tier, 0, 0, VALUES);
    brisk_tier_destroy(tier);
    size_t size;
    unsigned char *bytes = disk_slurp(file, &size);
    for (int damage = 0; damage < 40; damage++) {
        int fd = open(file, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
        size_t at = (size_t)damage * size / 40;
        bytes[at] ^= 0x10;
        CHECK(write(fd, bytes, damage % 2 == 0 ? size : at) >= 0 && close(fd) == 0);
        bytes[at] ^= 0x10;
        tier = open_as(dir->path, "lz4"); /* writes none itself */
        char key[32];
        brisk_hit hit;
        (void)snprintf(key, sizeof key, "0 %d", VALUES - 1 - damage);
        CHECK(disk_get_key(tier, key, &hit) == BRISK_ERR_NOT_FOUND);
        brisk_tier_destroy(tier);
    }
    free(bytes);
    CHECK(unlink(file) == 0);
    tier = open_as(dir->path, "zstd");
    int hits = count_hits(tier, 0, 0, VALUES);
    CHECK(hits > 100 && hits < VALUES / 2); /* those from before the training */
    put_values(tier, 1, 0, VALUES);
    brisk_tier_destroy(tier);
    tier = open_as(dir->path, "zstd");
    put_values(tier, 1, 0, VALUES * 4);
    CHECK_U64(disk_stats(tier).dictionary, ==, 2);
    CHECK(!disk_exists(dir->path, "00000001.dict"));
    CHECK(count_hits(tier, 1, 0, VALUES * 4) == VALUES * 4);
    CHECK(count_hits(tier, 0, 0, VALUES) == hits);
    brisk_tier_destroy(tier);
}

/* The data becomes another: another dictionary, and what the first one made is still read. */
static void test_dictionary_follows_the_data(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tier = open_as(dir->path, "zstd");
    put_values(tier, 0, 0, VALUES * 5);
    CHECK_U64(disk_stats(tier).dictionary, ==, 1);
    int count = 0;
    while (disk_stats(tier).dictionary == 1 && count < VALUES * 20) {
        put_values(tier, 1, count, count + 1000);
        count += 1000;
    }
    CHECK_U64(disk_stats(tier).dictionary, ==, 2);
    put_values(tier, 1, count, count + 1000);
    CHECK(count_hits(tier, 0, VALUES * 4, VALUES * 5) > VALUES / 2);
    CHECK(count_hits(tier, 1, count, count + 1000) == 1000);
    brisk_tier_destroy(tier);
}

/* One that trained and one that did not agree on the newest; numbers are used once. */
static void test_two_train(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_tier *tiers[2] = {open_as(dir->path, "zstd"), open_as(dir->path, "zstd")};
    for (int i = 0; i < 2 * VALUES; i++) {
        put_values(tiers[i % 2], 0, i, i + 1);
    }
    CHECK_U64(disk_stats(tiers[0]).dictionary, ==, 1);
    CHECK_U64(disk_stats(tiers[1]).dictionary, ==, 1);
    CHECK(count_hits(tiers[1], 0, 0, 2 * VALUES) == 2 * VALUES);
    brisk_tier_destroy(tiers[0]);
    brisk_tier_destroy(tiers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_codec),
        cmocka_unit_test(test_dictionary_is_trained),
        cmocka_unit_test(test_dictionary_is_lost),
        cmocka_unit_test(test_dictionary_follows_the_data),
        cmocka_unit_test(test_two_train),
    };
    disk_count_log(NULL);
    return cmocka_run_group_tests_name("disk_codec", tests, disk_use_memory, NULL);
}
