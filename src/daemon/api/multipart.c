/*
 * multipart.c -- cut at the delimiters, read the few fields of each part's head.
 *
 *     [preamble CRLF] --boundary CRLF  head CRLF CRLF  data CRLF --boundary CRLF ... --boundary-- [CRLF]
 *
 * A delimiter is found by memmem of "CRLF--boundary", so reading is linear in the body; what follows it
 * must be a line's end or "--", else the text only looks like one and is refused, since two readers
 * could see two different bodies.
 *
 * Threads: no state.
 */
#include "daemon/api/multipart.h"

#include <string.h>
#include <strings.h>

typedef struct text {
    const char *data;
    size_t size;
} text;

static brisk_err invalid(brisk_errinfo *info, uint32_t part, const char *what)
{
    return brisk_errinfo_set(info, BRISK_ERR_INVALID, "multipart, part %u: %s", part, what);
}

static bool is_token(char c)
{
    return c != '\0' && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_boundary(char c)
{
    return is_token(c) || (c != '\0' && strchr("()/:=?,", c) != NULL);
}

static void skip_blanks(text *t)
{
    while (t->size > 0 && (t->data[0] == ' ' || t->data[0] == '\t')) {
        t->data++;
        t->size--;
    }
}

static bool skip(text *t, const char *word)
{
    size_t size = strlen(word);
    if (t->size < size || strncasecmp(t->data, word, size) != 0) {
        return false;
    }
    t->data += size;
    t->size -= size;
    return true;
}

/* --- parameters: ; name=value or name="value" --------------------------------------------- */

/* The next parameter; the value as it stands, its quotes and backslashes taken off into `to`.
 * 1: one was read; 0: the end; -1: wrong. */
static int next_parameter(text *t, text *name, char *to, size_t room, size_t *ret_size)
{
    skip_blanks(t);
    if (t->size == 0) {
        return 0;
    }
    if (!skip(t, ";")) {
        return -1;
    }
    skip_blanks(t);
    name->data = t->data;
    while (t->size > 0 && is_token(t->data[0])) {
        t->data++;
        t->size--;
    }
    name->size = (size_t)(t->data - name->data);
    if (name->size == 0 || !skip(t, "=")) {
        return -1;
    }
    bool quoted = skip(t, "\"");
    size_t used = 0;
    while (t->size > 0 && (quoted ? t->data[0] != '"' : is_boundary(t->data[0]))) {
        if (quoted && t->data[0] == '\\' && t->size > 1) {
            t->data++;
            t->size--;
        }
        if (used == room || (unsigned char)t->data[0] < 0x20) {
            return -1;
        }
        to[used++] = t->data[0];
        t->data++;
        t->size--;
    }
    if (quoted && !skip(t, "\"")) {
        return -1;
    }
    *ret_size = used;
    return 1;
}

static bool is_name(text name, const char *expected)
{
    return name.size == strlen(expected) && strncasecmp(name.data, expected, name.size) == 0;
}

bool multipart_boundary(const char *type, size_t size, char ret[MULTIPART_BOUNDARY_MAX + 1])
{
    text t = {type, size};
    if (!skip(&t, "multipart/form-data")) {
        return false;
    }
    bool found = false;
    text name;
    size_t used;
    char value[MULTIPART_HEAD_MAX];
    int got;
    while ((got = next_parameter(&t, &name, value, sizeof value, &used)) > 0) {
        if (!is_name(name, "boundary")) {
            continue;
        }
        if (found || used == 0 || used > MULTIPART_BOUNDARY_MAX) {
            return false;
        }
        for (size_t i = 0; i < used; i++) {
            if (!is_boundary(value[i]) && value[i] != ' ') {
                return false;
            }
        }
        memcpy(ret, value, used);
        ret[used] = '\0';
        found = value[used - 1] != ' ';
    }
    return got == 0 && found;
}

/* --- a part's head ------------------------------------------------------------------------ */

static brisk_err read_disposition(text value, uint32_t index, brisk_arena *arena,
                                  brisk_form_part *part, brisk_errinfo *info)
{
    char room[MULTIPART_HEAD_MAX];
    text name;
    size_t used;
    int got;
    if (!skip(&value, "form-data")) {
        return invalid(info, index, "its content-disposition is not form-data");
    }
    while ((got = next_parameter(&value, &name, room, sizeof room, &used)) > 0) {
        if (!is_name(name, "name")) {
            continue; /* filename: what the client calls it is its business */
        }
        if (part->name != NULL || used == 0 || memchr(room, '\0', used) != NULL) {
            return invalid(info, index, "its name is wrong");
        }
        part->name = brisk_arena_copy(arena, room, used);
        if (part->name == NULL) {
            return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
        }
    }
    return got == 0 ? BRISK_OK : invalid(info, index, "its content-disposition is wrong");
}

static brisk_err read_field(text line, uint32_t index, brisk_arena *arena, brisk_form_part *part,
                            brisk_errinfo *info)
{
    if (memchr(line.data, '\0', line.size) != NULL || memchr(line.data, '\r', line.size) != NULL) {
        return invalid(info, index, "a character that may not stand in a head");
    }
    if (skip(&line, "content-disposition:")) {
        skip_blanks(&line);
        return read_disposition(line, index, arena, part, info);
    }
    if (skip(&line, "content-transfer-encoding:")) {
        skip_blanks(&line);
        return is_name(line, "binary") || is_name(line, "8bit") || is_name(line, "7bit")
                   ? BRISK_OK
                   : invalid(info, index, "content-transfer-encoding is not understood");
    }
    if (skip(&line, "content-type:")) {
        skip_blanks(&line);
        part->type = brisk_arena_copy(arena, line.data, line.size);
        return part->type != NULL ? BRISK_OK
                                  : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    return BRISK_OK;
}

static brisk_err read_head(text head, uint32_t index, brisk_arena *arena, brisk_form_part *part,
                           brisk_errinfo *info)
{
    *part = (brisk_form_part){.type = ""};
    while (head.data != NULL && head.size > 0) { /* NULL has no size, which gcc does not see */
        const char *end = memmem(head.data, head.size, "\r\n", 2);
        size_t size = end != NULL ? (size_t)(end - head.data) : head.size;
        brisk_err err = read_field((text){head.data, size}, index, arena, part, info);
        if (err != BRISK_OK) {
            return err;
        }
        size += end != NULL ? 2 : 0;
        head.data += size;
        head.size -= size;
    }
    return part->name != NULL ? BRISK_OK : invalid(info, index, "it has no name");
}

/* --- the body ----------------------------------------------------------------------------- */

typedef struct reader {
    char delimiter[MULTIPART_BOUNDARY_MAX + 5]; /* CR LF - - boundary */
    size_t delimiter_size;
    text left;
    bool over; /* the closing delimiter was read */
} reader;

/* What follows a delimiter: a line's end, or "--" and the end of all. */
static bool end_delimiter(reader *r)
{
    if (skip(&r->left, "--")) {
        r->over = true;
        skip_blanks(&r->left);
        return r->left.size == 0 || (r->left.size == 2 && memcmp(r->left.data, "\r\n", 2) == 0);
    }
    skip_blanks(&r->left); /* padding that gateways may have added */
    return skip(&r->left, "\r\n");
}

/* Up to the next delimiter, which is stepped over. */
static bool take_until(reader *r, text *ret)
{
    const char *at = memmem(r->left.data, r->left.size, r->delimiter, r->delimiter_size);
    if (at == NULL) {
        return false;
    }
    *ret = (text){r->left.data, (size_t)(at - r->left.data)};
    size_t size = ret->size + r->delimiter_size;
    r->left.data += size;
    r->left.size -= size;
    return end_delimiter(r);
}

static brisk_err add_part(text all, uint32_t index, brisk_arena *arena, brisk_form_part *part,
                          brisk_errinfo *info)
{
    text head = {all.data, 0};
    size_t skipped;
    const char *end = memmem(all.data, all.size, "\r\n\r\n", 4);
    if (all.size >= 2 && memcmp(all.data, "\r\n", 2) == 0) {
        skipped = 2; /* no fields at all */
    } else if (end == NULL) {
        return invalid(info, index, "its head has no end");
    } else {
        head.size = (size_t)(end - all.data);
        skipped = head.size + 4;
    }
    if (head.size > MULTIPART_HEAD_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "multipart, part %u: its head is too long",
                                 index);
    }
    brisk_err err = read_head(head, index, arena, part, info);
    part->data = all.data + skipped;
    part->size = all.size - skipped;
    return err;
}

brisk_err multipart_read(const char *boundary, const char *body, size_t size, brisk_arena *arena,
                         brisk_form_part **ret, uint32_t *ret_count, brisk_errinfo *info)
{
    reader r = {.left = {body, size}};
    int length = snprintf(r.delimiter, sizeof r.delimiter, "\r\n--%s", boundary);
    r.delimiter_size = (size_t)length;
    text preamble;
    bool good = skip(&r.left, r.delimiter + 2) ? end_delimiter(&r) : take_until(&r, &preamble);
    if (!good) {
        return invalid(info, 0, "there is no delimiter");
    }
    brisk_form_part *parts = brisk_arena_calloc(arena, MULTIPART_PARTS_MAX, sizeof *parts);
    if (parts == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    uint32_t count = 0;
    while (!r.over) {
        text all;
        if (count == MULTIPART_PARTS_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "multipart: more than %d parts",
                                     MULTIPART_PARTS_MAX);
        }
        if (!take_until(&r, &all)) {
            return invalid(info, count, "it has no end");
        }
        brisk_err err = add_part(all, count, arena, &parts[count], info);
        if (err != BRISK_OK) {
            return err;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (strcmp(parts[i].name, parts[count].name) == 0) {
                return invalid(info, count, "another one has its name");
            }
        }
        count++;
    }
    *ret = parts;
    *ret_count = count;
    return BRISK_OK;
}
