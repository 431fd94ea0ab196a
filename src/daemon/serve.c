/*
 * serve.c -- `brisk serve`: options and knobs, sockets, and which process this is.
 *
 *     brisk serve ──► supervisor (supervise.c) ──► worker process (life.c)
 *     brisk serve --foreground ──────────────────► the same process
 */
#include "daemon/serve.h"
#include "daemon/http/http2.h"
#include "daemon/http/priority.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include <brisk/file.h>

#include "daemon/api/api.h"
#include "daemon/handover.h"
#include "daemon/life.h"
#include "daemon/privileges.h"
#include "daemon/profiler.h"
#include "daemon/sandbox.h"
#include "daemon/server.h"
#include "daemon/supervise.h"

#define MIB    UINT64_C(1048576)
#define SECOND UINT64_C(1000000000)

const brisk_knob serve_knobs[SERVE_KNOBS] = {
    {.name = "serve.supervisor",
     .summary =
         "a process that keeps the sockets and starts the one that serves again when it dies",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "serve.user",
     .summary = "user to become after the sockets are open; empty: nobody else",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.group",
     .summary = "group to become with it; empty: the user's",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.sandbox",
     .summary = "only the system calls that the node needs: auto, on (or do not start), off",
     .type = BRISK_KNOB_TEXT,
     .def_text = "auto"},
    {.name = "serve.core_dumps",
     .summary = "write a core when the process dies, with the secrets that it holds",
     .type = BRISK_KNOB_BOOL,
     .max = 1},
    {.name = "serve.reload_replaces",
     .summary = "SIGHUP puts another process in place when settings have changed that need one, "
                "and memory "
                "is cold then; otherwise it names them",
     .type = BRISK_KNOB_BOOL,
     .max = 1},
    {.name = "serve.drain_timeout",
     .summary =
         "how long those who are connected have at the end, or when another process takes over",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(86400000000000),
     .def = UINT64_C(10000000000)},
    {.name = "serve.hang_timeout",
     .summary = "a serving process whose loops stand still for so long is started again; 0: never",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(86400000000000),
     .def = UINT64_C(60000000000)},
    {.name = "serve.listen",
     .summary = "where to answer: HOST:PORT or unix:PATH, or a list of them",
     .type = BRISK_KNOB_YAML,
     .def_text = "127.0.0.1:6380"},
    {.name = "serve.unix",
     .summary = "path of a unix socket; empty: none",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.workers",
     .summary = "event loops: a number, or auto for as many as processors may be used",
     .type = BRISK_KNOB_TEXT,
     .def_text = "auto"},
    {.name = "serve.modules",
     .summary =
         "list of modules that are loaded at the start, others at the first job that needs them",
     .type = BRISK_KNOB_YAML},
    {.name = "serve.memory_limit",
     .summary = "memory of the whole process that serve.memory shrinks for; 0: no limit",
     .type = BRISK_KNOB_BYTES,
     .max = UINT64_C(1) << 46},
    {.name = "serve.memory",
     .summary = "most bytes of keys and values in memory",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = UINT64_C(1) << 44,
     .def = 1024 * MIB},
    {.name = "serve.policy",
     .summary = "what is dropped first when memory is full",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.target_hit_rate",
     .summary =
         "percent of requests that memory is sized to answer, within serve.memory; 0: all of "
         "that is used",
     .max = 99},
    {.name = "serve.size_mode",
     .summary = "how that size is found: curve (of miss ratios), or rule (grow below 70 %, shrink "
                "above 95 %)",
     .type = BRISK_KNOB_TEXT,
     .def_text = "curve"},
    {.name = "serve.curve",
     .summary = "keep a miss-ratio curve of what is asked for (BRISK.CURVE)",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "serve.track_use",
     .summary = "keep when and how often each key was used (OBJECT FREQ): 8 bytes or more a key",
     .type = BRISK_KNOB_BOOL,
     .max = 1},
    {.name = "serve.disk",
     .summary = "folder of a disk tier behind memory; empty: none",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.disk_bytes",
     .summary = "most bytes of the disk tier",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = UINT64_C(1) << 50,
     .def = 16384 * MIB},
    {.name = "serve.record_dir",
     .summary = "folder in which BRISK.RECORD may record; empty: it may not",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.password_file",
     .summary = "file whose first line is the password; empty: none",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.tls_cert",
     .summary = "certificate (PEM, with its chain) with which TLS is spoken, too; empty: no TLS",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.tls_key",
     .summary = "its private key (PEM); empty: in the certificate's file",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.tls_ca",
     .summary = "clients over TLS must have a certificate of this authority (PEM); empty: need not",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.protected",
     .summary = "without a password answer this machine only",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "serve.clients_max",
     .summary = "most connections",
     .min = 1,
     .max = 1000000,
     .def = 10000},
    {.name = "serve.idle_timeout",
     .summary = "idle connections are closed after; 0: never",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(1) << 60},
    {.name = "serve.output_high",
     .summary = "commands of a connection wait while it has more unsent than this",
     .type = BRISK_KNOB_BYTES,
     .min = 65536,
     .max = UINT64_C(1) << 40,
     .def = 8 * MIB},
    {.name = "serve.output_max",
     .summary = "a connection that has more unsent is closed",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = UINT64_C(1) << 40,
     .def = 256 * MIB},
    {.name = "serve.output_total",
     .summary = "with more unsent in all, whoever has unsent answers waits",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = UINT64_C(1) << 44,
     .def = 512 * MIB},
    {.name = "serve.input_max",
     .summary = "most bytes of an unfinished request",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = UINT64_C(1) << 40,
     .def = 1024 * MIB},
    {.name = "serve.input_total",
     .summary = "most bytes of all unfinished requests",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = UINT64_C(1) << 44,
     .def = 2048 * MIB},
    {.name = "serve.bulk_max",
     .summary = "most bytes of an argument or a value",
     .type = BRISK_KNOB_BYTES,
     .min = MIB,
     .max = 512 * MIB,
     .def = 512 * MIB},
    {.name = "serve.pipeline",
     .summary = "commands of a connection that are worked on at a time",
     .min = 1,
     .max = BATCH_MAX,
     .def = BATCH_MAX},
    {.name = "serve.spin_us",
     .summary = "microseconds that an idle loop looks for events before it sleeps",
     .max = 1000000},
    {.name = "serve.backlog",
     .summary = "connections that may wait to be accepted",
     .min = 1,
     .max = 65535,
     .def = 511},
    {.name = "serve.token_file",
     .summary = "file of bearer tokens for HTTP, a line each: TOKEN [read|change [NAME]]; empty: "
                "one token "
                "is made, in a file of this user's",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.hosts",
     .summary = "more names of this node, under which this machine's users may ask without a token",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.audit_file",
     .summary =
         "file to which changes over HTTP are appended; empty: beside the token that is made",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.budgets",
     .summary = "file of budgets that the node holds itself to (see brisk budget); empty: none",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.degraded_is_ok",
     .summary = "/health answers 200, not 503, when the node is degraded",
     .type = BRISK_KNOB_BOOL,
     .max = 1},
    {.name = "serve.local_needs_token",
     .summary = "reading over HTTP needs a token from this machine, too",
     .type = BRISK_KNOB_BOOL,
     .max = 1},
    {.name = "serve.proxy",
     .summary = "caching reverse proxy: a list of {at, host, upstreams, cache, ...}",
     .type = BRISK_KNOB_YAML,
     .def_text = ""},
    /* HTTP/2 and what is urgent. */
    {.name = "serve.http2.streams_max",
     .summary = "most requests at once of a connection that speaks HTTP/2",
     .min = 1,
     .max = 65536,
     .def = HTTP2_STREAMS_MAX},
    {.name = "serve.priorities",
     .summary = "what is urgent: a list of {at: /v1/, urgency: 0..7, incremental: false}, or "
                "{header: {name: x, value: y}, urgency: 5}; the first that fits",
     .type = BRISK_KNOB_YAML},
    /* Static files, compression, bandwidth. */
    {.name = "serve.static",
     .summary = "static files: a list of {at: /, root: /srv/www, ...}",
     .type = BRISK_KNOB_YAML},
    {.name = "serve.files.memory",
     .summary = "most bytes of small files that are kept in memory",
     .type = BRISK_KNOB_BYTES,
     .max = UINT64_C(1) << 40,
     .def = 64 * MIB},
    {.name = "serve.files.small",
     .summary =
         "a file up to this size is kept in memory; larger ones are sent from the disk's cache",
     .type = BRISK_KNOB_BYTES,
     .max = 16 * MIB,
     .def = MIB},
    {.name = "serve.files.entries",
     .summary = "most paths of files that are remembered, missing ones too",
     .min = 64,
     .max = 1 << 24,
     .def = 16384},
    {.name = "serve.files.descriptors",
     .summary = "most large files that are kept open",
     .min = 16,
     .max = 1 << 20,
     .def = 1024},
    {.name = "serve.encode.enabled",
     .summary = "compress answers when that is faster for the client",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "serve.encode.memory",
     .summary = "most bytes of compressed answers that are kept to be sent again",
     .type = BRISK_KNOB_BYTES,
     .max = UINT64_C(1) << 40,
     .def = 64 * MIB},
    {.name = "serve.encode.dictionaries",
     .summary = "most bytes of answers that are kept as dictionaries for later ones (RFC 9842)",
     .type = BRISK_KNOB_BYTES,
     .max = UINT64_C(1) << 36,
     .def = 16 * MIB},
    {.name = "serve.bandwidth.fixed",
     .summary = "bits a second to every client; 0: measured (behind a proxy that cannot be)",
     .max = UINT64_C(1) << 50},
    {.name = "serve.bandwidth.medium",
     .summary = "bits a second: a connection with more is of the high class",
     .min = 1000,
     .max = UINT64_C(1) << 50,
     .def = 10000000},
    {.name = "serve.bandwidth.low",
     .summary = "bits a second: a connection with less is of the low class",
     .min = 100,
     .max = UINT64_C(1) << 50,
     .def = 1000000},
    {.name = "serve.http.head_timeout",
     .summary = "from the first byte of a request to the end of its head; 0: any time",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(1) << 60,
     .def = 10 * SECOND},
    {.name = "serve.http.idle_timeout",
     .summary = "an HTTP connection without a request, and one that said nothing, is closed after; "
                "0: never",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(1) << 60,
     .def = 75 * SECOND},
    {.name = "serve.http.body_timeout",
     .summary =
         "over each such time a request's body must come at serve.http.min_rate; 0: any time",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(1) << 60,
     .def = 15 * SECOND},
    {.name = "serve.http.write_timeout",
     .summary =
         "over each such time a client must take its answer at serve.http.min_rate; 0: any time",
     .type = BRISK_KNOB_DURATION,
     .max = UINT64_C(1) << 60,
     .def = 60 * SECOND},
    {.name = "serve.http.min_rate",
     .summary = "bytes a second that bodies and answers have to move",
     .min = 1,
     .max = 1 << 30,
     .def = 256},
    {.name = "serve.http.requests_max",
     .summary = "an HTTP/1.1 connection is closed after so many requests; 0: never",
     .max = UINT32_MAX,
     .def = 1000000},
    {.name = "serve.http.per_address",
     .summary = "most connections of an address, of any protocol (IPv6: of a /64); 0: any number",
     .max = 1 << 30,
     .def = 1024},
    {.name = "serve.http.per_address_local",
     .summary = "count those of this machine, too",
     .type = BRISK_KNOB_BOOL,
     .max = 1},
    {.name = "serve.http.fields_max",
     .summary = "most fields of a request",
     .min = 8,
     .max = HTTP1_FIELDS_MAX,
     .def = HTTP1_FIELDS_MAX},
    {.name = "serve.http.head_bytes",
     .summary = "most bytes of a request's head",
     .type = BRISK_KNOB_BYTES,
     .min = 1024,
     .max = MIB,
     .def = HTTP1_HEAD_MAX},
    {.name = "serve.http.line_bytes",
     .summary = "most bytes of a line of it, the target's as well",
     .type = BRISK_KNOB_BYTES,
     .min = 512,
     .max = MIB,
     .def = HTTP1_LINE_MAX},
    /* Jobs. */
    {.name = "serve.workloads",
     .summary = "shares of workloads: a list of {name: pkg, weight: 2, quota: 4, class: batch}",
     .type = BRISK_KNOB_YAML},
    {.name = "serve.jobs.running",
     .summary = "jobs at a time; 0: one more than processors",
     .max = 256},
    {.name = "serve.jobs.queue",
     .summary = "most jobs that wait",
     .min = 1,
     .max = 100000,
     .def = 1000},
    {.name = "serve.jobs.client_running",
     .summary = "most running jobs of one client (a token, or an address); 0: all",
     .max = 256},
    {.name = "serve.jobs.client_queue",
     .summary = "most waiting jobs of one client; 0: all",
     .max = 100000},
    {.name = "serve.jobs.kept",
     .summary = "most jobs that are remembered when they are over",
     .min = 1,
     .max = 1000000,
     .def = 1000},
    {.name = "serve.jobs.kept_bytes",
     .summary = "most bytes of their results and reports",
     .type = BRISK_KNOB_BYTES,
     .min = 65536,
     .max = UINT64_C(1) << 40,
     .def = 256 * MIB},
    {.name = "serve.jobs.kept_for",
     .summary = "how long they are remembered",
     .type = BRISK_KNOB_DURATION,
     .min = 1000000,
     .max = UINT64_C(1) << 60,
     .def = UINT64_C(3600000000000)},
    {.name = "serve.jobs.body_max",
     .summary = "most bytes of a job's request, and of what it reads",
     .type = BRISK_KNOB_BYTES,
     .min = 1024,
     .max = UINT64_C(1) << 32,
     .def = 64 * MIB},
    {.name = "serve.jobs.paths",
     .summary = "folder below which jobs may name files; empty: they may not",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "serve.jobs.drain",
     .summary = "when the node stops, running jobs are cancelled after",
     .type = BRISK_KNOB_DURATION,
     .min = 1,
     .max = UINT64_C(1) << 60,
     .def = UINT64_C(5000000000)},
};

