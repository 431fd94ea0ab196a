/*
 * commands.h -- what `brisk pkg` can do; each command in its cmd_*.c.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_COMMANDS_H
#define BRISK_SRC_WORKLOAD_PKG_COMMANDS_H

#include <brisk/command.h>

extern const brisk_command pkg_cmd_check;
extern const brisk_command pkg_cmd_deb;
extern const brisk_command pkg_cmd_diff;
extern const brisk_command pkg_cmd_graph;
extern const brisk_command pkg_cmd_order;
extern const brisk_command pkg_cmd_outdated;
extern const brisk_command pkg_cmd_resolve;
extern const brisk_command pkg_cmd_test_resolution;
extern const brisk_command pkg_cmd_tree;
extern const brisk_command pkg_cmd_why;
extern const brisk_command pkg_cmd_why_not;

#endif /* BRISK_SRC_WORKLOAD_PKG_COMMANDS_H */
