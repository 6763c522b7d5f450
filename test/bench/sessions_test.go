package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

// fleet is one process with clients of all locks: members of one session, or plain ones.
type fleet struct {
	node    *node
	session *lockclient.Session // nil: plain locks
	locks   []*lockclient.DynamoDBLockClient
	stop    context.CancelFunc
	waiting sync.WaitGroup

	mu     sync.Mutex // guards what follows
	won    []time.Time
	failed error
}

// fleets is how the processes of one trial are set up.
type fleets struct {
	locks            int
	session          bool
	lease, heartbeat time.Duration
	roundTrip        time.Duration
	prefix           string // of the locks' names
	next             http.RoundTripper
}

func (f fleets) process() *fleet {
	p := &fleet{node: newNode(f.next, f.roundTrip, 0)}
	client := p.node.client()
	if f.session {
		p.session = &lockclient.Session{TableName: table, Client: client, LeaseDuration: f.lease, HeartbeatPeriod: f.heartbeat}
	}
	for i := range f.locks {
		lock := &lockclient.DynamoDBLockClient{LockName: fmt.Sprintf("%s-%05d", f.prefix, i)}
		if f.session {
			lock.Session = p.session
		} else {
			lock.TableName, lock.Client, lock.LeaseDuration, lock.HeartbeatPeriod = table, client, f.lease, f.heartbeat
		}
		p.locks = append(p.locks, lock)
	}
	return p
}

// hold acquires all locks.
func (p *fleet) hold() error {
	return sixtyFour(len(p.locks), func(i int) error { return won(p.locks[i].GetLock()) })
}

// queue starts a wait for each lock.
func (p *fleet) queue() {
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	for _, lock := range p.locks {
		p.waiting.Go(func() {
			err := lock.WaitForLock(ctx)
			at := time.Now()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failed = errors.Join(p.failed, err)
			p.won = append(p.won, at)
		})
	}
}

// winsAll waits until it has all locks, and returns how long after a moment it had each.
func (p *fleet) winsAll(since time.Time, patience time.Duration) ([]time.Duration, error) {
	defer time.AfterFunc(patience, p.stop).Stop()
	p.waiting.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var after []time.Duration
	for _, at := range p.won {
		after = append(after, at.Sub(since))
	}
	return after, p.failed
}

// part lets all locks go, 64 at a time, or all at once by the session's Close.
func (p *fleet) part() error {
	if p.session != nil {
		return p.session.Close(context.Background())
	}
	return sixtyFour(len(p.locks), func(i int) error { return p.locks[i].RemoveLock() })
}

// announce says that all locks will be let go soon.
func (p *fleet) announce() error {
	if p.session != nil {
		return p.session.AnnounceClose(context.Background())
	}
	return sixtyFour(len(p.locks), func(i int) error { return p.locks[i].AnnounceRelease(context.Background()) })
}

// abandon ends what is left of a crashed process.
func (p *fleet) abandon() {
	for _, lock := range p.locks {
		lock.StopHeartbeat()
	}
}

// live carries out one trial: one process holds all locks and crashes, a second has waited for
// them, holds them and lets them go, and a third gets them.
func (c *Curve) live(f fleets, periods int) error {
	first, second, third := f.process(), f.process(), f.process()
	if err := first.hold(); err != nil {
		return err
	}
	defer first.abandon()
	second.queue()
	defer second.stop()
	pass(f.lease + rand.N(f.heartbeat))

	c.observe(first, second, f, periods)
	crashed, renewed := time.Now(), first.lastRenewal()
	before := second.node.total()
	first.node.crash()
	taken, err := second.winsAll(crashed, 3*f.lease+time.Minute)
	if err != nil {
		return fmt.Errorf("%d locks after a crash: %w", f.locks, err)
	}
	c.TakeoverRequests = second.node.total() - before
	c.First = append(c.First, Quantile(taken, 0)+crashed.Sub(renewed))
	c.Taken = thinned(append(c.Taken, taken...), keptSamples)

	third.queue()
	defer third.stop()
	pass(f.lease)
	if err := second.announce(); err != nil {
		return err
	}
	pass(time.Duration((1.1 + 0.2*rand.Float64()) * float64(f.heartbeat))) // the third has polled, as after an elector's notice
	before, closed := second.node.total(), time.Now()
	if err := second.part(); err != nil {
		return err
	}
	c.CloseTook = append(c.CloseTook, time.Since(closed))
	c.CloseRequests = second.node.total() - before
	freed, err := third.winsAll(closed, 3*f.lease+time.Minute)
	if err != nil {
		return fmt.Errorf("%d locks after a release: %w", f.locks, err)
	}
	c.Freed = thinned(append(c.Freed, freed...), keptSamples)
	c.FreedFirst = append(c.FreedFirst, Quantile(freed, 0))
	return third.part()
}

