/*
 * tokens.c -- the file of bearer tokens behind tokens.h.
 *
 * A comparison looks at all TOKEN_MAX bytes of every token, zeros behind the shorter ones: its time
 * tells nothing of what is right in a guess, nor how long a token is.
 *
 * A file that is made is written under another name and linked to its own: whoever finds it finds it
 * whole, and of two nodes that start at once one wins and the other reads the winner's.
 *
 * Source: RFC 6750 (bearer tokens), section 5.
 */
#include "daemon/http/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

#include "base/assert.h"

void http_tokens_init(http_tokens *tokens)
{
    memset(tokens, 0, sizeof *tokens);
    int failed = pthread_mutex_init(&tokens->lock, NULL);
    BRISK_ASSERT(failed == 0);
}

void http_tokens_deinit(http_tokens *tokens)
{
    explicit_bzero(tokens->items, sizeof tokens->items);
    (void)pthread_mutex_destroy(&tokens->lock);
}

/* --- reading ------------------------------------------------------------------------------ */

typedef struct word {
    const char *data;
    size_t size;
} word;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; size 0: there is none. */
static word next_word(const char **at, const char *end)
{
    while (*at < end && is_blank(**at)) {
        (*at)++;
    }
    word w = {.data = *at};
    while (*at < end && !is_blank(**at)) {
        (*at)++;
    }
    w.size = (size_t)(*at - w.data);
    return w;
}

static bool is_word(word w, const char *text)
{
    return w.size == strlen(text) && memcmp(w.data, text, w.size) == 0;
}

static bool is_visible(word w)
{
    for (size_t i = 0; i < w.size; i++) {
        if (w.data[i] <= ' ' || w.data[i] > '~') {
            return false;
        }
    }
    return true;
}

typedef struct place {
    const char *path;
    uint32_t line;
} place;

static brisk_err read_line(word line, const place *where, http_token *token, brisk_errinfo *info)
{
    const char *at = line.data;
    const char *end = line.data + line.size;
    word text = next_word(&at, end);
    word right = next_word(&at, end);
    word name = next_word(&at, end);
    memset(token, 0, sizeof *token);
    if (text.size < TOKEN_MIN || text.size > TOKEN_MAX || !is_visible(text)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s:%" PRIu32 ": a token has %d to %d visible ASCII bytes",
                                 where->path, where->line, TOKEN_MIN, TOKEN_MAX);
    }
    if (right.size != 0 && !is_word(right, "read") && !is_word(right, "change")) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s:%" PRIu32 ": behind a token stands read or change",
                                 where->path, where->line);
    }
    if (name.size >= TOKEN_NAME_MAX || !is_visible(name) || next_word(&at, end).size != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "%s:%" PRIu32 ": a token's name is one word of up to %d bytes",
                                 where->path, where->line, TOKEN_NAME_MAX - 1);
    }
    memcpy(token->text, text.data, text.size);
    token->right = is_word(right, "read") ? HTTP_RIGHT_READ : HTTP_RIGHT_CHANGE;
    if (name.size != 0) {
        memcpy(token->name, name.data, name.size);
    } else {
        (void)snprintf(token->name, sizeof token->name, "token %" PRIu32, where->line);
    }
    return BRISK_OK;
}

static brisk_err read_lines(const char *path, word text, http_token items[TOKENS_MAX],
                            uint32_t *count, brisk_errinfo *info)
{
    place where = {.path = path};
    const char *end = text.data + text.size;
    for (const char *at = text.data; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        word line = {.data = at, .size = (size_t)(stop - at)};
        at = stop < end ? stop + 1 : end;
        where.line++;
        const char *peek = line.data;
        word first = next_word(&peek, stop);
        if (first.size == 0 || first.data[0] == '#') {
            continue;
        }
        if (*count == TOKENS_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d tokens", path,
                                     TOKENS_MAX);
        }
        brisk_err err = read_line(line, &where, &items[*count], info);
        if (err != BRISK_OK) {
            return err;
        }
        (*count)++;
    }
    return *count != 0 ? BRISK_OK
                       : brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: there is no token", path);
}

