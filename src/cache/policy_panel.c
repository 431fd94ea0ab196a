/*
 * policy_panel.c -- see policy_panel.h.
 *
 * The constants were chosen on the traces of bench_policy and checked on transforms of them
 * (reversed, interleaved, one after the other, with scans).  The credits are a compromise: without
 * them the first round of a long loop is lost (the geometric mean at 20 % gets worse by 0.009 on
 * transforms), and they are why a load without loops can be some 2.6 % worse than LRU, the more of
 * them the oftener.
 */
#include <math.h>

#include "base/assert.h"
#include "cache/policy_panel.h"

enum { LIRS = 7, WTINYLFU = 5, TTL = 8 };

static const policy_ops *const members[PANEL_SIZE] = {
    &policy_s3fifo,   &policy_lru, &policy_lfu,  &policy_fifo, &policy_sieve,
    &policy_wtinylfu, &policy_arc, &policy_lirs, &policy_ttl,
};

static const double scale_share = 0.05; /* misses, of the capacity, that count as a difference */
static const double scale_least = 1;
static const double memory_turns = 5; /* misses for each entry after which e times less counts */
static const double memory_least = 1000;
static const double lirs_credit = 12; /* in scales, where every request missed */
static const double wtinylfu_credit = 6;

const policy_ops *panel_policy(uint32_t p)
{
    return members[p];
}

size_t panel_bytes(uint32_t sim_max)
{
    size_t bytes = 0;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        bytes += sim_bytes(members[p], sim_max);
    }
    return bytes;
}

uint32_t panel_fit(size_t bytes)
{
    uint32_t low = 1;
    uint32_t high = PANEL_SIM_MAX;
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (panel_bytes(middle) <= bytes) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void panel_init(policy_panel *panel, void *storage, uint32_t sim_max)
{
    *panel = (policy_panel){.sim_max = sim_max, .members = (1U << TTL) - 1};
    unsigned char *at = storage;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        sim_init(&panel->sims[p], members[p], at, sim_max);
        at += sim_bytes(members[p], sim_max);
    }
    panel_set_capacity(panel, sim_max);
    panel_weigh(panel);
}

void panel_set_capacity(policy_panel *panel, uint32_t entries)
{
    BRISK_ASSERT(entries != 0 && entries <= panel->sim_max);
    panel->capacity = entries;
    panel->scale = scale_share * (double)entries + scale_least;
    panel->decay = exp(-1 / (memory_turns * (double)entries + memory_least));
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        sim_set_capacity(&panel->sims[p], entries);
    }
}

/* Nothing is known yet and something must leave. */
static void give_credit(policy_panel *panel)
{
    panel->credited = true;
    double missed = panel->first_misses / panel->first_requests;
    double share = missed * missed * missed;
    panel->lost[LIRS] -= lirs_credit * share * panel->scale;
    panel->lost[WTINYLFU] -= wtinylfu_credit * share * panel->scale;
}

static void forget_a_little(policy_panel *panel)
{
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        panel->lost[p] *= panel->decay;
    }
}

void panel_request(policy_panel *panel, uint32_t hash, panel_change *ret)
{
    ret->missed = 0;
    ret->evicted = 0;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        if ((panel->members >> p & 1) == 0) {
            continue;
        }
        bool any;
        bool hit = sim_request(&panel->sims[p], hash, 0, &ret->gone[p], &any);
        panel->lost[p] += hit ? 0 : 1;
        ret->missed |= (uint32_t)!hit << p;
        ret->evicted |= (uint32_t)any << p;
    }
    if ((ret->missed >> panel->leader & 1) != 0) {
        forget_a_little(panel);
    }
    if (!panel->has_judged) {
        panel->first_requests++;
        panel->first_misses += ret->missed != 0 ? 1 : 0;
    }
    if (ret->evicted != 0 && !panel->has_judged) {
        panel->has_judged = true;
        if (!panel->credited) {
            give_credit(panel);
        }
    }
}

void panel_feed(policy_panel *panel, uint32_t hash)
{
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        if ((panel->members >> p & 1) != 0) {
            uint32_t gone;
            bool any;
            (void)sim_request(&panel->sims[p], hash, 0, &gone, &any);
        }
    }
}

void panel_remove(policy_panel *panel, uint32_t hash)
{
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        sim_remove(&panel->sims[p], hash);
    }
}

void panel_expiry(policy_panel *panel, uint32_t hash, uint32_t expires_s)
{
    if (expires_s != 0 && (panel->members >> TTL & 1) == 0) {
        panel->members |= 1U << TTL;
        for (uint32_t p = 0; p < TTL; p++) { /* begins behind the last */
            double lost = panel->lost[p] + panel->scale;
            panel->lost[TTL] = p == 0 || lost > panel->lost[TTL] ? lost : panel->lost[TTL];
        }
        uint32_t gone;
        bool any;
        (void)sim_request(&panel->sims[TTL], hash, 0, &gone, &any);
    }
    sim_expiry(&panel->sims[TTL], hash, expires_s);
}

uint32_t panel_holders(const policy_panel *panel, uint32_t hash)
{
    uint32_t holders = 0;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        holders |= (uint32_t)sim_has(&panel->sims[p], hash) << p;
    }
    return holders;
}

void panel_weigh(policy_panel *panel)
{
    uint32_t leader = 0;
    for (uint32_t p = 1; p < PANEL_SIZE; p++) {
        if ((panel->members >> p & 1) != 0 && panel->lost[p] < panel->lost[leader]) {
            leader = p;
        }
    }
    panel->leader = leader;
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        bool member = (panel->members >> p & 1) != 0;
        double more = panel->lost[p] - panel->lost[leader];
        panel->weights[p] = member ? exp(-more / panel->scale) : 0;
    }
}

bool panel_is_valid(const policy_panel *panel)
{
    for (uint32_t p = 0; p < PANEL_SIZE; p++) {
        if (!sim_is_valid(&panel->sims[p])) {
            return false;
        }
    }
    return true;
}
