/*
 * machine_report.c -- rates from two readings of brisk/machine.h; programs from the samples.
 */
#include "observe/profile/machine_report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "observe/profile/report_words.h"
#include "observe/profile/session.h"

enum { PROGRAMS_MAX = 256, PROGRAMS_SHOWN = 15, STATES = 8 };

typedef struct program {
    const char *name;
    uint64_t cpu_ns;
} program;

typedef struct programs {
    program items[PROGRAMS_MAX];
    uint32_t count;
    uint64_t other_ns; /* of more than fit */
} programs;

static int by_time(const void *a, const void *b)
{
    const program *x = a;
    const program *y = b;
    return x->cpu_ns != y->cpu_ns ? (x->cpu_ns > y->cpu_ns ? -1 : 1) : strcmp(x->name, y->name);
}

static void sum_programs(const prof_model *model, programs *ret)
{
    *ret = (programs){0};
    for (size_t i = 0; i < model->samples.count; i++) {
        const prof_sample *s = &model->samples.items[i];
        const char *name = prof_text(model, model->threads.items[s->thread].comm);
        uint64_t ns = s->values[PROF_TYPE_CPU];
        uint32_t at = 0;
        while (at < ret->count && strcmp(ret->items[at].name, name) != 0) {
            at++;
        }
        if (at == PROGRAMS_MAX) {
            ret->other_ns = prof_add(ret->other_ns, ns);
            continue;
        }
        if (at == ret->count) {
            ret->items[ret->count++] = (program){.name = name};
        }
        ret->items[at].cpu_ns = prof_add(ret->items[at].cpu_ns, ns);
    }
    qsort(ret->items, ret->count, sizeof ret->items[0], by_time);
}

static double seconds_of(const prof_machine *m)
{
    uint64_t ns = m->after.now_ns - m->before.now_ns;
    return ns > 0 ? (double)ns / 1e9 : 1e-9;
}

static double rate(uint64_t after, uint64_t before, double seconds)
{
    return after > before ? (double)(after - before) / seconds : 0.0;
}

typedef struct state_share {
    const char *name;
    double percent;
} state_share;

static void cpu_states(const prof_machine *m, state_share ret[STATES])
{
    const brisk_machine_cpu *a = &m->after.cpu;
    const brisk_machine_cpu *b = &m->before.cpu;
    const struct {
        const char *name;
        uint64_t after, before;
    } states[STATES] = {
        {"user", a->user_ns, b->user_ns},          {"nice", a->nice_ns, b->nice_ns},
        {"system", a->system_ns, b->system_ns},    {"irq", a->irq_ns, b->irq_ns},
        {"softirq", a->softirq_ns, b->softirq_ns}, {"steal", a->steal_ns, b->steal_ns},
        {"iowait", a->iowait_ns, b->iowait_ns},    {"idle", a->idle_ns, b->idle_ns}};
    double sum = 0;
    for (int i = 0; i < STATES; i++) {
        ret[i] = (state_share){states[i].name, rate(states[i].after, states[i].before, 1.0)};
        sum += ret[i].percent;
    }
    for (int i = 0; i < STATES; i++) {
        ret[i].percent = sum > 0 ? 100.0 * ret[i].percent / sum : 0.0;
    }
}

/* The reading before of a disk that may have come meanwhile. */
static brisk_machine_disk disk_before(const prof_machine *m, const char *name)
{
    for (uint32_t i = 0; i < m->before.disk_count; i++) {
        if (strcmp(m->before.disks[i].name, name) == 0) {
            return m->before.disks[i];
        }
    }
    return (brisk_machine_disk){0};
}

static brisk_machine_interface interface_before(const prof_machine *m, const char *name)
{
    for (uint32_t i = 0; i < m->before.interface_count; i++) {
        if (strcmp(m->before.interfaces[i].name, name) == 0) {
            return m->before.interfaces[i];
        }
    }
    return (brisk_machine_interface){0};
}

/* --- text ----------------------------------------------------------------------------------- */

static void print_disks(const prof_machine *m, FILE *out)
{
    double s = seconds_of(m);
    char text[2][32];
    for (uint32_t i = 0; i < m->after.disk_count; i++) {
        const brisk_machine_disk *d = &m->after.disks[i];
        brisk_machine_disk b = disk_before(m, d->name);
        if (d->reads + d->writes == b.reads + b.writes) {
            continue; /* nothing happened there */
        }
        (void)fprintf(
            out, "disk     %s: read %s/s (%.0f/s), wrote %s/s (%.0f/s), busy %.1f %%\n", d->name,
            prof_amount((uint64_t)rate(d->read_bytes, b.read_bytes, s), "bytes", text[0]),
            rate(d->reads, b.reads, s),
            prof_amount((uint64_t)rate(d->write_bytes, b.write_bytes, s), "bytes", text[1]),
            rate(d->writes, b.writes, s), rate(d->busy_ns, b.busy_ns, s) / 1e7);
    }
}

static void print_net(const prof_machine *m, FILE *out)
{
    double s = seconds_of(m);
    char text[2][32];
    for (uint32_t i = 0; i < m->after.interface_count; i++) {
        const brisk_machine_interface *n = &m->after.interfaces[i];
        brisk_machine_interface b = interface_before(m, n->name);
        if (n->received_packets + n->sent_packets == b.received_packets + b.sent_packets) {
            continue;
        }
        (void)fprintf(
            out, "network  %s: received %s/s (%.0f packets/s), sent %s/s (%.0f packets/s)\n",
            n->name,
            prof_amount((uint64_t)rate(n->received_bytes, b.received_bytes, s), "bytes", text[0]),
            rate(n->received_packets, b.received_packets, s),
            prof_amount((uint64_t)rate(n->sent_bytes, b.sent_bytes, s), "bytes", text[1]),
            rate(n->sent_packets, b.sent_packets, s));
    }
}

