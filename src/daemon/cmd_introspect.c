/*
 * cmd_introspect.c -- COMMAND, SLOWLOG, LATENCY, MONITOR.
 */
#include "daemon/introspect.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/glob.h"
#include "daemon/server.h"

/* --- COMMAND ------------------------------------------------------------------------------ */

static const char *const category_names[CAT_COUNT] = {
    "keyspace", "read", "write",    "string",    "bitmap",     "pubsub",     "admin",
    "fast",     "slow", "blocking", "dangerous", "connection", "transaction"};

const char *command_category_name(uint32_t category)
{
    BRISK_ASSERT(category != 0 && __builtin_ctz(category) < CAT_COUNT);
    return category_names[__builtin_ctz(category)];
}

uint32_t command_category_of(resp_bytes name)
{
    for (uint32_t i = 0; i < CAT_COUNT; i++) {
        if (resp_bytes_equal_nocase(name, category_names[i])) {
            return 1u << i;
        }
    }
    return 0;
}

static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {CMD_WRITE, "write"},
    {CMD_READONLY, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_SKIP_MONITOR, "skip_monitor"},
    {CMD_SKIP_SLOWLOG, "skip_slowlog"},
    {CMD_FAST, "fast"},
    {CMD_NO_AUTH, "no_auth"},
    {CMD_MAY_REPLICATE, "may_replicate"},
    {CMD_NO_MULTI, "no_multi"},
    {CMD_ALLOW_BUSY, "allow_busy"},
};

static void put_flags(resp_writer *out, const command *cmd)
{
    size_t mark = out->size;
    size_t count = 0;
    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++) {
        if ((cmd->flags & flag_names[i].flag) != 0) {
            resp_put_status(out, flag_names[i].name);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_SET, count);
}

static void put_categories(resp_writer *out, const command *cmd)
{
    size_t mark = out->size;
    size_t count = 0;
    for (uint32_t i = 0; i < CAT_COUNT; i++) {
        if ((cmd->categories & 1u << i) != 0) {
            char text[32];
            (void)snprintf(text, sizeof text, "@%s", category_names[i]);
            resp_put_status(out, text);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_SET, count);
}

/* The words of key_flags as a set. */
static void put_key_flags(resp_writer *out, const command *cmd)
{
    size_t mark = out->size;
    size_t count = 0;
    for (const char *at = cmd->key_flags; at != NULL && *at != '\0';) {
        size_t size = strcspn(at, " ");
        char word[32];
        (void)snprintf(word, sizeof word, "%.*s", (int)size, at);
        resp_put_status(out, word);
        count++;
        at += size + strspn(at + size, " ");
    }
    resp_put_count_before(out, mark, RESP_SET, count);
}

static void put_key_specs(resp_writer *out, const command *cmd)
{
    if (cmd->key_first <= 0) {
        resp_put_set(out, 0);
        return;
    }
    int64_t last = cmd->key_last >= 0 ? cmd->key_last - cmd->key_first : cmd->key_last;
    resp_put_set(out, 1);
    resp_put_map(out, 3);
    resp_put_text(out, "flags");
    put_key_flags(out, cmd);
    resp_put_text(out, "begin_search");
    resp_put_map(out, 2);
    resp_put_text(out, "type");
    resp_put_text(out, "index");
    resp_put_text(out, "spec");
    resp_put_map(out, 1);
    resp_put_text(out, "index");
    resp_put_integer(out, cmd->key_first);
    resp_put_text(out, "find_keys");
    resp_put_map(out, 2);
    resp_put_text(out, "type");
    resp_put_text(out, "range");
    resp_put_text(out, "spec");
    resp_put_map(out, 3);
    resp_put_text(out, "lastkey");
    resp_put_integer(out, last);
    resp_put_text(out, "keystep");
    resp_put_integer(out, cmd->key_step);
    resp_put_text(out, "limit");
    resp_put_integer(out, 0);
}

static void put_one(resp_writer *out, const command *cmd)
{
    char name[64];
    command_full_name(cmd, name, sizeof name);
    resp_put_array(out, 10);
    resp_put_text(out, name);
    resp_put_integer(out, cmd->arity);
    put_flags(out, cmd);
    resp_put_integer(out, cmd->key_first);
    resp_put_integer(out, cmd->key_last);
    resp_put_integer(out, cmd->key_step);
    put_categories(out, cmd);
    resp_put_array(out, 0); /* tips */
    put_key_specs(out, cmd);
}

static void put_info(resp_writer *out, const command *cmd)
{
    put_one(out, cmd);
    resp_put_array(out, cmd->subcommand_count);
    for (uint32_t i = 0; i < cmd->subcommand_count; i++) {
        put_one(out, &cmd->subcommands[i]);
        resp_put_array(out, 0);
    }
}

static void command_all(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    uint32_t count = command_count(c->server->commands);
    resp_put_array(&c->worker->out, count);
    for (uint32_t i = 0; i < count; i++) {
        put_info(&c->worker->out, command_at(c->server->commands, i));
    }
}

static void command_info(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc == 2) {
        command_all(c, argv, argc);
        return;
    }
    resp_put_array(&c->worker->out, argc - 2);
    for (uint32_t i = 2; i < argc; i++) {
        const command *cmd = command_find_full(c->server->commands, argv[i]);
        if (cmd != NULL) {
            put_info(&c->worker->out, cmd);
        } else {
            resp_put_null_array(&c->worker->out);
        }
    }
}

