/*
 * intake.c -- samples, waits and mappings, in the order of time.
 *
 * A thread that gives up its processor leaves two records: the stack (when the kernel lets us see
 * it) and the switch; the one that brings it back ends the wait.  Time in which it could have run
 * but another did is kept apart: it is not the program's waiting.
 */
#include "observe/profile/intake.h"

#include <string.h>

#include "observe/profile/session.h"
#include "observe/profile/target.h"

brisk_err prof_intake_init(prof_intake *intake, const brisk_alloc *alloc)
{
    *intake = (prof_intake){.alloc = alloc, .waits = BRISK_VEC_INIT(alloc)};
    brisk_err err = prof_spaces_init(&intake->spaces, alloc);
    if (err != BRISK_OK) {
        return err;
    }
    intake->unwinder =
        alloc->acquire(alloc->ctx, sizeof *intake->unwinder, _Alignof(prof_unwinder));
    err = intake->unwinder != NULL ? prof_model_create(alloc, &intake->raw) : BRISK_ERR_NOMEM;
    if (err != BRISK_OK) {
        prof_intake_deinit(intake);
        return err;
    }
    memset(intake->unwinder, 0, sizeof *intake->unwinder);
    return BRISK_OK;
}

void prof_intake_deinit(prof_intake *intake)
{
    const brisk_alloc *alloc = intake->alloc;
    prof_spaces_deinit(&intake->spaces);
    prof_model_destroy(intake->raw);
    if (intake->unwinder != NULL) {
        alloc->release(alloc->ctx, intake->unwinder, sizeof *intake->unwinder,
                       _Alignof(prof_unwinder));
    }
    prof_index_deinit(&intake->wait_index, alloc);
    BRISK_VEC_DEINIT(&intake->waits);
}

/* --- threads -------------------------------------------------------------------------------- */

static bool same_wait(const void *owner, uint32_t id, const void *key)
{
    const prof_intake *intake = owner;
    return intake->waits.items[id].tid == *(const uint32_t *)key;
}

/* NULL: out of memory. */
// NOLINTNEXTLINE(readability-function-size): the macros of vec.h count
static prof_wait *wait_of(prof_intake *intake, uint32_t pid, uint32_t tid)
{
    uint32_t hash = prof_mix(tid, 7);
    uint32_t id = prof_index_find(&intake->wait_index, hash, same_wait, intake, &tid);
    if (id == PROF_NO_ID) {
        id = (uint32_t)intake->waits.count;
        char comm[64] = "";
        if (!intake->offline) {
            prof_comm_of((pid_t)pid, (pid_t)tid, comm);
        }
        prof_wait wait = {.tid = tid, .pid = pid};
        wait.thread = prof_thread_of(intake->raw, pid, tid, comm);
        if (!BRISK_VEC_PUSH(&intake->waits, wait) ||
            !prof_index_add(&intake->wait_index, intake->alloc, hash, id)) {
            intake->raw->err = BRISK_ERR_NOMEM;
            return NULL;
        }
    }
    return &intake->waits.items[id];
}

static uint32_t unseen(prof_intake *intake)
{
    prof_frame frame = {.address = PROF_ADDRESS_UNSEEN};
    return prof_stack_of(intake->raw, 0, prof_frame_of(intake->raw, &frame));
}

static void wait_begins(prof_wait *w, uint64_t now_ns, bool preempted)
{
    w->since_ns = now_ns;
    w->preempted = preempted;
}

static void wait_ends(prof_intake *intake, prof_wait *w, uint64_t now_ns)
{
    if (w->since_ns == 0) {
        return;
    }
    uint64_t length = now_ns > w->since_ns ? now_ns - w->since_ns : 0;
    uint32_t stack = w->has_stack ? w->stack : unseen(intake);
    prof_sample_add(intake->raw, stack, w->thread,
                    w->preempted ? PROF_TYPE_READY : PROF_TYPE_OFF_CPU, length);
    prof_event_add(intake->raw, &(prof_event){.time_ns = w->since_ns,
                                              .length_ns = length,
                                              .stack = stack,
                                              .thread = w->thread,
                                              .off_cpu = true});
    w->since_ns = 0;
    w->has_stack = false;
}

/* --- stacks --------------------------------------------------------------------------------- */

static uint32_t frame_of(prof_intake *intake, const prof_space *space, uint64_t pc)
{
    const prof_map *map = prof_space_find(space, pc);
    prof_frame frame = {.address = pc};
    if (map != NULL) {
        frame.module = map->module;
        frame.address = pc - map->bias;
    }
    return prof_frame_of(intake->raw, &frame);
}

/* Addresses of user code, innermost first: by tables, unless the kernel got further. */
static size_t user_stack(prof_intake *intake, prof_space *space, const prof_record *r,
                         uint64_t pcs[PROF_CHAIN_MAX])
{
    size_t count = 0;
    if (r->has_regs && r->stack_size > 0) {
        prof_walk walk = {.spaces = &intake->spaces,
                          .space = space,
                          .regs = {.ip = r->ip, .sp = r->sp, .bp = r->bp},
                          .stack = {.bytes = r->stack, .base = r->sp, .size = r->stack_size}};
        count = prof_unwind(intake->unwinder, &walk, pcs, PROF_CHAIN_MAX);
    }
    if (count < r->user_count) {
        /* Deeper than the piece of the stack that was copied, or no table. */
        intake->short_stacks += count > 0;
        memcpy(pcs, r->user, r->user_count * sizeof *pcs);
        count = r->user_count;
    }
    return count;
}

