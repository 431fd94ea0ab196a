/*
 * read.c -- budgets from YAML: every key known, every value checked, every error with file and line.
 *
 * Numbers may carry a unit: "8ms", "4GiB", "99.9%".  They become nanoseconds, bytes and shares, which is what
 * metrics hold.
 *
 * Threads: none of its own.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/knob.h>
#include <brisk/yaml.h>

#include "base/text.h"
#include "observe/budget/budget.h"

enum { NAME_BYTES_MAX = 128, RETRIES_DEFAULT = 5, RETRIES_MAX = 10 };

static const uint64_t second_ns = 1000000000;

/* One reading: the first error ends it. */
typedef struct reader {
    brisk_budgets *to;
    const brisk_yaml_doc *doc;
    brisk_errinfo *info;
    brisk_err err;
} reader;

static void refuse(reader *r, const brisk_yaml_node *node, const char *words, const char *what)
{
    if (r->err == BRISK_OK) {
        char plain[64];
        (void)snprintf(plain, sizeof plain, "%s", what);
        brisk_text_make_plain(plain, strlen(plain));
        r->err =
            brisk_errinfo_set(r->info, BRISK_ERR_INVALID, "%s:%u: %s%s%s", brisk_yaml_name(r->doc),
                              node->line, words, plain[0] != '\0' ? " " : "", plain);
    }
}

static void *take(reader *r, size_t count, size_t size)
{
    void *memory = brisk_arena_calloc(r->to->arena, count, size);
    if (memory == NULL && r->err == BRISK_OK) {
        r->err = brisk_errinfo_set(r->info, BRISK_ERR_NOMEM, "%s: %s", brisk_yaml_name(r->doc),
                                   brisk_err_message(BRISK_ERR_NOMEM));
    }
    return memory;
}

/* A copy of a scalar's text; "" after an error. */
static const char *text_of(reader *r, const brisk_yaml_node *node)
{
    if (node->text == NULL || node->text[0] == '\0') {
        refuse(r, node, "is to be one word or text:", node->key != NULL ? node->key : "");
        return "";
    }
    size_t size = strlen(node->text);
    char *copy = take(r, size + 1, 1);
    if (copy == NULL) {
        return "";
    }
    memcpy(copy, node->text, size);
    return copy;
}

/* --- numbers -------------------------------------------------------------------------------- */

static bool parse_plain(const char *text, double *ret)
{
    size_t digits = strspn(text, "+-0123456789.eE");
    char *end = NULL;
    double value = digits > 0 && digits < 40 ? strtod(text, &end) : 0.0;
    if (digits == 0 || end == NULL || end == text || !isfinite(value)) {
        return false;
    }
    end += strspn(end, " ");
    *ret = strcmp(end, "%") == 0 ? value / 100.0 : value;
    return *end == '\0' || strcmp(end, "%") == 0;
}

/* A number with or without a unit. */
static bool parse_number(const char *text, double *ret)
{
    uint64_t whole = 0;
    if (parse_plain(text, ret)) {
        return true;
    }
    if (brisk_knob_parse(BRISK_KNOB_DURATION, text, &whole) != BRISK_OK &&
        brisk_knob_parse(BRISK_KNOB_BYTES, text, &whole) != BRISK_OK) {
        return false;
    }
    *ret = (double)whole;
    return true;
}

static double number_of(reader *r, const brisk_yaml_node *node)
{
    double value = (double)NAN;
    if (node->text == NULL || !parse_number(node->text, &value)) {
        refuse(r, node, "is to be a number (8ms, 4GiB, 99.9%, 12):", node->key);
    }
    return value;
}

static uint64_t duration_of(reader *r, const brisk_yaml_node *node)
{
    uint64_t value = 0;
    if (node->text == NULL ||
        brisk_knob_parse(BRISK_KNOB_DURATION, node->text, &value) != BRISK_OK) {
        refuse(r, node, "is to be a duration with its unit (10s, 5m, 9d):", node->key);
    }
    return value;
}

static bool flag_of(reader *r, const brisk_yaml_node *node)
{
    uint64_t value = 0;
    if (node->text == NULL || brisk_knob_parse(BRISK_KNOB_BOOL, node->text, &value) != BRISK_OK) {
        refuse(r, node, "is to be true or false:", node->key);
    }
    return value != 0;
}

