package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	db := dynamodb.New(session.Must(session.NewSession(&aws.Config{
		Endpoint: aws.String(os.Getenv("DYNAMODB_ENDPOINT")), // "": DynamoDB in AWS_REGION
	})))
	if err := lockclient.EnsureTable(ctx, db, "locks"); err != nil {
		log.Fatal(err)
	}
	election.RunOrDie(ctx, election.LeaderElectionConfig{
		Name: "worker", // in logs
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "worker", LeaseDuration: 15 * time.Second, TableName: "locks", Client: db,
		},
		ReleaseOnCancel: true, // another leads at once after a shutdown
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: lead,
			OnStoppedLeading: func() { log.Print("no longer the leader") },
		},
		Logger: logr.FromSlogHandler(slog.Default().Handler()),
	})
}

// lead works until ctx is done, and then returns soon.
func lead(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
			log.Print("working as the leader")
		}
	}
}
