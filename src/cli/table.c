/*
 * table.c -- the commands of the program itself.  Usage, help, manual and completion come from it.
 */
#include <string.h>

#include "cli/commands.h"

static const brisk_command *const top_commands[] = {
    &cmd_config,
    &cmd_help,
    &cmd_version,
    &cmd_module_manifest,
};

static const brisk_command *const cache_commands[] = {
    &cmd_cache_get,   &cmd_cache_set,     &cmd_cache_invalidate, &cmd_cache_warm, &cmd_cache_record,
    &cmd_cache_stats, &cmd_cache_analyze, &cmd_cache_clear,      &cmd_cache_path,
};

static const brisk_command *const node_commands[] = {
    &cmd_node_health, &cmd_node_stats,  &cmd_node_metrics, &cmd_node_jobs,   &cmd_node_submit,
    &cmd_node_result, &cmd_node_cancel, &cmd_node_knobs,   &cmd_node_reload,
};

static const cli_group groups[] = {
    {.commands = top_commands, .command_count = sizeof top_commands / sizeof top_commands[0]},
    {.name = "cache",
     .summary = "what is remembered, and where",
     .commands = cache_commands,
     .command_count = sizeof cache_commands / sizeof cache_commands[0]},
    {.name = "node",
     .summary = "ask a running node, here or elsewhere",
     .commands = node_commands,
     .command_count = sizeof node_commands / sizeof node_commands[0]},
};

const brisk_option cli_globals[] = {
    [CLI_GLOBAL_HELP] = {.name = "help", .letter = 'h', .summary = "show help and do nothing else"},
    [CLI_GLOBAL_VERSION] = {.name = "version", .summary = "show the version"},
    [CLI_GLOBAL_CONFIG] = {.name = "config",
                           .type = BRISK_OPTION_FILE,
                           .metavar = "FILE",
                           .summary = "read FILE instead of ./brisk.yaml"},
    [CLI_GLOBAL_SET] = {.name = "set",
                        .type = BRISK_OPTION_TEXT,
                        .metavar = "KNOB=VALUE",
                        .summary = "set a knob for this run; may be repeated"},
    [CLI_GLOBAL_VERBOSE] = {.name = "verbose",
                            .letter = 'v',
                            .summary = "log more; twice: everything"},
    [CLI_GLOBAL_QUIET] = {.name = "quiet", .letter = 'q', .summary = "log errors only"},
};

cli_catalog cli_builtin(void)
{
    return (cli_catalog){.groups = groups, .count = sizeof groups / sizeof groups[0]};
}

const cli_group *cli_find_group(cli_catalog catalog, const char *name)
{
    for (uint32_t i = 0; i < catalog.count; i++) {
        const char *own = catalog.groups[i].name;
        if (own != NULL && strcmp(own, name) == 0) {
            return &catalog.groups[i];
        }
    }
    return NULL;
}

const brisk_command *cli_own_command(const cli_group *group)
{
    return group->module ? cli_find_command(group, group->name) : NULL;
}

const brisk_command *cli_find_command(const cli_group *group, const char *name)
{
    for (uint32_t i = 0; i < group->command_count; i++) {
        if (strcmp(group->commands[i]->name, name) == 0) {
            return group->commands[i];
        }
    }
    return NULL;
}
