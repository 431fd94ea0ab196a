/*
 * cmd_profile.c -- `brisk profile`: options, and a recording.
 *
 * Standard output is the profiled program's, so the report goes to standard error, as time(1)'s does.  What is asked
 * for by --json, or by --format without a file, goes to standard output, and the program's goes to standard error.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

#include "observe/heap/memory.h"
#include "observe/profile/command.h"
#include "observe/profile/perf.h"

enum {
    FREQUENCY_DEFAULT = 99,
    STACK_BYTES_SLOW = 16384, /* up to 200 Hz */
    STACK_BYTES_FAST = 8192,
};

static const brisk_option options[PROF_OPTION_COUNT] = {
    [PROF_OPTION_CPU] = {.name = "cpu",
                         .summary = "where processor time goes (what is done anyway)"},
    [PROF_OPTION_IO] = {.name = "io",
                        .summary = "system calls and files that time and bytes go to, too"},
    [PROF_OPTION_MEMORY] = {.name = "memory", .summary = "who allocates, what lives, what grows"},
    [PROF_OPTION_LIVE] = {.name = "live",
                          .summary = "with --memory: show what lives each second meanwhile"},
    [PROF_OPTION_GRAPH] = {.name = "graph",
                           .summary =
                               "with --memory: draw growth over time (-o FILE.svg: by place)"},
    [PROF_OPTION_INTERVAL] = {.name = "interval",
                              .type = BRISK_OPTION_BYTES,
                              .metavar = "BYTES",
                              .summary =
                                  "with --memory: one sample each so many bytes (64KiB while "
                                  "few, 512KiB at most)"},
    [PROF_OPTION_SNAPSHOT] = {.name = "snapshot",
                              .type = BRISK_OPTION_TEXT,
                              .metavar = "LABEL",
                              .summary = "with --memory --pid: write LABEL.pb.gz now; with a "
                                         "COMMAND: LABEL-N.pb.gz at each SIGUSR1"},
    [PROF_OPTION_PID] = {.name = "pid",
                         .letter = 'p',
                         .type = BRISK_OPTION_U64,
                         .metavar = "PID",
                         .summary = "profile a process that runs already"},
    [PROF_OPTION_SYSTEM] = {.name = "system",
                            .letter = 'a',
                            .summary = "profile every process of the machine"},
    [PROF_OPTION_DURATION] = {.name = "duration",
                              .letter = 'd',
                              .type = BRISK_OPTION_DURATION,
                              .metavar = "TIME",
                              .summary = "end after that; a COMMAND is ended, too"},
    [PROF_OPTION_FREQUENCY] = {.name = "frequency",
                               .letter = 'F',
                               .type = BRISK_OPTION_U64,
                               .metavar = "HZ",
                               .summary = "samples for each second of processor time (99)"},
    [PROF_OPTION_STACKS] = {.name = "stacks",
                            .type = BRISK_OPTION_TEXT,
                            .metavar = "tables|fp",
                            .summary =
                                "walk stacks by .eh_frame (tables), or by frame pointers (fp)"},
    [PROF_OPTION_ENGINE] = {.name = "engine",
                            .type = BRISK_OPTION_TEXT,
                            .metavar = "auto|perf|timer",
                            .summary =
                                "who samples: the kernel, or a timer in the COMMAND when the "
                                "kernel refuses"},
    [PROF_OPTION_NO_OFF_CPU] = {.name = "no-off-cpu",
                                .summary = "do not look at where and how long threads wait"},
    [PROF_OPTION_NO_LINES] = {.name = "no-lines",
                              .summary =
                                  "no source lines and inlined functions: names come faster"},
    [PROF_OPTION_OUTPUT] = {.name = "output",
                            .letter = 'o',
                            .type = BRISK_OPTION_LIST,
                            .metavar = "FILE",
                            .summary = "write there; its end tells the format (.pb.gz, .html, "
                                       ".collapsed, .speedscope.json, .firefox.json, .trace.json)"},
    [PROF_OPTION_FORMAT] = {.name = "format",
                            .letter = 'f',
                            .type = BRISK_OPTION_TEXT,
                            .metavar = "NAME",
                            .summary = "pprof, html, collapsed, speedscope, firefox or chrome: of "
                                       "--output, or of standard output"},
    [PROF_OPTION_DIFF] = {.name = "diff",
                          .type = BRISK_OPTION_FILE,
                          .metavar = "FILE",
                          .summary = "compare with this profile of before"},
    [PROF_OPTION_VALUE] =
        {.name = "value",
         .type = BRISK_OPTION_TEXT,
         .metavar = "NAME",
         .summary = "which value: cpu, off-cpu, ready, wall (all three), samples, or a file's own"},
    [PROF_OPTION_THRESHOLD] = {.name = "threshold",
                               .type = BRISK_OPTION_U64,
                               .metavar = "PERCENT",
                               .summary = "own time from which on a function is a hot spot (5)"},
    [PROF_OPTION_KEEP] = {.name = "keep",
                          .summary = "put the hot spots into the history, as opportunities"},
    [PROF_OPTION_STAGES] = {.name = "stages",
                            .summary = "COMMAND is a job of brisk: profile its stages instead"},
    [PROF_OPTION_WHAT_IF] =
        {.name = "what-if",
         .type = BRISK_OPTION_LIST,
         .metavar = "CHANGE",
         .summary =
             "--stages, and: STAGE:2x, STAGE:cached=0.8, STAGE:split=4, cached=0.8, workers=4, "
             "cores=4; several with commas; without it the best are listed"},
    [PROF_OPTION_RUNS] = {.name = "runs",
                          .letter = 'n',
                          .type = BRISK_OPTION_U64,
                          .metavar = "N",
                          .summary = "with --stages: run the job N times (1)"},
    [PROF_OPTION_RUN] = {.name = "run",
                         .type = BRISK_OPTION_U64,
                         .metavar = "ID",
                         .summary = "with stages: that run of the history"},
    [PROF_OPTION_JSON] = {.name = "json", .summary = "print the report as JSON"},
    BRISK_NODE_OPTION_ROWS("have a running node profile itself, and show it here"),
};

