/*
 * files.h -- static files: the mounts of serve.static.
 *
 *     path ─► hidden? ─► open_cache ─► folder: index, listing, redirect
 *                            │ file
 *                            ├─► a variant for slow connections (photo.low.webp)
 *                            ├─► a variant compressed beforehand (x.js.br), by what the client takes
 *                            ├─► conditions: 304, 412
 *                            ├─► ranges: 206, 416, several as multipart/byteranges
 *                            └─► all of it, through encode_answer
 *
 * What a loop would have to wait for is done on the executor: the path and all that lies beside it
 * are opened there, and the request is answered when they are at hand.
 *
 * A root that is replaced (a link to the present release, say) is noticed within `revalidate`.
 *
 * Threads: mounts are made before the workers run; the rest is the worker's, and the executor's for
 * opening.
 * Sources: RFC 9110 (7.1, 8, 13, 14), RFC 8297 (103), RFC 9842.
 */
#ifndef BRISK_SRC_DAEMON_FILES_FILES_H
#define BRISK_SRC_DAEMON_FILES_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>
#include <brisk/yaml.h>

typedef struct server server;
typedef struct files files;

/* What serve.static and the knobs around it say. */
typedef struct files_settings {
    const brisk_yaml_doc *mounts;  /* NULL: none; borrowed for files_create */
    uint64_t memory_bytes;         /* of small files that are kept in memory */
    uint64_t small_bytes;          /* a file up to this size is */
    uint32_t entries;              /* paths that are remembered, missing ones too */
    uint32_t descriptors;          /* files that are kept open */
    uint64_t variants_bytes;       /* of compressed bodies that are kept */
    uint64_t dictionary_bytes;     /* of dictionaries that are kept ... */
    const char *dictionary_folder; /* ... and where on disk (encode/shelf.h) */
    bool encode_off;               /* nothing is compressed on the way */
} files_settings;

/* Adds its routes to s->http_routes.  *ret NULL: there are no mounts.  Errors (`info` names the line
 * of a mount): INVALID, NOT_FOUND, PERMISSION, UNSUPPORTED (no openat2), NOMEM, CONFLICT. */
BRISK_NODISCARD brisk_err files_create(server *s, const files_settings *settings, files **ret,
                                       brisk_errinfo *info);
struct open_cache_stats;
void files_read_stats(files *self, struct open_cache_stats *ret);
/* Until the executor has nothing of it; the loops have stopped, and are still there. */
void files_wait(files *self); /* NULL is accepted */
/* After files_wait, and after the connections. */
void files_destroy(files *self); /* NULL is accepted */

#endif /* BRISK_SRC_DAEMON_FILES_FILES_H */
