/*
 * tier_redis_events.c -- the thread that listens, the mirror, and bumps, behind
 * engine/tier_redis_events.h.
 *
 * The thread goes
 *
 *     connect ─► SUBSCRIBE ─► read all counters ─► in sync: listen, ask for "v" ─┐
 *        ▲                                                                       │ lost
 *        └────────────── pause, "everything may have changed" ◄──────────────────┘
 *
 * Order when reading all: subscribed first, then "v", then the counters: what is bumped meanwhile is
 * heard, and values are only ever raised, so that hearing and reading may overlap.
 *
 * How the mirror knows that it has heard everything: each bump gets a number from "v".  All up to
 * `base` were heard, made here, or read; `ahead` are those heard beyond a gap.  A gap is usual for a
 * moment, between a bump and its message; one that the next beat still finds is a message that was
 * lost.  What "v" was one beat before is therefore known to be complete or not, however many bumps
 * come in between.
 */
#include "engine/tier_redis_events.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#include <brisk/clock.h>
#include <brisk/log.h>
#include <brisk/rng.h>

#include "base/assert.h"
#include "engine/tier_redis_mirror.h"

enum {
    HEAD_MAX = 128,    /* of a message, without a key */
    ERA_TURN = 0x7fff, /* so many prefixes later everything is cleared and the count goes on */
    PAUSES = 5,
    TRIM_EVERY = 256,
};

/* Rank of the newest key that goes from the log of keys: 10,000 stay. */
#define KEYS_RANK "-10001"

static const uint64_t beat_ns = 250 * 1000000;
static const uint64_t fresh_ns = 1000 * 1000000;
static const uint64_t pause_ns = 100 * 1000000;
static const uint64_t second_ns = 1000000000;

typedef struct listener {
    redis_call call; /* first: what the link knows */
    redis_events *events;
    bool subscribed;
    bool refused;
} listener;

/* [message, channel, text], [subscribe, channel, 1], an error, or the answer to something else. */
static void take_push(redis_call *call, const resp_replies *reply)
{
    listener *l = (listener *)call;
    const resp_node *node = resp_replies_value(reply);
    if (node->type == RESP_ERROR) {
        l->refused = true;
        return;
    }
    if ((node->type != RESP_PUSH && node->type != RESP_ARRAY) || node->count != 3 ||
        node[1].type != RESP_BULK || node[2].type != RESP_BULK) {
        return;
    }
    if (resp_bytes_equal(node[1].bytes, "subscribe")) {
        l->subscribed = true;
    } else if (resp_bytes_equal(node[1].bytes, "message") && node[3].type == RESP_BULK) {
        redis_events_hear(l->events, node[3].bytes);
    }
}

/* --- the thread --------------------------------------------------------------------------- */

static void set_state(redis_events *events, events_state state, brisk_err why)
{
    redis_events_lock(events);
    events->state = state;
    events->why = why;
    (void)pthread_cond_broadcast(&events->changed);
    redis_events_unlock(events);
}

static brisk_err subscribe(redis_events *events, redis_link *link, listener *l)
{
    redis_words words = {.count = 2,
                         .words = {redis_word("SUBSCRIBE"), redis_word(events->channel)}};
    redis_op op = {.ctx = &words};
    redis_encode_words(&op, redis_link_begin(link));
    redis_link_commit(link, NULL, 0, redis_events_deadline(events));
    uint64_t until = redis_events_deadline(events);
    brisk_err err = BRISK_OK;
    while (err == BRISK_OK && !l->subscribed && !l->refused) {
        if (brisk_clock_now_ns(NULL) >= until) {
            return BRISK_ERR_DEADLINE;
        }
        err = redis_link_listen(link, &l->call, until);
    }
    return err == BRISK_OK && l->refused ? BRISK_ERR_UNSUPPORTED : err;
}

/* Everything up to `v` was heard, or done here: a new listener hears of the rest now, and all
 * learn the number, which those of our own bumps do not reach otherwise. */
