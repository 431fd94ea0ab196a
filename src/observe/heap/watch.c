/*
 * watch.c -- a folder of NUMBER-N.heap files.
 *
 * A file that can't be read this time (it is just being made) is tried again the next time.  A process that is
 * gone gives no more points: its file stays as it left it.
 */
#include "observe/heap/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <brisk/machine.h>

#include "base/assert.h"

void heap_watch_init(heap_watch *w, const char *folder, const brisk_alloc *alloc)
{
    *w = (heap_watch){.alloc = alloc, .folder = folder, .items = BRISK_VEC_INIT(alloc)};
}

void heap_watch_deinit(heap_watch *w)
{
    for (size_t i = 0; i < w->items.count; i++) {
        heap_series_deinit(&w->items.items[i].series);
    }
    BRISK_VEC_DEINIT(&w->items);
}

brisk_err heap_watch_add(heap_watch *w, uint32_t pid, const char *path)
{
    if (w->items.count >= HEAP_WATCHED_MAX) {
        w->left_out++;
        return BRISK_ERR_LIMIT;
    }
    if (!BRISK_VEC_PUSH(&w->items, (heap_watched){.pid = pid, .alive = true})) {
        return BRISK_ERR_NOMEM;
    }
    heap_watched *added = &w->items.items[w->items.count - 1];
    (void)snprintf(added->path, sizeof added->path, "%s", path);
    heap_series_init(&added->series, w->alloc);
    return BRISK_OK;
}

static bool is_known(const heap_watch *w, const char *path)
{
    for (size_t i = 0; i < w->items.count; i++) {
        if (strcmp(w->items.items[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

static brisk_err scan(heap_watch *w)
{
    DIR *dir = w->folder != NULL ? opendir(w->folder) : NULL;
    const struct dirent *entry;
    brisk_err err = BRISK_OK;
    while (dir != NULL && err == BRISK_OK && (entry = readdir(dir)) != NULL) {
        char path[HEAP_PATH_MAX];
        uint32_t pid;
        uint32_t number;
        int end = 0;
        if (sscanf(entry->d_name, "%" SCNu32 "-%" SCNu32 ".heap%n", &pid, &number, &end) != 2 ||
            end == 0 || entry->d_name[end] != '\0') {
            continue;
        }
        int size = snprintf(path, sizeof path, "%s/%s", w->folder, entry->d_name);
        if (size > 0 && (size_t)size < sizeof path && !is_known(w, path)) {
            err = heap_watch_add(w, pid, path);
            err = err == BRISK_ERR_LIMIT ? BRISK_OK : err;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return err;
}

static brisk_err look(heap_watch *w, heap_watched *item, uint64_t time_ns)
{
    heap_profile profile;
    brisk_process process;
    int fd = open(item->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        item->alive = false;
        return BRISK_OK;
    }
    bool gone = brisk_process_read(NULL, item->pid, &process) != BRISK_OK || process.state == 'Z';
    item->alive = !gone;
    if (!gone) {
        item->rss = process.resident_bytes;
        item->rss_peak = process.peak_bytes > item->rss_peak ? process.peak_bytes : item->rss_peak;
    }
    brisk_err err = heap_profile_read(
        fd, &(heap_read_opts){.name = item->path, .sums_only = true, .alloc = w->alloc}, &profile,
        NULL);
    (void)close(fd);
    if (err != BRISK_OK) {
        return err == BRISK_ERR_NOMEM ? err : BRISK_OK;
    }
    item->peak = profile.head.peak_bytes;
    memcpy(item->command, profile.head.command, sizeof item->command);
    if (!gone) {
        err = heap_series_add(&item->series, &profile, time_ns, item->rss);
    }
    heap_profile_deinit(&profile);
    return err;
}

brisk_err heap_watch_poll(heap_watch *w, uint64_t time_ns)
{
    brisk_err err = scan(w);
    for (size_t i = 0; err == BRISK_OK && i < w->items.count; i++) {
        if (w->items.items[i].alive) {
            err = look(w, &w->items.items[i], time_ns);
        }
    }
    return err;
}

heap_watched *heap_watch_main(heap_watch *w)
{
    heap_watched *most = NULL;
    for (size_t i = 0; i < w->items.count; i++) {
        if (most == NULL || w->items.items[i].peak > most->peak) {
            most = &w->items.items[i];
        }
    }
    return most;
}

static bool opens(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool good = fd >= 0 && heap_profile_is(fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    return good;
}

bool heap_file_of(uint32_t pid, char path[HEAP_PATH_MAX])
{
    char line[HEAP_PATH_MAX + 128];
    char found[HEAP_PATH_MAX] = "";
    BRISK_ASSERT(path != NULL);
    (void)snprintf(line, sizeof line, "/proc/%" PRIu32 "/maps", pid);
    FILE *maps = fopen(line, "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        const char *name = strchr(line, '/');
        size_t size = name != NULL ? strlen(name) : 0;
        /* The last one: a forked child keeps its parent's, too, below its own. */
        char own[32];
        (void)snprintf(own, sizeof own, "/%" PRIu32 "-", pid);
        if (size > 5 && size < sizeof found && strcmp(name + size - 5, ".heap") == 0 &&
            strstr(name, own) != NULL) {
            memcpy(found, name, size + 1);
        }
    }
    if (maps != NULL) {
        (void)fclose(maps);
    }
    if (found[0] == '\0') {
        return false;
    }
    int size = snprintf(path, HEAP_PATH_MAX, "/proc/%" PRIu32 "/root%s", pid, found);
    if (size > 0 && size < HEAP_PATH_MAX && opens(path)) {
        return true;
    }
    (void)snprintf(path, HEAP_PATH_MAX, "%s", found);
    return opens(path);
}
