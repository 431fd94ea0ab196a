/*
 * policy_panel.h -- the nine policies side by side on one stream of hashes, and how well each did.
 *
 * Every policy has a small cache of hashes (policy_sim) and sees every request.  Its misses are
 * added up with exponential decay, so that what is long ago counts less; from these sums come
 * weights: 1 for the best, less for the others by exp(- more misses / scale).
 *
 * Long ago is measured in misses of the leader: where there are few, what came once in a while (a
 * scan) is still known when it comes again.
 *
 * TTL-first is LRU as long as nothing expires, so it takes part from the first expiry on.
 *
 * Nothing is known when the cache has just become full; then the policies that keep what was
 * there (LIRS most) get some credit, the more the more requests missed so far.  Where nearly all
 * miss there is little to lose by it, and when a long loop comes around again, everything to win
 * that the others would have dropped.
 *
 * Threads: one at a time.
 */
#ifndef BRISK_SRC_CACHE_POLICY_PANEL_H
#define BRISK_SRC_CACHE_POLICY_PANEL_H

#include "cache/policy_sim.h"

enum { PANEL_SIZE = 9, PANEL_SIM_MAX = 65536 };

/* What one request changed: who missed, and what left whose cache. */
typedef struct panel_change {
    uint32_t missed;  /* bit p */
    uint32_t evicted; /* bit p: gone[p] left */
    uint32_t gone[PANEL_SIZE];
} panel_change;

typedef struct policy_panel {
    policy_sim sims[PANEL_SIZE];
    double lost[PANEL_SIZE];
    double weights[PANEL_SIZE];
    double scale;
    double decay;
    uint32_t sim_max;
    uint32_t capacity;
    uint32_t members; /* bit p: takes part */
    uint32_t leader;
    bool credited;         /* or not to be */
    bool has_judged;       /* something has left some cache */
    double first_requests; /* until then */
    double first_misses;
} policy_panel;

/* The policy at place p of every panel. */
const policy_ops *panel_policy(uint32_t p);
/* How many entries each cache may have in `bytes` of memory; at most PANEL_SIM_MAX. */
uint32_t panel_fit(size_t bytes);
size_t panel_bytes(uint32_t sim_max);
/* `storage`: panel_bytes zero bytes, aligned to 64. */
void panel_init(policy_panel *panel, void *storage, uint32_t sim_max);
/* 1 .. sim_max entries each. */
void panel_set_capacity(policy_panel *panel, uint32_t entries);
void panel_request(policy_panel *panel, uint32_t hash, panel_change *ret);
/* Let them know a key, without judging by it. */
void panel_feed(policy_panel *panel, uint32_t hash);
void panel_remove(policy_panel *panel, uint32_t hash);
void panel_expiry(policy_panel *panel, uint32_t hash, uint32_t expires_s);
/* Bit p: p's cache has it. */
uint32_t panel_holders(const policy_panel *panel, uint32_t hash);
/* Bring weights and leader up to date. */
void panel_weigh(policy_panel *panel);
bool panel_is_valid(const policy_panel *panel);

#endif /* BRISK_SRC_CACHE_POLICY_PANEL_H */
