/*
 * tls.c -- OpenSSL between two buffers, behind wire/tls.h.
 *
 * libssl reads cipher text from `in` and writes it to `out`, through a BIO of our own; both grow as
 * needed, so that it never asks to be called again for room, only for more input, and are given back
 * when they are empty.  (Its memory BIOs copy once more and clear what they grow by: 2,700 of 20,800
 * instructions of a request over HTTP/2.)  SSL_read and SSL_write drive the handshake by themselves.
 *
 * The functions are called through a table (wire/library.h).  What OpenSSL has as macros is spelled
 * out with the function behind it, SSL_ctrl and the like.
 *
 * Errors: OpenSSL keeps a queue per thread.  It is emptied before every call whose result is
 * judged, because a line left by somebody else would be taken for the reason.
 */
#include "wire/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "wire/library.h"

#define TLS_TEXT_OF(number)  #number
#define TLS_SO_NAME(number)  "libssl.so." TLS_TEXT_OF(number)
#define TLS_SO_VERSION(name) TLS_SO_NAME(name)

#define TLS_FUNCTIONS(X)                                                                           \
    X(BIO_clear_flags)                                                                             \
    X(BIO_get_data)                                                                                \
    X(BIO_meth_new)                                                                                \
    X(BIO_meth_set_ctrl)                                                                           \
    X(BIO_meth_set_read)                                                                           \
    X(BIO_meth_set_write)                                                                          \
    X(BIO_new)                                                                                     \
    X(BIO_set_data)                                                                                \
    X(BIO_set_flags)                                                                               \
    X(BIO_set_init)                                                                                \
    X(ERR_clear_error)                                                                             \
    X(ERR_peek_error)                                                                              \
    X(ERR_reason_error_string)                                                                     \
    X(SSL_CTX_check_private_key)                                                                   \
    X(SSL_CTX_ctrl)                                                                                \
    X(SSL_CTX_free)                                                                                \
    X(SSL_CTX_load_verify_locations)                                                               \
    X(SSL_CTX_new)                                                                                 \
    X(SSL_CTX_set_alpn_protos)                                                                     \
    X(SSL_CTX_set_alpn_select_cb)                                                                  \
    X(SSL_CTX_set_client_CA_list)                                                                  \
    X(SSL_CTX_set_default_passwd_cb)                                                               \
    X(SSL_CTX_set_default_verify_paths)                                                            \
    X(SSL_CTX_set_num_tickets)                                                                     \
    X(SSL_CTX_set_options)                                                                         \
    X(SSL_CTX_set_verify)                                                                          \
    X(SSL_CTX_use_PrivateKey_file)                                                                 \
    X(SSL_CTX_use_certificate_chain_file)                                                          \
    X(SSL_ctrl)                                                                                    \
    X(SSL_do_handshake)                                                                            \
    X(SSL_free)                                                                                    \
    X(SSL_get0_alpn_selected)                                                                      \
    X(SSL_get0_param)                                                                              \
    X(SSL_get_error)                                                                               \
    X(SSL_get_verify_result)                                                                       \
    X(SSL_get_version)                                                                             \
    X(SSL_is_init_finished)                                                                        \
    X(SSL_load_client_CA_file)                                                                     \
    X(SSL_new)                                                                                     \
    X(SSL_read)                                                                                    \
    X(SSL_set1_host)                                                                               \
    X(SSL_set_accept_state)                                                                        \
    X(SSL_set_bio)                                                                                 \
    X(SSL_set_connect_state)                                                                       \
    X(SSL_set_hostflags)                                                                           \
    X(SSL_shutdown)                                                                                \
    X(SSL_write)                                                                                   \
    X(TLS_client_method)                                                                           \
    X(TLS_server_method)                                                                           \
    X(X509_VERIFY_PARAM_set1_ip_asc)                                                               \
    X(X509_verify_cert_error_string)

static const char *const names[] = {TLS_FUNCTIONS(WIRE_LIBRARY_NAME)};

