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
	lock := &lockclient.DynamoDBLockClient{
		LockName: "nightly-report", LeaseDuration: 15 * time.Second, TableName: "locks", Client: db,
	}
	if err := lock.WaitForLock(ctx); err != nil { // TryLock does not wait for a holder that is alive
		log.Fatal(err)
	}
	defer lock.RemoveLock()
	for page := 1; page <= 3; page++ {
		if held, err := lock.HasLock(); !held { // sends no request
			log.Print("lost the lock: ", err)
			return
		}
		log.Print("writing page ", page)
	}
}
