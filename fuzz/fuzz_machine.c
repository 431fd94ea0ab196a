/*
 * fuzz_machine.c -- any bytes as texts of /proc; the first one chooses which.  Oracle: lists keep their bounds,
 * names are terminated and plain, parts lie between 0 and 1.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "observe/machine/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char name[BRISK_MACHINE_NAME_MAX])
{
    BRISK_ASSERT(memchr(name, '\0', BRISK_MACHINE_NAME_MAX) != NULL);
    for (const char *c = name; *c != '\0'; c++) {
        BRISK_ASSERT((unsigned char)*c >= ' ' && *c != 127);
    }
}

static void check_machine(const brisk_machine *m)
{
    BRISK_ASSERT(m->disk_count <= BRISK_MACHINE_DISKS_MAX);
    BRISK_ASSERT(m->interface_count <= BRISK_MACHINE_INTERFACES_MAX);
    for (uint32_t i = 0; i < m->disk_count; i++) {
        check_name(m->disks[i].name);
        BRISK_ASSERT(machine_is_stacked(m->disks[i].name) || m->disks[i].reads <= m->disk.reads);
    }
    for (uint32_t i = 0; i < m->interface_count; i++) {
        check_name(m->interfaces[i].name);
        BRISK_ASSERT(m->interfaces[i].received_bytes <= m->net.received_bytes);
    }
}

static void parse(uint8_t which, const char *text)
{
    brisk_machine machine = {0};
    brisk_process process = {0};
    brisk_machine_pressure pressure = {0};
    switch (which % 8) {
    case 0: (void)machine_parse_stat(text, 10000000, &machine.cpu); break;
    case 1: (void)machine_parse_loadavg(text, &machine); break;
    case 2: (void)machine_parse_meminfo(text, &machine.memory); break;
    case 3: (void)machine_parse_diskstats(text, &machine); break;
    case 4: (void)machine_parse_net(text, &machine); break;
    case 5:
        if (machine_parse_pressure(text, &pressure)) {
            BRISK_ASSERT(pressure.some_avg10 >= 0 && pressure.some_avg10 <= 1);
        }
        break;
    case 6:
        if (machine_parse_process(text, 10000000, 4096, &process)) {
            check_name(process.name);
        }
        break;
    default:
        machine_parse_status(text, &process);
        machine_parse_io(text, &process);
        break;
    }
    check_machine(&machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    char *text = malloc(size); /* so that the sanitizer sees its end */
    BRISK_ASSERT(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    parse(data[0], text);
    free(text);
    return 0;
}
