/*
 * tar.c -- behind tar.h.
 *
 * Blocks of 512 bytes: a header, then its content rounded up.  A header of type 'x' (pax) or 'L'
 * (GNU) says the path and size of the next one.  Two blocks of zeroes, or the end, end it.
 */
#include "workload/pkg/tar.h"

#include <string.h>

#include <libdeflate.h>

enum {
    BLOCK = 512,
    NAME_SIZE = 100,
    SIZE_AT = 124,
    SIZE_SIZE = 12,
    SUM_AT = 148,
    SUM_SIZE = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
    PREFIX_SIZE = 155,
    PATH_MAX_SIZE = 4096,
};

typedef struct entry {
    char type;
    uint64_t size;
    pkg_text content;
    char path[PATH_MAX_SIZE];
    size_t path_size;
} entry;

typedef struct reader {
    pkg_text tar;
    size_t at;
    uint32_t entries;
    char long_path[PATH_MAX_SIZE]; /* of the next entry */
    size_t long_size;
    uint64_t next_size;
    bool has_path;
    bool has_size;
    brisk_errinfo *info;
} reader;

static brisk_err corrupt(reader *r, const char *what)
{
    return brisk_errinfo_set(r->info, BRISK_ERR_CORRUPT, "a damaged tarball: %s at byte %zu", what,
                             r->at);
}

/* A number in a field of a header: octal, or binary where the first bit is set.  False: none. */
static bool number_of(const unsigned char *field, size_t size, uint64_t *ret)
{
    uint64_t value = 0;
    if ((field[0] & 0x80) != 0) {
        value = field[0] & 0x7F;
        for (size_t i = 1; i < size; i++) {
            if (value >> 55 != 0) {
                return false;
            }
            value = value << 8 | field[i];
        }
        *ret = value;
        return true;
    }
    size_t i = 0;
    while (i < size && field[i] == ' ') {
        i++;
    }
    for (; i < size && field[i] != '\0' && field[i] != ' '; i++) {
        if (field[i] < '0' || field[i] > '7' || value >> 60 != 0) {
            return false;
        }
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    *ret = value;
    return true;
}

/* The sum of all bytes, the sum's own as blanks; some old ones added signed bytes. */
static bool sum_is_right(const unsigned char *header)
{
    uint64_t said;
    uint64_t sum = 0;
    int64_t with_sign = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        bool own = i >= SUM_AT && i < SUM_AT + SUM_SIZE;
        sum += own ? ' ' : header[i];
        with_sign += own ? ' ' : (signed char)header[i];
    }
    return number_of(header + SUM_AT, SUM_SIZE, &said) &&
           (said == sum || (int64_t)said == with_sign);
}

static bool is_zero(const unsigned char *block)
{
    for (size_t i = 0; i < BLOCK; i++) {
        if (block[i] != 0) {
            return false;
        }
    }
    return true;
}

static size_t length_in(const unsigned char *field, size_t size)
{
    const unsigned char *end = memchr(field, 0, size);
    return end != NULL ? (size_t)(end - field) : size;
}

static void path_of(const reader *r, const unsigned char *header, entry *ret)
{
    if (r->has_path) {
        memcpy(ret->path, r->long_path, r->long_size);
        ret->path_size = r->long_size;
        return;
    }
    size_t name = length_in(header, NAME_SIZE);
    size_t size = 0;
    if (memcmp(header + MAGIC_AT, "ustar\0", 6) == 0) {
        size = length_in(header + PREFIX_AT, PREFIX_SIZE);
        memcpy(ret->path, header + PREFIX_AT, size);
        if (size > 0) {
            ret->path[size++] = '/';
        }
    }
    memcpy(ret->path + size, header, name);
    ret->path_size = size + name;
}

