/*
 * packument.c -- the document: name, versions, tags, times.
 *
 * Versions are read where they stand; tags and times, which may come before them, afterwards.  The
 * bits of the whole text are made first (scan.h), then it is walked once.
 *
 * Parts: packument_version.c (one version), packument_deps.c (its dependencies), packument_build.c
 * (numbers for what is gathered), packument_record.c (the record).
 */
#include "workload/pkg/packument.h"

#include "base/assert.h"
#include "workload/pkg/packument_read.h"
#include "workload/pkg/packument_text.h"

brisk_err pkg_packument_reader_create(const pkg_packument_opts *opts, pkg_packument_reader **ret)
{
    pkg_packument_opts o = opts != NULL ? *opts : (pkg_packument_opts){0};
    const brisk_alloc *alloc = o.alloc != NULL ? o.alloc : brisk_alloc_libc();
    if (!scan_path_exists(o.path)) {
        return BRISK_ERR_UNSUPPORTED;
    }
    pkg_packument_reader *reader =
        alloc->acquire(alloc->ctx, sizeof *reader, _Alignof(pkg_packument_reader));
    if (reader == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *reader = (pkg_packument_reader){.alloc = alloc, .path = o.path};
    brisk_err err = build_init(&reader->b, alloc);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, reader, sizeof *reader, _Alignof(pkg_packument_reader));
        return err;
    }
    *ret = reader;
    return BRISK_OK;
}

void pkg_packument_reader_destroy(pkg_packument_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    const brisk_alloc *alloc = reader->alloc;
    build_buffer *buffers[] = {&reader->blocks, &reader->unescaped, &reader->list,
                               &reader->optional_peer};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        if (buffers[i]->data != NULL) {
            alloc->release(alloc->ctx, buffers[i]->data, buffers[i]->capacity, RECORD_ALIGN);
        }
    }
    build_deinit(&reader->b);
    alloc->release(alloc->ctx, reader, sizeof *reader, _Alignof(pkg_packument_reader));
}

brisk_err packument_bad(pkg_packument_reader *r, uint32_t at, const char *what)
{
    if (at > r->s.size) {
        (void)brisk_errinfo_set(r->info, BRISK_ERR_CORRUPT, "metadata of %.*s: it breaks off (%s)",
                                (int)r->name.size, r->name.data, what);
    } else {
        (void)brisk_errinfo_set(r->info, BRISK_ERR_CORRUPT, "metadata of %.*s: byte %u: %s",
                                (int)r->name.size, r->name.data, at, what);
    }
    return BRISK_ERR_CORRUPT;
}

brisk_err packument_string(pkg_packument_reader *r, uint32_t begin, uint32_t end, pkg_text *ret)
{
    pkg_text inside = {.data = r->s.text + begin, .size = end - begin};
    if (scan_is_plain(&r->s, begin, end)) {
        *ret = inside;
        return BRISK_OK;
    }
    r->unescaped.size = 0;
    char *room = build_room(&r->b, &r->unescaped, inside.size * PACKUMENT_TEXT_GROWTH);
    if (room == NULL) {
        return r->b.err != BRISK_OK ? r->b.err : BRISK_ERR_NOMEM;
    }
    size_t size;
    if (!packument_unescape(inside, room, &size)) {
        return packument_bad(r, begin, "a string with an escape or character that JSON has not");
    }
    *ret = (pkg_text){.data = room, .size = size};
    return BRISK_OK;
}

/* --- parts of the document -------------------------------------------------------------------- */

static brisk_err read_versions(pkg_packument_reader *r, uint32_t at, uint32_t *ret_end)
{
    build_forget_versions(&r->b);
    r->left_out = 0;
    if (r->s.text[at] != '{') {
        *ret_end = scan_value(&r->s, at);
        return BRISK_OK;
    }
    scan_members m = scan_members_of(&r->s, at);
    while (scan_next(&m)) {
        pkg_text key = {0};
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &key);
        err = err == BRISK_OK ? packument_version(r, key, m.value, &m.end) : err;
        if (err != BRISK_OK) {
            return err;
        }
    }
    *ret_end = m.end;
    return m.bad ? packument_bad(r, m.end, "versions that are no JSON") : BRISK_OK;
}

