/*
 * answer.c -- common answers of the API, see answer.h.
 */
#include "daemon/api/answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <brisk/json.h>

enum { QUERY_BYTES_MAX = 16384 };

static const http_field json_fields[] = {
    API_FIELD("content-type", "application/json"),
    API_FIELD("cache-control", "no-store"),
};

static void answer_json(exchange *x, uint16_t status, const char *data, size_t size)
{
    http_answer answer = {
        .status = status,
        .fields = json_fields,
        .field_count = 2,
        .body = {.kind = HTTP_BODY_BYTES, .data = data, .size = size},
        .length = (int64_t)size,
    };
    exchange_answer(x, &answer);
}

void api_fail(exchange *x, uint16_t status, const char *code, const char *format, ...)
{
    static const char plain[] = "{\"error\":{\"code\":\"failed\",\"message\":\"\"}}\n";
    char message[API_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, NULL, API_TEXT_BYTES_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_object_begin(&json, "error");
    brisk_json_str(&json, "code", code);
    brisk_json_str(&json, "message", message);
    brisk_json_object_end(&json);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        answer_json(x, status, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        answer_json(x, status, plain, sizeof plain - 1);
    }
    brisk_str_deinit(&text);
}

void api_fail_err(exchange *x, brisk_err err, const char *what)
{
    static const struct {
        brisk_err err;
        uint16_t status;
        const char *code;
    } rows[] = {
        {BRISK_ERR_NOT_FOUND, 404, "not_found"},
        {BRISK_ERR_INVALID, 400, "invalid"},
        {BRISK_ERR_CORRUPT, 500, "damaged"},
        {BRISK_ERR_CONFLICT, 409, "conflict"},
        {BRISK_ERR_LIMIT, 413, "too_large"},
        {BRISK_ERR_DECLINED, 413, "declined"},
        {BRISK_ERR_FULL, 507, "full"},
        {BRISK_ERR_NOMEM, 503, "no_memory"},
        {BRISK_ERR_UNSUPPORTED, 501, "unsupported"},
        {BRISK_ERR_PERMISSION, 403, "forbidden"},
        {BRISK_ERR_DEADLINE, 504, "deadline"},
        {BRISK_ERR_CANCELLED, 409, "cancelled"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].err == err) {
            api_fail(x, rows[i].status, rows[i].code, "%s: %s", what, brisk_err_message(err));
            return;
        }
    }
    api_fail(x, 500, "failed", "%s: %s", what, brisk_err_message(err));
}

void api_answer_status(exchange *x, uint16_t status, const brisk_str *text)
{
    if (brisk_str_err(text) != BRISK_OK) {
        api_fail_err(x, brisk_str_err(text) == BRISK_ERR_LIMIT ? BRISK_ERR_IO : BRISK_ERR_NOMEM,
                     "the answer");
        return;
    }
    answer_json(x, status, brisk_str_text(text), brisk_str_size(text));
}

void api_answer_text(exchange *x, brisk_err err, const brisk_str *text)
{
    if (err != BRISK_OK && brisk_str_err(text) == BRISK_OK) {
        api_fail_err(x, err, "the answer");
        return;
    }
    api_answer_status(x, 200, text);
}

void api_answer_empty(exchange *x, uint16_t status)
{
    http_answer answer = {.status = status, .body = {.kind = HTTP_BODY_NONE}};
    exchange_answer(x, &answer);
}

/* --- queries ------------------------------------------------------------------------------ */

static brisk_err query(exchange *x, const char *name, char *text, size_t size)
{
    brisk_arena *arena = NULL;
    brisk_arena_opts opts = {.chunk_bytes = 4096};
    brisk_err err = BRISK_OK;
    http_text value;
    text[0] = '\0';
    if (x->query.size == 0) {
        return BRISK_OK;
    }
    if (x->query.size > QUERY_BYTES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    err = brisk_arena_create(&opts, &arena);
    if (err == BRISK_OK && exchange_query(x, name, arena, &value)) {
        if (value.size >= size || memchr(value.data, '\0', value.size) != NULL) {
            err = BRISK_ERR_LIMIT;
        } else {
            memcpy(text, value.data, value.size);
            text[value.size] = '\0';
        }
    }
    brisk_arena_destroy(arena);
    return err;
}

bool api_query_text(exchange *x, const char *name, char *text, size_t size)
{
    brisk_err err = query(x, name, text, size);
    if (err == BRISK_ERR_LIMIT) {
        api_fail(x, 400, "invalid", "'%s' is no text of less than %zu bytes", name, size);
    } else if (err != BRISK_OK) {
        api_fail_err(x, err, "the query");
    }
    return err == BRISK_OK;
}

bool api_query_u64(exchange *x, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
    char text[32];
    if (!api_query_text(x, name, text, sizeof text)) {
        return false;
    }
    if (text[0] == '\0') {
        return true;
    }
    uint64_t value = 0;
    bool good = true;
    for (const char *at = text; *at != '\0' && good; at++) {
        unsigned digit = (unsigned)(*at - '0');
        good = digit <= 9 && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, digit, &value);
    }
    if (!good || value < min || value > max) {
        api_fail(x, 400, "invalid", "'%s' is a number from %" PRIu64 " to %" PRIu64, name, min,
                 max);
        return false;
    }
    *ret = value;
    return true;
}

/* What stands between "://" and '@' is a name and a password. */
void api_hide_passwords(char *text)
{
    for (char *at = strstr(text, "://"); at != NULL; at = strstr(at, "://")) {
        at += 3;
        char *mark =
            memrchr(at, '@', strcspn(at, "/ \t\"',")); /* the last: others are the password's */
        if (mark != NULL) {
            memset(at, '*', (size_t)(mark - at));
        }
    }
}
