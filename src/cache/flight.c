/*
 * flight.c -- the table behind <brisk/flight.h>.
 *
 *     bucket ──► leader of key k ─── computes
 *                   first ─► waiting ─► waiting ─► last
 *
 * Who enters first leads; the others wait in its list.  The leader either publishes its answer
 * (everybody who waits gets it, and so does everybody who comes while it is being stored) and
 * lands when it is stored, or abandons: then one who waits leads and computes.
 *
 * A lookup comes before enter, so an answer may be stored and its leader landed between the two.
 * Each bucket counts its landings: whose count from before the lookup is no longer true looks
 * again instead of computing a second time.
 *
 * Deadlocks.  A thread waits only for leaders that some thread is working for: it takes the place
 * of one that is still queued, and when a leader gives up, a thread that waits comes before those
 * who wait without one.  Threads may wait for each other in a circle when computing one key asks
 * for another; so a thread that leads and is about to wait says whom it waits for (`waits_for`),
 * and does not wait if following these arrows leads back to itself.  Only threads that lead have
 * arrows, so the first check costs nothing to all others.  The arrows are the process's, since the
 * circle may go through several tables.
 *
 * Invariant: LISTED leaders are in their bucket, others in `outdated`; a struct waits in at most one list, and `leader_`
 * is whose (audited in find); a leader that is PENDING has no waiter that blocks.
 * Threads: any, under `lock`; `arrows` is taken under it and is a leaf.  Events are told after the
 * lock was released, since who is told may go on, or be gone, at once.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <brisk/flight.h>

#include "base/assert.h"
#include "base/thread.h"

enum {
    BUCKETS_DEFAULT = 64,
    BUCKETS_MAX = 1048576,
    NS_PER_S = 1000000000,
    FAKE_CLOCK_LOOK_NS = 1000000,
};

/* What a participant is; 0 when it is out. */
enum {
    WAITING = 1u << 0,
    LEADING = 1u << 1,
    LISTED = 1u << 2,   /* leading, and whoever asks for the key finds it; else `outdated` has it */
    PENDING = 1u << 3,  /* leading, but no thread has begun */
    ANSWERED = 1u << 4, /* leading, and the answer may be copied; nobody waits any more */
};

typedef struct brisk_flight_thread {
    _Atomic uint32_t leads;                /* flights that it works for */
    struct brisk_flight_thread *waits_for; /* under `arrows` */
} flight_thread;

static _Thread_local flight_thread this_thread;
static pthread_mutex_t arrows = PTHREAD_MUTEX_INITIALIZER;

typedef struct flight_bucket {
    brisk_flight *first;
    _Atomic uint64_t landed; /* answers stored so far */
} flight_bucket;

struct brisk_flights {
    pthread_mutex_t lock;
    pthread_cond_t timer;  /* a deadline was added, or stop */
    pthread_cond_t stored; /* somebody landed, and somebody waits for that */
    const brisk_clock *clock;
    const brisk_alloc *alloc;
    brisk_thread watcher; /* ends waits whose deadline passes */
    bool watching;
    bool stop;
    uint32_t landing_awaited;
    uint32_t waiting;
    uint32_t mask;
    brisk_flight *outdated; /* leaders whose answer is for those who wait already */
    flight_bucket buckets[];
};

static void lock_table(brisk_flights *flights)
{
    int failed = pthread_mutex_lock(&flights->lock);
    BRISK_ASSERT(failed == 0);
}

static void unlock_table(brisk_flights *flights)
{
    int failed = pthread_mutex_unlock(&flights->lock);
    BRISK_ASSERT(failed == 0);
}

static flight_bucket *bucket_of(brisk_flights *flights, const brisk_key *key)
{
    return &flights->buckets[key->hash.lo & flights->mask];
}

static bool same_key(const brisk_key *a, const brisk_key *b)
{
    return a->hash.lo == b->hash.lo && a->hash.hi == b->hash.hi && a->size == b->size &&
           memcmp(a->bytes, b->bytes, a->size) == 0;
}

static bool flight_is_valid(const brisk_flight *leader)
{
    unsigned state = leader->state_;
    bool valid = (state & LEADING) != 0 && (state & WAITING) == 0 && leader->leader_ == NULL &&
                 ((state & ANSWERED) == 0 || leader->first_ == NULL);
    const brisk_flight *before = NULL;
    for (const brisk_flight *one = leader->first_; one != NULL && valid; one = one->next_) {
        valid = one->leader_ == leader && one->prev_ == before && one->state_ == WAITING &&
                !(one->blocks && (state & PENDING) != 0);
        before = one;
    }
    return valid && leader->last_ == before;
}

