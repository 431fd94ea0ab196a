/*
 * brisk/http_client.h -- HTTP requests, many at once, answered later: the one client of brisk.
 *
 * A client has a thread of its own that talks to all servers.  Requests come from any thread and wait
 * there until their host has room; an answer goes to a callback or to a queue that other threads
 * take from.  HTTP/2 over TLS shares one connection among all requests to a host; where the server
 * has none, HTTP/1.1 connections are kept in a pool.
 *
 *     brisk_http_client_create(&opts, &client, &info);
 *     brisk_http_submit(client, &(brisk_http_request){.url = url, .queue = queue}, NULL, &info);
 *     brisk_http_queue_take(queue, BRISK_HTTP_FOREVER, &response);
 *     brisk_http_response_expand(response, NULL);   (gzip, in the thread that wants the text)
 *     brisk_http_response_destroy(response);
 *
 * Answers of any status are answers: `err` says what kept one from coming.  Every request that was
 * submitted is answered exactly once, also when the client is destroyed meanwhile (CANCELLED).
 *
 * How much a host gets at once is found out: more while its answers come in time, half after 429, 503
 * or a lost connection.  Idempotent requests are repeated after such (with growing, random pauses,
 * Retry-After honoured, out of a budget of their host that a storm of errors uses up).  A host that
 * answers nothing for many attempts in a row is left alone for a while: requests to it fail at once,
 * then one is let through, and its answer opens the door again.
 *
 * Secrets: a token goes to the origin and below the path it was given for, nowhere else; neither
 * tokens nor headers nor a user and password of a URL are in any message, log line or answer.
 * Redirections are followed only where a request asks for it, and only of GET, HEAD and 303.  To
 * another origin (scheme, host, port) go Accept, Accept-Language, Cache-Control, If-..., Range and
 * User-Agent of a request's headers, nothing else; from https to http none is followed.
 *
 * Threads: any, for every function; a response and a buffer are one thread's at a time.
 * Source: D. Stenberg, libcurl, https://curl.se (library, loaded with the first client).
 */
#ifndef BRISK_HTTP_CLIENT_H
#define BRISK_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

BRISK_BEGIN_DECLS

#define BRISK_HTTP_FOREVER UINT64_MAX
#define BRISK_HTTP_NONE    UINT32_MAX /**< Where 0 means a default: none at all. */

enum {
    BRISK_HTTP_HEADERS_MAX = 32,
    BRISK_HTTP_TOKENS_MAX = 256,
    BRISK_HTTP_URL_MAX = 8192,
    BRISK_HTTP_ETAG_MAX = 128,
    BRISK_HTTP_WHY_MAX = 160,
    BRISK_HTTP_IN_FLIGHT_MAX = 1024,
};

typedef struct brisk_http_client brisk_http_client;
typedef struct brisk_http_queue brisk_http_queue;
typedef struct brisk_http_response brisk_http_response;

/* --- clients ------------------------------------------------------------------------------- */

/** A secret and where it may go. */
typedef struct brisk_http_token {
    /** "https://host[:port]/path": same scheme, host and port, and the path or what lies below it. */
    const char *prefix;
    const char *authorization; /**< What follows "Authorization: ", "Bearer ..." say. */
} brisk_http_token;

