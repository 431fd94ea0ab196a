/*
 * template.c -- requests from templates: "SET key:{n} {v}", with {n} a key's number and {v} a value.
 *
 * Zipf's law is drawn by rejection-inversion: no table, so a billion keys cost as much as ten, and the part of
 * draws thrown away is small for every exponent.
 * Source: W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6 (1996).
 */
#include <math.h>
#include <string.h>

#include "observe/load/load.h"

enum { PIECES_MAX = 64 };

/* --- keys --------------------------------------------------------------------------------- */

/* (e^x - 1) / x and log(1 + x) / x, also where x is nearly 0. */
static double expm1_by(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double log1p_by(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

/* The density x^-s, its integral and the integral's inverse. */
static double density(const load_keys *k, double x)
{
    return exp(-k->skew * log(x));
}

static double integral(const load_keys *k, double x)
{
    double l = log(x);
    return expm1_by((1 - k->skew) * l) * l;
}

static double inverse(const load_keys *k, double y)
{
    double t = fmax(y * (1 - k->skew), -1);
    return exp(log1p_by(t) * y);
}

void load_keys_init(load_keys *keys, uint64_t count, double skew)
{
    *keys = (load_keys){.count = count, .skew = skew};
    if (skew > 0) {
        keys->from_ = integral(keys, 1.5) - 1;
        keys->to_ = integral(keys, (double)count + 0.5);
        keys->accept_ = 2 - inverse(keys, integral(keys, 2.5) - density(keys, 2));
    }
}

uint64_t load_keys_draw(const load_keys *keys, brisk_rng *rng)
{
    if (!(keys->skew > 0) || keys->count < 2) {
        return brisk_rng_below(rng, keys->count);
    }
    for (;;) {
        double u = (double)(brisk_rng_next(rng) >> 11) * 0x1p-53;
        double y = keys->to_ + u * (keys->from_ - keys->to_);
        double x = inverse(keys, y);
        double rank = fmin(fmax(floor(x + 0.5), 1), (double)keys->count);
        if (rank - x <= keys->accept_ || y >= integral(keys, rank + 0.5) - density(keys, rank)) {
            return (uint64_t)rank - 1;
        }
    }
}

/* --- parsing ------------------------------------------------------------------------------ */

brisk_err load_word_parse(brisk_arena *arena, const char *text, load_word *ret, brisk_errinfo *info)
{
    load_piece pieces[PIECES_MAX];
    uint32_t count = 0;
    while (*text != '\0' && count < PIECES_MAX) {
        if (strncmp(text, "{n}", 3) == 0 || strncmp(text, "{v}", 3) == 0) {
            pieces[count++] = (load_piece){.kind = text[1] == 'n' ? LOAD_KEY : LOAD_VALUE};
            text += 3;
            continue;
        }
        if (text[0] == '{' && text[1] >= 'a' && text[1] <= 'z' && text[2] == '}') {
            return brisk_errinfo_set(info, BRISK_ERR_INVALID,
                                     "'%.3s' is unknown: {n} is a key's number, {v} a value", text);
        }
        size_t size = 1 + strcspn(text + 1, "{");
        pieces[count++] = (load_piece){.kind = LOAD_TEXT, .text = text, .size = size};
        text += size;
    }
    if (*text != '\0') {
        return brisk_errinfo_set(info, BRISK_ERR_LIMIT, "more than %d pieces in a word",
                                 PIECES_MAX);
    }
    load_word word = {.pieces = brisk_arena_calloc(arena, count + 1, sizeof *word.pieces),
                      .count = count};
    if (word.pieces == NULL) {
        return brisk_errinfo_set(info, BRISK_ERR_NOMEM, "out of memory");
    }
    memcpy(word.pieces, pieces, count * sizeof *pieces);
    *ret = word;
    return BRISK_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

typedef struct digits {
    char text[RESP_I64_TEXT];
    size_t size;
} digits;

static size_t word_size(const load_requests *r, const load_word *word, const digits *number)
{
    size_t size = 0;
    for (uint32_t i = 0; i < word->count; i++) {
        load_piece_kind kind = word->pieces[i].kind;
        size += kind == LOAD_TEXT  ? word->pieces[i].size
                : kind == LOAD_KEY ? number->size
                                   : r->value_size;
    }
    return size;
}

static void write_word(const load_requests *r, const load_word *word, const digits *number,
                       resp_writer *out)
{
    for (uint32_t i = 0; i < word->count; i++) {
        const load_piece *piece = &word->pieces[i];
        if (piece->kind == LOAD_TEXT) {
            resp_put_raw(out, piece->text, piece->size);
        } else if (piece->kind == LOAD_KEY) {
            resp_put_raw(out, number->text, number->size);
        } else {
            resp_put_raw(out, r->value, r->value_size);
        }
    }
}

/* "$5\r\nhello\r\n", or "Content-Length: 5\r\n\r\n": a size between two texts. */
static void write_size(resp_writer *out, const char *before, size_t size, const char *after)
{
    char text[RESP_I64_TEXT];
    resp_put_raw(out, before, strlen(before));
    resp_put_raw(out, text, resp_format_i64(text, (int64_t)size));
    resp_put_raw(out, after, strlen(after));
}

static void write_http(const load_requests *r, const load_template *t, const digits *number,
                       resp_writer *out)
{
    resp_put_raw(out, r->method, strlen(r->method));
    resp_put_raw(out, " ", 1);
    write_word(r, &t->words[0], number, out);
    write_word(r, &t->words[1], number, out);
    if (t->words[2].count > 0) {
        write_size(out, "Content-Length: ", word_size(r, &t->words[2], number), "\r\n\r\n");
        write_word(r, &t->words[2], number, out);
    } else {
        resp_put_raw(out, "\r\n", 2);
    }
}

void load_requests_write(const load_requests *requests, brisk_rng *rng, resp_writer *out)
{
    uint64_t which = requests->count > 1 ? brisk_rng_below(rng, requests->count) : 0;
    const load_template *t = &requests->templates[which];
    digits number;
    number.size = resp_format_i64(number.text, (int64_t)load_keys_draw(&requests->keys, rng));
    if (requests->method != NULL) {
        write_http(requests, t, &number, out);
        return;
    }
    resp_put_array(out, t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        write_size(out, "$", word_size(requests, &t->words[i], &number), "\r\n");
        write_word(requests, &t->words[i], &number, out);
        resp_put_raw(out, "\r\n", 2);
    }
}
