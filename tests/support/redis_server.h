/*
 * redis_server.h -- a redis-server of the test's own, on a free port of the loopback.
 *
 *     redis_server server;
 *     if (!redis_server_start(&server, folder, (const char *const[]){"--requirepass", "x", NULL})) {
 *         skip();
 *     }
 *     ...
 *     redis_server_stop(&server);
 *
 * Only the process that was started is ended, by its id.
 */
#ifndef BRISK_TESTS_REDIS_SERVER_H
#define BRISK_TESTS_REDIS_SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"

typedef struct redis_server {
    pid_t pid;
    uint16_t port;
    char folder[300];
} redis_server;

static inline void redis_server_sleep(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* A port that nobody has, and whose bus (10,000 above) nobody has either. */
static inline uint16_t redis_server_free_port(void)
{
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        socklen_t size = sizeof address;
        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        uint16_t port = ntohs(address.sin_port);
        (void)close(fd);
        if (port < 50000) {
            return port;
        }
    }
}

static inline bool redis_server_answers(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    bool open = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return open;
}

static inline bool redis_server_is_there(const char *program)
{
    struct stat st;
    char path[64];
    (void)snprintf(path, sizeof path, "/usr/bin/%s", program);
    if (stat(path, &st) != 0) {
        print_message("skipped: no %s\n", program);
        return false;
    }
    return true;
}

static inline bool redis_server_start_at(redis_server *server, const char *folder, uint16_t port,
                                         bool tls, const char *const *more)
{
    if (!redis_server_is_there("redis-server")) {
        return false;
    }
    *server = (redis_server){.port = port};
    (void)snprintf(server->folder, sizeof server->folder, "%.250s/redis-%u", folder, port);
    (void)mkdir(server->folder, 0700);
    char number[16];
    (void)snprintf(number, sizeof number, "%u", port);
    const char *args[40] = {
        "redis-server", "--port",     tls ? "0" : number, "--tls-port", tls ? number : "0",
        "--bind",       "127.0.0.1",  "--save",           "",           "--dir",
        server->folder, "--loglevel", "warning"};
    size_t count = 13;
    while (more != NULL && *more != NULL && count < 39) {
        args[count++] = *more++;
    }
    (void)fflush(NULL);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not without us */
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        (void)execv("/usr/bin/redis-server", (char *const *)(void *)args);
        _exit(127);
    }
    for (int i = 0; i < 1000 && !redis_server_answers(port); i++) {
        assert_int_equal(waitpid(server->pid, NULL, WNOHANG), 0);
        redis_server_sleep(10);
    }
    assert_true(redis_server_answers(port));
    return true;
}

static inline bool redis_server_start(redis_server *server, const char *folder,
                                      const char *const *more)
{
    return redis_server_start_at(server, folder, redis_server_free_port(), false, more);
}

static inline void redis_server_stop(redis_server *server)
{
    if (server->pid > 0) {
        (void)kill(server->pid, SIGCONT);
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

/* redis-cli with these words; its first line of output. */
static inline void redis_server_ask(const redis_server *server, const char *words, char *line,
                                    size_t size)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "redis-cli -p %u %s 2>&1", server->port, words);
    FILE *pipe = popen(command, "re"); /* NOLINT: a test's own words */
    assert_non_null(pipe);
    line[0] = '\0';
    (void)(fgets(line, (int)size, pipe) == NULL);
    line[strcspn(line, "\n")] = '\0';
    char rest[256];
    while (fgets(rest, sizeof rest, pipe) != NULL) {
    }
    (void)pclose(pipe);
}

#endif /* BRISK_TESTS_REDIS_SERVER_H */
