/*
 * http_loop.c -- the client's thread.
 *
 *     take what was submitted and cancelled ─► timers ─► start what has room ─► libcurl
 *          ▲                                                                       │
 *          └───────────── sleep ◄── deliver answers ◄── outcomes of attempts ◄─────┘
 *
 * It sleeps in curl_multi_poll; who submits wakes it, but only when it says that it sleeps.
 * Timers: `check_ns` is no later than the first one that runs out.  While anything is under way there
 * is a look at all of them once in the shortest time that any phase has: rare.
 *
 * Callbacks run between two rounds, under no lock, when nothing of the call is left but its answer.
 */
#include <string.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "io/http_internal.h"

enum { SLEEP_MAX_MS = 60000 };

static const uint64_t ms = 1000000;

static void lock(brisk_http_client *client)
{
    int failed = pthread_mutex_lock(&client->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock(brisk_http_client *client)
{
    int failed = pthread_mutex_unlock(&client->lock);
    BRISK_ASSERT(failed == 0);
}

void http_loop_at(brisk_http_client *client, uint64_t ns)
{
    client->check_ns = ns < client->check_ns ? ns : client->check_ns;
}

/* --- answers out ---------------------------------------------------------------------------- */

static void unlink_live(brisk_http_client *client, http_call *call)
{
    *(call->live_prev != NULL ? &call->live_prev->live_next : &client->live) = call->live_next;
    if (call->live_next != NULL) {
        call->live_next->live_prev = call->live_prev;
    }
    client->live_count--;
}

static uint32_t waiting_of(const brisk_http_client *client)
{
    uint32_t count = client->paused.count;
    for (const http_host *host = client->hosts; host != NULL; host = host->next) {
        for (int i = 0; i < HTTP_PRIORITIES; i++) {
            count += host->waiting[i].count;
        }
    }
    return count;
}

static void deliver(brisk_http_client *client, http_call *call)
{
    http_answer *answer = call->answer;
    brisk_http_done_fn done = call->done;
    brisk_http_queue *queue = call->queue;
    call->answer = NULL;
    http_call_destroy(client, call);
    if (queue != NULL) {
        http_queue_push(queue, answer);
    } else {
        done(answer->base.user, &answer->base);
    }
}

/* Figures first: who gets an answer finds it counted. */
static void deliver_all(brisk_http_client *client)
{
    uint64_t now = brisk_clock_now_ns(NULL);
    http_meter_roll(&client->meter, now);
    client->stats.bytes_per_second = client->meter.rate;
    client->stats.waiting = waiting_of(client);
    lock(client);
    for (http_call *call = client->done.first; call != NULL; call = call->next) {
        unlink_live(client, call);
    }
    client->published = client->stats;
    http_host_publish(client, now);
    unlock(client);
    while (client->done.first != NULL) {
        http_call *call = client->done.first;
        http_list_remove(call);
        deliver(client, call);
    }
}

/* --- requests in ---------------------------------------------------------------------------- */

static http_call *collect_cancelled(brisk_http_client *client)
{
    http_call *first = NULL;
    if (client->cancel_some) {
        client->cancel_some = false;
        for (http_call *call = client->live; call != NULL; call = call->live_next) {
            if (call->cancelled) {
                call->cancel_next = first;
                first = call;
            }
        }
    }
    return first;
}

/* False: it is time to end. */
static bool take_orders(brisk_http_client *client)
{
    http_list fresh = {NULL, NULL, 0};
    lock(client);
    while (client->incoming.first != NULL) {
        http_call *call = client->incoming.first;
        http_list_remove(call);
        http_list_append(&fresh, call);
    }
    http_call *cancelled = collect_cancelled(client);
    bool stop = client->stop;
    client->asleep = false;
    unlock(client);
    while (fresh.first != NULL) {
        http_call *call = fresh.first;
        http_list_remove(call);
        http_admit(client, call, false);
    }
    while (cancelled != NULL) {
        http_call *call = cancelled;
        cancelled = call->cancel_next;
        if (call->state != HTTP_DONE) {
            http_fail(client, call, BRISK_ERR_CANCELLED, "cancelled");
        }
    }
    return !stop;
}

/* --- timers --------------------------------------------------------------------------------- */

static void expire(brisk_http_client *client, http_list *list, uint64_t now, uint64_t *next)
{
    for (http_call *call = list->first; call != NULL;) {
        http_call *after = call->next;
        if (call->deadline_ns <= now) {
            http_fail(client, call, BRISK_ERR_DEADLINE, "no answer within the request's time");
        } else {
            *next = call->deadline_ns < *next ? call->deadline_ns : *next;
        }
        call = after;
    }
}

static void wake_paused(brisk_http_client *client, uint64_t now, uint64_t *next)
{
    for (http_call *call = client->paused.first; call != NULL;) {
        http_call *after = call->next;
        if (call->not_before_ns <= now) {
            http_admit(client, call, true);
        } else {
            *next = call->not_before_ns < *next ? call->not_before_ns : *next;
        }
        call = after;
    }
}

/* When this transfer needs a look, and what is wrong with it then. */
static uint64_t due_of(const brisk_http_client *client, const http_transfer *t, const char **why)
{
    uint64_t due = http_transfer_due(client, t, why);
    if (t->call->deadline_ns < due) {
        *why = "no answer within the request's time";
        due = t->call->deadline_ns;
    }
    return due;
}

static uint64_t hedge_due(const brisk_http_client *client, const http_transfer *t)
{
    uint64_t after = client->settings.o.hedge_after_ns;
    bool wanted = after != 0 && t->first_byte_ns == 0 && !t->hedge && t->call->idempotent &&
                  t->call->transfers[1] == NULL && !t->call->not_hedged &&
                  client->stats.in_flight < client->settings.o.in_flight_max;
    return wanted ? t->started_ns + after : UINT64_MAX;
}

static void hedge(brisk_http_client *client, http_transfer *t, uint64_t now)
{
    if (!http_budget_spend(t->call->host)) {
        client->stats.hedges_denied++;
        t->call->not_hedged = true;
    } else if (http_transfer_start(client, t->call, true, now) == BRISK_OK) {
        client->stats.hedges++;
        t->call->host->counts.hedges++;
        http_loop_at(client, now + client->settings.o.hedge_after_ns);
    }
}

/* No timer of an attempt is shorter, whatever phase it gets into meanwhile. */
static uint64_t shortest_wait(const brisk_http_client *client)
{
    const brisk_http_client_opts *o = &client->settings.o;
    const uint64_t waits[] = {o->connect_timeout_ns, o->tls_timeout_ns, o->first_byte_timeout_ns,
                              o->stall_timeout_ns,
                              o->hedge_after_ns != 0 ? o->hedge_after_ns : UINT64_MAX};
    uint64_t shortest = UINT64_MAX;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        shortest = waits[i] < shortest ? waits[i] : shortest;
    }
    return shortest;
}

/* One that is late, or NULL; the others move *next. */
static http_transfer *find_late(brisk_http_client *client, uint64_t now, uint64_t *next,
                                const char **why)
{
    uint64_t shortest = shortest_wait(client);
    for (http_transfer *t = client->running; t != NULL; t = t->next) {
        uint64_t due = due_of(client, t, why);
        if (due <= now) {
            return t;
        }
        uint64_t again = hedge_due(client, t);
        if (again <= now) {
            hedge(client, t, now); /* at the head of the list: this walk does not see it */
            again = UINT64_MAX;
        }
        due = again < due ? again : due;
        due = now + shortest < due ? now + shortest : due;
        *next = due < *next ? due : *next;
    }
    return NULL;
}

static CURLM *make_multi(const brisk_http_client *client)
{
    const http_curl *so = client->so;
    const brisk_http_client_opts *o = &client->settings.o;
    CURLM *multi = so->curl_multi_init();
    if (multi != NULL) {
        long to_host = client->wide ? (long)o->connections_max : (long)HTTP_2_CONNECTIONS;
        (void)so->curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
        (void)so->curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, to_host);
        (void)so->curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)o->connections_max * 4);
        (void)so->curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)o->in_flight_max);
    }
    return multi;
}

