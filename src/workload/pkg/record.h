/*
 * record.h -- the layout of a package's record: what pkg_package is in memory and in the store.
 *
 * Position-independent: nothing in it is a pointer; places are bytes from the start of the record or
 * of a section.  What choosing a version reads (`versions`, `texts`) comes first and together, so
 * that few pages are touched; what a manifest needs comes after.
 *
 *     header | versions | texts | rest | tags | strings | names | specs | words | digests | blob
 *
 *     versions  one record_version each, sorted by precedence
 *     tags      string, version
 *     texts     the texts of versions, one after the other in the order of `versions`
 *     rest      one record_rest each: where the other parts of a version's manifest are
 *     strings   place and size in blob; string 0 is ""
 *     names     of dependencies: string, and the hash of the name
 *     specs     string, and the place of its parsed range in words (0: it is none)
 *     words     ranges, lists of dependencies and metas, as below; word 0 is not used
 *     digests   raw bytes of sha512 and sha1 digests
 *     blob      bytes of strings
 *
 *     range     alternatives << 4 | flags, comparators; ends[alternatives]; then comparators:
 *               a word of RECORD_COMPARATOR_..., 3 or (wide) 6 words of numbers, low word first,
 *               and a string each for pre-release and build where it has them
 *     deps      count; then for each: name, spec << 3 | kind
 *     meta      flags; strings: engines, engines.npm, bin, license, funding, deprecated; then four
 *               lists (count, strings): bundled, os, cpu, libc
 *
 * Equal strings, ranges, lists and metas are stored once per record.
 *
 * Rules: integers are little-endian as in memory; another machine's record has another magic.
 * Every reader checks what it follows; record_open checks the sections only.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_RECORD_H
#define BRISK_SRC_WORKLOAD_PKG_RECORD_H

#include <stdint.h>

#include "workload/pkg/package.h"

#define RECORD_TARBALL_USUAL UINT32_MAX /* prefix NAME /-/ BASENAME - VERSION .tgz */

enum {
    RECORD_MAGIC = 0x31504b42, /* "BKP1" where the lowest byte comes first */
    RECORD_FORMAT = 1,
    RECORD_BYTES_MAX = 1 << 30,
    RECORD_ALIGN = 8,

    RECORD_DEPRECATED = 1 << 0, /* of record_version.flags */
    RECORD_LOOSE = 1 << 1,
    RECORD_WIDE = 1 << 2, /* major is the place of 6 words */
    RECORD_TIMED = 1 << 3,

    RECORD_COMPARATOR_OP = 7,
    RECORD_COMPARATOR_WIDE = 1 << 3,
    RECORD_COMPARATOR_PRERELEASE = 1 << 4,
    RECORD_COMPARATOR_BUILD = 1 << 5,
    RECORD_RANGE_FLAGS = 15,
    RECORD_RANGE_SHIFT = 4,

    RECORD_DEP_KIND = 7,
    RECORD_DEP_SHIFT = 3,

    RECORD_META_STRINGS = 6, /* behind the flags */
    RECORD_META_LISTS = 4,

    RECORD_INTEGRITY_NONE =
        0, /* low bits of record_rest.integrity; the rest: place / 4 or string */
    RECORD_INTEGRITY_SHA512 = 1,
    RECORD_INTEGRITY_SHA1 = 2,
    RECORD_INTEGRITY_TEXT = 3,
    RECORD_INTEGRITY_KIND = 3,
    RECORD_INTEGRITY_SHIFT = 2,
    RECORD_SHA512_BYTES = 64,
    RECORD_SHA1_BYTES = 20,
};

typedef struct record_version {
    uint32_t major;
    uint32_t minor;
    uint32_t patch;
    uint32_t text; /* place in texts */
    uint32_t engine_node;
    uint32_t time_low; /* published_ms, 48 bits with sign */
    uint16_t time_high;
    uint8_t text_size_less_1;
    uint8_t flags;
    uint8_t prerelease; /* place in the version's text */
    uint8_t prerelease_size;
    uint8_t build;
    uint8_t build_size;
} record_version;

typedef struct record_rest {
    uint32_t deps; /* word */
    uint32_t meta; /* word */
    uint32_t tarball;
    uint32_t integrity;
} record_rest;

typedef struct record_tag {
    uint32_t string;
    uint32_t version;
} record_tag;

typedef struct record_string {
    uint32_t at;
    uint32_t size;
} record_string;

typedef struct record_name {
    uint64_t hash;
    uint32_t string;
    uint32_t zero;
} record_name;

typedef struct record_spec {
    uint32_t string;
    uint32_t range;
} record_spec;

typedef struct record_section {
    uint32_t at;
    uint32_t count; /* of items */
} record_section;

struct pkg_package {
    uint32_t magic;
    uint32_t format;
    uint32_t size; /* of the whole record */
    uint32_t left_out;
    uint32_t latest; /* version, or PKG_NO_VERSION */
    uint32_t name;   /* string */
    uint32_t prefix; /* string: what usual tarballs begin with */
    uint32_t zero;
    record_section versions;
    record_section tags;
    record_section texts;
    record_section rest;
    record_section strings;
    record_section names;
    record_section specs;
    record_section words;
    record_section digests;
    record_section blob;
};

_Static_assert(sizeof(record_version) == 32, "stored");
_Static_assert(sizeof(record_rest) == 16, "stored");
_Static_assert(sizeof(record_name) == 16, "stored");
_Static_assert(sizeof(pkg_package) == 112, "stored");

/* Item 0 of a section. */
#define RECORD_ITEMS(package, section, type)                                                       \
    ((const type *)(const void *)((const char *)(package) + (package)->section.at))

/* The string, or "" where the number or its place is wrong (*ok becomes false, never true). */
static inline pkg_text record_text(const pkg_package *package, uint32_t number, bool *ok)
{
    if (number < package->strings.count) {
        record_string string = RECORD_ITEMS(package, strings, record_string)[number];
        if (string.at <= package->blob.count && string.size <= package->blob.count - string.at) {
            return (pkg_text){.data = RECORD_ITEMS(package, blob, char) + string.at,
                              .size = string.size};
        }
    }
    *ok = false;
    return (pkg_text){0};
}

#endif /* BRISK_SRC_WORKLOAD_PKG_RECORD_H */
