package lockclient

import (
	"context"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// gate lets a limited number in at a time, and fewer while the table throttles. Each
// request that the table does not carry out takes a place away. Each one that it does
// gives a place back, and so does reopensIn. So there are about two requests for each that
// is carried out, however many wait and however little the table can do.
//
// Those who wait are let in in no order, so that several processes that do the same work
// don't do it in step.
type gate struct {
	clock lease.Clock

	mu      sync.Mutex // guards what follows
	inside  int
	closed  int           // places that were taken away
	reopens time.Duration // when time gives one back, on the monotonic clock
	waiting []chan struct{}
	limit   int
	jitter  jitter
	armed   bool // a timer will let the next one in
}

// reopensIn is after how long a place that was taken away is given back, on average.
const reopensIn = 50 * time.Millisecond

// enter waits for a place, or until ctx is done. There are limit places at most.
func (g *gate) enter(ctx context.Context, limit int, jitter jitter) error {
	g.mu.Lock()
	g.limit, g.jitter = limit, jitter
	in := make(chan struct{})
	g.waiting = append(g.waiting, in)
	g.admit()
	g.mu.Unlock()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	for i, other := range g.waiting {
		if other == in {
			g.remove(i)
			g.mu.Unlock()
			return contextError(ctx)
		}
	}
	g.mu.Unlock()
	g.leave(passNotSent) // it had just been let in
	return contextError(ctx)
}

// passage is what became of the request of one that was let in.
type passage int

const (
	passNotSent passage = iota
	passFailed          // throttled, unanswered, or not carried out for another reason
	passDone            // carried out, or refused by its condition
)

// leave gives the place back.
func (g *gate) leave(how passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	switch {
	case how == passDone:
		g.closed = max(g.closed-1, 0)
	case how == passFailed && g.closed < g.limit:
		if g.closed++; g.closed == 1 {
			g.reopens = g.clock.Monotonic() + g.untilReopened()
		}
	}
	g.admit()
}

func (g *gate) untilReopened() time.Duration { return reopensIn/2 + g.jitter(reopensIn) }

// admit lets in whoever there is room for. Called with mu held.
func (g *gate) admit() {
	now := g.clock.Monotonic()
	for g.closed > 0 && g.reopens <= now {
		g.closed--
		g.reopens += g.untilReopened()
	}
	for len(g.waiting) > 0 && g.inside+g.closed < g.limit {
		i := 0
		if n := len(g.waiting); n > 1 {
			i = min(int(g.jitter(time.Duration(n))), n-1)
		}
		close(g.waiting[i])
		g.remove(i)
		g.inside++
	}
	if len(g.waiting) > 0 && g.closed > 0 && !g.armed {
		g.armed = true
		g.clock.AfterFunc(g.reopens-now, g.reopen)
	}
}

// reopen lets in whoever time has given a place.
func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = false
	g.admit()
}

// remove forgets one that waits. Called with mu held.
func (g *gate) remove(i int) {
	last := len(g.waiting) - 1
	g.waiting[i], g.waiting[last] = g.waiting[last], nil
	if g.waiting = g.waiting[:last]; last == 0 {
		g.waiting = nil
	}
}
