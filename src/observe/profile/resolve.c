/*
 * resolve.c -- each address once: its module's symbols, then its DWARF, then the stacks again with
 * the names in place of addresses.
 *
 * An address may become several frames: the function that is there and those that were inlined
 * into it.  `lists` holds them innermost first, linked from `first[frame]`.
 */
#include "observe/profile/resolve.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "observe/profile/dwarf_lines.h"
#include "observe/profile/session.h"
#include "observe/profile/symbols.h"

typedef struct chain_item {
    uint32_t frame; /* of the new model */
    uint32_t next;  /* outwards; PROF_NO_ID: the last */
} chain_item;

typedef struct resolver {
    prof_intake *intake;
    const prof_resolve_opts *opts;
    prof_model *model;
    const brisk_alloc *alloc;
    uint32_t *first; /* for each frame of the raw model */
    uint32_t *last;
    size_t frame_count;
    BRISK_VEC(chain_item) lists;
    BRISK_VEC(uint32_t) frames;    /* of the module in work, raw */
    BRISK_VEC(uint64_t) addresses; /* theirs */
    const prof_symbols *symbols;   /* of the module in work, or NULL */
    uint32_t module_name;
    uint32_t flags;
} resolver;

static void append(resolver *r, uint32_t raw, const prof_frame *frame)
{
    chain_item item = {.frame = prof_frame_of(r->model, frame), .next = PROF_NO_ID};
    uint32_t at = (uint32_t)r->lists.count;
    if (!BRISK_VEC_PUSH(&r->lists, item)) {
        r->model->err = BRISK_ERR_NOMEM;
        return;
    }
    if (r->first[raw] == PROF_NO_ID) {
        r->first[raw] = at;
    } else {
        r->lists.items[r->last[raw]].next = at;
    }
    r->last[raw] = at;
}

static uint32_t plain_name(resolver *r, const char *name)
{
    char text[PROF_NAME_MAX];
    return prof_text_of(r->model, prof_demangle(name, text, sizeof text));
}

/* The name in the table of symbols; 0: none. */
static uint32_t symbol_name(resolver *r, uint64_t address)
{
    size_t size = 0;
    const char *found = r->symbols != NULL ? prof_symbols_find(r->symbols, address, &size) : NULL;
    if (found == NULL || size == 0) {
        return 0;
    }
    if (size > PROF_DEMANGLE_MAX) {
        return prof_string_of(r->model, found, size);
    }
    char name[PROF_DEMANGLE_MAX + 1];
    memcpy(name, found, size);
    name[size] = '\0';
    return plain_name(r, name);
}

static void append_unknown(resolver *r, uint32_t raw)
{
    const prof_frame *from = &r->intake->raw->frames.items[raw];
    const char *path = prof_text(r->model, r->module_name);
    const char *slash = strrchr(path, '/');
    char name[PROF_PATH_MAX + 3];
    (void)snprintf(name, sizeof name, path[0] == '[' ? "%s" : "[%s]",
                   slash != NULL ? slash + 1 : path);
    prof_frame frame = {.name = prof_text_of(r->model, name),
                        .module = r->module_name,
                        .flags = r->flags | PROF_FRAME_UNKNOWN,
                        .address = from->address};
    append(r, raw, &frame);
}

static void take_dwarf(void *ctx, const prof_dwarf_frame *found)
{
    resolver *r = ctx;
    uint32_t raw = r->frames.items[found->index];
    prof_frame frame = {.module = r->module_name,
                        .line = found->line,
                        .flags = r->flags | (found->inlined ? PROF_FRAME_INLINED : 0)};
    frame.name = found->name[0] != '\0' ? plain_name(r, found->name) : 0;
    if (frame.name == 0) {
        frame.name = symbol_name(r, r->addresses.items[found->index]);
    }
    if (frame.name == 0) {
        return;
    }
    frame.file = prof_text_of(r->model, found->file);
    append(r, raw, &frame);
}

/* What DWARF did not know. */
static void take_symbols(resolver *r)
{
    for (size_t i = 0; i < r->frames.count; i++) {
        uint32_t raw = r->frames.items[i];
        if (r->first[raw] != PROF_NO_ID) {
            continue;
        }
        prof_frame frame = {.module = r->module_name,
                            .flags = r->flags,
                            .name = symbol_name(r, r->addresses.items[i])};
        if (frame.name != 0) {
            append(r, raw, &frame);
        } else {
            append_unknown(r, raw);
        }
    }
}

static void read_dwarf(resolver *r, const prof_module *m, int fd)
{
    prof_dwarf_job job = {.fd = fd, .addresses = r->addresses.items, .count = r->addresses.count};
    brisk_err err = prof_dwarf_read(&job, take_dwarf, r);
    if (err != BRISK_OK) {
        prof_note(r->model, "%s: debug information can't be used (%s); names are from its symbols",
                  m->path, brisk_err_message(err));
    }
}

