/*
 * man.c -- the manual page brisk(1) as scdoc source, from the command tables.
 *
 * Source:  scdoc(5).
 */
#include <string.h>

#include "cli/cli.h"

/** Text in which nothing is markup. */
static void put_text(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (strchr("\\*_#[]|<>+-.", text[i]) != NULL) {
            (void)fputc('\\', out);
        }
        (void)fputc(text[i], out);
    }
}

static void put(FILE *out, const char *text)
{
    put_text(out, text, strlen(text));
}

/** Paragraphs: lines joined, empty lines kept. */
static void put_paragraphs(FILE *out, const char *text)
{
    for (const char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        put_text(out, line, length);
        (void)fputc('\n', out);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
    (void)fputc('\n', out);
}

static void put_sentence(FILE *out, const char *phrase)
{
    size_t length = strlen(phrase);
    if (length > 0 && phrase[0] >= 'a' && phrase[0] <= 'z') {
        (void)fputc(phrase[0] - 'a' + 'A', out);
        phrase++;
        length--;
    }
    put_text(out, phrase, length);
    (void)fputs(".\n\n", out);
}

static void put_options(FILE *out, const brisk_option *options, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const brisk_option *option = &options[i];
        if (option->letter != 0) {
            (void)fprintf(out, "*\\-%c*", option->letter);
            (void)fputs(", ", out);
        }
        (void)fputs("*\\-\\-", out);
        put(out, option->name);
        (void)fputc('*', out);
        if (option->type != BRISK_OPTION_FLAG) {
            (void)fputs(" _", out);
            put(out, option->metavar != NULL ? option->metavar : "VALUE");
            (void)fputc('_', out);
        }
        (void)fputs("\n\t", out);
        put_sentence(out, option->summary);
    }
}

static void put_examples(FILE *out, const char *examples)
{
    for (const char *line = examples; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        size_t command = strcspn(line, "\t\n");
        (void)fputs("*", out);
        put_text(out, line, command);
        (void)fputs("*\n\t", out);
        if (command < length) {
            put_text(out, line + command + 1, length - command - 1);
        }
        (void)fputs("\n\n", out);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}

static void put_command(FILE *out, const char *group, const brisk_command *command)
{
    /* A heading is no place for escapes: scdoc hands it to roff as it is.  Names are harmless. */
    (void)fprintf(out, "## brisk %s%s%s\n\n*brisk ", group != NULL ? group : "",
                  group != NULL ? " " : "", command->name);
    if (group != NULL) {
        put(out, group);
        (void)fputc(' ', out);
    }
    put(out, command->name);
    (void)fputs("* ", out);
    put(out, command->synopsis != NULL ? command->synopsis : "");
    (void)fputs("\n\n", out);
    put_sentence(out, command->summary);
    if (command->description != NULL && command->description[0] != '\0') {
        put_paragraphs(out, command->description);
    }
    put_options(out, command->options, command->option_count);
    if (command->examples != NULL && command->examples[0] != '\0') {
        put_examples(out, command->examples);
    }
}

void cli_print_man(FILE *out, cli_catalog catalog)
{
    (void)fputs("brisk(1)\n\n# NAME\n\nbrisk - a performance engine: jobs remembered, run in "
                "parallel, measured\n\n# SYNOPSIS\n\n*brisk* [_OPTIONS_] _COMMAND_ "
                "[_ARGUMENTS_]\n\n*brisk* _MODULE_ _COMMAND_ [_ARGUMENTS_]\n\n# OPTIONS\n\n"
                "These are known everywhere.\n\n",
                out);
    put_options(out, cli_globals, CLI_GLOBAL_COUNT);
    (void)fputs("# COMMANDS\n\n", out);
    for (uint32_t g = 0; g < catalog.count; g++) {
        const cli_group *group = &catalog.groups[g];
        for (uint32_t c = 0; c < group->command_count; c++) {
            const brisk_command *command = group->commands[c];
            bool own = group->callable && strcmp(command->name, group->name) == 0;
            if (command->group != NULL && command->group[0] != '\0' && !own) {
                put_command(out, group->name, command);
            }
        }
    }
    (void)fputs(
        "# EXIT STATUS\n\n*0*\n\tDone.\n\n*1*\n\tFailed; one line on standard error says "
        "why.\n\n*2*\n\tThe command line was wrong.\n\n"
        "# ENVIRONMENT\n\n*BRISK\\_*_KNOB_\n\tSets a knob: BRISK\\_CACHE\\_DISK\\_BYTES for "
        "cache\\.disk\\.bytes.\n\n*BRISK\\_MODULE\\_PATH*\n\tFolders with modules, separated "
        "by colons, before all others.\n\n*XDG\\_CACHE\\_HOME*\n\tThe disk tier is in its "
        "folder brisk; without it in ~/.cache/brisk.\n\n*XDG\\_DATA\\_HOME*\n\tMeasurements "
        "that *brisk bench* keeps are in its folder brisk/bench; without it in "
        "~/.local/share/brisk/bench.\n\n"
        "# FILES\n\n_brisk.yaml_, _$XDG\\_CONFIG\\_HOME/brisk/brisk.yaml_, "
        "_/etc/brisk/brisk.yaml_\n\tKnobs, strongest first.\n",
        out);
}