typedef struct brisk_http_client_opts {
    const brisk_http_token *tokens; /**< The longest prefix that fits is used. */
    uint32_t token_count;
    const char *const *headers; /**< "Name: value", with every request to any host: no secrets. */
    uint32_t header_count;
    const char *user_agent;         /**< NULL means "brisk/VERSION". */
    const char *ca_file;            /**< PEM; NULL means the system's roots. */
    const char *cert_file;          /**< PEM, with key_file: the client's own. */
    const char *key_file;           /**< PEM. */
    const char *http_proxy;         /**< For http URLs.  NULL means the environment's, "" none. */
    const char *https_proxy;        /**< For https URLs; likewise. */
    const char *no_proxy;           /**< Hosts without a proxy, separated by commas; likewise. */
    bool http1;                     /**< HTTP/1.1 only. */
    uint32_t in_flight_max;         /**< Requests at once, all hosts; 0 means 256. */
    uint32_t host_start;            /**< Requests at once to a host at first; 0 means 64. */
    uint32_t host_min;              /**< Slow answers never take it below; 0 means 8. */
    bool host_fixed;                /**< It stays host_start, whatever is measured. */
    uint32_t connections_max;       /**< Of HTTP/1.1, to a host; 0 means 32. */
    uint32_t queue_max;             /**< Requests that are open, waiting ones included; 0: 65536. */
    uint64_t timeout_ns;            /**< Of a request with its repetitions; 0 means 300 s. */
    uint64_t connect_timeout_ns;    /**< Name and TCP; 0 means 10 s. */
    uint64_t tls_timeout_ns;        /**< 0 means 10 s. */
    uint64_t first_byte_timeout_ns; /**< From the connection to an answer's first byte; 0: 60 s. */
    uint64_t stall_timeout_ns;      /**< Without a byte in the middle of an answer; 0: 30 s. */
    uint64_t idle_timeout_ns;       /**< A connection unused for so long is closed; 0: 90 s. */
    uint64_t body_bytes_max;        /**< Of an answer's body as sent; 0 means 256 MiB. */
    uint64_t expanded_bytes_max;    /**< Of it expanded; 0 means 1 GiB. */
    uint32_t head_bytes_max;        /**< Of all headers of an answer; 0 means 64 KiB. */
    uint32_t retries;               /**< Of an idempotent request; 0 means 3; BRISK_HTTP_NONE. */
    /** So many repetitions and hedges for 100 requests to a host; 0 means 20; BRISK_HTTP_NONE.  A
     *  host that is well saves up to 5 times as many, and begins with as many. */
    uint32_t retry_percent;
    uint64_t retry_base_ns;      /**< First pause, at most (it is random); 0 means 100 ms. */
    uint64_t retry_after_max_ns; /**< A longer Retry-After is an answer; 0 means 30 s. */
    /** An idempotent request without a first byte for that long is sent again over another
     *  connection, and the first answer counts.  It is paid like a repetition.  0 means never. */
    uint64_t hedge_after_ns;
    /** A host without an answer (of any status) to so many attempts, each begun after the one before
     *  had failed, is left alone; 0 means 8; BRISK_HTTP_NONE. */
    uint32_t break_after;
    /** For so long, and twice as long as before each time that it is asked again in vain, up to 30 s;
     *  0 means 1 s. */
    uint64_t break_ns;
    /** Bodies of requests from so many bytes on are sent as gzip where that is wanted (see
     *  brisk_http_compress) and an eighth is saved; 0 means 1024; BRISK_HTTP_NONE. */
    uint32_t compress_min;
    uint64_t seed; /**< Of pauses; 0 means a random one. */
    const brisk_alloc
        *alloc; /**< Borrowed, thread-safe, outlives all responses; NULL means libc. */
} brisk_http_client_opts;

/**
 * Everything is copied; `opts` may be NULL for all defaults.  The library is loaded by the client's own
 * thread, so that this returns at once: without libcurl every request fails with UNSUPPORTED.
 * Errors, with `info`: INVALID (an option), LIMIT (no thread), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_client_create(const brisk_http_client_opts *opts,
                                                             brisk_http_client **ret,
                                                             brisk_errinfo *info);
/**
 * Cancel what is open (callbacks run, queues are filled), then end the thread and close every
 * connection.  NULL is accepted.  Not from a callback.
 */
BRISK_API void brisk_http_client_destroy(brisk_http_client *client);
/** Load the library if it is not loaded.  Errors, with `info`: UNSUPPORTED. */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_client_probe(brisk_errinfo *info);

/* --- requests ------------------------------------------------------------------------------ */

