package lockclient

import (
	"context"
	"fmt"
	"time"
)

// joinSession makes sure that a session is open under which the lock can be acquired, and
// returns its name; "" for a lock without a session.
//
// A heartbeat of that session that is being repeated goes first.
func (d *driver) joinSession(ctx context.Context) (name string, err error) {
	if d.session == nil {
		return "", nil
	}
	for {
		e, err := d.session.open(ctx)
		if err != nil {
			return "", err
		}
		if err := e.untilCalm(ctx); err != nil {
			return "", err
		}
		if _, held := e.keeper.age(); !held {
			continue // it was lost meanwhile
		}
		d.mu.Lock()
		d.joining = e
		d.mu.Unlock()
		return e.name, nil
	}
}

// yieldToSession has a heartbeat of the member's session that is being repeated go before a
// release. If the session ends instead, whoever waits for the lock may take it.
func (d *driver) yieldToSession(ctx context.Context) error {
	if d.session == nil {
		return nil
	}
	d.mu.Lock()
	e := d.joining
	d.mu.Unlock()
	if e == nil {
		return nil
	}
	return e.untilCalm(ctx)
}

// wonMember begins the tenure that an acquire under a session has won. It wins nothing where
// the session has ended meanwhile: the record is freed, by the next acquire or a release.
// Called with mu held, which it gives up.
func (d *driver) wonMember(token int64) (held bool, refused, err error) {
	m := &member{d: d, e: d.joining, token: token}
	d.following = nil
	admitted := m.e.admit(m)
	var was *member
	announced := false // its release, which was lost
	if admitted {
		if was = d.member.Swap(m); was != nil {
			announced, was.announced = was.announced, false
		}
	} else {
		d.ledger.ended(token)
	}
	d.mu.Unlock()
	if announced {
		was.e.withdraw()
	}
	was.left()
	if admitted {
		if _, admitted = m.age(); admitted {
			d.log.V(0).Info("tenure begins", "owner", d.identity, "fencingToken", token, "session", m.e.name)
			return true, nil, nil
		}
	}
	d.freeUnanswered()
	m.left() // its caller was not told of it
	return false, nil, fmt.Errorf("%w: lock %q was won, but its session %q had ended", ErrLeaseExpired, d.name, m.e.name)
}

// letGo has those who wait for the lock look at its record again: it was freed, or is another's
// by now. They follow the session that the record named, which may not be the present one. token
// is that of the tenure which has left the record; 0: only unanswered acquires may have.
func (d *driver) letGo(token int64) {
	if d.session == nil {
		return
	}
	d.mu.Lock()
	m, e := d.member.Load(), d.joining
	if m != nil && m.token != token {
		m = nil
	}
	announced := m != nil && m.announced
	if m != nil {
		m.announced = false
	}
	d.mu.Unlock()
	if m != nil {
		m.e.letGo(announced)
	}
	if e != nil && (m == nil || m.e != e) {
		e.letGo(false)
	}
}

// oweIfUnsure has the session free what the record may carry of ours, if it comes to nothing. An
// acquire under way is left alone: the session frees only with the turn.
func (d *driver) oweIfUnsure() {
	if d.session == nil {
		return
	}
	d.mu.Lock()
	none, e := d.ledger.empty(), d.joining
	d.mu.Unlock()
	if !none && e != nil {
		e.owe(d)
	}
}

// settle frees what the record may carry of ours, when this client neither believes in it nor waits
// for it any more. It reports whether nothing is left to be freed. If the session is over, that is
// not needed: any client may take the lock.
func (d *driver) settle(e *epoch) bool {
	if !d.turn.tryTake() {
		return false // an acquire or a release is under way, which sees to it
	}
	defer d.turn.pass()
	d.mu.Lock()
	none := d.ledger.empty()
	// A waiter replaces it. Not after several acquires without an answer: then the lease would have
	// to run out, and that of a member does not.
	replaced := d.waiters > 0 && d.ledger.mayReplaceOwn()
	d.mu.Unlock()
	if none || replaced {
		return none
	}
	if m := d.member.Load(); m != nil && !m.over.Load() {
		return false // held again; what is older is too old soon
	}
	if _, open := e.keeper.age(); !open { // maybe that is why the member has ended; its work may go on
		return false
	}
	if err := d.release(context.Background(), ""); err != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// What was sent long ago, and was not found, does not arrive any more.
	d.ledger.forgetBefore(d.clock.Monotonic() - max(d.Lease, time.Minute))
	return d.ledger.empty()
}

// mostTakeovers is how many takeovers of one DynamoDB client are under way at most, however
// many locks a dead session leaves.
const mostTakeovers = 64

// enterTakeover waits for a place where the acquire takes over from a session that is over.
// leave gives it back.
func (d *driver) enterTakeover(ctx context.Context) (leave func(passage), err error) {
	d.mu.Lock()
	over := d.contender.heldByMember() && d.contender.watch.following.over
	d.mu.Unlock()
	if !over {
		return func(passage) {}, nil
	}
	if err := d.line.takeovers.enter(ctx, mostTakeovers, d.jitter); err != nil {
		return nil, err
	}
	return d.line.takeovers.leave, nil
}
