/*
 * flight.c -- the same key asked for twice at once is computed once.
 *
 *     bucket ──► flight of key k: leader ─── computes
 *                   first ─► waiting ─► waiting ─► last
 *
 * Join makes a job the leader of its key or lets it wait.  The leader either publishes its answer
 * (everybody who waits gets it, and so does everybody who comes while it is being stored) and
 * lands when it is stored, or abandons the flight: then the first who waits leads and computes.
 *
 * A job looks into the cache before it joins, so an answer may be stored and its flight landed
 * between the two.  Each bucket counts its landings: a job whose count from before the lookup is
 * no longer true looks again instead of computing a second time.
 *
 * Nobody ever waits for a flight while it is inside another job on the same thread (`may_wait`):
 * the leader might be the frame below; nor on a worker, which the leader may need.  A job that was submitted does not hold a thread at all
 * while it waits; it is put back to the executor.
 *
 * Invariant: a flight is in its bucket exactly while leader->leading; a job waits in at most one
 * flight, and `waiting` is that one (audited in find).
 * Threads: any, under `lock`.  Jobs are resumed after it was released, since a resumed job may
 * run at once.
 */
#include "engine/internal.h"

#include <string.h>
#include <time.h>

#include <brisk/log.h>

#include "base/assert.h"

enum { NS_PER_S = 1000000000, FAKE_CLOCK_LOOK_NS = 1000000 };

static uint32_t bucket_of(const brisk_key *key)
{
    return (uint32_t)(key->hash.lo & (ENGINE_FLIGHT_BUCKETS - 1));
}

static bool same_key(const brisk_key *a, const brisk_key *b)
{
    return a->hash.lo == b->hash.lo && a->hash.hi == b->hash.hi && a->size == b->size &&
           memcmp(a->bytes, b->bytes, a->size) == 0;
}

static bool flight_is_valid(const engine_flight *flight)
{
    bool valid = flight->leader->leading && (!flight->answered || flight->first == NULL);
    const brisk_job *before = NULL;
    for (const brisk_job *job = flight->first; job != NULL && valid; job = job->wait_next) {
        valid = job->waiting == flight && job->wait_prev == before && !job->leading;
        before = job;
    }
    return valid && flight->last == before;
}

static engine_flight *find(engine_flights *flights, const brisk_key *key)
{
    engine_flight *flight = flights->buckets[bucket_of(key)];
    while (flight != NULL && !same_key(&flight->leader->key, key)) {
        flight = flight->next;
    }
    BRISK_AUDIT(flight == NULL || flight_is_valid(flight));
    return flight;
}

static void lead(engine_flights *flights, brisk_job *job)
{
    engine_flight **bucket = &flights->buckets[bucket_of(&job->key)];
    job->flight = (engine_flight){.leader = job, .next = *bucket};
    *bucket = &job->flight;
    job->leading = true;
}

/* Take the leader's flight out of its bucket; those who wait are the caller's affair. */
static void unlead(engine_flights *flights, brisk_job *job)
{
    engine_flight **link = &flights->buckets[bucket_of(&job->key)];
    while (*link != &job->flight) {
        BRISK_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = job->flight.next;
    job->leading = false;
}

static void append(engine_flight *flight, brisk_job *job)
{
    job->waiting = flight;
    job->wait_next = NULL;
    job->wait_prev = flight->last;
    if (flight->last != NULL) {
        flight->last->wait_next = job;
    } else {
        flight->first = job;
    }
    flight->last = job;
}

static void unlink_job(brisk_job *job)
{
    engine_flight *flight = job->waiting;
    if (job->wait_prev != NULL) {
        job->wait_prev->wait_next = job->wait_next;
    } else {
        flight->first = job->wait_next;
    }
    if (job->wait_next != NULL) {
        job->wait_next->wait_prev = job->wait_prev;
    } else {
        flight->last = job->wait_prev;
    }
    job->waiting = NULL;
    job->wait_next = NULL;
    job->wait_prev = NULL;
}

/* Only what is set of the meta data: most answers have a few bytes of it, or none. */
static void copy_answer(const brisk_hit *from, brisk_hit *to)
{
    to->value = brisk_value_ref(from->value);
    to->flags = from->flags;
    to->tier = UINT32_MAX;
    to->tier_name = "flight";
    to->elapsed_ns = 0;
    to->cost_ns = from->cost_ns;
    to->store_ns = 0;
    to->expires_at_ns = 0;
    to->has_content = false;
    to->stale = false;
    to->era = from->era;
    to->meta_size = from->meta_size;
    memcpy(to->meta, from->meta, from->meta_size);
}

/* Resume a chain of unlinked jobs (through wait_next). */
static void resume_all(brisk_job *job)
{
    while (job != NULL) {
        brisk_job *next = job->wait_next; /* a resumed job may be gone at once */
        job->wait_next = NULL;
        engine_job_resume(job);
        job = next;
    }
}

/* --- deadlines of those who wait ---------------------------------------------------------- */

/* Unlink everybody whose deadline has passed, chained; *next_ns becomes the nearest other one. */
static brisk_job *take_expired(engine_flights *flights, uint64_t now_ns, uint64_t *next_ns)
{
    brisk_job *expired = NULL;
    *next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < ENGINE_FLIGHT_BUCKETS; i++) {
        for (engine_flight *flight = flights->buckets[i]; flight != NULL; flight = flight->next) {
            brisk_job *following = NULL;
            for (brisk_job *job = flight->first; job != NULL; job = following) {
                following = job->wait_next;
                if (job->deadline_ns == 0) {
                    continue;
                }
                if (job->deadline_ns <= now_ns) {
                    unlink_job(job);
                    job->resume = ENGINE_STEP_JOIN; /* which finds the deadline passed */
                    job->wait_next = expired;
                    expired = job;
                } else if (job->deadline_ns < *next_ns) {
                    *next_ns = job->deadline_ns;
                }
            }
        }
    }
    return expired;
}

