/*
 * cmd_pubsub.c -- SUBSCRIBE and its relatives, PUBLISH, PUBSUB.
 *
 * Confirmations of subscriptions are pushes: they go to the client's inbox, so that CLIENT REPLY OFF
 * does not stop them; inside EXEC they are written where they stand.
 */
#include <string.h>

#include "base/assert.h"
#include "daemon/glob.h"
#include "daemon/pubsub.h"
#include "daemon/server.h"

enum name_space { CHANNELS, PATTERNS, SHARD_CHANNELS, NAME_SPACES };

/* Who listens to one name. */
typedef struct listeners {
    BRISK_VEC(client *) clients;
} listeners;

struct pubsub {
    const brisk_alloc *alloc;
    dict names[NAME_SPACES];
};

static const char *const subscribe_words[] = {"subscribe", "psubscribe", "ssubscribe"};
static const char *const unsubscribe_words[] = {"unsubscribe", "punsubscribe", "sunsubscribe"};

brisk_err pubsub_create(const brisk_alloc *alloc, pubsub **ret)
{
    pubsub *ps = alloc->acquire(alloc->ctx, sizeof *ps, _Alignof(pubsub));
    if (ps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    ps->alloc = alloc;
    for (int i = 0; i < NAME_SPACES; i++) {
        dict_init(&ps->names[i], alloc);
    }
    *ret = ps;
    return BRISK_OK;
}

static void drop_name(pubsub *ps, dict *names, dict_entry *entry)
{
    listeners *l = entry->value;
    if (l != NULL) {
        BRISK_VEC_DEINIT(&l->clients);
        ps->alloc->release(ps->alloc->ctx, l, sizeof *l, _Alignof(listeners));
    }
    dict_remove(names, entry);
}

void pubsub_destroy(pubsub *ps)
{
    if (ps == NULL) {
        return;
    }
    for (int i = 0; i < NAME_SPACES; i++) {
        dict_entry *entry = dict_next(&ps->names[i], NULL);
        while (entry != NULL) {
            dict_entry *next = dict_next(&ps->names[i], entry);
            drop_name(ps, &ps->names[i], entry);
            entry = next;
        }
        dict_deinit(&ps->names[i]);
    }
    ps->alloc->release(ps->alloc->ctx, ps, sizeof *ps, _Alignof(pubsub));
}

static dict *own_names(client *c, enum name_space space)
{
    switch (space) {
    case PATTERNS: return &c->patterns;
    case SHARD_CHANNELS: return &c->shard_channels;
    case CHANNELS:
    case NAME_SPACES:
    default: return &c->channels;
    }
}

/* --- subscribing -------------------------------------------------------------------------- */

static resp_writer *confirm_begin(client *c)
{
    if ((c->flags & CLIENT_IN_EXEC) != 0) {
        c->worker->out.protocol = c->protocol;
        return &c->worker->out;
    }
    return client_push_begin(c);
}

static void confirm(client *c, enum name_space space, const char *word, const resp_bytes *name)
{
    resp_writer *out = confirm_begin(c);
    resp_put_push(out, 3);
    resp_put_text(out, word);
    if (name != NULL) {
        resp_put_bulk(out, name->data, name->size);
    } else {
        resp_put_null(out);
    }
    size_t count =
        space == SHARD_CHANNELS ? c->shard_channels.count : c->channels.count + c->patterns.count;
    resp_put_integer(out, (int64_t)count);
}

/* What a subscription costs: its name here and at the client. */
static size_t kept_bytes(resp_bytes name)
{
    return 2 * (name.size + KEPT_OVERHEAD);
}

/* False: out of memory, and nothing has changed. */
static bool join(client *c, enum name_space space, dict *own, resp_bytes name)
{
    pubsub *ps = c->server->pubsub;
    dict_entry *entry = dict_add(&ps->names[space], name.data, name.size);
    if (entry == NULL) {
        return false;
    }
    if (entry->value == NULL) {
        listeners *l = ps->alloc->acquire(ps->alloc->ctx, sizeof *l, _Alignof(listeners));
        if (l == NULL) {
            dict_remove(&ps->names[space], entry);
            return false;
        }
        *l = (listeners){0};
        l->clients.alloc = ps->alloc;
        entry->value = l;
    }
    listeners *l = entry->value;
    if (!BRISK_VEC_PUSH(&l->clients, c) || dict_add(own, name.data, name.size) == NULL) {
        if (l->clients.count > 0 && l->clients.items[l->clients.count - 1] == c) {
            l->clients.count--;
        }
        if (l->clients.count == 0) {
            drop_name(ps, &ps->names[space], entry);
        }
        return false;
    }
    return true;
}

static bool listen_to(client *c, enum name_space space, resp_bytes name)
{
    dict *own = own_names(c, space);
    if (dict_find(own, name.data, name.size) != NULL) {
        return true;
    }
    if (!server_keep(c->server, kept_bytes(name))) {
        return false;
    }
    bool good = join(c, space, own, name);
    if (!good) {
        server_let_go(c->server, kept_bytes(name));
    }
    return good;
}

static void stop_listening(client *c, enum name_space space, resp_bytes name)
{
    pubsub *ps = c->server->pubsub;
    dict_entry *entry = dict_find(&ps->names[space], name.data, name.size);
    BRISK_ASSERT(entry != NULL);
    listeners *l = entry->value;
    server_let_go(c->server, kept_bytes(name));
    for (size_t i = 0; i < l->clients.count; i++) {
        if (l->clients.items[i] == c) {
            memmove(&l->clients.items[i], &l->clients.items[i + 1],
                    (l->clients.count - i - 1) * sizeof l->clients.items[0]);
            l->clients.count--;
            break;
        }
    }
    if (l->clients.count == 0) {
        drop_name(ps, &ps->names[space], entry);
    }
}

void pubsub_forget(client *c)
{
    for (int space = 0; space < NAME_SPACES; space++) {
        dict *own = own_names(c, (enum name_space)space);
        for (dict_entry *e = dict_next(own, NULL); e != NULL; e = dict_next(own, e)) {
            stop_listening(c, (enum name_space)space,
                           (resp_bytes){.data = e->key, .size = e->size});
        }
        dict_deinit(own);
    }
}

static void subscribe(client *c, enum name_space space, const resp_bytes *argv, uint32_t argc)
{
    for (uint32_t i = 1; i < argc; i++) {
        if (!listen_to(c, space, argv[i])) {
            reply_error(c, "OOM out of memory");
            return;
        }
        confirm(c, space, subscribe_words[space], &argv[i]);
    }
}

static void unsubscribe(client *c, enum name_space space, const resp_bytes *argv, uint32_t argc)
{
    dict *own = own_names(c, space);
    if (argc == 1 && own->count == 0) {
        confirm(c, space, unsubscribe_words[space], NULL);
        return;
    }
    if (argc == 1) {
        dict_entry *e = dict_next(own, NULL);
        while (e != NULL) {
            dict_entry *next = dict_next(own, e);
            resp_bytes name = {.data = e->key, .size = e->size};
            stop_listening(c, space, name);
            own->count--; /* for the number that the confirmation shows */
            confirm(c, space, unsubscribe_words[space], &name);
            own->count++;
            dict_remove(own, e);
            e = next;
        }
        return;
    }
    for (uint32_t i = 1; i < argc; i++) {
        dict_entry *e = dict_find(own, argv[i].data, argv[i].size);
        if (e != NULL) {
            stop_listening(c, space, argv[i]);
            dict_remove(own, e);
        }
        confirm(c, space, unsubscribe_words[space], &argv[i]);
    }
}

static void cmd_subscribe(client *c, const resp_bytes *argv, uint32_t argc)
{
    subscribe(c, CHANNELS, argv, argc);
}

static void cmd_psubscribe(client *c, const resp_bytes *argv, uint32_t argc)
{
    subscribe(c, PATTERNS, argv, argc);
}

static void cmd_ssubscribe(client *c, const resp_bytes *argv, uint32_t argc)
{
    subscribe(c, SHARD_CHANNELS, argv, argc);
}

static void cmd_unsubscribe(client *c, const resp_bytes *argv, uint32_t argc)
{
    unsubscribe(c, CHANNELS, argv, argc);
}

static void cmd_punsubscribe(client *c, const resp_bytes *argv, uint32_t argc)
{
    unsubscribe(c, PATTERNS, argv, argc);
}

static void cmd_sunsubscribe(client *c, const resp_bytes *argv, uint32_t argc)
{
    unsubscribe(c, SHARD_CHANNELS, argv, argc);
}

/* --- publishing --------------------------------------------------------------------------- */

/* A message in the receiver's protocol. */
static void deliver(client *to, const char *word, const resp_bytes *pattern, resp_bytes channel,
                    resp_bytes message)
{
    resp_writer *out = client_push_begin(to);
    resp_put_push(out, pattern != NULL ? 4 : 3);
    resp_put_text(out, word);
    if (pattern != NULL) {
        resp_put_bulk(out, pattern->data, pattern->size);
    }
    resp_put_bulk(out, channel.data, channel.size);
    resp_put_bulk(out, message.data, message.size);
    client_pushed(to);
}

static uint32_t publish_in(server *s, enum name_space space, resp_bytes channel, resp_bytes message)
{
    dict_entry *entry = dict_find(&s->pubsub->names[space], channel.data, channel.size);
    listeners *l = entry != NULL ? entry->value : NULL;
    for (size_t i = 0; l != NULL && i < l->clients.count; i++) {
        deliver(l->clients.items[i], space == SHARD_CHANNELS ? "smessage" : "message", NULL,
                channel, message);
    }
    return l != NULL ? (uint32_t)l->clients.count : 0;
}

uint32_t pubsub_publish(server *s, resp_bytes channel, resp_bytes message)
{
    uint32_t count = publish_in(s, CHANNELS, channel, message);
    dict *patterns = &s->pubsub->names[PATTERNS];
    uint64_t effort = GLOB_EFFORT;
    for (dict_entry *e = dict_next(patterns, NULL); e != NULL; e = dict_next(patterns, e)) {
        resp_bytes pattern = {.data = e->key, .size = e->size};
        if (!glob_match_within(pattern, channel, false, &effort)) {
            continue;
        }
        listeners *l = e->value;
        for (size_t i = 0; i < l->clients.count; i++) {
            deliver(l->clients.items[i], "pmessage", &pattern, channel, message);
            count++;
        }
    }
    return count;
}

static void cmd_publish(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_put_integer(&c->worker->out, (int64_t)pubsub_publish(c->server, argv[1], argv[2]));
}

static void cmd_spublish(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    resp_put_integer(&c->worker->out,
                     (int64_t)publish_in(c->server, SHARD_CHANNELS, argv[1], argv[2]));
}

/* --- looking ------------------------------------------------------------------------------ */

uint32_t pubsub_channel_count(const server *s)
{
    return (uint32_t)s->pubsub->names[CHANNELS].count;
}

uint32_t pubsub_pattern_count(const server *s)
{
    return (uint32_t)s->pubsub->names[PATTERNS].count;
}

uint32_t pubsub_shard_channel_count(const server *s)
{
    return (uint32_t)s->pubsub->names[SHARD_CHANNELS].count;
}

static void list_channels(client *c, enum name_space space, const resp_bytes *pattern)
{
    resp_writer *out = &c->worker->out;
    dict *names = &c->server->pubsub->names[space];
    size_t mark = out->size;
    size_t count = 0;
    uint64_t effort = GLOB_EFFORT;
    for (dict_entry *e = dict_next(names, NULL); e != NULL; e = dict_next(names, e)) {
        resp_bytes name = {.data = e->key, .size = e->size};
        if (pattern == NULL || glob_match_within(*pattern, name, false, &effort)) {
            resp_put_bulk(out, name.data, name.size);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_ARRAY, count);
}

static void count_listeners(client *c, enum name_space space, const resp_bytes *argv, uint32_t argc)
{
    resp_writer *out = &c->worker->out;
    resp_put_array(out, (size_t)(argc - 2) * 2);
    for (uint32_t i = 2; i < argc; i++) {
        dict_entry *entry = dict_find(&c->server->pubsub->names[space], argv[i].data, argv[i].size);
        listeners *l = entry != NULL ? entry->value : NULL;
        resp_put_bulk(out, argv[i].data, argv[i].size);
        resp_put_integer(out, l != NULL ? (int64_t)l->clients.count : 0);
    }
}

static void pubsub_channels(client *c, const resp_bytes *argv, uint32_t argc)
{
    list_channels(c, CHANNELS, argc > 2 ? &argv[2] : NULL);
}

static void pubsub_shardchannels(client *c, const resp_bytes *argv, uint32_t argc)
{
    list_channels(c, SHARD_CHANNELS, argc > 2 ? &argv[2] : NULL);
}

static void pubsub_numsub(client *c, const resp_bytes *argv, uint32_t argc)
{
    count_listeners(c, CHANNELS, argv, argc);
}

static void pubsub_shardnumsub(client *c, const resp_bytes *argv, uint32_t argc)
{
    count_listeners(c, SHARD_CHANNELS, argv, argc);
}

static void pubsub_numpat(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_integer(&c->worker->out, (int64_t)pubsub_pattern_count(c->server));
}

static void pubsub_help(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Channels that somebody listens to.",
        "NUMPAT",
        "    How many patterns there are.",
        "NUMSUB [<channel> ...]",
        "    How many listen to each channel.",
        "SHARDCHANNELS [<pattern>]",
        "    Shard channels that somebody listens to.",
        "SHARDNUMSUB [<channel> ...]",
        "    How many listen to each shard channel.",
        NULL,
    };
    (void)argv;
    (void)argc;
    reply_help(c, c->last_command->parent, lines);
}

#define LISTEN_FLAGS (CMD_PUBSUB | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_IN_SUBSCRIBE)

static const command pubsub_subs[] = {
    {.name = "channels",
     .summary = "Lists the channels that somebody listens to",
     .since = "2.8.0",
     .complexity = "O(N) with N being the number of channels",
     .synopsis = "[pattern]",
     .run = pubsub_channels,
     .arity = -2,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "help",
     .summary = "Shows helpful text",
     .since = "6.2.0",
     .complexity = "O(1)",
     .run = pubsub_help,
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_SLOW},
    {.name = "numpat",
     .summary = "Counts the patterns that somebody listens to",
     .since = "2.8.0",
     .complexity = "O(1)",
     .run = pubsub_numpat,
     .arity = 2,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "numsub",
     .summary = "Counts who listens to channels",
     .since = "2.8.0",
     .complexity = "O(N) with N being the number of channels asked for",
     .synopsis = "[channel [channel ...]]",
     .run = pubsub_numsub,
     .arity = -2,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "shardchannels",
     .summary = "Lists the shard channels that somebody listens to",
     .since = "7.0.0",
     .complexity = "O(N) with N being the number of shard channels",
     .synopsis = "[pattern]",
     .run = pubsub_shardchannels,
     .arity = -2,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "shardnumsub",
     .summary = "Counts who listens to shard channels",
     .since = "7.0.0",
     .complexity = "O(N) with N being the number of channels asked for",
     .synopsis = "[shardchannel [shardchannel ...]]",
     .run = pubsub_shardnumsub,
     .arity = -2,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE,
     .categories = CAT_PUBSUB | CAT_SLOW},
};

static const command rows[] = {
    {.name = "subscribe",
     .summary = "Listens to channels",
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of channels",
     .synopsis = "channel [channel ...]",
     .run = cmd_subscribe,
     .arity = -2,
     .flags = LISTEN_FLAGS,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "unsubscribe",
     .summary = "Stops listening to channels",
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of channels",
     .synopsis = "[channel [channel ...]]",
     .run = cmd_unsubscribe,
     .arity = -1,
     .flags = LISTEN_FLAGS,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "psubscribe",
     .summary = "Listens to all channels that match patterns",
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of patterns",
     .synopsis = "pattern [pattern ...]",
     .run = cmd_psubscribe,
     .arity = -2,
     .flags = LISTEN_FLAGS,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "punsubscribe",
     .summary = "Stops listening to patterns",
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of patterns",
     .synopsis = "[pattern [pattern ...]]",
     .run = cmd_punsubscribe,
     .arity = -1,
     .flags = LISTEN_FLAGS,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "ssubscribe",
     .summary = "Listens to shard channels",
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of channels",
     .synopsis = "shardchannel [shardchannel ...]",
     .run = cmd_ssubscribe,
     .arity = -2,
     .flags = LISTEN_FLAGS,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "sunsubscribe",
     .summary = "Stops listening to shard channels",
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of channels",
     .synopsis = "[shardchannel [shardchannel ...]]",
     .run = cmd_sunsubscribe,
     .arity = -1,
     .flags = LISTEN_FLAGS,
     .categories = CAT_PUBSUB | CAT_SLOW},
    {.name = "publish",
     .summary = "Gives a message to all who listen to a channel",
     .since = "2.0.0",
     .group = "pubsub",
     .complexity = "O(N+M) with N being the number of listeners and M the number of patterns",
     .synopsis = "channel message",
     .run = cmd_publish,
     .arity = 3,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE,
     .categories = CAT_PUBSUB | CAT_FAST},
    {.name = "spublish",
     .summary = "Gives a message to all who listen to a shard channel",
     .since = "7.0.0",
     .group = "pubsub",
     .complexity = "O(N) with N being the number of listeners",
     .synopsis = "shardchannel message",
     .run = cmd_spublish,
     .arity = 3,
     .flags = CMD_PUBSUB | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_MAY_REPLICATE,
     .categories = CAT_PUBSUB | CAT_FAST},
    {.name = "pubsub",
     .summary = "A container for commands that look at channels",
     .since = "2.8.0",
     .group = "pubsub",
     .complexity = "Depends on subcommand.",
     .subcommands = pubsub_subs,
     .subcommand_count = sizeof pubsub_subs / sizeof pubsub_subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
};

const command_family family_pubsub = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
