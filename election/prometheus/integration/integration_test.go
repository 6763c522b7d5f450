// Package integration tests the metrics of real electors, on dynamotest or on the engine at
// DYNAMODB_ENDPOINT. Faults that depend on time are tested on dynamotest inside testing/synctest
// bubbles.
package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/leaderkit/leaderkit/election"
	leaderprom "github.com/leaderkit/leaderkit/election/prometheus"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

var (
	registry = prometheus.NewPedanticRegistry() // of the one provider that a process has
	engine   http.RoundTripper
)

func TestMain(m *testing.M) {
	provider, err := leaderprom.New(registry)
	if err != nil {
		panic(err)
	}
	election.SetProvider(provider)
	rt, said, closeIdle, err := wire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	if err != nil {
		panic(err)
	}
	fmt.Println(said)
	engine = rt
	code := m.Run()
	closeIdle()
	os.Exit(code)
}

// candidate is an elector with a network connection of its own.
type candidate struct {
	*election.LeaderElector
	wire  *wire.Wire
	lock  *lockclient.DynamoDBLockClient
	stop  context.CancelFunc
	ended chan error
}

type setup struct {
	server         http.RoundTripper
	table, id      string
	name           string // of the election and its lock
	lease, renewal time.Duration
	heartbeat      time.Duration // 0: a third of the lease
}

// run makes a candidate and runs it; its work waits until its term ends.
func run(t *testing.T, s setup) *candidate {
	t.Helper()
	w := wire.New(s.server)
	ctx, stop := context.WithCancel(context.Background())
	c := &candidate{wire: w, stop: stop, ended: make(chan error, 1), lock: &lockclient.DynamoDBLockClient{
		LockName: s.name, Identifier: s.id, TableName: s.table, LeaseDuration: s.lease, HeartbeatPeriod: s.heartbeat, Client: wire.NewClient(w),
	}}
	var err error
	c.LeaderElector, err = election.NewLeaderElector(election.LeaderElectionConfig{
		Name: s.name, Lock: c.lock, RenewDeadline: s.renewal, ReleaseOnCancel: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.Run(ctx) }()
	return c
}

// end stops the candidate and waits for it.
func (c *candidate) end(t *testing.T) {
	t.Helper()
	c.wire.SetHook(nil)
	c.stop()
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
	c.wire.Settle()
}

// value is that of an exported metric; of a histogram, its count. false: it is not exported.
func value(metric string, labels prometheus.Labels) (float64, bool) {
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.Metric {
			if hasLabels(m, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
			}
		}
	}
	return 0, false
}

func hasLabels(m *dto.Metric, labels prometheus.Labels) bool {
	for _, pair := range m.Label {
		if labels[pair.GetName()] != pair.GetValue() {
			return false
		}
	}
	return len(m.Label) == len(labels)
}

// reading gives a function for Eventually that reads a metric; -1: not exported.
func reading(metric string, labels prometheus.Labels) func() float64 {
	return func() float64 {
		v, ok := value(metric, labels)
		if !ok {
			return -1
		}
		return v
	}
}

const (
	status     = "leader_election_master_status"
	slowpath   = "leader_election_slowpath_total"
	age        = "leader_election_last_renewal_age_seconds"
	terms      = "leader_election_terms_total"
	termsEnded = "leader_election_terms_ended_total"
	failovers  = "leader_election_failovers_total"
	heartbeats = "leader_election_heartbeat_duration_seconds"
)

