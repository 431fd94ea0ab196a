/*
 * cmd_cache_entry.c -- `brisk cache get|set|invalidate`.
 *
 * Values are bytes: what went in comes out, whatever it is.  `set` looks afterwards whether a tier
 * that outlives the process has the entry, since storing itself never fails.
 */
#include <inttypes.h>
#include <string.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/text.h>

#include "cli/cache_entry.h"
#include "cli/cache_remote.h"
#include "cli/commands.h"

enum { JSON_VALUE_MAX = 1048576, NS_PER_S = 1000000000 };

/* --- get ----------------------------------------------------------------------------------- */

enum { GET_OUTPUT, GET_TIER, GET_JSON, GET_NODE, GET_COUNT = GET_NODE + BRISK_NODE_OPTIONS };

static const brisk_option get_options[GET_COUNT] = {
    [GET_OUTPUT] = {.name = "output",
                    .letter = 'o',
                    .type = BRISK_OPTION_FILE,
                    .metavar = "FILE",
                    .summary = "write the value to FILE instead of standard output"},
    [GET_TIER] = {.name = "tier",
                  .type = BRISK_OPTION_LIST,
                  .metavar = "NAME",
                  .summary = "ask this tier only; may be repeated"},
    [GET_JSON] = {.name = "json", .summary = "what is known of the entry, as one JSON object"},
    BRISK_NODE_OPTION_ROWS("ask this node, by its own keys"),
};

