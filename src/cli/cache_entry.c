/*
 * cache_entry.c -- keys, tiers and values of the command line.
 */
#include "cli/cache_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/text.h>

static const char name_space[] = "cli:";

enum { NAME_SPACE_SIZE = sizeof name_space - 1, PART_BYTES = 65536 };

static bool say(const brisk_invocation *invocation, const char *what, const char *text,
                const char *why)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    (void)fprintf(invocation->err, "brisk: %s '%s': %s\n", what, brisk_text_quote(quoted, text),
                  why);
    return false;
}

static char *with_name_space(const brisk_invocation *invocation, const char *what, const char *text,
                             size_t *ret_size)
{
    size_t size = strlen(text);
    if (size == 0 || size > (size_t)BRISK_KEY_BYTES_MAX - NAME_SPACE_SIZE) {
        (void)say(invocation, what, text, size == 0 ? "is empty" : "is too long");
        return NULL;
    }
    brisk_arena *arena = cli_arena(cli_of(invocation));
    char *bytes = arena != NULL ? brisk_arena_alloc(arena, NAME_SPACE_SIZE + size) : NULL;
    if (bytes == NULL) {
        (void)say(invocation, what, text, brisk_err_message(BRISK_ERR_NOMEM));
        return NULL;
    }
    memcpy(bytes, name_space, NAME_SPACE_SIZE);
    memcpy(bytes + NAME_SPACE_SIZE, text, size);
    *ret_size = NAME_SPACE_SIZE + size;
    return bytes;
}

bool cache_key_make(const brisk_invocation *invocation, const char *text, cache_key *ret)
{
    size_t size = 0;
    const char *bytes = with_name_space(invocation, "key", text, &size);
    if (bytes == NULL) {
        return false;
    }
    *ret = (cache_key){.text = text, .key = brisk_key_of(bytes, size)};
    return true;
}

bool cache_prefix_make(const brisk_invocation *invocation, const char *prefix, brisk_tag *ret)
{
    size_t size = 0;
    const char *bytes = with_name_space(invocation, "prefix", prefix, &size);
    *ret = (brisk_tag){.bytes = bytes, .size = size};
    return bytes != NULL;
}

bool cache_tags_make(const brisk_invocation *invocation, const brisk_option_list *list,
                     const brisk_tag **ret)
{
    brisk_arena *arena = list->count > 0 ? cli_arena(cli_of(invocation)) : NULL;
    brisk_tag *tags = arena != NULL ? brisk_arena_calloc(arena, list->count, sizeof *tags) : NULL;
    if (list->count > 0 && tags == NULL) {
        return say(invocation, "tag", list->texts[0], brisk_err_message(BRISK_ERR_NOMEM));
    }
    for (uint32_t i = 0; i < list->count; i++) {
        tags[i] = (brisk_tag){.bytes = list->texts[i], .size = strlen(list->texts[i])};
        if (tags[i].size == 0 || tags[i].size > BRISK_KEY_BYTES_MAX) {
            return say(invocation, "tag", list->texts[i],
                       tags[i].size == 0 ? "is empty" : "is too long");
        }
    }
    *ret = tags;
    return true;
}

bool cache_tiers_make(const brisk_invocation *invocation, const brisk_cache *cache,
                      const brisk_option_list *list, uint32_t *ret)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t found = UINT32_MAX;
        for (uint32_t t = 0; t < brisk_cache_tier_count(cache); t++) {
            if (strcmp(brisk_cache_tier(cache, t)->name, list->texts[i]) == 0) {
                found = t;
            }
        }
        if (found == UINT32_MAX) {
            return say(invocation, "tier", list->texts[i],
                       "there is none of that name; see 'brisk cache stats'");
        }
        bits |= 1u << found;
    }
    *ret = bits;
    return true;
}

uint32_t cache_lasting_tiers(const brisk_cache *cache)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < brisk_cache_tier_count(cache); i++) {
        const brisk_tier *tier = brisk_cache_tier(cache, i);
        bits |= (tier->flags & BRISK_TIER_FAST) == 0 ? 1u << i : 0;
    }
    return bits;
}

