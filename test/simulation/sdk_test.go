package simulation

import (
	"strings"
	"testing"
)

// TestTheOtherSDKChangesNothing: a run is the same, to the last line of its timeline, whichever SDK
// sends its requests. So every attempt is one request in both, and every answer means the same.
func TestTheOtherSDKChangesNothing(t *testing.T) {
	if otherSDK == nil {
		t.Skip("no other SDK is linked in: the tests of lockclient/sdkv2 do that")
	}
	if *shardFlag != "" {
		t.Skip("the shards are for TestSeeds")
	}
	var sum Figures
	for seed, compared := uint64(1), 0; compared < 40; seed++ {
		if p := planOf(seed); p.isCrowded() {
			continue // such a run may differ from one time to the next
		}
		compared++
		tell := func(other bool) string {
			p := planOf(seed)
			p.otherSDK = other
			var b strings.Builder
			r := runPlan(t, seed, p)
			r.Write(&b, 0)
			sum.Add(&r.Figures)
			return b.String()
		}
		if one, other := tell(false), tell(true); one != other {
			t.Fatalf("seed %d: %s", seed, firstDifference(one, other))
		}
	}
	for f, n := range sum.Faults[:requestFaults] {
		if n == 0 && faultNames[f] != "" {
			t.Errorf("no request has suffered: %s", faultNames[f])
		}
	}
}
