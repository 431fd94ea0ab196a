/*
 * engine.h -- the one engine of a node: its cache, its executor, its workloads.
 *
 * `brisk serve` gives the server the engine that its settings were read into; a server that got none
 * makes one at the first need, without files and disk.  Its figures stand in the server's registry.
 *
 * Order at the end: whoever has jobs (api/jobs.c, the proxy) ends them, then server_engine_end, then
 * the registry goes.
 *
 * Threads: server_engine from any; the others from the one that creates and destroys the server.
 */
#ifndef BRISK_SRC_DAEMON_ENGINE_H
#define BRISK_SRC_DAEMON_ENGINE_H

#include <brisk/engine.h>

#include "daemon/server.h"

/* `given` is borrowed; NULL: one is made when it is needed.  After the metrics.  Errors: those of
 * brisk_engine_watch, NOMEM. */
BRISK_NODISCARD brisk_err server_engine_begin(server *s, brisk_engine *given);
/* Until server_engine_end; NULL: it could not be made, which was logged. */
brisk_engine *server_engine(server *s);
/* Every job is destroyed, nobody asks any more. */
void server_engine_end(server *s);

#endif /* BRISK_SRC_DAEMON_ENGINE_H */
