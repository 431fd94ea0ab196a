/*
 * serve.c -- `brisk serve`: options, sockets, and which process this is.
 *
 *     brisk serve ──► supervisor (supervise.c) ──► worker process (life.c)
 *     brisk serve --foreground ──────────────────► the same process
 */
#include "daemon/serve.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include <brisk/file.h>

#include "daemon/api/api.h"
#include "daemon/api/stats_file.h"
#include "daemon/handover.h"
#include "daemon/http/priority.h"
#include "daemon/life.h"
#include "daemon/privileges.h"
#include "daemon/profiler.h"
#include "daemon/sandbox.h"
#include "daemon/server.h"
#include "daemon/supervise.h"

enum {
    OPTION_LISTEN,
    OPTION_UNIX,
    OPTION_MEMORY,
    OPTION_DISK,
    OPTION_POLICY,
    OPTION_PASSWORD_FILE,
    OPTION_THREADS,
    OPTION_FOREGROUND,
    OPTION_CHECK,
};

static const brisk_option options[] = {
    [OPTION_LISTEN] = {.name = "listen",
                       .letter = 'l',
                       .type = BRISK_OPTION_LIST,
                       .metavar = "HOST:PORT",
                       .summary = "answer there (127.0.0.1:6380); may be given several times"},
    [OPTION_UNIX] = {.name = "unix",
                     .type = BRISK_OPTION_FILE,
                     .metavar = "PATH",
                     .summary = "answer at a unix socket, too"},
    [OPTION_MEMORY] = {.name = "memory",
                       .letter = 'm',
                       .type = BRISK_OPTION_BYTES,
                       .metavar = "BYTES",
                       .summary = "most bytes of keys and values (1GiB)"},
    [OPTION_DISK] = {.name = "disk",
                     .letter = 'd',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FOLDER",
                     .summary = "keep a disk tier there"},
    [OPTION_POLICY] = {.name = "policy",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "NAME",
                       .summary = "what is dropped first"},
    [OPTION_PASSWORD_FILE] = {.name = "password-file",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "ask for the password in its first line"},
    [OPTION_THREADS] = {.name = "threads",
                        .letter = 't',
                        .type = BRISK_OPTION_U64,
                        .metavar = "N",
                        .summary = "event loops; 0: one for each processor"},
    [OPTION_FOREGROUND] = {.name = "foreground",
                           .letter = 'f',
                           .summary = "one process, without a supervisor"},
    [OPTION_CHECK] = {.name = "check", .summary = "read the settings, say whether they are right"},
};

/* Everything that is configured, as text that lives as long as the server. */
typedef struct setup {
    char unix_path[256];
    char policy[64];
    char disk_path[4096];
    char record_dir[3968]; /* leaves room for a name */
    char password_path[4096];
    char password[PASSWORD_MAX];
    char tls[3][4096]; /* certificate, key, authority */
    char token_file[4096];
    char dictionary_folder[4096];
    char hosts[4096];
    char budgets[4096];
    char audit_file[4096];
    char figures_file[4096];
    sockets sockets;
    http_priorities *priorities;
    brisk_yaml_doc *mounts;
    brisk_yaml_doc *proxies; /* likewise of serve.proxy */
    char job_paths[4096];
    brisk_yaml_doc *workloads;
    server_opts opts;
} setup;

/* --- settings ----------------------------------------------------------------------------- */

static void choose_text(const brisk_invocation *in, int option, const brisk_knobs *knobs,
                        const char *knob, char *text, size_t size)
{
    if (option >= 0 && in->values[option].set) {
        (void)snprintf(text, size, "%s", in->values[option].text);
    } else {
        brisk_knobs_text(knobs, knob, text, size);
    }
}

