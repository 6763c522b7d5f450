package integration

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// Electors in real time. What depends on exact moments is specified beside package election, in
// virtual time.

// replica is one of several electors that compete.
type replica struct {
	*election.LeaderElector
	id     string
	wire   *wire.Wire
	cancel context.CancelFunc
	done   chan error
	term   atomic.Pointer[election.Term] // the latest
}

// leaderships collects the leading contexts of all replicas, and notes two that are alive at once.
type leaderships struct {
	mu    sync.Mutex
	alive map[string]context.Context
	found []string
}

func (l *leaderships) begins(id string, ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, theirs := range l.alive {
		if theirs.Err() == nil && ctx.Err() == nil {
			l.found = append(l.found, id+" leads while "+other+" does")
		}
	}
	l.alive[id] = ctx
}

func (l *leaderships) ends(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.alive, id)
}

var _ = Describe("Three electors", func() {
	const (
		theLease      = 3 * time.Second
		theHeartbeat  = 700 * time.Millisecond
		renewDeadline = 2 * time.Second
		retry         = 500 * time.Millisecond
		longestRetry  = time.Duration(election.JitterFactor * float64(retry))
		// late is what a busy machine may add to any figure here.
		late = 700 * time.Millisecond
	)
	var (
		together *leaderships
		replicas []*replica
	)

	// leader is the one that leads; exactly one does, before long.
	leader := func() *replica {
		GinkgoHelper()
		var found *replica
		Eventually(func() int {
			n := 0
			for _, r := range replicas {
				if r.IsLeader() {
					n++
					found = r
				}
			}
			return n
		}).WithTimeout(3 * theLease).WithPolling(5 * time.Millisecond).Should(Equal(1))
		return found
	}

	BeforeEach(func() {
		together, replicas = &leaderships{alive: map[string]context.Context{}}, nil
		lock := uniqueLock()
		for _, id := range []string{"a", "b", "c"} {
			r := &replica{id: id, wire: wire.New(server), done: make(chan error, 1)}
			var err error
			r.LeaderElector, err = election.NewLeaderElector(election.LeaderElectionConfig{
				Lock: &lockclient.DynamoDBLockClient{LockName: lock, TableName: table, Identifier: id,
					LeaseDuration: theLease, HeartbeatPeriod: theHeartbeat, Client: wire.NewClient(r.wire)},
				RenewDeadline: renewDeadline,
				RetryPeriod:   retry,
				Callbacks: election.LeaderCallbacks{
					OnStartedLeading: func(ctx context.Context) {
						term, _ := election.TermFromContext(ctx)
						r.term.Store(&term)
						together.begins(id, ctx)
						defer together.ends(id)
						<-ctx.Done()
					},
					OnStoppedLeading: func() {},
					OnNewLeader:      func(string) {},
				},
				ReleaseOnCancel: true,
			})
			Expect(err).NotTo(HaveOccurred())
			ctx, cancel := context.WithCancel(context.Background())
			r.cancel = cancel
			go func() { r.done <- r.Run(ctx) }()
			replicas = append(replicas, r)
		}
		DeferCleanup(func() {
			for _, r := range replicas {
				r.wire.SetHook(nil)
				r.cancel()
			}
			for _, r := range replicas {
				var err error
				Eventually(r.done).WithTimeout(2 * theLease).Should(Receive(&err))
				Expect(err).NotTo(HaveOccurred())
				Expect(r.IsLeader()).To(BeFalse())
				r.wire.Settle()
			}
			Expect(together.found).To(BeEmpty())
		})
	})

	It("have one leader, whom all of them report", func() {
		first := leader()
		for _, r := range replicas {
			Eventually(r.GetLeader).WithTimeout(theLease).Should(Equal(first.id))
		}
		Consistently(first.IsLeader).WithTimeout(2*theLease).WithPolling(20*time.Millisecond).Should(BeTrue(), "it renews")
	})

	It("hand over to another within one RetryPeriod when the leader resigns", func(ctx SpecContext) {
		first := leader()
		Expect(first.Resign(ctx)).To(Succeed())
		released := time.Now()
		Expect(leader()).NotTo(BeIdenticalTo(first))
		Expect(time.Since(released)).To(BeNumerically("<=", longestRetry+late))
	})

	It("replace a leader that is cut off, after its leading context has ended and within its lease and one RetryPeriod", func() {
		first := leader()
		first.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		cut := time.Now()
		Eventually(first.IsLeader).WithTimeout(theLease).WithPolling(5 * time.Millisecond).Should(BeFalse())
		Expect(time.Since(cut)).To(BeNumerically("<=", renewDeadline+late))
		Expect(leader()).NotTo(BeIdenticalTo(first))
		Expect(time.Since(cut)).To(And(BeNumerically(">=", theLease-theHeartbeat-late), BeNumerically("<=", theLease+longestRetry+late)))
	})

	It("never have two leaders while each in turn is cut off and comes back", func() {
		var watching sync.WaitGroup
		stop := make(chan struct{})
		watching.Go(func() { // IsLeader, too, is true in one place only
			for {
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Millisecond):
				}
				n := 0
				for _, r := range replicas {
					if r.IsLeader() {
						n++
					}
				}
				if n > 1 {
					together.mu.Lock()
					together.found = append(together.found, "two are IsLeader at once")
					together.mu.Unlock()
				}
			}
		})
		defer func() {
			close(stop)
			watching.Wait()
		}()
		for range 3 {
			first := leader()
			first.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
			Eventually(func() bool { return leader() != first }).WithTimeout(3 * theLease).Should(BeTrue())
			first.wire.SetHook(nil)
		}
	})

	It("fence what a leader writes: a transaction with the ConditionCheck of a past term is refused", func(ctx SpecContext) {
		first := leader()
		Eventually(first.term.Load).ShouldNot(BeNil())
		check, err := first.term.Load().ConditionCheck()
		Expect(err).NotTo(HaveOccurred())
		result := key("result-" + uniqueLock())
		write := func() error {
			_, err := admin.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
				{ConditionCheck: check},
				{Put: &dynamodb.Put{TableName: aws.String(table), Item: result}},
			}})
			return err
		}
		Eventually(write).Should(Succeed(), "a heartbeat may have met the first")
		Expect(first.Resign(ctx)).To(Succeed())
		leader()
		Expect(lockclient.TransactionError(write(), 0)).To(MatchError(lockclient.ErrLockLost))
	})
})

var _ = Describe("An elector", func() {
	It("returns at once if there is no table", func(ctx SpecContext) {
		e, err := election.NewLeaderElector(election.LeaderElectionConfig{
			Lock: &lockclient.DynamoDBLockClient{LockName: "x", TableName: "no-such-table", LeaseDuration: time.Minute, Client: admin},
			Callbacks: election.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { panic("never") },
				OnStoppedLeading: func() { panic("never") },
			},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(e.Run(ctx)).To(MatchError(lockclient.ErrTableNotFound))
	})
})
