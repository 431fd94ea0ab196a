/*
 * ideal.c -- the queue of the tree's builder; behind ideal.h.
 *
 * A node is taken from the queue (shallow ones first, then by path), a candidate is made for each
 * dependency that is missing or wrong, and all are placed in the order of their names.  What was
 * placed, and whoever is wrong because of it, joins the queue.  Folders that are linked are looked
 * at when all else is done.  At the end: flags, what failed, what nobody needs.
 *
 * Invariant: a node in the queue is in it once; a node taken from it has node->seen until something
 * breaks one of its edges.
 */
#include "workload/pkg/ideal.h"

#include <stdarg.h>
#include <stdio.h>

#include "workload/pkg/collate.h"
#include "workload/pkg/ideal_internal.h"

brisk_err ideal_fail(builder *b, brisk_err err, const char *format, ...)
{
    char text[BRISK_ERRINFO_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return brisk_errinfo_set(b->info, err, "%s", text);
}

/* --- the queue: a heap ---------------------------------------------------------------------- */

/* Depth, then the first letters behind node_modules/: most comparisons end here. */
static uint64_t key_of(const pkg_node *node)
{
    enum { SKIP = sizeof "node_modules/" - 1, DEPTH_SHIFT = 48 };
    uint64_t letters =
        pkg_collate_key(node->path, node->depth > 0 && node->parent->index == 0 ? SKIP : 0);
    bool shallow = node->depth > 0 && node->parent->index == 0;
    return (uint64_t)node->depth << DEPTH_SHIFT | (shallow ? letters >> 16 : 0);
}

/* Paths have much in common; what is the same at the front decides nothing. */
static int collate_behind(pkg_text a, pkg_text b)
{
    size_t same = 0;
    while (same < a.size && same < b.size && a.data[same] == b.data[same]) {
        same++;
    }
    return pkg_collate((pkg_text){a.data + same, a.size - same},
                       (pkg_text){b.data + same, b.size - same});
}

static bool comes_before(const builder *b, uint32_t i, uint32_t j)
{
    if (b->queue_keys[i] != b->queue_keys[j]) {
        return b->queue_keys[i] < b->queue_keys[j];
    }
    int order = collate_behind(b->queue[i]->path, b->queue[j]->path);
    return order != 0 ? order < 0 : b->queue[i]->serial < b->queue[j]->serial;
}

static void swap(builder *b, uint32_t i, uint32_t j)
{
    pkg_node *node = b->queue[i];
    uint64_t key = b->queue_keys[i];
    b->queue[i] = b->queue[j];
    b->queue_keys[i] = b->queue_keys[j];
    b->queue[j] = node;
    b->queue_keys[j] = key;
}

static brisk_err push(builder *b, pkg_node *node)
{
    if (node->queued || node_removed(node)) {
        return BRISK_OK;
    }
    if (b->queue_count == b->queue_capacity) {
        uint32_t capacity = b->queue_capacity == 0 ? 256 : b->queue_capacity * 2;
        pkg_node **queue = brisk_arena_alloc(b->arena, capacity * sizeof(pkg_node *));
        uint64_t *keys = brisk_arena_alloc(b->arena, capacity * sizeof(uint64_t));
        if (queue == NULL || keys == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (b->queue_count > 0) {
            memcpy(queue, b->queue, b->queue_count * sizeof(pkg_node *));
            memcpy(keys, b->queue_keys, b->queue_count * sizeof(uint64_t));
        }
        b->queue = queue;
        b->queue_keys = keys;
        b->queue_capacity = capacity;
    }
    uint32_t at = b->queue_count++;
    b->queue[at] = node;
    b->queue_keys[at] = key_of(node);
    node->queued = true;
    while (at > 0 && comes_before(b, at, (at - 1) / 2)) {
        swap(b, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
    return BRISK_OK;
}

static pkg_node *pop(builder *b)
{
    pkg_node *node = b->queue[0];
    b->queue_count--;
    swap(b, 0, b->queue_count);
    for (uint32_t at = 0;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < b->queue_count && comes_before(b, child, least)) {
                least = child;
            }
        }
        if (least == at) {
            break;
        }
        swap(b, at, least);
        at = least;
    }
    node->queued = false;
    return node;
}

/* Looked at again, whether it was or not. */
static brisk_err push_again(builder *b, pkg_node *node)
{
    node->seen = false;
    return push(b, node);
}

/* --- what a node lacks ---------------------------------------------------------------------- */

static bool is_bundled(const pkg_node *node, const pkg_edge *edge)
{
    const pkg_manifest *m = node->manifest;
    if (pkg_node_is_project(node)) {
        return false;
    }
    if ((m->flags & PKG_BUNDLES_ALL) != 0) {
        return edge->dep->kind == PKG_DEP_PROD || edge->dep->kind == PKG_DEP_OPTIONAL;
    }
    for (uint32_t i = 0; i < m->bundled.count; i++) {
        if (pkg_text_equal(m->bundled.items[i], edge->dep->name)) {
            return true;
        }
    }
    return false;
}

static bool is_problem(const pkg_node *node, const pkg_edge *edge)
{
    if (edge->conflicted || (edge->to != NULL && node_failed(edge->to)) || is_bundled(node, edge)) {
        return false;
    }
    if (edge->to == NULL) {
        return edge->dep->kind != PKG_DEP_PEER_OPTIONAL;
    }
    return !pkg_edge_is_fine(edge);
}

/* An optional peer in a wrong version: one in the tree that would do, the highest first. */
static pkg_node *find_below(pkg_node *top, const pkg_edge *edge)
{
    pkg_node *best = NULL;
    for (pkg_node *node = edge->key->nodes; node != NULL; node = node->next_named) {
        if ((best == NULL || node->depth < best->depth) && node->parent != NULL &&
            (node->flags & PKG_NODE_BUNDLED) == 0 && pkg_edge_accepts(edge, node) &&
            pkg_node_is_below(node->parent, top)) {
            best = node;
        }
    }
    return best;
}

static brisk_err candidate_for(builder *b, pkg_node *node, pkg_edge *edge, pkg_node **ret)
{
    pkg_node *parent = NULL;
    brisk_err err = BRISK_OK;
    if (pkg_edge_is_peer(edge)) {
        err = peers_root(b, node, &parent);
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret = NULL;
    const pkg_edge *like =
        node->virtual_root != NULL ? pkg_node_edge(node->virtual_root, edge->key) : NULL;
    if (like != NULL && like->to != NULL && pkg_edge_is_fine(like) &&
        pkg_edge_accepts(edge, like->to)) {
        *ret = like->to;
    }
    if (*ret == NULL && edge->dep->kind == PKG_DEP_PEER_OPTIONAL) {
        pkg_node *above = pkg_node_above(node);
        *ret = find_below(above != NULL ? above : node, edge);
    }
    if (*ret == NULL) {
        b->required++;
        b->tries = 0;
        node->required = b->required;
        err = peers_candidate(b, edge, parent, NULL, ret);
    }
    return err;
}

/* --- after placing -------------------------------------------------------------------------- */

static brisk_err requeue_wronged(builder *b, const placing *p)
{
    brisk_err err = BRISK_OK;
    for (const pkg_edge *in = p->placed->in; in != NULL && err == BRISK_OK; in = in->next_in) {
        if (in != p->edge && !pkg_edge_is_fine(in) && !in->conflicted) {
            err = push_again(b, in->from);
        }
    }
    return err;
}

static brisk_err after_placing(builder *b, const placing *first)
{
    brisk_err err = BRISK_OK;
    for (const placing *p = first; p != NULL && err == BRISK_OK; p = p->next) {
        if (p->placed == NULL) {
            continue;
        }
        err = requeue_wronged(b, p);
        if (err == BRISK_OK && (p->placed->flags & PKG_NODE_LINK) == 0) {
            err = choose_hint(b, p->placed->manifest, false);
        }
        if (err == BRISK_OK) {
            err = push(b, p->placed);
        }
        for (uint32_t i = 0; i < p->to_evaluate.count && err == BRISK_OK; i++) {
            err = push_again(b, p->to_evaluate.items[i]);
        }
    }
    return err;
}

typedef struct task {
    pkg_edge *edge;
    pkg_node *dep;
} task;

/* In which order npm makes candidates. */
static uint32_t rank(pkg_dep_kind kind)
{
    switch (kind) {
    case PKG_DEP_WORKSPACE: return 0;
    case PKG_DEP_PEER: return 1;
    case PKG_DEP_PEER_OPTIONAL: return 2;
    case PKG_DEP_PROD: return 3;
    case PKG_DEP_OPTIONAL: return 4;
    case PKG_DEP_DEV:
    default: return 5;
    }
}

static bool made_before(const task *a, const task *b)
{
    return rank(a->edge->dep->kind) < rank(b->edge->dep->kind);
}

static bool placed_before(const task *a, const task *b)
{
    return pkg_collate(a->edge->dep->name, b->edge->dep->name) < 0;
}

/* Stable, and quick on what is nearly in order. */
static void sort_tasks(task *tasks, uint32_t count, bool (*before)(const task *, const task *))
{
    for (uint32_t i = 1; i < count; i++) {
        task t = tasks[i];
        uint32_t at = i;
        while (at > 0 && before(&t, &tasks[at - 1])) {
            tasks[at] = tasks[at - 1];
            at--;
        }
        tasks[at] = t;
    }
}

/* Candidates are made in npm's order of kinds, and placed in the order of names. */
static brisk_err make_tasks(builder *b, pkg_node *node, task **ret, uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < node->edge_count; i++) {
        *count += is_problem(node, &node->edges[i]);
    }
    task *tasks = *count > 0 ? brisk_arena_calloc(b->scratch, *count, sizeof *tasks) : NULL;
    if (*count > 0 && tasks == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *ret = tasks;
    uint32_t filled = 0;
    for (uint32_t i = 0; i < node->edge_count && filled < *count; i++) {
        if (is_problem(node, &node->edges[i])) {
            tasks[filled++].edge = &node->edges[i];
        }
    }
    sort_tasks(tasks, *count, made_before);
    for (uint32_t i = 0; i < *count; i++) {
        brisk_err err = candidate_for(b, node, tasks[i].edge, &tasks[i].dep);
        if (err != BRISK_OK) {
            return err;
        }
    }
    sort_tasks(tasks, *count, placed_before);
    return BRISK_OK;
}

static brisk_err note_links(builder *b, const pkg_node *node)
{
    for (uint32_t i = 0; i < node->edge_count; i++) {
        pkg_node *to = node->edges[i].to;
        if (to == NULL || (to->flags & PKG_NODE_LINK) == 0 || to->target == NULL || to->seen) {
            continue;
        }
        if (b->link_count == b->link_capacity) {
            uint32_t capacity = b->link_capacity == 0 ? 16 : b->link_capacity * 2;
            pkg_node **links = brisk_arena_alloc(b->arena, capacity * sizeof(pkg_node *));
            if (links == NULL) {
                return BRISK_ERR_NOMEM;
            }
            if (b->link_count > 0) {
                memcpy(links, b->links, b->link_count * sizeof(pkg_node *));
            }
            b->links = links;
            b->link_capacity = capacity;
        }
        to->seen = true;
        b->links[b->link_count++] = to;
    }
    return BRISK_OK;
}

static brisk_err evaluate(builder *b, pkg_node *node)
{
    task *tasks = NULL;
    uint32_t count = 0;
    brisk_err err = make_tasks(b, node, &tasks, &count);
    for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
        placing *done = NULL;
        err = place_dep(b, tasks[i].dep, tasks[i].edge, &done);
        if (err == BRISK_OK) {
            err = after_placing(b, done);
        }
    }
    return err == BRISK_OK ? note_links(b, node) : err;
}

/* Folders that something links, and that lie in the project. */
static brisk_err push_linked(builder *b)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < b->link_count && err == BRISK_OK; i++) {
        pkg_node *link = b->links[i];
        if (!node_removed(link) && link->target->fs_parent != NULL && !link->target->seen) {
            if (link->rule != NULL) {
                pkg_rule_edge_added(&b->tree, link->target, link->rule);
            }
            err = push(b, link->target);
        }
    }
    b->link_count = 0;
    return err;
}

