/*
 * registry_docs.c -- documents of packages, made ready to be sent.
 *
 * The abbreviated form is the full one without its top-level "time".  With `signatures` each
 * version's "dist" gets what real registries put there and the snapshot lacks (signature, number of files,
 * size): random, since that is what does not compress.
 */
#include "registry.h"

#include <dirent.h>
#include <libdeflate.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

void *reg_alloc(size_t size)
{
    void *block = malloc(size > 0 ? size : 1);
    if (block == NULL) {
        (void)fputs("bench_registry: out of memory\n", stderr);
        exit(1);
    }
    return block;
}

/* --- reading -------------------------------------------------------------------------------- */

static bool read_file(const char *path, reg_bytes *ret)
{
    FILE *file = fopen(path, "rbe");
    struct stat st;
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        if (file != NULL) {
            (void)fclose(file);
        }
        (void)fprintf(stderr, "bench_registry: cannot read %s\n", path);
        return false;
    }
    size_t size = (size_t)st.st_size;
    unsigned char *data = reg_alloc(size);
    bool whole = fread(data, 1, size, file) == size;
    (void)fclose(file);
    *ret = (reg_bytes){data, size};
    return whole;
}

static bool unzstd(reg_bytes packed, reg_bytes *ret)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    size_t capacity = packed.size * 16;
    unsigned char *data = reg_alloc(capacity);
    ZSTD_inBuffer in = {packed.data, packed.size, 0};
    ZSTD_outBuffer out = {data, capacity, 0};
    size_t left = 1;
    while (in.pos < in.size || (left != 0 && out.pos == out.size)) {
        if (out.pos == out.size) {
            out.size *= 2;
            data = realloc(data, out.size);
            if (data == NULL) {
                exit(1);
            }
            out.dst = data;
        }
        left = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(left)) {
            break;
        }
    }
    (void)ZSTD_freeDCtx(context);
    *ret = (reg_bytes){data, out.pos};
    return left == 0;
}

/* "./@scope%2fname.json" to "@scope/name"; NULL: another kind of file. */
static char *name_of(const char *file)
{
    file += strncmp(file, "./", 2) == 0 ? 2 : 0;
    size_t size = strlen(file);
    if (size < 6 || strcmp(file + size - 5, ".json") != 0) {
        return NULL;
    }
    char *name = reg_alloc(size);
    memcpy(name, file, size - 5);
    name[size - 5] = '\0';
    char *slash = strstr(name, "%2f");
    if (slash != NULL) {
        *slash = '/';
        memmove(slash + 1, slash + 3, strlen(slash + 3) + 1);
    }
    return name;
}

/* --- making forms --------------------------------------------------------------------------- */

/* The end of the JSON value at `at`: behind it. */
static const char *skip_value(const char *at, const char *end)
{
    int depth = 0;
    bool string = false;
    for (; at < end; at++) {
        if (string) {
            at += *at == '\\';
            string = at < end && *at != '"';
        } else if (*at == '"') {
            string = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            if (depth < 0) {
                return at;
            }
        } else if (*at == ',' && depth == 0) {
            return at;
        }
    }
    return end;
}

/* A document without its top-level member "time". */
static reg_bytes abbreviate(reg_bytes full)
{
    const char *at = (const char *)full.data;
    const char *end = at + full.size;
    unsigned char *copy = reg_alloc(full.size);
    size_t size = 0;
    bool first = true;
    while (at < end && *at != '{') {
        at++;
    }
    at += at < end;
    copy[size++] = '{';
    while (at < end && *at != '}') {
        const char *next = skip_value(at, end);
        const char *name = at;
        while (name < next && *name != '"') {
            name++;
        }
        if (next - name < 6 || memcmp(name, "\"time\"", 6) != 0) {
            if (!first) {
                copy[size++] = ',';
            }
            memcpy(copy + size, at, (size_t)(next - at));
            size += (size_t)(next - at);
            first = false;
        }
        at = next + (next < end && *next == ',');
    }
    copy[size++] = '}';
    return (reg_bytes){copy, size};
}

static size_t make_signature(char room[320], uint64_t *state)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[96];
    for (size_t i = 0; i < 95; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        text[i] = digits[*state >> 58];
    }
    text[95] = '\0';
    int size =
        snprintf(room, 320,
                 "\"signatures\":[{\"sig\":\"%s\",\"keyid\":\"SHA256:jl3bwswu80PjjokCgh0o2w5c2U4"
                 "LhQAE57gj9cz1kzA\"}],\"fileCount\":%u,\"unpackedSize\":%u,",
                 text, (unsigned int)(*state >> 40) % 500, (unsigned int)(*state >> 32) % 9999999);
    return (size_t)size;
}

typedef struct text_out {
    unsigned char *data;
    size_t size;
    size_t capacity;
} text_out;

static void add(text_out *out, const void *data, size_t size)
{
    if (out->size + size > out->capacity) {
        out->capacity = (out->size + size) * 2;
        out->data = realloc(out->data, out->capacity);
        if (out->data == NULL) {
            exit(1);
        }
    }
    memcpy(out->data + out->size, data, size);
    out->size += size;
}

