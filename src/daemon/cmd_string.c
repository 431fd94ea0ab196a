/*
 * cmd_string.c -- strings: GET, SET with all its options, MGET and MSET, ranges.
 *
 * APPEND and SETRANGE change the value where it lies (keyspace_update), so that building a long
 * value piece by piece costs what its bytes cost.
 */
#include <string.h>

#include "daemon/command.h"
#include "daemon/expiry.h"
#include "daemon/server.h"
#include "daemon/store.h"

/* --- shared ------------------------------------------------------------------------------- */

/* GET's reply, counted. */
static void write_value(client *c, resp_bytes key)
{
    server *s = c->server;
    if (keyspace_write(&s->keys, key, &c->worker->out)) {
        s->stats.hits++;
        return;
    }
    s->stats.misses++;
    resp_put_null(&c->worker->out);
    if ((s->notify & NOTIFY_MISS) != 0) {
        notify(s, NOTIFY_MISS, "keymiss", key);
    }
}

/* Store and tell; false: the error was sent. */
bool store_string(client *c, resp_bytes key, resp_bytes value, uint64_t expires_at_ns)
{
    server *s = c->server;
    bool is_new = (s->notify & NOTIFY_NEW) != 0 && !keyspace_has(&s->keys, key);
    brisk_err err = keyspace_put(&s->keys, key, value, expires_at_ns);
    if (err != BRISK_OK) {
        changed_quietly(c, key); /* whatever was there is gone */
        return reply_stored(c, err);
    }
    if (is_new) {
        notify(s, NOTIFY_NEW, "new", key);
    }
    changed(c, key, NOTIFY_STRING, "set");
    return true;
}

/* --- GET and SET -------------------------------------------------------------------------- */

static void cmd_get(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    write_value(c, argv[1]);
}

typedef struct set_options {
    expiry_option expiry;
    bool if_absent;
    bool if_present;
    bool get;
} set_options;

static bool parse_set(client *c, const resp_bytes *argv, uint32_t argc, set_options *ret)
{
    for (uint32_t i = 3; i < argc; i++) {
        int timed = 0;
        if (resp_bytes_equal_nocase(argv[i], "nx") && !ret->if_present) {
            ret->if_absent = true;
        } else if (resp_bytes_equal_nocase(argv[i], "xx") && !ret->if_absent) {
            ret->if_present = true;
        } else if (resp_bytes_equal_nocase(argv[i], "get")) {
            ret->get = true;
        } else if (resp_bytes_equal_nocase(argv[i], "keepttl") && !ret->expiry.given) {
            ret->expiry.keep = true;
        } else if ((timed = expiry_parse(c, argv, argc, &i, &ret->expiry)) < 0) {
            return false;
        } else if (timed == 0) {
            reply_syntax_error(c);
            return false;
        }
    }
    return true;
}

static void set_with_options(client *c, const resp_bytes *argv, const set_options *o)
{
    server *s = c->server;
    brisk_entry_info info = {0};
    bool there = (o->if_absent || o->if_present || o->expiry.keep) &&
                 keyspace_info(&s->keys, argv[1], &info);
    size_t mark = c->worker->out.size;
    if (o->get) {
        write_value(c, argv[1]);
    }
    if ((o->if_absent && there) || (o->if_present && !there)) {
        if (!o->get) {
            resp_put_null(&c->worker->out);
        }
        return;
    }
    uint64_t expires_at_ns = o->expiry.keep ? info.expires_at_ns : 0;
    if (o->expiry.given) {
        expires_at_ns = expiry_ns(o->expiry.at_ms);
    }
    if (o->expiry.given && expires_at_ns <= s->wall_ns) {
        (void)keyspace_remove(&s->keys, argv[1]);
        changed(c, argv[1], NOTIFY_GENERIC, "del");
    } else {
        size_t before = c->worker->out.size;
        if (!store_string(c, argv[1], argv[2], expires_at_ns)) {
            resp_writer *out = &c->worker->out; /* the error instead of the old value */
            memmove(out->data + mark, out->data + before, out->size - before);
            out->size -= before - mark;
            return;
        }
        if (o->expiry.given) {
            notify(s, NOTIFY_GENERIC, "expire", argv[1]);
        }
    }
    if (!o->get) {
        reply_ok(c);
    }
}

static void cmd_set(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc == 3) {
        if (store_string(c, argv[1], argv[2], 0)) {
            reply_ok(c);
        }
        return;
    }
    set_options options = {0};
    if (parse_set(c, argv, argc, &options)) {
        set_with_options(c, argv, &options);
    }
}

