/*
 * commands.h -- the table entries of the program's own commands, one line and file per command.
 */
#ifndef BRISK_SRC_CLI_COMMANDS_H
#define BRISK_SRC_CLI_COMMANDS_H

#include "cli/cli.h"

extern const brisk_command cmd_cache_analyze;    /* cmd_analyze.c */
extern const brisk_command cmd_cache_clear;      /* cmd_cache.c */
extern const brisk_command cmd_cache_get;        /* cmd_cache_entry.c */
extern const brisk_command cmd_cache_invalidate; /* cmd_cache_entry.c */
extern const brisk_command cmd_cache_path;       /* cmd_cache.c */
extern const brisk_command cmd_cache_record;     /* cmd_cache_record.c */
extern const brisk_command cmd_cache_set;        /* cmd_cache_entry.c */
extern const brisk_command cmd_cache_stats;      /* cmd_cache.c */
extern const brisk_command cmd_cache_warm;       /* cmd_cache_warm.c */
extern const brisk_command cmd_config;           /* cmd_config.c */
extern const brisk_command cmd_help;             /* cmd_help.c */
extern const brisk_command cmd_module_manifest;  /* cmd_manifest.c */
extern const brisk_command cmd_node_cancel;      /* cmd_node.c */
extern const brisk_command cmd_node_health;      /* cmd_node.c */
extern const brisk_command cmd_node_jobs;        /* cmd_node.c */
extern const brisk_command cmd_node_knobs;       /* cmd_node.c */
extern const brisk_command cmd_node_reload;      /* cmd_reload.c */
extern const brisk_command cmd_node_metrics;     /* cmd_node.c */
extern const brisk_command cmd_node_result;      /* cmd_node.c */
extern const brisk_command cmd_node_stats;       /* cmd_node.c */
extern const brisk_command cmd_node_submit;      /* cmd_node.c */
extern const brisk_command cmd_version;          /* cmd_version.c */

#endif /* BRISK_SRC_CLI_COMMANDS_H */
