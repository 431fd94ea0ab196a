/*
 * cmd_memory.c -- `brisk profile --memory`: what is asked for, and what is delivered.
 *
 * As with --cpu, standard output is the program's and the report goes to standard error; with --json it is the other
 * way round.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/file.h>

#include "observe/heap/memory.h"
#include "observe/profile/command.h"

enum { ROWS_DEFAULT = 20, ROWS_SCREEN = 15, POLL_NS = 50000000 };

typedef struct memory_run {
    const brisk_invocation *in;
    heap_run run;
    const char *label; /* of snapshots; NULL: none asked for */
    uint32_t snapshots;
    brisk_exit failed; /* of what happened meanwhile */
} memory_run;

static brisk_exit usage(const brisk_invocation *in, const char *what)
{
    (void)fprintf(in->err, "brisk: profile: %s\n", what);
    return BRISK_EXIT_USAGE;
}

/* --- reading --------------------------------------------------------------------------------- */

static brisk_err read_file(const char *path, heap_profile *ret, brisk_errinfo *info)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    brisk_err err = heap_profile_read(fd, &(heap_read_opts){.name = path}, ret, info);
    (void)close(fd);
    return err;
}

bool heap_is_profile(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is = fd >= 0 && heap_profile_is(fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    return is;
}

brisk_err heap_open_model(const char *path, prof_model **ret, brisk_errinfo *info)
{
    heap_profile profile;
    heap_view view;
    brisk_err err = read_file(path, &profile, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = heap_view_make(&profile, &(heap_view_opts){.no_lines = false}, &view);
    heap_profile_deinit(&profile);
    if (err == BRISK_OK) {
        *ret = view.model;
        view.model = NULL;
        heap_view_deinit(&view);
    }
    return err;
}

/* --- writing --------------------------------------------------------------------------------- */

typedef struct output {
    const heap_report *report;
    prof_format format; /* PROF_FORMAT_COUNT: the picture of growth */
    uint32_t type;
} output;

static bool ends_in(const char *path, const char *end)
{
    size_t size = strlen(path);
    return size > strlen(end) && strcmp(path + size - strlen(end), end) == 0;
}

static brisk_err write_one(const output *o, FILE *out)
{
    const prof_model *model = o->report->view->model;
    if (o->format == PROF_FORMAT_COUNT) {
        return heap_graph_svg(o->report, out);
    }
    return o->format == PROF_FORMAT_HTML ? prof_export_html(model, NULL, o->type, out)
                                         : prof_export(model, o->format, o->type, out);
}

static brisk_exit save(const brisk_invocation *in, const output *o, const char *path)
{
    brisk_errinfo info = {0};
    brisk_file_replace *replace = NULL;
    brisk_err err = brisk_file_replace_open(path, NULL, &replace, &info);
    if (err != BRISK_OK) {
        return prof_fail(in, err, &info);
    }
    int fd = fcntl(brisk_file_replace_fd(replace), F_DUPFD_CLOEXEC, 0);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    err = file != NULL ? write_one(o, file) : BRISK_ERR_LIMIT;
    if (file != NULL && fclose(file) != 0 && err == BRISK_OK) {
        err = brisk_errinfo_set_errno(&info, errno, "%s", path);
    }
    if (err == BRISK_OK) {
        err = brisk_file_replace_commit(replace, false, &info);
    } else {
        brisk_file_replace_abort(replace);
    }
    if (err == BRISK_OK && !in->quiet) {
        (void)fprintf(in->err, "brisk: wrote %s\n", path);
    }
    return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, &info);
}

/* The value that --value names, or the profile's own; false: said that there is none. */
static bool find_type(const brisk_invocation *in, const prof_model *model, uint32_t *ret)
{
    const brisk_option_value *value = &in->values[PROF_OPTION_VALUE];
    *ret = model->meta.default_type;
    for (uint32_t i = 0; value->set && i < model->type_count; i++) {
        if (strcmp(prof_text(model, model->types[i].name), value->text) == 0) {
            *ret = i;
            return true;
        }
    }
    if (value->set) {
        (void)fprintf(in->err,
                      "brisk: profile: no value '%s'; there are alloc_objects, alloc_space, "
                      "inuse_objects, inuse_space, peak_space\n",
                      value->text);
    }
    return !value->set;
}

static brisk_exit write_outputs(const brisk_invocation *in, output o, prof_format asked)
{
    const brisk_option_list *paths = &in->lists[PROF_OPTION_OUTPUT];
    brisk_exit result = BRISK_EXIT_OK;
    for (uint32_t i = 0; result == BRISK_EXIT_OK && i < paths->count; i++) {
        o.format = asked != PROF_FORMAT_COUNT ? asked : prof_format_of_path(paths->texts[i]);
        if (o.format == PROF_FORMAT_COUNT && !ends_in(paths->texts[i], ".svg")) {
            (void)fprintf(in->err, "brisk: profile: %s: its end tells no format; give --format\n",
                          paths->texts[i]);
            return BRISK_EXIT_USAGE;
        }
        result = save(in, &o, paths->texts[i]);
    }
    return result;
}

static void keep_leaks(const brisk_invocation *in, const heap_report *report)
{
    brisk_errinfo info = {0};
    uint32_t count = 0;
    brisk_err err = heap_keep_leaks(report, &count, &info);
    if (err != BRISK_OK) { /* the report stands without it */
        (void)fprintf(in->err, "brisk: note: leaks are not kept in the history: %s\n",
                      info.text[0] != '\0' ? info.text : brisk_err_message(err));
    } else if (count > 0 && !in->quiet) {
        (void)fprintf(in->err, "brisk: kept %" PRIu32 " suspected leaks in the history\n", count);
    }
}

static brisk_exit deliver(const brisk_invocation *in, const heap_report *report)
{
    const brisk_option_value *v = in->values;
    prof_format format = PROF_FORMAT_COUNT;
    output o = {.report = report};
    if (v[PROF_OPTION_FORMAT].set) {
        format = prof_format_find(v[PROF_OPTION_FORMAT].text);
        if (format == PROF_FORMAT_COUNT) {
            (void)fprintf(in->err, "brisk: profile: no format '%s'\n", v[PROF_OPTION_FORMAT].text);
            return BRISK_EXIT_USAGE;
        }
    }
    if (!find_type(in, report->view->model, &o.type)) {
        return BRISK_EXIT_USAGE;
    }
    brisk_exit result = write_outputs(in, o, format);
    if (result != BRISK_EXIT_OK) {
        return result;
    }
    keep_leaks(in, report);
    if (format != PROF_FORMAT_COUNT && in->lists[PROF_OPTION_OUTPUT].count == 0) {
        o.format = format;
        brisk_err err = write_one(&o, in->out);
        return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, NULL);
    }
    if (v[PROF_OPTION_JSON].set) {
        brisk_err err = heap_report_json(report, in->out);
        return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, NULL);
    }
    if (!in->quiet) {
        heap_report_text(report, in->err);
        if (v[PROF_OPTION_GRAPH].set) {
            heap_graph_text(report, in->err);
        }
    }
    return BRISK_EXIT_OK;
}

