/*
 * ideal_internal.h -- what the parts of the tree's builder share.
 *
 *     ideal.c    the queue: which node is looked at next, what it lacks
 *     choose.c   which version a dependency means
 *     peers.c    a candidate with all its peers, in a virtual root
 *     can_place.c may it go there?
 *     place.c    put it there, remove what it makes superfluous
 *     depset.c   who is needed by whom only
 *     start.c    the project and its lock as the tree that is begun with
 *     explain.c  a conflict in words
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_IDEAL_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_IDEAL_INTERNAL_H

#include "workload/pkg/ideal.h"
#include "workload/pkg/override.h"

typedef struct choice_table choice_table;

typedef struct builder {
    const pkg_project *project;
    const pkg_source *source;
    const pkg_ideal_opts *opts;
    brisk_arena *arena;
    brisk_arena *scratch; /* until the next node of the queue */
    pkg_tree tree;
    choice_table *choices;
    pkg_node **queue; /* a heap */
    uint64_t *queue_keys;
    uint32_t queue_count;
    uint32_t queue_capacity;
    pkg_node **links; /* placed, their targets not looked at yet */
    uint32_t link_count;
    uint32_t link_capacity;
    uint32_t placed;
    uint32_t required; /* stamp: node->required of what must be had */
    uint32_t tries;    /* for the peers of the present dependency */
    uint32_t peer_depth;
    uint32_t check; /* stamp of can_place's walks */
    pkg_conflict *conflict;
    brisk_errinfo *info;
} builder;

/* --- nodes in arrays ------------------------------------------------------------------------ */

typedef struct node_list {
    pkg_node **items;
    uint32_t count;
    uint32_t capacity;
} node_list;

/* In the scratch arena. */
brisk_err node_list_add(builder *b, node_list *list, pkg_node *node);

/* --- choose.c ------------------------------------------------------------------------------- */

brisk_err choose_init(builder *b);
/* What `edge` means: a manifest, or a failure (then *ret is NULL).  Errors: CANCELLED, NOMEM. */
brisk_err choose(builder *b, const pkg_edge *edge, const pkg_manifest **ret, pkg_failure **failure);
/* Is it the project's own word, or that of a folder beside it, rather than a package's? */
bool choose_is_own(const pkg_edge *edge);
/* Pairs of name and spec that were met so far. */
uint32_t choose_count(const builder *b);
/* Tell the source what a manifest will need. */
brisk_err choose_hint(builder *b, const pkg_manifest *manifest, bool dev);

/* --- depset.c ------------------------------------------------------------------------------- */

/* Which edges count for a set of dependencies. */
typedef struct edge_filter {
    const pkg_node *not_to;
    const pkg_node *not_from;
    bool fine;           /* only satisfied ones */
    bool not_conflicted; /* none that were given up */
} edge_filter;

/* `set` and what only it needs: *set becomes the whole of it, or less. */
brisk_err depset_gather(builder *b, node_list *set, edge_filter filter);
/* Is `node` among what only `top` needs? */
brisk_err depset_has(builder *b, pkg_node *top, pkg_node *node, bool *ret);
/* May `node` stand where `current` is?  Peers in the folder of `beside` (or NULL) do not count. */
brisk_err depset_can_replace(builder *b, pkg_node *node, pkg_node *current, const pkg_node *beside,
                             bool *ret);

/* --- peers.c -------------------------------------------------------------------------------- */

/* A candidate for `edge` in `parent` (a virtual root, or NULL), with its peers. */
brisk_err peers_candidate(builder *b, pkg_edge *edge, pkg_node *parent, pkg_edge *second,
                          pkg_node **ret);
/* The virtual root last made for `node`, or a new one. */
brisk_err peers_root(builder *b, pkg_node *node, pkg_node **ret);

/* An edge through which a set of peers comes in, and the nodes of that set. */
typedef struct peer_entry {
    pkg_edge *edge;
    node_list set;
} peer_entry;

typedef struct peer_entries {
    peer_entry *items;
    uint32_t count;
    uint32_t capacity;
} peer_entries;

/* All sets of peers in the tree that `node` belongs to. */
brisk_err peers_entries(builder *b, pkg_node *node, peer_entries *ret);
/* CONFLICT, with everything that explains it. */
brisk_err peers_fail(builder *b, const pkg_conflict *conflict);

/* --- can_place.c ---------------------------------------------------------------------------- */

typedef enum place_answer {
    PLACE_UNKNOWN,
    PLACE_OK,       /* nothing of that name is there, nobody minds */
    PLACE_KEEP,     /* what is there will do */
    PLACE_REPLACE,  /* it may go in the place of what is there */
    PLACE_CONFLICT, /* not here */
} place_answer;

typedef struct can_place can_place;
struct can_place {
    pkg_node *dep;
    pkg_node *target;
    pkg_edge *edge;
    can_place *parent;
    pkg_node *current;
    pkg_edge *target_edge;
    can_place *conflict; /* below: the first peer in conflict with something there */
    place_answer answer;
    place_answer self;
    place_answer peers;
    bool prefer_dedupe;
    bool edge_override;
};

/* `c` has dep, target, edge, parent, prefer_dedupe. */
brisk_err can_place_check(builder *b, can_place *c);
/* The deepest folder below which `from` can find `key`: where the dependency is no peer. */
pkg_node *deepest_target(pkg_node *from, const pkg_name *key);

/* --- place.c -------------------------------------------------------------------------------- */

typedef struct placing placing;
struct placing {
    pkg_node *dep;
    pkg_edge *edge;
    placing *parent;
    pkg_node *start;
    can_place *can;
    can_place *self;
    pkg_node *placed;
    node_list to_evaluate;
    placing *next; /* in order of beginning */
};

/* Place `dep` for `edge`, and its peers; *ret is the list of what was done. */
brisk_err place_dep(builder *b, pkg_node *dep, pkg_edge *edge, placing **ret);

/* --- start.c -------------------------------------------------------------------------------- */

/* The root and the workspaces; what the lock has, when there is one. */
brisk_err start_tree(builder *b, const pkg_tree *lock);
/* The folder of the project that `edge` means, or NULL: a workspace, or file: and link:. */
brisk_err folder_of(builder *b, const pkg_edge *edge, pkg_node **ret);

/* --- explain.c ------------------------------------------------------------------------------ */

/* Who needs what could not be had: the conflict's chain. */
brisk_err explain_missing(builder *b, pkg_node *node);

/* --- ideal.c -------------------------------------------------------------------------------- */

brisk_err ideal_fail(builder *b, brisk_err err, const char *format, ...) BRISK_PRINTF(3, 4);

static inline bool node_failed(const pkg_node *node)
{
    return (node->flags & PKG_NODE_FAILED) != 0;
}

static inline bool node_removed(const pkg_node *node)
{
    return (node->flags & PKG_NODE_REMOVED) != 0;
}

#endif /* BRISK_SRC_WORKLOAD_PKG_IDEAL_INTERNAL_H */
