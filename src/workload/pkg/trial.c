/*
 * trial.c -- a project for each package that depends on it alone, resolved and forgotten.
 *
 * Threads: each takes the next number; what they add up is under a lock, resolutions share nothing
 * but the store.
 */
#include "workload/pkg/trial.h"

#include <pthread.h>
#include <stdatomic.h>

#include "workload/pkg/problem.h"

typedef struct run {
    const pkg_trial *trial;
    brisk_arena *arena; /* lock */
    pthread_mutex_t lock;
    _Atomic uint32_t next;
    pkg_trial_result result; /* lock; `ms` of a number is whose it is */
} run;

static void add(pkg_fetch_stats *sum, const pkg_fetch_stats *s)
{
    sum->asked += s->asked;
    sum->from_store += s->from_store;
    sum->confirmed += s->confirmed;
    sum->fetched += s->fetched;
    sum->missing += s->missing;
    sum->guessed += s->guessed;
    sum->ready += s->ready;
    sum->waits += s->waits;
    sum->waited_ns += s->waited_ns;
    sum->requests += s->requests;
    sum->bytes_wire += s->bytes_wire;
    sum->bytes = s->bytes > sum->bytes ? s->bytes : sum->bytes;
    sum->rounds = s->rounds > sum->rounds ? s->rounds : sum->rounds;
}

/* Whether there is a tree, or a proof that there is none. */
static brisk_err resolve(const pkg_trial *trial, pkg_fetch *fetch, const pkg_trial_item *item,
                         brisk_arena *arena, bool *ret_proved, brisk_errinfo *info)
{
    pkg_dep dep = {.name = item->name, .spec = item->spec, .name_hash = pkg_text_hash(item->name)};
    pkg_manifest manifest = {
        .name = PKG_TEXT("trial"), .version = PKG_TEXT("1.0.0"), .deps = &dep, .dep_count = 1};
    pkg_project project = {.folder = PKG_TEXT("/"), .manifest = &manifest};
    pkg_ideal_opts opts = {.pick = trial->fetch.pick,
                           .legacy_peer_deps = trial->fetch.legacy_peer_deps};
    pkg_source source = pkg_fetch_source(fetch);
    pkg_conflict conflict = {0};
    pkg_advice advice = {0};
    pkg_tree tree;
    brisk_err err = semver_range_parse(arena, dep.spec, SEMVER_LOOSE, &dep.range);
    if (err == BRISK_OK) {
        err = pkg_ideal_build(&project, NULL, &source, &opts, arena, &tree, &conflict, info);
    }
    if (err == BRISK_ERR_CONFLICT) {
        brisk_errinfo ignored;
        *ret_proved =
            pkg_advise(&project, &source, &opts, &conflict, arena, &advice, &ignored) == BRISK_OK &&
            advice.proof.count > 0;
    } else if (err == BRISK_ERR_NOT_FOUND) {
        brisk_errinfo ignored;
        *ret_proved = pkg_missing_prove(&source, &opts, &conflict, arena, &advice.proof,
                                        &ignored) == BRISK_OK &&
                      advice.proof.count > 0;
    }
    return err;
}

static void note(run *r, uint32_t index, uint64_t ns, brisk_err err, bool proved,
                 const brisk_errinfo *info)
{
    pkg_text name = r->trial->items[index].name;
    r->result.ms[index] = (double)ns / 1e6;
    r->result.solved += err == BRISK_OK;
    r->result.proved += err != BRISK_OK && proved;
    if (err == BRISK_OK || proved) {
        return;
    }
    r->result.failed++;
    if (r->result.first_failure == NULL) {
        r->result.first_failure =
            brisk_arena_printf(r->arena, "%.*s: %s", (int)name.size, name.data,
                               info->text[0] != '\0' ? info->text : brisk_err_message(err));
    }
}

static void run_one(run *r, uint32_t index, brisk_arena *arena)
{
    brisk_errinfo info = {0};
    pkg_fetch *fetch = NULL;
    pkg_fetch_stats stats = {0};
    bool proved = false;
    uint64_t begin = brisk_clock_now_ns(NULL);
    brisk_err err = pkg_fetch_create(&r->trial->fetch, &fetch, &info);
    if (err == BRISK_OK) {
        err = resolve(r->trial, fetch, &r->trial->items[index], arena, &proved, &info);
        pkg_fetch_read_stats(fetch, &stats);
    }
    pkg_fetch_destroy(fetch);
    uint64_t ns = brisk_clock_now_ns(NULL) - begin;
    (void)pthread_mutex_lock(&r->lock);
    note(r, index, ns, err, proved, &info);
    add(&r->result.fetch, &stats);
    (void)pthread_mutex_unlock(&r->lock);
}

static void *run_thread(void *arg)
{
    run *r = arg;
    brisk_arena *arena;
    if (brisk_arena_create(NULL, &arena) != BRISK_OK) {
        return NULL; /* the others do it */
    }
    for (;;) {
        uint32_t index = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (index >= r->trial->count) {
            break;
        }
        run_one(r, index, arena);
        brisk_arena_reset(arena);
    }
    brisk_arena_destroy(arena);
    return NULL;
}

brisk_err pkg_trial_run(const pkg_trial *trial, brisk_arena *arena, pkg_trial_result *ret)
{
    pthread_t threads[PKG_TRIAL_THREADS_MAX];
    uint32_t started = 0;
    run r = {.trial = trial, .arena = arena, .lock = PTHREAD_MUTEX_INITIALIZER};
    r.result.ms = brisk_arena_calloc(arena, (size_t)trial->count + 1, sizeof *r.result.ms);
    if (r.result.ms == NULL) {
        return BRISK_ERR_NOMEM;
    }
    uint64_t begin = brisk_clock_now_ns(NULL);
    while (started + 1 < trial->threads && started < PKG_TRIAL_THREADS_MAX &&
           pthread_create(&threads[started], NULL, run_thread, &r) == 0) {
        started++;
    }
    (void)run_thread(&r);
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    if (r.result.solved + r.result.proved + r.result.failed != trial->count) {
        return BRISK_ERR_NOMEM;
    }
    r.result.total_ns = brisk_clock_now_ns(NULL) - begin;
    *ret = r.result;
    return BRISK_OK;
}
