/*
 * cmd_client.c -- CLIENT: who is connected, and what a connection wants.
 */
#include <string.h>

#include "daemon/command.h"
#include "daemon/loads.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

enum { PREFIXES_MAX = 1024 };

/* --- showing ------------------------------------------------------------------------------ */

static void client_id(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_integer(&c->worker->out, (int64_t)c->id);
}

/* Lines as one verbatim string. */
static void put_lines(client *c, resp_writer *lines)
{
    if (lines->err == BRISK_OK) {
        resp_put_verbatim(&c->worker->out, lines->data, lines->size);
    } else {
        reply_error(c, "OOM out of memory");
    }
    resp_writer_deinit(lines);
}

static void client_info(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_writer lines;
    resp_writer_init(&lines, c->server->alloc, 0);
    client_describe(c, &lines);
    put_lines(c, &lines);
}

typedef enum client_type { TYPE_NORMAL, TYPE_REPLICA, TYPE_MASTER, TYPE_PUBSUB } client_type;

static bool parse_type(client *c, resp_bytes word, client_type *ret)
{
    static const struct {
        const char *word;
        client_type type;
    } types[] = {{"normal", TYPE_NORMAL},
                 {"replica", TYPE_REPLICA},
                 {"slave", TYPE_REPLICA},
                 {"master", TYPE_MASTER},
                 {"pubsub", TYPE_PUBSUB}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (resp_bytes_equal_nocase(word, types[i].word)) {
            *ret = types[i].type;
            return true;
        }
    }
    reply_error(c, "ERR Unknown client type '%.*s'", (int)(word.size < 64 ? word.size : 64),
                (const char *)word.data);
    return false;
}

static client_type type_of(const client *c)
{
    return client_subscriptions(c) > 0 ? TYPE_PUBSUB : TYPE_NORMAL;
}

static void client_list(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    resp_writer lines;
    client_type type = TYPE_NORMAL;
    bool by_type = argc == 4 && resp_bytes_equal_nocase(argv[2], "type");
    bool by_id = argc > 3 && resp_bytes_equal_nocase(argv[2], "id");
    if (argc > 2 && !by_type && !by_id) {
        reply_syntax_error(c);
        return;
    }
    if (by_type && !parse_type(c, argv[3], &type)) {
        return;
    }
    resp_writer_init(&lines, s->alloc, 0);
    for (uint32_t i = 3; by_id && i < argc; i++) {
        int64_t id;
        if (!resp_parse_i64(argv[i].data, argv[i].size, &id) || id < 1) {
            reply_error(c, "ERR Invalid client ID");
            resp_writer_deinit(&lines);
            return;
        }
        const client *other = client_find(s, (uint64_t)id);
        if (other != NULL) {
            client_describe(other, &lines);
        }
    }
    for (const client *other = s->clients; other != NULL && !by_id; other = other->next) {
        if (!by_type || type_of(other) == type) {
            client_describe(other, &lines);
        }
    }
    put_lines(c, &lines);
}

/* --- names -------------------------------------------------------------------------------- */

static void client_getname(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    if (c->name != NULL) {
        resp_put_text(&c->worker->out, c->name);
    } else {
        resp_put_null(&c->worker->out);
    }
}

static void client_setname(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    if (!client_name_is_good(argv[2])) {
        reply_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
    } else if (!client_set_text(c, &c->name, argv[2])) {
        reply_error(c, "OOM out of memory");
    } else {
        reply_ok(c);
    }
}

static void client_setinfo(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    char **text = NULL;
    if (resp_bytes_equal_nocase(argv[2], "lib-name")) {
        text = &c->library_name;
    } else if (resp_bytes_equal_nocase(argv[2], "lib-ver")) {
        text = &c->library_version;
    }
    if (text == NULL) {
        reply_error(c, "ERR Unrecognized option '%.*s'",
                    (int)(argv[2].size < 64 ? argv[2].size : 64), (const char *)argv[2].data);
    } else if (!client_name_is_good(argv[3])) {
        reply_error(c, "ERR lib-name and lib-ver cannot contain spaces, newlines or special "
                       "characters.");
    } else if (!client_set_text(c, text, argv[3])) {
        reply_error(c, "OOM out of memory");
    } else {
        reply_ok(c);
    }
}

