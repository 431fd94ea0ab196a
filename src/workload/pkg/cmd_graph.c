/*
 * cmd_graph.c -- `brisk pkg graph [LOCK]`: the dependency graph as a picture.
 *
 * A file is written beside its target and renamed, so that a page that is open is never half of
 * one.
 */
#include "workload/pkg/commands.h"
#include "workload/pkg/graph.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/report.h"

enum { OPTION_HTML, OPTION_SVG, OPTION_DOT, OPTION_JSON, OPTION_PROD, OPTION_OUTPUT, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_HTML] = {.name = "html", .summary = "a page to zoom and search in; the default"},
    [OPTION_SVG] = {.name = "svg", .summary = "a picture for any viewer"},
    [OPTION_DOT] = {.name = "dot", .summary = "text for Graphviz"},
    [OPTION_JSON] = {.name = "json", .summary = "points and lines as one JSON object"},
    [OPTION_PROD] = {.name = "prod", .summary = "without what only development needs"},
    [OPTION_OUTPUT] = {.name = "output",
                       .letter = 'o',
                       .type = BRISK_OPTION_FILE,
                       .metavar = "FILE",
                       .summary = "write there; default: standard output"},
};

static brisk_err write_fd(void *ctx, const char *data, size_t size)
{
    return brisk_file_write_all(*(const int *)ctx, data, size);
}

static brisk_err write_to(const brisk_invocation *in, const pkg_graph *graph, brisk_out out)
{
    if (in->values[OPTION_SVG].set) {
        return pkg_graph_write_svg(graph, out);
    }
    if (in->values[OPTION_JSON].set) {
        return pkg_graph_write_json(graph, out);
    }
    return in->values[OPTION_DOT].set ? pkg_graph_write_dot(graph, out)
                                      : pkg_graph_write_html(graph, out);
}

static brisk_err write_file(const brisk_invocation *in, const pkg_graph *graph, const char *path,
                            brisk_errinfo *info)
{
    brisk_file_replace *replace;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, info);
    if (err != BRISK_OK) {
        return err;
    }
    int fd = brisk_file_replace_fd(replace);
    err = write_to(in, graph, (brisk_out){.write = write_fd, .ctx = &fd});
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(replace, false, info);
}

static brisk_err draw(const brisk_invocation *in, pkg_lockfile *file, brisk_errinfo *info)
{
    pkg_graph graph;
    brisk_err err = pkg_graph_make(&file->tree, in->values[OPTION_PROD].set, file->arena, &graph);
    if (err == BRISK_OK && in->values[OPTION_OUTPUT].set) {
        return write_file(in, &graph, in->values[OPTION_OUTPUT].text, info);
    }
    if (err == BRISK_OK) {
        err = write_to(in, &graph, brisk_out_file(in->out));
    }
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

static brisk_exit run(const brisk_invocation *in)
{
    int forms = in->values[OPTION_HTML].set + in->values[OPTION_SVG].set +
                in->values[OPTION_DOT].set + in->values[OPTION_JSON].set;
    if (forms > 1) {
        (void)fputs("brisk: one of --html, --svg, --dot and --json is enough\n", in->err);
        return BRISK_EXIT_USAGE;
    }
    pkg_lockfile file;
    brisk_errinfo info = {0};
    if (pkg_lockfile_open(in->argc > 0 ? in->argv[0] : NULL, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    brisk_err err = draw(in, &file, &info);
    pkg_lockfile_close(&file);
    return err == BRISK_OK ? BRISK_EXIT_OK : pkg_fail(in, &info);
}

const brisk_command pkg_cmd_graph = {
    .name = "graph",
    .group = "Packages",
    .synopsis = "[LOCK]",
    .summary = "draw the dependency graph as a page, a picture or text for Graphviz",
    .description =
        "The project is in the middle, what it asks for stands around it, and every other package "
        "behind the one through which it is reached on the shortest way: each direct dependency "
        "has a sector of its own. Places of one package in one version are one point. Colours say "
        "what it is there for: prod, dev, optional, peer; an orange ring marks a package that is "
        "here in several versions, a dashed line a dependency that is not satisfied.\n\n"
        "The page (--html) is one file that loads nothing and works without a network: wheel or "
        "+ and - zoom, dragging moves, / searches, a point under the mouse shows the way to it, "
        "who needs it and what it needs, a click keeps that. The same lock gives the same bytes. "
        "LOCK is as for check.",
    .examples = "brisk pkg graph -o graph.html\tdraw the lock of this folder\n"
                "brisk pkg graph --svg --prod > graph.svg\ta picture of what is needed to run\n"
                "brisk pkg graph --dot | dot -Tpdf > graph.pdf\tby Graphviz\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
