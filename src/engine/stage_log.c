/*
 * stage_log.c -- stage tables of jobs, appended to a file: what `brisk profile --stages` reads.
 *
 * One job is one line of JSON, "schema": 1, written by one write to a file opened for appending, so that
 * lines of several jobs and processes do not mix.  A table that cannot be kept is a warning, never the job's
 * error; the file is opened for each line, since a job that is logged is measured with far more than that.
 *
 * Threads: the one that ends the job; nothing is shared.
 */
#include "engine/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/log.h>

enum { LINE_BYTES_MAX = 1 << 20, SCHEMA = 1 };

typedef struct line {
    brisk_arena *arena;
    char *text;
    size_t size;
    size_t room;
} line;

static brisk_err line_write(void *ctx, const char *data, size_t size)
{
    line *l = ctx;
    if (size > LINE_BYTES_MAX - l->size) {
        return BRISK_ERR_LIMIT;
    }
    if (size > l->room - l->size) {
        size_t room = l->room == 0 ? 4096 : l->room * 2;
        while (room - l->size < size) {
            room *= 2;
        }
        char *text = brisk_arena_alloc(l->arena, room);
        if (text == NULL) {
            return BRISK_ERR_NOMEM;
        }
        if (l->size > 0) {
            memcpy(text, l->text, l->size);
        }
        l->text = text;
        l->room = room;
    }
    memcpy(l->text + l->size, data, size);
    l->size += size;
    return BRISK_OK;
}

static brisk_err append(const char *path, const line *l, brisk_errinfo *info)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return brisk_errinfo_set_errno(info, errno, "%s", path);
    }
    ssize_t written = write(fd, l->text, l->size);
    int failed = written < 0 ? errno : 0;
    (void)close(fd);
    if (failed != 0) {
        return brisk_errinfo_set_errno(info, failed, "%s", path);
    }
    return (size_t)written == l->size
               ? BRISK_OK
               : brisk_errinfo_set(info, BRISK_ERR_FULL, "%s: no room for a line", path);
}

void engine_stage_log(const brisk_job *job)
{
    char path[ENGINE_PATH_MAX];
    brisk_knobs_text(job->engine->config.knobs, "engine.stage_log", path, sizeof path);
    brisk_errinfo info = {.text = ""};
    line l = {.arena = job->main.arena};
    brisk_json json;
    brisk_json_init(&json, (brisk_out){.write = line_write, .ctx = &l}, 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", SCHEMA);
    brisk_json_u64(&json, "ended_ns", brisk_clock_wall_ns(job->engine->clock));
    brisk_job_write_report_json(job, &json);
    brisk_json_object_end(&json);
    brisk_err err = brisk_json_finish(&json);
    if (err == BRISK_OK) {
        err = append(path, &l, &info);
    }
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_WARNING, "engine", "a stage table was not kept: %s",
                  info.text[0] != '\0' ? info.text : brisk_err_message(err));
    }
}