enum {
    OPTION_LISTEN,
    OPTION_UNIX,
    OPTION_MEMORY,
    OPTION_DISK,
    OPTION_POLICY,
    OPTION_PASSWORD_FILE,
    OPTION_THREADS,
    OPTION_FOREGROUND,
    OPTION_CHECK,
};

static const brisk_option options[] = {
    [OPTION_LISTEN] = {.name = "listen",
                       .letter = 'l',
                       .type = BRISK_OPTION_LIST,
                       .metavar = "HOST:PORT",
                       .summary = "answer there (127.0.0.1:6380); may be given several times"},
    [OPTION_UNIX] = {.name = "unix",
                     .type = BRISK_OPTION_FILE,
                     .metavar = "PATH",
                     .summary = "answer at a unix socket, too"},
    [OPTION_MEMORY] = {.name = "memory",
                       .letter = 'm',
                       .type = BRISK_OPTION_BYTES,
                       .metavar = "BYTES",
                       .summary = "most bytes of keys and values (1GiB)"},
    [OPTION_DISK] = {.name = "disk",
                     .letter = 'd',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FOLDER",
                     .summary = "keep a disk tier there"},
    [OPTION_POLICY] = {.name = "policy",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "NAME",
                       .summary = "what is dropped first"},
    [OPTION_PASSWORD_FILE] = {.name = "password-file",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "ask for the password in its first line"},
    [OPTION_THREADS] = {.name = "threads",
                        .letter = 't',
                        .type = BRISK_OPTION_U64,
                        .metavar = "N",
                        .summary = "event loops; 0: one for each processor"},
    [OPTION_FOREGROUND] = {.name = "foreground",
                           .letter = 'f',
                           .summary = "one process, without a supervisor"},
    [OPTION_CHECK] = {.name = "check", .summary = "read the settings, say whether they are right"},
};

