package gocron

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// The tests of this file run in real time, on dynamotest or on the engine at DYNAMODB_ENDPOINT.
var engine http.RoundTripper

func TestMain(m *testing.M) {
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

// makeTable makes a table and deletes it after the test.
func makeTable(t *testing.T) string {
	t.Helper()
	admin, name := wire.NewClient(engine), "gocron-"+uuid.NewString()
	if err := lockclient.EnsureTable(t.Context(), admin, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name}) })
	return name
}

func TestLockersOnAnEngine(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	table, start := makeTable(t), time.Now()
	runs := journal{now: func() time.Duration { return time.Since(start) }}
	const hold = 300 * time.Millisecond

	var schedulers []gocron.Scheduler
	for _, name := range []string{"a", "b", "c"} {
		locker, err := NewLocker(LockerConfig{
			Client: wire.NewClient(engine), TableName: table, LeaseDuration: 10 * time.Second, MinimumHold: hold,
		})
		g.Expect(err).NotTo(HaveOccurred())
		scheduler, err := gocron.NewScheduler(gocron.WithDistributedLocker(locker))
		g.Expect(err).NotTo(HaveOccurred())
		_, err = scheduler.NewJob(gocron.DurationJob(500*time.Millisecond), locker.Task(func(ctx context.Context) error {
			run, _ := RunFromContext(ctx)
			leave := runs.enterAt(name, run.run.started.Sub(start))
			defer leave()
			return nil
		}), gocron.WithName("job"))
		g.Expect(err).NotTo(HaveOccurred())
		scheduler.Start()
		schedulers = append(schedulers, scheduler)
		t.Cleanup(func() {
			g.Expect(scheduler.Shutdown()).To(Succeed())
			g.Expect(locker.Close(context.Background())).To(Succeed())
		})
	}
	count := func() int { return len(runs.list()) }
	g.Eventually(count).Should(BeNumerically(">=", 4))
	g.Expect(schedulers[0].StopJobs()).To(Succeed())
	soFar := count()
	g.Eventually(count).Should(BeNumerically(">=", soFar+3), "the others go on")

	list := runs.list()
	for i := range len(list) - 1 {
		g.Expect(list[i+1].from-list[i].from).To(BeNumerically(">=", hold), "of runs %d and %d: %v", i, i+1, list)
	}
	g.Expect(runs.atOnce()).To(Equal(1))
}

func TestElectorsOnAnEngine(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	table, start := makeTable(t), time.Now()
	runs := journal{now: func() time.Duration { return time.Since(start) }}

	stops := map[string]context.CancelFunc{}
	for _, name := range []string{"a", "b"} {
		elector, err := NewElector(election.LeaderElectionConfig{
			Lock: &lockclient.DynamoDBLockClient{
				LockName: "leader", Identifier: name, TableName: table, LeaseDuration: 10 * time.Second, Client: wire.NewClient(engine),
			},
			ReleaseOnCancel: true,
		})
		g.Expect(err).NotTo(HaveOccurred())
		scheduler, err := gocron.NewScheduler(gocron.WithDistributedElector(elector))
		g.Expect(err).NotTo(HaveOccurred())
		_, err = scheduler.NewJob(gocron.DurationJob(100*time.Millisecond), elector.Task(func(ctx context.Context) error {
			leave := runs.enter(name)
			defer leave()
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			return nil
		}), gocron.WithSingletonMode(gocron.LimitModeReschedule))
		g.Expect(err).NotTo(HaveOccurred())
		scheduler.Start()
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- elector.Run(ctx) }()
		stops[name] = stop
		t.Cleanup(func() {
			stop()
			g.Expect(<-done).To(Succeed())
			g.Expect(scheduler.Shutdown()).To(Succeed())
		})
	}
	count := func() int { return len(runs.list()) }
	g.Eventually(count).Should(BeNumerically(">=", 4))
	first := runs.list()[0].who
	stops[first]()
	g.Eventually(func() string { return runs.list()[count()-1].who }).ShouldNot(Equal(first), "the other goes on")
	soFar := count()
	g.Eventually(count).Should(BeNumerically(">=", soFar+3))
	g.Expect(runs.atOnce()).To(Equal(1))
}
