/*
 * loader_run.c -- one load, by whoever leads the flight of its key.
 *
 *     lease ─► load ─┬─ answer, or "there is none" ─► publish ─► store ─► land
 *                    └─ error ─► remember ─► publish and land, or abandon: the next who waits loads
 *
 * Who waits has the answer before it is stored.  It is not stored when put or remove of the key
 * came meanwhile: publish says so, and from publish to land those two wait (flight.h).  Changes that
 * the loader is not told of (tags, prefixes, other processes) the stack knows by the epoch.
 *
 * That a load was cancelled or late is its caller's affair: others who wait try themselves.
 *
 * A lease (of a fleet of processes) that another has means that the answer will appear in the
 * cache; it is looked for after 1, 2, 4 ... 64 ms until lease_wait_ns have passed.  Then, and
 * whenever the lease cannot be asked for, this process loads: a broken lease costs loads only.
 *
 * Threads: any; no lock is held during load, lease and cache calls.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cache/loader_internal.h"

enum {
    LEASE_LOOK_NS = 1000000,
    LEASE_LOOK_MAX_NS = 64000000,
    NS_PER_S = 1000000000,
};

/* A load in the background: leads for a copy of the key. */
typedef struct loader_job {
    loader_call call; /* first */
    brisk_hit stale;
    bool early;
    size_t bytes; /* of this block */
    unsigned char key[];
} loader_job;

void loader_copy_answer(brisk_flight *self, const brisk_flight *leader)
{
    const loader_call *from = (const loader_call *)leader;
    loader_call *to = (loader_call *)self;
    to->err = from->err;
    if (from->err == BRISK_OK) {
        loader_copy_hit(&to->hit, &from->hit);
    }
}

/* --- leases ----------------------------------------------------------------------------------- */

static void sleep_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}

/* The other process's answer, if it is in the cache by now. */
static bool look(loader_call *lead)
{
    brisk_loader *loader = lead->loader;
    if (!brisk_cache_get(loader->opts.cache, &lead->flight.key, loader->opts.tiers, &lead->hit)) {
        return false;
    }
    loader_age age = loader_entry_read(loader, &lead->hit);
    if (age != LOADER_FRESH && age != LOADER_EARLY) {
        loader_drop_hit(&lead->hit);
        return false;
    }
    if ((lead->hit.flags & BRISK_ENTRY_NEGATIVE) != 0) {
        loader_drop_hit(&lead->hit);
        lead->err = BRISK_ERR_NOT_FOUND;
    } else {
        lead->err = BRISK_OK;
    }
    return true;
}

/* Try to get the lease.  True: another process's answer came instead, and is in `lead`. */
static bool get_lease(loader_call *lead, uint64_t deadline_ns, bool *held)
{
    brisk_loader *loader = lead->loader;
    *held = false;
    if (loader->lease.acquire == NULL) {
        return false;
    }
    uint64_t waited = 0;
    uint64_t pause = LEASE_LOOK_NS;
    for (;;) {
        brisk_err err =
            loader->lease.acquire(loader->lease.ctx, &lead->flight.key, loader->opts.lease_ttl_ns);
        *held = err == BRISK_OK;
        /* A lease that another just gave back: its answer is there. */
        if (waited != 0 && *held && look(lead)) {
            return true;
        }
        if (err != BRISK_ERR_CONFLICT) {
            return false;
        }
        if (waited == 0) {
            loader_count(&loader->counters.lease_waits, 1);
        }
        bool late = deadline_ns != 0 && brisk_clock_now_ns(loader->opts.clock) >= deadline_ns;
        if (late || waited >= loader->opts.lease_wait_ns) {
            return false;
        }
        sleep_ns(pause);
        waited += pause;
        pause = pause < LEASE_LOOK_MAX_NS ? 2 * pause : pause;
        if (look(lead)) {
            return true;
        }
    }
}

/* --- the load --------------------------------------------------------------------------------- */

/* How long the answer is fresh: as the load says, or by what was learned of the key. */
static uint64_t life_of(const loader_call *lead, const brisk_load *load)
{
    brisk_ttl *ttl = lead->loader->opts.ttl;
    if (load->ttl_ns != 0 || ttl == NULL) {
        return load->ttl_ns;
    }
    const brisk_value *value = lead->hit.value;
    const void *data = brisk_value_data(value);
    brisk_ttl_load seen = {
        .content = data != NULL ? brisk_hash64(data, (size_t)brisk_value_size(value), 0) : 0,
        .unchanged = load->unchanged,
        .early = load->early,
    };
    return brisk_ttl_loaded(ttl, &lead->flight.key, &seen);
}

