package lockclient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// sessionPrefix begins the name of each session's item. No lock may have such a name.
const sessionPrefix = "leaderkit/session/"

// sessionTTL is how far ahead the ttl of a session's item is kept: DynamoDB removes it a
// day after its last heartbeat.
const sessionTTL = 24 * time.Hour

var errNoSession = fmt.Errorf("%w: no session is open", ErrNotHeld)

// sessionDriver does what Session promises. It opens one session after another, each an
// epoch, and knows which of them have ended.
type sessionDriver struct {
	rules  // name is ""
	config *DynamoDBLockClient
	line   *line
	clock  lease.Clock
	log    logr.Logger

	opening jointCall
	waiting atomic.Int64 // calls of WaitForLock and TryLock on members

	mu     sync.Mutex // guards what follows; never held across a request or another mutex
	latest *epoch     // the one that is open, or the last one; nil before the first
	former endedNames
	closed bool
	busy   int           // goroutines of the session's own
	idle   chan struct{} // closed when there are none; nil: nobody waits for that
}

// mostEndedNames is how many of its own ended sessions a process remembers. Locks that an
// older one still holds are watched like those of another process.
const mostEndedNames = 1000

// endedNames are the names of the latest sessions that have ended. The zero value is ready.
type endedNames struct {
	known map[string]struct{}
	order []string // a ring once it is full
	next  int      // the oldest, in a full ring
}

func (n *endedNames) has(name string) bool {
	_, known := n.known[name]
	return known
}

func (n *endedNames) add(name string) {
	switch {
	case n.has(name):
		return
	case n.known == nil:
		n.known = make(map[string]struct{})
	}
	n.known[name] = struct{}{}
	if len(n.order) < mostEndedNames {
		n.order = append(n.order, name)
		return
	}
	delete(n.known, n.order[n.next])
	n.order[n.next] = name
	n.next = (n.next + 1) % mostEndedNames
}

// newSessionDriver checks every field as a lock does.
func newSessionDriver(s *Session) (*sessionDriver, error) {
	c := &DynamoDBLockClient{
		LockName: "session", LeaseDuration: s.LeaseDuration, HeartbeatPeriod: s.HeartbeatPeriod, TableName: s.TableName,
		Identifier: s.Identifier, Client: s.Client, Logger: s.Logger, PartitionKeyName: s.PartitionKeyName,
		SortKeyName: s.SortKeyName, TTL: max(sessionTTL, 2*s.LeaseDuration), Clock: s.Clock,
	}
	if c.SortKeyName != "" {
		c.SortKeyValue = "session"
	}
	d, err := newDriver(c)
	if err != nil {
		return nil, err
	}
	c.Identifier = d.identity
	own := &sessionDriver{rules: d.rules, config: c, line: d.line, clock: d.clock, log: s.Logger}
	own.rules.name = ""
	own.opening.clock = d.clock
	return own, nil
}

// itemDriver returns a driver for the item of the session with that name: one of ours, or
// another's.
func (d *sessionDriver) itemDriver(name string) (*driver, error) {
	c := &DynamoDBLockClient{
		LockName: name, LeaseDuration: d.Lease, HeartbeatPeriod: d.Heartbeat, TableName: d.config.TableName,
		Identifier: d.identity, Client: d.config.Client, Logger: d.log, PartitionKeyName: d.config.PartitionKeyName,
		SortKeyName: d.config.SortKeyName, TTL: d.config.TTL, Clock: d.clock, kind: sessionRecord,
	}
	if c.SortKeyName != "" {
		c.SortKeyValue = name
	}
	return newDriver(c)
}

// current is the open session, or nil.
func (d *sessionDriver) current() *epoch {
	d.mu.Lock()
	e := d.latest
	d.mu.Unlock()
	if e == nil {
		return nil
	}
	if _, held := e.keeper.age(); !held {
		return nil
	}
	return e
}

// open returns the open session, and opens one if there is none.
func (d *sessionDriver) open(ctx context.Context) (*epoch, error) {
	for {
		if err := d.whyClosed(); err != nil {
			return nil, err
		}
		if e := d.current(); e != nil {
			return e, nil
		}
		if err := d.opening.join(ctx, func() error { return d.openNew(ctx) }); err != nil {
			return nil, err
		}
	}
}

// whyClosed is what acquires of members are told after Close; nil: it was not called. Also
// called with no session at all.
func (d *sessionDriver) whyClosed() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		return nil
	}
	return &requestError{doing: "acquire", table: d.config.TableName, kind: ErrSessionClosed, permanent: true, remedy: "make a new Session"}
}

