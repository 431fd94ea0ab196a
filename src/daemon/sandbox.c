/*
 * sandbox.c -- a filter of system calls, written as the kernel reads it.
 *
 *     another architecture's call? ─► end the process
 *     one that never happens here? ─► end the process
 *     clone with namespaces, a socket of an odd family, typing into a terminal? ─► EPERM
 *     clone3, whose flags lie where no filter can look? ─► ENOSYS: the C library then uses clone (this one is
 *                                                          a filter of its own, which is not logged)
 *     one of the list? ─► allowed
 *     any other ─► EPERM
 *
 * Since kernel 5.11 calls that are allowed whatever their arguments are found in a bitmap, and the
 * program is not run for them.  Refusals are in the kernel's audit log (type=1326).
 *
 * Source:  seccomp(2), prctl(2); Documentation/userspace-api/seccomp_filter.rst of Linux.
 */
#include "daemon/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#    define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#    define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#    define ARCHITECTURE 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define SANITIZED 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                     \
        __has_feature(memory_sanitizer)
#        define SANITIZED 1
#    endif
#endif
#ifndef SANITIZED
#    define SANITIZED 0
#endif

enum {
    PROGRAM_MAX = 1024,
    X32_BIT = 0x40000000, /* calls of x86-64's third convention have it */
    NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                 CLONE_NEWPID | CLONE_NEWNET,
};

/* What is done all the time comes first. */
static const uint32_t allowed[] = {
    SYS_read,
    SYS_write,
    SYS_epoll_pwait,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_futex,
    SYS_writev,
    SYS_readv,
    SYS_sendfile,
    SYS_accept4,
    SYS_epoll_ctl,
    SYS_close,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_setsockopt,
    SYS_getsockopt,
    /* files */
    SYS_openat,
    SYS_openat2,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_lseek,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_preadv2,
    SYS_pwritev2,
    SYS_fallocate,
    SYS_ftruncate,
    SYS_truncate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_sync_file_range,
    SYS_fadvise64,
    SYS_readahead,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_linkat,
    SYS_symlinkat,
    SYS_mkdirat,
    SYS_readlinkat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_getdents64,
    SYS_getcwd,
    SYS_flock,
    SYS_fcntl,
    SYS_dup,
    SYS_dup3,
    SYS_umask,
    SYS_statfs,
    SYS_fstatfs,
    SYS_copy_file_range,
    SYS_splice,
    SYS_tee,
    SYS_memfd_create,
    SYS_inotify_init1,
    SYS_inotify_add_watch,
    SYS_inotify_rm_watch,
    SYS_chdir,
    SYS_fchdir,
    SYS_getxattr,
    SYS_fgetxattr,
    SYS_close_range,
    SYS_syncfs,
    /* memory */
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    SYS_mincore,
    SYS_msync,
    SYS_mlock,
    SYS_munlock,
    SYS_membarrier,
    SYS_get_mempolicy,
    SYS_mbind,
    /* sockets */
    SYS_bind,
    SYS_listen,
    SYS_connect,
    SYS_accept,
    SYS_shutdown,
    SYS_getsockname,
    SYS_getpeername,
    SYS_socketpair,
    SYS_sendmmsg,
    SYS_recvmmsg,
    /* events and time */
    SYS_epoll_create1,
    SYS_epoll_pwait2,
    SYS_eventfd2,
    SYS_pipe2,
    SYS_ppoll,
    SYS_pselect6,
    SYS_signalfd4,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_timer_delete,
    SYS_timer_gettime,
    SYS_timer_getoverrun,
    SYS_setitimer,
    SYS_getitimer,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_times,
    /* threads, signals, itself */
    SYS_exit,
    SYS_exit_group,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sched_setscheduler,
    SYS_sched_get_priority_max,
    SYS_sched_get_priority_min,
    SYS_setpriority,
    SYS_getpriority,
    SYS_getcpu,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_rt_sigsuspend,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_tkill,
    SYS_kill,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_gettid,
    SYS_getppid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_getsid,
    SYS_getpgid,
    SYS_setpgid,
    SYS_getrusage,
    SYS_getrlimit,
    SYS_setrlimit,
    SYS_prlimit64,
    SYS_sysinfo,
    SYS_uname,
    SYS_getrandom,
    SYS_prctl,
    SYS_wait4,
    SYS_waitid,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_perf_event_open,
#ifdef __x86_64__ /* older names, of which the C library still uses some */
    SYS_epoll_wait,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_poll,
    SYS_select,
    SYS_dup2,
    SYS_pipe,
    SYS_mkdir,
    SYS_rmdir,
    SYS_rename,
    SYS_renameat,
    SYS_link,
    SYS_symlink,
    SYS_unlink,
    SYS_readlink,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utime,
    SYS_utimes,
    SYS_time,
    SYS_arch_prctl,
    SYS_fork,
    SYS_vfork,
    SYS_epoll_create,
    SYS_eventfd,
    SYS_signalfd,
    SYS_alarm,
    SYS_pause,
    SYS_getpgrp,
#endif
};

