/*
 * test_queue.c -- proves the job queue in simulated time: shares converge to weights, whatever the
 * sizes of jobs, nobody starves, long jobs leave a slot to short ones, a client with many jobs does
 * not hold up another, quotas, limits and deadlines hold.
 */
#include "support/check.h"

#include <string.h>

#include "daemon/api/queue.h"
#include "support/fault_alloc.h"

#define MS UINT64_C(1000000)

enum { ITEMS_MAX = 4096, SLOTS_MAX = 8 };

/* A machine with slots, and jobs that take as long as their `size_ns`. */
typedef struct job {
    queue_item item; /* first */
    uint64_t size_ns;
    uint64_t end_ns;
    uint64_t wait_ns;
    bool used;
} job;

typedef struct machine {
    queue *q;
    uint64_t now_ns;
    job jobs[ITEMS_MAX];
    job *running[SLOTS_MAX];
    uint32_t slots;
    uint64_t served_ns[4]; /* by workload */
    uint64_t class_ns[QUEUE_CLASSES];
    uint64_t wait_max_ns[QUEUE_CLASSES];
    uint64_t client_done[4];
    void (*finished)(struct machine *m, job *j); /* j may be used again */
} machine;

static machine m;

static void start_machine(uint32_t slots, uint32_t waiting_max, uint32_t client_running)
{
    memset(&m, 0, sizeof m);
    queue_opts opts = {.running_max = slots,
                       .waiting_max = waiting_max,
                       .client_running_max = client_running,
                       .alloc = brisk_alloc_libc()};
    CHECK_OK(queue_create(&opts, &m.q));
    m.slots = slots;
    m.now_ns = 1000;
}

static uint32_t add(const char *name, uint32_t weight, uint32_t quota)
{
    uint32_t index;
    CHECK_OK(queue_add_workload(
        m.q, &(queue_workload_opts){.name = name, .weight = weight, .quota = quota}, &index));
    return index;
}

static job *submit(queue_class class, uint32_t workload, uint64_t client, uint64_t size_ns)
{
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        job *j = &m.jobs[i];
        if (!j->used) {
            *j = (job){.size_ns = size_ns, .used = true};
            j->item = (queue_item){.class = class,
                                   .workload = workload,
                                   .client = client,
                                   .priority = QUEUE_PRIORITY_DEFAULT};
            CHECK_OK(queue_push(m.q, &j->item, m.now_ns));
            return j;
        }
    }
    fail_msg("too many jobs");
    return NULL;
}

static void fill_slots(void)
{
    for (uint32_t i = 0; i < m.slots; i++) {
        queue_item *item = m.running[i] == NULL ? queue_pop(m.q, m.now_ns) : NULL;
        if (item != NULL) {
            job *j = (job *)item;
            j->end_ns = m.now_ns + j->size_ns;
            j->wait_ns = m.now_ns - item->entered_ns;
            if (j->wait_ns > m.wait_max_ns[item->class]) {
                m.wait_max_ns[item->class] = j->wait_ns;
            }
            m.running[i] = j;
        }
    }
}

/* Until `until_ns`, or nothing runs and nothing waits. */
static void run_until(uint64_t until_ns)
{
    for (;;) {
        fill_slots();
        uint32_t next = SLOTS_MAX;
        for (uint32_t i = 0; i < m.slots; i++) {
            if (m.running[i] != NULL &&
                (next == SLOTS_MAX || m.running[i]->end_ns < m.running[next]->end_ns)) {
                next = i;
            }
        }
        if (next == SLOTS_MAX || m.running[next]->end_ns > until_ns) {
            m.now_ns = until_ns;
            return;
        }
        job *j = m.running[next];
        m.running[next] = NULL;
        m.now_ns = j->end_ns;
        m.served_ns[j->item.workload] += j->size_ns;
        m.class_ns[j->item.class] += j->size_ns;
        m.client_done[j->item.client % 4]++;
        queue_done(m.q, &j->item, m.now_ns);
        j->used = false;
        if (m.finished != NULL) {
            m.finished(&m, j);
        }
    }
}

