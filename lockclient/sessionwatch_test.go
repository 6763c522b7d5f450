package lockclient

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// A session whose item is gone may be believed in for its whole lease, which only the
// records of its members still say.
func TestAMissingSessionIsWatchedForTheLongestLeaseThatAMemberRecords(t *testing.T) {
	g := NewWithT(t)
	s := newSessionWatch(&rules{Timing: lease.Timing{Lease: 3 * time.Second}, poll: time.Second}, 0)
	s.noteLease(5 * time.Minute)
	gone := func(at time.Duration) {
		s.saw(decodeRecord(nil), sighting{sent: at, arrived: lease.Instant{Mono: at}, consistent: true},
			func(time.Duration) time.Duration { return 0 })
	}
	gone(0)
	gone(2 * time.Minute)
	g.Expect(s.next(2*time.Minute)).NotTo(Equal(sessionMarkMissing), "marked as over within its lease")
	gone(5 * time.Minute)
	g.Expect(s.next(5 * time.Minute)).To(Equal(sessionMarkMissing))
}
