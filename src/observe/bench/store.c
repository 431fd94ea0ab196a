/*
 * store.c -- named measurements as JSON files, read back as YAML, of which JSON is a part.
 *
 * The one place that knows where and how measurements are kept.  A file that is read may come from
 * anybody: sizes are bounded, and every value is checked.  What is not ours (schema 2, and 1 of old) is
 * left to brisk/import.h: hyperfine, Google Benchmark, JUnit and others.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/file.h>
#include <brisk/import.h>
#include <brisk/yaml.h>

#include "base/cleanup.h"
#include "observe/bench/bench.h"

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)
BRISK_DEFINE_CLEANUP(brisk_import, brisk_import_destroy)

enum { FILE_BYTES_MAX = 16 << 20 };

static const double ns_max = 1e18; /* thirty years */

bool bench_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-");
    return length > 0 && length <= BENCH_NAME_MAX && name[length] == '\0' && name[0] != '.';
}

char *bench_path(brisk_arena *arena, const char *name, const char *suffix)
{
    /* A relative XDG_DATA_HOME is to be ignored, says the specification. */
    const char *data = getenv("XDG_DATA_HOME");
    if (data != NULL && data[0] == '/') {
        return brisk_arena_printf(arena, "%s/brisk/bench/%s.%s", data, name, suffix);
    }
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/') {
        return brisk_arena_printf(arena, "%s/.local/share/brisk/bench/%s.%s", home, name, suffix);
    }
    return NULL;
}

static brisk_err no_memory(brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
}

static brisk_err no_place(brisk_errinfo *info)
{
    return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                             "there is no place for measurements: neither XDG_DATA_HOME nor HOME "
                             "is set");
}

/* --- writing -------------------------------------------------------------------------------- */

static brisk_err write_fd(void *ctx, const char *data, size_t size)
{
    return brisk_file_write_all(*(const int *)ctx, data, size);
}

static void write_series(brisk_json *json, const char *key, const double *values, uint32_t count)
{
    brisk_json_array_begin(json, key);
    for (uint32_t i = 0; i < count; i++) {
        /* Fractions matter for small functions only. */
        if (values[i] < 1e6) {
            brisk_json_double(json, NULL, values[i]);
        } else {
            brisk_json_u64(json, NULL, (uint64_t)values[i]);
        }
    }
    brisk_json_array_end(json);
}

static brisk_err write_record(int fd, const bench_record *record)
{
    brisk_json json;
    brisk_json_init(&json, (brisk_out){.write = write_fd, .ctx = &fd}, 1);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 2);
    brisk_json_str(&json, "name", record->name);
    brisk_json_str(&json, "version", record->version);
    brisk_json_u64(&json, "when_s", record->when_s);
    brisk_json_str(&json, "machine", record->machine);
    brisk_json_str(&json, "fingerprint", record->fingerprint);
    brisk_json_array_begin(&json, "benchmarks");
    for (uint32_t i = 0; i < record->subject_count; i++) {
        const bench_subject *s = &record->subjects[i];
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", s->name);
        brisk_json_str(&json, "command", s->text);
        brisk_json_u64(&json, "peak_bytes", s->peak_bytes);
        brisk_json_u64(&json, "instructions", s->instructions);
        write_series(&json, "runs_ns", s->wall_ns, s->run_count);
        write_series(&json, "cpu_ns", s->cpu_ns, s->run_count);
        write_series(&json, "busy_ns", s->busy_ns, s->run_count);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

brisk_err bench_save(brisk_arena *arena, const bench_record *record, brisk_errinfo *info)
{
    char *path = bench_path(arena, record->name, "json");
    if (path == NULL) {
        return no_place(info);
    }
    char *folder = brisk_arena_copy(arena, path, (size_t)(strrchr(path, '/') - path));
    if (folder == NULL) {
        return no_memory(info);
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

/* --- reading -------------------------------------------------------------------------------- */

/** One file being read. */
typedef struct reader {
    brisk_arena *arena;
    const brisk_yaml_doc *doc;
    brisk_errinfo *info;
} reader;

static brisk_err refuse(const reader *r, const brisk_yaml_node *node, const char *what)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_INVALID, "%s:%u: %s", brisk_yaml_name(r->doc),
                             (unsigned)(node != NULL ? node->line : 1), what);
}

static brisk_err read_text(const reader *r, const brisk_yaml_node *parent, const char *key,
                           const char **ret)
{
    const brisk_yaml_node *node = brisk_yaml_get(parent, key);
    if (node == NULL || node->text == NULL) {
        return brisk_errinfo_set(r->info, BRISK_ERR_INVALID, "%s:%u: '%s' is missing",
                                 brisk_yaml_name(r->doc), (unsigned)parent->line, key);
    }
    *ret = brisk_arena_copy(r->arena, node->text, strlen(node->text));
    return *ret != NULL ? BRISK_OK : no_memory(r->info);
}

/** 0 when there is none. */
static brisk_err read_count(const reader *r, const brisk_yaml_node *parent, const char *key,
                            uint64_t *ret)
{
    const brisk_yaml_node *node = brisk_yaml_get(parent, key);
    return node != NULL ? brisk_yaml_u64(r->doc, node, ret, r->info) : BRISK_OK;
}

/** A time, in `unit_ns`, as JSON writes numbers; above 0. */
static brisk_err read_time(const reader *r, const brisk_yaml_node *node, double unit_ns,
                           double *ret)
{
    const char *text = node->text != NULL && !node->quoted ? node->text : "";
    size_t length = strspn(text, "0123456789.eE+-");
    char *end = NULL;
    double value = length > 0 && text[length] == '\0' ? strtod(text, &end) * unit_ns : -1.0;
    if (end == NULL || *end != '\0' || !(value > 0.0 && value <= ns_max)) {
        return refuse(r, node, "not a time above 0");
    }
    *ret = value;
    return BRISK_OK;
}

static brisk_err read_series(const reader *r, const brisk_yaml_node *list, double unit_ns,
                             double *values)
{
    uint32_t used = 0;
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = list->child; n != NULL && err == BRISK_OK; n = n->next) {
        err = read_time(r, n, unit_ns, &values[used++]);
    }
    return err;
}

