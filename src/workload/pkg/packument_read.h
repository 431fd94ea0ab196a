/*
 * packument_read.h -- the state of one packument being read; between packument.c (the document) and
 * packument_version.c (one version).
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PACKUMENT_READ_H
#define BRISK_SRC_WORKLOAD_PKG_PACKUMENT_READ_H

#include "workload/pkg/packument_build.h"

/* What of a version's members is kept, as places of values; the order is nobody's. */
typedef enum packument_field {
    FIELD_DEPENDENCIES,
    FIELD_OPTIONAL,
    FIELD_PEER,
    FIELD_PEER_META,
    FIELD_DEPS_END, /* up to here: the list of dependencies; from here: the meta */
    FIELD_BUNDLE = FIELD_DEPS_END,
    FIELD_BUNDLED,
    FIELD_ENGINES,
    FIELD_BIN,
    FIELD_LICENSE,
    FIELD_FUNDING,
    FIELD_OS,
    FIELD_CPU,
    FIELD_LIBC,
    FIELD_DEPRECATED,
    FIELD_INSTALL_SCRIPT,
    FIELD_SCRIPTS,
    FIELD_SHRINKWRAP,
    FIELD_META_END,
    FIELD_DIST = FIELD_META_END,
    FIELD_COUNT,
    FIELD_NONE = FIELD_COUNT,
} packument_field;

typedef struct packument_place {
    uint32_t begin;
    uint32_t end; /* 0: not there */
} packument_place;

typedef struct packument_fields {
    packument_place at[FIELD_COUNT];
} packument_fields;

struct pkg_packument_reader {
    const brisk_alloc *alloc;
    scan_path path;
    scan s;
    build b;
    build_buffer blocks;
    build_buffer unescaped; /* the last string that had escapes */
    build_buffer list;      /* words of the list that is being made */
    brisk_errinfo *info;
    pkg_text name;
    uint32_t prefix; /* string: of usual tarballs; 0 until one was seen */
    uint32_t left_out;
    uint32_t serial;            /* of the version that is read, from 1 */
    build_buffer optional_peer; /* by name: serial of the version where its meta says optional */
    packument_fields before;    /* of the version before, whose lists are these: */
    record_rest before_rest;
    uint32_t before_engine;
    uint8_t before_flags;
};

/* Sets the reader's error, with the place; CORRUPT. */
brisk_err packument_bad(pkg_packument_reader *r, uint32_t at, const char *what);
/*
 * The text of the string at `begin` .. `end` (inside its quotation marks), valid until the next call
 * when it has escapes.  Errors: CORRUPT, and memory.
 */
brisk_err packument_string(pkg_packument_reader *r, uint32_t begin, uint32_t end, pkg_text *ret);
static inline bool packument_is_string(const pkg_packument_reader *r, packument_place place)
{
    return place.end != 0 && r->s.text[place.begin] == '"';
}
/* Reads the version object at `at`, whose text is `key`; *ret_end is behind it. */
brisk_err packument_version(pkg_packument_reader *r, pkg_text key, uint32_t at, uint32_t *ret_end);
/* The list of dependencies of `fields`; its place in words, 0 when there are none. */
brisk_err packument_deps(pkg_packument_reader *r, const packument_fields *fields, uint32_t *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_PACKUMENT_READ_H */
