/*
 * project_workspaces.c -- "workspaces" of package.json: the folders that the patterns mean.
 *
 * A pattern is cut at "/".  A part without "*", "?" or braces is a folder's name and costs a look;
 * any other part is compared with what is in the folder; a double star stands for folders at any
 * depth.  As in npm, node_modules and names with a dot in front are passed over by wild parts, and a
 * folder without a package.json is none.
 *
 * "!" takes away what any pattern finds.  A pattern behind it that it fits itself, read as a path,
 * puts it out of force ("!a/b/" and a double star, then "a/b/c"); one before it that it fits is gone.
 *
 * Folders are found by patterns in a file that may be hostile: how many are looked at and how deep
 * is limited, "..", absolute paths and symbolic links to folders outside are not followed.
 *
 * Threads: no state.  Source: npm's documentation of workspaces.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workload/pkg/project_internal.h"
#include "workload/pkg/workspace.h"

enum {
    DEPTH_MAX = 32,       /* folders below the project */
    ENTRIES_MAX = 500000, /* looked at in all */
    PATTERNS_MAX = 1000,
    BRACES_MAX = 64, /* patterns that one with braces stands for */
};

typedef struct found {
    pkg_text path;
    bool taken;
} found;

typedef struct finder {
    const char *file;
    const char *folder;
    brisk_arena *arena;
    brisk_errinfo *info;
    found *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t entries; /* looked at so far */
    uint32_t line;    /* of the pattern */
} finder;

typedef struct pattern_item {
    pkg_text text; /* size 0: no longer in force */
    uint32_t line;
    bool away; /* with "!" */
} pattern_item;

static brisk_err walk(finder *f, const char *path, pkg_text pattern, int depth);

static brisk_err fail(const finder *f, brisk_err err, const char *what)
{
    return brisk_errinfo_set(f->info, err, "%s: line %u: %s", f->file, f->line, what);
}

/* --- found folders ------------------------------------------------------------------------- */

static brisk_err add_folder(finder *f, const char *path)
{
    pkg_text text = pkg_text_of(path);
    for (uint32_t i = 0; i < f->count; i++) {
        if (pkg_text_equal(f->items[i].path, text)) {
            f->items[i].taken = true;
            return BRISK_OK;
        }
    }
    if (f->count == PROJECT_WORKSPACES_MAX) {
        return fail(f, BRISK_ERR_LIMIT, "there are more than 10000 workspaces");
    }
    if (f->count == f->capacity) {
        uint32_t capacity = f->capacity > 0 ? f->capacity * 2 : 64;
        found *more = brisk_arena_calloc(f->arena, capacity, sizeof *more);
        if (more == NULL) {
            return fail(f, BRISK_ERR_NOMEM, "out of memory");
        }
        if (f->count > 0) {
            memcpy(more, f->items, f->count * sizeof *more);
        }
        f->items = more;
        f->capacity = capacity;
    }
    text.data = brisk_arena_copy(f->arena, path, text.size);
    if (text.data == NULL) {
        return fail(f, BRISK_ERR_NOMEM, "out of memory");
    }
    f->items[f->count++] = (found){.path = text, .taken = true};
    return BRISK_OK;
}

/* "<folder>/<path>/<name>", and no '/' where one is missing; false: longer than a path may be. */
static bool join(char ret[PATH_MAX], const char *folder, const char *path, const char *name)
{
    int size = snprintf(ret, PATH_MAX, "%s/%s%s%s", folder, path,
                        *path != '\0' && *name != '\0' ? "/" : "", name);
    return size > 0 && size < PATH_MAX;
}

/* A folder, or a link to one below the project: what is above or beside it is not gone into. */
static bool is_inside(const finder *f, const char *path)
{
    char whole[PATH_MAX];
    char real[PATH_MAX];
    struct stat st;
    if (!join(whole, f->folder, path, "") || lstat(whole, &st) != 0) {
        return false;
    }
    if (!S_ISLNK(st.st_mode)) {
        return S_ISDIR(st.st_mode);
    }
    size_t size = strlen(f->folder);
    size = size == 1 ? 0 : size; /* "/" */
    return stat(whole, &st) == 0 && S_ISDIR(st.st_mode) && realpath(whole, real) != NULL &&
           strncmp(real, f->folder, size) == 0 && real[size] == '/' && real[size + 1] != '\0';
}

