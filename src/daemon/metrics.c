/*
 * metrics.c -- the server's figures as a registry: what BRISK.METRICS and whoever asks it see.
 *
 * Only times are recorded as commands run: each command's row points to the times of its group, which is one
 * count and no look-up (measured: 16 of 1,880 instructions of a pipelined GET).  All other figures are counted anyhow,
 * by the server, the tables and the tiers.  Both are moved into the registry when somebody asks, and once a second
 * for rates.  The registry has no collector: that needs the server's lock, which whoever asks holds already.
 *
 * A time counts as the middle of its bucket: quantiles are within 0.8 %, sums within 0.4 %.
 *
 * Totals begin anew with CONFIG RESETSTAT, as INFO's do; histograms go on.  A figure for which there is no memory is
 * left out.
 *
 * Locks: under the server's lock; takes the registry's own.
 */
#include "daemon/metrics.h"

#include <string.h>
#include <sys/resource.h>

#include "base/assert.h"
#include "daemon/api/api.h"
#include "daemon/disk.h"
#include "daemon/encode/encode.h"
#include "daemon/files/open_cache.h"
#include "daemon/loads.h"
#include "daemon/proxy/proxy.h"

enum { SERIES_MAX = 512, CODE_TEXT_MAX = 40, GROUPS_MAX = 32 };

typedef struct group {
    const char *name;
    brisk_histogram *histogram;
    uint32_t times[SERVER_TIMES];
} group;

struct server_metrics {
    const brisk_alloc *alloc;
    brisk_metrics *registry;
    group *groups[GROUPS_MAX];
    uint32_t group_count;
    bool shown[COMMANDS_MAX]; /* commands that have series */
};

/* --- setting ------------------------------------------------------------------------------ */

/* What a series is beside its value; `label` NULL: none. */
typedef struct figure {
    const char *name;
    const char *help;
    const char *label;
    const char *label_value;
    brisk_unit unit;
} figure;

static brisk_metric_desc desc_of(const figure *f, brisk_label *label)
{
    *label = (brisk_label){.name = f->label, .value = f->label_value};
    return (brisk_metric_desc){.name = f->name,
                               .help = f->help,
                               .unit = f->unit,
                               .labels = f->label != NULL ? label : NULL,
                               .label_count = f->label != NULL ? 1 : 0};
}

static void set_total(server *s, figure f, uint64_t value)
{
    brisk_label label;
    brisk_total *total;
    brisk_metric_desc desc = desc_of(&f, &label);
    if (brisk_metrics_total(s->metrics->registry, &desc, &total) == BRISK_OK) {
        brisk_total_set(total, value);
    }
}

static void set_gauge(server *s, figure f, double value)
{
    brisk_label label;
    brisk_gauge *gauge;
    brisk_metric_desc desc = desc_of(&f, &label);
    if (brisk_metrics_gauge(s->metrics->registry, &desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, value);
    }
}

static uint64_t read_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* --- what is copied ------------------------------------------------------------------------ */

static void copy_commands(server *s)
{
    const command *cmd;
    for (uint32_t i = 0; (cmd = command_at(s->commands, i)) != NULL; i++) {
        const command_stats *stats = command_stats_of(s->commands, cmd);
        bool *shown = &s->metrics->shown[cmd->number];
        if (stats->calls + stats->rejected == 0 && !*shown) {
            continue;
        }
        *shown = true; /* also when CONFIG RESETSTAT makes it 0 again */
        char name[64];
        command_full_name(cmd, name, sizeof name);
        set_total(s, (figure){"serve.command.calls", "Calls of a command", "command", name, 0},
                  stats->calls);
        set_total(
            s, (figure){"serve.command.busy", "Time in a command", "command", name, BRISK_UNIT_NS},
            stats->ns);
        set_total(
            s,
            (figure){"serve.command.failed", "Calls that ended with an error", "command", name, 0},
            stats->failed);
        set_total(s,
                  (figure){"serve.command.rejected", "Calls that were refused before they ran",
                           "command", name, 0},
                  stats->rejected);
    }
}

static void copy_errors(server *s)
{
    set_total(s, (figure){"serve.errors", "Error replies", NULL, NULL, 0}, s->stats.errors);
    for (const dict_entry *e = dict_next(&s->errors, NULL); e != NULL;
         e = dict_next(&s->errors, e)) {
        char code[CODE_TEXT_MAX];
        (void)snprintf(code, sizeof code, "%.*s", (int)e->size, (const char *)e->key);
        set_total(
            s,
            (figure){"serve.errors.by_code", "Error replies by their first word", "code", code, 0},
            (uint64_t)(uintptr_t)e->value);
    }
}

