/*
 * watch.c -- readings as metrics: machine.* and process.*, set by a collector before each snapshot and tick.
 *
 * Each figure is a row of a table: name, help, unit, labels, and where it lies in the reading; so adding one
 * is adding a row.  Disks and interfaces come and go, therefore instruments are asked for by name each time: a
 * lookup of some 100 ns, beside reads of /proc that take a thousand times as long.
 *
 * The share of busy time is that since the last collection at least 0.9 s ago, kept for the process: one
 * mutex, a leaf.
 */
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include <brisk/machine.h>

#include "base/assert.h"

typedef enum shape {
    SHAPE_TOTAL, /* uint64_t, only grows */
    SHAPE_GAUGE, /* uint64_t */
    SHAPE_SMALL, /* uint32_t */
    SHAPE_REAL,  /* double */
} shape;

typedef struct figure {
    const char *name;
    const char *help;
    brisk_unit unit;
    shape shape;
    brisk_label labels[2];
    uint32_t bit; /* of `known`; 0: always there */
    size_t offset;
} figure;

static const uint64_t pause_ns = UINT64_C(900000000);

/* ---- setting ------------------------------------------------------------------------------- */

/* A figure that cannot be made (no memory, a name taken by others) is left out: nobody's request fails of it. */
static void set_total(brisk_metrics *metrics, const brisk_metric_desc *desc, uint64_t value)
{
    brisk_total *total;
    if (brisk_metrics_total(metrics, desc, &total) == BRISK_OK) {
        brisk_total_set(total, value);
    }
}

static void set_gauge(brisk_metrics *metrics, const brisk_metric_desc *desc, double value)
{
    brisk_gauge *gauge;
    if (brisk_metrics_gauge(metrics, desc, &gauge) == BRISK_OK) {
        brisk_gauge_set(gauge, value);
    }
}

static void set(brisk_metrics *metrics, const figure *f, const void *base)
{
    const char *at = (const char *)base + f->offset;
    uint32_t labels = f->labels[0].name == NULL ? 0 : f->labels[1].name == NULL ? 1 : 2;
    brisk_metric_desc desc = {.name = f->name,
                              .help = f->help,
                              .unit = f->unit,
                              .labels = f->labels,
                              .label_count = labels};
    uint64_t wide = 0;
    uint32_t small = 0;
    double real = 0;
    switch (f->shape) {
    case SHAPE_SMALL:
        memcpy(&small, at, sizeof small);
        set_gauge(metrics, &desc, small);
        break;
    case SHAPE_REAL:
        memcpy(&real, at, sizeof real);
        set_gauge(metrics, &desc, real);
        break;
    case SHAPE_GAUGE:
        memcpy(&wide, at, sizeof wide);
        set_gauge(metrics, &desc, (double)wide);
        break;
    case SHAPE_TOTAL:
    default:
        memcpy(&wide, at, sizeof wide);
        set_total(metrics, &desc, wide);
        break;
    }
}

/* ---- the machine --------------------------------------------------------------------------- */

