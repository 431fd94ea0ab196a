/*
 * help.c -- usage and help, printed from the command tables.
 */
#include <string.h>

#include <brisk/module.h>
#include <brisk/text.h>

#include "cli/cli.h"

enum { OPTION_COLUMN = 28, NAME_COLUMN = 12 };

int cli_format_option(char *buffer, size_t size, const brisk_option *option)
{
    char letter[] = {option->letter != 0 ? '-' : ' ', option->letter != 0 ? option->letter : ' ',
                     option->letter != 0 ? ',' : ' ', '\0'};
    const char *metavar = option->metavar != NULL ? option->metavar : "VALUE";
    bool flag = option->type == BRISK_OPTION_FLAG;
    return snprintf(buffer, size, "%s --%s%s%s", letter, option->name, flag ? "" : " ",
                    flag ? "" : metavar);
}

void cli_print_wrapped(FILE *out, int indent, const char *text)
{
    int column = 0;
    for (const char *at = text; *at != '\0';) {
        if (*at == '\n' || *at == ' ') {
            /* An empty line or an indented one keeps its shape; other line ends are blanks. */
            bool hard = *at == '\n' && (at[1] == '\n' || at[1] == ' ');
            if (hard) {
                (void)fputs(at[1] == '\n' ? "\n\n" : "\n", out);
                column = 0;
                at += at[1] == '\n' ? 2 : 1;
                while (column == 0 && *at == ' ') {
                    (void)fputc(' ', out);
                    at++;
                }
            } else {
                at++;
            }
            continue;
        }
        size_t length = strcspn(at, " \n");
        if (column > 0 && column + 1 + (int)length > CLI_WIDTH) {
            (void)fputc('\n', out);
            column = 0;
        }
        int blanks = column == 0 ? indent : 1;
        (void)fprintf(out, "%*s%.*s", blanks, "", (int)length, at);
        column += blanks + (int)length;
        at += length;
    }
    if (column > 0) {
        (void)fputc('\n', out);
    }
}

/** `left` in a column of its own, then `right` wrapped behind it. */
static void print_row(FILE *out, const char *left, int column, const char *right)
{
    int width = (int)strlen(left) + 2;
    (void)fprintf(out, "  %s", left);
    if (width >= column) {
        (void)fputc('\n', out);
        width = 0;
    }
    int at = width;
    for (const char *word = right; *word != '\0';) {
        size_t length = strcspn(word, " ");
        if (at > column && at + 1 + (int)length > CLI_WIDTH) {
            (void)fputc('\n', out);
            at = 0;
        }
        int blanks = at < column ? column - at : 1;
        (void)fprintf(out, "%*s%.*s", blanks, "", (int)length, word);
        at += blanks + (int)length;
        word += length + (word[length] == ' ' ? 1 : 0);
    }
    (void)fputc('\n', out);
}

static void print_options(FILE *out, const char *title, const brisk_option *options, uint32_t count)
{
    if (count > 0) {
        (void)fprintf(out, "\n%s\n", title);
    }
    for (uint32_t i = 0; i < count; i++) {
        char left[128];
        char right[512];
        (void)cli_format_option(left, sizeof left, &options[i]);
        (void)snprintf(right, sizeof right, "%s%s", options[i].summary,
                       options[i].required ? " (required)" : "");
        print_row(out, left, OPTION_COLUMN, right);
    }
}