static void copy_tier(server *s, const char *tier, const brisk_tier_stats *stats)
{
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } totals[] = {
        {"serve.tier.hits", "Look-ups that a tier answered", stats->hits},
        {"serve.tier.misses", "Look-ups that a tier did not answer", stats->misses},
        {"serve.tier.puts", "Values that a tier took", stats->puts},
        {"serve.tier.removes", "Values removed from a tier", stats->removes},
        {"serve.tier.evictions", "Values that a tier dropped for others", stats->evictions},
        {"serve.tier.expired", "Values of a tier that were too old", stats->expired},
        {"serve.tier.rejects", "Values that a tier did not take", stats->rejects},
        {"serve.tier.errors", "Failures of a tier, damaged values among them",
         stats->errors + stats->corrupt},
    };
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
        set_total(s, (figure){totals[i].name, totals[i].help, "tier", tier, 0}, totals[i].value);
    }
    set_gauge(s, (figure){"serve.tier.entries", "Values in a tier", "tier", tier, 0},
              (double)stats->entries);
    set_gauge(s, (figure){"serve.tier.bytes", "What they take", "tier", tier, BRISK_UNIT_BYTES},
              (double)stats->bytes);
    set_gauge(
        s, (figure){"serve.tier.limit", "Most that they may take", "tier", tier, BRISK_UNIT_BYTES},
        (double)stats->bytes_max);
}

static void copy_tiers(server *s)
{
    brisk_tier_stats stats;
    keyspace_stats(&s->keys, &stats);
    copy_tier(s, "memory", &stats);
    if (s->disk != NULL) {
        disk_stats(s, &stats);
        copy_tier(s, "disk", &stats);
    }
}

static void copy_keys(server *s)
{
    const server_stats *stats = &s->stats;
    set_total(s, (figure){"serve.hits", "Keys that were there when asked for", NULL, NULL, 0},
              stats->hits);
    set_total(s, (figure){"serve.misses", "Keys that were not", NULL, NULL, 0}, stats->misses);
    set_total(s, (figure){"serve.keys.expired", "Keys whose time was over", NULL, NULL, 0},
              s->keys.expired - stats->expired_shown);
    set_total(s, (figure){"serve.keys.evicted", "Keys that had to leave", NULL, NULL, 0},
              s->keys.evicted - stats->evicted_shown);
    const brisk_metric_desc hits = {.name = "serve.hits"};
    const brisk_metric_desc both[] = {{.name = "serve.hits"}, {.name = "serve.misses"}};
    brisk_err err = brisk_metrics_ratio(
        s->metrics->registry,
        &(brisk_metric_desc){.name = "serve.hit_rate",
                             .help = "Part of the keys asked for that were there",
                             .unit = BRISK_UNIT_RATIO},
        &(brisk_ratio){.over = &hits, .over_count = 1, .under = both, .under_count = 2});
    (void)err; /* left out while there is no memory for it */
}

static void copy_connections(server *s)
{
    static const char closed[] = "serve.connections.closed";
    static const char why[] = "Connections that the server closed";
    set_gauge(s, (figure){"serve.connections", "Connections now", NULL, NULL, 0}, s->client_count);
    set_gauge(s, (figure){"serve.blocked", "Clients that wait", NULL, NULL, 0}, s->blocked_count);
    set_total(s, (figure){"serve.connections.opened", "Connections", NULL, NULL, 0},
              s->stats.connections);
    set_total(s,
              (figure){"serve.connections.rejected", "Connections beyond the limit", NULL, NULL, 0},
              s->stats.rejected);
    set_total(s, (figure){closed, why, "reason", "input", 0}, read_of(&s->input_kills));
    set_total(s, (figure){closed, why, "reason", "output", 0}, read_of(&s->output_kills));
    set_total(s, (figure){closed, why, "reason", "slow", 0}, read_of(&s->http_timeouts));
    set_total(s, (figure){closed, why, "reason", "address", 0}, read_of(&s->addresses.refused));
    set_total(s, (figure){closed, why, "reason", "idle", 0}, read_of(&s->idle_kills));
    set_total(
        s,
        (figure){"serve.connections.failed", "Connections that found no descriptor", NULL, NULL, 0},
        read_of(&s->accept_failures));
    set_total(s, (figure){"serve.net.in", "Bytes received", NULL, NULL, BRISK_UNIT_BYTES},
              read_of(&s->bytes_in));
    set_total(s, (figure){"serve.net.out", "Bytes sent", NULL, NULL, BRISK_UNIT_BYTES},
              read_of(&s->bytes_out));
    set_gauge(
        s, (figure){"serve.buffers", "Unfinished and unsent", "direction", "in", BRISK_UNIT_BYTES},
        (double)read_of(&s->input_bytes));
    set_gauge(
        s, (figure){"serve.buffers", "Unfinished and unsent", "direction", "out", BRISK_UNIT_BYTES},
        (double)read_of(&s->output_bytes));
}