/* Signatures, and another place for tarballs. */
static reg_bytes embellish(reg_bytes text, const reg_docs_opts *opts, uint64_t *state)
{
    static const char dist[] = "\"dist\":{";
    static const char host[] = "\"https://registry.test/";
    text_out out = {reg_alloc(text.size), 0, text.size};
    const unsigned char *at = text.data;
    const unsigned char *end = at + text.size;
    const unsigned char *kept = at;
    for (const unsigned char *quote; (quote = memchr(at, '"', (size_t)(end - at))) != NULL;) {
        size_t left = (size_t)(end - quote);
        at = quote + 1;
        if (opts->signatures && left > sizeof dist && memcmp(quote, dist, sizeof dist - 1) == 0) {
            char signature[320];
            at = quote + sizeof dist - 1;
            add(&out, kept, (size_t)(at - kept));
            add(&out, signature, make_signature(signature, state));
            kept = at;
        } else if (opts->tarball_base != NULL && left > sizeof host &&
                   memcmp(quote, host, sizeof host - 1) == 0) {
            add(&out, kept, (size_t)(at - kept));
            add(&out, opts->tarball_base, strlen(opts->tarball_base));
            at = quote + sizeof host - 1;
            kept = at;
        }
    }
    add(&out, kept, (size_t)(end - kept));
    return (reg_bytes){out.data, out.size};
}

reg_bytes reg_form_gzip(reg_form *form, int level)
{
    if (form->gzip.data == NULL) {
        struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(level);
        size_t bound = libdeflate_gzip_compress_bound(compressor, form->plain.size);
        unsigned char *data = reg_alloc(bound);
        size_t size =
            libdeflate_gzip_compress(compressor, form->plain.data, form->plain.size, data, bound);
        libdeflate_free_compressor(compressor);
        unsigned char *exact = realloc(data, size);
        form->gzip = (reg_bytes){exact != NULL ? exact : data, size};
    }
    return form->gzip;
}

static void set_etag(reg_form *form)
{
    (void)snprintf(form->etag, sizeof form->etag, "\"%016llx\"",
                   (unsigned long long)XXH3_64bits(form->plain.data, form->plain.size));
}

static void add_doc(reg_docs *docs, const reg_docs_opts *opts, char *name, reg_bytes text)
{
    uint64_t state = XXH3_64bits(name, strlen(name));
    if (docs->count % 1024 == 0) {
        docs->items = realloc(docs->items, (docs->count + 1024) * sizeof *docs->items);
        if (docs->items == NULL) {
            exit(1);
        }
    }
    if (opts->signatures || opts->tarball_base != NULL) {
        text = embellish(text, opts, &state);
    }
    reg_doc *doc = &docs->items[docs->count++];
    *doc = (reg_doc){.name = name, .full = {.plain = text}};
    doc->abbreviated.plain = abbreviate(text);
    set_etag(&doc->full);
    set_etag(&doc->abbreviated);
    (void)reg_form_gzip(&doc->abbreviated, opts->level);
}

/* --- sources -------------------------------------------------------------------------------- */

static bool load_archive(reg_docs *docs, const reg_docs_opts *opts)
{
    enum { BLOCK = 512, SIZE_AT = 124, TYPE_AT = 156 };
    reg_bytes packed;
    reg_bytes tar;
    if (!read_file(opts->path, &packed) || !unzstd(packed, &tar)) {
        return false;
    }
    for (size_t at = 0; at + BLOCK <= tar.size && tar.data[at] != '\0';) {
        char file[101] = "";
        memcpy(file, tar.data + at, 100);
        size_t size = strtoull((const char *)tar.data + at + SIZE_AT, NULL, 8);
        char type = (char)tar.data[at + TYPE_AT];
        at += BLOCK;
        if (size > tar.size - at) {
            return false;
        }
        char *name = type == '0' || type == '\0' ? name_of(file) : NULL;
        if (name != NULL) {
            add_doc(docs, opts, name, (reg_bytes){tar.data + at, size});
        }
        at += (size + BLOCK - 1) / BLOCK * BLOCK;
    }
    free((void *)(uintptr_t)packed.data);
    return true; /* `tar` stays: the documents lie in it */
}

static bool load_folder(reg_docs *docs, const reg_docs_opts *opts)
{
    DIR *folder = opendir(opts->path);
    if (folder == NULL) {
        (void)fprintf(stderr, "bench_registry: cannot read %s\n", opts->path);
        return false;
    }
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(folder)) != NULL;) {
        char path[REG_PATH_MAX];
        reg_bytes text;
        char *name = name_of(entry->d_name);
        if (name != NULL) {
            (void)snprintf(path, sizeof path, "%s/%s", opts->path, entry->d_name);
            good = read_file(path, &text);
            if (good) {
                add_doc(docs, opts, name, text);
            }
        }
    }
    (void)closedir(folder);
    return good;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const reg_doc *)a)->name, ((const reg_doc *)b)->name);
}

bool reg_docs_load(reg_docs *docs, const reg_docs_opts *opts)
{
    struct stat st;
    *docs = (reg_docs){.level = opts->level};
    if (opts->path == NULL) {
        return true; /* only /-/try */
    }
    bool folder = stat(opts->path, &st) == 0 && S_ISDIR(st.st_mode);
    if (!(folder ? load_folder(docs, opts) : load_archive(docs, opts))) {
        return false;
    }
    if (docs->count > 0) {
        qsort(docs->items, docs->count, sizeof *docs->items, compare);
    }
    return true;
}

reg_doc *reg_docs_find(const reg_docs *docs, const char *name)
{
    reg_doc wanted = {.name = (char *)(uintptr_t)name};
    return docs->count > 0
               ? bsearch(&wanted, docs->items, docs->count, sizeof *docs->items, compare)
               : NULL;
}
