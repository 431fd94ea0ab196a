/*
 * client.c -- a client's life, its mail, what CLIENT LIST shows of it.
 *
 * Invariant: a client is in server.clients and clients_by_id from create to destroy; it is on its
 * worker's mail list exactly while CLIENT_MAIL is set.
 */
#include "daemon/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "daemon/command.h"
#include "daemon/disk_walk.h"
#include "daemon/loads.h"
#include "daemon/multi.h"
#include "daemon/pubsub.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

enum { STRANGER_ARGS_MAX = 10, STRANGER_BULK_MAX = 16384, ADDRESS_MAX = 128 };

/* --- life --------------------------------------------------------------------------------- */

static void set_limits(client *c)
{
    const server_limits *limits = &c->server->limits;
    bool known = (c->flags & CLIENT_AUTHENTICATED) != 0;
    c->requests.limits = (resp_request_limits){
        .args_max = known ? limits->args_max : STRANGER_ARGS_MAX,
        .bulk_max = known ? limits->bulk_max : STRANGER_BULK_MAX,
    };
}

void client_authenticate(client *c)
{
    c->flags |= CLIENT_AUTHENTICATED;
    set_limits(c);
}

static void init_sets(client *c)
{
    const brisk_alloc *alloc = c->server->alloc;
    c->queue.alloc = alloc;
    c->watches.alloc = alloc;
    dict_init(&c->channels, alloc);
    dict_init(&c->patterns, alloc);
    dict_init(&c->shard_channels, alloc);
    dict_init(&c->prefixes, alloc);
}

client *client_create(conn *connection)
{
    server *s = connection->worker->server;
    client *c = s->alloc->acquire(s->alloc->ctx, sizeof *c, _Alignof(client));
    if (c == NULL) {
        return NULL;
    }
    *c = (client){.conn = connection,
                  .server = s,
                  .worker = connection->worker,
                  .id = s->next_client_id,
                  .protocol = 2,
                  .created_ns = s->now_ns,
                  .active_ns = s->now_ns};
    dict_entry *entry = dict_add(&s->clients_by_id, &c->id, sizeof c->id);
    if (entry == NULL) {
        s->alloc->release(s->alloc->ctx, c, sizeof *c, _Alignof(client));
        return NULL;
    }
    entry->value = c;
    s->next_client_id++;
    resp_requests_init(&c->requests, NULL, s->alloc);
    resp_writer_init(&c->inbox, s->alloc, s->limits.output_max);
    init_sets(c);
    if (s->password[0] == '\0') {
        c->flags |= CLIENT_AUTHENTICATED;
    }
    set_limits(c);
    c->previous = s->clients_last;
    if (s->clients_last != NULL) {
        s->clients_last->next = c;
    } else {
        s->clients = c;
    }
    s->clients_last = c;
    s->client_count++;
    s->stats.connections++;
    return c;
}

static void drop_text(client *c, char **text)
{
    if (*text != NULL) {
        size_t size = strlen(*text) + 1;
        c->server->alloc->release(c->server->alloc->ctx, *text, size, 1);
        server_let_go(c->server, size);
    }
    *text = NULL;
}

bool client_set_text(client *c, char **text, resp_bytes bytes)
{
    char *copy = NULL;
    if (bytes.size > 0) {
        if (!server_keep(c->server, bytes.size + 1)) {
            return false;
        }
        copy = c->server->alloc->acquire(c->server->alloc->ctx, bytes.size + 1, 1);
        if (copy == NULL) {
            server_let_go(c->server, bytes.size + 1);
            return false;
        }
        memcpy(copy, bytes.data, bytes.size);
        copy[bytes.size] = '\0';
    }
    drop_text(c, text);
    *text = copy;
    return true;
}

static void unlink_mail(client *c)
{
    client **at = &c->worker->mail;
    while (*at != NULL && *at != c) {
        at = &(*at)->mail_next;
    }
    if (*at == c) {
        *at = c->mail_next;
    }
    c->flags &= ~(uint32_t)CLIENT_MAIL;
}

static void leave_wait(client *c)
{
    if (c->block == CLIENT_READY) {
        return;
    }
    if (c->block == CLIENT_LOADING) {
        loads_forget(c);
    } else if (c->block == CLIENT_FETCHING) {
        disk_forget(c);
    }
    c->block = CLIENT_READY;
    c->server->blocked_count--;
}

