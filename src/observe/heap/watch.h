/*
 * watch.h -- the files that sampled processes write into one folder, looked at again and again.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_HEAP_WATCH_H
#define BRISK_SRC_OBSERVE_HEAP_WATCH_H

#include "observe/heap/series.h"

enum { HEAP_WATCHED_MAX = 64, HEAP_PATH_MAX = 1024 };

typedef struct heap_watched {
    uint32_t pid;
    bool alive;
    char path[HEAP_PATH_MAX];
    char command[HEAP_COMMAND_MAX];
    uint64_t peak;
    uint64_t rss;      /* last seen */
    uint64_t rss_peak; /* as the kernel tells */
    heap_series series;
} heap_watched;

typedef struct heap_watch {
    const brisk_alloc *alloc;
    const char *folder; /* NULL: nothing is looked for */
    BRISK_VEC(heap_watched) items;
    uint32_t left_out; /* more processes than are watched */
} heap_watch;

void heap_watch_init(heap_watch *watch, const char *folder, const brisk_alloc *alloc);
void heap_watch_deinit(heap_watch *watch);
/* Watch one file.  Errors: NOMEM, LIMIT. */
BRISK_NODISCARD brisk_err heap_watch_add(heap_watch *watch, uint32_t pid, const char *path);
/* Look for new files, and take a point of each process that lives.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err heap_watch_poll(heap_watch *watch, uint64_t time_ns);
/* The process whose heap was the largest; NULL: none. */
heap_watched *heap_watch_main(heap_watch *watch);

/* The file that a process has mapped; false: it has none.  Its path is as this process can open it. */
bool heap_file_of(uint32_t pid, char path[HEAP_PATH_MAX]);

#endif /* BRISK_SRC_OBSERVE_HEAP_WATCH_H */
