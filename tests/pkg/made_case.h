/*
 * made_case.h -- a small project and its registry as lines of text, and the tree of it.
 *
 *     root DEPS               what the project needs, as in made.h
 *     pkg NAME@VERSION DEPS   a version in the registry; the last of a name is its "latest"
 *     ws PATH NAME@VERSION DEPS
 *     over KEY[>KEY...]=VALUE
 *     opts legacy|strict|dedupe
 *     again DEPS              when the tree is there, it is the lock and the project needs this
 */
#ifndef BRISK_TESTS_PKG_MADE_CASE_H
#define BRISK_TESTS_PKG_MADE_CASE_H

#include "made_source.h"
#include "workload/pkg/ideal.h"

enum { MADE_OVERRIDES_MAX = 64, MADE_WORKSPACES_MAX = 16 };

typedef struct made_case {
    brisk_arena *arena;
    made_source source;
    pkg_source wrap; /* around it, when its get is set */
    pkg_project project;
    pkg_workspace workspaces[MADE_WORKSPACES_MAX];
    pkg_override overrides[MADE_OVERRIDES_MAX];
    uint32_t override_count;
    pkg_ideal_opts opts;
    const char *again;
    const char *error; /* of the last run; NULL: it has a tree */
    brisk_errinfo info;
    pkg_conflict conflict;
    pkg_tree tree;
} made_case;

static inline void made_case_override_init(made_case *s, pkg_text key, pkg_override *ret)
{
    size_t at = key.size > 0 ? 1 : 0;
    while (at < key.size && key.data[at] != '@') {
        at++;
    }
    ret->name = (pkg_text){key.data, at};
    if (at < key.size) {
        ret->key_spec = (pkg_text){key.data + at + 1, key.size - at - 1};
        CHECK_OK(semver_range_parse(s->arena, ret->key_spec, SEMVER_LOOSE, &ret->key_range));
    }
}

/* "a>b@1=2": rules of one name join those that are there. */
static inline void made_case_override_add(made_case *s, pkg_text line)
{
    pkg_override *items = s->overrides;
    uint32_t *count = &s->override_count;
    pkg_override *at = NULL;
    size_t start = 0;
    for (size_t i = 0; i <= line.size; i++) {
        bool ends = i == line.size || line.data[i] == '>' || line.data[i] == '=';
        if (!ends) {
            continue;
        }
        pkg_text part = made_copy(s->arena, (pkg_text){line.data + start, i - start});
        start = i + 1;
        if (i == line.size) {
            at->value = part;
            return;
        }
        pkg_override made_rule = {0};
        made_case_override_init(s, part, &made_rule);
        uint32_t found = 0;
        while (found < *count && !(pkg_text_equal(items[found].name, made_rule.name) &&
                                   pkg_text_equal(items[found].key_spec, made_rule.key_spec))) {
            found++;
        }
        if (found == *count) {
            items[(*count)++] = made_rule;
        }
        at = &items[found];
        if (at->children == NULL) {
            at->children = brisk_arena_calloc(s->arena, MADE_OVERRIDES_MAX, sizeof *at->children);
        }
        items = (pkg_override *)(uintptr_t)at->children;
        count = &at->child_count;
        if (line.data[i] == '=') {
            start = i + 1;
            at->value = made_copy(s->arena, (pkg_text){line.data + start, line.size - start});
            return;
        }
    }
}

static inline const char *made_case_build(made_case *s, const pkg_tree *lock, pkg_tree *tree)
{
    pkg_source source = s->wrap.get != NULL ? s->wrap : made_source_of(&s->source);
    s->info = (brisk_errinfo){0};
    s->project.overrides = s->overrides;
    s->project.override_count = s->override_count;
    s->project.workspaces = s->workspaces;
    brisk_err err = pkg_ideal_build(&s->project, lock, &source, &s->opts, s->arena, tree,
                                    &s->conflict, &s->info);
    if (err == BRISK_OK) {
        made_audit(tree);
        return NULL;
    }
    return err == BRISK_ERR_CONFLICT ? "ERESOLVE" : brisk_err_name(err);
}

/* What became of it: the tree's text, or the error's name. */
static inline const char *made_case_run(made_case *s)
{
    s->error = made_case_build(s, NULL, &s->tree);
    if (s->error == NULL && s->again != NULL) {
        pkg_tree second;
        s->project.manifest = made(s->arena, "root@1.0.0", s->again);
        s->error = made_case_build(s, &s->tree, &second);
        s->tree = s->error == NULL ? second : s->tree;
    }
    return s->error != NULL ? s->error : made_text_flags(s->arena, &s->tree);
}

static inline void made_case_reset(made_case *s)
{
    brisk_arena *arena = s->arena;
    brisk_arena_reset(arena);
    *s = (made_case){.arena = arena};
    s->opts.pick.before_ms = INT64_MAX;
    made_source_init(&s->source, arena);
}

/* One line; an unknown one fails the test. */
static inline void made_case_take(made_case *s, const char *line)
{
    char id[512];
    char path[512];
    int used = 0;
    if (strncmp(line, "root", 4) == 0) {
        made_case_reset(s);
        s->project.manifest = made(s->arena, "root@1.0.0", line + 4);
    } else if (sscanf(line, "pkg %511s %n", id, &used) == 1) {
        made_source_add(&s->source, id, line + used);
    } else if (sscanf(line, "ws %511s %511s %n", path, id, &used) == 2) {
        s->workspaces[s->project.workspace_count++] = (pkg_workspace){
            made_copy(s->arena, pkg_text_of(path)), made(s->arena, id, line + used)};
    } else if (strncmp(line, "over ", 5) == 0) {
        made_case_override_add(s, pkg_text_of(line + 5));
    } else if (strncmp(line, "again", 5) == 0) {
        s->again = brisk_arena_copy(s->arena, line + 5, strlen(line + 5));
    } else if (strcmp(line, "opts legacy") == 0) {
        s->opts.legacy_peer_deps = true;
    } else if (strcmp(line, "opts strict") == 0) {
        s->opts.strict_peer_deps = true;
    } else if (strcmp(line, "opts dedupe") == 0) {
        s->opts.prefer_dedupe = true;
    } else if (line[0] != '\0') {
        fail_msg("what is \"%s\"?", line);
    }
}

/* All lines of a text, from "root" on. */
static inline void made_case_take_all(made_case *s, const char *text)
{
    char line[4096];
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        assert_true(size < sizeof line);
        memcpy(line, text, size);
        line[size] = '\0';
        made_case_take(s, line);
        text += size + (text[size] == '\n');
    }
}

#endif /* BRISK_TESTS_PKG_MADE_CASE_H */
