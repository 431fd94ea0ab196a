/*
 * flight.c -- the same key asked for twice at once is computed once: jobs in the flights of
 * <brisk/flight.h>.
 *
 * A job leads the flight of its key, or waits in it.  The leader either publishes its answer
 * (everybody who waits gets it, and so does everybody who comes while it is being stored) and
 * lands when it is stored, or abandons the flight: then the first who waits leads and computes.
 *
 * Nobody ever waits for a flight while it is inside another job on the same thread (`may_wait`):
 * the leader might be the frame below; nor on a worker, which the leader may need.  A job that was
 * submitted does not hold a thread at all while it waits; it is put back to the executor.  So no
 * participant here `blocks` in the sense of flight.h.
 *
 * Threads: any.  `resume` of a job that waits belongs to whoever takes it out of its flight.
 */
#include "engine/internal.h"

#include <string.h>

#include "base/assert.h"

static brisk_job *job_of(brisk_flight *flight)
{
    return (brisk_job *)(void *)((char *)flight - offsetof(brisk_job, flight));
}

/* Only what is set of the meta data: most answers have a few bytes of it, or none. */
static void copy_answer(brisk_flight *self, const brisk_flight *leader)
{
    const brisk_hit *from =
        &((const brisk_job *)(const void *)((const char *)leader - offsetof(brisk_job, flight)))
             ->hit;
    brisk_hit *to = &job_of(self)->hit;
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

static void go_on(brisk_flight *self, brisk_flight_event event)
{
    brisk_job *job = job_of(self);
    switch (event) {
    case BRISK_FLIGHT_ANSWERED: job->resume = ENGINE_STEP_ACCEPT; break;
    case BRISK_FLIGHT_LEAD:
        job->leading = true;
        job->resume = ENGINE_STEP_COMPUTE;
        break;
    case BRISK_FLIGHT_LATE:
    case BRISK_FLIGHT_LEFT: job->resume = ENGINE_STEP_JOIN; break; /* which finds the reason */
    }
    engine_job_resume(job);
}

static bool may_wait(brisk_flight *self)
{
    brisk_job *job = job_of(self);
    return job->may_wait && brisk_cancel_check(&job->cancel) == BRISK_OK;
}

static void prepare(brisk_job *job)
{
    job->flight.key = job->key;
    job->flight.deadline_ns = job->deadline_ns;
    job->flight.copy = copy_answer;
    job->flight.on_event = go_on;
    job->flight.may_wait = may_wait;
}

engine_join engine_flight_join(brisk_job *job, uint64_t landed, bool may)
{
    prepare(job);
    job->may_wait = may;
    switch (brisk_flight_enter(job->engine->flights, &job->flight, landed)) {
    case BRISK_FLIGHT_JOIN_LEAD: job->leading = true; return ENGINE_JOIN_LEAD;
    case BRISK_FLIGHT_JOIN_ANSWERED: return ENGINE_JOIN_ANSWERED;
    case BRISK_FLIGHT_JOIN_LANDED: return ENGINE_JOIN_LANDED;
    case BRISK_FLIGHT_JOIN_WAITING: return ENGINE_JOIN_WAITING;
    case BRISK_FLIGHT_JOIN_ALONE: return ENGINE_JOIN_ALONE;
    case BRISK_FLIGHT_JOIN_CYCLE: break; /* of threads that wait themselves */
    }
    BRISK_ASSERT(false);
    return ENGINE_JOIN_ALONE;
}

void engine_flight_try_lead(brisk_job *job)
{
    if (!job->leading) {
        prepare(job);
        job->leading = brisk_flight_try_lead(job->engine->flights, &job->flight);
    }
}

void engine_flight_publish(brisk_job *job)
{
    BRISK_ASSERT(job->leading);
    bool listed = brisk_flight_publish(job->engine->flights, &job->flight);
    BRISK_ASSERT(listed); /* nobody here outdates */
}

void engine_flight_land(brisk_job *job)
{
    BRISK_ASSERT(job->leading);
    brisk_flight_land(job->engine->flights, &job->flight);
    job->leading = false;
}

void engine_flight_abandon(brisk_job *job)
{
    if (job->leading) {
        brisk_flight_abandon(job->engine->flights, &job->flight);
        job->leading = false;
    }
}
