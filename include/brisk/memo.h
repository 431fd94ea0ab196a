/*
 * brisk/memo.h -- results of a pure function, remembered in a cache.
 *
 *     static void key(void *ctx, const void *args, brisk_key_builder *k)
 *     {
 *         const render_args *a = args;
 *         brisk_key_content(k, "page", a->page_hash, a->page_size);
 *         brisk_key_u64(k, "width", a->width);
 *     }
 *
 * What a call gives is what the function itself would give:
 *   - the key holds the function's name and version and every argument, typed and with its length,
 *     so that no two argument lists are one key; keys are compared whole;
 *   - nothing stale, no errors: those are the caller's, and the next call computes again;
 *   - bytes of large values, of which a tier has checked the number only, are checked here;
 *   - the same arguments at the same time are computed once;
 *   - with check_one_in, hits are computed again now and then and compared.  A difference means
 *     that the function is not pure, or its version was not raised: it is counted and logged, and
 *     what was computed is the answer and replaces the entry.
 *
 * Threads: every function from any thread.
 */
#ifndef BRISK_MEMO_H
#define BRISK_MEMO_H

#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>
#include <brisk/loader.h>

BRISK_BEGIN_DECLS

typedef struct brisk_memo brisk_memo;

typedef struct brisk_memo_opts {
    brisk_cache *cache; /**< Borrowed; required. */
    const char *name;   /**< Of the function, unique in the cache; required, copied. */
    uint64_t version;   /**< Raise it whenever the function may give something else. */
    /** Add everything that the result depends on.  Required. */
    void (*key)(void *ctx, const void *args, brisk_key_builder *builder);
    /** The function: sets ret->value, and perhaps ret->opts.  Required. */
    brisk_err (*run)(void *ctx, const void *args, brisk_load *ret);
    void *ctx;                /**< Passed to both. */
    uint32_t tiers;           /**< Bit i: tier i is used; 0 means all. */
    uint32_t check_one_in;    /**< Compute one hit in so many again; 0: none. */
    const brisk_clock *clock; /**< Borrowed; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed, thread-safe; NULL means libc. */
} brisk_memo_opts;

typedef struct brisk_memo_stats {
    uint64_t calls;
    uint64_t runs;        /**< Of the function, for checks too. */
    uint64_t checks;      /**< Hits that were computed again. */
    uint64_t differences; /**< Of them, those that gave something else. */
    uint64_t damaged;     /**< Large values that were not what was stored. */
} brisk_memo_stats;

/** Errors: INVALID (something required is missing, an empty name), NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_memo_create(const brisk_memo_opts *opts,
                                                      brisk_memo **ret);
/** After every call has returned.  NULL is accepted. */
BRISK_API void brisk_memo_destroy(brisk_memo *memo);
/**
 * The function's result for `args`.  `call` may be NULL; its arg and BRISK_CALL_CACHED are not
 * used.  Errors: the function's; LIMIT (the key is too large), NOMEM, DEADLINE, CANCELLED, CYCLE.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_memo_call(brisk_memo *memo, const void *args,
                                                    const brisk_loader_call *call,
                                                    brisk_loaded *ret);
/** Forget the result for `args`. */
BRISK_API BRISK_NODISCARD brisk_err brisk_memo_forget(brisk_memo *memo, const void *args);
BRISK_API void brisk_memo_read_stats(const brisk_memo *memo, brisk_memo_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_MEMO_H */
