/*
 * config_entries.c -- the parameters of CONFIG, and what those that act do.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/introspect.h"
#include "daemon/tracking.h"

/* --- memory ------------------------------------------------------------------------------- */

static const char *const policy_words[] = {"auto",
                                           "volatile-lru",
                                           "volatile-lfu",
                                           "volatile-random",
                                           "volatile-ttl",
                                           "allkeys-lru",
                                           "allkeys-lfu",
                                           "allkeys-random",
                                           "noeviction",
                                           "lru",
                                           "lfu",
                                           "fifo",
                                           "ttl",
                                           "sieve",
                                           "s3fifo",
                                           "wtinylfu",
                                           "arc",
                                           "lirs",
                                           NULL};

static bool fail(char error[CONFIG_ERROR_MAX], const char *why)
{
    (void)snprintf(error, CONFIG_ERROR_MAX, "%s", why);
    return false;
}

/*
 * What the tier is limited to.  Redis's volatile policies, and limits of less than a few of the
 * tier's chunks, are kept by the server instead.
 */
static bool limit_tier(server *s)
{
    bool own = s->evict_volatile || s->evict_never;
    uint64_t bytes = own || s->maxmemory == 0 ? s->keys.bytes_reserve : s->maxmemory;
    s->evict_any = !keyspace_resize(&s->keys, pressure_left(s, bytes));
    return (!s->evict_any || keyspace_resize(&s->keys, s->keys.bytes_reserve)) && sizing_follow(s);
}

static bool apply_maxmemory(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    uint64_t before = s->maxmemory;
    s->maxmemory = strtoull(value, NULL, 10);
    if (s->maxmemory > s->keys.bytes_reserve) {
        s->maxmemory = before;
        return fail(error, "more than the memory this server was started with");
    }
    if (!limit_tier(s)) {
        s->maxmemory = before;
        return fail(error, "too little for this server to work with");
    }
    return true;
}

static void read_maxmemory(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%" PRIu64, s->maxmemory);
}

static bool apply_policy(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    static const struct {
        const char *redis;
        const char *policy;
    } names[] = {{"allkeys-lru", "lru"}, {"allkeys-lfu", "lfu"}, {"allkeys-random", "fifo"}};
    const char *policy = value;
    bool is_volatile = strncmp(value, "volatile-", 9) == 0;
    bool never = strcmp(value, "noeviction") == 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        policy = strcmp(value, names[i].redis) == 0 ? names[i].policy : policy;
    }
    if (!is_volatile && !never && brisk_memory_set_policy(s->keys.tier, policy) != BRISK_OK) {
        return fail(error, "this policy is not built in");
    }
    s->evict_volatile = is_volatile;
    s->evict_never = never;
    return limit_tier(s) || fail(error, "too little memory");
}

static bool apply_target(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    uint32_t before = s->target_rate;
    s->target_rate = (uint32_t)strtoul(value, NULL, 10);
    if (!limit_tier(s)) { /* from its full size */
        s->target_rate = before;
        return fail(error, "out of memory");
    }
    return true;
}

static void read_target(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%u", s->target_rate);
}

static bool apply_size_mode(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    s->size_rule = strcmp(value, "rule") == 0;
    return sizing_follow(s) || fail(error, "out of memory");
}

static void read_size_mode(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%s", s->size_rule ? "rule" : "curve");
}

static void read_sizing(const server *s, char value[CONFIG_VALUE_MAX])
{
    sizing_text(s, value);
}

static void read_used_policy(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%s", brisk_memory_policy(s->keys.tier));
}

/* --- limits ------------------------------------------------------------------------------- */

static bool apply_timeout(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    s->limits.idle_ns = strtoull(value, NULL, 10) * UINT64_C(1000000000);
    return true;
}

static void read_timeout(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%" PRIu64, s->limits.idle_ns / 1000000000);
}

static bool apply_maxclients(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    s->limits.clients_max = (uint32_t)strtoul(value, NULL, 10);
    return true;
}

static void read_maxclients(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%u", s->limits.clients_max);
}

static bool apply_bulk(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    s->limits.bulk_max = strtoull(value, NULL, 10);
    return true;
}

static void read_bulk(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%" PRIu64, s->limits.bulk_max);
}

static bool apply_input(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    s->limits.input_max = strtoull(value, NULL, 10);
    return true;
}

static void read_input(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%zu", s->limits.input_max);
}

static bool apply_output_high(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    s->limits.output_high = strtoull(value, NULL, 10);
    return true;
}

static void read_output_high(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%zu", s->limits.output_high);
}

