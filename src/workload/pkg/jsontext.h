/*
 * jsontext.h -- small strict JSON reading for files people and registries write: package.json,
 * locks, one version of a packument.  A cursor over text; nothing is copied until it is unescaped.
 *
 * Strict RFC 8259, depth <= PKG_JSON_DEPTH_MAX; of duplicate keys the last counts, as in JSON.parse.
 *
 * Threads: one at a time.  Source: RFC 8259.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_JSONTEXT_H
#define BRISK_SRC_WORKLOAD_PKG_JSONTEXT_H

#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/err.h>

#include "workload/pkg/text.h"

enum { PKG_JSON_DEPTH_MAX = 128 };

typedef enum pkg_json_type {
    PKG_JSON_NULL,
    PKG_JSON_BOOL,
    PKG_JSON_NUMBER,
    PKG_JSON_STRING,
    PKG_JSON_ARRAY,
    PKG_JSON_OBJECT,
} pkg_json_type;

typedef struct pkg_json pkg_json;

/* A parsed value, in the arena.  Members of objects in the order of their first appearance. */
struct pkg_json {
    pkg_json_type type;
    bool boolean;
    double number;
    pkg_text text; /* of a string: unescaped UTF-8 (lone surrogates become U+FFFD) */
    pkg_text raw;  /* as written, of any value */
    uint32_t line; /* where it begins; from 1 */
    uint32_t count;
    const pkg_text *keys;         /* of an object, unescaped */
    const pkg_json *const *items; /* of an object or array */
};

/*
 * The whole text is one value; a byte order mark before it is skipped.
 * Errors with `info` ("line 3, column 7: ..."): CORRUPT, LIMIT (depth), NOMEM.
 */
brisk_err pkg_json_parse(pkg_text text, brisk_arena *arena, const pkg_json **ret,
                         brisk_errinfo *info);
/* The member, or NULL: none, or `object` is NULL or no object. */
const pkg_json *pkg_json_get(const pkg_json *object, const char *key);
/* The member's text, or "" when there is none or it is no string. */
pkg_text pkg_json_get_text(const pkg_json *object, const char *key);

#endif /* BRISK_SRC_WORKLOAD_PKG_JSONTEXT_H */
