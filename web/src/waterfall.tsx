// Stages of a job over time: when each waited, ran, and which decided how long it all took.
import type { Trace, TraceRow } from "./api";
import { seconds } from "./format";

const ROW = 24;
const LABEL = 190;
const WIDTH = 900;

function title(row: TraceRow): string {
  const wait = row.wait_s ? `, waited ${seconds(row.wait_s)}` : "";
  const where = row.worker === null ? "" : row.worker < 0 ? ", submitting thread" : `, worker ${row.worker}`;
  return `${row.name}: ${row.how}, ${seconds(row.s)} from ${seconds(row.start_s)}${wait}${where}${row.critical ? ", on the critical path" : ""}`;
}

export function Waterfall(props: { trace: Trace }) {
  const { trace } = props;
  const total = Math.max(trace.elapsed_s, ...trace.rows.map((row) => row.start_s + row.s), 1e-9);
  const x = (s: number) => LABEL + (s / total) * (WIDTH - LABEL - 80);
  const height = trace.rows.length * ROW + 30;
  return (
    <figure class="waterfall">
      <figcaption>
        Pipeline of job {trace.id}: {seconds(trace.elapsed_s)}. <span class="key critical">critical path</span> <span class="key run">ran</span>{" "}
        <span class="key wait">waited</span> <span class="key answered">answered by a tier</span>
      </figcaption>
      <div class="scroll" tabIndex={0} role="region" aria-label="Pipeline">
        <svg viewBox={`0 0 ${WIDTH} ${height}`} role="list" aria-label={`Stages of job ${trace.id}`}>
          {[0, 0.25, 0.5, 0.75, 1].map((part) => (
            <g key={part}>
              <line class="grid" x1={x(part * total)} x2={x(part * total)} y1={18} y2={height - 4} />
              <text class="tick" x={x(part * total)} y={12} text-anchor="middle">{seconds(part * total)}</text>
            </g>
          ))}
          {trace.edges.map(([from, to]) => {
            const a = trace.rows[from];
            const b = trace.rows[to];
            if (!a || !b || !(a.critical && b.critical)) return null;
            return <path key={`${from}-${to}`} class="edge" d={`M${x(a.start_s + a.s)},${from * ROW + 30} L${x(b.start_s)},${to * ROW + 30}`} />;
          })}
          {trace.rows.map((row, i) => (
            <g key={row.name} role="listitem" aria-label={title(row)}>
              <title>{title(row)}</title>
              <text x={LABEL - 8} y={i * ROW + 34} text-anchor="end">{row.name}</text>
              {row.wait_s ? <rect class="wait" x={x(Math.max(0, row.start_s - row.wait_s))} y={i * ROW + 27} width={Math.max(1, x(row.start_s) - x(Math.max(0, row.start_s - row.wait_s)))} height={6} /> : null}
              <rect class={row.critical ? "critical" : row.how} x={x(row.start_s)} y={i * ROW + 22} width={Math.max(2, x(row.start_s + row.s) - x(row.start_s))} height={16} rx={2} />
              <text class="tick" x={x(row.start_s + row.s) + 6} y={i * ROW + 34}>{seconds(row.s)}</text>
            </g>
          ))}
        </svg>
      </div>
    </figure>
  );
}
