/*
 * tier_redis_route.c -- the map of slots, redirections and batches, behind
 * engine/tier_redis_route.h.
 *
 * Nodes are only added (up to REDIS_NODES_MAX) and live as long as the router, so that a number
 * read from the map is always good for something: at worst for an old server, whose answer or
 * silence leads to a new map.
 *
 * The map is fetched with CLUSTER SLOTS: at first use, after MOVED, and after a node could not be
 * reached, but not more often than every REFRESH_NS.  Everything in the answer is checked; what
 * is nonsense is left out.
 *
 * Sources: Redis cluster specification, https://redis.io/docs/reference/cluster-spec; CRC16
 * (XMODEM: polynomial 0x1021, not reflected, starting with 0) computed by table.
 */
#include "engine/tier_redis_route.h"

#include <stdatomic.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/hash.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "engine/tier_redis_node.h"

enum { NO_NODE = UINT16_MAX, BATCH_LINKS = 64, BATCH_CALLS = 128 };

static const uint64_t refresh_ns = 200 * 1000000;

struct redis_router {
    const brisk_alloc *alloc;
    redis_url url;
    redis_node_opts node_opts;
    pthread_mutex_t nodes_lock;
    pthread_mutex_t refresh_lock;
    _Atomic uint64_t refreshed_ns; /* when the map was last fetched, or tried to be */
    _Atomic bool stale;
    _Atomic uint64_t redirects;
    _Atomic uint64_t refreshes;
    _Atomic uint32_t node_count;
    redis_node *_Atomic nodes[REDIS_NODES_MAX];
    _Atomic uint16_t slots[REDIS_SLOTS];
};

/* --- slots -------------------------------------------------------------------------------- */

static uint16_t crc_table[256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void fill_crc_table(void)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned crc = i << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
        }
        crc_table[i] = (uint16_t)crc;
    }
}

uint16_t redis_slot_of(const void *key, size_t size)
{
    const unsigned char *bytes = key;
    (void)pthread_once(&crc_once, fill_crc_table);
    /* Only what is in the first {} counts, if there is something in it. */
    const unsigned char *open = memchr(bytes, '{', size);
    if (open != NULL) {
        size_t rest = size - (size_t)(open + 1 - bytes);
        const unsigned char *close = memchr(open + 1, '}', rest);
        if (close != NULL && close != open + 1) {
            bytes = open + 1;
            size = (size_t)(close - bytes);
        }
    }
    unsigned crc = 0;
    for (size_t i = 0; i < size; i++) {
        crc = (crc << 8 ^ crc_table[(crc >> 8 ^ bytes[i]) & 0xff]) & 0xffff;
    }
    return (uint16_t)(crc % REDIS_SLOTS);
}

/* --- ops ---------------------------------------------------------------------------------- */

static void copy_text(redis_op *op, resp_bytes bytes)
{
    size_t size = bytes.size < REDIS_OP_TEXT - 1 ? bytes.size : REDIS_OP_TEXT - 1;
    for (size_t i = 0; i < size; i++) { /* it may end on a terminal */
        unsigned char c = bytes.data[i];
        op->text[i] = c >= ' ' && c < 127 ? (char)c : '?';
    }
    op->text[size] = '\0';
}

static void copy_bulk(redis_op *op, resp_bytes bytes)
{
    if (bytes.size <= REDIS_OP_SMALL) {
        memcpy(op->small, bytes.data, bytes.size);
        op->small_size = bytes.size;
        return;
    }
    op->block = shared_block_create(op->alloc, bytes.size);
    if (op->block == NULL) {
        op->call.err = BRISK_ERR_NOMEM;
        return;
    }
    memcpy(op->block->bytes, bytes.data, bytes.size);
    op->block->size = bytes.size;
}

