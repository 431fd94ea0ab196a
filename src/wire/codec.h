/*
 * wire/codec.h -- compressed bytes: plain, zstd (with or without a dictionary), lz4, brotli, deflate
 * and gzip behind one interface.
 *
 * Whoever stores compressed bytes stores the codec's number, the exact size of what was compressed
 * and, if there was one, a name of the dictionary.  zstd's frames are without magic number and
 * content size, with a dictionary there is no frame at all: up to 16 bytes less for each entry, and
 * only codec_expand reads them.  The others are what the world reads: a gzip entry can be sent as Content-Encoding: gzip.
 *
 * Threads: a codec_kit is one thread's at a time; a codec_dict is immutable and shared.
 * Sources: zstd, lz4, brotli, libdeflate (libraries).
 */
#ifndef BRISK_SRC_WIRE_CODEC_H
#define BRISK_SRC_WIRE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/err.h>

/* The numbers are stored: never change one. */
typedef enum codec_id {
    CODEC_PLAIN = 0,
    CODEC_ZSTD = 1,
    CODEC_LZ4 = 2,
    CODEC_BROTLI = 3,
    CODEC_DEFLATE = 4,
    CODEC_GZIP = 5,
    CODEC_COUNT,
} codec_id;

enum {
    CODEC_LEVEL_DEFAULT = 0, /* each library's idea of fast and good: zstd 1, brotli 5, deflate 6 */
    CODEC_DICT_BYTES = 16384,
    CODEC_BYTES_MAX = 1 << 30, /* of one piece */
};

typedef struct codec_dict codec_dict;
typedef struct codec_kit codec_kit;

/* How to compress.  `dict` is for zstd only. */
typedef struct codec_how {
    codec_id id;
    int level;
    const codec_dict *dict; /* borrowed for the call; NULL: none */
} codec_how;

typedef struct codec_bytes {
    const void *data;
    size_t size;
} codec_bytes;

typedef struct codec_room {
    void *data;
    size_t size;
} codec_room;

/* "zstd" and so on; NULL for a number that is none. */
const char *codec_name(codec_id id);
/* Errors: NOT_FOUND. */
BRISK_NODISCARD brisk_err codec_find(const char *name, codec_id *ret);

/* --- working memory --------------------------------------------------------------------------- */

/* Takes memory with the first use of each codec.  `alloc` must outlive it.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err codec_kit_create(const brisk_alloc *alloc, codec_kit **ret);
void codec_kit_destroy(codec_kit *kit); /* NULL is accepted */

/* What codec_squeeze may write for `size` bytes. */
size_t codec_bound(codec_id id, size_t size);
/*
 * Compress into `dst` of `room` bytes.  Less than codec_bound is allowed.
 * Errors: LIMIT (does not fit; with a dictionary also: does not shrink, or more than 128 KiB), NOMEM,
 * UNSUPPORTED.
 */
BRISK_NODISCARD brisk_err codec_squeeze(codec_kit *kit, const codec_how *how, codec_bytes src,
                                        codec_room dst, size_t *ret);
/*
 * Expand hostile bytes to exactly `dst.size` bytes.  how->level does not matter, how->dict must be
 * the one that was used.  Errors: CORRUPT, NOMEM, UNSUPPORTED.
 */
BRISK_NODISCARD brisk_err codec_expand(codec_kit *kit, const codec_how *how, codec_bytes src,
                                       codec_room dst);

/* --- dictionaries ----------------------------------------------------------------------------- */

/* Digested for compressing and expanding; `bytes` are copied.  Errors: INVALID, NOMEM. */
BRISK_NODISCARD brisk_err codec_dict_create(codec_bytes bytes, int level, const brisk_alloc *alloc,
                                            codec_dict **ret);
codec_dict *codec_dict_ref(codec_dict *dict);
void codec_dict_unref(codec_dict *dict); /* NULL is accepted */
codec_bytes codec_dict_bytes(const codec_dict *dict);
/* Samples that lie behind each other, and how long the pieces of a dictionary are. */
typedef struct codec_samples {
    const void *data;
    const size_t *sizes;
    uint32_t count;
    uint32_t piece_bytes; /* short ones suit varied data, long ones records of one kind */
} codec_samples;

/*
 * Make a dictionary of at most `room` bytes.  Takes some milliseconds and zstd's own memory.
 * Errors: NOT_FOUND (too few samples, or too different ones).
 */
BRISK_NODISCARD brisk_err codec_dict_train(const codec_samples *samples, codec_room room,
                                           size_t *ret);

/* --- choice ----------------------------------------------------------------------------------- */

/* A cheap look at a few hundred bytes: whether these seem compressed or random already. */
bool codec_seems_random(codec_bytes bytes);

enum { CODEC_CLASSES = 12 }; /* of size: each power of two from 64 bytes on */

/* What was seen of one codec and size: moving averages, thousandths of the plain size and ns. */
typedef struct codec_record {
    uint32_t size_permille;
    uint32_t squeeze_ns_per_kib;
    uint32_t expand_ns_per_kib;
    uint32_t samples;
} codec_record;

enum { CODEC_TRIED = 3 }; /* zstd, lz4, zstd with the dictionary */

/* A learner; one thread at a time (or races that cost a wrong choice). */
typedef struct codec_chooser {
    codec_record seen[CODEC_CLASSES][CODEC_TRIED];
    uint32_t tick[CODEC_CLASSES];
    uint8_t vain[CODEC_CLASSES]; /* tries without gain, less those with: then looking pays */
} codec_chooser;

/* What to do with these bytes. */
typedef struct codec_choice {
    codec_id id;
    bool with_dict; /* if there is one */
    bool measure;   /* time it, expand it once, and report with codec_chooser_learn */
} codec_choice;

/* Whether bytes of this size are worth a look first, since trying them was in vain lately. */
bool codec_chooser_doubts(const codec_chooser *chooser, size_t size);
/* Report a try. */
void codec_chooser_tried(codec_chooser *chooser, size_t size, bool gained);
codec_choice codec_choose(codec_chooser *chooser, codec_bytes bytes, bool has_dict);
/* Report: `raw` bytes became `stored` (raw: no gain) in these times. */
void codec_chooser_learn(codec_chooser *chooser, const codec_choice *choice, codec_record seen,
                         size_t raw);

#endif /* BRISK_SRC_WIRE_CODEC_H */
