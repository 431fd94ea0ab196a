/*
 * space.h -- what is mapped where in the processes that are profiled, and the files behind it.
 *
 * A module is a file (or the vdso, the kernel, the code that a compiler at run time made in one
 * process); it is opened when it is first seen, because it may be gone when the profile is made, and
 * read when it is first needed.  A space is the mappings of one process.  Modules live until the end;
 * a space is replaced when its process executes another program.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_SPACE_H
#define BRISK_SRC_OBSERVE_PROFILE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

#include "base/vec.h"
#include "observe/profile/cfi.h"
#include "observe/profile/elf_file.h"

enum {
    PROF_PATH_MAX = 4096,
    PROF_MAPS_MAX = 65536, /* of one process */
    PROF_MODULES_MAX = 65536,
    PROF_SPACES_MAX = 65536,
    PROF_MAPS_ALL_MAX =
        1 << 22, /* of all processes: a fork of 48 bytes copies what its parent has */
};

typedef enum prof_module_kind {
    PROF_MODULE_UNKNOWN = 0, /* number 0: addresses in no mapping */
    PROF_MODULE_FILE,
    PROF_MODULE_VDSO,
    PROF_MODULE_JIT, /* mappings without a file, of process `pid` */
    PROF_MODULE_KERNEL,
} prof_module_kind;

typedef struct prof_module {
    prof_module_kind kind;
    uint32_t pid;   /* JIT, and through whose root a file is found */
    uint32_t owner; /* JIT: the process's user, who may name its code */
    char *path;     /* as the process sees it */
    uint64_t device;
    uint64_t inode;
    prof_elf elf;
    bool is_elf;
    bool cfi_tried;
    prof_cfi cfi;
} prof_module;

typedef struct prof_map {
    uint64_t start;
    uint64_t end;
    uint64_t bias; /* address in the process less this is the module's own */
    uint32_t module;
} prof_map;

typedef struct prof_space {
    uint32_t pid;
    uint32_t generation; /* another whenever the mappings change; never 0 */
    bool alive;
    BRISK_VEC(prof_map) maps; /* by start, no two overlap */
} prof_space;

typedef struct prof_spaces {
    const brisk_alloc *alloc;
    BRISK_VEC(prof_module) modules;
    BRISK_VEC(prof_space *) spaces; /* the newest of a process last */
    size_t map_count;               /* of all spaces */
    uint32_t generation;
    bool offline;  /* what is read was recorded elsewhere: /proc tells nothing about it */
    bool no_files; /* nothing is opened */
    brisk_err err; /* a lack of memory or room; mappings are then missing */
} prof_spaces;

/* Errors: NOMEM. */
BRISK_NODISCARD brisk_err prof_spaces_init(prof_spaces *spaces, const brisk_alloc *alloc);
void prof_spaces_deinit(prof_spaces *spaces);

/* What the kernel said of one executable mapping. */
typedef struct prof_mapping {
    uint64_t start;
    uint64_t size;
    uint64_t offset;
    uint64_t device; /* 0 with inode 0: no file */
    uint64_t inode;
    const char *path;
} prof_mapping;

/* The space of a process; a new, empty one when there is none.  NULL: out of memory or too many. */
prof_space *prof_space_of(prof_spaces *spaces, uint32_t pid);
/* A mapping replaces what lay there. */
void prof_space_map(prof_spaces *spaces, prof_space *space, const prof_mapping *mapping);
/* Another program: nothing is mapped. */
void prof_space_exec(prof_spaces *spaces, uint32_t pid);
/* A child that begins with its parent's mappings. */
void prof_space_fork(prof_spaces *spaces, uint32_t parent, uint32_t child);
/* Read /proc/PID/maps of a running process; what can't be read is not there. */
void prof_space_read(prof_spaces *spaces, uint32_t pid);
/* The mapping at `address`, or NULL. */
const prof_map *prof_space_find(const prof_space *space, uint64_t address);
/* The unwind table of a module, made at the first call; NULL: it has none. */
const prof_cfi *prof_module_cfi(prof_spaces *spaces, uint32_t module);
/* The number of the kernel's module. */
enum { PROF_KERNEL_MODULE = 1 };

#endif /* BRISK_SRC_OBSERVE_PROFILE_SPACE_H */
