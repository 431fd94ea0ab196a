// A flame graph: width is share of samples; a click or Enter zooms; against another profile, colour is change.
import { useMemo, useState } from "preact/hooks";
import type { Frame } from "./api";
import { share } from "./format";

const ROW = 20;
const WIDTH = 1000;
const SHOWN_MIN = 0.0005; // narrower frames are left out
const DEPTH_MAX = 200;

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

/** Share of each path's samples. */
function shares(root: Frame): Map<string, number> {
  const found = new Map<string, number>();
  const walk = (frame: Frame, path: string): void => {
    found.set(path, frame.value / root.value);
    for (const child of frame.children ?? []) walk(child, `${path}\n${child.name}`);
  };
  if (root.value > 0) walk(root, root.name);
  return found;
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

export function Flame(props: { root: Frame; before?: Frame | undefined }) {
  const [zoom, setZoom] = useState(props.root.name);
  const [search, setSearch] = useState("");
  const top = useMemo(() => find(props.root, zoom), [props.root, zoom]);
  const boxes = useMemo(() => layout(top), [top]);
  const before = useMemo(() => (props.before ? shares(props.before) : null), [props.before]);
  const depth = boxes.reduce((most, box) => Math.max(most, box.depth), 0) + 1;
  const prefix = zoom.slice(0, zoom.length - top.name.length);
  const wanted = search.toLowerCase();
  const change = (box: Box): number | null =>
    before === null ? null : box.frame.value / props.root.value - (before.get(prefix + box.path) ?? 0);
  const colour = (box: Box): string => {
    if (wanted !== "" && box.frame.name.toLowerCase().includes(wanted)) return "found";
    const by = change(box);
    if (by === null) return `heat${hue(box.frame.name)}`;
    return by > 0.002 ? "more" : by < -0.002 ? "less" : "same";
  };
  const say = (box: Box): string => {
    const by = change(box);
    const part = share(box.frame.value / props.root.value);
    return `${box.frame.name}: ${box.frame.value} samples, ${part}${by === null ? "" : `, ${by >= 0 ? "+" : ""}${(by * 100).toFixed(1)} points`}`;
  };
  return (
    <figure class="flame">
      <figcaption>
        {before === null ? "Flame graph" : "Flame graph: blue is less, orange more than in the other profile"}
        {" "}<label>find <input type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} /></label>
        {" "}<button type="button" disabled={zoom === props.root.name} onClick={() => setZoom(props.root.name)}>whole</button>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${depth * ROW}`} role="tree" aria-label="Flame graph">
        {boxes.map((box) => {
          const width = (box.to - box.from) * WIDTH;
          const pick = (): void => setZoom(prefix + box.path);
          return (
            <g key={box.path} role="treeitem" tabIndex={0} aria-label={say(box)} onClick={pick}
              onKeyDown={(event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } }}>
              <title>{say(box)}</title>
              <rect class={colour(box)} x={box.from * WIDTH} y={box.depth * ROW} width={Math.max(0.5, width - 0.5)} height={ROW - 1} rx={2} />
              {width > 40 && <text x={box.from * WIDTH + 4} y={box.depth * ROW + 14}>{box.frame.name.slice(0, Math.floor((width - 8) / 6.4))}</text>}
            </g>
          );
        })}
      </svg>
    </figure>
  );
}
