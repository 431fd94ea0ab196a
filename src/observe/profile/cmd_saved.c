/*
 * cmd_saved.c -- what a profile is written as, and profiles that were saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>

#include "observe/heap/memory.h"
#include "observe/profile/command.h"
#include "observe/profile/import.h"
#include "observe/profile/opportunities.h"
#include "observe/profile/report_words.h"
#include "observe/profile/tally.h"

enum { THRESHOLD_DEFAULT = 5, ROWS_DEFAULT = 10 };

brisk_exit prof_open(const brisk_invocation *in, const char *path, prof_model **ret)
{
    brisk_errinfo info = {0};
    brisk_err err = heap_is_profile(path) ? heap_open_model(path, ret, &info)
                                          : prof_import_file(path, brisk_alloc_libc(), ret, &info);
    return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, &info);
}

/* The type of value that --value names, or the profile's own. */
static bool find_type(const brisk_invocation *in, const prof_model *model, uint32_t *ret)
{
    const brisk_option_value *value = &in->values[PROF_OPTION_VALUE];
    *ret = prof_default_type(model);
    if (!value->set) {
        return true;
    }
    for (uint32_t i = 0; i < model->type_count; i++) {
        if (strcmp(prof_text(model, model->types[i].name), value->text) == 0) {
            *ret = i;
            return true;
        }
    }
    (void)fprintf(in->err, "brisk: profile: no value '%s'; there are:", value->text);
    for (uint32_t i = 0; i < model->type_count; i++) {
        char shown[PROF_SHOWN_MAX];
        (void)fprintf(in->err, " %s", prof_shown(prof_text(model, model->types[i].name), shown));
    }
    (void)fputc('\n', in->err);
    return false;
}

static brisk_err write_model(const prof_model *model, const prof_model *base, prof_format format,
                             uint32_t type, FILE *out)
{
    if (format == PROF_FORMAT_HTML) {
        return prof_export_html(model, base, type, out);
    }
    return prof_export(model, format, type, out);
}

typedef struct written {
    const prof_model *model;
    const prof_model *base; /* NULL: no difference */
    prof_format format;
    uint32_t type;
} written;

/* The folder that `path` is written into, which a file cannot be made in; NULL: it can. */
static const char *no_folder(const char *path, char *folder, size_t size)
{
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    (void)snprintf(folder, size, "%.*s", length, slash == NULL ? "." : path);
    return access(folder, W_OK | X_OK) == 0 ? NULL : folder;
}

bool prof_check_outputs(const brisk_invocation *in, brisk_exit *ret)
{
    const brisk_option_value *format = &in->values[PROF_OPTION_FORMAT];
    const brisk_option_list *paths = &in->lists[PROF_OPTION_OUTPUT];
    char folder[4096];
    *ret = BRISK_EXIT_USAGE;
    if (format->set && prof_format_find(format->text) == PROF_FORMAT_COUNT) {
        (void)fprintf(in->err, "brisk: profile: no format '%s'\n", format->text);
        return false;
    }
    for (uint32_t i = 0; i < paths->count; i++) {
        const char *path = paths->texts[i];
        size_t length = strlen(path);
        bool svg = in->values[PROF_OPTION_MEMORY].set && length > 4 &&
                   strcmp(path + length - 4, ".svg") == 0;
        if (!format->set && !svg && prof_format_of_path(path) == PROF_FORMAT_COUNT) {
            (void)fprintf(in->err, "brisk: profile: %s: its end tells no format; give --format\n",
                          path);
            return false;
        }
        if (no_folder(path, folder, sizeof folder) != NULL) {
            (void)fprintf(in->err, "brisk: profile: %s: %s\n", path, strerror(errno));
            *ret = BRISK_EXIT_FAILED;
            return false;
        }
    }
    return true;
}

static brisk_exit write_file(const brisk_invocation *in, const written *what, const char *path)
{
    brisk_errinfo info = {0};
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, &info);
    if (err != BRISK_OK) {
        return prof_fail(in, err, &info);
    }
    int fd = fcntl(brisk_file_replace_fd(replace), F_DUPFD_CLOEXEC, 0);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    errno = 0;
    err = file != NULL ? write_model(what->model, what->base, what->format, what->type, file)
                       : BRISK_ERR_LIMIT;
    if (err == BRISK_ERR_IO || err == BRISK_ERR_FULL) {
        err = brisk_errinfo_set_errno(&info, errno != 0 ? errno : EIO, "%s", path);
    }
    if (file != NULL && fclose(file) != 0 && err == BRISK_OK) {
        err = brisk_errinfo_set_errno(&info, errno, "%s", path);
    }
    if (err == BRISK_OK) {
        err = brisk_file_replace_commit(replace, false, &info);
    } else {
        brisk_file_replace_abort(replace);
    }
    return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, &info);
}

static brisk_exit write_outputs(const brisk_invocation *in, const prof_model *model,
                                const prof_model *base, uint32_t type, prof_format format)
{
    const brisk_option_list *paths = &in->lists[PROF_OPTION_OUTPUT];
    for (uint32_t i = 0; i < paths->count; i++) {
        prof_format of_path = prof_format_of_path(paths->texts[i]);
        prof_format used = format != PROF_FORMAT_COUNT ? format : of_path;
        if (used == PROF_FORMAT_COUNT) {
            (void)fprintf(in->err, "brisk: profile: %s: its end tells no format; give --format\n",
                          paths->texts[i]);
            return BRISK_EXIT_USAGE;
        }
        brisk_exit wrote = write_file(in, &(written){model, base, used, type}, paths->texts[i]);
        if (wrote != BRISK_EXIT_OK) {
            return wrote;
        }
        if (!in->quiet) {
            (void)fprintf(in->err, "brisk: wrote %s\n", paths->texts[i]);
        }
    }
    return BRISK_EXIT_OK;
}

