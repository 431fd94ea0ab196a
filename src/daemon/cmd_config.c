/*
 * cmd_config.c -- CONFIG GET, SET, RESETSTAT, REWRITE.
 */
#include "daemon/config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "daemon/glob.h"

enum { SETTINGS_MAX = 64 };

struct config {
    const brisk_alloc *alloc;
    uint32_t count;
    char values[][CONFIG_VALUE_MAX]; /* as set last, of each entry */
};

brisk_err config_create(server *s, struct config **ret)
{
    size_t bytes = sizeof(struct config) + (size_t)config_entry_count * CONFIG_VALUE_MAX;
    struct config *config = s->alloc->acquire(s->alloc->ctx, bytes, _Alignof(struct config));
    if (config == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(config, 0, bytes);
    config->alloc = s->alloc;
    config->count = config_entry_count;
    for (uint32_t i = 0; i < config_entry_count; i++) {
        const char *def = config_entries[i].def != NULL ? config_entries[i].def : "";
        if (strcmp(config_entries[i].name, "maxmemory-policy") == 0) {
            def = brisk_memory_policy(s->keys.tier);
        }
        size_t size = strcspn(def, ":"); /* of "auto:lru" what was asked for */
        (void)snprintf(config->values[i], CONFIG_VALUE_MAX, "%.*s", (int)size, def);
    }
    *ret = config;
    return BRISK_OK;
}

void config_destroy(struct config *config)
{
    if (config != NULL) {
        size_t bytes = sizeof *config + (size_t)config->count * CONFIG_VALUE_MAX;
        config->alloc->release(config->alloc->ctx, config, bytes, _Alignof(struct config));
    }
}

void config_read(const server *s, uint32_t index, char value[CONFIG_VALUE_MAX])
{
    const config_entry *entry = &config_entries[index];
    if (entry->read != NULL) {
        entry->read(s, value);
    } else {
        (void)snprintf(value, CONFIG_VALUE_MAX, "%s", s->config->values[index]);
    }
}

/* --- GET ---------------------------------------------------------------------------------- */

static bool is_pattern(resp_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (strchr("*?[", text.data[i]) != NULL && text.data[i] != '\0') {
            return true;
        }
    }
    return false;
}

static bool is_asked_for(const config_entry *entry, const resp_bytes *argv, uint32_t argc)
{
    resp_bytes name = {.data = (const unsigned char *)entry->name, .size = strlen(entry->name)};
    for (uint32_t i = 2; i < argc; i++) {
        if (is_pattern(argv[i])
                ? (entry->flags & CONFIG_HIDDEN) == 0 && glob_match(argv[i], name, true)
                : resp_bytes_equal_nocase(argv[i], entry->name)) {
            return true;
        }
    }
    return false;
}

static void config_get(client *c, const resp_bytes *argv, uint32_t argc)
{
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    size_t count = 0;
    for (uint32_t i = 0; i < config_entry_count; i++) {
        char value[CONFIG_VALUE_MAX];
        if (is_asked_for(&config_entries[i], argv, argc)) {
            config_read(c->server, i, value);
            resp_put_text(out, config_entries[i].name);
            resp_put_text(out, value);
            count++;
        }
    }
    resp_put_count_before(out, mark, RESP_MAP, count);
}

/* --- SET ---------------------------------------------------------------------------------- */

typedef struct setting {
    uint32_t index;
    char value[CONFIG_VALUE_MAX];
    char before[CONFIG_VALUE_MAX];
} setting;

static bool fail(char error[CONFIG_ERROR_MAX], const char *why)
{
    (void)snprintf(error, CONFIG_ERROR_MAX, "%s", why);
    return false;
}

/* "10mb" in bytes; k, m, g are powers of 1000, kb, mb, gb of 1024. */
static bool parse_bytes(const char *text, int64_t *ret)
{
    static const struct {
        const char *unit;
        int64_t factor;
    } units[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1024},
                 {"m", 1000000}, {"mb", 1048576}, {"g", 1000000000}, {"gb", 1073741824}};
    size_t digits = strspn(text, "0123456789");
    resp_bytes unit = {.data = (const unsigned char *)text + digits, .size = strlen(text) - digits};
    int64_t value;
    if (!resp_parse_i64((const unsigned char *)text, digits, &value)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (resp_bytes_equal_nocase(unit, units[i].unit)) {
            return !__builtin_mul_overflow(value, units[i].factor, ret);
        }
    }
    return false;
}