static void take_reply(redis_call *call, const resp_replies *reply)
{
    redis_op *op = (redis_op *)call;
    const resp_node *node = resp_replies_value(reply);
    op->type = node->type;
    op->integer = node->integer;
    if (node->type == RESP_BULK) {
        copy_bulk(op, node->bytes);
    } else if (node->type == RESP_ERROR || node->type == RESP_STRING) {
        copy_text(op, node->bytes);
    }
    if (op->visit != NULL && node->count > 0) {
        op->visit(op, node);
    }
}

void redis_op_init(redis_op *op, const redis_router *router, const void *key, size_t size)
{
    op->call = (redis_call){.take = take_reply};
    op->encode = NULL;
    op->ctx = NULL;
    op->visit = NULL;
    op->visit_ctx = NULL;
    op->pick = brisk_hash64(key, size, 0);
    op->slot = router->url.cluster ? redis_slot_of(key, size) : 0;
    op->alloc = router->alloc;
    op->link = NULL;
    op->err = BRISK_OK;
    op->type = RESP_NULL;
    op->integer = 0;
    op->text[0] = '\0';
    op->block = NULL;
    op->small_size = 0;
}

void redis_op_deinit(redis_op *op)
{
    shared_block_destroy(op->block);
    op->block = NULL;
}

static void forget_reply(redis_op *op)
{
    redis_op_deinit(op);
    op->call.err = BRISK_OK;
    op->type = RESP_NULL;
    op->text[0] = '\0';
    op->small_size = 0;
}

static bool says(const redis_op *op, const char *word)
{
    return op->type == RESP_ERROR && strncmp(op->text, word, strlen(word)) == 0;
}

/* What an error reply means for whoever asked. */
static brisk_err judge(const redis_op *op)
{
    if (op->call.err != BRISK_OK) {
        return op->call.err;
    }
    if (op->type != RESP_ERROR) {
        return BRISK_OK;
    }
    if (says(op, "NOAUTH") || says(op, "NOPERM") || says(op, "WRONGPASS")) {
        return BRISK_ERR_PERMISSION;
    }
    if (says(op, "OOM")) {
        return BRISK_ERR_FULL;
    }
    return says(op, "ERR unknown command") ? BRISK_ERR_UNSUPPORTED : BRISK_ERR_IO;
}

/* --- nodes and map ------------------------------------------------------------------------ */

static redis_node *node_at(redis_router *router, uint32_t index)
{
    return atomic_load_explicit(&router->nodes[index], memory_order_acquire);
}

static uint32_t count_nodes(const redis_router *router)
{
    return atomic_load_explicit(&router->node_count, memory_order_acquire);
}

/* The number of the node at `address`, added when it is new; NO_NODE: no room. */
static uint16_t find_node(redis_router *router, const redis_address *address)
{
    (void)pthread_mutex_lock(&router->nodes_lock);
    uint32_t count = count_nodes(router);
    uint32_t i = 0;
    while (i < count) {
        const redis_address *a = &node_at(router, i)->address;
        if (a->port == address->port && strcmp(a->host, address->host) == 0) {
            break;
        }
        i++;
    }
    if (i == count) {
        redis_node *node =
            count < REDIS_NODES_MAX ? redis_node_create(address, router->alloc) : NULL;
        if (node == NULL) {
            i = NO_NODE;
        } else {
            atomic_store_explicit(&router->nodes[i], node, memory_order_release);
            atomic_store_explicit(&router->node_count, count + 1, memory_order_release);
        }
    }
    (void)pthread_mutex_unlock(&router->nodes_lock);
    return (uint16_t)i;
}

typedef struct map_reader {
    redis_router *router;
    const redis_address *asked;
    uint32_t found;
} map_reader;

