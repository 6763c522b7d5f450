package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// fakeStore is the record of one lock, as a server keeps it.
type fakeStore struct {
	mu      sync.Mutex
	owner   string // "": released, or never taken
	token   int64
	version int
	lease   time.Duration
	polls   int
	writes  int

	heir      string    // who alone may acquire until heirUntil; "": nobody in particular
	heirUntil time.Time // on the clock of the test
}

type storeView struct {
	owner   string
	token   int64
	version int
	lease   time.Duration
}

func (s *fakeStore) view() storeView {
	return storeView{owner: s.owner, token: s.token, version: s.version, lease: s.lease}
}

// seize puts the lock into somebody's hands, as an operator might.
func (s *fakeStore) seize(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.token, s.version, s.lease = owner, s.token+1, s.version+1, testLease
}

func (s *fakeStore) holder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner
}

func (s *fakeStore) pollCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

// operation is a request as the faults see it.
type operation string

const (
	opPoll     operation = "poll"
	opRenew    operation = "renew"
	opRelease  operation = "release"
	opAnnounce operation = "announce"
)

var (
	errNetwork = errors.New("the network ate it")
	errGone    = &permanentFault{"no such table"}
)

type permanentFault struct{ text string }

func (e *permanentFault) Error() string   { return e.text }
func (e *permanentFault) Permanent() bool { return true }

type refusal struct {
	storeView
	next, unchanged time.Duration
}

func (e *refusal) Error() string                             { return fmt.Sprintf("held by %s", e.owner) }
func (e *refusal) HeldBy() (string, int64)                   { return e.owner, e.token }
func (e *refusal) NextPoll() time.Duration                   { return e.next }
func (e *refusal) Watched() (unchanged, lease time.Duration) { return e.unchanged, e.lease }
func (e *refusal) Unwrap() error                             { return errors.New("condition failed") }

var (
	errFakeLost    = errors.New("fake: taken")
	errFakeExpired = errors.New("fake: ran out")
)

// fakeLock is a Lock on a fakeStore: one protocol step for one request, a trust window, heartbeats
// with retries, watching, and faults before and after each request is carried out.
type fakeLock struct {
	store            *fakeStore
	id               string
	lease, heartbeat time.Duration
	clock            Clock
	journal          *journal
	trust            time.Duration                             // how long it trusts a lease; 0: 99 % of it
	next             func(watched time.Duration) time.Duration // NextPoll; nil: what is left of the watched lease

	// Faults; nil: none. They may block, and should end with ctx. An error before keeps the request
	// from being carried out, one after loses its reply. Set through the setters once the lock is
	// in use.
	before, after func(ctx context.Context, op operation) error

	mu      sync.Mutex
	stale   *storeView // what polls find instead of the record, as an eventually consistent read may; nil: the record
	tenure  *fakeTenure
	seen    storeView
	since   time.Duration
	doubt   bool
	lastErr error
}

type fakeTenure struct {
	token   int64
	sent    lease.Instant
	lost    chan struct{}
	ended   bool
	owed    bool // the record may still carry this tenure
	stopped bool
	stop    func() bool
	watch   func() bool
	ctx     context.Context // ends with the tenure
	cancel  context.CancelFunc
}

func (l *fakeLock) setBefore(f func(ctx context.Context, op operation) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = f
}

func (l *fakeLock) setAfter(f func(ctx context.Context, op operation) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = f
}

