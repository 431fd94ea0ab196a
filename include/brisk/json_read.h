/*
 * brisk/json_read.h -- a JSON text of a stranger as a tree that remembers where every value stands.
 *
 * Strict: RFC 8259 and nothing more, UTF-8 (no surrogates alone), no member twice, bounded depth
 * and count.  Strings are decoded; numbers stay as they were written, for the accessors to convert.
 *
 * Ownership: nodes and decoded strings live in `alloc`, which must be one that gives everything
 * back at once (brisk_arena_as_alloc); numbers, `raw` and strings without escapes point into the text.
 * Threads: the tree never changes.  Source: RFC 8259, RFC 3629.
 */
#ifndef BRISK_JSON_READ_H
#define BRISK_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_JSON_READ_DEPTH_MAX = 64, BRISK_JSON_READ_NODES_MAX = 1000000 };

typedef enum brisk_json_kind {
    BRISK_JSON_NULL = 0,
    BRISK_JSON_BOOL,
    BRISK_JSON_NUMBER,
    BRISK_JSON_STRING,
    BRISK_JSON_ARRAY,
    BRISK_JSON_OBJECT,
} brisk_json_kind;

typedef struct brisk_json_node brisk_json_node;

/** Read-only for callers.  Texts are not NUL-terminated; strings and keys may hold NULs. */
struct brisk_json_node {
    brisk_json_kind kind;
    bool boolean;                 /**< BOOL. */
    uint32_t count;               /**< ARRAY, OBJECT: children. */
    const char *key;              /**< In an object: the member's name, decoded; otherwise NULL. */
    size_t key_size;              /**< Its bytes. */
    const char *text;             /**< STRING: decoded.  NUMBER: as written.  Otherwise NULL. */
    size_t size;                  /**< Its bytes. */
    const char *raw;              /**< The whole value as it stands in the text ... */
    size_t raw_size;              /**< ... and its bytes. */
    const brisk_json_node *child; /**< First child. */
    const brisk_json_node *next;  /**< Next sibling. */
};

/**
 * Read all of `text`.  Errors (`info` names the byte): INVALID (syntax, a member twice), LIMIT
 * (depth, count), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_json_read(const char *text, size_t size,
                                                    const brisk_alloc *alloc,
                                                    const brisk_json_node **ret,
                                                    brisk_errinfo *info);

/** Member of an object, or NULL; NULL and other kinds give NULL. */
BRISK_API const brisk_json_node *brisk_json_get(const brisk_json_node *object, const char *key);
/** Is `node` a string of exactly these bytes? */
BRISK_API bool brisk_json_is(const brisk_json_node *node, const char *text);

/*
 * Members of a request.  Each takes NULL for `object` as an empty one, leaves *ret alone when there
 * is no such member (or it is null), and names the member when it is wrong.  Errors: INVALID.
 */

/** A node of `kind`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_json_member(const brisk_json_node *object,
                                                      const char *key, brisk_json_kind kind,
                                                      const brisk_json_node **ret,
                                                      brisk_errinfo *info);
/** A whole number from `min` to `max`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_json_member_u64(const brisk_json_node *object,
                                                          const char *key, uint64_t min,
                                                          uint64_t max, uint64_t *ret,
                                                          brisk_errinfo *info);
BRISK_API BRISK_NODISCARD brisk_err brisk_json_member_bool(const brisk_json_node *object,
                                                           const char *key, bool *ret,
                                                           brisk_errinfo *info);
/** One of the NULL-terminated list `words`; *ret becomes its index. */
BRISK_API BRISK_NODISCARD brisk_err brisk_json_member_word(const brisk_json_node *object,
                                                           const char *key,
                                                           const char *const *words, uint32_t *ret,
                                                           brisk_errinfo *info);
/** Refuse members that are not in the NULL-terminated list `allowed`, and what is no object. */
BRISK_API BRISK_NODISCARD brisk_err brisk_json_check_members(const brisk_json_node *object,
                                                             const char *const *allowed,
                                                             brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_JSON_READ_H */
