/*
 * cmd_tree.c -- `brisk pkg tree [NAME]`: the dependencies as a tree of text.
 *
 * Every package is opened once, where it comes first; where it comes again it is marked.  The walk
 * keeps its own stack: a lock may be as deep as it likes.  JSON is a list of rows with their depth,
 * so that its own nesting stays flat.
 */
#include "workload/pkg/ask.h"
#include "workload/pkg/commands.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/report.h"

enum { OPTION_LOCK, OPTION_DEPTH, OPTION_ALL, OPTION_PROD, OPTION_JSON, OPTION_COUNT };

enum { DRAWN_MAX = 100 }; /* levels of lines before a name; for more there is a number */

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_LOCK] = {.name = "lock",
                     .letter = 'l',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = "the lock, or a folder with one; default: this folder's"},
    [OPTION_DEPTH] = {.name = "depth",
                      .letter = 'd',
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "levels below the project; default 1"},
    [OPTION_ALL] = {.name = "all", .letter = 'a', .summary = "every level"},
    [OPTION_PROD] = {.name = "prod", .summary = "without what only development needs"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object: rows with their depth"},
};

typedef enum mark { MARK_NONE, MARK_AGAIN, MARK_CIRCULAR, MARK_MISSING, MARK_INVALID } mark;

typedef struct level {
    const pkg_node *node;
    uint32_t next; /* edge */
    uint32_t last; /* the last edge that is shown; UINT32_MAX: none */
} level;

typedef struct walk {
    FILE *out;
    brisk_json *json; /* NULL: text */
    level *levels;
    uint32_t depth;
    uint32_t capacity;
    uint32_t depth_max;
    bool prod;
    char *seen; /* by index: 1 opened, 2 open now */
    brisk_arena *arena;
    uint64_t rows;
} walk;

static const char *mark_word(mark m)
{
    static const char *const words[] = {"", " (again)", " (circular)", " MISSING", " INVALID"};
    return words[m];
}

static bool is_shown(const walk *w, const pkg_edge *edge)
{
    if (w->prod && edge->dep->kind == PKG_DEP_DEV) {
        return false;
    }
    return edge->to != NULL || !pkg_edge_is_fine(edge);
}

static const pkg_node *behind(const pkg_node *node)
{
    return node->target != NULL ? node->target : node;
}

static uint32_t last_shown(const walk *w, const pkg_node *node)
{
    for (uint32_t i = node->edge_count; i > 0; i--) {
        if (is_shown(w, &node->edges[i - 1])) {
            return i - 1;
        }
    }
    return UINT32_MAX;
}

