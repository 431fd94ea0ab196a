/*
 * cmd_bitfield.c -- BITFIELD: values as arrays of integers of any width.
 *
 * All operations are parsed first, so that a wrong one changes nothing; then they are done one by
 * one on the value where it lies.
 */
#include <string.h>

#include "daemon/bits.h"
#include "daemon/command.h"
#include "daemon/server.h"

enum { OPS_MAX = 65536 };

typedef enum field_kind { FIELD_GET, FIELD_SET, FIELD_INCRBY } field_kind;
typedef enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL } field_overflow;

typedef struct field_op {
    uint64_t offset;
    int64_t value;
    field_kind kind;
    field_overflow overflow;
    uint32_t width;
    bool is_signed;
} field_op;

/* --- integers of any width ---------------------------------------------------------------- */

static uint64_t get_unsigned(const unsigned char *data, size_t size, uint64_t offset,
                             uint32_t width)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++, offset++) {
        size_t byte = offset >> 3;
        unsigned bit = byte < size ? (unsigned)data[byte] >> (7 - (offset & 7)) & 1U : 0U;
        value = value << 1 | bit;
    }
    return value;
}

static int64_t get_signed(const unsigned char *data, size_t size, uint64_t offset, uint32_t width)
{
    uint64_t value = get_unsigned(data, size, offset, width);
    if (width < 64 && (value >> (width - 1) & 1) != 0) {
        value |= UINT64_MAX << width;
    }
    return (int64_t)value;
}

static void put(unsigned char *data, uint64_t offset, uint32_t width, uint64_t value)
{
    for (uint32_t i = 0; i < width; i++, offset++) {
        unsigned char mask = (unsigned char)(0x80U >> (offset & 7));
        if ((value >> (width - 1 - i) & 1) != 0) {
            data[offset >> 3] |= mask;
        } else {
            data[offset >> 3] &= (unsigned char)~mask;
        }
    }
}

/* old + by in `width` bits; false: it overflows, and `overflow` says to fail. */
static bool add_unsigned(uint64_t old, int64_t by, const field_op *op, uint64_t *ret)
{
    uint64_t max = op->width == 64 ? UINT64_MAX : (UINT64_C(1) << op->width) - 1;
    bool over = by > 0 && ((uint64_t)by > max || old > max - (uint64_t)by);
    bool under = by < 0 && UINT64_C(0) - (uint64_t)by > old;
    *ret = (old + (uint64_t)by) & max;
    if (op->overflow == OVERFLOW_SAT && (over || under)) {
        *ret = over ? max : 0;
    }
    return !(over || under) || op->overflow != OVERFLOW_FAIL;
}

static bool add_signed(int64_t old, int64_t by, const field_op *op, int64_t *ret)
{
    int64_t max = op->width == 64 ? INT64_MAX : (INT64_C(1) << (op->width - 1)) - 1;
    int64_t min = -max - 1;
    int64_t sum;
    bool wraps = __builtin_add_overflow(old, by, &sum);
    bool over = wraps ? by > 0 : sum > max;
    bool under = wraps ? by < 0 : sum < min;
    uint64_t bits = (uint64_t)old + (uint64_t)by;
    if (op->width < 64) {
        bits &= (UINT64_C(1) << op->width) - 1;
        bits |= (bits >> (op->width - 1) & 1) != 0 ? UINT64_MAX << op->width : 0;
    }
    *ret = (int64_t)bits;
    if (op->overflow == OVERFLOW_SAT && (over || under)) {
        *ret = over ? max : min;
    }
    return !(over || under) || op->overflow != OVERFLOW_FAIL;
}

/* SET: the value itself may not fit. */
static bool fit(const field_op *op, uint64_t *ret)
{
    if (op->is_signed) {
        int64_t value = 0;
        bool good = add_signed(0, op->value, op, &value);
        *ret = (uint64_t)value;
        return good;
    }
    uint64_t max = op->width == 64 ? UINT64_MAX : (UINT64_C(1) << op->width) - 1;
    bool over = (uint64_t)op->value > max;
    *ret = (uint64_t)op->value & max;
    if (over && op->overflow == OVERFLOW_SAT) {
        *ret = max;
    }
    return !over || op->overflow != OVERFLOW_FAIL;
}

