/*
 * map_guard.h -- mapped files that may become shorter, or unreadable, under their readers.
 *
 * The kernel answers an access to a page of a mapping that has no page of the file behind it with a
 * SIGBUS.  For a guarded mapping the page is replaced by a private one of zeros instead, and the
 * mapping is noted as hit: checksums refuse the zeros, and who finds the mapping hit asks the file
 * itself.  Other faults go to the handler that was there before, or end the process as ever.
 *
 * Invariant: a place is written by who took it only; the handler reads begin and end, and no byte
 * of the mapping is touched before brisk_map_guard_take or after brisk_map_guard_leave.
 *
 * Limits: somebody who installs another handler for SIGBUS later gets these faults too.
 *
 * Threads: any; the handler takes no lock.
 * Source: the idea is systemd-journald's.
 */
#ifndef BRISK_SRC_BASE_MAP_GUARD_H
#define BRISK_SRC_BASE_MAP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/base.h>

enum { BRISK_MAP_GUARDS = 2048 };

/* Guard a mapping; 0: it cannot be guarded (too many are), so do without it. */
BRISK_NODISCARD uint32_t brisk_map_guard_take(const void *map, size_t size);
/* To be called before the mapping goes.  0 is accepted. */
void brisk_map_guard_leave(uint32_t guard);
/* Whether a page of it was replaced. */
bool brisk_map_guard_hit(uint32_t guard);

#endif /* BRISK_SRC_BASE_MAP_GUARD_H */
