/*
 * reload.h -- settings, tokens and the certificate read again, while everybody is served.
 *
 * Threads: the main one's.
 */
#ifndef BRISK_SRC_DAEMON_RELOAD_H
#define BRISK_SRC_DAEMON_RELOAD_H

#include <stdbool.h>
#include <stdio.h>

#include <brisk/engine.h>

#include "daemon/server.h"

/* All files; false: something is wrong, which was said, and settings stay as they were. */
bool reload_node(server *s, brisk_engine *engine, FILE *err);

#endif /* BRISK_SRC_DAEMON_RELOAD_H */
