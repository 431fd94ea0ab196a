/*
 * test_loader_threads.c -- many threads ask one loader.
 */
#include "cache/loader_test.h"

#include "cache/loader_internal.h"

typedef struct asker {
    scene *scene;
    brisk_loader_call call;
    brisk_err err;
    uint64_t number;
    brisk_loaded_from from;
    pthread_t id;
    _Atomic bool cancelled;
} asker;

static bool is_cancelled(void *ctx)
{
    return atomic_load(&((asker *)ctx)->cancelled);
}

static void *ask(void *ctx)
{
    asker *self = ctx;
    brisk_loaded got;
    self->err = brisk_loader_get(self->scene->loader, &self->scene->key, &self->call, &got);
    if (self->err == BRISK_OK) {
        self->number = number_of(got.hit.value);
        self->from = got.from;
        brisk_value_unref(got.hit.value);
    }
    return NULL;
}

static void start(asker *self, scene *s)
{
    self->scene = s;
    pthread_attr_t attr;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, 262144) == 0);
    CHECK(pthread_create(&self->id, &attr, ask, self) == 0);
    (void)pthread_attr_destroy(&attr);
}

static void end(const asker *self)
{
    CHECK(pthread_join(self->id, NULL) == 0);
}

static void await(_Atomic uint32_t *counter, uint32_t value)
{
    while (atomic_load(counter) != value) {
        nap();
    }
}

/* A thousand threads and one load.  They wait: the load ends only when most are there. */
static void test_a_thousand_threads_load_once(void **unused)
{
    (void)unused;
    enum { ASKERS = 1000 };
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND});
    s.origin.closed = true;
    static asker askers[ASKERS];
    memset(askers, 0, sizeof askers);
    for (int i = 0; i < ASKERS; i++) {
        start(&askers[i], &s);
    }
    await(&s.origin.inside, 1);
    s.origin.closed = false;
    uint32_t here = 0;
    for (int i = 0; i < ASKERS; i++) {
        end(&askers[i]);
        CHECK(askers[i].err == BRISK_OK && askers[i].number == 1);
        here += askers[i].from == BRISK_LOADED_HERE;
    }
    CHECK(here == 1 && s.origin.loads == 1);
    scene_deinit(&s);
}

static void test_who_waits_gets_the_error_or_tries(void **unused)
{
    (void)unused;
    enum { ASKERS = 8 };
    for (int retry = 0; retry < 2; retry++) {
        scene s;
        scene_init(&s, (brisk_loader_opts){.flags = retry != 0 ? BRISK_LOADER_RETRY : 0});
        s.origin.closed = true;
        s.origin.err = BRISK_ERR_IO;
        asker askers[ASKERS] = {0};
        for (int i = 0; i < ASKERS; i++) {
            start(&askers[i], &s);
        }
        await(&s.origin.inside, 1);
        for (int i = 0; i < 50; i++) {
            nap();
        }
        s.origin.closed = false;
        for (int i = 0; i < ASKERS; i++) {
            end(&askers[i]);
            CHECK(askers[i].err == BRISK_ERR_IO);
        }
        if (retry != 0) {
            CHECK(s.origin.loads == ASKERS);
        } else {
            CHECK(s.origin.loads < ASKERS); /* those that had come by then, at once */
        }
        scene_deinit(&s);
    }
}

/* A leader's cancellation or deadline is its own: the next one loads. */
static void test_a_cancelled_load_is_not_shared(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.closed = true;
    s.origin.err = BRISK_ERR_CANCELLED;
    asker first = {0};
    asker second = {0};
    start(&first, &s);
    await(&s.origin.inside, 1);
    start(&second, &s);
    while (stats_of(&s).loads == 0) { /* until the second one leads, or would have waited */
        nap();
        s.origin.closed = false;
    }
    s.origin.err = BRISK_OK;
    end(&first);
    end(&second);
    CHECK(first.err == BRISK_ERR_CANCELLED);
    CHECK(second.err == BRISK_OK || second.err == BRISK_ERR_CANCELLED); /* its own load's */
    CHECK(s.origin.loads == 2);
    scene_deinit(&s);
}

