/*
 * cmd_bit.c -- values as bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.
 *
 * Bit 0 is the highest bit of the first byte.  Counting and searching go by 64-bit words.
 */
#include <string.h>

#include "daemon/bits.h"
#include "daemon/command.h"
#include "daemon/server.h"
#include "daemon/store.h"

bool bit_offset(client *c, resp_bytes text, bool by_width, uint32_t width, uint64_t *ret)
{
    int64_t value;
    bool hash = by_width && text.size > 0 && text.data[0] == '#';
    resp_bytes digits = {.data = text.data + (hash ? 1 : 0), .size = text.size - (hash ? 1 : 0)};
    bool good = resp_parse_i64(digits.data, digits.size, &value);
    if (good && hash) {
        good = !__builtin_mul_overflow(value, (int64_t)width, &value);
    }
    if (!good || value < 0 || (uint64_t)value >> 3 >= c->server->limits.bulk_max) {
        reply_error(c, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

/* --- one bit ------------------------------------------------------------------------------ */

typedef struct bit_change {
    uint64_t offset;
    bool on;
    bool was;
    bool differs; /* something is not as it was */
    bool was_new;
} bit_change;

static brisk_err change_bit(void *ctx, brisk_memory_edit *edit)
{
    bit_change *b = ctx;
    size_t byte = b->offset >> 3;
    unsigned char mask = (unsigned char)(0x80U >> (b->offset & 7));
    b->was_new = !edit->present;
    b->differs = !edit->present;
    if (byte >= edit->size || !edit->present) {
        if (!edit->resize(edit, byte + 1 > edit->size ? byte + 1 : edit->size)) {
            return BRISK_ERR_FULL;
        }
        b->differs = true;
    }
    b->was = (edit->data[byte] & mask) != 0;
    if (b->was != b->on) {
        b->differs = true;
        edit->data[byte] ^= mask;
    }
    return BRISK_OK;
}

static void cmd_setbit(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    bit_change b = {0};
    int64_t on;
    if (!bit_offset(c, argv[2], false, 0, &b.offset)) {
        return;
    }
    if (!resp_parse_i64(argv[3].data, argv[3].size, &on) || (on != 0 && on != 1)) {
        reply_error(c, "ERR bit is not an integer or out of range");
        return;
    }
    b.on = on == 1;
    if (!reply_stored(c, keyspace_update(&c->server->keys, argv[1], change_bit, &b))) {
        return;
    }
    if (b.was_new) {
        notify(c->server, NOTIFY_NEW, "new", argv[1]);
    }
    if (b.differs) {
        changed(c, argv[1], NOTIFY_STRING, "setbit");
    }
    resp_put_integer(&c->worker->out, b.was ? 1 : 0);
}

static void cmd_getbit(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    uint64_t offset;
    keyspace_view view;
    int64_t bit = 0;
    if (!bit_offset(c, argv[2], false, 0, &offset)) {
        return;
    }
    if (keyspace_view_open(&c->server->keys, argv[1], &view)) {
        if (offset >> 3 < view.size) {
            bit = view.data[offset >> 3] >> (7 - (offset & 7)) & 1;
        }
        keyspace_view_close(&view);
    }
    resp_put_integer(&c->worker->out, bit);
}

/* --- counting ----------------------------------------------------------------------------- */

static uint64_t count_bits(const unsigned char *data, size_t size)
{
    uint64_t count = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, sizeof word);
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; i < size; i++) {
        count += (uint64_t)__builtin_popcount(data[i]);
    }
    return count;
}

/* Bits from first to last, both included. */
static uint64_t count_range(const unsigned char *data, uint64_t first, uint64_t last)
{
    size_t begin = first >> 3;
    size_t end = last >> 3;
    uint64_t count = count_bits(data + begin, end - begin + 1);
    unsigned before = data[begin] & ~(0xFFU >> (first & 7)) & 0xFFU;
    unsigned behind = data[end] & (0x7FU >> (last & 7));
    return count - (uint64_t)__builtin_popcount(before) - (uint64_t)__builtin_popcount(behind);
}

typedef struct bit_range {
    int64_t start;
    int64_t end;
    bool end_given;
    bool in_bits;
} bit_range;

/* Numbers and unit from argv[at] on; false: the error was sent. */
static bool parse_range(client *c, const resp_bytes *argv, uint32_t argc, uint32_t at,
                        bit_range *ret)
{
    *ret = (bit_range){.end = -1};
    if (argc > at && !arg_i64(c, argv[at], &ret->start)) {
        return false;
    }
    if (argc > at + 1) {
        if (!arg_i64(c, argv[at + 1], &ret->end)) {
            return false;
        }
        ret->end_given = true;
    }
    if (argc > at + 2) {
        ret->in_bits = resp_bytes_equal_nocase(argv[at + 2], "bit");
        if (!ret->in_bits && !resp_bytes_equal_nocase(argv[at + 2], "byte")) {
            reply_syntax_error(c);
            return false;
        }
    }
    if (argc > at + 3) {
        reply_syntax_error(c);
        return false;
    }
    return true;
}

/* The range in bits of a value; false: it is empty. */
static bool clip_bits(const bit_range *range, size_t size, uint64_t *first, uint64_t *last)
{
    int64_t total = (int64_t)size * (range->in_bits ? 8 : 1);
    int64_t start = range->start;
    int64_t end = range->end;
    if (start < 0 && end < 0 && start > end) {
        return false;
    }
    start = start < 0 ? start + total : start;
    end = end < 0 ? end + total : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= total ? total - 1 : end;
    if (start > end) {
        return false;
    }
    *first = (uint64_t)start * (range->in_bits ? 1 : 8);
    *last = range->in_bits ? (uint64_t)end : (uint64_t)end * 8 + 7;
    return true;
}

static void cmd_bitcount(client *c, const resp_bytes *argv, uint32_t argc)
{
    bit_range range;
    keyspace_view view;
    uint64_t first;
    uint64_t last;
    if (argc == 3) {
        reply_syntax_error(c);
        return;
    }
    if (!parse_range(c, argv, argc, 2, &range)) {
        return;
    }
    uint64_t count = 0;
    if (keyspace_view_open(&c->server->keys, argv[1], &view)) {
        if (clip_bits(&range, view.size, &first, &last)) {
            count = count_range(view.data, first, last);
        }
        keyspace_view_close(&view);
    }
    resp_put_integer(&c->worker->out, (int64_t)count);
}

/* The first bit that is `bit` from first to last, or -1. */
static int64_t find_bit(const unsigned char *data, uint64_t first, uint64_t last, bool bit)
{
    unsigned char skip = bit ? 0x00 : 0xFF;
    for (uint64_t i = first; i <= last;) {
        if ((i & 7) == 0 && data[i >> 3] == skip) {
            i += 8;
            continue;
        }
        if (((data[i >> 3] >> (7 - (i & 7))) & 1) == (bit ? 1 : 0)) {
            return (int64_t)i;
        }
        i++;
    }
    return -1;
}

static void cmd_bitpos(client *c, const resp_bytes *argv, uint32_t argc)
{
    int64_t bit;
    bit_range range;
    keyspace_view view;
    uint64_t first;
    uint64_t last;
    if (!resp_parse_i64(argv[2].data, argv[2].size, &bit) || (bit != 0 && bit != 1)) {
        reply_error(c, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!parse_range(c, argv, argc, 3, &range)) {
        return;
    }
    if (!keyspace_view_open(&c->server->keys, argv[1], &view)) {
        resp_put_integer(&c->worker->out, bit == 1 ? -1 : 0);
        return;
    }
    int64_t at = -1;
    if (clip_bits(&range, view.size, &first, &last)) {
        at = find_bit(view.data, first, last, bit == 1);
        if (at < 0 && bit == 0 && !range.end_given) {
            at = (int64_t)view.size * 8; /* a value without end has zeros behind it */
        }
    }
    keyspace_view_close(&view);
    resp_put_integer(&c->worker->out, at);
}

/* --- BITOP -------------------------------------------------------------------------------- */

typedef enum bit_op { OP_AND, OP_OR, OP_XOR, OP_NOT } bit_op;

/* Add one source to the result, which is `size` bytes; a shorter one has zeros behind it. */
static void combine(unsigned char *result, size_t size, const keyspace_view *source, bit_op op)
{
    size_t common = source->size < size ? source->size : size;
    for (size_t i = 0; i < common; i++) {
        switch (op) {
        case OP_AND: result[i] &= source->data[i]; break;
        case OP_OR: result[i] |= source->data[i]; break;
        case OP_XOR: result[i] ^= source->data[i]; break;
        case OP_NOT: result[i] = (unsigned char)~source->data[i]; break;
        default: break;
        }
    }
    if (op == OP_AND) {
        memset(result + common, 0, size - common);
    }
}

static bool parse_op(resp_bytes word, bit_op *ret)
{
    static const char *const words[] = {"and", "or", "xor", "not"};
    for (int i = 0; i < 4; i++) {
        if (resp_bytes_equal_nocase(word, words[i])) {
            *ret = (bit_op)i;
            return true;
        }
    }
    return false;
}

static void compute(client *c, const resp_bytes *argv, uint32_t argc, bit_op op, size_t size)
{
    server *s = c->server;
    unsigned char *result = s->alloc->acquire(s->alloc->ctx, size, 8);
    if (result == NULL) {
        reply_error(c, "OOM out of memory");
        return;
    }
    memset(result, 0, size);
    for (uint32_t i = 3; i < argc; i++) {
        keyspace_view view = {.data = result};
        bool there = keyspace_view_open(&s->keys, argv[i], &view);
        combine(result, size, &view, i == 3 && op == OP_AND ? OP_OR : op);
        if (there) {
            keyspace_view_close(&view);
        }
    }
    if (store_string(c, argv[2], (resp_bytes){.data = result, .size = size}, 0)) {
        resp_put_integer(&c->worker->out, (int64_t)size);
    }
    s->alloc->release(s->alloc->ctx, result, size, 8);
}

static void cmd_bitop(client *c, const resp_bytes *argv, uint32_t argc)
{
    bit_op op;
    size_t size = 0;
    if (!parse_op(argv[1], &op)) {
        reply_syntax_error(c);
        return;
    }
    if (op == OP_NOT && argc != 4) {
        reply_error(c, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    for (uint32_t i = 3; i < argc; i++) {
        brisk_entry_info info;
        if (keyspace_info(&c->server->keys, argv[i], &info) && info.size > size) {
            size = info.size;
        }
    }
    if (size == 0) {
        if (keyspace_remove(&c->server->keys, argv[2])) {
            changed(c, argv[2], NOTIFY_GENERIC, "del");
        }
        resp_put_integer(&c->worker->out, 0);
        return;
    }
    compute(c, argv, argc, op, size);
}

#define BIT_ROW(n, what, ver, cost, fn, args, count, more, cats, first, keys)                      \
    {                                                                                              \
        .name = (n), .summary = (what), .since = (ver), .group = "bitmap", .complexity = (cost),   \
        .synopsis = (args), .run = (fn), .arity = (count), .flags = (more),                        \
        .categories = CAT_BITMAP | (cats), .key_first = (first),                                   \
        .key_last = (first) == 1 ? 1 : -1, .key_step = 1, .key_flags = (keys)                      \
    }

static const command rows[] = {
    BIT_ROW("setbit", "Sets a bit and returns what it was", "2.2.0", "O(1)", cmd_setbit,
            "key offset value", 4, CMD_WRITE | CMD_DENYOOM, CAT_WRITE | CAT_SLOW, 1,
            "RW access update"),
    BIT_ROW("getbit", "A bit of a value", "2.2.0", "O(1)", cmd_getbit, "key offset", 3,
            CMD_READONLY | CMD_FAST, CAT_READ | CAT_FAST, 1, "RO access"),
    BIT_ROW("bitcount", "Counts the bits that are set", "2.6.0", "O(N)", cmd_bitcount,
            "key [start end [BYTE|BIT]]", -2, CMD_READONLY, CAT_READ | CAT_SLOW, 1, "RO access"),
    BIT_ROW("bitpos", "Finds the first bit that is set, or is not", "2.8.7", "O(N)", cmd_bitpos,
            "key bit [start [end [BYTE|BIT]]]", -3, CMD_READONLY, CAT_READ | CAT_SLOW, 1,
            "RO access"),
    BIT_ROW("bitop", "Combines values bit by bit into another", "2.6.0", "O(N)", cmd_bitop,
            "AND|OR|XOR|NOT destkey key [key ...]", -4, CMD_WRITE | CMD_DENYOOM,
            CAT_WRITE | CAT_SLOW, 2, "OW update"),
};

const command_family family_bit = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