brisk_err http_tokens_parse(http_tokens *tokens, const char *path, const char *text, size_t size,
                            brisk_errinfo *info)
{
    http_token items[TOKENS_MAX];
    uint32_t count = 0;
    brisk_err err = read_lines(path, (word){text, size}, items, &count, info);
    if (err == BRISK_OK) {
        (void)pthread_mutex_lock(&tokens->lock);
        memcpy(tokens->items, items, count * sizeof items[0]);
        tokens->count = count;
        (void)pthread_mutex_unlock(&tokens->lock);
    }
    explicit_bzero(items, sizeof items);
    return err;
}

/* All of a small regular file; errno is set on failure. */
static ssize_t read_all(int fd, char *text, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(fd, text + have, size - have);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)have;
}

static brisk_err check_file(int fd, const char *path, brisk_errinfo *info)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "%s: not a regular file", path);
    }
    if (geteuid() != 0 && st.st_uid != geteuid() && st.st_uid != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION, "%s: it is somebody else's", path);
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "%s: others may write to it: chmod 600", path);
    }
    if ((st.st_mode & S_IROTH) != 0) {
        brisk_log(BRISK_LOG_WARNING, "serve", "%s: everybody on this machine may read the tokens",
                  path);
    }
    return BRISK_OK;
}

brisk_err http_tokens_read(http_tokens *tokens, const char *path, brisk_errinfo *info)
{
    static const size_t room = TOKEN_FILE_BYTES_MAX + 1;
    const brisk_alloc *alloc = brisk_alloc_libc();
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    brisk_err err = check_file(fd, path, info);
    char *text = err == BRISK_OK ? alloc->acquire(alloc->ctx, room, 1) : NULL;
    if (err == BRISK_OK && text == NULL) {
        err = brisk_errinfo_set(info, BRISK_ERR_NOMEM, "%s: out of memory", path);
    }
    if (err == BRISK_OK) {
        ssize_t size = read_all(fd, text, room);
        if (size < 0) {
            err = brisk_errinfo_set_errno(info, errno, "%s", path);
        } else if ((size_t)size == room) {
            err = brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d bytes", path,
                                    TOKEN_FILE_BYTES_MAX);
        } else {
            err = http_tokens_parse(tokens, path, text, (size_t)size, info);
        }
    }
    (void)close(fd);
    if (text != NULL) {
        explicit_bzero(text, room);
        alloc->release(alloc->ctx, text, room, 1);
    }
    return err;
}

/* --- making ------------------------------------------------------------------------------- */

static bool join_path(char path[TOKEN_PATH_MAX], const char *folder, const char *name)
{
    int length = snprintf(path, TOKEN_PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < TOKEN_PATH_MAX;
}

static brisk_err write_fresh(int fd)
{
    unsigned char random[TOKEN_MADE_BYTES];
    char text[2 * TOKEN_MADE_BYTES + 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return BRISK_ERR_IO;
    }
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", random[i]);
    }
    text[2 * TOKEN_MADE_BYTES] = '\n';
    brisk_err err = brisk_file_write_all(fd, text, 2 * TOKEN_MADE_BYTES + 1);
    explicit_bzero(random, sizeof random);
    explicit_bzero(text, sizeof text);
    return err;
}

static brisk_err make_file(const char *folder, const char *path, brisk_errinfo *info)
{
    char draft[TOKEN_PATH_MAX];
    char name[32];
    (void)snprintf(name, sizeof name, ".token.%ld", (long)getpid());
    if (!join_path(draft, folder, name)) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: the path is too long", folder);
    }
    (void)unlink(draft); /* of a process that had this number and died */
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", draft);
    }
    brisk_err err = write_fresh(fd);
    if (close(fd) != 0 && err == BRISK_OK) {
        err = brisk_err_from_errno(errno);
    }
    if (err != BRISK_OK) {
        err = brisk_errinfo_set(info, err, "%s: %s", draft, brisk_err_message(err));
    } else if (link(draft, path) != 0 && errno != EEXIST) {
        err = brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    (void)unlink(draft);
    return err;
}

