/*
 * cmd_version.c -- `brisk version`.
 */
#include <brisk/json.h>
#include <brisk/module.h>
#include <brisk/version.h>

#include "cli/commands.h"

enum { OPTION_JSON };

static const brisk_option options[] = {
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
};

static brisk_exit run(const brisk_invocation *invocation)
{
    if (invocation->values == NULL || !invocation->values[OPTION_JSON].set) {
        (void)fprintf(invocation->out, "brisk %s\n", brisk_version());
        return BRISK_EXIT_OK;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(invocation->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "version", brisk_version());
    brisk_json_u64(&json, "module_abi", BRISK_ABI_VERSION);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

const brisk_command cmd_version = {
    .name = "version",
    .group = "Program",
    .synopsis = "[--json]",
    .summary = "print the version",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