static void resolve_file(resolver *r, const prof_module *m)
{
    prof_symbols symbols = {0};
    if (!m->is_elf) {
        take_symbols(r);
        return;
    }
    int fd = m->kind == PROF_MODULE_FILE && (!m->elf.has_dwarf || m->elf.symbols.size == 0)
                 ? prof_debug_file(&m->elf, m->path)
                 : -1;
    prof_elf debug = {.fd = -1};
    int dwarf_fd = fd >= 0 ? fd : m->elf.has_dwarf ? m->elf.fd : -1;
    bool split = fd >= 0 && prof_elf_open(dup(fd), &debug, NULL) == BRISK_OK;
    const prof_elf *tables = split && debug.symbols.size > 0 ? &debug : &m->elf;
    if (prof_symbols_of_elf(tables, r->alloc, &symbols) == BRISK_OK) {
        r->symbols = &symbols;
    }
    if (dwarf_fd >= 0 && !r->opts->no_lines && m->kind == PROF_MODULE_FILE) {
        read_dwarf(r, m, dwarf_fd);
    }
    take_symbols(r);
    r->symbols = NULL;
    prof_symbols_deinit(&symbols);
    if (split) {
        prof_elf_close(&debug);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void resolve_text(resolver *r, const char *path, int64_t owner)
{
    prof_symbols symbols = {0};
    brisk_err err = prof_symbols_of_text(path, owner, r->alloc, &symbols);
    if (err == BRISK_OK) {
        r->symbols = &symbols;
    } else if (owner == PROF_OWNER_KERNEL) {
        prof_note(r->model, "the kernel's symbols can't be read (/proc/sys/kernel/kptr_restrict)");
    } else if (err == BRISK_ERR_PERMISSION) {
        prof_note(r->model, "%s: belongs to another user and is not believed", path);
    }
    take_symbols(r);
    r->symbols = NULL;
    prof_symbols_deinit(&symbols);
}

static void resolve_jit(resolver *r, const prof_module *m)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/root/tmp/perf-%" PRIu32 ".map", m->pid,
                   m->pid);
    if (access(path, R_OK) != 0) { /* the process is gone, its map is not */
        (void)snprintf(path, sizeof path, "/tmp/perf-%" PRIu32 ".map", m->pid);
    }
    r->module_name = prof_text_of(r->model, access(path, R_OK) == 0 ? path : "[anon]");
    r->flags = PROF_FRAME_JIT;
    resolve_text(r, path, m->owner);
}

static void append_unseen(resolver *r)
{
    for (size_t i = 0; i < r->frames.count; i++) {
        bool unseen = r->addresses.items[i] == PROF_ADDRESS_UNSEEN;
        prof_frame frame = {.name = prof_text_of(r->model, unseen ? "[not seen]" : "[unknown]"),
                            .flags = PROF_FRAME_UNKNOWN,
                            .address = unseen ? 0 : r->addresses.items[i]};
        append(r, r->frames.items[i], &frame);
    }
}

static void resolve_module(resolver *r, uint32_t id)
{
    const prof_module *m = &r->intake->spaces.modules.items[id];
    r->module_name = prof_text_of(r->model, m->path);
    r->flags = 0;
    switch (m->kind) {
    case PROF_MODULE_UNKNOWN: append_unseen(r); break;
    case PROF_MODULE_FILE:
    case PROF_MODULE_VDSO: resolve_file(r, m); break;
    case PROF_MODULE_JIT:
        if (r->opts->offline) {
            take_symbols(r);
        } else {
            resolve_jit(r, m);
        }
        break;
    case PROF_MODULE_KERNEL:
        r->flags = PROF_FRAME_KERNEL;
        if (r->opts->offline) {
            take_symbols(r);
        } else {
            resolve_text(r, "/proc/kallsyms", PROF_OWNER_KERNEL);
        }
        break;
    }
}

