/*
 * cmd_check.c -- `brisk pkg check [LOCK]`: is every dependency in a lock satisfied by what node
 * finds from where it is asked for?
 */
#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/report.h"

enum { OPTION_JSON, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

typedef struct counts {
    uint32_t packages;
    uint32_t edges;
    uint32_t missing;
    uint32_t invalid;
    uint32_t absent; /* optional ones that are not there: no problem */
    uint32_t unneeded;
} counts;

/* Is it a folder of node_modules, and no link? */
static bool is_package(const pkg_node *node)
{
    return node->parent != NULL && (node->flags & PKG_NODE_LINK) == 0;
}

static bool is_unneeded(const pkg_node *node)
{
    return is_package(node) && (node->flags & PKG_NODE_EXTRANEOUS) != 0;
}

static counts count(const pkg_tree *tree)
{
    counts c = {0};
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        if (node == NULL) {
            continue;
        }
        c.packages += is_package(node);
        c.unneeded += is_unneeded(node);
        c.edges += node->edge_count;
        for (uint32_t j = 0; j < node->edge_count; j++) {
            const pkg_edge *edge = &node->edges[j];
            bool missing = edge->state == PKG_EDGE_MISSING;
            c.absent += missing && pkg_edge_is_fine(edge);
            c.missing += missing && !pkg_edge_is_fine(edge);
            c.invalid += !missing && !pkg_edge_is_fine(edge);
        }
    }
    return c;
}

static void print_edge(FILE *out, const pkg_edge *edge)
{
    (void)fputs("  ", out);
    pkg_put_path(out, edge->from);
    (void)fprintf(out, " wants %s", pkg_kind_word(edge->dep->kind));
    pkg_put(out, edge->dep->name);
    (void)fputc(' ', out);
    pkg_put(out, edge->spec.size > 0 ? edge->spec : PKG_TEXT("*"));
    if (edge->state == PKG_EDGE_MISSING) {
        (void)fputs(", finds nothing\n", out);
        return;
    }
    (void)fputs(edge->state == PKG_EDGE_PEER_LOCAL ? ", has it inside itself: " : ", finds ", out);
    pkg_put_node(out, edge->to);
    (void)fputs(" in ", out);
    pkg_put_path(out, edge->to);
    (void)fputc('\n', out);
}

static void json_edge(brisk_json *json, const pkg_edge *edge)
{
    brisk_json_object_begin(json, NULL);
    brisk_json_str(json, "state", pkg_state_name(edge->state));
    pkg_json_put(json, "from", edge->from->path);
    pkg_json_put(json, "name", edge->dep->name);
    pkg_json_edge(json, edge);
    if (edge->to != NULL) {
        brisk_json_object_begin(json, "found");
        pkg_json_node(json, edge->to);
        brisk_json_object_end(json);
    } else {
        brisk_json_null(json, "found");
    }
    brisk_json_object_end(json);
}

/* Each problem, to the one or the other. */
static void each_problem(const pkg_tree *tree, FILE *out, brisk_json *json)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        for (uint32_t j = 0; node != NULL && j < node->edge_count; j++) {
            if (pkg_edge_is_fine(&node->edges[j])) {
                continue;
            }
            if (json != NULL) {
                json_edge(json, &node->edges[j]);
            } else {
                print_edge(out, &node->edges[j]);
            }
        }
    }
}

static void print_text(FILE *out, const pkg_lockfile *file, const counts *c)
{
    uint32_t bad = c->missing + c->invalid;
    pkg_put(out, pkg_text_of(file->path));
    (void)fprintf(out, ": %u packages, %u dependencies, ", c->packages, c->edges);
    if (bad == 0) {
        (void)fputs("all satisfied\n", out);
    } else {
        (void)fprintf(out, "%u not satisfied\n", bad);
        each_problem(&file->tree, out, NULL);
    }
    for (uint32_t i = 0; i < file->tree.count; i++) {
        const pkg_node *node = file->tree.nodes[i];
        if (node != NULL && is_unneeded(node)) {
            (void)fputs("  nothing needs ", out);
            pkg_put_path(out, node);
            (void)fputc('\n', out);
        }
    }
}

static brisk_exit print_json(const brisk_invocation *in, const pkg_lockfile *file, const counts *c)
{
    brisk_json json;
    uint32_t bad = c->missing + c->invalid;
    pkg_json_begin(&json, in, file->path);
    brisk_json_bool(&json, "ok", bad == 0);
    brisk_json_u64(&json, "packages", c->packages);
    brisk_json_u64(&json, "dependencies", c->edges);
    brisk_json_u64(&json, "missing", c->missing);
    brisk_json_u64(&json, "invalid", c->invalid);
    brisk_json_u64(&json, "optional_absent", c->absent);
    brisk_json_array_begin(&json, "problems");
    each_problem(&file->tree, NULL, &json);
    brisk_json_array_end(&json);
    brisk_json_array_begin(&json, "extraneous");
    for (uint32_t i = 0; i < file->tree.count; i++) {
        const pkg_node *node = file->tree.nodes[i];
        if (node != NULL && is_unneeded(node)) {
            pkg_json_put(&json, NULL, node->path);
        }
    }
    brisk_json_array_end(&json);
    return pkg_json_end(&json, bad == 0 ? BRISK_EXIT_OK : BRISK_EXIT_FAILED);
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile file;
    brisk_errinfo info = {0};
    if (pkg_lockfile_open(in->argc > 0 ? in->argv[0] : NULL, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    counts c = count(&file.tree);
    brisk_exit exit = c.missing + c.invalid == 0 ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
    if (in->values[OPTION_JSON].set) {
        exit = print_json(in, &file, &c);
    } else {
        print_text(in->out, &file, &c);
    }
    pkg_lockfile_close(&file);
    return exit;
}

const brisk_command pkg_cmd_check = {
    .name = "check",
    .group = "Packages",
    .synopsis = "[LOCK]",
    .summary = "check that every dependency in a lock is satisfied",
    .description =
        "Looks up every dependency of every package as node does: in the package's own "
        "node_modules, then in those above it. One that finds nothing, or a version it does not "
        "accept, is told with the path it starts from. An optional one that is not there is no "
        "problem; a peer that a package brings itself is one, because others do not see it. "
        "Packages that nothing needs are named, too.\n\n"
        "LOCK is a package-lock.json of npm 7 or later (version 2 or 3) or a folder with one; "
        "without it the current folder's is taken. The lock is read strictly: what cannot be is "
        "refused with its line. The exit code is 1 when a dependency is not satisfied.",
    .examples = "brisk pkg check\tcheck the lock of this folder\n"
                "brisk pkg check --json old/package-lock.json\tanother one, for scripts\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
