/*
 * jobs_call.c -- an exchange's side of a job: its body, its waiting, its way home.
 *
 * A call is freed by the worker's thread: at `gone` when nobody else has it, otherwise when its task
 * comes home and finds no exchange.  Tasks that were posted to a loop which no longer runs leave their
 * calls to job_calls_destroy.
 */
#include "daemon/api/jobs_internal.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "daemon/api/answer.h"
#include "daemon/api/multipart.h"
#include "daemon/api/sse.h"

enum { GROW_MIN = 16384 };

#define SECOND_NS UINT64_C(1000000000)

/* --- life --------------------------------------------------------------------------------- */

/* Whom a quota counts: a token, else an address. */
static uint64_t client_of(const exchange *x)
{
    const http_text *token = exchange_field(x, "authorization");
    if (token != NULL) {
        return brisk_hash64(token->data, token->size, 1);
    }
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (x->conn == NULL || getpeername(x->conn->fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address;
        return brisk_hash64(&in->sin_addr, sizeof in->sin_addr, 2);
    }
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&address;
        return brisk_hash64(&in->sin6_addr, 8, 3); /* a host has a /64 */
    }
    return 0;
}

/* "wait=30" among the preferences of RFC 7240. */
static uint64_t wait_of(const exchange *x)
{
    for (uint32_t i = 0; i < x->field_count; i++) {
        const http_field *f = &x->fields[i];
        if (f->name.size != 6 || memcmp(f->name.data, "prefer", 6) != 0) {
            continue;
        }
        const char *at = memmem(f->value.data, f->value.size, "wait=", 5);
        if (at == NULL || (at > f->value.data && at[-1] != ' ' && at[-1] != ',' && at[-1] != ';')) {
            continue;
        }
        uint64_t seconds = 0;
        const char *end = f->value.data + f->value.size;
        for (at += 5; at < end && *at >= '0' && *at <= '9' && seconds < JOBS_WAIT_MAX_S; at++) {
            seconds = seconds * 10 + (uint64_t)(*at - '0');
        }
        return (seconds < JOBS_WAIT_MAX_S ? seconds : JOBS_WAIT_MAX_S) * SECOND_NS;
    }
    return 0;
}

static void run_task(loop_task *task);

static job_call *new_call(jobs_table *j, worker *w)
{
    job_call *call = jobs_take(j, sizeof *call, _Alignof(job_call));
    if (call == NULL) {
        return NULL;
    }
    memset(call, 0, sizeof *call);
    call->task.run = run_task;
    call->jobs = j;
    call->worker = w;
    call->phase = CALL_IDLE;
    brisk_hasher_init(&call->hasher, 0);
    (void)pthread_mutex_lock(&j->lock);
    call->next_all = j->all;
    if (j->all != NULL) {
        j->all->previous_all = call;
    }
    j->all = call;
    (void)pthread_mutex_unlock(&j->lock);
    return call;
}

job_call *job_call_open(jobs_table *j, exchange *x)
{
    job_call *call = new_call(j, x->worker);
    x->handler = call;
    if (call == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the request");
        return NULL;
    }
    call->x = x;
    const http_text *parent = exchange_field(x, "traceparent");
    if (parent != NULL) {
        (void)traceparent_read(*parent, &call->parent);
    }
    call->client = client_of(x);
    call->wait_ns = wait_of(x);
    return call;
}

job_call *job_call_collect(jobs_table *j, exchange *x)
{
    const http_text *type = exchange_field(x, "content-type");
    job_call *call = job_call_open(j, x);
    if (call == NULL) {
        return NULL;
    }
    call->phase = CALL_COLLECTING;
    if (type != NULL && multipart_boundary(type->data, type->size, call->boundary)) {
        return call;
    }
    call->boundary[0] = '\0';
    if (type != NULL && (type->size < 16 || memcmp(type->data, "application/json", 16) != 0)) {
        call->phase = CALL_IDLE;
        api_fail(x, 415, "unsupported_type", "a job is application/json or multipart/form-data");
        return NULL;
    }
    return call;
}

job_call *job_call_waiter(const job_call *of, job_entry *e)
{
    jobs_table *j = of->jobs;
    job_call *call = new_call(j, of->worker);
    if (call != NULL) {
        call->entry = e;
        call->wait_ns = UINT64_MAX / 4; /* its own end is the only one */
        (void)pthread_mutex_lock(&j->lock);
        e->refs++;
        (void)pthread_mutex_unlock(&j->lock);
    }
    return call;
}

void job_call_free(job_call *call)
{
    jobs_table *j = call->jobs;
    if (call->dropped != NULL) {
        call->dropped(call);
    }
    (void)pthread_mutex_lock(&j->lock);
    *(call->previous_all != NULL ? &call->previous_all->next_all : &j->all) = call->next_all;
    if (call->next_all != NULL) {
        call->next_all->previous_all = call->previous_all;
    }
    (void)pthread_mutex_unlock(&j->lock);
    job_body_unref(call->body);
    job_entry_unref(call->entry);
    jobs_give(j, call, sizeof *call, _Alignof(job_call));
}

void job_calls_destroy(jobs_table *j)
{
    while (j->all != NULL) {
        job_call_free(j->all);
    }
}

/* --- the list of those who wait in this worker -------------------------------------------- */

static void enter_here(job_call *call)
{
    job_call **first = &call->jobs->here[call->worker->index];
    call->previous_here = NULL;
    call->next_here = *first;
    if (*first != NULL) {
        (*first)->previous_here = call;
    }
    *first = call;
}

static void leave_here(job_call *call)
{
    job_call **first = &call->jobs->here[call->worker->index];
    *(call->previous_here != NULL ? &call->previous_here->next_here : first) = call->next_here;
    if (call->next_here != NULL) {
        call->next_here->previous_here = call->previous_here;
    }
}

