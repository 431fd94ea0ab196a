/*
 * bench_changepoint.c -- change points against public series and against noise; prints JSON.
 *
 *     BRISK_BENCH_MEASURE=FOLDER bench_changepoint [SERIES]
 *
 * public: TCPD series as people annotated them; F1 as TCPDBench computes it: 0 is a change point of
 * everybody, a margin of 5, precision against all annotations together, recall the mean over the
 * annotators.  Of a series of several dimensions the first is taken.  `none` is what reporting nothing
 * scores.  Without the corpus this part is left out.
 *
 * noise: SERIES (1000) steady ones of 120 values a kind, false alarms per 100; and as many with +5 %
 * from value 80 on, found within 5.  Seeded.  speed: steady normal noise.
 *
 * Source: G. J. J. van den Burg, C. K. I. Williams, An Evaluation of Change Point Detection Algorithms.
 */
#include <math.h>
#include <stdbool.h>

#include <brisk/clock.h>
#include <brisk/json.h>
#include <brisk/stats.h>

#include "../../tests/observe/series_noise.h"
#include "bench_corpus.h"

enum { SETS_MAX = 64, PEOPLE_MAX = 16, POINTS_MAX = 256, MARGIN = 5, COUNT = 120, STEP_AT = 80 };

typedef struct places {
    size_t count;
    size_t items[POINTS_MAX];
} places;

typedef struct set {
    char name[64];
    size_t people;
    places by[PEOPLE_MAX];
} set;

static set sets[SETS_MAX];
static size_t set_count;

/* {"name": {"person": [1, 2], ...}, ...} */
static void read_annotations(const char *text)
{
    int depth = 0;
    for (const char *c = text; *c != '\0'; c++) {
        depth += *c == '{' ? 1 : *c == '}' ? -1 : 0;
        if (*c == '"') {
            size_t length = strcspn(c + 1, "\"");
            if (depth == 1 && set_count < SETS_MAX) {
                set *s = &sets[set_count++];
                (void)snprintf(s->name, sizeof s->name, "%.*s", (int)(length & 63), c + 1);
            } else if (depth == 2 && set_count > 0 && sets[set_count - 1].people < PEOPLE_MAX) {
                sets[set_count - 1].people++;
            }
            c += length + 1;
        } else if (*c == '[') {
            places *p = &sets[set_count - 1].by[sets[set_count - 1].people - 1];
            p->items[p->count++] = 0; /* everybody's */
            for (c++; *c != ']' && *c != '\0';) {
                char *end = NULL;
                size_t at = strtoul(c, &end, 10);
                if (end == c) {
                    c++;
                } else if (p->count < POINTS_MAX) {
                    p->items[p->count++] = at;
                    c = end;
                }
            }
        }
    }
}

/* How many of `truth` have a place of their own in `found` within the margin, nearest first. */
static size_t hits(const places *truth, const places *found)
{
    bool taken[POINTS_MAX] = {false};
    size_t count = 0;
    for (size_t i = 0; i < truth->count; i++) {
        size_t best = POINTS_MAX;
        size_t least = MARGIN + 1;
        for (size_t j = 0; j < found->count; j++) {
            size_t a = truth->items[i];
            size_t b = found->items[j];
            size_t distance = a > b ? a - b : b - a;
            if (!taken[j] && distance < least) {
                least = distance;
                best = j;
            }
        }
        if (best < POINTS_MAX) {
            taken[best] = true;
            count++;
        }
    }
    return count;
}

static double f1_of(const set *s, const places *found)
{
    places all = {0};
    double recall = 0;
    for (size_t p = 0; p < s->people; p++) {
        recall += (double)hits(&s->by[p], found) / (double)s->by[p].count;
        for (size_t i = 0; i < s->by[p].count; i++) {
            size_t at = s->by[p].items[i];
            bool known = false;
            for (size_t k = 0; k < all.count; k++) {
                known = known || all.items[k] == at;
            }
            if (!known && all.count < POINTS_MAX) {
                size_t k = all.count++;
                for (; k > 0 && all.items[k - 1] > at; k--) {
                    all.items[k] = all.items[k - 1];
                }
                all.items[k] = at;
            }
        }
    }
    recall /= (double)s->people;
    double precision = (double)hits(&all, found) / (double)found->count;
    return 2 * precision * recall / (precision + recall);
}

