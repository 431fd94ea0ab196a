/*
 * tier_redis_reload.c -- reading counters and logs, and bringing back what Redis has lost.
 *
 * Each log is a sorted set whose scores are numbers of bumps, so that "what came after number n" is
 * one question, asked in pages.  Members are written with ZADD GT: two bumps of one slot at the same
 * time leave the higher number, whichever comes last.
 *
 *     !log    "S<slot>", "A" (clear), "F": keys with numbers up to this are gone from !keys
 *     !pre    "<size>:<hash>:<era>"; emptied by clear
 *     !keys   keys that were replaced or removed; the newest 10,000
 *
 * A value in the mirror that is above the one in Redis means that Redis has lost it (an old
 * snapshot, an empty server).  It is counted up there to one more than anybody has seen, so that
 * entries from before stay outdated.
 */
#include "engine/tier_redis_mirror.h"

#include <inttypes.h>
#include <string.h>

#include <brisk/clock.h>

#include "base/str.h"

enum { LOG_BYTES_MAX = 64 << 20 }; /* 500 members of a reply */

/* --- reading all counters ----------------------------------------------------------------- */

typedef struct scan {
    redis_events *events;
    char cursor[REDIS_COUNTER_TEXT];
    bool bad;
    BRISK_VEC(uint32_t) lost; /* counters that are below the mirror's */
} scan;

static void add_lost(scan *s, uint32_t index)
{
    if (!BRISK_VEC_PUSH(&s->lost, index)) {
        s->bad = true;
    }
}

static bool number_of(const resp_node *node, uint64_t *ret)
{
    resp_bytes text = node->bytes;
    return node->type == RESP_BULK && redis_take_number(&text, 10, ret) && text.size == 0;
}

static void read_field(scan *s, const resp_node *name, const resp_node *node)
{
    uint64_t index;
    uint64_t value;
    if (!number_of(node, &value)) {
        return;
    }
    if (name->type == RESP_BULK && resp_bytes_equal(name->bytes, "clear")) {
        index = COUNTER_CLEAR;
    } else if (!number_of(name, &index) || index > COUNTER_ERA) {
        return; /* "v", or somebody else's */
    }
    uint64_t mine = redis_mirror_read(s->events, (uint32_t)index);
    (void)redis_mirror_raise(s->events, (uint32_t)index, value);
    if (value < mine) {
        add_lost(s, (uint32_t)index);
    }
}

/* [cursor, [name, value, name, value ...]] */
static bool is_page(const resp_node *node, char cursor[REDIS_COUNTER_TEXT])
{
    if (node->type != RESP_ARRAY || node->count != 2 || node[1].type != RESP_BULK ||
        node[1].bytes.size >= 24 || node[2].type != RESP_ARRAY) {
        return false;
    }
    memcpy(cursor, node[1].bytes.data, node[1].bytes.size);
    cursor[node[1].bytes.size] = '\0';
    return true;
}

static void visit_counters(redis_op *op, const resp_node *node)
{
    scan *s = op->visit_ctx;
    s->bad = !is_page(node, s->cursor) || s->bad;
    for (uint32_t i = 0; !s->bad && i + 1 < node[2].count; i += 2) {
        read_field(s, &node[3 + i], &node[4 + i]);
    }
}

uint64_t redis_events_deadline(const redis_events *events)
{
    return brisk_clock_now_ns(NULL) + events->timeout_ns;
}

void redis_events_prepare(redis_events *events, redis_op *op, const redis_words *words,
                          const char *key)
{
    redis_op_init(op, events->router, key, strlen(key));
    op->encode = redis_encode_words;
    op->ctx = words;
}

static brisk_err scan_counters(redis_events *events, scan *s)
{
    memcpy(s->cursor, "0", 2);
    do {
        redis_words words = {.count = 5,
                             .words = {redis_word("HSCAN"), redis_word(events->gen),
                                       redis_word(s->cursor), redis_word("COUNT"),
                                       redis_word("1000")}};
        char cursor[REDIS_COUNTER_TEXT];
        memcpy(cursor, s->cursor, sizeof cursor); /* the answer overwrites it */
        words.words[2] = redis_word(cursor);
        redis_op op;
        redis_events_prepare(events, &op, &words, events->gen);
        op.visit = visit_counters;
        op.visit_ctx = s;
        redis_router_run(events->router, &op, redis_events_deadline(events));
        brisk_err err =
            op.err == BRISK_OK && (s->bad || op.type != RESP_ARRAY) ? BRISK_ERR_CORRUPT : op.err;
        redis_op_deinit(&op);
        if (err == BRISK_OK && redis_events_stopping(events)) {
            err = BRISK_ERR_CANCELLED;
        }
        if (err != BRISK_OK) {
            return err;
        }
    } while (strcmp(s->cursor, "0") != 0);
    return BRISK_OK;
}

