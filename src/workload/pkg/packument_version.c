/*
 * packument_version.c -- one version of a packument.
 *
 * First the members are only found; then what was found is compared, as bytes, with what the version
 * before had in the same place: most versions of a package have the dependencies or the engines of
 * their neighbour, and equal bytes mean equal lists.  Only what differs is read.
 */
#include "workload/pkg/packument_read.h"
#include "workload/pkg/packument_text.h"

enum { RAW_DEPTH_MAX = 128 }; /* of values that are kept as JSON: what jsontext.h reads */

/* A literal of the key's size, which the compiler compares as numbers. */
#define IS(key, name) (memcmp((key).data, name, sizeof(name) - 1) == 0)

static packument_field field_of(pkg_text key)
{
    switch (key.size) {
    case 2: return IS(key, "os") ? FIELD_OS : FIELD_NONE;
    case 3: return IS(key, "bin") ? FIELD_BIN : IS(key, "cpu") ? FIELD_CPU : FIELD_NONE;
    case 4: return IS(key, "dist") ? FIELD_DIST : IS(key, "libc") ? FIELD_LIBC : FIELD_NONE;
    case 7:
        return IS(key, "engines")   ? FIELD_ENGINES
               : IS(key, "license") ? FIELD_LICENSE
               : IS(key, "funding") ? FIELD_FUNDING
               : IS(key, "scripts") ? FIELD_SCRIPTS
                                    : FIELD_NONE;
    case 10: return IS(key, "deprecated") ? FIELD_DEPRECATED : FIELD_NONE;
    case 12: return IS(key, "dependencies") ? FIELD_DEPENDENCIES : FIELD_NONE;
    case 14: return IS(key, "_hasShrinkwrap") ? FIELD_SHRINKWRAP : FIELD_NONE;
    case 16:
        return IS(key, "peerDependencies")   ? FIELD_PEER
               : IS(key, "hasInstallScript") ? FIELD_INSTALL_SCRIPT
                                             : FIELD_NONE;
    case 18: return IS(key, "bundleDependencies") ? FIELD_BUNDLE : FIELD_NONE;
    case 19: return IS(key, "bundledDependencies") ? FIELD_BUNDLED : FIELD_NONE;
    case 20:
        return IS(key, "optionalDependencies")   ? FIELD_OPTIONAL
               : IS(key, "peerDependenciesMeta") ? FIELD_PEER_META
                                                 : FIELD_NONE;
    default: return FIELD_NONE;
    }
}

/*
 * Whether the value at `at` is, byte for byte, what `place` has.  Asked only for what ends by itself:
 * the number 1 also begins 12.
 */
static bool is_again(const scan *s, packument_place place, uint32_t at)
{
    uint32_t size = place.end - place.begin;
    char first = s->text[at];
    return place.end != 0 && (first == '{' || first == '[' || first == '"') &&
           size <= s->size - at && memcmp(s->text + place.begin, s->text + at, size) == 0;
}

/* Places of all members that are kept, and (by bit) which of them are as in the version before. */
static brisk_err find_fields(pkg_packument_reader *r, scan_members *m, packument_fields *ret,
                             uint32_t *ret_again)
{
    const scan *s = &r->s;
    uint32_t again = 0;
    while (scan_next(m)) {
        pkg_text key = {.data = s->text + m->key_begin, .size = m->key_end - m->key_begin};
        if (!scan_is_plain(s, m->key_begin, m->key_end)) {
            brisk_err err = packument_string(r, m->key_begin, m->key_end, &key);
            if (err != BRISK_OK) {
                return err;
            }
        }
        packument_field field = field_of(key);
        if (field == FIELD_NONE) {
            m->end = scan_value(s, m->value);
            continue;
        }
        bool same = is_again(s, r->before.at[field], m->value);
        again = (again & ~(1U << field)) | (same ? 1U << field : 0);
        m->end = same ? m->value + (r->before.at[field].end - r->before.at[field].begin)
                      : scan_value(s, m->value);
        ret->at[field] = (packument_place){.begin = m->value, .end = m->end};
    }
    *ret_again = again;
    return m->bad ? packument_bad(r, m->value, "a version that is no JSON") : BRISK_OK;
}

