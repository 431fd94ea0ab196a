/*
 * store.c -- a response on its way into the cache.
 *
 * Of known size it is written straight into the value that will be its entry; of unknown size it is
 * collected on a tape first.  Only a body that came whole becomes an entry: store_end is called for no other.
 *
 * Tags: each key of Surrogate-Key, and the URL, so that purging a URL takes its variants along.  What
 * was purged between the question and the answer is not stored: the epoch is from before.
 *
 * The near tier is written at once, so that the next request finds it; the others in the executor.
 */
#include <string.h>

#include <brisk/log.h>

#include "daemon/proxy/transit.h"

enum { TAG_MAX = 256 };

typedef struct tag_list {
    brisk_tag items[BRISK_TAGS_MAX];
    uint32_t count;
    char url[1 + sizeof(brisk_hash128)];
    char names[BRISK_TAGS_MAX][TAG_MAX + 1];
} tag_list;

/* "k" and the name: what others call tags in the same cache is not ours. */
static void read_tags(const transit *t, tag_list *tags)
{
    tags->url[0] = 'u';
    memcpy(tags->url + 1, &t->url_hash, sizeof t->url_hash);
    tags->items[0] = (brisk_tag){tags->url, sizeof tags->url};
    tags->count = 1;
    const char *at = t->store.tags.items;
    const char *end = at + t->store.tags.count;
    while (at < end && tags->count < BRISK_TAGS_MAX) {
        const char *stop = memchr(at, ' ', (size_t)(end - at));
        size_t size = (size_t)((stop != NULL ? stop : end) - at);
        if (size > 0 && size <= TAG_MAX) {
            char *name = tags->names[tags->count];
            name[0] = 'k';
            memcpy(name + 1, at, size);
            tags->items[tags->count++] = (brisk_tag){name, size + 1};
        }
        at += size + 1;
    }
}

static void take_tags(transit *t, proxy_fields fields)
{
    for (uint32_t i = 0; i < fields.count; i++) {
        const http_field *f = &fields.items[i];
        if (!proxy_same(f->name, HTTP_TEXT("surrogate-key"))) {
            continue;
        }
        size_t at = t->store.tags.count;
        if (BRISK_VEC_RESERVE(&t->store.tags, at + f->value.size + 1)) {
            memcpy(t->store.tags.items + at, f->value.data, f->value.size);
            t->store.tags.items[at + f->value.size] = ' ';
            t->store.tags.count = at + f->value.size + 1;
        } else {
            t->store.on = false; /* without its tags it could not be purged */
        }
    }
}

static proxy_got got_of(const transit *t, const fetch_reply *reply)
{
    return (proxy_got){.status = reply->status,
                       .fields = reply->fields,
                       .control = proxy_control_of_response(reply->fields),
                       .request_ms = t->request_ms,
                       .response_ms = proxy_wall_ms(proxy_of(t))};
}

static int64_t date_of(const proxy_got *got)
{
    const http_text *field = proxy_field(got->fields, "date");
    int64_t now = got->response_ms / 1000;
    int64_t date;
    return field != NULL && proxy_date(*field, now, &date) ? date : now;
}

/* The fields that are kept, and what answers from here add to them. */
static void write_block(transit *t, const proxy_got *got)
{
    proxy_head *block = &t->store.block;
    proxy_head_init(block, proxy_of(t)->alloc);
    proxy_head_keep(block, got->fields);
    proxy_head_add(block, HTTP_TEXT("via"), HTTP_TEXT("1.1 brisk"));
    if (proxy_field(got->fields, "date") == NULL) {
        char date[PROXY_DATE_SIZE + 1];
        proxy_date_write(got->response_ms / 1000, date);
        proxy_head_add(block, HTTP_TEXT("date"), (http_text){date, PROXY_DATE_SIZE});
    }
}

static proxy_keep may_keep(transit *t, const fetch_reply *reply, const proxy_got *got)
{
    http_field table[PROXY_HEAD_FIELDS_MAX];
    proxy_asked asked = {
        .method = HTTP_GET, .fields = transit_fields(t, table), .control = t->control};
    proxy_keep keep = proxy_may_keep(&asked, got, &t->mount->policy);
    if (keep != PROXY_KEEP) {
        return keep;
    }
    if (reply->status == 206 ||
        (reply->content_length > 0 && (uint64_t)reply->content_length > t->mount->object_max)) {
        return PROXY_KEEP_STATUS;
    }
    /* Clients' own of these say less than what the upstream saw. */
    bool of_ours = t->mount->forwarded == PROXY_FORWARDED_ADD &&
                   (proxy_list_has(got->fields, "vary", HTTP_TEXT("x-forwarded-for")) ||
                    proxy_list_has(got->fields, "vary", HTTP_TEXT("forwarded")));
    return !of_ours && proxy_vary_spec(got->fields, t->store.spec) ? PROXY_KEEP : PROXY_KEEP_VARY;
}