/* What is done comes again: everybody always waits. */
static void again(machine *self, job *j)
{
    (void)self;
    (void)submit(j->item.class, j->item.workload, j->item.client, j->size_ns);
}

static void check_share(uint64_t part, uint64_t all, double expected, double within)
{
    double share = (double)part / (double)all;
    if (share < expected - within || share > expected + within) {
        fail_msg("a share of %.3f, not %.3f", share, expected);
    }
}

static void test_shares_follow_weights(void **unused)
{
    (void)unused;
    start_machine(3, 1000, 0);
    static const uint32_t weights[] = {1, 2, 5};
    static const uint64_t sizes[] = {400 * MS, 7 * MS, 60 * MS}; /* heavy, light, between */
    static const char *const names[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t index = add(names[i], weights[i], 0);
        for (int k = 0; k < 10; k++) {
            (void)submit(QUEUE_INTERACTIVE, index, i, sizes[i]);
        }
    }
    m.finished = again;
    run_until(600000 * MS);
    uint64_t all = m.served_ns[0] + m.served_ns[1] + m.served_ns[2];
    for (uint32_t i = 0; i < 3; i++) {
        check_share(m.served_ns[i], all, weights[i] / 8.0, 0.02);
        queue_workload_figures f;
        queue_read_workload(m.q, i, &f);
        CHECK_U64(f.service_ns, ==, m.served_ns[i]);
        check_share((uint64_t)(f.share * 1e6), 1000000, f.share_configured, 0.02);
    }
    queue_destroy(m.q);
}

/* Random sizes that change over time, workloads that come and go. */
static void test_shares_with_random_sizes(void **unused)
{
    (void)unused;
    uint64_t seed = check_seed();
    start_machine(2, 1000, 0);
    uint32_t a = add("a", 3, 0);
    uint32_t b = add("b", 1, 0);
    uint64_t all = 0;
    for (int round = 0; round < 4000; round++) {
        for (int k = 0; k < 3; k++) {
            (void)submit(QUEUE_INTERACTIVE, a, 1, (1 + check_random(&seed) % 80) * MS);
            (void)submit(QUEUE_INTERACTIVE, b, 2, (1 + check_random(&seed) % 120) * MS);
        }
        run_until(m.now_ns + 60 * MS); /* less than comes: both always wait */
        queue_figures f;
        queue_read(m.q, m.now_ns, &f);
        if (f.waiting > 900) {
            all = m.served_ns[a] + m.served_ns[b];
            break;
        }
    }
    CHECK(all > 0);
    check_share(m.served_ns[a], all, 0.75, 0.04);
    queue_destroy(m.q);
}

static void test_low_classes_do_not_starve(void **unused)
{
    (void)unused;
    start_machine(4, 1000, 0);
    uint32_t w = add("w", 1, 0);
    for (int k = 0; k < 20; k++) {
        (void)submit(QUEUE_INTERACTIVE, w, 1, 10 * MS);
        (void)submit(QUEUE_BATCH, w, 2, 10 * MS);
        (void)submit(QUEUE_IDLE, w, 3, 10 * MS);
    }
    m.finished = again;
    run_until(100000 * MS);
    uint64_t all = m.class_ns[0] + m.class_ns[1] + m.class_ns[2];
    check_share(m.class_ns[QUEUE_INTERACTIVE], all, 0.75, 0.02);
    check_share(m.class_ns[QUEUE_BATCH], all, 0.20, 0.02);
    check_share(m.class_ns[QUEUE_IDLE], all, 0.05, 0.02);
    /* 20 jobs of 10 ms with 5 % of 4 slots: 1 s for a round */
    CHECK_U64(m.wait_max_ns[QUEUE_IDLE], <=, 1200 * MS);
    queue_destroy(m.q);
}

