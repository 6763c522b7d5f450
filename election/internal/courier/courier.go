// Package courier calls functions of the user in a goroutine of its own, so that nothing waits for
// them: a Logger, metrics, and observers.
package courier

import (
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Courier makes calls one at a time and in order. Its goroutine exists only while there is a call
// to make. The zero Courier is ready for use, once Panicked is set.
type Courier struct {
	// Panicked is called after a panic in a call, in the goroutine that panicked, while that is
	// panicking.
	Panicked func(value any)

	mu      sync.Mutex // guards what follows
	queue   []func()
	busy    bool          // the goroutine exists
	idle    chan struct{} // closed when the goroutine ends; nil: nobody waits for it
	dropped int           // calls that found the queue full
}

// MaxQueue is how many calls may wait for one that does not return. Later ones are dropped and
// counted.
const MaxQueue = 1000

// Send queues a call. It never blocks.
func (c *Courier) Send(call func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) >= MaxQueue {
		c.dropped++
		return
	}
	c.queue = append(c.queue, call)
	if !c.busy {
		c.busy = true
		go c.run()
	}
}

// Flush waits until all calls are made, but not longer than patience, and reports whether they are.
func (c *Courier) Flush(clock lease.Clock, patience time.Duration) bool {
	c.mu.Lock()
	if !c.busy {
		c.mu.Unlock()
		return true
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	rings, stop := lease.Alarm(clock, patience)
	defer stop()
	select {
	case <-idle:
		return true
	case <-rings:
		return false
	}
}

// Discard drops the calls that have not begun.
func (c *Courier) Discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = nil
}

// TakeDropped returns how many calls were dropped since it was last asked.
func (c *Courier) TakeDropped() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, c.dropped = c.dropped, 0
	return n
}

func (c *Courier) run() {
	for {
		call := c.next()
		if call == nil {
			return
		}
		c.make(call)
	}
}

// next takes a call off the queue. nil: there is none, and the goroutine must end.
func (c *Courier) next() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		call := c.queue[0]
		c.queue = c.queue[1:]
		return call
	}
	c.busy, c.queue = false, nil
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	return nil
}

// make makes one call. Neither a panic nor a runtime.Goexit keeps the next from being made.
func (c *Courier) make(call func()) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			c.Panicked(value)
			return
		}
		go c.run() // runtime.Goexit: this goroutine is ending
	}()
	call()
	returned = true
}
