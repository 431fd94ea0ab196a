/*
 * command.h -- what `brisk budget check` and `watch` share: where values come from, and how results are printed.
 *
 * Threads: one.
 */
#ifndef BRISK_SRC_OBSERVE_BUDGET_COMMAND_H
#define BRISK_SRC_OBSERVE_BUDGET_COMMAND_H

#include <stdio.h>

#include <brisk/arena.h>
#include <brisk/budget.h>
#include <brisk/command.h>

enum { BUDGET_INPUT_MAX = 64 << 20, BUDGET_SERIES_MAX = 100000 };

/* Values to hold budgets against; they live in an arena. */
typedef struct budget_values {
    brisk_metric_value *items;
    uint32_t count;
} budget_values;

/* A file that brisk_expose_json wrote.  Errors: those of files; INVALID (not of that form), LIMIT, NOMEM. */
BRISK_NODISCARD brisk_err budget_read_metrics(const char *path, brisk_arena *arena,
                                              budget_values *ret, brisk_errinfo *info);
/* The same from memory; `name` for errors. */
BRISK_NODISCARD brisk_err budget_parse_metrics(const char *name, const void *text, size_t size,
                                               brisk_arena *arena, budget_values *ret,
                                               brisk_errinfo *info);
/* A process over `duration_ns`: process.cpu, process.memory ... */
BRISK_NODISCARD brisk_err budget_watch_process(uint32_t pid, uint64_t duration_ns,
                                               brisk_arena *arena, budget_values *ret,
                                               brisk_errinfo *info);
/* Run a command to its end: process.time, process.cpu.time, process.memory.peak, process.exit. */
BRISK_NODISCARD brisk_err budget_run_command(char *const *argv, brisk_arena *arena,
                                             budget_values *ret, brisk_errinfo *info);

/* One line for each; JSON; JUnit. */
void budget_print_text(FILE *out, const brisk_budget *budget, const brisk_budget_result *result);
void budget_print_json(FILE *out, const brisk_budgets *budgets, const brisk_budget_result *results);
void budget_print_junit(FILE *out, const brisk_budgets *budgets,
                        const brisk_budget_result *results);

extern const brisk_command budget_check_command;
extern const brisk_command budget_watch_command;

#endif /* BRISK_SRC_OBSERVE_BUDGET_COMMAND_H */
