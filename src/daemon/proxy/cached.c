/*
 * cached.c -- what a request gets from the cache, and what it must ask for.
 *
 *     near tier ─┬─ fresh ───────────────► answer
 *                ├─ stale, may be used ──► answer, and renew behind it
 *                ├─ stale ───────────────► flight, with conditions
 *                └─ nothing ─► other tiers (executor) ─► the same again
 *                                   └─ nothing ─► flight
 *
 * Not for the cache: methods but GET and HEAD, ranges of what is not stored, conditions that only the
 * origin decides, and keys that were found not to be shared a moment ago (they would only wait for
 * each other).  A HEAD is answered from what a GET stored, and asked for by itself otherwise; its answer renews what is
 * stored, or shows that it is outdated.
 *
 * Source: RFC 9111 4, 4.3.5, 5.2.1.
 */
#include <string.h>

#include "daemon/proxy/transit.h"

/* --- keys that are not shared -------------------------------------------------------------- */

/* Half of a hash with a seed, so that nobody makes others' keys pass, and the second until which it holds. */
static uint64_t pass_mark(uint64_t hash, uint64_t until_s)
{
    return (hash & ~UINT64_C(0xffffffff)) | (until_s & UINT64_C(0xffffffff));
}

static uint64_t pass_hash(const transit *t)
{
    return brisk_hash64(t->key.items, t->url_key_size, proxy_of(t)->seed);
}

static uint64_t now_s(const proxy *p)
{
    return brisk_clock_now_ns(p->clock) / UINT64_C(1000000000);
}

bool cached_is_passed(transit *t)
{
    proxy *p = proxy_of(t);
    uint64_t hash = pass_hash(t);
    uint64_t mark = atomic_load_explicit(&p->passes[hash % PASSES], memory_order_relaxed);
    return pass_mark(hash, mark) == mark && (mark & UINT64_C(0xffffffff)) > now_s(p);
}

void cached_pass(transit *t)
{
    proxy *p = proxy_of(t);
    uint64_t hash = pass_hash(t);
    atomic_store_explicit(&p->passes[hash % PASSES], pass_mark(hash, now_s(p) + PASS_SECONDS),
                          memory_order_relaxed);
}

/* --- finding ------------------------------------------------------------------------------- */

static bool set_url_key(transit *t)
{
    const exchange *x = t->x;
    if (!BRISK_VEC_RESERVE(&t->key, ENTRY_KEY_MAX) ||
        !entry_key(t->key.items, x->secure, x->authority, x->target, &t->url_key_size)) {
        return false;
    }
    t->key_size = t->url_key_size;
    t->key.count = t->key_size;
    t->url_hash = brisk_hash128_of(t->key.items, t->url_key_size, 0);
    return true;
}

static bool get(transit *t, uint32_t tiers, entry *e)
{
    brisk_hit hit;
    brisk_key key = {t->key.items, t->key_size, t->url_hash};
    if (t->key_size != t->url_key_size) {
        key = brisk_key_of(t->key.items, t->key_size);
    }
    if (!brisk_cache_get(proxy_of(t)->cache, &key, tiers, &hit)) {
        return false;
    }
    /* All tiers are asked in the executor alone, which may read a file. */
    if (entry_open(hit.value, e) ||
        (tiers == 0 && entry_open_file(hit.value, proxy_of(t)->alloc, e))) {
        return true;
    }
    brisk_value_unref(hit.value);
    return false;
}

bool cached_find(transit *t, uint32_t tiers, entry *e)
{
    t->key_size = t->url_key_size;
    if (!get(t, tiers, e)) {
        return false;
    }
    if ((e->head->flags & ENTRY_SPEC) == 0) {
        return true;
    }
    char spec[PROXY_VARY_SPEC_MAX];
    size_t size = e->head->block_size;
    bool good = size > 0 && size <= sizeof spec && e->block[size - 1] == '\0';
    memcpy(spec, e->block, good ? size : 0);
    memcpy(t->seen_spec, spec, good ? size : 0);
    entry_close(e);
    http_field table[PROXY_HEAD_FIELDS_MAX];
    brisk_hash128 hash;
    if (!good || !proxy_vary_hash(spec, transit_fields(t, table), &hash)) {
        return false;
    }
    transit_set_variant(t, hash);
    if (!get(t, tiers, e)) {
        return false;
    }
    if ((e->head->flags & ENTRY_SPEC) != 0) {
        entry_close(e);
        return false;
    }
    return true;
}

