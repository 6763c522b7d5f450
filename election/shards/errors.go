package shards

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/election"
)

var (
	// ErrInvalidConfig is in the chain of every error of New and Resize that the caller can fix.
	// The text names each bad field, its value and the remedy; nothing was started and no request
	// was sent.
	ErrInvalidConfig = errors.New("shards: invalid configuration")

	// ErrAlreadyRunning is what Run returns while another Run of the same replica is under way.
	ErrAlreadyRunning = errors.New("shards: this replica is already running")

	// ErrMoved is the cause of a leading context that ended because the shard belongs to another
	// replica now. It is election.ErrResigned too.
	ErrMoved = fmt.Errorf("shards: the shard belongs to another replica now: %w", election.ErrResigned)

	// ErrNoContact is in what Check returns while the store has not answered for longer than
	// MaxSilence.
	ErrNoContact = errors.New("shards: the store has not answered")

	// ErrCannotServe is in what Check returns while the store's latest answer to a join is a
	// permanent error (no table, no permission). The store's error is in the chain, too.
	ErrCannotServe = errors.New("shards: can't join the group")
)

// errReturned is the cause of a leading context whose work has returned by itself.
var errReturned = fmt.Errorf("shards: OnStarted returned: %w", election.ErrResigned)

// heldError is what a lock's error offers when another client holds the lock.
type heldError interface {
	error
	HeldBy() (owner string, fencingToken int64)
	NextPoll() time.Duration
}

// watchedError is what a heldError may offer beyond that.
type watchedError interface {
	Watched() (unchanged, lease time.Duration)
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// lossError says why a term ended that lost its lock.
type lossError struct {
	reason error // election.ErrLeaseExpired or election.ErrLockLost
	lock   error // the lock's own LockError; nil: it had none
}

func (e *lossError) Error() string {
	if e.lock == nil {
		return e.reason.Error()
	}
	return e.reason.Error() + ": " + e.lock.Error()
}

func (e *lossError) Unwrap() []error {
	if e.lock == nil {
		return []error{e.reason}
	}
	return []error{e.reason, e.lock}
}

// panicError is the cause of the contexts that end because a callback panicked.
type panicError struct {
	what  string
	value any
}

func (e *panicError) Error() string { return fmt.Sprintf("shards: %s panicked: %v", e.what, e.value) }

// causeOf is the cause of a context that has ended, for logs.
func causeOf(ctx context.Context) string {
	if err := context.Cause(ctx); err != nil {
		return textOf(err)
	}
	return ""
}
