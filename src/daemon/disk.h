/*
 * disk.h -- the disk tier behind the keys in memory.
 *
 * Every change goes to the disk tier too, behind the client's back; a key that is not in memory is
 * looked for on disk by a thread of its own before its command runs, while the client waits and the
 * loop goes on.
 */
#ifndef BRISK_SRC_DAEMON_DISK_H
#define BRISK_SRC_DAEMON_DISK_H

#include "daemon/server.h"

typedef struct disk disk;

/* The tier alone, for the keyspace, which owns it. */
BRISK_NODISCARD brisk_err disk_open_tier(server *s, const char *path, uint64_t bytes_max,
                                         brisk_tier **ret, brisk_errinfo *info);
/* Let changes go there and keys come from there. */
BRISK_NODISCARD brisk_err disk_start(server *s, brisk_tier *tier, disk **ret);
/* Everything is written; nothing goes there any more.  NULL is accepted. */
void disk_stop(disk *d);
/* Does `cmd` need a key that may be on disk?  Then it is held, its client waits, and true. */
bool disk_fetch(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc);
/* Somebody who waits for a key and is no client of the Redis protocol. */
typedef struct disk_waiter {
    loop_task task; /* first; posted when the key was looked for: memory may have it now */
    struct disk_waiter *next;
    loop *loop;
    /* What was found, the waiter's reference: memory need not have kept it.  NULL: nothing. */
    brisk_value *value;
    uint64_t expires_at_ns;
} disk_waiter;

/* Is `key` not in memory, and may be on disk?  Then `w` waits, and true; under the server's lock.  False: it is in
 * memory, in w->value (it was on its way to disk), or nowhere. */
bool disk_want(server *s, resp_bytes key, disk_waiter *w);
/* It does not wait any more.  False: its task was posted already, and will run.  Under the server's lock. */
bool disk_unwant(server *s, resp_bytes key, disk_waiter *w);
/* `key` changed: what memory holds now goes to disk. */
void disk_changed(server *s, resp_bytes key);
void disk_cleared(server *s);
/* The client goes: nobody waits for its keys. */
void disk_forget(client *c);
void disk_stats(server *s, brisk_tier_stats *ret);

/* --- for disk_walk.c ---------------------------------------------------------------------- */

struct disk_walker *disk_walker_of(const disk *d);
brisk_tier *disk_tier_of(const disk *d);
/* The number of the last change; under the server's lock. */
uint64_t disk_asked(disk *d);
/* All changes up to that number are on disk; false: the end came first. */
bool disk_wait_written(disk *d, uint64_t number);
/* The key is being removed from disk. */
bool disk_is_gone(disk *d, const brisk_key *stored);

#endif /* BRISK_SRC_DAEMON_DISK_H */