static size_t read_series(const set *s, double **ret)
{
    char path[CORPUS_PATH];
    (void)snprintf(path, sizeof path, "tcpd/datasets/%.60s/%.60s.json", s->name, s->name);
    const char *text = corpus_text(path);
    const char *raw = text != NULL ? strstr(text, "\"series\"") : NULL;
    raw = raw != NULL ? strstr(raw, "\"raw\"") : NULL; /* the times have one, too */
    raw = raw != NULL ? strchr(raw, '[') : NULL;
    size_t count = 0;
    if (raw != NULL) {
        double *values = corpus_take(strlen(raw) * sizeof *values);
        for (const char *c = raw + 1; *c != ']' && *c != '\0';) {
            char *end = NULL;
            double value = strtod(c, &end);
            if (end == c) {
                c++;
            } else {
                values[count++] = value;
                c = end;
            }
        }
        *ret = values;
    }
    return count;
}

static places find(const double *values, size_t count)
{
    places found = {.count = 1};
    brisk_change_points changes;
    BRISK_ASSERT(brisk_change_points_find(values, count, NULL, &changes) == BRISK_OK);
    for (size_t i = 0; i < changes.count && found.count < POINTS_MAX; i++) {
        found.items[found.count++] = changes.items[i].at;
    }
    brisk_change_points_deinit(&changes);
    return found;
}

static void public_series(brisk_json *json)
{
    const char *text =
        getenv("BRISK_BENCH_MEASURE") != NULL ? corpus_text("tcpd/annotations.json") : NULL;
    if (text == NULL) {
        (void)fprintf(stderr, "public series left out: BRISK_BENCH_MEASURE names no corpus\n");
        return;
    }
    read_annotations(text);
    double sum = 0;
    double none = 0;
    size_t seen = 0;
    brisk_json_object_begin(json, "public");
    brisk_json_object_begin(json, "f1");
    for (size_t i = 0; i < set_count; i++) {
        double *values = NULL;
        size_t count = read_series(&sets[i], &values);
        if (count > 0) {
            places found = find(values, count);
            places nothing = {.count = 1};
            double f1 = f1_of(&sets[i], &found);
            brisk_json_double(json, sets[i].name, f1);
            sum += f1;
            none += f1_of(&sets[i], &nothing);
            seen++;
        }
    }
    brisk_json_object_end(json);
    brisk_json_u64(json, "series", seen);
    brisk_json_double(json, "mean_f1", sum / (double)seen);
    brisk_json_double(json, "mean_f1_none", none / (double)seen);
    brisk_json_object_end(json);
}

static void noise(brisk_json *json, uint64_t seed, size_t rounds)
{
    brisk_json_object_begin(json, "noise");
    brisk_json_u64(json, "seed", seed);
    brisk_json_u64(json, "series", rounds);
    for (int kind = 0; kind < NOISE_KINDS; kind++) {
        brisk_rng rng;
        brisk_rng_init(&rng, seed + (uint64_t)kind);
        size_t alarms = 0;
        size_t found = 0;
        for (size_t round = 0; round < rounds; round++) {
            double values[COUNT];
            noise_make(&rng, kind, values, COUNT, COUNT, 0);
            alarms += find(values, COUNT).count - 1;
            noise_make(&rng, kind, values, COUNT, STEP_AT, 0.05);
            places places_found = find(values, COUNT);
            places truth = {.count = 1, .items = {STEP_AT}};
            found += hits(&truth, &places_found);
        }
        brisk_json_object_begin(json, noise_name(kind));
        brisk_json_double(json, "false_alarms_per_100", 100 * (double)alarms / (double)rounds);
        brisk_json_double(json, "found_percent", 100 * (double)found / (double)rounds);
        brisk_json_object_end(json);
    }
    brisk_json_object_end(json);
}

static void speed(brisk_json *json)
{
    const brisk_clock *clock = brisk_clock_system();
    brisk_json_object_begin(json, "speed_ms");
    for (size_t count = 1000; count <= 1000000; count *= 10) {
        double *values = corpus_take(count * sizeof *values);
        brisk_rng rng;
        brisk_rng_init(&rng, count);
        noise_make(&rng, NOISE_NORMAL, values, count, count, 0);
        uint64_t begin = clock->now_ns(clock->ctx);
        (void)find(values, count);
        char name[32];
        (void)snprintf(name, sizeof name, "%zu", count);
        brisk_json_double(json, name, (double)(clock->now_ns(clock->ctx) - begin) / 1e6);
    }
    brisk_json_object_end(json);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    public_series(&json);
    noise(&json, 20261127, rounds);
    speed(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? 0 : 1;
}
