/*
 * observe.c -- figures of exchanges, see observe.h.
 *
 *     part (of a worker) ── slots: route ─► figures ── sums, written by that worker alone
 *                                              └────── histogram of the registry, for all workers
 *     observer.list ─► all figures, newest first; they stay until the end
 *
 * Sums are written by relaxed stores of the only writer and read by whoever copies.  A worker that has no
 * memory for a route's figures, or more routes than slots, counts under the part's `rest`.
 *
 * Invariant: figures in the list never change but for their sums.
 */
#include "daemon/http/observe.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <brisk/hash.h>

#include "base/assert.h"

enum { SLOTS = 128, SLOTS_USED_MAX = 96 };

static const uint64_t minute_ns = UINT64_C(60000000000);

typedef _Atomic uint64_t sum;

typedef struct figures {
    const http_route *route; /* NULL: there was none */
    struct figures *next;
    brisk_histogram *times; /* the registry's; NULL: no memory for it */
    bool streams;
    sum classes[OBSERVE_CLASSES];
    sum bytes_in;
    sum bytes_out;
} figures;

typedef struct part {
    _Alignas(64) figures rest;
    uint32_t used;
    struct {
        const http_route *route;
        figures *figures;
    } slots[SLOTS];
    sum connections[OBSERVE_PROTOCOLS];
    uint64_t slow_most_ns; /* its worker's own: faster ones are not noted; 0 while there is room */
    uint64_t slow_since_ns;
    pthread_mutex_t slow_lock;
    uint32_t slow_minute; /* in turn; this is the present one */
    uint32_t slow_count[OBSERVE_MINUTES];
    uint32_t sampled; /* that there were; the next goes to this, modulo */
    observe_slow slow[OBSERVE_MINUTES][OBSERVE_SLOW];
    observe_slow samples[OBSERVE_SAMPLED];
} part;

struct http_observer {
    const brisk_alloc *alloc;
    brisk_metrics *registry;
    uint64_t seed; /* of spans */
    uint32_t part_count;
    part *parts;
    _Atomic(figures *) list;
};

