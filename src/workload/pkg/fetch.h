/*
 * fetch.h -- packages from the store and from registries, as the tree's builder asks for them.
 *
 *     want ──► table ──► store: fresh ─────────────────────► ready
 *     get        │         │ stale or none                    ▲
 *                │         ▼                                  │
 *                │       request ──► answer ──► parse, keep ──┘
 *                └───── guess: what the likely version needs is wanted at once
 *
 * A name is asked for once, however often it is wanted.  When a package is there, in any age, the
 * versions that fit what was wanted of it are chosen and their dependencies wanted too, so that
 * finding out what exists does not wait for the builder; with a stored package of an earlier
 * resolution it does not even wait for the network.  A guess changes when a package is there, never
 * which: what `get` gives follows from name, store, options and registry alone.
 *
 * Threads: want and get of one fetch from one thread at a time; own threads parse and guess.
 * Ownership: packages live until the fetch is destroyed and the store is closed.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_FETCH_H
#define BRISK_SRC_WORKLOAD_PKG_FETCH_H

#include <brisk/clock.h>

#include "workload/pkg/package.h"
#include "workload/pkg/project.h"
#include "workload/pkg/store.h"

enum {
    PKG_FETCH_PACKAGES_MAX = 200000,
    PKG_FETCH_WANTS_MAX = 256,   /* ranges of a package that guesses follow */
    PKG_FETCH_FRESH_MS = 300000, /* of an answer that does not say */
    PKG_FETCH_MOMENT_MS = 60000, /* so long a confirmed package lacks what it lacks, if optional */
    PKG_FETCH_ABSENT_MS = 60000, /* of "there is no such package" */
    PKG_FETCH_WORKERS_MAX = 8,
    PKG_FETCH_REDIRECTS_MAX = 5,
    /*
     * Requests at once to a registry with HTTP/2, at first and at most: with fewer, packages of one
     * round wait for another (64 cost 1.6 rounds of ten, 128 half a one).  Pushed back, it is less.
     */
    PKG_FETCH_AT_ONCE = 256,
};

#define PKG_FETCH_BYTES_MAX UINT64_C(4294967296) /* of packages held in memory */

typedef struct pkg_fetch pkg_fetch;

typedef enum pkg_fetch_mode {
    PKG_FETCH_NORMAL = 0,   /* what is not fresh is asked for again */
    PKG_FETCH_PREFER_STORE, /* only what the store has not is asked for */
    PKG_FETCH_OFFLINE,      /* nothing is asked for */
} pkg_fetch_mode;

typedef struct pkg_fetch_opts {
    const brisk_alloc *alloc; /* thread-safe; NULL means libc */
    const brisk_clock *clock; /* NULL means the system's */
    const pkg_config *config; /* lives as long */
    pkg_store *store;         /* NULL: nothing is remembered */
    pkg_fetch_mode mode;
    pkg_pick_opts pick; /* for guesses */
    bool full;          /* whole documents: with times, licenses */
    bool legacy_peer_deps;
    bool no_guess;
    uint32_t workers;             /* 0: by the processors */
    bool (*cancelled)(void *ctx); /* asked while `get` waits; may be NULL */
    void *ctx;
} pkg_fetch_opts;

/* Errors with `info`: NOMEM. */
brisk_err pkg_fetch_create(const pkg_fetch_opts *opts, pkg_fetch **ret, brisk_errinfo *info);
/* Cancels what is on its way.  NULL is accepted. */
void pkg_fetch_destroy(pkg_fetch *fetch);
pkg_source pkg_fetch_source(pkg_fetch *fetch);
/* Put into the store what `get` gave so far: to be called before the store's generation is read. */
void pkg_fetch_settle(pkg_fetch *fetch);

typedef struct pkg_fetch_stats {
    uint64_t asked;      /* packages that `get` was called for */
    uint64_t from_store; /* of them: without a word to a registry */
    uint64_t confirmed;  /* of them: the registry said that the stored one is right */
    uint64_t fetched;    /* of them: a document came */
    uint64_t missing;    /* of them: there is none, or it is not in the store (OFFLINE) */
    uint64_t guessed;    /* packages asked of a registry that `get` was never called for */
    uint64_t ready;      /* calls of `get` that did not wait */
    uint64_t waits;      /* calls of `get` that waited */
    uint64_t waited_ns;
    uint64_t requests;
    uint64_t kept;        /* documents that were put into the store */
    uint64_t substituted; /* OFFLINE: the whole document was there instead of the abbreviated one */
    uint64_t refetched;   /* because a wanted version was not in the stored package */
    uint64_t bytes_wire;  /* of bodies, as sent */
    uint64_t bytes;       /* of packages held in memory */
    uint32_t rounds;      /* the longest chain of answers that each told what to ask next */
} pkg_fetch_stats;

void pkg_fetch_read_stats(pkg_fetch *fetch, pkg_fetch_stats *ret);
/* Names that `get` was called for and that are not in the store, OFFLINE; in the order of the calls. */
uint32_t pkg_fetch_missing_count(const pkg_fetch *fetch);
pkg_text pkg_fetch_missing(const pkg_fetch *fetch, uint32_t index);
/* The earliest moment (ms since 1970) at which a package that `get` gave is no longer fresh. */
int64_t pkg_fetch_fresh_until(const pkg_fetch *fetch);

#endif /* BRISK_SRC_WORKLOAD_PKG_FETCH_H */