void redis_counter_name(uint32_t index, char name[REDIS_COUNTER_TEXT])
{
    if (index == COUNTER_CLEAR) {
        memcpy(name, "clear", 6);
    } else {
        (void)snprintf(name, 24, "%" PRIu32, index);
    }
}

/* HINCRBY of a counter; *value is what it became. */
static brisk_err count_up(redis_events *events, const char *name, uint64_t by, uint64_t *value)
{
    char amount[REDIS_COUNTER_TEXT];
    (void)snprintf(amount, sizeof amount, "%" PRIu64, by);
    redis_words words = {.count = 4,
                         .words = {redis_word("HINCRBY"), redis_word(events->gen), redis_word(name),
                                   redis_word(amount)}};
    redis_op op;
    redis_events_prepare(events, &op, &words, events->gen);
    redis_router_run(events->router, &op, redis_events_deadline(events));
    brisk_err err = op.err;
    if (err == BRISK_OK && (op.type != RESP_INTEGER || op.integer < 1)) {
        err = BRISK_ERR_CORRUPT;
    }
    if (err == BRISK_OK) {
        *value = (uint64_t)op.integer;
    }
    redis_op_deinit(&op);
    return err;
}

/* Redis has less than we saw: bring it above that. */
static brisk_err restore_counter(redis_events *events, uint32_t index)
{
    char name[REDIS_COUNTER_TEXT];
    redis_counter_name(index, name);
    uint64_t value;
    brisk_err err = count_up(events, name, 1, &value);
    if (err == BRISK_OK && value <= redis_mirror_read(events, index)) {
        err = count_up(events, name, redis_mirror_read(events, index) - value + 1, &value);
    }
    if (err == BRISK_OK) {
        (void)redis_mirror_raise(events, index, value);
    }
    return err;
}

/* Redis has lost bumps, and with them whatever it knew: all counters go above what anybody saw. */
static brisk_err restore_all(redis_events *events, scan *s, uint64_t v, uint64_t known)
{
    for (uint32_t i = 0; v < known && i < COUNTERS && !s->bad; i++) {
        if (redis_mirror_read(events, i) != 0) {
            add_lost(s, i);
        }
    }
    brisk_err err = s->bad ? BRISK_ERR_NOMEM : BRISK_OK;
    for (size_t i = 0; i < s->lost.count && err == BRISK_OK; i++) {
        err = restore_counter(events, s->lost.items[i]);
    }
    if ((s->lost.count == 0 && v >= known) || err != BRISK_OK) {
        return err;
    }
    uint64_t number;
    err = count_up(events, "v", v < known ? known - v + 1 : 1, &number);
    if (err == BRISK_OK) {
        err = redis_events_log(events, events->log, redis_word("A"), number);
        redis_events_count(events, number);
    }
    if (err == BRISK_OK) {
        redis_events_tell(events, &(brisk_bump){.kind = BRISK_BUMP_ALL, .token = number});
    }
    return err;
}

static void visit_v(redis_op *op, const resp_node *node)
{
    uint64_t *v = op->visit_ctx;
    if (node->type != RESP_ARRAY || node->count != 2 || !number_of(&node[1], v)) {
        *v = 0;
    }
    if (node->type == RESP_ARRAY && node->count == 2 && !number_of(&node[2], &v[1])) {
        v[1] = 0;
    }
}

/* v[0]: the number of all bumps, v[1]: of clears; 0 where there is none yet. */
brisk_err redis_events_ask(redis_events *events, uint64_t v[2])
{
    redis_words words = {.count = 4,
                         .words = {redis_word("HMGET"), redis_word(events->gen), redis_word("v"),
                                   redis_word("clear")}};
    redis_op op;
    redis_events_prepare(events, &op, &words, events->gen);
    op.visit = visit_v;
    op.visit_ctx = v;
    v[0] = 0;
    v[1] = 0;
    redis_router_run(events->router, &op, redis_events_deadline(events));
    brisk_err err = op.err == BRISK_OK && op.type != RESP_ARRAY ? BRISK_ERR_CORRUPT : op.err;
    redis_op_deinit(&op);
    return err;
}

