/*
 * bench_store.c -- named measurements as JSON files, read back as YAML, of which JSON is a part.
 */
#include <stdlib.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/yaml.h>

#include "base/cleanup.h"
#include "cli/bench.h"

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)

enum { FILE_BYTES_MAX = 1 << 20 }; /* BENCH_RUNS_MAX runs of 20 digits and their commas */

bool bench_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-");
    return length > 0 && length <= BENCH_NAME_MAX && name[length] == '\0' && name[0] != '.';
}

char *bench_path(brisk_arena *arena, const char *name)
{
    /* A relative XDG_DATA_HOME is to be ignored, says the specification. */
    const char *data = getenv("XDG_DATA_HOME");
    if (data != NULL && data[0] == '/') {
        return brisk_arena_printf(arena, "%s/brisk/bench/%s.json", data, name);
    }
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/') {
        return brisk_arena_printf(arena, "%s/.local/share/brisk/bench/%s.json", home, name);
    }
    return NULL;
}

static brisk_err write_fd(void *ctx, const char *data, size_t size)
{
    return brisk_file_write_all(*(const int *)ctx, data, size);
}

static brisk_err write_record(int fd, const bench_record *record)
{
    brisk_json json;
    brisk_json_init(&json, (brisk_out){.write = write_fd, .ctx = &fd}, 1);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "command", record->command);
    brisk_json_str(&json, "version", record->version);
    brisk_json_u64(&json, "when_s", record->when_s);
    brisk_json_array_begin(&json, "runs_ns");
    for (uint32_t i = 0; i < record->run_count; i++) {
        brisk_json_u64(&json, NULL, (uint64_t)record->runs_ns[i]);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

brisk_err bench_save(brisk_arena *arena, const char *path, const bench_record *record,
                     brisk_errinfo *info)
{
    const char *slash = strrchr(path, '/');
    char *folder = brisk_arena_copy(arena, path, (size_t)(slash - path));
    if (folder == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_make_dirs(folder, info);
    if (err == BRISK_OK) {
        err = brisk_file_replace_open(path, NULL, &replace, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    err = write_record(brisk_file_replace_fd(replace), record);
    if (err != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(replace, false, info);
}

static brisk_err read_runs(brisk_arena *arena, const brisk_yaml_doc *doc, bench_record *record,
                           brisk_errinfo *info)
{
    const brisk_yaml_node *runs = brisk_yaml_get(brisk_yaml_root(doc), "runs_ns");
    if (runs == NULL || runs->kind != BRISK_YAML_SEQUENCE || runs->count == 0 ||
        runs->count > BENCH_RUNS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: holds no runs",
                                 brisk_yaml_name(doc));
    }
    record->runs_ns = brisk_arena_calloc(arena, runs->count, sizeof(double));
    if (record->runs_ns == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    for (const brisk_yaml_node *run = runs->child; run != NULL; run = run->next) {
        uint64_t ns = 0;
        brisk_err err = brisk_yaml_u64(doc, run, &ns, info);
        if (err != BRISK_OK) {
            return err;
        }
        if (ns == 0) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: a run of 0 ns",
                                     brisk_yaml_name(doc), (unsigned)run->line);
        }
        record->runs_ns[record->run_count++] = (double)ns;
    }
    return BRISK_OK;
}

static brisk_err read_record(brisk_arena *arena, const brisk_yaml_doc *doc, bench_record *ret,
                             brisk_errinfo *info)
{
    static const char *const keys[] = {"schema", "command", "version", "when_s", "runs_ns", NULL};
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    brisk_err err = brisk_yaml_check_keys(doc, root, keys, info);
    const brisk_yaml_node *schema = brisk_yaml_get(root, "schema");
    const brisk_yaml_node *command = brisk_yaml_get(root, "command");
    const brisk_yaml_node *version = brisk_yaml_get(root, "version");
    const brisk_yaml_node *when = brisk_yaml_get(root, "when_s");
    if (err != BRISK_OK) {
        return err;
    }
    if (schema == NULL || schema->text == NULL || strcmp(schema->text, "1") != 0 ||
        command == NULL || command->text == NULL || version == NULL || version->text == NULL ||
        when == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a measurement of brisk bench",
                                 brisk_yaml_name(doc));
    }
    bench_record record = {0};
    err = brisk_yaml_u64(doc, when, &record.when_s, info);
    if (err == BRISK_OK) {
        err = read_runs(arena, doc, &record, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    record.command = brisk_arena_copy(arena, command->text, strlen(command->text));
    record.version = brisk_arena_copy(arena, version->text, strlen(version->text));
    if (record.command == NULL || record.version == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    *ret = record;
    return BRISK_OK;
}

brisk_err bench_load(brisk_arena *arena, const char *path, bench_record *ret, brisk_errinfo *info)
{
    brisk_file_view view = {0};
    brisk_err err = brisk_file_view_open(path, FILE_BYTES_MAX, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    err = brisk_yaml_parse(path, view.data, view.size, NULL, &doc, info);
    if (err == BRISK_OK) {
        err = read_record(arena, doc, ret, info);
    }
    brisk_file_view_close(&view);
    return err;
}
