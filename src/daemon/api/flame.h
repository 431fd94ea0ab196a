/*
 * flame.h -- collapsed stacks as a tree: what a flame graph shows; and the difference of two.
 *
 *     "main;serve;read 12\n..."  ─►  root ── main ── serve ── read (12)
 *
 * A node counts what was seen in it and below, once for each of the two profiles that may be in the tree.
 * What is too deep, or too much, is counted where it was cut off: no sample is lost.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_DAEMON_API_FLAME_H
#define BRISK_SRC_DAEMON_API_FLAME_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/json.h>

#include "base/str.h"

enum { FLAME_DEPTH_MAX = 24, FLAME_NODES_MAX = 20000, FLAME_NAME_MAX = 200 };

typedef struct flame flame;

BRISK_NODISCARD brisk_err flame_create(const brisk_alloc *alloc, flame **ret);
void flame_destroy(flame *f); /* NULL is accepted */
/* Add stacks to count 0 or 1.  Lines that are none are left out.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err flame_add(flame *f, uint32_t which, const char *text, size_t size);
uint64_t flame_total(const flame *f, uint32_t which);
/* {"name", "value", "children": [...]}, with "before" when count 1 is of an earlier profile. */
void flame_put(const flame *f, brisk_json *json, const char *key, bool with_before);
/* A picture: boxes as wide as their share; with_before: red what grew, blue what shrank. */
void flame_svg(const flame *f, brisk_str *text, bool with_before);

#endif /* BRISK_SRC_DAEMON_API_FLAME_H */
