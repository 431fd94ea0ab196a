/*
 * otlp.c -- an exporter behind <brisk/otlp.h>: the ring of spans, the requests.
 *
 * The ring is filled by the listener, in the threads that end operations, under `lock`.  A push takes the spans out
 * of it into a block of its own, lets the lock go, and sends; when that fails it puts them back in front as
 * far as there is room.  So nobody who ends an operation waits for a network.
 *
 * Locks, in this order: `pushing` (one push at a time), `lock` (the ring).
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <brisk/clock.h>
#include <brisk/otlp.h>

#include "base/assert.h"
#include "base/str.h"
#include "io/http.h"
#include "observe/export/otlp_write.h"

enum { URL_MAX = 1024, SERVICE_MAX = 256, BODY_MAX = 64 << 20, ANSWER_MAX = 65536 };

static const uint64_t timeout_default_ns = UINT64_C(10000000000);

struct brisk_otlp {
    const brisk_alloc *alloc;
    http_client *client;
    char endpoint[URL_MAX];
    char service[SERVICE_MAX];
    otlp_identity who;
    pthread_mutex_t pushing;
    pthread_mutex_t lock;
    uint32_t spans_max;
    uint32_t first; /* of the ring */
    uint32_t count;
    uint64_t dropped;
    otlp_span *ring;
};

static void lock(pthread_mutex_t *mutex)
{
    int failed = pthread_mutex_lock(mutex);
    BRISK_ASSERT(failed == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    int failed = pthread_mutex_unlock(mutex);
    BRISK_ASSERT(failed == 0);
}

/* ---- the ring ------------------------------------------------------------------------------ */

static void keep(void *ctx, const brisk_track_record *record)
{
    brisk_otlp *otlp = ctx;
    lock(&otlp->lock);
    if (otlp->count == otlp->spans_max) {
        otlp->dropped++;
    } else {
        otlp_span *span = &otlp->ring[(otlp->first + otlp->count++) % otlp->spans_max];
        size_t length = strnlen(record->name, sizeof span->name - 1);
        memcpy(span->name, record->name, length);
        span->name[length] = '\0';
        span->record = *record;
        memcpy(span->context, record->context, record->context_count * sizeof *record->context);
        memcpy(span->markers, record->markers, record->marker_count * sizeof *record->markers);
    }
    unlock(&otlp->lock);
}

/* Move all spans to `to`, which has room for spans_max. */
static uint32_t take(brisk_otlp *otlp, otlp_span *to)
{
    lock(&otlp->lock);
    uint32_t count = otlp->count;
    for (uint32_t i = 0; i < count; i++) {
        to[i] = otlp->ring[(otlp->first + i) % otlp->spans_max];
    }
    otlp->first = 0;
    otlp->count = 0;
    unlock(&otlp->lock);
    return count;
}

/* The newest of `spans` that find room, before those that came meanwhile. */
static void put_back(brisk_otlp *otlp, const otlp_span *spans, uint32_t count)
{
    lock(&otlp->lock);
    uint32_t room = otlp->spans_max - otlp->count;
    uint32_t kept = count < room ? count : room;
    otlp->dropped += count - kept;
    for (uint32_t i = 0; i < kept; i++) {
        otlp->first = (otlp->first + otlp->spans_max - 1) % otlp->spans_max;
        otlp->ring[otlp->first] = spans[count - 1 - i];
    }
    otlp->count += kept;
    unlock(&otlp->lock);
}

/* ---- creating ------------------------------------------------------------------------------ */

static brisk_err set_endpoint(brisk_otlp *otlp, const char *endpoint, brisk_errinfo *info)
{
    size_t length = strlen(endpoint);
    while (length > 0 && endpoint[length - 1] == '/') {
        length--;
    }
    bool known = strncmp(endpoint, "http://", 7) == 0 || strncmp(endpoint, "https://", 8) == 0;
    if (!known || length >= URL_MAX - 16 || length <= 8) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "the endpoint is not a URL like http://localhost:4318");
    }
    memcpy(otlp->endpoint, endpoint, length);
    otlp->endpoint[length] = '\0';
    return BRISK_OK;
}

