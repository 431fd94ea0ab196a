/*
 * package.c -- what choosing a version reads of a record.
 *
 * pkg_package_open has checked that the sections lie in the record; everything inside them is
 * checked where it is followed, and what is wrong reads as nothing.
 *
 * Layout: record.h.  Manifests: package_manifest.c.
 */
#include <stdalign.h>

#include "base/assert.h"
#include "workload/pkg/record.h"

static bool section_is_good(const pkg_package *package, record_section section, size_t item,
                            size_t align)
{
    uint64_t bytes = (uint64_t)section.count * item;
    return section.at >= sizeof(pkg_package) && section.at % align == 0 &&
           section.at <= package->size && bytes <= package->size - section.at;
}

brisk_err pkg_package_open(const void *data, size_t size, const pkg_package **ret)
{
    const pkg_package *p = data;
    if ((uintptr_t)data % RECORD_ALIGN != 0 || size < sizeof *p || p->magic != RECORD_MAGIC ||
        p->format != RECORD_FORMAT || p->size != size || size > RECORD_BYTES_MAX) {
        return BRISK_ERR_CORRUPT;
    }
    bool good = section_is_good(p, p->versions, sizeof(record_version), alignof(record_version)) &&
                section_is_good(p, p->tags, sizeof(record_tag), alignof(record_tag)) &&
                section_is_good(p, p->texts, 1, 1) &&
                section_is_good(p, p->rest, sizeof(record_rest), alignof(record_rest)) &&
                section_is_good(p, p->strings, sizeof(record_string), alignof(record_string)) &&
                section_is_good(p, p->names, sizeof(record_name), alignof(record_name)) &&
                section_is_good(p, p->specs, sizeof(record_spec), alignof(record_spec)) &&
                section_is_good(p, p->words, sizeof(uint32_t), alignof(uint32_t)) &&
                section_is_good(p, p->digests, 1, 1) && section_is_good(p, p->blob, 1, 1);
    if (!good || p->rest.count != p->versions.count || p->strings.count == 0 ||
        (p->latest >= p->versions.count && p->latest != PKG_NO_VERSION)) {
        return BRISK_ERR_CORRUPT;
    }
    *ret = p;
    return BRISK_OK;
}

size_t pkg_package_bytes(const pkg_package *package)
{
    return package->size;
}

pkg_text pkg_package_name(const pkg_package *package)
{
    bool ok = true;
    return record_text(package, package->name, &ok);
}

uint32_t pkg_package_count(const pkg_package *package)
{
    return package->versions.count;
}

uint32_t pkg_package_left_out(const pkg_package *package)
{
    return package->left_out;
}

static void numbers_of(const pkg_package *package, const record_version *v, semver *ret)
{
    ret->major = v->major;
    ret->minor = v->minor;
    ret->patch = v->patch;
    if ((v->flags & RECORD_WIDE) != 0) {
        const uint32_t *words = RECORD_ITEMS(package, words, uint32_t);
        uint32_t at = v->major;
        bool is_in = at <= package->words.count && package->words.count - at >= 6;
        ret->major = is_in ? words[at] | (uint64_t)words[at + 1] << 32 : 0;
        ret->minor = is_in ? words[at + 2] | (uint64_t)words[at + 3] << 32 : 0;
        ret->patch = is_in ? words[at + 4] | (uint64_t)words[at + 5] << 32 : 0;
    }
}

void pkg_package_version(const pkg_package *package, uint32_t index, pkg_version *ret)
{
    BRISK_ASSERT(index < package->versions.count);
    const record_version *v = RECORD_ITEMS(package, versions, record_version) + index;
    *ret = (pkg_version){.published_ms = INT64_MIN};
    numbers_of(package, v, &ret->semver);
    uint32_t size = (uint32_t)v->text_size_less_1 + 1;
    if (v->text <= package->texts.count && size <= package->texts.count - v->text) {
        const char *text = RECORD_ITEMS(package, texts, char) + v->text;
        ret->text = (pkg_text){.data = text, .size = size};
        if (v->prerelease_size != 0 && v->prerelease + v->prerelease_size <= (int)size) {
            ret->semver.prerelease =
                (pkg_text){.data = text + v->prerelease, .size = v->prerelease_size};
        }
        if (v->build_size != 0 && v->build + v->build_size <= (int)size) {
            ret->semver.build = (pkg_text){.data = text + v->build, .size = v->build_size};
        }
    }
    if (v->engine_node != 0) {
        bool ok = true;
        ret->engine_node = record_text(package, v->engine_node, &ok);
    }
    if ((v->flags & RECORD_TIMED) != 0) {
        ret->published_ms =
            (int64_t)((uint64_t)v->time_high << 48 | (uint64_t)v->time_low << 16) >> 16;
    }
    ret->deprecated = (v->flags & RECORD_DEPRECATED) != 0;
    ret->loose = (v->flags & RECORD_LOOSE) != 0;
}

uint32_t pkg_package_tag(const pkg_package *package, pkg_text tag)
{
    if (pkg_text_equal(tag, PKG_TEXT("latest"))) {
        return package->latest;
    }
    const record_tag *tags = RECORD_ITEMS(package, tags, record_tag);
    for (uint32_t i = 0; i < package->tags.count; i++) {
        bool ok = true;
        if (pkg_text_equal(record_text(package, tags[i].string, &ok), tag) && ok) {
            return tags[i].version < package->versions.count ? tags[i].version : PKG_NO_VERSION;
        }
    }
    return PKG_NO_VERSION;
}

/* The first version that is not below `wanted`. */
static uint32_t lower_bound(const pkg_package *package, const semver *wanted)
{
    uint32_t low = 0;
    uint32_t high = package->versions.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        pkg_version version;
        pkg_package_version(package, middle, &version);
        if (semver_compare(&version.semver, wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t pkg_package_find(const pkg_package *package, pkg_text version)
{
    semver wanted;
    if (!semver_parse(version, SEMVER_LOOSE, &wanted)) {
        return PKG_NO_VERSION;
    }
    for (uint32_t i = lower_bound(package, &wanted); i < package->versions.count; i++) {
        pkg_version at;
        pkg_package_version(package, i, &at);
        if (pkg_text_equal(at.text, version)) {
            return i;
        }
        if (semver_compare(&at.semver, &wanted) != 0) {
            break;
        }
    }
    return PKG_NO_VERSION;
}
