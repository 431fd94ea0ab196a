/*
 * cmd_server.c -- SHUTDOWN, SAVE, TIME, WAIT and what else concerns the server as a whole.
 *
 * There is no snapshot to save: with a disk tier every change is on its way to disk, and SAVE waits
 * for nothing but says that it is so; without one SAVE is an error, since nothing would be kept.
 */
#include <inttypes.h>
#include <string.h>

#include "daemon/command.h"
#include "daemon/server.h"

static void cmd_time(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    uint64_t us = c->server->wall_ns / 1000;
    resp_put_array(&c->worker->out, 2);
    resp_put_integer_bulk(&c->worker->out, (int64_t)(us / 1000000));
    resp_put_integer_bulk(&c->worker->out, (int64_t)(us % 1000000));
}

static void cmd_shutdown(client *c, const resp_bytes *argv, uint32_t argc)
{
    for (uint32_t i = 1; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], "abort")) {
            reply_error(c, "ERR No shutdown in progress.");
            return;
        }
        if (!resp_bytes_equal_nocase(argv[i], "save") &&
            !resp_bytes_equal_nocase(argv[i], "nosave") &&
            !resp_bytes_equal_nocase(argv[i], "now") &&
            !resp_bytes_equal_nocase(argv[i], "force")) {
            reply_syntax_error(c);
            return;
        }
    }
    c->flags |= CLIENT_CLOSE; /* as in Redis: the connection ends, there is no reply */
    server_ask_to_stop(c->server);
}

static bool saves(client *c)
{
    server *s = c->server;
    if (s->disk == NULL) {
        reply_error(c, "ERR there is nowhere to save to: no disk tier (--disk)");
        return false;
    }
    s->dirty = 0;
    s->last_save_s = s->wall_ns / 1000000000;
    return true;
}

static void cmd_save(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    if (saves(c)) {
        reply_ok(c);
    }
}

static void cmd_bgsave(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc > 2 || (argc == 2 && !resp_bytes_equal_nocase(argv[1], "schedule"))) {
        reply_syntax_error(c);
    } else if (saves(c)) {
        resp_put_status(&c->worker->out, "Background saving started");
    }
}

static void cmd_lastsave(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_integer(&c->worker->out, (int64_t)c->server->last_save_s);
}

static void cmd_wait(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t count;
    int64_t timeout;
    if (!arg_range(c, argv[1], 0, INT64_MAX, &count) || !arg_i64(c, argv[2], &timeout)) {
        return;
    }
    if (timeout < 0) {
        reply_error(c, "ERR timeout is negative");
        return;
    }
    resp_put_integer(&c->worker->out, 0); /* there are no replicas, and none to come */
}

static void cmd_role(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_array(&c->worker->out, 3);
    resp_put_text(&c->worker->out, "master");
    resp_put_integer(&c->worker->out, 0);
    resp_put_array(&c->worker->out, 0);
}

static void cmd_lolwut(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    char text[128];
    int n =
        snprintf(text, sizeof text, "brisk %s, a cache that speaks Redis 7.0.15\n", BRISK_VERSION);
    resp_put_verbatim(&c->worker->out, text, n > 0 ? (size_t)n : 0);
}

/* --- FUNCTION and ACL: what clients ask for as a matter of course -------------------------- */