/** Room for as many runs as `list` has, none of them with a known processor time. */
static brisk_err read_runs(const reader *r, const brisk_yaml_node *parent, const char *key,
                           double unit_ns, bench_subject *subject)
{
    const brisk_yaml_node *list = brisk_yaml_get(parent, key);
    if (list == NULL || list->kind != BRISK_YAML_SEQUENCE || list->count == 0 ||
        list->count > BENCH_RUNS_MAX) {
        return refuse(r, list != NULL ? list : parent, "holds no runs, or too many");
    }
    if (!bench_measure_room(r->arena, subject, list->count)) {
        return no_memory(r->info);
    }
    subject->run_count = list->count;
    for (uint32_t i = 0; i < list->count; i++) {
        subject->user_ns[i] = 0.0;
        subject->system_ns[i] = 0.0;
        subject->cpu_ns[i] = 1.0;
        subject->busy_ns[i] = 1.0;
    }
    return read_series(r, list, unit_ns, subject->wall_ns);
}

/** A series beside the runs, which may be missing. */
static brisk_err read_more(const reader *r, const brisk_yaml_node *node, const char *key,
                           uint32_t count, double *values)
{
    const brisk_yaml_node *list = brisk_yaml_get(node, key);
    if (list == NULL) {
        return BRISK_OK;
    }
    if (list->kind != BRISK_YAML_SEQUENCE || list->count != count) {
        return refuse(r, list, "not as many as runs");
    }
    return read_series(r, list, 1.0, values);
}

static brisk_err read_subject(const reader *r, const brisk_yaml_node *node, bench_subject *ret)
{
    static const char *const keys[] = {"name",    "command", "peak_bytes", "instructions",
                                       "runs_ns", "cpu_ns",  "busy_ns",    NULL};
    brisk_err err = brisk_yaml_check_keys(r->doc, node, keys, r->info);
    if (err == BRISK_OK) {
        err = read_text(r, node, "name", &ret->name);
    }
    if (err == BRISK_OK) {
        err = read_text(r, node, "command", &ret->text);
    }
    if (err == BRISK_OK) {
        err = read_count(r, node, "peak_bytes", &ret->peak_bytes);
    }
    if (err == BRISK_OK) {
        err = read_count(r, node, "instructions", &ret->instructions);
    }
    if (err == BRISK_OK) {
        err = read_runs(r, node, "runs_ns", 1.0, ret);
    }
    if (err == BRISK_OK) {
        err = read_more(r, node, "cpu_ns", ret->run_count, ret->cpu_ns);
    }
    return err == BRISK_OK ? read_more(r, node, "busy_ns", ret->run_count, ret->busy_ns) : err;
}

