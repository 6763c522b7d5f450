#!/usr/bin/env bash
# Shows that the simulation bites: one mistake after the other is put into lockclient and election (test/simulation/mutants has the
# list), and the seeds are counted until an invariant catches it.
#
#   hack/mutants.sh [-only REGEXP] [-seeds N] [-jobs N]
#
# Prints a table: mutant, invariant, seeds. The exit code is 0 if each was caught. The work tree stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec go run ./test/simulation/mutants "$@"
