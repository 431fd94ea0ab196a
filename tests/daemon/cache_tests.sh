#!/bin/sh
# The public tests of HTTP caches against `brisk serve`: $1 is the program, $BRISK_CACHE_TESTS the folder of
# http-tests/cache-tests (node 18 or later).  Skipped without them.  Fails below what was reached: of what is required
# all but one (a transfer coding that nobody knows is refused here), and of what is optimal 97.  Two tests want answers that
# set cookies kept, which is not the default: without cache_cookies it is one less of each.
set -u
brisk=$1
score=$2
if [ -z "${BRISK_CACHE_TESTS:-}" ] || [ ! -f "${BRISK_CACHE_TESTS:-}/test-engine/cli.mjs" ]; then
    echo "skipped: BRISK_CACHE_TESTS is no folder of cache-tests"
    exit 77
fi
command -v node >/dev/null || { echo "skipped: no node"; exit 77; }
folder=$(mktemp -d)
origin=
proxy=
cleanup() {
    [ -n "$proxy" ] && kill "$proxy" 2>/dev/null && wait "$proxy" 2>/dev/null
    [ -n "$origin" ] && kill "$origin" 2>/dev/null && wait "$origin" 2>/dev/null
    rm -rf "$folder"
}
trap cleanup EXIT
free_port() {
    node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}
export XDG_CACHE_HOME="$folder/cache" XDG_STATE_HOME="$folder/state"
from=$(free_port)
to=$(free_port)
(cd "$BRISK_CACHE_TESTS" && npm_config_protocol=http npm_config_port=$from npm_config_pidfile="$folder/pid" \
    exec node test-engine/server/server.mjs >/dev/null) &
origin=$!
"$brisk" --set "serve.proxy=[{at: /, upstreams: ['http://127.0.0.1:$from'], cache_cookies: true}]" serve --threads 1 \
    --listen "127.0.0.1:$to" 2>"$folder/log" &
proxy=$!
tries=0
until grep -q 'ready at' "$folder/log" || [ $tries -gt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
sleep 1
(cd "$BRISK_CACHE_TESTS" && npm_package_config_id='' npm_config_base="http://127.0.0.1:$to" \
    node --no-warnings test-engine/cli.mjs >"$folder/results") || exit 1
node --no-warnings "$score" "$BRISK_CACHE_TESTS" "$folder/results" 159 97
