/*
 * stats_ring.c -- where samples are kept, see stats.h.
 *
 *     level 0      the last STATS_SAMPLES seconds, one after the other
 *     levels 1..   a place for each period of the wall clock (begin / step, modulo how many are kept)
 *
 * The sample of a period that is not over is made anew every `every_ns` (and at the end of the node), so that little is lost
 * when the process is killed; it lies in its place and is longer each time.  Of two samples of one period, of a process
 * before and one after a restart, the longer stays.
 *
 * Memory has what this process measured, the file (stats_file.h) that and what those before it did: whoever reads takes the
 * longer of both.  When there is no file, or it cannot be written, memory serves alone, and that is said.
 *
 * Invariant: a place that is used has a sample of a period that belongs there.
 */
#include "daemon/api/stats_internal.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "daemon/metrics.h"

static const uint64_t second_ns = 1000000000;

/* How long a sample of each level is, and how many are kept: 15 minutes, 6 hours, 2 days, a month. */
static const struct {
    uint32_t step_s;
    uint32_t kept;
} levels[STATS_LEVELS] = {{1, STATS_SAMPLES}, {60, 360}, {300, 600}, {1800, 1488}};

static_assert(360 + 600 + 1488 == STATS_SLOTS, "a slot for each");

uint32_t stats_step_s(uint32_t level)
{
    return levels[level].step_s;
}

uint32_t stats_kept(uint32_t level)
{
    return levels[level].kept;
}

uint64_t stats_period(uint32_t level, const stats_sample *sample)
{
    return sample->begun_ns / second_ns / levels[level].step_s;
}

static uint32_t slot_of(uint32_t level, uint64_t period)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < level; i++) {
        first += levels[i].kept;
    }
    return first + (uint32_t)(period % levels[level].kept);
}

/* NULL: its place has none. */
static stats_sample *kept_in(stats_ring *st, uint32_t slot)
{
    return st->used[slot] ? &st->ring[STATS_SAMPLES + slot] : NULL;
}

static void keep_period(stats_ring *st, uint32_t level, const stats_sample *sample)
{
    uint64_t period = stats_period(level, sample);
    uint32_t slot = slot_of(level, period);
    const stats_sample *there = kept_in(st, slot);
    /* The clock was set back: there is a whole one already. */
    bool longer = there != NULL && stats_period(level, there) == period &&
                  there->length_ns > sample->length_ns;
    if (!longer) {
        st->ring[STATS_SAMPLES + slot] = *sample;
        st->used[slot] = true;
    }
}

/* --- the file ----------------------------------------------------------------------------- */

static void say(stats_ring *st, brisk_err err, const brisk_errinfo *info)
{
    if (err != st->file_err && err != BRISK_OK) {
        brisk_log(err == BRISK_ERR_CONFLICT ? BRISK_LOG_INFO : BRISK_LOG_WARNING, "serve",
                  "figures are kept in memory alone: %s", info->text);
    } else if (err != st->file_err) {
        brisk_log(BRISK_LOG_INFO, "serve", "figures are kept in %s", stats_file_path(st->file));
    }
    (void)pthread_mutex_lock(&st->lock);
    st->file_err = err;
    st->file_info = *info;
    (void)pthread_mutex_unlock(&st->lock);
}

/* All that memory has, for a file that is newly ours. */
static brisk_err save_all(stats_ring *st, brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 1; i < STATS_LEVELS; i++) {
        for (uint32_t k = 0; k < levels[i].kept && err == BRISK_OK; k++) {
            const stats_sample *sample = kept_in(st, slot_of(i, k));
            err = sample != NULL ? stats_file_put(st->file, i, sample, info) : BRISK_OK;
        }
    }
    return err;
}

static void save(stats_ring *st)
{
    brisk_errinfo info = {.text = ""};
    if (st->file == NULL) {
        return;
    }
    brisk_err err = stats_file_own(st->file, &info);
    if (err == BRISK_OK && !st->saved) {
        err = save_all(st, &info);
    }
    for (uint32_t i = 1; i < STATS_LEVELS && err == BRISK_OK && st->saved; i++) {
        err = st->levels[i].fresh.wall_ns != 0
                  ? stats_file_put(st->file, i, &st->levels[i].fresh, &info)
                  : BRISK_OK;
        st->levels[i].fresh.wall_ns = 0;
    }
    st->saved = err == BRISK_OK;
    say(st, err, &info);
}