#define CPU(state)                                                                                 \
    {                                                                                              \
        "machine.cpu.time", "Time of all processors by state", BRISK_UNIT_NS, SHAPE_TOTAL,         \
            {{"state", #state}}, BRISK_MACHINE_CPU, offsetof(brisk_machine, cpu.state##_ns)        \
    }
#define LOAD(minutes)                                                                              \
    {                                                                                              \
        "machine.load", "Load average", BRISK_UNIT_NONE, SHAPE_REAL, {{"minutes", #minutes}},      \
            BRISK_MACHINE_LOAD, offsetof(brisk_machine, load##minutes)                             \
    }
#define MEMORY(what)                                                                               \
    {                                                                                              \
        "machine.memory", "Memory of the machine", BRISK_UNIT_BYTES, SHAPE_GAUGE,                  \
            {{"kind", #what}}, BRISK_MACHINE_MEMORY, offsetof(brisk_machine, memory.what##_bytes)  \
    }
#define STALL(what, resource, which, bit)                                                          \
    {"machine.pressure.time",                                                                      \
     "Time in which tasks waited for a resource",                                                  \
     BRISK_UNIT_NS,                                                                                \
     SHAPE_TOTAL,                                                                                  \
     {{"kind", #which}, {"resource", #what}},                                                      \
     bit,                                                                                          \
     offsetof(brisk_machine, resource.which##_ns)},                                                \
    {                                                                                              \
        "machine.pressure", "Part of the last 10 s in which tasks waited for a resource",          \
            BRISK_UNIT_RATIO, SHAPE_REAL, {{"kind", #which}, {"resource", #what}}, bit,            \
            offsetof(brisk_machine, resource.which##_avg10)                                        \
    }

static const figure machine_figures[] = {
    CPU(user),
    CPU(nice),
    CPU(system),
    CPU(idle),
    CPU(iowait),
    CPU(irq),
    CPU(softirq),
    CPU(steal),
    {"machine.cpu.processors",
     "Processors that are switched on",
     BRISK_UNIT_NONE,
     SHAPE_SMALL,
     {{NULL, NULL}},
     BRISK_MACHINE_CPU,
     offsetof(brisk_machine, cpu.processors)},
    LOAD(1),
    LOAD(5),
    LOAD(15),
    {"machine.tasks.runnable",
     "Tasks that run or could run",
     BRISK_UNIT_NONE,
     SHAPE_SMALL,
     {{NULL, NULL}},
     BRISK_MACHINE_LOAD,
     offsetof(brisk_machine, runnable)},
    {"machine.tasks",
     "Tasks there are",
     BRISK_UNIT_NONE,
     SHAPE_SMALL,
     {{NULL, NULL}},
     BRISK_MACHINE_LOAD,
     offsetof(brisk_machine, tasks)},
    MEMORY(total),
    MEMORY(free),
    MEMORY(available),
    MEMORY(buffers),
    MEMORY(cached),
    MEMORY(dirty),
    MEMORY(swap_total),
    MEMORY(swap_free),
    STALL(cpu, pressure_cpu, some, BRISK_MACHINE_PRESSURE_CPU),
    STALL(memory, pressure_memory, some, BRISK_MACHINE_PRESSURE_MEMORY),
    STALL(memory, pressure_memory, full, BRISK_MACHINE_PRESSURE_MEMORY),
    STALL(io, pressure_io, some, BRISK_MACHINE_PRESSURE_IO),
    STALL(io, pressure_io, full, BRISK_MACHINE_PRESSURE_IO),
};

#define DISK(text, what, the_unit, field)                                                          \
    {                                                                                              \
        text, what, the_unit, SHAPE_TOTAL, {{NULL, NULL}}, 0, offsetof(brisk_machine_disk, field)  \
    }
static const figure disk_figures[] = {
    DISK("machine.disk.reads", "Reads from a disk", BRISK_UNIT_NONE, reads),
    DISK("machine.disk.writes", "Writes to a disk", BRISK_UNIT_NONE, writes),
    DISK("machine.disk.read", "Bytes read from a disk", BRISK_UNIT_BYTES, read_bytes),
    DISK("machine.disk.written", "Bytes written to a disk", BRISK_UNIT_BYTES, write_bytes),
    DISK("machine.disk.busy", "Time in which a disk had something to do", BRISK_UNIT_NS, busy_ns),
};

#define NET(text, what, the_unit, field)                                                           \
    {                                                                                              \
        text, what, the_unit, SHAPE_TOTAL, {{NULL, NULL}}, 0,                                      \
            offsetof(brisk_machine_interface, field)                                               \
    }
static const figure net_figures[] = {
    NET("machine.net.received", "Bytes received", BRISK_UNIT_BYTES, received_bytes),
    NET("machine.net.received.packets", "Packets received", BRISK_UNIT_NONE, received_packets),
    NET("machine.net.received.errors", "Packets received and lost", BRISK_UNIT_NONE,
        received_errors),
    NET("machine.net.sent", "Bytes sent", BRISK_UNIT_BYTES, sent_bytes),
    NET("machine.net.sent.packets", "Packets sent", BRISK_UNIT_NONE, sent_packets),
    NET("machine.net.sent.errors", "Packets that could not be sent", BRISK_UNIT_NONE, sent_errors),
};

enum {
    MACHINE_FIGURES = sizeof machine_figures / sizeof machine_figures[0],
    DISK_FIGURES = sizeof disk_figures / sizeof disk_figures[0],
    NET_FIGURES = sizeof net_figures / sizeof net_figures[0],
};

static void set_busy(brisk_metrics *metrics, const brisk_machine *machine)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static brisk_machine last;
    static double busy = (double)NAN;
    int failed = pthread_mutex_lock(&lock);
    BRISK_ASSERT(failed == 0);
    if (last.known == 0 || machine->now_ns - last.now_ns >= pause_ns) {
        busy = last.known != 0 ? brisk_machine_busy(machine, &last) : (double)NAN;
        last = *machine;
    }
    double value = busy;
    failed = pthread_mutex_unlock(&lock);
    BRISK_ASSERT(failed == 0);
    set_gauge(metrics,
              &(brisk_metric_desc){.name = "machine.cpu.busy",
                                   .help = "Part of the processors' time that was not idle",
                                   .unit = BRISK_UNIT_RATIO},
              value);
}

static void collect_machine(void *ctx, brisk_metrics *metrics)
{
    (void)ctx;
    brisk_machine machine;
    if (brisk_machine_read(NULL, &machine) != BRISK_OK) {
        return;
    }
    for (int i = 0; i < MACHINE_FIGURES; i++) {
        if ((machine.known & machine_figures[i].bit) != 0) {
            set(metrics, &machine_figures[i], &machine);
        }
    }
    for (uint32_t d = 0; d < machine.disk_count; d++) {
        for (int i = 0; i < DISK_FIGURES; i++) {
            figure f = disk_figures[i];
            f.labels[0] = (brisk_label){"device", machine.disks[d].name};
            set(metrics, &f, &machine.disks[d]);
        }
    }
    for (uint32_t n = 0; n < machine.interface_count; n++) {
        for (int i = 0; i < NET_FIGURES; i++) {
            figure f = net_figures[i];
            f.labels[0] = (brisk_label){"interface", machine.interfaces[n].name};
            set(metrics, &f, &machine.interfaces[n]);
        }
    }
    set_busy(metrics, &machine);
}

/* ---- this process -------------------------------------------------------------------------- */

#define PROCESS(text, what, the_unit, the_shape, key, value, field)                                \
    {                                                                                              \
        text, what, the_unit, the_shape, {{key, value}}, 0, offsetof(brisk_process, field)         \
    }
#define PROCESS_ONE(text, what, the_unit, the_shape, field)                                        \
    PROCESS(text, what, the_unit, the_shape, NULL, NULL, field)

static const figure process_figures[] = {
    PROCESS("process.cpu.time", "Processor time of the process", BRISK_UNIT_NS, SHAPE_TOTAL,
            "state", "user", user_ns),
    PROCESS("process.cpu.time", "Processor time of the process", BRISK_UNIT_NS, SHAPE_TOTAL,
            "state", "system", system_ns),
    PROCESS("process.memory", "Memory of the process", BRISK_UNIT_BYTES, SHAPE_GAUGE, "kind",
            "virtual", virtual_bytes),
    PROCESS("process.memory", "Memory of the process", BRISK_UNIT_BYTES, SHAPE_GAUGE, "kind",
            "resident", resident_bytes),
    PROCESS("process.memory", "Memory of the process", BRISK_UNIT_BYTES, SHAPE_GAUGE, "kind",
            "peak", peak_bytes),
    PROCESS("process.memory", "Memory of the process", BRISK_UNIT_BYTES, SHAPE_GAUGE, "kind",
            "swapped", swapped_bytes),
    PROCESS("process.faults", "Page faults of the process", BRISK_UNIT_NONE, SHAPE_TOTAL, "kind",
            "minor", minor_faults),
    PROCESS("process.faults", "Page faults of the process", BRISK_UNIT_NONE, SHAPE_TOTAL, "kind",
            "major", major_faults),
    PROCESS("process.switches", "Context switches of the main thread", BRISK_UNIT_NONE, SHAPE_TOTAL,
            "kind", "voluntary", voluntary_switches),
    PROCESS("process.switches", "Context switches of the main thread", BRISK_UNIT_NONE, SHAPE_TOTAL,
            "kind", "involuntary", involuntary_switches),
    PROCESS_ONE("process.read", "Bytes the process read from disks", BRISK_UNIT_BYTES, SHAPE_TOTAL,
                read_bytes),
    PROCESS_ONE("process.written", "Bytes the process wrote to disks", BRISK_UNIT_BYTES,
                SHAPE_TOTAL, write_bytes),
    PROCESS_ONE("process.threads", "Threads of the process", BRISK_UNIT_NONE, SHAPE_SMALL, threads),
    PROCESS_ONE("process.files", "Open files of the process", BRISK_UNIT_NONE, SHAPE_SMALL, files),
};

static void collect_process(void *ctx, brisk_metrics *metrics)
{
    (void)ctx;
    brisk_process process;
    if (brisk_process_read(NULL, 0, &process) == BRISK_OK) {
        for (size_t i = 0; i < sizeof process_figures / sizeof process_figures[0]; i++) {
            set(metrics, &process_figures[i], &process);
        }
    }
}

static brisk_err watch(brisk_metrics *metrics, brisk_metrics_collector collector)
{
    brisk_err err = brisk_metrics_collect(metrics, collector, NULL);
    return err == BRISK_ERR_CONFLICT ? BRISK_OK : err;
}

brisk_err brisk_machine_watch(brisk_metrics *metrics)
{
    return watch(metrics, collect_machine);
}

brisk_err brisk_process_watch(brisk_metrics *metrics)
{
    return watch(metrics, collect_process);
}
