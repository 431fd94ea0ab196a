/*
 * apply_remote.c -- see apply_remote.h: inputs read here, sent as parts, the result written here.
 *
 * A mod file names patches beside itself; the node opens no file of ours, so the mod file is read here
 * as well, and what it names goes along under the name by which it will be looked up.  Names are the
 * last parts of paths: where things lie here is nobody else's business.
 *
 * Threads: one.
 */
#include "workload/rom/apply_remote.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/json.h>

#include "workload/rom/apply_print.h"
#include "workload/rom/beside.h"
#include "workload/rom/checksum.h"

enum { FILES_MAX = 1024, PARTS_MAX = 1 + ROM_MODS_MAX + FILES_MAX, PART_NAME = 16 };

static const uint64_t result_max = UINT64_C(512) << 20;

typedef struct part {
    brisk_file_view view;
    const char *name;
    char part[PART_NAME];
} part;

typedef struct upload {
    const brisk_invocation *in;
    const rom_request *request;
    brisk_arena *arena;
    part *parts; /* PARTS_MAX: the ROM, the mods, what mod files name */
    uint32_t count;
    uint64_t told_ns;
} upload;

/* --- reading ------------------------------------------------------------------------------ */

static const char *last_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static rom_bytes bytes_of(const part *p)
{
    return (rom_bytes){.name = p->name, .data = p->view.data, .size = p->view.size};
}

static brisk_err add(upload *up, const char *path, uint64_t size_max, brisk_errinfo *info)
{
    part *p = &up->parts[up->count];
    brisk_err err = brisk_file_view_open(path, size_max, &p->view, info);
    if (err == BRISK_OK) {
        p->name = last_of(path);
        (void)snprintf(p->part, sizeof p->part, "f%u", up->count);
        up->count++;
    }
    return err;
}

static bool is_there(const upload *up, const char *name)
{
    bool found = false;
    for (uint32_t i = 1 + up->request->mod_count; i < up->count && !found; i++) {
        found = strcmp(up->parts[i].name, name) == 0;
    }
    return found;
}

/* What the mod file at `path` names, below its folder. */
static brisk_err add_named(upload *up, const part *mod, const char *path, brisk_errinfo *info)
{
    rom_modfile file;
    rom_bytes bytes = bytes_of(mod);
    size_t folder = (size_t)(last_of(path) - path);
    brisk_err err = rom_modfile_parse(&bytes, up->arena, &file, info);
    for (uint32_t i = 0; err == BRISK_OK && i < file.component_count; i++) {
        const char *name = file.components[i].patch_path;
        if (name == NULL || is_there(up, name)) {
            continue;
        }
        char *whole = brisk_arena_printf(up->arena, "%.*s%s", (int)folder, path, name);
        if (whole == NULL || up->count == PARTS_MAX) {
            return brisk_errinfo_set(info, whole == NULL ? BRISK_ERR_NOMEM : BRISK_ERR_LIMIT, "%s",
                                     whole == NULL ? "out of memory"
                                                   : "mod files name too many patches for a node");
        }
        part *p = &up->parts[up->count];
        err = rom_open_beside(whole, folder, ROM_PATCH_BYTES_MAX, &p->view, info);
        if (err == BRISK_OK) {
            p->name = name;
            (void)snprintf(p->part, sizeof p->part, "f%u", up->count);
            up->count++;
        }
    }
    return err;
}

static brisk_err read_all(upload *up, brisk_errinfo *info)
{
    const rom_request *r = up->request;
    up->parts = brisk_arena_calloc(up->arena, PARTS_MAX, sizeof *up->parts);
    if (up->parts == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    if (r->mod_count > ROM_MODS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "at most %d mods at once", ROM_MODS_MAX);
    }
    brisk_err err = add(up, r->rom_path, ROM_BYTES_MAX, info);
    for (uint32_t i = 0; err == BRISK_OK && i < r->mod_count; i++) {
        err = add(up, r->mod_paths[i], ROM_PATCH_BYTES_MAX, info);
    }
    for (uint32_t i = 0; err == BRISK_OK && i < r->mod_count; i++) {
        rom_bytes bytes = bytes_of(&up->parts[1 + i]);
        if (!rom_looks_like_patch(&bytes)) {
            err = add_named(up, &up->parts[1 + i], r->mod_paths[i], info);
        }
    }
    return err;
}

/* --- the job ------------------------------------------------------------------------------ */

static void write_part(brisk_json *json, const char *key, const part *p)
{
    brisk_json_object_begin(json, key);
    brisk_json_str(json, "part", p->part);
    brisk_json_str(json, "name", p->name);
    brisk_json_object_end(json);
}

static void write_request(void *ctx, brisk_json *json)
{
    static const char *const fixes[] = {
        [ROM_FIX_AUTO] = "auto", [ROM_FIX_ALWAYS] = "always", [ROM_FIX_NEVER] = "never"};
    const upload *up = ctx;
    uint32_t mods = 1 + up->request->mod_count;
    write_part(json, "rom", &up->parts[0]);
    brisk_json_array_begin(json, "mods");
    for (uint32_t i = 1; i < mods; i++) {
        write_part(json, NULL, &up->parts[i]);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "files");
    for (uint32_t i = mods; i < up->count; i++) {
        write_part(json, NULL, &up->parts[i]);
    }
    brisk_json_array_end(json);
    brisk_json_str(json, "fix_checksums", fixes[up->request->fix]);
    brisk_json_bool(json, "force", up->request->force);
}

