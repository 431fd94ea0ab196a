/*
 * timer.c -- the profiler's side of timer_ring.h.
 *
 * What is in the file is the profiled program's to write, so sizes are held against the slot, which
 * is copied before it is looked at.
 */
#include "observe/profile/timer.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "observe/profile/timer_ring.h"

enum { TEXT_MAX = 8300 };

struct prof_timer {
    const brisk_alloc *alloc;
    timer_ring *ring;
    uint64_t period_ns;
    uint64_t lost;
    uint32_t read_pids[64]; /* processes whose mappings were read */
    uint32_t read_count;
    char path[64];
    char env_ring[96];
    char env_preload[TEXT_MAX];
    const char *env[3];
    prof_record record;
    timer_slot slot; /* a copy of the one in work */
};

static const char anchor = 0; /* a thing of this module, whose file dladdr tells */

/* profile_timer.so lies beside the module that has this code. */
static brisk_err find_library(prof_timer *t, brisk_errinfo *info)
{
    Dl_info found;
    const char *named = getenv("BRISK_PROFILE_TIMER"); /* for tests, which have no module */
    char path[4096] = "";
    if (named != NULL) {
        (void)snprintf(path, sizeof path, "%s", named);
    } else if (dladdr(&anchor, &found) != 0 && found.dli_fname != NULL) {
        const char *slash = strrchr(found.dli_fname, '/');
        int folder = slash != NULL ? (int)(slash - found.dli_fname) : 0;
        (void)snprintf(path, sizeof path, "%.*s/profile_timer.so", folder < 4000 ? folder : 0,
                       found.dli_fname);
    }
    if (access(path, R_OK) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "%s is not there", path);
    }
    const char *before = getenv("LD_PRELOAD");
    int size = snprintf(t->env_preload, sizeof t->env_preload, "LD_PRELOAD=%s%s%s", path,
                        before != NULL ? ":" : "", before != NULL ? before : "");
    if (size < 0 || (size_t)size >= sizeof t->env_preload) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "LD_PRELOAD: too long");
    }
    return BRISK_OK;
}

static brisk_err make_ring(prof_timer *t, uint32_t frequency, brisk_errinfo *info)
{
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(t->path, sizeof t->path, "%s/brisk-profile-XXXXXX", folder);
    int fd = mkostemp(t->path, O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        t->path[0] = '\0';
        return brisk_errinfo_set_errno(info, error, "%s", folder);
    }
    void *map = MAP_FAILED;
    /* All of it now: a handler that writes to a page a full file system has not got ends the program (SIGBUS). */
    int error = posix_fallocate(fd, 0, sizeof(timer_ring));
    if (error == 0) {
        map = mmap(NULL, sizeof(timer_ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = errno;
    }
    (void)close(fd);
    if (map == MAP_FAILED) {
        return brisk_errinfo_set_errno(info, error, "%s", t->path);
    }
    t->ring = map;
    t->ring->head.magic = TIMER_MAGIC;
    t->ring->head.frequency = frequency;
    (void)snprintf(t->env_ring, sizeof t->env_ring, TIMER_ENV "=%s", t->path);
    t->env[0] = t->env_ring;
    t->env[1] = t->env_preload;
    return BRISK_OK;
}

brisk_err prof_timer_open(uint32_t frequency, const brisk_alloc *alloc, prof_timer **ret,
                          brisk_errinfo *info)
{
    prof_timer *t = alloc->acquire(alloc->ctx, sizeof *t, _Alignof(prof_timer));
    if (t == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    t->period_ns = UINT64_C(1000000000) / frequency;
    brisk_err err = find_library(t, info);
    if (err == BRISK_OK) {
        err = make_ring(t, frequency, info);
    }
    if (err != BRISK_OK) {
        prof_timer_close(t);
        return err;
    }
    *ret = t;
    return BRISK_OK;
}

void prof_timer_close(prof_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    if (timer->ring != NULL) {
        (void)munmap(timer->ring, sizeof *timer->ring);
    }
    if (timer->path[0] != '\0') {
        (void)unlink(timer->path);
    }
    timer->alloc->release(timer->alloc->ctx, timer, sizeof *timer, _Alignof(prof_timer));
}

const char *const *prof_timer_env(const prof_timer *timer)
{
    return timer->env;
}

/* --- samples -------------------------------------------------------------------------------- */

/* Mappings, with the first sample of a process and again when an address lies in none. */
static void read_mappings(prof_timer *t, prof_intake *intake, const timer_slot *slot)
{
    bool known = false;
    for (uint32_t i = 0; i < t->read_count && !known; i++) {
        known = t->read_pids[i] == slot->pid;
    }
    prof_space *space = prof_space_of(&intake->spaces, slot->pid);
    if (space == NULL || (known && prof_space_find(space, slot->ip) != NULL)) {
        return;
    }
    prof_space_read(&intake->spaces, slot->pid);
    if (!known && t->read_count < 64) {
        t->read_pids[t->read_count++] = slot->pid;
    }
}

static void take_slot(prof_timer *t, prof_intake *intake)
{
    timer_slot *slot = &t->slot;
    prof_record *r = &t->record;
    slot->comm[sizeof slot->comm - 1] = '\0';
    read_mappings(t, intake, slot);
    *r = (prof_record){.kind = PROF_RECORD_COMM,
                       .pid = slot->pid,
                       .tid = slot->tid,
                       .time_ns = slot->time_ns,
                       .text = slot->comm};
    prof_intake_record(intake, r);
    r->kind = PROF_RECORD_SAMPLE;
    r->period = t->period_ns;
    r->has_regs = true;
    r->ip = slot->ip;
    r->sp = slot->sp;
    r->bp = slot->bp;
    r->stack = slot->stack;
    r->stack_size = slot->stack_size <= TIMER_STACK_BYTES ? slot->stack_size : 0;
    r->user[0] = slot->ip;
    r->user_count = 1;
    prof_intake_record(intake, r);
}

void prof_timer_drain(prof_timer *timer, prof_intake *intake)
{
    for (uint32_t i = 0; i < TIMER_SLOTS; i++) {
        timer_slot *slot = &timer->ring->slots[i];
        if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != TIMER_FULL) {
            continue;
        }
        memcpy(&timer->slot, slot, sizeof timer->slot);
        __atomic_store_n(&slot->state, TIMER_FREE, __ATOMIC_RELEASE);
        take_slot(timer, intake);
    }
    uint64_t lost = __atomic_load_n(&timer->ring->head.lost, __ATOMIC_RELAXED);
    intake->lost += lost > timer->lost ? lost - timer->lost : 0;
    timer->lost = lost;
}
