package lockclient

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// driver does what contender, ledger and tenure decide, for one lock client. It asks them
// what to do, sends it, and tells them the answer:
//
//	send.go     one request, with its timeout and its place in line
//	attempt.go  one attempt at the lock, as the contender decides
//	acquire.go  GetLock, PollLock, WaitForLock, TryLock: attempts, and pauses between them
//	release.go  RemoveLock, and freeing what unanswered attempts may have taken
//	keeper.go   the heartbeats of one tenure
//
// Attempts and releases of one client go one at a time, in turn. mu guards the state nevertheless.
type driver struct {
	rules
	requests  *requests
	line      *line
	clock     lease.Clock
	log       logr.Logger
	observers observers      // of heartbeats
	session   *sessionDriver // the lock is a member of it; nil: it has a heartbeat of its own
	epoch     *epoch         // of a session's own item; nil: a lock

	turn    turn    // for attempts and releases; heartbeats, HasLock and Lost never need it
	removal removal // counts calls of RemoveLock, and wakes the waiters

	mu        sync.Mutex // guards what follows; never held across a request, a callback or a log line
	contender contender
	ledger    ledger
	interrupt context.CancelCauseFunc // cancels the attempt that has the turn; nil: none has
	waiters   int                     // calls of WaitForLock and TryLock that have not returned
	shared    sharedResult            // the latest poll of one of them
	joining   *epoch                  // members: under which the latest acquire was sent
	following *sessionWatcher         // of the session that holds the lock; nil: none does
	untold    bool                    // a release without an answer may have freed the record, which no waiter was told

	keeper atomic.Pointer[keeper] // of the current or last tenure; nil before the first
	member atomic.Pointer[member] // where the lock has a session: instead of a keeper
}

// sharedResult is the result of one poll, for all calls that wait for this lock.
type sharedResult struct {
	err   error         // why the lock was not had
	until time.Duration // when the next poll can show anything new
}

// getLockTries is how often one GetLock sends a request that fails without an answer.
const getLockTries = 3

func (d *driver) jitter(upTo time.Duration) time.Duration { return lease.Jitter(d.clock, upTo) }

func (d *driver) sleep(ctx context.Context, pause time.Duration) bool {
	return lease.Sleep(ctx, d.clock, pause)
}

// noteAnswer tells the ledger whether a write was answered. Called with mu held.
func (d *driver) noteAnswer(err error) {
	switch {
	case wasAnswered(err):
		d.ledger.writeAnswered()
	case mayHaveCommitted(err):
		d.ledger.writeUnanswered()
	}
}

// pauseAfter is the pause after the n-th failure in a row.
func (d *driver) pauseAfter(n int, err error, period time.Duration) time.Duration {
	if isConflict(err) {
		return conflictPause(n, period, d.jitter)
	}
	return backoff(n, period, d.jitter)
}
