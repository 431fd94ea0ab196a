/*
 * brisk/form.h -- how a workload takes a job from outside, and gives its result.
 *
 *     JSON, named bytes ─► parse() ─► request ─► brisk_job_create ... done ─► result(), details()
 *
 * A workload with a form can be asked for by strangers: over HTTP, in a batch.  It says what a
 * request looks like (a JSON Schema), makes of one what its init() takes, and says what type the
 * result has.  What a form may open is decided by whoever asks it, not by the request: bytes come
 * from the request itself, from an entry of the cache by name, or from below one folder.
 *
 * Threads: parse by one thread, before the job; result and details after the job is done.  Different
 * jobs at the same time.
 */
#ifndef BRISK_FORM_H
#define BRISK_FORM_H

#include <stddef.h>
#include <stdint.h>

#include <brisk/arena.h>
#include <brisk/base.h>
#include <brisk/engine.h>
#include <brisk/err.h>
#include <brisk/json.h>
#include <brisk/json_read.h>
#include <brisk/value.h>
#include <brisk/workload.h>

BRISK_BEGIN_DECLS

/** Named bytes that came with a request. */
typedef struct brisk_form_part {
    const char *name;
    const char *type; /**< Media type; "" when there was none. */
    const void *data;
    size_t size;
} brisk_form_part;

typedef struct brisk_form_input {
    const brisk_json_node *request; /**< Lives as long as the job. */
    const brisk_form_part *parts;   /**< Likewise. */
    uint32_t part_count;
    brisk_arena *arena;   /**< What parse needs to keep; lives as long as the job. */
    brisk_engine *engine; /**< For its knobs. */
    const char *root;     /**< Files below it may be read; NULL: none may. */
    uint64_t bytes_max;   /**< Of all that brisk_form_bytes reads or decodes; 0: no limit. */
    /** Bytes of the cache's entry `name`, copied into `arena`.  NULL: entries cannot be named.
     *  Errors: NOT_FOUND, LIMIT, NOMEM. */
    brisk_err (*entry)(void *ctx, const char *name, size_t name_size, brisk_arena *arena,
                       brisk_form_part *ret);
    void *ctx;
    uint64_t *used; /**< Bytes so far, against bytes_max; NULL: not counted. */
} brisk_form_input;

/** What is given out.  The reference to `value` goes to whoever asked. */
typedef struct brisk_form_output {
    const char *type; /**< Media type; static, or of the job. */
    const char *name; /**< For a file that it is saved as: static, or of the job; NULL: none. */
    brisk_value *value;
} brisk_form_output;

typedef struct brisk_form {
    const char *summary; /**< One phrase, no full stop. */
    const char *schema;  /**< JSON Schema 2020-12 of the request: static text. */
    /**
     * Make *request, in input->arena.  Errors (`info` names the member and what is wrong): INVALID,
     * NOT_FOUND, PERMISSION, LIMIT, NOMEM ...; nothing is then kept but the arena.
     */
    brisk_err (*parse)(const brisk_form_input *input, const void **request, brisk_errinfo *info);
    /** Give back what the arena does not hold, after the job is destroyed.  May be NULL. */
    void (*release)(const void *request);
    /**
     * The result of a job that succeeded.  NULL: brisk_job_value as application/octet-stream.
     * Errors: NOT_FOUND (it has none), NOMEM, IO.
     */
    brisk_err (*result)(brisk_job *job, const void *request, brisk_form_output *ret);
    /** What else there is to say of a job that is done, failed ones included: members of the object
     *  that is open in `json`.  May be NULL. */
    void (*details)(brisk_job *job, const void *request, brisk_json *json);
} brisk_form;

/**
 * The bytes that a member of a request names, for parse():
 *
 *     {"base64": "UEFUQ0g="}   {"text": "..."}   {"part": "rom"}   {"entry": "roms/a"}   {"path": "a.sfc"}
 *
 * Exactly one of them; "name" beside it says how messages call it.  `what` is the member, for errors.
 * What *ret points to lives as long as the job.
 * Errors: INVALID, NOT_FOUND, PERMISSION (no folder is open, or the path leaves it), LIMIT, NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_form_bytes(const brisk_form_input *input,
                                                     const brisk_json_node *node, const char *what,
                                                     brisk_form_part *ret, brisk_errinfo *info);
/** JSON Schema of what brisk_form_bytes takes, as a literal for forms' own schemas. */
#define BRISK_FORM_BYTES_SCHEMA                                                                    \
    "{\"type\":\"object\",\"properties\":{"                                                        \
    "\"base64\":{\"type\":\"string\",\"contentEncoding\":\"base64\"},"                             \
    "\"text\":{\"type\":\"string\"},"                                                              \
    "\"part\":{\"type\":\"string\",\"description\":\"name of a part of multipart/form-data\"},"    \
    "\"entry\":{\"type\":\"string\",\"description\":\"name of an entry of the cache\"},"           \
    "\"path\":{\"type\":\"string\",\"description\":\"below serve.jobs.paths\"},"                   \
    "\"name\":{\"type\":\"string\"}},"                                                             \
    "\"oneOf\":[{\"required\":[\"base64\"]},{\"required\":[\"text\"]},{\"required\":[\"part\"]},"  \
    "{\"required\":[\"entry\"]},{\"required\":[\"path\"]}],\"additionalProperties\":false}"

BRISK_END_DECLS

#endif /* BRISK_FORM_H */
