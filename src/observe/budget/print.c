/*
 * print.c -- results of a check: lines for people, JSON, and JUnit for continuous integration.
 *
 * Threads: none of its own.
 */
#include <math.h>
#include <string.h>

#include <brisk/json.h>

#include "base/text.h"
#include "observe/budget/command.h"

void budget_print_text(FILE *out, const brisk_budget *budget, const brisk_budget_result *result)
{
    char name[160];
    char text[BRISK_BUDGET_TEXT_MAX];
    (void)snprintf(name, sizeof name, "%s", budget->name);
    (void)snprintf(text, sizeof text, "%s", result->text);
    brisk_text_make_plain(name, strlen(name));
    brisk_text_make_plain(text, strlen(text));
    (void)fprintf(out, "%-8s  %s: %s\n", brisk_budget_level_name(result->level), name, text);
}

static uint32_t count_of(const brisk_budgets *budgets, const brisk_budget_result *results,
                         brisk_budget_level level)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < brisk_budgets_count(budgets); i++) {
        count += results[i].level == level ? 1 : 0;
    }
    return count;
}

void budget_print_json(FILE *out, const brisk_budgets *budgets, const brisk_budget_result *results)
{
    brisk_json json;
    brisk_json_init(&json, brisk_out_file(out), 2);
    brisk_json_object_begin(&json, NULL);
    brisk_json_u64(&json, "schema", 1);
    brisk_json_bool(&json, "kept", count_of(budgets, results, BRISK_BUDGET_CRITICAL) == 0);
    for (int level = BRISK_BUDGET_UNKNOWN; level <= BRISK_BUDGET_CRITICAL; level++) {
        brisk_json_u64(&json, brisk_budget_level_name((brisk_budget_level)level),
                       count_of(budgets, results, (brisk_budget_level)level));
    }
    brisk_json_array_begin(&json, "budgets");
    for (uint32_t i = 0; i < brisk_budgets_count(budgets); i++) {
        const brisk_budget *budget = brisk_budgets_at(budgets, i);
        brisk_json_object_begin(&json, NULL);
        brisk_json_str(&json, "name", budget->name);
        brisk_json_str(&json, budget->stage[0] != '\0' ? "stage" : "metric",
                       budget->stage[0] != '\0' ? budget->stage : budget->metric);
        brisk_json_str(&json, "statistic", brisk_budget_statistic_name(budget->statistic));
        brisk_json_str(&json, "level", brisk_budget_level_name(results[i].level));
        brisk_json_bool(&json, "on_target", results[i].on_target);
        brisk_json_double(&json, "value", results[i].value);
        brisk_json_double(&json, "limit", results[i].limit);
        brisk_json_double(&json, "target", budget->target);
        brisk_json_u64(&json, "events", results[i].events);
        brisk_json_str(&json, "text", results[i].text);
        brisk_json_object_end(&json);
    }
    brisk_json_array_end(&json);
    brisk_json_object_end(&json);
    (void)!brisk_json_finish(&json); /* the program checks that the output arrived */
}

static void put_xml(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&': (void)fputs("&amp;", out); break;
        case '<': (void)fputs("&lt;", out); break;
        case '>': (void)fputs("&gt;", out); break;
        case '"': (void)fputs("&quot;", out); break;
        default: (void)fputc((unsigned char)*text < 0x20 ? '?' : *text, out); break;
        }
    }
}

void budget_print_junit(FILE *out, const brisk_budgets *budgets, const brisk_budget_result *results)
{
    (void)fprintf(out,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
                  "<testsuite name=\"brisk budget\" tests=\"%u\" failures=\"%u\" skipped=\"%u\">\n",
                  brisk_budgets_count(budgets), count_of(budgets, results, BRISK_BUDGET_CRITICAL),
                  count_of(budgets, results, BRISK_BUDGET_UNKNOWN));
    for (uint32_t i = 0; i < brisk_budgets_count(budgets); i++) {
        (void)fputs("<testcase classname=\"budget\" name=\"", out);
        put_xml(out, brisk_budgets_at(budgets, i)->name);
        (void)fputs("\">", out);
        const char *element = results[i].level == BRISK_BUDGET_CRITICAL  ? "failure"
                              : results[i].level == BRISK_BUDGET_UNKNOWN ? "skipped"
                                                                         : NULL;
        if (element != NULL) {
            (void)fprintf(out, "<%s message=\"", element);
            put_xml(out, results[i].text);
            (void)fputs("\"/>", out);
        } else {
            (void)fputs("<system-out>", out);
            put_xml(out, results[i].text);
            (void)fputs("</system-out>", out);
        }
        (void)fputs("</testcase>\n", out);
    }
    (void)fputs("</testsuite>\n</testsuites>\n", out);
}
