#!/usr/bin/env bash
# All tests, as the README promises them: on a machine with Go and a C compiler (the race detector wants one), and docker, or
# Java 17 with mvn or npm, it fetches the rest itself. Under 15 minutes on two cores.
#
#   hack/test.sh          lint; every suite with -race on the in-memory engine; DynamoDB Local is started, and every suite that
#                         can talk to an engine runs again on it; simulation, fuzzing, demo, nested modules
#   hack/test.sh quick    lint, suites and nested modules only, without DynamoDB Local
#
# A stage that fails stops no other. The last line is "N passed, M failed", counted in stages; the exit code is 0 if M is 0.
#
# Which engine was tested is proved, not assumed. A suite that talks to an engine prints one line for it,
#   leaderkit-engine: dynamotest                                   or
#   leaderkit-engine: endpoint http://127.0.0.1:8000 (Jetty(...))  the URL as in DYNAMODB_ENDPOINT, the Server header that it answers with
# and each stage fails if the line is missing or names another engine than the stage promises. On DynamoDB Local, the process behind
# the URL was started here, owns the port and has said its version (dynamodb-local.sh sees to that), must be the same at
# the end, and must, where the system tells (Linux), have read requests during each stage.
#
# SIMULATION_SEEDS  how many seeds the simulation runs (default 5000; a hundred of them under the race detector, too)
# FUZZ_TIME         how long each fuzz target runs (default 10s)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=false
case ${1:-} in
  '') ;;
  quick) quick=true ;;
  *)
    echo "usage: hack/test.sh [quick]" >&2
    exit 2
    ;;
esac

readonly simulation_seeds=${SIMULATION_SEEDS:-5000}
export SIMULATION_SEEDS=100 # for the suites under the race detector
export NO_COLOR=1 # the logs are read as text
readonly fuzz_time=${FUZZ_TIME:-10s}

# No test may reach a real AWS account, whatever this machine is logged in to.
unset DYNAMODB_ENDPOINT AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
unset AWS_ENDPOINT_URL AWS_ENDPOINT_URL_DYNAMODB
export AWS_ACCESS_KEY_ID=leaderkit AWS_SECRET_ACCESS_KEY=leaderkit AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true

logs=$(mktemp -d "${TMPDIR:-/tmp}/leaderkit-test.XXXXXX")
running='' watchdog='' endpoint='' engine='' engine_pid=''
names=() results=() times=()
failed=0

finish() {
  if [ -n "$running" ]; then kill -TERM -- "-$running" 2>/dev/null || true; fi
  if [ -n "$watchdog" ]; then kill -TERM -- "-$watchdog" 2>/dev/null || true; fi
  if [ -n "$endpoint" ]; then hack/dynamodb-local.sh stop "${endpoint##*:}" >/dev/null 2>&1 || true; fi
  if [ "$failed" = 0 ]; then rm -rf "$logs"; fi
}
trap finish EXIT
trap 'failed=1; exit 130' INT
trap 'failed=1; exit 143' TERM HUP

# --- stages ----------------------------------------------------------------------------------------------------------

record() { # name result seconds
  names+=("$1") results+=("$2") times+=("$3")
  printf '    %s in %s s\n' "$2" "$3"
  if [ "$2" != passed ]; then failed=$((failed + 1)); fi
}

