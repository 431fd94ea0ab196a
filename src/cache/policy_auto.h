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

struct cache_policy {
    uint32_t id_count;
    uint32_t capacity;
    uint32_t entries;
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
    uint32_t *order;   /* ids, while one policy takes over from another */
    uint32_t order_count;
    uint64_t since_switch; /* sampled requests */
    void *work;            /* storage of either half */
    size_t work_bytes;
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
/* Begin with no entries under policy p; `work` is zero. */
void one_begin(cache_policy *self, uint32_t p);
/* Let the panel's leader take over when it has earned it. */
void one_consider(cache_policy *self);
/* Make `work` zero without touching pages that are. */
void auto_clear_work(cache_policy *self);
/* Write down all entries, first to leave first. */
void auto_note_order(cache_policy *self);

#endif /* BRISK_SRC_CACHE_POLICY_AUTO_H */
