/*
 * registry_h2.c -- HTTP/2 for bench_registry, upon nghttp2.
 *
 * nghttp2 hands over bytes to send as long as there is room for them in conn->out.
 */
#include "registry.h"

#include <nghttp2/nghttp2.h>

typedef struct reg_stream {
    struct reg_stream *next;
    struct reg_stream *prev;
    reg_conn *conn;
    int32_t id;
    reg_request request;
    reg_reply reply;
    reg_wait wait;
    size_t sent;
    size_t lines_capacity;
    bool answered;
} reg_stream;

typedef struct reg_h2 {
    nghttp2_session *session;
    reg_stream *streams;
} reg_h2;

/* --- requests ------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    reg_conn *conn = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    reg_stream *stream = reg_alloc(sizeof *stream);
    memset(stream, 0, sizeof *stream);
    stream->conn = conn;
    stream->id = frame->hd.stream_id;
    stream->request.h2 = true;
    stream->next = conn->h2->streams;
    if (stream->next != NULL) {
        stream->next->prev = stream;
    }
    conn->h2->streams = stream;
    reg_stats *stats = &conn->server->stats;
    stats->streams++;
    stats->streams_peak =
        stats->streams > stats->streams_peak ? stats->streams : stats->streams_peak;
    return nghttp2_session_set_stream_user_data(session, stream->id, stream);
}

static void keep_line(reg_stream *stream, const uint8_t *name, size_t name_size,
                      const uint8_t *value, size_t value_size)
{
    reg_request *r = &stream->request;
    size_t wanted = r->lines_size + name_size + value_size + 3;
    if (wanted > stream->lines_capacity) {
        stream->lines_capacity = wanted * 2;
        r->lines = realloc(r->lines, stream->lines_capacity);
        if (r->lines == NULL) {
            exit(1);
        }
    }
    char *at = r->lines + r->lines_size;
    memcpy(at, name, name_size);
    memcpy(at + name_size, ": ", 2);
    memcpy(at + name_size + 2, value, value_size);
    at[name_size + 2 + value_size] = '\n';
    r->lines_size = wanted;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *ctx)
{
    reg_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    (void)ctx;
    if (stream == NULL) {
        return 0;
    }
    reg_request *r = &stream->request;
    const struct {
        const char *name;
        char *to;
        size_t room;
    } fields[] = {{":method", r->method, sizeof r->method},
                  {":path", r->path, sizeof r->path},
                  {"accept", r->accept, sizeof r->accept},
                  {"accept-encoding", r->accept_encoding, sizeof r->accept_encoding},
                  {"if-none-match", r->if_none_match, sizeof r->if_none_match},
                  {"if-modified-since", r->if_modified_since, sizeof r->if_modified_since},
                  {"authorization", r->authorization, sizeof r->authorization}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strlen(fields[i].name) == name_size && memcmp(name, fields[i].name, name_size) == 0) {
            (void)snprintf(fields[i].to, fields[i].room, "%.*s", (int)value_size, value);
        }
    }
    if (r->lines_size < REG_HEAD_MAX) {
        keep_line(stream, name, name_size, value, value_size);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *ctx)
{
    reg_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)data;
    (void)ctx;
    if (stream != NULL) {
        stream->request.body_size += size;
    }
    return 0;
}

/* --- replies -------------------------------------------------------------------------------- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    reg_stream *stream = source->ptr;
    reg_reply *reply = &stream->reply;
    bool half = reply->way == REG_CUT || reply->way == REG_STALL_BODY;
    size_t end = half ? reply->body.size / 2 : reply->body.size;
    size_t part = end - stream->sent < room ? end - stream->sent : room;
    (void)session;
    (void)id;
    (void)ctx;
    if (part > 0) {
        memcpy(to, reply->body.data + stream->sent, part);
    }
    stream->sent += part;
    if (stream->sent < end) {
        return (ssize_t)part;
    }
    if (reply->way == REG_ENDLESS) {
        stream->sent = 0;
    } else if (!half) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (part == 0) {
        return reply->way == REG_CUT ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)part;
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void submit_interim(nghttp2_session *session, int32_t id)
{
    nghttp2_nv fields[] = {field(":status", "103"), field("etag", "\"early\"")};
    (void)nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, id, NULL, fields, 2, NULL);
}

/* As many interim answers as there is room for: HTTP/2 has no longer heads. */
static void submit_many(nghttp2_session *session, int32_t id)
{
    char line[1024];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\0';
    nghttp2_nv fields[] = {field(":status", "103"), field("x-endless", line)};
    for (int i = 0; i < 1000; i++) {
        (void)nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, id, NULL, fields, 2, NULL);
    }
}

