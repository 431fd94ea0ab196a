/*
 * packument_deps.c -- the dependencies of one version: sorted by name, one of a kind.
 *
 * An optional dependency replaces a plain one of the same name; a peer dependency stays beside it.
 * A spec that is no string makes no dependency.  Names are sorted by their first eight bytes as a
 * number and compared as text only where these are equal.
 */
#include "workload/pkg/packument_read.h"

/* The serial that says that the name is an optional peer, by number of the name. */
static uint32_t *optional_peer(pkg_packument_reader *r, uint32_t name)
{
    size_t size = ((size_t)name + 1) * sizeof(uint32_t);
    if (r->optional_peer.size < size) {
        size_t more = size - r->optional_peer.size;
        void *room = build_room(&r->b, &r->optional_peer, more);
        if (room == NULL) {
            return NULL;
        }
        memset(room, 0, more);
    }
    return BUILD_ITEMS(r->optional_peer, uint32_t) + name;
}

static bool is_true(const scan *s, uint32_t at)
{
    return s->text[at] == 't';
}

/* Whether the last "optional" of the object at `at` is true. */
static brisk_err read_is_optional(pkg_packument_reader *r, uint32_t at, uint32_t *ret_end,
                                  bool *ret)
{
    *ret = false;
    if (r->s.text[at] != '{') {
        *ret_end = scan_value(&r->s, at);
        return *ret_end != SCAN_NONE ? BRISK_OK : packument_bad(r, at, "no value");
    }
    scan_members m = scan_members_of(&r->s, at);
    while (scan_next(&m)) {
        pkg_text key;
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &key);
        if (err != BRISK_OK) {
            return err;
        }
        if (pkg_text_equal(key, PKG_TEXT("optional"))) {
            *ret = is_true(&r->s, m.value);
        }
        m.end = scan_value(&r->s, m.value);
    }
    *ret_end = m.end;
    return m.bad ? packument_bad(r, m.end, "an object that is none") : BRISK_OK;
}

static brisk_err read_peer_meta(pkg_packument_reader *r, packument_place place)
{
    if (place.end == 0 || r->s.text[place.begin] != '{') {
        return BRISK_OK;
    }
    scan_members m = scan_members_of(&r->s, place.begin);
    while (scan_next(&m)) {
        pkg_text key;
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &key);
        uint32_t name = err == BRISK_OK ? build_name_of(&r->b, key) : 0;
        uint32_t *serial = err == BRISK_OK ? optional_peer(r, name) : NULL;
        if (serial == NULL || r->b.err != BRISK_OK) {
            return err != BRISK_OK ? err : r->b.err;
        }
        bool optional;
        err = read_is_optional(r, m.value, &m.end, &optional);
        if (err != BRISK_OK) {
            return err;
        }
        *serial = optional ? r->serial : 0;
    }
    return m.bad ? packument_bad(r, m.end, "an object that is none") : BRISK_OK;
}

/* The first eight bytes, so that numbers order as texts do. */
static uint64_t key_of(pkg_text name)
{
    unsigned char first[8] = {0};
    uint64_t key;
    memcpy(first, name.data, name.size < sizeof first ? name.size : sizeof first);
    memcpy(&key, first, sizeof key);
    return __builtin_bswap64(key);
}

/* One dependency to b.items; the name is interned before the spec is read, as both may have escapes. */
static brisk_err add(pkg_packument_reader *r, const scan_members *m, pkg_dep_kind kind)
{
    build *b = &r->b;
    pkg_text name;
    brisk_err err = packument_string(r, m->key_begin, m->key_end, &name);
    if (err != BRISK_OK) {
        return err;
    }
    uint64_t key = name.size > 0 ? key_of(name) : 0;
    uint32_t number = build_name_of(b, name);
    pkg_text spec;
    err = packument_string(r, m->value + 1, m->end - 1, &spec);
    if (err != BRISK_OK) {
        return err;
    }
    if (kind == PKG_DEP_PEER) {
        const uint32_t *serial = optional_peer(r, number);
        kind = serial != NULL && *serial == r->serial ? PKG_DEP_PEER_OPTIONAL : PKG_DEP_PEER;
    }
    uint32_t packed = build_spec_of(b, spec) << RECORD_DEP_SHIFT | (uint32_t)kind;
    build_item *item = build_room(b, &b->items, sizeof *item);
    if (item != NULL) {
        *item = (build_item){.key = key, .a = number, .b = packed};
    }
    return b->err;
}

