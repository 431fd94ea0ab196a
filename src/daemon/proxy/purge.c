/*
 * purge.c -- what is stored goes before its time.
 *
 *     PURGE /path                        the URL with its variants
 *     PURGE /any  Surrogate-Key: a b     every response that came with one of these keys
 *
 * After an unsafe method that was no error the URL goes, and those that Location and Content-Location
 * name, when they are of the same origin (RFC 9111 4.4).
 *
 * Flights under way for a URL that goes do not store what they bring.
 *
 * Tiers on disk wait, loops do not: they are told in the executor.  Until that is done the URL is in proxy.purges, and
 * who asks for it is answered by the upstream: nobody finds what an unsafe method has outdated.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/proxy/transit.h"

enum { TAG_MAX = 256, PURGES_MAX = 256 };

typedef struct purge {
    brisk_task job;
    proxy *owner;
    struct purge *next;
    size_t size;
    char key[]; /* of the URL */
} purge;

/* Drop a URL with its variants. */
static bool drop_url(proxy *p, const char *key, size_t size)
{
    brisk_hash128 hash = brisk_hash128_of(key, size, 0);
    brisk_key url = {key, size, hash};
    char tag[1 + sizeof hash];
    tag[0] = 'u';
    memcpy(tag + 1, &hash, sizeof hash);
    flight_spoil(p, key, size);
    bool good = brisk_cache_remove(p->cache, &url) == BRISK_OK;
    return brisk_cache_invalidate_tag(p->cache, tag, sizeof tag) == BRISK_OK && good;
}

/* In the executor. */
static void run_purge(brisk_task *job)
{
    purge *one = (purge *)((char *)job - offsetof(purge, job));
    proxy *p = one->owner;
    const brisk_alloc *alloc = p->alloc;
    (void)drop_url(p, one->key, one->size);
    (void)pthread_mutex_lock(&p->lock);
    purge **at = &p->purges;
    while (*at != one) {
        at = &(*at)->next;
    }
    *at = one->next;
    (void)atomic_fetch_sub_explicit(&p->purging, 1, memory_order_release);
    alloc->release(alloc->ctx, one, sizeof *one + one->size, _Alignof(purge));
    p->tasks--;
    if (p->tasks == 0) {
        (void)pthread_cond_broadcast(&p->idle);
    }
    (void)pthread_mutex_unlock(&p->lock); /* the proxy is there until this */
}

/* Likewise, without waiting for tiers that are not near; the next request does not find it. */
static void drop_later(proxy *p, const char *key, size_t size)
{
    purge *one = NULL;
    if (p->deep &&
        atomic_load_explicit(&p->purging, memory_order_relaxed) < PURGES_MAX) { /* or so */
        one = p->alloc->acquire(p->alloc->ctx, sizeof *one + size, _Alignof(purge));
    }
    if (one == NULL) {
        (void)drop_url(p, key, size);
        return;
    }
    *one = (purge){.job = {.run = run_purge}, .owner = p, .size = size};
    memcpy(one->key, key, size);
    flight_spoil(p, key, size);
    (void)pthread_mutex_lock(&p->lock);
    one->next = p->purges;
    p->purges = one;
    p->tasks++;
    (void)atomic_fetch_add_explicit(&p->purging, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&p->lock);
    brisk_executor_submit(p->executor, &one->job);
}

void purge_url(transit *t)
{
    drop_later(proxy_of(t), t->key.items, t->url_key_size);
}

