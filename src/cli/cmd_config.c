/*
 * cmd_config.c -- `brisk config`: every knob with its value, where that came from, and its range.
 */
#include <inttypes.h>
#include <string.h>

#include <brisk/json.h>
#include <brisk/knob.h>
#include <brisk/text.h>

#include "cli/commands.h"

enum { OPTION_JSON, VALUE_COLUMN = 20 };

static const brisk_option options[] = {
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

static const char *source_name(brisk_knob_source source)
{
    switch (source) {
    case BRISK_KNOB_DEFAULT: return "default";
    case BRISK_KNOB_SYSTEM_FILE: return "system file";
    case BRISK_KNOB_USER_FILE: return "user file";
    case BRISK_KNOB_PROJECT_FILE: return "project file";
    case BRISK_KNOB_ENVIRONMENT: return "environment";
    case BRISK_KNOB_FLAG: return "flag";
    }
    return "?";
}

static const char *type_name(brisk_knob_type type)
{
    switch (type) {
    case BRISK_KNOB_U64: return "number";
    case BRISK_KNOB_BYTES: return "bytes";
    case BRISK_KNOB_DURATION: return "duration";
    case BRISK_KNOB_BOOL: return "switch";
    case BRISK_KNOB_TEXT: return "text";
    case BRISK_KNOB_YAML: return "yaml";
    }
    return "?";
}

/** A number in the largest unit that loses nothing, so that the text can be given back. */
static void format_number(char text[BRISK_TEXT_SHORT_MAX], brisk_knob_type type, uint64_t value)
{
    typedef struct unit {
        uint64_t factor;
        const char *name;
    } unit;
    static const unit bytes[] = {
        {UINT64_C(1) << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}};
    static const unit times[] = {
        {UINT64_C(1000000000), "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    const unit *units = type == BRISK_KNOB_BYTES ? bytes : times;
    if (type == BRISK_KNOB_BOOL) {
        (void)snprintf(text, BRISK_TEXT_SHORT_MAX, "%s", value != 0 ? "on" : "off");
        return;
    }
    for (int i = 0; i < 4 && (type == BRISK_KNOB_BYTES || type == BRISK_KNOB_DURATION); i++) {
        if (value != 0 && value % units[i].factor == 0) {
            (void)snprintf(text, BRISK_TEXT_SHORT_MAX, "%" PRIu64 "%s", value / units[i].factor,
                           units[i].name);
            return;
        }
    }
    (void)snprintf(text, BRISK_TEXT_SHORT_MAX, "%" PRIu64, value);
}

static bool is_text(const brisk_knob *knob)
{
    return knob->type == BRISK_KNOB_TEXT || knob->type == BRISK_KNOB_YAML;
}

static void format_value(char *text, size_t size, const brisk_knobs *knobs, const brisk_knob *knob)
{
    if (is_text(knob)) {
        brisk_knobs_text(knobs, knob->name, text, size);
        return;
    }
    char number[BRISK_TEXT_SHORT_MAX];
    format_number(number, knob->type, brisk_knobs_u64(knobs, knob->name));
    (void)snprintf(text, size, "%s", number);
}

static void print_knob(FILE *out, const brisk_knobs *knobs, const brisk_knob *knob)
{
    char value[BRISK_KNOB_YAML_MAX];
    char range[3 * BRISK_TEXT_SHORT_MAX] = "";
    format_value(value, sizeof value, knobs, knob);
    if (!is_text(knob) && knob->type != BRISK_KNOB_BOOL) {
        char low[BRISK_TEXT_SHORT_MAX];
        char high[BRISK_TEXT_SHORT_MAX];
        format_number(low, knob->type, knob->min);
        format_number(high, knob->type, knob->max);
        (void)snprintf(range, sizeof range, ", %s..%s", low, knob->max == UINT64_MAX ? "" : high);
    }
    (void)fprintf(out, "%-24s %-*s (%s)\n", knob->name, VALUE_COLUMN,
                  value[0] != '\0' ? value : "\"\"",
                  source_name(brisk_knobs_source(knobs, knob->name)));
    (void)fprintf(out, "    %s: %s%s\n", knob->summary, type_name(knob->type), range);
}

static brisk_exit print_json(FILE *out, const brisk_knobs *knobs)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "knobs");
    const brisk_knob *knob;
    for (size_t i = 0; (knob = brisk_knobs_at(knobs, i)) != NULL; i++) {
        bool text = is_text(knob);
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", knob->name);
        brisk_json_str(&json, "summary", knob->summary);
        brisk_json_str(&json, "type", type_name(knob->type));
        brisk_json_str(&json, "source", source_name(brisk_knobs_source(knobs, knob->name)));
        if (text) {
            char value[BRISK_KNOB_YAML_MAX];
            brisk_knobs_text(knobs, knob->name, value, sizeof value);
            brisk_json_str(&json, "value", value);
        } else {
            brisk_json_u64(&json, "value", brisk_knobs_u64(knobs, knob->name));
            brisk_json_u64(&json, "min", knob->min);
            brisk_json_u64(&json, "max", knob->max);
        }
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit print_one(const brisk_invocation *invocation, const brisk_knobs *knobs,
                            const char *name)
{
    const brisk_knob *knob = brisk_knobs_find(knobs, name);
    if (knob != NULL) {
        char value[BRISK_KNOB_YAML_MAX];
        format_value(value, sizeof value, knobs, knob);
        (void)fprintf(invocation->out, "%s\n", value);
        return BRISK_EXIT_OK;
    }
    cli_nearest nearest = {.word = name};
    for (size_t i = 0; (knob = brisk_knobs_at(knobs, i)) != NULL; i++) {
        cli_nearest_try(&nearest, knob->name);
    }
    char quoted[BRISK_TEXT_QUOTED_MAX];
    const char *best = cli_nearest_get(&nearest);
    (void)fprintf(invocation->err, "brisk: no knob '%s'%s%s%s\n", brisk_text_quote(quoted, name),
                  best != NULL ? "; did you mean '" : "", best != NULL ? best : "",
                  best != NULL ? "'?" : "");
    return BRISK_EXIT_USAGE;
}

/** Every module's knobs are shown, so every module is loaded; one that cannot be is left out. */
static void load_modules(const brisk_invocation *invocation, brisk_engine *engine)
{
    cli_catalog catalog;
    if (cli_catalog_load(cli_of(invocation), &catalog) != BRISK_OK) {
        return;
    }
    for (uint32_t i = 0; i < catalog.module_count; i++) {
        const brisk_workload *workload = NULL;
        brisk_errinfo info = {0};
        if (brisk_engine_load(engine, catalog.modules[i], &workload, &info) != BRISK_OK) {
            (void)fprintf(invocation->err, "brisk: %s\n", info.text);
        }
    }
}

static brisk_exit run(const brisk_invocation *invocation)
{
    brisk_engine *engine = NULL;
    if (cli_engine(cli_of(invocation), true, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    load_modules(invocation, engine);
    const brisk_knobs *knobs = brisk_engine_knobs(engine);
    if (invocation->argc > 0 && strcmp(invocation->argv[0], "check") == 0) {
        (void)fputs("settings are right\n", invocation->out); /* or there was no engine */
        return BRISK_EXIT_OK;
    }
    if (invocation->argc > 0) {
        return print_one(invocation, knobs, invocation->argv[0]);
    }
    if (invocation->values[OPTION_JSON].set) {
        return print_json(invocation->out, knobs);
    }
    const brisk_knob *knob;
    for (size_t i = 0; (knob = brisk_knobs_at(knobs, i)) != NULL; i++) {
        print_knob(invocation->out, knobs, knob);
    }
    return BRISK_EXIT_OK;
}

const brisk_command cmd_config = {
    .name = "config",
    .group = "Program",
    .synopsis = "[KNOB | check] [--json]",
    .summary = "show every knob, or the value of one",
    .description =
        "A knob is set, from weakest to strongest, by its default, the system's file "
        "/etc/brisk/brisk.yaml, the user's file brisk/brisk.yaml in $XDG_CONFIG_HOME, the "
        "project's file ./brisk.yaml (or --config), the environment (BRISK_CACHE_DISK_BYTES for "
        "cache.disk.bytes) and the option --set KNOB=VALUE. With check nothing is shown but what "
        "is wrong.",
    .examples = "brisk config cache.disk.bytes\tprint one value\n"
                "brisk --config brisk.yaml config check\tonly say whether a file is right\n"
                "brisk --set cache.disk.bytes=1GiB config\tshow where values come from\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_max = 1,
    .run = run,
};
