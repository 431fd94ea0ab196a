/*
 * deb.h -- Debian's packages: versions, control files, the index of a set of lists, resolution.
 *
 * The lists of an archive (Packages files as apt keeps them) become one index file, which is mapped:
 * names, versions, and relations that are already resolved to the versions that meet them, so that a
 * resolution reads what it touches and parses nothing.
 *
 * A package is a name and an architecture ("all" counts as the native one); it has one version in
 * an answer.
 *
 * Threads: an index is read by any once opened; everything else one at a time.
 * Sources: Debian Policy 5 and 7; dpkg-deb(1), deb-version(7), "Multiarch/Implementation" of the
 * Ubuntu wiki (facts).
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_DEB_DEB_H
#define BRISK_SRC_WORKLOAD_PKG_DEB_DEB_H

#include <stdio.h>

#include <brisk/arena.h>
#include <brisk/err.h>
#include <brisk/file.h>

#include "workload/pkg/solve.h"
#include "workload/pkg/text.h"

/* --- versions (version.c) ----------------------------------------------------------------- */

/* [epoch:]upstream[-revision] of the characters that policy allows. */
bool deb_version_is_valid(pkg_text version);
/* < 0, 0, > 0 as dpkg orders them.  Any text is accepted. */
int deb_version_compare(pkg_text a, pkg_text b);

/* --- control files (control.c) ------------------------------------------------------------ */

typedef enum deb_field {
    DEB_FIELD_PACKAGE,
    DEB_FIELD_VERSION,
    DEB_FIELD_ARCHITECTURE,
    DEB_FIELD_MULTI_ARCH,
    DEB_FIELD_ESSENTIAL,
    DEB_FIELD_PRIORITY,
    DEB_FIELD_PRE_DEPENDS,
    DEB_FIELD_DEPENDS,
    DEB_FIELD_RECOMMENDS,
    DEB_FIELD_PROVIDES,
    DEB_FIELD_CONFLICTS,
    DEB_FIELD_BREAKS,
    DEB_FIELD_REPLACES,
    DEB_FIELD_SIZE,
    DEB_FIELD_INSTALLED_SIZE,
    DEB_FIELD_COUNT,
} deb_field;

typedef struct deb_stanza {
    pkg_text
        fields[DEB_FIELD_COUNT]; /* without blanks around; may hold line breaks; "" when none */
    uint32_t line;               /* of its first line, from 1 */
} deb_stanza;

/* What is left to read, and where that is. */
typedef struct deb_control {
    const char *at;
    const char *end;
    uint32_t line;
} deb_control;

/* The next stanza of a file, or false at its end.  Lines that are no fields are passed over. */
bool deb_control_next(deb_control *control, deb_stanza *ret);

typedef enum deb_op { DEB_ANY, DEB_LT, DEB_LE, DEB_EQ, DEB_GE, DEB_GT } deb_op;

/* name[:arch] [(op version)] */
typedef struct deb_relation {
    pkg_text name;
    pkg_text arch; /* "" when none; "any", "native" or an architecture */
    pkg_text version;
    deb_op op;
} deb_relation;

/* Cut the next part off `rest`, up to `separator` (',' or '|'), without blanks around. */
bool deb_list_next(pkg_text *rest, char separator, pkg_text *ret);
/* False: it is none. */
bool deb_relation_parse(pkg_text text, deb_relation *ret);
bool deb_op_holds(deb_op op, int order);

/* --- the index (index.c, index_build.c) --------------------------------------------------- */

enum {
    DEB_VERSIONS_MAX = 63,       /* of one package: the greatest are kept */
    DEB_LISTS_MAX = 256,         /* files in a folder of lists */
    DEB_ARCHS_MAX = 8,           /* asked for at once; the first is the native one */
    DEB_TEXT_MAX = 1 << 16,      /* of a name, a version, one relation */
    DEB_RELATIONS_MAX = 1 << 16, /* of one stanza, per field */
};

typedef enum deb_multi_arch {
    DEB_MULTI_ARCH_NO,
    DEB_MULTI_ARCH_SAME,
    DEB_MULTI_ARCH_FOREIGN,
    DEB_MULTI_ARCH_ALLOWED,
} deb_multi_arch;

/* Relations of a version stand in this order. */
typedef enum deb_kind {
    DEB_KIND_DEPENDS, /* and Pre-Depends */
    DEB_KIND_CONFLICTS,
    DEB_KIND_BREAKS,
    DEB_KIND_RECOMMENDS,
    DEB_KIND_COUNT,
} deb_kind;

/* Where a text is in the index' strings. */
typedef struct deb_span {
    uint32_t at;
    uint32_t size;
} deb_span;

typedef struct deb_name {
    deb_span text;
    uint32_t packages; /* the first; those of a name follow each other */
    uint32_t package_count;
    uint32_t provides; /* terms: what provides it, without a version */
    uint32_t provide_count;
    uint32_t replaces; /* versions that replace it; see deb_index_replacer */
} deb_name;

typedef struct deb_package {
    uint32_t name;
    uint32_t arch; /* place in the index' list */
    uint32_t versions;
    uint32_t version_count;
} deb_package;

enum { DEB_VERSION_ESSENTIAL = 1, DEB_VERSION_ALL = 2 };