/* Nobody here makes these, whatever a request is. */
static const uint32_t fatal[] = {
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fspick,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_acct,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_open_by_handle_at,
    SYS_personality,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_quotactl,
    SYS_kcmp,
    SYS_pidfd_getfd,
#ifdef __x86_64__
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
};

typedef struct program {
    struct sock_filter at[PROGRAM_MAX];
    uint16_t count;
} program;

static void put(program *p, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    p->at[p->count++] = (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = k};
}

static void put_load(program *p, size_t offset)
{
    put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(program *p, uint32_t action)
{
    put(p, BPF_RET | BPF_K, action, 0, 0);
}

/* Is the loaded word `value`?  Then `action`. */
static void put_case(program *p, uint32_t value, uint32_t action)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    put_return(p, action);
}

/* The lower half of an argument. */
static size_t argument(int index)
{
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lower halves come first");
    return offsetof(struct seccomp_data, args) + 8 * (size_t)index;
}

static const uint32_t refused = SECCOMP_RET_ERRNO | EPERM;

/* The call's number is loaded, before and after. */
static void put_clone(program *p)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
    put_load(p, argument(0));
    put(p, BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
    put_return(p, refused);
    put_return(p, SECCOMP_RET_ALLOW);
}

static void put_socket(program *p)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 10);
    put_load(p, argument(0));
    put_case(p, AF_INET, SECCOMP_RET_ALLOW);
    put_case(p, AF_INET6, SECCOMP_RET_ALLOW);
    put_case(p, AF_UNIX, SECCOMP_RET_ALLOW);
    put_case(p, AF_NETLINK, SECCOMP_RET_ALLOW); /* getaddrinfo asks for addresses of this machine */
    put_return(p, refused);
}

static void put_ioctl(program *p)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 6);
    put_load(p, argument(1));
    put_case(p, TIOCSTI, refused);
    put_case(p, TIOCLINUX, refused); /* pastes, which is typing as well */
    put_return(p, SECCOMP_RET_ALLOW);
}

static void build(program *p)
{
    p->count = 0;
    put_load(p, offsetof(struct seccomp_data, arch));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    put_return(p, SECCOMP_RET_KILL_PROCESS);
    put_load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    put(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    put_return(p, SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        put_case(p, allowed[i], SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        put_case(p, fatal[i], SECCOMP_RET_KILL_PROCESS);
    }
    put_clone(p);
    put_socket(p);
    put_ioctl(p);
    put_case(p, SYS_clone3, SECCOMP_RET_ALLOW); /* the other filter says no */
    put_return(p, refused);
    static_assert(2 * (sizeof allowed + sizeof fatal) / sizeof allowed[0] + 64 < PROGRAM_MAX,
                  "the program has room");
}

/* Beside the other: what this one refuses is not in the audit log, where each new thread would
 * stand otherwise. */
static void build_quiet(program *p)
{
    p->count = 0;
    put_load(p, offsetof(struct seccomp_data, nr));
    put_case(p, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
    put_return(p, SECCOMP_RET_ALLOW);
}

bool sandbox_mode_of(const char *text, sandbox_mode *ret)
{
    static const char *const names[] = {
        [SANDBOX_AUTO] = "auto", [SANDBOX_ON] = "on", [SANDBOX_OFF] = "off"};
    for (int i = SANDBOX_AUTO; i <= SANDBOX_OFF; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (sandbox_mode)i;
            return true;
        }
    }
    return false;
}

static bool install(const program *p, unsigned flags)
{
    struct sock_fprog given = {.len = p->count, .filter = (struct sock_filter *)(uintptr_t)p->at};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_TSYNC,
                   &given) == 0;
}

static bool install_both(void)
{
    program quiet;
    program main;
    build_quiet(&quiet);
    build(&main);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && install(&quiet, 0) &&
           install(&main, SECCOMP_FILTER_FLAG_LOG);
}

bool sandbox_is_expected(void)
{
    return !SANITIZED && ARCHITECTURE != 0;
}

brisk_err sandbox_enter(sandbox_mode mode, bool *ret_entered, brisk_errinfo *info)
{
    *ret_entered = false;
    if (mode == SANDBOX_OFF || (mode == SANDBOX_AUTO && !sandbox_is_expected())) {
        return BRISK_OK;
    }
    if (ARCHITECTURE == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED, "no sandbox for this processor");
    }
    *ret_entered = install_both();
    if (!*ret_entered && mode == SANDBOX_ON) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED, "no sandbox: %s", strerror(errno));
    }
    return BRISK_OK;
}