/* What load returned becomes lead->err and lead->hit. */
static void take_answer(loader_call *lead, brisk_load *load, brisk_err err)
{
    const brisk_loader *loader = lead->loader;
    brisk_hit *hit = &lead->hit;
    if (err == BRISK_OK && load->unchanged && load->stale != NULL && load->value == NULL) {
        loader_copy_hit(hit, load->stale);
        hit->flags = (load->stale->flags & BRISK_ENTRY_LOCAL) | load->opts.flags;
        hit->stale = false;
    } else if (err == BRISK_OK && load->value != NULL &&
               load->opts.meta_size <= BRISK_LOAD_META_MAX) {
        hit->value = load->value;
        load->value = NULL;
        hit->flags = load->opts.flags;
        hit->stale = false;
        hit->content = (brisk_hash128){0};
        hit->has_content = false;
        hit->era = 0;
        hit->meta_size = load->opts.meta_size;
        if (hit->meta_size != 0) {
            memcpy(hit->meta, load->opts.meta, hit->meta_size);
        }
    } else if (err == BRISK_OK) {
        err = brisk_errinfo_set(load->info, BRISK_ERR_INVALID, "load gave %s",
                                load->value == NULL ? "no value" : "too much meta data");
    }
    brisk_value_unref(load->value); /* beside an error, or too many */
    load->value = NULL;
    lead->err = err;
    if (err == BRISK_OK) {
        hit->tier = UINT32_MAX;
        hit->tier_name = "load";
        hit->elapsed_ns = 0;
        hit->store_ns = 0;
        hit->cost_ns = load->opts.cost_ns;
        hit->expires_at_ns = loader_entry_end(loader, life_of(lead, load));
    }
}

/* True: the answer is that of far tiers, and in `lead`. */
static bool call_load(loader_call *lead, brisk_load *load, bool race)
{
    brisk_loader *loader = lead->loader;
    bool from_tiers = false;
    /* Before anything is read: what changes from here on makes the answer outdated. */
    uint64_t as_of = brisk_cache_epoch(loader->opts.cache);
    uint64_t begin = brisk_clock_now_ns(loader->opts.clock);
    brisk_err err = race ? loader_race_load(lead, load, &from_tiers)
                         : loader->opts.load(loader->opts.ctx, &lead->flight.key, load);
    if (from_tiers) {
        brisk_value_unref(load->value); /* of a load that failed nevertheless */
        load->value = NULL;
        lead->err = err;
        return true;
    }
    uint64_t end = brisk_clock_now_ns(loader->opts.clock);
    uint64_t took = end > begin ? end - begin : 0;
    load->opts.cost_ns = load->opts.cost_ns != 0 ? load->opts.cost_ns : took;
    load->opts.as_of = load->opts.as_of != 0 ? load->opts.as_of : as_of;
    take_answer(lead, load, err);
    loader_count(&loader->counters.loads, 1);
    loader_count(&loader->counters.load_ns, took);
    return false;
}

static void land_answer(loader_call *lead, const brisk_load *load)
{
    brisk_loader *loader = lead->loader;
    bool current = brisk_flight_publish(loader->flights, &lead->flight);
    if (!current) {
        loader_count(&loader->counters.outdated, 1);
    } else if (!load->no_store && lead->err == BRISK_OK) {
        loader_entry_store(loader, &lead->flight.key, &lead->hit, &load->opts);
    } else if (!load->no_store) {
        loader_entry_store_none(loader, &lead->flight.key, &load->opts);
    }
    loader_errors_forget(&loader->errors, &lead->flight.key);
    brisk_flight_land(loader->flights, &lead->flight);
}

static void land_error(loader_call *lead)
{
    brisk_loader *loader = lead->loader;
    bool own = lead->err == BRISK_ERR_CANCELLED || lead->err == BRISK_ERR_DEADLINE;
    loader_count(&loader->counters.load_errors, 1);
    if (own || (loader->opts.flags & BRISK_LOADER_RETRY) != 0) {
        brisk_flight_abandon(loader->flights, &lead->flight);
        return;
    }
    if (loader->opts.error_ttl_ns != 0) {
        uint64_t now = brisk_clock_now_ns(loader->opts.clock);
        loader_errors_add(&loader->errors, &lead->flight.key, lead->err,
                          now + loader->opts.error_ttl_ns);
    }
    (void)brisk_flight_publish(loader->flights, &lead->flight);
    brisk_flight_land(loader->flights, &lead->flight);
}

