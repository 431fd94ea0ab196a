/*
 * tracking.c -- who read what, and telling them.
 *
 * Invariant: a client with CLIENT_TRACKING_BCAST is in every prefix of its own dict and in no other;
 * `items` is the sum of all lists in the table, `bytes` of its keys.
 */
#include "daemon/tracking.h"

#include <string.h>

#include "base/assert.h"
#include "daemon/server.h"

enum { KEYS_MAX_DEFAULT = 1000000, BYTES_MAX = 256 << 20, EFFORT = 100 };

typedef struct id_list {
    uint32_t count;
    uint32_t capacity;
    uint64_t ids[];
} id_list;

/* Somebody's prefix; who listens, and what changed under it in this batch (key -> by whom). */
typedef struct broadcast {
    BRISK_VEC(client *) clients;
    dict keys;
} broadcast;

struct tracking {
    const brisk_alloc *alloc;
    dict table;    /* key -> id_list */
    dict prefixes; /* prefix -> broadcast */
    uint64_t items;
    uint64_t bytes;
    uint64_t clients;
    uint64_t keys_max;
    uint32_t effort; /* grows while the bound is not kept */
    bool to_tell;    /* some broadcast has keys */
};

brisk_err tracking_create(const brisk_alloc *alloc, tracking **ret)
{
    tracking *tr = alloc->acquire(alloc->ctx, sizeof *tr, _Alignof(tracking));
    if (tr == NULL) {
        return BRISK_ERR_NOMEM;
    }
    *tr = (tracking){.alloc = alloc, .keys_max = KEYS_MAX_DEFAULT};
    dict_init(&tr->table, alloc);
    dict_init(&tr->prefixes, alloc);
    *ret = tr;
    return BRISK_OK;
}

/* --- the table ---------------------------------------------------------------------------- */

static size_t list_bytes(uint32_t capacity)
{
    return sizeof(id_list) + capacity * sizeof(uint64_t);
}

static void drop_list(tracking *tr, dict_entry *entry)
{
    id_list *list = entry->value;
    tr->bytes -= entry->size;
    if (list != NULL) {
        tr->items -= list->count;
        tr->alloc->release(tr->alloc->ctx, list, list_bytes(list->capacity), _Alignof(id_list));
    }
    dict_remove(&tr->table, entry);
}

static void drop_table(tracking *tr)
{
    dict_entry *entry = dict_next(&tr->table, NULL);
    while (entry != NULL) {
        dict_entry *next = dict_next(&tr->table, entry);
        drop_list(tr, entry);
        entry = next;
    }
}

static bool list_has(const id_list *list, uint64_t id)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* False: out of memory. */
static bool add_id(tracking *tr, dict_entry *entry, uint64_t id)
{
    id_list *list = entry->value;
    if (list != NULL && list_has(list, id)) {
        return true;
    }
    if (list == NULL || list->count == list->capacity) {
        uint32_t capacity = list != NULL ? list->capacity * 2 : 1;
        id_list *grown =
            tr->alloc->acquire(tr->alloc->ctx, list_bytes(capacity), _Alignof(id_list));
        if (grown == NULL) {
            return false;
        }
        *grown = (id_list){.capacity = capacity};
        if (list != NULL) {
            memcpy(grown->ids, list->ids, list->count * sizeof list->ids[0]);
            grown->count = list->count;
            tr->alloc->release(tr->alloc->ctx, list, list_bytes(list->capacity), _Alignof(id_list));
        }
        list = grown;
        entry->value = list;
    }
    list->ids[list->count++] = id;
    tr->items++;
    return true;
}

/* --- telling ------------------------------------------------------------------------------ */