static void test_waiting_ends_by_deadline_and_cancellation(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = SECOND, .stale_if_error_ns = 10 * SECOND});
    s.origin.closed = true;
    asker leader = {0};
    start(&leader, &s);
    await(&s.origin.inside, 1);
    asker late = {.call = {.deadline_ns = brisk_clock_now_ns(&s.clock.base) + SECOND}};
    asker cancelled = {.call = {.cancelled = is_cancelled}};
    cancelled.call.ctx = &cancelled;
    start(&late, &s);
    start(&cancelled, &s);
    fake_clock_advance(&s.clock, 2 * SECOND);
    end(&late);
    CHECK(late.err == BRISK_ERR_DEADLINE);
    atomic_store(&cancelled.cancelled, true);
    end(&cancelled);
    CHECK(cancelled.err == BRISK_ERR_CANCELLED);
    /* Before it waits at all. */
    CHECK_GET_ERR(&s, &late.call, BRISK_ERR_DEADLINE);
    CHECK_GET_ERR(&s, &cancelled.call, BRISK_ERR_CANCELLED);
    s.origin.closed = false;
    end(&leader);
    CHECK(leader.err == BRISK_OK && s.origin.loads == 1);
    /* Late with an old answer at hand: that one. */
    fake_clock_advance(&s.clock, 5 * SECOND);
    s.origin.closed = true;
    start(&leader, &s);
    await(&s.origin.inside, 1);
    asker old = {.call = {.deadline_ns = brisk_clock_now_ns(&s.clock.base) + SECOND}};
    start(&old, &s);
    fake_clock_advance(&s.clock, 2 * SECOND);
    end(&old);
    CHECK(old.err == BRISK_OK && old.from == BRISK_LOADED_STALE_ERROR && old.number == 1);
    s.origin.closed = false;
    end(&leader);
    scene_deinit(&s);
}

/* Cancelled, and told at the same moment that it leads: it gives up what it has just inherited. */
typedef struct heir {
    asker base; /* first */
    brisk_loader *loader;
    uint32_t asked;
} heir;

static bool inherit_and_cancel(void *ctx)
{
    heir *self = ctx;
    if (self->asked++ == 0) {
        return false; /* before it waits */
    }
    self->base.scene->origin.closed = false; /* the leader's load ends, cancelled */
    while (stats_of(self->base.scene).load_errors == 0 ||
           brisk_flights_waiting(self->loader->flights) != 0) {
        nap();
    }
    return true;
}

static void test_an_heir_that_is_cancelled(void **unused)
{
    (void)unused;
    scene s;
    scene_init(&s, (brisk_loader_opts){0});
    s.origin.closed = true;
    s.origin.err = BRISK_ERR_CANCELLED;
    asker leader = {0};
    start(&leader, &s);
    await(&s.origin.inside, 1);
    heir h = {.base = {.call = {.cancelled = inherit_and_cancel}}, .loader = s.loader};
    h.base.call.ctx = &h;
    start(&h.base, &s);
    end(&h.base);
    end(&leader);
    CHECK(h.base.err == BRISK_ERR_CANCELLED && h.asked == 2);
    s.origin.err = BRISK_OK;
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE); /* nobody holds the key */
    scene_deinit(&s);
}

static void test_a_real_deadline(void **unused)
{
    (void)unused;
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    scene s;
    memset(&s, 0, sizeof s);
    s.key = brisk_key_of("key", 3);
    s.origin.closed = true;
    CHECK_OK(brisk_loader_create(
        &(brisk_loader_opts){.cache = cache, .load = origin_load, .ctx = &s.origin}, &s.loader));
    asker leader = {0};
    start(&leader, &s);
    await(&s.origin.inside, 1);
    asker late = {.call = {.deadline_ns = brisk_clock_now_ns(NULL) + 30000000}};
    start(&late, &s);
    end(&late);
    CHECK(late.err == BRISK_ERR_DEADLINE);
    s.origin.closed = false;
    end(&leader);
    brisk_loader_destroy(s.loader);
}

