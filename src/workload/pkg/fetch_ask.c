/*
 * fetch_ask.c -- requests for packages, and what their answers mean.
 *
 *     200            the document is parsed, kept and ready
 *     304            the stored package is right, if there was one to ask about
 *     404            of the abbreviated form: the whole document is asked for, as some registries
 *                    have only that; of the whole one: there is no such package, which is kept, too
 *     401, 403       PERMISSION
 *     anything else  IO, after the repetitions that the client makes
 *
 * Names are checked before they become part of an URL, and whatever is not plain is escaped.  No
 * message has more of an URL than its host.
 *
 * Threads: fetch_ask under the lock, the rest in the worker that took the answer.
 * Source: npm's documentation of package metadata (docs/responses/package-metadata.md in
 * npm/registry).
 */
#include <string.h>

#include "workload/pkg/fetch_internal.h"

enum { ESCAPED_MAX = 3, HTTP_OK = 200, HTTP_NOT_MODIFIED = 304, HTTP_UNAUTHORIZED = 401 };
enum { HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404, HTTP_GONE = 410, HTTP_TOO_MANY = 429 };

#define ACCEPT_ABBREVIATED                                                                         \
    "Accept: application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"
#define ACCEPT_WHOLE "Accept: application/json"

/* --- addresses -------------------------------------------------------------------------------- */

/* "registry.test:8080" of "https://user:secret@registry.test:8080/path/". */
static pkg_text host_of(const pkg_registry *registry)
{
    pkg_text url = registry->url;
    const char *scheme = url.size > 0 ? memmem(url.data, url.size, "://", 3) : NULL;
    size_t begin = scheme != NULL ? (size_t)(scheme - url.data) + 3 : 0;
    size_t end = begin;
    while (end < url.size && url.data[end] != '/' && url.data[end] != '?' && url.data[end] != '#') {
        begin = url.data[end] == '@' ? end + 1 : begin;
        end++;
    }
    return (pkg_text){.data = url.data + begin, .size = end - begin};
}

#define HOST_ARGS(registry) (int)host_of(registry).size, host_of(registry).data

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("@-_.~", c) != NULL);
}

/* False: longer than an URL may be. */
static bool url_of(const fetch_entry *entry, char ret[BRISK_HTTP_URL_MAX])
{
    static const char digits[] = "0123456789abcdef";
    pkg_text base = entry->registry->url;
    if (base.size + ESCAPED_MAX * entry->name.size + 1 > BRISK_HTTP_URL_MAX) {
        return false;
    }
    memcpy(ret, base.data, base.size);
    size_t at = base.size;
    for (size_t i = 0; i < entry->name.size; i++) {
        unsigned char c = (unsigned char)entry->name.data[i];
        if (is_plain((char)c)) {
            ret[at++] = (char)c;
        } else {
            ret[at++] = '%';
            ret[at++] = digits[c >> 4];
            ret[at++] = digits[c & 15];
        }
    }
    ret[at] = '\0';
    return true;
}

uint64_t fetch_registry_key(const pkg_registry *registry, bool whole)
{
    uint64_t hash = pkg_text_hash(registry->url);
    return whole ? hash * UINT64_C(0x9e3779b97f4a7c15) + 1 : hash;
}

/* --- the client ------------------------------------------------------------------------------- */

static const char *text_of(pkg_fetch *f, pkg_text text)
{
    return text.size > 0 ? brisk_arena_copy(f->arena, text.data, text.size) : NULL;
}

static brisk_err tokens_of(pkg_fetch *f, brisk_http_client_opts *opts)
{
    const pkg_config *config = f->opts.config;
    brisk_http_token *tokens =
        brisk_arena_calloc(f->arena, (size_t)config->registry_count + 1, sizeof *tokens);
    if (tokens == NULL) {
        return BRISK_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < config->registry_count && opts->token_count < BRISK_HTTP_TOKENS_MAX;
         i++) {
        const pkg_registry *r = &config->registries[i];
        if (r->token.size == 0) {
            continue;
        }
        brisk_http_token *token = &tokens[opts->token_count++];
        token->prefix = text_of(f, r->url);
        token->authorization = brisk_arena_printf(
            f->arena, "%s %.*s", r->basic ? "Basic" : "Bearer", (int)r->token.size, r->token.data);
        if (token->prefix == NULL || token->authorization == NULL) {
            return BRISK_ERR_NOMEM;
        }
    }
    opts->tokens = tokens;
    return BRISK_OK;
}

