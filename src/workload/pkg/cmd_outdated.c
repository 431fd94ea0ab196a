/*
 * cmd_outdated.c -- `brisk pkg outdated`: what the project asks for, what it has, what its range
 * would allow now, and what is newest.
 *
 * By what is known from earlier resolutions, whose age is told: no registry is asked.
 */
#include <brisk/clock.h>
#include <stdlib.h>

#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/metadata.h"
#include "workload/pkg/report.h"

enum {
    OPTION_LOCK,
    OPTION_ALL,
    OPTION_STORE,
    OPTION_EXIT_CODE,
    OPTION_JSON,
    OPTION_COUNT,
};

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_LOCK] = {.name = "lock",
                     .letter = 'l',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = "the lock, or a folder with one; default: this folder's"},
    [OPTION_ALL] = {.name = "all", .letter = 'a', .summary = "dependencies of dependencies, too"},
    [OPTION_STORE] = {.name = "store",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "what is known of packages; default: beside the cache"},
    [OPTION_EXIT_CODE] = {.name = "exit-code", .summary = "exit with 1 when something is outdated"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

typedef struct row {
    const pkg_edge *edge;
    pkg_text name;    /* of the package: of an alias the other one */
    pkg_text current; /* "": it is not there */
    pkg_text wanted;  /* "": not known, or nothing fits */
    pkg_text latest;  /* "": not known */
    bool known;
    bool outdated;
} row;

typedef struct report {
    const pkg_lockfile *file;
    pkg_metadata metadata;
    row *rows;
    uint32_t count;
    uint32_t outdated;
} report;

/* A dependency on a registry's package, in a range, a version or a tag. */
static bool is_listed(const pkg_edge *edge, bool all)
{
    bool direct = pkg_node_is_project(edge->from);
    bool from_registry = edge->range != NULL || edge->any ||
                         (edge->parsed != NULL && (edge->parsed->type == PKG_SPEC_TAG ||
                                                   edge->parsed->type == PKG_SPEC_ALIAS));
    return (all || direct) && from_registry && edge->dep->kind != PKG_DEP_WORKSPACE &&
           (edge->to == NULL || (edge->to->flags & PKG_NODE_LINK) == 0) &&
           (edge->to != NULL || !pkg_edge_is_optional(edge));
}

static pkg_text version_at(const pkg_package *package, uint32_t index)
{
    pkg_version version = {0};
    if (index != PKG_NO_VERSION) {
        pkg_package_version(package, index, &version);
    }
    return version.text;
}

/* Is `newer` a later version than `than`? */
static bool is_later(pkg_text newer, pkg_text than)
{
    semver a;
    semver b;
    return semver_parse(newer, SEMVER_LOOSE, &a) && semver_parse(than, SEMVER_LOOSE, &b) &&
           semver_compare(&a, &b) > 0;
}

static void fill(report *r, row *one)
{
    const pkg_edge *edge = one->edge;
    bool alias = edge->parsed != NULL && edge->parsed->type == PKG_SPEC_ALIAS;
    one->name = alias ? edge->parsed->name : edge->dep->name;
    one->current = edge->to != NULL ? edge->to->manifest->version : (pkg_text){0};
    const pkg_package *package = pkg_metadata_get(&r->metadata, one->name);
    if (package == NULL) {
        return;
    }
    one->known = true;
    pkg_text spec = edge->parsed != NULL ? edge->parsed->wanted : edge->spec;
    const pkg_pick_opts opts = {.before_ms = INT64_MAX};
    pkg_picked picked = {.index = PKG_NO_VERSION};
    if (pkg_pick(package, spec.size > 0 ? spec : PKG_TEXT("*"), edge->range, &opts, r->file->arena,
                 &picked) == BRISK_OK) {
        one->wanted = version_at(package, picked.index);
    }
    one->latest = version_at(package, pkg_package_tag(package, PKG_TEXT("latest")));
    one->outdated = one->current.size == 0 || is_later(one->wanted, one->current) ||
                    is_later(one->latest, one->current);
}

static int compare_rows(const void *a, const void *b)
{
    const row *x = a;
    const row *y = b;
    int order = pkg_text_compare(x->edge->dep->name, y->edge->dep->name);
    if (order == 0) {
        order = pkg_text_compare(x->current, y->current);
    }
    if (order == 0) {
        order = pkg_text_compare(x->edge->spec, y->edge->spec);
    }
    return order != 0 ? order : pkg_text_compare(x->edge->from->path, y->edge->from->path);
}

/* The same question asked by several packages is one row. */
static bool is_same(const row *x, const row *y)
{
    return pkg_text_equal(x->edge->dep->name, y->edge->dep->name) &&
           pkg_text_equal(x->current, y->current) && pkg_text_equal(x->edge->spec, y->edge->spec) &&
           !pkg_node_is_project(y->edge->from);
}

static brisk_err collect(report *r, bool all)
{
    const pkg_tree *tree = &r->file->tree;
    size_t total = 1;
    for (uint32_t i = 0; i < tree->count; i++) {
        total += tree->nodes[i] != NULL ? tree->nodes[i]->edge_count : 0;
    }
    r->rows = brisk_arena_calloc(r->file->arena, total, sizeof *r->rows);
    if (r->rows == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        const pkg_node *node = tree->nodes[i];
        for (uint32_t j = 0; node != NULL && j < node->edge_count; j++) {
            const pkg_edge *edge = &node->edges[j];
            if (is_listed(edge, all)) {
                row *one = &r->rows[r->count++];
                one->edge = edge;
                one->current = edge->to != NULL ? edge->to->manifest->version : (pkg_text){0};
            }
        }
    }
    qsort(r->rows, r->count, sizeof *r->rows, compare_rows);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        if (kept == 0 || !is_same(&r->rows[kept - 1], &r->rows[i])) {
            r->rows[kept++] = r->rows[i];
            fill(r, &r->rows[kept - 1]);
            r->outdated += r->rows[kept - 1].outdated;
        }
    }
    r->count = kept;
    return BRISK_OK;
}