static void cmd_setnx(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    if (keyspace_has(&c->server->keys, argv[1])) {
        resp_put_integer(&c->worker->out, 0);
    } else if (store_string(c, argv[1], argv[2], 0)) {
        resp_put_integer(&c->worker->out, 1);
    }
}

static void set_expiring(client *c, const resp_bytes *argv, expiry_unit unit)
{
    int64_t value;
    int64_t at_ms;
    if (!arg_i64(c, argv[2], &value)) {
        return;
    }
    if (value <= 0 || !expiry_ms(c->server, value, unit, false, &at_ms)) {
        expiry_error(c);
        return;
    }
    if (store_string(c, argv[1], argv[3], expiry_ns(at_ms))) {
        notify(c->server, NOTIFY_GENERIC, "expire", argv[1]);
        reply_ok(c);
    }
}

static void cmd_setex(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    set_expiring(c, argv, EXPIRY_SECONDS);
}

static void cmd_psetex(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    set_expiring(c, argv, EXPIRY_MS);
}

static void cmd_getset(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    set_options options = {.get = true};
    set_with_options(c, argv, &options);
}

static void cmd_getdel(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    write_value(c, argv[1]);
    if (keyspace_remove(&c->server->keys, argv[1])) {
        changed(c, argv[1], NOTIFY_GENERIC, "del");
    }
}

static void cmd_getex(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    expiry_option expiry = {0};
    for (uint32_t i = 2; i < argc; i++) {
        int timed = 0;
        if (resp_bytes_equal_nocase(argv[i], "persist") && !expiry.given && !expiry.persist) {
            expiry.persist = true;
        } else if ((timed = expiry_parse(c, argv, argc, &i, &expiry)) < 0) {
            return;
        } else if (timed == 0) {
            reply_syntax_error(c);
            return;
        }
    }
    size_t mark = c->worker->out.size;
    write_value(c, argv[1]);
    brisk_entry_info info;
    if (c->worker->out.size == mark || !keyspace_info(&s->keys, argv[1], &info)) {
        return;
    }
    if (expiry.given && expiry_ns(expiry.at_ms) <= s->wall_ns) {
        (void)keyspace_remove(&s->keys, argv[1]);
        changed(c, argv[1], NOTIFY_GENERIC, "del");
    } else if (expiry.given && keyspace_expire(&s->keys, argv[1], expiry_ns(expiry.at_ms))) {
        changed(c, argv[1], NOTIFY_GENERIC, "expire");
    } else if (expiry.persist && info.expires_at_ns != 0 && keyspace_expire(&s->keys, argv[1], 0)) {
        changed(c, argv[1], NOTIFY_GENERIC, "persist");
    }
}

/* --- several ------------------------------------------------------------------------------ */

static void cmd_mget(client *c, const resp_bytes *argv, uint32_t argc)
{
    keyspace *keys = &c->server->keys;
    resp_put_array(&c->worker->out, argc - 1);
    for (uint32_t at = 1; at < argc;) {
        brisk_key ahead[BATCH_MAX];
        uint32_t count = argc - at < BATCH_MAX ? argc - at : BATCH_MAX;
        for (uint32_t i = 0; i < count; i++) {
            resp_bytes key = argv[at + i];
            ahead[i] = brisk_key_of(key.size > 0 ? key.data : (const unsigned char *)"",
                                    key.size > 0 ? key.size : 1);
        }
        brisk_memory_prefetch(keys->tier, ahead, count);
        keyspace_hint(keys, ahead, count);
        for (uint32_t i = 0; i < count; i++) {
            write_value(c, argv[at + i]);
        }
        keyspace_hint(keys, NULL, 0);
        at += count;
    }
}

static void cmd_mset(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc % 2 == 0) {
        reply_error(c, "ERR wrong number of arguments for 'mset' command");
        return;
    }
    for (uint32_t i = 1; i < argc; i += 2) {
        if (!store_string(c, argv[i], argv[i + 1], 0)) {
            return;
        }
    }
    reply_ok(c);
}

static void cmd_msetnx(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc % 2 == 0) {
        reply_error(c, "ERR wrong number of arguments for 'msetnx' command");
        return;
    }
    for (uint32_t i = 1; i < argc; i += 2) {
        if (keyspace_has(&c->server->keys, argv[i])) {
            resp_put_integer(&c->worker->out, 0);
            return;
        }
    }
    for (uint32_t i = 1; i < argc; i += 2) {
        if (!store_string(c, argv[i], argv[i + 1], 0)) {
            return;
        }
    }
    resp_put_integer(&c->worker->out, 1);
}

