/*
 * node.c -- the little of the Redis protocol that a question needs, over a blocking socket.
 *
 * Numbers, texts and errors are understood; what `brisk serve` answers to the program's questions is
 * nothing else.
 */
#include "cli/node.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <brisk/arena.h>
#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/node.h>
#include <brisk/text.h>

enum { NODE_ADDRESS_MAX = 4096, LINE_MAX_BYTES = 512, PASSWORD_BYTES_MAX = 512, HEAD_MAX = 32 };

#define NS_PER_S UINT64_C(1000000000)

typedef struct node_link {
    const brisk_invocation *in;
    const char *address;
    int fd;
    uint64_t until_ns;
    unsigned char bytes[4096]; /* received, at .. end not used yet */
    size_t at;
    size_t end;
} node_link;

static void say(const node_link *l, const char *what)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    char words[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(l->in->err, "brisk: %s: %s\n", brisk_text_quote(quoted, l->address),
                  brisk_text_quote(words, what));
}

static void say_nobody(const node_link *l, const char *why)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(l->in->err, "brisk: nothing answers at %s: %s; is 'brisk serve' running there?\n",
                  brisk_text_quote(quoted, l->address), why);
}

/* --- connecting --------------------------------------------------------------------------- */

static int open_socket(const struct sockaddr *address, socklen_t size, int *ret_error)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = NODE_PATIENCE_S};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, address, size) != 0) {
        *ret_error = errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return -1;
    }
    return fd;
}

static bool connect_unix(node_link *l)
{
    const char *path = strncmp(l->address, "unix:", 5) == 0 ? l->address + 5 : l->address;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    int error = ENAMETOOLONG;
    if (size < sizeof address.sun_path) {
        memcpy(address.sun_path, path, size);
        l->fd = open_socket((const struct sockaddr *)&address, sizeof address, &error);
    }
    if (l->fd < 0) {
        say_nobody(l, strerror(error));
    }
    return l->fd >= 0;
}

static bool connect_tcp(node_link *l)
{
    char host[256];
    const char *colon = strrchr(l->address, ':');
    size_t size = colon != NULL ? (size_t)(colon - l->address) : 0;
    const char *begin = l->address;
    if (size >= 2 && begin[0] == '[' && begin[size - 1] == ']') {
        begin++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof host || colon[1] == '\0') {
        say(l, "is neither HOST:PORT nor the path of a unix socket");
        return false;
    }
    memcpy(host, begin, size);
    host[size] = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, colon + 1, &hints, &found);
    if (failed != 0) {
        say(l, gai_strerror(failed));
        return false;
    }
    int error = 0;
    for (const struct addrinfo *at = found; at != NULL && l->fd < 0; at = at->ai_next) {
        l->fd = open_socket(at->ai_addr, at->ai_addrlen, &error);
    }
    freeaddrinfo(found);
    if (l->fd < 0) {
        say_nobody(l, strerror(error));
    }
    return l->fd >= 0;
}

static bool connect_to(node_link *l)
{
    bool is_path = strncmp(l->address, "unix:", 5) == 0 || strchr(l->address, '/') != NULL;
    l->until_ns = brisk_clock_now_ns(NULL) + NODE_PATIENCE_S * NS_PER_S;
    return is_path ? connect_unix(l) : connect_tcp(l);
}

/* --- asking ------------------------------------------------------------------------------- */

/* What an errno of send or recv means; a peer that goes is told in one way, however it was noticed. */
static const char *words_of(int error, const char *in_vain)
{
    switch (error) {
    case EAGAIN: return in_vain;
    case EPIPE:
    case ECONNRESET: return "closed the connection";
    default: return strerror(error);
    }
}