static brisk_exit run(const brisk_invocation *in);

const brisk_command prof_command = {
    .name = "profile",
    .group = "Measure",
    .synopsis = "-- COMMAND [ARGUMENT...] | --pid PID | --system | report FILE | diff BEFORE AFTER"
                " | --node URL | --stages -- JOB | stages WORKLOAD",
    .summary = "where a program spends its time",
    .description =
        "Samples a program with the kernel's perf events while it runs, and shows the functions in "
        "which it spends its time, with those that called them, and where it waits.  Any program "
        "will do: stacks are walked by .eh_frame, which compilers write by themselves, and by "
        "frame "
        "pointers where that ends; names come from symbols, debug information (inlined functions "
        "and source lines, too), perf-PID.map and the kernel.\n\n"
        "The report says at which rate samples really were taken, how many were lost, what "
        "sampling "
        "cost, and what this kernel or user did not allow.  It goes to standard error, because "
        "standard output is the profiled program's; with --json (or --format without -o) it goes "
        "to "
        "standard output, and what the program writes there to standard error.\n\n"
        "A profile that was saved is shown by `brisk profile report FILE`, be it by brisk "
        "(FILE.pb.gz) or others: "
        "pprof, perf.data, the output of perf script, collapsed stacks; `brisk profile diff BEFORE "
        "AFTER` shows what has changed between two.\n\n"
        "With --memory a sampler is loaded into the COMMAND: what is live, was live at the peak, "
        "grew and was allocated, by place; suspected leaks with a confidence, kept in the history. "
        " "
        "A process that was started with LD_PRELOAD=.../libbrisk_heap.so and BRISK_HEAP=FOLDER is "
        "looked at by --pid at any time.\n\n"
        "With --stages the COMMAND is a job of brisk, which is run --runs times, and the report "
        "shows its stages: when "
        "they ran, what they waited for, what holds the job up, and what would save how much, "
        "found by replaying the "
        "measured graph with the change.  `brisk profile stages WORKLOAD` shows the runs that the "
        "history kept, with a "
        "FILE (a '/' in its name) those that the knob engine.stage_log wrote.\n\n"
        "With --node a running node samples itself for --duration (5s; it needs a token that may "
        "change something), and the report is of that.",
    .examples =
        "brisk profile -- ./server --once\twhere it spends its time\n"
        "brisk profile -o flame.html -- ./server --once\ta flame graph for a browser\n"
        "brisk profile --pid 1234 --duration 10s -o now.pb.gz\tten seconds of a process, saved\n"
        "brisk profile diff before.pb.gz now.pb.gz\twhat has changed\n"
        "brisk profile --memory --graph -o heap.html -- ./server --once\twho allocates, what "
        "grows\n"
        "brisk profile --memory --pid 1234 --snapshot before\tits heap as it is now: before.pb.gz\n"
        "brisk profile --node http://127.0.0.1:6380 -o node.html\ta running node\n"
        "brisk profile report perf.data -o flame.html\twhat perf recorded, as a flame graph\n"
        "brisk profile --stages --runs 10 -- rom apply game.sfc mod.ips -o out.sfc --no-cache\tits "
        "stages\n"
        "brisk profile stages rom --what-if rom_patching:2x --what-if workers=4\twhat would save "
        "how much\n",
    .options = options,
    .option_count = PROF_OPTION_COUNT,
    .args_max = -1,
    .run = run,
};

