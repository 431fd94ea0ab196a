/*
 * cpus.h -- how many processors this process may really use.
 */
#ifndef BRISK_SRC_EXEC_CPUS_H
#define BRISK_SRC_EXEC_CPUS_H

#include <stdint.h>

/*
 * CPU quota of the control group of this process, rounded up to whole processors; the least over
 * all ancestors, version 2 and version 1.  0 when there is none or nothing can be read.  `root` is
 * put before "/proc/self/cgroup" and "/sys/fs/cgroup": "" outside tests.
 */
uint32_t exec_cpu_quota(const char *root);

/* The least of the affinity mask, the quota and BRISK_EXECUTOR_WORKERS_MAX; at least 1. */
uint32_t exec_cpu_count(void);

#endif /* BRISK_SRC_EXEC_CPUS_H */
