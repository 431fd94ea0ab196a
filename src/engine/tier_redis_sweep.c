/*
 * tier_redis_sweep.c -- SCAN and UNLINK behind engine/tier_redis_sweep.h.
 *
 * The names of a page live in the reader's buffer only as long as the reply is looked at; so the
 * page is copied, as (size, bytes) one behind the other, and then dropped in batches.
 */
#include "engine/tier_redis_sweep.h"

#include <string.h>

#include <brisk/clock.h>

#include "base/assert.h"

enum { CURSOR_MAX = 24, DROP_BATCH = 64 };

typedef struct sweep {
    redis_router *router;
    const brisk_alloc *alloc;
    char pattern[2 * REDIS_SWEEP_PREFIX_MAX + 2];
    uint64_t timeout_ns;
    uint64_t until_ns;
    brisk_err err; /* the first */
    char cursor[CURSOR_MAX];
    resp_writer keys; /* the page */
} sweep;

static void set_err(sweep *s, brisk_err err)
{
    s->err = s->err == BRISK_OK ? err : s->err;
}

/* [cursor, [key, key ...]] */
static void copy_page(redis_op *op, const resp_node *node)
{
    sweep *s = op->visit_ctx;
    if (node->type != RESP_ARRAY || node->count != 2 || node[1].type != RESP_BULK ||
        node[1].bytes.size >= CURSOR_MAX || node[2].type != RESP_ARRAY) {
        set_err(s, BRISK_ERR_CORRUPT);
        return;
    }
    memcpy(s->cursor, node[1].bytes.data, node[1].bytes.size);
    s->cursor[node[1].bytes.size] = '\0';
    for (uint32_t i = 0; i < node[2].count && node[3 + i].type == RESP_BULK; i++) {
        uint64_t size = node[3 + i].bytes.size;
        resp_put_raw(&s->keys, &size, sizeof size);
        resp_put_raw(&s->keys, node[3 + i].bytes.data, node[3 + i].bytes.size);
    }
    set_err(s, s->keys.err);
}

static uint64_t deadline(const sweep *s)
{
    return brisk_clock_now_ns(NULL) + s->timeout_ns;
}

static void drop_some(sweep *s, redis_op *ops, redis_words *words, uint32_t count)
{
    redis_router_run_many(s->router, ops, count, deadline(s));
    for (uint32_t i = 0; i < count; i++) {
        set_err(s, ops[i].err);
        redis_op_deinit(&ops[i]);
        words[i].count = 0;
    }
}

static void drop_page(sweep *s)
{
    static const char unlink[] = "UNLINK";
    size_t bytes = DROP_BATCH * (sizeof(redis_op) + sizeof(redis_words));
    redis_op *ops = s->alloc->acquire(s->alloc->ctx, bytes, _Alignof(redis_op));
    if (ops == NULL) {
        set_err(s, BRISK_ERR_NOMEM);
        return;
    }
    redis_words *words = (redis_words *)(void *)(ops + DROP_BATCH);
    uint32_t count = 0;
    for (size_t at = 0; at < s->keys.size && s->err == BRISK_OK;) {
        uint64_t size;
        memcpy(&size, s->keys.data + at, sizeof size);
        at += sizeof size;
        resp_bytes key = {s->keys.data + at, (size_t)size};
        at += (size_t)size;
        words[count] = (redis_words){.count = 2, .words = {redis_word(unlink), key}};
        redis_op_init(&ops[count], s->router, key.data, key.size);
        ops[count].encode = redis_encode_words;
        ops[count].ctx = &words[count];
        if (++count == DROP_BATCH || at == s->keys.size) {
            drop_some(s, ops, words, count);
            count = 0;
        }
    }
    s->alloc->release(s->alloc->ctx, ops, bytes, _Alignof(redis_op));
}

static void sweep_node(void *ctx, redis_router *router, uint32_t node)
{
    sweep *s = ctx;
    memcpy(s->cursor, "0", 2);
    do {
        char cursor[CURSOR_MAX]; /* the answer overwrites the other one */
        memcpy(cursor, s->cursor, sizeof cursor);
        redis_words words = {.count = 6,
                             .words = {redis_word("SCAN"), redis_word(cursor), redis_word("MATCH"),
                                       redis_word(s->pattern), redis_word("COUNT"),
                                       redis_word("1000")}};
        redis_op op;
        redis_op_init(&op, router, "", 0);
        op.encode = redis_encode_words;
        op.ctx = &words;
        op.visit = copy_page;
        op.visit_ctx = s;
        resp_writer_reset(&s->keys, SIZE_MAX);
        redis_router_run_on(router, node, &op, deadline(s));
        set_err(s, op.err);
        redis_op_deinit(&op);
        drop_page(s);
        if (brisk_clock_now_ns(NULL) > s->until_ns) {
            set_err(s, BRISK_ERR_DEADLINE);
        }
    } while (s->err == BRISK_OK && strcmp(s->cursor, "0") != 0);
}

brisk_err redis_sweep(redis_router *router, const char *prefix, uint64_t timeout_ns,
                      uint64_t until_ns)
{
    sweep s = {.router = router,
               .alloc = redis_router_alloc(router),
               .timeout_ns = timeout_ns,
               .until_ns = until_ns};
    size_t size = 0;
    BRISK_ASSERT(strlen(prefix) <= REDIS_SWEEP_PREFIX_MAX);
    for (; *prefix != '\0'; prefix++) {
        if (strchr("*?[]\\^-", *prefix) != NULL) { /* what a pattern would take as special */
            s.pattern[size++] = '\\';
        }
        s.pattern[size++] = *prefix;
    }
    s.pattern[size++] = '*';
    s.pattern[size] = '\0';
    resp_writer_init(&s.keys, s.alloc, 0);
    redis_router_each(router, sweep_node, &s, deadline(&s));
    resp_writer_deinit(&s.keys);
    return s.err;
}
