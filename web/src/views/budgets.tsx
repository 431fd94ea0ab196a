import { type Alert, type Budget } from "../api";
import { count, day } from "../format";
import { type Live, useLive } from "../live";
import { Empty, Level, Problem, Table } from "../parts";
import { useAsked } from "../use_asked";

export function Budgets(props: { live: Live }) {
  useLive(props.live);
  const budgets = useAsked<{ budgets: Budget[] }>("/v1/budgets", 5);
  const alerts = useAsked<{ alerts: Alert[] }>("/v1/alerts", 15);
  const told = [...props.live.alerts, ...(alerts.data?.alerts ?? [])];
  const seen = new Set<string>();
  const unique = told.filter((alert) => {
    const key = `${alert.t} ${alert.name} ${alert.level}`;
    return !seen.has(key) && seen.add(key);
  });
  return (
    <>
      <Problem failure={budgets.failure} />
      {budgets.data !== null && budgets.data.budgets.length === 0 ? (
        <Empty title="No budget is set">
          <p>A budget is a limit on something measured, with a warning below it. Set one in brisk.yaml:</p>
          <pre>brisk budget --help</pre>
        </Empty>
      ) : (
        <section class="card">
          <Table caption="Budgets" rows={budgets.data?.budgets ?? []} row_key={(row) => row.name} columns={[
            { head: "Budget", cell: (row) => row.name },
            { head: "Level", cell: (row) => <Level level={row.level} /> },
            { head: "Now", right: true, cell: (row) => `${count(row.value)} ${row.unit}` },
            { head: "Warning", right: true, cell: (row) => count(row.warning) },
            { head: "Critical", right: true, cell: (row) => count(row.critical) },
          ]} />
        </section>
      )}
      <section class="card">
        {unique.length === 0 ? <p class="empty">No alert so far.</p> : (
          <Table caption="Alerts" rows={unique} row_key={(row) => `${row.t} ${row.name} ${row.level}`} columns={[
            { head: "When", cell: (row) => day(row.t) },
            { head: "Level", cell: (row) => <Level level={row.level} /> },
            { head: "Budget", cell: (row) => row.name },
            { head: "What", cell: (row) => row.text },
          ]} />
        )}
      </section>
    </>
  );
}