/* --- KILL --------------------------------------------------------------------------------- */

typedef struct kill_filter {
    const resp_bytes *address;
    const resp_bytes *local;
    const resp_bytes *user;
    int64_t id;
    bool by_type;
    client_type type;
    bool skip_me;
} kill_filter;

static bool is_address(const client *c, const resp_bytes *wanted, bool local)
{
    char text[160];
    if (wanted == NULL) {
        return true;
    }
    if (local) {
        client_local(c, text, sizeof text);
    } else {
        client_peer(c, text, sizeof text);
    }
    return resp_bytes_equal(*wanted, text);
}

static int64_t kill_matching(client *c, const kill_filter *f)
{
    int64_t count = 0;
    for (client *other = c->server->clients; other != NULL; other = other->next) {
        if ((f->id != 0 && other->id != (uint64_t)f->id) ||
            (f->by_type && type_of(other) != f->type) || (f->skip_me && other == c) ||
            !is_address(other, f->address, false) || !is_address(other, f->local, true)) {
            continue;
        }
        client_end(other, c);
        count++;
    }
    return count;
}

/* One pair of CLIENT KILL; false: the error was sent. */
static bool parse_filter(client *c, resp_bytes word, const resp_bytes *value, kill_filter *f)
{
    if (resp_bytes_equal_nocase(word, "id")) {
        if (!resp_parse_i64(value->data, value->size, &f->id) || f->id < 1) {
            reply_error(c, "ERR client-id should be greater than 0");
            return false;
        }
    } else if (resp_bytes_equal_nocase(word, "type")) {
        f->by_type = true;
        return parse_type(c, *value, &f->type);
    } else if (resp_bytes_equal_nocase(word, "addr")) {
        f->address = value;
    } else if (resp_bytes_equal_nocase(word, "laddr")) {
        f->local = value;
    } else if (resp_bytes_equal_nocase(word, "user")) {
        if (!resp_bytes_equal(*value, "default")) {
            reply_error(c, "ERR No such user '%.*s'", (int)(value->size < 64 ? value->size : 64),
                        (const char *)value->data);
            return false;
        }
        f->user = value;
    } else if (resp_bytes_equal_nocase(word, "skipme") &&
               (resp_bytes_equal_nocase(*value, "yes") || resp_bytes_equal_nocase(*value, "no"))) {
        f->skip_me = resp_bytes_equal_nocase(*value, "yes");
    } else {
        reply_syntax_error(c);
        return false;
    }
    return true;
}

static void client_kill(client *c, const resp_bytes *argv, uint32_t argc)
{
    kill_filter f = {.skip_me = argc > 3};
    if (argc == 3) {
        f.address = &argv[2];
        if (kill_matching(c, &f) == 0) {
            reply_error(c, "ERR No such client");
        } else {
            reply_ok(c);
        }
        return;
    }
    for (uint32_t i = 2; i < argc; i += 2) {
        if (i + 1 == argc) {
            reply_syntax_error(c);
            return;
        }
        if (!parse_filter(c, argv[i], &argv[i + 1], &f)) {
            return;
        }
    }
    resp_put_integer(&c->worker->out, kill_matching(c, &f));
}

/* --- what a connection wants -------------------------------------------------------------- */

static void client_reply(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    if (resp_bytes_equal_nocase(argv[2], "on")) {
        c->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
        reply_ok(c);
    } else if (resp_bytes_equal_nocase(argv[2], "off")) {
        c->flags |= CLIENT_REPLY_OFF;
    } else if (resp_bytes_equal_nocase(argv[2], "skip")) {
        if ((c->flags & CLIENT_REPLY_OFF) == 0) {
            c->flags |= CLIENT_REPLY_SKIP_NEXT;
        }
    } else {
        reply_syntax_error(c);
    }
}

