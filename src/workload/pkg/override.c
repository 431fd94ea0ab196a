/*
 * override.c -- overrides on the way through the tree; behind override.h.
 *
 * A node that several edges point to takes the most specific of their rules; where none is inside
 * the other, what they have in common, unless they contradict each other (then it keeps its own,
 * and the edge of the other rule is invalid, so that a second node is made).
 *
 * A change goes on to the edges of the node and to where they point: by a list, not by recursion,
 * since a chain of dependencies may be long.
 */
#include "workload/pkg/override.h"

#include "workload/pkg/tree_internal.h"

/* --- making --------------------------------------------------------------------------------- */

static brisk_err rule_init(pkg_rule *rule, const pkg_override *from, const pkg_rule *parent,
                           brisk_arena *arena)
{
    bool any_key =
        from->key_spec.size == 0 || (from->key_spec.size == 1 && from->key_spec.data[0] == '*');
    *rule = (pkg_rule){.parent = parent, .from = from, .name = from->name};
    rule->key = any_key ? PKG_TEXT("*") : from->key_spec;
    rule->key_range = any_key ? NULL : from->key_range;
    rule->value = from->value.size > 0 ? from->value : rule->key;
    if (pkg_text_is(rule->value, "*")) {
        return BRISK_OK;
    }
    pkg_spec *parsed = brisk_arena_calloc(arena, 1, sizeof *parsed);
    if (parsed == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = pkg_spec_parse(rule->name, rule->value, arena, parsed);
    rule->value_range = parsed->range;
    rule->value_parsed = parsed->type == PKG_SPEC_RANGE ? NULL : parsed;
    return err;
}

static brisk_err rules_below(pkg_rule *parent, const pkg_override *items, uint32_t count,
                             brisk_arena *arena, uint32_t budget[2])
{
    if (count == 0) {
        return BRISK_OK;
    }
    if (count > budget[0] || budget[1] == 0) {
        return BRISK_ERR_LIMIT;
    }
    budget[0] -= count;
    parent->children = brisk_arena_calloc(arena, count, sizeof *parent->children);
    if (parent->children == NULL) {
        return BRISK_ERR_NOMEM;
    }
    parent->child_count = count;
    budget[1]--;
    for (uint32_t i = 0; i < count; i++) {
        brisk_err err = rule_init(&parent->children[i], &items[i], parent, arena);
        if (err == BRISK_OK) {
            err = rules_below(&parent->children[i], items[i].children, items[i].child_count, arena,
                              budget);
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    budget[1]++;
    return BRISK_OK;
}

brisk_err pkg_rules_make(const pkg_project *project, brisk_arena *arena, const pkg_rule **ret)
{
    pkg_rule *root = NULL;
    if (project->override_count > 0) {
        root = brisk_arena_calloc(arena, 1, sizeof *root);
        if (root == NULL) {
            return BRISK_ERR_NOMEM;
        }
        uint32_t budget[2] = {PKG_RULES_MAX, PKG_RULE_DEPTH_MAX};
        brisk_err err =
            rules_below(root, project->overrides, project->override_count, arena, budget);
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret = root;
    return BRISK_OK;
}

/* --- which rule is about an edge ------------------------------------------------------------ */

static bool is_about(const pkg_rule *rule, const pkg_edge *edge)
{
    if (!pkg_text_equal(rule->name, edge->dep->name)) {
        return false;
    }
    if (rule->key_range == NULL) {
        return true;
    }
    if (edge->raw_range != NULL) {
        return semver_range_meets(edge->raw_range, rule->key_range);
    }
    /* "*" meets everything; of tags and folders nothing can be said, so that the rule counts. */
    return edge->raw_parsed == NULL || edge->raw_parsed->type != PKG_SPEC_GIT;
}

/* From the inside out: the rules in each set, then the one that the set belongs to. */
static const pkg_rule *rule_for(const pkg_rule *set, const pkg_edge *edge)
{
    for (const pkg_rule *at = set; at != NULL; at = at->parent) {
        for (uint32_t i = 0; i < at->child_count; i++) {
            if (is_about(&at->children[i], edge)) {
                return &at->children[i];
            }
        }
        if (at->parent != NULL && is_about(at, edge)) {
            return at;
        }
    }
    return set;
}

void pkg_rule_apply(pkg_tree *tree, pkg_edge *edge)
{
    (void)tree;
    const pkg_rule *rule = edge->from->rule != NULL ? rule_for(edge->from->rule, edge) : NULL;
    if (rule == edge->rule) {
        return;
    }
    edge->rule = rule;
    edge->overridden =
        rule != NULL && rule->parent != NULL && pkg_text_equal(rule->name, edge->dep->name) &&
        !pkg_text_is(rule->value, "*") && !pkg_text_equal(rule->value, edge->dep->spec);
    edge->spec = edge->overridden ? rule->value : edge->dep->spec;
    edge->range = edge->overridden ? rule->value_range : edge->raw_range;
    edge->parsed = edge->overridden ? rule->value_parsed : edge->raw_parsed;
    edge->any = !edge->overridden && edge->raw_any;
}

bool pkg_rule_is_about(const pkg_rule *rule, const pkg_manifest *manifest)
{
    return rule->key_range == NULL ||
           (manifest->version.size > 0 && semver_range_has(rule->key_range, &manifest->semver));
}

/* --- two rules ------------------------------------------------------------------------------ */

static bool is_inside(const pkg_rule *inner, const pkg_rule *outer)
{
    while (inner != NULL && inner != outer) {
        inner = inner->parent;
    }
    return inner != NULL;
}

static bool same_key(const pkg_rule *a, const pkg_rule *b)
{
    return pkg_text_equal(a->name, b->name) && pkg_text_equal(a->key, b->key);
}

/* What `set` says where `rule` speaks, or NULL. */
static const pkg_rule *rule_like(const pkg_rule *set, const pkg_rule *rule)
{
    for (const pkg_rule *at = set; at != NULL; at = at->parent) {
        for (uint32_t i = 0; i < at->child_count; i++) {
            if (same_key(&at->children[i], rule)) {
                return &at->children[i];
            }
        }
        if (at->parent != NULL && same_key(at, rule)) {
            return at;
        }
    }
    return NULL;
}

/* `mine` is of the set `a`, and not shadowed there. */
static bool contradicts(const pkg_rule *mine, const pkg_rule *a, const pkg_rule *b)
{
    if (rule_like(a, mine) != mine) {
        return false;
    }
    const pkg_rule *other = rule_like(b, mine);
    return other != NULL && other != mine && mine->value_range != NULL &&
           other->value_range != NULL && !semver_range_meets(mine->value_range, other->value_range);
}

static bool contradict(const pkg_rule *a, const pkg_rule *b)
{
    for (const pkg_rule *at = a; at != NULL; at = at->parent) {
        for (uint32_t i = 0; i < at->child_count; i++) {
            if (contradicts(&at->children[i], a, b)) {
                return true;
            }
        }
        if (at->parent != NULL && contradicts(at, a, b)) {
            return true;
        }
    }
    return false;
}

bool pkg_rules_conflict(const pkg_rule *a, const pkg_rule *b)
{
    return a != b && !is_inside(a, b) && !is_inside(b, a) && contradict(a, b);
}

/* The inner of two; of unrelated ones what is around both; NULL: they contradict each other. */
static const pkg_rule *more_specific(const pkg_rule *a, const pkg_rule *b)
{
    if (is_inside(b, a)) {
        return b;
    }
    if (is_inside(a, b)) {
        return a;
    }
    if (contradict(a, b)) {
        return NULL;
    }
    while (a != NULL && !is_inside(b, a)) {
        a = a->parent;
    }
    return a;
}

/* --- along the edges ------------------------------------------------------------------------ */

/* Takes `rule` beside its own; true when that changed. */
static bool take(pkg_node *node, const pkg_rule *rule)
{
    if (rule == NULL || rule == node->rule) {
        return false;
    }
    const pkg_rule *now = node->rule == NULL ? rule : more_specific(node->rule, rule);
    if (now == NULL || now == node->rule) {
        return false;
    }
    node->rule = now;
    return true;
}

static void push(pkg_tree_index *index, pkg_node *node)
{
    if (!node->rule_pending && node->rule_updates < PKG_RULE_UPDATES_PER_NODE) {
        node->rule_updates++;
        node->rule_pending = true;
        node->rule_next = index->rules_pending;
        index->rules_pending = node;
    }
}

/* The rules of everything that waits go on to their edges; an edge's reload may add more. */
static void go_on(pkg_tree *tree)
{
    pkg_tree_index *index = tree->index;
    if (index->rules_running) {
        return;
    }
    index->rules_running = true;
    while (index->rules_pending != NULL) {
        pkg_node *node = index->rules_pending;
        index->rules_pending = node->rule_next;
        node->rule_pending = false;
        for (uint32_t i = 0; i < node->edge_count; i++) {
            pkg_edge *edge = &node->edges[i];
            pkg_edge_reload(tree, edge);
            if (edge->to != NULL && take(edge->to, edge->rule)) {
                push(index, edge->to);
            }
        }
        for (pkg_edge *edge = node->in; edge != NULL; edge = edge->next_in) {
            pkg_edge_judge(edge);
        }
    }
    index->rules_running = false;
}

void pkg_rule_edge_added(pkg_tree *tree, pkg_node *node, const pkg_rule *rule)
{
    if (take(node, rule)) {
        push(tree->index, node);
        go_on(tree);
    }
}

void pkg_rule_edge_gone(pkg_tree *tree, pkg_node *node, const pkg_rule *rule)
{
    if (node->rule == NULL || node->rule != rule) {
        return;
    }
    const pkg_rule *now = NULL;
    for (const pkg_edge *edge = node->in; edge != NULL; edge = edge->next_in) {
        now = now != NULL && edge->rule != NULL ? more_specific(edge->rule, now) : edge->rule;
    }
    if (now == NULL || now == node->rule) {
        return;
    }
    node->rule = now;
    push(tree->index, node);
    go_on(tree);
}
