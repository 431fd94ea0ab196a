/*
 * sizer.c -- reading a size off the curve, see <brisk/sizer.h>.
 *
 * Bytes and entries are exchanged at the rate of the tier now.  The curve is looked at in POINTS
 * sizes; the answer lies between two of them, found by halving.  The knee is the point of the
 * curve that is farthest above the straight line from nothing to the limit (or to room for
 * everything, when that is less).
 */
#include <stdio.h>
#include <string.h>

#include <brisk/sizer.h>

#include "base/assert.h"

enum { POINTS = 200, HALVINGS = 40, PATIENCE_DEFAULT = 3, TEXT = 24 };

static const double target_default = 0.94;
static const uint64_t bytes_min_default = UINT64_C(1) << 20;
static const double least_change = 0.1;
static const double grow_below = 0.7;
static const double grow_by = 1.2;
static const double shrink_above = 0.95;
static const double shrink_by = 0.9;

brisk_err brisk_sizer_init(brisk_sizer *sizer, const brisk_sizer_opts *opts)
{
    brisk_sizer_opts o = *opts;
    o.target = o.target > 0 ? o.target : o.target < 0 ? -1 : target_default;
    o.bytes_min = o.bytes_min != 0 ? o.bytes_min : bytes_min_default;
    o.patience = o.patience != 0 ? o.patience : PATIENCE_DEFAULT;
    if (!(o.target > 0 && o.target <= 1) || o.bytes_max < o.bytes_min) {
        return BRISK_ERR_INVALID;
    }
    *sizer = (brisk_sizer){.opts_ = o};
    return BRISK_OK;
}

static double hit_rate_at(const brisk_sizer_state *state, double entries)
{
    uint64_t count = entries < 1 ? 1 : (uint64_t)entries;
    double miss = state->policy != NULL ? brisk_mrc_policy(state->curve, state->policy, count) : -1;
    return 1 - (miss >= 0 ? miss : brisk_mrc_lru(state->curve, count));
}

/* The knee between 0 and `most` entries. */
static double find_knee(const brisk_sizer_state *state, double most)
{
    double end = hit_rate_at(state, most);
    double knee = most;
    double farthest = 0;
    for (uint32_t i = 1; i < POINTS; i++) {
        double share = (double)i / POINTS;
        double above = hit_rate_at(state, most * share) - end * share;
        if (above > farthest) {
            farthest = above;
            knee = most * share;
        }
    }
    return knee;
}

/* The fewest entries up to `most` with that hit rate, which `most` has. */
static double find_entries(const brisk_sizer_state *state, double most, double rate)
{
    double low = 0;
    double high = most;
    for (uint32_t i = 0; i < HALVINGS && high - low > 1; i++) {
        double middle = (low + high) / 2;
        if (hit_rate_at(state, middle) >= rate) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return high;
}

static void print_bytes(char text[TEXT], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    uint32_t unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, TEXT, value < 10 && unit != 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void describe(const brisk_sizer *sizer, brisk_sizer_advice *advice)
{
    char knee[TEXT];
    char size[TEXT];
    print_bytes(knee, advice->knee_bytes);
    print_bytes(size, advice->bytes);
    double percent = 100 * sizer->opts_.target;
    if (advice->reachable) {
        (void)snprintf(advice->text, sizeof advice->text, "target %.3g %% reached with %s", percent,
                       size);
    } else if (advice->best >= sizer->opts_.target) {
        (void)snprintf(advice->text, sizeof advice->text,
                       "target %.3g %% unreachable within the limit; best %.3g %% at any size; "
                       "knee %.3g %% at %s",
                       percent, 100 * advice->best, 100 * advice->knee, knee);
    } else {
        (void)snprintf(advice->text, sizeof advice->text,
                       "target %.3g %% unreachable; best %.3g %% at any size; knee %.3g %% at %s",
                       percent, 100 * advice->best, 100 * advice->knee, knee);
    }
}

static void advise_by_curve(const brisk_sizer *sizer, const brisk_sizer_state *state,
                            brisk_sizer_advice *advice)
{
    double each = state->entries != 0 ? (double)state->bytes_used / (double)state->entries : 1;
    each = each >= 1 ? each : 1;
    double limit = (double)sizer->opts_.bytes_max / each;
    /* To the end of the curve's last step, which is at most a sixteenth wide. */
    double everything = (double)brisk_mrc_keys(state->curve) * 17 / 16 + 2;
    double most = limit < everything ? limit : everything;
    double knee = find_knee(state, most);
    advice->best = 1 - brisk_mrc_least(state->curve);
    advice->knee = hit_rate_at(state, knee);
    advice->knee_bytes = (uint64_t)(knee * each);
    advice->reachable = hit_rate_at(state, most) >= sizer->opts_.target;
    double entries = advice->reachable ? find_entries(state, most, sizer->opts_.target) : knee;
    advice->hit_rate = hit_rate_at(state, entries);
    advice->bytes = (uint64_t)(entries * each) + 1;
    describe(sizer, advice);
}

static void advise_simply(const brisk_sizer *sizer, const brisk_sizer_state *state,
                          brisk_sizer_advice *advice)
{
    uint64_t asked = state->hits + state->misses;
    double rate = asked != 0 ? (double)state->hits / (double)asked : 0;
    double bytes = (double)state->bytes;
    advice->hit_rate = rate;
    advice->reachable = rate >= sizer->opts_.target;
    if (asked != 0 && rate < grow_below) {
        bytes *= grow_by;
    } else if (rate > shrink_above) {
        bytes *= shrink_by;
    }
    advice->bytes = (uint64_t)bytes;
    char size[TEXT];
    print_bytes(size, advice->bytes);
    (void)snprintf(advice->text, sizeof advice->text, "hit rate %.3g %%: %s", 100 * rate, size);
}

brisk_err brisk_sizer_step(brisk_sizer *sizer, const brisk_sizer_state *state,
                           brisk_sizer_advice *ret)
{
    const brisk_sizer_opts *opts = &sizer->opts_;
    brisk_sizer_advice advice = {0};
    bool simple = opts->simple || state->curve == NULL;
    if (simple) {
        advise_simply(sizer, state, &advice);
    } else {
        advise_by_curve(sizer, state, &advice);
    }
    advice.bytes = advice.bytes < opts->bytes_min   ? opts->bytes_min
                   : advice.bytes > opts->bytes_max ? opts->bytes_max
                                                    : advice.bytes;
    double change = ((double)advice.bytes - (double)state->bytes) / (double)(state->bytes | 1);
    bool shrinks = change < 0;
    sizer->shrinks_ = shrinks && change < -least_change / 2 ? sizer->shrinks_ + 1 : 0;
    double least = simple ? least_change / 2 : least_change;
    bool wanted = shrinks ? change <= -least && sizer->shrinks_ >= opts->patience : change >= least;
    if (wanted && opts->resize != NULL) {
        brisk_err err = opts->resize(opts->ctx, advice.bytes);
        if (err != BRISK_OK) {
            return err;
        }
        advice.resized = true;
        sizer->shrinks_ = 0;
    }
    *ret = advice;
    return BRISK_OK;
}
