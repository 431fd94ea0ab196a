/*
 * input.c -- metrics from a JSON file, as `brisk metrics --json` and brisk_expose_json write it.
 *
 * The file may come from anywhere: bounds, kinds and numbers are checked, what is unknown is left out.
 *
 * Threads: none of its own.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/yaml.h>

#include "observe/budget/command.h"

enum { LABELS_MAX = 64 };

typedef struct input {
    const char *name;
    brisk_arena *arena;
    brisk_errinfo *info;
    brisk_err err;
} input;

static void refuse(input *in, const brisk_yaml_node *node, const char *words)
{
    if (in->err == BRISK_OK) {
        in->err = brisk_errinfo_set(in->info, BRISK_ERR_INVALID, "%s:%u: %s", in->name,
                                    node != NULL ? node->line : 1, words);
    }
}

static void no_memory(input *in)
{
    if (in->err == BRISK_OK) {
        in->err = brisk_errinfo_set(in->info, BRISK_ERR_NOMEM, "%s: %s", in->name,
                                    brisk_err_message(BRISK_ERR_NOMEM));
    }
}

static const char *copy_of(input *in, const char *text)
{
    const char *copy = brisk_arena_copy(in->arena, text, strlen(text));
    if (copy == NULL) {
        no_memory(in);
        return "";
    }
    return copy;
}

/* A member that is a number; NaN when it is missing or null. */
static double number_of(input *in, const brisk_yaml_node *object, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(object, key);
    char *end = NULL;
    if (node == NULL || (node->text != NULL && strcmp(node->text, "null") == 0)) {
        return (double)NAN;
    }
    bool plain = node->text != NULL && !node->quoted && node->text[0] != '\0' &&
                 node->text[strspn(node->text, "0123456789+-.eE")] == '\0';
    double value = plain ? strtod(node->text, &end) : 0.0;
    if (!plain || *end != '\0' || !isfinite(value)) {
        refuse(in, node, "a number is wanted");
        return (double)NAN;
    }
    return value;
}

static uint64_t whole_of(input *in, const brisk_yaml_node *object, const char *key)
{
    double value = number_of(in, object, key);
    return value > 0.0 && value < 1.8e19 ? (uint64_t)value : 0;
}

static const char *text_of(const brisk_yaml_node *object, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(object, key);
    return node != NULL && node->text != NULL ? node->text : "";
}

static void read_labels(input *in, const brisk_yaml_node *node, brisk_metric_value *ret)
{
    if (node == NULL) {
        return;
    }
    if (node->kind != BRISK_YAML_MAPPING || node->count > LABELS_MAX) {
        refuse(in, node, "labels are an object of at most 64 members");
        return;
    }
    brisk_label *labels = brisk_arena_calloc(in->arena, node->count + 1, sizeof *labels);
    if (labels == NULL) {
        no_memory(in);
        return;
    }
    uint32_t i = 0;
    for (const brisk_yaml_node *at = node->child; at != NULL && in->err == BRISK_OK;
         at = at->next) {
        if (at->text == NULL) {
            refuse(in, at, "a label's value is a text");
            return;
        }
        labels[i++] = (brisk_label){.name = copy_of(in, at->key), .value = copy_of(in, at->text)};
    }
    ret->labels = labels;
    ret->label_count = i;
}

static void read_rates(input *in, const brisk_yaml_node *node, brisk_metric_value *ret)
{
    uint32_t i = 0;
    for (uint32_t w = 0; w < BRISK_METRIC_WINDOWS; w++) {
        ret->rates[w] = (double)NAN;
    }
    if (node == NULL || node->kind == BRISK_YAML_SCALAR) {
        return;
    }
    for (const brisk_yaml_node *at = node->child; at != NULL && i < BRISK_METRIC_WINDOWS;
         at = at->next) {
        char *end = NULL;
        double rate = at->text != NULL ? strtod(at->text, &end) : (double)NAN;
        ret->rates[i++] = end != NULL && end != at->text && *end == '\0' ? rate : (double)NAN;
    }
    (void)in;
}

