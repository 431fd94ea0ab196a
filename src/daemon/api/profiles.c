/*
 * profiles.c -- profiles of the running node, see profiles.h.
 */
#include "daemon/api/profiles.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <brisk/file.h>
#include <brisk/json.h>
#include <brisk/json_read.h>

#include "daemon/api/api.h"
#include "daemon/api/audit.h"
#include "daemon/api/flame.h"
#include "daemon/api/openapi.h"
#include "daemon/api/reports.h"
#include "daemon/profiler.h"
#include "daemon/server.h"

enum { WORDS_MAX = 4096 };

typedef enum profile_state {
    PROFILE_NONE = 0,
    PROFILE_RUNNING,
    PROFILE_DONE,
    PROFILE_FAILED,
} profile_state;

typedef struct profile {
    profile_state state;
    uint64_t id;
    uint64_t wall_ns;
    uint64_t seconds;
    uint64_t hertz;
    int out; /* while it runs; files in memory */
    int words;
    char *stacks;
    size_t size;
    char why[256];
} profile;

struct profiles {
    const brisk_alloc *alloc;
    uint64_t next_id;
    int starter;                 /* see profiler.h */
    profile kept[PROFILES_KEPT]; /* by id */
};

static profile *place_of(profiles *p, uint64_t id)
{
    profile *one = &p->kept[id % PROFILES_KEPT];
    return one->state != PROFILE_NONE && one->id == id ? one : NULL;
}

static profile *running(profiles *p)
{
    for (uint32_t i = 0; i < PROFILES_KEPT; i++) {
        if (p->kept[i].state == PROFILE_RUNNING) {
            return &p->kept[i];
        }
    }
    return NULL;
}

static void forget(profiles *p, profile *one)
{
    if (one->stacks != NULL) {
        p->alloc->release(p->alloc->ctx, one->stacks, one->size, 1);
    }
    *one = (profile){.state = PROFILE_NONE};
}

/* --- running ------------------------------------------------------------------------------ */

static void close_files(profile *one)
{
    (void)close(one->out);
    (void)close(one->words);
    one->out = -1;
    one->words = -1;
}

static brisk_err begin(profiles *p, profile *one, brisk_errinfo *info)
{
    one->out = memfd_create("profile", MFD_CLOEXEC);
    one->words = memfd_create("profile-words", MFD_CLOEXEC);
    brisk_err err = one->out >= 0 && one->words >= 0
                        ? profiler_run(p->starter,
                                       &(profiler_order){.seconds = (uint32_t)one->seconds,
                                                         .hertz = (uint32_t)one->hertz,
                                                         .out = one->out,
                                                         .words = one->words},
                                       info)
                        : brisk_errinfo_set_errno(info, errno, "a file in memory");
    if (err != BRISK_OK) {
        close_files(one);
        forget(p, one);
        return err;
    }
    one->state = PROFILE_RUNNING;
    return BRISK_OK;
}

/* The last words of the profiler, on one line. */
static void read_words(profile *one)
{
    char text[WORDS_MAX];
    ssize_t size = pread(one->words, text, sizeof text - 1, 0);
    size = size > 0 ? size : 0;
    while (size > 0 && text[size - 1] == '\n') {
        size--;
    }
    text[size] = '\0';
    const char *line = strrchr(text, '\n');
    (void)snprintf(one->why, sizeof one->why, "%.255s", line != NULL ? line + 1 : text);
}

static void end(profiles *p, profile *one, int status)
{
    struct stat st;
    one->state = PROFILE_FAILED;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        read_words(one);
    } else if (fstat(one->out, &st) != 0 || st.st_size > PROFILE_BYTES_MAX) {
        (void)snprintf(one->why, sizeof one->why, "there are too many stacks");
    } else {
        size_t size = (size_t)st.st_size;
        one->stacks = p->alloc->acquire(p->alloc->ctx, size > 0 ? size : 1, 1);
        one->size = size > 0 ? size : 1;
        if (one->stacks == NULL ||
            (size > 0 && brisk_file_pread_all(one->out, one->stacks, size, 0) != BRISK_OK)) {
            (void)snprintf(one->why, sizeof one->why, "out of memory");
        } else {
            if (size == 0) {
                one->stacks[0] = '\n';
            }
            one->state = PROFILE_DONE;
        }
    }
    close_files(one);
}

