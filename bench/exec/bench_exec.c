/*
 * bench_exec.c -- what the executor and the graph cost; one JSON object on standard output.
 *
 * Peer: a plain pool (a list under a mutex, a condition variable), the thing one would write first,
 * with as many threads, in the same run.  Brisk and peer take turns; each figure is the median over
 * the rounds, with the least and the most beside it.  Times are nanoseconds.
 *
 *     bench_exec [rounds]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <brisk/executor.h>
#include <brisk/graph.h>
#include <brisk/json.h>

#include "base/assert.h"

enum {
    ROUNDS_DEFAULT = 15,
    ROUNDS_MAX = 1000,
    CHAIN_RUNS = 20000,
    CHAIN_NODES = 7, /* the stages of the rom workload */
    SPAWNS = 100000,
    FAN_OUT = 1000,
    FAN_OUT_RUNS = 50,
    HOT_SUBMITS = 2000,
    IDLE_SUBMITS = 40,
    WORKERS = 2,
};

/* --- the peer --- */

typedef struct peer_task {
    struct peer_task *next;
    void (*run)(void *ctx);
    void *ctx;
} peer_task;

typedef struct peer_pool {
    pthread_mutex_t lock;
    pthread_cond_t some;
    pthread_cond_t none;
    peer_task *head;
    peer_task *tail;
    uint64_t open;
    bool stop;
    pthread_t threads[WORKERS];
} peer_pool;

