// The node's API as the dashboard uses it: what comes back, and how it is asked for.

export type Figure = number | null;

/** Times of one second; percentiles are of that second alone. */
export interface Times {
  count: number;
  p50_ns: number;
  p95_ns: number;
  p99_ns: number;
}

export interface Tier {
  name: string;
  hits: number;
  misses: number;
  evictions: number;
  expired: number;
  errors: number;
  entries: number;
  bytes: number;
  bytes_max: number;
  down: boolean;
}

/** One second of the node (or, in history, `length_s` seconds of it). */
export interface Sample {
  time_s: number;
  length_s: number;
  commands: number;
  command_errors: number;
  responses: number;
  server_errors: number;
  jobs: number;
  job_failures: number;
  bytes_in: number;
  bytes_out: number;
  http: Times;
  command: Times;
  job: Times;
  resident_bytes: number;
  memory_limit_bytes: number;
  connections: Record<string, number>;
  busy: Figure;
  busy_most: Figure;
  loops?: Figure[];
  cpu: Figure;
  prediction_precision: Figure;
  tiers: Tier[];
}

export interface Stats {
  kept_s: number;
  samples: Sample[];
}

export interface Node {
  name: string;
  version: string;
  pid: number;
  started_s: number;
  uptime_s: number;
  curve: "off" | "empty" | "ready";
  health: "healthy" | "degraded" | "unhealthy";
  problems: string[];
  workers: { index: number; busy: Figure; connections: number }[];
  listeners: string[];
}

export interface Curve {
  requests: number;
  keys: number;
  entries: number;
  bytes: number;
  size: number;
  bytes_max: number;
  policy: string;
  curve: { bytes: number; entries: number; miss_ratio: number }[];
  hit_rate_target: Figure;
  recommended: { bytes: number; policy: string; hit_rate: Figure };
  text: string;
}

export interface Grades {
  window_s: number;
  points: Figure;
  grade: string;
  text: string;
  parts: { name: string; value: Figure; points: Figure; grade: string; weight: number }[];
}

export interface StageProgress {
  stage: string;
  state: string;
  ns: number;
  bytes: number;
  items?: number;
  items_done?: number;
}

export interface ReportRow {
  stage: string;
  start_ns: number;
  ns: number;
  wait_ns: number;
  share: number;
  critical: boolean;
  how: string;
  tier?: string;
  tier_ns?: number;
  worker: number;
  note: string;
  after: string[];
}

export interface Job {
  id: string;
  workload: string;
  status: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  class: string;
  priority: number;
  created_ms: number;
  wait_ns: number;
  run_ns: number;
  position?: number;
  stages?: StageProgress[];
  /** Only of one job that is over. */
  answered_by?: string;
  error?: { code: string; message: string; stage?: string };
  report?: { elapsed_ns: number; stages: ReportRow[] };
}

export interface Run {
  id: number;
  time_s: number;
  duration_ns: number;
  workload: string;
  outcome: string;
  answered_by: string;
}

export interface RunStage {
  name: string;
  after: string;
  start_ns: number;
  duration_ns: number;
  wait_ns: number;
  worker: number;
  critical: boolean;
  outcome: string;
}

export interface Queue {
  waiting: number;
  waiting_max: number;
  running: number;
  running_max: number;
  classes: { class: string; waiting: number; running: number; share: Figure; share_configured: Figure; wait_ns: { p50: number; p95: number } }[];
  workloads: { workload: string; weight: number; quota: number; class: string; waiting: number; running: number; done: number; share: Figure; share_configured: Figure }[];
}

export interface Budget {
  name: string;
  metric: string;
  statistic: string;
  level: string;
  value: Figure;
  limit: Figure;
  warning: Figure;
  critical: Figure;
  objective: Figure;
  text: string;
  alert: "idle" | "pending" | "firing";
  severity: string;
  since_s: number;
}

export interface Alert {
  time_s: number;
  name: string;
  state: string;
  severity: string;
  value: Figure;
  limit: Figure;
  text: string;
}

export interface Opportunity {
  key: string;
  category: string;
  priority: string;
  description: string;
  estimated_gain: Figure;
  estimated_low: Figure;
  estimated_high: Figure;
  measured_gain: Figure;
  confidence: Figure;
  complexity: string;
  subject: string;
  state: string;
}

export interface Benchmark {
  name: string;
  metric: string;
  unit: string;
  machine: string;
  points: { time_s: number; value: number; low: Figure; high: Figure; label: string }[];
  changes: { at: number; time_s: number; before: number; after: number; p_value: number }[];
}

export interface Frame {
  name: string;
  value: number;
  before?: number;
  children?: Frame[];
}

export interface Profile {
  id: number;
  time_s: number;
  seconds: number;
  hertz: number;
  state: "running" | "done" | "failed";
  why: string;
  total?: number;
  total_before?: number;
  tree?: Frame;
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
