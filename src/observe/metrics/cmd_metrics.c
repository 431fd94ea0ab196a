/*
 * cmd_metrics.c -- `brisk metrics`: figures of this machine, of a server, and of who sends StatsD.
 *
 * One round is: wait an interval, ask the server, tick, print, push.  The first round waits, too, where rates are
 * shown, for a rate needs two moments.  SIGINT and SIGTERM are taken by the wait, so that a watch ends
 * orderly: `statsd` prints what it has.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/expose.h>
#include <brisk/machine.h>
#include <brisk/otlp.h>
#include <brisk/statsd.h>

#include "observe/metrics/cmd_metrics.h"
#include "observe/metrics/server.h"

enum {
    OPTION_JSON,
    OPTION_PROMETHEUS,
    OPTION_OPENMETRICS,
    OPTION_WATCH,
    OPTION_INTERVAL,
    OPTION_COUNT,
    OPTION_SERVER,
    OPTION_PASSWORD_FILE,
    OPTION_OTLP,
    OPTION_LISTEN,
    OPTION_PREFIX,
    OPTION_NODE,
};

static const uint64_t second_ns = UINT64_C(1000000000);
static const uint64_t interval_min_ns = 1000000; /* 0 would be a busy loop */
static const uint64_t interval_max_ns = UINT64_C(86400) * 1000000000;

static const brisk_option options[] = {
    [OPTION_JSON] = {.name = "json", .summary = "as JSON, one object a round"},
    [OPTION_PROMETHEUS] = {.name = "prometheus", .summary = "as Prometheus' text format"},
    [OPTION_OPENMETRICS] = {.name = "openmetrics", .summary = "as OpenMetrics"},
    [OPTION_WATCH] = {.name = "watch",
                      .letter = 'w',
                      .summary = "again and again, until it is interrupted"},
    [OPTION_INTERVAL] = {.name = "interval",
                         .letter = 'i',
                         .type = BRISK_OPTION_DURATION,
                         .metavar = "TIME",
                         .summary = "between two rounds (1s)"},
    [OPTION_COUNT] = {.name = "count",
                      .letter = 'n',
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "end after N rounds"},
    [OPTION_SERVER] = {.name = "server",
                       .letter = 's',
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "HOST:PORT",
                       .summary = "figures of a brisk server (or a Redis), too"},
    [OPTION_PASSWORD_FILE] = {.name = "password-file",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "the server's password is its first line"},
    [OPTION_OTLP] = {.name = "otlp",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "URL",
                     .summary = "push each round to an OpenTelemetry collector"},
    [OPTION_LISTEN] = {.name = "listen",
                       .letter = 'l',
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "HOST:PORT",
                       .summary = "with statsd: where (127.0.0.1:8125)"},
    [OPTION_PREFIX] = {.name = "prefix",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "TEXT",
                       .summary = "with statsd: before every name"},
    BRISK_NODE_OPTION_ROWS("figures of a node over HTTP, too"),
};

/* What one call works with. */
typedef struct work {
    const brisk_invocation *in;
    brisk_metrics *metrics;
    brisk_statsd *statsd;
    brisk_otlp *otlp;
    metrics_server server;
    const brisk_knobs *knobs;
    bool has_server;
    bool is_statsd;
    uint64_t interval_ns;
    sigset_t signals;
} work;

static bool is_set(const work *w, int option)
{
    return w->in->values[option].set;
}

static brisk_exit told(const work *w, const brisk_errinfo *info)
{
    (void)fprintf(w->in->err, "brisk: metrics: %s\n", info->text);
    return BRISK_EXIT_FAILED;
}

static brisk_exit usage(const work *w, const char *words)
{
    (void)fprintf(w->in->err, "brisk: metrics: %s\n", words);
    return BRISK_EXIT_USAGE;
}

/* ---- setting up ---------------------------------------------------------------------------- */

static brisk_err open_server(work *w, brisk_errinfo *info)
{
    static const metrics_server_options where = {OPTION_SERVER, OPTION_PASSWORD_FILE, OPTION_NODE};
    return metrics_server_open(w->in->values, &where, &w->server, &w->has_server, info);
}