typedef enum brisk_http_priority {
    BRISK_HTTP_NORMAL = 0,
    BRISK_HTTP_HIGH, /**< Before all normal ones that wait, of any host; `Priority: u=1`. */
    BRISK_HTTP_LOW,  /**< After them: what may be needed; `Priority: u=5` (RFC 9218). */
} brisk_http_priority;

/** A request's body as gzip (RFC 9110, 12.5.3: an answer's Accept-Encoding says what a host takes). */
typedef enum brisk_http_compress {
    BRISK_HTTP_COMPRESS_ASKED = 0, /**< Once an answer of the host has said that it takes gzip. */
    BRISK_HTTP_COMPRESS_YES,       /**< Unless it has said that it does not. */
    BRISK_HTTP_COMPRESS_NO,
} brisk_http_compress;

/** Called once, in the client's thread: be quick, do not destroy the client.  Takes `response`. */
typedef void (*brisk_http_done_fn)(void *ctx, brisk_http_response *response);

typedef struct brisk_http_request {
    const char *method;         /**< NULL means GET. */
    const char *url;            /**< http:// or https://. */
    const char *const *headers; /**< "Name: value", of this request, instead of the client's. */
    uint32_t header_count;
    const void *body; /**< Copied, unless `body_borrowed`; NULL: none. */
    size_t body_size;
    bool body_borrowed;        /**< It lives until the answer. */
    bool idempotent;           /**< A POST that may be sent twice.  GET, HEAD, PUT, DELETE are. */
    bool plain;                /**< Ask for no Content-Encoding. */
    const char *etag;          /**< As it came: If-None-Match.  NULL or "": not asked. */
    const char *last_modified; /**< As it came: If-Modified-Since, when there is no etag. */
    uint32_t redirects_max;    /**< More is LIMIT; 0: none is followed, the 3xx is the answer. */
    uint32_t retries;          /**< 0 means the client's; BRISK_HTTP_NONE. */
    uint64_t timeout_ns;       /**< 0 means the client's. */
    uint64_t body_bytes_max;   /**< 0 means the client's. */
    brisk_http_priority priority;
    brisk_http_compress
        compress;            /**< Not with a Content-Encoding of its own.  415 makes it plain. */
    brisk_http_done_fn done; /**< Where the answer goes: either this ... */
    brisk_http_queue *queue; /**< ... or this, borrowed until the answer. */
    void *user;              /**< Of the answer, and `ctx` of `done`. */
    uint64_t tag;            /**< Of the answer. */
} brisk_http_request;

/**
 * Send when there is room.  Never waits, but compresses a body here, where it is wanted.  *id, for brisk_http_cancel, may be NULL.
 * Errors, with `info` (then there is no answer): INVALID (URL, header, neither or both of done and
 * queue), FULL (queue_max are open), CANCELLED (the client is being destroyed), NOMEM.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_submit(brisk_http_client *client,
                                                      const brisk_http_request *request,
                                                      uint64_t *id, brisk_errinfo *info);
/** Send and wait; `done` and `queue` are ignored.  Errors: as brisk_http_submit; what kept an
 *  answer from coming is in (*ret)->err. */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_run(brisk_http_client *client,
                                                   const brisk_http_request *request,
                                                   brisk_http_response **ret, brisk_errinfo *info);
/** Its answer is CANCELLED, if it was not on its way already; a number of the past is no error. */
BRISK_API void brisk_http_cancel(brisk_http_client *client, uint64_t id);
BRISK_API void brisk_http_cancel_all(brisk_http_client *client);

/* --- answers ------------------------------------------------------------------------------- */

typedef enum brisk_http_encoding {
    BRISK_HTTP_IDENTITY = 0,
    BRISK_HTTP_GZIP,
    BRISK_HTTP_DEFLATE,
    BRISK_HTTP_BROTLI,
    BRISK_HTTP_ZSTD,
    BRISK_HTTP_UNKNOWN, /**< Something else, or several. */
} brisk_http_encoding;

