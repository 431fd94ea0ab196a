import { Chart } from "../chart";
import { type Grade, type Node } from "../api";
import { byteRate, bytes, count, rate, seconds, share } from "../format";
import { Empty, Figure, Level, Problem } from "../parts";
import type { Shown } from "../range";
import { useAsked } from "../use_asked";

export function Overview(props: { shown: Shown; node: Node | null }) {
  const { shown, node } = props;
  const grades = useAsked<{ grades: Grade[] }>("/v1/grades", 15);
  const requests = (shown.last("http_requests_per_s") ?? 0) + (shown.last("resp_commands_per_s") ?? 0);
  const quiet = shown.t.length > 5 && requests === 0 && (shown.last("entries") ?? 0) === 0;
  return (
    <>
      <dl class="figures">
        <Figure label="Requests" value={rate(shown.last("http_requests_per_s"))} note={`and ${rate(shown.last("resp_commands_per_s"))} Redis commands`} />
        <Figure label="Slow end (p99)" value={seconds(shown.last("http_p99_s"))} note={`Redis ${seconds(shown.last("resp_p99_s"))}`} />
        <Figure label="Answered from memory" value={share(shown.last("memory_hit_share"))} note={`${count(shown.last("entries"))} entries`} />
        <Figure label="Errors" value={share(shown.last("errors_share"))} level={(shown.last("errors_share") ?? 0) > 0.05 ? "critical" : ""} />
        <Figure label="Memory" value={bytes(shown.last("resident_bytes"))} note={`cache ${bytes(shown.last("memory_bytes"))} of ${bytes(shown.last("memory_limit_bytes"))}`} />
        <Figure label="Connections" value={count((shown.last("connections_h1") ?? 0) + (shown.last("connections_h2") ?? 0) + (shown.last("connections_resp") ?? 0))} />
      </dl>
      {quiet && (
        <Empty title="Nobody asks this node anything yet">
          <p>Try one of these, and watch the figures move:</p>
          <pre>redis-cli -p {location.port || "6380"} set hello world{"\n"}curl {location.origin}/v1/cache/hello{"\n"}redis-benchmark -p {location.port || "6380"} -t get,set -P 16</pre>
        </Empty>
      )}
      <div class="grid2">
        <Chart title="Latency of HTTP" x={shown.t} format={seconds} lines={shown.lines({ p50: "http_p50_s", p95: "http_p95_s", p99: "http_p99_s" })} />
        <Chart title="Latency of Redis commands" x={shown.t} format={seconds} lines={shown.lines({ p50: "resp_p50_s", p99: "resp_p99_s" })} />
        <Chart title="Throughput" x={shown.t} format={rate} lines={shown.lines({ HTTP: "http_requests_per_s", Redis: "resp_commands_per_s" })} />
        <Chart title="Traffic" x={shown.t} format={byteRate} lines={shown.lines({ in: "bytes_in_per_s", out: "bytes_out_per_s" })} />
      </div>
      <section class="card" aria-label="Grades">
        <h3>Grades</h3>
        <Problem failure={grades.failure} />
        {grades.data !== null && grades.data.grades.length === 0 && <p class="empty">Nothing is graded yet: grades need some traffic.</p>}
        <ul class="grades">
          {(grades.data?.grades ?? []).map((grade) => (
            <li key={grade.what} title={grade.why}>
              <b class={`grade g${grade.grade.charAt(0)}`}>{grade.grade}</b> {grade.what}
              <small>{grade.value === null ? grade.why : `${count(grade.value)} ${grade.unit}`}</small>
            </li>
          ))}
        </ul>
      </section>
      {node !== null && <p class="foot"><Level level={node.health} /> since {seconds(node.uptime_s)}</p>}
    </>
  );
}
