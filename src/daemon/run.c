/*
 * run.c -- from arguments to a reply: lookup, the checks in Redis's order, queueing, the call.
 *
 * Who may not run a command gets an error, and in a transaction EXEC will refuse.  What a command
 * wrote is cut off again for a client that wants no replies; pushes go another way (client.inbox)
 * and follow the reply, so that they never stand inside one.
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/command.h"
#include "daemon/disk_walk.h"
#include "daemon/introspect.h"
#include "daemon/metrics.h"
#include "daemon/multi.h"
#include "daemon/pubsub.h"
#include "daemon/record.h"
#include "daemon/server.h"
#include "daemon/ticks.h"
#include "daemon/tracking.h"

enum { SHOWN_ARG_MAX = 128, CODE_MAX = 32, QUEUE_BYTES_MAX = 256 << 20, ERRORS_MAX = 128 };

/* --- figures ------------------------------------------------------------------------------ */

static void count_error(server *s, const unsigned char *reply, size_t size)
{
    size_t code = 0;
    while (code < size && code < CODE_MAX && reply[code] > ' ') {
        code++;
    }
    s->stats.errors++;
    dict_entry *entry = dict_find(&s->errors, reply, code);
    if (entry == NULL && s->errors.count < ERRORS_MAX) {
        entry = dict_add(&s->errors, reply, code);
    }
    if (entry != NULL) {
        entry->value = (void *)((uintptr_t)entry->value + 1);
    }
}

static void count_call(client *c, const command *cmd, uint64_t ns, bool failed)
{
    server *s = c->server;
    command_stats *stats = command_stats_of(s->commands, cmd);
    stats->calls++;
    stats->ns += ns;
    stats->failed += failed ? 1 : 0;
    uint64_t shown = ns < server_times_most ? ns : server_times_most;
    stats->times[server_metrics_bucket(shown)]++;
    stats->latency[63 - __builtin_clzll(shown / 1000 | 1)]++;
}

/* --- the call ----------------------------------------------------------------------------- */

void command_call(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    resp_writer *out = &c->worker->out;
    if (s->monitor_count > 0 && (cmd->flags & (CMD_SKIP_MONITOR | CMD_ADMIN)) == 0) {
        monitor_feed(c, cmd, argv, argc);
    }
    size_t mark = out->size;
    uint64_t start = ticks_now();
    client *before = s->current;
    uint64_t dirty = s->dirty;
    if (record_is_on(s->recording)) {
        record_before(s, cmd, argv, argc);
    }
    s->current = c;
    cmd->run(c, argv, argc);
    s->current = before;
    if (s->dirty != dirty && record_is_on(s->recording)) {
        record_after(s, cmd, argv, argc);
    }
    uint64_t ns = (uint64_t)((double)(ticks_now() - start) * s->ns_per_tick);
    c->worker->busy_ns += ns;
    bool failed = out->size > mark && out->data[mark] == '-';
    if (failed) {
        count_error(s, out->data + mark + 1, out->size - mark - 1);
    }
    if (c->block == CLIENT_READY) {
        count_call(c, cmd, ns, failed);
        slowlog_note(c, cmd, argv, argc, ns);
    }
    if ((c->flags & CLIENT_TRACKING) != 0 && (cmd->flags & CMD_READONLY) != 0) {
        tracking_remember(c, cmd, argv, argc);
    }
    if (s->keys.drops.count > 0) {
        tell_drops(s);
    }
}

/* --- checks ------------------------------------------------------------------------------- */

/* The command is not run: an error that a transaction remembers. */
static void reject(client *c, const command *cmd)
{
    if ((c->flags & CLIENT_MULTI) != 0) {
        c->flags |= CLIENT_DIRTY_EXEC;
    }
    if (cmd != NULL) {
        command_stats_of(c->server->commands, cmd)->rejected++;
    }
}

