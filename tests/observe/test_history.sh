#!/bin/sh
# `brisk history`: jobs are kept and listed, shown, exported, pruned; opportunities; bad databases.
# shellcheck disable=SC2034 # $called is for lib.sh
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
database="$XDG_DATA_HOME/brisk/history.sqlite3"

# Nothing was kept: that is no error, and nothing is made.
run history list
expect_status 0; expect_err ""; expect_out_like "no runs are kept yet: a job (*"
run history list benchmarks --json
expect_status 0; expect_json "d['schema'] == 1 and d['benchmarks'] == [] and 'bench' in d['hint']"
run history opportunities
expect_status 0; expect_out_like "no opportunities are kept yet: some follow from five runs*"
run history export
expect_status 0; expect_json "d['runs'] == [] and d['stages'] == [] and d['opportunities'] == []"
run history prune --keep 1
expect_status 0; expect_out_like "0 rows removed*"
run history show 1
expect_status 1; expect_err_like "brisk: history: no row 1 in runs; *"
run history dismiss k
expect_status 1; expect_err_like "brisk: history: no opportunity 'k'; *"
[ ! -e "$XDG_DATA_HOME" ] || fail "something was made"
run history list --file nowhere
expect_status 1; expect_err "brisk: nowhere: No such file or directory"

# Usage.
run history
expect_status 2
run history list foo
expect_status 2
expect_err "brisk: history: there are runs, benchmarks, alerts and opportunities, but no 'foo'"
run history list --since soon
expect_status 2; expect_err_like "brisk: history: --since takes *, not 'soon'"
run history list --name x
expect_status 2; expect_err_like "brisk: history: runs are filtered by --workload*"
run history list alerts --workload x
expect_status 2
run history show x
expect_status 2; expect_err_like "brisk: history: a row's number*"
run history show 1 --kind x
expect_status 2
run history export --format xml
expect_status 2
run history prune
expect_status 2; expect_err_like "brisk: history: say what to forget*"
run history prune --keep 0
expect_status 2

# Jobs are kept, unless the knob is off.
head -c 65536 /dev/zero >game.sfc
printf 'PATCH\000\001\000\000\004abcdEOF' >hack.ips
BRISK_HISTORY_RUNS=off "$BRISK" rom apply game.sfc hack.ips -o out.sfc -q >/dev/null || fail apply
[ ! -e "$database-spool" ] || fail "a run was kept although history.runs is off"
for _ in 1 2 3 4 5 6; do
    run rom apply game.sfc hack.ips -o out.sfc --set cache.memory.bytes=64MiB --no-cache
    expect_status 0
done
run rom apply game.sfc hack.ips -o out.sfc
run rom apply game.sfc hack.ips -o out.sfc
run rom apply game.sfc none.ips -o out.sfc
expect_status 1
[ ! -e "$database" ] || fail "a job opened the database"
printf '{"v":1, hostile\n' >>"$database-spool"
run history list --json
expect_status 0; expect_err ""
expect_json "len(d['runs']) == 9 and all(r['workload'] == 'rom' for r in d['runs'])"
expect_json "d['runs'][0]['outcome'] == 'BRISK_ERR_NOT_FOUND' and d['runs'][1]['answered_by'] == 'disk'"
expect_json "d['runs'][8]['command'] == 'rom apply game.sfc hack.ips -o out.sfc --no-cache'"
expect_json "d['runs'][1]['id'] == 8 and d['runs'][1]['duration_ns'] > 0 and d['runs'][1]['machine'] != ''"
run history list
expect_out_like "    id  when (UTC)  *     9  20*NOT_FOUND  -         rom apply game.sfc none.ips -o out.sfc
     8  20*  rom         ok         disk      rom apply *"
run history list --limit 2 --since 1h --json
expect_json "[r['id'] for r in d['runs']] == [9, 8]"
run history list run --workload pkg
expect_status 0; expect_out "no runs match"
run history list --until 2020-01-01
expect_out "no runs match"
run history list --since 2020-01-01T10:00 --limit 0 --json
expect_json "len(d['runs']) == 9"
run history show 1
expect_status 0
expect_out_like "*rom apply*machine: *stage *took *rom_patching *computed *[*]|*#*|*file_writing*"
run history show 8 --json
expect_json "d['runs'][0]['id'] == 8 and [s['outcome'] for s in d['stages']][1] == 'answered'"
expect_json "all(s['run'] == 8 for s in d['stages']) and d['stages'][1]['after'] == 'rom_loading'"

# Export.
run history export
expect_json "len(d['runs']) == 9 and len(d['stages']) > 40 and d['machine'] == d['runs'][0]['machine']"
run history export --format csv --kind runs
expect_out_like "table,id,wall_ns,*
runs,1,*
*stages,1,rom_loading,*"
printf '%s' "$out" | python3 -c "
import csv, sys
rows = [r for r in csv.reader(sys.stdin) if r]
sys.exit(not (len({len(r) for r in rows if r[0] == 'runs'}) == 1 and rows[1][0] == 'runs'))" ||
    fail "the CSV has rows of different lengths"

