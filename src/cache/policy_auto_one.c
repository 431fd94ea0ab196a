/*
 * policy_auto_one.c -- large caches: one policy is at work, and hands over to a better one.
 *
 * The panel sees a sample of the keys, chosen by their hash, in caches that are as much smaller
 * (SHARDS).  When its leader has lost fewer by SWITCH_SHARE of a cache than the policy at work,
 * and a while after the last change, all entries are handed over in the order in which they would
 * have left.  That is O(entries) under the shard's lock, at most once for SWITCH_TURNS requests
 * for each entry.
 *
 * Source: Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC construction with SHARDS", 2015;
 * Waldspurger, Saemundsson, Ahmad, Park, "Cache modeling and optimization using miniature
 * simulations", 2017.
 */
#include <string.h>

#include "base/assert.h"
#include "cache/policy_auto.h"

enum { PAGE = 4096, SWITCH_TURNS = 4 };

static const double switch_share = 1;
static const double switch_least = 8; /* misses of the sample */

size_t one_bytes(uint32_t id_count)
{
    size_t most = 0;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        size_t bytes = panel_policy(p)->bytes(id_count);
        most = bytes > most ? bytes : most;
    }
    return most;
}

void auto_clear_work(cache_policy *self)
{
    static const unsigned char zero[PAGE];
    unsigned char *at = self->work;
    for (size_t left = self->work_bytes; left != 0;) {
        size_t bytes = left < PAGE ? left : PAGE;
        if (memcmp(at, zero, bytes) != 0) {
            memset(at, 0, bytes);
        }
        at += bytes;
        left -= bytes;
    }
}

static void note(void *ctx, uint32_t id)
{
    cache_policy *self = ctx;
    BRISK_ASSERT(self->order_count < self->id_count);
    self->order[self->order_count++] = id;
}

void auto_note_order(cache_policy *self)
{
    self->order_count = 0;
    if (self->votes) {
        vote_each(self, note, self);
    } else {
        self->ops->each(self->one, note, self);
    }
}

void one_begin(cache_policy *self, uint32_t p)
{
    self->votes = false;
    self->nodes = NULL;
    self->ops = panel_policy(p);
    self->one = self->ops->init(self->work, self->id_count);
    self->ops->set_capacity(self->one, self->capacity);
    self->ops->add_ids(self->one, 0, self->id_count);
    self->since_switch = 0;
    self->panel.credited = true; /* a handover costs too much for a guess */
}

static void hand_over(cache_policy *self, uint32_t p)
{
    auto_note_order(self);
    auto_clear_work(self);
    one_begin(self, p);
    for (uint32_t i = 0; i < self->order_count; i++) {
        uint32_t id = self->order[i];
        policy_entry entry = {
            .id = id, .hash = self->ids[id].hash, .expires_s = self->ids[id].expires_s};
        self->ops->on_insert(self->one, &entry);
    }
}

static uint32_t place_of(const policy_ops *ops)
{
    uint32_t p = 0;
    while (panel_policy(p) != ops) {
        p++;
    }
    return p;
}

void one_consider(cache_policy *self)
{
    const policy_panel *panel = &self->panel;
    double margin = switch_share * (double)panel->capacity + switch_least;
    double more = panel->lost[place_of(self->ops)] - panel->lost[panel->leader];
    bool waited = self->since_switch >= (uint64_t)SWITCH_TURNS * panel->capacity;
    if (more > margin && (waited || self->entries < self->capacity)) {
        hand_over(self, panel->leader);
    }
}
