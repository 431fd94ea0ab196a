/*
 * fake_exchange.c -- a carrier that keeps what it is given.
 */
#include "fake_exchange.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/check.h"

static fake_http *fake_of(const exchange *x)
{
    return x->carried;
}

static void keep_head(fake_http *fake, const http_answer *answer)
{
    assert_int_equal(fake->status, 0); /* one answer */
    fake->status = answer->status;
    fake->field_count = 0;
    fake->names_size = 0;
    for (uint32_t i = 0; i < answer->field_count; i++) {
        const http_field *f = &answer->fields[i];
        size_t size = f->name.size + f->value.size;
        assert_true(fake->field_count < FAKE_FIELDS_MAX);
        assert_true(fake->names_size + size <= sizeof fake->names);
        char *at = fake->names + fake->names_size;
        memcpy(at, f->name.data, f->name.size);
        memcpy(at + f->name.size, f->value.data, f->value.size);
        fake->names_size += size;
        assert_true(http1_is_token(f->name) && http1_is_value(f->value));
        fake->fields[fake->field_count++] =
            (http_field){.name = {.data = at, .size = f->name.size},
                         .value = {.data = at + f->name.size, .size = f->value.size}};
    }
}

static void keep_body(fake_http *fake, const void *data, size_t size)
{
    if (fake->body_size + size + 1 > fake->body_capacity) {
        fake->body_capacity = (fake->body_size + size + 1) * 2;
        fake->body = realloc(fake->body, fake->body_capacity);
        assert_non_null(fake->body);
    }
    memcpy(fake->body + fake->body_size, data, size);
    fake->body_size += size;
    fake->body[fake->body_size] = '\0';
}

