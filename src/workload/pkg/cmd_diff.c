/*
 * cmd_diff.c -- `brisk pkg diff LOCK LOCK`: what became of the packages between two locks.
 */
#include "workload/pkg/commands.h"
#include "workload/pkg/lockdiff.h"
#include "workload/pkg/lockfile.h"
#include "workload/pkg/report.h"

enum { OPTION_EXIT_CODE, OPTION_JSON, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_EXIT_CODE] = {.name = "exit-code", .summary = "exit with 1 when the locks differ"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

static const struct {
    const char *heading;
    const char *name;
} words[PKG_CHANGE_TYPES] = {
    [PKG_CHANGE_VERSION] = {"other versions", "version"},
    [PKG_CHANGE_CONTENT] = {"the same version with another content or source", "content"},
    [PKG_CHANGE_ADDED] = {"added", "added"},
    [PKG_CHANGE_REMOVED] = {"removed", "removed"},
    [PKG_CHANGE_MOVED] = {"moved", "moved"},
    [PKG_CHANGE_FLAGS] = {"needed otherwise", "flags"},
};

static const struct {
    uint32_t flag;
    const char *name;
} flags[] = {{PKG_NODE_DEV, "dev"},
             {PKG_NODE_OPTIONAL, "optional"},
             {PKG_NODE_DEV_OPTIONAL, "devOptional"},
             {PKG_NODE_PEER, "peer"},
             {PKG_NODE_BUNDLED, "inBundle"}};
enum { FLAGS = sizeof flags / sizeof flags[0] };

static void print_flags(FILE *out, const pkg_node *node)
{
    bool any = false;
    for (int i = 0; i < FLAGS; i++) {
        if ((node->flags & flags[i].flag) != 0) {
            (void)fprintf(out, any ? " %s" : "%s", flags[i].name);
            any = true;
        }
    }
    (void)fputs(any ? "" : "prod", out);
}

static void put_version(FILE *out, const pkg_node *node, const pkg_node *other)
{
    const pkg_manifest *m = node->manifest;
    if ((node->flags & PKG_NODE_LINK) != 0 && node->target != NULL) {
        (void)fputs("link to ", out);
        pkg_put_path(out, node->target);
        return;
    }
    if (!pkg_text_equal(m->name, other->manifest->name)) {
        pkg_put(out, m->name);
        (void)fputc('@', out);
    }
    pkg_put(out, m->version.size > 0 ? m->version : PKG_TEXT("no version"));
}

/* Up, down or neither. */
static const char *direction(const pkg_change *c)
{
    int order = semver_compare(&c->before->manifest->semver, &c->after->manifest->semver);
    bool major = c->before->manifest->semver.major != c->after->manifest->semver.major;
    return order > 0 ? "  (older)" : major ? "  (major)" : "";
}

static void print_change(FILE *out, const pkg_change *c)
{
    (void)fputs("  ", out);
    pkg_put_path(out, c->after != NULL ? c->after : c->before);
    (void)fputs("  ", out);
    switch (c->type) {
    case PKG_CHANGE_VERSION:
        put_version(out, c->before, c->after);
        (void)fputs(" -> ", out);
        put_version(out, c->after, c->before);
        (void)fputs(direction(c), out);
        break;
    case PKG_CHANGE_CONTENT:
        put_version(out, c->after, c->after);
        (void)fputs((c->what & PKG_CHANGED_INTEGRITY) != 0 ? ", integrity differs" : "", out);
        (void)fputs((c->what & PKG_CHANGED_RESOLVED) != 0 ? ", source differs" : "", out);
        break;
    case PKG_CHANGE_MOVED:
        put_version(out, c->after, c->after);
        (void)fputs(" was in ", out);
        pkg_put_path(out, c->before);
        break;
    case PKG_CHANGE_FLAGS:
        print_flags(out, c->before);
        (void)fputs(" -> ", out);
        print_flags(out, c->after);
        break;
    case PKG_CHANGE_ADDED:
    case PKG_CHANGE_REMOVED:
    case PKG_CHANGE_TYPES:
    default: {
        const pkg_node *node = c->after != NULL ? c->after : c->before;
        put_version(out, node, node);
        break;
    }
    }
    (void)fputc('\n', out);
}

static void print_text(FILE *out, const pkg_changes *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        pkg_change_type type = all->items[i].type;
        if (i == 0 || all->items[i - 1].type != type) {
            (void)fprintf(out, "%s%u %s\n", i > 0 ? "\n" : "", all->counts[type],
                          words[type].heading);
        }
        print_change(out, &all->items[i]);
    }
    if (all->count == 0) {
        (void)fputs("the same packages in the same places\n", out);
    }
}

