/*
 * tls.h -- TLS as a stream of bytes, without sockets: both for a blocking client and an event loop.
 *
 *                        wire_tls_feed                        wire_tls_read
 *     socket ──(cipher)──────────────────►  wire_tls  ──────────────────────► plain bytes
 *            ◄──────────────────────────              ◄──────────────────────
 *              wire_tls_output / _sent                       wire_tls_write
 *
 * The caller moves bytes; nothing here blocks or makes system calls.  The handshake happens inside
 * read and write: after each of them, and after feed, send what wire_tls_output shows.
 *
 *     event loop, on readable: recv, feed; read until it gives 0; send the output
 *     client: write; send the output; recv, feed, read; again until the reply is whole
 *
 * TLS 1.2 or later, no renegotiation, no compression, no tickets unless asked for.  A client always verifies the
 * server's chain and name.  Where the other side stops without saying goodbye the caller sees the
 * end of its socket; a protocol on top whose messages say their length loses nothing by that.
 *
 * Ownership: a context may be destroyed while its streams live.  libssl takes memory of its own;
 * cipher text is in the context's allocator's.
 * Threads: a context from any; a stream by one at a time.
 * Source: OpenSSL 3 (library), loaded with the first context: see wire/library.h.
 */
#ifndef BRISK_SRC_WIRE_TLS_H
#define BRISK_SRC_WIRE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <brisk/alloc.h>
#include <brisk/base.h>
#include <brisk/err.h>

typedef struct wire_tls_context wire_tls_context;
typedef struct wire_tls wire_tls;

typedef struct wire_tls_opts {
    bool server;
    /* PEM: the client's roots, NULL means the system's.  A server with one demands certificates
     * of its clients. */
    const char *ca_file;
    const char *cert_file; /* PEM, with its chain; required of a server */
    const char *key_file;  /* PEM, without a password; NULL: in cert_file */
    /* Application protocols by preference, "h2,http/1.1"; NULL: none are spoken about.  A server
     * answers with its first one that the client has too, or with none. */
    const char *alpn;
    /* A server's: clients get a ticket with which their next handshake is short.  Its key is the
     * context's and dies with it.  Never with ca_file, so that each connection shows a certificate. */
    bool tickets;
    const brisk_alloc *alloc; /* borrowed; NULL means libc */
} wire_tls_opts;

/*
 * Errors, all with `info`: UNSUPPORTED (no libssl here), INVALID (no certificate, bad alpn), IO (a
 * file cannot be read or is not what it should be), NOMEM.
 */
BRISK_NODISCARD brisk_err wire_tls_context_create(const wire_tls_opts *opts, wire_tls_context **ret,
                                                  brisk_errinfo *info);
void wire_tls_context_destroy(wire_tls_context *context); /* NULL is accepted */

/*
 * A stream.  `host` is the name or the address that the server's certificate must have; NULL for
 * the server's side.  Errors: INVALID (a client without a host, a host too long), NOMEM.
 */
BRISK_NODISCARD brisk_err wire_tls_create(wire_tls_context *context, const char *host,
                                          wire_tls **ret);
void wire_tls_destroy(wire_tls *tls); /* NULL is accepted */

/* As far as the handshake gets now; read and write do it by themselves.  Errors as for read. */
BRISK_NODISCARD brisk_err wire_tls_handshake(wire_tls *tls, brisk_errinfo *info);
/* Bytes from the socket; all are taken.  Read before feeding more, or they pile up.  NOMEM. */
BRISK_NODISCARD brisk_err wire_tls_feed(wire_tls *tls, const void *data, size_t size);
/*
 * Plain bytes, up to `size`; *got 0: there are none yet, or wire_tls_is_closed.  Errors, final for
 * the stream: PERMISSION (a certificate was not accepted, by either side), CORRUPT (not TLS, or
 * damaged), UNSUPPORTED (no common version or cipher).  There may be an alert to send first.
 */
BRISK_NODISCARD brisk_err wire_tls_read(wire_tls *tls, void *data, size_t size, size_t *got,
                                        brisk_errinfo *info);
/*
 * Plain bytes to send.  *taken is all of them, or 0 while the handshake is not done: offer the
 * same bytes again after the next feed.  Errors as for read.
 */
BRISK_NODISCARD brisk_err wire_tls_write(wire_tls *tls, const void *data, size_t size,
                                         size_t *taken, brisk_errinfo *info);
/* What must go to the socket: *data, valid until the next call on this stream; 0 when nothing. */
size_t wire_tls_output(const wire_tls *tls, const void **data);
/* The first `size` bytes of the output have been sent. */
void wire_tls_sent(wire_tls *tls, size_t size);

bool wire_tls_is_ready(const wire_tls *tls);  /* the handshake is done */
bool wire_tls_is_closed(const wire_tls *tls); /* the other side said goodbye */
void wire_tls_goodbye(wire_tls *tls);         /* adds the goodbye to the output */
/* "TLSv1.3"; static. */
const char *wire_tls_version(const wire_tls *tls);
/* The protocol agreed on, "" when none; at most 255 bytes and the NUL. */
void wire_tls_alpn(const wire_tls *tls, char protocol[256]);

#endif /* BRISK_SRC_WIRE_TLS_H */
