/*
 * shelf.h -- dictionaries on disk: what a client keeps for days outlives the process that gave it.
 *
 * A folder of the node's own (mode 0700), a file for each dictionary, whose name is the SHA-256 of
 * its bytes in hex: the name a client uses (Available-Dictionary) is also the checksum.  A file that
 * is not what its name says, or is nobody's regular file, is removed; names that are no hash are left
 * alone.  The newest files stay that fit the bound; the time of a file is when its bytes were last
 * offered.
 *
 * Several nodes of one user may share a folder: files appear whole (brisk_file_replace), nobody
 * changes one, and one that is gone is none.
 *
 * Threads: any; no state but the folder's path.  Everything waits for the disk.
 * Source: RFC 9842.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_SHELF_H
#define BRISK_SRC_DAEMON_ENCODE_SHELF_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>
#include <brisk/value.h>

#include "daemon/encode/dictionary.h"

enum { SHELF_PATH_MAX = 3800, SHELF_FILES_MAX = 4096 /* more names are not looked at */ };

typedef struct shelf {
    const brisk_alloc *alloc;
    char folder[SHELF_PATH_MAX]; /* "": nothing is kept */
} shelf;

/* `folder` "off": nothing is kept; "": $STATE_DIRECTORY, $XDG_STATE_HOME/brisk or
 * ~/.local/state/brisk, and `dictionaries` in it.  Nothing is made before something is kept. */
void shelf_init(shelf *self, const char *folder, const brisk_alloc *alloc);
/* Keep the bytes, or say that they are in use again.  What cannot be kept is logged. */
void shelf_put(const shelf *self, const uint8_t hash[ENCODE_HASH_BYTES], codec_bytes bytes);
void shelf_drop(const shelf *self, const uint8_t hash[ENCODE_HASH_BYTES]);
/* Give what is there to `found`, oldest first: the newest `count_max` of at most `bytes_max`
 * together.  The others are removed. */
void shelf_load(const shelf *self, uint32_t count_max, uint64_t bytes_max,
                void (*found)(void *ctx, brisk_value *value), void *ctx);

#endif /* BRISK_SRC_DAEMON_ENCODE_SHELF_H */
