/*
 * reload.h -- settings, tokens and the certificate read again, while everybody is served.
 *
 * Threads: any, one after the other.
 */
#ifndef BRISK_SRC_DAEMON_RELOAD_H
#define BRISK_SRC_DAEMON_RELOAD_H

#include <stdbool.h>
#include <stdio.h>

#include <brisk/engine.h>

#include "daemon/server.h"

typedef enum reload_result {
    RELOAD_DONE,
    RELOAD_REFUSED, /* something is wrong, which was said, and stays as it was */
    RELOAD_PARTLY,  /* settings have changed that need another process, which was said */
} reload_result;

/* All files. */
reload_result reload_node(server *s, brisk_engine *engine, FILE *err);

#endif /* BRISK_SRC_DAEMON_RELOAD_H */
