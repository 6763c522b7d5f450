package lockclient

import (
	"slices"
	"time"
)

// maxUnanswered is how many unanswered acquires a ledger remembers. A long network
// failure causes fewer, and DynamoDB's IN takes 100 values.
const maxUnanswered = 64

// ledger lists the writes of this client that the record may still carry: acquires
// that were never answered, and a tenure that has not been released yet. An acquire
// may replace what the ledger lists, and a release frees it.
//
//	sent ──► unanswered ──┬─► ruled out    it has certainly not written
//	                      ├─► live tenure  it has won, and the record carries its token
//	                      └─► forgotten    too old to be carried out any more
//	live tenure ─────────────► ended       nobody trusts it any more: it may be replaced
//	ended ───────────────────► gone        released, or the record is another client's
//
// A live tenure may not be replaced or released: it must end first.
//
// The ledger is pure: no clock, no request, no mutex. The zero value is empty.
type ledger struct {
	attempts []attempt
	token    int64 // of the tenure that the record may still carry; 0: none
	live     bool  // that tenure has not ended
	// unheard says that a write of ours got no answer that shows its outcome, and that no request
	// has been answered since. A client that gets no answers must not write again: each write would
	// start a new lease that no client knows of, and so keep the lock from all.
	unheard bool
	// unansweredInRow counts the acquires in a row that got no answer. Answered reads do
	// not reset it.
	unansweredInRow int
}

// attempt is one acquire whose outcome is not known.
type attempt struct {
	version string        // the recordVersionNumber that it wrote or may yet write
	sent    time.Duration // on the monotonic clock
}

// sent notes that an acquire leaves.
func (g *ledger) sent(version string, at time.Duration) {
	g.attempts = append(g.attempts, attempt{version, at})
	if n := len(g.attempts); n > maxUnanswered {
		// The first may have been carried out before the network failed, and the latest may
		// still be. So one in the middle is forgotten. If it has won, its lease runs out
		// like any other.
		g.attempts = slices.Delete(g.attempts, n/2, n/2+1)
	}
}

// writeUnanswered notes that a write got no answer, or one that does not show its outcome.
func (g *ledger) writeUnanswered() { g.unheard = true }

// acquireUnanswered notes that about an acquire.
func (g *ledger) acquireUnanswered() {
	g.writeUnanswered()
	g.unansweredInRow++
}

// writeAnswered notes that a write got an answer. A refusal is one.
func (g *ledger) writeAnswered() { g.unheard, g.unansweredInRow = false, 0 }

// readAnswered notes that a read got an answer.
func (g *ledger) readAnswered() { g.unheard = false }

// maxUnansweredInRow is how many acquires in a row may go unanswered before we stop
// replacing our own writes.
const maxUnansweredInRow = 4

// mayReplaceOwn reports whether an acquire may replace an unanswered write of our own.
// After several unanswered acquires it may not: the lease of the latest has to run out
// like any other. Without this rule, a client whose reads are answered and whose writes
// are not would keep the lock from everybody.
func (g *ledger) mayReplaceOwn() bool { return g.unansweredInRow < maxUnansweredInRow }

// ruleOut notes that this attempt has certainly not written, or that it has become
// the tenure.
func (g *ledger) ruleOut(version string) {
	g.forget(func(a attempt) bool { return a.version == version })
}

// won notes that the record carries a tenure of ours now.
func (g *ledger) won(version string, token int64) {
	g.ruleOut(version)
	g.token, g.live = token, true
}

// ended notes that the tenure with this token is not trusted any more.
func (g *ledger) ended(token int64) {
	if g.token == token {
		g.live = false
	}
}

// gone notes that the record does not carry the tenure with this token.
func (g *ledger) gone(token int64) {
	if g.token == token {
		g.token, g.live = 0, false
	}
}

// forgetBefore forgets the attempts from before that moment. A later write of ours was
// acknowledged, and they are too old to be carried out after it.
func (g *ledger) forgetBefore(before time.Duration) {
	g.forget(func(a attempt) bool { return a.sent < before })
}

func (g *ledger) forget(which func(attempt) bool) {
	if g.attempts = slices.DeleteFunc(g.attempts, which); len(g.attempts) == 0 {
		g.attempts = nil // memory, where locks are many
	}
}

// empty reports that there is nothing to release.
func (g *ledger) empty() bool { return (g.token == 0 || g.live) && len(g.attempts) == 0 }

// lists reports whether an unanswered attempt, or our tenure that has ended, wrote the
// record. identity is this client's name.
func (g *ledger) lists(r *record, identity string) bool {
	own := g.ownWrites()
	return slices.Contains(own.versions, r.version.number) || own.token != 0 && r.isTenure(identity, own.token)
}

// ownWrites returns what an acquire may replace and a release frees.
func (g *ledger) ownWrites() ownWrites {
	var own ownWrites
	if !g.live {
		own.token = g.token
	}
	for _, a := range g.attempts {
		own.versions = append(own.versions, a.version)
	}
	return own
}

// ownWrites are the writes of ours that a record may still carry.
type ownWrites struct {
	versions []string // of unanswered attempts
	token    int64    // of a tenure that has ended; 0: none
}