/* Hours of batch work in all slots that it may have: short jobs never wait for it. */
static void test_a_heavy_job_starves_nobody(void **unused)
{
    (void)unused;
    start_machine(3, 1000, 0);
    uint32_t heavy = add("heavy", 1, 0);
    uint32_t light = add("light", 1, 0);
    for (int k = 0; k < 50; k++) {
        (void)submit(QUEUE_BATCH, heavy, 1, 3600000 * MS);
        (void)submit(QUEUE_IDLE, heavy, 1, 3600000 * MS);
    }
    run_until(10 * MS);
    for (int k = 0; k < 1000; k++) {
        (void)submit(QUEUE_INTERACTIVE, light, 2, 5 * MS);
        run_until(m.now_ns + 6 * MS);
    }
    CHECK_U64(m.wait_max_ns[QUEUE_INTERACTIVE], ==, 0);
    CHECK_U64(m.served_ns[light], ==, 5000 * MS);
    queue_destroy(m.q);
}

static void test_a_client_with_many_jobs(void **unused)
{
    (void)unused;
    start_machine(1, 2000, 0);
    uint32_t w = add("w", 1, 0);
    (void)submit(QUEUE_INTERACTIVE, w, 1, 10 * MS);
    run_until(m.now_ns + 20 * MS); /* so that it is known how long they take */
    for (int k = 0; k < 1000; k++) {
        (void)submit(QUEUE_INTERACTIVE, w, 1, 10 * MS);
    }
    run_until(m.now_ns + 1000 * MS);
    job *other = submit(QUEUE_INTERACTIVE, w, 2, 10 * MS);
    run_until(m.now_ns + 100 * MS);
    CHECK_U64(other->wait_ns, <=, 20 * MS);
    CHECK_U64(m.client_done[2], ==, 1);
    queue_destroy(m.q);
}

static void test_priority_decides_but_not_for_ever(void **unused)
{
    (void)unused;
    start_machine(1, 2000, 0);
    uint32_t w = add("w", 1, 0);
    job *last = submit(QUEUE_INTERACTIVE, w, 1, 50 * MS);
    job *first = submit(QUEUE_INTERACTIVE, w, 2, 50 * MS);
    queue_remove(m.q, &last->item);
    queue_remove(m.q, &first->item);
    last->item.priority = QUEUE_PRIORITY_MAX;
    first->item.priority = 0;
    CHECK_OK(queue_push(m.q, &last->item, m.now_ns));
    CHECK_OK(queue_push(m.q, &first->item, m.now_ns));
    CHECK_U64(queue_position(m.q, &first->item), ==, 0);
    CHECK_U64(queue_position(m.q, &last->item), ==, 1);
    /* urgent jobs for ever: the other still gets its turn */
    for (int k = 0; k < 400 && last->used; k++) {
        job *j = submit(QUEUE_INTERACTIVE, w, 3, 50 * MS);
        queue_remove(m.q, &j->item);
        j->item.priority = 0;
        CHECK_OK(queue_push(m.q, &j->item, m.now_ns));
        run_until(m.now_ns + 50 * MS);
    }
    CHECK(!last->used);
    queue_destroy(m.q);
}

static void test_quotas_and_limits(void **unused)
{
    (void)unused;
    start_machine(8, 5, 2);
    uint32_t narrow = add("narrow", 1, 1);
    uint32_t wide = add("wide", 1, 0);
    uint32_t index;
    CHECK(queue_add_workload(m.q, &(queue_workload_opts){.name = "wide", .weight = 1}, &index) ==
          BRISK_ERR_CONFLICT);
    CHECK(queue_find_workload(m.q, "wide", &index) && index == wide);
    CHECK(!queue_find_workload(m.q, "other", &index));
    (void)submit(QUEUE_INTERACTIVE, narrow, 1, 10 * MS);
    (void)submit(QUEUE_INTERACTIVE, narrow, 2, 10 * MS);
    for (int k = 0; k < 3; k++) {
        (void)submit(QUEUE_INTERACTIVE, wide, 3, 10 * MS);
    }
    queue_item more = {.workload = wide, .client = 3};
    CHECK(queue_push(m.q, &more, m.now_ns) == BRISK_ERR_FULL);
    CHECK_U64(queue_retry_after_s(m.q), ==, 1);
    fill_slots();
    queue_figures f;
    queue_read(m.q, m.now_ns, &f);
    CHECK_U64(f.running, ==, 3); /* one narrow, two of client 3 */
    CHECK_U64(f.waiting, ==, 2);
    CHECK_U64(f.clients, ==, 3);
    CHECK_U64(f.refused_full, ==, 1);
    run_until(m.now_ns + 30 * MS);
    queue_read(m.q, m.now_ns, &f);
    CHECK_U64(f.running + f.waiting, ==, 0);
    CHECK_U64(f.clients, ==, 0);
    queue_destroy(m.q);
    queue_opts opts = {
        .running_max = 1, .waiting_max = 100, .client_waiting_max = 1, .alloc = brisk_alloc_libc()};
    CHECK_OK(queue_create(&opts, &m.q));
    (void)add("w", 1, 0);
    queue_item a = {.client = 1};
    queue_item b = {.client = 1};
    CHECK_OK(queue_push(m.q, &a, 0));
    CHECK(queue_push(m.q, &b, 0) == BRISK_ERR_LIMIT);
    b.client = 2;
    CHECK_OK(queue_push(m.q, &b, 0));
    queue_destroy(m.q);
}

