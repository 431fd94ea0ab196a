/*
 * answers.c -- what a server says, as figures: INFO, BRISK.STATS and LATENCY HISTOGRAM.
 *
 * Everything is hostile: unknown lines and items of another type are left out, numbers are parsed strictly, texts are
 * cut and made plain.  A Redis has no BRISK.STATS; then what INFO says is all.
 *
 * Latencies come as totals of buckets since the server's start; what happened since the last answer is their difference,
 * and a quantile of it is its bucket's upper edge: never too good.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "observe/monitor/monitor.h"

/* --- numbers ------------------------------------------------------------------------------ */

static bool read_u64(const char *text, size_t size, uint64_t *ret)
{
    int64_t value;
    if (!resp_parse_i64((const unsigned char *)text, size, &value) || value < 0) {
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

static void copy_plain(char to[MONITOR_NAME_MAX], const char *text, size_t size)
{
    size = size < MONITOR_NAME_MAX - 1 ? size : MONITOR_NAME_MAX - 1;
    memcpy(to, text, size);
    to[size] = '\0';
    brisk_text_make_plain(to, size);
}

/* --- INFO --------------------------------------------------------------------------------- */

static bool is_name(const char *line, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(line, name, size) == 0;
}

static void take_words(monitor_server *s, const char *name, size_t name_size, const char *value,
                       size_t size)
{
    char text[MONITOR_NAME_MAX];
    if (is_name(name, name_size, "brisk_version")) {
        copy_plain(text, value, size);
        (void)snprintf(s->name, sizeof s->name, "brisk %.40s", text);
    } else if (is_name(name, name_size, "redis_version") && strncmp(s->name, "brisk", 5) != 0) {
        copy_plain(text, value, size);
        (void)snprintf(s->name, sizeof s->name, "Redis %.40s", text);
    } else if (is_name(name, name_size, "maxmemory_policy")) {
        copy_plain(s->policy, value, size);
    }
}

static void take_number(monitor_server *s, const char *name, size_t size, uint64_t value)
{
    monitor_totals *t = &s->next;
    const struct {
        const char *name;
        uint64_t *to;
    } whole[] = {{"uptime_in_seconds", &s->uptime_s},
                 {"process_id", &s->pid},
                 {"total_commands_processed", &t->commands},
                 {"keyspace_hits", &t->hits},
                 {"keyspace_misses", &t->misses},
                 {"evicted_keys", &t->evictions},
                 {"total_error_replies", &t->errors}};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        if (is_name(name, size, whole[i].name)) {
            *whole[i].to = value;
            t->has_commands = t->has_commands || whole[i].to == &t->commands;
            t->has_errors = t->has_errors || whole[i].to == &t->errors;
            return;
        }
    }
    const struct {
        const char *name;
        double *to;
    } real[] = {{"maxmemory", &s->memory_max}, {"memory_target_hit_rate", &s->target_rate}};
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        if (is_name(name, size, real[i].name)) {
            *real[i].to = (double)value;
        }
    }
}

static void take_info(monitor_server *s, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - line) : size - at;
        at += length + 1;
        length -= length > 0 && line[length - 1] == '\r' ? 1 : 0;
        const char *colon = memchr(line, ':', length);
        if (colon == NULL) {
            continue;
        }
        size_t name = (size_t)(colon - line);
        uint64_t value;
        if (read_u64(colon + 1, length - name - 1, &value)) {
            take_number(s, line, name, value);
            s->next.connections =
                is_name(line, name, "connected_clients") ? (double)value : s->next.connections;
            s->next.memory = is_name(line, name, "used_memory") ? (double)value : s->next.memory;
        } else {
            take_words(s, line, name, colon + 1, length - name - 1);
        }
    }
}

/* --- BRISK.STATS -------------------------------------------------------------------------- */

static bool integer_of(const resp_node *node, uint64_t *ret)
{
    if (node->type == RESP_INTEGER && node->integer >= 0) {
        *ret = (uint64_t)node->integer;
        return true;
    }
    return false;
}

