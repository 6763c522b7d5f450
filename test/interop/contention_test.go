package interop

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// contention is how long the contenders are at it.
func contention() time.Duration {
	if java != nil {
		return 20 * time.Second
	}
	return 4 * time.Second
}

// outcome is what one contender reports.
type outcome struct {
	who string
	tally
	err error
}

// start runs a contender for d and reports its outcome on outcomes.
func start(outcomes chan<- outcome, d time.Duration, who string, contend func(time.Duration) (tally, error)) {
	go func() {
		t, err := contend(d)
		outcomes <- outcome{who, t, err}
	}()
}

func (c *scene) counter() counter { return counter{client: admin, table: c.table, lock: c.lock} }

// sum waits for all outcomes. Nobody may have met another's write while it held the lock.
func (c *scene) sum(outcomes <-chan outcome, count int) (sum tally) {
	c.Helper()
	for range count {
		var o outcome
		c.g.Eventually(outcomes).WithTimeout(contention() + 3*lease() + patience).Should(gomega.Receive(&o))
		c.g.Expect(o.err).NotTo(gomega.HaveOccurred(), o.who)
		c.Logf("%s: %d tenures, %d increments, %d late", o.who, o.tenures, o.increments, o.late)
		c.g.Expect(o.conflicts).To(gomega.BeZero(), "%s met another's write while it held the lock", o.who)
		sum = sum.plus(o.tally)
	}
	totals.increments.Add(int64(sum.increments))
	return sum
}

func TestTwoOfEachKindContend(t *testing.T) {
	t.Parallel()
	c := newScene(t)
	outcomes := make(chan outcome, 4)
	putting, inPlace := c.peer(settings{owner: "java, putting"}), c.peer(settings{owner: "java, in place", inPlace: true, keepsItem: true})
	start(outcomes, contention(), "java, putting", putting.contend)
	start(outcomes, contention(), "java, in place", inPlace.contend)
	lock, elector := c.ours("our lock"), c.ours("our elector")
	start(outcomes, contention(), "our lock", func(d time.Duration) (tally, error) { return lock.contend(d, c.counter()) })
	start(outcomes, contention(), "our elector", func(d time.Duration) (tally, error) {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		return elector.campaign(ctx, c.counter())
	})
	sum := c.sum(outcomes, 4)
	for _, either := range [][2]string{{"java, putting", "java, in place"}, {"our lock", "our elector"}} {
		_, one := c.ledger.of(either[0])
		_, other := c.ledger.of(either[1])
		c.g.Expect(one || other).To(gomega.BeTrue(), "neither %v ever had its turn", either)
	}
	c.g.Expect(c.counter().value()).To(gomega.BeEquivalentTo(sum.increments), "no increment lost")
}

func TestTwoOfEachKindContendAndOneOfEachIsKilled(t *testing.T) {
	t.Parallel()
	c := newScene(t)
	outcomes, lost := make(chan outcome, 4), make(chan outcome, 2)
	theirs, oursToo := c.peer(settings{owner: "java that dies"}), c.oursElsewhere(settings{owner: "ours that dies"})
	// Until they are killed, which may be when the others have done.
	start(lost, contention()+patience, "java that dies", theirs.contend)
	start(lost, contention()+patience, "ours that dies", oursToo.contend)
	start(outcomes, contention(), "java", c.peer(settings{owner: "java", inPlace: true}).contend)
	lock := c.ours("ours")
	start(outcomes, contention(), "ours", func(d time.Duration) (tally, error) { return lock.contend(d, c.counter()) })

	// In the middle of a tenure, so that it leaves a lease behind that nobody may cut short.
	for _, victim := range []struct {
		who  string
		kill func()
	}{{"java that dies", theirs.kill}, {"ours that dies", oursToo.kill}} {
		c.g.Eventually(func() bool {
			tenure, found := c.ledger.of(victim.who)
			return found && clock() < tenure.until()
		}).WithTimeout(contention() + patience).WithPolling(lookEvery).Should(gomega.BeTrue())
		victim.kill()
		var o outcome
		c.g.Eventually(lost).WithTimeout(patience).Should(gomega.Receive(&o))
		c.g.Expect(o.err).To(gomega.HaveOccurred(), "it was killed, and reports?")
	}
	sum := c.sum(outcomes, 2)
	c.g.Expect(c.counter().value()).To(gomega.BeNumerically(">=", sum.increments))
}