/** Cache-Control and its like.  Times are seconds; of several Cache-Control lines the strictest. */
typedef struct brisk_http_caching {
    bool no_store;
    bool no_cache;
    bool is_private;
    bool must_revalidate;
    bool has_max_age;
    bool has_s_maxage;
    bool has_expires;
    uint64_t max_age_s;
    uint64_t s_maxage_s;
    uint64_t age_s;
    int64_t date_s;                 /**< Since 1970; 0: none. */
    int64_t expires_s;              /**< Since 1970; 0 with has_expires: long ago. */
    char etag[BRISK_HTTP_ETAG_MAX]; /**< With its quotes; "" when there is none, or a longer one. */
    char last_modified[40];         /**< As sent; "" when there is none. */
} brisk_http_caching;

struct brisk_http_response {
    brisk_err err; /**< OK: answered.  DEADLINE, IO, PERMISSION (a certificate, a redirection to
                        plain http), LIMIT (too large), NOT_FOUND (the host), CANCELLED, NOMEM,
                        UNSUPPORTED (no libcurl), CORRUPT (not HTTP). */
    char why[BRISK_HTTP_WHY_MAX]; /**< One line about `err`, with the host, without secrets. */
    void *user;
    uint64_t tag;
    uint64_t id;
    int status;
    uint32_t http_version; /**< 10, 11, 20. */
    brisk_http_encoding encoding;
    brisk_http_caching caching;
    char content_type[80]; /**< "" when there is none, or a longer one. */
    char *location;        /**< Of a 3xx that was not followed, as sent; or NULL. */
    uint64_t retry_after_ns;
    unsigned char *body; /**< NULL when empty.  Followed by 16 readable bytes. */
    size_t body_size;
    size_t wire_size;       /**< Of the body as sent. */
    size_t sent_size;       /**< Of the request's body as sent, last attempt. */
    uint32_t attempts;      /**< 1 and repetitions. */
    uint32_t redirects;     /**< Followed. */
    bool hedged;            /**< Answered by the second of two. */
    bool reused;            /**< Over a connection that was there. */
    uint64_t queued_ns;     /**< Until it was sent first. */
    uint64_t connect_ns;    /**< Name and TCP; 0 when reused. */
    uint64_t tls_ns;        /**< 0 when reused. */
    uint64_t first_byte_ns; /**< From sent to the first byte, last attempt. */
    uint64_t total_ns;      /**< From submitted to answered. */
};

/** NULL is accepted. */
BRISK_API void brisk_http_response_destroy(brisk_http_response *response);

/**
 * Expand the body in place of the compressed one (nothing to do for IDENTITY), up to
 * expanded_bytes_max of the client.
 * Errors, with `info`: LIMIT (more), CORRUPT, UNSUPPORTED (UNKNOWN), NOMEM; the body is as before.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_response_expand(brisk_http_response *response,
                                                               brisk_errinfo *info);

/** Memory that is used for one body after the other.  Zero it first, or set `alloc`. */
typedef struct brisk_http_buffer {
    unsigned char *data; /**< `size` bytes and 64 more that are zero. */
    size_t size;
    size_t capacity_;
    void *inflater_;
    const brisk_alloc *alloc; /**< NULL means libc. */
} brisk_http_buffer;

/** Likewise, into `buffer`, whose bytes are lost.  Also copies what is not compressed. */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_response_expand_into(
    const brisk_http_response *response, brisk_http_buffer *buffer, brisk_errinfo *info);
BRISK_API void brisk_http_buffer_deinit(brisk_http_buffer *buffer);

/* --- queues of answers --------------------------------------------------------------------- */

/** Errors: NOMEM. */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_queue_create(const brisk_alloc *alloc,
                                                            brisk_http_queue **ret);
/** Destroys the answers that nobody took.  After the clients whose requests name it.  NULL is
 *  accepted. */
