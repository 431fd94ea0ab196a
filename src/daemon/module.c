/*
 * module.c -- what libbrisk finds when it loads serve.so.
 */
#include <brisk/module.h>

#include "daemon/serve.h"

static const brisk_command *const commands[] = {&serve_command};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "serve",
    .summary = "answer the Redis protocol",
    .commands = commands,
    .command_count = 1,
    .knobs = serve_knobs,
    .knob_count = SERVE_KNOBS,
};