void profiles_tick(profiles *p)
{
    profile *one = running(p);
    int status = 0;
    if (one == NULL) {
        return;
    }
    if (profiler_ended(p->starter, &status)) {
        end(p, one, status);
    }
}

brisk_err profiles_create(const brisk_alloc *alloc, int starter, profiles **ret)
{
    profiles *p = alloc->acquire(alloc->ctx, sizeof *p, _Alignof(profiles));
    if (p == NULL) {
        return BRISK_ERR_NOMEM;
    }
    memset(p, 0, sizeof *p);
    p->alloc = alloc;
    p->next_id = 1;
    p->starter = starter;
    *ret = p;
    return BRISK_OK;
}

void profiles_destroy(profiles *p)
{
    if (p == NULL) {
        return;
    }
    profile *one = running(p);
    if (one != NULL) {
        close_files(one); /* the starter ends the profiler with the node */
    }
    for (uint32_t i = 0; i < PROFILES_KEPT; i++) {
        forget(p, &p->kept[i]);
    }
    p->alloc->release(p->alloc->ctx, p, sizeof *p, _Alignof(profiles));
}

/* --- answers ------------------------------------------------------------------------------ */

static const char *state_name(profile_state state)
{
    static const char *const names[] = {"none", "running", "done", "failed"};
    return names[state];
}

static void put_profile(brisk_json *json, const profile *one)
{
    brisk_json_u64(json, "id", one->id);
    brisk_json_double(json, "time_s", (double)(one->wall_ns / 1000000) / 1000);
    brisk_json_u64(json, "seconds", one->seconds);
    brisk_json_u64(json, "hertz", one->hertz);
    brisk_json_str(json, "state", state_name(one->state));
    brisk_json_str(json, "why", one->why);
}

static brisk_err write_list(profiles *p, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_array_begin(&json, "profiles");
    for (uint64_t id = p->next_id; id-- > 1 && p->next_id - id <= PROFILES_KEPT;) {
        const profile *one = place_of(p, id);
        if (one != NULL) {
            brisk_json_object_begin(&json, NULL);
            put_profile(&json, one);
            brisk_json_object_end(&json);
        }
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static profile *find(profiles *p, const char *text)
{
    uint64_t id = strtoull(text, NULL, 10);
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text) ? place_of(p, id) : NULL;
}

static brisk_err write_tree(const profile *one, const flame *f, bool with_before, brisk_str *text)
{
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    put_profile(&json, one);
    brisk_json_u64(&json, "total", flame_total(f, 0));
    if (with_before) {
        brisk_json_u64(&json, "total_before", flame_total(f, 1));
    }
    flame_put(f, &json, "tree", with_before);
    brisk_json_object_end(&json);
    return brisk_json_finish(&json);
}

static brisk_err write_graph(const report_query *q, const profile *one, const profile *before,
                             brisk_str *text, report_result *ret)
{
    flame *f;
    brisk_err err = flame_create(q->server->alloc, &f);
    if (err != BRISK_OK) {
        return err;
    }
    err = flame_add(f, 0, one->stacks, one->size);
    if (err == BRISK_OK && before != NULL) {
        err = flame_add(f, 1, before->stacks, before->size);
    }
    if (err == BRISK_OK && strcmp(q->format, "svg") == 0) {
        flame_svg(f, text, before != NULL);
        ret->content_type = "image/svg+xml";
    } else if (err == BRISK_OK) {
        err = write_tree(one, f, before != NULL, text);
    }
    flame_destroy(f);
    return err;
}

static brisk_err write_profile(const report_query *q, brisk_str *text, report_result *ret)
{
    profiles *p = q->server->api->profiles;
    const profile *one = find(p, q->rest);
    const profile *before = q->against[0] != '\0' ? find(p, q->against) : NULL;
    if (one == NULL || (q->against[0] != '\0' && before == NULL)) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_NOT_FOUND, "there is no such profile");
    }
    if (before != NULL && before->state != PROFILE_DONE) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_CONFLICT, "that profile is not done");
    }
    if (one->state != PROFILE_DONE) {
        brisk_json json;
        brisk_json_init(&json, brisk_str_out(text), 0);
        brisk_json_object_begin(&json, NULL);
        brisk_json_u64(&json, "schema", 1);
        put_profile(&json, one);
        brisk_json_object_end(&json);
        ret->status = one->state == PROFILE_RUNNING ? 202 : 200;
        return brisk_json_finish(&json);
    }
    if (strcmp(q->format, "collapsed") == 0) {
        ret->content_type = "text/plain; charset=utf-8";
        brisk_str_append(text, one->stacks, one->size);
        return BRISK_OK;
    }
    return write_graph(q, one, before, text, ret);
}