brisk_err fetch_client_create(pkg_fetch *f, brisk_errinfo *info)
{
    const pkg_config *config = f->opts.config;
    brisk_http_client_opts opts = {
        .ca_file = text_of(f, config->ca_file),
        .http_proxy = text_of(f, config->proxy),
        .https_proxy = text_of(f, config->https_proxy),
        .no_proxy = text_of(f, config->no_proxy),
        .retries = config->fetch_retries > 0 ? config->fetch_retries : BRISK_HTTP_NONE,
        .first_byte_timeout_ns = (uint64_t)config->fetch_timeout_ms * 1000000,
        .connections_max = config->max_sockets,
        .host_start = PKG_FETCH_AT_ONCE,
        .in_flight_max = PKG_FETCH_AT_ONCE,
        .body_bytes_max = PKG_PACKUMENT_BYTES_MAX,
        .expanded_bytes_max = PKG_PACKUMENT_BYTES_MAX,
        .alloc = f->alloc,
    };
    brisk_err err = tokens_of(f, &opts);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "out of memory");
    }
    return brisk_http_client_create(&opts, &f->client, info);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* In the client's thread. */
static void on_answer(void *ctx, brisk_http_response *response);

typedef struct ticket {
    pkg_fetch *fetch;
    fetch_entry *entry;
} ticket;

static brisk_err submit(pkg_fetch *f, fetch_entry *entry, brisk_http_priority priority,
                        brisk_errinfo *info)
{
    char url[BRISK_HTTP_URL_MAX];
    const char *headers[1] = {entry->whole ? ACCEPT_WHOLE : ACCEPT_ABBREVIATED};
    ticket *t = brisk_arena_alloc(f->arena, sizeof *t);
    if (t == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    if (entry->registry->url.size == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                 "no registry is configured for it; give one with --registry URL, "
                                 "or as \"registry\" in .npmrc");
    }
    if (!url_of(entry, url)) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "the registry's address is too long");
    }
    *t = (ticket){.fetch = f, .entry = entry};
    brisk_http_request request = {
        .url = url,
        .headers = headers,
        .header_count = 1,
        .redirects_max = PKG_FETCH_REDIRECTS_MAX,
        .priority = priority,
        .done = on_answer,
        .user = t,
    };
    if (entry->conditional) {
        request.etag = text_of(f, entry->stored.etag);
        request.last_modified = text_of(f, entry->stored.last_modified);
    }
    f->stats.requests++;
    return brisk_http_submit(f->client, &request, NULL, info);
}

void fetch_ask(pkg_fetch *f, fetch_entry *entry, brisk_http_priority priority)
{
    brisk_errinfo info = {0};
    brisk_err err = f->client != NULL ? BRISK_OK : fetch_client_create(f, &info);
    entry->requested = true;
    entry->state = FETCH_FLYING;
    err = err == BRISK_OK ? submit(f, entry, priority, &info) : err;
    if (err != BRISK_OK) {
        fetch_failed(f, entry, err, "%s", info.text);
    }
}

