import { useEffect, useState } from "preact/hooks";
import { type Profile, Failure, send, token } from "../api";
import { clock } from "../format";
import { Flame } from "../flame";
import { Empty, Problem } from "../parts";
import { useAsked } from "../use_asked";

const SECONDS = 5;

export function Profiles() {
  const list = useAsked<{ profiles: Profile[] }>("/v1/profiles", 1);
  const [picked, setPicked] = useState(0);
  const [other, setOther] = useState(0);
  const [asking, setAsking] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const all = list.data?.profiles ?? [];
  const rows = all.filter((row) => row.state === "done");
  const running = all.find((row) => row.state === "running");
  const chosen = rows.find((row) => row.id === picked)?.id ?? rows[0]?.id ?? 0;
  const against = other !== 0 && other !== chosen ? `?against=${other}` : "";
  const path = chosen === 0 ? "" : `/v1/profiles/${chosen}${against}`;
  const profile = useAsked<Profile>(path, 0);
  const failed = all[0]?.state === "failed" ? all[0] : undefined;
  useEffect(() => { if (!running) setPicked(0); }, [running?.id]);
  const take = async (): Promise<void> => {
    setAsking(true);
    setFailure(null);
    try {
      await send<Profile>("POST", "/v1/profiles", { seconds: SECONDS, hertz: 99 });
      list.refresh();
    } catch (why) {
      setFailure(why instanceof Failure ? why : new Failure(0, String(why)));
    }
    setAsking(false);
  };
  const busy = asking || running !== undefined;
  const choices = rows.map((row) => <option key={row.id} value={row.id}>{clock(row.time_s)}, {row.seconds} s</option>);
  const { data } = profile;
  return (
    <>
      <div class="bar">
        <button type="button" onClick={() => void take()} disabled={busy || token() === ""}>{busy ? "Sampling…" : `Profile this node for ${SECONDS} s`}</button>
        {rows.length > 0 && <label>show <select value={chosen} onChange={(event) => setPicked(Number(event.currentTarget.value))}>{choices}</select></label>}
        {rows.length > 1 && <label>against <select value={other} onChange={(event) => setOther(Number(event.currentTarget.value))}><option value={0}>nothing</option>{choices}</select></label>}
        {against !== "" && <button type="button" onClick={() => { setPicked(other); setOther(chosen); }}>swap</button>}
        {token() === "" && <small class="foot">A profile costs the node some time, so that it needs a token: give it above.</small>}
      </div>
      <Problem failure={failure ?? list.failure ?? profile.failure} />
      {failed && <p class="problem" role="alert">The last profile failed: {failed.why}</p>}
      {list.data !== null && rows.length === 0 && !busy && !failed && (
        <Empty title="No profile was taken yet"><p>The button above samples the running node and draws where its time goes. With two of them, the difference is drawn.</p></Empty>
      )}
      {data?.tree && profile.of === path && <section class="card"><Flame key={path} root={data.tree} total={data.total ?? 0} totalBefore={against === "" ? null : data.total_before ?? 0} /></section>}
    </>
  );
}
