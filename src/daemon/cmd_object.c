/*
 * cmd_object.c -- OBJECT and MEMORY: what an entry costs and how it is used.
 */
#include <string.h>

#include "daemon/command.h"
#include "daemon/server.h"

static bool find(client *c, resp_bytes key, brisk_entry_info *info)
{
    if (!keyspace_info(&c->server->keys, key, info)) {
        resp_put_null(&c->worker->out);
        return false;
    }
    return true;
}

static void object_encoding(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    brisk_entry_info info;
    keyspace_view view;
    int64_t number;
    if (!find(c, argv[2], &info)) {
        return;
    }
    bool integer = false;
    if (info.size <= 20 && keyspace_view_open(&c->server->keys, argv[2], &view)) {
        integer = resp_parse_i64(view.data, view.size, &number);
        keyspace_view_close(&view);
    }
    resp_put_text(&c->worker->out, integer ? "int" : info.size <= 44 ? "embstr" : "raw");
}

static void object_freq(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    brisk_entry_info info;
    if (!c->server->track_use) {
        reply_error(c, "ERR uses are not counted: serve.track_use is off");
    } else if (find(c, argv[2], &info)) {
        resp_put_integer(&c->worker->out, (int64_t)info.hits);
    }
}

static void object_idletime(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    brisk_entry_info info;
    if (find(c, argv[2], &info)) {
        uint64_t idle = keyspace_idle_s(&c->server->keys, argv[2], &info);
        resp_put_integer(&c->worker->out, (int64_t)idle);
    }
}

static void object_refcount(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    brisk_entry_info info;
    if (find(c, argv[2], &info)) {
        resp_put_integer(&c->worker->out, 1);
    }
}

static void object_help(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    How Redis would keep the value.",
        "FREQ <key>",
        "    About how often it was used.",
        "IDLETIME <key>",
        "    Seconds since it was used.",
        "REFCOUNT <key>",
        "    Always 1.",
        NULL,
    };
    (void)argv;
    (void)argc;
    reply_help(c, c->last_command->parent, lines);
}

/* --- MEMORY ------------------------------------------------------------------------------- */

static void memory_usage(client *c, const resp_bytes *argv, uint32_t argc)
{
    brisk_entry_info info;
    int64_t samples;
    if (argc != 3 && !(argc == 5 && resp_bytes_equal_nocase(argv[3], "samples"))) {
        reply_syntax_error(c);
        return;
    }
    if (argc == 5 && !arg_i64(c, argv[4], &samples)) {
        return;
    }
    if (find(c, argv[2], &info)) {
        resp_put_integer(&c->worker->out, (int64_t)info.held);
    }
}

static void memory_stats(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    server *s = c->server;
    resp_writer *out = &c->worker->out;
    brisk_tier_stats stats;
    keyspace_stats(&s->keys, &stats);
    uint64_t buffers = atomic_load_explicit(&s->input_bytes, memory_order_relaxed) +
                       atomic_load_explicit(&s->output_bytes, memory_order_relaxed);
    resp_put_map(out, 6);
    resp_put_text(out, "total.allocated");
    resp_put_integer(out, (int64_t)(stats.bytes + buffers));
    resp_put_text(out, "clients.normal");
    resp_put_integer(out, (int64_t)buffers);
    resp_put_text(out, "keys.count");
    resp_put_integer(out, (int64_t)stats.entries);
    resp_put_text(out, "keys.bytes-per-key");
    resp_put_integer(out, stats.entries > 0 ? (int64_t)(stats.bytes / stats.entries) : 0);
    resp_put_text(out, "dataset.bytes");
    resp_put_integer(out, (int64_t)stats.bytes);
    resp_put_text(out, "dataset.bytes-max");
    resp_put_integer(out, (int64_t)stats.bytes_max);
}

static void memory_doctor(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    brisk_tier_stats stats;
    keyspace_stats(&c->server->keys, &stats);
    const char *text = stats.bytes * 10 < stats.bytes_max * 9
                           ? "There is room left in memory."
                           : "Memory is full: entries are evicted. BRISK.STATS and `brisk cache "
                             "analyze` say what more would bring.";
    resp_put_verbatim(&c->worker->out, text, strlen(text));
}

static void memory_purge(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    reply_ok(c); /* nothing is kept back that could be given to the system */
}

static void memory_malloc_stats(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char text[] = "No figures of the allocator";
    (void)argv;
    (void)argc;
    resp_put_verbatim(&c->worker->out, text, sizeof text - 1);
}

static void memory_help(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What there is to say about memory.",
        "MALLOC-STATS",
        "    Nothing.",
        "PURGE",
        "    Does nothing.",
        "STATS",
        "    Figures.",
        "USAGE <key> [SAMPLES <count>]",
        "    Bytes that an entry is charged.",
        NULL,
    };
    (void)argv;
    (void)argc;
    reply_help(c, c->last_command->parent, lines);
}

#define KEY_SUB(n, what, fn, args, count, since_)                                                  \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (since_), .complexity = "O(1)",                   \
        .synopsis = (args), .run = (fn), .arity = (count), .flags = CMD_READONLY,                  \
        .categories = CAT_KEYSPACE | CAT_READ | CAT_SLOW, .key_first = 2, .key_last = 2,           \
        .key_step = 1, .key_flags = "RO"                                                           \
    }
#define SUB(n, what, fn, since_)                                                                   \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (since_), .complexity = "O(1)", .run = (fn),      \
        .arity = 2, .flags = CMD_LOADING | CMD_STALE, .categories = CAT_SLOW                       \
    }

static const command object_subs[] = {
    KEY_SUB("encoding", "How Redis would keep the value", object_encoding, "key", 3, "2.2.3"),
    KEY_SUB("freq", "About how often a key was used", object_freq, "key", 3, "4.0.0"),
    SUB("help", "Shows helpful text", object_help, "6.2.0"),
    KEY_SUB("idletime", "Seconds since a key was used", object_idletime, "key", 3, "2.2.3"),
    KEY_SUB("refcount", "Always 1", object_refcount, "key", 3, "2.2.3"),
};

static const command memory_subs[] = {
    SUB("doctor", "What there is to say about memory", memory_doctor, "4.0.0"),
    SUB("help", "Shows helpful text", memory_help, "4.0.0"),
    SUB("malloc-stats", "Nothing", memory_malloc_stats, "4.0.0"),
    SUB("purge", "Does nothing", memory_purge, "4.0.0"),
    SUB("stats", "Figures about memory", memory_stats, "4.0.0"),
    KEY_SUB("usage", "Bytes that an entry is charged", memory_usage, "key [SAMPLES count]", -3,
            "4.0.0"),
};

static const command rows[] = {
    {.name = "object",
     .summary = "A container for commands about entries",
     .since = "2.2.3",
     .group = "generic",
     .complexity = "Depends on subcommand.",
     .subcommands = object_subs,
     .subcommand_count = sizeof object_subs / sizeof object_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
    {.name = "memory",
     .summary = "A container for commands about memory",
     .since = "4.0.0",
     .group = "server",
     .complexity = "Depends on subcommand.",
     .subcommands = memory_subs,
     .subcommand_count = sizeof memory_subs / sizeof memory_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
};

const command_family family_object = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
