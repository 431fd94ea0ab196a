/*
 * http_outcome.c -- what follows from an attempt that is over.
 *
 *     error or status        idempotent, tries left, in time, in the budget   wait, try again
 *     3xx with Location      asked for                                        the next URL
 *     any other status                                                        answered
 *     error, hedged          the other attempt runs                           nothing yet
 *
 * The budget (http_health.c): when all a server does is fail, requests cause 1.2 times their number
 * and not four times.
 *
 * Pauses are random between nothing and a bound that doubles ("full jitter"), so that those who
 * failed together do not come back together; after Retry-After they are added to it.
 */
#include <string.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "io/http_internal.h"

enum { PAUSE_DOUBLINGS_MAX = 16 };

static const uint64_t pause_max_ns = UINT64_C(10000000000);

/* --- the end of a call ---------------------------------------------------------------------- */

static void finish(brisk_http_client *client, http_call *call, uint64_t now_ns)
{
    for (int i = 0; i < 2; i++) {
        if (call->transfers[i] != NULL) {
            http_transfer_stop(client, call->transfers[i]);
        }
    }
    brisk_http_response *r = &call->answer->base;
    r->total_ns = now_ns > call->submitted_ns ? now_ns - call->submitted_ns : 0;
    client->stats.answered += r->err == BRISK_OK;
    client->stats.cancelled += r->err == BRISK_ERR_CANCELLED;
    client->stats.failed += r->err != BRISK_OK && r->err != BRISK_ERR_CANCELLED;
    http_host_set(call, NULL);
    call->state = HTTP_DONE;
    http_list_remove(call);
    http_list_append(&client->done, call);
}

void http_fail(brisk_http_client *client, http_call *call, brisk_err err, const char *why)
{
    brisk_http_response *r = &call->answer->base;
    r->err = err;
    if (call->host != NULL) {
        (void)snprintf(r->why, sizeof r->why, "%.100s: %s", call->host->origin, why);
    } else {
        (void)snprintf(r->why, sizeof r->why, "%s", why);
    }
    finish(client, call, brisk_clock_now_ns(NULL));
}

/* --- the next attempt ----------------------------------------------------------------------- */

void http_admit(brisk_http_client *client, http_call *call, bool front)
{
    http_url url;
    http_host *host = NULL;
    brisk_err err = http_url_parse(client->so, call->url, &url);
    if (err == BRISK_OK) {
        err = http_host_find(client, url.origin, &host);
    }
    if (err != BRISK_OK) {
        http_fail(client, call, err,
                  err == BRISK_ERR_NOMEM ? "out of memory" : "the URL cannot be read");
        return;
    }
    http_list_remove(call);
    http_host_set(call, host);
    call->state = HTTP_WAITING;
    http_list *list = &call->host->waiting[call->priority];
    (front ? http_list_prepend : http_list_append)(list, call);
    if (!front) {
        http_budget_earn(client, host);
    }
    http_loop_at(client, call->deadline_ns);
}

static bool is_status_of_overload(int status)
{
    return status == 429 || status == 503;
}

static bool is_status_to_repeat(int status)
{
    return status == 408 || status == 425 || is_status_of_overload(status) || status == 500 ||
           status == 502 || status == 504;
}

static uint64_t pause_of(brisk_http_client *client, const http_call *call, uint64_t after_ns)
{
    uint32_t done = call->answer->base.attempts;
    uint32_t doublings = done > 1 ? done - 1 : 0;
    uint64_t bound = client->settings.o.retry_base_ns;
    doublings = doublings < PAUSE_DOUBLINGS_MAX ? doublings : PAUSE_DOUBLINGS_MAX;
    bound = bound < pause_max_ns >> doublings ? bound << doublings : pause_max_ns;
    return after_ns + brisk_rng_below(&client->rng, bound + 1);
}

