/*
 * session.c -- a recording from its start to its model.
 *
 * SIGINT, SIGTERM and SIGHUP end the recording, not the profiler: what was seen until then is
 * shown.  A command gets the terminal's SIGINT itself; SIGTERM is passed on to it.
 */
#include "observe/profile/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "observe/profile/intake.h"
#include "observe/profile/perf.h"
#include "observe/profile/resolve.h"
#include "observe/profile/session_parts.h"
#include "observe/profile/target.h"
#include "observe/profile/timer.h"

enum { WAIT_MS = 200, LOOK_MS = 100, TIMER_MS = 20, FDS_MAX = 1026 };

typedef struct session {
    const prof_session_opts *opts;
    const brisk_alloc *alloc;
    prof_intake intake;
    prof_perf *perf;
    prof_timer *timer; /* when the kernel does not sample */
    char why_timer[200];
    uint64_t children_ns; /* processor time of children before */
    prof_threads threads;
    prof_child child;
    int signal_fd;
    int process_fd; /* of --pid; -1: none */
    sigset_t mask_before;
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t wall_ns;
} session;

static uint64_t cpu_ns_of(int who)
{
    struct rusage used;
    (void)getrusage(who, &used);
    return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * UINT64_C(1000000000) +
           (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000;
}

static brisk_err block_signals(session *s, brisk_errinfo *info)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, &s->mask_before);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 ? BRISK_OK : brisk_errinfo_set_errno(info, errno, "signalfd");
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* --- start ---------------------------------------------------------------------------------- */

static brisk_err open_sampler(session *s, brisk_errinfo *info)
{
    prof_perf_opts opts = {.threads = s->threads.items,
                           .thread_count = (uint32_t)s->threads.count,
                           .frequency = s->opts->frequency,
                           .stack_bytes = s->opts->stack_bytes,
                           .on_exec = s->child.pid > 0,
                           .off_cpu = s->opts->off_cpu && s->threads.count > 0};
    return prof_perf_open(&opts, s->alloc, &s->perf, info);
}

static void read_machine(session *s)
{
    prof_pids pids = BRISK_VEC_INIT(s->alloc);
    prof_pids_all(&pids);
    for (size_t i = 0; i < pids.count; i++) {
        prof_space_read(&s->intake.spaces, (uint32_t)pids.items[i]);
    }
    BRISK_VEC_DEINIT(&pids);
}

