/*
 * fetch.c -- the table of packages; want and get; the threads.
 *
 * Contract: fetch.h.  Requests: fetch_ask.c.  Guesses: fetch_guess.c.
 *
 * Hungry entries, answers, and documents that are to be kept wait in three lists.  Whoever has nothing
 * else to do takes from them, in this order: the workers, which are started with the first request, and
 * the builder while `get` waits.  What tells the next requests comes first, as a registry far away takes
 * longer than all of it; of answers the smallest, so that fewer wait for a large one; what is to be kept
 * is written while nothing else can be done.  Without a request there is no thread and no guess: what is
 * in the store is there as fast as it is guessed.
 *
 * Invariant: an entry is FLYING exactly as long as a request for it is on its way, its answer lies in
 * `arrived`, or a worker has that.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workload/pkg/fetch_internal.h"

enum { SLOTS_FIRST = 1024, ARENA_BYTES = 65536, CANCEL_POLL_NS = 50000000 };

int64_t fetch_now_ms(const pkg_fetch *f)
{
    return (int64_t)(brisk_clock_wall_ns(f->opts.clock) / 1000000);
}

/* --- the table -------------------------------------------------------------------------------- */

static fetch_entry **slot_of(fetch_entry **slots, uint32_t count, pkg_text name, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (count - 1);
    while (slots[at] != NULL &&
           (slots[at]->hash != hash || !pkg_text_equal(slots[at]->name, name))) {
        at = (at + 1) & (count - 1);
    }
    return &slots[at];
}

static bool grow(pkg_fetch *f)
{
    uint32_t count = f->slot_count > 0 ? f->slot_count * 2 : SLOTS_FIRST;
    fetch_entry **slots = brisk_arena_calloc(f->arena, count, sizeof(fetch_entry *));
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < f->slot_count; i++) {
        if (f->slots[i] != NULL) {
            *slot_of(slots, count, f->slots[i]->name, f->slots[i]->hash) = f->slots[i];
        }
    }
    f->slots = slots;
    f->slot_count = count;
    return true;
}

fetch_entry *fetch_entry_of(pkg_fetch *f, pkg_text name)
{
    uint64_t hash = pkg_text_hash(name);
    fetch_entry **slot = slot_of(f->slots, f->slot_count, name, hash);
    if (*slot != NULL) {
        return *slot;
    }
    if (f->count >= PKG_FETCH_PACKAGES_MAX || (f->count * 2 >= f->slot_count && !grow(f))) {
        return NULL;
    }
    fetch_entry *entry = brisk_arena_calloc(f->arena, 1, sizeof *entry);
    char *copy = brisk_arena_copy(f->arena, name.data, name.size);
    if (entry == NULL || copy == NULL) {
        return NULL;
    }
    entry->name = (pkg_text){.data = copy, .size = name.size};
    entry->hash = hash;
    entry->registry = pkg_config_registry(f->opts.config, name);
    *slot_of(f->slots, f->slot_count, entry->name, hash) = entry;
    f->count++;
    return entry;
}

/* --- states ----------------------------------------------------------------------------------- */

void fetch_make_hungry(pkg_fetch *f, fetch_entry *entry)
{
    const pkg_package *food = entry->state == FETCH_READY ? entry->package : entry->stored.package;
    bool has_more = entry->wants_done < entry->want_count || entry->eaten != food;
    if (entry->hungry || food == NULL || entry->want_count == 0 || !has_more || f->opts.no_guess ||
        f->opts.mode == PKG_FETCH_OFFLINE) {
        return;
    }
    entry->hungry = true;
    entry->next_hungry = NULL;
    *(f->last_hungry != NULL ? &f->last_hungry->next_hungry : &f->first_hungry) = entry;
    f->last_hungry = entry;
    if (f->client != NULL) {
        (void)pthread_cond_signal(&f->changed);
    }
}

void fetch_note_want(pkg_fetch *f, fetch_entry *entry, fetch_want wanted)
{
    if (wanted.range == NULL || f->opts.no_guess || f->opts.mode == PKG_FETCH_OFFLINE ||
        entry->state == FETCH_FAILED || entry->want_count >= PKG_FETCH_WANTS_MAX) {
        return;
    }
    if (entry->want_count == entry->want_capacity) {
        uint32_t capacity = entry->want_capacity > 0 ? entry->want_capacity * 2 : 4;
        fetch_want *more = brisk_arena_calloc(f->arena, capacity, sizeof *more);
        if (more == NULL) {
            return; /* a guess less */
        }
        if (entry->want_count > 0) {
            memcpy(more, entry->wants, entry->want_count * sizeof *more);
        }
        entry->wants = more;
        entry->want_capacity = capacity;
    }
    entry->wants[entry->want_count++] = wanted;
    fetch_make_hungry(f, entry);
}

