/*
 * field.c -- see field.h.
 *
 * Days are counted with the formula of a proleptic Gregorian calendar whose year begins in March, so
 * that the leap day is the last one and needs no case of its own.
 *
 * Source: RFC 9110 5.6.7; H. Hinnant, "chrono-compatible low-level date algorithms" (the formula).
 */
#include "daemon/proxy/field.h"

#include <stdio.h>
#include <string.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

const http_text *proxy_field(proxy_fields fields, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 0; i < fields.count; i++) {
        const http_text *n = &fields.items[i].name;
        if (n->size == size && memcmp(n->data, name, size) == 0) {
            return &fields.items[i].value;
        }
    }
    return NULL;
}

uint32_t proxy_field_count(proxy_fields fields, const char *name)
{
    size_t size = strlen(name);
    uint32_t count = 0;
    for (uint32_t i = 0; i < fields.count; i++) {
        const http_text *n = &fields.items[i].name;
        count += n->size == size && memcmp(n->data, name, size) == 0 ? 1 : 0;
    }
    return count;
}

bool proxy_like(http_text a, http_text b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

http_text proxy_trim(http_text text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

bool proxy_element_next(http_text *rest, http_text *ret)
{
    if (rest->size == 0) {
        return false;
    }
    bool quoted = false;
    size_t i = 0;
    for (; i < rest->size; i++) {
        char c = rest->data[i];
        if (quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            break;
        }
    }
    size_t size = i < rest->size ? i : rest->size;
    *ret = proxy_trim((http_text){rest->data, size});
    size_t used = i < rest->size ? i + 1 : rest->size;
    rest->data += used;
    rest->size -= used;
    return true;
}

proxy_list proxy_list_of(proxy_fields fields, const char *name)
{
    return (proxy_list){.fields = fields, .name = name};
}

bool proxy_list_next(proxy_list *list, http_text *ret)
{
    size_t size = strlen(list->name);
    for (;;) {
        http_text item;
        while (proxy_element_next(&list->rest, &item)) {
            if (item.size > 0) {
                *ret = item;
                return true;
            }
        }
        for (;; list->at++) {
            if (list->at >= list->fields.count) {
                return false;
            }
            const http_field *f = &list->fields.items[list->at];
            if (f->name.size == size && memcmp(f->name.data, list->name, size) == 0) {
                list->rest = f->value;
                list->at++;
                break;
            }
        }
    }
}

bool proxy_list_has(proxy_fields fields, const char *name, http_text element)
{
    proxy_list list = proxy_list_of(fields, name);
    http_text item;
    while (proxy_list_next(&list, &item)) {
        if (proxy_like(item, element)) {
            return true;
        }
    }
    return false;
}

bool proxy_seconds(http_text text, uint32_t *ret)
{
    if (text.size == 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i])) {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
        value = value < PROXY_SECONDS_MAX ? value : PROXY_SECONDS_MAX;
    }
    *ret = (uint32_t)value;
    return true;
}

http_text proxy_unquote(http_text text)
{
    if (text.size < 2 || text.data[0] != '"' || text.data[text.size - 1] != '"' ||
        memchr(text.data, '\\', text.size) != NULL) {
        return text;
    }
    return (http_text){text.data + 1, text.size - 2};
}

/* --- dates ------------------------------------------------------------------------------- */

static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
static const char *const days[] = {"sunday",   "monday", "tuesday", "wednesday",
                                   "thursday", "friday", "saturday"};

/* What is being read, and whether all of it was as it should be. */
typedef struct date_reader {
    http_text rest;
    bool good;
} date_reader;

typedef struct date_parts {
    int year;
    int month; /* 1 .. 12 */
    int day;
    int hour;
    int minute;
    int second;
} date_parts;

static void want(date_reader *r, const char *literal)
{
    size_t size = strlen(literal);
    if (!r->good || r->rest.size < size ||
        !proxy_like((http_text){r->rest.data, size}, (http_text){literal, size})) {
        r->good = false;
        return;
    }
    r->rest.data += size;
    r->rest.size -= size;
}

static int number(date_reader *r, size_t digits)
{
    if (!r->good || r->rest.size < digits) {
        r->good = false;
        return 0;
    }
    int value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = r->rest.data[i];
        r->good = r->good && is_digit(c);
        value = r->good ? value * 10 + (c - '0') : 0;
    }
    r->rest.data += digits;
    r->rest.size -= digits;
    return value;
}

static int month_name(date_reader *r)
{
    for (int i = 0; r->good && r->rest.size >= 3 && i < 12; i++) {
        if (proxy_like((http_text){r->rest.data, 3}, (http_text){months + 3 * i, 3})) {
            r->rest.data += 3;
            r->rest.size -= 3;
            return i + 1;
        }
    }
    r->good = false;
    return 0;
}

