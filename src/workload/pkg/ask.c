/*
 * ask.c -- a package asked for on the command line; behind ask.h.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/ask.h"

#include <stdlib.h>

brisk_err pkg_ask_parse(const char *word, brisk_arena *arena, pkg_ask *ret, brisk_errinfo *info)
{
    pkg_ask ask = {.name = pkg_text_of(word)};
    const char *at = strchr(word, '@');
    at = at == word ? strchr(word + strlen("@"), '@') : at; /* "@scope/..." begins so */
    if (at != NULL) {
        ask.name.size = (size_t)(at - word);
        ask.spec = pkg_text_of(at + 1);
        brisk_err err = semver_range_parse(arena, ask.spec, SEMVER_LOOSE, &ask.range);
        if (err == BRISK_ERR_NOMEM) {
            return brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
        }
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "%s: \"%s\" is no version and no range of versions", word,
                                     at + 1);
        }
    }
    if (ask.name.size == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "the name of a package is empty");
    }
    *ret = ask;
    return BRISK_OK;
}

static bool is_meant(const pkg_node *node, const pkg_ask *ask)
{
    if (node == NULL || node->index == 0 || (node->flags & PKG_NODE_LINK) != 0 ||
        (!pkg_text_equal(node->manifest->name, ask->name) &&
         !pkg_text_equal(node->name, ask->name))) {
        return false;
    }
    return ask->range == NULL || semver_range_has(ask->range, &node->manifest->semver);
}

static int compare(const void *a, const void *b)
{
    const pkg_node *x = *(const pkg_node *const *)a;
    const pkg_node *y = *(const pkg_node *const *)b;
    int order = semver_compare(&y->manifest->semver, &x->manifest->semver);
    if (order == 0) {
        order = pkg_text_compare(y->manifest->version, x->manifest->version);
    }
    return order != 0 ? order : pkg_text_compare(x->path, y->path);
}

brisk_err pkg_ask_find(const pkg_tree *tree, const pkg_ask *ask, brisk_arena *arena, pkg_found *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        count += is_meant(tree->nodes[i], ask);
    }
    const pkg_node **nodes = brisk_arena_alloc(arena, count * sizeof(pkg_node *));
    if (nodes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    count = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        if (is_meant(tree->nodes[i], ask)) {
            nodes[count++] = tree->nodes[i];
        }
    }
    if (count > 1) {
        qsort(nodes, count, sizeof(pkg_node *), compare);
    }
    *ret = (pkg_found){.nodes = nodes, .count = count};
    return BRISK_OK;
}
