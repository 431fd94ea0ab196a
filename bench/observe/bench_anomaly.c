/*
 * bench_anomaly.c -- the detector on the Numenta Anomaly Benchmark's series; prints JSON.
 *
 *     BRISK_BENCH_MEASURE=FOLDER bench_anomaly
 *
 * The score is NAB's standard profile: a hit counts by a sigmoid of its place in the window (only the
 * earliest counts), a false alarm costs 0.11 times a sigmoid of its distance behind the last window, a
 * missed window 1; the first 15 % (of at most 5000 values) do not count; one threshold for all files,
 * the one that scores best; 0 is a detector that says nothing and 100 a perfect one.  A season is a day
 * by the time stamps, when the file has three.  `halves` tells what the threshold that is best for one
 * half of the files scores on the other.
 *
 * Source: A. Lavin, S. Ahmad, Evaluating Real-time Anomaly Detection Algorithms, ICMLA 2015.
 */
#include <math.h>
#include <stdbool.h>

#include <brisk/clock.h>
#include <brisk/json.h>
#include <brisk/stats.h>

#include "bench_corpus.h"

enum { FILES_MAX = 128, WINDOWS_MAX = 16, TEXT = 40, NAME = 128 };

static const double false_alarm = 0.11;

typedef struct series {
    char name[NAME];
    size_t count;
    char (*stamps)[TEXT];
    double *values;
    double *scores;
    size_t window_count;
    char windows[WINDOWS_MAX][2][TEXT];
} series;

typedef struct point {
    double score;
    double worth;
    int window; /* of all; -1: none */
} point;

static series files[FILES_MAX];
static size_t file_count;

static double sigmoid(double at)
{
    return at > 3 ? -1 : 2 / (1 + exp(5 * at)) - 1;
}

static double seconds_of(const char *stamp)
{
    int d[6] = {0};
    (void)sscanf(stamp, "%d-%d-%d %d:%d:%d", &d[0], &d[1], &d[2], &d[3], &d[4], &d[5]); /* NOLINT */
    double days = d[0] * 365.25 + d[1] * 30.4 + d[2]; /* only differences within a month are used */
    return ((days * 24 + d[3]) * 60 + d[4]) * 60 + d[5];
}

static uint32_t period_of(const series *s)
{
    double step = HUGE_VAL;
    for (size_t i = 1; i < s->count && i < 50; i++) {
        double gap = seconds_of(s->stamps[i]) - seconds_of(s->stamps[i - 1]);
        step = gap > 0 && gap < step ? gap : step;
    }
    double period = 86400 / step;
    return period > 12 && period < (double)s->count / 3 ? (uint32_t)(period + 0.5) : 0;
}

static void read_values(series *s, char *text)
{
    size_t lines = 0;
    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n' ? 1 : 0;
    }
    s->stamps = corpus_take((lines + 1) * sizeof *s->stamps);
    s->values = corpus_take((lines + 1) * sizeof *s->values);
    s->scores = corpus_take((lines + 1) * sizeof *s->scores);
    for (char *line = strchr(text, '\n'); line != NULL && line[1] != '\0';) {
        char *comma = strchr(++line, ',');
        if (comma == NULL) {
            break;
        }
        (void)snprintf(s->stamps[s->count], TEXT, "%.*s", (int)(comma - line), line);
        s->values[s->count++] = strtod(comma + 1, NULL);
        line = strchr(line, '\n');
    }
}

/* "folder/file.csv": [["begin", "end"], ...], ... */
static void read_labels(char *text)
{
    series *s = NULL;
    size_t stamps = 0;
    for (char *quote = strchr(text, '"'); quote != NULL; quote = strchr(quote + 1, '"')) {
        char *end = strchr(quote + 1, '"');
        if (end == NULL) {
            return;
        }
        *end = '\0';
        const char *word = quote + 1;
        if (strchr(word, '/') != NULL) {
            char path[CORPUS_PATH];
            (void)snprintf(path, sizeof path, "nab/data/%s", word);
            char *values = corpus_text(path);
            s = values != NULL && file_count < FILES_MAX ? &files[file_count++] : NULL;
            stamps = 0;
            if (s != NULL) {
                (void)snprintf(s->name, NAME, "%s", word);
                read_values(s, values);
            }
        } else if (s != NULL && stamps / 2 < WINDOWS_MAX) {
            (void)snprintf(s->windows[stamps / 2][stamps % 2], TEXT, "%.19s", word);
            s->window_count = ++stamps / 2;
        }
        quote = end;
    }
}

static void detect(series *s)
{
    brisk_detector *detector = NULL;
    brisk_detector_opts opts = {.period = period_of(s)};
    BRISK_ASSERT(brisk_detector_create(&opts, &detector) == BRISK_OK);
    for (size_t i = 0; i < s->count; i++) {
        brisk_verdict verdict;
        BRISK_ASSERT(brisk_detector_push(detector, s->values[i], &verdict) == BRISK_OK);
        s->scores[i] = verdict.fresh ? verdict.score : 0;
    }
    brisk_detector_destroy(detector);
}

