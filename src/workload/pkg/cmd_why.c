/*
 * cmd_why.c -- `brisk pkg why NAME`: who needs this package, and who needs those, up to the
 * project.
 */
#include "workload/pkg/ask.h"
#include "workload/pkg/chains.h"
#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/report.h"

enum { OPTION_LOCK, OPTION_LIMIT, OPTION_JSON, OPTION_COUNT, LIMIT_DEFAULT = 5, LIMIT_MAX = 1000 };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_LOCK] = {.name = "lock",
                     .letter = 'l',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = "the lock, or a folder with one; default: this folder's"},
    [OPTION_LIMIT] = {.name = "limit",
                      .letter = 'n',
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "ways shown for each place; default 5"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

typedef struct answer {
    const pkg_lockfile *file;
    pkg_ask ask;
    pkg_found found;
    const uint32_t *distances;
    uint32_t limit;
} answer;

/* project > dev vite 8.3.4 (^8.3.4) > lodash (^4.17.14) */
static void print_chain(FILE *out, const pkg_chain *chain)
{
    (void)fputs("  ", out);
    pkg_put_node(out, chain->edges[0]->from);
    for (uint32_t i = 0; i < chain->length; i++) {
        const pkg_edge *edge = chain->edges[i];
        (void)fprintf(out, " > %s", pkg_kind_word(edge->dep->kind));
        if (i + 1 < chain->length) {
            pkg_put_node(out, chain->edges[i + 1]->from);
        } else {
            pkg_put(out, edge->dep->name);
        }
        (void)fputs(" (", out);
        pkg_put(out, edge->spec.size > 0 ? edge->spec : PKG_TEXT("*"));
        (void)fputs(edge->state == PKG_EDGE_VALID ? ")" : ", which this is not)", out);
    }
    (void)fputc('\n', out);
}

static void print_places(FILE *out, const answer *a)
{
    uint32_t versions = 0;
    for (uint32_t i = 0; i < a->found.count; i++) {
        versions += i == 0 || !pkg_text_equal(a->found.nodes[i]->manifest->version,
                                              a->found.nodes[i - 1]->manifest->version);
    }
    if (a->found.count > 1) {
        pkg_put(out, a->ask.name);
        (void)fprintf(out, " is in %u places, in %u version%s\n\n", a->found.count, versions,
                      versions == 1 ? "" : "s");
    }
}

static brisk_err print_one(FILE *out, const answer *a, const pkg_node *node)
{
    pkg_chains chains = {.arena = a->file->arena, .limit = a->limit};
    brisk_err err = pkg_chains_find(&a->file->tree, node, a->distances, &chains);
    if (err != BRISK_OK) {
        return err;
    }
    pkg_put_node(out, node);
    (void)fputs(" in ", out);
    pkg_put_path(out, node);
    (void)fputc('\n', out);
    for (uint32_t i = 0; i < chains.count; i++) {
        print_chain(out, &chains.items[i]);
    }
    if (chains.count == 0) {
        (void)fputs("  nothing needs it\n", out);
    } else if (chains.more) {
        (void)fputs("  and in other ways (--limit shows more)\n", out);
    }
    return BRISK_OK;
}

static brisk_err json_one(brisk_json *json, const answer *a, const pkg_node *node)
{
    pkg_chains chains = {.arena = a->file->arena, .limit = a->limit};
    brisk_err err = pkg_chains_find(&a->file->tree, node, a->distances, &chains);
    brisk_json_object_begin(json, NULL);
    pkg_json_node(json, node);
    brisk_json_array_begin(json, "chains");
    for (uint32_t i = 0; err == BRISK_OK && i < chains.count; i++) {
        brisk_json_array_begin(json, NULL);
        for (uint32_t j = 0; j < chains.items[i].length; j++) {
            const pkg_edge *edge = chains.items[i].edges[j];
            brisk_json_object_begin(json, NULL);
            brisk_json_object_begin(json, "from");
            pkg_json_node(json, edge->from);
            brisk_json_object_end(json);
            pkg_json_put(json, "name", edge->dep->name);
            pkg_json_edge(json, edge);
            brisk_json_str(json, "state", pkg_state_name(edge->state));
            brisk_json_object_end(json);
        }
        brisk_json_array_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_bool(json, "more", err == BRISK_OK && chains.more);
    brisk_json_object_end(json);
    return err;
}

static brisk_err tell(const brisk_invocation *in, const answer *a, brisk_exit *exit)
{
    brisk_err err = BRISK_OK;
    *exit = a->found.count > 0 ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
    if (in->values[OPTION_JSON].set) {
        brisk_json json;
        pkg_json_begin(&json, in, a->file->path);
        pkg_json_put(&json, "name", a->ask.name);
        brisk_json_array_begin(&json, "packages");
        for (uint32_t i = 0; err == BRISK_OK && i < a->found.count; i++) {
            err = json_one(&json, a, a->found.nodes[i]);
        }
        brisk_json_array_end(&json);
        *exit = pkg_json_end(&json, *exit);
        return err;
    }
    if (a->found.count == 0) {
        (void)fputs("brisk: ", in->err);
        pkg_put(in->err, pkg_text_of(a->file->path));
        (void)fputs(": there is no ", in->err);
        pkg_put(in->err, a->ask.name);
        (void)fputs(a->ask.range != NULL ? " of that version\n" : " in it: nothing needs one\n",
                    in->err);
        return BRISK_OK;
    }
    print_places(in->out, a);
    for (uint32_t i = 0; err == BRISK_OK && i < a->found.count; i++) {
        err = print_one(in->out, a, a->found.nodes[i]);
    }
    return err;
}

static brisk_err answer_in(const brisk_invocation *in, const pkg_lockfile *file, brisk_exit *exit,
                           brisk_errinfo *info)
{
    uint32_t *distances = NULL;
    answer a = {.file = file, .limit = LIMIT_DEFAULT};
    if (in->values[OPTION_LIMIT].set) {
        uint64_t limit = in->values[OPTION_LIMIT].number;
        a.limit = limit == 0 || limit > LIMIT_MAX ? LIMIT_MAX : (uint32_t)limit;
    }
    brisk_err err = pkg_ask_parse(in->argv[0], file->arena, &a.ask, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = pkg_ask_find(&file->tree, &a.ask, file->arena, &a.found);
    if (err == BRISK_OK) {
        err = pkg_chain_distances(&file->tree, file->arena, &distances);
    }
    a.distances = distances;
    if (err == BRISK_OK) {
        err = tell(in, &a, exit);
    }
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile file;
    brisk_errinfo info = {0};
    brisk_exit exit = BRISK_EXIT_OK;
    if (pkg_lockfile_open(in->values[OPTION_LOCK].text, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    brisk_err err = answer_in(in, &file, &exit, &info);
    if (err != BRISK_OK) {
        exit = pkg_fail(in, &info);
        exit = err == BRISK_ERR_INVALID ? BRISK_EXIT_USAGE : exit;
    }
    pkg_lockfile_close(&file);
    return exit;
}

const brisk_command pkg_cmd_why = {
    .name = "why",
    .group = "Packages",
    .synopsis = "NAME[@RANGE]",
    .summary = "show who needs a package, up to the project",
    .description =
        "For every place where the package lies, the newest version first, the ways from the "
        "project to it: who depends on whom, with the kind (dev, peer, optional) and the range "
        "that was asked for. The shortest ways come first. --limit says how many are shown for "
        "each place (0: as many as 1,000).\n\n"
        "NAME may be the name of a package or the one it has in node_modules (an alias). The exit "
        "code is 1 when the lock has no such package.",
    .examples = "brisk pkg why lodash\twho needs it\n"
                "brisk pkg why --limit 20 ms@2.0.0\tmore ways, of one version\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