static void on_progress(void *ctx, const char *status, uint64_t waited_ns)
{
    upload *up = ctx;
    up->told_ns = waited_ns;
    if (!up->in->quiet && isatty(STDERR_FILENO) == 1) {
        (void)fprintf(stderr, "\r\033[K%s at the node, %.0f s", status, (double)waited_ns / 1e9);
        (void)fflush(stderr);
    }
}

static brisk_err ask(upload *up, const brisk_node_opts *where, brisk_http_response **ret,
                     brisk_errinfo *info)
{
    brisk_node *node = NULL;
    brisk_node_part *parts = brisk_arena_calloc(up->arena, up->count, sizeof *parts);
    if (parts == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < up->count; i++) {
        const part *p = &up->parts[i];
        parts[i] = (brisk_node_part){.name = p->part, .data = p->view.data, .size = p->view.size};
    }
    brisk_err err = brisk_node_open(where, &node, info);
    if (err == BRISK_OK) {
        err = brisk_node_run_job(node,
                                 &(brisk_node_job){.workload = "rom",
                                                   .request = write_request,
                                                   .progress = on_progress,
                                                   .ctx = up,
                                                   .parts = parts,
                                                   .part_count = up->count,
                                                   .answer_max = result_max},
                                 ret, info);
    }
    brisk_node_close(node);
    if (up->told_ns != 0 && !up->in->quiet && isatty(STDERR_FILENO) == 1) {
        (void)fputs("\r\033[K", stderr);
    }
    return err;
}

/* --- the result --------------------------------------------------------------------------- */

static brisk_err write_result(const rom_request *r, const brisk_http_response *response,
                              brisk_errinfo *info)
{
    brisk_file_replace *file = NULL;
    brisk_err err = brisk_file_replace_open(r->out_path, NULL, &file, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = brisk_file_write_all(brisk_file_replace_fd(file), response->body, response->body_size);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(file);
        return brisk_errinfo_set(info, err, "%s: %s", r->out_path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(file, !r->no_sync, info);
}

static brisk_exit tell(const upload *up, const brisk_http_response *response, uint64_t elapsed_ns,
                       bool as_json)
{
    const rom_request *r = up->request;
    uint32_t crc32 = rom_crc32(0, response->body, response->body_size);
    FILE *out = up->in->out;
    if (!as_json) {
        rom_print_text(out, r->out_path);
        (void)fprintf(out, ": %zu byte%s, CRC32 %08x, %u mod%s, %.1f ms (by the node)\n",
                      response->body_size, response->body_size == 1 ? "" : "s", crc32, r->mod_count,
                      r->mod_count == 1 ? "" : "s", (double)elapsed_ns / 1e6);
        return BRISK_EXIT_OK;
    }
    brisk_json json;
    char text[16];
    (void)snprintf(text, sizeof text, "%08x", crc32);
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_bool(&json, "ok", true);
    brisk_json_bool(&json, "dry_run", false);
    brisk_json_str(&json, "output", r->out_path);
    brisk_json_u64(&json, "bytes", response->body_size);
    brisk_json_str(&json, "crc32", text);
    brisk_json_u64(&json, "mods", r->mod_count);
    brisk_json_str(&json, "how", "node");
    brisk_json_str(&json, "workload", "rom");
    brisk_json_u64(&json, "elapsed_ns", elapsed_ns);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

brisk_exit rom_apply_remote(const brisk_invocation *in, const rom_request *request,
                            const brisk_node_opts *where, bool json)
{
    upload up = {.in = in, .request = request};
    brisk_errinfo info = {.text = ""};
    brisk_http_response *response = NULL;
    uint64_t begun_ns = brisk_clock_now_ns(NULL);
    brisk_exit code = BRISK_EXIT_FAILED;
    brisk_err err = brisk_arena_create(NULL, &up.arena);
    if (err != BRISK_OK) {
        (void)brisk_errinfo_set(&info, err, "out of memory");
    }
    err = err == BRISK_OK ? read_all(&up, &info) : err;
    err = err == BRISK_OK ? ask(&up, where, &response, &info) : err;
    err = err == BRISK_OK ? write_result(request, response, &info) : err;
    if (err == BRISK_OK) {
        code = tell(&up, response, brisk_clock_now_ns(NULL) - begun_ns, json);
    } else {
        (void)fputs("brisk: ", in->err);
        rom_print_text(in->err, info.text);
        (void)fputc('\n', in->err);
    }
    brisk_http_response_destroy(response);
    for (uint32_t i = 0; i < up.count; i++) {
        brisk_file_view_close(&up.parts[i].view);
    }
    brisk_arena_destroy(up.arena);
    return code;
}
