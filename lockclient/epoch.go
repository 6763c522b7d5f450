package lockclient

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// epoch is one session, from the item that it creates to its end: a lock record that a
// keeper renews, and the members that are held under it. Members are believed in for as
// long as the keeper's tenure lasts.
type epoch struct {
	name    string
	session *sessionDriver
	item    *driver
	keeper  *keeper       // set once the item was created
	changes *atomic.Int64 // how many members were let go; each heartbeat carries it

	announcement jointCall // the write that announces, for all who announce at once

	// mu guards what follows. It is never held across a request. Of other mutexes only the
	// session's and the line's are taken under it.
	mu      sync.Mutex
	over    bool    // the keeper's tenure has ended
	members *member // a ring; nil: none
	count   int
	owing   map[*driver]struct{}
	freeing bool // the goroutine that frees what is owed runs
	telling
}

// untilCalm waits while a heartbeat of the session is being repeated, but no longer than one
// request may take. While the table throttles, thousands of acquires would use up the
// capacity that the heartbeat needs, and all locks would be lost with the session.
func (e *epoch) untilCalm(ctx context.Context) error {
	if !e.keeper.repeats() {
		return nil
	}
	patience, stop := lease.WithTimeout(ctx, e.item.clock, attemptTimeout(e.item.Window), errNoAnswer)
	defer stop()
	_ = e.keeper.untilCalm(patience)
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	return nil
}

// admit begins the tenure of a member; false: the session has ended.
func (e *epoch) admit(m *member) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return false
	}
	if e.members == nil {
		m.next, m.previous = m, m
	} else {
		m.next, m.previous = e.members, e.members.previous
		m.next.previous, m.previous.next = m, m
	}
	e.members = m
	e.count++
	return true
}

// remove forgets a member that has ended.
func (e *epoch) remove(m *member) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m.next == nil {
		return
	}
	if e.members == m {
		e.members = m.next
	}
	if m.next == m {
		e.members = nil
	}
	m.next.previous, m.previous.next = m.previous, m.next
	m.next, m.previous = nil, nil
	e.count--
}

// all returns the members.
func (e *epoch) all() []*member {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*member, 0, e.count)
	for m := e.members; m != nil && len(all) < e.count; m = m.next {
		all = append(all, m)
	}
	return all
}

func (e *epoch) held() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// ended ends all members: the session's tenure has ended, so that none is believed in any
// more. why is nil after Close.
func (e *epoch) ended(why error) {
	e.mu.Lock()
	e.over, e.owing = true, nil
	e.lose(why)
	e.mu.Unlock()
	for _, m := range e.all() {
		m.end(memberError(m.d.name, why))
	}
	e.session.noteEnded(e.name)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.markIfUnused()
}

// renewed tells the observers of the members of a heartbeat.
func (e *epoch) renewed(took time.Duration, err error) {
	for _, m := range e.all() {
		m.d.observers.tell(took, err)
	}
	if err == nil {
		e.freeOwed()
		e.endAnnouncement()
	}
}

// late warns the members that a renewal is late.
func (e *epoch) late() {
	for _, m := range e.all() {
		m.warn()
	}
}

// owe notes that a record may carry an acquire of this client that nobody waits for any
// more. Under a session that lives it would never run out.
func (e *epoch) owe(d *driver) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return
	}
	if e.owing == nil {
		e.owing = make(map[*driver]struct{})
	}
	e.owing[d] = struct{}{}
}

// freeOwed frees what is owed, one after another, in a goroutine that ends when all were
// tried, or the session has ended.
func (e *epoch) freeOwed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.freeing || len(e.owing) == 0 {
		return
	}
	e.freeing = true
	owing := make([]*driver, 0, len(e.owing))
	for d := range e.owing {
		owing = append(owing, d)
	}
	// In an order that a simulation can repeat.
	slices.SortFunc(owing, func(a, b *driver) int { return strings.Compare(a.requests.name, b.requests.name) })
	e.session.start(func() {
		for _, d := range owing {
			if d.settle(e) {
				e.mu.Lock()
				delete(e.owing, d)
				e.mu.Unlock()
			}
		}
		e.mu.Lock()
		e.freeing = false
		e.mu.Unlock()
	})
}
