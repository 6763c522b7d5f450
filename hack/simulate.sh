#!/usr/bin/env bash
# Runs many seeds of the simulation on all cores, and prints counts. See test/simulation/doc.go.
#
#   hack/simulate.sh [-n SEEDS] [-from SEED] [-workers N] [-journal FILE] [-race]  10000 from 1 on
#   hack/simulate.sh -seed SEED [-trace]    one run: the end of its timeline, or all with -trace
#
# With -journal, the same command continues where it was interrupted. -race takes five times as
# long. The exit code is 0 if every invariant held.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SIMULATION_SEEDS=10000
go=(go test -v -count=1 -timeout=0) run=TestSeeds flags=()
while [ $# -gt 0 ]; do
  case $1,${2:-} in
    -race,*) go+=(-race) && shift && continue ;;
    -trace,*) flags+=(-trace) && shift && continue ;;
    -journal,?*)
      case $2 in /*) flags+=("-journal=$2") ;; *) flags+=("-journal=$here/$2") ;; esac
      ;;
    *, | *,*[!0-9]*) sed -n '4,5s/^# *//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
    -n,*) SIMULATION_SEEDS=$2 ;;
    -seed,*) run=TestSeed flags+=("-seed=$2") ;;
    -from,* | -workers,*) flags+=("$1=$2") ;;
    *) sed -n '4,5s/^# *//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
  esac
  shift 2
done
"${go[@]}" -run "^$run\$" ./test/simulation ${flags[@]+-args "${flags[@]}"}
