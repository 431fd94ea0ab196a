// A chart over time upon uPlot: follows the theme and the width, redraws only what changed.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Figure } from "./api";
import { useTheme } from "./theme";

// Okabe and Ito's colours, told apart with every kind of colour vision; dashes tell them apart without any.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
const COLOURS_DARK = ["#56b4e9", "#e69f00", "#2fc79a", "#e39cc5", "#9ad0f5", "#ff8a4c"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4]];
const HEIGHT = 180;

export interface Line {
  label: string;
  values: Figure[];
}

export interface ChartProps {
  title: string;
  x: number[];
  lines: Line[];
  format: (value: number | null | undefined) => string;
  /** Of the horizontal axis; times by default. */
  formatX?: (value: number) => string;
  height?: number;
  /** Marks across the chart: (x, text). */
  marks?: { x: number; text: string }[];
  /** The least that the top of the vertical axis is. */
  top?: number;
  /** Dots, not only lines. */
  points?: boolean;
  /** What is said when there is nothing. */
  empty?: string;
  children?: ComponentChildren;
}

function options(props: ChartProps, width: number, dark: boolean): uPlot.Options {
  const ink = dark ? "#c8ccd4" : "#3a3f4a";
  const grid = { stroke: dark ? "#2c313b" : "#e4e7ec", width: 1 };
  const colours = dark ? COLOURS_DARK : COLOURS;
  const font = "12px system-ui, sans-serif";
  return {
    width,
    height: props.height ?? HEIGHT,
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: !props.formatX }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max((high || (props.top ?? 1)) * 1.08, props.top ?? 0)] } },
    legend: { live: true },
    axes: [
      { stroke: ink, grid, ticks: grid, font, ...(props.formatX ? { values: (_: uPlot, at: number[]) => at.map(props.formatX!) } : {}) },
      { stroke: ink, grid, ticks: grid, font, size: 68, values: (_: uPlot, at: number[]) => at.map((value) => props.format(value)) },
    ],
    series: [
      props.formatX ? { value: (_: uPlot, value: number | null) => (value == null ? "–" : props.formatX!(value)) } : {},
      ...props.lines.map((line, i) => ({
        label: line.label,
        stroke: colours[i % colours.length]!,
        dash: DASHES[i % DASHES.length]!,
        width: 1.75,
        spanGaps: false,
        points: { show: props.points === true, size: 5 },
        value: (_: uPlot, value: number | null) => props.format(value),
      })),
    ],
    hooks: {
      draw: [(u) => {
        for (const mark of props.marks ?? []) {
          const at = u.valToPos(mark.x, "x", true);
          u.ctx.save();
          u.ctx.strokeStyle = colours[5]!;
          u.ctx.fillStyle = ink;
          u.ctx.setLineDash([4, 4]);
          u.ctx.beginPath();
          u.ctx.moveTo(at, u.bbox.top);
          u.ctx.lineTo(at, u.bbox.top + u.bbox.height);
          u.ctx.stroke();
          u.ctx.fillText(mark.text, at + 4, u.bbox.top + 12);
          u.ctx.restore();
        }
      }],
    },
  };
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
  }, [dark, shape, props.marks?.length]);
  useEffect(() => {
    plot.current?.setData([props.x, ...props.lines.map((line) => line.values)] as uPlot.AlignedData);
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