static bool has_package_json(const finder *f, const char *path)
{
    char whole[PATH_MAX];
    struct stat st;
    return join(whole, f->folder, path, "package.json") && lstat(whole, &st) == 0;
}

/* --- patterns ------------------------------------------------------------------------------ */

static pkg_text first_part(pkg_text pattern, pkg_text *rest)
{
    const char *slash = memchr(pattern.data, '/', pattern.size);
    size_t size = slash != NULL ? (size_t)(slash - pattern.data) : pattern.size;
    size_t skip = size;
    while (skip < pattern.size && pattern.data[skip] == '/') {
        skip++;
    }
    *rest = (pkg_text){.data = pattern.data + skip, .size = pattern.size - skip};
    return (pkg_text){.data = pattern.data, .size = size};
}

static bool is_wild(pkg_text part)
{
    return memchr(part.data, '*', part.size) != NULL || memchr(part.data, '?', part.size) != NULL;
}

/* Go on with the rest of the pattern in a folder that fits its first part. */
static brisk_err enter(finder *f, const char *path, const char *name, pkg_text rest, int depth)
{
    char next[PATH_MAX];
    int size = snprintf(next, sizeof next, "%s%s%s", path, *path != '\0' ? "/" : "", name);
    if (size < 0 || size >= PATH_MAX) {
        return BRISK_OK; /* there is no such folder */
    }
    return is_inside(f, next) ? walk(f, next, rest, depth + 1) : BRISK_OK;
}

static bool is_passed_over(const char *name)
{
    return name[0] == '.' || strcmp(name, "node_modules") == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in a folder that wild parts see, sorted, in the arena. */
static brisk_err names_in(finder *f, const char *path, const char ***ret, uint32_t *ret_count)
{
    char whole[PATH_MAX];
    *ret_count = 0;
    *ret = NULL;
    int fd =
        join(whole, f->folder, path, "") ? open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return BRISK_OK; /* no folder, or not ours to read: nothing is in it */
    }
    uint32_t capacity = 0;
    brisk_err err = BRISK_OK;
    for (const struct dirent *entry; err == BRISK_OK && (entry = readdir(dir)) != NULL;) {
        if (is_passed_over(entry->d_name) ||
            (entry->d_type != DT_DIR && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)) {
            continue;
        }
        if (++f->entries > ENTRIES_MAX) {
            err = fail(f, BRISK_ERR_LIMIT, "the pattern looks into more than 500000 folders");
            break;
        }
        if (*ret_count == capacity) {
            capacity = capacity > 0 ? capacity * 2 : 32;
            const char **more = brisk_arena_calloc(f->arena, capacity, sizeof *more);
            if (more == NULL) {
                err = fail(f, BRISK_ERR_NOMEM, "out of memory");
                break;
            }
            if (*ret_count > 0) {
                memcpy(more, *ret, *ret_count * sizeof *more);
            }
            *ret = more;
        }
        (*ret)[*ret_count] = brisk_arena_copy(f->arena, entry->d_name, strlen(entry->d_name));
        if ((*ret)[(*ret_count)++] == NULL) {
            err = fail(f, BRISK_ERR_NOMEM, "out of memory");
        }
    }
    (void)closedir(dir);
    if (err == BRISK_OK && *ret_count > 1) {
        qsort(*ret, *ret_count, sizeof **ret, compare_names);
    }
    return err;
}

