/*
 * send.c -- a file that was found becomes an answer: variants, fields, conditions, ranges.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/encode/encode.h"
#include "daemon/files/condition.h"
#include "daemon/files/internal.h"
#include "daemon/files/mime.h"
#include "daemon/server.h"

enum {
    FIELDS_MAX = 12 + 2 * MOUNT_LINKS_MAX,
};

/* What is sent, and of which file it is a form. */
typedef struct sending {
    file_ask *ask;
    file_entry *entry; /* a reference */
    http_text coding;  /* of a variant compressed beforehand; "" when it is none */
    http_text type;
    uint32_t near;
    bool by_connection; /* chosen by the connection's class: not for caches of others */
    http_field fields[FIELDS_MAX];
    uint32_t count;
} sending;

/* --- what lies beside ------------------------------------------------------------------------- */

/* "photo.webp" and ".low" make "photo.low.webp"; false: it is too long. */
static bool insert_name(const char *path, const char *what, char *to, size_t room)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    size_t stem = dot != NULL && dot != name ? (size_t)(dot - path) : strlen(path);
    int size = snprintf(to, room, "%.*s%s%s", (int)stem, path, what, path + stem);
    return size > 0 && (size_t)size < room;
}

bool files_near_path(const char *path, uint32_t bit, char *to, size_t room)
{
    if ((bit & NEAR_BY_CLASS) != 0) {
        return insert_name(path, bit == NEAR_LOW ? ".low" : ".medium", to, room);
    }
    const char *suffix = bit == NEAR_BROTLI ? ".br" : bit == NEAR_ZSTD ? ".zst" : ".gz";
    int size = snprintf(to, room, "%s%s", path, suffix);
    return size > 0 && (size_t)size < room;
}

uint32_t files_near_wanted(const mount *m)
{
    return (m->precompressed ? (uint32_t)NEAR_STORED : 0u) |
           (m->variants ? (uint32_t)NEAR_BY_CLASS : 0u);
}

file_found files_look_near(file_ask *ask, file_entry *entry, bool wait)
{
    const mount *m = ask->mount;
    uint64_t now_ns = ask->x->worker->now_ns;
    /* Relaxed: whoever looks writes the same. */
    uint64_t before = atomic_load_explicit(&entry->near_ns, memory_order_relaxed);
    uint64_t fresh_ns = m->place.fresh_ns > 0 ? m->place.fresh_ns : 1;
    if (before != 0 && now_ns - before < fresh_ns) {
        return FILE_FOUND;
    }
    uint32_t wanted = files_near_wanted(m);
    uint32_t found_bits = 0;
    for (uint32_t bit = 1; bit <= NEAR_MEDIUM; bit <<= 1) {
        char path[FILE_PATH_MAX];
        file_entry *beside;
        if ((wanted & bit) == 0 || !files_near_path(ask->file, bit, path, sizeof path)) {
            continue;
        }
        file_found found = open_cache_find(m->owner->cache, &m->place, path, wait, &beside);
        if (found == FILE_WOULD_WAIT) {
            return found;
        }
        if (found == FILE_FOUND) {
            bool good = beside->kind == FILE_REGULAR && beside->modified_s >= entry->modified_s;
            found_bits |= good ? bit : 0;
            file_entry_unref(beside);
        }
    }
    uint32_t kept = atomic_load_explicit(&entry->near, memory_order_relaxed) & NEAR_DONE;
    atomic_store_explicit(&entry->near, kept | found_bits, memory_order_relaxed);
    atomic_store_explicit(&entry->near_ns, now_ns, memory_order_relaxed);
    return FILE_FOUND;
}

/* The variant instead of the entry, when it is still there. */
static bool take_near(sending *s, const char *path, uint32_t bit)
{
    const mount *m = s->ask->mount;
    char name[FILE_PATH_MAX];
    file_entry *beside;
    if (!files_near_path(path, bit, name, sizeof name) ||
        open_cache_find(m->owner->cache, &m->place, name, true, &beside) != FILE_FOUND) {
        return false;
    }
    if (beside->kind != FILE_REGULAR) {
        file_entry_unref(beside);
        return false;
    }
    file_entry_unref(s->entry);
    s->entry = beside;
    return true;
}