static brisk_flight *find(brisk_flights *flights, const brisk_key *key)
{
    brisk_flight *leader = bucket_of(flights, key)->first;
    while (leader != NULL && !same_key(&leader->key, key)) {
        leader = leader->next_;
    }
    BRISK_AUDIT(leader == NULL || flight_is_valid(leader));
    return leader;
}

/* --- threads that wait for threads ---------------------------------------------------------- */

static void set_arrow(flight_thread *from, flight_thread *to)
{
    (void)pthread_mutex_lock(&arrows);
    from->waits_for = to;
    (void)pthread_mutex_unlock(&arrows);
}

/* False: this thread would wait for itself, directly or through others. */
static bool try_arrow(flight_thread *to)
{
    (void)pthread_mutex_lock(&arrows);
    const flight_thread *other = to;
    while (other != NULL && other != &this_thread) {
        other = other->waits_for;
    }
    if (other == NULL) {
        this_thread.waits_for = to;
    }
    (void)pthread_mutex_unlock(&arrows);
    return other == NULL;
}

static bool leads_something(const flight_thread *thread)
{
    /* Relaxed: what others add to it comes with the event that tells this thread. */
    return atomic_load_explicit(&thread->leads, memory_order_relaxed) != 0;
}

/* A waiter stops waiting; its arrow, which it has only if its thread leads something, goes. */
static void drop_arrow(const brisk_flight *one)
{
    if (one->thread_ != NULL && leads_something(one->thread_)) {
        set_arrow(one->thread_, NULL);
    }
}

/* `thread` works for `flight` from now on; NULL: nobody that is known. */
static void work(brisk_flight *flight, flight_thread *thread)
{
    flight->thread_ = thread;
    if (thread != NULL) {
        (void)atomic_fetch_add_explicit(&thread->leads, 1, memory_order_relaxed);
    }
}

static void stop_working(brisk_flight *flight)
{
    if (flight->thread_ != NULL) {
        (void)atomic_fetch_sub_explicit(&flight->thread_->leads, 1, memory_order_relaxed);
        flight->thread_ = NULL;
    }
}

/* --- lists, under the lock ------------------------------------------------------------------- */

static brisk_flight **list_of(brisk_flights *flights, const brisk_flight *leader)
{
    return (leader->state_ & LISTED) != 0 ? &bucket_of(flights, &leader->key)->first
                                          : &flights->outdated;
}

static void list_leader(brisk_flights *flights, brisk_flight *flight, bool listed)
{
    flight->state_ |= listed ? LISTED : 0;
    brisk_flight **head = list_of(flights, flight);
    flight->next_ = *head;
    *head = flight;
}

static void unlist_leader(brisk_flights *flights, brisk_flight *flight)
{
    brisk_flight **link = list_of(flights, flight);
    while (*link != flight) {
        BRISK_ASSERT(*link != NULL);
        link = &(*link)->next_;
    }
    *link = flight->next_;
    flight->next_ = NULL;
    flight->state_ &= (uint8_t)~LISTED;
}

static void outdate_leader(brisk_flights *flights, brisk_flight *leader)
{
    unlist_leader(flights, leader);
    list_leader(flights, leader, false);
}

/* Become a leader for whom nobody waits yet. */
static void make_leader(brisk_flights *flights, brisk_flight *flight, bool listed)
{
    BRISK_ASSERT(flight->state_ == 0);
    flight->leader_ = NULL;
    flight->prev_ = NULL;
    flight->next_ = NULL;
    flight->first_ = NULL;
    flight->last_ = NULL;
    flight->state_ = LEADING | (flight->queued ? PENDING : 0);
    work(flight, flight->blocks ? flight->thread_ : NULL);
    list_leader(flights, flight, listed);
}

static void append(brisk_flights *flights, brisk_flight *leader, brisk_flight *one)
{
    one->leader_ = leader;
    one->next_ = NULL;
    one->prev_ = leader->last_;
    one->state_ = WAITING;
    if (leader->last_ != NULL) {
        leader->last_->next_ = one;
    } else {
        leader->first_ = one;
    }
    leader->last_ = one;
    flights->waiting++;
}

