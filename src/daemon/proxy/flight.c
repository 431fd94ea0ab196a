/*
 * flight.c -- one question a key, whoever else asks meanwhile.
 *
 * The first transit that misses a key leads: it fetches, stores, and gives its own client the bytes as
 * they come.  Those who miss the same key meanwhile wait, in whichever worker; once the answer begins to be stored they
 * are given it as it comes, too (follow.c).  Those who are not get
 *
 *     an entry      it was stored, renewed, or a stale one stands in
 *     nothing       it is not to be shared: each asks for itself
 *     a failure     the same as the leader's
 *
 * The leader's client may be slow or gone; what is stored does not wait for it: the client is given
 * bytes out of what is stored, as it takes them.
 *
 * Locks: proxy.lock for the table, for who waits, and for flags of transits that wait.
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/proxy/flight.h"

/* Chosen with a seed: nobody outside knows which URLs share a bucket. */
static flight **bucket_of(proxy *p, const char *url, size_t size)
{
    return &p->flights[brisk_hash64(url, size, p->seed) % FLIGHT_BUCKETS];
}

static bool is_of_url(const flight *f, const char *url, size_t size)
{
    return f->url_size == size && memcmp(f->url, url, size) == 0;
}

static bool is_of_variant(const flight *f, const transit *t)
{
    bool varied = t->key_size != t->url_key_size;
    return f->varied == varied &&
           (!varied || memcmp(&f->variant, &t->variant, sizeof f->variant) == 0);
}

static void release(proxy *p, flight *f)
{
    brisk_value_unref(f->front);
    tape_piece_unref(f->first);
    p->alloc->release(p->alloc->ctx, f, sizeof *f + f->url_size, _Alignof(flight));
}

/* --- what waiters get ---------------------------------------------------------------------- */

/* On what it varies is known only now. */
bool flight_is_shared(transit *t, const entry *e, brisk_hash128 variant)
{
    http_field table[PROXY_HEAD_FIELDS_MAX];
    http_field own[PROXY_HEAD_FIELDS_MAX];
    proxy_fields stored;
    char spec[PROXY_VARY_SPEC_MAX];
    brisk_hash128 hash;
    if (!entry_fields(e, table, &stored) || !proxy_vary_spec(stored, spec)) {
        return false;
    }
    if (spec[0] == '\0') {
        return true;
    }
    if (!proxy_vary_hash(spec, transit_fields(t, own), &hash)) {
        return false;
    }
    transit_set_variant(t, hash);
    return memcmp(&hash, &variant, sizeof hash) == 0;
}

/* What was given is taken off first: who waits again may be given the next answer at once, by another worker. */
static void waiter_ready(transit *t)
{
    entry e;
    brisk_value *value = t->value;
    bool late = t->late;
    t->value = NULL;
    t->late = false;
    t->waits = false;
    bool follows = follow_end(t, value != NULL);
    bool good = !follows && t->x != NULL && value != NULL && entry_open(value, &e);
    bool shared = good && flight_is_shared(t, &e, t->shared_variant);
    if (shared && late) { /* it asked after the answer came: as if it had found it */
        e.value = brisk_value_ref(e.value);
        t->status.forward = NULL;
        cached_decide(t, &e);
    } else if (shared) {
        t->status.collapsed = true;
        t->status.forward = t->status.forward != NULL ? t->status.forward : "uri-miss";
        transit_answer_entry(t, &e);
    } else if (good) { /* its own variant may have come meanwhile */
        cached_start(t);
    } else if (t->x != NULL && !follows) {
        cached_miss(t);
    }
    brisk_value_unref(value);
    transit_let_go(t);
}

static void waiter_alone(transit *t)
{
    t->waits = false;
    if (!follow_end(t, false) && t->x != NULL) {
        direct_start(t);
    }
    transit_let_go(t);
}

/* The leader's answer was for the leader, by its Authorization: who has none may lead. */
static void waiter_without(transit *t)
{
    t->waits = false;
    (void)follow_end(t, false); /* it was not fed: nothing is stored */
    if (t->x != NULL && exchange_field(t->x, "authorization") != NULL) {
        direct_start(t);
    } else if (t->x != NULL) {
        cached_miss(t);
    }
    transit_let_go(t);
}

