/*
 * import.c -- which format it is, and files.
 */
#include "observe/profile/import.h"

#include <string.h>

#include <brisk/file.h>

#include "wire/codec.h"

static bool is_gzip(prof_bytes b)
{
    return b.size > 18 && b.data[0] == 0x1f && b.data[1] == 0x8b;
}

/* Of gperftools: a word of 0, one of 3, one of 0. */
static bool is_gperftools(prof_bytes b)
{
    static const unsigned char head[24] = {[8] = 3};
    return b.size >= 40 && memcmp(b.data, head, sizeof head) == 0;
}

/* Text, as far as its beginning tells. */
static bool is_text(prof_bytes b)
{
    size_t size = b.size < 4096 ? b.size : 4096;
    return size > 0 && memchr(b.data, '\0', size) == NULL &&
           (b.data[0] >= ' ' || b.data[0] == '\t' || b.data[0] == '\n');
}

/* perf script has stacks of one frame a line, which begin with blanks. */
static bool is_perf_script(prof_bytes b)
{
    for (size_t at = 0; at < b.size && at < 65536;) {
        const unsigned char *end = memchr(b.data + at, '\n', b.size - at);
        if (b.data[at] == '\t' || (b.data[at] == ' ' && at > 0)) {
            return true;
        }
        if (end == NULL) {
            break;
        }
        at = (size_t)(end - b.data) + 1;
    }
    return false;
}

static brisk_err import_gzip(prof_bytes b, prof_model *model, brisk_errinfo *info)
{
    const brisk_alloc *alloc = model->alloc;
    uint32_t plain;
    memcpy(&plain, b.data + b.size - sizeof plain, sizeof plain); /* gzip ends in its size */
    if (plain == 0 || plain > PROF_IMPORT_BYTES_MAX || plain / 1032 > b.size) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "%s: expands to %u bytes", b.name,
                                 (unsigned)plain);
    }
    codec_kit *kit = NULL;
    unsigned char *bytes = alloc->acquire(alloc->ctx, plain, 16);
    brisk_err err = bytes != NULL ? codec_kit_create(alloc, &kit) : BRISK_ERR_NOMEM;
    if (err == BRISK_OK) {
        err = codec_expand(kit, &(codec_how){.id = CODEC_GZIP}, (codec_bytes){b.data, b.size},
                           (codec_room){bytes, plain});
        if (err != BRISK_OK) {
            err = brisk_errinfo_set(info, err, "%s: damaged gzip", b.name);
        }
    }
    if (err == BRISK_OK) {
        err = prof_import_pprof((prof_bytes){bytes, plain, b.name}, model, info);
    }
    codec_kit_destroy(kit);
    if (bytes != NULL) {
        alloc->release(alloc->ctx, bytes, plain, 16);
    }
    return err;
}

static brisk_err import_into(prof_bytes b, prof_model *model, brisk_errinfo *info)
{
    if (is_gzip(b)) {
        return import_gzip(b, model, info);
    }
    if (is_gperftools(b)) {
        return prof_import_gperftools(b, model, info);
    }
    if (is_text(b)) {
        return is_perf_script(b) ? prof_import_perf_script(b, model, info)
                                 : prof_import_collapsed(b, model, info);
    }
    return prof_import_pprof(b, model, info);
}

brisk_err prof_import(prof_bytes b, const brisk_alloc *alloc, prof_model **ret, brisk_errinfo *info)
{
    if (b.size == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_CORRUPT, "%s: empty", b.name);
    }
    if (b.size >= 8 && memcmp(b.data, "PERFILE2", 8) == 0) {
        return prof_import_perf_data(b, true, alloc, ret, info);
    }
    prof_model *model = NULL;
    brisk_err err = prof_model_create(alloc, &model);
    if (err == BRISK_OK) {
        err = import_into(b, model, info);
    }
    if (err == BRISK_OK) {
        err = prof_model_err(model);
    }
    if (err != BRISK_OK) {
        prof_model_destroy(model);
        return err;
    }
    *ret = model;
    return BRISK_OK;
}

brisk_err prof_import_file(const char *path, const brisk_alloc *alloc, prof_model **ret,
                           brisk_errinfo *info)
{
    brisk_file_view view;
    brisk_err err = brisk_file_view_open(path, PROF_IMPORT_BYTES_MAX, &view, info);
    if (err != BRISK_OK) {
        return err;
    }
    err = prof_import((prof_bytes){view.data, view.size, path}, alloc, ret, info);
    brisk_file_view_close(&view);
    return err;
}
