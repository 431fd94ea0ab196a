/*
 * queue.c -- start-time fair queueing on three levels.
 *
 * A level has a virtual time: the start tag of what was served last.  A backlogged party's start tag
 * is the larger of its own finish tag and the virtual time, so that whoever was away begins with the
 * others and saves nothing up.  Served is the smallest start tag; it is charged with the service that
 * such a job takes on average, divided by the weight, and the difference when the job is done:
 *
 *     start(p) = max(finish(p), V)      V := start(served)      finish(p) := start(p) + service / weight
 *
 *     classes:    15 : 4 : 1            workloads: configured            clients: equal
 *
 * Clients have no heap: an item's tag is its client's start tag when it comes, and the line of a
 * class and workload is sorted by it.  A step of priority is worth a few average jobs, so that it
 * decides among those who come together, and waiting wins in the end.
 *
 * Invariants: waiting is the sum over lines; an item is in one line, or running, or out;
 * a client is in the table as long as it has an item.
 */
#include "daemon/api/queue.h"

#include <string.h>

#include "base/assert.h"

enum {
    CLIENT_BUCKETS = 256,
    PRIORITY_JOBS = 4, /* average jobs that a step of priority is worth */
    HIST_BITS = 4,     /* waits to 6 %: 8 KiB a class */
};

static const uint32_t class_weights[QUEUE_CLASSES] = {15, 4, 1};
static const char *const class_names[QUEUE_CLASSES] = {"interactive", "batch", "idle"};
static const double service_guess_ns = 50e6; /* of a workload that nobody has seen yet */
static const double service_memory = 0.1;    /* weight of a new sample in the mean */

typedef struct queue_client {
    struct queue_client *next; /* in its bucket */
    uint64_t id;
    uint32_t waiting;
    uint32_t running;
    double finish[QUEUE_CLASSES][QUEUE_WORKLOADS_MAX];
} queue_client;

/* Those of a class and workload, smallest tag first. */
typedef struct line {
    queue_item *first;
    queue_item *last;
    uint32_t count;
    uint32_t running;
    double virtual_time; /* of its clients */
    double finish;       /* in its class */
} line;

typedef struct workload_state {
    queue_workload_opts opts;
    uint32_t running;
    uint64_t done;
    uint64_t refused;
    uint64_t service_ns;
    double mean_ns;
} workload_state;

typedef struct class_state {
    double virtual_time; /* of its workloads */
    double finish;
    uint32_t waiting;
    uint32_t running;
    uint64_t done;
    uint64_t service_ns;
    brisk_hist *waits;
    line lines[QUEUE_WORKLOADS_MAX];
} class_state;

struct queue {
    queue_opts opts;
    double virtual_time; /* of the classes */
    uint32_t waiting;
    uint32_t running;
    uint32_t workload_count;
    uint32_t client_count;
    uint64_t next_deadline_ns; /* not later than any of those who wait; 0: none has one */
    uint64_t pushed;
    uint64_t refused_full;
    uint64_t refused_client;
    uint64_t expired;
    class_state classes[QUEUE_CLASSES];
    workload_state workloads[QUEUE_WORKLOADS_MAX];
    queue_client *buckets[CLIENT_BUCKETS];
};

/* --- life --------------------------------------------------------------------------------- */

static void *take(const queue_opts *opts, size_t size, size_t align)
{
    return opts->alloc->acquire(opts->alloc->ctx, size, align);
}