static brisk_err run(builder *b)
{
    brisk_err err = push(b, b->tree.root);
    for (uint64_t step = 0; err == BRISK_OK && b->queue_count > 0; step++) {
        pkg_node *node = pop(b);
        if (!node->seen && !node_removed(node) && (node->flags & PKG_NODE_LINK) == 0) {
            if (step >=
                PKG_IDEAL_STEPS_MAX + PKG_IDEAL_STEPS_PER_CHOICE * (uint64_t)choose_count(b)) {
                return ideal_fail(b, BRISK_ERR_LIMIT,
                                  "the tree does not come to rest: the peers around %.*s push each "
                                  "other out for ever; name one of them in package.json",
                                  (int)node->name.size, node->name.data);
            }
            if (b->opts->cancelled != NULL && b->opts->cancelled(b->opts->ctx)) {
                return ideal_fail(b, BRISK_ERR_CANCELLED, "cancelled");
            }
            node->seen = true;
            err = evaluate(b, node);
            brisk_arena_reset(b->scratch);
            if (b->opts->progress != NULL) {
                b->opts->progress(b->opts->ctx, b->placed, b->queue_count);
            }
        }
        if (err == BRISK_OK && b->queue_count == 0) {
            err = push_linked(b);
        }
    }
    return err;
}

