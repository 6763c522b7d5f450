package gocron

import (
	"context"
	"errors"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// errAlive ends the wait for a holder: it has written meanwhile.
var errAlive = errors.New("its holder is alive")

// takeOver waits for a holder that has refused the lock of a job and may have crashed. nil: it had,
// and the lock is this process's. An error: it is alive, or the wait can't go on.
//
// lockclient's TryLock waits for the same, but it also takes a lock that is released meanwhile.
// Here that is the lock of a tick which is done.
func (l *Locker) takeOver(ctx context.Context, j *job, refusal *lockclient.LockHeldError) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.closing, func() { cancel(ErrClosed) })()

	left := refusal.LeaseDuration - refusal.Unchanged
	if left > j.lease {
		return refusal // of another make; it is watched from tick to tick
	}
	began, seen := time.Now(), ""
	for pause, next := time.Duration(0), refusal.RetryAfter; ; next = j.lease / 12 {
		if !sleep(ctx, pause) {
			return context.Cause(ctx)
		}
		version, err := unchanged(ctx, j.client, seen)
		waited := time.Since(began)
		switch {
		case errors.Is(err, errAlive):
			return refusal
		case err != nil && (waited >= left || isPermanent(err)):
			return err
		case err == nil:
			seen = version
		}
		if waited < left {
			pause = min(max(next, time.Millisecond), left-waited)
			continue
		}
		err = l.acquire(ctx, j)
		var again *lockclient.LockHeldError
		if !errors.As(err, &again) || again.Unchanged < waited {
			return err
		}
		pause = again.RetryAfter // the same record, of another make: it has to be watched a little longer than its lease
	}
}

func isPermanent(err error) bool {
	var p interface {
		error
		Permanent() bool
	}
	return errors.As(err, &p) && p.Permanent()
}

// unchanged gives the version of a lock's record, or errAlive if it is another than was seen, or
// released.
func unchanged(ctx context.Context, client *lockclient.DynamoDBLockClient, seen string) (version string, err error) {
	item, err := client.Peek(ctx)
	switch {
	case err != nil:
		return "", err
	case item.Released, seen != "" && item.RecordVersionNumber != seen:
		return "", errAlive
	}
	return item.RecordVersionNumber, nil
}

// sleep waits for d, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
