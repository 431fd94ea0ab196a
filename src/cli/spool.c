/*
 * spool.c -- what a job took goes into the history, by one line appended to its spool: SQLite would cost the
 * program as much as the job.
 *
 * That a run cannot be kept is no reason to fail or to say so: it is logged for who asks (-v).
 *
 * Threads: the callback runs on the thread that finished the job; what it reads does not change.
 */
#include <string.h>

#include <brisk/clock.h>
#include <brisk/history.h>
#include <brisk/log.h>

#include "cli/cli.h"

enum { STAGES_MAX = BRISK_STAGES_MAX + 1, AFTER_MAX = 256 };

void cli_note_command(cli_state *cli, int argc, char *const *argv)
{
    size_t used = 0;
    for (int i = 1; i < argc && used < CLI_COMMAND_MAX; i++) {
        bool setting = strncmp(argv[i], "--set", 5) == 0; /* may hold a token */
        if (!setting) {
            int length = snprintf(cli->command + used, CLI_COMMAND_MAX - used, "%s%s",
                                  used > 0 ? " " : "", argv[i]);
            used += length > 0 ? (size_t)length : 0;
        } else if (argv[i][5] == '\0') {
            i++;
        }
    }
}

static const char *outcome_of(const brisk_stage_report *row)
{
    switch (row->how) {
    case BRISK_HOW_COMPUTED: return "computed";
    case BRISK_HOW_ANSWERED: return "answered";
    case BRISK_HOW_FAILED: return "failed";
    case BRISK_HOW_SKIPPED:
    default: return "skipped";
    }
}

/* Names of what the row waits for, as far as they fit. */
static void write_after(char buffer[AFTER_MAX], const brisk_job *job,
                        const brisk_stage_report *rows, uint32_t index)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (uint32_t i = 0; i < brisk_job_report_count(job); i++) {
        if (brisk_job_report_is_after(job, index, i)) {
            int length = snprintf(buffer + used, AFTER_MAX - used, "%s%s", used > 0 ? "," : "",
                                  rows[i].name);
            used += length > 0 ? (size_t)length : 0;
            if (used >= AFTER_MAX) {
                return;
            }
        }
    }
}

static void spool_job(void *ctx, const brisk_job *job)
{
    const cli_state *cli = ctx;
    const brisk_workload *workload = brisk_job_workload(job);
    brisk_stage_report rows[STAGES_MAX];
    brisk_history_stage stages[STAGES_MAX];
    char after[STAGES_MAX][AFTER_MAX];
    uint32_t count = brisk_job_report_count(job);
    brisk_history_run run = {.duration_ns = brisk_job_elapsed_ns(job),
                             .workload = workload->name,
                             .command = cli->command,
                             .answered_by = brisk_job_answered_by(job)};
    if (count > STAGES_MAX) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = brisk_job_report(job, i);
        run.bytes = rows[i].bytes > run.bytes ? rows[i].bytes : run.bytes;
    }
    for (uint32_t i = 0; i < count; i++) {
        write_after(after[i], job, rows, i);
        stages[i] = (brisk_history_stage){
            .name = rows[i].name,
            .after = after[i],
            .start_ns = rows[i].start_ns,
            .duration_ns = rows[i].ns,
            .wait_ns = rows[i].wait_ns,
            .bytes = rows[i].bytes,
            .worker = rows[i].worker,
            .critical = rows[i].critical ? 1 : 0,
            .outcome = outcome_of(&rows[i]),
        };
    }
    brisk_err result = brisk_job_result(job);
    uint64_t now_ns = brisk_clock_wall_ns(NULL);
    run.outcome = result == BRISK_OK ? "ok" : brisk_err_name(result);
    run.wall_ns = now_ns > run.duration_ns ? now_ns - run.duration_ns : 1;
    brisk_errinfo info;
    if (brisk_history_spool(NULL, &run, stages, count, &info) != BRISK_OK) {
        brisk_log(BRISK_LOG_INFO, "history", "this run is not kept: %s", info.text);
    }
}

void cli_spool_jobs(cli_state *cli, brisk_engine *engine)
{
    if (brisk_knobs_u64(brisk_engine_knobs(engine), "history.runs") != 0) {
        brisk_engine_on_job(engine, spool_job, cli);
    }
}
