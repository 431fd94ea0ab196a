/*
 * report.h -- how the commands of pkg speak: names from files made fit for a terminal and for
 * JSON, and the words for kinds and states.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_REPORT_H
#define BRISK_SRC_WORKLOAD_PKG_REPORT_H

#include <stdio.h>

#include <brisk/command.h>
#include <brisk/json.h>

#include "workload/pkg/tree.h"

/* What a terminal would obey becomes '?'. */
void pkg_put(FILE *out, pkg_text text);
/* "lodash 4.17.21", with " (as NAME)" when the folder says another name; the project is
 * "the project" or its name. */
void pkg_put_node(FILE *out, const pkg_node *node);
/* The same, as a path: "." for the project itself. */
void pkg_put_path(FILE *out, const pkg_node *node);
/* "", "dev ", "peer ", "optional ", "optional peer ", "workspace ". */
const char *pkg_kind_word(pkg_dep_kind kind);
/* "prod", "dev", "peer", "optional", "peerOptional", "workspace": as npm calls them. */
const char *pkg_kind_name(pkg_dep_kind kind);
/* "valid", "missing", "invalid", "peer local". */
const char *pkg_state_name(pkg_edge_state state);

/* A member of `json`, or an element when `key` is NULL.  NUL becomes '?', and so does all of it
 * when memory is out. */
void pkg_json_put(brisk_json *json, const char *key, pkg_text text);
/* Members "name", "version" and "path" of the open object. */
void pkg_json_node(brisk_json *json, const pkg_node *node);
/* Members "kind" and "spec", and "overridden" where it is. */
void pkg_json_edge(brisk_json *json, const pkg_edge *edge);

/* "brisk: TEXT" on the invocation's err. */
brisk_exit pkg_fail(const brisk_invocation *in, const brisk_errinfo *info);
/* `{"schema": 1, "lock": PATH` on the invocation's out. */
void pkg_json_begin(brisk_json *json, const brisk_invocation *in, const char *lock);
/* Close it: FAILED when the output is, else `exit`. */
brisk_exit pkg_json_end(brisk_json *json, brisk_exit exit);

#endif /* BRISK_SRC_WORKLOAD_PKG_REPORT_H */
