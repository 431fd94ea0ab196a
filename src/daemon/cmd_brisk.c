/*
 * cmd_brisk.c -- what Redis does not have: BRISK.LOAD, BRISK.RELEASE, BRISK.STATS.
 *
 * BRISK.LOAD is a single flight over the wire.  Of all who ask for a key that is not there, one gets
 * a lease and computes the value; the others wait for the key to appear, however it does:
 *
 *     BRISK.LOAD key ─► HIT value            it is there
 *                    ─► LEASE token          compute it and SET it (or BRISK.RELEASE)
 *                    ─► (waits) ─► HIT ...   somebody else computed it
 *                               ─► LEASE ... that one went away, or took too long
 *                               ─► TIMEOUT   nobody came back in time
 *     with REFRESH ms, when the value expires within that time:
 *                    ─► REFRESH token value  compute a new one; this is the old one
 *                    ─► STALE value          somebody else computes a new one
 *
 * Invariant: a load is in the table from its lease to the key's change, release or end of lease;
 * clients that wait for it are on its list with CLIENT_LOADING.
 */
#include <inttypes.h>
#include <string.h>

#include <brisk/json.h>

#include "base/assert.h"
#include "base/str.h"
#include "daemon/disk.h"
#include "daemon/loads.h"
#include "daemon/server.h"

enum {
    LOADS_MAX = 65536,
    WAIT_MS = 5000,
    LEASE_MS = 10000,
    MS_MAX = 3600 * 1000,
    STATS_TEXT_MAX = 65536
};

typedef struct load {
    dict_entry *entry;
    uint64_t token;
    uint64_t holder; /* a client's number; 0: nobody any more */
    uint64_t until_ns;
    client *waiting;
} load;

struct loads {
    server *server;
    const brisk_alloc *alloc;
    dict loads; /* key -> load */
    uint64_t next_token;
    uint64_t leases; /* since the start */
    uint64_t waits;
    uint64_t timeouts;
};

