/*
 * config.c -- the engine's knobs, the files and flags that set them, and the knobs of modules.
 *
 * A configuration file may set a module's knobs before anybody needs the module.  Then the
 * module's manifest declares them: `declared` stands in the registry, and when the module is
 * loaded its own declaration is joined to it, so that its `changed` is told from then on:
 *
 *     registry ──► declared.knob (from the manifest) ── changed ──► declared.real->changed
 *
 * Threads: creation is one thread's; modules are joined under the engine's registry lock.
 */
#include "engine/internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <brisk/grade.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "base/knob_reload.h"
#include "engine/module.h"

struct engine_declared {
    struct engine_declared *next;
    brisk_knob knob;
    const brisk_knob *_Atomic real; /* NULL until the module is loaded */
};

static void log_level_changed(const brisk_knob *knob, uint64_t value, const char *text)
{
    (void)knob;
    (void)text;
    brisk_log_set_level((brisk_log_level)value);
}

static const brisk_knob engine_knobs[] = {
    {.name = "cache.memory.bytes",
     .summary = "most bytes of the memory tier",
     .type = BRISK_KNOB_BYTES,
     .min = 65536,
     .max = UINT64_C(1) << 40,
     .def = 64 * UINT64_C(1048576)},
    {.name = "cache.memory.max",
     .summary = "how far cache.target_hit_rate may grow the memory tier; 0 means not at all",
     .type = BRISK_KNOB_BYTES,
     .max = UINT64_C(1) << 40},
    {.name = "cache.target_hit_rate",
     .summary = "percent of requests that the memory tier is sized to answer; 0: its size stays",
     .type = BRISK_KNOB_U64,
     .max = 99},
    {.name = "cache.size.mode",
     .summary = "how that size is found: curve (of miss ratios), or rule (grow below 70 %, shrink "
                "above 95 %)",
     .type = BRISK_KNOB_TEXT,
     .def_text = "curve"},
    {.name = "cache.memory.entries",
     .summary = "most entries of the memory tier; 0 means as many as fit",
     .type = BRISK_KNOB_U64,
     .max = UINT64_C(1) << 40,
     .def = 0},
    {.name = "cache.memory.policy",
     .summary = "what the memory tier drops first",
     .type = BRISK_KNOB_TEXT,
     .def_text = "auto"},
    {.name = "cache.disk.enabled",
     .summary = "keep answers on disk",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "cache.disk.path",
     .summary = "folder of the disk tier; empty means $XDG_CACHE_HOME/brisk",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.disk.bytes",
     .summary = "most bytes of the disk tier",
     .type = BRISK_KNOB_BYTES,
     .min = 65536,
     .max = UINT64_C(1) << 50,
     .def = 4096 * UINT64_C(1048576)},
    {.name = "cache.disk.zstd_level",
     .summary = "compression of the disk tier; 0 means none",
     .type = BRISK_KNOB_U64,
     .max = 19,
     .def = 1},
    {.name = "cache.record.path",
     .summary = "record what the cache is asked for in this file; empty means no recording",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.record.keys",
     .summary = "record the keys too, not only their hashes",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 0},
    {.name = "cache.record.bytes",
     .summary = "most bytes of a recording",
     .type = BRISK_KNOB_BYTES,
     .min = 4096,
     .max = UINT64_C(1) << 40,
     .def = 1024 * UINT64_C(1048576)},
    {.name = "cache.predict.enabled",
     .summary = "bring what is expected next from the farther tiers into memory",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 0},
    {.name = "cache.predict.probability",
     .summary = "percent above which a key is expected next",
     .type = BRISK_KNOB_U64,
     .min = 50,
     .max = 99,
     .def = 70},
    {.name = "cache.predict.depth",
     .summary = "requests to look ahead",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = BRISK_PREDICT_DEPTH_MAX,
     .def = 4},
    {.name = "cache.predict.loads",
     .summary = "most keys that are brought at a time",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = BRISK_PREFETCH_LOADS_MAX,
     .def = 4},
    {.name = "cache.predict.bytes",
     .summary = "memory for what followed what",
     .type = BRISK_KNOB_BYTES,
     .min = 131072,
     .max = UINT64_C(1) << 34,
     .def = 16 * UINT64_C(1048576)},
    {.name = "cache.disk.codec",
     .summary = "how the disk tier compresses: auto, plain, zstd, lz4, brotli, deflate or gzip",
     .type = BRISK_KNOB_TEXT,
     .def_text = "auto"},
    {.name = "cache.write",
     .summary = "when the tiers behind memory get an entry: now, or behind the caller's back",
     .type = BRISK_KNOB_TEXT,
     .def_text = "now"},
    {.name = "cache.ttl.mode",
     .summary =
         "how long loaders believe an answer: off (as they say themselves), adaptive (by what "
         "is found changed), fixed, use (longer when used) or hit_rate",
     .type = BRISK_KNOB_TEXT,
     .def_text = "off"},
    {.name = "cache.ttl.min",
     .summary = "the shortest such life",
     .type = BRISK_KNOB_DURATION,
     .min = 1000000,
     .max = 366 * UINT64_C(86400000000000),
     .def = UINT64_C(1000000000)},
    {.name = "cache.ttl.max",
     .summary = "the longest",
     .type = BRISK_KNOB_DURATION,
     .min = 1000000,
     .max = 366 * UINT64_C(86400000000000),
     .def = UINT64_C(86400000000000)},
    {.name = "cache.ttl.first",
     .summary = "what the modes but adaptive begin with",
     .type = BRISK_KNOB_DURATION,
     .min = 1000000,
     .max = 366 * UINT64_C(86400000000000),
     .def = UINT64_C(60000000000)},
    {.name = "cache.ttl.staleness",
     .summary = "answers of 1,000 that may be stale, where adaptive aims",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = 999,
     .def = 10},
    {.name = "cache.ttl.bytes",
     .summary = "memory for what is known of keys' changes, 32 bytes each",
     .type = BRISK_KNOB_BYTES,
     .min = 16384,
     .max = UINT64_C(1) << 34,
     .def = 4 * UINT64_C(1048576)},
    {.name = "cache.breaker.enabled",
     .summary = "leave tiers that fail or are slow alone for a while",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "cache.breaker.errors",
     .summary = "failed calls in a row after which a tier is left alone",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = 1000,
     .def = 5},
    {.name = "cache.breaker.percent",
     .summary = "share of the last 64 calls that failed or were slow, likewise",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = 100,
     .def = 50},
    {.name = "cache.breaker.slow_ms",
     .summary = "a call to a tier that takes longer is slow",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = 60000,
     .def = 100},
    {.name = "cache.breaker.open_ms",
     .summary = "how long a tier is left alone at first",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = 3600000,
     .def = 1000},
    {.name = "cache.shared.url",
     .summary = "tiers that other machines share, nearest first: redis://, rediss://, "
                "redis-cluster://, redis+unix://, http://, https://",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.shared.key_file",
     .summary = "file with the key that seals what goes to shared tiers; 16 bytes or more",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.shared.unsealed",
     .summary = "without a key: trust whoever can write to the shared tiers",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 0},
    {.name = "cache.shared.password_file",
     .summary = "file with the password of Redis; instead of one in the URL",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.shared.token_file",
     .summary = "file with the bearer token for HTTP",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.shared.prefix",
     .summary = "begins every key in Redis",
     .type = BRISK_KNOB_TEXT,
     .def_text = "brisk"},
    {.name = "cache.shared.timeout",
     .summary = "longest time for one operation of a shared tier",
     .type = BRISK_KNOB_DURATION,
     .min = 1000000,
     .max = UINT64_C(60000000000),
     .def = 250000000},
    {.name = "cache.shared.connect_timeout",
     .summary = "longest time for connecting to a shared tier",
     .type = BRISK_KNOB_DURATION,
     .min = 1000000,
     .max = UINT64_C(60000000000),
     .def = 500000000},
    {.name = "cache.shared.connections",
     .summary = "connections to each Redis server; threads share them",
     .type = BRISK_KNOB_U64,
     .min = 1,
     .max = 16,
     .def = 2},
    {.name = "cache.shared.value_bytes",
     .summary = "larger values are not given to shared tiers",
     .type = BRISK_KNOB_BYTES,
     .min = 1,
     .max = UINT64_C(1) << 29,
     .def = 8 * UINT64_C(1048576)},
    {.name = "cache.shared.zstd_level",
     .summary = "compression of what goes to shared tiers; 0 means none",
     .type = BRISK_KNOB_U64,
     .max = 19,
     .def = 1},
    {.name = "cache.shared.announce",
     .summary = "which stored keys other machines are told of: replaced, all or none",
     .type = BRISK_KNOB_TEXT,
     .def_text = "replaced"},
    {.name = "cache.shared.read_only",
     .summary = "store nothing in HTTP tiers",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 0},
    {.name = "cache.shared.purge",
     .summary = "send PURGE to HTTP tiers when an entry changes",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 0},
    {.name = "cache.shared.tls_ca",
     .summary = "certificates that sign those of shared tiers; empty means the system's",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.shared.tls_cert",
     .summary = "certificate to show to shared tiers",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "cache.shared.tls_key", .summary = "its key", .type = BRISK_KNOB_TEXT, .def_text = ""},
    {.name = "engine.workers",
     .summary = "worker threads; 0 means as many as processors may be used",
     .type = BRISK_KNOB_U64,
     .max = BRISK_EXECUTOR_WORKERS_MAX,
     .def = 0},
    {.name = "history.runs",
     .summary = "keep what jobs of the program took, for `brisk history`",
     .type = BRISK_KNOB_BOOL,
     .max = 1,
     .def = 1},
    {.name = "history.days",
     .summary = "days after which the history forgets; 0 means never",
     .type = BRISK_KNOB_U64,
     .max = 36500,
     .def = 365},
    {.name = "history.rows",
     .summary = "rows that each table of the history keeps; 0 means all",
     .type = BRISK_KNOB_U64,
     .max = UINT64_C(1) << 32,
     .def = 100000},
    {.name = "engine.stage_log",
     .summary = "append every job's stage table to this file, a line of JSON each; empty: none",
     .type = BRISK_KNOB_TEXT,
     .def_text = ""},
    {.name = "log.level",
     .summary = "what is logged: 0 errors, 1 warnings, 2 more, 3 everything",
     .type = BRISK_KNOB_U64,
     .max = BRISK_LOG_DEBUG,
     .def = BRISK_LOG_WARNING,
     .changed = log_level_changed},
};

