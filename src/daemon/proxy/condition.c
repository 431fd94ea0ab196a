/*
 * condition.c -- see condition.h.
 */
#include "daemon/proxy/condition.h"

#include <string.h>

#include "daemon/encode/accept.h"

proxy_validators proxy_validators_of(proxy_fields stored, int64_t date_s)
{
    const http_text *etag = proxy_field(stored, "etag");
    const http_text *modified = proxy_field(stored, "last-modified");
    return (proxy_validators){
        .etag = etag != NULL ? *etag : (http_text){0},
        .modified = modified != NULL ? *modified : (http_text){0},
        .date_s = date_s,
    };
}

static bool is_weak(http_text etag)
{
    return etag.size >= 2 && etag.data[0] == 'W' && etag.data[1] == '/';
}

static http_text opaque(http_text etag)
{
    return is_weak(etag) ? (http_text){etag.data + 2, etag.size - 2} : etag;
}

bool proxy_etag_weakly(http_text a, http_text b)
{
    return a.size > 0 && proxy_same(opaque(a), opaque(b));
}

bool proxy_etag_cut(http_text tag, http_text *ret)
{
    if (!is_weak(tag) || tag.size < 4 || tag.data[tag.size - 1] != '"') {
        return false;
    }
    tag.size--;
    for (int i = ENCODE_IDENTITY + 1; i < ENCODE_CODINGS; i++) {
        http_text name = encode_coding_name((encode_coding)i);
        if (tag.size > name.size + 3 && tag.data[tag.size - name.size - 1] == '-' &&
            memcmp(tag.data + tag.size - name.size, name.data, name.size) == 0) {
            *ret = (http_text){tag.data, tag.size - name.size - 1};
            return true;
        }
    }
    return false;
}

bool proxy_etag_is_coded(http_text tag, http_text etag)
{
    http_text cut;
    etag = opaque(etag);
    return etag.size > 1 && proxy_etag_cut(tag, &cut) && cut.size - 2 == etag.size - 1 &&
           memcmp(cut.data + 2, etag.data, etag.size - 1) == 0;
}

bool proxy_etag_strongly(http_text a, http_text b)
{
    return a.size > 0 && !is_weak(a) && !is_weak(b) && proxy_same(a, b);
}

bool proxy_condition_is_origins(proxy_fields request)
{
    return proxy_field(request, "if-match") != NULL ||
           proxy_field(request, "if-unmodified-since") != NULL;
}

/* Has it changed since the moment that the client names? */
static bool is_unchanged_since(http_text since, const proxy_validators *stored)
{
    int64_t at;
    int64_t modified = stored->date_s;
    if (!proxy_date(since, stored->date_s, &at)) {
        return false;
    }
    if (stored->modified.size > 0) {
        if (proxy_same(since, stored->modified)) {
            return true;
        }
        if (!proxy_date(stored->modified, stored->date_s, &modified)) {
            return false;
        }
    }
    return modified <= at;
}

bool proxy_condition_holds(proxy_fields request, const proxy_validators *stored, http_text *etag)
{
    *etag = stored->etag;
    if (proxy_field(request, "if-none-match") != NULL) {
        proxy_list list = proxy_list_of(request, "if-none-match");
        http_text item;
        while (proxy_list_next(&list, &item)) {
            if (proxy_same(item, HTTP_TEXT("*")) || proxy_etag_weakly(item, stored->etag)) {
                return true;
            }
            if (stored->coded && proxy_etag_is_coded(item, stored->etag)) {
                *etag = item;
                return true;
            }
        }
        return false;
    }
    return proxy_field_count(request, "if-modified-since") == 1 &&
           is_unchanged_since(*proxy_field(request, "if-modified-since"), stored);
}

/* Digits in front of `text`, cut off; false: none, or more than a file can have. */
static bool cut_number(http_text *text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < text->size && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
        if (i == 18) {
            return false;
        }
        value = value * 10 + (uint64_t)(text->data[i] - '0');
    }
    *ret = value;
    text->data += i;
    text->size -= i;
    return i > 0;
}

