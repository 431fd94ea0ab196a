// A flame graph: width is share of samples; a click or Enter zooms; against another profile, colour is change.
// One stop for the tab key: arrows walk through the frames.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Frame } from "./api";
import { seconds, share } from "./format";
import { Table } from "./parts";

const ROW = 20;
const WIDTH = 1000;
const SHOWN_MIN = 0.0005; // narrower frames are left out
const DEPTH_MAX = 200;
const STEPS = [0.002, 0.02, 0.1]; // shares of the whole from which a change is some, more, much
const MOST_CHANGED = 12;

interface Box {
  frame: Frame;
  path: string;
  depth: number;
  from: number;
  to: number;
}

function layout(root: Frame): Box[] {
  const boxes: Box[] = [];
  const place = (frame: Frame, path: string, depth: number, from: number, scale: number): void => {
    const width = frame.value * scale;
    if (width < SHOWN_MIN || depth > DEPTH_MAX) return;
    boxes.push({ frame, path, depth, from, to: from + width });
    let at = from;
    for (const child of frame.children ?? []) {
      place(child, `${path}\n${child.name}`, depth + 1, at, scale);
      at += child.value * scale;
    }
  };
  if (root.value > 0) place(root, root.name, 0, 0, 1 / root.value);
  return boxes;
}

function find(root: Frame, path: string): Frame {
  let frame = root;
  for (const name of path.split("\n").slice(1)) frame = frame.children?.find((child) => child.name === name) ?? frame;
  return frame;
}

function hue(name: string): number {
  let sum = 7;
  for (let i = 0; i < name.length; i++) sum = (sum * 31 + name.charCodeAt(i)) >>> 0;
  return sum % 5;
}

/** What frames of a name, with all that they called, take of `frame`; none is counted within another. */
function found(frame: Frame, wanted: string): number {
  if (frame.name.toLowerCase().includes(wanted)) return frame.value;
  return (frame.children ?? []).reduce((sum, child) => sum + found(child, wanted), 0);
}

function points(by: number): string {
  return `${by >= 0 ? "+" : "−"}${(Math.abs(by) * 100).toFixed(1)} points`;
}

interface Change {
  name: string;
  now: number;
  before: number;
}

/** Each name's own time, without what it called, as a share of either profile; also of what is gone. */
export function changesOf(root: Frame, total: number, totalBefore: number): Change[] {
  const all = new Map<string, Change>();
  const walk = (frame: Frame): void => {
    const one = all.get(frame.name) ?? { name: frame.name, now: 0, before: 0 };
    const children = frame.children ?? [];
    one.now += Math.max(0, frame.value - children.reduce((sum, child) => sum + child.value, 0)) / Math.max(1, total);
    one.before += Math.max(0, (frame.before ?? 0) - children.reduce((sum, child) => sum + (child.before ?? 0), 0)) / Math.max(1, totalBefore);
    all.set(frame.name, one);
    children.forEach(walk);
  };
  walk(root);
  const size = (one: Change): number => Math.abs(one.now - one.before);
  return [...all.values()].filter((one) => size(one) >= STEPS[0]!).sort((a, b) => size(b) - size(a)).slice(0, MOST_CHANGED);
}

function Changed(props: { rows: Change[] }) {
  if (props.rows.length === 0) return <p class="empty">No function's own time changed by as much as {share(STEPS[0])}.</p>;
  return (
    <Table caption="What changed most, by each function's own time" rows={props.rows} row_key={(row) => row.name} columns={[
      { head: "Function", cell: (row) => row.name },
      { head: "Here", right: true, cell: (row) => share(row.now) },
      { head: "In the other", right: true, cell: (row) => share(row.before) },
      { head: "Change", right: true, cell: (row) => <span class={row.now > row.before ? "key more" : "key less"}>{points(row.now - row.before)}</span> },
    ]} />
  );
}

/** Which box an arrow leads to. */
function neighbour(boxes: Box[], at: number, key: string): number {
  const box = boxes[at]!;
  const inside = (i: number, depth: number): boolean => boxes[i]!.depth === depth && boxes[i]!.from >= box.from - 1e-9 && boxes[i]!.to <= box.to + 1e-9;
  if (key === "ArrowDown") return boxes.findIndex((_, i) => inside(i, box.depth + 1));
  if (key === "ArrowUp") return boxes.findIndex((one) => one.depth === box.depth - 1 && one.from <= box.from + 1e-9 && one.to >= box.to - 1e-9);
  const row = boxes.map((_, i) => i).filter((i) => boxes[i]!.depth === box.depth);
  return row[row.indexOf(at) + (key === "ArrowRight" ? 1 : -1)] ?? -1;
}

