/*
 * tier_redis.c -- the tier on Redis or Valkey behind <brisk/shared.h>.
 *
 *     <prefix>:<key bytes>  ->  an entry (engine/shared_entry.h), with PX for its expiry
 *
 * A put first tries SET NX: where nothing was there nobody else can have an older value, and the
 * common case, a value that was just computed, is one round trip.  Where there was something, SET
 * follows, and after it the others are told (not before: they would fetch the old value again).
 *
 * What is found and is not ours, or damaged, is a miss and not an error: nothing is wrong with the
 * server, and the circuit breaker above must not think so.
 *
 * clear counts up a generation that every entry carries, which is what makes them misses; then
 * it looks for the keys and drops them, which gives the memory back.
 */
#include <stdatomic.h>
#include <string.h>

#include <brisk/shared.h>

#include "base/assert.h"
#include "engine/shared_entry.h"
#include "engine/tier_figures.h"
#include "engine/tier_redis_events.h"
#include "engine/tier_redis_route.h"
#include "engine/tier_redis_sweep.h"

enum { PREFIX_MAX = 64, KEY_INLINE = 320, CONNECTIONS_DEFAULT = 2, TTL_TEXT = 24 };

static const uint64_t ms = 1000000;
static const uint64_t timeout_default_ns = 250 * 1000000;
static const uint64_t connect_default_ns = 500 * 1000000;
static const uint64_t clear_most_ns = UINT64_C(10000) * 1000000;
static const uint64_t value_bytes_default = 8 << 20;

typedef struct redis_tier {
    brisk_tier base; /* first: what the stack knows */
    const brisk_alloc *alloc;
    const brisk_clock *clock;
    redis_router *router;
    redis_events *events; /* NULL with no_events */
    shared_sealer sealer;
    brisk_announce announce;
    uint64_t timeout_ns;
    uint64_t connect_timeout_ns;
    size_t prefix_size; /* with its ':' */
    char prefix[PREFIX_MAX + 2];
    tier_figures figures;
} redis_tier;

static redis_tier *tier_of(brisk_tier *tier)
{
    return (redis_tier *)tier;
}

/* --- keys --------------------------------------------------------------------------------- */

/* A key as Redis has it. */
typedef struct full_key {
    const brisk_alloc *alloc;
    unsigned char *bytes;
    size_t size;
    unsigned char room[KEY_INLINE];
} full_key;