static void identify(brisk_otlp *otlp, const char *service)
{
    uint64_t random[3];
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        random[0] = brisk_clock_wall_ns(NULL); /* early in boot; unique enough */
        random[1] = brisk_clock_now_ns(NULL) * UINT64_C(0x9e3779b97f4a7c15);
        random[2] = (uint64_t)(uintptr_t)otlp ^ random[0];
    }
    (void)snprintf(otlp->service, sizeof otlp->service, "%s", service);
    otlp->who = (otlp_identity){.service = otlp->service,
                                .trace_high = random[0],
                                .trace_low = random[1],
                                .span = random[2],
                                .start_wall_ns = brisk_clock_wall_ns(NULL)};
}

static brisk_err set_up(brisk_otlp *otlp, const brisk_otlp_opts *o, brisk_errinfo *info)
{
    brisk_err err =
        set_endpoint(otlp, o->endpoint != NULL ? o->endpoint : "http://localhost:4318", info);
    if (err != BRISK_OK) {
        return err;
    }
    identify(otlp, o->service != NULL ? o->service : "brisk");
    otlp->ring = otlp->alloc->acquire(otlp->alloc->ctx, otlp->spans_max * sizeof *otlp->ring,
                                      _Alignof(otlp_span));
    if (otlp->ring == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "OTLP: out of memory");
    }
    uint64_t timeout = o->timeout_ns != 0 ? o->timeout_ns : timeout_default_ns;
    err = http_client_create(&(http_opts){.timeout_ns = timeout,
                                          .connect_timeout_ns = timeout,
                                          .body_bytes_max = ANSWER_MAX,
                                          .tls_ca_file = o->tls_ca_file,
                                          .headers = o->headers,
                                          .header_count = o->header_count,
                                          .alloc = otlp->alloc},
                             &otlp->client, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_track_listen(keep, otlp);
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "too many listen to operations");
}

brisk_err brisk_otlp_create(const brisk_otlp_opts *opts, brisk_otlp **ret, brisk_errinfo *info)
{
    BRISK_ASSERT(ret != NULL);
    brisk_otlp_opts o = opts != NULL ? *opts : (brisk_otlp_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    if (o.spans_max > BRISK_OTLP_SPANS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "more than %d spans",
                                 BRISK_OTLP_SPANS_MAX);
    }
    brisk_otlp *otlp = alloc->acquire(alloc->ctx, sizeof *otlp, _Alignof(brisk_otlp));
    if (otlp == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "OTLP: out of memory");
    }
    *otlp = (brisk_otlp){.alloc = alloc,
                         .spans_max = o.spans_max != 0 ? o.spans_max : BRISK_OTLP_SPANS_DEFAULT};
    int failed = pthread_mutex_init(&otlp->lock, NULL);
    BRISK_ASSERT(failed == 0);
    failed = pthread_mutex_init(&otlp->pushing, NULL);
    BRISK_ASSERT(failed == 0);
    brisk_err err = set_up(otlp, &o, info);
    if (err != BRISK_OK) {
        brisk_otlp_destroy(otlp);
        return err;
    }
    *ret = otlp;
    return BRISK_OK;
}

void brisk_otlp_destroy(brisk_otlp *otlp)
{
    if (otlp == NULL) {
        return;
    }
    brisk_track_listen_stop(keep, otlp);
    http_client_destroy(otlp->client);
    if (otlp->ring != NULL) {
        otlp->alloc->release(otlp->alloc->ctx, otlp->ring, otlp->spans_max * sizeof *otlp->ring,
                             _Alignof(otlp_span));
    }
    (void)pthread_mutex_destroy(&otlp->lock);
    (void)pthread_mutex_destroy(&otlp->pushing);
    otlp->alloc->release(otlp->alloc->ctx, otlp, sizeof *otlp, _Alignof(brisk_otlp));
}

