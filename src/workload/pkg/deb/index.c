/*
 * index.c -- the index file: found, mapped, looked through; built anew when it does not fit.
 *
 * The checksum covers all of it, so that a file that a crash left half-written is built anew; where
 * one record points to another is still checked, here once for all records, so that not even a file
 * that was made to deceive reads outside of itself.  A new file takes the old one's place by rename.
 *
 * Threads: see deb.h.
 */
#include "workload/pkg/deb/index.h"

#include <stdlib.h>

#include <brisk/hash.h>

const char deb_index_magic[8] = {'b', 'r', 'i', 's', 'k', 'd', 'e', 'b'};

const uint32_t deb_section_sizes[DEB_SECTION_COUNT] = {
    sizeof(deb_name), sizeof(deb_package), sizeof(deb_version), sizeof(deb_group),
    sizeof(uint32_t), sizeof(solve_term),  sizeof(uint32_t),    1,
};

static bool span_fits(const deb_index *index, deb_span span)
{
    return (uint64_t)span.at + span.size <= index->string_size;
}

static bool range_fits(uint32_t from, uint64_t count, uint32_t all)
{
    return from + count <= all;
}

static bool names_fit(const deb_index *index)
{
    bool ok = true;
    for (uint32_t i = 0; i < index->name_count; i++) {
        const deb_name *name = &index->names[i];
        ok &= span_fits(index, name->text);
        ok &= range_fits(name->packages, name->package_count, index->package_count);
        ok &= range_fits(name->provides, name->provide_count, index->term_count);
        ok &= name->replaces == SOLVE_NONE || name->replaces < index->version_count;
    }
    for (uint32_t i = 0; i < index->bucket_count; i++) {
        ok &= index->buckets[i] <= index->name_count;
    }
    return ok;
}

static bool versions_fit(const deb_index *index)
{
    bool ok = true;
    for (uint32_t i = 0; i < index->package_count; i++) {
        const deb_package *package = &index->packages[i];
        ok &= package->name < index->name_count && package->arch < index->arch_count;
        ok &= package->version_count > 0 && package->version_count <= DEB_VERSIONS_MAX;
        ok &= range_fits(package->versions, package->version_count, index->version_count);
    }
    for (uint32_t i = 0; i < index->version_count; i++) {
        const deb_version *version = &index->versions[i];
        uint64_t count = 0;
        for (int k = 0; k < DEB_KIND_COUNT; k++) {
            count += version->counts[k];
        }
        ok &= span_fits(index, version->text);
        ok &= range_fits(version->relations, count, index->ref_count);
        ok &= version->pre_depends <= version->counts[DEB_KIND_DEPENDS];
    }
    return ok;
}

static bool relations_fit(const deb_index *index)
{
    bool ok = true;
    for (uint32_t i = 0; i < index->ref_count; i++) {
        ok &= index->refs[i] < index->group_count;
    }
    for (uint32_t i = 0; i < index->group_count; i++) {
        ok &= span_fits(index, index->groups[i].text);
        ok &= range_fits(index->groups[i].terms, index->groups[i].term_count, index->term_count);
    }
    for (uint32_t i = 0; ok && i < index->term_count; i++) {
        const solve_term *term = &index->terms[i];
        ok = term->package < index->package_count &&
             term->set.bits >> index->packages[term->package].version_count <= 1;
    }
    return ok;
}

static bool header_fits(const deb_header *header, size_t size)
{
    if (memcmp(header->magic, deb_index_magic, sizeof deb_index_magic) != 0 ||
        header->format != DEB_INDEX_FORMAT || header->byte_order != DEB_INDEX_ORDER ||
        header->size != size || header->arch_count == 0 || header->arch_count > DEB_ARCHS_MAX) {
        return false;
    }
    uint64_t end = sizeof *header;
    for (int i = 0; i < DEB_SECTION_COUNT; i++) {
        uint64_t bytes = (uint64_t)header->counts[i] * deb_section_sizes[i];
        if (header->at[i] % 16 != 0 || header->at[i] < end || header->at[i] > size ||
            bytes > size - header->at[i]) {
            return false;
        }
        end = header->at[i] + bytes;
    }
    uint32_t buckets = header->counts[DEB_SECTION_BUCKETS];
    return buckets > header->counts[DEB_SECTION_NAMES] && (buckets & (buckets - 1)) == 0;
}

