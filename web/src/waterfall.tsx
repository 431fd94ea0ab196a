// Stages of a job over time: when each waited, ran, and which decided how long it all took; and which worker did what.
import type { ReportRow } from "./api";
import { seconds, share } from "./format";

const ROW = 24;
const LABEL = 190;
const WIDTH = 900;
const NS = 1e9;

function title(row: ReportRow): string {
  const wait = row.wait_ns > 0 ? `, waited ${seconds(row.wait_ns / NS)}` : "";
  const where = row.how === "computed" ? (row.worker < 0 ? ", on the submitting thread" : `, worker ${row.worker}`) : "";
  const tier = row.how === "answered" ? ` by ${row.tier ?? "a tier"}` : "";
  return `${row.stage}: ${row.how}${tier}, ${seconds(row.ns / NS)} from ${seconds(row.start_ns / NS)}${wait}${where}${row.critical ? ", on the critical path" : ""}${row.note ? `. ${row.note}` : ""}`;
}

/** The lanes of workers: what each did when. */
function Lanes(props: { rows: ReportRow[]; total_s: number }) {
  const rows = props.rows.filter((row) => row.how !== "answered" && row.how !== "skipped");
  const workers = [...new Set(rows.map((row) => row.worker))].sort((a, b) => a - b);
  const x = (ns: number) => LABEL + (ns / NS / props.total_s) * (WIDTH - LABEL - 80);
  const name = (worker: number): string => (worker < 0 ? "submitting thread" : `worker ${worker}`);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Workers over time">
      <h4>Who did it</h4>
      <svg class="lanes" viewBox={`0 0 ${WIDTH} ${workers.length * ROW + 4}`} role="list" aria-label="Workers over time">
        {workers.map((worker, lane) => {
          const own = rows.filter((row) => row.worker === worker);
          const busy = own.reduce((sum, row) => sum + row.ns, 0) / NS / props.total_s;
          return (
            <g key={worker} role="listitem" aria-label={`${name(worker)}: busy ${share(busy)} of the time with ${own.map((row) => row.stage).join(", ")}`}>
              <text x={LABEL - 8} y={lane * ROW + 17} text-anchor="end">{name(worker)}</text>
              <line class="grid" x1={x(0)} x2={x(props.total_s * NS)} y1={lane * ROW + 13} y2={lane * ROW + 13} />
              {own.map((row) => {
                const width = Math.max(2, x(row.start_ns + row.ns) - x(row.start_ns));
                return (
                  <g key={row.stage}>
                    <title>{title(row)}</title>
                    <rect class={row.critical ? "critical" : row.how} x={x(row.start_ns)} y={lane * ROW + 4} width={width} height={18} rx={2} />
                    {width > row.stage.length * 6.6 + 8 && <text class="on" x={x(row.start_ns) + 4} y={lane * ROW + 17}>{row.stage}</text>}
                  </g>
                );
              })}
              <text class="tick" x={x(props.total_s * NS) + 6} y={lane * ROW + 17}>{share(busy)}</text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

export function Waterfall(props: { name: string; elapsed_s: number; answered_by: string; rows: ReportRow[] }) {
  const { rows } = props;
  const total = Math.max(props.elapsed_s, ...rows.map((row) => (row.start_ns + row.ns) / NS), 1e-9);
  const x = (ns: number) => LABEL + (ns / NS / total) * (WIDTH - LABEL - 80);
  const height = rows.length * ROW + 30;
  const at = new Map(rows.map((row, i) => [row.stage, i]));
  const edges = rows.flatMap((row, to) => row.after.map((name) => [at.get(name) ?? -1, to] as const)).filter(([from, to]) => rows[from]?.critical && rows[to]!.critical);
  return (
    <figure class="waterfall">
      <figcaption>
        Pipeline of {props.name}: {seconds(props.elapsed_s)}{props.answered_by ? `, answered by ${props.answered_by}` : ""}.{" "}
        <span class="key critical">critical path</span> <span class="key run">ran beside it</span>{" "}
        <span class="key wait">waited</span> <span class="key answered">answered by a tier</span>
      </figcaption>
      <div class="scroll" tabIndex={0} role="region" aria-label="Pipeline">
        <svg viewBox={`0 0 ${WIDTH} ${height}`} role="list" aria-label={`Stages of ${props.name}`}>
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <g key={part}>
              <line class="grid" x1={x(part * total * NS)} x2={x(part * total * NS)} y1={18} y2={height - 4} />
              <text class="tick" x={x(part * total * NS)} y={12} text-anchor="middle">{seconds(part * total)}</text>
            </g>
          ))}
          {edges.map(([from, to]) => (
            <path key={`${from}-${to}`} class="edge" d={`M${x(rows[from]!.start_ns + rows[from]!.ns)},${from * ROW + 30} L${x(rows[to]!.start_ns)},${to * ROW + 30}`} />
          ))}
          {rows.map((row, i) => {
            const idle = row.how === "answered" || row.how === "skipped";
            const waited = Math.max(0, row.start_ns - row.wait_ns);
            return (
              <g key={row.stage} role="listitem" aria-label={title(row)}>
                <title>{title(row)}</title>
                <text x={LABEL - 8} y={i * ROW + 34} text-anchor="end">{row.stage.length > 26 ? `${row.stage.slice(0, 25)}…` : row.stage}</text>
                {!idle && row.wait_ns > 0 && <rect class="wait" x={x(waited)} y={i * ROW + 27} width={Math.max(1, x(row.start_ns) - x(waited))} height={6} />}
                <rect class={row.critical && !idle ? "critical" : row.how} x={x(row.start_ns)} y={i * ROW + 22} width={Math.max(2, x(row.start_ns + row.ns) - x(row.start_ns))} height={16} rx={2} />
                <text class="tick" x={x(row.start_ns + row.ns) + 6} y={i * ROW + 34}>{idle ? row.how : seconds(row.ns / NS)}</text>
              </g>
            );
          })}
        </svg>
      </div>
      {rows.some((row) => row.how === "computed") && <Lanes rows={rows} total_s={total} />}
    </figure>
  );
}