/* --- deciding ------------------------------------------------------------------------------ */

void cached_miss(transit *t)
{
    t->conditional = t->stale != NULL;
    t->whole_wanted = true;
    if (t->status.forward == NULL) {
        t->status.forward = t->key_size != t->url_key_size ? "vary-miss" : "uri-miss";
    }
    if ((t->control.flags & CONTROL_ONLY_IF_CACHED) != 0) {
        transit_fail(t, 504, "only what is stored was wanted, and it is not");
        return;
    }
    flight_join(t);
}

/* May a miss be stored at all?  If not, it goes through as it is. */
static bool is_for_flight(transit *t)
{
    proxy_fields request = {t->x->fields, t->x->field_count};
    if (t->method == HTTP_HEAD) {
        t->status.forward = "method";
        return false;
    }
    if (proxy_field(request, "range") != NULL) {
        t->status.detail = "range";
        return false;
    }
    if (cached_is_passed(t)) {
        t->status.detail = "not-shared";
        return false;
    }
    return true;
}

static void miss(transit *t)
{
    if ((t->control.flags & CONTROL_ONLY_IF_CACHED) != 0) {
        transit_fail(t, 504, "only what is stored was wanted, and it is not");
        return;
    }
    if (!is_for_flight(t)) {
        if (t->status.forward == NULL) {
            t->status.forward = "uri-miss";
        }
        direct_start(t);
        return;
    }
    cached_miss(t);
}

/* A transit of its own, without a client, fetches what `t` was answered with. */
void cached_renew(transit *t, const entry *stale)
{
    transit *r = transit_new(t->side, t->mount, NULL);
    if (r == NULL) {
        return;
    }
    if (!transit_orphan(r)) { /* who asks next renews it */
        transit_let_go(r);
        return;
    }
    transit_drop_stale(t);
    t->stale = brisk_value_ref(stale->value);
    t->stale_front = stale->front != NULL ? brisk_value_ref(stale->front) : NULL;
    t->conditional = true;
    t->whole_wanted = true;
    if (!BRISK_VEC_RESERVE(&r->key, ENTRY_KEY_MAX) || !transit_write_request(t)) {
        transit_let_go(r);
        return;
    }
    /* The request is written with the client's fields; then it changes hands. */
    r->fetch.request = t->fetch.request;
    BRISK_VEC_DEINIT(&r->text); /* of the one that had this memory before */
    memcpy(&r->text, &t->text, sizeof r->text);
    t->text.items = NULL;
    t->text.count = 0;
    t->text.capacity = 0;
    memcpy(r->key.items, t->key.items, t->key.count);
    r->key.count = t->key.count;
    r->key_size = t->key_size;
    r->url_key_size = t->url_key_size;
    r->url_hash = t->url_hash;
    r->variant = t->variant;
    r->method = HTTP_GET;
    r->stale = t->stale;
    r->stale_front = t->stale_front;
    t->stale = NULL;
    t->stale_front = NULL;
    r->conditional = true;
    r->whole_wanted = true;
    r->held = true; /* the fetch may fail before it has begun */
    flight_join(r);
    if (r->waits) {
        flight_leave(r); /* somebody is at it */
    }
    r->held = false;
    transit_let_go(r);
}

