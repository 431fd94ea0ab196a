/*
 * cmd_scan.c -- walks: KEYS, SCAN, RANDOMKEY, DBSIZE.
 *
 * With a disk tier SCAN goes through the keys there: every key is on disk when the walk begins
 * (disk_walk.c).  Only if the disk lost or refused something it goes through memory, too, and may
 * show keys twice.  The last two bits of a cursor say where it is.
 */
#include "daemon/command.h"
#include "daemon/disk_walk.h"
#include "daemon/glob.h"
#include "daemon/server.h"

enum { KEYS_STEP = 1024, COUNT_MAX = 1 << 20 };
enum { AT_MEMORY = 2, AT_DISK = 1, AT_BITS = 2 };

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

/* --- what was found on disk --------------------------------------------------------------- */

static bool is_in_memory(client *c, const brisk_key *stored)
{
    brisk_entry_info info;
    return brisk_memory_info(c->server->keys.tier, stored, &info) == BRISK_OK;
}

/* Keys that are not going; with `rest` only those that memory does not have. */
static void see_found(walk *w, const disk_found *found, bool rest)
{
    client *c = w->c;
    size_t at = 0;
    brisk_key key;
    while (!w->none && disk_found_next(found, &at, &key)) {
        if (!disk_is_gone(c->server->disk, &key) && !(rest && is_in_memory(c, &key))) {
            see(w, &(brisk_memory_visit){.key = key.bytes, .key_size = key.size});
        }
    }
}

/* It could not be looked for, or was too much; the error stands in place of what was written. */
static bool is_not_found(client *c, const disk_found *found, size_t mark)
{
    if (!disk_walk_missing(c) && (found == NULL || found->err == BRISK_OK)) {
        return false;
    }
    c->worker->out.size = mark;
    if (found != NULL && found->err == BRISK_ERR_LIMIT) {
        reply_error(c, "ERR there are too many keys on disk for one reply, use SCAN");
    } else {
        reply_error(c, "OOM out of memory");
    }
    return true;
}

/* --- KEYS --------------------------------------------------------------------------------- */

static void ask_keys(client *c, const resp_bytes *argv, uint32_t argc, disk_ask *ret)
{
    (void)c;
    (void)argc;
    *ret = (disk_ask){.kind = DISK_WALK_ALL, .pattern = argv[1]};
}

static void cmd_keys(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    const disk_found *found = disk_walk_found(c);
    walk w = {.c = c, .pattern = &argv[1], .effort = GLOB_EFFORT};
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    uint64_t cursor = 0;
    if (is_not_found(c, found, mark)) {
        return;
    }
    do {
        cursor = brisk_memory_scan(c->server->keys.tier, cursor, KEYS_STEP, see, &w);
    } while (cursor != 0 && out->err == BRISK_OK && w.effort > 0);
    if (found != NULL) {
        w.effort = found->effort > 0 ? w.effort : 0;
        see_found(&w, found, true);
    }
    if (is_too_costly(c, &w, mark)) {
        return;
    }
    resp_put_count_before(out, mark, RESP_ARRAY, w.count);
}

/* --- SCAN --------------------------------------------------------------------------------- */

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

/* NULL, or the error. */
static const char *parse_scan(const resp_bytes *argv, uint32_t argc, walk *w, uint32_t *ret)
{
    static const char syntax[] = "ERR syntax error";
    int64_t count = 10;
    for (uint32_t i = 2; i < argc; i += 2) {
        if (i + 1 == argc) {
            return syntax;
        }
        if (resp_bytes_equal_nocase(argv[i], "count")) {
            if (!resp_parse_i64(argv[i + 1].data, argv[i + 1].size, &count)) {
                return "ERR value is not an integer or out of range";
            }
            if (count < 1) {
                return syntax;
            }
        } else if (resp_bytes_equal_nocase(argv[i], "match")) {
            w->pattern = resp_bytes_equal(argv[i + 1], "*") ? NULL : &argv[i + 1];
        } else if (resp_bytes_equal_nocase(argv[i], "type")) {
            w->none = !resp_bytes_equal_nocase(argv[i + 1], "string");
        } else {
            return syntax;
        }
    }
    *ret = count < COUNT_MAX ? (uint32_t)count : COUNT_MAX;
    return NULL;
}

