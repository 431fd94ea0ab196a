/*
 * stats_file.h -- samples that outlive the process: a file with a place for every period of the longer levels.
 *
 *     header (4096) | slots of 60 s | slots of 300 s | slots of 1800 s
 *     slot of a period p (its begin / its step): p modulo the slots of its level
 *     slot: hash of place and sample, sample
 *
 * The place follows from the time, so there is nothing to keep beside the slots: no position, no order, no log.  A slot
 * whose hash is wrong (the machine stopped while it was written) is one sample less.  The file has its full size from the
 * beginning, so that a disk that fills up later takes nothing away.
 *
 * Who holds the file's lock (flock) writes; others read.  A file of another shape (a newer brisk's) begins anew once
 * somebody writes; one that is no such file is left alone.
 *
 * Slots are not synced: a process that is killed loses nothing that was written, a machine that stops the last half
 * minute or so.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_DAEMON_API_STATS_FILE_H
#define BRISK_SRC_DAEMON_API_STATS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "daemon/api/stats.h"
#include "daemon/sockets.h"

typedef struct stats_file stats_file;

/* Nothing is opened yet.  Errors: NOMEM, LIMIT (the path). */
BRISK_NODISCARD brisk_err stats_file_create(const char *path, const brisk_alloc *alloc,
                                            stats_file **ret);
void stats_file_destroy(stats_file *f); /* NULL is accepted */

/* Have the file and its lock; both are kept.  Errors, with `info`: CONFLICT (another process has it), those of files. */
BRISK_NODISCARD brisk_err stats_file_own(stats_file *f, brisk_errinfo *info);
/*
 * Put a sample into the slot of its period, unless there is a longer one of the same period.  Needs the lock.
 * Errors: those of files.
 */
BRISK_NODISCARD brisk_err stats_file_put(stats_file *f, uint32_t level, const stats_sample *sample,
                                         brisk_errinfo *info);
/* The sample of that period; false: there is none, or it is damaged. */
bool stats_file_get(stats_file *f, uint32_t level, uint64_t period, stats_sample *ret);
const char *stats_file_path(const stats_file *f);

/* Where the figures of a node that listens there first are by default; false: nowhere (no home, a port that is any). */
bool stats_file_default(const listen_socket *first, char *path, size_t room);

#endif /* BRISK_SRC_DAEMON_API_STATS_FILE_H */
