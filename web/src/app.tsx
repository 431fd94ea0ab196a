// The page: what it is about above, one view at a time below; the view stands in the address.
import { useEffect, useState } from "preact/hooks";
import { type Node, setToken, token } from "./api";
import { type Live, useLive } from "./live";
import { Level } from "./parts";
import { RANGES, type Range, useShown } from "./range";
import { toggleTheme, useTheme } from "./theme";
import { useAsked } from "./use_asked";
import { Benchmarks } from "./views/benchmarks";
import { Budgets } from "./views/budgets";
import { Cache } from "./views/cache";
import { Jobs } from "./views/jobs";
import { Overview } from "./views/overview";
import { Profiles } from "./views/profile";
import { System } from "./views/system";
import { Tune } from "./views/tune";

const VIEWS = [
  ["overview", "Overview"],
  ["cache", "Cache"],
  ["jobs", "Jobs"],
  ["system", "System"],
  ["budgets", "Budgets"],
  ["tune", "Opportunities"],
  ["benchmarks", "Benchmarks"],
  ["profile", "Profile"],
] as const;
type View = (typeof VIEWS)[number][0];

const LINKS = { connecting: "connecting", live: "live", lost: "connection lost, trying again", refused: "a token is needed" } as const;

function viewOf(hash: string): View {
  const name = hash.replace(/^#\/?/, "").split("?")[0];
  return VIEWS.find(([view]) => view === name)?.[0] ?? "overview";
}

function useView(): View {
  const [view, setView] = useState(viewOf(location.hash));
  useEffect(() => {
    const turn = () => setView(viewOf(location.hash));
    window.addEventListener("hashchange", turn);
    return () => window.removeEventListener("hashchange", turn);
  }, []);
  useEffect(() => {
    document.title = `brisk · ${VIEWS.find(([name]) => name === view)![1]}`;
  }, [view]);
  return view;
}

function TokenField(props: { live: Live }) {
  const [text, setText] = useState(token());
  return (
    <form class="token" onSubmit={(event) => { event.preventDefault(); setToken(text.trim()); props.live.restart(); }}>
      <label>token <input type="password" autocomplete="off" value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
      <button type="submit">use</button>
    </form>
  );
}

export function App(props: { live: Live }) {
  const { live } = props;
  const view = useView();
  const [range, setRange] = useState<Range>("15m");
  const shown = useShown(live, range);
  const node = useAsked<Node>("/v1/node", 2);
  const dark = useTheme();
  useLive(live);
  return (
    <>
      <a class="skip" href="#main">To the content</a>
      <header>
        <h1>brisk <small>{node.data?.name ?? ""}</small></h1>
        <p class={`link ${live.link}`} role="status">{LINKS[live.link]}</p>
        {node.data !== null && live.link === "live" && <Level level={node.data.health} />}
        <span class="space" />
        <label>time <select value={range} onChange={(event) => setRange(event.currentTarget.value as Range)}>
          {RANGES.map((name) => <option key={name} value={name}>{name === "15m" ? "last 15 min, live" : `last ${name}`}</option>)}
        </select></label>
        <TokenField live={live} />
        <button type="button" onClick={toggleTheme} aria-pressed={dark}>{dark ? "light" : "dark"}</button>
      </header>
      <nav aria-label="Views">
        {VIEWS.map(([name, title]) => <a key={name} href={`#/${name}`} aria-current={name === view ? "page" : undefined}>{title}</a>)}
      </nav>
      <main id="main" tabIndex={-1}>
        <h2>{VIEWS.find(([name]) => name === view)![1]}</h2>
        {view === "overview" && <Overview shown={shown} node={node.data} />}
        {view === "cache" && <Cache shown={shown} node={node.data} />}
        {view === "jobs" && <Jobs live={live} shown={shown} />}
        {view === "system" && <System shown={shown} node={node.data} />}
        {view === "budgets" && <Budgets live={live} />}
        {view === "tune" && <Tune />}
        {view === "benchmarks" && <Benchmarks />}
        {view === "profile" && <Profiles />}
      </main>
    </>
  );
}
