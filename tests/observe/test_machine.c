/*
 * test_machine.c -- proves <brisk/machine.h>: texts of /proc as figures, hostile ones, what is missing, this very
 * machine and process, and the metrics that are made of them.
 */
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/machine.h>

#include "base/cleanup.h"
#include "observe/machine/parse.h"
#include "support/check.h"
#include "support/temp_dir.h"

BRISK_DEFINE_CLEANUP(brisk_metrics, brisk_metrics_destroy)
BRISK_DEFINE_CLEANUP(brisk_snapshot, brisk_snapshot_unref)

enum { TICK_NS = 10000000 };

static void test_processors(void **state)
{
    (void)state;
    brisk_machine_cpu cpu = {0};
    CHECK(machine_parse_stat("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\ncpu1 0 0 0 0\nintr 5\n",
                             TICK_NS, &cpu));
    CHECK_U64(cpu.user_ns, ==, 1 * TICK_NS);
    CHECK_U64(cpu.idle_ns, ==, 4 * TICK_NS);
    CHECK_U64(cpu.steal_ns, ==, 8 * TICK_NS);
    CHECK_U64(cpu.processors, ==, 2);
    CHECK(machine_parse_stat("cpu 1 2 3 4", TICK_NS, &cpu)); /* an old kernel, no newline */
    CHECK(!machine_parse_stat("cpu 1 2 3", TICK_NS, &cpu));
    CHECK(!machine_parse_stat("cpu0 1 2 3 4\n", TICK_NS, &cpu));
    CHECK(!machine_parse_stat("cpu 99999999999999999999999 2 3 4\n", TICK_NS, &cpu));
    CHECK(!machine_parse_stat("", TICK_NS, &cpu));
    CHECK(machine_parse_stat("cpu 18446744073709551615 0 0 0\n", TICK_NS, &cpu));
    CHECK_U64(cpu.user_ns, ==, UINT64_MAX); /* saturates */
}

static void test_busy(void **state)
{
    (void)state;
    brisk_machine a = {.known = BRISK_MACHINE_CPU, .cpu = {.user_ns = 100, .idle_ns = 900}};
    brisk_machine b = {.known = BRISK_MACHINE_CPU,
                       .cpu = {.user_ns = 130, .idle_ns = 960, .iowait_ns = 10}};
    CHECK(fabs(brisk_machine_busy(&b, &a) - 0.3) < 1e-12);
    CHECK(isnan(brisk_machine_busy(&a, &a)));
    b.cpu.iowait_ns = 0;
    b.cpu.idle_ns = 890; /* went back */
    CHECK(brisk_machine_busy(&b, &a) == 1.0);
    b.known = 0;
    CHECK(isnan(brisk_machine_busy(&b, &a)));
}