/* Who gets what is meant for `c`, or NULL: nobody can. */
static client *receiver_of(client *c)
{
    if (c->redirect == 0) {
        return c->protocol >= 3 ? c : NULL;
    }
    client *to = client_find(c->server, c->redirect);
    if (to == NULL || (to->flags & CLIENT_CLOSE) != 0) { /* gone, or going after its last answer */
        c->flags |= CLIENT_TRACKING_BROKEN;
        if (c->protocol >= 3) {
            resp_writer *out = client_push_begin(c);
            resp_put_push(out, 2);
            resp_put_text(out, "tracking-redir-broken");
            resp_put_integer(out, (int64_t)c->redirect);
            client_pushed(c);
        }
        return NULL;
    }
    bool listens = to->channels.count + to->patterns.count > 0;
    return to->protocol >= 3 || listens ? to : NULL;
}

static void put_head(resp_writer *out)
{
    if (out->protocol >= 3) {
        resp_put_push(out, 2);
        resp_put_text(out, "invalidate");
    } else {
        resp_put_array(out, 3);
        resp_put_text(out, "message");
        resp_put_text(out, "__redis__:invalidate");
    }
}

static void tell(client *c, resp_bytes key)
{
    client *to = receiver_of(c);
    if (to != NULL) {
        resp_writer *out = client_push_begin(to);
        put_head(out);
        resp_put_array(out, 1);
        resp_put_bulk(out, key.data, key.size);
        client_pushed(to);
    }
}

void tracking_remember(client *c, const command *cmd, const resp_bytes *argv, uint32_t argc)
{
    tracking *tr = c->server->tracking;
    bool caching = (c->flags & CLIENT_TRACKING_CACHING) != 0;
    if ((c->flags & CLIENT_TRACKING_BCAST) != 0 ||
        ((c->flags & CLIENT_TRACKING_OPTIN) != 0 && !caching) ||
        ((c->flags & CLIENT_TRACKING_OPTOUT) != 0 && caching) || cmd->key_first <= 0) {
        return;
    }
    int64_t last = cmd->key_last >= 0 ? cmd->key_last : (int64_t)argc + cmd->key_last;
    for (int64_t i = cmd->key_first; i <= last && i < (int64_t)argc; i += cmd->key_step) {
        dict_entry *entry = dict_add(&tr->table, argv[i].data, argv[i].size);
        tr->bytes += entry != NULL && entry->value == NULL ? entry->size : 0;
        if (entry == NULL || !add_id(tr, entry, c->id)) {
            tell(c, argv[i]); /* no memory to remember it: it must not be kept */
            if (entry != NULL && entry->value == NULL) {
                drop_list(tr, entry);
            }
        }
    }
}

static void note_broadcast(tracking *tr, const client *c, resp_bytes key)
{
    for (dict_entry *e = dict_next(&tr->prefixes, NULL); e != NULL;
         e = dict_next(&tr->prefixes, e)) {
        if (key.size < e->size || memcmp(key.data, e->key, e->size) != 0) {
            continue;
        }
        broadcast *b = e->value;
        dict_entry *noted = dict_add(&b->keys, key.data, key.size);
        if (noted != NULL) {
            noted->value = (void *)(uintptr_t)(c != NULL ? c->id : 0);
            tr->to_tell = true;
        }
    }
}

static void tell_readers(server *s, const client *by, dict_entry *entry, resp_bytes key)
{
    tracking *tr = s->tracking;
    const id_list *list = entry->value;
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        client *c = client_find(s, list->ids[i]);
        if (c == NULL || (c->flags & CLIENT_TRACKING) == 0 ||
            (c->flags & CLIENT_TRACKING_BCAST) != 0 ||
            (c == by && (c->flags & CLIENT_TRACKING_NOLOOP) != 0)) {
            continue;
        }
        tell(c, key);
    }
    drop_list(tr, entry);
}

void tracking_changed(server *s, client *by, resp_bytes key)
{
    tracking *tr = s->tracking;
    if (tr->prefixes.count > 0) {
        note_broadcast(tr, by, key);
    }
    dict_entry *entry = dict_find(&tr->table, key.data, key.size);
    if (entry != NULL) {
        tell_readers(s, by, entry, key);
    }
}