/* False: an option is not what its knob allows, and that was said. */
static bool choose_number(const brisk_invocation *in, int option, const brisk_knobs *knobs,
                          const char *name, uint64_t *ret)
{
    if (!in->values[option].set) {
        *ret = brisk_knobs_u64(knobs, name);
        return true;
    }
    const brisk_knob *knob = serve_knobs;
    while (strcmp(knob->name, name) != 0) {
        knob++; /* it is one of them */
    }
    *ret = in->values[option].number;
    if (*ret < knob->min || *ret > knob->max) {
        (void)fprintf(in->err, "brisk: --%s is from %" PRIu64 " to %" PRIu64 ", not %" PRIu64 "\n",
                      options[option].name, knob->min, knob->max, *ret);
        return false;
    }
    return true;
}

/* "auto" is 0. */
static bool choose_workers(const brisk_invocation *in, const brisk_knobs *knobs, uint64_t *ret)
{
    char text[64];
    brisk_knobs_text(knobs, "serve.workers", text, sizeof text);
    uint64_t count = 0;
    bool good =
        strcmp(text, "auto") == 0 || brisk_knob_parse(BRISK_KNOB_U64, text, &count) == BRISK_OK;
    if (in->values[OPTION_THREADS].set) {
        good = true;
        count = in->values[OPTION_THREADS].number;
        (void)snprintf(text, sizeof text, "%" PRIu64, count);
    }
    if (!good || count > WORKERS_MAX) {
        (void)fprintf(in->err, "brisk: serve.workers is auto or from 1 to %d, not %s\n",
                      WORKERS_MAX, text);
        return false;
    }
    *ret = count;
    return true;
}

