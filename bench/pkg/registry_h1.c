/*
 * registry_h1.c -- HTTP/1.1 for bench_registry: one request after the other, kept alive.
 *
 * For clients that are ours or tame: heads up to REG_HEAD_MAX, bodies are read and forgotten.
 */
#include "registry.h"

#include <strings.h>

typedef struct reg_h1 {
    reg_conn *conn;
    reg_request request;
    reg_reply reply;
    reg_wait wait;
    bool busy; /* a reply is under way, or waits for its time */
    bool head_only;
    bool close; /* after this reply */
    size_t sent;
    size_t body_left; /* of a request, to be skipped */
} reg_h1;

/* --- reading -------------------------------------------------------------------------------- */

static void copy_value(const char *name, const char *line, size_t size, char *to, size_t room)
{
    size_t length = strlen(name);
    if (size > length && strncasecmp(line, name, length) == 0 && line[length] == ':') {
        const char *value = line + length + 1;
        size_t left = size - length - 1;
        while (left > 0 && *value == ' ') {
            value++;
            left--;
        }
        (void)snprintf(to, room, "%.*s", (int)left, value);
    }
}

static void read_line(reg_h1 *h1, const char *line, size_t size)
{
    reg_request *r = &h1->request;
    char length[32] = "";
    char connection[64] = "";
    copy_value("accept", line, size, r->accept, sizeof r->accept);
    copy_value("accept-encoding", line, size, r->accept_encoding, sizeof r->accept_encoding);
    copy_value("if-none-match", line, size, r->if_none_match, sizeof r->if_none_match);
    copy_value("if-modified-since", line, size, r->if_modified_since, sizeof r->if_modified_since);
    copy_value("authorization", line, size, r->authorization, sizeof r->authorization);
    copy_value("content-length", line, size, length, sizeof length);
    copy_value("connection", line, size, connection, sizeof connection);
    if (length[0] != '\0') {
        r->body_size = strtoull(length, NULL, 10);
    }
    h1->close = h1->close || strcasecmp(connection, "close") == 0;
}

static void read_head(reg_h1 *h1, char *head, size_t size)
{
    reg_request *r = &h1->request;
    free(r->lines);
    memset(r, 0, sizeof *r);
    r->lines = reg_alloc(size);
    char *line = head;
    for (bool first = true; line < head + size; first = false) {
        char *end = memchr(line, '\n', (size_t)(head + size - line));
        size_t length = (size_t)((end != NULL ? end : head + size) - line);
        size_t next = length + 1;
        length -= length > 0 && line[length - 1] == '\r';
        if (first) {
            char copy[REG_PATH_MAX + 32];
            (void)snprintf(copy, sizeof copy, "%.*s", (int)length, line);
            char *space = strchr(copy, ' ');
            if (space != NULL) {
                *space = '\0';
                (void)snprintf(r->method, sizeof r->method, "%.15s", copy);
                (void)snprintf(r->path, sizeof r->path, "%.*s", (int)strcspn(space + 1, " "),
                               space + 1);
            }
        } else if (length > 0) {
            read_line(h1, line, length);
            memcpy(r->lines + r->lines_size, line, length);
            r->lines[r->lines_size + length] = '\n';
            r->lines_size += length + 1;
        }
        line += next;
    }
}

/* --- writing -------------------------------------------------------------------------------- */

static void write_head(reg_h1 *h1)
{
    static const char interim[] = "HTTP/1.1 103 Early\r\netag: \"early\"\r\n\r\n";
    reg_reply *reply = &h1->reply;
    char text[8192];
    if (reply->way == REG_INTERIM) {
        reg_buffer_add(&h1->conn->out, interim, sizeof interim - 1);
    }
    int size = snprintf(text, sizeof text, "HTTP/1.1 %d Registry\r\n", reply->status);
    for (size_t i = 0; i < reply->header_count; i++) {
        size += snprintf(text + size, sizeof text - (size_t)size, "%s: %s\r\n",
                         reply->headers[i].name, reply->headers[i].value);
    }
    if (reply->way == REG_ENDLESS) {
        h1->close = true;
    } else if (reply->status != 304) {
        size_t length = reply->claimed != SIZE_MAX ? reply->claimed : reply->body.size;
        size +=
            snprintf(text + size, sizeof text - (size_t)size, "content-length: %zu\r\n", length);
    }
    size += snprintf(text + size, sizeof text - (size_t)size, "%s\r\n",
                     h1->close ? "connection: close\r\n" : "");
    reg_buffer_add(&h1->conn->out, text, (size_t)size);
}