/* For slow connections: what was stored for them. */
static void choose_by_class(sending *s)
{
    exchange *x = s->ask->x;
    if ((s->near & NEAR_BY_CLASS) == 0) {
        return;
    }
    bandwidth_level level = bandwidth_class(x);
    if (level == BANDWIDTH_HIGH) {
        return;
    }
    bool asked = bandwidth_hint(BANDWIDTH_HIGH, exchange_field(x, "save-data"),
                                exchange_field(x, "ect")) == level;
    uint32_t bit = level == BANDWIDTH_LOW && (s->near & NEAR_LOW) != 0 ? NEAR_LOW : NEAR_MEDIUM;
    if ((s->near & bit) != 0 && take_near(s, s->ask->file, bit)) {
        s->by_connection = !asked;
        s->near &= ~(uint32_t)NEAR_STORED; /* those are of the other file */
    }
}

/* The smallest of those compressed beforehand that the client takes. */
static void choose_stored(sending *s, uint32_t codings)
{
    static const struct {
        uint32_t bit;
        encode_coding coding;
    } kinds[] = {{NEAR_BROTLI, ENCODE_BROTLI}, {NEAR_ZSTD, ENCODE_ZSTD}, {NEAR_GZIP, ENCODE_GZIP}};
    const mount *m = s->ask->mount;
    uint64_t least = (codings & 1u << ENCODE_IDENTITY) != 0 ? s->entry->size : UINT64_MAX;
    int best = -1;
    for (int i = 0; i < 3; i++) {
        char name[FILE_PATH_MAX];
        file_entry *beside;
        if ((s->near & kinds[i].bit) == 0 || (codings & 1u << kinds[i].coding) == 0 ||
            !files_near_path(s->ask->file, kinds[i].bit, name, sizeof name) ||
            open_cache_find(m->owner->cache, &m->place, name, true, &beside) != FILE_FOUND) {
            continue;
        }
        if (beside->kind == FILE_REGULAR && beside->size < least) {
            least = beside->size;
            best = i;
        }
        file_entry_unref(beside);
    }
    if (best >= 0 && take_near(s, s->ask->file, kinds[best].bit)) {
        s->coding = encode_coding_name(kinds[best].coding);
    }
}

/* --- fields ----------------------------------------------------------------------------------- */

static void add(sending *s, http_text name, http_text value)
{
    BRISK_ASSERT(s->count < FIELDS_MAX);
    s->fields[s->count++] = (http_field){name, value};
}

static http_text text_of(const char *text)
{
    return (http_text){.data = text, .size = strlen(text)};
}

/* `tag` in quotes, in the exchange's memory; "": no memory. */
static http_text quote(exchange *x, http_text tag, bool weak)
{
    size_t size = tag.size + (weak ? 4 : 2);
    char *text = exchange_alloc(x, size + 1);
    if (text == NULL) {
        return (http_text){.data = "", .size = 0};
    }
    (void)snprintf(text, size + 1, "%s\"%.*s\"", weak ? "W/" : "", (int)tag.size, tag.data);
    return (http_text){.data = text, .size = size};
}

/* A copy in the exchange's memory; "": no memory. */
static http_text keep(exchange *x, http_text text)
{
    char *copy = exchange_alloc(x, text.size + 1);
    if (copy == NULL) {
        return (http_text){.data = "", .size = 0};
    }
    memcpy(copy, text.data, text.size);
    return (http_text){.data = copy, .size = text.size};
}

static bool is_page(http_text type)
{
    static const char html[] = "text/html";
    return type.size >= sizeof html - 1 && memcmp(type.data, html, sizeof html - 1) == 0;
}

/* What a fast client will ask for next lies in memory then; once, as long as the page stays there. */
static void warm_links(const sending *s)
{
    const mount *m = s->ask->mount;
    uint32_t near = atomic_fetch_or_explicit(&s->entry->near, NEAR_WARMED, memory_order_relaxed);
    if ((near & NEAR_WARMED) != 0) {
        return;
    }
    for (uint32_t i = 0; i < m->hint_count; i++) {
        files_warm_link(s->ask, m->hints[i]);
    }
    for (uint32_t i = 0; i < m->prefetch_count; i++) {
        files_warm_link(s->ask, m->prefetch[i]);
    }
}

/* What a page will need: at once, in front of it, and in its head. */
static void add_links(sending *s)
{
    exchange *x = s->ask->x;
    const mount *m = s->ask->mount;
    if (!is_page(s->type) || m->hint_count + m->prefetch_count == 0) {
        return;
    }
    bandwidth_level level = bandwidth_class(x);
    if (level == BANDWIDTH_LOW) {
        return;
    }
    uint32_t first = s->count;
    for (uint32_t i = 0; i < m->hint_count; i++) {
        add(s, HTTP_TEXT("link"), text_of(m->hints[i]));
    }
    /* Programs that speak HTTP/1 often take the first status for the answer's (RFC 8297 section 3). */
    if (level == BANDWIDTH_HIGH && x->version >= 20 && m->hint_count > 0 && x->method == HTTP_GET) {
        exchange_inform(x, 103, s->fields + first, m->hint_count);
    }
    for (uint32_t i = 0; level == BANDWIDTH_HIGH && i < m->prefetch_count; i++) {
        add(s, HTTP_TEXT("link"), text_of(m->prefetch[i]));
    }
    if (level == BANDWIDTH_HIGH) {
        warm_links(s);
    }
}

