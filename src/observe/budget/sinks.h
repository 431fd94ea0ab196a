/*
 * sinks.h -- how one alert goes to a program or a webhook.
 */
#ifndef BRISK_SRC_OBSERVE_BUDGET_SINKS_H
#define BRISK_SRC_OBSERVE_BUDGET_SINKS_H

#include "base/thread.h"
#include "observe/budget/budget.h"

/*
 * Start the program with the JSON as its standard input, wait for it, kill it and what it started after the
 * sink's timeout.  Errors: NOT_FOUND, PERMISSION, DEADLINE, IO (it failed).
 */
BRISK_NODISCARD brisk_err budget_exec(const budget_sink *sink, const char *json, size_t size,
                                      brisk_errinfo *info);

typedef struct budget_hook budget_hook;

/* Errors: UNSUPPORTED (no libcurl), NOMEM. */
BRISK_NODISCARD brisk_err budget_hook_create(const budget_sink *sink, const brisk_alloc *alloc,
                                             budget_hook **ret, brisk_errinfo *info);
void budget_hook_destroy(budget_hook *hook); /* NULL is accepted */
/* Errors: DECLINED (an answer that will not change: 4xx), IO, DEADLINE ...: try again. */
BRISK_NODISCARD brisk_err budget_hook_post(budget_hook *hook, const budget_sink *sink,
                                           const char *json, size_t size, brisk_errinfo *info);

#endif /* BRISK_SRC_OBSERVE_BUDGET_SINKS_H */
