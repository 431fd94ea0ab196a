/*
 * field.h -- the grammar that fields about caching share: lists, numbers, dates.
 *
 * Everything reads borrowed bytes and allocates nothing.  Names of fields are lower case already
 * (exchange.h; upstreams' heads are made so when they are read).
 *
 * A list is cut at the commas outside of quoted strings; a quote that never ends takes the rest of
 * the line, so that nothing inside it can be taken for a directive.
 *
 * Threads: pure functions.
 * Source:  RFC 9110 5.6 (lists, quoted strings, dates), RFC 9111 1.2.2 (delta-seconds).
 */
#ifndef BRISK_SRC_DAEMON_PROXY_FIELD_H
#define BRISK_SRC_DAEMON_PROXY_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/http/exchange.h"

/* The fields of a head; borrowed. */
typedef struct proxy_fields {
    const http_field *items;
    uint32_t count;
} proxy_fields;

/* Greater numbers are this one (RFC 9111 1.2.2). */
enum { PROXY_SECONDS_MAX = INT32_MAX };

/* The first field of that name, or NULL. */
const http_text *proxy_field(proxy_fields fields, const char *name);
/* How many there are. */
uint32_t proxy_field_count(proxy_fields fields, const char *name);

/* Inline: of most fields the size decides already. */
static inline bool proxy_same(http_text a, http_text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* Without regard to case. */
bool proxy_like(http_text a, http_text b);
http_text proxy_trim(http_text text);

/* The elements of all fields of one name, in order; empty ones are passed over. */
typedef struct proxy_list {
    proxy_fields fields;
    const char *name;
    uint32_t at;
    http_text rest;
} proxy_list;

proxy_list proxy_list_of(proxy_fields fields, const char *name);
bool proxy_list_next(proxy_list *list, http_text *ret);
/* The next element of one line, cut off `rest`; it may be empty. */
bool proxy_element_next(http_text *rest, http_text *ret);
/* Does a list have this element, without regard to case? */
bool proxy_list_has(proxy_fields fields, const char *name, http_text element);

/* Digits and nothing else. */
bool proxy_seconds(http_text text, uint32_t *ret);
/* What a quoted string says, when it says it without escapes; anything else as it is. */
http_text proxy_unquote(http_text text);

/* Any of the three forms, as strictly as they are written, but for the case of letters.  Two-digit
 * years are those within 50 years of `now_s`.  Seconds since 1970, UTC. */
bool proxy_date(http_text text, int64_t now_s, int64_t *ret);
enum { PROXY_DATE_SIZE = 29 };
/* The preferred form; `seconds` in 0 .. the year 9999, others are cut to that. */
void proxy_date_write(int64_t seconds, char text[PROXY_DATE_SIZE + 1]);

#endif /* BRISK_SRC_DAEMON_PROXY_FIELD_H */