static brisk_err full_key_init(full_key *full, const redis_tier *tier, const brisk_key *key)
{
    full->alloc = tier->alloc;
    full->size = tier->prefix_size + key->size;
    full->bytes = full->size <= KEY_INLINE ? full->room
                                           : tier->alloc->acquire(tier->alloc->ctx, full->size, 1);
    if (full->bytes == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memcpy(full->bytes, tier->prefix, tier->prefix_size);
    memcpy(full->bytes + tier->prefix_size, key->bytes, key->size);
    return BRISK_OK;
}

static void full_key_deinit(full_key *full)
{
    if (full->bytes != full->room && full->bytes != NULL) {
        full->alloc->release(full->alloc->ctx, full->bytes, full->size, 1);
    }
}

static resp_bytes key_word(const full_key *full)
{
    return (resp_bytes){full->bytes, full->size};
}

static void prepare(redis_op *op, const redis_tier *tier, const full_key *key,
                    const redis_words *words)
{
    redis_op_init(op, tier->router, key->bytes, key->size);
    op->encode = redis_encode_words;
    op->ctx = words;
}

/* --- common ------------------------------------------------------------------------------- */

static uint64_t deadline_of(const redis_tier *tier)
{
    return brisk_clock_now_ns(NULL) + tier->timeout_ns;
}

/* Nothing can be judged before the generation of the last clear is known. */
static brisk_err need_events(redis_tier *tier)
{
    if (tier->events == NULL || redis_events_in_sync(tier->events)) {
        return BRISK_OK;
    }
    uint64_t until = deadline_of(tier) + tier->connect_timeout_ns;
    brisk_err err = redis_events_wait(tier->events, until);
    if (err == BRISK_OK && !redis_events_in_sync(tier->events)) {
        err = BRISK_ERR_IO; /* it was, and Redis has not answered for a second */
    }
    return err == BRISK_ERR_UNSUPPORTED ? BRISK_OK : err;
}

static shared_now now_of(const redis_tier *tier)
{
    return (shared_now){
        .wall_ns = brisk_clock_wall_ns(tier->clock),
        .clear_generation = tier->events != NULL ? redis_events_clears(tier->events) : 0,
    };
}

static brisk_err failed(redis_tier *tier, brisk_err err)
{
    return tier_figures_failed(&tier->figures, err);
}

/* --- get ---------------------------------------------------------------------------------- */

/* What the answer to GET is for the caller. */
static brisk_err read_answer(redis_tier *tier, redis_op *op, const brisk_key *key, brisk_hit *ret)
{
    if (op->err != BRISK_OK) {
        return failed(tier, op->err);
    }
    if (op->type == RESP_NULL) {
        brisk_counter_add(&tier->figures.misses, 1);
        return BRISK_ERR_NOT_FOUND;
    }
    shared_now now = now_of(tier);
    shared_block *block = op->block;
    shared_bytes bytes = {op->small, op->small_size, NULL};
    if (block != NULL) {
        bytes = (shared_bytes){block->bytes, block->size, block};
    }
    brisk_err err = op->type == RESP_BULK
                        ? shared_entry_unpack(&tier->sealer, bytes, key, &now, ret)
                        : BRISK_ERR_CORRUPT;
    if (err == BRISK_OK) {
        op->block = NULL; /* taken over */
        ret->tier_name = tier->base.name;
        brisk_counter_add(&tier->figures.hits, 1);
        return BRISK_OK;
    }
    if (err == BRISK_ERR_NOMEM) {
        return failed(tier, err);
    }
    brisk_counter_add(&tier->figures.misses, 1);
    brisk_counter_add(err == BRISK_ERR_NOT_FOUND ? &tier->figures.expired : &tier->figures.corrupt,
                      1);
    return BRISK_ERR_NOT_FOUND;
}

static brisk_err redis_get(brisk_tier *base, const brisk_key *key, brisk_hit *ret)
{
    redis_tier *tier = tier_of(base);
    brisk_err err = need_events(tier);
    full_key full;
    if (err == BRISK_OK) {
        err = full_key_init(&full, tier, key);
    }
    if (err != BRISK_OK) {
        return failed(tier, err);
    }
    uint64_t begin_ns = brisk_clock_now_ns(NULL);
    redis_words words = {.count = 2, .words = {redis_word("GET"), key_word(&full)}};
    redis_op op;
    prepare(&op, tier, &full, &words);
    redis_router_run(tier->router, &op, begin_ns + tier->timeout_ns);
    tier_figures_time(&tier->figures, begin_ns);
    err = read_answer(tier, &op, key, ret);
    redis_op_deinit(&op);
    full_key_deinit(&full);
    return err;
}

/* --- put and remove ----------------------------------------------------------------------- */

static brisk_err tell_key(redis_tier *tier, const brisk_key *key)
{
    return tier->events != NULL ? redis_events_tell_key(tier->events, key) : BRISK_OK;
}

static brisk_err drop_key(redis_tier *tier, const full_key *full)
{
    redis_words words = {.count = 2, .words = {redis_word("UNLINK"), key_word(full)}};
    redis_op op;
    prepare(&op, tier, full, &words);
    redis_router_run(tier->router, &op, deadline_of(tier));
    redis_op_deinit(&op);
    return op.err;
}

static brisk_err redis_remove(brisk_tier *base, const brisk_key *key)
{
    redis_tier *tier = tier_of(base);
    full_key full;
    brisk_err err = full_key_init(&full, tier, key);
    if (err == BRISK_OK) {
        err = drop_key(tier, &full);
        full_key_deinit(&full);
    }
    if (err == BRISK_OK) {
        err = tell_key(tier, key);
    }
    if (err != BRISK_OK) {
        return failed(tier, err);
    }
    brisk_counter_add(&tier->figures.removes, 1);
    return BRISK_OK;
}

/* The time to live in milliseconds: 0 for ever, or false when it is over. */
static bool time_to_live(const redis_tier *tier, const brisk_entry_opts *opts, char text[TTL_TEXT])
{
    text[0] = '\0';
    if (opts == NULL || opts->expires_at_ns == 0) {
        return true;
    }
    uint64_t now = brisk_clock_wall_ns(tier->clock);
    if (opts->expires_at_ns <= now) {
        return false;
    }
    /* Up: the entry knows its own end to the nanosecond. */
    (void)snprintf(text, TTL_TEXT, "%llu",
                   (unsigned long long)((opts->expires_at_ns - now + ms - 1) / ms));
    return true;
}

static redis_words set_words(const full_key *full, const shared_block *block, const char *ttl,
                             bool if_new)
{
    redis_words words = {
        .count = 3,
        .words = {redis_word("SET"), key_word(full), {block->bytes, block->size}},
    };
    if (ttl[0] != '\0') {
        words.words[words.count++] = redis_word("PX");
        words.words[words.count++] = redis_word(ttl);
    }
    if (if_new) {
        words.words[words.count++] = redis_word("NX");
    }
    return words;
}

static bool wants_nx(const redis_tier *tier)
{
    return tier->events != NULL && tier->announce == BRISK_ANNOUNCE_REPLACED;
}

static brisk_err judge_set(const redis_op *op)
{
    return op->err == BRISK_OK && op->type != RESP_STRING ? BRISK_ERR_IO : op->err;
}

/* There was another value: SET and the number of the change at once, then tell. */
static brisk_err replace(redis_tier *tier, const brisk_key *key, const full_key *full,
                         const shared_block *block, const char *ttl)
{
    redis_words words[2] = {set_words(full, block, ttl, false)};
    redis_op ops[2];
    prepare(&ops[0], tier, full, &words[0]);
    redis_events_number(tier->events, &ops[1], &words[1]);
    redis_router_run_many(tier->router, ops, 2, deadline_of(tier));
    redis_op_deinit(&ops[0]);
    redis_op_deinit(&ops[1]);
    /* Told even when SET failed: it may have been done nevertheless. */
    brisk_err told = redis_events_tell_numbered(tier->events, key, &ops[1]);
    brisk_err err = judge_set(&ops[0]);
    return err != BRISK_OK ? err : told;
}

static brisk_err store(redis_tier *tier, const brisk_key *key, const full_key *full,
                       const shared_block *block, const char *ttl)
{
    redis_words words = set_words(full, block, ttl, wants_nx(tier));
    redis_op op;
    prepare(&op, tier, full, &words);
    redis_router_run(tier->router, &op, deadline_of(tier));
    redis_op_deinit(&op);
    if (op.err == BRISK_OK && op.type == RESP_NULL && wants_nx(tier)) {
        return replace(tier, key, full, block, ttl);
    }
    brisk_err err = judge_set(&op);
    return err == BRISK_OK && tier->announce == BRISK_ANNOUNCE_ALL ? tell_key(tier, key) : err;
}

static brisk_err count_put(redis_tier *tier, brisk_err err, const brisk_value *value,
                           const shared_block *block)
{
    return tier_figures_put(&tier->figures, err, brisk_value_size(value),
                            block != NULL ? block->size : 0);
}

static brisk_err redis_put(brisk_tier *base, const brisk_key *key, brisk_value *value,
                           const brisk_entry_opts *opts)
{
    redis_tier *tier = tier_of(base);
    char ttl[TTL_TEXT];
    if (!time_to_live(tier, opts, ttl)) {
        return redis_remove(base, key);
    }
    full_key full;
    shared_block *block = NULL;
    brisk_err err = need_events(tier);
    if (err == BRISK_OK) {
        shared_source source = {value, opts, now_of(tier).clear_generation};
        err = shared_entry_pack(&tier->sealer, key, &source, &block);
    }
    if (err == BRISK_OK) {
        err = full_key_init(&full, tier, key);
    }
    if (err == BRISK_OK) {
        err = store(tier, key, &full, block, ttl);
        full_key_deinit(&full);
    }
    err = count_put(tier, err, value, block);
    shared_block_destroy(block);
    return err;
}

/* --- batches ------------------------------------------------------------------------------ */

typedef struct batch_item {
    redis_op op;
    redis_words words;
    full_key full;
    shared_block *block;
    char ttl[TTL_TEXT];
} batch_item;

/* The ops side by side, as the router wants them, and the rest of each item. */
typedef struct batch {
    redis_op *ops;
    batch_item *items;
    uint32_t *index; /* op i belongs to item index[i] */
    uint32_t op_count;
    uint32_t count;
} batch;

static size_t batch_bytes(uint32_t count)
{
    return count * (sizeof(redis_op) + sizeof(batch_item) + sizeof(uint32_t)) +
           _Alignof(max_align_t) * 2;
}

static bool batch_init(batch *b, const redis_tier *tier, uint32_t count)
{
    char *bytes = tier->alloc->acquire(tier->alloc->ctx, batch_bytes(count), _Alignof(batch_item));
    if (bytes == NULL) {
        return false;
    }
    *b = (batch){.items = (batch_item *)(void *)bytes, .count = count};
    b->ops = (redis_op *)(void *)(b->items + count);
    b->index = (uint32_t *)(void *)(b->ops + count);
    return true;
}

static void batch_deinit(batch *b, const redis_tier *tier)
{
    for (uint32_t i = 0; i < b->op_count; i++) {
        batch_item *item = &b->items[b->index[i]];
        redis_op_deinit(&b->ops[i]);
        full_key_deinit(&item->full);
        shared_block_destroy(item->block);
    }
    tier->alloc->release(tier->alloc->ctx, b->items, batch_bytes(b->count), _Alignof(batch_item));
}

static void batch_add(batch *b, const redis_tier *tier, uint32_t i)
{
    redis_op *op = &b->ops[b->op_count];
    prepare(op, tier, &b->items[i].full, &b->items[i].words);
    op->pick = b->ops[0].pick; /* one link of each server: half the system calls of two */
    b->index[b->op_count++] = i;
}

static void fail_items(redis_tier *tier, brisk_shared_item *items, uint32_t count, brisk_err err)
{
    for (uint32_t i = 0; i < count; i++) {
        items[i].err = failed(tier, err);
    }
}

void brisk_redis_get_many(brisk_tier *base, brisk_shared_item *items, uint32_t count)
{
    BRISK_ASSERT(count <= BRISK_SHARED_BATCH_MAX);
    redis_tier *tier = tier_of(base);
    batch b;
    brisk_err err = need_events(tier);
    if (err != BRISK_OK || count == 0 || !batch_init(&b, tier, count)) {
        fail_items(tier, items, count, err != BRISK_OK ? err : BRISK_ERR_NOMEM);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        batch_item *item = &b.items[i];
        item->block = NULL;
        items[i].err = full_key_init(&item->full, tier, items[i].key);
        if (items[i].err == BRISK_OK) {
            item->words =
                (redis_words){.count = 2, .words = {redis_word("GET"), key_word(&item->full)}};
            batch_add(&b, tier, i);
        }
    }
    uint64_t begin_ns = brisk_clock_now_ns(NULL);
    redis_router_run_many(tier->router, b.ops, b.op_count, begin_ns + tier->timeout_ns);
    tier_figures_time(&tier->figures, begin_ns);
    for (uint32_t i = 0; i < b.op_count; i++) {
        brisk_shared_item *item = &items[b.index[i]];
        item->err = read_answer(tier, &b.ops[i], item->key, item->hit);
    }
    batch_deinit(&b, tier);
}

static void add_put(batch *b, redis_tier *tier, brisk_shared_item *item, uint32_t i)
{
    batch_item *own = &b->items[i];
    own->block = NULL;
    if (!time_to_live(tier, item->opts, own->ttl)) {
        item->err = redis_remove(&tier->base, item->key);
        return;
    }
    shared_source source = {item->value, item->opts, now_of(tier).clear_generation};
    item->err = shared_entry_pack(&tier->sealer, item->key, &source, &own->block);
    if (item->err == BRISK_OK) {
        item->err = full_key_init(&own->full, tier, item->key);
    }
    if (item->err != BRISK_OK) {
        item->err = count_put(tier, item->err, item->value, own->block);
        shared_block_destroy(own->block);
        return;
    }
    own->words = set_words(&own->full, own->block, own->ttl, wants_nx(tier));
    batch_add(b, tier, i);
}

static brisk_err finish_put(redis_tier *tier, const brisk_shared_item *item, batch_item *own,
                            const redis_op *op)
{
    if (op->err == BRISK_OK && op->type == RESP_NULL && wants_nx(tier)) {
        return replace(tier, item->key, &own->full, own->block, own->ttl);
    }
    brisk_err err = judge_set(op);
    return err == BRISK_OK && tier->announce == BRISK_ANNOUNCE_ALL ? tell_key(tier, item->key)
                                                                   : err;
}

void brisk_redis_put_many(brisk_tier *base, brisk_shared_item *items, uint32_t count)
{
    BRISK_ASSERT(count <= BRISK_SHARED_BATCH_MAX);
    redis_tier *tier = tier_of(base);
    batch b;
    brisk_err err = need_events(tier);
    if (err != BRISK_OK || count == 0 || !batch_init(&b, tier, count)) {
        fail_items(tier, items, count, err != BRISK_OK ? err : BRISK_ERR_NOMEM);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        add_put(&b, tier, &items[i], i);
    }
    redis_router_run_many(tier->router, b.ops, b.op_count, deadline_of(tier));
    for (uint32_t i = 0; i < b.op_count; i++) {
        brisk_shared_item *item = &items[b.index[i]];
        batch_item *own = &b.items[b.index[i]];
        item->err =
            count_put(tier, finish_put(tier, item, own, &b.ops[i]), item->value, own->block);
    }
    batch_deinit(&b, tier);
}

/* --- clear -------------------------------------------------------------------------------- */

static brisk_err redis_clear(brisk_tier *base)
{
    redis_tier *tier = tier_of(base);
    brisk_err bumped = tier->events != NULL
                           ? redis_events_bump(tier->events, &(brisk_bump){.kind = BRISK_BUMP_ALL})
                           : BRISK_ERR_UNSUPPORTED;
    brisk_err swept = redis_sweep(tier->router, tier->prefix, tier->timeout_ns,
                                  brisk_clock_now_ns(NULL) + clear_most_ns);
    /* One of both is enough for misses; what remains lies there until it expires. */
    brisk_err err = bumped == BRISK_OK ? BRISK_OK : swept;
    return err == BRISK_OK ? BRISK_OK : failed(tier, err);
}

/* --- generations -------------------------------------------------------------------------- */

static brisk_err redis_generations(brisk_tier *base, const uint32_t *slots, uint32_t count,
                                   uint64_t *ret)
{
    return redis_events_generations(tier_of(base)->events, slots, count, ret);
}

static brisk_err redis_bump(brisk_tier *base, const brisk_bump *bump)
{
    redis_tier *tier = tier_of(base);
    brisk_err err = redis_events_bump(tier->events, bump);
    return err == BRISK_OK ? BRISK_OK : failed(tier, err);
}

static void redis_listen(brisk_tier *base, brisk_bump_fn fn, void *ctx, uint64_t since)
{
    redis_events_listen(tier_of(base)->events, fn, ctx, since);
}

/* --- figures, life ------------------------------------------------------------------------ */

static void redis_read_stats(brisk_tier *base, brisk_tier_stats *ret)
{
    tier_figures_read(&tier_of(base)->figures, ret);
}

static void redis_destroy(brisk_tier *base)
{
    redis_tier *tier = tier_of(base);
    redis_events_stop(tier->events);
    redis_router_destroy(tier->router);
    shared_sealer_deinit(&tier->sealer);
    tier_figures_deinit(&tier->figures);
    tier->alloc->release(tier->alloc->ctx, tier, sizeof *tier, _Alignof(redis_tier));
}

static const brisk_tier_ops ops_plain = {
    .get = redis_get,
    .put = redis_put,
    .remove = redis_remove,
    .clear = redis_clear,
    .read_stats = redis_read_stats,
    .destroy = redis_destroy,
};

static const brisk_tier_ops ops_events = {
    .get = redis_get,
    .put = redis_put,
    .remove = redis_remove,
    .clear = redis_clear,
    .read_stats = redis_read_stats,
    .destroy = redis_destroy,
    .generations = redis_generations,
    .bump = redis_bump,
    .listen = redis_listen,
};

static brisk_err check_opts(const brisk_redis_tier_opts *opts, brisk_errinfo *info)
{
    const char *wrong = NULL;
    if (opts->url == NULL) {
        wrong = "there is no URL";
    } else if (opts->unsealed ? opts->key != NULL
                              : opts->key == NULL || opts->key_size < BRISK_SHARED_KEY_MIN) {
        wrong = "a key of 16 bytes or more is needed (or none, and to trust the server)";
    } else if (opts->prefix != NULL &&
               (opts->prefix[0] == '\0' || strlen(opts->prefix) > PREFIX_MAX)) {
        wrong = "the prefix has 1 to 64 bytes";
    } else if (opts->connections > REDIS_LINKS_MAX) {
        wrong = "at most 16 connections";
    } else if (opts->name != NULL && strlen(opts->name) >= BRISK_TIER_NAME_MAX) {
        wrong = "the name is too long";
    } else if (opts->password != NULL && strlen(opts->password) >= REDIS_SECRET_MAX) {
        wrong = "the password is too long";
    }
    return wrong == NULL ? BRISK_OK
                         : brisk_errinfo_set(info, BRISK_ERR_INVALID, "redis tier: %s", wrong);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static brisk_err create_router(redis_tier *tier, const brisk_redis_tier_opts *opts,
                               brisk_errinfo *info)
{
    redis_url url;
    brisk_err err = redis_url_parse(opts->url, &url, info);
    if (err != BRISK_OK) {
        return err;
    }
    if (opts->password != NULL) {
        memcpy(url.password, opts->password, strlen(opts->password) + 1);
    }
    wire_tls_context *tls = NULL;
    if (url.tls) {
        wire_tls_opts tls_opts = {.ca_file = opts->tls_ca_file,
                                  .cert_file = opts->tls_cert_file,
                                  .key_file = opts->tls_key_file,
                                  .alloc = tier->alloc};
        err = wire_tls_context_create(&tls_opts, &tls, info);
    }
    if (err == BRISK_OK) {
        redis_router_opts router = {
            .url = &url,
            .tls = tls,
            .timeout_ns = tier->timeout_ns,
            .connect_timeout_ns = tier->connect_timeout_ns,
            .reply_bytes_max = tier->sealer.value_bytes_max + (1 << 20),
            .connections = opts->connections != 0 ? opts->connections : CONNECTIONS_DEFAULT,
            .alloc = tier->alloc,
        };
        err = redis_router_create(&router, &tier->router);
        if (err != BRISK_OK) {
            wire_tls_context_destroy(tls);
            (void)brisk_errinfo_set(info, err, "redis tier: %s", brisk_err_message(err));
        }
    }
    explicit_bzero(&url, sizeof url);
    return err;
}

static brisk_err set_up(redis_tier *tier, const brisk_redis_tier_opts *opts, brisk_errinfo *info)
{
    brisk_err err = tier_figures_init(&tier->figures, tier->alloc);
    if (err == BRISK_OK) {
        err = create_router(tier, opts, info);
        if (err != BRISK_OK) {
            return err;
        }
    }
    if (err == BRISK_OK && !opts->no_events) {
        char prefix[PREFIX_MAX + 2];
        memcpy(prefix, tier->prefix, tier->prefix_size);
        prefix[tier->prefix_size - 1] = '\0';
        redis_events_opts events = {.router = tier->router,
                                    .prefix = prefix,
                                    .timeout_ns = tier->timeout_ns,
                                    .alloc = tier->alloc};
        err = redis_events_start(&events, &tier->events);
    }
    return err == BRISK_OK ? BRISK_OK
                           : brisk_errinfo_set(info, err, "redis tier: %s", brisk_err_message(err));
}

brisk_err brisk_redis_tier_open(const brisk_redis_tier_opts *opts, brisk_tier **ret,
                                brisk_errinfo *info)
{
    BRISK_ASSERT(opts != NULL && ret != NULL);
    brisk_err err = check_opts(opts, info);
    if (err != BRISK_OK) {
        return err;
    }
    const brisk_alloc *alloc = opts->alloc != NULL ? opts->alloc : brisk_alloc_libc();
    redis_tier *tier = alloc->acquire(alloc->ctx, sizeof *tier, _Alignof(redis_tier));
    if (tier == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "redis tier: out of memory");
    }
    memset(tier, 0, sizeof *tier);
    tier->base = (brisk_tier){.ops = opts->no_events ? &ops_plain : &ops_events,
                              .flags = BRISK_TIER_SHARED | BRISK_TIER_SLOW};
    (void)snprintf(tier->base.name, sizeof tier->base.name, "%s",
                   opts->name != NULL ? opts->name : "redis");
    tier->prefix_size = (size_t)snprintf(tier->prefix, sizeof tier->prefix,
                                         "%s:", opts->prefix != NULL ? opts->prefix : "brisk");
    tier->alloc = alloc;
    tier->clock = opts->clock;
    tier->announce = opts->announce;
    tier->timeout_ns = or_default(opts->timeout_ns, timeout_default_ns);
    tier->connect_timeout_ns = or_default(opts->connect_timeout_ns, connect_default_ns);
    err = shared_sealer_init(&tier->sealer, opts->key, opts->key_size, alloc);
    BRISK_ASSERT(err == BRISK_OK); /* a plain mutex cannot fail on Linux */
    tier->sealer.value_bytes_max = or_default(opts->value_bytes_max, value_bytes_default);
    tier->sealer.zstd_level = opts->zstd_level == 0 ? 1 : opts->zstd_level;
    tier->sealer.zstd_level = opts->zstd_level < 0 ? 0 : tier->sealer.zstd_level;
    err = set_up(tier, opts, info);
    if (err != BRISK_OK) {
        redis_destroy(&tier->base);
        return err;
    }
    *ret = &tier->base;
    return BRISK_OK;
}
