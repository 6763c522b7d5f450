#!/usr/bin/env bash
# Formatting, vet, staticcheck, shellcheck, and the rules of the layout that no compiler knows.
# Runs all checks, says everything that is wrong, and exits 1 if anything is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The newest staticcheck that still builds with Go 1.25, the oldest Go that the module promises; 0.8 wants 1.26.
readonly staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.7.0

# Everything it knows, except:
#   ST1001  dot imports: ginkgo and gomega are written to be imported so
#   QF*     suggestions of another spelling, of which either is fine
readonly checks='all,-ST1001,-QF*'

problems=0
# check NAME COMMAND...: the command succeeds, or its output is the problem.
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "ok      $name${said:+ ($said)}"
  else
    echo "WRONG   $name"
    printf '%s\n' "$said" | sed 's/^/        /'
    problems=$((problems + 1))
  fi
}

# The files of the project: what is committed, and what is about to be.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  files=$(git ls-files --cached --others --exclude-standard | while IFS= read -r f; do if [ -e "$f" ]; then echo "$f"; fi; done)
else
  files=$(find . -type f -not -path './.git/*' | sed 's|^\./||')
fi
matching() { printf '%s\n' "$files" | grep -E "$1" || true; }

modules=$(matching '(^|/)go\.mod$' | while IFS= read -r mod; do dirname "$mod"; done)

formatting() {
  local bad
  bad=$(matching '\.go$' | xargs gofmt -l 2>&1 || true)
  if [ -n "$bad" ]; then
    echo "not as gofmt writes it; run gofmt -w on:"
    echo "$bad"
    return 1
  fi
}

vet() { (cd "$1" && go vet ./...); }

# aws-sdk-go v1 is deprecated, and was chosen knowing that: the seed's API hands its types about. Only that very notice is
# overlooked; any other use of something deprecated, in the SDK too, is reported.
lint() {
  local said code=0 rest
  said=$(cd "$1" && go run "$staticcheck" -checks "$checks" ./... 2>&1) || code=$?
  rest=$(printf '%s\n' "$said" | grep -v -e '"github.com/aws/aws-sdk-go/.*" is deprecated: aws-sdk-go is deprecated' \
    -e '^exit status 1$' -e '^go: downloading ' -e '^$' || true)
  if [ -n "$rest" ]; then
    printf '%s\n' "$rest"
    return 1
  fi
  # Silence is a pass only if it ran: it exits 0, or 1 for the notices that were overlooked.
  case $code in
    0) ;;
    1) case $said in *'aws-sdk-go is deprecated'*) ;; *) return 1 ;; esac ;;
    *) return 1 ;;
  esac
}

tidy() {
  local said
  if ! said=$(cd "$1" && go mod tidy -diff 2>&1); then
    printf '%s\n' "$said" | grep -v '^ ' | sed -n '1,20p'
    echo "run go mod tidy in $1"
    return 1
  fi
}

shell_scripts() {
  matching '(\.sh|^\.ci/run)$' | xargs shellcheck
}

# differ WANT HAVE MISSING EXTRA: the words for each line that is only in one of two sorted lists; false if there is any.
differ() {
  local said
  said=$(diff <(printf '%s\n' "$1") <(printf '%s\n' "$2") | sed -n -e "s/^</$3:/p" -e "s/^>/$4:/p" || true)
  if [ -n "$said" ]; then
    echo "$said"
    return 1
  fi
}

top_level() {
  local want have
  want=$(printf '%s\n' LICENSE README.md election examples go.mod go.sum hack lockclient test | LC_ALL=C sort)
  have=$(printf '%s\n' "$files" | sed 's|/.*||' | grep -v '^\.' | LC_ALL=C sort -u)
  differ "$want" "$have" 'missing' 'does not belong there'
}

