/*
 * jobs_queue.c -- /v1/queue: depth, waits, shares; /v1/workloads: what can be asked for.
 *
 * The list of workloads needs their modules, which are loaded in the admission thread.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include <brisk/module.h>

#include "daemon/api/answer.h"
#include "daemon/engine.h"
#include "daemon/metrics.h"

/* --- /v1/queue ---------------------------------------------------------------------------- */

static void write_classes(const queue_figures *f, brisk_json *json)
{
    brisk_json_array_begin(json, "classes");
    for (queue_class i = QUEUE_INTERACTIVE; i < QUEUE_CLASSES; i++) {
        const queue_class_figures *c = &f->classes[i];
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "class", queue_class_name(i));
        brisk_json_u64(json, "weight", c->weight);
        brisk_json_u64(json, "waiting", c->waiting);
        brisk_json_u64(json, "running", c->running);
        brisk_json_u64(json, "done", c->done);
        brisk_json_u64(json, "service_ns", c->service_ns);
        brisk_json_double(json, "share", c->share);
        brisk_json_double(json, "share_configured", c->share_configured);
        brisk_json_object_begin(json, "wait_ns");
        brisk_json_u64(json, "p50", c->wait_p50_ns);
        brisk_json_u64(json, "p95", c->wait_p95_ns);
        brisk_json_u64(json, "p99", c->wait_p99_ns);
        brisk_json_u64(json, "max", c->wait_max_ns);
        brisk_json_object_end(json);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static void write_workload(const queue_workload_figures *f, brisk_json *json)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "workload", f->name);
    brisk_json_u64(json, "weight", f->weight);
    brisk_json_u64(json, "quota", f->quota);
    brisk_json_str(json, "class", queue_class_name(f->class));
    brisk_json_u64(json, "waiting", f->waiting);
    brisk_json_u64(json, "running", f->running);
    brisk_json_u64(json, "done", f->done);
    brisk_json_u64(json, "refused", f->refused);
    brisk_json_u64(json, "service_ns", f->service_ns);
    brisk_json_double(json, "service_mean_ns", f->done > 0 ? f->service_mean_ns : 0);
    brisk_json_double(json, "share", f->share);
    brisk_json_double(json, "share_configured", f->share_configured);
    brisk_json_object_end(json);
}

/* Under the lock. */
static void write_queue(const jobs_table *j, brisk_json *json)
{
    queue_figures f;
    queue_read(j->queue, jobs_now_ns(j), &f);
    brisk_json_u64(json, "schema", 1);
    brisk_json_u64(json, "waiting", f.waiting);
    brisk_json_u64(json, "waiting_max", f.waiting_max);
    brisk_json_u64(json, "running", f.running);
    brisk_json_u64(json, "running_max", f.running_max);
    brisk_json_u64(json, "clients", f.clients);
    brisk_json_u64(json, "oldest_wait_ns", f.oldest_ns);
    brisk_json_u64(json, "submitted", j->submitted);
    brisk_json_u64(json, "succeeded", j->ended[0]);
    brisk_json_u64(json, "failed", j->ended[1]);
    brisk_json_u64(json, "cancelled", j->ended[2]);
    brisk_json_u64(json, "expired", f.expired);
    brisk_json_u64(json, "refused_full", f.refused_full);
    brisk_json_u64(json, "refused_client", f.refused_client);
    brisk_json_u64(json, "kept", j->done_count);
    brisk_json_u64(json, "kept_bytes", j->done_bytes);
    brisk_json_u64(json, "retry_after_s", queue_retry_after_s(j->queue));
    write_classes(&f, json);
    brisk_json_array_begin(json, "workloads");
    for (uint32_t i = 0; i < f.workload_count; i++) {
        queue_workload_figures w;
        queue_read_workload(j->queue, i, &w);
        write_workload(&w, json);
    }
    brisk_json_array_end(json);
}