/* A walk begins on disk and is there as long as its cursor says so. */
static void ask_scan(client *c, const resp_bytes *argv, uint32_t argc, disk_ask *ret)
{
    (void)c;
    uint64_t cursor;
    uint32_t count;
    walk w = {.effort = 1};
    if (parse_cursor(argv[1], &cursor) && parse_scan(argv, argc, &w, &count) == NULL &&
        (cursor & AT_MEMORY) == 0) {
        *ret = (disk_ask){.kind = DISK_WALK_SOME, .count = count, .cursor = cursor >> AT_BITS};
    }
}

/* What to go on with; 0: that was all. */
static uint64_t scan_disk(walk *w, const disk_found *found)
{
    see_found(w, found, false);
    if (found->cursor != 0) {
        return found->cursor << AT_BITS | AT_DISK;
    }
    return found->may_lack ? AT_MEMORY : 0;
}

static uint64_t scan_memory(walk *w, uint64_t cursor, uint32_t count)
{
    server *s = w->c->server;
    if (s->disk == NULL) {
        return brisk_memory_scan(s->keys.tier, cursor, count, see, w);
    }
    /* In a transaction, which cannot wait for the disk, memory is all there is. */
    cursor = (cursor & AT_DISK) != 0 ? 0 : cursor >> AT_BITS;
    cursor = brisk_memory_scan(s->keys.tier, cursor, count, see, w);
    return cursor != 0 ? cursor << AT_BITS | AT_MEMORY : 0;
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
    const char *wrong = parse_scan(argv, argc, &w, &count);
    if (wrong != NULL) {
        reply_error(c, "%s", wrong);
        return;
    }
    resp_writer *out = &c->worker->out;
    size_t mark = out->size;
    const disk_found *found = disk_walk_found(c);
    if ((cursor & AT_MEMORY) == 0 && is_not_found(c, found, mark)) {
        return;
    }
    cursor = found != NULL ? scan_disk(&w, found) : scan_memory(&w, cursor, count);
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

/* --- RANDOMKEY and DBSIZE ----------------------------------------------------------------- */

static void ask_random(client *c, const resp_bytes *argv, uint32_t argc, disk_ask *ret)
{
    (void)argv;
    (void)argc;
    *ret = (disk_ask){.kind = DISK_WALK_RANDOM, .cursor = brisk_rng_next(&c->server->rng)};
}

static void cmd_randomkey(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    server *s = c->server;
    walk w = {.c = c, .effort = GLOB_EFFORT};
    const disk_found *found = disk_walk_found(c);
    if (is_not_found(c, found, c->worker->out.size)) {
        return;
    }
    if (found != NULL) { /* all are there: one of them is one of all */
        see_found(&w, found, false);
    }
    if (w.count == 0 && !brisk_memory_random(s->keys.tier, &s->rng, see, &w)) {
        resp_put_null(&c->worker->out);
    }
}

static void ask_count(client *c, const resp_bytes *argv, uint32_t argc, disk_ask *ret)
{
    (void)c;
    (void)argv;
    (void)argc;
    *ret = (disk_ask){.kind = DISK_WALK_COUNT};
}

static void cmd_dbsize(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argv;
    (void)argc;
    const disk_found *found = disk_walk_found(c);
    if (is_not_found(c, found, c->worker->out.size)) {
        return;
    }
    uint64_t count = keyspace_count(&c->server->keys);
    if (found != NULL && found->entries > count) {
        count = found->entries;
    }
    resp_put_integer(&c->worker->out, (int64_t)count);
}

static const command rows[] = {
    {.name = "keys",
     .summary = "All keys that match a pattern",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(N) with N being the number of keys",
     .synopsis = "pattern",
     .run = cmd_keys,
     .asks = ask_keys,
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
     .asks = ask_scan,
     .arity = -2,
     .flags = CMD_READONLY,
     .categories = CAT_KEYSPACE | CAT_READ | CAT_SLOW},
    {.name = "randomkey",
     .summary = "Some key",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1)",
     .run = cmd_randomkey,
     .asks = ask_random,
     .arity = 1,
     .flags = CMD_READONLY,
     .categories = CAT_KEYSPACE | CAT_READ | CAT_SLOW},
    {.name = "dbsize",
     .summary = "How many keys there are",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1)",
     .run = cmd_dbsize,
     .asks = ask_count,
     .arity = 1,
     .flags = CMD_READONLY | CMD_FAST,
     .categories = CAT_KEYSPACE | CAT_READ | CAT_FAST},
};

const command_family family_scan = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
