import { useEffect, useState } from "preact/hooks";
import { type Job, type Queue, type ReportRow, type Run, type RunStage } from "../api";
import { Chart } from "../chart";
import { clock, count, day, rate, seconds, share } from "../format";
import { type Live, useLive } from "../live";
import { Empty, Level, Problem, Table } from "../parts";
import type { Shown } from "../range";
import { useAsked } from "../use_asked";
import { Waterfall } from "../waterfall";

const EXAMPLE = `curl -H "Authorization: Bearer $(cat TOKEN_FILE)" -H "Content-Type: application/json" \\
     -d '{"workload": "rom", "request": {"rom": {"base64": "MDEyMw=="}}}' ${location.origin}/v1/jobs`;

const NS = 1e9;

/** Done stages, and the part of the one that runs. */
function Progress(props: { job: Job }) {
  const stages = props.job.stages ?? [];
  if (props.job.position !== undefined) return <>{props.job.position} before it</>;
  if (stages.length === 0) return <>–</>;
  const part = (stage: (typeof stages)[number]) => stage.state === "done" ? 1 : stage.items ? (stage.items_done ?? 0) / stage.items : 0;
  const value = stages.reduce((sum, stage) => sum + part(stage), 0) / stages.length;
  const runs = stages.filter((stage) => stage.state === "running").map((stage) => stage.stage).join(", ");
  return <><progress max={1} value={value} aria-label={`Progress of ${props.job.id}`} /> {runs}</>;
}

function Recent(props: { rows: Job[]; picked: string; onPick: (job: Job) => void }) {
  return (
    <section class="card">
      <Table tall caption="Jobs of this node" rows={props.rows} row_key={(job) => job.id} picked={props.picked} onPick={props.onPick} columns={[
        { head: "Job", cell: (job) => job.id },
        { head: "Workload", cell: (job) => job.workload },
        { head: "State", cell: (job) => <Level level={job.status} /> },
        { head: "Class", cell: (job) => job.class },
        { head: "Given", cell: (job) => clock(job.created_ms / 1000) },
        { head: "Waited", right: true, cell: (job) => seconds(job.wait_ns / NS) },
        { head: "Ran", right: true, cell: (job) => seconds(job.run_ns / NS) },
        { head: "Progress", cell: (job) => job.status === "queued" || job.status === "running" ? <Progress job={job} /> : "" },
      ]} />
    </section>
  );
}

/** How one job went: stages over time, or why it failed. */
function One(props: { id: string; over: boolean }) {
  const job = useAsked<Job>(`/v1/jobs/${encodeURIComponent(props.id)}`, props.over ? 0 : 1);
  const { data } = job;
  if (data === null || data.id !== props.id) return <Problem failure={job.failure} />;
  const report = data.report;
  return (
    <section class="card" aria-label={`Job ${data.id}`}>
      {data.error && <p class="problem">{data.error.stage ? `${data.error.stage}: ` : ""}{data.error.message}</p>}
      {report && report.stages.length > 0 ? <Waterfall name={`job ${data.id}`} elapsed_s={report.elapsed_ns / NS} rows={report.stages} answered_by={data.answered_by ?? ""} />
        : props.over ? <p class="empty">This job did not run: there is nothing to draw.</p> : <p class="empty">It is drawn when the job is over.</p>}
    </section>
  );
}

function Shares(props: { queue: Queue }) {
  const { queue } = props;
  return (
    <div class="grid2">
      <section class="card">
        <Table caption={`Queue: ${count(queue.waiting)} of ${count(queue.waiting_max)} places taken`} rows={queue.classes} row_key={(row) => row.class} columns={[
          { head: "Class", cell: (row) => row.class },
          { head: "Waiting", right: true, cell: (row) => count(row.waiting) },
          { head: "Running", right: true, cell: (row) => count(row.running) },
          { head: "Wait p50", right: true, cell: (row) => seconds(row.wait_ns.p50 / NS) },
          { head: "Wait p95", right: true, cell: (row) => seconds(row.wait_ns.p95 / NS) },
          { head: "Share", right: true, cell: (row) => share(row.share) },
        ]} />
      </section>
      <section class="card">
        {queue.workloads.length === 0 ? <><h3>Workloads: {count(queue.running)} of {count(queue.running_max)} slots run</h3><p class="empty">None had a job yet: shares are shown here once one had.</p></> : <Table caption={`Workloads: ${count(queue.running)} of ${count(queue.running_max)} slots run`} rows={queue.workloads} row_key={(row) => row.workload} columns={[
          { head: "Workload", cell: (row) => row.workload },
          { head: "Weight", right: true, cell: (row) => count(row.weight) },
          { head: "Share", right: true, cell: (row) => share(row.share) },
          { head: "Promised", right: true, cell: (row) => share(row.share_configured) },
          { head: "Running", right: true, cell: (row) => count(row.running) },
          { head: "At most", right: true, cell: (row) => row.quota === 0 ? "no limit" : count(row.quota) },
          { head: "Done", right: true, cell: (row) => count(row.done) },
        ]} />}
      </section>
    </div>
  );
}