/* --- the end -------------------------------------------------------------------------------- */

/* What failed goes when it is optional, and ends the build when not. */
static brisk_err settle_failures(builder *b)
{
    for (uint32_t i = 0; i < b->tree.count; i++) {
        pkg_node *node = b->tree.nodes[i];
        if (node == NULL || !node_failed(node)) {
            continue;
        }
        if ((node->flags & PKG_NODE_OPTIONAL) == 0) {
            const pkg_failure *failure = node->extra;
            brisk_err err =
                failure->code == BRISK_ERR_NOT_FOUND ? explain_missing(b, node) : BRISK_OK;
            if (err != BRISK_OK) {
                return err;
            }
            const pkg_node *from = node->in != NULL ? node->in->from : b->tree.root;
            return ideal_fail(b, failure->code, "%s (needed by %.*s)", failure->text,
                              from->index == 0 ? 11 : (int)from->path.size,
                              from->index == 0 ? "the project" : from->path.data);
        }
        pkg_tree_remove(&b->tree, node);
    }
    return BRISK_OK;
}

static brisk_err finish(builder *b, bool from_lock)
{
    brisk_err err = pkg_tree_set_flags(&b->tree);
    for (uint32_t i = 1; i < b->tree.count && err == BRISK_OK && from_lock; i++) {
        pkg_node *node = b->tree.nodes[i];
        if (node != NULL && (node->flags & PKG_NODE_EXTRANEOUS) != 0) {
            pkg_tree_remove(&b->tree, node);
        }
    }
    return err == BRISK_OK ? settle_failures(b) : err;
}