/* The field that makes the answer a dictionary, and the bytes to whoever will need them. */
static void add_dictionary(sending *s)
{
    exchange *x = s->ask->x;
    const mount *m = s->ask->mount;
    encode *e = x->worker->server->encode;
    if (m->dictionary[0] == '\0' || s->entry->value == NULL || s->entry->size == 0 ||
        s->coding.size > 0 || !mount_matches(m->dictionary_match, x->path)) {
        return;
    }
    add(s, HTTP_TEXT("use-as-dictionary"), text_of(m->dictionary));
    uint32_t near = atomic_fetch_or_explicit(&s->entry->near, NEAR_OFFERED, memory_order_relaxed);
    if ((near & NEAR_OFFERED) == 0) {
        encode_offer_dictionary_later(e, s->entry->value);
    }
}

static void add_cache_control(sending *s)
{
    exchange *x = s->ask->x;
    http_text value = text_of(s->ask->mount->cache_control);
    static const char more[] = "private";
    if (s->by_connection) {
        /* Another client of a shared cache may have a better connection. */
        char *text = exchange_alloc(x, value.size + sizeof more + 2);
        if (text != NULL) {
            int size = snprintf(text, value.size + sizeof more + 2, "%.*s%s%s", (int)value.size,
                                value.data, value.size > 0 ? ", " : "", more);
            value = (http_text){.data = text, .size = (size_t)size};
        }
    }
    if (value.size > 0) {
        add(s, HTTP_TEXT("cache-control"), value);
    }
}

/* Those that a 304 has, too. */
static void add_common(sending *s)
{
    add_cache_control(s);
    if ((s->near & NEAR_BY_CLASS) != 0 || s->by_connection) {
        add(s, HTTP_TEXT("vary"), HTTP_TEXT("save-data, ect"));
    }
    if ((s->near & NEAR_STORED) != 0) {
        add(s, HTTP_TEXT("vary"), HTTP_TEXT("accept-encoding"));
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void release_entry(void *ctx)
{
    file_entry_unref(ctx);
}

/* `size` bytes from `offset`; takes the reference of the entry. */
static http_body body_of(file_entry *entry, uint64_t offset, uint64_t size)
{
    if (entry->value != NULL) {
        brisk_value *value = brisk_value_ref(entry->value);
        file_entry_unref(entry);
        return (http_body){
            .kind = HTTP_BODY_VALUE, .value = value, .fd = -1, .offset = offset, .size = size};
    }
    return (http_body){.kind = HTTP_BODY_FILE,
                       .fd = entry->fd,
                       .release = release_entry,
                       .ctx = entry,
                       .offset = offset,
                       .size = size};
}

static void answer_nothing(sending *s, uint16_t status, http_text tag)
{
    exchange *x = s->ask->x;
    if (status == 304) {
        /* Longer than the file's own: with a coding's name. */
        http_text etag = quote(x, tag, tag.size > strlen(s->entry->tag));
        s->count = 0;
        if (etag.size > 0) {
            add(s, HTTP_TEXT("etag"), etag);
        }
        add_common(s);
        if ((s->near & NEAR_STORED) == 0 && s->ask->mount->compress && !encode_is_packed(s->type)) {
            add(s, HTTP_TEXT("vary"), HTTP_TEXT("accept-encoding"));
        }
    }
    file_entry_unref(s->entry);
    if (status == 412) {
        exchange_fail(x, 412, "the file is not what the condition says");
        return;
    }
    http_answer answer = {
        .status = status, .fields = s->fields, .field_count = s->count, .length = -1};
    exchange_answer(x, &answer);
}

/* Ranges that cannot be: 416 with the size. */
static void answer_no_range(sending *s)
{
    exchange *x = s->ask->x;
    char text[48];
    int size = snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)s->entry->size);
    http_field fields[] = {
        {HTTP_TEXT("content-range"), {.data = text, .size = (size_t)size}},
        {HTTP_TEXT("accept-ranges"), HTTP_TEXT("bytes")},
    };
    file_entry_unref(s->entry);
    http_answer answer = {.status = 416, .fields = fields, .field_count = 2};
    exchange_answer(x, &answer);
}

