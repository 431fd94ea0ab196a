/*
 * command.h -- what a command is: one row of a table, from which lookup, checks, COMMAND and the
 * documentation come.
 *
 * Each family of commands is a file cmd_*.c that exports its rows; table.c joins them.  Handlers run
 * under the server's lock and write exactly one reply to c->worker->out (or none, when they block).
 */
#ifndef BRISK_SRC_DAEMON_COMMAND_H
#define BRISK_SRC_DAEMON_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/client.h"
#include "wire/resp.h"

enum command_flags {
    CMD_WRITE = 1u << 0,
    CMD_READONLY = 1u << 1,
    CMD_DENYOOM = 1u << 2,
    CMD_ADMIN = 1u << 3,
    CMD_PUBSUB = 1u << 4,
    CMD_NOSCRIPT = 1u << 5,
    CMD_BLOCKING = 1u << 6,
    CMD_LOADING = 1u << 7,
    CMD_STALE = 1u << 8,
    CMD_SKIP_MONITOR = 1u << 9,
    CMD_SKIP_SLOWLOG = 1u << 10,
    CMD_FAST = 1u << 11,
    CMD_NO_AUTH = 1u << 12,
    CMD_MAY_REPLICATE = 1u << 13,
    CMD_NO_MULTI = 1u << 14,
    CMD_ALLOW_BUSY = 1u << 15,
    CMD_OVERWRITES = 1u << 16,   /* needs nothing of what the key was (not shown) */
    CMD_IN_SUBSCRIBE = 1u << 17, /* RESP2 subscribers may use it (not shown) */
    CMD_SECRET = 1u << 18,       /* arguments are not shown by MONITOR and SLOWLOG (not shown) */
};

enum command_category {
    CAT_KEYSPACE = 1u << 0,
    CAT_READ = 1u << 1,
    CAT_WRITE = 1u << 2,
    CAT_STRING = 1u << 3,
    CAT_BITMAP = 1u << 4,
    CAT_PUBSUB = 1u << 5,
    CAT_ADMIN = 1u << 6,
    CAT_FAST = 1u << 7,
    CAT_SLOW = 1u << 8,
    CAT_BLOCKING = 1u << 9,
    CAT_DANGEROUS = 1u << 10,
    CAT_CONNECTION = 1u << 11,
    CAT_TRANSACTION = 1u << 12,
    CAT_COUNT = 13,
};

struct disk_ask;
typedef void command_fn(client *c, const resp_bytes *argv, uint32_t argc);

struct command {
    const char *name; /* lower case */
    const char *summary;
    const char *since;
    const char *complexity;
    const char *group;
    const char *synopsis; /* arguments, as Redis's documentation writes them */
    command_fn *run;
    /* What it wants to know of the disk first; NULL: of its keys. */
    void (*asks)(client *c, const resp_bytes *argv, uint32_t argc, struct disk_ask *ret);
    const command *subcommands;
    uint32_t subcommand_count;
    const command *parent; /* set by the table, as is `number` */
    uint32_t number;
    int32_t arity; /* with the name; negative: at least */
    uint32_t flags;
    uint32_t categories;
    int8_t key_first;
    int8_t key_last; /* negative: from the end */
    int8_t key_step;
    const char *key_flags; /* "RW access update", words of COMMAND INFO and GETKEYSANDFLAGS */
};

typedef struct command_family {
    const command *rows;
    uint32_t count;
} command_family;

/* What is counted of a command; by its number in the table. */
typedef struct command_stats {
    uint32_t *times; /* of its group: metrics.h; borrowed, never NULL in a server */
    uint64_t calls;
    uint64_t ns;
    uint64_t rejected;
    uint64_t failed;
    uint64_t latency[32]; /* calls of 2^i .. 2^(i+1) - 1 us */
} command_stats;

extern const command_family family_string, family_number, family_lcs, family_bitfield, family_key,
    family_expire, family_bit, family_scan, family_connection, family_client, family_pubsub,
    family_multi, family_server, family_config, family_info, family_introspect, family_object,
    family_brisk, family_tag, family_curve, family_record, family_metrics;

/* --- table.c ------------------------------------------------------------------------------ */

enum { COMMANDS_MAX = 320 }; /* commands and subcommands */

typedef struct command_table command_table;

BRISK_NODISCARD brisk_err command_table_create(const brisk_alloc *alloc, command_table **ret);
void command_table_destroy(command_table *table);
/* The command of a name in any case, or NULL. */
const command *command_find(const command_table *table, resp_bytes name);
const command *command_find_sub(const command *parent, resp_bytes name);
/* "config|get", or a plain name. */
const command *command_find_full(const command_table *table, resp_bytes name);
uint32_t command_count(const command_table *table);
/* Number `index` of all top-level commands. */
const command *command_at(const command_table *table, uint32_t index);
/* Where its figures are. */
command_stats *command_stats_of(command_table *table, const command *cmd);
/* Figures begin anew; where times go stays. */
void command_table_reset_stats(command_table *table);
/* "config|get" into `text`. */
void command_full_name(const command *cmd, char *text, size_t size);

/* "keyspace" and so on; one bit.  0: no such category. */
const char *command_category_name(uint32_t category);
uint32_t command_category_of(resp_bytes name);

static inline bool command_takes(const command *cmd, uint32_t argc)
{
    return cmd->arity >= 0 ? argc == (uint32_t)cmd->arity : argc >= (uint32_t)-cmd->arity;
}

/* Positions of the keys in argv; returns how many.  `ret` may be NULL to count. */
uint32_t command_keys(const command *cmd, const resp_bytes *argv, uint32_t argc, uint32_t *ret,
                      uint32_t max);

/* --- run.c -------------------------------------------------------------------------------- */

/* All checks, then the command that was found for argv[0] (NULL: none). */
void command_dispatch(client *c, const command *found, const resp_bytes *argv, uint32_t argc);
/* The command that was held while its client waited. */
void command_run_held(client *c);
/* The command itself, counted and timed; for EXEC and for what was held. */
void command_call(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc);

/* Handlers that others must know. */
command_fn command_exec, command_client_unpause, command_quit, command_reset;

/* --- helpers that all families use: reply.c ----------------------------------------------- */

void reply_error(client *c, const char *format, ...) BRISK_PRINTF(2, 3);
void reply_ok(client *c);
void reply_syntax_error(client *c);
void reply_wrong_arity(client *c, const command *cmd);
void reply_unknown_subcommand(client *c, const command *parent, resp_bytes sub);
/* The number in `text`; false: the error was sent. */
bool arg_i64(client *c, resp_bytes text, int64_t *ret);
/* Likewise, from `min` to `max`; `what` is the error's text or NULL. */
bool arg_range(client *c, resp_bytes text, int64_t min, int64_t max, int64_t *ret);
/* Lines of help, the last NULL. */
void reply_help(client *c, const command *parent, const char *const *lines);
/* No blanks, nothing that is not printed. */
bool client_name_is_good(resp_bytes name);
/* After keyspace_put and keyspace_update: false: the error was sent. */
bool reply_stored(client *c, brisk_err err);

#endif /* BRISK_SRC_DAEMON_COMMAND_H */