static void reply_unknown(client *c, const resp_bytes *argv, uint32_t argc)
{
    char args[SHOWN_ARG_MAX + 16] = "";
    size_t used = 0;
    for (uint32_t i = 1; i < argc && used < SHOWN_ARG_MAX; i++) {
        size_t room = SHOWN_ARG_MAX - used;
        size_t size = argv[i].size < room ? argv[i].size : room;
        int n = snprintf(args + used, sizeof args - used, "'%.*s' ", (int)size,
                         (const char *)argv[i].data);
        used += n > 0 ? (size_t)n : 0;
    }
    size_t shown = argv[0].size < SHOWN_ARG_MAX ? argv[0].size : SHOWN_ARG_MAX;
    reply_error(c, "ERR unknown command '%.*s', with args beginning with: %s", (int)shown,
                (const char *)argv[0].data, args);
}

/* The command or subcommand, with the right number of arguments; NULL: an error was sent. */
static const command *look_up(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    if (cmd == NULL) {
        reply_unknown(c, argv, argc);
        return NULL;
    }
    if (cmd->subcommands != NULL && argc > 1) {
        const command *sub = command_find_sub(cmd, argv[1]);
        if (sub == NULL) {
            reply_unknown_subcommand(c, cmd, argv[1]);
            return NULL;
        }
        cmd = sub;
    }
    if (cmd->run == NULL || !command_takes(cmd, argc)) {
        reply_wrong_arity(c, cmd);
        command_stats_of(c->server->commands, cmd)->rejected++;
        return NULL;
    }
    return cmd;
}

static bool keys_fit(const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    if (cmd->key_first <= 0) {
        return true;
    }
    int64_t last = cmd->key_last >= 0 ? cmd->key_last : (int64_t)argc + cmd->key_last;
    for (int64_t i = cmd->key_first; i <= last && i < (int64_t)argc; i += cmd->key_step) {
        if (!keyspace_key_fits(argv[i])) {
            return false;
        }
    }
    return true;
}

static bool is_subscriber(const client *c)
{
    return c->protocol == 2 && client_subscriptions(c) > 0;
}

/*
 * Where the server itself keeps the limit: make room, and refuse what would need more.  Not for
 * administration: whoever comes to raise the limit must not lose keys first.
 */
static bool is_over_memory(client *c, const command *cmd)
{
    server *s = c->server;
    bool keeps = s->evict_volatile || s->evict_never || s->evict_any;
    if (s->maxmemory == 0 || !keeps || (cmd->flags & CMD_ADMIN) != 0 || make_room(s)) {
        return false;
    }
    bool queues = (c->flags & CLIENT_MULTI) != 0 && !multi_is_immediate(cmd);
    return (cmd->flags & CMD_DENYOOM) != 0 || queues;
}

/* False: it may not, and was told why. */
static bool may_run(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    if ((c->flags & CLIENT_AUTHENTICATED) == 0 && (cmd->flags & CMD_NO_AUTH) == 0) {
        reply_error(c, "NOAUTH Authentication required.");
        return false;
    }
    if (!keys_fit(cmd, argv, argc)) {
        reply_error(c, "ERR a key is longer than %d bytes", BRISK_KEY_BYTES_MAX - 1);
        return false;
    }
    if (is_over_memory(c, cmd)) {
        reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
        return false;
    }
    if (is_subscriber(c) && (cmd->flags & CMD_IN_SUBSCRIBE) == 0) {
        char name[64];
        command_full_name(cmd, name, sizeof name);
        reply_error(c,
                    "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT "
                    "/ RESET are allowed in this context",
                    name);
        return false;
    }
    if ((c->flags & CLIENT_MULTI) != 0 && (cmd->flags & CMD_NO_MULTI) != 0) {
        reply_error(c, "ERR Command not allowed inside a transaction");
        return false;
    }
    return true;
}

/* --- waiting and queueing ----------------------------------------------------------------- */