/* Whether the fields [from, to) are all as before, absent ones too. */
static bool all_again(const pkg_packument_reader *r, const packument_fields *fields, uint32_t again,
                      packument_field from, packument_field to)
{
    for (uint32_t i = from; i < to; i++) {
        bool absent = fields->at[i].end == 0 && r->before.at[i].end == 0;
        if (!absent && (again >> i & 1) == 0) {
            return false;
        }
    }
    return true;
}

/* --- meta ------------------------------------------------------------------------------------- */

/* As JavaScript sees it: "", 0, null, false and what is not there are nothing. */
static bool is_truthy(const scan *s, packument_place place)
{
    if (place.end == 0) {
        return false;
    }
    switch (s->text[place.begin]) {
    case '"': return place.end - place.begin > 2;
    case 'f':
    case 'n': return false;
    case '{':
    case '[':
    case 't': return true;
    default: break;
    }
    for (uint32_t i = place.begin; i < place.end && (s->text[i] | 0x20) != 'e'; i++) {
        if (s->text[i] >= '1' && s->text[i] <= '9') {
            return true;
        }
    }
    return false;
}

static void add_word(pkg_packument_reader *r, uint32_t word)
{
    uint32_t *room = build_room(&r->b, &r->list, sizeof *room);
    if (room != NULL) {
        *room = word;
    }
}

/* The number of the string at `place`, 0 when it is no string. */
static brisk_err string_at(pkg_packument_reader *r, packument_place place, uint32_t *ret)
{
    *ret = 0;
    if (!packument_is_string(r, place)) {
        return BRISK_OK;
    }
    pkg_text text;
    brisk_err err = packument_string(r, place.begin + 1, place.end - 1, &text);
    if (err == BRISK_OK) {
        *ret = build_string_of(&r->b, text);
        err = r->b.err;
    }
    return err;
}

/* A value as it is written, without anything when npm sees nothing in it. */
static brisk_err add_raw(pkg_packument_reader *r, packument_place place)
{
    const scan *s = &r->s;
    bool empty = !is_truthy(s, place);
    if (!empty && (s->text[place.begin] == '{' || s->text[place.begin] == '[')) {
        empty = scan_space(s, place.begin + 1) + 1 >= place.end;
    }
    if (empty) {
        add_word(r, 0);
        return r->b.err;
    }
    if (!scan_is_strict(s, place.begin, place.end, RAW_DEPTH_MAX)) {
        return packument_bad(r, place.begin, "a value that is no JSON, or too deep");
    }
    pkg_text text = {.data = s->text + place.begin, .size = place.end - place.begin};
    if (!scan_is_plain(s, place.begin, place.end)) {
        r->unescaped.size = 0;
        char *room = build_room(&r->b, &r->unescaped, text.size * PACKUMENT_TEXT_GROWTH);
        if (room == NULL) {
            return r->b.err;
        }
        text = (pkg_text){.data = room, .size = packument_repair(text, room)};
    }
    add_word(r, build_string_of(&r->b, text));
    return r->b.err;
}

/* The member of an object, by its last occurrence; nothing when `place` is no object. */
static brisk_err member_of(pkg_packument_reader *r, packument_place place, const char *name,
                           packument_place *ret)
{
    *ret = (packument_place){0};
    if (place.end == 0 || r->s.text[place.begin] != '{') {
        return BRISK_OK;
    }
    scan_members m = scan_members_of(&r->s, place.begin);
    while (scan_next(&m)) {
        pkg_text key;
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &key);
        if (err != BRISK_OK) {
            return err;
        }
        m.end = scan_value(&r->s, m.value);
        if (pkg_text_is(key, name)) {
            *ret = (packument_place){.begin = m.value, .end = m.end == SCAN_NONE ? 0 : m.end};
        }
    }
    return m.bad ? packument_bad(r, m.value, "an object that is none") : BRISK_OK;
}

static brisk_err add_member(pkg_packument_reader *r, packument_place place, const char *name,
                            uint32_t *ret)
{
    packument_place member;
    brisk_err err = member_of(r, place, name, &member);
    return err == BRISK_OK ? string_at(r, member, ret) : err;
}

/* "MIT", or an object with its type. */
static brisk_err license_of(pkg_packument_reader *r, packument_place place, uint32_t *ret)
{
    return packument_is_string(r, place) ? string_at(r, place, ret)
                                         : add_member(r, place, "type", ret);
}

