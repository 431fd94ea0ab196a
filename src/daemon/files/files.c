/*
 * files.c -- mounts, the way from a path to an entry, and waiting for the disk elsewhere.
 *
 * A wait opens on the executor whatever the request may need; its result is that the cache knows it.
 * Then the request begins again in its loop, this time allowed to wait: what was dropped meanwhile
 * is opened there, so that nobody goes round in circles.  A wait that no request has only warms.
 */
#include "daemon/files/files.h"

#include <stdio.h>
#include <string.h>

#include <brisk/engine.h>

#include "base/assert.h"
#include "daemon/engine.h"
#include "daemon/files/internal.h"
#include "daemon/http/routes.h"
#include "daemon/loop.h"
#include "daemon/server.h"

struct files_wait {
    brisk_task task;
    loop_task home;
    files *owner;
    files_wait_task *next;
    files_wait_task *previous;
    worker *worker;
    file_ask *ask; /* NULL: none, or it is gone; this has its own copy of all that it needs */
    mount *mount;
    brisk_value *page; /* a listing */
    brisk_err err;
    bool listing;
    size_t size; /* of the block */
    size_t shown_size;
    char *shown; /* behind the path */
    char path[];
};

/* --- waits ------------------------------------------------------------------------------------ */

static void wait_free(files_wait_task *wait)
{
    const brisk_alloc *alloc = wait->owner->alloc;
    brisk_value_unref(wait->page);
    alloc->release(alloc->ctx, wait, wait->size, _Alignof(files_wait_task));
}

