/*
 * read.c -- readings behind <brisk/machine.h>: the files, their bounds, what is missing.
 *
 * Files of /proc are read whole into one buffer on the stack; what does not fit is cut at a line's end, which
 * in /proc/stat loses interrupts, of no interest here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/assert.h"
#include "observe/machine/parse.h"

enum { TEXT_MAX = 65536, FILES_MAX = 1 << 20 };

/* The file `name` under `root`, terminated. */
static brisk_err read_text(const char *root, const char *name, char text[TEXT_MAX])
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s", root != NULL ? root : "", name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return BRISK_ERR_INVALID;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return brisk_err_from_errno(errno);
    }
    size_t used = 0;
    int failed = 0;
    while (used < TEXT_MAX - 1) {
        ssize_t size = read(fd, text + used, TEXT_MAX - 1 - used);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        failed = size < 0 ? errno : 0;
        if (size <= 0) {
            break;
        }
        used += (size_t)size;
    }
    (void)close(fd);
    text[used] = '\0';
    if (used == TEXT_MAX - 1) {
        char *end = strrchr(text, '\n');
        if (end != NULL) {
            end[1] = '\0';
        }
    }
    return failed != 0 ? brisk_err_from_errno(failed) : BRISK_OK;
}

static uint64_t tick_ns(void)
{
    long ticks = sysconf(_SC_CLK_TCK);
    return UINT64_C(1000000000) / (uint64_t)(ticks > 0 ? ticks : 100);
}

static void read_pressure(const char *root, brisk_machine *ret, char text[TEXT_MAX])
{
    const struct {
        const char *name;
        brisk_machine_pressure *to;
        uint32_t bit;
    } files[] = {
        {"/proc/pressure/cpu", &ret->pressure_cpu, BRISK_MACHINE_PRESSURE_CPU},
        {"/proc/pressure/memory", &ret->pressure_memory, BRISK_MACHINE_PRESSURE_MEMORY},
        {"/proc/pressure/io", &ret->pressure_io, BRISK_MACHINE_PRESSURE_IO},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (read_text(root, files[i].name, text) == BRISK_OK &&
            machine_parse_pressure(text, files[i].to)) {
            ret->known |= files[i].bit;
        }
    }
}

brisk_err brisk_machine_read(const char *root, brisk_machine *ret)
{
    char text[TEXT_MAX];
    brisk_machine machine = {.now_ns = brisk_clock_now_ns(NULL)};
    if (read_text(root, "/proc/stat", text) == BRISK_OK &&
        machine_parse_stat(text, tick_ns(), &machine.cpu)) {
        machine.known |= BRISK_MACHINE_CPU;
    }
    if (read_text(root, "/proc/loadavg", text) == BRISK_OK &&
        machine_parse_loadavg(text, &machine)) {
        machine.known |= BRISK_MACHINE_LOAD;
    }
    if (read_text(root, "/proc/meminfo", text) == BRISK_OK &&
        machine_parse_meminfo(text, &machine.memory)) {
        machine.known |= BRISK_MACHINE_MEMORY;
    }
    if (read_text(root, "/proc/diskstats", text) == BRISK_OK &&
        machine_parse_diskstats(text, &machine)) {
        machine.known |= BRISK_MACHINE_DISK;
    }
    if (read_text(root, "/proc/net/dev", text) == BRISK_OK && machine_parse_net(text, &machine)) {
        machine.known |= BRISK_MACHINE_NET;
    }
    read_pressure(root, &machine, text);
    if (machine.known == 0) {
        return BRISK_ERR_UNSUPPORTED;
    }
    *ret = machine;
    return BRISK_OK;
}

static uint64_t idle_of(const brisk_machine_cpu *cpu)
{
    return cpu->idle_ns + cpu->iowait_ns;
}

static uint64_t all_of(const brisk_machine_cpu *cpu)
{
    return cpu->user_ns + cpu->nice_ns + cpu->system_ns + cpu->irq_ns + cpu->softirq_ns +
           cpu->steal_ns + idle_of(cpu);
}

double brisk_machine_busy(const brisk_machine *now, const brisk_machine *earlier)
{
    if ((now->known & earlier->known & BRISK_MACHINE_CPU) == 0) {
        return (double)NAN;
    }
    double all = (double)all_of(&now->cpu) - (double)all_of(&earlier->cpu);
    double idle = (double)idle_of(&now->cpu) - (double)idle_of(&earlier->cpu);
    /* The kernel's idle time may go back a little. */
    return all > 0 ? fmin(fmax(1 - idle / all, 0), 1) : (double)NAN;
}

static uint32_t count_files(const char *root, const char *folder)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s/fd", root != NULL ? root : "", folder);
    DIR *dir = length > 0 && (size_t)length < sizeof path ? opendir(path) : NULL;
    if (dir == NULL) {
        return 0;
    }
    uint32_t count = 0;
    const struct dirent *entry;
    while (count < FILES_MAX && (entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(dir);
    return count;
}

brisk_err brisk_process_read(const char *root, uint32_t pid, brisk_process *ret)
{
    char text[TEXT_MAX];
    char folder[32] = "/proc/self";
    char name[48];
    if (pid != 0) {
        (void)snprintf(folder, sizeof folder, "/proc/%u", pid);
    }
    (void)snprintf(name, sizeof name, "%s/stat", folder);
    brisk_err err = read_text(root, name, text);
    if (err != BRISK_OK) {
        return err;
    }
    long page = sysconf(_SC_PAGESIZE);
    brisk_process process = {.pid = pid != 0 ? pid : (uint32_t)getpid()};
    if (!machine_parse_process(text, tick_ns(), (uint64_t)(page > 0 ? page : 4096), &process)) {
        return BRISK_ERR_CORRUPT;
    }
    (void)snprintf(name, sizeof name, "%s/status", folder);
    if (read_text(root, name, text) == BRISK_OK) {
        machine_parse_status(text, &process);
    }
    (void)snprintf(name, sizeof name, "%s/io", folder);
    if (read_text(root, name, text) == BRISK_OK) {
        machine_parse_io(text, &process);
    }
    process.files = count_files(root, folder);
    *ret = process;
    return BRISK_OK;
}