static brisk_err all_told(redis_events *events, uint64_t v)
{
    brisk_err err = redis_events_catch_up(events, v);
    if (err != BRISK_OK) {
        return err;
    }
    brisk_bump number = {.kind = BRISK_BUMP_SLOT, .slot = BRISK_GENERATION_SLOTS, .token = v};
    (void)pthread_mutex_lock(&events->tell_lock);
    if (events->fn != NULL && !events->behind && v > events->numbered) {
        events->numbered = v;
        events->told_to = v > events->told_to ? v : events->told_to;
        events->fn(events->fn_ctx, &number);
    }
    (void)pthread_mutex_unlock(&events->tell_lock);
    return BRISK_OK;
}

/* What Redis said a beat ago and the mirror did not know yet; v == 0: it knew everything. */
typedef struct doubt {
    uint64_t v;
    uint64_t clears; /* Redis's count of them */
    uint64_t mine;   /* and the mirror's */
    uint64_t asked_ns;
} doubt;

static brisk_err start_again(redis_events *events, uint64_t asked_ns)
{
    atomic_store_explicit(&events->synced_ns, 0, memory_order_release);
    brisk_err err = redis_events_reload(events);
    if (err == BRISK_OK) {
        atomic_store_explicit(&events->synced_ns, asked_ns, memory_order_release);
    }
    return err;
}

/* Ask whether anything was missed. */
static brisk_err beat(redis_events *events, doubt *last)
{
    redis_events_lock(events);
    uint64_t known = events->known; /* before Redis is asked: it has at least as many */
    redis_events_unlock(events);
    doubt now = {.asked_ns = brisk_clock_now_ns(NULL)};
    uint64_t v[2];
    if (redis_events_ask(events, v) != BRISK_OK) {
        return BRISK_OK; /* not in sync for a while; the channel may be fine */
    }
    now.v = v[0];
    now.clears = v[1];
    redis_events_lock(events);
    now.mine = redis_mirror_read(events, COUNTER_CLEAR);
    bool lost = now.v < known ||
                (last->v != 0 &&
                 (events->base < last->v || now.mine < last->clears || now.clears < last->mine));
    bool complete = events->base >= now.v && now.mine == now.clears;
    redis_events_unlock(events);
    const doubt *sure = complete ? &now : last;
    brisk_err err = BRISK_OK;
    if (lost) {
        err = start_again(events, now.asked_ns);
    } else if (complete || last->v != 0) {
        atomic_store_explicit(&events->synced_ns, sure->asked_ns, memory_order_release);
        err = all_told(events, sure->v);
    }
    *last = lost || complete ? (doubt){0} : now;
    return err;
}

/* While the connection lasts. */
static brisk_err follow(redis_events *events, redis_link *link)
{
    listener l = {.call = {.take = take_push}, .events = events};
    brisk_err err = subscribe(events, link, &l);
    uint64_t began_ns = brisk_clock_now_ns(NULL);
    if (err == BRISK_OK) {
        err = redis_events_reload(events);
    }
    if (err != BRISK_OK) {
        return err;
    }
    atomic_store_explicit(&events->synced_ns, began_ns, memory_order_release);
    set_state(events, EVENTS_SYNCED, BRISK_OK);
    doubt last = {0};
    uint64_t next_ns = 0;
    while (err == BRISK_OK && !redis_events_stopping(events)) {
        uint64_t now = brisk_clock_now_ns(NULL);
        if (now >= next_ns) {
            err = beat(events, &last);
            next_ns = now + beat_ns;
        } else {
            err = redis_link_listen(link, &l.call, next_ns);
        }
    }
    return err;
}

