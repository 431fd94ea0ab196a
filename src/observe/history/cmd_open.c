/*
 * cmd_open.c -- how every command of `brisk history` finds the database and reads times.
 *
 * Idea.  Opened for writing where possible, so that what jobs left in the spool is there; a database that may
 * only be read is read.  Nothing is made where nothing was kept.
 */
#include <string.h>
#include <time.h>

#include <brisk/clock.h>

#include "observe/history/command.h"

static const uint64_t day_ns = UINT64_C(86400) * 1000000000;

brisk_exit history_failed(const brisk_invocation *in, brisk_err err, const brisk_errinfo *info)
{
    (void)fprintf(in->err, "brisk: %s\n",
                  info->text[0] != '\0' ? info->text : brisk_err_message(err));
    return BRISK_EXIT_FAILED;
}

static bool may_be_readable(brisk_err err)
{
    return err == BRISK_ERR_PERMISSION || err == BRISK_ERR_IO || err == BRISK_ERR_FULL;
}

brisk_err history_command_open(const brisk_invocation *in, const char *path, brisk_history **ret)
{
    brisk_engine *engine = NULL;
    if (in->engine(in, &engine) != BRISK_OK) {
        return BRISK_ERR_INVALID; /* the program has said why */
    }
    brisk_knobs *knobs = brisk_engine_knobs(engine);
    brisk_history_opts opts = {.path = path,
                               .no_create = true,
                               .keep_days = (uint32_t)brisk_knobs_u64(knobs, "history.days"),
                               .keep_rows = brisk_knobs_u64(knobs, "history.rows")};
    brisk_errinfo info = {0};
    *ret = NULL;
    brisk_err err = brisk_history_open(&opts, ret, &info);
    if (may_be_readable(err)) {
        opts.read_only = true;
        brisk_errinfo ignored = {0};
        if (brisk_history_open(&opts, ret, &ignored) == BRISK_OK) {
            return BRISK_OK;
        }
    }
    if (err == BRISK_ERR_NOT_FOUND && path == NULL) {
        return BRISK_OK; /* nothing was kept yet */
    }
    if (err != BRISK_OK) {
        (void)history_failed(in, err, &info);
    }
    return err;
}

brisk_exit history_command_run(const brisk_invocation *in, int file_option, history_work work,
                               void *ctx)
{
    brisk_history *history;
    const brisk_option_value *file = &in->values[file_option];
    if (history_command_open(in, file->set ? file->text : NULL, &history) != BRISK_OK) {
        return BRISK_EXIT_FAILED;
    }
    brisk_errinfo info = {0};
    brisk_err err = work(ctx, history, &info);
    brisk_history_close(history);
    return err == BRISK_OK ? BRISK_EXIT_OK : history_failed(in, err, &info);
}

void history_format_date(char buffer[HISTORY_DATE_MAX], uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000);
    struct tm when;
    (void)snprintf(buffer, HISTORY_DATE_MAX, "?");
    if (gmtime_r(&seconds, &when) != NULL) {
        (void)strftime(buffer, HISTORY_DATE_MAX, "%Y-%m-%d %H:%M:%S", &when);
    }
}

brisk_err history_parse_time(const char *text, uint64_t now_ns, uint64_t *ret)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
                                        "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"};
    uint64_t ago = 0;
    if (brisk_knob_parse(BRISK_KNOB_DURATION, text, &ago) == BRISK_OK) {
        *ret = ago < now_ns ? now_ns - ago : 0;
        return BRISK_OK;
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm when = {0};
        const char *end = strptime(text, forms[i], &when);
        time_t seconds =
            end != NULL && (*end == '\0' || strcmp(end, "Z") == 0) ? timegm(&when) : -1;
        if (seconds >= 0 && (uint64_t)seconds < UINT64_MAX / day_ns * 86400) {
            *ret = (uint64_t)seconds * 1000000000;
            return BRISK_OK;
        }
    }
    return BRISK_ERR_INVALID;
}