void client_reset(client *c)
{
    server *s = c->server;
    client_discard(c);
    multi_unwatch(c);
    tracking_disable(c);
    pubsub_forget(c);
    if ((c->flags & CLIENT_MONITOR) != 0) {
        s->monitor_count--;
    }
    drop_text(c, &c->name);
    c->flags &=
        (uint32_t)(CLIENT_UNIX | CLIENT_MAIL | CLIENT_CLOSE | CLIENT_KILLED | CLIENT_AUTHENTICATED);
    if (s->password[0] != '\0') {
        c->flags &= ~(uint32_t)CLIENT_AUTHENTICATED;
    }
    c->protocol = 2;
    set_limits(c);
}

void client_destroy(client *c)
{
    server *s = c->server;
    leave_wait(c);
    disk_walk_end(c);
    client_reset(c);
    loads_release(c);
    if ((c->flags & CLIENT_MAIL) != 0) {
        unlink_mail(c);
    }
    client_held_free(c, &c->held);
    BRISK_VEC_DEINIT(&c->queue);
    BRISK_VEC_DEINIT(&c->watches);
    dict_deinit(&c->channels);
    dict_deinit(&c->patterns);
    dict_deinit(&c->shard_channels);
    dict_deinit(&c->prefixes);
    drop_text(c, &c->library_name);
    drop_text(c, &c->library_version);
    resp_requests_deinit(&c->requests);
    server_let_go(s, c->args_bytes);
    resp_writer_deinit(&c->inbox);
    if (c->previous != NULL) {
        c->previous->next = c->next;
    } else {
        s->clients = c->next;
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    } else {
        s->clients_last = c->previous;
    }
    dict_entry *entry = dict_find(&s->clients_by_id, &c->id, sizeof c->id);
    BRISK_ASSERT(entry != NULL);
    dict_remove(&s->clients_by_id, entry);
    s->client_count--;
    s->alloc->release(s->alloc->ctx, c, sizeof *c, _Alignof(client));
}

client *client_find(server *s, uint64_t id)
{
    dict_entry *entry = dict_find(&s->clients_by_id, &id, sizeof id);
    return entry != NULL ? entry->value : NULL;
}

/* --- mail --------------------------------------------------------------------------------- */

void client_pushed(client *c)
{
    /* Its own command's pushes go behind the reply; nobody needs to be woken. */
    if (c != c->server->current) {
        server_mail(c->worker, c);
    }
}

resp_writer *client_push_begin(client *c)
{
    c->inbox.protocol = c->protocol;
    return &c->inbox;
}

void client_push(client *c, const void *data, size_t size)
{
    resp_put_raw(&c->inbox, data, size);
    client_pushed(c);
}

void client_end(client *c, client *self)
{
    if (c == self) {
        c->flags |= CLIENT_CLOSE;
        return;
    }
    c->flags |= CLIENT_KILLED;
    server_mail(c->worker, c);
}

void client_unblock(client *c)
{
    BRISK_ASSERT(c->block != CLIENT_READY);
    c->block = CLIENT_READY;
    c->server->blocked_count--;
    server_mail(c->worker, c);
}

/* --- commands for later ------------------------------------------------------------------- */

bool client_hold(client *c, client_held *held, const command *cmd, const resp_bytes *argv,
                 uint32_t argc)
{
    size_t bytes = argc * sizeof(resp_bytes);
    for (uint32_t i = 0; i < argc; i++) {
        bytes += argv[i].size;
    }
    if (!server_keep(c->server, bytes)) {
        return false;
    }
    resp_bytes *copy =
        c->server->alloc->acquire(c->server->alloc->ctx, bytes, _Alignof(resp_bytes));
    if (copy == NULL) {
        server_let_go(c->server, bytes);
        return false;
    }
    unsigned char *at = (unsigned char *)(copy + argc);
    for (uint32_t i = 0; i < argc; i++) {
        if (argv[i].size > 0) {
            memcpy(at, argv[i].data, argv[i].size);
        }
        copy[i] = (resp_bytes){.data = at, .size = argv[i].size};
        at += argv[i].size;
    }
    *held = (client_held){.command = cmd, .argc = argc, .bytes = bytes, .argv = copy};
    return true;
}