/* One who waits is out. */
static void unlink_one(brisk_flights *flights, brisk_flight *one)
{
    brisk_flight *leader = one->leader_;
    if (one->prev_ != NULL) {
        one->prev_->next_ = one->next_;
    } else {
        leader->first_ = one->next_;
    }
    if (one->next_ != NULL) {
        one->next_->prev_ = one->prev_;
    } else {
        leader->last_ = one->prev_;
    }
    one->leader_ = NULL;
    one->next_ = NULL;
    one->prev_ = NULL;
    one->state_ = 0;
    drop_arrow(one);
    flights->waiting--;
}

/* `heir`, who is out, takes the place of `leader`, and those who wait for it. */
static void succeed(brisk_flights *flights, brisk_flight *leader, brisk_flight *heir)
{
    bool listed = (leader->state_ & LISTED) != 0;
    unlist_leader(flights, leader);
    make_leader(flights, heir, listed);
    heir->first_ = leader->first_;
    heir->last_ = leader->last_;
    for (brisk_flight *one = heir->first_; one != NULL; one = one->next_) {
        one->leader_ = heir;
        if (one->thread_ != NULL && leads_something(one->thread_)) {
            set_arrow(one->thread_, heir->thread_);
        }
    }
    leader->first_ = NULL;
    leader->last_ = NULL;
    leader->state_ = 0;
    stop_working(leader);
}

/* Tell a chain of participants who are out (through next_). */
static void tell_all(brisk_flight *one, brisk_flight_event event)
{
    while (one != NULL) {
        brisk_flight *next = one->next_; /* who was told may be gone at once */
        one->next_ = NULL;
        one->on_event(one, event);
        one = next;
    }
}

/* --- deadlines of those who wait ------------------------------------------------------------- */

typedef struct late_search {
    uint64_t now_ns;
    uint64_t next_ns;      /* the nearest deadline that has not passed */
    brisk_flight *expired; /* chained through next_ */
} late_search;

/* Unlink whose deadline has passed among those who wait for one leader. */
static void take_late(brisk_flights *flights, const brisk_flight *leader, late_search *search)
{
    brisk_flight *following = NULL;
    for (brisk_flight *one = leader->first_; one != NULL; one = following) {
        following = one->next_;
        if (one->deadline_ns == 0) {
            continue;
        }
        if (one->deadline_ns <= search->now_ns) {
            unlink_one(flights, one);
            one->next_ = search->expired;
            search->expired = one;
        } else if (one->deadline_ns < search->next_ns) {
            search->next_ns = one->deadline_ns;
        }
    }
}

static void search_late(brisk_flights *flights, late_search *search)
{
    for (uint32_t i = 0; i <= flights->mask + 1; i++) {
        const brisk_flight *leader =
            i <= flights->mask ? flights->buckets[i].first : flights->outdated;
        for (; leader != NULL; leader = leader->next_) {
            take_late(flights, leader, search);
        }
    }
}

static void wait_until(brisk_flights *flights, uint64_t next_ns)
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

/* Body of the watcher: who waits holds no thread that could look at the clock. */
static void watch(void *ctx)
{
    brisk_flights *flights = ctx;
    lock_table(flights);
    while (!flights->stop) {
        late_search search = {
            .now_ns = brisk_clock_now_ns(flights->clock),
            .next_ns = UINT64_MAX,
        };
        search_late(flights, &search);
        if (search.expired == NULL) {
            wait_until(flights, search.next_ns);
            continue;
        }
        unlock_table(flights);
        tell_all(search.expired, BRISK_FLIGHT_LATE);
        lock_table(flights);
    }
    unlock_table(flights);
}

/* Under the lock.  False: no thread could be started, so nobody with a deadline may wait. */
static bool ensure_watcher(brisk_flights *flights)
{
    if (!flights->watching) {
        brisk_thread_opts opts = {.name = "brisk-flights", .run = watch, .ctx = flights};
        flights->watching = brisk_thread_start(&flights->watcher, &opts) == BRISK_OK;
    } else {
        (void)pthread_cond_signal(&flights->timer);
    }
    return flights->watching;
}

/* --- life ------------------------------------------------------------------------------------ */

static size_t bytes_of(uint32_t mask)
{
    return sizeof(brisk_flights) + ((size_t)mask + 1) * sizeof(flight_bucket);
}

static brisk_err init_locks(brisk_flights *flights)
{
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
    failed = pthread_cond_init(&flights->stored, NULL);
    if (failed == 0) {
        failed = pthread_mutex_init(&flights->lock, NULL);
        if (failed == 0) {
            return BRISK_OK;
        }
        (void)pthread_cond_destroy(&flights->stored);
    }
    (void)pthread_cond_destroy(&flights->timer);
    return brisk_err_from_errno(failed);
}

