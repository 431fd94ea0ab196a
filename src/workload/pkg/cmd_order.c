/*
 * cmd_order.c -- `brisk pkg order [LOCK]`: in which order packages can be installed.
 */
#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/order.h"
#include "workload/pkg/report.h"

enum { OPTION_ALL, OPTION_JSON, OPTION_COUNT, SHOWN_MAX = 6 };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_ALL] = {.name = "all", .letter = 'a', .summary = "every package of every group"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

static uint32_t group_end(const pkg_order *order, uint32_t begin)
{
    uint32_t end = begin;
    while (end < order->count && order->steps[end].group == order->steps[begin].group) {
        end++;
    }
    return end;
}

static void print_step(FILE *out, const pkg_order_step *step)
{
    for (uint32_t i = 0; i < step->count; i++) {
        if (step->count > 1) {
            (void)fputs(i == 0 ? "(" : " + ", out);
        }
        pkg_put_node(out, step->nodes[i]);
    }
    if (step->count > 1) {
        (void)fputs(", a circle)", out);
    }
}

static void print_groups(FILE *out, const pkg_order *order, bool all)
{
    for (uint32_t begin = 0; begin < order->count;) {
        uint32_t end = group_end(order, begin);
        (void)fprintf(out, "%4u  %u at once: ", order->steps[begin].group + 1, end - begin);
        for (uint32_t i = begin; i < end; i++) {
            if (!all && i == begin + SHOWN_MAX) {
                (void)fprintf(out, ", and %u more", end - i);
                break;
            }
            (void)fputs(i == begin ? "" : ", ", out);
            print_step(out, &order->steps[i]);
        }
        (void)fputc('\n', out);
        begin = end;
    }
}

/* The heaviest way, from what comes first. */
static void print_critical(FILE *out, const pkg_order *order, uint32_t *way)
{
    uint32_t length = 0;
    for (uint32_t i = order->critical; i != UINT32_MAX; i = order->steps[i].before) {
        way[length++] = i;
    }
    (void)fprintf(out, "critical path, %u packages one after the other:\n  ",
                  order->steps[order->critical].weight);
    for (uint32_t i = length; i > 0; i--) {
        print_step(out, &order->steps[way[i - 1]]);
        (void)fputs(i > 1 ? " > " : "\n", out);
    }
}

static void print_text(FILE *out, const pkg_lockfile *file, const pkg_order *order, bool all)
{
    uint32_t *way = brisk_arena_alloc(file->arena, (order->count + 1) * sizeof *way);
    pkg_put(out, pkg_text_of(file->path));
    (void)fprintf(out, ": %u packages in %u groups, at most %u at once", order->packages,
                  order->group_count, order->widest);
    (void)fprintf(out, order->circles > 0 ? ", %u circle%s\n" : "\n", order->circles,
                  order->circles == 1 ? "" : "s");
    print_groups(out, order, all);
    if (order->count > 0 && way != NULL) {
        print_critical(out, order, way);
    }
}

static void json_step(brisk_json *json, const pkg_order_step *step)
{
    brisk_json_array_begin(json, NULL);
    for (uint32_t i = 0; i < step->count; i++) {
        brisk_json_object_begin(json, NULL);
        pkg_json_node(json, step->nodes[i]);
        brisk_json_bool(json, "install_script",
                        (step->nodes[i]->manifest->flags & PKG_HAS_INSTALL_SCRIPT) != 0);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static brisk_exit print_json(const brisk_invocation *in, const pkg_lockfile *file,
                             const pkg_order *order)
{
    brisk_json json;
    pkg_json_begin(&json, in, file->path);
    brisk_json_u64(&json, "packages", order->packages);
    brisk_json_u64(&json, "widest", order->widest);
    brisk_json_u64(&json, "circles", order->circles);
    brisk_json_str(&json, "weights", "each package 1");
    brisk_json_array_begin(&json, "groups");
    for (uint32_t begin = 0; begin < order->count;) {
        uint32_t end = group_end(order, begin);
        brisk_json_array_begin(&json, NULL);
        for (uint32_t i = begin; i < end; i++) {
            json_step(&json, &order->steps[i]);
        }
        brisk_json_array_end(&json);
        begin = end;
    }
    brisk_json_array_end(&json);
    brisk_json_array_begin(&json, "critical_path_from_its_end");
    for (uint32_t i = order->critical; i != UINT32_MAX; i = order->steps[i].before) {
        json_step(&json, &order->steps[i]);
    }
    brisk_json_array_end(&json);
    return pkg_json_end(&json, BRISK_EXIT_OK);
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile file;
    pkg_order order;
    brisk_errinfo info = {0};
    if (pkg_lockfile_open(in->argc > 0 ? in->argv[0] : NULL, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    brisk_exit exit = BRISK_EXIT_OK;
    brisk_err err = pkg_order_make(&file.tree, file.arena, &order);
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(&info, err, "%s", brisk_err_message(err));
        exit = pkg_fail(in, &info);
    } else if (in->values[OPTION_JSON].set) {
        exit = print_json(in, &file, &order);
    } else {
        print_text(in->out, &file, &order, in->values[OPTION_ALL].set);
    }
    pkg_lockfile_close(&file);
    return exit;
}

const brisk_command pkg_cmd_order = {
    .name = "order",
    .group = "Packages",
    .synopsis = "[LOCK]",
    .summary = "show in which order packages can be installed, and what at once",
    .description =
        "Puts the packages of a lock into groups: everything a package needs lies in groups "
        "before its own, so that the packages of one group can be installed at the same time. "
        "Packages that need each other in a circle are one step. The critical path is the longest "
        "row of packages that must come one after the other: more hands do not make it shorter.\n\n"
        "Every package weighs the same, because a lock says nothing of sizes and times; packages "
        "with an install script, which take longer, are marked in --json. LOCK is as for check.",
    .examples = "brisk pkg order\tgroups and critical path\n"
                "brisk pkg order --json | jq '.groups | length'\thow many groups\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
