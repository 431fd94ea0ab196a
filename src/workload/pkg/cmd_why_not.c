/*
 * cmd_why_not.c -- `brisk pkg why-not NAME@RANGE`: who does not accept these versions.
 *
 * Every dependency on the package whose range has no version in common with the one that was asked
 * for forbids it; one that has some but not all allows it in part.  An override counts as what
 * stands in its place.
 *
 * Where versions of the dependent are known from earlier resolutions, the first newer one that
 * accepts them is named: that is what to update to.
 */
#include "workload/pkg/ask.h"
#include "workload/pkg/chains.h"
#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/metadata.h"
#include "workload/pkg/report.h"

enum { OPTION_LOCK, OPTION_STORE, OPTION_JSON, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_LOCK] = {.name = "lock",
                     .letter = 'l',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = "the lock, or a folder with one; default: this folder's"},
    [OPTION_STORE] = {.name = "store",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "what is known of packages; default: beside the cache"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

typedef enum verdict {
    VERDICT_NONE, /* about another package */
    VERDICT_ALLOWS,
    VERDICT_PARTLY,
    VERDICT_FORBIDS,
} verdict;

typedef struct question {
    const pkg_lockfile *file;
    pkg_ask ask;
    pkg_metadata metadata;
    const uint32_t *distances;
    const pkg_edge **edges; /* by verdict: forbidding ones first, each by distance and path */
    uint32_t count;
    uint32_t counts[VERDICT_FORBIDS + 1];
} question;

/* The package an edge asks for: of an alias the other name. */
static pkg_text asked_name(const pkg_edge *edge)
{
    return edge->parsed != NULL && edge->parsed->type == PKG_SPEC_ALIAS ? edge->parsed->name
                                                                        : edge->dep->name;
}

static verdict judge(const pkg_ask *ask, const pkg_edge *edge)
{
    if (!pkg_text_equal(asked_name(edge), ask->name)) {
        return VERDICT_NONE;
    }
    if (edge->range == NULL) {
        return edge->any || edge->parsed == NULL || edge->parsed->type == PKG_SPEC_TAG
                   ? VERDICT_ALLOWS
                   : VERDICT_FORBIDS; /* it comes from elsewhere: git, a folder, an URL */
    }
    if (!semver_range_meets(edge->range, ask->range)) {
        return VERDICT_FORBIDS;
    }
    return semver_range_within(ask->range, edge->range) ? VERDICT_ALLOWS : VERDICT_PARTLY;
}

static brisk_err collect(question *q)
{
    const pkg_tree *tree = &q->file->tree;
    size_t total = 1;
    for (uint32_t i = 0; i < tree->count; i++) {
        total += tree->nodes[i] != NULL ? tree->nodes[i]->edge_count : 0;
    }
    q->edges = brisk_arena_alloc(q->file->arena, total * sizeof(pkg_edge *));
    if (q->edges == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (verdict wanted = VERDICT_FORBIDS; wanted > VERDICT_NONE; wanted--) {
        for (uint32_t i = 0; i < tree->count; i++) {
            const pkg_node *node = tree->nodes[i];
            for (uint32_t j = 0; node != NULL && j < node->edge_count; j++) {
                if (judge(&q->ask, &node->edges[j]) == wanted) {
                    q->edges[q->count++] = &node->edges[j];
                    q->counts[wanted]++;
                }
            }
        }
    }
    return BRISK_OK;
}

/* --- what would do ------------------------------------------------------------------------- */

typedef enum remedy_type {
    REMEDY_UNKNOWN, /* nothing is known of the dependent */
    REMEDY_NONE,    /* no newer version accepts it */
    REMEDY_ACCEPTS,
    REMEDY_DROPS, /* a newer version does not ask for it any more */
} remedy_type;

typedef struct remedy {
    remedy_type type;
    pkg_text version; /* of the dependent: the first that will do; or the newest known */
    bool in_reach;    /* everybody who needs the dependent accepts that version */
} remedy;

/* Does this version of the dependent accept what was asked about? */
static remedy_type try_version(const question *q, const pkg_edge *edge, const pkg_package *package,
                               uint32_t index)
{
    const pkg_manifest *m;
    if (pkg_package_manifest(package, index, q->file->arena, &m) != BRISK_OK) {
        return REMEDY_NONE;
    }
    for (uint32_t i = 0; i < m->dep_count; i++) {
        if (pkg_text_equal(m->deps[i].name, edge->dep->name) && m->deps[i].kind != PKG_DEP_DEV) {
            const semver_range *range = m->deps[i].range;
            return range != NULL && semver_range_meets(range, q->ask.range) ? REMEDY_ACCEPTS
                                                                            : REMEDY_NONE;
        }
    }
    return REMEDY_DROPS;
}

static bool everybody_accepts(const pkg_node *node, const semver *version)
{
    for (const pkg_edge *e = node->in; e != NULL; e = e->next_in) {
        if (!e->any && (e->range == NULL || !semver_range_has(e->range, version))) {
            return false;
        }
    }
    return true;
}

static remedy find_remedy(question *q, const pkg_edge *edge)
{
    const pkg_node *from = edge->from;
    remedy best = {.type = REMEDY_UNKNOWN};
    const pkg_package *package =
        from->parent == NULL ? NULL : pkg_metadata_get(&q->metadata, from->manifest->name);
    for (uint32_t i = 0; package != NULL && i < pkg_package_count(package); i++) {
        pkg_version version;
        pkg_package_version(package, i, &version);
        best.type = best.type == REMEDY_UNKNOWN ? REMEDY_NONE : best.type;
        if (version.semver.prerelease.size > 0 ||
            semver_compare(&version.semver, &from->manifest->semver) <= 0) {
            continue;
        }
        remedy_type type = try_version(q, edge, package, i);
        best.version = version.text;
        if (type != REMEDY_NONE) {
            best.type = type;
            best.in_reach = everybody_accepts(from, &version.semver);
            break;
        }
    }
    return best;
}

static void print_remedy(FILE *out, question *q, const pkg_edge *edge)
{
    remedy best = find_remedy(q, edge);
    if (best.type == REMEDY_UNKNOWN) {
        return;
    }
    if (best.type == REMEDY_NONE) {
        (void)fputs("      no newer version of it that is known accepts it", out);
        if (best.version.size > 0) {
            (void)fputs(", the newest is ", out);
            pkg_put(out, best.version);
        }
        (void)fputc('\n', out);
        return;
    }
    (void)fputs("      ", out);
    pkg_put(out, edge->from->manifest->name);
    (void)fputc(' ', out);
    pkg_put(out, best.version);
    (void)fputs(best.type == REMEDY_ACCEPTS ? " accepts it" : " does not ask for it any more", out);
    (void)fputs(best.in_reach ? "; it is in the ranges of those who need it\n"
                              : "; who needs it does not accept that version yet\n",
                out);
}

/* --- telling ------------------------------------------------------------------------------- */

/* How the project comes to need who asks. */
static void print_way(FILE *out, const question *q, const pkg_node *from)
{
    pkg_chains chains = {.arena = q->file->arena, .limit = 1};
    if (pkg_node_is_project(from) ||
        pkg_chains_find(&q->file->tree, from, q->distances, &chains) != BRISK_OK ||
        chains.count == 0) {
        return;
    }
    (void)fputs("      from ", out);
    for (uint32_t i = 0; i < chains.items[0].length; i++) {
        pkg_put_node(out, chains.items[0].edges[i]->from);
        (void)fputs(" > ", out);
    }
    pkg_put(out, from->name);
    (void)fputc('\n', out);
}

static void print_edge(FILE *out, question *q, const pkg_edge *edge)
{
    (void)fputs("  ", out);
    pkg_put_node(out, edge->from);
    (void)fprintf(out, " wants %s", pkg_kind_word(edge->dep->kind));
    pkg_put(out, edge->dep->name);
    (void)fputc(' ', out);
    pkg_put(out, edge->spec.size > 0 ? edge->spec : PKG_TEXT("*"));
    if (edge->overridden) {
        (void)fputs(" (an override; it asks for ", out);
        pkg_put(out, edge->dep->spec);
        (void)fputc(')', out);
    }
    if (edge->to != NULL) {
        (void)fputs(", has ", out);
        pkg_put(out, edge->to->manifest->version);
    }
    if (!pkg_node_is_project(edge->from)) {
        (void)fputs(", in ", out);
        pkg_put_path(out, edge->from);
    }
    (void)fputc('\n', out);
    print_way(out, q, edge->from);
    if (judge(&q->ask, edge) == VERDICT_FORBIDS) {
        print_remedy(out, q, edge);
    }
}

static void print_text(FILE *out, question *q)
{
    const pkg_ask *ask = &q->ask;
    uint32_t forbids = q->counts[VERDICT_FORBIDS];
    uint32_t partly = q->counts[VERDICT_PARTLY];
    pkg_put(out, ask->name);
    (void)fputc('@', out);
    pkg_put(out, ask->spec);
    if (forbids == 0) {
        (void)fprintf(out,
                      ": nothing in this lock forbids it (%u dependencies ask for the "
                      "package)\n",
                      q->count);
    } else {
        (void)fprintf(out, ": %u of %u dependencies do not accept it\n", forbids, q->count);
    }
    for (uint32_t i = 0; i < forbids; i++) {
        print_edge(out, q, q->edges[i]);
    }
    if (partly > 0) {
        (void)fprintf(out, "%u accept%s some of these versions only\n", partly,
                      partly == 1 ? "s" : "");
    }
    for (uint32_t i = forbids; i < forbids + partly; i++) {
        print_edge(out, q, q->edges[i]);
    }
}

static void json_remedy(brisk_json *json, question *q, const pkg_edge *edge)
{
    static const char *const names[] = {"unknown", "none", "accepts", "drops"};
    remedy best = find_remedy(q, edge);
    brisk_json_object_begin(json, "remedy");
    brisk_json_str(json, "type", names[best.type]);
    pkg_json_put(json, "version", best.version);
    brisk_json_bool(json, "in_reach", best.in_reach);
    brisk_json_object_end(json);
}

static brisk_exit print_json(const brisk_invocation *in, question *q)
{
    static const char *const names[] = {NULL, "allows", "partly", "forbids"};
    brisk_json json;
    pkg_json_begin(&json, in, q->file->path);
    pkg_json_put(&json, "name", q->ask.name);
    pkg_json_put(&json, "range", q->ask.spec);
    brisk_json_bool(&json, "forbidden", q->counts[VERDICT_FORBIDS] > 0);
    brisk_json_array_begin(&json, "dependents");
    for (uint32_t i = 0; i < q->count; i++) {
        const pkg_edge *edge = q->edges[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "verdict", names[judge(&q->ask, edge)]);
        pkg_json_node(&json, edge->from);
        pkg_json_edge(&json, edge);
        if (edge->to != NULL) {
            pkg_json_put(&json, "has", edge->to->manifest->version);
        }
        if (judge(&q->ask, edge) == VERDICT_FORBIDS) {
            json_remedy(&json, q, edge);
        }
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    return pkg_json_end(&json, BRISK_EXIT_OK);
}

static brisk_err answer(const brisk_invocation *in, question *q, brisk_exit *exit,
                        brisk_errinfo *info)
{
    uint32_t *distances = NULL;
    brisk_err err = pkg_ask_parse(in->argv[0], q->file->arena, &q->ask, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (q->ask.range == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s: which version? NAME@RANGE is wanted, as in %s@2", in->argv[0],
                                 in->argv[0]);
    }
    err = pkg_chain_distances(&q->file->tree, q->file->arena, &distances);
    if (err == BRISK_OK) {
        q->distances = distances;
        err = collect(q);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    if (q->count == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: nothing in it asks for %.*s",
                                 q->file->path, (int)q->ask.name.size, q->ask.name.data);
    }
    err = pkg_metadata_open(in, in->values[OPTION_STORE].text, q->file->path, q->file->arena,
                            &q->metadata, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (in->values[OPTION_JSON].set) {
        *exit = print_json(in, q);
    } else {
        print_text(in->out, q);
    }
    return BRISK_OK;
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile file;
    brisk_errinfo info = {0};
    brisk_exit exit = BRISK_EXIT_OK;
    if (pkg_lockfile_open(in->values[OPTION_LOCK].text, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    question q = {.file = &file};
    brisk_err err = answer(in, &q, &exit, &info);
    if (err != BRISK_OK) {
        exit = pkg_fail(in, &info);
        exit = err == BRISK_ERR_INVALID ? BRISK_EXIT_USAGE : exit;
    }
    pkg_metadata_close(&q.metadata);
    pkg_lockfile_close(&file);
    return exit;
}

const brisk_command pkg_cmd_why_not = {
    .name = "why-not",
    .group = "Packages",
    .synopsis = "NAME@RANGE",
    .summary = "show who does not accept some versions of a package",
    .description =
        "Every dependency on the package whose range has no version in common with RANGE: the "
        "package that declares it, its version and place, the kind (dev, peer, optional), the "
        "version it has now, and the shortest way from the project to it. Dependencies that accept "
        "some of the versions only are told after those.\n\n"
        "Where earlier resolutions fetched what is known of a dependent, its first newer version "
        "that "
        "accepts RANGE, or does not ask for the package any more, is named. The exit code is 1 "
        "when "
        "nothing asks for the package.",
    .examples = "brisk pkg why-not react@19\twho keeps react below 19\n"
                "brisk pkg why-not --json 'ms@>=3' | jq '.dependents[].name'\ttheir names\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
