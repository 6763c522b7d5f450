package lockclient

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"
)

// Session keeps any number of locks with one heartbeat. A lock with a Session is its member:
// acquired and released like any lock, and not written in between. The session has an item in the
// table, which shows that this process is alive:
//
//	session := &lockclient.Session{TableName: "locks", Client: db, LeaseDuration: 15 * time.Second}
//	lock := &lockclient.DynamoDBLockClient{LockName: "shard-17", Session: session}
//	...
//	err := session.Close(ctx) // frees all locks, with one write
//
// It is usable as a literal, its methods are safe for concurrent use, and it must not be
// copied. Its fields are read at the first use of the session or of a member, and fixed
// from then on. The members' fields of the same names are left empty, or equal.
//
// # The states of a session
//
//	        the first acquire of a member, or Open
//	┌──────┐ creates leaderkit/session/<uuid>        ┌──────┐ heartbeat confirmed:
//	│ none ├────────────────────────────────────────►│ open │ all members' trust
//	└──────┘                                         └─┬──┬─┘ windows move on
//	    ▲   the window closed unrenewed, or a          │  │
//	    │   heartbeat found its item marked or gone    │  │ Close       ┌────────┐
//	    └──────────────────────────────────────────────┘  └────────────►│ closed │
//	      lost: all members have ended                                  └────────┘
//
// A lost session never comes back. The next acquire opens another one, under a new name.
// A closed Session stays closed.
//
// # When a member is held
//
// A member is held if and only if its acquire was confirmed under the session that is open now, and
// that session is inside its trust window. So all members end together when the session does:
// HasLock is false, Lost is closed, and LockError says why. If the confirmation of an acquire
// arrives after the end of its session, the lock is not acquired, and the record is freed.
//
// # How others take over
//
// A waiter follows the member's record to the session's item and watches that, as it would watch
// any holder. All waiters of a process share one read of it. When it has stayed unchanged for the
// session's lease, a waiter marks it as over, on condition that it still is unchanged. Only then
// may any client take the members. The mark is final. An item that has been deleted is watched for
// a lease as well, and then marked. If a process has lost its own session, it may take that
// session's locks at once.
//
// At most 64 takeovers of a process are under way. While the table throttles there are
// fewer: about two requests for each that is carried out, and 20 a second. A heartbeat that
// is being repeated goes before all acquires of its session.
//
// A process that has lost its session does not mark it at once. It believes in no member any more,
// but the work of some may still have to stop, and has the rest of the lease for that. Each release
// from then on is told to the waiters by a write to the session's item, which frees nothing else.
// The process marks the session when each member was given up by RemoveLock or acquired anew.
// Failed writes are repeated for a lease. If none succeeds, waiters take the locks when the lease
// is over.
//
// Clients without a Session wait for members by the same rules, so that a fleet may mix
// both. Java's client, dynamolock and older versions of this one never take a member: its
// record has the longest lease there is. They get it when it is released. The end of a
// session, by Close or a crash, frees nothing for them: a client that knows sessions has to
// acquire and release the lock first.
//
// A member that is released is counted in the session's item with the next heartbeat.
// Its waiters then look at their locks again. If the release was announced, they do so
// within a fraction of a second.
//
// # What differs on a member
//
//   - If a proxy repeats an acquire after it was refused, the lock may be taken although no client
//     knows of it. Without a session its lease would run out. A member is free when its session
//     ends.
//   - After an acquire or a release with an unknown outcome, the record could stay for as long as
//     the session. So the session frees it with its heartbeats.
//   - StopHeartbeat stops counting the session's renewals for this lock. When its trust
//     window has closed, the lock is released.
//   - TTL is set when the lock is released. DynamoDB must not delete the record of a member.
//   - If somebody edits or deletes a record, only the next release, ConditionCheck or TransactWrite
//     notices. Fencing works.
type Session struct {
	// TableName is the DynamoDB table of the session and of its members. Required.
	TableName string

	// Client sends the requests. Required.
	Client dynamodbiface.DynamoDBAPI

	// LeaseDuration is how long the members outlive the session's last confirmed
	// heartbeat. Whole milliseconds, at least twice HeartbeatPeriod. Required.
	LeaseDuration time.Duration

	// HeartbeatPeriod is the time between two heartbeats, a millisecond or more and at
	// most half of LeaseDuration. 0: a third of LeaseDuration, in whole milliseconds.
	HeartbeatPeriod time.Duration

	// Identifier is this process's name in all records. "": a random UUID, which the
	// first use puts here.
	Identifier string

	// PartitionKeyName is the table's partition key, a string attribute. "": "key".
	PartitionKeyName string

	// SortKeyName is for tables that have a sort key, a string attribute. The session's
	// item then has its name as the sort key's value, too. "": none.
	SortKeyName string

	// Logger gets the begin and end of each session at V(0), and heartbeats at V(1). The zero value
	// is silent.
	Logger logr.Logger

	// Clock is the time of this machine, for tests. nil: the system's.
	Clock Clock

	mu   sync.Mutex // guards the first use: fields -> state
	inst atomic.Pointer[sessionDriver]
}

