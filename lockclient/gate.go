package lockclient

import (
	"context"
	"sync"
	"time"
)

// gate lets a limited number in at a time. Those who wait are let in in no order, so that
// several processes that do the same work don't do it in step. The zero value is open.
type gate struct {
	mu      sync.Mutex // guards what follows
	inside  int
	waiting []chan struct{}
	jitter  jitter
}

// enter waits until fewer than limit are inside, or ctx is done.
func (g *gate) enter(ctx context.Context, limit int, jitter jitter) error {
	g.mu.Lock()
	g.jitter = jitter
	if g.inside < limit {
		g.inside++
		g.mu.Unlock()
		return nil
	}
	in := make(chan struct{})
	g.waiting = append(g.waiting, in)
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
	g.leave() // it had just been let in
	return contextError(ctx)
}

// leave lets another in.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.inside--
		return
	}
	i := min(int(g.jitter(time.Duration(len(g.waiting)))), len(g.waiting)-1)
	close(g.waiting[i])
	g.remove(i)
}

// remove forgets one that waits. Called with mu held.
func (g *gate) remove(i int) {
	last := len(g.waiting) - 1
	g.waiting[i], g.waiting[last] = g.waiting[last], nil
	if g.waiting = g.waiting[:last]; last == 0 {
		g.waiting = nil
	}
}
