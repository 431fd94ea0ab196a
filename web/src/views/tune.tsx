import { type Opportunity } from "../api";
import { plain, share } from "../format";
import { Empty, Level, Problem } from "../parts";
import { useAsked } from "../use_asked";

const ORDER = ["open", "applied", "dismissed"];

function band(row: Opportunity): string {
  return row.estimated_low === null || row.estimated_high === null ? "" : `${share(row.estimated_low)} to ${share(row.estimated_high)}`;
}

function measured(row: Opportunity): string {
  if (row.state !== "applied") return "–";
  return row.measured_gain === null ? "too few runs yet" : share(row.measured_gain);
}

/** From nothing to all of the time: what was promised as a bar, what came of it as a mark. */
function Gain(props: { row: Opportunity }) {
  const { estimated_gain, estimated_low, estimated_high, measured_gain, state } = props.row;
  if (estimated_gain === null) return null;
  const x = (value: number): string => `${(Math.min(1, Math.max(0, value)) * 100).toFixed(1)}%`;
  const low = estimated_low ?? estimated_gain;
  const high = estimated_high ?? estimated_gain;
  const got = state === "applied" ? measured_gain : null;
  return (
    <div class="gain" role="img" aria-label={`Of the time, ${share(estimated_gain)} was estimated${got === null ? "" : `, ${share(got)} measured`}`}>
      <span class="from" aria-hidden="true">0 %</span>
      <div class="track">
        <i class="guess" style={{ left: x(low), width: x(high - low) }} />
        <i class="middle" style={{ left: x(estimated_gain) }} />
        {got !== null && <i class="got" style={{ left: x(got) }} />}
      </div>
      <span class="from" aria-hidden="true">100 %</span>
    </div>
  );
}

function One(props: { row: Opportunity }) {
  const { row } = props;
  return (
    <li class="card" aria-label={row.key}>
      <h3>{row.description}</h3>
      <Gain row={row} />
      <dl class="figures small">
        <div class="figure"><dt>Estimated gain</dt><dd>{share(row.estimated_gain)}</dd><small>{band(row)}</small></div>
        <div class="figure"><dt>Measured gain</dt><dd>{measured(row)}</dd><small>{row.state === "applied" ? "runs before and after" : "once applied"}</small></div>
        <div class="figure"><dt>State</dt><dd><Level level={row.state} /></dd></div>
        <div class="figure"><dt>Priority</dt><dd>{plain(row.priority)}</dd></div>
        <div class="figure"><dt>Effort</dt><dd>{plain(row.complexity)}</dd></div>
        <div class="figure"><dt>Confidence</dt><dd>{share(row.confidence)}</dd></div>
        <div class="figure"><dt>Of</dt><dd>{plain(row.subject)}</dd><small>{plain(row.category)}</small></div>
      </dl>
      {row.state === "open" && <p class="foot">Taken? <code>brisk history apply {row.key}</code>. None? <code>brisk history dismiss {row.key}</code>.</p>}
    </li>
  );
}

export function Tune() {
  const asked = useAsked<{ kept: boolean; opportunities: Opportunity[] }>("/v1/opportunities?limit=100", 15);
  const rows = (asked.data?.opportunities ?? []).filter((row) => row.state !== "gone");
  rows.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (b.estimated_gain ?? 0) - (a.estimated_gain ?? 0));
  return (
    <>
      <Problem failure={asked.failure} />
      {asked.data !== null && rows.length === 0 && (
        <Empty title="Nothing to recommend">
          <p>{asked.data.kept ? "Opportunities come from what was measured and kept. Look for some:" : "Opportunities come from the history, and none is kept here yet. Run some jobs from the command line, and look:"}</p>
          <pre>brisk history opportunities</pre>
        </Empty>
      )}
      {rows.length > 0 && (
        <p class="keys"><span class="key guess">estimated, with its interval</span> <span class="key got">measured after it was applied</span></p>
      )}
      <ul class="advice">{rows.map((row) => <One key={row.key} row={row} />)}</ul>
    </>
  );
}