static void copy_loads(server *s)
{
    static const char timeouts[] = "serve.timeouts";
    static const char what[] = "Waits that ended without an answer, and idle connections closed";
    loads_figures loads = loads_read(s);
    set_gauge(s, (figure){"serve.loads", "Loads under way", NULL, NULL, 0}, (double)loads.now);
    set_total(s, (figure){"serve.loads.leases", "Loads given to a client", NULL, NULL, 0},
              loads.leases);
    set_total(s, (figure){"serve.loads.waits", "Clients that waited for another's", NULL, NULL, 0},
              loads.waits);
    set_total(s, (figure){timeouts, what, "kind", "load", 0}, loads.timeouts);
    set_total(s, (figure){timeouts, what, "kind", "idle", 0}, read_of(&s->idle_kills));
}

/* The inverse of brisk_hist_index, in the middle. */
static uint64_t middle_of(uint32_t bucket)
{
    enum { ONES = (1 << SERVER_TIMES_BITS) - 1 };
    if (bucket <= ONES) {
        return bucket;
    }
    uint32_t shift = (bucket >> SERVER_TIMES_BITS) - 1;
    return ((uint64_t)(ONES + 1 + (bucket & ONES)) << shift) + (UINT64_C(1) << shift) / 2;
}

/* Into the histograms; what is copied begins at 0 again. */
static void move_times(struct server_metrics *m)
{
    for (uint32_t i = 0; i < m->group_count; i++) {
        group *g = m->groups[i];
        for (uint32_t b = 0; b < SERVER_TIMES; b++) {
            if (g->times[b] != 0) {
                brisk_histogram_record_many(g->histogram, middle_of(b), g->times[b]);
                g->times[b] = 0;
            }
        }
    }
}

static uint64_t ns_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

/* Not brisk_process_watch: that counts descriptors, which takes milliseconds with many clients. */
static void copy_process(server *s)
{
    static const char time[] = "serve.cpu.time";
    static const char what[] = "Time on processors";
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        set_total(s, (figure){time, what, "mode", "user", BRISK_UNIT_NS}, ns_of(used.ru_utime));
        set_total(s, (figure){time, what, "mode", "system", BRISK_UNIT_NS}, ns_of(used.ru_stime));
    }
    set_gauge(
        s, (figure){"serve.memory.resident", "Memory of the process", NULL, NULL, BRISK_UNIT_BYTES},
        (double)resident_bytes());
}

static void copy_encode(server *s)
{
    static const char answers[] = "serve.encode.answers";
    static const char what[] = "Answers that could be compressed, by what became of them";
    encode_stats stats;
    variants_stats variants;
    if (s->encode == NULL) {
        return;
    }
    encode_read_stats(s->encode, &stats, &variants);
    set_total(s, (figure){answers, what, "how", "plain", 0}, stats.plain);
    set_total(s, (figure){answers, what, "how", "made", 0}, stats.made);
    set_total(s, (figure){answers, what, "how", "reused", 0}, stats.reused);
    set_total(s, (figure){"serve.encode.background", "Bodies compressed for later", NULL, NULL, 0},
              stats.background);
    set_total(s,
              (figure){"serve.encode.in", "Bytes before they were compressed", NULL, NULL,
                       BRISK_UNIT_BYTES},
              stats.bytes_in);
    set_total(s, (figure){"serve.encode.out", "What they became", NULL, NULL, BRISK_UNIT_BYTES},
              stats.bytes_out);
    set_gauge(
        s,
        (figure){"serve.encode.kept", "Compressed bodies in memory", NULL, NULL, BRISK_UNIT_BYTES},
        (double)variants.bytes);
}