static struct {
    TLS_FUNCTIONS(WIRE_LIBRARY_POINTER)
} so;

static_assert(sizeof so == sizeof names, "the table is pointers only");

enum {
    HOST_MAX = 255,
    ALPN_MAX = 255,
    BUFFER_FIRST = 4096,
    RECORD_BYTES = 16384, /* of plain text, at most */
    RECORD_OVERHEAD = 64, /* that it costs, at most */
    BIO_TYPE_OURS = BIO_TYPE_SOURCE_SINK | 120,
};

struct wire_tls_context {
    const brisk_alloc *alloc;
    SSL_CTX *ssl;
    bool server;
    _Atomic unsigned refs; /* the creator's and one for each stream: alpn is asked for in them */
    unsigned alpn_size;
    unsigned char alpn[ALPN_MAX + 1]; /* as on the wire: length, name, length, name ... */
};

/* Cipher text that is not taken yet: bytes `at` .. `size` of `data`. */
typedef struct cipher_text {
    unsigned char *data; /* NULL while there is none */
    size_t at;
    size_t size;
    size_t capacity;
} cipher_text;

struct wire_tls {
    wire_tls_context *context;
    SSL *ssl; /* owns the BIO */
    cipher_text in;
    cipher_text out;
    bool closed;
    brisk_err failed; /* what the stream died of */
};

static int read_cipher(BIO *bio, char *to, int size);
static int write_cipher(BIO *bio, const char *data, int size);
static long control_cipher(BIO *bio, int command, long number, void *pointer);

/* --- the library -------------------------------------------------------------------------- */

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static brisk_errinfo load_result; /* written once, under load_once ... */
static BIO_METHOD *method;        /* ... and this */

static void load(void)
{
    void *table[sizeof names / sizeof names[0]];
    load_result.code = wire_library_load(TLS_SO_VERSION(OPENSSL_SHLIB_VERSION), names, table,
                                         sizeof names / sizeof names[0], &load_result);
    if (load_result.code != BRISK_OK) {
        return;
    }
    memcpy(&so, table, sizeof so);
    method = so.BIO_meth_new(BIO_TYPE_OURS, "brisk");
    if (method == NULL || so.BIO_meth_set_read(method, read_cipher) != 1 ||
        so.BIO_meth_set_write(method, write_cipher) != 1 ||
        so.BIO_meth_set_ctrl(method, control_cipher) != 1) {
        (void)brisk_errinfo_set(&load_result, BRISK_ERR_NOMEM, "out of memory");
    }
}

static brisk_err need_library(brisk_errinfo *info)
{
    (void)pthread_once(&load_once, load);
    return load_result.code == BRISK_OK
               ? BRISK_OK
               : brisk_errinfo_set(info, load_result.code, "TLS: %s", load_result.text);
}

/* The oldest line in the queue is the reason; the later ones say what failed because of it. */
static const char *reason(void)
{
    unsigned long code = so.ERR_peek_error();
    if (code != 0 && ERR_GET_LIB(code) == ERR_LIB_SYS) {
        return strerror(ERR_GET_REASON(code));
    }
    const char *text = code != 0 ? so.ERR_reason_error_string(code) : NULL;
    return text != NULL ? text : "unknown reason";
}

/* --- context ------------------------------------------------------------------------------ */

/* Without it OpenSSL would ask the terminal. */
static int no_password(char *buffer, int size, int writing, void *ctx)
{
    if (size > 0) {
        buffer[0] = '\0';
    }
    (void)writing;
    (void)ctx;
    return 0;
}

static bool alpn_has(const unsigned char *list, unsigned size, const unsigned char *name)
{
    for (unsigned at = 0; at < size && list[at] < size - at; at += list[at] + 1u) {
        if (list[at] == name[0] && memcmp(list + at + 1, name + 1, name[0]) == 0) {
            return true;
        }
    }
    return false;
}

