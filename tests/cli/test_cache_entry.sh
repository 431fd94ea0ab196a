#!/bin/sh
# `brisk cache get|set|invalidate|warm`: bytes in, the same bytes out; a miss is a miss.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# get and set
run cache get greeting
expect_status 1; expect_out ""; expect_err "brisk: no entry 'greeting'"
run cache set greeting 'good morning'
expect_status 0; expect_out "stored 'greeting', 12 B, in disk"; expect_err ""
run cache get greeting
expect_status 0; expect_out "good morning"
run cache set greeting ''
expect_status 0
run cache get greeting
expect_status 0; expect_out ""
run cache get greeting --json
expect_status 0
expect_json "d['schema'] == 1 and d['key'] == 'greeting' and d['tier'] == 'disk'"
expect_json "d['value'] == '' and d['bytes'] == 0 and d['expires_at'] is None"
run cache get nothing --json
expect_status 1; expect_json "d['error']['message'] == \"no entry 'nothing'\""

# Binary, from every source and to every place.
printf 'a\000b\377\n\r\033[31m' >binary
# shellcheck disable=SC2094 # one is a key, the other a file
"$BRISK" cache set binary <binary >/dev/null || fail "set from standard input"
"$BRISK" cache get binary >copy; cmp -s binary copy || fail "binary differs"
"$BRISK" cache set binary2 @binary >/dev/null || fail "set from a file"
"$BRISK" cache get binary2 -o copy2 || fail "get into a file"
cmp -s binary copy2 || fail "binary from a file differs"
"$BRISK" cache set binary3 - <binary >/dev/null || fail "set from -"
run cache get binary3 --json
expect_json "__import__('base64').b64decode(d['value_base64']) == open('binary','rb').read()"
head -c 3000000 /dev/urandom >large
for way in "large @large" "large -"; do
    # shellcheck disable=SC2086 # two words on purpose
    "$BRISK" cache set $way <large >/dev/null || fail "set of a large value"
    "$BRISK" cache get large >copy; cmp -s large copy || fail "large differs"
    "$BRISK" cache get large -o copy3; cmp -s large copy3 || fail "large in a file differs"
done
run cache get large --json
expect_status 0; expect_json "d['bytes'] == 3000000 and d['value_omitted']"

# A large value that was damaged on disk is a miss, not a wrong answer.
find "$XDG_CACHE_HOME/brisk" -path '*.files/*' -type f >files
[ -s files ] || fail "wanted a file of its own for a large value"
while read -r file; do
    chmod u+w "$file"
    printf 'XXXX' | dd of="$file" bs=1 seek=1000 conv=notrunc 2>/dev/null
done <files
run cache get large -o copy3
expect_status 1; expect_err "brisk: no entry 'large'"
cmp -s large copy3 || fail "a file was replaced by nothing"

# Age
run cache set short life --ttl 1s
expect_status 0
run cache get short --json
expect_json "0 <= d['expires_at'] - __import__('time').time() + 1 <= 3"
sleep 1.1
run cache get short
expect_status 1; expect_out ""
run cache set short life --ttl 100000h
expect_status 0

# Tags, dependencies, prefixes
run cache set menu soup
run cache set page hello --tag site --tag front --depends menu
expect_status 0
run cache get page
expect_out "hello"
run cache set menu stew
run cache get page
expect_status 1
run cache set page hello --tag site --tag front
run cache set other kept --tag else
run cache invalidate --tag front
expect_status 0; expect_out "invalidated 0 keys, 0 prefixes, 1 tag"
run cache get page
expect_status 1
run cache get other
expect_status 0; expect_out "kept"
run cache set user/1 a
run cache set user/2 b
run cache set user c
run cache invalidate --prefix user/ --json
expect_status 0; expect_json "d == {'schema': 1, 'keys': 0, 'prefixes': 1, 'tags': 0}"
run cache get user/1
expect_status 1
run cache get user
expect_status 0; expect_out "c"
run cache invalidate user other nothing
expect_status 0; expect_out "invalidated 3 keys, 0 prefixes, 0 tags"
run cache get user
expect_status 1

# Misuse
run cache get
expect_status 2
run cache get ''
expect_status 2; expect_err "brisk: key '': is empty"
run cache get a b
expect_status 2
run cache set
expect_status 2
run cache set a b c
expect_status 2
run cache set a b --tier nonesuch
expect_status 2; expect_err "brisk: tier 'nonesuch': there is none of that name; see 'brisk cache stats'"
run cache set a b --tag ''
expect_status 2; expect_err "brisk: tag '': is empty"
run cache set a b --ttl soon
expect_status 2
run cache invalidate
expect_status 2; expect_err "brisk: cache invalidate: a KEY, --prefix or --tag is missing"
run cache invalidate --prefix ''
expect_status 1; expect_err "brisk: prefix '': is empty"