brisk_cache *cache_of(const brisk_invocation *invocation)
{
    brisk_engine *engine = NULL;
    if (invocation->engine(invocation, &engine) != BRISK_OK) {
        return NULL;
    }
    return brisk_engine_cache(engine);
}

/* --- values -------------------------------------------------------------------------------- */

bool cache_value_copy(const brisk_invocation *invocation, const char *bytes, size_t size,
                      brisk_value **ret)
{
    brisk_err err = brisk_value_copy(bytes, size, NULL, ret);
    return err == BRISK_OK || say(invocation, "value", "", brisk_err_message(err));
}

/** Small ones are copied, large ones stay in their file; the descriptor is used up. */
static bool value_of_fd(const brisk_invocation *invocation, const char *path, int fd, uint64_t size,
                        brisk_value **ret)
{
    brisk_err err = BRISK_OK;
    if (size > BRISK_VALUE_LARGE_BYTES) {
        err = brisk_value_from_fd(fd, size, NULL, ret);
    } else {
        void *bytes = NULL;
        err = brisk_value_reserve((size_t)size, NULL, &bytes, ret);
        if (err == BRISK_OK) {
            err = brisk_file_pread_all(fd, bytes, (size_t)size, 0);
            if (err != BRISK_OK) {
                brisk_value_unref(*ret);
            }
        }
        (void)close(fd);
        fd = -1;
    }
    if (err != BRISK_OK && fd >= 0) {
        (void)close(fd);
    }
    return err == BRISK_OK || say(invocation, "file", path, brisk_err_message(err));
}

/** What comes from a pipe goes through a file without a name. */
static bool read_stream(const brisk_invocation *invocation, const char *path, int from,
                        brisk_value **ret)
{
    FILE *file = tmpfile();
    static char part[PART_BYTES];
    uint64_t size = 0;
    ssize_t got = 0;
    brisk_err err = file != NULL ? BRISK_OK : brisk_err_from_errno(errno);
    while (err == BRISK_OK &&
           ((got = read(from, part, sizeof part)) > 0 || (got < 0 && errno == EINTR))) {
        if (got > 0) {
            err = brisk_file_write_all(fileno(file), part, (size_t)got);
            size += (uint64_t)got;
        }
    }
    if (err == BRISK_OK && got < 0) {
        err = brisk_err_from_errno(errno);
    }
    int fd = err == BRISK_OK ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 3) : -1;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (fd < 0) {
        return say(invocation, "file", path,
                   brisk_err_message(err != BRISK_OK ? err : BRISK_ERR_IO));
    }
    return value_of_fd(invocation, path, fd, size, ret);
}

bool cache_value_read(const brisk_invocation *invocation, const char *path, brisk_value **ret)
{
    if (strcmp(path, "-") == 0) {
        return read_stream(invocation, "standard input", STDIN_FILENO, ret);
    }
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int number = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return say(invocation, "file", path, strerror(number));
    }
    if (!S_ISREG(st.st_mode)) {
        (void)close(fd);
        return say(invocation, "file", path, "is no regular file");
    }
    return value_of_fd(invocation, path, fd, (uint64_t)st.st_size, ret);
}

bool cache_hit_is_sound(brisk_cache *cache, const brisk_key *key, const brisk_hit *hit)
{
    int fd = brisk_value_fd(hit->value);
    if (fd < 0 || !hit->has_content) {
        return true;
    }
    static char part[PART_BYTES];
    brisk_hasher hasher;
    brisk_hasher_init(&hasher, 0);
    uint64_t size = brisk_value_size(hit->value);
    bool read = true;
    for (uint64_t at = 0; at < size && read;) {
        size_t length = size - at < sizeof part ? (size_t)(size - at) : sizeof part;
        read = brisk_file_pread_all(fd, part, length, at) == BRISK_OK;
        brisk_hasher_update(&hasher, part, read ? length : 0);
        at += length;
    }
    brisk_hash128 content = brisk_hasher_digest128(&hasher);
    if (read && content.lo == hit->content.lo && content.hi == hit->content.hi) {
        return true;
    }
    (void)!brisk_cache_remove(cache, key);
    return false;
}
