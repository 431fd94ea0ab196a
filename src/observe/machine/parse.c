/*
 * parse.c -- the texts of /proc as figures.
 *
 * A cursor walks along the text and never past its end; every word is looked at once.  Sums saturate: what
 * overflows 64 bits is no figure of this world.
 */
#include <string.h>

#include "base/text.h"
#include "observe/machine/parse.h"

enum { SECTOR_BYTES = 512, KIB = 1024 };

/* ---- words --------------------------------------------------------------------------------- */

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    return at;
}

static const char *next_line(const char *at)
{
    at = strchrnul(at, '\n');
    return *at == '\n' ? at + 1 : at;
}

static bool is_end(char c)
{
    return c == '\0' || c == '\n' || c == ' ' || c == '\t';
}

/* A whole number at *at, which moves behind it; false when there is none or it does not fit. */
static bool take_u64(const char **at, uint64_t *ret)
{
    const char *c = skip_blanks(*at);
    uint64_t value = 0;
    bool any = false;
    bool fits = true;
    for (; *c >= '0' && *c <= '9'; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, digit, &value);
        any = true;
    }
    *at = c;
    if (any && fits) {
        *ret = value;
    }
    return any && fits;
}

/* "12.34"; no signs, no exponents, at most nine digits of a fraction count. */
static bool take_decimal(const char **at, double *ret)
{
    uint64_t whole;
    if (!take_u64(at, &whole)) {
        return false;
    }
    double value = (double)whole;
    if (**at == '.') {
        double scale = 0.1;
        int digits = 0;
        for (++*at; **at >= '0' && **at <= '9'; ++*at, digits++) {
            value += digits < 9 ? scale * (**at - '0') : 0;
            scale /= 10;
        }
    }
    *ret = value;
    return true;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static void add(uint64_t *sum, uint64_t more)
{
    *sum = *sum + more < more ? UINT64_MAX : *sum + more;
}

/* Copy a name of `size` bytes, cut and plain. */
static void keep_name(char to[BRISK_MACHINE_NAME_MAX], const char *name, size_t size)
{
    size = size < BRISK_MACHINE_NAME_MAX ? size : BRISK_MACHINE_NAME_MAX - 1;
    memcpy(to, name, size);
    memset(to + size, 0, BRISK_MACHINE_NAME_MAX - size);
    brisk_text_make_plain(to, size);
}

/* Numbers after `key` at a line's beginning; false when no such line is there. */
static bool find_line(const char *text, const char *key, const char **ret)
{
    size_t size = strlen(key);
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        if (strncmp(line, key, size) == 0) {
            *ret = line + size;
            return true;
        }
    }
    return false;
}

/* ---- the machine --------------------------------------------------------------------------- */

bool machine_parse_stat(const char *text, uint64_t tick_ns, brisk_machine_cpu *ret)
{
    const char *at;
    if (!find_line(text, "cpu ", &at)) {
        return false;
    }
    uint64_t *const fields[] = {&ret->user_ns,   &ret->nice_ns, &ret->system_ns,  &ret->idle_ns,
                                &ret->iowait_ns, &ret->irq_ns,  &ret->softirq_ns, &ret->steal_ns};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint64_t ticks;
        if (!take_u64(&at, &ticks)) {
            return i >= 4; /* kernels before 2.6 have four */
        }
        *fields[i] = times(ticks, tick_ns);
    }
    ret->processors = 0;
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        bool one = strncmp(line, "cpu", 3) == 0 && line[3] >= '0' && line[3] <= '9';
        ret->processors += one && ret->processors < UINT32_MAX ? 1 : 0;
    }
    return true;
}

bool machine_parse_loadavg(const char *text, brisk_machine *ret)
{
    const char *at = text;
    double *const loads[] = {&ret->load1, &ret->load5, &ret->load15};
    for (size_t i = 0; i < 3; i++) {
        if (!take_decimal(&at, loads[i])) {
            return false;
        }
    }
    uint64_t runnable;
    uint64_t tasks;
    if (take_u64(&at, &runnable) && *at == '/') {
        at++;
        if (take_u64(&at, &tasks) && runnable <= UINT32_MAX && tasks <= UINT32_MAX) {
            ret->runnable = (uint32_t)runnable;
            ret->tasks = (uint32_t)tasks;
        }
    }
    return true;
}

bool machine_parse_meminfo(const char *text, brisk_machine_memory *ret)
{
    const struct {
        const char *key;
        uint64_t *to;
    } fields[] = {
        {"MemTotal:", &ret->total_bytes},         {"MemFree:", &ret->free_bytes},
        {"MemAvailable:", &ret->available_bytes}, {"Buffers:", &ret->buffers_bytes},
        {"Cached:", &ret->cached_bytes},          {"Dirty:", &ret->dirty_bytes},
        {"SwapTotal:", &ret->swap_total_bytes},   {"SwapFree:", &ret->swap_free_bytes},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *at;
        uint64_t kib;
        if (find_line(text, fields[i].key, &at) && take_u64(&at, &kib)) {
            *fields[i].to = times(kib, KIB);
        }
    }
    return ret->total_bytes != 0;
}