/* Everything that is configured, as text that lives as long as the server. */
typedef struct setup {
    char unix_path[256];
    char policy[64];
    char disk_path[4096];
    char record_dir[3968]; /* leaves room for a name */
    char password_path[4096];
    char password[PASSWORD_MAX];
    char tls[3][4096]; /* certificate, key, authority */
    char token_file[4096];
    char hosts[4096];
    char budgets[4096];
    char audit_file[4096];
    sockets sockets;
    http_priorities *priorities;
    brisk_yaml_doc *mounts;
    brisk_yaml_doc *proxies; /* likewise of serve.proxy */
    char job_paths[4096];
    brisk_yaml_doc *workloads;
    server_opts opts;
} setup;

/* --- settings ----------------------------------------------------------------------------- */

static void choose_text(const brisk_invocation *in, int option, const brisk_knobs *knobs,
                        const char *knob, char *text, size_t size)
{
    if (option >= 0 && in->values[option].set) {
        (void)snprintf(text, size, "%s", in->values[option].text);
    } else {
        brisk_knobs_text(knobs, knob, text, size);
    }
}

/* False: an option is not what its knob allows, and that was said. */
static bool choose_number(const brisk_invocation *in, int option, const brisk_knobs *knobs,
                          const char *name, uint64_t *ret)
{
    if (!in->values[option].set) {
        *ret = brisk_knobs_u64(knobs, name);
        return true;
    }
    const brisk_knob *knob = serve_knobs;
    while (strcmp(knob->name, name) != 0) {
        knob++; /* it is one of them */
    }
    *ret = in->values[option].number;
    if (*ret < knob->min || *ret > knob->max) {
        (void)fprintf(in->err, "brisk: --%s is from %" PRIu64 " to %" PRIu64 ", not %" PRIu64 "\n",
                      options[option].name, knob->min, knob->max, *ret);
        return false;
    }
    return true;
}

