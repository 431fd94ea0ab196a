/*
 * fuzz_node.c -- what a stranger at the other end of `brisk cache stats --node` may answer: the
 * reply is text without bytes that a terminal obeys, or there is none and words that say why; the
 * words are clean, too.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_TRIED = 1 << 16 }; /* a socket takes that without a reader */

/* The program has no access to the library's own assertions. */
static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c < ' ' && c != '\n') || c > 126) {
            return false;
        }
    }
    return true;
}

/* The input as all that comes before the other end closes. */
static int reply_of(const uint8_t *data, size_t size)
{
    int ends[2];
    int room = 4 * SIZE_MAX_TRIED;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    ssize_t sent = size > 0 ? send(ends[0], data, size, MSG_DONTWAIT) : 0;
    (void)sent; /* less is another input */
    (void)close(ends[0]);
    return ends[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *words = NULL;
    size_t words_size = 0;
    cli_state cli = {.help = false};
    int fd = reply_of(data, size < SIZE_MAX_TRIED ? size : SIZE_MAX_TRIED);
    FILE *err = open_memstream(&words, &words_size);
    must(err != NULL);
    cli.err = err;
    brisk_invocation invocation = {.out = err, .err = err, .private_ = &cli};
    const char *reply = node_answer(&invocation, "stranger:1", fd);
    (void)fclose(err);
    (void)close(fd);
    must(is_clean(words));
    must(reply == NULL || (is_clean(reply) && strlen(reply) <= NODE_REPLY_MAX));
    must((reply != NULL) == (words_size == 0));
    cli_deinit(&cli);
    free(words);
    return 0;
}
