/*
 * cmd_number.c -- values as numbers: INCR and its relatives, INCRBYFLOAT.
 *
 * The digits are changed where they lie.  Floats are long doubles written with up to 17 decimals
 * without trailing zeros, as Redis writes them, so that 3 + 0.1 is 3.1.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "daemon/command.h"
#include "daemon/server.h"

enum { FLOAT_TEXT_MAX = 5 * 1024, FLOAT_INPUT_MAX = 255 };

/* --- integers ----------------------------------------------------------------------------- */

typedef struct addition {
    int64_t by;
    int64_t result;
    const char *error;
    bool was_new;
} addition;

static brisk_err write_digits(brisk_memory_edit *edit, const char *text, size_t size)
{
    if ((size != edit->size || !edit->present) && !edit->resize(edit, size)) {
        return BRISK_ERR_FULL;
    }
    memcpy(edit->data, text, size);
    return BRISK_OK;
}

static brisk_err add(void *ctx, brisk_memory_edit *edit)
{
    addition *a = ctx;
    int64_t value = 0;
    char text[RESP_I64_TEXT];
    a->was_new = !edit->present;
    if (edit->present && !resp_parse_i64(edit->data, edit->size, &value)) {
        a->error = "ERR value is not an integer or out of range";
        return BRISK_ERR_INVALID;
    }
    if (__builtin_add_overflow(value, a->by, &a->result)) {
        a->error = "ERR increment or decrement would overflow";
        return BRISK_ERR_INVALID;
    }
    return write_digits(edit, text, resp_format_i64(text, a->result));
}

static void increment(client *c, resp_bytes key, int64_t by)
{
    addition a = {.by = by};
    brisk_err err = keyspace_update(&c->server->keys, key, add, &a);
    if (a.error != NULL) {
        resp_put_error(&c->worker->out, a.error);
    } else if (reply_stored(c, err)) {
        if (a.was_new) {
            notify(c->server, NOTIFY_NEW, "new", key);
        }
        changed(c, key, NOTIFY_STRING, "incrby");
        resp_put_integer(&c->worker->out, a.result);
    }
}

static void cmd_incr(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    increment(c, argv[1], 1);
}

static void cmd_decr(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    increment(c, argv[1], -1);
}

static void cmd_incrby(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t by;
    if (arg_i64(c, argv[2], &by)) {
        increment(c, argv[1], by);
    }
}

static void cmd_decrby(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    int64_t by;
    if (!arg_i64(c, argv[2], &by)) {
        return;
    }
    if (by == INT64_MIN) {
        reply_error(c, "ERR decrement would overflow");
        return;
    }
    increment(c, argv[1], -by);
}

/* --- floats ------------------------------------------------------------------------------- */

static bool parse_float(const unsigned char *data, size_t size, long double *ret)
{
    char copy[FLOAT_INPUT_MAX + 1];
    if (size == 0 || size > FLOAT_INPUT_MAX || data[0] <= ' ' || memchr(data, '\0', size) != NULL) {
        return false;
    }
    memcpy(copy, data, size);
    copy[size] = '\0';
    char *end;
    errno = 0;
    long double value = strtold(copy, &end);
    if (*end != '\0' || isnan(value) || (errno == ERANGE && (isinf(value) || value == 0.0L)) ||
        errno == EINVAL) {
        return false;
    }
    *ret = value;
    return true;
}

/* Returns the size; 0: it does not fit, which no finite value of use does. */
static size_t format_float(char text[FLOAT_TEXT_MAX], long double value)
{
    int n = snprintf(text, FLOAT_TEXT_MAX, "%.17Lf", value);
    if (n <= 0 || n >= FLOAT_TEXT_MAX) {
        return 0;
    }
    size_t size = (size_t)n;
    if (memchr(text, '.', size) != NULL) {
        while (text[size - 1] == '0') {
            size--;
        }
        size -= text[size - 1] == '.' ? 1 : 0;
    }
    if (size == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        size = 1;
    }
    return size;
}

typedef struct float_addition {
    long double by;
    const char *error;
    char text[FLOAT_TEXT_MAX];
    size_t size;
    bool was_new;
} float_addition;

static brisk_err add_float(void *ctx, brisk_memory_edit *edit)
{
    float_addition *a = ctx;
    long double value = 0;
    a->was_new = !edit->present;
    if (edit->present && !parse_float(edit->data, edit->size, &value)) {
        a->error = "ERR value is not a valid float";
        return BRISK_ERR_INVALID;
    }
    value += a->by;
    a->size = isnan(value) || isinf(value) ? 0 : format_float(a->text, value);
    if (a->size == 0) {
        a->error = "ERR increment would produce NaN or Infinity";
        return BRISK_ERR_INVALID;
    }
    return write_digits(edit, a->text, a->size);
}

static void cmd_incrbyfloat(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    float_addition a = {.error = NULL};
    if (!parse_float(argv[2].data, argv[2].size, &a.by)) {
        reply_error(c, "ERR value is not a valid float");
        return;
    }
    brisk_err err = keyspace_update(&c->server->keys, argv[1], add_float, &a);
    if (a.error != NULL) {
        resp_put_error(&c->worker->out, a.error);
    } else if (reply_stored(c, err)) {
        if (a.was_new) {
            notify(c->server, NOTIFY_NEW, "new", argv[1]);
        }
        changed(c, argv[1], NOTIFY_STRING, "incrbyfloat");
        resp_put_bulk(&c->worker->out, a.text, a.size);
    }
}

#define NUMBER_ROW(n, what, ver, fn, args, count)                                                  \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "string", .complexity = "O(1)",   \
        .synopsis = (args), .run = (fn), .arity = (count),                                         \
        .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,                                               \
        .categories = CAT_STRING | CAT_WRITE | CAT_FAST, .key_first = 1, .key_last = 1,            \
        .key_step = 1, .key_flags = "RW access update"                                             \
    }

static const command rows[] = {
    NUMBER_ROW("incr", "Adds one to a number", "1.0.0", cmd_incr, "key", 2),
    NUMBER_ROW("decr", "Takes one from a number", "1.0.0", cmd_decr, "key", 2),
    NUMBER_ROW("incrby", "Adds to a number", "1.0.0", cmd_incrby, "key increment", 3),
    NUMBER_ROW("decrby", "Takes from a number", "1.0.0", cmd_decrby, "key decrement", 3),
    NUMBER_ROW("incrbyfloat", "Adds to a floating point number", "2.6.0", cmd_incrbyfloat,
               "key increment", 3),
};

const command_family family_number = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
