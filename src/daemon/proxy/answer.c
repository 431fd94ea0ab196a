/*
 * answer.c -- answers to clients: as they came from an upstream, and as they lie in the cache.
 *
 * Source: RFC 9110 14 (ranges), 15.4.5 (what a 304 carries); RFC 9111 4; RFC 9211.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/proxy/transit.h"

enum { ADDED_MAX = 5 };

typedef struct answer_fields {
    http_field items[PROXY_HEAD_FIELDS_MAX + ADDED_MAX];
    uint32_t count;
} answer_fields;

static void add(answer_fields *fields, http_text name, http_text value)
{
    fields->items[fields->count++] = (http_field){name, value};
}

/* A text that stays as long as the exchange; empty when there is no memory for it. */
static http_text keep(exchange *x, const char *text, size_t size)
{
    char *copy = exchange_alloc(x, size);
    if (copy == NULL) {
        return (http_text){0};
    }
    memcpy(copy, text, size);
    return (http_text){copy, size};
}

static void add_status(transit *t, answer_fields *fields)
{
    char text[PROXY_STATUS_SIZE];
    size_t size = proxy_status_write(&t->status, text);
    add(fields, HTTP_TEXT("cache-status"), keep(t->x, text, size));
}

void transit_fail(transit *t, uint16_t status, const char *why)
{
    if (t->x == NULL || t->answered) {
        return;
    }
    t->answered = true;
    if (t->status.forward != NULL) {
        figures_answered(t);
    }
    exchange_fail(t->x, status, "%s", why);
}

void transit_answer_failure(transit *t, fetch_error why)
{
    if (t->x == NULL || t->answered) {
        return;
    }
    if (t->started) {
        t->answered = true;
        exchange_abort(t->x); /* what came is not all: the client must see that */
        return;
    }
    transit_fail(t,
                 why == FETCH_SLOW        ? 504
                 : why == FETCH_NO_MEMORY ? 503
                                          : 502,
                 fetch_error_text(why));
}

/* Does "connection" name fields, or say only how the connection goes on, as it nearly always does? */
static bool names_fields(proxy_fields from)
{
    for (uint32_t i = 0; i < from.count; i++) {
        const http_field *f = &from.items[i];
        if (proxy_same(f->name, HTTP_TEXT("connection")) &&
            !http1_equal_nocase(f->value, HTTP_TEXT("keep-alive")) &&
            !http1_equal_nocase(f->value, HTTP_TEXT("close"))) {
            return true;
        }
    }
    return false;
}

/* The fields of a reply that are a client's. */
static void pass_fields(answer_fields *to, proxy_fields from)
{
    bool named = names_fields(from);
    proxy_fields naming = named ? from : (proxy_fields){.count = 0};
    for (uint32_t i = 0; i < from.count; i++) {
        const http_field *f = &from.items[i];
        char first = f->name.data[0];
        /* Those that are left out begin with one of these letters. */
        if (named || (first != 'd' && first != 'e' && first != 'l' && first != 'x')) {
            if (proxy_head_is_left_out(naming, f->name)) {
                continue;
            }
        }
        add(to, f->name, f->value);
    }
}

void transit_inform(fetch *f, uint16_t status, proxy_fields fields)
{
    transit *t = transit_of(f);
    answer_fields to; /* of which nobody reads more than there are */
    to.count = 0;
    if (t->x == NULL || t->started || t->answered || (status != 102 && status != 103)) {
        return; /* 100 answers an Expect that was ours; others are of versions that this one does not know */
    }
    pass_fields(&to, fields);
    exchange_inform(t->x, status, to.items, to.count);
}

/* The upstream's 304 is about a tag that the client has with the name of a coding. */
static void give_tag_back(transit *t, answer_fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (proxy_same(fields->items[i].name, HTTP_TEXT("etag"))) {
            (void)compress_tag_back(t, &fields->items[i]);
            return;
        }
    }
}

