/*
 * brisk/track.h -- operations that are timed where they stand in the code.
 *
 *     static brisk_operation checkout = BRISK_OPERATION("shop.checkout");
 *
 *     void shop_checkout(void)
 *     {
 *         BRISK_TRACK(&checkout);        // until the end of the scope, or:
 *         ...
 *     }
 *
 *     brisk_track track = brisk_track_begin(&checkout);
 *     brisk_track_set(&track, "basket", "17");
 *     brisk_track_mark(&track, "paid");
 *     brisk_track_end(&track);           // or brisk_track_fail, brisk_track_timeout
 *
 * An operation is three metrics: the histogram NAME.time (ns) of all that ended, and the counters NAME.failures
 * and NAME.timeouts.  Unless somebody listens that is all that happens: two readings of the processor's
 * counter and a histogram's record, about 18 ns.  While somebody listens (brisk_track_listen), each tracked
 * operation also has an id, a parent (the innermost one that runs in the same thread), context and markers,
 * and is told when it ends.  Operations may ask for processor time and memory by their flags.
 *
 * Threads: begin and end in the same thread; those of one thread end in reverse order of begin (scopes do), an
 * inner one that was forgotten is no longer anybody's parent once an outer one ended.
 */
#ifndef BRISK_TRACK_H
#define BRISK_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include <brisk/base.h>
#include <brisk/clock.h>
#include <brisk/counter.h>
#include <brisk/err.h>
#include <brisk/histogram.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_TRACK_CONTEXT_MAX = 8, /**< Key-values of one operation; more are counted, not kept. */
    BRISK_TRACK_MARKERS_MAX = 8, /**< Likewise. */
    BRISK_TRACK_TEXT_MAX = 64,   /**< Of a key, value or marker, terminator included; cut. */
    BRISK_TRACK_LISTENERS_MAX = 8,
};

/** What an operation's `flags` ask for. */
enum {
    BRISK_TRACK_CPU = 1,    /**< Processor time of the thread: 2 x 170 ns. */
    BRISK_TRACK_MEMORY = 2, /**< Change of the process's resident memory: 2 x 1 us. */
};

/** Static data of whoever tracks; initialise by BRISK_OPERATION. */
typedef struct brisk_operation {
    const char *name;       /**< A metric's name. */
    brisk_metrics *metrics; /**< NULL: the process's. */
    uint32_t flags;
    uint32_t slow_; /* not 0: begin is more than reading the counter */
    brisk_histogram *time_;
    brisk_counter *failures_;
    brisk_counter *timeouts_;
    brisk_histogram *cpu_;
} brisk_operation;

#define BRISK_OPERATION_WITH(text, what)                                                           \
    {                                                                                              \
        (text), NULL, (what), 1, NULL, NULL, NULL, NULL                                            \
    }
#define BRISK_OPERATION(text) BRISK_OPERATION_WITH(text, 0)

typedef enum brisk_outcome {
    BRISK_OUTCOME_OK = 0,
    BRISK_OUTCOME_FAILED,
    BRISK_OUTCOME_TIMEOUT,
} brisk_outcome;

/** One run of an operation; the caller's storage, which must stay where it is until the end. */
typedef struct brisk_track {
    brisk_operation *operation_;
    uint64_t start_;
    struct brisk_track_detail *detail_; /* NULL unless somebody wants to know more */
} brisk_track;

typedef struct brisk_track_pair {
    char key[BRISK_TRACK_TEXT_MAX];
    char value[BRISK_TRACK_TEXT_MAX];
} brisk_track_pair;

typedef struct brisk_track_marker {
    char name[BRISK_TRACK_TEXT_MAX];
    uint64_t at_ns; /**< Since the operation's start. */
} brisk_track_marker;

/** What is known when a tracked operation has ended. */
typedef struct brisk_track_record {
    const char *name;
    uint64_t id;     /**< From 1, in the process. */
    uint64_t parent; /**< 0 at the top. */
    uint64_t root;   /**< The outermost one around it; itself at the top. */
    uint32_t thread; /**< Small number per thread, as in brisk/trace.h. */
    brisk_outcome outcome;
    uint64_t start_ns; /**< Of brisk_clock_system. */
    uint64_t start_wall_ns;
    uint64_t time_ns;
    uint64_t cpu_ns;      /**< With BRISK_TRACK_CPU. */
    int64_t memory_bytes; /**< With BRISK_TRACK_MEMORY. */
    uint32_t flags;
    uint32_t left_out; /**< Key-values and markers that found no room. */
    const brisk_track_pair *context;
    uint32_t context_count;
    const brisk_track_marker *markers;
    uint32_t marker_count;
} brisk_track_record;

