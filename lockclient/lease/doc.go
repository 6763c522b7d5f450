// Package lease holds what a lock and an elector share about time: the clocks
// of one machine, and the three durations of a lease.
//
// A lease is counted from the moment before its last confirmed write was sent.
// Its holder trusts it for Window. A waiter waits for Lease, counted from the
// moment after it saw that write. Window is 1 % shorter, for clocks whose rates
// differ by less than that:
//
//	sent├───────── Window: the holder believes ─────────┤ ┊
//	    ├───────────────────── Lease ─────────────────────┤
//	    ├ Heartbeat ┼ Heartbeat ┼ ...
//
// Time that has passed is judged by two clocks, and the one that says more is
// believed. The monotonic clock stands still while a machine is suspended. The
// wall clock can be set back. Odometer and Instant.Since do this.
package lease