/** Bytes that JSON can show as they are. */
static bool is_text(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        unsigned char c = bytes[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || more >= size - i) {
            return false;
        }
        for (size_t k = 1; k <= more; k++) {
            if ((bytes[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        /* Overlong forms, surrogates, beyond the last character. */
        if ((c == 0xe0 && bytes[i + 1] < 0xa0) || (c == 0xed && bytes[i + 1] > 0x9f) ||
            (c == 0xf0 && bytes[i + 1] < 0x90) || (c == 0xf4 && bytes[i + 1] > 0x8f)) {
            return false;
        }
        i += 1 + more;
    }
    return true;
}

static void to_base64(const unsigned char *bytes, size_t size, char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= i + 2 < size ? bytes[i + 2] : 0;
        *text++ = digits[word >> 18];
        *text++ = digits[word >> 12 & 63];
        *text++ = i + 1 < size ? digits[word >> 6 & 63] : '=';
        *text++ = i + 2 < size ? digits[word & 63] : '=';
    }
    *text = '\0';
}

/** The value as text, or as Base64; large ones not at all. */
static void write_value_json(const brisk_invocation *invocation, brisk_json *json,
                             const brisk_hit *hit)
{
    const unsigned char *bytes = brisk_value_data(hit->value);
    size_t size = (size_t)brisk_value_size(hit->value);
    brisk_arena *arena = cli_arena(cli_of(invocation));
    bool small = bytes != NULL && size <= JSON_VALUE_MAX && arena != NULL;
    char *text = small ? brisk_arena_alloc(arena, size / 3 * 4 + 5) : NULL;
    if (text == NULL) {
        brisk_json_bool(json, "value_omitted", true);
    } else if (is_text(bytes, size)) {
        memcpy(text, bytes, size);
        text[size] = '\0';
        brisk_json_str(json, "value", text);
    } else {
        to_base64(bytes, size, text);
        brisk_json_str(json, "value_base64", text);
    }
}

static brisk_exit print_hit_json(const brisk_invocation *invocation, const char *name,
                                 const brisk_hit *hit)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(invocation->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "key", name);
    brisk_json_str(&json, "tier", hit->tier_name);
    brisk_json_u64(&json, "bytes", brisk_value_size(hit->value));
    if (hit->expires_at_ns != 0) {
        brisk_json_u64(&json, "expires_at", hit->expires_at_ns / NS_PER_S);
    } else {
        brisk_json_null(&json, "expires_at");
    }
    if (invocation->values[GET_OUTPUT].set) {
        brisk_json_str(&json, "output", invocation->values[GET_OUTPUT].text);
    } else {
        write_value_json(invocation, &json, hit);
    }
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_err write_value(int fd, const brisk_hit *hit)
{
    static char part[65536];
    const char *bytes = brisk_value_data(hit->value);
    uint64_t size = brisk_value_size(hit->value);
    if (bytes != NULL) {
        return brisk_file_write_all(fd, bytes, (size_t)size);
    }
    brisk_err err = BRISK_OK;
    for (uint64_t at = 0; at < size && err == BRISK_OK;) {
        size_t length = size - at < sizeof part ? (size_t)(size - at) : sizeof part;
        err = brisk_file_pread_all(brisk_value_fd(hit->value), part, length, at);
        err = err == BRISK_OK ? brisk_file_write_all(fd, part, length) : err;
        at += length;
    }
    return err;
}

static brisk_exit write_file(const brisk_invocation *invocation, const char *path,
                             const brisk_hit *hit)
{
    brisk_file_replace *file = NULL;
    brisk_errinfo info = {0};
    brisk_err err = brisk_file_replace_open(path, NULL, &file, &info);
    if (err == BRISK_OK) {
        int from = brisk_value_fd(hit->value);
        int to = brisk_file_replace_fd(file);
        err = from >= 0 ? brisk_file_clone(from, to, brisk_value_size(hit->value), NULL)
                        : write_value(to, hit);
        if (err == BRISK_OK) {
            err = brisk_file_replace_commit(file, false, &info);
        } else {
            brisk_file_replace_abort(file);
            char quoted[BRISK_TEXT_QUOTED_MAX];
            (void)brisk_errinfo_set(&info, err, "%s: %s", brisk_text_quote(quoted, path),
                                    brisk_err_message(err));
        }
    }
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: %s\n", info.text);
        return BRISK_EXIT_FAILED;
    }
    return BRISK_EXIT_OK;
}

/** Through stdio, so that a write that fails is noticed where every output is. */
static brisk_exit write_out(const brisk_invocation *invocation, const brisk_hit *hit)
{
    static char part[65536];
    const char *bytes = brisk_value_data(hit->value);
    uint64_t size = brisk_value_size(hit->value);
    if (bytes != NULL) {
        (void)fwrite(bytes, 1, (size_t)size, invocation->out);
        return BRISK_EXIT_OK;
    }
    for (uint64_t at = 0; at < size && ferror(invocation->out) == 0;) {
        size_t length = size - at < sizeof part ? (size_t)(size - at) : sizeof part;
        brisk_err err = brisk_file_pread_all(brisk_value_fd(hit->value), part, length, at);
        if (err != BRISK_OK) {
            (void)fprintf(invocation->err, "brisk: the value cannot be read: %s\n",
                          brisk_err_message(err));
            return BRISK_EXIT_FAILED;
        }
        (void)fwrite(part, 1, length, invocation->out);
        at += length;
    }
    return BRISK_EXIT_OK;
}

static brisk_exit deliver(const brisk_invocation *invocation, const char *name,
                          const brisk_hit *hit)
{
    const brisk_option_value *output = &invocation->values[GET_OUTPUT];
    brisk_exit status = BRISK_EXIT_OK;
    if (output->set) {
        status = write_file(invocation, output->text, hit);
    } else if (!invocation->values[GET_JSON].set) {
        status = write_out(invocation, hit);
    }
    if (status == BRISK_EXIT_OK && invocation->values[GET_JSON].set) {
        status = print_hit_json(invocation, name, hit);
    }
    return status;
}

/* A node's tiers are its own affair. */
static brisk_exit no_tiers(const brisk_invocation *invocation)
{
    (void)fputs("brisk: --tier and --depends are not for a node\n", invocation->err);
    return BRISK_EXIT_USAGE;
}

static brisk_exit get_remote(const brisk_invocation *invocation)
{
    const char *key = invocation->argv[0];
    brisk_hit hit;
    if (invocation->lists[GET_TIER].count > 0) {
        return no_tiers(invocation);
    }
    brisk_exit code = cache_remote_get(invocation, GET_NODE, key, &hit);
    if (code == BRISK_EXIT_OK) {
        code = deliver(invocation, key, &hit);
        brisk_value_unref(hit.value);
    }
    return code;
}

static brisk_exit run_get(const brisk_invocation *invocation)
{
    if (invocation->values[GET_NODE].set) {
        return get_remote(invocation);
    }
    brisk_cache *cache = cache_of(invocation);
    cache_key key;
    uint32_t tiers = 0;
    if (cache == NULL) {
        return BRISK_EXIT_FAILED;
    }
    if (!cache_key_make(invocation, invocation->argv[0], &key) ||
        !cache_tiers_make(invocation, cache, &invocation->lists[GET_TIER], &tiers)) {
        return BRISK_EXIT_USAGE;
    }
    brisk_hit hit;
    bool found = brisk_cache_get(cache, &key.key, tiers, &hit);
    if (found && !cache_hit_is_sound(cache, &key.key, &hit)) {
        brisk_value_unref(hit.value);
        found = false;
    }
    if (!found) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: no entry '%s'\n",
                      brisk_text_quote(quoted, key.text));
        return BRISK_EXIT_FAILED;
    }
    brisk_exit status = deliver(invocation, key.text, &hit);
    brisk_value_unref(hit.value);
    return status;
}

