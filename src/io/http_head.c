/*
 * http_head.c -- the reader behind io/http_head.h.
 *
 * A table of names leads to a function each.  Of several Cache-Control lines and directives the
 * strictest counts, whatever their order.  Numbers that are too large are very large, what is no number
 * is not there.
 *
 * Invariant: every text in http_head is terminated.
 */
#include "io/http_head.h"

#include <string.h>
#include <strings.h>

static const uint64_t seconds_max = UINT64_C(365) * 86400 * 100;

typedef struct slice {
    const char *text;
    size_t size;
} slice;

/* --- small readers -------------------------------------------------------------------------- */

static slice trim(slice s)
{
    while (s.size > 0 && (s.text[0] == ' ' || s.text[0] == '\t')) {
        s = (slice){s.text + 1, s.size - 1};
    }
    while (s.size > 0 && (s.text[s.size - 1] == ' ' || s.text[s.size - 1] == '\t' ||
                          s.text[s.size - 1] == '\r' || s.text[s.size - 1] == '\n')) {
        s.size--;
    }
    return s;
}

static bool is_word(slice s, const char *word)
{
    return s.size == strlen(word) && strncasecmp(s.text, word, s.size) == 0;
}

static bool begins(slice s, const char *word)
{
    return s.size > strlen(word) && strncasecmp(s.text, word, strlen(word)) == 0;
}

/* What stands before `mark`; the rest, without it, stays in *s. */
static slice cut(slice *s, char mark)
{
    const char *at = s->size > 0 ? memchr(s->text, mark, s->size) : NULL;
    slice first = *s;
    if (at == NULL) {
        *s = (slice){s->text + s->size, 0};
        return first;
    }
    first.size = (size_t)(at - s->text);
    *s = (slice){at + 1, s->size - first.size - 1};
    return first;
}

static bool read_seconds(slice s, uint64_t *ret)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < s.size && s.text[digits] >= '0' && s.text[digits] <= '9') {
        value = value < seconds_max ? value * 10 + (uint64_t)(s.text[digits] - '0') : value;
        digits++;
    }
    *ret = value < seconds_max ? value : seconds_max;
    return digits > 0;
}

/* A CR alone, say, would end the line of the next request's head that the value goes into. */
static bool copy_text(slice s, char *to, size_t room)
{
    if (s.size >= room) {
        return false;
    }
    for (size_t i = 0; i < s.size; i++) {
        if ((unsigned char)s.text[i] < ' ' || s.text[i] == 127) {
            return false;
        }
    }
    if (s.size > 0) {
        memcpy(to, s.text, s.size);
    }
    to[s.size] = '\0';
    return true;
}

static bool read_digits(const char *text, size_t count, int *ret)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

/* Days from 1970-01-01, by the calendar that begins its years in March. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool http_head_read_date(const char *text, size_t size, int64_t *ret)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day;
    int year;
    int hour;
    int minute;
    int second;
    int month = 0;
    if (size != 29 || memcmp(text + 25, " GMT", 4) != 0 || text[3] != ',' || text[19] != ':' ||
        text[22] != ':' || !read_digits(text + 5, 2, &day) || !read_digits(text + 12, 4, &year) ||
        !read_digits(text + 17, 2, &hour) || !read_digits(text + 20, 2, &minute) ||
        !read_digits(text + 23, 2, &second)) {
        return false;
    }
    while (month < 12 && memcmp(months + (size_t)month * 3, text + 8, 3) != 0) {
        month++;
    }
    if (month == 12 || day < 1 || day > 31 || year < 1970 || hour > 23 || minute > 59 ||
        second > 60) {
        return false;
    }
    *ret = days_of(year, month + 1, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* --- headers -------------------------------------------------------------------------------- */

static void least(bool *has, uint64_t *kept, uint64_t seconds)
{
    *kept = *has && *kept < seconds ? *kept : seconds;
    *has = true;
}

static void read_directive(brisk_http_caching *c, slice s)
{
    uint64_t seconds;
    if (is_word(s, "no-store")) {
        c->no_store = true;
    } else if (is_word(s, "no-cache") || begins(s, "no-cache=")) {
        c->no_cache = true;
    } else if (is_word(s, "private") || begins(s, "private=")) {
        c->is_private = true;
    } else if (is_word(s, "must-revalidate") || is_word(s, "proxy-revalidate")) {
        c->must_revalidate = true;
    } else if (begins(s, "max-age=") && read_seconds((slice){s.text + 8, s.size - 8}, &seconds)) {
        least(&c->has_max_age, &c->max_age_s, seconds);
    } else if (begins(s, "s-maxage=") && read_seconds((slice){s.text + 9, s.size - 9}, &seconds)) {
        least(&c->has_s_maxage, &c->s_maxage_s, seconds);
    }
}

static void on_cache_control(http_head *head, slice value)
{
    while (value.size > 0) {
        read_directive(&head->caching, trim(cut(&value, ',')));
    }
}

static void on_age(http_head *head, slice value)
{
    (void)read_seconds(value, &head->caching.age_s);
}

static void on_etag(http_head *head, slice value)
{
    if (!copy_text(value, head->caching.etag, sizeof head->caching.etag)) {
        head->caching.etag[0] = '\0';
    }
}