/* [first, last, [host, port, ...], replicas ...] */
static void read_range(map_reader *reader, const resp_node *range)
{
    const resp_node *first = range + 1;
    const resp_node *last = range + 2;
    const resp_node *master = range + 3;
    if (range->type != RESP_ARRAY || range->count < 3 || first->type != RESP_INTEGER ||
        last->type != RESP_INTEGER || master->type != RESP_ARRAY || master->count < 2) {
        return;
    }
    const resp_node *host = master + 1;
    const resp_node *port = master + 2;
    bool unknown = host->type == RESP_NULL || (host->type == RESP_BULK && host->bytes.size == 0);
    if (first->integer < 0 || last->integer < first->integer || last->integer >= REDIS_SLOTS ||
        port->type != RESP_INTEGER || port->integer < 1 || port->integer > UINT16_MAX ||
        (!unknown && (host->type != RESP_BULK || host->bytes.size >= REDIS_HOST_MAX))) {
        return;
    }
    redis_address address = {.port = (uint16_t)port->integer};
    if (unknown) { /* it does not know its own name: that by which it was found */
        memcpy(address.host, reader->asked->host, sizeof address.host);
    } else {
        memcpy(address.host, host->bytes.data, host->bytes.size);
    }
    uint16_t node = find_node(reader->router, &address);
    for (int64_t slot = first->integer; node != NO_NODE && slot <= last->integer; slot++) {
        atomic_store_explicit(&reader->router->slots[slot], node, memory_order_relaxed);
        reader->found++;
    }
}

static void read_map(redis_op *op, const resp_node *node)
{
    const resp_node *range = node + 1;
    for (uint32_t i = 0; node->type == RESP_ARRAY && i < node->count; i++) {
        read_range(op->visit_ctx, range);
        range += range->nodes;
    }
}

void redis_encode_words(const redis_op *op, resp_writer *out)
{
    const redis_words *words = op->ctx;
    resp_put_array(out, words->count);
    for (uint32_t i = 0; i < words->count; i++) {
        resp_put_bulk(out, words->words[i].data, words->words[i].size);
    }
}

/* One command to one node; op->err says how it went. */
static void ask_node(redis_router *router, redis_node *node, redis_op *op, bool asking,
                     uint64_t deadline_ns)
{
    redis_link *link;
    op->err = redis_node_link(node, &router->node_opts, op->pick, &deadline_ns, &link);
    if (op->err != BRISK_OK) {
        return;
    }
    forget_reply(op);
    redis_call ask = {.take = NULL};
    redis_call *calls[2] = {&ask, &op->call};
    resp_writer *out = redis_link_begin(link);
    if (asking) {
        resp_put_array(out, 1);
        resp_put_text(out, "ASKING");
    }
    op->encode(op, out);
    redis_link_commit(link, asking ? calls : calls + 1, asking ? 2 : 1, deadline_ns);
    if (asking) {
        redis_link_wait(link, &ask, deadline_ns);
    }
    redis_link_wait(link, &op->call, deadline_ns);
    op->err = judge(op);
    if (says(op, "READONLY")) {
        redis_link_break(link, BRISK_ERR_IO); /* it is a replica now: look again */
    }
    redis_link_unref(link);
}

/* Ask the nodes one after the other for the map. */
static brisk_err fetch_map(redis_router *router, uint64_t deadline_ns)
{
    brisk_err err = BRISK_ERR_NOT_FOUND;
    uint32_t count = count_nodes(router);
    for (uint32_t i = 0; i < count && brisk_clock_now_ns(NULL) < deadline_ns; i++) {
        redis_node *node = node_at(router, i);
        map_reader reader = {.router = router, .asked = &node->address};
        redis_op op;
        redis_words words = {.count = 2, .words = {redis_word("CLUSTER"), redis_word("SLOTS")}};
        redis_op_init(&op, router, "", 0);
        op.encode = redis_encode_words;
        op.ctx = &words;
        op.visit = read_map;
        op.visit_ctx = &reader;
        ask_node(router, node, &op, false, deadline_ns);
        err = op.err;
        redis_op_deinit(&op);
        if (err == BRISK_OK && reader.found > 0) {
            return BRISK_OK;
        }
        err = err == BRISK_OK ? BRISK_ERR_NOT_FOUND : err;
    }
    return err;
}

