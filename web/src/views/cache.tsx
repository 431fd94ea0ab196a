import { type Curve, type Node } from "../api";
import { Chart } from "../chart";
import { bytes, count, rate, share } from "../format";
import { Level, Problem, Table } from "../parts";
import type { Shown } from "../range";
import { useAsked } from "../use_asked";

function hitShare(hits: number | null, misses: number | null): number | null {
  const total = (hits ?? 0) + (misses ?? 0);
  return total === 0 ? null : (hits ?? 0) / total;
}

export function Cache(props: { shown: Shown; node: Node | null }) {
  const { shown, node } = props;
  const curve = useAsked<Curve>("/v1/cache/curve", 10);
  const points = curve.data?.points ?? [];
  const size = curve.data?.size_bytes ?? null;
  return (
    <>
      <section class="card">
        <Table caption="Tiers" rows={node?.tiers ?? []} row_key={(tier) => tier.name} columns={[
          { head: "Tier", cell: (tier) => tier.name },
          { head: "State", cell: (tier) => <Level level={tier.state} /> },
          { head: "Holds", right: true, cell: (tier) => bytes(tier.bytes) },
          { head: "Of", right: true, cell: (tier) => bytes(tier.bytes_max) },
          { head: "Entries", right: true, cell: (tier) => count(tier.entries) },
          { head: "Hits", right: true, cell: (tier) => count(tier.hits) },
          { head: "Misses", right: true, cell: (tier) => count(tier.misses) },
          { head: "Hit rate", right: true, cell: (tier) => share(hitShare(tier.hits, tier.misses)) },
        ]} />
      </section>
      <div class="grid2">
        <Chart title="Hit rate by tier" x={shown.t} format={share} lines={shown.lines({ memory: "memory_hit_share", disk: "disk_hit_share", shared: "shared_hit_share" })} />
        <Chart title="Misses by size of the memory tier" x={points.map((point) => point.bytes)} format={share} formatX={bytes}
          lines={[{ label: "share of requests that miss", values: points.map((point) => point.miss_share) }]}
          marks={size === null ? [] : [{ x: size, text: "now" }]} />
        <Chart title="Entries" x={shown.t} format={count} lines={shown.lines({ entries: "entries" })} />
        <Chart title="Evictions" x={shown.t} format={rate} lines={shown.lines({ evictions: "evictions_per_s" })} />
        <Chart title="Predictions that came true" x={shown.t} format={share} lines={shown.lines({ precision: "prediction_precision" })} />
        <Chart title="Memory" x={shown.t} format={bytes} lines={shown.lines({ cache: "memory_bytes", limit: "memory_limit_bytes", process: "resident_bytes" })} />
      </div>
      <Problem failure={curve.failure} />
    </>
  );
}