/* --- one budget ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    brisk_budget_statistic statistic;
} statistics[] = {
    {"value", BRISK_BUDGET_VALUE},
    {"rate", BRISK_BUDGET_RATE},
    {"mean", BRISK_BUDGET_MEAN},
    {"p50", BRISK_BUDGET_P50},
    {"p95", BRISK_BUDGET_P95},
    {"p99", BRISK_BUDGET_P99},
    {"p99.9", BRISK_BUDGET_P999},
    {"max", BRISK_BUDGET_MAX_VALUE},
    {"error_rate", BRISK_BUDGET_ERROR_RATE},
    {"throughput", BRISK_BUDGET_RATE},
    {"median", BRISK_BUDGET_P50},
};

const char *brisk_budget_statistic_name(brisk_budget_statistic statistic)
{
    for (size_t i = 0; i < sizeof statistics / sizeof statistics[0]; i++) {
        if (statistics[i].statistic == statistic) {
            return statistics[i].name;
        }
    }
    return "?";
}

static void read_statistic(reader *r, const brisk_yaml_node *node, brisk_budget *ret)
{
    const char *word = node->text != NULL ? node->text : "";
    for (size_t i = 0; i < sizeof statistics / sizeof statistics[0]; i++) {
        if (strcmp(word, statistics[i].name) == 0) {
            ret->statistic = statistics[i].statistic;
            ret->above = strcmp(word, "throughput") == 0;
            return;
        }
    }
    refuse(r, node,
           "statistic is value, rate, throughput, mean, median, p50, p95, p99, p99.9, max or "
           "error_rate, not",
           word);
}

static void read_direction(reader *r, const brisk_yaml_node *node, brisk_budget *ret)
{
    const char *word = node->text != NULL ? node->text : "";
    ret->above = strcmp(word, "above") == 0;
    if (!ret->above && strcmp(word, "below") != 0) {
        refuse(r, node, "direction is above or below, not", word);
    }
}

static void read_labels(reader *r, const brisk_yaml_node *node, brisk_budget *ret)
{
    if (node->kind != BRISK_YAML_MAPPING || node->count > 16) {
        refuse(r, node, "labels are a mapping of at most 16 names to values", "");
        return;
    }
    brisk_label *labels = take(r, node->count + 1, sizeof *labels);
    uint32_t i = 0;
    for (const brisk_yaml_node *at = node->child; labels != NULL && at != NULL; at = at->next) {
        size_t size = strlen(at->key);
        char *name = take(r, size + 1, 1);
        if (name == NULL) {
            return;
        }
        memcpy(name, at->key, size);
        labels[i++] = (brisk_label){.name = name, .value = text_of(r, at)};
    }
    ret->labels = labels;
    ret->label_count = labels != NULL ? node->count : 0;
}

/* Plain members, by name. */
static const struct {
    const char *key;
    enum { FIELD_TEXT, FIELD_NUMBER, FIELD_DURATION, FIELD_COUNT } kind;
    size_t offset;
} fields[] = {
    {"name", FIELD_TEXT, offsetof(brisk_budget, name)},
    {"metric", FIELD_TEXT, offsetof(brisk_budget, metric)},
    {"bad", FIELD_TEXT, offsetof(brisk_budget, bad)},
    {"stage", FIELD_TEXT, offsetof(brisk_budget, stage)},
    {"workload", FIELD_TEXT, offsetof(brisk_budget, workload)},
    {"target", FIELD_NUMBER, offsetof(brisk_budget, target)},
    {"warning", FIELD_NUMBER, offsetof(brisk_budget, warning)},
    {"critical", FIELD_NUMBER, offsetof(brisk_budget, critical)},
    {"objective", FIELD_NUMBER, offsetof(brisk_budget, objective)},
    {"clear", FIELD_NUMBER, offsetof(brisk_budget, clear)},
    {"horizon", FIELD_DURATION, offsetof(brisk_budget, horizon_ns)},
    {"window", FIELD_DURATION, offsetof(brisk_budget, window_ns)},
    {"for", FIELD_DURATION, offsetof(brisk_budget, for_ns)},
    {"repeat", FIELD_DURATION, offsetof(brisk_budget, repeat_ns)},
    {"minimum_events", FIELD_COUNT, offsetof(brisk_budget, min_events)},
};

