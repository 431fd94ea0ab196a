/*
 * history.c -- the line of a benchmark over time: NAME.history beside NAME.json, a JSON object a
 * line, appended with one write each, so that several processes may do it.
 *
 * A line that is not whole (a full disk, a crash) is left out when reading, as is anything that is
 * not a point; a file that holds nothing else is an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/yaml.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "observe/bench/bench.h"

BRISK_DEFINE_CLEANUP(brisk_yaml_doc, brisk_yaml_destroy)

enum { FILE_BYTES_MAX = 32 << 20, LINE_BYTES_MAX = 1 << 20 };

static brisk_err put_points(brisk_arena *arena, const bench_record *record, brisk_str *out)
{
    for (uint32_t i = 0; i < record->subject_count; i++) {
        const bench_subject *s = &record->subjects[i];
        double *sorted = brisk_arena_alloc(arena, (s->run_count + 1) * sizeof *sorted);
        if (sorted == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (s->run_count == 0) {
            continue;
        }
        memcpy(sorted, s->wall_ns, s->run_count * sizeof *sorted);
        brisk_sample_sort(sorted, s->run_count);
        brisk_json json;
        brisk_json_init(&json, brisk_str_out(out), 0);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "when_s", record->when_s);
        brisk_json_str(&json, "version", record->version);
        brisk_json_str(&json, "fingerprint", record->fingerprint);
        brisk_json_str(&json, "name", s->name);
        brisk_json_u64(&json, "median_ns", (uint64_t)brisk_sample_median(sorted, s->run_count));
        brisk_json_u64(&json, "low_ns",
                       (uint64_t)brisk_sample_quantile(sorted, s->run_count, 0.25));
        brisk_json_u64(&json, "high_ns",
                       (uint64_t)brisk_sample_quantile(sorted, s->run_count, 0.75));
        brisk_json_u64(&json, "runs", s->run_count);
        brisk_json_object_end(&json);
        brisk_err err = brisk_json_finish(&json);
        if (err != BRISK_OK) {
            return err;
        }
    }
    return brisk_str_err(out);
}

/** What a crash cut off must not swallow the next line. */
static brisk_err append(const char *path, const char *text, size_t size, brisk_errinfo *info)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    (void)flock(fd, LOCK_EX);
    off_t end = lseek(fd, 0, SEEK_END);
    char last = '\n';
    brisk_err err = BRISK_OK;
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n') {
        err = brisk_file_write_all(fd, "\n", 1);
    }
    if (err == BRISK_OK) {
        err = brisk_file_write_all(fd, text, size);
    }
    (void)close(fd);
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
}

brisk_err bench_history_append(brisk_arena *arena, const bench_record *record, brisk_errinfo *info)
{
    char *path = bench_path(arena, record->name, "history");
    if (path == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "there is no place for measurements");
    }
    brisk_str text;
    brisk_str_init(&text, NULL, LINE_BYTES_MAX);
    brisk_err err = put_points(arena, record, &text);
    if (err == BRISK_OK) {
        err = append(path, brisk_str_text(&text), brisk_str_size(&text), info);
    } else {
        err = brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    brisk_str_deinit(&text);
    return err;
}

/* --- reading -------------------------------------------------------------------------------- */

static const char *text_of(brisk_arena *arena, const brisk_yaml_node *root, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(root, key);
    return node != NULL && node->text != NULL
               ? brisk_arena_copy(arena, node->text, strlen(node->text))
               : NULL;
}

static uint64_t number_of(const brisk_yaml_doc *doc, const brisk_yaml_node *root, const char *key)
{
    const brisk_yaml_node *node = brisk_yaml_get(root, key);
    uint64_t value = 0;
    brisk_errinfo ignored;
    return node != NULL && brisk_yaml_u64(doc, node, &value, &ignored) == BRISK_OK ? value : 0;
}

/** False when the line is no point. */
static bool read_point(brisk_arena *arena, const char *line, size_t size, bench_point *ret)
{
    BRISK_CLEANUP(brisk_yaml_destroy) brisk_yaml_doc *doc = NULL;
    if (size > LINE_BYTES_MAX ||
        brisk_yaml_parse("history", line, size, NULL, &doc, NULL) != BRISK_OK) {
        return false;
    }
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    bench_point point = {.when_s = number_of(doc, root, "when_s"),
                         .version = text_of(arena, root, "version"),
                         .fingerprint = text_of(arena, root, "fingerprint"),
                         .command = text_of(arena, root, "name"),
                         .median_ns = (double)number_of(doc, root, "median_ns"),
                         .low_ns = (double)number_of(doc, root, "low_ns"),
                         .high_ns = (double)number_of(doc, root, "high_ns"),
                         .runs = (uint32_t)number_of(doc, root, "runs")};
    *ret = point;
    return point.version != NULL && point.fingerprint != NULL && point.command != NULL &&
           point.median_ns > 0.0;
}

static uint32_t count_lines(const brisk_file_view *view)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < view->size && lines <= BENCH_HISTORY_MAX; i++) {
        lines += view->data[i] == '\n' ? 1 : 0;
    }
    return lines;
}

static brisk_err read_points(brisk_arena *arena, const brisk_file_view *view, const char *path,
                             bench_point **ret, uint32_t *ret_count, brisk_errinfo *info)
{
    uint32_t lines = count_lines(view);
    if (lines > BENCH_HISTORY_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d points", path,
                                 BENCH_HISTORY_MAX);
    }
    bench_point *points = brisk_arena_calloc(arena, lines, sizeof *points);
    if (points == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s", brisk_err_message(BRISK_ERR_NOMEM));
    }
    uint32_t count = 0;
    const char *at = (const char *)view->data;
    const char *end = at + view->size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);
        count += read_point(arena, at, size, &points[count]) ? 1 : 0;
        at += size + 1;
    }
    if (count == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: holds no points", path);
    }
    *ret = points;
    *ret_count = count;
    return BRISK_OK;
}

brisk_err bench_history_load(brisk_arena *arena, const char *name, bench_point **ret,
                             uint32_t *ret_count, brisk_errinfo *info)
{
    char *path = bench_path(arena, name, "history");
    brisk_file_view view = {0};
    if (path == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "there is no place for measurements");
    }
    brisk_err err = brisk_file_view_open(path, FILE_BYTES_MAX, &view, info);
    if (err == BRISK_OK) {
        err = read_points(arena, &view, path, ret, ret_count, info);
        brisk_file_view_close(&view);
    }
    return err;
}
