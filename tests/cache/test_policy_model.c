/*
 * test_policy_model.c -- the policies against naive ones that are written down as the papers are:
 * arrays, linear searches, no ids, no rings.
 *
 * On random traces of several shapes both must hit and miss at the same requests.  W-TinyLFU and
 * auto have no such model: they are tested by what they are for.
 */
#include "cache/policy_test.h"

#include <stdlib.h>

#include "cache/policy_panel.h"

enum { KEYS = 4096, CAPACITY_MAX = 64, REQUESTS = 6000 };

/* An ordered list of keys, the oldest first. */
typedef struct list {
    uint32_t keys[KEYS];
    uint32_t count;
} list;

static uint32_t find(const list *l, uint32_t key)
{
    uint32_t i = 0;
    while (i < l->count && l->keys[i] != key) {
        i++;
    }
    return i;
}

static bool has(const list *l, uint32_t key)
{
    return find(l, key) < l->count;
}

static void drop(list *l, uint32_t key)
{
    uint32_t i = find(l, key);
    if (i < l->count) {
        memmove(&l->keys[i], &l->keys[i + 1], (l->count - i - 1) * sizeof l->keys[0]);
        l->count--;
    }
}

static void push(list *l, uint32_t key)
{
    l->keys[l->count++] = key;
}

static uint32_t pop(list *l)
{
    uint32_t key = l->keys[0];
    drop(l, key);
    return key;
}

typedef struct model {
    uint32_t capacity;
    list a; /* lru, fifo, sieve: all; s3fifo: small; arc: T1; lirs: stack */
    list b; /* s3fifo: main; arc: T2; lirs: queue */
    list c; /* s3fifo: ghosts; arc: B1 */
    list d; /* arc: B2 */
    uint32_t counts[KEYS];
    uint32_t stamps[KEYS];
    uint32_t time;
    uint32_t hand;
    double p;
    uint32_t state[KEYS]; /* lirs: 0 none, 1 LIR, 2 HIR, 3 ghost */
    list ghosts;          /* lirs, in the order in which they became ghosts */
    uint32_t lir;
} model;

static bool ask_lru(model *m, uint32_t key)
{
    bool hit = has(&m->a, key);
    drop(&m->a, key);
    if (!hit && m->a.count == m->capacity) {
        (void)pop(&m->a);
    }
    push(&m->a, key);
    return hit;
}

static bool ask_fifo(model *m, uint32_t key)
{
    if (has(&m->a, key)) {
        return true;
    }
    if (m->a.count == m->capacity) {
        (void)pop(&m->a);
    }
    push(&m->a, key);
    return false;
}

static bool ask_sieve(model *m, uint32_t key)
{
    if (has(&m->a, key)) {
        m->counts[key] = 1;
        return true;
    }
    if (m->a.count == m->capacity) {
        while (m->counts[m->a.keys[m->hand]] != 0) {
            m->counts[m->a.keys[m->hand]] = 0;
            m->hand = (m->hand + 1) % m->a.count;
        }
        drop(&m->a, m->a.keys[m->hand]); /* the hand is then at the next newer one ... */
        m->hand = m->hand < m->a.count ? m->hand : 0; /* ... or begins again */
    }
    m->counts[key] = 0;
    push(&m->a, key);
    return false;
}

/* Rank: age when last asked for + how often; of equal ones the one used longest ago. */
static bool ask_lfu(model *m, uint32_t key)
{
    m->time++;
    bool hit = has(&m->a, key);
    if (!hit) {
        if (m->a.count == m->capacity) {
            uint32_t worst = m->a.keys[0];
            for (uint32_t i = 1; i < m->a.count; i++) {
                uint32_t other = m->a.keys[i];
                if (m->state[other] < m->state[worst] ||
                    (m->state[other] == m->state[worst] && m->stamps[other] < m->stamps[worst])) {
                    worst = other;
                }
            }
            m->hand = m->state[worst]; /* the age */
            drop(&m->a, worst);
        }
        push(&m->a, key);
        m->counts[key] = 0;
    }
    m->counts[key] += m->counts[key] < 255;
    m->state[key] = m->hand + m->counts[key];
    m->stamps[key] = m->time;
    return hit;
}

