/*
 * fuzz_budget.c -- any bytes as a file of budgets, as a file of metrics, and as what a watch kept.  Oracle: a budget that is taken obeys its
 * own rules, and checking it against metrics that were taken gives a level, a text and no wild number.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "observe/budget/budget.h"
#include "observe/budget/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_budget(const brisk_budget *b, const budget_values *values)
{
    BRISK_ASSERT(b->name[0] != '\0' && (b->metric[0] == '\0') != (b->stage[0] == '\0'));
    BRISK_ASSERT(b->window_ns >= 1000000000 && b->clear >= 0 && b->clear < 1);
    BRISK_ASSERT(isnan(b->objective) || (b->objective > 0 && b->objective < 1));
    BRISK_ASSERT(isnan(b->warning) || isnan(b->critical) ||
                 (b->above ? b->warning >= b->critical : b->warning <= b->critical));
    brisk_budget_result result;
    brisk_budget_check_values(b, values->items, values->count, &result);
    BRISK_ASSERT(result.text[0] != '\0' && strlen(result.text) < sizeof result.text);
    BRISK_ASSERT(result.level == BRISK_BUDGET_UNKNOWN || !isnan(result.value));
}

/* A state file of any content whose hash is right: taken or refused, what is taken can be written again. */
static void check_state(const uint8_t *data, size_t size)
{
    static const char text[] =
        "budgets:\n  - {name: a, metric: m, bad: f, statistic: error_rate, objective: 99%}\n";
    brisk_budgets *budgets;
    brisk_str file;
    budget_alert alert = {0};
    uint64_t wall_ns = 0;
    budget_burn *burn = calloc(2, sizeof *burn);
    brisk_err err = brisk_budgets_parse("state", text, sizeof text - 1, NULL, &budgets, NULL);
    BRISK_ASSERT(err == BRISK_OK && burn != NULL);
    budget_memory memory = {.alert = &alert, .state_wall_ns = &wall_ns, .burn = burn};
    brisk_str_init(&file, NULL, 1 << 20);
    brisk_str_append(&file, "BRSKBDG1", 8);
    brisk_str_append(&file, (const char *)data, size);
    budget_state_end(&file);
    if (brisk_str_err(&file) == BRISK_OK) {
        budget_gap gap = {.now_ns = 1000, .wall_ns = UINT64_C(2000000000000000000)};
        err = budget_state_read(brisk_str_text(&file), brisk_str_size(&file), budgets, &memory,
                                burn + 1, &gap);
        BRISK_ASSERT(err == BRISK_OK || err == BRISK_ERR_CORRUPT);
        brisk_budget_result result;
        budget_burn_check(burn, brisk_budgets_at(budgets, 0), &result);
        BRISK_ASSERT(alert.state <= BRISK_ALERT_FIRING);
    }
    brisk_str_deinit(&file);
    brisk_budgets_destroy(budgets);
    free(burn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char metrics[] =
        "{\"metrics\": [{\"name\": \"m\", \"kind\": \"histogram\", \"unit\": \"ns\", \"labels\": "
        "{\"a\": "
        "\"b\"}, \"count\": 7, \"p50\": 1, \"p95\": 2, \"p99\": 3, \"p999\": 4, \"max\": 5, "
        "\"sum\": "
        "9},{\"name\": \"c\", \"kind\": \"counter\", \"count\": 9, \"rates\": [1, 2, null]}]}";
    brisk_arena *arena;
    brisk_budgets *budgets;
    budget_values values = {0};
    brisk_err err = brisk_arena_create(&(brisk_arena_opts){.chunk_bytes = 16384}, &arena);
    BRISK_ASSERT(err == BRISK_OK);
    /* What is no file of metrics leaves none; then a budget is held against known ones. */
    if (budget_parse_metrics("fuzz", data, size, arena, &values, NULL) != BRISK_OK) {
        err = budget_parse_metrics("known", metrics, sizeof metrics - 1, arena, &values, NULL);
        BRISK_ASSERT(err == BRISK_OK && values.count == 2);
    }
    if (brisk_budgets_parse("fuzz", data, size, NULL, &budgets, NULL) == BRISK_OK) {
        for (uint32_t i = 0; i < brisk_budgets_count(budgets); i++) {
            check_budget(brisk_budgets_at(budgets, i), &values);
        }
        brisk_budgets_destroy(budgets);
    }
    brisk_arena_destroy(arena);
    check_state(data, size);
    return 0;
}
