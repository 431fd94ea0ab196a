#!/bin/sh
# `brisk cache analyze`: formats, figures that are known, refusals.
# shellcheck disable=SC2016 # sizes of the Redis protocol, not variables
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# A loop over 100 keys: LRU misses always below 100 entries, LIRS keeps what fits.
awk 'BEGIN { for (i = 0; i < 5000; i++) print i % 100 }' >"$work/loop"
run --quiet cache analyze "$work/loop"
expect_status 0; expect_err ""
expect_out_like "5000 requests of 100 keys (lirs)*"
expect_out_like "*
entries          1       1       2       5      10      20      40      70
of keys      0.5 %   1.0 %   2.0 %   5.0 %  10.0 %  20.0 %  40.0 %  70.0 %
lru         100.00  100.00  100.00  100.00  100.00  100.00  100.00  100.00
*"
expect_out_like "*miss ratio (\* best policy, . lru)*"
expect_out_like "*recommended: 9[0-9] entries with l*, hit rate 94.* %*"
run --quiet cache analyze --json "$work/loop"
expect_status 0
expect_json "d['schema'] == 1 and d['requests'] == 5000 and d['keys'] == 100"
expect_json "d['reachable'] and d['hit_rate_target'] == 0.94 and d['best_hit_rate'] == 0.98"
expect_json "d['sizes'][5]['entries'] == 20 and d['sizes'][5]['lru'] == 1"
expect_json "0.80 < d['sizes'][5]['lirs'] < 0.83 and d['sizes'][5]['auto'] < 0.84"
expect_json "90 <= d['recommended']['entries'] <= 100"

# More is wanted than there can be.
run --quiet cache analyze --hit-rate-target 0.99 "$work/loop"
expect_status 0
expect_out_like "*target 99 % unreachable; best 98 % at any size; knee * % at * entries with *"

# Keys with sizes, compressed; evictions, prediction, a drawing.
awk 'BEGIN { for (i = 0; i < 4000; i++) print "user:" (i * 7 % 50), 1000 }' >"$work/plain"
zstd -q "$work/plain" -o "$work/plain.zst"
run --quiet cache analyze "$work/plain.zst" --eviction-analysis --prediction-accuracy --svg "$work/a.svg"
expect_status 0
expect_out_like "4000 requests of 50 keys (plain)*KiB of values)*"
expect_out_like "*evictions with * entries, of 100 requests*0.0 % of the keys are asked for once*"
expect_out_like "*prediction: * guesses, * right*"
grep -q "</svg>" "$work/a.svg" || fail "a whole drawing"
run --quiet cache analyze --format arc "$work/loop"
expect_status 1; expect_err_like "brisk: $work/loop:1: not \"first count ...\"*"

# Refusals.
run --quiet cache analyze "$work/none"
expect_status 1; expect_out ""; expect_err_like "brisk: $work/none: cannot open*"
: >"$work/empty"
run --quiet cache analyze "$work/empty"
expect_status 1; expect_err "brisk: $work/empty: no requests"
run --quiet cache analyze --format x "$work/loop"
expect_status 2; expect_err_like "brisk: no format 'x'*"
run --quiet cache analyze --hit-rate-target 94 "$work/loop"
expect_status 2; expect_err_like "brisk: --hit-rate-target takes*"
head -c 20 "$work/plain.zst" >"$work/cut.zst"
run --quiet cache analyze "$work/cut.zst"
expect_status 1; expect_err "brisk: $work/cut.zst: zstd data ends too early"
run --quiet cache analyze --svg /nowhere/a.svg "$work/loop"
expect_status 1; expect_err_like "brisk: /nowhere/a.svg: cannot write*"

# A running server: the test of daemon/serve asks one; here is none, or something else.
run cache analyze
expect_status 2; expect_err "brisk: cache analyze: takes one TRACE, or --live [--node HOST:PORT]"
run cache analyze --node 127.0.0.1:1 "$work/loop"
expect_status 2
run cache analyze --live "$work/loop"
expect_status 2; expect_err "brisk: cache analyze: --live takes no TRACE"
run cache analyze --live --svg a.svg
expect_status 2; expect_err "brisk: cache analyze: --svg needs a TRACE"
run cache analyze --live --node 127.0.0.1:1
expect_status 1; expect_out ""
expect_err "brisk: nothing answers at 127.0.0.1:1: Connection refused; is 'brisk serve' running there?"
run cache analyze --live --node "$work/none.sock" --json
expect_status 1; expect_json "'No such file' in d['error']['message']"
run cache analyze --live --node nonsense
expect_status 1; expect_err "brisk: nonsense: is neither HOST:PORT nor the path of a unix socket"
run cache analyze --live --node "/$(printf '%0200d' 0)"
expect_status 1; expect_err_like "*File name too long*"
answer() { # one connection gets these bytes, whatever it says
    python3 -c "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
c = s.accept()[0]
c.recv(1000)
c.sendall(sys.argv[2].encode('latin-1').decode('unicode_escape').encode('latin-1'))
c.close()" "$work/odd.sock" "$1" &
    while [ ! -S "$work/odd.sock" ]; do sleep 0.02; done
    sleep 0.1
    run cache analyze --live --node "unix:$work/odd.sock"
    wait $!
    rm -f "$work/odd.sock"
}
answer 'HTTP/1.1 400 Bad Request\r\n\r\n'
expect_status 1; expect_err_like "*odd.sock: speaks another protocol"
answer '$5\r\nab'
expect_status 1; expect_out ""; expect_err_like "*: closed the connection"
answer '$99999999\r\n'
expect_status 1; expect_err_like "*: does not know it"
answer '$2000000\r\n'
expect_status 1; expect_err_like "*: answers more than can be shown"
answer '-ERR unknown command \x1b[31m\r\n'
expect_status 1; expect_err_like "*: unknown command \\\\x1b\[31m"
answer '$6\r\na\x1b\xffb\n\n\r\n'
expect_status 0; expect_out "a??b"

finish