void tracking_changed_all(server *s)
{
    for (client *c = s->clients; c != NULL && s->tracking->clients > 0; c = c->next) {
        if ((c->flags & CLIENT_TRACKING) == 0) {
            continue;
        }
        client *to = receiver_of(c);
        if (to != NULL) {
            resp_writer *out = client_push_begin(to);
            put_head(out);
            resp_put_null_array(out);
            client_pushed(to);
        }
    }
    drop_table(s->tracking);
}

/* What changed under a prefix, to one client. */
static void tell_changes(client *c, const broadcast *b)
{
    bool noloop = (c->flags & CLIENT_TRACKING_NOLOOP) != 0;
    size_t count = 0;
    for (dict_entry *e = dict_next(&b->keys, NULL); e != NULL; e = dict_next(&b->keys, e)) {
        count += noloop && (uintptr_t)e->value == c->id ? 0 : 1;
    }
    client *to = count > 0 ? receiver_of(c) : NULL;
    if (to == NULL) {
        return;
    }
    resp_writer *out = client_push_begin(to);
    put_head(out);
    resp_put_array(out, count);
    for (dict_entry *e = dict_next(&b->keys, NULL); e != NULL; e = dict_next(&b->keys, e)) {
        if (!noloop || (uintptr_t)e->value != c->id) {
            resp_put_bulk(out, e->key, e->size);
        }
    }
    client_pushed(to);
}

void tracking_broadcast(server *s)
{
    tracking *tr = s->tracking;
    if (!tr->to_tell) {
        return;
    }
    tr->to_tell = false;
    for (dict_entry *e = dict_next(&tr->prefixes, NULL); e != NULL;
         e = dict_next(&tr->prefixes, e)) {
        broadcast *b = e->value;
        for (size_t i = 0; b->keys.count > 0 && i < b->clients.count; i++) {
            tell_changes(b->clients.items[i], b);
        }
        dict_deinit(&b->keys);
    }
}

static bool is_too_much(const tracking *tr)
{
    return (tr->keys_max != 0 && tr->table.count > tr->keys_max) || tr->bytes > BYTES_MAX;
}

void tracking_limit(server *s)
{
    tracking *tr = s->tracking;
    if (!is_too_much(tr)) {
        tr->effort = 0;
        return;
    }
    tr->effort++;
    for (uint32_t i = EFFORT * tr->effort; i > 0 && is_too_much(tr); i--) {
        dict_entry *entry = dict_some(&tr->table, brisk_rng_next(&s->rng));
        tell_readers(s, NULL, entry, (resp_bytes){.data = entry->key, .size = entry->size});
    }
}

/* --- who ---------------------------------------------------------------------------------- */

static void free_broadcast(tracking *tr, dict_entry *entry)
{
    broadcast *b = entry->value;
    BRISK_VEC_DEINIT(&b->clients);
    dict_deinit(&b->keys);
    tr->alloc->release(tr->alloc->ctx, b, sizeof *b, _Alignof(broadcast));
    dict_remove(&tr->prefixes, entry);
}

/* What a prefix costs: here and at the client. */
static size_t kept_bytes(size_t prefix_size)
{
    return 2 * (prefix_size + KEPT_OVERHEAD);
}

static bool join_prefix(client *c, resp_bytes prefix)
{
    tracking *tr = c->server->tracking;
    dict_entry *entry = dict_add(&tr->prefixes, prefix.data, prefix.size);
    if (entry == NULL) {
        return false;
    }
    if (entry->value == NULL) {
        broadcast *b = tr->alloc->acquire(tr->alloc->ctx, sizeof *b, _Alignof(broadcast));
        if (b == NULL) {
            dict_remove(&tr->prefixes, entry);
            return false;
        }
        *b = (broadcast){0};
        b->clients.alloc = tr->alloc;
        dict_init(&b->keys, tr->alloc);
        entry->value = b;
    }
    broadcast *b = entry->value;
    if (!BRISK_VEC_PUSH(&b->clients, c)) {
        return false;
    }
    if (dict_add(&c->prefixes, prefix.data, prefix.size) == NULL) {
        b->clients.count--;
        return false;
    }
    return true;
}

