/*
 * perf.c -- opens the events, and merges the rings; what a record says is read by perf_record.c.
 *
 * Inherited events can't share a ring across processors, so each thread has an event for each
 * processor, as `perf record` does.  Rights are found out by trying: first with the kernel's part of
 * samples and stacks of switches, then without.
 */
#include "observe/profile/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <brisk/clock.h>

#include "base/vec.h"
#include "observe/profile/perf_record.h"

enum {
    RING_BYTES_MAX = 4 << 20,
    RING_BYTES_MIN = 32 << 10,
    WATERMARK_BYTES =
        192 << 10, /* each wake-up interrupts who is sampled; a full ring loses samples */
    SWITCH_STACK_BYTES = 4096,
    CPUS_MAX = 1024,
};

typedef struct ring {
    int fd; /* the first event of its processor; owned by `events` */
    int cpu;
    struct perf_event_mmap_page *page;
    unsigned char *data;
    size_t bytes;
    uint64_t head; /* where the snapshot ends */
    uint64_t tail;
    uint64_t next_time; /* of the record at `tail`; UINT64_MAX: none before the end */
} ring;

typedef struct event {
    int fd;
    bool is_clock;
} event;

struct prof_perf {
    const brisk_alloc *alloc;
    BRISK_VEC(event) events;
    BRISK_VEC(ring) rings;
    prof_perf_limits limits;
    prof_perf_opts opts;
    prof_record_ids ids; /* of the events of switches */
    unsigned char bounce[PROF_RECORD_BYTES_MAX];
    prof_record record;
};

static int open_event(struct perf_event_attr *attr, pid_t pid, int cpu)
{
    return (int)syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static struct perf_event_attr attr_of(const prof_perf *perf, bool clock)
{
    const prof_perf_opts *opts = &perf->opts;
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof attr,
        .config = clock ? PERF_COUNT_SW_CPU_CLOCK : PERF_COUNT_SW_CONTEXT_SWITCHES,
        .sample_period = clock ? UINT64_C(1000000000) / opts->frequency : 1,
        .sample_type = PROF_SAMPLE_TYPE,
        .disabled = 1,
        .enable_on_exec = opts->on_exec,
        .inherit = 1,
        .sample_id_all = 1,
        .exclude_hv = 1,
        .exclude_kernel = perf->limits.no_kernel,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1,
        .wakeup_watermark = WATERMARK_BYTES,
        .sample_max_stack = PERF_MAX_STACK_DEPTH,
    };
    if (clock) {
        attr.mmap = 1;
        attr.mmap2 = 1;
        attr.comm = 1;
        attr.comm_exec = 1;
        attr.task = 1;
        attr.context_switch = opts->off_cpu && !perf->limits.no_switch;
    }
    uint32_t stack = clock || opts->stack_bytes == 0 ? opts->stack_bytes : SWITCH_STACK_BYTES;
    if (stack > 0) {
        attr.sample_type |= PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
        attr.sample_regs_user = PROF_SAMPLE_REGS;
        attr.sample_stack_user = stack;
    }
    return attr;
}

/* --- rights ----------------------------------------------------------------------------------- */

static brisk_err refused(brisk_errinfo *info, int error)
{
    if (error == EACCES || error == EPERM) {
        return brisk_errinfo_set(info, BRISK_ERR_PERMISSION,
                                 "the kernel does not let this user sample "
                                 "(/proc/sys/kernel/perf_event_paranoid, or a seccomp filter)");
    }
    if (error == ENOSYS || error == ENOENT || error == EINVAL || error == EOPNOTSUPP) {
        return brisk_errinfo_set(info, BRISK_ERR_UNSUPPORTED,
                                 "this kernel has no such perf event (%s)", strerror(error));
    }
    if (error == ESRCH) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "no such process");
    }
    if (error == EMFILE) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "too many threads for the descriptors");
    }
    return brisk_errinfo_set_errno(info, error, "perf_event_open");
}

