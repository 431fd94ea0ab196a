/*
 * module.c -- what libbrisk finds when it loads bench.so.
 */
#include <brisk/module.h>

#include "observe/bench/bench.h"
#include "observe/load/load.h"

static const brisk_command *const commands[] = {
    &bench_command, &bench_compare_command, &bench_history_command, &load_command,
    /* further ones are called as `brisk bench NAME` */
};

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "bench",
    .summary = "measure commands, compare them, guard against regressions",
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
};
