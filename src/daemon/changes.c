/*
 * changes.c -- what follows a change: watchers, trackers, the disk tier, keyspace events.
 */
#include <string.h>

#include "daemon/disk.h"
#include "daemon/loads.h"
#include "daemon/multi.h"
#include "daemon/pubsub.h"
#include "daemon/server.h"
#include "daemon/tracking.h"

enum { ROOM_SAMPLES = 16, ROOM_TRIES = 4096, CHANNEL_HEAD_MAX = 64 };

/* --- events ------------------------------------------------------------------------------- */

static void publish_event(server *s, const char *head, resp_bytes tail, resp_bytes message)
{
    resp_writer channel;
    resp_writer_init(&channel, s->alloc, 0);
    resp_put_raw(&channel, head, strlen(head));
    resp_put_raw(&channel, tail.data, tail.size);
    if (channel.err == BRISK_OK) {
        (void)pubsub_publish(s, (resp_bytes){.data = channel.data, .size = channel.size}, message);
    }
    resp_writer_deinit(&channel);
}

void notify(server *s, uint32_t class, const char *event, resp_bytes key)
{
    if ((s->notify & class) == 0) {
        return;
    }
    resp_bytes name = {.data = (const unsigned char *)event, .size = strlen(event)};
    if ((s->notify & NOTIFY_KEYSPACE) != 0) {
        publish_event(s, "__keyspace@0__:", key, name);
    }
    if ((s->notify & NOTIFY_KEYEVENT) != 0) {
        publish_event(s, "__keyevent@0__:", name, key);
    }
}

/* --- changes ------------------------------------------------------------------------------ */

static void follow(server *s, client *c, resp_bytes key)
{
    s->dirty++;
    if (s->watched.count > 0) {
        multi_touch(s, key);
    }
    if (tracking_is_used(s)) {
        tracking_changed(s, c, key);
    }
    loads_changed(s, key);
    if (s->disk != NULL) {
        disk_changed(s, key);
    }
}

void changed_quietly(client *c, resp_bytes key)
{
    follow(c->server, c, key);
}

void changed_by_nobody(server *s, resp_bytes key, uint32_t class, const char *event)
{
    follow(s, NULL, key);
    if (s->notify != 0 && event != NULL) {
        notify(s, class, event, key);
    }
}

void changed(client *c, resp_bytes key, uint32_t class, const char *event)
{
    changed_quietly(c, key);
    if (c->server->notify != 0) {
        notify(c->server, class, event, key);
    }
}

void changes_of_all(server *s)
{
    multi_touch_all(s);
    tracking_changed_all(s);
    if (s->disk != NULL) {
        disk_cleared(s);
    }
    s->dirty++;
}

/* --- what leaves by itself ---------------------------------------------------------------- */

static void tell_drop(void *ctx, resp_bytes key, brisk_drop_reason reason)
{
    server *s = ctx;
    bool expired = reason == BRISK_DROP_EXPIRED;
    if (expired && s->watched.count > 0) {
        multi_touch(s, key);
    }
    if (tracking_is_used(s)) {
        tracking_changed(s, NULL, key);
    }
    notify(s, expired ? NOTIFY_EXPIRED : NOTIFY_EVICTED, expired ? "expired" : "evicted", key);
}

void tell_drops(server *s)
{
    keyspace_drops(&s->keys, tell_drop, s);
}

/* --- room, as Redis's volatile policies make it ------------------------------------------- */

typedef struct candidate {
    unsigned char key[1024];
    size_t size;
    uint64_t expires_at_ns;
} candidate;

static void take(candidate *best, const brisk_memory_visit *visit)
{
    memcpy(best->key, visit->key, visit->key_size);
    best->size = visit->key_size;
    best->expires_at_ns = visit->info.expires_at_ns;
}

static void consider_volatile(void *ctx, const brisk_memory_visit *visit)
{
    candidate *best = ctx;
    if (visit->info.expires_at_ns != 0 && visit->key_size <= sizeof best->key &&
        (best->size == 0 || visit->info.expires_at_ns < best->expires_at_ns)) {
        take(best, visit);
    }
}

static void consider_any(void *ctx, const brisk_memory_visit *visit)
{
    candidate *best = ctx;
    if (best->size == 0 && visit->key_size <= sizeof best->key) {
        take(best, visit);
    }
}

/* A key that may go: the soonest to expire of a sample, or any; false: none was found. */
static bool choose(server *s, candidate *best)
{
    void (*consider)(void *ctx, const brisk_memory_visit *visit) =
        s->evict_volatile ? consider_volatile : consider_any;
    for (int i = 0; i < ROOM_SAMPLES; i++) {
        if (!brisk_memory_random(s->keys.tier, &s->rng, consider, best)) {
            return false;
        }
    }
    uint64_t cursor = 0;
    for (int i = 0; i < ROOM_TRIES && best->size == 0; i++) {
        cursor = brisk_memory_scan(s->keys.tier, cursor, ROOM_SAMPLES, consider, best);
        if (cursor == 0) {
            break;
        }
    }
    return best->size > 0;
}

static bool drop_one(server *s)
{
    candidate best = {.size = 0};
    if (!choose(s, &best)) {
        return false;
    }
    resp_bytes key = keyspace_shown(best.key, best.size);
    if (keyspace_remove(&s->keys, key)) {
        s->keys.evicted++;
        tell_drop(s, key, BRISK_DROP_EVICTED);
    }
    return true;
}

bool make_room(server *s)
{
    for (int i = 0; i < ROOM_TRIES; i++) {
        brisk_tier_stats stats;
        keyspace_stats(&s->keys, &stats);
        if (stats.bytes <= s->maxmemory) {
            return true;
        }
        if (s->evict_never || !drop_one(s)) {
            return false;
        }
    }
    return false;
}
