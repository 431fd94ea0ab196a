/*
 * jobs.h -- jobs over HTTP, as the server sees them.
 *
 *     POST /v1/jobs ─► admission (parse, register) ─► queue ─► runners ─► kept for a while
 *       loop             a thread of its own                    a thread each
 *
 * Loops parse nothing and wait for nobody: the body goes to the admission thread, and whoever waits for
 * a job (Prefer: wait) is told by a task in its own loop.  A runner is a thread of its own, not a
 * worker of the executor, so that the kernel divides the processors between a long job and a short one.
 *
 * Threads: create, add_routes and destroy by whoever creates the server, while no worker runs; jobs_refuse
 * and jobs_stop by one, while they do; jobs_tick by each worker.
 */
#ifndef BRISK_SRC_DAEMON_API_JOBS_H
#define BRISK_SRC_DAEMON_API_JOBS_H

#include <stdint.h>

#include <brisk/err.h>
#include <brisk/knob.h>
#include <brisk/yaml.h>

#include "daemon/http/routes.h"

struct trace;
struct trace_head;
typedef struct jobs jobs_table;
typedef struct server server;

/* What is configured: the knobs serve.jobs.* and serve.workloads.  Zeroed: the defaults. */
typedef struct jobs_opts {
    const brisk_yaml_doc
        *workloads;          /* [{name, weight, quota, class}], for jobs_create; NULL: none */
    const char *paths;       /* folder below which requests may name files; NULL or "": none */
    uint32_t running;        /* at a time; 0: one more than processors */
    uint32_t waiting;        /* 0: 1000 */
    uint32_t client_running; /* of one client; 0: as many as run */
    uint32_t client_waiting; /* 0: as many as wait */
    uint32_t kept;           /* done jobs that are remembered; 0: 1000 */
    uint64_t kept_bytes;     /* of their results and reports; 0: 256 MiB */
    uint64_t kept_ns;        /* 0: an hour */
    uint64_t body_max;       /* of a request; 0: 64 MiB */
    uint64_t drain_ns;       /* for running jobs when the node stops; 0: 5 s */
} jobs_opts;

/*
 * What the knobs serve.jobs.* say; `paths` receives a text that opts->paths points to, *ret_workloads
 * serve.workloads, to be destroyed after jobs_create.  Errors, with `info`: those of brisk_knobs_yaml.
 */
BRISK_NODISCARD brisk_err jobs_read_knobs(const brisk_knobs *knobs, char paths[4096],
                                          jobs_opts *ret, brisk_yaml_doc **ret_workloads,
                                          brisk_errinfo *info);
/* After engine and API.  Errors, with `info`: INVALID (serve.workloads), NOMEM. */
BRISK_NODISCARD brisk_err jobs_create(server *s, const jobs_opts *opts, jobs_table **ret,
                                      brisk_errinfo *info);
/* After the workers.  NULL is accepted. */
void jobs_destroy(jobs_table *j);
BRISK_NODISCARD brisk_err jobs_add_routes(jobs_table *j, http_routes *routes);
/* No new jobs, and those who wait are cancelled.  NULL is accepted, here and below. */
void jobs_refuse(jobs_table *j);
/* Likewise; those that run get drain_ns and are cancelled then. */
void jobs_stop(jobs_table *j);
/* Jobs that wait, and how many may: for health. */
void jobs_queue_level(server *s, uint64_t *waiting, uint64_t *waiting_max);
/* Jobs that are over and `wanted`, the newest first, at most `max`; how many.  For traces.c. */
uint32_t jobs_traces(jobs_table *j, bool (*wanted)(const void *ctx, const struct trace_head *head),
                     const void *ctx, struct trace_head *ret, uint32_t max);
/* One of them; its spans are the caller's.  Errors: NOT_FOUND, NOMEM. */
BRISK_NODISCARD brisk_err jobs_trace(jobs_table *j, const char *id, struct trace *ret);
/* About ten times a second. */
void jobs_tick(jobs_table *j, worker *w);

#endif /* BRISK_SRC_DAEMON_API_JOBS_H */
