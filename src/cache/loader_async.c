/*
 * loader_async.c -- asking a loader without a thread that waits.
 *
 *     start ─► look ─ answer ──────────────────────────────────────────────► done
 *                └─► enter ─ lead ─► a job ─ begins ─► load ───────────────► done
 *                      │               └ a thread took its place: look again
 *                      ├─ wait ─► answered, late, left ────────────────────► done
 *                      │    └ the leader gave up: lead
 *                      └─ landed: look again
 *
 * Ownership: a ticket belongs to its asker until release, and to the work until `done` has
 * returned; the second of the two to let go frees it.  Whoever is in the middle of the picture
 * has it alone: after it waits, or is given to the background, nothing is touched any more.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/loader_internal.h"

struct brisk_load_ticket {
    loader_call call; /* first */
    loader_ask ask;
    brisk_loader_call how;
    brisk_load_done done;
    const brisk_alloc *alloc;
    uint64_t landed;
    _Atomic uint32_t owners;
    _Atomic bool cancelled;
    size_t bytes; /* of this block */
    unsigned char key[];
};

void brisk_load_ticket_release(brisk_load_ticket *ticket)
{
    /* Acquire and release: the last owner sees all that the other did. */
    if (ticket != NULL &&
        atomic_fetch_sub_explicit(&ticket->owners, 1, memory_order_acq_rel) == 1) {
        ticket->alloc->release(ticket->alloc->ctx, ticket, ticket->bytes,
                               _Alignof(brisk_load_ticket));
    }
}

static bool is_cancelled(const brisk_load_ticket *ticket)
{
    return atomic_load_explicit(&ticket->cancelled, memory_order_relaxed);
}

static void finish(brisk_load_ticket *ticket, brisk_err err, const brisk_loaded *loaded)
{
    brisk_loader *loader = ticket->call.loader;
    ticket->done.fn(ticket->done.ctx, err, err == BRISK_OK ? loaded : NULL);
    brisk_load_ticket_release(ticket);
    loader_job_ends(loader);
}

static void finish_old(brisk_load_ticket *ticket, brisk_err err)
{
    brisk_loaded loaded;
    err = loader_give_old(&ticket->ask, err, &loaded);
    finish(ticket, err, &loaded);
}

static void finish_answer(brisk_load_ticket *ticket, brisk_loaded_from how)
{
    brisk_loaded loaded;
    brisk_err err = loader_give_answer(&ticket->ask, &ticket->call, how, &loaded);
    finish(ticket, err, &loaded);
}

static void schedule(brisk_load_ticket *ticket);

/* `loaded` holds what the cache answered, if `age` says so. */
static void go_on(brisk_load_ticket *ticket, loader_age age, brisk_loaded *loaded)
{
    loader_ask *ask = &ticket->ask;
    for (;;) {
        brisk_err err;
        if (loader_answer_at_once(ask, age, loaded, &err) ||
            loader_remembers_error(ask, loaded, &err)) {
            finish(ticket, err, loaded);
            return;
        }
        switch (brisk_flight_enter(ask->loader->flights, &ticket->call.flight, ticket->landed)) {
        case BRISK_FLIGHT_JOIN_LEAD: schedule(ticket); return;
        case BRISK_FLIGHT_JOIN_WAITING: return;
        case BRISK_FLIGHT_JOIN_ANSWERED: finish_answer(ticket, BRISK_LOADED_SHARED); return;
        case BRISK_FLIGHT_JOIN_ALONE: /* cancelled, or no thread could watch its deadline */
            finish_old(ticket, is_cancelled(ticket) ? BRISK_ERR_CANCELLED : BRISK_ERR_NOMEM);
            return;
        case BRISK_FLIGHT_JOIN_LANDED: ticket->landed = loader_look_again(ask, &age, loaded); break;
        case BRISK_FLIGHT_JOIN_CYCLE: BRISK_ASSERT(false); return; /* threads only */
        }
    }
}