static void test_deadlines(void **unused)
{
    (void)unused;
    start_machine(1, 100, 0);
    (void)add("w", 1, 0);
    queue_item items[3] = {{.deadline_ns = 500}, {.deadline_ns = 200}, {.deadline_ns = 0}};
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(queue_push(m.q, &items[i], 100));
    }
    CHECK_U64(queue_next_deadline_ns(m.q), ==, 200);
    CHECK(queue_expire(m.q, 199) == NULL);
    CHECK(queue_expire(m.q, 200) == &items[1]);
    CHECK(queue_expire(m.q, 200) == NULL);
    CHECK_U64(queue_next_deadline_ns(m.q), ==, 500);
    queue_remove(m.q, &items[0]);
    CHECK(queue_expire(m.q, 1000) == NULL);
    CHECK_U64(queue_next_deadline_ns(m.q), ==, 0);
    CHECK(queue_pop(m.q, 1000) == &items[2]);
    queue_done(m.q, &items[2], 2000);
    queue_destroy(m.q);
}

static void test_retry_after_is_measured(void **unused)
{
    (void)unused;
    start_machine(2, 1000, 0);
    uint32_t w = add("w", 1, 0);
    (void)submit(QUEUE_INTERACTIVE, w, 1, 4000 * MS);
    run_until(m.now_ns + 5000 * MS);
    for (int k = 0; k < 100; k++) {
        (void)submit(QUEUE_INTERACTIVE, w, 1, 4000 * MS);
    }
    CHECK_U64(queue_retry_after_s(m.q), ==, 20); /* 100 jobs of 4 s in 2 slots, a tenth of them */
    queue_destroy(m.q);
}

static void test_every_allocation_may_fail(void **unused)
{
    (void)unused;
    brisk_err err = BRISK_ERR_NOMEM;
    for (uint64_t fail_after = 0; err == BRISK_ERR_NOMEM; fail_after++) {
        fault_alloc fault;
        fault_alloc_init(&fault, fail_after);
        queue *q = NULL;
        uint32_t index;
        queue_item item = {0};
        err = queue_create(&(queue_opts){.running_max = 1, .waiting_max = 1, .alloc = &fault.base},
                           &q);
        if (err == BRISK_OK) {
            CHECK_OK(
                queue_add_workload(q, &(queue_workload_opts){.name = "w", .weight = 1}, &index));
            err = queue_push(q, &item, 0);
            CHECK((queue_pop(q, 0) != NULL) == (err == BRISK_OK));
        }
        queue_destroy(q);
        CHECK_U64(fault.bytes_held, ==, 0);
    }
    CHECK_OK(err);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_shares_follow_weights),
        cmocka_unit_test(test_shares_with_random_sizes),
        cmocka_unit_test(test_low_classes_do_not_starve),
        cmocka_unit_test(test_a_heavy_job_starves_nobody),
        cmocka_unit_test(test_a_client_with_many_jobs),
        cmocka_unit_test(test_priority_decides_but_not_for_ever),
        cmocka_unit_test(test_quotas_and_limits),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_retry_after_is_measured),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