static bool check_number(const config_entry *entry, int64_t value, char error[CONFIG_ERROR_MAX])
{
    int64_t max = entry->max != 0 ? entry->max : INT64_MAX;
    if (value < entry->min || value > max) {
        (void)snprintf(error, CONFIG_ERROR_MAX,
                       "argument must be between %" PRId64 " and %" PRId64 " inclusive", entry->min,
                       max);
        return false;
    }
    return true;
}

static bool check_percent(const char *value, char error[CONFIG_ERROR_MAX])
{
    size_t size = strlen(value);
    int64_t number;
    if (size > 0 && value[size - 1] == '%') {
        if (!resp_parse_i64((const unsigned char *)value, size - 1, &number) || number < 0) {
            return fail(error, "argument must be a memory or percent value");
        }
        return number <= 100 || fail(error, "percentage argument must be less or equal to 100");
    }
    return parse_bytes(value, &number) || fail(error, "argument must be a memory or percent value");
}

static bool check_word(const config_entry *entry, const char *value, char error[CONFIG_ERROR_MAX])
{
    for (const char *const *word = entry->words; *word != NULL; word++) {
        if (strcasecmp(*word, value) == 0) {
            return true;
        }
    }
    return fail(error, "argument(s) must be one of the known words");
}

/* Is it a value for the entry?  Numbers become plain. */
static bool check_value(const config_entry *entry, char value[CONFIG_VALUE_MAX],
                        char error[CONFIG_ERROR_MAX])
{
    int64_t number;
    switch (entry->kind) {
    case CONFIG_NUMBER:
        return resp_parse_i64((const unsigned char *)value, strlen(value), &number)
                   ? check_number(entry, number, error)
                   : fail(error, "argument couldn't be parsed into an integer");
    case CONFIG_BYTES:
        if (!parse_bytes(value, &number)) {
            return fail(error, "argument must be a memory value");
        }
        (void)snprintf(value, CONFIG_VALUE_MAX, "%" PRId64, number);
        return check_number(entry, number, error);
    case CONFIG_PERCENT: return check_percent(value, error);
    case CONFIG_YES_NO:
        return strcasecmp(value, "yes") == 0 || strcasecmp(value, "no") == 0 ||
               fail(error, "argument must be 'yes' or 'no'");
    case CONFIG_WORD: return check_word(entry, value, error);
    case CONFIG_TEXT:
    default: return true;
    }
}

static uint32_t find_entry(resp_bytes name)
{
    uint32_t i = 0;
    while (i < config_entry_count && !resp_bytes_equal_nocase(name, config_entries[i].name)) {
        i++;
    }
    return i;
}

static void set_error(client *c, const char *name, const char *why)
{
    reply_error(c, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, why);
}

/* All pairs, checked; false: the error was sent. */
static bool parse_settings(client *c, const resp_bytes *argv, uint32_t argc, setting *list)
{
    char error[CONFIG_ERROR_MAX];
    uint32_t count = (argc - 2) / 2;
    for (uint32_t i = 0; i < count; i++) {
        resp_bytes name = argv[2 + 2 * i];
        resp_bytes value = argv[3 + 2 * i];
        list[i].index = find_entry(name);
        if (list[i].index == config_entry_count) {
            reply_error(c, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                        (int)(name.size < 128 ? name.size : 128), (const char *)name.data);
            return false;
        }
        const config_entry *entry = &config_entries[list[i].index];
        if ((entry->flags & CONFIG_FIXED) != 0) {
            set_error(c, entry->name, "can't set immutable config");
            return false;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (list[j].index == list[i].index) {
                set_error(c, entry->name, "duplicate parameter");
                return false;
            }
        }
        if (value.size >= CONFIG_VALUE_MAX || memchr(value.data, '\0', value.size) != NULL) {
            set_error(c, entry->name, "the value is too long");
            return false;
        }
        memcpy(list[i].value, value.data, value.size);
        list[i].value[value.size] = '\0';
    }
    for (uint32_t i = 0; i < count; i++) {
        const config_entry *entry = &config_entries[list[i].index];
        if (!check_value(entry, list[i].value, error)) {
            set_error(c, entry->name, error);
            return false;
        }
    }
    return true;
}

