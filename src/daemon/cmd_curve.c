/*
 * cmd_curve.c -- BRISK.CURVE: what memory of any size would answer; and memory of the right size.
 *
 * The memory tier's tap feeds a miss-ratio curve (brisk/sizing.h).  With a target
 * (serve.target_hit_rate) a tick of each second lets the tier become as small as reaches it, or as
 * large as it was allowed to be.  Where the server keeps a limit itself (volatile policies,
 * noeviction) the tier is only watched.
 *
 * Everything here is under the server's lock, as are all requests of the tier.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/json.h>

#include "base/str.h"
#include "daemon/server.h"

enum { POINTS = 10, POLICIES_MAX = 10, TEXT_MAX = 65536, NUMBER_MAX = 24, SIZE_MAX_TEXT = 24 };

static const double target_default = 0.94;

/* --- sizing ------------------------------------------------------------------------------- */

static uint64_t limit_of(const server *s)
{
    bool own = s->evict_volatile || s->evict_never || s->evict_any;
    return pressure_left(s, own || s->maxmemory == 0 ? s->keys.bytes_reserve : s->maxmemory);
}

static double target_of(const server *s)
{
    bool own = s->evict_volatile || s->evict_never || s->evict_any;
    return own ? 0 : (double)s->target_rate / 100;
}

static brisk_err resize(void *ctx, uint64_t bytes)
{
    server *s = ctx;
    return keyspace_resize(&s->keys, bytes) ? BRISK_OK : BRISK_ERR_INVALID;
}

brisk_err sizing_start(server *s, bool curve)
{
    if (s->sizing != NULL || (!curve && s->target_rate == 0)) {
        return BRISK_OK;
    }
    brisk_sizing_opts opts = {
        .memory = s->keys.tier,
        .target = target_of(s),
        .bytes_max = limit_of(s),
        .simple = s->size_rule,
        .resize = resize,
        .ctx = s,
        .alloc = library_alloc(s->alloc),
    };
    return brisk_sizing_create(&opts, &s->sizing);
}

bool sizing_follow(server *s)
{
    if (s->sizing == NULL) {
        return sizing_start(s, false) == BRISK_OK;
    }
    return brisk_sizing_set(s->sizing, target_of(s), limit_of(s), s->size_rule) == BRISK_OK;
}

void sizing_tick(server *s)
{
    if (s->sizing != NULL) {
        (void)brisk_sizing_tend(s->sizing);
    }
}

void sizing_text(const server *s, char text[BRISK_SIZER_TEXT_MAX])
{
    brisk_sizing_report report = {.text = ""};
    if (s->sizing != NULL) {
        brisk_sizing_read(s->sizing, &report);
    }
    memcpy(text, report.text, sizeof report.text);
}

/* --- the curve ---------------------------------------------------------------------------- */

typedef struct curve {
    brisk_sizing_report now;
    const char *policy; /* at work */
    double target;
    double each; /* bytes of an entry */
    const char *policies[POLICIES_MAX];
    uint32_t policy_count;
    uint64_t entries[POINTS];
    double curve[POINTS];                /* LRU, from many keys */
    double misses[POLICIES_MAX][POINTS]; /* simulated with few, to be compared */
    brisk_sizer_advice advice;           /* under the policy that needs least */
    const char *advised;
} curve;

/* Reaching the target is better than not, then the smaller size; of those that do not, the higher
 * rate. */
static bool is_better(const brisk_sizer_advice *a, const brisk_sizer_advice *b)
{
    if (a->reachable != b->reachable) {
        return a->reachable;
    }
    return a->reachable ? a->bytes < b->bytes : a->hit_rate > b->hit_rate;
}

