/*
 * wordcount.h -- what a program hands to the example workload and gets back.
 */
#ifndef WORDCOUNT_H
#define WORDCOUNT_H

#include <stddef.h>
#include <stdint.h>

/** The request of a job; outlives it. */
typedef struct wordcount_request {
    const char *text;
    size_t size;
    uint32_t parts; /**< Pieces that are counted at the same time; 0 means 4. */
    /** Told the name of every stage and piece when it begins, on its thread; may be NULL. */
    void (*progress)(void *ctx, const char *what);
    void *ctx;
} wordcount_request;

/** The beginning of the job's state: brisk_job_state gives a pointer to it. */
typedef struct wordcount_result {
    uint64_t words;
    uint64_t lines;
    char text[64]; /**< "2 lines, 7 words"; written by the last stage. */
} wordcount_result;

#endif /* WORDCOUNT_H */