/* --- logs --------------------------------------------------------------------------------- */

typedef struct log_reader {
    redis_events *events;
    void (*take)(struct log_reader *reader, resp_bytes member, uint64_t number);
    uint64_t last; /* number of the last one taken */
    uint32_t count;
    brisk_str got; /* of one reply: number, size and bytes of each member */
    uint64_t v;    /* what everything is told as of, where numbers are missing */
    bool bad;
} log_reader;

/* A score: text in RESP2, a double in RESP3. */
static bool score_of(const resp_node *node, uint64_t *ret)
{
    if (node->type == RESP_DOUBLE && node->number >= 0 && node->number < 9e15) {
        *ret = (uint64_t)node->number;
        return true;
    }
    return number_of(node, ret);
}

/*
 * [[member, score], ...] or [member, score, ...].  Only kept here: this runs while the link is read,
 * and whom a member is told to may wait for somebody who waits for a reply on that link.
 */
static void visit_log(redis_op *op, const resp_node *node)
{
    log_reader *reader = op->visit_ctx;
    const resp_node *at = node + 1;
    const resp_node *end = node + node->nodes;
    reader->bad = node->type != RESP_ARRAY || reader->bad;
    brisk_str_cut(&reader->got, 0);
    reader->count = 0;
    while (!reader->bad && at + 1 < end) {
        at += at->type == RESP_ARRAY ? 1 : 0;
        uint64_t number;
        reader->bad = at + 1 >= end || at[0].type != RESP_BULK || !score_of(&at[1], &number);
        if (!reader->bad) {
            uint64_t size = at[0].bytes.size;
            brisk_str_append(&reader->got, (const char *)&number, sizeof number);
            brisk_str_append(&reader->got, (const char *)&size, sizeof size);
            brisk_str_append(&reader->got, (const char *)at[0].bytes.data, size);
            reader->count++;
        }
        at += 2;
    }
}

/* What the reply had. */
static void take_all(log_reader *reader)
{
    const unsigned char *at = (const unsigned char *)brisk_str_text(&reader->got);
    for (uint32_t i = 0; i < reader->count; i++) {
        uint64_t number;
        uint64_t size;
        memcpy(&number, at, sizeof number);
        memcpy(&size, at + sizeof number, sizeof size);
        at += sizeof number + sizeof size;
        reader->take(reader, (resp_bytes){at, size}, number);
        reader->last = number > reader->last ? number : reader->last;
        at += size;
    }
}

/* All members with numbers above reader->last, in order. */
static brisk_err read_steps(log_reader *reader, const char *log)
{
    redis_events *events = reader->events;
    do {
        char after[REDIS_COUNTER_TEXT];
        (void)snprintf(after, sizeof after, "(%" PRIu64, reader->last);
        redis_words words = {.count = 8,
                             .words = {redis_word("ZRANGEBYSCORE"), redis_word(log),
                                       redis_word(after), redis_word("+inf"),
                                       redis_word("WITHSCORES"), redis_word("LIMIT"),
                                       redis_word("0"), redis_word("500")}};
        redis_op op;
        redis_events_prepare(events, &op, &words, log);
        op.visit = visit_log;
        op.visit_ctx = reader;
        reader->count = 0;
        redis_router_run(events->router, &op, redis_events_deadline(events));
        brisk_err err = op.err == BRISK_OK && (reader->bad || op.type != RESP_ARRAY)
                            ? BRISK_ERR_CORRUPT
                            : op.err;
        redis_op_deinit(&op);
        err = err == BRISK_OK ? brisk_str_err(&reader->got) : err;
        if (err == BRISK_OK && redis_events_stopping(events)) {
            err = BRISK_ERR_CANCELLED;
        }
        if (err != BRISK_OK) {
            return err;
        }
        take_all(reader);
    } while (reader->count > 0);
    return BRISK_OK;
}

static brisk_err read_log(log_reader *reader, const char *log)
{
    brisk_str_init(&reader->got, reader->events->alloc, LOG_BYTES_MAX);
    brisk_err err = read_steps(reader, log);
    brisk_str_deinit(&reader->got);
    return err;
}