const brisk_command cmd_cache_get = {
    .name = "get",
    .group = "Cache",
    .synopsis = "KEY [-o FILE]",
    .summary = "write the value of an entry",
    .description =
        "Exit code 1, and nothing on standard output, when there is no entry. Keys of the command "
        "line live in a namespace of their own: those of jobs are not reached.",
    .examples = "brisk cache get greeting\twrite the value that 'set' stored\n"
                "brisk cache get photo -o photo.jpg\tinto a file, which is replaced when whole\n",
    .options = get_options,
    .option_count = GET_COUNT,
    .args_min = 1,
    .args_max = 1,
    .run = run_get,
};

/* --- set ----------------------------------------------------------------------------------- */

enum {
    SET_TTL,
    SET_TAG,
    SET_DEPENDS,
    SET_TIER,
    SET_JSON,
    SET_NODE,
    SET_COUNT = SET_NODE + BRISK_NODE_OPTIONS
};

static const brisk_option set_options[SET_COUNT] = {
    [SET_TTL] = {.name = "ttl",
                 .type = BRISK_OPTION_DURATION,
                 .metavar = "TIME",
                 .summary = "how long it lives; for ever without"},
    [SET_TAG] = {.name = "tag",
                 .type = BRISK_OPTION_LIST,
                 .metavar = "TAG",
                 .summary = "goes with this tag; may be repeated"},
    [SET_DEPENDS] = {.name = "depends",
                     .type = BRISK_OPTION_LIST,
                     .metavar = "KEY",
                     .summary = "goes when KEY changes; may be repeated"},
    [SET_TIER] = {.name = "tier",
                  .type = BRISK_OPTION_LIST,
                  .metavar = "NAME",
                  .summary = "store in this tier only; may be repeated"},
    [SET_JSON] = {.name = "json", .summary = "report as one JSON object"},
    BRISK_NODE_OPTION_ROWS("store it in this node, by its own keys"),
};

/** VALUE, @FILE, - or nothing. */
static bool value_of_word(const brisk_invocation *invocation, brisk_value **ret)
{
    const char *word = invocation->argc > 1 ? invocation->argv[1] : "-";
    if (strcmp(word, "-") == 0) {
        return cache_value_read(invocation, "-", ret);
    }
    if (word[0] == '@') {
        return cache_value_read(invocation, word + 1, ret);
    }
    return cache_value_copy(invocation, word, strlen(word), ret);
}

