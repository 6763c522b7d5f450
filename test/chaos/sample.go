package chaos

import (
	"context"
	"time"
)

// sampleEvery is the pause between two samples of what a holder believes. A worker with many locks
// looks at each of them less often.
func (w *worker) sampleEvery() time.Duration {
	return min(time.Duration(3*len(w.Locks))*time.Millisecond, 100*time.Millisecond)
}

// thinned is how many samples stand for one in the journal of a worker with many locks. The last
// one of a tenure is always there.
const thinned = 8

// sampleWhile samples in a goroutine until ctx ends, the tenure has, or stop is called, which waits
// for the last sample.
func (c *contention) sampleWhile(ctx context.Context, token int64, look func() Entry) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.sample(ctx, token, look)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (c *contention) sample(ctx context.Context, token int64, look func() Entry) {
	ticker := time.NewTicker(c.sampleEvery())
	defer ticker.Stop()
	var unwritten *Entry
	defer func() {
		if unwritten != nil {
			c.write(*unwritten)
		}
	}()
	for n := 0; ; n++ {
		e := look()
		if e.Token != token {
			// The tenure is over for HasLock; what the elector and the context still say is said
			// of the old token.
			e.Token, e.Held, e.Until = token, false, 0
		}
		switch {
		case !e.Held && !e.Leads && !e.Alive:
			return
		case len(c.Locks) == 1 || n%thinned == 0 || !e.Held && !e.Leads:
			c.write(e)
			unwritten = nil
		default:
			unwritten = &e
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
