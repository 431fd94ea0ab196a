#!/bin/sh
# Commands of modules: found, explained without being loaded, run, and refused when damaged.
# $1 is the program, $2 the example module wordcount.so, $3 the module rom.so.
BRISK="$1"
wordcount="$(cd "$(dirname "$2")" && pwd)/$(basename "$2")"
rom="$(cd "$(dirname "$3")" && pwd)/$(basename "$3")"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir modules
export BRISK_MODULE_PATH="$work/modules"
cp "$wordcount" modules/wordcount.so
cp "$rom" modules/rom.so

# The manifest, and what help makes of it alone.
for module in wordcount rom; do
    run module-manifest "modules/$module.so"
    expect_status 0; expect_err ""; expect_json "d['name'] == '$module' and d['commands']"
    printf '%s\n' "$out" >"modules/$module.manifest"
done
(cd modules && "$BRISK" module-manifest rom.so) >again || failures=$((failures + 1))
called="module-manifest rom.so"; cmp -s again modules/rom.manifest || fail "the folder matters"
mv modules/rom.so modules/wordcount.so .
run help
expect_status 0; expect_err ""
expect_out_like "*Modules*rom *wordcount *"
run help rom
expect_status 0; expect_out_like "usage: brisk rom COMMAND*info*apply*"
listed="$out"
run help rom apply
expect_status 0; expect_out_like "usage: brisk rom apply ROM*--output*--profile*Global options*"
explained="$out"
run help rom aply
expect_status 2; expect_err_like "brisk: no command 'rom aply'; did you mean 'rom apply'?*"
run help --man
expect_status 0; expect_out_like "*brisk rom apply*no*-cache*"
if command -v scdoc >/dev/null; then
    printf '%s\n' "$out" | scdoc >/dev/null || fail "scdoc refuses the page with modules"
fi
run help --commands
expect_out_like "*rom apply	output *profile*"
run wrdcount
expect_status 2; expect_err_like "brisk: no command 'wrdcount'; did you mean 'wordcount'?*"
mv rom.so wordcount.so modules

# Loaded, the same is said.
run rom
expect_status 2; expect_out ""; expect_err "brisk: rom: a command is missing
$listed"
run rom --help
expect_status 0; expect_out "$listed"
run rom apply --help
expect_status 0; expect_out "$explained"
rm modules/rom.manifest
run help rom apply
expect_status 0; expect_out "$explained"
run rom apply
expect_status 2; expect_out ""; expect_err_like "brisk: rom apply: takes at least * arguments, got 0
usage: brisk rom apply *"
run rom aply
expect_status 2; expect_err_like "brisk: no command 'rom aply'; did you mean 'rom apply'?*"
run rom apply --profil a b -o c
expect_status 2; expect_err_like "brisk: rom apply: unknown option '--profil'; did you mean '--profile'?*"
run rom info missing.sfc
expect_status 1; expect_out ""; expect_err_like "brisk: *missing.sfc*"
echo 'one two three' >text
run wordcount count text
expect_status 0; expect_out_like "*3*"
words="$out"
run wordcount count text
expect_status 0; expect_out "$words"
run bench -n 2 'wordcount count text'
expect_status 0

# Damaged ones.
echo 'not a module' >modules/broken.so
run broken
expect_status 1; expect_out ""; expect_err_like "brisk: *broken*"
[ "$(printf '%s\n' "$err" | wc -l)" -eq 1 ] || fail "more than one line"
: >modules/empty.so
run empty
expect_status 1; expect_err_like "brisk: *"
cp modules/rom.so modules/other.so
run other
expect_status 1; expect_out ""; expect_err_like "brisk: *other*"
mkdir modules/folder.so
run folder
expect_status 2; expect_err_like "brisk: no command 'folder'*"
printf '{' >modules/broken.manifest
cat >modules/evil.manifest <<'END'
abi: 2
name: evil
summary: x
commands:
- {name: "$(touch pwned)", group: a, synopsis: a, summary: "'; touch pwned;", options: []}
knobs: []
END
cat >modules/quote.manifest <<'END'
abi: 2
name: quote
summary: "it's $(touch pwned) `touch pwned`"
commands:
- name: a
  group: g
  synopsis: ""
  summary: "'$(touch pwned)"
  options: [{name: o, type: 0, summary: "'`touch pwned`:x", required: false}]
knobs: []
END
run help
expect_status 0; expect_out_like "*wordcount *"; expect_err_like "*broken.manifest*"
for shell in bash zsh fish; do
    run help --completion $shell
    expect_status 0
    printf '%s\n' "$out" >"completion.$shell"
    if command -v $shell >/dev/null; then
        HOME="$work" $shell "completion.$shell" >/dev/null 2>&1
        [ ! -e pwned ] || fail "$shell ran what a manifest says"
    fi
done
bash -c '. ./completion.bash; COMP_WORDS=(brisk quote a --) COMP_CWORD=3; _brisk; COMP_WORDS=(brisk ""); COMP_CWORD=1; _brisk' \
    >/dev/null 2>&1
[ ! -e pwned ] || fail "bash ran what a manifest says"

finish
