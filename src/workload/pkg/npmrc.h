/*
 * npmrc.h -- the lines of an .npmrc, and of the environment, as keys and values.
 *
 * Threads: one at a time.  Ownership: everything lives in the arena.  Values may be secret: they
 * belong in no message.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_NPMRC_H
#define BRISK_SRC_WORKLOAD_PKG_NPMRC_H

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/pkg/text.h"

enum {
    NPMRC_BYTES_MAX = 1 << 20,
    NPMRC_ENTRIES_MAX = 20000,
    NPMRC_VALUE_MAX = 1 << 16, /* after variables were put in */
};

typedef struct npmrc_entry {
    pkg_text key;
    pkg_text value; /* "true" for a key without '=' */
    uint32_t line;  /* 0: from the environment */
    bool list;      /* written "key[]" */
} npmrc_entry;

typedef struct npmrc {
    const char *file; /* for messages; NULL: the environment */
    const npmrc_entry *entries;
    uint32_t count;
} npmrc;

/*
 * Sections are stepped over, with what is in them.  ${NAME} becomes the value in `environment`
 * ("NAME=value", ended by NULL), ${NAME?} nothing when there is none; unknown names stay as they are.
 * Errors with `info` (file, line): LIMIT, NOMEM.
 */
brisk_err npmrc_parse(pkg_text text, const char *file, char *const *environment, brisk_arena *arena,
                      npmrc *ret, brisk_errinfo *info);
/* npm_config_some_key=value of the environment as some-key. */
brisk_err npmrc_from_environment(char *const *environment, brisk_arena *arena, npmrc *ret,
                                 brisk_errinfo *info);
/* The value of a variable; data NULL: none. */
pkg_text npmrc_variable(char *const *environment, pkg_text name);
/* The last entry of that key, or NULL. */
const npmrc_entry *npmrc_find(const npmrc *rc, pkg_text key);

#endif /* BRISK_SRC_WORKLOAD_PKG_NPMRC_H */
