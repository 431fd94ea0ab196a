/*
 * tree.h -- the tree of node_modules: what is where, and who needs what.
 *
 * A node is a folder: the root, a folder of the project (workspace, file:), or NODE_MODULES/name
 * below another node.  An edge is a dependency that a node declares; it points to the node that the
 * lookup from there finds (walk up the parents' node_modules, then the folders around), or to none.
 *
 * Invariants: children of a node are sorted by name and unique but for case; an edge's `to` is what
 * pkg_tree_lookup(from, name) gives and its state what pkg_edge_judge says; `nodes` is in order of
 * creation, with holes (NULL) where one was removed.
 *
 * A virtual node stands for another one (`source`) and has a few children: the set of peers that
 * would come along with something.  It and its children are in no list of the tree.
 *
 * Threads: one at a time.  Ownership: everything lives in the tree's arena.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_TREE_H
#define BRISK_SRC_WORKLOAD_PKG_TREE_H

#include "workload/pkg/package.h"
#include "workload/pkg/project.h"

typedef struct pkg_node pkg_node;
typedef struct pkg_edge pkg_edge;
typedef struct pkg_name pkg_name;
typedef struct pkg_rule pkg_rule; /* of override.h */
typedef struct pkg_tree_index pkg_tree_index;

enum {
    PKG_TREE_NODES_MAX = 1 << 20,
    PKG_TREE_DEPTH_MAX = 256, /* of node_modules in node_modules: paths end at 4096 bytes anyway */
};

typedef enum pkg_edge_state {
    PKG_EDGE_VALID,
    PKG_EDGE_MISSING,    /* nothing found: an error unless the dependency is optional */
    PKG_EDGE_INVALID,    /* found, but not what the spec asks for */
    PKG_EDGE_PEER_LOCAL, /* a peer found in the node's own node_modules */
} pkg_edge_state;

struct pkg_edge {
    pkg_node *from;
    pkg_node *to;
    const pkg_dep *dep;            /* as declared */
    pkg_text spec;                 /* what counts: dep->spec, or what an override makes of it */
    const semver_range *range;     /* of spec (an alias' too), or NULL when it is none */
    const pkg_spec *parsed;        /* of a spec that is no plain range; else NULL */
    const semver_range *raw_range; /* of dep->spec, likewise */
    const pkg_spec *raw_parsed;
    const pkg_rule *rule; /* of the overrides; NULL: the project has none */
    pkg_name *key;
    pkg_edge *next_in; /* of `to`: the next edge that points there */
    pkg_edge *prev_in;
    pkg_edge *next_named; /* edges of this name, in the whole tree */
    pkg_edge *prev_named;
    const void *checked; /* of placing: see place.c */
    uint32_t checked_stamp;
    pkg_edge_state state;
    bool any; /* spec is "" or "*": even a pre-release will do */
    bool raw_any;
    bool overridden; /* spec differs from dep->spec */
    bool conflicted; /* a peer that was given up: npm warns and goes on */
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
    PKG_NODE_VIRTUAL = 1 << 8,   /* of a set of peers: not in the tree */
    PKG_NODE_REMOVED = 1 << 9,   /* not in the tree any more */
    PKG_NODE_FAILED = 1 << 10,   /* could not be had; see pkg_failure in ideal.h */
    PKG_NODE_FLAGS_LOCK = PKG_NODE_DEV | PKG_NODE_OPTIONAL | PKG_NODE_DEV_OPTIONAL | PKG_NODE_PEER |
                          PKG_NODE_EXTRANEOUS,
};

