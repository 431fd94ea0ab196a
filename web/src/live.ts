// What the node tells by itself: one stream of events, read with fetch so that a token can go with
// it, opened again with growing pauses when it breaks; and the last fifteen minutes of figures.
import { useEffect, useState } from "preact/hooks";
import { type Figure, type Sample, type Stats, get, headers } from "./api";
import { type Columns, addSample, columnsOf } from "./figures";

const POINTS_MAX = 900;
const RECENT_MAX = 120;
const PAUSE_FIRST_MS = 500;
const PAUSE_MAX_MS = 15000;
const SILENCE_MAX_MS = 40000; // a heartbeat comes every 15 s

export type Link = "connecting" | "live" | "lost" | "refused";

/** Everything that is live; one for the page. */
export class Live {
  link: Link = "connecting";
  columns: Columns = { t: [], series: new Map() };
  tiers: Sample["tiers"] = [];
  /** The seconds of the last minutes, whole: the end of longer stretches of time. */
  recent: Sample[] = [];
  /** Rises when an alert began or ended. */
  alerts = 0;
  /** Rises when a job came, began or ended. */
  jobs = 0;
  version = 0;
  private readonly readers = new Set<() => void>();
  private stopped = false;
  private abort = new AbortController();
  private pending = false;
  private wake: (() => void) | null = null;

  /** Call `reader` after changes, at most once a frame; returns how to stop that. */
  watch(reader: () => void): () => void {
    this.readers.add(reader);
    return () => this.readers.delete(reader);
  }

  last(name: string): Figure {
    const values = this.columns.series.get(name);
    return values?.[values.length - 1] ?? null;
  }

  async run(): Promise<void> {
    let pause = PAUSE_FIRST_MS;
    while (!this.stopped) {
      this.abort = new AbortController();
      const began = performance.now();
      try {
        await this.fill();
        await this.read();
      } catch {
        /* said by `link` */
      }
      if (this.stopped) return;
      if (this.link !== "refused") this.setLink("lost");
      pause = performance.now() - began > 5000 ? PAUSE_FIRST_MS : Math.min(pause * 2, PAUSE_MAX_MS);
      await this.rest(this.link === "refused" ? Number.POSITIVE_INFINITY : pause * (0.75 + Math.random() / 2));
    }
  }

  /** Without a token there is nothing to try again: it waits until there is one. */
  private rest(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = Number.isFinite(ms) ? setTimeout(() => this.wake?.(), ms) : undefined;
      this.wake = () => {
        clearTimeout(timer);
        this.wake = null;
        done();
      };
    });
  }

  /** Open the stream anew: a token was given. */
  restart(): void {
    if (this.link !== "refused") this.setLink("connecting"); // who was refused is until the node says otherwise
    this.abort.abort();
    this.wake?.();
  }

  stop(): void {
    this.stopped = true;
    this.abort.abort();
    this.wake?.();
  }

  private changed(): void {
    this.version++;
    if (this.pending) return;
    this.pending = true;
    const tell = (): void => {
      this.pending = false;
      for (const reader of this.readers) reader();
    };
    if (document.hidden) setTimeout(tell, 1000);
    else requestAnimationFrame(tell);
  }

  private setLink(link: Link): void {
    if (this.link !== link) {
      this.link = link;
      this.changed();
    }
  }

  /** What happened before the page was opened, or while it was away. */
  private async fill(): Promise<void> {
    try {
      const { samples } = await get<Stats>("/v1/stats", this.abort.signal);
      this.columns = columnsOf(samples.slice(-POINTS_MAX));
      this.tiers = samples[samples.length - 1]?.tiers ?? [];
      this.recent = samples.slice(-RECENT_MAX);
      this.changed();
    } catch (why) {
      if ((why as { status?: number }).status === 401 || (why as { status?: number }).status === 403) {
        this.setLink("refused");
        this.changed();
      }
      throw why;
    }
  }

  private async read(): Promise<void> {
    const answer = await fetch("/v1/events?topics=metrics,jobs,alerts", {
      headers: headers({ accept: "text/event-stream" }),
      cache: "no-store",
      signal: this.abort.signal,
    });
    if (!answer.ok || answer.body === null) {
      this.setLink(answer.status === 401 || answer.status === 403 ? "refused" : "lost");
      throw new Error(`events: ${answer.status}`);
    }
    this.setLink("live");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const timer = setTimeout(() => this.abort.abort(), SILENCE_MAX_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      const blocks = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) this.take(block);
    }
  }

  private take(block: string): void {
    let name = "message";
    const data: string[] = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
    if (data.length === 0) return;
    let content: unknown;
    try {
      content = JSON.parse(data.join("\n"));
    } catch {
      return;
    }
    if (name === "metrics") this.addMetrics(content as Sample);
    else if (name === "jobs") this.jobs++;
    else if (name === "alerts") this.alerts++;
    this.changed();
  }

  private addMetrics(sample: Sample): void {
    const { t, series } = this.columns;
    if (t.length > 0 && sample.time_s <= t[t.length - 1]!) return;
    addSample(this.columns, sample);
    this.tiers = sample.tiers;
    this.recent.push(sample);
    if (this.recent.length > RECENT_MAX) this.recent.shift();
    while (t.length > POINTS_MAX) {
      t.shift();
      for (const values of series.values()) values.shift();
    }
  }
}

/** Render again whenever something came. */
export function useLive(live: Live): number {
  const [version, setVersion] = useState(live.version);
  useEffect(() => live.watch(() => setVersion(live.version)), [live]);
  return version;
}
