/*
 * perf_record.c -- takes records apart; every read is held against the record's size.
 *
 * Records that are no samples end in { pid, tid; time; identifier }, because of sample_id_all.
 */
#include "observe/profile/perf_record.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "base/vec.h"

enum { TRAILER = 24 }; /* pid, tid, time, identifier */

typedef struct cursor {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
} cursor;

static uint64_t take64(cursor *c)
{
    uint64_t value = 0;
    if ((size_t)(c->end - c->at) < sizeof value) {
        c->bad = true;
        return 0;
    }
    memcpy(&value, c->at, sizeof value);
    c->at += sizeof value;
    return value;
}

static uint32_t take32(cursor *c)
{
    uint32_t value = 0;
    if ((size_t)(c->end - c->at) < sizeof value) {
        c->bad = true;
        return 0;
    }
    memcpy(&value, c->at, sizeof value);
    c->at += sizeof value;
    return value;
}

/* A text that ends in NUL before the trailer. */
static const char *take_text(cursor *c)
{
    const char *text = (const char *)c->at;
    if (c->bad || memchr(c->at, '\0', (size_t)(c->end - c->at)) == NULL) {
        c->bad = true;
        return "";
    }
    return text;
}

bool prof_record_ids_add(prof_record_ids *ids, const brisk_alloc *alloc, uint64_t id)
{
    if (ids->count == ids->capacity) {
        void *items = brisk_vec_grow_raw(alloc, ids->ids, &ids->capacity, ids->count + 1,
                                         (brisk_vec_layout){sizeof id, _Alignof(uint64_t)});
        if (items == NULL) {
            return false;
        }
        ids->ids = items;
    }
    ids->ids[ids->count++] = id;
    return true;
}

void prof_record_ids_deinit(prof_record_ids *ids, const brisk_alloc *alloc)
{
    if (ids->ids != NULL) {
        alloc->release(alloc->ctx, ids->ids, ids->capacity * sizeof *ids->ids, _Alignof(uint64_t));
    }
    *ids = (prof_record_ids){0};
}

static bool is_switch(const prof_record_ids *ids, uint64_t id)
{
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->ids[i] == id) {
            return true;
        }
    }
    return false;
}

uint64_t prof_record_time(const unsigned char *bytes, size_t size)
{
    struct perf_event_header head;
    uint64_t time = 0;
    memcpy(&head, bytes, sizeof head);
    if (head.type == PERF_RECORD_SAMPLE) { /* identifier, ip, pid and tid, time */
        if (size >= sizeof head + 32) {
            memcpy(&time, bytes + sizeof head + 24, sizeof time);
        }
    } else if (size >= sizeof head + TRAILER) {
        memcpy(&time, bytes + size - 16, sizeof time);
    }
    return time;
}

/* Addresses between markers that say in whose code they lie. */
static void read_chain(cursor *c, prof_record *ret)
{
    uint64_t count = take64(c);
    bool kernel = false;
    if (count > (uint64_t)(c->end - c->at) / 8) {
        c->bad = true;
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t ip = take64(c);
        if (ip >= PERF_CONTEXT_MAX) {
            kernel = ip == PERF_CONTEXT_KERNEL;
        } else if (kernel && ret->kernel_count < PROF_CHAIN_MAX) {
            ret->kernel[ret->kernel_count++] = ip;
        } else if (!kernel && ret->user_count < PROF_CHAIN_MAX) {
            ret->user[ret->user_count] = ret->user_count > 0 && ip > 0 ? ip - 1 : ip;
            ret->user_count++;
        }
    }
}

static void read_stack(cursor *c, prof_record *ret)
{
    if (c->at == c->end) {
        return; /* not asked for */
    }
    if (take64(c) != PERF_SAMPLE_REGS_ABI_NONE) {
        ret->bp = take64(c);
        ret->sp = take64(c);
        ret->ip = take64(c);
        ret->has_regs = !c->bad;
    }
    uint64_t size = take64(c);
    if (size == 0 || c->bad) {
        return;
    }
    if (size > (uint64_t)(c->end - c->at)) {
        c->bad = true;
        return;
    }
    ret->stack = c->at;
    c->at += size;
    uint64_t filled = take64(c);
    ret->stack_size = (size_t)(filled < size ? filled : size);
}