/** Every element of `list` by `read`, into ret->subjects. */
static brisk_err read_list(const reader *r, const brisk_yaml_node *list,
                           brisk_err (*read)(const reader *r, const brisk_yaml_node *node,
                                             bench_subject *ret),
                           bench_record *ret)
{
    if (list == NULL || list->kind != BRISK_YAML_SEQUENCE || list->count == 0 ||
        list->count > BENCH_COMMANDS_MAX) {
        return refuse(r, list, "holds no benchmarks, or too many");
    }
    ret->subjects = brisk_arena_calloc(r->arena, list->count, sizeof *ret->subjects);
    if (ret->subjects == NULL) {
        return no_memory(r->info);
    }
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = list->child; n != NULL && err == BRISK_OK; n = n->next) {
        err = n->kind == BRISK_YAML_MAPPING ? read(r, n, &ret->subjects[ret->subject_count++])
                                            : refuse(r, n, "not a benchmark");
    }
    return err;
}

static brisk_err read_own(const reader *r, const brisk_yaml_node *root, bench_record *ret)
{
    static const char *const keys[] = {"schema",  "name",        "version",    "when_s",
                                       "machine", "fingerprint", "benchmarks", NULL};
    brisk_err err = brisk_yaml_check_keys(r->doc, root, keys, r->info);
    if (err == BRISK_OK) {
        err = read_text(r, root, "name", &ret->name);
    }
    if (err == BRISK_OK) {
        err = read_text(r, root, "version", &ret->version);
    }
    if (err == BRISK_OK) {
        err = read_text(r, root, "machine", &ret->machine);
    }
    if (err == BRISK_OK) {
        err = read_text(r, root, "fingerprint", &ret->fingerprint);
    }
    if (err == BRISK_OK) {
        err = read_count(r, root, "when_s", &ret->when_s);
    }
    return err == BRISK_OK ? read_list(r, brisk_yaml_get(root, "benchmarks"), read_subject, ret)
                           : err;
}

/** One command, runs only: as brisk wrote them before there were several. */
static brisk_err read_old(const reader *r, const brisk_yaml_node *root, bench_record *ret)
{
    static const char *const keys[] = {"schema", "command", "version", "when_s", "runs_ns", NULL};
    brisk_err err = brisk_yaml_check_keys(r->doc, root, keys, r->info);
    ret->subjects = brisk_arena_calloc(r->arena, 1, sizeof *ret->subjects);
    if (err != BRISK_OK || ret->subjects == NULL) {
        return err != BRISK_OK ? err : no_memory(r->info);
    }
    const char *command = NULL;
    ret->subject_count = 1;
    ret->machine = "?";
    ret->fingerprint = "";
    err = read_text(r, root, "command", &command);
    if (err == BRISK_OK) {
        err = read_text(r, root, "version", &ret->version);
    }
    if (err == BRISK_OK) {
        err = read_count(r, root, "when_s", &ret->when_s);
    }
    if (err == BRISK_OK) {
        err = read_runs(r, root, "runs_ns", 1.0, &ret->subjects[0]);
    }
    if (err != BRISK_OK) {
        return err;
    }
    const char *text = brisk_arena_printf(r->arena, "brisk %s", command);
    ret->subjects[0].name = text;
    ret->subjects[0].text = text;
    ret->name = text;
    return text != NULL ? BRISK_OK : no_memory(r->info);
}

/* --- of others ------------------------------------------------------------------------------ */

/** Nanoseconds of a unit of time; 0: it is none. */
static double unit_ns(const char *unit)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1.0}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].name) == 0) {
            return units[i].ns;
        }
    }
    return 0.0;
}

/** Processor time beside a series of wall time is the same benchmark's, not one of its own. */
static bool is_wall_sample(const brisk_import_series *s)
{
    size_t length = strlen(s->name);
    bool cpu = length > 4 && strcmp(s->name + length - 4, " cpu") == 0;
    return strcmp(s->statistic, "sample") == 0 && unit_ns(s->unit) > 0.0 && !cpu;
}

static brisk_err take_series(brisk_arena *arena, const brisk_import_series *s, const char *name,
                             bench_subject *ret, brisk_errinfo *info)
{
    if (s->count > BENCH_RUNS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d runs of a benchmark",
                                 name, BENCH_RUNS_MAX);
    }
    ret->name = brisk_arena_copy(arena, s->name, strlen(s->name));
    ret->text = ret->name;
    if (ret->name == NULL || !bench_measure_room(arena, ret, (uint32_t)s->count)) {
        return no_memory(info);
    }
    for (size_t i = 0; i < s->count; i++) {
        double ns = s->values[i] * unit_ns(s->unit);
        if (!(ns > 0.0 && ns <= ns_max)) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "%s: '%s' has a time that is not above 0", name, ret->name);
        }
        ret->wall_ns[i] = ns;
        ret->user_ns[i] = 0.0;
        ret->system_ns[i] = 0.0;
        ret->cpu_ns[i] = 1.0;
        ret->busy_ns[i] = 1.0;
    }
    ret->run_count = (uint32_t)s->count;
    return BRISK_OK;
}