brisk_err loads_create(server *s, struct loads **ret)
{
    const brisk_alloc *alloc = s->alloc;
    struct loads *own = alloc->acquire(alloc->ctx, sizeof *own, _Alignof(struct loads));
    if (own == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *own = (struct loads){.server = s, .alloc = alloc, .next_token = 1};
    dict_init(&own->loads, alloc);
    *ret = own;
    return BRISK_OK;
}

static size_t kept_bytes(size_t key_size)
{
    return key_size + KEPT_OVERHEAD;
}

static void free_load(struct loads *own, load *l)
{
    server_let_go(own->server, kept_bytes(l->entry->size));
    dict_remove(&own->loads, l->entry);
    own->alloc->release(own->alloc->ctx, l, sizeof *l, _Alignof(load));
}

void loads_destroy(struct loads *own)
{
    if (own == NULL) {
        return;
    }
    for (dict_entry *entry = dict_next(&own->loads, NULL), *next; entry != NULL; entry = next) {
        next = dict_next(&own->loads, entry);
        free_load(own, entry->value);
    }
    dict_deinit(&own->loads);
    own->alloc->release(own->alloc->ctx, own, sizeof *own, _Alignof(struct loads));
}

/* --- waiting ------------------------------------------------------------------------------ */

static void stop_waiting(client *c)
{
    load *l = c->wait_for;
    client **at = &l->waiting;
    while (*at != c) {
        BRISK_ASSERT(*at != NULL);
        at = &(*at)->wait_next;
    }
    *at = c->wait_next;
    c->wait_next = NULL;
    c->wait_for = NULL;
}

void loads_forget(client *c)
{
    stop_waiting(c);
}

static void wake(client *c, client_ended ended)
{
    stop_waiting(c);
    c->ended = ended;
    client_unblock(c);
}

static void wake_all(load *l)
{
    while (l->waiting != NULL) {
        wake(l->waiting, CLIENT_ENDED_NORMALLY);
    }
}

/* The lease is over without a value: the first who waits asks again, and gets it. */
static void pass_on(server *s, load *l)
{
    client *holder = client_find(s, l->holder);
    if (holder != NULL) {
        holder->leases--;
    }
    client *all = l->waiting;
    if (all == NULL) {
        free_load(s->own, l);
        return;
    }
    l->holder = 0;
    wake_all(l);
    free_load(s->own, l);
}

void loads_changed(server *s, resp_bytes key)
{
    dict_entry *entry = dict_find(&s->own->loads, key.data, key.size);
    if (entry != NULL && keyspace_has(&s->keys, key)) {
        pass_on(s, entry->value);
    }
}

void loads_release(client *c)
{
    struct loads *own = c->server->own;
    dict_entry *entry = c->leases > 0 ? dict_next(&own->loads, NULL) : NULL;
    while (entry != NULL) {
        dict_entry *next = dict_next(&own->loads, entry);
        load *l = entry->value;
        if (l->holder == c->id) {
            pass_on(c->server, l);
        }
        entry = next;
    }
}

bool loads_unblock(client *c, bool error)
{
    if (c->block != CLIENT_LOADING) {
        return false;
    }
    wake(c, error ? CLIENT_ENDED_BY_ERROR : CLIENT_ENDED_BY_TIMEOUT);
    return true;
}

void loads_tick(server *s)
{
    dict_entry *entry = dict_next(&s->own->loads, NULL);
    while (entry != NULL) {
        dict_entry *next = dict_next(&s->own->loads, entry);
        load *l = entry->value;
        for (client *c = l->waiting; c != NULL;) {
            client *after = c->wait_next;
            if (c->wait_until_ns <= s->now_ns) {
                wake(c, CLIENT_ENDED_BY_TIMEOUT);
            }
            c = after;
        }
        if (l->until_ns <= s->now_ns) {
            pass_on(s, l);
        }
        entry = next;
    }
}

loads_figures loads_read(const server *s)
{
    const struct loads *own = s->own;
    return (loads_figures){.now = own->loads.count,
                           .leases = own->leases,
                           .waits = own->waits,
                           .timeouts = own->timeouts};
}

/* --- BRISK.LOAD --------------------------------------------------------------------------- */

typedef struct load_options {
    int64_t wait_ms;
    int64_t lease_ms;
    int64_t refresh_ms;
} load_options;

static bool parse_load(client *c, const resp_bytes *argv, uint32_t argc, load_options *ret)
{
    *ret = (load_options){.wait_ms = WAIT_MS, .lease_ms = LEASE_MS};
    for (uint32_t i = 2; i < argc; i += 2) {
        int64_t *value = NULL;
        if (resp_bytes_equal_nocase(argv[i], "wait")) {
            value = &ret->wait_ms;
        } else if (resp_bytes_equal_nocase(argv[i], "lease")) {
            value = &ret->lease_ms;
        } else if (resp_bytes_equal_nocase(argv[i], "refresh")) {
            value = &ret->refresh_ms;
        }
        if (value == NULL || i + 1 == argc) {
            reply_syntax_error(c);
            return false;
        }
        if (!arg_range(c, argv[i + 1], 0, MS_MAX, value)) {
            return false;
        }
    }
    return true;
}

/* NULL: out of memory, or too many. */
static load *lease(client *c, resp_bytes key, int64_t lease_ms)
{
    struct loads *own = c->server->own;
    if (own->loads.count >= LOADS_MAX || !server_keep(c->server, kept_bytes(key.size))) {
        reply_error(c, "OOM too many loads are under way");
        return NULL;
    }
    dict_entry *entry = dict_add(&own->loads, key.data, key.size);
    load *l =
        entry != NULL ? own->alloc->acquire(own->alloc->ctx, sizeof *l, _Alignof(load)) : NULL;
    if (l == NULL) {
        if (entry != NULL) {
            dict_remove(&own->loads, entry);
        }
        server_let_go(c->server, kept_bytes(key.size));
        reply_error(c, "OOM out of memory");
        return NULL;
    }
    *l = (load){.entry = entry,
                .token = own->next_token++,
                .holder = c->id,
                .until_ns = c->server->now_ns + (uint64_t)lease_ms * 1000000};
    entry->value = l;
    c->leases++;
    own->leases++;
    return l;
}

static void put_value(client *c, const char *word, resp_bytes key)
{
    resp_writer *out = &c->worker->out;
    resp_put_array(out, 2);
    resp_put_text(out, word);
    if (!keyspace_write(&c->server->keys, key, out)) {
        resp_put_null(out);
    }
}

/* It is there: a plain hit, or a value that is soon to be replaced. */
static void answer_hit(client *c, resp_bytes key, uint64_t expires_at_ns, const load_options *o)
{
    server *s = c->server;
    s->stats.hits++;
    uint64_t ahead = s->wall_ns + (uint64_t)o->refresh_ms * 1000000;
    if (o->refresh_ms == 0 || expires_at_ns == 0 || expires_at_ns > ahead) {
        put_value(c, "HIT", key);
        return;
    }
    if (dict_find(&s->own->loads, key.data, key.size) != NULL) {
        put_value(c, "STALE", key);
        return;
    }
    const load *l = lease(c, key, o->lease_ms);
    if (l != NULL) {
        resp_writer *out = &c->worker->out;
        resp_put_array(out, 3);
        resp_put_text(out, "REFRESH");
        resp_put_integer(out, (int64_t)l->token);
        if (!keyspace_write(&s->keys, key, out)) {
            resp_put_null(out);
        }
    }
}

static void put_word(client *c, const char *word)
{
    resp_put_array(&c->worker->out, 1);
    resp_put_text(&c->worker->out, word);
}

static void wait_for(client *c, load *l, const resp_bytes *argv, uint32_t argc,
                     const load_options *o)
{
    server *s = c->server;
    bool may = (c->flags & CLIENT_IN_EXEC) == 0 && o->wait_ms > 0;
    if (may && c->wait_until_ns == 0) {
        c->wait_until_ns = s->now_ns + (uint64_t)o->wait_ms * 1000000;
    }
    if (!may || c->wait_until_ns <= s->now_ns) {
        c->wait_until_ns = 0;
        s->own->timeouts++;
        put_word(c, "TIMEOUT");
        return;
    }
    if (!client_hold(c, &c->held, c->last_command, argv, argc)) {
        c->wait_until_ns = 0;
        reply_error(c, "OOM out of memory");
        return;
    }
    c->fetch_tries = 0;
    c->wait_for = l;
    c->block = CLIENT_LOADING;
    s->blocked_count++;
    s->own->waits++;
    client **at = &l->waiting; /* first come, first served */
    while (*at != NULL) {
        at = &(*at)->wait_next;
    }
    *at = c;
}

static void cmd_load(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    load_options options;
    brisk_entry_info info;
    client_ended ended = c->ended;
    c->ended = CLIENT_ENDED_NORMALLY;
    if (!parse_load(c, argv, argc, &options)) {
        return;
    }
    if (ended != CLIENT_ENDED_NORMALLY) {
        c->wait_until_ns = 0;
        s->own->timeouts++;
        if (ended == CLIENT_ENDED_BY_ERROR) {
            reply_error(c, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        } else {
            put_word(c, "TIMEOUT");
        }
        return;
    }
    if (keyspace_info(&s->keys, argv[1], &info)) {
        c->wait_until_ns = 0;
        answer_hit(c, argv[1], info.expires_at_ns, &options);
        return;
    }
    dict_entry *entry = dict_find(&s->own->loads, argv[1].data, argv[1].size);
    if (entry != NULL) {
        wait_for(c, entry->value, argv, argc, &options);
        return;
    }
    c->wait_until_ns = 0;
    s->stats.misses++;
    const load *l = lease(c, argv[1], options.lease_ms);
    if (l != NULL) {
        resp_put_array(&c->worker->out, 2);
        resp_put_text(&c->worker->out, "LEASE");
        resp_put_integer(&c->worker->out, (int64_t)l->token);
    }
}

static void cmd_release(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t token;
    if (!arg_i64(c, argv[2], &token)) {
        return;
    }
    dict_entry *entry = dict_find(&c->server->own->loads, argv[1].data, argv[1].size);
    load *l = entry != NULL ? entry->value : NULL;
    bool known = l != NULL && l->token == (uint64_t)token;
    if (known) {
        pass_on(c->server, l);
    }
    resp_put_integer(&c->worker->out, known ? 1 : 0);
}

/* --- BRISK.STATS -------------------------------------------------------------------------- */

typedef struct figure {
    const char *name;
    uint64_t value;
} figure;

enum { FIGURES_MAX = 32 };

static uint32_t tier_figures(const brisk_tier_stats *stats, figure ret[FIGURES_MAX])
{
    const figure list[] = {
        {"entries", stats->entries},       {"bytes", stats->bytes},
        {"bytes_max", stats->bytes_max},   {"hits", stats->hits},
        {"misses", stats->misses},         {"puts", stats->puts},
        {"removes", stats->removes},       {"evictions", stats->evictions},
        {"expired", stats->expired},       {"rejects", stats->rejects},
        {"corrupt", stats->corrupt},       {"errors", stats->errors},
        {"raw_bytes", stats->raw_bytes},   {"stored_bytes", stats->stored_bytes},
        {"get_p50_ns", stats->get_p50_ns}, {"get_p99_ns", stats->get_p99_ns},
    };
    memcpy(ret, list, sizeof list);
    return sizeof list / sizeof list[0];
}

static uint32_t server_figures(server *s, figure ret[FIGURES_MAX])
{
    const figure list[] = {
        {"connections", s->client_count},
        {"connections_total", s->stats.connections},
        {"connections_rejected", s->stats.rejected},
        {"commands", s->stats.commands},
        {"commands_per_second", s->stats.ops_per_second},
        {"errors", s->stats.errors},
        {"keyspace_hits", s->stats.hits},
        {"keyspace_misses", s->stats.misses},
        {"blocked", s->blocked_count},
        {"input_bytes", atomic_load_explicit(&s->input_bytes, memory_order_relaxed)},
        {"output_bytes", atomic_load_explicit(&s->output_bytes, memory_order_relaxed)},
        {"loads_under_way", s->own->loads.count},
        {"leases", s->own->leases},
        {"load_waits", s->own->waits},
        {"load_timeouts", s->own->timeouts},
        {"uptime_s", (s->now_ns - s->started_ns) / 1000000000},
    };
    memcpy(ret, list, sizeof list);
    return sizeof list / sizeof list[0];
}

static void put_figures(resp_writer *out, const char *name, const figure *list, uint32_t count)
{
    resp_put_text(out, name);
    resp_put_map(out, count);
    for (uint32_t i = 0; i < count; i++) {
        resp_put_text(out, list[i].name);
        resp_put_integer(out, (int64_t)list[i].value);
    }
}

static void json_figures(brisk_json *json, const char *name, const figure *list, uint32_t count)
{
    brisk_json_object_begin(json, name);
    for (uint32_t i = 0; i < count; i++) {
        brisk_json_u64(json, list[i].name, list[i].value);
    }
    brisk_json_object_end(json);
}

typedef struct all_figures {
    figure server[FIGURES_MAX];
    figure memory[FIGURES_MAX];
    figure disk[FIGURES_MAX];
    uint32_t server_count;
    uint32_t memory_count;
    uint32_t disk_count; /* 0: no disk tier */
} all_figures;

static void collect(server *s, all_figures *ret)
{
    brisk_tier_stats stats;
    ret->server_count = server_figures(s, ret->server);
    keyspace_stats(&s->keys, &stats);
    ret->memory_count = tier_figures(&stats, ret->memory);
    ret->disk_count = 0;
    if (s->disk != NULL) {
        disk_stats(s, &stats);
        ret->disk_count = tier_figures(&stats, ret->disk);
    }
}

static void stats_as_json(client *c, const all_figures *all)
{
    brisk_str text;
    brisk_str_init(&text, c->server->alloc, STATS_TEXT_MAX);
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "policy", brisk_memory_policy(c->server->keys.tier));
    json_figures(&json, "server", all->server, all->server_count);
    json_figures(&json, "memory", all->memory, all->memory_count);
    if (all->disk_count > 0) {
        json_figures(&json, "disk", all->disk, all->disk_count);
    }
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        resp_put_bulk(&c->worker->out, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        reply_error(c, "OOM out of memory");
    }
    brisk_str_deinit(&text);
}

static void cmd_stats(client *c, const resp_bytes *argv, uint32_t argc)
{
    all_figures all;
    collect(c->server, &all);
    if (argc == 1 || resp_bytes_equal_nocase(argv[1], "json")) {
        stats_as_json(c, &all);
        return;
    }
    if (!resp_bytes_equal_nocase(argv[1], "map")) {
        reply_syntax_error(c);
        return;
    }
    resp_writer *out = &c->worker->out;
    resp_put_map(out, all.disk_count > 0 ? 4 : 3);
    resp_put_text(out, "policy");
    resp_put_text(out, brisk_memory_policy(c->server->keys.tier));
    put_figures(out, "server", all.server, all.server_count);
    put_figures(out, "memory", all.memory, all.memory_count);
    if (all.disk_count > 0) {
        put_figures(out, "disk", all.disk, all.disk_count);
    }
}

static const command rows[] = {
    {.name = "brisk.load",
     .summary = "A value, or the task to compute it: one flight per key",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(1)",
     .synopsis = "key [WAIT ms] [LEASE ms] [REFRESH ms]",
     .run = cmd_load,
     .arity = -2,
     .flags = CMD_READONLY | CMD_BLOCKING,
     .categories = CAT_READ | CAT_BLOCKING | CAT_SLOW,
     .key_first = 1,
     .key_last = 1,
     .key_step = 1,
     .key_flags = "RO access"},
    {.name = "brisk.release",
     .summary = "Gives back the task to compute a value",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(1)",
     .synopsis = "key token",
     .run = cmd_release,
     .arity = 3,
     .flags = CMD_READONLY | CMD_FAST,
     .categories = CAT_READ | CAT_FAST,
     .key_first = 1,
     .key_last = 1,
     .key_step = 1,
     .key_flags = "RO"},
    {.name = "brisk.stats",
     .summary = "Figures of server and tiers",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(1)",
     .synopsis = "[JSON|MAP]",
     .run = cmd_stats,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_SLOW},
};

const command_family family_brisk = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