/* "auto" is 0. */
static bool choose_workers(const brisk_invocation *in, const brisk_knobs *knobs, uint64_t *ret)
{
    char text[64];
    brisk_knobs_text(knobs, "serve.workers", text, sizeof text);
    uint64_t count = 0;
    bool good =
        strcmp(text, "auto") == 0 || brisk_knob_parse(BRISK_KNOB_U64, text, &count) == BRISK_OK;
    if (in->values[OPTION_THREADS].set) {
        good = true;
        count = in->values[OPTION_THREADS].number;
        (void)snprintf(text, sizeof text, "%" PRIu64, count);
    }
    if (!good || count > WORKERS_MAX) {
        (void)fprintf(in->err, "brisk: serve.workers is auto or from 1 to %d, not %s\n",
                      WORKERS_MAX, text);
        return false;
    }
    *ret = count;
    return true;
}

static bool read_password(const brisk_invocation *in, setup *set)
{
    brisk_file_view view;
    brisk_errinfo info = {0};
    if (set->password_path[0] == '\0') {
        return true;
    }
    if (brisk_file_view_open(set->password_path, 65536, &view, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return false;
    }
    size_t size = 0;
    while (size < view.size && view.data[size] != '\n' && view.data[size] != '\r') {
        size++;
    }
    bool good = size > 0 && size < sizeof set->password;
    if (good) {
        memcpy(set->password, view.data, size);
        set->password[size] = '\0';
        set->opts.password = set->password;
    } else {
        (void)fprintf(in->err, "brisk: %s: the password is %s\n", set->password_path,
                      size == 0 ? "empty" : "too long");
    }
    brisk_file_view_close(&view);
    return good;
}

static bool read_size_mode(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    char text[64];
    brisk_knobs_text(knobs, "serve.size_mode", text, sizeof text);
    set->opts.size_rule = strcmp(text, "rule") == 0;
    bool good = set->opts.size_rule || strcmp(text, "curve") == 0;
    if (!good) {
        (void)fprintf(in->err, "brisk: setting 'serve.size_mode': '%s' is neither curve nor rule\n",
                      text);
    }
    return good;
}

static void read_limits(const brisk_knobs *knobs, server_limits *limits)
{
    *limits = (server_limits){
        .clients_max = (uint32_t)brisk_knobs_u64(knobs, "serve.clients_max"),
        .idle_ns = brisk_knobs_u64(knobs, "serve.idle_timeout"),
        .output_high = brisk_knobs_u64(knobs, "serve.output_high"),
        .output_max = brisk_knobs_u64(knobs, "serve.output_max"),
        .output_total = brisk_knobs_u64(knobs, "serve.output_total"),
        .input_max = brisk_knobs_u64(knobs, "serve.input_max"),
        .input_total = brisk_knobs_u64(knobs, "serve.input_total"),
        .bulk_max = brisk_knobs_u64(knobs, "serve.bulk_max"),
        .args_max = RESP_ARGS_MAX,
        .batch_max = (uint32_t)brisk_knobs_u64(knobs, "serve.pipeline"),
    };
    limits->http_head = (http1_limits){
        .fields_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.fields_max"),
        .head_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.head_bytes"),
        .line_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.line_bytes"),
    };
    limits->http = (http_limits){
        .streams_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http2.streams_max"),
        .head_ns = brisk_knobs_u64(knobs, "serve.http.head_timeout"),
        .idle_ns = brisk_knobs_u64(knobs, "serve.http.idle_timeout"),
        .body_ns = brisk_knobs_u64(knobs, "serve.http.body_timeout"),
        .write_ns = brisk_knobs_u64(knobs, "serve.http.write_timeout"),
        .min_rate = (uint32_t)brisk_knobs_u64(knobs, "serve.http.min_rate"),
        .requests_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.requests_max"),
        .per_address = (uint32_t)brisk_knobs_u64(knobs, "serve.http.per_address"),
        .per_address_local = brisk_knobs_u64(knobs, "serve.http.per_address_local") != 0,
    };
}

static brisk_err read_priorities(const brisk_knobs *knobs, setup *set, brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_knobs_yaml(knobs, "serve.priorities", NULL, &doc, info);
    if (err == BRISK_OK) {
        err = http_priorities_create(doc, brisk_alloc_libc(), &set->priorities, info);
        if (err != BRISK_OK) {
            brisk_yaml_destroy(doc);
        }
    }
    return err;
}

/* The mounts stay in `set` until the server was made; false: they are wrong, and that was said. */
static bool read_files(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    brisk_errinfo info = {0};
    if (brisk_knobs_yaml(knobs, "serve.static", NULL, &set->mounts, &info) != BRISK_OK ||
        brisk_knobs_yaml(knobs, "serve.proxy", NULL, &set->proxies, &info) != BRISK_OK ||
        read_priorities(knobs, set, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return false;
    }
    set->opts.priorities = set->priorities;
    set->opts.proxy = set->proxies;
    set->opts.files = (files_settings){
        .mounts = set->mounts,
        .memory_bytes = brisk_knobs_u64(knobs, "serve.files.memory"),
        .small_bytes = brisk_knobs_u64(knobs, "serve.files.small"),
        .entries = (uint32_t)brisk_knobs_u64(knobs, "serve.files.entries"),
        .descriptors = (uint32_t)brisk_knobs_u64(knobs, "serve.files.descriptors"),
        .variants_bytes = brisk_knobs_u64(knobs, "serve.encode.memory"),
        .dictionary_bytes = brisk_knobs_u64(knobs, "serve.encode.dictionaries"),
        .encode_off = brisk_knobs_u64(knobs, "serve.encode.enabled") == 0,
    };
    set->opts.bandwidth = (bandwidth_limits){
        .fixed_bps = brisk_knobs_u64(knobs, "serve.bandwidth.fixed"),
        .medium_bps = brisk_knobs_u64(knobs, "serve.bandwidth.medium"),
        .low_bps = brisk_knobs_u64(knobs, "serve.bandwidth.low"),
    };
    return true;
}

static bool read_setup(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    choose_text(in, OPTION_UNIX, knobs, "serve.unix", set->unix_path, sizeof set->unix_path);
    choose_text(in, OPTION_POLICY, knobs, "serve.policy", set->policy, sizeof set->policy);
    choose_text(in, OPTION_DISK, knobs, "serve.disk", set->disk_path, sizeof set->disk_path);
    choose_text(in, OPTION_PASSWORD_FILE, knobs, "serve.password_file", set->password_path,
                sizeof set->password_path);
    brisk_knobs_text(knobs, "serve.record_dir", set->record_dir, sizeof set->record_dir);
    brisk_knobs_text(knobs, "serve.tls_cert", set->tls[0], sizeof set->tls[0]);
    brisk_knobs_text(knobs, "serve.tls_key", set->tls[1], sizeof set->tls[1]);
    brisk_knobs_text(knobs, "serve.tls_ca", set->tls[2], sizeof set->tls[2]);
    brisk_knobs_text(knobs, "serve.token_file", set->token_file, sizeof set->token_file);
    brisk_knobs_text(knobs, "serve.hosts", set->hosts, sizeof set->hosts);
    brisk_knobs_text(knobs, "serve.budgets", set->budgets, sizeof set->budgets);
    brisk_knobs_text(knobs, "serve.audit_file", set->audit_file, sizeof set->audit_file);
    uint64_t memory;
    uint64_t threads;
    if (!choose_number(in, OPTION_MEMORY, knobs, "serve.memory", &memory) ||
        !choose_workers(in, knobs, &threads)) {
        return false;
    }
    set->opts = (server_opts){
        .tls_cert = set->tls[0],
        .tls_key = set->tls[1],
        .tls_ca = set->tls[2],
        .token_file = set->token_file,
        .hosts = set->hosts,
        .budgets_file = set->budgets,
        .audit_file = set->audit_file,
        .degraded_is_ok = brisk_knobs_u64(knobs, "serve.degraded_is_ok") != 0,
        .local_needs_token = brisk_knobs_u64(knobs, "serve.local_needs_token") != 0,
        .sockets = &set->sockets,
        .policy = set->policy[0] != '\0' ? set->policy : NULL,
        .disk_path = set->disk_path,
        .record_dir = set->record_dir,
        .disk_bytes = brisk_knobs_u64(knobs, "serve.disk_bytes"),
        .memory_bytes = memory,
        .memory_limit = brisk_knobs_u64(knobs, "serve.memory_limit"),
        .workers = (uint32_t)threads,
        .spin_ns = brisk_knobs_u64(knobs, "serve.spin_us") * 1000,
        .track_use = brisk_knobs_u64(knobs, "serve.track_use") != 0,
        .unprotected = brisk_knobs_u64(knobs, "serve.protected") == 0,
        .no_curve = brisk_knobs_u64(knobs, "serve.curve") == 0,
        .target_rate = (uint32_t)brisk_knobs_u64(knobs, "serve.target_hit_rate"),
    };
    read_limits(knobs, &set->opts.limits);
    brisk_errinfo info = {.text = ""};
    if (jobs_read_knobs(knobs, set->job_paths, &set->opts.jobs, &set->workloads, &info) !=
        BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return false;
    }
    return read_size_mode(in, knobs, set) && read_password(in, set) && read_files(in, knobs, set);
}

/* --- where to listen ---------------------------------------------------------------------- */

static brisk_err open_knob(const brisk_knobs *knobs, sockets *to, brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_knobs_yaml(knobs, "serve.listen", NULL, &doc, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    const brisk_yaml_node *n = root->kind == BRISK_YAML_SEQUENCE ? root->child : root;
    for (; n != NULL && err == BRISK_OK; n = n->next) {
        if (n->kind == BRISK_YAML_SCALAR) {
            err = sockets_open(to, n->text, info);
        } else if (n != root || n->count > 0) {
            err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: HOST:PORT or unix:PATH",
                                    brisk_yaml_name(doc), n->line);
        }
    }
    brisk_yaml_destroy(doc);
    return err;
}

static brisk_err open_sockets(const brisk_invocation *in, const brisk_knobs *knobs, setup *set,
                              brisk_errinfo *info)
{
    sockets *to = &set->sockets;
    const brisk_option_list *given = &in->lists[OPTION_LISTEN];
    bool by_knob = given->count == 0 && to->count == 0; /* systemd's take its place */
    brisk_err err = by_knob ? open_knob(knobs, to, info) : BRISK_OK;
    for (uint32_t i = 0; i < given->count && err == BRISK_OK; i++) {
        err = given->texts[i][0] != '\0' ? sockets_open(to, given->texts[i], info) : BRISK_OK;
    }
    if (err == BRISK_OK && set->unix_path[0] != '\0') {
        char address[sizeof set->unix_path + 5];
        (void)snprintf(address, sizeof address, "unix:%s", set->unix_path);
        err = sockets_open(to, address, info);
    }
    if (err == BRISK_OK && to->count == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "nothing to listen at");
    }
    return err;
}

/* Descriptors for all connections and some more; what the system gives is enough to go on. */
static void raise_descriptors(uint32_t clients_max)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)clients_max + 128;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Sockets of a supervisor, of systemd, or of our own; *ret_fd: see handover_take. */
static brisk_err find_sockets(const brisk_invocation *in, const brisk_knobs *knobs, setup *set,
                              int *ret_fd, brisk_errinfo *info)
{
    set->sockets = (sockets){.backlog = (uint32_t)brisk_knobs_u64(knobs, "serve.backlog")};
    brisk_err err = handover_take(&set->sockets, ret_fd, info);
    if (err == BRISK_OK && *ret_fd < 0) {
        err = sockets_from_systemd(&set->sockets, info);
        if (err == BRISK_OK) {
            err = open_sockets(in, knobs, set, info);
        }
    }
    if (err != BRISK_OK) {
        sockets_close(&set->sockets, false);
    }
    return err;
}

