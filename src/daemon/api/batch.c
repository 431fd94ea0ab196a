/*
 * batch.c -- POST /v1/batch: many jobs in one request, answered in the order in which they are done.
 *
 *     [{"workload": ...}, {"workload": ...}, {"entry": "key"}]      or {"jobs": [...]}
 *
 *     {"index": 1, "status": 200, "job": "...", "type": "application/json", "result": {...}}
 *     {"index": 0, "status": 422, "error": {"code": "invalid", "message": "..."}}
 *
 * A line each (application/x-ndjson), or with Accept: application/json one array.  A result that is JSON
 * stands in its line as it is, other bytes as base64; one that is too large for the client's connection
 * (1 MiB, 256 KiB, 64 KiB by its bandwidth) is named by its URL.  Each job may fail on its own.
 *
 * Every job that is not over has a call of its own in its entry's list of waiters; what is done waits
 * in the batch until the client keeps up.  When the client goes, its jobs that are not over are
 * cancelled: nobody else knows them.
 *
 * Invariant: a batch is alive as long as its call or one of its items' calls is.
 *
 * Threads: the worker's, but for away.
 */
#include "daemon/api/jobs_internal.h"

#include <string.h>

#include "daemon/api/answer.h"
#include "daemon/http/bandwidth.h"

typedef struct batch_item {
    struct batch *batch;
    job_entry *entry; /* with a reference; NULL: it was refused, or is no job */
    job_refusal refusal;
    brisk_form_part found;      /* {"entry": ...}: its bytes */
    const brisk_json_node *key; /* and its key, in the body's tree */
    bool written;
    struct batch_item *next_ready;
} batch_item;

typedef struct batch {
    job_call *call; /* NULL: the client is gone */
    jobs_table *jobs;
    job_body *body; /* with its tree, and the items */
    batch_item *items;
    uint32_t count;
    uint32_t written;
    uint32_t holders; /* the call and those of the items */
    size_t inline_max;
    uint64_t used; /* bytes of entries, all together */
    bool as_array;
    bool choked;
    bool ended;
    job_refusal refusal; /* of all */
    batch_item *ready_first;
    batch_item *ready_last;
} batch;

/* --- life --------------------------------------------------------------------------------- */

static void let_go(batch *b)
{
    if (--b->holders > 0) {
        return;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        job_entry_unref(b->items[i].entry);
    }
    job_body_unref(b->body);
    jobs_give(b->jobs, b, sizeof *b, _Alignof(batch));
}

/* The exchange is gone, or the node ends. */
static void dropped(job_call *call)
{
    batch *b = call->ctx;
    b->call = NULL;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].entry != NULL && !b->items[i].written) {
            (void)job_cancel(b->items[i].entry);
        }
    }
    let_go(b);
}

static void item_dropped(job_call *call)
{
    batch_item *item = call->ctx;
    let_go(item->batch);
}

/* --- lines -------------------------------------------------------------------------------- */

static void add_base64(brisk_str *text, const unsigned char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= i + 2 < size ? data[i + 2] : 0;
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                        i + 1 < size ? digits[bits >> 6 & 63] : '=',
                        i + 2 < size ? digits[bits & 63] : '='};
        brisk_str_append(text, four, sizeof four);
    }
}

/* JSON as it stands, but in one line: outside of strings a line's end is white space, and inside there is none. */
static void add_json(brisk_str *text, const char *data, size_t size)
{
    while (size > 0) {
        size_t line = 0;
        while (line < size && data[line] != '\n' && data[line] != '\r') {
            line++;
        }
        brisk_str_append(text, data, line);
        line += line < size ? 1 : 0;
        data += line;
        size -= line;
    }
}

static void add_bytes(brisk_str *text, const char *type, const void *data, size_t size)
{
    bool is_json = strncmp(type, "application/json", 16) == 0 && size > 0;
    brisk_str_add(text, is_json ? ",\"result\":" : ",\"base64\":\"");
    if (is_json) {
        add_json(text, data, size);
    } else {
        add_base64(text, data, size);
        brisk_str_add(text, "\"");
    }
}

