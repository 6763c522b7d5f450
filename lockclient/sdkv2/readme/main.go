package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	db := sdkv2.New(dynamodb.NewFromConfig(cfg)) // one for all locks of the process

	if err := lockclient.EnsureTable(ctx, db, "locks"); err != nil { // or make the table elsewhere
		log.Fatal(err)
	}
	lock := &lockclient.DynamoDBLockClient{
		LockName:      "nightly-report",
		LeaseDuration: 15 * time.Second,
		TableName:     "locks",
		Client:        db,
	}
	if err := lock.WaitForLock(ctx); err != nil {
		log.Fatal(err)
	}
	defer lock.RemoveLock()
	token, _ := lock.FencingToken()
	fmt.Println("held, fencing token", token)
}
