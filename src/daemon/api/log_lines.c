/*
 * log_lines.c -- the sink behind log_lines.h.
 *
 * Invariant: lines[first .. first + count) wait to be published, oldest first.
 */
#include "daemon/api/log_lines.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brisk/clock.h>
#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/log.h>

#include "base/assert.h"
#include "base/str.h"
#include "daemon/api/answer.h"

enum { AREA_MAX = 32, TEXT_MAX = BRISK_LOG_LINE_MAX + 64 };

typedef struct log_line {
    uint64_t wall_ns;
    brisk_log_level level;
    char area[AREA_MAX];
    char text[TEXT_MAX];
} log_line;

struct log_lines {
    const brisk_alloc *alloc;
    events_hub *events;
    pthread_mutex_t lock;
    uint32_t first;
    uint32_t count;
    uint64_t lost;
    log_line lines[LOG_LINES_MAX]; /* not touched before somebody listens */
};

/* As the log's own: one write, so that lines of several processes do not mix. */
static void write_line(const char *area, const char *line)
{
    char text[TEXT_MAX + 96];
    int size = snprintf(text, sizeof text - 1, "brisk: %.64s: %s", area, line);
    if (size < 0) {
        return;
    }
    size_t used = (size_t)size < sizeof text - 1 ? (size_t)size : sizeof text - 2;
    text[used] = '\n';
    (void)!brisk_file_write_all(STDERR_FILENO, text, used + 1); /* nowhere to tell */
}

static void keep(struct log_lines *self, brisk_log_level level, const char *area, const char *line)
{
    (void)pthread_mutex_lock(&self->lock);
    if (self->count == LOG_LINES_MAX) {
        self->lost++;
    } else {
        log_line *l = &self->lines[(self->first + self->count++) % LOG_LINES_MAX];
        l->wall_ns = brisk_clock_wall_ns(NULL);
        l->level = level;
        (void)snprintf(l->area, sizeof l->area, "%s", area);
        (void)snprintf(l->text, sizeof l->text, "%s", line);
        api_hide_passwords(l->text);
    }
    (void)pthread_mutex_unlock(&self->lock);
}

static void sink(void *ctx, brisk_log_level level, const char *area, const char *line)
{
    struct log_lines *self = ctx;
    write_line(area, line);
    if (events_wanted(self->events, EVENTS_LOG)) {
        keep(self, level, area, line);
    }
}

static bool take(struct log_lines *self, log_line *ret, uint64_t *lost)
{
    (void)pthread_mutex_lock(&self->lock);
    bool any = self->count > 0;
    if (any) {
        *ret = self->lines[self->first];
        self->first = (self->first + 1) % LOG_LINES_MAX;
        self->count--;
    }
    *lost = self->lost;
    self->lost = 0;
    (void)pthread_mutex_unlock(&self->lock);
    return any;
}

static void publish(struct log_lines *self, const log_line *l, uint64_t lost)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, self->alloc, EVENTS_BYTES_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_double(&json, "time_s", (double)(l->wall_ns / 1000000) / 1000);
    brisk_json_str(&json, "level", levels[l->level]);
    brisk_json_str(&json, "area", l->area);
    brisk_json_str(&json, "message", l->text);
    brisk_json_u64(&json, "lost", lost);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        (void)events_publish(self->events, EVENTS_LOG, brisk_str_text(&text),
                             brisk_str_size(&text));
    }
    brisk_str_deinit(&text);
}

void log_lines_tick(struct log_lines *self)
{
    log_line line;
    uint64_t lost;
    while (take(self, &line, &lost)) {
        publish(self, &line, lost);
    }
}

brisk_err log_lines_create(const brisk_alloc *alloc, events_hub *events, struct log_lines **ret)
{
    struct log_lines *self = alloc->acquire(alloc->ctx, sizeof *self, _Alignof(struct log_lines));
    if (self == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(self, 0, offsetof(struct log_lines, lines));
    self->alloc = alloc;
    self->events = events;
    int failed = pthread_mutex_init(&self->lock, NULL);
    BRISK_ASSERT(failed == 0);
    brisk_log_set_sink(sink, self, NULL);
    *ret = self;
    return BRISK_OK;
}

void log_lines_destroy(struct log_lines *self)
{
    if (self != NULL) {
        brisk_log_set_sink(NULL, NULL, NULL);
        (void)pthread_mutex_destroy(&self->lock);
        self->alloc->release(self->alloc->ctx, self, sizeof *self, _Alignof(struct log_lines));
    }
}
