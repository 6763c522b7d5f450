#!/usr/bin/env bash
# The simulation at length: many seeds, on all cores, and what was done in figures. See test/simulation/doc.go.
#
#   hack/simulate.sh [-n SEEDS] [-from SEED] [-workers N] [-race]   run that many seeds from that one on (10000, 1)
#   hack/simulate.sh -seed SEED [-trace]                            show one run: the end of its timeline, or with -trace all of it
#
# The exit code is 0 if every invariant held. The test is built once, into a temporary directory; nothing is written into the
# repository. -race takes about five times as long.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  sed -n '4,5s/^# *//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

seeds=10000 from=1 workers='' seed='' trace='' race=''
while [ $# -gt 0 ]; do
  case $1 in
    -n | -from | -workers | -seed)
      case ${2:-} in '' | *[!0-9]*) usage ;; esac
      case $1 in
        -n) seeds=$2 ;;
        -from) from=$2 ;;
        -workers) workers=$2 ;;
        -seed) seed=$2 ;;
      esac
      shift 2
      ;;
    -trace)
      trace=-trace
      shift
      ;;
    -race)
      race=-race
      shift
      ;;
    *) usage ;;
  esac
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/leaderkit-simulation.XXXXXX")
trap 'rm -rf "$dir"' EXIT
# An empty ${race:+"$race"} is no argument at all.
go test -c ${race:+"$race"} -o "$dir/simulation.test" ./test/simulation

if [ -n "$seed" ]; then
  "$dir/simulation.test" -test.run='^TestSeed$' -seed="$seed" ${trace:+"$trace"}
  exit
fi
SIMULATION_SEEDS=$seeds "$dir/simulation.test" -test.v -test.timeout=0 -test.run='^TestSeeds$' -from="$from" ${workers:+-workers="$workers"}
