import { type Opportunity } from "../api";
import { plain, share } from "../format";
import { Empty, Problem } from "../parts";
import { useAsked } from "../use_asked";

function estimate(row: Opportunity): string {
  const band = row.estimated_low !== null && row.estimated_high !== null ? ` (${share(row.estimated_low)} to ${share(row.estimated_high)})` : "";
  return share(row.estimated_gain) + band;
}

function measured(row: Opportunity): string {
  if (row.state !== "applied") return "not applied";
  return row.measured_gain === null ? "too few runs yet" : share(row.measured_gain);
}

export function Tune() {
  const asked = useAsked<{ kept: boolean; opportunities: Opportunity[] }>("/v1/opportunities?limit=100", 15);
  const rows = (asked.data?.opportunities ?? []).filter((row) => row.state !== "gone");
  return (
    <>
      <Problem failure={asked.failure} />
      {asked.data !== null && rows.length === 0 && (
        <Empty title="Nothing to recommend">
          <p>{asked.data.kept ? "Opportunities come from what was measured and kept. Look for some:" : "Opportunities come from the history, and none is kept here yet. Run some jobs from the command line, and look:"}</p>
          <pre>brisk history opportunities</pre>
        </Empty>
      )}
      <ul class="advice">
        {rows.map((row) => (
          <li key={row.key} class="card">
            <h3>{row.description}</h3>
            <dl class="figures small">
              <div class="figure"><dt>Estimated gain</dt><dd>{estimate(row)}</dd></div>
              <div class="figure"><dt>Measured gain</dt><dd>{measured(row)}</dd></div>
              <div class="figure"><dt>Confidence</dt><dd>{share(row.confidence)}</dd></div>
              <div class="figure"><dt>Effort</dt><dd>{plain(row.complexity)}</dd></div>
              <div class="figure"><dt>Priority</dt><dd>{plain(row.priority)}</dd></div>
              <div class="figure"><dt>Subject</dt><dd>{plain(row.subject)}</dd></div>
            </dl>
          </li>
        ))}
      </ul>
    </>
  );
}