static brisk_err read_order(const report_query *q, profile *one, brisk_errinfo *info)
{
    static const char *const allowed[] = {"seconds", "hertz", NULL};
    brisk_arena *arena = NULL;
    brisk_arena_opts opts = {.chunk_bytes = 65536};
    const brisk_json_node *root = NULL;
    brisk_err err = brisk_arena_create(&opts, &arena);
    one->seconds = 5;
    one->hertz = 99;
    if (err == BRISK_OK && q->body_size > 0) {
        err = brisk_json_read(q->body, q->body_size, brisk_arena_as_alloc(arena), &root, info);
    }
    if (err == BRISK_OK && root != NULL) {
        err = brisk_json_check_members(root, allowed, info);
    }
    if (err == BRISK_OK) {
        err = brisk_json_member_u64(root, "seconds", 1, PROFILE_SECONDS_MAX, &one->seconds, info);
    }
    if (err == BRISK_OK) {
        err = brisk_json_member_u64(root, "hertz", 1, PROFILE_HERTZ_MAX, &one->hertz, info);
    }
    brisk_arena_destroy(arena);
    return err;
}

static brisk_err order(const report_query *q, brisk_str *text, report_result *ret)
{
    profiles *p = q->server->api->profiles;
    profile fresh = {.id = p->next_id, .wall_ns = brisk_clock_wall_ns(q->server->clock)};
    if (q->rest[0] != '\0') {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_NOT_FOUND, "POST is for /v1/profiles");
    }
    if (running(p) != NULL) {
        return brisk_errinfo_set(&ret->info, BRISK_ERR_CONFLICT, "another profile is being taken");
    }
    brisk_err err = read_order(q, &fresh, &ret->info);
    if (err != BRISK_OK) {
        return err;
    }
    profile *one = &p->kept[fresh.id % PROFILES_KEPT];
    forget(p, one);
    *one = fresh;
    err = begin(p, one, &ret->info);
    char name[24];
    (void)snprintf(name, sizeof name, "%" PRIu64, fresh.id);
    audit_note(q->server->api->audit, q,
               &(audit_entry){.action = "profile",
                              .name = name,
                              .outcome = err == BRISK_OK ? "ok" : ret->info.text});
    if (err != BRISK_OK) {
        return err;
    }
    p->next_id++;
    brisk_json json;
    brisk_json_init(&json, brisk_str_out(text), 0);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    put_profile(&json, one);
    brisk_json_object_end(&json);
    ret->status = 202;
    return brisk_json_finish(&json);
}

brisk_err report_profiles(const report_query *q, brisk_str *text, report_result *ret)
{
    profiles_tick(q->server->api->profiles); /* one that ended just now */
    if (q->method == HTTP_POST) {
        return order(q, text, ret);
    }
    return q->rest[0] == '\0' ? write_list(q->server->api->profiles, text)
                              : write_profile(q, text, ret);
}

