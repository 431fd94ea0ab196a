/*
 * k6.c -- the metrics of a k6 summary, in its two shapes:
 *
 *     --summary-export   {"metrics": {"http_req_duration": {"avg": 1.2, "p(95)": 3}, ...}}
 *     handleSummary      {"metrics": {"x": {"type": "trend", "contains": "time", "values": {...}}}}
 *
 * Units: k6 measures time in milliseconds and data in bytes.  "contains" says which a metric is; the
 * first shape does not, so only k6's own metrics have a unit there.
 */
#include <string.h>

#include "observe/import/import.h"
#include "observe/import/json_read.h"

enum { FIGURES_MAX = 64 };

typedef struct metric {
    char name[JSON_TEXT_MAX];
    char contains[16];
    size_t count;
    struct {
        char statistic[24];
        double value;
    } figures[FIGURES_MAX];
} metric;

static bool is_one_of(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The unit of a metric's own values; "" when nobody says. */
static const char *unit_of(const metric *m)
{
    static const char *const times[] = {"http_req_duration",
                                        "http_req_blocked",
                                        "http_req_connecting",
                                        "http_req_tls_handshaking",
                                        "http_req_sending",
                                        "http_req_waiting",
                                        "http_req_receiving",
                                        "iteration_duration",
                                        "group_duration",
                                        "grpc_req_duration",
                                        "ws_connecting",
                                        "ws_session_duration",
                                        "ws_ping"};
    static const char *const data[] = {"data_sent", "data_received"};
    size_t base = strcspn(m->name, "{"); /* name{tag:value} */
    char name[64] = "";
    if (base < sizeof name) {
        memcpy(name, m->name, base);
        name[base] = '\0';
    }
    if (strcmp(m->contains, "time") == 0 || is_one_of(name, times, sizeof times / sizeof *times)) {
        return "ms";
    }
    return strcmp(m->contains, "data") == 0 || is_one_of(name, data, 2) ? "B" : "";
}

static brisk_err put_metric(import_builder *b, const metric *m)
{
    brisk_err err = BRISK_OK;
    const char *own = unit_of(m);
    for (size_t i = 0; i < m->count && err == BRISK_OK; i++) {
        const char *statistic = m->figures[i].statistic;
        bool is_rate = strcmp(statistic, "rate") == 0;
        bool is_number = strcmp(statistic, "passes") == 0 || strcmp(statistic, "fails") == 0;
        bool counted = strcmp(statistic, "count") == 0 && own[0] == '\0';
        const char *unit = is_number || counted ? "1" : own;
        /* of a counter a rate is per second, of a rate it is a share: which, only its company says */
        bool counter = false;
        for (size_t k = 0; k < m->count; k++) {
            counter = counter || strcmp(m->figures[k].statistic, "count") == 0;
        }
        if (is_rate) {
            unit = !counter ? "1" : strcmp(own, "B") == 0 ? "B/s" : "1/s";
        }
        err = import_add(b, &(import_key){m->name, statistic, unit}, m->figures[i].value, NULL);
    }
    return err;
}

/* A metric's members, its brace read. */
static brisk_err read_metric(import_builder *b, json_reader *r, metric *m)
{
    uint32_t inside = r->depth;
    m->count = 0;
    m->contains[0] = '\0';
    memcpy(m->name, r->key, sizeof m->name);
    for (;;) {
        json_event event = json_next(r);
        if (event <= JSON_END) {
            return import_fail(b, BRISK_ERR_CORRUPT, r->at, "not JSON");
        }
        if (event == JSON_OBJECT_END && r->depth < inside) {
            return put_metric(b, m);
        }
        bool values = event == JSON_OBJECT && strcmp(r->key, "values") == 0;
        if (values && r->depth == inside + 1) {
            continue; /* its numbers come as the metric's own would */
        }
        if ((event == JSON_OBJECT || event == JSON_ARRAY) && !json_skip(r, event)) {
            return import_fail(b, BRISK_ERR_CORRUPT, r->at, "not JSON");
        }
        if (event == JSON_STRING && strcmp(r->key, "contains") == 0) {
            (void)snprintf(m->contains, sizeof m->contains, "%.15s", r->text);
        } else if (event == JSON_NUMBER && strlen(r->key) < sizeof m->figures->statistic) {
            if (m->count == FIGURES_MAX) {
                return import_fail(b, BRISK_ERR_LIMIT, r->at, "a metric of too many figures");
            }
            memcpy(m->figures[m->count].statistic, r->key, strlen(r->key) + 1);
            m->figures[m->count++].value = r->number;
        }
    }
}

brisk_err import_k6(import_builder *b)
{
    json_reader r;
    json_reader_init(&r, b->data, b->size);
    metric m;
    bool inside = false;
    json_event event = JSON_NULL;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && (event = json_next(&r)) > JSON_END) {
        if (r.depth == 2 && event == JSON_OBJECT) {
            inside = strcmp(r.key, "metrics") == 0;
        } else if (r.depth == 1 && event == JSON_OBJECT_END) {
            inside = false;
        } else if (r.depth == 3 && event == JSON_OBJECT && inside) {
            err = read_metric(b, &r, &m);
        }
    }
    return err == BRISK_OK && event == JSON_BAD
               ? import_fail(b, BRISK_ERR_CORRUPT, r.at, "not JSON")
               : err;
}