static void on_last_modified(http_head *head, slice value)
{
    if (!copy_text(value, head->caching.last_modified, sizeof head->caching.last_modified)) {
        head->caching.last_modified[0] = '\0';
    }
}

static void on_date(http_head *head, slice value)
{
    (void)http_head_read_date(value.text, value.size, &head->caching.date_s);
}

static void on_expires(http_head *head, slice value)
{
    head->caching.has_expires = true; /* one that cannot be read is long ago */
    head->caching.expires_s = 0;
    (void)http_head_read_date(value.text, value.size, &head->caching.expires_s);
}

static void on_content_type(http_head *head, slice value)
{
    if (!copy_text(value, head->content_type, sizeof head->content_type)) {
        head->content_type[0] = '\0';
    }
}

static void on_content_length(http_head *head, slice value)
{
    uint64_t length = 0;
    size_t i = 0;
    for (; i < value.size && i < 18 && value.text[i] >= '0' && value.text[i] <= '9'; i++) {
        length = length * 10 + (uint64_t)(value.text[i] - '0');
    }
    head->has_length = i > 0 && i == value.size;
    head->length = head->has_length ? length : 0;
}

/* "gzip;q=0" is none. */
static bool is_wanted(slice parameters)
{
    bool wanted = true;
    while (parameters.size > 0) {
        slice p = trim(cut(&parameters, ';'));
        if (begins(p, "q=")) {
            wanted = false;
            for (size_t i = 2; i < p.size; i++) {
                wanted = wanted || (p.text[i] >= '1' && p.text[i] <= '9');
            }
        }
    }
    return wanted;
}

static void on_accept_encoding(http_head *head, slice value)
{
    head->has_takes = true;
    while (value.size > 0) {
        slice parameters = trim(cut(&value, ','));
        slice name = trim(cut(&parameters, ';'));
        if (is_word(name, "gzip") || is_word(name, "x-gzip")) {
            head->takes_gzip = is_wanted(parameters);
        }
    }
}

static void on_content_encoding(http_head *head, slice value)
{
    static const struct {
        const char *name;
        brisk_http_encoding encoding;
    } known[] = {{"gzip", BRISK_HTTP_GZIP},       {"x-gzip", BRISK_HTTP_GZIP},
                 {"deflate", BRISK_HTTP_DEFLATE}, {"br", BRISK_HTTP_BROTLI},
                 {"zstd", BRISK_HTTP_ZSTD},       {"identity", BRISK_HTTP_IDENTITY},
                 {"", BRISK_HTTP_IDENTITY}};
    brisk_http_encoding found = BRISK_HTTP_UNKNOWN;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        found = is_word(value, known[i].name) ? known[i].encoding : found;
    }
    if (found != BRISK_HTTP_IDENTITY) { /* two of them, one upon the other: not for us */
        head->encoding = head->encoding == BRISK_HTTP_IDENTITY ? found : BRISK_HTTP_UNKNOWN;
    }
}

static void on_location(http_head *head, slice value)
{
    head->location_too_long = value.size >= sizeof head->location;
    if (!copy_text(value, head->location, sizeof head->location)) {
        head->location[0] = '\0';
    }
}

static void on_retry_after(http_head *head, slice value)
{
    head->retry_at_s = 0;
    head->has_retry_after = read_seconds(value, &head->retry_after_s);
    if (!head->has_retry_after && http_head_read_date(value.text, value.size, &head->retry_at_s)) {
        head->has_retry_after = true;
    }
}

void http_head_init(http_head *head)
{
    memset(head, 0, offsetof(http_head, location));
    head->location[0] = '\0'; /* the rest of so many bytes is not looked at */
}

static int read_status(slice line)
{
    slice version = cut(&line, ' ');
    int status = 0;
    (void)version;
    line = trim(line);
    return line.size >= 3 && read_digits(line.text, 3, &status) ? status : 0;
}

void http_head_read(http_head *head, const char *line, size_t size)
{
    static const struct {
        const char *name;
        void (*read)(http_head *head, slice value);
    } table[] = {{"accept-encoding", on_accept_encoding},
                 {"age", on_age},
                 {"cache-control", on_cache_control},
                 {"content-encoding", on_content_encoding},
                 {"content-length", on_content_length},
                 {"content-type", on_content_type},
                 {"date", on_date},
                 {"etag", on_etag},
                 {"expires", on_expires},
                 {"last-modified", on_last_modified},
                 {"location", on_location},
                 {"retry-after", on_retry_after}};
    slice rest = {line, size};
    if (begins(rest, "HTTP/")) {
        http_head_init(head);
        head->status = read_status(rest);
        return;
    }
    slice name = cut(&rest, ':');
    if (name.size == size) {
        return; /* no header */
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (is_word(name, table[i].name)) {
            table[i].read(head, trim(rest));
            return;
        }
    }
}

void http_head_end(http_head *head)
{
    if (head->has_retry_after && head->retry_at_s != 0) {
        int64_t now = head->caching.date_s; /* the server's clock: ours may be off */
        head->has_retry_after = now != 0;
        head->retry_after_s =
            now != 0 && head->retry_at_s > now ? (uint64_t)(head->retry_at_s - now) : 0;
        head->retry_after_s = head->retry_after_s < seconds_max ? head->retry_after_s : seconds_max;
    }
}