static bool is_list(const resp_node *node)
{
    return node->type == RESP_ARRAY || node->type == RESP_MAP;
}

/* Call `pair` for each name and value of the list at `list`. */
static void each_pair(monitor_server *s, const resp_node *list,
                      void (*pair)(monitor_server *s, resp_bytes name, const resp_node *value))
{
    const resp_node *item = list + 1;
    for (uint32_t i = 0; is_list(list) && i + 1 < list->count; i += 2) {
        const resp_node *value = item + item->nodes;
        if (item->type == RESP_BULK || item->type == RESP_STRING) {
            pair(s, item->bytes, value);
        }
        item = value + value->nodes;
    }
}

static void take_memory(monitor_server *s, resp_bytes name, const resp_node *value)
{
    uint64_t number;
    if (!integer_of(value, &number)) {
        return;
    }
    if (resp_bytes_equal(name, "hits")) {
        s->next.memory_hits = number;
        s->next.has_memory = true;
    } else if (resp_bytes_equal(name, "misses")) {
        s->next.memory_misses = number;
    } else if (resp_bytes_equal(name, "entries")) {
        s->entries = (double)number;
    } else if (resp_bytes_equal(name, "bytes_max")) {
        s->memory_max = (double)number;
    }
}

static void take_disk(monitor_server *s, resp_bytes name, const resp_node *value)
{
    uint64_t number;
    if (!integer_of(value, &number)) {
        return;
    }
    if (resp_bytes_equal(name, "hits")) {
        s->next.disk_hits = number;
        s->next.has_disk = true;
    } else if (resp_bytes_equal(name, "misses")) {
        s->next.disk_misses = number;
    } else if (resp_bytes_equal(name, "bytes")) {
        s->disk_bytes = (double)number;
    } else if (resp_bytes_equal(name, "bytes_max")) {
        s->disk_max = (double)number;
    }
}

static void take_stats(monitor_server *s, resp_bytes name, const resp_node *value)
{
    if (resp_bytes_equal(name, "memory")) {
        each_pair(s, value, take_memory);
    } else if (resp_bytes_equal(name, "disk")) {
        each_pair(s, value, take_disk);
    } else if (resp_bytes_equal(name, "policy") && value->type == RESP_BULK) {
        copy_plain(s->policy, (const char *)value->bytes.data, value->bytes.size);
    }
}

/* --- LATENCY HISTOGRAM -------------------------------------------------------------------- */

static uint32_t bucket_of(uint64_t us)
{
    uint32_t bucket = 0;
    while (bucket < MONITOR_BUCKETS - 1 && us > UINT64_C(1) << bucket) {
        bucket++;
    }
    return bucket;
}

static void take_buckets(monitor_server *s, resp_bytes name, const resp_node *value)
{
    if (!resp_bytes_equal(name, "histogram_usec") || !is_list(value)) {
        return;
    }
    const resp_node *item = value + 1;
    uint64_t before = 0;
    for (uint32_t i = 0; i + 1 < value->count; i += 2) {
        const resp_node *next = item + item->nodes;
        uint64_t us;
        uint64_t sum; /* cumulative */
        if (integer_of(item, &us) && integer_of(next, &sum) && sum >= before) {
            s->next.latency[bucket_of(us)] += sum - before;
            s->next.has_latency = true;
            before = sum;
        }
        item = next + next->nodes;
    }
}

static void take_command(monitor_server *s, resp_bytes name, const resp_node *value)
{
    static const char *const ours[] = {"info", "brisk.stats", "latency|histogram", "auth"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (resp_bytes_equal_nocase(name, ours[i])) { /* we ask; that is not the server's load */
            return;
        }
    }
    each_pair(s, value, take_buckets);
}