/* What an alarm at each place of a file is worth; returns how many places count. */
static size_t judge_places(const series *s, int first_window, point *points)
{
    size_t quiet = (size_t)(0.15 * (double)(s->count < 5000 ? s->count : 5000));
    size_t next = 0;
    size_t kept = 0;
    bool inside = false;
    bool before = false; /* a window lies behind us */
    size_t begin = 0;
    size_t end = 0;
    double width = 0;
    double last_width = 0;
    size_t last_end = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!inside && next < s->window_count && strcmp(s->stamps[i], s->windows[next][0]) == 0) {
            inside = true;
            begin = i;
            for (end = i; end + 1 < s->count && strcmp(s->stamps[end], s->windows[next][1]) != 0;) {
                end++;
            }
            width = (double)(end - begin + 1);
            next++;
        }
        point p = {s->scores[i], 0, -1};
        if (inside) {
            p.worth = sigmoid(-(double)(end - i + 1) / width) / sigmoid(-1);
            p.window = first_window + (int)next - 1;
        } else {
            double at = before ? (double)(i - last_end) / (last_width - 1) : 4;
            p.worth = false_alarm * sigmoid(at);
        }
        if (i >= quiet) {
            points[kept++] = p;
        }
        if (inside && i == end) {
            inside = false;
            before = true;
            last_end = i;
            last_width = width;
        }
    }
    return kept;
}

static int compare_points(const void *a, const void *b)
{
    double x = ((const point *)a)->score;
    double y = ((const point *)b)->score;
    return (x < y) - (x > y);
}

/* Best threshold of the files with index % 2 in `halves` (bits), or the score of a given one. */
static double nab_score(unsigned halves, double *threshold, bool choose)
{
    size_t room = 0;
    for (size_t f = 0; f < file_count; f++) {
        room += files[f].count;
    }
    point *points = corpus_take(room * sizeof *points);
    size_t count = 0;
    int windows = 0;
    for (size_t f = 0; f < file_count; f++) {
        if ((halves >> (f % 2) & 1) != 0) {
            count += judge_places(&files[f], windows, points + count);
            windows += (int)files[f].window_count;
        }
    }
    qsort(points, count, sizeof *points, compare_points);
    static double got[FILES_MAX * WINDOWS_MAX];
    for (int i = 0; i < windows; i++) {
        got[i] = -1;
    }
    double sum = -windows;
    double best = sum;
    double best_at = HUGE_VAL;
    for (size_t i = 0; i < count && (choose || points[i].score >= *threshold); i++) {
        const point *p = &points[i];
        if (p->window < 0) {
            sum += p->worth;
        } else if (p->worth > got[p->window]) {
            sum += p->worth - got[p->window];
            got[p->window] = p->worth;
        }
        bool edge = i + 1 == count || points[i + 1].score < p->score;
        if (edge && sum > best) {
            best = sum;
            best_at = p->score;
        }
    }
    brisk_alloc_libc()->release(brisk_alloc_libc()->ctx, points, room * sizeof *points, 64);
    *threshold = choose ? best_at : *threshold;
    return 100 * ((choose ? best : sum) + windows) / (2.0 * windows);
}

int main(void)
{
    char *labels = corpus_text("nab/labels/combined_windows.json");
    if (labels == NULL) {
        (void)fprintf(stderr, "skipped: no nab/labels in the corpus\n");
        return CORPUS_SKIPPED;
    }
    read_labels(labels);
    const brisk_clock *clock = brisk_clock_system();
    uint64_t begin = clock->now_ns(clock->ctx);
    size_t values = 0;
    for (size_t f = 0; f < file_count; f++) {
        detect(&files[f]);
        values += files[f].count;
    }
    uint64_t took = clock->now_ns(clock->ctx) - begin;
    double threshold = 0;
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "files", file_count);
    brisk_json_u64(&json, "values", values);
    brisk_json_double(&json, "nab_score", nab_score(3, &threshold, true));
    brisk_json_double(&json, "threshold", threshold);
    brisk_json_array_begin(&json, "halves");
    for (unsigned half = 1; half <= 2; half++) {
        double chosen = 0;
        (void)nab_score(half, &chosen, true);
        brisk_json_double(&json, NULL, nab_score(3 - half, &chosen, false));
    }
    brisk_json_array_end(&json);
    double fixed = 2.7; /* brisk_detector_opts.threshold */
    brisk_json_double(&json, "score_at_default_threshold", nab_score(3, &fixed, false));
    brisk_json_double(&json, "ns_per_value", (double)took / (double)values);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? 0 : 1;
}
