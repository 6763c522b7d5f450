// Command create-local-table makes sure that a lock table exists: the example of
// dynamodb-lock-client-golang. It may be run repeatedly, and by several processes at once.
//
//	go run ./test/dynamolocal/cmd/dynamolocal                                      DynamoDB Local on port 8000
//	go run ./examples/create-local-table                                           creates the table LockTable in it
//	AWS_REGION=eu-west-1 go run ./examples/create-local-table -endpoint aws        creates it on AWS, billed on demand
//
// table.go is the part to copy.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

func main() {
	ctx, stop := demo.Context()
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "create-local-table:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	flags := flag.NewFlagSet("create-local-table", flag.ExitOnError)
	endpoint := flags.String("endpoint", cmp.Or(os.Getenv("DYNAMODB_ENDPOINT"), "http://localhost:8000"), "`URL` of a DynamoDB, or \"aws\"")
	table := flags.String("table", "LockTable", "`name` of the table")
	timeout := flags.Duration("timeout", time.Minute, "how long to wait until the table can be used")
	_ = flags.Parse(os.Args[1:]) // exits if the flags are wrong

	client, err := demo.Connect(*endpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	err = ensure(ctx, client, *table)
	if unreachable(err) {
		return fmt.Errorf("nothing answers at %s (go run ./test/dynamolocal/cmd/dynamolocal runs DynamoDB Local there): %w", *endpoint, err)
	}
	return err
}

// unreachable reports whether no DynamoDB has answered.
func unreachable(err error) bool {
	var failed awserr.Error
	return errors.As(err, &failed) && failed.Code() == request.ErrCodeRequestError
}