/* Who may rename in the folder chooses what is read from it, now and at each reload. */
static brisk_err check_folder(const char *folder, brisk_errinfo *info)
{
    struct stat st;
    if (stat(folder, &st) != 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", folder);
    }
    bool ours = st.st_uid == geteuid() || st.st_uid == 0;
    if (!ours || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "%s: others may write to the folder of the token", folder);
    }
    return BRISK_OK;
}

brisk_err http_tokens_make(http_tokens *tokens, const char *folder, char path[TOKEN_PATH_MAX],
                           brisk_errinfo *info)
{
    if (!join_path(path, folder, "token")) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: the path is too long", folder);
    }
    struct stat st;
    brisk_err err = brisk_file_make_dirs(folder, info);
    err = err == BRISK_OK ? check_folder(folder, info) : err;
    if (err != BRISK_OK) {
        return err;
    }
    if (lstat(path, &st) != 0) {
        err = errno == ENOENT ? make_file(folder, path, info)
                              : brisk_errinfo_set_errno(info, errno, "%s", path);
    } else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        err = brisk_errinfo_set(info, BRISK_ERR_PERMISSION, "%s: it is somebody else's", path);
    }
    return err == BRISK_OK ? http_tokens_read(tokens, path, info) : err;
}

brisk_err http_tokens_make_somewhere(http_tokens *tokens, char path[TOKEN_PATH_MAX],
                                     brisk_errinfo *info)
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {
        {"RUNTIME_DIRECTORY", ""},
        {"XDG_RUNTIME_DIR", "brisk"},
        {"XDG_STATE_HOME", "brisk"},
        {"HOME", ".local/state/brisk"},
    };
    brisk_err err = brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "there is no home folder");
    for (size_t i = 0; i < sizeof places / sizeof places[0] && err != BRISK_OK; i++) {
        char folder[TOKEN_PATH_MAX];
        const char *base = secure_getenv(places[i].variable);
        if (base != NULL && base[0] == '/' && join_path(folder, base, places[i].below)) {
            err = http_tokens_make(tokens, folder, path, info);
        }
    }
    return err;
}

/* --- comparing ---------------------------------------------------------------------------- */

/* 1 when all bytes are the same, 0 otherwise, without a branch that depends on them. */
static uint32_t same_text(const unsigned char *a, const unsigned char *b)
{
    unsigned char differs = 0;
    for (size_t i = 0; i < TOKEN_MAX; i++) {
        differs |= (unsigned char)(a[i] ^ b[i]);
    }
    return (((uint32_t)differs - 1) >> 31) & 1;
}

http_right http_tokens_find(http_tokens *tokens, http_text text, char name[TOKEN_NAME_MAX])
{
    unsigned char guess[TOKEN_MAX] = {0};
    http_right right = HTTP_RIGHT_NONE;
    name[0] = '\0';
    if (text.size < TOKEN_MIN || text.size > TOKEN_MAX ||
        memchr(text.data, '\0', text.size) != NULL) {
        return right; /* zeros stand behind a token */
    }
    memcpy(guess, text.data, text.size);
    (void)pthread_mutex_lock(&tokens->lock);
    uint32_t found = TOKENS_MAX; /* whose it is; all are looked at */
    for (uint32_t i = 0; i < tokens->count; i++) {
        uint32_t same = same_text(guess, tokens->items[i].text);
        found = (found & (same - 1)) | (i & (0 - same));
    }
    if (found < TOKENS_MAX) {
        right = tokens->items[found].right;
        memcpy(name, tokens->items[found].name, TOKEN_NAME_MAX);
    }
    (void)pthread_mutex_unlock(&tokens->lock);
    explicit_bzero(guess, sizeof guess);
    return right;
}
