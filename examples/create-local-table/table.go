package main

// This file is the part to copy: it needs only lockclient.

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
)

// ensure creates the table if there is none, waits until it can be used, and lists its locks.
func ensure(ctx context.Context, client dynamodbiface.DynamoDBAPI, table string) error {
	if err := lockclient.EnsureTable(ctx, client, table); err != nil {
		return err
	}
	fmt.Printf("table %q is active, with \"key\" (S) as its key and expiry by \"ttl\"\n", table)

	locks := 0
	for lock, err := range lockclient.Locks(ctx, client, table) {
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