void transit_answer_reply(transit *t, const fetch_reply *reply)
{
    exchange *x = t->x;
    answer_fields fields; /* of which nobody reads more than there are */
    fields.count = 0;
    if (x == NULL || t->answered) {
        return;
    }
    figures_answered(t);
    pass_fields(&fields, reply->fields);
    add(&fields, HTTP_TEXT("via"), HTTP_TEXT("1.1 brisk"));
    if (t->mount->cache) {
        add_status(t, &fields);
    }
    http_answer answer = {.status = reply->status,
                          .fields = fields.items,
                          .field_count = fields.count,
                          .length = reply->content_length};
    if (reply->status == 304) {
        give_tag_back(t, &fields);
    }
    if (!reply->whole) {
        t->started = true;
        compress_start(t, &answer);
        return;
    }
    t->answered = true;
    if (reply->has_body) {
        answer.body = (http_body){
            .kind = HTTP_BODY_BYTES, .data = reply->body.data, .size = reply->body.size};
    }
    compress_answer(t, &answer, fields.items, t->store.on ? &t->store.head.identity : NULL);
}

/* --- what is stored ------------------------------------------------------------------------ */

/* What a 304 carries of the fields (RFC 9110 15.4.5), and what clients' caches want besides. */
static bool is_of_304(http_text name)
{
    static const http_text list[] = {HTTP_TEXT_INIT("cache-control"),
                                     HTTP_TEXT_INIT("content-location"),
                                     HTTP_TEXT_INIT("date"),
                                     HTTP_TEXT_INIT("etag"),
                                     HTTP_TEXT_INIT("expires"),
                                     HTTP_TEXT_INIT("vary"),
                                     HTTP_TEXT_INIT("last-modified"),
                                     HTTP_TEXT_INIT("via"),
                                     HTTP_TEXT_INIT("cdn-cache-control")};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (proxy_same(name, list[i])) {
            return true;
        }
    }
    return false;
}

static void add_age(transit *t, const entry *e, answer_fields *fields)
{
    char digits[12];
    size_t at = sizeof digits;
    uint32_t age = proxy_age_s(&e->head->life, proxy_wall_ms(proxy_of(t)));
    do {
        digits[--at] = (char)('0' + age % 10);
        age /= 10;
    } while (age > 0);
    add(fields, HTTP_TEXT("age"), keep(t->x, digits + at, sizeof digits - at));
}

/* Would the whole answer say that it depends on what codings the client takes? */
static bool is_compressible(const transit *t, const answer_fields *fields, uint64_t size)
{
    http_answer whole = {.status = 200, .fields = fields->items, .field_count = fields->count};
    return compress_may(t, whole.status, (int64_t)size) && encode_may(t->x, &whole);
}

static void answer_not_modified(transit *t, const entry *e, const answer_fields *all,
                                http_text etag)
{
    answer_fields fields; /* of which nobody reads more than there are */
    fields.count = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        http_text name = all->items[i].name;
        if (is_of_304(name) || proxy_same(name, HTTP_TEXT("age")) ||
            proxy_same(name, HTTP_TEXT("cache-status"))) {
            bool is_tag = proxy_same(name, HTTP_TEXT("etag"));
            add(&fields, name, is_tag ? etag : all->items[i].value);
        }
    }
    if (is_compressible(t, all, e->head->body_size)) {
        add(&fields, HTTP_TEXT("vary"), HTTP_TEXT("accept-encoding"));
    }
    http_answer answer = {.status = 304,
                          .fields = fields.items,
                          .field_count = fields.count,
                          .length = HTTP_LENGTH_UNKNOWN};
    exchange_answer(t->x, &answer);
}

static void answer_unsatisfied(transit *t, const entry *e, answer_fields *fields)
{
    char text[48];
    int size = snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)e->head->total);
    fields->count = 0;
    add(fields, HTTP_TEXT("content-range"), keep(t->x, text, (size_t)size));
    add_status(t, fields);
    http_answer answer = {.status = 416, .fields = fields->items, .field_count = fields->count};
    exchange_answer(t->x, &answer);
}