static bool depends_of(const brisk_invocation *invocation, const brisk_key **ret)
{
    const brisk_option_list *list = &invocation->lists[SET_DEPENDS];
    brisk_arena *arena = list->count > 0 ? cli_arena(cli_of(invocation)) : NULL;
    brisk_key *keys = arena != NULL ? brisk_arena_calloc(arena, list->count, sizeof *keys) : NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        cache_key key;
        if (keys == NULL || !cache_key_make(invocation, list->texts[i], &key)) {
            return false;
        }
        keys[i] = key.key;
    }
    *ret = keys;
    return true;
}

static bool entry_of(const brisk_invocation *invocation, const brisk_cache *cache,
                     brisk_entry_opts *ret)
{
    const brisk_option_value *ttl = &invocation->values[SET_TTL];
    const brisk_option_list *tags = &invocation->lists[SET_TAG];
    const brisk_option_list *depends = &invocation->lists[SET_DEPENDS];
    *ret = (brisk_entry_opts){.tag_count = tags->count, .depends_count = depends->count};
    if (tags->count > BRISK_TAGS_MAX || depends->count > BRISK_TAGS_MAX) {
        (void)fprintf(invocation->err, "brisk: at most %d --tag and %d --depends\n", BRISK_TAGS_MAX,
                      BRISK_TAGS_MAX);
        return false;
    }
    if (ttl->set) {
        uint64_t now_ns = brisk_clock_wall_ns(NULL);
        uint64_t left_ns = UINT64_MAX - now_ns;
        ret->expires_at_ns = now_ns + (ttl->number < left_ns ? ttl->number : left_ns);
    }
    return cache_tags_make(invocation, tags, &ret->tags) &&
           depends_of(invocation, &ret->depends_on) &&
           cache_tiers_make(invocation, cache, &invocation->lists[SET_TIER], &ret->tiers);
}

/** Where the entry is now; NULL: nowhere that lasts.  Asked directly: this is no request. */
static const char *stored_in(const brisk_cache *cache, const brisk_key *key, uint32_t tiers)
{
    uint32_t lasting = cache_lasting_tiers(cache);
    lasting &= tiers != 0 ? tiers : UINT32_MAX;
    for (uint32_t i = 0; i < brisk_cache_tier_count(cache); i++) {
        brisk_tier *tier = brisk_cache_tier(cache, i);
        brisk_hit hit;
        if ((lasting >> i & 1) != 0 && tier->ops->get(tier, key, &hit) == BRISK_OK) {
            brisk_value_unref(hit.value);
            return tier->name;
        }
    }
    return NULL;
}