static void pause_for(redis_events *events, uint32_t failures)
{
    uint64_t most = pause_ns << (failures < PAUSES ? failures : PAUSES);
    brisk_rng rng;
    brisk_rng_init(&rng, brisk_clock_now_ns(NULL) ^ (uint64_t)(uintptr_t)events);
    uint64_t until_ns = brisk_clock_now_ns(NULL) + most / 2 + brisk_rng_below(&rng, most / 2 + 1);
    struct timespec until = {.tv_sec = (time_t)(until_ns / second_ns),
                             .tv_nsec = (long)(until_ns % second_ns)};
    redis_events_lock(events);
    while (!events->stop && pthread_cond_timedwait(&events->changed, &events->lock, &until) == 0) {
    }
    redis_events_unlock(events);
}

static bool publish_link(redis_events *events, redis_link *link)
{
    redis_events_lock(events);
    events->link = link;
    bool stop = events->stop;
    redis_events_unlock(events);
    return !stop;
}

/* One connection: true when it was in sync. */
static bool one_life(redis_events *events)
{
    redis_link *link = NULL;
    brisk_errinfo info = {.text = ""};
    uint16_t slot = redis_slot_of(events->gen, strlen(events->gen));
    brisk_err err = redis_router_open(events->router, slot, &link, &info);
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_DEBUG, "engine", "redis: no channel of changes: %s", info.text);
        set_state(events, EVENTS_LOST, err);
        return false;
    }
    err = publish_link(events, link) ? follow(events, link) : BRISK_ERR_CANCELLED;
    (void)publish_link(events, NULL);
    redis_link_unref(link);
    bool was_synced = atomic_exchange_explicit(&events->synced_ns, 0, memory_order_acq_rel) != 0;
    if (err == BRISK_ERR_UNSUPPORTED) {
        brisk_log(BRISK_LOG_WARNING, "engine",
                  "redis: the server has no hashes or channels: entries with tags are not kept "
                  "there, and changes by others are not noticed");
        set_state(events, EVENTS_UNSUPPORTED, err);
    } else {
        set_state(events, EVENTS_LOST, err != BRISK_OK ? err : BRISK_ERR_CANCELLED);
    }
    return was_synced;
}

static void run(void *ctx)
{
    redis_events *events = ctx;
    for (uint32_t failures = 0; !redis_events_stopping(events);) {
        if (one_life(events)) {
            failures = 0;
            atomic_fetch_add_explicit(&events->losses, 1, memory_order_relaxed);
        }
        pause_for(events, failures++);
    }
}

/* --- bumps -------------------------------------------------------------------------------- */

/* ZADD log GT number member: a later number stays. */
static redis_words log_words(const char *log, resp_bytes member, uint64_t number,
                             char text[REDIS_COUNTER_TEXT])
{
    (void)snprintf(text, REDIS_COUNTER_TEXT, "%" PRIu64, number);
    return (redis_words){
        .count = 5,
        .words = {redis_word("ZADD"), redis_word(log), redis_word("GT"), redis_word(text), member}};
}

brisk_err redis_events_log(redis_events *events, const char *log, resp_bytes member,
                           uint64_t number)
{
    char text[REDIS_COUNTER_TEXT];
    redis_words words = log_words(log, member, number, text);
    redis_op op;
    redis_events_prepare(events, &op, &words, log);
    redis_router_run(events->router, &op, redis_events_deadline(events));
    redis_op_deinit(&op);
    return op.err;
}

/* A bump that has its number: into a log, and to everybody. */
typedef struct announcement {
    const char *log;
    resp_bytes member;
    uint64_t number;
    resp_bytes message;
} announcement;

