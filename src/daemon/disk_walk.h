/*
 * disk_walk.h -- commands that ask for keys at large (SCAN, KEYS, RANDOMKEY, DBSIZE) and the disk.
 *
 * Such a command is held while a thread walks through the disk tier's index; what it found is put
 * to the client, and the command runs again, with it.
 */
#ifndef BRISK_SRC_DAEMON_DISK_WALK_H
#define BRISK_SRC_DAEMON_DISK_WALK_H

#include "daemon/disk.h"

typedef enum disk_walk_kind {
    DISK_WALK_NONE, /* memory will do */
    DISK_WALK_SOME, /* `count` keys from `cursor` on */
    DISK_WALK_ALL,  /* that match `pattern` */
    DISK_WALK_RANDOM,
    DISK_WALK_COUNT,
} disk_walk_kind;

/* What a command wants. */
typedef struct disk_ask {
    disk_walk_kind kind;
    uint32_t count;
    uint64_t cursor; /* of the disk tier; RANDOM: a number */
    resp_bytes pattern;
} disk_ask;

/* What was found; `err` is LIMIT when it was too much, and `effort` 0 when the pattern was. */
typedef struct disk_found {
    brisk_err err;
    uint64_t effort;
    uint64_t cursor;
    uint64_t entries; /* COUNT */
    bool may_lack;    /* the tier may not have all that memory has */
    const char *keys; /* as the tier has them; see disk_found_next */
    size_t size;
} disk_found;

typedef struct disk_walker disk_walker;

BRISK_NODISCARD brisk_err disk_walker_start(server *s, disk *d, disk_walker **ret);
/* NULL is accepted.  The disk's other threads still run, and nobody holds a lock. */
void disk_walker_stop(disk_walker *walker);
/* Does `cmd` ask for what must be looked for first?  Then it is held, and true. */
bool disk_walk(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc);
/* What was found for the command that runs; NULL: nothing was looked for, see disk_walk_missing. */
const disk_found *disk_walk_found(const client *c);
/* Memory alone is all there is to answer from though there is a disk: no memory was left to ask. */
bool disk_walk_missing(const client *c);
/* The key at *at, which moves on; false: that was the last. */
bool disk_found_next(const disk_found *found, size_t *at, brisk_key *ret);
/* The command is done, or the client goes. */
void disk_walk_end(client *c);

#endif /* BRISK_SRC_DAEMON_DISK_WALK_H */
