/*
 * tier_redis_test.h -- what the tests of the Redis tier share.
 */
#ifndef BRISK_TESTS_TIER_REDIS_TEST_H
#define BRISK_TESTS_TIER_REDIS_TEST_H

#include <string.h>

#include <brisk/log.h>
#include <brisk/shared.h>

#include "base/cleanup.h"
#include "support/redis_server.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_tier, brisk_tier_destroy)

#define TIER_KEY "0123456789abcdef0123456789abcdef"

static inline void quiet(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    (void)ctx;
    (void)level;
    (void)area;
    (void)line;
}

static inline brisk_tier *open_with(const brisk_redis_tier_opts *opts)
{
    brisk_tier *tier = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_redis_tier_opts o = *opts;
    if (o.key == NULL && !o.unsealed) {
        o.key = TIER_KEY;
        o.key_size = strlen(TIER_KEY);
    }
    o.timeout_ns = o.timeout_ns != 0 ? o.timeout_ns : UINT64_C(3000000000); /* slow sanitizers */
    o.connect_timeout_ns = o.connect_timeout_ns != 0 ? o.connect_timeout_ns : UINT64_C(3000000000);
    if (brisk_redis_tier_open(&o, &tier, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return tier;
}

static inline const char *url_of(const redis_server *server, const char *scheme, char url[128])
{
    (void)snprintf(url, 128, "%s127.0.0.1:%u", scheme, server->port);
    return url;
}

static inline brisk_err put_text(brisk_tier *tier, const char *key, const char *text)
{
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_value *value;
    CHECK_OK(brisk_value_copy(text, strlen(text), NULL, &value));
    brisk_err err = tier->ops->put(tier, &k, value, NULL);
    brisk_value_unref(value);
    return err;
}

/* "" for a miss, "!" for an error. */
static inline const char *get_text(brisk_tier *tier, const char *key, char text[256])
{
    brisk_key k = brisk_key_of(key, strlen(key));
    brisk_hit hit;
    brisk_err err = tier->ops->get(tier, &k, &hit);
    text[0] = '\0';
    if (err == BRISK_OK) {
        size_t size = (size_t)brisk_value_size(hit.value);
        CHECK(size < 256);
        memcpy(text, brisk_value_data(hit.value), size);
        text[size] = '\0';
        brisk_value_unref(hit.value);
    } else if (err != BRISK_ERR_NOT_FOUND) {
        memcpy(text, "!", 2);
    }
    return text;
}

static inline brisk_tier_stats stats_of(brisk_tier *tier)
{
    brisk_tier_stats stats;
    tier->ops->read_stats(tier, &stats);
    return stats;
}

#endif /* BRISK_TESTS_TIER_REDIS_TEST_H */
