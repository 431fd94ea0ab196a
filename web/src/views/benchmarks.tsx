import { type Benchmark } from "../api";
import { Chart } from "../chart";
import { bytes, count, day, seconds, share } from "../format";
import { Empty, Problem } from "../parts";
import { useAsked } from "../use_asked";

function formatOf(unit: string): (value: number | null | undefined) => string {
  if (unit === "ns") return (value) => seconds(value == null ? null : value / 1e9);
  if (unit === "s") return seconds;
  if (unit === "bytes" || unit === "B") return bytes;
  return (value) => `${count(value)} ${unit}`;
}

function change(before: number, after: number): string {
  const by = before === 0 ? null : after / before - 1;
  return by === null ? "changed" : `${by >= 0 ? "+" : ""}${share(by)}`;
}

export function Benchmarks() {
  const asked = useAsked<{ kept: boolean; benchmarks: Benchmark[] }>("/v1/benchmarks", 60);
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
        {rows.map((row) => {
          const format = formatOf(row.unit);
          return (
            <div key={`${row.name} ${row.metric} ${row.machine}`}>
              <Chart title={`${row.name}: ${row.metric}`} x={row.points.map((point) => point.time_s)} format={format} points
                lines={[{ label: "median", values: row.points.map((point) => point.value) },
                  { label: "low", values: row.points.map((point) => point.low) }, { label: "high", values: row.points.map((point) => point.high) }]}
                marks={row.changes.map((one) => ({ x: one.time_s, text: change(one.before, one.after) }))}>
                {row.changes.map((one) => <p key={one.time_s} class="foot">{day(one.time_s)}: {change(one.before, one.after)}, from {format(one.before)} to {format(one.after)} (p = {one.p_value.toPrecision(2)})</p>)}
                <p class="foot">on {row.machine}</p>
              </Chart>
            </div>
          );
        })}
      </div>
    </>
  );
}
