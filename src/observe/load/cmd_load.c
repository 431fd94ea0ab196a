/*
 * cmd_load.c -- `brisk bench load ADDRESS`: options become a plan, the plan a report.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include "observe/bench/bench.h"
#include "observe/load/load.h"

enum {
    OPTION_RATE,
    OPTION_USERS,
    OPTION_THINK,
    OPTION_CONNECTIONS,
    OPTION_THREADS,
    OPTION_PIPELINE,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_RAMP,
    OPTION_STEPS,
    OPTION_P99,
    OPTION_COMMAND,
    OPTION_KEYS,
    OPTION_DISTRIBUTION,
    OPTION_SIZE,
    OPTION_METHOD,
    OPTION_HEADER,
    OPTION_BODY,
    OPTION_PASSWORD_FILE,
    OPTION_TIMEOUT,
    OPTION_SEED,
    OPTION_REMOTE_OK,
    OPTION_JSON,
};

enum { HEADERS_MAX = 64, HEAD_MAX = 16384, PASSWORD_MAX = 512, STEPS_DEFAULT = 8 };

static const double rate_default = 1000;
static const double rate_max = 1e7;
static const uint64_t duration_max_ns = UINT64_C(3600) * 1000000000;

static const brisk_option options[] = {
    [OPTION_RATE] = {.name = "rate",
                     .letter = 'r',
                     .type = BRISK_OPTION_U64,
                     .metavar = "N",
                     .summary = "requests a second, whether the server keeps up or not (1000)"},
    [OPTION_USERS] = {.name = "users",
                      .letter = 'u',
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "instead: N users, each waits for its answer and asks again"},
    [OPTION_THINK] = {.name = "think",
                      .type = BRISK_OPTION_DURATION,
                      .metavar = "TIME",
                      .summary = "a user's pause between answer and next request (0)"},
    [OPTION_CONNECTIONS] = {.name = "connections",
                            .letter = 'c',
                            .type = BRISK_OPTION_U64,
                            .metavar = "N",
                            .summary = "connections for the rate (50)"},
    [OPTION_THREADS] = {.name = "threads",
                        .letter = 't',
                        .type = BRISK_OPTION_U64,
                        .metavar = "N",
                        .summary = "threads that send (1)"},
    [OPTION_PIPELINE] = {.name = "pipeline",
                         .letter = 'P',
                         .type = BRISK_OPTION_U64,
                         .metavar = "N",
                         .summary = "resp: requests under way on a connection (1)"},
    [OPTION_DURATION] = {.name = "duration",
                         .letter = 'd',
                         .type = BRISK_OPTION_DURATION,
                         .metavar = "TIME",
                         .summary = "how long (10s); with --ramp each step (3s)"},
    [OPTION_WARMUP] = {.name = "warmup",
                       .type = BRISK_OPTION_DURATION,
                       .metavar = "TIME",
                       .summary = "before, not counted (500ms)"},
    [OPTION_RAMP] = {.name = "ramp",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "FROM..TO",
                     .summary = "raise the rate in steps until the server does not follow"},
    [OPTION_STEPS] = {.name = "steps",
                      .type = BRISK_OPTION_U64,
                      .metavar = "N",
                      .summary = "of the ramp (8)"},
    [OPTION_P99] = {.name = "p99",
                    .type = BRISK_OPTION_DURATION,
                    .metavar = "TIME",
                    .summary =
                        "of the ramp: a greater p99 is beyond the knee (10 times the first's)"},
    [OPTION_COMMAND] = {.name = "command",
                        .type = BRISK_OPTION_LIST,
                        .metavar = "WORDS",
                        .summary = "resp: what to ask; several are mixed ('GET key:{n}')"},
    [OPTION_KEYS] = {.name = "keys",
                     .letter = 'k',
                     .type = BRISK_OPTION_U64,
                     .metavar = "N",
                     .summary = "{n} is a number below N (100000)"},
    [OPTION_DISTRIBUTION] = {.name = "distribution",
                             .type = BRISK_OPTION_TEXT,
                             .metavar = "NAME",
                             .summary = "of {n}: uniform, zipf, or zipf:EXPONENT (uniform)"},
    [OPTION_SIZE] = {.name = "size",
                     .type = BRISK_OPTION_BYTES,
                     .metavar = "BYTES",
                     .summary = "{v} is a value of so many bytes (100)"},
    [OPTION_METHOD] = {.name = "method",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "NAME",
                       .summary = "http: GET, or POST with --body"},
    [OPTION_HEADER] = {.name = "header",
                       .letter = 'H',
                       .type = BRISK_OPTION_LIST,
                       .metavar = "LINE",
                       .summary = "http: with every request"},
    [OPTION_BODY] = {.name = "body",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "TEXT",
                     .summary = "http: may have {n} and {v}"},
    [OPTION_PASSWORD_FILE] = {.name = "password-file",
                              .type = BRISK_OPTION_FILE,
                              .metavar = "FILE",
                              .summary = "resp: the server's password is its first line"},
    [OPTION_TIMEOUT] = {.name = "timeout",
                        .type = BRISK_OPTION_DURATION,
                        .metavar = "TIME",
                        .summary = "no answer for so long is a timeout (5s)"},
    [OPTION_SEED] = {.name = "seed",
                     .type = BRISK_OPTION_U64,
                     .metavar = "N",
                     .summary = "of the keys drawn (1)"},
    [OPTION_REMOTE_OK] = {.name = "remote-ok",
                          .summary = "the server may be another machine's, and yours to load"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

/* All that one call works with. */
typedef struct work {
    const brisk_invocation *in;
    brisk_arena *arena;
    load_target target;
    load_requests requests;
    load_run run;
    load_report report;
    double rate;
    char password[PASSWORD_MAX];
} work;