static bool read_sample(cursor c, const prof_record_ids *ids, prof_record *ret)
{
    uint64_t id = take64(&c);
    (void)take64(&c); /* ip is the first of the chain */
    ret->pid = take32(&c);
    ret->tid = take32(&c);
    ret->time_ns = take64(&c);
    ret->period = take64(&c);
    read_chain(&c, ret);
    read_stack(&c, ret);
    ret->kind = is_switch(ids, id) ? PROF_RECORD_SWITCH_SAMPLE : PROF_RECORD_SAMPLE;
    return !c.bad;
}

static bool read_map(cursor c, const struct perf_event_header *head, prof_record *ret)
{
    ret->kind = PROF_RECORD_MAP;
    ret->pid = take32(&c);
    ret->tid = take32(&c);
    ret->start = take64(&c);
    ret->size = take64(&c);
    ret->offset = take64(&c);
    if ((head->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) != 0) {
        c.at += (c.end - c.at) >= 24 ? 24 : c.end - c.at;
    } else {
        uint32_t major_of = take32(&c);
        ret->device = makedev(major_of, take32(&c));
        ret->inode = take64(&c);
        (void)take64(&c); /* generation of the inode */
    }
    uint32_t protection = take32(&c);
    (void)take32(&c);
    ret->text = take_text(&c);
    return !c.bad && (protection & 4) != 0; /* only what can be executed */
}

static bool read_other(cursor c, const struct perf_event_header *head, prof_record *ret)
{
    switch (head->type) {
    case PERF_RECORD_COMM:
        ret->kind = PROF_RECORD_COMM;
        ret->exec = (head->misc & PERF_RECORD_MISC_COMM_EXEC) != 0;
        ret->pid = take32(&c);
        ret->tid = take32(&c);
        ret->text = take_text(&c);
        return !c.bad;
    case PERF_RECORD_FORK:
    case PERF_RECORD_EXIT:
        ret->kind = head->type == PERF_RECORD_FORK ? PROF_RECORD_FORK : PROF_RECORD_EXIT;
        ret->pid = take32(&c);
        ret->parent_pid = take32(&c);
        ret->tid = take32(&c);
        return !c.bad;
    case PERF_RECORD_LOST:
        ret->kind = PROF_RECORD_LOST;
        (void)take64(&c);
        ret->lost = take64(&c);
        return !c.bad;
    case PERF_RECORD_LOST_SAMPLES:
        ret->kind = PROF_RECORD_LOST;
        ret->lost = take64(&c);
        return !c.bad;
    case PERF_RECORD_SWITCH:
        ret->kind = (head->misc & PERF_RECORD_MISC_SWITCH_OUT) != 0 ? PROF_RECORD_SWITCH_OUT
                                                                    : PROF_RECORD_SWITCH_IN;
        ret->preempted = (head->misc & PERF_RECORD_MISC_SWITCH_OUT_PREEMPT) != 0;
        return true;
    default: return false;
    }
}

bool prof_record_read(const unsigned char *bytes, size_t size, const prof_record_ids *ids,
                      prof_record *ret)
{
    struct perf_event_header head;
    if (size < sizeof head) {
        return false;
    }
    memcpy(&head, bytes, sizeof head);
    cursor c = {.at = bytes + sizeof head, .end = bytes + size};
    ret->kernel_count = 0;
    ret->user_count = 0;
    ret->has_regs = false;
    ret->stack = NULL;
    ret->stack_size = 0;
    if (head.type == PERF_RECORD_SAMPLE) {
        return read_sample(c, ids, ret);
    }
    if (size < sizeof head + TRAILER) {
        return false;
    }
    c.end -= TRAILER;
    cursor trailer = {.at = c.end, .end = c.end + TRAILER};
    ret->pid = take32(&trailer);
    ret->tid = take32(&trailer);
    ret->time_ns = take64(&trailer);
    return head.type == PERF_RECORD_MMAP2 ? read_map(c, &head, ret) : read_other(c, &head, ret);
}
