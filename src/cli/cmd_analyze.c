/*
 * cmd_analyze.c -- `brisk cache analyze`: what size and policy a recorded load, or a running server's, would want.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <brisk/json.h>
#include <brisk/predict.h>
#include <brisk/text.h>

#include "cli/analyze.h"
#include "cli/commands.h"
#include "cli/node.h"

enum {
    OPTION_TARGET,
    OPTION_EVICTION,
    OPTION_PREDICTION,
    OPTION_FORMAT,
    OPTION_EXACT,
    OPTION_SVG,
    OPTION_JSON,
    OPTION_LIVE,
    OPTION_NODE,
    OPTION_PASSWORD,
    OPTION_COUNT,
};

enum { KNEE_POINTS = 200, GUESSES = 8 };

static const double target_default = 0.94;

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_TARGET] = {.name = "hit-rate-target",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "RATE",
                       .summary = "hit rate that is wanted, 0 to 1; 0.94 when not given"},
    [OPTION_EVICTION] = {.name = "eviction-analysis",
                         .summary = "what was dropped too early, policy by policy"},
    [OPTION_PREDICTION] = {.name = "prediction-accuracy",
                           .summary = "how often the next keys could have been foretold"},
    [OPTION_FORMAT] = {.name = "format",
                       .type = BRISK_OPTION_TEXT,
                       .metavar = "FORMAT",
                       .summary = "auto, oracleGeneral, arc, lirs, plain or recording"},
    [OPTION_EXACT] = {.name = "exact", .summary = "simulate every key, however long it takes"},
    [OPTION_SVG] = {.name = "svg",
                    .type = BRISK_OPTION_FILE,
                    .metavar = "FILE",
                    .summary = "draw the curves into FILE"},
    [OPTION_JSON] = {.name = "json", .summary = "as one JSON object"},
    [OPTION_LIVE] = {.name = "live", .summary = "look at a running 'brisk serve' instead"},
    [OPTION_NODE] = {.name = "node",
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "HOST:PORT",
                     .summary = "which one, also the path of its unix socket (" NODE_DEFAULT ")"},
    [OPTION_PASSWORD] = {.name = "password-file",
                         .type = BRISK_OPTION_FILE,
                         .metavar = "FILE",
                         .summary = "the server's password is its first line"},
};

/* What is recommended. */
typedef struct advice {
    double target;
    bool reachable;
    analyze_choice at;   /* the smallest size with the target, or the knee */
    analyze_choice knee; /* where growing stops paying */
    double best;         /* hit rate with room for everything */
} advice;

static bool parse_target(const char *text, double *ret)
{
    char *end = NULL;
    double value = strtod(text, &end);
    *ret = value;
    return end != text && *end == '\0' && value > 0 && value <= 1;
}

/* The point of the best curve that is farthest below the line from no cache to all of it. */
static analyze_choice find_knee(const analysis *a)
{
    double most = (double)a->unique;
    double farthest = -1;
    analyze_choice knee = analyze_best(a, most);
    for (uint32_t i = 1; i < KNEE_POINTS; i++) {
        double share = (double)i / KNEE_POINTS;
        analyze_choice choice = analyze_best(a, most * share);
        double below = 1 - (1 - a->least) * share - choice.miss_ratio;
        if (below > farthest && choice.entries != 0) {
            farthest = below;
            knee = choice;
        }
    }
    return knee;
}

static advice advise(const analysis *a, double target)
{
    advice result = {.target = target, .best = 1 - a->least, .knee = find_knee(a)};
    result.reachable = result.best >= target;
    result.at = result.knee;
    if (!result.reachable) {
        return result;
    }
    double low = 0;
    double high = (double)a->unique;
    while (high - low > 1) {
        double middle = (low + high) / 2;
        if (1 - analyze_best(a, middle).miss_ratio >= target) {
            high = middle;
        } else {
            low = middle;
        }
    }
    result.at = analyze_best(a, high);
    return result;
}

/* --- evictions --------------------------------------------------------------------------- */

typedef struct evictions {
    uint64_t count;
    uint64_t early; /* asked for again within as many requests as there are entries */
    uint64_t later; /* asked for again after that */
    uint64_t once;  /* of the keys: asked for once in all */
} evictions;

typedef struct gone_key {
    uint32_t hash;
    uint32_t used;
    uint64_t at; /* request; 0: not evicted now */
    uint64_t asked;
} gone_key;

