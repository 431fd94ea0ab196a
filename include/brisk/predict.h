/*
 * brisk/predict.h -- which key is asked for next, and loading it before it is.
 *
 * A brisk_predictor learns from the requests it is told of: what followed a key (order 1), and what
 * followed two keys (order 2), each with a count.  When one successor has more than `probability` of
 * them it guesses.  It trusts its guesses only while they come true: guesses are tried without
 * loading anything first, kind by kind, and a kind that stops coming true is only tried again.  So
 * where nothing can be predicted, nothing is loaded.
 *
 * A brisk_prefetcher sits beside a cache: requests are noted in rings (a copy of the key, no lock
 * that anybody waits for), a thread of its own asks the predictor and loads what it trusts and what
 * is not cached, a few at a time and only while the machine has nothing better to do.
 *
 *     request ── note ──► ring of the thread ──► worker ── predictor ──► load, in the background
 *
 * What it buys is latency, not load: a key that was loaded ahead is one load, as a miss would have
 * been.  `waste` bounds the loads for nothing.
 *
 * Threads: every function from any thread, destroy last.
 * Source:  D. Joseph and D. Grunwald, "Prefetching using Markov predictors", ISCA 1997 (idea).
 */
#ifndef BRISK_PREDICT_H
#define BRISK_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/hash.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_PREDICT_KEY_MAX = 1024, /**< Longer keys are learned but never guessed. */
    BRISK_PREDICT_DEPTH_MAX = 8,
    BRISK_PREDICT_WINDOW = 64, /**< Requests within which a guess has to come true. */
    BRISK_PREFETCH_LOADS_MAX = 64,
};

/* --- predictor ----------------------------------------------------------------------------- */

typedef struct brisk_predictor brisk_predictor;

