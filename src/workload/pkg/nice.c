/*
 * nice.c -- the writer behind nice.h.
 *
 * Text goes through one buffer to the output.  A raw value is read with the cursor, the members of
 * an object are collected, sorted and written; the nesting of the input is bounded by the cursor's
 * limit, so the recursion is as well.
 *
 * Invariant: used <= PKG_NICE_BUFFER_BYTES; after an error nothing more goes out.
 *
 * Threads: one at a time.
 */
#include "workload/pkg/nice.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "workload/pkg/collate.h"
#include "workload/pkg/jsonscan.h"

enum {
    INDENT_MAX = 10,
    NEWLINE_MAX = 256, /* blank lines between all lines; a lock full of them would grow by itself */
    DEPTH_MAX = 8 + PKG_JSON_DEPTH_MAX, /* a raw value lies in a few levels of ours */
};

static const char hex_digits[] = "0123456789abcdef";

brisk_err pkg_nice_init(pkg_nice *nice, brisk_out out, brisk_arena *scratch, pkg_text indent,
                        pkg_text newline)
{
    *nice = (pkg_nice){.out = out, .scratch = scratch, .indent = indent, .newline = newline};
    if (indent.size == 0) {
        nice->indent = PKG_TEXT("  ");
    } else if (indent.size > INDENT_MAX) {
        nice->indent.size = INDENT_MAX;
    }
    if (newline.size == 0 || newline.size > NEWLINE_MAX) {
        nice->newline = PKG_TEXT("\n");
    }
    nice->buffer = brisk_arena_alloc(scratch, PKG_NICE_BUFFER_BYTES);
    return nice->buffer != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
}

static void flush(pkg_nice *nice)
{
    if (nice->err == BRISK_OK && nice->used > 0) {
        nice->err = nice->out.write(nice->out.ctx, nice->buffer, nice->used);
    }
    nice->used = 0;
}

/* More than is left in the buffer. */
static void put_much(pkg_nice *nice, const char *data, size_t size)
{
    while (size > 0) {
        if (nice->used == PKG_NICE_BUFFER_BYTES) {
            flush(nice);
        }
        size_t room = PKG_NICE_BUFFER_BYTES - nice->used;
        size_t part = size < room ? size : room;
        memcpy(nice->buffer + nice->used, data, part);
        nice->used += part;
        data += part;
        size -= part;
    }
}

static inline void put(pkg_nice *nice, const char *data, size_t size)
{
    if (size <= PKG_NICE_BUFFER_BYTES - nice->used) {
        memcpy(nice->buffer + nice->used, data, size);
        nice->used += size;
    } else {
        put_much(nice, data, size);
    }
}

static void put_line(pkg_nice *nice)
{
    put(nice, nice->newline.data, nice->newline.size);
    for (uint32_t i = 0; i < nice->depth; i++) {
        put(nice, nice->indent.data, nice->indent.size);
    }
}

brisk_err pkg_nice_finish(pkg_nice *nice)
{
    put(nice, nice->newline.data, nice->newline.size);
    flush(nice);
    return nice->err;
}

void pkg_nice_begin(pkg_nice *nice, char open)
{
    put(nice, &open, 1);
    nice->depth++;
    nice->open = false;
}

void pkg_nice_end(pkg_nice *nice, char close)
{
    nice->depth--;
    if (nice->open) {
        put_line(nice);
    }
    put(nice, &close, 1);
    nice->open = true;
}

void pkg_nice_element(pkg_nice *nice)
{
    if (nice->open) {
        put(nice, ",", 1);
    }
    put_line(nice);
    nice->open = true;
}

void pkg_nice_key(pkg_nice *nice, pkg_text key)
{
    pkg_nice_element(nice);
    pkg_nice_text(nice, key);
    put(nice, ": ", 2);
}

void pkg_nice_word(pkg_nice *nice, const char *word)
{
    put(nice, word, strlen(word));
}

/* --- texts --------------------------------------------------------------------------------- */

static void put_escaped(pkg_nice *nice, unsigned char c)
{
    static const char names[] = "btn_fr"; /* 0x08 to 0x0d; there is none for 0x0b */
    char text[6] = {'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};
    size_t size = sizeof text;
    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        size = 2;
    } else if (c >= '\b' && c <= '\r' && c != '\v') {
        text[1] = names[c - '\b'];
        size = 2;
    }
    put(nice, text, size);
}

/* How much of `text` may go out as it is. */
static size_t clean_length(const char *text, size_t size)
{
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, sizeof word);
        if (pkg_scan_special(word)) {
            break;
        }
    }
    while (i < size && (unsigned char)text[i] >= 0x20 && text[i] != '"' && text[i] != '\\') {
        i++;
    }
    return i;
}

void pkg_nice_text(pkg_nice *nice, pkg_text text)
{
    put(nice, "\"", 1);
    for (size_t at = 0; at < text.size;) {
        size_t clean = clean_length(text.data + at, text.size - at);
        put(nice, text.data + at, clean);
        at += clean;
        if (at < text.size) {
            put_escaped(nice, (unsigned char)text.data[at++]);
        }
    }
    put(nice, "\"", 1);
}

/* --- raw values ---------------------------------------------------------------------------- */

typedef struct member {
    pkg_text key;
    pkg_text value;
    uint32_t place; /* in the source: of equal keys the last counts */
} member;

