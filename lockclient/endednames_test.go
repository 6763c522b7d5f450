package lockclient

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
)

// A process that loses a session now and then for years must not grow.
func TestTheLatestEndedSessionsAreRememberedAndNoMore(t *testing.T) {
	g := NewWithT(t)
	var ended endedNames
	g.Expect(ended.has("0")).To(BeFalse())
	for i := range 3*mostEndedNames + 7 {
		ended.add(fmt.Sprint(i))
		ended.add(fmt.Sprint(i)) // it is told twice, and counts once
		g.Expect(ended.has(fmt.Sprint(i))).To(BeTrue())
		if oldest := i - mostEndedNames; oldest >= 0 {
			g.Expect(ended.has(fmt.Sprint(oldest))).To(BeFalse())
			g.Expect(ended.has(fmt.Sprint(oldest + 1))).To(BeTrue())
		}
	}
	g.Expect(ended.known).To(HaveLen(mostEndedNames))
	g.Expect(ended.order).To(HaveLen(mostEndedNames))
}