void jobs_queue_begin(exchange *x)
{
    jobs_table *j = x->route->ctx;
    brisk_str text;
    brisk_json json;
    if (x->rest.size > 0) {
        api_fail(x, 404, "not_found", "there is nothing here");
        return;
    }
    brisk_str_init(&text, j->alloc, JOBS_TEXT_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    (void)pthread_mutex_lock(&j->lock);
    write_queue(j, &json);
    (void)pthread_mutex_unlock(&j->lock);
    brisk_json_object_end(&json);
    api_answer_text(x, brisk_json_finish(&json), &text);
    brisk_str_deinit(&text);
}

/* --- metrics ------------------------------------------------------------------------------ */

static void set_gauge(brisk_metrics *metrics, const brisk_metric_desc *desc, double value)
{
    brisk_gauge *gauge;
    if (brisk_metrics_gauge(metrics, desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, value);
    }
}

static void set_total(brisk_metrics *metrics, const brisk_metric_desc *desc, uint64_t value)
{
    brisk_total *total;
    if (brisk_metrics_total(metrics, desc, &total) == BRISK_OK) {
        brisk_total_set(total, value);
    }
}

static void collect_class(brisk_metrics *metrics, queue_class class, const queue_class_figures *f)
{
    const brisk_label label = {"class", queue_class_name(class)};
    const struct {
        const char *name;
        const char *help;
        brisk_unit unit;
        double value;
    } gauges[] = {
        {"jobs.waiting", "Jobs that wait", BRISK_UNIT_NONE, f->waiting},
        {"jobs.running", "Jobs that run", BRISK_UNIT_NONE, f->running},
        {"jobs.share", "Part of all service", BRISK_UNIT_RATIO, f->share},
        {"jobs.wait_p50", "Median time in the queue", BRISK_UNIT_NS, (double)f->wait_p50_ns},
        {"jobs.wait_p99", "Time in the queue of 99 %", BRISK_UNIT_NS, (double)f->wait_p99_ns},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        set_gauge(metrics,
                  &(brisk_metric_desc){gauges[i].name, gauges[i].help, gauges[i].unit, &label, 1},
                  gauges[i].value);
    }
    set_total(metrics,
              &(brisk_metric_desc){"jobs.done", "Jobs that have run", BRISK_UNIT_NONE, &label, 1},
              f->done);
}

void jobs_queue_level(server *s, uint64_t *waiting, uint64_t *waiting_max)
{
    jobs_table *j = s->jobs;
    queue_figures f;
    if (j == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&j->lock);
    queue_read(j->queue, jobs_now_ns(j), &f);
    (void)pthread_mutex_unlock(&j->lock);
    *waiting = f.waiting;
    *waiting_max = f.waiting_max;
}

static void collect(void *ctx, brisk_metrics *metrics)
{
    static const char *const names[] = {"succeeded", "failed", "cancelled"};
    jobs_table *j = ctx;
    queue_figures f;
    uint64_t ended[3];
    (void)pthread_mutex_lock(&j->lock);
    queue_read(j->queue, jobs_now_ns(j), &f);
    memcpy(ended, j->ended, sizeof ended);
    uint64_t kept_bytes = j->done_bytes;
    (void)pthread_mutex_unlock(&j->lock);
    for (queue_class i = QUEUE_INTERACTIVE; i < QUEUE_CLASSES; i++) {
        collect_class(metrics, i, &f.classes[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        const brisk_label label = {"status", names[i]};
        set_total(
            metrics,
            &(brisk_metric_desc){"jobs.ended", "Jobs by their end", BRISK_UNIT_NONE, &label, 1},
            ended[i]);
    }
    set_total(metrics, &(brisk_metric_desc){.name = "jobs.refused", .help = "Jobs beyond a limit"},
              f.refused_full + f.refused_client);
    set_gauge(metrics,
              &(brisk_metric_desc){.name = "jobs.kept_bytes",
                                   .help = "Results that are kept",
                                   .unit = BRISK_UNIT_BYTES},
              (double)kept_bytes);
}

void jobs_metrics_begin(jobs_table *j)
{
    brisk_err err = brisk_metrics_collect(server_metrics_registry(j->server), collect, j);
    (void)err; /* without memory the figures are left out, as all others */
}

void jobs_metrics_end(jobs_table *j)
{
    if (j->server->metrics != NULL) {
        brisk_metrics_collect_stop(server_metrics_registry(j->server), collect, j);
    }
}

/* --- /v1/workloads ------------------------------------------------------------------------ */

/* The schema is JSON itself, and ours: put in as it stands. */
static void write_form(brisk_str *text, const char *name, const brisk_form *form, bool first)
{
    brisk_json json;
    if (!first) {
        brisk_str_add(text, ",");
    }
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "name", name);
    brisk_json_str(&json, "summary", form->summary);
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json); /* the text keeps it */
    (void)err;
    if (brisk_str_err(text) == BRISK_OK && brisk_str_size(text) > 2) {
        brisk_str_cut(text, brisk_str_size(text) - 2); /* the brace and the line's end */
        brisk_str_printf(text, ",\"schema\":%s}", form->schema);
    }
}

static void list_away(job_call *call)
{
    brisk_engine *engine = server_engine(call->jobs->server);
    brisk_manifests *manifests = NULL;
    brisk_str *text = call->ctx;
    bool first = true;
    brisk_str_add(text, "{\"schema\":1,\"workloads\":[");
    if (engine != NULL && brisk_manifests_load(NULL, &manifests) == BRISK_OK) {
        for (uint32_t i = 0; i < brisk_manifests_count(manifests); i++) {
            const brisk_yaml_node *name = brisk_yaml_get(brisk_manifests_at(manifests, i), "name");
            const brisk_workload *workload = NULL;
            brisk_errinfo info;
            if (name == NULL || name->text == NULL ||
                brisk_engine_load(engine, name->text, &workload, &info) != BRISK_OK ||
                workload == NULL || workload->form == NULL) {
                continue;
            }
            write_form(text, name->text, workload->form, first);
            first = false;
        }
    }
    brisk_manifests_destroy(manifests);
    brisk_str_add(text, "]}\n");
}

static void list_home(job_call *call)
{
    api_answer_text(call->x, BRISK_OK, call->ctx);
}

static void list_dropped(job_call *call)
{
    brisk_str_deinit(call->ctx);
    jobs_give(call->jobs, call->ctx, sizeof(brisk_str), _Alignof(brisk_str));
}

void jobs_workloads_begin(exchange *x)
{
    jobs_table *j = x->route->ctx;
    x->handler = NULL;
    if (x->rest.size > 0) {
        api_fail(x, 404, "not_found", "there is nothing here");
        return;
    }
    job_call *call = job_call_open(j, x);
    brisk_str *text = call != NULL ? jobs_take(j, sizeof *text, _Alignof(brisk_str)) : NULL;
    if (text == NULL) {
        if (call != NULL) {
            api_fail_err(x, BRISK_ERR_NOMEM, "the list");
        }
        return;
    }
    brisk_str_init(text, j->alloc, JOBS_TEXT_MAX);
    call->ctx = text;
    call->away = list_away;
    call->home = list_home;
    call->dropped = list_dropped;
    bool sent = job_call_send(call);
    (void)sent; /* otherwise it was answered */
}
