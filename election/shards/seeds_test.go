package shards

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leaderkit/leaderkit/test/race"
)

// TestARunIsAFunctionOfItsSeed: what a failure prints can be seen again.
func TestARunIsAFunctionOfItsSeed(t *testing.T) {
	from, n := uint64(1), 6
	if race.Enabled {
		n = 2
	}
	if *seedsFlag > 0 {
		from, n = *fromFlag, *seedsFlag
	}
	told := map[uint64][]string{}
	for seed := from; seed < from+uint64(n); seed++ {
		told[seed] = simulate(t, seed).trace
	}
	// The other way round, so that nothing left behind by an earlier run can go unnoticed.
	for seed := from + uint64(n) - 1; seed >= from; seed-- {
		if again := simulate(t, seed).trace; !slices.Equal(told[seed], again) {
			t.Errorf("seed %d: %s", seed, firstDifference(told[seed], again))
		}
	}
}

func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("after\n%s\nline %d is once\n%s\nand once\n%s", strings.Join(a[max(i-8, 0):i], "\n"), i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("once there are %d lines, once %d", len(a), len(b))
}
