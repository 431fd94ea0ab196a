/*
 * server.h -- the server as a whole: workers, the one lock, and everything behind it.
 *
 *     worker 0 ─ ticks              worker 1 ...      each: accepts, loop, connections, buffers
 *         │                             │
 *         └── server.lock ──────────────┴──► keys, clients, channels, tracking, statistics
 *
 * A worker reads and parses a batch of commands without the lock, prefetches what their keys need,
 * takes the lock once, works on all of them, gives it back and sends the answers.  So MULTI, RENAME
 * and the rest are atomic without a lock per key, and parsing, sockets and encoding run in parallel.
 *
 * Locks: server.lock; under it only the memory tier's own.
 */
#ifndef BRISK_SRC_DAEMON_SERVER_H
#define BRISK_SRC_DAEMON_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <brisk/alloc.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/knob.h>
#include <brisk/rng.h>
#include <brisk/sizing.h>
#include <brisk/yaml.h>

#include "base/thread.h"
#include "daemon/addresses.h"
#include "daemon/api/jobs.h"
#include "daemon/api/stats.h"
#include "daemon/client.h"
#include "daemon/command.h"
#include "daemon/conn.h"
#include "daemon/files/files.h"
#include "daemon/held.h"
#include "daemon/http/carrier.h"
#include "daemon/http/protocols.h"
#include "daemon/http/routes.h"
#include "daemon/keyspace.h"
#include "daemon/listen.h"
#include "daemon/loop.h"
#include "daemon/pressure.h"

enum {
    KEPT_OVERHEAD = 192, /* of a name: what keeping it costs beside its bytes */
    WORKER_IN_BYTES = 65536,
    WORKERS_MAX = 64,
    BATCH_MAX = 64, /* commands between taking the lock and giving it back */
    PASSWORD_MAX = 512,
};

/* What is configured; see serve.c for the knobs.  What CONFIG SET changes is read by all workers. */
typedef struct server_limits {
    _Atomic uint32_t clients_max; /* those that are atomic are changed while they are read */
    _Atomic uint64_t idle_ns;     /* 0: never */
    size_t output_max;            /* of one connection: it is closed beyond */
    _Atomic size_t output_high;   /* of one connection: its commands wait beyond */
    size_t output_total;          /* of all: those who have unsent answers wait beyond */
    _Atomic size_t input_max;     /* of one connection's unfinished request */
    size_t input_total;           /* of all */
    _Atomic uint64_t bulk_max;
    uint32_t args_max;
    uint32_t batch_max;
    http1_limits http_head;
    http_limits http;
} server_limits;

typedef struct server_opts {
    sockets *sockets; /* the server's afterwards, also when it cannot be created */
    const char *policy;
    const char *password;   /* NULL: none */
    const char *disk_path;  /* NULL or "": memory alone */
    const char *record_dir; /* NULL or "": nothing can be recorded */
    uint64_t disk_bytes;
    uint64_t memory_bytes;
    uint64_t memory_limit; /* of the process; 0: none */
    uint64_t spin_ns;
    uint32_t workers;     /* 0: as many as processors */
    bool unprotected;     /* answer strangers without a password */
    bool track_use;       /* count uses of each key */
    bool no_curve;        /* watch nothing while there is no target */
    bool size_rule;       /* the size by the simple rule */
    uint32_t target_rate; /* percent; 0: the size stays */
    const char *tls_cert; /* NULL or "": no TLS */
    const char *tls_key;
    const char *tls_ca; /* clients must have a certificate of this authority */
    const struct http_priorities *priorities; /* borrowed; NULL: none */
    server_limits limits;
    const char *token_file; /* of HTTP; NULL or "": one is made */
    int profiler_fd;        /* of profiler.h, borrowed; 0: none */
    const char *hosts;      /* more names of this node; NULL or "": none */
    bool local_needs_token;
    bool degraded_is_ok;      /* /health is 200 then */
    const char *audit_file;   /* NULL or "": beside the token that is made */
    const char *budgets_file; /* NULL or "": none */
    stats_opts stats;
    struct brisk_engine *engine; /* borrowed; NULL: one is made when it is needed */
    const brisk_yaml_doc *proxy; /* serve.proxy, until the server is made; NULL: none */
    jobs_opts jobs;
    bandwidth_limits bandwidth;
    files_settings files;
    const brisk_alloc *alloc;
    const brisk_clock *clock;
} server_opts;