static bool checksum_fits(pkg_text data)
{
    deb_header header;
    memcpy(&header, data.data, sizeof header);
    header.checksum = 0;
    uint64_t seed = brisk_hash64(&header, sizeof header, DEB_INDEX_FORMAT);
    return brisk_hash64(data.data + sizeof header, data.size - sizeof header, seed) ==
           ((const deb_header *)(const void *)data.data)->checksum;
}

brisk_err deb_index_load(pkg_text data, deb_index *ret)
{
    if (data.size < sizeof(deb_header)) {
        return BRISK_ERR_CORRUPT;
    }
    const char *base = data.data;
    const deb_header *header = (const deb_header *)(const void *)base;
    if (!header_fits(header, data.size) || !checksum_fits(data)) {
        return BRISK_ERR_CORRUPT;
    }
    const uint32_t *counts = header->counts;
    const void *at[DEB_SECTION_COUNT];
    for (int i = 0; i < DEB_SECTION_COUNT; i++) {
        at[i] = base + header->at[i];
    }
    deb_index index = {.header = header,
                       .names = at[DEB_SECTION_NAMES],
                       .packages = at[DEB_SECTION_PACKAGES],
                       .versions = at[DEB_SECTION_VERSIONS],
                       .groups = at[DEB_SECTION_GROUPS],
                       .refs = at[DEB_SECTION_REFS],
                       .terms = at[DEB_SECTION_TERMS],
                       .buckets = at[DEB_SECTION_BUCKETS],
                       .strings = at[DEB_SECTION_STRINGS],
                       .name_count = counts[DEB_SECTION_NAMES],
                       .package_count = counts[DEB_SECTION_PACKAGES],
                       .version_count = counts[DEB_SECTION_VERSIONS],
                       .group_count = counts[DEB_SECTION_GROUPS],
                       .ref_count = counts[DEB_SECTION_REFS],
                       .term_count = counts[DEB_SECTION_TERMS],
                       .bucket_count = counts[DEB_SECTION_BUCKETS],
                       .string_size = counts[DEB_SECTION_STRINGS],
                       .arch_count = header->arch_count,
                       .skipped = header->skipped};
    bool ok = span_fits(&index, header->skip_why) && names_fit(&index) && versions_fit(&index) &&
              relations_fit(&index);
    for (uint32_t i = 0; i < index.arch_count; i++) {
        ok = ok && span_fits(&index, header->archs[i]);
        index.archs[i] = ok ? deb_text(&index, header->archs[i]) : (pkg_text){0};
    }
    if (!ok) {
        return BRISK_ERR_CORRUPT;
    }
    index.skip_why = deb_text(&index, header->skip_why);
    *ret = index;
    return BRISK_OK;
}

uint32_t deb_index_find(const deb_index *index, pkg_text name)
{
    uint32_t mask = index->bucket_count - 1;
    uint32_t at = (uint32_t)brisk_hash64(name.data, name.size, 0) & mask;
    for (uint32_t tries = 0; tries < index->bucket_count && index->buckets[at] != 0; tries++) {
        uint32_t id = index->buckets[at] - 1;
        if (pkg_text_equal(deb_text(index, index->names[id].text), name)) {
            return id;
        }
        at = (at + 1) & mask;
    }
    return SOLVE_NONE;
}

/* --- opening ------------------------------------------------------------------------------ */

