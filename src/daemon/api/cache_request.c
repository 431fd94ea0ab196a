/*
 * cache_request.c -- what a request for an entry says, see cache.h.
 *
 * A key is the client's bytes: it is decoded once, from the target as it was written, because x->path has its
 * dot segments removed and its slashes decoded, which is right for routes and wrong for names.  The route was found
 * with the path, so whatever the key is, the right was that of /v1/cache.
 *
 * Sources: RFC 9110 (13 conditions), RFC 9111 (5.2 Cache-Control), RFC 4648 (5 base64url).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/api/cache.h"
#include "daemon/files/range.h"

static const uint64_t second_ns = 1000000000;

/* --- small readers ------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static http_text trim(http_text t)
{
    while (t.size > 0 && is_blank(t.data[0])) {
        t = (http_text){t.data + 1, t.size - 1};
    }
    while (t.size > 0 && is_blank(t.data[t.size - 1])) {
        t.size--;
    }
    return t;
}

/* What stands before `mark`, without blanks; the rest stays in *t. */
static http_text cut(http_text *t, char mark)
{
    const char *at = t->size > 0 ? memchr(t->data, mark, t->size) : NULL;
    http_text first = *t;
    if (at == NULL) {
        *t = (http_text){t->data + t->size, 0};
    } else {
        first.size = (size_t)(at - t->data);
        *t = (http_text){at + 1, t->size - first.size - 1};
    }
    return trim(first);
}

static bool is_word(http_text t, const char *word)
{
    return t.size == strlen(word) && strncasecmp(t.data, word, t.size) == 0;
}

/* Digits alone; what is too large is UINT64_MAX. */
static bool read_number(http_text t, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < t.size; i++) {
        unsigned digit = (unsigned)(t.data[i] - '0');
        if (digit > 9) {
            return false;
        }
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            value = UINT64_MAX;
        }
    }
    *ret = value;
    return t.size > 0;
}

/* --- keys --------------------------------------------------------------------------------- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static int base64_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' || c == '+' ? 62 : c == '_' || c == '/' ? 63 : -1;
}

static bool decode_hex(http_text t, unsigned char *to, size_t *ret_size)
{
    for (size_t i = 0; i + 1 < t.size; i += 2) {
        int high = hex_of(t.data[i]);
        int low = hex_of(t.data[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i / 2] = (unsigned char)(high * 16 + low);
    }
    *ret_size = t.size / 2;
    return t.size % 2 == 0;
}

bool cache_decode(http_text t, bool hex, unsigned char *to, size_t *ret_size)
{
    if (hex) {
        return decode_hex(t, to, ret_size);
    }
    while (t.size > 0 && t.data[t.size - 1] == '=') {
        t.size--;
    }
    uint32_t bits = 0;
    unsigned have = 0;
    size_t size = 0;
    for (size_t i = 0; i < t.size; i++) {
        int value = base64_of(t.data[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[size++] = (unsigned char)(bits >> have);
            bits &= (1u << have) - 1;
        }
    }
    *ret_size = size;
    return have < 6 && bits == 0; /* one text for each key */
}