/* Is `name` a part of the disk `whole`: sda1 of sda, nvme0n1p2 of nvme0n1? */
static bool is_partition(const char *name, size_t size, const char *whole)
{
    size_t length = strlen(whole);
    if (length == 0 || size <= length || memcmp(name, whole, length) != 0) {
        return false;
    }
    size_t at = length;
    if (whole[length - 1] >= '0' && whole[length - 1] <= '9') {
        if (name[at++] != 'p') {
            return false;
        }
    }
    size_t digits = at;
    while (at < size && name[at] >= '0' && name[at] <= '9') {
        at++;
    }
    return at == size && at > digits;
}

/* Devices that are memory or files in disguise: their bytes are counted elsewhere or are none. */
static bool is_disguise(const char *name, size_t size)
{
    return (size > 4 && memcmp(name, "loop", 4) == 0) ||
           (size > 3 && memcmp(name, "ram", 3) == 0) || (size > 4 && memcmp(name, "zram", 4) == 0);
}

bool machine_is_stacked(const char *name)
{
    static const char *const kinds[] = {"dm-", "md", "bcache", "drbd"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t size = strlen(kinds[i]);
        if (strncmp(name, kinds[i], size) == 0 && name[size] >= '0' && name[size] <= '9') {
            return true;
        }
    }
    return false;
}

static void add_disk(brisk_machine *ret, const brisk_machine_disk *disk)
{
    if (!machine_is_stacked(disk->name)) {
        add(&ret->disk.reads, disk->reads);
        add(&ret->disk.writes, disk->writes);
        add(&ret->disk.read_bytes, disk->read_bytes);
        add(&ret->disk.write_bytes, disk->write_bytes);
        add(&ret->disk.busy_ns, disk->busy_ns);
    }
    if (ret->disk_count < BRISK_MACHINE_DISKS_MAX) {
        ret->disks[ret->disk_count++] = *disk;
    }
}

bool machine_parse_diskstats(const char *text, brisk_machine *ret)
{
    enum { READS, READS_MERGED, READ_SECTORS, READ_MS, WRITES, WRITES_MERGED, WRITE_SECTORS };
    enum { WRITE_MS = WRITE_SECTORS + 1, IN_FLIGHT, BUSY_MS, FIELDS };
    char whole[BRISK_MACHINE_NAME_MAX] = "";
    bool any = false;
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        const char *at = line;
        uint64_t fields[FIELDS];
        uint64_t number[2]; /* major, minor */
        if (!take_u64(&at, &number[0]) || !take_u64(&at, &number[1])) {
            continue;
        }
        const char *name = skip_blanks(at);
        for (at = name; !is_end(*at); at++) {
        }
        size_t size = (size_t)(at - name);
        size_t count = 0;
        while (count < FIELDS && take_u64(&at, &fields[count])) {
            count++;
        }
        if (size == 0 || count < FIELDS) {
            continue;
        }
        any = true;
        if (is_disguise(name, size) || is_partition(name, size, whole)) {
            continue;
        }
        brisk_machine_disk disk = {.reads = fields[READS],
                                   .writes = fields[WRITES],
                                   .read_bytes = times(fields[READ_SECTORS], SECTOR_BYTES),
                                   .write_bytes = times(fields[WRITE_SECTORS], SECTOR_BYTES),
                                   .busy_ns = times(fields[BUSY_MS], 1000000)};
        keep_name(disk.name, name, size);
        memcpy(whole, disk.name, sizeof whole);
        add_disk(ret, &disk);
    }
    return any;
}

static void add_interface(brisk_machine *ret, const brisk_machine_interface *net)
{
    add(&ret->net.received_bytes, net->received_bytes);
    add(&ret->net.received_packets, net->received_packets);
    add(&ret->net.received_errors, net->received_errors);
    add(&ret->net.sent_bytes, net->sent_bytes);
    add(&ret->net.sent_packets, net->sent_packets);
    add(&ret->net.sent_errors, net->sent_errors);
    if (ret->interface_count < BRISK_MACHINE_INTERFACES_MAX) {
        ret->interfaces[ret->interface_count++] = *net;
    }
}