/* {"code": ..., "message": ...} */
static void add_error(brisk_str *text, const char *code, const char *message)
{
    brisk_json json;
    brisk_str_add(text, ",\"error\":");
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_str(&json, "code", code);
    brisk_json_str(&json, "message", message);
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json); /* the text keeps it */
    (void)err;
    if (brisk_str_err(text) == BRISK_OK) {
        brisk_str_cut(text, brisk_str_size(text) - 1); /* the line's end */
    }
}

/* What a job ended with. */
static void add_outcome(const batch *b, const job_entry *e, brisk_str *text)
{
    if (e->value == NULL) {
        add_error(text, brisk_err_name(e->err), e->error_text);
        return;
    }
    uint64_t size = brisk_value_size(e->value);
    const void *data = brisk_value_data(e->value);
    brisk_str_printf(text, ",\"type\":\"%s\",\"bytes\":%llu,\"etag\":\"%.*s\"", e->type,
                     (unsigned long long)size, e->etag[0] != '\0' ? (int)strlen(e->etag) - 2 : 0,
                     e->etag + 1);
    if (data != NULL && size <= b->inline_max) {
        add_bytes(text, e->type, data, (size_t)size);
    } else {
        brisk_str_printf(text, ",\"url\":\"/v1/jobs/%s/result\"", e->id);
    }
}

/* What {"entry": ...} asked for; where it can be had when it is too large for a line. */
static void add_entry(const batch *b, const batch_item *item, brisk_str *text)
{
    brisk_str_printf(text, ",\"bytes\":%zu", item->found.size);
    if (item->found.size <= b->inline_max) {
        add_bytes(text, "", item->found.data, item->found.size);
        return;
    }
    brisk_str_add(text, ",\"url\":\"/v1/cache/");
    for (size_t i = 0; i < item->key->size; i++) {
        brisk_str_printf(text, "%02x", (unsigned char)item->key->text[i]);
    }
    brisk_str_add(text, "?encoding=hex\"");
}

static void add_item(const batch *b, const batch_item *item, brisk_str *text)
{
    const job_entry *e = item->entry;
    uint32_t index = (uint32_t)(item - b->items);
    uint16_t status = item->refusal.status != 0 ? item->refusal.status
                      : e != NULL               ? e->error_status
                                                : 200;
    brisk_str_printf(text, "{\"index\":%u,\"status\":%u", index, status);
    if (item->refusal.status != 0) {
        if (item->refusal.retry_after_s != 0) {
            brisk_str_printf(text, ",\"retry_after_s\":%u", item->refusal.retry_after_s);
        }
        add_error(text, item->refusal.code, item->refusal.text);
    } else if (e != NULL) {
        brisk_str_printf(text, ",\"job\":\"%s\"", e->id);
        add_outcome(b, e, text);
    } else {
        add_entry(b, item, text);
    }
    brisk_str_add(text, "}");
}

/* One item; false: the client does not keep up, or the answer was broken off. */
static bool write_item(batch *b, batch_item *item)
{
    exchange *x = b->call->x;
    brisk_str text;
    brisk_str_init(&text, b->jobs->alloc, JOBS_TEXT_MAX);
    brisk_str_add(&text, b->as_array ? (b->written == 0 ? "[" : ",\n") : "");
    add_item(b, item, &text);
    brisk_str_add(&text, b->as_array ? "" : "\n");
    bool good = brisk_str_err(&text) == BRISK_OK;
    if (good) {
        good = exchange_write(x, brisk_str_text(&text), brisk_str_size(&text));
        b->choked = !good;
    } else {
        exchange_abort(x); /* whoever reads must not take this for all */
    }
    brisk_str_deinit(&text);
    item->written = true;
    b->written++;
    return good;
}

