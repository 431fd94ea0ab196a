/*
 * accept.c -- a list of codings with weights becomes a set.
 */
#include "daemon/encode/accept.h"

#include <strings.h>

enum {
    WEIGHT_ONE = 1000,
    UNSAID = -1,
};

static const http_text names[ENCODE_CODINGS] = {
    [ENCODE_IDENTITY] = {"identity", 8}, [ENCODE_GZIP] = {"gzip", 4}, [ENCODE_BROTLI] = {"br", 2},
    [ENCODE_ZSTD] = {"zstd", 4},         [ENCODE_DCZ] = {"dcz", 3},
};

http_text encode_coding_name(encode_coding coding)
{
    return names[coding];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static http_text trim(http_text text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* What stands before the next `mark`; *rest becomes what is behind it. */
static http_text cut(http_text *rest, char mark)
{
    size_t size = 0;
    while (size < rest->size && rest->data[size] != mark) {
        size++;
    }
    http_text part = {rest->data, size};
    size_t used = size < rest->size ? size + 1 : size;
    rest->data += used;
    rest->size -= used;
    return trim(part);
}

/* 0, 0.123, 1, 1.000 in thousandths; negative: not a weight. */
static int weight_of(http_text text)
{
    if (text.size == 0 || text.size > 5 || (text.data[0] != '0' && text.data[0] != '1') ||
        (text.size > 1 && text.data[1] != '.')) {
        return UNSAID;
    }
    int weight = text.data[0] == '1' ? WEIGHT_ONE : 0;
    int unit = WEIGHT_ONE / 10;
    for (size_t i = 2; i < text.size; i++, unit /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return UNSAID;
        }
        weight += (text.data[i] - '0') * unit;
    }
    return weight <= WEIGHT_ONE ? weight : UNSAID;
}

/* The weight among the parameters behind a coding's name; negative: something is wrong there. */
static int weight_among(http_text params)
{
    int weight = WEIGHT_ONE;
    while (params.size > 0) {
        http_text value = cut(&params, ';');
        http_text name = cut(&value, '=');
        if (name.size == 1 && (name.data[0] == 'q' || name.data[0] == 'Q')) {
            weight = weight_of(trim(value));
            if (weight < 0) {
                return UNSAID;
            }
        }
    }
    return weight;
}

static bool is_named(http_text text, const char *name, size_t size)
{
    return text.size == size && strncasecmp(text.data, name, size) == 0;
}

static encode_coding coding_of(http_text name)
{
    for (int i = 0; i < ENCODE_CODINGS; i++) {
        if (is_named(name, names[i].data, names[i].size)) {
            return (encode_coding)i;
        }
    }
    return is_named(name, "x-gzip", 6) ? ENCODE_GZIP : ENCODE_CODINGS;
}

/* Equals among the codings with the highest weight, and identity unless it is refused. */
static uint32_t set_of(const int weights[ENCODE_CODINGS], int any)
{
    int best = 0;
    int given[ENCODE_CODINGS];
    for (int i = 0; i < ENCODE_CODINGS; i++) {
        given[i] = weights[i] != UNSAID ? weights[i] : any;
        if (i != ENCODE_IDENTITY && given[i] > best) {
            best = given[i];
        }
    }
    uint32_t set = 0;
    if (given[ENCODE_IDENTITY] == UNSAID || given[ENCODE_IDENTITY] > 0) {
        set = 1u << ENCODE_IDENTITY;
    }
    if (best == 0 || weights[ENCODE_IDENTITY] > best) {
        return set;
    }
    for (int i = 1; i < ENCODE_CODINGS; i++) {
        set |= given[i] == best ? 1u << i : 0;
    }
    return set;
}

uint32_t encode_accept(const http_text *value)
{
    if (value == NULL) {
        return 1u << ENCODE_IDENTITY;
    }
    int weights[ENCODE_CODINGS];
    for (int i = 0; i < ENCODE_CODINGS; i++) {
        weights[i] = UNSAID;
    }
    int any = UNSAID;
    for (http_text rest = *value; rest.size > 0;) {
        http_text params = cut(&rest, ',');
        http_text name = cut(&params, ';');
        int weight = weight_among(params);
        if (weight < 0) {
            continue;
        }
        encode_coding coding = coding_of(name);
        if (coding != ENCODE_CODINGS) {
            weights[coding] = weight;
        } else if (is_named(name, "*", 1)) {
            any = weight;
        }
    }
    /* "*" means whatever can be expanded by anybody: a dictionary must be asked for by name. */
    if (weights[ENCODE_DCZ] == UNSAID) {
        weights[ENCODE_DCZ] = 0;
    }
    return set_of(weights, any);
}