/* A newer map, unless there is one of just now. */
static brisk_err refresh(redis_router *router, uint64_t deadline_ns)
{
    brisk_err err = BRISK_OK;
    (void)pthread_mutex_lock(&router->refresh_lock);
    uint64_t now = brisk_clock_now_ns(NULL);
    uint64_t last = atomic_load_explicit(&router->refreshed_ns, memory_order_relaxed);
    if (last == 0 || now - last >= refresh_ns) {
        atomic_store_explicit(&router->stale, false, memory_order_relaxed);
        atomic_store_explicit(&router->refreshed_ns, now, memory_order_relaxed);
        atomic_fetch_add_explicit(&router->refreshes, 1, memory_order_relaxed);
        err = fetch_map(router, deadline_ns);
    }
    (void)pthread_mutex_unlock(&router->refresh_lock);
    return err;
}

/* The node of a slot; NULL and *err when nobody has it. */
static redis_node *route(redis_router *router, uint16_t slot, uint64_t deadline_ns, brisk_err *err)
{
    if (!router->url.cluster) {
        return node_at(router, 0);
    }
    if (atomic_load_explicit(&router->stale, memory_order_relaxed)) {
        (void)refresh(router, deadline_ns);
    }
    uint16_t index = atomic_load_explicit(&router->slots[slot], memory_order_relaxed);
    if (index == NO_NODE) {
        *err = refresh(router, deadline_ns);
        index = atomic_load_explicit(&router->slots[slot], memory_order_relaxed);
    }
    if (index != NO_NODE) {
        return node_at(router, index);
    }
    *err = *err == BRISK_OK || *err == BRISK_ERR_NOT_FOUND ? BRISK_ERR_IO : *err;
    return NULL;
}

static void set_stale(redis_router *router)
{
    atomic_store_explicit(&router->stale, router->url.cluster, memory_order_relaxed);
}

/* "MOVED 3999 127.0.0.1:6381", "ASK ...": the node that it names, or NULL. */
static redis_node *redirected(redis_router *router, const redis_op *op, bool *asking)
{
    *asking = says(op, "ASK ");
    if ((!*asking && !says(op, "MOVED ")) || !router->url.cluster) {
        return NULL;
    }
    const char *text = strchr(op->text, ' ') + 1;
    char *end;
    unsigned long slot = strtoul(text, &end, 10);
    redis_address address;
    if (end == text || *end != ' ' || slot >= REDIS_SLOTS ||
        !redis_address_parse(end + 1, strlen(end + 1), 0, &address)) {
        return NULL;
    }
    if (address.host[0] == '\0') { /* the one that answered, on another port */
        redis_node *from =
            node_at(router, atomic_load_explicit(&router->slots[op->slot], memory_order_relaxed));
        memcpy(address.host, from->address.host, sizeof address.host);
    }
    uint16_t node = find_node(router, &address);
    if (node == NO_NODE) {
        return NULL;
    }
    if (!*asking) {
        atomic_store_explicit(&router->slots[slot], node, memory_order_relaxed);
        set_stale(router);
    }
    atomic_fetch_add_explicit(&router->redirects, 1, memory_order_relaxed);
    return node_at(router, node);
}

static void follow(redis_router *router, redis_op *op, redis_node *node, bool asking,
                   uint64_t deadline_ns)
{
    for (uint32_t i = 0; node != NULL && i < REDIS_REDIRECTS_MAX; i++) {
        ask_node(router, node, op, asking, deadline_ns);
        node = redirected(router, op, &asking);
    }
    if (op->err != BRISK_OK && op->type != RESP_ERROR) {
        set_stale(router); /* it cannot be reached: another may have its slots now */
    }
}

static void note_misuse(const redis_router *router, redis_op *op)
{
    if (!router->url.cluster && says(op, "MOVED ")) {
        op->err = BRISK_ERR_UNSUPPORTED;
        brisk_log(BRISK_LOG_WARNING, "engine",
                  "redis: %s:%u is part of a cluster: its URL begins with redis-cluster://",
                  router->url.seeds[0].host, router->url.seeds[0].port);
    }
}

