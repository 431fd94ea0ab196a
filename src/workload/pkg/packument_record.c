/*
 * packument_record.c -- what was gathered of a packument, sorted and written as a record.
 *
 * Versions are sorted by a key of 64 bits that holds the three numbers and whether it is a release,
 * as far as they fit; only ties compare the versions themselves.  Numbers that do not fit count as
 * the largest that do, so that the key never orders wrongly.
 *
 * Layout: record.h.
 */
#include <string.h>

#include "base/assert.h"
#include "workload/pkg/packument_build.h"

/* --- sorting --------------------------------------------------------------------------------- */

static bool is_before(const build *b, const build_item *x, const build_item *y,
                      int (*compare)(const build *, const build_item *, const build_item *))
{
    return x->key != y->key ? x->key < y->key : compare(b, x, y) < 0;
}

/* Stable.  From runs of one to all, from one half of the buffer to the other and back. */
void build_sort(build *b, uint32_t count,
                int (*compare)(const build *, const build_item *, const build_item *))
{
    build_item *from = BUILD_ITEMS(b->items, build_item);
    build_item *to = from + count;
    uint32_t sorted = 1;
    while (sorted < count && !is_before(b, &from[sorted], &from[sorted - 1], compare)) {
        sorted++;
    }
    if (sorted >= count) {
        return;
    }
    for (uint64_t run = 1; run < count; run *= 2) {
        for (uint64_t begin = 0; begin < count; begin += 2 * run) {
            uint64_t middle = begin + run < count ? begin + run : count;
            uint64_t end = middle + run < count ? middle + run : count;
            uint64_t left = begin;
            uint64_t right = middle;
            for (uint64_t i = begin; i < end; i++) {
                bool take_right = right < end && (left == middle ||
                                                  is_before(b, &from[right], &from[left], compare));
                to[i] = take_right ? from[right++] : from[left++];
            }
        }
        build_item *swap = from;
        from = to;
        to = swap;
    }
    build_item *first = BUILD_ITEMS(b->items, build_item);
    if (from != first) {
        memcpy(first, from, count * sizeof *first);
    }
}

enum { MAJOR_BITS = 20, MINOR_BITS = 21, PATCH_BITS = 22 };

static uint64_t key_of(const build_version *v)
{
    uint64_t below_major = (UINT64_C(1) << (64 - MAJOR_BITS)) - 1;
    uint64_t below_minor = (UINT64_C(1) << (PATCH_BITS + 1)) - 1;
    if (v->major >> MAJOR_BITS != 0) {
        return UINT64_MAX;
    }
    uint64_t key = v->major << (64 - MAJOR_BITS);
    if (v->minor >> MINOR_BITS != 0) {
        return key | below_major;
    }
    key |= v->minor << (PATCH_BITS + 1);
    if (v->patch >> PATCH_BITS != 0) {
        return key | below_minor;
    }
    return key | v->patch << 1 | (v->prerelease_size == 0 ? 1 : 0);
}

static semver semver_of(const build *b, uint32_t number)
{
    const build_version *v = BUILD_ITEMS(b->versions, build_version) + number;
    const char *text = build_version_text(b, number).data;
    semver result = {.major = v->major, .minor = v->minor, .patch = v->patch};
    if (v->prerelease_size != 0) {
        result.prerelease = (pkg_text){.data = text + v->prerelease, .size = v->prerelease_size};
    }
    return result;
}

static int compare_versions(const build *b, const build_item *x, const build_item *y)
{
    semver left = semver_of(b, x->a);
    semver right = semver_of(b, y->a);
    return semver_compare(&left, &right);
}