static void wait_until(engine_flights *flights, uint64_t next_ns)
{
    if (next_ns == UINT64_MAX) {
        (void)pthread_cond_wait(&flights->timer, &flights->lock);
        return;
    }
    if (flights->clock != brisk_clock_system()) {
        /* An injected clock moves when it likes: look again soon in real time. */
        next_ns = brisk_clock_now_ns(NULL) + FAKE_CLOCK_LOOK_NS;
    }
    struct timespec until = {
        .tv_sec = (time_t)(next_ns / NS_PER_S),
        .tv_nsec = (long)(next_ns % NS_PER_S),
    };
    (void)pthread_cond_timedwait(&flights->timer, &flights->lock, &until);
}

/* Body of the watcher: a waiting job holds no thread that could look at the clock. */
static void watch(void *ctx)
{
    engine_flights *flights = ctx;
    (void)pthread_mutex_lock(&flights->lock);
    while (!flights->stop) {
        uint64_t next_ns;
        uint64_t now_ns = brisk_clock_now_ns(flights->clock);
        brisk_job *expired = take_expired(flights, now_ns, &next_ns);
        if (expired == NULL) {
            wait_until(flights, next_ns);
            continue;
        }
        (void)pthread_mutex_unlock(&flights->lock);
        resume_all(expired);
        (void)pthread_mutex_lock(&flights->lock);
    }
    (void)pthread_mutex_unlock(&flights->lock);
}

/* Under the lock.  False: no thread could be started, so nobody with a deadline may wait. */
static bool ensure_watcher(engine_flights *flights)
{
    if (!flights->watching) {
        brisk_thread_opts opts = {.name = "brisk-flights", .run = watch, .ctx = flights};
        flights->watching = brisk_thread_start(&flights->watcher, &opts) == BRISK_OK;
    } else {
        (void)pthread_cond_signal(&flights->timer);
    }
    return flights->watching;
}

brisk_err engine_flights_init(engine_flights *flights, const brisk_clock *clock)
{
    *flights = (engine_flights){.clock = clock};
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return BRISK_ERR_NOMEM;
    }
    int failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* as brisk_clock's now_ns */
    failed = failed != 0 ? failed : pthread_cond_init(&flights->timer, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (failed != 0) {
        return brisk_err_from_errno(failed);
    }
    failed = pthread_mutex_init(&flights->lock, NULL);
    if (failed != 0) {
        (void)pthread_cond_destroy(&flights->timer);
        return brisk_err_from_errno(failed);
    }
    return BRISK_OK;
}

void engine_flights_deinit(engine_flights *flights)
{
    (void)pthread_mutex_lock(&flights->lock);
    for (uint32_t i = 0; i < ENGINE_FLIGHT_BUCKETS; i++) {
        BRISK_ASSERT(flights->buckets[i] == NULL); /* every job is destroyed before its engine */
    }
    flights->stop = true;
    (void)pthread_cond_signal(&flights->timer);
    (void)pthread_mutex_unlock(&flights->lock);
    brisk_thread_join(&flights->watcher);
    (void)pthread_mutex_destroy(&flights->lock);
    (void)pthread_cond_destroy(&flights->timer);
}