static void keep_file(fake_http *fake, int fd, uint64_t offset, uint64_t size)
{
    char piece[65536];
    while (size > 0) {
        size_t wanted = size < sizeof piece ? (size_t)size : sizeof piece;
        ssize_t got = pread(fd, piece, wanted, (off_t)offset);
        assert_true(got > 0);
        keep_body(fake, piece, (size_t)got);
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
}

static void answer_all(exchange *x, const http_answer *answer)
{
    fake_http *fake = fake_of(x);
    const http_body *body = &answer->body;
    bool wanted = http_has_body(x, answer->status);
    keep_head(fake, answer);
    fake->finished = true;
    fake->length = body->kind != HTTP_BODY_NONE ? (int64_t)body->size : answer->length;
    if (body->kind == HTTP_BODY_BYTES && wanted) {
        keep_body(fake, body->data, body->size);
    } else if (body->kind == HTTP_BODY_VALUE) {
        const unsigned char *data = brisk_value_data(body->value);
        assert_true(body->offset + body->size <= brisk_value_size(body->value));
        if (wanted && data != NULL) {
            keep_body(fake, data + body->offset, body->size);
        } else if (wanted) {
            keep_file(fake, brisk_value_fd(body->value), body->offset, body->size);
        }
        brisk_value_unref(body->value);
    } else if (body->kind == HTTP_BODY_FILE) {
        if (wanted) {
            keep_file(fake, body->fd, body->offset, body->size);
        }
        if (body->release != NULL) {
            body->release(body->ctx);
        }
    }
}

static void start(exchange *x, const http_answer *answer)
{
    fake_http *fake = fake_of(x);
    keep_head(fake, answer);
    fake->length = answer->length;
}

static bool write_some(exchange *x, const void *data, size_t size)
{
    fake_http *fake = fake_of(x);
    keep_body(fake, data, size);
    x->body_sent += size;
    return fake->room == 0 || fake->body_size <= fake->room;
}

static void finish(exchange *x)
{
    fake_of(x)->finished = true;
}

static void abort_answer(exchange *x)
{
    fake_of(x)->aborted = true;
}

static void inform(exchange *x, uint16_t status, const http_field *fields, uint32_t count)
{
    (void)fields;
    (void)count;
    fake_of(x)->informed = status;
}

static void pause_body(exchange *x, bool paused)
{
    fake_of(x)->paused = paused;
}

static void take_over(exchange *x, const http_answer *answer)
{
    fake_http *fake = fake_of(x);
    keep_head(fake, answer);
    fake->taken_over = true;
}

static const http_carrier fake_carrier = {
    .name = "fake",
    .answer = answer_all,
    .start = start,
    .write = write_some,
    .finish = finish,
    .abort = abort_answer,
    .inform = inform,
    .pause = pause_body,
    .take_over = take_over,
};

static http_right every_right(exchange *x)
{
    (void)x;
    return HTTP_RIGHT_CHANGE;
}

static void no_round(void *ctx)
{
    (void)ctx;
}

void fake_http_init_with(fake_http *fake, const brisk_alloc *alloc)
{
    memset(fake, 0, sizeof *fake);
    fake->server.alloc = alloc;
    fake->server.clock = brisk_clock_system();
    fake->server.workers = &fake->worker;
    fake->server.worker_count = 1;
    fake->server.http_right_of = every_right;
    fake->worker.server = &fake->server;
    loop_hooks hooks = {.round = no_round, .tick = no_round};
    assert_int_equal(loop_init(&fake->worker.loop, &hooks, fake->server.clock), BRISK_OK);
    assert_int_equal(http_worker_create(&fake->worker, &fake->worker.http), BRISK_OK);
    assert_int_equal(http_routes_create(alloc, &fake->server.http_routes), BRISK_OK);
    assert_int_equal(pthread_mutex_init(&fake->server.lock, NULL), 0);
}

void fake_http_init(fake_http *fake)
{
    fake_http_init_with(fake, brisk_alloc_libc());
}

void fake_http_deinit(fake_http *fake)
{
    fake_close(fake);
    fake_run(fake);
    http_routes_destroy(fake->server.http_routes);
    http_worker_destroy(fake->worker.http);
    loop_deinit(&fake->worker.loop);
    (void)pthread_mutex_destroy(&fake->server.lock);
    free(fake->body);
    fake->body = NULL;
}

static http_text keep_text(exchange *x, const char *text)
{
    const char *copy = exchange_keep(x, text, strlen(text));
    assert_non_null(copy);
    return (http_text){.data = copy, .size = strlen(text)};
}

exchange *fake_ask(fake_http *fake, const char *method, const char *target, ...)
{
    fake_close(fake);
    exchange *x = exchange_open(&fake->worker, NULL, &fake_carrier);
    if (x == NULL) {
        return NULL;
    }
    fake->x = x;
    fake->status = 0;
    fake->informed = 0;
    fake->field_count = 0;
    fake->body_size = 0;
    fake->finished = false;
    fake->aborted = false;
    fake->paused = false;
    fake->taken_over = false;
    x->carried = fake;
    x->method_text = keep_text(x, method);
    x->target = keep_text(x, target);
    x->authority = HTTP_TEXT("localhost");
    x->version = 11;
    x->content_length = 0;
    http_field *fields = exchange_alloc(x, FAKE_FIELDS_MAX * sizeof *fields);
    assert_non_null(fields);
    va_list list;
    va_start(list, target);
    for (const char *name; (name = va_arg(list, const char *)) != NULL;) {
        const char *value = va_arg(list, const char *);
        assert_true(x->field_count < FAKE_FIELDS_MAX);
        fields[x->field_count++] =
            (http_field){.name = keep_text(x, name), .value = keep_text(x, value)};
        if (strcmp(name, "content-length") == 0) {
            x->content_length = strtoll(value, NULL, 10);
            x->has_body = x->content_length > 0;
        } else if (strcmp(name, "host") == 0) {
            x->authority = keep_text(x, value);
        }
    }
    va_end(list);
    x->fields = fields;
    x->body_over = !x->has_body;
    exchange_begin(x);
    return x;
}

void fake_body(fake_http *fake, const void *data, size_t size)
{
    exchange_take_body(fake->x, data, size);
}

void fake_end(fake_http *fake)
{
    exchange_end_body(fake->x);
}

void fake_writable(fake_http *fake)
{
    exchange_tell_writable(fake->x);
}

void fake_close(fake_http *fake)
{
    exchange *x = fake->x;
    fake->x = NULL;
    if (x != NULL) {
        exchange_close(x);
    }
}

void fake_run(fake_http *fake)
{
    loop_stop(&fake->worker.loop);
    loop_run(&fake->worker.loop); /* with nothing to wait for: what was posted, and no more */
    atomic_store(&fake->worker.loop.stop, false);
}

const http_text *fake_field(const fake_http *fake, const char *name)
{
    for (uint32_t i = 0; i < fake->field_count; i++) {
        const http_field *f = &fake->fields[i];
        if (f->name.size == strlen(name) && memcmp(f->name.data, name, f->name.size) == 0) {
            return &f->value;
        }
    }
    return NULL;
}

bool fake_field_is(const fake_http *fake, const char *name, const char *value)
{
    const http_text *text = fake_field(fake, name);
    return text != NULL && text->size == strlen(value) &&
           memcmp(text->data, value, text->size) == 0;
}

bool fake_body_is(const fake_http *fake, const char *text)
{
    return fake->body_size == strlen(text) &&
           (fake->body_size == 0 || memcmp(fake->body, text, fake->body_size) == 0);
}