static void json_node(brisk_json *json, const char *key, const pkg_node *node)
{
    if (node == NULL) {
        brisk_json_null(json, key);
        return;
    }
    brisk_json_object_begin(json, key);
    pkg_json_node(json, node);
    pkg_json_put(json, "integrity", node->integrity);
    pkg_json_put(json, "resolved", node->resolved);
    brisk_json_array_begin(json, "flags");
    for (int i = 0; i < FLAGS; i++) {
        if ((node->flags & flags[i].flag) != 0) {
            brisk_json_str(json, NULL, flags[i].name);
        }
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}

static brisk_exit print_json(const brisk_invocation *in, const pkg_changes *all, brisk_exit exit)
{
    brisk_json json;
    pkg_json_begin(&json, in, NULL);
    brisk_json_str(&json, "before", in->argv[0]);
    brisk_json_str(&json, "after", in->argv[1]);
    brisk_json_bool(&json, "same", all->count == 0);
    brisk_json_object_begin(&json, "counts");
    for (int i = 0; i < PKG_CHANGE_TYPES; i++) {
        brisk_json_u64(&json, words[i].name, all->counts[i]);
    }
    brisk_json_object_end(&json);
    brisk_json_array_begin(&json, "changes");
    for (uint32_t i = 0; i < all->count; i++) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "type", words[all->items[i].type].name);
        json_node(&json, "before", all->items[i].before);
        json_node(&json, "after", all->items[i].after);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    return pkg_json_end(&json, exit);
}

static brisk_exit compare(const brisk_invocation *in, const pkg_lockfile *before,
                          const pkg_lockfile *after)
{
    pkg_changes all;
    brisk_errinfo info = {0};
    brisk_err err = pkg_lockdiff(&before->tree, &after->tree, after->arena, &all);
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(&info, err, "%s", brisk_err_message(err));
        return pkg_fail(in, &info);
    }
    bool tell = in->values[OPTION_EXIT_CODE].set && all.count > 0;
    brisk_exit exit = tell ? BRISK_EXIT_FAILED : BRISK_EXIT_OK;
    if (in->values[OPTION_JSON].set) {
        return print_json(in, &all, exit);
    }
    print_text(in->out, &all);
    return exit;
}

static brisk_exit run(const brisk_invocation *in)
{
    pkg_lockfile files[2];
    brisk_errinfo info = {0};
    if (pkg_lockfile_open(in->argv[0], &files[0], &info) != BRISK_OK) {
        return pkg_fail(in, &info);
    }
    brisk_exit exit;
    if (pkg_lockfile_open(in->argv[1], &files[1], &info) == BRISK_OK) {
        exit = compare(in, &files[0], &files[1]);
        pkg_lockfile_close(&files[1]);
    } else {
        exit = pkg_fail(in, &info);
    }
    pkg_lockfile_close(&files[0]);
    return exit;
}

const brisk_command pkg_cmd_diff = {
    .name = "diff",
    .group = "Packages",
    .synopsis = "LOCK LOCK",
    .summary = "show what differs between two locks",
    .description =
        "Compares what lies where: packages that have another version, that were added, removed "
        "or moved to another place, and those that are needed otherwise (dev, optional, peer). A "
        "package of the same version whose integrity or source differs is told by itself: that "
        "should not happen. How the files are written does not matter.\n\n"
        "The exit code is 0 when both could be read, also when they differ; with --exit-code it "
        "is 1 then, as with git.",
    .examples = "brisk pkg diff old/package-lock.json package-lock.json\twhat an update changed\n"
                "brisk pkg diff --exit-code a b\tcompare two folders' locks in a script\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 2,
    .args_max = 2,
    .run = run,
};
