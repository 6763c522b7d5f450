package lockclient

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"
)

// LockClient is the lock as dynamodb-lock-client-golang v0.1.0 defines it.
// *DynamoDBLockClient satisfies it.
type LockClient interface {
	GetLock() (bool, error)
	HasLock() (bool, error)
	StopHeartbeat()
	RemoveLock() error
}

// DynamoDBLockClient is one client's handle on one lock. It is usable as a
// literal, its methods are safe for concurrent use, and it must not be copied.
//
// The fields are read at the first use of a method that needs them and are fixed
// from then on. Fields that don't fit are reported by that method, all of them in
// one error (ErrInvalidConfig), before any request; mend them and call again.
type DynamoDBLockClient struct {
	// LockName names the lock: clients that give the same name, in the same table,
	// compete. 1 to 2048 bytes of UTF-8. Required.
	LockName string

	// LeaseDuration is how long the lock outlives its holder's last confirmed
	// heartbeat. Whole milliseconds, at least twice HeartbeatPeriod. Required.
	LeaseDuration time.Duration

	// HeartbeatPeriod is the time between renewals of a held lock, a millisecond or more
	// and at most half of LeaseDuration. 0: a third of LeaseDuration, in whole milliseconds.
	HeartbeatPeriod time.Duration

	// TableName is the DynamoDB table (see EnsureTable). Required.
	TableName string

	// Identifier is this client's name in the record, seen by everybody who is
	// refused. "": a random UUID, which the first use of the client puts here.
	Identifier string

	// Client sends the requests; one for all locks of a process is best. The
	// toolkit turns the SDK's own retries off, request by request. Required.
	Client dynamodbiface.DynamoDBAPI

	// Logger hears of tenures that begin and end at V(0), of heartbeats at V(1)
	// and of polls at V(2). The zero value is silent.
	Logger logr.Logger

	// PartitionKeyName is the table's partition key, a string attribute. "": "key".
	PartitionKeyName string

	// SortKeyName and SortKeyValue are for tables that have a sort key, a string
	// attribute: both or neither. The value is 1 to 1024 bytes.
	SortKeyName, SortKeyValue string

	// Data is stored with the lock and read by others through Peek. nil leaves in
	// place what an earlier holder stored. At most 256 KiB.
	Data []byte

	// DeleteOnRelease deletes the item on release instead of marking it released.
	// The next fencing token then starts from the clock of whoever acquires next, in
	// milliseconds: keep the item where clocks are not synchronised.
	DeleteOnRelease bool

	// TTL, 1 h or more, keeps the item's "ttl" attribute (epoch seconds) this far
	// ahead, so that DynamoDB removes abandoned items by itself. 0: no such
	// attribute. Not for tables shared with Java clients that update records in place
	// (withUpdateExistingLockRecord): they leave our ttl beside their lease, and DynamoDB
	// would delete the record that they hold.
	TTL time.Duration

	// PollPeriod is the longest that WaitForLock pauses between two polls. 0: polls
	// follow the holder's heartbeats, one just after each, and come once in a
	// HeartbeatPeriod where the record doesn't tell the holder's.
	PollPeriod time.Duration

	// ReclaimOnRestart takes over at once a lock whose record carries our own
	// Identifier, without waiting for the lease to run out: a restarted process
	// goes on where it was. Only safe where no two live clients, be it in two processes
	// or in one, ever use one Identifier; needs an Identifier.
	ReclaimOnRestart bool

	// MaxClockSkew, when > 0, says that the clocks of all clients of this lock
	// differ by less than this. A recorded expiry that has passed by more is then
	// believed without watching the record for a lease, which lets a process that
	// lives shorter than a lease (a cron job) take over from a crashed one. 0: wall
	// clocks are never compared. Set lower than the truth it makes false leaders.
	// Not for tables shared with Java clients that update records in place
	// (withUpdateExistingLockRecord): they leave our expiry beside their lease.
	MaxClockSkew time.Duration

	// Clock is where time comes from. nil: the system. For tests.
	Clock Clock

	mu   sync.Mutex // guards the first use: fields -> state
	inst atomic.Pointer[lock]
}

var _ LockClient = (*DynamoDBLockClient)(nil)

