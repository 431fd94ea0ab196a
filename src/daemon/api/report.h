/*
 * report.h -- answers that are written in the background: a table row each.
 *
 *     GET ─► the query (and a small body) is read ─► background thread: report.write ─► home ─► the answer
 *
 * A report's `write` gets the query and a text to fill; what it does may take a while, and may use files.
 *
 * Threads: write in the background's; the rest in the exchange's worker's.
 */
#ifndef BRISK_SRC_DAEMON_API_REPORT_H
#define BRISK_SRC_DAEMON_API_REPORT_H

#include <stdint.h>

#include <brisk/err.h>

#include "base/str.h"
#include "daemon/http/auth.h"
#include "daemon/http/exchange.h"
#include "daemon/http/routes.h"

typedef struct server server;

enum {
    REPORT_NAME_MAX = 256,
    REPORT_WORD_MAX = 64,
    REPORT_LIMIT_MAX = 10000,
    REPORT_BODY_MAX = 131072,
};

/* What was asked for; what was not is 0 or "". */
typedef struct report_query {
    server *server;
    char rest[REPORT_NAME_MAX]; /* of the path, behind the report's */
    char accept[REPORT_NAME_MAX];
    char name[REPORT_NAME_MAX];
    char metric[REPORT_NAME_MAX];
    char state[REPORT_WORD_MAX];
    char format[REPORT_WORD_MAX];
    char kind[REPORT_WORD_MAX];
    char against[REPORT_NAME_MAX];
    uint64_t since_ns; /* wall clock; of ?since= and ?until=, seconds since 1970 */
    uint64_t until_ns;
    uint64_t min_ns; /* of ?min_ms= */
    uint64_t limit;
    uint64_t step_s;
    uint64_t target; /* percent */
    http_method method;
    const char *body; /* of a change; body_size bytes */
    size_t body_size;
    char who[HTTP_WHO_MAX]; /* for the audit log */
    char from[REPORT_WORD_MAX];
} report_query;

/* What came of it besides the text. */
typedef struct report_result {
    uint16_t status;          /* 0: 200, or what the error is */
    const char *content_type; /* NULL: JSON; static storage */
    brisk_errinfo info;
} report_result;

typedef struct report {
    const char *name; /* of the route: "api.stats" */
    const char *path;
    http_right right;
    bool has_rest;    /* "/v1/traces/ID" is answered, too */
    uint32_t changes; /* methods besides GET; they need the right to change, and may have a body */
    brisk_err (*write)(const report_query *q, brisk_str *text, report_result *ret);
} report;

typedef struct report_routes report_routes;

/* Routes for `count` reports, which stay. */
BRISK_NODISCARD brisk_err report_routes_create(const report *reports, uint32_t count,
                                               const brisk_alloc *alloc, report_routes **ret);
void report_routes_destroy(report_routes *routes); /* NULL is accepted */
BRISK_NODISCARD brisk_err report_routes_add(const report_routes *routes, http_routes *to);

#endif /* BRISK_SRC_DAEMON_API_REPORT_H */