/* Escapes in place; false: one of them is none. */
static bool unescape(char *data, size_t *size)
{
    size_t to = 0;
    for (size_t i = 0; i < *size; i++) {
        char c = data[i];
        if (c == '%') {
            int high = *size - i > 2 ? hex_of(data[i + 1]) : -1;
            int low = *size - i > 2 ? hex_of(data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        data[to++] = c;
    }
    *size = to;
    return true;
}

/* The value of ?encoding=, as it is written: there is nothing to escape in the words that are known. */
static http_text encoding_of(const exchange *x)
{
    static const char name[] = "encoding=";
    http_text rest = x->query;
    while (rest.size > 0) {
        http_text pair = cut(&rest, '&');
        if (pair.size >= sizeof name - 1 && memcmp(pair.data, name, sizeof name - 1) == 0) {
            return (http_text){pair.data + sizeof name - 1, pair.size - (sizeof name - 1)};
        }
    }
    return (http_text){NULL, 0};
}

const char *cache_read_key(exchange *x, resp_bytes *ret)
{
    static const char prefix[] = "/v1/cache/";
    static const size_t skip = sizeof prefix - 1;
    if (x->target.size <= skip || memcmp(x->target.data, prefix, skip) != 0) {
        return "a key stands behind /v1/cache/";
    }
    http_text raw = {x->target.data + skip, x->target.size - skip};
    const char *end = memchr(raw.data, '?', raw.size);
    raw.size = end != NULL ? (size_t)(end - raw.data) : raw.size;
    char *key = exchange_alloc(x, raw.size + 1);
    if (key == NULL) {
        return "out of memory";
    }
    memcpy(key, raw.data, raw.size);
    size_t size = raw.size;
    if (!unescape(key, &size)) {
        return "the key has a % that begins no escape";
    }
    http_text encoding = encoding_of(x);
    if (encoding.size != 0) {
        bool hex = is_word(encoding, "hex");
        if (!hex && !is_word(encoding, "base64url")) {
            return "encoding is hex or base64url";
        }
        /* In place: what is written never overtakes what is read. */
        if (!cache_decode((http_text){key, size}, hex, (unsigned char *)key, &size)) {
            return "the key is not what encoding says";
        }
    }
    if (size >= BRISK_KEY_BYTES_MAX) {
        return "the key is too long";
    }
    *ret = (resp_bytes){.data = (const unsigned char *)key, .size = size};
    return NULL;
}

/* --- conditions ---------------------------------------------------------------------------- */

/* Eight digits of `number` at once, the first one lowest: each has a byte of its own, to which '0' is added, and what
 * lies between '9' and 'a' where it is more than nine. */
static uint64_t hex_digits(uint32_t number)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x = number;
    x = (x << 32 | x >> 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x << 16 | x >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x << 8 | x >> 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (x + 6 * ones) >> 4 & ones;
    return x + '0' * ones + ('a' - '9' - 1) * letters;
}

/* The digits of `number`, all 16 of them: printf takes a hundred times as long, for each entry that is read. */
static char *put_hex(char *at, uint64_t number)
{
    for (unsigned i = 0; i < 2; i++, at += 8) {
        uint64_t digits = hex_digits((uint32_t)(number >> (i == 0 ? 32 : 0)));
        for (unsigned byte = 0; byte < 8; byte++) { /* one store */
            at[byte] = (char)(digits >> 8 * byte);
        }
    }
    return at;
}

void cache_etag(const void *data, size_t size, char etag[CACHE_ETAG_SIZE + 1])
{
    brisk_hash128 hash = brisk_hash128_of(data, size, 0);
    static_assert(CACHE_ETAG_SIZE == 34, "32 digits in quotes");
    etag[0] = '"';
    char *end = put_hex(put_hex(etag + 1, hash.hi), hash.lo);
    end[0] = '"';
    end[1] = '\0';
}

bool cache_etag_matches(http_text list, const char *etag, bool strong)
{
    if (etag == NULL) {
        return false;
    }
    if (is_word(trim(list), "*")) {
        return true;
    }
    while (list.size > 0) {
        http_text one = cut(&list, ','); /* ours have no comma, so one that has is none of ours */
        bool weak = one.size > 2 && memcmp(one.data, "W/", 2) == 0;
        if (weak) {
            one = (http_text){one.data + 2, one.size - 2};
        }
        if (!(weak && strong) && one.size == strlen(etag) &&
            memcmp(one.data, etag, one.size) == 0) {
            return true;
        }
    }
    return false;
}

cache_range cache_read_range(const exchange *x, uint64_t size, const char *etag, uint64_t *first,
                             uint64_t *count)
{
    const http_text *range = exchange_field(x, "range");
    const http_text *only = exchange_field(x, "if-range");
    range_set set;
    if (range == NULL || x->method != HTTP_GET ||
        (only != NULL && !cache_etag_matches(*only, etag, true))) {
        return CACHE_RANGE_ALL; /* also when it has changed */
    }
    switch (range_parse(*range, size, &set)) {
    case RANGE_UNSATISFIABLE: return CACHE_RANGE_BAD;
    case RANGE_SOME: break;
    case RANGE_ALL:
    default: return CACHE_RANGE_ALL;
    }
    if (set.count != 1) {
        return CACHE_RANGE_ALL; /* the whole is as good an answer */
    }
    *first = set.ranges[0].first;
    *count = set.ranges[0].last - set.ranges[0].first + 1;
    return CACHE_RANGE_PART;
}

/* --- life and tags ------------------------------------------------------------------------- */

/* "max-age=60" or "max-age=\"60\"". */
static bool directive_seconds(http_text t, const char *name, uint64_t *ret)
{
    size_t size = strlen(name);
    if (t.size <= size || strncasecmp(t.data, name, size) != 0 || t.data[size] != '=') {
        return false;
    }
    http_text value = {t.data + size + 1, t.size - size - 1};
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"') {
        value = (http_text){value.data + 1, value.size - 2};
    }
    if (!read_number(value, ret)) {
        *ret = 0; /* one that is wrong is over: RFC 9111, 4.2.1 */
    }
    return true;
}

static void set_life(cache_life *life, uint64_t seconds)
{
    uint64_t kept = seconds < CACHE_TTL_S_MAX ? seconds : CACHE_TTL_S_MAX;
    life->given = true;
    life->ns = kept * second_ns;
}

const char *cache_read_life(const exchange *x, cache_life *ret)
{
    *ret = (cache_life){0};
    const http_text *exact = exchange_field(x, "x-brisk-ttl-ms");
    if (exact != NULL) {
        uint64_t ms;
        if (!read_number(*exact, &ms)) {
            return "x-brisk-ttl-ms is a number of milliseconds";
        }
        uint64_t most = CACHE_TTL_S_MAX * 1000;
        *ret = (cache_life){.given = true, .ns = (ms < most ? ms : most) * 1000000};
        return NULL;
    }
    bool shared = false;
    for (uint32_t i = 0; i < x->field_count; i++) {
        if (!is_word(x->fields[i].name, "cache-control")) {
            continue;
        }
        http_text rest = x->fields[i].value;
        while (rest.size > 0) {
            http_text one = cut(&rest, ',');
            uint64_t seconds;
            if (is_word(one, "no-store")) {
                set_life(ret, 0);
                return NULL;
            }
            if (directive_seconds(one, "s-maxage", &seconds)) {
                shared = true;
                set_life(ret, seconds);
            } else if (!shared && directive_seconds(one, "max-age", &seconds)) {
                set_life(ret, seconds);
            }
        }
    }
    return NULL;
}

const char *cache_read_tags(const exchange *x, brisk_tag tags[BRISK_TAGS_MAX], uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < x->field_count; i++) {
        if (!is_word(x->fields[i].name, "surrogate-key")) {
            continue;
        }
        http_text rest = x->fields[i].value;
        if (rest.size > CACHE_TAGS_BYTES_MAX) {
            return "surrogate-key is too long";
        }
        while (rest.size > 0) {
            http_text one = cut(&rest, ' ');
            if (one.size == 0) {
                continue;
            }
            if (*count == BRISK_TAGS_MAX) {
                return "surrogate-key has too many tags";
            }
            tags[(*count)++] = (brisk_tag){.bytes = one.data, .size = one.size};
        }
    }
    return NULL;
}