/* The next entry; *ret_more false: that was all. */
static brisk_err next_entry(reader *r, entry *ret, bool *ret_more)
{
    *ret_more = false;
    if (r->tar.size - r->at < BLOCK) {
        return r->at == r->tar.size || r->entries > 0 ? BRISK_OK : corrupt(r, "it ends");
    }
    const unsigned char *header = (const unsigned char *)r->tar.data + r->at;
    if (is_zero(header)) {
        return BRISK_OK;
    }
    if (!sum_is_right(header)) {
        return corrupt(r, "a header whose checksum is wrong");
    }
    if (!number_of(header + SIZE_AT, SIZE_SIZE, &ret->size)) {
        return corrupt(r, "a size that is no number");
    }
    if (++r->entries > PKG_TAR_ENTRIES_MAX) {
        return brisk_errinfo_set(r->info, BRISK_ERR_LIMIT,
                                 "a tarball of more than 1,048,576 files");
    }
    ret->type = (char)header[TYPE_AT];
    bool about_next = strchr("xLKg", ret->type) != NULL && ret->type != '\0';
    if (!about_next && r->has_size) {
        ret->size = r->next_size;
    }
    r->at += BLOCK;
    if (ret->size > r->tar.size - r->at) {
        return corrupt(r, "a file that is longer than what is left");
    }
    ret->content = (pkg_text){.data = r->tar.data + r->at, .size = (size_t)ret->size};
    if (!about_next) {
        path_of(r, header, ret);
        r->has_path = false;
        r->has_size = false;
    }
    size_t left = r->tar.size - r->at;
    size_t rounded = ((size_t)ret->size + BLOCK - 1) / BLOCK * BLOCK;
    r->at += rounded < left ? rounded : left;
    *ret_more = true;
    return BRISK_OK;
}

static brisk_err take_path(reader *r, const char *data, size_t size)
{
    size = length_in((const unsigned char *)data, size);
    if (size > sizeof r->long_path) {
        return corrupt(r, "a path longer than 4096 bytes");
    }
    memcpy(r->long_path, data, size);
    r->long_size = size;
    r->has_path = true;
    return BRISK_OK;
}

static brisk_err take_pax_size(reader *r, const char *data, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] < '0' || data[i] > '9' || value > UINT64_MAX / 16) {
            return corrupt(r, "a size that is no number");
        }
        value = value * 10 + (uint64_t)(data[i] - '0');
    }
    r->next_size = value;
    r->has_size = true;
    return BRISK_OK;
}

/* Lines "LENGTH key=value\n", where LENGTH counts the whole line. */
static brisk_err take_pax(reader *r, pkg_text text)
{
    brisk_err err = BRISK_OK;
    for (size_t at = 0; at < text.size && err == BRISK_OK;) {
        size_t length = 0;
        size_t i = at;
        while (i < text.size && text.data[i] >= '0' && text.data[i] <= '9' && length < text.size) {
            length = length * 10 + (size_t)(text.data[i++] - '0');
        }
        if (i == at || i >= text.size || text.data[i] != ' ' || length > text.size - at ||
            length < i - at + 3 || text.data[at + length - 1] != '\n') {
            return corrupt(r, "a pax header that is none");
        }
        const char *key = text.data + i + 1;
        size_t left = at + length - 1 - (i + 1);
        const char *equal = memchr(key, '=', left);
        size_t value = equal != NULL ? left - (size_t)(equal - key) - 1 : 0;
        if (equal != NULL && equal - key == 4 && memcmp(key, "path", 4) == 0) {
            err = take_path(r, equal + 1, value);
        } else if (equal != NULL && equal - key == 4 && memcmp(key, "size", 4) == 0) {
            err = take_pax_size(r, equal + 1, value);
        }
        at += length;
    }
    return err;
}

/* What is behind the first folder, or "" where a path leads elsewhere. */
static pkg_text name_of(const entry *e)
{
    pkg_text path = {.data = e->path, .size = e->path_size};
    size_t first = 0;
    for (size_t at = 0; at <= path.size;) {
        const char *slash = at < path.size ? memchr(path.data + at, '/', path.size - at) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - path.data) : path.size;
        if (end - at == 2 && path.data[at] == '.' && path.data[at + 1] == '.') {
            return PKG_TEXT("");
        }
        first = first == 0 && slash != NULL ? end + 1 : first;
        at = end + 1;
    }
    if (first == 0 || path.data[0] == '/') {
        return PKG_TEXT("");
    }
    return (pkg_text){.data = path.data + first, .size = path.size - first};
}