/* The key under which it goes, once it is known on what it varies. */
static bool set_key(transit *t)
{
    http_field table[PROXY_HEAD_FIELDS_MAX];
    brisk_hash128 hash;
    t->key_size = t->url_key_size;
    if (t->store.spec[0] != '\0') {
        if (!proxy_vary_hash(t->store.spec, transit_fields(t, table), &hash)) {
            return false;
        }
        transit_set_variant(t, hash);
    }
    t->key.count = t->key_size;
    return true;
}

/* Another one for each body: a hash of it would take milliseconds of a large one.  Relaxed: only that it differs. */
static brisk_hash128 new_identity(proxy *p)
{
    uint64_t parts[3] = {p->seed, brisk_clock_wall_ns(p->clock),
                         atomic_fetch_add_explicit(&p->bodies, 1, memory_order_relaxed)};
    return brisk_hash128_of(parts, sizeof parts, p->seed);
}

bool store_begin(transit *t, const fetch_reply *reply)
{
    proxy_got got = got_of(t, reply);
    transit_store *s = &t->store;
    proxy_keep keep = may_keep(t, reply, &got);
    if (keep != PROXY_KEEP) {
        t->status.detail = proxy_keep_text(keep);
        return false;
    }
    s->on = true;
    s->filled = 0;
    s->head = (entry_head){.status = reply->status,
                           .date_s = date_of(&got),
                           .identity = new_identity(proxy_of(t)),
                           .life = proxy_life_of(&got, &t->mount->policy)};
    if (proxy_field(got.fields, "surrogate-key") != NULL) {
        s->head.flags = ENTRY_TAGS;
    }
    write_block(t, &got);
    take_tags(t, got.fields);
    bool good = s->on && proxy_head_err(&s->block) == BRISK_OK && set_key(t);
    bool known = reply->content_length >= 0 || !reply->has_body;
    if (good && known) {
        s->head.body_size = reply->has_body ? (uint64_t)reply->content_length : 0;
        s->head.total = s->head.body_size;
        good = entry_make(&s->head, &s->block, proxy_of(t)->alloc, &s->value, &s->body) == BRISK_OK;
    }
    if (good && !reply->whole) {
        good = tape_open(&s->tape, proxy_of(t)->alloc, s->value, s->body, s->head.body_size);
    }
    if (!good) {
        store_drop(t);
    }
    return good;
}

bool store_was_personal(const transit *t)
{
    return !t->store.on && t->status.detail == proxy_keep_text(PROXY_KEEP_AUTHORIZATION);
}

bool store_body(transit *t, const void *data, size_t size)
{
    transit_store *s = &t->store;
    uint64_t most = s->value != NULL ? s->head.body_size : t->mount->object_max;
    if (size > most - s->filled) {
        return false;
    }
    if (s->tape.last == NULL) { /* it came whole, with an empty body perhaps */
        memcpy(s->body + s->filled, size > 0 ? data : "", size);
    } else if (!tape_put(&s->tape, data, size)) {
        return false;
    }
    s->filled += size;
    return true;
}

brisk_value *store_end(transit *t)
{
    transit_store *s = &t->store;
    if (s->value == NULL) {
        s->head.body_size = s->filled;
        s->head.total = s->filled;
        if (entry_make(&s->head, &s->block, proxy_of(t)->alloc, &s->value, &s->body) != BRISK_OK) {
            return NULL;
        }
        const unsigned char *data;
        size_t size;
        size_t at = 0;
        tape_reader reader = {.piece = NULL};
        tape_read(&reader, s->tape.first);
        while ((size = tape_next(&reader, &data)) > 0) {
            memcpy(s->body + at, data, size);
            tape_took(&reader, size);
            at += size;
        }
        tape_leave(&reader);
    }
    return s->filled == s->head.body_size ? brisk_value_ref(s->value) : NULL;
}

void store_drop(transit *t)
{
    transit_store *s = &t->store;
    if (s->on || s->value != NULL || s->tape.last != NULL || s->tags.items != NULL) {
        brisk_value_unref(s->value);
        proxy_head_deinit(&s->block);
        tape_close(&s->tape);
        BRISK_VEC_DEINIT(&s->tags);
        s->value = NULL;
        s->body = NULL;
        s->filled = 0;
        s->on = false;
    }
}

/* The fields of a 304, with its Date: of now, when it has none (RFC 9110 6.6.1); that of what is stored is older. */
static proxy_fields dated(const proxy_got *got, http_field *table, char date[PROXY_DATE_SIZE + 1])
{
    proxy_fields fields = got->fields;
    if (proxy_field(fields, "date") == NULL && fields.count < PROXY_HEAD_FIELDS_MAX) {
        memcpy(table, fields.items, fields.count * sizeof *table);
        proxy_date_write(got->response_ms / 1000, date);
        table[fields.count++] = (http_field){HTTP_TEXT("date"), (http_text){date, PROXY_DATE_SIZE}};
        fields.items = table;
    }
    return fields;
}

