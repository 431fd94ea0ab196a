/*
 * profiler.c -- the starter's side and the node's, see profiler.h.
 */
#include "daemon/profiler.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>

enum { FILES = 2, LOOK_MS = 50 };

/* What goes through the socket, with the two files beside it. */
typedef struct order_message {
    uint32_t seconds;
    uint32_t hertz;
} order_message;

typedef union file_room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FILES * sizeof(int))];
} file_room;

/* --- the starter -------------------------------------------------------------------------- */

/* False: the node is gone, or sent what is no order. */
static bool receive(int fd, order_message *order, int files[FILES])
{
    file_room room;
    struct iovec part = {.iov_base = order, .iov_len = sizeof *order};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    ssize_t got;
    do {
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    const struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head == NULL || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(FILES * sizeof(int))) {
        return false;
    }
    memcpy(files, CMSG_DATA(head), FILES * sizeof(int));
    return got == (ssize_t)sizeof *order && order->seconds >= 1 &&
           order->seconds <= PROFILER_SECONDS_MAX && order->hertz >= 1 &&
           order->hertz <= PROFILER_HERTZ_MAX;
}

_Noreturn static void run_profiler(const order_message *order, const int files[FILES], pid_t node)
{
    char pid[24];
    char duration[24];
    char hertz[24];
    (void)snprintf(pid, sizeof pid, "%ld", (long)node);
    (void)snprintf(duration, sizeof duration, "%" PRIu32 "s", order->seconds);
    (void)snprintf(hertz, sizeof hertz, "%" PRIu32, order->hertz);
    const char *argv[] = {"brisk",        "profile",     "--pid", pid,        "--duration",
                          duration,       "--frequency", hertz,   "--format", "collapsed",
                          "--no-off-cpu", "--no-lines",  NULL};
    if (dup2(files[0], STDOUT_FILENO) >= 0 && dup2(files[1], STDERR_FILENO) >= 0) {
        (void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
    }
    _exit(127);
}

/* Until it has ended, or took too long, or the node is gone. */
static int wait_for(int fd, pid_t child, uint32_t seconds)
{
    uint64_t due =
        brisk_clock_now_ns(NULL) + ((uint64_t)seconds + PROFILER_PATIENCE_S) * UINT64_C(1000000000);
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd node = {.fd = fd, .events = 0}; /* its end alone */
        (void)poll(&node, 1, LOOK_MS);
        if ((node.revents & (POLLHUP | POLLERR)) != 0 || brisk_clock_now_ns(NULL) > due) {
            (void)kill(child, SIGKILL);
            (void)waitpid(child, &status, 0);
            break;
        }
    }
    return status;
}

_Noreturn static void serve_node(int fd, pid_t node)
{
    order_message order;
    int files[FILES];
    while (receive(fd, &order, files)) {
        pid_t child = fork();
        if (child == 0) {
            run_profiler(&order, files, node);
        }
        int status = child > 0 ? wait_for(fd, child, order.seconds) : -1;
        (void)close(files[0]);
        (void)close(files[1]);
        if (send(fd, &status, sizeof status, MSG_NOSIGNAL) != (ssize_t)sizeof status) {
            break;
        }
    }
    _exit(0);
}

/* Nothing of the node's but the socket: its listeners and streams end when it does. */
static bool let_go(int fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool good = null >= 0;
    for (int i = STDIN_FILENO; i <= STDERR_FILENO && good; i++) {
        good = dup2(null, i) == i;
    }
    if (good && fd > STDERR_FILENO + 1) {
        good = close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0) == 0;
    }
    return good && close_range((unsigned)fd + 1, ~0U, 0) == 0;
}

/* --- the node ----------------------------------------------------------------------------- */

brisk_err profiler_start(int *ret_fd, brisk_errinfo *info)
{
    int ends[2];
    pid_t node = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return brisk_errinfo_set_errno(info, errno, "a socket for the profiler");
    }
    for (int i = 0; i < 2; i++) { /* never one of the three that have a meaning */
        int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        (void)close(ends[i]);
        ends[i] = moved;
    }
    pid_t child = ends[0] >= 0 && ends[1] >= 0 ? fork() : -1;
    if (child == 0) {
        (void)prctl(PR_SET_NAME, "brisk-profiler");
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (let_go(ends[1])) {
            serve_node(ends[1], node);
        }
        _exit(1);
    }
    int why = errno;
    (void)close(ends[1]);
    if (child < 0) {
        (void)close(ends[0]);
        return brisk_errinfo_set_errno(info, why, "a process for the profiler");
    }
    *ret_fd = ends[0];
    return BRISK_OK;
}

brisk_err profiler_run(int fd, const profiler_order *order, brisk_errinfo *info)
{
    file_room room = {.bytes = {0}};
    const int files[FILES] = {order->out, order->words};
    order_message what = {.seconds = order->seconds, .hertz = order->hertz};
    struct iovec part = {.iov_base = &what, .iov_len = sizeof what};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (fd <= STDERR_FILENO) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                 "this node was started without a profiler");
    }
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof files);
    memcpy(CMSG_DATA(head), files, sizeof files);
    if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof what) {
        return brisk_errinfo_set_errno(info, errno, "the profiler's starter is gone");
    }
    return BRISK_OK;
}

bool profiler_ended(int fd, int *ret_status)
{
    int status;
    ssize_t got = recv(fd, &status, sizeof status, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    *ret_status = got == (ssize_t)sizeof status ? status : -1;
    return true;
}
