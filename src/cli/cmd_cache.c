/*
 * cmd_cache.c -- `brisk cache stats|clear|path`.
 *
 * A disk tier that is broken or missing is told, never an error of stats or path: whoever asks for
 * figures wants to see just that.
 */
#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#include <brisk/cache.h>
#include <brisk/json.h>
#include <brisk/text.h>

#include "cli/cache_remote.h"
#include "cli/commands.h"

enum { OPTION_JSON, OPTION_NODE };

static const brisk_option stats_options[] = {
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
    BRISK_NODE_OPTION_ROWS("the tiers of this node"),
};

/* What is shown: of this program's cache, or of a node's. */
typedef struct tiers {
    cache_tier_row rows[BRISK_CACHE_TIERS_MAX];
    uint32_t count;
    const char *path; /* of the disk tier; NULL: of a node */
} tiers;

static bool has_disk(const tiers *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].name, "disk") == 0) {
            return true;
        }
    }
    return false;
}

static brisk_tier_stats stats_of(const brisk_cache *cache, uint32_t index)
{
    brisk_tier *tier = brisk_cache_tier(cache, index);
    brisk_tier_stats stats = {0};
    tier->ops->read_stats(tier, &stats);
    return stats;
}

/* Every figure of a tier: the table and the JSON object show the same. */
typedef struct figure {
    const char *name;
    size_t offset;
    enum { FIGURE_COUNT, FIGURE_BYTES, FIGURE_NS } kind;
} figure;

#define FIGURE(field, unit)                                                                        \
    {                                                                                              \
        .name = #field, .offset = offsetof(brisk_tier_stats, field), .kind = FIGURE_##unit         \
    }

static const figure figures[] = {
    FIGURE(entries, COUNT),   FIGURE(bytes, BYTES),        FIGURE(bytes_max, BYTES),
    FIGURE(hits, COUNT),      FIGURE(misses, COUNT),       FIGURE(puts, COUNT),
    FIGURE(removes, COUNT),   FIGURE(evictions, COUNT),    FIGURE(expired, COUNT),
    FIGURE(rejects, COUNT),   FIGURE(corrupt, COUNT),      FIGURE(errors, COUNT),
    FIGURE(raw_bytes, BYTES), FIGURE(stored_bytes, BYTES), FIGURE(get_p50_ns, NS),
    FIGURE(get_p99_ns, NS),
};

enum {
    FIGURE_TOTAL = sizeof figures / sizeof figures[0],
    ALWAYS_SHOWN = 3, /* the first ones; the others only where one is not 0 */
    COLUMN = 16,
};

static uint64_t figure_of(const brisk_tier_stats *stats, const figure *what)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + what->offset, sizeof value);
    return value;
}

static void format_figure(char text[BRISK_TEXT_SHORT_MAX], const figure *what, uint64_t value)
{
    if (what->kind == FIGURE_BYTES) {
        brisk_text_bytes(text, value);
    } else if (what->kind == FIGURE_NS && value == 0) {
        (void)snprintf(text, BRISK_TEXT_SHORT_MAX, "-");
    } else if (what->kind == FIGURE_NS) {
        brisk_text_duration(text, (double)value);
    } else {
        (void)snprintf(text, BRISK_TEXT_SHORT_MAX, "%" PRIu64, value);
    }
}

static void print_table(FILE *out, const tiers *t)
{
    uint32_t count = t->count;
    (void)fprintf(out, "%-14s", "tier");
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(out, "%*s", COLUMN, t->rows[i].name);
    }
    (void)fputc('\n', out);
    for (uint32_t f = 0; f < FIGURE_TOTAL; f++) {
        uint64_t any = f < ALWAYS_SHOWN ? 1 : 0;
        for (uint32_t i = 0; i < count; i++) {
            any |= figure_of(&t->rows[i].stats, &figures[f]);
        }
        if (any == 0) {
            continue;
        }
        (void)fprintf(out, "%-14s", figures[f].name);
        for (uint32_t i = 0; i < count; i++) {
            char text[BRISK_TEXT_SHORT_MAX];
            format_figure(text, &figures[f], figure_of(&t->rows[i].stats, &figures[f]));
            (void)fprintf(out, "%*s", COLUMN, text);
        }
        (void)fputc('\n', out);
    }
    if (t->path == NULL) {
        return; /* where a node has its files is its own affair */
    }
    if (!has_disk(t)) {
        (void)fprintf(out, "no disk tier%s%s\n", t->path[0] != '\0' ? ": " : "", t->path);
    } else {
        (void)fprintf(out, "disk tier in %s\n", t->path);
    }
}

static brisk_exit print_json(FILE *out, const tiers *t)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_str(&json, "path", t->path != NULL ? t->path : "");
    brisk_json_bool(&json, "disk", has_disk(t));
    brisk_json_array_begin(&json, "tiers");
    for (uint32_t i = 0; i < t->count; i++) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", t->rows[i].name);
        for (uint32_t f = 0; f < FIGURE_TOTAL; f++) {
            brisk_json_u64(&json, figures[f].name, figure_of(&t->rows[i].stats, &figures[f]));
        }
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json) == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit run_stats(const brisk_invocation *invocation)
{
    tiers t = {.count = 0};
    if (invocation->values[OPTION_NODE].set) {
        brisk_exit code = cache_remote_stats(invocation, OPTION_NODE, t.rows, &t.count);
        if (code != BRISK_EXIT_OK) {
            return code;
        }
    } else {
        brisk_engine *engine = NULL;
        if (invocation->engine(invocation, &engine) != BRISK_OK) {
            return BRISK_EXIT_FAILED;
        }
        const brisk_cache *cache = brisk_engine_cache(engine);
        t.path = brisk_engine_cache_path(engine);
        for (t.count = 0; t.count < brisk_cache_tier_count(cache); t.count++) {
            t.rows[t.count].name = brisk_cache_tier(cache, t.count)->name;
            t.rows[t.count].stats = stats_of(cache, t.count);
        }
    }
    if (invocation->values[OPTION_JSON].set) {
        return print_json(invocation->out, &t);
    }
    print_table(invocation->out, &t);
    return BRISK_EXIT_OK;
}

