/*
 * traceparent.c -- see traceparent.h.
 */
#include "daemon/http/traceparent.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53 };

/* -1: it is no lower-case digit of base 16. */
static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Only digits, and not all of them 0. */
static bool is_id(const char *text, size_t size)
{
    bool any = false;
    for (size_t i = 0; i < size; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            return false;
        }
        any = any || digit != 0;
    }
    return any;
}

bool traceparent_read(http_text text, traceparent *ret)
{
    const char *t = text.data;
    if (text.size < TRACEPARENT_SIZE || t[2] != '-' || t[AT_SPAN - 1] != '-' ||
        t[AT_FLAGS - 1] != '-') {
        return false;
    }
    int high = digit_of(t[0]);
    int low = digit_of(t[1]);
    bool known = high == 0 && low == 0;
    /* A later version may have more, behind a '-'; ff is none. */
    bool sized = text.size == TRACEPARENT_SIZE || (!known && t[TRACEPARENT_SIZE] == '-');
    int flags[2] = {digit_of(t[AT_FLAGS]), digit_of(t[AT_FLAGS + 1])};
    if (high < 0 || low < 0 || (high == 15 && low == 15) || !sized || flags[0] < 0 ||
        flags[1] < 0 || !is_id(t + AT_TRACE, TRACE_ID_SIZE) || !is_id(t + AT_SPAN, SPAN_ID_SIZE)) {
        return false;
    }
    *ret = (traceparent){.flags = (uint8_t)(flags[0] * 16 + flags[1])};
    memcpy(ret->trace, t + AT_TRACE, TRACE_ID_SIZE);
    memcpy(ret->span, t + AT_SPAN, SPAN_ID_SIZE);
    return true;
}

void traceparent_span(uint64_t span, char ret[SPAN_ID_SIZE + 1])
{
    (void)snprintf(ret, SPAN_ID_SIZE + 1, "%016" PRIx64, span);
}

void traceparent_write(const traceparent *of, uint64_t span, char ret[TRACEPARENT_SIZE + 1])
{
    /* Of the flags only what this version knows. */
    (void)snprintf(ret, TRACEPARENT_SIZE + 1, "00-%.32s-%016" PRIx64 "-%02x", of->trace, span,
                   (unsigned)of->flags & TRACEPARENT_SAMPLED);
}
