/*
 * cmd_apply.c -- `brisk rom apply ROM MOD... -o OUT`: a request from the command line, one job,
 * and what it tells.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/cleanup.h"

#include "workload/rom/apply.h"
#include "workload/rom/apply_print.h"
#include "workload/rom/apply_remote.h"
#include "workload/rom/progress.h"

BRISK_DEFINE_CLEANUP(brisk_job, brisk_job_destroy)
BRISK_DEFINE_CLEANUP(brisk_file_replace, brisk_file_replace_abort)

enum {
    OPTION_OUTPUT,
    OPTION_NO_CACHE,
    OPTION_DRY_RUN,
    OPTION_PROFILE,
    OPTION_TRACE,
    OPTION_FORCE,
    OPTION_FIX,
    OPTION_NO_FSYNC,
    OPTION_JSON,
    OPTION_NODE,
};

static const brisk_option options[] = {
    [OPTION_OUTPUT] = {.name = "output",
                       .letter = 'o',
                       .type = BRISK_OPTION_FILE,
                       .metavar = "OUT",
                       .summary = "write the result here; needed unless --dry-run"},
    [OPTION_NO_CACHE] = {.name = "no-cache", .summary = "compute afresh and remember nothing"},
    [OPTION_DRY_RUN] = {.name = "dry-run",
                        .letter = 'n',
                        .summary = "list the writes and the expected time, write no file"},
    [OPTION_PROFILE] = {.name = "profile", .letter = 'p', .summary = "show the stage table"},
    [OPTION_TRACE] = {.name = "trace",
                      .type = BRISK_OPTION_FILE,
                      .metavar = "FILE",
                      .summary = "write the spans of the job as Chrome trace JSON"},
    [OPTION_FORCE] = {.name = "force",
                      .letter = 'f',
                      .summary = "apply a mod that was made for another ROM"},
    [OPTION_FIX] = {.name = "fix-checksums",
                    .type = BRISK_OPTION_TEXT,
                    .metavar = "WHEN",
                    .summary = "auto, always or never make the header's checksums right"},
    [OPTION_NO_FSYNC] = {.name = "no-fsync", .summary = "do not wait for the disk"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
    BRISK_NODE_OPTION_ROWS("have a node do it, as a job over HTTP"),
};

static brisk_exit usage(const brisk_invocation *in, const char *text)
{
    (void)fprintf(in->err, "brisk: rom apply: %s\n", text);
    return BRISK_EXIT_USAGE;
}

static bool parse_fix(const brisk_option_value *value, rom_fix_mode *ret)
{
    static const char *const names[] = {
        [ROM_FIX_AUTO] = "auto", [ROM_FIX_ALWAYS] = "always", [ROM_FIX_NEVER] = "never"};
    *ret = ROM_FIX_AUTO;
    for (int i = ROM_FIX_AUTO; value->set && i <= ROM_FIX_NEVER; i++) {
        if (strcmp(value->text, names[i]) == 0) {
            *ret = (rom_fix_mode)i;
            return true;
        }
    }
    return !value->set;
}

static brisk_err write_to_fd(void *ctx, const char *data, size_t size)
{
    return brisk_file_write_all(*(const int *)ctx, data, size);
}

/* Are both names one existing file? */
static bool is_same_file(const char *a, const char *b)
{
    struct stat x;
    struct stat y;
    return a != NULL && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/*
 * Into `file`, which was opened before the job and is closed here.  After the job, so that an
 * output that is new is there to be told from the trace.
 */
static brisk_err write_trace(const brisk_job *job, const rom_request *request,
                             brisk_file_replace *file, brisk_errinfo *info)
{
    const char *path = request->trace_path;
    if (is_same_file(request->out_path, path)) {
        brisk_file_replace_abort(file);
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s: is the output; choose another file for the trace", path);
    }
    brisk_err err = BRISK_OK;
    int fd = brisk_file_replace_fd(file);
    errno = 0;
    err = brisk_trace_write_chrome(brisk_job_trace(job),
                                   (brisk_out){.write = write_to_fd, .ctx = &fd});
    if (err != BRISK_OK) {
        int failed = errno;
        brisk_file_replace_abort(file);
        return failed != 0 ? brisk_errinfo_set_errno(info, failed, "%s", path)
                           : brisk_errinfo_set(info, err, "%s: %s", path, brisk_err_message(err));
    }
    return brisk_file_replace_commit(file, false, info);
}

static brisk_exit tell(const brisk_invocation *in, const brisk_job *job, const rom_job *state,
                       brisk_err err, const brisk_errinfo *trace)
{
    if (err != BRISK_OK) {
        (void)fputs("brisk: ", in->err);
        rom_print_text(in->err, brisk_job_error_text(job));
        (void)fputc('\n', in->err);
    } else {
        rom_print_warnings(in->err, job, state);
    }
    brisk_err told = BRISK_OK;
    if (in->values[OPTION_JSON].set) {
        told = rom_print_json(in->out, job, state, err, trace);
    } else if (err == BRISK_OK && state->request->dry_run) {
        rom_print_dry_run(in->out, job, state);
        if (in->values[OPTION_PROFILE].set) {
            told = brisk_job_write_report(job, brisk_out_file(in->out));
        }
    } else if (err == BRISK_OK) {
        told = rom_print_result(in->out, job, state, in->values[OPTION_PROFILE].set);
    }
    return err == BRISK_OK && told == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit apply(const brisk_invocation *in, const rom_request *request)
{
    brisk_engine *engine = NULL;
    if (in->engine(in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    brisk_errinfo info = {0};
    if (brisk_engine_register(engine, &rom_workload, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    BRISK_CLEANUP(brisk_file_replace_abort) brisk_file_replace *trace = NULL;
    if (request->trace_path != NULL &&
        brisk_file_replace_open(request->trace_path, NULL, &trace, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    brisk_job_opts opts = {.no_cache = in->values[OPTION_NO_CACHE].set || request->dry_run};
    BRISK_CLEANUP(brisk_job_destroy) brisk_job *job = NULL;
    brisk_err err = brisk_job_create(engine, &rom_workload, request, &opts, &job);
    if (err == BRISK_OK) {
        bool shows = !in->quiet && isatty(fileno(stderr)) == 1;
        err = shows ? rom_run_with_progress(job, stderr) : brisk_job_run(job);
    }
    if (job == NULL) {
        (void)fprintf(in->err, "brisk: %s\n", brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    const rom_job *state = brisk_job_state(job);
    brisk_errinfo trace_info = {.code = BRISK_OK};
    if (trace != NULL && state->names_checked) {
        brisk_file_replace *file = BRISK_STEAL(trace);
        trace_info.code = write_trace(job, request, file, &trace_info);
    }
    brisk_exit result = tell(in, job, state, err, &trace_info);
    if (trace_info.code != BRISK_OK) {
        (void)fflush(in->out); /* first what was done, then what was not */
        (void)fputs("brisk: ", in->err);
        if (err == BRISK_OK && request->out_path != NULL) {
            rom_print_text(in->err, request->out_path);
            (void)fputs(" was written, the trace was not: ", in->err);
        }
        (void)fprintf(in->err, "%s\n", trace_info.text);
        result = BRISK_EXIT_FAILED;
    }
    return result;
}

static brisk_exit run(const brisk_invocation *in)
{
    const brisk_option_value *values = in->values;
    rom_request request = {
        .rom_path = in->argv[0],
        .mod_paths = (const char *const *)(in->argv + 1),
        .mod_count = (uint32_t)in->argc - 1,
        .out_path = values[OPTION_DRY_RUN].set ? NULL : values[OPTION_OUTPUT].text,
        .trace_path = values[OPTION_TRACE].text,
        .force = values[OPTION_FORCE].set,
        .no_sync = values[OPTION_NO_FSYNC].set,
        .dry_run = values[OPTION_DRY_RUN].set,
    };
    if (!parse_fix(&values[OPTION_FIX], &request.fix)) {
        return usage(in, "--fix-checksums takes auto, always or never");
    }
    if (request.out_path != NULL && request.out_path[0] == '\0') {
        return usage(in, "-o: the name of the output is empty");
    }
    if (request.out_path == NULL && !request.dry_run) {
        return usage(in, "say where to write with -o OUT, or ask for a --dry-run");
    }
    if (!values[OPTION_NODE].set) {
        return apply(in, &request);
    }
    if (request.dry_run || request.trace_path != NULL || values[OPTION_PROFILE].set ||
        values[OPTION_NO_CACHE].set) {
        return usage(in, "--dry-run, --trace, --profile and --no-cache are not for a node");
    }
    brisk_node_opts where = brisk_node_opts_of(&values[OPTION_NODE]);
    return rom_apply_remote(in, &request, &where, values[OPTION_JSON].set);
}

const brisk_command rom_cmd_apply = {
    .name = "apply",
    .group = "ROMs",
    .synopsis = "ROM MOD... -o OUT",
    .summary = "apply patches and mod files to a ROM",
    .description =
        "MOD is an IPS, UPS or BPS patch or a mod file in YAML. The result is written to OUT in "
        "one step; ROM is never changed, and OUT must be another file.\n\n"
        "Several mods are merged: each is taken relative to ROM, and two that want different "
        "bytes at one place are refused, naming both. A UPS or BPS patch that was made for the "
        "result of the mods before it is applied to that result.\n\n"
        "Checksums in the header are made right after mod files and merged mods, and after an IPS "
        "patch that broke a right one; a single UPS or BPS patch gives exactly the file that it "
        "declares. Results are remembered; the same ROM and mods again are answered from the "
        "cache.\n\n"
        "With --node the inputs are sent to a node, which does the work; the result is written "
        "here.",
    .examples = "brisk rom apply game.sfc hack.bps -o hack.sfc\tapply a patch\n"
                "brisk rom apply game.sfc a.yaml b.yaml -o out.sfc --profile\tmerge two mods, "
                "show where the time went\n"
                "brisk rom apply game.sfc a.yaml --dry-run\tshow what would be written\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 2,
    .args_max = -1,
    .run = run,
};