static void set_flag(client *c, resp_bytes word, uint32_t flag)
{
    if (resp_bytes_equal_nocase(word, "on")) {
        c->flags |= flag;
        reply_ok(c);
    } else if (resp_bytes_equal_nocase(word, "off")) {
        c->flags &= ~flag;
        reply_ok(c);
    } else {
        reply_syntax_error(c);
    }
}

static void client_no_evict(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    set_flag(c, argv[2], CLIENT_NO_EVICT);
}

static void client_no_touch(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    set_flag(c, argv[2], CLIENT_NO_TOUCH);
}

static void client_pause(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    int64_t ms;
    bool all = true;
    if (argc == 4 && resp_bytes_equal_nocase(argv[3], "write")) {
        all = false;
    } else if (argc > 4 || (argc == 4 && !resp_bytes_equal_nocase(argv[3], "all"))) {
        reply_error(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    if (!resp_parse_i64(argv[2].data, argv[2].size, &ms)) {
        reply_error(c, "ERR timeout is not an integer or out of range");
        return;
    }
    if (ms < 0 || ms > INT64_MAX / 2000000) {
        reply_error(c, "ERR timeout is %s", ms < 0 ? "negative" : "out of range");
        return;
    }
    bool running = s->pause_until_ns > s->now_ns;
    uint64_t until = s->now_ns + (uint64_t)ms * 1000000;
    s->pause_until_ns = running && s->pause_until_ns > until ? s->pause_until_ns : until;
    s->pause_all = all || (running && s->pause_all);
    reply_ok(c);
}

void command_client_unpause(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    server_end_pause(c->server);
    reply_ok(c);
}

static void client_unblock_other(client *c, const resp_bytes *argv, uint32_t argc)
{
    int64_t id;
    bool error = argc == 4 && resp_bytes_equal_nocase(argv[3], "error");
    if (argc > 4 || (argc == 4 && !error && !resp_bytes_equal_nocase(argv[3], "timeout"))) {
        reply_error(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!arg_i64(c, argv[2], &id)) {
        return;
    }
    client *other = id > 0 ? client_find(c->server, (uint64_t)id) : NULL;
    bool done = other != NULL && loads_unblock(other, error);
    resp_put_integer(&c->worker->out, done ? 1 : 0);
}

/* --- tracking ----------------------------------------------------------------------------- */

typedef struct tracking_options {
    uint32_t flags;
    int64_t redirect;
    uint32_t prefix_count;
    resp_bytes prefixes[PREFIXES_MAX];
} tracking_options;

static bool parse_tracking(client *c, const resp_bytes *argv, uint32_t argc, tracking_options *o)
{
    for (uint32_t i = 3; i < argc; i++) {
        bool more = i + 1 < argc;
        if (resp_bytes_equal_nocase(argv[i], "redirect") && more) {
            if (o->redirect != 0) {
                reply_error(c, "ERR A client can only redirect to a single other client");
                return false;
            }
            if (!arg_i64(c, argv[++i], &o->redirect)) {
                return false;
            }
            if (o->redirect < 1 || client_find(c->server, (uint64_t)o->redirect) == NULL) {
                reply_error(c, "ERR The client ID you want redirect to does not exist");
                return false;
            }
        } else if (resp_bytes_equal_nocase(argv[i], "bcast")) {
            o->flags |= CLIENT_TRACKING_BCAST;
        } else if (resp_bytes_equal_nocase(argv[i], "optin")) {
            o->flags |= CLIENT_TRACKING_OPTIN;
        } else if (resp_bytes_equal_nocase(argv[i], "optout")) {
            o->flags |= CLIENT_TRACKING_OPTOUT;
        } else if (resp_bytes_equal_nocase(argv[i], "noloop")) {
            o->flags |= CLIENT_TRACKING_NOLOOP;
        } else if (resp_bytes_equal_nocase(argv[i], "prefix") && more &&
                   o->prefix_count < PREFIXES_MAX) {
            o->prefixes[o->prefix_count++] = argv[++i];
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    return true;
}

static bool is_prefix_of(resp_bytes a, resp_bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    return size == 0 || memcmp(a.data, b.data, size) == 0;
}

static void overlap_error(client *c, resp_bytes a, const char *middle, resp_bytes b)
{
    reply_error(c,
                "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single client "
                "must not overlap.",
                (int)(a.size < 64 ? a.size : 64), (const char *)a.data, middle,
                (int)(b.size < 64 ? b.size : 64), (const char *)b.data);
}

static bool prefixes_are_good(client *c, const tracking_options *o)
{
    for (uint32_t i = 0; i < o->prefix_count; i++) {
        for (dict_entry *e = dict_next(&c->prefixes, NULL); e != NULL;
             e = dict_next(&c->prefixes, e)) {
            resp_bytes own = {.data = e->key, .size = e->size};
            bool same = own.size == o->prefixes[i].size;
            if (is_prefix_of(own, o->prefixes[i]) && !same) {
                overlap_error(c, o->prefixes[i], "an existing", own);
                return false;
            }
        }
        for (uint32_t j = i + 1; j < o->prefix_count; j++) {
            if (is_prefix_of(o->prefixes[i], o->prefixes[j])) {
                overlap_error(c, o->prefixes[i], "another provided", o->prefixes[j]);
                return false;
            }
        }
    }
    return true;
}

static bool tracking_fits(client *c, const tracking_options *o)
{
    uint32_t modes = CLIENT_TRACKING_OPTIN | CLIENT_TRACKING_OPTOUT;
    if (o->prefix_count > 0 && (o->flags & CLIENT_TRACKING_BCAST) == 0) {
        reply_error(c, "ERR PREFIX option requires BCAST mode to be enabled");
        return false;
    }
    if ((c->flags & CLIENT_TRACKING) != 0 &&
        (c->flags & CLIENT_TRACKING_BCAST) != (o->flags & CLIENT_TRACKING_BCAST)) {
        reply_error(c, "ERR You can't switch BCAST mode on/off before disabling tracking for this "
                       "client, and then re-enabling it with a different mode.");
        return false;
    }
    if ((o->flags & CLIENT_TRACKING_BCAST) != 0 && (o->flags & modes) != 0) {
        reply_error(c, "ERR OPTIN and OPTOUT are not compatible with BCAST");
        return false;
    }
    if ((o->flags & modes) == modes) {
        reply_error(c, "ERR You can't use both OPTIN and OPTOUT");
        return false;
    }
    bool in_to_out =
        (o->flags & CLIENT_TRACKING_OPTIN) != 0 && (c->flags & CLIENT_TRACKING_OPTOUT) != 0;
    bool out_to_in =
        (o->flags & CLIENT_TRACKING_OPTOUT) != 0 && (c->flags & CLIENT_TRACKING_OPTIN) != 0;
    if (in_to_out || out_to_in) {
        reply_error(c, "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this "
                       "client, and then re-enabling it with a different mode.");
        return false;
    }
    return prefixes_are_good(c, o);
}

static void track(client *c, const tracking_options *o)
{
    tracking_enable(c, o->flags, (uint64_t)o->redirect);
    bool good = true;
    if ((o->flags & CLIENT_TRACKING_BCAST) != 0) {
        for (uint32_t i = 0; i < o->prefix_count; i++) {
            good = good && tracking_add_prefix(c, o->prefixes[i]);
        }
        if (o->prefix_count == 0 && c->prefixes.count == 0) {
            good =
                tracking_add_prefix(c, (resp_bytes){.data = (const unsigned char *)"", .size = 0});
        }
    }
    if (!good) {
        tracking_disable(c);
        reply_error(c, "OOM out of memory");
        return;
    }
    reply_ok(c);
}

static void client_tracking(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    if (resp_bytes_equal_nocase(argv[2], "off")) {
        tracking_disable(c);
        reply_ok(c);
        return;
    }
    if (!resp_bytes_equal_nocase(argv[2], "on")) {
        reply_syntax_error(c);
        return;
    }
    tracking_options *o = s->alloc->acquire(s->alloc->ctx, sizeof *o, _Alignof(tracking_options));
    if (o == NULL) {
        reply_error(c, "OOM out of memory");
        return;
    }
    o->flags = 0;
    o->redirect = 0;
    o->prefix_count = 0;
    if (parse_tracking(c, argv, argc, o) && tracking_fits(c, o)) {
        track(c, o);
    }
    s->alloc->release(s->alloc->ctx, o, sizeof *o, _Alignof(tracking_options));
}

static void client_caching(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    bool yes = resp_bytes_equal_nocase(argv[2], "yes");
    bool no = resp_bytes_equal_nocase(argv[2], "no");
    if ((c->flags & CLIENT_TRACKING) == 0) {
        reply_error(c, "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                       "with OPTIN or OPTOUT mode enabled");
    } else if (yes && (c->flags & CLIENT_TRACKING_OPTIN) == 0) {
        reply_error(c, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN "
                       "mode.");
    } else if (no && (c->flags & CLIENT_TRACKING_OPTOUT) == 0) {
        reply_error(c, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT "
                       "mode.");
    } else if (!yes && !no) {
        reply_syntax_error(c);
    } else {
        c->flags |= CLIENT_TRACKING_CACHING;
        reply_ok(c);
    }
}

static void client_getredir(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    bool on = (c->flags & CLIENT_TRACKING) != 0;
    resp_put_integer(&c->worker->out, on ? (int64_t)c->redirect : -1);
}

static void client_trackinginfo(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const struct {
        uint32_t flag;
        const char *word;
    } words[] = {{CLIENT_TRACKING_BCAST, "bcast"},
                 {CLIENT_TRACKING_OPTIN, "optin"},
                 {CLIENT_TRACKING_OPTOUT, "optout"},
                 {CLIENT_TRACKING_NOLOOP, "noloop"},
                 {CLIENT_TRACKING_BROKEN, "broken_redirect"}};
    (void)argv;
    (void)argc;
    resp_writer *out = &c->worker->out;
    bool on = (c->flags & CLIENT_TRACKING) != 0;
    resp_put_map(out, 3);
    resp_put_text(out, "flags");
    size_t mark = out->size;
    size_t count = 1;
    resp_put_text(out, on ? "on" : "off");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if ((c->flags & words[i].flag) != 0) {
            resp_put_text(out, words[i].word);
            count++;
        }
        if (words[i].flag == CLIENT_TRACKING_OPTOUT && (c->flags & CLIENT_TRACKING_CACHING) != 0) {
            resp_put_text(out,
                          (c->flags & CLIENT_TRACKING_OPTIN) != 0 ? "caching-yes" : "caching-no");
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_SET, count);
    resp_put_text(out, "redirect");
    resp_put_integer(out, on ? (int64_t)c->redirect : -1);
    resp_put_text(out, "prefixes");
    resp_put_array(out, c->prefixes.count);
    for (dict_entry *e = dict_next(&c->prefixes, NULL); e != NULL; e = dict_next(&c->prefixes, e)) {
        resp_put_bulk(out, e->key, e->size);
    }
}

static void client_help(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Track the keys of the next command, or do not.",
        "GETNAME",
        "    The name of this connection.",
        "GETREDIR",
        "    The connection to which invalidations go.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    What is known of this connection.",
        "KILL <ip:port>",
        "    Close a connection.",
        "KILL <option> <value> [...]",
        "    Close all that match ADDR, LADDR, ID, TYPE, USER.",
        "LIST [TYPE <type> | ID <id> [...]]",
        "    All connections.",
        "NO-EVICT (ON|OFF)",
        "    Kept for compatibility.",
        "NO-TOUCH (ON|OFF)",
        "    Kept for compatibility.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Commands wait for milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Which commands are answered.",
        "SETNAME <name>",
        "    Name this connection.",
        "SETINFO <LIB-NAME|LIB-VER> <value>",
        "    Say which library this is.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] "
        "[NOLOOP]",
        "    Be told of changes.",
        "TRACKINGINFO",
        "    How tracking is set.",
        "UNBLOCK <id> [TIMEOUT|ERROR]",
        "    End the wait of a connection.",
        "UNPAUSE",
        "    End CLIENT PAUSE.",
        NULL,
    };
    (void)argv;
    (void)argc;
    reply_help(c, c->last_command->parent, lines);
}

#define SUB(n, what, ver, fn, args, count, more)                                                   \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .complexity = "O(1)", .synopsis = (args),  \
        .run = (fn), .arity = (count), .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | (more),   \
        .categories = CAT_SLOW | CAT_CONNECTION                                                    \
    }
#define ADMIN_SUB(n, what, ver, fn, args, count)                                                   \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .complexity = "O(N)", .synopsis = (args),  \
        .run = (fn), .arity = (count),                                                             \
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,                               \
        .categories = CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS | CAT_CONNECTION                        \
    }

static const command subs[] = {
    SUB("caching", "Whether the keys of the next command are tracked", "6.0.0", client_caching,
        "YES|NO", 3, 0),
    SUB("getname", "The name of this connection", "2.6.9", client_getname, NULL, 2, 0),
    SUB("getredir", "Where invalidations of this connection go", "6.0.0", client_getredir, NULL, 2,
        0),
    SUB("help", "Shows helpful text", "5.0.0", client_help, NULL, 2, 0),
    SUB("id", "The number of this connection", "5.0.0", client_id, NULL, 2, 0),
    SUB("info", "What is known of this connection", "6.2.0", client_info, NULL, 2, 0),
    ADMIN_SUB("kill", "Closes connections", "2.4.0", client_kill,
              "ip:port|[ID client-id] [TYPE type] [USER username] [ADDR ip:port] [LADDR ip:port] "
              "[SKIPME yes|no]",
              -3),
    ADMIN_SUB("list", "All connections", "2.4.0", client_list,
              "[TYPE type] [ID client-id [client-id ...]]", -2),
    ADMIN_SUB("no-evict", "Kept for compatibility: no connection is evicted", "7.0.0",
              client_no_evict, "ON|OFF", 3),
    SUB("no-touch", "Kept for compatibility", "7.2.0", client_no_touch, "ON|OFF", 3, 0),
    ADMIN_SUB("pause", "Lets commands wait", "3.0.0", client_pause, "timeout [WRITE|ALL]", -3),
    SUB("reply", "Which commands are answered", "3.2.0", client_reply, "ON|OFF|SKIP", 3, 0),
    SUB("setinfo", "Says which library this is", "7.2.0", client_setinfo,
        "LIB-NAME libname|LIB-VER libver", 4, 0),
    SUB("setname", "Names this connection", "2.6.9", client_setname, "connection-name", 3, 0),
    SUB("tracking", "Whether to be told of changes", "6.0.0", client_tracking,
        "ON|OFF [REDIRECT client-id] [PREFIX prefix [...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]", -3,
        0),
    SUB("trackinginfo", "How tracking is set", "6.2.0", client_trackinginfo, NULL, 2, 0),
    ADMIN_SUB("unblock", "Ends the wait of a connection", "5.0.0", client_unblock_other,
              "client-id [TIMEOUT|ERROR]", -3),
    ADMIN_SUB("unpause", "Ends CLIENT PAUSE", "6.2.0", command_client_unpause, NULL, 2),
};

static const command rows[] = {
    {.name = "client",
     .summary = "A container for commands about connections",
     .since = "2.4.0",
     .group = "connection",
     .complexity = "Depends on subcommand.",
     .subcommands = subs,
     .subcommand_count = sizeof subs / sizeof subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
};

const command_family family_client = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