static void copy_files(server *s)
{
    open_cache_stats stats;
    if (s->files == NULL) {
        return;
    }
    files_read_stats(s->files, &stats);
    set_total(s, (figure){"serve.files.hits", "Paths of files that were known", NULL, NULL, 0},
              stats.hits);
    set_total(s, (figure){"serve.files.misses", "Paths that were looked up", NULL, NULL, 0},
              stats.misses);
    set_gauge(s, (figure){"serve.files.known", "Paths that are known", NULL, NULL, 0},
              (double)stats.entries);
    set_gauge(s, (figure){"serve.files.open", "Files that are kept open", NULL, NULL, 0},
              (double)stats.descriptors);
    set_gauge(s,
              (figure){"serve.files.memory", "Small files in memory", NULL, NULL, BRISK_UNIT_BYTES},
              (double)stats.memory);
}

static void copy_all(server *s)
{
    move_times(s->metrics);
    copy_process(s);
    set_total(s, (figure){"serve.commands", "Commands", NULL, NULL, 0}, s->stats.commands);
    set_gauge(s, (figure){"serve.uptime", "Time since the start", NULL, NULL, BRISK_UNIT_NS},
              (double)(s->now_ns - s->started_ns));
    set_gauge(
        s, (figure){"serve.memory.max", "Limit of keys and values", NULL, NULL, BRISK_UNIT_BYTES},
        (double)s->maxmemory);
    copy_keys(s);
    copy_tiers(s);
    copy_connections(s);
    copy_loads(s);
    copy_errors(s);
    copy_commands(s);
    copy_encode(s);
    copy_files(s);
    if (s->proxy != NULL) {
        proxy_copy_figures(s->proxy);
    }
    if (s->api != NULL) {
        http_observe_copy(s->api->observer);
    }
}

/* --- life --------------------------------------------------------------------------------- */

/* The group of a name, made if it is not there. */
static brisk_err need_group(struct server_metrics *m, const char *name, group **ret)
{
    for (uint32_t i = 0; i < m->group_count; i++) {
        if (strcmp(m->groups[i]->name, name) == 0) {
            *ret = m->groups[i];
            return BRISK_OK;
        }
    }
    BRISK_ASSERT(m->group_count < GROUPS_MAX); /* they are ours */
    group *g = m->alloc->acquire(m->alloc->ctx, sizeof *g, _Alignof(group));
    if (g == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(g, 0, sizeof *g);
    g->name = name;
    m->groups[m->group_count++] = g;
    *ret = g;
    brisk_label label;
    brisk_metric_desc desc =
        desc_of(&(figure){"serve.command.time", "How long commands took, by their group", "group",
                          name, BRISK_UNIT_NS},
                &label);
    return brisk_metrics_histogram(m->registry, &desc, &g->histogram);
}

static brisk_err lend_times(server *s, struct server_metrics *m)
{
    const command *cmd;
    for (uint32_t i = 0; (cmd = command_at(s->commands, i)) != NULL; i++) {
        group *g;
        brisk_err err = need_group(m, cmd->group, &g);
        if (err != BRISK_OK) {
            return err;
        }
        command_stats_of(s->commands, cmd)->times = g->times;
    }
    return BRISK_OK;
}

brisk_err server_metrics_create(server *s, struct server_metrics **ret)
{
    struct server_metrics *m =
        s->alloc->acquire(s->alloc->ctx, sizeof *m, _Alignof(struct server_metrics));
    if (m == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *m = (struct server_metrics){.alloc = s->alloc};
    brisk_metrics_opts opts = {.series_max = SERIES_MAX, .alloc = library_alloc(s->alloc)};
    brisk_err err = brisk_metrics_create(&opts, &m->registry);
    if (err == BRISK_OK) {
        err = lend_times(s, m);
    }
    if (err != BRISK_OK) {
        server_metrics_destroy(m);
        return err;
    }
    *ret = m;
    return BRISK_OK;
}

void server_metrics_destroy(struct server_metrics *metrics)
{
    if (metrics != NULL) {
        brisk_metrics_destroy(metrics->registry);
        for (uint32_t i = 0; i < metrics->group_count; i++) {
            metrics->alloc->release(metrics->alloc->ctx, metrics->groups[i], sizeof(group),
                                    _Alignof(group));
        }
        metrics->alloc->release(metrics->alloc->ctx, metrics, sizeof *metrics,
                                _Alignof(struct server_metrics));
    }
}

brisk_metrics *server_metrics_registry(const server *s)
{
    return s->metrics->registry;
}

void server_metrics_tick(server *s)
{
    copy_all(s);
    brisk_metrics_tick(s->metrics->registry);
}

brisk_err server_metrics_snapshot(server *s, brisk_snapshot **ret)
{
    copy_all(s);
    return brisk_metrics_snapshot(s->metrics->registry, library_alloc(s->alloc), ret);
}
