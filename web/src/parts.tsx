// What the views share: figures, tables, states without data.
import type { ComponentChildren } from "preact";
import type { Failure } from "./api";

export function Figure(props: { label: string; value: string; note?: string; level?: string }) {
  return (
    <div class={`figure ${props.level ?? ""}`}>
      <dt>{props.label}</dt>
      <dd>{props.value}</dd>
      {props.note !== undefined && <small>{props.note}</small>}
    </div>
  );
}

/** What to do where there is nothing to see yet. */
export function Empty(props: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty card">
      <h3>{props.title}</h3>
      <div>{props.children}</div>
    </div>
  );
}

export function Problem(props: { failure: Failure | null }) {
  return props.failure === null ? null : <p class="problem" role="alert">{props.failure.message}</p>;
}

const SIGNS: Record<string, string> = {
  critical: "✖", unhealthy: "✖", down: "✖", failed: "✖", error: "✖",
  warning: "▲", degraded: "▲",
  off: "○", unknown: "○", queued: "○", cancelled: "○", info: "○",
  running: "▶", succeeded: "✔", ok: "✔", resolved: "✔", applied: "✔", firing: "▲", open: "○", dismissed: "○",
};

/** A word with a sign and a colour: nobody needs to see the colour. */
export function Level(props: { level: string; title?: string }) {
  return <span class={`level ${props.level}`} title={props.title || undefined}><span aria-hidden="true">{SIGNS[props.level] ?? "●"}</span> {props.level}</span>;
}

export interface Column<T> {
  head: string;
  cell: (row: T) => ComponentChildren;
  right?: boolean;
}

export function Table<T>(props: { caption: string; columns: Column<T>[]; rows: T[]; row_key: (row: T) => string | number; onPick?: (row: T) => void; picked?: string | number; tall?: boolean }) {
  return (
    <div class={props.tall ? "scroll tall" : "scroll"} tabIndex={0} role="region" aria-label={props.caption}>
      <table>
        <caption><span>{props.caption}</span></caption>
        <thead>
          <tr>{props.columns.map((column) => <th key={column.head} scope="col" class={column.right ? "right" : ""}>{column.head}</th>)}</tr>
        </thead>
        <tbody>
          {props.rows.map((row) => {
            const key = props.row_key(row);
            return (
              <tr key={key} aria-selected={props.onPick ? key === props.picked : undefined}>
                {props.columns.map((column, i) => (
                  <td key={column.head} class={column.right ? "right" : ""}>
                    {i === 0 && props.onPick ? <button type="button" class="link" onClick={() => props.onPick!(row)}>{column.cell(row)}</button> : column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

export function Meter(props: { label: string; value: number | null; max: number; text: string }) {
  const part = props.value === null || props.max <= 0 ? 0 : Math.min(1, props.value / props.max);
  return (
    <div class="meter">
      <span>{props.label}</span>
      <meter min={0} max={1} low={0.75} high={0.9} optimum={0} value={part} aria-label={props.label}>{props.text}</meter>
      <span class="right">{props.text}</span>
    </div>
  );
}
