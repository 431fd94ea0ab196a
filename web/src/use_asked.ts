// An answer of the API, asked for again and again while a view is open and the node can be reached.
import { useCallback, useEffect, useState } from "preact/hooks";
import { Failure, get } from "./api";

export interface Asked<T> {
  data: T | null;
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
  const [data, setData] = useState<T | null>(null);
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
        setData(answer);
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
    if (path === "") setData(null);
  }, [path]);
  return { data, failure, refresh: useCallback(() => setRound((n) => n + 1), []) };
}
