/*
 * reports.c -- the table of reports, and what the API's document says of them.
 */
#include "daemon/api/reports.h"

#include "daemon/api/openapi.h"

static const report reports[] = {
    {"api.metrics", "/metrics", HTTP_RIGHT_READ, false, 0, report_metrics_text},
    {"api.metrics", "/v1/metrics", HTTP_RIGHT_READ, false, 0, report_metrics},
    {"api.node", "/v1/node", HTTP_RIGHT_READ, false, 0, report_node},
    {"api.stats", "/v1/stats", HTTP_RIGHT_READ, false, 0, report_stats},
    {"api.curve", "/v1/cache/curve", HTTP_RIGHT_READ, false, 0, report_curve},
    {"api.grades", "/v1/grades", HTTP_RIGHT_READ, false, 0, report_grades},
    {"api.runs", "/v1/runs", HTTP_RIGHT_READ, true, 0, report_runs},
    {"api.traces", "/v1/traces", HTTP_RIGHT_READ, true, 0, report_traces},
    {"api.benchmarks", "/v1/benchmarks", HTTP_RIGHT_READ, false, 0, report_benchmarks},
    {"api.opportunities", "/v1/opportunities", HTTP_RIGHT_READ, false, 0, report_opportunities},
    {"api.alerts", "/v1/alerts", HTTP_RIGHT_READ, false, 0, report_alerts},
    {"api.budgets", "/v1/budgets", HTTP_RIGHT_READ, false, 0, report_budgets},
    {"api.knobs", "/v1/knobs", HTTP_RIGHT_READ, true, HTTP_PATCH, report_knobs},
    {"api.reload", "/v1/reload", HTTP_RIGHT_READ, false, HTTP_POST, report_reload},
    {"api.profiles", "/v1/profiles", HTTP_RIGHT_READ, true, HTTP_POST, report_profiles},
    {"api.audit", "/v1/audit", HTTP_RIGHT_READ, false, 0, report_audit},
};

brisk_err reports_create(const brisk_alloc *alloc, report_routes **ret)
{
    return report_routes_create(reports, sizeof reports / sizeof reports[0], alloc, ret);
}

/* --- what they are ------------------------------------------------------------------------ */

#define SINCE                                                                                      \
    {                                                                                              \
        "since", "query", API_INTEGER, "Seconds since 1970: what is newer", false                  \
    }
#define UNTIL                                                                                      \
    {                                                                                              \
        "until", "query", API_INTEGER, "Seconds since 1970: what is not newer", false              \
    }
#define LIMIT                                                                                      \
    {                                                                                              \
        "limit", "query", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 10000}",           \
            "At most so many, the newest", false                                                   \
    }

static const api_parameter format_parameters[] = {
    {"format", "query", "{\"enum\": [\"prometheus\", \"openmetrics\"]}",
     "Instead of what Accept says", false},
};
static const api_parameter stats_parameters[] = {
    SINCE,
    UNTIL,
    {"step", "query", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 86400}",
     "The longest samples of at most so many seconds: 1 (the default), 60, 300, 1800", false}};
static const api_parameter target_parameters[] = {
    {"target", "query", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 99}",
     "The hit rate to advise for, percent", false},
};
static const api_parameter run_parameters[] = {
    {"name", "query", API_TEXT, "Of this workload", false}, SINCE, UNTIL, LIMIT};
static const api_parameter benchmark_parameters[] = {
    {"name", "query", API_TEXT, "Of this benchmark", false},
    {"metric", "query", API_TEXT, "This figure of it", false},
    SINCE,
    UNTIL,
};
static const api_parameter alert_parameters[] = {
    {"state", "query", "{\"enum\": [\"firing\", \"resolved\"]}", "Past ones: that began, or ended",
     false},
    {"name", "query", API_TEXT, "Past ones: of this budget", false},
    {"metric", "query", API_TEXT, "Past ones: of this figure", false},
    SINCE,
    UNTIL,
    LIMIT,
};
static const api_parameter opportunity_parameters[] = {
    {"state", "query", "{\"enum\": [\"open\", \"applied\", \"dismissed\", \"gone\"]}",
     "Those in this state", false},
    {"name", "query", API_TEXT, "The one with this key", false},
    LIMIT,
};

#define ANSWER(variable, text, schema)                                                             \
    static const api_response variable[] = {{200, text, "application/json", API_REF(schema)}}