/** `totalBefore`: samples of the other profile, whose counts stand beside ours; null: there is none. */
export function Flame(props: { root: Frame; total: number; totalBefore: number | null }) {
  const { root, totalBefore } = props;
  const [zoom, setZoom] = useState(root.name);
  const [search, setSearch] = useState("");
  const [at, setAt] = useState(0);
  const place = useRef<SVGSVGElement>(null);
  const [walks, setWalks] = useState(0); // by the keyboard, after which the focus follows
  const top = useMemo(() => find(root, zoom), [root, zoom]);
  const boxes = useMemo(() => layout(top), [top]);
  const changed = useMemo(() => (totalBefore === null ? [] : changesOf(root, props.total, totalBefore)), [root, totalBefore]);
  const depth = boxes.reduce((most, box) => Math.max(most, box.depth), 0) + 1;
  const prefix = zoom.slice(0, zoom.length - top.name.length);
  const wanted = search.trim().toLowerCase();
  const change = (box: Box): number | null =>
    totalBefore === null ? null : box.frame.value / Math.max(1, props.total) - (box.frame.before ?? 0) / Math.max(1, totalBefore);
  const colour = (box: Box): string => {
    if (wanted !== "" && box.frame.name.toLowerCase().includes(wanted)) return "found";
    const by = change(box);
    if (by === null) return `heat${hue(box.frame.name)}`;
    const step = STEPS.filter((least) => Math.abs(by) >= least).length;
    return step === 0 ? "same" : `${by > 0 ? "more" : "less"}${step}`;
  };
  const say = (box: Box): string => {
    const by = change(box);
    const part = share(box.frame.value / Math.max(1, props.total));
    return `${box.frame.name}: ${seconds(box.frame.value / 1e9)}, ${part}${by === null ? "" : `, ${points(by)}`}`;
  };
  const zoomTo = (path: string): void => {
    setZoom(path);
    setAt(0);
  };
  const onKey = (event: KeyboardEvent): void => {
    const here = Number((event.target as Element).getAttribute("data-at"));
    const next = event.key.startsWith("Arrow") ? neighbour(boxes, here, event.key) : -1;
    if (next >= 0) setAt(next);
    else if (event.key === "Enter" || event.key === " ") zoomTo(prefix + boxes[here]!.path);
    else if (event.key === "Escape") zoomTo(root.name);
    else if (!event.key.startsWith("Arrow")) return;
    setWalks((count) => count + 1);
    event.preventDefault();
  };
  useLayoutEffect(() => { // at once: the next key is for the frame that this one led to
    if (walks > 0) place.current?.querySelector<SVGGElement>("g[tabindex='0']")?.focus();
  }, [walks]);
  return (
    <figure class="flame">
      <figcaption>
        {totalBefore === null ? `Flame graph of ${seconds(props.total / 1e9)} of processor time` : (
          <>Difference of two profiles: width is the time here <span class="key more">more than in the other</span> <span class="key less">less</span> <span class="key same">as much</span></>
        )}
        <span class="bar"><label>find <input type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} /></label>
          {wanted !== "" && <span class="key found" role="status">{share(found(root, wanted) / Math.max(1, props.total))} of the time</span>}
          <button type="button" disabled={zoom === root.name} onClick={() => zoomTo(root.name)}>whole</button>
          <small class="foot">Arrows walk, Enter zooms, Escape shows the whole.</small></span>
      </figcaption>
      <div class="scroll"><svg ref={place} viewBox={`0 0 ${WIDTH} ${depth * ROW}`} role="tree" aria-label="Flame graph" onKeyDown={onKey}>
        {boxes.map((box, i) => {
          const width = (box.to - box.from) * WIDTH;
          return (
            <g key={box.path} data-at={i} role="treeitem" aria-level={box.depth + 1} tabindex={i === Math.min(at, boxes.length - 1) ? 0 : -1} aria-label={say(box)} onClick={() => zoomTo(prefix + box.path)}>
              <title>{say(box)}</title>
              <rect class={colour(box)} x={box.from * WIDTH} y={box.depth * ROW} width={Math.max(0.5, width - 0.5)} height={ROW - 1} rx={2} />
              {width > 40 && <text x={box.from * WIDTH + 4} y={box.depth * ROW + 14}>{box.frame.name.slice(0, Math.floor((width - 8) / 7.2))}</text>}
            </g>
          );
        })}
      </svg></div>
      {totalBefore !== null && <Changed rows={changed} />}
    </figure>
  );
}
