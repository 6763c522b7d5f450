package main

// This file is the part to copy: it needs only lockclient.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

func actionThatRequiresLock(ctx context.Context, lock *lockclient.DynamoDBLockClient, steps int) (err error) {
	// WaitForLock does the same in one call, with fewer requests.
	for {
		held, err := lock.GetLockWithContext(ctx)
		if held {
			break
		}
		var other *lockclient.LockHeldError
		if !errors.As(err, &other) {
			return err // no table, no permission, ctx ended, ...: a retry does not help
		}
		fmt.Printf("%s holds the lock; trying again in %v\n", other.Owner, other.RetryAfter.Round(time.Millisecond))
		select {
		case <-time.After(other.RetryAfter):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() {
		if released := lock.RemoveLock(); released != nil {
			err = errors.Join(err, released)
		}
	}()
	token, _ := lock.FencingToken()
	fmt.Printf("got the lock as %s, fencing token %d\n", lock.Identity(), token)

	for i := 1; i <= steps; i++ {
		// HasLock sends no request. Call it before each step that must not be done twice.
		if held, err := lock.HasLock(); !held {
			return fmt.Errorf("stopped working: %w", err)
		}
		fmt.Printf("second %d of %d of something important\n", i, steps)
		select {
		case <-time.After(time.Second):
		case <-lock.Lost(): // work that can be interrupted listens to this too
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
