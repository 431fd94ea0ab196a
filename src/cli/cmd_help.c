/*
 * cmd_help.c -- `brisk help`: help on a command, and what else is made from the command tables.
 */
#include <string.h>

#include <brisk/text.h>

#include "cli/commands.h"

enum { OPTION_MAN, OPTION_COMPLETION, OPTION_COMMANDS };

static const brisk_option options[] = {
    [OPTION_MAN] = {.name = "man", .summary = "print the manual page brisk(1) as scdoc source"},
    [OPTION_COMPLETION] = {.name = "completion",
                           .type = BRISK_OPTION_TEXT,
                           .metavar = "SHELL",
                           .summary = "print completion for bash, zsh or fish"},
    [OPTION_COMMANDS] = {.name = "commands",
                         .summary = "list every command with its long options, for scripts"},
};

static void print_names(FILE *out, cli_catalog catalog)
{
    for (uint32_t g = 0; g < catalog.count; g++) {
        const cli_group *group = &catalog.groups[g];
        if (group->name != NULL && !group->callable) {
            (void)fprintf(out, "%s\t\n", group->name);
        }
        for (uint32_t c = 0; c < group->command_count; c++) {
            const brisk_command *command = group->commands[c];
            if (group->callable && strcmp(command->name, group->name) == 0) {
                continue; /* listed at the top level */
            }
            (void)fprintf(out, "%s%s%s\t", group->name != NULL ? group->name : "",
                          group->name != NULL ? " " : "", command->name);
            for (uint32_t o = 0; o < command->option_count; o++) {
                (void)fprintf(out, "%s ", command->options[o].name);
            }
            for (uint32_t o = 0; o < CLI_GLOBAL_COUNT; o++) {
                (void)fprintf(out, "%s%s", cli_globals[o].name,
                              o + 1 < CLI_GLOBAL_COUNT ? " " : "\n");
            }
        }
    }
}

static brisk_exit run(const brisk_invocation *invocation)
{
    cli_state *cli = cli_of(invocation);
    const brisk_option_value *values = invocation->values;
    bool generated =
        values[OPTION_MAN].set || values[OPTION_COMPLETION].set || values[OPTION_COMMANDS].set;
    if (!generated) {
        return cli_help(cli, invocation->out, invocation->argc, invocation->argv);
    }
    if (invocation->argc > 0) {
        (void)fputs("brisk: help: --man, --completion and --commands take no command\n",
                    invocation->err);
        return BRISK_EXIT_USAGE;
    }
    cli_catalog catalog;
    if (cli_catalog_load(cli, &catalog) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    if (values[OPTION_MAN].set) {
        cli_print_man(invocation->out, catalog);
    } else if (values[OPTION_COMMANDS].set) {
        print_names(invocation->out, catalog);
    } else if (!cli_print_completion(invocation->out, catalog, values[OPTION_COMPLETION].text)) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: help: no completion for '%s'; bash, zsh or fish\n",
                      brisk_text_quote(quoted, values[OPTION_COMPLETION].text));
        return BRISK_EXIT_USAGE;
    }
    return BRISK_EXIT_OK;
}

const brisk_command cmd_help = {
    .name = "help",
    .group = "Program",
    .synopsis = "[COMMAND]",
    .summary = "explain a command, or list them all",
    .description = "COMMAND may be two words: brisk help cache stats.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .args_max = 2,
    .run = run,
};
