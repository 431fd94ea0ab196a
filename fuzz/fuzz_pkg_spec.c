/*
 * fuzz_pkg_spec.c -- any bytes as a dependency's name and text.
 *
 * Input: name, a line end, text.
 * Oracle: what is wanted is part of the text (or "*"); a range comes with RANGE and not with TAG;
 * names that are taken cannot leave node_modules.
 */
#include <string.h>

#include <brisk/arena.h>

#include "base/assert.h"
#include "workload/pkg/gitspec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(pkg_text name)
{
    BRISK_ASSERT(name.size > 0 && name.data[0] != '.' && name.data[0] != '/');
    size_t slashes = 0;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        BRISK_ASSERT(c > ' ' && c < 0x7F && c != '\\' && c != ':' && c != '%');
        slashes += c == '/';
        BRISK_ASSERT(c != '/' || (i + 1 < name.size && name.data[i + 1] != '.'));
    }
    BRISK_ASSERT(slashes == 0 || (slashes == 1 && name.data[0] == '@'));
}

static bool is_part(pkg_text part, pkg_text whole)
{
    return part.size == 0 || pkg_text_is(part, "*") ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

static void check_spec(const pkg_spec *spec, pkg_text name, pkg_text text)
{
    BRISK_ASSERT(is_part(spec->wanted, text));
    if (spec->type == PKG_SPEC_INVALID) {
        return;
    }
    BRISK_ASSERT(spec->type != PKG_SPEC_RANGE || spec->range != NULL);
    BRISK_ASSERT(spec->type == PKG_SPEC_RANGE || spec->type == PKG_SPEC_ALIAS ||
                 spec->range == NULL);
    BRISK_ASSERT(!spec->is_version || spec->range != NULL);
    BRISK_ASSERT(spec->type != PKG_SPEC_TAG || pkg_tag_is_valid(spec->wanted));
    if (spec->type == PKG_SPEC_ALIAS) {
        check_name(spec->name);
        BRISK_ASSERT(spec->range != NULL || pkg_tag_is_valid(spec->wanted));
    } else {
        BRISK_ASSERT(pkg_text_equal(spec->name, name));
    }
}

/* What reaches git's command line: no option, no helper, nothing that a shell or a URL would split. */
static void check_argument(pkg_text word)
{
    BRISK_ASSERT(word.size == 0 || word.data[0] != '-');
    for (size_t i = 0; i < word.size; i++) {
        unsigned char c = (unsigned char)word.data[i];
        BRISK_ASSERT(c > ' ' && c < 0x7F && strchr("\"'`\\$<>|^{}", c) == NULL);
    }
}

static void check_git(pkg_text text, brisk_arena *arena)
{
    pkg_git git;
    pkg_text hash;
    pkg_text ref;
    brisk_errinfo info = {0};
    brisk_err err = pkg_git_parse(text, arena, &git, &info);
    BRISK_ASSERT(err == BRISK_OK || (err == BRISK_ERR_INVALID && info.text[0] != '\0'));
    if (err == BRISK_OK) {
        check_argument(git.urls[0]);
        check_argument(git.urls[1]);
        check_argument(git.committish);
        check_argument(git.subdir);
        BRISK_ASSERT(git.urls[0].size > 0 && git.base.size > 0);
        BRISK_ASSERT(memmem(git.urls[0].data, git.urls[0].size, "::", 2) == NULL);
        BRISK_ASSERT(pkg_git_same(text, text));
        err = pkg_git_pick(text, &git, arena, &hash, &ref);
        BRISK_ASSERT(err != BRISK_OK || pkg_git_is_hash(hash));
    }
    (void)pkg_git_same(text, PKG_TEXT("owner/repo#main"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    brisk_arena *arena;
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (end == NULL || brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return 0;
    }
    pkg_text name = {.data = (const char *)data, .size = (size_t)(end - data)};
    pkg_text text = {.data = (const char *)end + 1, .size = size - name.size - 1};
    if (pkg_name_is_valid(name)) {
        check_name(name);
    }
    pkg_spec spec;
    BRISK_ASSERT(pkg_spec_parse(name, text, arena, &spec) == BRISK_OK);
    BRISK_ASSERT(spec.type == PKG_SPEC_INVALID || name.size == 0 || pkg_name_is_valid(name));
    check_spec(&spec, name, text);
    check_git(text, arena);
    brisk_arena_destroy(arena);
    return 0;
}