static brisk_err print_report(const brisk_invocation *in, const prof_model *model,
                              const prof_model *base, const prof_report_opts *opts)
{
    bool json = in->values[PROF_OPTION_JSON].set;
    FILE *out = json || opts->outcome == NULL ? in->out : in->err;
    if (base != NULL) {
        return json ? prof_diff_json(base, model, opts, out)
                    : prof_diff_text(base, model, opts, out);
    }
    return json ? prof_report_json(model, opts, out) : prof_report_text(model, opts, out);
}

static brisk_exit keep(const brisk_invocation *in, const prof_model *model, double threshold)
{
    brisk_history *history = NULL;
    brisk_errinfo info = {0};
    uint32_t count = 0;
    brisk_err err = brisk_history_open(&(brisk_history_opts){0}, &history, &info);
    if (err == BRISK_OK) {
        err = prof_opportunities_put(model, threshold, history, &count, &info);
        brisk_history_close(history);
    }
    if (err == BRISK_OK && !in->quiet) {
        (void)fprintf(in->err, "brisk: kept %u hot spots in the history\n", (unsigned)count);
    }
    return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, &info);
}

/* Time and memory have no difference, as samples and time have in shares; false: said so. */
static bool can_compare(const brisk_invocation *in, const prof_model *before,
                        const prof_model *after, uint32_t type)
{
    char shown[2][PROF_SHOWN_MAX];
    const prof_type *old = &before->types[prof_same_type(before, after, type)];
    const prof_type *now = &after->types[type];
    if ((strcmp(prof_text(before, old->unit), "bytes") == 0) ==
        (strcmp(prof_text(after, now->unit), "bytes") == 0)) {
        return true;
    }
    (void)fprintf(in->err,
                  "brisk: profile: %s before can't be compared with %s after; --value names what "
                  "both have\n",
                  prof_shown(prof_text(before, old->name), shown[0]),
                  prof_shown(prof_text(after, now->name), shown[1]));
    return false;
}

brisk_exit prof_deliver(const brisk_invocation *in, const prof_model *model, const prof_model *base,
                        const prof_measured *measured)
{
    const brisk_option_value *v = in->values;
    prof_report_opts opts = {.threshold = THRESHOLD_DEFAULT, .rows = ROWS_DEFAULT};
    if (measured != NULL) {
        opts.outcome = &measured->outcome;
        opts.frequency = measured->frequency;
        opts.io = measured->io;
        opts.machine = measured->machine;
    }
    prof_format format = PROF_FORMAT_COUNT;
    if (v[PROF_OPTION_THRESHOLD].set) {
        opts.threshold =
            (double)(v[PROF_OPTION_THRESHOLD].number > 100 ? 100 : v[PROF_OPTION_THRESHOLD].number);
    }
    if (v[PROF_OPTION_FORMAT].set) {
        format = prof_format_find(v[PROF_OPTION_FORMAT].text);
        if (format == PROF_FORMAT_COUNT) {
            (void)fprintf(in->err, "brisk: profile: no format '%s'\n", v[PROF_OPTION_FORMAT].text);
            return BRISK_EXIT_USAGE;
        }
    }
    if (!find_type(in, model, &opts.type)) {
        return BRISK_EXIT_USAGE;
    }
    if (base != NULL && !can_compare(in, base, model, opts.type)) {
        return BRISK_EXIT_FAILED;
    }
    brisk_exit result = write_outputs(in, model, base, opts.type, format);
    if (result != BRISK_EXIT_OK) {
        return result;
    }
    if (format != PROF_FORMAT_COUNT && in->lists[PROF_OPTION_OUTPUT].count == 0) {
        brisk_err err = write_model(model, base, format, opts.type, in->out);
        return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, NULL);
    }
    if (v[PROF_OPTION_KEEP].set) {
        result = keep(in, model, opts.threshold);
        if (result != BRISK_EXIT_OK) {
            return result;
        }
    }
    if (in->quiet && !v[PROF_OPTION_JSON].set) {
        return BRISK_EXIT_OK;
    }
    brisk_err err = print_report(in, model, base, &opts);
    return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, NULL);
}

static brisk_exit usage(const brisk_invocation *in, const char *words)
{
    (void)fprintf(in->err, "brisk: profile: usage: brisk profile %s\n", words);
    return BRISK_EXIT_USAGE;
}

static brisk_exit show_two(const brisk_invocation *in, const char *before, const char *after)
{
    prof_model *a = NULL;
    prof_model *b = NULL;
    brisk_exit result = before != NULL ? prof_open(in, before, &a) : BRISK_EXIT_OK;
    if (result == BRISK_EXIT_OK) {
        result = prof_open(in, after, &b);
    }
    if (result == BRISK_EXIT_OK) {
        result = prof_deliver(in, b, a, NULL);
    }
    prof_model_destroy(a);
    prof_model_destroy(b);
    return result;
}

brisk_exit prof_run_report(const brisk_invocation *in)
{
    if (in->argc != 2) {
        return usage(in, "report FILE");
    }
    const brisk_option_value *diff = &in->values[PROF_OPTION_DIFF];
    return show_two(in, diff->set ? diff->text : NULL, in->argv[1]);
}

brisk_exit prof_run_diff(const brisk_invocation *in)
{
    if (in->argc != 3) {
        return usage(in, "diff BEFORE AFTER");
    }
    return show_two(in, in->argv[1], in->argv[2]);
}
