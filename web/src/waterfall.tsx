// Stages of a job over time: when each waited, ran, and which decided how long it all took.
import type { ReportRow } from "./api";
import { seconds } from "./format";

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

export function Waterfall(props: { id: string; elapsed_s: number; answered_by: string; rows: ReportRow[] }) {
  const { rows } = props;
  const total = Math.max(props.elapsed_s, ...rows.map((row) => (row.start_ns + row.ns) / NS), 1e-9);
  const x = (ns: number) => LABEL + (ns / NS / total) * (WIDTH - LABEL - 80);
  const height = rows.length * ROW + 30;
  const at = new Map(rows.map((row, i) => [row.stage, i]));
  const edges = rows.flatMap((row, to) => row.after.map((name) => [at.get(name) ?? -1, to] as const)).filter(([from, to]) => rows[from]?.critical && rows[to]!.critical);
  return (
    <figure class="waterfall">
      <figcaption>
        Pipeline of job {props.id}: {seconds(props.elapsed_s)}{props.answered_by ? `, answered by ${props.answered_by}` : ""}.{" "}
        <span class="key critical">critical path</span> <span class="key run">ran beside it</span>{" "}
        <span class="key wait">waited</span> <span class="key answered">answered by a tier</span>
      </figcaption>
      <div class="scroll" tabIndex={0} role="region" aria-label="Pipeline">
        <svg viewBox={`0 0 ${WIDTH} ${height}`} role="list" aria-label={`Stages of job ${props.id}`}>
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
    </figure>
  );
}
