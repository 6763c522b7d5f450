package bench

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// company is many locks of one process on one DynamoDB client, in a bubble.
type company struct {
	wire  *wire.Wire
	node  *node
	locks []*lockclient.DynamoDBLockClient
}

const (
	companyLease     = 15 * time.Second
	companyHeartbeat = 5 * time.Second
	companyRoundTrip = 10 * time.Millisecond
)

func newCompany(t *testing.T, size int) (*company, error) {
	c := &company{node: newNode(virtualEngine(t), companyRoundTrip, 0)}
	c.wire = wire.New(c.node)
	client := wire.NewClient(c.wire)
	for i := range size {
		lock := &lockclient.DynamoDBLockClient{
			LockName: lockName(i), TableName: table, LeaseDuration: companyLease, HeartbeatPeriod: companyHeartbeat, Client: client,
		}
		if err := won(lock.GetLock()); err != nil {
			return nil, err
		}
		c.locks = append(c.locks, lock)
	}
	return c, nil
}

func (c *company) disband() {
	c.wire.SetHook(nil)
	for _, lock := range c.locks {
		_ = lock.RemoveLock()
	}
	c.wire.Settle()
}

// off is the most by which the time between two heartbeats of a lock, sent since the last Reset of
// the wire, differed from the period. A lock that sent fewer than least is as far off as can be;
// but is not looked at.
func (c *company) off(least int, but string) time.Duration {
	last, intervals := map[string]time.Time{}, map[string][]time.Duration{}
	for _, call := range c.wire.Calls() {
		if call.Kind() != wire.Heartbeat {
			continue
		}
		name := lockOf(call)
		if at, ok := last[name]; ok {
			intervals[name] = append(intervals[name], call.At.Sub(at))
		}
		last[name] = call.At
	}
	most := time.Duration(0)
	for i := range c.locks {
		name := lockName(i)
		if name == but {
			continue
		}
		if len(intervals[name]) < least-1 {
			return math.MaxInt64
		}
		for _, d := range intervals[name] {
			most = max(most, (d - companyHeartbeat).Abs())
		}
	}
	return most
}

func lockName(i int) string { return fmt.Sprintf("lock-%03d", i) }

// lockOf is the name of a company's lock, which stands in the request as it is.
func lockOf(call *wire.Call) string {
	_, rest, _ := strings.Cut(string(call.Body), `"lock-`)
	name, _, _ := strings.Cut(rest, `"`)
	return "lock-" + name
}

// inBubble runs body in virtual time and gives it so many locks.
func inBubble(t *testing.T, size int, body func(c *company)) {
	synctest.Test(t, func(t *testing.T) {
		c, err := newCompany(t, size)
		if err != nil {
			t.Error(err)
			return
		}
		body(c)
		c.disband()
	})
}

// renewals watches locks that were acquired together for some periods.
func (r *Company) renewals(t *testing.T, size, periods int) {
	r.Locks, r.Periods = size, periods
	inBubble(t, size, func(c *company) {
		pass(companyHeartbeat)
		c.wire.Reset()
		pass(time.Duration(periods) * companyHeartbeat)
		r.Off = c.off(periods-1, "") // the first and the last may fall just outside
		r.Writes = c.wire.Count("UpdateItem")
		r.Others = c.wire.Count("") - r.Writes
		tenths := map[int64]int{}
		for _, call := range c.wire.Calls() {
			tenth := call.At.UnixMilli() / 100
			tenths[tenth]++
			r.Busiest = max(r.Busiest, tenths[tenth])
		}
	})
}

// hang has one of the locks get no answer any more.
func (r *Company) hang(t *testing.T, size int) {
	r.Hung = 1
	victim := lockName(7)
	inBubble(t, size, func(c *company) {
		c.wire.SetHook(func(call *wire.Call) wire.Fault {
			if lockOf(call) == victim {
				return wire.Hang()
			}
			return nil
		})
		c.wire.Reset()
		pass(2*companyLease + companyHeartbeat/2)
		r.HungOff = c.off(5, victim)
		for i, lock := range c.locks {
			if held, _ := lock.HasLock(); !held && lockName(i) != victim {
				r.HungLost++
			}
		}
	})
}

// silence has the endpoint answer nobody any more.
func (r *Company) silence(t *testing.T, size int) {
	r.Silent = size
	ended := make(chan time.Duration, size)
	inBubble(t, size, func(c *company) {
		pass(2 * companyHeartbeat)
		c.node.crash()               // whatever is sent from now on hangs
		pass(100 * time.Millisecond) // what was answered before arrives
		before := c.node.count("UpdateItem")
		for _, lock := range c.locks {
			go func() {
				age, _ := lock.LeaseAge()
				end := time.Now().Add(companyLease/100*99 - age)
				<-lock.Lost()
				ended <- time.Since(end)
			}()
		}
		pass(companyLease + time.Second)
		r.SilentInFlight, r.SilentAtOnce = c.node.underWay()
		r.SilentSent = c.node.count("UpdateItem") - before
	})
	close(ended)
	for late := range ended {
		r.SilentLate = append(r.SilentLate, late)
	}
}

var _ = Describe("Many locks in one process", func() {
	It("are each renewed once a period, hardly late, and cost one write a period", func() {
		var r Company
		r.renewals(suite, 300, 4)
		Expect(r.Off).To(BeNumerically("<=", 50*time.Millisecond))
		Expect(r.Writes).To(BeNumerically("~", r.Locks*r.Periods, r.Locks/10))
		Expect(r.Others).To(BeZero())
	})

	It("that were acquired together don't send their heartbeats together", func() {
		var r Company
		r.renewals(suite, 300, 1)
		Expect(r.Busiest).To(BeNumerically("<=", BurstBudget(r.Locks, companyHeartbeat)))
	})

	It("don't notice that one of them gets no answers", func() {
		var r Company
		r.hang(suite, 50)
		Expect(r.HungOff).To(BeNumerically("<=", 50*time.Millisecond))
		Expect(r.HungLost).To(BeZero())
	})

	It("whose endpoint goes silent end in time, pile up few requests, and leave none behind", func() {
		var r Company
		r.silence(suite, 100)
		Expect(r.SilentLate).To(HaveLen(r.Silent))
		for _, late := range r.SilentLate {
			Expect(late).To(BeNumerically("~", 0, 20*time.Millisecond)) // what was under way may still have been confirmed
		}
		Expect(r.SilentInFlight).To(BeZero())
		Expect(r.SilentAtOnce).To(BeNumerically("<=", 8*r.Silent))
		Expect(r.SilentSent).To(BeNumerically("<=", 12*r.Silent))
	})
})

func TestMeasureCompany(t *testing.T) {
	measurement(t)
	r := Company{Lease: companyLease, Heartbeat: companyHeartbeat, RoundTrip: companyRoundTrip}
	r.renewals(t, many(300, 2000), many(4, 20))
	r.hang(t, many(50, 300))
	r.silence(t, many(100, 1000))
	measured(t, "company", r)
}
