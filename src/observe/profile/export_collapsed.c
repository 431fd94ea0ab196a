/*
 * export_collapsed.c -- "comm;outer;inner VALUE", one line a stack, sorted as bytes, equal ones summed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/arena.h>

#include "base/str.h"
#include "observe/profile/export.h"

enum { LINE_BYTES_MAX = 1 << 24 };

typedef struct line {
    const char *text;
    uint64_t value;
} line;

/* A name may have the sign that separates names, and ends of lines. */
static void add_name(brisk_str *to, const char *name)
{
    while (*name != '\0') {
        size_t plain = strcspn(name, ";\n\r");
        brisk_str_append(to, name, plain);
        name += plain;
        if (*name != '\0') {
            brisk_str_append(to, ":", 1);
            name++;
        }
    }
}

static void add_frame(brisk_str *to, const prof_model *model, uint32_t id, uint32_t flags)
{
    const prof_frame *frame = &model->frames.items[id];
    const char *name = prof_text(model, frame->name);
    size_t length = strlen(name);
    brisk_str_append(to, ";", 1);
    if ((flags & PROF_COLLAPSE_ADDRESSES) != 0 && (frame->flags & PROF_FRAME_UNKNOWN) != 0 &&
        length > 1 && name[length - 1] == ']') {
        brisk_str_append(to, name, length - 1);
        brisk_str_printf(to, " <%" PRIx64 ">]", frame->address);
    } else {
        add_name(to, name);
    }
    if ((flags & PROF_COLLAPSE_KERNEL) != 0 && (frame->flags & PROF_FRAME_KERNEL) != 0) {
        brisk_str_add(to, "_[k]");
    } else if ((flags & PROF_COLLAPSE_JIT) != 0 && (frame->flags & PROF_FRAME_JIT) != 0) {
        brisk_str_add(to, "_[j]");
    }
}

static void add_thread(brisk_str *to, const prof_model *model, uint32_t id, uint32_t flags)
{
    const prof_thread *thread = &model->threads.items[id];
    for (const char *at = prof_text(model, thread->comm); *at != '\0'; at++) {
        char c = *at == ' ' || *at == ';' || *at == '\n' ? '_' : *at;
        brisk_str_append(to, &c, 1);
    }
    if ((flags & (PROF_COLLAPSE_PID | PROF_COLLAPSE_TID)) != 0) {
        if (thread->pid == PROF_PID_UNKNOWN) {
            brisk_str_add(to, "-?");
        } else {
            brisk_str_printf(to, "-%" PRIu32, thread->pid);
        }
    }
    if ((flags & PROF_COLLAPSE_TID) != 0) {
        brisk_str_printf(to, "/%" PRIu32, thread->tid);
    }
}

static const char *make_line(const prof_model *model, const prof_sample *s, uint32_t flags,
                             brisk_str *text, brisk_arena *arena)
{
    uint32_t frames[PROF_DEPTH_MAX];
    uint32_t depth = 0;
    brisk_str_cut(text, 0);
    if (s->thread != 0) {
        add_thread(text, model, s->thread, flags);
    }
    for (uint32_t node = s->stack; node != 0 && depth < PROF_DEPTH_MAX;
         node = model->stacks.nodes.items[node].parent) {
        frames[depth++] = model->stacks.nodes.items[node].frame;
    }
    while (depth > 0) {
        add_frame(text, model, frames[--depth], flags);
    }
    const char *made = brisk_str_text(text);
    made += s->thread == 0 && made[0] == ';' ? 1 : 0;
    return brisk_str_err(text) == BRISK_OK ? brisk_arena_copy(arena, made, strlen(made)) : NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const line *)a)->text, ((const line *)b)->text);
}

static brisk_err write_lines(line *lines, size_t count, FILE *out)
{
    qsort(lines, count, sizeof *lines, compare);
    for (size_t i = 0; i < count;) {
        uint64_t sum = 0;
        size_t next = i;
        while (next < count && strcmp(lines[next].text, lines[i].text) == 0) {
            sum = prof_add(sum, lines[next++].value);
        }
        (void)fprintf(out, "%s %" PRIu64 "\n", lines[i].text, sum);
        i = next;
    }
    return ferror(out) ? BRISK_ERR_IO : BRISK_OK;
}

brisk_err prof_export_collapsed(const prof_model *model, uint32_t type, uint32_t flags, FILE *out)
{
    brisk_arena *arena = NULL;
    brisk_str text;
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.alloc = model->alloc}, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_str_init(&text, model->alloc, LINE_BYTES_MAX);
    line *lines = brisk_arena_calloc(arena, model->samples.count + 1, sizeof *lines);
    size_t count = 0;
    err = lines != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (size_t i = 0; i < model->samples.count && err == BRISK_OK; i++) {
        const prof_sample *s = &model->samples.items[i];
        if (s->values[type] == 0) {
            continue;
        }
        lines[count].value = s->values[type];
        lines[count].text = make_line(model, s, flags, &text, arena);
        err = lines[count++].text != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    }
    if (err == BRISK_OK) {
        err = write_lines(lines, count, out);
    }
    brisk_str_deinit(&text);
    brisk_arena_destroy(arena);
    return err;
}
