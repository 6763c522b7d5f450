package election_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

const (
	sessionLease     = 10 * time.Second
	sessionHeartbeat = sessionLease / 4
	sessionTrip      = 10 * time.Millisecond
)

// electors is how many electors a process has: as many as take a few seconds. With
// ELECTION_ELECTORS=10000 the tests take some minutes.
func electors(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ELECTION_ELECTORS")
	if text == "" {
		if race.Enabled {
			return 200
		}
		return 1000
	}
	many, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal("ELECTION_ELECTORS:", err)
	}
	return many
}

// town is a bubble of virtual time with processes that each have electors for the same locks.
type town struct {
	*testing.T
	Gomega
	server  *wire.Wire
	many    int
	offices []atomic.Int32 // how many lead, by the number of the lock
	crowds  []*crowd
}

// inTown runs do in a bubble, and ends all electors afterwards.
func inTown(t *testing.T, do func(w *town)) {
	t.Helper()
	many := electors(t)
	synctest.Test(t, func(t *testing.T) {
		w := &town{T: t, Gomega: NewWithT(t), server: wire.New(dynamotest.Transport(dynamotest.New())), many: many, offices: make([]atomic.Int32, many)}
		w.Expect(lockclient.EnsureTable(t.Context(), wire.NewClient(w.server), "locks")).To(Succeed())
		defer func() {
			for _, c := range w.crowds {
				c.wire.SetHook(nil)
				c.cancel()
			}
			for _, c := range w.crowds {
				c.running.Wait()
				_ = c.session.Close(context.Background())
			}
		}()
		do(w)
	})
}

// crowd is the electors of one process, all on one session.
type crowd struct {
	w       *town
	wire    *wire.Wire
	session *lockclient.Session
	cancel  context.CancelFunc // stops them all
	running sync.WaitGroup
	members []*elected
	leading atomic.Int64
}

// elected is what the callbacks of one elector have seen.
type elected struct {
	started, stopped atomic.Int64
	why              error // of the end of the latest term
}

// crowd starts a process.
func (w *town) crowd(name string) *crowd {
	c := &crowd{w: w, wire: wire.New(wire.Far(w.server, sessionTrip))}
	c.session = &lockclient.Session{
		TableName: "locks", Client: wire.NewClient(c.wire), LeaseDuration: sessionLease, HeartbeatPeriod: sessionHeartbeat, Identifier: name,
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	for i := range w.many {
		m := &elected{}
		c.members = append(c.members, m)
		elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
			Lock:            &lockclient.DynamoDBLockClient{LockName: fmt.Sprint(i), Session: c.session},
			ReleaseOnCancel: true,
			HandoverNotice:  true,
			Callbacks: election.LeaderCallbacks{
				OnStartedLeading: func(leading context.Context) { c.lead(leading, m, &w.offices[i]) },
				OnStoppedLeading: func() {
					if m.stopped.Add(1) != m.started.Load() {
						w.Error("OnStoppedLeading was not called once for each term")
					}
				},
			},
		})
		w.Expect(err).NotTo(HaveOccurred())
		c.running.Go(func() {
			if err := elector.Run(ctx); err != nil {
				w.Error(err)
			}
		})
	}
	w.crowds = append(w.crowds, c)
	return c
}

func (c *crowd) lead(leading context.Context, m *elected, office *atomic.Int32) {
	if office.Add(1) != 1 {
		c.w.Error("two lead at once")
	}
	if m.started.Add(1) != m.stopped.Load()+1 {
		c.w.Error("it leads again before it was told that it had stopped")
	}
	c.leading.Add(1)
	<-leading.Done()
	c.leading.Add(-1)
	m.why = context.Cause(leading)
	office.Add(-1)
}

// allLead waits until all electors of the process lead.
func (c *crowd) allLead() {
	c.w.Helper()
	for end := time.Now().Add(3 * sessionLease); c.leading.Load() < int64(c.w.many) && time.Now().Before(end); {
		c.w.pass(sessionTrip)
	}
	c.w.Expect(c.leading.Load()).To(BeEquivalentTo(c.w.many))
}

