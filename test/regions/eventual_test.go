package regions

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

// These show that a lock does not hold in an eventually consistent global table, whatever its
// client does. A client that kept its promise here would have to ask all Regions, and no request
// does that.

func TestTwoRegionsTakeAnEventuallyConsistentLockWithinTheLag(t *testing.T) {
	eventually(t, func(w *world) {
		a, b, _ := w.three()
		first, second := a.takes(), b.takes()
		w.Expect(w.believers()).To(Equal([]string{"a", "b"}))
		w.Expect(second-first).To(BeNumerically("<=", roundTrip.Milliseconds()), "their tokens come from their clocks, and say nothing")
		w.Expect(w.watching(3*theLease)).To(BeNumerically(">", time.Second), "until a renewal of the loser meets the winner's record")
		w.Expect(w.believers()).To(Equal([]string{"b"}), "the last writer has won")
		w.Expect(a.LockError()).To(MatchError(lockclient.ErrLockLost))
	})
}

func TestACutLetsTwoBelieveInAnEventuallyConsistentLockForAsLongAsItLasts(t *testing.T) {
	eventually(t, func(w *world) {
		a, b, _ := w.three()
		a.takes()
		w.table.Replicate()
		b.waits()
		w.pass(2 * theLease)
		w.table.Region(0).Isolate()
		w.Expect(w.watching(20*theLease)).To(BeNumerically(">", 18*theLease), "a renews in its own Region, and b hears nothing of it")
		w.Expect(w.believers()).To(Equal([]string{"a", "b"}))
		w.table.Region(0).Rejoin()
		w.Expect(w.watching(3 * theLease)).NotTo(BeZero())
		w.Expect(w.believers()).To(HaveLen(1), "one of them has lost it without having been told in time")
	})
}

func TestACrashedHoldersEventuallyConsistentLockIsTakenInTwoRegions(t *testing.T) {
	eventually(t, func(w *world) {
		a, b, c := w.three()
		a.takes()
		w.table.Replicate()
		b.waits()
		c.waits()
		w.pass(2 * theLease)
		a.renewed()
		a.crash()
		w.Expect(w.watching(2*theLease)).To(BeNumerically(">", time.Second), "both saw it run out at the same time, and no Region was cut off")
		w.Expect([]bool{b.believes(), c.believes()}).To(ConsistOf(true, false))
	})
}
