/*
 * tree.h -- the tree of node_modules: what is where, and who needs what.
 *
 * A node is a folder: the root, a workspace, or NODE_MODULES/name below another node.  An edge is a
 * dependency that a node declares; it points to the node that node's lookup finds (walk up the
 * parents' node_modules), or to none.
 *
 * Invariants: children of a node are sorted by name and unique; an edge's `to`, where valid, is
 * what pkg_tree_lookup(from, name) gives; `nodes` is in order of creation, with holes (NULL) where
 * one was removed.
 *
 * Threads: one at a time.  Ownership: everything lives in the tree's arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_TREE_H
#define BRISK_SRC_WORKLOAD_PKG_TREE_H

#include "workload/pkg/package.h"

typedef struct pkg_node pkg_node;
typedef struct pkg_edge pkg_edge;

typedef enum pkg_edge_state {
    PKG_EDGE_VALID,
    PKG_EDGE_MISSING,    /* nothing found: an error unless the dependency is optional */
    PKG_EDGE_INVALID,    /* found, but not what the spec asks for */
    PKG_EDGE_PEER_LOCAL, /* a peer found in the node's own node_modules */
} pkg_edge_state;

struct pkg_edge {
    pkg_node *from;
    pkg_node *to;
    const pkg_dep *dep;        /* as declared */
    pkg_text spec;             /* what counts: dep->spec, or what an override makes of it */
    const semver_range *range; /* parsed spec, or NULL when it is none */
    pkg_edge_state state;
    bool overridden;
    pkg_edge *next_in; /* of `to`: the next edge that points there */
};

enum {
    PKG_NODE_DEV = 1 << 0, /* flags as in a lock: reached only so */
    PKG_NODE_OPTIONAL = 1 << 1,
    PKG_NODE_DEV_OPTIONAL = 1 << 2,
    PKG_NODE_PEER = 1 << 3,
    PKG_NODE_EXTRANEOUS = 1 << 4,
    PKG_NODE_BUNDLED = 1 << 5,   /* comes in its bundler's tarball */
    PKG_NODE_LINK = 1 << 6,      /* a link to `target` (workspace, link: or file: folder) */
    PKG_NODE_WORKSPACE = 1 << 7, /* a folder of the project itself; its parent is NULL */
};

struct pkg_node {
    pkg_text name; /* of the folder; an alias may differ from manifest->name */
    const pkg_manifest *manifest;
    pkg_text path;     /* "" root; "node_modules/a/node_modules/b"; "packages/x" */
    pkg_text resolved; /* URL or path the lock names; "" when none */
    pkg_text integrity;
    pkg_node *parent; /* whose node_modules this lies in; NULL for the root and workspaces */
    pkg_node *target; /* of a link */
    pkg_node **children;
    uint32_t child_count;
    uint32_t child_capacity;
    pkg_edge *edges; /* edges_out, as manifest->deps is sorted (a root also has its dev ones) */
    uint32_t edge_count;
    pkg_edge *in;   /* list by next_in */
    uint32_t flags; /* PKG_NODE_... */
    uint32_t depth; /* 0: root */
    uint32_t index; /* in tree.nodes */
    void *extra;    /* of whoever builds or walks; NULL at first */
};

typedef struct pkg_tree {
    brisk_arena *arena; /* the caller's */
    pkg_node *root;
    pkg_node **nodes;
    uint32_t count; /* of slots in nodes, holes included */
    uint32_t capacity;
} pkg_tree;

brisk_err pkg_tree_init(pkg_tree *tree, brisk_arena *arena, const pkg_manifest *root);
/* A new folder in `parent` (NULL: a workspace with `path`).  NULL: out of memory. */
pkg_node *pkg_tree_add(pkg_tree *tree, pkg_node *parent, pkg_text name,
                       const pkg_manifest *manifest);
/* With everything below it. Edges that pointed there are looked up again. */
void pkg_tree_remove(pkg_tree *tree, pkg_node *node);
pkg_node *pkg_node_child(const pkg_node *node, pkg_text name);
/* What require(name) finds from `from`, or NULL. */
pkg_node *pkg_tree_lookup(const pkg_node *from, pkg_text name);
/* Does `node` satisfy `edge` (range, alias, tag as recorded, link)? */
bool pkg_edge_accepts(const pkg_edge *edge, const pkg_node *node);
/* Make the edges of `node` from its manifest and look them up. */
brisk_err pkg_tree_load_edges(pkg_tree *tree, pkg_node *node);
/* Set DEV, OPTIONAL, DEV_OPTIONAL, PEER and EXTRANEOUS of every node, as npm's lock has them. */
brisk_err pkg_tree_set_flags(pkg_tree *tree);

#endif /* BRISK_SRC_WORKLOAD_PKG_TREE_H */