/* NOLINTNEXTLINE(readability-function-size): libssl's callback */
static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                       const unsigned char *offered, unsigned size, void *ctx)
{
    const wire_tls_context *context = ctx;
    (void)ssl;
    for (unsigned at = 0; at < context->alpn_size; at += context->alpn[at] + 1u) {
        if (alpn_has(offered, size, context->alpn + at)) {
            *ret = context->alpn + at + 1;
            *ret_size = context->alpn[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* "h2,http/1.1" as the wire has it. */
static brisk_err parse_alpn(wire_tls_context *context, const char *text)
{
    size_t size = 0;
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, ",");
        if (length == 0 || size + 1 + length > ALPN_MAX) {
            return BRISK_ERR_INVALID;
        }
        context->alpn[size] = (unsigned char)length;
        memcpy(context->alpn + size + 1, text, length);
        size += 1 + length;
        text += length;
        if (*text == ',' && *++text == '\0') {
            return BRISK_ERR_INVALID;
        }
    }
    context->alpn_size = (unsigned)size;
    return BRISK_OK;
}

static brisk_err set_alpn(wire_tls_context *context, const char *text, brisk_errinfo *info)
{
    if (parse_alpn(context, text) != BRISK_OK) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "TLS: '%s' is no list of protocols",
                                 text);
    }
    if (context->alpn_size == 0) {
        return BRISK_OK;
    }
    if (context->server) {
        so.SSL_CTX_set_alpn_select_cb(context->ssl, select_alpn, context);
        return BRISK_OK;
    }
    return so.SSL_CTX_set_alpn_protos(context->ssl, context->alpn, context->alpn_size) == 0
               ? BRISK_OK
               : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "TLS: %s", reason());
}

static brisk_err set_certificate(const wire_tls_context *context, const wire_tls_opts *opts,
                                 brisk_errinfo *info)
{
    const char *cert = opts->cert_file;
    const char *key = opts->key_file != NULL ? opts->key_file : cert;
    if (cert == NULL) {
        return !opts->server ? BRISK_OK
                             : brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                                 "TLS: a server needs a certificate");
    }
    if (so.SSL_CTX_use_certificate_chain_file(context->ssl, cert) != 1) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "TLS certificate %s: %s", cert, reason());
    }
    if (so.SSL_CTX_use_PrivateKey_file(context->ssl, key, SSL_FILETYPE_PEM) != 1) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "TLS key %s: %s", key, reason());
    }
    if (so.SSL_CTX_check_private_key(context->ssl) != 1) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "TLS key %s is not that of certificate %s",
                                 key, cert);
    }
    return BRISK_OK;
}

static brisk_err set_roots(const wire_tls_context *context, const wire_tls_opts *opts,
                           brisk_errinfo *info)
{
    const char *file = opts->ca_file;
    if (file != NULL && so.SSL_CTX_load_verify_locations(context->ssl, file, NULL) != 1) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "TLS roots %s: %s", file, reason());
    }
    if (file == NULL && !opts->server && so.SSL_CTX_set_default_verify_paths(context->ssl) != 1) {
        return brisk_errinfo_set(info, BRISK_ERR_IO, "TLS roots of the system: %s", reason());
    }
    if (!opts->server) {
        so.SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    } else if (file != NULL) {
        so.SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                              NULL);
        so.SSL_CTX_set_client_CA_list(context->ssl, so.SSL_load_client_CA_file(file));
    }
    return BRISK_OK;
}

