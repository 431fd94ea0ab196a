/*
 * brisk/workload.h -- what a kind of work is: its stages, its key, its answer.
 *
 * A workload declares a graph of named stages in three parts:
 *
 *     PREPARE stages    read the input and learn what the key needs     (rom_loading)
 *     key()             everything that can change the answer
 *        hit  -> accept()                                               (from a tier)
 *        miss -> the other stages, then answer(), which is stored       (computed)
 *     DELIVER stages    hand the answer over, in both cases             (file_writing)
 *
 * The engine runs them; a workload sees only <brisk/...>.  A job's state is zeroed memory of
 * `state_bytes`; stages share it, and the `after` edges order their use of it.
 *
 * Threads: stages that no edge orders may run at the same time; everything else of one job is
 * called by one thread at a time.
 */
#ifndef BRISK_WORKLOAD_H
#define BRISK_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/arena.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/value.h>

BRISK_BEGIN_DECLS

enum { BRISK_STAGES_MAX = 64, BRISK_STAGE_AFTER_MAX = 8 };

/** What a running stage knows of its job; valid only inside the call that received it. */
typedef struct brisk_stage_ctx brisk_stage_ctx;

enum {
    BRISK_STAGE_PREPARE = 1u << 0,  /**< Runs before the key is asked for. */
    BRISK_STAGE_DELIVER = 1u << 1,  /**< Runs after the answer is known, cached or computed. */
    BRISK_STAGE_BLOCKING = 1u << 2, /**< Waits for the network or a process: never on a worker. */
};

/*
 * Order: a PREPARE stage may come after PREPARE stages, a computing stage after those and other
 * computing ones, a DELIVER stage after anything.  Each part begins when the one before is done.
 *
 * A DELIVER stage that finds, while it places an answer that came from a tier, that its bytes are
 * not what they should be, returns BRISK_ERR_CORRUPT: the engine removes the entry, runs the
 * computing stages and all DELIVER stages once more.  The state is then as the failed delivery
 * left it; nothing may have been placed that a second run does not replace.
 */

typedef struct brisk_stage {
    const char *name;
    const char *after[BRISK_STAGE_AFTER_MAX]; /**< Names; unused ones are NULL. */
    uint32_t flags;                           /**< BRISK_STAGE_... */
    brisk_err (*run)(brisk_stage_ctx *ctx, void *state);
} brisk_stage;

/** What a job computed, for the cache and for others who asked the same. */
typedef struct brisk_answer {
    brisk_value *value; /**< The reference goes to the engine. */
    uint32_t meta_size;
    unsigned char meta[BRISK_ENTRY_META_MAX];
} brisk_answer;

typedef struct brisk_workload {
    const char *name;
    uint32_t version;     /**< Part of every key: raise it when answers change. */
    uint32_t entry_flags; /**< BRISK_ENTRY_... of every answer. */
    const brisk_stage *stages;
    uint32_t stage_count;
    size_t state_bytes;
    /** Take what is needed from `request`, which outlives the job.  May be NULL. */
    brisk_err (*init)(brisk_stage_ctx *ctx, void *state, const void *request);
    /** Release what the state holds; called once, also after a failed init.  May be NULL. */
    void (*release)(void *state);
    /**
     * Add everything that can change the answer.  DECLINED: this job is not to be cached.
     * NULL: no job of this workload is cached.  name and version are added by the engine.
     */
    brisk_err (*key)(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder);
    /**
     * Give the answer after the computing stages.  Required when `key` is.  Called also when
     * nothing will be stored (brisk_stage_no_cache), for brisk_job_value.  DECLINED: there is
     * nothing to keep; the job goes on without a value.
     */
    brisk_err (*answer)(brisk_stage_ctx *ctx, void *state, brisk_answer *ret);
    /**
     * Take an answer from a tier; keep a reference to hit->value if it is needed later.
     * DECLINED: compute instead (the entry does not fit, or computing is faster).  Any other
     * error: the entry is damaged; it is removed, and the job computes.  The state must then be
     * as before the call.  May be NULL where brisk_job_value is all that anybody takes; the engine
     * then reads a large value of the disk tier once, to see that it is what was stored.
     */
    brisk_err (*accept)(brisk_stage_ctx *ctx, void *state, const brisk_hit *hit);
    /**
     * The key to store a computed answer under, where the computing stages learned what key() could
     * not know (something was fetched): what key() will give the next time.  Called after answer()
     * gave a value, also when key() declined.  DECLINED: do not store it.  NULL: key()'s is right.
     */
    brisk_err (*key_after)(brisk_stage_ctx *ctx, void *state, brisk_key_builder *builder);
    /** How it is asked for from outside: <brisk/form.h>.  NULL: only programs make its jobs. */
    const struct brisk_form *form;
} brisk_workload;

/* --- for use inside stages --------------------------------------------------------------- */

/** The stage's own arena; what it allocates lives until the job is destroyed. */
BRISK_API brisk_arena *brisk_stage_arena(brisk_stage_ctx *ctx);
/**
 * Say what went wrong, in a text of any length that the job keeps, and return `code`:
 * `return brisk_stage_fail(ctx, BRISK_ERR_CONFLICT, "...")`.  The first call of a job wins.
 */
BRISK_API brisk_err brisk_stage_fail(brisk_stage_ctx *ctx, brisk_err code, const char *format, ...)
    BRISK_PRINTF(3, 4);
/** Attach a JSON text (a conflict, a proof) to the failure; copied. */
BRISK_API void brisk_stage_fail_details(brisk_stage_ctx *ctx, const char *json);
/** True when the job was cancelled, its deadline passed or another stage failed. */
BRISK_API bool brisk_stage_cancelled(brisk_stage_ctx *ctx);
/** Count bytes that the stage processed. */
BRISK_API void brisk_stage_add_bytes(brisk_stage_ctx *ctx, uint64_t bytes);
/** A few words for the stage table ("copy_file_range"); the last call counts. */
BRISK_API void brisk_stage_note(brisk_stage_ctx *ctx, const char *format, ...) BRISK_PRINTF(2, 3);
/** Was `--no-cache` asked for, so that nothing will be stored? */
BRISK_API bool brisk_stage_no_cache(const brisk_stage_ctx *ctx);

/**
 * Run fn(ctx, item_ctx, i) for i = 0 .. count - 1, in parallel where workers are free, each as a
 * span `name(item_ctx, i)` under the stage's.  Each call gets a ctx of its own with its own
 * arena.  The first error stops the rest and is returned; inside, brisk_stage_cancelled tells.
 * `name` may be NULL: spans are numbered.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_stage_for(
    brisk_stage_ctx *ctx, uint32_t count, const char *(*name)(void *item_ctx, uint32_t index),
    brisk_err (*fn)(brisk_stage_ctx *ctx, void *item_ctx, uint32_t index), void *item_ctx);

BRISK_END_DECLS

#endif /* BRISK_WORKLOAD_H */
