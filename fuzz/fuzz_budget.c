/*
 * fuzz_budget.c -- any bytes as a file of budgets, and as a file of metrics.  Oracle: a budget that is taken obeys its
 * own rules, and checking it against metrics that were taken gives a level, a text and no wild number.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
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
    return 0;
}