static brisk_err set_up(wire_tls_context *context, const wire_tls_opts *opts, brisk_errinfo *info)
{
    so.ERR_clear_error();
    context->ssl = so.SSL_CTX_new(opts->server ? so.TLS_server_method() : so.TLS_client_method());
    if (context->ssl == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "TLS: %s", reason());
    }
    so.SSL_CTX_set_default_passwd_cb(context->ssl, no_password);
    (void)so.SSL_CTX_ctrl(context->ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    (void)so.SSL_CTX_ctrl(context->ssl, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    /* The caller may offer other memory with the same bytes; idle streams give up buffers. */
    (void)so.SSL_CTX_ctrl(context->ssl, SSL_CTRL_MODE,
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS, NULL);
    bool tickets = opts->tickets && opts->server && opts->ca_file == NULL;
    (void)so.SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                                   SSL_OP_CIPHER_SERVER_PREFERENCE |
                                                   (tickets ? 0 : SSL_OP_NO_TICKET));
    (void)so.SSL_CTX_set_num_tickets(context->ssl, tickets ? 1 : 0);
    brisk_err err = set_roots(context, opts, info);
    if (err == BRISK_OK) {
        err = set_certificate(context, opts, info);
    }
    return err == BRISK_OK ? set_alpn(context, opts->alpn, info) : err;
}

brisk_err wire_tls_context_create(const wire_tls_opts *opts, wire_tls_context **ret,
                                  brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && ret != NULL);
    brisk_err err = need_library(info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    wire_tls_context *context =
        alloc->acquire(alloc->ctx, sizeof *context, _Alignof(wire_tls_context));
    if (context == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "TLS: %s",
                                 brisk_err_message(BRISK_ERR_NOMEM));
    }
    *context = (wire_tls_context){.alloc = alloc, .server = opts->server, .refs = 1};
    err = set_up(context, opts, info);
    if (err != BRISK_OK) {
        wire_tls_context_destroy(context);
        return err;
    }
    *ret = context;
    return BRISK_OK;
}

