/*
 * io.c -- looking at /proc while a process runs, and summing up stacks by system call.
 */
#include "observe/profile/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/profile/report_words.h"
#include "observe/profile/session.h"

enum { TEXT_MAX = 1024 };

void prof_io_init(prof_io *io, const brisk_alloc *alloc, bool from_start)
{
    *io = (prof_io){.alloc = alloc, .from_start = from_start, .files = BRISK_VEC_INIT(alloc)};
}

void prof_io_deinit(prof_io *io)
{
    if (io->files.alloc != NULL) {
        BRISK_VEC_DEINIT(&io->files);
    }
}

/* --- looking -------------------------------------------------------------------------------- */

static bool read_small(const char *path, char text[TEXT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, text, TEXT_MAX - 1);
    (void)close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* The number behind "name:"; 0 when there is none. */
static uint64_t number_of(const char *text, const char *name, int base)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, base) : 0;
}

static void look_at_counts(prof_io *io, int32_t pid)
{
    char path[64];
    char text[TEXT_MAX];
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/io", pid);
    if (!read_small(path, text)) {
        return;
    }
    io->last = (prof_io_counts){.read_chars = number_of(text, "rchar:", 10),
                                .written_chars = number_of(text, "wchar:", 10),
                                .read_calls = number_of(text, "syscr:", 10),
                                .write_calls = number_of(text, "syscw:", 10),
                                .read_bytes = number_of(text, "\nread_bytes:", 10),
                                .written_bytes = number_of(text, "\nwrite_bytes:", 10)};
    if (!io->has_first) {
        io->has_first = true;
        io->first = io->from_start ? (prof_io_counts){0} : io->last;
    }
}

static prof_io_file *file_of(prof_io *io, int fd, const struct stat *st, bool *is_new)
{
    for (size_t i = 0; i < io->files.count; i++) {
        prof_io_file *f = &io->files.items[i];
        if (f->inode == st->st_ino && f->device == st->st_dev && f->fd == fd) {
            *is_new = !f->seen;
            return f;
        }
    }
    prof_io_file made = {.device = st->st_dev, .inode = st->st_ino, .fd = fd};
    if (io->files.count >= PROF_IO_FILES_MAX || !BRISK_VEC_PUSH(&io->files, made)) {
        io->err = BRISK_ERR_LIMIT;
        return NULL;
    }
    *is_new = true;
    return &io->files.items[io->files.count - 1];
}

static void look_at_file(prof_io *io, int32_t pid, int fd)
{
    char path[96];
    char text[TEXT_MAX];
    char target[256];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/fd/%d", pid, fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0 || target[0] != '/' || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return;
    }
    target[length] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/fdinfo/%d", pid, fd);
    if (!read_small(path, text)) {
        return;
    }
    bool is_new = false;
    prof_io_file *f = file_of(io, fd, &st, &is_new);
    if (f == NULL) {
        return;
    }
    uint64_t position = number_of(text, "pos:", 10);
    uint64_t flags = number_of(text, "flags:", 8);
    /* One that was opened since the last look began at 0, or at its end when it is appended to. */
    bool unknown = is_new && ((io->looks == 1 && !io->from_start) || (flags & O_APPEND) != 0);
    uint64_t before = is_new ? (unknown ? position : 0) : f->position;
    uint64_t moved = position > before ? position - before : 0;
    if ((flags & O_ACCMODE) == O_RDONLY) {
        f->read = prof_add(f->read, moved);
    } else {
        f->written = prof_add(f->written, moved);
    }
    f->position = position;
    f->last_look = io->looks;
    f->seen = true;
    memcpy(f->path, target, sizeof f->path);
}

void prof_io_look(void *ctx, int32_t pid)
{
    prof_io *io = ctx;
    char path[64];
    look_at_counts(io, pid);
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/fd", pid);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (size_t i = 0; i < io->files.count; i++) {
        io->files.items[i].seen = io->files.items[i].last_look == io->looks;
    }
    io->looks++;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && *end == '\0' && fd >= 0 && fd < INT32_MAX) {
            look_at_file(io, pid, (int)fd);
        }
    }
    (void)closedir(dir);
}

/* --- system calls --------------------------------------------------------------------------- */

typedef struct call {
    char name[32];
    uint64_t running;
    uint64_t blocked;
} call;

typedef struct calls {
    call items[PROF_IO_CALLS_MAX];
    uint32_t count;
} calls;

/* The system call that a stack of the kernel is in: its function "__x64_sys_read". */
static bool call_of(const prof_model *m, uint32_t stack, char name[32])
{
    static const char *const marks[] = {"__x64_sys_", "__arm64_sys_", "__se_sys_", "ksys_"};
    for (uint32_t node = stack; node != 0; node = m->stacks.nodes.items[node].parent) {
        const prof_frame *frame = &m->frames.items[m->stacks.nodes.items[node].frame];
        if ((frame->flags & PROF_FRAME_KERNEL) == 0) {
            return false;
        }
        const char *text = prof_text(m, frame->name);
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
            size_t length = strlen(marks[i]);
            if (strncmp(text, marks[i], length) == 0) {
                (void)snprintf(name, 32, "%s", text + length);
                return true;
            }
        }
    }
    return false;
}

