/*
 * table.c -- the tables as data: what stands in which column, and what a filter means to it.
 *
 * A change here is a new HISTORY_VERSION and a step in store.c that brings older files up to it.
 */
#include "observe/history/store.h"

#define COLUMN(type, kind, field)                                                                  \
    {                                                                                              \
#        field, COLUMN_##kind, offsetof(brisk_history_##type, field)                               \
    }
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define ID   "INTEGER PRIMARY KEY AUTOINCREMENT" /* numbers are not used again */
#define INT  "INTEGER NOT NULL"
#define TEXT "TEXT NOT NULL"

const char history_schema[] =
    "CREATE TABLE runs(id " ID ", wall_ns " INT ", duration_ns " INT ", workload " TEXT
    ", command " TEXT ", outcome " TEXT ", answered_by " TEXT ", bytes " INT ", machine " TEXT
    ", details " TEXT ");"
    "CREATE INDEX runs_time ON runs(wall_ns);"
    "CREATE INDEX runs_workload ON runs(workload, wall_ns);"

    "CREATE TABLE stages(run " INT ", name " TEXT ", \"after\" " TEXT ", start_ns " INT
    ", duration_ns " INT ", wait_ns " INT ", bytes " INT ", worker " INT ", critical " INT
    ", outcome " TEXT ");"
    "CREATE INDEX stages_run ON stages(run);"
    "CREATE INDEX stages_name ON stages(name);"

    "CREATE TABLE benchmarks(id " ID ", wall_ns " INT ", name " TEXT ", metric " TEXT ", unit " TEXT
    ", value REAL, low REAL, high REAL, samples " INT ", label " TEXT ", machine " TEXT
    ", details " TEXT ");"
    "CREATE INDEX benchmarks_time ON benchmarks(wall_ns);"
    "CREATE INDEX benchmarks_name ON benchmarks(name, metric, machine, wall_ns);"

    "CREATE TABLE alerts(id " ID ", wall_ns " INT ", budget " TEXT ", metric " TEXT
    ", severity " TEXT ", state " TEXT ", value REAL, \"limit\" REAL, text " TEXT ", machine " TEXT
    ");"
    "CREATE INDEX alerts_time ON alerts(wall_ns);"

    "CREATE TABLE opportunities(id " ID ", \"key\" " TEXT ", created_ns " INT ", updated_ns " INT
    ", category " TEXT ", priority " TEXT
    ", gain REAL, gain_low REAL, gain_high REAL, confidence REAL, complexity " TEXT
    ", description " TEXT ", evidence " TEXT ", source " TEXT ", subject " TEXT ", state " TEXT
    ", machine " TEXT ", UNIQUE(\"key\", machine));"
    "CREATE INDEX opportunities_time ON opportunities(updated_ns);";

#undef TEXT
#undef INT

static const table_column run_columns[] = {
    COLUMN(run, U64, id),           COLUMN(run, U64, wall_ns),  COLUMN(run, U64, duration_ns),
    COLUMN(run, TEXT, workload),    COLUMN(run, TEXT, command), COLUMN(run, TEXT, outcome),
    COLUMN(run, TEXT, answered_by), COLUMN(run, U64, bytes),    COLUMN(run, TEXT, machine),
    COLUMN(run, TEXT, details),
};
const history_table history_runs = {
    .name = "runs",
    .columns = run_columns,
    .column_count = COUNT(run_columns),
    .time = "wall_ns",
    .filter_name = "workload",
    .filter_machine = "machine",
    .insert_tail = "",
};

static const table_column stage_columns[] = {
    COLUMN(stage, U64, run),      COLUMN(stage, TEXT, name),       COLUMN(stage, TEXT, after),
    COLUMN(stage, U64, start_ns), COLUMN(stage, U64, duration_ns), COLUMN(stage, U64, wait_ns),
    COLUMN(stage, U64, bytes),    COLUMN(stage, I64, worker),      COLUMN(stage, U64, critical),
    COLUMN(stage, TEXT, outcome),
};
const history_table history_stages = {
    .name = "stages",
    .columns = stage_columns,
    .column_count = COUNT(stage_columns),
    .filter_name = "name",
    .insert_tail = "",
};

