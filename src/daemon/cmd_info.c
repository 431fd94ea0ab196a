/*
 * cmd_info.c -- INFO: figures under headings, as clients and monitoring know them from Redis.
 *
 * Every figure is measured or counted here; what this server has no equivalent of is 0 where a
 * client expects the line, and left out where none does.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "daemon/command.h"
#include "daemon/disk.h"
#include "daemon/metrics.h"
#include "daemon/pubsub.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

typedef struct section {
    const char *name;
    void (*write)(server *s, resp_writer *out);
    bool by_default;
} section;

static void add(resp_writer *out, const char *format, ...) BRISK_PRINTF(2, 3);

static void add(resp_writer *out, const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (n > 0) {
        resp_put_raw(out, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
        resp_put_raw(out, "\r\n", 2);
    }
}

static void add_bytes(resp_writer *out, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    add(out, "%s:%" PRIu64, name, bytes);
    add(out, unit == 0 ? "%s_human:%.0f%c" : "%s_human:%.2f%c", name, value, units[unit]);
}

uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long total = 0;
    unsigned long resident = 0;
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- sections ----------------------------------------------------------------------------- */

static void write_server(server *s, resp_writer *out)
{
    struct utsname name;
    uint64_t up = (s->now_ns - s->started_ns) / 1000000000;
    uint16_t port = listen_port(s);
    add(out, "redis_version:7.0.15");
    add(out, "server_name:brisk");
    add(out, "brisk_version:%s", BRISK_VERSION);
    add(out, "redis_mode:standalone");
    if (uname(&name) == 0) {
        add(out, "os:%s %s %s", name.sysname, name.release, name.machine);
    }
    add(out, "arch_bits:%d", (int)(8 * sizeof(void *)));
    add(out, "multiplexing_api:epoll");
    add(out, "process_id:%d", (int)s->pid);
    add(out, "process_supervised:no");
    add(out, "run_id:%s", s->run_id);
    add(out, "tcp_port:%u", port);
    add(out, "server_time_usec:%" PRIu64, s->wall_ns / 1000);
    add(out, "uptime_in_seconds:%" PRIu64, up);
    add(out, "uptime_in_days:%" PRIu64, up / 86400);
    add(out, "hz:10");
    add(out, "configured_hz:10");
    add(out, "io_threads_active:%d", s->worker_count > 1 ? 1 : 0);
}

static void write_clients(server *s, resp_writer *out)
{
    tracking_figures tracked = tracking_read(s);
    size_t largest_in = 0;
    for (const client *c = s->clients; c != NULL; c = c->next) {
        largest_in = c->in_size > largest_in ? c->in_size : largest_in;
    }
    add(out, "connected_clients:%u", s->client_count);
    add(out, "cluster_connections:0");
    add(out, "maxclients:%u", s->limits.clients_max);
    add(out, "client_recent_max_input_buffer:%zu", largest_in);
    add(out, "client_recent_max_output_buffer:0");
    add(out, "blocked_clients:%u", s->blocked_count);
    add(out, "tracking_clients:%" PRIu64, tracked.clients);
    add(out, "clients_in_timeout_table:0");
}

static void write_memory(server *s, resp_writer *out)
{
    brisk_tier_stats stats;
    keyspace_stats(&s->keys, &stats);
    uint64_t used = stats.bytes;
    s->stats.peak_memory = used > s->stats.peak_memory ? used : s->stats.peak_memory;
    uint64_t resident = resident_bytes();
    add_bytes(out, "used_memory", used);
    add_bytes(out, "used_memory_rss", resident);
    add_bytes(out, "used_memory_peak", s->stats.peak_memory);
    add(out, "used_memory_dataset:%" PRIu64, used);
    add(out, "used_memory_lua:0");
    add_bytes(out, "maxmemory", s->maxmemory);
    add(out, "maxmemory_policy:%s",
        s->evict_never      ? "noeviction"
        : s->evict_volatile ? "volatile-ttl"
                            : brisk_memory_policy(s->keys.tier));
    add(out, "mem_fragmentation_ratio:%.2f", used > 0 ? (double)resident / (double)used : 0.0);
    add(out, "mem_not_counted_for_evict:0");
    add(out, "mem_clients_normal:%" PRIu64,
        atomic_load_explicit(&s->input_bytes, memory_order_relaxed) +
            atomic_load_explicit(&s->output_bytes, memory_order_relaxed));
    add(out, "mem_allocator:own cells, not jemalloc");
    add(out, "active_defrag_running:0");
    add(out, "lazyfree_pending_objects:0");
    add(out, "lazyfreed_objects:0");
}

static void write_persistence(server *s, resp_writer *out)
{
    add(out, "loading:0");
    add(out, "async_loading:0");
    add(out, "rdb_changes_since_last_save:%" PRIu64, s->dirty);
    add(out, "rdb_bgsave_in_progress:0");
    add(out, "rdb_last_save_time:%" PRIu64, s->last_save_s);
    add(out, "rdb_last_bgsave_status:ok");
    add(out, "aof_enabled:0");
    add(out, "aof_rewrite_in_progress:0");
    add(out, "aof_rewrite_scheduled:0");
    add(out, "aof_last_bgrewrite_status:ok");
}