static void read_fields(reader *r, const brisk_yaml_node *node, brisk_budget *ret)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && r->err == BRISK_OK; i++) {
        const brisk_yaml_node *at = brisk_yaml_get(node, fields[i].key);
        char *field = (char *)ret + fields[i].offset;
        if (at == NULL) {
            continue;
        }
        if (fields[i].kind == FIELD_TEXT) {
            const char *text = text_of(r, at);
            memcpy(field, &text, sizeof text);
            if (strlen(text) > NAME_BYTES_MAX) {
                refuse(r, at, "is too long:", fields[i].key);
            }
        } else if (fields[i].kind == FIELD_NUMBER) {
            double value = number_of(r, at);
            memcpy(field, &value, sizeof value);
        } else {
            uint64_t value = 0;
            if (fields[i].kind == FIELD_DURATION) {
                value = duration_of(r, at);
            } else if (brisk_yaml_u64(r->doc, at, &value, r->info) != BRISK_OK) {
                r->err = BRISK_ERR_INVALID;
            }
            memcpy(field, &value, sizeof value);
        }
    }
}

/* warning is met before critical; NaN is no limit. */
static bool limits_contradict(const brisk_budget *b)
{
    bool two = !isnan(b->warning) && !isnan(b->critical);
    return two && (b->above ? b->warning < b->critical : b->warning > b->critical);
}

static void check_budget(reader *r, const brisk_yaml_node *node, const brisk_budget *b)
{
    bool errors = b->statistic == BRISK_BUDGET_ERROR_RATE;
    bool limited = !isnan(b->warning) || !isnan(b->critical) || !isnan(b->target);
    if (b->name[0] == '\0') {
        refuse(r, node, "a budget needs a name", "");
    } else if ((b->metric[0] == '\0') == (b->stage[0] == '\0')) {
        refuse(r, node, "says either a metric or a stage: budget", b->name);
    } else if (errors != (b->bad[0] != '\0')) {
        refuse(r, node,
               "statistic error_rate and the metric of bad events (bad) go together: budget",
               b->name);
    } else if (!limited && isnan(b->objective) && !b->anomaly) {
        refuse(r, node, "has no target, warning, critical, objective or anomaly: budget", b->name);
    } else if (limits_contradict(b)) {
        refuse(r, node, "critical is reached before warning: budget", b->name);
    } else if (!isnan(b->objective) && !(b->objective > 0.0 && b->objective < 1.0)) {
        refuse(r, node, "objective is between 0 % and 100 %: budget", b->name);
    } else if (!isnan(b->objective) && (b->stage[0] != '\0' || (!errors && !limited))) {
        refuse(r, node, "an objective needs statistic error_rate, or a metric with a limit: budget",
               b->name);
    } else if (b->horizon_ns != 0 && isnan(b->critical) && isnan(b->warning)) {
        refuse(r, node, "a horizon needs a limit that the trend may reach: budget", b->name);
    } else if (b->window_ns < second_ns ||
               b->window_ns > BRISK_BUDGET_WINDOW_S_MAX * second_ns * (b->stage[0] ? 24 : 1)) {
        refuse(r, node, "window is 1s .. 1h (a stage's: .. 24h): budget", b->name);
    } else if (!(b->clear >= 0.0 && b->clear < 1.0)) {
        refuse(r, node, "clear is 0 % .. 100 %: budget", b->name);
    } else if (b->stage[0] != '\0' && (b->label_count != 0 || b->statistic == BRISK_BUDGET_RATE)) {
        refuse(r, node, "a stage has a duration only, and no labels: budget", b->name);
    }
}

static void read_budget(reader *r, const brisk_yaml_node *node, brisk_budget *ret)
{
    static const char *const keys[] = {
        "name",    "metric",   "bad",       "stage",     "workload",       "labels", "target",
        "warning", "critical", "objective", "clear",     "horizon",        "window", "for",
        "repeat",  "anomaly",  "statistic", "direction", "minimum_events", NULL};
    if (node->kind != BRISK_YAML_MAPPING) {
        refuse(r, node, "a budget is a mapping", "");
        return;
    }
    r->err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    const brisk_yaml_node *statistic = brisk_yaml_get(node, "statistic");
    const brisk_yaml_node *direction = brisk_yaml_get(node, "direction");
    const brisk_yaml_node *labels = brisk_yaml_get(node, "labels");
    const brisk_yaml_node *anomaly = brisk_yaml_get(node, "anomaly");
    bool stage = brisk_yaml_get(node, "stage") != NULL;
    *ret = (brisk_budget){.name = "",
                          .metric = "",
                          .bad = "",
                          .stage = "",
                          .workload = "",
                          .statistic = stage ? BRISK_BUDGET_P95 : BRISK_BUDGET_VALUE,
                          .target = (double)NAN,
                          .warning = (double)NAN,
                          .critical = (double)NAN,
                          .objective = (double)NAN,
                          .window_ns = (stage ? 3600 : 60) * second_ns,
                          .min_events = 1,
                          .repeat_ns = 3600 * second_ns,
                          .clear = 0.05,
                          .line = node->line};
    if (statistic != NULL) {
        read_statistic(r, statistic, ret);
    }
    if (direction != NULL) {
        read_direction(r, direction, ret);
    }
    if (labels != NULL) {
        read_labels(r, labels, ret);
    }
    ret->anomaly = anomaly != NULL && flag_of(r, anomaly);
    read_fields(r, node, ret);
    if (r->err == BRISK_OK) {
        check_budget(r, node, ret);
    }
    for (const brisk_budget *other = r->to->items; r->err == BRISK_OK && other < ret; other++) {
        if (strcmp(other->name, ret->name) == 0) {
            refuse(r, node, "another budget has this name:", ret->name);
        }
    }
}