static void s3_evict(model *m)
{
    uint32_t target = m->capacity / 10 != 0 ? m->capacity / 10 : 1;
    for (;;) {
        bool small = m->a.count != 0 && (m->a.count >= target || m->b.count == 0);
        uint32_t key = pop(small ? &m->a : &m->b);
        if (small && m->counts[key] >= 2) {
            m->counts[key] = 0;
            push(&m->b, key);
        } else if (small) {
            if (m->c.count == m->capacity - m->capacity / 10) {
                (void)pop(&m->c);
            }
            push(&m->c, key);
            return;
        } else if (m->counts[key] > 0) {
            m->counts[key]--;
            push(&m->b, key);
        } else {
            return;
        }
    }
}

static bool ask_s3fifo(model *m, uint32_t key)
{
    if (has(&m->a, key) || has(&m->b, key)) {
        m->counts[key] += m->counts[key] < 3;
        return true;
    }
    if (m->a.count + m->b.count == m->capacity) {
        s3_evict(m);
    }
    push(has(&m->c, key) ? &m->b : &m->a, key);
    drop(&m->c, key);
    m->counts[key] = 0;
    return false;
}

/* The paper's figure 4, word by word. */
static void arc_replace(model *m, bool in_b2)
{
    double t1 = (double)m->a.count;
    if (m->a.count >= 1 && (t1 > m->p || (in_b2 && t1 == m->p))) {
        push(&m->c, pop(&m->a));
    } else {
        push(&m->d, pop(&m->b));
    }
}

static bool ask_arc(model *m, uint32_t key)
{
    double c = (double)m->capacity;
    if (has(&m->a, key) || has(&m->b, key)) {
        drop(&m->a, key);
        drop(&m->b, key);
        push(&m->b, key);
        return true;
    }
    double b1 = (double)m->c.count;
    double b2 = (double)m->d.count;
    bool full = m->a.count + m->b.count == m->capacity;
    if (has(&m->c, key)) {
        m->p = m->p + (b2 > b1 ? b2 / b1 : 1);
        m->p = m->p < c ? m->p : c;
        if (full) {
            arc_replace(m, false);
        }
        drop(&m->c, key);
        push(&m->b, key);
        return false;
    }
    if (has(&m->d, key)) {
        m->p = m->p - (b1 > b2 ? b1 / b2 : 1);
        m->p = m->p > 0 ? m->p : 0;
        if (full) {
            arc_replace(m, true);
        }
        drop(&m->d, key);
        push(&m->b, key);
        return false;
    }
    if (m->a.count + m->c.count == m->capacity) {
        if (m->a.count < m->capacity) {
            (void)pop(&m->c);
            arc_replace(m, false);
        } else {
            (void)pop(&m->a);
        }
    } else if (m->a.count + m->b.count + m->c.count + m->d.count >= m->capacity) {
        if (m->a.count + m->b.count + m->c.count + m->d.count == 2 * m->capacity) {
            (void)pop(&m->d);
        }
        if (full) {
            arc_replace(m, false);
        }
    }
    push(&m->a, key);
    return false;
}

static void lirs_prune(model *m)
{
    while (m->a.count != 0 && m->state[m->a.keys[0]] != 1) {
        uint32_t key = pop(&m->a);
        if (m->state[key] == 3) {
            m->state[key] = 0;
            drop(&m->ghosts, key);
        }
    }
}

static void lirs_promote(model *m, uint32_t key)
{
    uint32_t hir = m->capacity / 100 != 0 ? m->capacity / 100 : 1;
    drop(&m->a, key);
    push(&m->a, key);
    m->state[key] = 1;
    m->lir++;
    if (m->lir > m->capacity - hir) {
        uint32_t oldest = pop(&m->a);
        m->state[oldest] = 2;
        push(&m->b, oldest);
        m->lir--;
        lirs_prune(m);
    }
}