void redis_router_run(redis_router *router, redis_op *op, uint64_t deadline_ns)
{
    redis_node *node = route(router, op->slot, deadline_ns, &op->err);
    if (node != NULL) {
        follow(router, op, node, false, deadline_ns);
        note_misuse(router, op);
    }
}

/* --- batches ------------------------------------------------------------------------------ */

/* Give every op its link; those that have none have failed. */
static uint32_t route_all(redis_router *router, redis_op *ops, uint32_t count,
                          redis_link *links[BATCH_LINKS], uint64_t *deadline_ns)
{
    uint32_t link_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        redis_link *link = NULL;
        ops[i].link = NULL;
        redis_node *node = route(router, ops[i].slot, *deadline_ns, &ops[i].err);
        if (node != NULL) {
            ops[i].err = redis_node_link(node, &router->node_opts, ops[i].pick, deadline_ns, &link);
        }
        if (link == NULL) {
            if (node != NULL) {
                set_stale(router);
            }
            continue;
        }
        uint32_t l = 0;
        while (l < link_count && links[l] != link) {
            l++;
        }
        if (l == BATCH_LINKS) { /* too many servers for one batch: alone, later */
            redis_link_unref(link);
            ops[i].err = BRISK_ERR_CONFLICT;
            continue;
        }
        if (l == link_count) {
            links[link_count++] = link;
        } else {
            redis_link_unref(link);
        }
        ops[i].link = link;
    }
    return link_count;
}

static void send_all(redis_op *ops, uint32_t count, redis_link *link, uint64_t deadline_ns)
{
    redis_call *calls[BATCH_CALLS];
    uint32_t waiting = 0;
    resp_writer *out = redis_link_begin(link);
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].link != link) {
            continue;
        }
        if (waiting == BATCH_CALLS) {
            redis_link_commit(link, calls, waiting, deadline_ns);
            out = redis_link_begin(link);
            waiting = 0;
        }
        forget_reply(&ops[i]);
        ops[i].encode(&ops[i], out);
        calls[waiting++] = &ops[i].call;
    }
    redis_link_commit(link, calls, waiting, deadline_ns);
}

