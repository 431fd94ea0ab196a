/*
 * jobs_setup.c -- serve.workloads: weights, quotas, classes.
 *
 *     [{name: pkg, weight: 2, quota: 4, class: interactive}]
 *
 * The workloads that are named keep their places for the node's life; others get weight 1 with their first job.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include <brisk/yaml.h>

static brisk_err wrong(const brisk_yaml_doc *doc, const brisk_yaml_node *node, brisk_errinfo *info,
                       const char *what)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: %s", brisk_yaml_name(doc), node->line,
                             what);
}

static brisk_err read_number(const brisk_yaml_doc *doc, const brisk_yaml_node *item,
                             const char *key, uint64_t max, uint32_t *ret, brisk_errinfo *info)
{
    const brisk_yaml_node *node = brisk_yaml_get(item, key);
    uint64_t number;
    if (node == NULL) {
        return BRISK_OK;
    }
    brisk_err err = brisk_yaml_u64(doc, node, &number, info);
    if (err == BRISK_OK && (number > max || (number == 0 && strcmp(key, "weight") == 0))) {
        return wrong(doc, node, info, "a weight is from 1 to 1000, a quota up to 1000");
    }
    if (err == BRISK_OK) {
        *ret = (uint32_t)number;
    }
    return err;
}

static brisk_err add_workload(jobs_table *j, const brisk_yaml_doc *doc, const brisk_yaml_node *item,
                              brisk_errinfo *info)
{
    static const char *const keys[] = {"name", "weight", "quota", "class", NULL};
    queue_workload_opts opts = {.weight = 1};
    if (item->kind != BRISK_YAML_MAPPING) {
        return wrong(doc, item, info, "{name: ...} is expected");
    }
    const brisk_yaml_node *name = brisk_yaml_get(item, "name");
    const brisk_yaml_node *class = brisk_yaml_get(item, "class");
    brisk_err err = brisk_yaml_check_keys(doc, item, keys, info);
    err = err == BRISK_OK ? read_number(doc, item, "weight", QUEUE_WEIGHT_MAX, &opts.weight, info)
                          : err;
    err = err == BRISK_OK ? read_number(doc, item, "quota", 1000, &opts.quota, info) : err;
    if (err != BRISK_OK) {
        return err;
    }
    if (name == NULL || name->text == NULL || name->text[0] == '\0' ||
        strlen(name->text) >= JOBS_NAME_MAX) {
        return wrong(doc, item, info, "a workload has a name");
    }
    if (class != NULL && (class->text == NULL ||
                          !queue_class_parse(class->text, strlen(class->text), &opts.class))) {
        return wrong(doc, class, info, "class is interactive, batch or idle");
    }
    size_t size = strlen(name->text) + 1;
    char *copy = j->names_used + size <= sizeof j->names ? j->names + j->names_used : NULL;
    if (copy == NULL) {
        return wrong(doc, item, info, "too many workloads");
    }
    memcpy(copy, name->text, size);
    j->names_used += size;
    opts.name = copy;
    uint32_t index;
    err = queue_add_workload(j->queue, &opts, &index);
    return err == BRISK_OK ? err
                           : wrong(doc, item, info,
                                   err == BRISK_ERR_CONFLICT ? "this workload stands here twice"
                                                             : "too many workloads");
}

brisk_err jobs_setup_workloads(jobs_table *j, const brisk_yaml_doc *doc, brisk_errinfo *info)
{
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    brisk_err err = BRISK_OK;
    if (root->kind != BRISK_YAML_SEQUENCE && root->count > 0) {
        return wrong(doc, root, info, "a list is expected: [{name: ..., weight: 2}]");
    }
    for (const brisk_yaml_node *item = root->child; item != NULL && err == BRISK_OK;
         item = item->next) {
        err = add_workload(j, doc, item, info);
    }
    return err;
}

brisk_err jobs_read_knobs(const brisk_knobs *knobs, char paths[4096], jobs_opts *ret,
                          brisk_yaml_doc **ret_workloads, brisk_errinfo *info)
{
    brisk_err err = brisk_knobs_yaml(knobs, "serve.workloads", NULL, ret_workloads, info);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_knobs_text(knobs, "serve.jobs.paths", paths, 4096);
    *ret = (jobs_opts){
        .workloads = *ret_workloads,
        .paths = paths,
        .running = (uint32_t)brisk_knobs_u64(knobs, "serve.jobs.running"),
        .waiting = (uint32_t)brisk_knobs_u64(knobs, "serve.jobs.queue"),
        .client_running = (uint32_t)brisk_knobs_u64(knobs, "serve.jobs.client_running"),
        .client_waiting = (uint32_t)brisk_knobs_u64(knobs, "serve.jobs.client_queue"),
        .kept = (uint32_t)brisk_knobs_u64(knobs, "serve.jobs.kept"),
        .kept_bytes = brisk_knobs_u64(knobs, "serve.jobs.kept_bytes"),
        .kept_ns = brisk_knobs_u64(knobs, "serve.jobs.kept_for"),
        .body_max = brisk_knobs_u64(knobs, "serve.jobs.body_max"),
        .drain_ns = brisk_knobs_u64(knobs, "serve.jobs.drain"),
    };
    return BRISK_OK;
}
