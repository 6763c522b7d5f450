#!/usr/bin/env bash
# gofmt, vet, staticcheck and go mod tidy in every module, and shellcheck. It reports all that is
# wrong, and then exits 1. Files with the build tag aws are checked, too. test/layout tests the
# rules of this repository that no tool knows.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# The newest staticcheck that builds with Go 1.25, the oldest Go that is supported. It checks all
# but dot imports (ST1001), used for ginkgo and gomega, and suggestions of another spelling (QF).
staticcheck=(honnef.co/go/tools/cmd/staticcheck@v0.7.0 -tags aws -checks 'all,-ST1001,-QF*')
wrong=0
check() { # NAME COMMAND...
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then echo "ok      $name"; return; fi
  printf 'WRONG   %s\n%s\n' "$name" "$said"
  wrong=1
}

formatted() { ! gofmt -l . 2>&1 | grep .; }

# The deprecation notice of aws-sdk-go v1, and the exit code 1 that it causes, are ignored.
static() {
  local said code=0
  said=$(go run "${staticcheck[@]}" ./... 2>&1) || code=$?
  if grep -vE '"github.com/aws/aws-sdk-go/.*" is deprecated: aws-sdk-go is deprecated|^exit status 1$|^go: downloading |^$' <<<"$said"; then return 1; fi
  [ "$code" = 0 ] || { [ "$code" = 1 ] && grep -q 'aws-sdk-go is deprecated' <<<"$said"; }
}

check gofmt formatted
while IFS= read -r module; do
  pushd "${module%/go.mod}" >/dev/null || exit 1
  check "go vet in $module" go vet -tags aws ./...
  check "staticcheck in $module" static
  check "go mod tidy in $module" go mod tidy -diff
  popd >/dev/null || exit 1
done < <(find . -name go.mod -not -path '*/testdata/*')
if command -v shellcheck >/dev/null; then
  check shellcheck find . \( -name '*.sh' -o -path ./.ci/run \) -exec shellcheck {} +
else
  echo "skipped shellcheck, which is not installed"
fi
[ "$wrong" = 0 ]