static void submit(reg_stream *stream)
{
    nghttp2_session *session = stream->conn->h2->session;
    reg_reply *reply = &stream->reply;
    nghttp2_nv fields[REG_HEADERS_MAX + 2];
    char status[16];
    char length[32];
    size_t count = 0;
    (void)snprintf(status, sizeof status, "%d", reply->status);
    fields[count++] = field(":status", status);
    for (size_t i = 0; i < reply->header_count; i++) {
        fields[count++] = field(reply->headers[i].name, reply->headers[i].value);
    }
    if (reply->status != 304 && reply->way != REG_ENDLESS) {
        (void)snprintf(length, sizeof length, "%zu",
                       reply->claimed != SIZE_MAX ? reply->claimed : reply->body.size);
        fields[count++] = field("content-length", length);
    }
    if (reply->way == REG_INTERIM) {
        submit_interim(session, stream->id);
    }
    nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = read_body};
    bool none = reply->body.size == 0 || strcmp(stream->request.method, "HEAD") == 0;
    (void)nghttp2_submit_response(session, stream->id, fields, count, none ? NULL : &provider);
    if (reply->way == REG_GOAWAY) {
        (void)nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR, NULL,
                                    0);
    }
}

static void start(void *ctx)
{
    reg_stream *stream = ctx;
    reg_conn *conn = stream->conn;
    switch (stream->reply.way) {
    case REG_STALL: break;
    case REG_REFUSE:
        (void)nghttp2_submit_rst_stream(conn->h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
        break;
    case REG_GARBAGE:
        reg_buffer_add(&conn->out, "\xff\xff\xff\xff\xff rubbish", 13);
        conn->ending = true;
        break;
    case REG_HEADERS: submit_many(conn->h2->session, stream->id); break;
    case REG_GOOD:
    case REG_STALL_BODY:
    case REG_CUT:
    case REG_ENDLESS:
    case REG_GOAWAY:
    case REG_INTERIM:
    default: submit(stream); break;
    }
    reg_h2_more(conn);
    reg_conn_flush(conn);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    reg_conn *conn = ctx;
    bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
                 (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA);
    reg_stream *stream =
        ended ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    if (stream == NULL || stream->answered) {
        return 0;
    }
    stream->answered = true;
    reg_answer(conn->server, &stream->request, &stream->reply);
    stream->wait = (reg_wait){.ready = start, .ctx = stream};
    if (stream->reply.delay_ns == 0 && stream->reply.way == REG_GOOD) {
        submit(stream); /* sent with all others that came in the same bytes */
    } else {
        reg_wait_start(conn->server, &stream->wait, stream->reply.delay_ns);
    }
    return 0;
}

static void free_stream(reg_stream *stream)
{
    reg_conn *conn = stream->conn;
    *(stream->prev != NULL ? &stream->prev->next : &conn->h2->streams) = stream->next;
    if (stream->next != NULL) {
        stream->next->prev = stream->prev;
    }
    conn->server->stats.streams--;
    reg_wait_stop(conn->server, &stream->wait);
    reg_reply_free(&stream->reply);
    free(stream->request.lines);
    free(stream);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
    reg_stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)code;
    (void)ctx;
    if (stream != NULL) {
        free_stream(stream);
    }
    return 0;
}

/* --- life ----------------------------------------------------------------------------------- */

bool reg_h2_open(reg_conn *conn)
{
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return false;
    }
    conn->h2 = reg_alloc(sizeof *conn->h2);
    memset(conn->h2, 0, sizeof *conn->h2);
    conn->mode = REG_H2;
    conn->server->stats.connections_h2++;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    int failed = nghttp2_session_server_new(&conn->h2->session, callbacks, conn);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conn->server->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};
    return failed == 0 &&
           nghttp2_submit_settings(conn->h2->session, NGHTTP2_FLAG_NONE, settings, 2) == 0;
}

void reg_h2_read(reg_conn *conn)
{
    ssize_t used = nghttp2_session_mem_recv(conn->h2->session, conn->in.data + conn->in.taken,
                                            conn->in.size - conn->in.taken);
    if (used < 0) {
        reg_conn_kill(conn);
        return;
    }
    reg_buffer_take(&conn->in, (size_t)used);
    reg_h2_more(conn);
}

void reg_h2_more(reg_conn *conn)
{
    while (!conn->dead && conn->out.size - conn->out.taken < REG_OUT_WANTED) {
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(conn->h2->session, &data);
        if (size < 0) {
            reg_conn_kill(conn);
        }
        if (size <= 0) {
            break;
        }
        reg_buffer_add(&conn->out, data, (size_t)size);
    }
    if (!conn->dead && nghttp2_session_want_read(conn->h2->session) == 0 &&
        nghttp2_session_want_write(conn->h2->session) == 0) {
        conn->ending = true;
    }
}

void reg_h2_close(reg_conn *conn)
{
    while (conn->h2->streams != NULL) {
        free_stream(conn->h2->streams);
    }
    nghttp2_session_del(conn->h2->session);
    free(conn->h2);
}
