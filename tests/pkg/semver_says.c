/*
 * semver_says.c -- what semver.h, jsontext.h, pkg_spec_parse and pkg_pick make of each line of standard input, for
 * test_node.py, which asks node the same.
 *
 * A line: operation, flags (0..3), one or two texts as hex, all separated by tabs.  An answer a
 * line; "-" stands for what is invalid.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/arena.h>

#include "workload/pkg/jsontext.h"
#include "workload/pkg/packument.h"
#include "workload/pkg/project.h"
#include "workload/pkg/semver.h"

enum { LINE_MAX_BYTES = 1 << 20 };

static brisk_arena *arena;

static pkg_text unhex(const char *text)
{
    size_t size = strlen(text) / 2;
    char *bytes = brisk_arena_copy(arena, "", 0);
    bytes = size > 0 ? brisk_arena_alloc(arena, size) : bytes;
    for (size_t i = 0; bytes != NULL && i < size; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    return (pkg_text){.data = bytes, .size = bytes != NULL ? size : 0};
}

static void say(pkg_text text)
{
    (void)fwrite(text.data, 1, text.size, stdout);
    (void)putchar('\n');
}

static void say_yes(bool yes)
{
    (void)puts(yes ? "yes" : "no");
}

static void on_version(uint32_t flags, pkg_text a)
{
    semver version;
    if (semver_parse(a, flags & SEMVER_LOOSE, &version)) {
        say(semver_format(&version, arena));
    } else {
        (void)puts("-");
    }
}

static void on_compare(uint32_t flags, pkg_text a, pkg_text b)
{
    semver x;
    semver y;
    if (!semver_parse(a, flags & SEMVER_LOOSE, &x) || !semver_parse(b, flags & SEMVER_LOOSE, &y)) {
        (void)puts("-");
        return;
    }
    int order = semver_compare(&x, &y);
    (void)printf("%d\n", (order > 0) - (order < 0));
}

/* has, gtr, ltr: a range and a version. */
static void on_member(char op, uint32_t flags, pkg_text a, pkg_text b)
{
    const semver_range *range = NULL;
    semver version;
    if (semver_range_parse(arena, a, flags, &range) != BRISK_OK ||
        !semver_parse(b, flags & SEMVER_LOOSE, &version)) {
        (void)puts("-");
    } else if (op == 'h') {
        say_yes(semver_range_has(range, &version));
    } else {
        say_yes(op == 'g' ? semver_range_is_below(range, &version)
                          : semver_range_is_above(range, &version));
    }
}

/* range, meets, within: one range or two. */
static void on_range(char op, uint32_t flags, pkg_text a, pkg_text b)
{
    const semver_range *x = NULL;
    const semver_range *y = NULL;
    if (semver_range_parse(arena, a, flags, &x) != BRISK_OK ||
        (op != 'r' && semver_range_parse(arena, b, flags, &y) != BRISK_OK)) {
        (void)puts("-");
    } else if (op == 'r') {
        say(semver_range_format(x, arena));
    } else {
        say_yes(op == 'm' ? semver_range_meets(x, y) : semver_range_within(x, y));
    }
}

static void print_text(pkg_text text)
{
    (void)putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        (void)printf("%02x", (unsigned char)text.data[i]);
    }
    (void)putchar('"');
}

/* JSON again, with strings as the hex of their UTF-8 and numbers in one form. */
static void print_json(const pkg_json *value)
{
    switch (value->type) {
    case PKG_JSON_NULL: (void)fputs("null", stdout); return;
    case PKG_JSON_BOOL: (void)fputs(value->boolean ? "true" : "false", stdout); return;
    case PKG_JSON_NUMBER: (void)printf("%.17g", value->number); return;
    case PKG_JSON_STRING: print_text(value->text); return;
    case PKG_JSON_ARRAY:
    case PKG_JSON_OBJECT: break;
    }
    bool object = value->type == PKG_JSON_OBJECT;
    (void)putchar(object ? '{' : '[');
    for (uint32_t i = 0; i < value->count; i++) {
        if (i > 0) {
            (void)putchar(',');
        }
        if (object) {
            print_text(value->keys[i]);
            (void)putchar(':');
        }
        print_json(value->items[i]);
    }
    (void)putchar(object ? '}' : ']');
}

