/*
 * brisk/yaml.h -- a YAML document as a tree that remembers the line of every value.
 *
 * Reads one document of untrusted text: no aliases or anchors, no tags, no duplicate keys, scalar
 * keys only, bounded depth and node count.  Scalars stay text; the accessors convert and blame
 * the line.  The tree lives in memory of the document.
 *
 * Source:  YAML 1.1 by libyaml (parser library).
 */
#ifndef BRISK_YAML_H
#define BRISK_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

enum { BRISK_YAML_DEPTH_MAX = 32, BRISK_YAML_NODES_MAX = 1000000 };

typedef enum brisk_yaml_kind {
    BRISK_YAML_SCALAR = 0,
    BRISK_YAML_SEQUENCE,
    BRISK_YAML_MAPPING,
} brisk_yaml_kind;

typedef struct brisk_yaml_node brisk_yaml_node;

/** Read-only for callers.  Children form a list in the order of the text. */
struct brisk_yaml_node {
    brisk_yaml_kind kind;
    uint32_t line;                /**< From 1; of the key for a collection in a mapping. */
    const char *key;              /**< In a mapping: this child's key; otherwise NULL. */
    const char *text;             /**< Scalar: NUL-terminated, no NUL inside; otherwise NULL. */
    bool quoted;                  /**< Scalar was quoted or a block: never a number or null. */
    uint32_t count;               /**< Number of children. */
    const brisk_yaml_node *child; /**< First child. */
    const brisk_yaml_node *next;  /**< Next sibling. */
};

typedef struct brisk_yaml_doc brisk_yaml_doc;

/**
 * Parse `size` bytes.  `name` (a path, say) stands in error texts as "name:line: ...".
 * An empty document gives an empty mapping.  The caller owns *ret; `alloc` NULL means libc.
 * Errors: INVALID (syntax, or a construct refused above), LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_yaml_parse(const char *name, const void *text,
                                                     size_t size, const brisk_alloc *alloc,
                                                     brisk_yaml_doc **ret, brisk_errinfo *info);
/** Free the document and every node.  NULL is accepted. */
BRISK_API void brisk_yaml_destroy(brisk_yaml_doc *doc);
BRISK_API const brisk_yaml_node *brisk_yaml_root(const brisk_yaml_doc *doc);
BRISK_API const char *brisk_yaml_name(const brisk_yaml_doc *doc);

/** Child of a mapping by key, or NULL.  NULL and non-mappings give NULL. */
BRISK_API const brisk_yaml_node *brisk_yaml_get(const brisk_yaml_node *mapping, const char *key);

/**
 * Refuse keys that are not in the NULL-terminated list `allowed`, naming line, key and the
 * nearest allowed one.  Errors: INVALID.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_yaml_check_keys(const brisk_yaml_doc *doc,
                                                          const brisk_yaml_node *mapping,
                                                          const char *const *allowed,
                                                          brisk_errinfo *info);
/**
 * An unsigned number: decimal without leading zeros, or hexadecimal after 0x, with `_` between
 * digits where wanted.  Errors: INVALID.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_yaml_u64(const brisk_yaml_doc *doc,
                                                   const brisk_yaml_node *node, uint64_t *ret,
                                                   brisk_errinfo *info);

BRISK_END_DECLS

#endif /* BRISK_YAML_H */
