package lockclient

import (
	"sync"
	"time"
)

// burst spreads the heartbeats of the locks that a process acquires together evenly
// over the period, instead of sending them all at once for ever after. A lock that
// is acquired alone has its first heartbeat after one whole period.
type burst struct {
	mu   sync.Mutex
	last time.Duration // when the latest tenure began
	n    uint32        // how many began less than a period after the one before
}

var begun burst

// firstBeat is the pause from the sending of the request that won, at about that moment, to
// the first heartbeat.
func (b *burst) firstBeat(at, period time.Duration) time.Duration {
	b.mu.Lock()
	if since := at - b.last; since < 0 || since > period {
		b.n = 0
	}
	n := b.n
	b.last = at
	b.n++
	b.mu.Unlock()
	// Multiples of the golden ratio, modulo 1, fill a circle evenly however many
	// there are.
	const golden = 2654435769 // 2^32 / 1.618...
	fraction := float64(n*golden) / (1 << 32)
	return period - time.Duration(0.9*fraction*float64(period))
}
