/*
 * introspect.c -- the logs behind SLOWLOG and LATENCY, and the feed of MONITOR.
 *
 * Both logs are rings of fixed size whose entries own small copies: at most SLOW_ARGS arguments of at
 * most SLOW_ARG_BYTES each, so that a hostile command cannot fill memory by being slow.
 */
#include "daemon/introspect.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/server.h"

enum {
    SLOW_ARGS = 32,
    SLOW_ARG_BYTES = 128,
    SLOW_MAX_DEFAULT = 128,
    SLOW_US_DEFAULT = 10000,
    EVENTS = 8, /* kinds of latency events */
    EVENT_NAME = 32,
    EVENT_SAMPLES = 160,
};

/* --- SLOWLOG ------------------------------------------------------------------------------ */

typedef struct slow_entry {
    struct slow_entry *next;
    uint64_t id;
    uint64_t time_s;
    uint64_t us;
    char peer[128];
    char name[64];
    uint32_t argc;
    resp_bytes argv[SLOW_ARGS];
    size_t bytes; /* of the whole block */
} slow_entry;

struct slowlog {
    const brisk_alloc *alloc;
    slow_entry *newest;
    uint64_t count;
    uint64_t count_max;
    uint64_t next_id;
    int64_t slower_than_us; /* negative: never */
};

