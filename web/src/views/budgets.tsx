import { useEffect } from "preact/hooks";
import { type Alert, type Budget } from "../api";
import { count, day, seconds, share } from "../format";
import { type Live, useLive } from "../live";
import { Empty, Level, Problem, Table } from "../parts";
import { useAsked } from "../use_asked";

const EXAMPLE = `cat > budgets.yaml <<'END'
schema: 1
budgets:
  - name: fast answers
    metric: serve.http.time
    labels: {route: api.cache}
    statistic: p99
    warning: 5ms
    critical: 50ms
END
brisk serve --set serve.budgets=budgets.yaml`;

const ALERTS = { idle: "none", pending: "will fire", firing: "firing" } as const;

/** The unit stands at the end of a metric's name. */
function figure(budget: Budget, value: number | null): string {
  if (value === null) return "–";
  if (/[._](ns|time)$/.test(budget.metric)) return seconds(value / 1e9);
  return budget.statistic === "share" || budget.statistic === "rate" ? share(value) : count(value);
}

export function Budgets(props: { live: Live }) {
  useLive(props.live);
  const budgets = useAsked<{ budgets: Budget[] }>("/v1/budgets", 2);
  const alerts = useAsked<{ alerts: Budget[]; past: Alert[] }>("/v1/alerts", 5);
  useEffect(() => { if (props.live.alerts > 0) alerts.refresh(); }, [props.live.alerts]);
  const rows = budgets.data?.budgets ?? [];
  const past = alerts.data?.past ?? [];
  const firing = (alerts.data?.alerts ?? []).filter((alert) => alert.alert === "firing");
  return (
    <>
      <Problem failure={budgets.failure ?? alerts.failure} />
      {firing.map((alert) => <p key={alert.name} class="problem" role="alert"><Level level={alert.severity} /> {alert.name}: {alert.text}</p>)}
      {budgets.data !== null && rows.length === 0 && (
        <Empty title="No budget is set">
          <p>A budget is a promise about something measured, with a warning before it is broken:</p>
          <pre>{EXAMPLE}</pre>
        </Empty>
      )}
      {rows.length > 0 && (
        <section class="card">
          <Table caption="Budgets" rows={rows} row_key={(row) => row.name} columns={[
            { head: "Budget", cell: (row) => row.name },
            { head: "Level", cell: (row) => <Level level={row.level} /> },
            { head: "Of", cell: (row) => `${row.statistic} of ${row.metric}` },
            { head: "Now", right: true, cell: (row) => figure(row, row.value) },
            { head: "Warning", right: true, cell: (row) => figure(row, row.warning) },
            { head: "Critical", right: true, cell: (row) => figure(row, row.critical) },
            { head: "Alert", cell: (row) => ALERTS[row.alert] },
          ]} />
        </section>
      )}
      <section class="card">
        {past.length === 0 ? <><h3>Alerts that were</h3><p class="empty">None. What fires is shown here, and sent to the sinks of the budgets' file.</p></> : (
          <Table<Alert> tall caption="Alerts that were" rows={past} row_key={(row) => `${row.time_s} ${row.name} ${row.state}`} columns={[
            { head: "When", cell: (row) => day(row.time_s) },
            { head: "Severity", cell: (row) => <Level level={row.severity} /> },
            { head: "State", cell: (row) => <Level level={row.state} /> },
            { head: "Budget", cell: (row) => row.name },
            { head: "What", cell: (row) => row.text },
          ]} />
        )}
      </section>
    </>
  );
}