/* --- parsing ------------------------------------------------------------------------------ */

static bool parse_type(client *c, resp_bytes text, field_op *op)
{
    int64_t width;
    bool good = text.size > 1 && (text.data[0] == 'i' || text.data[0] == 'u');
    if (good) {
        op->is_signed = text.data[0] == 'i';
        good = resp_parse_i64(text.data + 1, text.size - 1, &width) && width >= 1 &&
               width <= (op->is_signed ? 64 : 63);
    }
    if (!good) {
        reply_error(c, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                       "not supported but i64 is.");
        return false;
    }
    op->width = (uint32_t)width;
    return true;
}

static bool parse_overflow(client *c, resp_bytes word, field_overflow *ret)
{
    if (resp_bytes_equal_nocase(word, "wrap")) {
        *ret = OVERFLOW_WRAP;
    } else if (resp_bytes_equal_nocase(word, "sat")) {
        *ret = OVERFLOW_SAT;
    } else if (resp_bytes_equal_nocase(word, "fail")) {
        *ret = OVERFLOW_FAIL;
    } else {
        reply_error(c, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* One operation that begins at argv[*at]; *at moves to its last argument. */
static bool parse_op(client *c, const resp_bytes *argv, uint32_t argc, uint32_t *at, field_op *op)
{
    uint32_t more = 3;
    if (resp_bytes_equal_nocase(argv[*at], "get")) {
        op->kind = FIELD_GET;
        more = 2;
    } else if (resp_bytes_equal_nocase(argv[*at], "set")) {
        op->kind = FIELD_SET;
    } else if (resp_bytes_equal_nocase(argv[*at], "incrby")) {
        op->kind = FIELD_INCRBY;
    } else {
        more = UINT32_MAX;
    }
    if (more >= argc - *at) {
        reply_syntax_error(c);
        return false;
    }
    if (!parse_type(c, argv[*at + 1], op) ||
        !bit_offset(c, argv[*at + 2], true, op->width, &op->offset) ||
        (more == 3 && !arg_i64(c, argv[*at + 3], &op->value))) {
        return false;
    }
    *at += more;
    return true;
}

/* --- doing -------------------------------------------------------------------------------- */

typedef struct fields {
    client *c;
    BRISK_VEC(field_op) ops;
    uint64_t bytes; /* that writing needs */
    bool writes;
    bool differs;
    bool was_new;
} fields;

static void do_op(fields *f, const field_op *op, unsigned char *data, size_t size)
{
    resp_writer *out = &f->c->worker->out;
    uint64_t old = op->is_signed ? (uint64_t)get_signed(data, size, op->offset, op->width)
                                 : get_unsigned(data, size, op->offset, op->width);
    if (op->kind == FIELD_GET) {
        resp_put_integer(out, (int64_t)old);
        return;
    }
    uint64_t value = 0;
    bool good = true;
    if (op->kind == FIELD_SET) {
        good = fit(op, &value);
    } else if (op->is_signed) {
        int64_t sum = 0;
        good = add_signed((int64_t)old, op->value, op, &sum);
        value = (uint64_t)sum;
    } else {
        good = add_unsigned(old, op->value, op, &value);
    }
    if (!good) {
        resp_put_null(out);
        return;
    }
    resp_put_integer(out, (int64_t)(op->kind == FIELD_SET ? old : value));
    uint64_t mask = op->width == 64 ? UINT64_MAX : (UINT64_C(1) << op->width) - 1;
    if ((value & mask) != (old & mask)) {
        f->differs = true;
        put(data, op->offset, op->width, value);
    }
}

static brisk_err do_all(void *ctx, brisk_memory_edit *edit)
{
    fields *f = ctx;
    f->was_new = !edit->present;
    if (f->bytes > edit->size || !edit->present) {
        size_t wanted = f->bytes > edit->size ? f->bytes : edit->size;
        if (!edit->resize(edit, wanted)) {
            return BRISK_ERR_FULL;
        }
        f->differs = true;
    }
    resp_put_array(&f->c->worker->out, f->ops.count);
    for (size_t i = 0; i < f->ops.count; i++) {
        do_op(f, &f->ops.items[i], edit->data, edit->size);
    }
    return BRISK_OK;
}

static void read_all(client *c, resp_bytes key, fields *f)
{
    keyspace_view view = {.data = NULL};
    bool there = keyspace_view_open(&c->server->keys, key, &view);
    resp_put_array(&c->worker->out, f->ops.count);
    for (size_t i = 0; i < f->ops.count; i++) {
        const field_op *op = &f->ops.items[i];
        uint64_t value = op->is_signed
                             ? (uint64_t)get_signed(view.data, view.size, op->offset, op->width)
                             : get_unsigned(view.data, view.size, op->offset, op->width);
        resp_put_integer(&c->worker->out, (int64_t)value);
    }
    if (there) {
        keyspace_view_close(&view);
    }
}

static void write_all(client *c, resp_bytes key, fields *f)
{
    size_t mark = c->worker->out.size;
    brisk_err err = keyspace_update(&c->server->keys, key, do_all, f);
    if (err != BRISK_OK) {
        c->worker->out.size = mark; /* what was answered did not happen */
        (void)reply_stored(c, err);
    } else if (f->differs) {
        if (f->was_new) {
            notify(c->server, NOTIFY_NEW, "new", key);
        }
        changed(c, key, NOTIFY_STRING, "setbit");
    }
}

static bool parse_all(client *c, const resp_bytes *argv, uint32_t argc, fields *f, bool may_write)
{
    field_overflow overflow = OVERFLOW_WRAP;
    for (uint32_t i = 2; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], "overflow") && i + 1 < argc && may_write) {
            if (!parse_overflow(c, argv[++i], &overflow)) {
                return false;
            }
            continue;
        }
        field_op op = {.overflow = overflow};
        if (!parse_op(c, argv, argc, &i, &op)) {
            return false;
        }
        if (op.kind != FIELD_GET && !may_write) {
            reply_error(c, "ERR BITFIELD_RO only supports the GET subcommand");
            return false;
        }
        if (op.kind != FIELD_GET) {
            uint64_t bytes = (op.offset + op.width + 7) / 8;
            f->writes = true;
            f->bytes = bytes > f->bytes ? bytes : f->bytes;
        }
        if (f->ops.count >= OPS_MAX || !BRISK_VEC_PUSH(&f->ops, op)) {
            reply_error(c, "OOM too many operations");
            return false;
        }
    }
    return true;
}

