/*
 * budget.h -- what the parts of budgets share: the set as it was read, alerts on their way, burn rates.
 */
#ifndef BRISK_SRC_OBSERVE_BUDGET_BUDGET_H
#define BRISK_SRC_OBSERVE_BUDGET_BUDGET_H

#include <brisk/arena.h>
#include <brisk/budget.h>

#include "base/str.h"

enum { BUDGET_ARGS_MAX = 32 };

typedef enum budget_sink_kind { SINK_LOG, SINK_FILE, SINK_EXEC, SINK_WEBHOOK } budget_sink_kind;

typedef struct budget_sink {
    budget_sink_kind kind;
    const char *where;       /* path or URL */
    const char *const *argv; /* EXEC, ends with NULL */
    uint64_t timeout_ns;
    uint32_t retries;
    const char *bearer; /* WEBHOOK; NULL: none */
} budget_sink;

struct brisk_budgets {
    const brisk_alloc *alloc;
    brisk_arena *arena; /* all that the items point to */
    brisk_budget *items;
    uint32_t count;
    budget_sink sinks[BRISK_BUDGET_SINKS_MAX];
    uint32_t sink_count;
};

/* --- burn.c: errors used up, over windows up to three days --------------------------------- */

enum { BURN_FINE = 720, BURN_COARSE = 864 }; /* an hour by 5 s, three days by 5 min */

typedef struct burn_point {
    uint64_t at_ns;
    uint64_t bad;
    uint64_t total;
} burn_point;

typedef struct budget_burn {
    burn_point fine[BURN_FINE + 1];
    burn_point coarse[BURN_COARSE + 1];
    uint64_t fine_count; /* ever; the newest is at count - 1, modulo the size */
    uint64_t coarse_count;
    uint64_t bad_raw; /* as they were told last */
    uint64_t total_raw;
    uint64_t bad_base; /* what was counted before they began anew */
    uint64_t total_base;
} budget_burn;

/* Times of points are monotonic ones plus this, so that points from before the machine's start have some. */
#define BURN_EPOCH_NS (UINT64_C(4) * 86400 * 1000000000)

/* Totals now; a total that went back (a restart of who counts) goes on from what it was. */
void budget_burn_add(budget_burn *burn, uint64_t at_ns, uint64_t bad, uint64_t total);
/* The rules, over what was added; `min_events` of the shorter window. */
void budget_burn_check(const budget_burn *burn, const brisk_budget *budget,
                       brisk_budget_result *ret);

/* --- check.c ------------------------------------------------------------------------------- */

/* Totals for burn rates: bad and all events so far; false when there is no such metric. */
bool budget_totals(const brisk_budget *budget, const brisk_snapshot *now, uint64_t *bad,
                   uint64_t *total);
/* Level, limit and text from value and events. */
void budget_judge(const brisk_budget *budget, brisk_budget_result *result);
/* "8.2 ms", "4.0 GiB", "0.2 %" in the unit that the metric has. */
void budget_format(char *buffer, size_t size, brisk_unit unit, double value);

/* --- alert.c: pending, firing, over -------------------------------------------------------- */

typedef struct budget_alert {
    brisk_alert_state state;
    brisk_severity severity;
    uint64_t since_ns; /* monotonic */
    uint64_t told_ns;  /* when it was told last */
    uint64_t good_ns;  /* since when it is good again; 0: it is not */
    uint64_t lower_ns; /* since when it is only a warning; 0: it is not */
    uint64_t count;
} budget_alert;

typedef enum budget_news { NEWS_NONE, NEWS_FIRING, NEWS_AGAIN, NEWS_RESOLVED } budget_news;

/* The next result; what there is to tell. */
budget_news budget_alert_step(budget_alert *alert, const brisk_budget *budget,
                              const brisk_budget_result *result, uint64_t now_ns);

/* --- state.c: for the next watch ------------------------------------------------------------ */

/* What is kept of a budget; borrowed. */
typedef struct budget_memory {
    budget_alert *alert;
    uint64_t *state_wall_ns;
    budget_burn *burn; /* NULL: no objective */
} budget_memory;

typedef struct budget_gap {
    uint64_t now_ns; /* monotonic, when it is read; given */
    uint64_t wall_ns;
    uint64_t gap_ns;   /* since it was written */
    uint32_t restored; /* budgets that go on */
} budget_gap;

void budget_state_begin(brisk_str *out, uint64_t wall_ns, uint32_t count);
void budget_state_add(brisk_str *out, const brisk_budget *budget, const budget_memory *memory,
                      uint64_t now_ns);
void budget_state_end(brisk_str *out);
/* `memories` in the order of `budgets`.  Errors: CORRUPT; then they may be changed, and must be cleared. */
// NOLINTNEXTLINE(readability-function-size): a buffer, what it is for, and room for one of it
BRISK_NODISCARD brisk_err budget_state_read(const void *data, size_t size,
                                            const brisk_budgets *budgets,
                                            const budget_memory *memories, budget_burn *scratch,
                                            budget_gap *gap);

/* --- sinks.c ------------------------------------------------------------------------------- */

typedef struct budget_sinks budget_sinks;

BRISK_NODISCARD brisk_err budget_sinks_create(const brisk_budgets *budgets,
                                              const brisk_alloc *alloc, budget_sinks **ret,
                                              brisk_errinfo *info);
/* Waits for those on their way.  NULL is accepted. */
void budget_sinks_destroy(budget_sinks *sinks);
/* Log and file now, exec and webhook on a thread. */
void budget_sinks_tell(budget_sinks *sinks, const char *text, const char *json, bool critical);
uint64_t budget_sinks_lost(budget_sinks *sinks);

#endif /* BRISK_SRC_OBSERVE_BUDGET_BUDGET_H */