/* The frames of one module after the other.  A chain for each module keeps it linear. */
// NOLINTNEXTLINE(readability-function-size): the macros of vec.h count
static brisk_err resolve_frames(resolver *r)
{
    const prof_model *raw = r->intake->raw;
    size_t modules = r->intake->spaces.modules.count;
    uint32_t *chains = r->alloc->acquire(
        r->alloc->ctx, (modules + raw->frames.count) * sizeof *chains, _Alignof(uint32_t));
    if (chains == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t *next = chains + modules;
    memset(chains, 0xff, (modules + raw->frames.count) * sizeof *chains);
    for (size_t i = raw->frames.count; i > 0; i--) {
        uint32_t module = raw->frames.items[i - 1].module;
        next[i - 1] = chains[module];
        chains[module] = (uint32_t)(i - 1);
    }
    for (uint32_t m = 0; m < modules && r->model->err == BRISK_OK; m++) {
        r->frames.count = 0;
        r->addresses.count = 0;
        for (uint32_t f = chains[m]; f != PROF_NO_ID; f = next[f]) {
            if (!BRISK_VEC_PUSH(&r->frames, f) ||
                !BRISK_VEC_PUSH(&r->addresses, raw->frames.items[f].address)) {
                r->model->err = BRISK_ERR_NOMEM;
                break;
            }
        }
        if (r->frames.count > 0 && r->model->err == BRISK_OK) {
            resolve_module(r, m);
        }
    }
    r->alloc->release(r->alloc->ctx, chains, (modules + raw->frames.count) * sizeof *chains,
                      _Alignof(uint32_t));
    return r->model->err;
}

/* --- stacks --------------------------------------------------------------------------------- */

/* The frames of one address below `parent`, outermost first. */
static uint32_t descend(resolver *r, uint32_t parent, uint32_t raw_frame)
{
    uint32_t found[128];
    size_t count = 0;
    for (uint32_t at = r->first[raw_frame]; at != PROF_NO_ID && count < 128;
         at = r->lists.items[at].next) {
        found[count++] = r->lists.items[at].frame;
    }
    for (size_t i = count; i > 0; i--) {
        parent = prof_stack_of(r->model, parent, found[i - 1]);
    }
    return parent;
}

static uint64_t scaled(const resolver *r, uint64_t value)
{
    double product = (double)value * r->opts->scale + 0.5;
    return product < 1.8e19 ? (uint64_t)product : UINT64_MAX;
}

static void copy_samples(resolver *r, const uint32_t *nodes, const uint32_t *threads)
{
    const prof_model *raw = r->intake->raw;
    for (size_t i = 0; i < raw->samples.count; i++) {
        const prof_sample *s = &raw->samples.items[i];
        for (uint32_t t = 0; t <= PROF_TYPE_READY; t++) {
            uint64_t value = t == PROF_TYPE_CPU ? scaled(r, s->values[t]) : s->values[t];
            if (value > 0) {
                prof_sample_add(r->model, nodes[s->stack], threads[s->thread], t, value);
            }
            if (value > 0 && t != PROF_TYPE_SAMPLES) {
                prof_sample_add(r->model, nodes[s->stack], threads[s->thread], PROF_TYPE_WALL,
                                value);
            }
        }
    }
    for (size_t i = 0; i < raw->events.count; i++) {
        prof_event e = raw->events.items[i];
        e.stack = nodes[e.stack];
        e.thread = threads[e.thread];
        e.length_ns = e.off_cpu ? e.length_ns : scaled(r, e.length_ns);
        prof_event_add(r->model, &e);
    }
}

static brisk_err copy_stacks(resolver *r)
{
    const prof_model *raw = r->intake->raw;
    size_t count = raw->stacks.nodes.count + raw->threads.count;
    uint32_t *nodes = r->alloc->acquire(r->alloc->ctx, count * sizeof *nodes, _Alignof(uint32_t));
    if (nodes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t *threads = nodes + raw->stacks.nodes.count;
    nodes[0] = 0;
    for (size_t i = 1; i < raw->stacks.nodes.count; i++) {
        const prof_node *node = &raw->stacks.nodes.items[i];
        BRISK_ASSERT(node->parent < i);
        nodes[i] = descend(r, nodes[node->parent], node->frame);
    }
    for (size_t i = 0; i < raw->threads.count; i++) {
        const prof_thread *t = &raw->threads.items[i];
        threads[i] = prof_thread_of(r->model, t->pid, t->tid, prof_text(raw, t->comm));
    }
    (void)prof_type_of(r->model, "samples", "count");
    (void)prof_type_of(r->model, "cpu", "nanoseconds");
    (void)prof_type_of(r->model, "off-cpu", "nanoseconds");
    (void)prof_type_of(r->model, "ready", "nanoseconds");
    (void)prof_type_of(r->model, "wall", "nanoseconds");
    copy_samples(r, nodes, threads);
    r->alloc->release(r->alloc->ctx, nodes, count * sizeof *nodes, _Alignof(uint32_t));
    return r->model->err;
}

brisk_err prof_resolve(prof_intake *intake, const prof_resolve_opts *opts, prof_model **ret)
{
    const brisk_alloc *alloc = intake->alloc;
    resolver r = {.intake = intake,
                  .opts = opts,
                  .alloc = alloc,
                  .frame_count = intake->raw->frames.count,
                  .lists = BRISK_VEC_INIT(alloc),
                  .frames = BRISK_VEC_INIT(alloc),
                  .addresses = BRISK_VEC_INIT(alloc)};
    size_t bytes = (r.frame_count * 2 + 1) * sizeof *r.first;
    brisk_err err = prof_model_create(alloc, &r.model);
    if (err != BRISK_OK) {
        return err;
    }
    r.first = alloc->acquire(alloc->ctx, bytes, _Alignof(uint32_t));
    err = r.first != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        memset(r.first, 0xff, bytes);
        r.last = r.first + r.frame_count;
        err = resolve_frames(&r);
    }
    if (err == BRISK_OK) {
        err = copy_stacks(&r);
    }
    if (r.first != NULL) {
        alloc->release(alloc->ctx, r.first, bytes, _Alignof(uint32_t));
    }
    BRISK_VEC_DEINIT(&r.lists);
    BRISK_VEC_DEINIT(&r.frames);
    BRISK_VEC_DEINIT(&r.addresses);
    if (err != BRISK_OK) {
        prof_model_destroy(r.model);
        return err;
    }
    *ret = r.model;
    return BRISK_OK;
}
