package election

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Lock is what an elector needs of a lock. *lockclient.DynamoDBLockClient implements it. Its
// methods are called from several goroutines at once. While an elector runs, nothing else may
// acquire, stop or release the lock.
//
// A Lock renews its lease by itself from the moment PollLock reports it held. It ends the tenure by
// itself, on its own clock, when the lease can no longer be trusted. The elector asks it how old
// the lease is and never measures that itself.
//
// A Lock may have more methods:
//
//   - AnnounceRelease(ctx context.Context) error is called once, when a graceful end begins to
//     drain, or with HandoverNotice when the leader is told to stop. Candidates can then poll often
//     for the release. It does not end the tenure. Its error is only logged.
//   - ReleaseTo(ctx context.Context, heir string) error is RemoveLockWithContext after which only
//     the candidate with that Identity acquires, for one heartbeat period. Without this method
//     TransferTo releases the lock to all.
//   - LimitHeartbeat(atMost time.Duration) is called before Timing if RenewDeadline is given, with
//     half of it. If its heartbeat period is a default, the lock renews at least that often.
//   - ObserveHeartbeats(func(took time.Duration, err error)) (stop func()) reports each heartbeat,
//     for the metrics.
type Lock interface {
	// Timing returns the durations that the lock works with, or why it is not usable. Idempotent;
	// no request.
	Timing() (lease.Timing, error)

	// Identity returns this client's name in the lock's record. It never changes. Idempotent; no
	// request.
	Identity() string

	// PollLock is one step of campaigning. It returns soon after ctx is done, whatever the store
	// does. (true, nil): the lock is held, and heartbeats are running. (false, err): it is not
	// held. On a held lock it is idempotent: it returns (true, nil) and the tenure stays the same.
	//
	// If another client holds the lock, err has the methods HeldBy() (owner string, fencingToken
	// int64) and NextPoll() time.Duration, which returns the time until a poll can show a change
	// (0: not known). It may also have Watched() (unchanged, lease time.Duration): for how long
	// this client has seen the record unchanged, and the record's lease. Logs use it to say how one
	// leader followed another. A permanent error has Permanent() bool.
	PollLock(ctx context.Context) (bool, error)

	// HasLock reports whether the current tenure can be trusted at this moment. Idempotent; no
	// request.
	HasLock() (bool, error)

	// LockError returns why the last tenure ended; nil during a tenure and after a release.
	// Idempotent; no request.
	LockError() error

	// Lost returns a channel that is closed when the current tenure ends, for whatever reason. It
	// is already closed if there is no tenure. Idempotent; no request.
	Lost() <-chan struct{}

	// LeaseAge returns how long ago the last acknowledged renewal (or the acquisition) of the
	// current tenure was sent. The machine's two clocks may differ; the longer time counts. false:
	// there is no tenure. Idempotent; no request, no allocation.
	LeaseAge() (time.Duration, bool)

	// FencingToken returns the tenure's number, which is higher than that of each earlier tenure.
	// false: there is no tenure. Idempotent; no request, no allocation.
	FencingToken() (int64, bool)

	// ConditionCheck returns an element for a transaction, which then commits only while the
	// current tenure lasts. Idempotent; no request.
	ConditionCheck() (*dynamodb.ConditionCheck, error)

	// StopHeartbeat stops renewing, so that the lease expires by itself. Idempotent; without a
	// tenure it does nothing.
	StopHeartbeat()

	// RemoveLockWithContext frees the lock if this client holds it, and never another client's. It
	// returns nil if this client does not hold the lock, also if an attempt to acquire had no
	// answer and turns out to have failed. It returns soon after ctx is done. Idempotent: after an
	// error it may be called again.
	RemoveLockWithContext(ctx context.Context) error
}

// releaseAnnouncer is a Lock that can tell candidates that it is about to be released.
type releaseAnnouncer interface {
	AnnounceRelease(ctx context.Context) error
}

// heirReleaser is a Lock that can be handed to one candidate.
type heirReleaser interface {
	ReleaseTo(ctx context.Context, heir string) error
}

// heartbeatLimiter is a Lock that renews more often if the elector needs it to.
type heartbeatLimiter interface {
	LimitHeartbeat(atMost time.Duration)
}

// heartbeatObservable is a Lock that reports its heartbeats.
type heartbeatObservable interface {
	ObserveHeartbeats(observe func(took time.Duration, err error)) (stop func())
}
