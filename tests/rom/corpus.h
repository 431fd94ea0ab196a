/*
 * corpus.h -- the folder of real ROMs and patches that lies outside the repository.
 *
 * $BRISK_CORPUS, or ../shared/corpus beside the source root.  Tests skip when it is missing.
 */
#ifndef BRISK_TESTS_ROM_CORPUS_H
#define BRISK_TESTS_ROM_CORPUS_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "support/check.h"

/* "<corpus>/rom/<name>" in static storage, and whether it exists. */
static inline bool corpus_path(const char *name, char ret[PATH_MAX])
{
    const char *root = getenv("BRISK_CORPUS");
    if (root != NULL && root[0] != '\0') {
        (void)snprintf(ret, PATH_MAX, "%.2000s/rom/%.2000s", root, name);
    } else {
        (void)snprintf(ret, PATH_MAX, "%.1000s/../shared/corpus/rom/%.2000s", BRISK_SOURCE_ROOT,
                       name);
    }
    struct stat st;
    return stat(ret, &st) == 0;
}

/* Likewise; the test case is skipped with a message when it does not exist. */
static inline void corpus_need(const char *name, char ret[PATH_MAX])
{
    if (!corpus_path(name, ret)) {
        print_message("%s is missing: skipped\n", ret);
        skip();
    }
}

#endif /* BRISK_TESTS_ROM_CORPUS_H */