brisk_err slowlog_create(const brisk_alloc *alloc, struct slowlog **ret)
{
    struct slowlog *log = alloc->acquire(alloc->ctx, sizeof *log, _Alignof(struct slowlog));
    if (log == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *log = (struct slowlog){
        .alloc = alloc, .count_max = SLOW_MAX_DEFAULT, .slower_than_us = SLOW_US_DEFAULT};
    *ret = log;
    return BRISK_OK;
}

/* Keep the `keep` newest. */
static void trim(struct slowlog *log, uint64_t keep)
{
    slow_entry **at = &log->newest;
    for (uint64_t i = 0; i < keep && *at != NULL; i++) {
        at = &(*at)->next;
    }
    slow_entry *rest = *at;
    *at = NULL;
    while (rest != NULL) {
        slow_entry *next = rest->next;
        log->alloc->release(log->alloc->ctx, rest, rest->bytes, _Alignof(slow_entry));
        log->count--;
        rest = next;
    }
}

void slowlog_destroy(struct slowlog *log)
{
    if (log != NULL) {
        trim(log, 0);
        log->alloc->release(log->alloc->ctx, log, sizeof *log, _Alignof(struct slowlog));
    }
}

void slowlog_set(struct slowlog *log, int64_t slower_than_us, uint64_t length_max)
{
    if (slower_than_us != INT64_MIN) {
        log->slower_than_us = slower_than_us;
    }
    if (length_max != UINT64_MAX) {
        log->count_max = length_max;
        trim(log, length_max);
    }
}

/* What is shown of argument `i`: "... (12 more arguments)" for the last when there are too many. */
static resp_bytes shown_arg(const resp_bytes *argv, uint32_t argc, uint32_t i, char more[64])
{
    if (i + 1 == SLOW_ARGS && argc > SLOW_ARGS) {
        int n = snprintf(more, 64, "... (%u more arguments)", argc - SLOW_ARGS + 1);
        return (resp_bytes){.data = (const unsigned char *)more, .size = (size_t)n};
    }
    return argv[i];
}

static slow_entry *make_entry(client *c, const resp_bytes *argv, uint32_t argc, bool secret)
{
    struct slowlog *log = c->server->slowlog;
    uint32_t count = argc < SLOW_ARGS ? argc : SLOW_ARGS;
    size_t bytes = sizeof(slow_entry) + (size_t)count * (SLOW_ARG_BYTES + 48);
    slow_entry *entry = log->alloc->acquire(log->alloc->ctx, bytes, _Alignof(slow_entry));
    if (entry == NULL) {
        return NULL;
    }
    *entry = (slow_entry){.argc = count, .bytes = bytes};
    unsigned char *at = (unsigned char *)(entry + 1);
    for (uint32_t i = 0; i < count; i++) {
        char more[64];
        resp_bytes arg = shown_arg(argv, argc, i, more);
        if (secret && i > 0) {
            arg = (resp_bytes){.data = (const unsigned char *)"(redacted)", .size = 10};
        }
        size_t size = arg.size < SLOW_ARG_BYTES ? arg.size : SLOW_ARG_BYTES;
        memcpy(at, arg.data, size);
        if (size < arg.size) {
            size +=
                (size_t)snprintf((char *)at + size, 48, "... (%zu more bytes)", arg.size - size);
        }
        entry->argv[i] = (resp_bytes){.data = at, .size = size};
        at += SLOW_ARG_BYTES + 48;
    }
    return entry;
}

void slowlog_note(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc, uint64_t ns)
{
    server *s = c->server;
    struct slowlog *log = s->slowlog;
    if (ns >= UINT64_C(1000000)) {
        latency_note(s, "command", ns / 1000000);
    }
    if (log->slower_than_us < 0 || ns / 1000 < (uint64_t)log->slower_than_us ||
        log->count_max == 0 || (cmd->flags & CMD_SKIP_SLOWLOG) != 0) {
        return;
    }
    slow_entry *entry = make_entry(c, argv, argc, (cmd->flags & CMD_SECRET) != 0);
    if (entry == NULL) {
        return;
    }
    entry->id = log->next_id++;
    entry->time_s = s->wall_ns / 1000000000;
    entry->us = ns / 1000;
    client_peer(c, entry->peer, sizeof entry->peer);
    (void)snprintf(entry->name, sizeof entry->name, "%.63s", c->name != NULL ? c->name : "");
    entry->next = log->newest;
    log->newest = entry;
    log->count++;
    trim(log, log->count_max);
}

void command_slowlog_get(client *c, const resp_bytes *argv, uint32_t argc)
{
    int64_t count = 10;
    if (argc > 3) {
        reply_wrong_arity(c, c->last_command);
        return;
    }
    if (argc == 3 && (!resp_parse_i64(argv[2].data, argv[2].size, &count) || count < -1)) {
        reply_error(c, "ERR count should be greater than or equal to -1");
        return;
    }
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    int64_t shown = 0;
    for (const slow_entry *e = c->server->slowlog->newest;
         e != NULL && (count < 0 || shown < count); e = e->next, shown++) {
        resp_put_array(out, 6);
        resp_put_integer(out, (int64_t)e->id);
        resp_put_integer(out, (int64_t)e->time_s);
        resp_put_integer(out, (int64_t)e->us);
        resp_put_array(out, e->argc);
        for (uint32_t i = 0; i < e->argc; i++) {
            resp_put_bulk(out, e->argv[i].data, e->argv[i].size);
        }
        resp_put_text(out, e->peer);
        resp_put_text(out, e->name);
    }
    resp_put_count_before(out, mark, RESP_ARRAY, (size_t)shown);
}

void command_slowlog_len(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_integer(&c->worker->out, (int64_t)c->server->slowlog->count);
}

void command_slowlog_reset(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    trim(c->server->slowlog, 0);
    reply_ok(c);
}

/* --- LATENCY ------------------------------------------------------------------------------ */

typedef struct event_log {
    char name[EVENT_NAME];
    uint64_t max_ms;
    uint32_t next; /* in the ring */
    uint32_t count;
    struct {
        uint64_t time_s;
        uint64_t ms;
    } samples[EVENT_SAMPLES];
} event_log;

struct latency {
    const brisk_alloc *alloc;
    uint64_t threshold_ms; /* 0: off */
    uint32_t count;
    event_log events[EVENTS];
};

brisk_err latency_create(const brisk_alloc *alloc, struct latency **ret)
{
    struct latency *l = alloc->acquire(alloc->ctx, sizeof *l, _Alignof(struct latency));
    if (l == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(l, 0, sizeof *l);
    l->alloc = alloc;
    *ret = l;
    return BRISK_OK;
}

void latency_destroy(struct latency *l)
{
    if (l != NULL) {
        l->alloc->release(l->alloc->ctx, l, sizeof *l, _Alignof(struct latency));
    }
}

void latency_set_threshold(struct latency *l, uint64_t ms)
{
    l->threshold_ms = ms;
}

static event_log *find_event(struct latency *l, resp_bytes name)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (resp_bytes_equal_nocase(name, l->events[i].name)) {
            return &l->events[i];
        }
    }
    return NULL;
}

