/*
 * lists.c -- the lists of a folder: which there are, and their text.
 *
 * What apt keeps in /var/lib/apt/lists: files whose name ends in "Packages", as they are or packed
 * (lz4, gzip, zstd).  Their names, sizes, times and inodes together are the key of an index: when a
 * list is replaced, the key is another one.
 *
 * Threads: one.
 */
#include "workload/pkg/deb/index.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <libdeflate.h>
#include <lz4frame.h>
#include <lzma.h>
#include <sys/stat.h>
#include <zstd.h>

#include <brisk/hash.h>

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name);
    size_t end_size = strlen(end);
    return size >= end_size && memcmp(name + size - end_size, end, end_size) == 0;
}

/* Is `arch` in the list "amd64,i386"? */
static bool has_arch(const char *archs, const char *arch, size_t size)
{
    pkg_text rest = pkg_text_of(archs);
    pkg_text one;
    while (deb_list_next(&rest, ',', &one)) {
        if (one.size == size && memcmp(one.data, arch, size) == 0) {
            return true;
        }
    }
    return false;
}

/* A list, and not one that by its name is of an architecture that nobody asked for. */
static bool is_wanted(const char *name, const char *archs)
{
    static const char *const ends[] = {"Packages", "Packages.lz4", "Packages.gz", "Packages.zst",
                                       "Packages.xz"};
    bool is_list = false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        is_list |= ends_with(name, ends[i]);
    }
    const char *binary = strstr(name, "_binary-");
    if (!is_list || binary == NULL) {
        return is_list;
    }
    binary += strlen("_binary-");
    size_t size = strcspn(binary, "_");
    return (size == 3 && memcmp(binary, "all", 3) == 0) || has_arch(archs, binary, size);
}

static int compare_lists(const void *a, const void *b)
{
    return strcmp(((const deb_list *)a)->name, ((const deb_list *)b)->name);
}

static void add_number(brisk_hasher *hasher, uint64_t number)
{
    brisk_hasher_update(hasher, &number, sizeof number);
}

static brisk_err make_key(const deb_index_opts *opts, deb_lists *lists, brisk_errinfo *info)
{
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, DEB_INDEX_FORMAT);
    brisk_hasher_update(&hasher, opts->archs, strlen(opts->archs) + 1);
    for (uint32_t i = 0; i < lists->count; i++) {
        struct stat st;
        if (stat(lists->items[i].path, &st) != 0) {
            return brisk_errinfo_set_errno(info, errno, "%s", lists->items[i].path);
        }
        brisk_hasher_update(&hasher, lists->items[i].name, strlen(lists->items[i].name) + 1);
        add_number(&hasher, (uint64_t)st.st_size);
        add_number(&hasher, (uint64_t)st.st_mtim.tv_sec);
        add_number(&hasher, (uint64_t)st.st_mtim.tv_nsec);
        add_number(&hasher, (uint64_t)st.st_ino);
        add_number(&hasher, (uint64_t)st.st_dev);
    }
    lists->key = brisk_hasher_digest64(&hasher);
    return BRISK_OK;
}

static brisk_err read_folder(DIR *folder, const deb_index_opts *opts, brisk_arena *arena,
                             deb_lists *ret, brisk_errinfo *info)
{
    deb_list *items = brisk_arena_calloc(arena, DEB_LISTS_MAX, sizeof *items);
    if (items == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint32_t count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (!is_wanted(entry->d_name, opts->archs)) {
            continue;
        }
        if (count == DEB_LISTS_MAX) {
            return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: more than %d lists", opts->lists,
                                     (int)DEB_LISTS_MAX);
        }
        const char *path = brisk_arena_printf(arena, "%s/%s", opts->lists, entry->d_name);
        if (path == NULL) {
            return BRISK_ERR_NOMEM;
        }
        items[count].path = path;
        items[count++].name = path + strlen(opts->lists) + 1;
    }
    qsort(items, count, sizeof *items, compare_lists);
    *ret = (deb_lists){.items = items, .count = count};
    return count > 0 ? BRISK_OK
                     : brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                         "%s: no package lists of architecture %s (run apt update, "
                                         "or name a folder with --lists)",
                                         opts->lists, opts->archs);
}