void redis_router_run_many(redis_router *router, redis_op *ops, uint32_t count,
                           uint64_t deadline_ns)
{
    redis_link *links[BATCH_LINKS];
    uint32_t link_count = route_all(router, ops, count, links, &deadline_ns);
    for (uint32_t i = 0; i < link_count; i++) {
        send_all(ops, count, links[i], deadline_ns);
    }
    for (uint32_t i = 0; i < count; i++) { /* of each link in order, as it wants */
        if (ops[i].link != NULL) {
            redis_link_wait(ops[i].link, &ops[i].call, deadline_ns);
            ops[i].err = judge(&ops[i]);
        }
    }
    for (uint32_t i = 0; i < link_count; i++) {
        redis_link_unref(links[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        bool asking;
        redis_node *node = ops[i].link != NULL ? redirected(router, &ops[i], &asking) : NULL;
        if (node != NULL) {
            follow(router, &ops[i], node, asking, deadline_ns);
        } else if (ops[i].err == BRISK_ERR_CONFLICT) {
            redis_router_run(router, &ops[i], deadline_ns);
        }
        note_misuse(router, &ops[i]);
    }
}

void redis_router_each(redis_router *router, redis_each_fn fn, void *ctx, uint64_t deadline_ns)
{
    bool has_slots[REDIS_NODES_MAX] = {false};
    brisk_err err = BRISK_OK;
    (void)route(router, 0, deadline_ns, &err);
    for (uint32_t i = 0; i < REDIS_SLOTS && router->url.cluster; i++) {
        uint16_t node = atomic_load_explicit(&router->slots[i], memory_order_relaxed);
        if (node != NO_NODE) {
            has_slots[node] = true;
        }
    }
    uint32_t count = count_nodes(router);
    for (uint32_t i = 0; i < count; i++) {
        if (has_slots[i] || !router->url.cluster) {
            fn(ctx, router, i);
        }
    }
}

void redis_router_run_on(redis_router *router, uint32_t node, redis_op *op, uint64_t deadline_ns)
{
    ask_node(router, node_at(router, node), op, false, deadline_ns);
}

brisk_err redis_router_open(redis_router *router, uint16_t slot, redis_link **ret,
                            brisk_errinfo *info)
{
    brisk_err err = BRISK_ERR_IO;
    uint64_t deadline_ns = brisk_clock_now_ns(NULL) + router->node_opts.link.connect_timeout_ns;
    const redis_node *node = route(router, slot, deadline_ns, &err);
    if (node == NULL) {
        return brisk_errinfo_set(info, err, "no server of the cluster has slot %u", slot);
    }
    redis_link_opts opts = router->node_opts.link;
    opts.address = &node->address;
    err = redis_link_open(&opts, ret, info);
    if (err != BRISK_OK) {
        set_stale(router);
    }
    return err;
}

/* --- life --------------------------------------------------------------------------------- */

brisk_err redis_router_create(const redis_router_opts *opts, redis_router **ret)
{
    const brisk_alloc *alloc = opts->alloc;
    redis_router *router = alloc->acquire(alloc->ctx, sizeof *router, _Alignof(redis_router));
    if (router == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(router, 0, sizeof *router);
    router->alloc = alloc;
    router->url = *opts->url;
    router->node_opts.connections = opts->connections;
    router->node_opts.link = (redis_link_opts){
        .tls = opts->tls,
        .user = router->url.user,
        .password = router->url.password,
        .db = router->url.db,
        .connect_timeout_ns = opts->connect_timeout_ns,
        .timeout_ns = opts->timeout_ns,
        .reply_bytes_max = opts->reply_bytes_max,
        .alloc = alloc,
    };
    int failed = pthread_mutex_init(&router->nodes_lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    failed = pthread_mutex_init(&router->refresh_lock, NULL);
    BRISK_ASSERT(failed == 0);
    for (uint32_t i = 0; i < REDIS_SLOTS; i++) {
        atomic_init(&router->slots[i], NO_NODE);
    }
    for (uint32_t i = 0; i < router->url.seed_count; i++) {
        if (find_node(router, &router->url.seeds[i]) == NO_NODE) {
            router->node_opts.link.tls = NULL;
            redis_router_destroy(router);
            return BRISK_ERR_NOMEM;
        }
    }
    *ret = router;
    return BRISK_OK;
}

void redis_router_destroy(redis_router *router)
{
    if (router == NULL) {
        return;
    }
    uint32_t count = count_nodes(router);
    for (uint32_t i = 0; i < count; i++) {
        redis_node_destroy(node_at(router, i), router->alloc);
    }
    wire_tls_context_destroy(router->node_opts.link.tls);
    (void)pthread_mutex_destroy(&router->nodes_lock);
    (void)pthread_mutex_destroy(&router->refresh_lock);
    explicit_bzero(&router->url, sizeof router->url);
    router->alloc->release(router->alloc->ctx, router, sizeof *router, _Alignof(redis_router));
}

const brisk_alloc *redis_router_alloc(const redis_router *router)
{
    return router->alloc;
}

void redis_router_read_stats(const redis_router *router, redis_router_stats *ret)
{
    *ret = (redis_router_stats){
        .connects = atomic_load_explicit(&router->node_opts.connects, memory_order_relaxed),
        .connect_failures =
            atomic_load_explicit(&router->node_opts.connect_failures, memory_order_relaxed),
        .redirects = atomic_load_explicit(&router->redirects, memory_order_relaxed),
        .refreshes = atomic_load_explicit(&router->refreshes, memory_order_relaxed),
        .nodes = count_nodes(router),
    };
}