static brisk_exit report_set(const brisk_invocation *invocation, const char *name, uint64_t size,
                             const char *tier)
{
    char quoted[BRISK_TEXT_QUOTED_MAX];
    char bytes[BRISK_TEXT_SHORT_MAX];
    if (!invocation->values[SET_JSON].set) {
        brisk_text_bytes(bytes, size);
        (void)fprintf(invocation->out, "stored '%s', %s, in %s\n", brisk_text_quote(quoted, name),
                      bytes, tier);
        return BRISK_EXIT_OK;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(invocation->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "key", name);
    brisk_json_str(&json, "tier", tier);
    brisk_json_u64(&json, "bytes", size);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit set_remote(const brisk_invocation *invocation)
{
    const char *key = invocation->argv[0];
    brisk_value *value = NULL;
    if (invocation->lists[SET_TIER].count > 0 || invocation->lists[SET_DEPENDS].count > 0) {
        return no_tiers(invocation);
    }
    if (!value_of_word(invocation, &value)) {
        return BRISK_EXIT_FAILED;
    }
    brisk_exit code = cache_remote_set(invocation, SET_NODE,
                                       &(cache_remote_entry){.key = key,
                                                             .value = value,
                                                             .ttl = &invocation->values[SET_TTL],
                                                             .tags = &invocation->lists[SET_TAG]});
    if (code == BRISK_EXIT_OK) {
        code = report_set(invocation, key, brisk_value_size(value), "node");
    }
    brisk_value_unref(value);
    return code;
}

static brisk_exit run_set(const brisk_invocation *invocation)
{
    if (invocation->values[SET_NODE].set) {
        return set_remote(invocation);
    }
    brisk_cache *cache = cache_of(invocation);
    cache_key key;
    brisk_entry_opts opts;
    brisk_value *value = NULL;
    if (cache == NULL) {
        return BRISK_EXIT_FAILED;
    }
    if (!cache_key_make(invocation, invocation->argv[0], &key) ||
        !entry_of(invocation, cache, &opts)) {
        return BRISK_EXIT_USAGE;
    }
    if (!value_of_word(invocation, &value)) {
        return BRISK_EXIT_FAILED;
    }
    uint64_t size = brisk_value_size(value);
    brisk_cache_put(cache, &key.key, value, &opts);
    brisk_value_unref(value);
    const char *tier = stored_in(cache, &key.key, opts.tiers);
    if (tier == NULL) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: '%s' is in no tier that outlives this command%s\n",
                      brisk_text_quote(quoted, key.text),
                      (cache_lasting_tiers(cache) & (opts.tiers != 0 ? opts.tiers : UINT32_MAX)) ==
                              0
                          ? ""
                          : ": it could not be stored");
        return BRISK_EXIT_FAILED;
    }
    return report_set(invocation, key.text, size, tier);
}

const brisk_command cmd_cache_set = {
    .name = "set",
    .group = "Cache",
    .synopsis = "KEY [VALUE|@FILE|-]",
    .summary = "store an entry",
    .description =
        "The value is the word VALUE, the bytes of FILE after an @, or standard input. Keys of the "
        "command line live in a namespace of their own.\n"
        "A key that another one depends on should be there already: of a key that nothing is known "
        "of, brisk must assume that it depends on anything, and lets the entry go with the next "
        "invalidation of whatever.",
    .examples = "brisk cache set greeting 'good morning' --ttl 10m\tten minutes\n"
                "brisk cache set page @page.html --tag site --depends menu\t"
                "goes with the tag, or when 'menu' is set\n"
                "make-report | brisk cache set report\tfrom standard input\n",
    .options = set_options,
    .option_count = SET_COUNT,
    .args_min = 1,
    .args_max = 2,
    .run = run_set,
};

/* --- invalidate ---------------------------------------------------------------------------- */

enum { INV_PREFIX, INV_TAG, INV_JSON, INV_NODE, INV_COUNT = INV_NODE + BRISK_NODE_OPTIONS };

static const brisk_option invalidate_options[INV_COUNT] = {
    [INV_PREFIX] = {.name = "prefix",
                    .type = BRISK_OPTION_LIST,
                    .metavar = "PREFIX",
                    .summary = "keys that begin with PREFIX; may be repeated"},
    [INV_TAG] = {.name = "tag",
                 .type = BRISK_OPTION_LIST,
                 .metavar = "TAG",
                 .summary = "whatever has this tag; may be repeated"},
    [INV_JSON] = {.name = "json", .summary = "report as one JSON object"},
    BRISK_NODE_OPTION_ROWS("in this node, by its own keys"),
};

/** Each of them: said what failed. */
static bool invalidate_one(const brisk_invocation *invocation, const char *what, const char *name,
                           brisk_err err)
{
    if (err != BRISK_OK) {
        char quoted[BRISK_TEXT_QUOTED_MAX];
        (void)fprintf(invocation->err, "brisk: %s '%s': %s\n", what, brisk_text_quote(quoted, name),
                      brisk_err_message(err));
    }
    return err == BRISK_OK;
}

