/*
 * cmd_record.c -- BRISK.RECORD: take down what clients ask for, for `brisk cache analyze` and `warm`.
 *
 * A recording is a file in serve.record_dir and nowhere else: clients give a name of letters, digits,
 * "-", "_" and ".", which no path can be made of.  Without that folder nothing can be recorded.
 *
 * A command that reads values is noted before it runs, as a hit or a miss of each of its keys; one
 * that changed something is noted afterwards, as a put or a removal of each.  Noting never waits;
 * START and STOP open and close the file under the server's lock, which is what their administrator
 * asks for.
 */
#include <stdlib.h>
#include <string.h>

#include <brisk/json.h>
#include <brisk/log.h>
#include <brisk/record.h>

#include "base/str.h"
#include "daemon/record.h"
#include "daemon/server.h"

enum { NAME_BYTES_MAX = 100, TEXT_MAX = 4096 };

static const uint64_t bytes_min = 4096;
static const int64_t bytes_most = INT64_C(1) << 40;

struct recording {
    const brisk_alloc *alloc;
    brisk_recorder *recorder; /* NULL: nothing is recorded */
    char path[RECORD_PATH_MAX];
    bool keys;
    size_t dir_size; /* of `path`, with its slash; 0: there is no folder */
};

brisk_err record_create(const brisk_alloc *alloc, const char *dir, struct recording **ret)
{
    struct recording *own = alloc->acquire(alloc->ctx, sizeof *own, _Alignof(struct recording));
    if (own == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *own = (struct recording){.alloc = alloc};
    size_t size = dir != NULL ? strlen(dir) : 0;
    if (size > 0 && size + NAME_BYTES_MAX + 2 <= sizeof own->path) {
        memcpy(own->path, dir, size);
        own->path[size] = '/';
        own->dir_size = size + 1;
    }
    *ret = own;
    return BRISK_OK;
}

static brisk_err stop(struct recording *own, brisk_errinfo *info)
{
    brisk_err err = brisk_recorder_destroy(own->recorder, info);
    own->recorder = NULL;
    return err;
}

void record_destroy(struct recording *own)
{
    if (own != NULL) {
        brisk_errinfo info = {.text = ""};
        if (stop(own, &info) != BRISK_OK) {
            brisk_log(BRISK_LOG_WARNING, "serve", "the recording is not whole: %s", info.text);
        }
        own->alloc->release(own->alloc->ctx, own, sizeof *own, _Alignof(struct recording));
    }
}

/* --- noting ------------------------------------------------------------------------------- */

bool record_is_on(const struct recording *own)
{
    return own->recorder != NULL;
}

static void note(server *s, brisk_record_op op, resp_bytes name)
{
    brisk_entry_info info;
    bool there = keyspace_info(&s->keys, name, &info);
    if (op == BRISK_RECORD_PUT && !there) {
        op = BRISK_RECORD_REMOVE;
    }
    brisk_key key = keyspace_stored(&s->keys, name);
    bool counts = there && op != BRISK_RECORD_REMOVE;
    brisk_recorder_note(s->recording->recorder, op, &key, counts ? 0 : UINT32_MAX,
                        counts ? info.size : 0);
}

static void note_keys(server *s, const command *cmd, brisk_record_op op, const resp_bytes *argv,
                      uint32_t argc)
{
    int64_t last = cmd->key_last >= 0 ? cmd->key_last : (int64_t)argc + cmd->key_last;
    for (int64_t i = cmd->key_first; i <= last && i < (int64_t)argc; i += cmd->key_step) {
        note(s, op, argv[i]);
    }
}

static bool has_keys(const command *cmd)
{
    return cmd->key_first > 0 && cmd->key_step > 0 && cmd->key_flags != NULL;
}

void record_before(server *s, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    /* What may read a value, by its options (SET ... GET), is mostly used to write one. */
    if (has_keys(cmd) && strstr(cmd->key_flags, "access") != NULL &&
        strstr(cmd->key_flags, "variable_flags") == NULL) {
        note_keys(s, cmd, BRISK_RECORD_GET, argv, argc);
    }
}

void record_after(server *s, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    /* EXPIRE and its like leave the value as it is. */
    if (has_keys(cmd) && (cmd->flags & CMD_WRITE) != 0 &&
        strcmp(cmd->key_flags, "RW update") != 0) {
        note_keys(s, cmd, BRISK_RECORD_PUT, argv, argc);
    }
}

/* --- the command -------------------------------------------------------------------------- */

static bool name_is_good(resp_bytes name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '\0' || strchr(good, name.data[i]) == NULL) {
            return false;
        }
    }
    return name.size > 0 && name.size <= NAME_BYTES_MAX && name.data[0] != '.';
}

