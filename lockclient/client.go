package lockclient

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Clock is time as one machine sees it, for tests.
type Clock = lease.Clock

// Timing is the three durations that a lock works with: its lease, how long a
// holder trusts one renewal, and the time between renewals.
type Timing = lease.Timing

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
// from then on. That method reports all invalid fields in one error
// (ErrInvalidConfig) before it sends any request. Fix them and call again.
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

	// Identifier is this client's name in the record. Clients that are refused see
	// it. "": a random UUID, which the first use of the client puts here.
	Identifier string

	// Client sends the requests. Give all locks of a process the same one: they then
	// share connections and timers, and an overloaded process sends heartbeats first.
	// The toolkit turns the SDK's own retries off, request by request. Required.
	Client dynamodbiface.DynamoDBAPI

	// Logger gets the begin and end of each tenure at V(0), heartbeats at V(1), and polls at V(2).
	// The zero value is silent.
	Logger logr.Logger

	// PartitionKeyName is the table's partition key, a string attribute. "": "key".
	PartitionKeyName string

	// SortKeyName and SortKeyValue are for tables that have a sort key, a string
	// attribute: both or neither. The value is 1 to 1024 bytes.
	SortKeyName, SortKeyValue string

	// Data is stored with the lock and read by others through Peek. nil leaves in
	// place what an earlier holder stored. At most 256 KiB.
	Data []byte

	// DeleteOnRelease deletes the item on release instead of marking it released. The next fencing
	// token then starts again from the clock of the next holder. Leave it false if clocks are not
	// synchronised.
	DeleteOnRelease bool

	// TTL, 1 h or more, keeps the item's "ttl" attribute (epoch seconds) this far ahead, so that
	// DynamoDB removes abandoned items. 0: no such attribute. Do not use it in a table shared with
	// Java clients that update records in place (withUpdateExistingLockRecord): they leave this
	// attribute in their record, and DynamoDB deletes the record at that time, although they hold
	// the lock.
	TTL time.Duration

	// PollPeriod is the longest pause of WaitForLock between two polls. 0: polls follow the
	// holder's heartbeats, one just after each. If the record does not contain their period, polls
	// come once in a HeartbeatPeriod.
	PollPeriod time.Duration

	// ReclaimOnRestart takes over at once a lock whose record carries our own
	// Identifier, so that a restarted process need not wait for its old lease to run
	// out. Needs an Identifier. Safe only if no two running clients share an
	// Identifier.
	ReclaimOnRestart bool

	// MaxClockSkew, when > 0, says that the wall clocks of all clients of this lock differ by less
	// than this. A lease whose recorded end has passed by more then counts as over without being
	// watched. So a process that runs for less than a lease can take over from a crashed one at
	// once. 0: wall clocks are never compared (see TryLock). If it is below the real skew, two
	// clients can hold the lock at once.
	MaxClockSkew time.Duration

	// Session, if given, keeps this lock together with any number of others, by one
	// heartbeat for all of them. TableName, Client, LeaseDuration, HeartbeatPeriod,
	// Identifier, PartitionKeyName, SortKeyName and Clock are then left empty, or equal to
	// the session's. See Session for what differs.
	Session *Session

	// Clock is the time of this machine, for tests. nil: the system's.
	Clock Clock

	kind recordKind // of a session's item, which only this package makes

	mu   sync.Mutex // guards the first use: fields -> state
	inst atomic.Pointer[driver]
}

var _ LockClient = (*DynamoDBLockClient)(nil)

// GetLock is GetLockWithContext without a context.
func (c *DynamoDBLockClient) GetLock() (bool, error) {
	return c.GetLockWithContext(context.Background())
}

