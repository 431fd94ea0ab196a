/*
 * series_detector.c -- is this value normal?  Untrained, online, one value after another.
 *
 * Each value is measured in several ways ("voices"), every one a distance in robust units of the last
 * `window` values:
 *
 *     VALUE    from their median, in MADs
 *     JUMP     from the value before, in median absolute differences
 *     MEAN     the mean of the last SHORT values, from their median: small but lasting
 *     SEASON   the mean of the last SHORT differences from what the same time of earlier seasons had,
 *              where the season explains the series at all
 *
 * A distance says little by itself: some series leap daily.  So a voice's score is the rank of its
 * distance among its own distances so far: -log10 of the share that was as large.  That is the same
 * for every shape of noise, and its rate of false alarms is known.  What occurred at about the same
 * time of one of the last seasons, as large, is no news and scores nothing.  The score of a value is
 * that of its loudest voice; how many others agree is told as well.
 *
 * An event is one alarm: `fresh` is set while the score rises above all of the last HOLD values'.
 *
 * Beside that runs a two-sided CUSUM of the clipped distance of VALUE, for slow drifts.
 *
 * Cost: some thousand instructions a value (sorted windows are moved by memmove); no allocation after
 * creation.  Invariant: every sorted array holds exactly what its ring holds.
 *
 * Sources: V. Chandola, A. Banerjee, V. Kumar, Anomaly detection: a survey, 2009; V. Vovk et al.,
 *          Algorithmic Learning in a Random World, 2005 (ranks of distances: conformal); E. S. Page,
 *          Continuous inspection schemes, Biometrika 41, 1954 (CUSUM).
 */
#include <math.h>
#include <string.h>

#include <brisk/stats.h>

#include "base/assert.h"
#include "observe/stats/series.h"

enum {
    WINDOW = 800,
    HISTORY = 4096,
    SHORT = 10,
    HOLD = 100,
    SEASONS = 7,        /* of whose values the median is expected */
    SEASONS_NEWS = 3,   /* in which an equal event is looked for */
    SEASON_MARGIN = 6,  /* so much earlier or later */
    WARM = 30,          /* values before anything is measured */
    RANKED_MIN = 100,   /* distances before a rank means something */
    WINDOW_MAX = 65536, /* of all sizes */
};

static const double season_explains = 0.7; /* of the mean distance from the median, or it is none */
static const double news = 1.2;            /* a fifth more than in earlier seasons is news */
static const double value_max = 1e150;     /* larger ones are cut: their differences stay finite */
static const double score_notable = 2;     /* one in a hundred */
static const double cusum_slack = 0.5;
static const double cusum_clip = 3;

typedef enum voice { VOICE_VALUE = 0, VOICE_JUMP, VOICE_MEAN, VOICE_SEASON, VOICES } voice;

/* The last `capacity` values; ring_back(ring, 1) is the newest. */
typedef struct ring {
    double *items;
    size_t capacity;
    uint64_t count; /* ever */
} ring;

/* A ring and its values in order. */
typedef struct ordered {
    ring ring;
    double *sorted;
    size_t count;
} ordered;

struct brisk_detector {
    const brisk_alloc *alloc;
    brisk_detector_opts opts;
    uint64_t seen;
    double lowest;
    double highest;
    ring values;       /* SEASONS periods, at least the window */
    ordered window;    /* values */
    ordered jumps;     /* absolute */
    ordered rests;     /* absolute distances from the season */
    ring rests_signed; /* SHORT */
    ordered history[VOICES];
    ring distances[VOICES]; /* SEASONS_NEWS periods */
    ring scores;            /* HOLD */
    double cusum_up;
    double cusum_down;
    uint64_t lasting; /* values in a row at or above the threshold */
};

static double ring_back(const ring *r, uint64_t back)
{
    return r->items[(r->count - back) % r->capacity];
}

static void ring_put(ring *r, double value)
{
    r->items[r->count % r->capacity] = value;
    r->count++;
}

/* Index of the first sorted value that is not less. */
static size_t ordered_find(const ordered *o, double value)
{
    size_t low = 0;
    size_t high = o->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        bool less = o->sorted[middle] < value;
        low = less ? middle + 1 : low;
        high = less ? high : middle;
    }
    return low;
}

static void ordered_put(ordered *o, double value)
{
    if (o->count == o->ring.capacity) {
        size_t at = ordered_find(o, ring_back(&o->ring, o->ring.capacity));
        BRISK_ASSERT(at < o->count);
        o->count--;
        memmove(o->sorted + at, o->sorted + at + 1, (o->count - at) * sizeof(double));
    }
    size_t at = ordered_find(o, value);
    memmove(o->sorted + at + 1, o->sorted + at, (o->count - at) * sizeof(double));
    o->sorted[at] = value;
    o->count++;
    ring_put(&o->ring, value);
}

static double ordered_median(const ordered *o)
{
    return series_quantile_sorted(o->sorted, o->count, 0.5);
}