/* If-Range: do the parts belong to what is stored? */
static bool range_applies(proxy_fields request, const proxy_validators *stored)
{
    const http_text *field = proxy_field(request, "if-range");
    if (field == NULL) {
        return true;
    }
    if (field->size > 0 && (field->data[0] == '"' || is_weak(*field))) {
        return proxy_etag_strongly(*field, stored->etag);
    }
    int64_t modified;
    /* A date is a strong validator when it was a second old at least (RFC 9110 8.8.2.2). */
    return stored->modified.size > 0 && proxy_same(*field, stored->modified) &&
           proxy_date(stored->modified, stored->date_s, &modified) && modified < stored->date_s;
}

proxy_part proxy_part_of(proxy_fields request, const proxy_validators *stored, uint64_t total,
                         proxy_range *ret)
{
    static const char unit[] = "bytes=";
    const http_text *field = proxy_field(request, "range");
    if (field == NULL || proxy_field_count(request, "range") != 1 ||
        field->size < sizeof unit - 1 || memcmp(field->data, unit, sizeof unit - 1) != 0 ||
        !range_applies(request, stored)) {
        return PROXY_PART_ALL;
    }
    http_text rest = {field->data + sizeof unit - 1, field->size - (sizeof unit - 1)};
    rest = proxy_trim(rest);
    uint64_t first = 0;
    uint64_t last = 0;
    bool has_first = cut_number(&rest, &first);
    if (rest.size == 0 || rest.data[0] != '-') {
        return PROXY_PART_ALL;
    }
    rest = (http_text){rest.data + 1, rest.size - 1};
    bool has_last = cut_number(&rest, &last);
    if (rest.size != 0 || (!has_first && !has_last) || (has_first && has_last && last < first)) {
        return PROXY_PART_ALL;
    }
    if (!has_first) { /* the last so many */
        if (last == 0 || total == 0) {
            return PROXY_PART_NONE;
        }
        uint64_t size = last < total ? last : total;
        *ret = (proxy_range){total - size, size};
        return PROXY_PART_ONE;
    }
    if (first >= total) {
        return PROXY_PART_NONE;
    }
    uint64_t end = has_last && last < total - 1 ? last + 1 : total;
    *ret = (proxy_range){first, end - first};
    return PROXY_PART_ONE;
}

bool proxy_content_range(http_text text, proxy_range *range, uint64_t *total)
{
    static const char unit[] = "bytes ";
    uint64_t first;
    uint64_t last;
    if (text.size < sizeof unit - 1 || memcmp(text.data, unit, sizeof unit - 1) != 0) {
        return false;
    }
    text = (http_text){text.data + sizeof unit - 1, text.size - (sizeof unit - 1)};
    if (!cut_number(&text, &first) || text.size == 0 || text.data[0] != '-') {
        return false;
    }
    text = (http_text){text.data + 1, text.size - 1};
    if (!cut_number(&text, &last) || text.size == 0 || text.data[0] != '/') {
        return false;
    }
    text = (http_text){text.data + 1, text.size - 1};
    if (!cut_number(&text, total) || text.size != 0 || last < first || last >= *total) {
        return false;
    }
    *range = (proxy_range){first, last - first + 1};
    return true;
}

bool proxy_confirms(proxy_fields not_modified, const proxy_validators *stored)
{
    const http_text *etag = proxy_field(not_modified, "etag");
    if (etag != NULL) {
        return stored->etag.size > 0 &&
               (is_weak(*etag) || is_weak(stored->etag) ? proxy_etag_weakly(*etag, stored->etag)
                                                        : proxy_etag_strongly(*etag, stored->etag));
    }
    const http_text *modified = proxy_field(not_modified, "last-modified");
    if (modified != NULL && stored->modified.size > 0) {
        return proxy_same(*modified, stored->modified);
    }
    return true; /* it names none: it speaks of what was asked about */
}