static void *peer_main(void *arg)
{
    peer_pool *pool = arg;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->head == NULL && !pool->stop) {
            (void)pthread_cond_wait(&pool->some, &pool->lock);
        }
        peer_task *task = pool->head;
        if (task == NULL) {
            break;
        }
        pool->head = task->next;
        pool->tail = pool->head == NULL ? NULL : pool->tail;
        (void)pthread_mutex_unlock(&pool->lock);
        task->run(task->ctx);
        (void)pthread_mutex_lock(&pool->lock);
        if (--pool->open == 0) {
            (void)pthread_cond_broadcast(&pool->none);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void peer_start(peer_pool *pool)
{
    *pool = (peer_pool){.lock = PTHREAD_MUTEX_INITIALIZER,
                        .some = PTHREAD_COND_INITIALIZER,
                        .none = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < WORKERS; i++) {
        int failed = pthread_create(&pool->threads[i], NULL, peer_main, pool);
        BRISK_ASSERT(failed == 0);
    }
}

static void peer_submit(peer_pool *pool, peer_task *task)
{
    task->next = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->tail != NULL) {
        pool->tail->next = task;
    } else {
        pool->head = task;
    }
    pool->tail = task;
    pool->open++;
    (void)pthread_cond_signal(&pool->some);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void peer_wait(peer_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->open != 0) {
        (void)pthread_cond_wait(&pool->none, &pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}

static void peer_stop(peer_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    (void)pthread_cond_broadcast(&pool->some);
    (void)pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < WORKERS; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
}

/* --- figures --- */

typedef struct figure {
    double values[ROUNDS_MAX];
    int count;
} figure;

static void note(figure *f, double value)
{
    f->values[f->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(figure *f)
{
    qsort(f->values, (size_t)f->count, sizeof f->values[0], compare_doubles);
    return f->values[f->count / 2];
}

static void print_figure(brisk_json *json, const char *name, figure *f, figure *peer)
{
    brisk_json_object_begin(json, name);
    brisk_json_double(json, "median_ns", median(f));
    brisk_json_double(json, "min_ns", f->values[0]);
    brisk_json_double(json, "max_ns", f->values[f->count - 1]);
    if (peer != NULL) {
        brisk_json_double(json, "peer_median_ns", median(peer));
        brisk_json_double(json, "peer_min_ns", peer->values[0]);
        brisk_json_double(json, "peer_max_ns", peer->values[peer->count - 1]);
        brisk_json_double(json, "peer_over_brisk", median(peer) / median(f));
    }
    brisk_json_object_end(json);
}

static uint64_t now_ns(void)
{
    return brisk_clock_now_ns(NULL);
}

static double per(uint64_t began, uint64_t count)
{
    return (double)(now_ns() - began) / (double)count;
}

/* --- graphs --- */

static brisk_err empty_node(void *ctx, uint32_t node)
{
    (void)ctx;
    (void)node;
    return BRISK_OK;
}

static brisk_graph *make_graph(uint32_t nodes, bool side_node)
{
    brisk_graph *graph = NULL;
    brisk_err err = brisk_graph_create(NULL, &graph);
    for (uint32_t i = 0; i < nodes && err == BRISK_OK; i++) {
        char name[16];
        uint32_t node;
        (void)snprintf(name, sizeof name, "n%u", (unsigned)i);
        err = brisk_graph_add(graph, name, &node);
        if (err == BRISK_OK && i > 0) {
            err = brisk_graph_after(graph, i, side_node && i + 1 == nodes ? 0 : i - 1);
        }
    }
    err = err == BRISK_OK ? brisk_graph_freeze(graph, NULL) : err;
    BRISK_ASSERT(err == BRISK_OK);
    return graph;
}

static double time_graph(const brisk_graph *graph, brisk_executor *executor, brisk_cancel *cancel,
                         uint64_t runs)
{
    uint64_t began = now_ns();
    for (uint64_t i = 0; i < runs; i++) {
        brisk_err err = brisk_graph_run(graph, executor, cancel, empty_node, NULL);
        BRISK_ASSERT(err == BRISK_OK);
    }
    return per(began, runs * brisk_graph_count(graph));
}

/* --- tasks --- */

static void no_work(brisk_task *task)
{
    (void)task;
}

static void no_peer_work(void *ctx)
{
    (void)ctx;
}

typedef struct spawner {
    brisk_task task;
    brisk_executor *executor;
    brisk_task *children;
    double ns;
} spawner;

/* On a worker: SPAWNS tasks into its own deque, then run by the wait. */
static void run_spawner(brisk_task *task)
{
    spawner *s = task->ctx;
    brisk_group group;
    brisk_group_init(&group, s->executor);
    uint64_t began = now_ns();
    for (int i = 0; i < SPAWNS; i++) {
        s->children[i] = (brisk_task){.run = no_work};
        brisk_group_run(&group, &s->children[i]);
    }
    brisk_group_wait(&group);
    s->ns = per(began, SPAWNS);
}

static double time_spawn(brisk_executor *executor, brisk_task *children)
{
    brisk_group group;
    brisk_group_init(&group, executor);
    spawner s = {.task = {.run = run_spawner}, .executor = executor, .children = children};
    s.task.ctx = &s;
    brisk_group_run(&group, &s.task);
    brisk_group_wait(&group);
    return s.ns;
}

static double time_peer_spawn(peer_pool *pool, peer_task *tasks, uint64_t count, uint64_t runs)
{
    uint64_t began = now_ns();
    for (uint64_t run = 0; run < runs; run++) {
        for (uint64_t i = 0; i < count; i++) {
            tasks[i] = (peer_task){.run = no_peer_work};
            peer_submit(pool, &tasks[i]);
        }
        peer_wait(pool);
    }
    return per(began, count * runs);
}

static double time_fan_out(brisk_executor *executor, brisk_task *tasks)
{
    uint64_t began = now_ns();
    for (int run = 0; run < FAN_OUT_RUNS; run++) {
        brisk_group group;
        brisk_group_init(&group, executor);
        for (int i = 0; i < FAN_OUT; i++) {
            tasks[i] = (brisk_task){.run = no_work};
            brisk_group_run(&group, &tasks[i]);
        }
        brisk_group_wait(&group);
    }
    return per(began, FAN_OUT * FAN_OUT_RUNS);
}

/* --- from submit to the task's first instruction --- */

typedef struct stamp {
    brisk_task task;
    _Atomic uint64_t at;
} stamp;

static void take_stamp(brisk_task *task)
{
    atomic_store(&((stamp *)task->ctx)->at, now_ns());
}

static void take_peer_stamp(void *ctx)
{
    atomic_store(&((stamp *)ctx)->at, now_ns());
}

/* Median latency of `count` submits, to the peer where `executor` is NULL; `pause_ns` of sleep
 * before each, or none. */
static double time_latency(brisk_executor *executor, peer_pool *pool, int count, long pause_ns)
{
    figure f = {.count = 0};
    for (int i = 0; i < count && f.count < ROUNDS_MAX; i++) {
        stamp s = {.task = {.run = take_stamp}};
        peer_task peer = {.run = take_peer_stamp, .ctx = &s};
        s.task.ctx = &s;
        if (pause_ns != 0) {
            (void)nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        }
        uint64_t began = now_ns();
        if (executor != NULL) {
            brisk_executor_submit(executor, &s.task);
        } else {
            peer_submit(pool, &peer);
        }
        while (atomic_load(&s.at) == 0) {
            /* A real spin: yielding would let the worker run here, which is no wake-up. */
        }
        note(&f, (double)(atomic_load(&s.at) - began));
        if (executor == NULL) {
            peer_wait(pool); /* the peer still counts the task, which is on this stack */
        }
    }
    return median(&f);
}

/* --- all of it --- */

static figure chain, chain_deadline, in_order, one_fork, spawn, peer_spawn, fan_out, peer_fan_out,
    hot, peer_hot, idle, peer_idle;

static void measure(int rounds, brisk_executor *executor, brisk_executor *one, peer_pool *pool)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    brisk_task *tasks = alloc->acquire(NULL, SPAWNS * sizeof *tasks, 16);
    peer_task *peers = alloc->acquire(NULL, SPAWNS * sizeof *peers, 16);
    BRISK_ASSERT(tasks != NULL && peers != NULL);
    brisk_graph *sequence = make_graph(CHAIN_NODES, false);
    brisk_graph *forked = make_graph(CHAIN_NODES, true);
    brisk_cancel cancel;
    brisk_cancel_init(&cancel, UINT64_MAX, NULL);
    for (int round = -1; round < rounds; round++) {
        if (round == 0) { /* round -1 warms up */
            chain.count = chain_deadline.count = in_order.count = one_fork.count = 0;
            spawn.count = peer_spawn.count = fan_out.count = peer_fan_out.count = 0;
            hot.count = peer_hot.count = idle.count = peer_idle.count = 0;
        }
        note(&chain, time_graph(sequence, executor, NULL, CHAIN_RUNS));
        note(&chain_deadline, time_graph(sequence, executor, &cancel, CHAIN_RUNS));
        note(&in_order, time_graph(forked, NULL, NULL, CHAIN_RUNS));
        note(&one_fork, time_graph(forked, executor, NULL, CHAIN_RUNS / 20) * CHAIN_NODES);
        note(&spawn, time_spawn(one, tasks));
        note(&peer_spawn, time_peer_spawn(pool, peers, SPAWNS, 1));
        note(&fan_out, time_fan_out(executor, tasks));
        note(&peer_fan_out, time_peer_spawn(pool, peers, FAN_OUT, FAN_OUT_RUNS));
        note(&hot, time_latency(executor, pool, HOT_SUBMITS, 0));
        note(&peer_hot, time_latency(NULL, pool, HOT_SUBMITS, 0));
        note(&idle, time_latency(executor, pool, IDLE_SUBMITS, 1000000));
        note(&peer_idle, time_latency(NULL, pool, IDLE_SUBMITS, 1000000));
    }
    brisk_graph_destroy(sequence);
    brisk_graph_destroy(forked);
    alloc->release(NULL, tasks, SPAWNS * sizeof *tasks, 16);
    alloc->release(NULL, peers, SPAWNS * sizeof *peers, 16);
}

static int print_all(int rounds)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(stdout), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "bench", "exec");
    brisk_json_u64(&json, "rounds", (uint64_t)rounds);
    brisk_json_u64(&json, "workers", WORKERS);
    brisk_json_str(&json, "method",
                   "median of rounds, brisk and peer in turns, one warm-up round; peer: a list "
                   "under a mutex with a condition variable, same number of threads");
    print_figure(&json, "chain_per_stage", &chain, NULL);
    print_figure(&json, "chain_with_deadline_per_stage", &chain_deadline, NULL);
    print_figure(&json, "no_executor_per_stage", &in_order, NULL);
    print_figure(&json, "graph_with_one_fork_per_run", &one_fork, NULL);
    print_figure(&json, "spawn_and_run_per_task", &spawn, &peer_spawn);
    print_figure(&json, "fan_out_1000_per_task", &fan_out, &peer_fan_out);
    print_figure(&json, "submit_to_run_hot", &hot, &peer_hot);
    print_figure(&json, "submit_to_run_idle_1ms", &idle, &peer_idle);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : ROUNDS_DEFAULT;
    if (rounds < 1 || rounds >= ROUNDS_MAX) {
        return 2;
    }
    brisk_executor *executor = NULL;
    brisk_executor *one = NULL;
    if (brisk_executor_create(&(brisk_executor_opts){.workers = WORKERS}, &executor) != BRISK_OK ||
        brisk_executor_create(&(brisk_executor_opts){.workers = 1}, &one) != BRISK_OK) {
        brisk_executor_destroy(executor);
        return 1;
    }
    peer_pool pool;
    peer_start(&pool);
    measure((int)rounds, executor, one, &pool);
    peer_stop(&pool);
    brisk_executor_destroy(one);
    brisk_executor_destroy(executor);
    return print_all((int)rounds);
}
