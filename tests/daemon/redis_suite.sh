#!/bin/sh
# Redis 7.0.15's own tests against `brisk serve`, one fresh server for each unit.
#
#   redis_suite.sh BRISK [UNIT...]
#
# The suite is not part of this repository: BRISK_REDIS_SUITE names the folder of Redis's source
# (7.0.15), and without it, or without tclsh, nothing is done (exit 77).  redis_suite.txt lists
# the tests that a stock Redis passes when everything but strings and keys is taken away; each of
# them has to pass here, by its name.
set -u
suite="${BRISK_REDIS_SUITE-}"
if [ -z "$suite" ] || [ ! -x "$suite/runtest" ] || ! command -v tclsh8.6 >/dev/null; then
    echo "skipped: BRISK_REDIS_SUITE does not name Redis's source, or there is no tclsh"
    exit 77
fi
here="$(cd "$(dirname "$0")" && pwd)"
brisk="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
shift
expected="$here/redis_suite.txt"
work="$(mktemp -d)"
server=
# shellcheck disable=SC2317 # called by trap
clean_up() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
[ $# -gt 0 ] || set -- unit/type/string unit/type/incr unit/expire unit/keyspace unit/scan \
    unit/tracking unit/protocol unit/pubsub unit/introspection-2 unit/introspection unit/multi \
    unit/info-command unit/bitops

failed=0
total=0
for unit in "$@"; do
    port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    # unit/tracking needs the order of one thread: its EVAL fails, so tracking stays on at a client
    # that then takes pushes for replies, and no longer waits for its SET before another's GET.
    threads=0
    [ "$unit" != unit/tracking ] || threads=1
    "$brisk" serve --foreground --listen "127.0.0.1:$port" --memory 256MiB --threads $threads \
        2>"$work/server" &
    server=$!
    tries=0
    until grep -q 'ready at' "$work/server" || [ $tries -ge 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    (cd "$suite" && timeout 300 ./runtest --host 127.0.0.1 --port "$port" --durable \
        --single "$unit" --tags "-slow -needs:debug -needs:repl -needs:config-maxmemory" \
        --singledb --ignore-encoding --ignore-digest) >"$work/log" 2>&1
    kill "$server"
    wait "$server" || { echo "$unit: the server ended with $?"; cat "$work/server"; failed=1; }
    server=
    sed 's/\x1b\[[0-9;]*m//g' "$work/log" | sed -n 's/^\[ok\]: \(.*\) ([0-9]* ms)$/\1/p' |
        LC_ALL=C sort >"$work/passed"
    sed -n "s|^$unit	||p" "$expected" | LC_ALL=C sort >"$work/wanted"
    missing="$(LC_ALL=C comm -13 "$work/passed" "$work/wanted")"
    count="$(LC_ALL=C comm -12 "$work/passed" "$work/wanted" | wc -l)"
    total=$((total + count))
    echo "$unit: $count of $(wc -l <"$work/wanted"), $(wc -l <"$work/passed") passed in all"
    if [ -n "$missing" ]; then
        echo "$missing" | sed 's/^/    missing: /'
        failed=1
    fi
done
echo "$total of the tests of a stock Redis pass"
exit $failed