static gone_key *find_gone(gone_key *table, uint64_t mask, uint32_t hash)
{
    uint64_t slot = hash * UINT64_C(0x9e3779b97f4a7c15) >> 24 & mask;
    while (table[slot].used != 0 && table[slot].hash != hash) {
        slot = (slot + 1) & mask;
    }
    table[slot].used = 1;
    table[slot].hash = hash;
    return &table[slot];
}

static brisk_err count_evictions(const analysis *a, const char *policy, uint64_t entries,
                                 evictions *ret)
{
    uint64_t mask = 1023;
    while (mask < 2 * a->unique / a->one_in) {
        mask = mask * 2 + 1;
    }
    gone_key *table = analyze_acquire((mask + 1) * sizeof *table);
    brisk_cache_sim *sim = NULL;
    brisk_err err =
        table != NULL ? brisk_cache_sim_create(policy, entries, NULL, &sim) : BRISK_ERR_NOMEM;
    evictions found = {0};
    for (uint64_t i = 0; i < a->key_count && err == BRISK_OK; i++) {
        gone_key *key = find_gone(table, mask, (uint32_t)(a->keys[i] >> 32));
        key->asked++;
        if (key->at != 0) {
            bool early = i + 1 - key->at <= entries;
            found.early += early;
            found.later += !early;
            key->at = 0;
        }
        uint32_t hash;
        (void)brisk_cache_sim_request(sim, a->keys[i]);
        if (brisk_cache_sim_evicted(sim, &hash)) {
            found.count++;
            find_gone(table, mask, hash)->at = i + 1;
        }
    }
    for (uint64_t slot = 0; slot <= mask && err == BRISK_OK; slot++) {
        found.once += table[slot].asked == 1;
    }
    analyze_release(table, (mask + 1) * sizeof *table);
    brisk_cache_sim_destroy(sim);
    *ret = found;
    return err;
}

static brisk_err report_evictions(const analysis *a, const advice *result, FILE *out,
                                  brisk_json *json)
{
    uint64_t entries = result->at.entries / a->one_in;
    entries = entries != 0 ? entries : 1;
    evictions e = {0};
    if (json != NULL) {
        brisk_json_array_begin(json, "evictions");
    } else {
        (void)fprintf(out,
                      "\nevictions with %" PRIu64 " entries, of 100 requests\n"
                      "%-10s %9s %9s %9s %9s\n",
                      result->at.entries, "", "evicted", "early", "later", "never");
    }
    for (uint32_t p = 0; p < ANALYZE_POLICIES; p++) {
        brisk_err err = count_evictions(a, brisk_policy_name(p), entries, &e);
        if (err != BRISK_OK) {
            return err;
        }
        double per = 100 / (double)a->key_count;
        if (json != NULL) {
            brisk_json_object_begin(json, NULL);
            brisk_json_str(json, "policy", brisk_policy_name(p));
            brisk_json_u64(json, "evicted", e.count * a->one_in);
            brisk_json_u64(json, "asked_again_early", e.early * a->one_in);
            brisk_json_u64(json, "asked_again_later", e.later * a->one_in);
            brisk_json_object_end(json);
        } else {
            (void)fprintf(out, "%-10s %9.2f %9.2f %9.2f %9.2f\n", brisk_policy_name(p),
                          (double)e.count * per, (double)e.early * per, (double)e.later * per,
                          (double)(e.count - e.early - e.later) * per);
        }
    }
    if (json != NULL) {
        brisk_json_array_end(json);
        brisk_json_u64(json, "keys_asked_once", e.once * a->one_in);
    } else {
        (void)fprintf(out,
                      "early: asked for again within as many requests as there are entries\n"
                      "%.1f %% of the keys are asked for once\n",
                      100 * (double)e.once * (double)a->one_in / (double)a->unique);
    }
    return BRISK_OK;
}

/* --- prediction -------------------------------------------------------------------------- */