static uint32_t stack_of(prof_intake *intake, const prof_record *r)
{
    uint64_t pcs[PROF_CHAIN_MAX];
    uint32_t stack = 0;
    prof_space *space = prof_space_of(&intake->spaces, r->pid);
    if (space == NULL) {
        return 0;
    }
    for (size_t i = user_stack(intake, space, r, pcs); i > 0; i--) {
        stack = prof_stack_of(intake->raw, stack, frame_of(intake, space, pcs[i - 1]));
    }
    for (size_t i = r->kernel_count; i > 0; i--) {
        prof_frame frame = {.module = PROF_KERNEL_MODULE,
                            .address = r->kernel[i - 1] - (i > 1 ? 1 : 0),
                            .flags = PROF_FRAME_KERNEL};
        stack = prof_stack_of(intake->raw, stack, prof_frame_of(intake->raw, &frame));
    }
    return stack != 0 ? stack : unseen(intake);
}

static void take_sample(prof_intake *intake, const prof_record *r)
{
    if (r->pid == 0) {
        return; /* a processor without work */
    }
    prof_wait *w = wait_of(intake, r->pid, r->tid);
    if (w == NULL) {
        return;
    }
    uint32_t stack = stack_of(intake, r);
    uint32_t thread = w->thread;
    if (r->kind == PROF_RECORD_SWITCH_SAMPLE) {
        w->stack = stack;
        w->has_stack = true;
        return;
    }
    intake->samples++;
    intake->sampled_ns += r->period;
    prof_sample_add(intake->raw, stack, thread, PROF_TYPE_SAMPLES, 1);
    prof_sample_add(intake->raw, stack, thread, PROF_TYPE_CPU, r->period);
    prof_event_add(intake->raw, &(prof_event){.time_ns = r->time_ns,
                                              .length_ns = r->period,
                                              .stack = stack,
                                              .thread = thread});
}

/* --- the rest ------------------------------------------------------------------------------- */

static void take_map(prof_intake *intake, const prof_record *r)
{
    prof_space *space = prof_space_of(&intake->spaces, r->pid);
    if (space != NULL) {
        prof_space_map(&intake->spaces, space,
                       &(prof_mapping){.start = r->start,
                                       .size = r->size,
                                       .offset = r->offset,
                                       .device = r->device,
                                       .inode = r->inode,
                                       .path = r->text});
    }
}

static void take_comm(prof_intake *intake, const prof_record *r)
{
    if (r->exec) {
        prof_space_exec(&intake->spaces, r->pid);
    }
    prof_wait *w = wait_of(intake, r->pid, r->tid);
    if (w != NULL) {
        w->thread = prof_thread_of(intake->raw, r->pid, r->tid, r->text);
    }
}

static void take_fork(prof_intake *intake, const prof_record *r)
{
    if (r->pid != r->parent_pid) {
        prof_space_fork(&intake->spaces, r->parent_pid, r->pid);
    }
    prof_wait *w = wait_of(intake, r->pid, r->tid);
    if (w != NULL) {
        w->since_ns = 0; /* a number that is used again */
        w->pid = r->pid;
    }
}

void prof_intake_record(void *ctx, const prof_record *r)
{
    prof_intake *intake = ctx;
    prof_wait *w;
    intake->first_ns = intake->first_ns == 0 ? r->time_ns : intake->first_ns;
    intake->last_ns = r->time_ns > intake->last_ns ? r->time_ns : intake->last_ns;
    switch (r->kind) {
    case PROF_RECORD_SAMPLE:
    case PROF_RECORD_SWITCH_SAMPLE: take_sample(intake, r); break;
    case PROF_RECORD_SWITCH_OUT:
        w = wait_of(intake, r->pid, r->tid);
        if (w != NULL) {
            wait_begins(w, r->time_ns, r->preempted);
        }
        break;
    case PROF_RECORD_SWITCH_IN:
        w = wait_of(intake, r->pid, r->tid);
        if (w != NULL) {
            wait_ends(intake, w, r->time_ns);
        }
        break;
    case PROF_RECORD_MAP: take_map(intake, r); break;
    case PROF_RECORD_COMM: take_comm(intake, r); break;
    case PROF_RECORD_FORK: take_fork(intake, r); break;
    case PROF_RECORD_EXIT:
        w = wait_of(intake, r->pid, r->tid);
        if (w != NULL) {
            wait_ends(intake, w, r->time_ns);
        }
        break;
    case PROF_RECORD_LOST: intake->lost += r->lost; break;
    }
}

void prof_intake_thread(prof_intake *intake, uint32_t pid, uint32_t tid, uint64_t now_ns)
{
    prof_wait *w = wait_of(intake, pid, tid);
    if (w != NULL && prof_is_blocked((pid_t)pid, (pid_t)tid)) {
        wait_begins(w, now_ns, false);
    }
}

void prof_intake_finish(prof_intake *intake, uint64_t now_ns)
{
    for (size_t i = 0; i < intake->waits.count; i++) {
        wait_ends(intake, &intake->waits.items[i], now_ns);
    }
}