typedef struct brisk_predictor_opts {
    uint64_t bytes_max;       /**< All it ever holds; 0 means 16 MiB; 128 KiB or more. */
    double probability;       /**< Guess above this; 0 means 0.7; 0.5 or more, below 1. */
    double waste;             /**< Loads for nothing per load; 0 means 0.04; below 1. */
    uint32_t depth;           /**< Guesses ahead, 1 .. BRISK_PREDICT_DEPTH_MAX; 0 means 1. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_predictor_opts;

/** A key that is expected. */
typedef struct brisk_guess {
    uint32_t id;        /**< Names the key in brisk_predictor_tell and _loaded. */
    uint32_t kind;      /**< Order, evidence and distance; how far such guesses are trusted. */
    bool trusted;       /**< Load it; otherwise only tell that it was skipped. */
    uint32_t depth;     /**< 1: the very next request. */
    double probability; /**< As counted. */
    size_t key_size;
    unsigned char key[BRISK_PREDICT_KEY_MAX]; /**< key_size bytes are set. */
} brisk_guess;

/** What was done about a guess. */
typedef enum brisk_guess_fate {
    BRISK_GUESS_CACHED = 0, /**< Nothing: it is in the cache. */
    BRISK_GUESS_SKIPPED,    /**< Nothing: not trusted, or no capacity.  It is watched. */
    BRISK_GUESS_LOADING,    /**< It is being loaded. */
} brisk_guess_fate;

/** Since creation.  A share whose denominator is 0 is unknown. */
typedef struct brisk_predict_stats {
    uint64_t requests;
    uint64_t misses;
    uint64_t guesses;    /**< Trusted ones that were told of and judged ... */
    uint64_t right;      /**< ... and that came true within BRISK_PREDICT_WINDOW requests. */
    uint64_t next;       /**< Requests that a trusted guess of depth 1 stood for ... */
    uint64_t next_right; /**< ... and that were it. */
    uint64_t loads;      /**< Keys loaded ahead ... */
    uint64_t used;       /**< ... and asked for while they were cached, */
    uint64_t late;       /**< asked for before they were, */
    uint64_t wasted; /**< or not asked for, so far, or not any more in the cache when they were. */
    uint64_t failed; /**< Loads that failed. */
    uint64_t trials; /**< Guesses that were only watched. */
    uint64_t closed; /**< Times that a kind of guesses lost its trust. */
    uint32_t kinds_open; /**< Kinds trusted now; 0: prefetching has stopped itself. */
    uint64_t bytes;      /**< Held. */
} brisk_predict_stats;

/** Errors: INVALID (a number outside its range), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_predictor_create(const brisk_predictor_opts *opts,
                                                           brisk_predictor **ret);
BRISK_API void brisk_predictor_destroy(brisk_predictor *predictor); /**< NULL is accepted. */
/**
 * One request of `stream` (a connection, a thread: whose requests follow each other) and whether
 * the cache answered it.  Guesses go to `guesses`, nearest first, at most `max`; returns their
 * number.  Say for each what became of it.
 */
BRISK_API uint32_t brisk_predictor_note(brisk_predictor *predictor, uint64_t stream,
                                        const brisk_key *key, bool hit, brisk_guess *guesses,
                                        uint32_t max);
BRISK_API void brisk_predictor_tell(brisk_predictor *predictor, const brisk_guess *guess,
                                    brisk_guess_fate fate);
/** A load that was told as LOADING is over; `ok`: its key is cached. */
BRISK_API void brisk_predictor_loaded(brisk_predictor *predictor, uint32_t id, bool ok);
BRISK_API void brisk_predictor_read_stats(brisk_predictor *predictor, brisk_predict_stats *ret);

/* --- prefetcher ---------------------------------------------------------------------------- */

typedef struct brisk_prefetcher brisk_prefetcher;

/** All callbacks are called with `ctx`, from the prefetcher's threads; only `load` may take long. */
typedef struct brisk_prefetcher_opts {
    brisk_predictor *predictor; /**< Borrowed. */
    void *ctx;
    /** Is it in the cache?  Must neither count as a use nor wait. */
    bool (*is_cached)(void *ctx, const brisk_key *key);
    /** Bring it into the cache.  Any error: it is not there. */
    brisk_err (*load)(void *ctx, const brisk_key *key);
    /** Is there idle capacity?  NULL: always. */
    bool (*is_idle)(void *ctx);
    /** Call fn(arg) on some thread later; false: no.  NULL: threads of the prefetcher's own. */
    bool (*run)(void *run_ctx, void (*fn)(void *arg), void *arg);
    void *run_ctx;
    uint32_t loads_max; /**< In flight; 0 means 4; at most BRISK_PREFETCH_LOADS_MAX. */
    /** No threads: notes are worked on in brisk_prefetcher_note, loads too unless there is `run`.
     *  For tests and simulations. */
    bool inline_;
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_prefetcher_opts;

typedef struct brisk_prefetch_stats {
    uint64_t noted;
    uint64_t dropped;     /**< Notes lost because their ring was full. */
    uint64_t no_capacity; /**< Trusted guesses not loaded: too many in flight, or not idle. */
    uint32_t in_flight;
} brisk_prefetch_stats;

/** Errors: INVALID (a callback is missing, too many loads), NOMEM, LIMIT (no threads). */
BRISK_API BRISK_NODISCARD brisk_err brisk_prefetcher_create(const brisk_prefetcher_opts *opts,
                                                            brisk_prefetcher **ret);
/** Waits for the loads in flight.  NULL is accepted. */
BRISK_API void brisk_prefetcher_destroy(brisk_prefetcher *prefetcher);
/**
 * A request was answered (`hit`) or not.  Never waits.  `stream` 0: requests of the calling thread
 * follow each other.
 */
BRISK_API void brisk_prefetcher_note(brisk_prefetcher *prefetcher, uint64_t stream,
                                     const brisk_key *key, bool hit);
/** Until everything noted before has been looked at, and no load is in flight. */
BRISK_API void brisk_prefetcher_drain(brisk_prefetcher *prefetcher);
BRISK_API void brisk_prefetcher_read_stats(brisk_prefetcher *prefetcher, brisk_prefetch_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_PREDICT_H */