static void destroy_lists(setup *set)
{
    http_priorities_destroy(set->priorities);
    brisk_yaml_destroy(set->mounts);
    brisk_yaml_destroy(set->proxies);
    brisk_yaml_destroy(set->workloads);
}

/* After sockets are open and modules are loaded: what is read or written from now on is so as the
 * user that the node runs as. */
static brisk_err give_up_rights(const brisk_knobs *knobs, brisk_errinfo *info)
{
    char user[256];
    char group[256];
    brisk_knobs_text(knobs, "serve.user", user, sizeof user);
    brisk_knobs_text(knobs, "serve.group", group, sizeof group);
    brisk_err err = privileges_become(user, group, info);
    if (err == BRISK_OK) {
        privileges_limit(brisk_knobs_u64(knobs, "serve.core_dumps") != 0);
    }
    return err;
}

/* *ret_remark: what is to be said of it, or NULL. */
static brisk_err enter_sandbox(const brisk_knobs *knobs, const char **ret_remark,
                               brisk_errinfo *info)
{
    char text[64];
    sandbox_mode mode;
    bool entered = false;
    brisk_knobs_text(knobs, "serve.sandbox", text, sizeof text);
    if (!sandbox_mode_of(text, &mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "setting 'serve.sandbox': '%s' is neither auto, on nor off", text);
    }
    brisk_err err = sandbox_enter(mode, &entered, info);
    *ret_remark = !entered && mode == SANDBOX_AUTO && sandbox_is_expected()
                      ? "there is no sandbox here"
                      : NULL;
    return err;
}