/* Try an event that is closed again. */
static int try_event(const prof_perf *perf, bool clock, pid_t pid)
{
    struct perf_event_attr attr = attr_of(perf, clock);
    int fd = open_event(&attr, pid, pid < 0 ? 0 : -1);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

static brisk_err find_rights(prof_perf *perf, pid_t pid, brisk_errinfo *info)
{
    int error = try_event(perf, true, pid);
    if (error == EINVAL && perf->opts.off_cpu) {
        perf->limits.no_switch = true;
        error = try_event(perf, true, pid);
    }
    if (error == EACCES || error == EPERM) {
        perf->limits.no_kernel = true;
        error = try_event(perf, true, pid);
    }
    if (error != 0) {
        return refused(info, error);
    }
    /* A switch happens in the kernel: without its part there are no stacks. */
    perf->limits.no_switch_stack =
        !perf->opts.off_cpu || perf->limits.no_kernel || try_event(perf, false, pid) != 0;
    return BRISK_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

// NOLINTNEXTLINE(readability-function-size): the macros of vec.h count
static brisk_err map_ring(prof_perf *perf, int fd, int cpu, brisk_errinfo *info)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = perf->limits.ring_bytes > 0 ? perf->limits.ring_bytes : RING_BYTES_MAX;
    for (; bytes >= RING_BYTES_MIN; bytes /= 2) {
        void *map = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            continue;
        }
        perf->limits.ring_bytes = bytes;
        perf->limits.rings++;
        ring r = {
            .fd = fd, .cpu = cpu, .page = map, .data = (unsigned char *)map + page, .bytes = bytes};
        if (!BRISK_VEC_PUSH(&perf->rings, r)) {
            (void)munmap(map, bytes + page);
            return BRISK_ERR_NOMEM;
        }
        return BRISK_OK;
    }
    return brisk_errinfo_set(
        info, BRISK_ERR_PERMISSION,
        "no memory for the kernel's ring (/proc/sys/kernel/perf_event_mlock_kb)");
}

/* The event of one thread on one processor; the first of a processor gets the ring. */
static brisk_err open_one(prof_perf *perf, bool clock, pid_t pid, int cpu, brisk_errinfo *info)
{
    struct perf_event_attr attr = attr_of(perf, clock);
    int fd = open_event(&attr, pid, cpu);
    if (fd < 0) {
        return errno == ENODEV ? BRISK_OK : refused(info, errno); /* the processor is off */
    }
    if (!BRISK_VEC_PUSH(&perf->events, (event){fd, clock})) {
        (void)close(fd);
        return BRISK_ERR_NOMEM;
    }
    uint64_t id = 0;
    if (ioctl(fd, PERF_EVENT_IOC_ID, &id) != 0 ||
        (!clock && !prof_record_ids_add(&perf->ids, perf->alloc, id))) {
        return BRISK_ERR_NOMEM;
    }
    for (size_t i = 0; i < perf->rings.count; i++) {
        if (perf->rings.items[i].cpu == cpu) {
            return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, perf->rings.items[i].fd) == 0
                       ? BRISK_OK
                       : brisk_errinfo_set_errno(info, errno, "perf ring");
        }
    }
    return map_ring(perf, fd, cpu, info);
}

static brisk_err open_all(prof_perf *perf, brisk_errinfo *info)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    cpus = cpus < 1 ? 1 : cpus > CPUS_MAX ? CPUS_MAX : cpus;
    uint32_t count = perf->opts.thread_count > 0 ? perf->opts.thread_count : 1;
    uint32_t gone = 0;
    for (uint32_t t = 0; t < count; t++) {
        pid_t pid = perf->opts.thread_count > 0 ? perf->opts.threads[t] : -1;
        for (int cpu = 0; cpu < (int)cpus; cpu++) {
            brisk_err err = open_one(perf, true, pid, cpu, info);
            if (err == BRISK_OK && !perf->limits.no_switch_stack) {
                err = open_one(perf, false, pid, cpu, info);
            }
            if (err == BRISK_ERR_NOT_FOUND && count > 1) {
                gone++; /* a thread that ended meanwhile */
                break;
            }
            if (err != BRISK_OK) {
                return err;
            }
        }
    }
    return gone < count ? BRISK_OK
                        : brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "no such process");
}

