package lockclient

import (
	"context"
	"sync"
)

// turn is a mutex that serves its waiters in the order in which they came, and whose
// waiters respect a context. A channel would do the same, but takes memory for each of
// many locks. The zero value is free.
type turn struct {
	mu    sync.Mutex // guards what follows
	taken bool
	next  *waiter // has waited longest; nil: nobody waits
}

type waiter struct {
	in   chan struct{} // closed when the turn was handed to this one
	next *waiter
}

// take waits for the turn; false when ctx was done first.
func (t *turn) take(ctx context.Context) bool {
	w := t.queue()
	if w == nil {
		return true
	}
	select {
	case <-w.in:
		return true
	case <-ctx.Done():
		if !t.withdraw(w) {
			t.pass() // it was handed over just now
		}
		return false
	}
}

func (t *turn) tryTake() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return false
	}
	t.taken = true
	return true
}

// queue takes the turn (nil), or a place at the end of the queue.
func (t *turn) queue() *waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.taken {
		t.taken = true
		return nil
	}
	end := &t.next
	for *end != nil {
		end = &(*end).next
	}
	*end = &waiter{in: make(chan struct{})}
	return *end
}

// withdraw gives up a place in the queue. It reports false if the turn was handed over.
func (t *turn) withdraw(w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for place := &t.next; *place != nil; place = &(*place).next {
		if *place == w {
			*place = w.next
			return true
		}
	}
	return false
}

// pass hands the turn to the waiter that has waited longest.
func (t *turn) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next == nil {
		t.taken = false
		return
	}
	close(t.next.in)
	t.next = t.next.next
}
