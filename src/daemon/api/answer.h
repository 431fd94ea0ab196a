/*
 * answer.h -- the answers that files of the API have in common: JSON, errors with a code, numbers of a query.
 *
 * Threads: the exchange's worker.
 */
#ifndef BRISK_SRC_DAEMON_API_ANSWER_H
#define BRISK_SRC_DAEMON_API_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>

#include "base/str.h"
#include "daemon/http/exchange.h"

enum { API_TEXT_BYTES_MAX = 64 << 20, API_MESSAGE_MAX = 512 };

/* A field of an answer, for static tables. */
#define API_FIELD(name, value)                                                                     \
    {                                                                                              \
        {"" name, sizeof(name) - 1},                                                               \
        {                                                                                          \
            "" value, sizeof(value) - 1                                                            \
        }                                                                                          \
    }

/* {"error": {"code": ..., "message": ...}}; a longer message is cut. */
void api_fail(exchange *x, uint16_t status, const char *code, const char *format, ...)
    BRISK_PRINTF(4, 5);
/* Likewise of an error of the library's: 404, 400, 409, 413, 503, 507, 500. */
void api_fail_err(exchange *x, brisk_err err, const char *what);
/* 200 with the JSON that was written, no-store; an error when `err` is one or the text is not whole. */
void api_answer_text(exchange *x, brisk_err err, const brisk_str *text);
/* Likewise with a status. */
void api_answer_status(exchange *x, uint16_t status, const brisk_str *text);
/* No body: 204 and the like. */
void api_answer_empty(exchange *x, uint16_t status);

/*
 * A number of the query into *ret, which stays when there is none.  False: it is not one from `min` to
 * `max`, and that was answered.
 */
BRISK_NODISCARD bool api_query_u64(exchange *x, const char *name, uint64_t min, uint64_t max,
                                   uint64_t *ret);
/* A text of the query, percent-decoded and terminated; false: too long, and that was answered.  "" when there is none. */
BRISK_NODISCARD bool api_query_text(exchange *x, const char *name, char *text, size_t size);
/* In place: names and passwords in URLs become stars. */
void api_hide_passwords(char *text);

#endif /* BRISK_SRC_DAEMON_API_ANSWER_H */
