/*
 * tier_redis_node.c -- links that are opened when they are needed, and not too often.
 *
 * After a failure the next try waits 20 ms, doubled each time up to 2 s, and spread over half of
 * that by chance, so that the machines that lost a server do not come back all at once.  Callers
 * meanwhile get the last error and no delay.
 */
#include "engine/tier_redis_node.h"

#include <time.h>

#include <brisk/clock.h>
#include <brisk/log.h>
#include <brisk/rng.h>

#include "base/assert.h"

enum { BACKOFF_DOUBLINGS = 7 };

static const uint64_t backoff_ns = 20 * 1000000;
static const uint64_t backoff_max_ns = UINT64_C(2000) * 1000000;
static const uint64_t second_ns = 1000000000;

redis_node *redis_node_create(const redis_address *address, const brisk_alloc *alloc)
{
    redis_node *node = alloc->acquire(alloc->ctx, sizeof *node, _Alignof(redis_node));
    if (node == NULL) {
        return NULL;
    }
    *node = (redis_node){.address = *address};
    int failed = pthread_mutex_init(&node->lock, NULL);
    BRISK_ASSERT(failed == 0); /* cannot fail for a plain mutex on Linux */
    pthread_condattr_t attr;
    failed = pthread_condattr_init(&attr);
    BRISK_ASSERT(failed == 0);
    failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    BRISK_ASSERT(failed == 0);
    failed = pthread_cond_init(&node->opened, &attr);
    BRISK_ASSERT(failed == 0);
    (void)pthread_condattr_destroy(&attr);
    return node;
}

void redis_node_destroy(redis_node *node, const brisk_alloc *alloc)
{
    for (uint32_t i = 0; i < REDIS_LINKS_MAX; i++) {
        redis_link_unref(node->places[i].link);
    }
    (void)pthread_cond_destroy(&node->opened);
    (void)pthread_mutex_destroy(&node->lock);
    alloc->release(alloc->ctx, node, sizeof *node, _Alignof(redis_node));
}

/* How long to leave it alone after the `failures`-th failure in a row. */
static uint64_t pause_after(uint32_t failures, uint64_t now_ns)
{
    uint32_t doublings = failures < BACKOFF_DOUBLINGS ? failures : BACKOFF_DOUBLINGS;
    uint64_t pause = backoff_ns << doublings;
    pause = pause < backoff_max_ns ? pause : backoff_max_ns;
    brisk_rng rng;
    brisk_rng_init(&rng, now_ns ^ (uint64_t)(uintptr_t)&rng);
    return pause / 2 + brisk_rng_below(&rng, pause / 2 + 1);
}

/* Under the node's lock, which is given up while it connects. */
static brisk_err open_place(redis_node *node, redis_place *place, redis_node_opts *opts)
{
    redis_link_opts link_opts = opts->link;
    link_opts.address = &node->address;
    redis_ghost ghost = place->ghost;
    link_opts.ghost = &ghost;
    redis_link *link = NULL;
    brisk_errinfo info = {.text = ""};
    place->opening = true;
    (void)pthread_mutex_unlock(&node->lock);
    brisk_err err = redis_link_open(&link_opts, &link, &info);
    atomic_fetch_add_explicit(&opts->connects, 1, memory_order_relaxed);
    if (err != BRISK_OK) {
        atomic_fetch_add_explicit(&opts->connect_failures, 1, memory_order_relaxed);
        brisk_log(BRISK_LOG_WARNING, "engine", "redis: %s", info.text);
    }
    (void)pthread_mutex_lock(&node->lock);
    place->opening = false;
    place->why = err;
    if (err == BRISK_OK) {
        place->link = link;
        place->failures = 0;
        place->ghost = (redis_ghost){.id = 0};
    } else {
        uint64_t now = brisk_clock_now_ns(NULL);
        place->not_before_ns = now + pause_after(place->failures++, now);
    }
    (void)pthread_cond_broadcast(&node->opened);
    return err;
}

/* Under the node's lock. */
static void drop_broken(redis_place *place)
{
    if (place->link != NULL && redis_link_is_broken(place->link)) {
        redis_link_ghost(place->link, &place->ghost);
        redis_link_unref(place->link);
        place->link = NULL;
    }
}

static brisk_err find_link(redis_node *node, redis_place *place, redis_node_opts *opts,
                           uint64_t *deadline_ns)
{
    bool waited = false;
    for (;;) {
        drop_broken(place);
        if (place->link != NULL) {
            uint64_t fresh = waited ? brisk_clock_now_ns(NULL) + opts->link.timeout_ns : 0;
            *deadline_ns = fresh > *deadline_ns ? fresh : *deadline_ns;
            return BRISK_OK;
        }
        if (!place->opening) {
            brisk_err err = place->failures > 0 && brisk_clock_now_ns(NULL) < place->not_before_ns
                                ? place->why
                                : open_place(node, place, opts);
            if (err != BRISK_OK) {
                return err;
            }
            waited = true;
            continue;
        }
        waited = true;
        uint64_t until_ns = *deadline_ns + opts->link.connect_timeout_ns;
        struct timespec until = {.tv_sec = (time_t)(until_ns / second_ns),
                                 .tv_nsec = (long)(until_ns % second_ns)};
        if (pthread_cond_timedwait(&node->opened, &node->lock, &until) != 0) {
            return BRISK_ERR_DEADLINE;
        }
        if (!place->opening && place->link == NULL && place->why != BRISK_OK) {
            return place->why; /* as the one who tried */
        }
    }
}

brisk_err redis_node_link(redis_node *node, redis_node_opts *opts, uint64_t pick,
                          uint64_t *deadline_ns, redis_link **ret)
{
    redis_place *place = &node->places[pick % opts->connections];
    (void)pthread_mutex_lock(&node->lock);
    brisk_err err = find_link(node, place, opts, deadline_ns);
    if (err == BRISK_OK) {
        *ret = redis_link_ref(place->link);
    }
    (void)pthread_mutex_unlock(&node->lock);
    return err;
}
