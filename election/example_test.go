package election_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// newDatabase stands for dynamodb.New(session) with the table in place.
func newDatabase() dynamodbiface.DynamoDBAPI {
	client := dynamotest.NewClient(dynamotest.New())
	if err := lockclient.EnsureTable(context.Background(), client, "locks", lockclient.WithoutTTL()); err != nil {
		panic(err)
	}
	return client
}

// The twelve lines that make a process a candidate, and its work the leader's.
func Example() {
	client := newDatabase()
	ctx, shutdown := context.WithCancel(context.Background()) // in a service: signal.NotifyContext(..., syscall.SIGTERM)

	election.RunOrDie(ctx, election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{LockName: "leader", TableName: "locks", LeaseDuration: 15 * time.Second, Client: client},
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				fmt.Println("leading")
				shutdown() // something asks the process to end
				<-ctx.Done()
				fmt.Println("stopping:", context.Cause(ctx))
			},
			OnStoppedLeading: func() { fmt.Println("stopped; the lock is released next") },
		},
		ReleaseOnCancel: true,
	})
	// Output:
	// leading
	// stopping: context canceled
	// stopped; the lock is released next
}

// A write that commits only if its term still holds the lock at that very moment, however long the
// process stood still between its last check and the write.
func ExampleTermFromContext() {
	client := newDatabase()
	lock := &lockclient.DynamoDBLockClient{LockName: "leader", TableName: "locks", LeaseDuration: 15 * time.Second, Client: client}

	write := func(fence *dynamodb.ConditionCheck, value string) error {
		_, err := client.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
			{ConditionCheck: fence},
			{Put: &dynamodb.Put{TableName: aws.String("locks"), Item: map[string]*dynamodb.AttributeValue{
				"key": {S: aws.String("result")}, "value": {S: aws.String(value)},
			}}},
		}})
		if lost := lockclient.TransactionError(err, 0); lost != nil { // the fence is at place 0
			return lost
		}
		return err
	}

	var late *dynamodb.ConditionCheck
	election.RunOrDie(context.Background(), election.LeaderElectionConfig{
		Lock:    lock,
		OneTerm: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				term, _ := election.TermFromContext(ctx)
				fence, err := term.ConditionCheck()
				if err != nil {
					return
				}
				fmt.Println("in its term:", write(fence, "computed by the leader"))
				late = fence
			},
			OnStoppedLeading: func() {},
		},
	})
	err := write(late, "computed by a leader that is none any more")
	fmt.Println("afterwards refused:", errors.Is(err, lockclient.ErrLockLost))
	// Output:
	// in its term: <nil>
	// afterwards refused: true
}

// Handing over for a deployment, while the process goes on as a candidate.
func ExampleLeaderElector_Resign() {
	ctx, shutdown := context.WithCancel(context.Background())
	defer shutdown()
	leading := make(chan struct{}, 1)
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{LockName: "leader", TableName: "locks", LeaseDuration: 15 * time.Second, Client: newDatabase()},
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				leading <- struct{}{}
				<-ctx.Done()
				fmt.Println("resigned:", errors.Is(context.Cause(ctx), election.ErrResigned))
			},
			OnStoppedLeading: func() { fmt.Println("stopped") },
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- elector.Run(ctx) }()
	<-leading

	fmt.Println("released:", elector.Resign(ctx)) // the work has returned by now
	fmt.Println("leads:", elector.IsLeader())     // another candidate has the first go
	shutdown()
	fmt.Println("over:", <-done)
	// Output:
	// resigned: true
	// stopped
	// released: <nil>
	// leads: false
	// over: <nil>
}

// Following who leads, from any process that runs an elector.
func ExampleLeaderElector_Observe() {
	ctx, shutdown := context.WithCancel(context.Background())
	defer shutdown()
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "leader", TableName: "locks", Identifier: "replica-1", LeaseDuration: 15 * time.Second, Client: newDatabase(),
		},
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	observing, stopObserving := context.WithCancel(context.Background())
	leaders := elector.Observe(observing)
	done := make(chan error)
	go func() { done <- elector.Run(ctx) }()

	leader := <-leaders
	fmt.Println(leader.Identity, "leads, this elector itself:", leader.Self)
	shutdown()
	fmt.Println("vacant:", (<-leaders).Vacant())
	stopObserving()
	_, open := <-leaders
	fmt.Println("open:", open, "error:", <-done)
	// Output:
	// replica-1 leads, this elector itself: true
	// vacant: true
	// open: false error: <nil>
}

// What an operator sees, with the standard library's logger.
func Example_slog() {
	ctx, shutdown := context.WithCancel(context.Background())
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.TimeKey, "fencingToken", "ledFor", "took":
			return slog.Attr{} // other in each run
		}
		return a
	}})
	election.RunOrDie(ctx, election.LeaderElectionConfig{
		Name: "orders",
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "leader", TableName: "locks", Identifier: "replica-1", LeaseDuration: 15 * time.Second, Client: newDatabase(),
		},
		ReleaseOnCancel: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { shutdown(); <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
		Logger: logr.FromSlogHandler(handler),
	})
	// Output:
	// level=INFO msg=leading name=orders identity=replica-1 how=first
	// level=INFO msg="stopped leading" name=orders identity=replica-1 cause="Run's context ended: context canceled"
	// level=INFO msg="work ended" name=orders identity=replica-1
}