/* ---- pushing ------------------------------------------------------------------------------- */

static brisk_err post(brisk_otlp *otlp, const char *path, const brisk_str *body,
                      brisk_errinfo *info)
{
    char url[URL_MAX];
    (void)snprintf(url, sizeof url, "%s%s", otlp->endpoint, path);
    http_response response = {0};
    brisk_err err = http_run(otlp->client,
                             &(http_request){.method = "POST",
                                             .url = url,
                                             .body = brisk_str_text(body),
                                             .body_size = brisk_str_size(body),
                                             .headers = {"Content-Type: application/json"}},
                             &response);
    if (err != BRISK_OK) {
        err = brisk_errinfo_set(info, err, "OTLP %s: %s", path, brisk_err_message(err));
    } else if (response.status < 200 || response.status > 299) {
        err = brisk_errinfo_set(info, BRISK_ERR_IO, "OTLP %s: answered with status %ld", path,
                                response.status);
    }
    http_response_deinit(&response);
    return err;
}

/* Send what a writer has left in `body`, whose own result is `err`. */
static brisk_err finish(brisk_otlp *otlp, const char *path, brisk_str *body, brisk_err err,
                        brisk_errinfo *info)
{
    if (err == BRISK_OK) {
        err = post(otlp, path, body, info);
    } else {
        err = brisk_errinfo_set(info, err, "OTLP %s: %s", path, brisk_err_message(err));
    }
    brisk_str_deinit(body);
    return err;
}

brisk_err brisk_otlp_push_metrics(brisk_otlp *otlp, const brisk_snapshot *snapshot,
                                  brisk_errinfo *info)
{
    brisk_str body;
    lock(&otlp->pushing);
    brisk_str_init(&body, otlp->alloc, BODY_MAX);
    brisk_err err = otlp_write_metrics(&otlp->who, snapshot, brisk_str_out(&body));
    err = finish(otlp, "/v1/metrics", &body, err, info);
    unlock(&otlp->pushing);
    return err;
}

brisk_err brisk_otlp_push_spans(brisk_otlp *otlp, brisk_errinfo *info)
{
    size_t size = otlp->spans_max * sizeof(otlp_span);
    otlp_span *spans = otlp->alloc->acquire(otlp->alloc->ctx, size, _Alignof(otlp_span));
    if (spans == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "OTLP: out of memory");
    }
    lock(&otlp->pushing);
    uint32_t count = take(otlp, spans);
    brisk_err err = BRISK_OK;
    if (count > 0) {
        brisk_str body;
        brisk_str_init(&body, otlp->alloc, BODY_MAX);
        err = otlp_write_spans(&otlp->who, spans, count, brisk_str_out(&body));
        err = finish(otlp, "/v1/traces", &body, err, info);
        if (err != BRISK_OK) {
            put_back(otlp, spans, count);
        }
    }
    unlock(&otlp->pushing);
    otlp->alloc->release(otlp->alloc->ctx, spans, size, _Alignof(otlp_span));
    return err;
}

brisk_err brisk_otlp_push_trace(brisk_otlp *otlp, const brisk_trace *trace, brisk_errinfo *info)
{
    brisk_str body;
    lock(&otlp->pushing);
    brisk_str_init(&body, otlp->alloc, BODY_MAX);
    brisk_err err = otlp_write_trace(&otlp->who, trace, brisk_clock_now_ns(NULL),
                                     brisk_clock_wall_ns(NULL), brisk_str_out(&body));
    err = finish(otlp, "/v1/traces", &body, err, info);
    unlock(&otlp->pushing);
    return err;
}

uint64_t brisk_otlp_dropped(brisk_otlp *otlp)
{
    lock(&otlp->lock);
    uint64_t dropped = otlp->dropped;
    unlock(&otlp->lock);
    return dropped;
}
