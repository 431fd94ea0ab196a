/*
 * protocol_resp.c -- connections that speak the Redis protocol.
 *
 * Commands are worked on in batches of what has arrived:
 *
 *     read requests ─► find keys, hash, prefetch ─► lock ─► run one by one ─► unlock ─► send
 *
 * A batch ends when nothing whole is left, after BATCH_MAX commands, when a command makes its client
 * wait, or when its commands took SLICE_NS: then it is the others' turn.  What was read too far is
 * read again later; an inline command, whose quotes are resolved in place, cannot be read a second
 * time and is a batch of its own.
 */
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "daemon/client.h"
#include "daemon/command.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

enum { OUT_ENOUGH = 262144, SLICE_NS = 5000000, ARGS_FREE = 16384 };

typedef struct batch {
    uint32_t count;
    uint32_t key_count;
    bool bad;    /* what follows is no request */
    size_t size; /* bytes of all */
    struct {
        const command *command; /* NULL: there is none of that name */
        size_t first;           /* in requests.args */
        uint32_t argc;
        size_t end; /* bytes up to and with it */
    } items[BATCH_MAX];
    brisk_key keys[BATCH_MAX];
} batch;

static void read_batch(client *c, unsigned char *data, size_t size, batch *b)
{
    resp_requests *requests = &c->requests;
    uint32_t max = c->server->limits.batch_max;
    b->count = 0;
    b->bad = false;
    b->size = 0;
    while (b->count < max) {
        bool is_inline = size > b->size && data[b->size] != '*';
        if (is_inline && b->count > 0) {
            break;
        }
        resp_status status = resp_requests_read(requests, data + b->size, size - b->size);
        if (status != RESP_DONE) {
            b->bad = status == RESP_BAD;
            break;
        }
        b->size += requests->used;
        if (requests->count > 0) {
            b->items[b->count].first = requests->first;
            b->items[b->count].argc = (uint32_t)requests->count;
            b->items[b->count].end = b->size;
            b->count++;
        }
        if (is_inline && b->count > 0) {
            break;
        }
    }
}

/* Find the commands, hash the first key of each and ask for what its lookup will need. */
static void prefetch_batch(client *c, batch *b)
{
    server *s = c->server;
    b->key_count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const resp_bytes *argv = c->requests.args.items + b->items[i].first;
        const command *cmd = command_find(s->commands, argv[0]);
        b->items[i].command = cmd;
        if (cmd != NULL && cmd->key_first == 1 && b->items[i].argc > 1 && argv[1].size > 0 &&
            argv[1].data[0] != '\0' && keyspace_key_fits(argv[1])) {
            b->keys[b->key_count++] = brisk_key_of(argv[1].data, argv[1].size);
        }
    }
    if (b->key_count > 1) {
        brisk_memory_prefetch(s->keys.tier, b->keys, b->key_count);
    }
}

/* How many commands were run: at least one, fewer than all when the client has to wait or goes. */
static uint32_t run_batch(client *c, const batch *b)
{
    server *s = c->server;
    uint32_t done = 0;
    keyspace_hint(&s->keys, b->keys, b->key_count);
    BRISK_ASSERT(c->block == CLIENT_READY && (c->flags & CLIENT_CLOSE) == 0);
    while (done == 0 ||
           (done < b->count && c->block == CLIENT_READY && (c->flags & CLIENT_CLOSE) == 0 &&
            c->worker->out.size < OUT_ENOUGH && c->worker->busy_ns < SLICE_NS)) {
        const resp_bytes *argv = c->requests.args.items + b->items[done].first;
        c->argv_bytes = 0;
        c->worker->out.protocol = c->protocol;
        command_dispatch(c, b->items[done].command, argv, b->items[done].argc);
        done++;
    }
    keyspace_hint(&s->keys, NULL, 0);
    tracking_broadcast(s);
    return done;
}

static void refuse(client *c)
{
    char text[96];
    (void)snprintf(text, sizeof text, "ERR Protocol error: %s", c->requests.error);
    resp_put_error(&c->worker->out, text);
}

/* What is to become of the client, as seen under the lock. */
typedef enum verdict { GO_ON, WAIT, WAIT_LONG, END } verdict;

static verdict judge(const client *c)
{
    if ((c->flags & CLIENT_CLOSE) != 0) {
        return END;
    }
    if (c->block == CLIENT_READY) {
        return GO_ON;
    }
    return c->block == CLIENT_FETCHING ? WAIT : WAIT_LONG; /* for another, who may never come */
}

/* The command that waited, when it may go on. */
static verdict run_held(client *c)
{
    server_lock(c->server);
    if (c->block == CLIENT_READY && c->held.command != NULL) {
        c->worker->out.protocol = c->protocol;
        command_run_held(c);
        tracking_broadcast(c->server);
    }
    verdict v = judge(c);
    server_unlock(c->server);
    return v;
}