void client_held_free(client *c, client_held *held)
{
    if (held->argv != NULL) {
        c->server->alloc->release(c->server->alloc->ctx, held->argv, held->bytes,
                                  _Alignof(resp_bytes));
        server_let_go(c->server, held->bytes);
    }
    *held = (client_held){0};
}

void client_discard(client *c)
{
    for (size_t i = 0; i < c->queue.count; i++) {
        client_held_free(c, &c->queue.items[i]);
    }
    BRISK_VEC_DEINIT(&c->queue);
    c->queue_bytes = 0;
    c->flags &= ~(uint32_t)(CLIENT_MULTI | CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS);
}

uint32_t client_subscriptions(const client *c)
{
    return (uint32_t)(c->channels.count + c->patterns.count + c->shard_channels.count);
}

/* --- showing ------------------------------------------------------------------------------ */

static void format_address(const client *c, const struct sockaddr_storage *address, char *text,
                           size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void)snprintf(text, size, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        (void)snprintf(text, size, "%s:0", listen_unix_path(c->server));
    }
}

void client_peer(const client *c, char *text, size_t size)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    (void)getpeername(c->conn->fd, (struct sockaddr *)&address, &length);
    format_address(c, &address, text, size);
}

void client_local(const client *c, char *text, size_t size)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    (void)getsockname(c->conn->fd, (struct sockaddr *)&address, &length);
    format_address(c, &address, text, size);
}

static void format_flags(const client *c, char text[24])
{
    static const struct {
        uint32_t flag;
        char letter;
    } letters[] = {
        {CLIENT_MONITOR, 'O'},         {CLIENT_MULTI, 'x'},          {CLIENT_DIRTY_CAS, 'd'},
        {CLIENT_CLOSE, 'c'},           {CLIENT_UNIX, 'U'},           {CLIENT_TRACKING, 't'},
        {CLIENT_TRACKING_BROKEN, 'R'}, {CLIENT_TRACKING_BCAST, 'B'}, {CLIENT_NO_EVICT, 'e'},
        {CLIENT_NO_TOUCH, 'T'},
    };
    size_t used = 0;
    if (client_subscriptions(c) > 0) {
        text[used++] = 'P';
    }
    if (c->block != CLIENT_READY) {
        text[used++] = 'b';
    }
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        if ((c->flags & letters[i].flag) != 0) {
            text[used++] = letters[i].letter;
        }
    }
    if (used == 0) {
        text[used++] = 'N';
    }
    text[used] = '\0';
}

void client_describe(const client *c, resp_writer *out)
{
    char peer[ADDRESS_MAX];
    char local[ADDRESS_MAX];
    char flags[24];
    char name[64] = "NULL";
    char line[1200];
    client_peer(c, peer, sizeof peer);
    client_local(c, local, sizeof local);
    format_flags(c, flags);
    if (c->last_command != NULL) {
        command_full_name(c->last_command, name, sizeof name);
    }
    uint64_t now = c->server->now_ns;
    int n = snprintf(
        line, sizeof line,
        "id=%llu addr=%s laddr=%s fd=%d name=%.200s age=%llu idle=%llu flags=%s db=%u sub=%zu "
        "psub=%zu ssub=%zu multi=%d qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=%zu rbs=%d "
        "rbp=%d obl=0 oll=0 omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=%lld resp=%u "
        "lib-name=%.100s lib-ver=%.100s",
        (unsigned long long)c->id, peer, local, c->conn->fd, c->name != NULL ? c->name : "",
        (unsigned long long)((now - c->created_ns) / 1000000000),
        (unsigned long long)((now - c->active_ns) / 1000000000), flags, c->db, c->channels.count,
        c->patterns.count, c->shard_channels.count,
        (c->flags & CLIENT_MULTI) != 0 ? (int)c->queue.count : -1, c->in_size, c->in_free,
        c->argv_bytes, c->queue_bytes, 1024, 0, c->inbox.capacity,
        sizeof *c + sizeof(conn) + c->in_size + c->inbox.capacity + c->queue_bytes, name,
        (c->flags & CLIENT_TRACKING) != 0 ? (long long)c->redirect : -1LL, c->protocol,
        c->library_name != NULL ? c->library_name : "",
        c->library_version != NULL ? c->library_version : "");
    if (n > 0) {
        size_t size = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
        resp_put_raw(out, line, size);
        resp_put_raw(out, "\n", 1);
    }
}