/* Strings of an array, or one string alone; anything else in it is left out. */
static brisk_err add_list(pkg_packument_reader *r, packument_place place)
{
    const scan *s = &r->s;
    size_t count_at = r->list.size / sizeof(uint32_t);
    add_word(r, 0);
    bool is_array = place.end != 0 && s->text[place.begin] == '[';
    if (r->b.err != BRISK_OK || (!is_array && !packument_is_string(r, place))) {
        return r->b.err;
    }
    uint32_t at = is_array ? scan_space(s, place.begin + 1) : place.begin;
    uint32_t count = 0;
    while (at < place.end && s->text[at] != ']') {
        packument_place item = {.begin = at, .end = scan_value(s, at)};
        if (item.end == SCAN_NONE) {
            return packument_bad(r, at, "an array that is none");
        }
        if (packument_is_string(r, item)) {
            uint32_t number;
            brisk_err err = string_at(r, item, &number);
            if (err != BRISK_OK) {
                return err;
            }
            add_word(r, number);
            count++;
        }
        at = scan_space(s, item.end);
        if (is_array && at < place.end && s->text[at] == ',') {
            at = scan_space(s, at + 1);
        } else if (is_array && (at >= place.end || s->text[at] != ']')) {
            return packument_bad(r, at, "an array that is none");
        } else {
            break;
        }
    }
    if (r->b.err == BRISK_OK) {
        BUILD_ITEMS(r->list, uint32_t)[count_at] = count;
    }
    return r->b.err;
}

/* Old documents have scripts instead of hasInstallScript. */
static brisk_err has_install_script(pkg_packument_reader *r, const packument_fields *f, bool *ret)
{
    static const char *const names[] = {"preinstall", "install", "postinstall"};
    packument_place flag = f->at[FIELD_INSTALL_SCRIPT];
    *ret = flag.end != 0 && r->s.text[flag.begin] == 't';
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !*ret; i++) {
        packument_place script;
        brisk_err err = member_of(r, f->at[FIELD_SCRIPTS], names[i], &script);
        if (err != BRISK_OK) {
            return err;
        }
        *ret = is_truthy(&r->s, script);
    }
    return BRISK_OK;
}

static brisk_err flags_of(pkg_packument_reader *r, const packument_fields *f, uint32_t *ret)
{
    const scan *s = &r->s;
    packument_place bundle =
        f->at[FIELD_BUNDLE].end != 0 ? f->at[FIELD_BUNDLE] : f->at[FIELD_BUNDLED];
    packument_place shrinkwrap = f->at[FIELD_SHRINKWRAP];
    bool script;
    brisk_err err = has_install_script(r, f, &script);
    *ret = (script ? PKG_HAS_INSTALL_SCRIPT : 0U) |
           (shrinkwrap.end != 0 && s->text[shrinkwrap.begin] == 't' ? PKG_HAS_SHRINKWRAP : 0U) |
           (is_truthy(s, f->at[FIELD_DEPRECATED]) ? PKG_DEPRECATED : 0U) |
           (bundle.end != 0 && s->text[bundle.begin] == 't' ? PKG_BUNDLES_ALL : 0U);
    return err;
}

/* Flags and the six strings. */
static brisk_err add_meta_strings(pkg_packument_reader *r, const packument_fields *f,
                                  uint32_t *ret_flags)
{
    uint32_t npm = 0;
    uint32_t license = 0;
    uint32_t deprecated = 0;
    brisk_err err = flags_of(r, f, ret_flags);
    err = err != BRISK_OK ? err : add_member(r, f->at[FIELD_ENGINES], "npm", &npm);
    err = err != BRISK_OK ? err : license_of(r, f->at[FIELD_LICENSE], &license);
    err = err != BRISK_OK ? err : string_at(r, f->at[FIELD_DEPRECATED], &deprecated);
    add_word(r, *ret_flags);
    err = err != BRISK_OK ? err : add_raw(r, f->at[FIELD_ENGINES]);
    add_word(r, npm);
    err = err != BRISK_OK ? err : add_raw(r, f->at[FIELD_BIN]);
    add_word(r, license);
    err = err != BRISK_OK ? err : add_raw(r, f->at[FIELD_FUNDING]);
    add_word(r, deprecated);
    return err;
}

