/*
 * form.c -- `rom apply` asked for from outside: bytes in, the patched ROM out, no file touched.
 *
 *     {"rom": {"part": "rom"}, "mods": [{"part": "mod"}, {"base64": "...", "name": "a.ips"}],
 *      "files": [{"part": "font.ips"}], "fix_checksums": "auto", "force": false}
 *
 * "files" are the patches that mod files name.  Everything that is named in messages or by a mod file
 * goes by its name, so two different inputs may not have the same.
 *
 * Threads: parse and result of different jobs at the same time.
 */
#include <string.h>

#include <brisk/form.h>

#include "workload/rom/apply.h"
#include "workload/rom/conflict.h"

enum { FILES_MAX = 1024 };

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"rom\":" BRISK_FORM_BYTES_SCHEMA ","
    "\"mods\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":256,"
    "\"items\":" BRISK_FORM_BYTES_SCHEMA "},"
    "\"files\":{\"type\":\"array\",\"maxItems\":1024,\"items\":" BRISK_FORM_BYTES_SCHEMA ","
    "\"description\":\"patches that mod files name\"},"
    "\"fix_checksums\":{\"enum\":[\"auto\",\"always\",\"never\"]},"
    "\"force\":{\"type\":\"boolean\"}},"
    "\"required\":[\"rom\",\"mods\"],\"additionalProperties\":false}";

/* What is put together. */
typedef struct collection {
    const brisk_form_input *in;
    brisk_errinfo *info;
    rom_bytes *all;
    uint32_t count;
} collection;

/* The bytes that `node` names; the same ones again are one. */
static brisk_err collect(collection *c, const brisk_json_node *node, const char *what,
                         const char **ret_name)
{
    brisk_form_part part;
    brisk_err err = brisk_form_bytes(c->in, node, what, &part, c->info);
    if (err != BRISK_OK) {
        return err;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        const rom_bytes *other = &c->all[i];
        if (strcmp(other->name, part.name) == 0) {
            if (other->size != part.size ||
                (part.size > 0 && memcmp(other->data, part.data, part.size) != 0)) {
                return brisk_errinfo_set(c->info, BRISK_ERR_INVALID,
                                         "\"%s\": two inputs are named %.60s; give them \"name\"",
                                         what, part.name);
            }
            *ret_name = other->name;
            return BRISK_OK;
        }
    }
    c->all[c->count++] = (rom_bytes){.name = part.name, .data = part.data, .size = part.size};
    *ret_name = part.name;
    return BRISK_OK;
}

/* Every item of a list; names NULL: they are not needed. */
static brisk_err collect_list(collection *c, const brisk_json_node *list, const char *what,
                              const char **names)
{
    uint32_t i = 0;
    brisk_err err = BRISK_OK;
    for (const brisk_json_node *at = list != NULL ? list->child : NULL;
         at != NULL && err == BRISK_OK; at = at->next, i++) {
        char item[32];
        const char *name;
        (void)snprintf(item, sizeof item, "%s[%u]", what, i);
        err = collect(c, at, item, &name);
        if (err == BRISK_OK && names != NULL) {
            names[i] = name;
        }
    }
    return err;
}

static brisk_err check_count(const brisk_json_node *list, const char *what, uint32_t min,
                             uint32_t max, brisk_errinfo *info)
{
    uint32_t count = list != NULL ? list->count : 0;
    return count >= min && count <= max
               ? BRISK_OK
               : brisk_errinfo_set(info, BRISK_ERR_INVALID, "\"%s\" has to have %u to %u items",
                                   what, min, max);
}

static brisk_err read_options(const brisk_json_node *from, rom_request *r, brisk_errinfo *info)
{
    static const char *const fixes[] = {"auto", "always", "never", NULL};
    uint32_t fix = ROM_FIX_AUTO;
    brisk_err err = brisk_json_member_word(from, "fix_checksums", fixes, &fix, info);
    r->fix = (rom_fix_mode)fix;
    return err == BRISK_OK ? brisk_json_member_bool(from, "force", &r->force, info) : err;
}

static brisk_err parse(const brisk_form_input *in, const void **ret, brisk_errinfo *info)
{
    static const char *const members[] = {"rom", "mods", "files", "fix_checksums", "force", NULL};
    const brisk_json_node *mods = NULL;
    const brisk_json_node *files = NULL;
    rom_request *r = brisk_arena_calloc(in->arena, 1, sizeof *r);
    brisk_err err = brisk_json_check_members(in->request, members, info);
    err = err == BRISK_OK ? brisk_json_member(in->request, "mods", BRISK_JSON_ARRAY, &mods, info)
                          : err;
    err = err == BRISK_OK ? brisk_json_member(in->request, "files", BRISK_JSON_ARRAY, &files, info)
                          : err;
    err = err == BRISK_OK ? check_count(mods, "mods", 1, ROM_MODS_MAX, info) : err;
    err = err == BRISK_OK ? check_count(files, "files", 0, FILES_MAX, info) : err;
    if (err != BRISK_OK) {
        return err;
    }
    uint32_t most = 1 + (mods != NULL ? mods->count : 0) + (files != NULL ? files->count : 0);
    collection c = {.in = in, .info = info};
    c.all = brisk_arena_calloc(in->arena, most, sizeof *c.all);
    const char **names = brisk_arena_calloc(in->arena, most, sizeof *names);
    if (r == NULL || c.all == NULL || names == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    err = collect(&c, brisk_json_get(in->request, "rom"), "rom", &r->rom_path);
    err = err == BRISK_OK ? collect_list(&c, mods, "mods", names) : err;
    err = err == BRISK_OK ? collect_list(&c, files, "files", NULL) : err;
    err = err == BRISK_OK ? read_options(in->request, r, info) : err;
    if (err != BRISK_OK) {
        return err;
    }
    r->mod_paths = names;
    r->mod_count = mods != NULL ? mods->count : 0;
    r->supplied = c.all;
    r->supplied_count = c.count;
    r->in_memory = true;
    *ret = r;
    return BRISK_OK;
}

static brisk_err result(brisk_job *job, const void *request, brisk_form_output *ret)
{
    const rom_request *r = request;
    ret->type = "application/octet-stream";
    ret->name = r->rom_path;
    return rom_result_value(brisk_job_state(job), &ret->value);
}

static void details(brisk_job *job, const void *request, brisk_json *json)
{
    const rom_job *state = brisk_job_state(job);
    (void)request;
    if (brisk_job_result(job) != BRISK_OK) {
        if (state->conflicts.total != 0) {
            rom_conflicts_write_json(state, json);
        }
        return;
    }
    char crc32[16];
    (void)snprintf(crc32, sizeof crc32, "%08x", state->result.crc32);
    brisk_json_u64(json, "bytes", state->result.size);
    brisk_json_str(json, "crc32", crc32);
    brisk_json_u64(json, "mods", state->mod_count);
    brisk_json_bool(json, "checksum_fixed", (state->result.flags & ROM_RESULT_CHECKSUM_FIXED) != 0);
}

const brisk_form rom_form = {
    .summary = "apply patches and mod files to a game ROM",
    .schema = schema,
    .parse = parse,
    .result = result,
    .details = details,
};
