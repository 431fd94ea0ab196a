/*
 * cache_remote.c -- see cache_remote.h.
 */
#include "cli/cache_remote.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/json.h>

#include "cli/cache_entry.h"

enum { KEY_MAX = 2900, PATH_BYTES = 6000, TAGS_BYTES = 2048, BODY_MAX = 512 << 20 };

static const uint64_t second_ns = UINT64_C(1000000000);

/* "/v1/cache/HEX?encoding=hex": whatever is in a key stays one. */
static bool key_path(const brisk_invocation *in, const char *key, char path[PATH_BYTES])
{
    static const char head[] = "/v1/cache/";
    size_t size = strlen(key);
    if (size == 0 || size > KEY_MAX) {
        (void)fprintf(in->err, "brisk: a key of a node has 1 to %d bytes\n", KEY_MAX);
        return false;
    }
    memcpy(path, head, sizeof head);
    for (size_t i = 0; i < size; i++) {
        (void)snprintf(path + sizeof head - 1 + 2 * i, 3, "%02x", (unsigned char)key[i]);
    }
    (void)snprintf(path + sizeof head - 1 + 2 * size, 32, "?encoding=hex");
    return true;
}

/* --- entries ------------------------------------------------------------------------------ */

brisk_exit cache_remote_get(const brisk_invocation *in, uint32_t first, const char *key,
                            brisk_hit *ret)
{
    char path[PATH_BYTES];
    brisk_http_response *response = NULL;
    if (!key_path(in, key, path)) {
        return BRISK_EXIT_USAGE;
    }
    brisk_exit code = remote_ask(
        in, first, &(brisk_node_question){.path = path, .answer_max = BODY_MAX}, &response);
    if (code != BRISK_EXIT_OK) {
        return code;
    }
    brisk_value *value = NULL;
    *ret = (brisk_hit){.tier_name = "node"};
    if (!cache_value_copy(in, response->body != NULL ? (const char *)response->body : "",
                          response->body_size, &value)) {
        code = BRISK_EXIT_FAILED;
    }
    ret->value = value;
    if (response->caching.has_max_age) {
        ret->expires_at_ns =
            brisk_clock_wall_ns(NULL) + response->caching.max_age_s % (1U << 31) * second_ns;
    }
    brisk_http_response_destroy(response);
    return code;
}

/* Life and tags as headers; how many, or -1 after saying why. */
static int entry_headers(const brisk_invocation *in, const cache_remote_entry *entry, char life[64],
                         char tags[TAGS_BYTES], const char *headers[3])
{
    int count = 0;
    headers[count++] = "Content-Type: application/octet-stream";
    if (entry->ttl->set) {
        (void)snprintf(life, 64, "X-Brisk-TTL-Ms: %" PRIu64, entry->ttl->number / 1000000);
        headers[count++] = life;
    }
    size_t used = (size_t)snprintf(tags, TAGS_BYTES, "Surrogate-Key:");
    for (uint32_t i = 0; i < entry->tags->count; i++) {
        const char *tag = entry->tags->texts[i];
        size_t size = strlen(tag);
        bool plain = size > 0 && used + size + 2 <= TAGS_BYTES;
        for (size_t k = 0; k < size && plain; k++) {
            plain = tag[k] > ' ' && tag[k] != 127;
        }
        if (!plain) {
            (void)fprintf(in->err, "brisk: a tag of a node is a word of ASCII, and all of them fit "
                                   "in 2000 bytes\n");
            return -1;
        }
        used += (size_t)snprintf(tags + used, TAGS_BYTES - used, " %s", tag);
    }
    if (entry->tags->count > 0) {
        headers[count++] = tags;
    }
    return count;
}

brisk_exit cache_remote_set(const brisk_invocation *in, uint32_t first,
                            const cache_remote_entry *entry)
{
    char path[PATH_BYTES];
    char life[64];
    char tags[TAGS_BYTES];
    const char *headers[3];
    brisk_http_response *response = NULL;
    int count = entry_headers(in, entry, life, tags, headers);
    if (count < 0 || !key_path(in, entry->key, path)) {
        return BRISK_EXIT_USAGE;
    }
    brisk_exit code =
        remote_ask(in, first,
                   &(brisk_node_question){.method = "PUT",
                                          .path = path,
                                          .body = brisk_value_data(entry->value),
                                          .body_size = (size_t)brisk_value_size(entry->value),
                                          .headers = headers,
                                          .header_count = (uint32_t)count},
                   &response);
    if (code == BRISK_EXIT_OK) {
        brisk_http_response_destroy(response);
    }
    return code;
}

/* --- dropping ----------------------------------------------------------------------------- */

/* Text that grows, in the arena of the program. */
typedef struct growing {
    brisk_arena *arena;
    char *data;
    size_t size;
    size_t capacity;
} growing;

