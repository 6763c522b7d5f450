package lockclient

import (
	"sync"
	"sync/atomic"
)

// removal counts the calls of RemoveLock and wakes the waiters. The zero value is ready. It has a
// channel only while there are waiters.
type removal struct {
	calls   atomic.Uint64
	mu      sync.Mutex    // guards what follows
	next    chan struct{} // closed by the next RemoveLock; nil: nobody waits
	waiting int
}

// count returns how often RemoveLock was called.
func (r *removal) count() uint64 { return r.calls.Load() }

// await returns a channel that the next RemoveLock closes. Call forget when it is not needed any
// more.
func (r *removal) await() (next <-chan struct{}, forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(chan struct{})
	}
	r.waiting++
	ours := r.next
	return ours, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.next != ours {
			return // RemoveLock was called
		}
		if r.waiting--; r.waiting == 0 {
			r.next = nil
		}
	}
}

func (r *removal) announce() {
	r.calls.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil {
		close(r.next)
		r.next, r.waiting = nil, 0
	}
}
