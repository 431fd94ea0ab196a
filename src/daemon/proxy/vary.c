/*
 * vary.c -- see vary.h.
 */
#include "daemon/proxy/vary.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

enum { LANGUAGES_MAX = 32 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* --- specs ------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const http_text *x = a;
    const http_text *y = b;
    size_t size = x->size < y->size ? x->size : y->size;
    for (size_t i = 0; i < size; i++) {
        int d = lower(x->data[i]) - lower(y->data[i]);
        if (d != 0) {
            return d;
        }
    }
    return (x->size > y->size) - (x->size < y->size);
}

bool proxy_vary_spec(proxy_fields response, char spec[PROXY_VARY_SPEC_MAX])
{
    http_text names[PROXY_VARY_NAMES_MAX];
    size_t count = 0;
    proxy_list list = proxy_list_of(response, "vary");
    http_text item;
    while (proxy_list_next(&list, &item)) {
        if (count == PROXY_VARY_NAMES_MAX || proxy_same(item, HTTP_TEXT("*"))) {
            return false;
        }
        names[count++] = item;
    }
    qsort(names, count, sizeof names[0], compare_names);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_names(&names[i - 1], &names[i]) == 0) {
            continue;
        }
        if (used + names[i].size + 2 > PROXY_VARY_SPEC_MAX) {
            return false;
        }
        if (used > 0) {
            spec[used++] = ',';
        }
        for (size_t k = 0; k < names[i].size; k++) {
            spec[used++] = lower(names[i].data[k]);
        }
    }
    spec[used] = '\0';
    return true;
}

/* --- values ------------------------------------------------------------------------------ */

typedef struct text_out {
    char *data;
    size_t used;
    size_t capacity;
    bool full;
} text_out;

static void put(text_out *out, const char *data, size_t size)
{
    if (out->full || size > out->capacity - out->used) {
        out->full = true;
        return;
    }
    memcpy(out->data + out->used, data, size);
    out->used += size;
}

static void put_lower(text_out *out, http_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = lower(text.data[i]);
        put(out, &c, 1);
    }
}

/* The weight of "gzip;q=0.5" in thousandths, and what stands before it. */
static uint32_t weight_of(http_text *item)
{
    const char *semicolon = memchr(item->data, ';', item->size);
    if (semicolon == NULL) {
        return 1000;
    }
    http_text rest = {semicolon + 1, item->size - (size_t)(semicolon - item->data) - 1};
    *item = proxy_trim((http_text){item->data, (size_t)(semicolon - item->data)});
    rest = proxy_trim(rest);
    if (rest.size < 3 || lower(rest.data[0]) != 'q' || rest.data[1] != '=' ||
        (rest.data[2] != '0' && rest.data[2] != '1')) {
        return 1000;
    }
    uint32_t weight = rest.data[2] == '1' ? 1000 : 0;
    uint32_t step = 100;
    for (size_t i = 4; i < rest.size && i < 7 && rest.data[3] == '.' && weight < 1000; i++) {
        if (rest.data[i] < '0' || rest.data[i] > '9') {
            break;
        }
        weight += (uint32_t)(rest.data[i] - '0') * step;
        step /= 10;
    }
    return weight;
}

/* Only what a server here chooses between: the rest of the field makes no difference. */
static void put_codings(text_out *out, proxy_fields request)
{
    static const char *const known[] = {"br", "dcb", "dcz", "deflate", "gzip", "zstd"};
    enum { KNOWN = sizeof known / sizeof known[0] };
    bool wanted[KNOWN] = {false};
    bool named[KNOWN] = {false};
    bool rest = false;
    proxy_list list = proxy_list_of(request, "accept-encoding");
    http_text item;
    while (proxy_list_next(&list, &item)) {
        bool takes = weight_of(&item) > 0;
        http_text x_gzip = HTTP_TEXT("x-gzip");
        item = proxy_like(item, x_gzip) ? HTTP_TEXT("gzip") : item;
        if (proxy_same(item, HTTP_TEXT("*"))) {
            rest = takes;
        } else if (proxy_like(item, HTTP_TEXT("identity")) && !takes) {
            put(out, "!", 1);
        }
        for (size_t i = 0; i < KNOWN; i++) {
            if (proxy_like(item, (http_text){known[i], strlen(known[i])})) {
                wanted[i] = takes;
                named[i] = true;
            }
        }
    }
    for (size_t i = 0; i < KNOWN; i++) {
        if (wanted[i] || (rest && !named[i])) {
            put(out, known[i], strlen(known[i]));
            put(out, ",", 1);
        }
    }
}

typedef struct language {
    http_text name;
    uint32_t weight;
} language;

static int compare_languages(const void *a, const void *b)
{
    const language *x = a;
    const language *y = b;
    if (x->weight != y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return compare_names(&x->name, &y->name);
}

static void put_languages(text_out *out, proxy_fields request)
{
    language languages[LANGUAGES_MAX];
    size_t count = 0;
    proxy_list list = proxy_list_of(request, "accept-language");
    http_text item;
    while (proxy_list_next(&list, &item)) {
        if (count == LANGUAGES_MAX) {
            out->full = true;
            return;
        }
        uint32_t weight = weight_of(&item);
        languages[count++] = (language){item, weight};
    }
    qsort(languages, count, sizeof languages[0], compare_languages);
    for (size_t i = 0; i < count; i++) {
        char step = i > 0 && languages[i].weight != languages[i - 1].weight ? ';' : ',';
        put(out, &step, 1);
        put_lower(out, languages[i].name);
    }
}

static void put_value(text_out *out, http_text name, proxy_fields request)
{
    char text[PROXY_VARY_SPEC_MAX];
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    if (proxy_field(request, text) == NULL) {
        put(out, "-", 1);
        return;
    }
    put(out, "+", 1);
    if (strcmp(text, "accept-encoding") == 0) {
        put_codings(out, request);
        return;
    }
    if (strcmp(text, "accept-language") == 0) {
        put_languages(out, request);
        return;
    }
    proxy_list list = proxy_list_of(request, text);
    http_text item;
    while (proxy_list_next(&list, &item)) {
        put(out, item.data, item.size);
        put(out, ",", 1);
    }
}

bool proxy_vary_hash(const char *spec, proxy_fields request, brisk_hash128 *ret)
{
    char text[PROXY_VARY_TEXT_MAX];
    text_out out = {.data = text, .capacity = sizeof text};
    http_text rest = {spec, strlen(spec)};
    http_text name;
    while (proxy_element_next(&rest, &name)) {
        put_lower(&out, name);
        put_value(&out, name, request);
        put(&out, "\n", 1);
    }
    if (out.full) {
        return false;
    }
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, out.used, (const uint8_t *)text);
    sha256_digest(&sha, sizeof *ret, (uint8_t *)ret);
    return true;
}