direct_dependencies() {
  local want have
  want=$(printf '%s\n' github.com/aws/aws-sdk-go github.com/go-logr/logr github.com/go-logr/stdr github.com/google/uuid \
    github.com/onsi/ginkgo/v2 github.com/onsi/gomega | LC_ALL=C sort)
  have=$(awk '$1 == "require" && $2 == "(" { block = 1; next } $1 == ")" { block = 0 }
    (block || $1 == "require") && !/\/\/ indirect/ { print block ? $1 : $2 }' go.mod | LC_ALL=C sort)
  differ "$want" "$have" 'missing' 'not one of the six'
}

# uses DIR FIELD...: what the packages of a folder need, "package needed" a line; nothing for a folder without packages.
uses() {
  local dir=$1 field format=''
  shift
  if [ -z "$(matching "^$dir/.*\.go\$")" ]; then return 0; fi
  for field in "$@"; do
    # shellcheck disable=SC2016 # $p is the template's
    format="$format{{\$p := .ImportPath}}{{range .$field}}{{\$p}} {{.}}{{\"\\n\"}}{{end}}"
  done
  go list -f "$format" "./$dir/..."
}

# election knows lockclient through an interface, lockclient knows nothing of election, and neither needs anything of the tests.
# Deps is all that a package needs, however indirectly.
arrows() {
  local module core all
  module=$(go list -m) || return 1
  core=$(uses lockclient Deps && uses election Deps) || return 1
  all=$(uses lockclient TestImports XTestImports && uses test/dynamotest Deps) || return 1
  {
    printf '%s\n' "$core" | grep -E "^$module/election[^ ]* $module/lockclient(/|\$)" || true
    printf '%s\n' "$core" "$all" | grep -E "^$module/lockclient[^ ]* $module/election(/|\$)" || true
    printf '%s\n' "$core" | grep -E " $module/(test|examples)/" || true
    # An in-memory engine that borrowed from the client would share its mistakes.
    printf '%s\n' "$all" | grep -E "^$module/test/dynamotest $module/(lockclient|election)(/|\$)" || true
  } | sort -u | awk '{ print $1 " must not need " $2; bad = 1 } END { exit bad }'
}

# store.go is the only file that builds requests: their shape, and that they go out without the SDK's retries, is decided once.
requests_in_store() {
  local where
  where=$(matching '^lockclient/.*\.go$' | grep -v -e '_test\.go$' -e '^lockclient/store\.go$' |
    xargs grep -nE 'dynamodb\.[A-Za-z]*Input\{' /dev/null || true)
  if [ -n "$where" ]; then
    echo "DynamoDB requests are built in lockclient/store.go only:"
    echo "$where"
    return 1
  fi
}

# A test that sleeps and hopes fails on a slow machine and wastes a fast one. In a synctest bubble the clock is virtual and sleep
# is free: a file may sleep if it imports synctest, or says that its specs run in a synctest bubble. Elsewhere a line that must
# let real time pass says why, at its end:  // sleep: the reason
no_sleeps() {
  local where
  where=$(matching '_test\.go$' | while IFS= read -r f; do
    if ! grep -q 'synctest' "$f"; then
      grep -nE 'time\.(Sleep|After)\(' /dev/null "$f" | grep -vE '// sleep: .{10,}' | grep -vE '^[^:]*:[0-9]*:[[:space:]]*//' | grep -v 'case <-time\.After' || true
    fi
  done)
  if [ -n "$where" ]; then
    echo "wait with Eventually, or in a synctest bubble (say so in the file); if real time must pass, say why: // sleep: the reason"
    echo "$where"
    return 1
  fi
}

# A fault whose test has been renamed is a fault without a test.
safety_names() {
  local missing
  missing=$({
    # shellcheck disable=SC2016 # backticks are the text's
    { grep -oE '`(Test|Fuzz)[A-Za-z0-9]+`' test/SAFETY.md || true; } | tr -d '`' | sort -u | while IFS= read -r name; do
      grep -rqE --include='*_test.go' "^func $name\\(" test lockclient election || echo "$name"
    done
    { sed -n '/^## Fault models/,/^## The figures/p' test/SAFETY.md | grep -oE '"[^"]+"' || true; } | sort -u | while IFS= read -r sentence; do
      grep -rqF --include='*_test.go' "$sentence" test election || echo "$sentence"
    done
  })
  if [ -n "$missing" ]; then
    echo "test/SAFETY.md names tests that there are not:"
    echo "$missing"
    return 1
  fi
}

# DynamoDB Local's licence forbids it, and a program in the repository is a program that nobody reads.
no_binaries() {
  local bad
  bad=$(matching '\.(jar|so|dylib|dll|tgz|zip|gz|class|exe|test)$')
  if [ -n "$bad" ]; then
    echo "does not belong into the repository:"
    echo "$bad"
    return 1
  fi
}

check "gofmt" formatting
for module in $modules; do
  check "go vet in $module" vet "$module"
  check "staticcheck in $module" lint "$module"
  check "go.mod tidy in $module" tidy "$module"
done
# A machine that nobody works on may be given what it lacks.
if [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && ! command -v shellcheck >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install shellcheck; } >/dev/null 2>&1 || true
fi
if command -v shellcheck >/dev/null 2>&1; then
  check "shellcheck" shell_scripts
else
  echo "skipped shellcheck (not installed: apt-get install shellcheck, brew install shellcheck)"
fi
check "top level" top_level
check "direct dependencies" direct_dependencies
check "import arrows" arrows
check "requests built in store.go" requests_in_store
check "no sleeping tests" no_sleeps
check "tests named in SAFETY.md" safety_names
check "no binaries" no_binaries

if [ "$problems" -gt 0 ]; then
  echo "$problems problems"
  exit 1
fi