static bool read_password(const brisk_invocation *in, setup *set)
{
    brisk_file_view view;
    brisk_errinfo info = {0};
    if (set->password_path[0] == '\0') {
        return true;
    }
    if (brisk_file_view_open(set->password_path, 65536, &view, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return false;
    }
    size_t size = 0;
    while (size < view.size && view.data[size] != '\n' && view.data[size] != '\r') {
        size++;
    }
    bool good = size > 0 && size < sizeof set->password;
    if (good) {
        memcpy(set->password, view.data, size);
        set->password[size] = '\0';
        set->opts.password = set->password;
    } else {
        (void)fprintf(in->err, "brisk: %s: the password is %s\n", set->password_path,
                      size == 0 ? "empty" : "too long");
    }
    brisk_file_view_close(&view);
    return good;
}

static bool read_size_mode(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    char text[64];
    brisk_knobs_text(knobs, "serve.size_mode", text, sizeof text);
    set->opts.size_rule = strcmp(text, "rule") == 0;
    bool good = set->opts.size_rule || strcmp(text, "curve") == 0;
    if (!good) {
        (void)fprintf(in->err, "brisk: setting 'serve.size_mode': '%s' is neither curve nor rule\n",
                      text);
    }
    return good;
}

static void read_limits(const brisk_knobs *knobs, server_limits *limits)
{
    *limits = (server_limits){
        .clients_max = (uint32_t)brisk_knobs_u64(knobs, "serve.clients_max"),
        .idle_ns = brisk_knobs_u64(knobs, "serve.idle_timeout"),
        .output_high = brisk_knobs_u64(knobs, "serve.output_high"),
        .output_max = brisk_knobs_u64(knobs, "serve.output_max"),
        .output_total = brisk_knobs_u64(knobs, "serve.output_total"),
        .input_max = brisk_knobs_u64(knobs, "serve.input_max"),
        .input_total = brisk_knobs_u64(knobs, "serve.input_total"),
        .bulk_max = brisk_knobs_u64(knobs, "serve.bulk_max"),
        .args_max = RESP_ARGS_MAX,
        .batch_max = (uint32_t)brisk_knobs_u64(knobs, "serve.pipeline"),
    };
    limits->http_head = (http1_limits){
        .fields_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.fields_max"),
        .head_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.head_bytes"),
        .line_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.line_bytes"),
    };
    limits->http = (http_limits){
        .streams_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http2.streams_max"),
        .head_ns = brisk_knobs_u64(knobs, "serve.http.head_timeout"),
        .idle_ns = brisk_knobs_u64(knobs, "serve.http.idle_timeout"),
        .body_ns = brisk_knobs_u64(knobs, "serve.http.body_timeout"),
        .write_ns = brisk_knobs_u64(knobs, "serve.http.write_timeout"),
        .min_rate = (uint32_t)brisk_knobs_u64(knobs, "serve.http.min_rate"),
        .requests_max = (uint32_t)brisk_knobs_u64(knobs, "serve.http.requests_max"),
        .per_address = (uint32_t)brisk_knobs_u64(knobs, "serve.http.per_address"),
        .per_address_local = brisk_knobs_u64(knobs, "serve.http.per_address_local") != 0,
    };
}

static brisk_err read_priorities(const brisk_knobs *knobs, setup *set, brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_knobs_yaml(knobs, "serve.priorities", NULL, &doc, info);
    if (err == BRISK_OK) {
        err = http_priorities_create(doc, brisk_alloc_libc(), &set->priorities, info);
        if (err != BRISK_OK) {
            brisk_yaml_destroy(doc);
        }
    }
    return err;
}

/* The mounts stay in `set` until the server was made; false: they are wrong, and that was said. */
static bool read_files(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    brisk_errinfo info = {0};
    if (brisk_knobs_yaml(knobs, "serve.static", NULL, &set->mounts, &info) != BRISK_OK ||
        brisk_knobs_yaml(knobs, "serve.proxy", NULL, &set->proxies, &info) != BRISK_OK ||
        read_priorities(knobs, set, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return false;
    }
    set->opts.priorities = set->priorities;
    set->opts.proxy = set->proxies;
    brisk_knobs_text(knobs, "serve.encode.dictionary_folder", set->dictionary_folder,
                     sizeof set->dictionary_folder);
    set->opts.files = (files_settings){
        .mounts = set->mounts,
        .memory_bytes = brisk_knobs_u64(knobs, "serve.files.memory"),
        .small_bytes = brisk_knobs_u64(knobs, "serve.files.small"),
        .entries = (uint32_t)brisk_knobs_u64(knobs, "serve.files.entries"),
        .descriptors = (uint32_t)brisk_knobs_u64(knobs, "serve.files.descriptors"),
        .variants_bytes = brisk_knobs_u64(knobs, "serve.encode.memory"),
        .dictionary_bytes = brisk_knobs_u64(knobs, "serve.encode.dictionaries"),
        .dictionary_folder = set->dictionary_folder,
        .encode_off = brisk_knobs_u64(knobs, "serve.encode.enabled") == 0,
    };
    set->opts.bandwidth = (bandwidth_limits){
        .fixed_bps = brisk_knobs_u64(knobs, "serve.bandwidth.fixed"),
        .medium_bps = brisk_knobs_u64(knobs, "serve.bandwidth.medium"),
        .low_bps = brisk_knobs_u64(knobs, "serve.bandwidth.low"),
    };
    return true;
}

static bool read_setup(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    choose_text(in, OPTION_UNIX, knobs, "serve.unix", set->unix_path, sizeof set->unix_path);
    choose_text(in, OPTION_POLICY, knobs, "serve.policy", set->policy, sizeof set->policy);
    choose_text(in, OPTION_DISK, knobs, "serve.disk", set->disk_path, sizeof set->disk_path);
    choose_text(in, OPTION_PASSWORD_FILE, knobs, "serve.password_file", set->password_path,
                sizeof set->password_path);
    brisk_knobs_text(knobs, "serve.record_dir", set->record_dir, sizeof set->record_dir);
    brisk_knobs_text(knobs, "serve.tls_cert", set->tls[0], sizeof set->tls[0]);
    brisk_knobs_text(knobs, "serve.tls_key", set->tls[1], sizeof set->tls[1]);
    brisk_knobs_text(knobs, "serve.tls_ca", set->tls[2], sizeof set->tls[2]);
    brisk_knobs_text(knobs, "serve.token_file", set->token_file, sizeof set->token_file);
    brisk_knobs_text(knobs, "serve.hosts", set->hosts, sizeof set->hosts);
    brisk_knobs_text(knobs, "serve.budgets", set->budgets, sizeof set->budgets);
    brisk_knobs_text(knobs, "serve.audit_file", set->audit_file, sizeof set->audit_file);
    uint64_t memory;
    uint64_t threads;
    if (!choose_number(in, OPTION_MEMORY, knobs, "serve.memory", &memory) ||
        !choose_workers(in, knobs, &threads)) {
        return false;
    }
    set->opts = (server_opts){
        .tls_cert = set->tls[0],
        .tls_key = set->tls[1],
        .tls_ca = set->tls[2],
        .token_file = set->token_file,
        .hosts = set->hosts,
        .budgets_file = set->budgets,
        .audit_file = set->audit_file,
        .stats = {.file = set->figures_file,
                  .every_ns = brisk_knobs_u64(knobs, "serve.figures.every")},
        .degraded_is_ok = brisk_knobs_u64(knobs, "serve.degraded_is_ok") != 0,
        .local_needs_token = brisk_knobs_u64(knobs, "serve.local_needs_token") != 0,
        .sockets = &set->sockets,
        .policy = set->policy[0] != '\0' ? set->policy : NULL,
        .disk_path = set->disk_path,
        .record_dir = set->record_dir,
        .disk_bytes = brisk_knobs_u64(knobs, "serve.disk_bytes"),
        .memory_bytes = memory,
        .memory_limit = brisk_knobs_u64(knobs, "serve.memory_limit"),
        .workers = (uint32_t)threads,
        .spin_ns = brisk_knobs_u64(knobs, "serve.spin_us") * 1000,
        .track_use = brisk_knobs_u64(knobs, "serve.track_use") != 0,
        .unprotected = brisk_knobs_u64(knobs, "serve.protected") == 0,
        .no_curve = brisk_knobs_u64(knobs, "serve.curve") == 0,
        .target_rate = (uint32_t)brisk_knobs_u64(knobs, "serve.target_hit_rate"),
    };
    read_limits(knobs, &set->opts.limits);
    brisk_errinfo info = {.text = ""};
    if (jobs_read_knobs(knobs, set->job_paths, &set->opts.jobs, &set->workloads, &info) !=
        BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return false;
    }
    return read_size_mode(in, knobs, set) && read_password(in, set) && read_files(in, knobs, set);
}

/* --- where to listen ---------------------------------------------------------------------- */

static brisk_err open_knob(const brisk_knobs *knobs, sockets *to, brisk_errinfo *info)
{
    brisk_yaml_doc *doc = NULL;
    brisk_err err = brisk_knobs_yaml(knobs, "serve.listen", NULL, &doc, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    const brisk_yaml_node *n = root->kind == BRISK_YAML_SEQUENCE ? root->child : root;
    for (; n != NULL && err == BRISK_OK; n = n->next) {
        if (n->kind == BRISK_YAML_SCALAR) {
            err = sockets_open(to, n->text, info);
        } else if (n != root || n->count > 0) {
            err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: HOST:PORT or unix:PATH",
                                    brisk_yaml_name(doc), n->line);
        }
    }
    brisk_yaml_destroy(doc);
    return err;
}

static brisk_err open_sockets(const brisk_invocation *in, const brisk_knobs *knobs, setup *set,
                              brisk_errinfo *info)
{
    sockets *to = &set->sockets;
    const brisk_option_list *given = &in->lists[OPTION_LISTEN];
    bool by_knob = given->count == 0 && to->count == 0; /* systemd's take its place */
    brisk_err err = by_knob ? open_knob(knobs, to, info) : BRISK_OK;
    for (uint32_t i = 0; i < given->count && err == BRISK_OK; i++) {
        err = given->texts[i][0] != '\0' ? sockets_open(to, given->texts[i], info) : BRISK_OK;
    }
    if (err == BRISK_OK && set->unix_path[0] != '\0') {
        char address[sizeof set->unix_path + 5];
        (void)snprintf(address, sizeof address, "unix:%s", set->unix_path);
        err = sockets_open(to, address, info);
    }
    if (err == BRISK_OK && to->count == 0) {
        err = brisk_errinfo_set(info, BRISK_ERR_INVALID, "nothing to listen at");
    }
    return err;
}

/* Descriptors for all connections and some more; what the system gives is enough to go on. */
static void raise_descriptors(uint32_t clients_max)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)clients_max + 128;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Sockets of a supervisor, of systemd, or of our own; *ret_fd: see handover_take. */
static brisk_err find_sockets(const brisk_invocation *in, const brisk_knobs *knobs, setup *set,
                              int *ret_fd, brisk_errinfo *info)
{
    set->sockets = (sockets){.backlog = (uint32_t)brisk_knobs_u64(knobs, "serve.backlog")};
    brisk_err err = handover_take(&set->sockets, ret_fd, info);
    if (err == BRISK_OK && *ret_fd < 0) {
        err = sockets_from_systemd(&set->sockets, info);
        if (err == BRISK_OK) {
            err = open_sockets(in, knobs, set, info);
        }
    }
    if (err != BRISK_OK) {
        sockets_close(&set->sockets, false);
    }
    return err;
}

static void destroy_lists(setup *set)
{
    http_priorities_destroy(set->priorities);
    brisk_yaml_destroy(set->mounts);
    brisk_yaml_destroy(set->proxies);
    brisk_yaml_destroy(set->workloads);
}

/* After sockets are open and modules are loaded: what is read or written from now on is so as the
 * user that the node runs as. */
static brisk_err give_up_rights(const brisk_knobs *knobs, brisk_errinfo *info)
{
    char user[256];
    char group[256];
    brisk_knobs_text(knobs, "serve.user", user, sizeof user);
    brisk_knobs_text(knobs, "serve.group", group, sizeof group);
    brisk_err err = privileges_become(user, group, info);
    if (err == BRISK_OK) {
        privileges_limit(brisk_knobs_u64(knobs, "serve.core_dumps") != 0);
    }
    return err;
}

/* *ret_remark: what is to be said of it, or NULL. */
static brisk_err enter_sandbox(const brisk_knobs *knobs, const char **ret_remark,
                               brisk_errinfo *info)
{
    char text[64];
    sandbox_mode mode;
    bool entered = false;
    brisk_knobs_text(knobs, "serve.sandbox", text, sizeof text);
    if (!sandbox_mode_of(text, &mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "setting 'serve.sandbox': '%s' is neither auto, on nor off", text);
    }
    brisk_err err = sandbox_enter(mode, &entered, info);
    *ret_remark = !entered && mode == SANDBOX_AUTO && sandbox_is_expected()
                      ? "there is no sandbox here"
                      : NULL;
    return err;
}

/* After sockets are open: the file is by the first address. */
static void choose_figures_file(const brisk_knobs *knobs, setup *set)
{
    brisk_knobs_text(knobs, "serve.figures.file", set->figures_file, sizeof set->figures_file);
    if (strcmp(set->figures_file, "auto") == 0 &&
        (set->sockets.count == 0 ||
         !stats_file_default(&set->sockets.list[0], set->figures_file, sizeof set->figures_file))) {
        set->figures_file[0] = '\0';
    }
}

static brisk_exit serve(const brisk_invocation *in, const brisk_knobs *knobs, setup *set)
{
    brisk_errinfo info = {.text = ""};
    int supervisor_fd = -1;
    brisk_err err = find_sockets(in, knobs, set, &supervisor_fd, &info);
    if (err == BRISK_OK) {
        err = give_up_rights(knobs, &info);
    }
    if (err != BRISK_OK) {
        sockets_close(&set->sockets, false);
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    uint64_t drain_ns = brisk_knobs_u64(knobs, "serve.drain_timeout");
    if (supervisor_fd < 0 && !in->values[OPTION_FOREGROUND].set &&
        brisk_knobs_u64(knobs, "serve.supervisor") != 0) {
        supervise_opts opts = {.sockets = &set->sockets,
                               .err = in->err,
                               .drain_ns = drain_ns,
                               .hang_ns = brisk_knobs_u64(knobs, "serve.hang_timeout")};
        destroy_lists(set);
        return supervise(&opts);
    }
    choose_figures_file(knobs, set);
    const char *remark = NULL;
    if (profiler_start(&set->opts.profiler_fd, &info) != BRISK_OK ||
        enter_sandbox(knobs, &remark, &info) != BRISK_OK) {
        sockets_close(&set->sockets, false);
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    life_opts opts = {.in = in,
                      .remark = remark,
                      .server = &set->opts,
                      .supervisor_fd = supervisor_fd,
                      .replace = brisk_knobs_u64(knobs, "serve.reload_replaces") != 0,
                      .drain_ns = drain_ns};
    brisk_exit result = life_run(&opts);
    (void)close(set->opts.profiler_fd);
    destroy_lists(set);
    return result;
}

static brisk_err load_listed(brisk_engine *engine, const brisk_yaml_doc *doc, brisk_errinfo *info)
{
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    if (root->kind != BRISK_YAML_SEQUENCE &&
        (root->kind != BRISK_YAML_MAPPING || root->count > 0)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: a list of names of modules",
                                 brisk_yaml_name(doc), root->line);
    }
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = root->child; n != NULL && err == BRISK_OK; n = n->next) {
        const brisk_workload *workload;
        err = n->text != NULL
                  ? brisk_engine_load(engine, n->text, &workload, info)
                  : brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s:%u: a name of a module",
                                      brisk_yaml_name(doc), n->line);
    }
    return err;
}