static bool is_paused(const client *c, const command *cmd)
{
    const server *s = c->server;
    if (s->pause_until_ns <= s->now_ns) {
        return false;
    }
    bool writes = (cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0 ||
                  (cmd->run == command_exec && (c->flags & CLIENT_MULTI) != 0 && multi_writes(c));
    return (s->pause_all || writes) && cmd->run != command_client_unpause;
}

static void enqueue(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    client_held held;
    if ((c->flags & (CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS)) != 0) {
        resp_put_status(&c->worker->out, "QUEUED"); /* it will not be run */
        return;
    }
    if (c->queue_bytes > QUEUE_BYTES_MAX || !client_hold(c, &held, cmd, argv, argc)) {
        reply_error(c, "OOM a transaction is too large");
        reject(c, cmd);
        return;
    }
    if (!BRISK_VEC_PUSH(&c->queue, held)) {
        client_held_free(c, &held);
        reply_error(c, "OOM a transaction is too large");
        reject(c, cmd);
        return;
    }
    c->queue_bytes += held.bytes;
    resp_put_status(&c->worker->out, "QUEUED");
}

/* A client that wants no replies: cut off what was written. */
static void silence(client *c, size_t mark)
{
    if ((c->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP)) != 0) {
        resp_writer *out = &c->worker->out;
        if (out->size > mark) {
            out->size = mark;
        }
    }
    c->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
    if ((c->flags & CLIENT_REPLY_SKIP_NEXT) != 0) {
        c->flags = (c->flags & ~(uint32_t)CLIENT_REPLY_SKIP_NEXT) | CLIENT_REPLY_SKIP;
    }
}

/* Pushes that the command caused, behind its reply. */
static void take_inbox(client *c)
{
    if (c->inbox.err != BRISK_OK) {
        c->worker->out.err = c->inbox.err; /* one was lost: the connection ends */
    }
    if (c->inbox.size > 0) {
        resp_put_raw(&c->worker->out, c->inbox.data, c->inbox.size);
        resp_writer_reset(&c->inbox, 0);
    }
}

static void run_checked(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    if (is_paused(c, cmd)) {
        if (client_hold(c, &c->held, cmd, argv, argc)) {
            c->block = CLIENT_PAUSED;
            s->blocked_count++;
        } else {
            reply_error(c, "OOM out of memory");
        }
        return;
    }
    if ((c->flags & CLIENT_MULTI) != 0 && !multi_is_immediate(cmd)) {
        enqueue(c, cmd, argv, argc);
        return;
    }
    if (s->disk != NULL && disk_fetch(c, cmd, argv, argc)) {
        return; /* held until its keys are here */
    }
    command_call(c, cmd, argv, argc);
    disk_walk_end(c);
}

/* CLIENT CACHING is for one command, or one transaction. */
static void forget_caching(client *c, const command *cmd)
{
    bool is_client = cmd != NULL && cmd->parent != NULL && strcmp(cmd->parent->name, "client") == 0;
    if ((c->flags & CLIENT_TRACKING_CACHING) != 0 && (c->flags & CLIENT_MULTI) == 0 && !is_client) {
        c->flags &= ~(uint32_t)CLIENT_TRACKING_CACHING;
    }
}

/* What was said for one command (REPLY SKIP, CACHING) is over, unless the command waits. */
static void finish(client *c, const command *cmd, size_t mark)
{
    if (c->block == CLIENT_READY) {
        forget_caching(c, cmd);
        silence(c, mark);
    }
    take_inbox(c);
}

static void count_refusal(client *c, size_t mark)
{
    const resp_writer *out = &c->worker->out;
    if (out->size > mark) {
        count_error(c->server, out->data + mark + 1, out->size - mark - 1);
    }
}

void command_dispatch(client *c, const command *found, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    size_t mark = c->worker->out.size;
    s->stats.commands++;
    c->commands++;
    c->fetch_tries = 0;
    const command *cmd = look_up(c, found, argv, argc);
    if (cmd != NULL) {
        c->last_command = cmd;
        tracking_limit(s);
        take_inbox(c); /* of what had to leave for this command: before its reply */
        mark = c->worker->out.size;
        if (may_run(c, cmd, argv, argc)) {
            take_inbox(c);
            mark = c->worker->out.size;
            run_checked(c, cmd, argv, argc);
        } else {
            reject(c, cmd);
            count_refusal(c, mark);
        }
    } else {
        reject(c, NULL);
        count_refusal(c, mark);
    }
    finish(c, cmd, mark);
}

/* From where it began to wait, so that keys that are on disk are fetched after a pause, too. */
void command_run_held(client *c)
{
    client_held held = c->held;
    c->held = (client_held){0};
    size_t mark = c->worker->out.size;
    run_checked(c, held.command, held.argv, held.argc);
    client_held_free(c, &held);
    finish(c, held.command, mark);
}