static bool apply_spin(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    for (uint32_t i = 0; i < s->worker_count; i++) {
        atomic_store_explicit(&s->workers[i].loop.spin_ns, strtoull(value, NULL, 10) * 1000,
                              memory_order_relaxed);
    }
    return true;
}

static void read_spin(const server *s, char value[CONFIG_VALUE_MAX])
{
    uint64_t ns = s->worker_count > 0
                      ? atomic_load_explicit(&s->workers[0].loop.spin_ns, memory_order_relaxed)
                      : 0;
    (void)snprintf(value, CONFIG_VALUE_MAX, "%" PRIu64, ns / 1000);
}

/* --- events, tracking, watching ----------------------------------------------------------- */

static const struct {
    char letter;
    uint32_t class;
} notify_letters[] = {{'g', NOTIFY_GENERIC}, {'$', NOTIFY_STRING},  {'l', NOTIFY_LIST},
                      {'s', NOTIFY_SET},     {'h', NOTIFY_HASH},    {'z', NOTIFY_ZSET},
                      {'x', NOTIFY_EXPIRED}, {'e', NOTIFY_EVICTED}, {'t', NOTIFY_STREAM},
                      {'d', NOTIFY_MODULE}};

static const uint32_t notify_all = NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET |
                                   NOTIFY_HASH | NOTIFY_ZSET | NOTIFY_EXPIRED | NOTIFY_EVICTED |
                                   NOTIFY_STREAM | NOTIFY_MODULE;

static uint32_t class_of(char letter)
{
    switch (letter) {
    case 'A': return notify_all;
    case 'K': return NOTIFY_KEYSPACE;
    case 'E': return NOTIFY_KEYEVENT;
    case 'm': return NOTIFY_MISS;
    case 'n': return NOTIFY_NEW;
    default: break;
    }
    for (size_t i = 0; i < sizeof notify_letters / sizeof notify_letters[0]; i++) {
        if (notify_letters[i].letter == letter) {
            return notify_letters[i].class;
        }
    }
    return 0;
}

static bool apply_notify(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    uint32_t classes = 0;
    for (const char *at = value; *at != '\0'; at++) {
        uint32_t class = class_of(*at);
        if (class == 0) {
            return fail(error, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        }
        classes |= class;
    }
    s->notify = classes;
    return true;
}

static void read_notify(const server *s, char value[CONFIG_VALUE_MAX])
{
    size_t used = 0;
    if ((s->notify & notify_all) == notify_all) {
        value[used++] = 'A';
    } else {
        for (size_t i = 0; i < sizeof notify_letters / sizeof notify_letters[0]; i++) {
            if ((s->notify & notify_letters[i].class) != 0) {
                value[used++] = notify_letters[i].letter;
            }
        }
    }
    static const struct {
        uint32_t class;
        char letter;
    } more[] = {
        {NOTIFY_KEYSPACE, 'K'}, {NOTIFY_KEYEVENT, 'E'}, {NOTIFY_MISS, 'm'}, {NOTIFY_NEW, 'n'}};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        if ((s->notify & more[i].class) != 0) {
            value[used++] = more[i].letter;
        }
    }
    value[used] = '\0';
}

static bool apply_tracking(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    tracking_set_max(s, strtoull(value, NULL, 10));
    return true;
}

static void read_tracking(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%" PRIu64, tracking_max(s));
}

static bool apply_slower(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    slowlog_set(s->slowlog, strtoll(value, NULL, 10), UINT64_MAX);
    return true;
}

static bool apply_slow_length(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    slowlog_set(s->slowlog, INT64_MIN, strtoull(value, NULL, 10));
    return true;
}

static bool apply_latency(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    latency_set_threshold(s->latency, strtoull(value, NULL, 10));
    return true;
}

/* --- who and where ------------------------------------------------------------------------ */

static bool apply_password(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    if (strlen(value) >= sizeof s->password) {
        return fail(error, "the password is too long");
    }
    memset(s->password, 0, sizeof s->password);
    (void)snprintf(s->password, sizeof s->password, "%s", value);
    return true;
}

static void read_password(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%s", s->password);
}

static bool apply_protected(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    (void)error;
    s->unprotected = strcmp(value, "no") == 0;
    return true;
}

static void read_protected(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%s", s->unprotected ? "no" : "yes");
}

static bool apply_port(server *s, const char *value, char error[CONFIG_ERROR_MAX])
{
    if (!listen_at_port(s, (uint16_t)strtoul(value, NULL, 10))) {
        return fail(error, "Unable to listen on this port. Check server logs.");
    }
    return true;
}

static void read_port(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%u", listen_port(s));
}

