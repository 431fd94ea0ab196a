/*
 * client.h -- who is at the other end of a connection that speaks the Redis protocol.
 *
 * Everything here is changed under the server's lock; pushes from other clients' commands (messages,
 * invalidations) go to `inbox`, whoever's thread it is, and the client's own worker sends them.
 *
 *     fields of the connection (socket, buffers)  the worker's alone
 *     fields of the client                        the server's lock
 */
#ifndef BRISK_SRC_DAEMON_CLIENT_H
#define BRISK_SRC_DAEMON_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "daemon/conn.h"
#include "daemon/dict.h"
#include "wire/resp.h"

typedef struct server server;
typedef struct client client;
typedef struct command command;

enum client_flags {
    CLIENT_AUTHENTICATED = 1u << 0,
    CLIENT_MULTI = 1u << 1,
    CLIENT_DIRTY_EXEC = 1u << 2, /* a queued command was wrong */
    CLIENT_DIRTY_CAS = 1u << 3,  /* a watched key was touched */
    CLIENT_REPLY_OFF = 1u << 4,
    CLIENT_REPLY_SKIP = 1u << 5, /* this command's */
    CLIENT_REPLY_SKIP_NEXT = 1u << 6,
    CLIENT_MONITOR = 1u << 7,
    CLIENT_TRACKING = 1u << 8,
    CLIENT_TRACKING_BCAST = 1u << 9,
    CLIENT_TRACKING_OPTIN = 1u << 10,
    CLIENT_TRACKING_OPTOUT = 1u << 11,
    CLIENT_TRACKING_NOLOOP = 1u << 12,
    CLIENT_TRACKING_CACHING = 1u << 13, /* CLIENT CACHING was said before this command */
    CLIENT_TRACKING_BROKEN = 1u << 14,  /* the client to redirect to is gone */
    CLIENT_NO_EVICT = 1u << 15,
    CLIENT_NO_TOUCH = 1u << 16,
    CLIENT_UNIX = 1u << 17,
    CLIENT_CLOSE = 1u << 18, /* when its answers are sent */
    CLIENT_IN_EXEC = 1u << 19,
    CLIENT_MAIL = 1u << 20, /* on its worker's list of clients with something in the inbox */
    CLIENT_KILLED = 1u << 21,
};

/* Why a client's commands wait. */
typedef enum client_block {
    CLIENT_READY = 0,
    CLIENT_PAUSED,   /* CLIENT PAUSE */
    CLIENT_LOADING,  /* BRISK.LOAD: another client computes the value */
    CLIENT_FETCHING, /* keys come from the disk tier */
} client_block;

/* How a wait for a load ended. */
typedef enum client_ended {
    CLIENT_ENDED_NORMALLY = 0,
    CLIENT_ENDED_BY_TIMEOUT,
    CLIENT_ENDED_BY_ERROR,
} client_ended;

/* A command kept for later: its arguments follow each other in one block. */
typedef struct client_held {
    const command *command;
    uint32_t argc;
    size_t bytes;
    resp_bytes *argv;
} client_held;

/* WATCH: one of a client's keys. */
typedef struct client_watch {
    dict_entry *key; /* in the server's table */
    bool existed;
} client_watch;

struct client {
    conn *conn;
    server *server;
    worker *worker;
    uint64_t id;
    client *next; /* by id */
    client *previous;
    client *mail_next;
    uint32_t flags;
    client_block block;
    uint32_t db; /* always 0 */
    uint8_t protocol;
    uint64_t created_ns; /* monotonic */
    uint64_t active_ns;
    resp_requests requests;
    resp_writer inbox;
    char *name;
    char *library_name;
    char *library_version;
    const command *last_command;
    BRISK_VEC(client_held) queue; /* MULTI */
    size_t queue_bytes;
    client_held held; /* to be run when the wait is over */
    BRISK_VEC(client_watch) watches;
    dict channels;
    dict patterns;
    dict shard_channels;
    dict prefixes;          /* of BCAST */
    uint64_t redirect;      /* 0: none */
    uint64_t wait_until_ns; /* monotonic; 0: no end */
    client *wait_next;      /* others that wait for the same key */
    client_ended ended;
    uint32_t leases;      /* loads it promised */
    uint32_t fetches;     /* keys that are to come from disk */
    uint32_t fetch_tries; /* how often the command waited for them */
    bool fetch_found;     /* some of them were there */
    void *walk;           /* what was found on disk for the command: disk_walk.h */
    void *wait_for;       /* what BRISK.LOAD or the fetch waits for */
    size_t in_size;       /* as of the last batch, for CLIENT LIST */
    size_t in_free;
    size_t argv_bytes;
    size_t args_bytes; /* of the table of arguments, as counted; its worker's own */
    uint64_t commands;
    bool waits; /* its worker's own: the last batch ended in a wait */
};

/* --- client.c: under the server's lock ---------------------------------------------------- */

client *client_create(conn *c);
/* Forget it everywhere. */
void client_destroy(client *c);
client *client_find(server *s, uint64_t id);
/* Replace a text of the client's; false: out of memory. */
bool client_set_text(client *c, char **text, resp_bytes bytes);
/* It gave the password: ordinary limits. */
void client_authenticate(client *c);
/* Take bytes to its inbox; its worker is told. */
void client_push(client *c, const void *data, size_t size);
/* A writer for a push in the client's own protocol; then client_pushed. */
resp_writer *client_push_begin(client *c);
void client_pushed(client *c);
/* End it: at once, or when its answers are sent when it is `self`. */
void client_end(client *c, client *self);
/* Go on after a wait. */
void client_unblock(client *c);
/* Copy a command; false: out of memory. */
bool client_hold(client *c, client_held *held, const command *cmd, const resp_bytes *argv,
                 uint32_t argc);
void client_held_free(client *c, client_held *held);
/* Everything that MULTI and WATCH left. */
void client_discard(client *c);
/* RESET: as new, but for its id. */
void client_reset(client *c);
uint32_t client_subscriptions(const client *c);
/* One line of CLIENT LIST into `out`. */
void client_describe(const client *c, resp_writer *out);
/* "127.0.0.1:123", or the path of the unix socket and ":0". */
void client_peer(const client *c, char *text, size_t size);
void client_local(const client *c, char *text, size_t size);

#endif /* BRISK_SRC_DAEMON_CLIENT_H */
