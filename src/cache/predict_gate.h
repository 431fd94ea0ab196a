/*
 * predict_gate.h -- which guesses are worth a load.
 *
 * Guesses are of kinds: by order, by how often the successor was seen, by its probability, by how
 * many requests ahead.  Every guess that is not cached is watched for a while: did its key come?
 * A kind whose guesses came is open (its guesses are loaded), one whose guesses do not is closed
 * (they are only watched: trials).  A trial costs nothing, so a kind is tried before its first load
 * and comes back by itself when its guesses come true again.
 *
 * Besides, loads for nothing are paid from a purse: each load of any sort (miss or prefetch) puts
 * `waste` of a load in, a load that was not used in time takes one out.  So all kinds together
 * cannot waste more than that share, plus a few, even on a trace made for it.
 *
 *     guess ─► watched ── its key is asked for in time ──► right      (loaded: used)
 *                    ├── before the load is done ────────► wrong      (loaded: late)
 *                    └── not within WINDOW requests ─────► wrong     (loaded: wasted, so far)
 *
 * A load that comes too late does not pay either: how many requests a load takes is measured, and a
 * trial whose key came sooner than that counts as wrong.  The measure fades, so that loads that
 * became faster are noticed.
 *
 * One key may be watched several times, once a kind: what the nearest guess loads is what the
 * farther ones would have loaded.
 *
 * A loaded key that is used after all, later, is taken back from `wasted`: the table `overdue`
 * remembers a few thousand of them.
 *
 * Threads: the caller's lock.
 */
#ifndef BRISK_SRC_CACHE_PREDICT_GATE_H
#define BRISK_SRC_CACHE_PREDICT_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/predict.h>

enum {
    GATE_ORDERS = 2,
    GATE_COUNTS = 4,
    GATE_SHARES = 4,
    GATE_DEPTHS = BRISK_PREDICT_DEPTH_MAX,
    GATE_KINDS = GATE_ORDERS * GATE_COUNTS * GATE_SHARES * GATE_DEPTHS,
    GATE_WATCHED = 1024, /* power of two */
    GATE_OVERDUE = 4096,
};

typedef enum gate_state {
    GATE_FREE = 0,
    GATE_TRIAL,
    GATE_CACHED, /* trusted, but was there already: judged for the statistics only */
    GATE_LOADING,
    GATE_LOADED,
} gate_state;

typedef struct gate_watch {
    uint32_t tag;
    uint8_t kind;
    uint8_t state;
    bool trusted;
    uint32_t when; /* number of the request, lower half */
} gate_watch;

typedef struct gate_kind {
    float right; /* of `judged`, both halved now and then */
    float judged;
    float recent; /* share of the last dozen */
    bool open;
} gate_kind;

typedef struct predict_gate {
    double waste;
    double purse;
    uint32_t undecided; /* loads that are watched */
    float lead;         /* requests that a load takes, as measured */
    uint32_t hand;      /* of the sweep for overdue guesses */
    brisk_predict_stats stats;
    gate_kind kinds[GATE_KINDS];
    gate_watch watched[GATE_WATCHED];
    uint32_t overdue[GATE_OVERDUE]; /* tags; 0: none */
} predict_gate;

void predict_gate_init(predict_gate *gate, double waste);
/* `order` is 1 or 2, `depth` 1 or more. */
uint32_t predict_gate_kind(uint32_t order, uint32_t count, double probability, uint32_t depth);
/* May a guess of this kind be loaded now? */
bool predict_gate_trusts(const predict_gate *gate, uint32_t kind);
bool predict_gate_is_open(const predict_gate *gate, uint32_t kind);
/* Is a guess of this kind watched already, or one that was acted on? */
bool predict_gate_watches(const predict_gate *gate, uint32_t tag, uint32_t kind);
/* A request: judges what was guessed. */
void predict_gate_request(predict_gate *gate, uint32_t tag, bool hit);
/* A guess, and what was done about it. */
void predict_gate_watch(predict_gate *gate, uint32_t tag, uint32_t kind, bool trusted,
                        brisk_guess_fate fate);
void predict_gate_loaded(predict_gate *gate, uint32_t tag, bool ok);

#endif /* BRISK_SRC_CACHE_PREDICT_GATE_H */