static const api_response metrics_text_responses[] = {
    {200, "Every series; in OpenMetrics when that is asked for",
     "text/plain; version=0.0.4; charset=utf-8", API_TEXT},
};
ANSWER(metrics_responses, "Every series", "Metrics");
ANSWER(stats_responses, "Samples, oldest first", "Stats");
static const api_response curve_responses[] = {
    {200, "The curve, and what is advised", "application/json", API_REF("Curve")},
    {404, "None is kept, or nothing was asked for yet", "application/json", API_REF("Error")},
};
ANSWER(grades_responses, "Grades of the last minute", "Grades");
ANSWER(runs_responses, "Runs, newest first", "Runs");
static const api_parameter run_id_parameters[] = {
    {"id", "path", API_TEXT, "The run's number in the history", true},
};
static const api_response run_responses[] = {
    {200, "Its stages", "application/json", API_REF("Waterfall")},
    {404, "There is none", "application/json", API_REF("Error")},
};
ANSWER(traces_responses, "Exchanges and jobs", "Traces");
static const api_parameter trace_parameters[] = {
    {"kind", "query", "{\"enum\": [\"exchange\", \"job\"]}", "Of this kind", false},
    {"min_ms", "query", API_INTEGER, "That took so many milliseconds or more", false},
    {"name", "query", API_TEXT, "With this in their names", false},
    SINCE,
    UNTIL,
    LIMIT,
};
static const api_parameter trace_id_parameters[] = {
    {"id", "path", API_TEXT, "Of the list; a job's is the job's", true},
    {"format", "query", "{\"enum\": [\"json\", \"chrome\"]}",
     "chrome: trace events, as Perfetto and Chrome read them", false},
};
static const api_response trace_responses[] = {
    {200, "Its spans; the first is all of it", "application/json", API_REF("Trace")},
    {404, "There is none, or not any more", "application/json", API_REF("Error")},
};
ANSWER(benchmarks_responses, "A line for each benchmark, figure and machine", "Benchmarks");
ANSWER(opportunities_responses, "Opportunities", "Opportunities");
ANSWER(alerts_responses, "Alerts that fire, or will, and what began and ended, newest first",
       "Alerts");
ANSWER(budgets_responses, "Every budget as it stands", "Budgets");

#define READ .method = "get", .right = HTTP_RIGHT_READ

static const api_operation operations[] = {
    {READ, .path = "/metrics", .id = "getMetricsText",
     .summary = "Figures for Prometheus and whoever reads its formats",
     .parameters = API_ROWS(format_parameters), .responses = API_ROWS(metrics_text_responses)},
    {READ, .path = "/v1/metrics", .id = "getMetrics",
     .summary = "Figures with percentiles and rates", .responses = API_ROWS(metrics_responses)},
    {READ, .path = "/v1/stats", .id = "getStats",
     .summary = "The last quarter of an hour, second by second, or the last month in longer steps",
     .parameters = API_ROWS(stats_parameters), .responses = API_ROWS(stats_responses)},
    {READ, .path = "/v1/cache/curve", .id = "getCurve",
     .summary = "Miss ratio by size of memory, and the size that a hit rate needs",
     .description = "A key named curve is reached with ?encoding=hex.",
     .parameters = API_ROWS(target_parameters), .responses = API_ROWS(curve_responses)},
    {READ, .path = "/v1/grades", .id = "getGrades",
     .summary = "How good the node is, in words and points",
     .responses = API_ROWS(grades_responses)},
    {READ, .path = "/v1/runs", .id = "listRuns", .summary = "Runs of jobs, from the history",
     .parameters = API_ROWS(run_parameters), .responses = API_ROWS(runs_responses)},
    {READ, .path = "/v1/runs/{id}", .id = "getRun",
     .summary = "The waterfall of a run: its stages, and which are on the critical path",
     .parameters = API_ROWS(run_id_parameters), .responses = API_ROWS(run_responses)},
    {READ, .path = "/v1/traces", .id = "listTraces",
     .summary = "Where time went, slowest first: jobs that are kept, the slowest exchanges of each "
                "minute, and those whose traceparent asks for it",
     .parameters = API_ROWS(trace_parameters), .responses = API_ROWS(traces_responses)},
    {READ, .path = "/v1/traces/{id}", .id = "getTrace", .summary = "The spans of one",
     .parameters = API_ROWS(trace_id_parameters), .responses = API_ROWS(trace_responses)},
    {READ, .path = "/v1/benchmarks", .id = "listBenchmarks",
     .summary = "Benchmarks over time, with the points where they changed",
     .parameters = API_ROWS(benchmark_parameters), .responses = API_ROWS(benchmarks_responses)},
    {READ, .path = "/v1/opportunities", .id = "listOpportunities",
     .summary = "What could be made better, with estimated and measured gain",
     .parameters = API_ROWS(opportunity_parameters),
     .responses = API_ROWS(opportunities_responses)},
    {READ, .path = "/v1/alerts", .id = "listAlerts",
     .summary = "Budgets that are broken now, and alerts that were",
     .description = "Past ones are the history's; without one (no SQLite, no home folder) those of "
                    "this node, unfiltered.",
     .parameters = API_ROWS(alert_parameters), .responses = API_ROWS(alerts_responses)},
    {READ, .path = "/v1/budgets", .id = "listBudgets",
     .summary = "What the node promises, and how it stands",
     .responses = API_ROWS(budgets_responses)},
};