static brisk_err announce(redis_events *events, const announcement *a)
{
    char text[REDIS_COUNTER_TEXT];
    redis_words words[2] = {
        log_words(a->log, a->member, a->number, text),
        {.count = 3, .words = {redis_word("PUBLISH"), redis_word(events->channel), a->message}},
    };
    redis_op ops[2];
    redis_events_prepare(events, &ops[0], &words[0], a->log);
    redis_events_prepare(events, &ops[1], &words[1],
                         a->log); /* any node of a cluster passes it on */
    redis_router_run_many(events->router, ops, 2, redis_events_deadline(events));
    brisk_err err = ops[0].err != BRISK_OK ? ops[0].err : ops[1].err;
    redis_op_deinit(&ops[0]);
    redis_op_deinit(&ops[1]);
    if (err == BRISK_OK) {
        atomic_fetch_add_explicit(&events->told, 1, memory_order_relaxed);
    }
    return err;
}

/* Count up a counter and "v" in one go. */
static brisk_err count_bumps(redis_events *events, uint32_t index, uint64_t *value,
                             uint64_t *number)
{
    char name[REDIS_COUNTER_TEXT];
    redis_counter_name(index, name);
    redis_words words[2] = {
        {.count = 4,
         .words = {redis_word("HINCRBY"), redis_word(events->gen), redis_word(name),
                   redis_word("1")}},
        {.count = 4,
         .words = {redis_word("HINCRBY"), redis_word(events->gen), redis_word("v"),
                   redis_word("1")}},
    };
    redis_op ops[2];
    redis_events_prepare(events, &ops[0], &words[0], events->gen);
    redis_events_prepare(events, &ops[1], &words[1], events->gen);
    redis_router_run_many(events->router, ops, 2, redis_events_deadline(events));
    brisk_err err = ops[0].err != BRISK_OK ? ops[0].err : ops[1].err;
    if (err == BRISK_OK && (ops[0].type != RESP_INTEGER || ops[1].type != RESP_INTEGER ||
                            ops[0].integer < 1 || ops[1].integer < 1)) {
        err = BRISK_ERR_CORRUPT;
    }
    if (err == BRISK_OK) {
        *value = (uint64_t)ops[0].integer;
        *number = (uint64_t)ops[1].integer;
    }
    redis_op_deinit(&ops[0]);
    redis_op_deinit(&ops[1]);
    return err;
}

static brisk_err announce_text(redis_events *events, const char *log, const char *member,
                               uint64_t number, const char *text)
{
    redis_events_count(events, number);
    char message[HEAD_MAX];
    int size = snprintf(message, sizeof message, "%s %s %" PRIu64, events->who, text, number);
    BRISK_ASSERT(size > 0 && size < HEAD_MAX);
    announcement a = {
        .log = log, .member = redis_word(member), .number = number, .message = redis_word(message)};
    return announce(events, &a);
}

static brisk_err bump_slot(redis_events *events, uint32_t slot)
{
    uint64_t value;
    uint64_t number;
    brisk_err err = count_bumps(events, slot, &value, &number);
    if (err != BRISK_OK) {
        return err;
    }
    (void)redis_mirror_raise(events, slot, value);
    char member[REDIS_COUNTER_TEXT];
    char text[HEAD_MAX / 2];
    (void)snprintf(member, sizeof member, "S%" PRIu32, slot);
    (void)snprintf(text, sizeof text, "S %" PRIu32 " %" PRIu64, slot, value);
    return announce_text(events, events->log, member, number, text);
}

static brisk_err bump_all(redis_events *events)
{
    uint64_t value;
    uint64_t number;
    brisk_err err = count_bumps(events, COUNTER_CLEAR, &value, &number);
    if (err != BRISK_OK) {
        return err;
    }
    (void)redis_mirror_raise(events, COUNTER_CLEAR, value);
    redis_mirror_forget(events);
    redis_words words = {.count = 2, .words = {redis_word("DEL"), redis_word(events->pre)}};
    redis_op op;
    redis_events_prepare(events, &op, &words, events->pre);
    redis_router_run(events->router, &op, redis_events_deadline(events));
    redis_op_deinit(&op); /* old prefixes outdate a little more than they must, at worst */
    char text[HEAD_MAX / 2];
    (void)snprintf(text, sizeof text, "A %" PRIu64, value);
    return announce_text(events, events->log, "A", number, text);
}

