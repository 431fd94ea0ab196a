// A sample of the node as named figures, which are what charts draw.
import type { Figure, Sample, Times } from "./api";

const NS = 1e9;

function times(into: Record<string, Figure>, prefix: string, of: Times): void {
  const any = of.count > 0;
  into[`${prefix}_p50_s`] = any ? of.p50_ns / NS : null;
  into[`${prefix}_p95_s`] = any ? of.p95_ns / NS : null;
  into[`${prefix}_p99_s`] = any ? of.p99_ns / NS : null;
}

/** What was not measured in that second is null, never a nought. */
export function figuresOf(sample: Sample): Record<string, Figure> {
  const length = sample.length_s > 0 ? sample.length_s : 1;
  const answers = sample.responses + sample.jobs;
  const figures: Record<string, Figure> = {
    http_per_s: sample.responses / length,
    commands_per_s: sample.commands / length,
    jobs_per_s: sample.jobs / length,
    errors_share: answers > 0 ? (sample.server_errors + sample.job_failures) / answers : null,
    bytes_in_per_s: sample.bytes_in / length,
    bytes_out_per_s: sample.bytes_out / length,
    resident_bytes: sample.resident_bytes,
    memory_limit_bytes: sample.memory_limit_bytes > 0 ? sample.memory_limit_bytes : null,
    busy: sample.busy,
    busy_most: sample.busy_most,
    cpu: sample.cpu,
    prediction: sample.prediction_precision,
  };
  times(figures, "http", sample.http);
  times(figures, "command", sample.command);
  times(figures, "job", sample.job);
  for (const [name, open] of Object.entries(sample.connections)) figures[`open.${name}`] = open;
  (sample.loops ?? []).forEach((share, index) => { figures[`loop.${index}`] = share; });
  for (const tier of sample.tiers) {
    const asked = tier.hits + tier.misses;
    figures[`hit.${tier.name}`] = asked > 0 ? tier.hits / asked : null;
    figures[`entries.${tier.name}`] = tier.entries;
    figures[`bytes.${tier.name}`] = tier.bytes;
    figures[`limit.${tier.name}`] = tier.bytes_max > 0 ? tier.bytes_max : null;
    figures[`evictions.${tier.name}`] = tier.evictions / length;
  }
  return figures;
}

export interface Columns {
  t: number[];
  series: Map<string, Figure[]>;
}

/** Add one row; rows may be of different figures. */
export function addRow(columns: Columns, t: number, figures: Record<string, Figure>): void {
  const length = columns.t.length;
  columns.t.push(t);
  for (const [name, value] of Object.entries(figures)) {
    const values = columns.series.get(name) ?? new Array<Figure>(length).fill(null);
    values.push(value);
    columns.series.set(name, values);
  }
  for (const values of columns.series.values()) if (values.length <= length) values.push(null);
}

/** A row without figures: a line does not go on over time in which nothing was measured. */
function addGap(columns: Columns, sample: Sample): void {
  const before = columns.t[columns.t.length - 1];
  const began = sample.time_s - sample.length_s;
  if (before !== undefined && began - before > 2 * sample.length_s + 1) addRow(columns, (before + began) / 2, {});
}

export function addSample(columns: Columns, sample: Sample): void {
  addGap(columns, sample);
  addRow(columns, sample.time_s, figuresOf(sample));
}

export function columnsOf(samples: Sample[]): Columns {
  const columns: Columns = { t: [], series: new Map() };
  for (const sample of samples) addSample(columns, sample);
  return columns;
}
