/*
 * completion.c -- shell completion from the command tables: bash, zsh and fish.
 *
 * Names come checked ([a-z0-9_-]) from the catalog; summaries may hold anything and are quoted.
 * Each script knows the words of a level, the options of a command and which of them take files.
 */
#include <string.h>

#include "cli/cli.h"

static bool is_hidden(const brisk_command *command)
{
    return command->group == NULL || command->group[0] == '\0';
}

/** Inside '...': only the quote itself needs care, and zsh's descriptions their colon. */
static void put_quoted(FILE *out, const char *text, bool escape_colon)
{
    (void)fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)fputs("'\\''", out);
        } else if (*text == ':' && escape_colon) {
            (void)fputs("\\:", out);
        } else if ((unsigned char)*text >= 0x20) {
            (void)fputc(*text, out);
        }
    }
    (void)fputc('\'', out);
}

/** "cache" or "cache stats" */
static void put_path(FILE *out, const cli_group *group, const brisk_command *command)
{
    (void)fprintf(out, "%s%s%s", group->name != NULL ? group->name : "",
                  group->name != NULL ? " " : "", command->name);
}

/* --- bash ---------------------------------------------------------------------------------- */

static void bash_words(FILE *out, cli_catalog catalog)
{
    (void)fputs("    '')\n        words='", out);
    for (uint32_t i = 0; i < catalog.groups[0].command_count; i++) {
        const brisk_command *command = catalog.groups[0].commands[i];
        (void)fprintf(out, "%s%s", is_hidden(command) ? "" : command->name,
                      is_hidden(command) ? "" : " ");
    }
    for (uint32_t g = 1; g < catalog.count; g++) {
        bool listed = catalog.groups[g].callable; /* as a command */
        (void)fprintf(out, "%s%s", listed ? "" : catalog.groups[g].name, listed ? "" : " ");
    }
    (void)fputs("' ;;\n", out);
    for (uint32_t g = 1; g < catalog.count; g++) {
        const cli_group *group = &catalog.groups[g];
        (void)fprintf(out, "    '%s')\n        words='", group->name);
        for (uint32_t i = 0; i < group->command_count; i++) {
            bool own = group->callable && strcmp(group->commands[i]->name, group->name) == 0;
            (void)fprintf(out, "%s%s", own ? "" : group->commands[i]->name, own ? "" : " ");
        }
        (void)fputs("' ;;\n", out);
    }
}

static void bash_options(FILE *out, const brisk_option *options, uint32_t count, bool *first)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(out, "%s--%s", *first ? "" : " ", options[i].name);
        *first = false;
    }
}

/** A pattern of every option of one kind that takes a value. */
static void bash_takers(FILE *out, const brisk_command *command, bool files)
{
    bool any = false;
    const brisk_option *lists[] = {command != NULL ? command->options : NULL, cli_globals};
    uint32_t counts[] = {command != NULL ? command->option_count : 0, CLI_GLOBAL_COUNT};
    for (uint32_t l = 0; l < 2; l++) {
        for (uint32_t i = 0; i < counts[l]; i++) {
            const brisk_option *option = &lists[l][i];
            bool file = option->type == BRISK_OPTION_FILE;
            if (option->type == BRISK_OPTION_FLAG || file != files) {
                continue;
            }
            (void)fprintf(out, "%s--%s", any ? " " : "", option->name);
            if (option->letter != 0) {
                (void)fprintf(out, " -%c", option->letter);
            }
            any = true;
        }
    }
}

static void bash_command(FILE *out, const cli_group *group, const brisk_command *command)
{
    bool first = true;
    (void)fputs("    '", out);
    put_path(out, group, command);
    (void)fputs("')\n        options='", out);
    bash_options(out, command->options, command->option_count, &first);
    bash_options(out, cli_globals, CLI_GLOBAL_COUNT, &first);
    (void)fputs("'\n        files='", out);
    bash_takers(out, command, true);
    (void)fputs("'\n        texts='", out);
    bash_takers(out, command, false);
    (void)fputs("' ;;\n", out);
}