/* --- what it is --------------------------------------------------------------------------- */

static const api_parameter profile_parameters[] = {
    {"id", "path", API_TEXT, "The profile's number", true},
    {"format", "query", "{\"enum\": [\"json\", \"collapsed\", \"svg\"]}", "How it is shown", false},
    {"against", "query", API_INTEGER, "An earlier profile: the difference", false},
};
static const api_response list_responses[] = {
    {200, "Those that are kept, newest first", "application/json", API_REF("Profiles")},
};
static const api_response order_responses[] = {
    {202, "It is being taken", "application/json", API_REF("Profile")},
    {400, "The order is wrong", "application/json", API_REF("Error")},
    {409, "Another one is being taken", "application/json", API_REF("Error")},
    {501, "It cannot be done here", "application/json", API_REF("Error")},
};
static const api_response profile_responses[] = {
    {200, "The profile, a tree once it is done", "application/json", API_REF("Profile")},
    {202, "It is being taken", "application/json", API_REF("Profile")},
    {404, "There is none", "application/json", API_REF("Error")},
};

static const api_operation operations[] = {
    {.method = "get",
     .path = "/v1/profiles",
     .id = "listProfiles",
     .summary = "Profiles of the node",
     .right = HTTP_RIGHT_READ,
     .responses = API_ROWS(list_responses)},
    {.method = "post",
     .path = "/v1/profiles",
     .id = "takeProfile",
     .summary = "Look for some seconds where the node's time goes",
     .right = HTTP_RIGHT_CHANGE,
     .body_type = "application/json",
     .body_schema = API_REF("ProfileOrder"),
     .responses = API_ROWS(order_responses)},
    {.method = "get",
     .path = "/v1/profiles/{id}",
     .id = "getProfile",
     .summary = "A flame graph, or the difference of two",
     .description = "With format=svg an image, with format=collapsed stacks as text.",
     .right = HTTP_RIGHT_READ,
     .parameters = API_ROWS(profile_parameters),
     .responses = API_ROWS(profile_responses)},
};

static const api_schema schemas[] = {
    {"Profile",
     "{\"type\": \"object\", \"required\": [\"id\", \"time_s\", \"seconds\", \"hertz\", \"state\", "
     "\"why\"], "
     "\"properties\": {\"schema\": {\"const\": 1}, \"id\": " API_INTEGER
     ", \"time_s\": {\"type\": \"number\"}, \"seconds\": " API_INTEGER ", \"hertz\": " API_INTEGER
     ", \"state\": {\"enum\": [\"running\", \"done\", \"failed\"]}, \"why\": " API_TEXT
     ", \"total\": " API_INTEGER ", \"total_before\": " API_INTEGER
     ", \"tree\": " API_REF("Flame") "}}"},
    {"Profiles", "{\"type\": \"object\", \"required\": [\"schema\", \"profiles\"], \"properties\": "
                 "{\"schema\": {\"const\": 1}, "
                 "\"profiles\": {\"type\": \"array\", \"items\": " API_REF("Profile") "}}}"},
    {"ProfileOrder", "{\"type\": \"object\", \"properties\": {\"seconds\": {\"type\": \"integer\", "
                     "\"minimum\": 1, \"maximum\": 60}, "
                     "\"hertz\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 999}}, "
                     "\"additionalProperties\": false}"},
    {"Flame",
     "{\"type\": \"object\", \"required\": [\"name\", \"value\", \"children\"], \"properties\": "
     "{\"name\": " API_TEXT ", \"value\": " API_INTEGER ", \"before\": " API_INTEGER
     ", \"children\": {\"type\": \"array\", \"items\": " API_REF("Flame") "}}}"},
};

const api_set api_profiles_set = {
    .tag = "profiles",
    .summary = "Where the node's time goes",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
