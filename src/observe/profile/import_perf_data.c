/*
 * import_perf_data.c -- perf.data: its records go the way of our own sampler's (intake.h).
 *
 * Stacks that were copied are unwound and addresses get names when the files they lie in are on this
 * machine, unchanged.  Addresses of the kernel get none: it is another boot's.
 *
 * Records are read with the fields that their event's attributes announce; a record that has no room
 * for them ends the reading.  Source: linux, tools/perf/Documentation/perf.data-file-format.txt and
 * perf_event_open(2).
 */
#include <linux/perf_event.h>
#include <sys/sysmacros.h>

#include "observe/profile/import.h"
#include "observe/profile/intake.h"
#include "observe/profile/resolve.h"
#include "observe/profile/session.h"

#include <string.h>

#include <zstd.h>

enum {
    ATTRS_MAX = 64,
    REGS_MAX = 64,
    COMPRESSED = 81,
    COMPRESSED2 = 83,
    FIRST_USER_RECORD = 64,
    PLAIN_BYTES = 1 << 20, /* of expanded records at a time; a record has less than 64 KiB */
};

#define EXPANDED_MAX (UINT64_C(8) << 30)

typedef struct attribute {
    uint64_t sample_type;
    uint64_t read_format;
    uint64_t regs_user;
    bool is_clock; /* periods are nanoseconds */
} attribute;

typedef struct data_file {
    prof_bytes bytes;
    brisk_errinfo *info;
    attribute attrs[ATTRS_MAX];
    uint32_t attr_count;
    prof_intake intake;
    prof_record record;
    uint64_t records;
    const brisk_alloc *alloc;
    ZSTD_DStream *stream; /* NULL: nothing was compressed yet */
    unsigned char *plain; /* PLAIN_BYTES, of which plain_size are the beginning of a record */
    size_t plain_size;
    uint64_t expanded;
    bool in_stream; /* what is read comes from it */
} data_file;

typedef struct cursor {
    const unsigned char *at;
    const unsigned char *end;
    bool bad;
} cursor;

static uint64_t take(cursor *c, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(c->end - c->at) < size) {
        c->bad = true;
        c->at = c->end;
        return 0;
    }
    memcpy(&value, c->at, size);
    c->at += size;
    return value;
}

static void skip(cursor *c, uint64_t size)
{
    if (size > (uint64_t)(c->end - c->at)) {
        c->bad = true;
        c->at = c->end;
    } else {
        c->at += size;
    }
}

static brisk_err damaged(const data_file *f, const char *what, uint64_t offset)
{
    return brisk_errinfo_set(f->info, BRISK_ERR_CORRUPT, "%s: %s at offset %llu", f->bytes.name,
                             what, (unsigned long long)offset);
}

/* --- head ----------------------------------------------------------------------------------- */

static bool inside(const data_file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->bytes.size && size <= f->bytes.size - offset;
}

static bool is_clock(const struct perf_event_attr *attr)
{
    return attr->type == PERF_TYPE_SOFTWARE &&
           (attr->config == PERF_COUNT_SW_CPU_CLOCK || attr->config == PERF_COUNT_SW_TASK_CLOCK);
}

static brisk_err read_attrs(data_file *f, uint64_t offset, uint64_t size, uint64_t each)
{
    if (each < 64 + 16 || !inside(f, offset, size) || size / each == 0) {
        return damaged(f, "damaged attributes", offset);
    }
    for (uint64_t i = 0; i < size / each && f->attr_count < ATTRS_MAX; i++) {
        struct perf_event_attr attr = {0};
        size_t have = (size_t)(each - 16) < sizeof attr ? (size_t)(each - 16) : sizeof attr;
        memcpy(&attr, f->bytes.data + offset + i * each, have);
        f->attrs[f->attr_count++] = (attribute){.sample_type = attr.sample_type,
                                                .read_format = attr.read_format,
                                                .regs_user = attr.sample_regs_user,
                                                .is_clock = is_clock(&attr)};
    }
    for (uint32_t i = 1; i < f->attr_count; i++) {
        if (f->attrs[i].sample_type != f->attrs[0].sample_type) {
            return brisk_errinfo_set(f->info, BRISK_ERR_UNSUPPORTED,
                                     "%s: its events have different fields; record one at a time",
                                     f->bytes.name);
        }
    }
    return BRISK_OK;
}

/* --- samples -------------------------------------------------------------------------------- */