#define NUMBER       "{\"type\": \"number\"}"
#define MAYBE_NUMBER "{\"type\": [\"number\", \"null\"]}"
#define OBJECT(required, properties)                                                               \
    "{\"type\": \"object\", \"required\": [" required "], \"properties\": {" properties "}}"
#define LIST(item) "{\"type\": \"array\", \"items\": " item "}"
#define SCHEMA     "\"schema\": {\"const\": 1}, "

#define MAYBE_TEXT "{\"type\": [\"string\", \"null\"]}"
#define TRACE_NAMES                                                                                \
    "\"id\", \"kind\", \"name\", \"outcome\", \"time_s\", \"duration_ns\", \"trace_id\""
#define TRACE_MEMBERS                                                                              \
    "\"id\": " API_TEXT ", \"kind\": {\"enum\": [\"exchange\", \"job\"]}, \"name\": " API_TEXT     \
    ", \"route\": " API_TEXT ", \"outcome\": " API_TEXT ", \"time_s\": " NUMBER                    \
    ", \"duration_ns\": " API_INTEGER ", \"bytes_in\": " API_INTEGER                               \
    ", \"bytes_out\": " API_INTEGER ", \"trace_id\": " MAYBE_TEXT ", \"parent_id\": " MAYBE_TEXT   \
    ", \"span_id\": " MAYBE_TEXT

