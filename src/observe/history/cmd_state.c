/*
 * cmd_state.c -- `brisk history dismiss|apply|reopen KEY`: what was decided about an opportunity.
 *
 * A decision stays when the opportunity is found again.
 */
#include <string.h>

#include "base/text.h"
#include "observe/history/command.h"

enum { OPTION_FILE, OPTION_COUNT };

static const brisk_option options[OPTION_COUNT] = {
    [OPTION_FILE] = {.name = HISTORY_FILE_NAME,
                     .letter = 'f',
                     .type = BRISK_OPTION_FILE,
                     .metavar = "FILE",
                     .summary = HISTORY_FILE_SUMMARY},
};

typedef struct found {
    uint32_t count;
    bool mine; /* one of this machine */
    char key[512];
    char machine[256];
} found;

/* The one of this machine, or any. */
static bool on_row(void *ctx, const brisk_history_opportunity *row)
{
    found *f = ctx;
    bool mine = strcmp(row->machine, brisk_history_machine()) == 0;
    f->count++;
    if (f->count == 1 || (mine && !f->mine)) {
        f->mine = mine;
        (void)snprintf(f->key, sizeof f->key, "%s", row->key);
        (void)snprintf(f->machine, sizeof f->machine, "%s", row->machine);
    }
    return true;
}

/* By key, or by number. */
static brisk_err find(brisk_history *history, const char *word, found *ret, brisk_errinfo *info)
{
    brisk_history_filter filter = {.name = word};
    brisk_err err = brisk_history_opportunities(history, &filter, on_row, ret, info);
    uint64_t id = 0;
    if (err == BRISK_OK && ret->count == 0 && brisk_text_u64(word, &id) == BRISK_OK && id != 0) {
        filter = (brisk_history_filter){.id = id};
        err = brisk_history_opportunities(history, &filter, on_row, ret, info);
    }
    return err;
}

typedef struct setting {
    const brisk_invocation *in;
    const char *state;
} setting;

static brisk_err set_state(void *ctx, brisk_history *history, brisk_errinfo *info)
{
    const setting *s = ctx;
    const brisk_invocation *in = s->in;
    found f = {0};
    brisk_err err = history != NULL ? find(history, in->argv[0], &f, info) : BRISK_OK;
    if (err == BRISK_OK && f.count == 0) {
        char words[256];
        (void)snprintf(words, sizeof words, "%s", in->argv[0]);
        brisk_text_make_plain(words, strlen(words));
        err = brisk_errinfo_set(info, BRISK_ERR_NOT_FOUND,
                                "history: no opportunity '%s'; `brisk history opportunities` lists "
                                "them",
                                words);
    }
    if (err == BRISK_OK) {
        err = brisk_history_set_opportunity(history, f.key, f.machine, s->state, info);
    }
    if (err == BRISK_OK && !in->quiet) {
        brisk_text_make_plain(f.key, strlen(f.key));
        (void)fprintf(in->out, "%s: %s\n", f.key, s->state);
    }
    return err;
}

static brisk_exit run_state(const brisk_invocation *in, const char *state)
{
    return history_command_run(in, OPTION_FILE, set_state, &(setting){in, state});
}

static brisk_exit run_dismiss(const brisk_invocation *in)
{
    return run_state(in, "dismissed");
}

static brisk_exit run_apply(const brisk_invocation *in)
{
    return run_state(in, "applied");
}

static brisk_exit run_reopen(const brisk_invocation *in)
{
    return run_state(in, "open");
}

#define COMMAND(variable, word, words, runner)                                                     \
    const brisk_command variable = {                                                               \
        .name = (word),                                                                            \
        .group = "Measuring",                                                                      \
        .synopsis = "KEY",                                                                         \
        .summary = (words),                                                                        \
        .description = "KEY is an opportunity's key or number, as `brisk history opportunities` "  \
                       "shows it.",                                                                \
        .options = options,                                                                        \
        .option_count = OPTION_COUNT,                                                              \
        .args_min = 1,                                                                             \
        .args_max = 1,                                                                             \
        .run = (runner),                                                                           \
    }

COMMAND(history_dismiss_command, "dismiss", "say that an opportunity is none", run_dismiss);
COMMAND(history_apply_command, "apply", "say that an opportunity was taken", run_apply);
COMMAND(history_reopen_command, "reopen", "take the answer to an opportunity back", run_reopen);
