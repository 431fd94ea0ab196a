/*
 * report.c -- names, kinds and states as text and as JSON; behind report.h.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/report.h"

#include <brisk/alloc.h>

void pkg_put(FILE *out, pkg_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool c1 = c == 0xC2 && i + 1 < text.size && (unsigned char)text.data[i + 1] < 0xA0;
        if (c < 0x20 || c == 0x7F || c1) {
            (void)fputc('?', out);
            i += c1 ? 1 : 0;
        } else {
            (void)fputc(c, out);
        }
    }
}

void pkg_put_node(FILE *out, const pkg_node *node)
{
    const pkg_manifest *m = node->manifest;
    if (node->index == 0) {
        if (m->name.size > 0) {
            pkg_put(out, m->name);
        } else {
            (void)fputs("the project", out);
        }
        return;
    }
    pkg_put(out, m->name.size > 0 ? m->name : node->name);
    if (m->version.size > 0) {
        (void)fputc(' ', out);
        pkg_put(out, m->version);
    }
    if (m->name.size > 0 && node->parent != NULL && !pkg_text_equal(m->name, node->name)) {
        (void)fputs(" (as ", out);
        pkg_put(out, node->name);
        (void)fputc(')', out);
    }
}

void pkg_put_path(FILE *out, const pkg_node *node)
{
    pkg_put(out, node->path.size > 0 ? node->path : PKG_TEXT("."));
}

const char *pkg_kind_word(pkg_dep_kind kind)
{
    switch (kind) {
    case PKG_DEP_OPTIONAL: return "optional ";
    case PKG_DEP_PEER: return "peer ";
    case PKG_DEP_PEER_OPTIONAL: return "optional peer ";
    case PKG_DEP_DEV: return "dev ";
    case PKG_DEP_WORKSPACE: return "workspace ";
    case PKG_DEP_PROD:
    default: return "";
    }
}

const char *pkg_kind_name(pkg_dep_kind kind)
{
    switch (kind) {
    case PKG_DEP_OPTIONAL: return "optional";
    case PKG_DEP_PEER: return "peer";
    case PKG_DEP_PEER_OPTIONAL: return "peerOptional";
    case PKG_DEP_DEV: return "dev";
    case PKG_DEP_WORKSPACE: return "workspace";
    case PKG_DEP_PROD:
    default: return "prod";
    }
}

const char *pkg_state_name(pkg_edge_state state)
{
    switch (state) {
    case PKG_EDGE_MISSING: return "missing";
    case PKG_EDGE_INVALID: return "invalid";
    case PKG_EDGE_PEER_LOCAL: return "peer local";
    case PKG_EDGE_VALID:
    default: return "valid";
    }
}

/* --- JSON ---------------------------------------------------------------------------------- */

void pkg_json_put(brisk_json *json, const char *key, pkg_text text)
{
    enum { SMALL = 512 };
    char small[SMALL];
    const brisk_alloc *alloc = brisk_alloc_libc();
    char *copy = text.size < SMALL ? small : alloc->acquire(alloc->ctx, text.size + 1, 1);
    if (copy == NULL) {
        brisk_json_str(json, key, "?");
        return;
    }
    for (size_t i = 0; i < text.size; i++) {
        copy[i] = text.data[i];
        if (copy[i] == '\0') {
            copy[i] = '?';
        }
    }
    copy[text.size] = '\0';
    brisk_json_str(json, key, copy);
    if (copy != small) {
        alloc->release(alloc->ctx, copy, text.size + 1, 1);
    }
}

void pkg_json_node(brisk_json *json, const pkg_node *node)
{
    pkg_json_put(json, "name", node->manifest->name.size > 0 ? node->manifest->name : node->name);
    pkg_json_put(json, "version", node->manifest->version);
    pkg_json_put(json, "path", node->path);
}

void pkg_json_edge(brisk_json *json, const pkg_edge *edge)
{
    brisk_json_str(json, "kind", pkg_kind_name(edge->dep->kind));
    pkg_json_put(json, "spec", edge->spec);
    if (edge->overridden) {
        pkg_json_put(json, "declared", edge->dep->spec);
    }
}

brisk_exit pkg_fail(const brisk_invocation *in, const brisk_errinfo *info)
{
    (void)fputs("brisk: ", in->err);
    pkg_put(in->err, pkg_text_of(info->text));
    (void)fputc('\n', in->err);
    return BRISK_EXIT_FAILED;
}

void pkg_json_begin(brisk_json *json, const brisk_invocation *in, const char *lock)
{
    brisk_json_init(json, brisk_out_file(in->out), 2);
    brisk_json_object_begin(json, NULL);
    brisk_json_u64(json, "schema", 1);
    if (lock != NULL) {
        brisk_json_str(json, "lock", lock);
    }
}

brisk_exit pkg_json_end(brisk_json *json, brisk_exit exit)
{
    brisk_json_object_end(json);
    return brisk_json_finish(json) == BRISK_OK ? exit : BRISK_EXIT_FAILED;
}