/* --- text ---------------------------------------------------------------------------------- */

enum { COLUMNS = 4 };

static const char *const headings[COLUMNS] = {"package", "current", "wanted", "latest"};

static pkg_text cell(const row *one, int column)
{
    const pkg_text cells[COLUMNS] = {one->edge->dep->name, one->current, one->wanted, one->latest};
    return cells[column].size > 0 ? cells[column] : PKG_TEXT("-");
}

static void put_cell(FILE *out, pkg_text text, size_t width)
{
    pkg_put(out, text);
    for (size_t i = text.size; i < width + 2; i++) {
        (void)fputc(' ', out);
    }
}

/* Since 1970, by the system's clock. */
static int64_t now_ms(void)
{
    return (int64_t)(brisk_clock_wall_ns(NULL) / 1000000);
}

static void print_age(FILE *out, const report *r)
{
    if (r->metadata.known == 0) {
        (void)fputs("nothing is known of these packages yet: `brisk pkg resolve` fetches it\n",
                    out);
        return;
    }
    int64_t minutes = (now_ms() - r->metadata.oldest_ms) / 60000;
    minutes = minutes > 0 ? minutes : 0;
    (void)fputs("as was known ", out);
    if (minutes < 120) {
        (void)fprintf(out, "%lld minutes", (long long)minutes);
    } else if (minutes < 48 * 60) {
        (void)fprintf(out, "%lld hours", (long long)(minutes / 60));
    } else {
        (void)fprintf(out, "%lld days", (long long)(minutes / 1440));
    }
    (void)fputs(" ago or later; `brisk pkg resolve` asks again\n", out);
    if (r->metadata.unknown > 0) {
        (void)fprintf(out, "%u of them are not known\n", r->metadata.unknown);
    }
}