struct worker {
    loop loop; /* first */
    server *server;
    uint32_t index;
    brisk_thread thread;
    bool started;
    /* Of its thread's processor time, for the sampler of api/stats.c, which may ask when the thread
     * is gone: a clock says so then, a pthread_t must not be asked.  0: not yet. */
    _Atomic int cpu_clock;
    unsigned char *in;    /* WORKER_IN_BYTES */
    unsigned char *plain; /* likewise, for what TLS decrypts */
    resp_writer out;
    conn_parts out_parts; /* between its bytes */
    part_pool part_pool;
    conn *conns;
    conn *graves;
    conn *again; /* have more to do, after the others */
    http_worker *http;
    size_t http_known;           /* bytes of the heads that are known to it */
    uint64_t http2_direct;       /* requests that were answered without nghttp2 */
    uint64_t busy_ns;            /* in commands of the connection that is worked on */
    _Atomic uint32_t conn_count; /* with those that are on their way to it */
    accepting accepting;
    uint64_t now_ns;         /* monotonic, of this round */
    uint64_t clock_ns;       /* monotonic, when it was read last in this round; 0: not yet */
    _Atomic uint32_t ticks;  /* written by the worker alone; that they go on shows that it lives */
    client *mail;            /* clients with pushes; the server's lock */
    _Atomic bool has_mail;   /* so that no lock is taken for nothing */
    struct sse *streams;     /* api/sse.c */
    struct sse *next_stream; /* while they are walked */
    loop_task poke;
    _Atomic bool poked;
};

struct tracking;
struct pubsub;
struct slowlog;
struct latency;
struct config;
struct loads;
struct recording;
struct disk;
struct server_metrics;
struct server_engine_of;

/* Counters shown by INFO; under the lock. */
typedef struct server_stats {
    uint64_t connections;
    uint64_t rejected;
    uint64_t commands;
    uint64_t hits;
    uint64_t misses;
    uint64_t expired_shown; /* keys->expired when statistics were reset */
    uint64_t evicted_shown;
    uint64_t errors;
    uint64_t peak_memory;
    uint64_t ops_per_second;
    uint64_t ops_commands; /* at the last tick of a second */
    uint64_t ops_ns;
} server_stats;

struct server {
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    server_limits limits;
    worker *workers;
    uint32_t worker_count;
    listener listeners[SOCKETS_MAX];
    uint32_t listener_count;
    _Atomic uint32_t listening; /* workers that have still to leave the sockets */
    bool listening_ended;
    pid_t pid;
    char run_id[41];
    uint64_t started_wall_ns;
    uint64_t started_ns;
    bool unprotected;
    bool track_use;
    wire_tls_context *tls;           /* NULL: plain only */
    struct server_engine_of *engine; /* engine.c */
    struct proxy *proxy;             /* NULL: there are no mounts */
    http_routes *http_routes;
    const struct http_priorities *http_priorities; /* rules of serve.priorities; NULL: none */
    wire_tls_opts tls_opts;                        /* paths are the configuration's */
    pthread_mutex_t tls_lock;                      /* of `tls`, which is replaced */
    struct api *api;
    struct jobs *jobs;                        /* api/jobs.c */
    bool (*http_admit)(exchange *x);          /* api/api.c; sets x->right; false: it was answered */
    http_right (*http_right_of)(exchange *x); /* without that; NULL: as `unprotected` says */
    struct encode *encode;
    struct files *files; /* NULL: no mounts */
    bandwidth_limits bandwidth;

    addresses addresses;
    held_values held;               /* values that wait for readers; in output_bytes */
    _Atomic uint64_t http_timeouts; /* connections that took too long */
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
    _Atomic uint64_t input_bytes;
    _Atomic uint64_t output_bytes;
    _Atomic uint64_t input_kills;
    _Atomic uint64_t output_kills;
    _Atomic uint64_t idle_kills;
    _Atomic uint64_t accept_failures; /* no descriptor for a connection */
    _Atomic bool stopping;
    _Atomic uint64_t draining_ns; /* since when; 0: not */
    _Atomic bool drain_gently;
    void (*on_stop)(void *ctx); /* SHUTDOWN: tell whoever waits for the server */
    void (*on_replace)(
        void *ctx);    /* another process is to take over; from any thread; NULL: none can */
    void *on_stop_ctx; /* of both */
    pthread_mutex_t reload_lock; /* one reload at a time */

    /* --- under `lock` --- */
    pthread_mutex_t lock;
    uint64_t now_ns; /* monotonic, of this batch; never goes back */
    uint64_t wall_ns;
    uint64_t wall_read_ns; /* the wall's clock, when it was read last ... */
    uint64_t wall_read_at_ns;
    keyspace keys;
    command_table *commands;
    client *clients; /* oldest first */
    client *clients_last;
    dict clients_by_id;
    uint64_t next_client_id;
    uint32_t client_count;
    uint32_t blocked_count;
    uint32_t monitor_count;
    dict watched; /* key -> list of clients, see cmd_multi.c */
    dict errors;  /* code -> count */
    char password[PASSWORD_MAX];
    struct tracking *tracking;
    struct pubsub *pubsub;
    struct slowlog *slowlog;
    struct latency *latency;
    struct config *config;
    struct loads *own;
    struct recording *recording;
    struct disk *disk; /* NULL: memory alone */
    struct server_metrics *metrics;
    client *current; /* whose command runs */
    uint32_t notify; /* classes of keyspace events */
    uint64_t dirty;  /* changes since the last save */
    uint64_t last_save_s;
    uint64_t pause_until_ns; /* CLIENT PAUSE */
    bool pause_all;
    bool evict_volatile; /* policy of Redis that looks at keys with expiry only */
    bool evict_never;
    bool evict_any;     /* the limit is too small for the tier: the server drops keys at random */
    uint64_t maxmemory; /* as shown and set */
    pressure pressure;
    brisk_sizing *sizing; /* NULL: nobody watches the tier */
    uint32_t target_rate; /* percent; 0: the tier is as large as it may be */
    bool size_rule;
    server_stats stats;
    brisk_rng rng;
    uint64_t ticks_started; /* ticks_now() at started_ns */
    double ns_per_tick;
};