# Opportunities: a stage that waits and one that is computed again, from made-up runs.
python3 - "$database-spool" <<'END'
import json, sys
with open(sys.argv[1], "a") as f:
    for i in range(12):
        stages = [["load", "", 0, 1000000, 0, 0, 0, 1, "computed"],
                  ["crunch", "load", 3000000, 6000000, 2000000, 0, 1, 1, "computed"],
                  ["aside", "load", 1000000, 100000, 0, 0, 0, 0, "computed"]]
        f.write(json.dumps({"v": 1, "wall_ns": 1700000000000000000 + i, "duration_ns": 10000000,
                            "workload": "made", "command": "same", "outcome": "ok",
                            "answered_by": "", "bytes": 0, "stages": stages},
                           separators=(",", ":")) + "\n")
END
run history opportunities --json --limit 0
expect_status 0
expect_json "{o['key'] for o in d['opportunities'] if o['subject'] == 'made'} >= {'stage:made:crunch:cache', 'stage:made:crunch:workers'}"
expect_json "not any(':aside:' in o['key'] for o in d['opportunities'])"
run history list opportunities --name stage:made:crunch:cache --json
expect_json "abs(d['opportunities'][0]['gain'] - 0.6 * 11 / 12) < 1e-9 and d['opportunities'][0]['evidence']['repeats'] == 11"
expect_json "d['opportunities'][0]['gain_low'] < d['opportunities'][0]['gain'] and d['opportunities'][0]['state'] == 'open'"
run history list opportunities --name stage:made:crunch:workers --json
expect_json "abs(d['opportunities'][0]['gain'] - 0.2) < 1e-9"
run history dismiss stage:made:crunch:cache
expect_status 0; expect_out "stage:made:crunch:cache: dismissed"
run history list opportunities --state open --json
expect_json "'stage:made:crunch:cache' not in [o['key'] for o in d['opportunities']]"
run history reopen stage:made:crunch:cache
run history apply stage:made:crunch:cache
expect_out "stage:made:crunch:cache: applied"
run history opportunities --name stage:made:crunch:cache
expect_out_like "*priority*high*55 %*applied*stage:made:crunch:cache*computed stage crunch 11 of 12*"

# A recording of a cache whose memory is too small: 4000 keys in turn, room for 1000.
python3 -c "
for _ in range(10):
    for k in range(4000): print(k)" >trace.txt
run history opportunities --recording trace.txt --set cache.memory.entries=1000 --name cache:memory:size --json
expect_status 0
expect_json "d['opportunities'][0]['evidence']['hit_rate'] < 0.05 and d['opportunities'][0]['evidence']['entries'] == 1000"
expect_json "3900 <= d['opportunities'][0]['evidence']['entries_wanted'] <= 4900"
expect_json "0.8 < d['opportunities'][0]['gain'] < 0.95 and d['opportunities'][0]['source'] == 'cache'"
expect_json "d['opportunities'][0]['gain_low'] <= d['opportunities'][0]['gain'] <= d['opportunities'][0]['gain_high']"
run history opportunities --recording trace.txt --set cache.memory.entries=5000 --name cache:memory:size --json
expect_status 0; expect_json "d['opportunities'][0]['state'] == 'gone'"
run history opportunities --recording none.txt
expect_status 1; expect_err_like "brisk: none.txt: *No such file*"

# Prune.
run history prune --older-than 1d --json
expect_status 0; expect_json "d['removed'] == 12 and d['bytes_before'] > 0"
run history prune --keep 2 --compact
expect_status 0; expect_out_like "* rows removed; * KiB before, * KiB now"
run history list --json
expect_json "[r['id'] for r in d['runs']] == [9, 8]"
run history opportunities --state gone --json
expect_status 0

# Bad databases: said, and left as they are.
chmod 0400 "$database"
run history list --json
expect_status 0; expect_json "len(d['runs']) == 2"
chmod 0600 "$database"
python3 - "$database" <<'END' &
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
open("locked", "w").close()
time.sleep(3)
END
while [ ! -e locked ]; do sleep 0.05; done
run history list --json # a reader does not wait for a writer
expect_status 0; expect_json "len(d['runs']) == 2"
wait
printf 'no database at all, but long enough to be looked at as one ............' >"$work/foreign"
run history list --file "$work/foreign"
expect_status 1; expect_err_like "brisk: $work/foreign: opening: *move it away*"
[ "$(head -c 11 "$work/foreign")" = "no database" ] || fail "a foreign file was changed"
dd if=/dev/zero of="$database" bs=1024 seek=1 count=8 conv=notrunc 2>/dev/null
run history list
expect_status 1; expect_err_like "brisk: $database: *move it away*"
run history list --json
expect_status 1; expect_json "d['error']['code'] == 'FAILED'"
finish
