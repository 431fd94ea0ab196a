/*
 * packument_build.c -- numbers for strings, lists and versions while a packument is read.
 *
 * Tables hash with a seed of their own, so that a document made to collide does not.
 * Contract: packument_build.h.
 */
#include "workload/pkg/packument_build.h"

#include <string.h>

#include <brisk/clock.h>
#include <brisk/hash.h>

#include "base/assert.h"

enum { FIRST_BYTES = 4096, FIRST_SLOTS = 64 };

/* --- memory ---------------------------------------------------------------------------------- */

bool build_grow(build *b, build_buffer *buffer, size_t size)
{
    if (size > RECORD_BYTES_MAX) {
        b->err = BRISK_ERR_LIMIT;
        return false;
    }
    size_t capacity = buffer->capacity != 0 ? buffer->capacity : FIRST_BYTES;
    while (capacity < size) {
        capacity *= 2;
    }
    unsigned char *data = b->alloc->acquire(b->alloc->ctx, capacity, RECORD_ALIGN);
    if (data == NULL) {
        b->err = BRISK_ERR_NOMEM;
        return false;
    }
    if (buffer->data != NULL) {
        memcpy(data, buffer->data, buffer->size);
        b->alloc->release(b->alloc->ctx, buffer->data, buffer->capacity, RECORD_ALIGN);
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

static void buffers_of(build *b, build_buffer *ret[], size_t count)
{
    build_buffer *all[] = {&b->blob,    &b->strings, &b->names, &b->specs,    &b->words,
                           &b->digests, &b->lists,   &b->texts, &b->versions, &b->tags,
                           &b->items,   &b->ranks,   &b->record};
    BRISK_ASSERT(count == sizeof all / sizeof all[0]);
    memcpy(ret, all, sizeof all);
}

enum { BUFFER_COUNT = 13 };

static void table_reset(build *b, build_table *table)
{
    table->used = 0;
    table->slot_count = 0;
    table->slots.size = 0;
    uint32_t *slots = build_room(b, &table->slots, FIRST_SLOTS * sizeof(uint32_t));
    if (slots != NULL) {
        memset(slots, 0, FIRST_SLOTS * sizeof(uint32_t));
        table->slot_count = FIRST_SLOTS;
    }
}

void build_reset(build *b)
{
    build_buffer *all[BUFFER_COUNT];
    buffers_of(b, all, BUFFER_COUNT);
    for (size_t i = 0; i < BUFFER_COUNT; i++) {
        all[i]->size = 0;
    }
    b->err = BRISK_OK;
    table_reset(b, &b->string_table);
    table_reset(b, &b->list_table);
    table_reset(b, &b->version_table);
    uint32_t *word = build_room(b, &b->words, sizeof *word);
    if (word != NULL) {
        *word = 0; /* place 0 stands for nothing */
    }
    build_string *empty = build_room(b, &b->strings, sizeof *empty);
    if (empty != NULL) {
        *empty = (build_string){0}; /* in no slot: build_string_of knows it */
    }
}

brisk_err build_init(build *b, const brisk_alloc *alloc)
{
    *b = (build){.alloc = alloc};
    b->seed = brisk_hash64(&b, sizeof(void *), brisk_clock_now_ns(brisk_clock_system()));
    brisk_arena_opts opts = {.chunk_bytes = 65536, .alloc = alloc};
    return brisk_arena_create(&opts, &b->ranges);
}

void build_deinit(build *b)
{
    build_buffer *all[BUFFER_COUNT + 3];
    buffers_of(b, all, BUFFER_COUNT);
    all[BUFFER_COUNT] = &b->string_table.slots;
    all[BUFFER_COUNT + 1] = &b->list_table.slots;
    all[BUFFER_COUNT + 2] = &b->version_table.slots;
    for (size_t i = 0; i < BUFFER_COUNT + 3; i++) {
        if (all[i]->data != NULL) {
            b->alloc->release(b->alloc->ctx, all[i]->data, all[i]->capacity, RECORD_ALIGN);
        }
    }
    brisk_arena_destroy(b->ranges);
}

/* --- hashing --------------------------------------------------------------------------------- */

__extension__ typedef unsigned __int128 build_u128;

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    build_u128 product = (build_u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load8(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t load4(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Two overlapping loads cover every size up to 16, and the end of longer ones. */
static inline uint64_t hash_of(const build *b, const void *data, size_t size)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    const unsigned char *at = data;
    uint64_t state = b->seed ^ size;
    size_t left = size;
    for (; left > 16; left -= 16, at += 16) {
        state = mix(load8(at) ^ odd, load8(at + 8) ^ state);
    }
    uint64_t low = 0;
    uint64_t high = 0;
    if (left >= 8) {
        low = load8(at);
        high = load8(at + left - 8);
    } else if (left >= 4) {
        low = load4(at);
        high = load4(at + left - 4);
    } else if (left > 0) {
        low = (uint64_t)at[0] << 16 | (uint64_t)at[left / 2] << 8 | at[left - 1];
    }
    return mix(low ^ odd, mix(high ^ state, odd ^ b->seed));
}

uint64_t build_hash(const build *b, const void *data, size_t size)
{
    return hash_of(b, data, size);
}

/* The same bytes; most texts here are short. */
static inline bool is_same(const unsigned char *x, const unsigned char *y, size_t size)
{
    if (size > 16) {
        return memcmp(x, y, size) == 0;
    }
    if (size >= 8) {
        return ((load8(x) ^ load8(y)) | (load8(x + size - 8) ^ load8(y + size - 8))) == 0;
    }
    if (size >= 4) {
        return ((load4(x) ^ load4(y)) | (load4(x + size - 4) ^ load4(y + size - 4))) == 0;
    }
    return size == 0 || (x[0] == y[0] && x[size / 2] == y[size / 2] && x[size - 1] == y[size - 1]);
}

/* Twice the slots; `hash` gives the hash of what has a number. */
static bool table_grow(build *b, build_table *table, uint64_t (*hash)(const build *, uint32_t))
{
    uint32_t count = table->slot_count * 2;
    uint32_t items = table->used;
    table->slots.size = 0;
    uint32_t *slots = build_room(b, &table->slots, count * sizeof(uint32_t));
    if (slots == NULL) {
        table->slots.size = table->slot_count * sizeof(uint32_t);
        return false;
    }
    memset(slots, 0, count * sizeof(uint32_t));
    table->slot_count = count;
    uint32_t first = table == &b->string_table ? 1 : 0; /* "" is in no slot */
    for (uint32_t i = first; i < first + items; i++) {
        uint32_t slot = (uint32_t)hash(b, i) & (count - 1);
        while (slots[slot] != 0) {
            slot = (slot + 1) & (count - 1);
        }
        slots[slot] = i + 1;
    }
    return true;
}

static bool is_crowded(const build_table *table)
{
    return table->used >= table->slot_count / 2;
}

/* --- strings, names, specs ------------------------------------------------------------------- */

pkg_text build_text(const build *b, uint32_t string)
{
    const build_string *s = BUILD_ITEMS(b->strings, build_string) + string;
    return (pkg_text){.data = (const char *)b->blob.data + s->at, .size = s->size};
}

static uint64_t string_hash(const build *b, uint32_t number)
{
    return BUILD_ITEMS(b->strings, build_string)[number].hash;
}

static uint32_t add_string(build *b, pkg_text text, uint64_t hash)
{
    uint32_t number = BUILD_COUNT(b->strings, build_string);
    char *bytes = build_room(b, &b->blob, text.size);
    build_string *string = bytes != NULL ? build_room(b, &b->strings, sizeof *string) : NULL;
    if (string == NULL) {
        return 0;
    }
    memcpy(bytes, text.data, text.size);
    *string = (build_string){.hash = hash,
                             .at = (uint32_t)((unsigned char *)bytes - b->blob.data),
                             .size = (uint32_t)text.size};
    b->string_table.used++;
    return number;
}

uint32_t build_string_of(build *b, pkg_text text)
{
    build_table *table = &b->string_table;
    if (text.size == 0 || b->err != BRISK_OK ||
        (is_crowded(table) && !table_grow(b, table, string_hash))) {
        return 0;
    }
    uint64_t hash = hash_of(b, text.data, text.size);
    uint32_t *slots = BUILD_ITEMS(table->slots, uint32_t);
    const build_string *strings = BUILD_ITEMS(b->strings, build_string);
    uint32_t slot = (uint32_t)hash & (table->slot_count - 1);
    for (; slots[slot] != 0; slot = (slot + 1) & (table->slot_count - 1)) {
        const build_string *known = &strings[slots[slot] - 1];
        if (known->hash == hash && known->size == text.size &&
            is_same(b->blob.data + known->at, (const unsigned char *)text.data, text.size)) {
            return slots[slot] - 1;
        }
    }
    uint32_t number = add_string(b, text, hash);
    slots[slot] = number != 0 ? number + 1 : 0;
    return number;
}

uint32_t build_name_of(build *b, pkg_text text)
{
    uint32_t number = build_string_of(b, text);
    if (b->err != BRISK_OK) {
        return 0;
    }
    build_string *string = BUILD_ITEMS(b->strings, build_string) + number;
    if (string->name == 0) {
        record_name *name = build_room(b, &b->names, sizeof *name);
        if (name == NULL) {
            return 0;
        }
        *name = (record_name){.hash = pkg_text_hash(text), .string = number};
        string->name = BUILD_COUNT(b->names, record_name);
    }
    return string->name - 1;
}

uint32_t build_digest_of(build *b, const unsigned char *bytes, uint32_t size)
{
    uint32_t at = (uint32_t)b->digests.size;
    unsigned char *room = build_room(b, &b->digests, size);
    if (room == NULL) {
        return 0;
    }
    memcpy(room, bytes, size);
    return at / 4;
}

/* --- ranges ---------------------------------------------------------------------------------- */

static void add_word(build *b, uint64_t word)
{
    uint32_t *room = build_room(b, &b->words, sizeof *room);
    if (room != NULL) {
        *room = (uint32_t)word;
    }
}

static void add_comparator(build *b, const semver_comparator *c)
{
    const semver *v = &c->version;
    bool wide = (v->major | v->minor | v->patch) > UINT32_MAX;
    uint32_t prerelease = build_string_of(b, v->prerelease);
    uint32_t metadata = build_string_of(b, v->build);
    add_word(b, (uint32_t)c->op | (wide ? RECORD_COMPARATOR_WIDE : 0) |
                    (prerelease != 0 ? RECORD_COMPARATOR_PRERELEASE : 0) |
                    (metadata != 0 ? RECORD_COMPARATOR_BUILD : 0));
    const uint64_t numbers[] = {v->major, v->minor, v->patch};
    for (size_t i = 0; i < 3; i++) {
        add_word(b, numbers[i]);
        if (wide) {
            add_word(b, numbers[i] >> 32);
        }
    }
    if (prerelease != 0) {
        add_word(b, prerelease);
    }
    if (metadata != 0) {
        add_word(b, metadata);
    }
}

/* The place of the parsed range, or 0: it is none. */
static uint32_t add_range(build *b, pkg_text text)
{
    const semver_range *range;
    brisk_arena_reset(b->ranges);
    brisk_err err = semver_range_parse(b->ranges, text, SEMVER_LOOSE, &range);
    if (err != BRISK_OK) {
        b->err = err == BRISK_ERR_INVALID ? b->err : err;
        return 0;
    }
    uint32_t at = BUILD_COUNT(b->words, uint32_t);
    uint32_t comparators = range->ends[range->count - 1];
    add_word(b, range->count << RECORD_RANGE_SHIFT | (range->flags & RECORD_RANGE_FLAGS));
    add_word(b, comparators);
    for (uint32_t i = 0; i < range->count; i++) {
        add_word(b, range->ends[i]);
    }
    for (uint32_t i = 0; i < comparators; i++) {
        add_comparator(b, &range->items[i]);
    }
    return at;
}

uint32_t build_spec_of(build *b, pkg_text text)
{
    uint32_t number = build_string_of(b, text);
    if (b->err != BRISK_OK) {
        return 0;
    }
    uint32_t known = BUILD_ITEMS(b->strings, build_string)[number].spec;
    if (known != 0) {
        return known - 1;
    }
    record_spec spec = {.string = number, .range = add_range(b, text)};
    record_spec *room = build_room(b, &b->specs, sizeof *room);
    if (room == NULL || b->err != BRISK_OK) {
        return 0;
    }
    *room = spec;
    known = BUILD_COUNT(b->specs, record_spec);
    BUILD_ITEMS(b->strings, build_string)[number].spec = known;
    return known - 1;
}

/* --- lists ----------------------------------------------------------------------------------- */

static uint64_t list_hash(const build *b, uint32_t number)
{
    return BUILD_ITEMS(b->lists, build_list)[number].hash;
}

static bool list_is(const build *b, uint32_t number, uint64_t hash, const uint32_t *words,
                    uint32_t count)
{
    const build_list *list = BUILD_ITEMS(b->lists, build_list) + number;
    return list->hash == hash && list->size == count &&
           memcmp(BUILD_ITEMS(b->words, uint32_t) + list->at, words, count * sizeof *words) == 0;
}

uint32_t build_list_of(build *b, const uint32_t *words, uint32_t count)
{
    build_table *table = &b->list_table;
    if (b->err != BRISK_OK || (is_crowded(table) && !table_grow(b, table, list_hash))) {
        return 0;
    }
    uint64_t hash = hash_of(b, words, count * sizeof *words);
    uint32_t *slots = BUILD_ITEMS(table->slots, uint32_t);
    uint32_t slot = (uint32_t)hash & (table->slot_count - 1);
    for (; slots[slot] != 0; slot = (slot + 1) & (table->slot_count - 1)) {
        if (list_is(b, slots[slot] - 1, hash, words, count)) {
            return BUILD_ITEMS(b->lists, build_list)[slots[slot] - 1].at;
        }
    }
    uint32_t at = BUILD_COUNT(b->words, uint32_t);
    uint32_t *room = build_room(b, &b->words, count * sizeof *words);
    build_list *list = room != NULL ? build_room(b, &b->lists, sizeof *list) : NULL;
    if (list == NULL) {
        return 0;
    }
    memcpy(room, words, count * sizeof *words);
    *list = (build_list){.hash = hash, .at = at, .size = count};
    slots[slot] = ++table->used;
    return at;
}

/* --- versions -------------------------------------------------------------------------------- */

static uint64_t version_hash(const build *b, uint32_t number)
{
    return BUILD_ITEMS(b->versions, build_version)[number].hash;
}

pkg_text build_version_text(const build *b, uint32_t number)
{
    const build_version *v = BUILD_ITEMS(b->versions, build_version) + number;
    return (pkg_text){.data = (const char *)b->texts.data + v->text, .size = v->text_size};
}

/* The slot that has the version, or the empty one where it would be. */
static uint32_t *version_slot(const build *b, pkg_text text, uint64_t hash)
{
    const build_table *table = &b->version_table;
    uint32_t *slots = BUILD_ITEMS(table->slots, uint32_t);
    uint32_t slot = (uint32_t)hash & (table->slot_count - 1);
    while (slots[slot] != 0 && (version_hash(b, slots[slot] - 1) != hash ||
                                !pkg_text_equal(build_version_text(b, slots[slot] - 1), text))) {
        slot = (slot + 1) & (table->slot_count - 1);
    }
    return &slots[slot];
}

uint32_t build_find_version(const build *b, pkg_text text)
{
    if (text.size == 0 || text.size > SEMVER_LENGTH_MAX || b->version_table.slot_count == 0) {
        return PKG_NO_VERSION;
    }
    uint32_t slot = *version_slot(b, text, build_hash(b, text.data, text.size));
    bool there = slot != 0 && !BUILD_ITEMS(b->versions, build_version)[slot - 1].gone;
    return there ? slot - 1 : PKG_NO_VERSION;
}

void build_drop_version(build *b, pkg_text text)
{
    uint32_t number = build_find_version(b, text);
    if (number != PKG_NO_VERSION) {
        BUILD_ITEMS(b->versions, build_version)[number].gone = true;
    }
}

/* A part of the version's text as place and size; empty when it is not inside it. */
static void part_of(pkg_text text, pkg_text part, uint8_t *ret_at, uint8_t *ret_size)
{
    if (part.size > 0 && part.data >= text.data && part.size < text.size) {
        *ret_at = (uint8_t)(part.data - text.data);
        *ret_size = (uint8_t)part.size;
    }
}

static void set_version(build_version *v, pkg_text text, const semver *parsed, uint8_t flags)
{
    *v = (build_version){
        .major = parsed->major,
        .minor = parsed->minor,
        .patch = parsed->patch,
        .hash = v->hash,
        .published_ms = INT64_MIN,
        .text = v->text,
        .text_size = (uint16_t)text.size,
        .flags = flags,
    };
    part_of(text, parsed->prerelease, &v->prerelease, &v->prerelease_size);
    part_of(text, parsed->build, &v->build, &v->build_size);
}

build_version *build_version_of(build *b, pkg_text text, bool *is_version)
{
    semver parsed;
    build_table *table = &b->version_table;
    bool fits = text.size > 0 && text.size <= SEMVER_LENGTH_MAX;
    bool strict = fits && semver_parse(text, 0, &parsed);
    *is_version = strict || (fits && semver_parse(text, SEMVER_LOOSE, &parsed));
    uint8_t flags = strict ? 0 : RECORD_LOOSE;
    if (!*is_version || b->err != BRISK_OK ||
        (is_crowded(table) && !table_grow(b, table, version_hash))) {
        return NULL;
    }
    uint64_t hash = hash_of(b, text.data, text.size);
    uint32_t *slot = version_slot(b, text, hash);
    if (*slot != 0) {
        build_version *known = BUILD_ITEMS(b->versions, build_version) + (*slot - 1);
        set_version(known, text, &parsed, flags);
        return known;
    }
    char *copy = build_room(b, &b->texts, text.size);
    build_version *version = copy != NULL ? build_room(b, &b->versions, sizeof *version) : NULL;
    if (version == NULL) {
        return NULL;
    }
    memcpy(copy, text.data, text.size);
    version->hash = hash;
    version->text = (uint32_t)((unsigned char *)copy - b->texts.data);
    set_version(version, text, &parsed, flags);
    *slot = ++table->used;
    return version;
}

void build_forget_versions(build *b)
{
    b->versions.size = 0;
    b->texts.size = 0;
    table_reset(b, &b->version_table);
}

void build_tag(build *b, pkg_text tag, uint32_t version)
{
    uint32_t number = build_string_of(b, tag);
    if (b->err != BRISK_OK) {
        return;
    }
    build_string *string = BUILD_ITEMS(b->strings, build_string) + number;
    if (string->tag == 0) {
        record_tag *room = build_room(b, &b->tags, sizeof *room);
        if (room == NULL) {
            return;
        }
        string->tag = BUILD_COUNT(b->tags, record_tag);
        room->string = number;
    }
    BUILD_ITEMS(b->tags, record_tag)[string->tag - 1].version = version;
}
