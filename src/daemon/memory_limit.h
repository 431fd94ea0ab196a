/*
 * memory_limit.h -- how much memory the kernel lets this process have.
 *
 * Threads: any.
 */
#ifndef BRISK_SRC_DAEMON_MEMORY_LIMIT_H
#define BRISK_SRC_DAEMON_MEMORY_LIMIT_H

#include <stdint.h>

/*
 * The least memory.max of the process's control group (version 2) and the groups above it, or all that the machine has.
 * `root` is put before "/proc/self/cgroup" and "/sys/fs/cgroup": "" outside tests.
 */
uint64_t memory_limit_of_kernel(const char *root);

#endif /* BRISK_SRC_DAEMON_MEMORY_LIMIT_H */
