#!/bin/sh
# The manual page and the shell completion that are made from the command table.
BRISK="$1"
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

run help --man
expect_status 0; expect_err ""
if command -v scdoc >/dev/null; then
    page=$(printf '%s\n' "$out" | scdoc 2>"$work/.err") || fail "scdoc refuses the page: $(cat "$work/.err")"
    for word in 'SH NAME' 'SH OPTIONS' 'SH EXIT STATUS' 'brisk bench' 'brisk cache stats'; do
        case "$page" in *"$word"*) ;; *) fail "the page lacks '$word'" ;; esac
    done
    if command -v man >/dev/null; then
        text=$(printf '%s\n' "$page" | man -l - 2>"$work/.err" | col -b 2>/dev/null) || text=
        ! grep troff "$work/.err" >&2 || fail "troff complains about the page"
        for word in '-b, --baseline NAME' '[--runs N]' 'brisk cache stats [--json]' 'p < 0.025'; do
            case "$text" in '' | *"$word"*) ;; *) fail "man does not show '$word'" ;; esac
        done
    fi
fi
case "$out" in *module-manifest*) fail "a hidden command is in the manual" ;; esac

run help --commands
expect_status 0; expect_out_like "*bench	runs duration warmup *save baseline target *help*cache stats	json node*help*"

run help --completion csh
expect_status 2; expect_err "brisk: help: no completion for 'csh'; bash, zsh or fish"
run help --completion bash bench
expect_status 2

# bash: what a user would see after typing the words and a tab.
run help --completion bash
expect_status 0
printf '%s\n' "$out" >bash.sh
complete_bash() {
    bash -c '. ./bash.sh
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _brisk
        printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd " "' bash "$@"
}
check_bash() { # WANTED WORDS...
    wanted="$1"
    shift
    out=$(complete_bash "$@") || out="(failed)"
    called="completion of: $*"
    # shellcheck disable=SC2254
    case "$out" in $wanted) ;; *) fail "wanted [$wanted]" ;; esac
}
if command -v bash >/dev/null; then
    check_bash '*bench*cache config *help *version*' brisk ''
    check_bash 'bench' brisk be
    check_bash 'analyze clear get invalidate path record set stats warm' brisk cache ''
    check_bash 'analyze clear get invalidate path record set stats warm' brisk -v --set a=b cache ''
    check_bash '--baseline' brisk bench --b
    check_bash '*--json*--runs*--target*' brisk bench --
    check_bash '--json' brisk cache stats --j
    check_bash '' brisk bench --runs ''
    check_bash 'bash.sh' brisk --config ba
fi
run help --completion zsh
expect_status 0; expect_out_like "#compdef brisk*"
printf '%s\n' "$out" >_brisk
if command -v zsh >/dev/null; then
    zsh -n _brisk || fail "zsh refuses its completion"
fi
run help --completion fish
expect_status 0; expect_out_like "*complete -c brisk*-a bench*"
printf '%s\n' "$out" >brisk.fish
if command -v fish >/dev/null; then
    fish --no-execute brisk.fish || fail "fish refuses its completion"
    out=$(fish -c 'source brisk.fish; complete -C "brisk cache s"' | cut -f1)
    called="fish: brisk cache s"
    expect_out "stats"
fi

finish