/* --- joining and leaving ------------------------------------------------------------------ */

uint64_t engine_flight_landed(engine_flights *flights, const brisk_key *key)
{
    /* Acquire, with the release in land: who sees the count sees the stored answer. */
    return atomic_load_explicit(&flights->landed[bucket_of(key)], memory_order_acquire);
}

engine_join engine_flight_join(engine_flights *flights, brisk_job *job, uint64_t landed,
                               bool may_wait)
{
    engine_join join = ENGINE_JOIN_WAITING;
    (void)pthread_mutex_lock(&flights->lock);
    engine_flight *flight = find(flights, &job->key);
    if (flight == NULL && landed != engine_flight_landed(flights, &job->key)) {
        join = ENGINE_JOIN_LANDED;
    } else if (flight == NULL) {
        lead(flights, job);
        join = ENGINE_JOIN_LEAD;
    } else if (flight->answered) {
        copy_answer(&flight->leader->hit, &job->hit);
        join = ENGINE_JOIN_ANSWERED;
    } else if (!may_wait || (job->deadline_ns != 0 && !ensure_watcher(flights)) ||
               brisk_cancel_check(&job->cancel) != BRISK_OK) {
        /* The check is under the lock, after which leave finds the job in the list. */
        join = ENGINE_JOIN_ALONE;
    } else {
        append(flight, job);
    }
    (void)pthread_mutex_unlock(&flights->lock);
    return join;
}

void engine_flight_try_lead(engine_flights *flights, brisk_job *job)
{
    (void)pthread_mutex_lock(&flights->lock);
    if (find(flights, &job->key) == NULL) {
        lead(flights, job);
    }
    (void)pthread_mutex_unlock(&flights->lock);
}

void engine_flight_publish(engine_flights *flights, brisk_job *job)
{
    BRISK_ASSERT(job->leading);
    (void)pthread_mutex_lock(&flights->lock);
    brisk_job *first = job->flight.first;
    for (brisk_job *other = first; other != NULL; other = other->wait_next) {
        copy_answer(&job->hit, &other->hit);
        other->waiting = NULL;
        other->wait_prev = NULL;
        other->resume = ENGINE_STEP_ACCEPT;
    }
    job->flight.first = NULL;
    job->flight.last = NULL;
    job->flight.answered = true;
    (void)pthread_mutex_unlock(&flights->lock);
    resume_all(first);
}

void engine_flight_land(engine_flights *flights, brisk_job *job)
{
    BRISK_ASSERT(job->leading && job->flight.answered);
    (void)pthread_mutex_lock(&flights->lock);
    BRISK_ASSERT(job->flight.first == NULL);
    unlead(flights, job);
    /* Release: see engine_flight_landed. */
    (void)atomic_fetch_add_explicit(&flights->landed[bucket_of(&job->key)], 1,
                                    memory_order_release);
    (void)pthread_mutex_unlock(&flights->lock);
}

void engine_flight_abandon(engine_flights *flights, brisk_job *job)
{
    if (!job->leading) {
        return;
    }
    (void)pthread_mutex_lock(&flights->lock);
    unlead(flights, job);
    brisk_job *next = job->flight.first;
    if (next != NULL) {
        brisk_job *rest = next->wait_next;
        unlink_job(next);
        lead(flights, next);
        next->flight.first = rest;
        next->flight.last = rest != NULL ? job->flight.last : NULL;
        for (brisk_job *other = rest; other != NULL; other = other->wait_next) {
            other->waiting = &next->flight;
        }
        next->resume = ENGINE_STEP_COMPUTE;
    }
    (void)pthread_mutex_unlock(&flights->lock);
    if (next != NULL) {
        engine_job_resume(next);
    }
}

void engine_flight_leave(engine_flights *flights, brisk_job *job)
{
    (void)pthread_mutex_lock(&flights->lock);
    bool waited = job->waiting != NULL;
    if (waited) {
        unlink_job(job);
        job->resume = ENGINE_STEP_JOIN; /* which finds it cancelled */
    }
    (void)pthread_mutex_unlock(&flights->lock);
    if (waited) {
        engine_job_resume(job);
    }
}
