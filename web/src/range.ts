// The stretch of time that the charts show: live, or a longer one that is asked for.
import { useMemo } from "preact/hooks";
import type { Figure, Stats } from "./api";
import type { Line } from "./chart";
import { type Live, useLive } from "./live";
import { useAsked } from "./use_asked";

export const RANGES = ["15m", "1h", "24h", "7d"] as const;
export type Range = (typeof RANGES)[number];

export interface Shown {
  t: number[];
  last: (name: string) => Figure;
  lines: (names: Record<string, string>) => Line[];
}

export function useShown(live: Live, range: Range): Shown {
  const version = useLive(live);
  const asked = useAsked<Stats>(range === "15m" ? "" : `/v1/stats?range=${range}`, 30);
  return useMemo(() => {
    const isLive = range === "15m";
    const t = isLive ? live.times : asked.data?.t ?? [];
    const series = (name: string): Figure[] =>
      (isLive ? live.series.get(name) : asked.data?.series[name]) ?? new Array<Figure>(t.length).fill(null);
    return {
      t: isLive ? [...t] : t,
      last: (name) => live.last(name),
      lines: (names) => Object.entries(names).map(([label, name]) => ({ label, values: series(name) })),
    };
  }, [live, range, version, asked.data]);
}