static void waiter_again(transit *t)
{
    t->waits = false;
    if (!follow_end(t, false) && t->x != NULL) {
        cached_miss(t);
    }
    transit_let_go(t);
}

static void waiter_look(transit *t)
{
    t->waits = false;
    if (!follow_end(t, false) && t->x != NULL) {
        cached_start(t);
    }
    transit_let_go(t);
}

static void waiter_failed(transit *t)
{
    t->waits = false;
    if (!follow_end(t, false)) {
        transit_answer_failure(t, t->why);
    }
    transit_let_go(t);
}

/* All of it is on the tape. */
static void waiter_rest(transit *t)
{
    t->waits = false;
    if (!follow_end(t, true) && t->x != NULL) {
        cached_miss(t); /* it had just found that the answer is not its own */
    }
    transit_let_go(t);
}

/* Under the lock. */
static void unlink_flight(flight *f)
{
    flight **at = f->bucket;
    while (*at != f) {
        at = &(*at)->next;
    }
    *at = f->next;
}

/* The flight is over for all who wait; `value` is borrowed. */
static void end_flight(transit *t, brisk_value *value, void (*home)(transit *t))
{
    proxy *p = proxy_of(t);
    flight *f = t->flight;
    if (f == NULL) {
        return;
    }
    flight_lock(p);
    unlink_flight(f);
    while (f->waiters != NULL) {
        transit *w = f->waiters;
        f->waiters = w->next_waiter;
        w->next_waiter = NULL;
        w->flight = NULL;
        w->shared_variant = t->variant;
        w->why = t->why;
        w->value = value != NULL ? brisk_value_ref(value) : NULL;
        transit_post(w, home);
    }
    flight_unlock(p);
    t->flight = NULL;
    t->leads = false;
    release(p, f);
}

void flight_discard(transit *t)
{
    proxy *p = proxy_of(t);
    flight *f = t->flight;
    unlink_flight(f);
    for (transit *w = f->waiters; w != NULL; w = w->next_waiter) {
        w->flight = NULL;
        w->waits = false;
    }
    t->flight = NULL;
    release(p, f);
}

void flight_leave(transit *t)
{
    proxy *p = proxy_of(t);
    flight_lock(p);
    if (t->flight != NULL && !t->leads) {
        transit **at = &t->flight->waiters;
        while (*at != t) {
            at = &(*at)->next_waiter;
        }
        *at = t->next_waiter;
        follow_release(t->flight);
        t->flight = NULL;
        t->waits = false;
    }
    flight_unlock(p);
}

void flight_spoil(proxy *p, const char *url, size_t size)
{
    flight_lock(p);
    for (flight *f = *bucket_of(p, url, size); f != NULL; f = f->next) {
        f->spoiled = f->spoiled || is_of_url(f, url, size);
    }
    flight_unlock(p);
}

void flight_spoil_all(proxy *p)
{
    flight_lock(p);
    for (uint32_t i = 0; i < FLIGHT_BUCKETS; i++) {
        for (flight *f = p->flights[i]; f != NULL; f = f->next) {
            f->spoiled = true;
        }
    }
    flight_unlock(p);
}

static bool is_spoiled(transit *t)
{
    proxy *p = proxy_of(t);
    flight_lock(p);
    bool spoiled = t->flight != NULL && t->flight->spoiled;
    flight_unlock(p);
    return spoiled;
}

/* --- the leader's client ------------------------------------------------------------------- */

/* What is on the tape; what is not kept is read from the upstream as fast as the client takes it. */
static void stream_on(transit *t)
{
    if (!t->streams) {
        return;
    }
    t->ends = !t->fetching;
    follow_on(t);
    follow_pace(t);
}

void flight_writable(transit *t)
{
    t->full = false;
    if (t->streams) {
        stream_on(t);
        transit_let_go(t);
    } else if (t->follows) {
        follow_on(t);
    } else if (t->fetching) {
        fetch_pause(&t->fetch, false);
    }
}

/* --- what the leader is told --------------------------------------------------------------- */

/* `value` is the answer for all; the reference is taken over. */
static void finish_with(transit *t, brisk_value *value)
{
    entry e;
    end_flight(t, value, waiter_ready);
    if (t->x != NULL && !t->started && !t->answered && entry_open(value, &e)) {
        transit_answer_entry(t, &e);
    }
    brisk_value_unref(value);
}