static brisk_err bump_prefix(redis_events *events, const brisk_bump *bump)
{
    uint64_t era;
    uint64_t number;
    brisk_err err = count_bumps(events, COUNTER_ERA, &era, &number);
    if (err == BRISK_OK && (era & ERA_TURN) == 0) {
        err = bump_all(events); /* before eras could be taken for older ones */
    }
    if (err != BRISK_OK) {
        return err;
    }
    redis_prefix prefix = {.hash = bump->prefix_hash,
                           .number = number,
                           .size = bump->prefix_size,
                           .era = (uint16_t)era};
    (void)redis_mirror_prefix(events, &prefix);
    (void)redis_mirror_raise(events, COUNTER_ERA, era);
    char member[HEAD_MAX / 2];
    char text[HEAD_MAX / 2];
    (void)snprintf(member, sizeof member, "%" PRIu32 ":%" PRIx64 ":%" PRIu64, bump->prefix_size,
                   bump->prefix_hash, era);
    (void)snprintf(text, sizeof text, "P %" PRIu32 " %" PRIx64 " %" PRIu64, bump->prefix_size,
                   bump->prefix_hash, era);
    return announce_text(events, events->pre, member, number, text);
}

brisk_err redis_events_bump(redis_events *events, const brisk_bump *bump)
{
    switch (bump->kind) {
    case BRISK_BUMP_SLOT:
        return bump->slot < BRISK_GENERATION_SLOTS ? bump_slot(events, bump->slot)
                                                   : BRISK_ERR_INVALID;
    case BRISK_BUMP_PREFIX: return bump_prefix(events, bump);
    case BRISK_BUMP_ALL: return bump_all(events);
    case BRISK_BUMP_KEY:
    default: return BRISK_ERR_INVALID;
    }
}

static void take_score(redis_op *op, const resp_node *node)
{
    uint64_t *score = op->visit_ctx;
    const resp_node *last = node + node->nodes - 1;
    resp_bytes text = last->bytes;
    if (last->type == RESP_DOUBLE && last->number > 0 && last->number < 9e15) {
        *score = (uint64_t)last->number;
    } else if (last->type != RESP_BULK || !redis_take_number(&text, 10, score)) {
        *score = 0;
    }
}

/* Now and then: the oldest keys go, after the log says up to which number. */
static void trim_keys(redis_events *events)
{
    redis_words words = {.count = 5,
                         .words = {redis_word("ZRANGE"), redis_word(events->keys),
                                   redis_word(KEYS_RANK), redis_word(KEYS_RANK),
                                   redis_word("WITHSCORES")}};
    uint64_t score = 0;
    redis_op op;
    redis_events_prepare(events, &op, &words, events->keys);
    op.visit = take_score;
    op.visit_ctx = &score;
    redis_router_run(events->router, &op, redis_events_deadline(events));
    redis_op_deinit(&op);
    if (op.err != BRISK_OK || score == 0 ||
        redis_events_log(events, events->log, redis_word("F"), score) != BRISK_OK) {
        return; /* another time */
    }
    char up_to[REDIS_COUNTER_TEXT];
    (void)snprintf(up_to, sizeof up_to, "%" PRIu64, score);
    words = (redis_words){.count = 4,
                          .words = {redis_word("ZREMRANGEBYSCORE"), redis_word(events->keys),
                                    redis_word("-inf"), redis_word(up_to)}};
    redis_events_prepare(events, &op, &words, events->keys);
    redis_router_run(events->router, &op, redis_events_deadline(events));
    redis_op_deinit(&op);
}

/* HINCRBY of "v" alone: a key has no counter. */
void redis_events_number(redis_events *events, redis_op *op, redis_words *words)
{
    *words = (redis_words){.count = 4,
                           .words = {redis_word("HINCRBY"), redis_word(events->gen),
                                     redis_word("v"), redis_word("1")}};
    redis_events_prepare(events, op, words, events->gen);
}