static bool invalidate_all(const brisk_invocation *invocation, brisk_cache *cache)
{
    const brisk_option_list *prefixes = &invocation->lists[INV_PREFIX];
    const brisk_option_list *names = &invocation->lists[INV_TAG];
    const brisk_tag *tags = NULL;
    bool good = cache_tags_make(invocation, names, &tags);
    for (int i = 0; i < invocation->argc && good; i++) {
        cache_key key;
        good = cache_key_make(invocation, invocation->argv[i], &key) &&
               invalidate_one(invocation, "key", key.text,
                              brisk_cache_invalidate_key(cache, &key.key));
    }
    for (uint32_t i = 0; i < prefixes->count && good; i++) {
        brisk_tag prefix;
        good = cache_prefix_make(invocation, prefixes->texts[i], &prefix) &&
               invalidate_one(invocation, "prefix", prefixes->texts[i],
                              brisk_cache_invalidate_prefix(cache, prefix.bytes, prefix.size));
    }
    for (uint32_t i = 0; i < names->count && good; i++) {
        good = invalidate_one(invocation, "tag", names->texts[i],
                              brisk_cache_invalidate_tag(cache, tags[i].bytes, tags[i].size));
    }
    return good;
}

static brisk_exit report_invalidated(const brisk_invocation *invocation)
{
    uint32_t prefixes = invocation->lists[INV_PREFIX].count;
    uint32_t tags = invocation->lists[INV_TAG].count;
    if (!invocation->values[INV_JSON].set) {
        (void)fprintf(invocation->out,
                      "invalidated %d key%s, %" PRIu32 " prefix%s, %" PRIu32 " tag%s\n",
                      invocation->argc, invocation->argc == 1 ? "" : "s", prefixes,
                      prefixes == 1 ? "" : "es", tags, tags == 1 ? "" : "s");
        return BRISK_EXIT_OK;
    }
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(invocation->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "keys", (uint64_t)invocation->argc);
    brisk_json_u64(&json, "prefixes", prefixes);
    brisk_json_u64(&json, "tags", tags);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit run_invalidate(const brisk_invocation *invocation)
{
    uint32_t prefixes = invocation->lists[INV_PREFIX].count;
    uint32_t tags = invocation->lists[INV_TAG].count;
    if (invocation->argc == 0 && prefixes == 0 && tags == 0) {
        (void)fputs("brisk: cache invalidate: a KEY, --prefix or --tag is missing\n",
                    invocation->err);
        return BRISK_EXIT_USAGE;
    }
    if (invocation->values[INV_NODE].set) {
        brisk_exit code = cache_remote_invalidate(
            invocation, INV_NODE, &invocation->lists[INV_PREFIX], &invocation->lists[INV_TAG]);
        return code == BRISK_EXIT_OK ? report_invalidated(invocation) : code;
    }
    brisk_cache *cache = cache_of(invocation);
    if (cache == NULL || !invalidate_all(invocation, cache)) {
        return BRISK_EXIT_FAILED;
    }
    return report_invalidated(invocation);
}

const brisk_command cmd_cache_invalidate = {
    .name = "invalidate",
    .group = "Cache",
    .synopsis = "KEY... | --prefix PREFIX | --tag TAG",
    .summary = "make entries, and all that depends on them, a miss",
    .description =
        "At a cost that does not depend on how many entries there are, at once for every process "
        "with the same disk tier. Keys and prefixes are those of the command line; a tag is the "
        "same for all, so entries of jobs go with theirs. Who wants everything gone uses 'clear'.",
    .examples = "brisk cache invalidate greeting\tone entry\n"
                "brisk cache invalidate --tag site\teverything with the tag\n",
    .options = invalidate_options,
    .option_count = INV_COUNT,
    .args_min = 0,
    .args_max = -1,
    .run = run_invalidate,
};
