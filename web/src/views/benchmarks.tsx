import { type Benchmark } from "../api";
import { Chart } from "../chart";
import { bytes, count, day, seconds, share } from "../format";
import { Empty, Problem, Table } from "../parts";
import { useAsked } from "../use_asked";

const EXAMPLE = `brisk bench 'rom apply game.sfc mod.ips -o out.sfc' --save patching
brisk bench history patching`;

const METRICS: Record<string, string> = { wall: "time", cpu: "processor time", rss: "memory" };

function formatOf(unit: string): (value: number | null | undefined) => string {
  if (unit === "ns") return (value) => seconds(value == null ? null : value / 1e9);
  if (unit === "s") return seconds;
  if (unit === "bytes" || unit === "B") return bytes;
  return (value) => `${count(value)} ${unit}`.trim();
}

function change(before: number, after: number): string {
  const by = before === 0 ? null : after / before - 1;
  return by === null ? "changed" : `${by >= 0 ? "+" : ""}${share(by)}`;
}

/** Words for moments of an axis: the day where there are several, the second where all are of one hour. */
function momentOf(times: number[]): (t: number) => string {
  const span = times.length > 1 ? times[times.length - 1]! - times[0]! : 0;
  const clock: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (span > 86400 * 300) return (t) => new Date(t * 1000).toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
  if (span > 86400 * 3) return (t) => new Date(t * 1000).toLocaleDateString([], { month: "short", day: "numeric" });
  if (span > 86400) return (t) => new Date(t * 1000).toLocaleString([], { month: "short", day: "numeric", ...clock });
  return (t) => new Date(t * 1000).toLocaleTimeString([], span > 3600 ? clock : { ...clock, second: "2-digit" });
}

/** One line over its measurements: each takes as much room, whenever it was made, since people measure in bursts. */
function Line(props: { row: Benchmark }) {
  const { row } = props;
  const { points, changes } = row;
  const format = formatOf(row.unit);
  const moment = momentOf(points.map((point) => point.time_s));
  const at = (x: number) => points[x - 1];
  const bounds = points.some((point) => point.low !== null && point.high !== null);
  return (
    <Chart title={`${row.name}: ${METRICS[row.metric] ?? row.metric}`} x={points.map((_, i) => i + 1)} format={format} points whole
      formatX={(x) => (at(x) === undefined ? "" : moment(at(x)!.time_s))}
      formatAt={(x) => (at(x) === undefined ? "–" : `${day(at(x)!.time_s)}${at(x)!.label === "" ? "" : ` (${at(x)!.label})`}`)}
      lines={[{ label: "median", values: points.map((point) => point.value) },
        ...(bounds ? [{ label: "low", values: points.map((point) => point.low), bound: true }, { label: "high", values: points.map((point) => point.high), bound: true }] : [])]}
      marks={changes.map((one) => ({ x: one.at + 1, text: change(one.before, one.after) }))}>
      {changes.length === 0 ? <p class="foot">{points.length < 10 ? `Changes are looked for from 10 measurements on; there ${points.length === 1 ? "is 1" : `are ${points.length}`}.` : "No change of level."}</p> : (
        <Table caption={changes.length === 1 ? "One change of level" : `${changes.length} changes of level`} rows={[...changes].reverse()} row_key={(one) => one.at} columns={[
          { head: "Since", cell: (one) => day(one.time_s) },
          { head: "Change", right: true, cell: (one) => <b>{change(one.before, one.after)}</b> },
          { head: "From", right: true, cell: (one) => format(one.before) },
          { head: "To", right: true, cell: (one) => format(one.after) },
          { head: "By chance (p)", right: true, cell: (one) => one.p_value.toPrecision(2) },
        ]} />
      )}
      <p class="foot">{points.length} measurement{points.length === 1 ? "" : "s"} on {row.machine}</p>
    </Chart>
  );
}

export function Benchmarks() {
  const asked = useAsked<{ kept: boolean; benchmarks: Benchmark[] }>("/v1/benchmarks", 60);
  const rows = asked.data?.benchmarks ?? [];
  return (
    <>
      <Problem failure={asked.failure} />
      {asked.data !== null && rows.length === 0 && (
        <Empty title="No benchmark is kept here">
          <p>Measure something and keep it, again and again; the measurements line up and changes are marked:</p>
          <pre>{EXAMPLE}</pre>
        </Empty>
      )}
      <div class="grid2">
        {rows.map((row) => <div key={`${row.name} ${row.metric} ${row.machine}`}><Line row={row} /></div>)}
      </div>
    </>
  );
}