/* Modules named in serve.modules; false: one cannot be had, and that was said. */
static bool load_modules(const brisk_invocation *in, brisk_engine *engine)
{
    brisk_yaml_doc *doc = NULL;
    brisk_errinfo info = {.text = ""};
    brisk_err err =
        brisk_knobs_yaml(brisk_engine_knobs(engine), "serve.modules", NULL, &doc, &info);
    if (err == BRISK_OK) {
        err = load_listed(engine, doc, &info);
        brisk_yaml_destroy(doc);
    }
    if (err != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
    }
    return err == BRISK_OK;
}

static brisk_exit run(const brisk_invocation *in)
{
    brisk_engine *engine;
    const brisk_workload *none;
    brisk_errinfo info = {0};
    static setup set; /* large, and there is one server in a process */
    if (in->engine(in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    if (brisk_engine_load(engine, "serve", &none, &info) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    if (!read_setup(in, brisk_engine_knobs(engine), &set)) {
        return BRISK_EXIT_FAILED;
    }
    set.opts.engine = engine;
    if (!load_modules(in, engine)) {
        return BRISK_EXIT_FAILED;
    }
    if (in->values[OPTION_CHECK].set) {
        (void)fputs("settings are right\n", in->out);
        destroy_lists(&set);
        return BRISK_EXIT_OK;
    }
    raise_descriptors(set.opts.limits.clients_max);
    return serve(in, brisk_engine_knobs(engine), &set);
}

const brisk_command serve_command = {
    .name = "serve",
    .group = "Server",
    .synopsis = "[OPTIONS]",
    .summary = "answer the Redis protocol from memory, and from disk behind it",
    .description =
        "Clients of Redis find strings, keys, expiry, bits, transactions, channels and client-side "
        "caching as they know them from Redis 7.0. Everything lives in memory of a fixed size; "
        "when that is full, what is least worth keeping goes. With --disk it goes to disk and "
        "comes back when it is asked for, also after a restart.\n\n"
        "Without a password the server answers this machine only. A process that keeps the sockets "
        "starts the one that serves, again when that dies; --foreground is one process. SIGTERM "
        "and "
        "SIGINT end it in order, a second one at once; SIGHUP reads settings, tokens and "
        "certificate "
        "again; SIGUSR2 puts a new process, of a new program perhaps, in the place of the old one, "
        "and no request is lost.",
    .examples = "brisk serve\tanswer at 127.0.0.1:6380\n"
                "brisk serve --memory 4GiB --disk /var/cache/brisk\tmore memory, and a disk tier\n"
                "brisk serve --listen 0.0.0.0:6380 --password-file pw\tanswer the network\n"
                "brisk --config /etc/brisk/brisk.yaml serve --check\tonly judge the settings\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 0,
    .args_max = 0,
    .run = run,
};
