package lease

import "time"

// Timing is the three durations that a lock works with.
type Timing struct {
	// Lease is how long a waiter must see a record unchanged before it may take
	// the lock over.
	Lease time.Duration
	// Window is how long a holder trusts one confirmed write, counted from the
	// moment before that write was sent. It is 99 % of Lease.
	Window time.Duration
	// Heartbeat is the time between two renewals.
	Heartbeat time.Duration
}

// NewTiming returns the Timing of a lease that is renewed once in each heartbeat.
func NewTiming(lease, heartbeat time.Duration) Timing {
	return Timing{Lease: lease, Window: lease / 100 * 99, Heartbeat: heartbeat}
}