static brisk_err predict(const analysis *a, brisk_predictor *predictor, brisk_errinfo *info)
{
    brisk_trace_file *file = NULL;
    brisk_err err = brisk_trace_file_open(a->path, a->format, NULL, &file, info);
    brisk_trace_request request;
    while (err == BRISK_OK && (err = brisk_trace_file_next(file, &request, info)) == BRISK_OK) {
        brisk_key key = brisk_key_of(&request.key, sizeof request.key);
        brisk_guess guesses[GUESSES];
        uint32_t count = brisk_predictor_note(predictor, 1, &key, false, guesses, GUESSES);
        for (uint32_t i = 0; i < count; i++) {
            brisk_predictor_tell(predictor, &guesses[i], BRISK_GUESS_SKIPPED);
        }
    }
    brisk_trace_file_close(file);
    return err == BRISK_ERR_NOT_FOUND ? BRISK_OK : err;
}

static brisk_err report_prediction(const analysis *a, FILE *out, brisk_json *json,
                                   brisk_errinfo *info)
{
    brisk_predictor_opts opts = {0};
    brisk_predictor *predictor = NULL;
    brisk_err err = brisk_predictor_create(&opts, &predictor);
    if (err != BRISK_OK) {
        return brisk_errinfo_set(info, err, "%s: out of memory", a->path);
    }
    err = predict(a, predictor, info);
    brisk_predict_stats stats;
    brisk_predictor_read_stats(predictor, &stats);
    brisk_predictor_destroy(predictor);
    double precision = stats.guesses != 0 ? (double)stats.right / (double)stats.guesses : 0;
    double coverage = a->requests != 0 ? (double)stats.next_right / (double)a->requests : 0;
    if (err == BRISK_OK && json != NULL) {
        brisk_json_object_begin(json, "prediction");
        brisk_json_u64(json, "guesses", stats.guesses);
        brisk_json_u64(json, "right", stats.right);
        brisk_json_double(json, "precision", precision);
        brisk_json_double(json, "next_key_foretold", coverage);
        brisk_json_object_end(json);
    } else if (err == BRISK_OK) {
        (void)fprintf(out,
                      "\nprediction: %" PRIu64 " guesses, %.1f %% right; the very next key was "
                      "foretold for %.1f %% of the requests\n",
                      stats.guesses, 100 * precision, 100 * coverage);
    }
    return err;
}

/* --- report ------------------------------------------------------------------------------ */

static void print_table(FILE *out, const analysis *a)
{
    (void)fprintf(out, "%" PRIu64 " requests of %s%" PRIu64 " keys (%s)\n\nmiss ratio, %%\n%-10s",
                  a->requests, a->one_in > 1 ? "about " : "", a->unique,
                  brisk_trace_format_name(a->format), "entries");
    for (uint32_t s = 0; s < ANALYZE_SIZES; s++) {
        (void)fprintf(out, "%8" PRIu64, a->sizes[s]);
    }
    (void)fprintf(out, "\n%-10s", "of keys");
    for (uint32_t s = 0; s < ANALYZE_SIZES; s++) {
        (void)fprintf(out, "%6.1f %%", 100 * a->shares[s]);
    }
    (void)fputc('\n', out);
    for (uint32_t p = 0; p < ANALYZE_POLICIES; p++) {
        (void)fprintf(out, "%-10s", brisk_policy_name(p));
        for (uint32_t s = 0; s < ANALYZE_SIZES; s++) {
            (void)fprintf(out, "%8.2f", 100 * a->misses[p][s]);
        }
        (void)fputc('\n', out);
    }
    if (a->one_in > 1) {
        (void)fprintf(out, "simulated with one key in %" PRIu32 "; --exact takes all\n", a->one_in);
    }
}

static void print_choice(FILE *out, const analysis *a, const analyze_choice *choice)
{
    (void)fprintf(out, "%" PRIu64 " entries", choice->entries);
    if (a->bytes_each != 0) {
        char text[BRISK_TEXT_SHORT_MAX];
        brisk_text_bytes(text, choice->entries * a->bytes_each);
        (void)fprintf(out, " (%s of values)", text);
    }
}

static void print_advice(FILE *out, const analysis *a, const advice *result)
{
    (void)fputc('\n', out);
    if (result->reachable) {
        (void)fprintf(out, "recommended: ");
        print_choice(out, a, &result->at);
        (void)fprintf(out, " with %s, hit rate %.1f %%\n", result->at.policy,
                      100 * (1 - result->at.miss_ratio));
    } else {
        (void)fprintf(out, "target %.4g %% unreachable; best %.3g %% at any size; knee %.3g %% at ",
                      100 * result->target, 100 * result->best,
                      100 * (1 - result->knee.miss_ratio));
        print_choice(out, a, &result->knee);
        (void)fprintf(out, " with %s\n", result->knee.policy);
    }
}

