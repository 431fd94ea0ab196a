/*
 * flat.c -- `--flat`: one version of each name, all in the project's own node_modules.
 *
 * The flat problem (problem.h) and the solver; what is chosen becomes a tree without nesting.  An
 * optional dependency that does not fit is left out.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/problem.h"

static brisk_err add_all(const pkg_problem *p, const solve_result *result, pkg_tree *tree)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; err == BRISK_OK && i < result->order_count; i++) {
        uint32_t id = result->order[i];
        const pkg_variable *v = pkg_problem_at(p, id);
        if (id == 0) {
            continue;
        }
        if (v->package == NULL) {
            return brisk_errinfo_set(
                p->info, BRISK_ERR_UNSUPPORTED,
                "%.*s has no versions to choose from; --flat takes packages of "
                "the registry only",
                (int)v->name.size, v->name.data);
        }
        const pkg_manifest *manifest = NULL;
        err = pkg_package_manifest(v->package, result->versions[id], tree->arena, &manifest);
        pkg_node *node = NULL;
        err = err == BRISK_OK ? pkg_tree_add(tree, tree->root, v->name, manifest, &node) : err;
    }
    for (uint32_t i = 0; err == BRISK_OK && i < tree->count; i++) {
        if (tree->nodes[i] != NULL) {
            err = pkg_tree_load_edges(tree, tree->nodes[i]);
        }
    }
    return err == BRISK_OK ? pkg_tree_set_flags(tree) : err;
}

brisk_err pkg_flat_build(const pkg_project *project, const pkg_source *source,
                         const pkg_ideal_opts *opts, brisk_arena *arena, pkg_tree *ret,
                         solve_sentences *proof, brisk_errinfo *info)
{
    if (project->workspace_count > 0) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                 "--flat is for projects without workspaces");
    }
    pkg_problem p = {
        .project = project, .source = source, .opts = opts, .arena = arena, .info = info};
    solve_result result = {0};
    pkg_tree tree;
    brisk_err err = pkg_problem_init(&p, project->manifest, true);
    if (err == BRISK_OK) {
        err = pkg_problem_solve(&p, &result);
    }
    if (err == BRISK_OK && !result.solved) {
        err = pkg_problem_tell(&p, result.proof, proof);
        return err == BRISK_OK ? brisk_errinfo_set(info, BRISK_ERR_CONFLICT,
                                                   "there is no version of each package that all "
                                                   "others accept")
                               : err;
    }
    if (err == BRISK_OK) {
        err = pkg_tree_init(&tree, arena, project->manifest);
    }
    if (err == BRISK_OK) {
        err = add_all(&p, &result, &tree);
    }
    if (err == BRISK_OK) {
        *ret = tree;
    }
    return err;
}