static brisk_exit wrong(const work *w, const char *words)
{
    (void)fprintf(w->in->err, "brisk: bench load: %s\n", words);
    return BRISK_EXIT_USAGE;
}

static brisk_exit failed(const work *w, brisk_err err, const brisk_errinfo *info)
{
    (void)fprintf(w->in->err, "brisk: bench load: %s\n", info->text);
    return err == BRISK_ERR_INVALID || err == BRISK_ERR_LIMIT || err == BRISK_ERR_PERMISSION
               ? BRISK_EXIT_USAGE
               : BRISK_EXIT_FAILED;
}

static bool is_set(const work *w, int option)
{
    return w->in->values[option].set;
}

/* An option's number within its bounds, or `otherwise`; false (with words) when it is beyond them. */
static bool number(const work *w, int option, uint64_t least, uint64_t most, uint64_t *ret)
{
    if (!is_set(w, option)) {
        return true;
    }
    uint64_t value = w->in->values[option].number;
    if (value < least || value > most) {
        (void)fprintf(w->in->err, "brisk: bench load: --%s: out of range\n", options[option].name);
        return false;
    }
    *ret = value;
    return true;
}

/* --- options ------------------------------------------------------------------------------ */

static bool read_ramp(work *w)
{
    load_ramp *ramp = &w->report.ramp;
    if (!is_set(w, OPTION_RAMP)) {
        return true;
    }
    const char *text = w->in->values[OPTION_RAMP].text;
    char *end = NULL;
    double from = isdigit((unsigned char)text[0]) ? strtod(text, &end) : 0;
    double to = 0;
    /* "100..2000": strtod takes "100." of it */
    const char *dots = strstr(text, "..");
    if (dots != NULL && isdigit((unsigned char)dots[2]) && end != NULL && end <= dots + 1) {
        to = strtod(dots + 2, &end);
    }
    if (dots == NULL || end == NULL || *end != '\0' || !(from >= 1) || !(to > from) ||
        !(to <= rate_max)) {
        return false;
    }
    *ramp = (load_ramp){.from = from, .to = to, .steps = STEPS_DEFAULT};
    return true;
}