/* --- meanwhile ------------------------------------------------------------------------------- */

/* Draw what is live by place again: names from symbols only, which is quick. */
static void show_live(void *ctx, heap_watch *watch)
{
    memory_run *m = ctx;
    heap_watched *most = heap_watch_main(watch);
    heap_profile profile;
    heap_view view;
    if (most == NULL || read_file(most->path, &profile, NULL) != BRISK_OK) {
        return;
    }
    heap_view_opts opts = {.no_lines = true, .alive = most->alive};
    if (heap_view_make(&profile, &opts, &view) == BRISK_OK) {
        if (heap_view_judge(&view, &profile, &most->series) != BRISK_OK) {
            m->failed = prof_fail(m->in, BRISK_ERR_NOMEM, NULL);
        }
        heap_report report = {
            .profile = &profile, .view = &view, .series = &most->series, .rows = ROWS_SCREEN};
        double seconds = (double)(profile.head.now_ns - profile.head.start_ns) / 1e9;
        FILE *err = m->in->err;
        if (isatty(fileno(err))) {
            (void)fputs("\033[H\033[J", err);
        }
        (void)fprintf(err,
                      "%.1f s   live %.1f MiB   peak %.1f MiB   resident %.1f MiB   process "
                      "%" PRIu32 "\n",
                      seconds, (double)profile.head.live_bytes / 1048576.0,
                      (double)profile.head.peak_bytes / 1048576.0, (double)most->rss / 1048576.0,
                      most->pid);
        heap_report_screen(&report, err);
        if (m->in->values[PROF_OPTION_GRAPH].set) {
            heap_graph_text(&report, err);
        }
        (void)fflush(err);
        heap_view_deinit(&view);
    }
    heap_profile_deinit(&profile);
}

/* A profile of now, with names, as LABEL.pb.gz. */
static brisk_exit take_snapshot(const brisk_invocation *in, const char *file, const char *path,
                                bool alive)
{
    heap_profile profile;
    heap_view view;
    heap_series none;
    brisk_errinfo info = {0};
    brisk_err err = read_file(file, &profile, &info);
    if (err != BRISK_OK) {
        return prof_fail(in, err, &info);
    }
    err = heap_view_make(&profile, &(heap_view_opts){.alive = alive}, &view);
    if (err != BRISK_OK) {
        heap_profile_deinit(&profile);
        return prof_fail(in, err, NULL);
    }
    heap_series_init(&none, brisk_alloc_libc());
    view.model->meta.default_type = HEAP_TYPE_INUSE_SPACE;
    heap_report report = {.profile = &profile, .view = &view, .series = &none};
    output o = {.report = &report, .format = PROF_FORMAT_PPROF, .type = HEAP_TYPE_INUSE_SPACE};
    brisk_exit result = save(in, &o, path);
    heap_view_deinit(&view);
    heap_profile_deinit(&profile);
    return result;
}