struct pkg_node {
    pkg_text name; /* of the folder; an alias may differ from manifest->name */
    const pkg_manifest *manifest;
    pkg_text path;     /* "" root; "node_modules/a/node_modules/b"; "packages/x" */
    pkg_text resolved; /* URL or path the lock names; "" when none */
    pkg_text integrity;
    pkg_node *parent;    /* whose node_modules this lies in; NULL for the root and folders */
    pkg_node *fs_parent; /* of a folder: the one it lies in */
    pkg_node *target;    /* of a link */
    pkg_node *source;    /* of a virtual node without parent: what it stands for */
    pkg_node **children;
    uint32_t child_count;
    uint32_t child_capacity;
    pkg_edge *edges; /* edges_out by name, one per name */
    uint32_t edge_count;
    uint32_t flags; /* PKG_NODE_... */
    pkg_edge *in;   /* list by next_in, the newest first */
    pkg_edge *lazy; /* of a virtual root: its edges as far as they were asked for */
    pkg_name *key;
    pkg_node *next_named; /* nodes of this name, in order of creation */
    pkg_node *prev_named;
    const pkg_rule *rule; /* which overrides apply below; NULL: none */
    pkg_node *rule_next;  /* of the list of override.c */
    uint32_t rule_updates;
    bool rule_pending;
    bool on_path; /* the rest: of the builder, see ideal_internal.h */
    bool seen;
    bool queued;
    uint32_t required;
    pkg_node *virtual_root;
    pkg_node *lone;
    pkg_node *virtual_folders; /* of a virtual root: copies of linked folders, and the next */
    uint32_t depth;            /* node_modules above it; 0: root or a folder */
    uint32_t index;            /* in tree.nodes */
    uint32_t serial;           /* unique, also of virtual nodes */
    uint32_t mark;             /* of walks */
    void *extra;               /* of whoever builds or walks; NULL at first */
};

/* A name that occurs in the tree; equal but for case (of ASCII) is equal. */
struct pkg_name {
    pkg_text folded;
    uint64_t hash;
    pkg_edge *edges;
    pkg_node *nodes;
    pkg_node *nodes_last;
    uint32_t id;
};

typedef struct pkg_tree {
    brisk_arena *arena; /* the caller's */
    pkg_node *root;
    pkg_node **nodes;
    uint32_t count; /* of slots in nodes, holes included */
    uint32_t capacity;
    uint32_t live;      /* nodes that are there */
    pkg_node **folders; /* nodes without parent, the root first */
    uint32_t folder_count;
    uint32_t folder_capacity;
    uint32_t stamp;        /* the last mark given */
    bool legacy_peers;     /* peer dependencies make no edges */
    pkg_tree_index *index; /* names; (parent, name) to child */
} pkg_tree;

/* The root's edges are not loaded yet.  Errors: NOMEM. */
brisk_err pkg_tree_init(pkg_tree *tree, brisk_arena *arena, const pkg_manifest *root);
/*
 * A new folder in `parent`'s node_modules, without edges; what looks for it finds it.  An older
 * child of the name goes.  Errors: NOMEM, LIMIT (depth, nodes).
 */
brisk_err pkg_tree_add(pkg_tree *tree, pkg_node *parent, pkg_text name,
                       const pkg_manifest *manifest, pkg_node **ret);
/* A folder of the project; `path` relative to the root, normal, not in a node_modules. */
brisk_err pkg_tree_add_folder(pkg_tree *tree, pkg_text path, pkg_text name,
                              const pkg_manifest *manifest, pkg_node **ret);
brisk_err pkg_tree_add_link(pkg_tree *tree, pkg_node *parent, pkg_text name, pkg_node *target,
                            pkg_node **ret);
/* With everything below it.  Edges that pointed there are looked up again. */
void pkg_tree_remove(pkg_tree *tree, pkg_node *node);
/* By exact name, or NULL. */
pkg_node *pkg_node_child(const pkg_node *node, pkg_text name);
/* What require(name) finds from `from`, or NULL. */
pkg_node *pkg_tree_lookup(const pkg_node *from, pkg_text name);
/* The folder at a path, or NULL. */
pkg_node *pkg_tree_at(const pkg_tree *tree, pkg_text path);
/* Does `node` satisfy `edge` (range, alias, tag as recorded, link)? */
bool pkg_edge_accepts(const pkg_edge *edge, const pkg_node *node);
/* Make the edges of `node` from its manifest and look them up. */
brisk_err pkg_tree_load_edges(pkg_tree *tree, pkg_node *node);
/* Set DEV, OPTIONAL, DEV_OPTIONAL, PEER and EXTRANEOUS of every node, as npm's lock has them. */
brisk_err pkg_tree_set_flags(pkg_tree *tree);