/* Out of its entry's list; false: it is on its way home. */
static bool stop_waiting(job_call *call)
{
    jobs_table *j = call->jobs;
    bool found = false;
    (void)pthread_mutex_lock(&j->lock);
    for (job_call **at = &call->entry->waiters; *at != NULL; at = &(*at)->next_waiter) {
        if (*at == call) {
            *at = call->next_waiter;
            found = true;
            break;
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
    return found;
}

bool job_call_wait(job_call *call)
{
    jobs_table *j = call->jobs;
    job_entry *e = call->entry;
    (void)pthread_mutex_lock(&j->lock);
    bool over = job_state_is_over(e->state);
    if (!over) {
        call->next_waiter = e->waiters;
        e->waiters = call;
    }
    (void)pthread_mutex_unlock(&j->lock);
    if (!over) {
        call->phase = CALL_WAITING;
        call->until_ns = jobs_now_ns(j) + call->wait_ns;
        enter_here(call);
    }
    return !over;
}

void job_calls_post(job_call *list)
{
    while (list != NULL) {
        job_call *next = list->next_waiter;
        loop_post(&list->worker->loop, &list->task);
        list = next;
    }
}

void jobs_tick(jobs_table *j, worker *w)
{
    if (j == NULL) {
        return;
    }
    job_sockets_tick(j, w);
    if (j->here[w->index] == NULL) {
        return;
    }
    uint64_t now_ns = jobs_now_ns(j);
    for (job_call *call = j->here[w->index], *next; call != NULL; call = next) {
        next = call->next_here;
        if (call->until_ns <= now_ns && stop_waiting(call)) {
            leave_here(call);
            call->phase = CALL_IDLE;
            job_answer_status(call, 202);
            next = j->here[w->index]; /* others may have gone with it */
        }
    }
}

/* --- home --------------------------------------------------------------------------------- */

static void run_task(loop_task *task)
{
    job_call *call = (job_call *)task;
    if (call->phase == CALL_WAITING) {
        leave_here(call);
        call->phase = CALL_IDLE;
        if (call->over != NULL) {
            call->over(call);
        } else if (call->x != NULL) {
            job_answer_result(call);
            return;
        }
    } else {
        call->phase = CALL_IDLE;
        if (call->x != NULL) {
            call->home(call);
            return;
        }
    }
    job_call_free(call);
}

void job_call_gone(exchange *x)
{
    job_call *call = x->handler;
    if (call == NULL) {
        return;
    }
    x->handler = NULL;
    call->x = NULL;
    if (call->stream != NULL) {
        sse_gone(call->stream);
        call->stream = NULL;
        /* Relaxed: only whether to poke at all. */
        atomic_fetch_sub_explicit(&call->jobs->streams, 1, memory_order_relaxed);
    }
    if (call->phase == CALL_AWAY) {
        return; /* its task frees it */
    }
    if (call->phase == CALL_WAITING) {
        if (!stop_waiting(call)) {
            return; /* likewise */
        }
        leave_here(call);
    }
    job_call_free(call);
}

bool job_call_send(job_call *call)
{
    jobs_table *j = call->jobs;
    (void)pthread_mutex_lock(&j->lock);
    bool good = !j->stopping && jobs_need_admission(j);
    if (good) {
        call->phase = CALL_AWAY;
        call->next_away = NULL;
        *(j->away_last != NULL ? &j->away_last->next_away : &j->away_first) = call;
        j->away_last = call;
        (void)pthread_cond_signal(&j->admit);
    }
    (void)pthread_mutex_unlock(&j->lock);
    if (!good) {
        api_fail(call->x, 503, "stopping", "this node takes no jobs now");
    }
    return good;
}

/* --- bodies ------------------------------------------------------------------------------- */

/* Room for `size` bytes in all. */
static brisk_err grow_body(job_body *body, size_t size)
{
    const jobs_table *j = body->jobs;
    if (size <= body->room) {
        return BRISK_OK;
    }
    size_t room = body->room > 0 ? body->room * 2 : GROW_MIN;
    room = room > size ? room : size;
    room = room < j->opts.body_max || size > j->opts.body_max ? room : (size_t)j->opts.body_max;
    if (!server_keep(j->server, room - body->room)) {
        return BRISK_ERR_FULL;
    }
    body->kept += room - body->room;
    unsigned char *data = jobs_take(j, room, 1);
    if (data == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (body->size > 0) {
        memcpy(data, body->data, body->size);
    }
    jobs_give(j, body->data, body->room, 1);
    body->data = data;
    body->room = room;
    return BRISK_OK;
}

static job_body *new_body(jobs_table *j)
{
    job_body *body = jobs_take(j, sizeof *body, _Alignof(job_body));
    if (body != NULL) {
        memset(body, 0, sizeof *body);
        body->jobs = j;
        atomic_store_explicit(&body->refs, 1, memory_order_relaxed);
    }
    return body;
}

bool job_call_take(job_call *call, const void *data, size_t size)
{
    if (call->body == NULL) {
        call->body = new_body(call->jobs);
    }
    job_body *body = call->body;
    size_t expected = 0;
    if (body != NULL && body->size == 0 && call->x->content_length > 0) {
        expected = (size_t)call->x->content_length; /* not above body_max: that was refused */
    }
    brisk_err err = body == NULL ? BRISK_ERR_NOMEM
                                 : grow_body(body, expected > size ? expected : body->size + size);
    if (err != BRISK_OK) {
        api_fail(call->x, 503, "no_memory", "too many requests are being read; try again");
        return false;
    }
    memcpy(body->data + body->size, data, size);
    body->size += size;
    brisk_hasher_update(&call->hasher, data, size);
    return true;
}
