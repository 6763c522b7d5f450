package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leaderkit/leaderkit/election"
	leaderprom "github.com/leaderkit/leaderkit/election/prometheus"
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

	provider, err := leaderprom.New(prometheus.DefaultRegisterer)
	if err != nil {
		log.Fatal(err)
	}
	election.SetProvider(provider) // before the first elector is made
	http.Handle("/metrics", promhttp.Handler())
	go func() { log.Fatal(http.ListenAndServe("localhost:2112", nil)) }()

	election.RunOrDie(ctx, election.LeaderElectionConfig{
		Name: "orders", // the label "name" of every metric
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "orders", TableName: "locks", LeaseDuration: 15 * time.Second, Client: db,
		},
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { <-ctx.Done() }, // the leader's work
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
	})
}
