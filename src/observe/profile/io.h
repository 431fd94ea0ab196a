/*
 * io.h -- `brisk profile --io`: system calls that a program spends its time in, and bytes by file.
 *
 * Time comes from the stacks of a recording: what the kernel does below read(2) is read's, running or
 * blocked.  Bytes of the process are the kernel's own count (/proc/PID/io); bytes by file are
 * followed by the positions of open files (/proc/PID/fdinfo), looked at a few times a second: what a
 * file that was open only between two looks took is missing, and shown as "elsewhere".
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_IO_H
#define BRISK_SRC_OBSERVE_PROFILE_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <brisk/alloc.h>
#include <brisk/json.h>

#include "observe/profile/model.h"

enum { PROF_IO_FILES_MAX = 4096, PROF_IO_CALLS_MAX = 64, PROF_IO_TICK_MS = 100 };

typedef struct prof_io_file {
    uint64_t device;
    uint64_t inode;
    int fd;
    uint64_t position;
    uint64_t read;
    uint64_t written;
    uint32_t last_look;
    bool seen; /* at the look before */
    char path[256];
} prof_io_file;

typedef struct prof_io_counts {
    uint64_t read_chars; /* what calls gave, from memory or from a device */
    uint64_t written_chars;
    uint64_t read_calls;
    uint64_t write_calls;
    uint64_t read_bytes; /* from devices */
    uint64_t written_bytes;
} prof_io_counts;

typedef struct prof_io {
    const brisk_alloc *alloc;
    bool from_start; /* the process began with the recording */
    bool has_first;
    prof_io_counts first;
    prof_io_counts last;
    BRISK_VEC(prof_io_file) files;
    uint32_t looks;
    brisk_err err;
} prof_io;

void prof_io_init(prof_io *io, const brisk_alloc *alloc, bool from_start);
void prof_io_deinit(prof_io *io);
/* Look at a process; `ctx` is a prof_io.  What can't be read is as it was. */
void prof_io_look(void *ctx, int32_t pid);

BRISK_NODISCARD brisk_err prof_io_text(const prof_io *io, const prof_model *model, FILE *out);
void prof_io_json(const prof_io *io, const prof_model *model, brisk_json *json);

#endif /* BRISK_SRC_OBSERVE_PROFILE_IO_H */