static brisk_exit read_numbers(work *w)
{
    load_plan *plan = &w->run.plan;
    uint64_t rate = (uint64_t)rate_default;
    uint64_t connections = 50;
    uint64_t threads = 1;
    uint64_t pipeline = 1;
    uint64_t steps = STEPS_DEFAULT;
    plan->timeout_ns = 5 * load_second_ns;
    plan->seed = 1;
    w->run.warmup_ns = load_second_ns / 2;
    if (!read_ramp(w)) {
        return wrong(w, "--ramp: two rates, as in 1000..50000");
    }
    w->run.duration_ns = (w->report.ramp.from > 0 ? 3 : 10) * load_second_ns;
    plan->users = is_set(w, OPTION_USERS);
    int how = plan->users ? OPTION_USERS : OPTION_CONNECTIONS;
    bool good = number(w, OPTION_RATE, 1, (uint64_t)rate_max, &rate) &&
                number(w, how, 1, LOAD_CONNECTIONS_MAX, &connections) &&
                number(w, OPTION_THREADS, 1, LOAD_THREADS_MAX, &threads) &&
                number(w, OPTION_PIPELINE, 1, LOAD_PIPELINE_MAX, &pipeline) &&
                number(w, OPTION_STEPS, 2, LOAD_STEPS_MAX - 8, &steps) &&
                number(w, OPTION_DURATION, 1000000, duration_max_ns, &w->run.duration_ns) &&
                number(w, OPTION_WARMUP, 0, duration_max_ns, &w->run.warmup_ns) &&
                number(w, OPTION_TIMEOUT, 1000000, duration_max_ns, &plan->timeout_ns) &&
                number(w, OPTION_THINK, 0, duration_max_ns, &plan->think_ns) &&
                number(w, OPTION_P99, 1, duration_max_ns, &w->report.ramp.p99_limit_ns) &&
                number(w, OPTION_SEED, 0, UINT64_MAX, &plan->seed);
    if (!good) {
        return BRISK_EXIT_USAGE;
    }
    if (plan->users && (is_set(w, OPTION_RATE) || is_set(w, OPTION_RAMP) ||
                        is_set(w, OPTION_CONNECTIONS) || pipeline > 1)) {
        return wrong(w, "--users have a connection each, and no --rate, --ramp or --pipeline");
    }
    if (is_set(w, OPTION_RATE) && is_set(w, OPTION_RAMP)) {
        return wrong(w, "choose --rate or --ramp");
    }
    plan->connections = (uint32_t)connections;
    plan->threads = (uint32_t)(threads < connections ? threads : connections);
    plan->pipeline = (uint32_t)pipeline;
    w->report.ramp.steps = (uint32_t)steps;
    w->rate = (double)rate;
    return BRISK_EXIT_OK;
}

static brisk_exit read_keys(work *w)
{
    uint64_t count = 100000;
    uint64_t size = 100;
    double skew = 0;
    if (!number(w, OPTION_KEYS, 1, UINT64_C(1) << 52, &count) ||
        !number(w, OPTION_SIZE, 0, LOAD_VALUE_MAX, &size)) {
        return BRISK_EXIT_USAGE;
    }
    if (is_set(w, OPTION_DISTRIBUTION)) {
        const char *text = w->in->values[OPTION_DISTRIBUTION].text;
        char *end = NULL;
        if (strcmp(text, "zipf") == 0) {
            skew = 0.99;
        } else if (strncmp(text, "zipf:", 5) == 0 && isdigit((unsigned char)text[5])) {
            skew = strtod(text + 5, &end);
            if (*end != '\0' || !(skew > 0) || !(skew <= 10)) {
                return wrong(w, "--distribution: the exponent of zipf is between 0 and 10");
            }
        } else if (strcmp(text, "uniform") != 0) {
            return wrong(w, "--distribution: uniform, zipf, or zipf:EXPONENT");
        }
    }
    load_keys_init(&w->requests.keys, count, skew);
    char *value = brisk_arena_alloc(w->arena, size + 1);
    if (value == NULL) {
        return failed(w, BRISK_ERR_NOMEM, &(brisk_errinfo){.text = "out of memory"});
    }
    brisk_rng rng; /* not one byte again and again: that is compressed, and answered faster */
    brisk_rng_init(&rng, w->run.plan.seed);
    for (uint64_t i = 0; i < size; i++) {
        value[i] = (char)('!' + 1 + brisk_rng_below(&rng, 90));
    }
    w->requests.value = value;
    w->requests.value_size = size;
    return BRISK_EXIT_OK;
}

