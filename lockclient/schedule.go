package lockclient

import (
	"container/heap"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// schedule wakes many tenures by one timer, each at its own time. It also notices that the
// machine has slept, for all of them: timers sleep with the machine. So it reads both
// clocks several times in the shortest heartbeat period. If more time has passed than the
// monotonic clock says, it wakes every tenure.
type schedule struct {
	clock lease.Clock

	mu       sync.Mutex // guards what follows; nothing is called under it
	pending  wakeups
	tick     time.Duration // how often to read the clocks, at least
	checked  lease.Instant // when they were read last
	gained   time.Duration // how much more the wall clock has advanced since all were woken
	timer    uint64        // the number of the timer that was set last
	armed    bool          // it has not fired yet,
	armedFor time.Duration // and is to fire at this moment on the monotonic clock;
	armedAt  time.Duration // it was set at this one
}

// wakeup is one tenure's place in a schedule.
type wakeup struct {
	call  func(now lease.Instant) // must not block
	every time.Duration           // how soon a sleep must be noticed
	at    time.Duration           // on the monotonic clock
	place int                     // in the heap, from 1; 0: not in it
}

// set has w called at that moment, or as soon as the machine is seen to have slept.
// It replaces what was set before.
func (s *schedule) set(w *wakeup, at time.Duration, now lease.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		s.tick, s.checked, s.gained = w.every, now, 0
	}
	s.tick = min(s.tick, w.every)
	w.at = at
	if w.place > 0 {
		heap.Fix(&s.pending, w.place-1)
	} else {
		heap.Push(&s.pending, w)
	}
	s.arm(now.Mono)
}

// clear has w called no more.
func (s *schedule) clear(w *wakeup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.place > 0 {
		heap.Remove(&s.pending, w.place-1)
	}
}

// shortest is the shortest heartbeat period of those that are to be woken; 0: there is none.
func (s *schedule) shortest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return 0
	}
	return 4 * s.tick
}

// arm sets a timer for the first wakeup, or for the next reading of the clocks. An
// earlier timer is not stopped: one that fires for nothing costs less than stopping one
// for each change. Called with mu held.
func (s *schedule) arm(mono time.Duration) {
	next := min(s.pending[0].at, s.checked.Mono+s.tick)
	lost := mono < s.armedAt || mono > s.armedFor+s.tick // it was set on another clock's time, and never fires
	if s.armed && !lost && s.armedFor <= next {
		return
	}
	s.timer++
	s.armed, s.armedAt, s.armedFor = true, mono, next
	timer := s.timer
	s.clock.AfterFunc(max(next-mono, 0), func() { s.ring(timer) })
}

// ring calls all that are due.
func (s *schedule) ring(timer uint64) {
	now := lease.Now(s.clock)
	for _, w := range s.due(timer, now) {
		w.call(now)
	}
}

func (s *schedule) due(timer uint64, now lease.Instant) []*wakeup {
	s.mu.Lock()
	defer s.mu.Unlock()
	if timer == s.timer {
		s.armed = false
	}
	if len(s.pending) == 0 {
		return nil
	}
	s.gained += max(now.Since(s.checked)-(now.Mono-s.checked.Mono), 0)
	s.checked = now
	var due []*wakeup
	if s.gained > s.tick/8 {
		s.gained = 0
		due = append(due, s.pending...)
		for _, w := range due {
			w.place = 0
		}
		s.pending = nil
		return due
	}
	for len(s.pending) > 0 && s.pending[0].at <= now.Mono {
		due = append(due, heap.Pop(&s.pending).(*wakeup))
	}
	if len(s.pending) > 0 {
		s.tick = s.pending[0].every // those that asked for a shorter one may be gone
		for _, w := range s.pending {
			s.tick = min(s.tick, w.every)
		}
		s.arm(now.Mono)
	}
	return due
}

// wakeups is a heap, the earliest first.
type wakeups []*wakeup

func (h wakeups) Len() int           { return len(h) }
func (h wakeups) Less(i, j int) bool { return h[i].at < h[j].at }
func (h wakeups) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *wakeups) Push(x any) {
	w := x.(*wakeup)
	*h = append(*h, w)
	w.place = len(*h)
}

func (h *wakeups) Pop() any {
	old := *h
	n := len(old) - 1
	w := old[n]
	old[n] = nil
	*h = old[:n]
	w.place = 0
	return w
}