/* What changes while it is loaded is not stored, and nobody who asks later waits for it. */
static void test_a_change_during_a_load(void **unused)
{
    (void)unused;
    for (int how = 0; how < 3; how++) {
        scene s;
        scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND});
        s.origin.closed = true;
        asker first = {0};
        start(&first, &s);
        await(&s.origin.inside, 1);
        s.origin.number = 2; /* the origin first, then the cache */
        uint64_t number = 2;
        brisk_value *value;
        CHECK_OK(brisk_value_copy(&number, sizeof number, NULL, &value));
        if (how == 0) {
            brisk_loader_put(s.loader, &s.key, value, 0, NULL);
        } else if (how == 1) {
            CHECK_OK(brisk_loader_remove(s.loader, &s.key));
        } else {
            brisk_loader_outdate(s.loader);
            CHECK_OK(brisk_cache_clear(s.cache));
        }
        brisk_value_unref(value);
        asker second = {0};
        start(&second, &s);
        if (how != 0) {
            await(&s.origin.inside, 2); /* it loads, beside the first */
        }
        s.origin.closed = false;
        end(&first);
        end(&second);
        CHECK(first.number == 1 && second.number == 2);
        CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE);
        CHECK(stats_of(&s).outdated == 1);
        scene_deinit(&s);
    }
}

/* --- loads that load --------------------------------------------------------------------------- */

static pthread_barrier_t both;

typedef struct circle {
    brisk_loader *loader;
    brisk_loader *other;   /* NULL: the same */
    const char *next[128]; /* for the key that begins with this character */
    bool meet;
    _Atomic uint32_t cycles;
} circle;

static brisk_err circle_load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    circle *self = ctx;
    uint64_t number = 1;
    const char *next = self->next[*(const unsigned char *)key->bytes];
    if (self->meet) {
        (void)pthread_barrier_wait(&both);
    }
    if (next != NULL) {
        brisk_key other = brisk_key_of(next, strlen(next));
        brisk_loaded got;
        brisk_err err = brisk_loader_get(
            self->other != NULL && *next == 'c' ? self->other : self->loader, &other, NULL, &got);
        if (err != BRISK_OK) {
            (void)atomic_fetch_add(&self->cycles, err == BRISK_ERR_CYCLE);
            return err;
        }
        number = number_of(got.hit.value) + 1;
        brisk_value_unref(got.hit.value);
    }
    return brisk_value_copy(&number, sizeof number, NULL, &ret->value);
}

static void test_loads_may_load_but_not_in_a_circle(void **unused)
{
    (void)unused;
    scene s;
    memset(&s, 0, sizeof s);
    BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
    circle ring = {.next = {['a'] = "b", ['b'] = "c", ['s'] = "s", ['x'] = "y", ['y'] = "x"}};
    brisk_loader_opts opts = {.cache = cache, .load = circle_load, .ctx = &ring};
    CHECK_OK(brisk_loader_create(&opts, &s.loader));
    ring.loader = s.loader;
    s.key = brisk_key_of("a", 1);
    CHECK_GET(&s, NULL, 3, BRISK_LOADED_HERE);
    s.key = brisk_key_of("s", 1);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_CYCLE);
    s.key = brisk_key_of("x", 1);
    CHECK_GET_ERR(&s, NULL, BRISK_ERR_CYCLE);
    ring.next['y'] = NULL; /* nothing is poisoned */
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_HERE);
    brisk_loader_destroy(s.loader);
}

static void test_threads_do_not_wait_in_a_circle(void **unused)
{
    (void)unused;
    CHECK(pthread_barrier_init(&both, NULL, 2) == 0);
    for (int two = 0; two < 2; two++) { /* through one loader, and through two */
        for (int round = 0; round < 50; round++) {
            BRISK_CLEANUP(brisk_cache_destroy) brisk_cache *cache = make_cache(NULL, NULL);
            circle ring = {.next = {['b'] = "c", ['c'] = "b"}, .meet = true};
            brisk_loader_opts opts = {.cache = cache, .load = circle_load, .ctx = &ring};
            CHECK_OK(brisk_loader_create(&opts, &ring.loader));
            if (two != 0) {
                CHECK_OK(brisk_loader_create(&opts, &ring.other));
            }
            scene s[2];
            asker askers[2] = {0};
            for (int i = 0; i < 2; i++) {
                s[i].loader = i == 1 && two != 0 ? ring.other : ring.loader;
                s[i].key = brisk_key_of(i == 0 ? "b" : "c", 1);
                start(&askers[i], &s[i]);
            }
            end(&askers[0]);
            end(&askers[1]);
            CHECK(askers[0].err == BRISK_ERR_CYCLE && askers[1].err == BRISK_ERR_CYCLE);
            CHECK(ring.cycles >= 1);
            brisk_loader_destroy(ring.loader);
            brisk_loader_destroy(ring.other);
        }
    }
    (void)pthread_barrier_destroy(&both);
}

