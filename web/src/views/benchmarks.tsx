import { type Benchmark } from "../api";
import { Chart } from "../chart";
import { count, day, seconds, share } from "../format";
import { Empty, Problem } from "../parts";
import { useAsked } from "../use_asked";

export function Benchmarks() {
  const asked = useAsked<{ benchmarks: Benchmark[] }>("/v1/benchmarks", 60);
  const rows = asked.data?.benchmarks ?? [];
  return (
    <>
      <Problem failure={asked.failure} />
      {asked.data !== null && rows.length === 0 && (
        <Empty title="No benchmark is kept here">
          <p>Measure something and keep it; runs line up over time and changes are marked:</p>
          <pre>brisk bench --help</pre>
        </Empty>
      )}
      <div class="grid2">
        {rows.map((row) => (
          <div key={row.name}>
            <Chart title={row.name} x={row.t} format={row.unit === "s" ? seconds : (value) => `${count(value)} ${row.unit}`}
              lines={[{ label: "median", values: row.value }]}
              marks={row.changes.map((change) => ({ x: change.t, text: `${change.share >= 0 ? "+" : ""}${share(change.share)}` }))} />
            {row.changes.map((change) => <p key={change.t} class="foot">{day(change.t)}: {change.share >= 0 ? "+" : ""}{share(change.share)}</p>)}
          </div>
        ))}
      </div>
    </>
  );
}
