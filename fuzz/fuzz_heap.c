/*
 * fuzz_heap.c -- any bytes as a sampled process's heap file.  The file is mostly holes, so the input is its parts one
 * behind the other: a byte of flags, the head, then stacks, frames, live blocks and mappings.  Flag 1: the input is the
 * file as it is, however short.  Oracle: what is read keeps to read.h's bounds, and a view of it to the model's.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "observe/heap/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(int fd, const uint8_t **data, size_t *size, size_t want, uint64_t at)
{
    size_t piece = want < *size ? want : *size;
    BRISK_ASSERT(pwrite(fd, *data, piece, (off_t)at) == (ssize_t)piece);
    *data += piece;
    *size -= piece;
}

static void lay_out(int fd, const uint8_t *data, size_t size)
{
    heap_head head = {.pid = 0};
    memcpy(&head, data, size < sizeof head ? size : sizeof head);
    BRISK_ASSERT(ftruncate(fd, (off_t)HEAP_FILE_SIZE) == 0);
    put(fd, &data, &size, sizeof head, 0);
    put(fd, &data, &size, (head.stack_count % 64) * sizeof(heap_stack), HEAP_STACKS_AT);
    put(fd, &data, &size, (head.frame_count % 256) * sizeof(uint64_t), HEAP_FRAMES_AT);
    put(fd, &data, &size, (head.spare % 64) * sizeof(heap_live), HEAP_LIVE_AT);
    put(fd, &data, &size, HEAP_MAPS_MAX, HEAP_MAPS_AT);
}

static void check(const heap_profile *p)
{
    BRISK_ASSERT(p->head.stack_count >= 1 && p->head.stack_count <= HEAP_STACKS_MAX);
    BRISK_ASSERT(memchr(p->head.command, '\0', sizeof p->head.command) != NULL);
    BRISK_ASSERT(p->head.now_ns >= p->head.start_ns);
    for (uint32_t i = 0; i < p->head.stack_count; i++) {
        BRISK_ASSERT((uint64_t)p->stacks[i].first + p->stacks[i].depth <= p->head.frame_count);
    }
    for (uint32_t i = 0; i < p->live_count; i++) {
        BRISK_ASSERT(p->live[i].stack < p->head.stack_count);
    }
    double error = heap_profile_error(p);
    BRISK_ASSERT(error >= 0 && error <= 1);
}

static void view(const heap_profile *p)
{
    heap_view v;
    brisk_err err = heap_view_make(p, &(heap_view_opts){.no_files = true}, &v);
    if (err != BRISK_OK) {
        return;
    }
    for (uint32_t i = 0; i < v.stack_count; i++) {
        BRISK_ASSERT(v.place_of[i] == PROF_NO_ID || v.place_of[i] < v.places.count);
        BRISK_ASSERT(v.nodes[i] < v.model->stacks.nodes.count);
    }
    heap_view_deinit(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    heap_profile p;
    if (size == 0) {
        return 0;
    }
    int fd = memfd_create("heap", MFD_CLOEXEC);
    BRISK_ASSERT(fd >= 0);
    if ((data[0] & 1) != 0) {
        BRISK_ASSERT(write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
    } else {
        lay_out(fd, data + 1, size - 1);
    }
    if (heap_profile_read(fd, &(heap_read_opts){.name = "input"}, &p, NULL) == BRISK_OK) {
        check(&p);
        view(&p);
        heap_profile_deinit(&p);
    }
    (void)close(fd);
    return 0;
}
