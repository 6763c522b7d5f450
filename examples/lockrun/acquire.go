package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
)

// newLock makes the lock of a run.
func newLock(f *runFlags, client dynamodbiface.DynamoDBAPI) *lockclient.DynamoDBLockClient {
	owner := f.owner
	if owner == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown-host"
		}
		// The random part tells containers apart that have one name and one pid.
		owner = fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
	}
	return &lockclient.DynamoDBLockClient{
		LockName:         f.name,
		Identifier:       owner,
		LeaseDuration:    f.lease,
		TableName:        f.table,
		PartitionKeyName: f.key,
		MaxClockSkew:     f.skew,
		Client:           client,
	}
}

// acquire takes the lock as the flags say.
func acquire(ctx context.Context, f *runFlags, lock *lockclient.DynamoDBLockClient) error {
	var err error
	if f.wait > 0 {
		err = within(ctx, f.wait, lock.WaitForLock)
	} else {
		err = try(ctx, f, lock)
	}
	if ctx.Err() != nil && err != nil {
		return context.Cause(ctx) // a signal
	}
	return err
}

// try takes the lock if its holder is not alive. The first request alone decides whether DynamoDB
// answers: a holder that is watched may rightly say nothing for long.
func try(ctx context.Context, f *runFlags, lock *lockclient.DynamoDBLockClient) error {
	var held *lockclient.LockHeldError
	err := within(ctx, f.timeout, func(ctx context.Context) error {
		_, err := lock.GetLockWithContext(ctx)
		return err
	})
	if !errors.As(err, &held) {
		return err
	}
	return within(ctx, held.LeaseDuration+held.LeaseDuration/20+f.timeout, lock.TryLock)
}

// within gives do a limit of time.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}