brisk_err deb_lists_find(const deb_index_opts *opts, brisk_arena *arena, deb_lists *ret,
                         brisk_errinfo *info)
{
    DIR *folder = opendir(opts->lists);
    if (folder == NULL) {
        return brisk_errinfo_set_errno(info, errno, "%s", opts->lists);
    }
    brisk_err err = read_folder(folder, opts, arena, ret, info);
    (void)closedir(folder);
    return err == BRISK_OK ? make_key(opts, ret, info) : err;
}

/* --- unpacking ---------------------------------------------------------------------------- */

/* What was unpacked so far; it doubles. */
typedef struct output {
    brisk_arena *arena;
    char *data;
    size_t size;
    size_t capacity;
} output;

/* Double it, or take `first` bytes at first. */
static brisk_err grow(output *out, size_t first)
{
    size_t capacity = out->capacity != 0 ? out->capacity * 2 : first;
    if (out->capacity >= DEB_LIST_BYTES_MAX) {
        return BRISK_ERR_LIMIT;
    }
    capacity = capacity < 4096 ? 4096 : capacity;
    capacity = capacity < DEB_LIST_BYTES_MAX ? capacity : DEB_LIST_BYTES_MAX;
    char *data = brisk_arena_alloc(out->arena, capacity);
    if (data == NULL) {
        return BRISK_ERR_NOMEM;
    }
    if (out->size > 0) {
        memcpy(data, out->data, out->size);
    }
    out->data = data;
    out->capacity = capacity;
    return BRISK_OK;
}

static brisk_err unpack_lz4(pkg_text in, output *out)
{
    LZ4F_dctx *context = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = grow(out, in.size * 4);
    size_t hint = 1;
    while (err == BRISK_OK && in.size > 0) {
        size_t taken = in.size;
        size_t made = out->capacity - out->size;
        hint = LZ4F_decompress(context, out->data + out->size, &made, in.data, &taken, NULL);
        if (LZ4F_isError(hint) || (taken == 0 && made == 0 && out->size < out->capacity)) {
            err = BRISK_ERR_CORRUPT;
            break;
        }
        out->size += made;
        in.data += taken;
        in.size -= taken;
        if (out->size == out->capacity) {
            err = grow(out, 0);
        }
    }
    /* What is left inside when the input ends is the end of a last block, or missing. */
    while (err == BRISK_OK && hint != 0) {
        size_t taken = 0;
        size_t made = out->capacity - out->size;
        hint = LZ4F_decompress(context, out->data + out->size, &made, in.data, &taken, NULL);
        if (LZ4F_isError(hint) || (made == 0 && hint != 0)) {
            err = BRISK_ERR_CORRUPT;
            break;
        }
        out->size += made;
        if (out->size == out->capacity) {
            err = grow(out, 0);
        }
    }
    (void)LZ4F_freeDecompressionContext(context);
    return err;
}

static brisk_err unpack_gzip(pkg_text in, output *out)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (d == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = grow(out, in.size * 5);
    while (err == BRISK_OK && in.size > 0) { /* members, one after the other */
        size_t taken = 0;
        size_t made = 0;
        enum libdeflate_result result = libdeflate_gzip_decompress_ex(
            d, in.data, in.size, out->data + out->size, out->capacity - out->size, &taken, &made);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            err = grow(out, 0);
        } else if (result != LIBDEFLATE_SUCCESS) {
            err = BRISK_ERR_CORRUPT;
        } else {
            out->size += made;
            in.data += taken;
            in.size -= taken;
        }
    }
    libdeflate_free_decompressor(d);
    return err;
}

static brisk_err unpack_zstd(pkg_text in, output *out)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (context == NULL) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = grow(out, in.size * 5);
    ZSTD_inBuffer from = {.src = in.data, .size = in.size};
    size_t hint = 1;
    while (err == BRISK_OK && (from.pos < from.size || hint != 0)) {
        ZSTD_outBuffer to = {.dst = out->data, .size = out->capacity, .pos = out->size};
        size_t before = from.pos;
        hint = ZSTD_decompressStream(context, &to, &from);
        if (ZSTD_isError(hint) != 0 ||
            (to.pos == out->size && from.pos == before && to.pos < out->capacity && hint != 0)) {
            err = BRISK_ERR_CORRUPT;
            break;
        }
        out->size = to.pos;
        if (out->size == out->capacity) {
            err = grow(out, 0);
        }
    }
    (void)ZSTD_freeDCtx(context);
    return err;
}

