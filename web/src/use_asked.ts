// An answer of the API, asked for again and again while a view is open and the node can be reached.
import { useCallback, useEffect, useState } from "preact/hooks";
import { Failure, get } from "./api";

export interface Asked<T> {
  data: T | null;
  of: string; // the path that gave `data`: an earlier one until the next answer is there
  failure: Failure | null;
  refresh: () => void;
}

/** Is the node there, and does it answer us?  Who is not is not asked: `open` rises when it is there again. */
export const reach = { open: 0, watchers: new Set<() => void>() };

export function setReach(there: boolean): void {
  if (there === reach.open > 0) return;
  reach.open = there ? 1 + Math.abs(reach.open) : -Math.abs(reach.open);
  for (const watcher of reach.watchers) watcher();
}

function useReach(): number {
  const [open, setOpen] = useState(reach.open);
  useEffect(() => {
    const watcher = () => setOpen(reach.open);
    watcher();
    reach.watchers.add(watcher);
    return () => void reach.watchers.delete(watcher);
  }, []);
  return open;
}

/** `every_s` 0: once. An empty path asks nothing. */
export function useAsked<T>(path: string, every_s: number): Asked<T> {
  const [held, setHeld] = useState<{ data: T | null; of: string }>({ data: null, of: "" });
  const [failure, setFailure] = useState<Failure | null>(null);
  const [round, setRound] = useState(0);
  const open = useReach();
  useEffect(() => {
    if (path === "" || open <= 0) return;
    const abort = new AbortController();
    let timer: number | undefined;
    const ask = async (): Promise<void> => {
      try {
        const answer = await get<T>(path, abort.signal);
        if (abort.signal.aborted) return;
        setHeld({ data: answer, of: path });
        setFailure(null);
      } catch (why) {
        if (abort.signal.aborted) return;
        setFailure(why instanceof Failure ? why : new Failure(0, String(why)));
      }
      if (every_s > 0) timer = window.setTimeout(() => void ask(), every_s * 1000);
    };
    void ask();
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [path, every_s, round, open]);
  useEffect(() => {
    if (path === "") setHeld({ data: null, of: "" });
  }, [path]);
  return { ...held, failure, refresh: useCallback(() => setRound((n) => n + 1), []) };
}
