// The node's API as the dashboard uses it: what comes back, and how it is asked for.

export type Figure = number | null;

export interface Stats {
  step_s: number;
  t: number[];
  series: Record<string, Figure[]>;
}

export interface Tier {
  name: string;
  state: "up" | "down" | "off";
  bytes: Figure;
  bytes_max: Figure;
  entries: Figure;
  hits: Figure;
  misses: Figure;
}

export interface Worker {
  index: number;
  busy_share: Figure;
  connections: Figure;
}

export interface Node {
  name: string;
  version: string;
  pid: number;
  started_t: number;
  uptime_s: number;
  workers: Worker[];
  listeners: string[];
  tiers: Tier[];
  health: "healthy" | "degraded" | "unhealthy";
}

export interface Curve {
  points: { bytes: number; miss_share: number }[];
  size_bytes: Figure;
}

export interface Grade {
  what: string;
  grade: string;
  value: Figure;
  unit: string;
  why: string;
}

export interface Job {
  id: string;
  workload: string;
  state: string;
  class: string;
  queued_t: Figure;
  started_t: Figure;
  ended_t: Figure;
  elapsed_s: Figure;
  answered_by: string | null;
}

export interface TraceRow {
  name: string;
  start_s: number;
  s: number;
  wait_s: Figure;
  critical: boolean;
  how: string;
  worker: Figure;
}

export interface Trace {
  id: string;
  elapsed_s: number;
  rows: TraceRow[];
  edges: [number, number][];
}

export interface Queue {
  classes: { name: string; depth: number; running: number; wait_p50_s: Figure; wait_p95_s: Figure }[];
  workloads: { name: string; weight: number; share: Figure; running: number; quota: Figure }[];
}

export interface Budget {
  name: string;
  value: Figure;
  warning: Figure;
  critical: Figure;
  level: string;
  unit: string;
}

export interface Alert {
  t: number;
  name: string;
  level: "ok" | "warning" | "critical";
  text: string;
}

export interface Recommendation {
  id: string;
  category: string;
  priority: string | number;
  description: string;
  estimated_gain: Figure;
  confidence: Figure;
  complexity: string;
  knobs: { name: string; from: string; to: string }[];
  applied: boolean;
  measured_gain: Figure;
}

export interface Benchmark {
  name: string;
  unit: string;
  t: number[];
  value: Figure[];
  changes: { t: number; before: number; after: number; share: number }[];
}

export interface Frame {
  name: string;
  value: number;
  children?: Frame[];
}

export interface Profile {
  id: string;
  t: number;
  seconds: number;
  samples: number;
  root?: Frame;
}

/** A refusal or a failure, in the server's words. */
export class Failure extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

const TOKEN_KEY = "brisk.token";

export function token(): string {
  try {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  } catch {
    return "";
  }
}

/** Kept for this tab only. */
export function setToken(text: string): void {
  try {
    if (text === "") sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, text);
  } catch {
    /* storage is off: it is asked for again */
  }
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  const held = token();
  return held === "" ? more : { ...more, authorization: `Bearer ${held}` };
}

async function failure(answer: Response): Promise<Failure> {
  const text = await answer.text().catch(() => "");
  try {
    const message: unknown = JSON.parse(text)?.error?.message;
    if (typeof message === "string") return new Failure(answer.status, message);
  } catch {
    /* not JSON */
  }
  return new Failure(answer.status, text.slice(0, 200) || `the node answered ${answer.status}`);
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, { cache: "no-store", ...init });
  } catch {
    throw new Failure(0, "the node cannot be reached");
  }
  if (!answer.ok) throw await failure(answer);
  return (await answer.json()) as T;
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return ask<T>(path, { headers: headers(), ...(signal ? { signal } : {}) });
}

export function send<T>(method: "POST" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<T> {
  return ask<T>(path, {
    method,
    headers: headers(body === undefined ? {} : { "content-type": "application/json" }),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