static void snapshot_on_signal(void *ctx, heap_watch *watch)
{
    memory_run *m = ctx;
    char path[HEAP_PATH_MAX];
    const heap_watched *most = heap_watch_main(watch);
    if (most == NULL) {
        (void)fprintf(m->in->err, "brisk: profile: no snapshot: nothing is sampled yet\n");
        return;
    }
    (void)snprintf(path, sizeof path, "%s-%" PRIu32 ".pb.gz",
                   m->label != NULL ? m->label : "snapshot", ++m->snapshots);
    brisk_exit taken = take_snapshot(m->in, most->path, path, most->alive);
    m->failed = taken != BRISK_EXIT_OK ? taken : m->failed;
}

/* --- the whole ------------------------------------------------------------------------------- */

static uint64_t count_processes(const heap_watch *watch)
{
    return watch->items.count + watch->left_out;
}

static brisk_exit report_none(const brisk_invocation *in)
{
    (void)fprintf(in->err,
                  "brisk: profile: no process was sampled: the program is statically linked "
                  "or setuid, so that no sampler can be loaded into it\n");
    return BRISK_EXIT_FAILED;
}

/* A program that has the sampler and allocated less than the distance of two samples: that is what there is to say. */
static brisk_exit report_little(const brisk_invocation *in)
{
    const brisk_option_value *interval = &in->values[PROF_OPTION_INTERVAL];
    uint64_t bytes = interval->set ? interval->number : HEAP_INTERVAL_DEFAULT >> HEAP_FINER_MAX;
    if (in->values[PROF_OPTION_JSON].set) {
        brisk_json json;
        brisk_json_init(&json, brisk_out_file(in->out), 2);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "schema", 1);
        brisk_json_bool(&json, "sampled", false);
        brisk_json_u64(&json, "interval_bytes", bytes);
        brisk_json_u64(&json, "live_bytes", 0);
        brisk_json_u64(&json, "peak_bytes", 0);
        brisk_json_array_begin(&json, "places");
        brisk_json_array_end(&json);
        brisk_json_object_end(&json);
        brisk_err err = brisk_json_finish(&json);
        return err == BRISK_OK ? BRISK_EXIT_OK : prof_fail(in, err, NULL);
    }
    if (!in->quiet) {
        (void)fprintf(in->err,
                      "nothing was sampled: the program allocated little, less than the %" PRIu64
                      " bytes that a sample stands for; a smaller --interval sees more\n",
                      bytes);
    }
    if (in->lists[PROF_OPTION_OUTPUT].count > 0) {
        (void)fprintf(in->err, "brisk: profile: no file was written: there is nothing for it\n");
    }
    return BRISK_EXIT_OK;
}

static brisk_exit report_run(memory_run *m)
{
    const brisk_invocation *in = m->in;
    heap_watched *most = heap_watch_main(&m->run.watch);
    heap_profile profile;
    heap_view view;
    brisk_errinfo info = {0};
    if (most == NULL) {
        return m->run.loaded ? report_little(in) : report_none(in);
    }
    brisk_err err = read_file(most->path, &profile, &info);
    if (err != BRISK_OK) {
        return prof_fail(in, err, &info);
    }
    heap_view_opts opts = {.no_lines = in->values[PROF_OPTION_NO_LINES].set, .alive = most->alive};
    err = heap_view_make(&profile, &opts, &view);
    if (err != BRISK_OK) {
        heap_profile_deinit(&profile);
        return prof_fail(in, err, NULL);
    }
    err = heap_view_judge(&view, &profile, &most->series);
    heap_report report = {.profile = &profile,
                          .view = &view,
                          .series = &most->series,
                          .rss_peak = most->rss_peak,
                          .processes = count_processes(&m->run.watch),
                          .rows = ROWS_DEFAULT};
    brisk_exit result = err == BRISK_OK ? deliver(in, &report) : prof_fail(in, err, NULL);
    heap_view_deinit(&view);
    heap_profile_deinit(&profile);
    return result;
}