/* --- without threads that wait ----------------------------------------------------------------- */

typedef struct receipt {
    brisk_load_ticket *ticket;
    uint32_t calls;
    brisk_err err;
    uint64_t number;
    brisk_loaded_from from;
    bool release_here;
} receipt;

static void receive(void *ctx, brisk_err err, const brisk_loaded *loaded)
{
    receipt *self = ctx;
    self->calls++;
    self->err = err;
    CHECK((loaded != NULL) == (err == BRISK_OK));
    if (loaded != NULL) {
        self->number = number_of(loaded->hit.value);
        self->from = loaded->from;
        brisk_value_unref(loaded->hit.value);
    }
    if (self->release_here) {
        brisk_load_ticket_release(self->ticket);
    }
}

static void start_ticket(receipt *self, scene *s, const brisk_loader_call *call)
{
    brisk_load_done done = {.fn = receive, .ctx = self};
    CHECK_OK(brisk_loader_start(s->loader, &s->key, call, &done, &self->ticket));
}

static void test_a_thousand_tickets_load_once(void **unused)
{
    (void)unused;
    enum { TICKETS = 1000 };
    hand_queue queue;
    hand_init(&queue);
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 60 * SECOND, .background = &queue.base});
    static receipt receipts[TICKETS];
    memset(receipts, 0, sizeof receipts);
    for (int i = 0; i < TICKETS; i++) {
        receipts[i].release_here = i % 2 == 0;
        start_ticket(&receipts[i], &s, NULL);
    }
    CHECK(queue.count == 1 && s.origin.loads == 0);
    brisk_load_ticket_cancel(receipts[7].ticket);
    CHECK(receipts[7].calls == 1 && receipts[7].err == BRISK_ERR_CANCELLED);
    hand_run(&queue);
    for (int i = 0; i < TICKETS; i++) {
        CHECK(receipts[i].calls == 1);
        if (i != 7) {
            CHECK(receipts[i].err == BRISK_OK && receipts[i].number == 1);
            CHECK(receipts[i].from == (i == 0 ? BRISK_LOADED_HERE : BRISK_LOADED_SHARED));
        }
        if (!receipts[i].release_here) {
            brisk_load_ticket_release(receipts[i].ticket);
        }
    }
    CHECK(s.origin.loads == 1);
    receipt hit = {0};
    start_ticket(&hit, &s, NULL);
    CHECK(hit.calls == 1 && hit.from == BRISK_LOADED_CACHE);
    brisk_load_ticket_release(hit.ticket);
    scene_deinit(&s);
}

