import { Chart } from "../chart";
import { type Grades, type Node } from "../api";
import { byteRate, bytes, count, rate, seconds, share } from "../format";
import { Empty, Figure, Problem } from "../parts";
import type { Shown } from "../range";
import { useAsked } from "../use_asked";

/** A value of a grade: the first is a time in ns, the others are shares. */
function gradeValue(name: string, value: number | null): string {
  return name.startsWith("response time") ? seconds(value === null ? null : value / 1e9) : share(value);
}

function GradesCard() {
  const { data, failure } = useAsked<Grades>("/v1/grades", 10);
  return (
    <section class="card" aria-label="Grades">
      <h3>Grades <small>of the last minute</small></h3>
      <Problem failure={failure} />
      {data !== null && (
        <ul class="grades">
          <li class="whole"><b class={`grade g-${data.points === null ? "none" : data.grade}`}>{data.points === null ? "–" : data.grade}</b> overall <small>{data.text}</small></li>
          {data.parts.map((part) => (
            <li key={part.name}>
              <b class={`grade g-${part.value === null ? "none" : part.grade}`}>{part.value === null ? "–" : part.grade}</b> {part.name}
              <small>{part.value === null ? "not measured" : gradeValue(part.name, part.value)}</small>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function Overview(props: { shown: Shown; node: Node | null }) {
  const { shown, node } = props;
  const open = shown.names("open.").reduce((sum, name) => sum + (shown.last(`open.${name}`) ?? 0), 0);
  const errors = shown.last("errors_share");
  const quiet = shown.t.length > 3 && (shown.last("commands_per_s") ?? 0) === 0 && (shown.last("entries.memory") ?? 0) === 0;
  return (
    <>
      {node !== null && node.problems.length > 0 && <p class="problem" role="alert">{node.problems.join("; ")}</p>}
      <dl class="figures">
        <Figure label="Requests" value={rate(shown.last("http_per_s"))} note={`and ${rate(shown.last("commands_per_s"))} Redis commands`} />
        <Figure label="Slow end (p99)" value={seconds(shown.last("http_p99_s"))} note={`Redis ${seconds(shown.last("command_p99_s"))}`} />
        <Figure label="Answered from memory" value={share(shown.last("hit.memory"))} note={`${count(shown.last("entries.memory"))} entries`} />
        <Figure label="Errors" value={share(errors)} level={errors !== null && errors > 0.05 ? "critical" : ""} note="of answers and jobs" />
        <Figure label="Memory" value={bytes(shown.last("resident_bytes"))} note={`cache ${bytes(shown.last("bytes.memory"))} of ${bytes(shown.last("limit.memory"))}`} />
        <Figure label="Connections" value={count(shown.t.length === 0 ? null : open)} note={node === null ? "" : `up ${seconds(node.uptime_s)}`} />
      </dl>
      {quiet && (
        <Empty title="Nobody asks this node anything yet">
          <p>Try one of these, and watch the figures move:</p>
          <pre>redis-cli -p {location.port || "6380"} set hello world{"\n"}curl {location.origin}/v1/cache/hello{"\n"}redis-benchmark -p {location.port || "6380"} -t get,set -P 16</pre>
        </Empty>
      )}
      <div class="grid2">
        <Chart title="Throughput" x={shown.t} span_s={shown.range.length_s} format={rate} lines={shown.lines({ HTTP: "http_per_s", Redis: "commands_per_s" })} />
        <Chart title="Latency of HTTP" x={shown.t} span_s={shown.range.length_s} format={seconds} lines={shown.lines({ p50: "http_p50_s", p95: "http_p95_s", p99: "http_p99_s" })} />
        <Chart title="Latency of Redis commands" x={shown.t} span_s={shown.range.length_s} format={seconds} lines={shown.lines({ p50: "command_p50_s", p95: "command_p95_s", p99: "command_p99_s" })} />
        <Chart title="Traffic" x={shown.t} span_s={shown.range.length_s} format={byteRate} binary lines={shown.lines({ in: "bytes_in_per_s", out: "bytes_out_per_s" })} />
      </div>
      <GradesCard />
    </>
  );
}
