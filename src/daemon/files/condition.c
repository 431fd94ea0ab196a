/*
 * condition.c -- entity tags in lists, dates, and the order in which they are asked.
 */
#include "daemon/files/condition.h"

#include <string.h>

#include "daemon/encode/accept.h"
#include "io/http_head.h"

typedef struct tag {
    http_text text; /* without quotes */
    bool weak;
} tag;

static bool is_tag_char(char c)
{
    unsigned char u = (unsigned char)c;
    return u == 0x21 || (u >= 0x23 && u <= 0x7e) || u >= 0x80;
}

static bool text_is(http_text a, http_text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void skip(http_text *rest, size_t count)
{
    rest->data += count;
    rest->size -= count;
}

static void skip_blanks(http_text *rest)
{
    while (rest->size > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t')) {
        skip(rest, 1);
    }
}

/* The entity tag at the beginning; false: there is none. */
static bool read_tag(http_text *rest, tag *ret)
{
    bool weak = rest->size >= 2 && rest->data[0] == 'W' && rest->data[1] == '/';
    if (weak) {
        skip(rest, 2);
    }
    if (rest->size == 0 || rest->data[0] != '"') {
        return false;
    }
    skip(rest, 1);
    size_t size = 0;
    while (size < rest->size && is_tag_char(rest->data[size])) {
        size++;
    }
    if (size == rest->size || rest->data[size] != '"') {
        return false;
    }
    *ret = (tag){{rest->data, size}, weak};
    skip(rest, size + 1);
    return true;
}

/* Of the same content: the tag itself, or with the name of a coding behind it. */
static bool is_variant(http_text text, http_text etag)
{
    if (etag.size == 0 || text.size < etag.size || memcmp(text.data, etag.data, etag.size) != 0) {
        return false;
    }
    skip(&text, etag.size);
    if (text.size == 0) {
        return true;
    }
    if (text.data[0] != '-') {
        return false;
    }
    skip(&text, 1);
    for (int i = ENCODE_IDENTITY + 1; i < ENCODE_CODINGS; i++) {
        if (text_is(text, encode_coding_name((encode_coding)i))) {
            return true;
        }
    }
    return false;
}

/* Is the entity in the list?  What stands behind something that is no tag is not looked at. */
static bool listed(http_text list, http_text etag, bool weak_too, http_text *matched)
{
    skip_blanks(&list);
    if (list.size > 0 && list.data[0] == '*') {
        *matched = etag;
        return true;
    }
    while (list.size > 0) {
        tag one;
        skip_blanks(&list);
        if (list.size > 0 && list.data[0] == ',') {
            skip(&list, 1);
            continue;
        }
        if (!read_tag(&list, &one)) {
            return false;
        }
        if ((weak_too || !one.weak) && is_variant(one.text, etag)) {
            *matched = one.text;
            return true;
        }
    }
    return false;
}

static bool read_date(const http_text *text, int64_t *ret)
{
    return text != NULL && http_head_read_date(text->data, text->size, ret);
}

condition_verdict condition_check(const condition_fields *fields, const condition_entity *entity,
                                  bool safe, http_text *matched)
{
    int64_t date;
    http_text ours = entity->etag;
    *matched = ours;
    if (fields->if_match != NULL) {
        http_text ignored;
        if (!listed(*fields->if_match, ours, false, &ignored)) {
            return CONDITION_FAILED;
        }
    } else if (read_date(fields->if_unmodified_since, &date) && entity->modified_s >= 0 &&
               entity->modified_s > date) {
        return CONDITION_FAILED;
    }
    if (fields->if_none_match != NULL) {
        if (!listed(*fields->if_none_match, ours, true, matched)) {
            return CONDITION_SEND;
        }
        return safe ? CONDITION_NOT_MODIFIED : CONDITION_FAILED;
    }
    if (safe && read_date(fields->if_modified_since, &date) && entity->modified_s >= 0 &&
        entity->modified_s <= date) {
        return CONDITION_NOT_MODIFIED;
    }
    return CONDITION_SEND;
}

bool condition_range(const condition_fields *fields, const condition_entity *entity)
{
    if (fields->if_range == NULL) {
        return true;
    }
    http_text rest = *fields->if_range;
    tag one;
    int64_t date;
    skip_blanks(&rest);
    if (read_tag(&rest, &one)) {
        return !one.weak && entity->etag.size > 0 && text_is(one.text, entity->etag);
    }
    /* A date is a strong validator only when nothing can have changed within its second. */
    return read_date(fields->if_range, &date) && date == entity->modified_s &&
           entity->now_s > date + 1;
}