static brisk_err take_all(brisk_arena *arena, const brisk_import *import, bench_record *ret,
                          brisk_errinfo *info)
{
    size_t count = 0;
    const brisk_import_series *series = brisk_import_series_of(import, &count);
    ret->subjects = brisk_arena_calloc(arena, BENCH_COMMANDS_MAX, sizeof *ret->subjects);
    brisk_err err = ret->subjects != NULL ? BRISK_OK : no_memory(info);
    for (size_t i = 0; i < count && err == BRISK_OK; i++) {
        if (!is_wall_sample(&series[i])) {
            continue;
        }
        err = ret->subject_count == BENCH_COMMANDS_MAX
                  ? brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d benchmarks",
                                      ret->name, BENCH_COMMANDS_MAX)
                  : take_series(arena, &series[i], ret->name, &ret->subjects[ret->subject_count++],
                                info);
    }
    if (err == BRISK_OK && ret->subject_count == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: holds no times of single runs",
                                ret->name);
    }
    return err;
}

/** Whatever brisk/import.h knows, as long as it has times of single runs. */
static brisk_err read_foreign(brisk_arena *arena, const void *data, size_t size, bench_record *ret,
                              brisk_errinfo *info)
{
    BRISK_CLEANUP(brisk_import_destroy) brisk_import *import = NULL;
    brisk_import_opts opts = {.name = ret->name};
    ret->version = "?";
    ret->machine = "?";
    ret->fingerprint = "";
    brisk_err err = brisk_import_bytes(data, size, &opts, &import, info);
    return err == BRISK_OK ? take_all(arena, import, ret, info) : err;
}

/** Ours has a schema; NOT_FOUND: it has none. */
static brisk_err read_ours(brisk_arena *arena, const brisk_yaml_doc *doc, bench_record *ret,
                           brisk_errinfo *info)
{
    reader r = {.arena = arena, .doc = doc, .info = info};
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    const brisk_yaml_node *schema = brisk_yaml_get(root, "schema");
    if (schema == NULL) {
        return BRISK_ERR_NOT_FOUND;
    }
    if (schema->text != NULL && strcmp(schema->text, "2") == 0) {
        return read_own(&r, root, ret);
    }
    if (schema->text != NULL && strcmp(schema->text, "1") == 0) {
        return read_old(&r, root, ret);
    }
    return refuse(&r, schema, "a schema that this brisk does not know");
}

brisk_err bench_parse(brisk_arena *arena, const char *name, const void *data, size_t size,
                      bench_record *ret, brisk_errinfo *info)
{
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    bench_record record = {.name = name};
    brisk_err err = brisk_yaml_parse(name, data, size, NULL, &doc, info);
    err = err == BRISK_OK ? read_ours(arena, doc, &record, info) : BRISK_ERR_NOT_FOUND;
    if (err == BRISK_ERR_NOT_FOUND) {
        err = read_foreign(arena, data, size, &record, info);
    }
    for (uint32_t i = 0; i < record.subject_count && err == BRISK_OK; i++) {
        err = bench_describe(&record.subjects[i]);
        err = err != BRISK_OK ? no_memory(info) : err;
    }
    if (err == BRISK_OK) {
        *ret = record;
    }
    return err;
}

brisk_err bench_load_file(brisk_arena *arena, const char *path, bench_record *ret,
                          brisk_errinfo *info)
{
    brisk_file_view view = {0};
    brisk_err err = brisk_file_view_open(path, FILE_BYTES_MAX, &view, info);
    if (err == BRISK_OK) {
        err = bench_parse(arena, path, view.data, view.size, ret, info);
        brisk_file_view_close(&view);
    }
    return err;
}

brisk_err bench_load(brisk_arena *arena, const char *name, bench_record *ret, brisk_errinfo *info)
{
    char *path = bench_path(arena, name, "json");
    brisk_err err = path != NULL ? bench_load_file(arena, path, ret, info) : no_place(info);
    if (err == BRISK_OK) {
        ret->name = name; /* not what a copied file says */
    }
    return err;
}
