/*
 * options.c -- the parser behind options.h.
 *
 * A cursor over argv.  Words are compacted towards the front as they are found, which is safe
 * because the cursor is never behind the place that is written: no memory is needed.
 */
#include "cli/options.h"

#include <limits.h>
#include <string.h>

#include <brisk/knob.h>
#include <brisk/text.h>

typedef struct cursor {
    int argc;
    char **argv;
    int at;
} cursor;

static int fail(cli_parse *parse, const char *what, const char *name, const char *more)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)snprintf(parse->message, sizeof parse->message, "%s '%s'%s", what,
                   brisk_text_quote(quoted, name), more);
    return -1;
}

static int unknown_long(cli_parse *parse, const char *name)
{
    cli_nearest nearest = {.word = name};
    for (uint32_t i = 0; i < parse->option_count; i++) {
        cli_nearest_try(&nearest, parse->options[i].name);
    }
    for (uint32_t i = 0; i < CLI_GLOBAL_COUNT; i++) {
        cli_nearest_try(&nearest, cli_globals[i].name);
    }
    char given[BRISK_TEXT_QUOTED_MAX];
    char more[BRISK_TEXT_QUOTED_MAX] = "";
    (void)snprintf(given, sizeof given, "--%s", name);
    if (cli_nearest_get(&nearest) != NULL) {
        (void)snprintf(more, sizeof more, "; did you mean '--%s'?", cli_nearest_get(&nearest));
    }
    return fail(parse, "unknown option", given, more);
}

static const brisk_option *find(const cli_parse *parse, const char *name, size_t length,
                                char letter)
{
    const brisk_option *lists[] = {parse->options, cli_globals};
    uint32_t counts[] = {parse->option_count, CLI_GLOBAL_COUNT};
    for (uint32_t l = 0; l < 2; l++) {
        for (uint32_t i = 0; i < counts[l]; i++) {
            const brisk_option *option = &lists[l][i];
            bool named = name != NULL && strlen(option->name) == length &&
                         memcmp(option->name, name, length) == 0;
            if (named || (name == NULL && letter != 0 && option->letter == letter)) {
                return option;
            }
        }
    }
    return NULL;
}

static int store_global(cli_parse *parse, enum cli_global which, const char *text)
{
    cli_state *cli = parse->cli;
    switch (which) {
    case CLI_GLOBAL_HELP: cli->help = true; return 0;
    case CLI_GLOBAL_VERSION: cli->version = true; return 0;
    case CLI_GLOBAL_CONFIG: cli->config_path = text; return 0;
    case CLI_GLOBAL_VERBOSE: cli->verbosity += cli->verbosity < 2 ? 1 : 0; return 0;
    case CLI_GLOBAL_QUIET: cli->verbosity = -1; return 0;
    case CLI_GLOBAL_SET:
        if (text == NULL || strchr(text, '=') == NULL || text[0] == '=') {
            return fail(parse, "--set takes KNOB=VALUE, not", text != NULL ? text : "", "");
        }
        if (cli->setting_count == CLI_SETTINGS_MAX) {
            return fail(parse, "too many --set, at", text, "");
        }
        cli->settings[cli->setting_count++] = text;
        return 0;
    case CLI_GLOBAL_COUNT: break;
    }
    return -1;
}

static int store_number(cli_parse *parse, const brisk_option *option, brisk_option_value *value,
                        const char *text)
{
    static const brisk_knob_type types[] = {
        [BRISK_OPTION_U64] = BRISK_KNOB_U64,
        [BRISK_OPTION_BYTES] = BRISK_KNOB_BYTES,
        [BRISK_OPTION_DURATION] = BRISK_KNOB_DURATION,
    };
    static const char *const forms[] = {
        [BRISK_OPTION_U64] = "a whole number",
        [BRISK_OPTION_BYTES] = "a size such as 64MiB",
        [BRISK_OPTION_DURATION] = "a duration such as 10s or 1.5ms",
    };
    if (brisk_knob_parse(types[option->type], text, &value->number) != BRISK_OK) {
        char what[BRISK_TEXT_QUOTED_MAX];
        (void)snprintf(what, sizeof what, "--%s takes %s, not", option->name, forms[option->type]);
        return fail(parse, what, text, "");
    }
    return 0;
}

/** One more behind those that the option has; the runs of others behind it move up. */
static int store_listed(cli_parse *parse, const brisk_option *option, const char *text)
{
    if (parse->listed_count == CLI_LISTED_MAX) {
        char what[BRISK_TEXT_QUOTED_MAX];
        (void)snprintf(what, sizeof what, "too many --%s, at", option->name);
        return fail(parse, what, text, "");
    }
    brisk_option_list *list = &parse->lists[option - parse->options];
    const char **end = parse->listed + parse->listed_count;
    const char **at = end;
    if (list->count > 0) {
        at = parse->listed + (list->texts - parse->listed) + list->count;
    }
    memmove(at + 1, at, (size_t)(end - at) * sizeof *at);
    for (uint32_t i = 0; i < parse->option_count; i++) {
        if (parse->lists[i].count > 0 && parse->lists[i].texts >= at) {
            parse->lists[i].texts++;
        }
    }
    *at = text;
    parse->listed_count++;
    list->texts = list->count > 0 ? list->texts : at;
    list->count++;
    return 0;
}

