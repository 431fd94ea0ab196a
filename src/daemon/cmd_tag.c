/*
 * cmd_tag.c -- BRISK.TAG and BRISK.INVALIDATE: groups of keys that go together.
 *
 * An entry carries the generation of its tags and of the keys that it depends on; invalidating one
 * counts a generation up, so that it costs the same for one entry and for a million.  What is
 * outdated is found out when it is asked for.  Clients that track keys cannot be told which ones
 * went, so they are told to forget all: too much, never too little.
 *
 * SET of a key takes its tags away, as it takes its expiry.
 */
#include <string.h>

#include "daemon/disk.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

enum { TAGS_MAX = BRISK_TAGS_MAX };

static void cmd_tag(client *c, const resp_bytes *argv, uint32_t argc)
{
    brisk_tag tags[TAGS_MAX];
    brisk_key depends[TAGS_MAX];
    uint32_t tag_count = 0;
    uint32_t depends_count = 0;
    bool in_depends = false;
    for (uint32_t i = 2; i < argc; i++) {
        if (!in_depends && resp_bytes_equal_nocase(argv[i], "depends")) {
            in_depends = true;
            continue;
        }
        if ((in_depends ? depends_count : tag_count) == TAGS_MAX || argv[i].size == 0 ||
            !keyspace_key_fits(argv[i])) {
            reply_error(c, "ERR at most %d tags and %d keys, none empty", (int)TAGS_MAX,
                        (int)TAGS_MAX);
            return;
        }
        if (in_depends) {
            depends[depends_count++] = brisk_key_of(argv[i].data, argv[i].size);
        } else {
            tags[tag_count++] = (brisk_tag){.bytes = argv[i].data, .size = argv[i].size};
        }
    }
    brisk_err err =
        keyspace_tag(&c->server->keys, argv[1], tags, tag_count, depends, depends_count);
    if (err == BRISK_ERR_NOT_FOUND) {
        resp_put_integer(&c->worker->out, 0);
    } else if (reply_stored(c, err)) {
        if (c->server->disk != NULL) {
            disk_changed(c->server, argv[1]);
        }
        resp_put_integer(&c->worker->out, 1);
    }
}

static void cmd_invalidate(client *c, const resp_bytes *argv, uint32_t argc)
{
    (void)argc;
    server *s = c->server;
    brisk_err err = BRISK_OK;
    if (argv[2].size == 0 || !keyspace_key_fits(argv[2])) {
        reply_error(c, "ERR a name of 1 to %d bytes is wanted", BRISK_KEY_BYTES_MAX - 1);
        return;
    }
    if (resp_bytes_equal_nocase(argv[1], "key")) {
        bool was = keyspace_remove(&s->keys, argv[2]);
        changed(c, argv[2], NOTIFY_GENERIC, "del");
        resp_put_integer(&c->worker->out, was ? 1 : 0);
        return;
    }
    if (resp_bytes_equal_nocase(argv[1], "tag")) {
        err = keyspace_invalidate_tag(&s->keys, argv[2]);
    } else if (resp_bytes_equal_nocase(argv[1], "prefix")) {
        err = keyspace_invalidate_prefix(&s->keys, argv[2]);
    } else {
        reply_syntax_error(c);
        return;
    }
    tracking_changed_all(s);
    s->dirty++;
    if (reply_stored(c, err)) {
        reply_ok(c);
    }
}

static const command rows[] = {
    {.name = "brisk.tag",
     .summary = "Names groups that a key belongs to, and keys it depends on",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(N) where N is the size of the value",
     .synopsis = "key tag [tag ...] [DEPENDS key [key ...]]",
     .run = cmd_tag,
     .arity = -3,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .categories = CAT_WRITE | CAT_SLOW,
     .key_first = 1,
     .key_last = 1,
     .key_step = 1,
     .key_flags = "RW update"},
    {.name = "brisk.invalidate",
     .summary = "Makes a key, a group of keys or a prefix outdated",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(1)",
     .synopsis = "KEY|TAG|PREFIX name",
     .run = cmd_invalidate,
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .categories = CAT_KEYSPACE | CAT_WRITE | CAT_FAST},
};

const command_family family_tag = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