/* --- knobs of modules --------------------------------------------------------------------- */

static void declared_changed(const brisk_knob *knob, uint64_t value, const char *text)
{
    const struct engine_declared *declared =
        (const void *)((const char *)knob - offsetof(struct engine_declared, knob));
    /* Acquire, with the release in join: the module's declaration is complete. */
    const brisk_knob *real = atomic_load_explicit(&declared->real, memory_order_acquire);
    if (real != NULL && real->changed != NULL) {
        real->changed(real, value, text);
    }
}

/* A field of a checked manifest: it is there, and numbers are numbers. */
static uint64_t number_of(const brisk_yaml_node *node, const char *key)
{
    const brisk_yaml_node *field = brisk_yaml_get(node, key);
    uint64_t value = 0;
    if (field == NULL || brisk_knob_parse(BRISK_KNOB_U64, field->text, &value) != BRISK_OK) {
        return 0;
    }
    return value;
}

static const char *text_of(brisk_arena *arena, const brisk_yaml_node *node, const char *key)
{
    const brisk_yaml_node *field = brisk_yaml_get(node, key);
    const char *text = field != NULL ? field->text : "";
    return brisk_arena_copy(arena, text, strlen(text));
}

static brisk_err declare(engine_config *config, const brisk_yaml_node *node, brisk_errinfo *info)
{
    struct engine_declared *declared = brisk_arena_calloc(config->arena, 1, sizeof *declared);
    if (declared == NULL) {
        return BRISK_ERR_NOMEM;
    }
    declared->knob = (brisk_knob){
        .name = text_of(config->arena, node, "name"),
        .summary = text_of(config->arena, node, "summary"),
        .type = (brisk_knob_type)number_of(node, "type"),
        .min = number_of(node, "min"),
        .max = number_of(node, "max"),
        .def = number_of(node, "def"),
        .def_text = text_of(config->arena, node, "def_text"),
        .changed = declared_changed,
    };
    const brisk_knob *knob = &declared->knob;
    if (knob->name == NULL || knob->summary == NULL || knob->def_text == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = brisk_knobs_register(config->knobs, knob, 1, info);
    if (err == BRISK_OK) {
        declared->next = config->declared;
        config->declared = declared;
    }
    return err;
}

static brisk_err declare_all(engine_config *config, const brisk_yaml_node *root,
                             brisk_errinfo *info)
{
    if (config->arena == NULL) {
        brisk_arena_opts opts = {.chunk_bytes = ENGINE_ARENA_BYTES, .alloc = config->alloc};
        brisk_err err = brisk_arena_create(&opts, &config->arena);
        if (err != BRISK_OK) {
            return err;
        }
    }
    const brisk_yaml_node *knobs = brisk_yaml_get(root, "knobs");
    brisk_err err = BRISK_OK;
    for (const brisk_yaml_node *n = knobs != NULL ? knobs->child : NULL;
         n != NULL && err == BRISK_OK; n = n->next) {
        err = declare(config, n, info);
    }
    return err;
}

/* Somebody sets `section`.x: if a module of that name says in its manifest that it has knobs,
 * they are known from now on. */
static brisk_err resolve(void *ctx, const char *section)
{
    engine_config *config = ctx;
    if (config->manifests == NULL) {
        brisk_err err = brisk_manifests_load(config->alloc, &config->manifests);
        if (err != BRISK_OK) {
            return err;
        }
    }
    for (uint32_t i = 0; i < brisk_manifests_count(config->manifests); i++) {
        const brisk_yaml_node *root = brisk_manifests_at(config->manifests, i);
        if (strcmp(brisk_yaml_get(root, "name")->text, section) == 0) {
            brisk_errinfo info = {.text = ""};
            brisk_err err = declare_all(config, root, &info);
            if (err != BRISK_OK && info.text[0] != '\0') {
                brisk_log(BRISK_LOG_WARNING, "engine", "manifest of %s: %s", section, info.text);
            }
            return err;
        }
    }
    return BRISK_ERR_NOT_FOUND;
}

static struct engine_declared *find_declared(const engine_config *config, const char *name)
{
    struct engine_declared *declared = config->declared;
    while (declared != NULL && strcmp(declared->knob.name, name) != 0) {
        declared = declared->next;
    }
    return declared;
}

/* A setting was known by its manifest alone when it was set. */
static brisk_err tell_module(const engine_config *config, const brisk_knob *real)
{
    if (real->type != BRISK_KNOB_TEXT && real->type != BRISK_KNOB_YAML) {
        real->changed(real, brisk_knobs_u64(config->knobs, real->name), NULL);
        return BRISK_OK;
    }
    char *text;
    brisk_err err = brisk_knobs_text_copy(config->knobs, real->name, config->alloc, &text);
    if (err == BRISK_OK) {
        real->changed(real, 0, text);
        config->alloc->release(config->alloc->ctx, text, strlen(text) + 1, 1);
    }
    return err;
}

static brisk_err join(engine_config *config, struct engine_declared *declared,
                      const brisk_knob *real, brisk_errinfo *info)
{
    const brisk_knob *knob = &declared->knob;
    if (knob->type != real->type || knob->min != real->min || knob->max != real->max) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "setting '%s': the manifest is not of this module; rebuild it",
                                 real->name);
    }
    /* Release: see declared_changed. */
    const brisk_knob *before =
        atomic_exchange_explicit(&declared->real, real, memory_order_acq_rel);
    if (before == NULL && real->changed != NULL &&
        brisk_knobs_source(config->knobs, real->name) != BRISK_KNOB_DEFAULT) {
        return tell_module(config, real);
    }
    return BRISK_OK;
}

