/*
 * fetch_internal.h -- what the parts of fetching share.
 *
 *     fetch.c        the table, want and get, the threads
 *     fetch_ask.c    requests, and what their answers mean
 *     fetch_guess.c  what will be wanted next
 *
 * Locks: `lock` guards every field below it and every entry, except that one in the hands of a
 * worker (taken from `arrived` or `hungry`) is the worker's as far as said.  It may be held while a
 * request is submitted; the client's callbacks run under none of the client's locks.
 */
#ifndef BRISK_SRC_WORKLOAD_PKG_FETCH_INTERNAL_H
#define BRISK_SRC_WORKLOAD_PKG_FETCH_INTERNAL_H

#include <pthread.h>

#include <brisk/http_client.h>

#include "workload/pkg/fetch.h"
#include "workload/pkg/packument.h"

typedef enum fetch_state {
    FETCH_NEW,    /* nobody has looked */
    FETCH_FLYING, /* asked for */
    FETCH_READY,
    FETCH_FAILED,
} fetch_state;

/* What was wanted of a package. */
typedef struct fetch_want {
    const semver_range *range;
    bool peers_only;
} fetch_want;

typedef struct fetch_entry fetch_entry;
struct fetch_entry {
    pkg_text name; /* a NUL follows */
    uint64_t hash;
    const pkg_registry *registry;
    fetch_state state;
    bool asked;       /* by `get` */
    bool from_store;  /* READY without a request */
    bool whole;       /* the request on its way asks for the whole document */
    bool conditional; /* and says what the store has */
    bool requested;
    bool confirmed;             /* the registry has spoken: READY is as new as can be */
    bool hungry;                /* in that list, or with a worker because of it */
    const pkg_package *package; /* READY */
    size_t owned;               /* bytes of it that are ours; 0: the store's */
    pkg_stored stored;          /* package NULL: none */
    int64_t fresh_until_ms;
    brisk_err err; /* FAILED */
    const char *why;
    brisk_http_response *response; /* in `arrived`; then the worker's */
    fetch_entry *next_arrived;
    brisk_http_caching *caching; /* in `unkept`: of its answer */
    fetch_entry *next_unkept;
    fetch_entry *next_hungry;
    fetch_want *wants;
    uint32_t want_count;
    uint32_t want_capacity;
    uint32_t wants_done;      /* the worker's that has it because it is hungry */
    const pkg_package *eaten; /* likewise: of which package `chosen` are versions */
    uint32_t
        *chosen; /* likewise: whose dependencies were wanted: twice the version, 1 more: peers */
    uint32_t chosen_count;
    uint32_t chosen_capacity;
    uint32_t round;
};

/* What one thread parses and guesses with. */
typedef struct fetch_worker {
    pkg_fetch *fetch;
    pthread_t thread;
    bool started;
    pkg_packument_reader *reader; /* made with the first answer */
    brisk_http_buffer buffer;
    brisk_arena *arena; /* what guesses read: lives as long as the fetch */
    brisk_arena *scratch;
} fetch_worker;

struct pkg_fetch {
    pkg_fetch_opts opts;
    const brisk_alloc *alloc;
    fetch_worker workers[PKG_FETCH_WORKERS_MAX + 1]; /* [0]: whoever waits in `get` */
    uint32_t worker_count;                           /* own threads: workers[1] and on */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something arrived, is hungry, is ready; closing */
    bool closing;
    brisk_arena *arena; /* entries, names, texts */
    fetch_entry **slots;
    uint32_t slot_count; /* a power of two */
    uint32_t count;
    fetch_entry *first_arrived; /* the smallest answer first */
    fetch_entry *first_hungry;
    fetch_entry *last_hungry;
    fetch_entry *first_unkept;
    fetch_entry *last_unkept;
    uint32_t keeping;          /* entries that somebody is putting into the store */
    brisk_http_client *client; /* with the first request */
    uint32_t round;            /* of the packages that `get` gave so far */
    fetch_entry **missing;
    uint32_t missing_count;
    uint32_t missing_capacity;
    int64_t fresh_until_ms;
    uint64_t bytes;
    pkg_fetch_stats stats;
};

/* --- fetch.c ---------------------------------------------------------------------------------- */

/* All of these under the lock. */
fetch_entry *fetch_entry_of(pkg_fetch *f, pkg_text name); /* NULL: no memory, or too many */
/* Look in the store, and ask when it must be. */
void fetch_look(pkg_fetch *f, fetch_entry *entry, uint32_t round, brisk_http_priority priority);
/* It will be asked for: remember that for guesses.  The range lives as long as the fetch. */
void fetch_note_want(pkg_fetch *f, fetch_entry *entry, fetch_want wanted);
void fetch_make_hungry(pkg_fetch *f, fetch_entry *entry);
void fetch_ready(pkg_fetch *f, fetch_entry *entry, const pkg_package *package);
void fetch_failed(pkg_fetch *f, fetch_entry *entry, brisk_err err, const char *format, ...)
    BRISK_PRINTF(4, 5);
int64_t fetch_now_ms(const pkg_fetch *f);

/* --- fetch_ask.c ------------------------------------------------------------------------------ */

/* Submit a request for the entry, which becomes FLYING, or FAILED.  Under the lock. */
void fetch_ask(pkg_fetch *f, fetch_entry *entry, brisk_http_priority priority);
/* The answer that arrived for it.  Not under the lock. */
void fetch_take_answer(fetch_worker *worker, fetch_entry *entry);
brisk_err fetch_client_create(pkg_fetch *f, brisk_errinfo *info);
/* Put it into the store, which is there.  Not under the lock; the entry was in `unkept`. */
void fetch_keep(pkg_fetch *f, const fetch_entry *entry);
/* Under which registry the store keeps it; differs for whole documents. */
uint64_t fetch_registry_key(const pkg_registry *registry, bool whole);
/* Until when an answer of now need not be asked for again. */
int64_t fetch_fresh_until(const brisk_http_caching *c, int64_t now_ms);

/* --- fetch_guess.c ---------------------------------------------------------------------------- */

/* Follow what is wanted of the entry.  Not under the lock; the entry was hungry. */
void fetch_guess(fetch_worker *worker, fetch_entry *entry);

#endif /* BRISK_SRC_WORKLOAD_PKG_FETCH_INTERNAL_H */