static brisk_exit tell_end(const memory_run *m, const char *name, brisk_exit so_far)
{
    int status = m->run.exit_status;
    if (so_far != BRISK_EXIT_OK || m->run.ended_by_us) {
        return so_far;
    }
    if (WIFSIGNALED(status)) {
        (void)fprintf(m->in->err, "brisk: profile: %s was ended by signal %d (%s)\n", name,
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
        return BRISK_EXIT_FAILED;
    }
    if (WEXITSTATUS(status) != 0) {
        (void)fprintf(m->in->err, "brisk: profile: %s ended with exit code %d\n", name,
                      WEXITSTATUS(status));
        return BRISK_EXIT_FAILED;
    }
    return so_far;
}

static brisk_exit run_it(const brisk_invocation *in, heap_run_opts *opts)
{
    const brisk_option_value *v = in->values;
    memory_run m = {.in = in,
                    .label = v[PROF_OPTION_SNAPSHOT].set ? v[PROF_OPTION_SNAPSHOT].text : NULL};
    brisk_errinfo info = {0};
    opts->duration_ns = v[PROF_OPTION_DURATION].number;
    opts->interval = v[PROF_OPTION_INTERVAL].number;
    opts->pause_ns = POLL_NS;
    opts->on_time = v[PROF_OPTION_LIVE].set ? show_live : NULL;
    opts->on_signal = snapshot_on_signal;
    opts->ctx = &m;
    opts->alloc = brisk_alloc_libc();
    brisk_err err = heap_run_command(opts, &m.run, &info);
    brisk_exit result = err == BRISK_OK ? report_run(&m) : prof_fail(in, err, &info);
    if (opts->argv != NULL) {
        result = tell_end(&m, opts->argv[0], result);
    }
    heap_run_deinit(&m.run);
    return result != BRISK_EXIT_OK ? result : m.failed;
}

static bool is_label(const char *text)
{
    return text[0] != '\0' && text[0] != '.' && strlen(text) < 128 && strchr(text, '/') == NULL;
}

static brisk_exit run_pid(const brisk_invocation *in)
{
    const brisk_option_value *v = in->values;
    char file[HEAP_PATH_MAX];
    char path[HEAP_PATH_MAX];
    uint64_t pid = v[PROF_OPTION_PID].number;
    if (pid < 1 || pid > INT32_MAX) {
        return usage(in, "--pid is the number of a process");
    }
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        (void)fprintf(in->err, "brisk: profile: no process %" PRIu64 "\n", pid);
        return BRISK_EXIT_FAILED;
    }
    bool sampled = heap_file_of((uint32_t)pid, file);
    if (v[PROF_OPTION_SNAPSHOT].set) {
        if (!sampled) {
            (void)fprintf(in->err,
                          "brisk: profile: process %" PRIu64 " has no sampler: start it with brisk "
                          "profile --memory, or as `brisk profile --memory --pid %" PRIu64
                          "` tells\n",
                          pid, pid);
            return BRISK_EXIT_FAILED;
        }
        (void)snprintf(path, sizeof path, "%s.pb.gz", v[PROF_OPTION_SNAPSHOT].text);
        return take_snapshot(in, file, path, true);
    }
    if (!sampled) {
        return heap_watch_plain(in, (uint32_t)pid, v[PROF_OPTION_DURATION].number,
                                v[PROF_OPTION_JSON].set);
    }
    heap_run_opts opts = {.pid = (uint32_t)pid, .file = file};
    return run_it(in, &opts);
}

static brisk_exit run_command(const brisk_invocation *in)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    size_t bytes = ((size_t)in->argc + 1) * sizeof(char *);
    char **argv = alloc->acquire(alloc->ctx, bytes, _Alignof(char *));
    if (argv == NULL) {
        return prof_fail(in, BRISK_ERR_NOMEM, NULL);
    }
    for (int i = 0; i < in->argc; i++) {
        argv[i] = in->argv[i];
    }
    argv[in->argc] = NULL;
    heap_run_opts opts = {.argv = argv, .out_to_err = prof_owns_output(in)};
    brisk_exit result = run_it(in, &opts);
    alloc->release(alloc->ctx, argv, bytes, _Alignof(char *));
    return result;
}

brisk_exit prof_run_memory(const brisk_invocation *in)
{
    const brisk_option_value *v = in->values;
    if (v[PROF_OPTION_SYSTEM].set || (in->argc > 0) + v[PROF_OPTION_PID].set != 1) {
        return usage(in, "--memory needs a COMMAND behind --, or --pid");
    }
    if (v[PROF_OPTION_INTERVAL].set &&
        (v[PROF_OPTION_INTERVAL].number < 1 || v[PROF_OPTION_INTERVAL].number > 1U << 30)) {
        return usage(in, "--interval is from 1 byte to 1 GiB");
    }
    if (v[PROF_OPTION_SNAPSHOT].set && !is_label(v[PROF_OPTION_SNAPSHOT].text)) {
        return usage(in, "--snapshot takes a name for a file, without '/'");
    }
    return v[PROF_OPTION_PID].set ? run_pid(in) : run_command(in);
}