static void run_ticket(void *arg)
{
    brisk_load_ticket *ticket = arg;
    brisk_flights *flights = ticket->call.loader->flights;
    if (!brisk_flight_begin(flights, &ticket->call.flight)) {
        loader_age age;
        brisk_loaded loaded;
        ticket->landed = loader_look_again(&ticket->ask, &age, &loaded);
        go_on(ticket, age, &loaded);
        return;
    }
    if (is_cancelled(ticket)) {
        brisk_flight_abandon(flights, &ticket->call.flight);
        finish_old(ticket, BRISK_ERR_CANCELLED);
        return;
    }
    loader_request request = {
        .stale = ticket->ask.old.value != NULL ? &ticket->ask.old : NULL,
        .deadline_ns = ticket->how.deadline_ns,
        .info = ticket->how.info,
        .reload = (ticket->how.flags & BRISK_CALL_RELOAD) != 0,
    };
    loader_run(&ticket->call, &request);
    finish_answer(ticket, BRISK_LOADED_HERE);
}

static void schedule(brisk_load_ticket *ticket)
{
    const brisk_background *background = &ticket->call.loader->background;
    if (background->run == NULL || !background->run(background->ctx, run_ticket, ticket)) {
        run_ticket(ticket);
    }
}

static void ticket_event(brisk_flight *self, brisk_flight_event event)
{
    brisk_load_ticket *ticket = (brisk_load_ticket *)self;
    switch (event) {
    case BRISK_FLIGHT_ANSWERED: finish_answer(ticket, BRISK_LOADED_SHARED); break;
    case BRISK_FLIGHT_LEAD: schedule(ticket); break;
    case BRISK_FLIGHT_LATE: finish_old(ticket, BRISK_ERR_DEADLINE); break;
    case BRISK_FLIGHT_LEFT: finish_old(ticket, BRISK_ERR_CANCELLED); break;
    }
}

/* Under the table's lock: cancel comes after this and finds it waiting, or came before. */
static bool may_wait(brisk_flight *self)
{
    return !is_cancelled((const brisk_load_ticket *)self);
}

static brisk_load_ticket *make_ticket(brisk_loader *loader, const brisk_key *key,
                                      const brisk_loader_call *call)
{
    const brisk_alloc *alloc = loader->alloc;
    size_t bytes = sizeof(brisk_load_ticket) + key->size;
    brisk_load_ticket *ticket = alloc->acquire(alloc->ctx, bytes, _Alignof(brisk_load_ticket));
    if (ticket == NULL) {
        return NULL;
    }
    memcpy(ticket->key, key->bytes, key->size);
    ticket->call.flight = (brisk_flight){
        .key = {.bytes = ticket->key, .size = key->size, .hash = key->hash},
        .deadline_ns = call->deadline_ns,
        .queued = true,
        .copy = loader_copy_answer,
        .on_event = ticket_event,
        .may_wait = may_wait,
    };
    ticket->call.loader = loader;
    ticket->call.err = BRISK_ERR_NOT_FOUND;
    ticket->call.hit.value = NULL;
    ticket->how = *call;
    ticket->alloc = alloc;
    ticket->bytes = bytes;
    atomic_init(&ticket->owners, 2);
    atomic_init(&ticket->cancelled, false);
    loader_ask_init(&ticket->ask, loader, &ticket->call.flight.key, &ticket->how);
    return ticket;
}

brisk_err brisk_loader_start(brisk_loader *loader, const brisk_key *key,
                             const brisk_loader_call *call, const brisk_load_done *done,
                             brisk_load_ticket **ret)
{
    static const brisk_loader_call plain = {0};
    call = call != NULL ? call : &plain;
    if (call->arg != NULL || call->cancelled != NULL || done == NULL || done->fn == NULL) {
        return BRISK_ERR_INVALID;
    }
    brisk_load_ticket *ticket = make_ticket(loader, key, call);
    if (ticket == NULL) {
        return BRISK_ERR_NOMEM;
    }
    ticket->done = *done;
    *ret = ticket; /* before `done`, which may want it */
    loader_job_begins(loader);
    ticket->landed = brisk_flight_landed(loader->flights, key);
    loader_age age;
    brisk_loaded loaded;
    loader_look(&ticket->ask, &age, &loaded.hit);
    go_on(ticket, age, &loaded);
    return BRISK_OK;
}

void brisk_load_ticket_cancel(brisk_load_ticket *ticket)
{
    atomic_store_explicit(&ticket->cancelled, true, memory_order_relaxed);
    (void)brisk_flight_leave(ticket->call.loader->flights, &ticket->call.flight);
}
