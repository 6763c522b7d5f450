#!/usr/bin/env bash
# Explores the models of this folder completely within their bounds, and then without each rule in
# turn, which must break a promise.
#
#   test/model/run.sh          the bounds of CI: a few minutes on two cores
#   test/model/run.sh deep     larger bounds: half an hour, 8 GB
#   test/model/run.sh traces   writes the counterexamples into traces/ anew
#
# It needs spin and gcc. Root on Debian and its like is given them; elsewhere it says "skipped" and
# ends well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case ${1:-} in '' | deep | traces) ;; *) echo "usage: test/model/run.sh [deep | traces]" >&2 && exit 2 ;; esac
if ! { command -v spin && command -v gcc; } >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install spin gcc libc6-dev; } >/dev/null 2>&1 || true
fi
if ! { command -v spin && command -v gcc; } >/dev/null; then
  echo "skipped test/model: THE PROTOCOL'S MODEL WAS NOT CHECKED. Install spin and gcc (Debian: apt-get install spin gcc)."
  exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/leaderkit-model.XXXXXX")
trap 'rm -rf "$work"' EXIT
memory=${MODEL_MEMORY:-4000} # megabytes for one run
limit=${MODEL_SECONDS:-400}  # seconds for one run

# explore MODEL NAME SWITCH... : says what was explored, and leaves pan and its output in
# $work/NAME.
explore() {
  local model=$1 dir=$work/$2 began
  shift 2
  mkdir "$dir" && cp ./*.h "$model.pml" "$dir" && cd "$dir"
  spin -a "$@" "$model.pml" >spin.out 2>&1 || { cat spin.out && return 1; }
  gcc -w "$optimize" -DSAFETY -DNOFAIR -DMEMLIM="$memory" "${search[@]}" "$@" -o pan pan.c
  began=$(date +%s%N)
  timeout "$limit" ./pan -E -m4000000 -w24 >out 2>&1 || true
  took=$((($(date +%s%N) - began) / 1000000))
  states=$(awk '/states, stored/ {print $1}' out)
  depth=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' out)
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' out)
  # Not to be trusted: cut short by its limits, or an error that is not a broken promise.
  if [ "${errors:-0}" = 0 ] && { [ -z "$errors" ] || grep -qE 'max search depth too small|out of memory|Search not completed' out; }; then errors=incomplete; fi
  if [ "$errors" = 1 ] && ! grep -q 'assertion violated' out; then errors=incomplete; fi
}

tell() { printf '%-8s %-44s %10s states, depth %6s, %5d.%01d s  %s\n' "$1" "$2" "${states:-?}" "${depth:-?}" $((took / 1000)) $((took % 1000 / 100)) "$3"; }

# holds MODEL SWITCH... : the promises hold in every state that can be reached.
holds() {
  search=() optimize=-O2
  explore "$1" "$(tr -d ' ' <<<"$*")" "${@:2}"
  case $errors in
    0) tell "$1" "${*:2}" "holds" ;;
    incomplete) tell "$1" "${*:2}" "NOT EXPLORED COMPLETELY" && return 1 ;;
    *) tell "$1" "${*:2}" "BROKEN" && ./pan -r 2>/dev/null | awk -f "$home/trace.awk" && return 1 ;;
  esac
}

# breaks MODEL RULE SWITCH... : without this rule a promise is broken. The search is by breadth, so
# that the trace is the shortest.
breaks() {
  search=(-DBFS) optimize=-O0
  explore "$1" "$(tr -d ' ' <<<"$*")" "-D$2" "${@:3}"
  ./pan -r 2>/dev/null | awk -f "$home/trace.awk" >trace || true
  if [ "$errors" != 1 ] || ! grep -q BROKEN trace; then tell "$1" "without: ${*:2}" "NO COUNTEREXAMPLE" && return 1; fi
  tell "$1" "without: ${*:2}" "breaks in $(wc -l <trace) lines"
  if [ "$mode" = traces ]; then
    { echo "$1 without: ${*:2}" && cat trace; } >"$home/traces/$1-$2.txt"
  elif ! diff -q <(tail -n 1 "$home/traces/$1-$2.txt" | sed 's/^ *[0-9]* *//') <(tail -n 1 trace | sed 's/^ *[0-9]* *//') >/dev/null; then
    tell "$1" "without: ${*:2}" "traces/$1-$2.txt TELLS OF ANOTHER PROMISE: test/model/run.sh traces" && return 1
  fi
}

export -f explore holds breaks tell
export work memory limit home=$PWD mode=${1:-}
list=runs.txt
[ "$mode" = deep ] && list=deep.txt memory=8000 limit=1200
mkdir -p traces
# Two at a time. A run that fails stops no other.
if grep -vE '^(#|$)' "$list" | { if [ "$mode" = traces ]; then grep '^breaks'; else cat; fi; } | xargs -P 2 -I{} bash -c 'set -euo pipefail; {}'; then
  echo "all promises hold, and no rule can be dropped"
else
  echo "FAILED: see above" && exit 1
fi
