/*
 * cmd_check.c -- `brisk pkg check [LOCK]`: is every dependency in a lock satisfied by what node
 * finds from where it is asked for, and does the lock say of the project what package.json says?
 */
#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/project.h"
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

/* --- beside package.json ------------------------------------------------------------------- */

/* A dependency of the project of which package.json and lock say different things. */
typedef struct change {
    const pkg_dep *asked;  /* in package.json; NULL: no more */
    const pkg_dep *locked; /* in the lock; NULL: not yet */
} change;

typedef struct changes {
    bool compared; /* there is a package.json beside the lock */
    change *items;
    uint32_t count;
} changes;

/* The folder of `path`, in the arena; NULL: out of memory. */
static const char *folder_of(brisk_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? brisk_arena_copy(arena, ".", 1)
                         : brisk_arena_copy(arena, path, (size_t)(slash - path) + 1);
}

static int compare_deps(const pkg_dep *x, const pkg_dep *y)
{
    int order = pkg_text_compare(x->name, y->name);
    return order != 0 ? order : (int)x->kind - (int)y->kind;
}

static const pkg_dep *next_dep(const pkg_manifest *m, uint32_t *at)
{
    while (*at < m->dep_count && m->deps[*at].kind == PKG_DEP_WORKSPACE) {
        (*at)++;
    }
    return *at < m->dep_count ? &m->deps[*at] : NULL;
}

static brisk_err merge(const pkg_manifest *asked, const pkg_manifest *locked, brisk_arena *arena,
                       changes *ret)
{
    size_t most = (size_t)asked->dep_count + locked->dep_count + 1;
    ret->items = brisk_arena_calloc(arena, most, sizeof *ret->items);
    if (ret->items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t i = 0;
    uint32_t j = 0;
    for (;;) {
        const pkg_dep *x = next_dep(asked, &i);
        const pkg_dep *y = next_dep(locked, &j);
        if (x == NULL && y == NULL) {
            return BRISK_OK;
        }
        int order = x == NULL ? 1 : y == NULL ? -1 : compare_deps(x, y);
        bool same = order == 0 && pkg_text_equal(x->spec, y->spec);
        if (!same) {
            ret->items[ret->count++] =
                (change){.asked = order <= 0 ? x : NULL, .locked = order >= 0 ? y : NULL};
        }
        i += order <= 0;
        j += order >= 0;
    }
}

/* Errors with `info`: those of pkg_project_read, but that there is no package.json. */
static brisk_err compare_project(pkg_lockfile *file, changes *ret, brisk_errinfo *info)
{
    pkg_project project;
    const char *folder = folder_of(file->arena, file->path);
    if (folder == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    brisk_err err = pkg_project_read(folder, file->arena, &project, info);
    if (err == BRISK_ERR_NOT_FOUND) {
        return BRISK_OK;
    }
    if (err != BRISK_OK) {
        return err;
    }
    ret->compared = true;
    err = merge(project.manifest, file->tree.root->manifest, file->arena, ret);
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

static void print_changes(FILE *out, const changes *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const change *c = &all->items[i];
        const pkg_dep *dep = c->asked != NULL ? c->asked : c->locked;
        (void)fprintf(out, "  package.json asks for %s", pkg_kind_word(dep->kind));
        pkg_put(out, dep->name);
        if (c->asked != NULL) {
            (void)fputc(' ', out);
            pkg_put(out, c->asked->spec);
            (void)fputs(c->locked != NULL ? ", the lock says " : ", the lock does not", out);
            pkg_put(out, c->locked != NULL ? c->locked->spec : (pkg_text){0});
        } else {
            (void)fputs(" no more", out);
        }
        (void)fputc('\n', out);
    }
}

static void json_changes(brisk_json *json, const changes *all)
{
    brisk_json_bool(json, "manifest_compared", all->compared);
    brisk_json_array_begin(json, "out_of_date");
    for (uint32_t i = 0; i < all->count; i++) {
        const change *c = &all->items[i];
        const pkg_dep *dep = c->asked != NULL ? c->asked : c->locked;
        brisk_json_object_begin(json, NULL);
        pkg_json_put(json, "name", dep->name);
        brisk_json_str(json, "kind", pkg_kind_name(dep->kind));
        if (c->asked != NULL) {
            pkg_json_put(json, "manifest", c->asked->spec);
        }
        if (c->locked != NULL) {
            pkg_json_put(json, "lock", c->locked->spec);
        }
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

/* --- telling ------------------------------------------------------------------------------- */

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

static void print_text(FILE *out, const pkg_lockfile *file, const counts *c, const changes *all)
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
    print_changes(out, all);
    for (uint32_t i = 0; i < file->tree.count; i++) {
        const pkg_node *node = file->tree.nodes[i];
        if (node != NULL && is_unneeded(node)) {
            (void)fputs("  nothing needs ", out);
            pkg_put_path(out, node);
            (void)fputc('\n', out);
        }
    }
}

static brisk_exit print_json(const brisk_invocation *in, const pkg_lockfile *file, const counts *c,
                             const changes *all)
{
    brisk_json json;
    uint32_t bad = c->missing + c->invalid + all->count;
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
    json_changes(&json, all);
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
    changes all = {0};
    brisk_exit exit;
    if (compare_project(&file, &all, &info) != BRISK_OK) {
        exit = pkg_fail(in, &info);
    } else if (in->values[OPTION_JSON].set) {
        exit = print_json(in, &file, &c, &all);
    } else {
        print_text(in->out, &file, &c, &all);
        exit = c.missing + c.invalid + all.count == 0 ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
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
        "Packages that nothing needs are named, too. Where a package.json lies beside the lock, "
        "the "
        "dependencies it declares must be those the lock has of the project.\n\n"
        "LOCK is a package-lock.json of npm 7 or later (version 2 or 3) or a folder with one; "
        "without it the current folder's is taken. The lock is read strictly: what cannot be is "
        "refused with its line. The exit code is 1 when a dependency is not satisfied or "
        "package.json "
        "says something else.",
    .examples = "brisk pkg check\tcheck the lock of this folder\n"
                "brisk pkg check --json old/package-lock.json\tanother one, for scripts\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