/* What is ready, as long as the client keeps up; the end after the last one. */
static void write_ready(batch *b)
{
    while (b->call != NULL && b->call->x != NULL && b->ready_first != NULL && !b->choked) {
        batch_item *item = b->ready_first;
        b->ready_first = item->next_ready;
        b->ready_last = b->ready_first != NULL ? b->ready_last : NULL;
        (void)write_item(b, item);
    }
    if (b->call != NULL && b->call->x != NULL && b->written == b->count && !b->ended) {
        const char *end = b->count == 0 ? "[]\n" : "]\n";
        bool sent = !b->as_array || exchange_write(b->call->x, end, strlen(end));
        (void)sent; /* nothing follows */
        b->ended = true;
        exchange_finish(b->call->x);
    }
}

static void add_ready(batch *b, batch_item *item)
{
    item->next_ready = NULL;
    *(b->ready_last != NULL ? &b->ready_last->next_ready : &b->ready_first) = item;
    b->ready_last = item;
}

/* --- admission ---------------------------------------------------------------------------- */

/* {"entry": "key"}: the bytes of the cache's entry. */
static void admit_entry(batch *b, batch_item *item, const brisk_json_node *node)
{
    brisk_errinfo info = {.text = ""};
    item->key = brisk_json_get(node, "entry");
    brisk_err err = job_entry_bytes(b->jobs, node, b->body->arena, &b->used, &item->found, &info);
    if (err != BRISK_OK) {
        uint16_t status = err == BRISK_ERR_NOT_FOUND ? 404 : err == BRISK_ERR_LIMIT ? 413 : 400;
        job_refuse(&item->refusal, status, status == 404 ? "not_found" : "invalid", "%s",
                   info.text);
    }
}

static void admit_item(batch *b, batch_item *item, const brisk_json_node *node,
                       const brisk_form_part *parts, uint32_t part_count)
{
    jobs_table *j = b->jobs;
    if (brisk_json_get(node, "entry") != NULL) {
        admit_entry(b, item, node);
        return;
    }
    (void)pthread_mutex_lock(&j->lock);
    job_entry *e = jobs_new_entry(j);
    (void)pthread_mutex_unlock(&j->lock);
    if (e == NULL) {
        job_refuse(&item->refusal, 503, "no_memory", "out of memory");
        return;
    }
    item->entry = e;
    e->item.client = b->call->client;
    e->parent = b->call->parent;
    /* Relaxed: the batch has a reference.  The request points into the body and its tree. */
    atomic_fetch_add_explicit(&b->body->refs, 1, memory_order_relaxed);
    e->body = b->body;
    if (brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 16384}, &e->arena) != BRISK_OK) {
        job_refuse(&item->refusal, 503, "no_memory", "out of memory");
        job_refuse_entry(e, &item->refusal);
        return;
    }
    job_admit(e, node, parts, part_count, &item->refusal);
}

/* The list of items, or NULL with a refusal. */
static const brisk_json_node *find_list(batch *b, const brisk_json_node *root)
{
    const brisk_json_node *list =
        root->kind == BRISK_JSON_ARRAY ? root : brisk_json_get(root, "jobs");
    if (list == NULL || list->kind != BRISK_JSON_ARRAY) {
        job_refuse(&b->refusal, 400, "invalid",
                   "a list of jobs is expected: [{\"workload\": ...}]");
        return NULL;
    }
    if (list->count > JOBS_BATCH_MAX) {
        job_refuse(&b->refusal, 413, "too_large", "more than %d jobs", JOBS_BATCH_MAX);
        return NULL;
    }
    return list;
}

static void admit_all(job_call *call)
{
    batch *b = call->ctx;
    const brisk_json_node *root = NULL;
    brisk_form_part *parts = NULL;
    uint32_t part_count = 0;
    if (brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 65536}, &b->body->arena) !=
        BRISK_OK) {
        job_refuse(&b->refusal, 503, "no_memory", "out of memory");
        return;
    }
    if (!job_read_body(b->body, call->boundary, b->body->arena, &root, &parts, &part_count,
                       &b->refusal)) {
        return;
    }
    const brisk_json_node *list = find_list(b, root);
    if (list == NULL) {
        return;
    }
    b->items = brisk_arena_calloc(b->body->arena, (size_t)list->count + 1, sizeof *b->items);
    if (b->items == NULL) {
        job_refuse(&b->refusal, 503, "no_memory", "out of memory");
        return;
    }
    for (const brisk_json_node *node = list->child; node != NULL; node = node->next) {
        batch_item *item = &b->items[b->count++];
        item->batch = b;
        admit_item(b, item, node, parts, part_count);
    }
}