// GetLockWithContext tries once to acquire the lock and does not wait for its
// holder. It returns
//
//   - (true, nil) when the lock is held, by this call or already. Heartbeats then
//     keep it until RemoveLock, StopHeartbeat or a loss.
//   - (false, err) with a *LockHeldError in err when another client holds it. The
//     SDK's ConditionalCheckFailedException stays in the chain.
//   - (false, err) for everything else: ErrInvalidConfig, ErrTableNotFound,
//     ErrAccessDenied, ErrNotALock, ErrInterrupted, ctx's error, the SDK's.
//
// One acquire or refusal is one UpdateItem. Only a failed request is repeated, twice at most.
// GetLock keeps watching the holder between calls: a call takes the lock over from a crashed holder
// if the record has not changed for the recorded lease. A process that runs for less than that
// needs TryLock.
func (c *DynamoDBLockClient) GetLockWithContext(ctx context.Context) (bool, error) {
	d, err := c.driver()
	if err != nil {
		return false, err
	}
	return d.getLock(ctx)
}

// TryLock acquires the lock if its holder is not alive, and gives up if it is. A free
// lock is taken at once. A held one is watched: TryLock takes it over when its
// recorded lease has run out, and returns a *LockHeldError as soon as the holder
// renews or changes, which is within one of its heartbeats. It is for processes that
// live shorter than a lease: cron jobs, functions, command lines.
//
// It retries failed requests until ctx is done. Other errors are those of
// WaitForLock.
func (c *DynamoDBLockClient) TryLock(ctx context.Context) error {
	d, err := c.driver()
	if err != nil {
		return err
	}
	return d.tryLock(ctx)
}

// WaitForLock blocks until the lock is held (nil), ctx is done (an error that wraps
// ctx's and says who holds the lock), RemoveLock is called (ErrInterrupted), or the
// store gives an answer that retrying can't change (ErrTableNotFound,
// ErrAccessDenied, ErrNotALock, ...). Failed requests are retried with jittered
// backoff for as long as ctx allows. If the lock is held already, its heartbeats go
// on.
//
// Waiting costs about one eventually consistent GetItem for each heartbeat of the holder, however
// many goroutines wait for one client. A crashed holder is replaced when its recorded lease has run
// out. A release is noticed with the next poll, and at once if it was announced (AnnounceRelease).
func (c *DynamoDBLockClient) WaitForLock(ctx context.Context) error {
	d, err := c.driver()
	if err != nil {
		return err
	}
	return d.waitForLock(ctx)
}

// PollLock is one step of waiting, for callers that run their own loop. Its results are those of
// GetLockWithContext, and LockHeldError.RetryAfter says when the next poll can show a change. While
// a live holder is being watched, a poll is one eventually consistent GetItem. A write is sent only
// when the lock was seen free, its watched lease has run out, or it has another holder at each
// poll. A release may therefore be noticed one poll late.
func (c *DynamoDBLockClient) PollLock(ctx context.Context) (bool, error) {
	d, err := c.driver()
	if err != nil {
		return false, err
	}
	return d.pollLock(ctx)
}

// HasLock reports whether this client holds the lock now: (true, nil) inside the
// trust window of a tenure, else (false, LockError()). It sends no request, allocates
// nothing, and judges by the clocks at the moment of the call. Call it right before
// each step that must not run twice. For what happens after the check use
// FencingToken, ConditionCheck or Stamp.
func (c *DynamoDBLockClient) HasLock() (bool, error) {
	if k := c.holding(); k != nil {
		return k.holds()
	}
	return false, nil
}

// LockError says why the last tenure ended: errors.Is distinguishes ErrLockLost (the record belongs
// to another client, or was deleted) and ErrLeaseExpired (not renewed in time). nil while the lock
// is held, after RemoveLock, and before the first tenure.
func (c *DynamoDBLockClient) LockError() error {
	_, err := c.HasLock()
	return err
}

// StopHeartbeat stops renewing the lock, which then runs out by itself: HasLock
// stays true until it does, and LockError is ErrLeaseExpired afterwards. A GetLock
// before that resumes the heartbeats. Without a tenure it does nothing. Consider
// RemoveLock, which frees it at once.
func (c *DynamoDBLockClient) StopHeartbeat() {
	if k := c.holding(); k != nil {
		k.stop()
	}
}