void cached_decide(transit *t, entry *e)
{
    proxy_control none = {0};
    const proxy_control *control = t->mount->policy.deaf ? &none : &t->control;
    proxy_verdict verdict = proxy_judge(&e->head->life, control, proxy_wall_ms(proxy_of(t)));
    if (verdict == PROXY_VALIDATE && (t->control.flags & CONTROL_ONLY_IF_CACHED) == 0) {
        transit_drop_stale(t);
        t->stale = e->value;
        t->stale_front = e->front;
        t->status.forward = (t->control.flags & CONTROL_NO_CACHE) != 0 ? "request" : "stale";
        if (t->method == HTTP_HEAD) {
            t->store.epoch = brisk_cache_epoch(proxy_of(t)->cache);
            t->request_ms = proxy_wall_ms(proxy_of(t));
            direct_start(t);
        } else {
            cached_miss(t);
        }
        return;
    }
    if (verdict == PROXY_VALIDATE) {
        entry_close(e);
        transit_fail(t, 504, "only what is stored was wanted, and it is too old");
        return;
    }
    transit_answer_entry(t, e);
    if (verdict == PROXY_USE_AND_RENEW) {
        cached_renew(t, e);
    }
    entry_close(e);
}

static void head_put(transit *t)
{
    brisk_value_unref(t->value);
    t->value = NULL;
    transit_let_go(t);
}

void cached_take_head(transit *t, const fetch_reply *reply)
{
    entry old;
    http_field table[PROXY_HEAD_FIELDS_MAX];
    proxy_fields stored;
    if (t->method != HTTP_HEAD || reply->status != 200 || !transit_stale(t, &old) ||
        !entry_fields(&old, table, &stored)) {
        return;
    }
    proxy_validators v = proxy_validators_of(stored, old.head->date_s);
    bool other_size =
        reply->content_length >= 0 && (uint64_t)reply->content_length != old.head->body_size;
    if (other_size || !proxy_confirms(reply->fields, &v)) {
        purge_url(t);
        return;
    }
    bool names = proxy_field(reply->fields, "etag") != NULL ||
                 proxy_field(reply->fields, "last-modified") != NULL;
    /* A file would have to be written anew for that. */
    brisk_value *fresh = names && old.front == NULL ? store_renew(t, &old, reply) : NULL;
    if (fresh == NULL) {
        return;
    }
    store_put(t, fresh);
    if (proxy_of(t)->deep && !t->posted) {
        t->value = fresh;
        transit_leave(t, store_put_deep, head_put);
    } else {
        brisk_value_unref(fresh);
    }
}

/* In the executor: look behind the near tier, which gets a copy of what is there. */
static void look_deep(transit *t)
{
    entry e = {.value = NULL};
    bool found = cached_find(t, 0, &e);
    t->value = found ? e.value : NULL;
    t->front = found ? e.front : NULL;
}

static void looked_deep(transit *t)
{
    entry e = {.value = t->value, .front = t->front};
    t->value = NULL;
    t->front = NULL;
    t->away = false;
    bool found = e.value != NULL;
    if (e.front != NULL) {
        entry_front(&e);
    } else {
        found = found && entry_open(e.value, &e);
    }
    if (found && t->x != NULL) {
        cached_decide(t, &e);
    } else {
        entry_close(&e);
        if (t->x != NULL) {
            miss(t);
        }
    }
    transit_let_go(t);
}

void cached_start(transit *t)
{
    proxy *p = proxy_of(t);
    proxy_fields request = {t->x->fields, t->x->field_count};
    entry e;
    t->control = proxy_control_of_request(request);
    if (p->cache == NULL || proxy_condition_is_origins(request) || !set_url_key(t) ||
        ((t->control.flags & CONTROL_NO_STORE) != 0 && !t->mount->policy.deaf) || purge_is_at(t)) {
        t->status.forward = "bypass";
        direct_start(t);
        return;
    }
    if (p->near != 0 && cached_find(t, p->near, &e)) {
        cached_decide(t, &e);
    } else if (p->deep && (t->control.flags & CONTROL_ONLY_IF_CACHED) == 0 && flight_wait(t)) {
        return; /* it is on its way, perhaps into a tier that is not near */
    } else if (p->deep && transit_keep_fields(t)) {
        t->away = true;
        transit_leave(t, look_deep, looked_deep);
    } else {
        miss(t);
    }
}
