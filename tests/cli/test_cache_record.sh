#!/bin/sh
# `brisk cache record`: what a command asks for is in the file; the command is not disturbed.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run cache set one first
run cache record -o a.rec --keys -- "$BRISK" cache get one
expect_status 0; expect_out "first"; expect_err "brisk: recorded 1 request in 'a.rec', lost 0"
run cache record -o a.rec --keys -- "$BRISK" cache get none
expect_status 1; expect_out ""
expect_err "brisk: no entry 'none'
brisk: recorded 1 request in 'a.rec', lost 0"
run cache record --print a.rec
expect_status 0
expect_out_like "* 5 *.* hit 1 cli:one
* 0 *.* miss - cli:none"
run cache record --print a.rec --json
expect_status 0
expect_json "d['records'] == 2 and d['hits'] == 1 and d['keys'] and not d['torn']"
[ "$(stat -c %a a.rec)" = 600 ] || fail "a recording is for its owner only"

# Without keys: hashes only, and nothing to warm from.
run -q cache record -o b.rec -- "$BRISK" cache get one
expect_status 0; expect_err ""
run cache record --print b.rec
expect_status 0; expect_out_like "* 5 *.* hit 1"
case "$out" in *cli:one*) fail "the key is in it" ;; esac
run cache warm --from-record b.rec
expect_status 1
expect_err "brisk: b.rec: has hashes only; record with --keys to warm from it"
run cache warm --from-record a.rec
expect_status 0; expect_out_like "2 keys: 0 loaded, 1 present, 1 without entry, 0 failed; *"

# A command that changes its folder, several at once, words with dashes, its own exit code.
mkdir sub
run -q cache record -o c.rec -- sh -c "cd sub; for i in 1 2 3 4; do '$BRISK' cache get one & done; wait"
expect_status 0; expect_out "firstfirstfirstfirst"
[ ! -e sub/c.rec ] || fail "recorded into the wrong folder"
run cache record --print c.rec --json
expect_json "d['records'] == 4 and d['hits'] == 4 and d['damaged'] == 0"
run -q cache record -o c.rec -- sh -c 'exit 7'
expect_status 7
run -q cache record -o c.rec -- sh -c 'kill -TERM $$'
expect_status 143
run -q cache record -o c.rec -- /nonexistent/program
expect_status 127; expect_err_like "brisk: cache record: '/nonexistent/program': No such file*"

# What was recorded can be analyzed as it is.
run -q cache record -o load.rec -- sh -c "for i in 1 2 3 1 2 3 1 2 3; do '$BRISK' cache get k\$i; done 2>/dev/null; true"
expect_status 0
run cache analyze load.rec --json
expect_status 0; expect_json "d['requests'] == 9 and d['keys'] == 3"
run cache analyze letter.txt --format recording
expect_status 1

# A server records; daemon/serve tests it with one.
run cache record --node "$work/none.sock" --start day.rec
expect_status 1; expect_err_like "brisk: nothing answers at $work/none.sock: No such file*brisk serve*"
for words in "--node a" "--stop --status" "--stop --keys" "--start a -o b" "--stop word" "--status --json"; do
    # shellcheck disable=SC2086 # words on purpose
    run cache record $words
    expect_status 2
done

# Killed: what is there is whole.
# (ThreadSanitizer holds signals back while a program waits for its child.)
if ! grep -q __tsan_init "$BRISK"; then
    "$BRISK" cache record -q -o d.rec -- sh -c "'$BRISK' cache get one; sleep 30" >/dev/null 2>&1 &
    pid=$!
    for _ in $(seq 200); do
        [ -s d.rec ] && [ "$(stat -c %s d.rec)" -gt 24 ] && break
        sleep 0.1
    done
    kill -TERM "$pid"
    status=0; wait "$pid" || status=$?
    called="record, told to stop"; out=''; err=''
    [ "$status" -eq 143 ] || fail "wanted exit code 143"
    run cache record --print d.rec --json
    expect_status 0; expect_json "d['records'] == 1"
fi

# A damaged block is left out, a cut one is told.
size=$(stat -c %s a.rec)
head -c $((size - 5)) a.rec >cut.rec
run cache record --print cut.rec
expect_status 0; expect_out_like "* hit 1 cli:one"; expect_err_like "*the last one is not whole"

# The knob, as a server or a program of one's own would set it.
run --set "cache.record.path=$work/e.rec" cache get one
expect_status 0
run cache record --print e.rec --json
expect_json "d['records'] == 1 and not d['keys']"
run --set cache.record.path=/nonexistent/e.rec cache get one
expect_status 0; expect_out "first"; expect_err_like "*nothing is recorded: /nonexistent/e.rec: *"

# What is no recording is not touched.
echo "my letter" >letter
run cache record -o letter -- "$BRISK" cache get one
expect_status 1; expect_out ""; expect_err "brisk: letter: is there, and is no recording; not touched"
[ "$(cat letter)" = "my letter" ] || fail "the letter was touched"
run cache record --print letter
expect_status 1; expect_err "brisk: letter: no recording of a cache"
run cache record --print /nonexistent
expect_status 1; [ -n "$err" ] || fail "wanted words"
run cache record -o /nonexistent/a.rec -- true
expect_status 1; expect_err_like "brisk: /nonexistent/a.rec: *"
run cache record -o . -- true
expect_status 1
run cache record -o /dev/full -- true
expect_status 1; expect_err "brisk: /dev/full: not a regular file"
status=0; "$BRISK" cache record --print a.rec >/dev/full 2>.err || status=$?
called="record --print >/dev/full"; expect_status 1
run cache record -o a.rec
expect_status 2
run cache record -- true
expect_status 2
run cache record --print a.rec -o b.rec -- true
expect_status 2

finish
