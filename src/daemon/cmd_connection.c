/*
 * cmd_connection.c -- HELLO, AUTH, PING, ECHO, QUIT, RESET.
 *
 * There is one user, "default", and perhaps a password.  It is compared in a time that does not
 * depend on where it differs.
 */
#include <string.h>

#include "daemon/command.h"
#include "daemon/server.h"

/* --- AUTH --------------------------------------------------------------------------------- */

static bool is_password(const server *s, resp_bytes given)
{
    char padded[PASSWORD_MAX] = {0};
    size_t size = given.size < PASSWORD_MAX ? given.size : PASSWORD_MAX - 1;
    unsigned differs = given.size >= PASSWORD_MAX ? 1U : 0U;
    if (size > 0) {
        memcpy(padded, given.data, size);
    }
    for (size_t i = 0; i < PASSWORD_MAX; i++) {
        differs |= (unsigned)((unsigned char)padded[i] ^ (unsigned char)s->password[i]);
    }
    return differs == 0 && strlen(s->password) == given.size;
}

static bool authenticate(client *c, resp_bytes user, resp_bytes password)
{
    const server *s = c->server;
    bool right = s->password[0] == '\0' || is_password(s, password);
    if (!resp_bytes_equal(user, "default") || !right) {
        reply_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    client_authenticate(c);
    return true;
}

static void cmd_auth(client *c, const resp_bytes *argv, uint32_t argc)
{
    resp_bytes user = {.data = (const unsigned char *)"default", .size = 7};
    if (argc > 3) {
        reply_syntax_error(c);
        return;
    }
    if (argc == 2 && c->server->password[0] == '\0') {
        reply_error(c, "ERR AUTH <password> called without any password configured for the default "
                       "user. Are you sure your configuration is correct?");
        return;
    }
    if (authenticate(c, argc == 3 ? argv[1] : user, argv[argc - 1])) {
        reply_ok(c);
    }
}

/* --- HELLO -------------------------------------------------------------------------------- */

bool client_name_is_good(resp_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static void describe_server(client *c)
{
    resp_writer *out = &c->worker->out;
    out->protocol = c->protocol;
    resp_put_map(out, 7);
    resp_put_text(out, "server");
    resp_put_text(out, "redis");
    resp_put_text(out, "version");
    resp_put_text(out, "7.0.15");
    resp_put_text(out, "proto");
    resp_put_integer(out, c->protocol);
    resp_put_text(out, "id");
    resp_put_integer(out, (int64_t)c->id);
    resp_put_text(out, "mode");
    resp_put_text(out, "standalone");
    resp_put_text(out, "role");
    resp_put_text(out, "master");
    resp_put_text(out, "modules");
    resp_put_array(out, 0);
}

static void cmd_hello(client *c, const resp_bytes *argv, uint32_t argc)
{
    int64_t version = c->protocol;
    const resp_bytes *name = NULL;
    if (argc > 1 && (!resp_parse_i64(argv[1].data, argv[1].size, &version))) {
        reply_error(c, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version < 2 || version > 3) {
        reply_error(c, "NOPROTO unsupported protocol version");
        return;
    }
    for (uint32_t i = 2; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], "auth") && i + 2 < argc) {
            if (!authenticate(c, argv[i + 1], argv[i + 2])) {
                return;
            }
            i += 2;
        } else if (resp_bytes_equal_nocase(argv[i], "setname") && i + 1 < argc) {
            name = &argv[++i];
        } else {
            reply_error(c, "ERR Syntax error in HELLO option '%.*s'",
                        (int)(argv[i].size < 128 ? argv[i].size : 128), (const char *)argv[i].data);
            return;
        }
    }
    if ((c->flags & CLIENT_AUTHENTICATED) == 0) {
        reply_error(c, "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                       "authenticate the client and select the RESP protocol version at the same "
                       "time");
        return;
    }
    if (name != NULL && !client_name_is_good(*name)) {
        reply_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
        return;
    }
    if (name != NULL && !client_set_text(c, &c->name, *name)) {
        reply_error(c, "OOM out of memory");
        return;
    }
    c->protocol = (uint8_t)version;
    describe_server(c);
}

/* --- the rest ----------------------------------------------------------------------------- */

static void cmd_ping(client *c, const resp_bytes *argv, uint32_t argc)
{
    resp_writer *out = &c->worker->out;
    if (argc > 2) {
        reply_wrong_arity(c, c->last_command);
        return;
    }
    if (c->protocol == 2 && client_subscriptions(c) > 0) {
        resp_put_array(out, 2);
        resp_put_text(out, "pong");
        resp_put_bulk(out, argc == 2 ? argv[1].data : (const unsigned char *)"",
                      argc == 2 ? argv[1].size : 0);
        return;
    }
    if (argc == 1) {
        resp_put_raw(out, "+PONG\r\n", 7);
    } else {
        resp_put_bulk(out, argv[1].data, argv[1].size);
    }
}

static void cmd_echo(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_put_bulk(&c->worker->out, argv[1].data, argv[1].size);
}

void command_quit(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    reply_ok(c);
    c->flags |= CLIENT_CLOSE;
}

void command_reset(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    client_reset(c);
    c->worker->out.protocol = c->protocol;
    resp_put_status(&c->worker->out, "RESET");
}

#define OPEN_FLAGS                                                                                 \
    (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_NO_AUTH | CMD_ALLOW_BUSY)

static const command rows[] = {
    {.name = "hello",
     .summary = "Chooses the protocol, authenticates, shows the server",
     .since = "6.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .synopsis = "[protover [AUTH username password] [SETNAME clientname]]",
     .run = cmd_hello,
     .arity = -1,
     .flags = OPEN_FLAGS | CMD_SECRET,
     .categories = CAT_FAST | CAT_CONNECTION},
    {.name = "auth",
     .summary = "Gives the password",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(N) where N is the number of passwords",
     .synopsis = "[username] password",
     .run = cmd_auth,
     .arity = -2,
     .flags = OPEN_FLAGS | CMD_SECRET,
     .categories = CAT_FAST | CAT_CONNECTION},
    {.name = "ping",
     .summary = "Answers",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .synopsis = "[message]",
     .run = cmd_ping,
     .arity = -1,
     .flags = CMD_FAST | CMD_IN_SUBSCRIBE,
     .categories = CAT_FAST | CAT_CONNECTION},
    {.name = "echo",
     .summary = "Returns its argument",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .synopsis = "message",
     .run = cmd_echo,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
     .categories = CAT_FAST | CAT_CONNECTION},
    {.name = "quit",
     .summary = "Closes the connection",
     .since = "1.0.0",
     .group = "connection",
     .complexity = "O(1)",
     .run = command_quit,
     .arity = -1,
     .flags = OPEN_FLAGS | CMD_IN_SUBSCRIBE,
     .categories = CAT_FAST | CAT_CONNECTION},
    {.name = "reset",
     .summary = "Makes the connection as new",
     .since = "6.2.0",
     .group = "connection",
     .complexity = "O(1)",
     .run = command_reset,
     .arity = 1,
     .flags = OPEN_FLAGS | CMD_IN_SUBSCRIBE,
     .categories = CAT_FAST | CAT_CONNECTION},
};

const command_family family_connection = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