static brisk_err read_meta(pkg_packument_reader *r, const packument_fields *f, build_version *v)
{
    uint32_t flags = 0;
    r->list.size = 0;
    brisk_err err = add_member(r, f->at[FIELD_ENGINES], "node", &v->engine_node);
    err = err != BRISK_OK ? err : add_meta_strings(r, f, &flags);
    packument_place bundle =
        f->at[FIELD_BUNDLE].end != 0 ? f->at[FIELD_BUNDLE] : f->at[FIELD_BUNDLED];
    const packument_place lists[] = {bundle, f->at[FIELD_OS], f->at[FIELD_CPU], f->at[FIELD_LIBC]};
    for (size_t i = 0; i < RECORD_META_LISTS && err == BRISK_OK; i++) {
        err = add_list(r, lists[i]);
    }
    if (err != BRISK_OK) {
        return err;
    }
    v->flags |= (flags & PKG_DEPRECATED) != 0 ? RECORD_DEPRECATED : 0;
    v->rest.meta = build_list_of(&r->b, BUILD_ITEMS(r->list, uint32_t),
                                 (uint32_t)(r->list.size / sizeof(uint32_t)));
    return r->b.err;
}

/* --- dist ------------------------------------------------------------------------------------- */

static bool has_prefix(pkg_text text, pkg_text prefix)
{
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static pkg_text behind(pkg_text text, size_t size)
{
    return (pkg_text){.data = text.data + size, .size = text.size - size};
}

/* The bytes of the sha1 that `integrity` or, without one, `shasum` is. */
static bool sha1_of(pkg_text integrity, pkg_text shasum, unsigned char *ret)
{
    return integrity.size == 0 ? packument_hex(shasum, ret, RECORD_SHA1_BYTES)
                               : has_prefix(integrity, PKG_TEXT("sha1-")) &&
                                     packument_base64(behind(integrity, 5), ret, RECORD_SHA1_BYTES);
}

static brisk_err read_integrity(pkg_packument_reader *r, pkg_text integrity, pkg_text shasum,
                                uint32_t *ret)
{
    unsigned char digest[RECORD_SHA512_BYTES];
    build *b = &r->b;
    *ret = RECORD_INTEGRITY_NONE;
    if (has_prefix(integrity, PKG_TEXT("sha512-")) &&
        packument_base64(behind(integrity, 7), digest, RECORD_SHA512_BYTES)) {
        *ret = build_digest_of(b, digest, RECORD_SHA512_BYTES) << RECORD_INTEGRITY_SHIFT |
               RECORD_INTEGRITY_SHA512;
    } else if (sha1_of(integrity, shasum, digest)) {
        *ret = build_digest_of(b, digest, RECORD_SHA1_BYTES) << RECORD_INTEGRITY_SHIFT |
               RECORD_INTEGRITY_SHA1;
    } else if (integrity.size > 0) {
        *ret = build_string_of(b, integrity) << RECORD_INTEGRITY_SHIFT | RECORD_INTEGRITY_TEXT;
    }
    return b->err;
}

/* Takes `part` from the end of *text, where it stands there. */
static bool take_end(pkg_text *text, pkg_text part)
{
    if (text->size < part.size ||
        (part.size > 0 && memcmp(text->data + text->size - part.size, part.data, part.size) != 0)) {
        return false;
    }
    text->size -= part.size;
    return true;
}

/* What stands before NAME/-/BASENAME-VERSION.tgz; false: it is not so. */
static bool is_usual(pkg_text address, pkg_text name, pkg_text version, pkg_text *ret_prefix)
{
    const char *slash =
        name.size > 0 && name.data[0] == '@' ? memchr(name.data, '/', name.size) : NULL;
    pkg_text base = slash != NULL ? behind(name, (size_t)(slash + 1 - name.data)) : name;
    *ret_prefix = address;
    return take_end(ret_prefix, PKG_TEXT(".tgz")) && take_end(ret_prefix, version) &&
           take_end(ret_prefix, PKG_TEXT("-")) && take_end(ret_prefix, base) &&
           take_end(ret_prefix, PKG_TEXT("/-/")) && take_end(ret_prefix, name);
}

static brisk_err read_tarball(pkg_packument_reader *r, pkg_text address, pkg_text version,
                              uint32_t *ret)
{
    pkg_text prefix;
    bool usual = is_usual(address, r->name, version, &prefix) && prefix.size > 0;
    if (usual && r->prefix == 0) {
        r->prefix = build_string_of(&r->b, prefix);
    }
    if (usual && r->prefix != 0 && pkg_text_equal(prefix, build_text(&r->b, r->prefix))) {
        *ret = RECORD_TARBALL_USUAL;
        return BRISK_OK;
    }
    *ret = build_string_of(&r->b, address);
    return r->b.err;
}

/* A member of dist as text; "" when it is no string. */
static brisk_err dist_text(pkg_packument_reader *r, packument_place place, pkg_text *ret)
{
    *ret = (pkg_text){.data = ""};
    return packument_is_string(r, place) ? packument_string(r, place.begin + 1, place.end - 1, ret)
                                         : BRISK_OK;
}

static brisk_err find_dist(pkg_packument_reader *r, packument_place place, packument_place ret[3])
{
    const scan *s = &r->s;
    if (place.end == 0 || s->text[place.begin] != '{') {
        return BRISK_OK;
    }
    scan_members m = scan_members_of(s, place.begin);
    while (scan_next(&m)) {
        pkg_text key;
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &key);
        if (err != BRISK_OK) {
            return err;
        }
        m.end = scan_value(s, m.value);
        packument_place member = {.begin = m.value, .end = m.end == SCAN_NONE ? 0 : m.end};
        if (pkg_text_equal(key, PKG_TEXT("integrity"))) {
            ret[0] = member;
        } else if (pkg_text_equal(key, PKG_TEXT("shasum"))) {
            ret[1] = member;
        } else if (pkg_text_equal(key, PKG_TEXT("tarball"))) {
            ret[2] = member;
        }
    }
    return m.bad ? packument_bad(r, m.value, "a dist that is no JSON") : BRISK_OK;
}