/* --- requests ----------------------------------------------------------------------------- */

static brisk_err read_commands(work *w, brisk_errinfo *info)
{
    static const char *const usual[] = {"GET key:{n}"};
    const brisk_option_list *list = &w->in->lists[OPTION_COMMAND];
    const char *const *texts = list->count > 0 ? list->texts : usual;
    uint32_t count = list->count > 0 ? list->count : 1;
    if (count > LOAD_TEMPLATES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "more than %d commands",
                                 LOAD_TEMPLATES_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        load_template *t = &w->requests.templates[i];
        char **words = NULL;
        brisk_err err = bench_split(w->arena, texts[i], &words, &t->count);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "--command '%.60s': %s", texts[i],
                                     brisk_err_message(err));
        }
        t->text = texts[i];
        t->words = brisk_arena_calloc(w->arena, t->count, sizeof *t->words);
        err = t->words != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
        for (uint32_t k = 0; k < t->count && err == BRISK_OK; k++) {
            err = load_word_parse(w->arena, words[k], &t->words[k], info);
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    w->requests.count = count;
    return BRISK_OK;
}

static bool is_token(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("!#$%&'*+-.^_`|~", *c) == NULL) {
            return false;
        }
    }
    return text[0] != '\0' && strlen(text) < 32;
}

static bool is_header(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 127) {
            return false;
        }
    }
    const char *colon = strchr(text, ':');
    return colon != NULL && colon != text && text[0] != ' ' &&
           strncasecmp(text, "content-length:", 15) != 0 &&
           strncasecmp(text, "transfer-encoding:", 18) != 0;
}

/* " HTTP/1.1\r\nHost: ...\r\n" and the user's lines; no template is looked for in it. */
static brisk_err http_head(work *w, load_word *ret, brisk_errinfo *info)
{
    const brisk_option_list *headers = &w->in->lists[OPTION_HEADER];
    bool v6 = strchr(w->target.host, ':') != NULL;
    bool has_host = false;
    char *head = brisk_arena_alloc(w->arena, HEAD_MAX);
    load_piece *piece = brisk_arena_calloc(w->arena, 1, sizeof *piece);
    if (head == NULL || piece == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        if (!is_header(headers->texts[i])) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "--header: 'Name: value', and no length of the body");
        }
        has_host = has_host || strncasecmp(headers->texts[i], "host:", 5) == 0;
    }
    size_t size = (size_t)snprintf(head, HEAD_MAX, " HTTP/1.1\r\n");
    if (!has_host) {
        size += (size_t)snprintf(head + size, HEAD_MAX - size, "Host: %s%s%s:%s\r\n", v6 ? "[" : "",
                                 w->target.host, v6 ? "]" : "", w->target.port);
    }
    for (uint32_t i = 0; i < headers->count && size < HEAD_MAX; i++) {
        size += (size_t)snprintf(head + size, HEAD_MAX - size, "%s\r\n", headers->texts[i]);
    }
    if (size >= HEAD_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "headers of more than %d bytes", HEAD_MAX);
    }
    *piece = (load_piece){.kind = LOAD_TEXT, .text = head, .size = size};
    *ret = (load_word){.pieces = piece, .count = 1};
    return BRISK_OK;
}