static bool is_object(const member *m)
{
    return m->value.data[0] == '{';
}

/* By name, and where equal by place. */
static int compare_keys(const void *a, const void *b)
{
    const member *x = a;
    const member *y = b;
    int order = pkg_text_compare(x->key, y->key);
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

/* npm's: what is no object comes first, but numbers come before everything. */
static int compare_members(const void *a, const void *b)
{
    const member *x = a;
    const member *y = b;
    if (is_object(x) != is_object(y) && !pkg_member_is_index(x->key) &&
        !pkg_member_is_index(y->key)) {
        return is_object(x) ? 1 : -1;
    }
    return pkg_member_compare(x->key, y->key);
}

static void fail(pkg_nice *nice, brisk_err err)
{
    nice->err = nice->err != BRISK_OK ? nice->err : err;
}

/* Room for the members of an object, grown by doubling. */
static bool grow(pkg_nice *nice, member **items, uint32_t count, uint32_t *capacity)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t wanted = *capacity != 0 ? *capacity * 2 : 8;
    member *more = brisk_arena_calloc(nice->scratch, wanted, sizeof *more);
    if (more == NULL) {
        fail(nice, BRISK_ERR_NOMEM);
        return false;
    }
    if (count > 0) {
        memcpy(more, *items, count * sizeof *more);
    }
    *items = more;
    *capacity = wanted;
    return true;
}

/* In npm's order, of equal names the last. */
static uint32_t sort_members(member *items, uint32_t count)
{
    if (count < 2) {
        return count;
    }
    qsort(items, count, sizeof *items, compare_keys);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 == count || !pkg_text_equal(items[i].key, items[i + 1].key)) {
            items[kept++] = items[i];
        }
    }
    qsort(items, kept, sizeof *items, compare_members);
    return kept;
}

static void write_value(pkg_nice *nice, pkg_scan *scan);

static void write_object(pkg_nice *nice, pkg_scan *scan)
{
    member *items = NULL;
    uint32_t count = 0;
    uint32_t capacity = 0;
    for (bool more = pkg_scan_enter(scan, '{'); more; more = pkg_scan_more(scan, '}')) {
        pkg_text key;
        bool plain;
        if (!grow(nice, &items, count, &capacity) || !pkg_scan_key(scan, &key, &plain) ||
            !pkg_scan_value(scan, &items[count].value)) {
            return;
        }
        if (!pkg_scan_unescape(nice->scratch, key, plain, &items[count].key)) {
            fail(nice, BRISK_ERR_NOMEM);
            return;
        }
        items[count].place = count;
        count++;
    }
    count = sort_members(items, count);
    pkg_nice_begin(nice, '{');
    for (uint32_t i = 0; i < count && nice->err == BRISK_OK; i++) {
        pkg_nice_key(nice, items[i].key);
        pkg_scan below;
        pkg_scan_init(&below, items[i].value);
        write_value(nice, &below);
    }
    pkg_nice_end(nice, '}');
}

static void write_array(pkg_nice *nice, pkg_scan *scan)
{
    pkg_nice_begin(nice, '[');
    for (bool more = pkg_scan_enter(scan, '['); more; more = pkg_scan_more(scan, ']')) {
        pkg_nice_element(nice);
        write_value(nice, scan);
        if (nice->err != BRISK_OK || scan->err != BRISK_OK) {
            return;
        }
    }
    pkg_nice_end(nice, ']');
}

/* JavaScript writes 1.0 and 10e1 as 1 and 100; what needs more than that is left as it stands. */
static void write_number(pkg_nice *nice, pkg_text raw)
{
    char text[32];
    double value = HUGE_VAL;
    if (raw.size < sizeof text) {
        memcpy(text, raw.data, raw.size);
        text[raw.size] = '\0';
        value = strtod(text, NULL);
    }
    if (fabs(value) < 1e15 && floor(value) == value) {
        int size = snprintf(text, sizeof text, "%.0f", fabs(value) > 0 ? value : 0.0);
        put(nice, text, (size_t)size);
    } else {
        put(nice, raw.data, raw.size);
    }
}

static void write_value(pkg_nice *nice, pkg_scan *scan)
{
    char c = pkg_scan_peek(scan);
    if (nice->depth > DEPTH_MAX) {
        fail(nice, BRISK_ERR_LIMIT);
    } else if (c == '{') {
        write_object(nice, scan);
    } else if (c == '[') {
        write_array(nice, scan);
    } else if (c == '"') {
        pkg_text raw;
        pkg_text text;
        bool plain;
        if (pkg_scan_string(scan, &raw, &plain)) {
            if (pkg_scan_unescape(nice->scratch, raw, plain, &text)) {
                pkg_nice_text(nice, text);
            } else {
                fail(nice, BRISK_ERR_NOMEM);
            }
        }
    } else {
        pkg_text raw;
        if (pkg_scan_value(scan, &raw)) {
            if (c == 't' || c == 'f' || c == 'n') {
                put(nice, raw.data, raw.size);
            } else {
                write_number(nice, raw);
            }
        }
    }
    if (scan->err != BRISK_OK) {
        fail(nice, scan->err);
    }
}

void pkg_nice_raw(pkg_nice *nice, pkg_text raw)
{
    pkg_scan scan;
    pkg_scan_init(&scan, raw);
    write_value(nice, &scan);
}
