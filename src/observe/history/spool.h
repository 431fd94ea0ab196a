/*
 * spool.h -- runs of jobs on their way to the history: a file of JSON lines beside the database.
 */
#ifndef BRISK_SRC_OBSERVE_HISTORY_SPOOL_H
#define BRISK_SRC_OBSERVE_HISTORY_SPOOL_H

#include <brisk/history.h>
#include <brisk/yaml.h>

#include "base/str.h"

enum {
    HISTORY_PATH_MAX = 4096,
    HISTORY_SPOOL_PATH_MAX = HISTORY_PATH_MAX + 32,
    HISTORY_SPOOL_FILE_MAX = 2 * BRISK_HISTORY_SPOOL_BYTES, /* a larger one is none of ours */
};

/* Files beside the database at PATH: PATH-spool grows, PATH-spool.old is what it was when it was full,
 * PATH-spool.import is being brought in, by the holder of a lock on PATH-lock. */
#define HISTORY_SPOOL        "-spool"
#define HISTORY_SPOOL_OLD    "-spool.old"
#define HISTORY_SPOOL_IMPORT "-spool.import"
#define HISTORY_LOCK         "-lock"

/* Errors: INVALID (no home folder). */
BRISK_NODISCARD brisk_err history_default_path(brisk_str *path, brisk_errinfo *info);
/* Is there something to bring in? */
bool history_spool_waits(const char *path);
/*
 * Take what was spooled out of the way of those who append: it becomes the file to import.
 * Errors: NOT_FOUND (nothing there), DEADLINE, IO.
 */
BRISK_NODISCARD brisk_err history_spool_take(const char *path, const char *from);

/* One line, read; its texts live as long. */
typedef struct history_spool_line {
    brisk_history_run run;
    brisk_history_stage *stages;
    uint32_t stage_count;
    brisk_yaml_doc *doc_;
    const brisk_alloc *alloc_;
} history_spool_line;

/* Errors: INVALID (no run), LIMIT, NOMEM. */
BRISK_NODISCARD brisk_err history_spool_read(const char *text, size_t size,
                                             const brisk_alloc *alloc, history_spool_line *ret);
void history_spool_line_deinit(history_spool_line *line);
/* The line for a run, with its newline; errors are kept in `text`. */
void history_spool_write(brisk_str *text, const brisk_history_run *run,
                         const brisk_history_stage *stages, uint32_t stage_count);

#endif /* BRISK_SRC_OBSERVE_HISTORY_SPOOL_H */