brisk_err queue_create(const queue_opts *opts, queue **ret)
{
    BRISK_ASSERT(opts->running_max > 0);
    queue *q = take(opts, sizeof *q, _Alignof(queue));
    if (q == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(q, 0, sizeof *q);
    q->opts = *opts;
    brisk_err err = BRISK_OK;
    for (int c = 0; c < QUEUE_CLASSES && err == BRISK_OK; c++) {
        brisk_hist_opts hist = {.precision_bits = HIST_BITS, .alloc = opts->alloc};
        err = brisk_hist_create(&hist, &q->classes[c].waits);
    }
    if (err != BRISK_OK) {
        queue_destroy(q);
        return err;
    }
    *ret = q;
    return BRISK_OK;
}

void queue_destroy(queue *q)
{
    if (q == NULL) {
        return;
    }
    const brisk_alloc *alloc = q->opts.alloc;
    for (size_t i = 0; i < CLIENT_BUCKETS; i++) {
        while (q->buckets[i] != NULL) {
            queue_client *client = q->buckets[i];
            q->buckets[i] = client->next;
            alloc->release(alloc->ctx, client, sizeof *client, _Alignof(queue_client));
        }
    }
    for (int c = 0; c < QUEUE_CLASSES; c++) {
        brisk_hist_destroy(q->classes[c].waits);
    }
    alloc->release(alloc->ctx, q, sizeof *q, _Alignof(queue));
}

bool queue_find_workload(const queue *q, const char *name, uint32_t *ret)
{
    for (uint32_t i = 0; i < q->workload_count; i++) {
        if (strcmp(q->workloads[i].opts.name, name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

brisk_err queue_add_workload(queue *q, const queue_workload_opts *opts, uint32_t *ret)
{
    uint32_t there;
    BRISK_ASSERT(opts->weight >= 1 && opts->weight <= QUEUE_WEIGHT_MAX);
    if (queue_find_workload(q, opts->name, &there)) {
        return BRISK_ERR_CONFLICT;
    }
    if (q->workload_count == QUEUE_WORKLOADS_MAX) {
        return BRISK_ERR_LIMIT;
    }
    q->workloads[q->workload_count] = (workload_state){.opts = *opts, .mean_ns = service_guess_ns};
    *ret = q->workload_count++;
    return BRISK_OK;
}

queue_class queue_class_of(const queue *q, uint32_t workload)
{
    BRISK_ASSERT(workload < q->workload_count);
    return q->workloads[workload].opts.class;
}

/* --- clients ------------------------------------------------------------------------------ */

static queue_client **slot_of(queue *q, uint64_t id)
{
    uint64_t mixed = id * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing */
    queue_client **at = &q->buckets[mixed >> 56];
    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

static queue_client *need_client(queue *q, uint64_t id)
{
    _Static_assert(CLIENT_BUCKETS == 1 << 8, "a bucket is the hash's first byte");
    queue_client **at = slot_of(q, id);
    if (*at == NULL) {
        queue_client *client = take(&q->opts, sizeof *client, _Alignof(queue_client));
        if (client == NULL) {
            return NULL;
        }
        memset(client, 0, sizeof *client);
        client->id = id;
        *at = client;
        q->client_count++;
    }
    return *at;
}

static void forget_client(queue *q, const queue_client *client)
{
    if (client->waiting > 0 || client->running > 0) {
        return;
    }
    queue_client **at = slot_of(q, client->id);
    queue_client *gone = *at;
    BRISK_ASSERT(gone == client);
    *at = gone->next;
    q->client_count--;
    q->opts.alloc->release(q->opts.alloc->ctx, gone, sizeof *gone, _Alignof(queue_client));
}

/* --- waiting ------------------------------------------------------------------------------ */

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static line *line_of(queue *q, const queue_item *item)
{
    return &q->classes[item->class].lines[item->workload];
}

/* Behind all whose tag is not larger: most come last. */
static void insert(line *l, queue_item *item)
{
    queue_item *after = l->last;
    while (after != NULL && after->tag > item->tag) {
        after = after->previous;
    }
    item->previous = after;
    item->next = after != NULL ? after->next : l->first;
    *(after != NULL ? &after->next : &l->first) = item;
    *(item->next != NULL ? &item->next->previous : &l->last) = item;
    l->count++;
}

static void take_out(queue *q, queue_item *item)
{
    line *l = line_of(q, item);
    *(item->previous != NULL ? &item->previous->next : &l->first) = item->next;
    *(item->next != NULL ? &item->next->previous : &l->last) = item->previous;
    item->next = NULL;
    item->previous = NULL;
    l->count--;
    item->of->waiting--;
    q->classes[item->class].waiting--;
    q->waiting--;
}

brisk_err queue_push(queue *q, queue_item *item, uint64_t now_ns)
{
    BRISK_ASSERT(item->state == QUEUE_OUT && item->workload < q->workload_count);
    BRISK_ASSERT(item->class < QUEUE_CLASSES && item->priority <= QUEUE_PRIORITY_MAX);
    workload_state *w = &q->workloads[item->workload];
    if (q->waiting >= q->opts.waiting_max) {
        q->refused_full++;
        w->refused++;
        return BRISK_ERR_FULL;
    }
    queue_client *client = need_client(q, item->client);
    if (client == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (q->opts.client_waiting_max != 0 && client->waiting >= q->opts.client_waiting_max) {
        q->refused_client++;
        w->refused++;
        return BRISK_ERR_LIMIT;
    }
    class_state *c = &q->classes[item->class];
    line *l = line_of(q, item);
    double *finish = &client->finish[item->class][item->workload];
    double start = larger(*finish, l->virtual_time);
    *finish = start + w->mean_ns;
    item->start = start;
    item->tag =
        start + w->mean_ns * PRIORITY_JOBS * ((double)item->priority - QUEUE_PRIORITY_DEFAULT);
    item->of = client;
    item->state = QUEUE_WAITING;
    item->entered_ns = now_ns;
    insert(l, item);
    client->waiting++;
    c->waiting++;
    q->waiting++;
    q->pushed++;
    if (item->deadline_ns != 0 &&
        (q->next_deadline_ns == 0 || item->deadline_ns < q->next_deadline_ns)) {
        q->next_deadline_ns = item->deadline_ns;
    }
    return BRISK_OK;
}

void queue_remove(queue *q, queue_item *item)
{
    BRISK_ASSERT(item->state == QUEUE_WAITING);
    take_out(q, item);
    item->state = QUEUE_OUT;
    forget_client(q, item->of);
    item->of = NULL;
}

/* --- who is next -------------------------------------------------------------------------- */

static bool client_may_run(const queue *q, const queue_client *client)
{
    return q->opts.client_running_max == 0 || client->running < q->opts.client_running_max;
}

/* The first of a line that may run; NULL: none may. */
static queue_item *first_of(const queue *q, const line *l, const workload_state *w)
{
    if (w->opts.quota != 0 && w->running >= w->opts.quota) {
        return NULL;
    }
    queue_item *item = l->first;
    while (item != NULL && !client_may_run(q, item->of)) {
        item = item->next;
    }
    return item;
}

/* Of the workloads with somebody who may run the one that had least; NULL: there is none. */
static queue_item *best_of_class(const queue *q, const class_state *c, double *ret_start)
{
    queue_item *best = NULL;
    for (uint32_t i = 0; i < q->workload_count; i++) {
        const line *l = &c->lines[i];
        queue_item *item = l->count > 0 ? first_of(q, l, &q->workloads[i]) : NULL;
        double start = larger(l->finish, c->virtual_time);
        if (item != NULL && (best == NULL || start < *ret_start)) {
            best = item;
            *ret_start = start;
        }
    }
    return best;
}

/* May a class take one more slot? */
static bool class_has_room(const queue *q, queue_class class)
{
    uint32_t most = q->opts.running_max;
    uint32_t low = q->classes[QUEUE_BATCH].running + q->classes[QUEUE_IDLE].running;
    if (class == QUEUE_INTERACTIVE || most == 1) {
        return true;
    }
    uint32_t idle_most = most / 2;
    return low < most - 1 && (class != QUEUE_IDLE || q->classes[QUEUE_IDLE].running < idle_most);
}

static void begin(queue *q, queue_item *item, uint64_t now_ns, const double starts[2])
{
    class_state *c = &q->classes[item->class];
    line *l = line_of(q, item);
    workload_state *w = &q->workloads[item->workload];
    item->charged = w->mean_ns;
    q->virtual_time = starts[0];
    c->finish = starts[0] + item->charged / class_weights[item->class];
    c->virtual_time = starts[1];
    l->finish = starts[1] + item->charged / w->opts.weight;
    l->virtual_time = larger(l->virtual_time, item->start);
    take_out(q, item);
    item->state = QUEUE_RUNNING;
    item->started_ns = now_ns;
    item->of->running++;
    w->running++;
    l->running++;
    c->running++;
    q->running++;
    brisk_hist_record(c->waits, now_ns > item->entered_ns ? now_ns - item->entered_ns : 0);
}

queue_item *queue_pop(queue *q, uint64_t now_ns)
{
    queue_item *best = NULL;
    double starts[2] = {0, 0};
    if (q->waiting == 0 || q->running >= q->opts.running_max) {
        return NULL;
    }
    for (queue_class i = QUEUE_INTERACTIVE; i < QUEUE_CLASSES; i++) {
        class_state *c = &q->classes[i];
        double start = larger(c->finish, q->virtual_time);
        double inner = 0;
        queue_item *item =
            c->waiting > 0 && class_has_room(q, i) ? best_of_class(q, c, &inner) : NULL;
        if (item != NULL && (best == NULL || start < starts[0])) {
            best = item;
            starts[0] = start;
            starts[1] = inner;
        }
    }
    if (best != NULL) {
        begin(q, best, now_ns, starts);
    }
    return best;
}

void queue_done(queue *q, queue_item *item, uint64_t now_ns)
{
    BRISK_ASSERT(item->state == QUEUE_RUNNING);
    class_state *c = &q->classes[item->class];
    line *l = line_of(q, item);
    workload_state *w = &q->workloads[item->workload];
    uint64_t ns = now_ns > item->started_ns ? now_ns - item->started_ns : 0;
    double more = (double)ns - item->charged;
    c->finish += more / class_weights[item->class];
    l->finish += more / w->opts.weight;
    w->mean_ns =
        w->done == 0 ? (double)ns : w->mean_ns + ((double)ns - w->mean_ns) * service_memory;
    w->done++;
    c->done++;
    w->service_ns += ns;
    c->service_ns += ns;
    item->of->running--;
    w->running--;
    l->running--;
    c->running--;
    q->running--;
    item->state = QUEUE_OUT;
    forget_client(q, item->of);
    item->of = NULL;
}

/* --- deadlines ---------------------------------------------------------------------------- */

/* The one with the earliest deadline; also brings next_deadline_ns up to date. */
static queue_item *earliest(queue *q)
{
    queue_item *found = NULL;
    for (int i = 0; i < QUEUE_CLASSES; i++) {
        for (uint32_t k = 0; k < q->workload_count; k++) {
            for (queue_item *item = q->classes[i].lines[k].first; item != NULL; item = item->next) {
                if (item->deadline_ns != 0 &&
                    (found == NULL || item->deadline_ns < found->deadline_ns)) {
                    found = item;
                }
            }
        }
    }
    q->next_deadline_ns = found != NULL ? found->deadline_ns : 0;
    return found;
}

queue_item *queue_expire(queue *q, uint64_t now_ns)
{
    if (q->next_deadline_ns == 0 || q->next_deadline_ns > now_ns) {
        return NULL;
    }
    queue_item *item = earliest(q);
    if (item == NULL || item->deadline_ns > now_ns) {
        return NULL;
    }
    q->expired++;
    queue_remove(q, item);
    return item;
}

uint64_t queue_next_deadline_ns(const queue *q)
{
    return q->next_deadline_ns;
}

/* --- what there is to tell ---------------------------------------------------------------- */

uint32_t queue_position(const queue *q, const queue_item *item)
{
    (void)q;
    uint32_t before = 0;
    for (const queue_item *at = item->previous; at != NULL; at = at->previous) {
        before++;
    }
    return before;
}

uint32_t queue_retry_after_s(const queue *q)
{
    double ns = 0;
    for (uint32_t i = 0; i < q->workload_count; i++) {
        uint32_t waiting = 0;
        for (int c = 0; c < QUEUE_CLASSES; c++) {
            waiting += q->classes[c].lines[i].count;
        }
        ns += waiting * q->workloads[i].mean_ns;
    }
    /* a tenth of what waits will be done: there is room again for some */
    double seconds = ns / q->opts.running_max / 1e9 / 10;
    return seconds < 1                         ? 1
           : seconds > QUEUE_RETRY_AFTER_MAX_S ? QUEUE_RETRY_AFTER_MAX_S
                                               : (uint32_t)(seconds + 0.5);
}

static uint64_t all_service_ns(const queue *q)
{
    uint64_t ns = 0;
    for (int i = 0; i < QUEUE_CLASSES; i++) {
        ns += q->classes[i].service_ns;
    }
    return ns;
}

static double part_of(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void read_class(const queue *q, int index, queue_class_figures *ret)
{
    const class_state *c = &q->classes[index];
    uint32_t weights = 0;
    for (int i = 0; i < QUEUE_CLASSES; i++) {
        weights += class_weights[i];
    }
    *ret = (queue_class_figures){
        .weight = class_weights[index],
        .waiting = c->waiting,
        .running = c->running,
        .done = c->done,
        .service_ns = c->service_ns,
        .share = part_of((double)c->service_ns, (double)all_service_ns(q)),
        .share_configured = part_of(class_weights[index], weights),
        .wait_p50_ns = brisk_hist_quantile(c->waits, 0.5),
        .wait_p95_ns = brisk_hist_quantile(c->waits, 0.95),
        .wait_p99_ns = brisk_hist_quantile(c->waits, 0.99),
        .wait_max_ns = brisk_hist_quantile(c->waits, 1),
    };
}

void queue_read(const queue *q, uint64_t now_ns, queue_figures *ret)
{
    *ret = (queue_figures){
        .running_max = q->opts.running_max,
        .waiting_max = q->opts.waiting_max,
        .running = q->running,
        .waiting = q->waiting,
        .clients = q->client_count,
        .pushed = q->pushed,
        .refused_full = q->refused_full,
        .refused_client = q->refused_client,
        .expired = q->expired,
        .workload_count = q->workload_count,
    };
    for (int i = 0; i < QUEUE_CLASSES; i++) {
        read_class(q, i, &ret->classes[i]);
        for (uint32_t k = 0; k < q->workload_count; k++) {
            const queue_item *item = q->classes[i].lines[k].first;
            for (; item != NULL; item = item->next) {
                uint64_t ns = now_ns > item->entered_ns ? now_ns - item->entered_ns : 0;
                ret->oldest_ns = ns > ret->oldest_ns ? ns : ret->oldest_ns;
            }
        }
    }
}

void queue_read_workload(const queue *q, uint32_t index, queue_workload_figures *ret)
{
    BRISK_ASSERT(index < q->workload_count);
    const workload_state *w = &q->workloads[index];
    uint32_t weights = 0;
    for (uint32_t i = 0; i < q->workload_count; i++) {
        weights += q->workloads[i].done > 0 ? q->workloads[i].opts.weight : 0;
    }
    *ret = (queue_workload_figures){
        .name = w->opts.name,
        .weight = w->opts.weight,
        .quota = w->opts.quota,
        .class = w->opts.class,
        .running = w->running,
        .done = w->done,
        .refused = w->refused,
        .service_ns = w->service_ns,
        .service_mean_ns = w->mean_ns,
        .share = part_of((double)w->service_ns, (double)all_service_ns(q)),
        .share_configured = w->done > 0 ? part_of(w->opts.weight, weights) : 0,
    };
    for (int i = 0; i < QUEUE_CLASSES; i++) {
        ret->waiting += q->classes[i].lines[index].count;
    }
}

const char *queue_class_name(queue_class class)
{
    BRISK_ASSERT(class < QUEUE_CLASSES);
    return class_names[class];
}

bool queue_class_parse(const char *name, size_t size, queue_class *ret)
{
    for (queue_class i = QUEUE_INTERACTIVE; i < QUEUE_CLASSES; i++) {
        if (strlen(class_names[i]) == size && memcmp(class_names[i], name, size) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}