// GetLock is GetLockWithContext without a context.
func (c *DynamoDBLockClient) GetLock() (bool, error) {
	return c.GetLockWithContext(context.Background())
}

// GetLockWithContext tries once to acquire the lock and does not wait for its
// holder. It returns
//
//   - (true, nil) when the lock is held, by this call or already; heartbeats then
//     keep it until RemoveLock, StopHeartbeat or a loss,
//   - (false, err) with a *LockHeldError in err when another client holds it (the
//     SDK's ConditionalCheckFailedException stays in the chain),
//   - (false, err) for everything else: ErrInvalidConfig, ErrTableNotFound,
//     ErrAccessDenied, ErrNotALock, ctx's error, the SDK's.
//
// One acquire or refusal is one UpdateItem. Only a failed request is repeated,
// twice at most. A caller that calls again keeps its watch on the holder: the
// first call that comes a full recorded lease after the record last changed takes
// the lock over from a crashed holder.
func (c *DynamoDBLockClient) GetLockWithContext(ctx context.Context) (bool, error) {
	l, err := c.lock()
	if err != nil {
		return false, err
	}
	return l.getLock(ctx)
}

// WaitForLock blocks until the lock is held (nil), ctx is done (an error that
// wraps ctx's and says who holds the lock), RemoveLock was called
// (ErrInterrupted), or something stands in the way that no retry can mend
// (ErrTableNotFound, ErrAccessDenied, ErrNotALock, ...). Failed requests are retried
// with jittered backoff for as long as ctx allows. Like GetLock it has the heartbeats
// of a lock that is held already go on.
//
// Waiting costs about one eventually consistent GetItem for each heartbeat of the
// holder. A crashed holder is replaced when its recorded lease has run out, a release
// is noticed with the next poll, and at once where it was announced (AnnounceRelease).
func (c *DynamoDBLockClient) WaitForLock(ctx context.Context) error {
	l, err := c.lock()
	if err != nil {
		return err
	}
	return l.waitForLock(ctx)
}

// PollLock is one step of waiting, for callers that run their own loop. Its
// results are those of GetLockWithContext, and LockHeldError.RetryAfter says when
// the next poll can tell anything new. It is cheaper: while a live holder is
// being watched a poll is one eventually consistent GetItem, and a write is sent
// only when the lock was seen free or the watched lease has run out. A release may
// therefore be noticed one poll late.
func (c *DynamoDBLockClient) PollLock(ctx context.Context) (bool, error) {
	l, err := c.lock()
	if err != nil {
		return false, err
	}
	return l.pollLock(ctx)
}

// HasLock reports whether this client holds the lock now: (true, nil) inside the
// trust window of a tenure, else (false, LockError()). It asks nobody, allocates
// nothing, and judges by the clocks at the moment of the call. Useful as the guard
// right before each step that must not run twice; for what happens after the check
// use FencingToken or ConditionCheck.
func (c *DynamoDBLockClient) HasLock() (bool, error) {
	if t := c.tenure(); t != nil {
		return t.holds()
	}
	return false, nil
}

// LockError says why the last tenure ended: errors.Is tells ErrLockLost (another's
// record, or none, was found) from ErrLeaseExpired (not renewed in time). nil while
// the lock is held, after RemoveLock, and before the first tenure.
func (c *DynamoDBLockClient) LockError() error {
	_, err := c.HasLock()
	return err
}

// StopHeartbeat stops renewing the lock, which then runs out by itself: HasLock
// stays true until it does, and LockError is ErrLeaseExpired afterwards. A GetLock
// before that resumes the heartbeats. Without a tenure it does nothing. Consider
// RemoveLock, which lets others in at once.
func (c *DynamoDBLockClient) StopHeartbeat() {
	if t := c.tenure(); t != nil {
		t.stopHeartbeat()
	}
}

// AnnounceRelease tells the waiters that this tenure will be released soon, so that
// they poll closely for a while and the next holder comes within a fraction of a
// second of the release instead of within a heartbeat. Useful when the work begins to
// wind down, some moments before RemoveLock. It is one UpdateItem, which doesn't renew
// the lease, and obliges to nothing. ErrNotHeld without a tenure, ErrLockLost where that
// turns out to be over; on any other error nothing is lost but the haste.
func (c *DynamoDBLockClient) AnnounceRelease(ctx context.Context) error {
	t, err := c.heldTenure()
	if err != nil {
		return err
	}
	return t.announce(ctx)
}