/* "**": none, or any folders that are no links. */
static brisk_err walk_deep(finder *f, const char *path, pkg_text pattern, pkg_text rest, int depth)
{
    brisk_err err = rest.size > 0 || *path != '\0' ? walk(f, path, rest, depth) : BRISK_OK;
    const char **names;
    uint32_t count;
    err = err != BRISK_OK ? err : names_in(f, path, &names, &count);
    for (uint32_t i = 0; err == BRISK_OK && i < count; i++) {
        char below[PATH_MAX];
        char whole[PATH_MAX];
        struct stat st;
        int size =
            snprintf(below, sizeof below, "%s%s%s", path, *path != '\0' ? "/" : "", names[i]);
        if (size < PATH_MAX && join(whole, f->folder, below, "") && lstat(whole, &st) == 0 &&
            S_ISDIR(st.st_mode)) {
            err = enter(f, path, names[i], pattern, depth);
        }
    }
    return err;
}

static brisk_err walk(finder *f, const char *path, pkg_text pattern, int depth)
{
    if (depth > DEPTH_MAX) {
        return BRISK_OK;
    }
    if (pattern.size == 0) {
        return *path != '\0' && has_package_json(f, path) ? add_folder(f, path) : BRISK_OK;
    }
    pkg_text rest;
    pkg_text part = first_part(pattern, &rest);
    if (pkg_text_is(part, "**")) {
        return walk_deep(f, path, pattern, rest, depth);
    }
    if (pkg_text_is(part, ".")) {
        return walk(f, path, rest, depth + 1);
    }
    if (!is_wild(part)) {
        char name[NAME_MAX + 1];
        if (part.size > NAME_MAX) {
            return BRISK_OK;
        }
        memcpy(name, part.data, part.size);
        name[part.size] = '\0';
        return enter(f, path, name, rest, depth);
    }
    const char **names;
    uint32_t count;
    brisk_err err = names_in(f, path, &names, &count);
    for (uint32_t i = 0; err == BRISK_OK && i < count; i++) {
        if (pkg_glob_matches(part, pkg_text_of(names[i]))) {
            err = enter(f, path, names[i], rest, depth);
        }
    }
    return err;
}

/* --- one pattern of the list --------------------------------------------------------------- */

static void take_away(finder *f, pkg_text pattern)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (pkg_glob_matches(pattern, f->items[i].path)) {
            f->items[i].taken = false;
        }
    }
}

static brisk_err apply_plain(finder *f, pkg_text pattern, bool away)
{
    if (away) {
        take_away(f, pattern);
        return BRISK_OK;
    }
    return walk(f, "", pattern, 0);
}

/* "a/{b,c}" is "a/b" and "a/c"; the first brace is opened, what comes of it looked at again. */
static brisk_err apply(finder *f, pkg_text pattern, bool away, int *budget)
{
    const char *open = memchr(pattern.data, '{', pattern.size);
    const char *end = pattern.data + pattern.size;
    const char *close = open != NULL ? memchr(open, '}', (size_t)(end - open)) : NULL;
    if (close == NULL || memchr(open, ',', (size_t)(close - open)) == NULL) {
        return apply_plain(f, pattern, away);
    }
    for (const char *at = open + 1; at <= close;) {
        const char *comma = memchr(at, ',', (size_t)(close - at));
        const char *stop = comma != NULL ? comma : close;
        if (--*budget < 0) {
            return fail(f, BRISK_ERR_LIMIT, "the braces stand for more than 64 patterns");
        }
        char *text =
            brisk_arena_printf(f->arena, "%.*s%.*s%.*s", (int)(open - pattern.data), pattern.data,
                               (int)(stop - at), at, (int)(end - close - 1), close + 1);
        if (text == NULL) {
            return fail(f, BRISK_ERR_NOMEM, "out of memory");
        }
        brisk_err err = apply(f, pkg_text_of(text), away, budget);
        if (err != BRISK_OK) {
            return err;
        }
        at = stop + 1;
    }
    return BRISK_OK;
}

static bool leads_out(pkg_text pattern)
{
    while (pattern.size > 0) {
        if (pkg_text_is(first_part(pattern, &pattern), "..")) {
            return true;
        }
    }
    return false;
}