/* libcurl closes old connections when it looks for one; when nothing is asked for, nobody looks. */
static void close_idle(brisk_http_client *client, uint64_t now, uint64_t *next)
{
    uint64_t due = client->used_ns + client->settings.o.idle_timeout_ns;
    if (client->stats.in_flight > 0 || client->stats.connections_open == 0) {
        return;
    }
    CURLM *fresh = now >= due ? make_multi(client) : NULL;
    if (fresh == NULL) {
        due = now >= due ? now + client->settings.o.idle_timeout_ns : due;
        *next = due < *next ? due : *next;
        return;
    }
    CURLM *old = client->multi;
    client->multi = fresh;
    lock(client);
    client->wakeable = fresh;
    unlock(client);
    (void)client->so->curl_multi_cleanup(old);
    client->stats.connections_open =
        0; /* libcurl 7.88 does not tell of those that it gave up while they connected */
    lock(client);
    client->published.connections_open = 0;
    unlock(client);
}

static void check_times(brisk_http_client *client)
{
    uint64_t now = brisk_clock_now_ns(NULL);
    if (now < client->check_ns) {
        return;
    }
    uint64_t next;
    const char *why = "";
    http_transfer *late;
    client->check_ns = UINT64_MAX; /* what follows may bring it nearer */
    do { /* an outcome may stop a second transfer, so each walk begins anew */
        next = UINT64_MAX;
        late = find_late(client, now, &next, &why);
        if (late != NULL && late->call->deadline_ns <= now) {
            http_fail(client, late->call, BRISK_ERR_DEADLINE, why);
        } else if (late != NULL) {
            late->err = BRISK_ERR_DEADLINE;
            late->why = why;
            http_outcome(client, late, CURLE_OPERATION_TIMEDOUT, now);
        }
    } while (late != NULL);
    expire(client, &client->paused, now, &next);
    wake_paused(client, now, &next);
    for (http_host *host = client->hosts; host != NULL; host = host->next) {
        bool waiting = false;
        for (int i = 0; i < HTTP_PRIORITIES; i++) {
            expire(client, &host->waiting[i], now, &next);
            waiting = waiting || host->waiting[i].first != NULL;
        }
        if (waiting && host->paused_until_ns > now) {
            next = host->paused_until_ns < next ? host->paused_until_ns : next;
        }
    }
    close_idle(client, now, &next);
    http_loop_at(client, next > now + ms ? next : now + ms);
}