static void apply_settings(client *c, setting *list, uint32_t count)
{
    server *s = c->server;
    char error[CONFIG_ERROR_MAX];
    for (uint32_t i = 0; i < count; i++) {
        const config_entry *entry = &config_entries[list[i].index];
        config_read(s, list[i].index, list[i].before);
        if (entry->apply == NULL || entry->apply(s, list[i].value, error)) {
            memcpy(s->config->values[list[i].index], list[i].value, CONFIG_VALUE_MAX);
            continue;
        }
        while (i-- > 0) { /* take back what was applied */
            const config_entry *done = &config_entries[list[i].index];
            char ignored[CONFIG_ERROR_MAX];
            if (done->apply != NULL) {
                (void)done->apply(s, list[i].before, ignored);
            }
            memcpy(s->config->values[list[i].index], list[i].before, CONFIG_VALUE_MAX);
        }
        set_error(c, entry->name, error);
        return;
    }
    reply_ok(c);
}

static void config_set(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    uint32_t count = (argc - 2) / 2;
    if (argc % 2 != 0) {
        reply_wrong_arity(c, c->last_command);
        return;
    }
    if (count > SETTINGS_MAX) {
        reply_error(c, "ERR too many parameters");
        return;
    }
    setting *list = s->alloc->acquire(s->alloc->ctx, count * sizeof *list, _Alignof(setting));
    if (list == NULL) {
        reply_error(c, "OOM out of memory");
        return;
    }
    memset(list, 0, count * sizeof *list);
    if (parse_settings(c, argv, argc, list)) {
        apply_settings(c, list, count);
    }
    s->alloc->release(s->alloc->ctx, list, count * sizeof *list, _Alignof(setting));
}

static void config_resetstat(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    (void)argv;
    (void)argc;
    command_table_reset_stats(s->commands);
    for (dict_entry *e = dict_next(&s->errors, NULL); e != NULL; e = dict_next(&s->errors, e)) {
        e->value = NULL; /* a count */
    }
    uint64_t now = s->stats.ops_ns;
    s->stats = (server_stats){
        .ops_ns = now, .expired_shown = s->keys.expired, .evicted_shown = s->keys.evicted};
    atomic_store_explicit(&s->bytes_in, 0, memory_order_relaxed);
    atomic_store_explicit(&s->bytes_out, 0, memory_order_relaxed);
    reply_ok(c);
}

static void config_rewrite(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    reply_error(c, "ERR The server is running without a config file");
}

static void config_help(client *c, const resp_bytes *argv, uint32_t argc)
{
    static const char *const lines[] = {
        "GET <pattern> [<pattern> ...]",
        "    Parameters whose names match, and their values.",
        "SET <parameter> <value> [<parameter> <value> ...]",
        "    Set parameters, all or none.",
        "RESETSTAT",
        "    Count from zero.",
        NULL,
    };
    (void)argv;
    (void)argc;
    reply_help(c, c->last_command->parent, lines);
}

#define SUB(n, what, fn, args, count)                                                              \
    {                                                                                              \
        .name = (n), .summary = (what), .since = "2.0.0", .complexity = "O(N)",                    \
        .synopsis = (args), .run = (fn), .arity = (count),                                         \
        .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,                               \
        .categories = CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS                                         \
    }

static const command subs[] = {
    SUB("get", "The values of parameters", config_get, "parameter [parameter ...]", -3),
    SUB("help", "Shows helpful text", config_help, NULL, 2),
    SUB("resetstat", "Counts from zero", config_resetstat, NULL, 2),
    SUB("rewrite", "Refused: there is no file to write", config_rewrite, NULL, 2),
    SUB("set", "Sets parameters", config_set, "parameter value [parameter value ...]", -4),
};

static const command rows[] = {
    {.name = "config",
     .summary = "A container for commands about parameters",
     .since = "2.0.0",
     .group = "server",
     .complexity = "Depends on subcommand.",
     .subcommands = subs,
     .subcommand_count = sizeof subs / sizeof subs[0],
     .arity = -2,
     .categories = CAT_SLOW},
};

const command_family family_config = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