static void answer_range(sending *s, byte_range range)
{
    exchange *x = s->ask->x;
    char text[80];
    int size = snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)range.first,
                        (unsigned long long)range.last, (unsigned long long)s->entry->size);
    add(s, HTTP_TEXT("content-type"), s->type);
    add(s, HTTP_TEXT("content-range"), (http_text){.data = text, .size = (size_t)size});
    http_answer answer = {.status = 206, .fields = s->fields, .field_count = s->count};
    answer.body = body_of(s->entry, range.first, range.last - range.first + 1);
    bandwidth_sent(x, answer.body.size);
    exchange_answer(x, &answer);
}

static void answer_all(sending *s)
{
    exchange *x = s->ask->x;
    add(s, HTTP_TEXT("content-type"), s->type);
    add_links(s);
    add_dictionary(s);
    if (s->coding.size > 0) {
        add(s, HTTP_TEXT("content-encoding"), s->coding);
    }
    http_answer answer = {.status = 200, .fields = s->fields, .field_count = s->count};
    brisk_hash128 identity = s->entry->identity;
    uint64_t size = s->entry->size;
    answer.body = body_of(s->entry, 0, size);
    if (s->coding.size > 0 || !s->ask->mount->compress) {
        bandwidth_sent(x, size);
        exchange_answer(x, &answer);
    } else {
        encode_answer(x, &answer, &identity);
    }
}

/* With Range: the plain file, some of it.  False: all of it is to be sent. */
static bool answer_ranges(sending *s, const condition_fields *conditions,
                          const condition_entity *entity)
{
    exchange *x = s->ask->x;
    const http_text *range = exchange_field(x, "range");
    range_set set = {.count = 0};
    if (range == NULL || x->method != HTTP_GET || !condition_range(conditions, entity)) {
        return false;
    }
    switch (range_parse(*range, s->entry->size, &set)) {
    case RANGE_SOME: break;
    case RANGE_UNSATISFIABLE: answer_no_range(s); return true;
    case RANGE_ALL:
    default: return false;
    }
    if (set.count == 1) {
        answer_range(s, set.ranges[0]);
    } else {
        http_answer answer = {.status = 206, .fields = s->fields, .field_count = s->count};
        files_send_parts(s->ask, s->entry, &set, &answer, s->type);
    }
    return true;
}

void files_send(file_ask *ask, file_entry *entry)
{
    exchange *x = ask->x;
    sending s = {.ask = ask,
                 .entry = entry,
                 .coding = {.data = "", .size = 0},
                 .type = mime_of(ask->file),
                 .near = atomic_load_explicit(&entry->near, memory_order_relaxed)};
    choose_by_class(&s);
    if ((s.near & NEAR_STORED) != 0 && exchange_field(x, "range") == NULL) {
        choose_stored(&s, encode_accept(encode_joined(x, "accept-encoding")));
    }
    condition_fields conditions = {
        .if_match = encode_joined(x, "if-match"),
        .if_none_match = encode_joined(x, "if-none-match"),
        .if_modified_since = exchange_field(x, "if-modified-since"),
        .if_unmodified_since = exchange_field(x, "if-unmodified-since"),
        .if_range = exchange_field(x, "if-range"),
    };
    condition_entity entity = {
        .etag = text_of(s.entry->tag),
        .modified_s = s.entry->modified_s,
        .now_s = (int64_t)(brisk_clock_wall_ns(x->worker->server->clock) / 1000000000)};
    http_text matched;
    condition_verdict verdict = condition_check(&conditions, &entity, true, &matched);
    if (verdict != CONDITION_SEND) {
        answer_nothing(&s, verdict == CONDITION_FAILED ? 412 : 304, matched);
        return;
    }
    http_text etag = quote(x, entity.etag, false);
    if (etag.size > 0) {
        add(&s, HTTP_TEXT("etag"), etag);
    }
    http_text modified = keep(x, text_of(s.entry->modified)); /* the entry may go before the head */
    if (modified.size > 0) {
        add(&s, HTTP_TEXT("last-modified"), modified);
    }
    add(&s, HTTP_TEXT("accept-ranges"), HTTP_TEXT("bytes"));
    add(&s, HTTP_TEXT("x-content-type-options"), HTTP_TEXT("nosniff"));
    add_common(&s);
    if (!answer_ranges(&s, &conditions, &entity)) {
        answer_all(&s);
    }
}