static void function_flush(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (argc > 3 || (argc == 3 && !resp_bytes_equal_nocase(argv[2], "sync") &&
                     !resp_bytes_equal_nocase(argv[2], "async"))) {
        reply_error(c, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    reply_ok(c); /* there are none */
}

static void function_list(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_array(&c->worker->out, 0);
}

static void acl_whoami(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_text(&c->worker->out, "default");
}

static void acl_users(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_array(&c->worker->out, 1);
    resp_put_text(&c->worker->out, "default");
}

static void acl_list(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_array(&c->worker->out, 1);
    resp_put_text(&c->worker->out, c->server->password[0] != '\0'
                                       ? "user default on (a password) ~* &* +@all"
                                       : "user default on nopass ~* &* +@all");
}

static void acl_cat(client *c, const resp_bytes *argv, uint32_t argc)
{
    resp_writer *out = &c->worker->out;
    if (argc > 3) {
        reply_wrong_arity(c, c->last_command);
        return;
    }
    if (argc == 2) {
        resp_put_array(out, CAT_COUNT);
        for (uint32_t i = 0; i < CAT_COUNT; i++) {
            resp_put_text(out, command_category_name(1u << i));
        }
        return;
    }
    uint32_t category = command_category_of(argv[2]);
    if (category == 0) {
        reply_error(c, "ERR Unknown category '%.*s'", (int)(argv[2].size < 64 ? argv[2].size : 64),
                    (const char *)argv[2].data);
        return;
    }
    size_t mark = out->size;
    size_t count = 0;
    for (uint32_t i = 0; command_at(c->server->commands, i) != NULL; i++) {
        const command *cmd = command_at(c->server->commands, i);
        if (cmd->run != NULL && (cmd->categories & category) != 0) {
            char name[64];
            command_full_name(cmd, name, sizeof name);
            resp_put_text(out, name);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_ARRAY, count);
}

#define ROW(n, what, ver, fn, args, count, more, cats)                                             \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "server", .complexity = "O(1)",   \
        .synopsis = (args), .run = (fn), .arity = (count), .flags = (more), .categories = (cats)   \
    }
#define SUB(n, what, ver, fn, args, count)                                                         \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .complexity = "O(1)", .synopsis = (args),  \
        .run = (fn), .arity = (count), .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,            \
        .categories = CAT_SLOW                                                                     \
    }

static const command function_subs[] = {
    SUB("flush", "Removes all functions; there are none", "7.0.0", function_flush, "[ASYNC|SYNC]",
        -2),
    SUB("list", "All functions; there are none", "7.0.0", function_list, NULL, -2),
};

static const command acl_subs[] = {
    SUB("cat", "Categories of commands, or the commands of one", "6.0.0", acl_cat, "[category]",
        -2),
    SUB("list", "The one user", "6.0.0", acl_list, NULL, 2),
    SUB("users", "The one user", "6.0.0", acl_users, NULL, 2),
    SUB("whoami", "The one user", "6.0.0", acl_whoami, NULL, 2),
};

static const command rows[] = {
    ROW("time", "What time it is", "2.6.0", cmd_time, NULL, 1, CMD_LOADING | CMD_STALE | CMD_FAST,
        CAT_FAST),
    ROW("shutdown", "Ends the server", "1.0.0", cmd_shutdown, "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
        -1, CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI | CMD_ALLOW_BUSY,
        CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS),
    ROW("save", "Says whether changes are kept on disk", "1.0.0", cmd_save, NULL, 1,
        CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_MULTI, CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS),
    ROW("bgsave", "Says whether changes are kept on disk", "1.0.0", cmd_bgsave, "[SCHEDULE]", -1,
        CMD_ADMIN | CMD_NOSCRIPT, CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS),
    ROW("lastsave", "When SAVE was last said", "1.0.0", cmd_lastsave, NULL, 1,
        CMD_LOADING | CMD_STALE | CMD_FAST, CAT_ADMIN | CAT_FAST | CAT_DANGEROUS),
    ROW("wait", "How many replicas have it: none", "3.0.0", cmd_wait, "numreplicas timeout", 3,
        CMD_NOSCRIPT, CAT_SLOW | CAT_CONNECTION),
    ROW("role", "Who this is among replicas: alone", "2.8.12", cmd_role, NULL, 1,
        CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST, CAT_ADMIN | CAT_FAST | CAT_DANGEROUS),
    ROW("lolwut", "The version", "5.0.0", cmd_lolwut, "[VERSION version]", -1,
        CMD_READONLY | CMD_FAST, CAT_READ | CAT_FAST),
    {.name = "function",
     .summary = "A container for commands about functions; there are none",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "Depends on subcommand.",
     .subcommands = function_subs,
     .subcommand_count = sizeof function_subs / sizeof function_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
    {.name = "acl",
     .summary = "A container for commands about users; there is one",
     .since = "6.0.0",
     .group = "server",
     .complexity = "Depends on subcommand.",
     .subcommands = acl_subs,
     .subcommand_count = sizeof acl_subs / sizeof acl_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
};

const command_family family_server = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
