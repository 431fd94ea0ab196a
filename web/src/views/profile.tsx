import { useState } from "preact/hooks";
import { type Profile, Failure, send } from "../api";
import { clock, count } from "../format";
import { Flame } from "../flame";
import { Empty, Problem } from "../parts";
import { useAsked } from "../use_asked";

export function Profiles() {
  const list = useAsked<{ profiles: Profile[] }>("/v1/profiles", 5);
  const [picked, setPicked] = useState("");
  const [other, setOther] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const rows = list.data?.profiles ?? [];
  const chosen = picked || rows[0]?.id || "";
  const profile = useAsked<Profile>(chosen === "" ? "" : `/v1/profiles/${encodeURIComponent(chosen)}`, 0);
  const before = useAsked<Profile>(other === "" ? "" : `/v1/profiles/${encodeURIComponent(other)}`, 0);
  const take = async (): Promise<void> => {
    setBusy(true);
    setFailure(null);
    try {
      const made = await send<{ id: string }>("POST", "/v1/profiles", { seconds: 5, hertz: 99 });
      setPicked(made.id);
      list.refresh();
    } catch (why) {
      setFailure(why instanceof Failure ? why : new Failure(0, String(why)));
    }
    setBusy(false);
  };
  const choices = rows.map((row) => <option key={row.id} value={row.id}>{clock(row.t)}, {row.seconds} s, {count(row.samples)} samples</option>);
  return (
    <>
      <div class="bar">
        <button type="button" onClick={() => void take()} disabled={busy}>{busy ? "Sampling…" : "Profile this node for 5 s"}</button>
        {rows.length > 0 && <label>show <select value={chosen} onChange={(event) => setPicked(event.currentTarget.value)}>{choices}</select></label>}
        {rows.length > 1 && <label>against <select value={other} onChange={(event) => setOther(event.currentTarget.value)}><option value="">nothing</option>{choices}</select></label>}
      </div>
      <Problem failure={failure ?? list.failure ?? profile.failure} />
      {list.data !== null && rows.length === 0 && !busy && (
        <Empty title="No profile was taken yet"><p>The button above samples the running node; it needs a token, since it costs the node some time.</p></Empty>
      )}
      {profile.data?.root && <section class="card"><Flame key={chosen + other} root={profile.data.root} before={other === "" ? undefined : before.data?.root} /></section>}
    </>
  );
}