static void on_json(pkg_text text)
{
    const pkg_json *value = NULL;
    if (pkg_json_parse(text, arena, &value, NULL) == BRISK_OK) {
        print_json(value);
        (void)putchar('\n');
    } else {
        (void)puts("-");
    }
}

/* A name and a spec: the type, whose packument is asked for, and what is wanted (as hex). */
static void on_spec(pkg_text name, pkg_text text)
{
    static const char *const types[] = {
        [PKG_SPEC_RANGE] = "range",      [PKG_SPEC_TAG] = "tag",
        [PKG_SPEC_ALIAS] = "alias",      [PKG_SPEC_GIT] = "git",
        [PKG_SPEC_TARBALL] = "remote",   [PKG_SPEC_FILE] = "file",
        [PKG_SPEC_FOLDER] = "directory", [PKG_SPEC_WORKSPACE] = "workspace",
    };
    pkg_spec spec;
    if (pkg_spec_parse(name, text, arena, &spec) != BRISK_OK || spec.type == PKG_SPEC_INVALID) {
        (void)puts("-");
        return;
    }
    (void)printf("%s %s ", types[spec.type], spec.is_version ? "version" : "-");
    print_text(spec.name);
    (void)putchar(' ');
    print_text(spec.wanted);
    (void)putchar('\n');
}

/* A document, and "spec;before in ms or nothing;major version of node or nothing". */
static void on_pick(pkg_text json, pkg_text text)
{
    char *rest = brisk_arena_copy(arena, text.data, text.size);
    const char *spec = strsep(&rest, ";");
    const char *before = strsep(&rest, ";");
    const char *node = strsep(&rest, ";");
    pkg_pick_opts opts = {.before_ms = INT64_MAX};
    if (before != NULL && *before != '\0') {
        opts.before_ms = strtoll(before, NULL, 10);
    }
    opts.node.major = node != NULL ? strtoull(node, NULL, 10) : 0;
    const pkg_package *package = NULL;
    brisk_errinfo info = {0};
    if (pkg_packument_parse(PKG_TEXT("p"), json, arena, &package, &info) != BRISK_OK) {
        (void)puts(info.text);
        return;
    }
    pkg_picked picked;
    if (pkg_pick(package, pkg_text_of(spec), NULL, &opts, arena, &picked) != BRISK_OK) {
        (void)puts("-");
        return;
    }
    pkg_version version;
    pkg_package_version(package, picked.index, &version);
    say(version.text);
}

static void answer(char *line)
{
    line[strcspn(line, "\n")] = '\0';
    char *rest = line;
    const char *op = strsep(&rest, "\t");
    const char *flags_text = strsep(&rest, "\t");
    const char *first = strsep(&rest, "\t");
    const char *second = strsep(&rest, "\t");
    uint32_t flags = flags_text != NULL ? (uint32_t)strtoul(flags_text, NULL, 10) : 0;
    pkg_text a = unhex(first != NULL ? first : "");
    pkg_text b = unhex(second != NULL ? second : "");
    switch (op[0]) {
    case 'v': on_version(flags, a); break;
    case 'c': on_compare(flags, a, b); break;
    case 'h':
    case 'g':
    case 'l': on_member(op[0], flags, a, b); break;
    case 'r':
    case 'm':
    case 'w': on_range(op[0], flags, a, b); break;
    case 'j': on_json(a); break;
    case 's': on_spec(a, b); break;
    case 'p': on_pick(a, b); break;
    default: (void)puts("?"); break;
    }
}

int main(void)
{
    char *line = malloc(LINE_MAX_BYTES);
    if (line == NULL || brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 1;
    }
    while (fgets(line, LINE_MAX_BYTES, stdin) != NULL) {
        answer(line);
        brisk_arena_reset(arena);
    }
    brisk_arena_destroy(arena);
    free(line);
    return fflush(stdout) == 0 ? 0 : 1;
}
