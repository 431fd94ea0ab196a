/*
 * elf_file.h -- the little of an ELF file that a profiler needs, read with bounds: segments, the two
 * symbol tables, .eh_frame, build-id and debuglink.
 *
 * A file is read with pread, never mapped: somebody may cut it short meanwhile, and a mapping that
 * ends is a SIGBUS.  Everything in it is hostile: no offset, count or size is believed before it was
 * held against the file's size.  64-bit little-endian files only.
 *
 * Source: System V ABI, chapters 4 and 5; Linux <elf.h>.  Threads: one at a time.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_ELF_FILE_H
#define BRISK_SRC_OBSERVE_PROFILE_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

enum {
    PROF_ELF_SEGMENTS_MAX = 64,
    PROF_ELF_SECTIONS_MAX = 65536,
    PROF_ELF_BUILD_ID_MAX = 32,
    PROF_ELF_LINK_MAX = 256,
};

#define PROF_ELF_BYTES_MAX (UINT64_C(1) << 30) /* of one section */

typedef struct prof_elf_part {
    uint64_t offset; /* in the file */
    uint64_t size;   /* 0: not there */
    uint64_t address;
    uint32_t link; /* number of another section: the strings of a table of symbols */
} prof_elf_part;

typedef struct prof_elf {
    int fd;                      /* owned; -1: `memory` */
    const unsigned char *memory; /* borrowed; for the vdso */
    uint64_t size;
    uint32_t segment_count;
    prof_elf_part segments[PROF_ELF_SEGMENTS_MAX]; /* those that are loaded */
    uint64_t entry;
    bool is_x86_64;
    bool has_dwarf; /* .debug_info is there */
    prof_elf_part symbols;
    prof_elf_part symbol_names;
    prof_elf_part dynamic_symbols;
    prof_elf_part dynamic_names;
    prof_elf_part eh_frame;
    uint8_t build_id[PROF_ELF_BUILD_ID_MAX];
    uint32_t build_id_size;
    char debug_link[PROF_ELF_LINK_MAX];
} prof_elf;

/*
 * Read the headers of an open file, which belongs to *ret afterwards, also on failure (then it is
 * closed).  Errors: CORRUPT (`info`: what, at which offset), UNSUPPORTED (32 bits, big-endian), IO,
 * NOMEM.
 */
BRISK_NODISCARD brisk_err prof_elf_open(int fd, prof_elf *ret, brisk_errinfo *info);
/* Likewise of bytes that stay where they are. */
BRISK_NODISCARD brisk_err prof_elf_open_memory(const void *data, size_t size, prof_elf *ret,
                                               brisk_errinfo *info);
void prof_elf_close(prof_elf *elf);
/* The bytes of a part, of `part->size` bytes, for the caller to release. */
BRISK_NODISCARD brisk_err prof_elf_read(const prof_elf *elf, const prof_elf_part *part,
                                        const brisk_alloc *alloc, unsigned char **ret);
/* Where the byte at `offset` of the file lies in memory, before relocation. */
bool prof_elf_address_of(const prof_elf *elf, uint64_t offset, uint64_t *ret);

#endif /* BRISK_SRC_OBSERVE_PROFILE_ELF_FILE_H */
