/*
 * handover.c -- fork, exec, and the one variable between them.
 *
 * The variable: "FD\n" of the stream, then "FD TEXT\n" for each socket; the text is for people.
 * Between fork and exec the child only makes calls that are safe there; its environment is built
 * before.  A program that was replaced on disk meanwhile is started from its path, so that the new
 * one runs.
 *
 * Source:  fork(2), execve(2), signal-safety(7), proc(5).
 */
#include "daemon/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <brisk/file.h>

#include "base/str.h"
#include "base/text.h"

#define VARIABLE "BRISK_SERVE_WORKER"

enum { TEXT_MAX = SOCKETS_MAX * (SOCKET_TEXT_MAX + 16), ARGUMENTS_MAX = 1048576, CANNOT_RUN = 127 };

extern char **environ;

/* --- the program -------------------------------------------------------------------------- */

static brisk_err read_arguments(handover_program *p, brisk_errinfo *info)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "/proc/self/cmdline");
    }
    brisk_str all;
    brisk_str_init(&all, NULL, ARGUMENTS_MAX);
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0) {
        brisk_str_append(&all, part, (size_t)n);
    }
    (void)close(fd);
    const brisk_alloc *alloc = brisk_alloc_libc();
    brisk_err err = n < 0 ? brisk_err_from_errno(errno) : brisk_str_err(&all);
    p->text_size = brisk_str_size(&all) + 1;
    p->text = err == BRISK_OK ? alloc->acquire(alloc->ctx, p->text_size, 1) : NULL;
    if (p->text != NULL) {
        memcpy(p->text, brisk_str_text(&all), p->text_size);
    } else {
        err = err == BRISK_OK ? BRISK_ERR_NOMEM : err;
    }
    brisk_str_deinit(&all);
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "arguments: %s", brisk_err_message(err));
}

brisk_err handover_remember(handover_program *ret, brisk_errinfo *info)
{
    *ret = (handover_program){.text = NULL};
    ssize_t length = readlink("/proc/self/exe", ret->path, sizeof ret->path - 1);
    if (length < 0) {
        return brisk_errinfo_set_errno(info, errno, "/proc/self/exe");
    }
    ret->path[length] = '\0';
    brisk_err err = read_arguments(ret, info);
    if (err != BRISK_OK) {
        return err;
    }
    for (size_t i = 0; i + 1 < ret->text_size; i++) {
        ret->count += ret->text[i] == '\0' ? 1 : 0;
    }
    const brisk_alloc *alloc = brisk_alloc_libc();
    ret->argv = alloc->acquire(alloc->ctx, (ret->count + 1) * sizeof *ret->argv, _Alignof(char *));
    if (ret->argv == NULL) {
        handover_forget(ret);
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    char *at = ret->text;
    for (size_t i = 0; i < ret->count; i++) {
        ret->argv[i] = at;
        at += strlen(at) + 1;
    }
    ret->argv[ret->count] = NULL;
    return BRISK_OK;
}

void handover_forget(handover_program *program)
{
    const brisk_alloc *alloc = brisk_alloc_libc();
    if (program->argv != NULL) {
        alloc->release(alloc->ctx, program->argv, (program->count + 1) * sizeof *program->argv,
                       _Alignof(char *));
    }
    if (program->text != NULL) {
        alloc->release(alloc->ctx, program->text, program->text_size, 1);
    }
    *program = (handover_program){.text = NULL};
}

/* --- the supervisor's side ---------------------------------------------------------------- */

static void inherit(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0) {
        (void)fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
    }
}

/* In the child. */
static _Noreturn void become(const handover_program *program, const sockets *give, int stream,
                             const sigset_t *mask)
{
    inherit(stream);
    for (uint32_t i = 0; i < give->count; i++) {
        inherit(give->list[i].fd);
    }
    (void)setpgid(0, 0); /* what a terminal sends to the group is the supervisor's business */
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execv(program->path, program->argv);
    _exit(CANNOT_RUN);
}

static brisk_err describe(const sockets *give, int stream)
{
    char text[TEXT_MAX];
    int size = snprintf(text, sizeof text, "%d\n", stream);
    for (uint32_t i = 0; i < give->count; i++) {
        size += snprintf(text + size, sizeof text - (size_t)size, "%d %s\n", give->list[i].fd,
                         give->list[i].text);
    }
    return setenv(VARIABLE, text, 1) == 0 ? BRISK_OK : BRISK_ERR_NOMEM;
}

brisk_err handover_start(const handover_program *program, const sockets *give, const sigset_t *mask,
                         pid_t *ret_pid, int *ret_fd)
{
    int stream[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, stream) != 0) {
        return brisk_err_from_errno(errno);
    }
    brisk_err err = describe(give, stream[1]);
    pid_t pid = err == BRISK_OK ? fork() : -1;
    if (pid == 0) {
        become(program, give, stream[1], mask);
    }
    if (err == BRISK_OK && pid < 0) {
        err = brisk_err_from_errno(errno);
    }
    (void)unsetenv(VARIABLE);
    (void)close(stream[1]);
    if (err != BRISK_OK) {
        (void)close(stream[0]);
        return err;
    }
    *ret_pid = pid;
    *ret_fd = stream[0];
    return BRISK_OK;
}

/* --- the worker's side -------------------------------------------------------------------- */

/* The number at *text, which ends at `end`; -1: it is none. */
static int take_number(char **text, char end)
{
    char *stop = NULL;
    errno = 0;
    long number = strtol(*text, &stop, 10);
    if (errno != 0 || stop == *text || *stop != end || number < 3 || number > 1 << 20) {
        return -1;
    }
    *text = stop + 1;
    return (int)number;
}

static brisk_err take_sockets(char *text, sockets *ret, int *ret_fd, brisk_errinfo *info)
{
    int stream = take_number(&text, '\n');
    if (stream < 0 || fcntl(stream, F_SETFD, FD_CLOEXEC) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, VARIABLE " is not a supervisor's");
    }
    brisk_err err = BRISK_OK;
    while (*text != '\0' && err == BRISK_OK) {
        int fd = take_number(&text, ' ');
        char *end = fd >= 0 ? strchr(text, '\n') : NULL;
        if (end == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID, VARIABLE " is not a supervisor's");
        }
        *end = '\0';
        err = sockets_adopt(ret, fd, text, info);
        text = end + 1;
    }
    *ret_fd = stream;
    return err;
}

brisk_err handover_take(sockets *ret, int *ret_fd, brisk_errinfo *info)
{
    const char *given = secure_getenv(VARIABLE);
    *ret_fd = -1;
    if (given == NULL) {
        return BRISK_OK;
    }
    char text[TEXT_MAX];
    size_t size = strlen(given);
    if (size >= sizeof text) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, VARIABLE " is too long");
    }
    memcpy(text, given, size + 1);
    (void)unsetenv(VARIABLE);
    return take_sockets(text, ret, ret_fd, info);
}