/** `text` is NULL for flags. */
static int store(cli_parse *parse, const brisk_option *option, const char *text)
{
    if (option >= cli_globals && option < cli_globals + CLI_GLOBAL_COUNT) {
        return store_global(parse, (enum cli_global)(option - cli_globals), text);
    }
    brisk_option_value *value = &parse->values[option - parse->options];
    *value = (brisk_option_value){.set = true, .text = text};
    switch (option->type) {
    case BRISK_OPTION_FLAG:
    case BRISK_OPTION_TEXT:
    case BRISK_OPTION_FILE: return 0;
    case BRISK_OPTION_U64:
    case BRISK_OPTION_BYTES:
    case BRISK_OPTION_DURATION: return store_number(parse, option, value, text);
    case BRISK_OPTION_LIST: return store_listed(parse, option, text);
    }
    return fail(parse, "option of an unknown type:", option->name, "");
}

/**
 * The value behind an option that needs one: `rest` if there is text, else the next argument; the
 * `second` one of a pair likewise.
 */
static int store_with_value(cli_parse *parse, cursor *c, const brisk_option *option,
                            const char *rest, bool second)
{
    if (rest == NULL && c->at + 1 >= c->argc) {
        char more[BRISK_TEXT_QUOTED_MAX];
        (void)snprintf(more, sizeof more, " needs a value: %s",
                       option->metavar != NULL ? option->metavar : "VALUE");
        char given[BRISK_TEXT_QUOTED_MAX];
        (void)snprintf(given, sizeof given, "--%s", option->name);
        return fail(parse, "option", given, more);
    }
    const char *value = rest != NULL ? rest : c->argv[++c->at];
    int stored = store(parse, option, value);
    bool pair = option->type == BRISK_OPTION_LIST && option->metavar != NULL &&
                strchr(option->metavar, ' ') != NULL && strchr(value, '=') == NULL;
    if (stored == 0 && pair && !second) {
        return store_with_value(parse, c, option, NULL, true);
    }
    return stored;
}

static int parse_long(cli_parse *parse, cursor *c)
{
    const char *name = c->argv[c->at] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const brisk_option *option = find(parse, name, length, 0);
    if (option == NULL) {
        char copy[BRISK_TEXT_QUOTED_MAX / 2];
        int shown = length < sizeof copy ? (int)length : (int)sizeof copy - 1;
        (void)snprintf(copy, sizeof copy, "%.*s", shown, name);
        return unknown_long(parse, copy);
    }
    if (option->type != BRISK_OPTION_FLAG) {
        return store_with_value(parse, c, option, equals != NULL ? equals + 1 : NULL, false);
    }
    if (equals != NULL) {
        return fail(parse, "this option takes no value:", c->argv[c->at], "");
    }
    return store(parse, option, NULL);
}

static int parse_short(cli_parse *parse, cursor *c)
{
    for (const char *letter = c->argv[c->at] + 1; *letter != '\0'; letter++) {
        const brisk_option *option = find(parse, NULL, 0, *letter);
        if (option == NULL) {
            char given[] = {'-', *letter, '\0'};
            return fail(parse, "unknown option", given, "");
        }
        if (option->type != BRISK_OPTION_FLAG) {
            return store_with_value(parse, c, option, letter[1] != '\0' ? letter + 1 : NULL, false);
        }
        int stored = store(parse, option, NULL);
        if (stored != 0 || parse->cli->help) {
            return stored;
        }
    }
    return 0;
}

int cli_parse_args(cli_parse *parse, int argc, char **argv)
{
    cursor c = {.argc = argc, .argv = argv};
    bool options_ended = false;
    parse->word_count = 0;
    for (; c.at < argc; c.at++) {
        const char *arg = argv[c.at];
        int parsed = 0;
        if (options_ended || arg[0] != '-' || arg[1] == '\0') {
            if (parse->first_word) {
                return c.at;
            }
            argv[parse->word_count++] = argv[c.at];
        } else if (strcmp(arg, "--") == 0) {
            options_ended = true;
            parse->words_before_dashes = parse->word_count;
        } else if (arg[1] == '-') {
            parsed = parse_long(parse, &c);
        } else {
            parsed = parse_short(parse, &c);
        }
        if (parsed != 0) {
            return -1;
        }
        if (parse->cli->help && !parse->first_word) {
            return argc;
        }
    }
    parse->words_before_dashes = options_ended ? parse->words_before_dashes : parse->word_count;
    return argc;
}
