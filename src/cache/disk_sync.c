/*
 * disk_sync.c -- durable acknowledgement: one fdatasync for many writers.
 *
 * In a durable folder a put, remove or clear returns when all that it changed, and all that it relied
 * on being gone, is on the disk: the appended record, the marks in other segments, removed names.
 * Whoever comes first syncs for all who wait by then; who comes meanwhile waits for the next round.
 *
 * What must be synced is known to all processes: a mark counts up `kills` of its segment after it was
 * written and before the slot changes; a removed name counts up `gone` before slots are emptied.  So
 * who sees a slot changed by another process finds that count, and syncs for it if nobody has.
 * Counters never go back, and `synced` only gets values that `kills` had before the sync.
 *
 * Before an active segment is synced, `published_end` in its head says how far its records are all
 * published: a rebuild believes up to there even the last one (disk.c, rule 7).
 *
 * After an fdatasync that failed nobody knows what the disk has: UNCLEAN is set, so that a power loss
 * empties the folder, and every later acknowledgement fails.
 */
#include <fcntl.h>
#include <unistd.h>

#include <brisk/log.h>

#include "base/assert.h"
#include "cache/disk.h"

enum {
    PUBLISHED_END_AT = offsetof(disk_segment_head, published_end),
    LIST_MAX = 256, /* segments in one pass */
};

bool disk_is_durable(const disk_tier *tier)
{
    return atomic_load_explicit(&tier->header->durable, memory_order_relaxed) != 0;
}

/* A segment to sync, and what of it is then done. */
typedef struct sync_item {
    uint32_t id;
    uint32_t kills;
    disk_entry *entry;
} sync_item;

/* write_lock: say in the heads of our active segments how far all is published. */
static brisk_err publish_ends(disk_tier *tier)
{
    for (uint32_t i = 0; i < DISK_BUCKETS; i++) {
        disk_active *active = &tier->actives[i];
        if (active->id == 0 || active->synced_end == active->end) {
            continue;
        }
        uint64_t word = disk_clean_end_make(active->id, (uint32_t)active->end, tier->seed);
        brisk_err err = disk_pwrite_all(tier, active->fd, &word, sizeof word, PUBLISHED_END_AT);
        if (err != BRISK_OK) {
            return err;
        }
        active->synced_end = active->end;
        atomic_fetch_add_explicit(&active->entry->kills, 1, memory_order_seq_cst);
    }
    return BRISK_OK;
}

/* Segments from place *at of the table on that the disk may not have whole; how many. */
static uint32_t list_dirty(const disk_tier *tier, uint32_t *at, sync_item list[LIST_MAX])
{
    uint32_t count = 0;
    for (; *at < tier->header->segment_count && count < LIST_MAX; (*at)++) {
        disk_entry *entry = &tier->entries[*at];
        uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);
        uint32_t kills = atomic_load_explicit(&entry->kills, memory_order_seq_cst);
        if (disk_entry_state(word) != DISK_FREE &&
            kills != atomic_load_explicit(&entry->synced, memory_order_relaxed)) {
            list[count++] = (sync_item){disk_entry_id(word), kills, entry};
        }
    }
    return count;
}

static brisk_err sync_segment(disk_tier *tier, const sync_item *item)
{
    disk_pin pin;
    brisk_err err = disk_fd_pin(tier, item->id, &pin);
    if (err == BRISK_ERR_NOT_FOUND) {
        return BRISK_OK; /* dropped, and `gone` says so */
    }
    if (err != BRISK_OK) {
        return err;
    }
    int failed = tier->sys->fdatasync(pin.fd);
    disk_fd_unpin(&pin);
    if (failed != 0) {
        return BRISK_ERR_IO;
    }
    atomic_store_explicit(&item->entry->synced, item->kills, memory_order_relaxed);
    return BRISK_OK;
}

brisk_err disk_sync_now(disk_tier *tier)
{
    sync_item list[LIST_MAX];
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = publish_ends(tier);
    pthread_mutex_unlock(&tier->write_lock);
    uint32_t gone = atomic_load_explicit(&tier->header->gone, memory_order_seq_cst);
    uint32_t at = 0;
    for (uint32_t count; err == BRISK_OK && (count = list_dirty(tier, &at, list)) > 0;) {
        for (uint32_t i = 0; i < count && err == BRISK_OK; i++) {
            err = sync_segment(tier, &list[i]);
        }
    }
    if (err == BRISK_OK &&
        gone != atomic_load_explicit(&tier->header->gone_synced, memory_order_relaxed)) {
        err = tier->sys->fdatasync(tier->dir_fd) == 0 ? BRISK_OK : BRISK_ERR_IO;
        if (err == BRISK_OK) {
            atomic_store_explicit(&tier->header->gone_synced, gone, memory_order_relaxed);
        }
    }
    disk_count(&tier->counters.syncs, 1);
    return err;
}

/* Nothing can be promised any more: say so in the folder, as often as it takes. */
static void give_up(disk_tier *tier, bool first)
{
    pthread_mutex_lock(&tier->write_lock);
    brisk_err err = disk_mark_unclean_always(tier);
    pthread_mutex_unlock(&tier->write_lock);
    (void)err; /* the caller gets an error in any case */
    if (first) {
        disk_count(&tier->counters.errors, 1);
        brisk_log(BRISK_LOG_WARNING, "cache", "%s: cannot be synced, durable no longer",
                  tier->path);
    }
}

brisk_err disk_sync_wait(disk_tier *tier)
{
    disk_sync *sync = &tier->sync;
    if (!disk_is_durable(tier)) {
        return BRISK_OK;
    }
    pthread_mutex_lock(&sync->lock);
    uint64_t ticket = ++sync->asked;
    while (sync->done < ticket) {
        if (sync->running) {
            pthread_cond_wait(&sync->round, &sync->lock);
            continue;
        }
        sync->running = true;
        uint64_t asked = sync->asked; /* all who wait by now */
        bool failed = sync->failed;
        pthread_mutex_unlock(&sync->lock);
        if (failed || disk_sync_now(tier) != BRISK_OK) {
            give_up(tier, !failed);
            failed = true;
        }
        pthread_mutex_lock(&sync->lock);
        sync->running = false;
        sync->failed = failed;
        sync->done = asked;
        pthread_cond_broadcast(&sync->round);
    }
    bool failed = sync->failed;
    pthread_mutex_unlock(&sync->lock);
    return failed || atomic_load_explicit(&tier->header->unclean, memory_order_relaxed) != 0
               ? BRISK_ERR_IO
               : BRISK_OK;
}