double monitor_latency_quantile(const monitor_totals *now, const monitor_totals *before, double q)
{
    uint64_t sum = 0;
    if (!now->has_latency || !before->known) {
        return (double)NAN;
    }
    for (int i = 0; i < MONITOR_BUCKETS; i++) {
        if (now->latency[i] < before->latency[i]) { /* CONFIG RESETSTAT */
            return (double)NAN;
        }
        sum += now->latency[i] - before->latency[i];
    }
    uint64_t wanted = (uint64_t)ceil(q * (double)sum);
    uint64_t seen = 0;
    for (int i = 0; i < MONITOR_BUCKETS && sum > 0; i++) {
        seen += now->latency[i] - before->latency[i];
        if (seen >= wanted) {
            return (double)(UINT64_C(1) << i) * 1000;
        }
    }
    return (double)NAN;
}

/* --- all three ---------------------------------------------------------------------------- */

void monitor_answer_take(monitor_server *s, uint32_t which, const resp_replies *replies)
{
    const resp_node *value = resp_replies_value(replies);
    s->next.own_errors += value->type == RESP_ERROR ? 1 : 0;
    if (which == 0 && value->type == RESP_BULK) {
        take_info(s, (const char *)value->bytes.data, value->bytes.size);
    } else if (which == 1) {
        each_pair(s, value, take_stats);
    } else if (which == 2) {
        each_pair(s, value, take_command);
    }
}

void monitor_answers_end(monitor_server *s, uint64_t now_ns)
{
    s->before = s->now;
    s->now = s->next;
    s->now.known = true;
    s->now.at_ns = now_ns;
    uint64_t asked = s->now.hits + s->now.misses;
    s->total_hit_rate = asked > 0 ? (double)s->now.hits / (double)asked : (double)NAN;
    s->next = (monitor_totals){.memory = (double)NAN, .connections = (double)NAN};
}

static double share(uint64_t hits, uint64_t hits_before, uint64_t misses, uint64_t misses_before)
{
    if (hits < hits_before || misses < misses_before) {
        return (double)NAN;
    }
    uint64_t all = hits - hits_before + misses - misses_before;
    return all > 0 ? (double)(hits - hits_before) / (double)all : (double)NAN;
}

void monitor_server_figures(const monitor_server *s, monitor_numbers *n)
{
    const monitor_totals *now = &s->now;
    const monitor_totals *before = &s->before;
    if (!s->up) {
        return;
    }
    n->now[FIGURE_ROUND_TRIP] = s->round_trip_ns;
    n->now[FIGURE_SERVER_MEMORY] = now->memory;
    n->now[FIGURE_CONNECTIONS] = now->connections;
    if (!before->known || now->at_ns <= before->at_ns) {
        return;
    }
    double passed = (double)(now->at_ns - before->at_ns) / 1e9;
    if (now->has_commands && now->commands >= before->commands) {
        /* less those that we ask */
        double ours = MONITOR_ANSWERS;
        double all = (double)(now->commands - before->commands);
        n->now[FIGURE_THROUGHPUT] = all > ours ? (all - ours) / passed : 0;
        if (now->has_errors && now->errors >= before->errors && all > ours) {
            double errors = (double)(now->errors - before->errors) - (double)before->own_errors;
            n->now[FIGURE_ERRORS] = fmin(fmax(errors, 0) / (all - ours), 1);
        }
    }
    if (now->evictions >= before->evictions) {
        n->now[FIGURE_EVICTIONS] = (double)(now->evictions - before->evictions) / passed;
    }
    n->now[FIGURE_HIT_RATE] = share(now->hits, before->hits, now->misses, before->misses);
    if (now->has_memory) {
        n->now[FIGURE_HIT_MEMORY] =
            share(now->memory_hits, before->memory_hits, now->memory_misses, before->memory_misses);
    }
    if (now->has_disk) {
        n->now[FIGURE_HIT_DISK] =
            share(now->disk_hits, before->disk_hits, now->disk_misses, before->disk_misses);
    }
    n->now[FIGURE_P50] = monitor_latency_quantile(now, before, 0.5);
    n->now[FIGURE_P99] = monitor_latency_quantile(now, before, 0.99);
    n->now[FIGURE_P999] = monitor_latency_quantile(now, before, 0.999);
}
