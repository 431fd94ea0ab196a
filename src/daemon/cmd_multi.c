/*
 * cmd_multi.c -- transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Queued commands are copied; EXEC runs them one after the other under the lock that is held anyway.
 * WATCH notes in one table which clients watch a key; a change marks them, and EXEC of a marked
 * client does nothing.  A key that expired since it was watched counts as changed.
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/disk.h"
#include "daemon/introspect.h"
#include "daemon/multi.h"
#include "daemon/server.h"

enum { WATCHES_MAX = 1 << 20 };

/* Who watches one key. */
typedef struct watchers {
    BRISK_VEC(client *) clients;
} watchers;

/* --- watching ----------------------------------------------------------------------------- */

/* By the shorter of the two lists: a client may watch many keys, and a key have many watchers. */
static bool is_watched_by(const client *c, const dict_entry *entry)
{
    const watchers *w = entry->value;
    for (size_t i = 0; i < c->watches.count && w->clients.count > c->watches.count; i++) {
        if (c->watches.items[i].key == entry) {
            return true;
        }
    }
    for (size_t i = 0; i < w->clients.count && w->clients.count <= c->watches.count; i++) {
        if (w->clients.items[i] == c) {
            return true;
        }
    }
    return false;
}

static void drop_key(server *s, dict_entry *entry)
{
    watchers *w = entry->value;
    if (w != NULL) {
        BRISK_VEC_DEINIT(&w->clients);
        s->alloc->release(s->alloc->ctx, w, sizeof *w, _Alignof(watchers));
    }
    dict_remove(&s->watched, entry);
}

static size_t kept_bytes(size_t key_size)
{
    return key_size + KEPT_OVERHEAD;
}

/* False: out of memory. */
static bool add_watch(client *c, resp_bytes key, bool *ret_new)
{
    server *s = c->server;
    dict_entry *entry = dict_add(&s->watched, key.data, key.size);
    if (entry == NULL) {
        return false;
    }
    if (entry->value == NULL) {
        watchers *w = s->alloc->acquire(s->alloc->ctx, sizeof *w, _Alignof(watchers));
        if (w == NULL) {
            dict_remove(&s->watched, entry);
            return false;
        }
        *w = (watchers){0};
        w->clients.alloc = s->alloc;
        entry->value = w;
    }
    if (is_watched_by(c, entry)) {
        return true;
    }
    watchers *w = entry->value;
    client_watch own = {.key = entry, .existed = keyspace_has(&s->keys, key)};
    *ret_new = true;
    if (c->watches.count >= WATCHES_MAX || !BRISK_VEC_PUSH(&w->clients, c)) {
        if (w->clients.count == 0) {
            drop_key(s, entry);
        }
        return false;
    }
    if (!BRISK_VEC_PUSH(&c->watches, own)) {
        w->clients.count--;
        if (w->clients.count == 0) {
            drop_key(s, entry);
        }
        return false;
    }
    return true;
}

static bool watch(client *c, resp_bytes key)
{
    bool is_new = false;
    if (!server_keep(c->server, kept_bytes(key.size))) {
        return false;
    }
    bool good = add_watch(c, key, &is_new);
    if (!good || !is_new) {
        server_let_go(c->server, kept_bytes(key.size));
    }
    return good;
}

void multi_unwatch(client *c)
{
    for (size_t i = 0; i < c->watches.count; i++) {
        dict_entry *entry = c->watches.items[i].key;
        watchers *w = entry->value;
        server_let_go(c->server, kept_bytes(entry->size));
        for (size_t j = 0; j < w->clients.count; j++) {
            if (w->clients.items[j] == c) {
                w->clients.items[j] = w->clients.items[--w->clients.count];
                break;
            }
        }
        if (w->clients.count == 0) {
            drop_key(c->server, entry);
        }
    }
    BRISK_VEC_DEINIT(&c->watches);
    c->flags &= ~(uint32_t)CLIENT_DIRTY_CAS;
}

void multi_touch(server *s, resp_bytes key)
{
    dict_entry *entry = dict_find(&s->watched, key.data, key.size);
    const watchers *w = entry != NULL ? entry->value : NULL;
    for (size_t i = 0; w != NULL && i < w->clients.count; i++) {
        w->clients.items[i]->flags |= CLIENT_DIRTY_CAS;
    }
}

void multi_touch_all(server *s)
{
    for (client *c = s->clients; c != NULL; c = c->next) {
        for (size_t i = 0; i < c->watches.count; i++) {
            const client_watch *own = &c->watches.items[i];
            resp_bytes key = {.data = own->key->key, .size = own->key->size};
            if (keyspace_has(&s->keys, key)) {
                c->flags |= CLIENT_DIRTY_CAS;
            }
        }
    }
}

/* Has a watched key expired? */
static bool watched_expired(client *c)
{
    for (size_t i = 0; i < c->watches.count; i++) {
        const client_watch *own = &c->watches.items[i];
        resp_bytes key = {.data = own->key->key, .size = own->key->size};
        if (own->existed && !keyspace_has(&c->server->keys, key)) {
            return true;
        }
    }
    return false;
}

