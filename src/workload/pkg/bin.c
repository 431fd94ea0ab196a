/*
 * bin.c -- `bin` of a manifest, which may be a text, a list or an object, as an object.
 *
 * A path is taken as if the package were the root of all: backslashes and colons separate as
 * slashes do, "." disappears, ".." goes up and stays inside.  A program's name is the last part of
 * such a path; of equal names the last counts.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/bin.h"

#include <stdlib.h>

#include "workload/pkg/collate.h"
#include "workload/pkg/jsonscan.h"

typedef struct program {
    pkg_text name;
    pkg_text path;
    uint32_t place;
} program;

typedef struct programs {
    program *items;
    uint32_t count;
    uint32_t capacity;
} programs;

static bool is_separator(char c)
{
    return c == '/' || c == '\\' || c == ':';
}

/* `path` inside the package; size 0: nothing is left.  NULL data: out of memory. */
static pkg_text inside(brisk_arena *arena, pkg_text path)
{
    char *to = brisk_arena_alloc(arena, path.size + 1);
    if (to == NULL) {
        return (pkg_text){0};
    }
    size_t size = 0;
    for (size_t at = 0; at < path.size;) {
        size_t end = at;
        while (end < path.size && !is_separator(path.data[end])) {
            end++;
        }
        pkg_text part = {.data = path.data + at, .size = end - at};
        at = end + 1;
        if (pkg_text_is(part, "..")) {
            size -= size > 0; /* the slash behind the part that goes */
            while (size > 0 && to[size - 1] != '/') {
                size--;
            }
        } else if (part.size > 0 && !pkg_text_is(part, ".")) {
            memcpy(to + size, part.data, part.size);
            size += part.size;
            to[size++] = '/';
        }
    }
    bool slash = path.size > 0 && is_separator(path.data[path.size - 1]);
    return (pkg_text){.data = to, .size = size > 0 && !slash ? size - 1 : size};
}

static pkg_text last_part(pkg_text path)
{
    size_t end = path.size;
    while (end > 0 && path.data[end - 1] == '/') {
        end--;
    }
    size_t from = end;
    while (from > 0 && path.data[from - 1] != '/') {
        from--;
    }
    return (pkg_text){.data = path.data + from, .size = end - from};
}

static void add(pkg_nice *nice, programs *all, pkg_text name, pkg_text path)
{
    pkg_text base = inside(nice->scratch, name);
    pkg_text target = inside(nice->scratch, path);
    if (base.data == NULL || target.data == NULL) {
        nice->err = BRISK_ERR_NOMEM;
        return;
    }
    base = last_part(base);
    if (base.size == 0 || target.size == 0) {
        return;
    }
    if (all->count == all->capacity) {
        uint32_t wanted = all->capacity != 0 ? all->capacity * 2 : 8;
        program *more = brisk_arena_calloc(nice->scratch, wanted, sizeof *more);
        if (more == NULL) {
            nice->err = BRISK_ERR_NOMEM;
            return;
        }
        if (all->count > 0) {
            memcpy(more, all->items, all->count * sizeof *more);
        }
        all->items = more;
        all->capacity = wanted;
    }
    all->items[all->count] = (program){.name = base, .path = target, .place = all->count};
    all->count++;
}

/* A text, or false: the value was another and is passed over. */
static bool take_text(pkg_nice *nice, pkg_scan *scan, pkg_text *ret)
{
    pkg_text raw;
    bool plain = true;
    if (pkg_scan_peek(scan) != '"') {
        (void)pkg_scan_value(scan, &raw);
        return false;
    }
    if (!pkg_scan_string(scan, &raw, &plain)) {
        return false;
    }
    if (!pkg_scan_unescape(nice->scratch, raw, plain, ret)) {
        nice->err = BRISK_ERR_NOMEM;
        return false;
    }
    return true;
}

static void collect(pkg_nice *nice, pkg_text name, pkg_scan *scan, programs *all)
{
    char c = pkg_scan_peek(scan);
    pkg_text text;
    if (c == '{') {
        for (bool more = pkg_scan_enter(scan, '{'); more; more = pkg_scan_more(scan, '}')) {
            pkg_text raw;
            pkg_text key = {0};
            bool plain;
            if (!pkg_scan_key(scan, &raw, &plain)) {
                return;
            }
            if (!pkg_scan_unescape(nice->scratch, raw, plain, &key)) {
                nice->err = BRISK_ERR_NOMEM;
                return;
            }
            if (take_text(nice, scan, &text)) {
                add(nice, all, key, text);
            }
        }
    } else if (c == '[') {
        for (bool more = pkg_scan_enter(scan, '['); more; more = pkg_scan_more(scan, ']')) {
            if (take_text(nice, scan, &text)) {
                add(nice, all, last_part(text), text);
            }
        }
    } else if (c == '"' && name.size > 0 && take_text(nice, scan, &text)) {
        add(nice, all, name, text);
    }
}

static int compare_programs(const void *a, const void *b)
{
    const program *x = a;
    const program *y = b;
    int order = pkg_member_compare(x->name, y->name);
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

void pkg_bin_write(pkg_nice *nice, pkg_text name, pkg_text raw)
{
    if (raw.size == 0) {
        return;
    }
    programs all = {0};
    pkg_scan scan;
    pkg_scan_init(&scan, raw);
    collect(nice, name, &scan, &all);
    if (scan.err != BRISK_OK && nice->err == BRISK_OK) {
        nice->err = scan.err;
    }
    if (all.count == 0 || nice->err != BRISK_OK) {
        return;
    }
    qsort(all.items, all.count, sizeof *all.items, compare_programs);
    pkg_nice_key(nice, PKG_TEXT("bin"));
    pkg_nice_begin(nice, '{');
    for (uint32_t i = 0; i < all.count; i++) {
        if (i + 1 < all.count && pkg_text_equal(all.items[i].name, all.items[i + 1].name)) {
            continue;
        }
        pkg_nice_key(nice, all.items[i].name);
        pkg_nice_text(nice, all.items[i].path);
    }
    pkg_nice_end(nice, '}');
}
