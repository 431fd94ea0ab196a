/*
 * cmd_metrics.c -- BRISK.METRICS: the server's registry as text for other programs.
 *
 *     BRISK.METRICS [PROMETHEUS|OPENMETRICS|JSON]
 *
 * PROMETHEUS (also without a word) and OPENMETRICS are what a scraper reads, JSON what `brisk metrics --json` writes,
 * with the buckets of histograms, from which other programs of brisk make windows of their own.
 */
#include <brisk/expose.h>
#include <brisk/json.h>

#include "base/str.h"
#include "daemon/metrics.h"

enum { TEXT_MAX = 16 << 20 };

typedef enum form { FORM_PROMETHEUS, FORM_OPENMETRICS, FORM_JSON } form;

static bool form_of(const resp_bytes *argv, uint32_t argc, form *ret)
{
    static const char *const names[] = {"prometheus", "openmetrics", "json"};
    *ret = FORM_PROMETHEUS;
    for (int i = 0; argc > 1 && i <= FORM_JSON; i++) {
        if (resp_bytes_equal_nocase(argv[1], names[i])) {
            *ret = (form)i;
            return true;
        }
    }
    return argc == 1;
}

static brisk_err write_json(const brisk_snapshot *snapshot, brisk_out out)
{
    brisk_json json;
    brisk_json_init(&json, out, 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "wall_ns", brisk_snapshot_wall_ns(snapshot));
    brisk_expose_json_array(snapshot, "metrics", &json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static void cmd_metrics(client *c, const resp_bytes *argv, uint32_t argc)
{
    form how;
    if (argc > 2 || !form_of(argv, argc, &how)) {
        reply_syntax_error(c);
        return;
    }
    brisk_snapshot *snapshot = NULL;
    brisk_str text;
    brisk_str_init(&text, c->server->alloc, TEXT_MAX);
    brisk_err err = server_metrics_snapshot(c->server, &snapshot);
    if (err == BRISK_OK) {
        err = how == FORM_JSON
                  ? write_json(snapshot, brisk_str_out(&text))
                  : brisk_expose_text(snapshot,
                                      how == FORM_OPENMETRICS ? BRISK_EXPOSE_OPENMETRICS
                                                              : BRISK_EXPOSE_PROMETHEUS,
                                      brisk_str_out(&text));
    }
    if (err == BRISK_OK) {
        resp_put_verbatim(&c->worker->out, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        reply_error(c, "OOM out of memory");
    }
    brisk_snapshot_unref(snapshot);
    brisk_str_deinit(&text);
}

static const command rows[] = {
    {.name = "brisk.metrics",
     .summary = "The server's metrics as text for other programs",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(N) where N is the number of series",
     .synopsis = "[PROMETHEUS|OPENMETRICS|JSON]",
     .run = cmd_metrics,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_SLOW},
};

const command_family family_metrics = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
