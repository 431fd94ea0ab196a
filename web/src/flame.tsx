// A flame graph: width is share of samples; a click or Enter zooms; against another profile, colour is change.
import { useMemo, useState } from "preact/hooks";
import type { Frame } from "./api";
import { seconds, share } from "./format";

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

/** `totalBefore`: samples of the other profile, whose counts stand beside ours; null: there is none. */
export function Flame(props: { root: Frame; total: number; totalBefore: number | null }) {
  const { root, totalBefore } = props;
  const [zoom, setZoom] = useState(root.name);
  const [search, setSearch] = useState("");
  const top = useMemo(() => find(root, zoom), [root, zoom]);
  const boxes = useMemo(() => layout(top), [top]);
  const depth = boxes.reduce((most, box) => Math.max(most, box.depth), 0) + 1;
  const prefix = zoom.slice(0, zoom.length - top.name.length);
  const wanted = search.toLowerCase();
  const change = (box: Box): number | null =>
    totalBefore === null ? null : box.frame.value / Math.max(1, props.total) - (box.frame.before ?? 0) / Math.max(1, totalBefore);
  const colour = (box: Box): string => {
    if (wanted !== "" && box.frame.name.toLowerCase().includes(wanted)) return "found";
    const by = change(box);
    if (by === null) return `heat${hue(box.frame.name)}`;
    return by > 0.002 ? "more" : by < -0.002 ? "less" : "same";
  };
  const say = (box: Box): string => {
    const by = change(box);
    const part = share(box.frame.value / Math.max(1, props.total));
    return `${box.frame.name}: ${seconds(box.frame.value / 1e9)}, ${part}${by === null ? "" : `, ${by >= 0 ? "+" : ""}${(by * 100).toFixed(1)} points`}`;
  };
  return (
    <figure class="flame">
      <figcaption>
        {totalBefore === null ? `Flame graph of ${seconds(props.total / 1e9)} of processor time` : <>Difference of two profiles <span class="key more">more</span> <span class="key less">less than in the other</span></>}
        <span class="bar"><label>find <input type="search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} /></label>
        <button type="button" disabled={zoom === root.name} onClick={() => setZoom(root.name)}>whole</button></span>
      </figcaption>
      <div class="scroll"><svg viewBox={`0 0 ${WIDTH} ${depth * ROW}`} role="tree" aria-label="Flame graph">
        {boxes.map((box) => {
          const width = (box.to - box.from) * WIDTH;
          const pick = (): void => setZoom(prefix + box.path);
          return (
            <g key={box.path} role="treeitem" tabindex={0} aria-label={say(box)} onClick={pick}
              onKeyDown={(event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } }}>
              <title>{say(box)}</title>
              <rect class={colour(box)} x={box.from * WIDTH} y={box.depth * ROW} width={Math.max(0.5, width - 0.5)} height={ROW - 1} rx={2} />
              {width > 40 && <text x={box.from * WIDTH + 4} y={box.depth * ROW + 14}>{box.frame.name.slice(0, Math.floor((width - 8) / 7.2))}</text>}
            </g>
          );
        })}
      </svg></div>
    </figure>
  );
}
