package lockclient

import (
	"sync"
	"time"
)

// slots spreads the heartbeats of many locks evenly over a grid of moments in their
// period. Heartbeats that leave at the same moment cost less than ones that each wake the
// process: with 2,000 locks, half of the CPU time.
type slots struct {
	mu      sync.Mutex // guards what follows
	periods map[time.Duration]*period
}

// The grid is used from slotsAbove tenures on. Below that each heartbeat has its own moment.
const (
	slotsEach  = 64
	slotsAbove = 64
)

// period is the tenures of one heartbeat period.
type period struct {
	tenures int
	used    [slotsEach]int32
}

// slot is a tenure's share of a period. The zero value is none.
type slot struct {
	period time.Duration
	index  int // from 1; 0: outside the grid
}

// take returns when the first heartbeat of a tenure is due whose acquire was sent at that
// time on the monotonic clock: a period later, or somewhat earlier if that spreads the
// heartbeats better.
func (s *slots) take(sent, every time.Duration) (first time.Duration, own slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.periods == nil {
		s.periods = make(map[time.Duration]*period)
	}
	p := s.periods[every]
	if p == nil {
		p = &period{}
		s.periods[every] = p
	}
	p.tenures++
	width := every / slotsEach
	if p.tenures <= slotsAbove || width <= 0 {
		return sent + every, slot{period: every}
	}
	// The last moment of the grid that is not more than a period away, and those before
	// it, down to a tenth of the period.
	last := floorTo(sent+every, width)
	best, least := last, int32(0)
	for back := range time.Duration(slotsEach * 9 / 10) {
		at := last - back*width
		n := p.used[indexOf(at, width)]
		if back == 0 && int(n) <= p.tenures/slotsEach*5/4+2 {
			break // good enough
		}
		if back == 0 || n < least {
			best, least = at, n
		}
	}
	i := indexOf(best, width)
	p.used[i]++
	return best, slot{period: every, index: i + 1}
}

// free gives a share back.
func (s *slots) free(own slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.periods[own.period]
	if p == nil {
		return
	}
	if own.index > 0 {
		p.used[own.index-1]--
	}
	if p.tenures--; p.tenures == 0 {
		delete(s.periods, own.period)
	}
}

// floorTo is the last multiple of width up to at, which may be negative.
func floorTo(at, width time.Duration) time.Duration {
	rest := at % width
	if rest < 0 {
		rest += width
	}
	return at - rest
}

// indexOf is the place of a moment of the grid within its period.
func indexOf(at, width time.Duration) int {
	i := int(at / width % slotsEach)
	if i < 0 {
		i += slotsEach
	}
	return i
}
