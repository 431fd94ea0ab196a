/*
 * internal.h -- what the files of files/ share.
 */
#ifndef BRISK_SRC_DAEMON_FILES_INTERNAL_H
#define BRISK_SRC_DAEMON_FILES_INTERNAL_H

#include <pthread.h>

#include "daemon/files/files.h"
#include "daemon/files/mounts.h"
#include "daemon/files/range.h"
#include "daemon/http/bandwidth.h"

/* What lies beside a file: bits of file_entry.near. */
enum near_bit {
    NEAR_BROTLI = 1 << 0,
    NEAR_ZSTD = 1 << 1,
    NEAR_GZIP = 1 << 2,
    NEAR_LOW = 1 << 3,
    NEAR_MEDIUM = 1 << 4,
    NEAR_STORED = NEAR_BROTLI | NEAR_ZSTD | NEAR_GZIP,
    NEAR_BY_CLASS = NEAR_LOW | NEAR_MEDIUM,
    NEAR_OFFERED = 1 << 5, /* it was given to encode/ as a dictionary */
    NEAR_WARMED = 1 << 6,  /* what its links name was brought to memory */
    NEAR_DONE = NEAR_OFFERED | NEAR_WARMED,
};

typedef struct files_wait files_wait_task;

struct files {
    server *server;
    const brisk_alloc *alloc;
    open_cache *cache;
    mount *mounts;
    uint32_t mount_count;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t idle;
    uint32_t running;
    files_wait_task *waits;
};

/* One request; in the exchange's memory. */
typedef struct file_ask {
    exchange *x;
    mount *mount;
    files_wait_task *waits; /* NULL: not on the executor */
    bool folder;            /* the path ends with '/' */
    char *path;             /* relative to the root, terminated */
    size_t path_size;
    char *file;  /* the path, or its index */
    void *parts; /* of multipart.c */
} file_ask;

/* --- files.c ---------------------------------------------------------------------------------- */

/* What a value of Link names, when it is of the same mount, to memory, on the executor. */
void files_warm_link(const file_ask *ask, const char *link);

/* --- send.c ----------------------------------------------------------------------------------- */

/* The path of what lies beside; false: it is too long. */
bool files_near_path(const char *path, uint32_t bit, char *to, size_t room);
/* What is looked for beside files of the mount. */
uint32_t files_near_wanted(const mount *m);
/* Find what lies beside `entry`, unless that is known.  FOUND: entry->near says it. */
file_found files_look_near(file_ask *ask, file_entry *entry, bool wait);
/* Answer with the file: takes the reference of `entry`, whose surroundings are known. */
void files_send(file_ask *ask, file_entry *entry);

/* --- listing.c -------------------------------------------------------------------------------- */

/* HTML of a folder; may wait for the disk.  Errors: NOT_FOUND, PERMISSION, IO, LIMIT, NOMEM. */
BRISK_NODISCARD brisk_err files_list(const mount *m, const char *path, http_text shown,
                                     const brisk_alloc *alloc, brisk_value **ret);
/* `text` percent-encoded as a path. */
BRISK_NODISCARD brisk_err files_escape_path(http_text text, const brisk_alloc *alloc, char **ret,
                                            size_t *size);

/* --- multipart.c ------------------------------------------------------------------------------ */

/* Answer 206 with several parts; `fields` without content-type, which is `type`.  Takes the
 * reference of `entry`. */
void files_send_parts(file_ask *ask, file_entry *entry, const range_set *set,
                      const http_answer *answer, http_text type);
void files_parts_writable(file_ask *ask);
void files_parts_gone(file_ask *ask);

#endif /* BRISK_SRC_DAEMON_FILES_INTERNAL_H */