/* False: nothing was asked for yet, or the target is none. */
static bool read_curve(server *s, double target, curve *ret)
{
    *ret = (curve){.target = target, .policy = brisk_memory_policy(s->keys.tier), .each = 1};
    brisk_sizing_read(s->sizing, &ret->now);
    if (ret->now.keys == 0) {
        return false;
    }
    if (ret->now.entries > 0) {
        ret->each = (double)ret->now.bytes / (double)ret->now.entries;
    }
    for (uint32_t i = 0; i < POINTS; i++) {
        uint64_t entries = ret->now.keys >> (POINTS - 1 - i);
        ret->entries[i] = entries > 0 ? entries : 1;
        ret->curve[i] = brisk_sizing_miss_ratio(s->sizing, NULL, ret->entries[i]);
    }
    for (uint32_t p = 0; p < POLICIES_MAX && brisk_sizing_policy(p) != NULL; p++) {
        ret->policies[p] = brisk_sizing_policy(p);
        ret->policy_count++;
        for (uint32_t i = 0; i < POINTS; i++) {
            ret->misses[p][i] =
                brisk_sizing_miss_ratio(s->sizing, ret->policies[p], ret->entries[i]);
        }
        brisk_sizer_advice advice;
        if (brisk_sizing_advise(s->sizing, target, ret->policies[p], &advice) != BRISK_OK) {
            return false;
        }
        if (ret->advised == NULL || is_better(&advice, &ret->advice)) {
            ret->advised = ret->policies[p];
            ret->advice = advice;
        }
    }
    /* Where LRU is best it is known better than from the simulation. */
    return strcmp(ret->advised, "lru") != 0 ||
           brisk_sizing_advise(s->sizing, target, NULL, &ret->advice) == BRISK_OK;
}

static void print_size(char text[SIZE_MAX_TEXT], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    uint32_t unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(text, SIZE_MAX_TEXT, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes,
                   units[unit]);
}

static void write_now(brisk_str *text, const curve *cv)
{
    char bytes[SIZE_MAX_TEXT];
    char size[SIZE_MAX_TEXT];
    char most[SIZE_MAX_TEXT];
    print_size(bytes, (double)cv->now.bytes);
    print_size(size, (double)cv->now.size);
    print_size(most, (double)cv->now.bytes_max);
    brisk_str_printf(text,
                     "about %" PRIu64 " requests of %" PRIu64
                     " keys (one key in %.0f is followed)\n"
                     "now: %" PRIu64 " entries, %s of %s (at most %s), policy %s\n",
                     cv->now.requests, cv->now.keys, cv->now.one_in, cv->now.entries, bytes, size,
                     most, cv->policy);
    if (cv->now.target > 0) {
        brisk_str_printf(text, "sized for a hit rate of %.0f %%: %s\n", 100 * cv->now.target,
                         cv->now.text[0] != '\0' ? cv->now.text : "not looked yet");
    }
}

static brisk_err write_text(brisk_str *text, const curve *cv)
{
    enum { BAR = 30 };
    static const char bar[] = "******************************";
    write_now(text, cv);
    brisk_str_printf(text, "\nmiss ratio, %%%29s\n%10s %10s %9s", "simulated:", "entries", "memory",
                     "curve");
    for (uint32_t p = 0; p < cv->policy_count; p++) {
        brisk_str_printf(text, " %9s", cv->policies[p]);
    }
    brisk_str_add(text, "\n");
    for (uint32_t i = 0; i < POINTS; i++) {
        char size[SIZE_MAX_TEXT];
        print_size(size, (double)cv->entries[i] * cv->each);
        brisk_str_printf(text, "%10" PRIu64 " %10s %9.2f", cv->entries[i], size,
                         100 * cv->curve[i]);
        for (uint32_t p = 0; p < cv->policy_count; p++) {
            brisk_str_printf(text, " %9.2f", 100 * cv->misses[p][i]);
        }
        int length = (int)(cv->curve[i] * BAR + 0.5);
        brisk_str_printf(text, "%s%.*s\n", length > 0 ? "  " : "", length < BAR ? length : BAR,
                         bar);
    }
    brisk_str_printf(text, "%s %s, policy %s\n",
                     cv->advice.reachable ? "\nrecommended:" : "\nnot enough:", cv->advice.text,
                     cv->advised);
    return brisk_str_err(text);
}

