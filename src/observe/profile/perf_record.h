/*
 * perf_record.h -- one record of a perf ring, of the layout that perf.c asks for, as a prof_record.
 */
#ifndef BRISK_SRC_OBSERVE_PROFILE_PERF_RECORD_H
#define BRISK_SRC_OBSERVE_PROFILE_PERF_RECORD_H

#include <linux/perf_event.h>

#include "observe/profile/perf.h"

enum { PROF_RECORD_BYTES_MAX = 65536 };

#define PROF_SAMPLE_TYPE                                                                           \
    (PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |                \
     PERF_SAMPLE_PERIOD | PERF_SAMPLE_CALLCHAIN)
/* rbp, rsp, rip: numbers 6, 7, 8 of <asm/perf_regs.h>, in this order in a record. */
#define PROF_SAMPLE_REGS UINT64_C(0x1c0)

/* Ids of the events whose samples are switches. */
typedef struct prof_record_ids {
    uint64_t *ids;
    size_t count;
    size_t capacity;
} prof_record_ids;

bool prof_record_ids_add(prof_record_ids *ids, const brisk_alloc *alloc, uint64_t id);
void prof_record_ids_deinit(prof_record_ids *ids, const brisk_alloc *alloc);

/* Its time; 0 when it is too short to have one. */
uint64_t prof_record_time(const unsigned char *bytes, size_t size);
/* False: of a kind that does not matter, or damaged.  *ret points into `bytes`. */
bool prof_record_read(const unsigned char *bytes, size_t size, const prof_record_ids *ids,
                      prof_record *ret);

#endif /* BRISK_SRC_OBSERVE_PROFILE_PERF_RECORD_H */
