/*
 * transit.c -- see transit.h: making transits, and the request as upstreams get it.
 *
 * Source: RFC 9110 7.6.3 (Via), RFC 7239 (Forwarded).
 */
#include "daemon/proxy/transit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "daemon/api/api.h"

enum { FREE_MAX = 1024, TEXT_KEPT = 16384 };

transit *transit_new(proxy_side *side, proxy_mount *mount, exchange *x)
{
    const brisk_alloc *alloc = side->owner->alloc;
    transit *t = side->free;
    if (t != NULL) {
        side->free = t->next;
        side->free_count--;
    } else {
        t = alloc->acquire(alloc->ctx, sizeof *t, _Alignof(transit));
        if (t == NULL) {
            return NULL;
        }
        memset(t, 0, sizeof *t);
        t->text.alloc = alloc;
        t->key.alloc = alloc;
        t->store.tags.alloc = alloc;
    }
    t->side = side;
    t->mount = mount;
    t->x = x;
    t->previous = NULL;
    t->next = side->all;
    if (side->all != NULL) {
        side->all->previous = t;
    }
    side->all = t;
    if (x != NULL) {
        x->handler = t;
        t->method = x->method;
    }
    return t;
}

/* As new, but with the memory that it has. */
static void clear(transit *t)
{
    transit fresh = {
        .text = {.alloc = t->text.alloc, .items = t->text.items, .capacity = t->text.capacity},
        .key = {.alloc = t->key.alloc, .items = t->key.items, .capacity = t->key.capacity}};
    fresh.store.tags.alloc = t->store.tags.alloc;
    *t = fresh;
}

bool transit_stale(const transit *t, entry *e)
{
    if (t->stale == NULL) {
        return false;
    }
    if (t->stale_front == NULL) {
        return entry_open(t->stale, e);
    }
    *e = (entry){.value = t->stale, .front = t->stale_front};
    entry_front(e);
    return true;
}

void transit_drop_stale(transit *t)
{
    brisk_value_unref(t->stale);
    brisk_value_unref(t->stale_front);
    t->stale = NULL;
    t->stale_front = NULL;
}

void transit_destroy(transit *t)
{
    const brisk_alloc *alloc = t->text.alloc;
    store_drop(t);
    tape_leave(&t->reader);
    transit_drop_stale(t);
    brisk_value_unref(t->value);
    brisk_value_unref(t->front);
    BRISK_VEC_DEINIT(&t->text);
    BRISK_VEC_DEINIT(&t->key);
    alloc->release(alloc->ctx, t, sizeof *t, _Alignof(transit));
}

bool transit_orphan(transit *t)
{
    if (t->side->orphans == ORPHANS_MAX) {
        return false;
    }
    t->side->orphans++;
    t->orphan = true;
    return true;
}

void transit_let_go(transit *t)
{
    if (t->x != NULL || t->fetching || t->waits || t->held) {
        return; /* while it waits, the rest is its leader's to change */
    }
    if (t->flight != NULL || t->posted || atomic_load_explicit(&t->told, memory_order_acquire)) {
        return;
    }
    proxy_side *side = t->side;
    side->orphans -= t->orphan ? 1 : 0;
    if (t->previous != NULL) {
        t->previous->next = t->next;
    } else {
        side->all = t->next;
    }
    if (t->next != NULL) {
        t->next->previous = t->previous;
    }
    if (side->free_count == FREE_MAX || t->text.capacity > TEXT_KEPT) {
        transit_destroy(t);
        return;
    }
    store_drop(t);
    tape_leave(&t->reader);
    transit_drop_stale(t);
    brisk_value_unref(t->value);
    brisk_value_unref(t->front);
    clear(t);
    t->next = side->free;
    side->free = t;
    side->free_count++;
}

void transit_set_variant(transit *t, brisk_hash128 variant)
{
    t->variant = variant;
    t->key_size = entry_variant_key(t->key.items, t->url_key_size, variant);
    t->key.count = t->key_size;
}

/* --- the request --------------------------------------------------------------------------- */

static bool add(transit *t, const char *data, size_t size)
{
    if (!BRISK_VEC_RESERVE(&t->text, t->text.count + size)) {
        return false;
    }
    memcpy(t->text.items + t->text.count, data, size);
    t->text.count += size;
    return true;
}

static bool add_line(transit *t, http_text name, http_text value)
{
    return add(t, name.data, name.size) && add(t, ": ", 2) &&
           (value.size == 0 || add(t, value.data, value.size)) && add(t, "\r\n", 2);
}

