import { type Recommendation } from "../api";
import { plain, share } from "../format";
import { Empty, Problem } from "../parts";
import { useAsked } from "../use_asked";

export function Tune() {
  const asked = useAsked<{ recommendations: Recommendation[] }>("/v1/recommendations", 15);
  const rows = asked.data?.recommendations ?? [];
  return (
    <>
      <Problem failure={asked.failure} />
      {asked.data !== null && rows.length === 0 && (
        <Empty title="Nothing to recommend">
          <p>Recommendations come from what was measured; they appear after some minutes of traffic.</p>
        </Empty>
      )}
      <ul class="advice">
        {rows.map((row) => (
          <li key={row.id} class="card">
            <h3>{row.description}</h3>
            <dl class="figures small">
              <div class="figure"><dt>Estimated gain</dt><dd>{share(row.estimated_gain)}</dd></div>
              <div class="figure"><dt>Measured gain</dt><dd>{row.applied ? share(row.measured_gain) : "not applied"}</dd></div>
              <div class="figure"><dt>Confidence</dt><dd>{share(row.confidence)}</dd></div>
              <div class="figure"><dt>Effort</dt><dd>{plain(row.complexity)}</dd></div>
              <div class="figure"><dt>Priority</dt><dd>{plain(row.priority)}</dd></div>
            </dl>
            {row.knobs.length > 0 && <pre>{row.knobs.map((knob) => `${knob.name}: ${knob.from} → ${knob.to}`).join("\n")}</pre>}
          </li>
        ))}
      </ul>
    </>
  );
}