bool tracking_add_prefix(client *c, resp_bytes prefix)
{
    if (dict_find(&c->prefixes, prefix.data, prefix.size) != NULL) {
        return true;
    }
    if (!server_keep(c->server, kept_bytes(prefix.size))) {
        return false;
    }
    bool good = join_prefix(c, prefix);
    if (!good) {
        server_let_go(c->server, kept_bytes(prefix.size));
    }
    return good;
}

static void leave_prefixes(client *c)
{
    tracking *tr = c->server->tracking;
    for (dict_entry *e = dict_next(&c->prefixes, NULL); e != NULL; e = dict_next(&c->prefixes, e)) {
        dict_entry *entry = dict_find(&tr->prefixes, e->key, e->size);
        BRISK_ASSERT(entry != NULL);
        server_let_go(c->server, kept_bytes(e->size));
        broadcast *b = entry->value;
        for (size_t i = 0; i < b->clients.count; i++) {
            if (b->clients.items[i] == c) {
                b->clients.items[i] = b->clients.items[--b->clients.count];
                break;
            }
        }
        if (b->clients.count == 0) {
            free_broadcast(tr, entry);
        }
    }
    dict_deinit(&c->prefixes);
}

void tracking_enable(client *c, uint32_t flags, uint64_t redirect)
{
    if ((c->flags & CLIENT_TRACKING) == 0) {
        c->server->tracking->clients++;
    }
    c->flags &= ~(uint32_t)(CLIENT_TRACKING_BROKEN | CLIENT_TRACKING_BCAST | CLIENT_TRACKING_OPTIN |
                            CLIENT_TRACKING_OPTOUT | CLIENT_TRACKING_NOLOOP);
    c->flags |= CLIENT_TRACKING | flags;
    c->redirect = redirect;
}

void tracking_disable(client *c)
{
    if ((c->flags & CLIENT_TRACKING) == 0) {
        return;
    }
    leave_prefixes(c);
    c->server->tracking->clients--;
    c->redirect = 0;
    c->flags &= ~(uint32_t)(CLIENT_TRACKING | CLIENT_TRACKING_BROKEN | CLIENT_TRACKING_BCAST |
                            CLIENT_TRACKING_CACHING | CLIENT_TRACKING_OPTIN |
                            CLIENT_TRACKING_OPTOUT | CLIENT_TRACKING_NOLOOP);
}

void tracking_destroy(tracking *tr)
{
    if (tr == NULL) {
        return;
    }
    drop_table(tr);
    dict_deinit(&tr->table);
    dict_entry *entry = dict_next(&tr->prefixes, NULL);
    while (entry != NULL) {
        dict_entry *next = dict_next(&tr->prefixes, entry);
        free_broadcast(tr, entry);
        entry = next;
    }
    dict_deinit(&tr->prefixes);
    tr->alloc->release(tr->alloc->ctx, tr, sizeof *tr, _Alignof(tracking));
}

/* --- figures ------------------------------------------------------------------------------ */

void tracking_set_max(server *s, uint64_t keys_max)
{
    s->tracking->keys_max = keys_max;
}

uint64_t tracking_max(const server *s)
{
    return s->tracking->keys_max;
}

bool tracking_is_used(const server *s)
{
    return s->tracking->clients > 0 || s->tracking->table.count > 0;
}

tracking_figures tracking_read(const server *s)
{
    const tracking *tr = s->tracking;
    return (tracking_figures){.clients = tr->clients,
                              .keys = tr->table.count,
                              .items = tr->items,
                              .prefixes = tr->prefixes.count};
}