/* Median distance from `centre`: from it outwards, the nearer side first. */
static double ordered_mad(const ordered *o, double centre)
{
    size_t high = ordered_find(o, centre);
    size_t low = high;
    double distance = 0;
    for (size_t i = 0; i <= o->count / 2 && (low > 0 || high < o->count); i++) {
        double below = low > 0 ? centre - o->sorted[low - 1] : HUGE_VAL;
        double above = high < o->count ? o->sorted[high] - centre : HUGE_VAL;
        distance = fmin(below, above);
        low -= below <= above ? 1 : 0;
        high += below <= above ? 0 : 1;
    }
    return 1.4826 * distance;
}

/* -log10 of the share of earlier distances that were as large; then this one is one of them. */
static double surprise(ordered *history, double distance)
{
    size_t n = history->count;
    double larger = (double)(n - ordered_find(history, distance));
    ordered_put(history, distance);
    return n < RANKED_MIN ? 0 : -log10((larger + 1) / ((double)n + 1));
}

/* Did one of the last seasons have as much at about this time? */
static bool is_seasonal(const brisk_detector *d, voice v, double distance)
{
    const ring *r = &d->distances[v];
    uint64_t period = d->opts.period;
    for (uint64_t s = 1; period > 0 && s <= SEASONS_NEWS; s++) {
        /* r's newest is the value before this one */
        if (r->count < s * period + SEASON_MARGIN) {
            break;
        }
        for (uint64_t i = 0; i <= (uint64_t)2 * SEASON_MARGIN; i++) {
            if (ring_back(r, s * period + SEASON_MARGIN - i) >= distance / news) {
                return true;
            }
        }
    }
    return false;
}

/* What the same time of earlier seasons had; false while there are not two. */
static bool season_expected(const brisk_detector *d, double *ret)
{
    double earlier[SEASONS];
    size_t count = 0;
    uint64_t period = d->opts.period;
    for (uint64_t s = 1; period > 0 && s <= SEASONS && s * period <= d->values.count; s++) {
        earlier[count++] = ring_back(&d->values, s * period);
    }
    if (count < 2) {
        return false;
    }
    series_sort(earlier, count);
    *ret = series_quantile_sorted(earlier, count, 0.5);
    return true;
}

static double mean_back(const ring *r, size_t count)
{
    double sum = 0;
    for (size_t i = 1; i <= count; i++) {
        sum += ring_back(r, i);
    }
    return sum / (double)count;
}

/* Score of the season's voice; 0 while or where there is no season. */
static double season_score(brisk_detector *d, double value, double median, double grain)
{
    double expected;
    if (!season_expected(d, &expected)) {
        return 0;
    }
    ordered *rests = &d->rests;
    double score = 0;
    ring_put(&d->rests_signed, value - expected);
    if (rests->count > WARM) {
        size_t recent = d->rests_signed.count < SHORT ? (size_t)d->rests_signed.count : SHORT;
        double spread = 1.4826 * ordered_median(rests) + grain;
        double around = 0;
        for (size_t i = 0; i < d->window.count; i++) {
            around += fabs(d->window.sorted[i] - median);
        }
        around /= (double)d->window.count;
        score =
            surprise(&d->history[VOICE_SEASON], fabs(mean_back(&d->rests_signed, recent)) / spread);
        score = mean_back(&rests->ring, rests->count) < season_explains * around ? score : 0;
    }
    ordered_put(rests, fabs(value - expected));
    return score;
}

static void cusum(brisk_detector *d, double z)
{
    double clipped = fmin(fmax(z, -cusum_clip), cusum_clip);
    d->cusum_up = fmax(0, d->cusum_up + clipped - cusum_slack);
    d->cusum_down = fmax(0, d->cusum_down - clipped - cusum_slack);
}

/* All voices about one value; the newest of d->values is the one before it. */
static void listen(brisk_detector *d, double value, brisk_verdict *v)
{
    double median = ordered_median(&d->window);
    double grain = 1e-3 * (d->highest - d->lowest) + 1e-12;
    double spread = ordered_mad(&d->window, median) + grain;
    double jump = 1.4826 * ordered_median(&d->jumps) + grain;
    double mean = (mean_back(&d->values, SHORT - 1) * (SHORT - 1) + value) / SHORT;
    double distances[] = {fabs(value - median) / spread,
                          fabs(value - ring_back(&d->values, 1)) / jump,
                          fabs(mean - median) / spread};
    double scores[VOICES];
    for (int i = 0; i < VOICE_SEASON; i++) {
        scores[i] = surprise(&d->history[i], distances[i]);
        scores[i] = is_seasonal(d, (voice)i, distances[i]) ? 0 : scores[i];
        ring_put(&d->distances[i], distances[i]);
    }
    scores[VOICE_SEASON] = season_score(d, value, median, grain);
    for (int i = 0; i < VOICES; i++) {
        v->score = fmax(v->score, scores[i]);
        v->voices += scores[i] >= score_notable ? 1 : 0;
    }
    v->expected = median;
    v->z = (value - median) / spread; /* at most value_max / 1e-12 */
    cusum(d, v->z);
}