static void lirs_evict(model *m)
{
    uint32_t key = pop(&m->b);
    m->state[key] = 0;
    if (!has(&m->a, key)) {
        return;
    }
    if (m->ghosts.count == 2 * m->capacity) {
        uint32_t oldest = pop(&m->ghosts);
        m->state[oldest] = 0;
        drop(&m->a, oldest);
    }
    m->state[key] = 3;
    push(&m->ghosts, key);
}

static bool ask_lirs(model *m, uint32_t key)
{
    uint32_t hir = m->capacity / 100 != 0 ? m->capacity / 100 : 1;
    uint32_t lir_max = m->capacity - hir;
    if (m->state[key] == 1) {
        drop(&m->a, key);
        push(&m->a, key);
        lirs_prune(m);
        return true;
    }
    if (m->state[key] == 2) {
        drop(&m->b, key);
        if (has(&m->a, key)) {
            lirs_promote(m, key);
        } else {
            push(&m->a, key);
            push(&m->b, key);
        }
        return true;
    }
    if (m->lir + m->b.count == m->capacity) {
        lirs_evict(m);
    }
    bool ghost = m->state[key] == 3;
    drop(&m->ghosts, key);
    drop(&m->a, key);
    if (ghost || m->lir < lir_max) {
        lirs_promote(m, key);
    } else {
        m->state[key] = 2;
        push(&m->a, key);
        push(&m->b, key);
    }
    return false;
}

static uint32_t draw(uint64_t *random, uint32_t shape, uint32_t i)
{
    uint32_t r = (uint32_t)check_random(random);
    switch (shape) {
    case 0: /* uniform */ return r % 100;
    case 1: /* skewed */ return (r % 300) * (r >> 16) % 300 * ((r >> 8) % 300) / 300 % 300;
    case 2: /* a loop, and something else now and then */
        return r % 10 == 0 ? 200 + r % 50 : i % 90;
    default: /* scans through a hot set */ return i % 200 < 100 ? r % 30 : 40 + i % 1000;
    }
}

typedef struct pair {
    const policy_ops *ops;
    bool (*ask)(model *m, uint32_t key);
    uint32_t least; /* capacity from which the paper's words mean something */
} pair;

static const pair pairs[] = {
    {&policy_lru, ask_lru, 1},       {&policy_fifo, ask_fifo, 1}, {&policy_sieve, ask_sieve, 1},
    {&policy_lfu, ask_lfu, 1},       {&policy_ttl, ask_lru, 1},   {&policy_arc, ask_arc, 1},
    {&policy_s3fifo, ask_s3fifo, 1}, {&policy_lirs, ask_lirs, 2},
};

static void compare(const pair *which, uint32_t capacity, uint32_t shape, uint64_t *random)
{
    static model m;
    memset(&m, 0, sizeof m);
    m.capacity = capacity;
    size_t bytes = sim_bytes(which->ops, capacity);
    void *storage = aligned_alloc(64, bytes);
    memset(storage, 0, bytes);
    policy_sim sim;
    sim_init(&sim, which->ops, storage, capacity);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint32_t key = draw(random, shape, i);
        uint32_t gone;
        bool any;
        bool hit = sim_request(&sim, key * UINT32_C(2654435761), 0, &gone, &any);
        if (hit != which->ask(&m, key)) {
            fail_msg("%s with %u entries, shape %u: request %u", which->ops->name, capacity, shape,
                     i);
        }
    }
    CHECK(sim_is_valid(&sim));
    free(storage);
}

static void test_policies_are_what_the_papers_say(void **state)
{
    (void)state;
    uint64_t random = check_seed();
    for (uint32_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        for (uint32_t shape = 0; shape < 4; shape++) {
            for (uint32_t capacity = pairs[i].least; capacity <= CAPACITY_MAX; capacity *= 2) {
                compare(&pairs[i], capacity, shape, &random);
                compare(&pairs[i], capacity + 1, shape, &random);
            }
        }
    }
}