void latency_note(server *s, const char *event, uint64_t ms)
{
    struct latency *l = s->latency;
    if (l->threshold_ms == 0 || ms < l->threshold_ms) {
        return;
    }
    event_log *e =
        find_event(l, (resp_bytes){.data = (const unsigned char *)event, .size = strlen(event)});
    if (e == NULL && l->count < EVENTS) {
        e = &l->events[l->count++];
        *e = (event_log){.count = 0};
        (void)snprintf(e->name, sizeof e->name, "%s", event);
    }
    if (e == NULL) {
        return;
    }
    uint64_t now = s->wall_ns / 1000000000;
    uint32_t last = (e->next + EVENT_SAMPLES - 1) % EVENT_SAMPLES;
    e->max_ms = ms > e->max_ms ? ms : e->max_ms;
    if (e->count > 0 && e->samples[last].time_s == now) { /* the worst of each second */
        e->samples[last].ms = ms > e->samples[last].ms ? ms : e->samples[last].ms;
        return;
    }
    e->samples[e->next].time_s = now;
    e->samples[e->next].ms = ms;
    e->next = (e->next + 1) % EVENT_SAMPLES;
    e->count += e->count < EVENT_SAMPLES ? 1 : 0;
}

void command_latency_latest(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    struct latency *l = c->server->latency;
    resp_writer *out = &c->worker->out;
    resp_put_array(out, l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        const event_log *e = &l->events[i];
        uint32_t last = (e->next + EVENT_SAMPLES - 1) % EVENT_SAMPLES;
        resp_put_array(out, 4);
        resp_put_text(out, e->name);
        resp_put_integer(out, (int64_t)e->samples[last].time_s);
        resp_put_integer(out, (int64_t)e->samples[last].ms);
        resp_put_integer(out, (int64_t)e->max_ms);
    }
}

void command_latency_history(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_writer *out = &c->worker->out;
    const event_log *e = find_event(c->server->latency, argv[2]);
    uint32_t count = e != NULL ? e->count : 0;
    resp_put_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (e->next + EVENT_SAMPLES - count + i) % EVENT_SAMPLES;
        resp_put_array(out, 2);
        resp_put_integer(out, (int64_t)e->samples[at].time_s);
        resp_put_integer(out, (int64_t)e->samples[at].ms);
    }
}

void command_latency_reset(client *c, const resp_bytes *argv, uint32_t argc)
{
    struct latency *l = c->server->latency;
    int64_t count = 0;
    for (uint32_t i = 0; i < l->count;) {
        bool gone = argc == 2;
        for (uint32_t j = 2; j < argc; j++) {
            gone = gone || resp_bytes_equal_nocase(argv[j], l->events[i].name);
        }
        if (gone) {
            l->events[i] = l->events[--l->count];
            count++;
        } else {
            i++;
        }
    }
    resp_put_integer(&c->worker->out, count);
}

void command_latency_doctor(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    char text[256];
    const struct latency *l = c->server->latency;
    int n = 0;
    if (l->threshold_ms == 0) {
        n = snprintf(text, sizeof text,
                     "Latency is not watched: CONFIG SET "
                     "latency-monitor-threshold to a number of milliseconds.");
    } else if (l->count == 0) {
        n = snprintf(text, sizeof text, "Nothing took %" PRIu64 " ms or more so far.",
                     l->threshold_ms);
    } else {
        n = snprintf(text, sizeof text,
                     "%u kinds of events took %" PRIu64 " ms or more; LATENCY HISTORY shows when, "
                     "SLOWLOG GET which commands.",
                     l->count, l->threshold_ms);
    }
    resp_put_verbatim(&c->worker->out, text, n > 0 ? (size_t)n : 0);
}