/* Who is there, as text; "" when that is not known. */
static void read_address(int fd, char text[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    text[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0) {
        return;
    }
    if (address.ss_family == AF_INET) {
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text,
                        INET6_ADDRSTRLEN);
    } else if (address.ss_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, text,
                        INET6_ADDRSTRLEN);
    }
}

/* Who asks, likewise: read once for each connection. */
static size_t client_address(const exchange *x, char text[INET6_ADDRSTRLEN], bool *is_v6)
{
    static_assert(CONN_ADDRESS_TEXT == INET6_ADDRSTRLEN, "it is kept there");
    conn *c = x->conn;
    *is_v6 = false;
    text[0] = '\0';
    if (c == NULL) {
        return 0;
    }
    if (!c->has_address_text) {
        read_address(c->fd, c->address_text);
        c->has_address_text = true;
    }
    size_t size = strlen(c->address_text);
    memcpy(text, c->address_text, size + 1);
    *is_v6 = memchr(text, ':', size) != NULL;
    return size;
}

/* Do its quoted strings end?  One that does not would swallow what is written behind it. */
static bool ends_its_quotes(http_text value)
{
    bool quoted = false;
    for (size_t i = 0; i < value.size; i++) {
        if (quoted && value.data[i] == '\\') {
            i++;
        } else if (value.data[i] == '"') {
            quoted = !quoted;
        }
    }
    return !quoted;
}

/* All lines of one field, joined, and `last` behind them. */
static bool add_appended(transit *t, const char *name, http_text last)
{
    proxy_fields fields = {t->x->fields, t->x->field_count};
    size_t size = strlen(name);
    bool good = add(t, name, size) && add(t, ": ", 2);
    for (uint32_t i = 0; good && i < fields.count; i++) {
        const http_field *f = &fields.items[i];
        if (f->name.size == size && memcmp(f->name.data, name, size) == 0 && f->value.size > 0 &&
            ends_its_quotes(f->value)) {
            good = add(t, f->value.data, f->value.size) && add(t, ", ", 2);
        }
    }
    return good && add(t, last.data, last.size) && add(t, "\r\n", 2);
}

static size_t put(char *to, size_t used, http_text text)
{
    if (text.size > 0) {
        memcpy(to + used, text.data, text.size);
    }
    return used + text.size;
}

/* "for=192.0.2.1;proto=http;host="example.org"", and the older fields that say the same.  Without printf, which takes as
 * long as a tenth of all the rest of a request. */
static bool add_forwarded(transit *t)
{
    const exchange *x = t->x;
    char address[INET6_ADDRSTRLEN];
    bool is_v6;
    size_t size = client_address(x, address, &is_v6);
    http_text who = size > 0 ? (http_text){address, size} : HTTP_TEXT("unknown");
    http_text proto = x->secure ? HTTP_TEXT("https") : HTTP_TEXT("http");
    char element[1024];
    bool plain_host = x->authority.size < 512 &&
                      memchr(x->authority.data, '"', x->authority.size) == NULL &&
                      memchr(x->authority.data, '\\', x->authority.size) == NULL;
    size_t used = put(element, 0, is_v6 ? HTTP_TEXT("for=\"[") : HTTP_TEXT("for="));
    used = put(element, used, who);
    used = put(element, used, is_v6 ? HTTP_TEXT("]\";proto=") : HTTP_TEXT(";proto="));
    used = put(element, used, proto);
    used = put(element, used, HTTP_TEXT(";host=\""));
    used = put(element, used, plain_host ? x->authority : HTTP_TEXT(""));
    used = put(element, used, HTTP_TEXT("\""));
    return add_appended(t, "forwarded", (http_text){element, used}) &&
           add_appended(t, "x-forwarded-for", who) &&
           add_line(t, HTTP_TEXT("x-forwarded-proto"), proto) &&
           (x->authority.size == 0 || add_line(t, HTTP_TEXT("x-forwarded-host"), x->authority));
}

static bool is_one_of(http_text name, const http_text *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (proxy_same(name, list[i])) {
            return true;
        }
    }
    return false;
}

/* Any X-Forwarded-*: upstreams believe them all, and those that are not in a key would be in others' answers. */
static bool is_forwarded(http_text name)
{
    static const char x[] = "x-forwarded-";
    return proxy_same(name, HTTP_TEXT("forwarded")) ||
           (name.size >= sizeof x && memcmp(name.data, x, sizeof x - 1) == 0);
}