static void write_stats(server *s, resp_writer *out)
{
    tracking_figures tracked = tracking_read(s);
    add(out, "total_connections_received:%" PRIu64, s->stats.connections);
    add(out, "total_commands_processed:%" PRIu64, s->stats.commands);
    add(out, "instantaneous_ops_per_sec:%" PRIu64, s->stats.ops_per_second);
    add(out, "total_net_input_bytes:%" PRIu64,
        atomic_load_explicit(&s->bytes_in, memory_order_relaxed));
    add(out, "total_net_output_bytes:%" PRIu64,
        atomic_load_explicit(&s->bytes_out, memory_order_relaxed));
    add(out, "rejected_connections:%" PRIu64, s->stats.rejected);
    add(out, "expired_keys:%" PRIu64, s->keys.expired - s->stats.expired_shown);
    add(out, "evicted_keys:%" PRIu64, s->keys.evicted - s->stats.evicted_shown);
    add(out, "evicted_clients:0");
    add(out, "keyspace_hits:%" PRIu64, s->stats.hits);
    add(out, "keyspace_misses:%" PRIu64, s->stats.misses);
    add(out, "pubsub_channels:%u", pubsub_channel_count(s));
    add(out, "pubsub_patterns:%u", pubsub_pattern_count(s));
    add(out, "pubsubshard_channels:%u", pubsub_shard_channel_count(s));
    add(out, "latest_fork_usec:0");
    add(out, "total_forks:0");
    add(out, "tracking_total_keys:%" PRIu64, tracked.keys);
    add(out, "tracking_total_items:%" PRIu64, tracked.items);
    add(out, "tracking_total_prefixes:%" PRIu64, tracked.prefixes);
    add(out, "total_error_replies:%" PRIu64, s->stats.errors);
    add(out, "client_query_buffer_limit_disconnections:%" PRIu64,
        atomic_load_explicit(&s->input_kills, memory_order_relaxed));
    add(out, "client_output_buffer_limit_disconnections:%" PRIu64,
        atomic_load_explicit(&s->output_kills, memory_order_relaxed));
}

static void write_replication(server *s, resp_writer *out)
{
    add(out, "role:master");
    add(out, "connected_slaves:0");
    add(out, "master_failover_state:no-failover");
    add(out, "master_replid:%s", s->run_id);
    add(out, "master_repl_offset:0");
    add(out, "second_repl_offset:-1");
    add(out, "repl_backlog_active:0");
}

static void write_cpu(server *s, resp_writer *out)
{
    (void)s;
    struct rusage self;
    struct rusage children;
    (void)getrusage(RUSAGE_SELF, &self);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    add(out, "used_cpu_sys:%ld.%06ld", (long)self.ru_stime.tv_sec, (long)self.ru_stime.tv_usec);
    add(out, "used_cpu_user:%ld.%06ld", (long)self.ru_utime.tv_sec, (long)self.ru_utime.tv_usec);
    add(out, "used_cpu_sys_children:%ld.%06ld", (long)children.ru_stime.tv_sec,
        (long)children.ru_stime.tv_usec);
    add(out, "used_cpu_user_children:%ld.%06ld", (long)children.ru_utime.tv_sec,
        (long)children.ru_utime.tv_usec);
}

static void write_modules(server *s, resp_writer *out)
{
    (void)s;
    (void)out;
}

static const command *any_command(const server *s, uint32_t i)
{
    return command_at(s->commands, i);
}

static void write_commandstats(server *s, resp_writer *out)
{
    for (uint32_t i = 0; any_command(s, i) != NULL; i++) {
        const command *cmd = any_command(s, i);
        const command_stats *stats = command_stats_of(s->commands, cmd);
        if (stats->calls + stats->rejected == 0) {
            continue;
        }
        char name[64];
        command_full_name(cmd, name, sizeof name);
        double us = (double)stats->ns / 1000;
        add(out,
            "cmdstat_%s:calls=%" PRIu64 ",usec=%.0f,usec_per_call=%.2f,rejected_calls=%" PRIu64
            ",failed_calls=%" PRIu64,
            name, stats->calls, us, stats->calls > 0 ? us / (double)stats->calls : 0.0,
            stats->rejected, stats->failed);
    }
}

static void write_errorstats(server *s, resp_writer *out)
{
    for (const dict_entry *e = dict_next(&s->errors, NULL); e != NULL;
         e = dict_next(&s->errors, e)) {
        if (e->value == NULL) {
            continue; /* none since CONFIG RESETSTAT */
        }
        add(out, "errorstat_%.*s:count=%zu", (int)e->size, (const char *)e->key,
            (size_t)(uintptr_t)e->value);
    }
}

/* The least power of two of microseconds below which a share of the calls were. */
static uint64_t quantile_us(const command_stats *stats, double share)
{
    uint64_t wanted = (uint64_t)((double)stats->calls * share);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 32; i++) {
        seen += stats->latency[i];
        if (seen > wanted) {
            return UINT64_C(2) << i;
        }
    }
    return UINT64_C(1) << 32;
}

