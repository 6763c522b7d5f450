package lockclient

import (
	"context"
	"errors"
	"sync"
	"time"
	"weak"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// sessionWatcher does what a sessionWatch decides, for all locks of a DynamoDB client that
// are held under that session. It has no goroutine: whichever waiter needs to know more
// sends the request, and the others wait for its answer.
type sessionWatcher struct {
	name string
	item *driver // of the session's item: for its requests
	look jointCall

	mu    sync.Mutex // guards what follows; nothing is called under it
	watch sessionWatch
}

// watchKey identifies a watcher: watches with the same rules share one.
type watchKey struct {
	table, partitionKey, sortKey, name string
	reclaims                           string // the Identifier, with ReclaimOnRestart
	poll, skew                         time.Duration
}

// watchers are the sessions that are watched by the locks of one DynamoDB client, for as
// long as a lock uses them. The zero value is empty.
type watchers struct {
	mu    sync.Mutex // guards what follows
	known map[watchKey]weak.Pointer[sessionWatcher]
}

// of returns the watcher of a session for this lock. recorded is the session's lease as the
// lock's record has it.
func (w *watchers) of(d *driver, name string, recorded time.Duration) *sessionWatcher {
	key := watchKey{table: d.requests.table, partitionKey: d.requests.partitionKey, sortKey: d.requests.sortName(), name: name, skew: d.skew}
	if d.reclaim {
		key.reclaims = d.identity
	}
	if d.pollFixed {
		key.poll = d.poll
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.known[key].Value(); known != nil {
		known.noteLease(recorded)
		return known
	}
	for other, p := range w.known { // those that are not used any more
		if p.Value() == nil {
			delete(w.known, other)
		}
	}
	if w.known == nil {
		w.known = make(map[watchKey]weak.Pointer[sessionWatcher])
	}
	made := newSessionWatcher(d, name, recorded)
	w.known[key] = weak.Make(made)
	return made
}

func newSessionWatcher(d *driver, name string, recorded time.Duration) *sessionWatcher {
	item := &driver{rules: d.rules, line: d.line, clock: d.clock, log: d.log}
	item.rules.name = name
	item.requests = d.requests.ofSession(&item.rules)
	w := &sessionWatcher{name: name, item: item}
	w.look.clock = d.clock
	w.watch = newSessionWatch(&item.rules, recorded)
	return w
}

// noteLease takes in what a member's record says of the session's lease. Until the session's
// item was seen, the longest of them counts.
func (w *sessionWatcher) noteLease(recorded time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch.noteLease(recorded)
}

// count is how many sessions are watched that are not over.
func (w *watchers) count() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.known {
		if s := p.Value(); s != nil && !s.isOver() {
			n++
		}
	}
	return n
}

func (w *sessionWatcher) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watch.over
}

// known is what is known of the session at this moment.
func (w *sessionWatcher) known() following {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watch.follow(w.item.clock.Monotonic())
}

func (w *sessionWatcher) next() sessionStep {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watch.next(w.item.clock.Monotonic())
}

// follow does all that can be done now to know more of the session.
func (w *sessionWatcher) follow(ctx context.Context) error {
	for w.next() != sessionWait {
		err := w.look.join(ctx, func() error {
			step := w.next()
			if step == sessionWait {
				return nil // another waiter has done it
			}
			return w.do(ctx, step)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// do sends one request, and takes in what its answer shows.
func (w *sessionWatcher) do(ctx context.Context, step sessionStep) error {
	d := w.item
	mark := step == sessionMark || step == sessionMarkMissing
	l := sighting{sent: d.clock.Monotonic(), consistent: step != sessionRead}
	var replaced *version // by a mark; nil: none
	if step == sessionMark {
		w.mu.Lock()
		v := w.watch.toMark()
		w.mu.Unlock()
		replaced = &v
	}
	found, err := ask(ctx, d, 0, func(ctx context.Context) (*record, error) {
		if mark {
			return nil, d.requests.mark(ctx, replaced, time.Unix(0, lease.Now(d.clock).Wall))
		}
		return d.requests.read(ctx, l.consistent)
	})
	refusal := err
	failed, refused := conditionFailed(err)
	switch {
	case refused && len(failed.Item) > 0:
		found, err = decodeRecord(failed.Item), nil
	case refused: // this endpoint doesn't return the item with the refusal
		l.sent = d.clock.Monotonic()
		found, err = ask(ctx, d, 0, func(ctx context.Context) (*record, error) { return d.requests.read(ctx, true) })
	}
	if err != nil {
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		return d.requests.failure("follow the session of", err)
	}
	l.arrived = lease.Now(d.clock)
	w.mu.Lock()
	if mark && !refused {
		w.watch.hasEnded()
	} else {
		w.watch.saw(found, l, d.jitter)
	}
	over, stuck := w.watch.over, refused && w.watch.next(l.arrived.Mono) == step
	w.mu.Unlock()
	switch {
	case over:
		d.log.V(1).Info("a session is over", "session", w.name, "marked", mark && !refused)
	case found.version.dialect == dialectNone:
		return d.requests.notASession()
	case stuck: // what it shows is no reason to refuse the mark
		return d.requests.failure("mark the session of", refusal)
	}
	return nil
}

// waitForEnd is Session.WaitForEnd.
func (d *sessionDriver) waitForEnd(ctx context.Context, name string) error {
	if d.hasEnded(name) {
		return nil
	}
	item, err := d.itemDriver(name)
	if err != nil {
		return err
	}
	w := d.line.watched.of(item, name, 0)
	for failures := 0; ; {
		err := w.follow(ctx)
		switch known := w.known(); {
		case known.over:
			return nil
		case ctx.Err() != nil:
			return contextError(ctx)
		case err != nil && isPermanent(err) && !errors.Is(err, context.Canceled):
			return err
		case err != nil:
			failures++
			d.sleep(ctx, item.pauseAfter(failures, err, d.Heartbeat))
		default:
			failures = 0
			d.sleep(ctx, max(known.pause, time.Millisecond))
		}
	}
}

func (d *sessionDriver) sleep(ctx context.Context, pause time.Duration) {
	lease.Sleep(ctx, d.clock, pause)
}

// noteSession brings what the contender knows of the session that holds the lock up to date.
// Called with mu held.
func (d *driver) noteSession() {
	w := d.contender.watch
	if w == nil || w.record.session == "" {
		d.following = nil
		return
	}
	name := w.record.session
	if d.session != nil {
		if f, own := d.session.follow(name, d.jitter); own {
			d.following, w.following = nil, f
			return
		}
	}
	if d.following == nil || d.following.name != name {
		d.following = d.line.watched.of(d, name, w.record.sessionLease)
	}
	w.following = d.following.known()
}

// follow is what is known of a session of this process's own, without any request; false: it
// is another's. Called with a lock's mu held, so it only looks.
func (d *sessionDriver) follow(name string, jitter jitter) (f following, own bool) {
	d.mu.Lock()
	e := d.latest
	ended := d.former.has(name)
	d.mu.Unlock()
	switch {
	case ended:
		return following{over: true, changed: before, lease: d.Lease}, true
	case e == nil || e.name != name:
		return following{}, false
	}
	return following{alive: true, changed: e.lastCounted(), pause: d.poll - jitter(d.poll/5), lease: d.Lease}, true
}

// followSession looks at the session that holds the lock.
func (d *driver) followSession(ctx context.Context) error {
	d.mu.Lock()
	w := d.following
	d.mu.Unlock()
	if w == nil {
		return nil
	}
	return w.follow(ctx)
}