/* --- parts -------------------------------------------------------------------------------- */

static void cmd_strlen(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    brisk_entry_info info;
    bool there = keyspace_info(&c->server->keys, argv[1], &info);
    resp_put_integer(&c->worker->out, there ? (int64_t)info.size : 0);
}

/* First and last of `size` bytes, as Redis counts them; false: nothing. */
static bool clip_range(int64_t size, int64_t *start, int64_t *end)
{
    if (*start < 0 && *end < 0 && *start > *end) {
        return false;
    }
    *start = *start < 0 ? *start + size : *start;
    *end = *end < 0 ? *end + size : *end;
    *start = *start < 0 ? 0 : *start;
    *end = *end < 0 ? 0 : *end;
    *end = *end >= size ? size - 1 : *end;
    return size > 0 && *start <= *end;
}

static void cmd_getrange(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t start;
    int64_t end;
    keyspace_view view;
    if (!arg_i64(c, argv[2], &start) || !arg_i64(c, argv[3], &end)) {
        return;
    }
    if (!keyspace_view_open(&c->server->keys, argv[1], &view)) {
        c->server->stats.misses++;
        resp_put_bulk(&c->worker->out, "", 0);
        return;
    }
    c->server->stats.hits++;
    if (clip_range((int64_t)view.size, &start, &end)) {
        resp_put_bulk(&c->worker->out, view.data + start, (size_t)(end - start + 1));
    } else {
        resp_put_bulk(&c->worker->out, "", 0);
    }
    keyspace_view_close(&view);
}

/* What APPEND and SETRANGE write, and where. */
typedef struct patch {
    resp_bytes bytes;
    size_t offset;
    bool at_end;
    uint64_t size_max;
    size_t size; /* afterwards */
    bool was_new;
} patch;

static brisk_err apply_patch(void *ctx, brisk_memory_edit *edit)
{
    patch *p = ctx;
    size_t offset = p->at_end ? edit->size : p->offset;
    p->was_new = !edit->present;
    if (offset > p->size_max || p->bytes.size > p->size_max - offset) {
        return BRISK_ERR_LIMIT;
    }
    size_t wanted = offset + p->bytes.size;
    if ((wanted > edit->size || !edit->present) &&
        !edit->resize(edit, wanted > edit->size ? wanted : edit->size)) {
        return BRISK_ERR_FULL;
    }
    if (p->bytes.size > 0) {
        memcpy(edit->data + offset, p->bytes.data, p->bytes.size);
    }
    p->size = edit->size;
    return BRISK_OK;
}

static void cmd_append(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    patch p = {.bytes = argv[2], .at_end = true, .size_max = c->server->limits.bulk_max};
    if (reply_stored(c, keyspace_update(&c->server->keys, argv[1], apply_patch, &p))) {
        if (p.was_new) {
            notify(c->server, NOTIFY_NEW, "new", argv[1]);
        }
        changed(c, argv[1], NOTIFY_STRING, "append");
        resp_put_integer(&c->worker->out, (int64_t)p.size);
    }
}

static void cmd_setrange(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t offset;
    if (!arg_i64(c, argv[2], &offset)) {
        return;
    }
    if (offset < 0) {
        reply_error(c, "ERR offset is out of range");
        return;
    }
    if (argv[3].size == 0) {
        cmd_strlen(c, argv, 2);
        return;
    }
    patch p = {.bytes = argv[3], .offset = (size_t)offset, .size_max = c->server->limits.bulk_max};
    if (reply_stored(c, keyspace_update(&c->server->keys, argv[1], apply_patch, &p))) {
        if (p.was_new) {
            notify(c->server, NOTIFY_NEW, "new", argv[1]);
        }
        changed(c, argv[1], NOTIFY_STRING, "setrange");
        resp_put_integer(&c->worker->out, (int64_t)p.size);
    }
}

/* --- rows --------------------------------------------------------------------------------- */

#define STRING_ROW(n, what, ver, fn, args, count, more, cats, keys)                                \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "string", .complexity = "O(1)",   \
        .synopsis = (args), .run = (fn), .arity = (count), .flags = (more),                        \
        .categories = CAT_STRING | (cats), .key_first = 1, .key_last = 1, .key_step = 1,           \
        .key_flags = (keys)                                                                        \
    }