// haveEnded checks that each elector of the process has had so many terms, that all have ended, and
// that the latest did for that reason.
func (c *crowd) haveEnded(terms int64, why error) {
	c.w.Helper()
	for _, m := range c.members {
		if m.started.Load() != terms || m.stopped.Load() != terms || !errors.Is(m.why, why) {
			c.w.Fatalf("an elector started %d times and stopped %d times, the last time because: %v", m.started.Load(), m.stopped.Load(), m.why)
		}
	}
}

// atRest checks what the process sends in ten heartbeats.
func (c *crowd) atRest(writes, mostReads int) {
	c.w.Helper()
	counts := c.wire.Counts()
	c.w.Expect(counts["UpdateItem"]).To(Equal(writes), "%v", counts)
	c.w.Expect(counts["GetItem"]).To(BeNumerically("<=", mostReads), "%v", counts)
	c.w.Expect(c.wire.Count("")).To(Equal(counts["UpdateItem"]+counts["GetItem"]), "%v", counts)
}

// pass lets time go by.
func (w *town) pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// A process that leads thousands of times and one that waits for all of that each send one
// heartbeat. The other one looks once a heartbeat. When the first dies, the second leads instead.
func TestElectorsOfOneSessionCostOneHeartbeatInAllAndAreAllReplaced(t *testing.T) {
	inTown(t, func(w *town) {
		before := runtime.NumGoroutine()
		leaders := w.crowd("leaders")
		leaders.allLead()
		candidates := w.crowd("candidates")
		w.pass(5 * sessionHeartbeat)
		// A leader has Run, its work and its guard, a candidate has Run. The runtime starts some
		// of its own now and then.
		w.Expect(runtime.NumGoroutine() - before).To(BeNumerically("<=", 3*w.many+w.many+20))
		leaders.wire.Reset()
		candidates.wire.Reset()
		w.pass(10 * sessionHeartbeat)
		leaders.atRest(10, 0)
		candidates.atRest(10, 13)

		leaders.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		died := time.Now()
		candidates.allLead()
		w.Expect(time.Since(died)).To(BeNumerically("<=", sessionLease*11/10))
		w.pass(sessionLease)
		leaders.haveEnded(1, election.ErrLeaseExpired)
		leaders.wire.SetHook(nil)
		w.pass(2 * sessionLease)
		w.Expect(leaders.leading.Load()).To(BeZero())
		w.Expect(candidates.leading.Load()).To(BeEquivalentTo(w.many))
	})
}

func TestElectorsOfASessionThatWasLostLeadAgainUnderTheNext(t *testing.T) {
	inTown(t, func(w *town) {
		leaders := w.crowd("leaders")
		leaders.allLead()
		session, lost := leaders.session.Name(), leaders.session.Lost()
		leaders.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		<-lost
		w.pass(sessionTrip)
		w.Expect(leaders.leading.Load()).To(BeZero())
		w.pass(sessionHeartbeat)
		leaders.haveEnded(1, election.ErrLeaseExpired)
		leaders.wire.SetHook(nil)
		leaders.allLead()
		w.Expect(leaders.session.Name()).NotTo(Or(BeEmpty(), Equal(session)))
		w.pass(sessionHeartbeat)
		leaders.wire.Reset()
		w.pass(10 * sessionHeartbeat)
		leaders.atRest(10, 0)
		for _, m := range leaders.members {
			w.Expect([]int64{m.started.Load(), m.stopped.Load()}).To(Equal([]int64{2, 1}))
		}
	})
}

// All of them announce, all of them release, and there is one item that keeps their locks.
func TestElectorsOfOneSessionThatAreToldToStopHandOverTogether(t *testing.T) {
	inTown(t, func(w *town) {
		leaders := w.crowd("leaders")
		leaders.allLead()
		candidates := w.crowd("candidates")
		w.pass(5 * sessionHeartbeat)
		leaders.wire.Reset()
		leaders.cancel()
		candidates.allLead()
		leaders.running.Wait()
		leaders.haveEnded(1, context.Canceled)
		kinds := leaders.wire.Kinds()
		w.Expect(kinds[wire.Announce]).To(Equal(1))
		w.Expect(kinds[wire.Release]).To(Equal(w.many))
		w.Expect(kinds[wire.Heartbeat]).To(BeNumerically("<=", 3))
	})
}