// ErrSessionClosed says that the Session of the lock was closed, which has freed the lock.
var ErrSessionClosed = errors.New("lockclient: session closed")

// SessionStats says what a session does at this moment.
type SessionStats struct {
	// Name is the name of the open session's item; "": none is open.
	Name string
	// Held is how many members are held.
	Held int
	// Waiting is how many calls of WaitForLock and TryLock are under way on members.
	Waiting int
	// Watched is how many sessions of others are watched, for all locks with this Client
	// and Clock.
	Watched int
}

// Open makes sure that a session is open, and returns the name of its item,
// "leaderkit/session/<uuid>". An acquire of a member does that, too. Call Open to publish the name
// before any acquire. A name is used once: after a loss the next Open returns another one (see
// Lost).
//
// One UpdateItem if none is open, else no request. It returns ErrSessionClosed after
// Close, ErrInvalidConfig, ErrTableNotFound, ErrAccessDenied, ctx's error, or the SDK's.
func (s *Session) Open(ctx context.Context) (name string, err error) {
	d, err := s.driver()
	if err != nil {
		return "", err
	}
	e, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	return e.name, nil
}

// Name returns the name of the open session's item, or "" if none is open. No request.
func (s *Session) Name() string {
	if e := s.current(); e != nil {
		return e.name
	}
	return ""
}

// Lost returns a channel that is closed when the open session ends, however it ends. If
// none is open it is closed already. Each session has its own channel.
func (s *Session) Lost() <-chan struct{} {
	if e := s.current(); e != nil {
		return e.keeper.whenLost()
	}
	return closedChannel
}

// Err says why the last session ended: errors.Is distinguishes ErrLockLost (another client has
// marked or deleted its item), ErrLeaseExpired (not renewed in time) and ErrSessionClosed. nil
// while one is open, and before the first.
func (s *Session) Err() error {
	d := s.inst.Load()
	if d == nil {
		return nil
	}
	return d.err()
}

// Close ends the session and frees all its locks with one write. Belief in all of them
// ends first: every HasLock is false, and every Lost is closed, before the request is
// sent. A failed request is repeated until ctx is done. After an error the locks stay
// taken until the lease runs out: call Close again to free them sooner. Where clients that
// know no sessions compete for the locks, such as Java's, release each lock before.
//
// Acquires under way fail. From now on all acquires of members return ErrSessionClosed; those
// that wait do so with their next poll. Closing a closed Session, or one that was never used,
// returns nil.
func (s *Session) Close(ctx context.Context) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.close(ctx)
}

// AnnounceClose tells all waiters that the session will be closed soon, so that they read its item
// often for a while. Others then have its locks within a fraction of a second of Close. One
// UpdateItem. ErrNotHeld if no session is open.
func (s *Session) AnnounceClose(ctx context.Context) error {
	if _, err := s.driver(); err != nil {
		return err
	}
	e := s.current()
	if e == nil {
		return errNoSession
	}
	e.announcesClose()
	return e.keeper.announce(ctx)
}

// WaitForEnd blocks until the session with that name is over (nil): it was closed, or its process
// has ended and this call, or another client, has marked it as over. ctx's error if that is done
// first. Failed requests are retried. ErrNotALock if something else has that name. It costs about
// one eventually consistent GetItem for each heartbeat of that session, however many calls and
// locks of this process wait for it.
//
// If there is no item with that name, because it was never created or has been deleted, the session
// counts as over after one LeaseDuration of this Session, or a minute if that is longer.
func (s *Session) WaitForEnd(ctx context.Context, name string) error {
	d, err := s.driver()
	if err != nil {
		return err
	}
	return d.waitForEnd(ctx, name)
}

// Identity returns the name under which the members are recorded: Identifier, or the UUID
// made in its place. "" while the configuration is invalid.
func (s *Session) Identity() string {
	d, err := s.driver()
	if err != nil {
		return ""
	}
	return d.identity
}

// Timing returns the durations in force, or ErrInvalidConfig.
func (s *Session) Timing() (Timing, error) {
	d, err := s.driver()
	if err != nil {
		return Timing{}, err
	}
	return d.Timing, nil
}

// Stats returns what the session does at this moment. No request.
func (s *Session) Stats() SessionStats {
	d := s.inst.Load()
	if d == nil {
		return SessionStats{}
	}
	return d.stats()
}

// current is the open session, or nil.
func (s *Session) current() *epoch {
	if d := s.inst.Load(); d != nil {
		return d.current()
	}
	return nil
}

// driver returns the working state, made from the fields at first use.
func (s *Session) driver() (*sessionDriver, error) {
	if d := s.inst.Load(); d != nil {
		return d, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.inst.Load(); d != nil {
		return d, nil
	}
	d, err := newSessionDriver(s)
	if err != nil {
		return nil, err
	}
	s.Identifier = d.identity
	s.inst.Store(d)
	return d, nil
}

// limitHeartbeat is LimitHeartbeat of a member.
func (s *Session) limitHeartbeat(atMost time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if atMost = atMost.Truncate(time.Millisecond); s.inst.Load() == nil && s.HeartbeatPeriod == 0 && atMost > 0 && atMost < s.LeaseDuration/3 {
		s.HeartbeatPeriod = atMost
	}
}