# Sources and places that are not there, full or folders.
run cache set a @/nonexistent/file
expect_status 1; expect_err_like "brisk: file '/nonexistent/file': No such file*"
run cache set a @.
expect_status 1; expect_err_like "brisk: file '.': is no regular file"
run cache set a hello
run cache get a -o /nonexistent/file
expect_status 1; expect_out ""; expect_err_like "brisk: /nonexistent/file: *"
run cache get a -o .
expect_status 1; [ -n "$err" ] || fail "wanted words"
status=0; "$BRISK" cache get a >/dev/full 2>.err || status=$?
err=$(cat .err); called="cache get a >/dev/full"; expect_status 1
expect_err_like "brisk: cannot write the output: *"
status=0; "$BRISK" cache get binary2 --json >/dev/full 2>.err || status=$?
called="cache get --json >/dev/full"; expect_status 1
status=0; "$BRISK" cache set a hello >/dev/full 2>.err || status=$?
called="cache set >/dev/full"; expect_status 1

# Nowhere to keep it.
run --set cache.disk.enabled=false cache set a b
expect_status 1; expect_err "brisk: 'a' is in no tier that outlives this command"
run cache set a b --tier memory
expect_status 1; expect_err "brisk: 'a' is in no tier that outlives this command"
run --set cache.disk.enabled=false cache get a
expect_status 1; expect_err "brisk: no entry 'a'"
if [ "$(id -u)" -ne 0 ]; then
    mkdir -m 500 locked
    run --set "cache.disk.path=$work/locked/x" cache set a b
    expect_status 1
fi

# Two at once, many times: each key has one of the two values, whole.
for side in 1 2; do
    (for i in 1 2 3 4 5 6 7 8 9 10; do
        "$BRISK" cache set "both$i" "value of $side" >/dev/null 2>&1
    done) &
done
wait
for i in 1 2 3 4 5 6 7 8 9 10; do
    run cache get "both$i"
    expect_status 0; expect_out_like "value of [12]"
done

# warm
run cache set one first
printf '# a list\n\none\nnone\nfile\tbinary\nlost\t/nonexistent/file\n' >list
run cache warm list
expect_status 1; expect_out_like "4 keys: 1 loaded, 1 present, 1 without entry, 1 failed; *"
expect_err_like "*lost*/nonexistent/file*"
"$BRISK" cache get file >copy; cmp -s binary copy || fail "a warmed file differs"
run cache warm list --json --parallel 1
expect_status 1
expect_json "(d['items'], d['loaded'], d['present'], d['none'], d['failed']) == (4, 0, 2, 1, 1)"
expect_json "'/nonexistent/file' in d['errors'][0]['message']"
printf 'tagged\tbinary\n' | "$BRISK" cache warm - --tag group >.out || fail "warm from standard input"
run cache invalidate --tag group
run cache get tagged
expect_status 1
run cache warm /nonexistent
expect_status 1; expect_err "brisk: /nonexistent: No such file or directory"
run cache warm
expect_status 2
run cache warm list --from-record x
expect_status 2
run cache warm list --parallel 65
expect_status 2
run cache warm --from-record list
expect_status 1; expect_err_like "brisk: list: no recording of a cache"
printf '\tno key\n' >bad
run cache warm bad
expect_status 1; expect_err_like "brisk: line 1: no key, or too long*"
run --set cache.disk.enabled=false cache warm list
expect_status 1; expect_err "brisk: cache warm: there is no tier that outlives this command"

# Interrupted while it waits for more keys: what was done is reported.
mkfifo keys
"$BRISK" cache warm keys >.out 2>.err &
pid=$!
exec 3>keys
printf 'one\n' >&3
sleep 0.3
kill -TERM "$pid" 2>/dev/null
exec 3>&-
status=0; wait "$pid" || status=$?
called="cache warm, told to stop"; out=$(cat .out); err=$(cat .err)
[ "$status" -eq 143 ] || fail "wanted exit code 143"
expect_out_like "* keys: *"

for command in get set invalidate warm record; do
    run help cache "$command"
    expect_status 0; expect_out_like "usage: brisk cache $command *Examples*"
done

finish
