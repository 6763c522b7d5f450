package shards

import (
	"math"
	"time"
)

// A shard that moves is without a leader from the end of its work until another has acquired its
// lock. How long that takes depends on the store, and on how many shards the other acquires at a
// time. So a replica looks which of the shards that it has released are led again, and has more or
// fewer of them on their way at a time.
const (
	// burst is how many shards all replicas together begin with. When one replica joins, all others
	// move shards to it.
	burst = 48
	// leastOnTheWay and mostOnTheWay are the bounds of how many are on their way.
	leastOnTheWay, mostOnTheWay = 4, 64
	// A shard that is led again so soon allows for one more, and one that takes too long for half
	// as many.
	soon, tooLong = 80 * time.Millisecond, 120 * time.Millisecond
	// lostSight is how long a released shard counts as on its way if no replica acquires it. Views
	// that differ for a moment must not hold up the others.
	lostSight = 500 * time.Millisecond
)

// motion is what a replica knows when it decides how many of its shards begin to move.
type motion struct {
	surplus   int // shards that it leads and that belong to others
	own       int // shards whose lock it holds, in motion or not
	draining  int // of them, those whose work is returning
	releasing int // of them, those whose work has returned
	unclaimed int // shards that it has released and no other has acquired yet
	window    int // most that may be releasing or unclaimed
	atOnce    int // most that may be in motion; 0: a quarter of own
	leaving   bool
}

// begin returns how many shards begin to move now. No more than atOnce move at a time, so that a
// join interrupts no more work than that. Leaving has no such limit, because all shards have to
// move. In both cases no more are on their way than the others can take over at once.
func (m motion) begin() int {
	limit := m.atOnce
	if limit == 0 {
		limit = (m.own + 3) / 4
	}
	if m.leaving {
		limit = m.own
	}
	return max(min(m.surplus, limit-m.draining-m.releasing, m.window-m.releasing-m.unclaimed), 0)
}

// window is how many shards may be on their way.
type window struct {
	size   int
	shrunk time.Duration // when it was last made smaller
	lost   int           // shards in a row that were not claimed for so long that they no longer count
}

// newWindow is that of one of so many members, some of which move shards.
func newWindow(members int, leaves bool) window {
	if leaves {
		return window{size: burst / 2}
	}
	return window{size: max(burst/max(members-1, 1), leastOnTheWay)}
}

// claimed takes in that a shard is led again, and how long after its work has returned.
func (w *window) claimed(after, now time.Duration) {
	w.lost = 0
	switch {
	case w.size > mostOnTheWay:
		w.size = mostOnTheWay
	case after <= soon:
		w.size = min(w.size+1, mostOnTheWay)
	case after > tooLong && now-w.shrunk > tooLong:
		w.size, w.shrunk = max(w.size/2, leastOnTheWay), now
	}
}

// unclaimed takes in that no replica has acquired a shard for so long that it no longer counts. If
// that happens to all of them, there is nothing to wait for.
func (w *window) unclaimed() {
	if w.lost++; w.lost > w.size {
		w.size, w.lost = min(2*w.size, math.MaxInt/2), 0
	}
}
