/*
 * http_client.c -- the door of <brisk/http_client.h>: clients, submitting, cancelling, figures.
 *
 * Invariant: a call is in `live` from submit until its answer is delivered, whatever happens.
 */
#include <string.h>
#include <sys/random.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "io/http_internal.h"

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

/* Under the lock. */
static void wake(brisk_http_client *client)
{
    if (client->wakeable == NULL) {
        (void)pthread_cond_signal(&client->woken);
    } else if (client->asleep) {
        client->asleep = false;
        (void)http_curl_get()->curl_multi_wakeup(client->wakeable);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static uint64_t choose_seed(const brisk_http_client_opts *o)
{
    uint64_t seed = o->seed;
    if (seed == 0 && getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = brisk_clock_now_ns(NULL);
    }
    return seed;
}

brisk_err brisk_http_client_create(const brisk_http_client_opts *opts, brisk_http_client **ret,
                                   brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL);
    brisk_http_client_opts o = opts != NULL ? *opts : (brisk_http_client_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    brisk_http_client *client =
        alloc->acquire(alloc->ctx, sizeof *client, _Alignof(brisk_http_client));
    if (client == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "HTTP: out of memory");
    }
    *client = (brisk_http_client){.alloc = alloc, .check_ns = UINT64_MAX};
    brisk_err err = http_settings_init(&client->settings, alloc, &o, info);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, client, sizeof *client, _Alignof(brisk_http_client));
        return err;
    }
    brisk_rng_init(&client->rng, choose_seed(&o));
    int failed = pthread_mutex_init(&client->lock, NULL);
    failed |= pthread_cond_init(&client->woken, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for plain ones on Linux */
    err = brisk_thread_start(
        &client->thread,
        &(brisk_thread_opts){.name = "brisk-http", .run = http_loop_run, .ctx = client});
    if (err != BRISK_OK) {
        brisk_http_client_destroy(client);
        return brisk_errinfo_set(info, err, "HTTP: no thread for the client");
    }
    *ret = client;
    return BRISK_OK;
}

void brisk_http_client_destroy(brisk_http_client *client)
{
    if (client == NULL) {
        return;
    }
    lock(client);
    client->stop = true;
    wake(client);
    unlock(client);
    brisk_thread_join(&client->thread);
    BRISK_ASSERT(client->live == NULL);
    http_settings_deinit(&client->settings, client->alloc);
    (void)pthread_cond_destroy(&client->woken);
    (void)pthread_mutex_destroy(&client->lock);
    client->alloc->release(client->alloc->ctx, client, sizeof *client, _Alignof(brisk_http_client));
}

brisk_err brisk_http_client_probe(brisk_errinfo *info)
{
    return http_curl_load(info);
}

/* --- requests ------------------------------------------------------------------------------- */

/* OK: the thread has it. */
static brisk_err hand_over(brisk_http_client *client, http_call *call, uint64_t *id)
{
    brisk_err err = BRISK_OK;
    lock(client);
    if (client->stop) {
        err = BRISK_ERR_CANCELLED;
    } else if (client->live_count >= client->settings.o.queue_max) {
        err = BRISK_ERR_FULL;
    } else {
        call->answer->base.id = ++client->next_id;
        if (id != NULL) {
            *id = call->answer->base.id;
        }
        call->live_next = client->live;
        if (call->live_next != NULL) {
            call->live_next->live_prev = call;
        }
        client->live = call;
        client->live_count++;
        client->submitted++;
        http_list_append(&client->incoming, call);
        wake(client);
    }
    unlock(client);
    return err;
}

brisk_err brisk_http_submit(brisk_http_client *client, const brisk_http_request *request,
                            uint64_t *id, brisk_errinfo *info)
{
    http_call *call = NULL;
    brisk_err err = http_call_create(client, request, &call, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (call->body_size > 0) {
        http_call_compress(client, call, request->compress);
    }
    err = hand_over(client, call, id);
    if (err != BRISK_OK) {
        http_call_destroy(client, call);
        return brisk_errinfo_set(info, err, "HTTP: %s",
                                 err == BRISK_ERR_FULL ? "too many requests are open"
                                                       : "the client is being destroyed");
    }
    return BRISK_OK;
}

/* On the stack of who waits: nothing of it is touched after the lock is given back. */
typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    brisk_http_response *response;
} waiter;

static void on_done(void *ctx, brisk_http_response *response)
{
    waiter *w = ctx;
    (void)pthread_mutex_lock(&w->lock);
    w->response = response;
    (void)pthread_cond_signal(&w->done);
    (void)pthread_mutex_unlock(&w->lock);
}

brisk_err brisk_http_run(brisk_http_client *client, const brisk_http_request *request,
                         brisk_http_response **ret, brisk_errinfo *info)
{
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    brisk_http_request copy = *request;
    copy.done = on_done;
    copy.queue = NULL;
    copy.user = &w;
    copy.body_borrowed = true; /* we are here until the answer */
    brisk_err err = brisk_http_submit(client, &copy, NULL, info);
    if (err == BRISK_OK) {
        (void)pthread_mutex_lock(&w.lock);
        while (w.response == NULL) {
            (void)pthread_cond_wait(&w.done, &w.lock);
        }
        (void)pthread_mutex_unlock(&w.lock);
        w.response->user = request->user;
        *ret = w.response;
    }
    (void)pthread_cond_destroy(&w.done);
    (void)pthread_mutex_destroy(&w.lock);
    return err;
}

void brisk_http_cancel(brisk_http_client *client, uint64_t id)
{
    lock(client);
    for (http_call *call = client->live; call != NULL; call = call->live_next) {
        if (call->answer->base.id == id) {
            call->cancelled = true;
            client->cancel_some = true;
            wake(client);
            break;
        }
    }
    unlock(client);
}

void brisk_http_cancel_all(brisk_http_client *client)
{
    lock(client);
    for (http_call *call = client->live; call != NULL; call = call->live_next) {
        call->cancelled = true;
    }
    client->cancel_some = client->live != NULL;
    wake(client);
    unlock(client);
}

/* --- figures -------------------------------------------------------------------------------- */

void brisk_http_client_read_stats(brisk_http_client *client, brisk_http_stats *ret)
{
    lock(client);
    *ret = client->published;
    ret->submitted = client->submitted;
    unlock(client);
}

brisk_err brisk_http_client_read_host(brisk_http_client *client, const char *url,
                                      brisk_http_host_stats *ret)
{
    http_url parts;
    brisk_err err = http_curl_load(NULL);
    if (err == BRISK_OK) {
        err = http_url_parse(http_curl_get(), url, &parts);
    }
    if (err != BRISK_OK) {
        return err;
    }
    err = BRISK_ERR_NOT_FOUND;
    lock(client);
    for (const http_host *host = client->hosts; host != NULL; host = host->next) {
        if (strcmp(host->origin, parts.origin) == 0) {
            *ret = host->published;
            err = BRISK_OK;
        }
    }
    unlock(client);
    return err;
}
