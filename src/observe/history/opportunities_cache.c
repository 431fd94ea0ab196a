/*
 * opportunities_cache.c -- what a recording of a cache's requests says about its size.
 *
 *     recording ──► miss ratio curve ──► hit rate at the size there is, and at which size the target is reached
 *
 * The curve is LRU's, which others beat or meet: what it promises at a size is not less than what is had there.  A
 * hit rate is a share of `n` requests of `one_in`-th of the keys: its interval is that of a binomial share, widened
 * for the keys that were not followed.
 *
 * Threads: none of its own.
 */
#include <inttypes.h>
#include <math.h>

#include <brisk/engine.h>
#include <brisk/mrc.h>
#include <brisk/trace_file.h>

#include "base/str.h"
#include "base/text.h"
#include "observe/bench/bench.h"
#include "observe/history/command.h"

enum { REQUESTS_MIN = 1000, KEYS_FOLLOWED = 65536, EVIDENCE_BYTES = 4096, TARGET_DEFAULT = 90 };

static const char key[] = "cache:memory:size";
static const double gain_min = 0.02; /* of all requests */

typedef struct sizing {
    uint64_t requests;
    uint64_t mean_bytes; /* of a request's entry; 0: not told */
    uint64_t entries;    /* room that there is */
    uint64_t wanted;     /* entries for the target, or for all that can be had */
    double hits_now;
    double hits_then;
    double target;
    double error; /* half of the interval of a hit rate */
} sizing;

static brisk_err read_recording(const char *path, brisk_mrc *mrc, sizing *ret, brisk_errinfo *info)
{
    brisk_trace_file *file = NULL;
    brisk_trace_request request;
    double bytes = 0.0;
    brisk_err err = brisk_trace_file_open(path, BRISK_TRACE_AUTO, NULL, &file, info);
    while (err == BRISK_OK && (err = brisk_trace_file_next(file, &request, info)) == BRISK_OK) {
        brisk_mrc_request(mrc, request.key);
        bytes += (double)request.size;
        ret->requests++;
    }
    brisk_trace_file_close(file);
    ret->mean_bytes = ret->requests > 0 ? (uint64_t)(bytes / (double)ret->requests) : 0;
    return err == BRISK_ERR_NOT_FOUND && ret->requests > 0 ? BRISK_OK : err;
}

/*
 * The smallest size, by steps of a tenth, that reaches the target; where none does, room for all keys.  The curve is
 * known by steps, too: past the last one it is what room for everything gives.
 */
static void find_size(const brisk_mrc *mrc, sizing *s)
{
    uint64_t all = brisk_mrc_keys(mrc);
    all += all / 10;
    for (uint64_t at = s->entries; at < all; at += at / 10 + 1) {
        s->hits_then = 1.0 - brisk_mrc_lru(mrc, at);
        if (s->hits_then >= s->target) {
            s->wanted = at;
            return;
        }
    }
    s->wanted = all + 1;
    s->hits_then = 1.0 - brisk_mrc_least(mrc);
}

/* False when there is nothing to say. */
static bool look(const brisk_mrc *mrc, brisk_knobs *knobs, sizing *s)
{
    uint64_t bytes = brisk_knobs_u64(knobs, "cache.memory.bytes");
    uint64_t most = brisk_knobs_u64(knobs, "cache.memory.entries");
    uint64_t target = brisk_knobs_u64(knobs, "cache.target_hit_rate");
    s->target = (double)(target != 0 ? target : TARGET_DEFAULT) / 100.0;
    s->entries = s->mean_bytes > 0 ? bytes / s->mean_bytes : most;
    s->entries = most != 0 && most < s->entries ? most : s->entries;
    if (s->requests < REQUESTS_MIN || s->entries == 0) {
        return false;
    }
    s->hits_now = 1.0 - brisk_mrc_lru(mrc, s->entries);
    find_size(mrc, s);
    double share = s->hits_now;
    s->error = 1.96 * sqrt(share * (1.0 - share) * brisk_mrc_one_in(mrc) / (double)s->requests);
    return s->hits_now < s->target && s->wanted > s->entries &&
           s->hits_then - s->hits_now >= gain_min;
}

static void write_evidence(brisk_str *text, const sizing *s, const char *path)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "recording", path);
    brisk_json_u64(&json, "requests", s->requests);
    brisk_json_u64(&json, "mean_bytes", s->mean_bytes);
    brisk_json_u64(&json, "entries", s->entries);
    brisk_json_u64(&json, "entries_wanted", s->wanted);
    brisk_json_double(&json, "hit_rate", s->hits_now);
    brisk_json_double(&json, "hit_rate_wanted", s->hits_then);
    brisk_json_double(&json, "target", s->target);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* errors stay in `text` */
}

static brisk_err put(brisk_history *history, const sizing *s, const char *path, brisk_errinfo *info)
{
    char size[BRISK_TEXT_SHORT_MAX];
    char words[512];
    brisk_str evidence;
    double gain = s->hits_then - s->hits_now;
    brisk_text_bytes(size, s->wanted * (s->mean_bytes > 0 ? s->mean_bytes : 1));
    (void)snprintf(words, sizeof words,
                   "The memory tier answers %.1f %% of the recorded requests with room for %" PRIu64
                   " entries; %" PRIu64 " (%s%s) would answer %.1f %%: cache.memory.%s.",
                   s->hits_now * 100, s->entries, s->wanted, s->mean_bytes > 0 ? "" : "entries, ",
                   s->mean_bytes > 0 ? size : "sizes were not recorded", s->hits_then * 100,
                   s->mean_bytes > 0 ? "bytes" : "entries");
    brisk_str_init(&evidence, NULL, EVIDENCE_BYTES);
    write_evidence(&evidence, s, path);
    brisk_history_opportunity opportunity = {
        .key = key,
        .category = "configuration",
        .priority = gain >= 0.3   ? "high"
                    : gain >= 0.1 ? "medium"
                                  : "low",
        .gain = gain,
        .gain_low = gain > s->error ? gain - s->error : 0.0,
        .gain_high = gain + s->error < 1.0 ? gain + s->error : 1.0,
        .confidence = 0.8,
        .complexity = "low",
        .description = words,
        .evidence = brisk_str_text(&evidence),
        .source = "cache",
        .subject = "memory tier",
    };
    brisk_err err = brisk_str_err(&evidence);
    err = err == BRISK_OK ? brisk_history_put_opportunity(history, &opportunity, NULL, info)
                          : brisk_errinfo_set(info, err, "history: %s", brisk_err_message(err));
    brisk_str_deinit(&evidence);
    return err;
}

brisk_err history_renew_cache_opportunity(brisk_history *history, const char *path,
                                          brisk_knobs *knobs, brisk_errinfo *info)
{
    brisk_mrc *mrc = NULL;
    sizing s = {0};
    brisk_err err = brisk_mrc_create(&(brisk_mrc_opts){.keys_max = KEYS_FOLLOWED}, &mrc);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "history: %s", brisk_err_message(err));
    }
    err = read_recording(path, mrc, &s, info);
    if (err == BRISK_OK && look(mrc, knobs, &s)) {
        err = put(history, &s, path, info);
    } else if (err == BRISK_OK && s.requests >= REQUESTS_MIN) {
        err = brisk_history_set_opportunity(history, key, NULL, "gone", info);
        err = err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err; /* it never was one */
    }
    brisk_mrc_destroy(mrc);
    return err;
}
