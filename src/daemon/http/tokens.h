/*
 * tokens.h -- the bearer tokens a node knows: read from a file, or made at the first start.
 *
 *     # a line each: TOKEN [read|change [NAME]]
 *     6fd0c2...e1
 *     0b9a55...77 read grafana
 *
 * A token is 16 to 256 visible ASCII bytes.  Without a right it may change; NAME is what the audit
 * log shows, "token N" (its line) when there is none.
 *
 * Threads: reading and replacing from any; one lock, a leaf.
 */
#ifndef BRISK_SRC_DAEMON_HTTP_TOKENS_H
#define BRISK_SRC_DAEMON_HTTP_TOKENS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <brisk/err.h>

#include "daemon/http/exchange.h"

enum {
    TOKEN_MIN = 16,
    TOKEN_MAX = 256,
    TOKENS_MAX = 64,
    TOKEN_NAME_MAX = 32, /* terminator included */
    TOKEN_FILE_BYTES_MAX = 65536,
    TOKEN_PATH_MAX = 4096,
    TOKEN_MADE_BYTES = 32, /* of randomness */
};

typedef struct http_token {
    unsigned char text[TOKEN_MAX]; /* zeros behind it */
    char name[TOKEN_NAME_MAX];
    http_right right;
} http_token;

typedef struct http_tokens {
    pthread_mutex_t lock;
    uint32_t count;
    http_token items[TOKENS_MAX];
} http_tokens;

void http_tokens_init(http_tokens *tokens);
void http_tokens_deinit(http_tokens *tokens);

/*
 * Replace what is known by the contents of a file; on failure nothing changes.
 * Errors, with `info`: NOT_FOUND, PERMISSION (also when others may write to it), IO, INVALID (a
 * line, with its number; no token at all), LIMIT (too many, too long).
 */
BRISK_NODISCARD brisk_err http_tokens_read(http_tokens *tokens, const char *path,
                                           brisk_errinfo *info);
/* Likewise of `size` bytes of text; `path` is for errors. */
BRISK_NODISCARD brisk_err http_tokens_parse(http_tokens *tokens, const char *path, const char *text,
                                            size_t size, brisk_errinfo *info);

/*
 * Make `folder`/token with one fresh token, mode 0600, unless it is there; then read it.  Several
 * nodes of a user may start at once: one of them makes it.  `path` becomes its name.
 * Errors: those of read, LIMIT (a path that is too long), FULL.
 */
BRISK_NODISCARD brisk_err http_tokens_make(http_tokens *tokens, const char *folder,
                                           char path[TOKEN_PATH_MAX], brisk_errinfo *info);

/*
 * Likewise in the first place that can be used: $RUNTIME_DIRECTORY (systemd's), $XDG_RUNTIME_DIR/brisk,
 * $XDG_STATE_HOME/brisk, ~/.local/state/brisk.  Errors: also NOT_FOUND (there is no such place).
 */
BRISK_NODISCARD brisk_err http_tokens_make_somewhere(http_tokens *tokens, char path[TOKEN_PATH_MAX],
                                                     brisk_errinfo *info);

/*
 * The right of a token and its name; NONE: it is not known.  Takes as long for every text that is
 * compared with as many tokens, whatever it begins with.
 */
http_right http_tokens_find(http_tokens *tokens, http_text text, char name[TOKEN_NAME_MAX]);

#endif /* BRISK_SRC_DAEMON_HTTP_TOKENS_H */
