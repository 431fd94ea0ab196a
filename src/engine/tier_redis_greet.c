/*
 * tier_redis_greet.c -- the handshake of a connection.
 *
 *     HELLO 3 [AUTH user password]      a server that does not know it is asked in RESP2:
 *     [AUTH [user] password]
 *     [SELECT db] [CLIENT KILL ID id ADDR address] [CLIENT ID]       at once
 *
 * CLIENT KILL: the last connection was given up while commands were under way.  What the server
 * has received of them and not read yet must not be done after what this connection will ask.
 */
#include "engine/tier_redis_greet.h"

#include <string.h>

enum { TEXT_MAX = 200 };

typedef struct answer {
    redis_call call; /* first: what the link knows */
    resp_type type;
    int64_t integer;     /* of an INTEGER, or `id` in HELLO's map */
    char text[TEXT_MAX]; /* of an error */
} answer;

static void take(redis_call *call, const resp_replies *reply)
{
    answer *a = (answer *)call;
    const resp_node *node = resp_replies_value(reply);
    a->type = node->type;
    a->integer = node->integer;
    if (node->type == RESP_ERROR) {
        size_t size = node->bytes.size < TEXT_MAX - 1 ? node->bytes.size : TEXT_MAX - 1;
        memcpy(a->text, node->bytes.data, size);
        a->text[size] = '\0';
        for (size_t i = 0; i < size; i++) { /* it may end on a terminal */
            a->text[i] = a->text[i] >= ' ' && a->text[i] < 127 ? a->text[i] : '?';
        }
    }
    const resp_node *item = node + 1;
    for (uint32_t i = 0; node->type == RESP_MAP && i + 1 < node->count; i += 2) {
        const resp_node *value = item + item->nodes;
        if (item->type == RESP_BULK && resp_bytes_equal(item->bytes, "id") &&
            value->type == RESP_INTEGER) {
            a->integer = value->integer;
        }
        item = value + value->nodes;
    }
}

static bool begins_with(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

static brisk_err refused(const redis_link_opts *opts, const answer *a, brisk_errinfo *info)
{
    brisk_err err = BRISK_ERR_IO;
    if (begins_with(a->text, "WRONGPASS") || begins_with(a->text, "NOAUTH") ||
        begins_with(a->text, "NOPERM") || begins_with(a->text, "DENIED") ||
        strstr(a->text, "password") != NULL) {
        err = BRISK_ERR_PERMISSION;
    }
    return brisk_errinfo_set(info, err, "%s:%u: %s", opts->address->host, opts->address->port,
                             a->text);
}

static brisk_err ask(redis_link *link, answer *answers, uint32_t count, uint64_t deadline_ns)
{
    redis_call *calls[4];
    for (uint32_t i = 0; i < count; i++) {
        answers[i] = (answer){.call = {.take = take}};
        calls[i] = &answers[i].call;
    }
    redis_link_commit(link, calls, count, deadline_ns);
    brisk_err err = BRISK_OK;
    for (uint32_t i = 0; i < count; i++) {
        redis_link_wait(link, calls[i], deadline_ns);
        err = err == BRISK_OK ? calls[i]->err : err;
    }
    return err;
}

static bool has_password(const redis_link_opts *opts)
{
    return opts->password != NULL && opts->password[0] != '\0';
}

static void put_hello(resp_writer *out, const redis_link_opts *opts)
{
    bool user = opts->user != NULL && opts->user[0] != '\0';
    resp_put_array(out, has_password(opts) ? 5 : 2);
    resp_put_text(out, "HELLO");
    resp_put_text(out, "3");
    if (has_password(opts)) {
        resp_put_text(out, "AUTH");
        resp_put_text(out, user ? opts->user : "default");
        resp_put_text(out, opts->password);
    }
}

static void put_auth(resp_writer *out, const redis_link_opts *opts)
{
    bool user = opts->user != NULL && opts->user[0] != '\0';
    resp_put_array(out, user ? 3 : 2);
    resp_put_text(out, "AUTH");
    if (user) {
        resp_put_text(out, opts->user);
    }
    resp_put_text(out, opts->password);
}

static brisk_err say_hello(redis_link *link, const redis_link_opts *opts, uint64_t deadline_ns,
                           redis_greeting *greeting, brisk_errinfo *info)
{
    answer a[1];
    put_hello(redis_link_begin(link), opts);
    brisk_err err = ask(link, a, 1, deadline_ns);
    if (err != BRISK_OK) {
        return err;
    }
    *greeting = (redis_greeting){.protocol = 3, .client_id = a->integer};
    if (a->type == RESP_MAP) {
        return BRISK_OK;
    }
    *greeting = (redis_greeting){.protocol = 2};
    if (a->type == RESP_ERROR && !begins_with(a->text, "NOPROTO") &&
        !begins_with(a->text, "ERR unknown command")) {
        return refused(opts, a, info);
    }
    if (!has_password(opts)) {
        return BRISK_OK;
    }
    put_auth(redis_link_begin(link), opts);
    err = ask(link, a, 1, deadline_ns);
    return err == BRISK_OK && a->type == RESP_ERROR ? refused(opts, a, info) : err;
}

static void put_kill(resp_writer *out, const redis_ghost *ghost)
{
    resp_put_array(out, 6);
    resp_put_text(out, "CLIENT");
    resp_put_text(out, "KILL");
    resp_put_text(out, "ID");
    resp_put_integer_bulk(out, ghost->id);
    resp_put_text(out, "ADDR");
    resp_put_text(out, ghost->address);
}

static brisk_err set_up(redis_link *link, const redis_link_opts *opts, uint64_t deadline_ns,
                        redis_greeting *greeting, brisk_errinfo *info)
{
    const redis_ghost *ghost = opts->ghost;
    answer a[3];
    uint32_t count = 0;
    resp_writer *out = redis_link_begin(link);
    if (opts->db != 0) {
        resp_put_array(out, 2);
        resp_put_text(out, "SELECT");
        resp_put_integer_bulk(out, (int64_t)opts->db);
        count++;
    }
    if (ghost != NULL && ghost->id > 0) {
        put_kill(out, ghost); /* the answer says how many; not being allowed to is no error */
        count++;
    }
    resp_put_array(out, 2);
    resp_put_text(out, "CLIENT");
    resp_put_text(out, "ID");
    count++;
    brisk_err err = ask(link, a, count, deadline_ns);
    if (err == BRISK_OK && a[count - 1].type == RESP_INTEGER) {
        greeting->client_id = a[count - 1].integer;
    }
    if (err == BRISK_OK && opts->db != 0 && a[0].type == RESP_ERROR) {
        return refused(opts, &a[0], info);
    }
    if (err == BRISK_OK && begins_with(a[count - 1].text, "NOAUTH")) {
        return refused(opts, &a[count - 1], info);
    }
    return err;
}

brisk_err redis_greet(redis_link *link, const redis_link_opts *opts, uint64_t deadline_ns,
                      redis_greeting *ret, brisk_errinfo *info)
{
    brisk_errinfo why = {.code = BRISK_OK};
    redis_greeting greeting;
    brisk_err err = say_hello(link, opts, deadline_ns, &greeting, &why);
    if (err == BRISK_OK) {
        err = set_up(link, opts, deadline_ns, &greeting, &why);
    }
    if (err == BRISK_OK) {
        *ret = greeting;
        return BRISK_OK;
    }
    if (why.code == err) {
        return brisk_errinfo_set(info, err, "%s", why.text);
    }
    return brisk_errinfo_set(info, err, "%s:%u: no answer of a Redis: %s", opts->address->host,
                             opts->address->port, brisk_err_message(err));
}