brisk_err brisk_flights_create(const brisk_flights_opts *opts, brisk_flights **ret)
{
    BRISK_ASSERT(ret != NULL);
    static const brisk_flights_opts defaults = {0};
    opts = opts != NULL ? opts : &defaults;
    uint32_t buckets = opts->buckets != 0 ? opts->buckets : BUCKETS_DEFAULT;
    if (buckets > BUCKETS_MAX || (buckets & (buckets - 1)) != 0) {
        return BRISK_ERR_INVALID;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    size_t size = bytes_of(buckets - 1);
    brisk_flights *flights = alloc->acquire(alloc->ctx, size, _Alignof(brisk_flights));
    if (flights == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(flights, 0, size);
    flights->clock = opts->clock != NULL ? opts->clock : brisk_clock_system();
    flights->alloc = alloc;
    flights->mask = buckets - 1;
    brisk_err err = init_locks(flights);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, flights, size, _Alignof(brisk_flights));
        return err;
    }
    *ret = flights;
    return BRISK_OK;
}

void brisk_flights_destroy(brisk_flights *flights)
{
    if (flights == NULL) {
        return;
    }
    lock_table(flights);
    for (uint32_t i = 0; i <= flights->mask; i++) {
        BRISK_ASSERT(flights->buckets[i].first == NULL);
    }
    BRISK_ASSERT(flights->outdated == NULL && flights->waiting == 0);
    flights->stop = true;
    (void)pthread_cond_signal(&flights->timer);
    unlock_table(flights);
    brisk_thread_join(&flights->watcher);
    (void)pthread_mutex_destroy(&flights->lock);
    (void)pthread_cond_destroy(&flights->timer);
    (void)pthread_cond_destroy(&flights->stored);
    flights->alloc->release(flights->alloc->ctx, flights, bytes_of(flights->mask),
                            _Alignof(brisk_flights));
}

/* --- joining and leaving --------------------------------------------------------------------- */

uint64_t brisk_flight_landed(const brisk_flights *flights, const brisk_key *key)
{
    /* Acquire, with the release in land: who sees the count sees the stored answer. */
    return atomic_load_explicit(&flights->buckets[key->hash.lo & flights->mask].landed,
                                memory_order_acquire);
}

/* There is a leader without an answer, and some thread works for it, or `flight` is no thread. */
static brisk_flight_join join_leader(brisk_flights *flights, brisk_flight *leader,
                                     brisk_flight *flight)
{
    /* A thread that leads nothing is nobody's to wait for; the others draw an arrow. */
    if (flight->blocks && leads_something(&this_thread) && !try_arrow(leader->thread_)) {
        return BRISK_FLIGHT_JOIN_CYCLE;
    }
    /* Asked under the lock, after which leave finds it in the list. */
    if ((flight->may_wait != NULL && !flight->may_wait(flight)) ||
        (flight->deadline_ns != 0 && !ensure_watcher(flights))) {
        drop_arrow(flight);
        return BRISK_FLIGHT_JOIN_ALONE;
    }
    append(flights, leader, flight);
    return BRISK_FLIGHT_JOIN_WAITING;
}

brisk_flight_join brisk_flight_enter(brisk_flights *flights, brisk_flight *flight, uint64_t landed)
{
    brisk_flight_join join = BRISK_FLIGHT_JOIN_LEAD;
    lock_table(flights);
    BRISK_ASSERT(flight->state_ == 0);
    flight->thread_ = flight->blocks ? &this_thread : NULL;
    brisk_flight *leader = find(flights, &flight->key);
    if (leader == NULL && landed != brisk_flight_landed(flights, &flight->key)) {
        join = BRISK_FLIGHT_JOIN_LANDED;
    } else if (leader == NULL) {
        make_leader(flights, flight, true);
    } else if ((leader->state_ & ANSWERED) != 0) {
        flight->copy(flight, leader);
        join = BRISK_FLIGHT_JOIN_ANSWERED;
    } else if ((leader->state_ & PENDING) != 0 && flight->blocks) {
        succeed(flights, leader, flight);
    } else {
        join = join_leader(flights, leader, flight);
    }
    unlock_table(flights);
    return join;
}

bool brisk_flight_try_lead(brisk_flights *flights, brisk_flight *flight)
{
    lock_table(flights);
    bool lead = find(flights, &flight->key) == NULL;
    if (lead) {
        flight->thread_ = flight->blocks ? &this_thread : NULL;
        make_leader(flights, flight, true);
    }
    unlock_table(flights);
    return lead;
}