#define WRITES (CMD_WRITE | CMD_DENYOOM)

static const command rows[] = {
    STRING_ROW("get", "The value of a key", "1.0.0", cmd_get, "key", 2, CMD_READONLY | CMD_FAST,
               CAT_READ | CAT_FAST, "RO access"),
    STRING_ROW("set", "Sets the value of a key", "1.0.0", cmd_set,
               "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT "
               "unix-time-milliseconds|KEEPTTL]",
               -3, WRITES | CMD_OVERWRITES, CAT_WRITE | CAT_SLOW, "OW update"),
    STRING_ROW("setnx", "Sets a value unless the key is there", "1.0.0", cmd_setnx, "key value", 3,
               WRITES | CMD_FAST, CAT_WRITE | CAT_FAST, "OW insert"),
    STRING_ROW("setex", "Sets a value that expires after seconds", "2.0.0", cmd_setex,
               "key seconds value", 4, WRITES | CMD_OVERWRITES, CAT_WRITE | CAT_SLOW, "OW update"),
    STRING_ROW("psetex", "Sets a value that expires after milliseconds", "2.6.0", cmd_psetex,
               "key milliseconds value", 4, WRITES | CMD_OVERWRITES, CAT_WRITE | CAT_SLOW,
               "OW update"),
    STRING_ROW("getset", "Sets a value and returns the old one", "1.0.0", cmd_getset, "key value",
               3, WRITES | CMD_FAST, CAT_WRITE | CAT_FAST, "RW access update"),
    STRING_ROW("getdel", "Returns a value and removes the key", "6.2.0", cmd_getdel, "key", 2,
               CMD_WRITE | CMD_FAST, CAT_WRITE | CAT_FAST, "RW access delete"),
    STRING_ROW("getex", "Returns a value and sets when it expires", "6.2.0", cmd_getex,
               "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT "
               "unix-time-milliseconds|PERSIST]",
               -2, CMD_WRITE | CMD_FAST, CAT_WRITE | CAT_FAST, "RW access update"),
    {.name = "mget",
     .summary = "The values of several keys",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(N) where N is the number of keys",
     .synopsis = "key [key ...]",
     .run = cmd_mget,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     .categories = CAT_STRING | CAT_READ | CAT_FAST,
     .key_first = 1,
     .key_last = -1,
     .key_step = 1,
     .key_flags = "RO access"},
    {.name = "mset",
     .summary = "Sets the values of several keys",
     .since = "1.0.1",
     .group = "string",
     .complexity = "O(N) where N is the number of keys",
     .synopsis = "key value [key value ...]",
     .run = cmd_mset,
     .arity = -3,
     .flags = WRITES | CMD_OVERWRITES,
     .categories = CAT_STRING | CAT_WRITE | CAT_SLOW,
     .key_first = 1,
     .key_last = -1,
     .key_step = 2,
     .key_flags = "OW update"},
    {.name = "msetnx",
     .summary = "Sets several values unless one of the keys is there",
     .since = "1.0.1",
     .group = "string",
     .complexity = "O(N) where N is the number of keys",
     .synopsis = "key value [key value ...]",
     .run = cmd_msetnx,
     .arity = -3,
     .flags = WRITES,
     .categories = CAT_STRING | CAT_WRITE | CAT_SLOW,
     .key_first = 1,
     .key_last = -1,
     .key_step = 2,
     .key_flags = "OW insert"},
    STRING_ROW("strlen", "The size of a value", "2.2.0", cmd_strlen, "key", 2,
               CMD_READONLY | CMD_FAST, CAT_READ | CAT_FAST, "RO"),
    STRING_ROW("getrange", "A part of a value", "2.4.0", cmd_getrange, "key start end", 4,
               CMD_READONLY, CAT_READ | CAT_SLOW, "RO access"),
    STRING_ROW("substr", "A part of a value", "1.0.0", cmd_getrange, "key start end", 4,
               CMD_READONLY, CAT_READ | CAT_SLOW, "RO access"),
    STRING_ROW("append", "Adds to the end of a value", "2.0.0", cmd_append, "key value", 3,
               WRITES | CMD_FAST, CAT_WRITE | CAT_FAST, "RW insert"),
    STRING_ROW("setrange", "Overwrites a part of a value", "2.2.0", cmd_setrange,
               "key offset value", 4, WRITES, CAT_WRITE | CAT_SLOW, "RW update"),
};

const command_family family_string = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
