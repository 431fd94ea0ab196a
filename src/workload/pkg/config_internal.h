/*
 * config_internal.h -- what the readers of settings share.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_CONFIG_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_CONFIG_INTERNAL_H

#include "workload/pkg/npmrc.h"
#include "workload/pkg/project.h"

/* The nearest first. */
enum { CONFIG_ENVIRONMENT, CONFIG_PROJECT, CONFIG_USER, CONFIG_GLOBAL, CONFIG_SOURCES };

typedef struct config_reader {
    npmrc sources[CONFIG_SOURCES];
    char *const *environment;
    brisk_arena *arena;
    brisk_errinfo *info;
} config_reader;

/* The entry that counts, and where it is from; NULL and CONFIG_SOURCES: none. */
const npmrc_entry *config_find(const config_reader *c, pkg_text key, int *ret_source);
/* CORRUPT: file, line, key and `what`, never the value. */
brisk_err config_fail(const config_reader *c, int source, const npmrc_entry *entry,
                      const char *what);
brisk_err config_no_memory(const config_reader *c);
/* Everything but registries and secrets. */
brisk_err config_values(const config_reader *c, pkg_config *config);
/* Registries and what may be sent to them. */
brisk_err config_registries(const config_reader *c, pkg_config *config);

#endif /* BRISK_SRC_WORKLOAD_PKG_CONFIG_INTERNAL_H */