static void write_some_headers(reg_conn *conn)
{
    static const char line[] = "x-endless: 0123456789012345678901234567890123456789\r\n";
    while (conn->out.size - conn->out.taken < REG_OUT_WANTED) {
        reg_buffer_add(&conn->out, line, sizeof line - 1);
    }
}

static void finish(reg_h1 *h1)
{
    reg_reply_free(&h1->reply);
    h1->busy = false;
    h1->conn->ending = h1->conn->ending || h1->close;
}

static void start(void *ctx)
{
    reg_h1 *h1 = ctx;
    reg_conn *conn = h1->conn;
    h1->sent = 0;
    h1->close = h1->close || h1->reply.way == REG_GOAWAY;
    switch (h1->reply.way) {
    case REG_STALL: return;
    case REG_REFUSE: reg_conn_kill(conn); return;
    case REG_GARBAGE:
        reg_buffer_add(&conn->out, "\x01\x02 rubbish\r\n\r\n", 14);
        h1->close = true;
        finish(h1);
        break;
    case REG_HEADERS: reg_buffer_add(&conn->out, "HTTP/1.1 200 Registry\r\n", 23); break;
    case REG_GOOD:
    case REG_STALL_BODY:
    case REG_CUT:
    case REG_ENDLESS:
    case REG_GOAWAY:
    case REG_INTERIM:
    default: write_head(h1); break;
    }
    reg_h1_more(conn);
    reg_conn_flush(conn);
}

void reg_h1_more(reg_conn *conn)
{
    reg_h1 *h1 = conn->h1;
    if (!h1->busy || h1->wait.queued) {
        return;
    }
    reg_reply *reply = &h1->reply;
    if (reply->way == REG_HEADERS) {
        write_some_headers(conn);
        return;
    }
    size_t whole = h1->head_only ? 0 : reply->body.size;
    size_t end = reply->way == REG_CUT || reply->way == REG_STALL_BODY ? whole / 2 : whole;
    size_t room = conn->out.size - conn->out.taken;
    room = room < REG_OUT_WANTED ? REG_OUT_WANTED - room : 0;
    size_t part = end - h1->sent < room ? end - h1->sent : room;
    reg_buffer_add(&conn->out, reply->body.data + h1->sent, part);
    h1->sent += part;
    if (h1->sent < end) {
        return;
    }
    if (reply->way == REG_ENDLESS) {
        h1->sent = 0;
    } else if (reply->way == REG_CUT) {
        h1->close = true;
        finish(h1);
    } else if (reply->way != REG_STALL_BODY && reply->way != REG_STALL) {
        finish(h1);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static bool begin_next(reg_h1 *h1)
{
    reg_conn *conn = h1->conn;
    size_t skip = conn->in.size - conn->in.taken;
    skip = skip < h1->body_left ? skip : h1->body_left;
    reg_buffer_take(&conn->in, skip);
    h1->body_left -= skip;
    char *data = (char *)conn->in.data + conn->in.taken;
    size_t size = conn->in.size - conn->in.taken;
    char *end = h1->body_left == 0 && size > 0 ? memmem(data, size, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        if (size > REG_HEAD_MAX) {
            reg_conn_kill(conn);
        }
        return false;
    }
    size_t head = (size_t)(end - data) + 4;
    read_head(h1, data, head - 2);
    reg_buffer_take(&conn->in, head);
    h1->body_left = h1->request.body_size;
    h1->head_only = strcmp(h1->request.method, "HEAD") == 0;
    memset(&h1->reply, 0, sizeof h1->reply);
    reg_answer(conn->server, &h1->request, &h1->reply);
    h1->busy = true;
    h1->wait = (reg_wait){.ready = start, .ctx = h1};
    reg_wait_start(conn->server, &h1->wait, h1->reply.delay_ns);
    return true;
}

void reg_h1_read(reg_conn *conn)
{
    reg_h1 *h1 = conn->h1;
    while (!h1->busy && !conn->dead && !conn->ending && begin_next(h1)) {
    }
}

bool reg_h1_open(reg_conn *conn)
{
    conn->h1 = reg_alloc(sizeof *conn->h1);
    memset(conn->h1, 0, sizeof *conn->h1);
    conn->h1->conn = conn;
    conn->mode = REG_H1;
    return true;
}

void reg_h1_close(reg_conn *conn)
{
    reg_wait_stop(conn->server, &conn->h1->wait);
    reg_reply_free(&conn->h1->reply);
    free(conn->h1->request.lines);
    free(conn->h1);
}