static const table_column benchmark_columns[] = {
    COLUMN(benchmark, U64, id),       COLUMN(benchmark, U64, wall_ns),
    COLUMN(benchmark, TEXT, name),    COLUMN(benchmark, TEXT, metric),
    COLUMN(benchmark, TEXT, unit),    COLUMN(benchmark, REAL, value),
    COLUMN(benchmark, REAL, low),     COLUMN(benchmark, REAL, high),
    COLUMN(benchmark, U64, samples),  COLUMN(benchmark, TEXT, label),
    COLUMN(benchmark, TEXT, machine), COLUMN(benchmark, TEXT, details),
};
const history_table history_benchmarks = {
    .name = "benchmarks",
    .columns = benchmark_columns,
    .column_count = COUNT(benchmark_columns),
    .time = "wall_ns",
    .filter_name = "name",
    .filter_metric = "metric",
    .filter_label = "label",
    .filter_machine = "machine",
    .insert_tail = "",
};

static const table_column alert_columns[] = {
    COLUMN(alert, U64, id),       COLUMN(alert, U64, wall_ns),   COLUMN(alert, TEXT, budget),
    COLUMN(alert, TEXT, metric),  COLUMN(alert, TEXT, severity), COLUMN(alert, TEXT, state),
    COLUMN(alert, REAL, value),   COLUMN(alert, REAL, limit),    COLUMN(alert, TEXT, text),
    COLUMN(alert, TEXT, machine),
};
const history_table history_alerts = {
    .name = "alerts",
    .columns = alert_columns,
    .column_count = COUNT(alert_columns),
    .time = "wall_ns",
    .filter_name = "budget",
    .filter_metric = "metric",
    .filter_machine = "machine",
    .filter_state = "state",
    .insert_tail = "",
};

static const table_column opportunity_columns[] = {
    COLUMN(opportunity, U64, id),          COLUMN(opportunity, TEXT, key),
    COLUMN(opportunity, U64, created_ns),  COLUMN(opportunity, U64, updated_ns),
    COLUMN(opportunity, TEXT, category),   COLUMN(opportunity, TEXT, priority),
    COLUMN(opportunity, REAL, gain),       COLUMN(opportunity, REAL, gain_low),
    COLUMN(opportunity, REAL, gain_high),  COLUMN(opportunity, REAL, confidence),
    COLUMN(opportunity, TEXT, complexity), COLUMN(opportunity, TEXT, description),
    COLUMN(opportunity, TEXT, evidence),   COLUMN(opportunity, TEXT, source),
    COLUMN(opportunity, TEXT, subject),    COLUMN(opportunity, TEXT, state),
    COLUMN(opportunity, TEXT, machine),
};
/* Renewed: it keeps id and created_ns. */
#define RENEW                                                                                      \
    " ON CONFLICT(\"key\", machine) DO UPDATE SET updated_ns = excluded.updated_ns,"               \
    " category = excluded.category, priority = excluded.priority, gain = excluded.gain,"           \
    " gain_low = excluded.gain_low, gain_high = excluded.gain_high,"                               \
    " confidence = excluded.confidence, complexity = excluded.complexity,"                         \
    " description = excluded.description, evidence = excluded.evidence,"                           \
    " source = excluded.source, subject = excluded.subject, state = "

#define OPPORTUNITIES(tail)                                                                        \
    {                                                                                              \
        .name = "opportunities", .columns = opportunity_columns,                                   \
        .column_count = COUNT(opportunity_columns), .time = "updated_ns", .filter_name = "key",    \
        .filter_machine = "machine", .filter_state = "state", .insert_tail = (tail)                \
    }

const history_table history_opportunities = OPPORTUNITIES(RENEW "excluded.state");
/* What was dismissed stays so, what was gone is open again. */
const history_table history_opportunities_stateless =
    OPPORTUNITIES(RENEW "CASE WHEN state = 'gone' THEN 'open' ELSE state END");