/* size:hash:era */
static void take_prefix(log_reader *reader, resp_bytes member, uint64_t number)
{
    char text[64];
    uint64_t size;
    uint64_t hash;
    uint64_t era;
    if (member.size >= sizeof text) {
        return;
    }
    for (size_t i = 0; i < member.size; i++) {
        text[i] = member.data[i] == ':' ? ' ' : (char)member.data[i];
    }
    resp_bytes rest = {(const unsigned char *)text, member.size};
    if (redis_take_number(&rest, 10, &size) && redis_take_number(&rest, 16, &hash) &&
        redis_take_number(&rest, 10, &era) && size <= BRISK_KEY_BYTES_MAX) {
        redis_prefix prefix = {
            .hash = hash, .number = number, .size = (uint32_t)size, .era = (uint16_t)era};
        (void)redis_mirror_prefix(reader->events, &prefix);
        brisk_bump bump = redis_bump_of(&prefix);
        redis_events_tell(reader->events, &bump);
    }
}

static void take_bump(log_reader *reader, resp_bytes member, uint64_t number)
{
    brisk_bump bump = {.kind = BRISK_BUMP_ALL, .token = number};
    resp_bytes rest = {member.data + 1, member.size - 1};
    uint64_t slot = 0;
    if (member.size > 1 && member.data[0] == 'S' && redis_take_number(&rest, 10, &slot) &&
        slot < BRISK_GENERATION_SLOTS) {
        bump.kind = BRISK_BUMP_SLOT;
        bump.slot = (uint32_t)slot;
    } else if (resp_bytes_equal(member, "F")) {
        bump.token = reader->v; /* keys are missing from their log that were not told of */
    } else if (!resp_bytes_equal(member, "A")) {
        return;
    }
    redis_events_tell(reader->events, &bump);
}

static void take_key(log_reader *reader, resp_bytes member, uint64_t number)
{
    if (member.size > 0 && member.size <= BRISK_KEY_BYTES_MAX) {
        brisk_key key = brisk_key_of(member.data, member.size);
        redis_events_tell(reader->events,
                          &(brisk_bump){.kind = BRISK_BUMP_KEY, .key = &key, .token = number});
    }
}

brisk_err redis_events_catch_up(redis_events *events, uint64_t v)
{
    (void)pthread_mutex_lock(&events->tell_lock);
    bool behind = events->behind;
    uint64_t since = events->told_to;
    events->behind = false;
    (void)pthread_mutex_unlock(&events->tell_lock);
    if (!behind || since >= v) {
        return BRISK_OK;
    }
    log_reader bumps = {.events = events, .take = take_bump, .last = since, .v = v};
    log_reader keys = {.events = events, .take = take_key, .last = since, .v = v};
    brisk_err err = read_log(&bumps, events->log);
    if (err == BRISK_OK) {
        err = read_log(&keys, events->keys);
    }
    (void)pthread_mutex_lock(&events->tell_lock);
    if (err != BRISK_OK) {
        events->behind = true;
    } else if (events->told_to == since) { /* no new listener meanwhile */
        events->told_to = v;
    }
    (void)pthread_mutex_unlock(&events->tell_lock);
    return err;
}

brisk_err redis_events_reload(redis_events *events)
{
    redis_events_lock(events);
    uint64_t known = events->known; /* before Redis is asked: what comes later is no loss of its */
    redis_events_unlock(events);
    uint64_t v[2];
    brisk_err err = redis_events_ask(events, v);
    if (err != BRISK_OK) {
        return err;
    }
    redis_events_count_to(events, v[0], v[0] < known);
    (void)pthread_mutex_lock(&events->tell_lock);
    events->behind = true;
    (void)pthread_mutex_unlock(&events->tell_lock);
    scan s = {.events = events, .lost = BRISK_VEC_INIT(events->alloc)};
    log_reader prefixes = {.events = events, .take = take_prefix};
    /* Told first, seen in the mirror afterwards. */
    err = read_log(&prefixes, events->pre);
    if (err == BRISK_OK) {
        err = redis_events_catch_up(events, v[0]);
    }
    if (err == BRISK_OK) {
        err = scan_counters(events, &s);
    }
    if (err == BRISK_OK) {
        err = restore_all(events, &s, v[0], known);
    }
    BRISK_VEC_DEINIT(&s.lost);
    atomic_fetch_add_explicit(&events->reloads, 1, memory_order_relaxed);
    redis_events_lock(events);
    events->known = v[0] > events->known ? v[0] : events->known;
    redis_events_unlock(events);
    return err;
}
