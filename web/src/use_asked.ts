// An answer of the API, asked for again and again while a view is open.
import { useCallback, useEffect, useState } from "preact/hooks";
import { Failure, get } from "./api";

export interface Asked<T> {
  data: T | null;
  failure: Failure | null;
  refresh: () => void;
}

/** `every_s` 0: once. An empty path asks nothing. */
export function useAsked<T>(path: string, every_s: number): Asked<T> {
  const [data, setData] = useState<T | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === "") return;
    const abort = new AbortController();
    let timer: number | undefined;
    const ask = async (): Promise<void> => {
      try {
        setData(await get<T>(path, abort.signal));
        setFailure(null);
      } catch (why) {
        if (!abort.signal.aborted) setFailure(why instanceof Failure ? why : new Failure(0, String(why)));
      }
      if (every_s > 0 && !abort.signal.aborted) timer = window.setTimeout(() => void ask(), every_s * 1000);
    };
    void ask();
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [path, every_s, round]);
  return { data, failure, refresh: useCallback(() => setRound((n) => n + 1), []) };
}