/* False: the error was sent. */
static bool read_options(client *c, const resp_bytes *argv, uint32_t argc,
                         brisk_recorder_opts *opts)
{
    for (uint32_t i = 3; i < argc; i++) {
        int64_t bytes;
        if (resp_bytes_equal_nocase(argv[i], "keys")) {
            opts->keys = true;
        } else if (resp_bytes_equal_nocase(argv[i], "bytes") && i + 1 < argc) {
            if (!arg_range(c, argv[++i], (int64_t)bytes_min, bytes_most, &bytes)) {
                return false;
            }
            opts->bytes_max = (uint64_t)bytes;
        } else {
            reply_syntax_error(c);
            return false;
        }
    }
    return true;
}

static void record_start(client *c, const resp_bytes *argv, uint32_t argc)
{
    struct recording *own = c->server->recording;
    brisk_recorder_opts opts = {.path = own->path, .alloc = library_alloc(own->alloc)};
    if (own->dir_size == 0) {
        reply_error(c, "ERR nothing can be recorded: the server was started without "
                       "serve.record_dir");
    } else if (own->recorder != NULL) {
        reply_error(c, "ERR a recording is under way: %s", own->path + own->dir_size);
    } else if (!name_is_good(argv[2])) {
        reply_error(c,
                    "ERR a recording's name is letters, digits, '-', '_' and '.', at most %d, "
                    "and no path",
                    (int)NAME_BYTES_MAX);
    } else if (read_options(c, argv, argc, &opts)) {
        brisk_errinfo info = {.text = ""};
        memcpy(own->path + own->dir_size, argv[2].data, argv[2].size);
        own->path[own->dir_size + argv[2].size] = '\0';
        own->keys = opts.keys;
        brisk_err err = brisk_recorder_create(&opts, &own->recorder, &info);
        if (err == BRISK_OK) {
            reply_ok(c);
        } else {
            reply_error(c, "ERR %s", info.text[0] != '\0' ? info.text : brisk_err_message(err));
        }
    }
}

static void record_stop(client *c)
{
    brisk_errinfo info = {.text = ""};
    if (c->server->recording->recorder == NULL) {
        reply_error(c, "ERR nothing is being recorded");
    } else if (stop(c->server->recording, &info) == BRISK_OK) {
        reply_ok(c);
    } else {
        reply_error(c, "ERR the recording is not whole: %s", info.text);
    }
}

static void record_status(client *c)
{
    struct recording *own = c->server->recording;
    brisk_recorder_stats stats = {0};
    brisk_str text;
    brisk_str_init(&text, c->server->alloc, TEXT_MAX);
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_bool(&json, "possible", own->dir_size != 0);
    brisk_json_bool(&json, "recording", own->recorder != NULL);
    if (own->recorder != NULL) {
        brisk_recorder_read_stats(own->recorder, &stats);
        brisk_json_str(&json, "name", own->path + own->dir_size);
        brisk_json_bool(&json, "keys", own->keys);
        brisk_json_u64(&json, "noted", stats.noted);
        brisk_json_u64(&json, "dropped", stats.dropped);
        brisk_json_u64(&json, "written", stats.written);
        brisk_json_u64(&json, "bytes", stats.bytes);
        brisk_json_str(&json, "error",
                       stats.error != BRISK_OK ? brisk_err_message(stats.error) : "");
    }
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        resp_put_bulk(&c->worker->out, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        reply_error(c, "OOM out of memory");
    }
    brisk_str_deinit(&text);
}

static void cmd_record(client *c, const resp_bytes *argv, uint32_t argc)
{
    if (resp_bytes_equal_nocase(argv[1], "start") && argc >= 3) {
        record_start(c, argv, argc);
    } else if (resp_bytes_equal_nocase(argv[1], "stop") && argc == 2) {
        record_stop(c);
    } else if (resp_bytes_equal_nocase(argv[1], "status") && argc == 2) {
        record_status(c);
    } else {
        reply_syntax_error(c);
    }
}

static const command rows[] = {
    {.name = "brisk.record",
     .summary = "Takes down what is asked for, in a file",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(1)",
     .synopsis = "START name [KEYS] [BYTES n] | STOP | STATUS",
     .run = cmd_record,
     .arity = -2,
     .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE,
     .categories = CAT_ADMIN | CAT_SLOW | CAT_DANGEROUS},
};

const command_family family_record = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