/* --- taking ------------------------------------------------------------------------------- */

static brisk_err look(server *s, brisk_snapshot **ret)
{
    server_lock(s);
    brisk_err err = server_metrics_snapshot(s, ret);
    server_unlock(s);
    return err;
}

static void keep_second(stats_ring *st, const stats_sample *sample)
{
    (void)pthread_mutex_lock(&st->lock);
    st->ring[st->next] = *sample;
    st->next = (st->next + 1) % STATS_SAMPLES;
    st->count += st->count < STATS_SAMPLES ? 1 : 0;
    (void)pthread_mutex_unlock(&st->lock);
}

static bool take_second(stats_ring *st, brisk_snapshot *now)
{
    stats_sample sample;
    st->level = &st->levels[0];
    bool first = st->level->before == NULL;
    if (!first) {
        stats_make(st, now, &sample);
        keep_second(st, &sample);
    }
    stats_begin(st, now);
    return !first;
}

/* Of a level above; `renew`: its period may go on. */
static bool take_period(stats_ring *st, uint32_t level, brisk_snapshot *now, bool renew)
{
    stats_level *l = st->level = &st->levels[level];
    uint64_t period = brisk_snapshot_wall_ns(now) / second_ns / levels[level].step_s;
    bool over = l->before == NULL || period != l->period;
    bool made = l->before != NULL && (over || renew) && st->now_ns > l->before_ns;
    if (made) {
        stats_make(st, now, &l->fresh);
        keep_period(st, level, &l->fresh);
    }
    if (over) {
        stats_begin(st, now);
        l->period = period;
    }
    return made;
}

static bool take(stats_ring *st, bool renew)
{
    brisk_snapshot *now;
    if (look(st->server, &now) != BRISK_OK) {
        return false;
    }
    st->now_ns = brisk_clock_now_ns(st->server->clock);
    renew = renew || st->now_ns - st->renewed_ns >= st->every_ns;
    st->renewed_ns = renew ? st->now_ns : st->renewed_ns;
    bool taken = take_second(st, now);
    bool made = false;
    for (uint32_t i = 1; i < STATS_LEVELS; i++) {
        made = take_period(st, i, now, renew) || made;
    }
    brisk_snapshot_unref(now);
    if (made) {
        save(st);
    }
    return taken;
}

bool stats_take(stats_ring *st)
{
    return take(st, false);
}

void stats_finish(stats_ring *st)
{
    (void)take(st, true);
}

/* --- reading ------------------------------------------------------------------------------ */

/* Second `index` of st->count, the oldest first. */
static const stats_sample *second_at(const stats_ring *st, uint32_t index)
{
    return &st->ring[(st->next + STATS_SAMPLES - st->count + index) % STATS_SAMPLES];
}

bool stats_last(stats_ring *st, stats_sample *ret)
{
    (void)pthread_mutex_lock(&st->lock);
    bool any = st->count > 0;
    if (any) {
        *ret = *second_at(st, st->count - 1);
    }
    (void)pthread_mutex_unlock(&st->lock);
    return any;
}

void stats_sum(stats_ring *st, uint32_t seconds, stats_sums *ret)
{
    *ret = (stats_sums){0};
    (void)pthread_mutex_lock(&st->lock);
    uint32_t from = st->count > seconds ? st->count - seconds : 0;
    for (uint32_t i = from; i < st->count; i++) {
        const stats_sample *sample = second_at(st, i);
        ret->samples++;
        ret->responses += sample->responses;
        ret->server_errors += sample->server_errors;
        ret->jobs += sample->jobs;
        ret->job_faults += sample->job_faults;
    }
    (void)pthread_mutex_unlock(&st->lock);
}

stats_stretch stats_stretch_of(uint64_t step_s, uint64_t since_ns, uint64_t until_ns)
{
    stats_stretch ret = {.since_ns = since_ns, .until_ns = until_ns};
    for (uint32_t i = 0; i < STATS_LEVELS && (i == 0 || levels[i].step_s <= step_s); i++) {
        ret.level = i;
        ret.step_s = levels[i].step_s;
        ret.kept_s = (uint64_t)levels[i].step_s * levels[i].kept;
    }
    return ret;
}