static void read_chain(cursor *c, prof_record *r)
{
    uint64_t count = take(c, 8);
    bool kernel = false;
    if (count > (uint64_t)(c->end - c->at) / 8) {
        c->bad = true;
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t ip = take(c, 8);
        if (ip >= PERF_CONTEXT_MAX) {
            kernel = ip == PERF_CONTEXT_KERNEL;
        } else if (kernel && r->kernel_count < PROF_CHAIN_MAX) {
            r->kernel[r->kernel_count++] = ip;
        } else if (!kernel && r->user_count < PROF_CHAIN_MAX) {
            r->user[r->user_count] = r->user_count > 0 && ip > 0 ? ip - 1 : ip;
            r->user_count++;
        }
    }
}

static void skip_read(cursor *c, uint64_t format)
{
    uint64_t each = 8 + ((format & PERF_FORMAT_ID) != 0 ? 8U : 0U) +
                    ((format & PERF_FORMAT_LOST) != 0 ? 8U : 0U);
    uint64_t times = ((format & PERF_FORMAT_TOTAL_TIME_ENABLED) != 0 ? 8U : 0U) +
                     ((format & PERF_FORMAT_TOTAL_TIME_RUNNING) != 0 ? 8U : 0U);
    if ((format & PERF_FORMAT_GROUP) == 0) {
        skip(c, each + times);
        return;
    }
    uint64_t count = take(c, 8);
    skip(c, times);
    skip(c, count <= (uint64_t)(c->end - c->at) / each ? count * each : UINT64_MAX);
}

static void read_regs(cursor *c, uint64_t mask, prof_record *r)
{
    if (take(c, 8) == PERF_SAMPLE_REGS_ABI_NONE) {
        return;
    }
    for (uint32_t reg = 0; reg < REGS_MAX; reg++) {
        if ((mask >> reg & 1) != 0) {
            uint64_t value = take(c, 8);
            r->bp = reg == 6 ? value : r->bp;
            r->sp = reg == 7 ? value : r->sp;
            r->ip = reg == 8 ? value : r->ip;
        }
    }
    r->has_regs = !c->bad && (mask >> 6 & 7) == 7;
}

static void read_stack(cursor *c, prof_record *r)
{
    uint64_t size = take(c, 8);
    if (size == 0 || size > (uint64_t)(c->end - c->at)) {
        c->bad = c->bad || size != 0;
        return;
    }
    r->stack = c->at;
    c->at += size;
    uint64_t filled = take(c, 8);
    r->stack_size = (size_t)(filled < size ? filled : size);
}

static bool read_sample(data_file *f, cursor c)
{
    const attribute *a = &f->attrs[0];
    prof_record *r = &f->record;
    uint64_t type = a->sample_type;
    uint64_t ip = 0;
    r->kind = PROF_RECORD_SAMPLE;
    r->period = 1;
    skip(&c, (type & PERF_SAMPLE_IDENTIFIER) != 0 ? 8 : 0);
    ip = (type & PERF_SAMPLE_IP) != 0 ? take(&c, 8) : 0;
    if ((type & PERF_SAMPLE_TID) != 0) {
        r->pid = (uint32_t)take(&c, 4);
        r->tid = (uint32_t)take(&c, 4);
    }
    r->time_ns = (type & PERF_SAMPLE_TIME) != 0 ? take(&c, 8) : 0;
    skip(&c, (type & PERF_SAMPLE_ADDR) != 0 ? 8 : 0);
    skip(&c, (type & PERF_SAMPLE_ID) != 0 ? 8 : 0);
    skip(&c, (type & PERF_SAMPLE_STREAM_ID) != 0 ? 8 : 0);
    skip(&c, (type & PERF_SAMPLE_CPU) != 0 ? 8 : 0);
    r->period = (type & PERF_SAMPLE_PERIOD) != 0 ? take(&c, 8) : 1;
    if ((type & PERF_SAMPLE_READ) != 0) {
        skip_read(&c, a->read_format);
    }
    if ((type & PERF_SAMPLE_CALLCHAIN) != 0) {
        read_chain(&c, r);
    } else {
        r->user[0] = ip;
        r->user_count = 1;
    }
    if ((type & PERF_SAMPLE_RAW) != 0) {
        skip(&c, take(&c, 4));
    }
    if ((type & PERF_SAMPLE_BRANCH_STACK) != 0) {
        return !c.bad; /* whose size depends on more; stacks behind it are not read */
    }
    if ((type & PERF_SAMPLE_REGS_USER) != 0) {
        read_regs(&c, a->regs_user, r);
    }
    if ((type & PERF_SAMPLE_STACK_USER) != 0) {
        read_stack(&c, r);
    }
    return !c.bad;
}

/* --- other records -------------------------------------------------------------------------- */

static const char *read_text(cursor *c)
{
    if (c->bad || memchr(c->at, '\0', (size_t)(c->end - c->at)) == NULL) {
        c->bad = true;
        return "";
    }
    return (const char *)c->at;
}

