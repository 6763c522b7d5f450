#!/usr/bin/env bash
# All tests, in less than 20 minutes on two cores. The stages are in hack/runner.
#
#   hack/test.sh          lint; the suites of every module with -race on dynamotest; the suites that
#                         use an engine again on DynamoDB Local, which is fetched and started;
#                         test/*/run.sh, demo, fuzz targets, simulation, mutants
#   hack/test.sh quick    lint and the suites on dynamotest
#
# It needs Go, a C compiler for the race detector, and docker or a JDK with Maven. For root on
# Debian or Ubuntu it installs what is missing. Two stages run at a time, and a failed stage stops
# no other. The last line is "N passed, M failed", counted in stages. The exit code is 0 if M is 0.
#
# A suite that uses an engine prints "leaderkit-engine: dynamotest", or "leaderkit-engine: endpoint
# URL (Jetty(...))" with the URL of DYNAMODB_ENDPOINT and the Server header of its answer. A stage
# fails if that is another engine than promised. After each stage on DynamoDB Local, the engine that
# answers must be the one that was started, and it must have received something.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case $* in '' | quick) ;; *) echo "usage: hack/test.sh [quick]" >&2 && exit 2 ;; esac

# No test may reach a real AWS account, or be skipped because DynamoDB Local is missing.
for name in ${!AWS_@} ${!DYNAMODB_@}; do unset "$name"; done
export AWS_ACCESS_KEY_ID=leaderkit AWS_SECRET_ACCESS_KEY=leaderkit AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null NO_COLOR=1 SIMULATION_SEEDS=100
if [ $# = 0 ]; then export DYNAMODB_LOCAL_REQUIRED=1; fi
lacking=()
for need in gcc shellcheck javac=default-jdk-headless mvn=maven; do
  command -v "${need%=*}" >/dev/null || lacking+=("${need#*=}")
done
if [ ${#lacking[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${lacking[*]}"
  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install "${lacking[@]}"; } >/dev/null || echo "that failed; going on"
fi
logs=$(mktemp -d "${TMPDIR:-/tmp}/leaderkit-test.XXXXXX")
go build -o "$logs/runner" ./hack/runner || { echo "0 passed, 1 failed" && exit 1; }
exec "$logs/runner" "$logs" "$@"