static protocol_next next_of(client *c, verdict v)
{
    c->waits = v == WAIT || v == WAIT_LONG;
    return v == WAIT ? PROTOCOL_WAIT : v == WAIT_LONG ? PROTOCOL_WAIT_LONG : PROTOCOL_CLOSE;
}

/* The table of a request's arguments may be larger than its bytes: it counts with them. */
static bool count_args(client *c)
{
    server *s = c->server;
    size_t bytes = c->requests.args.capacity * sizeof(resp_bytes);
    bytes = bytes > ARGS_FREE ? bytes : 0;
    if (bytes == c->args_bytes) {
        return true;
    }
    server_let_go(s, c->args_bytes);
    uint64_t before = atomic_fetch_add_explicit(&s->input_bytes, bytes, memory_order_relaxed);
    c->args_bytes = bytes;
    return before + bytes <= s->limits.input_total;
}

static protocol_next take(conn *connection, unsigned char *data, size_t size, size_t *used)
{
    client *c = connection->session;
    batch b;
    *used = 0;
    c->worker->busy_ns = 0;
    verdict v = c->waits ? run_held(c) : GO_ON;
    if (v != GO_ON) {
        return next_of(c, v);
    }
    c->waits = false;
    for (;;) {
        read_batch(c, data + *used, size - *used, &b);
        if (b.count > 0) {
            prefetch_batch(c, &b);
            server_lock(c->server);
            c->in_size = size - *used;
            c->in_free = c->in_size < WORKER_IN_BYTES ? WORKER_IN_BYTES - c->in_size : 0;
            c->active_ns = c->server->now_ns;
            uint32_t done = run_batch(c, &b);
            v = judge(c);
            server_unlock(c->server);
            bool all = done == b.count;
            *used += all ? b.size : b.items[done - 1].end;
            if (!all || v != GO_ON) {
                resp_requests_restart(&c->requests);
            } else {
                resp_requests_clear(&c->requests);
            }
            if (v != GO_ON) {
                return next_of(c, v);
            }
            bool more = !all || b.count == c->server->limits.batch_max || *used < size;
            if (more && !conn_send(connection)) {
                return PROTOCOL_WAIT;
            }
            if (*used < size && c->worker->busy_ns >= SLICE_NS) {
                return PROTOCOL_AGAIN;
            }
            if (!all) {
                continue;
            }
        } else {
            *used += b.size; /* empty requests */
        }
        if (b.bad) {
            c->worker->out.protocol = c->protocol;
            refuse(c);
            return PROTOCOL_CLOSE;
        }
        if (b.count == 0) {
            return count_args(c) ? PROTOCOL_MORE : PROTOCOL_CLOSE;
        }
    }
}

static bool is_unix(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
           address.ss_family == AF_UNIX;
}

static bool is_stranger(const client *c)
{
    char text[128];
    const server *s = c->server;
    if (s->unprotected || s->password[0] != '\0' || (c->flags & CLIENT_UNIX) != 0) {
        return false;
    }
    client_peer(c, text, sizeof text);
    return strncmp(text, "127.", 4) != 0 && strncmp(text, "[::1]", 5) != 0 &&
           strncmp(text, "[::ffff:127.", 12) != 0;
}

static bool open_client(conn *connection)
{
    server *s = connection->worker->server;
    server_lock(s);
    client *c = NULL;
    const char *refused = NULL;
    if (s->client_count >= s->limits.clients_max) {
        refused = "ERR max number of clients reached";
    } else {
        c = client_create(connection);
        refused = c == NULL ? "ERR out of memory" : NULL;
    }
    if (c != NULL) {
        c->flags |= is_unix(connection->fd) ? (uint32_t)CLIENT_UNIX : 0U;
        if (is_stranger(c)) {
            refused = "DENIED brisk is in protected mode: it has no password and answers only "
                      "this machine. Give it one with --password-file, or set "
                      "serve.protected=false.";
            client_destroy(c);
            c = NULL;
        }
    }
    s->stats.rejected += refused != NULL ? 1 : 0;
    server_unlock(s);
    connection->session = c;
    if (refused != NULL) {
        resp_put_error(&connection->worker->out, refused);
    }
    return c != NULL;
}

static bool is_idle(const conn *connection)
{
    client *c = connection->session;
    if (c == NULL) {
        return true;
    }
    server_lock(c->server);
    bool idle = c->block == CLIENT_READY && client_subscriptions(c) == 0 &&
                (c->flags & CLIENT_MONITOR) == 0;
    server_unlock(c->server);
    return idle;
}

static void close_client(conn *connection)
{
    client *c = connection->session;
    if (c != NULL) {
        server *s = c->server;
        server_lock(s);
        client_destroy(c);
        server_unlock(s);
    }
    connection->session = NULL;
}

/* Who subscribes or waits for others' commands does so elsewhere from now on. */
static bool drain(conn *connection)
{
    return connection->in_size == 0 || connection->waiting;
}

const protocol protocol_resp = {
    .name = "resp",
    .open = open_client,
    .take = take,
    .is_idle = is_idle,
    .close = close_client,
    .drain = drain,
};