/* Whoever is reached from the root and lacks something, in a tree that came from a lock. */
static brisk_err queue_wrong(builder *b)
{
    uint32_t mark = ++b->tree.stamp;
    node_list reached = {0};
    b->tree.root->mark = mark;
    brisk_err err = node_list_add(b, &reached, b->tree.root);
    for (uint32_t i = 0; i < reached.count && err == BRISK_OK; i++) {
        pkg_node *node = reached.items[i];
        bool wrong = false;
        for (uint32_t e = 0; e < node->edge_count && err == BRISK_OK; e++) {
            pkg_node *to = node->edges[e].to;
            wrong = wrong || node->edges[e].state != PKG_EDGE_VALID;
            if (to != NULL && to->mark != mark) {
                to->mark = mark;
                err = node_list_add(b, &reached, to);
            }
        }
        if (wrong && err == BRISK_OK) {
            err = push(b, node);
        }
    }
    brisk_arena_reset(b->scratch);
    return err;
}

static brisk_err check_root_overrides(builder *b)
{
    for (uint32_t i = 0; i < b->tree.root->edge_count; i++) {
        const pkg_edge *edge = &b->tree.root->edges[i];
        if (edge->overridden) {
            return ideal_fail(b, BRISK_ERR_INVALID,
                              "package.json: the override \"%.*s\" of %.*s contradicts the "
                              "project's own dependency \"%.*s\"; make both the same",
                              (int)edge->spec.size, edge->spec.data, (int)edge->dep->name.size,
                              edge->dep->name.data, (int)edge->dep->spec.size,
                              edge->dep->spec.data);
        }
    }
    return BRISK_OK;
}

static brisk_err build(builder *b, const pkg_tree *lock)
{
    brisk_err err = choose_init(b);
    if (err == BRISK_OK) {
        err = start_tree(b, lock);
    }
    if (err == BRISK_OK) {
        err = check_root_overrides(b);
    }
    if (err == BRISK_OK && lock != NULL) {
        err = queue_wrong(b);
    }
    if (err == BRISK_OK) {
        err = run(b);
    }
    return err == BRISK_OK ? finish(b, lock != NULL) : err;
}

brisk_err pkg_ideal_build(const pkg_project *project, const pkg_tree *lock,
                          const pkg_source *source, const pkg_ideal_opts *opts, brisk_arena *arena,
                          pkg_tree *ret, pkg_conflict *ret_conflict, brisk_errinfo *info)
{
    builder b = {.project = project,
                 .source = source,
                 .opts = opts,
                 .arena = arena,
                 .conflict = ret_conflict,
                 .info = info};
    brisk_err err = brisk_arena_create(NULL, &b.scratch);
    if (err == BRISK_OK) {
        err = build(&b, lock);
    }
    if (err == BRISK_OK) {
        *ret = b.tree;
    } else if (info != NULL && info->text[0] == '\0') {
        (void)brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
    }
    brisk_arena_destroy(b.scratch);
    return err;
}
