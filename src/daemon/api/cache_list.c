/*
 * cache_list.c -- many entries at once: GET and DELETE of /v1/cache, POST /v1/cache/invalidate.
 *
 * A scan is a step of a walk through memory, as SCAN's: what is there during the whole walk is shown at least once.
 * Keys are noted while the tier is walked and looked at afterwards, when it can be asked whether they were
 * invalidated.  Entries that are on disk alone are not shown ("complete" says whether there can be any).
 *
 * A key that is no UTF-8 text is shown in hex; "encoding" says so, and is what ?encoding= takes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <brisk/json_read.h>

#include "base/text.h"
#include "base/vec.h"
#include "daemon/api/answer.h"
#include "daemon/api/cache.h"
#include "daemon/api/openapi.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    STEP = 256,
    STEPS_MAX = 64, /* of one request: the lock is held for about a millisecond */
    KEYS_BYTES_MAX = 4 << 20,
    BODY_MAX = 1 << 20,
    NAMES_MAX = 10000,
};

typedef BRISK_VEC(unsigned char) bytes;

/* --- scan --------------------------------------------------------------------------------- */

typedef struct scan {
    server *server;
    uint64_t cursor;
    uint64_t limit;
    unsigned char prefix[BRISK_KEY_BYTES_MAX];
    size_t prefix_size;
    uint64_t count;
    bool full;  /* no memory, or too much for one answer */
    bytes keys; /* a size_t, then the key, each */
} scan;

static void note_key(void *ctx, const brisk_memory_visit *visit)
{
    scan *sc = ctx;
    resp_bytes key = keyspace_shown(visit->key, visit->key_size);
    if (key.size < sc->prefix_size || memcmp(key.data, sc->prefix, sc->prefix_size) != 0) {
        return;
    }
    size_t wanted = sc->keys.count + sizeof key.size + key.size;
    if (!BRISK_VEC_RESERVE(&sc->keys, wanted)) {
        sc->full = true;
        return;
    }
    memcpy(sc->keys.items + sc->keys.count, &key.size, sizeof key.size);
    memcpy(sc->keys.items + sc->keys.count + sizeof key.size, key.data, key.size);
    sc->keys.count = wanted;
    sc->count++;
}

static bool is_text(resp_bytes key)
{
    for (size_t i = 0; i < key.size;) {
        size_t step = key.data[i] < 0x80 ? 1 : brisk_text_utf8(key.data + i, key.size - i);
        if (step == 0 || key.data[i] < 0x20 || key.data[i] == 0x7f) {
            return false;
        }
        i += step;
    }
    return true;
}

static void put_key(brisk_json *json, resp_bytes key, const brisk_alloc *alloc)
{
    if (is_text(key)) {
        brisk_json_text(json, "key", (const char *)key.data, key.size);
        brisk_json_str(json, "encoding", "text");
        return;
    }
    brisk_str hex;
    brisk_str_init(&hex, alloc, (size_t)2 * BRISK_KEY_BYTES_MAX);
    for (size_t i = 0; i < key.size; i++) {
        brisk_str_printf(&hex, "%02x", key.data[i]);
    }
    brisk_json_str(json, "key", brisk_str_err(&hex) == BRISK_OK ? brisk_str_text(&hex) : NULL);
    brisk_json_str(json, "encoding", "hex");
    brisk_str_deinit(&hex);
}