brisk_err engine_config_module(engine_config *config, const brisk_module *module,
                               brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < module->knob_count && err == BRISK_OK; i++) {
        const brisk_knob *knob = &module->knobs[i];
        struct engine_declared *declared = find_declared(config, knob->name);
        err = declared != NULL ? join(config, declared, knob, info)
                               : brisk_knobs_register(config->knobs, knob, 1, info);
    }
    return err;
}

/* --- files and flags ---------------------------------------------------------------------- */

/* A base folder of the XDG specification: the variable when it is an absolute path, else
 * `fallback` in the home folder; false when there is none. */
static bool xdg_folder(const char *variable, const char *fallback, char path[ENGINE_PATH_MAX])
{
    const char *base = secure_getenv(variable);
    const char *home = secure_getenv("HOME");
    int length = -1;
    if (base != NULL && base[0] == '/') {
        length = snprintf(path, ENGINE_PATH_MAX, "%s/brisk", base);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(path, ENGINE_PATH_MAX, "%s/%s/brisk", home, fallback);
    }
    return length > 0 && length < ENGINE_PATH_MAX;
}

/* Files on their way into a registry: the engine's own, or one that it takes over from later. */
typedef struct loading {
    engine_config *config;
    brisk_knobs *to;
} loading;

static brisk_err resolve_for(void *ctx, const char *section)
{
    const loading *l = ctx;
    brisk_err err = resolve(l->config, section);
    return err == BRISK_OK && l->to != l->config->knobs ? knobs_join(l->to, l->config->knobs, NULL)
                                                        : err;
}