/* Whether to try again, and after which pause; then it is paid. */
static bool wants_retry(brisk_http_client *client, const http_call *call, uint64_t after_ns,
                        uint64_t *pause_ns)
{
    if (!call->idempotent || call->retries_left == 0 ||
        after_ns > client->settings.o.retry_after_max_ns) {
        return false;
    }
    *pause_ns = pause_of(client, call, after_ns);
    uint64_t now = brisk_clock_now_ns(NULL);
    if (call->deadline_ns <= now || *pause_ns >= call->deadline_ns - now) {
        return false; /* what there is now is better than nothing later */
    }
    if (!http_budget_spend(call->host)) {
        client->stats.retries_denied++;
        return false;
    }
    return true;
}

static void retry(brisk_http_client *client, http_call *call, uint64_t pause_ns, uint64_t now_ns)
{
    client->stats.retries++;
    call->host->counts.retries++;
    call->retries_left--;
    call->not_before_ns = now_ns + pause_ns;
    call->state = HTTP_PAUSED;
    http_list_append(&client->paused, call);
    http_loop_at(client, call->not_before_ns);
}

/* --- redirections --------------------------------------------------------------------------- */

static bool wants_follow(const http_call *call, const http_head *head)
{
    bool reading = strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0;
    bool moved =
        head->status == 301 || head->status == 302 || head->status == 307 || head->status == 308;
    return call->answer->base.redirects + call->redirects_left > 0 &&
           (head->location[0] != '\0' || head->location_too_long) &&
           ((moved && reading) || head->status == 303);
}

static brisk_err follow_to(brisk_http_client *client, http_call *call, const http_head *head,
                           const char **why)
{
    char next[BRISK_HTTP_URL_MAX];
    http_url from;
    http_url to;
    *why = "it redirects to what is no URL";
    if (head->location_too_long) {
        return BRISK_ERR_LIMIT;
    }
    brisk_err err = http_url_follow(client->so, call->url, head->location, next);
    err = err == BRISK_OK ? http_url_parse(client->so, call->url, &from) : err;
    err = err == BRISK_OK ? http_url_parse(client->so, next, &to) : err;
    if (err != BRISK_OK) {
        return err;
    }
    if (strncmp(from.origin, "https:", 6) == 0 && strncmp(to.origin, "https:", 6) != 0) {
        *why = "it redirects from https to http";
        return BRISK_ERR_PERMISSION;
    }
    if (call->url_followed == NULL) {
        call->url_followed = client->alloc->acquire(client->alloc->ctx, BRISK_HTTP_URL_MAX, 1);
        if (call->url_followed == NULL) {
            *why = "out of memory";
            return BRISK_ERR_NOMEM;
        }
    }
    memcpy(call->url_followed, next, strlen(next) + 1);
    call->url = call->url_followed;
    call->elsewhere = call->elsewhere || strcmp(from.origin, to.origin) != 0;
    return BRISK_OK;
}

static void follow(brisk_http_client *client, http_transfer *t)
{
    http_call *call = t->call;
    const char *why = "it redirects too often";
    if (call->redirects_left == 0) {
        http_fail(client, call, BRISK_ERR_LIMIT, why);
        return;
    }
    brisk_err err = follow_to(client, call, &t->head, &why);
    if (err != BRISK_OK) {
        http_fail(client, call, err, why);
        return;
    }
    if (t->head.status == 303 && strcmp(call->method, "HEAD") != 0) {
        call->method = "GET";
        call->body = NULL;
        call->body_size = 0;
    }
    http_transfer_stop(client, t);
    call->redirects_left--;
    call->answer->base.redirects++;
    client->stats.redirects++;
    http_admit(client, call, true);
    if (call->state == HTTP_WAITING) {
        http_budget_earn(client, call->host);
    }
}

/* --- answers -------------------------------------------------------------------------------- */

