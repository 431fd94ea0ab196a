/*
 * override.h -- which of the project's "overrides" apply where in the tree.
 *
 * The rules form a tree: what stands inside another applies below the packages that one is about.
 * A node carries the rule that was met last on the way to it (the whole set, at first); an edge
 * carries the rule that is about it, or its node's.  A rule may be compared by its address.
 *
 * Threads: one at a time.  Ownership: the arena of the tree.
 * Source: npm's documentation of "overrides".
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_OVERRIDE_H
#define BRISK_SRC_WORKLOAD_PKG_OVERRIDE_H

#include "workload/pkg/tree.h"

enum {
    PKG_RULES_MAX = 10000,
    PKG_RULE_DEPTH_MAX = 64,
    PKG_RULE_UPDATES_PER_NODE = 64, /* of a node's rule; more is a cycle of contradictions */
};

struct pkg_rule {
    const pkg_rule *parent; /* NULL: the whole set */
    const pkg_override *from;
    pkg_text name;
    const semver_range *key_range; /* NULL: any version */
    pkg_text key;                  /* the spec of the key; "*" when none */
    pkg_text value;                /* "*": leaves the spec alone */
    const semver_range *value_range;
    const pkg_spec *value_parsed; /* of a value that is no range */
    pkg_rule *children;
    uint32_t child_count;
};

/* *ret is NULL when the project has none.  Errors: LIMIT, NOMEM. */
brisk_err pkg_rules_make(const pkg_project *project, brisk_arena *arena, const pkg_rule **ret);
/* Give the edge the rule that is about it under its node's, and the spec that follows. */
void pkg_rule_apply(pkg_tree *tree, pkg_edge *edge);
/* An edge with that rule points to `node` now, or no longer: its own rule may change. */
void pkg_rule_edge_added(pkg_tree *tree, pkg_node *node, const pkg_rule *rule);
void pkg_rule_edge_gone(pkg_tree *tree, pkg_node *node, const pkg_rule *rule);
/* Is the rule about exactly this version (its key has a range, and the version is in it)? */
bool pkg_rule_is_about(const pkg_rule *rule, const pkg_manifest *manifest);
/* Do both say something of one package that cannot be both? */
bool pkg_rules_conflict(const pkg_rule *a, const pkg_rule *b);

#endif /* BRISK_SRC_WORKLOAD_PKG_OVERRIDE_H */