/* The pattern without "!", "./" and "/" in front. */
static brisk_err read_pattern(finder *f, const pkg_json *item, pattern_item *ret)
{
    f->line = item->line;
    if (item->type != PKG_JSON_STRING || memchr(item->raw.data, '\\', item->raw.size) != NULL) {
        return fail(f, BRISK_ERR_INVALID, "a workspace has to be a path, or a pattern, with \"/\"");
    }
    pkg_text pattern = item->text;
    bool away = false;
    for (; pattern.size > 0 && pattern.data[0] == '!'; pattern.size--, pattern.data++) {
        away = !away;
    }
    if (pattern.size > 1 && pattern.data[0] == '.' && pattern.data[1] == '/') {
        pattern = (pkg_text){.data = pattern.data + 1, .size = pattern.size - 1};
    }
    for (; pattern.size > 0 && pattern.data[0] == '/'; pattern.size--, pattern.data++) {
    }
    while (pattern.size > 0 && pattern.data[pattern.size - 1] == '/') {
        pattern.size--;
    }
    if (pattern.size == 0 || pattern.size >= PATH_MAX || leads_out(pattern)) {
        return fail(f, BRISK_ERR_INVALID, "a workspace has to lie in the project's folder");
    }
    *ret = (pattern_item){.text = pattern, .line = item->line, .away = away};
    return BRISK_OK;
}

/* Which patterns put which out of force. */
static void weigh(pattern_item *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i && !items[i].away; j++) {
            if (items[j].away && pkg_glob_matches(items[j].text, items[i].text)) {
                items[j].text.size = 0;
            }
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < count && items[i].away && items[i].text.size > 0; j++) {
            if (!items[j].away && pkg_glob_matches(items[i].text, items[j].text)) {
                items[j].text.size = 0;
            }
        }
    }
}

