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
} status;

/* In order. */
static const status statuses[] = {
    {100, "Continue", ""},
    {101, "Switching Protocols", ""},
    {103, "Early Hints", ""},
    {200, "OK", ""},
    {201, "Created", ""},
    {202, "Accepted", ""},
    {203, "Non-Authoritative Information", ""},
    {204, "No Content", ""},
    {205, "Reset Content", ""},
    {206, "Partial Content", ""},
    {207, "Multi-Status", ""},
    {300, "Multiple Choices", ""},
    {301, "Moved Permanently", ""},
    {302, "Found", ""},
    {303, "See Other", ""},
    {304, "Not Modified", ""},
    {307, "Temporary Redirect", ""},
    {308, "Permanent Redirect", ""},
    {400, "Bad Request", "bad_request"},
    {401, "Unauthorized", "unauthorized"},
    {402, "Payment Required", "payment_required"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {406, "Not Acceptable", "not_acceptable"},
    {408, "Request Timeout", "timeout"},
    {409, "Conflict", "conflict"},
    {410, "Gone", "gone"},
    {411, "Length Required", "length_required"},
    {412, "Precondition Failed", "precondition_failed"},
    {413, "Content Too Large", "too_large"},
    {414, "URI Too Long", "target_too_long"},
    {415, "Unsupported Media Type", "unsupported_media_type"},
    {416, "Range Not Satisfiable", "range_not_satisfiable"},
    {417, "Expectation Failed", "expectation_failed"},
    {421, "Misdirected Request", "misdirected"},
    {422, "Unprocessable Content", "unprocessable"},
    {423, "Locked", "locked"},
    {425, "Too Early", "too_early"},
    {426, "Upgrade Required", "upgrade_required"},
    {428, "Precondition Required", "precondition_required"},
    {429, "Too Many Requests", "too_many_requests"},
    {431, "Request Header Fields Too Large", "head_too_large"},
    {451, "Unavailable For Legal Reasons", "unavailable"},
    {500, "Internal Server Error", "internal"},
    {501, "Not Implemented", "not_implemented"},
    {502, "Bad Gateway", "bad_gateway"},
    {503, "Service Unavailable", "unavailable"},
    {504, "Gateway Timeout", "gateway_timeout"},
    {505, "HTTP Version Not Supported", "version"},
    {507, "Insufficient Storage", "no_storage"},
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
