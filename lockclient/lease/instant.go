package lease

import "time"

// Instant is one moment on both clocks of a machine.
type Instant struct {
	Mono time.Duration // the monotonic clock
	Wall int64         // the wall clock, nanoseconds since 1970
}

// Now reads both clocks.
func Now(c Clock) Instant {
	if _, ok := c.(system); ok { // one reading instead of two
		t := time.Now()
		return Instant{Mono: t.Sub(processStart), Wall: t.UnixNano()}
	}
	return Instant{Mono: c.Monotonic(), Wall: c.Wall().UnixNano()}
}

// Add returns the instant d later on both clocks.
func (i Instant) Add(d time.Duration) Instant {
	return Instant{Mono: i.Mono + d, Wall: i.Wall + int64(d)}
}

// Since returns the time that has passed since an earlier instant: the larger of
// what the two clocks say, and never less than 0.
func (i Instant) Since(earlier Instant) time.Duration {
	return max(i.Mono-earlier.Mono, time.Duration(i.Wall-earlier.Wall), 0)
}

// Odometer counts the time that has passed since it was started. It adds up what
// Instant.Since says from one Fold to the next, so that it never goes back.
// Frequent folds narrow the one case that fools it: a machine that is suspended
// and has its wall clock set back between two of them.
type Odometer struct {
	total time.Duration
	mark  Instant
}

// StartOdometer returns an Odometer that reads 0 at that moment.
func StartOdometer(at Instant) Odometer { return Odometer{mark: at} }

// Read returns the time passed since the start. It changes nothing.
func (o *Odometer) Read(at Instant) time.Duration { return o.total + at.Since(o.mark) }

// Fold returns Read and remembers it.
func (o *Odometer) Fold(at Instant) time.Duration {
	o.total, o.mark = o.Read(at), at
	return o.total
}

// Folded returns the latest Fold, or 0 before the first.
func (o *Odometer) Folded() time.Duration { return o.total }

// Mark returns the instant of the latest Fold, or of the start.
func (o *Odometer) Mark() Instant { return o.mark }
