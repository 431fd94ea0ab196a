import { type Curve, type Node, type Tier } from "../api";
import { Chart } from "../chart";
import { bytes, count, rate, share } from "../format";
import { type Live, useLive } from "../live";
import { Empty, Level, Problem, Table } from "../parts";
import type { Shown } from "../range";
import { useAsked } from "../use_asked";

/** "engine.memory" is what jobs use; the other tiers are the keys'. */
function title(name: string): string {
  return name.startsWith("engine.") ? `${name.slice(7)} (jobs)` : name;
}

function mean(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

function Advice(props: { curve: Curve }) {
  const { recommended, text } = props.curve;
  return (
    <section class="card">
      <h3>What the curve advises</h3>
      <p>{text}</p>
      <p class="foot">Now {bytes(props.curve.bytes)} of at most {bytes(props.curve.bytes_max)} with {props.curve.policy}; advised {bytes(recommended.bytes)} with {recommended.policy}, for a hit rate of {share(recommended.hit_rate)}.
        Change it: <code>brisk node knobs serve.memory SIZE</code>.</p>
    </section>
  );
}

export function Cache(props: { live: Live; shown: Shown; node: Node | null }) {
  const { shown, node, live } = props;
  useLive(live);
  const asked = (shown.last("entries.memory") ?? 0) > 0;
  const curve = useAsked<Curve>(node?.curve === "ready" ? "/v1/cache/curve" : "", 5);
  const points = curve.data?.curve ?? [];
  const byTier = (figure: string) => shown.lines(Object.fromEntries(shown.names(`${figure}.`).map((name) => [title(name), `${figure}.${name}`])));
  const hits = (tier: Tier) => mean(shown.lines({ x: `hit.${tier.name}` })[0]!.values);
  return (
    <>
      <section class="card">
        <Table caption="Tiers" rows={live.tiers} row_key={(tier) => tier.name} columns={[
          { head: "Tier", cell: (tier) => title(tier.name) },
          { head: "State", cell: (tier) => <Level level={tier.down ? "down" : "up"} /> },
          { head: "Entries", right: true, cell: (tier) => count(tier.entries) },
          { head: "Holds", right: true, cell: (tier) => bytes(tier.bytes) },
          { head: "Of", right: true, cell: (tier) => tier.bytes_max > 0 ? bytes(tier.bytes_max) : "no limit" },
          { head: "Hit rate now", right: true, cell: (tier) => share(tier.hits + tier.misses > 0 ? tier.hits / (tier.hits + tier.misses) : null) },
          { head: "Mean of this time", right: true, cell: (tier) => share(hits(tier)) },
          { head: "Evicted", right: true, cell: (tier) => rate(tier.evictions) },
        ]} />
      </section>
      {shown.t.length > 3 && !asked && (
        <Empty title="The cache is empty">
          <p>Put something into it, over either protocol; both see the same entries:</p>
          <pre>curl -H "Authorization: Bearer $(cat TOKEN_FILE)" -T FILE {location.origin}/v1/cache/name{"\n"}redis-cli -p {location.port || "6380"} set name value</pre>
        </Empty>
      )}
      <div class="grid2">
        <Chart title="Hit rate by tier" x={shown.t} span_s={shown.range.length_s} format={share} top={1} lines={byTier("hit")} />
        <Chart title="Misses by size of the memory tier" x={points.map((point) => point.bytes)} format={share} formatX={bytes} log top={1}
          empty={node?.curve === "off" ? "The node keeps no curve: it was started with serve.curve=off." : "No key was followed yet: the curve needs some traffic."}
          lines={[{ label: "share of requests that miss", values: points.map((point) => point.miss_ratio) }]}
          marks={curve.data === null ? [] : [{ x: curve.data.bytes, text: "now" }]} />
        <Chart title="Entries" x={shown.t} span_s={shown.range.length_s} format={count} lines={byTier("entries")} />
        <Chart title="Evictions" x={shown.t} span_s={shown.range.length_s} format={rate} lines={byTier("evictions")} />
        <Chart title="Predictions that came true" x={shown.t} span_s={shown.range.length_s} format={share} top={1} empty="Nothing was predicted in this time." lines={shown.lines({ precision: "prediction" })} />
        <Chart title="Memory" x={shown.t} span_s={shown.range.length_s} format={bytes} binary lines={shown.lines({ cache: "bytes.memory", "its limit": "limit.memory", process: "resident_bytes" })} />
      </div>
      {curve.data !== null && <Advice curve={curve.data} />}
      <Problem failure={curve.failure} />
    </>
  );
}
