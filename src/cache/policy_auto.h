/*
 * policy_auto.h -- what the two halves of policy_auto share.
 *
 *     policy_auto.c       the interface; what every request means for the panel
 *     policy_auto_vote.c  small caches: the panel's caches vote on every entry
 *     policy_auto_one.c   large caches: one policy at work, others take over
 */
#ifndef BRISK_SRC_CACHE_POLICY_AUTO_H
#define BRISK_SRC_CACHE_POLICY_AUTO_H

#include "cache/policy_list.h"
#include "cache/policy_panel.h"

enum {
    AUTO_RINGS = 1 << PANEL_SIZE, /* one for each set of holders */
    AUTO_HEAD = 1,
    AUTO_FIRST = AUTO_HEAD + AUTO_RINGS,
    AUTO_WAIT_HEAD = 1,
    AUTO_WAIT_FIRST = 2,
    AUTO_PANEL_SHARE = 24, /* bytes of panel for each id */
};

/* What is kept of an id in both halves. */
typedef struct auto_id {
    uint32_t hash;
    uint32_t expires_s;
} auto_id;

/* A node of the voting half. */
typedef struct auto_node {
    policy_link link;
    uint32_t chain; /* id + 1 of the next with the same place in heads[] */
    uint32_t holders;
} auto_node;

/* Of the other half, see policy_auto_one.c. */
typedef enum one_stage {
    ONE_WORKS,
    ONE_DRAINS,
    ONE_CLEARS,
    ONE_FILLS,
} one_stage;

struct cache_policy {
    uint32_t id_count;
    uint32_t capacity;
    uint32_t entries;
    uint32_t sim_room;    /* entries that the panel may simulate, at most panel.sim_max */
    uint32_t rate;        /* hashes below it, mixed, are sampled; UINT32_MAX: all */
    uint32_t until_weigh; /* sampled requests until weights are looked at again */
    uint32_t pending;     /* hash that on_miss told the panel */
    bool is_pending;
    bool asleep; /* the panel is; there is room for everybody */
    bool votes;  /* small: the voting half is at work */
    /* The voting half. */
    auto_node *nodes;
    uint32_t *heads;
    uint32_t heads_mask;
    uint64_t filled[AUTO_RINGS / 64]; /* rings that are not empty */
    /* The other half. */
    const policy_ops *ops;
    cache_policy *one; /* in the storage of nodes */
    one_stage stage;
    uint32_t next;         /* the place of the one that takes over */
    uint64_t since_switch; /* sampled requests */
    policy_link *waiting;  /* ring of entries while one policy or half takes over from another */
    void *work;            /* storage of either half */
    size_t work_bytes;
    size_t cleared; /* bytes of it that were made zero */
    policy_panel panel;
    auto_id ids[];
};

/* --- policy_auto_vote.c ------------------------------------------------------------------ */

/* Begin with no entries; `work` is zero. */
void vote_begin(cache_policy *self);
void vote_insert(cache_policy *self, uint32_t id, uint32_t holders);
void vote_remove(cache_policy *self, uint32_t id);
bool vote_has(const cache_policy *self, uint32_t id);
void vote_move(cache_policy *self, uint32_t from, uint32_t to);
/* The entry was asked for: it is the newest of those that all hold. */
void vote_hit(cache_policy *self, uint32_t id, uint32_t holders);
/* p does not hold this hash any more. */
void vote_withdraw(cache_policy *self, uint32_t hash, uint32_t p);
/* Ask every p again about every entry. */
void vote_recount(cache_policy *self);
uint32_t vote_victim(const cache_policy *self);
void vote_each(const cache_policy *self, policy_each_fn *fn, void *ctx);
bool vote_is_valid(const cache_policy *self);

/* --- policy_auto_one.c ------------------------------------------------------------------- */

size_t one_bytes(uint32_t id_count);
/* Begin under policy p with the entries that wait; `work` is zero. */
void one_begin(cache_policy *self, uint32_t p);
/* Let the panel's leader take over when it has earned it. */
void one_consider(cache_policy *self);
/* A little of the work when another takes over: at each request. */
void one_step(cache_policy *self);
/* What policy_ops say; capacity is that of `self`. */
void one_set_capacity(cache_policy *self);
void one_miss(cache_policy *self, uint32_t hash);
void one_insert(cache_policy *self, const policy_entry *entry);
void one_hits(cache_policy *self, const policy_hit *hits, uint32_t count);
void one_remove(cache_policy *self, uint32_t id, bool evicted);
void one_move(cache_policy *self, uint32_t from, uint32_t to);
void one_expiry(cache_policy *self, uint32_t id, uint32_t expires_s);
uint32_t one_victim(cache_policy *self);
void one_each(const cache_policy *self, policy_each_fn *fn, void *ctx);
bool one_is_valid(const cache_policy *self);

/* --- from one half to the other ------------------------------------------------------------ */

void auto_nobody_waits(cache_policy *self);
/* All entries of the half at work wait, first to leave first; it is not to be used any more. */
void auto_gather(cache_policy *self);
/* The first to leave of those that wait waits no more; POLICY_NONE: nobody does. */
uint32_t auto_take(cache_policy *self);
/* Make `work` zero without touching pages that are. */
void auto_clear_work(cache_policy *self);

#endif /* BRISK_SRC_CACHE_POLICY_AUTO_H */