static brisk_err grow(void *ctx, const char *data, size_t size)
{
    growing *to = ctx;
    if (size > to->capacity - to->size) {
        size_t capacity = 2 * (to->capacity + size) + 256;
        char *wider = brisk_arena_alloc(to->arena, capacity);
        if (wider == NULL) {
            return BRISK_ERR_NOMEM;
        }
        memcpy(wider, to->size > 0 ? to->data : "", to->size);
        to->data = wider;
        to->capacity = capacity;
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
    return BRISK_OK;
}

static void write_list(brisk_json *json, const char *member, const char *const *texts,
                       uint32_t count)
{
    brisk_json_array_begin(json, member);
    for (uint32_t i = 0; i < count; i++) {
        brisk_json_str(json, NULL, texts[i]);
    }
    brisk_json_array_end(json);
}

brisk_exit cache_remote_invalidate(const brisk_invocation *in, uint32_t first,
                                   const brisk_option_list *prefixes, const brisk_option_list *tags)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    growing body = {.arena = cli_arena(cli_of(in))};
    brisk_json json;
    brisk_http_response *response = NULL;
    if (body.arena == NULL) {
        return BRISK_EXIT_FAILED;
    }
    brisk_json_init(&json, (brisk_out){.write = grow, .ctx = &body}, 0);
    brisk_json_object_begin(&json, NULL);
    write_list(&json, "keys", (const char *const *)in->argv, (uint32_t)in->argc);
    write_list(&json, "prefixes", prefixes->texts, prefixes->count);
    write_list(&json, "tags", tags->texts, tags->count);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) != BRISK_OK) {
        (void)fprintf(in->err, "brisk: out of memory\n");
        return BRISK_EXIT_FAILED;
    }
    brisk_exit code = remote_ask(in, first,
                                 &(brisk_node_question){.method = "POST",
                                                        .path = "/v1/cache/invalidate",
                                                        .body = body.data,
                                                        .body_size = body.size,
                                                        .headers = headers,
                                                        .header_count = 1},
                                 &response);
    if (code == BRISK_EXIT_OK) {
        brisk_http_response_destroy(response);
    }
    return code;
}

/* --- figures ------------------------------------------------------------------------------ */

/* Where a figure of a tier stands among the node's metrics: serve.tier.NAME. */
static const struct {
    const char *name;
    size_t offset;
} figures[] = {{"entries", offsetof(brisk_tier_stats, entries)},
               {"bytes", offsetof(brisk_tier_stats, bytes)},
               {"limit", offsetof(brisk_tier_stats, bytes_max)},
               {"hits", offsetof(brisk_tier_stats, hits)},
               {"misses", offsetof(brisk_tier_stats, misses)},
               {"puts", offsetof(brisk_tier_stats, puts)},
               {"removes", offsetof(brisk_tier_stats, removes)},
               {"evictions", offsetof(brisk_tier_stats, evictions)},
               {"expired", offsetof(brisk_tier_stats, expired)},
               {"rejects", offsetof(brisk_tier_stats, rejects)},
               {"corrupt", offsetof(brisk_tier_stats, corrupt)},
               {"errors", offsetof(brisk_tier_stats, errors)}};

static uint64_t number_of(const brisk_json_node *metric)
{
    const brisk_json_node *node = brisk_json_get(metric, "value");
    char text[40];
    node = node != NULL ? node : brisk_json_get(metric, "count");
    if (node == NULL || node->kind != BRISK_JSON_NUMBER || node->size >= sizeof text) {
        return 0;
    }
    memcpy(text, node->text, node->size);
    text[node->size] = '\0';
    double value = strtod(text, NULL);
    return value > 0 && value < 1e19 ? (uint64_t)value : 0;
}

/* The row of the tier, or NULL: too many, or no name that can be shown. */
static cache_tier_row *row_of(const brisk_json_node *tier, brisk_arena *arena, cache_tier_row *rows,
                              uint32_t *count)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    if (tier == NULL || tier->kind != BRISK_JSON_STRING || tier->size == 0 || tier->size > 15) {
        return NULL;
    }
    for (uint32_t i = 0; i < *count; i++) {
        if (brisk_json_is(tier, rows[i].name)) {
            return &rows[i];
        }
    }
    const char *name = brisk_arena_copy(arena, tier->text, tier->size);
    if (name == NULL || strspn(name, fine) != tier->size || *count == BRISK_CACHE_TIERS_MAX) {
        return NULL;
    }
    rows[*count] = (cache_tier_row){.name = name};
    return &rows[(*count)++];
}

static void read_metric(const brisk_json_node *metric, brisk_arena *arena, cache_tier_row *rows,
                        uint32_t *count)
{
    static const char head[] = "serve.tier.";
    const brisk_json_node *name = brisk_json_get(metric, "name");
    if (name == NULL || name->kind != BRISK_JSON_STRING || name->size < sizeof head ||
        memcmp(name->text, head, sizeof head - 1) != 0) {
        return;
    }
    const char *figure = name->text + sizeof head - 1;
    size_t size = name->size - (sizeof head - 1);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        if (strlen(figures[i].name) != size || memcmp(figures[i].name, figure, size) != 0) {
            continue;
        }
        cache_tier_row *row =
            row_of(brisk_json_get(brisk_json_get(metric, "labels"), "tier"), arena, rows, count);
        uint64_t value = number_of(metric);
        if (row != NULL) {
            memcpy((char *)&row->stats + figures[i].offset, &value, sizeof value);
        }
    }
}

brisk_exit cache_remote_stats(const brisk_invocation *in, uint32_t first, cache_tier_row *rows,
                              uint32_t *count)
{
    brisk_arena *arena = cli_arena(cli_of(in));
    const brisk_json_node *root = NULL;
    brisk_http_response *response = NULL;
    *count = 0;
    if (arena == NULL) {
        return BRISK_EXIT_FAILED;
    }
    brisk_exit code =
        remote_ask(in, first, &(brisk_node_question){.path = "/v1/metrics"}, &response);
    if (code != BRISK_EXIT_OK) {
        return code;
    }
    const char *text = response->body != NULL ? (const char *)response->body : "";
    if (brisk_json_read(text, response->body_size, brisk_arena_as_alloc(arena), &root, NULL) ==
        BRISK_OK) {
        const brisk_json_node *list = brisk_json_get(root, "metrics");
        for (const brisk_json_node *at = list != NULL ? list->child : NULL; at != NULL;
             at = at->next) {
            read_metric(at, arena, rows, count);
        }
    }
    brisk_http_response_destroy(response);
    if (*count == 0) {
        (void)fprintf(in->err, "brisk: what it answers has no tiers: is this a node?\n");
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}
