#!/bin/sh
# Clients that people use, against `brisk serve`: redis-cli, hiredis, ioredis, node-redis.
#
#   test_clients.sh BRISK [HIREDIS_TEST]
#
# What is not installed is skipped; the packages of npm go to a temporary folder.
set -u
here="$(cd "$(dirname "$0")" && pwd)"
brisk="$1"
hiredis="${2-}"
work="$(mktemp -d)"
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
"$brisk" serve --foreground --listen "127.0.0.1:$port" --memory 64MiB --unix "$work/socket" 2>"$work/server" &
server=$!
# shellcheck disable=SC2317 # called by trap
clean_up() {
    kill "$server" 2>/dev/null
    wait "$server"
    rm -rf "$work"
}
trap clean_up EXIT
tries=0
until grep -q 'ready at' "$work/server" || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
failed=0
tried=0

check() {
    if [ "$2" != "$3" ]; then
        echo "failed: $1: '$2' instead of '$3'"
        failed=1
    fi
}

if command -v redis-cli >/dev/null; then
    tried=$((tried + 1))
    cli="redis-cli -p $port"
    check "set" "$($cli set key 'a value')" "OK"
    check "get" "$($cli get key)" "a value"
    check "unix socket" "$(redis-cli -s "$work/socket" get key)" "a value"
    check "RESP3" "$(redis-cli -3 -p "$port" get key)" "a value"
    check "pipe" "$(printf 'SET p 1\r\nINCR p\r\n' | $cli --pipe 2>&1 | tail -n 1)" \
        "errors: 0, replies: 2"
    check "scan" "$($cli --scan --pattern 'k*')" "key"
    check "bigkeys" "$($cli --bigkeys 2>&1 | grep -c 'strings with')" "1"
    check "stdin" "$(printf 'stdin value' | $cli -x set x)" "OK"
    check "help of the server" "$(printf 'help set\n' | $cli 2>/dev/null | grep -c SET)" "1"
    echo "redis-cli: done"
fi

if [ -n "$hiredis" ] && [ -x "$hiredis" ]; then
    tried=$((tried + 1))
    "$hiredis" "$port" || failed=1
    echo "hiredis: done"
fi

if command -v node >/dev/null && command -v npm >/dev/null &&
    (cd "$work" && timeout 120 npm install --silent --no-audit --no-fund ioredis redis) \
        >"$work/npm" 2>&1; then
    tried=$((tried + 1))
    for name in ioredis node-redis; do
        cp "$here/client_$name.mjs" "$work/"
        if (cd "$work" && timeout 60 node "client_$name.mjs" "$port"); then
            echo "$name: done"
        else
            echo "failed: $name"
            failed=1
        fi
    done
fi

if [ $tried -eq 0 ]; then
    echo "skipped: neither redis-cli nor hiredis nor npm"
    exit 77
fi
exit $failed
