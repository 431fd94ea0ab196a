/*
 * registry_server.h -- bench/pkg/registry.c as a child: a server that speaks HTTP/2 and 1.1, and behaves
 * badly below /-/try/ when asked to.
 *
 *     registry_server s;
 *     registry_server_start(&s, (const char *const[]){"--docs", path, NULL});
 *     ... s.http, s.https end in a slash, s.ca is a file ...
 *     registry_server_stop(&s);
 *
 * $BRISK_TEST_REGISTRY names the program; without it (no nghttp2 when brisk was built) there is none.
 */
#ifndef BRISK_TESTS_REGISTRY_SERVER_H
#define BRISK_TESTS_REGISTRY_SERVER_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

typedef struct registry_server {
    pid_t pid;
    int end; /* closed: it ends */
    char http[64];
    char https[64];
    char ca[64];
} registry_server;

static inline bool registry_server_is_there(void)
{
    const char *program = getenv("BRISK_TEST_REGISTRY");
    if (program == NULL || access(program, X_OK) != 0) {
        print_message("skipped: built without libnghttp2-dev, there is no bench_registry\n");
        return false;
    }
    return true;
}

static inline void registry_server_start(registry_server *s, const char *const *args)
{
    const char *argv[32] = {getenv("BRISK_TEST_REGISTRY"), "--until-stdin-closes", "--ca", s->ca};
    int to[2];
    int from[2];
    size_t count = 4;
    (void)snprintf(s->ca, sizeof s->ca, "/tmp/registry-ca-XXXXXX");
    int fd = mkstemp(s->ca);
    assert_true(fd >= 0);
    (void)close(fd);
    for (; args != NULL && *args != NULL && count < 31; args++) {
        argv[count++] = *args;
    }
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    (void)fflush(NULL);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        (void)dup2(to[0], STDIN_FILENO);
        (void)dup2(from[1], STDOUT_FILENO);
        char *const *child_argv = (char *const *)(uintptr_t)argv;
        (void)execv(argv[0], child_argv);
        _exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    s->end = to[1];
    char line[256] = "";
    size_t size = 0;
    ssize_t got;
    while (strchr(line, '\n') == NULL && size < sizeof line - 1 &&
           (got = read(from[0], line + size, sizeof line - 1 - size)) > 0) {
        size += (size_t)got;
        line[size] = '\0';
    }
    (void)close(from[0]);
    char *https = strstr(line, "https://");
    char *http = strstr(line, " http://");
    assert_non_null(https);
    assert_non_null(http);
    (void)snprintf(s->https, sizeof s->https, "%.*s", (int)strcspn(https, " \n"), https);
    (void)snprintf(s->http, sizeof s->http, "%.*s", (int)strcspn(http + 1, " \n"), http + 1);
}

static inline void registry_server_stop(registry_server *s)
{
    int status = 0;
    (void)close(s->end);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)unlink(s->ca);
}

#endif /* BRISK_TESTS_REGISTRY_SERVER_H */