static void test_load_memory_and_pressure(void **state)
{
    (void)state;
    brisk_machine m = {0};
    CHECK(machine_parse_loadavg("0.52 1.25 10.00 3/456 7890\n", &m));
    CHECK(fabs(m.load1 - 0.52) < 1e-9 && fabs(m.load5 - 1.25) < 1e-9 && m.load15 == 10.0);
    CHECK(m.runnable == 3 && m.tasks == 456);
    CHECK(!machine_parse_loadavg("0.5 x 1 1/2 3\n", &m));
    CHECK(!machine_parse_loadavg("-1 1 1 1/2 3\n", &m));

    CHECK(
        machine_parse_meminfo("MemTotal:  1000 kB\nMemFree: 5 kB\nSwapCached: 9 kB\nCached: 7 kB\n"
                              "MemAvailable: x kB\nDirty: 18446744073709551615 kB\n",
                              &m.memory));
    CHECK_U64(m.memory.total_bytes, ==, 1024000);
    CHECK_U64(m.memory.cached_bytes, ==, 7 * 1024);
    CHECK_U64(m.memory.available_bytes, ==, 0);
    CHECK_U64(m.memory.dirty_bytes, ==, UINT64_MAX);
    brisk_machine_memory none = {0};
    CHECK(!machine_parse_meminfo("MemFree: 5 kB\n", &none));

    brisk_machine_pressure p = {0};
    CHECK(machine_parse_pressure("some avg10=1.50 avg60=25.00 avg300=0.00 total=12345\n"
                                 "full avg10=0.25 avg60=0.00 avg300=0.00 total=7\n",
                                 &p));
    CHECK(fabs(p.some_avg10 - 0.015) < 1e-12 && p.some_avg60 == 0.25 && p.some_ns == 12345000);
    CHECK(fabs(p.full_avg10 - 0.0025) < 1e-12 && p.full_ns == 7000);
    CHECK(machine_parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n", &p));
    CHECK(!machine_parse_pressure("some avg10=101.00 avg60=0.00 avg300=0.00 total=1\n", &p));
    CHECK(!machine_parse_pressure("full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n", &p));
    CHECK(!machine_parse_pressure("some avg10=0.00 avg60=0.00\n", &p));
}

static void test_disks(void **state)
{
    (void)state;
    brisk_machine m = {0};
    CHECK(machine_parse_diskstats("   7       0 loop0 9 9 9 9 9 9 9 9 9 9 9\n"
                                  "   8       0 sda 10 0 20 5 30 0 40 6 0 7 8\n"
                                  "   8       1 sda1 1 0 1 1 1 0 1 1 0 1 1 0 0 0 0\n"
                                  " 259       0 nvme0n1 1 0 2 0 3 0 4 0 0 5 0\n"
                                  " 259       1 nvme0n1p1 1 0 2 0 3 0 4 0 0 5 0\n"
                                  " 254       0 sdab 1 0 2 0 3 0 4 0 0 5 0\n"
                                  " 253       0 dm-0 10 0 20 5 30 0 40 6 0 7 8\n" /* on sda */
                                  "   8      16 short 1 2 3\n"
                                  "nonsense\n",
                                  &m));
    CHECK_U64(m.disk_count, ==, 4);
    CHECK(strcmp(m.disks[3].name, "dm-0") == 0); /* listed, and not counted twice */
    CHECK(strcmp(m.disks[0].name, "sda") == 0 && strcmp(m.disks[1].name, "nvme0n1") == 0);
    CHECK_U64(m.disks[0].read_bytes, ==, 20 * 512);
    CHECK_U64(m.disks[0].busy_ns, ==, 7000000);
    CHECK_U64(m.disk.reads, ==, 12);
    CHECK_U64(m.disk.write_bytes, ==, 48 * 512);
    char many[8192] = "";
    size_t used = 0;
    for (int i = 0; i < 40; i++) { /* more than are listed, names too long, one with an escape */
        used += (size_t)snprintf(
            many + used, sizeof many - used,
            "8 %d \033disk%d-with-quite-a-long-name-that-is-cut 1 0 1 0 1 0 1 0 0 1 0\n", i, i);
    }
    m = (brisk_machine){0};
    CHECK(machine_parse_diskstats(many, &m));
    CHECK_U64(m.disk_count, ==, BRISK_MACHINE_DISKS_MAX);
    CHECK_U64(m.disk.reads, ==, 40);
    CHECK(m.disks[0].name[0] == '?');
    CHECK_U64(strlen(m.disks[0].name), ==, BRISK_MACHINE_NAME_MAX - 1);
    CHECK(!machine_parse_diskstats("", &m));
}

static void test_interfaces(void **state)
{
    (void)state;
    brisk_machine m = {0};
    CHECK(machine_parse_net("Inter-|   Receive  |  Transmit\n face |bytes packets|bytes\n"
                            "    lo: 5 5 0 0 0 0 0 0 5 5 0 0 0 0 0 0\n"
                            "  eth0:100 10 1 2 0 0 0 0 200 20 3 4 0 0 0 0\n"
                            "  eth1: 1 1 0\n",
                            &m));
    CHECK_U64(m.interface_count, ==, 1);
    CHECK(strcmp(m.interfaces[0].name, "eth0") == 0);
    CHECK_U64(m.net.received_bytes, ==, 100);
    CHECK_U64(m.net.received_errors, ==, 3);
    CHECK_U64(m.net.sent_packets, ==, 20);
    CHECK_U64(m.net.sent_errors, ==, 7);
}

static void test_a_process(void **state)
{
    (void)state;
    brisk_process p = {0};
    CHECK(
        machine_parse_process("42 (a) b (c\n) S 1 -2 3 0 -1 4194304 11 0 12 0 13 14 0 0 20 -5 7 0 "
                              "15 16000 17 18446744073709551615 1 1\n",
                              TICK_NS, 4096, &p));
    CHECK(strcmp(p.name, "a) b (c?") == 0);
    CHECK(p.state == 'S' && p.threads == 7);
    CHECK_U64(p.minor_faults, ==, 11);
    CHECK_U64(p.major_faults, ==, 12);
    CHECK_U64(p.user_ns, ==, 13 * TICK_NS);
    CHECK_U64(p.system_ns, ==, 14 * TICK_NS);
    CHECK_U64(p.start_ns, ==, 15 * TICK_NS);
    CHECK_U64(p.virtual_bytes, ==, 16000);
    CHECK_U64(p.resident_bytes, ==, 17 * 4096);
    static const char *const bad[] = {
        "",        "1",           "1 (a",
        "1 )a(",   "1 (a)",       "1 (a) ",
        "1 (a) S", "1 (a) S 1 2", "1 (a) 9 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!machine_parse_process(bad[i], TICK_NS, 4096, &p));
    }
    machine_parse_status("Name:\tx\nVmHWM:\t  100 kB\nVmSwap: 3 kB\nvoluntary_ctxt_switches:\t5\n"
                         "nonvoluntary_ctxt_switches: 6\n",
                         &p);
    CHECK(p.peak_bytes == 102400 && p.swapped_bytes == 3072);
    CHECK(p.voluntary_switches == 5 && p.involuntary_switches == 6);
    machine_parse_io(
        "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4\ncancelled_write_bytes: 5\n", &p);
    CHECK(p.read_bytes == 3 && p.write_bytes == 4);
}

static void test_this_machine_and_process(void **state)
{
    (void)state;
    brisk_machine machine;
    CHECK_OK(brisk_machine_read(NULL, &machine));
    CHECK((machine.known & BRISK_MACHINE_CPU) != 0 && (machine.known & BRISK_MACHINE_MEMORY) != 0);
    CHECK_U64(machine.cpu.processors, ==, sysconf(_SC_NPROCESSORS_ONLN));
    long page = sysconf(_SC_PAGESIZE);
    CHECK_U64(machine.memory.total_bytes, ==, (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)page);
    CHECK_U64(machine.memory.available_bytes, <=, machine.memory.total_bytes);
    brisk_process process;
    CHECK_OK(brisk_process_read(NULL, 0, &process));
    CHECK_U64(process.pid, ==, getpid());
    CHECK(process.state == 'R');
    CHECK_U64(process.threads, >=, 1);
    CHECK_U64(process.resident_bytes, >, 100000);
    CHECK_U64(process.peak_bytes, >=, process.resident_bytes / 2);
    uint32_t files = process.files;
    int fd = dup(1);
    CHECK(fd >= 0);
    CHECK_OK(brisk_process_read(NULL, (uint32_t)getpid(), &process));
    CHECK_U64(process.files, ==, files + 1);
    (void)close(fd);
    CHECK(brisk_process_read(NULL, 0x7fffffff, &process) == BRISK_ERR_NOT_FOUND);
}

static void test_what_is_not_there_is_not_known(void **state)
{
    (void)state;
    BRISK_CLEANUP(temp_dir_remove) temp_dir *dir = temp_dir_make();
    brisk_machine machine = {.known = 77};
    CHECK(brisk_machine_read(dir->path, &machine) == BRISK_ERR_UNSUPPORTED);
    CHECK(machine.known == 77);
    CHECK(mkdir(temp_dir_path(dir, "proc"), 0700) == 0);
    FILE *file = fopen(temp_dir_path(dir, "proc/loadavg"), "we");
    CHECK(file != NULL);
    (void)fputs("1.00 2.00 3.00 1/2 3\n", file);
    (void)fclose(file);
    file = fopen(temp_dir_path(dir, "proc/stat"), "we"); /* longer than is read */
    CHECK(file != NULL);
    (void)fputs("cpu 1 2 3 4\nintr", file);
    for (int i = 0; i < 100000; i++) {
        (void)fputs(" 0", file);
    }
    (void)fclose(file);
    CHECK_OK(brisk_machine_read(dir->path, &machine));
    CHECK_U64(machine.known, ==, BRISK_MACHINE_LOAD | BRISK_MACHINE_CPU);
    CHECK(machine.load15 == 3.0);
}

static void test_metrics(void **state)
{
    (void)state;
    BRISK_CLEANUP(brisk_metrics_destroy) brisk_metrics *metrics = NULL;
    BRISK_CLEANUP(brisk_snapshot_unref) brisk_snapshot *snapshot = NULL;
    CHECK_OK(brisk_metrics_create(NULL, &metrics));
    CHECK_OK(brisk_machine_watch(metrics));
    CHECK_OK(brisk_machine_watch(metrics));
    CHECK_OK(brisk_process_watch(metrics));
    CHECK_OK(brisk_metrics_snapshot(metrics, NULL, &snapshot));
    const brisk_label idle = {"state", "idle"};
    const brisk_label total = {"kind", "total"};
    const brisk_label resident = {"kind", "resident"};
    const brisk_metric_value *cpu = brisk_snapshot_find(snapshot, "machine.cpu.time", &idle, 1);
    CHECK(cpu != NULL && cpu->count > 0 && cpu->unit == BRISK_UNIT_NS);
    CHECK(brisk_snapshot_find(snapshot, "machine.memory", &total, 1)->value > 1e6);
    CHECK(brisk_snapshot_find(snapshot, "process.memory", &resident, 1)->value > 1e5);
    CHECK(brisk_snapshot_find(snapshot, "process.threads", NULL, 0)->value >= 1);
    CHECK(isnan(brisk_snapshot_find(snapshot, "machine.cpu.busy", NULL, 0)->value));
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_load_memory_and_pressure),
        cmocka_unit_test(test_disks),
        cmocka_unit_test(test_interfaces),
        cmocka_unit_test(test_a_process),
        cmocka_unit_test(test_this_machine_and_process),
        cmocka_unit_test(test_what_is_not_there_is_not_known),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