# What each failing package said around its failures and at its end; all of it where it was not go test that spoke.
show_failure() { # log
  awk '
    function show(last,   i, k, shown) {
      for (i = 0; i < n; i++)
        if (line[i] ~ /--- FAIL|\[FAIL|^panic:|DATA RACE/) for (k = i - 15; k <= i + 5; k++) near[k] = 1
      for (i = 0; i < n; i++)
        if (i >= n - last) print "    | " line[i]
        else if (near[i] && shown++ < 200) print "    | " line[i]
        else if (near[i - 1]) print "    | ..."
      split("", near)
    }
    /^note: promised|^stopped: / { print "    | " $0; next }
    { line[n++] = $0 }
    /^FAIL\t/ { show(20); failing = 1; n = 0 }
    /^(ok  |\?   )\t/ { n = 0 }
    END { show(failing ? 10 : 120) }' "$1"
  echo "    all of it: $1"
}

# stage SECONDS NAME COMMAND...: runs a command, or a function of this script, in a process group of its own, so that nothing of
# it is left when it takes too long or when this script is interrupted.
# Sets stage_passed and stage_log.
stage_passed='' stage_log=''
stage() {
  local limit=$1 name=$2 code=0 started=$SECONDS log
  shift 2
  log=$logs/$(printf '%02d-%s' "$((${#names[@]} + 1))" "$name" | tr -c 'a-zA-Z0-9' '-').log
  stage_log=$log
  echo "==> $name"
  set -m
  ("$@") >"$log" 2>&1 </dev/null &
  running=$!
  (
    sleep "$limit"
    echo "stopped: it took longer than $limit s" >>"$log"
    kill -TERM -- "-$running"
    sleep 5
    kill -KILL -- "-$running"
  ) >/dev/null 2>&1 </dev/null &
  watchdog=$!
  set +m
  wait "$running" || code=$?
  kill -TERM -- "-$watchdog" 2>/dev/null || true
  wait "$watchdog" 2>/dev/null || true
  running='' watchdog=''
  if [ "$code" = 0 ]; then
    sed -n 's/^/    /; /leaderkit-engine: /p; /^    skipped /p; /^    note: /p' "$log" | sort -u
    record "$name" passed "$((SECONDS - started))"
    stage_passed=true
  else
    show_failure "$log"
    record "$name" FAILED "$((SECONDS - started))"
    stage_passed=false
  fi
}

# What could not run because something before it failed is a failure, too.
cannot_run() { # name why
  echo "==> $1"
  echo "    cannot run: $2"
  record "$1" 'NOT RUN' 0
}

# --- engines ---------------------------------------------------------------------------------------------------------

# check_engine PROMISED MUST: in the output of a suite (on stdin, passed through), every engine named is the promised one, and
# one is named if it must be.
check_engine() {
  awk -v promised="$1" -v must="$2" '
    { print }
    (at = index($0, "leaderkit-engine: ")) {
      said = substr($0, at + 18)
      if (index(said, promised) == 1) good++
      else { bad++; print "note: promised \"" promised "\", but the suite ran on \"" said "\"" }
    }
    END {
      if (must == "must" && !good && !bad) { print "note: promised \"" promised "\", but the suite does not say which engine it ran on"; bad++ }
      exit bad > 0
    }'
}

# Bytes that the engine has read so far; nothing where the system does not tell.
engine_received() {
  if [ -n "$engine_pid" ]; then sed -n 's/^rchar: //p' "/proc/$engine_pid/io" 2>/dev/null || true; fi
}

has_tests() { # folder
  [ -d "$1" ] && [ -n "$(find "$1" -name '*_test.go' | sed -n 1p)" ]
}

# The folders of the files named on stdin.
folders_of() { while IFS= read -r f; do (cd "$(dirname "$f")" && pwd); done | sort -u; }

# The folders of a module whose tests talk to an engine: those whose tests read DYNAMODB_ENDPOINT, themselves or in a package
# that they need, and in any case the suites that exist for it.
engine_folders() { # module's folder
  local files tests helpers found package dir needed
  files=$(grep -rlE --include='*.go' '(Getenv|LookupEnv)\("DYNAMODB_ENDPOINT"\)' . || true)
  tests=$(printf '%s\n' "$files" | grep '_test\.go$' | folders_of || true)
  helpers=$(printf '%s\n' "$files" | grep -v -e '_test\.go$' -e '^$' | folders_of || true)
  cd "$1"
  found=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}' ./...) || return 1
  printf '%s\n' "$found" | while read -r package dir; do
    case $package in
      */test/integration | */test/chaos) echo "$dir" ;;
      */examples/* | '') ;;
      *)
        needed=$(go list -deps -test -f '{{.Dir}}' "$package" || true)
        if printf '%s\n' "$tests" | grep -Fx "$dir" >/dev/null || { [ -n "$helpers" ] && printf '%s\n' "$needed" | grep -Fx "$helpers" >/dev/null; }; then
          echo "$dir"
        fi
        ;;
    esac
  done | sort -u
}

# --- what the stages do ----------------------------------------------------------------------------------------------

tools() {
  go version
  if ! go build -race errors; then
    echo "the race detector does not work here; it needs a C compiler: apt-get install gcc libc6-dev, or xcode-select --install"
    return 1
  fi
  go mod download
  echo "note: $(go version | cut -d' ' -f3,4), $(getconf _NPROCESSORS_ONLN 2>/dev/null || echo '?') cores"
}

suites_in_memory() {
  local must=may
  if has_tests test/integration; then must=must; fi
  go test -race -count=1 -timeout 6m -v ./... | check_engine dynamotest "$must"
}

suite_on_engine() { # folder
  local before after
  before=$(engine_received)
  cd "$1"
  DYNAMODB_ENDPOINT=$endpoint go test -race -count=1 -timeout 5m -v . | check_engine "endpoint $endpoint (Jetty(" must
  after=$(engine_received)
  if [ -n "$after" ]; then
    echo "note: DynamoDB Local received $(((after - before) / 1024)) KiB"
    if [ $((after - before)) -lt 2048 ]; then
      echo "the suite says that it talked to DynamoDB Local, but no request of it arrived there"
      return 1
    fi
  fi
}

engine_is_the_same() {
  hack/dynamodb-local.sh status "${endpoint##*:}" | tee "$logs/status"
  grep -qFx "engine: $engine" "$logs/status"
}

on_engine() { DYNAMODB_ENDPOINT=$endpoint "$@"; }

# Until Go 1.27 a fuzz run may end with a bare "context deadline exceeded" when its time is up (golang/go#75804). It has found
# nothing then, and is run once more; whatever else goes wrong is a failure.
fuzz() { # folder target
  local tries said
  for tries in 1 2; do
    said=$logs/fuzz.$tries
    if (cd "$1" && go test -run '^$' -fuzz "^$2\$" -fuzztime "$fuzz_time" .) >"$said" 2>&1; then
      cat "$said"
      # go test is content with a pattern that matches nothing.
      grep -q '^fuzz: elapsed' "$said"
      return
    fi
    cat "$said"
    if ! grep -q 'context deadline exceeded' "$said" || grep -q -e 'Failing input' -e '^panic:' -e '_test.go:' "$said"; then return 1; fi
  done
  return 1
}

nested_module() { # folder
  cd "$1"
  go test -race -count=1 -timeout 5m ./...
}

# --- the run -----------------------------------------------------------------------------------------------------------

stage 300 "tools and modules" tools
stage 300 "lint" hack/lint.sh
stage 480 "suites on dynamotest, in memory" suites_in_memory

nested=$(find . -mindepth 2 -name go.mod -not -path '*/testdata/*' -not -path '*/node_modules/*' | sort | while IFS= read -r mod; do dirname "${mod#./}"; done)
for module in $nested; do
  # A module whose only suite talks to an engine has its turn below, on DynamoDB Local.
  if [ "$quick" = false ] && [ "$(engine_folders "$module")" = "$PWD/$module" ] && [ "$(cd "$module" && go list ./... | wc -l)" -eq 1 ]; then continue; fi
  stage 300 "module $module" nested_module "$module"
done

if [ "$quick" = false ]; then
  # Downloads, at worst from a slow mirror, then starts.
  stage 420 "DynamoDB Local starts" hack/dynamodb-local.sh start auto
  if [ "$stage_passed" = true ]; then
    endpoint=$(sed -n 's/^endpoint: //p' "$stage_log")
    engine=$(sed -n 's/^engine: //p' "$stage_log")
    engine_pid=$(printf '%s\n' "$engine" | sed -n 's/.* pid \([0-9]*\)$/\1/p')
    echo "    $engine, at $endpoint"
  fi
  why="DynamoDB Local does not run"

  if [ -n "$endpoint" ]; then
    stage 120 "dynamodb-local.sh keeps its promises" hack/dynamodb-local_test.sh
  fi

  suites=0 suites_passed=0
  for module in . $nested; do
    if ! folders=$(engine_folders "$module"); then
      cannot_run "suites of module $module on DynamoDB Local" "go list fails there"
      continue
    fi
    for folder in $folders; do
      name="${folder#"$PWD"/} on DynamoDB Local"
      suites=$((suites + 1))
      if [ -z "$endpoint" ]; then
        cannot_run "$name" "$why"
        continue
      fi
      stage 330 "$name" suite_on_engine "$folder"
      if [ "$stage_passed" = true ]; then suites_passed=$((suites_passed + 1)); fi
    done
  done
  if [ "$suites" = 0 ]; then cannot_run "suites on DynamoDB Local" "no package talks to an engine"; fi

  for script in test/*/run.sh; do
    if [ ! -x "$script" ]; then continue; fi
    name="$script on DynamoDB Local"
    if [ -n "$endpoint" ]; then stage 300 "$name" on_engine "$script"; else cannot_run "$name" "$why"; fi
  done

  if [ -f examples/leader/main.go ]; then
    stage 120 "demo" go run ./examples/leader
    name="demo on DynamoDB Local"
    if [ -n "$endpoint" ]; then
      stage 120 "$name" go run ./examples/leader -endpoint "$endpoint" -table leaderkit-demo
    else
      cannot_run "$name" "$why"
    fi
  fi

  if has_tests test/simulation; then
    stage 300 "simulation, $simulation_seeds seeds" hack/simulate.sh -n "$simulation_seeds"
    stage 300 "every mutant is caught" hack/mutants.sh
  fi

  while read -r dir target; do
    # A differential target compares with DynamoDB Local when it is there.
    if [ -n "$endpoint" ]; then
      stage 180 "$target in $dir, $fuzz_time" on_engine fuzz "$dir" "$target"
    else
      stage 180 "$target in $dir, $fuzz_time" fuzz "$dir" "$target"
    fi
  done < <(grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' lockclient election examples test 2>/dev/null |
    sed -n 's|^\(.*\)/[^/]*_test\.go:func \(Fuzz[A-Za-z0-9_]*\)(.*|\1 \2|p' | sort)

  if [ -n "$endpoint" ]; then
    stage 30 "DynamoDB Local is the one that was started" engine_is_the_same
  fi
fi

# --- the summary ---------------------------------------------------------------------------------------------------------

echo
printf '%-62s %-8s %7s\n' stage result seconds
i=0
while [ "$i" -lt "${#names[@]}" ]; do
  printf '%-62s %-8s %7s\n' "${names[$i]}" "${results[$i]}" "${times[$i]}"
  i=$((i + 1))
done
echo
if [ -n "$engine" ]; then
  echo "engines tested: dynamotest; $engine, at $endpoint ($suites_passed of $suites suites passed on it)"
elif [ "$quick" = true ]; then
  echo "engines tested: dynamotest (quick: not DynamoDB Local)"
fi
echo "time: $((SECONDS / 60)) min $((SECONDS % 60)) s"
echo "$((${#names[@]} - failed)) passed, $failed failed"
if [ "$failed" -gt 0 ]; then exit 1; fi