static void read_budgets(reader *r, const brisk_yaml_node *node)
{
    if (node == NULL || node->kind != BRISK_YAML_SEQUENCE || node->count == 0 ||
        node->count > BRISK_BUDGETS_MAX) {
        refuse(r, node != NULL ? node : brisk_yaml_root(r->doc),
               "budgets is to be a list of 1 to 256", "");
        return;
    }
    r->to->items = take(r, node->count, sizeof *r->to->items);
    for (const brisk_yaml_node *at = node->child; at != NULL && r->err == BRISK_OK; at = at->next) {
        read_budget(r, at, &r->to->items[r->to->count]);
        r->to->count += r->err == BRISK_OK ? 1 : 0;
    }
}

/* --- sinks ---------------------------------------------------------------------------------- */

static void read_argv(reader *r, const brisk_yaml_node *node, budget_sink *ret)
{
    if (node->kind != BRISK_YAML_SEQUENCE || node->count == 0 || node->count > BUDGET_ARGS_MAX) {
        refuse(r, node, "exec is a list of the program and its arguments, no shell", "");
        return;
    }
    const char **argv = take(r, node->count + 1, sizeof *argv);
    uint32_t i = 0;
    for (const brisk_yaml_node *at = node->child; argv != NULL && at != NULL; at = at->next) {
        argv[i++] = text_of(r, at);
    }
    ret->argv = argv;
    ret->where = argv != NULL ? argv[0] : "";
}

static bool is_url(const char *text)
{
    return strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0;
}

static void read_sink_mapping(reader *r, const brisk_yaml_node *node, budget_sink *ret)
{
    static const char *const keys[] = {"file",    "exec",   "webhook", "timeout",
                                       "retries", "bearer", NULL};
    r->err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    const brisk_yaml_node *file = brisk_yaml_get(node, "file");
    const brisk_yaml_node *exec = brisk_yaml_get(node, "exec");
    const brisk_yaml_node *webhook = brisk_yaml_get(node, "webhook");
    const brisk_yaml_node *timeout = brisk_yaml_get(node, "timeout");
    const brisk_yaml_node *retries = brisk_yaml_get(node, "retries");
    const brisk_yaml_node *bearer = brisk_yaml_get(node, "bearer");
    uint64_t tries = RETRIES_DEFAULT;
    if ((file != NULL) + (exec != NULL) + (webhook != NULL) != 1) {
        refuse(r, node, "a sink is one of log, file, exec or webhook", "");
        return;
    }
    if (exec != NULL) {
        ret->kind = SINK_EXEC;
        read_argv(r, exec, ret);
    } else {
        ret->kind = file != NULL ? SINK_FILE : SINK_WEBHOOK;
        ret->where = text_of(r, file != NULL ? file : webhook);
    }
    ret->timeout_ns = timeout != NULL ? duration_of(r, timeout) : 10 * second_ns;
    ret->bearer = bearer != NULL ? text_of(r, bearer) : NULL;
    if (r->err == BRISK_OK && retries != NULL &&
        brisk_yaml_u64(r->doc, retries, &tries, r->info) != BRISK_OK) {
        r->err = BRISK_ERR_INVALID;
    }
    ret->retries = (uint32_t)(tries <= RETRIES_MAX ? tries : RETRIES_MAX);
    if (ret->kind == SINK_WEBHOOK && !is_url(ret->where)) {
        refuse(r, node, "a webhook is an http or https address, not", ret->where);
    } else if (ret->timeout_ns == 0 || ret->timeout_ns > 300 * second_ns) {
        refuse(r, node, "timeout is above 0 and at most 5m", "");
    }
}

