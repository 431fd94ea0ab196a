import { type Node } from "../api";
import { Chart } from "../chart";
import { bytes, count, day, plain, seconds, share } from "../format";
import { Meter } from "../parts";
import type { Shown } from "../range";

export function System(props: { shown: Shown; node: Node | null }) {
  const { shown, node } = props;
  return (
    <>
      <section class="card" aria-label="Workers">
        <h3>Workers</h3>
        {(node?.workers ?? []).map((worker) => (
          <Meter key={worker.index} label={`loop ${worker.index}`} value={worker.busy_share} max={1}
            text={`${share(worker.busy_share)}, ${count(worker.connections)} connections`} />
        ))}
      </section>
      <div class="grid2">
        <Chart title="Time that workers are busy" x={shown.t} format={share} lines={shown.lines({ busy: "workers_busy_share" })} />
        <Chart title="Connections" x={shown.t} format={count} lines={shown.lines({ "HTTP/1.1": "connections_h1", "HTTP/2": "connections_h2", Redis: "connections_resp" })} />
        <Chart title="Memory" x={shown.t} format={bytes} lines={shown.lines({ process: "resident_bytes", cache: "memory_bytes", limit: "memory_limit_bytes" })} />
        <Chart title="Errors" x={shown.t} format={share} lines={shown.lines({ "share of answers": "errors_share" })} />
      </div>
      {node !== null && (
        <dl class="facts card">
          <dt>Version</dt><dd>{node.version}</dd>
          <dt>Process</dt><dd>{node.pid}</dd>
          <dt>Started</dt><dd>{day(node.started_t)} ({seconds(node.uptime_s)} ago)</dd>
          <dt>Listens at</dt><dd>{plain(node.listeners.join(", "))}</dd>
        </dl>
      )}
    </>
  );
}
