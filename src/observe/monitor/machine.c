/*
 * machine.c -- this machine and one process, as figures: rates between two readings.
 *
 * A process is known by its number and its start: a number that was given to another one meanwhile counts as gone.
 */
#include <math.h>

#include <brisk/clock.h>

#include "observe/monitor/monitor.h"

/* Change a second; NaN when a counter went back. */
static double rate(uint64_t now, uint64_t before, uint64_t passed_ns)
{
    return now >= before && passed_ns > 0 ? (double)(now - before) * 1e9 / (double)passed_ns
                                          : (double)NAN;
}

static void read_cpu(monitor_machine *m, monitor_numbers *n)
{
    const brisk_machine_cpu *now = &m->now.cpu;
    const brisk_machine_cpu *before = &m->before.cpu;
    double passed =
        (double)(m->now.now_ns - m->before.now_ns) * (now->processors > 0 ? now->processors : 1);
    n->now[FIGURE_CPU] = brisk_machine_busy(&m->now, &m->before);
    m->user = (double)(now->user_ns + now->nice_ns - before->user_ns - before->nice_ns) / passed;
    m->system = (double)(now->system_ns - before->system_ns) / passed;
    m->iowait = now->iowait_ns >= before->iowait_ns
                    ? (double)(now->iowait_ns - before->iowait_ns) / passed
                    : (double)NAN;
    m->steal = (double)(now->steal_ns - before->steal_ns) / passed;
}

static void read_rates(monitor_machine *m, monitor_numbers *n)
{
    uint64_t passed = m->now.now_ns - m->before.now_ns;
    uint32_t known = m->now.known & m->before.known;
    if (m->now.now_ns <= m->before.now_ns) {
        return;
    }
    if ((known & BRISK_MACHINE_CPU) != 0) {
        read_cpu(m, n);
    }
    if ((known & BRISK_MACHINE_DISK) != 0) {
        n->now[FIGURE_DISK_READ] = rate(m->now.disk.read_bytes, m->before.disk.read_bytes, passed);
        n->now[FIGURE_DISK_WRITE] =
            rate(m->now.disk.write_bytes, m->before.disk.write_bytes, passed);
    }
    if ((known & BRISK_MACHINE_NET) != 0) {
        n->now[FIGURE_NET_IN] =
            rate(m->now.net.received_bytes, m->before.net.received_bytes, passed);
        n->now[FIGURE_NET_OUT] = rate(m->now.net.sent_bytes, m->before.net.sent_bytes, passed);
    }
}

static void read_process(monitor_machine *m, monitor_numbers *n)
{
    brisk_process next;
    bool had = m->process_known;
    m->process_before = m->process;
    m->process_before_ns = m->process_ns;
    brisk_err err = brisk_process_read(m->root, m->pid, &next);
    bool other = had && err == BRISK_OK && next.start_ns != m->process.start_ns;
    if (err != BRISK_OK || other || next.state == 'Z') {
        m->process_gone = true;
        m->process_known = false;
        return;
    }
    m->process = next;
    m->process_ns = brisk_clock_now_ns(NULL);
    m->process_known = true;
    n->now[FIGURE_PROCESS_MEMORY] = (double)next.resident_bytes;
    if (had) {
        n->now[FIGURE_PROCESS_CPU] = rate(next.user_ns + next.system_ns,
                                          m->process_before.user_ns + m->process_before.system_ns,
                                          m->process_ns - m->process_before_ns) /
                                     1e9;
    }
}

void monitor_machine_read(monitor_machine *m, monitor_numbers *n)
{
    m->has_before = m->known;
    m->before = m->now;
    m->known = brisk_machine_read(m->root, &m->now) == BRISK_OK;
    if (m->known) {
        const brisk_machine_memory *memory = &m->now.memory;
        if ((m->now.known & BRISK_MACHINE_MEMORY) != 0 && memory->total_bytes > 0) {
            n->now[FIGURE_MEMORY] =
                1 - (double)memory->available_bytes / (double)memory->total_bytes;
        }
        if ((m->now.known & BRISK_MACHINE_PRESSURE_CPU) != 0) {
            n->now[FIGURE_PRESSURE] = m->now.pressure_cpu.some_avg10;
        }
        if (m->has_before) {
            read_rates(m, n);
        }
    }
    if (m->pid != 0 && !m->process_gone) {
        read_process(m, n);
    }
}