static const api_schema schemas[] = {
    {"Metrics", OBJECT("\"schema\", \"wall_ns\", \"metrics\"",
                       SCHEMA "\"wall_ns\": " API_INTEGER ", \"metrics\": " LIST(OBJECT(
                           "\"name\", \"kind\", \"unit\", \"labels\"",
                           "\"name\": " API_TEXT
                           ", \"kind\": {\"enum\": [\"counter\", \"gauge\", \"histogram\"]}, "
                           "\"unit\": " API_TEXT ", \"labels\": {\"type\": \"object\"}")))},
    {"Times",
     OBJECT("\"count\", \"p50_ns\", \"p95_ns\", \"p99_ns\", \"p999_ns\"",
            "\"count\": " API_INTEGER ", \"p50_ns\": " API_INTEGER ", \"p95_ns\": " API_INTEGER
            ", \"p99_ns\": " API_INTEGER ", \"p999_ns\": " API_INTEGER)},
    {"Tier", OBJECT("\"name\", \"hits\", \"misses\", \"hit_rate\", \"evictions\", \"entries\", "
                    "\"bytes\", \"bytes_max\", \"down\"",
                    "\"name\": " API_TEXT ", \"hits\": " API_INTEGER ", \"misses\": " API_INTEGER
                    ", \"hit_rate\": " MAYBE_NUMBER ", \"evictions\": " API_INTEGER
                    ", \"expired\": " API_INTEGER ", \"errors\": " API_INTEGER
                    ", \"entries\": " API_INTEGER ", \"bytes\": " API_INTEGER
                    ", \"bytes_max\": " API_INTEGER ", \"down\": " API_BOOLEAN)},
    {"Sample",
     OBJECT(
         "\"time_s\", \"length_s\", \"commands\", \"responses\", \"http\", \"command\", \"job\", "
         "\"busy\", \"tiers\", "
         "\"connections\", \"resident_bytes\"",
         "\"time_s\": " NUMBER ", \"length_s\": " NUMBER ", \"commands\": " API_INTEGER
         ", \"command_errors\": " API_INTEGER ", \"responses\": " API_INTEGER
         ", \"client_errors\": " API_INTEGER ", \"server_errors\": " API_INTEGER
         ", \"jobs\": " API_INTEGER ", \"job_failures\": " API_INTEGER
         ", \"job_faults\": " API_INTEGER ", \"bytes_in\": " API_INTEGER
         ", \"bytes_out\": " API_INTEGER
         ", \"http\": " API_REF("Times") ", \"command\": " API_REF("Times") ", \"job\": " API_REF(
             "Times") ", \"resident_bytes\": " API_INTEGER ", \"memory_limit_bytes\": " API_INTEGER
                      ", \"connections\": {\"type\": \"object\", "
                      "\"additionalProperties\": " API_INTEGER "}, \"busy\": " NUMBER
                      ", \"busy_most\": " NUMBER ", \"loops\": " LIST(
                          NUMBER) ", \"cpu\": " NUMBER ", \"prediction_precision\": " MAYBE_NUMBER
                                  ", \"prefetches\": " API_INTEGER
                                  ", \"prefetches_used\": " API_INTEGER
                                  ", \"tiers\": " LIST(API_REF("Tier")))},
    {"Stats",
     OBJECT(
         "\"schema\", \"step_s\", \"kept_s\", \"uptime_s\", \"file\", \"samples\"", SCHEMA
         "\"step_s\": " API_INTEGER ", \"kept_s\": " API_INTEGER ", \"uptime_s\": " NUMBER
         ", \"file\": " OBJECT("\"written\", \"text\"",
                               "\"written\": " API_BOOLEAN
                               ", \"text\": " API_TEXT) ", \"samples\": " LIST(API_REF("Sample")))},
    {"Curve",
     OBJECT("\"schema\", \"requests\", \"keys\", \"curve\", \"recommended\", \"text\"",
            SCHEMA "\"requests\": " API_INTEGER ", \"keys\": " API_INTEGER ", \"curve\": " LIST(
                OBJECT("\"entries\", \"bytes\", \"miss_ratio\"",
                       "\"entries\": " API_INTEGER ", \"bytes\": " API_INTEGER
                       ", \"miss_ratio\": " NUMBER)) ", \"recommended\": {\"type\": \"object\"}, "
                                                     "\"text\": " API_TEXT)},
    {"Grades",
     OBJECT("\"schema\", \"window_s\", \"points\", \"grade\", \"text\", \"parts\"", SCHEMA
            "\"window_s\": " API_INTEGER ", \"points\": " MAYBE_NUMBER ", \"grade\": " API_TEXT
            ", \"text\": " API_TEXT ", \"parts\": " LIST(OBJECT(
                "\"name\", \"value\", \"points\", \"grade\", \"weight\"",
                "\"name\": " API_TEXT ", \"value\": " MAYBE_NUMBER ", \"points\": " MAYBE_NUMBER
                ", \"grade\": " API_TEXT ", \"weight\": " NUMBER)))},
    {"Runs",
     OBJECT("\"schema\", \"kept\", \"runs\"",
            SCHEMA "\"kept\": " API_BOOLEAN ", \"runs\": " LIST(OBJECT(
                "\"id\", \"time_s\", \"duration_ns\", \"workload\", \"outcome\"",
                "\"id\": " API_INTEGER ", \"time_s\": " NUMBER ", \"duration_ns\": " API_INTEGER
                ", \"workload\": " API_TEXT ", \"outcome\": " API_TEXT
                ", \"answered_by\": " API_TEXT ", \"bytes\": " API_INTEGER)))},
    {"Waterfall",
     OBJECT("\"schema\", \"id\", \"stages\"",
            SCHEMA "\"id\": " API_INTEGER ", \"stages\": " LIST(
                OBJECT("\"name\", \"after\", \"start_ns\", \"duration_ns\", \"wait_ns\", "
                       "\"worker\", \"critical\", \"outcome\"",
                       "\"name\": " API_TEXT ", \"after\": " API_TEXT ", \"start_ns\": " API_INTEGER
                       ", \"duration_ns\": " API_INTEGER ", \"wait_ns\": " API_INTEGER
                       ", \"bytes\": " API_INTEGER ", \"worker\": {\"type\": \"integer\"}"
                       ", \"critical\": " API_BOOLEAN ", \"outcome\": " API_TEXT)))},
    {"Traces", OBJECT("\"schema\", \"traces\"",
                      SCHEMA "\"traces\": " LIST(OBJECT(TRACE_NAMES, TRACE_MEMBERS)))},
    {"Trace", OBJECT("\"schema\", " TRACE_NAMES ", \"spans\"",
                     SCHEMA TRACE_MEMBERS ", \"spans\": " LIST(
                         OBJECT("\"id\", \"parent\", \"name\", \"start_ns\", "
                                "\"duration_ns\", \"thread\"",
                                "\"id\": " API_INTEGER ", \"parent\": " API_INTEGER
                                ", \"name\": " API_TEXT ", \"start_ns\": " API_INTEGER
                                ", \"duration_ns\": " API_INTEGER ", \"thread\": " API_INTEGER)))},
    {"Benchmarks",
     OBJECT(
         "\"schema\", \"kept\", \"benchmarks\"",
         SCHEMA "\"kept\": " API_BOOLEAN ", \"benchmarks\": " LIST(OBJECT(
             "\"name\", \"metric\", \"unit\", \"machine\", \"points\", \"changes\"",
             "\"name\": " API_TEXT ", \"metric\": " API_TEXT ", \"unit\": " API_TEXT
             ", \"machine\": " API_TEXT ", \"points\": " LIST(OBJECT(
                 "\"time_s\", \"value\"",
                 "\"time_s\": " NUMBER ", \"value\": " NUMBER ", \"low\": " MAYBE_NUMBER
                 ", \"high\": " MAYBE_NUMBER
                 ", \"label\": " API_TEXT)) ", \"changes\": " LIST(OBJECT("\"at\", \"time_s\", "
                                                                          "\"before\", \"after\", "
                                                                          "\"p_value\"",
                                                                          "\"at\": " API_INTEGER
                                                                          ", \"time_s\": " NUMBER
                                                                          ", \"before\": " NUMBER
                                                                          ", \"after\": " NUMBER
                                                                          ", "
                                                                          "\"p_value\":"
                                                                          " " NUMBER)))))},
    {"Opportunities",
     OBJECT("\"schema\", \"kept\", \"opportunities\"",
            SCHEMA "\"kept\": " API_BOOLEAN ", \"opportunities\": " LIST(
                OBJECT("\"key\", \"category\", \"priority\", \"estimated_gain\", "
                       "\"measured_gain\", \"description\", \"state\"",
                       "\"key\": " API_TEXT ", \"created_s\": " NUMBER ", \"updated_s\": " NUMBER
                       ", \"category\": " API_TEXT ", \"priority\": " API_TEXT
                       ", \"estimated_gain\": " MAYBE_NUMBER ", \"estimated_low\": " MAYBE_NUMBER
                       ", \"estimated_high\": " MAYBE_NUMBER ", \"confidence\": " MAYBE_NUMBER
                       ", \"complexity\": " API_TEXT ", \"description\": " API_TEXT
                       ", \"evidence\": {\"type\": [\"object\", \"null\"]}, \"source\": " API_TEXT
                       ", \"subject\": " API_TEXT ", \"state\": " API_TEXT
                       ", \"measured_gain\": " MAYBE_NUMBER)))},
    {"Budget",
     OBJECT("\"name\", \"metric\", \"statistic\", \"level\", \"value\", \"limit\", \"text\", "
            "\"alert\", \"severity\"",
            "\"name\": " API_TEXT ", \"metric\": " API_TEXT ", \"statistic\": " API_TEXT
            ", \"level\": {\"enum\": [\"unknown\", \"good\", \"warning\", \"critical\"]}, "
            "\"on_target\": " API_BOOLEAN ", \"value\": " MAYBE_NUMBER ", \"limit\": " MAYBE_NUMBER
            ", \"target\": " MAYBE_NUMBER ", \"warning\": " MAYBE_NUMBER
            ", \"critical\": " MAYBE_NUMBER ", \"objective\": " MAYBE_NUMBER
            ", \"events\": " API_INTEGER ", \"text\": " API_TEXT
            ", \"alert\": {\"enum\": [\"idle\", \"pending\", \"firing\"]}, \"severity\": " API_TEXT
            ", \"since_s\": " NUMBER ", \"alerts\": " API_INTEGER)},
    {"Budgets", OBJECT("\"schema\", \"budgets\"", SCHEMA "\"budgets\": " LIST(API_REF("Budget")))},
    {"PastAlert", OBJECT("\"name\", \"state\", \"severity\", \"text\", \"time_s\"",
                         "\"name\": " API_TEXT ", \"state\": " API_TEXT ", \"severity\": " API_TEXT
                         ", \"value\": " MAYBE_NUMBER ", \"limit\": " MAYBE_NUMBER
                         ", \"text\": " API_TEXT ", \"time_s\": " NUMBER)},
    {"Alerts",
     OBJECT("\"schema\", \"alerts\", \"past\"", SCHEMA
            "\"alerts\": " LIST(API_REF("Budget")) ", \"past\": " LIST(API_REF("PastAlert")))},
};

const api_set api_reports_set = {
    .tag = "figures",
    .summary = "What is measured",
    .operations = API_ROWS(operations),
    .schemas = API_ROWS(schemas),
};