static void print_examples(FILE *out, const char *examples)
{
    (void)fputs("\nExamples\n", out);
    for (const char *line = examples; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        size_t command = strcspn(line, "\t\n");
        (void)fprintf(out, "  %.*s\n", (int)command, line);
        if (command < length) {
            (void)fprintf(out, "      %.*s\n", (int)(length - command - 1), line + command + 1);
        }
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}

void cli_print_usage(FILE *out, const char *group, const brisk_command *command)
{
    const char *synopsis = command->synopsis != NULL ? command->synopsis : "";
    (void)fprintf(out, "usage: brisk %s%s%s%s%s\n", group != NULL ? group : "",
                  group != NULL ? " " : "", command->name, synopsis[0] != '\0' ? " " : "",
                  synopsis);
}

void cli_print_command(FILE *out, const char *group, const brisk_command *command)
{
    cli_print_usage(out, group, command);
    (void)fputc('\n', out);
    cli_print_wrapped(out, 0, command->summary);
    if (command->description != NULL && command->description[0] != '\0') {
        (void)fputc('\n', out);
        cli_print_wrapped(out, 0, command->description);
    }
    print_options(out, "Options", command->options, command->option_count);
    print_options(out, "Global options", cli_globals, CLI_GLOBAL_COUNT);
    if (command->examples != NULL && command->examples[0] != '\0') {
        print_examples(out, command->examples);
    }
}

static bool is_hidden(const brisk_command *command)
{
    return command->group == NULL || command->group[0] == '\0';
}

/** Commands under their headings, each heading once, in the order of their first command. */
static void print_commands(FILE *out, const cli_group *group)
{
    for (uint32_t i = 0; i < group->command_count; i++) {
        const brisk_command *first = group->commands[i];
        bool seen = is_hidden(first);
        for (uint32_t j = 0; j < i && !seen; j++) {
            const brisk_command *before = group->commands[j];
            seen = !is_hidden(before) && strcmp(before->group, first->group) == 0;
        }
        if (seen) {
            continue;
        }
        (void)fprintf(out, "\n%s\n", first->group);
        for (uint32_t j = i; j < group->command_count; j++) {
            const brisk_command *command = group->commands[j];
            if (!is_hidden(command) && strcmp(command->group, first->group) == 0) {
                print_row(out, command->name, NAME_COLUMN, command->summary);
            }
        }
    }
}

void cli_print_group(FILE *out, const cli_group *group)
{
    (void)fprintf(out, "usage: brisk %s COMMAND [ARGUMENTS]\n", group->name);
    if (group->summary != NULL && group->summary[0] != '\0') {
        (void)fputc('\n', out);
        cli_print_wrapped(out, 0, group->summary);
    }
    print_commands(out, group);
    (void)fprintf(out, "\n'brisk help %s COMMAND' explains one.\n", group->name);
}

static void print_groups(FILE *out, cli_catalog catalog, bool modules, const char *title)
{
    bool titled = false;
    for (uint32_t i = 1; i < catalog.count; i++) {
        if (catalog.groups[i].module == modules && !catalog.groups[i].callable) {
            (void)fprintf(out, "%s%s%s", titled ? "" : "\n", titled ? "" : title,
                          titled ? "" : "\n");
            titled = true;
            print_row(out, catalog.groups[i].name, NAME_COLUMN, catalog.groups[i].summary);
        }
    }
}

void cli_print_overview(FILE *out, cli_catalog catalog)
{
    (void)fputs("usage: brisk [OPTIONS] COMMAND [ARGUMENTS]\n", out);
    print_groups(out, catalog, true, "Modules (each with commands of its own)");
    print_groups(out, catalog, false, "Cache");
    print_commands(out, &catalog.groups[0]);
    print_options(out, "Global options", cli_globals, CLI_GLOBAL_COUNT);
    (void)fputs("\n'brisk help COMMAND' explains one.\n", out);
}

brisk_exit cli_unknown(cli_state *cli, const char *group, const cli_group *commands,
                       const char *word)
{
    cli_nearest nearest = {.word = word};
    cli_catalog catalog = cli_builtin();
    if (commands == NULL && cli_catalog_load(cli, &catalog) == BRISK_OK) {
        commands = &catalog.groups[0];
        for (uint32_t i = 1; i < catalog.count; i++) {
            cli_nearest_try(&nearest, catalog.groups[i].name);
        }
    }
    for (uint32_t i = 0; commands != NULL && i < commands->command_count; i++) {
        if (!is_hidden(commands->commands[i])) {
            cli_nearest_try(&nearest, commands->commands[i]->name);
        }
    }
    char quoted[BRISK_TEXT_QUOTED_MAX];
    const char *best = cli_nearest_get(&nearest);
    (void)fprintf(stderr, "brisk: no command '%s%s%s'", group != NULL ? group : "",
                  group != NULL ? " " : "", brisk_text_quote(quoted, word));
    if (best != NULL) {
        (void)fprintf(stderr, "; did you mean '%s%s%s'?", group != NULL ? group : "",
                      group != NULL ? " " : "", best);
    }
    (void)fprintf(stderr, "\ntry 'brisk help%s%s'\n", group != NULL ? " " : "",
                  group != NULL ? group : "");
    return BRISK_EXIT_USAGE;
}

/** The group of a module without manifest: from the module itself. */
static const cli_group *group_of_module(cli_state *cli, const char *name)
{
    const brisk_module *module = NULL;
    brisk_errinfo info = {0};
    if (brisk_module_load(name, &module, &info) != BRISK_OK) {
        return NULL;
    }
    brisk_arena *arena = cli_arena(cli);
    cli_group *group = arena != NULL ? brisk_arena_calloc(arena, 1, sizeof *group) : NULL;
    if (group != NULL) {
        *group = (cli_group){.name = module->name,
                             .summary = module->summary,
                             .commands = module->commands,
                             .command_count = module->command_count,
                             .module = true};
    }
    return group;
}

void cli_print_more_commands(FILE *out, const cli_group *group, const brisk_command *own)
{
    bool titled = false;
    for (uint32_t i = 0; group != NULL && i < group->command_count; i++) {
        const brisk_command *command = group->commands[i];
        if (is_hidden(command) || strcmp(command->name, own->name) == 0) {
            continue;
        }
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", group->name, command->name);
        (void)fputs(titled ? "" : "\nMore commands\n", out);
        print_row(out, left, OPTION_COLUMN, command->summary);
        titled = true;
    }
}

brisk_exit cli_help(cli_state *cli, FILE *out, int count, char *const *words)
{
    cli_catalog catalog = cli_builtin();
    const brisk_command *top = count > 0 ? cli_find_command(&catalog.groups[0], words[0]) : NULL;
    if (top != NULL) {
        cli_print_command(out, NULL, top);
        return BRISK_EXIT_OK;
    }
    if (cli_catalog_load(cli, &catalog) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    if (count == 0) {
        cli_print_overview(out, catalog);
        return BRISK_EXIT_OK;
    }
    const cli_group *group = cli_find_group(catalog, words[0]);
    top = cli_find_command(&catalog.groups[0], words[0]);
    if (group == NULL && top == NULL) {
        group = group_of_module(cli, words[0]);
        top = group != NULL ? cli_own_command(group) : NULL;
    }
    if (top != NULL && (count == 1 || group == NULL)) {
        cli_print_command(out, NULL, top);
        cli_print_more_commands(out, group, top);
        return BRISK_EXIT_OK;
    }
    if (group == NULL) {
        return cli_unknown(cli, NULL, NULL, words[0]);
    }
    if (count == 1) {
        cli_print_group(out, group);
        return BRISK_EXIT_OK;
    }
    const brisk_command *command = cli_find_command(group, words[1]);
    if (command == NULL) {
        return cli_unknown(cli, group->name, group, words[1]);
    }
    cli_print_command(out, group->name, command);
    return BRISK_EXIT_OK;
}
