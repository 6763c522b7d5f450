package lockclient

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
)

// Another call had the turn for a moment, and RemoveLock had no time to wait for it. The record
// still carries a tenure in which nobody believes, and the session lives.
func TestARemoveLockThatNeverHasTheTurnLeavesTheRecordToTheSession(t *testing.T) {
	g := NewWithT(t)
	e := &epoch{}
	d := &driver{session: &sessionDriver{}, joining: e}
	d.ledger.won("a version", 1)
	d.ledger.ended(1)
	g.Expect(d.turn.tryTake()).To(BeTrue())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Expect(d.removeLock(ctx, "")).To(MatchError(context.Canceled))
	g.Expect(e.owing).To(HaveKey(d), "nobody frees it as long as the session lives")
}