// lastRenewal is when the last confirmed renewal of any lock was sent.
func (p *fleet) lastRenewal() time.Time {
	sent, _ := p.node.lastRenewal()
	return sent
}

// observe counts what holding and waiting cost.
func (c *Curve) observe(holder, waiter *fleet, f fleets, periods int) {
	before := []int{holder.node.count("UpdateItem"), holder.node.total(), waiter.node.count("GetItem"), waiter.node.total(), waiter.node.count("UpdateItem")}
	pass(time.Duration(periods) * f.heartbeat)
	c.Periods = periods
	c.Writes = holder.node.count("UpdateItem") - before[0]
	c.Others = holder.node.total() - before[1] - c.Writes
	c.Reads = waiter.node.count("GetItem") - before[2]
	c.WaiterWrites = waiter.node.count("UpdateItem") - before[4]
	c.WaiterOthers = waiter.node.total() - before[3] - c.Reads - c.WaiterWrites
}

// curve is one point of the curve, of so many trials.
func curve(t *testing.T, locks int, session bool, trials, periods int) Curve {
	c := Curve{Locks: locks, Session: session, Lease: companyLease, Heartbeat: companyHeartbeat, RoundTrip: companyRoundTrip}
	for range trials {
		synctest.Test(t, func(t *testing.T) {
			err := c.live(fleets{locks: locks, session: session, lease: c.Lease, heartbeat: c.Heartbeat, roundTrip: c.RoundTrip, prefix: "lock",
				next: virtualEngine(t)}, periods)
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	return c
}

// watch has the locks held by three sessions, and all waited for by a fourth process.
func (w *Crowded) watch(t *testing.T, locks, periods int) {
	*w = Crowded{Locks: locks, Sessions: 3, Lease: companyLease, Heartbeat: companyHeartbeat, Periods: periods}
	synctest.Test(t, func(t *testing.T) {
		next := virtualEngine(t)
		f := fleets{session: true, lease: w.Lease, heartbeat: w.Heartbeat, roundTrip: companyRoundTrip, next: next}
		var holders []*fleet
		f.locks = locks / 3
		waiter := f.process()
		waiter.locks = nil
		for i := range 3 {
			f.prefix = fmt.Sprint("of-", i)
			h := f.process()
			if err := h.hold(); err != nil {
				t.Fatal(err)
			}
			for _, lock := range h.locks {
				waiter.locks = append(waiter.locks, &lockclient.DynamoDBLockClient{LockName: lock.LockName, Session: waiter.session})
			}
			holders = append(holders, h)
		}
		w.Locks = len(waiter.locks)
		waiter.queue()
		pass(3 * w.Heartbeat)
		var c Curve
		c.observe(holders[0], waiter, f, periods)
		w.Reads, w.Writes, w.Others = c.Reads, c.WaiterWrites, c.WaiterOthers
		waiter.stop()
		waiter.waiting.Wait()
		for _, p := range append(holders, waiter) {
			if err := p.part(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

var _ = Describe("The locks of a session", func() {
	It("cost one write a heartbeat, however many they are, and are let go with one", func() {
		c := curve(suite, 100, true, 1, 20)
		Expect(c.Writes).To(Equal(c.Periods))
		Expect(c.Others).To(BeZero())
		Expect(c.CloseRequests).To(Equal(1))
		Expect(float64(c.Reads) / float64(c.Periods)).To(BeNumerically("<=", 1.25))
	})

	It("are waited for with one read a heartbeat for each session that holds them", func() {
		var w Crowded
		w.watch(suite, 300, 20)
		Expect(float64(w.Reads) / float64(w.Periods)).To(BeNumerically("~", 3.375, 0.375))
		Expect(w.Others).To(BeZero())
	})
})

// mostPlain is how many plain locks are waited for and taken over. 10,000 need some 400,000
// requests, which takes minutes even in virtual time.
const mostPlain = 1000

func TestMeasureSessions(t *testing.T) {
	measurement(t)
	var points []Curve
	for _, session := range []bool{true, false} {
		for _, p := range many(
			[]struct{ locks, trials, periods int }{{1, 10, 10}, {100, 2, 4}, {1000, 1, 4}},
			[]struct{ locks, trials, periods int }{{1, 100, 20}, {10, 50, 20}, {100, 10, 10}, {1000, 1, 4}, {10_000, 1, 2}},
		) {
			if !session && p.locks > mostPlain {
				continue
			}
			points = append(points, curve(t, p.locks, session, p.trials, p.periods))
		}
	}
	measured(t, "sessions", points)
	var w Crowded
	w.watch(t, many(300, 10_000), 20)
	measured(t, "crowded", w)
}
