/*
 * cmd_lcs.c -- LCS: the longest common subsequence of two values.
 *
 * The table of lengths is quadratic, so it is bounded: 128 MiB, which two values of 5,700 bytes
 * fill.  Redis takes what it gets; a cache that serves others does not.
 * Source:  R. Wagner and M. Fischer, The string-to-string correction problem, 1974.
 */
#include <string.h>

#include "daemon/command.h"
#include "daemon/server.h"

enum { CELLS_MAX = 32 * 1024 * 1024 };

typedef struct lcs_options {
    bool length;
    bool indexes;
    bool with_length;
    int64_t least;
} lcs_options;

typedef struct lcs {
    resp_bytes a;
    resp_bytes b;
    uint32_t *cells; /* (a.size + 1) x (b.size + 1) */
} lcs;

static uint32_t *cell(const lcs *l, size_t i, size_t j)
{
    return &l->cells[i * (l->b.size + 1) + j];
}

static void fill(lcs *l)
{
    for (size_t i = 0; i <= l->a.size; i++) {
        for (size_t j = 0; j <= l->b.size; j++) {
            if (i == 0 || j == 0) {
                *cell(l, i, j) = 0;
            } else if (l->a.data[i - 1] == l->b.data[j - 1]) {
                *cell(l, i, j) = *cell(l, i - 1, j - 1) + 1;
            } else {
                uint32_t up = *cell(l, i - 1, j);
                uint32_t left = *cell(l, i, j - 1);
                *cell(l, i, j) = up > left ? up : left;
            }
        }
    }
}

static bool parse(client *c, const resp_bytes *argv, uint32_t argc, lcs_options *ret)
{
    for (uint32_t i = 3; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], "len")) {
            ret->length = true;
        } else if (resp_bytes_equal_nocase(argv[i], "idx")) {
            ret->indexes = true;
        } else if (resp_bytes_equal_nocase(argv[i], "withmatchlen")) {
            ret->with_length = true;
        } else if (resp_bytes_equal_nocase(argv[i], "minmatchlen") && i + 1 < argc) {
            if (!arg_i64(c, argv[++i], &ret->least)) {
                return false;
            }
            ret->least = ret->least < 0 ? 0 : ret->least;
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    if (ret->length && ret->indexes) {
        reply_error(c, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

/* A run of equal bytes that ends before a[i] and b[j]. */
typedef struct run_of {
    size_t a;
    size_t b;
    size_t size;
} run_of;

static size_t put_match(resp_writer *out, const run_of *run, const lcs_options *o)
{
    if (run->size == 0 || (int64_t)run->size < o->least) {
        return 0;
    }
    resp_put_array(out, o->with_length ? 3 : 2);
    resp_put_array(out, 2);
    resp_put_integer(out, (int64_t)run->a);
    resp_put_integer(out, (int64_t)(run->a + run->size - 1));
    resp_put_array(out, 2);
    resp_put_integer(out, (int64_t)run->b);
    resp_put_integer(out, (int64_t)(run->b + run->size - 1));
    if (o->with_length) {
        resp_put_integer(out, (int64_t)run->size);
    }
    return 1;
}

/* Walk back through the table: the sequence into `text` (when not NULL), or its runs. */
static void walk(const lcs *l, resp_writer *out, unsigned char *text, const lcs_options *o)
{
    size_t i = l->a.size;
    size_t j = l->b.size;
    size_t left = *cell(l, i, j);
    size_t mark = out->size;
    size_t count = 0;
    run_of run = {0};
    while (i > 0 && j > 0) {
        if (l->a.data[i - 1] == l->b.data[j - 1]) {
            i--;
            j--;
            if (text != NULL) {
                text[--left] = l->a.data[i];
            } else if (run.size > 0 && run.a == i + 1 && run.b == j + 1) {
                run = (run_of){.a = i, .b = j, .size = run.size + 1};
            } else {
                count += put_match(out, &run, o);
                run = (run_of){.a = i, .b = j, .size = 1};
            }
        } else if (*cell(l, i - 1, j) > *cell(l, i, j - 1)) {
            i--;
        } else {
            j--;
        }
    }
    if (text == NULL) {
        count += put_match(out, &run, o);
        resp_put_count_before(out, mark, RESP_ARRAY, count);
    }
}

static void answer(client *c, lcs *l, const lcs_options *o)
{
    resp_writer *out = &c->worker->out;
    fill(l);
    uint32_t size = *cell(l, l->a.size, l->b.size);
    if (o->length) {
        resp_put_integer(out, size);
    } else if (o->indexes) {
        resp_put_map(out, 2);
        resp_put_text(out, "matches");
        walk(l, out, NULL, o);
        resp_put_text(out, "len");
        resp_put_integer(out, size);
    } else {
        unsigned char *text = resp_put_bulk_room(out, size);
        if (text != NULL) {
            walk(l, out, text, o);
        }
    }
}

static void cmd_lcs(client *c, const resp_bytes *argv, uint32_t argc)
{
    server *s = c->server;
    lcs_options options = {0};
    keyspace_view a = {.data = (const unsigned char *)""};
    keyspace_view b = a;
    if (!parse(c, argv, argc, &options)) {
        return;
    }
    (void)keyspace_view_open(&s->keys, argv[1], &a);
    (void)keyspace_view_open(&s->keys, argv[2], &b);
    size_t rows = a.size + 1;
    size_t columns = b.size + 1;
    if (rows > CELLS_MAX / columns) {
        reply_error(c, "ERR the values are too long for LCS here");
    } else {
        lcs l = {.a = {.data = a.data, .size = a.size}, .b = {.data = b.data, .size = b.size}};
        size_t bytes = rows * columns * sizeof(uint32_t);
        l.cells = s->alloc->acquire(s->alloc->ctx, bytes, _Alignof(uint32_t));
        if (l.cells == NULL) {
            reply_error(c, "OOM out of memory");
        } else {
            answer(c, &l, &options);
            s->alloc->release(s->alloc->ctx, l.cells, bytes, _Alignof(uint32_t));
        }
    }
    keyspace_view_close(&a);
    keyspace_view_close(&b);
}

static const command rows[] = {
    {.name = "lcs",
     .summary = "The longest common subsequence of two values",
     .since = "7.0.0",
     .group = "string",
     .complexity = "O(N*M) where N and M are the lengths of the values",
     .synopsis = "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
     .run = cmd_lcs,
     .arity = -3,
     .flags = CMD_READONLY,
     .categories = CAT_STRING | CAT_READ | CAT_SLOW,
     .key_first = 1,
     .key_last = 2,
     .key_step = 1,
     .key_flags = "RO access"},
};

const command_family family_lcs = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