static brisk_err open_statsd(work *w, brisk_errinfo *info)
{
    if (!w->is_statsd) {
        return BRISK_OK;
    }
    const brisk_option_value *listen = &w->in->values[OPTION_LISTEN];
    brisk_statsd_opts opts = {.metrics = w->metrics,
                              .prefix = w->in->values[OPTION_PREFIX].text,
                              .listen = listen->set ? listen->text : "127.0.0.1:8125"};
    brisk_err err = brisk_statsd_create(&opts, &w->statsd, info);
    if (err == BRISK_OK && !w->in->quiet) {
        (void)fprintf(w->in->err, "brisk: statsd: port %u\n", brisk_statsd_port(w->statsd));
        (void)fflush(w->in->err);
    }
    return err;
}

static brisk_err open_all(work *w, brisk_errinfo *info)
{
    brisk_err err = brisk_metrics_create(NULL, &w->metrics);
    if (err == BRISK_OK && !w->is_statsd) {
        err = brisk_machine_watch(w->metrics);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    err = open_server(w, info);
    if (err == BRISK_OK) {
        err = open_statsd(w, info);
    }
    if (err == BRISK_OK && is_set(w, OPTION_OTLP)) {
        err = brisk_otlp_create(&(brisk_otlp_opts){.endpoint = w->in->values[OPTION_OTLP].text},
                                &w->otlp, info);
    }
    return err;
}

static void close_all(work *w)
{
    brisk_statsd_destroy(w->statsd);
    brisk_otlp_destroy(w->otlp);
    metrics_server_close(&w->server);
    brisk_metrics_destroy(w->metrics);
}

/* ---- rounds -------------------------------------------------------------------------------- */

/* True when a signal ended it. */
static bool wait_round(const work *w)
{
    uint64_t end_ns = brisk_clock_now_ns(NULL) + w->interval_ns;
    for (;;) {
        uint64_t now_ns = brisk_clock_now_ns(NULL);
        uint64_t left = end_ns > now_ns ? end_ns - now_ns : 0;
        struct timespec time = {.tv_sec = (time_t)(left / second_ns),
                                .tv_nsec = (long)(left % second_ns)};
        if (sigtimedwait(&w->signals, NULL, &time) > 0) {
            return true;
        }
        if (errno != EINTR) {
            return false;
        }
    }
}

static brisk_err print_json(const work *w, const brisk_snapshot *snapshot)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(w->in->out), is_set(w, OPTION_WATCH) ? 0 : 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "wall_ns", brisk_snapshot_wall_ns(snapshot));
    brisk_expose_json_array(snapshot, "metrics", &json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static brisk_err print(const work *w, const brisk_snapshot *snapshot)
{
    brisk_out out = brisk_out_file(w->in->out);
    brisk_err err = BRISK_OK;
    if (is_set(w, OPTION_JSON)) {
        err = print_json(w, snapshot);
    } else if (is_set(w, OPTION_PROMETHEUS)) {
        err = brisk_expose_text(snapshot, BRISK_EXPOSE_PROMETHEUS, out);
    } else if (is_set(w, OPTION_OPENMETRICS)) {
        err = brisk_expose_text(snapshot, BRISK_EXPOSE_OPENMETRICS, out);
    } else {
        if (is_set(w, OPTION_WATCH) && isatty(fileno(w->in->out)) == 1) {
            (void)fputs("\033[H\033[2J", w->in->out);
        }
        metrics_print_table(w->in->out, snapshot);
        metrics_print_grade(w->in->out, snapshot, w->knobs);
    }
    if (fflush(w->in->out) != 0 && err == BRISK_OK) {
        err = BRISK_ERR_IO;
    }
    return err;
}

/* Ask, print and push once. */
static brisk_err run_round(work *w, bool show, brisk_errinfo *info)
{
    if (w->has_server) {
        brisk_err err = metrics_server_read(&w->server, w->metrics, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    brisk_snapshot *snapshot = NULL;
    brisk_err err = show ? brisk_metrics_snapshot(w->metrics, NULL, &snapshot) : BRISK_OK;
    brisk_metrics_tick(w->metrics);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    if (snapshot == NULL) {
        return BRISK_OK;
    }
    err = print(w, snapshot);
    if (err != BRISK_OK) {
        err = brisk_errinfo_set(info, err, "standard output: %s", brisk_err_message(err));
    } else if (w->otlp != NULL) {
        err = brisk_otlp_push_metrics(w->otlp, snapshot, info);
    }
    brisk_snapshot_unref(snapshot);
    return err;
}

static brisk_exit run_rounds(work *w)
{
    brisk_errinfo info = {0};
    bool text = is_set(w, OPTION_PROMETHEUS) || is_set(w, OPTION_OPENMETRICS);
    bool endless = is_set(w, OPTION_WATCH) || w->is_statsd;
    uint64_t rounds = is_set(w, OPTION_COUNT) ? w->in->values[OPTION_COUNT].number
                      : endless               ? UINT64_MAX
                                              : 1;
    if (!text || w->is_statsd) { /* rates need a moment before */
        if (run_round(w, false, &info) != BRISK_OK) {
            return told(w, &info);
        }
    }
    for (uint64_t i = 0; i < rounds; i++) {
        bool wait = !text || w->is_statsd || i > 0;
        bool ended = wait && wait_round(w);
        bool show = !w->is_statsd || is_set(w, OPTION_WATCH) || ended || i + 1 == rounds;
        if ((!ended || w->is_statsd) && run_round(w, show, &info) != BRISK_OK) {
            return told(w, &info);
        }
        if (ended) {
            break;
        }
    }
    return BRISK_EXIT_OK;
}

static brisk_exit run(const brisk_invocation *in)
{
    work w = {.in = in, .interval_ns = second_ns};
    int formats =
        is_set(&w, OPTION_JSON) + is_set(&w, OPTION_PROMETHEUS) + is_set(&w, OPTION_OPENMETRICS);
    w.is_statsd = in->argc == 1;
    if (w.is_statsd && strcmp(in->argv[0], "statsd") != 0) {
        return usage(&w, "the only argument is 'statsd'");
    }
    if (formats > 1) {
        return usage(&w, "choose one of --json, --prometheus and --openmetrics");
    }
    if (!w.is_statsd && (is_set(&w, OPTION_LISTEN) || is_set(&w, OPTION_PREFIX))) {
        return usage(&w, "--listen and --prefix belong to 'brisk metrics statsd'");
    }
    if (is_set(&w, OPTION_INTERVAL)) {
        w.interval_ns = in->values[OPTION_INTERVAL].number;
    }
    if (w.interval_ns < interval_min_ns || w.interval_ns > interval_max_ns) {
        return usage(&w, "--interval: 1ms to 24h");
    }
    brisk_engine *engine;
    if (in->engine(in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    w.knobs = brisk_engine_knobs(engine);
    (void)sigemptyset(&w.signals);
    (void)sigaddset(&w.signals, SIGINT);
    (void)sigaddset(&w.signals, SIGTERM);
    sigset_t before;
    (void)pthread_sigmask(SIG_BLOCK, &w.signals, &before);
    brisk_errinfo info = {0};
    brisk_exit code = BRISK_EXIT_FAILED;
    brisk_err err = open_all(&w, &info);
    if (err == BRISK_OK) {
        code = run_rounds(&w);
    } else {
        code = told(&w, &info);
        code = err == BRISK_ERR_INVALID ? BRISK_EXIT_USAGE : code;
    }
    close_all(&w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

const brisk_command metrics_command = {
    .name = "metrics",
    .group = "Measure",
    .synopsis = "[statsd]",
    .summary = "show figures of this machine, of a server, or of who sends StatsD",
    .description =
        "Without arguments: processors by state, load, memory, disks, network and pressure of this "
        "machine, once, after an interval that rates are measured over (not with --prometheus and "
        "--openmetrics, whose readers make rates themselves). With --server also what a brisk "
        "server tells of itself (BRISK.METRICS), and what it or a Redis tells by INFO. With --node "
        "the former over HTTP, also with TLS and a token.\n\n"
        "With the argument statsd it listens for StatsD datagrams until it is interrupted, and "
        "shows what came at the end, or each interval with --watch.",
    .examples = "brisk metrics\tthis machine, once\n"
                "brisk metrics --watch --server 127.0.0.1:6380\tand a server, every second\n"
                "brisk metrics --node https://node.example:6380\tand a node elsewhere\n"
                "brisk metrics --prometheus\tfor node_exporter's textfile collector\n"
                "brisk metrics statsd --listen 127.0.0.1:8125 --watch\twhat programs send\n"
                "brisk metrics --watch --otlp http://localhost:4318\tto a collector\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_max = 1,
    .run = run,
};
