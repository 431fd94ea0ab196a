/*
 * brisk/machine.h -- what this machine and a process are doing, as the kernel tells in /proc.
 *
 * A reading is a plain struct; what the kernel (or the container) does not tell is left out of `known`.  Totals
 * count since the machine or process began; rates are the caller's (brisk_machine_watch makes metrics of
 * everything, which have rates).
 *
 * Threads: any.  A reading takes some 100 us; for what is asked every second, not every request.
 * Sources: proc(5); the kernel's Documentation/admin-guide/iostats.rst and Documentation/accounting/psi.rst.
 */
#ifndef BRISK_MACHINE_H
#define BRISK_MACHINE_H

#include <stdint.h>

#include <brisk/base.h>
#include <brisk/err.h>
#include <brisk/metrics.h>

BRISK_BEGIN_DECLS

enum {
    BRISK_MACHINE_DISKS_MAX = 16,      /**< More are summed, not listed. */
    BRISK_MACHINE_INTERFACES_MAX = 16, /**< Likewise. */
    BRISK_MACHINE_NAME_MAX = 32,
};

/** Bits of `known`. */
enum {
    BRISK_MACHINE_CPU = 1,
    BRISK_MACHINE_LOAD = 2,
    BRISK_MACHINE_MEMORY = 4,
    BRISK_MACHINE_DISK = 8,
    BRISK_MACHINE_NET = 16,
    BRISK_MACHINE_PRESSURE_CPU = 32,
    BRISK_MACHINE_PRESSURE_MEMORY = 64,
    BRISK_MACHINE_PRESSURE_IO = 128,
};

/** Processor time of all processors by state, nanoseconds. */
typedef struct brisk_machine_cpu {
    uint64_t user_ns; /**< That of guests included, as the kernel counts. */
    uint64_t nice_ns;
    uint64_t system_ns;
    uint64_t idle_ns;
    uint64_t iowait_ns;
    uint64_t irq_ns;
    uint64_t softirq_ns;
    uint64_t steal_ns; /**< Taken by other virtual machines. */
    uint32_t processors;
} brisk_machine_cpu;

typedef struct brisk_machine_memory {
    uint64_t total_bytes;
    uint64_t free_bytes;
    uint64_t available_bytes; /**< What programs could get without swapping. */
    uint64_t buffers_bytes;
    uint64_t cached_bytes;
    uint64_t dirty_bytes;
    uint64_t swap_total_bytes;
    uint64_t swap_free_bytes;
} brisk_machine_memory;

typedef struct brisk_machine_disk {
    char name[BRISK_MACHINE_NAME_MAX];
    uint64_t reads;
    uint64_t writes;
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t busy_ns;
} brisk_machine_disk;

typedef struct brisk_machine_interface {
    char name[BRISK_MACHINE_NAME_MAX];
    uint64_t received_bytes;
    uint64_t received_packets;
    uint64_t received_errors; /**< Drops included. */
    uint64_t sent_bytes;
    uint64_t sent_packets;
    uint64_t sent_errors;
} brisk_machine_interface;

/** Pressure stall information: part of the time in which some, or all, tasks waited. */
typedef struct brisk_machine_pressure {
    double some_avg10; /**< 0 .. 1 */
    double some_avg60;
    double full_avg10;
    double full_avg60;
    uint64_t some_ns;
    uint64_t full_ns;
} brisk_machine_pressure;

typedef struct brisk_machine {
    uint32_t known;
    uint64_t now_ns; /**< Of brisk_clock_system. */
    brisk_machine_cpu cpu;
    double load1;
    double load5;
    double load15;
    uint32_t runnable;
    uint32_t tasks;
    brisk_machine_memory memory;
    brisk_machine_disk
        disk; /**< Sum of all whole disks, without those that lie on others; name "". */
    brisk_machine_disk disks[BRISK_MACHINE_DISKS_MAX];
    uint32_t disk_count;
    brisk_machine_interface net; /**< Sum of all interfaces but the loopback; name "". */
    brisk_machine_interface interfaces[BRISK_MACHINE_INTERFACES_MAX];
    uint32_t interface_count;
    brisk_machine_pressure pressure_cpu;
    brisk_machine_pressure pressure_memory;
    brisk_machine_pressure pressure_io;
} brisk_machine;

/** `root` is what stands before "/proc" (NULL: nothing).  Errors: UNSUPPORTED (nothing is known). */
BRISK_API BRISK_NODISCARD brisk_err brisk_machine_read(const char *root, brisk_machine *ret);

/** Part of the processors' time between two readings that was not idle; NaN when it is not known. */
BRISK_API double brisk_machine_busy(const brisk_machine *now, const brisk_machine *earlier);

typedef struct brisk_process {
    uint32_t pid;
    char name[BRISK_MACHINE_NAME_MAX];
    char state; /**< 'R', 'S', 'D', 'Z' ... */
    uint32_t threads;
    uint64_t start_ns; /**< Since the machine's boot. */
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t minor_faults;
    uint64_t major_faults;
    uint64_t virtual_bytes;
    uint64_t resident_bytes;
    uint64_t peak_bytes; /**< Most that was ever resident; 0: not known. */
    uint64_t swapped_bytes;
    uint64_t voluntary_switches;
    uint64_t involuntary_switches;
    uint64_t read_bytes; /**< From disks; 0 where the kernel does not tell (others' processes). */
    uint64_t write_bytes;
    uint32_t files; /**< Open descriptors; 0 likewise. */
} brisk_process;

/** `pid` 0 is the caller.  Errors: NOT_FOUND, PERMISSION, IO, CORRUPT (what the kernel said makes no sense). */
BRISK_API BRISK_NODISCARD brisk_err brisk_process_read(const char *root, uint32_t pid,
                                                       brisk_process *ret);

/*
 * Metrics machine.* of this machine, process.* of the caller, in `metrics`, each kept up by a collector.
 * Twice is fine.  Errors: as brisk_metrics_collect.
 */
BRISK_API BRISK_NODISCARD brisk_err brisk_machine_watch(brisk_metrics *metrics);
BRISK_API BRISK_NODISCARD brisk_err brisk_process_watch(brisk_metrics *metrics);

BRISK_END_DECLS

#endif /* BRISK_MACHINE_H */