// openNew creates a session's item, under a name that was never used. If the answer is lost, the
// item may exist, but no session uses it and no lock points to it.
func (d *sessionDriver) openNew(ctx context.Context) error {
	if d.current() != nil {
		return nil
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("lockclient: make a session's name: %w", err)
	}
	item, err := d.itemDriver(sessionPrefix + id.String())
	if err != nil {
		return err
	}
	e := &epoch{name: item.name, session: d, item: item, changes: item.requests.changes, telling: telling{counted: d.clock.Monotonic()}}
	e.announcement.clock = d.clock
	item.epoch = e
	e.wake.call, e.wake.every = func(lease.Instant) { d.start(e.tell) }, max(d.Heartbeat/4, 5*time.Millisecond)
	held, refused, err := item.acquire(ctx, &bid{eager: true})
	switch {
	case err != nil:
		return err
	case !held:
		return fmt.Errorf("lockclient: open session %q: %w", e.name, refused)
	}
	e.keeper = item.keeper.Load()
	d.mu.Lock()
	closed := d.closed
	if !closed {
		d.latest = e
	}
	d.mu.Unlock()
	if closed {
		e.keeper.giveUp()
		item.freeUnanswered()
	}
	return nil
}

// err is Session.Err.
func (d *sessionDriver) err() error {
	d.mu.Lock()
	e, closed := d.latest, d.closed
	d.mu.Unlock()
	if e != nil {
		if held, why := e.keeper.holds(); held || why != nil {
			return why
		}
	}
	if closed {
		return ErrSessionClosed
	}
	return nil
}

// close is Session.Close.
func (d *sessionDriver) close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	e := d.latest
	d.mu.Unlock()
	if e == nil {
		return nil
	}
	defer d.await(ctx)
	defer e.hush()
	return e.item.removeLock(ctx, "") // which ends the belief in all members before it sends anything
}

// start runs do in a goroutine of the session's own, which sends requests in nobody's name and
// ends by itself. Close waits for it.
func (d *sessionDriver) start(do func()) {
	d.mu.Lock()
	d.busy++
	d.mu.Unlock()
	go func() {
		do()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.busy--; d.busy == 0 && d.idle != nil {
			close(d.idle)
			d.idle = nil
		}
	}()
}

// await waits until none of these goroutines is left, or ctx is done.
func (d *sessionDriver) await(ctx context.Context) {
	d.mu.Lock()
	if d.busy == 0 {
		d.mu.Unlock()
		return
	}
	if d.idle == nil {
		d.idle = make(chan struct{})
	}
	idle := d.idle
	d.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// hasEnded reports whether a session of that name was ours and has ended: no lock of this process
// believes in it. Called with a lock's mu held, so it only looks.
func (d *sessionDriver) hasEnded(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.former.has(name)
}

// noteEnded notes that a session of ours has ended, after belief in its members has.
func (d *sessionDriver) noteEnded(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.former.add(name)
}

func (d *sessionDriver) stats() SessionStats {
	stats := SessionStats{Waiting: int(d.waiting.Load()), Watched: d.line.watched.count()}
	if e := d.current(); e != nil {
		stats.Name, stats.Held = e.name, e.held()
	}
	return stats
}

// memberError says why a member ended with its session.
func memberError(lock string, why error) error {
	if why == nil {
		why = ErrSessionClosed
	}
	return fmt.Errorf("lock %q was held under a session that has ended: %w", lock, why)
}

// jointCall has one of many callers do what all of them need, and the others wait for it.
type jointCall struct {
	clock lease.Clock

	mu    sync.Mutex    // guards what follows
	over  chan struct{} // closed when the one under way is over; nil: none is
	err   error         // how the last one failed, for calls that follow soon
	until time.Duration // when soon is over, on the monotonic clock
}

// soon is for how long the failure of one is the failure of all.
const soon = 50 * time.Millisecond

// join runs do, or waits until another's is over: then it returns nil, and the caller looks
// again at what it needs. A failure is returned to all who have waited for it.
func (f *jointCall) join(ctx context.Context, do func() error) error {
	f.mu.Lock()
	if f.err != nil && f.clock.Monotonic() < f.until {
		defer f.mu.Unlock()
		return f.err
	}
	if over := f.over; over != nil {
		f.mu.Unlock()
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return contextError(ctx)
		}
	}
	over := make(chan struct{})
	f.over, f.err = over, nil
	f.mu.Unlock()
	err := do()
	f.mu.Lock()
	f.over = nil
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		f.err, f.until = err, f.clock.Monotonic()+soon
	}
	f.mu.Unlock()
	close(over)
	return err
}
