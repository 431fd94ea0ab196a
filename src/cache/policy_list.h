/*
 * policy_list.h -- rings of ids linked by 32-bit numbers, in arrays whose zero bytes mean "none".
 *
 * A policy has an array of nodes that begin with a policy_link.  Index 0 is nobody; then come the
 * heads of its rings; then the ids, so that id i is node first + i.  A head is in its ring always:
 * its next is the newest node and its prev the oldest.
 *
 * Invariant: links of a node are 0 exactly while it is in no ring.  Links of 32 bits are 8 bytes
 * an entry, and a million entries stay near the processor, where links inside the entries would
 * cost three misses of main memory for every hit.
 */
#ifndef BRISK_SRC_CACHE_POLICY_LIST_H
#define BRISK_SRC_CACHE_POLICY_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct policy_link {
    uint32_t prev; /* towards newer */
    uint32_t next; /* towards older */
} policy_link;

/* The nodes of one array: `stride` is known when this is compiled and costs nothing. */
typedef struct policy_nodes {
    unsigned char *base;
    size_t stride;
} policy_nodes;

static inline policy_link *list_at(policy_nodes nodes, uint32_t index)
{
    void *at = nodes.base + nodes.stride * index;
    return at;
}

static inline void list_init(policy_nodes nodes, uint32_t head)
{
    *list_at(nodes, head) = (policy_link){.prev = head, .next = head};
}

static inline bool list_has(policy_nodes nodes, uint32_t index)
{
    return list_at(nodes, index)->next != 0;
}

static inline bool list_is_empty(policy_nodes nodes, uint32_t head)
{
    return list_at(nodes, head)->next == head;
}

/* Put `index` behind `after` on the way to older: after a head it is the newest. */
static inline void list_insert(policy_nodes nodes, uint32_t after, uint32_t index)
{
    policy_link *link = list_at(nodes, after);
    uint32_t next = link->next;
    *list_at(nodes, index) = (policy_link){.prev = after, .next = next};
    list_at(nodes, next)->prev = index;
    link->next = index;
}

/* Make `index` the newest of the ring. */
static inline void list_push(policy_nodes nodes, uint32_t head, uint32_t index)
{
    list_insert(nodes, head, index);
}

/* Make `index` the oldest of the ring. */
static inline void list_push_oldest(policy_nodes nodes, uint32_t head, uint32_t index)
{
    list_insert(nodes, list_at(nodes, head)->prev, index);
}

static inline void list_remove(policy_nodes nodes, uint32_t index)
{
    policy_link link = *list_at(nodes, index);
    list_at(nodes, link.prev)->next = link.next;
    list_at(nodes, link.next)->prev = link.prev;
    *list_at(nodes, index) = (policy_link){.prev = 0, .next = 0};
}

/* The oldest node, or `head` when there is none. */
static inline uint32_t list_oldest(policy_nodes nodes, uint32_t head)
{
    return list_at(nodes, head)->prev;
}

/* `to`, which is in no ring, takes the place of `from`. */
static inline void list_replace(policy_nodes nodes, uint32_t from, uint32_t to)
{
    policy_link link = *list_at(nodes, from);
    *list_at(nodes, to) = link;
    list_at(nodes, link.prev)->next = to;
    list_at(nodes, link.next)->prev = to;
    *list_at(nodes, from) = (policy_link){.prev = 0, .next = 0};
}

/* The number of nodes of a sound ring; UINT32_MAX when it is not, or longer than `limit`. */
static inline uint32_t list_count(policy_nodes nodes, uint32_t head, uint32_t limit, uint32_t end)
{
    uint32_t count = 0;
    uint32_t at = head;
    do {
        uint32_t next = list_at(nodes, at)->next;
        if (next == 0 || next >= end || list_at(nodes, next)->prev != at || count > limit) {
            return UINT32_MAX;
        }
        at = next;
        count++;
    } while (at != head);
    return count - 1;
}

/* Ask for the neighbours of a node that will be moved. */
static inline void list_prefetch(policy_nodes nodes, uint32_t index)
{
    policy_link link = *list_at(nodes, index);
    if (link.next != 0) {
        __builtin_prefetch(list_at(nodes, link.prev), 1);
        __builtin_prefetch(list_at(nodes, link.next), 1);
    }
}

#endif /* BRISK_SRC_CACHE_POLICY_LIST_H */
