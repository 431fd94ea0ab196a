/*
 * module.c -- what libbrisk finds when it loads pkg.so.
 */
#include <brisk/module.h>

#include "workload/pkg/commands.h"
#include "workload/pkg/resolve.h"

/* One a line, sorted. */
/* clang-format off */
static const brisk_command *const commands[] = {
    &pkg_cmd_check,
    &pkg_cmd_deb,
    &pkg_cmd_diff,
    &pkg_cmd_graph,
    &pkg_cmd_order,
    &pkg_cmd_outdated,
    &pkg_cmd_resolve, &pkg_cmd_test_resolution,
    &pkg_cmd_tree,
    &pkg_cmd_why,
    &pkg_cmd_why_not,
};
/* clang-format on */

BRISK_API extern const brisk_module brisk_module_descriptor;

const brisk_module brisk_module_descriptor = {
    .abi_version = BRISK_ABI_VERSION,
    .size = sizeof(brisk_module),
    .name = "pkg",
    .summary = "resolve packages and explain what was resolved",
    .workload = &pkg_workload,
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
};
