/*
 * registry_conn.c -- sockets, TLS and time of bench_registry: one thread, one epoll.
 *
 * TLS works on the socket itself, without blocking; a certificate for localhost and 127.0.0.1 is made at
 * start and written to a file, so that clients can be told to trust it.
 */
#include "registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, READ_BYTES = 65536, TLS_RECORD = 16384 };

static volatile sig_atomic_t stopped;
static reg_conn *dead_list;

uint64_t reg_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* --- buffers -------------------------------------------------------------------------------- */

void reg_buffer_add(reg_buffer *buffer, const void *data, size_t size)
{
    if (buffer->size + size > buffer->capacity && buffer->taken > 0) {
        memmove(buffer->data, buffer->data + buffer->taken, buffer->size - buffer->taken);
        buffer->size -= buffer->taken;
        buffer->taken = 0;
    }
    if (buffer->size + size > buffer->capacity) {
        buffer->capacity = (buffer->size + size) * 2;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (buffer->data == NULL) {
            exit(1);
        }
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size += size;
}

void reg_buffer_take(reg_buffer *buffer, size_t size)
{
    buffer->taken += size;
    if (buffer->taken == buffer->size) {
        buffer->taken = 0;
        buffer->size = 0;
    }
}

/* --- delays --------------------------------------------------------------------------------- */

static void set_timer(reg_server *server)
{
    uint64_t due = server->waiting_first != NULL ? server->waiting_first->due_ns : 0;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)}};
    (void)timerfd_settime(server->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void reg_wait_start(reg_server *server, reg_wait *wait, uint64_t delay_ns)
{
    if (delay_ns == 0) {
        wait->ready(wait->ctx);
        return;
    }
    wait->due_ns = reg_now_ns() + delay_ns;
    wait->queued = true;
    reg_wait *before = server->waiting_last; /* most have the same delay: the end is the place */
    while (before != NULL && before->due_ns > wait->due_ns) {
        before = before->prev;
    }
    wait->prev = before;
    wait->next = before != NULL ? before->next : server->waiting_first;
    *(before != NULL ? &before->next : &server->waiting_first) = wait;
    *(wait->next != NULL ? &wait->next->prev : &server->waiting_last) = wait;
    if (before == NULL) {
        set_timer(server);
    }
}

void reg_wait_stop(reg_server *server, reg_wait *wait)
{
    if (wait->queued) {
        wait->queued = false;
        *(wait->prev != NULL ? &wait->prev->next : &server->waiting_first) = wait->next;
        *(wait->next != NULL ? &wait->next->prev : &server->waiting_last) = wait->prev;
    }
}

static void run_waiting(reg_server *server)
{
    uint64_t ignored;
    (void)!read(server->timer, &ignored, sizeof ignored);
    uint64_t now = reg_now_ns();
    while (server->waiting_first != NULL && server->waiting_first->due_ns <= now) {
        reg_wait *wait = server->waiting_first;
        reg_wait_stop(server, wait);
        wait->ready(wait->ctx);
    }
    set_timer(server);
}

/* --- connections ---------------------------------------------------------------------------- */

void reg_conn_kill(reg_conn *conn)
{
    if (!conn->dead) {
        conn->dead = true;
        conn->next_dead = dead_list;
        dead_list = conn;
    }
}

static void free_conn(reg_conn *conn)
{
    if (conn->h1 != NULL) {
        reg_h1_close(conn);
    }
    if (conn->h2 != NULL) {
        reg_h2_close(conn);
    }
    SSL_free(conn->tls);
    (void)close(conn->fd);
    free(conn->in.data);
    free(conn->out.data);
    free(conn);
}

static void watch(reg_conn *conn, bool write)
{
    if (write != conn->want_write) {
        struct epoll_event event = {.events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0),
                                    .data = {.ptr = conn}};
        conn->want_write = write;
        (void)epoll_ctl(conn->server->epoll, EPOLL_CTL_MOD, conn->fd, &event);
    }
}