bool purge_is_at(transit *t)
{
    proxy *p = proxy_of(t);
    bool found = false;
    /* Acquire, with the release of the last one's end: what it dropped is gone for who sees the count without it. */
    if (atomic_load_explicit(&p->purging, memory_order_acquire) == 0) {
        return false;
    }
    (void)pthread_mutex_lock(&p->lock);
    for (const purge *one = p->purges; one != NULL && !found; one = one->next) {
        found = one->size == t->url_key_size && memcmp(one->key, t->key.items, one->size) == 0;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return found;
}

static void drop_named(transit *t, http_text where)
{
    const exchange *x = t->x;
    char key[ENTRY_KEY_MAX];
    char target[ENTRY_KEY_MAX];
    size_t size;
    http_text scheme = x->secure ? HTTP_TEXT("https://") : HTTP_TEXT("http://");
    if (where.size > scheme.size && memcmp(where.data, scheme.data, scheme.size) == 0) {
        where.data += scheme.size;
        where.size -= scheme.size;
        const char *slash = memchr(where.data, '/', where.size);
        size_t host = slash != NULL ? (size_t)(slash - where.data) : where.size;
        if (!proxy_like((http_text){where.data, host}, x->authority)) {
            return; /* another origin's */
        }
        where.data += host;
        where.size -= host;
    }
    const char *hash = where.size > 0 ? memchr(where.data, '#', where.size) : NULL;
    where.size = hash != NULL ? (size_t)(hash - where.data) : where.size;
    if (where.size == 0 || (where.size > 1 && where.data[0] == '/' && where.data[1] == '/') ||
        memchr(where.data, ':', where.size) != NULL) {
        return;
    }
    if (where.data[0] != '/') { /* beside the target */
        size_t base = x->target.size;
        const char *query = memchr(x->target.data, '?', base);
        base = query != NULL ? (size_t)(query - x->target.data) : base;
        while (base > 0 && x->target.data[base - 1] != '/') {
            base--;
        }
        if (base + where.size > sizeof target) {
            return;
        }
        memcpy(target, x->target.data, base);
        memcpy(target + base, where.data, where.size);
        where = (http_text){target, base + where.size};
    }
    if (entry_key(key, x->secure, x->authority, where, &size)) {
        drop_later(proxy_of(t), key, size);
    }
}

void purge_after(transit *t, const fetch_reply *reply)
{
    char key[ENTRY_KEY_MAX];
    size_t size;
    proxy *p = proxy_of(t);
    if (p->cache == NULL || t->x == NULL || reply->status < 200 || reply->status >= 400) {
        return;
    }
    if (entry_key(key, t->x->secure, t->x->authority, t->x->target, &size)) {
        drop_later(p, key, size);
    }
    const http_text *location = proxy_field(reply->fields, "location");
    const http_text *content = proxy_field(reply->fields, "content-location");
    if (location != NULL) {
        drop_named(t, *location);
    }
    if (content != NULL) {
        drop_named(t, *content);
    }
}

/* --- PURGE --------------------------------------------------------------------------------- */

static bool drop_tags(proxy *p, http_text names)
{
    bool good = true;
    while (names.size > 0) {
        const char *stop = memchr(names.data, ' ', names.size);
        size_t size = stop != NULL ? (size_t)(stop - names.data) : names.size;
        char tag[TAG_MAX + 1] = "k";
        if (size > 0 && size <= TAG_MAX) {
            memcpy(tag + 1, names.data, size);
            good = brisk_cache_invalidate_tag(p->cache, tag, size + 1) == BRISK_OK && good;
        }
        size_t used = stop != NULL ? size + 1 : size;
        names.data += used;
        names.size -= used;
    }
    /* One whose answer is on its way into the tiers would be found by who asks now. */
    flight_spoil_all(p);
    return good;
}

/* In the executor.  The exchange stays: its end waits for `posted`, and its head with it. */
static void work(transit *t)
{
    proxy *p = proxy_of(t);
    bool good = t->text.count > 0 ? drop_tags(p, (http_text){t->text.items, t->text.count})
                                  : drop_url(p, t->key.items, t->url_key_size);
    t->whole_wanted = good; /* how it went */
}

static void worked(transit *t)
{
    static const char done[] = "{\"schema\": 1, \"purged\": true}\n";
    static const http_field fields[] = {
        {HTTP_TEXT_INIT("content-type"), HTTP_TEXT_INIT("application/json")},
        {HTTP_TEXT_INIT("cache-control"), HTTP_TEXT_INIT("no-store")}};
    if (t->x != NULL && !t->whole_wanted) {
        transit_fail(t, 500, "not every tier could be told");
    } else if (t->x != NULL) {
        t->answered = true;
        exchange_answer(
            t->x, &(http_answer){
                      .status = 200,
                      .fields = fields,
                      .field_count = 2,
                      .body = {.kind = HTTP_BODY_BYTES, .data = done, .size = sizeof done - 1}});
    }
    transit_let_go(t);
}

/* Of a mount's methods this one alone needs a right; false: it was answered. */
static bool may_purge(transit *t)
{
    static const http_route needs = {
        .name = "proxy.purge", .right = HTTP_RIGHT_CHANGE, .right_change = HTTP_RIGHT_CHANGE};
    exchange *x = t->x;
    const server *s = proxy_of(t)->server;
    if (s->http_admit != NULL) {
        const http_route *route = x->route;
        x->route = &needs;
        t->answered = !s->http_admit(x);
        x->route = route;
        return !t->answered;
    }
    if (x->right < HTTP_RIGHT_CHANGE) {
        transit_fail(t, x->right == HTTP_RIGHT_NONE ? 401 : 403, "PURGE needs a token");
        return false;
    }
    return true;
}

void purge_start(transit *t)
{
    const exchange *x = t->x;
    proxy *p = proxy_of(t);
    proxy_fields request = {x->fields, x->field_count};
    const http_text *tags = proxy_field(request, "surrogate-key");
    if (!may_purge(t)) {
        return;
    }
    if (p->cache == NULL || !t->mount->cache) {
        transit_fail(t, 409, "nothing is cached here");
        return;
    }
    t->text.count = 0;
    if (!BRISK_VEC_RESERVE(&t->key, ENTRY_KEY_MAX) ||
        (tags != NULL && !BRISK_VEC_RESERVE(&t->text, tags->size + 1))) {
        transit_fail(t, 503, "out of memory");
        return;
    }
    if (!entry_key(t->key.items, x->secure, x->authority, x->target, &t->url_key_size)) {
        transit_fail(t, 414, "what has so long a name is not cached");
        return;
    }
    if (tags != NULL && tags->size > 0) {
        memcpy(t->text.items, tags->data, tags->size);
        t->text.count = tags->size;
    }
    transit_leave(t, work, worked);
}