// RemoveLock is RemoveLockWithContext, trying for one LeaseDuration at most: after
// that others take the lock over in any case.
func (c *DynamoDBLockClient) RemoveLock() error {
	l, err := c.lock()
	if err != nil {
		return err
	}
	ctx, cancel := l.clockTimeout(context.Background(), l.lease)
	defer cancel()
	return l.removeLock(ctx)
}

// RemoveLockWithContext frees the lock if it is ours, and never another's. The
// tenure ends first (HasLock is false and Lost closed before the request is sent),
// then one conditional UpdateItem marks the record released; a failed request is
// repeated until ctx is done. nil when the lock was freed or there was nothing of
// ours to free. After an error the record may still carry our name until its lease
// runs out: call again to free it sooner.
//
// An acquire of this client that is under way, and a WaitForLock, end with
// ErrInterrupted, and what they may have written is freed as well.
func (c *DynamoDBLockClient) RemoveLockWithContext(ctx context.Context) error {
	l, err := c.lock()
	if err != nil {
		return err
	}
	return l.removeLock(ctx)
}

// Lost returns a channel that is closed when the current tenure ends, however it
// ends. Without a tenure it is closed already. Each tenure has its own channel:
// call Lost again after each win.
func (c *DynamoDBLockClient) Lost() <-chan struct{} {
	if t := c.tenure(); t != nil {
		return t.whenLost()
	}
	return closedChannel
}

// Deadline returns until when the current tenure is certain if no further
// heartbeat is confirmed: 99 % of LeaseDuration after the last confirmed one was
// sent. (zero, false) without a tenure.
func (c *DynamoDBLockClient) Deadline() (time.Time, bool) {
	t := c.tenure()
	if t == nil {
		return time.Time{}, false
	}
	age, ok := t.age()
	if !ok {
		return time.Time{}, false
	}
	return t.lock.clock.Wall().Add(t.lock.window - age), true
}

// LeaseAge returns how long ago the last acknowledged write of the current tenure
// was sent, by whichever of the monotonic and the wall clock says more.
// (0, false) without a tenure. It asks nobody and allocates nothing. Useful for
// stepping down earlier than the lease demands.
func (c *DynamoDBLockClient) LeaseAge() (time.Duration, bool) {
	if t := c.tenure(); t != nil {
		return t.age()
	}
	return 0, false
}

// FencingToken returns the number of the current tenure, higher than that of every
// earlier holder of the lock. Hand it to a store that refuses lower numbers than it
// has seen. (0, false) without a tenure.
func (c *DynamoDBLockClient) FencingToken() (int64, bool) {
	t := c.tenure()
	if t == nil {
		return 0, false
	}
	if held, _ := t.holds(); !held {
		return 0, false
	}
	return t.token, true
}

// Timing returns the lease and the heartbeat period in force, or ErrInvalidConfig.
func (c *DynamoDBLockClient) Timing() (lease, heartbeat time.Duration, err error) {
	l, err := c.lock()
	if err != nil {
		return 0, 0, err
	}
	return l.lease, l.heartbeat, nil
}

// Identity returns the name under which this client's tenures are recorded:
// Identifier, or the UUID made in its place. "" while the configuration is invalid.
func (c *DynamoDBLockClient) Identity() string {
	l, err := c.lock()
	if err != nil {
		return ""
	}
	return l.identity
}

// tenure is the current or last tenure; nil before the first.
func (c *DynamoDBLockClient) tenure() *tenure {
	if l := c.inst.Load(); l != nil {
		return l.current.Load()
	}
	return nil
}

// lock returns the working state, made from the fields at first use.
func (c *DynamoDBLockClient) lock() (*lock, error) {
	if l := c.inst.Load(); l != nil {
		return l, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.inst.Load(); l != nil {
		return l, nil
	}
	l, err := newLock(c)
	if err != nil {
		return nil, err
	}
	// The seed did the same, and its users print the field.
	c.Identifier = l.identity
	c.inst.Store(l)
	return l, nil
}

var closedChannel = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()