// request carries out do on the store, between the faults.
func (l *fakeLock) request(ctx context.Context, op operation, do func(s *fakeStore)) error {
	l.mu.Lock()
	before, after := l.before, l.after
	l.mu.Unlock()
	if before != nil {
		if err := before(ctx, op); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	l.store.mu.Lock()
	if op == opPoll {
		l.store.polls++
	} else {
		l.store.writes++
	}
	do(l.store)
	l.store.mu.Unlock()
	if after != nil {
		return after(ctx, op)
	}
	return nil
}

func (l *fakeLock) window() time.Duration {
	if l.trust > 0 {
		return l.trust
	}
	return l.lease / 100 * 99
}

func (l *fakeLock) Timing() (lease.Timing, error) { return lease.NewTiming(l.lease, l.heartbeat), nil }
func (l *fakeLock) Identity() string              { return l.id }

func (l *fakeLock) PollLock(ctx context.Context) (bool, error) {
	if t, held := l.current(); held {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.stopped {
			t.stopped = false
			l.arm(t, 0)
		}
		return true, nil
	}
	l.mu.Lock()
	doubt, seen, since, stale := l.doubt, l.seen, l.since, l.stale
	l.mu.Unlock()
	if stale != nil {
		return false, &refusal{storeView: *stale, next: time.Second}
	}
	sent := lease.Now(l.clock)
	var won bool
	var found storeView
	err := l.request(ctx, opPoll, func(s *fakeStore) {
		dead := seen.owner != "" && seen == s.view() && l.clock.Monotonic()-since >= seen.lease
		reserved := s.heir != "" && s.heir != l.id && time.Now().Before(s.heirUntil)
		if s.owner == "" && !reserved || dead || doubt && s.owner == l.id {
			s.owner, s.token, s.version, s.lease = l.id, s.token+1, s.version+1, l.lease
			s.heir = ""
			won = true
		}
		found = s.view()
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.doubt = true
		return false, err
	}
	l.doubt = false
	if won {
		l.seen = storeView{}
		l.begin(found.token, sent)
		return true, nil
	}
	if found != l.seen {
		l.seen, l.since = found, l.clock.Monotonic()
	}
	left := l.seen.lease - (l.clock.Monotonic() - l.since)
	next := max(left, time.Millisecond)
	if l.next != nil {
		next = l.next(left)
	}
	return false, &refusal{storeView: found, next: next, unchanged: l.clock.Monotonic() - l.since}
}

// begin starts a tenure. Called with mu held.
func (l *fakeLock) begin(token int64, sent lease.Instant) {
	l.lastErr = nil
	t := &fakeTenure{token: token, sent: sent, owed: true, lost: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	l.tenure = t
	l.arm(t, l.heartbeat-lease.Now(l.clock).Since(sent))
	l.armWatch(t)
}

func (l *fakeLock) arm(t *fakeTenure, d time.Duration) {
	t.stop = l.clock.AfterFunc(d, func() { l.beat(t) })
}

func (l *fakeLock) armWatch(t *fakeTenure) {
	t.watch = l.clock.AfterFunc(min(l.window()-lease.Now(l.clock).Since(t.sent), l.heartbeat/4), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.fresh(t) {
			l.armWatch(t)
		}
	})
}

func (l *fakeLock) beat(t *fakeTenure) {
	l.mu.Lock()
	if t.ended || t.stopped {
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	sent := lease.Now(l.clock)
	ctx, cancel := lease.WithTimeout(t.ctx, l.clock, l.heartbeat, context.DeadlineExceeded)
	defer cancel()
	var ours bool
	err := l.request(ctx, opRenew, func(s *fakeStore) {
		if ours = s.owner == l.id && s.token == t.token; ours {
			s.version++
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.fresh(t):
	case err != nil:
		if !t.stopped {
			l.arm(t, l.heartbeat/8)
		}
	case !ours:
		t.owed = false
		l.end(t, errFakeLost)
	default:
		t.sent = sent
		if !t.stopped {
			l.arm(t, l.heartbeat-lease.Now(l.clock).Since(sent))
		}
	}
}

// fresh ends a tenure that is too old, and reports whether it goes on. Called with mu held.
func (l *fakeLock) fresh(t *fakeTenure) bool {
	if !t.ended && lease.Now(l.clock).Since(t.sent) >= l.window() {
		l.end(t, errFakeExpired)
	}
	return !t.ended
}

func (l *fakeLock) end(t *fakeTenure, err error) {
	if t.ended {
		return
	}
	t.ended = true
	l.lastErr = err
	t.stop()
	t.watch()
	t.cancel()
	close(t.lost)
}

func (l *fakeLock) current() (*fakeTenure, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tenure, l.tenure != nil && l.fresh(l.tenure)
}

func (l *fakeLock) HasLock() (bool, error) {
	_, held := l.current()
	return held, l.LockError()
}

func (l *fakeLock) LockError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastErr
}

func (l *fakeLock) Lost() <-chan struct{} {
	if t, held := l.current(); held {
		return t.lost
	}
	ch := make(chan struct{})
	close(ch)
	return ch
}

func (l *fakeLock) LeaseAge() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tenure == nil || !l.fresh(l.tenure) {
		return 0, false
	}
	return lease.Now(l.clock).Since(l.tenure.sent), true
}

func (l *fakeLock) FencingToken() (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tenure == nil || !l.fresh(l.tenure) {
		return 0, false
	}
	return l.tenure.token, true
}

func (l *fakeLock) ConditionCheck() (*dynamodb.ConditionCheck, error) {
	if t, held := l.current(); held {
		text := fmt.Sprintf("token = %d", t.token)
		return &dynamodb.ConditionCheck{ConditionExpression: &text}, nil
	}
	return nil, errFakeLost
}

func (l *fakeLock) StopHeartbeat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal.add("heartbeats stopped")
	if t := l.tenure; t != nil && !t.ended {
		t.stopped = true
		t.stop()
	}
}

func (l *fakeLock) RemoveLockWithContext(ctx context.Context) error {
	l.mu.Lock()
	t, doubt := l.tenure, l.doubt
	ours := t != nil && t.owed
	if ours {
		l.end(t, nil)
	}
	l.mu.Unlock()
	if !ours && !doubt {
		return nil
	}
	err := l.request(ctx, opRelease, func(s *fakeStore) {
		if s.owner == l.id && (doubt || s.token == t.token) {
			s.owner = ""
			s.version++
			l.journal.add("released")
		}
	})
	if err == nil {
		l.mu.Lock()
		l.doubt = false
		if t != nil {
			t.owed = false
		}
		l.mu.Unlock()
	}
	return err
}

// announcingLock is a lock that can announce its release.
type announcingLock struct{ *fakeLock }

func (l announcingLock) AnnounceRelease(ctx context.Context) error {
	return l.request(ctx, opAnnounce, func(*fakeStore) { l.journal.add("announced") })
}

// heirLock is a lock that can be released to an heir. Its candidates poll every 10 ms.
type heirLock struct{ *fakeLock }

func (l heirLock) ReleaseTo(ctx context.Context, heir string) error {
	l.store.mu.Lock()
	l.store.heir, l.store.heirUntil = heir, time.Now().Add(l.heartbeat)
	l.store.mu.Unlock()
	l.journal.add("released to %s", heir)
	return l.RemoveLockWithContext(ctx)
}

// talkativeLock is a lock that tells of its heartbeats.
type talkativeLock struct {
	*fakeLock
	observers *int
}

func (l talkativeLock) ObserveHeartbeats(observe func(took time.Duration, err error)) (stop func()) {
	*l.observers++
	l.setAfter(func(_ context.Context, op operation) error {
		if op == opRenew {
			observe(7*time.Millisecond, nil)
		}
		return nil
	})
	return func() { *l.observers-- }
}
