package cron_test

import (
	"context"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/election/cron"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// One process of the fleet. The others run the same, and one of them leads.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := dynamotest.NewServer() // in a program: dynamodb.New(session)
	defer server.Close()
	db := server.Client()
	if err := lockclient.EnsureTable(ctx, db, "locks"); err != nil {
		fmt.Println(err)
		return
	}
	jobs, err := cron.New(cron.Config{Client: db, TableName: "locks", Jobs: []cron.Job{{
		Name:     "invoices",
		Schedule: cron.Every(100 * time.Millisecond), // in a program: an hour, say
		Run: func(_ context.Context, tick cron.Tick) error {
			fmt.Println("invoices, attempt", tick.Attempt)
			stop()
			return nil
		},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	election.RunOrDie(ctx, election.LeaderElectionConfig{
		Lock:            &lockclient.DynamoDBLockClient{LockName: "cron", TableName: "locks", LeaseDuration: 15 * time.Second, Client: db},
		ReleaseOnCancel: true,
		Callbacks:       election.LeaderCallbacks{OnStartedLeading: jobs.Lead, OnStoppedLeading: func() {}},
	})
	record, err := jobs.Record(context.Background(), "invoices")
	fmt.Println(record.State, err)
	// Output:
	// invoices, attempt 1
	// done <nil>
}
