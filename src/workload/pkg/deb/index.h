/*
 * index.h -- the file behind deb_index: its header, the lists it is made of, how it is built.
 *
 * Layout: header, then sections, each aligned to 16 bytes, in the order of deb_section.  Numbers
 * are the machine's; a file of another format, byte order or size of records is built anew.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_DEB_INDEX_H
#define BRISK_SRC_WORKLOAD_PKG_DEB_INDEX_H

#include "workload/pkg/deb/deb.h"

enum {
    DEB_INDEX_FORMAT = 1,
    DEB_INDEX_ORDER = 0x01020304,
    DEB_PATH_MAX = 4096,
};

#define DEB_INDEX_BYTES_MAX (UINT64_C(1) << 32)
#define DEB_LIST_BYTES_MAX  (UINT64_C(1) << 30) /* of one list, unpacked */

typedef enum deb_section {
    DEB_SECTION_NAMES,
    DEB_SECTION_PACKAGES,
    DEB_SECTION_VERSIONS,
    DEB_SECTION_GROUPS,
    DEB_SECTION_REFS,
    DEB_SECTION_TERMS,
    DEB_SECTION_BUCKETS,
    DEB_SECTION_STRINGS,
    DEB_SECTION_COUNT,
} deb_section;

struct deb_header {
    char magic[8];
    uint32_t format;
    uint32_t byte_order;
    uint64_t size;     /* of the file */
    uint64_t checksum; /* of everything behind the header, and of the header with 0 here */
    uint64_t key;      /* of the lists */
    uint64_t at[DEB_SECTION_COUNT];
    uint32_t counts[DEB_SECTION_COUNT];
    deb_span archs[DEB_ARCHS_MAX];
    uint32_t arch_count;
    uint32_t skipped;
    deb_span skip_why;
};

extern const char deb_index_magic[8];
extern const uint32_t deb_section_sizes[DEB_SECTION_COUNT]; /* of one record */

/* A list in the folder. */
typedef struct deb_list {
    const char *path;
    const char *name; /* of the file */
} deb_list;

typedef struct deb_lists {
    const deb_list *items; /* sorted by name */
    uint32_t count;
    uint64_t key; /* of names, sizes, times and inodes, and of the architectures */
} deb_lists;

brisk_err deb_lists_find(const deb_index_opts *opts, brisk_arena *arena, deb_lists *ret,
                         brisk_errinfo *info);
/* The text of a list, unpacked into the arena.  The same errors as deb_index_open. */
brisk_err deb_list_read(const deb_list *list, brisk_arena *arena, pkg_text *ret,
                        brisk_errinfo *info);

/* A text to index, and where it is from (for messages). */
typedef struct deb_input {
    pkg_text text;
    const char *name;
} deb_input;

/* The whole file in the arena.  `archs` as in deb_index_opts. */
brisk_err deb_index_build(const deb_input *inputs, uint32_t count, const char *archs, uint64_t key,
                          brisk_arena *arena, pkg_text *ret, brisk_errinfo *info);
/* Look through `data`: everything that is read later is checked here or where it is used. */
brisk_err deb_index_load(pkg_text data, deb_index *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_DEB_INDEX_H */