brisk_err prof_perf_open(const prof_perf_opts *opts, const brisk_alloc *alloc, prof_perf **ret,
                         brisk_errinfo *info)
{
    prof_perf *perf = alloc->acquire(alloc->ctx, sizeof *perf, _Alignof(prof_perf));
    if (perf == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(perf, 0, sizeof *perf);
    perf->alloc = alloc;
    perf->opts = *opts;
    perf->events.alloc = alloc;
    perf->rings.alloc = alloc;
    brisk_err err = find_rights(perf, opts->thread_count > 0 ? opts->threads[0] : -1, info);
    if (err == BRISK_OK) {
        err = open_all(perf, info);
    }
    if (err != BRISK_OK) {
        prof_perf_close(perf);
        return err;
    }
    perf->opts.threads = NULL; /* the caller's */
    *ret = perf;
    return BRISK_OK;
}

void prof_perf_close(prof_perf *perf)
{
    if (perf == NULL) {
        return;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < perf->rings.count; i++) {
        (void)munmap(perf->rings.items[i].page, perf->rings.items[i].bytes + page);
    }
    for (size_t i = 0; i < perf->events.count; i++) {
        (void)close(perf->events.items[i].fd);
    }
    prof_record_ids_deinit(&perf->ids, perf->alloc);
    BRISK_VEC_DEINIT(&perf->rings);
    BRISK_VEC_DEINIT(&perf->events);
    perf->alloc->release(perf->alloc->ctx, perf, sizeof *perf, _Alignof(prof_perf));
}

const prof_perf_limits *prof_perf_what(const prof_perf *perf)
{
    return &perf->limits;
}

void prof_perf_enable(prof_perf *perf, bool on)
{
    for (size_t i = 0; i < perf->events.count; i++) {
        (void)ioctl(perf->events.items[i].fd, on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE,
                    0);
    }
}

uint32_t prof_perf_fds(const prof_perf *perf, int *fds, uint32_t max)
{
    uint32_t count = 0;
    for (size_t i = 0; i < perf->rings.count && count < max; i++) {
        fds[count++] = perf->rings.items[i].fd;
    }
    return count;
}

uint64_t prof_perf_cpu_ns(const prof_perf *perf)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < perf->events.count; i++) {
        uint64_t value = 0;
        if (perf->events.items[i].is_clock &&
            read(perf->events.items[i].fd, &value, sizeof value) == (ssize_t)sizeof value) {
            sum += value;
        }
    }
    return sum;
}

/* --- draining --------------------------------------------------------------------------------- */

/* The record at `tail` as one piece of bytes; NULL: none. */
static const unsigned char *record_at(prof_perf *perf, const ring *r, size_t *ret_size)
{
    struct perf_event_header head;
    if (r->head - r->tail < sizeof head) {
        return NULL;
    }
    size_t at = (size_t)(r->tail & (r->bytes - 1));
    memcpy(&head, r->data + at, sizeof head); /* records are multiples of 8: never cut in here */
    if (head.size < sizeof head || head.size > r->head - r->tail) {
        return NULL;
    }
    *ret_size = head.size;
    if (at + head.size <= r->bytes) {
        return r->data + at;
    }
    size_t first = r->bytes - at;
    memcpy(perf->bounce, r->data + at, first);
    memcpy(perf->bounce + first, r->data, head.size - first);
    return perf->bounce;
}

static void look_ahead(prof_perf *perf, ring *r)
{
    size_t size;
    const unsigned char *bytes = record_at(perf, r, &size);
    r->next_time = bytes != NULL ? prof_record_time(bytes, size) : UINT64_MAX;
}

static void give_back(ring *r)
{
    __atomic_store_n(&r->page->data_tail, r->tail, __ATOMIC_RELEASE);
}

void prof_perf_drain(prof_perf *perf, bool all, prof_perf_fn fn, void *ctx)
{
    uint64_t until = all ? UINT64_MAX - 1 : brisk_clock_now_ns(NULL);
    for (size_t i = 0; i < perf->rings.count; i++) {
        ring *r = &perf->rings.items[i];
        r->head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
        r->tail = r->page->data_tail;
        look_ahead(perf, r);
    }
    for (;;) {
        ring *oldest = NULL;
        for (size_t i = 0; i < perf->rings.count; i++) {
            ring *r = &perf->rings.items[i];
            if (r->next_time <= until && (oldest == NULL || r->next_time < oldest->next_time)) {
                oldest = r;
            }
        }
        if (oldest == NULL) {
            break;
        }
        size_t size;
        const unsigned char *bytes = record_at(perf, oldest, &size);
        if (bytes == NULL) {
            break;
        }
        if (prof_record_read(bytes, size, &perf->ids, &perf->record)) {
            fn(ctx, &perf->record);
        }
        oldest->tail += size;
        give_back(oldest);
        look_ahead(perf, oldest);
    }
}