static brisk_exit serve(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    brisk_errinfo info = {.text = ""};
    int supervisor_fd = -1;
    brisk_err err = find_sockets(in, knobs, set, &supervisor_fd, &info);
    if (err == BRISK_OK) {
        err = give_up_rights(knobs, &info);
    }
    if (err != BRISK_OK) {
        sockets_close(&set->sockets, false);
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    uint64_t drain_ns = brisk_knobs_u64(knobs, "serve.drain_timeout");
    if (supervisor_fd < 0 && !in->values[OPTION_FOREGROUND].set &&
        brisk_knobs_u64(knobs, "serve.supervisor") != 0) {
        supervise_opts opts = {.sockets = &set->sockets,
                               .err = in->err,
                               .drain_ns = drain_ns,
                               .hang_ns = brisk_knobs_u64(knobs, "serve.hang_timeout")};
        destroy_lists(set);
        return supervise(&opts);
    }
    const char *remark = NULL;
    if (profiler_start(&set->opts.profiler_fd, &info) != BRISK_OK ||
        enter_sandbox(knobs, &remark, &info) != BRISK_OK) {
        sockets_close(&set->sockets, false);
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    life_opts opts = {.in = in,
                      .remark = remark,
                      .server = &set->opts,
                      .supervisor_fd = supervisor_fd,
                      .replace = brisk_knobs_u64(knobs, "serve.reload_replaces") != 0,
                      .drain_ns = drain_ns};
    brisk_exit result = life_run(&opts);
    (void)close(set->opts.profiler_fd);
    destroy_lists(set);
    return result;
}

static brisk_err load_listed(brisk_engine *engine, const brisk_yaml_doc *doc, brisk_errinfo *info)
{
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    if (root->kind != BRISK_YAML_SEQUENCE &&
        (root->kind != BRISK_YAML_MAPPING || root->count > 0)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: a list of names of modules",
                                 brisk_yaml_name(doc), root->line);
    }
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = root->child; n != NULL && err == BRISK_OK; n = n->next) {
        const brisk_workload *workload;
        err = n->text != NULL
                  ? brisk_engine_load(engine, n->text, &workload, info)
                  : brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: a name of a module",
                                      brisk_yaml_name(doc), n->line);
    }
    return err;
}