static brisk_err keep_location(brisk_http_client *client, http_answer *answer,
                               const http_head *head)
{
    if (head->status < 300 || head->status > 399 || head->location[0] == '\0') {
        return BRISK_OK;
    }
    size_t size = strlen(head->location) + 1;
    answer->base.location = client->alloc->acquire(client->alloc->ctx, size, 1);
    if (answer->base.location == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(answer->base.location, head->location, size);
    answer->location_size = size;
    return BRISK_OK;
}

static void answer(brisk_http_client *client, http_transfer *t, uint64_t now_ns)
{
    http_call *call = t->call;
    if (keep_location(client, call->answer, &t->head) != BRISK_OK) {
        http_fail(client, call, BRISK_ERR_NOMEM, "out of memory");
        return;
    }
    http_transfer_report(client, t, call->answer);
    http_answer_take_body(call->answer, t);
    call->answer->base.err = BRISK_OK;
    client->stats.hedges_won += t->hedge;
    finish(client, call, now_ns);
}

/* What an attempt says of its host. */
static void learn(brisk_http_client *client, http_transfer *t, CURLcode code, brisk_err err,
                  const char *why)
{
    http_host *host = t->call->host;
    uint64_t now = brisk_clock_now_ns(NULL);
    long connects = 0;
    long sent = 0;
    (void)client->so->curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    (void)client->so->curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
    uint64_t out = (uint64_t)sent + (t->packed ? t->call->packed_size : t->call->body_size);
    client->stats.connections += (uint64_t)connects;
    client->stats.reused += connects == 0 && err == BRISK_OK;
    client->stats.bytes_out += out;
    client->stats.bytes_saved += t->packed ? t->call->body_size - t->call->packed_size : 0;
    host->counts.connections += (uint64_t)connects;
    host->counts.reused += connects == 0 && err == BRISK_OK;
    host->counts.bytes_out += out;
    if (err == BRISK_OK) {
        http_host_well(host);
        http_host_read_rtt(client, host, t->easy, now);
        long version = 0;
        (void)client->so->curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
        host->version = version >= CURL_HTTP_VERSION_2_0 ? 20 : 11;
        http_host_connected(host, connects > 0 && !t->hedge); /* a hedge has its own, always */
    }
    if (err == BRISK_OK && is_status_of_overload(t->head.status)) {
        uint64_t pause = t->head.has_retry_after ? t->head.retry_after_s * 1000000000 : 0;
        uint64_t most = client->settings.o.retry_after_max_ns;
        client->stats.throttled++;
        host->counts.throttled++;
        http_host_pushed_back(client, host, pause < most ? pause : most, now);
        http_loop_at(client, host->paused_until_ns);
    } else if (err == BRISK_OK) {
        http_host_answered(client, host, http_transfer_latency(client, t), now);
    } else if (http_transfer_is_transient(t, code)) {
        http_host_pushed_back(client, host, 0, now);
        http_host_failed(client, host, t->started_ns, why);
    }
}

/* It did not take the body as gzip, and has done nothing with it. */
static void send_plain(brisk_http_client *client, http_transfer *t)
{
    http_call *call = t->call;
    const brisk_alloc *alloc = client->alloc;
    http_transfer_stop(client, t);
    explicit_bzero(call->packed, call->packed_capacity);
    alloc->release(alloc->ctx, call->packed, call->packed_capacity, 1);
    call->packed = NULL;
    http_admit(client, call, true);
}

void http_outcome(brisk_http_client *client, http_transfer *t, CURLcode code, uint64_t now_ns)
{
    http_call *call = t->call;
    const char *why = "";
    brisk_err err = http_transfer_judge(t, code, &why);
    http_transfer *other = call->transfers[t->hedge ? 0 : 1];
    learn(client, t, code, err, why);
    if (other != NULL) {
        if (err != BRISK_OK) {
            http_transfer_stop(client, t); /* the other one may do better */
            return;
        }
        http_transfer_stop(client, other);
    }
    bool failed =
        err != BRISK_OK ? http_transfer_is_transient(t, code) : is_status_to_repeat(t->head.status);
    uint64_t after =
        err == BRISK_OK && t->head.has_retry_after ? t->head.retry_after_s * 1000000000 : 0;
    uint64_t pause = 0;
    if (failed && wants_retry(client, call, after, &pause)) {
        http_transfer_stop(client, t);
        retry(client, call, pause, now_ns);
    } else if (err != BRISK_OK) {
        http_fail(client, call, err, why);
    } else if (http_learn_compression(t)) {
        send_plain(client, t);
    } else if (wants_follow(call, &t->head)) {
        follow(client, t);
    } else {
        answer(client, t, now_ns);
    }
}