static brisk_err load_file(loading *l, const char *path, brisk_knob_source source,
                           brisk_errinfo *info)
{
    return brisk_config_load(l->to, path, source, resolve_for, l, info);
}

/* A file that need not exist. */
static brisk_err load_optional(loading *l, const char *path, brisk_knob_source source,
                               brisk_errinfo *info)
{
    brisk_err err = load_file(l, path, source, info);
    return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
}

static brisk_err load_files(loading *l, brisk_errinfo *info)
{
    brisk_err err = load_optional(l, "/etc/brisk/brisk.yaml", BRISK_KNOB_SYSTEM_FILE, info);
    char folder[ENGINE_PATH_MAX];
    char path[ENGINE_PATH_MAX];
    if (err == BRISK_OK && xdg_folder("XDG_CONFIG_HOME", ".config", folder)) {
        int length = snprintf(path, sizeof path, "%s/brisk.yaml", folder);
        if (length > 0 && (size_t)length < sizeof path) {
            err = load_optional(l, path, BRISK_KNOB_USER_FILE, info);
        }
    }
    if (err != BRISK_OK) {
        return err;
    }
    return l->config->config_path != NULL
               ? load_file(l, l->config->config_path, BRISK_KNOB_PROJECT_FILE, info)
               : load_optional(l, "brisk.yaml", BRISK_KNOB_PROJECT_FILE, info);
}

