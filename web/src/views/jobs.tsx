import { useState } from "preact/hooks";
import { type Job, type Queue, type Trace } from "../api";
import { Chart } from "../chart";
import { clock, count, plain, seconds, share } from "../format";
import { type Live, useLive } from "../live";
import { Empty, Problem, Table } from "../parts";
import type { Shown } from "../range";
import { useAsked } from "../use_asked";
import { Waterfall } from "../waterfall";

const EXAMPLE = `curl -H "Authorization: Bearer $(cat TOKEN_FILE)" -H "Content-Type: application/json" \\
     -d '{"workload": "pkg", "request": {"package.json": "{...}"}}' ${location.origin}/v1/jobs`;

function RunningJobs(props: { live: Live }) {
  useLive(props.live);
  const running = [...props.live.jobs.values()].filter((job) => job.state === "running" || job.state === "queued").reverse();
  if (running.length === 0) return null;
  return (
    <section class="card">
      <Table caption="At work now" rows={running} row_key={(job) => job.id} columns={[
        { head: "Job", cell: (job) => job.id },
        { head: "Workload", cell: (job) => job.workload },
        { head: "Class", cell: (job) => job.class },
        { head: "State", cell: (job) => job.state },
        { head: "Stage", cell: (job) => plain(job.stage) },
        { head: "Progress", cell: (job) => job.progress === null ? "–" : <progress max={1} value={job.progress} aria-label={`Progress of ${job.id}`}>{share(job.progress)}</progress> },
        { head: "Since", right: true, cell: (job) => seconds(job.elapsed_s) },
      ]} />
    </section>
  );
}

export function Jobs(props: { live: Live; shown: Shown }) {
  const { shown } = props;
  const [picked, setPicked] = useState<string | null>(null);
  const jobs = useAsked<{ jobs: Job[] }>("/v1/jobs?limit=50", 3);
  const queue = useAsked<Queue>("/v1/queue", 3);
  const rows = jobs.data?.jobs ?? [];
  const chosen = picked ?? rows.find((job) => job.ended_t !== null)?.id ?? null;
  const trace = useAsked<Trace>(chosen === null ? "" : `/v1/traces/${encodeURIComponent(chosen)}`, 0);
  return (
    <>
      <Problem failure={jobs.failure} />
      <RunningJobs live={props.live} />
      {jobs.data !== null && rows.length === 0 && (
        <Empty title="No job was given to this node yet">
          <p>Hand it one. TOKEN_FILE is shown when the node starts:</p>
          <pre>{EXAMPLE}</pre>
        </Empty>
      )}
      {rows.length > 0 && (
        <section class="card">
          <Table caption="Recent jobs" rows={rows} row_key={(job) => job.id} picked={chosen ?? ""} onPick={(job) => setPicked(job.id)} columns={[
            { head: "Job", cell: (job) => job.id },
            { head: "Workload", cell: (job) => job.workload },
            { head: "State", cell: (job) => job.state },
            { head: "Class", cell: (job) => job.class },
            { head: "Began", cell: (job) => clock(job.started_t) },
            { head: "Took", right: true, cell: (job) => seconds(job.elapsed_s) },
            { head: "Answered by", cell: (job) => job.answered_by ?? "computing" },
          ]} />
        </section>
      )}
      {trace.data !== null && chosen !== null && <section class="card"><Waterfall trace={trace.data} /></section>}
      {queue.data !== null && (
        <div class="grid2">
          <section class="card">
            <Table caption="Queue by class" rows={queue.data.classes} row_key={(row) => row.name} columns={[
              { head: "Class", cell: (row) => row.name },
              { head: "Waiting", right: true, cell: (row) => count(row.depth) },
              { head: "Running", right: true, cell: (row) => count(row.running) },
              { head: "Wait p50", right: true, cell: (row) => seconds(row.wait_p50_s) },
              { head: "Wait p95", right: true, cell: (row) => seconds(row.wait_p95_s) },
            ]} />
          </section>
          <section class="card">
            <Table caption="Shares of workloads" rows={queue.data.workloads} row_key={(row) => row.name} columns={[
              { head: "Workload", cell: (row) => row.name },
              { head: "Weight", right: true, cell: (row) => count(row.weight) },
              { head: "Share given", right: true, cell: (row) => share(row.share) },
              { head: "Running", right: true, cell: (row) => count(row.running) },
              { head: "At most", right: true, cell: (row) => row.quota === null || row.quota === 0 ? "no limit" : count(row.quota) },
            ]} />
          </section>
        </div>
      )}
      <Chart title="Jobs" x={shown.t} format={count} lines={shown.lines({ running: "jobs_running", queued: "jobs_queued" })} />
    </>
  );
}