static void print_pressure(const prof_machine *m, FILE *out)
{
    double s = seconds_of(m);
    const uint32_t bits =
        BRISK_MACHINE_PRESSURE_CPU | BRISK_MACHINE_PRESSURE_MEMORY | BRISK_MACHINE_PRESSURE_IO;
    if ((m->after.known & m->before.known & bits) == bits) {
        (void)fprintf(
            out, "waiting  for processors %.1f %%, memory %.1f %%, I/O %.1f %% of the time\n",
            rate(m->after.pressure_cpu.some_ns, m->before.pressure_cpu.some_ns, s) / 1e7,
            rate(m->after.pressure_memory.some_ns, m->before.pressure_memory.some_ns, s) / 1e7,
            rate(m->after.pressure_io.some_ns, m->before.pressure_io.some_ns, s) / 1e7);
    }
}

brisk_err prof_machine_text(const prof_machine *m, const prof_model *model, FILE *out)
{
    state_share states[STATES];
    char text[3][32];
    char shown[PROF_SHOWN_MAX];
    programs found;
    const brisk_machine_memory *mem = &m->after.memory;
    cpu_states(m, states);
    (void)fprintf(out, "\nmachine, %.1f s, %" PRIu32 " processors, load %.2f %.2f %.2f\ncpu     ",
                  seconds_of(m), m->after.cpu.processors, m->after.load1, m->after.load5,
                  m->after.load15);
    for (int i = 0; i < STATES; i++) {
        (void)fprintf(out, " %s %.1f %%", states[i].name, states[i].percent);
    }
    (void)fprintf(out, "\nmemory   %s of %s available, %s less than before\n",
                  prof_amount(mem->available_bytes, "bytes", text[0]),
                  prof_amount(mem->total_bytes, "bytes", text[1]),
                  prof_amount(m->before.memory.available_bytes > mem->available_bytes
                                  ? m->before.memory.available_bytes - mem->available_bytes
                                  : 0,
                              "bytes", text[2]));
    print_disks(m, out);
    print_net(m, out);
    print_pressure(m, out);
    sum_programs(model, &found);
    for (uint32_t i = 0; i < found.count && i < PROGRAMS_SHOWN; i++) {
        (void)fprintf(out, "%9.1f %%  %s\n",
                      100.0 * (double)found.items[i].cpu_ns / ((double)model->meta.duration_ns + 1),
                      prof_shown(found.items[i].name, shown));
    }
    return ferror(out) ? BRISK_ERR_IO : BRISK_OK;
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void write_devices(brisk_json *json, const prof_machine *m)
{
    double s = seconds_of(m);
    brisk_json_array_begin(json, "disks");
    for (uint32_t i = 0; i < m->after.disk_count; i++) {
        const brisk_machine_disk *d = &m->after.disks[i];
        brisk_machine_disk b = disk_before(m, d->name);
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", d->name);
        brisk_json_double(json, "read_bytes_per_second", rate(d->read_bytes, b.read_bytes, s));
        brisk_json_double(json, "written_bytes_per_second", rate(d->write_bytes, b.write_bytes, s));
        brisk_json_double(json, "reads_per_second", rate(d->reads, b.reads, s));
        brisk_json_double(json, "writes_per_second", rate(d->writes, b.writes, s));
        brisk_json_double(json, "busy_percent", rate(d->busy_ns, b.busy_ns, s) / 1e7);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "interfaces");
    for (uint32_t i = 0; i < m->after.interface_count; i++) {
        const brisk_machine_interface *n = &m->after.interfaces[i];
        brisk_machine_interface b = interface_before(m, n->name);
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", n->name);
        brisk_json_double(json, "received_bytes_per_second",
                          rate(n->received_bytes, b.received_bytes, s));
        brisk_json_double(json, "sent_bytes_per_second", rate(n->sent_bytes, b.sent_bytes, s));
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

void prof_machine_json(const prof_machine *m, const prof_model *model, brisk_json *json)
{
    state_share states[STATES];
    programs found;
    cpu_states(m, states);
    sum_programs(model, &found);
    brisk_json_object_begin(json, "machine");
    brisk_json_double(json, "seconds", seconds_of(m));
    brisk_json_u64(json, "processors", m->after.cpu.processors);
    brisk_json_object_begin(json, "cpu_percent");
    for (int i = 0; i < STATES; i++) {
        brisk_json_double(json, states[i].name, states[i].percent);
    }
    brisk_json_object_end(json);
    brisk_json_double(json, "load1", m->after.load1);
    brisk_json_u64(json, "memory_total_bytes", m->after.memory.total_bytes);
    brisk_json_u64(json, "memory_available_bytes", m->after.memory.available_bytes);
    brisk_json_i64(json, "memory_available_change",
                   (int64_t)(m->after.memory.available_bytes - m->before.memory.available_bytes));
    write_devices(json, m);
    brisk_json_array_begin(json, "programs");
    for (uint32_t i = 0; i < found.count; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", found.items[i].name);
        brisk_json_double(json, "cpu_seconds", (double)found.items[i].cpu_ns / 1e9);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}