static brisk_err read_tags(pkg_packument_reader *r, uint32_t at)
{
    if (at == SCAN_NONE || r->s.text[at] != '{') {
        return BRISK_OK;
    }
    scan_members m = scan_members_of(&r->s, at);
    while (scan_next(&m)) {
        m.end = scan_value(&r->s, m.value);
        uint32_t version = PKG_NO_VERSION;
        pkg_text text = {0};
        brisk_err err = BRISK_OK;
        if (m.end != SCAN_NONE && r->s.text[m.value] == '"') {
            err = packument_string(r, m.value + 1, m.end - 1, &text);
            version = err == BRISK_OK ? build_find_version(&r->b, text) : version;
        }
        err = err == BRISK_OK ? packument_string(r, m.key_begin, m.key_end, &text) : err;
        if (err == BRISK_OK) {
            build_tag(&r->b, text, version);
            err = r->b.err;
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    return m.bad ? packument_bad(r, m.value, "dist-tags that are no JSON") : BRISK_OK;
}

/* The version of this text; most often it is the one that comes next. */
static uint32_t find_next(const pkg_packument_reader *r, pkg_text text, uint32_t *next)
{
    uint32_t count = BUILD_COUNT(r->b.versions, build_version);
    uint32_t found = *next;
    if (found >= count || !pkg_text_equal(build_version_text(&r->b, found), text)) {
        found = build_find_version(&r->b, text);
    }
    *next = found != PKG_NO_VERSION ? found + 1 : *next;
    return found;
}

static brisk_err read_times(pkg_packument_reader *r, uint32_t at)
{
    if (at == SCAN_NONE || r->s.text[at] != '{') {
        return BRISK_OK;
    }
    uint32_t next = 0;
    scan_members m = scan_members_of(&r->s, at);
    while (scan_next(&m)) {
        m.end = scan_value(&r->s, m.value);
        pkg_text text = {0};
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &text);
        uint32_t version = err == BRISK_OK ? find_next(r, text, &next) : PKG_NO_VERSION;
        if (version != PKG_NO_VERSION && m.end != SCAN_NONE) {
            int64_t ms = INT64_MIN;
            if (r->s.text[m.value] == '"') {
                err = packument_string(r, m.value + 1, m.end - 1, &text);
                ms = err == BRISK_OK && packument_time(text, &ms) ? ms : INT64_MIN;
            }
            BUILD_ITEMS(r->b.versions, build_version)[version].published_ms = ms;
        }
        if (err != BRISK_OK) {
            return err;
        }
    }
    return m.bad ? packument_bad(r, m.value, "times that are no JSON") : BRISK_OK;
}

/* What of the document's members is looked at after the versions. */
typedef struct later {
    uint32_t name;
    uint32_t tags;
    uint32_t times;
} later;

static brisk_err read_members(pkg_packument_reader *r, later *ret)
{
    const scan *s = &r->s;
    scan_members m = scan_members_of(s, scan_space(s, 0));
    while (scan_next(&m)) {
        pkg_text key = {0};
        brisk_err err = packument_string(r, m.key_begin, m.key_end, &key);
        if (err == BRISK_OK && pkg_text_equal(key, PKG_TEXT("versions"))) {
            err = read_versions(r, m.value, &m.end); /* `key` may be gone after it */
            key = (pkg_text){.data = ""};
        } else {
            m.end = scan_value(s, m.value);
        }
        if (err != BRISK_OK) {
            return err;
        }
        if (pkg_text_equal(key, PKG_TEXT("name"))) {
            ret->name = m.value;
        } else if (pkg_text_equal(key, PKG_TEXT("dist-tags"))) {
            ret->tags = m.value;
        } else if (pkg_text_equal(key, PKG_TEXT("time"))) {
            ret->times = m.value;
        }
    }
    if (m.bad || scan_space(s, m.end) != s->size) {
        return packument_bad(r, m.bad ? m.value : m.end, "the document is no JSON object");
    }
    return BRISK_OK;
}

static brisk_err check_name(pkg_packument_reader *r, uint32_t at)
{
    uint32_t end = at != SCAN_NONE && r->s.text[at] == '"' ? scan_value(&r->s, at) : SCAN_NONE;
    if (end == SCAN_NONE) {
        return packument_bad(r, 0, "the document has no name");
    }
    pkg_text name = {0};
    brisk_err err = packument_string(r, at + 1, end - 1, &name);
    if (err == BRISK_OK && !pkg_text_equal(name, r->name)) {
        err = BRISK_ERR_CORRUPT;
        (void)brisk_errinfo_set(
            r->info, BRISK_ERR_CORRUPT, "metadata of %.*s: the registry answered with %.*s",
            (int)r->name.size, r->name.data, name.size < 214 ? (int)name.size : 214, name.data);
    }
    return err;
}

static brisk_err read_document(pkg_packument_reader *r)
{
    later places = {.name = SCAN_NONE, .tags = SCAN_NONE, .times = SCAN_NONE};
    brisk_err err = read_members(r, &places);
    err = err == BRISK_OK ? check_name(r, places.name) : err;
    err = err == BRISK_OK ? read_tags(r, places.tags) : err;
    err = err == BRISK_OK ? read_times(r, places.times) : err;
    if (err == BRISK_OK) {
        build_finish(&r->b, r->name, r->prefix, r->left_out);
        err = r->b.err;
    }
    return err;
}

static void start(pkg_packument_reader *r, pkg_text name, pkg_text json, brisk_errinfo *info)
{
    build_reset(&r->b);
    r->blocks.size = 0;
    r->optional_peer.size = 0;
    r->serial = 0;
    r->left_out = 0;
    r->before = (packument_fields){0};
    r->prefix = 0;
    r->name = name;
    r->info = info;
    size_t blocks = scan_block_count(json.size);
    scan_block *bits = build_room(&r->b, &r->blocks, blocks * sizeof *bits);
    r->s = (scan){.text = json.data, .size = (uint32_t)json.size, .blocks = bits};
    if (bits != NULL) {
        scan_blocks(r->path, json.data, json.size, bits);
    }
}

brisk_err pkg_packument_read(pkg_packument_reader *reader, pkg_text name, pkg_text json,
                             const pkg_package **ret, brisk_errinfo *info)
{
    if (json.size > PKG_PACKUMENT_BYTES_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT,
                                 "metadata of %.*s: %zu bytes are more than %u", (int)name.size,
                                 name.data, json.size, PKG_PACKUMENT_BYTES_MAX);
    }
    if (json.size >= 3 && memcmp(json.data, "\xef\xbb\xbf", 3) == 0) {
        json = (pkg_text){.data = json.data + 3, .size = json.size - 3};
    }
    if (json.data == NULL) {
        json = PKG_TEXT("");
    }
    start(reader, name, json, info);
    brisk_err err = reader->b.err == BRISK_OK ? read_document(reader) : reader->b.err;
    if (err == BRISK_OK) {
        err = pkg_package_open(reader->b.record.data, reader->b.record.size, ret);
        BRISK_ASSERT(err == BRISK_OK);
    } else if (err != BRISK_ERR_CORRUPT) {
        (void)brisk_errinfo_set(info, err, "metadata of %.*s: %s", (int)name.size, name.data,
                                brisk_err_message(err));
    }
    return err;
}

brisk_err pkg_packument_parse(pkg_text name, pkg_text json, brisk_arena *arena,
                              const pkg_package **ret, brisk_errinfo *info)
{
    pkg_packument_reader *reader;
    pkg_packument_opts opts = {.alloc = brisk_arena_as_alloc(arena)};
    brisk_err err = pkg_packument_reader_create(&opts, &reader);
    if (err == BRISK_OK) {
        err = pkg_packument_read(reader, name, json, ret, info);
    }
    return err; /* everything is the arena's */
}