func TestAnElectionOnAnEngine(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(20 * time.Second)
	admin := wire.NewClient(engine)
	table := "prometheus-" + uuid.NewString()
	g.Expect(lockclient.EnsureTable(t.Context(), admin, table)).To(Succeed())
	defer func() { _, _ = admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table}) }()

	s := setup{server: engine, table: table, id: "a", name: "election-" + uuid.NewString(), lease: 15 * time.Second, heartbeat: 500 * time.Millisecond}
	named := prometheus.Labels{"name": s.name}
	ends := func(cause string) func() float64 {
		return reading(termsEnded, prometheus.Labels{"name": s.name, "cause": cause})
	}
	one := run(t, s)
	defer one.end(t)
	g.Eventually(reading(status, named)).Should(Equal(1.0))
	g.Eventually(reading(terms, named)).Should(Equal(1.0))
	g.Eventually(reading(heartbeats, prometheus.Labels{"name": s.name, "result": "success"})).Should(BeNumerically(">=", 2))
	g.Expect(reading(age, named)()).To(And(BeNumerically(">=", 0), BeNumerically("<", 15)))

	s.id = "b"
	two := run(t, s)
	defer two.end(t)
	g.Eventually(two.GetLeader).Should(Equal("a"))
	g.Expect(one.Resign(t.Context())).To(Succeed())
	g.Eventually(ends("resigned")).Should(Equal(1.0))
	g.Eventually(two.GetLeader).Should(Equal("b"))
	g.Eventually(reading(terms, named)).Should(BeNumerically(">=", 2))
	g.Eventually(reading(failovers, named)).Should(BeNumerically(">=", 1), "counted by each candidate that sees it")

	two.stop()
	g.Eventually(ends("cancelled")).Should(Equal(1.0))
}

// virtually runs do in a bubble of virtual time, with one leader that has just begun to lead.
func virtually(t *testing.T, do func(t *testing.T, s setup, leader *candidate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := setup{server: dynamotest.Transport(dynamotest.New()), table: "locks", id: "leader", name: uuid.NewString(), lease: 15 * time.Second, renewal: 10 * time.Second}
		if err := lockclient.EnsureTable(t.Context(), wire.NewClient(s.server), s.table, lockclient.WithoutTTL()); err != nil {
			t.Fatal(err)
		}
		leader := run(t, s)
		synctest.Wait()
		defer leader.end(t)
		do(t, s, leader)
	})
}

func TestAPartitionShowsWhileItLastsAndAfterwards(t *testing.T) {
	virtually(t, func(t *testing.T, s setup, leader *candidate) {
		g := NewWithT(t)
		named := prometheus.Labels{"name": s.name}
		expired := reading(termsEnded, prometheus.Labels{"name": s.name, "cause": "lease_expired"})
		g.Expect(reading(status, named)()).To(Equal(1.0))
		time.Sleep(5*time.Second + time.Millisecond) // the first heartbeat has been answered
		g.Expect(reading(age, named)()).To(BeNumerically("~", 0, 0.01))

		leader.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		time.Sleep(9 * time.Second)
		g.Expect(reading(status, named)()).To(Equal(1.0))
		g.Expect(reading(age, named)()).To(BeNumerically("~", 9, 0.01))
		g.Expect(reading(slowpath, named)()).To(Equal(1.0))
		g.Expect(reading(heartbeats, prometheus.Labels{"name": s.name, "result": "failure"})()).To(BeNumerically(">=", 1))
		g.Expect(expired()).To(BeZero())

		time.Sleep(2 * time.Second)
		synctest.Wait()
		g.Expect(reading(status, named)()).To(BeZero())
		g.Expect(reading(age, named)()).To(Equal(-1.0), "nobody leads")

		leader.wire.SetHook(nil) // a term has ended when its release was tried
		time.Sleep(2 * time.Second)
		g.Expect(expired()).To(Equal(1.0))
	})
}

func TestALockThatIsTakenAwayIsCounted(t *testing.T) {
	virtually(t, func(t *testing.T, s setup, _ *candidate) {
		g := NewWithT(t)
		_, err := wire.NewClient(s.server).UpdateItem(&dynamodb.UpdateItemInput{
			TableName:        &s.table,
			Key:              map[string]*dynamodb.AttributeValue{"key": {S: &s.name}},
			UpdateExpression: aws.String("SET ownerName = :somebody, recordVersionNumber = :version ADD fencingToken :one"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
				":somebody": {S: aws.String("an operator")}, ":version": {S: aws.String(uuid.NewString())}, ":one": {N: aws.String("1")},
			},
		})
		g.Expect(err).NotTo(HaveOccurred())
		time.Sleep(6 * time.Second)
		synctest.Wait()
		g.Expect(reading(termsEnded, prometheus.Labels{"name": s.name, "cause": "lock_lost"})()).To(Equal(1.0))
		g.Expect(reading(status, prometheus.Labels{"name": s.name})()).To(BeZero())
	})
}