static brisk_err open_level(walk *w, const pkg_node *node)
{
    if (w->depth == w->capacity) {
        uint32_t wanted = w->capacity != 0 ? w->capacity * 2 : 64;
        level *more = brisk_arena_alloc(w->arena, wanted * sizeof *more);
        if (more == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (w->depth > 0) {
            memcpy(more, w->levels, w->depth * sizeof *more);
        }
        w->levels = more;
        w->capacity = wanted;
    }
    w->seen[node->index] = 2;
    w->levels[w->depth++] = (level){.node = node, .last = last_shown(w, node)};
    return BRISK_OK;
}

static mark mark_of(const walk *w, const pkg_edge *edge)
{
    if (edge->to == NULL) {
        return MARK_MISSING;
    }
    if (!pkg_edge_is_fine(edge)) {
        return MARK_INVALID;
    }
    char seen = w->seen[behind(edge->to)->index];
    bool leaf = behind(edge->to)->edge_count == 0;
    return seen == 2 ? MARK_CIRCULAR : seen == 1 && !leaf ? MARK_AGAIN : MARK_NONE;
}

static void print_row(const walk *w, const pkg_edge *edge, bool last, mark m)
{
    uint32_t from = w->depth > DRAWN_MAX ? w->depth - DRAWN_MAX : 0;
    if (from > 0) {
        (void)fprintf(w->out, "(%u) ",
                      from); /* a chain of a million would draw a square of lines */
    }
    for (uint32_t i = from; i + 1 < w->depth; i++) {
        bool open = w->levels[i].last != UINT32_MAX && w->levels[i].next <= w->levels[i].last;
        (void)fputs(open ? "\xE2\x94\x82  " : "   ", w->out);
    }
    (void)fputs(last ? "\xE2\x94\x94\xE2\x94\x80 " : "\xE2\x94\x9C\xE2\x94\x80 ", w->out);
    (void)fputs(pkg_kind_word(edge->dep->kind), w->out);
    if (edge->to != NULL) {
        pkg_put_node(w->out, behind(edge->to));
    } else {
        pkg_put(w->out, edge->dep->name);
    }
    if (m == MARK_MISSING || m == MARK_INVALID) {
        (void)fputs(" (wants ", w->out);
        pkg_put(w->out, edge->spec.size > 0 ? edge->spec : PKG_TEXT("*"));
        (void)fputc(')', w->out);
    }
    (void)fprintf(w->out, "%s\n", mark_word(m));
}

static void json_row(const walk *w, const pkg_edge *edge, mark m)
{
    static const char *const names[] = {NULL, "again", "circular", "missing", "invalid"};
    brisk_json_object_begin(w->json, NULL);
    brisk_json_u64(w->json, "depth", w->depth);
    if (edge->to != NULL) {
        pkg_json_node(w->json, behind(edge->to));
    } else {
        pkg_json_put(w->json, "name", edge->dep->name);
    }
    pkg_json_edge(w->json, edge);
    if (names[m] != NULL) {
        brisk_json_str(w->json, "mark", names[m]);
    }
    brisk_json_object_end(w->json);
}

/* Everything below `root`. */
static brisk_err walk_from(walk *w, const pkg_node *root)
{
    brisk_err err = open_level(w, root);
    while (err == BRISK_OK && w->depth > 0) {
        level *at = &w->levels[w->depth - 1];
        if (at->last == UINT32_MAX || at->next > at->last || w->depth > w->depth_max) {
            w->seen[at->node->index] = 1;
            w->depth--;
            continue;
        }
        const pkg_edge *edge = &at->node->edges[at->next++];
        if (!is_shown(w, edge)) {
            continue;
        }
        mark m = mark_of(w, edge);
        w->rows++;
        if (w->json != NULL) {
            json_row(w, edge, m);
        } else {
            print_row(w, edge, at->next > at->last, m);
        }
        if (edge->to != NULL && m != MARK_AGAIN && m != MARK_CIRCULAR &&
            w->seen[behind(edge->to)->index] == 0 && w->depth < w->depth_max) {
            err = open_level(w, behind(edge->to));
        }
    }
    return err;
}

static void print_root(walk *w, const pkg_node *node)
{
    if (w->json != NULL) {
        brisk_json_object_begin(w->json, NULL);
        brisk_json_u64(w->json, "depth", 0);
        pkg_json_node(w->json, node);
        brisk_json_object_end(w->json);
        return;
    }
    pkg_put_node(w->out, node);
    if (node->index != 0) {
        (void)fputs(" in ", w->out);
        pkg_put_path(w->out, node);
    } else if (node->manifest->version.size > 0) {
        (void)fputc(' ', w->out);
        pkg_put(w->out, node->manifest->version);
    }
    (void)fputc('\n', w->out);
}

static brisk_err walk_all(walk *w, const pkg_lockfile *file, const char *word, brisk_errinfo *info)
{
    pkg_ask ask;
    const pkg_node *root = file->tree.root;
    pkg_found found = {.nodes = &root, .count = 1};
    brisk_err err = BRISK_OK;
    if (word != NULL) {
        err = pkg_ask_parse(word, file->arena, &ask, info);
        if (err != BRISK_OK) {
            return err;
        }
        err = pkg_ask_find(&file->tree, &ask, file->arena, &found);
    }
    if (err == BRISK_OK && found.count == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s: there is no %s in it", file->path,
                                 word);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < found.count; i++) {
        print_root(w, found.nodes[i]);
        err = walk_from(w, found.nodes[i]);
    }
    return err == BRISK_OK ? err : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

static brisk_exit show(const brisk_invocation *in, const pkg_lockfile *file, brisk_errinfo *info)
{
    const brisk_option_value *depth = &in->values[OPTION_DEPTH];
    brisk_json json;
    walk w = {.out = in->out,
              .json = in->values[OPTION_JSON].set ? &json : NULL,
              .depth_max = in->values[OPTION_ALL].set ? UINT32_MAX : 1,
              .prod = in->values[OPTION_PROD].set,
              .arena = file->arena,
              .seen = brisk_arena_calloc(file->arena, file->tree.count + 1, 1)};
    if (depth->set && !in->values[OPTION_ALL].set) {
        w.depth_max = depth->number < UINT32_MAX ? (uint32_t)depth->number : UINT32_MAX;
    }
    if (w.seen == NULL) {
        (void)brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
        return pkg_fail(in, info);
    }
    if (w.json != NULL) {
        pkg_json_begin(&json, in, file->path);
        brisk_json_array_begin(&json, "rows");
    }
    brisk_err err = walk_all(&w, file, in->argc > 0 ? in->argv[0] : NULL, info);
    brisk_exit exit = err == BRISK_OK ? BRISK_EXIT_OK : pkg_fail(in, info);
    if (w.json != NULL) {
        brisk_json_array_end(&json);
        exit = pkg_json_end(&json, exit);
    }
    return err == BRISK_ERR_INVALID ? BRISK_EXIT_USAGE : exit;
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile file;
    brisk_errinfo info = {0};
    if (pkg_lockfile_open(in->values[OPTION_LOCK].text, &file, &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    brisk_exit exit = show(in, &file, &info);
    pkg_lockfile_close(&file);
    return exit;
}

const brisk_command pkg_cmd_tree = {
    .name = "tree",
    .group = "Packages",
    .synopsis = "[NAME[@RANGE]]",
    .summary = "show the dependencies as a tree",
    .description =
        "The project and what it depends on; with NAME, that package and what it depends on, for "
        "every place where it lies. --depth says how many levels are shown (default 1), --all "
        "shows every one. A package is opened once, where it comes first: later it is marked "
        "(again), and (circular) where it is below itself. MISSING and INVALID mark dependencies "
        "that are not satisfied; optional ones that are not there are left out.",
    .examples = "brisk pkg tree\twhat the project asks for\n"
                "brisk pkg tree --all --prod\teverything that is needed to run\n"
                "brisk pkg tree --depth 3 webpack\tthree levels below one package\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run,
};
