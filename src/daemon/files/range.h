/*
 * range.h -- which bytes a request wants: Range.
 *
 * What overlaps or touches is sent once, as one range in the place of the first; so the bytes of all
 * ranges are never more than there are, whatever was asked for.  More than RANGE_MAX ranges, or
 * something that is no list of ranges, is answered as if the field were not there.
 *
 * Threads: pure functions.
 * Source: RFC 9110 section 14.
 */
#ifndef BRISK_SRC_DAEMON_FILES_RANGE_H
#define BRISK_SRC_DAEMON_FILES_RANGE_H

#include <stdint.h>

#include "daemon/http/exchange.h"

enum { RANGE_MAX = 16 };

typedef struct byte_range {
    uint64_t first;
    uint64_t last; /* inclusive */
} byte_range;

typedef struct range_set {
    uint32_t count;
    byte_range ranges[RANGE_MAX];
} range_set;

typedef enum range_verdict {
    RANGE_ALL = 0,       /* answer 200 */
    RANGE_SOME,          /* 206: there is at least one */
    RANGE_UNSATISFIABLE, /* 416 */
} range_verdict;

/* `size` of the representation.  *ret is written with SOME only. */
range_verdict range_parse(http_text value, uint64_t size, range_set *ret);

#endif /* BRISK_SRC_DAEMON_FILES_RANGE_H */
