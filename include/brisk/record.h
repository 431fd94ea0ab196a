/*
 * brisk/record.h -- a recording of what a running cache was asked for.
 *
 * A brisk_recorder takes notes of requests, in rings of a fixed size, and writes them to a file from
 * a thread of its own: time, hash of the key (and the key, when told to), size, what answered.  A
 * note that finds its ring full is dropped and counted, in the file too; nobody waits.
 *
 * The file is a header and blocks, each compressed, with a checksum of its own, appended in one
 * write.  A recorder that is killed leaves a whole recording up to its last block, at most about a
 * second behind.  Several processes may record into one file: each block is appended under a lock.
 *
 * A brisk_recording reads it: hostile bytes are fine, a damaged block is skipped and counted.
 *
 * Threads: a recorder: any; a recording: one at a time.
 */
#ifndef BRISK_RECORD_H
#define BRISK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/cache.h>
#include <brisk/clock.h>
#include <brisk/err.h>
#include <brisk/hash.h>

BRISK_BEGIN_DECLS

enum { BRISK_RECORD_KEY_MAX = 1024, BRISK_RECORD_TIER_MAX = 14 };

typedef enum brisk_record_op {
    BRISK_RECORD_GET = 0,
    BRISK_RECORD_PUT,
    BRISK_RECORD_REMOVE,
} brisk_record_op;

/** One request. */
typedef struct brisk_record {
    uint64_t time_ns; /**< Wall clock. */
    uint64_t hash;    /**< hash.lo of the key. */
    uint64_t size;    /**< Of the value; 0 when there was none. */
    uint32_t tier;    /**< Which answered, at most BRISK_RECORD_TIER_MAX; UINT32_MAX: none. */
    brisk_record_op op;
    bool hit;
    const void *key; /**< NULL when keys were not recorded, or this one was too long. */
    size_t key_size;
} brisk_record;

/* --- writing ------------------------------------------------------------------------------- */

typedef struct brisk_recorder brisk_recorder;

typedef struct brisk_recorder_opts {
    const char *path;         /**< Appended to when it is a recording; created otherwise. */
    bool keys;                /**< The keys' bytes too, up to BRISK_RECORD_KEY_MAX each. */
    uint64_t bytes_max;       /**< Of the file: then the rest is dropped; 0 means 1 GiB. */
    uint64_t ring_bytes;      /**< Memory for notes; 0 means 2 MiB; at least 64 KiB. */
    uint64_t flush_ns;        /**< A block at least so often; 0 means 1 s. */
    const brisk_clock *clock; /**< Borrowed; its wall clock counts; NULL means the system's. */
    const brisk_alloc *alloc; /**< Borrowed; NULL means libc. */
} brisk_recorder_opts;

typedef struct brisk_recorder_stats {
    uint64_t noted;
    uint64_t dropped; /**< Ring full, file at its limit, or writing failed. */
    uint64_t written; /**< Records in the file. */
    uint64_t blocks;
    uint64_t bytes;  /**< Of the blocks written. */
    brisk_err error; /**< The first of writing; nothing is written after it. */
} brisk_recorder_stats;

/**
 * Errors (`info` names the file): CONFLICT (it is there and no recording), INVALID (no regular file,
 * options), PERMISSION, NOT_FOUND (its folder), IO, FULL, NOMEM, LIMIT (no thread).
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_recorder_create(const brisk_recorder_opts *opts,
                                                          brisk_recorder **ret,
                                                          brisk_errinfo *info);
/** Take down one request.  Never waits.  `tier` and `size` as in brisk_record. */
BRISK_API void brisk_recorder_note(brisk_recorder *recorder, brisk_record_op op,
                                   const brisk_key *key, uint32_t tier, uint64_t size);
/** As brisk_cache_add_tap wants it; `recorder` is the context. */
BRISK_API void brisk_recorder_tap(void *recorder, const brisk_request *request);
BRISK_API void brisk_recorder_read_stats(brisk_recorder *recorder, brisk_recorder_stats *ret);
/**
 * Write what is left and close; the recorder is gone in any case.  NULL is accepted.
 * Errors: the first one of writing, with `info`.
 */
BRISK_API brisk_err brisk_recorder_destroy(brisk_recorder *recorder, brisk_errinfo *info);

/* --- reading ------------------------------------------------------------------------------- */

typedef struct brisk_recording brisk_recording;

typedef struct brisk_recording_stats {
    uint64_t records; /**< Returned so far ... */
    uint64_t blocks;  /**< ... from so many blocks. */
    uint64_t dropped; /**< Requests that the recorders say they lost. */
    uint64_t damaged; /**< Blocks skipped, or stretches that hold none. */
    bool torn;        /**< The last block was not whole: its recorder was killed, or is at work. */
    bool has_keys;
} brisk_recording_stats;

/** Errors (`info` names the file): CORRUPT (no recording), and those of brisk_file_view_open. */
BRISK_API BRISK_NODISCARD brisk_err brisk_recording_open(const char *path, const brisk_alloc *alloc,
                                                         brisk_recording **ret,
                                                         brisk_errinfo *info);
/** Likewise from memory that the caller keeps. */
BRISK_API BRISK_NODISCARD brisk_err brisk_recording_open_bytes(const void *data, size_t size,
                                                               const brisk_alloc *alloc,
                                                               brisk_recording **ret);
/**
 * The next record; its key is valid until the next call.  Records of one block are in the order of
 * their times; blocks of several processes may overlap.  NOT_FOUND: that was all.  Errors: NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_recording_next(brisk_recording *recording,
                                                         brisk_record *ret);
BRISK_API void brisk_recording_read_stats(const brisk_recording *recording,
                                          brisk_recording_stats *ret);
BRISK_API void brisk_recording_close(brisk_recording *recording); /**< NULL is accepted. */

BRISK_END_DECLS

#endif /* BRISK_RECORD_H */
