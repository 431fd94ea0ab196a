/*
 * policy_sim.c -- see policy_sim.h.  The table is linear probing without tombstones.
 */
#include "cache/policy_sim.h"
#include "base/assert.h"

enum { TABLE_MIN = 8 };

static size_t line_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static uint32_t table_for(uint32_t id_count)
{
    uint32_t slots = TABLE_MIN;
    while (slots < id_count + id_count / 2) {
        slots *= 2;
    }
    return slots;
}

size_t sim_bytes(const policy_ops *ops, uint32_t id_count)
{
    return line_up(ops->bytes(id_count)) +
           line_up(((size_t)table_for(id_count) + 2 * (size_t)id_count) * sizeof(uint32_t));
}

void sim_init(policy_sim *sim, const policy_ops *ops, void *storage, uint32_t id_count)
{
    void *rest = (unsigned char *)storage + line_up(ops->bytes(id_count));
    *sim = (policy_sim){.ops = ops, .id_count = id_count, .capacity = id_count, .table = rest};
    sim->mask = table_for(id_count) - 1;
    sim->hashes = sim->table + sim->mask + 1;
    sim->free = sim->hashes + id_count;
    sim->policy = ops->init(storage, id_count);
    ops->set_capacity(sim->policy, id_count);
    ops->add_ids(sim->policy, 0, id_count);
}

static uint32_t home_of(const policy_sim *sim, uint32_t hash)
{
    return (hash * UINT32_C(0x85ebca6b) >> 5) & sim->mask;
}

/* The slot of `hash`, or the empty one where it would be. */
static uint32_t slot_of(const policy_sim *sim, uint32_t hash)
{
    uint32_t slot = home_of(sim, hash);
    while (sim->table[slot] != 0 && sim->hashes[sim->table[slot] - 1] != hash) {
        slot = (slot + 1) & sim->mask;
    }
    return slot;
}

/* Empty a slot, and let what was displaced by it come nearer to its home. */
static void empty_slot(policy_sim *sim, uint32_t slot)
{
    uint32_t hole = slot;
    for (uint32_t at = (slot + 1) & sim->mask; sim->table[at] != 0; at = (at + 1) & sim->mask) {
        uint32_t home = home_of(sim, sim->hashes[sim->table[at] - 1]);
        if (((at - home) & sim->mask) >= ((at - hole) & sim->mask)) {
            sim->table[hole] = sim->table[at];
            hole = at;
        }
    }
    sim->table[hole] = 0;
}

static void free_id(policy_sim *sim, uint32_t id)
{
    empty_slot(sim, slot_of(sim, sim->hashes[id]));
    sim->free[sim->free_count++] = id;
    sim->entries--;
}

bool sim_evict(policy_sim *sim, uint32_t *ret_hash)
{
    uint32_t id = sim->ops->victim(sim->policy);
    if (id == POLICY_NONE) {
        return false;
    }
    BRISK_ASSERT(id < sim->used);
    sim->ops->on_evict(sim->policy, id);
    *ret_hash = sim->hashes[id];
    free_id(sim, id);
    return true;
}

void sim_set_capacity(policy_sim *sim, uint32_t entries)
{
    BRISK_ASSERT(entries != 0 && entries <= sim->id_count);
    sim->capacity = entries;
    sim->ops->set_capacity(sim->policy, entries);
    uint32_t hash;
    while (sim->entries > entries && sim_evict(sim, &hash)) {
    }
}

bool sim_has(const policy_sim *sim, uint32_t hash)
{
    return sim->table[slot_of(sim, hash)] != 0;
}

bool sim_request(policy_sim *sim, uint32_t hash, uint32_t expires_s, uint32_t *ret_evicted,
                 bool *ret_any)
{
    uint32_t slot = slot_of(sim, hash);
    *ret_any = false;
    if (sim->table[slot] != 0) {
        policy_hit hit = {.id = sim->table[slot] - 1, .hash = hash};
        sim->ops->on_hits(sim->policy, &hit, 1);
        return true;
    }
    if (sim->ops->on_miss != NULL) {
        sim->ops->on_miss(sim->policy, hash);
    }
    if (sim->entries >= sim->capacity) {
        *ret_any = sim_evict(sim, ret_evicted);
        slot = slot_of(sim, hash);
    }
    uint32_t id = sim->free_count != 0 ? sim->free[--sim->free_count] : sim->used++;
    sim->hashes[id] = hash;
    sim->table[slot] = id + 1;
    sim->entries++;
    policy_entry entry = {.id = id, .hash = hash, .expires_s = expires_s};
    sim->ops->on_insert(sim->policy, &entry);
    return false;
}

void sim_remove(policy_sim *sim, uint32_t hash)
{
    uint32_t found = sim->table[slot_of(sim, hash)];
    if (found != 0) {
        sim->ops->on_remove(sim->policy, found - 1);
        free_id(sim, found - 1);
    }
}

void sim_expiry(policy_sim *sim, uint32_t hash, uint32_t expires_s)
{
    uint32_t found = sim->table[slot_of(sim, hash)];
    if (found != 0 && sim->ops->on_expiry != NULL) {
        sim->ops->on_expiry(sim->policy, found - 1, expires_s);
    }
}

bool sim_is_valid(const policy_sim *sim)
{
    uint32_t found = 0;
    for (uint32_t slot = 0; slot <= sim->mask; slot++) {
        if (sim->table[slot] != 0) {
            uint32_t id = sim->table[slot] - 1;
            if (id >= sim->used || slot_of(sim, sim->hashes[id]) != slot) {
                return false;
            }
            found++;
        }
    }
    return found == sim->entries && sim->entries + sim->free_count == sim->used &&
           sim->ops->is_valid(sim->policy);
}
