#!/usr/bin/env bash
# All measurements: benchmarks, distributions, scaling, sessions, cost. Writes REPORT.md, four
# charts and BENCHMARKS.txt, and copies the report's summary into README.md. Takes about 25 minutes
# on two idle cores.
#
#   hack/bench.sh [-o FOLDER]          into test/bench, or into FOLDER, with the raw results
#   hack/bench.sh quick [-o FOLDER]    a few minutes, to see that it works; into a temporary folder
#
# It uses DynamoDB Local at DYNAMODB_ENDPOINT, or starts it with test/dynamolocal. A missed budget
# is no failure: the last lines name it, and the report says by how much it was missed and why.
#
# To compare two BENCHMARKS.txt: go run golang.org/x/perf/cmd/benchstat@latest OLD NEW
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly root=$PWD

if [ -z "${DYNAMODB_ENDPOINT:-}" ]; then
  exec go run ./test/dynamolocal/cmd/dynamolocal hack/bench.sh "$@"
fi

usage() {
  echo "usage: hack/bench.sh [quick] [-o FOLDER]" >&2
  exit 2
}

effort=full out=''
while [ $# -gt 0 ]; do
  case $1 in
    quick) effort=quick ;;
    -o)
      [ $# -ge 2 ] || usage
      out=$2
      shift
      ;;
    *) usage ;;
  esac
  shift
done

work=$(mktemp -d "${TMPDIR:-/tmp}/leaderkit-bench.XXXXXX")
keep_results=true
if [ -z "$out" ] && [ "$effort" = quick ]; then
  out=$(mktemp -d "${TMPDIR:-/tmp}/leaderkit-bench-quick.XXXXXX")
elif [ -z "$out" ]; then
  out=$root/test/bench keep_results=false
else
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
fi
results=$work/results
mkdir "$results"

# Measurements start processes. They share a process group, so that an interrupt ends them all.
running=''
finish() {
  if [ -n "$running" ]; then kill -TERM -- "-$running" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run LOG COMMAND...: its output goes into LOG, and is shown if it fails.
run() {
  local log=$1 code=0
  shift
  set -m
  ("$@") >"$log" 2>&1 </dev/null &
  running=$!
  set +m
  wait "$running" || code=$?
  running=''
  if [ "$code" != 0 ]; then
    tail -n 60 "$log" >&2
    echo "failed: $*" >&2
    exit 1
  fi
}

say() { printf '%6d s  %s\n' "$SECONDS" "$*"; }

# The 1-minute load average.
load() {
  if [ -r /proc/loadavg ]; then cut -d' ' -f1 /proc/loadavg; else sysctl -n vm.loadavg 2>/dev/null | tr -d '{}' | awk '{ print $1 }' || echo '?'; fi
}

# No request may reach a real AWS account, whatever this machine is logged in to.
unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
unset AWS_ENDPOINT_URL AWS_ENDPOINT_URL_DYNAMODB
export AWS_ACCESS_KEY_ID=leaderkit AWS_SECRET_ACCESS_KEY=leaderkit AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
unset GOGC GOMEMLIMIT GODEBUG # the figures are those of Go's defaults

load_before=$(load)
# DYNAMODB_ENGINE is what test/dynamolocal says of itself: "DynamoDB Local 3.3.1 in Java, pid 4711".
engine=${DYNAMODB_ENGINE:-the one at DYNAMODB_ENDPOINT}
engine=${engine%% in *}
say "engine: $engine"

# Built once, and run in its package's folder, as go test does.
say "building"
run "$work/build" go test -c -o "$work/bench.test" ./test/bench
run "$work/build" go build -o "$work/report" ./test/bench/report
cd test/bench

# Each round measures an operation and its floor, one after the other, so that a change of the
# machine's speed changes both. The first round warms up the engine's JIT compiler.
if [ "$effort" = quick ]; then rounds=2 benchtime=100ms warm=300ms; else rounds=8 benchtime=400ms warm=2s; fi
say "benchmarks: $rounds rounds"
run "$work/warm" "$work/bench.test" -test.run '^$' -test.bench 'AcquireRelease|Peek' -test.benchtime "$warm"
: >"$work/BENCHMARKS.txt"
for _ in $(seq "$rounds"); do
  run "$work/round" "$work/bench.test" -test.run '^$' -test.bench . -test.benchtime "$benchtime"
  cat "$work/round" >>"$work/BENCHMARKS.txt"
done
cp "$work/BENCHMARKS.txt" "$results"

full=()
if [ "$effort" = full ]; then full=(-full); fi
for what in Counts Waiting Cost Company FailoverVirtually HandoverVirtually FailoverForReal HandoverForReal Overload Sessions Takeover Shards Scale Connections Stall; do
  say "measuring: $what"
  run "$work/log" "$work/bench.test" -test.run "^TestMeasure$what\$" -test.v -test.timeout 20m -measure "$results" "${full[@]+"${full[@]}"}"
  # The test binary succeeds also if the pattern matches nothing.
  grep -q "^--- PASS: TestMeasure$what " "$work/log" || {
    echo "TestMeasure$what did not run" >&2
    exit 1
  }
done
cd "$root"

"$work/report" -from "$results" -to "$work" -engine "$engine" -load-before "$load_before" -load-after "$(load)" -effort "$effort" >"$work/missed"
cp "$work/REPORT.md" "$work"/*.svg "$work/BENCHMARKS.txt" "$out"
if [ "$keep_results" = true ]; then
  rm -rf "$out/results"
  cp -R "$results" "$out/results"
fi
if [ "$out" = "$root/test/bench" ]; then "$work/report" -readme README.md; fi
say "done: $out/REPORT.md"
cat "$work/missed"