static void put_doc(resp_writer *out, const command *cmd)
{
    const struct {
        const char *name;
        const char *text;
    } fields[] = {{"summary", cmd->summary},
                  {"since", cmd->since},
                  {"group", cmd->group},
                  {"complexity", cmd->complexity},
                  {"arguments_text", cmd->synopsis}};
    char name[64];
    command_full_name(cmd, name, sizeof name);
    resp_put_text(out, name);
    size_t mark = out->size;
    size_t count = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].text != NULL) {
            resp_put_text(out, fields[i].name);
            resp_put_text(out, fields[i].text);
            count++;
        }
    }
    if (cmd->subcommand_count > 0) {
        resp_put_text(out, "subcommands");
        resp_put_map(out, cmd->subcommand_count);
        for (uint32_t i = 0; i < cmd->subcommand_count; i++) {
            put_doc(out, &cmd->subcommands[i]);
        }
        count++;
    }
    resp_put_count_before(out, mark, RESP_MAP, count);
}

static void command_docs(client *c, const resp_bytes *argv, uint32_t argc)
{
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    size_t count = 0;
    for (uint32_t i = 2; i < argc; i++) {
        const command *cmd = command_find_full(c->server->commands, argv[i]);
        if (cmd != NULL) {
            put_doc(out, cmd);
            count++;
        }
    }
    for (uint32_t i = 0; argc == 2 && i < command_count(c->server->commands); i++) {
        put_doc(out, command_at(c->server->commands, i));
        count++;
    }
    resp_put_count_before(out, mark, RESP_MAP, count);
}

static void command_count_all(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_integer(&c->worker->out, command_count(c->server->commands));
}

/* Names of all that `pattern` or `category` choose; both 0: all. */
static void put_names(client *c, const resp_bytes *pattern, uint32_t category, bool none)
{
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    size_t count = 0;
    for (uint32_t i = 0; !none && command_at(c->server->commands, i) != NULL; i++) {
        const command *cmd = command_at(c->server->commands, i);
        char name[64];
        command_full_name(cmd, name, sizeof name);
        resp_bytes bytes = {.data = (const unsigned char *)name, .size = strlen(name)};
        if ((category == 0 || (cmd->categories & category) != 0) &&
            (pattern == NULL || glob_match(*pattern, bytes, true))) {
            resp_put_text(out, name);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_ARRAY, count);
}

static void command_list(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc == 2) {
        put_names(c, NULL, 0, false);
    } else if (argc != 5 || !resp_bytes_equal_nocase(argv[2], "filterby")) {
        reply_syntax_error(c);
    } else if (resp_bytes_equal_nocase(argv[3], "aclcat")) {
        uint32_t category = command_category_of(argv[4]);
        put_names(c, NULL, category, category == 0);
    } else if (resp_bytes_equal_nocase(argv[3], "pattern")) {
        put_names(c, &argv[4], 0, false);
    } else if (resp_bytes_equal_nocase(argv[3], "module")) {
        put_names(c, NULL, 0, true);
    } else {
        reply_syntax_error(c);
    }
}

static void get_keys(client *c, const resp_bytes *argv, uint32_t argc, bool with_flags)
{
    const command *cmd = command_find(c->server->commands, argv[2]);
    const resp_bytes *args = argv + 2;
    uint32_t count = argc - 2;
    if (cmd != NULL && cmd->subcommands != NULL && count > 1) {
        const command *sub = command_find_sub(cmd, args[1]);
        cmd = sub != NULL ? sub : cmd;
    }
    if (cmd == NULL) {
        reply_error(c, "ERR Invalid command specified");
        return;
    }
    if (cmd->key_first <= 0) {
        reply_error(c, "ERR The command has no key arguments");
        return;
    }
    if (!command_takes(cmd, count)) {
        reply_error(c, "ERR Invalid number of arguments specified for command");
        return;
    }
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    size_t found = 0;
    int64_t last = cmd->key_last >= 0 ? cmd->key_last : (int64_t)count + cmd->key_last;
    for (int64_t i = cmd->key_first; i <= last && i < (int64_t)count; i += cmd->key_step) {
        if (with_flags) {
            resp_put_array(out, 2);
        }
        resp_put_bulk(out, args[i].data, args[i].size);
        if (with_flags) {
            put_key_flags(out, cmd);
        }
        found++;
    }
    resp_put_count_before(out, mark, RESP_ARRAY, found);
}

