import { type Node } from "../api";
import { Chart } from "../chart";
import { bytes, count, day, plain, seconds, share } from "../format";
import { Meter } from "../parts";
import type { Shown } from "../range";

export function System(props: { shown: Shown; node: Node | null }) {
  const { shown, node } = props;
  const loops = shown.names("loop.");
  const open = shown.names("open.");
  const protocols: Record<string, string> = { resp: "Redis", h1: "HTTP/1.1", h2: "HTTP/2", websocket: "WebSocket", unknown: "not known yet" };
  return (
    <>
      <section class="card" aria-label="Workers">
        <h3>Workers now</h3>
        {(node?.workers ?? []).map((worker) => (
          <Meter key={worker.index} label={`loop ${worker.index}`} value={worker.busy} max={1}
            text={`${share(worker.busy)}, ${count(worker.connections)} connection${worker.connections === 1 ? "" : "s"}`} />
        ))}
      </section>
      <div class="grid2">
        <Chart title="Time that each worker is busy" x={shown.t} span_s={shown.range.length_s} format={share} top={1} lines={shown.lines(Object.fromEntries(loops.map((index) => [`loop ${index}`, `loop.${index}`])))} />
        <Chart title="Processors in use" x={shown.t} span_s={shown.range.length_s} format={count} lines={shown.lines({ "by the whole process": "cpu" })} />
        <Chart title="Connections" x={shown.t} span_s={shown.range.length_s} format={count} lines={shown.lines(Object.fromEntries(open.map((name) => [protocols[name] ?? name, `open.${name}`])))} />
        <Chart title="Memory" x={shown.t} span_s={shown.range.length_s} format={bytes} binary lines={shown.lines({ process: "resident_bytes", cache: "bytes.memory" })} />
        <Chart title="Errors" x={shown.t} span_s={shown.range.length_s} format={share} empty="Nothing was answered in this time." lines={shown.lines({ "share of answers and jobs": "errors_share" })} />
      </div>
      {node !== null && (
        <dl class="facts card">
          <dt>Version</dt><dd>{node.version}</dd>
          <dt>Process</dt><dd>{node.pid}</dd>
          <dt>Started</dt><dd>{day(node.started_s)} ({seconds(node.uptime_s)} ago)</dd>
          <dt>Listens at</dt><dd>{plain(node.listeners.join(", "))}</dd>
          <dt>Memory it may use</dt><dd>{bytes(shown.last("memory_limit_bytes"))}</dd>
        </dl>
      )}
    </>
  );
}
