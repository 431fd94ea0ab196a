/*
 * config.c -- a YAML file of nested mappings becomes settings: brisk_config_load.
 *
 * The path of keys to a value, joined by dots, is the setting's name; what stands below the name of
 * a setting of YAML is its value as a whole.  A section whose names are
 * not known yet is offered to `resolve` once, so that its module can register them.
 */
#include <stdbool.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/knob.h>
#include <brisk/yaml.h>

#include "base/knob_node.h"
#include "base/str.h"

enum { FILE_BYTES_MAX = 1048576, NAME_BYTES_MAX = 1024 };

typedef struct loader {
    brisk_knobs *knobs;
    brisk_knob_source source;
    brisk_err (*resolve)(void *ctx, const char *section);
    void *ctx;
    const brisk_yaml_doc *doc;
    brisk_str name; /* of the node at hand */
    bool resolved;  /* the section at hand was offered */
    brisk_errinfo *info;
} loader;

static brisk_err refuse(const loader *l, const brisk_yaml_node *node, brisk_err code,
                        const char *what)
{
    return brisk_errinfo_set(l->info, code, "%s:%u: %s", brisk_yaml_name(l->doc), node->line, what);
}

/* Whether `name` is a setting, or the beginning of one's name (`is_section`). */
static bool is_known(const loader *l, const char *name, bool is_section)
{
    if (!is_section) {
        return brisk_knobs_find(l->knobs, name) != NULL;
    }
    size_t size = strlen(name);
    const brisk_knob *knob;
    for (size_t i = 0; (knob = brisk_knobs_at(l->knobs, i)) != NULL; i++) {
        if (strncmp(knob->name, name, size) == 0 && knob->name[size] == '.') {
            return true;
        }
    }
    return false;
}

/* Ask once per section for the module that owns it. */
static brisk_err ask(loader *l, const brisk_yaml_node *node)
{
    if (l->resolve == NULL || l->resolved) {
        return BRISK_OK;
    }
    l->resolved = true;
    char section[NAME_BYTES_MAX];
    const char *name = brisk_str_text(&l->name);
    (void)snprintf(section, sizeof section, "%.*s", (int)strcspn(name, "."), name);
    brisk_err err = l->resolve(l->ctx, section);
    if (err == BRISK_OK || err == BRISK_ERR_NOT_FOUND) {
        return BRISK_OK; /* still unknown is said by the caller, with the nearest name */
    }
    return brisk_errinfo_set(l->info, err, "%s:%u: settings of '%.60s' cannot be loaded: %s",
                             brisk_yaml_name(l->doc), node->line, section, brisk_err_message(err));
}

static bool is_yaml(const loader *l, const char *name)
{
    const brisk_knob *knob = brisk_knobs_find(l->knobs, name);
    return knob != NULL && knob->type == BRISK_KNOB_YAML;
}

static brisk_err set_value(loader *l, const brisk_yaml_node *node)
{
    brisk_errinfo why;
    const char *name = brisk_str_text(&l->name);
    brisk_err err;
    if (is_yaml(l, name)) {
        err = knobs_set_node(l->knobs, name, &(knob_node){l->doc, node}, l->source, &why);
    } else {
        err = brisk_knobs_set(l->knobs, name, node->text, l->source, &why);
    }
    if (err == BRISK_OK) {
        return BRISK_OK;
    }
    /* NOT_FOUND is what a missing file is called: an unknown key must not look like one. */
    return refuse(l, node, err == BRISK_ERR_NOT_FOUND ? BRISK_ERR_INVALID : err, why.text);
}

static bool is_empty(const brisk_yaml_node *node)
{
    return node->kind == BRISK_YAML_SCALAR && !node->quoted && node->text[0] == '\0';
}

static brisk_err apply(loader *l, const brisk_yaml_node *node);

static brisk_err apply_children(loader *l, const brisk_yaml_node *mapping)
{
    brisk_err err = BRISK_OK;
    size_t size = brisk_str_size(&l->name);
    for (const brisk_yaml_node *n = mapping->child; n != NULL && err == BRISK_OK; n = n->next) {
        if (size != 0) {
            brisk_str_add(&l->name, ".");
        } else {
            l->resolved = false;
        }
        brisk_str_add(&l->name, n->key);
        err = brisk_str_err(&l->name);
        err = err == BRISK_OK ? apply(l, n) : refuse(l, n, err, brisk_err_message(err));
        brisk_str_cut(&l->name, size);
    }
    return err;
}

static brisk_err apply(loader *l, const brisk_yaml_node *node) /* depth: BRISK_YAML_DEPTH_MAX */
{
    const char *name = brisk_str_text(&l->name);
    bool is_section = node->kind == BRISK_YAML_MAPPING;
    bool is_list = node->kind == BRISK_YAML_SEQUENCE;
    bool known = is_known(l, name, is_section);
    if (!known && !is_yaml(l, name)) {
        brisk_err err = ask(l, node);
        if (err != BRISK_OK) {
            return err;
        }
        known = is_known(l, name, is_section);
    }
    if (is_yaml(l, name)) {
        return set_value(l, node);
    }
    if (is_list) {
        return refuse(l, node, BRISK_ERR_INVALID, "expected a single value, not a list");
    }
    if (!known && is_empty(node) && is_known(l, name, true)) {
        return BRISK_OK; /* "cache:" with nothing behind it */
    }
    if (is_section && is_known(l, name, false)) {
        return refuse(l, node, BRISK_ERR_INVALID, "expected a single value, not a mapping");
    }
    if (is_section && (known || node->count != 0)) {
        return apply_children(l, node);
    }
    return is_section ? refuse(l, node, BRISK_ERR_INVALID, "unknown section") : set_value(l, node);
}

static brisk_err load(loader *l, const char *path, const brisk_file_view *view)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_yaml_parse(path, view->data, view->size, NULL, &doc, l->info);
    if (err != BRISK_OK) {
        return err;
    }
    l->doc = doc;
    brisk_str_init(&l->name, NULL, NAME_BYTES_MAX);
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    err = root->kind == BRISK_YAML_MAPPING
              ? apply_children(l, root)
              : refuse(l, root, BRISK_ERR_INVALID, "expected settings as 'name: value'");
    brisk_str_deinit(&l->name);
    brisk_yaml_destroy(doc);
    return err;
}

brisk_err brisk_config_load(brisk_knobs *knobs, const char *path, brisk_knob_source source,
                            brisk_err (*resolve)(void *ctx, const char *section), void *ctx,
                            brisk_errinfo *info)
{
    brisk_file_view view = {0};
    brisk_err err = brisk_file_view_open(path, FILE_BYTES_MAX, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    loader l = {.knobs = knobs, .source = source, .resolve = resolve, .ctx = ctx, .info = info};
    err = load(&l, path, &view);
    brisk_file_view_close(&view);
    return err;
}