BRISK_API void brisk_http_queue_destroy(brisk_http_queue *queue);
/** The oldest answer, after waiting for it.  Errors: DEADLINE; CANCELLED (closed and empty). */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_queue_take(brisk_http_queue *queue,
                                                          uint64_t timeout_ns,
                                                          brisk_http_response **ret);
/** Who waits, and who comes, gets what is there and then CANCELLED. */
BRISK_API void brisk_http_queue_close(brisk_http_queue *queue);

/* --- figures ------------------------------------------------------------------------------- */

typedef struct brisk_http_stats {
    uint64_t submitted;
    uint64_t answered; /**< Of any status. */
    uint64_t failed;
    uint64_t cancelled;
    uint64_t retries;
    uint64_t retries_denied; /**< By the budget. */
    uint64_t hedges;
    uint64_t hedges_won;
    uint64_t hedges_denied; /**< By the budget. */
    uint64_t left_alone;    /**< Failed at once, since their host was. */
    uint64_t redirects;
    uint64_t throttled;        /**< Answers 429 and 503. */
    uint64_t connections;      /**< Opened. */
    uint32_t connections_open; /**< Now, to all hosts. */
    uint64_t reused;           /**< Requests over a connection that was there. */
    uint64_t bytes_in;         /**< Bodies and heads. */
    uint64_t bytes_out;
    uint64_t bytes_saved;      /**< Of bodies that were sent as gzip. */
    uint64_t bytes_per_second; /**< Received, while anything was in flight; moving average. */
    uint32_t in_flight;
    uint32_t in_flight_peak;
    uint32_t waiting;
    uint32_t hosts;
} brisk_http_stats;

typedef enum brisk_http_health {
    BRISK_HTTP_WELL = 0,
    BRISK_HTTP_LEFT_ALONE, /**< Requests fail at once. */
    BRISK_HTTP_TRIED,      /**< One at a time, until one is answered. */
} brisk_http_health;

typedef struct brisk_http_host_stats {
    uint32_t limit; /**< Requests at once, now. */
    double rate;    /**< Answers a second in the last round in which all of that was used. */
    uint32_t in_flight;
    uint32_t waiting;
    uint32_t http_version;   /**< 0: not known yet. */
    uint64_t latency_min_ns; /**< To the first byte, the best lately. */
    uint64_t latency_ns;     /**< Moving average. */
    uint64_t throttled;
    uint64_t paused_ns; /**< Left of what it asked for by Retry-After. */
    brisk_http_health health;
    uint32_t failures; /**< In a row, each begun after the one before. */
    uint32_t broken;   /**< How often it was left alone. */
    uint64_t alone_ns; /**< Left of that. */
    uint64_t retries;
    uint64_t hedges;
    uint32_t retry_budget; /**< Repetitions and hedges that it may have now. */
    uint64_t connections;  /**< Opened. */
    uint64_t reused;       /**< Requests over a connection that was there. */
    uint64_t bytes_in;     /**< Bodies and heads. */
    uint64_t bytes_out;
    uint64_t bytes_per_second; /**< Received, while anything was in flight; moving average. */
    bool takes_gzip;           /**< It has said so: in bodies of requests. */
    bool refuses_gzip;         /**< Likewise. */
    uint64_t rtt_ns;           /**< The kernel's estimate, of a connection used lately; 0: none. */
} brisk_http_host_stats;

BRISK_API void brisk_http_client_read_stats(brisk_http_client *client, brisk_http_stats *ret);
/** Of the host of `url`.  Errors: NOT_FOUND (nothing was asked of it), INVALID. */
BRISK_API BRISK_NODISCARD brisk_err brisk_http_client_read_host(brisk_http_client *client,
                                                                const char *url,
                                                                brisk_http_host_stats *ret);

BRISK_END_DECLS

#endif /* BRISK_HTTP_CLIENT_H */
