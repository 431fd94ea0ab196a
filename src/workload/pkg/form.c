/*
 * form.c -- a resolution asked for from outside: package.json's text in, package-lock.json's out.
 *
 * A stranger chooses what is resolved, not where it is asked for: registries, tokens, proxies and
 * the store are this machine's, nothing is read from a folder, and nothing is written but the store.
 *
 * Threads: parse and result of different jobs at the same time.
 */
#include <stdlib.h>
#include <string.h>

#include <brisk/form.h>

#include "workload/pkg/node_version.h"
#include "workload/pkg/resolve.h"
#include "workload/pkg/resolve_print.h"
#include "workload/pkg/when.h"

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"package\":{\"description\":\"package.json, as an object or as its text\","
    "\"type\":[\"object\",\"string\"]},"
    "\"lock\":{\"description\":\"package-lock.json to begin with, likewise\","
    "\"type\":[\"object\",\"string\"]},"
    "\"offline\":{\"type\":\"boolean\"},\"prefer_offline\":{\"type\":\"boolean\"},"
    "\"before\":{\"type\":\"string\",\"description\":\"2026-01-31, or with time\"},"
    "\"min_age\":{\"type\":\"string\",\"description\":\"7d, 36h\"},"
    "\"node\":{\"type\":\"string\",\"description\":\"version to choose for\"},"
    "\"resolution\":{\"enum\":[\"npm\",\"highest\"]},"
    "\"prereleases\":{\"type\":\"boolean\"},\"legacy_peer_deps\":{\"type\":\"boolean\"},"
    "\"strict_peer_deps\":{\"type\":\"boolean\"},\"prefer_dedupe\":{\"type\":\"boolean\"},"
    "\"flat\":{\"type\":\"boolean\"},\"update\":{\"type\":\"boolean\"},"
    "\"whole_metadata\":{\"type\":\"boolean\"}},"
    "\"required\":[\"package\"],\"additionalProperties\":false}";

static const char *const members[] = {"package",
                                      "lock",
                                      "offline",
                                      "prefer_offline",
                                      "before",
                                      "min_age",
                                      "node",
                                      "resolution",
                                      "prereleases",
                                      "legacy_peer_deps",
                                      "strict_peer_deps",
                                      "prefer_dedupe",
                                      "flat",
                                      "update",
                                      "whole_metadata",
                                      NULL};

static brisk_err invalid(brisk_errinfo *info, const char *text)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s", text);
}

/* A document: an object as it stands, or a string that holds its text.  None: stays as it is. */
static brisk_err text_of(const brisk_json_node *request, const char *key, pkg_text *ret,
                         brisk_errinfo *info)
{
    const brisk_json_node *node = brisk_json_get(request, key);
    if (node == NULL || node->kind == BRISK_JSON_NULL) {
        return BRISK_OK;
    }
    if (node->kind == BRISK_JSON_OBJECT) {
        *ret = (pkg_text){.data = node->raw, .size = node->raw_size};
    } else if (node->kind == BRISK_JSON_STRING) {
        *ret = (pkg_text){.data = node->text, .size = node->size};
    } else {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "\"%s\" has to be an object, or a string that holds one", key);
    }
    return BRISK_OK;
}

/* A string as a C string; NULL when there is none. */
static brisk_err string_of(const brisk_form_input *in, const char *key, const char **ret,
                           brisk_errinfo *info)
{
    const brisk_json_node *node = NULL;
    brisk_err err = brisk_json_member(in->request, key, BRISK_JSON_STRING, &node, info);
    if (err != BRISK_OK || node == NULL) {
        return err;
    }
    *ret = brisk_arena_copy(in->arena, node->text, node->size);
    return *ret != NULL ? BRISK_OK : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
}

static brisk_err read_switches(const brisk_json_node *from, pkg_resolve_request *r, bool *offline,
                               brisk_errinfo *info)
{
    static const char *const hows[] = {"npm", "highest", NULL};
    bool prefer = false;
    uint32_t how = 0;
    const struct {
        const char *key;
        bool *to;
    } switches[] = {
        {"offline", offline},
        {"prefer_offline", &prefer},
        {"prereleases", &r->prereleases},
        {"legacy_peer_deps", &r->legacy_peer_deps},
        {"strict_peer_deps", &r->strict_peer_deps},
        {"prefer_dedupe", &r->prefer_dedupe},
        {"flat", &r->flat},
        {"update", &r->anew},
        {"whole_metadata", &r->whole_documents},
    };
    brisk_err err = brisk_json_member_word(from, "resolution", hows, &how, info);
    for (size_t i = 0; err == BRISK_OK && i < sizeof switches / sizeof switches[0]; i++) {
        err = brisk_json_member_bool(from, switches[i].key, switches[i].to, info);
    }
    if (err == BRISK_OK && *offline && prefer) {
        return invalid(info, "\"offline\" and \"prefer_offline\" contradict each other");
    }
    r->highest = how == 1;
    r->mode = *offline ? PKG_FETCH_OFFLINE : prefer ? PKG_FETCH_PREFER_STORE : PKG_FETCH_NORMAL;
    return err;
}