typedef struct deb_version {
    deb_span text;
    uint32_t flags;
    uint32_t relations; /* in `refs`: groups, counts[DEB_KIND_DEPENDS] of them, then ... */
    uint32_t counts[DEB_KIND_COUNT];
    uint32_t pre_depends;   /* so many of the depends come first and are Pre-Depends */
    uint32_t installed_kib; /* UINT32_MAX when more */
    uint64_t size_bytes;
} deb_version;

/*
 * A relation as written, "a (>= 1) | b", and what meets it: for depends and recommends terms of
 * which one must hold; for conflicts and breaks terms that all must (and stand with "not there").
 */
typedef struct deb_group {
    deb_span text;
    uint32_t terms;
    uint32_t term_count;
} deb_group;

typedef struct deb_header deb_header;

typedef struct deb_index {
    const deb_header *header;
    const deb_name *names;
    const deb_package *packages;
    const deb_version *versions;
    const deb_group *groups;
    const uint32_t *refs;
    const solve_term *terms;
    const uint32_t *buckets; /* of names: 1 + name, 0: free */
    const char *strings;
    uint32_t name_count;
    uint32_t package_count;
    uint32_t version_count;
    uint32_t group_count;
    uint32_t ref_count;
    uint32_t term_count;
    uint32_t bucket_count; /* a power of two */
    uint32_t string_size;
    pkg_text archs[DEB_ARCHS_MAX];
    uint32_t arch_count;
    uint32_t skipped;  /* stanzas that could not be used */
    pkg_text skip_why; /* of the first */
    bool rebuilt;
    brisk_file_view view; /* when mapped */
    void *memory;         /* when it could not be written */
} deb_index;

typedef struct deb_index_opts {
    const char *lists; /* folder */
    const char *cache; /* folder of index files; NULL: none, build in memory */
    const char *archs; /* "amd64" or "amd64,i386": the native one first */
    bool refresh;      /* build even when the file fits */
} deb_index_opts;

/*
 * Map the index of these lists; build it first when there is none or the lists changed (names,
 * sizes, times, inodes).  An index that cannot be written is used from memory.
 * Errors with `info`: NOT_FOUND (no lists), IO, PERMISSION, LIMIT, CORRUPT (a list), UNSUPPORTED
 * (its compression), NOMEM.
 */
brisk_err deb_index_open(const deb_index_opts *opts, deb_index *ret, brisk_errinfo *info);
void deb_index_close(deb_index *index);
static inline pkg_text deb_text(const deb_index *index, deb_span span)
{
    return (pkg_text){.data = index->strings + span.at, .size = span.size};
}
/* The name's number, or SOLVE_NONE. */
uint32_t deb_index_find(const deb_index *index, pkg_text name);

/* --- resolution (resolve.c) --------------------------------------------------------------- */

typedef struct deb_request {
    const char *const *packages; /* "name", "name:arch", "name=version" */
    uint32_t count;
    bool recommends;
    bool assume_essential; /* the essential set is there: it counts, and is not listed */
} deb_request;

typedef struct deb_choice {
    uint32_t package;
    uint32_t version; /* in the index' versions */
    bool asked;       /* by name, rather than needed */
} deb_choice;

typedef struct deb_answer {
    bool solved;
    const deb_choice *choices; /* as they were chosen; those asked for first */
    uint32_t choice_count;
    solve_sentences proof; /* when not solved; verified */
    uint64_t size_bytes;
    uint64_t installed_kib;
    uint64_t decisions;
    uint64_t conflicts;
    const uint32_t *unmet; /* groups recommended by what was chosen that could not be met */
    uint32_t unmet_count;
} deb_answer;

/*
 * Errors with `info`: NOT_FOUND (a package that there is not, with what is like it), INVALID (no
 * package's name), LIMIT, CORRUPT (the index; or a proof that does not hold, a bug), NOMEM.
 */
brisk_err deb_resolve(const deb_index *index, const deb_request *request, brisk_arena *arena,
                      deb_answer *ret, brisk_errinfo *info);

/* Choices in an order in which each comes after what it depends on; a cycle is one group. */
typedef struct deb_order {
    const uint32_t *items;      /* places in choices */
    const uint32_t *group_ends; /* in items */
    uint32_t group_count;
} deb_order;

brisk_err deb_order_of(const deb_index *index, const deb_answer *answer, brisk_arena *arena,
                       deb_order *ret);

/* --- why (why.c) -------------------------------------------------------------------------- */

typedef struct deb_step {
    uint32_t from; /* places in choices */
    uint32_t to;
    deb_span text; /* the relation as written */
    deb_kind kind; /* DEPENDS or RECOMMENDS */
} deb_step;

typedef struct deb_way {
    const deb_step *steps; /* from a package that was asked for; none: the target was */
    uint32_t count;
} deb_way;

/* The shortest way to choice `target`.  Errors: NOT_FOUND (essential, say), NOMEM. */
brisk_err deb_why(const deb_index *index, const deb_answer *answer, uint32_t target,
                  bool recommends, brisk_arena *arena, deb_way *ret);

#endif /* BRISK_SRC_WORKLOAD_PKG_DEB_DEB_H */
