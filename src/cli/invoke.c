/*
 * invoke.c -- one call of a command: its arguments parsed and counted, the engine on request.
 */
#include <limits.h>
#include <string.h>

#include <brisk/log.h>

#include "cli/cli.h"
#include "cli/options.h"

static brisk_exit usage_error(const char *group, const brisk_command *command, const char *message)
{
    (void)fprintf(stderr, "brisk: %s%s%s: %s\n", group != NULL ? group : "",
                  group != NULL ? " " : "", command->name, message);
    cli_print_usage(stderr, group, command);
    return BRISK_EXIT_USAGE;
}

/** What is missing or too much, in `message`; false when nothing is. */
static bool find_misuse(const brisk_command *command, const cli_parse *parse, char *message,
                        size_t size)
{
    for (uint32_t i = 0; i < command->option_count; i++) {
        if (command->options[i].required && !parse->values[i].set) {
            (void)snprintf(message, size, "option '--%s' is missing", command->options[i].name);
            return true;
        }
    }
    int words = parse->word_count;
    if (words < command->args_min) {
        (void)snprintf(message, size, "takes at least %d argument%s, got %d", command->args_min,
                       command->args_min == 1 ? "" : "s", words);
        return true;
    }
    if (command->args_max >= 0 && words > command->args_max) {
        (void)snprintf(message, size, "takes at most %d argument%s, got %d", command->args_max,
                       command->args_max == 1 ? "" : "s", words);
        return true;
    }
    return false;
}

static brisk_err engine_of(const brisk_invocation *invocation, brisk_engine **ret)
{
    return cli_engine(cli_of(invocation), false, ret);
}

brisk_exit cli_invoke(cli_state *cli, const char *group, const brisk_command *command, int argc,
                      char **argv)
{
    if (command->option_count > CLI_OPTIONS_MAX) {
        return usage_error(group, command, "the module declares too many options");
    }
    brisk_option_value values[CLI_OPTIONS_MAX] = {{0}};
    brisk_option_list lists[CLI_OPTIONS_MAX] = {{0}};
    cli_parse parse = {.cli = cli,
                       .options = command->options,
                       .option_count = command->option_count,
                       .values = values,
                       .lists = lists};
    if (cli_parse_args(&parse, argc, argv) < 0) {
        return usage_error(group, command, parse.message);
    }
    if (cli->help) {
        cli_print_command(stdout, group, command);
        return BRISK_EXIT_OK;
    }
    char message[CLI_MESSAGE_MAX];
    if (find_misuse(command, &parse, message, sizeof message)) {
        return usage_error(group, command, message);
    }
    brisk_invocation invocation = {.command = command,
                                   .values = values,
                                   .argc = parse.word_count,
                                   .argv = argv,
                                   .out = stdout,
                                   .err = stderr,
                                   .quiet = cli->verbosity < 0,
                                   .engine = engine_of,
                                   .private_ = cli,
                                   .lists = lists,
                                   .argc_before_dashes = parse.words_before_dashes};
    return cli_settings_are_good(cli) ? cli_run(cli, &invocation) : BRISK_EXIT_USAGE;
}

cli_state *cli_of(const brisk_invocation *invocation)
{
    return invocation->private_;
}

FILE *cli_words(const cli_state *cli)
{
    return cli->err != NULL ? cli->err : stderr;
}

/**
 * Tried on an engine of its own, which opens nothing: the command may need none.  When it cannot
 * be made without the settings either, something else is wrong, and who needs one will say it.
 */
bool cli_settings_are_good(cli_state *cli)
{
    brisk_engine_opts opts = {.no_disk = true,
                              .no_files = true,
                              .settings = cli->settings,
                              .setting_count = cli->setting_count};
    brisk_engine *engine = NULL;
    brisk_errinfo info = {0};
    if (cli->setting_count == 0 || brisk_engine_create(&opts, &engine, &info) == BRISK_OK) {
        brisk_engine_destroy(engine);
        return true;
    }
    opts.setting_count = 0;
    brisk_errinfo other = {0};
    bool good = brisk_engine_create(&opts, &engine, &other) != BRISK_OK;
    brisk_engine_destroy(engine);
    if (!good) {
        (void)fprintf(stderr, "brisk: %s\n", info.text);
    }
    return good;
}

brisk_arena *cli_arena(cli_state *cli)
{
    if (cli->arena == NULL) {
        brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &cli->arena);
        if (err != BRISK_OK) {
            (void)fprintf(cli_words(cli), "brisk: %s\n", brisk_err_message(err));
        }
    }
    return cli->arena;
}

brisk_err cli_engine(cli_state *cli, bool no_disk, brisk_engine **ret)
{
    static const brisk_log_level levels[] = {BRISK_LOG_ERROR, BRISK_LOG_WARNING, BRISK_LOG_INFO,
                                             BRISK_LOG_DEBUG};
    if (cli->engine == NULL) {
        brisk_engine_opts opts = {.no_disk = no_disk,
                                  .config_path = cli->config_path,
                                  .settings = cli->settings,
                                  .setting_count = cli->setting_count};
        brisk_errinfo info = {0};
        if (cli->verbosity != 0) {
            brisk_log_set_level(levels[cli->verbosity + 1]);
        }
        brisk_err err = brisk_engine_create(&opts, &cli->engine, &info);
        if (err != BRISK_OK) {
            (void)fprintf(cli_words(cli), "brisk: %s\n",
                          info.text[0] != '\0' ? info.text : brisk_err_message(err));
            return err;
        }
        if (cli->verbosity != 0) {
            brisk_log_set_level(levels[cli->verbosity + 1]); /* stronger than the knob log.level */
        }
        cli_spool_jobs(cli, cli->engine);
        if (cli->verbosity >= 0) {
            cli_check_environment(cli_words(cli), brisk_engine_knobs(cli->engine));
        }
    }
    *ret = cli->engine;
    return BRISK_OK;
}

void cli_deinit(cli_state *cli)
{
    brisk_engine_destroy(cli->engine);
    brisk_arena_destroy(cli->arena);
    cli->engine = NULL;
    cli->arena = NULL;
}
