package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/lockclient"
)

// holder is one process that wants to hold many locks.
type holder struct {
	name      string
	client    dynamodbiface.DynamoDBAPI
	table     string
	prefix    string
	count     int
	lease     time.Duration
	contended bool
	logger    logr.Logger
	report    func(lock int, token int64, what event) // in place of work
}

// event is what happens to one lock in this process.
type event string

const (
	holds   event = "holds"
	lost    event = "lost"    // the session was not renewed in time, or somebody has marked it
	stopped event = "stopped" // the work has ended, because the process is told to
)

// run holds what locks it can get until ctx ends, and then hands them over.
func (h *holder) run(ctx context.Context) error {
	session := &lockclient.Session{
		TableName:     h.table,
		Client:        h.client,
		LeaseDuration: h.lease,
		Identifier:    h.name,
		Logger:        h.logger,
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var working sync.WaitGroup
	for i := range h.count {
		lock := &lockclient.DynamoDBLockClient{LockName: fmt.Sprint(h.prefix, i), Session: session}
		working.Go(func() {
			if err := h.work(ctx, i, lock); err != nil {
				fail(err)
			}
		})
	}
	<-ctx.Done()
	failure := context.Cause(ctx)
	if errors.Is(failure, context.Canceled) {
		failure = nil // it was told to stop
	}

	// The work ends first, and then the session. From then on others hold its locks.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.lease)
	defer cancel()
	_ = session.AnnounceClose(ending) // a courtesy: the others look closely while the work ends
	working.Wait()
	return errors.Join(failure, session.Close(ending)) // one write frees all locks
}

// work waits for one lock, and works for as long as it is held, again and again until ctx ends.
func (h *holder) work(ctx context.Context, i int, lock *lockclient.DynamoDBLockClient) error {
	if !h.goesFirst(i) {
		select {
		case <-time.After(h.lease / 2):
		case <-ctx.Done():
		}
	}
	for {
		switch err := lock.WaitForLock(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err // one that no retry can fix: no table, no permission
		}
		token, _ := lock.FencingToken()
		h.report(i, token, holds)
		h.report(i, token, h.hold(ctx, lock.Lost()))
	}
}

// hold stands for the work. A real program would hand the token to whatever it writes to.
func (h *holder) hold(ctx context.Context, gone <-chan struct{}) event {
	select {
	case <-gone:
		return lost
	case <-ctx.Done():
	}
	select {
	case <-gone:
		return lost
	case <-time.After(h.lease / 2): // it finishes what it has begun
		return stopped
	}
}

// goesFirst reports whether this process takes the lock at once. Each has a third of its own, and
// takes over the others' only if nobody has taken them for a while.
func (h *holder) goesFirst(i int) bool { return h.contended || "abc"[i%3:i%3+1] == h.name }
