/*
 * packument_build.h -- what is gathered of one packument until its record is written.
 *
 * Strings, names, specs, lists and metas get numbers in the order of their first appearance; equal
 * ones get the same.  Failure of memory or size is sticky (`err`): who adds something looks at it
 * when it matters, what was added meanwhile is only incomplete, never wild.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_PACKUMENT_BUILD_H
#define BRISK_SRC_WORKLOAD_PKG_PACKUMENT_BUILD_H

#include <brisk/alloc.h>
#include <brisk/arena.h>

#include "workload/pkg/packument.h"
#include "workload/pkg/record.h"

typedef struct build_buffer {
    unsigned char *data;
    size_t size;
    size_t capacity;
} build_buffer;

/* Open addressing from a hash to a number; the buffer of what is numbered is beside it. */
typedef struct build_table {
    build_buffer slots; /* uint32_t: number + 1, or 0 */
    uint32_t slot_count;
    uint32_t used;
} build_table;

typedef struct build_string {
    uint64_t hash;
    uint32_t at; /* in blob */
    uint32_t size;
    uint32_t name; /* number + 1 */
    uint32_t spec;
    uint32_t tag;
    uint32_t zero;
} build_string;

typedef struct build_list {
    uint64_t hash;
    uint32_t at; /* in words */
    uint32_t size;
} build_list;

typedef struct build_version {
    uint64_t major;
    uint64_t minor;
    uint64_t patch;
    uint64_t hash;
    int64_t published_ms;
    uint32_t text; /* in texts, in the order of the document */
    uint32_t engine_node;
    record_rest rest;
    uint16_t text_size;
    uint8_t flags; /* RECORD_... */
    uint8_t prerelease;
    uint8_t prerelease_size;
    uint8_t build;
    uint8_t build_size;
    bool gone; /* a later member of the same key is no version */
} build_version;

/* What is sorted: by `key`, then by what it stands for, then as it was. */
typedef struct build_item {
    uint64_t key;
    uint32_t a;
    uint32_t b;
} build_item;

typedef struct build {
    const brisk_alloc *alloc;
    brisk_arena *ranges; /* while one is parsed */
    uint64_t seed;
    brisk_err err;
    build_buffer blob;
    build_buffer strings; /* build_string */
    build_buffer names;   /* record_name */
    build_buffer specs;   /* record_spec */
    build_buffer words;
    build_buffer digests;
    build_buffer lists; /* build_list */
    build_buffer texts;
    build_buffer versions; /* build_version, in the order of the document */
    build_buffer tags;     /* record_tag; `version` in the order of the document */
    build_buffer items;    /* build_item: what is sorted, and as much room again */
    build_buffer ranks;    /* uint32_t: from the document's order to the sorted one */
    build_buffer record;
    build_table string_table;
    build_table list_table;
    build_table version_table;
} build;

#define BUILD_ITEMS(buffer, type) ((type *)(void *)(buffer).data)
#define BUILD_COUNT(buffer, type) ((uint32_t)((buffer).size / sizeof(type)))

/* `err` is OK before and stays what it is. */
brisk_err build_init(build *b, const brisk_alloc *alloc);
void build_deinit(build *b);
/* Forget what was gathered; memory stays. */
void build_reset(build *b);

/* Makes room for `size` bytes in all; false: b->err says why. */
bool build_grow(build *b, build_buffer *buffer, size_t size);
/* Room for `size` more bytes, counted as used; NULL: b->err says why. */
static inline void *build_room(build *b, build_buffer *buffer, size_t size)
{
    if (size > buffer->capacity - buffer->size && !build_grow(b, buffer, buffer->size + size)) {
        return NULL;
    }
    void *room = buffer->data + buffer->size;
    buffer->size += size;
    return room;
}

uint64_t build_hash(const build *b, const void *data, size_t size);

/* Numbers; 0 ("" for strings) when b->err is set. */
uint32_t build_string_of(build *b, pkg_text text);
pkg_text build_text(const build *b, uint32_t string);
uint32_t build_name_of(build *b, pkg_text text);
uint32_t build_spec_of(build *b, pkg_text text);
/* The place of `count` words; those of an equal list when there is one. */
uint32_t build_list_of(build *b, const uint32_t *words, uint32_t count);
/* The place of `size` raw bytes in digests, in units of 4. */
uint32_t build_digest_of(build *b, const unsigned char *bytes, uint32_t size);

/*
 * The version of this text, as it comes in the document; one that is there is given again, cleared
 * but for its place.  NULL: b->err is set, or (with *is_version false) the text is no version.
 */
build_version *build_version_of(build *b, pkg_text text, bool *is_version);
/* In the order of the document, or PKG_NO_VERSION. */
uint32_t build_find_version(const build *b, pkg_text text);
/* The version of this text, if there is one, counts no more. */
void build_drop_version(build *b, pkg_text text);
pkg_text build_version_text(const build *b, uint32_t number);
/* Forget all versions: a second "versions" counts instead of the first. */
void build_forget_versions(build *b);
void build_tag(build *b, pkg_text tag, uint32_t version);

/* Sorts the first half of b->items; ties by `compare` (< 0, 0, > 0). */
void build_sort(build *b, uint32_t count,
                int (*compare)(const build *b, const build_item *x, const build_item *y));

/* Everything as a record in b->record. */
void build_finish(build *b, pkg_text name, uint32_t prefix, uint32_t left_out);

#endif /* BRISK_SRC_WORKLOAD_PKG_PACKUMENT_BUILD_H */
