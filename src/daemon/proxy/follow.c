/*
 * follow.c -- who waits for a flight is given its answer while it comes.
 *
 *     leader's worker: bytes ─► tape ─► told ══► follower's worker: head, then bytes as its client takes them
 *
 * Followers begin when the leader's answer is known to be kept and to be theirs, too (Vary), and if they want all of it
 * as it comes; the others wait for the end.  Each reads the same tape at its own pace and holds nobody back.
 *
 * Sizes that nobody told may turn out to be too large to be kept.  Then the tape gives up its beginning, nobody else
 * follows, and the upstream is read no faster than the slowest of those who do: at most LAG_MAX is between them.
 *
 * A follower ends as its flight does: what breaks off is seen to do so.
 *
 * Threads: a follower's in its worker, told by the leader's through its loop.
 */
#include "daemon/proxy/flight.h"

enum { LAG_MAX = 4194304 };

/* --- the leader's side --------------------------------------------------------------------- */

/* The head of what is being stored: the entry itself, when its size is known. */
static brisk_value *front_of(transit *t, bool sized)
{
    transit_store *s = &t->store;
    brisk_value *front;
    unsigned char *body;
    if (sized) {
        return brisk_value_ref(s->value);
    }
    return entry_make(&s->head, &s->block, proxy_of(t)->alloc, &front, &body) == BRISK_OK ? front
                                                                                          : NULL;
}

void follow_tell(flight *f)
{
    for (transit *w = f->waiters; w != NULL; w = w->next_waiter) {
        /* Acquire and release: who is told sees what was put, and a second word is not lost. */
        if (w->fed && !atomic_exchange_explicit(&w->told, true, memory_order_acq_rel)) {
            loop_post(w->side->loop, &w->more);
        }
    }
}

void follow_open(transit *leader, bool sized)
{
    proxy *p = proxy_of(leader);
    flight *f = leader->flight;
    brisk_value *front = f != NULL ? front_of(leader, sized) : NULL;
    if (front == NULL) {
        return; /* they wait for the end */
    }
    flight_lock(p);
    f->front = front;
    f->sized = sized;
    f->first = tape_piece_ref(leader->store.tape.first);
    f->variant = leader->variant;
    f->varied = leader->key_size != leader->url_key_size;
    follow_tell(f);
    flight_unlock(p);
}

uint32_t follow_count(transit *leader, uint64_t filled, uint64_t *lag)
{
    proxy *p = proxy_of(leader);
    uint32_t count = 0;
    *lag = 0;
    flight_lock(p);
    const transit *w = leader->flight != NULL ? leader->flight->waiters : NULL;
    for (; w != NULL; w = w->next_waiter) {
        uint64_t behind = w->follows ? filled - atomic_load(&w->sent) : 0;
        count += w->follows ? 1 : 0;
        *lag = behind > *lag ? behind : *lag;
    }
    flight_unlock(p);
    return count;
}

void follow_pace(transit *leader)
{
    uint64_t lag;
    flight *f = leader->flight;
    if (!leader->overflows || !leader->fetching || f == NULL) {
        return;
    }
    /* Said before it is looked at: who moves on in between sees it, and tells.  (Both in one order, hence seq_cst.) */
    atomic_store(&f->held, true);
    (void)follow_count(leader, leader->store.filled, &lag);
    atomic_store(&f->held, lag > LAG_MAX);
    fetch_pause(&leader->fetch, lag > LAG_MAX || (leader->x != NULL && leader->full));
}

void follow_release(flight *f)
{
    if (atomic_load(&f->held) &&
        !atomic_exchange_explicit(&f->leader->told, true, memory_order_acq_rel)) {
        loop_post(f->leader->side->loop, &f->leader->more);
    }
}

/* --- a client's ---------------------------------------------------------------------------- */

void follow_on(transit *t)
{
    const unsigned char *data;
    size_t size;
    while (t->x != NULL && !t->answered && !t->full && (size = tape_next(&t->reader, &data)) > 0) {
        t->full = !compress_write(t, data, size);
        tape_took(&t->reader, size);
        atomic_store(&t->sent, atomic_load_explicit(&t->sent, memory_order_relaxed) + size);
    }
    if (t->waits) {
        flight_lock(proxy_of(t));
        if (t->flight != NULL) {
            follow_release(t->flight);
        }
        flight_unlock(proxy_of(t));
    }
    if (t->x != NULL && !t->answered && t->ends && tape_next(&t->reader, &data) == 0) {
        t->answered = true;
        tape_leave(&t->reader);
        compress_finish(t);
    }
}

/* It is another one's answer: ask for its own. */
static void begin_anew(transit *t)
{
    flight_leave(t);
    if (!t->waits && t->x != NULL) {
        cached_miss(t);
    }
}

/* Take hold of the tape, and give the head; false: there is nothing to follow. */
static bool begin(transit *t)
{
    proxy *p = proxy_of(t);
    entry e = {.value = NULL};
    brisk_hash128 variant = {0};
    bool sized = false;
    flight_lock(p);
    const flight *f = t->flight;
    if (f != NULL && f->front != NULL && !f->spoiled) {
        e.value = brisk_value_ref(f->front);
        variant = f->variant;
        sized = f->sized;
        tape_read(&t->reader, f->first);
        t->follows = true;
    }
    flight_unlock(p);
    if (e.value == NULL) {
        return false;
    }
    bool good = entry_open(e.value, &e) && flight_is_shared(t, &e, variant);
    if (good) {
        t->status.collapsed = true;
        t->status.forward = t->status.forward != NULL ? t->status.forward : "uri-miss";
        good = transit_start_entry(t, &e, sized);
    }
    if (!good) {
        tape_leave(&t->reader);
        flight_lock(p);
        t->follows = false;
        t->fed = false;
        flight_unlock(p);
        begin_anew(t);
    }
    brisk_value_unref(e.value);
    return good;
}

static void run_more(loop_task *task)
{
    transit *t = (transit *)((char *)task - offsetof(transit, more));
    /* Before it reads: what comes after this is told anew. */
    (void)atomic_exchange_explicit(&t->told, false, memory_order_acq_rel);
    bool held = t->held;
    t->held = true; /* going on may end it */
    if (t->leads) {
        follow_pace(t);
    } else if (t->x != NULL && !t->answered && t->fed && (t->follows || (t->waits && begin(t)))) {
        follow_on(t);
    }
    t->held = held;
    transit_let_go(t);
}

void follow_lead(transit *t)
{
    t->flight->leader = t;
    t->more.run = run_more;
}

void follow_board(transit *t)
{
    t->more.run = run_more;
    t->fed = t->x != NULL && !t->late && flight_wants_all(t);
    if (t->fed && t->flight->front != NULL &&
        !atomic_exchange_explicit(&t->told, true, memory_order_acq_rel)) {
        loop_post(t->side->loop, &t->more);
    }
}

bool follow_end(transit *t, bool well)
{
    if (!t->follows) {
        t->fed = false; /* what it is told now is late */
        return false;
    }
    if (well) {
        t->ends = true;
        follow_on(t);
    } else {
        transit_answer_failure(t, FETCH_BROKEN);
        tape_leave(&t->reader);
    }
    return true;
}