static void read_sinks(reader *r, const brisk_yaml_node *node)
{
    if (node->kind != BRISK_YAML_SEQUENCE || node->count > BRISK_BUDGET_SINKS_MAX) {
        refuse(r, node, "sinks is to be a list of at most 16", "");
        return;
    }
    for (const brisk_yaml_node *at = node->child; at != NULL && r->err == BRISK_OK; at = at->next) {
        budget_sink *sink = &r->to->sinks[r->to->sink_count++];
        *sink = (budget_sink){.kind = SINK_LOG, .where = ""};
        if (at->kind == BRISK_YAML_MAPPING) {
            read_sink_mapping(r, at, sink);
        } else if (at->text == NULL || strcmp(at->text, "log") != 0) {
            refuse(r, at, "a sink is log, or a mapping with file, exec or webhook", "");
        }
    }
}

/* --- all ------------------------------------------------------------------------------------ */

static void read_all(reader *r)
{
    static const char *const keys[] = {"schema", "sinks", "budgets", NULL};
    const brisk_yaml_node *root = brisk_yaml_root(r->doc);
    uint64_t schema = 1;
    if (root->kind != BRISK_YAML_MAPPING) {
        refuse(r, root, "a mapping with budgets is wanted", "");
        return;
    }
    r->err = brisk_yaml_check_keys(r->doc, root, keys, r->info);
    const brisk_yaml_node *version = brisk_yaml_get(root, "schema");
    const brisk_yaml_node *sinks = brisk_yaml_get(root, "sinks");
    if (r->err == BRISK_OK && version != NULL &&
        brisk_yaml_u64(r->doc, version, &schema, r->info) != BRISK_OK) {
        r->err = BRISK_ERR_INVALID;
    }
    if (schema != 1) {
        refuse(r, version, "this brisk reads schema 1", "");
    }
    if (r->err == BRISK_OK && sinks != NULL) {
        read_sinks(r, sinks);
    }
    if (r->err == BRISK_OK) {
        read_budgets(r, brisk_yaml_get(root, "budgets"));
    }
}

static brisk_err no_memory(const char *name, brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: %s", name,
                             brisk_err_message(BRISK_ERR_NOMEM));
}

// NOLINTNEXTLINE(readability-function-size): the same six things as brisk_yaml_parse
brisk_err brisk_budgets_parse(const char *name, const void *text, size_t size,
                              const brisk_alloc *alloc, brisk_budgets **ret, brisk_errinfo *info)
{
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    if (size > BRISK_BUDGET_FILE_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: larger than %d bytes", name,
                                 BRISK_BUDGET_FILE_MAX);
    }
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse(name, text, size, alloc, &doc, info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_budgets *budgets = alloc->acquire(alloc->ctx, sizeof *budgets, _Alignof(brisk_budgets));
    if (budgets == NULL) {
        brisk_yaml_destroy(doc);
        return no_memory(name, info);
    }
    *budgets = (brisk_budgets){.alloc = alloc};
    reader r = {.to = budgets, .doc = doc, .info = info};
    if (brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 16384, .alloc = alloc},
                           &budgets->arena) != BRISK_OK) {
        r.err = no_memory(name, info);
    } else {
        read_all(&r);
    }
    brisk_yaml_destroy(doc);
    if (r.err != BRISK_OK) {
        brisk_budgets_destroy(budgets);
        return r.err;
    }
    *ret = budgets;
    return BRISK_OK;
}

brisk_err brisk_budgets_load(const char *path, const brisk_alloc *alloc, brisk_budgets **ret,
                             brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(path, BRISK_BUDGET_FILE_MAX, &view, info);
    if (err == BRISK_OK) {
        err = brisk_budgets_parse(path, view.data, view.size, alloc, ret, info);
        brisk_file_view_close(&view);
    }
    return err;
}

void brisk_budgets_destroy(brisk_budgets *budgets)
{
    if (budgets != NULL) {
        const brisk_alloc *alloc = budgets->alloc;
        brisk_arena_destroy(budgets->arena);
        alloc->release(alloc->ctx, budgets, sizeof *budgets, _Alignof(brisk_budgets));
    }
}

uint32_t brisk_budgets_count(const brisk_budgets *budgets)
{
    return budgets->count;
}

const brisk_budget *brisk_budgets_at(const brisk_budgets *budgets, uint32_t index)
{
    return &budgets->items[index];
}
