/*
 * project_overrides.c -- "overrides" of package.json.
 *
 *     "overrides": {
 *       "a": "1.0.0",              a is 1.0.0 wherever it is
 *       "b@^2": {                  below a b that was asked for in ^2
 *         ".": "2.1.0",            (which is 2.1.0)
 *         "c": "$c"                c is what this package.json wants of c
 *       }
 *     }
 *
 * "$name" is resolved here against the direct dependencies, in npm's order: dev, optional, plain,
 * peer.  Errors name the line.
 *
 * Threads: no state.  Source: npm's documentation of overrides.
 */
#include "workload/pkg/project_internal.h"

typedef struct override_reader {
    const pkg_json *root;
    const char *file;
    brisk_arena *arena;
    brisk_errinfo *info;
    uint32_t left; /* rules that may still come */
} override_reader;

static brisk_err read_rules(override_reader *r, const pkg_json *object, const pkg_override **ret,
                            uint32_t *ret_count);

static brisk_err fail(const override_reader *r, brisk_err err, uint32_t line, const char *what)
{
    return brisk_errinfo_set(r->info, err, "%s: line %u: %s", r->file, line, what);
}

/* What the package itself wants of the dependency that "$name" means. */
static pkg_text direct_spec(const pkg_json *root, pkg_text name)
{
    static const char *const fields[] = {"devDependencies", "optionalDependencies", "dependencies",
                                         "peerDependencies"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const pkg_json *object = pkg_json_get(root, fields[i]);
        for (uint32_t j = 0; object != NULL && object->keys != NULL && j < object->count; j++) {
            if (pkg_text_equal(object->keys[j], name) && object->items[j]->text.size > 0) {
                return object->items[j]->text;
            }
        }
    }
    return PKG_TEXT("");
}

static brisk_err set_value(const override_reader *r, const pkg_json *value, pkg_override *rule)
{
    if (value->type != PKG_JSON_STRING) {
        return fail(r, BRISK_ERR_INVALID, value->line,
                    "an override has to be a text or an object of more overrides");
    }
    rule->value = value->text.size > 0 ? value->text : PKG_TEXT("*");
    if (rule->value.data[0] == '$') {
        pkg_text name = {.data = rule->value.data + 1, .size = rule->value.size - 1};
        rule->value = direct_spec(r->root, name);
        if (rule->value.size == 0) {
            char quoted[PROJECT_QUOTED_MAX];
            return brisk_errinfo_set(r->info, BRISK_ERR_INVALID,
                                     "%s: line %u: the override \"$%s\" refers to a dependency "
                                     "that package.json does not have",
                                     r->file, value->line, project_quote(quoted, name));
        }
    }
    pkg_spec spec;
    if (pkg_spec_parse(rule->name, rule->value, r->arena, &spec) != BRISK_OK) {
        return fail(r, BRISK_ERR_NOMEM, value->line, "out of memory");
    }
    return spec.type != PKG_SPEC_INVALID
               ? BRISK_OK
               : fail(r, BRISK_ERR_INVALID, value->line,
                      "what the override puts in place is no range, tag, URL or path");
}

/* "name" or "name@range". */
static brisk_err set_key(const override_reader *r, pkg_text key, uint32_t line, pkg_override *rule)
{
    size_t at = 1;
    while (at < key.size && key.data[at] != '@') {
        at++;
    }
    rule->name = (pkg_text){.data = key.data, .size = at < key.size ? at : key.size};
    if (at + 1 < key.size) {
        rule->key_spec = (pkg_text){.data = key.data + at + 1, .size = key.size - at - 1};
    }
    if (!pkg_name_is_valid(rule->name)) {
        char quoted[PROJECT_QUOTED_MAX];
        return brisk_errinfo_set(
            r->info, BRISK_ERR_INVALID,
            "%s: line %u: the override \"%s\" does not begin with a package name", r->file, line,
            project_quote(quoted, key));
    }
    if (rule->key_spec.size == 0 || pkg_text_is(rule->key_spec, "*")) {
        return BRISK_OK;
    }
    pkg_spec spec;
    if (pkg_spec_parse(rule->name, rule->key_spec, r->arena, &spec) != BRISK_OK) {
        return fail(r, BRISK_ERR_NOMEM, line, "out of memory");
    }
    if (spec.type == PKG_SPEC_INVALID) {
        return fail(r, BRISK_ERR_INVALID, line,
                    "what is behind the '@' of an override is no range");
    }
    rule->key_range = spec.range;
    return BRISK_OK;
}

static brisk_err read_rule(override_reader *r, pkg_text key, const pkg_json *value,
                           pkg_override *rule)
{
    *rule = (pkg_override){.line = value->line};
    brisk_err err = set_key(r, key, value->line, rule);
    if (err != BRISK_OK || value->type != PKG_JSON_OBJECT) {
        return err != BRISK_OK ? err : set_value(r, value, rule);
    }
    const pkg_json *itself = pkg_json_get(value, ".");
    if (itself != NULL) {
        err = set_value(r, itself, rule);
    }
    return err != BRISK_OK ? err : read_rules(r, value, &rule->children, &rule->child_count);
}

/* Depth is bounded by that of JSON. */
static brisk_err read_rules(override_reader *r, const pkg_json *object, const pkg_override **ret,
                            uint32_t *ret_count)
{
    if (object->count > r->left) {
        return fail(r, BRISK_ERR_LIMIT, object->line, "there are more than 10000 overrides");
    }
    r->left -= object->count;
    pkg_override *rules = brisk_arena_calloc(r->arena, (size_t)object->count + 1, sizeof *rules);
    if (rules == NULL) {
        return fail(r, BRISK_ERR_NOMEM, object->line, "out of memory");
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < object->count; i++) {
        if (pkg_text_is(object->keys[i], ".")) {
            continue;
        }
        brisk_err err = read_rule(r, object->keys[i], object->items[i], &rules[count]);
        if (err != BRISK_OK) {
            return err;
        }
        count++;
    }
    *ret = rules;
    *ret_count = count;
    return BRISK_OK;
}

brisk_err project_overrides(const pkg_json *root, const char *file, brisk_arena *arena,
                            pkg_project *project, brisk_errinfo *info)
{
    override_reader r = {
        .root = root, .file = file, .arena = arena, .info = info, .left = PROJECT_OVERRIDES_MAX};
    const pkg_json *overrides = pkg_json_get(root, "overrides");
    if (overrides == NULL || overrides->type == PKG_JSON_NULL) {
        return BRISK_OK;
    }
    if (overrides->type != PKG_JSON_OBJECT) {
        return fail(&r, BRISK_ERR_INVALID, overrides->line, "\"overrides\" has to be an object");
    }
    return read_rules(&r, overrides, &project->overrides, &project->override_count);
}
