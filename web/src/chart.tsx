// A chart over time upon uPlot: follows the theme and the width, redraws only what changed.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Figure } from "./api";
import { useTheme } from "./theme";

// After Okabe and Ito, darker or lighter so that each stands out from the ground; told apart with every kind of colour
// vision (tests/web/test_palette.py), and by dashes without any.
const COLOURS = ["#005f99", "#b07400", "#008f68", "#b5609a", "#3d9bd6", "#a33c00"];
const COLOURS_DARK = ["#4aa8e8", "#e69f00", "#2fd0a0", "#d583b8", "#c4e3fa", "#f0602a"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4]];
const STYLES = ["solid", "dashed", "dotted", "dashed", "dotted", "dashed"];
const HEIGHT = 180;
const PADDING: uPlot.Padding = [8, 28, null, null]; // the last mark of time reaches beyond the last moment
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
const BINARY = Array.from({ length: 51 }, (_, power) => 2 ** power); // steps of an axis of bytes
const LEAST_S = 60;
const two = (value: number): string => String(value).padStart(2, "0");

/** Marks of time: the day where there is more than one, seconds where marks are closer than a minute. */
function times(at: number[]): string[] {
  const step = at.length > 1 ? at[1]! - at[0]! : 60;
  const days = at.length > 1 && at[at.length - 1]! - at[0]! > 86400;
  return at.map((t) => {
    const d = new Date(t * 1000);
    const clock = `${two(d.getHours())}:${two(d.getMinutes())}`;
    if (days || step >= 86400) return `${two(d.getMonth() + 1)}-${two(d.getDate())}${step >= 86400 ? "" : ` ${clock}`}`;
    return step < 60 ? `${clock}:${two(d.getSeconds())}` : clock;
  });
}

const TIMES = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800];

function moment(t: number | null): string {
  return t == null ? "–" : new Date(t * 1000).toLocaleTimeString([], { hour12: false });
}

export interface Line {
  label: string;
  values: Figure[];
  /** A bound of the first line: drawn faintly, in its colour; what is between two of them is shaded. */
  bound?: boolean;
}

export interface ChartProps {
  title: string;
  x: number[];
  lines: Line[];
  format: (value: number | null | undefined) => string;
  /** Of the horizontal axis; times by default. */
  formatX?: (value: number) => string;
  /** Where one is, in the legend; as on the axis by default. */
  formatAt?: (value: number) => string;
  /** The horizontal axis counts: marks at whole numbers only. */
  whole?: boolean;
  height?: number;
  /** Marks across the chart: (x, text). */
  marks?: { x: number; text: string }[];
  /** Seconds that the chart shows at most, up to its last moment: as far as something was measured. */
  span_s?: number;
  /** The least that the top of the vertical axis is. */
  top?: number;
  /** The horizontal axis grows by doubling. */
  log?: boolean;
  /** Steps of the vertical axis are powers of two. */
  binary?: boolean;
  /** Dots, not only lines. */
  points?: boolean;
  /** What is said when there is nothing. */
  empty?: string;
  children?: ComponentChildren;
}

/** Values without neighbours, which no line shows. */
function alone(u: uPlot, series: number, show: boolean): number[] | null {
  const values = u.data[series]!;
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
  }
  return show || found.length > 0 ? found : null;
}

/** The two bounds of a line, where there are any, as uPlot shades them: the upper one first. */
function bands(lines: Line[], colour: string): uPlot.Band[] {
  const at = lines.flatMap((line, i) => (line.bound ? [i + 1] : []));
  return at.length === 2 ? [{ series: [at[1]!, at[0]!], fill: `${colour}33` }] : [];
}

function lineOptions(props: ChartProps, line: Line, i: number, colours: string[]): uPlot.Series {
  return {
    label: line.label,
    stroke: line.bound ? `${colours[0]!}88` : colours[i % colours.length]!,
    dash: line.bound ? [] : DASHES[i % DASHES.length]!,
    width: line.bound ? 0.75 : 1.75,
    spanGaps: false,
    points: line.bound ? { show: false } : { show: true, size: 5, ...(props.points ? {} : { filter: alone }) },
    value: (_: uPlot, value: number | null) => props.format(value),
  };
}