/* Only now every tier has it: until here, who did not find it waited. */
static void put_home(transit *t)
{
    brisk_value *value = t->value;
    t->value = NULL;
    finish_with(t, value);
    stream_on(t);
    transit_let_go(t);
}

/* Who asks from now on, knowing on what it varies, finds this flight under the variant's key. */
static void rekey(transit *t)
{
    proxy *p = proxy_of(t);
    flight_lock(p);
    if (t->flight != NULL) {
        t->flight->varied = t->key_size != t->url_key_size;
        t->flight->variant = t->variant;
        t->flight->landed = true;
    }
    flight_unlock(p);
}

/* Into the cache with it, then it is everybody's.  The reference is taken over. */
static void publish(transit *t, brisk_value *value)
{
    entry e;
    bool spoiled = is_spoiled(t);
    t->status.stored = !spoiled;
    if (spoiled || !proxy_of(t)->deep) {
        if (!spoiled) {
            store_put(t, value);
        }
        finish_with(t, value);
        return;
    }
    rekey(t);
    if (brisk_value_size(value) <= BRISK_VALUE_LARGE_BYTES) {
        store_put(t, value); /* the near tier, at once */
    }
    if (t->x != NULL && !t->started && !t->answered && entry_open(value, &e)) {
        transit_answer_entry(t, &e);
    }
    t->value = value;
    transit_leave(t, store_put_deep, put_home);
}

/* What is stale stands in; false: it may not, or there is none. */
static bool use_stale(transit *t, proxy_failure failure)
{
    entry e;
    proxy *p = proxy_of(t);
    if (t->started || !transit_stale(t, &e) ||
        !proxy_use_on_failure(&e.head->life, &t->mount->policy, failure, proxy_wall_ms(p))) {
        return false;
    }
    t->status.detail = "stale-if-error";
    if (e.front == NULL) {
        finish_with(t, brisk_value_ref(t->stale));
    } else {
        end_flight(t, NULL, waiter_look); /* a file's front is each one's own */
        transit_answer_entry(t, &e);
    }
    return true;
}

static void ask(transit *t)
{
    t->request_ms = proxy_wall_ms(proxy_of(t));
    transit_fetch(t, &flight_events);
}

static void restart(transit *t)
{
    t->conditional = false;
    store_drop(t); /* of an attempt to renew */
    transit_drop_stale(t);
    if (t->x == NULL || ++t->restarts > RESTARTS_MAX) {
        end_flight(t, NULL, waiter_failed);
        transit_fail(t, 502, "the upstream's answer speaks of something else");
    } else if (transit_write_request(t)) {
        ask(t);
    } else {
        end_flight(t, NULL, waiter_failed);
    }
}

/* In the executor: the body that a file has. */
static void fill(transit *t)
{
    if (!entry_fill(t->value, t->stale)) {
        brisk_value_unref(t->value);
        t->value = NULL;
    }
}

static void filled(transit *t)
{
    brisk_value *value = t->value;
    t->value = NULL;
    if (value != NULL) {
        publish(t, value);
    } else {
        restart(t);
    }
    transit_let_go(t);
}

/* A 304 to our own conditions. */
static void take_not_modified(transit *t, const fetch_reply *reply)
{
    entry old;
    http_field table[PROXY_HEAD_FIELDS_MAX];
    proxy_fields stored;
    if (transit_stale(t, &old) && entry_fields(&old, table, &stored)) {
        proxy_validators v = proxy_validators_of(stored, old.head->date_s);
        brisk_value *fresh = NULL;
        if (proxy_confirms(reply->fields, &v)) {
            fresh = store_renew(t, &old, reply);
        }
        if (fresh != NULL && old.front != NULL) {
            t->value = fresh;
            transit_leave(t, fill, filled);
            return;
        }
        if (fresh != NULL) {
            publish(t, fresh);
            return;
        }
    }
    restart(t);
}

static void finish_stored(transit *t)
{
    brisk_value *value = store_end(t);
    if (value == NULL) {
        end_flight(t, NULL, waiter_again);
        if (!t->started) {
            transit_fail(t, 503, "out of memory");
        }
        return;
    }
    publish(t, value);
}

