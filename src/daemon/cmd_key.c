/*
 * cmd_key.c -- keys as such: DEL, EXISTS, TYPE, RENAME, COPY, TOUCH, RANDOMKEY, FLUSHALL ...
 */
#include <string.h>

#include "daemon/command.h"
#include "daemon/server.h"

/* --- removing and asking ------------------------------------------------------------------ */

static void remove_keys(client *c, const resp_bytes *argv, uint32_t argc, const char *event)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < argc; i++) {
        if (keyspace_remove(&c->server->keys, argv[i])) {
            changed(c, argv[i], NOTIFY_GENERIC, event);
            count++;
        } else if (c->server->disk != NULL) {
            changed_quietly(c, argv[i]); /* on disk it may be, pushed out by the other keys */
        }
    }
    resp_put_integer(&c->worker->out, count);
}

static void cmd_del(client *c, const resp_bytes *argv, uint32_t argc)
{
    remove_keys(c, argv, argc, "del");
}

static void cmd_exists(client *c, const resp_bytes *argv, uint32_t argc)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < argc; i++) {
        count += keyspace_has(&c->server->keys, argv[i]) ? 1 : 0;
    }
    resp_put_integer(&c->worker->out, count);
}

static void cmd_touch(client *c, const resp_bytes *argv, uint32_t argc)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < argc; i++) {
        keyspace_view view;
        if (keyspace_view_open(&c->server->keys, argv[i], &view)) {
            keyspace_view_close(&view);
            count++;
        }
    }
    resp_put_integer(&c->worker->out, count);
}

static void cmd_type(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_put_status(&c->worker->out, keyspace_has(&c->server->keys, argv[1]) ? "string" : "none");
}

/* --- moving ------------------------------------------------------------------------------- */

/* `to` becomes what `from` is, expiry included; false: the error was sent. */
static bool copy_key(client *c, resp_bytes from, resp_bytes to)
{
    keyspace *keys = &c->server->keys;
    keyspace_view view;
    if (!keyspace_view_open(keys, from, &view)) {
        reply_error(c, "ERR no such key");
        return false;
    }
    resp_bytes value = {.data = view.data, .size = view.size};
    brisk_err err = keyspace_put(keys, to, value, view.expires_at_ns);
    keyspace_view_close(&view);
    return reply_stored(c, err);
}

static void rename_key(client *c, const resp_bytes *argv, bool if_absent)
{
    keyspace *keys = &c->server->keys;
    resp_bytes from = argv[1];
    resp_bytes to = argv[2];
    if (!keyspace_has(keys, from)) {
        reply_error(c, "ERR no such key");
        return;
    }
    bool same = from.size == to.size && memcmp(from.data, to.data, to.size) == 0;
    if (if_absent && (same || keyspace_has(keys, to))) {
        resp_put_integer(&c->worker->out, 0);
        return;
    }
    if (!same) {
        if (!copy_key(c, from, to)) {
            return;
        }
        (void)keyspace_remove(keys, from);
        changed(c, from, NOTIFY_GENERIC, "rename_from");
        changed(c, to, NOTIFY_GENERIC, "rename_to");
    }
    if (if_absent) {
        resp_put_integer(&c->worker->out, 1);
    } else {
        reply_ok(c);
    }
}

static void cmd_rename(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    rename_key(c, argv, false);
}

static void cmd_renamenx(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    rename_key(c, argv, true);
}

static void cmd_copy(client *c, const resp_bytes *argv, uint32_t argc)
{
    keyspace *keys = &c->server->keys;
    bool replace = false;
    for (uint32_t i = 3; i < argc; i++) {
        int64_t db;
        if (resp_bytes_equal_nocase(argv[i], "replace")) {
            replace = true;
        } else if (resp_bytes_equal_nocase(argv[i], "db") && i + 1 < argc) {
            if (!arg_i64(c, argv[++i], &db)) {
                return;
            }
            if (db != 0) {
                reply_error(c, "ERR DB index is out of range");
                return;
            }
        } else {
            reply_syntax_error(c);
            return;
        }
    }
    if (argv[1].size == argv[2].size && memcmp(argv[1].data, argv[2].data, argv[1].size) == 0) {
        reply_error(c, "ERR source and destination objects are the same");
        return;
    }
    if (!keyspace_has(keys, argv[1]) || (!replace && keyspace_has(keys, argv[2]))) {
        resp_put_integer(&c->worker->out, 0);
    } else if (copy_key(c, argv[1], argv[2])) {
        changed(c, argv[2], NOTIFY_GENERIC, "copy_to");
        resp_put_integer(&c->worker->out, 1);
    }
}

static void cmd_move(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t db;
    if (!resp_parse_i64(argv[2].data, argv[2].size, &db)) {
        reply_error(c, "ERR value is not an integer or out of range");
    } else if (db == 0) {
        reply_error(c, "ERR source and destination objects are the same");
    } else {
        reply_error(c, "ERR DB index is out of range");
    }
}

/* --- all ---------------------------------------------------------------------------------- */