/* Which versions count: by time and by the node they are for. */
static brisk_err read_limits(const brisk_form_input *in, pkg_resolve_request *r,
                             brisk_errinfo *info)
{
    const char *before = NULL;
    const char *min_age = NULL;
    const char *node = NULL;
    brisk_err err = string_of(in, "before", &before, info);
    err = err == BRISK_OK ? string_of(in, "min_age", &min_age, info) : err;
    err = err == BRISK_OK ? string_of(in, "node", &node, info) : err;
    if (err != BRISK_OK) {
        return err;
    }
    const char *wrong = pkg_before_of(before, min_age, &r->inputs->config, &r->before_ms);
    if (wrong != NULL) {
        return before != NULL    ? invalid(info, "\"before\" is no date; write 2026-01-31")
               : min_age != NULL ? invalid(info, "\"min_age\" is no time with its unit: 7d, 36h")
                                 : invalid(info, wrong);
    }
    if (node == NULL) {
        (void)pkg_node_version(in->arena, &r->node);
    } else if (!semver_parse(pkg_text_of(node), SEMVER_LOOSE, &r->node)) {
        return invalid(info, "\"node\" is no version; write 20.11.0");
    }
    return BRISK_OK;
}

/* The rest, once there are inputs, which are the request's. */
static brisk_err read_rest(const brisk_form_input *in, pkg_resolve_request *r, brisk_errinfo *info)
{
    brisk_err err = read_limits(in, r, info);
    if (err != BRISK_OK) {
        return err;
    }
    const char *folder = brisk_engine_cache_path(in->engine);
    r->folder = "";
    if (folder[0] != '\0') {
        r->store_path = brisk_arena_printf(in->arena, "%s/packages.store", folder);
        return r->store_path != NULL ? BRISK_OK
                                     : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    return BRISK_OK;
}

static brisk_err parse(const brisk_form_input *in, const void **ret, brisk_errinfo *info)
{
    pkg_text manifest = {0};
    pkg_text lock = {0};
    bool offline = false;
    pkg_resolve_request *r = brisk_arena_calloc(in->arena, 1, sizeof *r);
    pkg_inputs *inputs = brisk_arena_calloc(in->arena, 1, sizeof *inputs);
    if (r == NULL || inputs == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = brisk_json_check_members(in->request, members, info);
    err = err == BRISK_OK ? text_of(in->request, "package", &manifest, info) : err;
    err = err == BRISK_OK ? text_of(in->request, "lock", &lock, info) : err;
    err = err == BRISK_OK ? read_switches(in->request, r, &offline, info) : err;
    if (err == BRISK_OK && manifest.data == NULL) {
        return invalid(info, "\"package\" is missing: package.json");
    }
    if (err == BRISK_OK) {
        const pkg_inputs_opts how = {.anew = r->anew, .whole = true};
        err = pkg_inputs_read_texts(manifest, lock, &how, inputs, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    r->inputs = inputs;
    err = read_rest(in, r, info);
    if (err != BRISK_OK) {
        pkg_inputs_release(inputs);
        return err;
    }
    *ret = r;
    return BRISK_OK;
}

static void release(const void *request)
{
    pkg_inputs_release(((const pkg_resolve_request *)request)->inputs);
}

static brisk_err result(brisk_job *job, const void *request, brisk_form_output *ret)
{
    const pkg_resolve_job *state = brisk_job_state(job);
    (void)request;
    ret->type = "application/json";
    ret->name = "package-lock.json";
    return brisk_value_copy(state->text.data, state->text.size, NULL, &ret->value);
}

static void details(brisk_job *job, const void *request, brisk_json *json)
{
    const pkg_resolve_job *state = brisk_job_state(job);
    (void)request;
    resolve_json_result(json, state, brisk_job_result(job));
    resolve_json_fetched(json, state);
}

const brisk_form pkg_form = {
    .summary = "resolve a package.json to its package-lock.json",
    .schema = schema,
    .parse = parse,
    .release = release,
    .result = result,
    .details = details,
};
