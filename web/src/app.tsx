// The page: what it is about above, one view at a time below; the view stands in the address.
import { useEffect, useState } from "preact/hooks";
import { type Node, setToken, token } from "./api";
import { type Live, useLive } from "./live";
import { Level } from "./parts";
import { RANGES, type Range, useShown } from "./range";
import { toggleTheme, useTheme } from "./theme";
import { setReach, useAsked } from "./use_asked";
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

/** Views that show a stretch of time: the others have nothing to choose. */
const TIMED: readonly View[] = ["overview", "cache", "jobs", "system"];

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

function TokenField(props: { live: Live; onDone?: () => void }) {
  const [text, setText] = useState(token());
  const use = (event: Event): void => {
    event.preventDefault();
    setToken(text.trim());
    props.live.restart();
    props.onDone?.();
  };
  return (
    <form class="token" onSubmit={use}>
      <label>token <input type="password" autocomplete="off" value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
      <button type="submit">use</button>
    </form>
  );
}

function TokenMenu(props: { live: Live }) {
  const [open, setOpen] = useState(false);
  return (
    <div class="menu" onKeyDown={(event) => { if (event.key === "Escape") setOpen(false); }}>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>{token() === "" ? "token" : "token ✓"}</button>
      {open && (
        <div class="card">
          <TokenField live={props.live} onDone={() => setOpen(false)} />
          <p class="foot">Whoever changes something needs a token. The node says at its start which file has it; it is kept for this tab only.</p>
        </div>
      )}
    </div>
  );
}

function Locked(props: { live: Live }) {
  return (
    <section class="card locked" aria-label="A token is needed">
      <h3>{token() === "" ? "This node shows its figures to who has a token" : "The node does not take this token"}</h3>
      <p>It stands in the file that <code>brisk serve</code> names when it starts, and in those of <code>serve.token_file</code>. It is kept for this tab only.</p>
      <TokenField live={props.live} />
    </section>
  );
}

export function App(props: { live: Live }) {
  const { live } = props;
  const view = useView();
  const [range, setRange] = useState<Range>(RANGES[0]);
  const shown = useShown(live, range);
  const node = useAsked<Node>("/v1/node", 2);
  const dark = useTheme();
  useLive(live);
  useEffect(() => setReach(live.link === "live"), [live.link]);
  const title = VIEWS.find(([name]) => name === view)![1];
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header>
        <h1>brisk <small>{node.data?.name ?? ""}</small></h1>
        <p class={`link ${live.link}`} role="status"><span aria-hidden="true">{live.link === "live" ? "●" : live.link === "connecting" ? "○" : "✖"}</span> {LINKS[live.link]}</p>
        {node.data !== null && live.link === "live" && <Level level={node.data.health} title={node.data.problems.join("; ")} />}
        <span class="space" />
        {TIMED.includes(view) && <label>time <select value={range.name} onChange={(event) => setRange(RANGES.find((one) => one.name === event.currentTarget.value)!)}>
          {RANGES.map((one) => <option key={one.name} value={one.name}>{one.title}</option>)}
        </select></label>}
        <TokenMenu live={live} />
        <button type="button" onClick={toggleTheme} aria-label={dark ? "light colours" : "dark colours"}>{dark ? "light" : "dark"}</button>
      </header>
      <nav aria-label="Views">
        {VIEWS.map(([name, text]) => <a key={name} href={`#/${name}`} aria-current={name === view ? "page" : undefined}>{text}</a>)}
      </nav>
      <main id="main" tabIndex={-1} class={live.link === "lost" ? "stale" : ""}>
        <h2>{title}</h2>
        {live.link === "refused" ? <Locked live={live} /> : (
          <>
            {view === "overview" && <Overview shown={shown} node={node.data} />}
            {view === "cache" && <Cache live={live} shown={shown} node={node.data} />}
            {view === "jobs" && <Jobs live={live} shown={shown} />}
            {view === "system" && <System shown={shown} node={node.data} />}
            {view === "budgets" && <Budgets live={live} />}
            {view === "tune" && <Tune />}
            {view === "benchmarks" && <Benchmarks />}
            {view === "profile" && <Profiles />}
          </>
        )}
      </main>
    </>
  );
}
