/*
 * parse.h -- the texts of /proc, one function each; for read.c, tests and the fuzz target.
 *
 * Each takes a terminated text, fills in what it finds, and says whether what it is about was there.  Texts
 * come from the kernel, or from whoever mounted something else there: numbers that do not fit are as if
 * missing, names are cut and made plain, lists are bounded.
 */
#ifndef BRISK_SRC_OBSERVE_MACHINE_PARSE_H
#define BRISK_SRC_OBSERVE_MACHINE_PARSE_H

#include <stdbool.h>

#include <brisk/machine.h>

bool machine_parse_stat(const char *text, uint64_t tick_ns, brisk_machine_cpu *ret);
bool machine_parse_loadavg(const char *text, brisk_machine *ret);
bool machine_parse_meminfo(const char *text, brisk_machine_memory *ret);
bool machine_parse_diskstats(const char *text, brisk_machine *ret);
/* Does it lie on other disks (LVM, encryption, RAID)?  What it moves, those move: the sum leaves it out. */
bool machine_is_stacked(const char *name);
bool machine_parse_net(const char *text, brisk_machine *ret);
bool machine_parse_pressure(const char *text, brisk_machine_pressure *ret);

/* /proc/PID/stat, /proc/PID/status and /proc/PID/io. */
bool machine_parse_process(const char *text, uint64_t tick_ns, uint64_t page_bytes,
                           brisk_process *ret);
void machine_parse_status(const char *text, brisk_process *ret);
void machine_parse_io(const char *text, brisk_process *ret);

#endif /* BRISK_SRC_OBSERVE_MACHINE_PARSE_H */