static void cmd_watch(client *c, const resp_bytes *argv, uint32_t argc)
{
    if ((c->flags & CLIENT_MULTI) != 0) {
        reply_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (uint32_t i = 1; i < argc && (c->flags & CLIENT_DIRTY_CAS) == 0; i++) {
        if (!watch(c, argv[i])) {
            reply_error(c, "OOM out of memory");
            return;
        }
    }
    reply_ok(c);
}

static void cmd_unwatch(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    multi_unwatch(c);
    reply_ok(c);
}

/* --- queueing and running ----------------------------------------------------------------- */

static void cmd_multi(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    if ((c->flags & CLIENT_MULTI) != 0) {
        reply_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->flags |= CLIENT_MULTI;
    reply_ok(c);
}

static void cmd_discard(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    if ((c->flags & CLIENT_MULTI) == 0) {
        reply_error(c, "ERR DISCARD without MULTI");
        return;
    }
    client_discard(c);
    multi_unwatch(c);
    reply_ok(c);
}

bool multi_writes(const client *c)
{
    for (size_t i = 0; i < c->queue.count; i++) {
        if ((c->queue.items[i].command->flags & CMD_WRITE) != 0) {
            return true;
        }
    }
    return false;
}

/* Run what is queued; false: not at all, and why was said. */
static bool may_exec(client *c)
{
    if ((c->flags & CLIENT_DIRTY_EXEC) != 0) {
        reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
        return false;
    }
    if ((c->flags & CLIENT_DIRTY_CAS) != 0 || watched_expired(c)) {
        resp_put_null_array(&c->worker->out);
        return false;
    }
    return true;
}

void command_exec(client *c, const resp_bytes *argv, uint32_t argc)
{
    if ((c->flags & CLIENT_MULTI) == 0) {
        reply_error(c, "ERR EXEC without MULTI");
        return;
    }
    if (may_exec(c)) {
        multi_unwatch(c); /* what it does itself is no reason to refuse */
        c->flags |= CLIENT_IN_EXEC;
        resp_put_array(&c->worker->out, c->queue.count);
        for (size_t i = 0; i < c->queue.count; i++) {
            const client_held *held = &c->queue.items[i];
            c->worker->out.protocol = c->protocol;
            command_call(c, held->command, held->argv, held->argc);
            BRISK_ASSERT(c->block == CLIENT_READY);
        }
        c->flags &= ~(uint32_t)CLIENT_IN_EXEC;
    }
    client_discard(c);
    multi_unwatch(c);
    if (c->server->monitor_count > 0) {
        monitor_feed(c, c->last_command, argv, argc);
    }
}

#define EXEC_FLAGS (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY)

static const command rows[] = {
    {.name = "multi",
     .summary = "Begins a transaction",
     .since = "1.2.0",
     .group = "transactions",
     .complexity = "O(1)",
     .run = cmd_multi,
     .arity = 1,
     .flags = EXEC_FLAGS,
     .categories = CAT_FAST | CAT_TRANSACTION},
    {.name = "exec",
     .summary = "Runs all commands of a transaction",
     .since = "1.2.0",
     .group = "transactions",
     .complexity = "Depends on commands in the transaction",
     .run = command_exec,
     .arity = 1,
     .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_MONITOR | CMD_SKIP_SLOWLOG,
     .categories = CAT_SLOW | CAT_TRANSACTION},
    {.name = "discard",
     .summary = "Forgets a transaction",
     .since = "2.0.0",
     .group = "transactions",
     .complexity = "O(N), when N is the number of queued commands",
     .run = cmd_discard,
     .arity = 1,
     .flags = EXEC_FLAGS,
     .categories = CAT_FAST | CAT_TRANSACTION},
    {.name = "watch",
     .summary = "A transaction will do nothing when one of the keys changes",
     .since = "2.2.0",
     .group = "transactions",
     .complexity = "O(1) for every key.",
     .synopsis = "key [key ...]",
     .run = cmd_watch,
     .arity = -2,
     .flags = EXEC_FLAGS,
     .categories = CAT_FAST | CAT_TRANSACTION,
     .key_first = 1,
     .key_last = -1,
     .key_step = 1,
     .key_flags = "RO"},
    {.name = "unwatch",
     .summary = "Forgets all watched keys",
     .since = "2.2.0",
     .group = "transactions",
     .complexity = "O(1)",
     .run = cmd_unwatch,
     .arity = 1,
     .flags = EXEC_FLAGS,
     .categories = CAT_FAST | CAT_TRANSACTION},
};

bool multi_is_immediate(const command *cmd)
{
    return cmd->run == command_exec || cmd->run == cmd_discard || cmd->run == cmd_multi ||
           cmd->run == cmd_watch || cmd->run == command_quit || cmd->run == command_reset;
}

const command_family family_multi = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
