/*
 * encode.c -- what is asked before a body is encoded, and the fields of an encoded answer.
 */
#include "daemon/encode/encode.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "daemon/encode/internal.h"
#include "daemon/http/bandwidth.h"
#include "daemon/server.h"

enum {
    BODY_MAX = 16 << 20,
    INLINE_NS = 150000, /* longer than this is not done in a loop */
    INLINE_BYTES = 65536,
    LATER_USES_MIN = 4,
    LOW_USES = 8, /* of a content that is kept: what effort is worth to a slow client */
    FIELDS_MORE = 3,
    TAG_MAX = 128,
};

/* --- the whole -------------------------------------------------------------------------------- */

brisk_err encode_create(const encode_opts *opts, encode **ret)
{
    const brisk_alloc *alloc = opts->alloc;
    encode *self = alloc->acquire(alloc->ctx, sizeof *self, _Alignof(encode));
    if (self == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(self, 0, sizeof *self);
    self->alloc = alloc;
    self->server = opts->server;
    self->off = opts->off;
    self->dictionary_bytes_max = opts->dictionary_bytes;
    brisk_err err = variants_create(opts->variants_bytes, alloc, &self->variants);
    if (err != BRISK_OK) {
        alloc->release(alloc->ctx, self, sizeof *self, _Alignof(encode));
        return err;
    }
    encode_chooser_init(&self->chooser);
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->idle, NULL);
    shelf_init(&self->shelf, opts->dictionary_folder, alloc);
    encode_load_dictionaries(self);
    *ret = self;
    return BRISK_OK;
}

void encode_destroy(encode *self)
{
    if (self == NULL) {
        return;
    }
    encode_jobs_end(self);
    while (self->benches != NULL) {
        encode_bench *bench = self->benches;
        self->benches = bench->next;
        encode_bench_destroy(bench);
    }
    for (int i = 0; i < ENCODE_DICTIONARIES_MAX; i++) {
        encode_dictionary_unref(self->dictionaries[i]);
    }
    variants_destroy(self->variants);
    encode_chooser_deinit(&self->chooser);
    (void)pthread_cond_destroy(&self->idle);
    (void)pthread_mutex_destroy(&self->lock);
    self->alloc->release(self->alloc->ctx, self, sizeof *self, _Alignof(encode));
}

encode_bench *encode_take_bench(encode *self)
{
    (void)pthread_mutex_lock(&self->lock);
    encode_bench *bench = self->benches;
    if (bench != NULL) {
        self->benches = bench->next;
    }
    (void)pthread_mutex_unlock(&self->lock);
    if (bench == NULL && encode_bench_create(self->alloc, &bench) != BRISK_OK) {
        return NULL;
    }
    return bench;
}

void encode_give_bench(encode *self, encode_bench *bench)
{
    (void)pthread_mutex_lock(&self->lock);
    bench->next = self->benches;
    self->benches = bench;
    (void)pthread_mutex_unlock(&self->lock);
}

void encode_read_stats(encode *self, encode_stats *ret, variants_stats *variants)
{
    /* Relaxed: figures, nothing hangs on them. */
    *ret = (encode_stats){
        .plain = atomic_load_explicit(&self->plain, memory_order_relaxed),
        .made = atomic_load_explicit(&self->made, memory_order_relaxed),
        .background = atomic_load_explicit(&self->background, memory_order_relaxed),
        .reused = atomic_load_explicit(&self->reused, memory_order_relaxed),
        .bytes_in = atomic_load_explicit(&self->bytes_in, memory_order_relaxed),
        .bytes_out = atomic_load_explicit(&self->bytes_out, memory_order_relaxed),
    };
    variants_read_stats(self->variants, variants);
}

/* --- may it be encoded? ----------------------------------------------------------------------- */

/* `with` is in lower case; most texts differ in their first letter. */
static bool begins(http_text text, const char *with)
{
    if (text.size == 0 || (text.data[0] | 0x20) != with[0]) {
        return false;
    }
    size_t size = strlen(with);
    return text.size >= size && strncasecmp(text.data, with, size) == 0;
}