/** Called in the thread that ended the operation; must be quick.  Tracked operations in it are not told. */
typedef void (*brisk_track_listener)(void *ctx, const brisk_track_record *record);

/** Errors: LIMIT (BRISK_TRACK_LISTENERS_MAX), CONFLICT (there already). */
BRISK_API BRISK_NODISCARD brisk_err brisk_track_listen(brisk_track_listener listener, void *ctx);
/** Afterwards it does not run and will not.  Not from a listener.  Unknown ones are ignored. */
BRISK_API void brisk_track_listen_stop(brisk_track_listener listener, void *ctx);

/** Make the operation's metrics now instead of at its first begin.  Errors: as brisk_metrics_counter. */
BRISK_API BRISK_NODISCARD brisk_err brisk_operation_prepare(brisk_operation *operation);

/** The slow halves of begin and end; private. */
BRISK_API struct brisk_track_detail *brisk_private_track_open(brisk_operation *operation);
BRISK_API void brisk_private_track_close(brisk_track *track, uint64_t time_ns,
                                         brisk_outcome outcome, brisk_track_record *ret);
/** How many listen; private, read relaxed. */
BRISK_API extern uint32_t brisk_private_track_listening;

static inline bool brisk_private_track_is_slow(const brisk_operation *operation)
{
#if defined(__GNUC__)
    return __builtin_expect((__atomic_load_n(&operation->slow_, __ATOMIC_ACQUIRE) |
                             __atomic_load_n(&brisk_private_track_listening, __ATOMIC_RELAXED)) !=
                                0,
                            0);
#else
    return true;
#endif
}

/** Start now.  Never fails: an operation whose metrics cannot be made is tracked without them. */
static inline brisk_track brisk_track_begin(brisk_operation *operation)
{
    brisk_track track;
    track.operation_ = operation;
    track.detail_ = NULL;
    if (brisk_private_track_is_slow(operation)) {
        track.detail_ = brisk_private_track_open(operation);
    }
    track.start_ = brisk_clock_ticks(); /* last: the begin itself is not counted */
    return track;
}

/** End it; *ret (NULL is accepted) says what is known.  A second end is ignored, and *ret untouched. */
static inline void brisk_track_finish(brisk_track *track, brisk_outcome outcome,
                                      brisk_track_record *ret)
{
    uint64_t ns = brisk_clock_ticks_to_ns(brisk_clock_ticks() - track->start_);
    brisk_operation *operation = track->operation_;
    if (operation == NULL) {
        return;
    }
    if (operation->time_ != NULL) {
        brisk_histogram_record_later(operation->time_, ns);
    }
    if (outcome != BRISK_OUTCOME_OK || track->detail_ != NULL || ret != NULL) {
        brisk_private_track_close(track, ns, outcome, ret);
    }
    track->operation_ = NULL;
}

static inline void brisk_track_end(brisk_track *track)
{
    brisk_track_finish(track, BRISK_OUTCOME_OK, NULL);
}
static inline void brisk_track_fail(brisk_track *track)
{
    brisk_track_finish(track, BRISK_OUTCOME_FAILED, NULL);
}
static inline void brisk_track_timeout(brisk_track *track)
{
    brisk_track_finish(track, BRISK_OUTCOME_TIMEOUT, NULL);
}

/** Context and markers, for listeners; nothing while nobody listens.  Texts are copied. */
BRISK_API void brisk_track_set(brisk_track *track, const char *key, const char *value);
BRISK_API void brisk_track_mark(brisk_track *track, const char *name);

#if defined(__GNUC__)
#    define BRISK_TRACK_JOIN(line) brisk_track_##line
#    define BRISK_TRACK_NAME(line) BRISK_TRACK_JOIN(line)
/** Track `operation` from here to the end of the scope, however it is left (GNU C; C++ unwinding too). */
#    define BRISK_TRACK(operation)                                                                 \
        brisk_track BRISK_TRACK_NAME(__LINE__) __attribute__((unused, cleanup(brisk_track_end))) = \
            brisk_track_begin(operation)
#endif

BRISK_END_DECLS

#endif /* BRISK_TRACK_H */
