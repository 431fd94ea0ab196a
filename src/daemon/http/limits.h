/*
 * limits.h -- how long a client of HTTP may take for each phase, and how much it may have.  Zero: no limit.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_LIMITS_H
#define BRISK_SRC_DAEMON_HTTP_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct http_limits {
    uint64_t head_ns;       /* from the first byte of a head to its last */
    uint64_t idle_ns;       /* between two requests, or before the first */
    uint64_t body_ns;       /* a body must have moved at min_rate over each such span ... */
    uint64_t write_ns;      /* ... and so must an answer */
    uint32_t min_rate;      /* bytes a second */
    uint32_t requests_max;  /* of a connection */
    uint32_t streams_max;   /* requests at once of a connection, of HTTP/2; 0: 256 */
    uint32_t per_address;   /* connections, of any protocol */
    bool per_address_local; /* of this machine, too */
} http_limits;

#endif /* BRISK_SRC_DAEMON_HTTP_LIMITS_H */