brisk_err redis_events_tell_key(redis_events *events, const brisk_key *key)
{
    redis_words words;
    redis_op op;
    redis_events_number(events, &op, &words);
    redis_router_run(events->router, &op, redis_events_deadline(events));
    redis_op_deinit(&op);
    return redis_events_tell_numbered(events, key, &op);
}

brisk_err redis_events_tell_numbered(redis_events *events, const brisk_key *key,
                                     const redis_op *numbered)
{
    if (numbered->err != BRISK_OK) {
        return numbered->err;
    }
    if (numbered->type != RESP_INTEGER || numbered->integer < 1) {
        return BRISK_ERR_CORRUPT;
    }
    uint64_t number = (uint64_t)numbered->integer;
    redis_events_count(events, number);
    char head[HEAD_MAX];
    int head_size = snprintf(head, sizeof head, "%s K %" PRIu64 " ", events->who, number);
    BRISK_ASSERT(head_size > 0 && head_size < HEAD_MAX);
    size_t size = (size_t)head_size + key->size;
    unsigned char *text = events->alloc->acquire(events->alloc->ctx, size, 1);
    if (text == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(text, head, (size_t)head_size);
    memcpy(text + head_size, key->bytes, key->size);
    announcement a = {.log = events->keys,
                      .member = {key->bytes, key->size},
                      .number = number,
                      .message = {text, size}};
    brisk_err err = announce(events, &a);
    events->alloc->release(events->alloc->ctx, text, size, 1);
    if (number % TRIM_EVERY == 0) {
        trim_keys(events);
    }
    return err;
}

/* --- asking the mirror -------------------------------------------------------------------- */

bool redis_events_in_sync(const redis_events *events)
{
    uint64_t synced = atomic_load_explicit(&events->synced_ns, memory_order_acquire);
    return synced != 0 && brisk_clock_now_ns(NULL) - synced < fresh_ns;
}

brisk_err redis_events_wait(redis_events *events, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / second_ns),
                             .tv_nsec = (long)(deadline_ns % second_ns)};
    int failed = 0;
    redis_events_lock(events);
    while (events->state == EVENTS_STARTING && failed == 0) {
        failed = pthread_cond_timedwait(&events->changed, &events->lock, &until);
    }
    events_state state = events->state;
    brisk_err why = events->why;
    redis_events_unlock(events);
    switch (state) {
    case EVENTS_SYNCED: return BRISK_OK;
    case EVENTS_UNSUPPORTED:
    case EVENTS_LOST: return why;
    case EVENTS_STARTING:
    default: return BRISK_ERR_DEADLINE;
    }
}

uint64_t redis_events_clears(const redis_events *events)
{
    return redis_mirror_read(events, COUNTER_CLEAR);
}

brisk_err redis_events_generations(const redis_events *events, const uint32_t *slots,
                                   uint32_t count, uint64_t *ret)
{
    if (!redis_events_in_sync(events)) {
        return BRISK_ERR_IO;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i] > BRISK_GENERATION_ERA) {
            return BRISK_ERR_INVALID;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        ret[i] = redis_mirror_read(events, slots[i]);
    }
    return BRISK_OK;
}

void redis_events_listen(redis_events *events, brisk_bump_fn fn, void *ctx, uint64_t since)
{
    (void)pthread_mutex_lock(&events->tell_lock);
    events->fn = fn;
    events->fn_ctx = ctx;
    events->told_to = since;
    events->numbered = since;
    events->behind = fn != NULL; /* the thread tells of the rest */
    redis_events_lock(events);
    /* A server that knows of fewer has lost some, or is another one than then. */
    events->known = since > events->known ? since : events->known;
    for (size_t i = 0; fn != NULL && i < events->prefixes.count; i++) {
        brisk_bump bump = redis_bump_of(&events->prefixes.items[i]);
        fn(ctx, &bump);
    }
    redis_events_unlock(events);
    (void)pthread_mutex_unlock(&events->tell_lock);
}