// AnnounceRelease tells the waiters that this tenure will be released soon, so that they poll often
// for a while. The next holder then comes within a fraction of a second of the release instead of
// within a heartbeat. Call it when the work begins to stop. It is one UpdateItem, which does not
// renew the lease. You need not release afterwards.
//
// ErrNotHeld without a tenure. ErrLockLost if the tenure turns out to be over. Any
// other error only slows the handover.
func (c *DynamoDBLockClient) AnnounceRelease(ctx context.Context) error {
	k, err := c.heldTenure()
	if err != nil {
		return err
	}
	return k.announce(ctx)
}

// removePatience is how long RemoveLock without a context tries.
const removePatience = 10 * time.Second

// RemoveLock is RemoveLockWithContext, trying for 10 s or one LeaseDuration at most,
// whichever is shorter. After a lease others take the lock over in any case.
func (c *DynamoDBLockClient) RemoveLock() error {
	d, err := c.driver()
	if err != nil {
		return err
	}
	ctx, cancel := lease.WithTimeout(context.Background(), d.clock, min(d.Lease, removePatience), errNoAnswer)
	defer cancel()
	return d.removeLock(ctx, "")
}

// RemoveLockWithContext frees the lock if this client holds it, and never another client's. The
// tenure ends first (HasLock is false and Lost closed before the request is sent), then one
// conditional UpdateItem marks the record released. A failed request is repeated until ctx is done.
// It returns nil when the lock was freed or this client did not hold it. After an error the record
// may still have this client's name until its lease runs out: call again to free it sooner.
//
// All calls that are acquiring the lock with this client end with ErrInterrupted, and
// what they may have written is freed as well.
func (c *DynamoDBLockClient) RemoveLockWithContext(ctx context.Context) error {
	d, err := c.driver()
	if err != nil {
		return err
	}
	return d.removeLock(ctx, "")
}

// ReleaseTo is RemoveLockWithContext that names who should hold the lock next: the client with the
// Identifier heir. For one HeartbeatPeriod the heir alone takes the lock. Others that see the
// release wait for this time, counted from when they see it. They get a *LockHeldError with Heir
// and an empty Owner. If the heir has ended, this costs one heartbeat.
//
// It is not a guarantee. A GetLock that has not seen the release takes the lock at once, and so do
// other libraries and earlier versions of this one. The item is marked released even with
// DeleteOnRelease.
//
// ErrInvalidConfig, and nothing is released, if heir is empty, is this client's own
// Identifier, is longer than 2048 bytes or is not UTF-8.
func (c *DynamoDBLockClient) ReleaseTo(ctx context.Context, heir string) error {
	d, err := c.driver()
	if err != nil {
		return err
	}
	if err := checkHeir(heir, d.identity); err != nil {
		return err
	}
	return d.removeLock(ctx, heir)
}

// Lost returns a channel that is closed when the current tenure ends, however it
// ends. Without a tenure it is closed already. Each tenure has its own channel: call
// Lost again after each win.
func (c *DynamoDBLockClient) Lost() <-chan struct{} {
	if k := c.holding(); k != nil {
		return k.whenLost()
	}
	return closedChannel
}

// Aging returns a channel that is closed when a renewal is late: half of the time
// between HeartbeatPeriod and the end of the trust window has passed without a
// confirmed heartbeat. The lock is still held then, and heartbeats go on. It is an
// early warning for work that takes a while to stop. The channel is closed, too, when
// the tenure ends. Call Aging again for the next warning. Without a tenure the channel
// is closed already.
func (c *DynamoDBLockClient) Aging() <-chan struct{} {
	if k := c.holding(); k != nil {
		return k.whenAging()
	}
	return closedChannel
}

// Deadline returns until when the current tenure is certain if no further heartbeat
// is confirmed: 99 % of LeaseDuration after the last confirmed one was sent. (zero,
// false) without a tenure.
func (c *DynamoDBLockClient) Deadline() (time.Time, bool) {
	k := c.holding()
	if k == nil {
		return time.Time{}, false
	}
	age, ok := k.age()
	if !ok {
		return time.Time{}, false
	}
	d := k.driver()
	return d.clock.Wall().Add(d.Window - age), true
}