/* Under the lock. */
static void put_entries(brisk_json *json, scan *sc)
{
    server *s = sc->server;
    brisk_json_array_begin(json, "entries");
    for (size_t at = 0; at < sc->keys.count;) {
        resp_bytes key;
        brisk_entry_info info;
        memcpy(&key.size, sc->keys.items + at, sizeof key.size);
        key.data = sc->keys.items + at + sizeof key.size;
        at += sizeof key.size + key.size;
        if (!keyspace_info(&s->keys, key, &info)) {
            continue; /* it was invalidated */
        }
        brisk_json_object_begin(json, NULL);
        put_key(json, key, s->alloc);
        brisk_json_u64(json, "size", info.size);
        if (info.expires_at_ns != 0) {
            brisk_json_u64(
                json, "ttl_ms",
                info.expires_at_ns > s->wall_ns ? (info.expires_at_ns - s->wall_ns) / 1000000 : 0);
        } else {
            brisk_json_null(json, "ttl_ms");
        }
        brisk_json_bool(json, "tagged", (info.flags & BRISK_ENTRY_TAGGED) != 0);
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
}

static brisk_err write_scan(scan *sc, brisk_str *text)
{
    server *s = sc->server;
    brisk_json json;
    server_lock(s);
    for (int i = 0; i < STEPS_MAX; i++) {
        sc->cursor = brisk_memory_scan(s->keys.tier, sc->cursor, STEP, note_key, sc);
        if (sc->cursor == 0 || sc->count >= sc->limit || sc->full ||
            sc->keys.count > KEYS_BYTES_MAX) {
            break;
        }
    }
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    char cursor[24];
    (void)snprintf(cursor, sizeof cursor, "%" PRIu64, sc->cursor);
    brisk_json_str(&json, "cursor", cursor); /* 64 bits: no number of JavaScript's */
    brisk_json_bool(&json, "complete", s->disk == NULL);
    put_entries(&json, sc);
    brisk_json_object_end(&json);
    server_unlock(s);
    brisk_err err = brisk_json_finish(&json);
    return sc->full ? BRISK_ERR_NOMEM : err;
}

/* A name in the query, decoded as ?encoding= says.  False: it was answered. */
static bool read_name(exchange *x, const char *name, unsigned char *to, size_t *size)
{
    char encoding[16];
    char *text = (char *)to;
    if (!api_query_text(x, name, text, BRISK_KEY_BYTES_MAX) ||
        !api_query_text(x, "encoding", encoding, sizeof encoding)) {
        return false;
    }
    *size = strlen(text);
    if (encoding[0] == '\0') {
        return true;
    }
    bool hex = strcmp(encoding, "hex") == 0;
    if ((!hex && strcmp(encoding, "base64url") != 0) ||
        !cache_decode((http_text){text, *size}, hex, to, size)) {
        api_fail(x, 400, "invalid", "encoding is hex or base64url, and '%s' in it", name);
        return false;
    }
    return true;
}

static void answer_scan(exchange *x)
{
    server *s = x->worker->server;
    scan *sc = exchange_alloc(x, sizeof *sc);
    if (sc == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the walk");
        return;
    }
    memset(sc, 0, sizeof *sc);
    sc->server = s;
    sc->limit = LIMIT_DEFAULT;
    sc->keys.alloc = s->alloc;
    if (!api_query_u64(x, "cursor", 0, UINT64_MAX, &sc->cursor) ||
        !api_query_u64(x, "limit", 1, LIMIT_MAX, &sc->limit) ||
        !read_name(x, "prefix", sc->prefix, &sc->prefix_size)) {
        return;
    }
    brisk_str text;
    brisk_str_init(&text, s->alloc, API_TEXT_BYTES_MAX);
    brisk_err err = write_scan(sc, &text);
    api_answer_text(x, err, &text);
    brisk_str_deinit(&text);
    BRISK_VEC_DEINIT(&sc->keys);
}

/* --- remove by prefix ---------------------------------------------------------------------- */

static void remove_all(server *s)
{
    server_lock(s);
    changes_of_all(s); /* before: who watches a key that is there is told */
    keyspace_clear(&s->keys);
    server_unlock(s);
}

static brisk_err invalidate_prefix(server *s, resp_bytes prefix)
{
    server_lock(s);
    brisk_err err = keyspace_invalidate_prefix(&s->keys, prefix);
    tracking_changed_all(s);
    s->dirty++;
    server_unlock(s);
    return err;
}

static void answer_delete(exchange *x)
{
    server *s = x->worker->server;
    char all[8];
    size_t size;
    unsigned char *prefix = exchange_alloc(x, BRISK_KEY_BYTES_MAX);
    if (prefix == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the prefix");
        return;
    }
    if (!api_query_text(x, "all", all, sizeof all) || !read_name(x, "prefix", prefix, &size)) {
        return;
    }
    if (size == 0 && strcmp(all, "true") == 0) {
        remove_all(s);
        api_answer_empty(x, 204);
        return;
    }
    if (size == 0) {
        api_fail(x, 400, "invalid", "say ?prefix=..., or ?all=true to remove everything");
        return;
    }
    brisk_err err = invalidate_prefix(s, (resp_bytes){.data = prefix, .size = size});
    if (err == BRISK_OK) {
        api_answer_empty(x, 204);
    } else {
        api_fail_err(x, err, "the prefix");
    }
}

/* --- invalidate ---------------------------------------------------------------------------- */

/* A body that is collected. */
typedef struct collected {
    bytes body;
    bool refused;
} collected;

typedef struct order {
    server *server;
    const brisk_json_node *root;
    bool hex;
    bool base64;
    uint64_t keys;
    uint64_t tags;
    uint64_t prefixes;
    const char *wrong;
} order;

/* The bytes of a name; in place, the tree is ours. */
static bool name_of(const order *o, const brisk_json_node *node, resp_bytes *ret)
{
    if (node->kind != BRISK_JSON_STRING) {
        return false;
    }
    unsigned char *data = (unsigned char *)(uintptr_t)node->text;
    size_t size = node->size;
    if ((o->hex || o->base64) &&
        !cache_decode((http_text){node->text, node->size}, o->hex, data, &size)) {
        return false;
    }
    *ret = (resp_bytes){.data = data, .size = size};
    return size > 0 && size < BRISK_KEY_BYTES_MAX;
}

/* Under the lock. */
static brisk_err drop_key(order *o, resp_bytes key)
{
    o->keys += keyspace_remove(&o->server->keys, key) ? 1 : 0;
    changed_by_nobody(o->server, key, NOTIFY_GENERIC, "del");
    return BRISK_OK;
}

static brisk_err drop_tag(order *o, resp_bytes tag)
{
    o->tags++;
    return keyspace_invalidate_tag(&o->server->keys, tag);
}

static brisk_err drop_prefix(order *o, resp_bytes prefix)
{
    o->prefixes++;
    return keyspace_invalidate_prefix(&o->server->keys, prefix);
}

/* Each name of a list; NULL `drop`: they are only looked at. */
static brisk_err each(order *o, const char *member, brisk_err (*drop)(order *o, resp_bytes name))
{
    const brisk_json_node *list = brisk_json_get(o->root, member);
    if (list == NULL) {
        return BRISK_OK;
    }
    if (list->kind != BRISK_JSON_ARRAY || list->count > NAMES_MAX) {
        o->wrong = "keys, tags and prefixes are lists of at most 10000 names";
        return BRISK_ERR_INVALID;
    }
    brisk_err err = BRISK_OK;
    for (const brisk_json_node *node = list->child; node != NULL && err == BRISK_OK;
         node = node->next) {
        resp_bytes name;
        if (!name_of(o, node, &name)) {
            o->wrong = "a name is a text of 1 to 65535 bytes, in the encoding that is said";
            return BRISK_ERR_INVALID;
        }
        ((brisk_json_node *)(uintptr_t)node)->text = (const char *)name.data;
        ((brisk_json_node *)(uintptr_t)node)->size = name.size;
        err = drop != NULL ? drop(o, name) : BRISK_OK;
    }
    return err;
}

static brisk_err read_order(order *o)
{
    const brisk_json_node *encoding = brisk_json_get(o->root, "encoding");
    if (o->root->kind != BRISK_JSON_OBJECT) {
        o->wrong = "an object is wanted";
        return BRISK_ERR_INVALID;
    }
    if (encoding != NULL) {
        o->hex = brisk_json_is(encoding, "hex");
        o->base64 = brisk_json_is(encoding, "base64url");
        if (!o->hex && !o->base64) {
            o->wrong = "encoding is hex or base64url";
            return BRISK_ERR_INVALID;
        }
    }
    /* All of it is looked at before anything is done. */
    brisk_err err = each(o, "keys", NULL);
    err = err == BRISK_OK ? each(o, "tags", NULL) : err;
    err = err == BRISK_OK ? each(o, "prefixes", NULL) : err;
    o->hex = false; /* the tree is decoded now */
    o->base64 = false;
    if (err == BRISK_OK && brisk_json_get(o->root, "keys") == NULL &&
        brisk_json_get(o->root, "tags") == NULL && brisk_json_get(o->root, "prefixes") == NULL) {
        o->wrong = "say keys, tags or prefixes";
        err = BRISK_ERR_INVALID;
    }
    return err;
}

static brisk_err carry_out(order *o)
{
    server *s = o->server;
    server_lock(s);
    brisk_err err = each(o, "keys", drop_key);
    err = err == BRISK_OK ? each(o, "tags", drop_tag) : err;
    err = err == BRISK_OK ? each(o, "prefixes", drop_prefix) : err;
    if (o->tags + o->prefixes > 0) {
        tracking_changed_all(s);
        s->dirty++;
    }
    if (s->keys.drops.count > 0) {
        tell_drops(s);
    }
    server_unlock(s);
    return err;
}

static void answer_order(exchange *x, const order *o)
{
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, o->server->alloc, 4096);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "keys", o->keys);
    brisk_json_u64(&json, "tags", o->tags);
    brisk_json_u64(&json, "prefixes", o->prefixes);
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json);
    api_answer_text(x, err, &text);
    brisk_str_deinit(&text);
}

