/*
 * http_server.h -- a small web server of the test's own: keeps what is PUT, and misbehaves on demand.
 *
 * One thread, one connection at a time, keep-alive.  `way` says how the next answers go.
 */
#ifndef BRISK_TESTS_HTTP_SERVER_H
#define BRISK_TESTS_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"

enum { HTTP_OBJECTS = 64, HTTP_BUFFER = 2 << 20 };

typedef enum http_way {
    HTTP_GOOD,
    HTTP_STATUS, /* `status` for everything */
    HTTP_STALL,  /* no answer */
    HTTP_SHORT,  /* fewer bytes than Content-Length says */
    HTTP_LONG,   /* more */
    HTTP_CLOSE,  /* in the middle of the head */
    HTTP_GARBAGE,
    HTTP_CHUNKED, /* the body in chunks */
    HTTP_ENDLESS, /* a body without end */
} http_way;

typedef struct http_object {
    char path[256];
    char *body;
    size_t size;
    unsigned etag;
} http_object;

typedef struct http_server {
    pthread_t thread;
    int listener;
    uint16_t port;
    _Atomic bool stop;
    _Atomic int way;
    _Atomic int status;
    const char *_Atomic headers; /* more of them in answers: "Age: 5\r\n" */
    _Atomic uint32_t get_count;
    _Atomic uint32_t puts;
    _Atomic uint32_t heads;
    _Atomic uint32_t deletes;
    _Atomic uint32_t purges;
    _Atomic uint32_t not_modified;
    _Atomic uint32_t authorized; /* requests with "Authorization: Bearer token" */
    pthread_mutex_t lock;        /* what follows; held while a request is answered */
    unsigned next_etag;
    http_object objects[HTTP_OBJECTS];
    char *buffer;
    size_t size;
} http_server;

static inline void http_send(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        at += sent;
        size -= (size_t)sent;
    }
}

static inline http_object *http_find(http_server *s, const char *path, bool add)
{
    for (int i = 0; i < HTTP_OBJECTS; i++) {
        if (s->objects[i].body != NULL && strcmp(s->objects[i].path, path) == 0) {
            return &s->objects[i];
        }
    }
    for (int i = 0; add && i < HTTP_OBJECTS; i++) {
        if (s->objects[i].body == NULL) {
            (void)snprintf(s->objects[i].path, sizeof s->objects[i].path, "%s", path);
            return &s->objects[i];
        }
    }
    return NULL;
}

/* The value of a header in the head of a request, or NULL. */
static inline const char *http_header(const char *head, const char *name, char value[256])
{
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        size_t size = strlen(name);
        if (strncasecmp(line + 2, name, size) == 0 && line[2 + size] == ':') {
            const char *text = line + 3 + size + strspn(line + 3 + size, " ");
            (void)snprintf(value, 256, "%.*s", (int)strcspn(text, "\r"), text);
            return value;
        }
    }
    return NULL;
}

