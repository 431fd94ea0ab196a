/*
 * chooser.h -- which way to encode a body reaches the client's program first.
 *
 * A body of S bytes that is compressed to r·S, sent at B and expanded takes
 *
 *     S · (1/C + r/B + 1/D)
 *
 * so the way with the least of the sum is taken, and plain (C and D infinite, r = 1) is one of them.
 * Who uses a result n times pays 1/C only once: then it counts 1/n.  A result that is there already
 * costs nothing but sending and expanding.
 *
 * C, D and r are measured, here and all the time: a cell of the table, for a class of content and of
 * size, keeps a moving average of each method that ran.  The class of content is what a sample of
 * 4 KiB shows (text or not; how far it shrinks), and within a class the ratio is scaled by the
 * sample's.  What was not measured yet is taken from the nearest size that was, or from a table of
 * figures of one machine, scaled by how fast the samples are compressed on this one.
 *
 * Threads: any; one lock inside, held for the sums.
 * Source: the sum is that of store and forward; RFC 9110 section 12.5.3 for what may be chosen.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_CHOOSER_H
#define BRISK_SRC_DAEMON_ENCODE_CHOOSER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/encode/method.h"
#include "wire/codec.h"

enum {
    ENCODE_SAMPLE_BYTES = 4096,
    ENCODE_CONTENTS = 12, /* text or not, times how far the sample shrinks */
    ENCODE_SIZES = 9,     /* each power of four from 256 bytes on */
    ENCODE_RATIO_ONE = 1000,
};

/* What a look at some of the bytes showed. */
typedef struct encode_probe {
    uint16_t permille;   /* to which the sample shrank */
    bool text;           /* no control characters, few bytes above 127 */
    bool hopeless;       /* it does not shrink */
    uint32_t ns_per_kib; /* of compressing it; 0: it was not compressed */
} encode_probe;

/* What a method took: thousandths of the plain size, and nanoseconds for 1024 plain bytes. */
typedef struct encode_measure {
    uint32_t permille;
    uint32_t squeeze_ns;
    uint32_t expand_ns;
} encode_measure;

typedef struct encode_record {
    encode_measure measure;
    uint32_t samples;
} encode_record;

typedef struct encode_cell {
    encode_record records[ENCODE_METHODS];
    uint32_t probe_permille; /* moving average of those that were measured here */
} encode_cell;

typedef struct encode_chooser {
    pthread_mutex_t lock;
    encode_cell cells[ENCODE_CONTENTS][ENCODE_SIZES];
    uint32_t machine_permille; /* time of a sample, to that on the machine of the table */
} encode_chooser;

typedef struct encode_question {
    uint64_t size;
    encode_probe probe;
    uint32_t codings; /* bits of encode_accept */
    uint32_t made;    /* methods whose result is there, a bit each */
    uint64_t bps;     /* bits a second to the client; 0: not known */
    uint32_t uses;    /* how often a result will be used; 0 is 1 */
    bool cheap;       /* leave out what is worth it only for results that are kept */
} encode_question;

void encode_chooser_init(encode_chooser *chooser);
void encode_chooser_deinit(encode_chooser *chooser);

/* Look at some of `bytes`, timed.  Errors: NOMEM. */
BRISK_NODISCARD brisk_err encode_probe_bytes(codec_kit *kit, codec_bytes bytes, encode_probe *ret);
/* Take the sample's speed as this machine's. */
void encode_chooser_note(encode_chooser *chooser, const encode_probe *probe);

encode_method encode_choose(encode_chooser *chooser, const encode_question *question);
/* What encode_choose believes of a method, and its sum in ns for 1024 bytes. */
encode_measure encode_estimate(encode_chooser *chooser, const encode_question *question,
                               encode_method method);
double encode_sum_ns(const encode_measure *measure, uint64_t bps, uint32_t uses);
/* A body of this size and probe was encoded so. */
void encode_learn(encode_chooser *chooser, uint64_t size, const encode_probe *probe,
                  encode_method method, const encode_measure *measure);
/* How many times the method was measured with such bodies. */
uint32_t encode_samples(encode_chooser *chooser, uint64_t size, const encode_probe *probe,
                        encode_method method);

#endif /* BRISK_SRC_DAEMON_ENCODE_CHOOSER_H */
