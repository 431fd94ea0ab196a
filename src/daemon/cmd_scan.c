/*
 * cmd_scan.c -- walks: KEYS and SCAN.
 */
#include "daemon/command.h"
#include "daemon/glob.h"
#include "daemon/server.h"

enum { KEYS_STEP = 1024, COUNT_MAX = 1 << 20 };

typedef struct walk {
    client *c;
    const resp_bytes *pattern; /* NULL: everything */
    size_t count;
    uint64_t effort; /* left for matching */
    bool none;       /* of a type that there is none of */
} walk;

static void see(void *ctx, const brisk_memory_visit *visit)
{
    walk *w = ctx;
    resp_bytes key = keyspace_shown(visit->key, visit->key_size);
    if (!w->none &&
        (w->pattern == NULL || glob_match_within(*w->pattern, key, false, &w->effort))) {
        resp_put_bulk(&w->c->worker->out, key.data, key.size);
        w->count++;
    }
}

/* The pattern goes back too often; the error stands in place of what was found. */
static bool is_too_costly(client *c, const walk *w, size_t mark)
{
    if (w->effort > 0) {
        return false;
    }
    c->worker->out.size = mark;
    reply_error(c, "ERR the pattern takes too long on these keys");
    return true;
}

static void cmd_keys(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    walk w = {.c = c, .pattern = &argv[1], .effort = GLOB_EFFORT};
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    uint64_t cursor = 0;
    do {
        cursor = brisk_memory_scan(c->server->keys.tier, cursor, KEYS_STEP, see, &w);
    } while (cursor != 0 && out->err == BRISK_OK && w.effort > 0);
    if (is_too_costly(c, &w, mark)) {
        return;
    }
    resp_put_count_before(out, mark, RESP_ARRAY, w.count);
}

static bool parse_cursor(resp_bytes text, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    *ret = value;
    return text.size > 0;
}

static bool parse_scan(client *c, const resp_bytes *argv, uint32_t argc, walk *w, uint32_t *ret)
{
    int64_t count = 10;
    for (uint32_t i = 2; i < argc; i += 2) {
        if (i + 1 == argc) {
            reply_syntax_error(c);
            return false;
        }
        if (resp_bytes_equal_nocase(argv[i], "count")) {
            if (!arg_i64(c, argv[i + 1], &count)) {
                return false;
            }
            if (count < 1) {
                reply_syntax_error(c);
                return false;
            }
        } else if (resp_bytes_equal_nocase(argv[i], "match")) {
            w->pattern = resp_bytes_equal(argv[i + 1], "*") ? NULL : &argv[i + 1];
        } else if (resp_bytes_equal_nocase(argv[i], "type")) {
            w->none = !resp_bytes_equal_nocase(argv[i + 1], "string");
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    *ret = count < COUNT_MAX ? (uint32_t)count : COUNT_MAX;
    return true;
}

static void cmd_scan(client *c, const resp_bytes *argv, uint32_t argc)
{
    uint64_t cursor;
    uint32_t count;
    walk w = {.c = c, .effort = GLOB_EFFORT};
    if (!parse_cursor(argv[1], &cursor)) {
        reply_error(c, "ERR invalid cursor");
        return;
    }
    if (!parse_scan(c, argv, argc, &w, &count)) {
        return;
    }
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    cursor = brisk_memory_scan(c->server->keys.tier, cursor, count, see, &w);
    if (is_too_costly(c, &w, mark)) {
        return;
    }
    resp_put_count_before(out, mark, RESP_ARRAY, w.count);
    /* The cursor stands before the keys and is known after them. */
    char text[RESP_I64_TEXT + 1];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
    char head[64];
    int size = snprintf(head, sizeof head, "*2\r\n$%d\r\n%s\r\n", n, text);
    resp_put_before(out, mark, head, (size_t)size);
}

static const command rows[] = {
    {.name = "keys",
     .summary = "All keys that match a pattern",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(N) with N being the number of keys",
     .synopsis = "pattern",
     .run = cmd_keys,
     .arity = 2,
     .flags = CMD_READONLY,
     .categories = CAT_KEYSPACE | CAT_READ | CAT_SLOW | CAT_DANGEROUS},
    {.name = "scan",
     .summary = "Walks through the keys, a few at a time",
     .since = "2.8.0",
     .group = "generic",
     .complexity = "O(1) for every call. O(N) for a complete iteration",
     .synopsis = "cursor [MATCH pattern] [COUNT count] [TYPE type]",
     .run = cmd_scan,
     .arity = -2,
     .flags = CMD_READONLY,
     .categories = CAT_KEYSPACE | CAT_READ | CAT_SLOW},
};

const command_family family_scan = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