bool flight_wants_all(const transit *t)
{
    proxy_fields request = {t->x->fields, t->x->field_count};
    return proxy_field(request, "range") == NULL && proxy_field(request, "if-none-match") == NULL &&
           proxy_field(request, "if-modified-since") == NULL;
}

/* The leader's client gets what came, with what is not kept of it. */
static void finish_whole(transit *t, const fetch_reply *reply)
{
    if (t->x != NULL && flight_wants_all(t)) {
        t->status.stored = true;
        transit_answer_reply(t, reply);
    }
    finish_stored(t);
}

/* It is not kept: each for himself, the leader with what comes. */
static void go_alone(transit *t, const fetch_reply *reply)
{
    bool personal = store_was_personal(t);
    store_drop(t);
    if (reply->status < 500 && !personal) {
        cached_pass(t);
    }
    end_flight(t, NULL, personal ? waiter_without : waiter_alone);
    if (t->x == NULL && t->fetching) {
        fetch_cancel(&t->fetch);
        t->fetching = false;
        return;
    }
    t->fetch.events = &direct_events;
    transit_answer_reply(t, reply);
}

static bool is_failure(uint16_t status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

static void on_head(fetch *f, const fetch_reply *reply)
{
    transit *t = transit_of(f);
    transit_replied(t);
    t->fetching = !reply->whole;
    t->status.forward_status = reply->status;
    if (t->conditional && reply->status == 304) {
        take_not_modified(t, reply);
    } else if (is_failure(reply->status) && use_stale(t, PROXY_FAILED_STATUS)) {
        if (t->fetching) {
            fetch_cancel(&t->fetch);
            t->fetching = false;
        }
    } else if (!store_begin(t, reply)) {
        go_alone(t, reply);
    } else if (reply->whole) {
        if (store_body(t, reply->body.data, reply->body.size)) {
            finish_whole(t, reply);
        } else {
            go_alone(t, reply);
        }
    } else {
        follow_open(t, reply->content_length >= 0);
        if (t->x != NULL && flight_wants_all(t)) {
            t->streams = true;
            t->status.stored = true;
            tape_read(&t->reader, t->store.tape.first);
            transit_answer_reply(t, reply);
        }
    }
    transit_let_go(t);
}

/* The flight is over for those who follow, or for those who do not.  Under the lock. */
static void dismiss(flight *f, bool follow, void (*home)(transit *t))
{
    transit **at = &f->waiters;
    while (*at != NULL) {
        transit *w = *at;
        if (w->follows != follow) {
            at = &w->next_waiter;
            continue;
        }
        *at = w->next_waiter;
        w->next_waiter = NULL;
        w->flight = NULL;
        transit_post(w, home);
    }
}

/* Those who are not fed ask for themselves; nobody joins any more, and the beginning is nobody's. */
static void send_others_away(transit *t)
{
    proxy *p = proxy_of(t);
    flight_lock(p);
    t->flight->spoiled = true;
    dismiss(t->flight, false, waiter_alone);
    tape_piece_unref(t->flight->first);
    t->flight->first = NULL;
    flight_unlock(p);
    tape_forget(&t->store.tape);
}

/* Nobody is there for whom it could go on. */
static void stop(transit *t, void (*home)(transit *t))
{
    fetch_cancel(&t->fetch);
    t->fetching = false;
    end_flight(t, NULL, home);
}

/* It became too large to be kept: from here on it is for those alone who have begun to get it. */
static bool overflow(transit *t)
{
    cached_pass(t);
    send_others_away(t);
    t->overflows = true;
    if (t->x != NULL && !t->streams) {
        stop(t, waiter_again);
        store_drop(t);
        t->overflows = false;
        direct_start(t); /* nothing was given yet */
        return false;
    }
    return true;
}

static void on_body(fetch *f, const void *data, size_t size)
{
    transit *t = transit_of(f);
    proxy *p = proxy_of(t);
    bool kept = !t->overflows && store_body(t, data, size);
    if (!kept && !t->overflows && !overflow(t)) {
        return;
    }
    uint64_t lag;
    if (!kept && t->x == NULL && follow_count(t, t->store.filled, &lag) == 0) {
        stop(t, waiter_again);
        transit_let_go(t);
        return;
    }
    if (!kept && (t->store.tape.last->value != NULL || !tape_put(&t->store.tape, data, size))) {
        stop(t, waiter_again);
        transit_answer_failure(t, FETCH_NO_MEMORY);
        transit_let_go(t);
        return;
    }
    t->store.filled += kept ? 0 : size;
    flight_lock(p);
    follow_tell(t->flight);
    flight_unlock(p);
    if (!t->full) { /* it keeps up */
        stream_on(t);
    }
    follow_pace(t);
}

static void on_end(fetch *f)
{
    transit *t = transit_of(f);
    proxy *p = proxy_of(t);
    t->fetching = false;
    flight_lock(p);
    dismiss(t->flight, true, waiter_rest); /* they need not wait for tiers */
    flight_unlock(p);
    if (t->overflows) {
        end_flight(t, NULL, waiter_again);
    } else {
        finish_stored(t);
    }
    stream_on(t);
    transit_let_go(t);
}

static void on_fail(fetch *f, fetch_error why)
{
    transit *t = transit_of(f);
    t->fetching = false;
    if (t->store.on) { /* in the middle */
        store_drop(t);
        t->overflows = false;
        end_flight(t, NULL, waiter_again);
        if (!t->started && t->x != NULL && ++t->restarts <= RESTARTS_MAX) {
            cached_miss(t);
        } else {
            transit_answer_failure(t, why);
        }
    } else if (!use_stale(t, PROXY_FAILED_REACH)) {
        t->why = why;
        end_flight(t, NULL, waiter_failed);
        transit_answer_failure(t, why);
    }
    transit_let_go(t);
}

const fetch_events flight_events = {
    .inform = transit_inform,
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .fail = on_fail,
};

void flight_give_up(transit *t)
{
    fetch_cancel(&t->fetch);
    t->fetching = false;
    store_drop(t);
    end_flight(t, NULL, waiter_again);
}

/* --- joining ------------------------------------------------------------------------------- */

/* The flight of this key that may be waited for; under the lock. */
static flight *find_flight(const transit *t, flight *f)
{
    /* Who does not know on what it varies looks at what is landing, and then again. */
    bool any = t->key_size == t->url_key_size;
    while (f != NULL && (f->spoiled || !is_of_url(f, t->key.items, t->url_key_size) ||
                         !(is_of_variant(f, t) || (any && (f->landed || f->front != NULL))))) {
        f = f->next;
    }
    return f;
}

/* A flight of this key, in its bucket; NULL: no memory.  Under the lock. */
static flight *make_flight(proxy *p, const transit *t, flight **bucket)
{
    size_t size = t->url_key_size;
    flight *f = p->alloc->acquire(p->alloc->ctx, sizeof *f + size, _Alignof(flight));
    if (f != NULL) {
        *f = (flight){.next = *bucket,
                      .bucket = bucket,
                      .variant = t->variant,
                      .varied = t->key_size != size,
                      .url_size = size};
        memcpy(f->url, t->key.items, size);
        *bucket = f;
    }
    return f;
}

/* Wait for the flight of this key, or (with `may_lead`) become its leader; false: neither. */
static bool board(transit *t, bool may_lead)
{
    proxy *p = proxy_of(t);
    bool good = true;
    flight **bucket = bucket_of(p, t->key.items, t->url_key_size);
    flight_lock(p);
    flight *f = find_flight(t, *bucket);
    if (f != NULL) {
        t->leads = false;
        t->waits = true;
        t->late = f->landed;
        t->flight = f;
        t->next_waiter = f->waiters;
        f->waiters = t;
        follow_board(t);
    } else {
        f = may_lead ? make_flight(p, t, bucket) : NULL;
        good = f != NULL;
        if (good) {
            t->flight = f;
            t->leads = true;
            follow_lead(t);
        }
    }
    flight_unlock(p);
    return good;
}

bool flight_wait(transit *t)
{
    return board(t, false);
}

void flight_join(transit *t)
{
    if (!board(t, true)) {
        transit_fail(t, 503, "out of memory");
        return;
    }
    if (!t->leads) {
        return;
    }
    t->store.epoch = brisk_cache_epoch(proxy_of(t)->cache);
    if (t->x == NULL) { /* a renewal: its request is written already */
        ask(t);
    } else if (transit_write_request(t)) {
        ask(t);
    } else {
        end_flight(t, NULL, waiter_failed);
    }
}
