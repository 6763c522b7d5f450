package dynamotest_test

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

func createLocks(client dynamodbiface.DynamoDBAPI) error {
	_, err := client.CreateTable(&dynamodb.CreateTableInput{
		TableName:            aws.String("locks"),
		BillingMode:          aws.String(dynamodb.BillingModePayPerRequest),
		KeySchema:            []*dynamodb.KeySchemaElement{{AttributeName: aws.String("key"), KeyType: aws.String("HASH")}},
		AttributeDefinitions: []*dynamodb.AttributeDefinition{{AttributeName: aws.String("key"), AttributeType: aws.String("S")}},
	})
	return err
}

func acquire(client dynamodbiface.DynamoDBAPI, owner string) error {
	_, err := client.UpdateItem(&dynamodb.UpdateItemInput{
		TableName:                 aws.String("locks"),
		Key:                       map[string]*dynamodb.AttributeValue{"key": {S: aws.String("leader")}},
		UpdateExpression:          aws.String("SET ownerName = :me"),
		ConditionExpression:       aws.String("attribute_not_exists(ownerName)"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":me": {S: aws.String(owner)}},
	})
	return err
}

// A server on a loopback port takes any client, also one of another process.
func ExampleNewServer() {
	server := dynamotest.NewServer()
	defer server.Close()

	client := server.Client()
	fmt.Println(createLocks(client))
	fmt.Println(acquire(client, "one"))
	fmt.Println(acquire(client, "two").(awserr.Error).Code())
	// Output:
	// <nil>
	// <nil>
	// ConditionalCheckFailedException
}

// Without a socket. In a test the same client works inside a testing/synctest bubble, where time is
// virtual.
func ExampleNewClient() {
	engine := dynamotest.New()
	one, two := dynamotest.NewClient(engine), dynamotest.NewClient(engine)

	fmt.Println(createLocks(one))
	fmt.Println(acquire(one, "one"))
	var failed *dynamodb.ConditionalCheckFailedException
	fmt.Println(errors.As(acquire(two, "two"), &failed))
	// Output:
	// <nil>
	// <nil>
	// true
}

// A handler around the engine sees every request, and may refuse it.
func ExampleEngine_ServeHTTP() {
	engine := dynamotest.New()
	down := false
	wrapped := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("X-Amz-Target"))
		if down {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		engine.ServeHTTP(w, r)
	})
	client := dynamotest.NewClient(wrapped)
	fmt.Println(createLocks(client))
	down = true
	fmt.Println(acquire(client, "one") != nil)
	// Output:
	// DynamoDB_20120810.CreateTable
	// <nil>
	// DynamoDB_20120810.UpdateItem
	// true
}

// Items expire when the test says so.
func ExampleEngine_ExpireItems() {
	engine := dynamotest.New()
	client := dynamotest.NewClient(engine)
	fmt.Println(createLocks(client))
	_, err := client.UpdateTimeToLive(&dynamodb.UpdateTimeToLiveInput{
		TableName:               aws.String("locks"),
		TimeToLiveSpecification: &dynamodb.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)},
	})
	fmt.Println(err)
	_, err = client.PutItem(&dynamodb.PutItemInput{TableName: aws.String("locks"), Item: map[string]*dynamodb.AttributeValue{
		"key": {S: aws.String("leader")}, "ttl": {N: aws.String("1800000000")},
	}})
	fmt.Println(err)

	fmt.Println(engine.ExpireItems(time.Unix(1_800_000_000, 0)))
	fmt.Println(engine.ExpireItems(time.Unix(1_800_000_001, 0)))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// 0
	// 1
}

// Two Regions of a strongly consistent global table never both take a lock.
func ExampleNewGlobalTable() {
	table := dynamotest.NewGlobalTable(3)
	virginia, ohio := table.Region(0).Client(), table.Region(1).Client()

	fmt.Println(createLocks(virginia))
	fmt.Println(acquire(virginia, "one"))
	fmt.Println(acquire(ohio, "two").(awserr.Error).Code())
	// Output:
	// <nil>
	// <nil>
	// ConditionalCheckFailedException
}

// Two Regions of an eventually consistent one both take it, and one of them loses it without
// noticing.
func ExampleNewEventualGlobalTable() {
	table := dynamotest.NewEventualGlobalTable(2)
	virginia, ohio := table.Region(0).Client(), table.Region(1).Client()

	fmt.Println(createLocks(virginia))
	fmt.Println(acquire(virginia, "one"))
	fmt.Println(acquire(ohio, "two"))
	table.Replicate()
	for _, client := range []dynamodbiface.DynamoDBAPI{virginia, ohio} {
		out, err := client.GetItem(&dynamodb.GetItemInput{
			TableName: aws.String("locks"), Key: map[string]*dynamodb.AttributeValue{"key": {S: aws.String("leader")}},
		})
		fmt.Println(*out.Item["ownerName"].S, err)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// two <nil>
	// two <nil>
}

// A function of the test decides which writes meet another one.
func ExampleWithConflicts() {
	unlucky := true
	engine := dynamotest.New(dynamotest.WithConflicts(func(w dynamotest.Write) bool {
		return unlucky && w.Operation == "UpdateItem" && *w.Key["key"].S == "leader"
	}))
	client := dynamotest.NewClient(engine)

	fmt.Println(createLocks(client))
	var met *dynamodb.TransactionConflictException
	fmt.Println(errors.As(acquire(client, "one"), &met))
	unlucky = false
	fmt.Println(acquire(client, "one"))
	// Output:
	// <nil>
	// true
	// <nil>
}
