/*
 * status.c -- statuses and their words, methods and their names.
 *
 * Sources: RFC 9110 (15), RFC 6585, RFC 7725, RFC 8297, RFC 8470.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/http/carrier.h"

typedef struct status {
    uint16_t number;
    const char *reason;
    const char *code; /* of errors */
    http_text line;   /* of HTTP/1.1 */
} status;

#define STATUS(number, reason, code)                                                               \
    {                                                                                              \
        number, reason, code, HTTP_TEXT_INIT("HTTP/1.1 " #number " " reason "\r\n")                \
    }

/* In order. */
static const status statuses[] = {
    STATUS(100, "Continue", ""),
    STATUS(101, "Switching Protocols", ""),
    STATUS(103, "Early Hints", ""),
    STATUS(200, "OK", ""),
    STATUS(201, "Created", ""),
    STATUS(202, "Accepted", ""),
    STATUS(203, "Non-Authoritative Information", ""),
    STATUS(204, "No Content", ""),
    STATUS(205, "Reset Content", ""),
    STATUS(206, "Partial Content", ""),
    STATUS(207, "Multi-Status", ""),
    STATUS(300, "Multiple Choices", ""),
    STATUS(301, "Moved Permanently", ""),
    STATUS(302, "Found", ""),
    STATUS(303, "See Other", ""),
    STATUS(304, "Not Modified", ""),
    STATUS(307, "Temporary Redirect", ""),
    STATUS(308, "Permanent Redirect", ""),
    STATUS(400, "Bad Request", "bad_request"),
    STATUS(401, "Unauthorized", "unauthorized"),
    STATUS(402, "Payment Required", "payment_required"),
    STATUS(403, "Forbidden", "forbidden"),
    STATUS(404, "Not Found", "not_found"),
    STATUS(405, "Method Not Allowed", "method_not_allowed"),
    STATUS(406, "Not Acceptable", "not_acceptable"),
    STATUS(408, "Request Timeout", "timeout"),
    STATUS(409, "Conflict", "conflict"),
    STATUS(410, "Gone", "gone"),
    STATUS(411, "Length Required", "length_required"),
    STATUS(412, "Precondition Failed", "precondition_failed"),
    STATUS(413, "Content Too Large", "too_large"),
    STATUS(414, "URI Too Long", "target_too_long"),
    STATUS(415, "Unsupported Media Type", "unsupported_media_type"),
    STATUS(416, "Range Not Satisfiable", "range_not_satisfiable"),
    STATUS(417, "Expectation Failed", "expectation_failed"),
    STATUS(421, "Misdirected Request", "misdirected"),
    STATUS(422, "Unprocessable Content", "unprocessable"),
    STATUS(423, "Locked", "locked"),
    STATUS(425, "Too Early", "too_early"),
    STATUS(426, "Upgrade Required", "upgrade_required"),
    STATUS(428, "Precondition Required", "precondition_required"),
    STATUS(429, "Too Many Requests", "too_many_requests"),
    STATUS(431, "Request Header Fields Too Large", "head_too_large"),
    STATUS(451, "Unavailable For Legal Reasons", "unavailable"),
    STATUS(500, "Internal Server Error", "internal"),
    STATUS(501, "Not Implemented", "not_implemented"),
    STATUS(502, "Bad Gateway", "bad_gateway"),
    STATUS(503, "Service Unavailable", "unavailable"),
    STATUS(504, "Gateway Timeout", "gateway_timeout"),
    STATUS(505, "HTTP Version Not Supported", "version"),
    STATUS(507, "Insufficient Storage", "no_storage"),
};

static int compare(const void *key, const void *item)
{
    return (int)*(const uint16_t *)key - (int)((const status *)item)->number;
}

static const status *find(uint16_t number)
{
    return bsearch(&number, statuses, sizeof statuses / sizeof statuses[0], sizeof statuses[0],
                   compare);
}

const char *http_reason(uint16_t number)
{
    const status *s = find(number);
    return s != NULL ? s->reason : "";
}

http_text http_status_line(uint16_t number)
{
    static const http_text ok = HTTP_TEXT_INIT("HTTP/1.1 200 OK\r\n");
    const status *s = number != 200 ? find(number) : NULL;
    return number == 200 ? ok : s != NULL ? s->line : HTTP_TEXT("");
}

const char *http_error_code(uint16_t number)
{
    const status *s = find(number);
    return s != NULL && s->code[0] != '\0' ? s->code : "error";
}

bool http_has_body(const exchange *x, uint16_t number)
{
    return x->method != HTTP_HEAD && number >= 200 && number != 204 && number != 304;
}

http_method http_method_of(http_text name)
{
    static const struct {
        http_text name;
        http_method method;
    } table[] = {
        {HTTP_TEXT_INIT("GET"), HTTP_GET},         {HTTP_TEXT_INIT("HEAD"), HTTP_HEAD},
        {HTTP_TEXT_INIT("POST"), HTTP_POST},       {HTTP_TEXT_INIT("PUT"), HTTP_PUT},
        {HTTP_TEXT_INIT("DELETE"), HTTP_DELETE},   {HTTP_TEXT_INIT("OPTIONS"), HTTP_OPTIONS},
        {HTTP_TEXT_INIT("PATCH"), HTTP_PATCH},     {HTTP_TEXT_INIT("PURGE"), HTTP_PURGE},
        {HTTP_TEXT_INIT("CONNECT"), HTTP_CONNECT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (name.size == table[i].name.size &&
            memcmp(name.data, table[i].name.data, name.size) == 0) {
            return table[i].method;
        }
    }
    return HTTP_OTHER;
}