static void command_getkeys(client *c, const resp_bytes *argv, uint32_t argc)
{
    get_keys(c, argv, argc, false);
}

static void command_getkeysandflags(client *c, const resp_bytes *argv, uint32_t argc)
{
    get_keys(c, argv, argc, true);
}

static void command_help(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    All commands.",
        "COUNT",
        "    How many commands there are.",
        "DOCS [<command-name> ...]",
        "    Documentation of commands.",
        "GETKEYS <full-command>",
        "    The keys of a command.",
        "GETKEYSANDFLAGS <full-command>",
        "    The keys of a command, and what it does to them.",
        "INFO [<command-name> ...]",
        "    Commands.",
        "LIST [FILTERBY (MODULE <module> | ACLCAT <category> | PATTERN <pattern>)]",
        "    Names of commands.",
        NULL,
    };
    (void)argv;
    (void)argc;
    reply_help(c, c->last_command->parent, lines);
}

/* --- rows --------------------------------------------------------------------------------- */

#define SUB(n, what, ver, fn, args, count)                                                         \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .complexity = "O(N)", .synopsis = (args),  \
        .run = (fn), .arity = (count), .flags = CMD_LOADING | CMD_STALE,                           \
        .categories = CAT_SLOW | CAT_CONNECTION                                                    \
    }
#define ADMIN_SUB(n, what, ver, fn, args, count)                                                   \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .complexity = "O(1)", .synopsis = (args),  \
        .run = (fn), .arity = (count),                                                             \
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,                               \
        .categories = CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS                                         \
    }

static const command command_subs[] = {
    SUB("count", "How many commands there are", "2.8.13", command_count_all, NULL, 2),
    SUB("docs", "Documentation of commands", "7.0.0", command_docs,
        "[command-name [command-name ...]]", -2),
    SUB("getkeys", "The keys of a command", "2.8.13", command_getkeys, "command [arg [arg ...]]",
        -3),
    SUB("getkeysandflags", "The keys of a command, and what it does to them", "7.0.0",
        command_getkeysandflags, "command [arg [arg ...]]", -3),
    SUB("help", "Shows helpful text", "5.0.0", command_help, NULL, 2),
    SUB("info", "Commands", "2.8.13", command_info, "[command-name [command-name ...]]", -2),
    SUB("list", "Names of commands", "7.0.0", command_list,
        "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]", -2),
};

static const command slowlog_subs[] = {
    ADMIN_SUB("get", "Slow commands, the latest first", "2.2.12", command_slowlog_get, "[count]",
              -2),
    ADMIN_SUB("len", "How many slow commands are kept", "2.2.12", command_slowlog_len, NULL, 2),
    ADMIN_SUB("reset", "Forgets slow commands", "2.2.12", command_slowlog_reset, NULL, 2),
};

static const command latency_subs[] = {
    ADMIN_SUB("doctor", "What there is to say about latency", "2.8.13", command_latency_doctor,
              NULL, 2),
    ADMIN_SUB("histogram", "How long commands took", "7.0.0", command_latency_histogram,
              "[command [command ...]]", -2),
    ADMIN_SUB("history", "When an event was slow", "2.8.13", command_latency_history, "event", 3),
    ADMIN_SUB("latest", "The latest slow events", "2.8.13", command_latency_latest, NULL, 2),
    ADMIN_SUB("reset", "Forgets slow events", "2.8.13", command_latency_reset,
              "[event [event ...]]", -2),
};

static void cmd_monitor(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    if ((c->flags & CLIENT_MONITOR) == 0) {
        c->flags |= CLIENT_MONITOR;
        c->server->monitor_count++;
    }
    reply_ok(c);
}

static const command rows[] = {
    {.name = "command",
     .summary = "All commands",
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(N) where N is the number of commands",
     .run = command_all,
     .subcommands = command_subs,
     .subcommand_count = sizeof command_subs / sizeof command_subs[0],
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_SLOW | CAT_CONNECTION},
    {.name = "slowlog",
     .summary = "A container for commands about slow commands",
     .since = "2.2.12",
     .group = "server",
     .complexity = "Depends on subcommand.",
     .subcommands = slowlog_subs,
     .subcommand_count = sizeof slowlog_subs / sizeof slowlog_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
    {.name = "latency",
     .summary = "A container for commands about slow events",
     .since = "2.8.13",
     .group = "server",
     .complexity = "Depends on subcommand.",
     .subcommands = latency_subs,
     .subcommand_count = sizeof latency_subs / sizeof latency_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
    {.name = "monitor",
     .summary = "Shows every command",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1)",
     .run = cmd_monitor,
     .arity = 1,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI,
     .categories = CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS},
};

const command_family family_introspect = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
