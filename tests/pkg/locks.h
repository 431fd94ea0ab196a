/*
 * locks.h -- trees for tests: from the text of a lock, or random ones.
 */
#ifndef BRISK_TESTS_PKG_LOCKS_H
#define BRISK_TESTS_PKG_LOCKS_H

#include <string.h>

#include "support/check.h"
#include "workload/pkg/lock.h"

typedef struct lock_tree {
    brisk_arena *arena;
    pkg_tree tree;
} lock_tree;

static inline lock_tree lock_tree_read(const char *text)
{
    lock_tree l = {0};
    brisk_errinfo info = {0};
    CHECK_OK(brisk_arena_create(NULL, &l.arena));
    if (pkg_lock_read(pkg_text_of(text), l.arena, &l.tree, NULL, &info) != BRISK_OK) {
        fail_msg("%s", info.text);
    }
    return l;
}

static inline void lock_tree_free(lock_tree *l)
{
    brisk_arena_destroy(l->arena);
}

enum { RANDOM_LOCK_MAX = 16384 };

/* `count` packages p0.. flat in node_modules, each pair an edge with probability 1 in `sparse`,
 * circles and edges to itself among them; the root needs some. */
static inline void random_lock(uint64_t *seed, uint32_t count, uint32_t sparse,
                               char text[RANDOM_LOCK_MAX])
{
    size_t n = 0;
    n += (size_t)snprintf(text + n, RANDOM_LOCK_MAX - n, "{\"lockfileVersion\":3,\"packages\":{");
    for (uint32_t i = 0; i <= count; i++) {
        n += i == 0 ? (size_t)snprintf(text + n, RANDOM_LOCK_MAX - n, "\"\":{\"dependencies\":{")
                    : (size_t)snprintf(text + n, RANDOM_LOCK_MAX - n,
                                       ",\"node_modules/p%u\":{\"version\":\"1.0.0\","
                                       "\"dependencies\":{",
                                       i - 1);
        bool first = true;
        for (uint32_t j = 0; j < count; j++) {
            if (check_random(seed) % sparse == 0) {
                n += (size_t)snprintf(text + n, RANDOM_LOCK_MAX - n, "%s\"p%u\":\"^1\"",
                                      first ? "" : ",", j);
                first = false;
            }
        }
        n += (size_t)snprintf(text + n, RANDOM_LOCK_MAX - n, "}}");
    }
    n += (size_t)snprintf(text + n, RANDOM_LOCK_MAX - n, "}}");
    assert_true(n < RANDOM_LOCK_MAX);
}

#endif /* BRISK_TESTS_PKG_LOCKS_H */
