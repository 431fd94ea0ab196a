// The stretch of time that the charts show: live, second by second, or a longer one that is asked for.
import { useMemo } from "preact/hooks";
import type { Figure, Stats } from "./api";
import type { Line } from "./chart";
import { type Columns, columnsOf } from "./figures";
import { type Live, useLive } from "./live";
import { useAsked } from "./use_asked";

/** `step_s` 1: what the page has already. */
export const RANGES = [
  { name: "5m", title: "last 5 min, live", length_s: 300, step_s: 1, every_s: 0 },
  { name: "15m", title: "last 15 min, live", length_s: 900, step_s: 1, every_s: 0 },
  { name: "1h", title: "last hour", length_s: 3600, step_s: 60, every_s: 30 },
  { name: "24h", title: "last day", length_s: 86400, step_s: 60, every_s: 60 },
  { name: "7d", title: "last 7 days", length_s: 604800, step_s: 600, every_s: 300 },
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

const NOTHING: Columns = { t: [], series: new Map() };

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
  const asked = useAsked<Stats>(range.step_s === 1 ? "" : `/v1/stats?step=${range.step_s}`, range.every_s);
  return useMemo(() => {
    const kept = range.step_s === 1 ? live.columns : asked.data === null ? NOTHING : columnsOf(asked.data.samples);
    const { t, series } = cut(kept, range.length_s);
    return {
      range,
      t,
      last: (name) => live.last(name),
      lines: (names) => Object.entries(names).map(([label, name]) => ({ label, values: series.get(name) ?? new Array<Figure>(t.length).fill(null) })),
      names: (prefix) => [...series.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)),
    };
  }, [live, range, range.step_s === 1 ? version : 0, asked.data]);
}