static void answer_invalidate(exchange *x, const collected *c)
{
    server *s = x->worker->server;
    brisk_arena *arena = NULL;
    brisk_errinfo info = {0};
    order o = {.server = s};
    brisk_arena_opts opts = {.chunk_bytes = 65536, .alloc = library_alloc(s->alloc)};
    brisk_err err = brisk_arena_create(&opts, &arena);
    if (err != BRISK_OK) {
        api_fail_err(x, err, "the order");
        return;
    }
    err = brisk_json_read((const char *)c->body.items, c->body.count, brisk_arena_as_alloc(arena),
                          &o.root, &info);
    if (err != BRISK_OK) {
        api_fail(x, err == BRISK_ERR_NOMEM ? 503 : 400, "invalid", "%s", info.text);
        brisk_arena_destroy(arena);
        return;
    }
    err = read_order(&o);
    err = err == BRISK_OK ? carry_out(&o) : err;
    if (err == BRISK_OK) {
        answer_order(x, &o);
    } else if (o.wrong != NULL) {
        api_fail(x, 400, "invalid", "%s", o.wrong);
    } else {
        api_fail_err(x, err, "the invalidation");
    }
    brisk_arena_destroy(arena);
}

/* --- the request --------------------------------------------------------------------------- */

static void begin_invalidate(exchange *x)
{
    server *s = x->worker->server;
    static const char word[] = "invalidate";
    if (x->rest.size != sizeof word - 1 || memcmp(x->rest.data, word, x->rest.size) != 0) {
        api_fail(x, 404, "not_found", "POST is for /v1/cache/invalidate");
        return;
    }
    collected *c = exchange_alloc(x, sizeof *c);
    if (c == NULL) {
        api_fail_err(x, BRISK_ERR_NOMEM, "the order");
        return;
    }
    memset(c, 0, sizeof *c);
    c->body.alloc = s->alloc;
    x->handler = c;
}