static brisk_err read_lists(const deb_lists *lists, brisk_arena *arena, deb_input **ret,
                            brisk_errinfo *info)
{
    deb_input *inputs = brisk_arena_calloc(arena, lists->count, sizeof *inputs);
    brisk_err err = inputs != NULL ? BRISK_OK : BRISK_ERR_NOMEM;
    for (uint32_t i = 0; err == BRISK_OK && i < lists->count; i++) {
        inputs[i].name = lists->items[i].name;
        err = deb_list_read(&lists->items[i], arena, &inputs[i].text, info);
    }
    *ret = inputs;
    return err;
}

/* To its place, for the next time.  Not being able to is no error: it is used from memory. */
static void write_index(const char *path, const char *folder, pkg_text image)
{
    brisk_file_replace *replace = NULL;
    if (path == NULL || brisk_file_make_dirs(folder, NULL) != BRISK_OK ||
        brisk_file_replace_open(path, NULL, &replace, NULL) != BRISK_OK) {
        return;
    }
    if (brisk_file_write_all(brisk_file_replace_fd(replace), image.data, image.size) != BRISK_OK) {
        brisk_file_replace_abort(replace);
        return;
    }
    (void)!brisk_file_replace_commit(replace, false, NULL);
}

static brisk_err build(const deb_index_opts *opts, const deb_lists *lists, const char *path,
                       deb_index *ret, brisk_errinfo *info)
{
    brisk_arena *arena = NULL;
    brisk_err err = brisk_arena_create(NULL, &arena);
    deb_input *inputs = NULL;
    pkg_text image = {0};
    if (err == BRISK_OK) {
        err = read_lists(lists, arena, &inputs, info);
    }
    if (err == BRISK_OK) {
        err = deb_index_build(inputs, lists->count, opts->archs, lists->key, arena, &image, info);
    }
    if (err == BRISK_OK) {
        write_index(path, opts->cache, image);
        err = deb_index_load(image, ret);
    }
    if (err != BRISK_OK) {
        brisk_arena_destroy(arena);
        return err;
    }
    ret->rebuilt = true;
    ret->memory = arena;
    return BRISK_OK;
}

/* The mapped file, when it is one of these lists. */
static bool map(const char *path, const deb_lists *lists, deb_index *ret)
{
    brisk_file_view view = {0};
    if (brisk_file_view_open(path, DEB_INDEX_BYTES_MAX, &view, NULL) != BRISK_OK) {
        return false;
    }
    pkg_text data = {.data = (const char *)view.data, .size = view.size};
    if (view.size < sizeof(deb_header) ||
        ((const deb_header *)(const void *)view.data)->key != lists->key ||
        deb_index_load(data, ret) != BRISK_OK) {
        brisk_file_view_close(&view);
        return false;
    }
    ret->view = view;
    return true;
}

static brisk_err open_index(const deb_index_opts *opts, brisk_arena *arena, deb_index *ret,
                            brisk_errinfo *info)
{
    deb_lists lists = {0};
    brisk_err err = deb_lists_find(opts, arena, &lists, info);
    if (err != BRISK_OK) {
        return err;
    }
    const char *path = NULL;
    if (opts->cache != NULL) {
        uint64_t place = brisk_hash64(opts->lists, strlen(opts->lists), 0);
        place = brisk_hash64(opts->archs, strlen(opts->archs), place);
        path = brisk_arena_printf(arena, "%s/deb-%016llx.index", opts->cache,
                                  (unsigned long long)place);
        if (path == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    if (path != NULL && !opts->refresh && map(path, &lists, ret)) {
        return BRISK_OK;
    }
    return build(opts, &lists, path, ret, info);
}

brisk_err deb_index_open(const deb_index_opts *opts, deb_index *ret, brisk_errinfo *info)
{
    brisk_arena *arena = NULL;
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &arena);
    if (err != BRISK_OK) {
        return err;
    }
    err = open_index(opts, arena, ret, info);
    brisk_arena_destroy(arena);
    return err;
}

void deb_index_close(deb_index *index)
{
    brisk_file_view_close(&index->view);
    brisk_arena_destroy(index->memory);
    memset(index, 0, sizeof *index);
}