bool encode_is_packed(http_text type)
{
    static const char *const packed[] = {"image/",
                                         "video/",
                                         "audio/",
                                         "font/woff",
                                         "application/zip",
                                         "application/gzip",
                                         "application/zstd",
                                         "application/pdf",
                                         "application/x-7z",
                                         "application/x-xz",
                                         "application/java-archive",
                                         "application/x-bzip",
                                         "application/vnd.openxml",
                                         "multipart/"};
    static const char *const plain_images[] = {"image/svg", "image/bmp", "image/x-icon",
                                               "image/vnd.microsoft.icon"};
    for (size_t i = 0; i < sizeof plain_images / sizeof plain_images[0]; i++) {
        if (begins(type, plain_images[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++) {
        if (begins(type, packed[i])) {
            return true;
        }
    }
    return false;
}

static bool has_word(http_text list, const char *word)
{
    size_t size = strlen(word);
    for (size_t at = 0; at + size <= list.size; at++) {
        if ((list.data[at] | 0x20) == word[0] && strncasecmp(list.data + at, word, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_name(const http_field *field, const char *name)
{
    return field->name.size == strlen(name) &&
           memcmp(field->name.data, name, field->name.size) == 0;
}

/* Does it say of which bytes the body is (RFC 9530, RFC 3230)?  Of others that would not be true. */
static bool is_digest(const http_field *field)
{
    return is_name(field, "content-digest") || is_name(field, "repr-digest") ||
           is_name(field, "digest") || is_name(field, "content-md5");
}

bool encode_may(const exchange *x, const http_answer *answer)
{
    const encode *self = x->worker->server->encode;
    if (self == NULL || self->off || answer->status < 200 || answer->status == 204 ||
        answer->status == 206 || answer->status == 304 || answer->status == 416) {
        return false;
    }
    for (uint32_t i = 0; i < answer->field_count; i++) {
        const http_field *field = &answer->fields[i];
        if (is_name(field, "content-encoding") || is_name(field, "content-range") ||
            (is_name(field, "content-type") && encode_is_packed(field->value)) ||
            (is_name(field, "cache-control") && has_word(field->value, "no-transform")) ||
            is_digest(field)) {
            return false;
        }
    }
    return true;
}

const http_text *encode_joined(exchange *x, const char *name)
{
    size_t name_size = strlen(name);
    const http_text *only = NULL;
    size_t size = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < x->field_count; i++) {
        if (is_name(&x->fields[i], name)) {
            only = &x->fields[i].value;
            size += only->size + 2;
            count++;
        }
    }
    if (count < 2) {
        return only;
    }
    http_text *joined = exchange_alloc(x, sizeof *joined + size);
    if (joined == NULL) {
        return NULL;
    }
    char *at = (char *)(joined + 1);
    *joined = (http_text){.data = at, .size = size - 2};
    for (uint32_t i = 0; i < x->field_count; i++) {
        const http_field *field = &x->fields[i];
        if (field->name.size != name_size || memcmp(field->name.data, name, name_size) != 0) {
            continue;
        }
        memcpy(at, field->value.data, field->value.size);
        memcpy(at + field->value.size, ", ", 2);
        at += field->value.size + 2;
    }
    return joined;
}

/* --- fields ----------------------------------------------------------------------------------- */

/*
 * "1a2b" of what is stored becomes W/"1a2b-zstd": weak, because the same content is sent compressed
 * with more or less effort.  A weak one stays.
 */
static bool set_tag(exchange *x, http_field *field, http_text coding)
{
    http_text tag = field->value;
    if (tag.size < 2 || tag.data[0] != '"' || tag.size > TAG_MAX) {
        return true;
    }
    size_t size = 2 + tag.size + coding.size + 1;
    char *text = exchange_alloc(x, size + 1);
    if (text == NULL) {
        return false;
    }
    (void)snprintf(text, size + 1, "W/%.*s-%.*s\"", (int)tag.size - 1, tag.data, (int)coding.size,
                   coding.data);
    field->value = (http_text){.data = text, .size = size};
    return true;
}

bool encode_fields(exchange *x, const http_answer *from, encode_coding coding, http_answer *ret)
{
    http_text vary = HTTP_TEXT("accept-encoding");
    http_text vary_more = HTTP_TEXT("accept-encoding, available-dictionary");
    encode *self = x->worker->server->encode;
    http_field *fields =
        exchange_alloc(x, (from->field_count + (size_t)FIELDS_MORE) * sizeof *fields);
    if (fields == NULL) {
        return false;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < from->field_count; i++) {
        fields[count] = from->fields[i];
        if (coding != ENCODE_IDENTITY) {
            if (is_name(&fields[count], "accept-ranges")) {
                continue;
            }
            if (is_name(&fields[count], "etag") &&
                !set_tag(x, &fields[count], encode_coding_name(coding))) {
                return false;
            }
        }
        count++;
    }
    if (coding != ENCODE_IDENTITY) {
        fields[count++] = (http_field){HTTP_TEXT("content-encoding"), encode_coding_name(coding)};
    }
    fields[count++] =
        (http_field){HTTP_TEXT("vary"), encode_has_dictionaries(self) ? vary_more : vary};
    *ret = *from;
    ret->fields = fields;
    ret->field_count = count;
    return true;
}

void encode_drop_body(const http_body *body)
{
    if (body->kind == HTTP_BODY_VALUE) {
        brisk_value_unref(body->value);
    } else if (body->kind == HTTP_BODY_FILE && body->release != NULL) {
        body->release(body->ctx);
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

static void answer_plain(exchange *x, const http_answer *answer)
{
    http_answer plain;
    encode *self = x->worker->server->encode;
    atomic_fetch_add_explicit(&self->plain, 1, memory_order_relaxed);
    bandwidth_sent(x, answer->body.size);
    exchange_answer(x, encode_fields(x, answer, ENCODE_IDENTITY, &plain) ? &plain : answer);
}

static void answer_with(exchange *x, const http_answer *answer, encode_method method,
                        brisk_value *value)
{
    http_answer encoded;
    if (!encode_fields(x, answer, encode_ways[method].coding, &encoded)) {
        brisk_value_unref(value);
        exchange_answer(x, answer);
        return;
    }
    encode_drop_body(&answer->body);
    encoded.body = (http_body){
        .kind = HTTP_BODY_VALUE, .value = value, .size = brisk_value_size(value), .fd = -1};
    bandwidth_sent(x, encoded.body.size);
    exchange_answer(x, &encoded);
}

/* The body's bytes, when they are in memory. */
static bool in_memory(const http_body *body, codec_bytes *ret)
{
    const char *data = body->data;
    if (body->kind == HTTP_BODY_VALUE) {
        data = brisk_value_data(body->value);
        data = data != NULL ? data + body->offset : NULL;
    } else if (body->kind != HTTP_BODY_BYTES) {
        data = NULL;
    }
    *ret = (codec_bytes){data, body->size};
    return data != NULL;
}

/* Look at the sample: of a content that is kept, once. */
static bool probe(encode *self, codec_bytes bytes, encode_plan *plan)
{
    encode_bench *bench = encode_take_bench(self);
    if (bench == NULL) {
        return false;
    }
    brisk_err err = encode_probe_bytes(bench->kit, bytes, &plan->question.probe);
    encode_give_bench(self, bench);
    if (err != BRISK_OK) {
        return false;
    }
    encode_chooser_note(&self->chooser, &plan->question.probe);
    if (plan->keep) {
        variants_know(self->variants, plan->identity, &plan->question.probe);
    }
    return true;
}

/* More effort for what is asked for often: at 4, 16, 64 ... uses; for a slow client at once, each of
 * whose uses counts as several. */
static void improve(encode *self, const http_body *body, const encode_plan *plan,
                    const variants_known *known)
{
    uint32_t uses = known->uses;
    bool low = plan->question.uses == LOW_USES;
    bool turn = uses >= LATER_USES_MIN && (uses & (uses - 1)) == 0 && __builtin_ctz(uses) % 2 == 0;
    if (!turn && !(low && uses <= 1)) {
        return;
    }
    encode_plan more = *plan;
    more.question.uses = low ? (uint32_t)LOW_USES * (uses > 0 ? uses : 1) : uses;
    more.question.cheap = false;
    more.method = encode_choose(&self->chooser, &more.question);
    uint32_t bit = 1u << more.method;
    if (more.method != ENCODE_PLAIN && more.method != plan->method &&
        encode_ways[more.method].coding != ENCODE_DCZ &&
        ((known->made | known->making | known->vain) & bit) == 0) {
        more.dictionary = NULL;
        encode_job_later(self, body, &more);
    }
}

/* The best of what is there, while what is better is being made by somebody. */
static encode_method settle(encode *self, const encode_plan *plan)
{
    encode_question q = plan->question;
    uint32_t codings = q.codings & (1u << ENCODE_IDENTITY);
    encode_method best = ENCODE_PLAIN;
    double least = -1;
    for (int i = ENCODE_PLAIN; i < ENCODE_METHODS; i++) {
        bool there = i == ENCODE_PLAIN ? codings != 0 : (q.made & 1u << i) != 0;
        if (!there || (q.codings & 1u << encode_ways[i].coding) == 0) {
            continue;
        }
        encode_measure known = encode_estimate(&self->chooser, &q, (encode_method)i);
        known.squeeze_ns = 0;
        double ns = encode_sum_ns(&known, q.bps, 1);
        if (least < 0 || ns < least) {
            least = ns;
            best = (encode_method)i;
        }
    }
    return least < 0 ? plan->method : best;
}

/* It has to be made: here, or elsewhere. */
static void make(encode *self, exchange *x, const http_answer *answer, encode_plan *plan)
{
    codec_bytes bytes;
    bool here = in_memory(&answer->body, &bytes) && plan->decided && bytes.size <= INLINE_BYTES;
    if (here) {
        encode_measure known = encode_estimate(&self->chooser, &plan->question, plan->method);
        here = (uint64_t)known.squeeze_ns * bytes.size / 1024 <= INLINE_NS;
    }
    if (!here) {
        if (!encode_job_start(self, x, answer, plan)) {
            if (plan->keep && plan->decided) {
                variants_end(self->variants, plan->identity, plan->method, NULL, NULL, false);
            }
            encode_dictionary_unref(plan->dictionary);
            answer_plain(x, answer);
        }
        return;
    }
    brisk_value *value = encode_make(self, bytes, plan);
    encode_dictionary_unref(plan->dictionary);
    if (value == NULL) {
        answer_plain(x, answer);
    } else {
        atomic_fetch_add_explicit(&self->made, 1, memory_order_relaxed);
        answer_with(x, answer, plan->method, value);
    }
}

/* What is known of the content, or what its sample shows; false: it is on disk and not known. */
static bool know(encode *self, const http_answer *answer, encode_plan *plan, variants_known *known)
{
    codec_bytes bytes;
    if (plan->keep && variants_look(self->variants, plan->identity, plan->dictionary, known)) {
        plan->question.probe = known->probe;
        plan->question.made = known->made;
        return true;
    }
    return in_memory(&answer->body, &bytes) && probe(self, bytes, plan);
}

static void decide(encode *self, exchange *x, const http_answer *answer, encode_plan *plan)
{
    variants_known known = {.uses = 1};
    plan->decided = know(self, answer, plan, &known);
    if (plan->decided) {
        plan->method = encode_choose(&self->chooser, &plan->question);
        uint32_t bit = 1u << plan->method;
        bool wait = (known.made & bit) == 0 && ((known.making | known.vain) & bit) != 0;
        if (wait || (plan->method != ENCODE_PLAIN && plan->keep && (known.made & bit) == 0 &&
                     !variants_begin(self->variants, plan->identity, plan->method))) {
            plan->method = settle(self, plan);
        }
        if (plan->keep) {
            improve(self, &answer->body, plan, &known);
        }
        if (plan->method == ENCODE_PLAIN) {
            encode_dictionary_unref(plan->dictionary);
            answer_plain(x, answer);
            return;
        }
        brisk_value *value =
            plan->keep && (known.made & 1u << plan->method) != 0
                ? variants_get(self->variants, plan->identity, plan->method, plan->dictionary)
                : NULL;
        if (value != NULL) {
            encode_dictionary_unref(plan->dictionary);
            atomic_fetch_add_explicit(&self->reused, 1, memory_order_relaxed);
            answer_with(x, answer, plan->method, value);
            return;
        }
    }
    make(self, x, answer, plan);
}

void encode_answer(exchange *x, const http_answer *answer, const encode_identity *identity)
{
    encode *self = x->worker->server->encode;
    const http_body *body = &answer->body;
    if (body->kind == HTTP_BODY_NONE || !encode_may(x, answer)) {
        bandwidth_sent(x, body->size);
        exchange_answer(x, answer);
        return;
    }
    encode_plan plan = {.keep = identity != NULL};
    uint32_t codings = encode_accept(encode_joined(x, "accept-encoding"));
    if (codings == 0) {
        encode_drop_body(body);
        exchange_fail(x, 406, "no coding that is accepted can be sent");
        return;
    }
    bool plain = (codings & 1u << ENCODE_IDENTITY) != 0;
    if (codings == 1u << ENCODE_IDENTITY || (plain && body->size < ENCODE_BODY_MIN) ||
        body->size > BODY_MAX || body->size == 0) {
        answer_plain(x, answer);
        return;
    }
    if ((codings & 1u << ENCODE_DCZ) != 0) {
        plan.dictionary = encode_find_dictionary(self, x);
        codings &= plan.dictionary == NULL ? ~(1u << ENCODE_DCZ) : ~0u;
    }
    plan.identity = identity != NULL ? *identity : (encode_identity){0};
    bool low = bandwidth_class(x) == BANDWIDTH_LOW;
    plan.question = (encode_question){.size = body->size,
                                      .codings = codings,
                                      .bps = bandwidth_bps(x),
                                      .uses = low && identity != NULL ? LOW_USES : 1,
                                      .cheap = true};
    decide(self, x, answer, &plan);
}