static void read_bind(const server *s, char value[CONFIG_VALUE_MAX])
{
    value[0] = '\0';
    for (uint32_t i = 0; i < s->listener_count && value[0] == '\0'; i++) {
        const char *text = s->listeners[i].socket.is_unix ? "" : s->listeners[i].socket.text;
        const char *colon = strrchr(text, ':');
        (void)snprintf(value, CONFIG_VALUE_MAX, "%.*s", colon != NULL ? (int)(colon - text) : 0,
                       text);
    }
}

static void read_unix(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%s", listen_unix_path(s));
}

static void read_dir(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)s;
    if (getcwd(value, CONFIG_VALUE_MAX) == NULL) {
        value[0] = '\0';
    }
}

static void read_threads(const server *s, char value[CONFIG_VALUE_MAX])
{
    (void)snprintf(value, CONFIG_VALUE_MAX, "%u", s->worker_count);
}

static const char *const size_words[] = {"curve", "rule", NULL};
static const char *const fsync_words[] = {"everysec", "always", "no", NULL};
static const char *const log_words[] = {"debug", "verbose", "notice", "warning", "nothing", NULL};

/* clang-format off */
const config_entry config_entries[] = {
    /* They act. */
    {.name = "maxmemory", .kind = CONFIG_BYTES, .apply = apply_maxmemory, .read = read_maxmemory},
    {.name = "maxmemory-policy", .def = "auto", .kind = CONFIG_WORD, .words = policy_words, .apply = apply_policy},
    {.name = "timeout", .kind = CONFIG_NUMBER, .max = INT32_MAX, .apply = apply_timeout, .read = read_timeout},
    {.name = "maxclients", .kind = CONFIG_NUMBER, .min = 1, .max = 1000000, .apply = apply_maxclients, .read = read_maxclients},
    {.name = "proto-max-bulk-len", .kind = CONFIG_BYTES, .min = 1048576, .max = INT64_C(512) << 20, .apply = apply_bulk, .read = read_bulk},
    {.name = "client-query-buffer-limit", .kind = CONFIG_BYTES, .min = 1048576, .apply = apply_input, .read = read_input},
    {.name = "notify-keyspace-events", .kind = CONFIG_TEXT, .apply = apply_notify, .read = read_notify},
    {.name = "tracking-table-max-keys", .kind = CONFIG_NUMBER, .apply = apply_tracking, .read = read_tracking},
    {.name = "slowlog-log-slower-than", .def = "10000", .kind = CONFIG_NUMBER, .min = -1, .apply = apply_slower},
    {.name = "slowlog-max-len", .def = "128", .kind = CONFIG_NUMBER, .max = 65536, .apply = apply_slow_length},
    {.name = "latency-monitor-threshold", .def = "0", .kind = CONFIG_NUMBER, .apply = apply_latency},
    {.name = "requirepass", .kind = CONFIG_TEXT, .apply = apply_password, .read = read_password},
    {.name = "protected-mode", .kind = CONFIG_YES_NO, .apply = apply_protected, .read = read_protected},
    {.name = "port", .kind = CONFIG_NUMBER, .max = 65535, .apply = apply_port, .read = read_port},
    {.name = "serve.output_high", .kind = CONFIG_BYTES, .min = 65536, .apply = apply_output_high, .read = read_output_high},
    {.name = "serve.spin_us", .kind = CONFIG_NUMBER, .max = 1000000, .apply = apply_spin, .read = read_spin},
    {.name = "serve.target_hit_rate", .kind = CONFIG_NUMBER, .max = 99, .apply = apply_target, .read = read_target},
    {.name = "serve.size_mode", .kind = CONFIG_WORD, .words = size_words, .apply = apply_size_mode, .read = read_size_mode},
    /* They show what is, and cannot be set. */
    {.name = "serve.sizing", .flags = CONFIG_FIXED | CONFIG_HIDDEN, .read = read_sizing},
    {.name = "serve.policy", .flags = CONFIG_FIXED | CONFIG_HIDDEN, .read = read_used_policy},
    {.name = "unixsocket", .flags = CONFIG_FIXED, .read = read_unix},
    {.name = "io-threads", .flags = CONFIG_FIXED, .read = read_threads},
    {.name = "databases", .flags = CONFIG_FIXED, .def = "1"},
    {.name = "daemonize", .flags = CONFIG_FIXED, .def = "no"},
    {.name = "supervised", .flags = CONFIG_FIXED, .def = "no"},
    {.name = "cluster-enabled", .flags = CONFIG_FIXED, .def = "no"},
    {.name = "pidfile", .flags = CONFIG_FIXED, .def = ""},
    {.name = "logfile", .flags = CONFIG_FIXED, .def = ""},
    {.name = "aclfile", .flags = CONFIG_FIXED, .def = ""},
    {.name = "dir", .flags = CONFIG_FIXED, .read = read_dir},
    {.name = "dbfilename", .flags = CONFIG_FIXED, .def = ""},
    {.name = "replicaof", .flags = CONFIG_FIXED, .def = ""},
    {.name = "slaveof", .flags = CONFIG_FIXED, .def = ""},
    {.name = "tcp-backlog", .flags = CONFIG_FIXED, .def = "511"},
    /* They are kept, and nothing follows from them. */
    {.name = "bind", .kind = CONFIG_TEXT, .read = read_bind},
    {.name = "save", .def = "", .kind = CONFIG_TEXT},
    {.name = "appendonly", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "appendfsync", .def = "everysec", .kind = CONFIG_WORD, .words = fsync_words},
    {.name = "loglevel", .def = "notice", .kind = CONFIG_WORD, .words = log_words},
    {.name = "maxmemory-samples", .def = "5", .kind = CONFIG_NUMBER, .min = 1, .max = INT32_MAX},
    {.name = "maxmemory-clients", .def = "0", .kind = CONFIG_PERCENT},
    {.name = "maxmemory-eviction-tenacity", .def = "10", .kind = CONFIG_NUMBER, .max = 100},
    {.name = "repl-backlog-size", .def = "1048576", .kind = CONFIG_BYTES, .min = 1},
    {.name = "repl-timeout", .def = "60", .kind = CONFIG_NUMBER, .min = 1},
    {.name = "client-output-buffer-limit", .kind = CONFIG_TEXT,
     .def = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"},
    {.name = "tcp-keepalive", .def = "300", .kind = CONFIG_NUMBER, .max = INT32_MAX},
    {.name = "hz", .def = "10", .kind = CONFIG_NUMBER, .min = 1, .max = 500},
    {.name = "dynamic-hz", .def = "yes", .kind = CONFIG_YES_NO},
    {.name = "activerehashing", .def = "yes", .kind = CONFIG_YES_NO},
    {.name = "activedefrag", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "lazyfree-lazy-eviction", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "lazyfree-lazy-expire", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "lazyfree-lazy-server-del", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "lazyfree-lazy-user-del", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "lazyfree-lazy-user-flush", .def = "no", .kind = CONFIG_YES_NO},
    {.name = "latency-tracking", .def = "yes", .kind = CONFIG_YES_NO},
    {.name = "latency-tracking-info-percentiles", .def = "50 99 99.9", .kind = CONFIG_TEXT},
    {.name = "lfu-log-factor", .def = "10", .kind = CONFIG_NUMBER, .max = INT32_MAX},
    {.name = "lfu-decay-time", .def = "1", .kind = CONFIG_NUMBER, .max = INT32_MAX},
    {.name = "lua-time-limit", .def = "5000", .kind = CONFIG_NUMBER},
    {.name = "busy-reply-threshold", .def = "5000", .kind = CONFIG_NUMBER},
    {.name = "list-max-listpack-size", .def = "-2", .kind = CONFIG_NUMBER, .min = INT32_MIN},
    {.name = "list-max-ziplist-size", .def = "-2", .kind = CONFIG_NUMBER, .min = INT32_MIN},
    {.name = "hash-max-listpack-entries", .def = "512", .kind = CONFIG_NUMBER},
    {.name = "hash-max-ziplist-entries", .def = "512", .kind = CONFIG_NUMBER},
    {.name = "hash-max-listpack-value", .def = "64", .kind = CONFIG_NUMBER},
    {.name = "hash-max-ziplist-value", .def = "64", .kind = CONFIG_NUMBER},
    {.name = "set-max-intset-entries", .def = "512", .kind = CONFIG_NUMBER},
    {.name = "zset-max-listpack-entries", .def = "128", .kind = CONFIG_NUMBER},
    {.name = "zset-max-ziplist-entries", .def = "128", .kind = CONFIG_NUMBER},
    {.name = "zset-max-listpack-value", .def = "64", .kind = CONFIG_NUMBER},
    {.name = "zset-max-ziplist-value", .def = "64", .kind = CONFIG_NUMBER},
    {.name = "stop-writes-on-bgsave-error", .def = "yes", .kind = CONFIG_YES_NO},
    {.name = "rdbcompression", .def = "yes", .kind = CONFIG_YES_NO},
    {.name = "min-replicas-to-write", .def = "0", .kind = CONFIG_NUMBER},
    {.name = "min-slaves-to-write", .def = "0", .kind = CONFIG_NUMBER},
    {.name = "key-load-delay", .def = "0", .kind = CONFIG_NUMBER, .min = INT32_MIN, .flags = CONFIG_HIDDEN},
};
/* clang-format on */

const uint32_t config_entry_count = sizeof config_entries / sizeof config_entries[0];
