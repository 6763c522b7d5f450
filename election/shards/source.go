package shards

import (
	"context"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// lock is the lock of a shard, or the one that a member holds as long as it lives. It is kept by
// the session.
type lock interface {
	election.Lock

	// GetLockWithContext is PollLock that tries to acquire the lock without a look at it first.
	GetLockWithContext(ctx context.Context) (bool, error)
}

// source is what a replica needs of a session: locks that are kept and lost together, and the table
// that they are in.
type source interface {
	timing() (lease.Timing, error)
	identity() string
	// newID returns an id for a member, which nobody has ever had.
	newID() (string, error)
	clock() lease.Clock
	table() table
	// lock returns a new handle on the lock of that name. It sends no request. deleted: a release
	// deletes the lock's item.
	lock(name string, deleted bool) lock
}