typedef struct xz_library {
    lzma_ret (*begin)(lzma_stream *, uint64_t, uint32_t);
    lzma_ret (*code)(lzma_stream *, lzma_action);
    void (*end)(lzma_stream *);
} xz_library;

/* liblzma is loaded when the first such list is met: every other command would pay for it. */
static bool load_xz(xz_library *ret)
{
    void *so = dlopen("liblzma.so.5", RTLD_NOW | RTLD_LOCAL); /* it stays: it is used again */
    void *begin = so != NULL ? dlsym(so, "lzma_stream_decoder") : NULL;
    void *code = so != NULL ? dlsym(so, "lzma_code") : NULL;
    void *end = so != NULL ? dlsym(so, "lzma_end") : NULL;
    memcpy(&ret->begin, &begin, sizeof begin);
    memcpy(&ret->code, &code, sizeof code);
    memcpy(&ret->end, &end, sizeof end);
    return begin != NULL && code != NULL && end != NULL;
}

static brisk_err unpack_xz(pkg_text in, output *out)
{
    xz_library xz;
    lzma_stream s = LZMA_STREAM_INIT;
    const uint64_t memory = UINT64_C(512) << 20;
    if (!load_xz(&xz)) {
        return BRISK_ERR_UNSUPPORTED;
    }
    if (xz.begin(&s, memory, LZMA_CONCATENATED) != LZMA_OK) {
        return BRISK_ERR_NOMEM;
    }
    brisk_err err = grow(out, in.size * 6);
    lzma_ret ret = LZMA_OK;
    s.next_in = (const uint8_t *)in.data;
    s.avail_in = in.size;
    while (err == BRISK_OK && ret == LZMA_OK) {
        s.next_out = (uint8_t *)out->data + out->size;
        s.avail_out = out->capacity - out->size;
        ret = xz.code(&s, LZMA_FINISH);
        out->size = out->capacity - s.avail_out;
        if (ret == LZMA_OK && s.avail_out == 0) {
            err = grow(out, 0);
        }
    }
    xz.end(&s);
    if (err == BRISK_OK && ret != LZMA_STREAM_END) {
        err = ret == LZMA_MEM_ERROR        ? BRISK_ERR_NOMEM
              : ret == LZMA_MEMLIMIT_ERROR ? BRISK_ERR_LIMIT
                                           : BRISK_ERR_CORRUPT;
    }
    return err;
}

static brisk_err unpack(const deb_list *list, pkg_text in, output *out, brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    if (ends_with(list->name, ".lz4")) {
        err = unpack_lz4(in, out);
    } else if (ends_with(list->name, ".gz")) {
        err = unpack_gzip(in, out);
    } else if (ends_with(list->name, ".zst")) {
        err = unpack_zstd(in, out);
    } else if (ends_with(list->name, ".xz")) {
        err = unpack_xz(in, out);
    } else {
        err = grow(out, in.size);
        if (err == BRISK_OK) {
            memcpy(out->data, in.data, in.size);
            out->size = in.size;
        }
    }
    if (err == BRISK_ERR_UNSUPPORTED) {
        return brisk_errinfo_set(info, err,
                                 "%s: liblzma is not installed (liblzma5); unpack it "
                                 "(xz -dk)",
                                 list->path);
    }
    if (err == BRISK_ERR_CORRUPT) {
        return brisk_errinfo_set(info, err, "%s: damaged, or cut off (run apt update)", list->path);
    }
    return err == BRISK_OK ? err
                           : brisk_errinfo_set(info, err, "%s: %s", list->path,
                                               err == BRISK_ERR_LIMIT ? "unpacked it is too large"
                                                                      : brisk_err_message(err));
}

brisk_err deb_list_read(const deb_list *list, brisk_arena *arena, pkg_text *ret,
                        brisk_errinfo *info)
{
    brisk_file_view view = {0};
    brisk_err err = brisk_file_view_open(list->path, DEB_LIST_BYTES_MAX, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    output out = {.arena = arena};
    pkg_text in = {.data = (const char *)view.data, .size = view.size};
    err = unpack(list, in, &out, info);
    brisk_file_view_close(&view);
    if (err == BRISK_OK) {
        *ret = (pkg_text){.data = out.data, .size = out.size};
    }
    return err;
}
