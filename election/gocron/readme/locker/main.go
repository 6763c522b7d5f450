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
		gocron.CronJob("*/5 * * * * *", true), // each five seconds
		locker.Task(sendInvoices),
		gocron.WithName("send-invoices"), // the lock is billing/send-invoices
	)
	if err != nil {
		log.Fatal(err)
	}
	scheduler.Start()

	<-ctx.Done()
	if err := scheduler.Shutdown(); err != nil { // waits for the runs under way
		log.Print(err)
	}
	if err := locker.Close(context.Background()); err != nil { // waits for their MinimumHold
		log.Print(err)
	}
}

// sendInvoices is the job. Its ctx ends if the lock is lost.
func sendInvoices(ctx context.Context) error {
	run, _ := leadercron.RunFromContext(ctx)
	log.Print("sending invoices, fencing token ", run.FencingToken)
	return nil
}