static void put_histogram(resp_writer *out, const command_stats *stats)
{
    size_t mark;
    size_t buckets = 0;
    uint64_t sum = 0;
    resp_put_map(out, 2);
    resp_put_text(out, "calls");
    resp_put_integer(out, (int64_t)stats->calls);
    resp_put_text(out, "histogram_usec");
    mark = out->size;
    for (uint32_t i = 0; i < 32; i++) {
        if (stats->latency[i] == 0) {
            continue;
        }
        sum += stats->latency[i];
        resp_put_integer(out, (int64_t)(UINT64_C(2) << i));
        resp_put_integer(out, (int64_t)sum);
        buckets++;
    }
    resp_put_count_before(out, mark, RESP_MAP, buckets);
}

void command_latency_histogram(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    size_t count = 0;
    for (uint32_t i = 0; command_at(s->commands, i) != NULL; i++) {
        const command *cmd = command_at(s->commands, i);
        const command_stats *stats = command_stats_of(s->commands, cmd);
        char name[64];
        command_full_name(cmd, name, sizeof name);
        bool wanted = argc == 2;
        for (uint32_t j = 2; j < argc; j++) {
            wanted = wanted || resp_bytes_equal_nocase(argv[j], name) ||
                     (cmd->parent != NULL && resp_bytes_equal_nocase(argv[j], cmd->parent->name));
        }
        if (wanted && stats->calls > 0) {
            resp_put_text(out, name);
            put_histogram(out, stats);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_MAP, count);
}

/* --- MONITOR ------------------------------------------------------------------------------ */

/* An argument in quotes, unprintable bytes escaped. */
static void put_quoted(resp_writer *line, resp_bytes arg)
{
    resp_put_raw(line, "\"", 1);
    for (size_t i = 0; i < arg.size; i++) {
        unsigned char ch = arg.data[i];
        char text[8];
        int n = 0;
        switch (ch) {
        case '\\':
        case '"': n = snprintf(text, sizeof text, "\\%c", ch); break;
        case '\n': n = snprintf(text, sizeof text, "\\n"); break;
        case '\r': n = snprintf(text, sizeof text, "\\r"); break;
        case '\t': n = snprintf(text, sizeof text, "\\t"); break;
        case '\a': n = snprintf(text, sizeof text, "\\a"); break;
        case '\b': n = snprintf(text, sizeof text, "\\b"); break;
        default:
            n = ch >= ' ' && ch < 127 ? snprintf(text, sizeof text, "%c", ch)
                                      : snprintf(text, sizeof text, "\\x%02x", ch);
            break;
        }
        resp_put_raw(line, text, (size_t)n);
    }
    resp_put_raw(line, "\"", 1);
}

void monitor_feed(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    resp_writer line;
    char head[192];
    char peer[128];
    client_peer(c, peer, sizeof peer);
    int n = snprintf(head, sizeof head, "+%" PRIu64 ".%06" PRIu64 " [%u %s]",
                     s->wall_ns / 1000000000, s->wall_ns / 1000 % 1000000, c->db, peer);
    resp_writer_init(&line, s->alloc, s->limits.output_max);
    resp_put_raw(&line, head, (size_t)n);
    for (uint32_t i = 0; i < argc; i++) {
        bool secret = i > 0 && (cmd->flags & CMD_SECRET) != 0;
        resp_put_raw(&line, " ", 1);
        put_quoted(&line,
                   secret ? (resp_bytes){.data = (const unsigned char *)"(redacted)", .size = 10}
                          : argv[i]);
    }
    resp_put_raw(&line, "\r\n", 2);
    for (client *other = s->clients; other != NULL && line.err == BRISK_OK; other = other->next) {
        if ((other->flags & CLIENT_MONITOR) != 0) {
            client_push(other, line.data, line.size);
        }
    }
    resp_writer_deinit(&line);
}
