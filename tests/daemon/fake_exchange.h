/*
 * fake_exchange.h -- an exchange without a connection, for tests of handlers.
 *
 *     fake_http fake;
 *     fake_http_init(&fake);
 *     http_routes_add(fake.server.http_routes, "", "/x", &route);
 *     exchange *x = fake_ask(&fake, "GET", "/x?y=1", "if-none-match", "\"a\"", NULL);
 *     fake_body(&fake, "bytes", 5);     // if there is one; then
 *     fake_end(&fake);                  // the body is over: also without a body
 *     CHECK_U64(fake.status, ==, 200);
 *     ... fake.body, fake_field(&fake, "etag") ...
 *     fake_close(&fake);                // `gone`
 *     fake_http_deinit(&fake);
 *
 * Bodies of files and values are read into fake.body.  fake_run does what was posted to the loop.
 */
#ifndef BRISK_TESTS_DAEMON_FAKE_EXCHANGE_H
#define BRISK_TESTS_DAEMON_FAKE_EXCHANGE_H

#include "daemon/server.h"

enum { FAKE_FIELDS_MAX = 32 };

typedef struct fake_http {
    server server; /* only what handlers need: alloc, clock, http_routes, one worker */
    worker worker;
    exchange *x;
    /* What was answered. */
    uint16_t status;   /* 0: nothing yet */
    uint16_t informed; /* the last 1xx */
    http_field fields[FAKE_FIELDS_MAX];
    uint32_t field_count;
    char names[8192]; /* what `fields` points to */
    size_t names_size;
    int64_t length; /* as said to exchange_start or known by exchange_answer */
    unsigned char *body;
    size_t body_size;
    size_t body_capacity;
    bool finished;
    bool aborted;
    bool paused;
    bool taken_over;
    size_t room; /* exchange_write says wait when more than this is in `body`; 0: never */
} fake_http;

void fake_http_init(fake_http *fake);
/* With another allocator, which may fail. */
void fake_http_init_with(fake_http *fake, const brisk_alloc *alloc);
void fake_http_deinit(fake_http *fake);
/* Begin an exchange: names and values of fields follow, and NULL.  "content-length" says that there is a body,
 * "host" the authority; x->right is `right` whatever the server's rule is.  NULL: no memory. */
exchange *fake_ask(fake_http *fake, const char *method, const char *target, ...);
void fake_body(fake_http *fake, const void *data, size_t size);
void fake_end(fake_http *fake);
/* The client has read everything: `writable` is told. */
void fake_writable(fake_http *fake);
/* The connection is gone, or the answer is sent: `gone`. */
void fake_close(fake_http *fake);
/* Run the loop's posted tasks. */
void fake_run(fake_http *fake);
/* The answer's field, or NULL. */
const http_text *fake_field(const fake_http *fake, const char *name);
/* Is it `value`? */
bool fake_field_is(const fake_http *fake, const char *name, const char *value);
bool fake_body_is(const fake_http *fake, const char *text);

#endif /* BRISK_TESTS_DAEMON_FAKE_EXCHANGE_H */