/** How one run of the history went. */
function RunStages(props: { run: Run }) {
  const { run } = props;
  const asked = useAsked<{ stages: RunStage[] }>(`/v1/runs/${run.id}`, 0);
  if (asked.data === null) return <Problem failure={asked.failure} />;
  const rows = asked.data.stages.map((stage): ReportRow => ({
    stage: stage.name, start_ns: stage.start_ns, ns: stage.duration_ns, wait_ns: stage.wait_ns, share: 0, critical: stage.critical, how: stage.outcome,
    tier: run.answered_by, worker: stage.worker, note: "", after: stage.after === "" ? [] : stage.after.split(","),
  }));
  if (rows.length === 0) return <p class="empty">No stages were kept of this run.</p>;
  return <Waterfall name={`run ${run.id} (${run.workload})`} elapsed_s={run.duration_ns / NS} rows={rows} answered_by={run.answered_by} />;
}

/** Runs that the history has, of all processes of this user. */
function History(props: { shown: Shown }) {
  const [since, setSince] = useState(0);
  const [picked, setPicked] = useState(0);
  const { range } = props.shown;
  useEffect(() => setSince(Math.floor(Date.now() / 1000) - range.length_s), [range]);
  const runs = useAsked<{ kept: boolean; runs: Run[] }>(since === 0 ? "" : `/v1/runs?limit=200&since=${since}`, 30);
  const rows = runs.data?.runs ?? [];
  const title = `Runs of jobs and commands that were kept, ${range.title.replace(", live", "")}`;
  const chosen = rows.find((run) => run.id === picked);
  return (
    <section class="card">
      {rows.length === 0 ? (
        <>
          <h3>{title}</h3>
          {runs.data !== null && <p class="empty">{runs.data.kept ? "None in this time: choose a longer one above, or run a job from the command line:" : "No history is kept here yet. Commands keep what their jobs took, unless history.runs is off:"}</p>}
          {runs.data !== null && <pre>brisk rom apply game.sfc mod.ips -o out.sfc</pre>}
        </>
      ) : (
        <Table tall caption={title} rows={rows} row_key={(run) => run.id} picked={picked} onPick={(run) => setPicked(run.id)} columns={[
          { head: "Run", cell: (run) => run.id },
          { head: "When", cell: (run) => day(run.time_s) },
          { head: "Workload", cell: (run) => run.workload },
          { head: "Outcome", cell: (run) => <Level level={run.outcome === "ok" ? "ok" : "failed"} title={run.outcome} /> },
          { head: "Took", right: true, cell: (run) => seconds(run.duration_ns / NS) },
          { head: "Answered by", cell: (run) => run.answered_by || "computing" },
        ]} />
      )}
      {chosen !== undefined && <RunStages key={chosen.id} run={chosen} />}
      <Problem failure={runs.failure} />
    </section>
  );
}

export function Jobs(props: { live: Live; shown: Shown }) {
  const { live, shown } = props;
  useLive(live);
  const [picked, setPicked] = useState<string | null>(null);
  const jobs = useAsked<{ jobs: Job[] }>("/v1/jobs?limit=50", 2);
  const queue = useAsked<Queue>("/v1/queue", 2);
  useEffect(() => { if (live.jobs > 0) jobs.refresh(); }, [live.jobs]);
  const rows = jobs.data?.jobs ?? [];
  const isOver = (job: Job) => job.status !== "queued" && job.status !== "running";
  const chosen = rows.find((job) => job.id === picked) ?? rows.find(isOver);
  return (
    <>
      <Problem failure={jobs.failure} />
      {jobs.data !== null && rows.length === 0 && (
        <Empty title="No job was given to this node yet">
          <p>Hand it one. TOKEN_FILE is shown when the node starts:</p>
          <pre>{EXAMPLE}</pre>
        </Empty>
      )}
      {rows.length > 0 && <Recent rows={rows} picked={chosen?.id ?? ""} onPick={(job) => setPicked(job.id)} />}
      {chosen !== undefined && <One key={chosen.id} id={chosen.id} over={isOver(chosen)} />}
      {queue.data !== null && <Shares queue={queue.data} />}
      <Problem failure={queue.failure} />
      <div class="grid2">
        <Chart title="Jobs" x={shown.t} span_s={shown.range.length_s} format={rate} lines={shown.lines({ ended: "jobs_per_s" })} />
        <Chart title="Time of jobs" x={shown.t} span_s={shown.range.length_s} format={seconds} empty="No job ended in this time." lines={shown.lines({ p50: "job_p50_s", p95: "job_p95_s", p99: "job_p99_s" })} />
      </div>
      <History shown={shown} />
    </>
  );
}