static bool send_all(node_link *l, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(l->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return true; /* it may have answered before it went: reading tells */
        }
        if (sent < 0) {
            say(l, words_of(errno, "does not take the question"));
            return false;
        }
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_words(node_link *l, const char *const *words, uint32_t count)
{
    char head[HEAD_MAX];
    int size = snprintf(head, sizeof head, "*%" PRIu32 "\r\n", count);
    bool good = send_all(l, head, (size_t)size);
    for (uint32_t i = 0; i < count && good; i++) {
        size = snprintf(head, sizeof head, "$%zu\r\n", strlen(words[i]));
        good = send_all(l, head, (size_t)size) && send_all(l, words[i], strlen(words[i])) &&
               send_all(l, "\r\n", 2);
    }
    return good;
}

/* More bytes; what was not used yet is used up before. */
static bool fill(node_link *l)
{
    ssize_t got = -1;
    do {
        got = brisk_clock_now_ns(NULL) < l->until_ns ? recv(l->fd, l->bytes, sizeof l->bytes, 0)
                                                     : (errno = EAGAIN, -1);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        say(l, words_of(got == 0 ? EPIPE : errno, "does not answer in time"));
        return false;
    }
    l->at = 0;
    l->end = (size_t)got;
    return true;
}

static bool read_line(node_link *l, char line[LINE_MAX_BYTES])
{
    size_t size = 0;
    for (;;) {
        if (l->at == l->end && !fill(l)) {
            return false;
        }
        char c = (char)l->bytes[l->at++];
        if (c == '\n' && size > 0 && line[size - 1] == '\r') {
            line[size - 1] = '\0';
            return true;
        }
        if (size + 1 == LINE_MAX_BYTES || c == '\0') {
            say(l, "speaks another protocol");
            return false;
        }
        line[size++] = c;
    }
}

static bool read_bytes(node_link *l, char *to, size_t size)
{
    while (size > 0) {
        if (l->at == l->end && !fill(l)) {
            return false;
        }
        size_t part = l->end - l->at < size ? l->end - l->at : size;
        memcpy(to, l->bytes + l->at, part);
        l->at += part;
        to += part;
        size -= part;
    }
    return true;
}

static char *read_bulk(node_link *l, const char *digits)
{
    uint64_t size = 0;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 7 || digits[count] != '\0') {
        say(l, "does not know it");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size = size * 10 + (uint64_t)(digits[i] - '0');
    }
    if (size > NODE_REPLY_MAX) {
        say(l, "answers more than can be shown");
        return NULL;
    }
    brisk_arena *arena = cli_arena(cli_of(l->in));
    char *text = arena != NULL ? brisk_arena_alloc(arena, (size_t)size + 2) : NULL;
    if (text == NULL || !read_bytes(l, text, (size_t)size + 2)) {
        return NULL;
    }
    text[size] = '\0';
    return text;
}

/* Only what may be shown. */
static const char *show(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        *at = (c >= ' ' && c < 127) || c == '\n' ? *at : '?';
    }
    return text;
}

static void hide_bytes(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (unsigned char)*text < 0x80 ? *text : '?';
    }
}

static char *read_reply(node_link *l)
{
    char line[LINE_MAX_BYTES];
    if (!read_line(l, line)) {
        return NULL;
    }
    char *text = NULL;
    switch (line[0]) {
    case '$': return read_bulk(l, line + 1);
    case '+':
    case ':': {
        brisk_arena *arena = cli_arena(cli_of(l->in));
        size_t size = strlen(line);
        text = arena != NULL ? brisk_arena_alloc(arena, size) : NULL;
        if (text != NULL) {
            memcpy(text, line + 1, size);
        }
        return text;
    }
    case '-':
        hide_bytes(line); /* a stranger's words; what say shows escaped may stay */
        say(l, strncmp(line, "-NOAUTH", 7) == 0 ? "asks for a password; give --password-file"
               : strncmp(line, "-ERR ", 5) == 0 ? line + 5
                                                : line + 1);
        return NULL;
    default: say(l, "speaks another protocol"); return NULL;
    }
}

static bool send_password(node_link *l, const char *path)
{
    char password[PASSWORD_BYTES_MAX];
    brisk_file_view view;
    brisk_errinfo info = {.text = ""};
    if (brisk_file_view_open(path, 65536, &view, &info) != BRISK_OK) {
        (void)fprintf(l->in->err, "brisk: %s\n", info.text);
        return false;
    }
    size_t size = 0;
    while (size < view.size && view.data[size] != '\n' && view.data[size] != '\r' &&
           size + 1 < sizeof password) {
        password[size] = (char)view.data[size];
        size++;
    }
    brisk_file_view_close(&view);
    password[size] = '\0';
    const char *words[] = {"AUTH", password};
    return send_words(l, words, 2) && read_reply(l) != NULL;
}

const char *node_answer(const brisk_invocation *invocation, const char *address, int fd)
{
    node_link l = {.in = invocation,
                   .address = address,
                   .fd = fd,
                   .until_ns = brisk_clock_now_ns(NULL) + NODE_PATIENCE_S * NS_PER_S};
    char *reply = read_reply(&l);
    return reply != NULL ? show(reply) : NULL;
}

const char *node_ask(const brisk_invocation *invocation, const cli_node *node,
                     const char *const *words, uint32_t count)
{
    char address[NODE_ADDRESS_MAX];
    brisk_errinfo info = {.text = ""};
    node_link l = {.in = invocation, .address = address, .fd = -1};
    char *reply = NULL;
    if (brisk_node_address(node->address, address, sizeof address, &info) != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: %s\n", info.text);
        return NULL;
    }
    if (connect_to(&l) && (node->password_file == NULL || send_password(&l, node->password_file)) &&
        send_words(&l, words, count)) {
        reply = read_reply(&l);
    }
    if (l.fd >= 0) {
        (void)close(l.fd);
    }
    return reply != NULL ? show(reply) : NULL;
}