/* Sorted positions of all versions in b->items, and in b->ranks by the document's order; how many. */
static uint32_t sort_versions(build *b)
{
    uint32_t count = BUILD_COUNT(b->versions, build_version);
    uint32_t live = 0;
    b->items.size = 0;
    b->ranks.size = 0;
    build_item *items = build_room(b, &b->items, 2 * (size_t)count * sizeof *items);
    uint32_t *ranks = build_room(b, &b->ranks, count * sizeof *ranks);
    if (items == NULL || ranks == NULL) {
        return 0;
    }
    const build_version *versions = BUILD_ITEMS(b->versions, build_version);
    for (uint32_t i = 0; i < count; i++) {
        if (!versions[i].gone) {
            items[live++] = (build_item){.key = key_of(&versions[i]), .a = i};
        }
    }
    build_sort(b, live, compare_versions);
    for (uint32_t i = 0; i < live; i++) {
        ranks[items[i].a] = i;
    }
    return live;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Room for a section at the next aligned place of the record; NULL when there is none. */
static void *section(build *b, record_section *ret, size_t count, size_t item)
{
    size_t pad = (RECORD_ALIGN - b->record.size % RECORD_ALIGN) % RECORD_ALIGN;
    unsigned char *room = build_room(b, &b->record, pad + count * item);
    if (room == NULL) {
        return NULL;
    }
    memset(room, 0, pad);
    *ret =
        (record_section){.at = (uint32_t)(b->record.size - count * item), .count = (uint32_t)count};
    return room + pad;
}

static void copy_section(build *b, record_section *ret, const build_buffer *from, size_t item)
{
    void *room = section(b, ret, from->size / item, item);
    if (room != NULL && from->size > 0) {
        memcpy(room, from->data, from->size);
    }
}

/* Numbers above 32 bits go to words, before these are copied. */
static uint32_t wide_numbers(build *b, const build_version *v)
{
    const uint64_t numbers[] = {v->major, v->minor, v->patch};
    uint32_t words[6];
    for (size_t i = 0; i < 3; i++) {
        words[2 * i] = (uint32_t)numbers[i];
        words[2 * i + 1] = (uint32_t)(numbers[i] >> 32);
    }
    return build_list_of(b, words, 6);
}

static record_version version_for(build *b, const build_version *v, uint32_t text)
{
    record_version r = {
        .major = (uint32_t)v->major,
        .minor = (uint32_t)v->minor,
        .patch = (uint32_t)v->patch,
        .text = text,
        .engine_node = v->engine_node,
        .text_size_less_1 = (uint8_t)(v->text_size - 1),
        .flags = v->flags,
        .prerelease = v->prerelease,
        .prerelease_size = v->prerelease_size,
        .build = v->build,
        .build_size = v->build_size,
    };
    if ((v->major | v->minor | v->patch) > UINT32_MAX) {
        r.flags |= RECORD_WIDE;
        r.major = wide_numbers(b, v);
        r.minor = 0;
        r.patch = 0;
    }
    if (v->published_ms != INT64_MIN) {
        r.flags |= RECORD_TIMED;
        r.time_low = (uint32_t)(uint64_t)v->published_ms;
        r.time_high = (uint16_t)((uint64_t)v->published_ms >> 32);
    }
    return r;
}

/* Tags of versions that are there, by the versions' sorted order. */
static void write_tags(build *b, pkg_package *head)
{
    const uint32_t *ranks = BUILD_ITEMS(b->ranks, uint32_t);
    const record_tag *from = BUILD_ITEMS(b->tags, record_tag);
    uint32_t count = 0;
    for (uint32_t i = 0; i < BUILD_COUNT(b->tags, record_tag); i++) {
        count += from[i].version != PKG_NO_VERSION ? 1 : 0;
    }
    record_tag *to = section(b, &head->tags, count, sizeof *to);
    for (uint32_t i = 0; to != NULL && i < BUILD_COUNT(b->tags, record_tag); i++) {
        if (from[i].version == PKG_NO_VERSION) {
            continue;
        }
        *to = (record_tag){.string = from[i].string, .version = ranks[from[i].version]};
        if (pkg_text_equal(build_text(b, to->string), PKG_TEXT("latest"))) {
            head->latest = to->version;
        }
        to++;
    }
}

/* versions, texts and rest, in their sorted order. */
static void write_versions(build *b, pkg_package *head, uint32_t count)
{
    const build_item *items = BUILD_ITEMS(b->items, build_item);
    (void)section(b, &head->versions, count, sizeof(record_version));
    size_t texts = 0;
    for (uint32_t i = 0; i < count; i++) {
        texts += BUILD_ITEMS(b->versions, build_version)[items[i].a].text_size;
    }
    (void)section(b, &head->texts, texts, 1);
    (void)section(b, &head->rest, count, sizeof(record_rest));
    if (b->err != BRISK_OK) {
        return;
    }
    unsigned char *record = b->record.data; /* does not move any more: all rooms are taken */
    record_version *versions = (void *)(record + head->versions.at);
    record_rest *rests = (void *)(record + head->rest.at);
    uint32_t text = 0;
    for (uint32_t i = 0; i < count; i++) {
        const build_version *v = BUILD_ITEMS(b->versions, build_version) + items[i].a;
        versions[i] = version_for(b, v, text);
        rests[i] = v->rest;
        memcpy(record + head->texts.at + text, b->texts.data + v->text, v->text_size);
        text += v->text_size;
    }
}

static void write_strings(build *b, pkg_package *head)
{
    uint32_t count = BUILD_COUNT(b->strings, build_string);
    record_string *strings = section(b, &head->strings, count, sizeof *strings);
    const build_string *from = BUILD_ITEMS(b->strings, build_string);
    for (uint32_t i = 0; strings != NULL && i < count; i++) {
        strings[i] = (record_string){.at = from[i].at, .size = from[i].size};
    }
}

void build_finish(build *b, pkg_text name, uint32_t prefix, uint32_t left_out)
{
    pkg_package head = {
        .magic = RECORD_MAGIC,
        .format = RECORD_FORMAT,
        .left_out = left_out,
        .latest = PKG_NO_VERSION,
        .name = build_string_of(b, name),
        .prefix = prefix,
    };
    b->record.size = 0;
    (void)build_room(b, &b->record, sizeof head);
    uint32_t count = sort_versions(b);
    if (b->err == BRISK_OK) {
        write_versions(b, &head, count);
        write_tags(b, &head);
    }
    write_strings(b, &head);
    copy_section(b, &head.names, &b->names, sizeof(record_name));
    copy_section(b, &head.specs, &b->specs, sizeof(record_spec));
    copy_section(b, &head.words, &b->words, sizeof(uint32_t));
    copy_section(b, &head.digests, &b->digests, 1);
    copy_section(b, &head.blob, &b->blob, 1);
    void *pad =
        build_room(b, &b->record, (RECORD_ALIGN - b->record.size % RECORD_ALIGN) % RECORD_ALIGN);
    if (b->err != BRISK_OK || pad == NULL) {
        return;
    }
    memset(pad, 0, b->record.size - (size_t)((unsigned char *)pad - b->record.data));
    head.size = (uint32_t)b->record.size;
    memcpy(b->record.data, &head, sizeof head);
}