/* --- attempts ------------------------------------------------------------------------------- */

static void start_one(brisk_http_client *client, http_call *call, uint64_t now)
{
    brisk_http_response *r = &call->answer->base;
    r->queued_ns = r->attempts == 0 && r->redirects == 0 ? now - call->submitted_ns : r->queued_ns;
    r->attempts++;
    call->state = HTTP_RUNNING;
    if (client->stats.in_flight == 0) {
        http_meter_begin(&client->meter, now);
    }
    if (call->host->in_flight == 0) {
        call->host->connected = false;
        http_meter_begin(&call->host->meter, now);
    }
    brisk_err err = http_transfer_start(client, call, false, now);
    if (err != BRISK_OK) {
        http_fail(client, call, err, brisk_err_message(err));
        return;
    }
    http_loop_at(client, now + shortest_wait(client));
    http_loop_at(client, call->deadline_ns);
}

/* One request of each host, which take turns; whether there was any. */
static bool start_round(brisk_http_client *client, brisk_http_priority class, uint64_t now)
{
    bool any = false;
    for (http_host *host = client->hosts; host != NULL; host = host->next) {
        if (client->stats.in_flight >= client->settings.o.in_flight_max) {
            return false;
        }
        http_call *call =
            http_host_room(client, host, now) > 0 ? http_host_next(host, class) : NULL;
        if (call != NULL) {
            start_one(client, call, now);
            any = true;
        }
    }
    return any;
}

