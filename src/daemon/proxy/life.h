/*
 * life.h -- may a response be kept, how long is it fresh, and may it be used now?
 *
 * Ages are counted from one moment: when the response would have had age 0.  That moment is on the
 * wall clock, because entries outlive processes; a clock that goes backwards makes ages smaller,
 * never negative.
 *
 *     born            lifetime              + stale-while-revalidate      + stale-if-error
 *      ├──── fresh ────────┼── served, fetched behind it ──┼── only when the upstream fails ──
 *
 * must-revalidate, proxy-revalidate, s-maxage and no-cache end at `lifetime`, whatever else is said.
 *
 * Threads: pure functions.
 * Source:  RFC 9111 3, 4.2, 5.2; RFC 5861.
 */
#ifndef BRISK_SRC_DAEMON_PROXY_LIFE_H
#define BRISK_SRC_DAEMON_PROXY_LIFE_H

#include "daemon/proxy/control.h"

/* What a mount says about all of its responses. */
typedef struct proxy_policy {
    uint32_t heuristic_percent; /* of the time since Last-Modified */
    uint32_t heuristic_max_s;
    uint32_t stale_while_s; /* where the response says nothing */
    uint32_t stale_error_s; /* likewise, when the upstream cannot be reached */
    bool stale_on_status;   /* ... and when it answers 500, 502, 503 or 504 */
    bool no_cookies;        /* responses that set cookies are never kept */
    bool deaf;              /* clients' no-cache, no-store, max-age ... do not count */
} proxy_policy;

/* What was asked. */
typedef struct proxy_asked {
    http_method method;
    proxy_fields fields;
    proxy_control control;
} proxy_asked;

/* What came; times are of the wall clock, in milliseconds. */
typedef struct proxy_got {
    uint16_t status;
    proxy_fields fields;
    proxy_control control;
    int64_t request_ms;
    int64_t response_ms;
} proxy_got;

enum {
    LIFE_NO_CACHE = 1u << 0,   /* ask before every use */
    LIFE_STRICT = 1u << 1,     /* never stale */
    LIFE_HEURISTIC = 1u << 2,  /* nobody said how long */
    LIFE_SAID_ERROR = 1u << 3, /* stale-if-error was given */
};

typedef struct proxy_life {
    int64_t born_ms;
    uint32_t lifetime_s;
    uint32_t stale_while_s;
    uint32_t stale_error_s;
    uint32_t flags;
} proxy_life;

/* Why a response is not kept; the words are those of Cache-Status details. */
typedef enum proxy_keep {
    PROXY_KEEP = 0,
    PROXY_KEEP_METHOD,
    PROXY_KEEP_NO_STORE,
    PROXY_KEEP_PRIVATE,
    PROXY_KEEP_AUTHORIZATION,
    PROXY_KEEP_STATUS,
    PROXY_KEEP_VARY,
    PROXY_KEEP_COOKIES,
    PROXY_KEEP_NO_LIFE, /* neither fresh for a moment nor can it be validated */
} proxy_keep;

const char *proxy_keep_text(proxy_keep keep);

/* 206 is the caller's matter: PROXY_KEEP says that all but its being partial is right. */
proxy_keep proxy_may_keep(const proxy_asked *asked, const proxy_got *got,
                          const proxy_policy *policy);
proxy_life proxy_life_of(const proxy_got *got, const proxy_policy *policy);
/* Seconds; never negative. */
uint32_t proxy_age_s(const proxy_life *life, int64_t now_ms);
/* Seconds of freshness that are left; negative when stale. */
int64_t proxy_left_s(const proxy_life *life, int64_t now_ms);

typedef enum proxy_verdict {
    PROXY_USE = 0,
    PROXY_USE_AND_RENEW, /* stale-while-revalidate */
    PROXY_VALIDATE,
} proxy_verdict;

proxy_verdict proxy_judge(const proxy_life *life, const proxy_control *request, int64_t now_ms);

typedef enum proxy_failure {
    PROXY_FAILED_REACH = 0, /* no whole answer came */
    PROXY_FAILED_STATUS,    /* 500, 502, 503, 504 */
} proxy_failure;

/* May a stale response stand in for the upstream's failure? */
bool proxy_use_on_failure(const proxy_life *life, const proxy_policy *policy, proxy_failure failure,
                          int64_t now_ms);

/* Is it a status that may be kept without being told to? (RFC 9110 15.1) */
bool proxy_status_is_heuristic(uint16_t status);
/* One of RFC 9110's. */
bool proxy_status_is_known(uint16_t status);

#endif /* BRISK_SRC_DAEMON_PROXY_LIFE_H */