static void print_text(FILE *out, const report *r)
{
    size_t widths[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = strlen(headings[c]);
        for (uint32_t i = 0; i < r->count; i++) {
            size_t size = cell(&r->rows[i], c).size;
            widths[c] = r->rows[i].outdated && size > widths[c] ? size : widths[c];
        }
    }
    for (int c = 0; c < COLUMNS && r->outdated > 0; c++) {
        put_cell(out, pkg_text_of(headings[c]), widths[c]);
    }
    (void)fputs(r->outdated > 0 ? "asked for\n" : "", out);
    for (uint32_t i = 0; i < r->count; i++) {
        const row *one = &r->rows[i];
        if (!one->outdated) {
            continue;
        }
        for (int c = 0; c < COLUMNS; c++) {
            put_cell(out, cell(one, c), widths[c]);
        }
        (void)fputs(pkg_kind_word(one->edge->dep->kind), out);
        pkg_put(out, one->edge->spec.size > 0 ? one->edge->spec : PKG_TEXT("*"));
        if (one->edge->from->index != 0) {
            (void)fputs(" by ", out);
            pkg_put_node(out, one->edge->from);
        }
        (void)fputc('\n', out);
    }
    (void)fprintf(out, "%u of %u dependencies have a newer version\n", r->outdated, r->count);
    print_age(out, r);
}

static brisk_exit print_json(const brisk_invocation *in, const report *r, brisk_exit exit)
{
    brisk_json json;
    pkg_json_begin(&json, in, r->file->path);
    if (r->metadata.known > 0) {
        brisk_json_i64(&json, "known_since_ms", r->metadata.oldest_ms);
    } else {
        brisk_json_null(&json, "known_since_ms");
    }
    brisk_json_u64(&json, "unknown", r->metadata.unknown);
    brisk_json_array_begin(&json, "dependencies");
    for (uint32_t i = 0; i < r->count; i++) {
        const row *one = &r->rows[i];
        brisk_json_object_begin(&json, NULL);
        pkg_json_put(&json, "name", one->edge->dep->name);
        pkg_json_put(&json, "package", one->name);
        pkg_json_put(&json, "from", one->edge->from->path);
        pkg_json_edge(&json, one->edge);
        pkg_json_put(&json, "current", one->current);
        pkg_json_put(&json, "wanted", one->wanted);
        pkg_json_put(&json, "latest", one->latest);
        brisk_json_bool(&json, "known", one->known);
        brisk_json_bool(&json, "outdated", one->outdated);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    return pkg_json_end(&json, exit);
}

static brisk_exit tell(const brisk_invocation *in, report *r, brisk_errinfo *info)
{
    brisk_err err = pkg_metadata_open(in, in->values[OPTION_STORE].text, r->file->path,
                                      r->file->arena, &r->metadata, info);
    if (err != BRISK_OK) {
        return pkg_fail(in, info);
    }
    err = collect(r, in->values[OPTION_ALL].set);
    brisk_exit exit = BRISK_EXIT_OK;
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
        exit = pkg_fail(in, info);
    } else {
        bool said = in->values[OPTION_EXIT_CODE].set && r->outdated > 0;
        exit = said ? BRISK_EXIT_FAILED : BRISK_EXIT_OK;
        if (in->values[OPTION_JSON].set) {
            exit = print_json(in, r, exit);
        } else {
            print_text(in->out, r);
        }
    }
    pkg_metadata_close(&r->metadata);
    return exit;
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile file;
    brisk_errinfo info = {0};
    if (pkg_lockfile_open(in->values[OPTION_LOCK].text, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    report r = {.file = &file};
    brisk_exit exit = tell(in, &r, &info);
    pkg_lockfile_close(&file);
    return exit;
}

const brisk_command pkg_cmd_outdated = {
    .name = "outdated",
    .group = "Packages",
    .summary = "show which dependencies have newer versions",
    .description =
        "For every dependency of the project and its workspaces: the version the lock has, the one "
        "that the range it is asked for in would give now, and the newest one (the tag latest). "
        "--all lists those of every package.\n\n"
        "No registry is asked: it is told by what earlier resolutions fetched, with its age. "
        "--exit-code makes the exit code 1 when something has a newer version.",
    .examples = "brisk pkg outdated\twhat could be updated\n"
                "brisk pkg outdated --all --json\teverything, for scripts\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 0,
    .run = run,
};