static brisk_exit usage(const brisk_invocation *in, const char *what)
{
    (void)fprintf(in->err, "brisk: profile: %s\n", what);
    return BRISK_EXIT_USAGE;
}

static const char *read_options(const brisk_invocation *in, prof_session_opts *opts)
{
    const brisk_option_value *v = in->values;
    bool pid = v[PROF_OPTION_PID].set;
    bool machine = v[PROF_OPTION_SYSTEM].set;
    if ((in->argc > 0) + pid + machine != 1) {
        return "give a COMMAND behind --, or --pid, or --system";
    }
    if (v[PROF_OPTION_FREQUENCY].set) {
        uint64_t hertz = v[PROF_OPTION_FREQUENCY].number;
        if (hertz < 1 || hertz > PROF_FREQUENCY_MAX) {
            return "--frequency is from 1 to 20000";
        }
        opts->frequency = (uint32_t)hertz;
    }
    if (pid && (v[PROF_OPTION_PID].number < 1 || v[PROF_OPTION_PID].number > INT32_MAX)) {
        return "--pid is the number of a process";
    }
    opts->pid = pid ? (int32_t)v[PROF_OPTION_PID].number : 0;
    opts->duration_ns = v[PROF_OPTION_DURATION].number;
    opts->stack_bytes = opts->frequency <= 200 ? STACK_BYTES_SLOW : STACK_BYTES_FAST;
    if (v[PROF_OPTION_STACKS].set) {
        if (strcmp(v[PROF_OPTION_STACKS].text, "fp") == 0) {
            opts->stack_bytes = 0;
        } else if (strcmp(v[PROF_OPTION_STACKS].text, "tables") != 0) {
            return "--stacks is tables or fp";
        }
    }
    if (v[PROF_OPTION_ENGINE].set && strcmp(v[PROF_OPTION_ENGINE].text, "auto") != 0) {
        opts->use_timer = strcmp(v[PROF_OPTION_ENGINE].text, "timer") == 0;
        opts->perf_only = strcmp(v[PROF_OPTION_ENGINE].text, "perf") == 0;
        if (opts->use_timer == opts->perf_only) {
            return "--engine is auto, perf or timer";
        }
        if (opts->use_timer && in->argc == 0) {
            return "--engine timer needs a COMMAND";
        }
    }
    opts->off_cpu = !v[PROF_OPTION_NO_OFF_CPU].set;
    opts->no_lines = v[PROF_OPTION_NO_LINES].set;
    return NULL;
}

brisk_exit prof_fail(const brisk_invocation *in, brisk_err err, const brisk_errinfo *info)
{
    (void)fprintf(in->err, "brisk: profile: %s\n",
                  info != NULL && info->text[0] != '\0' ? info->text : brisk_err_message(err));
    return BRISK_EXIT_FAILED;
}