static bool parse_flush(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc == 1 || (argc == 2 && (resp_bytes_equal_nocase(argv[1], "sync") ||
                                    resp_bytes_equal_nocase(argv[1], "async")))) {
        return true;
    }
    reply_syntax_error(c);
    return false;
}

static void cmd_flush(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (!parse_flush(c, argv, argc)) {
        return;
    }
    changes_of_all(c->server); /* before: who watches a key that is there is told */
    keyspace_clear(&c->server->keys);
    reply_ok(c);
}

static void cmd_select(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t db;
    if (!resp_parse_i64(argv[1].data, argv[1].size, &db)) {
        reply_error(c, "ERR invalid DB index");
    } else if (db != 0) {
        reply_error(c, "ERR DB index is out of range");
    } else {
        reply_ok(c);
    }
}

static void cmd_swapdb(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t a;
    int64_t b;
    if (!resp_parse_i64(argv[1].data, argv[1].size, &a)) {
        reply_error(c, "ERR invalid first DB index");
    } else if (!resp_parse_i64(argv[2].data, argv[2].size, &b)) {
        reply_error(c, "ERR invalid second DB index");
    } else if (a != 0 || b != 0) {
        reply_error(c, "ERR DB index is out of range");
    } else {
        reply_ok(c);
    }
}

#define KEY_ROW(n, what, ver, fn, args, count, last, more, cats, keys)                             \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "generic", .complexity = "O(N)",  \
        .synopsis = (args), .run = (fn), .arity = (count), .flags = (more),                        \
        .categories = CAT_KEYSPACE | (cats), .key_first = 1, .key_last = (last), .key_step = 1,    \
        .key_flags = (keys)                                                                        \
    }

#define ALL_ROW(n, what, ver, fn, args, count, more, cats)                                         \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "server", .complexity = "O(1)",   \
        .synopsis = (args), .run = (fn), .arity = (count), .flags = (more), .categories = (cats)   \
    }

static const command rows[] = {
    KEY_ROW("del", "Removes keys", "1.0.0", cmd_del, "key [key ...]", -2, -1, CMD_WRITE,
            CAT_WRITE | CAT_SLOW, "RM delete"),
    KEY_ROW("unlink", "Removes keys", "4.0.0", cmd_del, "key [key ...]", -2, -1,
            CMD_WRITE | CMD_FAST, CAT_WRITE | CAT_FAST, "RM delete"),
    KEY_ROW("exists", "Counts which of the keys are there", "1.0.0", cmd_exists, "key [key ...]",
            -2, -1, CMD_READONLY | CMD_FAST, CAT_READ | CAT_FAST, "RO"),
    KEY_ROW("touch", "Counts which of the keys are there, as a use of them", "3.2.1", cmd_touch,
            "key [key ...]", -2, -1, CMD_READONLY | CMD_FAST, CAT_READ | CAT_FAST, "RO"),
    KEY_ROW("type", "The type of a value", "1.0.0", cmd_type, "key", 2, 1, CMD_READONLY | CMD_FAST,
            CAT_READ | CAT_FAST, "RO"),
    KEY_ROW("rename", "Gives a key another name", "1.0.0", cmd_rename, "key newkey", 3, 2,
            CMD_WRITE, CAT_WRITE | CAT_SLOW, "RW access delete"),
    KEY_ROW("renamenx", "Gives a key another name unless that is taken", "1.0.0", cmd_renamenx,
            "key newkey", 3, 2, CMD_WRITE | CMD_FAST, CAT_WRITE | CAT_FAST, "RW access delete"),
    KEY_ROW("copy", "Copies a value to another key", "6.2.0", cmd_copy,
            "source destination [DB destination-db] [REPLACE]", -3, 2, CMD_WRITE | CMD_DENYOOM,
            CAT_WRITE | CAT_SLOW, "RO access"),
    KEY_ROW("move", "Moves a key to another database; there is one", "1.0.0", cmd_move, "key db", 3,
            1, CMD_WRITE | CMD_FAST, CAT_WRITE | CAT_FAST, "RW access delete"),
    ALL_ROW("flushall", "Removes everything", "1.0.0", cmd_flush, "[ASYNC|SYNC]", -1, CMD_WRITE,
            CAT_KEYSPACE | CAT_WRITE | CAT_SLOW | CAT_DANGEROUS),
    ALL_ROW("flushdb", "Removes everything", "1.0.0", cmd_flush, "[ASYNC|SYNC]", -1, CMD_WRITE,
            CAT_KEYSPACE | CAT_WRITE | CAT_SLOW | CAT_DANGEROUS),
    ALL_ROW("select", "Chooses the database; there is one, 0", "1.0.0", cmd_select, "index", 2,
            CMD_LOADING | CMD_STALE | CMD_FAST, CAT_FAST | CAT_CONNECTION),
    ALL_ROW("swapdb", "Exchanges two databases; there is one, 0", "4.0.0", cmd_swapdb,
            "index1 index2", 3, CMD_WRITE | CMD_FAST,
            CAT_KEYSPACE | CAT_WRITE | CAT_FAST | CAT_DANGEROUS),
};

const command_family family_key = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