void loader_run(loader_call *lead, const loader_request *request)
{
    brisk_loader *loader = lead->loader;
    brisk_errinfo unread;
    unread.text[0] = '\0';
    brisk_load load = {
        .stale = request->stale,
        .arg = request->arg,
        .early = request->early,
        .deadline_ns = request->deadline_ns,
        .info = request->info != NULL ? request->info : &unread,
    };
    bool race =
        loader->race != NULL && request->stale == NULL && !request->early && !request->reload;
    bool held;
    if (get_lease(lead, request->deadline_ns, &held)) {
        (void)brisk_flight_publish(loader->flights, &lead->flight);
        brisk_flight_land(loader->flights, &lead->flight);
    } else {
        if (call_load(lead, &load, race)) { /* the cache has it already */
            (void)brisk_flight_publish(loader->flights, &lead->flight);
            brisk_flight_land(loader->flights, &lead->flight);
        } else if (lead->err == BRISK_OK || lead->err == BRISK_ERR_NOT_FOUND) {
            land_answer(lead, &load);
        } else {
            land_error(lead);
        }
        if (load.release != NULL) {
            load.release(load.release_ctx);
        }
    }
    if (held) {
        loader->lease.release(loader->lease.ctx, &lead->flight.key);
    }
}

/* --- refreshes in the background ---------------------------------------------------------------- */

void loader_job_begins(brisk_loader *loader)
{
    (void)pthread_mutex_lock(&loader->lock);
    loader->running++;
    (void)pthread_mutex_unlock(&loader->lock);
}

void loader_job_ends(brisk_loader *loader)
{
    (void)pthread_mutex_lock(&loader->lock);
    if (--loader->running == 0) {
        (void)pthread_cond_broadcast(&loader->idle); /* under the lock: then it may be gone */
    }
    (void)pthread_mutex_unlock(&loader->lock);
}

static void free_job(loader_job *job)
{
    brisk_loader *loader = job->call.loader;
    loader_drop_hit(&job->stale);
    if (job->call.err == BRISK_OK) {
        loader_drop_hit(&job->call.hit);
    }
    loader->alloc->release(loader->alloc->ctx, job, job->bytes, _Alignof(loader_job));
    loader_job_ends(loader);
}

static void run_job(void *arg)
{
    loader_job *job = arg;
    if (brisk_flight_begin(job->call.loader->flights, &job->call.flight)) {
        loader_request request = {.stale = &job->stale, .early = job->early};
        loader_run(&job->call, &request);
    }
    free_job(job);
}

/* The leader of others is never told anything. */
static void job_event(brisk_flight *self, brisk_flight_event event)
{
    (void)self;
    (void)event;
    BRISK_ASSERT(false);
}

static loader_job *new_job(brisk_loader *loader, const brisk_key *key, const brisk_hit *stale)
{
    size_t bytes = sizeof(loader_job) + key->size;
    loader_job *job = loader->alloc->acquire(loader->alloc->ctx, bytes, _Alignof(loader_job));
    if (job == NULL) {
        return NULL;
    }
    job->bytes = bytes;
    memcpy(job->key, key->bytes, key->size);
    job->call.flight = (brisk_flight){
        .key = {.bytes = job->key, .size = key->size, .hash = key->hash},
        .queued = true,
        .copy = loader_copy_answer,
        .on_event = job_event,
    };
    job->call.loader = loader;
    job->call.err = BRISK_ERR_NOT_FOUND; /* nothing to drop yet */
    job->call.hit.value = NULL;
    loader_copy_hit(&job->stale, stale);
    loader_job_begins(loader);
    return job;
}

bool loader_refresh_later(brisk_loader *loader, const brisk_key *key, const brisk_hit *stale,
                          bool early)
{
    loader_job *job = new_job(loader, key, stale);
    if (job == NULL) {
        return false;
    }
    job->early = early;
    if (!brisk_flight_try_lead(loader->flights, &job->call.flight)) {
        free_job(job);
        return true; /* somebody is at it */
    }
    loader_count(&loader->counters.refreshes, 1);
    loader_count(&loader->counters.early, early);
    if (loader->background.run(loader->background.ctx, run_job, job)) {
        return true;
    }
    /* Whoever took its place, or comes after it, is not held up by this one. */
    brisk_flight_abandon(loader->flights, &job->call.flight);
    free_job(job);
    return false;
}
