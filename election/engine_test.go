package election

import (
	"context"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	testwire "github.com/leaderkit/leaderkit/test/wire"
)

// These specs run in real time, over a socket, on the engine at DYNAMODB_ENDPOINT or on dynamotest. What depends on exact moments is
// in the other files, in virtual time.

// severable is a client whose requests can be made to fail.
type severable struct {
	dynamodbiface.DynamoDBAPI
	cut atomic.Bool
}

func (s *severable) GetItemWithContext(ctx context.Context, in *dynamodb.GetItemInput, o ...request.Option) (*dynamodb.GetItemOutput, error) {
	if s.cut.Load() {
		return nil, errNetwork
	}
	return s.DynamoDBAPI.GetItemWithContext(ctx, in, o...)
}

func (s *severable) UpdateItemWithContext(ctx context.Context, in *dynamodb.UpdateItemInput, o ...request.Option) (*dynamodb.UpdateItemOutput, error) {
	if s.cut.Load() {
		return nil, errNetwork
	}
	return s.DynamoDBAPI.UpdateItemWithContext(ctx, in, o...)
}

var _ = Describe("Three electors on a real engine", Ordered, func() {
	const (
		lease     = 3 * time.Second
		heartbeat = 700 * time.Millisecond
		retry     = 500 * time.Millisecond
		// late is what a busy machine may add to any figure here.
		late = 700 * time.Millisecond
	)
	var (
		client dynamodbiface.DynamoDBAPI
		table  string
	)

	BeforeAll(func(ctx SpecContext) {
		closeIdle := func() {}
		if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
			transport, idle, err := testwire.Endpoint(endpoint)
			Expect(err).NotTo(HaveOccurred())
			reply, err := (&http.Client{Transport: transport}).Get(endpoint)
			Expect(err).NotTo(HaveOccurred(), "DYNAMODB_ENDPOINT is set, and nothing answers there")
			Expect(reply.Body.Close()).To(Succeed())
			client, closeIdle = testwire.NewClient(transport), idle
		} else {
			server := dynamotest.NewServer()
			client, closeIdle = server.Client(), server.Close
		}
		table = "election-" + uuid.NewString()
		Expect(lockclient.EnsureTable(ctx, client, table, lockclient.WithoutTTL())).To(Succeed())
		DeferCleanup(func() {
			_, err := client.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table})
			Expect(err).NotTo(HaveOccurred())
			closeIdle()
		})
	})

	type replica struct {
		elector *LeaderElector
		client  *severable
		cancel  context.CancelFunc
		done    chan error
	}
	var (
		together *overlap
		replicas []*replica
	)

	// leader is the one that leads; exactly one does, before long.
	leader := func() *replica {
		var found *replica
		Eventually(func() int {
			n := 0
			for _, r := range replicas {
				if r.elector.IsLeader() {
					n++
					found = r
				}
			}
			return n
		}).WithTimeout(3 * lease).WithPolling(5 * time.Millisecond).Should(Equal(1))
		return found
	}

	BeforeEach(func() {
		before := gleak.Goroutines()
		together, replicas = &overlap{}, nil
		lock := uuid.NewString()
		began := time.Now()
		for _, id := range []string{"a", "b", "c"} {
			r := &replica{client: &severable{DynamoDBAPI: client}, done: make(chan error, 1)}
			var err error
			r.elector, err = NewLeaderElector(LeaderElectionConfig{
				Lock: &lockclient.DynamoDBLockClient{LockName: lock, TableName: table, Identifier: id,
					LeaseDuration: lease, HeartbeatPeriod: heartbeat, Client: r.client},
				RetryPeriod: retry,
				Callbacks: LeaderCallbacks{
					OnStartedLeading: func(ctx context.Context) {
						leave := together.enter(id, ctx, time.Since(began))
						defer leave()
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
			go func() { r.done <- r.elector.Run(ctx) }()
			replicas = append(replicas, r)
		}
		DeferCleanup(func() {
			for _, r := range replicas {
				r.client.cut.Store(false)
				r.cancel()
			}
			for _, r := range replicas {
				var err error
				Eventually(r.done).WithTimeout(2 * lease).Should(Receive(&err))
				Expect(err).NotTo(HaveOccurred())
				Expect(r.elector.IsLeader()).To(BeFalse())
			}
			Expect(together.found).To(BeEmpty())
			Eventually(gleak.Goroutines).WithTimeout(5 * time.Second).ShouldNot(gleak.HaveLeaked(before,
				gleak.IgnoringInBacktrace("net/http.(*persistConn)"), gleak.IgnoringInBacktrace("net/http.(*conn).serve")))
		})
	})

	It("have one leader, of whom all know", func() {
		first := leader()
		identity := first.elector.config.Lock.Identity()
		for _, r := range replicas {
			Eventually(r.elector.GetLeader).WithTimeout(lease).Should(Equal(identity))
		}
		Consistently(func() bool { return first.elector.IsLeader() }).WithTimeout(2*lease).WithPolling(20*time.Millisecond).
			Should(BeTrue(), "it renews")
	})

	It("hand over within one RetryPeriod when the leader is asked to go, and it is one of the others who leads", func() {
		first := leader()
		Expect(first.elector.Resign(context.Background())).To(Succeed())
		released := time.Now()
		second := leader()
		Expect(second).NotTo(BeIdenticalTo(first))
		Expect(time.Since(released)).To(BeNumerically("<=", time.Duration(float64(retry)*JitterFactor)+late))
	})

	It("replace a leader that is cut off, after its leading context has ended and within its lease and one RetryPeriod", func() {
		first := leader()
		first.client.cut.Store(true)
		cut := time.Now()
		Eventually(first.elector.IsLeader).WithTimeout(lease).WithPolling(5 * time.Millisecond).Should(BeFalse())
		Expect(time.Since(cut)).To(BeNumerically("<=", first.elector.figures.renewDeadline+late))
		second := leader()
		Expect(second).NotTo(BeIdenticalTo(first))
		Expect(time.Since(cut)).To(And(BeNumerically(">=", lease-heartbeat-late), BeNumerically("<=", lease+time.Duration(float64(retry)*JitterFactor)+late)))
	})

	It("have never two leaders while each in turn is cut off and comes back", func() {
		var rounds sync.WaitGroup
		stop := make(chan struct{})
		rounds.Go(func() { // IsLeader, too, is true in one place only
			for {
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Millisecond):
				}
				n := 0
				for _, r := range replicas {
					if r.elector.IsLeader() {
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
		for range 3 {
			first := leader()
			first.client.cut.Store(true)
			Eventually(func() bool { return leader() != first }).WithTimeout(3 * lease).Should(BeTrue())
			first.client.cut.Store(false)
		}
		close(stop)
		rounds.Wait()
	})

	It("are told at once that no retry can help, where there is no table", func() {
		e, err := NewLeaderElector(LeaderElectionConfig{
			Lock: &lockclient.DynamoDBLockClient{LockName: "x", TableName: "no-such-table", LeaseDuration: lease, Client: client},
			Callbacks: LeaderCallbacks{
				OnStartedLeading: func(context.Context) { panic("never") },
				OnStoppedLeading: func() { panic("never") },
			},
		})
		Expect(err).NotTo(HaveOccurred())
		err = e.Run(context.Background())
		Expect(err).To(MatchError(lockclient.ErrTableNotFound))
		Expect(isPermanent(err)).To(BeTrue())
	})

	It("fence what a leader writes: a transaction with the ConditionCheck of a past term is refused", func() {
		first := leader()
		first.elector.mu.Lock()
		term := first.elector.term.Term
		first.elector.mu.Unlock()
		check, err := term.ConditionCheck()
		Expect(err).NotTo(HaveOccurred())
		write := func() error {
			_, err := client.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
				{ConditionCheck: check},
				{Put: &dynamodb.Put{TableName: &table, Item: map[string]*dynamodb.AttributeValue{"key": {S: aws.String("result-" + uuid.NewString())}}}},
			}})
			return err
		}
		Eventually(write).Should(Succeed(), "a heartbeat may have met the first")
		Expect(first.elector.Resign(context.Background())).To(Succeed())
		leader()
		Expect(lockclient.TransactionError(write(), 0)).To(MatchError(lockclient.ErrLockLost))
	})
})