bool brisk_flight_begin(brisk_flights *flights, brisk_flight *flight)
{
    lock_table(flights);
    bool leads = (flight->state_ & LEADING) != 0;
    if (leads) {
        BRISK_ASSERT((flight->state_ & PENDING) != 0);
        flight->state_ &= (uint8_t)~PENDING;
        work(flight, &this_thread);
    }
    unlock_table(flights);
    return leads;
}

bool brisk_flight_publish(brisk_flights *flights, brisk_flight *flight)
{
    lock_table(flights);
    BRISK_ASSERT((flight->state_ & (LEADING | ANSWERED)) == LEADING);
    brisk_flight *first = flight->first_;
    for (brisk_flight *one = first; one != NULL; one = one->next_) {
        one->copy(one, flight);
        one->leader_ = NULL;
        one->prev_ = NULL;
        one->state_ = 0;
        drop_arrow(one);
        flights->waiting--;
    }
    flight->first_ = NULL;
    flight->last_ = NULL;
    flight->state_ |= ANSWERED;
    bool listed = (flight->state_ & LISTED) != 0;
    unlock_table(flights);
    tell_all(first, BRISK_FLIGHT_ANSWERED);
    return listed;
}

void brisk_flight_land(brisk_flights *flights, brisk_flight *flight)
{
    lock_table(flights);
    BRISK_ASSERT((flight->state_ & ANSWERED) != 0 && flight->first_ == NULL);
    unlist_leader(flights, flight);
    flight->state_ = 0;
    stop_working(flight);
    /* Release: see brisk_flight_landed. */
    (void)atomic_fetch_add_explicit(&bucket_of(flights, &flight->key)->landed, 1,
                                    memory_order_release);
    if (flights->landing_awaited != 0) {
        (void)pthread_cond_broadcast(&flights->stored);
    }
    unlock_table(flights);
}

/* Who waits as a thread comes first: see the head of the file. */
static brisk_flight *choose_heir(const brisk_flight *leader)
{
    for (brisk_flight *one = leader->first_; one != NULL; one = one->next_) {
        if (one->blocks) {
            return one;
        }
    }
    return leader->first_;
}

void brisk_flight_abandon(brisk_flights *flights, brisk_flight *flight)
{
    lock_table(flights);
    brisk_flight *heir = NULL;
    if ((flight->state_ & LEADING) != 0) {
        BRISK_ASSERT((flight->state_ & ANSWERED) == 0);
        heir = choose_heir(flight);
        if (heir != NULL) {
            unlink_one(flights, heir);
            succeed(flights, flight, heir);
        } else {
            unlist_leader(flights, flight);
            flight->state_ = 0;
            stop_working(flight);
        }
    }
    unlock_table(flights);
    if (heir != NULL) {
        heir->on_event(heir, BRISK_FLIGHT_LEAD);
    }
}

bool brisk_flight_leave(brisk_flights *flights, brisk_flight *flight)
{
    lock_table(flights);
    bool waited = (flight->state_ & WAITING) != 0;
    if (waited) {
        unlink_one(flights, flight);
    }
    unlock_table(flights);
    if (waited) {
        flight->on_event(flight, BRISK_FLIGHT_LEFT);
    }
    return waited;
}

/* --- answers that became old while they were computed ---------------------------------------- */

void brisk_flight_outdate(brisk_flights *flights, const brisk_key *key)
{
    lock_table(flights);
    brisk_flight *leader = find(flights, key);
    while (leader != NULL && (leader->state_ & ANSWERED) != 0) {
        flights->landing_awaited++;
        (void)pthread_cond_wait(&flights->stored, &flights->lock);
        flights->landing_awaited--;
        leader = find(flights, key);
    }
    if (leader != NULL) {
        outdate_leader(flights, leader);
    }
    unlock_table(flights);
}

void brisk_flight_outdate_all(brisk_flights *flights)
{
    lock_table(flights);
    for (uint32_t i = 0; i <= flights->mask; i++) {
        brisk_flight *leader = flights->buckets[i].first;
        while (leader != NULL) {
            if ((leader->state_ & ANSWERED) == 0) {
                outdate_leader(flights, leader);
            } else {
                flights->landing_awaited++;
                (void)pthread_cond_wait(&flights->stored, &flights->lock);
                flights->landing_awaited--;
            }
            leader = flights->buckets[i].first;
        }
    }
    unlock_table(flights);
}

uint32_t brisk_flights_waiting(brisk_flights *flights)
{
    lock_table(flights);
    uint32_t waiting = flights->waiting;
    unlock_table(flights);
    return waiting;
}