static void test_tickets_go_every_way(void **unused)
{
    (void)unused;
    hand_queue queue;
    hand_init(&queue);
    scene s;
    scene_init(&s, (brisk_loader_opts){.ttl_ns = 10 * SECOND,
                                       .stale_ns = 2 * SECOND,
                                       .stale_if_error_ns = 100 * SECOND,
                                       .flags = BRISK_LOADER_RETRY,
                                       .refresh_beta = -1,
                                       .background = &queue.base});
    receipt a = {0};
    receipt b = {0};
    brisk_load_done done = {.fn = receive, .ctx = &a};
    brisk_loader_call call = {.arg = &a};
    CHECK(brisk_loader_start(s.loader, &s.key, &call, &done, &a.ticket) == BRISK_ERR_INVALID);
    CHECK(brisk_loader_start(s.loader, &s.key, NULL, NULL, &a.ticket) == BRISK_ERR_INVALID);
    /* Cancelled before its load began. */
    start_ticket(&a, &s, NULL);
    brisk_load_ticket_cancel(a.ticket);
    CHECK(a.calls == 0);
    start_ticket(&b, &s, NULL); /* comes after it, and inherits */
    hand_run(&queue);           /* a's job, which queues b's */
    CHECK(a.calls == 1 && a.err == BRISK_ERR_CANCELLED);
    CHECK(b.calls == 1 && b.err == BRISK_OK && b.from == BRISK_LOADED_HERE);
    brisk_load_ticket_release(a.ticket);
    brisk_load_ticket_release(b.ticket);
    /* A thread took its place: it finds the answer. */
    CHECK_OK(brisk_loader_remove(s.loader, &s.key));
    a = b = (receipt){0};
    start_ticket(&a, &s, NULL);
    CHECK_GET(&s, NULL, 1, BRISK_LOADED_HERE);
    hand_run(&queue);
    CHECK(a.calls == 1 && a.from == BRISK_LOADED_CACHE);
    brisk_load_ticket_release(a.ticket);
    /* Stale, and refreshed by a job. */
    fake_clock_advance(&s.clock, 11 * SECOND);
    s.origin.number = 2;
    a = (receipt){0};
    start_ticket(&a, &s, NULL);
    CHECK(a.calls == 1 && a.from == BRISK_LOADED_STALE && a.number == 1);
    hand_run(&queue);
    CHECK_GET(&s, NULL, 2, BRISK_LOADED_CACHE);
    brisk_load_ticket_release(a.ticket);
    /* Expired, and the load fails; then with no room in the background, in the call. */
    fake_clock_advance(&s.clock, 50 * SECOND);
    s.origin.err = BRISK_ERR_IO;
    for (int round = 0; round < 2; round++) {
        queue.max = round == 0 ? HAND_MAX : 0;
        a = (receipt){0};
        start_ticket(&a, &s, NULL);
        hand_run(&queue);
        CHECK(a.calls == 1 && a.from == BRISK_LOADED_STALE_ERROR && a.number == 2);
        brisk_load_ticket_release(a.ticket);
    }
    a = (receipt){0};
    start_ticket(&a, &s, &(brisk_loader_call){.flags = BRISK_CALL_FRESH});
    CHECK(a.calls == 1 && a.err == BRISK_ERR_IO);
    brisk_load_ticket_release(a.ticket);
    scene_deinit(&s);
}

/* A thread took its place, and it was cancelled: it must not wait for that thread. */
static void test_a_cancelled_ticket_does_not_wait(void **unused)
{
    (void)unused;
    hand_queue queue;
    hand_init(&queue);
    scene s;
    scene_init(&s, (brisk_loader_opts){.background = &queue.base});
    receipt a = {0};
    start_ticket(&a, &s, NULL);
    s.origin.closed = true;
    asker thread = {0};
    start(&thread, &s);
    await(&s.origin.inside, 1);
    brisk_load_ticket_cancel(a.ticket);
    CHECK(a.calls == 0);
    hand_run(&queue);
    CHECK(a.calls == 1 && a.err == BRISK_ERR_CANCELLED);
    s.origin.closed = false;
    end(&thread);
    CHECK(thread.err == BRISK_OK && s.origin.loads == 1);
    brisk_load_ticket_release(a.ticket);
    scene_deinit(&s);
}

static void test_a_ticket_is_late(void **unused)
{
    (void)unused;
    hand_queue queue;
    hand_init(&queue);
    scene s;
    scene_init(&s, (brisk_loader_opts){.background = &queue.base});
    receipt a = {0};
    receipt b = {0};
    start_ticket(&a, &s, NULL);
    start_ticket(&b, &s,
                 &(brisk_loader_call){.deadline_ns = brisk_clock_now_ns(&s.clock.base) + SECOND});
    fake_clock_advance(&s.clock, 2 * SECOND);
    while (brisk_flights_waiting(s.loader->flights) != 0) {
        nap();
    }
    brisk_load_ticket_cancel(b.ticket); /* too late for that, too */
    brisk_load_ticket_release(b.ticket);
    hand_run(&queue);
    CHECK(a.calls == 1 && a.err == BRISK_OK);
    brisk_load_ticket_release(a.ticket);
    scene_deinit(&s); /* waits until b was told */
    CHECK(b.calls == 1 && b.err == BRISK_ERR_DEADLINE);
}