/* The body of `e` from `first` on, as a reference. */
static http_body body_of(const entry *e, uint64_t first, uint64_t size)
{
    uint64_t before = sizeof(entry_head) + e->head->block_size;
    return (http_body){.kind = size > 0 ? HTTP_BODY_VALUE : HTTP_BODY_NONE,
                       .value = size > 0 ? brisk_value_ref(e->value) : NULL,
                       .offset = before + first,
                       .size = size};
}

static void answer_part(transit *t, const entry *e, answer_fields *fields, proxy_range range)
{
    char text[80];
    int size = snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)range.first,
                        (unsigned long long)(range.first + range.size - 1),
                        (unsigned long long)e->head->total);
    add(fields, HTTP_TEXT("content-range"), keep(t->x, text, (size_t)size));
    http_answer answer = {.status = 206,
                          .fields = fields->items,
                          .field_count = fields->count,
                          .body = body_of(e, range.first - e->head->first, range.size),
                          .length = (int64_t)range.size};
    exchange_answer(t->x, &answer);
}

static void answer_all(transit *t, const entry *e, answer_fields *fields)
{
    http_answer answer = {.status = e->head->status,
                          .fields = fields->items,
                          .field_count = fields->count,
                          .length = (int64_t)e->head->body_size};
    if (e->head->status != 204) { /* of HEAD, too, which says what GET would */
        answer.body = body_of(e, 0, e->head->body_size);
    }
    compress_answer(t, &answer, fields->items, &e->head->identity);
}

/* Tags are the cache's own. */
static uint32_t without_tags(http_field *fields, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!proxy_same(fields[i].name, HTTP_TEXT("surrogate-key"))) {
            fields[kept++] = fields[i];
        }
    }
    return kept;
}

/* Those that are stored, and what this cache says itself.  `stored` (the first of them) is set; false: damaged. */
static bool write_fields(transit *t, const entry *e, answer_fields *fields, proxy_fields *stored)
{
    if (!entry_fields(e, fields->items, stored)) {
        return false;
    }
    if ((e->head->flags & ENTRY_TAGS) != 0) {
        stored->count = without_tags(fields->items, stored->count);
    }
    fields->count = stored->count;
    figures_answered(t);
    add_age(t, e, fields);
    t->status.has_ttl = true;
    t->status.ttl_s = proxy_left_s(&e->head->life, proxy_wall_ms(proxy_of(t)));
    add_status(t, fields);
    return true;
}

bool transit_start_entry(transit *t, const entry *e, bool sized)
{
    answer_fields fields; /* of which nobody reads more than there are */
    proxy_fields stored;
    if (!write_fields(t, e, &fields, &stored)) {
        return false;
    }
    http_answer answer = {.status = e->head->status,
                          .fields = fields.items,
                          .field_count = fields.count,
                          .length = sized ? (int64_t)e->head->body_size : HTTP_LENGTH_UNKNOWN};
    t->started = true;
    compress_start(t, &answer);
    return true;
}

void transit_answer_entry(transit *t, const entry *e)
{
    exchange *x = t->x;
    answer_fields fields; /* of which nobody reads more than there are */
    proxy_fields stored;
    if (x == NULL || t->answered) {
        return;
    }
    if (!write_fields(t, e, &fields, &stored)) {
        transit_fail(t, 502, "what was stored is damaged");
        return;
    }
    t->answered = true;
    proxy_fields request = {x->fields, x->field_count};
    proxy_validators v = proxy_validators_of(stored, e->head->date_s);
    v.coded = t->mount->compress;
    http_text etag;
    if (e->head->status == 200 && proxy_condition_holds(request, &v, &etag)) {
        answer_not_modified(t, e, &fields, etag);
        return;
    }
    proxy_range range;
    proxy_part part = t->method == HTTP_GET && e->head->status == 200
                          ? proxy_part_of(request, &v, e->head->total, &range)
                          : PROXY_PART_ALL;
    if (part == PROXY_PART_NONE) {
        answer_unsatisfied(t, e, &fields);
    } else if (part == PROXY_PART_ONE) {
        answer_part(t, e, &fields, range);
    } else {
        answer_all(t, e, &fields);
    }
}
