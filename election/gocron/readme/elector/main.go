package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-co-op/gocron/v2"

	"github.com/leaderkit/leaderkit/election"
	leadercron "github.com/leaderkit/leaderkit/election/gocron"
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
		elector.Task(sendInvoices),
		gocron.WithName("send-invoices"),
	)
	if err != nil {
		log.Fatal(err)
	}
	scheduler.Start()

	err = elector.Run(ctx) // until ctx ends: then it waits for the runs under way
	if err != nil {
		log.Print(err)
	}
	if err := scheduler.Shutdown(); err != nil {
		log.Print(err)
	}
}

// sendInvoices is the job. Its ctx ends with the term.
func sendInvoices(ctx context.Context) error {
	term, _ := election.TermFromContext(ctx)
	log.Print("sending invoices, fencing token ", term.FencingToken)
	return nil
}