static inline void http_answer(http_server *s, int fd, int status, const http_object *object,
                               bool body)
{
    char head[1024];
    char etag[64] = "";
    const char *more = atomic_load(&s->headers);
    if (object != NULL) {
        (void)snprintf(etag, sizeof etag, "ETag: \"v%u\"\r\n", object->etag);
    }
    int way = atomic_load(&s->way);
    size_t size = object != NULL && status == 200 ? object->size : 0;
    size_t claimed = way == HTTP_SHORT ? size + 100 : way == HTTP_LONG ? size / 2 : size;
    char length[64];
    (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", claimed);
    if (way == HTTP_CHUNKED || way == HTTP_ENDLESS) {
        (void)snprintf(length, sizeof length, "Transfer-Encoding: chunked\r\n");
    }
    int head_size = snprintf(head, sizeof head, "HTTP/1.1 %d Whatever\r\n%s%s%s\r\n", status,
                             status == 304 ? "" : length, etag, more != NULL ? more : "");
    http_send(fd, head, way == HTTP_CLOSE ? 20 : (size_t)head_size);
    if (!body || way == HTTP_CLOSE) {
        return;
    }
    if (way == HTTP_CHUNKED) {
        for (size_t at = 0; at < size;) {
            size_t part = size - at < 1000 ? size - at : 1000;
            head_size = snprintf(head, sizeof head, "%zx\r\n", part);
            http_send(fd, head, (size_t)head_size);
            http_send(fd, object->body + at, part);
            http_send(fd, "\r\n", 2);
            at += part;
        }
        http_send(fd, "0\r\n\r\n", 5);
    } else if (way == HTTP_ENDLESS) {
        static const char chunk[4104] = "1000\r\n";
        for (int i = 0; i < 100000 && !atomic_load(&s->stop); i++) {
            ssize_t sent = send(fd, chunk, 6 + 4096, MSG_NOSIGNAL);
            if (sent <= 0 || send(fd, "\r\n", 2, MSG_NOSIGNAL) <= 0) {
                return;
            }
        }
    } else if (size > 0) {
        http_send(fd, object->body, size);
    }
}

static inline void http_get_or_head(http_server *s, int fd, const char *head, const char *path,
                                    bool body)
{
    char value[256];
    char etag[64];
    http_object *object = http_find(s, path, false);
    atomic_fetch_add(body ? &s->get_count : &s->heads, 1);
    if (object == NULL) {
        http_answer(s, fd, 404, NULL, body);
        return;
    }
    (void)snprintf(etag, sizeof etag, "\"v%u\"", object->etag);
    if (http_header(head, "If-None-Match", value) != NULL && strcmp(value, etag) == 0) {
        atomic_fetch_add(&s->not_modified, 1);
        http_answer(s, fd, 304, object, false);
        return;
    }
    http_answer(s, fd, 200, object, body);
}

static inline void http_put_object(http_server *s, int fd, const char *path, const char *body,
                                   size_t size)
{
    http_object *object = http_find(s, path, true);
    atomic_fetch_add(&s->puts, 1);
    if (object == NULL) {
        http_answer(s, fd, 507, NULL, false);
        return;
    }
    free(object->body);
    object->body = malloc(size + 1);
    memcpy(object->body, body, size);
    object->size = size;
    object->etag = ++s->next_etag;
    http_answer(s, fd, 201, object, false);
}

/* False: the connection is over. */
static inline bool http_serve_one(http_server *s, int fd, const char *head, const char *body,
                                  size_t size)
{
    char method[16] = "";
    char path[256] = "";
    char value[256];
    (void)sscanf(head, "%15s %255s", method, path); /* NOLINT: of our own client */
    if (http_header(head, "Authorization", value) != NULL && strcmp(value, "Bearer token") == 0) {
        atomic_fetch_add(&s->authorized, 1);
    }
    int way = atomic_load(&s->way);
    if (way == HTTP_STALL) {
        return true;
    }
    if (way == HTTP_GARBAGE) {
        http_send(fd, "\x01\x02 garbage\r\n\r\n", 14);
        return false;
    }
    if (way == HTTP_STATUS) {
        http_answer(s, fd, atomic_load(&s->status), NULL, strcmp(method, "HEAD") != 0);
        return true;
    }
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        http_get_or_head(s, fd, head, path, method[0] == 'G');
    } else if (strcmp(method, "PUT") == 0) {
        http_put_object(s, fd, path, body, size);
    } else {
        http_object *object = http_find(s, path, false);
        bool purge = strcmp(method, "PURGE") == 0;
        atomic_fetch_add(purge ? &s->purges : &s->deletes, 1);
        if (object != NULL && !purge) {
            free(object->body);
            object->body = NULL;
        }
        http_answer(s, fd, object != NULL ? 200 : 404, NULL, false);
    }
    return way == HTTP_GOOD || way == HTTP_CHUNKED;
}

static inline void http_serve(http_server *s, int fd)
{
    s->size = 0;
    for (bool open = true; open && !atomic_load(&s->stop);) {
        s->buffer[s->size] = '\0';
        char *end = strstr(s->buffer, "\r\n\r\n");
        char value[256];
        if (end != NULL) {
            *end = '\0';
            size_t body = http_header(s->buffer, "Content-Length", value) != NULL
                              ? strtoul(value, NULL, 10)
                              : 0;
            size_t head = (size_t)(end + 4 - s->buffer);
            if (s->size >= head + body) {
                (void)snprintf(end, 3, "\r\n"); /* so that every line ends */
                (void)pthread_mutex_lock(&s->lock);
                open = http_serve_one(s, fd, s->buffer, end + 4, body);
                (void)pthread_mutex_unlock(&s->lock);
                memmove(s->buffer, s->buffer + head + body, s->size - head - body);
                s->size -= head + body;
                continue;
            }
            *end = '\r';
        }
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 20) > 0) {
            ssize_t got = recv(fd, s->buffer + s->size, HTTP_BUFFER - 1 - s->size, 0);
            open = got > 0;
            s->size += got > 0 ? (size_t)got : 0;
        }
        /* Another connection waits: this one is idle and goes. */
        struct pollfd other = {.fd = s->listener, .events = POLLIN};
        open = open && (s->size > 0 || poll(&other, 1, 0) <= 0);
    }
    (void)close(fd);
}

static inline void *http_run_server(void *ctx)
{
    http_server *s = ctx;
    while (!atomic_load(&s->stop)) {
        struct pollfd wait = {.fd = s->listener, .events = POLLIN};
        if (poll(&wait, 1, 20) > 0) {
            int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
            int on = 1;
            if (fd >= 0) {
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                http_serve(s, fd);
            }
        }
    }
    return NULL;
}

static inline void http_server_start(http_server *s)
{
    memset(s, 0, sizeof *s);
    s->buffer = malloc(HTTP_BUFFER);
    assert_int_equal(pthread_mutex_init(&s->lock, NULL), 0);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, http_run_server, s), 0);
}

static inline void http_server_stop(http_server *s)
{
    atomic_store(&s->stop, true);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->listener);
    for (int i = 0; i < HTTP_OBJECTS; i++) {
        free(s->objects[i].body);
    }
    free(s->buffer);
    (void)pthread_mutex_destroy(&s->lock);
}

#endif /* BRISK_TESTS_HTTP_SERVER_H */
