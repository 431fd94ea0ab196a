/*
 * internal.h -- what the files of encode/ share.
 */
#ifndef BRISK_SRC_DAEMON_ENCODE_INTERNAL_H
#define BRISK_SRC_DAEMON_ENCODE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/encode/encode.h"
#include "daemon/encode/shelf.h"
#include "daemon/encode/squeeze.h"
#include "daemon/loop.h"

enum { ENCODE_DICTIONARIES_MAX = 64 };

typedef struct encode_job encode_job;

struct encode {
    const brisk_alloc *alloc;
    server *server;
    bool off;
    encode_chooser chooser;
    encode_variants *variants;
    shelf shelf;
    _Atomic uint64_t plain;
    _Atomic uint64_t made;
    _Atomic uint64_t background;
    _Atomic uint64_t reused;
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
    _Atomic bool calibrating;
    _Atomic bool
        has_dictionaries; /* there has been one; the last one never goes without another coming */

    pthread_mutex_t lock; /* of what follows; nothing else is locked under it */
    pthread_cond_t idle;
    uint32_t running;   /* jobs that the executor has not done ... */
    uint64_t job_bytes; /* ... and the bodies of all jobs */
    encode_job *jobs;   /* all of them */
    encode_bench *benches;
    encode_dictionary *dictionaries[ENCODE_DICTIONARIES_MAX]; /* last used first */
    uint64_t dictionary_bytes;
    uint64_t dictionary_bytes_max;
};

/* A bench for the caller; NULL: no memory. */
encode_bench *encode_take_bench(encode *self);
void encode_give_bench(encode *self, encode_bench *bench);
/* The dictionary the client says it has, if it is one of ours, with a reference; or NULL. */
encode_dictionary *encode_find_dictionary(encode *self, const exchange *x);
bool encode_has_dictionaries(encode *self);
/* Those that an earlier process left; before anything else. */
void encode_load_dictionaries(encode *self);

/* A body that is made: what is asked, what is known. */
typedef struct encode_plan {
    encode_question question;
    encode_method method;
    bool decided; /* `method` and the probe are known */
    bool keep;
    encode_identity identity;
    encode_dictionary *dictionary; /* a reference, or NULL */
} encode_plan;

/* The answer with the fields of an encoded one (`coding` IDENTITY: only vary), in the exchange's
 * memory.  False: no memory. */
bool encode_fields(exchange *x, const http_answer *from, encode_coding coding, http_answer *ret);
void encode_drop_body(const http_body *body);

/* --- job.c ------------------------------------------------------------------------------------ */

/*
 * Make a body on the executor and answer `x` with it; takes the body and the plan's dictionary over.
 * `answer->fields` are in the exchange's memory.  False: no memory, nothing was taken.
 */
bool encode_job_start(encode *self, exchange *x, const http_answer *answer,
                      const encode_plan *plan);
/* Make it for later, of what `body` shows; nothing is taken over. */
void encode_job_later(encode *self, const http_body *body, const encode_plan *plan);
/* Make it now: the method is decided.  NULL: it does not shrink, or no memory. */
brisk_value *encode_make(encode *self, codec_bytes body, const encode_plan *plan);
void encode_jobs_end(encode *self);

#endif /* BRISK_SRC_DAEMON_ENCODE_INTERNAL_H */