/* Without rights, or on a kernel without perf events: the command samples itself. */
static brisk_err start_with_timer(session *s, const brisk_errinfo *why, brisk_errinfo *info)
{
    prof_child_end(&s->child);
    s->child = (prof_child){.go = -1};
    s->children_ns = cpu_ns_of(RUSAGE_CHILDREN);
    (void)snprintf(s->why_timer, sizeof s->why_timer, "%.199s",
                   why != NULL ? why->text : "--engine timer was given");
    brisk_err err = prof_timer_open(s->opts->frequency, s->alloc, &s->timer, info);
    if (err == BRISK_OK) {
        err = prof_child_start(s->opts->argv, prof_timer_env(s->timer), s->opts->out_to_err,
                               &s->child, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    s->start_ns = brisk_clock_now_ns(NULL);
    return prof_child_go(&s->child, s->opts->argv[0], info);
}

static brisk_err start_command(session *s, brisk_errinfo *info)
{
    brisk_errinfo why = {.text = ""};
    if (s->opts->use_timer) {
        return start_with_timer(s, NULL, info);
    }
    s->children_ns = cpu_ns_of(RUSAGE_CHILDREN);
    brisk_err err = prof_child_start(s->opts->argv, NULL, s->opts->out_to_err, &s->child, info);
    if (err == BRISK_OK && !BRISK_VEC_PUSH(&s->threads, s->child.pid)) {
        err = BRISK_ERR_NOMEM;
    }
    if (err != BRISK_OK) {
        return err;
    }
    err = open_sampler(s, &why);
    bool refused = err == BRISK_ERR_PERMISSION || err == BRISK_ERR_UNSUPPORTED;
    if (refused && !s->opts->perf_only) {
        return start_with_timer(s, &why, info);
    }
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s", why.text);
    }
    s->start_ns = brisk_clock_now_ns(NULL);
    return prof_child_go(&s->child, s->opts->argv[0], info);
}

static brisk_err attach(session *s, brisk_errinfo *info)
{
    pid_t pid = s->opts->pid;
    brisk_err err = BRISK_OK;
    if (pid > 0) {
        s->process_fd = (int)syscall(SYS_pidfd_open, pid, 0);
        err = prof_threads_of(pid, &s->threads, info);
    }
    if (err == BRISK_OK) {
        err = open_sampler(s, info);
    }
    if (err != BRISK_OK) {
        return err;
    }
    if (pid > 0) {
        prof_space_read(&s->intake.spaces, (uint32_t)pid);
    } else {
        read_machine(s);
    }
    s->start_ns = brisk_clock_now_ns(NULL);
    prof_perf_enable(s->perf, true);
    for (size_t i = 0; i < s->threads.count && s->opts->off_cpu; i++) {
        prof_intake_thread(&s->intake, (uint32_t)pid, (uint32_t)s->threads.items[i], s->start_ns);
    }
    return BRISK_OK;
}

/* --- recording ------------------------------------------------------------------------------ */

/* Whether somebody wants the recording to end. */
static bool was_interrupted(session *s)
{
    struct signalfd_siginfo got;
    bool any = false;
    while (read(s->signal_fd, &got, sizeof got) == (ssize_t)sizeof got) {
        any = true;
        if (got.ssi_signo != SIGINT && s->child.pid > 0 && !prof_child_ended(&s->child)) {
            (void)kill(s->child.pid, (int)got.ssi_signo);
        }
    }
    /* A command that catches SIGINT goes on, and so do we. */
    return any && s->child.pid == 0;
}

static int wait_ms(const session *s, uint64_t now)
{
    uint64_t end = s->start_ns + s->opts->duration_ns;
    int longest = s->timer != NULL ? TIMER_MS : s->opts->look != NULL ? LOOK_MS : WAIT_MS;
    if (s->opts->duration_ns == 0 || end - now > (uint64_t)longest * UINT64_C(1000000)) {
        return longest;
    }
    return (int)((end - now) / 1000000) + 1;
}

/* A command that has ended is looked at before it is gone. */
static void look(const session *s)
{
    int32_t pid = s->child.pid > 0 ? s->child.pid : s->opts->pid;
    if (s->opts->look != NULL) {
        s->opts->look(s->opts->look_ctx, pid);
    }
}

static void drain(session *s, bool last)
{
    if (s->timer != NULL) {
        prof_timer_drain(s->timer, &s->intake);
        return;
    }
    if (last) {
        prof_perf_enable(s->perf, false);
    }
    prof_perf_drain(s->perf, last, prof_intake_record, &s->intake);
}

/* Where nobody else writes to the terminal. */
static void tell_progress(const session *s, uint64_t now)
{
    if (s->opts->argv == NULL && !s->opts->quiet && s->opts->err != NULL &&
        now - s->start_ns > UINT64_C(1000000000) && isatty(fileno(s->opts->err)) == 1) {
        (void)fprintf(s->opts->err, "\rbrisk: profiling, %.0f s, %" PRIu64 " samples ",
                      (double)(now - s->start_ns) / 1e9, s->intake.samples);
    }
}

static void record(session *s)
{
    int fds[FDS_MAX];
    struct pollfd polled[FDS_MAX];
    uint32_t count = s->perf != NULL ? prof_perf_fds(s->perf, fds, FDS_MAX - 2) : 0;
    fds[count++] = s->signal_fd;
    if (s->process_fd >= 0) {
        fds[count++] = s->process_fd;
    }
    for (uint32_t i = 0; i < count; i++) {
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    bool process_gone = false;
    while (!process_gone) {
        uint64_t now = brisk_clock_now_ns(NULL);
        bool dead = prof_child_is_dead(&s->child);
        look(s); /* and last when it is dead but not gone */
        if (dead || was_interrupted(s) ||
            (s->opts->duration_ns > 0 && now - s->start_ns >= s->opts->duration_ns)) {
            break;
        }
        tell_progress(s, now);
        (void)poll(polled, count, wait_ms(s, now));
        for (uint32_t i = 0; i < count; i++) {
            if ((polled[i].revents & POLLHUP) != 0) {
                polled[i].fd = -1; /* the last event of a ring is gone: its records are not */
            }
        }
        process_gone = s->process_fd >= 0 && polled[count - 1].revents != 0;
        drain(s, false);
    }
    s->end_ns = brisk_clock_now_ns(NULL);
    if (s->opts->argv == NULL && !s->opts->quiet && s->opts->err != NULL &&
        isatty(fileno(s->opts->err)) == 1) {
        (void)fputs("\r\033[K", s->opts->err);
    }
    drain(s, true);
    prof_intake_finish(&s->intake, s->end_ns);
}

/* --- the model ------------------------------------------------------------------------------ */

static void note_timer(const session *s, prof_model *model)
{
    prof_note(model,
              "engine: a timer in the program (profile_timer.so), %" PRIu32
              " Hz asked, at most the kernel's HZ; stacks by .eh_frame",
              s->opts->frequency);
    prof_note(model, "why not perf events: %s", s->why_timer);
    prof_note(model, "the kernel's part and waiting are not seen by this engine");
    if (s->intake.samples == 0) {
        prof_note(model, "no sample: a static or setuid program can't load the timer, and one that "
                         "uses SIGPROF keeps it");
    }
}

static void note_engine(const session *s, prof_model *model)
{
    if (s->timer != NULL) {
        note_timer(s, model);
        return;
    }
    const prof_perf_limits *limits = prof_perf_what(s->perf);
    prof_note(model, "engine: perf events, cpu-clock, %" PRIu32 " Hz asked; stacks by %s",
              s->opts->frequency,
              s->opts->stack_bytes > 0 ? ".eh_frame, and by frame pointers where that ends"
                                       : "frame pointers");
    prof_note(model, "no hardware counter is used: the kernel's clock is what samples");
    if (limits->no_kernel) {
        prof_note(model, "the kernel's own part is not seen: /proc/sys/kernel/perf_event_paranoid "
                         "is above 1 and this user is not root");
    }
    if (s->opts->off_cpu && limits->no_switch_stack && s->threads.count > 0) {
        prof_note(model, "where threads wait is not seen, only how long: that needs root");
    }
    if (s->intake.spaces.err != BRISK_OK) {
        prof_note(model, "some mappings are missing: %s", brisk_err_message(s->intake.spaces.err));
    }
    if (s->intake.short_stacks > 0) {
        prof_note(model, "%" PRIu64 " stacks were deeper than the copied %" PRIu32 " bytes",
                  s->intake.short_stacks, s->opts->stack_bytes);
    }
}

static void fill_meta(const session *s, prof_model *model, uint64_t cpu_ns)
{
    prof_meta *meta = &model->meta;
    meta->wall_start_ns = s->wall_ns;
    meta->duration_ns = s->end_ns - s->start_ns;
    meta->period = UINT64_C(1000000000) / s->opts->frequency;
    meta->cpu_ns = cpu_ns;
    meta->lost = s->intake.lost;
    meta->samples = s->intake.samples;
    meta->default_type = PROF_TYPE_CPU;
    char command[1024] = "";
    size_t used = 0;
    for (char *const *arg = s->opts->argv; arg != NULL && *arg != NULL; arg++) {
        int size =
            snprintf(command + used, sizeof command - used, "%s%s", used > 0 ? " " : "", *arg);
        used += size > 0 && (size_t)size < sizeof command - used ? (size_t)size : 0;
    }
    meta->command = prof_text_of(model, command);
}

static brisk_err make_model(session *s, prof_model **ret, prof_outcome *outcome)
{
    uint64_t cpu_ns = s->intake.sampled_ns;
    if (s->timer != NULL) {
        cpu_ns = cpu_ns_of(RUSAGE_CHILDREN) - s->children_ns;
    } else if (s->threads.count > 0) {
        cpu_ns = prof_perf_cpu_ns(s->perf);
        /* The clock of the events misses processes that end before their first sample. */
        uint64_t waited_for =
            s->opts->argv != NULL ? cpu_ns_of(RUSAGE_CHILDREN) - s->children_ns : 0;
        if (waited_for > cpu_ns) {
            cpu_ns = waited_for;
        }
    }
    uint64_t before = brisk_clock_now_ns(NULL);
    prof_resolve_opts opts = {.no_lines = s->opts->no_lines, .scale = 1.0};
    if (s->intake.sampled_ns > 0 && cpu_ns > 0) {
        opts.scale = (double)cpu_ns / (double)s->intake.sampled_ns;
    }
    brisk_err err = prof_resolve(&s->intake, &opts, ret);
    if (err != BRISK_OK) {
        return err;
    }
    fill_meta(s, *ret, cpu_ns);
    note_engine(s, *ret);
    if (s->opts->argv != NULL && s->timer == NULL &&
        cpu_ns / 4 > (s->intake.samples + 1) * (*ret)->meta.period) {
        prof_note(*ret, "few samples for that much processor time: processes that end before a "
                        "sample is due are hardly seen; a higher --frequency sees more");
    }
    outcome->resolve_ns = brisk_clock_now_ns(NULL) - before;
    outcome->hertz = cpu_ns > 0 ? (double)s->intake.samples * 1e9 / (double)cpu_ns : 0.0;
    outcome->target_overhead_ns =
        s->timer != NULL ? 0 : prof_sample_cost_ns(s->opts->stack_bytes) * s->intake.samples;
    return prof_model_err(*ret);
}

static void clean(session *s)
{
    prof_child_end(&s->child);
    prof_perf_close(s->perf);
    prof_timer_close(s->timer);
    prof_intake_deinit(&s->intake);
    BRISK_VEC_DEINIT(&s->threads);
    if (s->process_fd >= 0) {
        (void)close(s->process_fd);
    }
    if (s->signal_fd >= 0) {
        struct signalfd_siginfo got;
        while (read(s->signal_fd, &got, sizeof got) > 0) {
        }
        (void)close(s->signal_fd);
        (void)sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
    }
}

brisk_err prof_session_run(const prof_session_opts *opts, const brisk_alloc *alloc,
                           prof_model **ret, prof_outcome *outcome, brisk_errinfo *info)
{
    session s = {.opts = opts,
                 .alloc = alloc,
                 .threads = BRISK_VEC_INIT(alloc),
                 .child = {.go = -1},
                 .signal_fd = -1,
                 .process_fd = -1};
    *outcome = (prof_outcome){0};
    raise_descriptors();
    brisk_err err = prof_intake_init(&s.intake, alloc);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t cpu_before = cpu_ns_of(RUSAGE_SELF);
    s.wall_ns = brisk_clock_wall_ns(NULL);
    err = block_signals(&s, info);
    if (err == BRISK_OK) {
        err = opts->argv != NULL ? start_command(&s, info) : attach(&s, info);
    }
    if (err == BRISK_OK) {
        record(&s);
        outcome->own_cpu_ns = cpu_ns_of(RUSAGE_SELF) - cpu_before;
        prof_child_end(&s.child);
        outcome->exit_status = s.child.status;
        err = make_model(&s, ret, outcome);
    }
    clean(&s);
    return err;
}
