// The stretch of time that the charts show: live, second by second, or a longer one that is asked for.
import { useMemo } from "preact/hooks";
import type { Figure, Sample, Stats } from "./api";
import type { Line } from "./chart";
import { type Columns, columnsOf } from "./figures";
import { type Live, useLive } from "./live";
import { useAsked } from "./use_asked";

/** `step_s` 1: what the page has already. */
export const RANGES = [
  { name: "5m", title: "last 5 min, live", length_s: 300, step_s: 1, every_s: 0 },
  { name: "15m", title: "last 15 min, live", length_s: 900, step_s: 1, every_s: 0 },
  { name: "1h", title: "last hour", length_s: 3600, step_s: 60, every_s: 30 },
  { name: "24h", title: "last day", length_s: 86400, step_s: 300, every_s: 60 },
  { name: "7d", title: "last 7 days", length_s: 604800, step_s: 1800, every_s: 300 },
] as const;
export type Range = (typeof RANGES)[number];

export interface Shown {
  range: Range;
  t: number[];
  last: (name: string) => Figure;
  /** Label to figure's name. */
  lines: (names: Record<string, string>) => Line[];
  /** What follows `prefix` in the names of figures. */
  names: (prefix: string) => string[];
}

/** Long samples, then shorter ones for the time since the last of them. */
function join(...parts: Sample[][]): Columns {
  const all: Sample[] = [];
  for (const part of parts) {
    const end = all[all.length - 1]?.time_s ?? 0;
    all.push(...part.filter((sample) => sample.time_s - sample.length_s / 2 > end));
  }
  return columnsOf(all);
}

/** The last `length_s` of what is kept. */
function cut(columns: Columns, length_s: number): Columns {
  const end = columns.t[columns.t.length - 1] ?? 0;
  let from = 0;
  while (from < columns.t.length && columns.t[from]! < end - length_s) from++;
  const series = new Map<string, Figure[]>();
  for (const [name, values] of columns.series) series.set(name, values.slice(from));
  return { t: columns.t.slice(from), series };
}

export function useShown(live: Live, range: Range): Shown {
  const version = useLive(live);
  const isLive = range.step_s === 1;
  const asked = useAsked<Stats>(isLive ? "" : `/v1/stats?step=${range.step_s}`, range.every_s);
  const minutes = useAsked<Stats>(isLive || range.step_s === 60 ? "" : "/v1/stats?step=60", 60);
  const end = live.columns.t[live.columns.t.length - 1] ?? 0;
  return useMemo(() => {
    const kept = isLive ? live.columns : join(asked.data?.samples ?? [], minutes.data?.samples ?? [], live.recent);
    const { t, series } = cut(kept, range.length_s);
    return {
      range,
      t,
      last: (name) => live.last(name),
      lines: (names) => Object.entries(names).map(([label, name]) => ({ label, values: series.get(name) ?? new Array<Figure>(t.length).fill(null) })),
      names: (prefix) => [...series.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)),
    };
  }, [live, range, isLive ? version : Math.floor(end / 10), asked.data, minutes.data]);
}