bool machine_parse_net(const char *text, brisk_machine *ret)
{
    enum { BYTES, PACKETS, ERRORS, DROPS, SENT = 8, FIELDS = 12 };
    bool any = false;
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        const char *name = skip_blanks(line);
        const char *at = name;
        while (!is_end(*at) && *at != ':') {
            at++;
        }
        size_t size = (size_t)(at - name);
        if (*at != ':' || size == 0) {
            continue;
        }
        at++;
        uint64_t fields[FIELDS];
        size_t count = 0;
        while (count < FIELDS && take_u64(&at, &fields[count])) {
            count++;
        }
        if (count < FIELDS) {
            continue;
        }
        any = true;
        if (size == 2 && memcmp(name, "lo", 2) == 0) {
            continue;
        }
        brisk_machine_interface net = {.received_bytes = fields[BYTES],
                                       .received_packets = fields[PACKETS],
                                       .received_errors = fields[ERRORS],
                                       .sent_bytes = fields[SENT + BYTES],
                                       .sent_packets = fields[SENT + PACKETS],
                                       .sent_errors = fields[SENT + ERRORS]};
        add(&net.received_errors, fields[DROPS]);
        add(&net.sent_errors, fields[SENT + DROPS]);
        keep_name(net.name, name, size);
        add_interface(ret, &net);
    }
    return any;
}

/* "avg10=0.14" and so on at *at. */
static bool take_average(const char **at, const char *key, double *ret)
{
    const char *c = skip_blanks(*at);
    size_t size = strlen(key);
    double percent;
    if (strncmp(c, key, size) != 0) {
        return false;
    }
    c += size;
    if (!take_decimal(&c, &percent) || percent > 100) {
        return false;
    }
    *ret = percent / 100;
    *at = c;
    return true;
}

static bool parse_stall(const char *text, const char *key, double *avg10, double *avg60,
                        uint64_t *total_ns)
{
    const char *at;
    double avg300;
    uint64_t us;
    if (!find_line(text, key, &at) || !take_average(&at, "avg10=", avg10) ||
        !take_average(&at, "avg60=", avg60) || !take_average(&at, "avg300=", &avg300)) {
        return false;
    }
    at = skip_blanks(at);
    if (strncmp(at, "total=", 6) != 0) {
        return false;
    }
    at += 6;
    if (!take_u64(&at, &us)) {
        return false;
    }
    *total_ns = times(us, 1000);
    return true;
}

bool machine_parse_pressure(const char *text, brisk_machine_pressure *ret)
{
    /* Of processors old kernels have no "full". */
    (void)parse_stall(text, "full ", &ret->full_avg10, &ret->full_avg60, &ret->full_ns);
    return parse_stall(text, "some ", &ret->some_avg10, &ret->some_avg60, &ret->some_ns);
}

/* ---- a process ----------------------------------------------------------------------------- */

bool machine_parse_process(const char *text, uint64_t tick_ns, uint64_t page_bytes,
                           brisk_process *ret)
{
    /* The name is in parentheses and may hold any byte, parentheses too: the last one ends it. */
    const char *open = strchr(text, '(');
    const char *close = strrchr(text, ')');
    if (open == NULL || close == NULL || close < open || close[1] != ' ' || is_end(close[2])) {
        return false;
    }
    keep_name(ret->name, open + 1, (size_t)(close - open - 1));
    ret->state = close[2];
    if (ret->state < 'A' || ret->state > 'z') {
        return false;
    }
    enum { FIRST = 4, MINOR = 10, MAJOR = 12, USER = 14, SYSTEM = 15, THREADS = 20 };
    enum { START = 22, VIRTUAL = 23, RESIDENT = 24, FIELDS = 25 };
    uint64_t fields[FIELDS] = {0};
    const char *at = close + 3;
    for (int i = FIRST; i < FIELDS; i++) {
        at = skip_blanks(at);
        at += *at == '-' ? 1 : 0; /* process groups, nice values: of no interest */
        if (!take_u64(&at, &fields[i])) {
            return false;
        }
    }
    ret->minor_faults = fields[MINOR];
    ret->major_faults = fields[MAJOR];
    ret->user_ns = times(fields[USER], tick_ns);
    ret->system_ns = times(fields[SYSTEM], tick_ns);
    ret->threads = fields[THREADS] <= UINT32_MAX ? (uint32_t)fields[THREADS] : UINT32_MAX;
    ret->start_ns = times(fields[START], tick_ns);
    ret->virtual_bytes = fields[VIRTUAL];
    ret->resident_bytes = times(fields[RESIDENT], page_bytes);
    return true;
}

static void take_field(const char *text, const char *key, uint64_t scale, uint64_t *ret)
{
    const char *at;
    uint64_t value;
    if (find_line(text, key, &at) && take_u64(&at, &value)) {
        *ret = times(value, scale);
    }
}

void machine_parse_status(const char *text, brisk_process *ret)
{
    take_field(text, "VmHWM:", KIB, &ret->peak_bytes);
    take_field(text, "VmSwap:", KIB, &ret->swapped_bytes);
    take_field(text, "voluntary_ctxt_switches:", 1, &ret->voluntary_switches);
    take_field(text, "nonvoluntary_ctxt_switches:", 1, &ret->involuntary_switches);
}

void machine_parse_io(const char *text, brisk_process *ret)
{
    take_field(text, "read_bytes:", 1, &ret->read_bytes);
    take_field(text, "write_bytes:", 1, &ret->write_bytes);
}