static brisk_err read_http(work *w, brisk_errinfo *info)
{
    load_template *t = &w->requests.templates[0];
    const char *body = is_set(w, OPTION_BODY) ? w->in->values[OPTION_BODY].text : "";
    w->requests.method = is_set(w, OPTION_METHOD) ? w->in->values[OPTION_METHOD].text
                         : body[0] != '\0'        ? "POST"
                                                  : "GET";
    if (!is_token(w->requests.method) || strcmp(w->requests.method, "CONNECT") == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "--method: not a method of HTTP");
    }
    t->text = w->target.path;
    t->count = 3;
    t->words = brisk_arena_calloc(w->arena, 3, sizeof *t->words);
    if (t->words == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    brisk_err err = load_word_parse(w->arena, w->target.path, &t->words[0], info);
    if (err == BRISK_OK) {
        err = http_head(w, &t->words[1], info);
    }
    if (err == BRISK_OK) {
        err = load_word_parse(w->arena, body, &t->words[2], info);
    }
    w->requests.count = 1;
    return err;
}

static brisk_err read_password(work *w, brisk_errinfo *info)
{
    if (!is_set(w, OPTION_PASSWORD_FILE)) {
        return BRISK_OK;
    }
    const char *path = w->in->values[OPTION_PASSWORD_FILE].text;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    ssize_t size = read(fd, w->password, sizeof w->password - 1);
    int os_errno = errno;
    (void)close(fd);
    if (size < 0) {
        return brisk_errinfo_set_errno(info, os_errno, "%s", path);
    }
    w->password[size] = '\0';
    w->password[strcspn(w->password, "\r\n")] = '\0';
    w->run.plan.password = w->password;
    return BRISK_OK;
}

static brisk_exit read_target(work *w)
{
    brisk_errinfo info = {0};
    brisk_err err = load_target_parse(w->in->argv[0], &w->target, &info);
    if (err != BRISK_OK) {
        return failed(w, err, &info);
    }
    static const int http_only[] = {OPTION_METHOD, OPTION_HEADER, OPTION_BODY};
    static const int resp_only[] = {OPTION_COMMAND, OPTION_PIPELINE, OPTION_PASSWORD_FILE};
    for (size_t i = 0; i < sizeof http_only / sizeof http_only[0]; i++) {
        if (is_set(w, w->target.resp ? http_only[i] : resp_only[i])) {
            (void)fprintf(w->in->err, "brisk: bench load: --%s is of %s\n",
                          options[w->target.resp ? http_only[i] : resp_only[i]].name,
                          w->target.resp ? "http" : "resp");
            return BRISK_EXIT_USAGE;
        }
    }
    err = w->target.resp ? read_commands(w, &info) : read_http(w, &info);
    if (err == BRISK_OK) {
        err = read_password(w, &info);
    }
    if (err == BRISK_OK) {
        err = load_target_resolve(&w->target, is_set(w, OPTION_REMOTE_OK), &info);
    }
    return err == BRISK_OK ? BRISK_EXIT_OK : failed(w, err, &info);
}

/* --- running ------------------------------------------------------------------------------ */