/* What the command did: its end is ours. */
static brisk_exit tell_end(const brisk_invocation *in, const prof_session_opts *opts, int status,
                           brisk_exit so_far)
{
    if (opts->argv == NULL || so_far != BRISK_EXIT_OK) {
        return so_far;
    }
    if (WIFSIGNALED(status) && opts->duration_ns == 0) {
        (void)fprintf(in->err, "brisk: profile: %s was ended by signal %d (%s)\n", opts->argv[0],
                      WTERMSIG(status), strsignal(WTERMSIG(status)));
        return BRISK_EXIT_FAILED;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        (void)fprintf(in->err, "brisk: profile: %s ended with exit code %d\n", opts->argv[0],
                      WEXITSTATUS(status));
        return BRISK_EXIT_FAILED;
    }
    return so_far;
}

bool prof_owns_output(const brisk_invocation *in)
{
    return in->values[PROF_OPTION_JSON].set ||
           (in->values[PROF_OPTION_FORMAT].set && in->lists[PROF_OPTION_OUTPUT].count == 0);
}

static void look_at_machine(void *ctx, int32_t pid)
{
    prof_machine *machine = ctx;
    brisk_machine now;
    (void)pid;
    if (brisk_machine_read(NULL, &now) == BRISK_OK) {
        machine->after = now;
    }
}

static brisk_exit record(const brisk_invocation *in, prof_session_opts *opts)
{
    prof_model *base = NULL;
    if (in->values[PROF_OPTION_DIFF].set) {
        brisk_exit opened = prof_open(in, in->values[PROF_OPTION_DIFF].text, &base);
        if (opened != BRISK_EXIT_OK) {
            return opened;
        }
    }
    prof_model *model = NULL;
    prof_io io;
    prof_measured measured = {.frequency = opts->frequency};
    brisk_errinfo info = {0};
    prof_io_init(&io, brisk_alloc_libc(), opts->argv != NULL);
    if (in->values[PROF_OPTION_IO].set) {
        opts->look = prof_io_look;
        opts->look_ctx = &io;
        measured.io = &io;
    }
    prof_machine machine;
    if (in->values[PROF_OPTION_SYSTEM].set &&
        brisk_machine_read(NULL, &machine.before) == BRISK_OK) {
        machine.after = machine.before;
        opts->look = look_at_machine;
        opts->look_ctx = &machine;
        measured.machine = &machine;
    }
    brisk_err err = prof_session_run(opts, brisk_alloc_libc(), &model, &measured.outcome, &info);
    brisk_exit result =
        err == BRISK_OK ? prof_deliver(in, model, base, &measured) : prof_fail(in, err, &info);
    result = tell_end(in, opts, measured.outcome.exit_status, result);
    prof_io_deinit(&io);
    prof_model_destroy(model);
    prof_model_destroy(base);
    return result;
}

static brisk_exit run(const brisk_invocation *in)
{
    bool stages = in->argc_before_dashes > 0 && strcmp(in->argv[0], "stages") == 0;
    if (stages || in->values[PROF_OPTION_STAGES].set || in->values[PROF_OPTION_WHAT_IF].set) {
        return prof_run_stages(in);
    }
    if (in->values[PROF_OPTION_RUNS].set || in->values[PROF_OPTION_RUN].set) {
        return usage(in, "--runs and --run belong to --stages and `profile stages`");
    }
    brisk_exit refused = BRISK_EXIT_OK;
    if (!prof_check_outputs(in, &refused)) {
        return refused;
    }
    if (in->values[PROF_OPTION_NODE].set) {
        return prof_run_node(in);
    }
    /* Behind -- they are programs, and diff is a common one. */
    if (in->argc_before_dashes > 0 && strcmp(in->argv[0], "report") == 0) {
        return prof_run_report(in);
    }
    if (in->argc_before_dashes > 0 && strcmp(in->argv[0], "diff") == 0) {
        return prof_run_diff(in);
    }
    if (in->values[PROF_OPTION_MEMORY].set) {
        return prof_run_memory(in);
    }
    prof_session_opts opts = {.frequency = FREQUENCY_DEFAULT, .err = in->err, .quiet = in->quiet};
    const char *wrong = read_options(in, &opts);
    if (wrong != NULL) {
        return usage(in, wrong);
    }
    /* What is executed ends in NULL; the program's arguments do not. */
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
    opts.argv = in->argc > 0 ? argv : NULL;
    opts.out_to_err = prof_owns_output(in);
    brisk_exit result = record(in, &opts);
    alloc->release(alloc->ctx, argv, bytes, _Alignof(char *));
    return result;
}