/* All files, once more.  Errors leave everything as it is. */
brisk_err engine_config_reload(engine_config *config,
                               void (*tell)(void *ctx, const brisk_knob *knob), void *ctx,
                               brisk_errinfo *info)
{
    loading l = {.config = config};
    brisk_err err = knobs_create_quiet(config->alloc, &l.to);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "out of memory");
    }
    err = knobs_join(l.to, config->knobs, info);
    if (err == BRISK_OK && !config->no_files) {
        err = load_files(&l, info);
    }
    if (err == BRISK_OK) {
        knobs_adopt(config->knobs, l.to, tell, ctx);
    }
    brisk_knobs_destroy(l.to);
    return err;
}

static brisk_err set_flag(engine_config *config, const char *setting, brisk_errinfo *info)
{
    char name[256];
    size_t length = strcspn(setting, "=");
    if (setting[length] != '=' || length == 0 || length >= sizeof name) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "setting '%.200s' is not KNOB=VALUE",
                                 setting);
    }
    memcpy(name, setting, length);
    name[length] = '\0';
    if (brisk_knobs_find(config->knobs, name) == NULL) {
        char section[sizeof name];
        memcpy(section, name, sizeof name);
        section[strcspn(section, ".")] = '\0';
        brisk_err err = resolve(config, section);
        if (err != BRISK_OK && err != BRISK_ERR_NOT_FOUND) {
            return brisk_errinfo_set(info, err, "setting '%s': %s", name, brisk_err_message(err));
        }
    }
    return brisk_knobs_set(config->knobs, name, setting + length + 1, BRISK_KNOB_FLAG, info);
}

static char *copy_path(const brisk_alloc *alloc, const char *path)
{
    size_t size = strlen(path) + 1;
    char *copy = alloc->acquire(alloc->ctx, size, 1);
    return copy != NULL ? memcpy(copy, path, size) : NULL;
}

brisk_err engine_config_init(engine_config *config, const brisk_engine_opts *opts,
                             const brisk_alloc *alloc, brisk_errinfo *info)
{
    *config = (engine_config){.alloc = alloc, .no_files = opts->no_files};
    brisk_err err = brisk_knobs_create(alloc, &config->knobs);
    if (err == BRISK_OK) {
        err = brisk_knobs_register(config->knobs, engine_knobs,
                                   sizeof engine_knobs / sizeof engine_knobs[0], info);
    }
    if (err == BRISK_OK) {
        err = brisk_knobs_register(config->knobs, brisk_grade_knobs, BRISK_GRADE_KNOBS, info);
    }
    if (err == BRISK_OK && opts->config_path != NULL) {
        config->config_path = copy_path(alloc, opts->config_path);
        err = config->config_path != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK && !opts->no_files) {
        err = load_files(&(loading){config, config->knobs}, info);
    }
    for (uint32_t i = 0; i < opts->setting_count && err == BRISK_OK; i++) {
        err = set_flag(config, opts->settings[i], info);
    }
    if (err != BRISK_OK) {
        engine_config_deinit(config);
    }
    return err;
}

void engine_config_deinit(engine_config *config)
{
    brisk_knobs_destroy(config->knobs);
    brisk_manifests_destroy(config->manifests);
    brisk_arena_destroy(config->arena); /* after the registry, which borrows from it */
    if (config->config_path != NULL) {
        config->alloc->release(config->alloc->ctx, config->config_path,
                               strlen(config->config_path) + 1, 1);
    }
    *config = (engine_config){.alloc = config->alloc};
}

void engine_config_cache_path(const engine_config *config, char path[ENGINE_PATH_MAX])
{
    brisk_knobs_text(config->knobs, "cache.disk.path", path, ENGINE_PATH_MAX);
    if (path[0] == '\0' && !xdg_folder("XDG_CACHE_HOME", ".cache", path)) {
        path[0] = '\0';
    }
}