void redis_events_read_stats(const redis_events *events, redis_events_stats *ret)
{
    *ret = (redis_events_stats){
        .heard = atomic_load_explicit(&events->heard, memory_order_relaxed),
        .told = atomic_load_explicit(&events->told, memory_order_relaxed),
        .losses = atomic_load_explicit(&events->losses, memory_order_relaxed),
        .reloads = atomic_load_explicit(&events->reloads, memory_order_relaxed),
        .garbage = atomic_load_explicit(&events->garbage, memory_order_relaxed),
    };
}

/* --- life --------------------------------------------------------------------------------- */

static brisk_err init(redis_events *events, const redis_events_opts *opts)
{
    unsigned char random[REDIS_WHO_BYTES / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return BRISK_ERR_IO;
    }
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(events->who + 2 * i, 3, "%02x", random[i]);
    }
    (void)snprintf(events->gen, sizeof events->gen, "%s!gen", opts->prefix);
    (void)snprintf(events->log, sizeof events->log, "%s!log", opts->prefix);
    (void)snprintf(events->pre, sizeof events->pre, "%s!pre", opts->prefix);
    (void)snprintf(events->keys, sizeof events->keys, "%s!keys", opts->prefix);
    (void)snprintf(events->channel, sizeof events->channel, "%s!inv", opts->prefix);
    void *map = mmap(NULL, COUNTERS * sizeof *events->counters, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return BRISK_ERR_NOMEM;
    }
    events->counters = map;
    brisk_thread_opts thread = {.name = "brisk-redis", .run = run, .ctx = events};
    return brisk_thread_start(&events->thread, &thread);
}

brisk_err redis_events_start(const redis_events_opts *opts, redis_events **ret)
{
    const brisk_alloc *alloc = opts->alloc;
    redis_events *events = alloc->acquire(alloc->ctx, sizeof *events, _Alignof(redis_events));
    if (events == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *events = (redis_events){
        .alloc = alloc,
        .router = opts->router,
        .timeout_ns = opts->timeout_ns,
        .prefixes = BRISK_VEC_INIT(alloc),
        .ahead = BRISK_VEC_INIT(alloc),
    };
    pthread_condattr_t attr;
    int failed = pthread_mutex_init(&events->lock, NULL);
    failed |= pthread_mutex_init(&events->tell_lock, NULL);
    failed |= pthread_condattr_init(&attr);
    failed |= pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed |= pthread_cond_init(&events->changed, &attr);
    failed |= pthread_condattr_destroy(&attr);
    BRISK_ASSERT(failed == 0); /* none of them can fail on Linux */
    brisk_err err = init(events, opts);
    if (err != BRISK_OK) {
        redis_events_stop(events);
        return err;
    }
    *ret = events;
    return BRISK_OK;
}

void redis_events_stop(redis_events *events)
{
    if (events == NULL) {
        return;
    }
    redis_events_lock(events);
    events->stop = true;
    if (events->link != NULL) {
        redis_link_break(events->link, BRISK_ERR_CANCELLED);
    }
    (void)pthread_cond_broadcast(&events->changed);
    redis_events_unlock(events);
    brisk_thread_join(&events->thread);
    if (events->counters != NULL) {
        (void)munmap(events->counters, COUNTERS * sizeof *events->counters);
    }
    BRISK_VEC_DEINIT(&events->prefixes);
    BRISK_VEC_DEINIT(&events->ahead);
    (void)pthread_cond_destroy(&events->changed);
    (void)pthread_mutex_destroy(&events->lock);
    (void)pthread_mutex_destroy(&events->tell_lock);
    const brisk_alloc *alloc = events->alloc;
    alloc->release(alloc->ctx, events, sizeof *events, _Alignof(redis_events));
}
