/*
 * semver_scan.h -- reading versions and their parts, shared by semver.c and semver_range.c.
 *
 * A partial is "1", "1.x", "1.2.*" or a whole "1.2.3-beta.1".  Parts that are missing count as x.
 * Read loosely, numbers may begin with zeros and the hyphen before a pre-release may be missing.
 *
 * Threads: plain data.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_SEMVER_SCAN_H
#define BRISK_SRC_WORKLOAD_PKG_SEMVER_SCAN_H

#include "workload/pkg/semver.h"

/* The largest number that JavaScript counts with exactly, and so npm's limit: 2^53 - 1. */
#define SEMVER_NUMBER_MAX UINT64_C(9007199254740991)

typedef struct semver_part {
    uint64_t value; /* SEMVER_NUMBER_MAX + 1 for anything above */
    bool x;         /* x, X, * or missing */
    bool zero;      /* written as "0": "00" is none, npm compares text here */
} semver_part;

typedef struct semver_partial {
    semver_part parts[3];
    pkg_text prerelease;
} semver_partial;

/* All of [at, end) is a partial without prefix and build. */
bool semver_scan_partial(const char *at, const char *end, uint32_t flags, semver_partial *ret);
/* Bytes of white space at the start of [at, end) as JavaScript's trim sees it; 0 when none. */
size_t semver_scan_space(const char *at, const char *end);
/* Dot-separated identifiers, none empty; unless loose, numbers without leading zeros. */
bool semver_scan_identifiers(const char *at, const char *end, uint32_t flags);

typedef struct semver_look {
    bool odd;     /* has to be tidied */
    bool hyphens; /* a hyphen behind a blank */
    bool bars;    /* '|' */
} semver_look;

/* What is in the text of a range. */
semver_look semver_look_at(pkg_text text);
/* Any run of white space becomes one blank.  `ret` has room for the text. */
size_t semver_tidy_blanks(pkg_text text, char *ret);
/* "+build.1" is taken out wherever it stands; in place. */
size_t semver_tidy_builds(char *text, size_t size);
/* Blanks behind operators are taken out; in place. */
size_t semver_tidy_operators(char *text, size_t size);

static inline bool semver_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool semver_is_identifier(char c)
{
    return semver_is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

#endif /* BRISK_SRC_WORKLOAD_PKG_SEMVER_SCAN_H */