// LeaseAge returns how long ago the last acknowledged write of the current tenure
// was sent, by whichever of the monotonic and the wall clock says more.
// (0, false) without a tenure. It sends no request and allocates nothing. Useful for
// stepping down earlier than the lease demands.
func (c *DynamoDBLockClient) LeaseAge() (time.Duration, bool) {
	if k := c.holding(); k != nil {
		return k.age()
	}
	return 0, false
}

// FencingToken returns the number of the current tenure, higher than that of every
// earlier holder of the lock. Hand it to a store that refuses lower numbers than it
// has seen. (0, false) without a tenure.
func (c *DynamoDBLockClient) FencingToken() (int64, bool) {
	k := c.holding()
	if k == nil {
		return 0, false
	}
	if held, _ := k.holds(); !held {
		return 0, false
	}
	return k.fencingToken(), true
}

// Timing returns the durations in force, or ErrInvalidConfig.
func (c *DynamoDBLockClient) Timing() (Timing, error) {
	d, err := c.driver()
	if err != nil {
		return Timing{}, err
	}
	return d.Timing, nil
}

// Identity returns the name under which this client's tenures are recorded:
// Identifier, or the UUID made in its place. "" while the configuration is invalid.
func (c *DynamoDBLockClient) Identity() string {
	d, err := c.driver()
	if err != nil {
		return ""
	}
	return d.identity
}

// holding is the current or the last tenure; nil before the first.
func (c *DynamoDBLockClient) holding() holding {
	if d := c.inst.Load(); d != nil {
		return d.holding()
	}
	return nil
}

// driver returns the working state, made from the fields at first use.
func (c *DynamoDBLockClient) driver() (*driver, error) {
	if d := c.inst.Load(); d != nil {
		return d, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.inst.Load(); d != nil {
		return d, nil
	}
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	// v0.1.0 did the same, and its users print the field.
	c.Identifier = d.identity
	c.inst.Store(d)
	return d, nil
}

// LimitHeartbeat sets HeartbeatPeriod to atMost if it is 0 and would be longer by default. It has
// no effect if HeartbeatPeriod was set, or after the first use of the client. An elector whose
// RenewDeadline is short calls it.
func (c *DynamoDBLockClient) LimitHeartbeat(atMost time.Duration) {
	if c.Session != nil {
		c.Session.limitHeartbeat(atMost)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if atMost = atMost.Truncate(time.Millisecond); c.inst.Load() == nil && c.HeartbeatPeriod == 0 && atMost > 0 && atMost < c.LeaseDuration/3 {
		c.HeartbeatPeriod = atMost
	}
}

// ObserveHeartbeats calls observe after each heartbeat of this and later tenures: how long its
// answer took, and why it failed, or nil. A heartbeat without an answer is reported as failed when
// the next one is sent. observe is called from the heartbeat's goroutine, from several at once if
// answers are late, and must not block. It is not called any more after stop. Useful for metrics. A
// client whose configuration is invalid has no heartbeats to observe.
func (c *DynamoDBLockClient) ObserveHeartbeats(observe func(took time.Duration, err error)) (stop func()) {
	d, err := c.driver()
	if err != nil {
		return func() {}
	}
	return d.observers.add(observe)
}

// heldTenure is the current tenure, or an error that wraps ErrNotHeld and why the
// last one ended.
func (c *DynamoDBLockClient) heldTenure() (holding, error) {
	d, err := c.driver()
	if err != nil {
		return nil, err
	}
	k := d.holding()
	if k == nil {
		return nil, fmt.Errorf("%w: lock %q", ErrNotHeld, d.name)
	}
	held, err := k.holds()
	switch {
	case held:
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
	default:
		return nil, fmt.Errorf("%w: lock %q was released", ErrNotHeld, d.name)
	}
}
