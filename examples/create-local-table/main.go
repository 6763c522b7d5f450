// Command create-local-table makes sure that a lock table exists: the example of dynamodb-lock-client-golang. It may be run
// again and again, and by several at once.
//
//	hack/dynamodb-local.sh start                                                   DynamoDB Local on port 8000
//	go run ./examples/create-local-table                                           creates the table LockTable in it
//	AWS_REGION=eu-west-1 go run ./examples/create-local-table -endpoint aws        creates it on AWS, billed on demand
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
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
	endpoint := flag.String("endpoint", "http://localhost:8000", `URL of a DynamoDB, or "aws"`)
	table := flag.String("table", "LockTable", "`name` of the table")
	timeout := flag.Duration("timeout", time.Minute, "how long to wait until the table can be used")
	flag.Parse()

	client, err := demo.Connect(*endpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := lockclient.EnsureTable(ctx, client, *table); err != nil {
		if unreachable(err) {
			return fmt.Errorf("nothing answers at %s (hack/dynamodb-local.sh start runs DynamoDB Local there): %w", *endpoint, err)
		}
		return err
	}
	fmt.Printf("table %q at %s is there and active, with \"key\" (S) as its key and expiry by \"ttl\"\n", *table, *endpoint)

	locks := 0
	for lock, err := range lockclient.Locks(ctx, client, *table) {
		if err != nil {
			return err
		}
		locks++
		state := fmt.Sprintf("held by %s, lease %v", lock.Owner, lock.LeaseDuration)
		if lock.Released {
			state = "released"
		}
		fmt.Printf("  lock %q: %s, fencing token %d\n", lock.Name, state, lock.FencingToken)
	}
	if locks == 0 {
		fmt.Println("  no locks in it")
	}
	return nil
}

// unreachable says that no DynamoDB has answered.
func unreachable(err error) bool {
	var failed awserr.Error
	return errors.As(err, &failed) && failed.Code() == request.ErrCodeRequestError
}
