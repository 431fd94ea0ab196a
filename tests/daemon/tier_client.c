/*
 * tier_client.c -- the shared tier's client against a node: what <brisk/shared.h> promises, asked of /v1/cache.
 *
 *   tier_client URL TOKEN plain|purge
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/shared.h>

#define KEY "0123456789abcdef0123456789abcdef"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%d: %s\n", __LINE__, #condition);                               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static brisk_tier *open_tier(const char *url, const char *token, bool purge)
{
    brisk_tier *tier;
    brisk_errinfo info = {.text = ""};
    brisk_http_tier_opts opts = {.url = url,
                                 .key = KEY,
                                 .key_size = strlen(KEY),
                                 .bearer = token,
                                 .purge = purge,
                                 .zstd_level = -1,
                                 .timeout_ns = UINT64_C(10000000000)};
    if (brisk_http_tier_open(&opts, &tier, &info) != BRISK_OK) {
        (void)fprintf(stderr, "%s\n", info.text);
        exit(1);
    }
    return tier;
}

static brisk_err put(brisk_tier *tier, const char *name, const unsigned char *data, size_t size,
                     uint64_t expires_at_ns)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_entry_opts opts = {.expires_at_ns = expires_at_ns};
    brisk_value *value;
    CHECK(brisk_value_copy(data, size, NULL, &value) == BRISK_OK);
    brisk_err err = tier->ops->put(tier, &key, value, &opts);
    brisk_value_unref(value);
    return err;
}

static bool has(brisk_tier *tier, const char *name, const unsigned char *data, size_t size)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    brisk_hit hit;
    brisk_err err = tier->ops->get(tier, &key, &hit);
    CHECK(err == BRISK_OK || err == BRISK_ERR_NOT_FOUND);
    if (err != BRISK_OK) {
        return false;
    }
    CHECK(brisk_value_size(hit.value) == size);
    CHECK(size == 0 || memcmp(brisk_value_data(hit.value), data, size) == 0);
    brisk_value_unref(hit.value);
    return true;
}

static bool drop(brisk_tier *tier, const char *name)
{
    brisk_key key = brisk_key_of(name, strlen(name));
    return tier->ops->remove(tier, &key) == BRISK_OK;
}

static brisk_tier_stats stats_of(brisk_tier *tier)
{
    brisk_tier_stats stats = {0};
    tier->ops->read_stats(tier, &stats);
    return stats;
}

int main(int argc, char **argv)
{
    static unsigned char large[3000000];
    CHECK(argc == 4);
    bool purge = strcmp(argv[3], "purge") == 0;
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (unsigned char)(i * 2654435761u >> 13);
    }
    brisk_tier *tier = open_tier(argv[1], argv[2], purge);
    brisk_tier *other = open_tier(argv[1], argv[2], purge);
    (void)drop(tier, "a");
    CHECK(!has(tier, "a", large, 100));
    CHECK(put(tier, "a", large, 100, 0) == BRISK_OK);
    /* With `purge` a put tells the way to forget: a node is the origin, so the entry goes, too. */
    CHECK(has(other, "a", large, 100) == !purge);
    if (!purge) {
        CHECK(has(tier, "a", large, 100) && has(tier, "a", large, 100)); /* with the tag: 304 */
        CHECK(put(other, "a", large + 7, 50, 0) == BRISK_OK);
        CHECK(has(tier, "a", large + 7, 50)); /* the tag is not the one any more */
        CHECK(put(tier, "large", large, sizeof large, 0) == BRISK_OK);
        CHECK(has(other, "large", large, sizeof large));
        CHECK(put(tier, "large", large, sizeof large, 0) == BRISK_OK); /* HEAD says it is there */
        CHECK(put(tier, "brief", large, 10, brisk_clock_wall_ns(NULL) + UINT64_C(60000000000)) ==
              BRISK_OK);
        CHECK(has(other, "brief", large, 10));
    }
    CHECK(drop(tier, "a"));
    CHECK(!has(other, "a", large, 100));
    CHECK(drop(tier, "a"));
    CHECK(stats_of(tier).errors == 0 && stats_of(tier).corrupt == 0);
    brisk_tier *stranger = open_tier(argv[1], "not-a-token-0123456789", purge);
    CHECK(put(stranger, "b", large, 10, 0) == BRISK_ERR_PERMISSION);
    CHECK(stats_of(stranger).errors > 0);
    brisk_tier_destroy(stranger);
    brisk_tier_destroy(other);
    brisk_tier_destroy(tier);
    return 0;
}
