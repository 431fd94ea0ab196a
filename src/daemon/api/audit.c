/*
 * audit.c -- the file behind audit.h, and GET /v1/audit.
 *
 * A line is written with one call of write on a file opened to append: lines of several processes do not mix.
 */
#include "daemon/api/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/log.h>

#include "daemon/api/api.h"
#include "daemon/api/reports.h"
#include "daemon/server.h"

enum { PATH_BYTES_MAX = 4096 };

struct audit {
    const brisk_alloc *alloc;
    uint32_t next;
    uint32_t count;
    uint32_t sizes[AUDIT_KEPT];
    char *lines[AUDIT_KEPT];
    char path[PATH_BYTES_MAX];
};

brisk_err audit_create(const brisk_alloc *alloc, const char *path, audit **ret)
{
    audit *a = alloc->acquire(alloc->ctx, sizeof *a, _Alignof(audit));
    if (a == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(a, 0, sizeof *a);
    a->alloc = alloc;
    (void)snprintf(a->path, sizeof a->path, "%s", path);
    *ret = a;
    return BRISK_OK;
}

static void drop(audit *a, uint32_t index)
{
    if (a->lines[index] != NULL) {
        a->alloc->release(a->alloc->ctx, a->lines[index], a->sizes[index], 1);
        a->lines[index] = NULL;
    }
}

void audit_destroy(audit *a)
{
    if (a != NULL) {
        for (uint32_t i = 0; i < AUDIT_KEPT; i++) {
            drop(a, i);
        }
        a->alloc->release(a->alloc->ctx, a, sizeof *a, _Alignof(audit));
    }
}

const char *audit_path(const audit *a)
{
    return a->path;
}

static void append(const audit *a, const char *line, size_t size)
{
    if (a->path[0] == '\0') {
        return;
    }
    int fd = open(a->path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    brisk_err err = fd >= 0 ? brisk_file_write_all(fd, line, size) : brisk_err_from_errno(errno);
    if (fd >= 0 && close(fd) != 0 && err == BRISK_OK) {
        err = brisk_err_from_errno(errno);
    }
    if (err != BRISK_OK) {
        brisk_log(BRISK_LOG_ERROR, "serve", "%s: the audit log lacks a line: %s", a->path,
                  brisk_err_message(err));
    }
}

static void keep(audit *a, const char *line, size_t size)
{
    char *copy = a->alloc->acquire(a->alloc->ctx, size, 1);
    if (copy == NULL) {
        return; /* the file has it */
    }
    memcpy(copy, line, size);
    drop(a, a->next);
    a->lines[a->next] = copy;
    a->sizes[a->next] = (uint32_t)size;
    a->next = (a->next + 1) % AUDIT_KEPT;
    a->count += a->count < AUDIT_KEPT ? 1 : 0;
}

static void put_cut(brisk_json *json, const char *key, const char *text)
{
    if (text == NULL) {
        brisk_json_null(json, key);
    } else {
        size_t size = strlen(text);
        brisk_json_text(json, key, text, size < AUDIT_TEXT_MAX ? size : AUDIT_TEXT_MAX);
    }
}

void audit_note(audit *a, const report_query *q, const audit_entry *entry)
{
    brisk_str text;
    brisk_json json;
    brisk_str_init(&text, a->alloc, 16 * AUDIT_LINE_MAX);
    brisk_json_init(&json, brisk_str_out(&text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_double(&json, "time_s",
                      (double)(brisk_clock_wall_ns(q->server->clock) / 1000000) / 1000);
    put_cut(&json, "who", q->who);
    put_cut(&json, "from", q->from);
    put_cut(&json, "action", entry->action);
    put_cut(&json, "name", entry->name);
    put_cut(&json, "old", entry->before);
    put_cut(&json, "new", entry->after);
    put_cut(&json, "outcome", entry->outcome);
    brisk_json_object_end(&json);
    if (brisk_json_finish(&json) == BRISK_OK) {
        append(a, brisk_str_text(&text), brisk_str_size(&text));
        keep(a, brisk_str_text(&text), brisk_str_size(&text));
    } else {
        brisk_log(BRISK_LOG_ERROR, "serve", "the audit log lacks a line: out of memory");
    }
    brisk_str_deinit(&text);
}

brisk_err report_audit(const report_query *q, brisk_str *text, report_result *ret)
{
    (void)ret;
    const audit *a = q->server->api->audit;
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_bool(&json, "kept", a->path[0] != '\0');
    brisk_json_array_begin(&json, "entries");
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t at = (a->next + AUDIT_KEPT - 1 - i) % AUDIT_KEPT; /* newest first */
        brisk_json_raw(&json, NULL, a->lines[at], a->sizes[at] - 1);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}
