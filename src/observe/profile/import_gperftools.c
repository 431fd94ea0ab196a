/*
 * import_gperftools.c -- the binary CPU profile of gperftools: words of 64 bits.
 *
 *     0 3 0 PERIOD_US 0    then for each stack    COUNT DEPTH ADDRESS...    until    0 1 0
 *
 * Behind it stands the text of /proc/self/maps.  Addresses have no names: a frame is the module it
 * lies in and the address.  Source: gperftools, docs/cpuprofile-fileformat.html.
 */
#include <inttypes.h>

#include "observe/profile/lines.h"

enum { HEAD_WORDS = 5 };

typedef struct region {
    uint64_t start, end;
    uint32_t module;
} region;

typedef BRISK_VEC(region) regions;

static uint64_t word_at(prof_bytes b, size_t index)
{
    uint64_t word;
    memcpy(&word, b.data + index * sizeof word, sizeof word);
    return word;
}

/* Where the list of stacks ends, in words; 0: it does not. */
static size_t end_of_stacks(prof_bytes b)
{
    size_t words = b.size / 8;
    for (size_t at = HEAD_WORDS; words - at >= 3;) {
        uint64_t count = word_at(b, at);
        uint64_t depth = word_at(b, at + 1);
        if (count == 0 && depth == 1 && word_at(b, at + 2) == 0) {
            return at + 3;
        }
        if (depth == 0 || depth > words - at - 2) {
            return 0;
        }
        at += 2 + (size_t)depth;
        if (at > words) {
            return 0;
        }
    }
    return 0;
}

static void read_maps(prof_bytes text, prof_model *model, regions *ret)
{
    prof_lines lines = prof_lines_of(text);
    prof_piece line;
    while (prof_lines_next(&lines, &line)) {
        char copy[1024];
        region r;
        int path = 0;
        char rights[8];
        (void)snprintf(copy, sizeof copy, "%.*s", (int)(line.size < 1023 ? line.size : 1023),
                       line.text);
        if (sscanf(copy, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %n", &r.start, &r.end, rights,
                   &path) == 3 &&
            path > 0 && strchr(rights, 'x') != NULL && ret->count < 65536) {
            r.module = prof_text_of(model, copy + path);
            if (!BRISK_VEC_PUSH(ret, r)) {
                model->err = BRISK_ERR_NOMEM;
            }
        }
    }
}

static uint32_t frame_of(prof_model *model, const regions *all, uint64_t address)
{
    prof_frame frame = {.flags = PROF_FRAME_UNKNOWN, .address = address};
    char name[1100] = "[unknown]";
    for (size_t i = 0; i < all->count; i++) {
        if (address >= all->items[i].start && address < all->items[i].end) {
            const char *path = prof_text(model, all->items[i].module);
            const char *slash = strrchr(path, '/');
            frame.module = all->items[i].module;
            (void)snprintf(name, sizeof name, path[0] == '[' ? "%s" : "[%s]",
                           slash != NULL ? slash + 1 : path);
            break;
        }
    }
    frame.name = prof_text_of(model, name);
    return prof_frame_of(model, &frame);
}

brisk_err prof_import_gperftools(prof_bytes bytes, prof_model *model, brisk_errinfo *info)
{
    size_t end = end_of_stacks(bytes);
    if (end == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: the list of stacks has no end",
                                 bytes.name);
    }
    regions maps = BRISK_VEC_INIT(model->alloc);
    read_maps((prof_bytes){bytes.data + end * 8, bytes.size - end * 8, bytes.name}, model, &maps);
    uint64_t period_ns = word_at(bytes, 3);
    period_ns = period_ns < UINT64_C(1000000000000) ? period_ns * 1000 : 0;
    uint32_t samples = prof_type_of(model, "samples", "count");
    uint32_t cpu = prof_type_of(model, "cpu", "nanoseconds");
    model->meta.default_type = cpu;
    model->meta.period = period_ns;
    for (size_t at = HEAD_WORDS; at + 3 < end && prof_model_err(model) == BRISK_OK;) {
        uint64_t count = word_at(bytes, at);
        size_t depth = (size_t)word_at(bytes, at + 1);
        uint32_t stack = 0;
        for (size_t i = depth; i > 0; i--) {
            stack = prof_stack_of(model, stack, frame_of(model, &maps, word_at(bytes, at + 1 + i)));
        }
        uint64_t ns;
        prof_sample_add(model, stack, 0, samples, count);
        prof_sample_add(model, stack, 0, cpu,
                        __builtin_mul_overflow(count, period_ns, &ns) ? UINT64_MAX : ns);
        model->meta.samples = prof_add(model->meta.samples, count);
        at += 2 + depth;
    }
    BRISK_VEC_DEINIT(&maps);
    return BRISK_OK;
}