static void print_bash(FILE *out, cli_catalog catalog)
{
    bool first = true;
    (void)fputs("# bash completion for brisk; made by `brisk help --completion bash`.\n"
                "_brisk() {\n"
                "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                "    local path='' words='' files='--config' texts='--set' i\n"
                "    local options='",
                out);
    bash_options(out, cli_globals, CLI_GLOBAL_COUNT, &first);
    (void)fputs("'\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "        case ${COMP_WORDS[i]} in\n"
                "        --config | --set) ((i++)) ;;\n"
                "        -*) ;;\n"
                "        *)\n"
                "            path=\"${path:+$path }${COMP_WORDS[i]}\"\n"
                "            case $path in *' '*) break ;; esac\n"
                "            case ' ",
                out);
    for (uint32_t g = 1; g < catalog.count; g++) {
        (void)fprintf(out, "%s ", catalog.groups[g].name);
    }
    (void)fputs("' in *\" $path \"*) ;; *) break ;; esac\n"
                "            ;;\n"
                "        esac\n"
                "    done\n"
                "    case $path in\n",
                out);
    bash_words(out, catalog);
    (void)fputs("    esac\n    case $path in\n", out);
    for (uint32_t g = 0; g < catalog.count; g++) {
        for (uint32_t i = 0; i < catalog.groups[g].command_count; i++) {
            if (!is_hidden(catalog.groups[g].commands[i])) {
                bash_command(out, &catalog.groups[g], catalog.groups[g].commands[i]);
            }
        }
    }
    (void)fputs("    esac\n"
                "    COMPREPLY=()\n"
                "    case \" $files \" in *\" $prev \"*)\n"
                "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
                "        return ;;\n"
                "    esac\n"
                "    case \" $texts \" in *\" $prev \"*) return ;; esac\n"
                "    case $cur in\n"
                "    -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\") ;;\n"
                "    *)\n"
                "        if [[ -n $words ]]; then\n"
                "            mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
                "        else\n"
                "            mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
                "        fi\n"
                "        ;;\n"
                "    esac\n"
                "}\n"
                "complete -o filenames -F _brisk brisk\n",
                out);
}

/* --- zsh ----------------------------------------------------------------------------------- */

static void zsh_words(FILE *out, const cli_group *group, cli_catalog catalog)
{
    (void)fputs("        words_=(", out);
    for (uint32_t i = 0; i < group->command_count; i++) {
        bool own = group->callable && strcmp(group->commands[i]->name, group->name) == 0;
        if (!is_hidden(group->commands[i]) && !own) {
            (void)fprintf(out, "\n            %s:", group->commands[i]->name);
            put_quoted(out, group->commands[i]->summary, true);
        }
    }
    for (uint32_t g = 1; g < catalog.count && group->name == NULL; g++) {
        if (catalog.groups[g].callable) {
            continue;
        }
        (void)fprintf(out, "\n            %s:", catalog.groups[g].name);
        put_quoted(out, catalog.groups[g].summary, true);
    }
    (void)fputs(")\n        ;;\n", out);
}

static void zsh_options(FILE *out, const brisk_option *options, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(out, "            --%s:", options[i].name);
        put_quoted(out, options[i].summary, true);
        (void)fputc('\n', out);
    }
}

