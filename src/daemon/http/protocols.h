/*
 * protocols.h -- what a connection may speak; see detect.c.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_PROTOCOLS_H
#define BRISK_SRC_DAEMON_HTTP_PROTOCOLS_H

#include "daemon/conn.h"

extern const protocol protocol_detect; /* what every connection speaks first */
extern const protocol protocol_resp;
extern const protocol protocol_http1;
extern const protocol protocol_http2;

#endif /* BRISK_SRC_DAEMON_HTTP_PROTOCOLS_H */