void wire_tls_context_destroy(wire_tls_context *context)
{
    /* Release and acquire: who frees sees all that the others did. */
    if (context == NULL ||
        atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    so.SSL_CTX_free(context->ssl);
    context->alloc->release(context->alloc->ctx, context, sizeof *context,
                            _Alignof(wire_tls_context));
}

/* --- cipher text -------------------------------------------------------------------------- */

static void drop(const brisk_alloc *alloc, cipher_text *text)
{
    if (text->data != NULL) {
        alloc->release(alloc->ctx, text->data, text->capacity, 1);
    }
    *text = (cipher_text){.data = NULL};
}

/* Room for `more` bytes behind what is there; false: no memory. */
static bool reserve(const brisk_alloc *alloc, cipher_text *text, size_t more)
{
    size_t left = text->size - text->at;
    if (text->data != NULL && text->capacity - text->size >= more) {
        return true;
    }
    size_t wanted;
    if (__builtin_add_overflow(left, more, &wanted)) {
        return false;
    }
    size_t capacity = text->capacity < SIZE_MAX / 2 ? 2 * text->capacity : text->capacity;
    capacity = capacity > wanted ? capacity : wanted;
    capacity = capacity > BUFFER_FIRST ? capacity : BUFFER_FIRST;
    unsigned char *data = alloc->acquire(alloc->ctx, capacity, 1);
    if (data == NULL) {
        return false;
    }
    if (left > 0) {
        memcpy(data, text->data + text->at, left);
    }
    drop(alloc, text);
    *text = (cipher_text){.data = data, .size = left, .capacity = capacity};
    return true;
}

static bool append(const brisk_alloc *alloc, cipher_text *text, const void *data, size_t size)
{
    if (!reserve(alloc, text, size)) {
        return false;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    return true;
}

static void advance(const brisk_alloc *alloc, cipher_text *text, size_t size)
{
    BRISK_ASSERT(size <= text->size - text->at);
    text->at += size;
    if (text->at == text->size) {
        drop(alloc, text);
    }
}

static int read_cipher(BIO *bio, char *to, int size)
{
    wire_tls *tls = so.BIO_get_data(bio);
    size_t left = tls->in.size - tls->in.at;
    so.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (left == 0 || size <= 0) {
        so.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    size_t part = left < (size_t)size ? left : (size_t)size;
    memcpy(to, tls->in.data + tls->in.at, part);
    advance(tls->context->alloc, &tls->in, part);
    return (int)part;
}

static int write_cipher(BIO *bio, const char *data, int size)
{
    wire_tls *tls = so.BIO_get_data(bio);
    so.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    bool good = size >= 0 && append(tls->context->alloc, &tls->out, data, (size_t)size);
    return good ? size : -1;
}

static long control_cipher(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* --- stream ------------------------------------------------------------------------------- */

static bool is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* What the certificate must be for; a name is also told to the server (SNI), an address never. */
static bool set_host(wire_tls *tls, const char *host)
{
    if (is_address(host)) {
        return so.X509_VERIFY_PARAM_set1_ip_asc(so.SSL_get0_param(tls->ssl), host) == 1;
    }
    char name[HOST_MAX + 1];
    memcpy(name, host, strlen(host) + 1);
    so.SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return so.SSL_set1_host(tls->ssl, host) == 1 &&
           so.SSL_ctrl(tls->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) ==
               1;
}

static bool set_streams(wire_tls *tls, const char *host)
{
    tls->ssl = so.SSL_new(tls->context->ssl);
    BIO *bio = tls->ssl != NULL ? so.BIO_new(method) : NULL;
    if (bio == NULL) {
        return false;
    }
    so.BIO_set_data(bio, tls);
    so.BIO_set_init(bio, 1);
    so.SSL_set_bio(tls->ssl, bio, bio);
    if (tls->context->server) {
        so.SSL_set_accept_state(tls->ssl);
        return true;
    }
    so.SSL_set_connect_state(tls->ssl);
    return set_host(tls, host);
}

brisk_err wire_tls_create(wire_tls_context *context, const char *host, wire_tls **ret)
{
    BRISK_ASSERT(context != NULL && ret != NULL);
    if (!context->server && (host == NULL || host[0] == '\0' || strlen(host) > HOST_MAX)) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = context->alloc;
    wire_tls *tls = alloc->acquire(alloc->ctx, sizeof *tls, _Alignof(wire_tls));
    if (tls == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *tls = (wire_tls){.context = context};
    /* Relaxed: the caller's own reference keeps it alive. */
    (void)atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    so.ERR_clear_error();
    if (!set_streams(tls, host)) {
        so.ERR_clear_error();
        wire_tls_destroy(tls);
        return BRISK_ERR_NOMEM;
    }
    *ret = tls;
    return BRISK_OK;
}

void wire_tls_destroy(wire_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    wire_tls_context *context = tls->context;
    so.SSL_free(tls->ssl);
    drop(context->alloc, &tls->in);
    drop(context->alloc, &tls->out);
    context->alloc->release(context->alloc->ctx, tls, sizeof *tls, _Alignof(wire_tls));
    wire_tls_context_destroy(context);
}

brisk_err wire_tls_feed(wire_tls *tls, const void *data, size_t size)
{
    return size == 0 || append(tls->context->alloc, &tls->in, data, size) ? BRISK_OK
                                                                          : BRISK_ERR_NOMEM;
}

/* Which error of ours a line of OpenSSL's queue is. */
static brisk_err classify(unsigned long code)
{
    switch (ERR_GET_REASON(code)) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return BRISK_ERR_PERMISSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return BRISK_ERR_UNSUPPORTED;
    default: return BRISK_ERR_CORRUPT;
    }
}

/* The stream is dead: say why, now and whenever it is used again. */
static brisk_err fail(wire_tls *tls, brisk_errinfo *info)
{
    unsigned long code = so.ERR_peek_error();
    tls->failed = classify(code);
    if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        long why = so.SSL_get_verify_result(tls->ssl);
        (void)brisk_errinfo_set(info, tls->failed, "TLS: certificate not accepted: %s",
                                so.X509_verify_cert_error_string(why));
    } else {
        (void)brisk_errinfo_set(info, tls->failed, "TLS: %s", reason());
    }
    so.ERR_clear_error();
    return tls->failed;
}

/* What a call that did not move bytes means: nothing yet, goodbye, or the end. */
static brisk_err judge(wire_tls *tls, int result, brisk_errinfo *info)
{
    switch (so.SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return BRISK_OK;
    case SSL_ERROR_ZERO_RETURN: tls->closed = true; return BRISK_OK;
    default: return fail(tls, info);
    }
}

static brisk_err still_dead(const wire_tls *tls, brisk_errinfo *info)
{
    return brisk_errinfo_set(info, tls->failed, "TLS: the stream has failed before");
}

brisk_err wire_tls_handshake(wire_tls *tls, brisk_errinfo *info)
{
    if (tls->failed != BRISK_OK) {
        return still_dead(tls, info);
    }
    so.ERR_clear_error();
    int result = so.SSL_do_handshake(tls->ssl);
    return result == 1 ? BRISK_OK : judge(tls, result, info);
}

brisk_err wire_tls_read(wire_tls *tls, void *data, size_t size, size_t *got, brisk_errinfo *info)
{
    if (tls->failed != BRISK_OK) {
        return still_dead(tls, info);
    }
    so.ERR_clear_error();
    int part = size < INT_MAX ? (int)size : INT_MAX;
    int result = part > 0 ? so.SSL_read(tls->ssl, data, part) : 0;
    brisk_err err = result > 0 || part == 0 ? BRISK_OK : judge(tls, result, info);
    if (err == BRISK_OK) {
        *got = result > 0 ? (size_t)result : 0;
    }
    return err;
}

brisk_err wire_tls_write(wire_tls *tls, const void *data, size_t size, size_t *taken,
                         brisk_errinfo *info)
{
    if (tls->failed != BRISK_OK) {
        return still_dead(tls, info);
    }
    size_t done = 0;
    if (size > RECORD_BYTES / 2 && so.SSL_is_init_finished(tls->ssl) == 1) {
        /* Once for all of it; should there be no memory, the write that needs it says so. */
        (void)!reserve(tls->context->alloc, &tls->out,
                       size + (size / RECORD_BYTES + 1) * RECORD_OVERHEAD);
    }
    while (done < size) {
        int part = size - done < INT_MAX ? (int)(size - done) : INT_MAX;
        so.ERR_clear_error();
        int result = so.SSL_write(tls->ssl, (const char *)data + done, part);
        if (result <= 0) {
            brisk_err err = judge(tls, result, info);
            if (err != BRISK_OK) {
                return err;
            }
            break; /* before the end of the handshake, so nothing was taken */
        }
        done += (size_t)result;
    }
    *taken = done;
    return BRISK_OK;
}

size_t wire_tls_output(const wire_tls *tls, const void **data)
{
    *data = tls->out.data != NULL ? tls->out.data + tls->out.at : NULL;
    return tls->out.size - tls->out.at;
}

void wire_tls_sent(wire_tls *tls, size_t size)
{
    advance(tls->context->alloc, &tls->out, size);
}

bool wire_tls_is_ready(const wire_tls *tls)
{
    return so.SSL_is_init_finished(tls->ssl) == 1;
}

bool wire_tls_is_closed(const wire_tls *tls)
{
    return tls->closed;
}

void wire_tls_goodbye(wire_tls *tls)
{
    if (tls->failed == BRISK_OK && wire_tls_is_ready(tls)) {
        so.ERR_clear_error();
        (void)so.SSL_shutdown(tls->ssl);
        so.ERR_clear_error();
    }
}

const char *wire_tls_version(const wire_tls *tls)
{
    return so.SSL_get_version(tls->ssl);
}

void wire_tls_alpn(const wire_tls *tls, char protocol[256])
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    so.SSL_get0_alpn_selected(tls->ssl, &name, &size);
    size = size <= ALPN_MAX ? size : 0;
    if (size > 0) {
        memcpy(protocol, name, size);
    }
    protocol[size] = '\0';
}