/** Lines across the chart with a word each, beside the line where there is room. */
function drawMarks(u: uPlot, props: ChartProps, colour: string, ink: string): void {
  for (const mark of props.marks ?? []) {
    const at = Math.round(u.valToPos(mark.x, "x", true));
    const { ctx, bbox } = u;
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.fillStyle = ink;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    const room = bbox.left + bbox.width - at > ctx.measureText(mark.text).width + 8 * devicePixelRatio;
    ctx.textAlign = room ? "left" : "right";
    ctx.textBaseline = "bottom";
    ctx.fillText(mark.text, at + (room ? 5 : -5) * devicePixelRatio, bbox.top + bbox.height - 4 * devicePixelRatio);
    ctx.restore();
  }
}

function options(props: ChartProps, width: number, dark: boolean): uPlot.Options {
  const ink = dark ? "#c8ccd4" : "#3a3f4a";
  const grid = { stroke: dark ? "#2c313b" : "#e4e7ec", width: 1 };
  const colours = dark ? COLOURS_DARK : COLOURS;
  const font = "12px system-ui, sans-serif";
  return {
    width,
    height: props.height ?? HEIGHT,
    padding: PADDING,
    bands: bands(props.lines, colours[0]!),
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: !props.formatX, ...(props.log ? { distr: 3 as const, log: 2 as const } : {}), ...(props.span_s ? { range: (_: uPlot, low: number, high: number): [number, number] => [Math.max(high - props.span_s!, Math.min(low, high - LEAST_S)), high] } : {}) }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max((high || (props.top ?? 1)) * 1.08, props.top ?? 0)] } },
    legend: { live: true, markers: { width: 2, dash: (_: uPlot, i: number) => (props.lines[i - 1]?.bound ? "solid" : STYLES[(i - 1) % STYLES.length]!) } },
    axes: [
      { stroke: ink, grid, ticks: grid, font, space: props.whole ? 96 : 70,
        values: (_: uPlot, at: number[]) => props.formatX ? at.map((value: number | null) => value === null ? "" : props.formatX!(value)) : times(at), ...(props.whole ? { incrs: WHOLE } : props.formatX ? {} : { incrs: TIMES }) },
      { stroke: ink, grid, ticks: grid, font, size: 82, ...(props.binary ? { incrs: BINARY } : {}), values: (_: uPlot, at: number[]) => at.map((value) => props.format(value)) },
    ],
    series: [
      props.formatX ? { label: "at", value: (_: uPlot, value: number | null) => (value == null ? "–" : (props.formatAt ?? props.formatX!)(value)) } : { label: "at", value: (_: uPlot, t: number | null) => moment(t) },
      ...props.lines.map((line, i) => lineOptions(props, line, i, colours)),
    ],
    hooks: {
      draw: [(u) => drawMarks(u, props, colours[5]!, ink)],
      ready: [showLatest],
    },
  };
}

/** The legend has the last values while nobody points at others. */
function showLatest(u: uPlot): void {
  const last = u.data[0].length - 1;
  if ((u.cursor.left ?? -1) < 0 && last >= 0) u.setLegend({ idx: last }, false);
}

/** What a chart says, for who does not see it. */
function describe(props: ChartProps): string {
  const now = props.lines.map((line) => `${line.label} ${props.format(line.values[line.values.length - 1])}`);
  return `${props.title}. Latest: ${now.join(", ") || "nothing yet"}.`;
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const dark = useTheme();
  const shape = props.lines.map((line) => line.label).join("|");
  useEffect(() => {
    const element = place.current!;
    const width = () => Math.max(240, element.clientWidth);
    plot.current = new uPlot(options(props, width(), dark), [props.x, ...props.lines.map((line) => line.values)] as uPlot.AlignedData, element);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: width(), height: props.height ?? HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [dark, shape, props.marks?.length, props.span_s]);
  useEffect(() => {
    const u = plot.current;
    u?.setData([props.x, ...props.lines.map((line) => line.values)] as uPlot.AlignedData);
    if (u) showLatest(u);
  });
  const empty = props.x.length === 0 || props.lines.every((line) => line.values.every((value) => value === null));
  return (
    <section class="card chart" aria-label={props.title}>
      <h3>{props.title}</h3>
      <div ref={place} role="img" aria-label={describe(props)} hidden={empty} />
      {empty && <p class="empty">{props.empty ?? "Nothing measured in this time."}</p>}
      {props.children}
    </section>
  );
}
