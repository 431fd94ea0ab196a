/*
 * cmd_show.c -- `brisk history show ID`: one run with its stages as a waterfall, or one row of another kind.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "observe/bench/bench.h"
#include "observe/history/command.h"

enum { BAR_COLUMNS = 30 };

enum { OPTION_KIND, OPTION_FILE, OPTION_JSON, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_KIND] = {.name = "kind",
                     .letter = 'k',
                     .type = BRISK_OPTION_TEXT,
                     .metavar = "KIND",
                     .summary = "runs (default), benchmarks, alerts or opportunities"},
    [OPTION_FILE] = {.name = HISTORY_FILE_NAME,
                     .letter = 'f',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = HISTORY_FILE_SUMMARY},
    [OPTION_JSON] = {.name = "json", .letter = 'j', .summary = "as JSON"},
};

typedef struct showing {
    const brisk_invocation *in;
    const history_kind *kind;
    brisk_json *json; /* NULL: for people */
    uint64_t id;
    uint64_t duration_ns;
    uint32_t rows;
    uint32_t stages;
} showing;

static void print_details(const showing *s, const char *what, const char *text)
{
    char words[BRISK_TEXT_QUOTED_MAX];
    if (text[0] != '\0') {
        (void)fprintf(s->in->out, "  %s %s\n", what, brisk_text_quote(words, text));
    }
}

static bool on_row(void *ctx, const void *row)
{
    showing *s = ctx;
    s->rows++;
    if (s->kind->table == &history_runs) {
        s->duration_ns = ((const brisk_history_run *)row)->duration_ns;
    }
    if (s->json != NULL) {
        history_json_row(s->json, s->kind->table, row);
        return true;
    }
    s->kind->heading(s->in->out);
    s->kind->print(s->in->out, row);
    if (s->kind->table == &history_runs) {
        print_details(s, "machine:", ((const brisk_history_run *)row)->machine);
        print_details(s, "details:", ((const brisk_history_run *)row)->details);
    } else if (s->kind->table == &history_benchmarks) {
        print_details(s, "machine:", ((const brisk_history_benchmark *)row)->machine);
        print_details(s, "details:", ((const brisk_history_benchmark *)row)->details);
    } else if (s->kind->table == &history_opportunities) {
        print_details(s, "source:  ", ((const brisk_history_opportunity *)row)->source);
        print_details(s, "evidence:", ((const brisk_history_opportunity *)row)->evidence);
    }
    return true;
}

/* Where in the run it was: dots while it waited for a worker, bars while it ran. */
static void draw(char bar[BAR_COLUMNS + 1], const brisk_history_stage *stage, uint64_t whole_ns)
{
    double scale = whole_ns > 0 ? (double)BAR_COLUMNS / (double)whole_ns : 0.0;
    double begin = (double)stage->start_ns * scale;
    double end = ((double)stage->start_ns + (double)stage->duration_ns) * scale;
    double ready = ((double)stage->start_ns - (double)stage->wait_ns) * scale;
    for (int i = 0; i < BAR_COLUMNS; i++) {
        bool runs = i + 1 > begin && i < end;
        bar[i] = runs && stage->duration_ns > 0       ? '#'
                 : i + 0.5 > ready && i + 0.5 < begin ? '.'
                                                      : ' ';
    }
    bar[BAR_COLUMNS] = '\0';
}