static inline bool pkg_edge_is_peer(const pkg_edge *edge)
{
    return edge->dep->kind == PKG_DEP_PEER || edge->dep->kind == PKG_DEP_PEER_OPTIONAL;
}

static inline bool pkg_edge_is_optional(const pkg_edge *edge)
{
    return edge->dep->kind == PKG_DEP_OPTIONAL || edge->dep->kind == PKG_DEP_PEER_OPTIONAL;
}

/* Nobody need care: satisfied, or optional and not there. */
static inline bool pkg_edge_is_fine(const pkg_edge *edge)
{
    return edge->state == PKG_EDGE_VALID ||
           (edge->state == PKG_EDGE_MISSING && pkg_edge_is_optional(edge));
}

/* The folder in which a lookup from `node` goes on, or NULL. */
static inline pkg_node *pkg_node_above(const pkg_node *node)
{
    return node->parent != NULL ? node->parent : node->fs_parent;
}

/* Is `node` at or below `above` (in the sense of lookups)? */
static inline bool pkg_node_is_below(const pkg_node *node, const pkg_node *above)
{
    while (node != NULL && node != above) {
        node = pkg_node_above(node);
    }
    return node != NULL;
}

/* The root or a workspace of the project: what its author can change. */
static inline bool pkg_node_is_project(const pkg_node *node)
{
    return node->index == 0 || (node->flags & PKG_NODE_WORKSPACE) != 0;
}

/* --- for those who build -------------------------------------------------------------------- */

/* NULL: out of memory. */
pkg_name *pkg_tree_name(pkg_tree *tree, pkg_text name, uint64_t hash);
pkg_node *pkg_tree_child(const pkg_tree *tree, const pkg_node *parent, const pkg_name *key);
pkg_node *pkg_tree_resolve(const pkg_tree *tree, const pkg_node *from, const pkg_name *key);
/* The edge of that name, or NULL.  Of a virtual root: as far as it was made. */
pkg_edge *pkg_node_edge(const pkg_node *node, const pkg_name *key);
/* A node that is nowhere yet. */
brisk_err pkg_node_new(pkg_tree *tree, pkg_text name, const pkg_manifest *manifest, pkg_node **ret);
/* Put a new node (or one of a virtual root that was pushed out) there; loads its edges first. */
brisk_err pkg_tree_put(pkg_tree *tree, pkg_node *parent, pkg_node *node);
/* `node`, new, takes the place of `old` and its children; its edges are loaded. */
brisk_err pkg_tree_replace(pkg_tree *tree, pkg_node *old, pkg_node *node);
/* A virtual root that stands for `source`. */
brisk_err pkg_tree_virtual(pkg_tree *tree, pkg_node *source, pkg_node **ret);
/* The virtual root's edge of that name, made when its source has one; *ret may become NULL. */
brisk_err pkg_tree_virtual_edge(pkg_tree *tree, pkg_node *root, const pkg_name *key,
                                pkg_edge **ret);
/* A copy of a folder that lies in what `root` stands for: it sees what the virtual root has. */
brisk_err pkg_tree_virtual_folder(pkg_tree *tree, pkg_node *root, const pkg_node *folder);
/* `relative` seen from the folder `base`, without "." and "..".  Errors: LIMIT (steps), NOMEM. */
brisk_err pkg_path_join(brisk_arena *arena, pkg_text base, pkg_text relative, pkg_text *ret);
/* Look the edge up again and judge it. */
void pkg_edge_reload(pkg_tree *tree, pkg_edge *edge);
/* Judge it: where it points to something else inside now. */
void pkg_edge_judge(pkg_edge *edge);
/* As npm's matches(): the same thing, wherever it lies. */
bool pkg_node_same(const pkg_node *a, const pkg_node *b);

#endif /* BRISK_SRC_WORKLOAD_PKG_TREE_H */