static void clock_time(date_reader *r, date_parts *p)
{
    p->hour = number(r, 2);
    want(r, ":");
    p->minute = number(r, 2);
    want(r, ":");
    p->second = number(r, 2);
}

static int64_t days_before(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2 ? 1 : 0;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void parts_of_days(int64_t count, date_parts *p)
{
    count += 719468;
    int64_t era = (count >= 0 ? count : count - 146096) / 146097;
    int64_t day_of_era = count - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    p->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    p->month = (int)(month < 10 ? month + 3 : month - 9);
    p->year = (int)(year_of_era + era * 400 + (p->month <= 2 ? 1 : 0));
}

static int days_in(int year, int month)
{
    static const int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return length[month - 1] + (leap && month == 2 ? 1 : 0);
}

/* "06-Nov-94": of this century unless that is more than 50 years ahead (RFC 9110 5.6.7). */
static int full_year(int two, int64_t now_s)
{
    date_parts now;
    parts_of_days(now_s / 86400, &now);
    int year = now.year / 100 * 100 + two;
    return year > now.year + 50 ? year - 100 : year;
}

static void read_day_name(date_reader *r, bool *is_long)
{
    *is_long = false;
    for (int i = 0; i < 7; i++) {
        size_t whole = strlen(days[i]);
        if (r->rest.size > whole &&
            proxy_like((http_text){r->rest.data, whole}, (http_text){days[i], whole})) {
            *is_long = true;
            want(r, days[i]);
            return;
        }
    }
    for (int i = 0; i < 7; i++) {
        if (r->rest.size > 3 && proxy_like((http_text){r->rest.data, 3}, (http_text){days[i], 3})) {
            r->rest.data += 3;
            r->rest.size -= 3;
            return;
        }
    }
    r->good = false;
}

/* "Sun Nov  6 08:49:37 1994", behind the first word. */
static void read_asctime(date_reader *r, date_parts *p)
{
    want(r, " ");
    p->month = month_name(r);
    want(r, " ");
    bool padded = r->good && r->rest.size > 0 && r->rest.data[0] == ' ';
    if (padded) {
        want(r, " ");
    }
    p->day = number(r, padded ? 1 : 2);
    want(r, " ");
    clock_time(r, p);
    want(r, " ");
    p->year = number(r, 4);
}

static void read_comma_form(date_reader *r, date_parts *p, bool is_long, int64_t now_s)
{
    want(r, ", ");
    p->day = number(r, 2);
    want(r, is_long ? "-" : " ");
    p->month = month_name(r);
    want(r, is_long ? "-" : " ");
    p->year = is_long ? full_year(number(r, 2), now_s) : number(r, 4);
    want(r, " ");
    clock_time(r, p);
    want(r, " gmt");
}

bool proxy_date(http_text text, int64_t now_s, int64_t *ret)
{
    date_reader r = {.rest = text, .good = true};
    date_parts p = {0};
    bool is_long;
    read_day_name(&r, &is_long);
    if (r.good && r.rest.size > 0 && r.rest.data[0] == ' ' && !is_long) {
        read_asctime(&r, &p);
    } else {
        read_comma_form(&r, &p, is_long, now_s);
    }
    if (!r.good || r.rest.size != 0 || p.day < 1 || p.day > days_in(p.year, p.month) ||
        p.hour > 23 || p.minute > 59 || p.second > 60) {
        return false;
    }
    *ret = days_before(p.year, p.month, p.day) * 86400 + p.hour * 3600 + p.minute * 60 + p.second;
    return true;
}

void proxy_date_write(int64_t seconds, char text[PROXY_DATE_SIZE + 1])
{
    static const int64_t last = INT64_C(253402300799); /* 9999-12-31 23:59:59 */
    seconds = seconds < 0 ? 0 : seconds > last ? last : seconds;
    int64_t count = seconds / 86400;
    int second = (int)(seconds % 86400);
    date_parts p;
    parts_of_days(count, &p);
    const char *day = days[(count + 4) % 7];
    const char *month = months + 3 * (p.month - 1);
    char buffer[64]; /* the compiler cannot know how few digits there are */
    (void)snprintf(buffer, sizeof buffer, "%c%.2s, %02d %c%.2s %04d %02d:%02d:%02d GMT",
                   day[0] & ~0x20, day + 1, p.day, month[0] & ~0x20, month + 1, p.year,
                   second / 3600, second / 60 % 60, second % 60);
    memcpy(text, buffer, PROXY_DATE_SIZE);
    text[PROXY_DATE_SIZE] = '\0';
}
