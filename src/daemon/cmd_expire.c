/*
 * cmd_expire.c -- EXPIRE and its relatives, TTL and its relatives, PERSIST.
 *
 * A time that has passed removes the key at once ("del"), as in Redis.
 */
#include "daemon/command.h"
#include "daemon/expiry.h"
#include "daemon/server.h"

enum expire_condition { WHEN_NONE = 1, WHEN_ANY = 2, WHEN_LATER = 4, WHEN_SOONER = 8 };

/* --- times -------------------------------------------------------------------------------- */

int64_t expiry_now_ms(const server *s)
{
    return (int64_t)(s->wall_ns / 1000000);
}

bool expiry_ms(const server *s, int64_t value, expiry_unit unit, bool absolute, int64_t *ret_ms)
{
    int64_t ms = value;
    if (unit == EXPIRY_SECONDS && __builtin_mul_overflow(value, 1000, &ms)) {
        return false;
    }
    if (!absolute && __builtin_add_overflow(ms, expiry_now_ms(s), &ms)) {
        return false;
    }
    *ret_ms = ms;
    return true;
}

uint64_t expiry_ns(int64_t ms)
{
    uint64_t ns;
    if (ms <= 0) {
        return 1;
    }
    if (__builtin_mul_overflow((uint64_t)ms, UINT64_C(1000000), &ns) || ns > EXPIRY_NS_MAX) {
        return EXPIRY_NS_MAX;
    }
    return ns;
}

void expiry_error(client *c)
{
    char name[64];
    command_full_name(c->last_command, name, sizeof name);
    reply_error(c, "ERR invalid expire time in '%s' command", name);
}

int expiry_parse(client *c, const resp_bytes *argv, uint32_t argc, uint32_t *at,
                 expiry_option *option)
{
    static const struct {
        const char *word;
        expiry_unit unit;
        bool absolute;
    } words[] = {{"ex", EXPIRY_SECONDS, false},
                 {"px", EXPIRY_MS, false},
                 {"exat", EXPIRY_SECONDS, true},
                 {"pxat", EXPIRY_MS, true}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!resp_bytes_equal_nocase(argv[*at], words[i].word)) {
            continue;
        }
        if (option->given || option->keep || option->persist || *at + 1 == argc) {
            reply_syntax_error(c);
            return -1;
        }
        int64_t value;
        if (!arg_i64(c, argv[++*at], &value)) {
            return -1;
        }
        if (value <= 0 ||
            !expiry_ms(c->server, value, words[i].unit, words[i].absolute, &option->at_ms)) {
            expiry_error(c);
            return -1;
        }
        option->given = true;
        return 1;
    }
    return 0;
}

/* --- EXPIRE ------------------------------------------------------------------------------- */