static brisk_err take_file(reader *r, const entry *e, pkg_tar *ret)
{
    pkg_text name = name_of(e);
    if (pkg_text_is(name, "package.json")) {
        if (e->size > PKG_TAR_MANIFEST_MAX) {
            return brisk_errinfo_set(r->info, BRISK_ERR_LIMIT,
                                     "a package.json of more than 16 MiB");
        }
        ret->manifest = e->content;
    }
    ret->has_shrinkwrap = ret->has_shrinkwrap || pkg_text_is(name, "npm-shrinkwrap.json");
    ret->has_gyp = ret->has_gyp || pkg_text_is(name, "binding.gyp");
    return BRISK_OK;
}

brisk_err pkg_tar_read(pkg_text tar, pkg_tar *ret, brisk_errinfo *info)
{
    reader r = {.tar = tar, .info = info};
    pkg_tar found = {0};
    entry e;
    bool more = true;
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK) {
        err = next_entry(&r, &e, &more);
        if (err != BRISK_OK || !more) {
            break;
        }
        switch (e.type) {
        case 'x': err = take_pax(&r, e.content); break;
        case 'L': err = take_path(&r, e.content.data, e.content.size); break;
        case '\0':
        case '0':
        case '7': err = take_file(&r, &e, &found); break;
        default: break; /* folders, links, devices, comments */
        }
    }
    if (err == BRISK_OK && found.manifest.data == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND, "a tarball without a package.json");
    }
    if (err == BRISK_OK) {
        *ret = found;
    }
    return err;
}

/* --- gzip ------------------------------------------------------------------------------------ */

enum { GZIP_LEAST = 18, EXPANDED_AT_FIRST = 1 << 16 };

typedef struct expansion {
    unsigned char *data;
    size_t size;
    size_t capacity;
} expansion;

static brisk_err grow(expansion *to, size_t most, const brisk_alloc *alloc, brisk_errinfo *info)
{
    if (to->capacity >= most) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "a tarball that expands to more than %zu bytes", most);
    }
    size_t capacity = to->capacity > 0 ? to->capacity * 2 : EXPANDED_AT_FIRST;
    capacity = capacity < most ? capacity : most;
    unsigned char *more = alloc->acquire(alloc->ctx, capacity, 16);
    if (more == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    if (to->size > 0) {
        memcpy(more, to->data, to->size);
    }
    if (to->data != NULL) {
        alloc->release(alloc->ctx, to->data, to->capacity, 16);
    }
    to->data = more;
    to->capacity = capacity;
    return BRISK_OK;
}

static brisk_err expand_all(struct libdeflate_decompressor *d, pkg_text packed, size_t most,
                            const brisk_alloc *alloc, expansion *to, brisk_errinfo *info)
{
    size_t at = 0;
    while (packed.size - at >= GZIP_LEAST) {
        size_t used = 0;
        size_t made = 0;
        enum libdeflate_result result = libdeflate_gzip_decompress_ex(
            d, packed.data + at, packed.size - at, to->data + to->size, to->capacity - to->size,
            &used, &made);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            brisk_err err = grow(to, most, alloc, info);
            if (err != BRISK_OK) {
                return err;
            }
            continue;
        }
        if (result != LIBDEFLATE_SUCCESS) {
            if (at > 0) {
                break; /* what follows the last member is passed over, as gzip does */
            }
            return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "a damaged tarball: not gzip");
        }
        at += used;
        to->size += made;
    }
    return at > 0 ? BRISK_OK
                  : brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "a damaged tarball: it ends");
}

brisk_err pkg_tar_expand(pkg_text packed, size_t most, const brisk_alloc *alloc, pkg_text *ret,
                         void **ret_held, size_t *ret_capacity, brisk_errinfo *info)
{
    *ret_held = NULL;
    *ret_capacity = 0;
    bool gzip = packed.size >= 2 && (unsigned char)packed.data[0] == 0x1F &&
                (unsigned char)packed.data[1] == 0x8B;
    if (!gzip) {
        *ret = packed;
        return BRISK_OK;
    }
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (d == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    expansion to = {0};
    brisk_err err = grow(&to, most, alloc, info);
    err = err == BRISK_OK ? expand_all(d, packed, most, alloc, &to, info) : err;
    libdeflate_free_decompressor(d);
    if (err != BRISK_OK) {
        if (to.data != NULL) {
            alloc->release(alloc->ctx, to.data, to.capacity, 16);
        }
        return err;
    }
    *ret = (pkg_text){.data = (const char *)to.data, .size = to.size};
    *ret_held = to.data;
    *ret_capacity = to.capacity;
    return BRISK_OK;
}