static void read_kind(input *in, const brisk_yaml_node *node, brisk_metric_value *ret)
{
    const char *kind = text_of(node, "kind");
    const char *unit = text_of(node, "unit");
    bool known = false;
    for (int k = BRISK_METRIC_COUNTER; k <= BRISK_METRIC_HISTOGRAM; k++) {
        if (strcmp(kind, brisk_metric_kind_name((brisk_metric_kind)k)) == 0) {
            ret->kind = (brisk_metric_kind)k;
            known = true;
        }
    }
    for (int u = BRISK_UNIT_NONE; u <= BRISK_UNIT_HERTZ; u++) {
        if (strcmp(unit, brisk_unit_name((brisk_unit)u)) == 0) {
            ret->unit = (brisk_unit)u;
        }
    }
    if (!known) {
        refuse(in, node, "kind is counter, gauge or histogram");
    }
}

static void read_metric(input *in, const brisk_yaml_node *node, brisk_metric_value *ret)
{
    if (node->kind != BRISK_YAML_MAPPING || text_of(node, "name")[0] == '\0') {
        refuse(in, node, "a metric is an object with a name");
        return;
    }
    *ret = (brisk_metric_value){.name = copy_of(in, text_of(node, "name")), .help = ""};
    read_kind(in, node, ret);
    read_labels(in, brisk_yaml_get(node, "labels"), ret);
    read_rates(in, brisk_yaml_get(node, "rates"), ret);
    ret->count = whole_of(in, node, "count");
    ret->value =
        ret->kind == BRISK_METRIC_GAUGE ? number_of(in, node, "value") : (double)ret->count;
    if (ret->kind == BRISK_METRIC_HISTOGRAM) {
        ret->min = whole_of(in, node, "min");
        ret->p50 = whole_of(in, node, "p50");
        ret->p95 = whole_of(in, node, "p95");
        ret->p99 = whole_of(in, node, "p99");
        ret->p999 = whole_of(in, node, "p999");
        ret->max = whole_of(in, node, "max");
        ret->mean = number_of(in, node, "mean");
        ret->sum = number_of(in, node, "sum");
        ret->sum = isnan(ret->sum) ? 0.0 : ret->sum;
    }
}

static void read_list(input *in, const brisk_yaml_node *list, budget_values *ret)
{
    if (list == NULL || list->kind != BRISK_YAML_SEQUENCE || list->count > BUDGET_SERIES_MAX) {
        refuse(in, list,
               "an object with a list \"metrics\" is wanted, as `brisk metrics --json` writes it");
        return;
    }
    brisk_metric_value *items = brisk_arena_calloc(in->arena, list->count + 1, sizeof *items);
    if (items == NULL) {
        no_memory(in);
        return;
    }
    uint32_t count = 0;
    for (const brisk_yaml_node *at = list->child; at != NULL && in->err == BRISK_OK;
         at = at->next) {
        read_metric(in, at, &items[count++]);
    }
    *ret = (budget_values){.items = items, .count = count};
}

// NOLINTNEXTLINE(readability-function-size): the same six things as brisk_yaml_parse
brisk_err budget_parse_metrics(const char *name, const void *text, size_t size, brisk_arena *arena,
                               budget_values *ret, brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse(name, text, size, NULL, &doc, info);
    if (err != BRISK_OK) {
        return err;
    }
    input in = {.name = name, .arena = arena, .info = info};
    budget_values values = {0};
    read_list(&in, brisk_yaml_get(brisk_yaml_root(doc), "metrics"), &values);
    brisk_yaml_destroy(doc);
    if (in.err == BRISK_OK) {
        *ret = values;
    }
    return in.err;
}

brisk_err budget_read_metrics(const char *path, brisk_arena *arena, budget_values *ret,
                              brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(path, BUDGET_INPUT_MAX, &view, info);
    if (err == BRISK_OK) {
        err = budget_parse_metrics(path, view.data, view.size, arena, ret, info);
        brisk_file_view_close(&view);
    }
    return err;
}