static bool parse_conditions(client *c, const resp_bytes *argv, uint32_t argc, uint32_t *ret)
{
    *ret = 0;
    for (uint32_t i = 3; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], "nx")) {
            *ret |= WHEN_NONE;
        } else if (resp_bytes_equal_nocase(argv[i], "xx")) {
            *ret |= WHEN_ANY;
        } else if (resp_bytes_equal_nocase(argv[i], "gt")) {
            *ret |= WHEN_LATER;
        } else if (resp_bytes_equal_nocase(argv[i], "lt")) {
            *ret |= WHEN_SOONER;
        } else {
            reply_error(c, "ERR Unsupported option %.*s",
                        (int)(argv[i].size < 128 ? argv[i].size : 128), (const char *)argv[i].data);
            return false;
        }
    }
    if ((*ret & WHEN_NONE) != 0 && (*ret & (WHEN_ANY | WHEN_LATER | WHEN_SOONER)) != 0) {
        reply_error(c, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*ret & WHEN_LATER) != 0 && (*ret & WHEN_SOONER) != 0) {
        reply_error(c, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

static bool condition_holds(uint32_t conditions, uint64_t before_ns, int64_t at_ms)
{
    bool none = before_ns == 0;
    int64_t before_ms = (int64_t)(before_ns / 1000000);
    if (((conditions & WHEN_NONE) != 0 && !none) || ((conditions & WHEN_ANY) != 0 && none)) {
        return false;
    }
    if ((conditions & WHEN_LATER) != 0 && (none || at_ms <= before_ms)) {
        return false;
    }
    return (conditions & WHEN_SOONER) == 0 || none || at_ms < before_ms;
}

static void expire(client *c, const resp_bytes *argv, uint32_t argc, expiry_unit unit,
                   bool absolute)
{
    server *s = c->server;
    int64_t value;
    int64_t at_ms;
    uint32_t conditions;
    brisk_entry_info info;
    if (!arg_i64(c, argv[2], &value)) {
        return;
    }
    if (!parse_conditions(c, argv, argc, &conditions)) {
        return;
    }
    if (!expiry_ms(s, value, unit, absolute, &at_ms)) {
        expiry_error(c);
        return;
    }
    if (!keyspace_info(&s->keys, argv[1], &info) ||
        !condition_holds(conditions, info.expires_at_ns, at_ms)) {
        resp_put_integer(&c->worker->out, 0);
        return;
    }
    if (at_ms <= expiry_now_ms(s)) {
        (void)keyspace_remove(&s->keys, argv[1]);
        changed(c, argv[1], NOTIFY_GENERIC, "del");
    } else {
        if (!keyspace_expire(&s->keys, argv[1], expiry_ns(at_ms))) {
            (void)reply_stored(c, BRISK_ERR_FULL);
            return;
        }
        changed(c, argv[1], NOTIFY_GENERIC, "expire");
    }
    resp_put_integer(&c->worker->out, 1);
}

static void cmd_expire(client *c, const resp_bytes *argv, uint32_t argc)
{
    expire(c, argv, argc, EXPIRY_SECONDS, false);
}

static void cmd_pexpire(client *c, const resp_bytes *argv, uint32_t argc)
{
    expire(c, argv, argc, EXPIRY_MS, false);
}

static void cmd_expireat(client *c, const resp_bytes *argv, uint32_t argc)
{
    expire(c, argv, argc, EXPIRY_SECONDS, true);
}

static void cmd_pexpireat(client *c, const resp_bytes *argv, uint32_t argc)
{
    expire(c, argv, argc, EXPIRY_MS, true);
}

static void cmd_persist(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    brisk_entry_info info;
    keyspace *keys = &c->server->keys;
    bool had = keyspace_info(keys, argv[1], &info) && info.expires_at_ns != 0;
    if (had && keyspace_expire(keys, argv[1], 0)) {
        changed(c, argv[1], NOTIFY_GENERIC, "persist");
    } else {
        had = false;
    }
    resp_put_integer(&c->worker->out, had ? 1 : 0);
}

/* --- TTL ---------------------------------------------------------------------------------- */

/* -2: no key, -1: never expires; otherwise milliseconds, left or since 1970. */
static int64_t expiry_of(client *c, resp_bytes key, bool absolute)
{
    brisk_entry_info info;
    if (!keyspace_info(&c->server->keys, key, &info)) {
        return -2;
    }
    if (info.expires_at_ns == 0) {
        return -1;
    }
    int64_t ms = (int64_t)(info.expires_at_ns / 1000000);
    int64_t left = ms - expiry_now_ms(c->server);
    return absolute ? ms : (left > 0 ? left : 0);
}

static void cmd_ttl(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t ms = expiry_of(c, argv[1], false);
    resp_put_integer(&c->worker->out, ms < 0 ? ms : (ms + 500) / 1000);
}

static void cmd_pttl(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_put_integer(&c->worker->out, expiry_of(c, argv[1], false));
}

static void cmd_expiretime(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t ms = expiry_of(c, argv[1], true);
    resp_put_integer(&c->worker->out, ms < 0 ? ms : (ms + 500) / 1000);
}

static void cmd_pexpiretime(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_put_integer(&c->worker->out, expiry_of(c, argv[1], true));
}

#define EXPIRE_ROW(n, what, ver, fn, args)                                                         \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "generic", .complexity = "O(1)",  \
        .synopsis = (args), .run = (fn), .arity = -3, .flags = CMD_WRITE | CMD_FAST,               \
        .categories = CAT_KEYSPACE | CAT_WRITE | CAT_FAST, .key_first = 1, .key_last = 1,          \
        .key_step = 1, .key_flags = "RW update"                                                    \
    }

#define TTL_ROW(n, what, ver, fn)                                                                  \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "generic", .complexity = "O(1)",  \
        .synopsis = "key", .run = (fn), .arity = 2, .flags = CMD_READONLY | CMD_FAST,              \
        .categories = CAT_KEYSPACE | CAT_READ | CAT_FAST, .key_first = 1, .key_last = 1,           \
        .key_step = 1, .key_flags = "RO access"                                                    \
    }

static const command rows[] = {
    EXPIRE_ROW("expire", "Sets the time to live of a key in seconds", "1.0.0", cmd_expire,
               "key seconds [NX|XX|GT|LT]"),
    EXPIRE_ROW("pexpire", "Sets the time to live of a key in milliseconds", "2.6.0", cmd_pexpire,
               "key milliseconds [NX|XX|GT|LT]"),
    EXPIRE_ROW("expireat", "Sets when a key expires, in seconds since 1970", "1.2.0", cmd_expireat,
               "key unix-time-seconds [NX|XX|GT|LT]"),
    EXPIRE_ROW("pexpireat", "Sets when a key expires, in milliseconds since 1970", "2.6.0",
               cmd_pexpireat, "key unix-time-milliseconds [NX|XX|GT|LT]"),
    {.name = "persist",
     .summary = "Makes a key live for ever",
     .since = "2.2.0",
     .group = "generic",
     .complexity = "O(1)",
     .synopsis = "key",
     .run = cmd_persist,
     .arity = 2,
     .flags = CMD_WRITE | CMD_FAST,
     .categories = CAT_KEYSPACE | CAT_WRITE | CAT_FAST,
     .key_first = 1,
     .key_last = 1,
     .key_step = 1,
     .key_flags = "RW update"},
    TTL_ROW("ttl", "The seconds that a key has left", "1.0.0", cmd_ttl),
    TTL_ROW("pttl", "The milliseconds that a key has left", "2.6.0", cmd_pttl),
    TTL_ROW("expiretime", "When a key expires, in seconds since 1970", "7.0.0", cmd_expiretime),
    TTL_ROW("pexpiretime", "When a key expires, in milliseconds since 1970", "7.0.0",
            cmd_pexpiretime),
};

const command_family family_expire = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
