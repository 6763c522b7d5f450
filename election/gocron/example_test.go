package gocron_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/election"
	leadercron "github.com/leaderkit/leaderkit/election/gocron"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// newDatabase stands for dynamodb.New(session) with the table in place.
func newDatabase() dynamodbiface.DynamoDBAPI {
	client := dynamotest.NewClient(dynamotest.New())
	if err := lockclient.EnsureTable(context.Background(), client, "locks", lockclient.WithoutTTL()); err != nil {
		log.Fatal(err)
	}
	return client
}

// A lock for each job: every process runs this program.
func ExampleLocker() {
	db := newDatabase()
	ran := make(chan string, 10)
	sendInvoices := func(_ context.Context, fence int64) error {
		ran <- fmt.Sprint("invoices are sent, with a fencing token: ", fence > 0)
		return nil
	}

	locker, err := leadercron.NewLocker(leadercron.LockerConfig{
		Client: db, TableName: "locks", Prefix: "billing/",
		LeaseDuration: 15 * time.Second, // how long a crashed process blocks its job
		MinimumHold:   2 * time.Second,  // more than the clocks differ, less than the shortest interval
	})
	if err != nil {
		log.Fatal(err)
	}
	scheduler, err := gocron.NewScheduler(gocron.WithDistributedLocker(locker))
	if err != nil {
		log.Fatal(err)
	}
	_, err = scheduler.NewJob(
		gocron.CronJob("*/5 * * * * *", true), // each five seconds; the names of jobs are those of their locks
		locker.Task(func(ctx context.Context) error { // ctx ends if the lock is lost
			run, _ := leadercron.RunFromContext(ctx)
			return sendInvoices(ctx, run.FencingToken)
		}),
		gocron.WithName("send-invoices"),
	)
	if err != nil {
		log.Fatal(err)
	}
	scheduler.Start()

	fmt.Println(<-ran)
	if err := scheduler.Shutdown(); err != nil { // waits for the runs under way
		log.Fatal(err)
	}
	if err := locker.Close(context.Background()); err != nil { // waits for their MinimumHold
		log.Fatal(err)
	}
	// Output: invoices are sent, with a fencing token: true
}

// One leader for all jobs: every process runs this program.
func ExampleElector() {
	db := newDatabase()
	ctx, stop := context.WithCancel(context.Background()) // in a service: signal.NotifyContext(..., syscall.SIGTERM)
	ran := make(chan string, 10)
	sendInvoices := func(_ context.Context, fence int64) error {
		ran <- fmt.Sprint("invoices are sent, with a fencing token: ", fence > 0)
		return nil
	}

	elector, err := leadercron.NewElector(election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "billing-scheduler", TableName: "locks", LeaseDuration: 15 * time.Second, Client: db,
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	scheduler, err := gocron.NewScheduler(gocron.WithDistributedElector(elector))
	if err != nil {
		log.Fatal(err)
	}
	_, err = scheduler.NewJob(
		gocron.CronJob("* * * * * *", true),
		elector.Task(func(ctx context.Context) error { // ctx ends with the term
			term, _ := election.TermFromContext(ctx)
			return sendInvoices(ctx, term.FencingToken)
		}),
		gocron.WithName("send-invoices"),
	)
	if err != nil {
		log.Fatal(err)
	}
	scheduler.Start()
	done := make(chan error)
	go func() { done <- elector.Run(ctx) }()

	fmt.Println(<-ran)
	if err := scheduler.Shutdown(); err != nil {
		log.Fatal(err)
	}
	stop() // releases the lock when the runs under way have returned
	fmt.Println("stopped:", <-done)
	// Output:
	// invoices are sent, with a fencing token: true
	// stopped: <nil>
}

// What gocron does not say: why a run was skipped.
func ExampleLocker_skipped() {
	db := newDatabase()
	config := leadercron.LockerConfig{Client: db, TableName: "locks", LeaseDuration: 15 * time.Second, MinimumHold: 2 * time.Second}
	here, err := leadercron.NewLocker(config)
	if err != nil {
		log.Fatal(err)
	}
	elsewhere, err := leadercron.NewLocker(config)
	if err != nil {
		log.Fatal(err)
	}
	lock, err := elsewhere.Lock(context.Background(), "send-invoices") // as gocron does
	if err != nil {
		log.Fatal(err)
	}

	skipped := make(chan string)
	scheduler, err := gocron.NewScheduler(gocron.WithDistributedLocker(here), gocron.WithGlobalJobOptions(
		gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, name string, err error) {
			if errors.Is(err, lockclient.ErrLockHeld) {
				skipped <- name + " runs elsewhere"
				return
			}
			log.Println(name, err) // no table, no permission, DynamoDB out of reach, ...
		}))))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := scheduler.NewJob(gocron.OneTimeJob(gocron.OneTimeJobStartImmediately()),
		gocron.NewTask(func() { fmt.Println("not here") }), gocron.WithName("send-invoices")); err != nil {
		log.Fatal(err)
	}
	scheduler.Start()
	fmt.Println(<-skipped)
	_ = scheduler.Shutdown()
	_ = lock.Unlock(context.Background())
	// Output: send-invoices runs elsewhere
}