/* Whether the folder holds anything, or with `entries_only` files that hold entries. */
static bool has_content(const char *path, bool entries_only)
{
    DIR *dir = path[0] != '\0' ? opendir(path) : NULL;
    bool found = false;
    if (dir == NULL) {
        return false;
    }
    for (const struct dirent *file; !found && (file = readdir(dir)) != NULL;) {
        const char *dot = strrchr(file->d_name, '.');
        bool is_entries = dot != NULL && (strcmp(dot, ".seg") == 0 || strcmp(dot, ".files") == 0);
        bool is_itself = strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0;
        found = entries_only ? is_entries : !is_itself;
    }
    (void)closedir(dir);
    return found;
}

static bool cache_has_disk(const brisk_cache *cache)
{
    for (uint32_t i = 0; i < brisk_cache_tier_count(cache); i++) {
        if (strcmp(brisk_cache_tier(cache, i)->name, "disk") == 0) {
            return true;
        }
    }
    return false;
}

/* There is no disk tier: fine unless its folder holds something that should have gone. */
static brisk_exit clear_without_disk(const brisk_invocation *invocation, brisk_engine *engine)
{
    const char *path = brisk_engine_cache_path(engine);
    bool enabled = brisk_knobs_u64(brisk_engine_knobs(engine), "cache.disk.enabled") != 0;
    if (has_content(path, !enabled)) {
        (void)fprintf(invocation->err, "brisk: cannot clear %s: %s\n", path,
                      enabled ? "the disk tier cannot be opened"
                              : "cache.disk.enabled switches the disk tier off");
        return BRISK_EXIT_FAILED;
    }
    (void)fprintf(invocation->out, "nothing to clear: no disk tier%s%s\n",
                  path[0] != '\0' ? ": " : "", path);
    return BRISK_EXIT_OK;
}

static brisk_exit run_clear(const brisk_invocation *invocation)
{
    brisk_engine *engine = NULL;
    if (invocation->engine(invocation, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    brisk_cache *cache = brisk_engine_cache(engine);
    const char *path = brisk_engine_cache_path(engine);
    uint64_t entries = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < brisk_cache_tier_count(cache); i++) {
        if (strcmp(brisk_cache_tier(cache, i)->name, "disk") == 0) {
            brisk_tier_stats stats = stats_of(cache, i);
            entries += stats.entries;
            bytes += stats.bytes;
        }
    }
    brisk_err err = brisk_cache_clear(cache);
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: cannot clear %s: %s\n", path,
                      brisk_err_message(err));
        return BRISK_EXIT_FAILED;
    }
    if (!cache_has_disk(cache)) {
        return clear_without_disk(invocation, engine);
    }
    char text[BRISK_TEXT_SHORT_MAX];
    brisk_text_bytes(text, bytes);
    (void)fprintf(invocation->out, "dropped %" PRIu64 " entr%s, %s, from %s\n", entries,
                  entries == 1 ? "y" : "ies", text, path);
    return BRISK_EXIT_OK;
}

static brisk_exit run_path(const brisk_invocation *invocation)
{
    brisk_engine *engine = NULL;
    if (cli_engine(cli_of(invocation), true, &engine) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    const char *path = brisk_engine_cache_path(engine);
    if (path[0] == '\0') {
        (void)fputs("brisk: there is no place for a disk tier: neither XDG_CACHE_HOME nor HOME "
                    "is set\n",
                    invocation->err);
        return BRISK_EXIT_FAILED;
    }
    (void)fprintf(invocation->out, "%s\n", path);
    return BRISK_EXIT_OK;
}

const brisk_command cmd_cache_stats = {
    .name = "stats",
    .group = "Cache",
    .synopsis = "[--json]",
    .summary = "show what each tier holds",
    .description =
        "One column per tier.  Counts of hits and misses are those of this run; entries and bytes "
        "of the disk tier are what all runs left.  Counts that are 0 are left out, but not with "
        "--json.  A disk tier that is missing or damaged is said "
        "so; the figures of the other tiers are shown nevertheless.",
    .options = stats_options,
    .option_count = sizeof stats_options / sizeof stats_options[0],
    .run = run_stats,
};

const brisk_command cmd_cache_clear = {
    .name = "clear",
    .group = "Cache",
    .synopsis = "",
    .summary = "drop every entry, and say what was dropped",
    .description =
        "Does not ask.  Nothing but time is lost: what is asked for again is computed "
        "again.  Fails when the folder of the disk tier holds something and the tier "
        "cannot be opened.\n\nWhat a shared tier on a web server (http:, https:) "
        "holds stays there: it cannot be emptied, and other processes go on finding it.  "
        "Give all of them another folder in cache.shared.url, or empty the server itself.",
    .run = run_clear,
};

const brisk_command cmd_cache_path = {
    .name = "path",
    .group = "Cache",
    .synopsis = "",
    .summary = "print the folder of the disk tier",
    .description = "The knob cache.disk.path, else $XDG_CACHE_HOME/brisk, else $HOME/.cache/brisk. "
                   "The folder need not exist.",
    .run = run_path,
};
