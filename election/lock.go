package election

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// Lock is what an elector needs of a lock; *lockclient.DynamoDBLockClient satisfies it. Its methods are called from several
// goroutines at once. While an elector runs, the lock is the elector's alone: nobody else acquires, stops or releases it.
//
// A Lock renews its lease by itself from the moment PollLock reports it held, and ends the tenure by itself, on its own
// clock, when the lease can no longer be trusted. The elector asks it how old the lease is and never keeps its own account.
//
// A Lock may do more:
//   - AnnounceRelease(ctx context.Context) error is called once when a graceful end begins to drain, so that candidates can
//     poll closely for the release. Its error is only logged.
//   - ObserveHeartbeats(func(took time.Duration, err error)) (stop func()) tells of each heartbeat, for the metrics.
type Lock interface {
	// Timing gives the validated figures of the lock: the length of its lease and the period of its heartbeats, or why it is
	// not usable. Idempotent; no request.
	Timing() (lease, heartbeat time.Duration, err error)

	// Identity names this client in the lock's record; it never changes. Idempotent; no request.
	Identity() string

	// PollLock is one step of campaigning and returns soon after ctx is done, whatever the store does.
	// (true, nil): held, and heartbeats are running. (false, err): not held. An err that means "another holds it" has the
	// methods HeldBy() (owner string, fencingToken int64) and NextPoll() time.Duration, which says when the next poll can
	// tell anything new (0: no opinion); one that no retry can mend has Permanent() bool.
	// Idempotent: on a held lock it is (true, nil) and the tenure stays the same.
	PollLock(ctx context.Context) (bool, error)

	// HasLock says whether the current tenure can be trusted at this moment. Idempotent; no request.
	HasLock() (bool, error)

	// LockError says why the last tenure ended; nil while one goes on and after a release. Idempotent; no request.
	LockError() error

	// Lost is closed when the current tenure ends, however it ends; closed already if there is none. Idempotent; no request.
	Lost() <-chan struct{}

	// LeaseAge says how long ago the last acknowledged renewal (or the acquisition) of the current tenure was sent, by
	// whichever of the node's clocks says more; false: there is no tenure. Idempotent; no request, no allocation.
	LeaseAge() (time.Duration, bool)

	// FencingToken rises with each tenure; false: there is no tenure. Idempotent; no request, no allocation.
	FencingToken() (int64, bool)

	// ConditionCheck is the element of a transaction that commits only while the current tenure lasts. Idempotent; no
	// request.
	ConditionCheck() (*dynamodb.ConditionCheck, error)

	// StopHeartbeat leaves the lease to run out by itself. Idempotent; without a tenure it does nothing.
	StopHeartbeat()

	// RemoveLockWithContext frees our own lock and never another's: nil when there is nothing of ours to free, also when an
	// attempt to acquire with an unknown outcome turns out not to have won. It returns soon after ctx is done. Idempotent:
	// after an error it may be called again.
	RemoveLockWithContext(ctx context.Context) error
}

// releaseAnnouncer is a Lock that can tell candidates beforehand that it is about to be released.
type releaseAnnouncer interface {
	AnnounceRelease(ctx context.Context) error
}

// heartbeatObservable is a Lock that tells of its heartbeats.
type heartbeatObservable interface {
	ObserveHeartbeats(observe func(took time.Duration, err error)) (stop func())
}