static void write_latencystats(server *s, resp_writer *out)
{
    for (uint32_t i = 0; any_command(s, i) != NULL; i++) {
        const command_stats *stats = command_stats_of(s->commands, any_command(s, i));
        if (stats->calls > 0) {
            char name[64];
            command_full_name(any_command(s, i), name, sizeof name);
            add(out, "latency_percentiles_usec_%s:p50=%" PRIu64 ",p99=%" PRIu64 ",p99.9=%" PRIu64,
                name, quantile_us(stats, 0.5), quantile_us(stats, 0.99), quantile_us(stats, 0.999));
        }
    }
}

static void write_cluster(server *s, resp_writer *out)
{
    (void)s;
    add(out, "cluster_enabled:0");
}

typedef struct expiry_count {
    uint64_t seen;
    uint64_t expiring;
} expiry_count;

static void count_expiring(void *ctx, const brisk_memory_visit *visit)
{
    expiry_count *count = ctx;
    count->seen++;
    count->expiring += visit->info.expires_at_ns != 0 ? 1 : 0;
}

static void write_keyspace(server *s, resp_writer *out)
{
    enum { SAMPLE = 4096 };
    uint64_t keys = keyspace_count(&s->keys);
    if (keys == 0) {
        return;
    }
    /* How many expire is exact for few keys, and an estimate from the first ones for many. */
    expiry_count count = {0};
    uint64_t cursor = 0;
    do {
        cursor = brisk_memory_scan(s->keys.tier, cursor, 256, count_expiring, &count);
    } while (cursor != 0 && count.seen < SAMPLE);
    uint64_t expires = cursor == 0
                           ? count.expiring
                           : (uint64_t)((double)count.expiring / (double)count.seen * (double)keys);
    add(out, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0", keys, expires);
}

static void write_brisk(server *s, resp_writer *out)
{
    brisk_tier_stats stats;
    keyspace_stats(&s->keys, &stats);
    add(out, "memory_entries:%" PRIu64, stats.entries);
    add(out, "memory_bytes:%" PRIu64, stats.bytes);
    add(out, "memory_bytes_max:%" PRIu64, stats.bytes_max);
    add(out, "memory_policy:%s", brisk_memory_policy(s->keys.tier));
    add(out, "memory_evictions:%" PRIu64, stats.evictions);
    char sizing[BRISK_SIZER_TEXT_MAX];
    sizing_text(s, sizing);
    add(out, "memory_target_hit_rate:%u", s->target_rate);
    add(out, "memory_sizing:%s", sizing);
    add(out, "disk:%s", s->disk != NULL ? "on" : "off");
    if (s->disk != NULL) {
        disk_stats(s, &stats);
        add(out, "disk_entries:%" PRIu64, stats.entries);
        add(out, "disk_bytes:%" PRIu64, stats.bytes);
        add(out, "disk_hits:%" PRIu64, stats.hits);
        add(out, "disk_misses:%" PRIu64, stats.misses);
        add(out, "disk_errors:%" PRIu64, stats.errors + stats.corrupt);
    }
}

static const section sections[] = {
    {"server", write_server, true},
    {"clients", write_clients, true},
    {"memory", write_memory, true},
    {"persistence", write_persistence, true},
    {"stats", write_stats, true},
    {"replication", write_replication, true},
    {"cpu", write_cpu, true},
    {"modules", write_modules, true},
    {"commandstats", write_commandstats, false},
    {"errorstats", write_errorstats, true},
    {"latencystats", write_latencystats, false},
    {"cluster", write_cluster, true},
    {"keyspace", write_keyspace, true},
    {"brisk", write_brisk, true},
};

static bool is_wanted(const section *sec, const resp_bytes *argv, uint32_t argc)
{
    if (argc == 1) {
        return sec->by_default;
    }
    for (uint32_t i = 1; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], sec->name) ||
            resp_bytes_equal_nocase(argv[i], "all") ||
            resp_bytes_equal_nocase(argv[i], "everything") ||
            (resp_bytes_equal_nocase(argv[i], "default") && sec->by_default)) {
            return true;
        }
    }
    return false;
}

static void cmd_info(client *c, const resp_bytes *argv, uint32_t argc)
{
    resp_writer text;
    resp_writer_init(&text, c->server->alloc, 0);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!is_wanted(&sections[i], argv, argc)) {
            continue;
        }
        if (text.size > 0) {
            resp_put_raw(&text, "\r\n", 2);
        }
        add(&text, "# %c%s", sections[i].name[0] - 'a' + 'A', sections[i].name + 1);
        sections[i].write(c->server, &text);
    }
    if (text.err == BRISK_OK) {
        resp_put_verbatim(&c->worker->out, text.data, text.size);
    } else {
        reply_error(c, "OOM out of memory");
    }
    resp_writer_deinit(&text);
}

static const command rows[] = {
    {.name = "info",
     .summary = "Figures about the server",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1)",
     .synopsis = "[section [section ...]]",
     .run = cmd_info,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_SLOW | CAT_DANGEROUS},
};

const command_family family_info = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