/* What expires first leaves first; what never does leaves as LRU, last. */
static void test_ttl_order(void **state)
{
    (void)state;
    policy_stage stage;
    stage_init(&stage, &policy_ttl, 8, 8);
    stage_insert(&stage, 1, 0);
    stage_insert(&stage, 2, 30);
    stage_insert(&stage, 3, 10);
    stage_insert(&stage, 4, 20);
    stage_insert(&stage, 5, 0);
    policy_ttl.on_expiry(stage.policy, stage_find(&stage, 4), 40);
    (void)stage_ask(&stage, 1);
    static const uint32_t order[] = {3, 2, 4, 5, 1};
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_U64(stage_evict(&stage), ==, order[i]);
    }
    stage_deinit(&stage);
}

static double miss_ratio(const policy_ops *ops, uint32_t capacity, uint32_t requests,
                         uint32_t (*key_at)(uint64_t *random, uint32_t i))
{
    uint32_t ids = ops == &policy_auto ? 65536 : capacity;
    size_t bytes = sim_bytes(ops, ids);
    void *storage = aligned_alloc(64, bytes);
    memset(storage, 0, bytes);
    policy_sim sim;
    sim_init(&sim, ops, storage, ids);
    sim_set_capacity(&sim, capacity);
    uint64_t random = 7;
    uint32_t misses = 0;
    for (uint32_t i = 0; i < requests; i++) {
        uint32_t gone;
        bool any;
        uint32_t hash = key_at(&random, i) * UINT32_C(2654435761);
        misses += !sim_request(&sim, hash, 0, &gone, &any);
    }
    CHECK(sim_is_valid(&sim));
    free(storage);
    return (double)misses / (double)requests;
}

static uint32_t loop(uint64_t *random, uint32_t i)
{
    (void)random;
    return i % 300;
}

static uint32_t scans(uint64_t *random, uint32_t i)
{
    return i % 400 < 200 ? (uint32_t)(check_random(random) % 90) : 1000 + i;
}

static uint32_t drifting(uint64_t *random, uint32_t i)
{
    return i / 20 + (uint32_t)(check_random(random) % 60);
}

static uint32_t phases(uint64_t *random, uint32_t i)
{
    return i < 20000   ? loop(random, i)
           : i < 40000 ? 100000 + drifting(random, i)
                       : 200000 + scans(random, i);
}

/* A hot set of many: the window must not swallow it, nor the main part lock it out. */
static void test_wtinylfu_works_with_few_entries(void **state)
{
    (void)state;
    for (uint32_t capacity = 2; capacity <= 100; capacity *= 3) {
        double lru = miss_ratio(&policy_lru, capacity, 30000, scans);
        CHECK(miss_ratio(&policy_wtinylfu, capacity, 30000, scans) < lru + 0.005);
    }
    CHECK(miss_ratio(&policy_wtinylfu, 100, 30000, drifting) < 0.35); /* the window climbs */
}

/* auto is near the best of the nine, and never far behind LRU. */
static void test_auto_finds_the_best(void **state)
{
    (void)state;
    static uint32_t (*const traces[])(uint64_t *, uint32_t) = {loop, scans, drifting, phases};
    for (uint32_t t = 0; t < 4; t++) {
        for (uint32_t capacity = 10; capacity <= 120; capacity *= 3) {
            double best = 1;
            double lru = miss_ratio(&policy_lru, capacity, 60000, traces[t]);
            for (uint32_t p = 0; p < PANEL_SIZE; p++) {
                double ratio = miss_ratio(panel_policy(p), capacity, 60000, traces[t]);
                best = ratio < best ? ratio : best;
            }
            double got = miss_ratio(&policy_auto, capacity, 60000, traces[t]);
            if (got > 1.02 * best || got > 1.02 * lru) {
                fail_msg("trace %u, %u entries: %f, best %f, lru %f", t, capacity, got, best, lru);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies_are_what_the_papers_say),
        cmocka_unit_test(test_ttl_order),
        cmocka_unit_test(test_wtinylfu_works_with_few_entries),
        cmocka_unit_test(test_auto_finds_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
