// Figures as text.  A figure that is missing is a dash, never a nought.

const DASH = "–";

function trim(value: number): string {
  const size = Math.abs(value);
  if (size > 0 && size < 0.1) return String(Number(value.toPrecision(2)));
  return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
}

export type Missing = null | undefined;

export function count(value: number | Missing): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]] as const) {
    if (Math.abs(value) >= size) return `${trim(value / (unit === "k" ? 1e3 : size))} ${unit}`;
  }
  return trim(value);
}

export function bytes(value: number | Missing): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (Math.abs(value) >= 1024 && step < units.length - 1) {
    value /= 1024;
    step++;
  }
  return `${trim(value)} ${units[step]}`;
}

export function seconds(value: number | Missing): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 1e-6) return `${trim(value * 1e9)} ns`;
  if (size < 1e-3) return `${trim(value * 1e6)} µs`;
  if (size < 1) return `${trim(value * 1e3)} ms`;
  if (size < 120) return `${trim(value)} s`;
  if (size < 7200) return `${trim(value / 60)} min`;
  if (size < 172800) return `${trim(value / 3600)} h`;
  return `${trim(value / 86400)} d`;
}

export function share(value: number | Missing): string {
  if (value == null || !Number.isFinite(value)) return DASH;
  const size = Math.abs(value);
  if (size > 0 && size < 0.001) return `${Number((value * 100).toPrecision(1))} %`;
  return `${(value * 100).toFixed(size >= 0.9995 || value === 0 ? 0 : 1)} %`;
}

export function rate(value: number | Missing): string {
  return value == null ? DASH : `${count(value)}/s`;
}

export function byteRate(value: number | Missing): string {
  return value == null ? DASH : `${bytes(value)}/s`;
}

export function clock(t: number | Missing): string {
  return t == null ? DASH : new Date(t * 1000).toLocaleTimeString([], { hour12: false });
}

export function day(t: number | Missing): string {
  return t == null ? DASH : new Date(t * 1000).toLocaleString([], { hour12: false, dateStyle: "medium", timeStyle: "medium" });
}

export function plain(value: string | number | boolean | Missing): string {
  return value == null || value === "" ? DASH : String(value);
}