static void delist(files_wait_task *wait)
{
    files *self = wait->owner;
    (void)pthread_mutex_lock(&self->lock);
    *(wait->previous != NULL ? &wait->previous->next : &self->waits) = wait->next;
    if (wait->next != NULL) {
        wait->next->previous = wait->previous;
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static void warm(const files_wait_task *wait)
{
    const mount *m = wait->mount;
    open_cache *cache = wait->owner->cache;
    uint32_t wanted = files_near_wanted(m);
    file_entry *entry;
    if (open_cache_find(cache, &m->place, wait->path, true, &entry) != FILE_FOUND) {
        return;
    }
    bool regular = entry->kind == FILE_REGULAR;
    file_entry_unref(entry);
    for (uint32_t bit = 1; regular && bit <= NEAR_MEDIUM; bit <<= 1) {
        char path[FILE_PATH_MAX];
        if ((wanted & bit) != 0 && files_near_path(wait->path, bit, path, sizeof path) &&
            open_cache_find(cache, &m->place, path, true, &entry) == FILE_FOUND) {
            file_entry_unref(entry);
        }
    }
}

/* On the executor. */
static void run_wait(brisk_task *task)
{
    files_wait_task *wait = task->ctx;
    files *self = wait->owner;
    if (wait->listing) {
        wait->err = files_list(wait->mount, wait->path, //
                               (http_text){.data = wait->shown, .size = wait->shown_size},
                               self->alloc, &wait->page);
    } else {
        warm(wait);
    }
    worker *home = wait->worker;
    (void)pthread_mutex_lock(&self->lock);
    loop_post(&home->loop, &wait->home); /* under the lock: files_wait must not see 0 before */
    if (--self->running == 0) {
        (void)pthread_cond_broadcast(&self->idle);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static void serve(file_ask *ask, bool wait);
static void send_page(file_ask *ask, brisk_value *page);

static void come_home(loop_task *task)
{
    files_wait_task *wait = (files_wait_task *)((char *)task - offsetof(files_wait_task, home));
    file_ask *ask = wait->ask;
    delist(wait);
    if (ask != NULL) {
        ask->waits = NULL;
        if (!wait->listing) {
            serve(ask, true);
        } else if (wait->err == BRISK_OK) {
            send_page(ask, brisk_value_ref(wait->page));
        } else {
            bool denied = wait->err == BRISK_ERR_PERMISSION;
            bool missing = wait->err == BRISK_ERR_NOT_FOUND;
            exchange_fail(ask->x,
                          denied    ? 403
                          : missing ? 404
                                    : 503,
                          denied    ? "this may not be read"
                          : missing ? "there is nothing here"
                                    : "the folder cannot be listed now");
        }
    }
    wait_free(wait);
}

/* For `path` below the root of the mount; `ask` is NULL or waits for it.  NULL: no memory. */
static files_wait_task *wait_create(const file_ask *by, file_ask *ask, const char *path)
{
    const exchange *x = by->x;
    files *self = by->mount->owner;
    size_t path_size = strlen(path);
    size_t size = sizeof(files_wait_task) + path_size + 1 + x->path.size;
    files_wait_task *wait = self->alloc->acquire(self->alloc->ctx, size, _Alignof(files_wait_task));
    if (wait == NULL) {
        return NULL;
    }
    *wait = (files_wait_task){.task = {.run = run_wait, .ctx = wait},
                              .home = {.run = come_home},
                              .owner = self,
                              .worker = x->worker,
                              .ask = ask,
                              .mount = by->mount,
                              .size = size,
                              .shown_size = x->path.size};
    memcpy(wait->path, path, path_size + 1);
    wait->shown = wait->path + path_size + 1;
    memcpy(wait->shown, x->path.data, x->path.size);
    return wait;
}

static void wait_begin(files_wait_task *wait, brisk_engine *engine)
{
    files *self = wait->owner;
    (void)pthread_mutex_lock(&self->lock);
    wait->next = self->waits;
    if (wait->next != NULL) {
        wait->next->previous = wait;
    }
    self->waits = wait;
    self->running++;
    (void)pthread_mutex_unlock(&self->lock);
    if (engine != NULL) {
        brisk_executor_submit(brisk_engine_executor(engine), &wait->task);
    } else {
        run_wait(&wait->task);
    }
}

static brisk_engine *engine_of(const files *self)
{
    return self->server->engine != NULL ? server_engine(self->server) : NULL;
}

/* Do what `ask` needs on the executor. */
static void start_wait(file_ask *ask, bool listing)
{
    files_wait_task *wait = wait_create(ask, ask, listing ? ask->path : ask->file);
    if (wait == NULL) {
        exchange_fail(ask->x, 503, "no memory is left");
        return;
    }
    wait->listing = listing;
    ask->waits = wait;
    wait_begin(wait, engine_of(wait->owner));
}

/* --- what will be asked for ------------------------------------------------------------------- */

/* Is it a path as the cache takes it, without hidden names? */
static bool is_plain_path(const char *path)
{
    bool begins = true; /* of a segment */
    for (const char *c = path; *c != '\0'; c++) {
        if (begins && (*c == '/' || *c == '.')) {
            return false;
        }
        begins = *c == '/';
    }
    return path[0] != '\0';
}

/* "</app/a.css>; rel=preload" of a mount at /app/: "a.css".  False: it is of somewhere else. */
static bool take_link(const mount *m, const char *link, char *to, size_t room)
{
    size_t at = strlen(m->at);
    size_t base = at > 0 && m->at[at - 1] == '/' ? at : at + 1;
    const char *end = link[0] == '<' ? strpbrk(link, ">?#%") : NULL;
    if (end == NULL || *end == '%' || (size_t)(end - link) < 1 + base ||
        strncmp(link + 1, m->at, at) != 0 || link[base] != '/') {
        return false;
    }
    size_t size = (size_t)(end - link) - 1 - base;
    bool folder = size == 0 || end[-1] == '/';
    int written = snprintf(to, room, "%.*s%s", (int)size, link + 1 + base, folder ? m->index : "");
    return written > 0 && (size_t)written < room && is_plain_path(to);
}

void files_warm_link(const file_ask *ask, const char *link)
{
    char path[FILE_PATH_MAX];
    brisk_engine *engine = engine_of(ask->mount->owner);
    if (engine == NULL || !take_link(ask->mount, link, path, sizeof path)) {
        return;
    }
    files_wait_task *wait = wait_create(ask, NULL, path);
    if (wait != NULL) { /* otherwise it is read when it is asked for */
        wait_begin(wait, engine);
    }
}

/* --- from a path to an entry ------------------------------------------------------------------ */

/* The path below the root, without empty segments; false: it is hidden, or too long. */
static bool take_path(file_ask *ask)
{
    exchange *x = ask->x;
    http_text rest = x->rest;
    size_t room = rest.size + strlen(ask->mount->index) + 2;
    if (room > FILE_PATH_MAX - 16) {
        return false;
    }
    ask->path = exchange_alloc(x, room);
    ask->file = exchange_alloc(x, room);
    if (ask->path == NULL || ask->file == NULL) {
        return false;
    }
    ask->folder = true;
    size_t size = 0;
    for (size_t at = 0; at < rest.size;) {
        size_t end = at;
        while (end < rest.size && rest.data[end] != '/') {
            end++;
        }
        size_t length = end - at;
        if (length > 0) {
            static const char known[] = ".well-known";
            bool well_known = size == 0 && length == sizeof known - 1 &&
                              memcmp(rest.data + at, known, length) == 0;
            bool dots = length <= 2 && rest.data[at] == '.' && rest.data[end - 1] == '.';
            if (rest.data[at] == '.' && (dots || (!ask->mount->dotfiles && !well_known))) {
                return false;
            }
            if (size > 0) {
                ask->path[size++] = '/';
            }
            memcpy(ask->path + size, rest.data + at, length);
            size += length;
        }
        ask->folder = end < rest.size || length == 0;
        at = end + 1;
    }
    ask->path[size] = '\0';
    ask->path_size = size;
    return memchr(ask->path, '\0', size) == NULL;
}

static void send_page(file_ask *ask, brisk_value *page)
{
    http_field fields[] = {
        {HTTP_TEXT("content-type"), HTTP_TEXT("text/html; charset=utf-8")},
        {HTTP_TEXT("cache-control"), HTTP_TEXT("no-cache")},
        {HTTP_TEXT("content-security-policy"),
         HTTP_TEXT("default-src 'none'; style-src 'unsafe-inline'")},
        {HTTP_TEXT("x-content-type-options"), HTTP_TEXT("nosniff")},
    };
    http_answer answer = {
        .status = 200,
        .fields = fields,
        .field_count = sizeof fields / sizeof fields[0],
        .body = {.kind = HTTP_BODY_VALUE, .value = page, .fd = -1, .size = brisk_value_size(page)}};
    exchange_answer(ask->x, &answer);
}

/* A folder without its slash: relative links in its index would be wrong. */
static void redirect(file_ask *ask)
{
    exchange *x = ask->x;
    const brisk_alloc *alloc = ask->mount->owner->alloc;
    http_text path = x->path;
    while (path.size > 1 && path.data[0] == '/' && path.data[1] == '/') {
        path.data++; /* "//host/" would lead elsewhere */
        path.size--;
    }
    char *escaped;
    size_t size;
    if (files_escape_path(path, alloc, &escaped, &size) != BRISK_OK) {
        exchange_fail(x, 503, "no memory is left");
        return;
    }
    size_t whole = size + 2 + x->query.size;
    char *location = exchange_alloc(x, whole + 1);
    if (location != NULL) {
        whole = (size_t)snprintf(location, whole + 1, "%s/%s%.*s", escaped,
                                 x->query.size > 0 ? "?" : "", (int)x->query.size, x->query.data);
    }
    alloc->release(alloc->ctx, escaped, size + 1, 1);
    if (location == NULL) {
        exchange_fail(x, 503, "no memory is left");
        return;
    }
    http_field field = {HTTP_TEXT("location"), {.data = location, .size = whole}};
    http_answer answer = {.status = 301, .fields = &field, .field_count = 1};
    exchange_answer(x, &answer);
}

/* Nothing to send was found. */
static void fail(file_ask *ask, file_found found, file_kind kind)
{
    exchange *x = ask->x;
    if (found == FILE_NO_ROOM) {
        exchange_fail(x, 503, "no file can be opened now");
    } else if (found == FILE_FAILED) {
        exchange_fail(x, 500, "the file cannot be read");
    } else if (kind == FILE_DENIED) {
        exchange_fail(x, 403, "this may not be read");
    } else {
        exchange_fail(x, 404, "there is nothing here");
    }
}

/* The entry of the path, or of the folder's index: ask->file. */
static file_found find(file_ask *ask, bool wait, file_entry **ret)
{
    const mount *m = ask->mount;
    size_t size = ask->path_size;
    memcpy(ask->file, ask->path, size + 1);
    if (ask->folder && m->index[0] != '\0') {
        if (size > 0) {
            ask->file[size++] = '/';
        }
        memcpy(ask->file + size, m->index, strlen(m->index) + 1);
    }
    return open_cache_find(m->owner->cache, &m->place, ask->file, wait, ret);
}

static void serve(file_ask *ask, bool wait)
{
    const mount *m = ask->mount;
    file_entry *entry = NULL;
    file_found found = find(ask, wait, &entry);
    if (found == FILE_WOULD_WAIT) {
        start_wait(ask, false);
        return;
    }
    file_kind kind = found == FILE_FOUND ? entry->kind : FILE_MISSING;
    if (found == FILE_FOUND && kind == FILE_REGULAR) {
        found = files_look_near(ask, entry, wait);
        if (found == FILE_FOUND) {
            files_send(ask, entry);
            return;
        }
        if (found == FILE_WOULD_WAIT) {
            file_entry_unref(entry);
            start_wait(ask, false);
            return;
        }
    }
    file_entry_unref(entry);
    if (found == FILE_FOUND && kind == FILE_FOLDER && !ask->folder) {
        redirect(ask);
    } else if (found == FILE_FOUND && ask->folder && m->listing &&
               (kind == FILE_MISSING || kind == FILE_FOLDER)) {
        start_wait(ask, true);
    } else {
        fail(ask, found, kind);
    }
}

/* --- the route -------------------------------------------------------------------------------- */

static void begin(exchange *x)
{
    union { /* routes are read-only to others; the mount is ours */
        const void *from;
        mount *to;
    } owner = {x->route->ctx};
    mount *m = owner.to;
    if (mount_is_due(m, x->worker->now_ns)) {
        mount_look(m, x->worker->now_ns);
    }
    file_ask *ask = exchange_alloc(x, sizeof *ask);
    if (ask == NULL) {
        exchange_fail(x, 503, "no memory is left");
        return;
    }
    *ask = (file_ask){.x = x, .mount = m};
    x->handler = ask;
    if (!take_path(ask)) {
        exchange_fail(x, 404, "there is nothing here");
        return;
    }
    serve(ask, false);
}

static void writable(exchange *x)
{
    files_parts_writable(x->handler);
}

static void gone(exchange *x)
{
    file_ask *ask = x->handler;
    if (ask == NULL) {
        return;
    }
    if (ask->waits != NULL) {
        ask->waits->ask = NULL;
    }
    files_parts_gone(ask);
}

/* --- the whole -------------------------------------------------------------------------------- */

static brisk_err add_mounts(files *self, const brisk_yaml_doc *doc, brisk_errinfo *info)
{
    const brisk_yaml_node *root = brisk_yaml_root(doc);
    const brisk_yaml_node *node = root->kind == BRISK_YAML_SEQUENCE ? root->child : root;
    for (; node != NULL; node = node->next) {
        mount *m = &self->mounts[self->mount_count];
        brisk_err err = mount_init(m, doc, node, self->alloc, info);
        if (err != BRISK_OK) {
            return err;
        }
        m->owner = self;
        m->place.root = self->mount_count++;
        m->route = (http_route){.name = "static",
                                .methods = HTTP_GET | HTTP_HEAD,
                                .priority = {.urgency = 5},
                                .begin = begin,
                                .writable = writable,
                                .gone = gone,
                                .ctx = m};
        err = http_routes_add(self->server->http_routes, m->host, m->at, &m->route);
        if (err != BRISK_OK) {
            return brisk_errinfo_set(info, err, "%s:%u: serve.static: %s%s: %s",
                                     brisk_yaml_name(doc), node->line, m->host, m->at,
                                     err == BRISK_ERR_CONFLICT ? "is there already"
                                                               : brisk_err_message(err));
        }
    }
    return BRISK_OK;
}

brisk_err files_create(server *s, const files_settings *settings, files **ret, brisk_errinfo *info)
{
    const brisk_alloc *alloc = s->alloc;
    const brisk_yaml_node *root =
        settings->mounts != NULL ? brisk_yaml_root(settings->mounts) : NULL;
    uint32_t count = root == NULL                                         ? 0
                     : root->kind == BRISK_YAML_SEQUENCE                  ? root->count
                     : root->count > 0 || root->kind == BRISK_YAML_SCALAR ? 1
                                                                          : 0;
    if (count == 0) {
        *ret = NULL;
        return BRISK_OK;
    }
    if (count > MOUNTS_MAX) {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "serve.static: more than %d mounts",
                                 MOUNTS_MAX);
    }
    files *self = alloc->acquire(alloc->ctx, sizeof *self, _Alignof(files));
    if (self == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *self = (files){.server = s, .alloc = alloc};
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->idle, NULL);
    self->mounts = alloc->acquire(alloc->ctx, MOUNTS_MAX * sizeof *self->mounts, _Alignof(mount));
    open_cache_opts opts = {.alloc = alloc,
                            .clock = s->clock,
                            .entries_max = settings->entries,
                            .descriptors_max = settings->descriptors,
                            .memory_max = settings->memory_bytes,
                            .small_max = settings->small_bytes};
    brisk_err err = self->mounts == NULL ? BRISK_ERR_NOMEM : open_cache_create(&opts, &self->cache);
    err = err == BRISK_OK ? add_mounts(self, settings->mounts, info)
                          : brisk_errinfo_set(info, err, "out of memory");
    if (err != BRISK_OK) {
        files_destroy(self);
        return err;
    }
    *ret = self;
    return BRISK_OK;
}

void files_read_stats(files *self, open_cache_stats *ret)
{
    open_cache_read_stats(self->cache, ret);
}

void files_wait(files *self)
{
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    while (self->running > 0) {
        (void)pthread_cond_wait(&self->idle, &self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

void files_destroy(files *self)
{
    if (self == NULL) {
        return;
    }
    const brisk_alloc *alloc = self->alloc;
    files_wait(self);
    while (self->waits != NULL) { /* their loops do not run any more */
        files_wait_task *wait = self->waits;
        self->waits = wait->next;
        wait_free(wait);
    }
    open_cache_destroy(self->cache);
    for (uint32_t i = 0; i < self->mount_count; i++) {
        mount_deinit(&self->mounts[i], alloc);
    }
    if (self->mounts != NULL) {
        alloc->release(alloc->ctx, self->mounts, MOUNTS_MAX * sizeof *self->mounts,
                       _Alignof(mount));
    }
    (void)pthread_cond_destroy(&self->idle);
    (void)pthread_mutex_destroy(&self->lock);
    alloc->release(alloc->ctx, self, sizeof *self, _Alignof(files));
}