/* Fields that this proxy writes itself, or that are about a part of what it wants whole. */
static bool is_left_out(const transit *t, http_text name)
{
    static const http_text ours[] = {HTTP_TEXT_INIT("host"), HTTP_TEXT_INIT("content-length"),
                                     HTTP_TEXT_INIT("via"), HTTP_TEXT_INIT("expect")};
    static const http_text parts[] = {HTTP_TEXT_INIT("if-none-match"),
                                      HTTP_TEXT_INIT("if-modified-since"),
                                      HTTP_TEXT_INIT("if-range"), HTTP_TEXT_INIT("range")};
    char first = name.size > 0 ? name.data[0] : '\0';
    if (strchr("hcvefxirktup", first) == NULL) {
        return false;
    }
    return proxy_is_hop_field(name) || is_one_of(name, ours, 4) ||
           (t->mount->forwarded != PROXY_FORWARDED_PASS && is_forwarded(name)) ||
           (t->whole_wanted && is_one_of(name, parts, 4));
}

/* The target without the mount's prefix; false: it is written otherwise than the prefix. */
static bool strip_target(const transit *t, http_text *target)
{
    size_t size = strlen(t->mount->at);
    while (size > 0 && t->mount->at[size - 1] == '/') {
        size--;
    }
    if (!t->mount->strip || size == 0) {
        return true;
    }
    if (target->size < size || memcmp(target->data, t->mount->at, size) != 0 ||
        (target->size > size && target->data[size] != '/' && target->data[size] != '?')) {
        return false;
    }
    target->data += size;
    target->size -= size;
    return true;
}

/* Conditions of our own, about what is stored. */
static bool add_conditions(transit *t)
{
    entry e;
    proxy_fields fields;
    http_field table[PROXY_HEAD_FIELDS_MAX];
    if (!t->conditional || !transit_stale(t, &e) || !entry_fields(&e, table, &fields)) {
        return true;
    }
    const http_text *etag = proxy_field(fields, "etag");
    const http_text *modified = proxy_field(fields, "last-modified");
    return (etag == NULL || add_line(t, HTTP_TEXT("if-none-match"), *etag)) &&
           (modified == NULL || add_line(t, HTTP_TEXT("if-modified-since"), *modified));
}

/* Tags that compressed answers got here mean nothing to upstreams: what they stand for is added. */
static bool add_tags(transit *t, http_text value)
{
    http_text rest = value;
    http_text item;
    bool good = add(t, "if-none-match: ", 15) && add(t, value.data, value.size);
    while (good && proxy_element_next(&rest, &item)) {
        http_text cut;
        if (proxy_etag_cut(item, &cut)) {
            good = add(t, ", ", 2) && add(t, cut.data, cut.size) && add(t, "\"", 1);
        }
    }
    return good && add(t, "\r\n", 2);
}

/* The trace goes on with this exchange as its span; what is none is left out. */
static bool add_traceparent(transit *t, http_text value)
{
    traceparent parent;
    char text[TRACEPARENT_SIZE + 1];
    if (!traceparent_read(value, &parent)) {
        return true;
    }
    const server *s = t->x->worker->server;
    traceparent_write(&parent, http_observe_span(s->api->observer, t->x->id), text);
    return add_line(t, HTTP_TEXT("traceparent"), (http_text){text, TRACEPARENT_SIZE});
}

/* Parts of the text are found by where they begin, since it moves while it grows. */
static void set_request(transit *t, size_t method_size, size_t target_size, size_t host_size)
{
    fetch_request *r = &t->fetch.request;
    const exchange *x = t->x;
    const char *at = t->text.items;
    *r = (fetch_request){.method = {at, method_size},
                         .target = {at + method_size, target_size},
                         .host = {at + method_size + target_size, host_size},
                         .content_length = x->content_length,
                         .has_body = x->has_body,
                         .is_head = x->method == HTTP_HEAD};
    size_t used = method_size + target_size + host_size;
    r->block = (http_text){at + used, t->text.count - used};
    r->idempotent =
        (x->method & (HTTP_GET | HTTP_HEAD | HTTP_OPTIONS | HTTP_PUT | HTTP_DELETE)) != 0;
}