/* Of files and sockets; waiting for a lock or a timer is no I/O. */
static bool is_io(const char *name)
{
    static const char *const parts[] = {
        "read",   "write",  "sync",    "open",      "close",    "stat",     "getdents", "send",
        "recv",   "accept", "connect", "fallocate", "truncate", "unlink",   "rename",   "copy_file",
        "splice", "mkdir",  "link",    "mmap",      "msync",    "io_uring", "poll",     "select"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_call(calls *all, const char *name, uint64_t running, uint64_t blocked)
{
    uint32_t i = 0;
    while (i < all->count && strcmp(all->items[i].name, name) != 0) {
        i++;
    }
    if (i == all->count) {
        if (i == PROF_IO_CALLS_MAX) {
            return;
        }
        all->items[all->count++] = (call){0};
        (void)snprintf(all->items[i].name, sizeof all->items[i].name, "%s", name);
    }
    all->items[i].running = prof_add(all->items[i].running, running);
    all->items[i].blocked = prof_add(all->items[i].blocked, blocked);
}

static int by_time(const void *a, const void *b)
{
    const call *x = a;
    const call *y = b;
    uint64_t tx = x->running + x->blocked;
    uint64_t ty = y->running + y->blocked;
    return tx != ty ? (tx > ty ? -1 : 1) : strcmp(x->name, y->name);
}

static void sum_calls(const prof_model *m, calls *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < m->samples.count; i++) {
        const prof_sample *s = &m->samples.items[i];
        char name[32];
        if (call_of(m, s->stack, name) && is_io(name)) {
            add_call(ret, name, s->values[PROF_TYPE_CPU], s->values[PROF_TYPE_OFF_CPU]);
        }
    }
    qsort(ret->items, ret->count, sizeof ret->items[0], by_time);
}

/* --- telling -------------------------------------------------------------------------------- */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static prof_io_counts counts_of(const prof_io *io)
{
    const prof_io_counts *a = &io->first;
    const prof_io_counts *b = &io->last;
    return (prof_io_counts){.read_chars = less(b->read_chars, a->read_chars),
                            .written_chars = less(b->written_chars, a->written_chars),
                            .read_calls = less(b->read_calls, a->read_calls),
                            .write_calls = less(b->write_calls, a->write_calls),
                            .read_bytes = less(b->read_bytes, a->read_bytes),
                            .written_bytes = less(b->written_bytes, a->written_bytes)};
}

brisk_err prof_io_text(const prof_io *io, const prof_model *model, FILE *out)
{
    calls all;
    char text[4][32];
    char shown[PROF_SHOWN_MAX];
    prof_io_counts c = counts_of(io);
    uint64_t read = 0;
    uint64_t written = 0;
    sum_calls(model, &all);
    (void)fprintf(out,
                  "\nI/O: read %s in %" PRIu64 " calls, wrote %s in %" PRIu64
                  " calls; from devices %s, to devices %s\n",
                  prof_amount(c.read_chars, "bytes", text[0]), c.read_calls,
                  prof_amount(c.written_chars, "bytes", text[1]), c.write_calls,
                  prof_amount(c.read_bytes, "bytes", text[2]),
                  prof_amount(c.written_bytes, "bytes", text[3]));
    (void)fprintf(out, "%12s %12s  %s\n", "blocked", "running", "system call");
    for (uint32_t i = 0; i < all.count; i++) {
        (void)fprintf(out, "%12s %12s  %s\n",
                      prof_amount(all.items[i].blocked, "nanoseconds", text[0]),
                      prof_amount(all.items[i].running, "nanoseconds", text[1]), all.items[i].name);
    }
    (void)fprintf(out, "%12s %12s  %s\n", "read", "written", "file");
    for (size_t i = 0; i < io->files.count; i++) {
        const prof_io_file *f = &io->files.items[i];
        if (f->read + f->written > 0) {
            (void)fprintf(out, "%12s %12s  %s\n", prof_amount(f->read, "bytes", text[0]),
                          prof_amount(f->written, "bytes", text[1]), prof_shown(f->path, shown));
        }
        read = prof_add(read, f->read);
        written = prof_add(written, f->written);
    }
    (void)fprintf(
        out, "%12s %12s  elsewhere (pipes, sockets, files that were open for less than %d ms)\n",
        prof_amount(less(c.read_chars, read), "bytes", text[0]),
        prof_amount(less(c.written_chars, written), "bytes", text[1]), PROF_IO_TICK_MS);
    return ferror(out) ? BRISK_ERR_IO : BRISK_OK;
}

void prof_io_json(const prof_io *io, const prof_model *model, brisk_json *json)
{
    calls all;
    prof_io_counts c = counts_of(io);
    sum_calls(model, &all);
    brisk_json_object_begin(json, "io");
    brisk_json_u64(json, "read_bytes", c.read_chars);
    brisk_json_u64(json, "read_calls", c.read_calls);
    brisk_json_u64(json, "written_bytes", c.written_chars);
    brisk_json_u64(json, "write_calls", c.write_calls);
    brisk_json_u64(json, "device_read_bytes", c.read_bytes);
    brisk_json_u64(json, "device_written_bytes", c.written_bytes);
    brisk_json_array_begin(json, "calls");
    for (uint32_t i = 0; i < all.count; i++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_str(json, "name", all.items[i].name);
        brisk_json_double(json, "blocked_seconds", (double)all.items[i].blocked / 1e9);
        brisk_json_double(json, "running_seconds", (double)all.items[i].running / 1e9);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "files");
    for (size_t i = 0; i < io->files.count; i++) {
        const prof_io_file *f = &io->files.items[i];
        if (f->read + f->written > 0) {
            brisk_json_object_begin(json, NULL);
            brisk_json_str(json, "path", f->path);
            brisk_json_u64(json, "read_bytes", f->read);
            brisk_json_u64(json, "written_bytes", f->written);
            brisk_json_object_end(json);
        }
    }
    brisk_json_array_end(json);
    brisk_json_object_end(json);
}