static brisk_err apply_all(finder *f, const pkg_json *list)
{
    pattern_item *items = brisk_arena_calloc(f->arena, (size_t)list->count + 1, sizeof *items);
    if (items == NULL) {
        return fail(f, BRISK_ERR_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < list->count; i++) {
        brisk_err err = read_pattern(f, list->items[i], &items[i]);
        if (err != BRISK_OK) {
            return err;
        }
    }
    weigh(items, list->count);
    for (int away = 0; away <= 1; away++) {
        for (uint32_t i = 0; i < list->count; i++) {
            int budget = BRACES_MAX;
            f->line = items[i].line;
            brisk_err err = items[i].text.size > 0 && items[i].away == (away == 1)
                                ? apply(f, items[i].text, away == 1, &budget)
                                : BRISK_OK;
            if (err != BRISK_OK) {
                return err;
            }
        }
    }
    return BRISK_OK;
}

/* --- what was found ------------------------------------------------------------------------ */

/* A package.json without a name is known by its folder's, with the scope of the one above. */
static pkg_text folder_name(pkg_text path)
{
    const char *slash = memrchr(path.data, '/', path.size);
    if (slash == NULL) {
        return path;
    }
    size_t above = (size_t)(slash - path.data);
    const char *before = memrchr(path.data, '/', above);
    size_t begin = before != NULL ? (size_t)(before - path.data) + 1 : 0;
    begin = path.data[begin] == '@' ? begin : above + 1;
    return (pkg_text){.data = path.data + begin, .size = path.size - begin};
}

static brisk_err read_workspace(const finder *f, pkg_text path, pkg_workspace *ret)
{
    const pkg_file_opts opts = {.size_max = PROJECT_FILE_BYTES_MAX};
    char whole[PATH_MAX];
    if (!join(whole, f->folder, path.data, "package.json")) {
        return fail(f, BRISK_ERR_INVALID, "the path of a workspace is too long");
    }
    char *file = brisk_arena_copy(f->arena, whole, strlen(whole));
    pkg_text text;
    const pkg_json *root;
    pkg_manifest *manifest;
    brisk_err err = file != NULL ? pkg_file_read(file, &opts, f->arena, &text, f->info)
                                 : fail(f, BRISK_ERR_NOMEM, "out of memory");
    err = err != BRISK_OK ? err : project_parse(text, file, f->arena, &root, f->info);
    err = err != BRISK_OK ? err : project_manifest(root, file, f->arena, &manifest, f->info);
    if (err != BRISK_OK) {
        return err;
    }
    if (manifest->name.size == 0) {
        manifest->name = folder_name(path);
    }
    if (!pkg_name_is_valid(manifest->name)) {
        char quoted[PROJECT_QUOTED_MAX];
        return brisk_errinfo_set(f->info, BRISK_ERR_INVALID,
                                 "%s: \"%s\" is no package name; give the workspace one", file,
                                 project_quote(quoted, manifest->name));
    }
    *ret = (pkg_workspace){.path = path, .manifest = manifest};
    return BRISK_OK;
}

static int compare_found(const void *a, const void *b)
{
    return pkg_text_compare(((const found *)a)->path, ((const found *)b)->path);
}

static int compare_workspace_names(const void *a, const void *b)
{
    const pkg_workspace *const *x = a;
    const pkg_workspace *const *y = b;
    return pkg_text_compare((*x)->manifest->name, (*y)->manifest->name);
}

/* Two workspaces of one name cannot both be linked. */
static brisk_err check_names(const finder *f, const pkg_workspace *items, uint32_t count)
{
    const pkg_workspace **sorted = brisk_arena_calloc(f->arena, (size_t)count + 1, sizeof *sorted);
    if (sorted == NULL) {
        return fail(f, BRISK_ERR_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = &items[i];
    }
    qsort(sorted, count, sizeof *sorted, compare_workspace_names);
    for (uint32_t i = 1; i < count; i++) {
        if (compare_workspace_names(&sorted[i - 1], &sorted[i]) == 0) {
            char name[PROJECT_QUOTED_MAX];
            char a[PROJECT_QUOTED_MAX];
            char b[PROJECT_QUOTED_MAX];
            return brisk_errinfo_set(
                f->info, BRISK_ERR_INVALID,
                "%s: the workspaces %s and %s are both called %s; rename one of them", f->file,
                project_quote(a, sorted[i - 1]->path), project_quote(b, sorted[i]->path),
                project_quote(name, sorted[i]->manifest->name));
        }
    }
    return BRISK_OK;
}

static brisk_err read_found(finder *f, pkg_project *project)
{
    pkg_workspace *items = brisk_arena_calloc(f->arena, (size_t)f->count + 1, sizeof *items);
    if (items == NULL) {
        return fail(f, BRISK_ERR_NOMEM, "out of memory");
    }
    if (f->count > 1) {
        qsort(f->items, f->count, sizeof *f->items, compare_found);
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (!f->items[i].taken) {
            continue;
        }
        brisk_err err = read_workspace(f, f->items[i].path, &items[count]);
        if (err != BRISK_OK) {
            return err;
        }
        count++;
    }
    project->workspaces = items;
    project->workspace_count = count;
    return check_names(f, items, count);
}

brisk_err project_workspaces(const pkg_json *root, const char *file, brisk_arena *arena,
                             pkg_project *project, brisk_errinfo *info)
{
    const pkg_json *list = pkg_json_get(root, "workspaces");
    if (list == NULL || list->type == PKG_JSON_NULL) {
        return BRISK_OK;
    }
    finder f = {.file = file,
                .folder = project->folder.data,
                .arena = arena,
                .info = info,
                .line = list->line};
    if (list->type == PKG_JSON_OBJECT) {
        list = pkg_json_get(list, "packages");
    }
    if (list == NULL || list->type != PKG_JSON_ARRAY) {
        return fail(&f, BRISK_ERR_INVALID,
                    "\"workspaces\" has to be a list of patterns, or an object with such a list as "
                    "\"packages\"");
    }
    if (list->count > PATTERNS_MAX) {
        return fail(&f, BRISK_ERR_LIMIT, "there are more than 1000 patterns in \"workspaces\"");
    }
    brisk_err err = apply_all(&f, list);
    return err != BRISK_OK ? err : read_found(&f, project);
}