static brisk_err write_json(brisk_str *text, const curve *cv)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_u64(&json, "requests", cv->now.requests);
    brisk_json_u64(&json, "keys", cv->now.keys);
    brisk_json_double(&json, "followed_one_key_in", cv->now.one_in);
    brisk_json_u64(&json, "entries", cv->now.entries);
    brisk_json_u64(&json, "bytes", cv->now.bytes);
    brisk_json_u64(&json, "size", cv->now.size);
    brisk_json_u64(&json, "bytes_max", cv->now.bytes_max);
    brisk_json_u64(&json, "resizes", cv->now.resizes);
    brisk_json_double(&json, "sized_for", cv->now.target);
    brisk_json_str(&json, "sizing", cv->now.text);
    brisk_json_str(&json, "policy", cv->policy);
    brisk_json_array_begin(&json, "curve");
    for (uint32_t i = 0; i < POINTS; i++) {
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "entries", cv->entries[i]);
        brisk_json_u64(&json, "bytes", (uint64_t)((double)cv->entries[i] * cv->each));
        brisk_json_double(&json, "miss_ratio", cv->curve[i]);
        for (uint32_t p = 0; p < cv->policy_count; p++) {
            brisk_json_double(&json, cv->policies[p], cv->misses[p][i]);
        }
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_double(&json, "hit_rate_target", cv->target);
    brisk_json_bool(&json, "reachable", cv->advice.reachable);
    brisk_json_double(&json, "best_hit_rate", cv->advice.best);
    brisk_json_object_begin(&json, "recommended");
    brisk_json_u64(&json, "bytes", cv->advice.bytes);
    brisk_json_str(&json, "policy", cv->advised);
    brisk_json_double(&json, "hit_rate", cv->advice.hit_rate);
    brisk_json_object_end(&json);
    brisk_json_str(&json, "text", cv->advice.text);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

/* A rate in 0 .. 1. */
static bool parse_rate(resp_bytes arg, double *ret)
{
    char text[NUMBER_MAX];
    char *end = NULL;
    if (arg.size == 0 || arg.size >= sizeof text) {
        return false;
    }
    memcpy(text, arg.data, arg.size);
    text[arg.size] = '\0';
    *ret = strtod(text, &end);
    return end == text + arg.size && *ret > 0 && *ret <= 1;
}

brisk_err curve_write_json(server *s, double target, brisk_str *text)
{
    curve cv;
    if (s->sizing == NULL) {
        return BRISK_ERR_UNSUPPORTED;
    }
    if (target <= 0) {
        target = s->target_rate != 0 ? (double)s->target_rate / 100 : target_default;
    }
    return read_curve(s, target, &cv) ? write_json(text, &cv) : BRISK_ERR_NOT_FOUND;
}

static void reply_curve(client *c, double target, bool as_json)
{
    server *s = c->server;
    curve cv;
    if (s->sizing == NULL) {
        reply_error(c, "ERR no curve is kept: the server was started with serve.curve=off");
        return;
    }
    if (!read_curve(s, target, &cv)) {
        reply_error(c, "ERR nothing was asked for yet");
        return;
    }
    brisk_str text;
    brisk_str_init(&text, s->alloc, TEXT_MAX);
    if ((as_json ? write_json(&text, &cv) : write_text(&text, &cv)) == BRISK_OK) {
        resp_put_bulk(&c->worker->out, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        reply_error(c, "OOM out of memory");
    }
    brisk_str_deinit(&text);
}

static void cmd_curve(client *c, const resp_bytes *argv, uint32_t argc)
{
    double target =
        c->server->target_rate != 0 ? (double)c->server->target_rate / 100 : target_default;
    bool as_json = true;
    for (uint32_t i = 1; i < argc; i++) {
        if (resp_bytes_equal_nocase(argv[i], "json") || resp_bytes_equal_nocase(argv[i], "text")) {
            as_json = resp_bytes_equal_nocase(argv[i], "json");
        } else if (resp_bytes_equal_nocase(argv[i], "target") && i + 1 < argc) {
            if (!parse_rate(argv[++i], &target)) {
                reply_error(c, "ERR the target is a hit rate, more than 0 and up to 1");
                return;
            }
        } else {
            reply_syntax_error(c);
            return;
        }
    }
    reply_curve(c, target, as_json);
}

static const command rows[] = {
    {.name = "brisk.curve",
     .summary = "Miss ratio by size of memory, and the size that a hit rate needs",
     .since = "7.0.15",
     .group = "brisk",
     .complexity = "O(1)",
     .synopsis = "[TARGET rate] [JSON|TEXT]",
     .run = cmd_curve,
     .arity = -1,
     .flags = CMD_LOADING | CMD_STALE,
     .categories = CAT_SLOW},
};

const command_family family_curve = {.rows = rows, .count = sizeof rows / sizeof rows[0]};