static bool is_in(const stats_stretch *of, const stats_sample *sample)
{
    return sample->wall_ns > of->since_ns && (of->until_ns == 0 || sample->wall_ns <= of->until_ns);
}

static void each_second(stats_ring *st, const stats_stretch *of,
                        void (*fn)(void *ctx, const stats_sample *sample), void *ctx)
{
    (void)pthread_mutex_lock(&st->lock);
    for (uint32_t i = 0; i < st->count; i++) {
        const stats_sample *sample = second_at(st, i);
        if (is_in(of, sample)) {
            fn(ctx, sample);
        }
    }
    (void)pthread_mutex_unlock(&st->lock);
}

/* The longer one of memory and file. */
static bool find_period(stats_ring *st, uint32_t level, uint64_t period, stats_sample *ret)
{
    const stats_sample *mine = kept_in(st, slot_of(level, period));
    bool found = mine != NULL && stats_period(level, mine) == period;
    stats_sample theirs;
    if (found) {
        *ret = *mine;
    }
    if (st->file != NULL && stats_file_get(st->file, level, period, &theirs) &&
        (!found || theirs.length_ns > ret->length_ns)) {
        *ret = theirs;
        found = true;
    }
    return found;
}

void stats_each(stats_ring *st, const stats_stretch *of,
                void (*fn)(void *ctx, const stats_sample *sample), void *ctx)
{
    BRISK_ASSERT(of->level < STATS_LEVELS);
    if (of->level == 0) {
        each_second(st, of, fn, ctx);
        return;
    }
    uint32_t step = levels[of->level].step_s;
    uint32_t kept = levels[of->level].kept;
    uint64_t last = brisk_clock_wall_ns(st->server->clock) / second_ns / step;
    uint64_t first = last >= kept ? last - kept + 1 : 0;
    /* One more before: a sample may end a little after its period. */
    uint64_t from = of->since_ns / second_ns / step;
    from = from > 0 ? from - 1 : 0;
    uint64_t end = of->until_ns / second_ns / step;
    last = of->until_ns != 0 && end < last ? end : last;
    for (uint64_t p = from > first ? from : first; p <= last; p++) {
        stats_sample sample;
        if (find_period(st, of->level, p, &sample) && is_in(of, &sample)) {
            fn(ctx, &sample);
        }
    }
}

void stats_put_file(stats_ring *st, brisk_json *json)
{
    (void)pthread_mutex_lock(&st->lock);
    brisk_err err = st->file_err;
    brisk_errinfo info = st->file_info;
    (void)pthread_mutex_unlock(&st->lock);
    brisk_json_object_begin(json, "file");
    brisk_json_bool(json, "written", st->file != NULL && st->saved && err == BRISK_OK);
    brisk_json_str(json, "text", st->file == NULL ? "none is configured" : info.text);
    brisk_json_object_end(json);
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err stats_create(server *s, const stats_opts *opts, stats_ring **ret)
{
    stats_ring *st = s->alloc->acquire(s->alloc->ctx, sizeof *st, _Alignof(stats_ring));
    if (st == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(st, 0, offsetof(stats_ring, ring));
    st->alloc = s->alloc;
    st->server = s;
    st->every_ns = opts->every_ns != 0 ? opts->every_ns : STATS_EVERY_S * second_ns;
    int failed = pthread_mutex_init(&st->lock, NULL);
    BRISK_ASSERT(failed == 0);
    *ret = st;
    bool wanted = opts->file != NULL && opts->file[0] != '\0';
    return wanted ? stats_file_create(opts->file, s->alloc, &st->file) : BRISK_OK;
}

void stats_destroy(stats_ring *st)
{
    if (st != NULL) {
        for (uint32_t i = 0; i < STATS_LEVELS; i++) {
            brisk_snapshot_unref(st->levels[i].before);
        }
        stats_file_destroy(st->file);
        (void)pthread_mutex_destroy(&st->lock);
        st->alloc->release(st->alloc->ctx, st, sizeof *st, _Alignof(stats_ring));
    }
}