/* From a score to an alarm. */
static void judge(brisk_detector *d, brisk_verdict *v)
{
    double before = 0;
    for (uint64_t i = 1; i <= d->scores.count && i <= d->scores.capacity; i++) {
        before = fmax(before, ring_back(&d->scores, i));
    }
    v->fresh = before <= score_notable || v->score > before;
    ring_put(&d->scores, v->score);
    d->lasting = v->score >= d->opts.threshold ? d->lasting + 1 : 0;
    v->anomalous = d->lasting >= d->opts.min_duration && v->voices >= d->opts.voices;
    v->drift = d->cusum_up >= d->cusum_down ? d->cusum_up : -d->cusum_down;
}

brisk_err brisk_detector_push(brisk_detector *d, double value, brisk_verdict *ret)
{
    if (!isfinite(value)) {
        return BRISK_ERR_INVALID;
    }
    value = fmin(fmax(value, -value_max), value_max);
    brisk_verdict v = {.expected = value};
    if (d->seen >= WARM) {
        listen(d, value, &v);
        judge(d, &v);
    } else if (d->opts.period > 0) {
        for (int i = 0; i < VOICE_SEASON; i++) {
            ring_put(&d->distances[i], 0);
        }
    }
    if (d->seen > 0) {
        ordered_put(&d->jumps, fabs(value - ring_back(&d->values, 1)));
    }
    ordered_put(&d->window, value);
    ring_put(&d->values, value);
    d->lowest = d->seen == 0 ? value : fmin(d->lowest, value);
    d->highest = d->seen == 0 ? value : fmax(d->highest, value);
    d->seen++;
    *ret = v;
    return BRISK_OK;
}

static bool ring_make(const brisk_alloc *alloc, ring *r, size_t capacity)
{
    r->capacity = capacity;
    r->items = series_take(alloc, capacity, sizeof *r->items);
    return r->items != NULL;
}

static bool ordered_make(const brisk_alloc *alloc, ordered *o, size_t capacity)
{
    o->sorted = series_take(alloc, capacity, sizeof *o->sorted);
    return ring_make(alloc, &o->ring, capacity) && o->sorted != NULL;
}

static void ring_free(const brisk_alloc *alloc, ring *r)
{
    series_give(alloc, r->items, r->capacity, sizeof *r->items);
}

static void ordered_free(const brisk_alloc *alloc, ordered *o)
{
    series_give(alloc, o->sorted, o->ring.capacity, sizeof *o->sorted);
    ring_free(alloc, &o->ring);
}

static bool detector_make(brisk_detector *d)
{
    const brisk_alloc *a = d->alloc;
    size_t window = d->opts.window;
    size_t period = d->opts.period;
    size_t values = SEASONS * period > SHORT ? SEASONS * period : SHORT;
    size_t distances = period > 0 ? SEASONS_NEWS * period + SEASON_MARGIN : 1;
    bool good = ring_make(a, &d->values, values) && ordered_make(a, &d->window, window) &&
                ordered_make(a, &d->jumps, window) && ordered_make(a, &d->rests, window) &&
                ring_make(a, &d->rests_signed, SHORT) && ring_make(a, &d->scores, HOLD);
    for (int i = 0; i < VOICES && good; i++) {
        good = ordered_make(a, &d->history[i], d->opts.history) &&
               ring_make(a, &d->distances[i], distances);
    }
    return good;
}

brisk_err brisk_detector_create(const brisk_detector_opts *opts, brisk_detector **ret)
{
    brisk_detector_opts o = opts != NULL ? *opts : (brisk_detector_opts){0};
    o.alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    o.window = o.window != 0 ? o.window : WINDOW;
    o.history = o.history != 0 ? o.history : HISTORY;
    o.threshold = o.threshold > 0 ? o.threshold : 2.7;
    o.min_duration = o.min_duration != 0 ? o.min_duration : 1;
    if (o.window < WARM || o.window > WINDOW_MAX || o.history < RANKED_MIN ||
        o.history > WINDOW_MAX || o.period > WINDOW_MAX || !isfinite(o.threshold) ||
        (o.period > 0 && o.period <= 2 * SEASON_MARGIN) || o.voices > VOICES) {
        return BRISK_ERR_INVALID;
    }
    brisk_detector *d = series_take(o.alloc, 1, sizeof *d);
    if (d == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *d = (brisk_detector){.alloc = o.alloc, .opts = o};
    if (!detector_make(d)) {
        brisk_detector_destroy(d);
        return BRISK_ERR_NOMEM;
    }
    *ret = d;
    return BRISK_OK;
}

void brisk_detector_destroy(brisk_detector *d)
{
    if (d == NULL) {
        return;
    }
    for (int i = 0; i < VOICES; i++) {
        ordered_free(d->alloc, &d->history[i]);
        ring_free(d->alloc, &d->distances[i]);
    }
    ring_free(d->alloc, &d->values);
    ordered_free(d->alloc, &d->window);
    ordered_free(d->alloc, &d->jumps);
    ordered_free(d->alloc, &d->rests);
    ring_free(d->alloc, &d->rests_signed);
    ring_free(d->alloc, &d->scores);
    series_give(d->alloc, d, 1, sizeof *d);
}
