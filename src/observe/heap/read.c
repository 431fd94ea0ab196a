/*
 * read.c -- bounds first: counts of the head against the limits of the format, then every record against the counts.
 *
 * A file that its process writes to meanwhile may be a little ahead of itself: such records are set right, not
 * errors.  A sum that went below zero that way is 0.
 */
#include "observe/heap/read.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>

enum { LIVE_ENTRIES = HEAP_SHARDS * HEAP_SHARD_ENTRIES };

static brisk_err read_part(int fd, const char *name, void *to, size_t size, uint64_t at,
                           brisk_errinfo *info)
{
    brisk_err err = brisk_file_pread_all(fd, to, size, at);
    if (err == BRISK_ERR_CORRUPT) {
        return brisk_errinfo_set(info, err, "%s: ends before byte %" PRIu64, name, at + size);
    }
    return err == BRISK_OK ? err : brisk_errinfo_set_errno(info, errno, "%s", name);
}

static void *get(const brisk_alloc *alloc, size_t size)
{
    return alloc->acquire(alloc->ctx, size > 0 ? size : 1, 16);
}

static void give(const brisk_alloc *alloc, void *ptr, size_t size)
{
    if (ptr != NULL) {
        alloc->release(alloc->ctx, ptr, size > 0 ? size : 1, 16);
    }
}

/* Sums that went below zero or are nonsense. */
static void settle(heap_profile *p, uint64_t *sum)
{
    if (*sum > INT64_MAX / 2) {
        *sum = 0;
        p->bad++;
    }
}

static brisk_err read_head(int fd, const char *name, heap_profile *p, brisk_errinfo *info)
{
    heap_head *h = &p->head;
    brisk_err err = read_part(fd, name, h, sizeof *h, 0, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (memcmp(h->magic, HEAP_MAGIC, sizeof h->magic) != 0) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: offset 0: no heap profile", name);
    }
    if (h->stack_count == 0 || h->stack_count > HEAP_STACKS_MAX ||
        h->frame_count > HEAP_FRAMES_MAX || h->map_bytes > HEAP_MAPS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT,
                                 "%s: offset %zu: %" PRIu32 " stacks, %" PRIu32 " frames, %" PRIu32
                                 " bytes of mappings: more than there can be",
                                 name, offsetof(heap_head, stack_count), h->stack_count,
                                 h->frame_count, h->map_bytes);
    }
    h->command[HEAP_COMMAND_MAX - 1] = '\0';
    uint64_t *sums[] = {&h->live_bytes,    &h->alloc_bytes, &h->peak_bytes, &h->lost_bytes,
                        &h->malloc_system, &h->malloc_used, &h->samples,    &h->lost_samples};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        settle(p, sums[i]);
    }
    if (h->now_ns < h->start_ns || h->now_ns - h->start_ns > INT64_MAX) {
        h->now_ns = h->start_ns;
        p->bad++;
    }
    if (h->peak_ns < h->start_ns || h->peak_ns > h->now_ns) {
        h->peak_ns = h->start_ns;
    }
    h->interval = h->interval == 0 || h->interval > 1U << 30 ? HEAP_INTERVAL_DEFAULT : h->interval;
    return BRISK_OK;
}

static brisk_err read_stacks(int fd, const char *name, heap_profile *p, brisk_errinfo *info)
{
    size_t size = p->head.stack_count * sizeof *p->stacks;
    p->stacks = get(p->alloc, size);
    if (p->stacks == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = read_part(fd, name, p->stacks, size, HEAP_STACKS_AT, info);
    for (uint32_t i = 0; err == BRISK_OK && i < p->head.stack_count; i++) {
        heap_stack *s = &p->stacks[i];
        uint64_t *sums[] = {&s->alloc_bytes, &s->alloc_blocks, &s->live_bytes, &s->live_blocks,
                            &s->peak_bytes};
        for (size_t k = 0; k < sizeof sums / sizeof *sums; k++) {
            settle(p, sums[k]);
        }
        if (s->depth > HEAP_DEPTH_MAX || s->first > p->head.frame_count ||
            s->depth > p->head.frame_count - s->first) {
            s->depth = 0;
            s->first = 0;
            p->bad++;
        }
    }
    return err;
}

static brisk_err read_live(int fd, const char *name, heap_profile *p, brisk_errinfo *info)
{
    p->live = get(p->alloc, LIVE_ENTRIES * sizeof *p->live);
    if (p->live == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err =
        read_part(fd, name, p->live, LIVE_ENTRIES * sizeof *p->live, HEAP_LIVE_AT, info);
    for (uint32_t i = 0; err == BRISK_OK && i < LIVE_ENTRIES; i++) {
        const heap_live *l = &p->live[i];
        if (l->address == 0) {
            continue;
        }
        if (l->stack >= p->head.stack_count || l->weight > INT64_MAX / 2 || l->weight < l->size) {
            p->bad++;
        } else {
            p->live[p->live_count++] = *l;
        }
    }
    return err;
}

static brisk_err read_rest(int fd, const char *name, heap_profile *p, brisk_errinfo *info)
{
    size_t size = p->head.frame_count * sizeof *p->frames;
    p->frames = get(p->alloc, size);
    p->maps = get(p->alloc, (size_t)p->head.map_bytes + 1);
    if (p->frames == NULL || p->maps == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = read_part(fd, name, p->frames, size, HEAP_FRAMES_AT, info);
    if (err == BRISK_OK) {
        err = read_part(fd, name, p->maps, p->head.map_bytes, HEAP_MAPS_AT, info);
        p->maps[p->head.map_bytes] = '\0';
    }
    return err == BRISK_OK ? read_live(fd, name, p, info) : err;
}

brisk_err heap_profile_read(int fd, const heap_read_opts *opts, heap_profile *ret,
                            brisk_errinfo *info)
{
    heap_profile p = {.alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc()};
    brisk_err err = read_head(fd, opts->name, &p, info);
    if (err == BRISK_OK) {
        err = read_stacks(fd, opts->name, &p, info);
    }
    if (err == BRISK_OK && !opts->sums_only) {
        err = read_rest(fd, opts->name, &p, info);
    }
    if (err != BRISK_OK) {
        heap_profile_deinit(&p);
        return err;
    }
    *ret = p;
    return BRISK_OK;
}

void heap_profile_deinit(heap_profile *p)
{
    if (p->alloc != NULL) {
        give(p->alloc, p->stacks, p->head.stack_count * sizeof *p->stacks);
        give(p->alloc, p->frames, p->head.frame_count * sizeof *p->frames);
        give(p->alloc, p->maps, (size_t)p->head.map_bytes + 1);
        give(p->alloc, p->live, LIVE_ENTRIES * sizeof *p->live);
    }
    *p = (heap_profile){0};
}

bool heap_profile_is(int fd)
{
    char magic[8];
    return pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
           memcmp(magic, HEAP_MAGIC, sizeof magic) == 0;
}

double heap_profile_error(const heap_profile *p)
{
    double variance = 0;
    double sum = 0;
    for (uint32_t i = 0; i < p->live_count; i++) {
        double weight = (double)p->live[i].weight;
        double chance = weight > 0 ? (double)p->live[i].size / weight : 1;
        variance += weight * weight * (1 - chance);
        sum += weight;
    }
    return sum > 0 ? sqrt(variance) / sum : 0;
}