static void json_choice(brisk_json *json, const char *name, const analysis *a,
                        const analyze_choice *choice)
{
    brisk_json_object_begin(json, name);
    brisk_json_u64(json, "entries", choice->entries);
    if (a->bytes_each != 0) {
        brisk_json_u64(json, "value_bytes", choice->entries * a->bytes_each);
    }
    brisk_json_str(json, "policy", choice->policy);
    brisk_json_double(json, "hit_rate", 1 - choice->miss_ratio);
    brisk_json_object_end(json);
}

static void json_analysis(brisk_json *json, const analysis *a, const advice *result)
{
    brisk_json_u64(json, "schema", 1);
    brisk_json_str(json, "format", brisk_trace_format_name(a->format));
    brisk_json_u64(json, "requests", a->requests);
    brisk_json_u64(json, "keys", a->unique);
    brisk_json_u64(json, "simulated_one_key_in", a->one_in);
    brisk_json_array_begin(json, "sizes");
    for (uint32_t s = 0; s < ANALYZE_SIZES; s++) {
        brisk_json_object_begin(json, NULL);
        brisk_json_u64(json, "entries", a->sizes[s]);
        for (uint32_t p = 0; p < ANALYZE_POLICIES; p++) {
            brisk_json_double(json, brisk_policy_name(p), a->misses[p][s]);
        }
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_array_begin(json, "lru_curve");
    for (uint32_t i = 1; i <= ANALYZE_POINTS; i++) {
        uint64_t entries = a->unique * i / ANALYZE_POINTS;
        brisk_json_object_begin(json, NULL);
        brisk_json_u64(json, "entries", entries);
        brisk_json_double(json, "miss_ratio", brisk_mrc_lru(a->curve, entries / a->one_in));
        brisk_json_object_end(json);
    }
    brisk_json_array_end(json);
    brisk_json_double(json, "hit_rate_target", result->target);
    brisk_json_bool(json, "reachable", result->reachable);
    brisk_json_double(json, "best_hit_rate", result->best);
    json_choice(json, "recommended", a, &result->at);
    json_choice(json, "knee", a, &result->knee);
}

static brisk_err report(const brisk_invocation *invocation, analysis *a, const advice *result)
{
    const brisk_option_value *values = invocation->values;
    brisk_errinfo info = {.text = "out of memory"};
    brisk_json writer;
    brisk_json *json = values[OPTION_JSON].set ? &writer : NULL;
    brisk_err err = BRISK_OK;
    if (json != NULL) {
        brisk_json_init(json, brisk_out_file(invocation->out), 2);
        brisk_json_object_begin(json, NULL);
        json_analysis(json, a, result);
    } else {
        print_table(invocation->out, a);
        analyze_plot_text(invocation->out, a);
        print_advice(invocation->out, a, result);
    }
    if (values[OPTION_EVICTION].set) {
        err = report_evictions(a, result, invocation->out, json);
    }
    if (err == BRISK_OK && values[OPTION_PREDICTION].set) {
        err = report_prediction(a, invocation->out, json, &info);
    }
    if (err == BRISK_OK && values[OPTION_SVG].set) {
        err = analyze_plot_svg(values[OPTION_SVG].text, a, &info);
    }
    if (json != NULL) {
        brisk_json_object_end(json);
        brisk_err written = brisk_json_finish(json);
        err = err != BRISK_OK ? err : written;
    }
    if (err != BRISK_OK) {
        (void)fprintf(invocation->err, "brisk: %s\n", info.text);
    }
    return err;
}

/* --- live -------------------------------------------------------------------------------- */

/* False after saying what does not go together. */
static bool live_is_alone(const brisk_invocation *invocation)
{
    static const int of_traces[] = {OPTION_EVICTION, OPTION_PREDICTION, OPTION_FORMAT, OPTION_EXACT,
                                    OPTION_SVG};
    const brisk_option_value *values = invocation->values;
    if (!values[OPTION_LIVE].set) {
        bool good =
            invocation->argc == 1 && !values[OPTION_NODE].set && !values[OPTION_PASSWORD].set;
        if (!good) {
            (void)fputs("brisk: cache analyze: takes one TRACE, or --live [--node HOST:PORT]\n",
                        invocation->err);
        }
        return good;
    }
    if (invocation->argc != 0) {
        (void)fputs("brisk: cache analyze: --live takes no TRACE\n", invocation->err);
        return false;
    }
    for (size_t i = 0; i < sizeof of_traces / sizeof of_traces[0]; i++) {
        if (values[of_traces[i]].set) {
            (void)fprintf(invocation->err, "brisk: cache analyze: --%s needs a TRACE\n",
                          options[of_traces[i]].name);
            return false;
        }
    }
    return true;
}

/* The server knows the curve and writes the report; nothing is recorded for it. */
static brisk_exit look_live(const brisk_invocation *invocation)
{
    const brisk_option_value *values = invocation->values;
    cli_node node = {
        .address = values[OPTION_NODE].set ? values[OPTION_NODE].text : NODE_DEFAULT,
        .password_file = values[OPTION_PASSWORD].set ? values[OPTION_PASSWORD].text : NULL,
    };
    const char *words[4] = {"BRISK.CURVE", values[OPTION_JSON].set ? "JSON" : "TEXT", "TARGET"};
    uint32_t count = 2;
    if (values[OPTION_TARGET].set) {
        words[3] = values[OPTION_TARGET].text;
        count = 4;
    }
    const char *text = node_ask(invocation, &node, words, count);
    if (text != NULL) {
        (void)fputs(text, invocation->out);
    }
    return text != NULL ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

static brisk_exit run_analyze(const brisk_invocation *invocation)
{
    const brisk_option_value *values = invocation->values;
    double target = target_default;
    brisk_trace_format format = BRISK_TRACE_AUTO;
    char quoted[BRISK_TEXT_QUOTED_MAX];
    if (!live_is_alone(invocation)) {
        return BRISK_EXIT_USAGE;
    }
    if (values[OPTION_TARGET].set && !parse_target(values[OPTION_TARGET].text, &target)) {
        (void)fprintf(invocation->err,
                      "brisk: --hit-rate-target takes a number up to 1, not '%s'\n",
                      brisk_text_quote(quoted, values[OPTION_TARGET].text));
        return BRISK_EXIT_USAGE;
    }
    if (values[OPTION_FORMAT].set &&
        brisk_trace_format_parse(values[OPTION_FORMAT].text, &format) != BRISK_OK) {
        (void)fprintf(
            invocation->err,
            "brisk: no format '%s'; there are auto, oracleGeneral, arc, lirs, plain, recording\n",
            brisk_text_quote(quoted, values[OPTION_FORMAT].text));
        return BRISK_EXIT_USAGE;
    }
    if (values[OPTION_LIVE].set) {
        return look_live(invocation);
    }
    analysis a = {
        .err = invocation->err, .quiet = invocation->quiet, .exact = values[OPTION_EXACT].set};
    brisk_err err = analyze_run(&a, invocation->argv[0], format);
    if (err == BRISK_OK) {
        advice result = advise(&a, target);
        err = report(invocation, &a, &result);
    }
    analyze_deinit(&a);
    return err == BRISK_OK ? BRISK_EXIT_OK : BRISK_EXIT_FAILED;
}

const brisk_command cmd_cache_analyze = {
    .name = "analyze",
    .group = "Cache",
    .synopsis = "TRACE | --live [--node HOST:PORT]",
    .summary = "which size and policy a recorded load would want",
    .description =
        "Simulates every policy at eight sizes over the requests in TRACE and prints the miss "
        "ratios, the curve, and the smallest size that reaches the target; or says that none does, "
        "because too many keys are asked for once, and where growing stops paying.\n\n"
        "TRACE may be a recording of 'brisk cache record', or in libCacheSim's oracleGeneral "
        "format, in those of the ARC and LIRS papers, or lines \"key\" or \"key size\"; also "
        "compressed with zstd.  Of more than a million "
        "requests a sample of the keys is simulated.\n\n"
        "With --live a running 'brisk serve' is asked instead: it follows a sample of the keys "
        "that "
        "its clients ask for.",
    .examples = "brisk cache analyze day.trace.zst\twhat the load of a day wants\n"
                "brisk cache analyze day.trace.zst --svg day.svg\tdraw it too\n"
                "brisk cache analyze --live\tthe server at " NODE_DEFAULT " as it is\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 0,
    .args_max = 1,
    .run = run_analyze,
};