void cache_list_begin(exchange *x)
{
    if (x->method == HTTP_POST) {
        begin_invalidate(x);
    } else if (x->method == HTTP_DELETE) {
        answer_delete(x);
    } else if (x->method == HTTP_GET || x->method == HTTP_HEAD) {
        answer_scan(x);
    } else {
        api_fail(x, 400, "invalid", "a key stands behind /v1/cache/");
    }
}

void cache_list_body(exchange *x, const void *data, size_t size)
{
    collected *c = x->handler;
    if (c == NULL || c->refused) {
        return;
    }
    if (size > BODY_MAX - c->body.count) {
        c->refused = true;
        api_fail(x, 413, "too_large", "an order has at most %d bytes", BODY_MAX);
    } else if (!BRISK_VEC_RESERVE(&c->body, c->body.count + size)) {
        c->refused = true;
        api_fail_err(x, BRISK_ERR_NOMEM, "the order");
    } else {
        memcpy(c->body.items + c->body.count, data, size);
        c->body.count += size;
    }
}

void cache_list_end(exchange *x)
{
    collected *c = x->handler;
    if (c != NULL && !c->refused) {
        answer_invalidate(x, c);
    }
}

void cache_list_gone(exchange *x)
{
    collected *c = x->handler;
    if (c != NULL) {
        BRISK_VEC_DEINIT(&c->body);
        x->handler = NULL;
    }
}