/* --- home --------------------------------------------------------------------------------- */

/* In the worker's thread: an item's job is over. */
static void item_over(job_call *call)
{
    batch_item *item = call->ctx;
    add_ready(item->batch, item);
    write_ready(item->batch);
}

/* Ready now, or when its job is over. */
static void await_item(batch *b, batch_item *item)
{
    if (item->refusal.status == 0 && item->entry != NULL) {
        job_call *waiter = job_call_waiter(b->call, item->entry);
        if (waiter != NULL) {
            waiter->ctx = item;
            waiter->over = item_over;
            waiter->dropped = item_dropped;
            b->holders++;
            if (job_call_wait(waiter)) {
                return;
            }
            job_call_free(waiter);
        } else if (item->refusal.status == 0) {
            job_refuse(&item->refusal, 503, "no_memory", "out of memory");
        }
    }
    add_ready(b, item);
}

static void admitted(job_call *call)
{
    batch *b = call->ctx;
    exchange *x = call->x;
    if (b->refusal.status != 0) {
        job_answer_refusal(x, &b->refusal);
        return;
    }
    const char *type = b->as_array ? "application/json" : "application/x-ndjson";
    http_field fields[] = {
        {{"content-type", 12}, {type, strlen(type)}},
        {{"cache-control", 13}, {"no-store", 8}},
    };
    static const size_t inline_max[] = {
        [BANDWIDTH_HIGH] = 1 << 20, [BANDWIDTH_MEDIUM] = 1 << 18, [BANDWIDTH_LOW] = 1 << 16};
    b->inline_max = inline_max[bandwidth_class(x)];
    http_answer answer = {
        .status = 200, .fields = fields, .field_count = 2, .length = HTTP_LENGTH_UNKNOWN};
    exchange_start(x, &answer);
    for (uint32_t i = 0; i < b->count; i++) {
        await_item(b, &b->items[i]);
    }
    write_ready(b);
}

/* The body is there. */
static void collected(job_call *call)
{
    batch *b = call->ctx;
    if (call->body == NULL) {
        api_fail(call->x, 400, "invalid", "the body is empty: [{\"workload\": ...}]");
        return;
    }
    b->body = call->body;
    call->body = NULL;
    call->away = admit_all;
    call->home = admitted;
    bool sent = job_call_send(call);
    (void)sent; /* otherwise it was answered */
}

/* --- the route ---------------------------------------------------------------------------- */

static bool wants_array(const exchange *x)
{
    const http_text *accept = exchange_field(x, "accept");
    return accept != NULL && accept->size >= 16 &&
           memcmp(accept->data, "application/json", 16) == 0;
}

void job_batch_begin(exchange *x)
{
    jobs_table *j = x->route->ctx;
    x->handler = NULL;
    if (x->rest.size > 0) {
        api_fail(x, 404, "not_found", "there is nothing here");
        return;
    }
    job_call *call = job_call_collect(j, x);
    batch *b = call != NULL ? jobs_take(j, sizeof *b, _Alignof(batch)) : NULL;
    if (call == NULL) {
        return;
    }
    if (b == NULL) {
        call->phase = CALL_IDLE;
        api_fail_err(x, BRISK_ERR_NOMEM, "the batch");
        return;
    }
    memset(b, 0, sizeof *b);
    b->jobs = j;
    b->call = call;
    b->holders = 1;
    b->as_array = wants_array(x);
    call->ctx = b;
    call->dropped = dropped;
    call->home = collected;
}

void job_batch_writable(exchange *x)
{
    job_call *call = x->handler;
    if (call != NULL && call->ctx != NULL) {
        batch *b = call->ctx;
        b->choked = false;
        write_ready(b);
    }
}