static brisk_err read_dist(pkg_packument_reader *r, packument_place place, pkg_text version,
                           record_rest *ret)
{
    packument_place members[3] = {{0}};
    pkg_text integrity;
    pkg_text shasum = {.data = ""};
    pkg_text tarball;
    brisk_err err = find_dist(r, place, members);
    err = err != BRISK_OK ? err : dist_text(r, members[0], &integrity);
    if (err == BRISK_OK && integrity.size == 0) { /* one text with escapes at a time */
        err = dist_text(r, members[1], &shasum);
    }
    err = err != BRISK_OK ? err : read_integrity(r, integrity, shasum, &ret->integrity);
    err = err != BRISK_OK ? err : dist_text(r, members[2], &tarball);
    return err != BRISK_OK ? err : read_tarball(r, tarball, version, &ret->tarball);
}

/* --- the version ------------------------------------------------------------------------------ */

brisk_err packument_version(pkg_packument_reader *r, pkg_text key, uint32_t at, uint32_t *ret_end)
{
    bool is_version = r->s.text[at] == '{';
    build_version *v = is_version ? build_version_of(&r->b, key, &is_version) : NULL;
    if (v == NULL) {
        if (!is_version) {
            r->left_out++;
            build_drop_version(&r->b, key);
        }
        *ret_end = scan_value(&r->s, at);
        return r->b.err;
    }
    uint32_t number = (uint32_t)(v - BUILD_ITEMS(r->b.versions, build_version));
    packument_fields fields = {0};
    uint32_t again;
    scan_members m = scan_members_of(&r->s, at);
    brisk_err err = find_fields(r, &m, &fields, &again);
    if (err != BRISK_OK) {
        return err;
    }
    bool has_before = r->serial++ > 0;
    if (has_before && all_again(r, &fields, again, 0, FIELD_DEPS_END)) {
        v->rest.deps = r->before_rest.deps;
    } else {
        err = packument_deps(r, &fields, &v->rest.deps);
    }
    if (has_before && all_again(r, &fields, again, FIELD_DEPS_END, FIELD_META_END)) {
        v->rest.meta = r->before_rest.meta;
        v->engine_node = r->before_engine;
        v->flags |= r->before_flags;
    } else if (err == BRISK_OK) {
        err = read_meta(r, &fields, v);
    }
    if (err == BRISK_OK) {
        err = read_dist(r, fields.at[FIELD_DIST], build_version_text(&r->b, number), &v->rest);
    }
    r->before = fields;
    r->before_rest = v->rest;
    r->before_engine = v->engine_node;
    r->before_flags = v->flags & RECORD_DEPRECATED;
    *ret_end = m.end;
    return err;
}