static void bitfield(client *c, const resp_bytes *argv, uint32_t argc, bool may_write)
{
    fields f = {.c = c};
    f.ops.alloc = c->server->alloc;
    if (parse_all(c, argv, argc, &f, may_write)) {
        if (f.writes) {
            write_all(c, argv[1], &f);
        } else {
            read_all(c, argv[1], &f);
        }
    }
    BRISK_VEC_DEINIT(&f.ops);
}

static void cmd_bitfield(client *c, const resp_bytes *argv, uint32_t argc)
{
    bitfield(c, argv, argc, true);
}

static void cmd_bitfield_ro(client *c, const resp_bytes *argv, uint32_t argc)
{
    bitfield(c, argv, argc, false);
}

static const command rows[] = {
    {.name = "bitfield",
     .summary = "Reads and writes integers of any width inside a value",
     .since = "3.2.0",
     .group = "bitmap",
     .complexity = "O(1) for each subcommand specified",
     .synopsis = "key [GET encoding offset|[OVERFLOW WRAP|SAT|FAIL] SET encoding offset "
                 "value|INCRBY encoding offset increment ...]",
     .run = cmd_bitfield,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .categories = CAT_BITMAP | CAT_WRITE | CAT_SLOW,
     .key_first = 1,
     .key_last = 1,
     .key_step = 1,
     .key_flags = "RW access update variable_flags"},
    {.name = "bitfield_ro",
     .summary = "Reads integers of any width inside a value",
     .since = "6.0.0",
     .group = "bitmap",
     .complexity = "O(1) for each subcommand specified",
     .synopsis = "key [GET encoding offset ...]",
     .run = cmd_bitfield_ro,
     .arity = -2,
     .flags = CMD_READONLY | CMD_FAST,
     .categories = CAT_BITMAP | CAT_READ | CAT_FAST,
     .key_first = 1,
     .key_last = 1,
     .key_step = 1,
     .key_flags = "RO access"},
};

const command_family family_bitfield = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