/* What is urgent goes first, whichever host it is for. */
static void start_waiting(brisk_http_client *client)
{
    static const brisk_http_priority order[] = {BRISK_HTTP_HIGH, BRISK_HTTP_NORMAL, BRISK_HTTP_LOW};
    uint64_t now = brisk_clock_now_ns(NULL);
    for (http_host *host = client->hosts; host != NULL; host = host->next) {
        if (http_host_is_alone(host, now)) {
            http_host_give_up(client, host);
        }
    }
    for (int i = 0; i < HTTP_PRIORITIES; i++) {
        while (start_round(client, order[i], now)) {
        }
    }
}

/* Let libcurl work; whether an attempt ended. */
static bool perform(brisk_http_client *client)
{
    int running = 0;
    int left = 0;
    bool any = false;
    (void)client->so->curl_multi_perform(client->multi, &running);
    uint64_t now = brisk_clock_now_ns(NULL);
    for (CURLMsg *message = client->so->curl_multi_info_read(client->multi, &left); message != NULL;
         message = client->so->curl_multi_info_read(client->multi, &left)) {
        http_transfer *t = NULL;
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result; /* the message dies with its handle */
            (void)client->so->curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
            BRISK_ASSERT(t != NULL && t->easy == message->easy_handle);
            http_outcome(client, t, code, now);
            any = true;
        }
    }
    return any;
}

static void sleep_until_wanted(brisk_http_client *client)
{
    uint64_t now = brisk_clock_now_ns(NULL);
    uint64_t left = client->check_ns > now ? client->check_ns - now : 0;
    int wait = left / ms < SLEEP_MAX_MS ? (int)((left + ms - 1) / ms) : SLEEP_MAX_MS;
    lock(client);
    bool quiet = client->incoming.first == NULL && !client->stop && !client->cancel_some;
    client->asleep = quiet;
    unlock(client);
    if (quiet) {
        (void)client->so->curl_multi_poll(client->multi, NULL, 0, wait, NULL);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static brisk_err set_up(brisk_http_client *client, brisk_errinfo *info)
{
    brisk_err err = http_curl_load(info);
    if (err != BRISK_OK) {
        return err;
    }
    client->so = http_curl_get();
    client->multi = make_multi(client);
    if (client->multi == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    }
    lock(client);
    client->wakeable = client->multi;
    unlock(client);
    return BRISK_OK;
}

/* Everything that is open is answered with an error. */
static void fail_all(brisk_http_client *client, brisk_err err, const char *why)
{
    lock(client);
    while (client->incoming.first != NULL) {
        http_list_remove(client->incoming.first);
    }
    for (http_call *call = client->live; call != NULL; call = call->live_next) {
        call->cancel_next = call->live_next; /* the live list may get longer meanwhile */
    }
    http_call *first = client->live;
    unlock(client);
    for (http_call *call = first; call != NULL;) {
        http_call *next = call->cancel_next;
        if (call->state != HTTP_DONE) {
            http_fail(client, call, err, why);
        }
        call = next;
    }
    deliver_all(client);
}

/* Without the library: whatever comes fails, until the end. */
static void refuse(brisk_http_client *client, const brisk_errinfo *info)
{
    for (bool stop = false; !stop;) {
        lock(client);
        while (client->incoming.first == NULL && !client->stop) {
            (void)pthread_cond_wait(&client->woken, &client->lock);
        }
        stop = client->stop;
        unlock(client);
        fail_all(client, info->code, info->text);
    }
}

static void tear_down(brisk_http_client *client)
{
    http_transfers_destroy(client);
    lock(client);
    client->wakeable = NULL;
    unlock(client);
    if (client->multi != NULL) {
        (void)client->so->curl_multi_cleanup(client->multi);
    }
    http_hosts_destroy(client);
}

void http_loop_run(void *ctx)
{
    brisk_http_client *client = ctx;
    brisk_errinfo info = {.text = ""};
    info.code = set_up(client, &info);
    if (info.code != BRISK_OK) {
        refuse(client, &info);
        return;
    }
    while (take_orders(client)) {
        check_times(client);
        start_waiting(client);
        bool any = perform(client);
        deliver_all(client);
        if (!any) {
            sleep_until_wanted(client);
        }
    }
    fail_all(client, BRISK_ERR_CANCELLED, "the client is destroyed");
    tear_down(client);
}
