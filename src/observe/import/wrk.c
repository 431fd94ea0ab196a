/*
 * wrk.c -- what wrk and wrk2 print:
 *
 *     Running 30s test @ http://127.0.0.1:8080/
 *       Thread Stats   Avg      Stdev     Max   +/- Stdev
 *         Latency   635.91us    0.89ms  12.92ms   93.69%
 *         Req/Sec    56.20k     8.07k   62.00k    86.54%
 *          50%  250.00us
 *     Requests/sec: 748868.53
 *
 * One series a figure, all named by the URL.  wrk's kilo of requests is 1000, that of bytes 1024.
 */
#include <string.h>

#include "observe/import/import.h"

enum { WORDS_MAX = 8, LINE_MAX = 512 };

typedef struct line {
    const char *words[WORDS_MAX];
    size_t sizes[WORDS_MAX];
    size_t count;
} line;

typedef struct scale {
    const char *suffix;
    double factor;
} scale;

static const scale times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
static const scale counts[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}};
static const scale sizes[] = {
    {"B", 1}, {"KB", 1024}, {"MB", 1048576}, {"GB", 1073741824}, {"TB", 1099511627776.0}};

/* "12.5ms": a number and one of `count` suffixes. */
static bool scaled(const char *text, size_t size, const scale *scales, size_t count, double *ret)
{
    size_t digits = 0;
    while (digits < size && strchr("0123456789.", text[digits]) != NULL && text[digits] != '\0') {
        digits++;
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(scales[i].suffix);
        if (size - digits == length && memcmp(text + digits, scales[i].suffix, length) == 0) {
            bool good = import_number(text, digits, ret);
            *ret *= good ? scales[i].factor : 1;
            return good;
        }
    }
    return false;
}

static line split(const char *text, size_t size)
{
    line l = {.count = 0};
    for (size_t at = 0; at < size && l.count < WORDS_MAX;) {
        while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r')) {
            at++;
        }
        size_t begin = at;
        while (at < size && text[at] != ' ' && text[at] != '\t' && text[at] != '\r') {
            at++;
        }
        if (at > begin) {
            l.words[l.count] = text + begin;
            l.sizes[l.count++] = at - begin;
        }
    }
    return l;
}

static bool is(const line *l, size_t word, const char *text)
{
    return word < l->count && l->sizes[word] == strlen(text) &&
           memcmp(l->words[word], text, l->sizes[word]) == 0;
}

typedef struct wrk {
    import_builder *b;
    char url[LINE_MAX];
    size_t at; /* of the line */
} wrk;

static brisk_err put(wrk *w, const char *statistic, const char *unit, double value)
{
    return import_add(w->b, &(import_key){w->url, statistic, unit}, value, NULL);
}

/* Latency or Req/Sec: average, standard deviation, largest. */
static brisk_err put_three(wrk *w, const line *l, const char *what, bool is_time)
{
    static const char *const names[] = {"mean", "stddev", "max"};
    brisk_err err = BRISK_OK;
    for (size_t i = 0; i < 3 && err == BRISK_OK; i++) {
        double value = 0;
        char statistic[64];
        (void)snprintf(statistic, sizeof statistic, "%s %s", what, names[i]);
        bool good = i + 1 < l->count && scaled(l->words[i + 1], l->sizes[i + 1],
                                               is_time ? times : counts, is_time ? 5 : 4, &value);
        err = good ? put(w, statistic, is_time ? "s" : "1/s", value)
                   : import_fail(w->b, BRISK_ERR_CORRUPT, w->at, "not a figure of wrk's");
    }
    return err;
}

/* "50%  250.00us" of the latency distribution. */
static brisk_err put_percentile(wrk *w, const line *l)
{
    double percent = 0;
    double value = 0;
    char statistic[64];
    if (!import_number(l->words[0], l->sizes[0] - 1, &percent) ||
        !scaled(l->words[1], l->sizes[1], times, 5, &value)) {
        return BRISK_OK; /* another table's: wrk2 prints several */
    }
    (void)snprintf(statistic, sizeof statistic, "latency p%g", percent);
    return put(w, statistic, "s", value);
}

static brisk_err read_line(wrk *w, const line *l)
{
    double value = 0;
    if (is(l, 0, "Running") && is(l, 3, "@") && l->count >= 5 && w->url[0] == '\0') {
        (void)snprintf(w->url, sizeof w->url, "%.*s", (int)(l->sizes[4] & 0x1ff), l->words[4]);
        return BRISK_OK;
    }
    if (w->url[0] == '\0') {
        return import_fail(w->b, BRISK_ERR_CORRUPT, w->at, "not \"Running TIME test @ URL\"");
    }
    if (is(l, 0, "Latency") && !is(l, 1, "Distribution")) {
        return put_three(w, l, "latency", true);
    }
    if (is(l, 0, "Req/Sec")) {
        return put_three(w, l, "requests a thread", false);
    }
    if (l->count == 2 && l->sizes[0] > 1 && l->words[0][l->sizes[0] - 1] == '%') {
        return put_percentile(w, l);
    }
    if (is(l, 0, "Requests/sec:") && l->count == 2 &&
        import_number(l->words[1], l->sizes[1], &value)) {
        return put(w, "requests", "1/s", value);
    }
    if (is(l, 0, "Transfer/sec:") && l->count == 2 &&
        scaled(l->words[1], l->sizes[1], sizes, 5, &value)) {
        return put(w, "transfer", "B/s", value);
    }
    if (is(l, 0, "Non-2xx") && l->count > 1 &&
        import_number(l->words[l->count - 1], l->sizes[l->count - 1], &value)) {
        return put(w, "failed", "1", value);
    }
    return BRISK_OK;
}

brisk_err import_wrk(import_builder *b)
{
    wrk w = {.b = b};
    brisk_err err = BRISK_OK;
    while (w.at < b->size && err == BRISK_OK) {
        const char *text = b->data + w.at;
        const char *end = memchr(text, '\n', b->size - w.at);
        size_t size = end != NULL ? (size_t)(end - text) : b->size - w.at;
        line l = split(text, size);
        err = l.count > 0 ? read_line(&w, &l) : BRISK_OK;
        w.at += size + 1;
    }
    return err;
}
