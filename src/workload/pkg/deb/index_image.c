/*
 * index_image.c -- what the builder has, as one file.
 *
 * Every byte is written, padding too, so that the same lists give the same bytes.
 *
 * Threads: one.
 */
#include "workload/pkg/deb/index_build.h"

#include <brisk/hash.h>

/* The file being made, and how far its strings are. */
typedef struct deb_image {
    char *base;
    deb_header header;
    uint32_t string_size;
} deb_image;

static deb_span put_text(deb_image *image, pkg_text text)
{
    deb_span span = {.at = image->string_size, .size = (uint32_t)text.size};
    if (text.size > 0) {
        memcpy(image->base + image->header.at[DEB_SECTION_STRINGS] + span.at, text.data, text.size);
    }
    image->string_size += span.size;
    return span;
}

static void *section(const deb_image *image, deb_section which)
{
    return image->base + image->header.at[which];
}

/* All texts together, in bytes. */
static uint64_t count_strings(const deb_builder *b)
{
    uint64_t size = strlen(b->skip_why);
    for (uint32_t i = 0; i < b->arch_count; i++) {
        size += b->archs[i].size;
    }
    for (uint32_t i = 0; i < b->names.count; i++) {
        size += deb_builder_name(b, i)->text.size;
    }
    for (uint32_t i = 0; i < b->versions.count; i++) {
        size += deb_builder_version(b, i)->stanza->version.size;
    }
    for (uint32_t i = 0; i < b->groups.count; i++) {
        size += ((const build_group *)b->groups.items)[i].text.size;
    }
    return size;
}

/* Terms for what is provided stand behind those of the groups. */
static brisk_err lay_out(const deb_builder *b, deb_image *image)
{
    uint64_t counts[DEB_SECTION_COUNT] = {
        b->names.count,  b->packages.count, b->versions.count,
        b->groups.count, b->refs.count,     (uint64_t)b->terms.count + b->provides.count,
        b->bucket_count, count_strings(b),
    };
    uint64_t at = sizeof(deb_header);
    for (int i = 0; i < DEB_SECTION_COUNT; i++) {
        at = (at + 15) / 16 * 16;
        if (counts[i] >= UINT32_MAX) {
            return BRISK_ERR_LIMIT;
        }
        image->header.at[i] = at;
        image->header.counts[i] = (uint32_t)counts[i];
        at += counts[i] * deb_section_sizes[i];
    }
    image->header.size = at;
    return at <= DEB_INDEX_BYTES_MAX ? BRISK_OK : BRISK_ERR_LIMIT;
}

static void put_names(const deb_builder *b, deb_image *image)
{
    deb_name *names = section(image, DEB_SECTION_NAMES);
    solve_term *terms = section(image, DEB_SECTION_TERMS);
    for (uint32_t i = 0; i < b->names.count; i++) {
        const build_name *name = deb_builder_name(b, i);
        names[i].text = put_text(image, name->text);
        names[i].packages = name->packages;
        names[i].package_count = name->package_count;
        names[i].provides = b->terms.count + name->provides;
        names[i].provide_count = name->provide_count;
        names[i].replaces = name->replaces;
    }
    memcpy(section(image, DEB_SECTION_BUCKETS), b->buckets, b->bucket_count * sizeof *b->buckets);
    const build_provide *provides = b->provides.items;
    for (uint32_t i = 0; i < b->provides.count; i++) {
        uint32_t package = deb_builder_version(b, provides[i].version)->package;
        uint32_t version = provides[i].version - deb_builder_package(b, package)->versions;
        terms[b->terms.count + i].package = package;
        terms[b->terms.count + i].set.bits = UINT64_C(1) << version;
    }
}

static void put_versions(const deb_builder *b, deb_image *image)
{
    deb_version *versions = section(image, DEB_SECTION_VERSIONS);
    for (uint32_t i = 0; i < b->versions.count; i++) {
        const build_version *version = deb_builder_version(b, i);
        const build_stanza *stanza = version->stanza;
        versions[i].text = put_text(image, stanza->version);
        versions[i].flags = (stanza->essential ? (uint32_t)DEB_VERSION_ESSENTIAL : 0) |
                            (stanza->all ? (uint32_t)DEB_VERSION_ALL : 0);
        versions[i].relations = version->relations;
        memcpy(versions[i].counts, version->counts, sizeof versions[i].counts);
        versions[i].pre_depends = version->pre_depends;
        versions[i].installed_kib = stanza->installed_kib;
        versions[i].size_bytes = stanza->size_bytes;
    }
}

static void put_relations(const deb_builder *b, deb_image *image)
{
    deb_group *groups = section(image, DEB_SECTION_GROUPS);
    const build_group *from = b->groups.items;
    for (uint32_t i = 0; i < b->groups.count; i++) {
        groups[i].text = put_text(image, from[i].text);
        groups[i].terms = from[i].terms;
        groups[i].term_count = from[i].term_count;
    }
    if (b->refs.count > 0) {
        memcpy(section(image, DEB_SECTION_REFS), b->refs.items, b->refs.count * sizeof(uint32_t));
    }
    if (b->terms.count > 0) {
        memcpy(section(image, DEB_SECTION_TERMS), b->terms.items,
               b->terms.count * sizeof(solve_term));
    }
    if (b->packages.count > 0) {
        memcpy(section(image, DEB_SECTION_PACKAGES), b->packages.items,
               b->packages.count * sizeof(deb_package));
    }
}

brisk_err deb_builder_image(deb_builder *b, pkg_text *ret)
{
    deb_image image = {.header = {.format = DEB_INDEX_FORMAT,
                                  .byte_order = DEB_INDEX_ORDER,
                                  .key = b->key,
                                  .arch_count = b->arch_count,
                                  .skipped = b->skipped}};
    brisk_err err = lay_out(b, &image);
    if (err != BRISK_OK) {
        return err;
    }
    image.base = brisk_arena_calloc(b->arena, 1, image.header.size);
    if (image.base == NULL) {
        return BRISK_ERR_NOMEM;
    }
    put_names(b, &image);
    put_versions(b, &image);
    put_relations(b, &image);
    memcpy(image.header.magic, deb_index_magic, sizeof deb_index_magic);
    for (uint32_t i = 0; i < b->arch_count; i++) {
        image.header.archs[i] = put_text(&image, b->archs[i]);
    }
    image.header.skip_why = put_text(&image, pkg_text_of(b->skip_why));
    size_t body = image.header.size - sizeof image.header;
    uint64_t seed = brisk_hash64(&image.header, sizeof image.header, DEB_INDEX_FORMAT);
    image.header.checksum = brisk_hash64(image.base + sizeof image.header, body, seed);
    memcpy(image.base, &image.header, sizeof image.header);
    *ret = (pkg_text){.data = image.base, .size = image.header.size};
    return BRISK_OK;
}