brisk_value *store_renew(transit *t, const entry *old, const fetch_reply *reply)
{
    http_field with_date[PROXY_HEAD_FIELDS_MAX];
    char date[PROXY_DATE_SIZE + 1];
    http_field table[PROXY_HEAD_FIELDS_MAX];
    http_field merged[PROXY_HEAD_FIELDS_MAX];
    proxy_fields stored;
    proxy_got got = got_of(t, reply);
    proxy_head *block = &t->store.block;
    uint32_t count = 0;
    got.fields = dated(&got, with_date, date);
    brisk_value *fresh = NULL;
    if (!entry_fields(old, table, &stored)) {
        return NULL;
    }
    t->store.on = true;
    proxy_head_init(block, proxy_of(t)->alloc);
    proxy_head_merge(block, stored, got.fields);
    if (proxy_head_err(block) != BRISK_OK ||
        !proxy_block_fields(brisk_str_text(&block->block), brisk_str_size(&block->block), merged,
                            PROXY_HEAD_FIELDS_MAX, &count)) {
        return NULL;
    }
    /* Its life is that of what is stored now, counted from this answer; Age is the 304's own. */
    proxy_got now = got;
    now.status = old->head->status;
    now.fields = (proxy_fields){merged, count};
    take_tags(t, now.fields);
    now.control = proxy_control_of_response(now.fields);
    const http_text *age = proxy_field(got.fields, "age");
    if (age != NULL && count < PROXY_HEAD_FIELDS_MAX) {
        merged[count] = (http_field){HTTP_TEXT("age"), *age};
        now.fields.count = count + 1;
    }
    entry_head head = *old->head;
    head.life = proxy_life_of(&now, &t->mount->policy);
    head.date_s = date_of(&now);
    head.flags |= proxy_field(now.fields, "surrogate-key") != NULL ? ENTRY_TAGS : 0;
    if (!t->store.on || !proxy_vary_spec(now.fields, t->store.spec) || !set_key(t) ||
        entry_renew(old, &head, block, proxy_of(t)->alloc, &fresh) != BRISK_OK) {
        return NULL;
    }
    return fresh;
}

/* --- into the tiers ------------------------------------------------------------------------ */

/* When a tier may forget it: when it is of no use for anything any more. */
static uint64_t expires_of(const transit *t, const entry_head *head)
{
    const proxy_life *life = &head->life;
    uint64_t stale = life->stale_while_s;
    stale = life->stale_error_s > stale ? life->stale_error_s : stale;
    stale = t->mount->policy.stale_error_s > stale ? t->mount->policy.stale_error_s : stale;
    /* What can be validated is worth keeping for as long again, and an hour at least. */
    uint64_t again = life->lifetime_s > 3600 ? life->lifetime_s : 3600;
    stale = stale > again ? stale : again;
    int64_t end_ms = life->born_ms + ((int64_t)life->lifetime_s + (int64_t)stale) * 1000;
    return end_ms > 0 ? (uint64_t)end_ms * 1000000 : 1;
}

/* `near`: into the near tier alone; the other tiers, and those who depend on the key, are told by
 * the put that follows. */
static void put_one(proxy *p, bool near, const brisk_key *key, brisk_value *value,
                    const brisk_entry_opts *opts)
{
    brisk_sealed sealed;
    if (!near) {
        brisk_cache_put(p->cache, key, value, opts);
    } else if (p->near != 0 && brisk_cache_seal(p->cache, key, opts, &sealed)) {
        brisk_tier *tier = brisk_cache_tier(p->cache, 0);
        (void)tier->ops->put(tier, key, value, &sealed.opts); /* not kept: it is asked for again */
    }
}

/* Write both entries of `t`: the response, and the spec if it varies. */
static void put_all(transit *t, brisk_value *value, bool near)
{
    proxy *p = proxy_of(t);
    tag_list tags;
    entry e;
    if (!entry_open(value, &e)) {
        return;
    }
    read_tags(t, &tags);
    brisk_entry_opts opts = {.expires_at_ns = expires_of(t, e.head),
                             .tags = tags.items,
                             .tag_count = tags.count,
                             .as_of = t->store.epoch};
    brisk_key key = brisk_key_of(t->key.items, t->key_size);
    put_one(p, near, &key, value, &opts);
    if (t->store.spec[0] == '\0' || strcmp(t->store.spec, t->seen_spec) == 0) {
        return; /* nothing to say, or it is said */
    }
    brisk_value *spec = NULL;
    if (entry_make_spec(t->store.spec, p->alloc, &spec) != BRISK_OK) {
        return;
    }
    brisk_key url = brisk_key_of(t->key.items, t->url_key_size);
    put_one(p, near, &url, spec, &opts);
    brisk_value_unref(spec);
}

void store_put_deep(transit *t)
{
    put_all(t, t->value, false);
}

void store_put(transit *t, brisk_value *value)
{
    put_all(t, value, proxy_of(t)->deep);
}