void fetch_ready(pkg_fetch *f, fetch_entry *entry, const pkg_package *package)
{
    entry->package = package;
    if (pkg_package_count(package) == 0) {
        fetch_failed(f, entry, BRISK_ERR_NOT_FOUND, "the registry has no version of it");
        return;
    }
    entry->state = FETCH_READY;
    entry->confirmed = entry->requested;
    fetch_make_hungry(f, entry);
    (void)pthread_cond_broadcast(&f->changed);
}

void fetch_failed(pkg_fetch *f, fetch_entry *entry, brisk_err err, const char *format, ...)
{
    char text[BRISK_ERRINFO_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    entry->state = FETCH_FAILED;
    entry->err = err;
    entry->why = brisk_arena_copy(f->arena, text, strlen(text));
    (void)pthread_cond_broadcast(&f->changed);
}

/* --- threads ---------------------------------------------------------------------------------- */

static bool keep_one(pkg_fetch *f)
{
    fetch_entry *entry = f->first_unkept;
    if (entry == NULL) {
        return false;
    }
    f->first_unkept = entry->next_unkept;
    f->last_unkept = f->first_unkept != NULL ? f->last_unkept : NULL;
    f->keeping++;
    (void)pthread_mutex_unlock(&f->lock);
    fetch_keep(f, entry);
    (void)pthread_mutex_lock(&f->lock);
    f->keeping--;
    if (f->keeping == 0) {
        (void)pthread_cond_broadcast(&f->changed); /* pkg_fetch_settle */
    }
    return true;
}

/* Do one thing that waits to be done; the lock is held before and after.  False: there is none. */
static bool work(fetch_worker *w)
{
    pkg_fetch *f = w->fetch;
    fetch_entry *entry = f->first_hungry;
    if (entry != NULL) {
        f->first_hungry = entry->next_hungry;
        f->last_hungry = f->first_hungry != NULL ? f->last_hungry : NULL;
        (void)pthread_mutex_unlock(&f->lock);
        fetch_guess(w, entry);
        (void)pthread_mutex_lock(&f->lock);
        return true;
    }
    entry = f->first_arrived;
    if (entry != NULL) {
        f->first_arrived = entry->next_arrived;
        (void)pthread_mutex_unlock(&f->lock);
        fetch_take_answer(w, entry);
        (void)pthread_mutex_lock(&f->lock);
        return true;
    }
    return keep_one(f);
}

static void *run_worker(void *arg)
{
    fetch_worker *w = arg;
    pkg_fetch *f = w->fetch;
    (void)pthread_mutex_lock(&f->lock);
    while (!f->closing) {
        if (!work(w)) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
        }
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Those that cannot be started are not missed: whoever waits works. */
static void start_workers(pkg_fetch *f)
{
    for (uint32_t i = 1; i <= f->worker_count; i++) {
        fetch_worker *w = &f->workers[i];
        w->started = w->started || pthread_create(&w->thread, NULL, run_worker, w) == 0;
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

static void look_in_store(pkg_fetch *f, fetch_entry *entry)
{
    bool full = f->opts.full;
    brisk_err err = pkg_store_get(f->opts.store, fetch_registry_key(entry->registry, full),
                                  entry->name, &entry->stored);
    if (err != BRISK_OK && !full && f->opts.mode == PKG_FETCH_OFFLINE) {
        err = pkg_store_get(f->opts.store, fetch_registry_key(entry->registry, true), entry->name,
                            &entry->stored);
        f->stats.substituted += err == BRISK_OK;
    }
    if (err != BRISK_OK) { /* a damaged one is fetched again */
        entry->stored = (pkg_stored){0};
    }
}

void fetch_look(pkg_fetch *f, fetch_entry *entry, uint32_t round, brisk_http_priority priority)
{
    entry->round = round;
    if (f->opts.store != NULL) {
        look_in_store(f, entry);
    }
    bool is_there = entry->stored.package != NULL;
    bool is_old = !is_there || entry->stored.fresh_until_ms <= fetch_now_ms(f) ||
                  entry->stored.fetched_ms > fetch_now_ms(f);
    if (is_there && (!is_old || f->opts.mode != PKG_FETCH_NORMAL)) {
        entry->from_store = true;
        entry->fresh_until_ms = entry->stored.fresh_until_ms;
        fetch_ready(f, entry, entry->stored.package);
        return;
    }
    if (f->opts.mode == PKG_FETCH_OFFLINE) {
        fetch_failed(f, entry, BRISK_ERR_NOT_FOUND,
                     "it was not fetched before, and --offline asks nobody");
        return;
    }
    entry->whole = f->opts.full;
    entry->conditional =
        is_there && (entry->stored.etag.size > 0 || entry->stored.last_modified.size > 0);
    fetch_ask(f, entry, priority);
    start_workers(f);
}

/* --- ranges -------------------------------------------------------------------------------------- */

static bool copy_text(pkg_fetch *f, pkg_text *text)
{
    if (text->size > 0) {
        text->data = brisk_arena_copy(f->arena, text->data, text->size);
    }
    return text->size == 0 || text->data != NULL;
}

/* Guesses may come long after the caller's range is gone.  NULL: there is no memory. */
static const semver_range *copy_range(pkg_fetch *f, const semver_range *range)
{
    uint32_t count = range->ends[range->count - 1];
    semver_range *copy = brisk_arena_alloc(f->arena, sizeof *copy);
    semver_comparator *items = brisk_arena_calloc(f->arena, (size_t)count + 1, sizeof *items);
    uint32_t *ends = brisk_arena_calloc(f->arena, range->count, sizeof *ends);
    if (copy == NULL || items == NULL || ends == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        items[i] = range->items[i];
        if (!copy_text(f, &items[i].version.prerelease) || !copy_text(f, &items[i].version.build)) {
            return NULL;
        }
    }
    memcpy(ends, range->ends, range->count * sizeof *ends);
    *copy =
        (semver_range){.items = items, .ends = ends, .count = range->count, .flags = range->flags};
    return copy;
}

/* --- the source ------------------------------------------------------------------------------- */

static void want(void *ctx, pkg_text name, const semver_range *range, bool peers_only)
{
    pkg_fetch *f = ctx;
    if (f->opts.mode == PKG_FETCH_OFFLINE || !pkg_name_is_valid(name)) {
        return;
    }
    (void)pthread_mutex_lock(&f->lock);
    fetch_entry *entry = fetch_entry_of(f, name);
    if (entry != NULL) {
        if (entry->state == FETCH_NEW) {
            fetch_look(f, entry, f->round + 1, BRISK_HTTP_NORMAL);
        }
        bool follows = range != NULL && !f->opts.no_guess && entry->state != FETCH_FAILED;
        const fetch_want wanted = {.range = follows ? copy_range(f, range) : NULL,
                                   .peers_only = peers_only};
        fetch_note_want(f, entry, wanted);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

/* Until the entry has its answer, helping meanwhile; the lock is held before and after. */
static brisk_err wait_for(pkg_fetch *f, const fetch_entry *entry)
{
    while (entry->state == FETCH_FLYING) {
        if (f->opts.cancelled != NULL && f->opts.cancelled(f->opts.ctx)) {
            return BRISK_ERR_CANCELLED;
        }
        if (work(&f->workers[0])) {
            continue;
        }
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += CANCEL_POLL_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&f->changed, &f->lock, &until);
    }
    return BRISK_OK;
}

static void note_missing(pkg_fetch *f, fetch_entry *entry)
{
    if (f->missing_count == f->missing_capacity) {
        uint32_t capacity = f->missing_capacity > 0 ? f->missing_capacity * 2 : 16;
        fetch_entry **more = brisk_arena_calloc(f->arena, capacity, sizeof(fetch_entry *));
        if (more == NULL) {
            return;
        }
        if (f->missing_count > 0) {
            memcpy(more, f->missing, f->missing_count * sizeof(fetch_entry *));
        }
        f->missing = more;
        f->missing_capacity = capacity;
    }
    f->missing[f->missing_count++] = entry;
}

/* The first `get` of an entry: for the figures. */
static void note_asked(pkg_fetch *f, fetch_entry *entry)
{
    entry->asked = true;
    f->stats.asked++;
    f->stats.from_store += entry->state == FETCH_READY && entry->from_store;
    f->stats.fetched += entry->state == FETCH_READY && entry->owned > 0;
    f->stats.confirmed += entry->state == FETCH_READY && !entry->from_store && entry->owned == 0;
    f->stats.missing += entry->state == FETCH_FAILED && entry->err == BRISK_ERR_NOT_FOUND;
    if (entry->state == FETCH_FAILED && f->opts.mode == PKG_FETCH_OFFLINE &&
        entry->stored.package == NULL) {
        note_missing(f, entry);
    }
    f->round = entry->requested && entry->round > f->round ? entry->round : f->round;
}

static brisk_err give(pkg_fetch *f, fetch_entry *entry, const pkg_package **ret,
                      brisk_errinfo *info)
{
    if (!entry->asked) {
        note_asked(f, entry);
    }
    if (entry->state == FETCH_FAILED) {
        return brisk_errinfo_set(info, entry->err, "%s",
                                 entry->why != NULL ? entry->why : brisk_err_message(entry->err));
    }
    if (entry->fresh_until_ms < f->fresh_until_ms) {
        f->fresh_until_ms = entry->fresh_until_ms;
    }
    *ret = entry->package;
    return BRISK_OK;
}

static brisk_err get_locked(pkg_fetch *f, pkg_text name, const pkg_package **ret,
                            brisk_errinfo *info)
{
    fetch_entry *entry = fetch_entry_of(f, name);
    if (entry == NULL) {
        bool many = f->count >= PKG_FETCH_PACKAGES_MAX;
        return brisk_errinfo_set(info, many ? BRISK_ERR_LIMIT : BRISK_ERR_NOMEM,
                                 many ? "more packages than can be resolved" : "out of memory");
    }
    if (entry->state == FETCH_NEW) {
        fetch_look(f, entry, f->round + 1, BRISK_HTTP_HIGH);
    }
    if (entry->state != FETCH_FLYING) {
        f->stats.ready++;
        return give(f, entry, ret, info);
    }
    uint64_t begin = brisk_clock_now_ns(f->opts.clock);
    brisk_err err = wait_for(f, entry);
    f->stats.waits++;
    f->stats.waited_ns += brisk_clock_now_ns(f->opts.clock) - begin;
    return err == BRISK_OK ? give(f, entry, ret, info)
                           : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

static brisk_err get(void *ctx, pkg_text name, const pkg_package **ret, brisk_errinfo *info)
{
    pkg_fetch *f = ctx;
    if (!pkg_name_is_valid(name)) {
        return brisk_errinfo_set(info, BRISK_ERR_INVALID, "this is no name of a package");
    }
    (void)pthread_mutex_lock(&f->lock);
    brisk_err err = get_locked(f, name, ret, info);
    (void)pthread_mutex_unlock(&f->lock);
    return err;
}

/* What the store had was fresh, but something newer is wanted: ask, once. */
static brisk_err refresh_locked(pkg_fetch *f, fetch_entry *entry, bool required,
                                const pkg_package **ret, brisk_errinfo *info)
{
    bool recent = fetch_now_ms(f) - entry->stored.fetched_ms < PKG_FETCH_MOMENT_MS;
    if (entry->state != FETCH_READY || entry->requested || (recent && !required) ||
        f->opts.mode == PKG_FETCH_OFFLINE) {
        return give(f, entry, ret, info);
    }
    f->stats.refetched++;
    entry->whole = f->opts.full;
    entry->conditional = entry->stored.etag.size > 0 || entry->stored.last_modified.size > 0;
    fetch_ask(f, entry, BRISK_HTTP_HIGH);
    start_workers(f);
    brisk_err err = wait_for(f, entry);
    return err == BRISK_OK ? give(f, entry, ret, info)
                           : brisk_errinfo_set(info, err, "%s", brisk_err_message(err));
}

static brisk_err refresh(void *ctx, pkg_text name, bool required, const pkg_package **ret,
                         brisk_errinfo *info)
{
    pkg_fetch *f = ctx;
    (void)pthread_mutex_lock(&f->lock);
    fetch_entry *entry = fetch_entry_of(f, name);
    brisk_err err = entry != NULL ? refresh_locked(f, entry, required, ret, info)
                                  : brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    (void)pthread_mutex_unlock(&f->lock);
    return err;
}

pkg_source pkg_fetch_source(pkg_fetch *fetch)
{
    return (pkg_source){.ctx = fetch, .get = get, .want = want, .refresh = refresh};
}

/* --- life ------------------------------------------------------------------------------------- */

static bool worker_init(pkg_fetch *f, fetch_worker *w)
{
    const brisk_arena_opts opts = {.chunk_bytes = ARENA_BYTES, .alloc = f->alloc};
    w->fetch = f;
    w->buffer.alloc = f->alloc;
    return brisk_arena_create(&opts, &w->arena) == BRISK_OK &&
           brisk_arena_create(&opts, &w->scratch) == BRISK_OK;
}

static uint32_t workers_of(uint32_t wanted)
{
    long cores = wanted > 0 ? (long)wanted + 1 : sysconf(_SC_NPROCESSORS_ONLN);
    cores = cores > PKG_FETCH_WORKERS_MAX + 1 ? PKG_FETCH_WORKERS_MAX + 1 : cores;
    return cores > 2 ? (uint32_t)cores - 1 : 1;
}

static bool init(pkg_fetch *f)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&f->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&f->lock, NULL);
    bool good =
        brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = ARENA_BYTES * 4, .alloc = f->alloc},
                           &f->arena) == BRISK_OK &&
        grow(f);
    for (uint32_t i = 0; i <= f->worker_count; i++) {
        good = good && worker_init(f, &f->workers[i]);
    }
    return good;
}

brisk_err pkg_fetch_create(const pkg_fetch_opts *opts, pkg_fetch **ret, brisk_errinfo *info)
{
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    pkg_fetch *f = alloc->acquire(alloc->ctx, sizeof *f, _Alignof(pkg_fetch));
    if (f == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *f = (pkg_fetch){.opts = *opts,
                     .alloc = alloc,
                     .worker_count = workers_of(opts->workers),
                     .fresh_until_ms = INT64_MAX};
    if (!init(f)) {
        pkg_fetch_destroy(f);
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    *ret = f;
    return BRISK_OK;
}

static void stop(pkg_fetch *f)
{
    (void)pthread_mutex_lock(&f->lock);
    f->closing = true;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 1; i <= f->worker_count; i++) {
        if (f->workers[i].started) {
            (void)pthread_join(f->workers[i].thread, NULL);
        }
    }
    brisk_http_client_destroy(f->client); /* the rest arrives, cancelled */
    pkg_fetch_settle(f);
}

void pkg_fetch_destroy(pkg_fetch *f)
{
    if (f == NULL) {
        return;
    }
    stop(f);
    for (uint32_t i = 0; i < f->slot_count; i++) {
        fetch_entry *entry = f->slots[i];
        if (entry != NULL) {
            brisk_http_response_destroy(entry->response);
            if (entry->owned > 0) {
                f->alloc->release(f->alloc->ctx, (void *)(uintptr_t)entry->package, entry->owned,
                                  8);
            }
        }
    }
    for (uint32_t i = 0; i <= f->worker_count; i++) {
        fetch_worker *w = &f->workers[i];
        pkg_packument_reader_destroy(w->reader);
        brisk_http_buffer_deinit(&w->buffer);
        brisk_arena_destroy(w->arena);
        brisk_arena_destroy(w->scratch);
    }
    brisk_arena_destroy(f->arena);
    (void)pthread_cond_destroy(&f->changed);
    (void)pthread_mutex_destroy(&f->lock);
    f->alloc->release(f->alloc->ctx, f, sizeof *f, _Alignof(pkg_fetch));
}

void pkg_fetch_settle(pkg_fetch *f)
{
    (void)pthread_mutex_lock(&f->lock);
    while (keep_one(f)) {
    }
    while (f->keeping > 0) {
        (void)pthread_cond_wait(&f->changed, &f->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

/* --- figures ---------------------------------------------------------------------------------- */

void pkg_fetch_read_stats(pkg_fetch *f, pkg_fetch_stats *ret)
{
    (void)pthread_mutex_lock(&f->lock);
    *ret = f->stats;
    ret->bytes = f->bytes;
    ret->rounds = f->round;
    for (uint32_t i = 0; i < f->slot_count; i++) {
        const fetch_entry *entry = f->slots[i];
        ret->guessed += entry != NULL && entry->requested && !entry->asked;
    }
    (void)pthread_mutex_unlock(&f->lock);
}

uint32_t pkg_fetch_missing_count(const pkg_fetch *f)
{
    return f->missing_count;
}

pkg_text pkg_fetch_missing(const pkg_fetch *f, uint32_t index)
{
    return f->missing[index]->name;
}

int64_t pkg_fetch_fresh_until(const pkg_fetch *f)
{
    return f->fresh_until_ms;
}