/* Bytes written; 0: not now; -1: never. */
static ssize_t write_some(reg_conn *conn, const unsigned char *data, size_t size)
{
    if (conn->tls == NULL) {
        ssize_t done = send(conn->fd, data, size, MSG_NOSIGNAL);
        return done >= 0 ? done : errno == EAGAIN ? 0 : -1;
    }
    ERR_clear_error();
    int done = SSL_write(conn->tls, data, (int)(size < TLS_RECORD ? size : TLS_RECORD));
    if (done > 0) {
        return done;
    }
    int error = SSL_get_error(conn->tls, done);
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
}

static ssize_t read_some(reg_conn *conn, unsigned char *data, size_t size)
{
    if (conn->tls == NULL) {
        ssize_t done = recv(conn->fd, data, size, 0);
        return done > 0 ? done : done < 0 && errno == EAGAIN ? 0 : -1;
    }
    ERR_clear_error();
    int done = SSL_read(conn->tls, data, (int)size);
    if (done > 0) {
        return done;
    }
    int error = SSL_get_error(conn->tls, done);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static void make_more(reg_conn *conn)
{
    if (conn->mode == REG_H1) {
        reg_h1_more(conn);
    } else if (conn->mode == REG_H2) {
        reg_h2_more(conn);
    }
}

void reg_conn_flush(reg_conn *conn)
{
    bool blocked = false;
    while (!conn->dead && !blocked && conn->out.size > conn->out.taken) {
        ssize_t done =
            write_some(conn, conn->out.data + conn->out.taken, conn->out.size - conn->out.taken);
        if (done < 0) {
            reg_conn_kill(conn);
        } else if (done == 0) {
            blocked = true;
        } else {
            conn->server->stats.bytes_out += (uint64_t)done;
            reg_buffer_take(&conn->out, (size_t)done);
            if (conn->out.size - conn->out.taken < REG_OUT_WANTED / 2 && !conn->ending) {
                make_more(conn);
            }
        }
    }
    if (!conn->dead) {
        watch(conn, blocked);
        if (conn->ending && conn->out.size == conn->out.taken) {
            (void)shutdown(conn->fd, SHUT_WR);
            reg_conn_kill(conn);
        }
    }
}

static bool open_mode(reg_conn *conn)
{
    const unsigned char *protocol = NULL;
    unsigned int size = 0;
    SSL_get0_alpn_selected(conn->tls, &protocol, &size);
    bool h2 = size == 2 && memcmp(protocol, "h2", 2) == 0;
    return h2 ? reg_h2_open(conn) : reg_h1_open(conn);
}

/* False: wait, or the end. */
static bool find_mode(reg_conn *conn)
{
    if (conn->mode == REG_SNIFF) {
        char first[24];
        ssize_t size = recv(conn->fd, first, sizeof first, MSG_PEEK);
        if (size <= 0) {
            if (size == 0 || errno != EAGAIN) {
                reg_conn_kill(conn);
            }
            return false;
        }
        if (first[0] != 0x16) {
            bool h2 = size >= 3 && memcmp(first, "PRI", 3) == 0;
            return h2 ? reg_h2_open(conn) : reg_h1_open(conn);
        }
        conn->tls = SSL_new(conn->server->tls);
        if (conn->tls == NULL || SSL_set_fd(conn->tls, conn->fd) != 1) {
            reg_conn_kill(conn);
            return false;
        }
        conn->mode = REG_HANDSHAKE;
    }
    ERR_clear_error();
    int done = SSL_accept(conn->tls);
    if (done == 1) {
        return open_mode(conn);
    }
    int error = SSL_get_error(conn->tls, done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        reg_conn_kill(conn);
    }
    return false;
}

static void on_readable(reg_conn *conn)
{
    static unsigned char chunk[READ_BYTES];
    if (conn->mode <= REG_HANDSHAKE && !find_mode(conn)) {
        return;
    }
    while (!conn->dead) {
        ssize_t size = read_some(conn, chunk, sizeof chunk);
        if (size < 0) {
            reg_conn_kill(conn);
        }
        if (size <= 0) {
            break;
        }
        reg_buffer_add(&conn->in, chunk, (size_t)size);
        if (conn->mode == REG_H1) {
            reg_h1_read(conn);
        } else {
            reg_h2_read(conn);
        }
    }
    if (!conn->dead) {
        reg_conn_flush(conn);
        if (!conn->dead && conn->mode == REG_H1) { /* what was sent behind a request */
            reg_h1_read(conn);
        }
    }
}

static void on_connection(reg_server *server)
{
    for (;;) {
        int on = 1;
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        reg_conn *conn = reg_alloc(sizeof *conn);
        *conn = (reg_conn){.server = server, .fd = fd};
        server->stats.connections++;
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = conn}};
        (void)epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

/* --- certificate ---------------------------------------------------------------------------- */

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    bool good =
        X509_set_version(certificate, 2) == 1 &&
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)time(NULL)) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * 86400) != NULL &&
        X509_set_pubkey(certificate, key) == 1 &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)"bench_registry", -1, -1, 0) == 1 &&
        X509_set_issuer_name(certificate, name) == 1 &&
        add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
        add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
        X509_sign(certificate, key, EVP_sha256()) > 0;
    if (!good) {
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

static int choose_protocol(SSL *tls, const unsigned char **ret, unsigned char *ret_size,
                           const unsigned char *offered, unsigned int size, void *ctx)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    const reg_server *server = ctx;
    const unsigned char *ours = server->http1 ? both + 3 : both;
    unsigned int ours_size = server->http1 ? 9 : 12;
    (void)tls;
    unsigned char *chosen = NULL;
    int result = SSL_select_next_proto(&chosen, ret_size, ours, ours_size, offered, size);
    *ret = chosen;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static bool open_tls(reg_server *server, const char *ca_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key != NULL ? make_certificate(key) : NULL;
    server->tls = SSL_CTX_new(TLS_server_method());
    bool good = certificate != NULL && server->tls != NULL &&
                SSL_CTX_use_certificate(server->tls, certificate) == 1 &&
                SSL_CTX_use_PrivateKey(server->tls, key) == 1;
    if (good && ca_file != NULL) {
        FILE *file = fopen(ca_file, "we");
        good = file != NULL && PEM_write_X509(file, certificate) == 1;
        good = file != NULL && fclose(file) == 0 && good;
    }
    if (good) {
        SSL_CTX_set_alpn_select_cb(server->tls, choose_protocol, server);
        (void)SSL_CTX_set_mode(server->tls,
                               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    return good;
}

/* --- the server ----------------------------------------------------------------------------- */

bool reg_server_open(reg_server *server, const char *ca_file, uint16_t port)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    (void)setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!open_tls(server, ca_file) ||
        bind(server->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(server->listener, 1024) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) != 0) {
        return false;
    }
    server->port = ntohs(address.sin_port);
    struct epoll_event listen_event = {.events = EPOLLIN, .data = {.ptr = &server->listener}};
    struct epoll_event timer_event = {.events = EPOLLIN, .data = {.ptr = &server->timer}};
    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &listen_event) == 0 &&
           epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->timer, &timer_event) == 0;
}

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static void on_event(reg_server *server, const struct epoll_event *event)
{
    if (event->data.ptr == &server->listener) {
        on_connection(server);
    } else if (event->data.ptr == &server->timer) {
        run_waiting(server);
    } else if (event->data.ptr == &stopped) {
        char ignored[256];
        stopped = read(STDIN_FILENO, ignored, sizeof ignored) <= 0;
    } else {
        reg_conn *conn = event->data.ptr;
        if (!conn->dead && (event->events & EPOLLOUT) != 0) {
            reg_conn_flush(conn);
        }
        if (!conn->dead && (event->events & ~(uint32_t)EPOLLOUT) != 0) {
            on_readable(conn);
        }
    }
}

int reg_server_run(reg_server *server, bool until_stdin_closes)
{
    struct sigaction action = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    if (until_stdin_closes) {
        struct epoll_event event = {.events = EPOLLIN,
                                    .data = {.ptr = (void *)(uintptr_t)&stopped}};
        (void)epoll_ctl(server->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    }
    while (!stopped) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(server->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            on_event(server, &events[i]);
        }
        while (dead_list != NULL) {
            reg_conn *conn = dead_list;
            dead_list = conn->next_dead;
            free_conn(conn);
        }
    }
    return 0;
}