static void print_zsh(FILE *out, cli_catalog catalog)
{
    (void)fputs("#compdef brisk\n"
                "# zsh completion for brisk; made by `brisk help --completion zsh`.\n"
                "_brisk() {\n"
                "    local path_='' i\n"
                "    local -a words_ options_\n"
                "    for ((i = 2; i < CURRENT; i++)); do\n"
                "        case ${words[i]} in\n"
                "        --config | --set) ((i++)) ;;\n"
                "        -*) ;;\n"
                "        *)\n"
                "            path_=\"${path_:+$path_ }${words[i]}\"\n"
                "            case $path_ in *' '*) break ;; esac\n"
                "            case ' ",
                out);
    for (uint32_t g = 1; g < catalog.count; g++) {
        (void)fprintf(out, "%s ", catalog.groups[g].name);
    }
    (void)fputs("' in *\" $path_ \"*) ;; *) break ;; esac\n"
                "            ;;\n"
                "        esac\n"
                "    done\n"
                "    case $path_ in\n",
                out);
    for (uint32_t g = 0; g < catalog.count; g++) {
        const cli_group *group = &catalog.groups[g];
        (void)fprintf(out, "    '%s')\n", group->name != NULL ? group->name : "");
        zsh_words(out, group, catalog);
    }
    (void)fputs("    esac\n    case $path_ in\n", out);
    for (uint32_t g = 0; g < catalog.count; g++) {
        const cli_group *group = &catalog.groups[g];
        for (uint32_t i = 0; i < group->command_count; i++) {
            if (is_hidden(group->commands[i])) {
                continue;
            }
            (void)fputs("    '", out);
            put_path(out, group, group->commands[i]);
            (void)fputs("')\n        options_=(\n", out);
            zsh_options(out, group->commands[i]->options, group->commands[i]->option_count);
            (void)fputs("        )\n        ;;\n", out);
        }
    }
    (void)fputs("    esac\n    options_+=(\n", out);
    zsh_options(out, cli_globals, CLI_GLOBAL_COUNT);
    (void)fputs("    )\n"
                "    if [[ ${words[CURRENT]} == -* ]]; then\n"
                "        _describe -o option options_\n"
                "    elif (( ${#words_} )); then\n"
                "        _describe command words_\n"
                "    else\n"
                "        _files\n"
                "    fi\n"
                "}\n"
                "_brisk \"$@\"\n",
                out);
}

/* --- fish ---------------------------------------------------------------------------------- */

static void fish_option(FILE *out, const char *condition, const brisk_option *option)
{
    (void)fputs("complete -c brisk", out);
    if (condition != NULL) {
        (void)fprintf(out, " -n '%s'", condition);
    }
    (void)fprintf(out, " -l %s", option->name);
    if (option->letter != 0) {
        (void)fprintf(out, " -s %c", option->letter);
    }
    if (option->type != BRISK_OPTION_FLAG) {
        (void)fputs(option->type == BRISK_OPTION_FILE ? " -r -F" : " -x", out);
    }
    (void)fputs(" -d ", out);
    put_quoted(out, option->summary, false);
    (void)fputc('\n', out);
}

static void fish_command(FILE *out, const cli_group *group, const brisk_command *command)
{
    char condition[160];
    if (group->name == NULL) {
        (void)fputs("complete -c brisk -f -n __fish_use_subcommand", out);
        (void)snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s",
                       command->name);
    } else {
        (void)fprintf(out, "complete -c brisk -f -n '__brisk_wants_command %s'", group->name);
        (void)snprintf(condition, sizeof condition,
                       "__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s",
                       group->name, command->name);
    }
    (void)fprintf(out, " -a %s -d ", command->name);
    put_quoted(out, command->summary, false);
    (void)fputc('\n', out);
    for (uint32_t i = 0; i < command->option_count; i++) {
        fish_option(out, condition, &command->options[i]);
    }
}

static void print_fish(FILE *out, cli_catalog catalog)
{
    (void)fputs("# fish completion for brisk; made by `brisk help --completion fish`.\n"
                "function __brisk_wants_command\n"
                "    set -l words (commandline -opc)\n"
                "    test \"$words[-1]\" = $argv[1]\n"
                "end\n",
                out);
    for (uint32_t i = 0; i < CLI_GLOBAL_COUNT; i++) {
        fish_option(out, NULL, &cli_globals[i]);
    }
    for (uint32_t g = 0; g < catalog.count; g++) {
        const cli_group *group = &catalog.groups[g];
        if (group->name != NULL && !group->callable) {
            (void)fprintf(out, "complete -c brisk -f -n __fish_use_subcommand -a %s -d ",
                          group->name);
            put_quoted(out, group->summary, false);
            (void)fputc('\n', out);
        }
        for (uint32_t i = 0; i < group->command_count; i++) {
            bool own = group->callable && strcmp(group->commands[i]->name, group->name) == 0;
            if (!is_hidden(group->commands[i]) && !own) {
                fish_command(out, group, group->commands[i]);
            }
        }
    }
}

bool cli_print_completion(FILE *out, cli_catalog catalog, const char *shell)
{
    if (strcmp(shell, "bash") == 0) {
        print_bash(out, catalog);
    } else if (strcmp(shell, "zsh") == 0) {
        print_zsh(out, catalog);
    } else if (strcmp(shell, "fish") == 0) {
        print_fish(out, catalog);
    } else {
        return false;
    }
    return true;
}