static brisk_err read_deps(pkg_packument_reader *r, packument_place place, pkg_dep_kind kind)
{
    if (place.end == 0 || r->s.text[place.begin] != '{') {
        return BRISK_OK; /* [] in old documents, and whatever else is no list */
    }
    scan_members m = scan_members_of(&r->s, place.begin);
    while (scan_next(&m)) {
        m.end = scan_value(&r->s, m.value);
        if (m.end == SCAN_NONE) {
            break;
        }
        brisk_err err = r->s.text[m.value] == '"' ? add(r, &m, kind) : BRISK_OK;
        if (err != BRISK_OK) {
            return err;
        }
    }
    return m.bad || m.end == SCAN_NONE ? packument_bad(r, m.value, "an object that is none")
                                       : BRISK_OK;
}

static pkg_text name_text(const build *b, uint32_t name)
{
    return build_text(b, BUILD_ITEMS(b->names, record_name)[name].string);
}

static uint32_t class_of(uint32_t packed)
{
    return (packed & RECORD_DEP_KIND) >= PKG_DEP_PEER ? 1 : 0;
}

static int compare_deps(const build *b, const build_item *x, const build_item *y)
{
    int order = x->a == y->a ? 0 : pkg_text_compare(name_text(b, x->a), name_text(b, y->a));
    return order != 0 ? order : (int)class_of(x->b) - (int)class_of(y->b);
}

/*
 * The list of r->list: of those of one name and class (peer or not) the last, which is the optional
 * one where there is one, as these were read last.
 */
static brisk_err gather(pkg_packument_reader *r, uint32_t *ret)
{
    build *b = &r->b;
    uint32_t count = BUILD_COUNT(b->items, build_item);
    if (build_room(b, &b->items, b->items.size) == NULL) {
        return b->err;
    }
    build_sort(b, count, compare_deps);
    const build_item *items = BUILD_ITEMS(b->items, build_item);
    r->list.size = 0;
    uint32_t *words = build_room(b, &r->list, (1 + 2 * (size_t)count) * sizeof *words);
    if (words == NULL) {
        return b->err;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool same = i + 1 < count && items[i].a == items[i + 1].a &&
                    class_of(items[i].b) == class_of(items[i + 1].b);
        if (!same) {
            words[1 + 2 * kept] = items[i].a;
            words[2 + 2 * kept] = items[i].b;
            kept++;
        }
    }
    words[0] = kept;
    *ret = build_list_of(b, words, 1 + 2 * kept);
    return b->err;
}

brisk_err packument_deps(pkg_packument_reader *r, const packument_fields *fields, uint32_t *ret)
{
    r->b.items.size = 0;
    brisk_err err = read_peer_meta(r, fields->at[FIELD_PEER_META]);
    if (err == BRISK_OK) {
        err = read_deps(r, fields->at[FIELD_PEER], PKG_DEP_PEER);
    }
    if (err == BRISK_OK) {
        err = read_deps(r, fields->at[FIELD_DEPENDENCIES], PKG_DEP_PROD);
    }
    if (err == BRISK_OK) {
        err = read_deps(r, fields->at[FIELD_OPTIONAL], PKG_DEP_OPTIONAL);
    }
    if (err != BRISK_OK || r->b.items.size == 0) {
        *ret = 0;
        return err;
    }
    return gather(r, ret);
}