/* --- server.c ----------------------------------------------------------------------------- */

BRISK_NODISCARD brisk_err server_create(const server_opts *opts, server **ret, brisk_errinfo *info);
/* Read certificate and key again, for connections that come from now on.  Errors: as at the start, and
 * the old ones stay. */
BRISK_NODISCARD brisk_err server_reload_tls(server *s, brisk_errinfo *info);
/* Let the workers run. */
BRISK_NODISCARD brisk_err server_start(server *s, brisk_errinfo *info);
/* No more connections, finish what was read, stop the workers, keep the disk tier. */
void server_stop(server *s);
void server_destroy(server *s);
/* Ask for the end, from a command. */
void server_ask_to_stop(server *s);
/* The lock, and the time with it. */
void server_lock(server *s);
/* Likewise, by who knows what time it is, or was a little while ago. */
void server_lock_at(server *s, uint64_t now_ns);
/* Monotonic, as old as this round at most. */
uint64_t worker_clock(worker *w);
void server_unlock(server *s);
/* Count what clients have us keep (queued commands, names, channels, watched keys) with the
 * unfinished requests, of whose bound it may take half; false: too much in all. */
BRISK_NODISCARD bool server_keep(server *s, size_t bytes);
void server_let_go(server *s, size_t bytes);
/* Give `w` mail to send; under the lock. */
void server_mail(worker *w, client *c);
/* CLIENT UNPAUSE. */
void server_end_pause(server *s);

/* --- sizing: cmd_curve.c, under the lock -------------------------------------------------- */

/* Begin to watch the tier, when that is wanted. */
BRISK_NODISCARD brisk_err sizing_start(server *s, bool curve);
/* Limit, policy or target have changed.  False: no memory to watch it. */
bool sizing_follow(server *s);
/* Once a second. */
void sizing_tick(server *s);
/* The sizer's sentence; "" when there is none. */
void sizing_text(const server *s, char text[BRISK_SIZER_TEXT_MAX]);

struct brisk_str;
/* The curve as JSON, for a hit rate (0: the one that is configured).  Errors: UNSUPPORTED (none is kept), NOT_FOUND
 * (nothing was asked for yet), NOMEM. */
BRISK_NODISCARD brisk_err curve_write_json(server *s, double target, struct brisk_str *text);

/* --- effects of changes: changes.c, under the lock ---------------------------------------- */

enum notify_class {
    NOTIFY_KEYSPACE = 1u << 0, /* K */
    NOTIFY_KEYEVENT = 1u << 1, /* E */
    NOTIFY_GENERIC = 1u << 2,  /* g */
    NOTIFY_STRING = 1u << 3,   /* $ */
    NOTIFY_LIST = 1u << 4,     /* l */
    NOTIFY_SET = 1u << 5,      /* s */
    NOTIFY_HASH = 1u << 6,     /* h */
    NOTIFY_ZSET = 1u << 7,     /* z */
    NOTIFY_EXPIRED = 1u << 8,  /* x */
    NOTIFY_EVICTED = 1u << 9,  /* e */
    NOTIFY_STREAM = 1u << 10,  /* t */
    NOTIFY_MISS = 1u << 11,    /* m */
    NOTIFY_MODULE = 1u << 12,  /* d */
    NOTIFY_NEW = 1u << 13,     /* n */
};

/* The client's command changed `key`: watchers, trackers, the disk tier and events follow. */
void changed(client *c, resp_bytes key, uint32_t class, const char *event);
/* Likewise without an event. */
void changed_quietly(client *c, resp_bytes key);
/* Likewise of a change that no client of the Redis protocol made; `event` NULL: without one. */
void changed_by_nobody(server *s, resp_bytes key, uint32_t class, const char *event);
void notify(server *s, uint32_t class, const char *event, resp_bytes key);
/* It was read, so a tracking client wants to know of its next change. */
void changes_of_all(server *s); /* FLUSHALL */
/* What left by itself since the last call. */
void tell_drops(server *s);
/* Keys leave until `maxmemory` is kept, as Redis's volatile policies do.  False: out of memory. */
bool make_room(server *s);

#endif /* BRISK_SRC_DAEMON_SERVER_H */
