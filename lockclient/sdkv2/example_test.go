package sdkv2_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// newClient stands for dynamodb.NewFromConfig(cfg).
func newClient(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(url),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})
}

// A lock over a client of aws-sdk-go-v2. Elections take the lock as ever.
func ExampleNew() {
	server := dynamotest.NewServer() // in production: DynamoDB
	defer server.Close()
	client := newClient(server.URL) // in production: dynamodb.NewFromConfig(cfg)

	ctx := context.Background()
	db := sdkv2.New(client)
	if err := lockclient.EnsureTable(ctx, db, "locks"); err != nil {
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
	held, _ := lock.HasLock()
	fmt.Println("held:", held)

	if err := lock.RemoveLock(); err != nil {
		log.Fatal(err)
	}
	held, _ = lock.HasLock()
	fmt.Println("held:", held)
	// Output:
	// held: true
	// held: false
}