bool transit_write_request(transit *t)
{
    const exchange *x = t->x;
    http_text target = x->target;
    http_text method = x->method_text;
    http_text host = x->authority;
    if (!strip_target(t, &target)) {
        transit_fail(t, 400, "the path is written in another way than the proxy's");
        return false;
    }
    if (t->whole_wanted) {
        method = HTTP_TEXT("GET");
    }
    if (t->mount->host_policy != PROXY_HOST_PASS) {
        host = t->mount->host_policy == PROXY_HOST_UPSTREAM
                   ? (http_text){0}
                   : (http_text){t->mount->host_fixed, strlen(t->mount->host_fixed)};
    }
    size_t slash = target.size == 0 || target.data[0] != '/' ? 1 : 0;
    t->text.count = 0;
    bool good = add(t, method.data, method.size) && (slash == 0 || add(t, "/", 1)) &&
                (target.size == 0 || add(t, target.data, target.size)) &&
                (host.size == 0 || add(t, host.data, host.size));
    for (uint32_t i = 0; good && i < x->field_count; i++) {
        const http_field *f = &x->fields[i];
        if (proxy_same(f->name, HTTP_TEXT("traceparent"))) {
            good = add_traceparent(t, f->value);
        } else if (!is_left_out(t, f->name)) {
            bool tags = t->mount->compress && proxy_same(f->name, HTTP_TEXT("if-none-match"));
            good = tags ? add_tags(t, f->value) : add_line(t, f->name, f->value);
        }
    }
    good = good && add_appended(t, "via",
                                x->version == 20   ? HTTP_TEXT("2.0 brisk")
                                : x->version == 10 ? HTTP_TEXT("1.0 brisk")
                                                   : HTTP_TEXT("1.1 brisk"));
    good = good && (t->mount->forwarded != PROXY_FORWARDED_ADD || add_forwarded(t)) &&
           add_conditions(t);
    if (!good) {
        transit_fail(t, 503, "out of memory");
        return false;
    }
    set_request(t, method.size, slash + target.size, host.size);
    if (t->whole_wanted) {
        t->fetch.request.is_head = false;
        t->fetch.request.idempotent = true;
    }
    return true;
}

bool transit_keep_fields(transit *t)
{
    const exchange *x = t->x;
    bool good = true;
    t->text.count = 0;
    for (uint32_t i = 0; good && i < x->field_count; i++) {
        good = add_line(t, x->fields[i].name, x->fields[i].value);
    }
    t->fetch.request.block = (http_text){t->text.items, t->text.count};
    return good;
}

proxy_fields transit_fields(const transit *t, http_field table[PROXY_HEAD_FIELDS_MAX])
{
    const http_text *block = &t->fetch.request.block;
    uint32_t count = 0;
    if (!t->away && t->x != NULL) {
        return (proxy_fields){t->x->fields, t->x->field_count};
    }
    if (!proxy_block_fields(block->data, block->size, table, PROXY_HEAD_FIELDS_MAX, &count)) {
        count = 0;
    }
    return (proxy_fields){table, count};
}

void transit_fetch(transit *t, const fetch_events *events)
{
    fetch_request request = t->fetch.request;
    t->fetch = (fetch){.events = events, .request = request};
    t->fetching = true;
    proxy_pool *pool = t->side->pools[t->mount->index];
    if (!pool->asked_times) {
        figures_need_times(pool, t->mount);
    }
    if (t->x != NULL) {
        exchange_note(t->x, EXCHANGE_ASKED);
    }
    fetch_start(&t->fetch, pool);
}

void transit_replied(transit *t)
{
    if (t->x != NULL) {
        exchange_note(t->x, EXCHANGE_REPLIED);
    }
}

/* --- away and home ------------------------------------------------------------------------- */

static void run_home(loop_task *task)
{
    transit *t = (transit *)((char *)task - offsetof(transit, task));
    t->posted = false;
    t->home(t);
}

static void end_task(proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->tasks--;
    if (p->tasks == 0) {
        (void)pthread_cond_broadcast(&p->idle);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

static void run_away(brisk_task *job)
{
    transit *t = (transit *)((char *)job - offsetof(transit, job));
    proxy *p = proxy_of(t);
    void (*work)(transit *) = NULL;
    memcpy(&work, &job->ctx, sizeof work);
    work(t);
    loop_post(t->side->loop, &t->task);
    end_task(p); /* the proxy is there until this; `t` may be gone */
}

void transit_leave(transit *t, void (*work)(transit *t), void (*home)(transit *t))
{
    proxy *p = proxy_of(t);
    BRISK_ASSERT(!t->posted);
    t->posted = true;
    t->home = home;
    t->task.run = run_home;
    t->job = (brisk_task){.run = run_away};
    memcpy(&t->job.ctx, &work, sizeof work);
    (void)pthread_mutex_lock(&p->lock);
    p->tasks++;
    (void)pthread_mutex_unlock(&p->lock);
    brisk_executor_submit(p->executor, &t->job);
}

void transit_post(transit *t, void (*home)(transit *t))
{
    BRISK_ASSERT(!t->posted);
    t->posted = true;
    t->home = home;
    t->task.run = run_home;
    loop_post(t->side->loop, &t->task);
}
