/*
 * expiry.h -- times of expiry as commands give them: seconds or milliseconds, from now or absolute.
 */
#ifndef BRISK_SRC_DAEMON_EXPIRY_H
#define BRISK_SRC_DAEMON_EXPIRY_H

#include "daemon/server.h"

typedef enum expiry_unit { EXPIRY_SECONDS, EXPIRY_MS } expiry_unit;

/* No entry expires later: 2262. */
#define EXPIRY_NS_MAX ((uint64_t)INT64_MAX)

/*
 * Milliseconds since 1970 from `value`, which is in `unit` and counts from now unless `absolute`.
 * False: it does not fit.
 */
bool expiry_ms(const server *s, int64_t value, expiry_unit unit, bool absolute, int64_t *ret_ms);
/* Nanoseconds for the keyspace, cut at EXPIRY_NS_MAX; never 0 for a time after 1970. */
uint64_t expiry_ns(int64_t ms);
int64_t expiry_now_ms(const server *s);

/* Options of SET and GETEX. */
typedef struct expiry_option {
    bool given;
    bool keep;     /* KEEPTTL */
    bool persist;  /* PERSIST */
    int64_t at_ms; /* when given */
} expiry_option;

/*
 * Is argv[*at] EX, PX, EXAT or PXAT with its number behind it?  1: yes, *at is at the number; 0: no;
 * -1: yes, but wrong, and the error was sent.
 */
int expiry_parse(client *c, const resp_bytes *argv, uint32_t argc, uint32_t *at,
                 expiry_option *option);
/* "ERR invalid expire time in 'set' command" */
void expiry_error(client *c);

#endif /* BRISK_SRC_DAEMON_EXPIRY_H */