static bool read_map(data_file *f, cursor c, const struct perf_event_header *head)
{
    prof_record *r = &f->record;
    r->kind = PROF_RECORD_MAP;
    r->pid = (uint32_t)take(&c, 4);
    r->tid = (uint32_t)take(&c, 4);
    r->start = take(&c, 8);
    r->size = take(&c, 8);
    r->offset = take(&c, 8);
    r->device = 0;
    r->inode = 0;
    if (head->type == PERF_RECORD_MMAP2) {
        if ((head->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) != 0) {
            skip(&c, 24);
        } else {
            uint32_t major_of = (uint32_t)take(&c, 4);
            r->device = makedev(major_of, (uint32_t)take(&c, 4));
            r->inode = take(&c, 8);
            skip(&c, 8);
        }
        skip(&c, 8);
    }
    r->text = read_text(&c);
    bool kernel = (head->misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL;
    return !c.bad && !kernel && r->pid != UINT32_MAX;
}

/* True: f->record is one for the intake. */
static bool read_record(data_file *f, cursor c, const struct perf_event_header *head)
{
    prof_record *r = &f->record;
    r->kernel_count = 0;
    r->user_count = 0;
    r->has_regs = false;
    r->stack_size = 0;
    r->time_ns = 0;
    switch (head->type) {
    case PERF_RECORD_SAMPLE: return read_sample(f, c);
    case PERF_RECORD_MMAP:
    case PERF_RECORD_MMAP2: return read_map(f, c, head);
    case PERF_RECORD_COMM:
        r->kind = PROF_RECORD_COMM;
        r->exec = (head->misc & PERF_RECORD_MISC_COMM_EXEC) != 0;
        r->pid = (uint32_t)take(&c, 4);
        r->tid = (uint32_t)take(&c, 4);
        r->text = read_text(&c);
        return !c.bad;
    case PERF_RECORD_FORK:
        r->kind = PROF_RECORD_FORK;
        r->pid = (uint32_t)take(&c, 4);
        r->parent_pid = (uint32_t)take(&c, 4);
        r->tid = (uint32_t)take(&c, 4);
        return !c.bad;
    case PERF_RECORD_LOST:
        r->kind = PROF_RECORD_LOST;
        skip(&c, 8);
        r->lost = take(&c, 8);
        return !c.bad;
    default: return false;
    }
}

/* --- compressed records (perf record -z) ---------------------------------------------------- */

/*
 * The records of all COMPRESSED ones are one stream of zstd, cut anywhere: what does not end in one goes on in the next.
 * A piece at a time is expanded behind the beginning of a record that is left over, and its whole records are read.
 */
static brisk_err read_plain(data_file *f, const unsigned char *data, size_t size, uint64_t base,
                            size_t *used);

static brisk_err need_stream(data_file *f)
{
    if (f->stream == NULL) {
        f->stream = ZSTD_createDStream();
        f->plain = f->alloc->acquire(f->alloc->ctx, PLAIN_BYTES, 8);
    }
    return f->stream != NULL && f->plain != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static brisk_err read_compressed(data_file *f, cursor c, uint64_t offset)
{
    ZSTD_inBuffer in = {.src = c.at, .size = (size_t)(c.end - c.at)};
    brisk_err err = need_stream(f);
    bool more = true;
    while (err == BRISK_OK && more) {
        ZSTD_outBuffer out = {.dst = f->plain, .size = PLAIN_BYTES, .pos = f->plain_size};
        size_t got = ZSTD_decompressStream(f->stream, &out, &in);
        if (ZSTD_isError(got)) {
            return damaged(f, "zstd that does not expand", offset);
        }
        f->expanded += out.pos - f->plain_size;
        if (f->expanded > EXPANDED_MAX) {
            return brisk_errinfo_set(f->info, BRISK_ERR_LIMIT, "%s: more than 8 GiB expanded",
                                     f->bytes.name);
        }
        more = in.pos < in.size || out.pos == out.size; /* a full piece may have more behind it */
        size_t used = 0;
        f->in_stream = true;
        err = read_plain(f, f->plain, out.pos, offset, &used);
        f->in_stream = false;
        f->plain_size = out.pos - used;
        memmove(f->plain, f->plain + used, f->plain_size);
    }
    return err;
}

/* --- all records ---------------------------------------------------------------------------- */

static brisk_err read_one(data_file *f, cursor c, const struct perf_event_header *head,
                          uint64_t offset)
{
    bool compressed = head->type == COMPRESSED || head->type == COMPRESSED2;
    if (compressed && f->in_stream) {
        return damaged(f, "a compressed record in a compressed one", offset);
    }
    if (head->type == COMPRESSED2) { /* padded: its real size comes first */
        uint64_t size = take(&c, 8);
        if (size > (uint64_t)(c.end - c.at)) {
            return damaged(f, "a compressed record that is too long", offset);
        }
        c.end = c.at + size;
    }
    if (compressed) {
        return read_compressed(f, c, offset);
    }
    if (head->type < FIRST_USER_RECORD && read_record(f, c, head)) {
        prof_intake_record(&f->intake, &f->record);
    }
    return BRISK_OK;
}

/* Whole records; *used is where the first one begins that is not. */
static brisk_err read_plain(data_file *f, const unsigned char *data, size_t size, uint64_t base,
                            size_t *used)
{
    size_t at = 0;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK) {
        struct perf_event_header head;
        uint64_t offset = f->in_stream ? base : base + at;
        if (size - at < sizeof head) {
            break;
        }
        memcpy(&head, data + at, sizeof head);
        if (head.size < sizeof head) {
            return damaged(f, "a record that is too short", offset);
        }
        if (head.size > size - at) {
            break;
        }
        cursor c = {.at = data + at + sizeof head, .end = data + at + head.size};
        err = read_one(f, c, &head, offset);
        at += head.size;
    }
    *used = at;
    return err;
}

static brisk_err read_records(data_file *f, uint64_t offset, uint64_t size)
{
    if (!inside(f, offset, size)) {
        return damaged(f, "the data end before their size", offset);
    }
    size_t used = 0;
    brisk_err err = read_plain(f, f->bytes.data + offset, (size_t)size, offset, &used);
    if (err == BRISK_OK && used != size) {
        return damaged(f, "a record that is too long", offset + used);
    }
    if (err == BRISK_OK && f->plain_size != 0) {
        return damaged(f, "half of a compressed record at the end", offset + size);
    }
    return err;
}

static brisk_err read_file(data_file *f)
{
    cursor c = {.at = f->bytes.data + 8, .end = f->bytes.data + f->bytes.size};
    uint64_t head_size = take(&c, 8);
    if (head_size == 16) {
        return brisk_errinfo_set(
            f->info, BRISK_ERR_UNSUPPORTED,
            "%s: written to a pipe (perf record -o -), which is another format; record "
            "to a file with -o FILE, or give `perf script -i FILE`'s output",
            f->bytes.name);
    }
    uint64_t each = take(&c, 8);
    uint64_t attrs_at = take(&c, 8);
    uint64_t attrs_size = take(&c, 8);
    uint64_t data_at = take(&c, 8);
    uint64_t data_size = take(&c, 8);
    if (c.bad || head_size < 0x68) {
        return damaged(f, "no head", 8);
    }
    brisk_err err = read_attrs(f, attrs_at, attrs_size, each);
    return err == BRISK_OK ? read_records(f, data_at, data_size) : err;
}

static void fill_meta(const data_file *f, prof_model *model)
{
    model->meta.samples = f->intake.samples;
    model->meta.lost = f->intake.lost;
    model->meta.default_type = PROF_TYPE_CPU;
    model->meta.duration_ns = f->intake.last_ns - f->intake.first_ns;
    model->type_count = PROF_TYPE_CPU + 1; /* what others are for was not recorded */
    if (!f->attrs[0].is_clock) {
        model->types[PROF_TYPE_CPU] =
            (prof_type){prof_text_of(model, "events"), prof_text_of(model, "count")};
    }
}

brisk_err prof_import_perf_data(prof_bytes bytes, bool files, const brisk_alloc *alloc,
                                prof_model **ret, brisk_errinfo *info)
{
    alloc = alloc != NULL ? alloc : brisk_alloc_libc();
    data_file *f = alloc->acquire(alloc->ctx, sizeof *f, _Alignof(data_file));
    if (f == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(f, 0, sizeof *f);
    f->bytes = bytes;
    f->info = info;
    f->alloc = alloc;
    brisk_err err = prof_intake_init(&f->intake, alloc);
    if (err == BRISK_OK) {
        f->intake.offline = true;
        f->intake.spaces.offline = true;
        f->intake.spaces.no_files = !files;
        err = read_file(f);
        if (err == BRISK_OK) {
            err = prof_model_err(f->intake.raw);
        }
        if (err == BRISK_OK) {
            err =
                prof_resolve(&f->intake, &(prof_resolve_opts){.scale = 1.0, .offline = true}, ret);
        }
        if (err == BRISK_OK) {
            fill_meta(f, *ret);
        }
        prof_intake_deinit(&f->intake);
    }
    (void)ZSTD_freeDStream(f->stream);
    if (f->plain != NULL) {
        alloc->release(alloc->ctx, f->plain, PLAIN_BYTES, 8);
    }
    alloc->release(alloc->ctx, f, sizeof *f, _Alignof(data_file));
    return err;
}
