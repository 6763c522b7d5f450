package election

import (
	"context"
	"sync"
)

// Leader is who holds the lock, as this elector last saw it. The zero Leader is a vacancy: nobody is known to lead.
type Leader struct {
	// Identity of the holder; "" is a vacancy.
	Identity string
	// FencingToken of the holder's tenure; 0 if there is none. A leader that lost and regained the lock has a higher one.
	FencingToken int64
	// Self: the tenure is this elector's own.
	Self bool
}

// Vacant reports that nobody is known to lead.
func (l Leader) Vacant() bool { return l.Identity == "" }

// Observe tells of each change of leader, vacancies included, starting with the present state if there is one yet. Each call
// gives its own channel. A slow observer never delays the elector or another observer: it finds the latest state and misses
// those in between. The channel is closed when ctx ends and only then: it stays open between two Runs of the elector.
func (e *LeaderElector) Observe(ctx context.Context) <-chan Leader {
	ch := e.board.subscribe()
	context.AfterFunc(ctx, func() { e.board.unsubscribe(ch) })
	return ch
}

// GetLeader is the identity of the leader last observed; "" if none was, or if the lock was last seen vacant.
func (e *LeaderElector) GetLeader() string { return e.board.read().Identity }

// board is where the elector writes who leads and everybody else reads it.
type board struct {
	mu        sync.Mutex // guards all below; nothing is called and nothing blocks under it
	known     bool       // something was observed
	leader    Leader
	holder    Leader // the last leader that was not a vacancy
	observers map[chan Leader]struct{}
}

// change is what a write to the board made of it.
type change struct {
	changed  bool // anything at all
	newName  bool // a holder with another identity than the last holder's
	failover bool // a holder with another tenure than the last holder's
}

func (b *board) write(l Leader) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known && l == b.leader {
		return change{}
	}
	c := change{changed: true}
	b.known, b.leader = true, l
	if !l.Vacant() {
		c.newName = l.Identity != b.holder.Identity
		c.failover = !b.holder.Vacant() && (c.newName || l.FencingToken != b.holder.FencingToken)
		b.holder = l
	}
	for ch := range b.observers {
		offer(ch, l)
	}
	return c
}

// offer replaces what the observer has not taken yet. The board is the only sender, so the channel's one place is free after
// the first select.
func offer(ch chan Leader, l Leader) {
	select {
	case <-ch:
	default:
	}
	ch <- l
}

func (b *board) read() Leader {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leader
}

func (b *board) subscribe() chan Leader {
	ch := make(chan Leader, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.observers == nil {
		b.observers = make(map[chan Leader]struct{})
	}
	b.observers[ch] = struct{}{}
	if b.known {
		offer(ch, b.leader)
	}
	return ch
}

func (b *board) unsubscribe(ch chan Leader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.observers, ch)
	close(ch)
}

// herald makes the calls of OnNewLeader, in order and one at a time, in its own goroutine.
type herald struct {
	call func(identity string)
	wake chan struct{} // holds at most one: there is something to do
	done chan struct{} // closed when run has returned

	mu     sync.Mutex // guards queue and closed
	queue  []string
	closed bool
}

func newHerald(call func(identity string)) *herald {
	return &herald{call: call, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

func (h *herald) announce(identity string) {
	h.mu.Lock()
	h.queue = append(h.queue, identity)
	h.mu.Unlock()
	h.rouse()
}

// close lets run return once everything announced so far is delivered.
func (h *herald) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.rouse()
}

func (h *herald) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run delivers until close was called and nothing is left. A panic waits until the lock is released and then goes on.
func (h *herald) run(r *run) {
	finished := false
	defer func() {
		v := recover()
		switch {
		case finished:
			close(h.done)
			return
		case v == nil: // the callback has left by runtime.Goexit; the next one is called all the same
			go h.run(r)
			h.rouse()
			return
		}
		r.crash("OnNewLeader", v)
		<-r.safe
		panic(v)
	}()
	for range h.wake {
		for {
			identity, more, closed := h.next()
			if !more {
				if closed {
					finished = true
					return
				}
				break
			}
			h.call(identity)
		}
	}
}

func (h *herald) next() (identity string, more, closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		return "", false, h.closed
	}
	identity, h.queue = h.queue[0], h.queue[1:]
	return identity, true, h.closed
}