/* --- everything at once ------------------------------------------------------------------------- */

enum { THREADS = 4, KEYS = 3, STEPS = 3000 };

typedef struct world {
    brisk_loader *loader;
    brisk_cache *cache;
    _Atomic uint64_t truth[KEYS]; /* what the origin has; only grows */
    _Atomic uint64_t told[KEYS];  /* newest that put or remove has been called for */
    pthread_mutex_t writing[KEYS];
    _Atomic uint32_t in_background;
    bool threads_fail;
} world;

typedef struct writer {
    world *world;
    uint64_t seed;
    uint64_t answers, errors;
    pthread_t id;
} writer;

static brisk_err world_load(void *ctx, const brisk_key *key, brisk_load *ret)
{
    world *w = ctx;
    uint32_t k;
    memcpy(&k, key->bytes, sizeof k);
    uint64_t number = atomic_load(&w->truth[k]);
    if (number % 7 == 0) {
        return number % 14 == 0 ? BRISK_ERR_IO : BRISK_ERR_NOT_FOUND;
    }
    for (uint64_t i = 0; i < number % 50; i++) {
        (void)sched_yield();
    }
    return brisk_value_copy(&number, sizeof number, NULL, &ret->value);
}

typedef struct task {
    world *world;
    void (*fn)(void *arg);
    void *arg;
} task;

static void *run_task(void *ctx)
{
    task *t = ctx;
    t->fn(t->arg);
    (void)atomic_fetch_sub(&t->world->in_background, 1);
    free(t);
    return NULL;
}

static bool run_in_thread(void *ctx, void (*fn)(void *arg), void *arg)
{
    world *w = ctx;
    if (atomic_fetch_add(&w->in_background, 1) >= 2) {
        (void)atomic_fetch_sub(&w->in_background, 1);
        return false;
    }
    task *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    *t = (task){.world = w, .fn = fn, .arg = arg};
    pthread_t id;
    CHECK(pthread_create(&id, NULL, run_task, t) == 0);
    CHECK(pthread_detach(id) == 0);
    return true;
}

/* The origin changes, then the cache is told. */
static void change(world *w, uint32_t k, bool put)
{
    brisk_key key = brisk_key_of(&k, sizeof k);
    (void)pthread_mutex_lock(&w->writing[k]);
    uint64_t number = atomic_fetch_add(&w->truth[k], 1) + 1;
    if (put && number % 7 != 0) {
        brisk_value *value;
        CHECK_OK(brisk_value_copy(&number, sizeof number, NULL, &value));
        brisk_loader_put(w->loader, &key, value, 0, NULL);
        brisk_value_unref(value);
    } else {
        CHECK_OK(brisk_loader_remove(w->loader, &key));
    }
    atomic_store(&w->told[k], number);
    (void)pthread_mutex_unlock(&w->writing[k]);
}

typedef struct world_receipt {
    world *world;
    uint32_t k;
    uint64_t floor;
} world_receipt;

static void receive_in_world(void *ctx, brisk_err err, const brisk_loaded *loaded)
{
    world_receipt *self = ctx;
    if (err == BRISK_OK) {
        CHECK_U64(number_of(loaded->hit.value), >=, self->floor);
        brisk_value_unref(loaded->hit.value);
    }
    free(self);
}

static void ask_by_ticket(world *w, uint32_t k, uint64_t floor)
{
    world_receipt *paper = calloc(1, sizeof *paper);
    CHECK(paper != NULL);
    *paper = (world_receipt){.world = w, .k = k, .floor = floor};
    brisk_key key = brisk_key_of(&k, sizeof k);
    brisk_load_done done = {.fn = receive_in_world, .ctx = paper};
    brisk_load_ticket *ticket;
    CHECK_OK(brisk_loader_start(w->loader, &key, NULL, &done, &ticket));
    if (floor % 5 == 0) {
        brisk_load_ticket_cancel(ticket);
    }
    brisk_load_ticket_release(ticket);
}