/* As many files as connections, and some. */
static void allow_files(uint32_t connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < connections + 64) {
        limit.rlim_cur = limit.rlim_max < connections + 64 ? limit.rlim_max : connections + 64;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static brisk_exit run_plan(work *w)
{
    load_run *run = &w->run;
    run->workers = brisk_arena_calloc(w->arena, run->plan.threads, sizeof *run->workers);
    brisk_errinfo info = {.text = "out of memory"};
    brisk_err err = run->workers != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (uint32_t i = 0; i < run->plan.threads && err == BRISK_OK; i++) {
        err = load_worker_create(&run->workers[i], &run->plan, i);
        if (err != BRISK_OK) {
            (void)brisk_errinfo_set(&info, err, "%s", brisk_err_message(err));
        }
    }
    if (err == BRISK_OK) {
        err = load_run_all(run, w->rate, &w->report, &info);
    }
    for (uint32_t i = 0; run->workers != NULL && i < run->plan.threads; i++) {
        load_worker_destroy(&run->workers[i]);
    }
    if (err != BRISK_OK) {
        return failed(w, err, &info);
    }
    if (is_set(w, OPTION_JSON)) {
        return load_print_json(w->in->out, &w->report);
    }
    load_print_text(w->in->out, &w->report);
    return BRISK_EXIT_OK;
}

static brisk_exit run_work(work *w)
{
    load_plan *plan = &w->run.plan;
    brisk_exit status = read_numbers(w);
    status = status == BRISK_EXIT_OK ? read_keys(w) : status;
    status = status == BRISK_EXIT_OK ? read_target(w) : status;
    if (status != BRISK_EXIT_OK) {
        return status;
    }
    brisk_engine *engine;
    if (w->in->engine(w->in, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    w->report.knobs = brisk_engine_knobs(engine);
    allow_files(plan->connections);
    plan->target = &w->target;
    plan->requests = &w->requests;
    plan->alloc = brisk_alloc_libc();
    w->report.plan = plan;
    w->report.address = w->in->argv[0];
    if (!w->in->quiet && isatty(fileno(w->in->err)) == 1) {
        w->run.progress = w->in->err;
    }
    sigset_t signals;
    sigset_t before;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &before);
    w->run.signals = &signals;
    status = run_plan(w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == BRISK_EXIT_OK && w->report.steps[0].counts.answered == 0) {
        status = BRISK_EXIT_FAILED; /* nothing was measured */
    }
    return status;
}

static brisk_exit run(const brisk_invocation *invocation)
{
    brisk_arena *arena = NULL;
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &arena);
    work *w = err == BRISK_OK ? brisk_arena_calloc(arena, 1, sizeof *w) : NULL;
    brisk_exit status = BRISK_EXIT_FAILED;
    if (w == NULL) {
        (void)fprintf(invocation->err, "brisk: bench load: out of memory\n");
    } else {
        w->in = invocation;
        w->arena = arena;
        status = run_work(w);
    }
    brisk_arena_destroy(arena);
    return status;
}

const brisk_command load_command = {
    .name = "load",
    .group = "Measure",
    .synopsis =
        "http://HOST:PORT/PATH|resp://HOST:PORT[/DB] [--rate N | --users N | --ramp FROM..TO]",
    .summary = "put a server under load, and find where it stops following",
    .description = "With --rate (the default: 1000 a second) requests are due at fixed times, "
                   "whether the server "
                   "keeps up or not, and latency counts from when a request was due: a stall of a "
                   "second is seen by "
                   "all requests that would have come in it.  With --users each user waits for its "
                   "answer before "
                   "it asks again, as wrk and redis-benchmark do; a stall then hides itself.\n\n"
                   "--ramp raises the rate in equal ratios until throughput does not follow, p99 "
                   "leaves, or errors "
                   "come, and then looks closer: the knee lies between the last good and the first "
                   "bad rate.\n\n"
                   "In commands, paths and bodies {n} is a key's number and {v} a value of --size "
                   "bytes.  Each "
                   "connection draws its own keys.  Errors, timeouts and what could never be sent "
                   "are counted apart "
                   "from latency.  The report says how late the generator itself was, and when it "
                   "was the limit.\n\n"
                   "Only this machine's servers are loaded, unless --remote-ok is given.",
    .examples =
        "brisk bench load resp://127.0.0.1:6380 --rate 20000\tGET key:{n} of 100,000 keys\n"
        "brisk bench load resp://127.0.0.1:6380 --command 'SET key:{n} {v}' --size 1KiB "
        "--distribution "
        "zipf\twrites, some keys far more often than others\n"
        "brisk bench load http://127.0.0.1:8080/item/{n} --ramp 1000..50000\twhere is the knee?\n"
        "brisk bench load http://127.0.0.1:8080/ --users 50 --duration 30s --json\tclosed loop\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