static bool on_stage(void *ctx, const brisk_history_stage *stage)
{
    showing *s = ctx;
    if (s->json != NULL) {
        history_json_row(s->json, &history_stages, stage);
        return true;
    }
    char name[BRISK_TEXT_QUOTED_MAX];
    char outcome[BRISK_TEXT_QUOTED_MAX];
    char took[BRISK_TEXT_SHORT_MAX];
    char waited[BRISK_TEXT_SHORT_MAX];
    char bytes[BRISK_TEXT_SHORT_MAX];
    char bar[BAR_COLUMNS + 1];
    if (s->stages++ == 0) {
        (void)fprintf(s->in->out, "\n  %-22s  %10s  %5s  %10s  %10s  %-9s  %s\n", "stage", "took",
                      "share", "waited", "bytes", "how", "when (* critical path)");
    }
    brisk_text_duration(took, (double)stage->duration_ns);
    brisk_text_duration(waited, (double)stage->wait_ns);
    brisk_text_bytes(bytes, stage->bytes);
    draw(bar, stage, s->duration_ns);
    double share = s->duration_ns > 0 ? (double)stage->duration_ns / (double)s->duration_ns : 0.0;
    (void)fprintf(s->in->out, "  %-22s  %10s  %3.0f %%  %10s  %10s  %-9s %c|%s|\n",
                  brisk_text_quote(name, stage->name), took, share * 100, waited, bytes,
                  brisk_text_quote(outcome, stage->outcome), stage->critical != 0 ? '*' : ' ', bar);
    return true;
}

/* The row, and a run's stages. */
static brisk_err write_row(showing *s, brisk_history *history, uint64_t id, brisk_errinfo *info)
{
    brisk_history_filter filter = {.id = id};
    if (s->json != NULL) {
        brisk_json_array_begin(s->json, s->kind->name);
    }
    brisk_err err = history_list_table(history, s->kind->table, &filter, on_row, s, info);
    if (s->json != NULL) {
        brisk_json_array_end(s->json);
    }
    if (err != BRISK_OK || s->kind->table != &history_runs) {
        return err;
    }
    if (s->json != NULL) {
        brisk_json_array_begin(s->json, "stages");
    }
    err = brisk_history_stages(history, &filter, on_stage, s, info);
    if (s->json != NULL) {
        brisk_json_array_end(s->json);
    }
    return err;
}

static bool count_row(void *ctx, const void *row)
{
    (void)row;
    ++*(uint32_t *)ctx;
    return true;
}

static brisk_err show(void *ctx, brisk_history *history, brisk_errinfo *info)
{
    showing *s = ctx;
    uint64_t id = s->id;
    uint32_t found = 0;
    brisk_err err = history == NULL ? BRISK_OK
                                    : history_list_table(history, s->kind->table,
                                                         &(brisk_history_filter){.id = id},
                                                         count_row, &found, info);
    if (err == BRISK_OK && found == 0) {
        return brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                 "history: no row %llu in %s; `brisk history list %s` shows them",
                                 (unsigned long long)id, s->kind->name, s->kind->name);
    }
    if (err != BRISK_OK || !s->in->values[OPTION_JSON].set) {
        return err == BRISK_OK ? write_row(s, history, id, info) : err;
    }
    brisk_json json;
    s->json = &json;
    brisk_json_init(&json, brisk_out_file(s->in->out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    err = write_row(s, history, id, info);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* the program checks that the output arrived */
    return err;
}

static brisk_exit run(const brisk_invocation *in)
{
    const char *word = in->values[OPTION_KIND].set ? in->values[OPTION_KIND].text : "runs";
    showing s = {.in = in, .kind = history_kind_find(word)};
    uint64_t id = 0;
    if (s.kind == NULL || brisk_text_u64(in->argv[0], &id) != BRISK_OK || id == 0) {
        (void)fprintf(in->err, "brisk: history: %s '%s'\n",
                      s.kind == NULL ? "--kind is runs, benchmarks, alerts or opportunities, not"
                                     : "a row's number is 1 or more, not",
                      s.kind == NULL ? word : in->argv[0]);
        return BRISK_EXIT_USAGE;
    }
    s.id = id;
    return history_command_run(in, OPTION_FILE, show, &s);
}

const brisk_command history_show_command = {
    .name = "show",
    .group = "Measuring",
    .synopsis = "ID",
    .summary = "one run with its stages",
    .examples = "brisk history show 12\twhere the time of run 12 went\n"
                "brisk history show 3 --kind opportunities --json\tan opportunity's evidence\n",
    .options = options,
    .option_count = OPTION_COUNT,
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