/* An answer is never older than the last change that the cache had been told of before. */
static void *write_and_read(void *ctx)
{
    writer *self = ctx;
    world *w = self->world;
    for (int step = 0; step < STEPS; step++) {
        uint32_t k = (uint32_t)(check_random(&self->seed) % KEYS);
        brisk_key key = brisk_key_of(&k, sizeof k);
        uint64_t what = check_random(&self->seed) % 20;
        if (what < 3) {
            change(w, k, what == 0);
            continue;
        }
        uint64_t floor = atomic_load(&w->told[k]);
        if (what == 18) {
            ask_by_ticket(w, k, floor);
            continue;
        }
        brisk_loader_call call = {.flags = what == 19 ? BRISK_CALL_RELOAD : 0};
        brisk_loaded got;
        brisk_err err = brisk_loader_get(w->loader, &key, &call, &got);
        if (err == BRISK_OK) {
            uint64_t number = number_of(got.hit.value);
            brisk_value_unref(got.hit.value);
            CHECK_U64(number, >=, floor);
            CHECK_U64(number, <=, atomic_load(&w->truth[k]));
            self->answers++;
        } else {
            CHECK(err == BRISK_ERR_IO || err == BRISK_ERR_NOT_FOUND);
            self->errors++;
        }
    }
    return NULL;
}

static void test_nobody_sees_what_was_before_a_change(void **unused)
{
    (void)unused;
    uint64_t seed = check_seed();
    for (int round = 0; round < 4; round++) {
        world w = {.cache = make_cache(NULL, NULL)};
        brisk_background background = {.run = run_in_thread, .ctx = &w};
        brisk_loader_opts opts = {
            .cache = w.cache,
            .load = world_load,
            .ctx = &w,
            .flags = round % 2 != 0 ? BRISK_LOADER_RETRY : 0,
            .ttl_ns = 2000000, /* so that answers grow old within the test */
            .negative_ttl_ns = 200000,
            .error_ttl_ns = round == 3 ? 100000 : 0,
            .stale_ns = round >= 2 ? 1000000 : 0,
            .refresh_beta = 20,
            .background = round >= 1 ? &background : NULL,
        };
        CHECK_OK(brisk_loader_create(&opts, &w.loader));
        for (int k = 0; k < KEYS; k++) {
            CHECK(pthread_mutex_init(&w.writing[k], NULL) == 0);
        }
        writer writers[THREADS];
        for (int i = 0; i < THREADS; i++) {
            writers[i] = (writer){.world = &w, .seed = seed + (uint64_t)(10 * round + i)};
            CHECK(pthread_create(&writers[i].id, NULL, write_and_read, &writers[i]) == 0);
        }
        uint64_t answers = 0;
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(writers[i].id, NULL) == 0);
            answers += writers[i].answers;
        }
        CHECK(answers > STEPS);
        brisk_loader_destroy(w.loader);
        while (atomic_load(&w.in_background) != 0) {
            nap();
        }
        brisk_cache_destroy(w.cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thousand_threads_load_once),
        cmocka_unit_test(test_who_waits_gets_the_error_or_tries),
        cmocka_unit_test(test_a_cancelled_load_is_not_shared),
        cmocka_unit_test(test_waiting_ends_by_deadline_and_cancellation),
        cmocka_unit_test(test_an_heir_that_is_cancelled),
        cmocka_unit_test(test_a_real_deadline),
        cmocka_unit_test(test_a_change_during_a_load),
        cmocka_unit_test(test_loads_may_load_but_not_in_a_circle),
        cmocka_unit_test(test_threads_do_not_wait_in_a_circle),
        cmocka_unit_test(test_a_thousand_tickets_load_once),
        cmocka_unit_test(test_tickets_go_every_way),
        cmocka_unit_test(test_a_cancelled_ticket_does_not_wait),
        cmocka_unit_test(test_a_ticket_is_late),
        cmocka_unit_test(test_nobody_sees_what_was_before_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