/* Modules named in serve.modules; false: one cannot be had, and that was said. */
static bool load_modules(const brisk_invocation *in, brisk_engine *engine)
{
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err =
        brisk_knobs_yaml(brisk_engine_knobs(engine), "serve.modules", NULL, &doc, &info);
    if (err == BRISK_OK) {
        err = load_listed(engine, doc, &info);
        brisk_yaml_destroy(doc);
    }
    if (err != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
    }
    return err == BRISK_OK;
}

static brisk_exit run(const brisk_invocation *in)
{
    brisk_engine *engine;
    const brisk_workload *none;
    brisk_errinfo info = {0};
    static setup set; /* large, and there is one server in a process */
    if (in->engine(in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    if (brisk_engine_load(engine, "serve", &none, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    if (!read_setup(in, brisk_engine_knobs(engine), &set)) {
        return BRISK_EXIT_FAILED;
    }
    set.opts.engine = engine;
    if (!load_modules(in, engine)) {
        return BRISK_EXIT_FAILED;
    }
    if (in->values[OPTION_CHECK].set) {
        (void)fputs("settings are right\n", in->out);
        destroy_lists(&set);
        return BRISK_EXIT_OK;
    }
    raise_descriptors(set.opts.limits.clients_max);
    return serve(in, brisk_engine_knobs(engine), &set);
}

const brisk_command serve_command = {
    .name = "serve",
    .group = "Server",
    .synopsis = "[OPTIONS]",
    .summary = "answer the Redis protocol from memory, and from disk behind it",
    .description =
        "Clients of Redis find strings, keys, expiry, bits, transactions, channels and client-side "
        "caching as they know them from Redis 7.0. Everything lives in memory of a fixed size; "
        "when that is full, what is least worth keeping goes. With --disk it goes to disk and "
        "comes back when it is asked for, also after a restart.\n\n"
        "Without a password the server answers this machine only. A process that keeps the sockets "
        "starts the one that serves, again when that dies; --foreground is one process. SIGTERM "
        "and "
        "SIGINT end it in order, a second one at once; SIGHUP reads settings, tokens and "
        "certificate "
        "again; SIGUSR2 puts a new process, of a new program perhaps, in the place of the old one, "
        "and no request is lost.",
    .examples = "brisk serve\tanswer at 127.0.0.1:6380\n"
                "brisk serve --memory 4GiB --disk /var/cache/brisk\tmore memory, and a disk tier\n"
                "brisk serve --listen 0.0.0.0:6380 --password-file pw\tanswer the network\n"
                "brisk --config /etc/brisk/brisk.yaml serve --check\tonly judge the settings\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 0,
    .args_max = 0,
    .run = run,
};