static void on_answer(void *ctx, brisk_http_response *response)
{
    ticket *t = ctx;
    pkg_fetch *f = t->fetch;
    (void)pthread_mutex_lock(&f->lock);
    t->entry->response = response;
    fetch_entry **at = &f->first_arrived; /* the smallest first: some hundreds at most */
    while (*at != NULL && (*at)->response->body_size <= response->body_size) {
        at = &(*at)->next_arrived;
    }
    t->entry->next_arrived = *at;
    *at = t->entry;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void fail(pkg_fetch *f, fetch_entry *entry, brisk_err err, const char *what)
{
    (void)pthread_mutex_lock(&f->lock);
    fetch_failed(f, entry, err, "%s", what);
    (void)pthread_mutex_unlock(&f->lock);
}

int64_t fetch_fresh_until(const brisk_http_caching *c, int64_t now_ms)
{
    uint64_t seconds = PKG_FETCH_FRESH_MS / 1000;
    int64_t date_s = c->date_s > 0 ? c->date_s : now_ms / 1000; /* the server's clock, or ours */
    if (c->no_cache || c->no_store) {
        return now_ms;
    }
    if (c->has_max_age) {
        seconds = c->max_age_s > c->age_s ? c->max_age_s - c->age_s : 0;
    } else if (c->has_expires) {
        seconds = c->expires_s > date_s ? (uint64_t)(c->expires_s - date_s) : 0;
    }
    enum { YEAR_S = 366 * 86400 };
    return now_ms + (int64_t)(seconds < YEAR_S ? seconds : YEAR_S) * 1000;
}

static int64_t fresh_until(const pkg_fetch *f, const brisk_http_response *response)
{
    return fetch_fresh_until(&response->caching, fetch_now_ms(f));
}

/* A copy of what the reader made, which it will overwrite. */
static const pkg_package *copy_package(pkg_fetch *f, const pkg_package *package)
{
    size_t size = pkg_package_bytes(package);
    void *copy = f->alloc->acquire(f->alloc->ctx, size, 8);
    const pkg_package *ret = NULL;
    if (copy != NULL) {
        memcpy(copy, package, size);
        if (pkg_package_open(copy, size, &ret) != BRISK_OK) {
            f->alloc->release(f->alloc->ctx, copy, size, 8);
            return NULL;
        }
    }
    return ret;
}

/* A store that cannot be written costs time at the next resolution, nothing else. */
static void keep(pkg_fetch *f, const fetch_entry *entry, const pkg_package *package,
                 const brisk_http_caching *caching, int64_t until_ms)
{
    if (f->opts.store == NULL || caching->no_store) {
        return;
    }
    brisk_errinfo info;
    const pkg_stored stored = {
        .package = package,
        .etag = pkg_text_of(caching->etag),
        .last_modified = pkg_text_of(caching->last_modified),
        .registry = fetch_registry_key(entry->registry, f->opts.full),
        .fetched_ms = fetch_now_ms(f),
        .fresh_until_ms = until_ms,
    };
    if (pkg_store_put(f->opts.store, &stored, &info) == BRISK_OK) {
        (void)pthread_mutex_lock(&f->lock);
        f->stats.kept++;
        (void)pthread_mutex_unlock(&f->lock);
    }
}

void fetch_keep(pkg_fetch *f, const fetch_entry *entry)
{
    keep(f, entry, entry->package, entry->caching, entry->fresh_until_ms);
}

/* It is kept when there is nothing better to do.  Under the lock; the entry has its package. */
static void keep_later(pkg_fetch *f, fetch_entry *entry, const brisk_http_caching *caching)
{
    if (f->opts.store == NULL || caching->no_store) {
        return;
    }
    entry->caching = brisk_arena_alloc(f->arena, sizeof *entry->caching);
    if (entry->caching == NULL) {
        return;
    }
    *entry->caching = *caching;
    entry->next_unkept = NULL;
    *(f->last_unkept != NULL ? &f->last_unkept->next_unkept : &f->first_unkept) = entry;
    f->last_unkept = entry;
}

static brisk_err parse(fetch_worker *w, pkg_text name, pkg_text json, const pkg_package **ret,
                       brisk_errinfo *info)
{
    brisk_err err = BRISK_OK;
    if (w->reader == NULL) {
        err = pkg_packument_reader_create(&(pkg_packument_opts){.alloc = w->fetch->alloc},
                                          &w->reader);
    }
    return err == BRISK_OK ? pkg_packument_read(w->reader, name, json, ret, info)
                           : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

/* The document in the answer becomes the package. */
static void take_document(fetch_worker *w, fetch_entry *entry, const brisk_http_response *response)
{
    pkg_fetch *f = w->fetch;
    brisk_errinfo info = {0};
    const pkg_package *read = NULL;
    brisk_err err = brisk_http_response_expand_into(response, &w->buffer, &info);
    if (err == BRISK_OK) {
        pkg_text json = {.data = (const char *)w->buffer.data, .size = w->buffer.size};
        err = parse(w, entry->name, json, &read, &info);
    }
    const pkg_package *package = err == BRISK_OK ? copy_package(f, read) : NULL;
    if (package == NULL) {
        char text[BRISK_ERRINFO_TEXT_MAX + 300];
        (void)snprintf(text, sizeof text, "the registry %.*s answered with what cannot be used: %s",
                       HOST_ARGS(entry->registry),
                       err == BRISK_OK ? brisk_err_message(BRISK_ERR_NOMEM) : info.text);
        fail(f, entry, err == BRISK_OK ? BRISK_ERR_NOMEM : err, text);
        return;
    }
    int64_t until = fresh_until(f, response);
    (void)pthread_mutex_lock(&f->lock);
    entry->owned = pkg_package_bytes(package);
    entry->fresh_until_ms = until;
    keep_later(f, entry, &response->caching);
    f->bytes += entry->owned;
    f->stats.bytes_wire += response->wire_size;
    fetch_ready(f, entry, package);
    (void)pthread_mutex_unlock(&f->lock);
}

/* It is as it was. */
static void take_confirmation(pkg_fetch *f, fetch_entry *entry, const brisk_http_response *response)
{
    int64_t until = fresh_until(f, response);
    if (f->opts.store != NULL && entry->stored.package != NULL) {
        brisk_err err = pkg_store_touch(f->opts.store, entry->stored.registry, entry->name,
                                        fetch_now_ms(f), until);
        (void)err; /* then it is asked about again the next time */
    }
    (void)pthread_mutex_lock(&f->lock);
    if (entry->conditional && entry->stored.package != NULL) {
        entry->fresh_until_ms = until;
        fetch_ready(f, entry, entry->stored.package);
    } else {
        fetch_failed(f, entry, BRISK_ERR_CORRUPT,
                     "the registry %.*s said \"not modified\" (304) though nothing was known",
                     HOST_ARGS(entry->registry));
    }
    (void)pthread_mutex_unlock(&f->lock);
}

/* There is no such package: a package without versions is kept in its place. */
static void take_absence(fetch_worker *w, fetch_entry *entry, const brisk_http_response *response)
{
    pkg_fetch *f = w->fetch;
    char json[512];
    const pkg_package *none = NULL;
    brisk_errinfo info;
    int size = snprintf(json, sizeof json, "{\"name\":\"%s\",\"versions\":{}}", entry->name.data);
    if (size < (int)sizeof json &&
        parse(w, entry->name, (pkg_text){.data = json, .size = (size_t)size}, &none, &info) ==
            BRISK_OK) {
        keep(f, entry, none, &response->caching, fetch_now_ms(f) + PKG_FETCH_ABSENT_MS);
    }
    (void)pthread_mutex_lock(&f->lock);
    fetch_failed(f, entry, BRISK_ERR_NOT_FOUND,
                 "there is no such package in the registry %.*s; check the name, and .npmrc for "
                 "its scope",
                 HOST_ARGS(entry->registry));
    (void)pthread_mutex_unlock(&f->lock);
}

static void take_refusal(pkg_fetch *f, fetch_entry *entry, const brisk_http_response *response)
{
    int status = response->status;
    (void)pthread_mutex_lock(&f->lock);
    if (status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN) {
        fetch_failed(f, entry, BRISK_ERR_PERMISSION,
                     "the registry %.*s refuses it (%d); check the token for it in .npmrc",
                     HOST_ARGS(entry->registry), status);
    } else {
        fetch_failed(f, entry, BRISK_ERR_IO,
                     "the registry %.*s answered %d%s; try again later, or --offline with what "
                     "was fetched before",
                     HOST_ARGS(entry->registry), status,
                     status == HTTP_TOO_MANY ? " (too many requests)" : "");
    }
    (void)pthread_mutex_unlock(&f->lock);
}

static void ask_whole(pkg_fetch *f, fetch_entry *entry)
{
    (void)pthread_mutex_lock(&f->lock);
    entry->whole = true;
    entry->conditional = false;
    if (f->closing) {
        fetch_failed(f, entry, BRISK_ERR_CANCELLED, "cancelled");
    } else {
        fetch_ask(f, entry, BRISK_HTTP_HIGH);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

void fetch_take_answer(fetch_worker *w, fetch_entry *entry)
{
    pkg_fetch *f = w->fetch;
    brisk_http_response *response = entry->response;
    entry->response = NULL;
    int status = response->status;
    bool is_absent = status == HTTP_NOT_FOUND || status == HTTP_GONE;
    if (response->err != BRISK_OK) {
        fail(f, entry, response->err, response->why);
    } else if (status == HTTP_OK) {
        take_document(w, entry, response);
    } else if (status == HTTP_NOT_MODIFIED) {
        take_confirmation(f, entry, response);
    } else if (is_absent && !entry->whole) {
        ask_whole(f, entry);
    } else if (is_absent) {
        take_absence(w, entry, response);
    } else {
        take_refusal(f, entry, response);
    }
    brisk_http_response_destroy(response);
}