static const char *const class_names[OBSERVE_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

const char *observe_protocol_name(observe_protocol protocol)
{
    static const char *const names[OBSERVE_PROTOCOLS] = {"unknown", "resp", "h1", "h2",
                                                         "websocket"};
    return protocol < OBSERVE_PROTOCOLS ? names[protocol] : "";
}

static void add(sum *s, uint64_t amount)
{
    /* This worker is the only writer. */
    atomic_store_explicit(s, atomic_load_explicit(s, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static uint64_t read_sum(const sum *s)
{
    return atomic_load_explicit(s, memory_order_relaxed);
}

/* --- a worker's ---------------------------------------------------------------------------- */

static const char *name_of(const figures *f)
{
    return f->route != NULL ? f->route->name : "none";
}

static void need_times(http_observer *o, figures *f)
{
    const brisk_label label = {.name = "route", .value = name_of(f)};
    const brisk_metric_desc desc = {.name = "serve.http.time",
                                    .help = "How long exchanges took, by route",
                                    .unit = BRISK_UNIT_NS,
                                    .labels = &label,
                                    .label_count = 1};
    if (brisk_metrics_histogram(o->registry, &desc, &f->times) != BRISK_OK) {
        f->times = NULL;
    }
}

static void publish(http_observer *o, figures *f)
{
    f->next = atomic_load_explicit(&o->list, memory_order_relaxed);
    /* Release: whoever finds it in the list sees it whole. */
    while (!atomic_compare_exchange_weak_explicit(&o->list, &f->next, f, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

static figures *make_figures(http_observer *o, part *p, const http_route *route)
{
    if (p->used == SLOTS_USED_MAX) {
        return &p->rest;
    }
    figures *f = o->alloc->acquire(o->alloc->ctx, sizeof *f, _Alignof(figures));
    if (f == NULL) {
        return &p->rest;
    }
    memset(f, 0, sizeof *f);
    f->route = route;
    f->streams = route != NULL && route->priority.incremental;
    need_times(o, f);
    publish(o, f);
    return f;
}

static figures *figures_of(http_observer *o, part *p, const http_route *route)
{
    uint32_t at = (uint32_t)(((uintptr_t)route >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 57);
    static_assert(SLOTS == 128, "the hash has 7 bits");
    for (;; at = (at + 1) % SLOTS) {
        if (p->slots[at].figures != NULL && p->slots[at].route == route) {
            return p->slots[at].figures;
        }
        if (p->slots[at].figures == NULL) {
            figures *f = make_figures(o, p, route);
            if (f != &p->rest) {
                p->slots[at].route = route;
                p->slots[at].figures = f;
                p->used++;
            }
            return f;
        }
    }
}

/* --- slow ones ---------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, http_text from)
{
    size_t size = from.size < room ? from.size : room - 1;
    if (size > 0) {
        memcpy(to, from.data, size);
    }
    to[size] = '\0';
}

/* Under the lock.  In place of the fastest when there is no room. */
static observe_slow *slow_place(part *p)
{
    observe_slow *list = p->slow[p->slow_minute];
    uint32_t *count = &p->slow_count[p->slow_minute];
    if (*count < OBSERVE_SLOW) {
        return &list[(*count)++];
    }
    observe_slow *least = &list[0];
    for (uint32_t i = 1; i < OBSERVE_SLOW; i++) {
        least = list[i].duration_ns < least->duration_ns ? &list[i] : least;
    }
    return least;
}

static void renew_most(part *p)
{
    const observe_slow *list = p->slow[p->slow_minute];
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < p->slow_count[p->slow_minute]; i++) {
        least = list[i].duration_ns < least ? list[i].duration_ns : least;
    }
    p->slow_most_ns = p->slow_count[p->slow_minute] == OBSERVE_SLOW ? least : 0;
}

static void describe(const exchange *x, uint32_t index, uint64_t duration_ns, observe_slow *ret)
{
    *ret = (observe_slow){.id = x->id,
                          .begun_wall_ns = brisk_clock_wall_ns(NULL) - duration_ns,
                          .duration_ns = duration_ns,
                          .worker = index,
                          .bytes_in = x->body_read,
                          .bytes_out = x->body_sent,
                          .route = x->route != NULL ? x->route->name : "",
                          .status = x->status,
                          .version = x->version,
                          .urgency = x->priority.urgency};
    for (uint32_t i = 0; i < EXCHANGE_MARKS; i++) {
        /* A round may have begun before the exchange did. */
        uint64_t at = x->marks[i] > x->begun_ns ? x->marks[i] - x->begun_ns : 0;
        at = at < duration_ns ? at : duration_ns;
        ret->marks_ns[i] = x->marks[i] != 0 ? at : UINT64_MAX;
    }
    copy_text(ret->method, sizeof ret->method, x->method_text);
    copy_text(ret->path, sizeof ret->path, x->path);
    const http_text *parent = exchange_field(x, "traceparent");
    if (parent != NULL) {
        (void)traceparent_read(*parent, &ret->parent);
    }
}

static void note_slow(part *p, const observe_slow *what, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&p->slow_lock);
    if (now_ns - p->slow_since_ns > minute_ns) {
        p->slow_since_ns = now_ns;
        p->slow_minute = (p->slow_minute + 1) % OBSERVE_MINUTES;
        p->slow_count[p->slow_minute] = 0;
    }
    *slow_place(p) = *what;
    renew_most(p);
    (void)pthread_mutex_unlock(&p->slow_lock);
}

static void note_sampled(part *p, const observe_slow *what)
{
    (void)pthread_mutex_lock(&p->slow_lock);
    p->samples[p->sampled++ % OBSERVE_SAMPLED] = *what;
    (void)pthread_mutex_unlock(&p->slow_lock);
}

/* Does who asks record what becomes of it? */
static bool is_sampled(const exchange *x)
{
    traceparent parent;
    const http_text *text = exchange_field(x, "traceparent");
    return text != NULL && traceparent_read(*text, &parent) &&
           (parent.flags & TRACEPARENT_SAMPLED) != 0;
}

static void look_at(part *p, uint32_t index, const exchange *x, uint64_t now_ns,
                    uint64_t duration_ns)
{
    bool sampled = is_sampled(x);
    observe_slow what;
    if (sampled || duration_ns > p->slow_most_ns || now_ns - p->slow_since_ns > minute_ns) {
        describe(x, index, duration_ns, &what);
        if (sampled) {
            note_sampled(p, &what);
        } else {
            note_slow(p, &what, now_ns);
        }
    }
}

static uint32_t copy_some(const observe_slow *from, uint32_t count, observe_slow *ret, uint32_t max)
{
    uint32_t some = count < max ? count : max;
    memcpy(ret, from, some * sizeof *ret);
    return some;
}

uint32_t http_observe_slow(http_observer *o, observe_slow *ret, uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->part_count; i++) {
        part *p = &o->parts[i];
        (void)pthread_mutex_lock(&p->slow_lock);
        for (uint32_t m = 0; m < OBSERVE_MINUTES; m++) {
            count += copy_some(p->slow[m], p->slow_count[m], ret + count, max - count);
        }
        uint32_t sampled = p->sampled < OBSERVE_SAMPLED ? p->sampled : OBSERVE_SAMPLED;
        count += copy_some(p->samples, sampled, ret + count, max - count);
        (void)pthread_mutex_unlock(&p->slow_lock);
    }
    return count;
}

uint64_t http_observe_span(const http_observer *o, uint64_t id)
{
    uint64_t span = brisk_hash64(&id, sizeof id, o->seed);
    return span != 0 ? span : 1;
}

void http_observe_over(http_observer *o, uint32_t index, const exchange *x, uint64_t now_ns)
{
    BRISK_ASSERT(index < o->part_count);
    part *p = &o->parts[index];
    figures *f = figures_of(o, p, x->route);
    uint32_t class = x->status / 100u;
    add(&f->classes[class < OBSERVE_CLASSES ? class : 0], 1);
    add(&f->bytes_in, x->body_read);
    add(&f->bytes_out, x->body_sent);
    if (x->begun_ns == 0) {
        return; /* its head was none */
    }
    uint64_t duration_ns = now_ns > x->begun_ns ? now_ns - x->begun_ns : 0;
    if (f->times != NULL) {
        brisk_histogram_record(f->times, duration_ns);
    }
    if (!f->streams) {
        look_at(p, index, x, now_ns, duration_ns);
    }
}

void http_observe_connections(http_observer *o, uint32_t index,
                              const uint64_t counts[OBSERVE_PROTOCOLS])
{
    BRISK_ASSERT(index < o->part_count);
    for (uint32_t i = 0; i < OBSERVE_PROTOCOLS; i++) {
        atomic_store_explicit(&o->parts[index].connections[i], counts[i], memory_order_relaxed);
    }
}

/* --- everybody's --------------------------------------------------------------------------- */

static void add_figures(const figures *f, observe_totals *ret)
{
    for (uint32_t i = 0; i < OBSERVE_CLASSES; i++) {
        ret->responses[i] += read_sum(&f->classes[i]);
    }
    ret->bytes_in += read_sum(&f->bytes_in);
    ret->bytes_out += read_sum(&f->bytes_out);
}

/* Is it the newest of its route in the list?  The histogram is the same for all of them. */
static bool is_first(const figures *list, const figures *f)
{
    while (list != f && list->times != f->times) {
        list = list->next;
    }
    return list == f;
}

static void add_times(const figures *list, brisk_hist *into)
{
    for (const figures *f = list; f != NULL; f = f->next) {
        brisk_histogram_sums sums;
        if (f->times != NULL && !f->streams && is_first(list, f)) {
            brisk_err err = brisk_histogram_read(f->times, into, &sums);
            BRISK_ASSERT(err == BRISK_OK); /* of the precision asked for */
        }
    }
}

void http_observe_read(const http_observer *o, brisk_hist *into, observe_totals *ret)
{
    *ret = (observe_totals){0};
    const figures *list = atomic_load_explicit(&o->list, memory_order_acquire); /* see publish */
    for (const figures *f = list; f != NULL; f = f->next) {
        add_figures(f, ret);
    }
    for (uint32_t i = 0; i < o->part_count; i++) {
        add_figures(&o->parts[i].rest, ret);
        for (uint32_t p = 0; p < OBSERVE_PROTOCOLS; p++) {
            ret->connections[p] += read_sum(&o->parts[i].connections[p]);
        }
    }
    if (into != NULL) {
        add_times(list, into);
    }
}

static void set_total(http_observer *o, const brisk_metric_desc *desc, uint64_t value)
{
    brisk_total *total;
    if (brisk_metrics_total(o->registry, desc, &total) == BRISK_OK) {
        brisk_total_set(total, value);
    }
}

/* A route's sums over all workers. */
static void copy_route(http_observer *o, const char *name, const observe_totals *sums)
{
    brisk_label labels[2] = {{.name = "route", .value = name}, {.name = "class"}};
    brisk_metric_desc desc = {.name = "serve.http.responses",
                              .help = "Answers by route and class of their status",
                              .labels = labels,
                              .label_count = 2};
    for (uint32_t i = 0; i < OBSERVE_CLASSES; i++) {
        if (sums->responses[i] != 0) {
            labels[1].value = class_names[i];
            set_total(o, &desc, sums->responses[i]);
        }
    }
    desc = (brisk_metric_desc){.name = "serve.http.in",
                               .help = "Bytes of requests' bodies, by route",
                               .unit = BRISK_UNIT_BYTES,
                               .labels = labels,
                               .label_count = 1};
    set_total(o, &desc, sums->bytes_in);
    desc.name = "serve.http.out";
    desc.help = "Bytes of answers' bodies, by route";
    set_total(o, &desc, sums->bytes_out);
}

static bool same_route(const figures *a, const figures *b)
{
    return strcmp(name_of(a), name_of(b)) == 0;
}

static void copy_routes(http_observer *o)
{
    const figures *list = atomic_load_explicit(&o->list, memory_order_acquire); /* see publish */
    for (const figures *f = list; f != NULL; f = f->next) {
        const figures *first = list;
        while (!same_route(first, f)) {
            first = first->next;
        }
        if (first != f) {
            continue; /* done with the first of its name */
        }
        observe_totals sums = {0};
        for (const figures *other = f; other != NULL; other = other->next) {
            if (same_route(other, f)) {
                add_figures(other, &sums);
            }
        }
        copy_route(o, name_of(f), &sums);
    }
    observe_totals rest = {0};
    for (uint32_t i = 0; i < o->part_count; i++) {
        add_figures(&o->parts[i].rest, &rest);
    }
    for (uint32_t i = 0; i < OBSERVE_CLASSES; i++) {
        if (rest.responses[i] != 0) {
            copy_route(o, "others", &rest);
            break;
        }
    }
}

void http_observe_copy(http_observer *o)
{
    copy_routes(o);
    for (uint32_t p = 0; p < OBSERVE_PROTOCOLS; p++) {
        uint64_t open = 0;
        for (uint32_t i = 0; i < o->part_count; i++) {
            open += read_sum(&o->parts[i].connections[p]);
        }
        const brisk_label label = {.name = "protocol", .value = observe_protocol_name(p)};
        const brisk_metric_desc desc = {.name = "serve.http.connections",
                                        .help = "Open connections by what they speak",
                                        .labels = &label,
                                        .label_count = 1};
        brisk_gauge *gauge;
        if (brisk_metrics_gauge(o->registry, &desc, &gauge) == BRISK_OK) {
            brisk_gauge_set(gauge, (double)open);
        }
    }
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err http_observe_create(const brisk_alloc *alloc, brisk_metrics *registry, uint32_t workers,
                              http_observer **ret)
{
    http_observer *o = alloc->acquire(alloc->ctx, sizeof *o, _Alignof(http_observer));
    if (o == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *o = (http_observer){.alloc = alloc,
                         .registry = registry,
                         .seed = brisk_clock_wall_ns(NULL) ^ (uint64_t)getpid() << 48,
                         .part_count = workers};
    o->parts = alloc->acquire(alloc->ctx, workers * sizeof *o->parts, _Alignof(part));
    if (o->parts == NULL) {
        alloc->release(alloc->ctx, o, sizeof *o, _Alignof(http_observer));
        return BRISK_ERR_NOMEM;
    }
    /* What is kept of exchanges is not touched before there are some. */
    for (uint32_t i = 0; i < workers; i++) {
        memset(&o->parts[i], 0, offsetof(part, slow));
        int failed = pthread_mutex_init(&o->parts[i].slow_lock, NULL);
        BRISK_ASSERT(failed == 0);
    }
    *ret = o;
    return BRISK_OK;
}

void http_observe_destroy(http_observer *o)
{
    if (o == NULL) {
        return;
    }
    figures *f = atomic_load_explicit(&o->list, memory_order_acquire);
    while (f != NULL) {
        figures *next = f->next;
        o->alloc->release(o->alloc->ctx, f, sizeof *f, _Alignof(figures));
        f = next;
    }
    for (uint32_t i = 0; i < o->part_count; i++) {
        (void)pthread_mutex_destroy(&o->parts[i].slow_lock);
    }
    o->alloc->release(o->alloc->ctx, o->parts, o->part_count * sizeof *o->parts, _Alignof(part));
    o->alloc->release(o->alloc->ctx, o, sizeof *o, _Alignof(http_observer));
}
