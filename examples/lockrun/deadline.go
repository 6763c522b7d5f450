package main

import (
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// deadline decides when a command must end, so that it has ended before its lease has. It is pure:
// what the lock says goes in, what to do comes out.
//
//	renewed                    late                  too late                over
//	├──────────────────────────┼─────────────────────┼───────────────────────┤
//	     the command runs      │ SIGTERM: the grace  │ SIGKILL: the margin   │ others may acquire
type deadline struct {
	grace  time.Duration // between SIGTERM and SIGKILL, at most
	margin time.Duration // between SIGKILL and the end of the lease, at least

	left     time.Duration  // of the lease, when it was last known
	since    lease.Odometer // what has passed since then
	termSent bool
	term     lease.Odometer // what has passed since SIGTERM
}

type action int

const (
	carryOn action = iota
	sendTerm
	sendKill
)

// marginOf is what may pass between the moment at which SIGKILL is due and the end of the
// processes, on a busy machine.
func marginOf(leaseDuration time.Duration) time.Duration {
	return min(max(leaseDuration/20, 25*time.Millisecond), 2*time.Second)
}

// leftOf is how long the lease goes on if it is not renewed; false: the lock is not held.
func leftOf(lock *lockclient.DynamoDBLockClient, window time.Duration) (time.Duration, bool) {
	if held, _ := lock.HasLock(); !held {
		return 0, false
	}
	age, held := lock.LeaseAge()
	return window - age, held
}

// renewed takes in how long the lease goes on, counted from now.
func (d *deadline) renewed(left time.Duration, now lease.Instant) {
	d.left, d.since = left, lease.StartOdometer(now)
}

// remains is how long the lease goes on, by the clock that says less.
func (d *deadline) remains(now lease.Instant) time.Duration {
	return d.left - d.since.Fold(now)
}

// next says what to do now. SIGTERM is asked for once, then SIGKILL until the processes have ended.
func (d *deadline) next(held bool, now lease.Instant) action {
	remains := d.remains(now)
	switch {
	case remains <= d.margin, d.termSent && d.term.Fold(now) >= d.grace:
		return sendKill
	case d.termSent:
		return carryOn
	case !held, remains <= d.grace+d.margin:
		d.termSent, d.term = true, lease.StartOdometer(now)
		return sendTerm
	}
	return carryOn
}
